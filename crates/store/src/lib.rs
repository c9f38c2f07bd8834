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
//!   changed (triggers say so too). Transfers and settlements are never deleted either; messages are by [`Store::cut_orders`] and
//!   [`Store::erase_due`] alone.
//!
//! Every writing method may be repeated: the same id with the same content gives the first answer, with other content
//! an error of its own. An error changes nothing, with one exception: whatever meets an order whose time is over ends it
//! `expired`, with its events, and then says [`StoreError::OrderExpired`].
//!
//! On SQLite one writer thread with group commit and a few reading connections; on PostgreSQL a pool of connections that
//! any number of replicas share. Rows that belong to a household are keyed by it, and merchants have no row that every
//! payment writes.

mod access;
mod address;
mod announce;
mod away;
mod backup;
mod books;
mod check;
mod check_rails;
mod check_references;
mod close_out;
mod codes;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod db;
mod deciding;
mod disputes;
mod erasing;
mod error;
mod events;
mod households;
mod joins;
mod ledger;
mod mandates;
mod merchant_books;
mod merchants;
mod orders;
mod outcome_keys;
mod payouts;
mod pins;
mod postgres;
mod postgres_tls;
mod push;
mod rails;
pub mod recent;
mod refunds;
mod requotes;
mod schedules;
mod seeing;
mod sessions;
mod sqlite;
#[cfg(test)]
mod tests;
mod topups;
mod tx;
mod types;
mod wallet;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use nodpay_core::{
    Amount, AskId, BasisPoints, BillId, CredentialId, Day, Digest, GuardianId, HouseholdId, Iban, MerchantId, OrderId,
    Outcome, PairingId, Payer, PublicKey, RailKind, RailReply, ScheduleId, SessionId, Text, Timestamp, TransferId,
    WatchId, WearerId,
};
use tokio::sync::broadcast;

use crate::announce::Announcements;
use crate::db::Db;
use crate::households::Books;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::tx::{Fault, Tx};

pub use address::{Address, AddressError};
pub use deciding::Spent;
pub use erasing::MAX_CUT;
pub use error::{Blame, StoreError};
pub use ledger::hold_id;
pub use push::{
    Alert, LEASE_MS as PUSH_LEASE_MS, MAX_SUBSCRIPTIONS, NewSubscription, PushAuth, PushDetail, PushLanguage, PushWork,
    QueuePush, Subscription,
};
pub use rails::LEASE_MS as RAIL_LEASE_MS;
pub use seeing::{
    BackKind, BackMove, Ending, HistoryAsked, HistoryPage, HistoryRow, MAX_HISTORY_PAGE, MAX_LOOKED_AT, MAX_MOVES,
    Moves, WalletMove,
};
pub use types::{
    AccountKind, AnswerRequote, ApiKeyRow, AppendLog, AskRequote, AskRow, AskState, Asking, Audience, Balance,
    BillOrder, BillRow, BillState, BillStatus, BookRow, CancelOrder, CardTopUpRow, CardTopUpState, CardTopUpWork,
    Claim, ClaimJoin, ClaimPairing, CloseOut, ClosingRow, CodeRow, Decide, Device, DisputeNews, DisputeRow,
    DisputeState, EndSessions, Ended, Erased, EventRow, EventsPage, EvidencePage, EvidenceParts, Finding, Freeze, Good,
    GuardianChange, GuardianRow, GuardianStanding, HouseholdEvent, HouseholdRow, InvitationKind, JoinClaim, JoinRow,
    JoinState, Judged, MerchantEvent, MerchantEventRow, MerchantRow, Message, Migrated, Movement, MovementKind,
    NewBill, NewCardTopUp, NewCode, NewHousehold, NewInvitation, NewJoin, NewMerchant, NewPairing, NewSchedule,
    NewSession, NewToken, OrderRow, PairingRow, PairingState, Pay, PayoutRow, PayoutState, Period, Place, PlaceOrder,
    RailWork, Refund, RefundRow, RefundState, ReportPin, ReportResult, Requote, Rulebook, ScheduleRow, SessionOf,
    SessionRow, Shown, Statement, Ticked, TokenHash, TopUp, Topic, Totals, UnfinishedRow, WatchRow,
};

pub use topups::{CONFIRM_LIFE_MS, MAX_CARD_TOP_UP, MAX_CARD_TOP_UP_DAY, MIN_CARD_TOP_UP};
pub use wallet::{MAX_WALLET_PAGE, Purchase, WalletHold, WalletKind, WalletMovement, WalletPage};

/// How long a merchant has to answer an ask: 30 seconds.
pub const ASK_LIFE_MS: i64 = 30_000;
/// Steps of rails that one call claims.
pub const MAX_RAIL_WORK: u32 = 32;
/// Rows [`Store::unfinished`] gives.
pub const MAX_UNFINISHED: u32 = 1_000;
/// Asks an order may have.
pub const MAX_ASKS: u32 = 20;
/// Goods a merchant may have.
pub const MAX_GOODS: usize = 500;
/// Printed codes a merchant may have.
pub const MAX_CODES: usize = 100;
/// Sessions a guardian may have at once.
pub const MAX_SESSIONS: usize = 20;
/// Logins that may run at once, over all guardians.
pub const MAX_LOGINS: u32 = 10_000;
/// Orders [`Store::orders`] gives at once.
pub const MAX_ORDERS_PAGE: u32 = 50;
/// Events one call gives at once.
pub const MAX_EVENTS_PAGE: u32 = 100;
/// Merchants [`Store::merchants`] gives at once.
pub const MAX_MERCHANTS_PAGE: u32 = 100;
/// Households [`Store::households`] gives at once.
pub const MAX_HOUSEHOLDS_PAGE: u32 = 100;
/// Pocket moneys a household may have, ended ones included.
pub const MAX_SCHEDULES: usize = 100;
/// Dues of a schedule that are paid after they were missed.
pub const MAX_MISSED: usize = 31;
/// API keys a merchant may have.
pub const MAX_API_KEYS: usize = 20;
/// Movements one page of a statement has at most.
pub const MAX_MOVEMENTS_PAGE: u32 = 1_000;
/// Closings [`Store::closings`] gives at once.
pub const MAX_CLOSINGS_PAGE: u32 = 400;
/// Payouts one call gives at once.
pub const MAX_PAYOUTS_PAGE: u32 = 1_000;
/// A day is closed so long after its end: longer than any transaction takes, and than clocks of replicas differ.
pub const CLOSING_GRACE_MS: i64 = 60 * 60 * 1000;
/// Topics a slow subscriber may be behind before it is told that it missed some.
pub const TOPIC_BUFFER: usize = 4_096;

/// Signs an outcome with the service's outcome key. Called inside the transaction that ends the order, so it must be
/// quick and must not call the store.
pub type OutcomeSigner = Arc<dyn Fn(Outcome) -> Result<Message, String> + Send + Sync>;

/// A handle; clones share one database. Dropping the last one writes what is queued and closes the file.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the database at `address`, brings its tables up to date and starts the threads that work on it. Blocks for
    /// that long. A SQLite file that is not there is made.
    pub fn open(address: &Address, signer: OutcomeSigner) -> Result<Self, StoreError> {
        let database = match address {
            Address::Sqlite(path) => Database::Sqlite(Sqlite::open(path, signer)?),
            Address::Postgres { url, connections } => Database::Postgres(Postgres::open(url, *connections, signer)?),
        };
        Ok(Self { database: Arc::new(database) })
    }

    /// Whether other programs may work with the same database at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(*self.database, Database::Postgres(_))
    }

    /// Commits of this program's writes since it opened the store.
    #[must_use]
    pub fn commits(&self) -> u64 {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.commits(),
            Database::Postgres(postgres) => postgres.commits(),
        }
    }

    /// Waits until all that was read so far would outlive a power failure: with SQLite, a commit can be read some milliseconds
    /// before it is on the disk. Who answers from what was read alone, waits for this first.
    pub async fn settled(&self) -> Result<(), StoreError> {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.settled().await,
            Database::Postgres(_) => Ok(()),
        }
    }

    async fn write<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.write(request).await,
            Database::Postgres(postgres) => postgres.write(request).await,
        }
    }

    /// As [`Self::write`], for a request that first asks ahead for all it reads, all of it of one household: many of them
    /// share a transaction.
    async fn write_of<T, F>(&self, household: HouseholdId, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.write(request).await,
            Database::Postgres(postgres) => postgres.write_of(household, request).await,
        }
    }

    async fn read<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.read(request),
            Database::Postgres(postgres) => postgres.read(request).await,
        }
    }

    /// Reads over one view of the whole database.
    async fn view<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.view(request).await,
            Database::Postgres(postgres) => postgres.view(request).await,
        }
    }

    /// The version the database had before it was opened, and the one it has now.
    #[must_use]
    pub fn migrated(&self) -> Migrated {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.migrated(),
            Database::Postgres(postgres) => postgres.migrated(),
        }
    }

    /// Topics of all transactions from now on, after their commit. A subscriber who lags is told so by the channel and
    /// reads its events again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Topic> {
        self.announcements().subscribe()
    }

    fn announcements(&self) -> &Announcements {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.announcements(),
            Database::Postgres(postgres) => postgres.announcements(),
        }
    }

    /// Whether reading and writing work; for `/readyz`.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await?;
        self.read(|_| Ok(())).await
    }

    // Households

    /// Founds a household: uses up the invitation, records entry 0 and an empty wallet.
    ///
    /// Errors: `Invitation*`, `HouseholdExists`, `CredentialExists`.
    pub async fn create_household(&self, new: NewHousehold, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| households::create(tx, &new, now)).await
    }

    /// Appends the entry that the log's head leads to. An enrolment records watch and wearer and completes its pairing; a
    /// removal ends the watch's open order `failed`, `watch-removed`. Events: `log` for guardians and all watches.
    ///
    /// A guardian's times follow the log; recovery keys too. An `Unfreeze` lifts the freeze it names.
    ///
    /// Errors: `HouseholdUnknown`, `LogMoved` (somebody else's entry came first), `GuardianUnknown` (also one whose time is
    /// over), `GuardianNotCounting`, `CounterReplayed`, `CredentialExists`, `NotFrozen`, `WatchExists`, `WatchUnknown`, `WearerNameMissing`, `WearerConflict`, `Pairing*`.
    pub async fn append_log(&self, append: AppendLog, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| households::append_log(tx, &append, now)).await
    }

    /// Log entries from number `from_seq` on, in order.
    pub async fn log(&self, household: HouseholdId, from_seq: u64) -> Result<Vec<Message>, StoreError> {
        self.read(move |db| households::log(db, household, from_seq)).await
    }

    /// The log and the rules that were made of it, in one view.
    ///
    /// Errors: `HouseholdUnknown`.
    pub async fn rulebook(&self, household: HouseholdId) -> Result<Rulebook, StoreError> {
        self.view(move |db| households::rulebook(db, household)).await
    }

    /// What the watches of a household have spent in each period that their rules know, and (`None`) all together.
    pub async fn mandate_sums(
        &self,
        household: HouseholdId,
    ) -> Result<Vec<(Option<WatchId>, nodpay_core::Period, nodpay_core::Minor)>, StoreError> {
        self.read(move |db| mandates::all_sums(db, household)).await
    }

    /// Digest of the newest log entry and the number of the next.
    pub async fn log_head(&self, household: HouseholdId) -> Result<Option<(Digest, u64)>, StoreError> {
        self.read(move |db| Ok(Books::find(db, household)?.map(|books| (books.head, books.next_seq)))).await
    }

    pub async fn household(&self, household: HouseholdId) -> Result<Option<HouseholdRow>, StoreError> {
        self.read(move |db| households::household(db, household)).await
    }

    /// A watch that was ever enrolled, and whose it is.
    pub async fn household_of_watch(&self, watch: WatchId) -> Result<Option<WatchRow>, StoreError> {
        self.read(move |db| households::watch(db, watch)).await
    }

    /// Records a watch's newest report on its PIN. Event: `pin` for guardians.
    ///
    /// Errors: `WatchUnknown` (also for another household's), `RevokedWatch`, `PinReportOutdated`.
    pub async fn report_pin(&self, report: ReportPin, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| pins::report(tx, &report, now)).await
    }

    /// The newest report of each watch that has made one and was not removed.
    pub async fn pin_reports(&self, household: HouseholdId) -> Result<Vec<(WatchId, Message)>, StoreError> {
        self.read(move |db| pins::reports(db, household)).await
    }

    pub async fn guardian_by_credential(&self, credential: CredentialId) -> Result<Option<GuardianRow>, StoreError> {
        self.read(move |db| households::guardian_by_credential(db, &credential)).await
    }

    /// After a login: the counter must go up, unless the authenticator has none (0 both times).
    ///
    /// Errors: `GuardianUnknown` (also one whose time is over), `CounterReplayed`.
    pub async fn bump_counter(&self, credential: CredentialId, counter: u32, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| households::bump_counter(tx, &credential, counter, now)).await
    }

    /// The household that a recovery key, not yet used, belongs to.
    pub async fn household_of_recovery_key(&self, key: PublicKey) -> Result<Option<HouseholdId>, StoreError> {
        self.read(move |db| households::household_of_recovery_key(db, &key)).await
    }

    /// A guardian is away until then (at most 60 days), or back. Event: `log`, of the newest entry, for guardians.
    ///
    /// Errors: `HouseholdUnknown`, `GuardianUnknown`, `AwayTime`.
    pub async fn set_away(
        &self,
        household: HouseholdId,
        guardian: GuardianId,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| away::set(tx, household, guardian, until, now)).await
    }

    /// A guardian stops the household's payments, as [`Store::set_frozen`] does; only an `Unfreeze` entry lets them go on. Frozen
    /// by a guardian already, that freeze stands. Event: `log`, of the newest entry, for guardians and all watches.
    ///
    /// Errors: `HouseholdUnknown`, `GuardianUnknown` (also one whose time is over).
    pub async fn freeze(
        &self,
        household: HouseholdId,
        guardian: GuardianId,
        now: Timestamp,
    ) -> Result<Freeze, StoreError> {
        self.write(move |tx| households::freeze(tx, household, guardian, now)).await
    }

    /// Invites a guardian. Errors: `HouseholdUnknown`, `PairingExists`.
    pub async fn create_join(&self, new: NewJoin) -> Result<(), StoreError> {
        self.write(move |tx| joins::create(tx, &new)).await
    }

    /// The first claim wins; the same one may be repeated. Event: `pairing` for guardians.
    ///
    /// Errors: `PairingUnknown` (also for another household's), `PairingTaken`, `PairingClosed`, `PairingExpired`,
    /// `CredentialExists` (they claimed another invitation).
    pub async fn claim_join(&self, claim: ClaimJoin, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| joins::claim(tx, &claim, now)).await
    }

    /// An invitation is given up; done ones stay done (`PairingClosed`). Event: `pairing` for guardians.
    ///
    /// Errors: `PairingUnknown`, `PairingClosed`.
    pub async fn close_join(
        &self,
        household: HouseholdId,
        pairing: PairingId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| joins::close(tx, household, pairing, now)).await
    }

    /// Expired ones too: compare `expires`.
    pub async fn join(&self, pairing: PairingId) -> Result<Option<JoinRow>, StoreError> {
        self.read(move |db| joins::find(db, pairing)).await
    }

    /// The invitation that somebody claimed and that was not given up.
    pub async fn join_of_guardian(
        &self,
        household: HouseholdId,
        guardian: GuardianId,
    ) -> Result<Option<JoinRow>, StoreError> {
        self.read(move |db| joins::of_guardian(db, household, guardian)).await
    }

    /// By id, from the one after `after`; at most [`MAX_HOUSEHOLDS_PAGE`].
    pub async fn households(&self, after: Option<HouseholdId>, limit: u32) -> Result<Vec<HouseholdRow>, StoreError> {
        self.read(move |db| {
            let ids = households::ids(db, after, limit)?;
            let rows = ids.into_iter().map(|id| match households::household(db, id) {
                // Erased since the ids were read.
                Err(StoreError::HouseholdErased) => Ok(None),
                row => row,
            });
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Stops a household's payments, or lets them go on: while it is frozen its orders end `failed`, `household-frozen`, at
    /// their arrival, their decision or their payment. Everybody hears of it with the newest log entry.
    ///
    /// Errors: `HouseholdUnknown`.
    pub async fn set_frozen(&self, household: HouseholdId, frozen: bool, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| households::set_frozen(tx, household, frozen, now)).await
    }

    /// Ends a household: pays out what is left (the answer), ends its pocket money, and closes it for good. Event: `balance`
    /// for guardians and all watches.
    ///
    /// Errors, in this order: `HouseholdUnknown`, `HouseholdClosed` (by another close-out), `TransferExists`, `OrdersAtRail`
    /// (a rail outside was asked for its hold or its payment), `OrdersOpen`.
    pub async fn close_out(&self, close: CloseOut, now: Timestamp) -> Result<Amount, StoreError> {
        self.write(move |tx| close_out::close_out(tx, &close, now)).await
    }

    /// Adds pocket money: a top-up each time it is due, by [`Store::tick`].
    ///
    /// Errors, in this order: `HouseholdUnknown`, `ScheduleExists`, `HouseholdClosed`, `CurrencyNotSupported`,
    /// `AmountNotPositive`, `TooManySchedules`, `ScheduleTime`.
    pub async fn add_schedule(&self, new: NewSchedule) -> Result<ScheduleRow, StoreError> {
        self.write(move |tx| schedules::add(tx, &new)).await
    }

    /// No due after `now`.
    ///
    /// Errors: `HouseholdUnknown`, `ScheduleUnknown`.
    pub async fn end_schedule(
        &self,
        household: HouseholdId,
        schedule: ScheduleId,
        now: Timestamp,
    ) -> Result<ScheduleRow, StoreError> {
        self.write(move |tx| schedules::end(tx, household, schedule, now)).await
    }

    /// A household's pocket money, ended ones too; at most [`MAX_SCHEDULES`].
    pub async fn schedules(&self, household: HouseholdId) -> Result<Vec<ScheduleRow>, StoreError> {
        self.read(move |db| schedules::list(db, household)).await
    }

    /// A household's statement, the newest first, from the movement before `before`; at most [`MAX_WALLET_PAGE`] movements.
    ///
    /// Errors: `HouseholdUnknown`.
    pub async fn wallet_page(
        &self,
        household: HouseholdId,
        before: Option<Place>,
        limit: u32,
    ) -> Result<WalletPage, StoreError> {
        self.read(move |db| wallet::page(db, household, before, limit)).await
    }

    /// The household whose id lies in this range, where it is one alone.
    pub async fn household_between(
        &self,
        from: HouseholdId,
        to: HouseholdId,
    ) -> Result<Option<HouseholdId>, StoreError> {
        self.read(move |db| households::between(db, from, to)).await
    }

    // Pairing, invitations, sessions, logins

    /// Errors: `HouseholdUnknown`, `PairingExists`.
    pub async fn create_pairing(&self, new: NewPairing, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| access::create_pairing(tx, &new, now)).await
    }

    /// The first claim wins; the same watch and key may claim again. Event: `pairing` for guardians.
    ///
    /// Errors: `PairingUnknown` (also for another household's), `PairingExpired`, `PairingTaken`, `PairingClosed`,
    /// `WatchExists` (enrolled, or claiming elsewhere with another key).
    pub async fn claim_pairing(&self, claim: ClaimPairing, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| access::claim_pairing(tx, &claim, now)).await
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
        self.write(move |tx| access::close_pairing(tx, household, pairing, now)).await
    }

    /// Expired ones too: compare `expires`.
    pub async fn pairing(&self, pairing: PairingId) -> Result<Option<PairingRow>, StoreError> {
        self.read(move |db| access::pairing(db, pairing)).await
    }

    /// The pairing that a watch, not yet enrolled, has claimed and that still runs.
    pub async fn pairing_of_watch(&self, watch: WatchId, now: Timestamp) -> Result<Option<PairingRow>, StoreError> {
        self.read(move |db| access::pairing_of_watch(db, watch, now)).await
    }

    /// Errors: `MerchantUnknown`, `TokenExists`.
    pub async fn create_invitation(&self, new: NewInvitation, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| access::create_invitation(tx, &new, now)).await
    }

    /// What an invitation that can still be used is for.
    ///
    /// Errors: `Invitation*`.
    pub async fn invitation(&self, token: TokenHash, now: Timestamp) -> Result<InvitationKind, StoreError> {
        self.read(move |db| access::invitation(db, token, now)).await
    }

    /// Opens a session. Beyond [`MAX_SESSIONS`] of a guardian the one that was not seen for longest ends.
    ///
    /// Errors: `TokenExists`, `GuardianUnknown` (also one whose time is over), `MerchantUnknown`.
    pub async fn create_session(&self, new: NewSession, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| sessions::create(tx, &new, now)).await
    }

    /// The session that a token shows, the present one or the one before it; `None` when unknown, ended or expired.
    pub async fn session(&self, token: TokenHash, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |db| sessions::by_token(db, token, now)).await
    }

    /// The same by its id.
    pub async fn session_by_id(&self, session: SessionId, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |db| sessions::by_id(db, session, now)).await
    }

    /// Gives a session another token, unless somebody else did since `row` was read: then `false`, and nothing is changed.
    pub async fn rotate_session(&self, row: SessionRow, to: NewToken, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tx| sessions::rotate(tx, &row, &to, now)).await
    }

    /// The newest token was shown: the one before it is good until `until`, for requests that are under way.
    pub async fn confirm_session(&self, row: SessionRow, until: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| sessions::confirm(tx, &row, until)).await
    }

    /// Unknown ones count as ended.
    pub async fn end_session(&self, session: SessionId) -> Result<(), StoreError> {
        self.write(move |tx| sessions::end(tx, session)).await
    }

    /// A guardian's sessions, the one that was seen last first; at most [`MAX_SESSIONS`].
    pub async fn sessions(
        &self,
        household: HouseholdId,
        guardian: GuardianId,
        now: Timestamp,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.read(move |db| sessions::of_guardian(db, household, guardian, now)).await
    }

    /// A guardian signs out elsewhere: one session of their own, or all but one.
    ///
    /// Errors: `SessionUnknown` (also for another guardian's).
    pub async fn end_sessions(
        &self,
        household: HouseholdId,
        guardian: GuardianId,
        which: EndSessions,
    ) -> Result<(), StoreError> {
        self.write(move |tx| sessions::end_of_guardian(tx, household, guardian, which)).await
    }

    /// Remembers a login challenge (random) until `expires`.
    ///
    /// Errors: `TokenExists`, `TooManyLogins` beyond [`MAX_LOGINS`].
    pub async fn create_login(
        &self,
        challenge: [u8; 32],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| access::create_login(tx, &challenge, expires, now)).await
    }

    /// Uses a challenge up: succeeds once.
    ///
    /// Errors: `LoginUnknown`.
    pub async fn take_login(&self, challenge: [u8; 32], now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| access::take_login(tx, &challenge, now)).await
    }

    // Merchants and bills

    /// Errors: `MerchantExists`.
    pub async fn add_merchant(&self, new: NewMerchant, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| merchants::add(tx, &new, now)).await
    }

    pub async fn merchant(&self, merchant: MerchantId) -> Result<Option<MerchantRow>, StoreError> {
        self.read(move |db| merchants::merchant(db, merchant)).await
    }

    pub async fn merchant_by_api_key(&self, api_key: TokenHash) -> Result<Option<MerchantRow>, StoreError> {
        self.read(move |db| merchants::by_api_key(db, api_key)).await
    }

    /// By id, from the one after `after`; at most [`MAX_MERCHANTS_PAGE`].
    pub async fn merchants(&self, after: Option<MerchantId>, limit: u32) -> Result<Vec<MerchantRow>, StoreError> {
        self.read(move |db| merchants::list(db, after, limit)).await
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
        self.write(move |tx| merchants::enrol_till(tx, invitation, &key, now)).await
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
        self.write(move |tx| merchants::set_certificate(tx, merchant, &key, &certificate, now)).await
    }

    /// What the operator keeps of the merchant's payments from now on.
    ///
    /// Errors: `MerchantUnknown`.
    pub async fn set_fee(&self, merchant: MerchantId, fee: BasisPoints) -> Result<(), StoreError> {
        self.write(move |tx| merchants::set_fee(tx, merchant, fee)).await
    }

    /// Where payouts that are asked for from now on go.
    ///
    /// Errors: `MerchantUnknown`.
    pub async fn set_iban(&self, merchant: MerchantId, iban: Option<Iban>) -> Result<(), StoreError> {
        self.write(move |tx| merchants::set_iban(tx, merchant, iban.as_ref())).await
    }

    /// Errors: `MerchantUnknown`, `TokenExists` (another merchant's), `TooManyApiKeys`.
    pub async fn add_api_key(
        &self,
        merchant: MerchantId,
        api_key: TokenHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| merchants::add_api_key(tx, merchant, api_key, now)).await
    }

    /// The key opens nothing any more.
    ///
    /// Errors: `ApiKeyUnknown` (also for another merchant's).
    pub async fn remove_api_key(&self, merchant: MerchantId, api_key: TokenHash) -> Result<(), StoreError> {
        self.write(move |tx| merchants::remove_api_key(tx, merchant, api_key)).await
    }

    /// The oldest first, at most [`MAX_API_KEYS`].
    pub async fn api_keys(&self, merchant: MerchantId) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.read(move |db| merchants::api_keys(db, merchant)).await
    }

    /// Errors: `MerchantUnknown`, `TooManyGoods`.
    pub async fn set_goods(&self, merchant: MerchantId, goods: Vec<Good>) -> Result<(), StoreError> {
        self.write(move |tx| merchants::set_goods(tx, merchant, &goods)).await
    }

    /// Records whose a printed code is.
    ///
    /// Errors: `MerchantUnknown`, `CodeTaken`, `TooManyCodes`.
    pub async fn add_code(&self, new: NewCode, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| codes::add(tx, &new, now)).await
    }

    /// The code is nobody's from now on; bills made of it stay.
    ///
    /// Errors: `PayeeUnknown` (also for another merchant's).
    pub async fn remove_code(&self, merchant: MerchantId, payee: Digest) -> Result<(), StoreError> {
        self.write(move |tx| codes::remove(tx, merchant, payee)).await
    }

    /// A merchant's printed codes, at most [`MAX_CODES`].
    pub async fn codes(&self, merchant: MerchantId) -> Result<Vec<CodeRow>, StoreError> {
        self.read(move |db| codes::list(db, merchant)).await
    }

    /// Whose a printed code is.
    pub async fn merchant_of_code(&self, payee: Digest) -> Result<Option<MerchantId>, StoreError> {
        self.read(move |db| codes::merchant_of(db, payee)).await
    }

    /// Records a bill; its deadline is now + the length it asks for. Event: `bill` for the merchant, but not for what a
    /// watch made of a printed code: that the merchant hears of when it is ordered.
    ///
    /// Errors: `BillExists`, `NotFirstRevision`, `MerchantUnknown`, `CertificateUnknown` (the bill's is not one of this merchant's),
    /// `CurrencyNotSupported`.
    pub async fn create_bill(&self, new: NewBill, now: Timestamp) -> Result<BillRow, StoreError> {
        self.write(move |tx| merchants::create_bill(tx, &new, now)).await
    }

    pub async fn bill(&self, bill: BillId) -> Result<Option<BillRow>, StoreError> {
        self.read(move |db| merchants::bill(db, bill)).await
    }

    /// By the digest of revision 1, as orders name it.
    pub async fn bill_by_digest(&self, digest: Digest) -> Result<Option<BillRow>, StoreError> {
        self.read(move |db| merchants::bill_by_digest(db, digest)).await
    }

    /// A watch fetched the bill. The first time: event `bill` for the merchant.
    ///
    /// Errors: `BillUnknown`.
    pub async fn mark_scanned(&self, bill: BillId, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| merchants::mark_scanned(tx, bill, now)).await
    }

    /// The merchant takes its bill back; its open orders end `failed`, `bill-cancelled`.
    ///
    /// Errors: `BillUnknown` (also for another merchant's), `BillAlreadyPaid`.
    pub async fn cancel_bill(&self, merchant: MerchantId, bill: BillId, now: Timestamp) -> Result<BillRow, StoreError> {
        self.write(move |tx| orders::cancel_bill(tx, merchant, bill, now)).await
    }

    // Orders

    /// Records an order; waiting, or ended `failed` at once where the household is frozen (`household-frozen`) or the wallet
    /// cannot pay the bill (`insufficient-balance`): the guardian then gets an `outcome` event only. Its deadline is now + the length it asks for, at most an hour.
    ///
    /// Errors, in this order: `OrderIdReused`, `WatchUnknown`, `RevokedWatch`, `NonceReused`, `BillUnknown`,
    /// `BillAlreadyPaid`, `BillCancelled`, `BillExpired`, `HouseholdClosed`, `CurrencyNotSupported`, `OverNewWatchCap`,
    /// `OrderOpen`.
    pub async fn place_order(&self, place: PlaceOrder, now: Timestamp) -> Result<OrderRow, StoreError> {
        self.write_of(place.order.household, move |tx| orders::place(tx, &place, now)).await
    }

    /// Asks the merchant for a requote, in place of an earlier ask that still runs. Events: `requote` for the merchant and
    /// guardians.
    ///
    /// Errors: `AskExists`, `OrderUnknown`, `OrderExpired`, `OrderEnded`, `AlreadyDecided`, `TooManyAsks`.
    pub async fn ask_requote(&self, ask: AskRequote, now: Timestamp) -> Result<AskRow, StoreError> {
        self.write(move |tx| requotes::ask(tx, &ask, now)).await
    }

    pub async fn requote_ask(&self, ask: AskId) -> Result<Option<AskRow>, StoreError> {
        self.read(move |db| requotes::row(db, ask)).await
    }

    /// The merchant's requote stands in for the bill from now on. Events: `requote` for guardians, `bill` for the merchant.
    ///
    /// Errors: `AskUnknown` (also for another merchant's), `AskClosed`, `WrongRevision`, `OrderExpired`.
    pub async fn answer_requote(&self, answer: AnswerRequote, now: Timestamp) -> Result<AskRow, StoreError> {
        self.write(move |tx| requotes::answer(tx, &answer, now)).await
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
        self.write(move |tx| requotes::refuse(tx, merchant, ask, &reason, now)).await
    }

    /// Takes a decision in. Approved, and above what one guardian may approve: it waits as the order's `first` for the decision
    /// that names it. Event: `decision`, for guardians. Else, approved: holds the total, the order is approved until now + `pay_by` − `at`, at most ten minutes.
    /// The order ends instead: refused; `failed` with the decision named when the wallet, the bill or the watch no longer
    /// allows it. So `Ok` means taken in: look at `state`. Events: `decision` (guardians, watch) or `outcome`.
    ///
    /// Errors, in this order: `OrderUnknown`, `OtherOrder`, `OrderExpired`, `OrderEnded`, `AlreadyDecided`, `StaleBill`,
    /// `GuardianUnknown`, `CounterReplayed`, `FirstNod`, `GuardianNotCounting`.
    pub async fn decide(&self, decide: Decide, now: Timestamp) -> Result<OrderRow, StoreError> {
        self.write_of(decide.decision.household, move |tx| orders::decide(tx, &decide, now)).await
    }

    /// Takes a payment in: consumes the bill, then posts the hold. The order ends: paid; `failed` with the payment named, the
    /// hold voided, when the bill is paid, cancelled or expired or the watch was removed. So `Ok` means taken in: look at
    /// `state`.
    ///
    /// Errors, in this order: `OrderUnknown`, `OtherOrder`, `OrderExpired`, `OrderEnded`, `OrderNotApproved`,
    /// `OtherDecision`, `WrongTotal`.
    pub async fn pay(&self, pay: Pay, now: Timestamp) -> Result<OrderRow, StoreError> {
        self.write_of(pay.payment.household, move |tx| orders::pay(tx, &pay, now)).await
    }

    /// The watch takes its order back; a hold is voided.
    ///
    /// Errors, in this order: `OrderUnknown`, `OtherOrder`, `OrderExpired`, `OrderEnded`.
    pub async fn cancel_order(&self, cancel: CancelOrder, now: Timestamp) -> Result<OrderRow, StoreError> {
        self.write(move |tx| orders::cancel(tx, &cancel, now)).await
    }

    /// The watch's word on the outcome it saw; the first one stays. Event: `result` for guardians.
    ///
    /// Errors: `OrderUnknown`, `OtherOrder`, `OrderNotEnded`, `OtherOutcome`.
    pub async fn report_result(&self, report: ReportResult, now: Timestamp) -> Result<OrderRow, StoreError> {
        self.write_of(report.result.household, move |tx| orders::report_result(tx, &report, now)).await
    }

    /// Does what is due: orders end `expired` (or `failed`, `bill-expired` when only their bill's time is over), asks time
    /// out, pocket money is paid, merchants' days are closed. Call it at [`Ticked::next`] and after every start.
    ///
    /// An order that cannot be ended (an incident) does not keep others from ending; its error comes when all are done. The
    /// same is true of pocket money and days.
    pub async fn tick(&self, now: Timestamp) -> Result<Ticked, StoreError> {
        let (mut ended, mut topped_up, mut closed) = (0, 0, 0);
        let mut first_error = None;
        let mut after = None;
        loop {
            let batch = self.write(move |tx| orders::tick(tx, after, now)).await?;
            ended += batch.ended;
            first_error = first_error.or(batch.error);
            match batch.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        ended += self.write(move |tx| requotes::tick(tx, now)).await?;
        let mut after = None;
        loop {
            let batch = self.write(move |tx| schedules::tick(tx, after, now)).await?;
            topped_up += batch.top_ups;
            first_error = first_error.or(batch.error);
            match batch.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let batch = self.write(move |tx| merchant_books::tick(tx, after, now)).await?;
            closed += batch.days;
            first_error = first_error.or(batch.error);
            match batch.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => Ok(Ticked { ended, topped_up, closed, next: self.next_deadline().await? }),
        }
    }

    /// When [`Store::tick`] has something to do next.
    pub async fn next_deadline(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|db| {
            let next = [orders::next_deadline(db)?, schedules::next_due(db)?, merchant_books::next_due(db)?];
            Ok(next.into_iter().flatten().min())
        })
        .await
    }

    /// An order as this process last wrote it, if it remembers: by now it may have changed, but not the messages it has.
    #[must_use]
    pub fn order_at_hand(&self, household: HouseholdId, order: OrderId) -> Option<Arc<OrderRow>> {
        self.announcements().order(household, order).map(|(_, known)| Arc::clone(&known.row))
    }

    pub async fn order(&self, household: HouseholdId, order: OrderId) -> Result<Option<OrderRow>, StoreError> {
        self.read(move |db| orders::order(db, household, order)).await
    }

    /// The order that is waiting or approved: at most one a watch.
    pub async fn open_order(&self, watch: WatchId) -> Result<Option<OrderRow>, StoreError> {
        self.read(move |db| orders::open_order(db, watch)).await
    }

    /// The newest order, open or ended: what a watch that connects again asks about.
    pub async fn latest_order(&self, watch: WatchId) -> Result<Option<OrderRow>, StoreError> {
        self.read(move |db| orders::latest_order(db, watch)).await
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
        self.read(move |db| orders::orders(db, household, before, limit)).await
    }

    /// What a wearer's orders that came from `day` on, and from `month` on, have paid. `month` is not after `day`.
    pub async fn spent(
        &self,
        household: HouseholdId,
        wearer: WearerId,
        day: Timestamp,
        month: Timestamp,
    ) -> Result<Spent, StoreError> {
        self.read(move |db| deciding::spent(db, household, wearer, day, month)).await
    }

    /// What the evidence file of an ended order is made of.
    ///
    /// Errors: `OrderUnknown`, `OrderNotEnded`.
    pub async fn evidence(&self, household: HouseholdId, order: OrderId) -> Result<EvidenceParts, StoreError> {
        self.read(move |db| orders::evidence(db, household, order)).await
    }

    /// Orders of a household, newest first, from the one before `before`, with all that their evidence is made of, in one view; at
    /// most [`MAX_ORDERS_PAGE`].
    ///
    /// Errors: `HouseholdUnknown`, `HouseholdErased`, `OrderUnknown` for `before`.
    pub async fn evidence_page(
        &self,
        household: HouseholdId,
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<EvidencePage, StoreError> {
        self.view(move |db| orders::evidence_page(db, household, before, limit)).await
    }

    // Rails outside

    /// Whom the rail outside takes the household's money from, for orders that come from now on; `None` for its wallet. Event:
    /// `balance` for guardians and all watches.
    ///
    /// Errors: `HouseholdUnknown`.
    pub async fn set_payer(
        &self,
        household: HouseholdId,
        payer: Option<Payer>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| rails::set_payer(tx, household, payer.as_ref(), now)).await
    }

    /// `None` where the household pays with its wallet.
    pub async fn payer(&self, household: HouseholdId) -> Result<Option<Payer>, StoreError> {
        self.read(move |db| rails::payer(db, household)).await
    }

    /// Claims steps of a rail that are due, at most [`MAX_RAIL_WORK`], and says when the next one is. A claimed step that is not
    /// answered is due again after [`RAIL_LEASE_MS`].
    pub async fn rail_work(
        &self,
        rail: RailKind,
        now: Timestamp,
    ) -> Result<(Vec<RailWork>, Option<Timestamp>), StoreError> {
        let due = self.read(move |db| rails::due(db, rail, now, MAX_RAIL_WORK)).await?;
        let mut claimed = Vec::new();
        for key in due {
            claimed.extend(self.write(move |tx| rails::claim(tx, key, now)).await?);
        }
        Ok((claimed, self.read(move |db| rails::next_due(db, rail)).await?))
    }

    /// Takes a rail's answer in: the order is approved, paid, `failed` (`payment-declined`), or goes on waiting. Gives the
    /// order where that changed it. A step that was answered before stays as it is. Events: `decision`, `outcome`, or `order`
    /// (guardians, watch) where it only waits in another way.
    ///
    /// Errors: `OrderUnknown`.
    pub async fn rail_answered(
        &self,
        work: RailWork,
        reply: RailReply,
        now: Timestamp,
    ) -> Result<Option<OrderRow>, StoreError> {
        self.write(move |tx| rails::answered(tx, &work, &reply, now)).await
    }

    /// What rails outside have not finished, the oldest first, at most [`MAX_UNFINISHED`].
    pub async fn unfinished(&self) -> Result<Vec<UnfinishedRow>, StoreError> {
        let (mut rows, top_ups) = self
            .view(|db| Ok((rails::unfinished(db, MAX_UNFINISHED)?, topups::unfinished(db, MAX_UNFINISHED)?)))
            .await?;
        rows.extend(top_ups);
        rows.sort_by_key(|row| (row.asked, row.transfer));
        rows.truncate(usize::try_from(MAX_UNFINISHED).unwrap_or(usize::MAX));
        Ok(rows)
    }

    /// The rail has news of a transfer: it is asked about it now. Whether the transfer is one of ours.
    pub async fn wake_rail(&self, transfer: TransferId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tx| rails::wake(tx, transfer, now)).await
    }

    /// Takes in how a dispute stands; twice, late and in any order does no harm. What the bank takes back leaves the merchant's
    /// balance, what it gives again comes back. `None` where the payment is none of ours, or nothing is new. Events: `order` for
    /// guardians, `bill` for the merchant.
    ///
    /// Errors: `CurrencyNotSupported`, `AmountNotPositive`.
    pub async fn take_dispute(&self, news: DisputeNews, now: Timestamp) -> Result<Option<DisputeState>, StoreError> {
        self.write(move |tx| disputes::take_in(tx, &news, now)).await
    }

    /// The disputes of an order's payment, the oldest first.
    pub async fn disputes(&self, household: HouseholdId, order: OrderId) -> Result<Vec<DisputeRow>, StoreError> {
        self.read(move |db| disputes::list(db, household, order)).await
    }

    // Filling the wallet from a card

    /// Which card may be charged for the household's wallet. Event: `balance` for guardians.
    ///
    /// Errors: `HouseholdUnknown`.
    pub async fn set_top_up_card(
        &self,
        household: HouseholdId,
        card: Option<Payer>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| topups::set_card(tx, household, card.as_ref(), now)).await
    }

    pub async fn top_up_card(&self, household: HouseholdId) -> Result<Option<Payer>, StoreError> {
        self.read(move |db| topups::card(db, household)).await
    }

    /// Writes down that the household's card is to be charged; the money is in the wallet once its rail says that it was. Event:
    /// `balance` for guardians, now and whenever its state changes.
    ///
    /// Errors: `HouseholdUnknown`, `TransferExists`, `GuardianUnknown`, `CounterReplayed`, `HouseholdClosed`, `HouseholdFrozen`,
    /// `CurrencyNotSupported`, `TopUpAmount`, `CardMissing`, `CardDisputed`, `TopUpDay`, `BalanceTooLarge`.
    pub async fn ask_card_top_up(&self, new: NewCardTopUp, now: Timestamp) -> Result<CardTopUpRow, StoreError> {
        self.write(move |tx| topups::ask(tx, &new, now)).await
    }

    /// A household's newest, the newest first.
    pub async fn card_top_ups(&self, household: HouseholdId) -> Result<Vec<CardTopUpRow>, StoreError> {
        self.read(move |db| topups::list(db, household)).await
    }

    /// As [`Store::rail_work`], for the charging of cards.
    pub async fn card_top_up_work(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<CardTopUpWork>, Option<Timestamp>), StoreError> {
        let due = self.read(move |db| topups::due(db, now, MAX_RAIL_WORK)).await?;
        let mut claimed = Vec::new();
        for key in due {
            claimed.extend(self.write(move |tx| topups::claim(tx, key, now)).await?);
        }
        Ok((claimed, self.read(topups::next_due).await?))
    }

    /// Takes the rail's answer in; with a yes the amount is in the wallet, once. One that was answered before stays as it is.
    /// Events: `balance` for guardians, and for all watches once it is in the wallet.
    ///
    /// Errors: `BalanceTooLarge`, and then it is asked again.
    pub async fn card_top_up_answered(
        &self,
        work: CardTopUpWork,
        reply: RailReply,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx| topups::answered(tx, &work, &reply, now)).await
    }

    // Push messages

    /// Orders, decisions, endings, log entries and PIN reports that this process commits from now on. Who lags is told how many were missed.
    #[must_use]
    pub fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.announcements().alerts()
    }

    /// Whether a household has phones that want to be woken, by what this process remembers.
    #[must_use]
    pub fn wakeable_at_hand(&self, household: HouseholdId) -> Option<bool> {
        self.announcements().wakeable(household).0
    }

    /// The same, asked where it is not remembered.
    pub async fn wakeable(&self, household: HouseholdId) -> Result<bool, StoreError> {
        let (known, mark) = self.announcements().wakeable(household);
        if let Some(known) = known {
            return Ok(known);
        }
        let is = self.read(move |db| push::any(db, household)).await?;
        self.announcements().remember_wakeable(household, is, mark);
        Ok(is)
    }

    /// The public key that push messages are signed with, once there is one.
    pub async fn push_key(&self) -> Result<Option<PublicKey>, StoreError> {
        self.read(push::key).await
    }

    /// Records the key where there is none, and gives the one there is.
    pub async fn keep_push_key(&self, key: PublicKey) -> Result<PublicKey, StoreError> {
        self.write(move |tx| push::keep_key(tx, &key)).await
    }

    /// Replaces the key and forgets all phones: their subscriptions are bound to the one before.
    pub async fn renew_push_key(&self, key: PublicKey) -> Result<(), StoreError> {
        self.write(move |tx| push::renew_key(tx, &key)).await
    }

    /// A phone wants to be woken, or says that it is still there; gives what its notifications show. A browser has one
    /// subscription: it moves to whoever subscribes last. Beyond [`MAX_SUBSCRIPTIONS`] of a guardian the oldest ends.
    ///
    /// Errors: `GuardianUnknown` (also one whose time is over).
    pub async fn subscribe_push(&self, new: NewSubscription, now: Timestamp) -> Result<PushDetail, StoreError> {
        self.write(move |tx| push::subscribe(tx, &new, now)).await
    }

    /// Unknown ones, and other guardians', count as ended.
    pub async fn unsubscribe_push(
        &self,
        household: HouseholdId,
        guardian: GuardianId,
        id: Digest,
    ) -> Result<(), StoreError> {
        self.write(move |tx| push::unsubscribe(tx, household, guardian, id)).await
    }

    pub async fn subscription(&self, household: HouseholdId, id: Digest) -> Result<Option<Subscription>, StoreError> {
        self.read(move |db| push::find(db, household, id)).await
    }

    /// Queues an event for the household's phones and claims the messages for the caller; each event once, whoever queues it.
    /// Messages about the same order or watch that still wait are given up. Phones of guardians whose time is over are forgotten.
    pub async fn queue_push(&self, new: QueuePush, now: Timestamp) -> Result<Vec<PushWork>, StoreError> {
        self.write(move |tx| push::queue(tx, &new, now)).await
    }

    /// Claims messages that are due, a few at once, and says when the next one is. A claimed message that is not answered is due
    /// again after [`PUSH_LEASE_MS`].
    pub async fn push_work(&self, now: Timestamp) -> Result<(Vec<PushWork>, Option<Timestamp>), StoreError> {
        let due = self.read(move |db| push::due(db, now)).await?;
        let mut claimed = Vec::new();
        for key in due {
            claimed.extend(self.write(move |tx| push::claim(tx, key, now)).await?);
        }
        Ok((claimed, self.read(push::next_due).await?))
    }

    /// A claimed message was sent or given up (`None`), or is to be tried again at `next`.
    pub async fn push_answered(&self, work: PushWork, next: Option<Timestamp>) -> Result<(), StoreError> {
        self.write(move |tx| push::answered(tx, &work, next)).await
    }

    /// The push service says that the phone is gone.
    pub async fn push_gone(&self, household: HouseholdId, id: Digest) -> Result<(), StoreError> {
        self.write(move |tx| Ok(push::forget(tx, household, id)?)).await
    }

    // The service's own keys

    /// Remembers the certificate of a key that signs outcomes; for ever.
    pub async fn keep_outcome_certificate(&self, certificate: Message, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| outcome_keys::keep(tx, &certificate, now)).await
    }

    /// The certificates of all keys that ever signed outcomes here.
    pub async fn outcome_certificates(&self) -> Result<Vec<Message>, StoreError> {
        self.read(outcome_keys::list).await
    }

    // Money

    /// Pays into a household's wallet. Event: `balance` for guardians and all watches.
    ///
    /// Errors: `HouseholdUnknown`, `TransferExists`, `HouseholdClosed`, `CurrencyNotSupported`, `AmountNotPositive`, `BalanceTooLarge`.
    pub async fn top_up(&self, top_up: TopUp, now: Timestamp) -> Result<Balance, StoreError> {
        self.write(move |tx| Ok(ledger::top_up(tx, &top_up, now)?.0)).await
    }

    /// The same, for what a bank has booked: whether it is new.
    pub async fn take_credit(&self, top_up: TopUp, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tx| Ok(ledger::top_up(tx, &top_up, now)?.1)).await
    }

    pub async fn wallet(&self, household: HouseholdId) -> Result<Option<Balance>, StoreError> {
        self.read(move |db| ledger::balance(db, household)).await
    }

    /// Gives back what was paid, or a part of it. The operator's fee on that part comes back as well. A merchant's balance may
    /// go below zero by it. What was paid by card goes back to the card: the rail is asked, and until it has answered the
    /// refund is `Asked`; then it is done, or failed and its amount may be given back again. The same id again gives the refund
    /// as it is by then. Events once it is done: `refund` for guardians and the watch, and, where it went to the wallet,
    /// `balance` for guardians and all watches. `bill` for the merchant whenever its state changes.
    ///
    /// Errors, in this order: `BillUnknown` (also for another merchant's), `BillNotPaid`, `RefundElsewhere` (a bank paid the
    /// merchant itself), `RefundExists`, `HouseholdClosed` (its wallet), `CurrencyNotSupported`, `AmountNotPositive`,
    /// `RefundTooLarge`, `BalanceTooLarge`.
    pub async fn refund(&self, refund: Refund, now: Timestamp) -> Result<RefundRow, StoreError> {
        self.write(move |tx| refunds::refund(tx, &refund, now)).await
    }

    /// The refunds of a merchant's bill, the oldest first, also those that failed.
    ///
    /// Errors: `BillUnknown` (also for another merchant's).
    pub async fn refunds_of_bill(&self, merchant: MerchantId, bill: BillId) -> Result<Vec<RefundRow>, StoreError> {
        self.read(move |db| refunds::of_bill(db, merchant, bill)).await
    }

    /// The refunds of an order, the oldest first, also those that failed.
    pub async fn refunds(&self, household: HouseholdId, order: OrderId) -> Result<Vec<RefundRow>, StoreError> {
        self.read(move |db| refunds::list(db, household, order)).await
    }

    /// What the merchant has: payments, less refunds, fees, payouts and what cards' banks took back. Reads the newest closing and what came after it.
    ///
    /// Errors: `MerchantUnknown`.
    pub async fn merchant_balance(&self, merchant: MerchantId) -> Result<Amount, StoreError> {
        self.read(move |db| merchant_books::balance(db, merchant)).await
    }

    /// A merchant's movements in some days (UTC) with the balances before and after, a page of them from after `after`; at most
    /// [`MAX_MOVEMENTS_PAGE`].
    ///
    /// Errors: `MerchantUnknown`.
    pub async fn statement(
        &self,
        merchant: MerchantId,
        period: Period,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Statement, StoreError> {
        self.read(move |db| merchant_books::statement(db, merchant, period, after, limit)).await
    }

    /// Closed days of a merchant from the one after `after`, at most [`MAX_CLOSINGS_PAGE`].
    pub async fn closings(
        &self,
        merchant: MerchantId,
        after: Option<Day>,
        limit: u32,
    ) -> Result<Vec<ClosingRow>, StoreError> {
        self.read(move |db| merchant_books::closings(db, merchant, after, limit)).await
    }

    /// Sets all that a merchant has aside, to be sent to its bank. The same id again gives the payout as it is by then.
    ///
    /// Errors, in this order: `MerchantUnknown`, `TransferExists`, `IbanMissing`, `NothingToPayOut`.
    pub async fn ask_payout(
        &self,
        merchant: MerchantId,
        payout: TransferId,
        now: Timestamp,
    ) -> Result<PayoutRow, StoreError> {
        self.write(move |tx| payouts::ask(tx, merchant, payout, now)).await
    }

    /// A payout is about to be handed over: asked → sending. From here on only the bank gives it back.
    ///
    /// Errors: `PayoutUnknown`, `PayoutState`.
    pub async fn payout_sending(
        &self,
        merchant: MerchantId,
        payout: TransferId,
        now: Timestamp,
    ) -> Result<PayoutRow, StoreError> {
        self.write(move |tx| payouts::step(tx, merchant, payout, PayoutState::Sending, now)).await
    }

    /// The bank has the order for a payout: asked or sending → sent.
    ///
    /// Errors: `PayoutUnknown`, `PayoutState`.
    pub async fn payout_sent(
        &self,
        merchant: MerchantId,
        payout: TransferId,
        now: Timestamp,
    ) -> Result<PayoutRow, StoreError> {
        self.write(move |tx| payouts::step(tx, merchant, payout, PayoutState::Sent, now)).await
    }

    /// The bank has paid: sent → done.
    ///
    /// Errors: `PayoutUnknown`, `PayoutState`.
    pub async fn payout_done(
        &self,
        merchant: MerchantId,
        payout: TransferId,
        now: Timestamp,
    ) -> Result<PayoutRow, StoreError> {
        self.write(move |tx| payouts::step(tx, merchant, payout, PayoutState::Done, now)).await
    }

    /// The bank did not take it or gave it back: asked, sent or done → returned. The merchant has the money here again.
    ///
    /// Errors: `PayoutUnknown`, `PayoutState`.
    pub async fn payout_returned(
        &self,
        merchant: MerchantId,
        payout: TransferId,
        now: Timestamp,
    ) -> Result<PayoutRow, StoreError> {
        self.write(move |tx| payouts::step(tx, merchant, payout, PayoutState::Returned, now)).await
    }

    /// Payouts that the bank has no order for yet, over all merchants, the oldest first; at most [`MAX_PAYOUTS_PAGE`].
    pub async fn payouts_to_send(&self) -> Result<Vec<PayoutRow>, StoreError> {
        self.read(payouts::to_send).await
    }

    /// Payouts that a bank has and did not answer yet, over all merchants, the newest first; at most [`MAX_PAYOUTS_PAGE`].
    pub async fn payouts_sent(&self) -> Result<Vec<PayoutRow>, StoreError> {
        self.read(payouts::sent).await
    }

    /// The payout that a bank's answer is about.
    pub async fn payout_by_id(&self, payout: TransferId) -> Result<Option<PayoutRow>, StoreError> {
        self.read(move |db| payouts::by_id(db, payout)).await
    }

    /// A merchant's payouts, newest first, from the one numbered below `before`; at most [`MAX_PAYOUTS_PAGE`].
    pub async fn payouts(
        &self,
        merchant: MerchantId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PayoutRow>, StoreError> {
        self.read(move |db| payouts::list(db, merchant, before, limit)).await
    }

    /// Writes everything into one file, as it is at one moment; others go on working meanwhile. Gives the number of rows.
    ///
    /// Errors: `Backup`.
    pub async fn back_up(&self, path: PathBuf) -> Result<u64, StoreError> {
        self.view(move |db| backup::write(db, &path)).await
    }

    /// Reads such a file, of a store of either kind and of this version, all of it or nothing. Gives the number of rows.
    ///
    /// Errors: `NotEmpty` where anything is here already, `Backup`.
    pub async fn restore(&self, path: PathBuf) -> Result<u64, StoreError> {
        self.write(move |tx| backup::read(tx, &path)).await
    }

    /// What stands in each of the operator's accounts; reads all movements. Of each currency they come to zero.
    ///
    /// Errors: `BalanceTooLarge` where one is more than an amount can say.
    pub async fn books(&self) -> Result<Vec<BookRow>, StoreError> {
        self.view(books::books).await
    }

    /// Proves the invariants over the whole database; reads all of it. Empty when all is well.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        self.view(check::check).await
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
        self.read(move |db| events::household_after(db, household, audience, after, limit)).await
    }

    /// The same with what the events refer to: what this process just committed from its memory, else from the database.
    pub async fn events_page(
        &self,
        household: HouseholdId,
        audience: Audience,
        after: u64,
        limit: u32,
    ) -> Result<EventsPage, StoreError> {
        if let Some(page) = self.announcements().page(household, audience, after) {
            return Ok(page);
        }
        let page = self.read(move |db| events::page(db, household, audience, after, limit)).await?;
        self.settled().await?;
        Ok(page)
    }

    /// Events of a merchant numbered above `after`, in order; at most [`MAX_EVENTS_PAGE`].
    pub async fn merchant_events_after(
        &self,
        merchant: MerchantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<MerchantEventRow>, StoreError> {
        let rows = self.read(move |db| events::merchant_after(db, merchant, after, limit)).await?;
        self.settled().await?;
        Ok(rows)
    }

    /// Number of a merchant's newest event, 0 before the first.
    pub async fn last_merchant_event(&self, merchant: MerchantId) -> Result<u64, StoreError> {
        self.read(move |db| events::last_of_merchant(db, merchant)).await
    }
}
