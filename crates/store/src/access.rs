//! Who may come in: pairings, invitations and login challenges. Tokens are known by their hash only.

use nodpay_core::{HouseholdId, MerchantId, PairingId, PublicKey, Timestamp, WatchId};

use crate::db::{Cells, Db, insert_message, one, params, run, run_one};
use crate::events::{To, tell};
use crate::households::{self, Books};
use crate::tx::{Fault, Tx};
use crate::{
    Claim, ClaimPairing, HouseholdEvent, InvitationKind, MAX_LOGINS, NewInvitation, NewPairing, PairingRow,
    PairingState, StoreError, TokenHash, merchants,
};

pub(crate) fn create_pairing(tx: &mut Tx<'_>, new: &NewPairing, _now: Timestamp) -> Result<(), Fault> {
    Books::load(tx.db, new.household)?;
    if let Some(row) = pairing(tx.db, new.pairing)? {
        let same = row.household == new.household && row.expires == new.expires;
        return if same { Ok(()) } else { Err(StoreError::PairingExists.into()) };
    }
    run_one(
        tx.db,
        "pairings",
        new.pairing,
        "INSERT INTO pairings (pairing, household, expires, state) VALUES (?1, ?2, ?3, 'open')",
        params![new.pairing.as_bytes(), new.household.as_bytes(), new.expires.unix_ms()],
    )?;
    Ok(())
}

pub(crate) fn claim_pairing(tx: &mut Tx<'_>, claim: &ClaimPairing, now: Timestamp) -> Result<(), Fault> {
    let mut books = Books::lock(tx.db, claim.household)?.ok_or(StoreError::PairingUnknown)?;
    let row = pairing(tx.db, claim.pairing)?
        .filter(|row| row.household == claim.household)
        .ok_or(StoreError::PairingUnknown)?;
    let same = |before: &Claim| before.watch == claim.watch && before.key == claim.key;
    match &row.state {
        PairingState::Claimed(before) | PairingState::Done(before) if same(before) => return Ok(()),
        PairingState::Claimed(_) | PairingState::Done(_) => return Err(StoreError::PairingTaken.into()),
        PairingState::Closed => return Err(StoreError::PairingClosed.into()),
        PairingState::Open => {}
    }
    if now >= row.expires {
        return Err(StoreError::PairingExpired.into());
    }
    let elsewhere = pairing_of_watch(tx.db, claim.watch, now)?;
    let other_key = elsewhere.is_some_and(|row| matches!(row.state, PairingState::Claimed(other) if !same(&other)));
    if other_key || households::watch(tx.db, claim.watch)?.is_some() {
        return Err(StoreError::WatchExists.into());
    }
    let message = insert_message(tx.db, claim.household.as_bytes(), &claim.message)?;
    run_one(
        tx.db,
        "pairings",
        claim.pairing,
        "UPDATE pairings SET state = 'claimed', watch = ?2, key = ?3, claim = ?4
         WHERE pairing = ?1 AND state = 'open'",
        params![claim.pairing.as_bytes(), claim.watch.as_bytes(), claim.key.as_bytes(), message],
    )?;
    tell_guardians(tx, &mut books, claim.pairing, now)
}

pub(crate) fn close_pairing(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    id: PairingId,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut books = Books::lock(tx.db, household)?.ok_or(StoreError::PairingUnknown)?;
    let row = pairing(tx.db, id)?.filter(|row| row.household == household).ok_or(StoreError::PairingUnknown)?;
    match row.state {
        PairingState::Closed => return Ok(()),
        PairingState::Done(_) => return Err(StoreError::PairingClosed.into()),
        PairingState::Open | PairingState::Claimed(_) => {}
    }
    run_one(
        tx.db,
        "pairings",
        id,
        "UPDATE pairings SET state = 'closed' WHERE pairing = ?1 AND state IN ('open', 'claimed')",
        params![id.as_bytes()],
    )?;
    tell_guardians(tx, &mut books, id, now)
}

fn tell_guardians(tx: &mut Tx<'_>, books: &mut Books, id: PairingId, now: Timestamp) -> Result<(), Fault> {
    tell(tx, books, To::Guardians, HouseholdEvent::Pairing(id), now)?;
    Ok(books.save(tx)?)
}

/// The watch that claimed the pairing is enrolled.
pub(crate) fn finish_pairing(
    db: Db<'_>,
    household: HouseholdId,
    id: PairingId,
    watch: WatchId,
    key: &PublicKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = pairing(db, id)?.filter(|row| row.household == household).ok_or(StoreError::PairingUnknown)?;
    match row.state {
        PairingState::Claimed(claim) if claim.watch == watch && claim.key == *key => {}
        PairingState::Open | PairingState::Claimed(_) => return Err(StoreError::PairingMismatch),
        PairingState::Done(_) | PairingState::Closed => return Err(StoreError::PairingClosed),
    }
    if now >= row.expires {
        return Err(StoreError::PairingExpired);
    }
    run_one(
        db,
        "pairings",
        id,
        "UPDATE pairings SET state = 'done' WHERE pairing = ?1 AND state = 'claimed'",
        params![id.as_bytes()],
    )
}

pub(crate) fn pairing(db: Db<'_>, id: PairingId) -> Result<Option<PairingRow>, StoreError> {
    one(
        db,
        "pairings",
        id,
        "SELECT p.pairing, p.household, p.expires, p.state, p.watch, p.key, m.wire, m.digest
         FROM pairings p LEFT JOIN messages m ON m.id = p.claim WHERE p.pairing = ?1",
        params![id.as_bytes()],
        build_pairing,
    )
}

pub(crate) fn pairing_of_watch(db: Db<'_>, watch: WatchId, now: Timestamp) -> Result<Option<PairingRow>, StoreError> {
    one(
        db,
        "pairings",
        watch,
        "SELECT p.pairing, p.household, p.expires, p.state, p.watch, p.key, m.wire, m.digest
         FROM pairings p LEFT JOIN messages m ON m.id = p.claim
         WHERE p.watch = ?1 AND p.state = 'claimed' AND p.expires > ?2 ORDER BY p.expires DESC LIMIT 1",
        params![watch.as_bytes(), now.unix_ms()],
        build_pairing,
    )
}

fn build_pairing(cells: &Cells<'_>) -> Result<PairingRow, StoreError> {
    let (pairing, household, expires, state) = (cells.id()?, cells.id()?, cells.time()?, cells.string()?);
    let claim = match (cells.opt_id()?, cells.opt_id()?, cells.opt_message()?) {
        (Some(watch), Some(key), Some(message)) => Some(Claim { watch, key, message }),
        (None, None, None) => None,
        _ => return Err(cells.wrong("half a claim")),
    };
    let state = match (state.as_str(), claim) {
        ("open", None) => PairingState::Open,
        ("claimed", Some(claim)) => PairingState::Claimed(claim),
        ("done", Some(claim)) => PairingState::Done(claim),
        ("closed", _) => PairingState::Closed,
        (other, claim) => {
            return Err(cells.wrong(format!("{other} with claim {}", claim.is_some())));
        }
    };
    Ok(PairingRow { pairing, household, expires, state })
}

struct Invitation {
    kind: InvitationKind,
    expires: Timestamp,
    used: bool,
}

fn find_invitation(db: Db<'_>, token: TokenHash) -> Result<Option<Invitation>, StoreError> {
    one(
        db,
        "invitations",
        "(hidden)",
        "SELECT kind, merchant, expires, used FROM invitations WHERE token = ?1",
        params![token.0],
        |cells| {
            let (kind, merchant) = (cells.string()?, cells.opt_id()?);
            let kind = match (kind.as_str(), merchant) {
                ("guardian", None) => InvitationKind::Guardian,
                ("till", Some(merchant)) => InvitationKind::Till(merchant),
                _ => return Err(cells.wrong("kind and merchant do not fit")),
            };
            Ok(Invitation { kind, expires: cells.time()?, used: cells.opt_time()?.is_some() })
        },
    )
}

pub(crate) fn create_invitation(tx: &mut Tx<'_>, new: &NewInvitation, _now: Timestamp) -> Result<(), Fault> {
    if let Some(before) = find_invitation(tx.db, new.token)? {
        let same = before.kind == new.kind && before.expires == new.expires;
        return if same { Ok(()) } else { Err(StoreError::TokenExists.into()) };
    }
    let (kind, merchant) = match new.kind {
        InvitationKind::Guardian => ("guardian", None),
        InvitationKind::Till(merchant) => {
            merchants::merchant(tx.db, merchant)?.ok_or(StoreError::MerchantUnknown)?;
            ("till", Some(merchant))
        }
    };
    run_one(
        tx.db,
        "invitations",
        "(hidden)",
        "INSERT INTO invitations (token, kind, merchant, expires) VALUES (?1, ?2, ?3, ?4)",
        params![new.token.0, kind, merchant.as_ref().map(MerchantId::as_bytes), new.expires.unix_ms()],
    )?;
    Ok(())
}

pub(crate) fn invitation(db: Db<'_>, token: TokenHash, now: Timestamp) -> Result<InvitationKind, StoreError> {
    match invitation_ever(db, token, now)? {
        (_, true) => Err(StoreError::InvitationUsed),
        (kind, false) => Ok(kind),
    }
}

/// What the invitation is for, and whether it was used. Only unused ones expire.
pub(crate) fn invitation_ever(
    db: Db<'_>,
    token: TokenHash,
    now: Timestamp,
) -> Result<(InvitationKind, bool), StoreError> {
    let found = find_invitation(db, token)?.ok_or(StoreError::InvitationUnknown)?;
    if !found.used && now >= found.expires {
        return Err(StoreError::InvitationExpired);
    }
    Ok((found.kind, found.used))
}

pub(crate) fn use_invitation(tx: &mut Tx<'_>, token: TokenHash, now: Timestamp) -> Result<(), StoreError> {
    run_one(
        tx.db,
        "invitations",
        "(hidden)",
        "UPDATE invitations SET used = ?2 WHERE token = ?1 AND used IS NULL",
        params![token.0, now.unix_ms()],
    )
}

pub(crate) fn create_login(
    tx: &mut Tx<'_>,
    challenge: &[u8; 32],
    expires: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    run(tx.db, "DELETE FROM logins WHERE expires <= ?1", params![now.unix_ms()])?;
    let running: u32 =
        one(tx.db, "logins", "-", "SELECT count(*) FROM logins", params![], |cells| cells.number())?.unwrap_or(0);
    if running >= MAX_LOGINS {
        return Err(StoreError::TooManyLogins.into());
    }
    let added = run(
        tx.db,
        "INSERT INTO logins (challenge, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![challenge, expires.unix_ms()],
    )?;
    if added == 0 { Err(StoreError::TokenExists.into()) } else { Ok(()) }
}

pub(crate) fn take_login(tx: &mut Tx<'_>, challenge: &[u8; 32], now: Timestamp) -> Result<(), Fault> {
    let taken =
        run(tx.db, "DELETE FROM logins WHERE challenge = ?1 AND expires > ?2", params![challenge, now.unix_ms()])?;
    if taken == 0 { Err(StoreError::LoginUnknown.into()) } else { Ok(()) }
}
