//! Printed codes: which merchant is meant by what a code says about its payee.

use nodpay_core::{Digest, MerchantId, Timestamp};

use crate::db::{Db, many, one, params, run, run_one};
use crate::tx::{Fault, Tx};
use crate::{CodeRow, MAX_CODES, NewCode, StoreError, merchants};

pub(crate) fn add(tx: &mut Tx<'_>, new: &NewCode, now: Timestamp) -> Result<(), Fault> {
    merchants::merchant(tx.db, new.merchant)?.ok_or(StoreError::MerchantUnknown)?;
    match merchant_of(tx.db, new.payee)? {
        Some(merchant) if merchant == new.merchant => return Ok(()),
        Some(_) => return Err(StoreError::CodeTaken.into()),
        None => {}
    }
    if list(tx.db, new.merchant)?.len() >= MAX_CODES {
        return Err(StoreError::TooManyCodes.into());
    }
    run_one(
        tx.db,
        "merchant_codes",
        new.payee,
        "INSERT INTO merchant_codes (payee, merchant, text, at) VALUES (?1, ?2, ?3, ?4)",
        params![new.payee.as_bytes(), new.merchant.as_bytes(), new.text.as_str(), now.unix_ms()],
    )?;
    Ok(())
}

pub(crate) fn remove(tx: &mut Tx<'_>, merchant: MerchantId, payee: Digest) -> Result<(), Fault> {
    let gone = run(
        tx.db,
        "DELETE FROM merchant_codes WHERE payee = ?1 AND merchant = ?2",
        params![payee.as_bytes(), merchant.as_bytes()],
    )?;
    if gone == 1 { Ok(()) } else { Err(StoreError::PayeeUnknown.into()) }
}

pub(crate) fn list(db: Db<'_>, merchant: MerchantId) -> Result<Vec<CodeRow>, StoreError> {
    let sql = "SELECT payee, text, at FROM merchant_codes WHERE merchant = ?1 ORDER BY payee";
    many(db, "merchant_codes", merchant, sql, params![merchant.as_bytes()], |cells| {
        let (payee, text) = (cells.id()?, cells.string()?);
        let text = nodpay_core::CodeText::new(&text).map_err(|error| cells.wrong(format!("text: {error}")))?;
        Ok(CodeRow { payee, text, at: cells.time()? })
    })
}

pub(crate) fn merchant_of(db: Db<'_>, payee: Digest) -> Result<Option<MerchantId>, StoreError> {
    let sql = "SELECT merchant FROM merchant_codes WHERE payee = ?1";
    one(db, "merchant_codes", payee, sql, params![payee.as_bytes()], |cells| cells.id())
}
