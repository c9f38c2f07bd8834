//! The end of a household: what is left is paid out, once, and nothing comes after it.

use nodpay_core::{Amount, Minor, Timestamp};

use crate::db::{one, params, run, run_one};
use crate::households::Books;
use crate::tx::{Fault, Tx};
use crate::{CloseOut, StoreError, ledger, rails, topups};

pub(crate) fn close_out(tx: &mut Tx<'_>, close: &CloseOut, now: Timestamp) -> Result<Amount, Fault> {
    let (household, transfer) = (close.household, close.transfer);
    let mut books = Books::load(tx.db, household)?;
    let before = ledger::find(tx.db, household, transfer)?;
    if let Some(done) = books.close_out {
        let paid = before.map_or(Amount::new(Minor::ZERO, books.currency), |before| before.amount);
        return if done == transfer { Ok(paid) } else { Err(StoreError::HouseholdClosed.into()) };
    }
    if before.is_some() || rails::is_refund(tx.db, transfer)? {
        return Err(StoreError::TransferExists.into());
    }
    let at_rail = one(
        tx.db,
        "orders",
        household,
        "SELECT 1 FROM orders WHERE household = ?1 AND state IN ('holding', 'paying') LIMIT 1",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    if at_rail.is_some() || topups::any_open(tx.db, household)? {
        return Err(StoreError::OrdersAtRail.into());
    }
    let open = one(
        tx.db,
        "orders",
        household,
        "SELECT 1 FROM watches w JOIN open_orders p ON p.watch = w.watch WHERE w.household = ?1 LIMIT 1",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    if open.is_some() || books.wallet.held() > Minor::ZERO {
        return Err(StoreError::OrdersOpen.into());
    }
    let rest = Amount::new(books.wallet.posted(), books.currency);
    if rest.units() > Minor::ZERO {
        ledger::pay_out(tx, &mut books, transfer, rest, now)?;
    }
    run(
        tx.db,
        "UPDATE schedules SET next_due = NULL, ended = ?2 WHERE household = ?1 AND next_due IS NOT NULL",
        params![household.as_bytes(), now.unix_ms()],
    )?;
    run_one(
        tx.db,
        "households",
        household,
        "UPDATE households SET close_out = ?2 WHERE household = ?1 AND close_out IS NULL",
        params![household.as_bytes(), transfer.as_bytes()],
    )?;
    ledger::tell_balance(tx, &mut books, now)?;
    books.save(tx)?;
    Ok(rest)
}
