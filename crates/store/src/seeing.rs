//! Looking back: a household's orders by filters, newest first, and the movements of its money that are no order's own.
//!
//! No index serves this alone: placing and paying orders would have to write it. A household's orders are numbered in the order
//! they came, so a day is found by halving their numbers, and one call looks at [`MAX_LOOKED_AT`] of them at most, whatever it
//! finds; the caller goes on with `next`.
//!
//! SQLite walks its index from the first lower bound that a statement names, so the one that matters stands first; `no > 0` is
//! for PostgreSQL's index.

use nodpay_core::{
    Amount, Digest, HouseholdId, LineId, MerchantId, OrderId, OutcomeKind, Text, Timestamp, TransferId, WatchId,
    WearerId,
};

use crate::db::{Cells, Db, many, one, params};
use crate::ledger::Account;
use crate::{Message, Store, StoreError, orders};

/// Orders that one call gives at most.
pub const MAX_HISTORY_PAGE: u32 = 500;
/// Orders that one call looks at.
pub const MAX_LOOKED_AT: u32 = 5_000;
/// Refunds, disputes, and movements of the wallet, that one call gives of each.
pub const MAX_MOVES: u32 = 10_000;
/// The newest orders whose shops a household is offered to filter by.
const SHOPS_OF_ORDERS: u32 = 1_000;
/// Replicas' clocks differ by less: so far may an order's time be off its place.
const CLOCK_SLACK_MS: i64 = 60 * 60 * 1000;

/// Which orders are looked for: all that fit every part that is there.
#[derive(Clone, Debug)]
pub struct HistoryAsked {
    /// By when the service received them.
    pub from: Timestamp,
    /// Not in it itself.
    pub to: Timestamp,
    pub wearer: Option<WearerId>,
    pub merchant: Option<MerchantId>,
    pub ending: Option<Ending>,
}

/// How an order stands, as people filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Open,
    Ended(OutcomeKind),
    /// Paid, and something was given back.
    Refunded,
}

/// An order, with what a list or a sum of orders needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub order: OrderId,
    pub received: Timestamp,
    pub watch: WatchId,
    pub wearer: WearerId,
    pub certificate: Message,
    /// Revision 1.
    pub bill: Message,
    /// By the decision.
    pub struck: Vec<LineId>,
    /// The decision's, else the bill's.
    pub total: Amount,
    /// `None` while it is open.
    pub outcome: Option<OutcomeKind>,
    pub refunded: Amount,
    /// The transfer that paid it, and when it was posted.
    pub posted: Option<(TransferId, Timestamp)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Newest first.
    pub rows: Vec<HistoryRow>,
    /// Go on before this one; `None` where nothing older can fit.
    pub next: Option<(OrderId, Timestamp)>,
}

/// Money of a payment that came back, or went to the shop again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackMove {
    pub kind: BackKind,
    pub transfer: TransferId,
    pub at: Timestamp,
    /// Below zero where the household pays.
    pub amount: Amount,
    pub reason: Option<Text<60>>,
    pub order: OrderId,
    pub wearer: WearerId,
    pub certificate: Message,
    /// What a rail calls it: a dispute's own name, or of a refund the payment's. The wallet has no such names.
    pub reference: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackKind {
    /// By the shop.
    Refund,
    /// By the card's bank, of a payment that was disputed.
    TakenBack,
    /// To the shop, whose payment it was after all.
    GivenAgain,
}

/// Money that came into the wallet or left it, but for orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletMove {
    pub transfer: TransferId,
    pub at: Timestamp,
    /// Below zero where it left.
    pub amount: Amount,
}

/// Each newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    pub refunds: Vec<BackMove>,
    pub disputes: Vec<BackMove>,
    pub wallet: Vec<WalletMove>,
}

impl Store {
    /// Orders of a household's that fit, newest first, from the one before `before`; at most `limit` and [`MAX_HISTORY_PAGE`].
    /// There may be fewer, even none, and more to come with `next`.
    ///
    /// Errors: `OrderUnknown` for `before`.
    pub async fn history(
        &self,
        household: HouseholdId,
        asked: HistoryAsked,
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        self.view(move |db| history(db, household, &asked, before, limit)).await
    }

    /// What came back from shops, what banks took back or gave again, and what came into the wallet or left it in a time; of each at most [`MAX_MOVES`], the newest.
    pub async fn moves(&self, household: HouseholdId, from: Timestamp, to: Timestamp) -> Result<Moves, StoreError> {
        self.view(move |db| {
            let (refunds, disputes) = (refunds(db, household, from, to)?, disputes(db, household, from, to)?);
            Ok(Moves { refunds, disputes, wallet: wallet(db, household, from, to)? })
        })
        .await
    }

    /// The certificates under which a household's newest orders were made, each once.
    pub async fn shops(&self, household: HouseholdId) -> Result<Vec<Message>, StoreError> {
        self.view(move |db| shops(db, household)).await
    }
}

fn history(
    db: Db<'_>,
    household: HouseholdId,
    asked: &HistoryAsked,
    before: Option<OrderId>,
    limit: u32,
) -> Result<HistoryPage, StoreError> {
    let before = match before {
        Some(order) => number_of(db, household, order)?.ok_or(StoreError::OrderUnknown)?,
        None => i64::MAX,
    };
    let before = before.min(first_since(db, household, asked.to.plus_ms(CLOCK_SLACK_MS))?);
    let first = first_since(db, household, asked.from.plus_ms(-CLOCK_SLACK_MS))?;
    let stop = nth_before(db, household, before, MAX_LOOKED_AT - 1)?.filter(|stop| stop.no > first);
    let ending = asked.ending.map(|ending| match ending {
        Ending::Open => "open",
        Ending::Ended(kind) => kind.as_str(),
        Ending::Refunded => OutcomeKind::Paid.as_str(),
    });
    let limit = limit.min(MAX_HISTORY_PAGE);
    let rows = many(
        db,
        "orders",
        household,
        "SELECT o.order_id, o.received, o.watch, o.wearer, cm.wire, cm.digest, bm.wire, b.digest, o.struck, b.currency,
                o.total, o.refunded, o.outcome_kind, s.transfer, s.at
         FROM orders o
         JOIN bills b ON b.no = o.bill_no
         JOIN messages bm ON bm.id = b.message
         JOIN certificates c ON c.digest = b.certificate
         JOIN messages cm ON cm.id = c.message
         LEFT JOIN settlements s ON s.household = o.household AND s.transfer = o.hold AND s.result = 'post'
         WHERE o.household = ?1 AND o.no >= ?3 AND o.no > 0 AND o.no < ?2 AND o.received >= ?4 AND o.received < ?5
           AND o.wearer = coalesce(?6, o.wearer) AND b.merchant = coalesce(?7, b.merchant)
           AND coalesce(o.outcome_kind, 'open') = coalesce(?8, o.outcome_kind, 'open') AND o.refunded >= ?9
         ORDER BY o.no DESC LIMIT ?10",
        params![
            household.as_bytes(),
            before,
            stop.as_ref().map_or(first, |stop| stop.no),
            asked.from.unix_ms(),
            asked.to.unix_ms(),
            asked.wearer.as_ref().map(WearerId::as_bytes),
            asked.merchant.as_ref().map(MerchantId::as_bytes),
            ending,
            i64::from(asked.ending == Some(Ending::Refunded)),
            limit,
        ],
        build,
    )?;
    let full = u32::try_from(rows.len()).is_ok_and(|len| len == limit);
    let next = match rows.last().filter(|_| full) {
        Some(last) => Some((last.order, last.received)),
        None => stop.map(|stop| (stop.order, stop.received)),
    };
    Ok(HistoryPage { rows, next })
}

fn build(cells: &Cells<'_>) -> Result<HistoryRow, StoreError> {
    let (order, received, watch, wearer) = (cells.id()?, cells.time()?, cells.id()?, cells.id()?);
    let (certificate, bill, struck, currency) = (cells.message()?, cells.message()?, cells.json()?, cells.currency()?);
    let (total, refunded) = (Amount::new(cells.minor()?, currency), Amount::new(cells.minor()?, currency));
    let outcome = cells.opt_string()?;
    let outcome = outcome.map(|kind| orders::outcome_kind(&kind).ok_or_else(|| cells.wrong(format!("outcome {kind}"))));
    let (transfer, at) = (cells.opt_id()?, cells.opt_time()?);
    Ok(HistoryRow {
        order,
        received,
        watch,
        wearer,
        certificate,
        bill,
        struck,
        total,
        outcome: outcome.transpose()?,
        refunded,
        posted: transfer.zip(at),
    })
}

fn number_of(db: Db<'_>, household: HouseholdId, order: OrderId) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT no FROM orders WHERE household = ?1 AND order_id = ?2";
    one(db, "orders", order, sql, params![household.as_bytes(), order.as_bytes()], |cells| cells.int())
}

/// Where a walk through a household's orders stands.
struct Stand {
    no: i64,
    order: OrderId,
    received: Timestamp,
}

fn stand(cells: &Cells<'_>) -> Result<Stand, StoreError> {
    Ok(Stand { no: cells.int()?, order: cells.id()?, received: cells.time()? })
}

/// The order that has `skip` newer ones between itself and number `before`.
fn nth_before(db: Db<'_>, household: HouseholdId, before: i64, skip: u32) -> Result<Option<Stand>, StoreError> {
    one(
        db,
        "orders",
        household,
        "SELECT no, order_id, received FROM orders WHERE household = ?1 AND no > 0 AND no < ?2
         ORDER BY no DESC LIMIT 1 OFFSET ?3",
        params![household.as_bytes(), before, skip],
        stand,
    )
}

/// A number: all orders of the household's below it came before `at`, as far as its orders came in the order of their times.
fn first_since(db: Db<'_>, household: HouseholdId, at: Timestamp) -> Result<i64, StoreError> {
    let Some(newest) = nth_before(db, household, i64::MAX, 0)? else { return Ok(0) };
    let (mut low, mut high) = (0, newest.no + 1);
    if newest.received < at {
        return Ok(high);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        let next = one(
            db,
            "orders",
            household,
            "SELECT no, order_id, received FROM orders WHERE household = ?1 AND no >= ?2 AND no > 0 ORDER BY no LIMIT 1",
            params![household.as_bytes(), middle],
            stand,
        )?;
        match next {
            Some(next) if next.received < at => low = next.no + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

fn refunds(db: Db<'_>, household: HouseholdId, from: Timestamp, to: Timestamp) -> Result<Vec<BackMove>, StoreError> {
    many(
        db,
        "refunds",
        household,
        "SELECT r.refund, t.at, t.amount, t.currency, r.reason, r.order_id, o.wearer, cm.wire, cm.digest, p.known_as
         FROM refunds r
         JOIN transfers t ON t.household = r.household AND t.transfer = r.refund
         JOIN orders o ON o.household = r.household AND o.order_id = r.order_id
         JOIN bills b ON b.no = o.bill_no
         JOIN certificates c ON c.digest = b.certificate
         JOIN messages cm ON cm.id = c.message
         LEFT JOIN rail_payments p ON p.household = r.household AND p.order_id = r.order_id
         WHERE r.household = ?1 AND t.at >= ?2 AND t.at < ?3 ORDER BY t.at DESC, r.refund LIMIT ?4",
        params![household.as_bytes(), from.unix_ms(), to.unix_ms(), MAX_MOVES],
        |cells| {
            Ok(BackMove {
                kind: BackKind::Refund,
                transfer: cells.id()?,
                at: cells.time()?,
                amount: cells.amount()?,
                reason: cells.opt_text()?,
                order: cells.id()?,
                wearer: cells.id()?,
                certificate: cells.message()?,
                reference: cells.opt_string()?,
            })
        },
    )
}

/// What was taken back has the dispute's transfer, what was given again is a transfer of that one.
fn disputes(db: Db<'_>, household: HouseholdId, from: Timestamp, to: Timestamp) -> Result<Vec<BackMove>, StoreError> {
    many(
        db,
        "disputes",
        household,
        "SELECT t.credit, t.transfer, t.at, t.amount, t.currency, d.order_id, o.wearer, cm.wire, cm.digest, d.known_as
         FROM disputes d
         JOIN transfers t ON t.household = d.household AND (t.transfer = d.transfer OR t.of_transfer = d.transfer)
         JOIN orders o ON o.household = d.household AND o.order_id = d.order_id
         JOIN bills b ON b.no = o.bill_no
         JOIN certificates c ON c.digest = b.certificate
         JOIN messages cm ON cm.id = c.message
         WHERE d.household = ?1 AND t.at >= ?2 AND t.at < ?3 ORDER BY t.at DESC, t.transfer LIMIT ?4",
        params![household.as_bytes(), from.unix_ms(), to.unix_ms(), MAX_MOVES],
        |cells| {
            let to_bank = cells.account()? == Account::TakenBack;
            let kind = if to_bank { BackKind::TakenBack } else { BackKind::GivenAgain };
            let (transfer, at, amount) = (cells.id()?, cells.time()?, cells.amount()?);
            Ok(BackMove {
                kind,
                transfer,
                at,
                amount: if to_bank { amount } else { less(cells, amount)? },
                reason: None,
                order: cells.id()?,
                wearer: cells.id()?,
                certificate: cells.message()?,
                reference: cells.opt_string()?,
            })
        },
    )
}

/// The same, below zero.
fn less(cells: &Cells<'_>, amount: Amount) -> Result<Amount, StoreError> {
    let zero = Amount::new(nodpay_core::Minor::ZERO, amount.currency());
    zero.minus(amount).map_err(|error| cells.wrong(error.to_string()))
}

fn wallet(db: Db<'_>, household: HouseholdId, from: Timestamp, to: Timestamp) -> Result<Vec<WalletMove>, StoreError> {
    many(
        db,
        "transfers",
        household,
        "SELECT transfer, at, amount, currency, credit FROM transfers
         WHERE household = ?1 AND order_no IS NULL AND of_transfer IS NULL AND at >= ?2 AND at < ?3
         ORDER BY at DESC, transfer LIMIT ?4",
        params![household.as_bytes(), from.unix_ms(), to.unix_ms(), MAX_MOVES],
        |cells| {
            let (transfer, at, amount) = (cells.id()?, cells.time()?, cells.amount()?);
            let came_in = cells.account()? == Account::Wallet(household);
            Ok(WalletMove { transfer, at, amount: if came_in { amount } else { less(cells, amount)? } })
        },
    )
}

fn shops(db: Db<'_>, household: HouseholdId) -> Result<Vec<Message>, StoreError> {
    let oldest = nth_before(db, household, i64::MAX, SHOPS_OF_ORDERS)?.map_or(0, |stand| stand.no);
    let certificates: Vec<Digest> = many(
        db,
        "orders",
        household,
        "SELECT DISTINCT b.certificate FROM orders o JOIN bills b ON b.no = o.bill_no
         WHERE o.household = ?1 AND o.no >= ?2 AND o.no > 0",
        params![household.as_bytes(), oldest],
        |cells| cells.id(),
    )?;
    let message = |digest: Digest| {
        let sql = "SELECT m.wire, m.digest FROM certificates c JOIN messages m ON m.id = c.message WHERE c.digest = ?1";
        let found = one(db, "certificates", digest, sql, params![digest.as_bytes()], |cells| cells.message())?;
        found.ok_or_else(|| StoreError::incident("certificates", digest, "a bill names it, but it is not there"))
    };
    certificates.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rusqlite::Connection;

    use super::*;
    use crate::contract::{Family, Shop, outcome_signer};
    use crate::{Address, Store};

    const ORDERS: i64 = 20_000;
    const HOUR_MS: i64 = 60 * 60 * 1000;
    const STEPS: i32 = 100;

    /// Far back among a household's orders: no more of SQLite's own steps than near.
    #[tokio::test]
    async fn looking_far_back_costs_what_looking_near_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nodpay.sqlite");
        let store = Store::open(&Address::Sqlite(path.clone()), outcome_signer()).expect("a store");
        let (shop, family) = (Shop::open(&store).await, Family::settle(&store, 1_000).await);
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let row = family.paid(&store, &shop.sell(&store, &[100]).await, now).await;
        drop(store);
        let mut db = Connection::open(&path).expect("opens");
        crate::sqlite::set_up(&db).expect("as readers are");
        db.execute_batch(&format!(
            "PRAGMA foreign_keys = OFF;
             WITH RECURSIVE more (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM more WHERE i < {ORDERS})
             INSERT INTO orders (no, household, order_id, watch, wearer, bill_no, nonce, message, received, state, total, struck,
                                 asks, decision, payment, outcome, outcome_kind, log_len, hold)
             SELECT no + i, household, CAST(printf('%016d', i) AS BLOB), watch, wearer, bill_no, CAST(printf('%016d', i) AS BLOB),
                    message, received + i * {HOUR_MS}, state, total, struck, asks, decision, payment, outcome, outcome_kind, log_len,
                    hold
             FROM orders, more WHERE no = (SELECT min(no) FROM orders)"
        ))
        .expect("orders");
        let steps = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&steps);
        let counter = move || {
            count.fetch_add(1, Ordering::Relaxed);
            false
        };
        db.progress_handler(STEPS, Some(counter)).expect("counts");
        let look = |from_hour: i64, to_hour: i64| {
            let (from, to) = (row.received.plus_ms(from_hour * HOUR_MS), row.received.plus_ms(to_hour * HOUR_MS));
            let asked = HistoryAsked { from, to, wearer: None, merchant: None, ending: None };
            steps.store(0, Ordering::Relaxed);
            let page = history(Db::Sqlite(&db), row.household, &asked, None, 10).expect("a page");
            assert_eq!(page.rows.len(), 5, "{from_hour}");
            steps.load(Ordering::Relaxed)
        };
        let (near, middle, far) = (look(ORDERS - 4, ORDERS + 9), look(10_000, 10_005), look(7, 12));
        assert!(middle.max(far) < 3 * near, "near {near}, in the middle {middle}, far {far} times {STEPS} steps");
    }
}
