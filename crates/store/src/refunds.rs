//! Money that a merchant gives back: all of a payment, or parts of it, never more than was posted. To a wallet it goes at
//! once; a card's rail is asked for it, and until that has answered the refund counts as given back for further ones only.

use nodpay_core::{
    Decline, HouseholdId, Minor, OrderId, OrderState, OutcomeKind, Rail as _, RailAnswer, RailKind, Timestamp,
    TransferId,
};

use crate::db::{Cells, Db, many, one, params, run, run_one};
use crate::events::{To, tell, tell_merchant};
use crate::households::Books;
use crate::ledger;
use crate::orders::Live;
use crate::rails::Wallet;
use crate::tx::{Fault, Tx};
use crate::{
    BillState, HouseholdEvent, MerchantEvent, RailWork, Refund, RefundRow, RefundState, StoreError, disputes,
    merchants, orders, rails,
};

pub(crate) fn refund(tx: &mut Tx<'_>, refund: &Refund, now: Timestamp) -> Result<RefundRow, Fault> {
    let bill = merchants::bill(tx.db, refund.bill)?.filter(|bill| bill.merchant == refund.merchant);
    let BillState::Consumed(household, order) = bill.ok_or(StoreError::BillUnknown)?.state else {
        return Err(StoreError::BillNotPaid.into());
    };
    let mut books = Books::load(tx.db, household)?;
    let mut live = orders::load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
    if live.row.state != (OrderState::Ended { outcome: OutcomeKind::Paid }) {
        return Err(StoreError::BillNotPaid.into());
    }
    if live.row.rail == RailKind::Bank {
        return Err(StoreError::RefundElsewhere.into());
    }
    if let Some(before) = find(tx.db, household, order, refund.refund)? {
        let same = before.amount == refund.amount && before.reason == refund.reason;
        return if same { Ok(before) } else { Err(StoreError::RefundExists.into()) };
    }
    for id in [refund.refund, ledger::follower_id(refund.refund)] {
        if ledger::is_taken(tx.db, household, id)? {
            return Err(StoreError::RefundExists.into());
        }
    }
    // A card takes its money back also for a family that is gone.
    if books.close_out.is_some() && live.row.rail == RailKind::Wallet {
        return Err(StoreError::HouseholdClosed.into());
    }
    if refund.amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    let amount = refund.amount.units();
    if amount <= Minor::ZERO {
        return Err(StoreError::AmountNotPositive.into());
    }
    let payment = live.hold.ok_or_else(|| live.incident("it is paid, but nothing was held"))?;
    let posted = ledger::find(tx.db, household, payment)?
        .and_then(|found| found.posted)
        .ok_or_else(|| live.incident("it is paid, but nothing was posted"))?;
    let gone = gone(tx.db, &live)?;
    if !gone.plus(amount).is_ok_and(|after| after <= posted) {
        return Err(StoreError::RefundTooLarge.into());
    }

    let movement = nodpay_core::Movement { transfer: refund.refund, amount: refund.amount };
    let answer = if live.row.rail == RailKind::Wallet {
        let refunded = live.row.refunded.units();
        Wallet { tx, books: &mut books, held: live.held(payment), refunded, now }.refund(movement)?
    } else {
        rails::refund(tx, &live, movement, now)?.ok_or(StoreError::RefundExists)?
    };
    run(
        tx.db,
        "INSERT INTO refunds (household, order_id, refund, reason) VALUES (?1, ?2, ?3, ?4)",
        params![
            household.as_bytes(),
            order.as_bytes(),
            refund.refund.as_bytes(),
            refund.reason.as_ref().map(|reason| reason.as_str()),
        ],
    )?;
    let state = match answer {
        RailAnswer::Done => {
            given_back(tx, &mut books, &mut live, amount, now)?;
            RefundState::Done
        }
        RailAnswer::Pending => RefundState::Asked,
        RailAnswer::Declined(_) | RailAnswer::ActionNeeded(_) | RailAnswer::Unknown => {
            return Err(live.incident(format!("refunding: {answer:?}")).into());
        }
    };
    tell_merchant(tx, refund.merchant, MerchantEvent::Bill(refund.bill), now)?;
    books.save(tx)?;
    Ok(RefundRow { refund: refund.refund, amount: refund.amount, reason: refund.reason.clone(), at: now, state })
}

/// What of a payment is no longer there to be given back: what is back, what a rail is asked for, what a bank took.
fn gone(db: Db<'_>, live: &Live) -> Result<Minor, StoreError> {
    let asked = one(
        db,
        "rail_steps",
        live.row.order,
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM rail_steps
         WHERE household = ?1 AND order_id = ?2 AND step = 'refund' AND next_at IS NOT NULL",
        params![live.row.household.as_bytes(), live.row.order.as_bytes()],
        |cells| cells.minor(),
    )?;
    let taken = disputes::list(db, live.row.household, live.row.order)?.into_iter();
    let taken = taken.filter(|dispute| dispute.state.is_taken()).map(|dispute| dispute.amount.units());
    let all = taken.chain(asked).try_fold(live.row.refunded.units(), Minor::plus);
    all.map_err(|error| live.incident(format!("adding refunds up: {error}")))
}

/// The rail that was asked for a refund has answered. Whether that changed anything.
pub(crate) fn answered(
    tx: &mut Tx<'_>,
    books: &mut Books,
    live: &mut Live,
    work: &RailWork,
    answer: &RailAnswer,
    now: Timestamp,
) -> Result<bool, Fault> {
    match answer {
        RailAnswer::Done => {
            let held = live.held(work.hold);
            let posted = ledger::find(tx.db, work.household, work.hold)?.and_then(|found| found.posted);
            let posted = posted.ok_or_else(|| live.incident("it is refunded, but nothing was posted"))?;
            ledger::give_back(tx, books, &held, posted, live.row.refunded.units(), work.movement, now)?;
            given_back(tx, books, live, work.movement.amount.units(), now)?;
        }
        RailAnswer::Declined(_) => {}
        RailAnswer::ActionNeeded(_) | RailAnswer::Pending | RailAnswer::Unknown => return Ok(false),
    }
    tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)?;
    Ok(true)
}

/// The money is back: the order says so, and the household hears of it.
fn given_back(
    tx: &mut Tx<'_>,
    books: &mut Books,
    live: &mut Live,
    amount: Minor,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (household, order, before) = (live.row.household, live.row.order, live.row.refunded.units());
    run_one(
        tx.db,
        "orders",
        order,
        "UPDATE orders SET refunded = refunded + ?3 WHERE household = ?1 AND order_id = ?2 AND refunded = ?4",
        params![household.as_bytes(), order.as_bytes(), amount.get(), before.get()],
    )?;
    let after = before.plus(amount).map_err(|error| live.incident(format!("adding refunds up: {error}")))?;
    live.row.refunded = nodpay_core::Amount::new(after, live.row.refunded.currency());
    tell(tx, books, To::Guardians, HouseholdEvent::Refund(order), now)?;
    tell(tx, books, To::Watch(live.row.watch), HouseholdEvent::Refund(order), now)?;
    if live.row.rail == RailKind::Wallet {
        ledger::tell_balance(tx, books, now)?;
    }
    Ok(())
}

/// Completed by a condition. A step that is done is a transfer as well.
macro_rules! select_refund {
    ($rest:literal) => {
        concat!(
            "SELECT r.refund, coalesce(s.amount, t.amount), coalesce(s.currency, t.currency), r.reason,
                    coalesce(s.at, t.at), coalesce(s.state, 'done'), s.decline
             FROM refunds r
             LEFT JOIN rail_steps s ON s.household = r.household AND s.order_id = r.order_id AND s.step = 'refund'
                  AND s.transfer = r.refund
             LEFT JOIN transfers t ON t.household = r.household AND t.transfer = r.refund
             WHERE r.household = ?1 AND r.order_id = ?2 ",
            $rest
        )
    };
}

fn build(cells: &Cells<'_>) -> Result<RefundRow, StoreError> {
    let (refund, amount, reason, at) = (cells.id()?, cells.amount()?, cells.opt_text()?, cells.time()?);
    let (state, decline) = (cells.string()?, cells.opt_string()?);
    let state = match (state.as_str(), decline.as_deref().map(Decline::from_text)) {
        ("done", None) => RefundState::Done,
        ("declined", Some(Some(decline))) => RefundState::Failed(decline),
        ("asked" | "unknown" | "pending" | "action", None) => RefundState::Asked,
        (other, _) => return Err(cells.wrong(format!("its refund is {other}, which no refund is"))),
    };
    Ok(RefundRow { refund, amount, reason, at, state })
}

fn find(
    db: Db<'_>,
    household: HouseholdId,
    order: OrderId,
    refund: TransferId,
) -> Result<Option<RefundRow>, StoreError> {
    let keys = params![household.as_bytes(), order.as_bytes(), refund.as_bytes()];
    one(db, "refunds", refund, select_refund!("AND r.refund = ?3"), keys, build)
}

pub(crate) fn list(db: Db<'_>, household: HouseholdId, order: OrderId) -> Result<Vec<RefundRow>, StoreError> {
    let keys = params![household.as_bytes(), order.as_bytes()];
    many(db, "refunds", order, select_refund!("ORDER BY coalesce(s.at, t.at), r.refund"), keys, build)
}

/// Of a bill; none where nobody paid it.
pub(crate) fn of_bill(
    db: Db<'_>,
    merchant: nodpay_core::MerchantId,
    bill: nodpay_core::BillId,
) -> Result<Vec<RefundRow>, StoreError> {
    let row = merchants::bill(db, bill)?.filter(|row| row.merchant == merchant).ok_or(StoreError::BillUnknown)?;
    match row.state {
        BillState::Consumed(household, order) => list(db, household, order),
        BillState::Open | BillState::Cancelled => Ok(Vec::new()),
    }
}
