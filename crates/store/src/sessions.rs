//! Sessions: who is signed in, with which device, until when. A session keeps its id; its token changes while it is used. Tokens
//! are known by their hash only.

use nodpay_core::{GuardianId, HouseholdId, SessionId, Timestamp};

use crate::db::{Cells, Db, many, one, params, run, run_one};
use crate::tx::{Fault, Tx};
use crate::{
    EndSessions, MAX_SESSIONS, NewSession, NewToken, SessionOf, SessionRow, Shown, StoreError, TokenHash, Topic,
    households, merchants, push,
};

/// Completed by a condition.
macro_rules! select_session {
    ($rest:literal) => {
        concat!(
            "SELECT session, token, earlier, earlier_until, kind, household, guardian, merchant, device, created, seen, \
             rotated, expires FROM sessions ",
            $rest
        )
    };
}

/// `by_earlier`: it was found by the token before the present one.
fn build(cells: &Cells<'_>, by_earlier: bool) -> Result<SessionRow, StoreError> {
    let (session, token, earlier, until) = (cells.id()?, token(cells)?, opt_token(cells)?, cells.opt_time()?);
    let kind = cells.string()?;
    let of = match (kind.as_str(), cells.opt_id()?, cells.opt_id()?, cells.opt_id()?) {
        ("guardian", Some(household), Some(guardian), None) => SessionOf::Guardian { household, guardian },
        ("till", None, None, Some(merchant)) => SessionOf::Till { merchant },
        _ => return Err(cells.wrong("kind and owner do not fit")),
    };
    let shown = match earlier {
        Some(token) if by_earlier => Shown::Earlier { token, until },
        Some(_) => Shown::Present { token, first: until.is_none() },
        None => Shown::Present { token, first: false },
    };
    Ok(SessionRow {
        session,
        of,
        device: cells.text()?,
        created: cells.time()?,
        seen: cells.time()?,
        rotated: cells.time()?,
        expires: cells.time()?,
        shown,
    })
}

fn token(cells: &Cells<'_>) -> Result<TokenHash, StoreError> {
    let bytes = cells.bytes()?;
    bytes.try_into().map(TokenHash).map_err(|_| cells.wrong("no token"))
}

fn opt_token(cells: &Cells<'_>) -> Result<Option<TokenHash>, StoreError> {
    let digest: Option<nodpay_core::Digest> = cells.opt_id()?;
    Ok(digest.map(|digest| TokenHash(*digest.as_bytes())))
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewSession, now: Timestamp) -> Result<(), Fault> {
    run(tx.db, "DELETE FROM sessions WHERE expires <= ?1", params![now.unix_ms()])?;
    if let Some(before) = find(tx.db, new.token)? {
        let same = (before.session, before.of, before.expires) == (new.session, new.of, new.expires);
        return if same { Ok(()) } else { Err(StoreError::TokenExists.into()) };
    }
    let (kind, household, guardian, merchant) = match new.of {
        SessionOf::Guardian { household, guardian } => {
            let seat = households::seat(tx.db, household, guardian)?;
            seat.filter(|seat| seat.acts(now)).ok_or(StoreError::GuardianUnknown)?;
            for old in of_guardian(tx.db, household, guardian, now)?.into_iter().skip(MAX_SESSIONS - 1) {
                run(tx.db, "DELETE FROM sessions WHERE session = ?1", params![old.session.as_bytes()])?;
            }
            tx.told.touch(Topic::Household(household));
            ("guardian", Some(*household.as_bytes()), Some(*guardian.as_bytes()), None)
        }
        SessionOf::Till { merchant } => {
            merchants::merchant(tx.db, merchant)?.ok_or(StoreError::MerchantUnknown)?;
            ("till", None, None, Some(*merchant.as_bytes()))
        }
    };
    run_one(
        tx.db,
        "sessions",
        "(hidden)",
        "INSERT INTO sessions
             (session, token, rotated, kind, household, guardian, merchant, device, created, seen, expires, ends)
         VALUES (?1, ?2, ?8, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10)",
        params![
            new.session.as_bytes(),
            new.token.0,
            kind,
            household,
            guardian,
            merchant,
            new.device.as_str(),
            now.unix_ms(),
            new.expires.min(new.ends).unix_ms(),
            new.ends.unix_ms(),
        ],
    )?;
    Ok(())
}

fn find(db: Db<'_>, token: TokenHash) -> Result<Option<SessionRow>, StoreError> {
    let sql = select_session!("WHERE token = ?1");
    if let Some(row) = one(db, "sessions", "(hidden)", sql, params![token.0], |cells| build(cells, false))? {
        return Ok(Some(row));
    }
    let sql = select_session!("WHERE earlier = ?1");
    one(db, "sessions", "(hidden)", sql, params![token.0], |cells| build(cells, true))
}

/// A guardian's sessions end with their time.
fn alive(db: Db<'_>, found: Option<SessionRow>, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
    let found = found.filter(|row| now < row.expires);
    if let Some(SessionRow { of: SessionOf::Guardian { household, guardian }, .. }) = found
        && !households::seat(db, household, guardian)?.is_some_and(|seat| seat.acts(now))
    {
        return Ok(None);
    }
    Ok(found)
}

pub(crate) fn by_token(db: Db<'_>, token: TokenHash, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
    alive(db, find(db, token)?, now)
}

pub(crate) fn by_id(db: Db<'_>, session: SessionId, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
    let sql = select_session!("WHERE session = ?1");
    let found = one(db, "sessions", session, sql, params![session.as_bytes()], |cells| build(cells, false))?;
    alive(db, found, now)
}

pub(crate) fn of_guardian(
    db: Db<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    now: Timestamp,
) -> Result<Vec<SessionRow>, StoreError> {
    let sql = select_session!("WHERE household = ?1 AND guardian = ?2 AND expires > ?3 ORDER BY seen DESC, session");
    let keys = params![household.as_bytes(), guardian.as_bytes(), now.unix_ms()];
    many(db, "sessions", guardian, sql, keys, |cells| build(cells, false))
}

pub(crate) fn rotate(tx: &mut Tx<'_>, row: &SessionRow, to: &NewToken, now: Timestamp) -> Result<bool, Fault> {
    let (Shown::Present { token, .. } | Shown::Earlier { token, .. }) = row.shown;
    let changed = run(
        tx.db,
        "UPDATE sessions SET token = ?2, earlier = ?3, earlier_until = NULL, rotated = ?4, seen = ?4,
             expires = CASE WHEN ?5 < ends THEN ?5 ELSE ends END
         WHERE session = ?1 AND rotated = ?6 AND (token = ?3 OR (earlier = ?3 AND earlier_until IS NULL))",
        params![
            row.session.as_bytes(),
            to.token.0,
            token.0,
            now.unix_ms(),
            to.expires.unix_ms(),
            row.rotated.unix_ms(),
        ],
    )?;
    Ok(changed == 1)
}

pub(crate) fn confirm(tx: &mut Tx<'_>, row: &SessionRow, until: Timestamp) -> Result<(), Fault> {
    let Shown::Present { token, first: true } = row.shown else { return Ok(()) };
    let sql = "UPDATE sessions SET earlier_until = ?3 WHERE session = ?1 AND token = ?2 AND earlier_until IS NULL";
    run(tx.db, sql, params![row.session.as_bytes(), token.0, until.unix_ms()])?;
    Ok(())
}

pub(crate) fn end(tx: &mut Tx<'_>, session: SessionId) -> Result<(), Fault> {
    let sql = "SELECT household FROM sessions WHERE session = ?1 AND household IS NOT NULL";
    let household = one(tx.db, "sessions", session, sql, params![session.as_bytes()], |cells| cells.id())?;
    household.into_iter().for_each(|household| tx.told.touch(Topic::Household(household)));
    run(tx.db, "DELETE FROM sessions WHERE session = ?1", params![session.as_bytes()])?;
    push::end_session(tx, session)?;
    Ok(())
}

pub(crate) fn end_of_guardian(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    which: EndSessions,
) -> Result<(), Fault> {
    let (sql, session) = match which {
        EndSessions::One(session) => {
            ("DELETE FROM sessions WHERE household = ?1 AND guardian = ?2 AND session = ?3", session)
        }
        EndSessions::AllBut(session) => {
            ("DELETE FROM sessions WHERE household = ?1 AND guardian = ?2 AND session <> ?3", session)
        }
    };
    let ended = run(tx.db, sql, params![household.as_bytes(), guardian.as_bytes(), session.as_bytes()])?;
    if ended == 0 && matches!(which, EndSessions::One(_)) {
        return Err(StoreError::SessionUnknown.into());
    }
    match which {
        EndSessions::One(session) => push::end_session(tx, session)?,
        EndSessions::AllBut(session) => push::end_other_sessions(tx, household, guardian, session)?,
    }
    tx.told.touch(Topic::Household(household));
    Ok(())
}
