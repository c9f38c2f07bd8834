//! Guardians who are away for a while: they are not asked, and everybody sees it. It takes nothing from them, and no entry that
//! needs two guardians needs fewer for it.

use nodpay_core::{GuardianId, HouseholdId, MAX_AWAY_MS, Timestamp};

use crate::db::{Db, many, params, run_one};
use crate::events::{To, tell};
use crate::households::{self, Books};
use crate::tx::{Fault, Tx};
use crate::{HouseholdEvent, StoreError};

/// Away until then, or back.
pub(crate) fn set(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut books = Books::load(tx.db, household)?;
    households::seat(tx.db, household, guardian)?.filter(|seat| seat.acts(now)).ok_or(StoreError::GuardianUnknown)?;
    if until.is_some_and(|until| !(1..=MAX_AWAY_MS).contains(&until.ms_since(now))) {
        return Err(StoreError::AwayTime.into());
    }
    run_one(
        tx.db,
        "guardians",
        guardian,
        "UPDATE guardians SET away_until = ?3 WHERE household = ?1 AND guardian = ?2",
        params![household.as_bytes(), guardian.as_bytes(), until.map(Timestamp::unix_ms)],
    )?;
    let newest = HouseholdEvent::Log(books.next_seq - 1);
    tell(tx, &mut books, To::Guardians, newest, now)?;
    books.save(tx)?;
    Ok(())
}

/// Who said to be away, and until when. That time may be over.
pub(crate) fn of(db: Db<'_>, household: HouseholdId) -> Result<Vec<(GuardianId, Timestamp)>, StoreError> {
    many(
        db,
        "guardians",
        household,
        "SELECT guardian, away_until FROM guardians WHERE household = ?1 AND away_until IS NOT NULL ORDER BY guardian",
        params![household.as_bytes()],
        |cells| Ok((cells.id()?, cells.time()?)),
    )
}
