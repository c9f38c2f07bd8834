//! What moves the money of an order. The household's wallet is a [`Rail`] that answers inside the transaction. What a rail
//! outside is to do is written down here, in the transaction of the state change that wants it, and its answers are taken in:
//! so a step that was committed is asked for until it is answered, whoever was to ask died, and always under one id.
//!
//! A step is due at its `next_at`. Who claims it moves that on by [`LEASE_MS`], so nobody else asks meanwhile; when the answer
//! does not come it is due again.

use nodpay_core::{
    Amount, Decline, Event, HouseholdId, LedgerError, Minor, Movement, OrderId, OrderState, Payer, Rail, RailAnswer,
    RailKind, RailReply, RailStep, Timestamp, TransferId,
};

use crate::db::{Cells, Db, many, one, params, run, run_one};
use crate::events::{To, tell};
use crate::households::Books;
use crate::ledger::{self, Held, LedgerOrStore};
use crate::orders::{self, Live};
use crate::tx::{Fault, Tx};
use crate::{Asking, HouseholdEvent, OrderRow, RailWork, StoreError, UnfinishedRow, merchants, refunds, topups};

/// Whoever claimed a step asks for at most this long; longer than any call to a rail.
pub const LEASE_MS: i64 = 30_000;
/// A step without an answer is asked for again after this, doubled each time,
const FIRST_WAIT_MS: i64 = 1_000;
/// up to this.
const LONGEST_WAIT_MS: i64 = 5 * 60_000;
/// A guardian who confirms is looked for this often; the rail's own word usually comes first.
const ACTION_WAIT_MS: i64 = 5_000;

/// The household's wallet, for one order. What was refunded of it before is `refunded`.
pub(crate) struct Wallet<'a, 'tx> {
    pub(crate) tx: &'a Tx<'tx>,
    pub(crate) books: &'a mut Books,
    pub(crate) held: Held,
    pub(crate) refunded: Minor,
    pub(crate) now: Timestamp,
}

impl Rail for Wallet<'_, '_> {
    /// The error is the database's or an incident; a wallet's no is an answer.
    type Answered = Result<RailAnswer, StoreError>;

    const KIND: RailKind = RailKind::Wallet;

    fn hold(self, _: Movement) -> Self::Answered {
        match ledger::hold(self.tx, self.books, &self.held, self.now) {
            Ok(()) => Ok(RailAnswer::Done),
            Err(LedgerOrStore::Ledger(LedgerError::InsufficientBalance { .. })) => {
                Ok(RailAnswer::Declined(Decline::Funds))
            }
            Err(LedgerOrStore::Ledger(error)) => Err(self.books.incident("holding", error)),
            Err(LedgerOrStore::Store(error)) => Err(error),
        }
    }

    fn post(self, movement: Movement) -> Self::Answered {
        ledger::post(self.tx, self.books, &self.held, movement.amount.units(), self.now)?;
        Ok(RailAnswer::Done)
    }

    fn void(self, _: Movement) -> Self::Answered {
        ledger::void(self.tx, self.books, &self.held, self.now)?;
        Ok(RailAnswer::Done)
    }

    fn refund(self, movement: Movement) -> Self::Answered {
        let paid = ledger::find(self.tx.db, self.books.household, self.held.transfer)?.and_then(|found| found.posted);
        let Some(paid) = paid else { return Ok(RailAnswer::Declined(Decline::NotPossible)) };
        ledger::give_back(self.tx, self.books, &self.held, paid, self.refunded, movement, self.now)?;
        Ok(RailAnswer::Done)
    }

    fn status(self, step: RailStep, movement: Movement) -> Self::Answered {
        let found = ledger::find(self.tx.db, self.books.household, movement.transfer)?;
        let settled = ledger::is_settled(self.tx.db, self.books.household, movement.transfer)?;
        Ok(match (step, found, settled) {
            (_, None, _) | (RailStep::Post | RailStep::Void, Some(_), None) => RailAnswer::Unknown,
            (RailStep::Hold | RailStep::Refund, Some(_), _)
            | (RailStep::Post, Some(_), Some(true))
            | (RailStep::Void, Some(_), Some(false)) => RailAnswer::Done,
            (RailStep::Post, Some(_), Some(false)) | (RailStep::Void, Some(_), Some(true)) => {
                RailAnswer::Declined(Decline::NotPossible)
            }
        })
    }
}

/// Holds an order's total, or asks the rail to.
pub(crate) fn hold(
    tx: &Tx<'_>,
    books: &mut Books,
    live: &Live,
    held: Held,
    now: Timestamp,
) -> Result<RailAnswer, StoreError> {
    let movement = movement(&held);
    if live.row.rail == RailKind::Wallet {
        return Wallet { tx, books, held, refunded: Minor::ZERO, now }.hold(movement);
    }
    let payer = payer(tx.db, books.household)?.filter(|payer| payer.kind() == live.row.rail);
    let Some(payer) = payer else { return Ok(RailAnswer::Declined(Decline::Payer)) };
    if live.row.rail == RailKind::Bank && merchants::account(tx.db, live.row.merchant)?.is_none() {
        return Ok(RailAnswer::Declined(Decline::Payee));
    }
    match ledger::hold(tx, books, &held, now) {
        Ok(()) => {}
        Err(LedgerOrStore::Ledger(error)) => return Err(books.incident("holding", error)),
        Err(LedgerOrStore::Store(error)) => return Err(error),
    }
    run(
        tx.db,
        "INSERT INTO rail_payments (household, order_id, payer) VALUES (?1, ?2, ?3)",
        params![books.household.as_bytes(), live.row.order.as_bytes(), payer_json(&payer)?],
    )?;
    ask(tx, live, RailStep::Hold, movement, now)
}

/// Asks the rail to give a part of a payment back. `None` where something else has its id.
pub(crate) fn refund(
    tx: &Tx<'_>,
    live: &Live,
    movement: Movement,
    now: Timestamp,
) -> Result<Option<RailAnswer>, StoreError> {
    let asked = insert(tx, live, RailStep::Refund, movement, now)?;
    Ok(asked.then_some(RailAnswer::Pending))
}

/// Whether a refund that a rail outside was ever asked for has this id.
pub(crate) fn is_refund(db: Db<'_>, transfer: TransferId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM rail_steps WHERE transfer = ?1 AND step = 'refund'";
    Ok(one(db, "rail_steps", transfer, sql, params![transfer.as_bytes()], |cells| cells.int())?.is_some())
}

/// Asks the rail to pay an order's hold out. The wallet does so when the order ends, in this same transaction.
pub(crate) fn post(tx: &Tx<'_>, live: &Live, held: &Held, now: Timestamp) -> Result<RailAnswer, StoreError> {
    match live.row.rail {
        RailKind::Wallet => Ok(RailAnswer::Done),
        RailKind::Stripe | RailKind::Bank => ask(tx, live, RailStep::Post, movement(held), now),
    }
}

/// Writes an order's payment into the books: it is paid.
pub(crate) fn posted(
    tx: &Tx<'_>,
    books: &mut Books,
    live: &Live,
    held: Held,
    now: Timestamp,
) -> Result<(), StoreError> {
    match live.row.rail {
        RailKind::Wallet => {
            let movement = movement(&held);
            Wallet { tx, books, held, refunded: Minor::ZERO, now }.post(movement).map(|_| ())
        }
        RailKind::Stripe | RailKind::Bank => ledger::post(tx, books, &held, held.amount.units(), now),
    }
}

/// Writes into the books that an order is not paid. The rail outside gives its hold back as soon as it is reached.
pub(crate) fn void(tx: &Tx<'_>, books: &mut Books, live: &Live, held: Held, now: Timestamp) -> Result<(), StoreError> {
    if live.row.rail == RailKind::Wallet {
        let movement = movement(&held);
        return Wallet { tx, books, held, refunded: Minor::ZERO, now }.void(movement).map(|_| ());
    }
    ledger::void(tx, books, &held, now)?;
    run(
        tx.db,
        "UPDATE rail_steps SET state = 'dropped', next_at = NULL
         WHERE household = ?1 AND order_id = ?2 AND step = 'hold' AND next_at IS NOT NULL",
        params![live.row.household.as_bytes(), live.row.order.as_bytes()],
    )?;
    ask(tx, live, RailStep::Void, movement(&held), now)?;
    Ok(())
}

fn movement(held: &Held) -> Movement {
    Movement { transfer: held.transfer, amount: held.amount }
}

/// Writes down what the rail is to do. What it cannot do needs nobody's answer.
fn ask(tx: &Tx<'_>, live: &Live, step: RailStep, movement: Movement, now: Timestamp) -> Result<RailAnswer, StoreError> {
    if !live.row.rail.can(step) {
        return Ok(RailAnswer::Done);
    }
    if !insert(tx, live, step, movement, now)? {
        return Err(live.incident(format!("its {} is asked for twice", step.as_str())));
    }
    Ok(RailAnswer::Pending)
}

/// Whether it is new.
fn insert(tx: &Tx<'_>, live: &Live, step: RailStep, movement: Movement, now: Timestamp) -> Result<bool, StoreError> {
    let inserted = run(
        tx.db,
        "INSERT INTO rail_steps
             (household, order_id, step, transfer, amount, currency, rail, state, tries, claimed, next_at, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'asked', 0, 0, ?8, ?8) ON CONFLICT DO NOTHING",
        params![
            live.row.household.as_bytes(),
            live.row.order.as_bytes(),
            step.as_str(),
            movement.transfer.as_bytes(),
            movement.amount.minor(),
            movement.amount.currency().code(),
            live.row.rail.as_str(),
            now.unix_ms(),
        ],
    )?;
    Ok(inserted == 1)
}

// Households

pub(crate) fn set_payer(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    payer: Option<&Payer>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut books = Books::load(tx.db, household)?;
    let sql = "DELETE FROM household_rails WHERE household = ?1";
    run(tx.db, sql, params![household.as_bytes()])?;
    if let Some(payer) = payer {
        run(
            tx.db,
            "INSERT INTO household_rails (household, rail, payer) VALUES (?1, ?2, ?3)",
            params![household.as_bytes(), payer.kind().as_str(), payer_json(payer)?],
        )?;
    }
    // What the wallet has is what can be spent, or is no longer.
    ledger::tell_balance(tx, &mut books, now)?;
    Ok(books.save(tx)?)
}

/// Whom the household's rail outside takes the money from; `None` where it pays with its wallet.
pub(crate) fn payer(db: Db<'_>, household: HouseholdId) -> Result<Option<Payer>, StoreError> {
    let sql = "SELECT payer FROM household_rails WHERE household = ?1";
    one(db, "household_rails", household, sql, params![household.as_bytes()], |cells| cells.json())
}

/// The rail that a new order of the household goes by.
pub(crate) fn kind(db: Db<'_>, household: HouseholdId) -> Result<RailKind, StoreError> {
    Ok(payer(db, household)?.map_or(RailKind::Wallet, |payer| payer.kind()))
}

pub(crate) fn payer_json(payer: &Payer) -> Result<String, StoreError> {
    serde_json::to_string(payer).map_err(|error| StoreError::Database(error.to_string()))
}

// Steps

/// What names a step.
pub(crate) type Key = (HouseholdId, OrderId, RailStep, TransferId);

/// Which steps of a rail are due, the earliest first.
pub(crate) fn due(db: Db<'_>, rail: RailKind, now: Timestamp, limit: u32) -> Result<Vec<Key>, StoreError> {
    many(
        db,
        "rail_steps",
        "(due)",
        "SELECT household, order_id, step, transfer FROM rail_steps
         WHERE rail = ?1 AND next_at <= ?2 ORDER BY next_at LIMIT ?3",
        params![rail.as_str(), now.unix_ms(), limit],
        |cells| Ok((cells.id()?, cells.id()?, step(cells)?, cells.id()?)),
    )
}

pub(crate) fn next_due(db: Db<'_>, rail: RailKind) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(next_at) FROM rail_steps WHERE rail = ?1 AND next_at IS NOT NULL";
    Ok(one(db, "rail_steps", "(due)", sql, params![rail.as_str()], |cells| cells.opt_time())?.flatten())
}

/// Steps of orders that are not over, the oldest first.
pub(crate) fn unfinished(db: Db<'_>, limit: u32) -> Result<Vec<UnfinishedRow>, StoreError> {
    many(
        db,
        "rail_steps",
        "(not over)",
        "SELECT household, rail, order_id, step, transfer, amount, currency, state, tries, at, next_at FROM rail_steps
         WHERE next_at IS NOT NULL ORDER BY at, transfer LIMIT ?1",
        params![limit],
        |cells| {
            let (household, rail) = (cells.id()?, cells.string()?);
            Ok(UnfinishedRow {
                household,
                rail: RailKind::from_text(&rail).ok_or_else(|| cells.wrong(format!("rail {rail}")))?,
                of: Some((cells.id()?, step(cells)?)),
                transfer: cells.id()?,
                amount: cells.amount()?,
                state: cells.string()?,
                tries: cells.number()?,
                asked: cells.time()?,
                next: cells.time()?,
            })
        },
    )
}

fn step(cells: &Cells<'_>) -> Result<RailStep, StoreError> {
    let step = cells.string()?;
    RailStep::from_text(&step).ok_or_else(|| cells.wrong(format!("step {step}")))
}

/// A step as it lies in its row.
struct Row {
    amount: Amount,
    state: String,
    tries: u32,
    next_at: Option<Timestamp>,
    payer: Payer,
    known_as: Option<String>,
}

fn find(db: Db<'_>, (household, order, step, transfer): Key) -> Result<Option<Row>, StoreError> {
    one(
        db,
        "rail_steps",
        order,
        "SELECT s.amount, s.currency, s.state, s.tries, s.next_at, p.payer, p.known_as FROM rail_steps s
         JOIN rail_payments p ON p.household = s.household AND p.order_id = s.order_id
         WHERE s.household = ?1 AND s.order_id = ?2 AND s.step = ?3 AND s.transfer = ?4",
        params![household.as_bytes(), order.as_bytes(), step.as_str(), transfer.as_bytes()],
        |cells| {
            Ok(Row {
                amount: cells.amount()?,
                state: cells.string()?,
                tries: cells.number()?,
                next_at: cells.opt_time()?,
                payer: cells.json()?,
                known_as: cells.opt_string()?,
            })
        },
    )
}

/// Takes a due step, so that for [`LEASE_MS`] nobody else does; `None` when somebody has, or it is over.
pub(crate) fn claim(tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<Option<RailWork>, Fault> {
    let (household, order, step, transfer) = key;
    Books::load(tx.db, household)?;
    let Some(row) = find(tx.db, key)? else { return Ok(None) };
    if row.next_at.is_none_or(|next_at| next_at > now) {
        return Ok(None);
    }
    run_one(
        tx.db,
        "rail_steps",
        order,
        "UPDATE rail_steps SET tries = tries + 1, claimed = 1, next_at = ?5
         WHERE household = ?1 AND order_id = ?2 AND step = ?3 AND transfer = ?4",
        params![
            household.as_bytes(),
            order.as_bytes(),
            step.as_str(),
            transfer.as_bytes(),
            now.plus_ms(LEASE_MS).unix_ms(),
        ],
    )?;
    let live = orders::load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
    let hold = live.hold.ok_or_else(|| live.incident("a rail is asked for it, but it has no hold"))?;
    let payee = merchants::account(tx.db, live.row.merchant)?;
    Ok(Some(RailWork {
        household,
        order,
        step,
        movement: Movement { transfer, amount: row.amount },
        hold,
        payer: row.payer,
        payee,
        known_as: row.known_as,
        asked_before: row.tries > 0,
        received: live.row.received,
    }))
}

/// The rail said that there is news of a transfer: its step is due now. Whether there is such a step, or a card's top-up.
pub(crate) fn wake(tx: &mut Tx<'_>, transfer: TransferId, now: Timestamp) -> Result<bool, Fault> {
    let of = one(
        tx.db,
        "rail_steps",
        transfer,
        "SELECT household FROM rail_steps WHERE transfer = ?1 LIMIT 1",
        params![transfer.as_bytes()],
        |cells| cells.id::<HouseholdId>(),
    )?;
    let Some(household) = of else { return topups::wake(tx, transfer, now) };
    Books::lock_ever(tx.db, household)?;
    // One that is being asked for is not asked for twice: its answer comes.
    run(
        tx.db,
        "UPDATE rail_steps SET next_at = ?3
         WHERE household = ?1 AND transfer = ?2 AND next_at > ?3 AND claimed = 0",
        params![household.as_bytes(), transfer.as_bytes(), now.unix_ms()],
    )?;
    Ok(true)
}

/// Takes a rail's answer in, and gives the order where that changed it.
pub(crate) fn answered(
    tx: &mut Tx<'_>,
    work: &RailWork,
    reply: &RailReply,
    now: Timestamp,
) -> Result<Option<OrderRow>, Fault> {
    let key = (work.household, work.order, work.step, work.movement.transfer);
    let mut books = Books::load(tx.db, work.household)?;
    let mut live = orders::load(tx.db, work.household, work.order)?.ok_or(StoreError::OrderUnknown)?;
    let row = find(tx.db, key)?.ok_or_else(|| live.incident("a rail answers what it was not asked"))?;
    remember(tx, work, reply)?;
    if row.next_at.is_none() {
        return Ok(None);
    }
    let Next { state, decline, wait_ms } = Next::after(&reply.answer, row.tries);
    run_one(
        tx.db,
        "rail_steps",
        work.order,
        "UPDATE rail_steps SET state = ?5, decline = ?6, claimed = 0, next_at = ?7
         WHERE household = ?1 AND order_id = ?2 AND step = ?3 AND transfer = ?4",
        params![
            work.household.as_bytes(),
            work.order.as_bytes(),
            work.step.as_str(),
            work.movement.transfer.as_bytes(),
            state,
            decline,
            wait_ms.map(|wait| now.plus_ms(wait).unix_ms()),
        ],
    )?;
    suspend(tx, &live, work, &reply.answer, now)?;
    let event = match (work.step, &reply.answer) {
        (RailStep::Hold, RailAnswer::Done) => Some(Event::Held),
        (RailStep::Post, RailAnswer::Done) => Some(Event::Posted),
        (RailStep::Hold | RailStep::Post, RailAnswer::Declined(_)) => Some(Event::Declined),
        (RailStep::Void | RailStep::Refund, _)
        | (_, RailAnswer::ActionNeeded(_) | RailAnswer::Pending | RailAnswer::Unknown) => None,
    };
    let changed = match event {
        Some(event) => orders::rail_said(tx, &mut books, &mut live, event, now)?,
        None if work.step == RailStep::Refund => {
            refunds::answered(tx, &mut books, &mut live, work, &reply.answer, now)?
        }
        None if state != row.state && live.row.outcome.is_none() => {
            tell(tx, &mut books, To::Guardians, HouseholdEvent::Order(work.order), now)?;
            tell(tx, &mut books, To::Watch(live.row.watch), HouseholdEvent::Order(work.order), now)?;
            true
        }
        None => false,
    };
    books.save(tx)?;
    Ok(changed.then_some(live.row))
}

/// What a row says after its rail has answered.
pub(crate) struct Next {
    pub(crate) state: &'static str,
    pub(crate) decline: Option<&'static str>,
    /// Until it is asked again; `None` once it is over.
    pub(crate) wait_ms: Option<i64>,
}

impl Next {
    pub(crate) fn after(answer: &RailAnswer, tries: u32) -> Self {
        let (state, decline, wait_ms) = match answer {
            RailAnswer::Done => ("done", None, None),
            RailAnswer::Declined(decline) => ("declined", Some(decline.as_str()), None),
            RailAnswer::ActionNeeded(_) => ("action", None, Some(ACTION_WAIT_MS)),
            RailAnswer::Pending => ("pending", None, Some(wait_ms(tries))),
            RailAnswer::Unknown => ("unknown", None, Some(wait_ms(tries))),
        };
        Self { state, decline, wait_ms }
    }
}

/// 1, 2, 4 … seconds, at most five minutes.
fn wait_ms(tries: u32) -> i64 {
    FIRST_WAIT_MS
        .checked_shl(tries.saturating_sub(1))
        .filter(|wait| (1..LONGEST_WAIT_MS).contains(wait))
        .unwrap_or(LONGEST_WAIT_MS)
}

/// What the rail calls the payment, and where the guardian confirms.
fn remember(tx: &Tx<'_>, work: &RailWork, reply: &RailReply) -> Result<(), StoreError> {
    let url = match &reply.answer {
        RailAnswer::ActionNeeded(url) => Some(url.as_str()),
        RailAnswer::Done | RailAnswer::Declined(_) | RailAnswer::Pending | RailAnswer::Unknown => None,
    };
    run_one(
        tx.db,
        "rail_payments",
        work.order,
        "UPDATE rail_payments SET known_as = coalesce(known_as, ?3), action_url = ?4 WHERE household = ?1 AND order_id = ?2",
        params![work.household.as_bytes(), work.order.as_bytes(), reply.reference.clone(), url],
    )
}

/// While nobody knows whether a rail has paid, the amount stands in suspense.
fn suspend(tx: &Tx<'_>, live: &Live, work: &RailWork, answer: &RailAnswer, now: Timestamp) -> Result<(), StoreError> {
    if work.step != RailStep::Post {
        return Ok(());
    }
    let held = live.held(work.movement.transfer);
    match answer {
        RailAnswer::Unknown => ledger::suspend(tx, live.row.household, &held, now),
        RailAnswer::Done | RailAnswer::Declined(_) => ledger::resolve(tx, live.row.household, &held, now),
        RailAnswer::ActionNeeded(_) | RailAnswer::Pending => Ok(()),
    }
}

/// What an order waits for from its rail.
pub(crate) fn asking(db: Db<'_>, row: &OrderRow) -> Result<Option<Asking>, StoreError> {
    let step = match row.state {
        OrderState::Holding { .. } => RailStep::Hold,
        OrderState::Paying { .. } => RailStep::Post,
        OrderState::Waiting { .. } | OrderState::Approved { .. } | OrderState::Ended { .. } => return Ok(None),
    };
    one(
        db,
        "rail_steps",
        row.order,
        "SELECT s.state, p.action_url FROM rail_steps s
         JOIN rail_payments p ON p.household = s.household AND p.order_id = s.order_id
         WHERE s.household = ?1 AND s.order_id = ?2 AND s.step = ?3",
        params![row.household.as_bytes(), row.order.as_bytes(), step.as_str()],
        |cells| {
            let (state, url) = (cells.string()?, cells.opt_string()?);
            match (state.as_str(), url) {
                ("asked" | "pending", _) => Ok(Asking::Answer),
                ("unknown", _) => Ok(Asking::Unknown),
                ("action", Some(url)) => Ok(Asking::Guardian(url)),
                (state, _) => Err(cells.wrong(format!("it is {state}, but the order waits for it"))),
            }
        },
    )
}
