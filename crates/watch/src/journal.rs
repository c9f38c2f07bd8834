//! What the watch keeps over a reboot: one small versioned JSON blob, replaced whole.
//!
//! It holds signed messages as they were signed, and what was pinned. It never holds a PIN or a private key. What is read
//! back is checked like any other input: every message is verified again (`agent::restore`).

use std::collections::BTreeMap;

use nodpay_core::{
    Amount, Digest, GuardianId, Hint, HouseholdId, LineId, Note, OrderId, OutcomeKind, PairingId, PublicKey, Text,
    Timestamp, V1, WatchId, Why,
};
use nodpay_protocol::VerifyError;
use serde::{Deserialize, Serialize};

use crate::agent::PinAsk;
use crate::pin::{PinLock, PinRecord};

/// Longest journal taken, in bytes.
const MAX_JOURNAL_LEN: usize = 16 * 1024 * 1024;

/// Why a journal is not taken. The runtime must not overwrite it: it may name a payment under way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Nothing a watch wrote.
    #[error("the journal is longer than {MAX_JOURNAL_LEN} bytes")]
    TooLong,
    /// Another version, or damaged; why.
    #[error("the journal is not in its form: {0}")]
    Malformed(String),
    /// Damaged, or not this watch's.
    #[error("a message in the journal does not verify: {0}")]
    Message(#[from] VerifyError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    #[serde(rename = "nodpay-watch-journal")]
    pub(crate) v: V1,
    pub(crate) clock_offset_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<PinRecord>,
    pub(crate) lock: PinLock,
    #[serde(default)]
    pub(crate) asks: PinAsk,
    pub(crate) owner: OwnerRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OwnerRecord {
    New,
    Pairing(Box<PairingRecord>),
    Household(Box<HouseholdRecord>),
}

/// What the pairing code said and the watch relies on from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pins {
    pub(crate) service: String,
    pub(crate) household: HouseholdId,
    pub(crate) founding: Digest,
    pub(crate) root: PublicKey,
    pub(crate) rp_id: String,
    pub(crate) origins: Vec<String>,
    pub(crate) watch: WatchId,
    /// The watch's own key, which the key store must hold.
    pub(crate) key: PublicKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairingRecord {
    pub(crate) pins: Pins,
    pub(crate) pairing: PairingId,
    /// By the service's clock.
    pub(crate) expires: Timestamp,
    pub(crate) claim: String,
    pub(crate) delivered: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HouseholdRecord {
    pub(crate) pins: Pins,
    pub(crate) log: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wearer_name: Option<Text<40>>,
    /// What the wearer calls them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) guardians: BTreeMap<GuardianId, Text<40>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) balance: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome_certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier_outcome_certificates: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_event: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) orders: Vec<OrderRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reports: Vec<Report>,
    /// Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) past: Vec<Past>,
    /// Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) counted: Vec<Counted>,
}

/// An order whose outcome is not known yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderRecord {
    pub(crate) certificate: String,
    pub(crate) bill: String,
    pub(crate) order: String,
    /// By the wall clock of the watch: bridges a reboot.
    pub(crate) signed_at: Timestamp,
    pub(crate) stage: StageRecord,
    /// The wearer has left its screen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dismissed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StageRecord {
    Sending,
    Waiting,
    GivenUp {
        cancel: String,
        why: GivenUpFor,
        delivered: bool,
    },
    Paying {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requote: Option<String>,
        /// Exactly one of this and `mandate`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mandate: Option<Digest>,
        payment: String,
        delivered: bool,
    },
}

/// Why the watch takes an order back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GivenUpFor {
    /// The wearer cancelled.
    Wearer,
    /// A decision did not verify.
    NotGenuine,
    /// No outcome came although the order's time is over.
    Late,
    /// The household removed this watch.
    Removed,
    /// The rule that would let it be paid does not, as this watch knows it.
    Rule,
}

/// What an ended screen says, until the wearer leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    pub(crate) order: OrderId,
    pub(crate) kind: OutcomeKind,
    pub(crate) shop: Text<50>,
    pub(crate) total: Amount,
    pub(crate) struck: Vec<Text<60>>,
    /// Who decided, as the wearer calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guardian: Option<Text<40>>,
    /// The name of their standing rule, where that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<Text<30>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<EndReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<SuggestionRecord>,
}

/// What the guardian would rather nod to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuggestionRecord {
    /// Names of the goods, how many of each, and how many were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<(Text<60>, u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<Hint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) up_to: Option<Amount>,
    /// Where a new order of the same bill can be just that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<AgainRecord>,
}

/// The bill that was refused, and what another order of it leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgainRecord {
    pub(crate) certificate: String,
    pub(crate) bill: String,
    pub(crate) without: Vec<LineId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EndReason {
    Words(Note),
    NotEnoughMoney,
    BillAlreadyPaid,
    BillCancelled,
    BillExpired,
    WatchNotEnrolled,
    WalletStopped,
    BankDeclined,
    NotGenuine,
    NoNetwork,
    /// Why a standing rule refused it.
    Rule(Why),
    /// The rule that approved it does not hold any more, or not by this watch's own count.
    RuleOver,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Past {
    pub(crate) kind: OutcomeKind,
    pub(crate) shop: Text<50>,
    pub(crate) total: Amount,
    /// By the service's clock.
    pub(crate) at: Timestamp,
}

/// What this watch paid, or is paying, while it had a standing rule: what the rule's caps are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    pub(crate) order: OrderId,
    /// When the order was made.
    pub(crate) at: Timestamp,
    pub(crate) total: Amount,
}

/// A signed result that the service has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    pub(crate) order: OrderId,
    pub(crate) result: String,
}

impl Journal {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, JournalError> {
        if bytes.len() > MAX_JOURNAL_LEN {
            return Err(JournalError::TooLong);
        }
        serde_json::from_slice(bytes).map_err(|error| JournalError::Malformed(error.to_string()))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match serde_json::to_vec(self) {
            Ok(bytes) => bytes,
            Err(_) => unreachable!("only a map with keys that are not texts cannot be written, and there is none"),
        }
    }
}
