//! How each watch's PIN stands: its newest report, as the watch signed it.

use nodpay_core::{HouseholdId, Timestamp, WatchId};

use crate::db::{Db, insert_message, many, one, params, run_one, sql_int};
use crate::events::{To, tell};
use crate::households::{self, Books};
use crate::tx::{Fault, Tx};
use crate::{HouseholdEvent, Message, ReportPin, StoreError, erasing};

pub(crate) fn report(tx: &mut Tx<'_>, new: &ReportPin, now: Timestamp) -> Result<(), Fault> {
    let report = &new.report;
    let (household, watch) = (report.household, report.watch);
    let mut books = Books::lock(tx.db, household)?.ok_or(StoreError::WatchUnknown)?;
    let row = households::watch(tx.db, watch)?.filter(|row| row.household == household);
    if row.ok_or(StoreError::WatchUnknown)?.removed {
        return Err(StoreError::RevokedWatch.into());
    }
    let newest = one(
        tx.db,
        "pin_reports",
        watch,
        "SELECT p.seq, m.wire, m.digest, m.id FROM pin_reports p JOIN messages m ON m.id = p.message
         WHERE p.household = ?1 AND p.watch = ?2",
        params![household.as_bytes(), watch.as_bytes()],
        |cells| Ok((cells.number::<u64>()?, cells.message()?, cells.int()?)),
    )?;
    let before = newest.as_ref().map_or(0, |(seq, ..)| *seq);
    if newest.as_ref().is_some_and(|(_, message, _)| message.digest == new.message.digest) {
        return Ok(());
    }
    let seq = sql_int(report.seq).map_err(|_| StoreError::PinReportOutdated)?;
    if report.seq <= before {
        return Err(StoreError::PinReportOutdated.into());
    }
    let message = insert_message(tx.db, household.as_bytes(), &new.message)?;
    let values = params![household.as_bytes(), watch.as_bytes(), seq, message];
    if before == 0 {
        let insert = "INSERT INTO pin_reports (household, watch, seq, message) VALUES (?1, ?2, ?3, ?4)";
        run_one(tx.db, "pin_reports", watch, insert, values)?;
    } else {
        let update = "UPDATE pin_reports SET seq = ?3, message = ?4 WHERE household = ?1 AND watch = ?2";
        run_one(tx.db, "pin_reports", watch, update, values)?;
    }
    if let Some((.., outdated)) = newest {
        erasing::cut_message(tx.db, outdated)?;
    }
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Pin(watch), now)?;
    books.save(tx)?;
    Ok(())
}

/// Of the watches that were not removed.
pub(crate) fn reports(db: Db<'_>, household: HouseholdId) -> Result<Vec<(WatchId, Message)>, StoreError> {
    many(
        db,
        "pin_reports",
        household,
        "SELECT p.watch, m.wire, m.digest FROM pin_reports p JOIN messages m ON m.id = p.message
         JOIN watches w ON w.watch = p.watch WHERE p.household = ?1 AND w.removed = 0 ORDER BY p.watch",
        params![household.as_bytes()],
        |cells| Ok((cells.id()?, cells.message()?)),
    )
}
