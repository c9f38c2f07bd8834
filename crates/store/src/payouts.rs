//! Payouts to a merchant's bank. Asking for one moves the whole balance to the bank's account in the books at once; it then
//! leaves there for the world outside (done) or comes back (returned), once. What was done may still come back from outside,
//! once: the payee's bank sent it back.

use nodpay_core::{Amount, Iban, MerchantId, Minor, Timestamp, TransferId};

use crate::db::{Cells, Db, many, one, params, run, run_one, sql_int};
use crate::ledger::{Account, follower_id, return_id};
use crate::tx::{Fault, Tx};
use crate::{MAX_PAYOUTS_PAGE, PayoutRow, PayoutState, StoreError, merchant_books, merchants};

pub(crate) fn ask(
    tx: &mut Tx<'_>,
    merchant: MerchantId,
    payout: TransferId,
    now: Timestamp,
) -> Result<PayoutRow, Fault> {
    // Before anything is read, so that two at once wait for each other: only the first finds a balance.
    let number = take_number(tx, merchant)?;
    if let Some(row) = by_id(tx.db, payout)? {
        // The bank's answers name a payout alone.
        return if row.merchant == merchant { Ok(row) } else { Err(StoreError::TransferExists.into()) };
    }
    // Its own transfers, and those of a payout that its own would meet.
    for id in [payout, follower_id(payout), return_id(payout), follower_id(return_id(payout))] {
        if exists(tx.db, merchant, id)? {
            return Err(StoreError::TransferExists.into());
        }
    }
    let row = merchants::merchant(tx.db, merchant)?.ok_or(StoreError::MerchantUnknown)?;
    let iban = row.iban.ok_or(StoreError::IbanMissing)?;
    let amount = merchant_books::balance(tx.db, merchant)?;
    if amount.units() <= Minor::ZERO {
        return Err(StoreError::NothingToPayOut.into());
    }
    let (own, bank) = (Account::Merchant(merchant), Account::Bank(merchant));
    record(tx, merchant, (payout, None), own, bank, amount, now)?;
    // Another merchant's at the same time is met by the index; the transaction that lost finds it at its next try.
    run(
        tx.db,
        "INSERT INTO payouts (merchant, payout, number, amount, currency, iban, state, asked, changed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'asked', ?7, ?7)",
        params![
            merchant.as_bytes(),
            payout.as_bytes(),
            sql_int(number)?,
            amount.minor(),
            amount.currency().code(),
            iban.as_str(),
            now.unix_ms(),
        ],
    )?;
    Ok(PayoutRow { merchant, payout, number, amount, iban, state: PayoutState::Asked, asked: now, changed: now })
}

fn take_number(tx: &Tx<'_>, merchant: MerchantId) -> Result<u64, StoreError> {
    let sql = "UPDATE merchants SET payouts = payouts + 1 WHERE merchant = ?1";
    if run(tx.db, sql, params![merchant.as_bytes()])? != 1 {
        return Err(StoreError::MerchantUnknown);
    }
    let sql = "SELECT payouts FROM merchants WHERE merchant = ?1";
    one(tx.db, "merchants", merchant, sql, params![merchant.as_bytes()], |cells| cells.number())?
        .ok_or(StoreError::MerchantUnknown)
}

fn exists(db: Db<'_>, merchant: MerchantId, transfer: TransferId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM merchant_transfers WHERE merchant = ?1 AND transfer = ?2";
    let keys = params![merchant.as_bytes(), transfer.as_bytes()];
    Ok(one(db, "merchant_transfers", transfer, sql, keys, |cells| cells.int())?.is_some())
}

fn record(
    tx: &Tx<'_>,
    merchant: MerchantId,
    (transfer, of): (TransferId, Option<TransferId>),
    debit: Account,
    credit: Account,
    amount: Amount,
    now: Timestamp,
) -> Result<(), StoreError> {
    run(
        tx.db,
        "INSERT INTO merchant_transfers (merchant, transfer, debit, credit, amount, currency, of_transfer, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            merchant.as_bytes(),
            transfer.as_bytes(),
            debit.to_bytes(),
            credit.to_bytes(),
            amount.minor(),
            amount.currency().code(),
            of.as_ref().map(TransferId::as_bytes),
            now.unix_ms(),
        ],
    )?;
    Ok(())
}

/// Takes a payout to `next`. Where it is there already, that is the answer.
pub(crate) fn step(
    tx: &mut Tx<'_>,
    merchant: MerchantId,
    payout: TransferId,
    next: PayoutState,
    now: Timestamp,
) -> Result<PayoutRow, Fault> {
    // Two at once wait for each other here.
    run(tx.db, "UPDATE merchants SET payouts = payouts WHERE merchant = ?1", params![merchant.as_bytes()])?;
    let row = find(tx.db, merchant, payout)?.ok_or(StoreError::PayoutUnknown)?;
    if row.state == next {
        return Ok(row);
    }
    if !row.state.leads_to(next) {
        return Err(StoreError::PayoutState(row.state).into());
    }
    run_one(
        tx.db,
        "payouts",
        payout,
        "UPDATE payouts SET state = ?3, changed = ?4 WHERE merchant = ?1 AND payout = ?2 AND state = ?5",
        params![merchant.as_bytes(), payout.as_bytes(), next.as_str(), now.unix_ms(), row.state.as_str()],
    )?;
    let (own, bank) = (Account::Merchant(merchant), Account::Bank(merchant));
    let moved = match (row.state, next) {
        (_, PayoutState::Asked | PayoutState::Sending | PayoutState::Sent) => None,
        (_, PayoutState::Done) => Some((follower_id(payout), bank, Account::Outside)),
        (PayoutState::Done, PayoutState::Returned) => Some((return_id(payout), Account::Outside, own)),
        (_, PayoutState::Returned) => Some((follower_id(payout), bank, own)),
    };
    if let Some((transfer, debit, credit)) = moved {
        record(tx, merchant, (transfer, Some(payout)), debit, credit, row.amount, now)?;
    }
    Ok(PayoutRow { state: next, changed: now, ..row })
}

/// Completed by a condition.
macro_rules! select_payout {
    ($rest:literal) => {
        concat!("SELECT merchant, payout, number, amount, currency, iban, state, asked, changed FROM payouts ", $rest)
    };
}

fn build(cells: &Cells<'_>) -> Result<PayoutRow, StoreError> {
    let (merchant, payout, number, amount) = (cells.id()?, cells.id()?, cells.number()?, cells.amount()?);
    let iban = Iban::new(&cells.string()?).map_err(|error| cells.wrong(format!("iban: {error}")))?;
    let state = cells.string()?;
    let state = PayoutState::from_text(&state).ok_or_else(|| cells.wrong(format!("state {state}")))?;
    Ok(PayoutRow { merchant, payout, number, amount, iban, state, asked: cells.time()?, changed: cells.time()? })
}

pub(crate) fn find(db: Db<'_>, merchant: MerchantId, payout: TransferId) -> Result<Option<PayoutRow>, StoreError> {
    let sql = select_payout!("WHERE merchant = ?1 AND payout = ?2");
    one(db, "payouts", payout, sql, params![merchant.as_bytes(), payout.as_bytes()], build)
}

pub(crate) fn by_id(db: Db<'_>, payout: TransferId) -> Result<Option<PayoutRow>, StoreError> {
    one(db, "payouts", payout, select_payout!("WHERE payout = ?1"), params![payout.as_bytes()], build)
}

pub(crate) fn list(
    db: Db<'_>,
    merchant: MerchantId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<PayoutRow>, StoreError> {
    let sql = select_payout!("WHERE merchant = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3");
    let before = before.map_or(Ok(i64::MAX), sql_int)?;
    many(db, "payouts", merchant, sql, params![merchant.as_bytes(), before, limit.min(MAX_PAYOUTS_PAGE)], build)
}

pub(crate) fn to_send(db: Db<'_>) -> Result<Vec<PayoutRow>, StoreError> {
    let sql = select_payout!("WHERE state IN ('asked', 'sending') ORDER BY asked LIMIT ?1");
    many(db, "payouts", "(to send)", sql, params![MAX_PAYOUTS_PAGE], build)
}

pub(crate) fn sent(db: Db<'_>) -> Result<Vec<PayoutRow>, StoreError> {
    let sql = select_payout!("WHERE state = 'sent' ORDER BY asked DESC LIMIT ?1");
    many(db, "payouts", "(sent)", sql, params![MAX_PAYOUTS_PAGE], build)
}
