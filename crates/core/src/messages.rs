//! What watch, guardian and service say about one order. Each names the earlier ones by digest.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Amount, CredentialId, Digest, GuardianId, HouseholdId, LineId, Nonce, OrderId, PaymentId, Suggestion, Text,
    Timestamp, TransferId, WatchId, WearerId, Why,
};

/// Version 1 of a message; any other number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(de::Error::custom(format!("version {other} is not 1"))),
        }
    }
}

/// The watch's request to pay a bill. Signed by the watch's device key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub v: V1,
    pub order: OrderId,
    /// Digest of revision 1 of the bill.
    pub bill: Digest,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub wearer: WearerId,
    pub wearer_check: WearerCheck,
    /// Head of the household log that the watch follows.
    pub log_head: Digest,
    pub created: Timestamp,
    pub expires: Timestamp,
    pub nonce: Nonce,
    /// The child's own reason ("for art class").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<60>>,
    /// The same, chosen from pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occasion: Option<Occasion>,
    /// Lines of the bill that the wearer does not ask for, in its order: as a guardian suggested before. They stay out of what
    /// is approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<LineId>,
}

/// Why a child asks: one of a few pictures, so that each side reads it in its own language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    School,
    Hungry,
    Thirsty,
    Birthday,
    Present,
    Journey,
}

impl Occasion {
    pub const ALL: [Self; 6] =
        [Self::School, Self::Hungry, Self::Thirsty, Self::Birthday, Self::Present, Self::Journey];
}

/// How and when the watch last made sure who wears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WearerCheck {
    pub method: WearerMethod,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WearerMethod {
    /// Typed on the watch.
    Pin,
    /// The watch's own sensor: finger, face.
    Biometric,
}

/// A guardian's answer. Signed by the guardian's passkey; single use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub v: V1,
    pub order: Digest,
    /// Digest of the bill that is decided on: the order's, or the requote that stands in for it.
    pub bill: Digest,
    /// Lines taken out of the order's bill, in its order. Empty when refused.
    pub struck: Vec<LineId>,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub wearer: WearerId,
    /// Digest of the merchant certificate: who is paid.
    pub payee: Digest,
    /// What may be paid. When refused: what was asked.
    pub total: Amount,
    pub verdict: Verdict,
    /// Digest of another guardian's approval of the same, which this one seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Digest>,
    pub guardian: GuardianId,
    pub credential: CredentialId,
    pub log_head: Digest,
    pub at: Timestamp,
    /// After this the approval is void.
    pub pay_by: Timestamp,
    /// The guardian's words to the child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// What the guardian would rather nod to; only with a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggest: Option<Suggestion>,
}

/// Longest note of a guardian's to the child, in characters.
pub const MAX_NOTE_CHARS: usize = 80;

/// The guardian's words to the child.
pub type Note = Text<MAX_NOTE_CHARS>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Approve,
    Refuse,
}

/// The watch's instruction to pay what a decision or a mandate approves. Without it no money moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    pub v: V1,
    /// Derived from `order` and what vouches: `decision` or `mandate`.
    pub payment: PaymentId,
    pub order: Digest,
    /// A guardian's decision. Exactly one of this and `mandate` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Digest>,
    /// The log entry of a standing rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<Digest>,
    pub bill: Digest,
    pub payee: Digest,
    pub total: Amount,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub log_head: Digest,
    pub at: Timestamp,
}

impl Payment {
    /// The decision or the entry of the mandate; `None` where there are both or neither.
    #[must_use]
    pub const fn voucher(&self) -> Option<Voucher> {
        Voucher::of(self.decision, self.mandate)
    }
}

/// What lets an order be paid, or refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// Digest of a guardian's decision.
    Decision(Digest),
    /// Digest of the log entry of a mandate.
    Mandate(Digest),
}

impl Voucher {
    const fn of(decision: Option<Digest>, mandate: Option<Digest>) -> Option<Self> {
        match (decision, mandate) {
            (Some(decision), None) => Some(Self::Decision(decision)),
            (None, Some(entry)) => Some(Self::Mandate(entry)),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    #[must_use]
    pub const fn digest(self) -> Digest {
        match self {
            Self::Decision(digest) | Self::Mandate(digest) => digest,
        }
    }
}

/// The watch takes its order back. Only before it has signed a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    pub v: V1,
    pub order: Digest,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub reason: CancelReason,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// The child tapped cancel.
    Wearer,
    /// A message the watch got did not verify.
    NotGenuine,
}

/// How an order ended: the service's word, one an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub v: V1,
    pub order: Digest,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub outcome: OutcomeKind,
    /// Present exactly when `outcome` is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Digest>,
    /// The log entry of the mandate that approved or refused in place of a decision; never beside one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<Digest>,
    /// Why the mandate refused; present exactly when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Why>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Digest>,
    /// Present exactly when the service accepted a payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Digest>,
    /// The ledger's movement; present exactly when `outcome` is `paid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferId>,
    /// What was paid, or would have been.
    pub total: Amount,
    pub log_head: Digest,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    Paid,
    Failed,
    Refused,
    Expired,
    Cancelled,
}

impl Outcome {
    /// What decided: a guardian or a mandate.
    #[must_use]
    pub const fn voucher(&self) -> Option<Voucher> {
        Voucher::of(self.decision, self.mandate)
    }
}

impl OutcomeKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an order failed. Stable codes of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailReason {
    InsufficientBalance,
    BillAlreadyPaid,
    BillCancelled,
    BillExpired,
    WatchRemoved,
    /// The operator has stopped the household's payments.
    HouseholdFrozen,
    /// The rail would not move the money.
    PaymentDeclined,
}

impl FailReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientBalance => "insufficient-balance",
            Self::BillAlreadyPaid => "bill-already-paid",
            Self::BillCancelled => "bill-cancelled",
            Self::BillExpired => "bill-expired",
            Self::WatchRemoved => "watch-removed",
            Self::HouseholdFrozen => "household-frozen",
            Self::PaymentDeclined => "payment-declined",
        }
    }
}

/// The watch countersigns what it saw (claim 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultReport {
    pub v: V1,
    pub order: Digest,
    pub outcome: Digest,
    pub seen: OutcomeKind,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub at: Timestamp,
}

/// The watch tells the guardians how its PIN stands, whenever they should know. Signed by the watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinReport {
    pub v: V1,
    pub household: HouseholdId,
    pub watch: WatchId,
    /// Counts this watch's reports from 1: the highest one holds.
    pub seq: u64,
    /// What a guardian's [`PinCommand`](crate::PinCommand) must name.
    pub nonce: Nonce,
    pub state: PinState,
    /// Wrong tries in a row, once they are so many that the watch makes its wearer wait; else 0.
    pub wrong: u32,
    /// When the watch may be tried again, by the service's clock as the watch knows it; present exactly when `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// Nothing to do, nothing asked.
    Ok,
    /// Too many wrong tries; the watch makes its wearer wait.
    Waiting,
    /// Far too many: only a guardian unlocks it.
    Locked,
    /// Locked, and the wearer asks a guardian to unlock it.
    AskedUnlock,
    /// The wearer asks to choose a new PIN.
    AskedNewPin,
}
