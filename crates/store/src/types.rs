//! What goes into the store and what comes out. Arguments carry the verified payload of a message next to the message;
//! rows are rebuilt from the database as core types, never trusted as they lie there.

use std::sync::Arc;

use nodpay_core::{
    Amount, AskId, Asked, BankAccount, BasisPoints, Bill, BillId, Cancel, CodeText, Country, CredentialId, Currency,
    Day, Decision, Decline, Digest, EnrolledWatch, Entry, Every, FailReason, GuardianId, HouseRules, HouseholdId, Iban,
    Judgement, LineId, LogEntry, Mandate, Mcc, Member, MerchantId, Minor, Order, OrderId, OrderState, OutcomeKind,
    PairingId, Payer, Payment, PersonName, PinReport, PublicKey, RailKind, RailStep, ResultReport, ScheduleId,
    SessionId, Text, Timestamp, TransferId, Wallet, WatchId, WearerId,
};
use serde::{Deserialize, Serialize};

/// A signed message as it was received. The store keeps it and never looks inside; payloads beside it must be the
/// verified content of the same message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub wire: String,
    /// What other messages name it by.
    pub digest: Digest,
}

impl Message {
    /// Only its digest is left.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.wire.is_empty()
    }
}

/// SHA-256 of a secret token (API key, session cookie, invitation): the token itself is never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(hidden)")
    }
}

// Households

/// A guardian founds a household.
#[derive(Clone, Debug)]
pub struct NewHousehold {
    /// A guardian's invitation; used up.
    pub invitation: TokenHash,
    /// Entry 0, `Entry::Found`.
    pub entry: LogEntry,
    pub message: Message,
    /// Opens the founder's `name` digest, which the caller has checked.
    pub name: Option<PersonName>,
    /// Of the household's one wallet.
    pub currency: Currency,
}

/// The next entry of a household's log.
#[derive(Clone, Debug)]
pub struct AppendLog {
    pub entry: LogEntry,
    pub message: Message,
    /// The authenticator's signature counter; 0 where it has none.
    pub counter: u32,
    /// For the enrolment of a wearer who is new to the household; opens the enrolment's `wearer_name` digest, which the
    /// caller has checked. May be repeated, but not changed, for a further watch of the same wearer.
    pub wearer: Option<PersonName>,
    /// The pairing that an enrolment completes.
    pub pairing: Option<PairingId>,
    pub change: GuardianChange,
}

/// What the fold of an entry says beyond the entry itself.
#[derive(Clone, Debug, Default)]
pub struct GuardianChange {
    /// What an `Entry::Second` makes effective.
    pub seconded: Option<Entry>,
    /// Whose standing the entry changes, and how it is from now on.
    pub guardians: Vec<GuardianStanding>,
    /// The recovery key that signed an `Entry::Recover`.
    pub recovery: Option<PublicKey>,
    /// Opens the name digest of who recovers; the name of who is added comes with their claim.
    pub newcomer: Option<PersonName>,
    /// From when the household may be erased, by the log with this entry.
    pub erase_from: Option<Timestamp>,
}

/// Since when and until when somebody is a guardian, as the household log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardianStanding {
    pub guardian: GuardianId,
    pub credential: CredentialId,
    /// From when they see and answer orders.
    pub joins: Timestamp,
    /// From when they sign entries.
    pub counts_from: Timestamp,
    pub leaves: Option<Timestamp>,
}

impl From<&Member> for GuardianStanding {
    fn from(member: &Member) -> Self {
        Self {
            guardian: member.guardian.guardian,
            credential: member.guardian.credential.clone(),
            joins: member.joins,
            counts_from: member.counts_from,
            leaves: member.leaving.map(|leaving| leaving.at),
        }
    }
}

/// Who stopped the household's payments, and when: a guardian, by one tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeze {
    pub by: GuardianId,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HouseholdRow {
    pub household: HouseholdId,
    pub currency: Currency,
    /// Digest of the newest log entry.
    pub head: Digest,
    /// Number of log entries.
    pub next_seq: u64,
    pub wallet: Wallet,
    pub wearers: Vec<(WearerId, PersonName)>,
    /// Those who chose a name.
    pub guardians: Vec<(GuardianId, PersonName)>,
    /// Number of the newest event, 0 before the first.
    pub last_event: u64,
    /// The operator has stopped its payments.
    pub frozen: bool,
    /// A guardian has.
    pub freeze: Option<Freeze>,
    /// It was closed out: no order, top-up or pocket money any more.
    pub closed: bool,
    /// A guardian asked for it to be erased: from when it may be. Nothing of it is paid meanwhile.
    pub erase_from: Option<Timestamp>,
    /// Of deciding, as the log says them.
    pub house_rules: HouseRules,
    /// Guardians who said to be away, and until when. That time may be over.
    pub away: Vec<(GuardianId, Timestamp)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRow {
    pub household: HouseholdId,
    pub enrolled: EnrolledWatch,
    pub removed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardianRow {
    pub household: HouseholdId,
    pub guardian: GuardianId,
    pub credential: CredentialId,
    pub counter: u32,
}

/// A watch's report on its PIN.
#[derive(Clone, Debug)]
pub struct ReportPin {
    pub report: PinReport,
    pub message: Message,
}

/// A household's wallet and its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub wallet: Wallet,
    pub currency: Currency,
}

#[derive(Clone, Copy, Debug)]
pub struct TopUp {
    pub household: HouseholdId,
    /// Random; names this top-up: repeated, it is the same one.
    pub transfer: TransferId,
    /// Above zero, of the wallet's currency.
    pub amount: Amount,
}

/// A guardian has the household's card charged.
#[derive(Clone, Debug)]
pub struct NewCardTopUp {
    pub household: HouseholdId,
    pub guardian: GuardianId,
    /// Made of what was signed: again, it is the same one.
    pub transfer: TransferId,
    pub amount: Amount,
    pub message: Message,
    /// The authenticator's signature counter; 0 where it has none.
    pub counter: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardTopUpRow {
    pub transfer: TransferId,
    pub guardian: GuardianId,
    pub amount: Amount,
    pub state: CardTopUpState,
    pub at: Timestamp,
    /// How its card's holder's dispute stands.
    pub dispute: Option<DisputeState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardTopUpState {
    /// The card's rail has not answered for good.
    Asking(Asking),
    /// It is in the wallet.
    Done,
    /// Nothing was charged.
    Declined(nodpay_core::Decline),
}

/// A card top-up, claimed to be charged now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardTopUpWork {
    pub household: HouseholdId,
    /// Its id never changes, however often it is asked for.
    pub movement: nodpay_core::Movement,
    pub payer: Payer,
    /// The rail's own name for the charge.
    pub known_as: Option<String>,
    /// It may have been done: the rail is asked for its status first.
    pub asked_before: bool,
    /// A guardian who has not confirmed by now is not waited for.
    pub overdue: bool,
}

/// A merchant gives back what a household paid, or a part of it.
#[derive(Clone, Debug)]
pub struct Refund {
    pub merchant: MerchantId,
    /// The paid bill.
    pub bill: BillId,
    /// Names this refund: repeated, it is the same one.
    pub refund: TransferId,
    /// Above zero; with those that are done or asked for at most what was paid.
    pub amount: Amount,
    pub reason: Option<Text<60>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefundRow {
    pub refund: TransferId,
    pub amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<60>>,
    /// When it was asked for.
    pub at: Timestamp,
    #[serde(flatten)]
    pub state: RefundState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "decline", rename_all = "kebab-case")]
pub enum RefundState {
    /// The rail outside has not answered.
    Asked,
    /// The money is back.
    Done,
    /// The rail said no: nothing was given back.
    Failed(Decline),
}

impl RefundState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Done => "done",
            Self::Failed(_) => "failed",
        }
    }
}

/// How a rail says that a dispute of one of its payments stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeNews {
    /// The rail's own name for the payment.
    pub payment: String,
    /// And for the dispute.
    pub dispute: String,
    /// Made of that name: the transfer by which the bank takes the money back.
    pub transfer: TransferId,
    pub amount: Amount,
    pub state: DisputeState,
}

/// A payment that its card's holder disputes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DisputeRow {
    #[serde(skip)]
    pub transfer: TransferId,
    pub amount: Amount,
    pub state: DisputeState,
    pub opened: Timestamp,
    pub changed: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisputeState {
    /// The bank asks, and has taken nothing.
    Open,
    /// The bank has the money while it decides.
    Taken,
    /// The merchant keeps the money, or has it again.
    Won,
    /// The bank keeps the money.
    Lost,
}

impl DisputeState {
    pub const ALL: [Self; 4] = [Self::Open, Self::Taken, Self::Won, Self::Lost];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Taken => "taken",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct CloseOut {
    pub household: HouseholdId,
    /// Names the close-out: repeated, it is the same one.
    pub transfer: TransferId,
}

/// Pocket money: a top-up that comes again and again.
#[derive(Clone, Copy, Debug)]
pub struct NewSchedule {
    pub household: HouseholdId,
    /// Random.
    pub schedule: ScheduleId,
    /// Above zero, of the wallet's currency.
    pub amount: Amount,
    pub every: Every,
    /// When it is due first; dates are counted in UTC.
    pub first: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    pub household: HouseholdId,
    pub schedule: ScheduleId,
    pub amount: Amount,
    pub every: Every,
    pub first: Timestamp,
    /// How many dues are over.
    pub dues: u32,
    /// `None` once ended.
    pub next_due: Option<Timestamp>,
}

// Pairing, invitations, sessions, logins

#[derive(Clone, Copy, Debug)]
pub struct NewPairing {
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub expires: Timestamp,
}

/// A watch's claim, verified with the key it names.
#[derive(Clone, Debug)]
pub struct ClaimPairing {
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub key: PublicKey,
    pub message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingRow {
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub expires: Timestamp,
    pub state: PairingState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairingState {
    Open,
    Claimed(Claim),
    /// The watch is enrolled.
    Done(Claim),
    /// The guardian gave it up.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub watch: WatchId,
    pub key: PublicKey,
    pub message: Message,
}

/// An invitation of a further guardian.
#[derive(Clone, Copy, Debug)]
pub struct NewJoin {
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub expires: Timestamp,
}

/// A newcomer's claim, verified with the passkey it names.
#[derive(Clone, Debug)]
pub struct ClaimJoin {
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub claim: JoinClaim,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinClaim {
    pub guardian: GuardianId,
    /// Opens the claim's name digest, which the caller has checked.
    pub name: PersonName,
    pub message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRow {
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub expires: Timestamp,
    pub state: JoinState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinState {
    Open,
    Claimed(JoinClaim),
    /// The newcomer is a guardian.
    Done(JoinClaim),
    /// Given up.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationKind {
    /// To found a household.
    Guardian,
    /// To enrol the till of a merchant.
    Till(MerchantId),
}

#[derive(Clone, Copy, Debug)]
pub struct NewInvitation {
    pub token: TokenHash,
    pub kind: InvitationKind,
    pub expires: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOf {
    Guardian { household: HouseholdId, guardian: GuardianId },
    Till { merchant: MerchantId },
}

/// What somebody signed in with, in a few coarse words: `iphone/safari`.
pub type Device = Text<32>;

#[derive(Clone, Debug)]
pub struct NewSession {
    pub session: SessionId,
    pub token: TokenHash,
    pub of: SessionOf,
    pub device: Device,
    /// When it ends unless it is used.
    pub expires: Timestamp,
    /// When it ends at the latest.
    pub ends: Timestamp,
}

#[derive(Clone, Copy, Debug)]
pub struct NewToken {
    pub token: TokenHash,
    /// When the session ends unless it is used; its end stays.
    pub expires: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub session: SessionId,
    pub of: SessionOf,
    pub device: Device,
    pub created: Timestamp,
    pub seen: Timestamp,
    /// Since when it has its present token.
    pub rotated: Timestamp,
    pub expires: Timestamp,
    pub shown: Shown,
}

/// Which of a session's tokens it was found by; by its id counts as by the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The present one.
    Present {
        token: TokenHash,
        /// For the first time.
        first: bool,
    },
    /// The one before it: good until a time once the present one was shown.
    Earlier { token: TokenHash, until: Option<Timestamp> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndSessions {
    One(SessionId),
    AllBut(SessionId),
}

// Merchants and bills

#[derive(Clone, Debug)]
pub struct NewMerchant {
    pub merchant: MerchantId,
    pub name: Text<50>,
    pub mcc: Mcc,
    pub city: Text<30>,
    pub country: Country,
    /// Of all its bills.
    pub currency: Currency,
    pub api_key: TokenHash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantRow {
    pub merchant: MerchantId,
    pub name: Text<50>,
    pub mcc: Mcc,
    pub city: Text<30>,
    pub country: Country,
    pub currency: Currency,
    /// `None` until the till has enrolled its key.
    pub key: Option<PublicKey>,
    /// The newest certificate, for the present key; `None` while the operator has not signed it.
    pub certificate: Option<Message>,
    pub goods: Vec<Good>,
    /// What the operator keeps of each payment.
    pub fee: BasisPoints,
    /// Where payouts go.
    pub iban: Option<Iban>,
}

/// An API key of a merchant's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    pub api_key: TokenHash,
    pub created: Timestamp,
}

/// What a till offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Good {
    pub id: LineId,
    pub name: Text<60>,
    /// Minor units of the merchant's currency.
    pub unit_price: Minor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Text<30>>,
    /// Years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_age: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct NewBill {
    /// Revision 1.
    pub bill: Bill,
    pub message: Message,
    /// The watch that made it of a printed code, and signed it.
    pub watch: Option<WatchId>,
}

/// A printed code of a merchant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// What the code says about its payee, as a digest.
    pub payee: Digest,
    pub merchant: MerchantId,
    /// As it was read.
    pub text: CodeText,
}

/// What opening the database did to its tables. Versions count from 1; 0 is an empty database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    pub from: usize,
    pub to: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRow {
    pub payee: Digest,
    pub text: CodeText,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    pub bill: BillId,
    pub merchant: MerchantId,
    /// The certificate that the bill names.
    pub certificate: Message,
    pub message: Message,
    /// The watch that made it of a printed code: nobody else may order it.
    pub watch: Option<WatchId>,
    /// Of revision 1.
    pub total: Amount,
    /// By the service's clock.
    pub deadline: Timestamp,
    pub scanned: bool,
    pub state: BillState,
    /// The order that paid the bill, else the newest one.
    pub latest: Option<BillOrder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillState {
    Open,
    /// Paid by this order.
    Consumed(HouseholdId, OrderId),
    Cancelled,
}

/// What a till may know of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillOrder {
    pub state: OrderState,
    /// Decided, else requoted, else asked.
    pub total: Amount,
    /// Decided, else requoted.
    pub struck: Vec<LineId>,
    pub requoted: bool,
    /// What went back of it.
    pub refunded: Amount,
}

/// What a till shows of its bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BillStatus {
    Open,
    Scanned,
    /// A guardian is asked.
    Waiting,
    /// A guardian is asked, and the bill was requoted.
    Changed,
    Approved,
    Paid,
    Refused,
    /// The bill or its last order.
    Expired,
    /// By the merchant or by the child.
    Cancelled,
    Failed,
}

impl BillRow {
    /// A bill whose last order was refused, cancelled, failed or expired can still be ordered again until its deadline.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> BillStatus {
        match (self.state, &self.latest) {
            (BillState::Cancelled, _) => BillStatus::Cancelled,
            (BillState::Consumed(..), _) => BillStatus::Paid,
            (BillState::Open, Some(order)) => match order.state {
                OrderState::Waiting { .. } if order.requoted => BillStatus::Changed,
                OrderState::Waiting { .. } => BillStatus::Waiting,
                OrderState::Holding { .. } | OrderState::Approved { .. } | OrderState::Paying { .. } => {
                    BillStatus::Approved
                }
                OrderState::Ended { outcome } => match outcome {
                    OutcomeKind::Paid => BillStatus::Paid,
                    OutcomeKind::Failed => BillStatus::Failed,
                    OutcomeKind::Refused => BillStatus::Refused,
                    OutcomeKind::Expired => BillStatus::Expired,
                    OutcomeKind::Cancelled => BillStatus::Cancelled,
                },
            },
            (BillState::Open, None) if now >= self.deadline => BillStatus::Expired,
            (BillState::Open, None) if self.scanned => BillStatus::Scanned,
            (BillState::Open, None) => BillStatus::Open,
        }
    }

    /// The total to show: paid or approved, else requoted, else asked.
    #[must_use]
    pub fn current_total(&self) -> Amount {
        self.latest.as_ref().map_or(self.total, |order| order.total)
    }

    /// The lines taken out so far.
    #[must_use]
    pub fn struck(&self) -> &[LineId] {
        self.latest.as_ref().map_or(&[], |order| &order.struck)
    }
}

// A merchant's books

/// Whole days in UTC, the first and the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Day,
    pub to: Day,
}

/// What moved in some time, in minor units of the merchant's currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub payments: Minor,
    pub refunds: Minor,
    /// Less what was given back with refunds.
    pub fees: Minor,
    /// Less what came back.
    pub payouts: Minor,
    /// Taken back by cards' banks, less what came back.
    pub disputes: Minor,
}

/// A day that is over, on which something moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosingRow {
    pub day: Day,
    pub currency: Currency,
    pub totals: Totals,
    /// At its end.
    pub balance: Minor,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub merchant: MerchantId,
    pub period: Period,
    pub currency: Currency,
    /// Balance at the period's begin.
    pub opening: Minor,
    pub totals: Totals,
    /// Balance at the period's end.
    pub closing: Minor,
    /// By time; a page of them.
    pub movements: Vec<Movement>,
    /// Where the next page goes on, if there may be one.
    pub next: Option<Place>,
}

/// A place between the movements of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub at: Timestamp,
    pub transfer: TransferId,
}

/// A change of a merchant's balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub at: Timestamp,
    pub transfer: TransferId,
    pub kind: MovementKind,
    /// Below zero where it takes something away.
    pub change: Minor,
    pub bill: Option<BillId>,
    /// Of a refund.
    pub reason: Option<Text<60>>,
}

impl Movement {
    #[must_use]
    pub const fn place(&self) -> Place {
        Place { at: self.at, transfer: self.transfer }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MovementKind {
    Payment,
    Fee,
    Refund,
    /// The fee on what was refunded.
    FeeBack,
    Payout,
    /// A payout that the bank returned.
    PayoutBack,
    /// Taken back by the card's bank.
    Dispute,
    /// And given again.
    DisputeBack,
}

impl MovementKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Fee => "fee",
            Self::Refund => "refund",
            Self::FeeBack => "fee-back",
            Self::Payout => "payout",
            Self::PayoutBack => "payout-back",
            Self::Dispute => "dispute",
            Self::DisputeBack => "dispute-back",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutRow {
    pub merchant: MerchantId,
    pub payout: TransferId,
    /// Of the merchant's, upwards; some numbers are left out.
    pub number: u64,
    pub amount: Amount,
    pub iban: Iban,
    pub state: PayoutState,
    pub asked: Timestamp,
    pub changed: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayoutState {
    /// The money is set aside.
    Asked,
    /// A file with it may be on its way to the bank.
    Sending,
    /// The bank has the order.
    Sent,
    Done,
    /// The merchant has its money here again.
    Returned,
}

impl PayoutState {
    pub const ALL: [Self; 5] = [Self::Asked, Self::Sending, Self::Sent, Self::Done, Self::Returned];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Returned => "returned",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// What nobody has begun to send can be returned; what may be on its way cannot, until the bank has it. The payee's bank
    /// may send back what was done.
    pub(crate) const fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Asked => matches!(next, Self::Sending | Self::Sent | Self::Returned),
            Self::Sending => matches!(next, Self::Sent),
            Self::Sent => matches!(next, Self::Done | Self::Returned),
            Self::Done => matches!(next, Self::Returned),
            Self::Returned => false,
        }
    }
}

// Orders

#[derive(Clone, Debug)]
pub struct PlaceOrder {
    pub order: Order,
    pub message: Message,
    /// The order and its bill as standing rules see them.
    pub asked: Asked,
}

#[derive(Clone, Debug)]
pub struct Decide {
    pub order: OrderId,
    pub decision: Decision,
    pub message: Message,
    /// The authenticator's signature counter; 0 where it has none.
    pub counter: u32,
}

#[derive(Clone, Debug)]
pub struct Pay {
    pub order: OrderId,
    pub payment: Payment,
    pub message: Message,
}

#[derive(Clone, Debug)]
pub struct CancelOrder {
    pub order: OrderId,
    pub cancel: Cancel,
    pub message: Message,
}

#[derive(Clone, Debug)]
pub struct ReportResult {
    pub order: OrderId,
    pub result: ResultReport,
    pub message: Message,
}

/// An order with every message of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    pub household: HouseholdId,
    pub order: OrderId,
    pub watch: WatchId,
    pub wearer: WearerId,
    pub bill: BillId,
    pub merchant: MerchantId,
    pub merchant_certificate: Message,
    /// Revision 1.
    pub bill_message: Message,
    pub message: Message,
    pub state: OrderState,
    pub received: Timestamp,
    /// The decision's total, else the bill's (revision 1).
    pub total: Amount,
    /// By the decision.
    pub struck: Vec<LineId>,
    /// The bill that stands in for revision 1.
    pub requote: Option<Requote>,
    pub decision: Option<Message>,
    /// A guardian's approval that waits for another one's, or that the decision names; of a refused order, that was there before.
    pub first: Option<Message>,
    /// The log entry of the rule that approved or refused it in place of a decision.
    pub mandate: Option<Message>,
    /// What the rules said when it came; `None` where its watch had none.
    pub judged: Option<Judged>,
    pub cancel: Option<Message>,
    pub payment: Option<Message>,
    pub outcome: Option<Ended>,
    pub result: Option<Message>,
    /// What the merchant gave back: zero but for a paid one.
    pub refunded: Amount,
    /// What moves its money: the household's when it came.
    pub rail: RailKind,
    /// What it waits for from a rail outside; present exactly while it is holding or paying.
    pub asking: Option<Asking>,
    /// The newest ask.
    pub ask: Option<AskRow>,
}

/// What a watch's rules said to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// `None` where its watch had no rule: only the household's caps count it.
    pub said: Option<Judgement>,
    /// In which sums of its watch it counts, once its money is held.
    pub counts: Vec<nodpay_core::Period>,
    /// In which sums of all watches together.
    pub house: Vec<nodpay_core::Period>,
}

impl Judged {
    /// What the rules answered, where there were any.
    #[must_use]
    pub fn answer(&self) -> Option<nodpay_core::Answer> {
        self.said.map(|said| said.answer)
    }
}

/// What an order waits for from its rail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Its answer.
    Answer,
    /// Its answer got lost: it is asked again.
    Unknown,
    /// A guardian opens this address and confirms there.
    Guardian(String),
}

/// What a rail outside has not finished: a step of an order, or a top-up from a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedRow {
    pub household: HouseholdId,
    pub rail: RailKind,
    /// `None` for a top-up.
    pub of: Option<(OrderId, RailStep)>,
    pub transfer: TransferId,
    pub amount: Amount,
    /// What the rail has said: `asked` (nothing yet), `unknown`, `pending`, or `action` where the guardian is to confirm.
    pub state: String,
    pub tries: u32,
    pub asked: Timestamp,
    /// When it is asked again.
    pub next: Timestamp,
}

/// The operator's accounts, and its debts to households and merchants, each kind as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKind {
    /// The world outside: below zero by what came in and has not gone out.
    Outside,
    Wallets,
    Merchants,
    /// What the operator keeps of payments.
    Fees,
    /// Payments of which a rail has not said what became of them.
    Suspense,
    /// Below zero by what Stripe has taken for us.
    Stripe,
    /// Below zero by what families' banks were told to pay.
    BankRail,
    /// Payouts on their way to merchants' banks.
    Payouts,
    /// What cards' banks took back of payments.
    TakenBack,
}

impl AccountKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Wallets => "wallets",
            Self::Merchants => "merchants",
            Self::Fees => "fees",
            Self::Suspense => "suspense",
            Self::Stripe => "stripe",
            Self::BankRail => "bank-rail",
            Self::Payouts => "payouts",
            Self::TakenBack => "taken-back",
        }
    }
}

/// What came to an account more than went from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookRow {
    pub account: AccountKind,
    pub balance: Amount,
}

/// A step of a rail outside, claimed to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailWork {
    pub household: HouseholdId,
    pub order: OrderId,
    pub step: RailStep,
    /// Its id never changes, however often it is asked for.
    pub movement: nodpay_core::Movement,
    /// The transfer that the order's hold is.
    pub hold: TransferId,
    pub payer: Payer,
    /// The merchant's account, where one is known.
    pub payee: Option<BankAccount>,
    /// The rail's own name for the payment.
    pub known_as: Option<String>,
    /// It may have been done: the rail is asked for its status first.
    pub asked_before: bool,
    /// When the order came.
    pub received: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requote {
    pub revision: u32,
    pub total: Amount,
    pub struck: Vec<LineId>,
    pub message: Message,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub kind: OutcomeKind,
    /// Present exactly when `kind` is failed.
    pub reason: Option<FailReason>,
    pub message: Message,
    /// Number of log entries up to the head that the outcome names.
    pub log_len: u64,
}

impl OrderRow {
    /// Digest of the bill that a decision must be over.
    #[must_use]
    pub fn current_bill(&self) -> Digest {
        self.requote.as_ref().map_or(self.bill_message.digest, |requote| requote.message.digest)
    }

    /// The transfer that its hold is, if it got one: named by what vouches for it, a decision or, with a mandate, the order.
    #[must_use]
    pub fn hold_id(&self) -> Option<TransferId> {
        let of_order = self.mandate.as_ref().map(|_| self.message.digest);
        self.decision.as_ref().map(|decision| decision.digest).or(of_order).map(crate::hold_id)
    }

    /// Milliseconds until the present state ends by itself, at least 0; `None` once ended.
    #[must_use]
    pub fn left_ms(&self, now: Timestamp) -> Option<i64> {
        self.state.deadline().map(|deadline| deadline.ms_since(now).max(0))
    }
}

/// Everything for an ended order's evidence file except the outcome certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceParts {
    /// Its `requote` is present only when the decision names it.
    pub order: OrderRow,
    /// Wires up to the head that the outcome names.
    pub log: Vec<String>,
    pub wearer: PersonName,
}

/// A household's log, and what the store made of it, as both were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rulebook {
    pub log: Vec<Message>,
    /// The rules that orders are judged by with their log entries, in their order.
    pub mandates: Vec<(Digest, Mandate)>,
    /// Those of deciding.
    pub house_rules: HouseRules,
}

/// Some of a household's orders and all that their evidence is made of, as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidencePage {
    pub rulebook: Rulebook,
    /// The newest first, also those that have not ended or are no longer kept.
    pub orders: Vec<OrderRow>,
    pub(crate) wearers: Vec<(WearerId, PersonName)>,
    /// Of all keys that ever signed outcomes here.
    pub outcome_certificates: Vec<Message>,
}

// Requotes

#[derive(Clone, Debug)]
pub struct AskRequote {
    pub household: HouseholdId,
    pub order: OrderId,
    /// Random.
    pub ask: AskId,
    /// Lines to leave out, in the bill's order.
    pub struck: Vec<LineId>,
}

#[derive(Clone, Debug)]
pub struct AnswerRequote {
    pub merchant: MerchantId,
    pub ask: AskId,
    /// A requote of the order's bill, checked against it, with the ask's revision.
    pub bill: Bill,
    pub message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskRow {
    pub ask: AskId,
    pub household: HouseholdId,
    pub order: OrderId,
    pub bill: BillId,
    pub merchant: MerchantId,
    /// The revision that the requote must have; no two asks of a bill have the same.
    pub revision: u32,
    pub struck: Vec<LineId>,
    pub deadline: Timestamp,
    pub state: AskState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskState {
    Asked,
    /// With the requote's digest.
    Answered(Digest),
    /// In the merchant's words.
    Refused(Text<60>),
    /// The merchant did not answer in time, or a newer ask took its place, or the order went on without it.
    TimedOut,
}

// Events

/// Whose stream of a household's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    Guardian,
    Watch(WatchId),
}

/// Numbered within the household, upwards, with gaps as seen by one audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub seq: u64,
    pub at: Timestamp,
    pub event: HouseholdEvent,
}

/// A reference: what to send is read from the rows when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HouseholdEvent {
    /// The log has the entry with this number. Told again of the newest one when the household is frozen.
    Log(u64),
    Pairing(PairingId),
    Order(OrderId),
    Requote(OrderId),
    Decision(OrderId),
    Outcome(OrderId),
    Result(OrderId),
    Refund(OrderId),
    Balance,
    /// The watch reported on its PIN.
    Pin(WatchId),
}

impl HouseholdEvent {
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Pairing(_) => "pairing",
            Self::Order(_) => "order",
            Self::Requote(_) => "requote",
            Self::Decision(_) => "decision",
            Self::Outcome(_) => "outcome",
            Self::Result(_) => "result",
            Self::Refund(_) => "refund",
            Self::Balance => "balance",
            Self::Pin(_) => "pin",
        }
    }

    /// The order it is about.
    #[must_use]
    pub const fn order(&self) -> Option<OrderId> {
        match *self {
            Self::Order(order)
            | Self::Requote(order)
            | Self::Decision(order)
            | Self::Outcome(order)
            | Self::Result(order)
            | Self::Refund(order) => Some(order),
            Self::Log(_) | Self::Pairing(_) | Self::Balance | Self::Pin(_) => None,
        }
    }

    /// Whether the balance is told with it.
    pub(crate) const fn names_balance(&self) -> bool {
        matches!(self, Self::Balance | Self::Outcome(_))
    }
}

/// Events of one audience, with the rows they refer to as they were when the last of these events was written, or later.
#[derive(Clone, Debug)]
pub struct EventsPage {
    pub events: Vec<EventRow>,
    /// Nothing else happened for this audience up to this number.
    pub read_to: u64,
    /// There may be more.
    pub is_full: bool,
    /// Those that its events are about, where their row says more than the event.
    pub orders: Vec<Arc<OrderRow>>,
    /// Where an event is about it.
    pub balance: Option<Balance>,
}

impl EventsPage {
    /// Of an event in it.
    #[must_use]
    pub fn order(&self, order: OrderId) -> Option<&OrderRow> {
        self.orders.iter().find(|row| row.order == order).map(AsRef::as_ref)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerchantEventRow {
    pub seq: u64,
    pub at: Timestamp,
    pub event: MerchantEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantEvent {
    /// The bill's status changed.
    Bill(BillId),
    /// A requote is asked for.
    Requote(BillId, AskId),
}

/// Whose events to read again. Sent after commit; carries nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Household(HouseholdId),
    Merchant(MerchantId),
    /// Of the household: another phone wants to be woken, or one no longer does.
    Subscribers(HouseholdId),
    /// Topics may have been missed: everybody is to read on.
    Everything,
}

/// What [`crate::Store::erase_due`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub erased: Vec<HouseholdId>,
    /// Their time is over, but there is money in the wallet or something is being paid.
    pub waiting: Vec<HouseholdId>,
}

/// What [`crate::Store::tick`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticked {
    /// Orders ended and asks timed out.
    pub ended: u64,
    /// Dues of pocket money paid.
    pub topped_up: u64,
    /// Merchants' days closed.
    pub closed: u64,
    /// When something is due next.
    pub next: Option<Timestamp>,
}

/// Something [`crate::Store::check`] found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub table: &'static str,
    pub row: String,
    pub what: String,
}
