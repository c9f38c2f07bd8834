//! Whole transactions of Nodpay: each method of [`Store`] records one thing that happened, its events included, or
//! nothing. The only place with SQL.
//!
//! Owns: the rows, the wallet's movements, the numbering of events, the deadlines of orders. Never does: signatures
//! (the [`OutcomeSigner`] is given), clocks and random numbers (they come in as arguments), HTTP. Messages come in
//! verified, with their payload beside them; the store checks only what depends on what it holds.
//!
//! Invariants, each also looked for by [`Store::check`]:
//! - An order changes only by `nodpay_core::OrderState::step`, a wallet only by `nodpay_core::Wallet`, both in the
//!   transaction that writes the outcome and the events.
//! - An ended order has exactly one outcome; a paid one exactly one posted transfer. A bill is consumed at most once,
//!   before its hold posts.
//! - Wallets equal the fold of their transfers; signed messages, log entries, transfers and settlements are never
//!   changed or deleted (triggers say so too).
//!
//! Every writing method may be repeated: the same id with the same content gives the first answer, with other content
//! an error of its own. An error changes nothing, with one exception: whatever meets an order whose time is over ends it
//! `expired`, with its events, and then says [`StoreError::OrderExpired`].
//!
//! SQLite now: one writer thread with group commit, and a few reading connections. Rows that belong to a household are
//! keyed by it, and merchants have no row that every payment writes, so that PostgreSQL can stand behind the same
//! methods.

mod error;
mod types;

use std::path::Path;
use std::sync::Arc;

use nodpay_core::{
    Amount, AskId, BillId, CredentialId, Digest, HouseholdId, MerchantId, OrderId, Outcome, PairingId, PublicKey, Text,
    Timestamp, WatchId,
};
use tokio::sync::broadcast;

pub use error::{Blame, StoreError};
pub use types::{
    AnswerRequote, AppendLog, AskRequote, AskRow, AskState, Audience, Balance, BillOrder, BillRow, BillState,
    BillStatus, CancelOrder, Claim, ClaimPairing, Decide, Ended, EventRow, EvidenceParts, Finding, Good, GuardianRow,
    HouseholdEvent, HouseholdRow, InvitationKind, MerchantEvent, MerchantEventRow, MerchantRow, Message, NewBill,
    NewHousehold, NewInvitation, NewMerchant, NewPairing, NewSession, OrderRow, PairingRow, PairingState, Pay,
    PlaceOrder, ReportResult, Requote, SessionOf, Ticked, TokenHash, TopUp, Topic, WatchRow, WearerName,
};

/// How long a merchant has to answer an ask: 30 seconds.
pub const ASK_LIFE_MS: i64 = 30_000;
/// Asks an order may have.
pub const MAX_ASKS: u32 = 20;
/// Goods a merchant may have.
pub const MAX_GOODS: usize = 500;
/// Logins that may run at once, over all guardians.
pub const MAX_LOGINS: u32 = 10_000;
/// Orders [`Store::orders`] gives at once.
pub const MAX_ORDERS_PAGE: u32 = 50;
/// Events one call gives at once.
pub const MAX_EVENTS_PAGE: u32 = 100;
/// Merchants [`Store::merchants`] gives at once.
pub const MAX_MERCHANTS_PAGE: u32 = 100;
/// Topics a slow subscriber may be behind before it is told that it missed some.
pub const TOPIC_BUFFER: usize = 4_096;

/// Signs an outcome with the service's outcome key. Called inside the transaction that ends the order, so it must be
/// quick and must not call the store.
pub type OutcomeSigner = Arc<dyn Fn(Outcome) -> Result<Message, String> + Send + Sync>;

/// A handle; clones share one database. Dropping the last one writes what is queued and closes the file.
#[derive(Clone)]
pub struct Store {
    topics: broadcast::Sender<Topic>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or makes the file, brings its tables up to date and starts the writer thread. Blocks for that long.
    pub fn open_sqlite(path: &Path, signer: OutcomeSigner) -> Result<Self, StoreError> {
        let _ = (path, signer);
        Ok(Self { topics: broadcast::channel(TOPIC_BUFFER).0 })
    }

    /// Topics of all transactions from now on, after their commit. A subscriber who lags is told so by the channel and
    /// reads its events again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Topic> {
        self.topics.subscribe()
    }

    /// Whether reading and writing work; for `/readyz`.
    pub async fn ready(&self) -> Result<(), StoreError> {
        Err(StoreError::Stopped)
    }

    // Households

    /// Founds a household: uses up the invitation, records entry 0 and an empty wallet.
    ///
    /// Errors: `Invitation*`, `HouseholdExists`, `CredentialExists`.
    pub async fn create_household(&self, new: NewHousehold, now: Timestamp) -> Result<(), StoreError> {
        let _ = (new, now);
        Err(StoreError::Stopped)
    }

    /// Appends the entry that the log's head leads to. An enrolment records watch and wearer and completes its pairing; a
    /// removal ends the watch's open order `failed`, `watch-removed`. Events: `log` for guardians and all watches.
    ///
    /// Errors: `HouseholdUnknown`, `LogMoved` (somebody else's entry came first), `GuardianUnknown`, `CounterReplayed`,
    /// `WatchExists`, `WatchUnknown`, `WearerNameMissing`, `WearerConflict`, `Pairing*`.
    pub async fn append_log(&self, append: AppendLog, now: Timestamp) -> Result<(), StoreError> {
        let _ = (append, now);
        Err(StoreError::Stopped)
    }

    /// Log entries from number `from_seq` on, in order.
    pub async fn log(&self, household: HouseholdId, from_seq: u64) -> Result<Vec<Message>, StoreError> {
        let _ = (household, from_seq);
        Err(StoreError::Stopped)
    }

    pub async fn household(&self, household: HouseholdId) -> Result<Option<HouseholdRow>, StoreError> {
        let _ = (household,);
        Err(StoreError::Stopped)
    }

    /// A watch that was ever enrolled, and whose it is.
    pub async fn household_of_watch(&self, watch: WatchId) -> Result<Option<WatchRow>, StoreError> {
        let _ = (watch,);
        Err(StoreError::Stopped)
    }

    pub async fn guardian_by_credential(&self, credential: CredentialId) -> Result<Option<GuardianRow>, StoreError> {
        let _ = (credential,);
        Err(StoreError::Stopped)
    }

    /// After a login: the counter must go up, unless the authenticator has none (0 both times).
    ///
    /// Errors: `GuardianUnknown`, `CounterReplayed`.
    pub async fn bump_counter(&self, credential: CredentialId, counter: u32) -> Result<(), StoreError> {
        let _ = (credential, counter);
        Err(StoreError::Stopped)
    }

    // Pairing, invitations, sessions, logins

    /// Errors: `HouseholdUnknown`, `PairingExists`.
    pub async fn create_pairing(&self, new: NewPairing, now: Timestamp) -> Result<(), StoreError> {
        let _ = (new, now);
        Err(StoreError::Stopped)
    }

    /// The first claim wins; the same watch and key may claim again. Event: `pairing` for guardians.
    ///
    /// Errors: `PairingUnknown` (also for another household's), `PairingExpired`, `PairingTaken`, `PairingClosed`,
    /// `WatchExists` (enrolled, or claiming elsewhere with another key).
    pub async fn claim_pairing(&self, claim: ClaimPairing, now: Timestamp) -> Result<(), StoreError> {
        let _ = (claim, now);
        Err(StoreError::Stopped)
    }

    /// A guardian gives a pairing up; done ones stay done (`PairingClosed`). Event: `pairing` for guardians.
    ///
    /// Errors: `PairingUnknown`, `PairingClosed`.
    pub async fn close_pairing(
        &self,
        household: HouseholdId,
        pairing: PairingId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (household, pairing, now);
        Err(StoreError::Stopped)
    }

    /// Expired ones too: compare `expires`.
    pub async fn pairing(&self, pairing: PairingId) -> Result<Option<PairingRow>, StoreError> {
        let _ = (pairing,);
        Err(StoreError::Stopped)
    }

    /// The pairing that a watch, not yet enrolled, has claimed and that still runs.
    pub async fn pairing_of_watch(&self, watch: WatchId, now: Timestamp) -> Result<Option<PairingRow>, StoreError> {
        let _ = (watch, now);
        Err(StoreError::Stopped)
    }

    /// Errors: `MerchantUnknown`.
    pub async fn create_invitation(&self, new: NewInvitation, now: Timestamp) -> Result<(), StoreError> {
        let _ = (new, now);
        Err(StoreError::Stopped)
    }

    /// What an invitation that can still be used is for.
    ///
    /// Errors: `Invitation*`.
    pub async fn invitation(&self, token: TokenHash, now: Timestamp) -> Result<InvitationKind, StoreError> {
        let _ = (token, now);
        Err(StoreError::Stopped)
    }

    /// Errors: `SessionExists`, `HouseholdUnknown`, `MerchantUnknown`.
    pub async fn create_session(&self, new: NewSession, now: Timestamp) -> Result<(), StoreError> {
        let _ = (new, now);
        Err(StoreError::Stopped)
    }

    /// `None` when unknown, ended or expired.
    pub async fn session(&self, token: TokenHash, now: Timestamp) -> Result<Option<SessionOf>, StoreError> {
        let _ = (token, now);
        Err(StoreError::Stopped)
    }

    /// Unknown ones count as ended.
    pub async fn end_session(&self, token: TokenHash) -> Result<(), StoreError> {
        let _ = (token,);
        Err(StoreError::Stopped)
    }

    /// Remembers a login challenge (random) until `expires`.
    ///
    /// Errors: `TooManyLogins` beyond [`MAX_LOGINS`].
    pub async fn create_login(
        &self,
        challenge: [u8; 32],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (challenge, expires, now);
        Err(StoreError::Stopped)
    }

    /// Uses a challenge up: succeeds once.
    ///
    /// Errors: `LoginUnknown`.
    pub async fn take_login(&self, challenge: [u8; 32], now: Timestamp) -> Result<(), StoreError> {
        let _ = (challenge, now);
        Err(StoreError::Stopped)
    }

    // Merchants and bills

    /// Errors: `MerchantExists`.
    pub async fn add_merchant(&self, new: NewMerchant, now: Timestamp) -> Result<(), StoreError> {
        let _ = (new, now);
        Err(StoreError::Stopped)
    }

    pub async fn merchant(&self, merchant: MerchantId) -> Result<Option<MerchantRow>, StoreError> {
        let _ = (merchant,);
        Err(StoreError::Stopped)
    }

    pub async fn merchant_by_api_key(&self, api_key: TokenHash) -> Result<Option<MerchantRow>, StoreError> {
        let _ = (api_key,);
        Err(StoreError::Stopped)
    }

    /// By id, from the one after `after`; at most [`MAX_MERCHANTS_PAGE`].
    pub async fn merchants(&self, after: Option<MerchantId>, limit: u32) -> Result<Vec<MerchantRow>, StoreError> {
        let _ = (after, limit);
        Err(StoreError::Stopped)
    }

    /// Uses a till's invitation up and makes `key` the merchant's. Another key than before takes the certificate away; old
    /// bills keep theirs. May be repeated with the same key.
    ///
    /// Errors: `Invitation*`.
    pub async fn enrol_till(
        &self,
        invitation: TokenHash,
        key: PublicKey,
        now: Timestamp,
    ) -> Result<MerchantId, StoreError> {
        let _ = (invitation, key, now);
        Err(StoreError::Stopped)
    }

    /// Records the operator's certificate for the merchant's present key `key`. An earlier one stays for its bills.
    ///
    /// Errors: `MerchantUnknown`, `CertificateMismatch` (the till has another key).
    pub async fn set_merchant_certificate(
        &self,
        merchant: MerchantId,
        key: PublicKey,
        certificate: Message,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (merchant, key, certificate, now);
        Err(StoreError::Stopped)
    }

    /// Errors: `MerchantUnknown`, `TooManyGoods`.
    pub async fn set_goods(&self, merchant: MerchantId, goods: Vec<Good>) -> Result<(), StoreError> {
        let _ = (merchant, goods);
        Err(StoreError::Stopped)
    }

    /// Records a bill; its deadline is now + the length it asks for. Event: `bill` for the merchant.
    ///
    /// Errors: `BillExists`, `NotFirstRevision`, `CertificateUnknown` (the bill's is not one of this merchant's),
    /// `CurrencyNotSupported`.
    pub async fn create_bill(&self, new: NewBill, now: Timestamp) -> Result<BillRow, StoreError> {
        let _ = (new, now);
        Err(StoreError::Stopped)
    }

    pub async fn bill(&self, bill: BillId) -> Result<Option<BillRow>, StoreError> {
        let _ = (bill,);
        Err(StoreError::Stopped)
    }

    /// By the digest of revision 1, as orders name it.
    pub async fn bill_by_digest(&self, digest: Digest) -> Result<Option<BillRow>, StoreError> {
        let _ = (digest,);
        Err(StoreError::Stopped)
    }

    /// A watch fetched the bill. The first time: event `bill` for the merchant.
    ///
    /// Errors: `BillUnknown`.
    pub async fn mark_scanned(&self, bill: BillId, now: Timestamp) -> Result<(), StoreError> {
        let _ = (bill, now);
        Err(StoreError::Stopped)
    }

    /// The merchant takes its bill back; its open orders end `failed`, `bill-cancelled`.
    ///
    /// Errors: `BillUnknown` (also for another merchant's), `BillAlreadyPaid`.
    pub async fn cancel_bill(&self, merchant: MerchantId, bill: BillId, now: Timestamp) -> Result<BillRow, StoreError> {
        let _ = (merchant, bill, now);
        Err(StoreError::Stopped)
    }

    // Orders

    /// Records an order; waiting, or ended `failed`, `insufficient-balance` at once where the wallet cannot pay the bill (the
    /// guardian then gets an `outcome` event only). Its deadline is now + the length it asks for, at most an hour.
    ///
    /// Errors, in this order: `OrderIdReused`, `WatchUnknown`, `RevokedWatch`, `NonceReused`, `BillUnknown`,
    /// `BillAlreadyPaid`, `BillCancelled`, `BillExpired`, `CurrencyNotSupported`, `OverNewWatchCap`, `OrderOpen`.
    pub async fn place_order(&self, place: PlaceOrder, now: Timestamp) -> Result<OrderRow, StoreError> {
        let _ = (place, now);
        Err(StoreError::Stopped)
    }

    /// Asks the merchant for a requote, in place of an earlier ask that still runs. Events: `requote` for the merchant and
    /// guardians.
    ///
    /// Errors: `AskExists`, `OrderUnknown`, `OrderExpired`, `OrderEnded`, `AlreadyDecided`, `TooManyAsks`.
    pub async fn ask_requote(&self, ask: AskRequote, now: Timestamp) -> Result<AskRow, StoreError> {
        let _ = (ask, now);
        Err(StoreError::Stopped)
    }

    pub async fn requote_ask(&self, ask: AskId) -> Result<Option<AskRow>, StoreError> {
        let _ = (ask,);
        Err(StoreError::Stopped)
    }

    /// The merchant's requote stands in for the bill from now on. Events: `requote` for guardians, `bill` for the merchant.
    ///
    /// Errors: `AskUnknown` (also for another merchant's), `AskClosed`, `WrongRevision`, `OrderExpired`, `OrderEnded`,
    /// `AlreadyDecided`.
    pub async fn answer_requote(&self, answer: AnswerRequote, now: Timestamp) -> Result<AskRow, StoreError> {
        let _ = (answer, now);
        Err(StoreError::Stopped)
    }

    /// The merchant says no, with a reason. Event: `requote` for guardians.
    ///
    /// Errors: `AskUnknown` (also for another merchant's), `AskClosed`.
    pub async fn refuse_requote(
        &self,
        merchant: MerchantId,
        ask: AskId,
        reason: Text<60>,
        now: Timestamp,
    ) -> Result<AskRow, StoreError> {
        let _ = (merchant, ask, reason, now);
        Err(StoreError::Stopped)
    }

    /// Takes a decision in. Approved: holds the total, the order is approved until now + `pay_by` − `at`, at most ten minutes.
    /// The order ends instead: refused; `failed` with the decision named when the wallet, the bill or the watch no longer
    /// allows it. So `Ok` means taken in: look at `state`. Events: `decision` (guardians, watch) or `outcome`.
    ///
    /// Errors, in this order: `OrderUnknown`, `OtherOrder`, `OrderExpired`, `OrderEnded`, `AlreadyDecided`, `StaleBill`,
    /// `GuardianUnknown`, `CounterReplayed`.
    pub async fn decide(&self, decide: Decide, now: Timestamp) -> Result<OrderRow, StoreError> {
        let _ = (decide, now);
        Err(StoreError::Stopped)
    }

    /// Takes a payment in: consumes the bill, then posts the hold. The order ends: paid; `failed` with the payment named, the
    /// hold voided, when the bill is paid, cancelled or expired or the watch was removed. So `Ok` means taken in: look at
    /// `state`.
    ///
    /// Errors, in this order: `OrderUnknown`, `OtherOrder`, `OrderExpired`, `OrderEnded`, `OrderNotApproved`,
    /// `OtherDecision`, `WrongTotal`.
    pub async fn pay(&self, pay: Pay, now: Timestamp) -> Result<OrderRow, StoreError> {
        let _ = (pay, now);
        Err(StoreError::Stopped)
    }

    /// The watch takes its order back; a hold is voided.
    ///
    /// Errors, in this order: `OrderUnknown`, `OtherOrder`, `OrderExpired`, `OrderEnded`.
    pub async fn cancel_order(&self, cancel: CancelOrder, now: Timestamp) -> Result<OrderRow, StoreError> {
        let _ = (cancel, now);
        Err(StoreError::Stopped)
    }

    /// The watch's word on the outcome it saw; the first one stays. Event: `result` for guardians.
    ///
    /// Errors: `OrderUnknown`, `OtherOrder`, `OrderNotEnded`, `OtherOutcome`.
    pub async fn report_result(&self, report: ReportResult, now: Timestamp) -> Result<OrderRow, StoreError> {
        let _ = (report, now);
        Err(StoreError::Stopped)
    }

    /// Ends what is due: orders `expired` (or `failed`, `bill-expired` when only their bill's time is over), asks timed out.
    /// Call it at [`Ticked::next`] and after every start.
    pub async fn tick(&self, now: Timestamp) -> Result<Ticked, StoreError> {
        let _ = (now,);
        Err(StoreError::Stopped)
    }

    /// When [`Store::tick`] has something to do next.
    pub async fn next_deadline(&self) -> Result<Option<Timestamp>, StoreError> {
        Err(StoreError::Stopped)
    }

    pub async fn order(&self, household: HouseholdId, order: OrderId) -> Result<Option<OrderRow>, StoreError> {
        let _ = (household, order);
        Err(StoreError::Stopped)
    }

    /// The order, if it is this watch's.
    pub async fn order_of_watch(&self, watch: WatchId, order: OrderId) -> Result<Option<OrderRow>, StoreError> {
        let _ = (watch, order);
        Err(StoreError::Stopped)
    }

    /// The order that is waiting or approved: at most one a watch.
    pub async fn open_order(&self, watch: WatchId) -> Result<Option<OrderRow>, StoreError> {
        let _ = (watch,);
        Err(StoreError::Stopped)
    }

    /// The newest order, open or ended: what a watch that connects again asks about.
    pub async fn latest_order(&self, watch: WatchId) -> Result<Option<OrderRow>, StoreError> {
        let _ = (watch,);
        Err(StoreError::Stopped)
    }

    /// Newest first, from the one before `before`; at most [`MAX_ORDERS_PAGE`].
    ///
    /// Errors: `OrderUnknown` for `before`.
    pub async fn orders(
        &self,
        household: HouseholdId,
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderRow>, StoreError> {
        let _ = (household, before, limit);
        Err(StoreError::Stopped)
    }

    /// What the evidence file of an ended order is made of.
    ///
    /// Errors: `OrderUnknown`, `OrderNotEnded`.
    pub async fn evidence(&self, household: HouseholdId, order: OrderId) -> Result<EvidenceParts, StoreError> {
        let _ = (household, order);
        Err(StoreError::Stopped)
    }

    // Money

    /// Pays into a household's wallet. Event: `balance` for guardians and all watches.
    ///
    /// Errors: `HouseholdUnknown`, `CurrencyNotSupported`, `TransferExists`, `AmountNotPositive`, `BalanceTooLarge`.
    pub async fn top_up(&self, top_up: TopUp, now: Timestamp) -> Result<Balance, StoreError> {
        let _ = (top_up, now);
        Err(StoreError::Stopped)
    }

    pub async fn wallet(&self, household: HouseholdId) -> Result<Option<Balance>, StoreError> {
        let _ = (household,);
        Err(StoreError::Stopped)
    }

    /// The sum of everything posted to the merchant.
    ///
    /// Errors: `MerchantUnknown`.
    pub async fn merchant_balance(&self, merchant: MerchantId) -> Result<Amount, StoreError> {
        let _ = (merchant,);
        Err(StoreError::Stopped)
    }

    /// Proves the invariants over the whole database; reads all of it. Empty when all is well.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        Err(StoreError::Stopped)
    }

    // Events

    /// Events of one audience numbered above `after`, in order; at most [`MAX_EVENTS_PAGE`].
    pub async fn events_after(
        &self,
        household: HouseholdId,
        audience: Audience,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let _ = (household, audience, after, limit);
        Err(StoreError::Stopped)
    }

    /// Events of a merchant numbered above `after`, in order; at most [`MAX_EVENTS_PAGE`].
    pub async fn merchant_events_after(
        &self,
        merchant: MerchantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<MerchantEventRow>, StoreError> {
        let _ = (merchant, after, limit);
        Err(StoreError::Stopped)
    }

    /// Number of a merchant's newest event, 0 before the first.
    pub async fn last_merchant_event(&self, merchant: MerchantId) -> Result<u64, StoreError> {
        let _ = (merchant,);
        Err(StoreError::Stopped)
    }
}
