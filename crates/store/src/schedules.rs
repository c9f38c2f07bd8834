//! Pocket money: top-ups that come by themselves. Each due is a top-up whose id follows from the schedule and the due time,
//! so it is paid once, however often it is tried.
//!
//! A service that was down pays what was missed, at most the last [`MAX_MISSED`] dues of a schedule: a clock that jumps
//! ahead must not empty the operator's purse.

use nodpay_core::{Amount, Every, HouseholdId, ScheduleId, Timestamp, TransferId};

use crate::db::{Cells, Db, many, one, params, run, run_one};
use crate::households::Books;
use crate::tx::{Fault, Tx};
use crate::{MAX_MISSED, MAX_SCHEDULES, NewSchedule, ScheduleRow, StoreError, TopUp, ledger};

/// Schedules that one transaction pays.
const BATCH: u32 = 50;

pub(crate) fn add(tx: &mut Tx<'_>, new: &NewSchedule) -> Result<ScheduleRow, Fault> {
    let books = Books::load(tx.db, new.household)?;
    if let Some(row) = find(tx.db, new.household, new.schedule)? {
        let same = (row.amount, row.every, row.first) == (new.amount, new.every, new.first);
        return if same { Ok(row) } else { Err(StoreError::ScheduleExists.into()) };
    }
    if books.close_out.is_some() {
        return Err(StoreError::HouseholdClosed.into());
    }
    if new.amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    if new.amount.units() <= nodpay_core::Minor::ZERO {
        return Err(StoreError::AmountNotPositive.into());
    }
    if list(tx.db, new.household)?.len() >= MAX_SCHEDULES {
        return Err(StoreError::TooManySchedules.into());
    }
    if new.every.nth(new.first, 0).is_none() {
        return Err(StoreError::ScheduleTime.into());
    }
    run(
        tx.db,
        "INSERT INTO schedules (household, schedule, amount, currency, every, first, paid, next_due)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?6)",
        params![
            new.household.as_bytes(),
            new.schedule.as_bytes(),
            new.amount.minor(),
            new.amount.currency().code(),
            new.every.as_str(),
            new.first.unix_ms(),
        ],
    )?;
    Ok(ScheduleRow {
        household: new.household,
        schedule: new.schedule,
        amount: new.amount,
        every: new.every,
        first: new.first,
        dues: 0,
        next_due: Some(new.first),
    })
}

/// One that has ended stays ended.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    schedule: ScheduleId,
    now: Timestamp,
) -> Result<ScheduleRow, Fault> {
    Books::load(tx.db, household)?;
    let row = find(tx.db, household, schedule)?.ok_or(StoreError::ScheduleUnknown)?;
    if row.next_due.is_some() {
        go_on(tx, &row, row.dues, None, now)?;
    }
    Ok(ScheduleRow { next_due: None, ..row })
}

fn go_on(
    tx: &Tx<'_>,
    row: &ScheduleRow,
    dues: u32,
    next_due: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    run_one(
        tx.db,
        "schedules",
        row.schedule,
        "UPDATE schedules SET paid = ?3, next_due = ?4, ended = ?5 WHERE household = ?1 AND schedule = ?2",
        params![
            row.household.as_bytes(),
            row.schedule.as_bytes(),
            dues,
            next_due.map(Timestamp::unix_ms),
            next_due.is_none().then(|| now.unix_ms()),
        ],
    )
}

/// Where a round of payments goes on.
pub(crate) type Place = (i64, HouseholdId, ScheduleId);

/// What one step of a round did.
pub(crate) struct Paid {
    pub(crate) top_ups: u64,
    /// The last schedule looked at; `None` when there is none left.
    pub(crate) last: Option<Place>,
    pub(crate) error: Option<StoreError>,
}

/// Pays what is due after `after`. A schedule that cannot be paid does not keep the others.
pub(crate) fn tick(tx: &mut Tx<'_>, after: Option<Place>, now: Timestamp) -> Result<Paid, Fault> {
    let (after_due, household, schedule) =
        after.unwrap_or((i64::MIN, HouseholdId::from_bytes([0; 16]), ScheduleId::from_bytes([0; 16])));
    let due = many(
        tx.db,
        "schedules",
        "(due)",
        "SELECT next_due, household, schedule FROM schedules
         WHERE next_due <= ?1 AND next_due >= ?2
           AND (next_due > ?2 OR household > ?3 OR (household = ?3 AND schedule > ?4))
         ORDER BY next_due, household, schedule LIMIT ?5",
        params![now.unix_ms(), after_due, household.as_bytes(), schedule.as_bytes(), BATCH],
        |cells| Ok((cells.int()?, cells.id()?, cells.id()?)),
    )?;
    let mut paid = Paid { top_ups: 0, last: None, error: None };
    for place in due {
        let (_, household, schedule) = place;
        match tx.alone(|tx| pay(tx, household, schedule, now))? {
            Ok(top_ups) => paid.top_ups += top_ups,
            Err(error) => paid.error = paid.error.or(Some(error)),
        }
        paid.last = Some(place);
    }
    Ok(paid)
}

fn pay(tx: &mut Tx<'_>, household: HouseholdId, schedule: ScheduleId, now: Timestamp) -> Result<u64, Fault> {
    // First, so that two at once wait for each other.
    Books::load(tx.db, household)?;
    let row = find(tx.db, household, schedule)?.ok_or(StoreError::ScheduleUnknown)?;
    let due = |n| row.every.nth(row.first, n).filter(|due| *due <= now);
    let mut missed = Vec::new();
    let mut dues = row.dues;
    while let Some(at) = due(dues) {
        missed.push(at);
        dues += 1;
    }
    let mut top_ups = 0;
    for at in missed.iter().skip(missed.len().saturating_sub(MAX_MISSED)) {
        let top_up = TopUp { household, transfer: transfer_of(schedule, *at), amount: row.amount };
        match ledger::top_up(tx, &top_up, now) {
            Ok(_) => top_ups += 1,
            // A full wallet takes no more: this due is let go.
            Err(fault) if fault.error == StoreError::BalanceTooLarge => {}
            Err(fault) => return Err(fault),
        }
    }
    go_on(tx, &row, dues, row.every.nth(row.first, dues), now)?;
    Ok(top_ups)
}

/// Bound to content: the first half of the schedule's id, and its second half with the due time in it.
fn transfer_of(schedule: ScheduleId, due: Timestamp) -> TransferId {
    let id = u128::from_be_bytes(*schedule.as_bytes()) ^ u128::from(due.unix_ms().unsigned_abs());
    TransferId::from_bytes(id.to_be_bytes())
}

/// Whether a top-up is one of the schedule's dues.
pub(crate) fn is_due_of(schedule: ScheduleId, transfer: TransferId) -> bool {
    let due = u128::from_be_bytes(*schedule.as_bytes()) ^ u128::from_be_bytes(*transfer.as_bytes());
    i64::try_from(due).is_ok()
}

/// Completed by a condition.
macro_rules! select_schedule {
    ($rest:literal) => {
        concat!("SELECT household, schedule, amount, currency, every, first, paid, next_due FROM schedules ", $rest)
    };
}

fn build(cells: &Cells<'_>) -> Result<ScheduleRow, StoreError> {
    let (household, schedule, amount): (_, _, Amount) = (cells.id()?, cells.id()?, cells.amount()?);
    let every = cells.string()?;
    Ok(ScheduleRow {
        household,
        schedule,
        amount,
        every: Every::from_text(&every).ok_or_else(|| cells.wrong(format!("every {every}")))?,
        first: cells.time()?,
        dues: cells.number()?,
        next_due: cells.opt_time()?,
    })
}

fn find(db: Db<'_>, household: HouseholdId, schedule: ScheduleId) -> Result<Option<ScheduleRow>, StoreError> {
    let sql = select_schedule!("WHERE household = ?1 AND schedule = ?2");
    one(db, "schedules", schedule, sql, params![household.as_bytes(), schedule.as_bytes()], build)
}

pub(crate) fn list(db: Db<'_>, household: HouseholdId) -> Result<Vec<ScheduleRow>, StoreError> {
    let sql = select_schedule!("WHERE household = ?1 ORDER BY schedule");
    many(db, "schedules", household, sql, params![household.as_bytes()], build)
}

pub(crate) fn next_due(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(next_due) FROM schedules WHERE next_due IS NOT NULL";
    Ok(one(db, "schedules", "(due)", sql, params![], |cells| cells.opt_time())?.flatten())
}
