//! Certificates of the keys that sign outcomes: written once by whoever brings a new key, read by every replica.

use nodpay_core::Timestamp;

use crate::db::{Db, all, params, run};
use crate::tx::{Fault, Tx};
use crate::{Message, StoreError};

pub(crate) fn keep(tx: &mut Tx<'_>, certificate: &Message, now: Timestamp) -> Result<(), Fault> {
    run(
        tx.db,
        "INSERT INTO outcome_certificates (digest, wire, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![certificate.digest.as_bytes(), certificate.wire.as_str(), now.unix_ms()],
    )?;
    Ok(())
}

/// All of them: one for each time the operator changed the key.
pub(crate) fn list(db: Db<'_>) -> Result<Vec<Message>, StoreError> {
    let sql = "SELECT wire, digest FROM outcome_certificates ORDER BY at, digest";
    all(db, "outcome_certificates", sql, |cells| cells.message())
}
