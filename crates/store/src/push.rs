//! Guardians' phones that want to be woken, and what is queued for them: help beside the household's events, which stay the record.
//!
//! None of it is part of a payment. Whoever committed an event queues it afterwards, only where a phone wants to hear of it, and
//! holds no household's lock: each statement here stands for itself. A queued message is sent by whoever claims it; a claim is
//! good for [`LEASE_MS`], so that what a dead replica claimed is sent by another.

use nodpay_core::{Digest, GuardianId, HouseholdId, PublicKey, SessionId, Timestamp};

use crate::db::{Cells, Db, many, one, params, run, sql_int};
use crate::tx::{Fault, Tx};
use crate::{Audience, EventRow, HouseholdEvent, StoreError, Topic, events, households};

/// Phones of one guardian; one more ends the subscription that was used longest ago.
pub const MAX_SUBSCRIPTIONS: usize = 8;
/// Messages that one call claims.
pub(crate) const MAX_PUSH_WORK: u32 = 32;
/// Whoever claimed a message sends for at most this long.
pub const LEASE_MS: i64 = 30_000;
/// Sent messages are remembered for this long; nobody queues an older event.
const KEPT_MS: i64 = 60 * 60 * 1000;

/// How much a notification shows on a phone that may lie on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushDetail {
    /// That something waits; no names, no shop, no amount.
    Plain,
    /// Who asks, the shop and the total.
    Total,
    /// The items too.
    Items,
}

impl PushDetail {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Total => "total",
            Self::Items => "items",
        }
    }
}

/// The language that notifications are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushLanguage {
    En,
    Zh,
}

impl PushLanguage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// The secret a browser shares with those who may write to it. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PushAuth(pub [u8; 16]);

impl std::fmt::Debug for PushAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushAuth(hidden)")
    }
}

/// Where a phone is reached. Its endpoint is a secret of its own: whoever knows it can knock.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    pub household: HouseholdId,
    pub guardian: GuardianId,
    /// SHA-256 of the endpoint.
    pub id: Digest,
    pub endpoint: String,
    pub key: PublicKey,
    pub auth: PushAuth,
    pub language: PushLanguage,
    pub detail: PushDetail,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({}, {}, secrets hidden)", self.household, self.id)
    }
}

/// A phone subscribes, or says that it is still there.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// With what it shows where nothing was chosen yet.
    pub subscription: Subscription,
    pub session: SessionId,
    /// Whether `subscription.detail` is a choice; else an earlier one stays.
    pub chosen: bool,
}

/// Something just committed that a guardian may want to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    pub household: HouseholdId,
    pub row: EventRow,
}

/// An event to be queued for a household's phones.
#[derive(Clone, Debug)]
pub struct QueuePush {
    pub alert: Alert,
    /// Worth nothing after this.
    pub expires: Timestamp,
    /// Who is not woken: they did it themselves, or are away.
    pub except: Vec<GuardianId>,
}

/// A message that the caller claimed.
#[derive(Clone, Debug)]
pub struct PushWork {
    pub subscription: Subscription,
    pub row: EventRow,
    pub expires: Timestamp,
    /// This one included.
    pub tries: u32,
}

/// Which events may wake somebody.
pub(crate) const fn may_wake(event: HouseholdEvent) -> bool {
    match event {
        HouseholdEvent::Order(_)
        | HouseholdEvent::Decision(_)
        | HouseholdEvent::Outcome(_)
        | HouseholdEvent::Log(_)
        | HouseholdEvent::Pin(_) => true,
        HouseholdEvent::Pairing(_)
        | HouseholdEvent::Requote(_)
        | HouseholdEvent::Result(_)
        | HouseholdEvent::Refund(_)
        | HouseholdEvent::Balance => false,
    }
}

/// What newer news of takes an event's place.
fn about(event: &HouseholdEvent) -> Option<&[u8]> {
    match event {
        HouseholdEvent::Order(order)
        | HouseholdEvent::Requote(order)
        | HouseholdEvent::Decision(order)
        | HouseholdEvent::Outcome(order)
        | HouseholdEvent::Result(order)
        | HouseholdEvent::Refund(order) => Some(order.as_bytes()),
        HouseholdEvent::Pin(watch) => Some(watch.as_bytes()),
        HouseholdEvent::Log(_) | HouseholdEvent::Pairing(_) | HouseholdEvent::Balance => None,
    }
}

// The operator's key

pub(crate) fn key(db: Db<'_>) -> Result<Option<PublicKey>, StoreError> {
    one(db, "push_keys", 1, "SELECT key FROM push_keys WHERE number = 1", params![], |cells| cells.id())
}

/// The first key stays.
pub(crate) fn keep_key(tx: &mut Tx<'_>, new: &PublicKey) -> Result<PublicKey, Fault> {
    let sql = "INSERT INTO push_keys (number, key) VALUES (1, ?1) ON CONFLICT DO NOTHING";
    run(tx.db, sql, params![new.as_bytes()])?;
    Ok(key(tx.db)?.unwrap_or(*new))
}

/// Another key: what was subscribed with the one before is worth nothing any more.
pub(crate) fn renew_key(tx: &mut Tx<'_>, new: &PublicKey) -> Result<(), Fault> {
    run(tx.db, "DELETE FROM push_subscriptions WHERE household >= ?1", params![[0_u8; 0].as_slice()])?;
    run(tx.db, "DELETE FROM push_keys WHERE number = 1", params![])?;
    keep_key(tx, new)?;
    tx.told.touch(Topic::Everything);
    Ok(())
}

// Subscriptions

pub(crate) fn subscribe(tx: &mut Tx<'_>, new: &NewSubscription, now: Timestamp) -> Result<PushDetail, Fault> {
    let wanted = &new.subscription;
    let (household, guardian, id) = (wanted.household, wanted.guardian, wanted.id);
    let seat = households::seat(tx.db, household, guardian)?;
    seat.filter(|seat| seat.acts(now)).ok_or(StoreError::GuardianUnknown)?;
    // A browser has one subscription, whoever is logged in there.
    let sql = "SELECT household FROM push_subscriptions WHERE subscription = ?1 AND household <> ?2";
    let elsewhere = params![id.as_bytes(), household.as_bytes()];
    if let Some(other) = one(tx.db, "push_subscriptions", id, sql, elsewhere, |cells| cells.id())? {
        forget(tx, other, id)?;
    }
    let before = find(tx.db, household, id)?.filter(|before| before.guardian == guardian);
    let detail = match before {
        Some(before) if !new.chosen => before.detail,
        _ => wanted.detail,
    };
    let values = params![
        household.as_bytes(),
        id.as_bytes(),
        guardian.as_bytes(),
        new.session.as_bytes(),
        wanted.endpoint.as_str(),
        wanted.key.as_bytes(),
        wanted.auth.0,
        wanted.language.as_str(),
        detail.as_str(),
        now.unix_ms(),
    ];
    let changed = run(
        tx.db,
        "UPDATE push_subscriptions SET guardian = ?3, session = ?4, endpoint = ?5, key = ?6, auth = ?7, language = ?8,
             detail = ?9, at = ?10
         WHERE household = ?1 AND subscription = ?2",
        values,
    )?;
    if changed == 0 {
        run(
            tx.db,
            "INSERT INTO push_subscriptions
                 (household, subscription, guardian, session, endpoint, key, auth, language, detail, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            values,
        )?;
    }
    let mut own: Vec<(Timestamp, Digest)> = many(
        tx.db,
        "push_subscriptions",
        household,
        "SELECT at, subscription FROM push_subscriptions WHERE household = ?1 AND guardian = ?2",
        params![household.as_bytes(), guardian.as_bytes()],
        |cells| Ok((cells.time()?, cells.id()?)),
    )?;
    own.sort_by_key(|(at, other)| (*other != id, std::cmp::Reverse(*at)));
    for (_, oldest) in own.into_iter().skip(MAX_SUBSCRIPTIONS) {
        forget(tx, household, oldest)?;
    }
    tx.told.subscribers(household);
    Ok(detail)
}

/// It is gone, with what was queued for it.
pub(crate) fn forget(tx: &mut Tx<'_>, household: HouseholdId, id: Digest) -> Result<(), StoreError> {
    let sql = "DELETE FROM push_subscriptions WHERE household = ?1 AND subscription = ?2";
    run(tx.db, sql, params![household.as_bytes(), id.as_bytes()])?;
    tx.told.subscribers(household);
    Ok(())
}

pub(crate) fn unsubscribe(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    id: Digest,
) -> Result<(), Fault> {
    if find(tx.db, household, id)?.is_some_and(|found| found.guardian == guardian) {
        forget(tx, household, id)?;
    }
    Ok(())
}

/// A session was ended by somebody: its phone is not woken any more.
pub(crate) fn end_session(tx: &mut Tx<'_>, session: SessionId) -> Result<(), StoreError> {
    let own: Vec<(HouseholdId, Digest)> = many(
        tx.db,
        "push_subscriptions",
        session,
        "SELECT household, subscription FROM push_subscriptions WHERE session = ?1",
        params![session.as_bytes()],
        |cells| Ok((cells.id()?, cells.id()?)),
    )?;
    own.into_iter().try_for_each(|(household, id)| forget(tx, household, id))
}

/// A guardian ended all their sessions but this one.
pub(crate) fn end_other_sessions(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    session: SessionId,
) -> Result<(), StoreError> {
    let others: Vec<Digest> = many(
        tx.db,
        "push_subscriptions",
        guardian,
        "SELECT subscription FROM push_subscriptions WHERE household = ?1 AND guardian = ?2 AND session <> ?3",
        params![household.as_bytes(), guardian.as_bytes(), session.as_bytes()],
        |cells| cells.id(),
    )?;
    others.into_iter().try_for_each(|id| forget(tx, household, id))
}

/// Whether anybody of the household wants to be woken.
pub(crate) fn any(db: Db<'_>, household: HouseholdId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM push_subscriptions WHERE household = ?1 LIMIT 1";
    Ok(one(db, "push_subscriptions", household, sql, params![household.as_bytes()], |cells| cells.int())?.is_some())
}

macro_rules! select_subscription {
    ($rest:literal) => {
        concat!(
            "SELECT s.household, s.guardian, s.subscription, s.endpoint, s.key, s.auth, s.language, s.detail
             FROM push_subscriptions s ",
            $rest
        )
    };
}

fn build(cells: &Cells<'_>) -> Result<Subscription, StoreError> {
    let (household, guardian, id) = (cells.id()?, cells.id()?, cells.id()?);
    let (endpoint, key, auth) = (cells.string()?, cells.id()?, cells.bytes()?);
    let auth = PushAuth(auth.try_into().map_err(|_| cells.wrong("auth is not 16 bytes"))?);
    let language = match cells.string()?.as_str() {
        "en" => PushLanguage::En,
        "zh" => PushLanguage::Zh,
        other => return Err(cells.wrong(format!("language {other}"))),
    };
    let detail = match cells.string()?.as_str() {
        "plain" => PushDetail::Plain,
        "total" => PushDetail::Total,
        "items" => PushDetail::Items,
        other => return Err(cells.wrong(format!("detail {other}"))),
    };
    Ok(Subscription { household, guardian, id, endpoint, key, auth, language, detail })
}

pub(crate) fn find(db: Db<'_>, household: HouseholdId, id: Digest) -> Result<Option<Subscription>, StoreError> {
    let sql = select_subscription!("WHERE s.household = ?1 AND s.subscription = ?2");
    one(db, "push_subscriptions", id, sql, params![household.as_bytes(), id.as_bytes()], build)
}

// Messages

/// Queues an event for every phone of the household whose guardian still is one, and claims it for the caller. What was queued
/// before is not queued again.
pub(crate) fn queue(tx: &mut Tx<'_>, new: &QueuePush, now: Timestamp) -> Result<Vec<PushWork>, Fault> {
    let Alert { household, row } = new.alert;
    let subscriptions: Vec<Subscription> = many(
        tx.db,
        "push_subscriptions",
        household,
        select_subscription!("WHERE s.household = ?1 ORDER BY s.subscription"),
        params![household.as_bytes()],
        build,
    )?;
    run(
        tx.db,
        "DELETE FROM push_messages WHERE household = ?1 AND next_at IS NULL AND at < ?2",
        params![household.as_bytes(), now.plus_ms(-KEPT_MS).unix_ms()],
    )?;
    let mut work = Vec::new();
    for subscription in subscriptions {
        let seat = households::seat(tx.db, household, subscription.guardian)?;
        if !seat.is_some_and(|seat| seat.acts(now)) {
            forget(tx, household, subscription.id)?;
            continue;
        }
        if new.except.contains(&subscription.guardian) {
            continue;
        }
        let seq = sql_int(row.seq)?;
        if let Some(about) = about(&row.event) {
            run(
                tx.db,
                "UPDATE push_messages SET next_at = NULL
                 WHERE household = ?1 AND subscription = ?2 AND about = ?3 AND seq < ?4 AND next_at IS NOT NULL",
                params![household.as_bytes(), subscription.id.as_bytes(), about, seq],
            )?;
        }
        let added = run(
            tx.db,
            "INSERT INTO push_messages (household, subscription, seq, about, tries, next_at, expires, at)
             VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                household.as_bytes(),
                subscription.id.as_bytes(),
                seq,
                about(&row.event),
                now.plus_ms(LEASE_MS).unix_ms(),
                new.expires.unix_ms(),
                now.unix_ms(),
            ],
        )?;
        if added == 1 {
            work.push(PushWork { subscription, row, expires: new.expires, tries: 1 });
        }
    }
    Ok(work)
}

/// What names a message.
pub(crate) type Key = (HouseholdId, Digest, u64);

pub(crate) fn due(db: Db<'_>, now: Timestamp) -> Result<Vec<Key>, StoreError> {
    many(
        db,
        "push_messages",
        "(due)",
        "SELECT household, subscription, seq FROM push_messages WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2",
        params![now.unix_ms(), MAX_PUSH_WORK],
        |cells| Ok((cells.id()?, cells.id()?, cells.number()?)),
    )
}

pub(crate) fn next_due(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(next_at) FROM push_messages WHERE next_at IS NOT NULL";
    Ok(one(db, "push_messages", "(due)", sql, params![], |cells| cells.opt_time())?.flatten())
}

/// Takes a due message, so that for [`LEASE_MS`] nobody else does; `None` when somebody has, or it is over.
pub(crate) fn claim(tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<Option<PushWork>, Fault> {
    let (household, id, seq) = key;
    let number = sql_int(seq)?;
    let claimed = run(
        tx.db,
        "UPDATE push_messages SET tries = tries + 1, next_at = ?4
         WHERE household = ?1 AND subscription = ?2 AND seq = ?3 AND next_at <= ?5",
        params![household.as_bytes(), id.as_bytes(), number, now.plus_ms(LEASE_MS).unix_ms(), now.unix_ms(),],
    )?;
    if claimed == 0 {
        return Ok(None);
    }
    let missing = |what: &str| StoreError::incident("push_messages", id, format!("event {seq}: {what} is not there"));
    let message = one(
        tx.db,
        "push_messages",
        id,
        "SELECT tries, expires FROM push_messages WHERE household = ?1 AND subscription = ?2 AND seq = ?3",
        params![household.as_bytes(), id.as_bytes(), number],
        |cells| Ok((cells.number()?, cells.time()?)),
    )?;
    let (tries, expires) = message.ok_or_else(|| missing("its message"))?;
    let subscription = find(tx.db, household, id)?.ok_or_else(|| missing("its subscription"))?;
    let seat = households::seat(tx.db, household, subscription.guardian)?;
    if !seat.is_some_and(|seat| seat.acts(now)) {
        forget(tx, household, id)?;
        return Ok(None);
    }
    let row = events::household_after(tx.db, household, Audience::Guardian, seq - 1, 1)?;
    let row = row.into_iter().next().filter(|row| row.seq == seq).ok_or_else(|| missing("it"))?;
    Ok(Some(PushWork { subscription, row, expires, tries }))
}

/// A claimed message is over, or due again at `next`.
pub(crate) fn answered(tx: &mut Tx<'_>, work: &PushWork, next: Option<Timestamp>) -> Result<(), Fault> {
    let Subscription { household, id, .. } = &work.subscription;
    run(
        tx.db,
        "UPDATE push_messages SET next_at = ?5
         WHERE household = ?1 AND subscription = ?2 AND seq = ?3 AND tries = ?4 AND next_at IS NOT NULL",
        params![household.as_bytes(), id.as_bytes(), sql_int(work.row.seq)?, work.tries, next.map(Timestamp::unix_ms),],
    )?;
    Ok(())
}
