//! Money that a merchant gives back: all of a payment, or parts of it, never more than was posted.

use nodpay_core::{HouseholdId, Minor, OrderId, Rail as _, RailAnswer, RailKind, Timestamp, TransferId};

use crate::db::{Db, many, one, params, run, run_one};
use crate::events::{To, tell, tell_merchant};
use crate::households::Books;
use crate::ledger::{self, Account};
use crate::rails::Wallet;
use crate::tx::{Fault, Tx};
use crate::{BillState, HouseholdEvent, MerchantEvent, Refund, RefundRow, StoreError, merchants, orders};

pub(crate) fn refund(tx: &mut Tx<'_>, refund: &Refund, now: Timestamp) -> Result<RefundRow, Fault> {
    let bill = merchants::bill(tx.db, refund.bill)?.filter(|bill| bill.merchant == refund.merchant);
    let BillState::Consumed(household, order) = bill.ok_or(StoreError::BillUnknown)?.state else {
        return Err(StoreError::BillNotPaid.into());
    };
    let mut books = Books::load(tx.db, household)?;
    let live = orders::load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
    if live.row.rail != RailKind::Wallet {
        return Err(StoreError::RefundElsewhere.into());
    }
    let payment = live.hold.ok_or_else(|| live.incident("it is paid, but nothing was held"))?;
    let row = RefundRow { refund: refund.refund, amount: refund.amount, reason: refund.reason.clone(), at: now };
    if let Some(before) = ledger::find(tx.db, household, refund.refund)? {
        let same = before.of == Some(payment)
            && before.amount == refund.amount
            && before.credit == Account::Wallet(household)
            && reason(tx.db, household, order, refund.refund)? == refund.reason;
        return if same { Ok(RefundRow { at: before.at, ..row }) } else { Err(StoreError::RefundExists.into()) };
    }
    if ledger::find(tx.db, household, ledger::follower_id(refund.refund))?.is_some() {
        return Err(StoreError::RefundExists.into());
    }
    if books.close_out.is_some() {
        return Err(StoreError::HouseholdClosed.into());
    }
    if refund.amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    let amount = refund.amount.units();
    if amount <= Minor::ZERO {
        return Err(StoreError::AmountNotPositive.into());
    }
    let posted = ledger::find(tx.db, household, payment)?
        .and_then(|found| found.posted)
        .ok_or_else(|| live.incident("it is paid, but nothing was posted"))?;
    let refunded = live.row.refunded.units();
    if !refunded.plus(amount).is_ok_and(|after| after <= posted) {
        return Err(StoreError::RefundTooLarge.into());
    }

    let wallet = Wallet { tx, books: &mut books, held: live.held(payment), refunded, now };
    let answer = wallet.refund(nodpay_core::Movement { transfer: refund.refund, amount: refund.amount })?;
    if answer != RailAnswer::Done {
        return Err(live.incident(format!("refunding: {answer:?}")).into());
    }
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
    run_one(
        tx.db,
        "orders",
        order,
        "UPDATE orders SET refunded = refunded + ?3 WHERE household = ?1 AND order_id = ?2 AND refunded = ?4",
        params![household.as_bytes(), order.as_bytes(), amount.get(), refunded.get()],
    )?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Refund(order), now)?;
    tell(tx, &mut books, To::Watch(live.row.watch), HouseholdEvent::Refund(order), now)?;
    ledger::tell_balance(tx, &mut books, now)?;
    tell_merchant(tx, refund.merchant, MerchantEvent::Bill(refund.bill), now)?;
    books.save(tx)?;
    Ok(row)
}

fn reason(
    db: Db<'_>,
    household: HouseholdId,
    order: OrderId,
    refund: TransferId,
) -> Result<Option<nodpay_core::Text<60>>, StoreError> {
    let reason = one(
        db,
        "refunds",
        refund,
        "SELECT reason FROM refunds WHERE household = ?1 AND order_id = ?2 AND refund = ?3",
        params![household.as_bytes(), order.as_bytes(), refund.as_bytes()],
        |cells| cells.opt_text(),
    )?;
    Ok(reason.flatten())
}

pub(crate) fn list(db: Db<'_>, household: HouseholdId, order: OrderId) -> Result<Vec<RefundRow>, StoreError> {
    many(
        db,
        "refunds",
        order,
        "SELECT r.refund, t.amount, t.currency, r.reason, t.at FROM refunds r
         JOIN transfers t ON t.household = r.household AND t.transfer = r.refund
         WHERE r.household = ?1 AND r.order_id = ?2 ORDER BY t.at, r.refund",
        params![household.as_bytes(), order.as_bytes()],
        |cells| {
            Ok(RefundRow { refund: cells.id()?, amount: cells.amount()?, reason: cells.opt_text()?, at: cells.time()? })
        },
    )
}
