//! Orders from their arrival to their outcome: one straight line an operation. Idempotency first, then the order's
//! state ([`OrderState::step`]), then what the bill and the wallet say, then the writes, events last.
//!
//! Everything that changes an order goes through [`Live`]: loaded once, changed in memory, saved with one
//! compare-and-swap on the state it was loaded in.

use nodpay_core::{
    Amount, Answer, Asked, BasisPoints, BillId, Cancel, Decision, Decline, Digest, Event, FailReason, GuardianId,
    HouseholdId, LineId, MAX_DECISION_AGE_MS, MAX_ORDER_LIFE_MS, MerchantId, Minor, Money, Order, OrderId, OrderState,
    Outcome, OutcomeKind, PersonName, RailAnswer, RailKind, StateError, Step, Timestamp, TransferId, V1, Verdict,
    WatchId,
};

use std::sync::Arc;

use crate::db::{Cells, Db, insert_message, lines_json, many, one, params, put_numbered, run_one, sql_int};
use crate::events::{To, tell, tell_merchant};
use crate::households::{self, Books, Seat};
use crate::ledger::{self, Held};
use crate::mandates::{self, JudgedRow, Rule};
use crate::tx::{Fault, Tx};
use crate::{
    BillRow, BillState, CancelOrder, Decide, Ended, EvidencePage, EvidenceParts, HouseholdEvent, Judged,
    MAX_ORDERS_PAGE, MerchantEvent, Message, OrderRow, Pay, PlaceOrder, ReportResult, Requote, StoreError, erasing,
    merchants, outcome_keys, rails, requotes,
};

/// Due orders that one transaction ends.
const TICK_BATCH: u32 = 100;

/// An order while a transaction works on it.
pub(crate) struct Live {
    pub(crate) no: i64,
    pub(crate) row: OrderRow,
    pub(crate) bill_no: i64,
    pub(crate) asks: u32,
    bill: BillState,
    bill_deadline: Timestamp,
    watch_removed: bool,
    /// State, as it lies in the row, and when it is due by itself.
    loaded: (&'static str, Option<Timestamp>),
    pub(crate) hold: Option<TransferId>,
    /// Whose the first nod is.
    first_by: Option<GuardianId>,
    /// Of the merchant's payments.
    fee: BasisPoints,
    keys: Keys,
}

/// An order of the wallet as its last transaction left it, for the next one: loading it reads a row of a dozen tables.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) row: Arc<OrderRow>,
    no: i64,
    bill_no: i64,
    bill_deadline: Timestamp,
    watch_removed: bool,
    hold: Option<TransferId>,
    first_by: Option<GuardianId>,
    keys: Keys,
}

/// With the number of the household's last event then.
pub(crate) type KnownAt = (u64, Arc<Known>);

/// Keys of the messages that came after the order.
#[derive(Clone, Copy, Debug, Default)]
struct Keys {
    requote: Option<i64>,
    decision: Option<i64>,
    first: Option<i64>,
    cancel: Option<i64>,
    payment: Option<i64>,
    outcome: Option<i64>,
    result: Option<i64>,
}

// Writing

pub(crate) fn place(tx: &mut Tx<'_>, place: &PlaceOrder, now: Timestamp) -> Result<OrderRow, Fault> {
    let order = &place.order;
    tx.db.ask_ahead(|db| {
        Books::lock(db, order.household)?;
        load(db, order.household, order.order)?;
        households::watch(db, order.watch)?;
        nonce_used(db, order)?;
        merchants::bill_of_order(db, order.bill)?;
        load_open(db, order.watch)?;
        mandates::ask(db, order.household, order.watch, now)?;
        rails::kind(db, order.household)?;
        db.next_number("orders")?;
        Ok(())
    })?;
    let books = Books::lock(tx.db, order.household)?;
    if let Some(live) = load(tx.db, order.household, order.order)? {
        let same = live.row.message.digest == place.message.digest;
        return if same { Ok(live.row) } else { Err(StoreError::OrderIdReused.into()) };
    }
    let watch = households::watch(tx.db, order.watch)?
        .filter(|watch| watch.household == order.household)
        .ok_or(StoreError::WatchUnknown)?;
    if watch.removed {
        return Err(StoreError::RevokedWatch.into());
    }
    if nonce_used(tx.db, order)? {
        return Err(StoreError::NonceReused.into());
    }
    let (bill, bill_no) = merchants::bill_of_order(tx.db, order.bill)?.ok_or(StoreError::BillUnknown)?;
    if bill.watch.is_some_and(|maker| maker != order.watch) {
        return Err(StoreError::BillUnknown.into());
    }
    match bill.state {
        BillState::Open => {}
        BillState::Consumed(..) => return Err(StoreError::BillAlreadyPaid.into()),
        BillState::Cancelled => return Err(StoreError::BillCancelled.into()),
    }
    if now >= bill.deadline {
        return Err(StoreError::BillExpired.into());
    }
    let mut books = books.ok_or(StoreError::HouseholdUnknown)?;
    if books.close_out.is_some() {
        return Err(StoreError::HouseholdClosed.into());
    }
    if bill.total.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    let asked = Asked { watch: order.watch, merchant: bill.merchant, ..place.asked.clone() };
    if asked.total.units() <= Minor::ZERO || asked.total.exceeds(bill.total) != Ok(false) {
        return Err(StoreError::WrongTotal.into());
    }
    if watch.enrolled.is_over_cap(asked.total, now) {
        return Err(StoreError::OverNewWatchCap.into());
    }
    if let Some(mut open) = load_open(tx.db, order.watch)? {
        if open.row.state.deadline().is_none_or(|deadline| now < deadline) {
            return Err(StoreError::OrderOpen.into());
        }
        expire(tx, &mut books, &mut open, now)?;
    }
    let (judged, rule) = mandates::judge_order(tx, &books, &asked, now)?;
    let mut live = insert(tx, place, bill, bill_no, judged, now)?;
    let rail = live.row.rail;
    if books.frozen {
        fail(tx, &mut books, &mut live, FailReason::HouseholdFrozen, now)?;
    } else if rail == RailKind::Bank && merchants::account(tx.db, live.row.merchant)?.is_none() {
        fail(tx, &mut books, &mut live, FailReason::PaymentDeclined, now)?;
    } else if let Some(rule) = rule.filter(|_| !live.is_asked()) {
        ruled(tx, &mut books, &mut live, &rule, now)?;
    } else if rail != RailKind::Wallet || ledger::can_hold(books.wallet, asked.total.units()) {
        tell(tx, &mut books, To::Guardians, HouseholdEvent::Order(order.order), now)?;
        tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)?;
    } else {
        fail(tx, &mut books, &mut live, FailReason::InsufficientBalance, now)?;
    }
    books.save(tx)?;
    Ok(live.told(tx))
}

/// A rule decides in a guardian's stead, at once.
fn ruled(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, rule: &Rule, now: Timestamp) -> Result<(), Fault> {
    live.keys.decision = Some(rule.key);
    live.row.mandate = Some(rule.message.clone());
    let approves = live.row.judged.as_ref().is_some_and(|judged| judged.answer() == Some(Answer::Approve));
    let event = Event::Decided {
        decision: rule.message.digest,
        verdict: if approves { Verdict::Approve } else { Verdict::Refuse },
        total: live.row.total,
        pay_by: now.plus_ms(mandates::PAY_WITHIN_MS),
        hold: ledger::hold_id(live.row.message.digest),
    };
    match step(tx, books, live, event, now)? {
        Step::End { outcome, reason, money } => end(tx, books, live, outcome, reason, money, now),
        Step::Hold { next } => hold(tx, books, live, next, Some(rule), now),
        Step::Approve { .. } | Step::Pay { .. } => Err(live.incident("a rule leads to a payment").into()),
    }
}

pub(crate) fn decide(tx: &mut Tx<'_>, decide: &Decide, now: Timestamp) -> Result<OrderRow, Fault> {
    let decision = &decide.decision;
    let known = known_open(tx, decision.household, decide.order);
    tx.db.ask_ahead(|db| {
        Books::lock(db, decision.household)?;
        ask_order(db, decision.household, decide.order, known.as_ref())?;
        households::seat(db, decision.household, decision.guardian)?;
        Ok(())
    })?;
    let mut books = lock(tx, decision.household)?;
    let mut live = load_locked(tx, &books, decide.order, known)?.ok_or(StoreError::OrderUnknown)?;
    if decision.order != live.row.message.digest {
        return Err(StoreError::OtherOrder.into());
    }
    if is(live.row.decision.as_ref(), &decide.message) || is(live.row.first.as_ref(), &decide.message) {
        return Ok(live.row);
    }
    let event = Event::Decided {
        decision: decide.message.digest,
        verdict: decision.verdict,
        total: decision.total,
        pay_by: now.plus_ms(decision.pay_by.ms_since(decision.at).clamp(1, MAX_DECISION_AGE_MS)),
        hold: ledger::hold_id(decide.message.digest),
    };
    let step = step(tx, &mut books, &mut live, event, now)?;
    if decision.bill != live.row.current_bill() {
        return Err(StoreError::StaleBill.into());
    }
    if !live.is_within_bill(decision.total) {
        return Err(StoreError::WrongTotal.into());
    }
    let seat = households::bump_guardian(tx.db, decision.household, decision.guardian, decide.counter, now)?;
    if !is_enough(tx, &books, &live, decision, &seat, now)? {
        match live.obstacle(&books, now) {
            Some(reason) => fail(tx, &mut books, &mut live, reason, now)?,
            None => {
                live.take_first(tx, decision, &decide.message)?;
                tell(tx, &mut books, To::Guardians, HouseholdEvent::Decision(decide.order), now)?;
                tell(tx, &mut books, To::Watch(decision.watch), HouseholdEvent::Order(decide.order), now)?;
            }
        }
        books.save(tx)?;
        return Ok(live.told(tx));
    }
    live.take_decision(tx, decision, &decide.message)?;
    match step {
        Step::End { outcome, reason, money } => end(tx, &mut books, &mut live, outcome, reason, money, now)?,
        Step::Hold { next } => match live.obstacle(&books, now) {
            Some(reason) => fail(tx, &mut books, &mut live, reason, now)?,
            None => hold(tx, &mut books, &mut live, next, None, now)?,
        },
        Step::Approve { .. } | Step::Pay { .. } => return Err(live.incident("a decision leads to a payment").into()),
    }
    books.save(tx)?;
    Ok(live.told(tx))
}

/// Whether the order can go on by this decision, or it is the first of two. The one that it names must be the order's, and still
/// a counting guardian's: what both say was compared when their signatures were verified.
fn is_enough(
    tx: &Tx<'_>,
    books: &Books,
    live: &Live,
    decision: &Decision,
    seat: &Seat,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if decision.verdict == Verdict::Refuse {
        return Ok(true);
    }
    let two = decision.first.is_some() || books.house_rules.wants_two_nods(decision.total);
    let counting = two || books.house_rules.is_too_much_for_newcomers(decision.total);
    if counting && !seat.counts(now) {
        return Err(StoreError::GuardianNotCounting);
    }
    if !two {
        return Ok(true);
    }
    let other = match live.first_by.filter(|by| *by != decision.guardian) {
        Some(by) => households::seat(tx.db, books.household, by)?.filter(|seat| seat.counts(now)),
        None => None,
    };
    let standing = other.and(live.row.first.as_ref()).map(|first| first.digest);
    if standing == decision.first { Ok(standing.is_some()) } else { Err(StoreError::FirstNod) }
}

/// Asks the order's rail for its hold: for a guardian, or for the rule that approved. The wallet answers at once, others when
/// they can.
fn hold(
    tx: &mut Tx<'_>,
    books: &mut Books,
    live: &mut Live,
    next: OrderState,
    rule: Option<&Rule>,
    now: Timestamp,
) -> Result<(), Fault> {
    let OrderState::Holding { hold, total, .. } = next else {
        return Err(live.incident("a hold leads to another state than holding").into());
    };
    if total != live.row.total {
        return Err(live.incident("a hold is over another total than its order").into());
    }
    let answer = rails::hold(tx, books, live, live.held(hold), now)?;
    let refused = match answer {
        RailAnswer::Declined(Decline::Funds) => Some(FailReason::InsufficientBalance),
        RailAnswer::Declined(_) => Some(FailReason::PaymentDeclined),
        RailAnswer::Done | RailAnswer::ActionNeeded(_) | RailAnswer::Pending | RailAnswer::Unknown => None,
    };
    if let Some(reason) = refused {
        return fail(tx, books, live, reason, now);
    }
    live.hold = Some(hold);
    live.row.state = next;
    mandates::count(tx, books, &live.row, rule)?;
    requotes::close_open(tx, live)?;
    if answer == RailAnswer::Done {
        return approve(tx, books, live, now);
    }
    live.save(tx)?;
    Ok(tell_waiting(tx, books, live, now)?)
}

/// The money is held: the watch may pay.
fn approve(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, now: Timestamp) -> Result<(), Fault> {
    let step = live.row.state.step(Event::Held, now);
    let Ok(Step::Approve { next }) = step else {
        return Err(live.incident(format!("approving: {step:?}")).into());
    };
    live.row.state = next;
    live.save(tx)?;
    let order = live.row.order;
    tell(tx, books, To::Guardians, HouseholdEvent::Decision(order), now)?;
    tell(tx, books, To::Watch(live.row.watch), HouseholdEvent::Decision(order), now)?;
    Ok(tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)?)
}

/// The order waits for its rail.
fn tell_waiting(tx: &mut Tx<'_>, books: &mut Books, live: &Live, now: Timestamp) -> Result<(), StoreError> {
    tell(tx, books, To::Guardians, HouseholdEvent::Order(live.row.order), now)?;
    tell(tx, books, To::Watch(live.row.watch), HouseholdEvent::Order(live.row.order), now)?;
    tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)
}

/// A rail's answer. Whether the order is still asking for it: one that ended meanwhile gave its hold back already.
pub(crate) fn rail_said(
    tx: &mut Tx<'_>,
    books: &mut Books,
    live: &mut Live,
    event: Event,
    now: Timestamp,
) -> Result<bool, Fault> {
    match live.row.state.step(event, now) {
        Ok(Step::Approve { .. }) => match live.obstacle(books, now) {
            Some(reason) => fail(tx, books, live, reason, now)?,
            None => approve(tx, books, live, now)?,
        },
        Ok(Step::End { outcome, reason, money }) => {
            if outcome != OutcomeKind::Paid && live.row.payment.is_some() {
                live.release_bill(tx)?;
            }
            end(tx, books, live, outcome, reason, money, now)?;
        }
        Err(StateError::Expired) => expire(tx, books, live, now)?,
        Err(StateError::AlreadyEnded(_) | StateError::NotAsked) => return Ok(false),
        other => return Err(live.incident(format!("a rail's {event:?} leads to {other:?}")).into()),
    }
    Ok(true)
}

pub(crate) fn pay(tx: &mut Tx<'_>, pay: &Pay, now: Timestamp) -> Result<OrderRow, Fault> {
    let payment = &pay.payment;
    let known = known_open(tx, payment.household, pay.order);
    tx.db.ask_ahead(|db| {
        Books::lock(db, payment.household)?;
        ask_order(db, payment.household, pay.order, known.as_ref())?;
        households::other_watches(db, payment.household, payment.watch)?;
        Ok(())
    })?;
    let mut books = lock(tx, payment.household)?;
    let mut live = load_locked(tx, &books, pay.order, known)?.ok_or(StoreError::OrderUnknown)?;
    if payment.order != live.row.message.digest {
        return Err(StoreError::OtherOrder.into());
    }
    if is(live.row.payment.as_ref(), &pay.message) {
        return Ok(live.row);
    }
    let decision = payment.voucher().ok_or(StoreError::OtherDecision)?.digest();
    let step = step(tx, &mut books, &mut live, Event::Paid { decision }, now)?;
    if payment.total != live.row.total {
        return Err(StoreError::WrongTotal.into());
    }
    let Step::Pay { next } = step else {
        return Err(live.incident(format!("a payment leads to {step:?}")).into());
    };
    live.keys.payment = Some(insert_message(tx.db, payment.household.as_bytes(), &pay.message)?);
    live.row.payment = Some(pay.message.clone());
    match live.obstacle(&books, now) {
        None => {
            live.consume_bill(tx)?;
            post(tx, &mut books, &mut live, next, now)?;
        }
        Some(reason) => fail(tx, &mut books, &mut live, reason, now)?,
    }
    books.save(tx)?;
    Ok(live.told(tx))
}

/// Asks the order's rail to pay. The wallet does at once.
fn post(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, next: OrderState, now: Timestamp) -> Result<(), Fault> {
    let OrderState::Paying { hold, .. } = next else {
        return Err(live.incident("a payment leads to another state than paying").into());
    };
    live.row.state = next;
    if rails::post(tx, live, &live.held(hold), now)? == RailAnswer::Done {
        return end_by(tx, books, live, Event::Posted, now);
    }
    live.save(tx)?;
    Ok(tell_waiting(tx, books, live, now)?)
}

pub(crate) fn cancel(tx: &mut Tx<'_>, args: &CancelOrder, now: Timestamp) -> Result<OrderRow, Fault> {
    let cancel: &Cancel = &args.cancel;
    let mut books = lock(tx, cancel.household)?;
    let mut live = load(tx.db, cancel.household, args.order)?.ok_or(StoreError::OrderUnknown)?;
    if cancel.order != live.row.message.digest {
        return Err(StoreError::OtherOrder.into());
    }
    if is(live.row.cancel.as_ref(), &args.message) {
        return Ok(live.row);
    }
    let Step::End { outcome, reason, money } = step(tx, &mut books, &mut live, Event::Cancelled, now)? else {
        return Err(live.incident("a cancellation leads to a hold").into());
    };
    live.keys.cancel = Some(insert_message(tx.db, cancel.household.as_bytes(), &args.message)?);
    live.row.cancel = Some(args.message.clone());
    end(tx, &mut books, &mut live, outcome, reason, money, now)?;
    books.save(tx)?;
    Ok(live.told(tx))
}

pub(crate) fn report_result(tx: &mut Tx<'_>, report: &ReportResult, now: Timestamp) -> Result<OrderRow, Fault> {
    let result = &report.result;
    tx.db.ask_ahead(|db| {
        Books::lock(db, result.household)?;
        load(db, result.household, report.order)?;
        Ok(())
    })?;
    let mut books = lock(tx, result.household)?;
    let mut live = load(tx.db, result.household, report.order)?.ok_or(StoreError::OrderUnknown)?;
    if result.order != live.row.message.digest {
        return Err(StoreError::OtherOrder.into());
    }
    let outcome = live.row.outcome.as_ref().ok_or(StoreError::OrderNotEnded)?;
    if result.outcome != outcome.message.digest || result.seen != outcome.kind {
        return Err(StoreError::OtherOutcome.into());
    }
    // A later report about the same outcome says nothing new.
    if live.row.result.is_some() {
        return Ok(live.row);
    }
    live.keys.result = Some(insert_message(tx.db, result.household.as_bytes(), &report.message)?);
    live.row.result = Some(report.message.clone());
    live.save(tx)?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Result(live.row.order), now)?;
    books.save(tx)?;
    Ok(live.told(tx))
}

pub(crate) fn cancel_bill(
    tx: &mut Tx<'_>,
    merchant: MerchantId,
    bill: BillId,
    now: Timestamp,
) -> Result<BillRow, Fault> {
    let row = merchants::bill(tx.db, bill)?.filter(|row| row.merchant == merchant).ok_or(StoreError::BillUnknown)?;
    match row.state {
        BillState::Cancelled => return Ok(row),
        BillState::Consumed(..) => return Err(StoreError::BillAlreadyPaid.into()),
        BillState::Open => {}
    }
    // Households before the bill, as payments lock them. An order that comes in meanwhile fails at its decision.
    let open = many(
        tx.db,
        "orders",
        bill,
        "SELECT o.household, o.order_id FROM orders o JOIN bills b ON b.no = o.bill_no
         JOIN open_orders p ON p.watch = o.watch AND p.order_no = o.no WHERE b.bill = ?1 ORDER BY o.household, o.no",
        params![bill.as_bytes()],
        |cells| Ok((cells.id::<HouseholdId>()?, cells.id::<OrderId>()?)),
    )?;
    for (household, _) in &open {
        lock(tx, *household)?;
    }
    run_one(
        tx.db,
        "bills",
        bill,
        "UPDATE bills SET state = 'cancelled' WHERE bill = ?1 AND state = 'open'",
        params![bill.as_bytes()],
    )?;
    tell_merchant(tx, merchant, MerchantEvent::Bill(bill), now)?;
    for (household, order) in open {
        let mut books = lock(tx, household)?;
        let mut live = load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
        if live.row.outcome.is_some() {
            continue;
        }
        fail_or_expire(tx, &mut books, &mut live, FailReason::BillCancelled, now)?;
        books.save(tx)?;
    }
    Ok(merchants::bill(tx.db, bill)?.ok_or(StoreError::BillUnknown)?)
}

/// The watch is gone: what it has open ends. The caller saves the books.
pub(crate) fn end_open_of_watch(
    tx: &mut Tx<'_>,
    books: &mut Books,
    watch: WatchId,
    reason: FailReason,
    now: Timestamp,
) -> Result<(), Fault> {
    match load_open(tx.db, watch)? {
        Some(mut live) => fail_or_expire(tx, books, &mut live, reason, now),
        None => Ok(()),
    }
}

/// What one step of [`crate::Store::tick`] did.
pub(crate) struct TickBatch {
    pub(crate) ended: u64,
    /// The last due order looked at (its due time and key); `None` when there is none left.
    pub(crate) last: Option<(i64, i64)>,
    pub(crate) error: Option<StoreError>,
}

/// Ends due orders after `after`. One that cannot be ended does not keep the others.
pub(crate) fn tick(tx: &mut Tx<'_>, after: Option<(i64, i64)>, now: Timestamp) -> Result<TickBatch, Fault> {
    let (after_due, after_no) = after.unwrap_or((i64::MIN, i64::MIN));
    let due = many(
        tx.db,
        "orders",
        "(due)",
        "SELECT p.due, p.order_no, o.household, o.order_id FROM open_orders p JOIN orders o ON o.no = p.order_no
         WHERE p.due <= ?1 AND p.due >= ?2 AND (p.due > ?2 OR p.order_no > ?3) ORDER BY p.due, p.order_no LIMIT ?4",
        params![now.unix_ms(), after_due, after_no, TICK_BATCH],
        |cells| Ok(((cells.int()?, cells.int()?), cells.id::<HouseholdId>()?, cells.id::<OrderId>()?)),
    )?;
    let mut batch = TickBatch { ended: 0, last: None, error: None };
    for (place, household, order) in due {
        let ended = tx.alone(|tx| {
            let mut books = lock(tx, household)?;
            let mut live = load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
            // Another replica may have been here.
            if live.due().is_none_or(|due| now < due) {
                return Ok(false);
            }
            fail_or_expire(tx, &mut books, &mut live, FailReason::BillExpired, now)?;
            books.save(tx)?;
            Ok(true)
        });
        match ended? {
            Ok(ended) => batch.ended += u64::from(ended),
            Err(error) => batch.error = batch.error.or(Some(error)),
        }
        batch.last = Some(place);
    }
    Ok(batch)
}

// Steps

/// Asks the order's state. An order whose time is over is ended first; that stays, whatever the caller wanted.
fn step(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, event: Event, now: Timestamp) -> Result<Step, Fault> {
    match live.row.state.step(event, now) {
        Ok(step) => Ok(step),
        Err(StateError::Expired) => {
            expire(tx, books, live, now)?;
            books.save(tx)?;
            Err(Fault::kept(StoreError::OrderExpired))
        }
        Err(StateError::NotApproved) => Err(StoreError::OrderNotApproved.into()),
        Err(StateError::AlreadyDecided) => Err(StoreError::AlreadyDecided.into()),
        Err(StateError::AlreadyEnded(outcome)) => Err(StoreError::OrderEnded(outcome).into()),
        Err(StateError::OtherDecision) => Err(StoreError::OtherDecision.into()),
        Err(StateError::Paying) => Err(StoreError::OrderPaying.into()),
        Err(error @ (StateError::NotDue | StateError::NotAsked)) => {
            Err(live.incident(format!("{event:?}: {error}")).into())
        }
    }
}

/// The household of an order, locked.
pub(crate) fn lock(tx: &Tx<'_>, household: HouseholdId) -> Result<Books, StoreError> {
    Books::lock(tx.db, household)?.ok_or(StoreError::OrderUnknown)
}

/// Only a waiting order can be requoted.
pub(crate) fn must_wait(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, now: Timestamp) -> Result<(), Fault> {
    // A cancellation is possible in every state that is not over.
    step(tx, books, live, Event::Cancelled, now)?;
    match live.row.state {
        OrderState::Waiting { .. } => Ok(()),
        OrderState::Holding { .. } | OrderState::Approved { .. } | OrderState::Paying { .. } => {
            Err(StoreError::AlreadyDecided.into())
        }
        OrderState::Ended { outcome } => Err(StoreError::OrderEnded(outcome).into()),
    }
}

fn expire(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, now: Timestamp) -> Result<(), Fault> {
    end_by(tx, books, live, Event::Tick, now)
}

/// The order cannot go on, for a reason that no message names.
fn fail(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, reason: FailReason, now: Timestamp) -> Result<(), Fault> {
    end_by(tx, books, live, Event::BillGone(reason), now)
}

fn fail_or_expire(
    tx: &mut Tx<'_>,
    books: &mut Books,
    live: &mut Live,
    reason: FailReason,
    now: Timestamp,
) -> Result<(), Fault> {
    match live.row.state.deadline() {
        Some(deadline) if now >= deadline => expire(tx, books, live, now),
        Some(_) | None => fail(tx, books, live, reason, now),
    }
}

fn end_by(tx: &mut Tx<'_>, books: &mut Books, live: &mut Live, event: Event, now: Timestamp) -> Result<(), Fault> {
    match live.row.state.step(event, now) {
        Ok(Step::End { outcome, reason, money }) => end(tx, books, live, outcome, reason, money, now),
        Ok(step) => Err(live.incident(format!("an end leads to {step:?}")).into()),
        Err(error) => Err(live.incident(format!("ending: {error}")).into()),
    }
}

/// The one end of every order: money, outcome, events. What led to it is in `live` already.
fn end(
    tx: &mut Tx<'_>,
    books: &mut Books,
    live: &mut Live,
    kind: OutcomeKind,
    reason: Option<FailReason>,
    money: Money,
    now: Timestamp,
) -> Result<(), Fault> {
    let total = live.row.total;
    let transfer = match money {
        Money::Untouched => None,
        Money::Void(hold) => {
            rails::void(tx, books, live, live.held(hold), now)?;
            mandates::give_back(tx, &live.row)?;
            None
        }
        Money::Post(hold) => {
            rails::posted(tx, books, live, live.held(hold), now)?;
            Some(hold)
        }
    };
    let digest = |message: &Option<Message>| message.as_ref().map(|message| message.digest);
    let message = (tx.signer)(Outcome {
        v: V1,
        order: live.row.message.digest,
        household: live.row.household,
        watch: live.row.watch,
        outcome: kind,
        reason,
        decision: digest(&live.row.decision),
        mandate: digest(&live.row.mandate),
        rule: live.row.mandate.as_ref().and(live.row.judged.as_ref()).and_then(|judged| judged.answer()?.why()),
        cancel: digest(&live.row.cancel),
        payment: digest(&live.row.payment),
        transfer,
        total,
        log_head: books.head,
        at: now,
    })
    .map_err(StoreError::Signer)?;
    live.keys.outcome = Some(insert_message(tx.db, books.household.as_bytes(), &message)?);
    live.row.outcome = Some(Ended { kind, reason, message, log_len: books.next_seq });
    live.row.state = OrderState::Ended { outcome: kind };
    live.save(tx)?;
    requotes::close_open(tx, live)?;

    let (order, watch) = (live.row.order, live.row.watch);
    tell(tx, books, To::Guardians, HouseholdEvent::Outcome(order), now)?;
    tell(tx, books, To::Watch(watch), HouseholdEvent::Outcome(order), now)?;
    if kind == OutcomeKind::Paid {
        tell(tx, books, To::Guardians, HouseholdEvent::Balance, now)?;
        for other in households::other_watches(tx.db, books.household, watch)? {
            tell(tx, books, To::Watch(other), HouseholdEvent::Balance, now)?;
        }
    }
    Ok(tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)?)
}

impl Live {
    pub(crate) fn incident(&self, what: impl Into<String>) -> StoreError {
        StoreError::incident("orders", self.row.order, what)
    }

    /// Keys of the messages that came after the order and are its own: a rule that decided it is the household's.
    pub(crate) fn messages(&self) -> Vec<i64> {
        let Keys { requote, decision, first, cancel, payment, outcome, result } = self.keys;
        let decision = decision.filter(|_| self.row.mandate.is_none());
        [requote, decision, first, cancel, payment, outcome, result].into_iter().flatten().collect()
    }

    /// The row, at the end of a transaction. What others know about it too (its rail, its shop's answer) is not remembered.
    fn told(self, tx: &mut Tx<'_>) -> OrderRow {
        if self.row.rail == RailKind::Wallet && self.asks == 0 {
            let Self { no, bill_no, bill_deadline, watch_removed, hold, first_by, keys, .. } = self;
            let row = Arc::new(self.row.clone());
            tx.told.order(Known { row, no, bill_no, bill_deadline, watch_removed, hold, first_by, keys });
        }
        self.row
    }

    /// The rules leave it to a guardian.
    fn is_asked(&self) -> bool {
        matches!(self.row.judged.as_ref().and_then(Judged::answer), Some(Answer::Ask(_)) | None)
    }

    /// When the order or its bill ends by itself.
    fn due(&self) -> Option<Timestamp> {
        due(&self.row.state, self.bill_deadline)
    }

    /// Its transfer in the ledger.
    pub(crate) fn held(&self, transfer: TransferId) -> Held {
        let (merchant, amount, rail) = (self.row.merchant, self.row.total, self.row.rail);
        Held { transfer, merchant, amount, order_no: self.no, rail, fee: self.fee }
    }

    /// Why the order cannot be paid any more, for reasons outside of it.
    fn obstacle(&self, books: &Books, now: Timestamp) -> Option<FailReason> {
        match self.bill {
            _ if self.watch_removed => Some(FailReason::WatchRemoved),
            _ if books.frozen => Some(FailReason::HouseholdFrozen),
            BillState::Consumed(..) => Some(FailReason::BillAlreadyPaid),
            BillState::Cancelled => Some(FailReason::BillCancelled),
            BillState::Open => (now >= self.bill_deadline).then_some(FailReason::BillExpired),
        }
    }

    /// Takes the bill, which nobody else may have taken since. After this the hold must post.
    fn consume_bill(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        run_one(
            tx.db,
            "bills",
            self.row.bill,
            "UPDATE bills SET state = 'consumed', consumed_by = ?2 WHERE no = ?1 AND state = 'open'",
            params![self.bill_no, self.no],
        )
    }

    /// The payment did not come about: the bill can be paid by another order.
    fn release_bill(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        run_one(
            tx.db,
            "bills",
            self.row.bill,
            "UPDATE bills SET state = 'open', consumed_by = NULL WHERE no = ?1 AND consumed_by = ?2",
            params![self.bill_no, self.no],
        )
    }

    /// A total that could come out of the current bill.
    fn is_within_bill(&self, total: Amount) -> bool {
        let current = self.row.requote.as_ref().map_or(self.row.total, |requote| requote.total);
        total.units() > Minor::ZERO && total.exceeds(current) == Ok(false)
    }

    fn take_decision(&mut self, tx: &Tx<'_>, decision: &Decision, message: &Message) -> Result<(), StoreError> {
        self.keys.decision = Some(insert_message(tx.db, self.row.household.as_bytes(), message)?);
        self.row.decision = Some(message.clone());
        self.row.total = decision.total;
        self.row.struck.clone_from(&decision.struck);
        if decision.verdict == Verdict::Approve && decision.first.is_none() {
            self.drop_first(tx)?;
        }
        Ok(())
    }

    fn take_first(&mut self, tx: &Tx<'_>, decision: &Decision, message: &Message) -> Result<(), StoreError> {
        self.keys.first = Some(insert_message(tx.db, self.row.household.as_bytes(), message)?);
        self.row.first = Some(message.clone());
        self.first_by = Some(decision.guardian);
        self.save(tx)
    }

    /// It is over something else than what is decided on: nobody refers to it any more.
    fn drop_first(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if let Some(first) = self.keys.first.take() {
            erasing::cut_message(tx.db, first)?;
        }
        self.row.first = None;
        self.first_by = None;
        Ok(())
    }

    /// Gives the key of the requote's message.
    pub(crate) fn take_requote(&mut self, tx: &Tx<'_>, requote: Requote) -> Result<i64, StoreError> {
        let message = insert_message(tx.db, self.row.household.as_bytes(), &requote.message)?;
        self.keys.requote = Some(message);
        self.row.requote = Some(requote);
        self.drop_first(tx)?;
        self.save(tx)?;
        Ok(message)
    }

    /// Writes everything that may have changed, if the row is still in the state it was loaded in.
    fn save(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let row = &self.row;
        let state = state_name(&row.state);
        let deadline = row.state.deadline();
        let (loaded, loaded_due) = self.loaded;
        let due = self.due();
        let requote = row.requote.as_ref();
        let ended = row.outcome.as_ref();
        run_one(
            tx.db,
            "orders",
            row.order,
            "UPDATE orders SET state = ?3, deadline = ?4, total = ?5, struck = ?6, asks = ?7, requote = ?8,
                    requote_revision = ?9, requote_total = ?10, requote_struck = ?11, decision = ?12, hold = ?13,
                    cancel = ?14, payment = ?15, outcome = ?16, outcome_kind = ?17, outcome_reason = ?18,
                    log_len = ?19, result = ?20, first_nod = ?21, first_by = ?22
             WHERE no = ?1 AND state = ?2",
            params![
                self.no,
                loaded,
                state,
                deadline.map(Timestamp::unix_ms),
                row.total.minor(),
                lines_json(&row.struck)?,
                self.asks,
                self.keys.requote,
                requote.map(|requote| requote.revision),
                requote.map(|requote| requote.total.minor()),
                requote.map(|requote| lines_json(&requote.struck)).transpose()?,
                self.keys.decision,
                self.hold.as_ref().map(TransferId::as_bytes),
                self.keys.cancel,
                self.keys.payment,
                self.keys.outcome,
                ended.map(|ended| ended.kind.as_str()),
                ended.and_then(|ended| ended.reason).map(FailReason::as_str),
                ended.map(|ended| sql_int(ended.log_len)).transpose()?,
                self.keys.result,
                self.keys.first,
                self.first_by.as_ref().map(GuardianId::as_bytes),
            ],
        )?;
        match (loaded_due, due) {
            (Some(_), None) => run_one(
                tx.db,
                "open_orders",
                row.order,
                "DELETE FROM open_orders WHERE watch = ?1 AND order_no = ?2",
                params![row.watch.as_bytes(), self.no],
            )?,
            (Some(before), Some(due)) if before != due => run_one(
                tx.db,
                "open_orders",
                row.order,
                "UPDATE open_orders SET due = ?3 WHERE watch = ?1 AND order_no = ?2",
                params![row.watch.as_bytes(), self.no, due.unix_ms()],
            )?,
            (Some(_), Some(_)) | (None, None) => {}
            (None, Some(_)) => return Err(self.incident("it is open again")),
        }
        self.loaded = (state, due);
        Ok(())
    }

    pub(crate) fn count_ask(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.asks += 1;
        self.save(tx)
    }
}

/// When an order or its bill ends by itself.
fn due(state: &OrderState, bill_deadline: Timestamp) -> Option<Timestamp> {
    state.deadline().map(|deadline| deadline.min(bill_deadline))
}

fn is(known: Option<&Message>, message: &Message) -> bool {
    known.is_some_and(|known| known.digest == message.digest)
}

fn nonce_used(db: Db<'_>, order: &Order) -> Result<bool, StoreError> {
    let used = one(
        db,
        "orders",
        order.order,
        "SELECT 1 FROM orders WHERE watch = ?1 AND nonce = ?2",
        params![order.watch.as_bytes(), order.nonce.as_bytes()],
        |cells| cells.int(),
    )?;
    Ok(used.is_some())
}

fn insert(
    tx: &Tx<'_>,
    place: &PlaceOrder,
    bill: BillRow,
    bill_no: i64,
    judged: Option<Judged>,
    now: Timestamp,
) -> Result<Live, StoreError> {
    let order = &place.order;
    let expires = now.plus_ms(order.expires.ms_since(order.created).clamp(1, MAX_ORDER_LIFE_MS));
    let rail = rails::kind(tx.db, order.household)?;
    let message = insert_message(tx.db, order.household.as_bytes(), &place.message)?;
    let number = tx.db.next_number("orders")?;
    let no = put_numbered(
        tx.db,
        "orders",
        number,
        "INSERT INTO orders (no, household, order_id, watch, wearer, bill_no, nonce, message, received, state, deadline,
                             total, struck, asks, rail, judged)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'waiting', ?10, ?11, '[]', 0, ?12, ?13)",
        params![
            number,
            order.household.as_bytes(),
            order.order.as_bytes(),
            order.watch.as_bytes(),
            order.wearer.as_bytes(),
            bill_no,
            order.nonce.as_bytes(),
            message,
            now.unix_ms(),
            expires.unix_ms(),
            bill.total.minor(),
            rail.as_str(),
            judged.as_ref().map(|judged| mandates::json(&JudgedRow::from(judged))).transpose()?,
        ],
    )?;
    let due = expires.min(bill.deadline);
    run_one(
        tx.db,
        "open_orders",
        order.order,
        "INSERT INTO open_orders (household, watch, order_no, due) VALUES (?1, ?2, ?3, ?4)",
        params![order.household.as_bytes(), order.watch.as_bytes(), no, due.unix_ms()],
    )?;
    let row = OrderRow {
        household: order.household,
        order: order.order,
        watch: order.watch,
        wearer: order.wearer,
        bill: bill.bill,
        merchant: bill.merchant,
        merchant_certificate: bill.certificate,
        bill_message: bill.message,
        message: place.message.clone(),
        state: OrderState::Waiting { expires },
        received: now,
        total: bill.total,
        struck: Vec::new(),
        requote: None,
        decision: None,
        first: None,
        mandate: None,
        judged,
        cancel: None,
        payment: None,
        outcome: None,
        result: None,
        refunded: Amount::new(Minor::ZERO, bill.total.currency()),
        rail,
        asking: None,
        ask: None,
    };
    Ok(Live {
        no,
        row,
        bill_no,
        asks: 0,
        bill: bill.state,
        bill_deadline: bill.deadline,
        watch_removed: false,
        loaded: ("waiting", Some(due)),
        hold: None,
        first_by: None,
        // Read with the order; nothing is posted of one that was only placed.
        fee: BasisPoints::ZERO,
        keys: Keys::default(),
    })
}

// Rows to values

/// What an order's state is made of in the database.
pub(crate) struct StateColumns<'a> {
    pub(crate) state: &'a str,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) decision: Option<Digest>,
    pub(crate) hold: Option<TransferId>,
    pub(crate) total: Amount,
    pub(crate) outcome: Option<&'a str>,
}

impl TryFrom<&StateColumns<'_>> for OrderState {
    type Error = String;

    fn try_from(columns: &StateColumns<'_>) -> Result<Self, String> {
        match (columns.state, columns.deadline, columns.decision, columns.hold, columns.outcome) {
            ("waiting", Some(expires), None, None, None) => Ok(Self::Waiting { expires }),
            ("holding", Some(pay_by), Some(decision), Some(hold), None) => {
                Ok(Self::Holding { decision, hold, total: columns.total, pay_by })
            }
            ("paying", None, Some(decision), Some(hold), None) => {
                Ok(Self::Paying { decision, hold, total: columns.total })
            }
            ("approved", Some(pay_by), Some(decision), Some(hold), None) => {
                Ok(Self::Approved { decision, hold, total: columns.total, pay_by })
            }
            ("ended", None, _, _, Some(outcome)) => {
                outcome_kind(outcome).map(|outcome| Self::Ended { outcome }).ok_or(format!("outcome {outcome}"))
            }
            (state, ..) => Err(format!("state {state} does not fit the other columns")),
        }
    }
}

const fn state_name(state: &OrderState) -> &'static str {
    match state {
        OrderState::Waiting { .. } => "waiting",
        OrderState::Holding { .. } => "holding",
        OrderState::Approved { .. } => "approved",
        OrderState::Paying { .. } => "paying",
        OrderState::Ended { .. } => "ended",
    }
}

pub(crate) fn outcome_kind(text: &str) -> Option<OutcomeKind> {
    use OutcomeKind::{Cancelled, Expired, Failed, Paid, Refused};
    [Paid, Failed, Refused, Expired, Cancelled].into_iter().find(|kind| kind.as_str() == text)
}

fn fail_reason(text: &str) -> Option<FailReason> {
    use FailReason::{
        BillAlreadyPaid, BillCancelled, BillExpired, HouseholdFrozen, InsufficientBalance, PaymentDeclined,
        WatchRemoved,
    };
    let bill = [BillAlreadyPaid, BillCancelled, BillExpired];
    let all = bill.into_iter().chain([InsufficientBalance, WatchRemoved, HouseholdFrozen, PaymentDeclined]);
    all.into_iter().find(|reason| reason.as_str() == text)
}

/// Completed by a condition on `o`.
macro_rules! select_order {
    ($condition:literal) => {
        concat!(
            "SELECT o.no, o.household, o.order_id, o.watch, o.wearer, b.bill, b.merchant, b.currency,
                    cm.wire, cm.digest, bm.wire, b.digest, om.wire, om.digest,
                    o.received, o.state, o.deadline, o.total, o.struck,
                    qm.wire, qm.digest, o.requote_revision, o.requote_total, o.requote_struck,
                    dm.wire, dm.digest, xm.wire, xm.digest, pm.wire, pm.digest,
                    em.wire, em.digest, o.outcome_kind, o.outcome_reason, o.log_len, rm.wire, rm.digest,
                    o.bill_no, o.asks, b.state, b.deadline, y.household, y.order_id, w.removed, o.hold,
                    o.requote, o.decision, o.cancel, o.payment, o.outcome, o.result, o.refunded,
                    o.rail, s.fee, o.judged, o.first_nod, o.first_by, fm.wire, fm.digest
             FROM orders o
             JOIN bills b ON b.no = o.bill_no
             JOIN messages bm ON bm.id = b.message
             JOIN certificates c ON c.digest = b.certificate
             JOIN messages cm ON cm.id = c.message
             JOIN messages om ON om.id = o.message
             JOIN watches w ON w.watch = o.watch
             JOIN merchants s ON s.merchant = b.merchant
             LEFT JOIN messages qm ON qm.id = o.requote
             LEFT JOIN messages dm ON dm.id = o.decision
             LEFT JOIN messages fm ON fm.id = o.first_nod
             LEFT JOIN messages xm ON xm.id = o.cancel
             LEFT JOIN messages pm ON pm.id = o.payment
             LEFT JOIN messages em ON em.id = o.outcome
             LEFT JOIN messages rm ON rm.id = o.result
             LEFT JOIN orders y ON y.no = b.consumed_by
             WHERE ",
            $condition
        )
    };
}

fn build(cells: &Cells<'_>) -> Result<Live, StoreError> {
    let no = cells.int()?;
    let (household, order, watch, wearer) = (cells.id()?, cells.id()?, cells.id()?, cells.id()?);
    let (bill, merchant, currency) = (cells.id()?, cells.id()?, cells.currency()?);
    let (merchant_certificate, bill_message, message) = (cells.message()?, cells.message()?, cells.message()?);
    let (received, state, deadline) = (cells.time()?, cells.string()?, cells.opt_time()?);
    let total = Amount::new(cells.minor()?, currency);
    let struck = cells.json()?;
    let requote = build_requote(cells, currency)?;
    let (decision, cancel, payment) = (cells.opt_message()?, cells.opt_message()?, cells.opt_message()?);
    let outcome_message = cells.opt_message()?;
    let (kind, reason, log_len) = (cells.opt_string()?, cells.opt_string()?, cells.opt_number()?);
    let result = cells.opt_message()?;
    let (bill_no, asks, bill_is, bill_deadline) = (cells.int()?, cells.number()?, cells.string()?, cells.time()?);
    let paid_by = (cells.opt_id()?, cells.opt_id()?);
    let (watch_removed, hold) = (cells.flag()?, cells.opt_id()?);
    let mut keys = Keys {
        requote: cells.opt_int()?,
        decision: cells.opt_int()?,
        first: None,
        cancel: cells.opt_int()?,
        payment: cells.opt_int()?,
        outcome: cells.opt_int()?,
        result: cells.opt_int()?,
    };
    let (refunded, rail) = (Amount::new(cells.minor()?, currency), cells.string()?);
    let fee = cells.basis_points()?;
    let rail = RailKind::from_text(&rail).ok_or_else(|| cells.wrong(format!("rail {rail}")))?;
    let judged = cells.opt_json::<JudgedRow>()?.map(Judged::try_from).transpose();
    let judged = judged.map_err(|why| cells.wrong(why))?;
    keys.first = cells.opt_int()?;
    let (first_by, first) = (cells.opt_id()?, cells.opt_message()?);

    let columns = StateColumns {
        state: &state,
        deadline,
        decision: decision.as_ref().map(|message| message.digest),
        hold,
        total,
        outcome: kind.as_deref(),
    };
    let state = OrderState::try_from(&columns).map_err(|why| cells.wrong(why))?;
    // Where the rules left it to a guardian, or there were none, it is a guardian's.
    let said = judged.as_ref().and_then(|judged| judged.said);
    let by_rule = said.is_some_and(|said| !matches!(said.answer, Answer::Ask(_)));
    let (decision, mandate) = if by_rule { (None, decision) } else { (decision, None) };
    if said.zip(mandate.as_ref()).is_some_and(|(said, mandate)| said.entry != mandate.digest) {
        return Err(cells.wrong("another rule decided it than the one that spoke"));
    }
    let reason = reason
        .map(|reason| fail_reason(&reason).ok_or_else(|| cells.wrong(format!("outcome_reason {reason}"))))
        .transpose()?;
    let outcome = match (state, outcome_message, log_len) {
        (OrderState::Ended { outcome: kind }, Some(message), Some(log_len)) => {
            if (kind == OutcomeKind::Failed) != reason.is_some() {
                return Err(cells.wrong("outcome_reason does not fit the outcome"));
            }
            Some(Ended { kind, reason, message, log_len })
        }
        (OrderState::Ended { .. }, ..) => return Err(cells.wrong("state and outcome do not fit")),
        (_, None, None) if reason.is_none() => None,
        _ => return Err(cells.wrong("state and outcome do not fit")),
    };
    let bill_state =
        merchants::bill_state(&bill_is, paid_by).ok_or_else(|| cells.wrong(format!("its bill is {bill_is}")))?;
    let row = OrderRow {
        household,
        order,
        watch,
        wearer,
        bill,
        merchant,
        merchant_certificate,
        bill_message,
        message,
        state,
        received,
        total,
        struck,
        requote,
        decision,
        first,
        mandate,
        judged,
        cancel,
        payment,
        outcome,
        result,
        refunded,
        rail,
        asking: None,
        ask: None,
    };
    let loaded = (state_name(&row.state), due(&row.state, bill_deadline));
    Ok(Live {
        no,
        row,
        bill_no,
        asks,
        bill: bill_state,
        bill_deadline,
        watch_removed,
        loaded,
        hold,
        first_by,
        fee,
        keys,
    })
}

fn build_requote(cells: &Cells<'_>, currency: nodpay_core::Currency) -> Result<Option<Requote>, StoreError> {
    let message = cells.opt_message()?;
    let (revision, total, struck) = (cells.opt_number()?, cells.opt_minor()?, cells.opt_json::<Vec<LineId>>()?);
    match (message, revision, total, struck) {
        (Some(message), Some(revision), Some(total), Some(struck)) => {
            Ok(Some(Requote { revision, total: Amount::new(total, currency), struck, message }))
        }
        (None, None, None, None) => Ok(None),
        _ => Err(cells.wrong("half a requote")),
    }
}

// Reading

/// The newest ask belongs to the row, and what is asked of its rail.
fn with_ask(db: Db<'_>, mut live: Live) -> Result<Live, StoreError> {
    if live.row.rail != RailKind::Wallet {
        live.row.asking = rails::asking(db, &live.row)?;
    }
    if live.asks > 0 {
        live.row.ask = requotes::newest(db, live.no)?;
    }
    Ok(live)
}

pub(crate) fn load(db: Db<'_>, household: HouseholdId, order: OrderId) -> Result<Option<Live>, StoreError> {
    let sql = select_order!("o.household = ?1 AND o.order_id = ?2");
    let live = one(db, "orders", order, sql, params![household.as_bytes(), order.as_bytes()], build)?;
    live.map(|live| with_ask(db, live)).transpose()
}

fn known_open(tx: &Tx<'_>, household: HouseholdId, order: OrderId) -> Option<KnownAt> {
    tx.known.order(household, order).filter(|(_, known)| known.row.outcome.is_none())
}

/// What [`load_locked`] reads, if nothing happened meanwhile.
fn ask_order(db: Db<'_>, household: HouseholdId, order: OrderId, known: Option<&KnownAt>) -> Result<(), StoreError> {
    match known {
        Some((_, known)) => load_again(db, known),
        None => load(db, household, order),
    }
    .map(drop)
}

/// The same under the household's lock: where nothing happened in it since this process wrote the order, only what others may
/// have changed is read.
fn load_locked(tx: &Tx<'_>, books: &Books, order: OrderId, known: Option<KnownAt>) -> Result<Option<Live>, StoreError> {
    let live = match known {
        Some((last_event, known)) if last_event == books.last_event => load_again(tx.db, &known)?,
        Some(_) | None => None,
    };
    if live.is_some() { Ok(live) } else { load(tx.db, books.household, order) }
}

fn load_again(db: Db<'_>, known: &Known) -> Result<Option<Live>, StoreError> {
    let sql =
        "SELECT s.fee FROM bills b JOIN merchants s ON s.merchant = b.merchant WHERE b.no = ?1 AND b.state = 'open'";
    let fee = one(db, "bills", known.row.bill, sql, params![known.bill_no], |cells| cells.basis_points())?;
    let Known { no, bill_no, bill_deadline, watch_removed, hold, first_by, keys, .. } = *known;
    let row = OrderRow::clone(&known.row);
    let loaded = (state_name(&row.state), due(&row.state, bill_deadline));
    let bill = BillState::Open;
    let live =
        |fee| Live { no, row, bill_no, asks: 0, bill, bill_deadline, watch_removed, loaded, hold, first_by, fee, keys };
    Ok(fee.map(live))
}

fn load_open(db: Db<'_>, watch: WatchId) -> Result<Option<Live>, StoreError> {
    let sql = select_order!("o.no = (SELECT order_no FROM open_orders WHERE watch = ?1)");
    let live = one(db, "orders", watch, sql, params![watch.as_bytes()], build)?;
    live.map(|live| with_ask(db, live)).transpose()
}

pub(crate) fn order(db: Db<'_>, household: HouseholdId, order: OrderId) -> Result<Option<OrderRow>, StoreError> {
    Ok(load(db, household, order)?.map(|live| live.row))
}

pub(crate) fn open_order(db: Db<'_>, watch: WatchId) -> Result<Option<OrderRow>, StoreError> {
    Ok(load_open(db, watch)?.map(|live| live.row))
}

pub(crate) fn latest_order(db: Db<'_>, watch: WatchId) -> Result<Option<OrderRow>, StoreError> {
    let sql = select_order!("o.no = (SELECT max(no) FROM orders WHERE watch = ?1 AND no > 0)");
    let live = one(db, "orders", watch, sql, params![watch.as_bytes()], build)?;
    let row = live.map(|live| with_ask(db, live).map(|live| live.row)).transpose()?;
    Ok(row.filter(|row| !row.is_cut()))
}

pub(crate) fn orders(
    db: Db<'_>,
    household: HouseholdId,
    before: Option<OrderId>,
    limit: u32,
) -> Result<Vec<OrderRow>, StoreError> {
    let before = match before {
        Some(order) => load(db, household, order)?.ok_or(StoreError::OrderUnknown)?.no,
        None => i64::MAX,
    };
    let sql = select_order!("o.household = ?1 AND o.no > 0 AND o.no < ?2 ORDER BY o.no DESC LIMIT ?3");
    let limit = limit.min(MAX_ORDERS_PAGE);
    let page = many(db, "orders", household, sql, params![household.as_bytes(), before, limit], build)?;
    page.into_iter().map(|live| with_ask(db, live).map(|live| live.row)).collect()
}

/// When an order or an ask is due.
pub(crate) fn next_deadline(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT due FROM open_orders ORDER BY due LIMIT 1";
    let order = one(db, "open_orders", "(due)", sql, params![], |cells| cells.time())?;
    let ask = one(
        db,
        "requote_asks",
        "(due)",
        "SELECT min(deadline) FROM requote_asks WHERE state = 'asked'",
        params![],
        |cells| cells.opt_time(),
    )?
    .flatten();
    Ok([order, ask].into_iter().flatten().min())
}

pub(crate) fn evidence(db: Db<'_>, household: HouseholdId, id: OrderId) -> Result<EvidenceParts, StoreError> {
    let row = order(db, household, id)?.ok_or(StoreError::OrderUnknown)?;
    let log_len = log_len(&row)?;
    let log = many(
        db,
        "log_entries",
        household,
        "SELECT m.wire FROM log_entries e JOIN messages m ON m.id = e.message
         WHERE e.household = ?1 AND e.seq < ?2 ORDER BY e.seq",
        params![household.as_bytes(), sql_int(log_len)?],
        |cells| cells.string(),
    )?;
    let wearer = households::wearer(db, household, row.wearer)?;
    parts(row, log, wearer)
}

pub(crate) fn evidence_page(
    db: Db<'_>,
    household: HouseholdId,
    before: Option<OrderId>,
    limit: u32,
) -> Result<EvidencePage, StoreError> {
    Ok(EvidencePage {
        rulebook: households::rulebook(db, household)?,
        orders: orders(db, household, before, limit)?,
        wearers: households::wearers(db, household)?,
        outcome_certificates: outcome_keys::list(db)?,
    })
}

impl EvidencePage {
    /// What the evidence file of one of its orders is made of.
    ///
    /// Errors: `OrderNotEnded`, `OrderCut`.
    pub fn parts(&self, row: &OrderRow) -> Result<EvidenceParts, StoreError> {
        let len = usize::try_from(log_len(row)?).unwrap_or(usize::MAX);
        let log = self.rulebook.log.iter().take(len).map(|entry| entry.wire.clone()).collect();
        let wearer = self.wearers.iter().find(|(wearer, _)| *wearer == row.wearer);
        parts(row.clone(), log, wearer.map(|(_, name)| name.clone()))
    }
}

/// How many entries the log had when the order ended.
fn log_len(row: &OrderRow) -> Result<u64, StoreError> {
    let ended = row.outcome.as_ref().ok_or(StoreError::OrderNotEnded)?;
    if row.is_cut() { Err(StoreError::OrderCut) } else { Ok(ended.log_len) }
}

fn parts(mut row: OrderRow, log: Vec<String>, wearer: Option<PersonName>) -> Result<EvidenceParts, StoreError> {
    // A decision is over the current bill, and nothing is requoted after it.
    if row.decision.is_none() {
        row.requote = None;
    }
    let wearer =
        wearer.ok_or_else(|| StoreError::incident("wearers", row.wearer, "an order names it, but it is not there"))?;
    Ok(EvidenceParts { order: row, log, wearer })
}
