//! Asking a merchant to sign a reduced bill. An order has one running ask at most; a requote that came replaces the
//! bill for the decision. No two asks of a bill have the same revision, so a late answer cannot pass for another's.

use nodpay_core::{AskId, LineId, MerchantId, Text, Timestamp};

use crate::db::{Cells, Db, lines_json, many, one, params, run, run_one};
use crate::events::{To, tell, tell_merchant};
use crate::households::Books;
use crate::orders::{self, Live};
use crate::tx::{Fault, Tx};
use crate::{
    ASK_LIFE_MS, AnswerRequote, AskRequote, AskRow, AskState, HouseholdEvent, MAX_ASKS, MerchantEvent, Requote,
    StoreError,
};

/// Asks one tick times out at most; the next tick goes on.
const TICK_BATCH: u32 = 1_000;

pub(crate) fn ask(tx: &mut Tx<'_>, args: &AskRequote, now: Timestamp) -> Result<AskRow, Fault> {
    if let Some(row) = row(tx.db, args.ask)? {
        let same = (row.household, row.order) == (args.household, args.order) && row.struck == args.struck;
        return if same { Ok(row) } else { Err(StoreError::AskExists.into()) };
    }
    let mut books = orders::lock(tx, args.household)?;
    let mut live = orders::load(tx.db, args.household, args.order)?.ok_or(StoreError::OrderUnknown)?;
    orders::must_wait(tx, &mut books, &mut live, now)?;
    if live.asks >= MAX_ASKS {
        return Err(StoreError::TooManyAsks.into());
    }
    close_open(tx, &mut live)?;
    let revision: u32 = one(
        tx.db,
        "requote_asks",
        args.order,
        "SELECT coalesce(max(revision), 1) + 1 FROM requote_asks WHERE bill_no = ?1",
        params![live.bill_no],
        |cells| cells.number(),
    )?
    .unwrap_or(2);
    let deadline = now.plus_ms(ASK_LIFE_MS);
    run_one(
        tx.db,
        "requote_asks",
        args.ask,
        "INSERT INTO requote_asks (household, ask, order_no, bill_no, revision, struck, deadline, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'asked')",
        params![
            args.household.as_bytes(),
            args.ask.as_bytes(),
            live.no,
            live.bill_no,
            revision,
            lines_json(&args.struck)?,
            deadline.unix_ms()
        ],
    )?;
    live.count_ask(tx)?;
    tell_guardians(tx, &mut books, &live, now)?;
    tell_merchant(tx, live.row.merchant, MerchantEvent::Requote(live.row.bill, args.ask), now)?;
    Ok(AskRow {
        ask: args.ask,
        household: args.household,
        order: args.order,
        bill: live.row.bill,
        merchant: live.row.merchant,
        revision,
        struck: args.struck.clone(),
        deadline,
        state: AskState::Asked,
    })
}

pub(crate) fn answer(tx: &mut Tx<'_>, answer: &AnswerRequote, now: Timestamp) -> Result<AskRow, Fault> {
    let (mut books, asked) = locked(tx, answer.merchant, answer.ask)?;
    if asked.state == AskState::Answered(answer.message.digest) {
        return Ok(asked);
    }
    if asked.state != AskState::Asked || now >= asked.deadline {
        return Err(StoreError::AskClosed.into());
    }
    if answer.bill.bill != asked.bill || answer.bill.revision != asked.revision {
        return Err(StoreError::WrongRevision.into());
    }
    let mut live = orders::load(tx.db, asked.household, asked.order)?.ok_or(StoreError::OrderUnknown)?;
    orders::must_wait(tx, &mut books, &mut live, now)?;
    let requote = Requote {
        revision: asked.revision,
        total: answer.bill.total(),
        struck: asked.struck.clone(),
        message: answer.message.clone(),
    };
    let nodded = live.row.first.is_some();
    let message = live.take_requote(tx, requote)?;
    run_one(
        tx.db,
        "requote_asks",
        answer.ask,
        "UPDATE requote_asks SET state = 'answered', answer = ?2 WHERE ask = ?1 AND state = 'asked'",
        params![answer.ask.as_bytes(), message],
    )?;
    if nodded {
        // It is over the whole bill: it does not count any more.
        tell(tx, &mut books, To::Watch(live.row.watch), HouseholdEvent::Order(live.row.order), now)?;
    }
    tell_guardians(tx, &mut books, &live, now)?;
    tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)?;
    Ok(AskRow { state: AskState::Answered(answer.message.digest), ..asked })
}

pub(crate) fn refuse(
    tx: &mut Tx<'_>,
    merchant: MerchantId,
    ask: AskId,
    reason: &Text<60>,
    now: Timestamp,
) -> Result<AskRow, Fault> {
    let (mut books, asked) = locked(tx, merchant, ask)?;
    if asked.state == AskState::Refused(reason.clone()) {
        return Ok(asked);
    }
    if asked.state != AskState::Asked || now >= asked.deadline {
        return Err(StoreError::AskClosed.into());
    }
    let live = orders::load(tx.db, asked.household, asked.order)?.ok_or(StoreError::OrderUnknown)?;
    run_one(
        tx.db,
        "requote_asks",
        ask,
        "UPDATE requote_asks SET state = 'refused', reason = ?2 WHERE ask = ?1 AND state = 'asked'",
        params![ask.as_bytes(), reason.as_str()],
    )?;
    tell_guardians(tx, &mut books, &live, now)?;
    Ok(AskRow { state: AskState::Refused(reason.clone()), ..asked })
}

/// Times out what the merchant did not answer.
pub(crate) fn tick(tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, Fault> {
    let due = many(
        tx.db,
        "requote_asks",
        "(due)",
        "SELECT ask FROM requote_asks WHERE state = 'asked' AND deadline <= ?1 ORDER BY deadline LIMIT ?2",
        params![now.unix_ms(), TICK_BATCH],
        |cells| cells.id::<AskId>(),
    )?;
    let mut ended = 0;
    for ask in due {
        let household = row(tx.db, ask)?.ok_or(StoreError::AskUnknown)?.household;
        let mut books = orders::lock(tx, household)?;
        let asked = row(tx.db, ask)?.ok_or(StoreError::AskUnknown)?;
        if asked.state != AskState::Asked {
            continue;
        }
        let live = orders::load(tx.db, asked.household, asked.order)?.ok_or(StoreError::OrderUnknown)?;
        run_one(
            tx.db,
            "requote_asks",
            ask,
            "UPDATE requote_asks SET state = 'timed-out' WHERE ask = ?1 AND state = 'asked'",
            params![ask.as_bytes()],
        )?;
        tell_guardians(tx, &mut books, &live, now)?;
        ended += 1;
    }
    Ok(ended)
}

/// The order goes on without its running ask, if it has one.
pub(crate) fn close_open(tx: &Tx<'_>, live: &mut Live) -> Result<(), StoreError> {
    if live.asks == 0 {
        return Ok(());
    }
    run(
        tx.db,
        "UPDATE requote_asks SET state = 'timed-out' WHERE order_no = ?1 AND state = 'asked'",
        params![live.no],
    )?;
    live.row.ask = newest(tx.db, live.no)?;
    Ok(())
}

fn tell_guardians(tx: &mut Tx<'_>, books: &mut Books, live: &Live, now: Timestamp) -> Result<(), StoreError> {
    tell(tx, books, To::Guardians, HouseholdEvent::Requote(live.row.order), now)?;
    books.save(tx)
}

/// The merchant's ask as it stands once its household is locked.
fn locked(tx: &Tx<'_>, merchant: MerchantId, ask: AskId) -> Result<(Books, AskRow), StoreError> {
    let household = of_merchant(tx.db, merchant, ask)?.household;
    Ok((orders::lock(tx, household)?, of_merchant(tx.db, merchant, ask)?))
}

fn of_merchant(db: Db<'_>, merchant: MerchantId, ask: AskId) -> Result<AskRow, StoreError> {
    row(db, ask)?.filter(|row| row.merchant == merchant).ok_or(StoreError::AskUnknown)
}

/// Completed by a condition on `a`.
macro_rules! select_ask {
    ($condition:literal) => {
        concat!(
            "SELECT a.ask, o.household, o.order_id, b.bill, b.merchant, a.revision, a.struck, a.deadline, a.state,
                    a.reason, m.digest
             FROM requote_asks a JOIN orders o ON o.no = a.order_no JOIN bills b ON b.no = a.bill_no
             LEFT JOIN messages m ON m.id = a.answer WHERE ",
            $condition
        )
    };
}

fn build(cells: &Cells<'_>) -> Result<AskRow, StoreError> {
    let row = AskRow {
        ask: cells.id()?,
        household: cells.id()?,
        order: cells.id()?,
        bill: cells.id()?,
        merchant: cells.id()?,
        revision: cells.number()?,
        struck: cells.json::<Vec<LineId>>()?,
        deadline: cells.time()?,
        state: AskState::Asked,
    };
    let (state, reason, answer) = (cells.string()?, cells.opt_string()?, cells.opt_id()?);
    let state = match (state.as_str(), reason, answer) {
        ("asked", None, None) => AskState::Asked,
        ("answered", None, Some(answer)) => AskState::Answered(answer),
        ("refused", Some(reason), None) => {
            AskState::Refused(Text::new(&reason).map_err(|error| cells.wrong(format!("reason: {error}")))?)
        }
        ("timed-out", None, None) => AskState::TimedOut,
        (state, ..) => return Err(cells.wrong(format!("state {state} does not fit the other columns"))),
    };
    Ok(AskRow { state, ..row })
}

pub(crate) fn row(db: Db<'_>, ask: AskId) -> Result<Option<AskRow>, StoreError> {
    one(db, "requote_asks", ask, select_ask!("a.ask = ?1"), params![ask.as_bytes()], build)
}

pub(crate) fn newest(db: Db<'_>, order_no: i64) -> Result<Option<AskRow>, StoreError> {
    let sql = select_ask!("a.order_no = ?1 ORDER BY a.revision DESC LIMIT 1");
    one(db, "requote_asks", order_no, sql, params![order_no], build)
}
