//! Invitations of further guardians: as a watch's pairing, with a person and their name.

use nodpay_core::{GuardianId, HouseholdId, PairingId, PersonName, Timestamp};

use crate::db::{Cells, Db, insert_message, one, params, run, run_one};
use crate::events::{To, tell};
use crate::households::{self, Books};
use crate::tx::{Fault, Tx};
use crate::{ClaimJoin, HouseholdEvent, JoinClaim, JoinRow, JoinState, NewJoin, StoreError};

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewJoin) -> Result<(), Fault> {
    Books::load(tx.db, new.household)?;
    if let Some(row) = find(tx.db, new.pairing)? {
        let same = row.household == new.household && row.expires == new.expires;
        return if same { Ok(()) } else { Err(StoreError::PairingExists.into()) };
    }
    run_one(
        tx.db,
        "joins",
        new.pairing,
        "INSERT INTO joins (pairing, household, expires, state) VALUES (?1, ?2, ?3, 'open')",
        params![new.pairing.as_bytes(), new.household.as_bytes(), new.expires.unix_ms()],
    )?;
    Ok(())
}

pub(crate) fn claim(tx: &mut Tx<'_>, new: &ClaimJoin, now: Timestamp) -> Result<(), Fault> {
    let ClaimJoin { pairing, household, claim } = new;
    let mut books = Books::lock(tx.db, *household)?.ok_or(StoreError::PairingUnknown)?;
    let row = of_household(tx.db, *pairing, *household)?;
    match &row.state {
        JoinState::Claimed(before) | JoinState::Done(before) if before == claim => return Ok(()),
        JoinState::Claimed(_) | JoinState::Done(_) => return Err(StoreError::PairingTaken.into()),
        JoinState::Closed => return Err(StoreError::PairingClosed.into()),
        JoinState::Open => {}
    }
    if now >= row.expires {
        return Err(StoreError::PairingExpired.into());
    }
    if of_guardian(tx.db, *household, claim.guardian)?.is_some() {
        return Err(StoreError::CredentialExists.into());
    }
    let message = insert_message(tx.db, household.as_bytes(), &claim.message)?;
    run_one(
        tx.db,
        "joins",
        pairing,
        "UPDATE joins SET state = 'claimed', guardian = ?2, name = ?3, salt = ?4, claim = ?5
         WHERE pairing = ?1 AND state = 'open'",
        params![
            pairing.as_bytes(),
            claim.guardian.as_bytes(),
            claim.name.name.as_str(),
            claim.name.salt.as_bytes(),
            message,
        ],
    )?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Pairing(*pairing), now)?;
    Ok(books.save(tx)?)
}

pub(crate) fn close(tx: &mut Tx<'_>, household: HouseholdId, id: PairingId, now: Timestamp) -> Result<(), Fault> {
    let mut books = Books::lock(tx.db, household)?.ok_or(StoreError::PairingUnknown)?;
    match of_household(tx.db, id, household)?.state {
        JoinState::Closed => return Ok(()),
        JoinState::Done(_) => return Err(StoreError::PairingClosed.into()),
        JoinState::Open | JoinState::Claimed(_) => {}
    }
    run_one(tx.db, "joins", id, "UPDATE joins SET state = 'closed' WHERE pairing = ?1", params![id.as_bytes()])?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Pairing(id), now)?;
    Ok(books.save(tx)?)
}

/// Who is added to the log gets the name of their claim, and their invitation is done.
pub(crate) fn admit(db: Db<'_>, household: HouseholdId, guardian: GuardianId) -> Result<(), StoreError> {
    let Some(JoinRow { pairing, state: JoinState::Claimed(claim), .. }) = of_guardian(db, household, guardian)? else {
        return Ok(());
    };
    run(db, "UPDATE joins SET state = 'done' WHERE pairing = ?1", params![pairing.as_bytes()])?;
    households::set_name(db, household, guardian, &claim.name)
}

fn of_household(db: Db<'_>, pairing: PairingId, household: HouseholdId) -> Result<JoinRow, StoreError> {
    find(db, pairing)?.filter(|row| row.household == household).ok_or(StoreError::PairingUnknown)
}

pub(crate) fn find(db: Db<'_>, pairing: PairingId) -> Result<Option<JoinRow>, StoreError> {
    one(
        db,
        "joins",
        pairing,
        "SELECT j.pairing, j.household, j.expires, j.state, j.guardian, j.name, j.salt, m.wire, m.digest
         FROM joins j LEFT JOIN messages m ON m.id = j.claim WHERE j.pairing = ?1",
        params![pairing.as_bytes()],
        build,
    )
}

/// The invitation that somebody claimed and that was not given up.
pub(crate) fn of_guardian(
    db: Db<'_>,
    household: HouseholdId,
    guardian: GuardianId,
) -> Result<Option<JoinRow>, StoreError> {
    one(
        db,
        "joins",
        guardian,
        "SELECT j.pairing, j.household, j.expires, j.state, j.guardian, j.name, j.salt, m.wire, m.digest
         FROM joins j JOIN messages m ON m.id = j.claim
         WHERE j.household = ?1 AND j.guardian = ?2 AND j.state <> 'closed' ORDER BY j.expires DESC LIMIT 1",
        params![household.as_bytes(), guardian.as_bytes()],
        build,
    )
}

fn build(cells: &Cells<'_>) -> Result<JoinRow, StoreError> {
    let (pairing, household, expires, state) = (cells.id()?, cells.id()?, cells.time()?, cells.string()?);
    let claim = match (cells.opt_id()?, cells.opt_text()?, cells.opt_id()?, cells.opt_message()?) {
        (Some(guardian), Some(name), Some(salt), Some(message)) => {
            Some(JoinClaim { guardian, name: PersonName { name, salt }, message })
        }
        (None, None, None, None) => None,
        _ => return Err(cells.wrong("half a claim")),
    };
    let state = match (state.as_str(), claim) {
        ("open", None) => JoinState::Open,
        ("claimed", Some(claim)) => JoinState::Claimed(claim),
        ("done", Some(claim)) => JoinState::Done(claim),
        ("closed", _) => JoinState::Closed,
        (other, claim) => return Err(cells.wrong(format!("{other} with claim {}", claim.is_some()))),
    };
    Ok(JoinRow { pairing, household, expires, state })
}
