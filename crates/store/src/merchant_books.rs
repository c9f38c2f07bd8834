//! A merchant's books. They are no rows of their own that payments would write: they are read from the movements, by time.
//! So that a balance does not add up everything that ever was, each day that is over gets its totals in one row, once.
//!
//! A day is one in UTC. It is closed [`CLOSING_GRACE_MS`] after its end: a movement is written at most that long after the
//! time it carries.

use nodpay_core::{Amount, Day, MerchantId, Minor, MoneyError, Timestamp};

use crate::db::{Db, many, one, params, run};
use crate::ledger::Account;
use crate::tx::{Fault, Tx};
use crate::{
    CLOSING_GRACE_MS, ClosingRow, MAX_CLOSINGS_PAGE, MAX_MOVEMENTS_PAGE, MerchantRow, Movement, MovementKind, Period,
    Place, Statement, StoreError, Totals, merchants,
};

/// Merchants whose days one transaction closes.
const BATCH: u32 = 50;
/// After every time there is.
const NO_END: Timestamp = Timestamp::from_unix_ms(i64::MAX);

impl Totals {
    /// What they change of the balance.
    pub fn net(&self) -> Result<Minor, MoneyError> {
        self.payments.minus(self.refunds)?.minus(self.fees)?.minus(self.payouts)?.minus(self.disputes)
    }
}

fn too_much(merchant: MerchantId, error: MoneyError) -> StoreError {
    StoreError::incident("merchants", merchant, format!("adding up: {error}"))
}

/// Everything that moved from `from` to before `to`.
fn totals(db: Db<'_>, merchant: MerchantId, from: Timestamp, to: Timestamp) -> Result<Totals, StoreError> {
    let account = Account::Merchant(merchant).to_bytes();
    let (fees, taken_back) = (Account::Fees.to_bytes(), Account::TakenBack.to_bytes());
    let (from, to) = (from.unix_ms(), to.unix_ms());
    let payments = one(
        db,
        "settlements",
        merchant,
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM settlements
         WHERE credit = ?1 AND at >= ?2 AND at < ?3 AND result = 'post'",
        params![&account, from, to],
        |cells| cells.minor(),
    )?;
    let taken = one(
        db,
        "transfers",
        merchant,
        "SELECT CAST(coalesce(sum(CASE WHEN credit IN (?4, ?5) THEN 0 ELSE amount END), 0) AS BIGINT),
                CAST(coalesce(sum(CASE WHEN credit = ?4 THEN amount ELSE 0 END), 0) AS BIGINT),
                CAST(coalesce(sum(CASE WHEN credit = ?5 THEN amount ELSE 0 END), 0) AS BIGINT)
         FROM transfers WHERE debit = ?1 AND at >= ?2 AND at < ?3 AND of_transfer IS NOT NULL",
        params![&account, from, to, &fees, &taken_back],
        |cells| Ok((cells.minor()?, cells.minor()?, cells.minor()?)),
    )?;
    let given_back = one(
        db,
        "transfers",
        merchant,
        "SELECT CAST(coalesce(sum(CASE WHEN debit = ?4 THEN 0 ELSE amount END), 0) AS BIGINT),
                CAST(coalesce(sum(CASE WHEN debit = ?4 THEN amount ELSE 0 END), 0) AS BIGINT)
         FROM transfers WHERE credit = ?1 AND at >= ?2 AND at < ?3 AND of_transfer IS NOT NULL",
        params![&account, from, to, &taken_back],
        |cells| Ok((cells.minor()?, cells.minor()?)),
    )?;
    let paid_out = one(
        db,
        "merchant_transfers",
        merchant,
        "SELECT CAST(coalesce(sum(CASE WHEN debit = ?4 THEN amount WHEN credit = ?4 THEN -amount ELSE 0 END), 0)
                AS BIGINT)
         FROM merchant_transfers WHERE merchant = ?1 AND at >= ?2 AND at < ?3",
        params![merchant.as_bytes(), from, to, &account],
        |cells| cells.minor(),
    )?;
    let (refunds, fees, disputed) = taken.unwrap_or((Minor::ZERO, Minor::ZERO, Minor::ZERO));
    let (fees_back, given_again) = given_back.unwrap_or((Minor::ZERO, Minor::ZERO));
    let less = |taken: Minor, back: Minor| taken.minus(back).map_err(|error| too_much(merchant, error));
    Ok(Totals {
        payments: payments.unwrap_or(Minor::ZERO),
        refunds,
        fees: less(fees, fees_back)?,
        payouts: paid_out.unwrap_or(Minor::ZERO),
        disputes: less(disputed, given_again)?,
    })
}

/// What the merchant has just before `at`.
fn balance_at(db: Db<'_>, row: &MerchantRow, at: Timestamp) -> Result<Minor, StoreError> {
    let merchant = row.merchant;
    let closed_until = closed_until(db, merchant)?;
    let day = Day::of(at).min(closed_until);
    let closed = one(
        db,
        "closings",
        merchant,
        "SELECT balance FROM closings WHERE merchant = ?1 AND day < ?2 ORDER BY day DESC LIMIT 1",
        params![merchant.as_bytes(), day.number()],
        |cells| cells.minor(),
    )?;
    let after = totals(db, merchant, day.start(), at)?.net();
    after.and_then(|after| closed.unwrap_or(Minor::ZERO).plus(after)).map_err(|error| too_much(merchant, error))
}

fn closed_until(db: Db<'_>, merchant: MerchantId) -> Result<Day, StoreError> {
    let sql = "SELECT closed_until FROM merchants WHERE merchant = ?1";
    one(db, "merchants", merchant, sql, params![merchant.as_bytes()], |cells| cells.day())?
        .ok_or(StoreError::MerchantUnknown)
}

fn known(db: Db<'_>, merchant: MerchantId) -> Result<MerchantRow, StoreError> {
    merchants::merchant(db, merchant)?.ok_or(StoreError::MerchantUnknown)
}

pub(crate) fn balance(db: Db<'_>, merchant: MerchantId) -> Result<Amount, StoreError> {
    let row = known(db, merchant)?;
    Ok(Amount::new(balance_at(db, &row, NO_END)?, row.currency))
}

pub(crate) fn statement(
    db: Db<'_>,
    merchant: MerchantId,
    period: Period,
    after: Option<Place>,
    limit: u32,
) -> Result<Statement, StoreError> {
    let row = known(db, merchant)?;
    let (from, to) = (period.from.start(), period.to.end());
    let totals = totals(db, merchant, from, to)?;
    let opening = balance_at(db, &row, from)?;
    let closing = totals.net().and_then(|net| opening.plus(net)).map_err(|error| too_much(merchant, error))?;
    let limit = limit.min(MAX_MOVEMENTS_PAGE);
    let movements = movements(db, merchant, (from, to), after, limit)?;
    let full = movements.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = movements.last().filter(|_| full).map(Movement::place);
    Ok(Statement { merchant, period, currency: row.currency, opening, totals, closing, movements, next })
}

/// By time, from the one after `after`: the four places where a merchant's money moves, laid together.
fn movements(
    db: Db<'_>,
    merchant: MerchantId,
    (from, to): (Timestamp, Timestamp),
    after: Option<Place>,
    limit: u32,
) -> Result<Vec<Movement>, StoreError> {
    let account = Account::Merchant(merchant).to_bytes();
    let from = after.map_or(from, |after| after.at.max(from)).unix_ms();
    // Before the first transfer there can be, where nothing was read yet.
    let (after_at, after_transfer) =
        after.map_or((i64::MIN, [0; 16]), |after| (after.at.unix_ms(), *after.transfer.as_bytes()));
    let mut found = many(
        db,
        "settlements",
        merchant,
        "SELECT s.at, s.transfer, s.amount, b.bill FROM settlements s
         JOIN transfers t ON t.household = s.household AND t.transfer = s.transfer
         JOIN orders o ON o.no = t.order_no JOIN bills b ON b.no = o.bill_no
         WHERE s.credit = ?1 AND s.at >= ?2 AND s.at < ?3 AND s.result = 'post'
           AND (s.at > ?4 OR s.transfer > ?5)
         ORDER BY s.at, s.transfer LIMIT ?6",
        params![&account, from, to.unix_ms(), after_at, after_transfer, limit],
        |cells| {
            let (at, transfer, change) = (cells.time()?, cells.id()?, cells.minor()?);
            Ok(Movement { at, transfer, kind: MovementKind::Payment, change, bill: Some(cells.id()?), reason: None })
        },
    )?;
    found.extend(many(
        db,
        "transfers",
        merchant,
        "SELECT t.at, t.transfer, -t.amount, t.credit, b.bill, r.reason FROM transfers t
         JOIN orders o ON o.no = t.order_no JOIN bills b ON b.no = o.bill_no
         LEFT JOIN refunds r ON r.household = o.household AND r.order_id = o.order_id AND r.refund = t.transfer
         WHERE t.debit = ?1 AND t.at >= ?2 AND t.at < ?3 AND t.of_transfer IS NOT NULL
           AND (t.at > ?4 OR t.transfer > ?5)
         ORDER BY t.at, t.transfer LIMIT ?6",
        params![&account, from, to.unix_ms(), after_at, after_transfer, limit],
        |cells| {
            let (at, transfer, change) = (cells.time()?, cells.id()?, cells.minor()?);
            let kind = match cells.account()? {
                Account::Fees => MovementKind::Fee,
                Account::TakenBack => MovementKind::Dispute,
                Account::Outside
                | Account::Wallet(_)
                | Account::Merchant(_)
                | Account::Suspense
                | Account::Rail(_)
                | Account::Bank(_) => MovementKind::Refund,
            };
            Ok(Movement { at, transfer, kind, change, bill: Some(cells.id()?), reason: cells.opt_text()? })
        },
    )?);
    found.extend(many(
        db,
        "transfers",
        merchant,
        "SELECT t.at, t.transfer, t.amount, t.debit, b.bill FROM transfers t
         JOIN orders o ON o.no = t.order_no JOIN bills b ON b.no = o.bill_no
         WHERE t.credit = ?1 AND t.at >= ?2 AND t.at < ?3 AND t.of_transfer IS NOT NULL
           AND (t.at > ?4 OR t.transfer > ?5)
         ORDER BY t.at, t.transfer LIMIT ?6",
        params![&account, from, to.unix_ms(), after_at, after_transfer, limit],
        |cells| {
            let (at, transfer, change) = (cells.time()?, cells.id()?, cells.minor()?);
            let again = cells.account()? == Account::TakenBack;
            let kind = if again { MovementKind::DisputeBack } else { MovementKind::FeeBack };
            Ok(Movement { at, transfer, kind, change, bill: Some(cells.id()?), reason: None })
        },
    )?);
    found.extend(many(
        db,
        "merchant_transfers",
        merchant,
        "SELECT at, transfer, CASE WHEN debit = ?7 THEN -amount ELSE amount END FROM merchant_transfers
         WHERE merchant = ?1 AND at >= ?2 AND at < ?3 AND (debit = ?7 OR credit = ?7) AND (at > ?4 OR transfer > ?5)
         ORDER BY at, transfer LIMIT ?6",
        params![merchant.as_bytes(), from, to.unix_ms(), after_at, after_transfer, limit, &account],
        |cells| {
            let (at, transfer, change) = (cells.time()?, cells.id()?, cells.minor()?);
            let kind = if change < Minor::ZERO { MovementKind::Payout } else { MovementKind::PayoutBack };
            Ok(Movement { at, transfer, kind, change, bill: None, reason: None })
        },
    )?);
    found.sort_by_key(Movement::place);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

pub(crate) fn closings(
    db: Db<'_>,
    merchant: MerchantId,
    after: Option<Day>,
    limit: u32,
) -> Result<Vec<ClosingRow>, StoreError> {
    many(
        db,
        "closings",
        merchant,
        "SELECT day, currency, payments, refunds, fees, payouts, disputes, balance FROM closings
         WHERE merchant = ?1 AND day > ?2 ORDER BY day LIMIT ?3",
        params![merchant.as_bytes(), after.map_or(-1, Day::number), limit.min(MAX_CLOSINGS_PAGE)],
        |cells| {
            let (day, currency) = (cells.day()?, cells.currency()?);
            let totals = Totals {
                payments: cells.minor()?,
                refunds: cells.minor()?,
                fees: cells.minor()?,
                payouts: cells.minor()?,
                disputes: cells.minor()?,
            };
            Ok(ClosingRow { day, currency, totals, balance: cells.minor()? })
        },
    )
}

/// The totals of one day as they are in the movements.
pub(crate) fn day_totals(db: Db<'_>, merchant: MerchantId, day: Day) -> Result<Totals, StoreError> {
    totals(db, merchant, day.start(), day.end())
}

// Closing

/// When a day of some merchant can be closed next; `None` without merchants.
pub(crate) fn next_due(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let first = first_open(db)?;
    Ok(first.map(|day| day.end().plus_ms(CLOSING_GRACE_MS)))
}

fn first_open(db: Db<'_>) -> Result<Option<Day>, StoreError> {
    let sql = "SELECT closed_until FROM merchants ORDER BY closed_until LIMIT 1";
    one(db, "merchants", "(to close)", sql, params![], |cells| cells.day())
}

/// What one step of closing did.
pub(crate) struct Closed {
    pub(crate) days: u64,
    /// The last merchant looked at; `None` when there is none left.
    pub(crate) last: Option<MerchantId>,
    pub(crate) error: Option<StoreError>,
}

/// Closes the days that are over, of merchants after `after`.
pub(crate) fn tick(tx: &mut Tx<'_>, after: Option<MerchantId>, now: Timestamp) -> Result<Closed, Fault> {
    let until = Day::of(now.plus_ms(-CLOSING_GRACE_MS));
    let mut closed = Closed { days: 0, last: None, error: None };
    if first_open(tx.db)?.is_none_or(|first| first >= until) {
        return Ok(closed);
    }
    let after: &[u8] = after.as_ref().map_or(&[], |after| after.as_bytes());
    let open = many(
        tx.db,
        "merchants",
        "(to close)",
        "SELECT merchant FROM merchants WHERE merchant > ?1 AND closed_until < ?2 ORDER BY merchant LIMIT ?3",
        params![after, until.number(), BATCH],
        |cells| cells.id(),
    )?;
    for merchant in open {
        match tx.alone(|tx| close(tx, merchant, until))? {
            Ok(days) => closed.days += days,
            Err(error) => closed.error = closed.error.or(Some(error)),
        }
        closed.last = Some(merchant);
    }
    Ok(closed)
}

/// Closes the merchant's days before `until` on which something moved.
fn close(tx: &mut Tx<'_>, merchant: MerchantId, until: Day) -> Result<u64, Fault> {
    let row = known(tx.db, merchant)?;
    let open = closed_until(tx.db, merchant)?;
    // First, so that two at once wait for each other; the later one finds it done.
    let taken = run(
        tx.db,
        "UPDATE merchants SET closed_until = ?2 WHERE merchant = ?1 AND closed_until = ?3",
        params![merchant.as_bytes(), until.number(), open.number()],
    )?;
    if taken == 0 {
        return Ok(0);
    }
    let mut balance = balance_at_closing(tx.db, merchant)?;
    let mut from = open.start();
    let mut days = 0;
    while let Some(day) = first_moved(tx.db, merchant, from, until.start())? {
        let totals = day_totals(tx.db, merchant, day)?;
        balance = totals.net().and_then(|net| balance.plus(net)).map_err(|error| too_much(merchant, error))?;
        run(
            tx.db,
            "INSERT INTO closings (merchant, day, currency, payments, refunds, fees, payouts, disputes, balance)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                merchant.as_bytes(),
                day.number(),
                row.currency.code(),
                totals.payments.get(),
                totals.refunds.get(),
                totals.fees.get(),
                totals.payouts.get(),
                totals.disputes.get(),
                balance.get(),
            ],
        )?;
        from = day.end();
        days += 1;
    }
    Ok(days)
}

fn balance_at_closing(db: Db<'_>, merchant: MerchantId) -> Result<Minor, StoreError> {
    let sql = "SELECT balance FROM closings WHERE merchant = ?1 ORDER BY day DESC LIMIT 1";
    let newest = one(db, "closings", merchant, sql, params![merchant.as_bytes()], |cells| cells.minor())?;
    Ok(newest.unwrap_or(Minor::ZERO))
}

fn first_moved(db: Db<'_>, merchant: MerchantId, from: Timestamp, to: Timestamp) -> Result<Option<Day>, StoreError> {
    let first = movements(db, merchant, (from, to), None, 1)?;
    Ok(first.first().map(|movement| Day::of(movement.at)))
}
