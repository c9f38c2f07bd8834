//! Households: the log, guardians, watches and wearers, and the row that holds wallet and event counter.

use nodpay_core::{
    CredentialId, Currency, Digest, EnrolledWatch, Entry, FailReason, GuardianId, HouseRules, HouseholdId, NewWatchCap,
    PersonName, PinCommand, PublicKey, RecoveryKeys, Timestamp, TransferId, Unfreeze, Wallet, WatchId, WatchSession,
    WearerId,
};

use crate::db::{Cells, Db, insert_message, many, one, params, run, run_one, sql_int};
use crate::events::{To, tell};
use crate::tx::{Fault, Tx};
use crate::{
    AppendLog, Balance, Freeze, GuardianRow, GuardianStanding, HouseholdEvent, HouseholdRow, InvitationKind,
    MAX_HOUSEHOLDS_PAGE, Message, NewHousehold, Rulebook, StoreError, WatchRow, access, away, joins, mandates, orders,
};

/// A household's row while a transaction works on it. Load it once, save it last.
pub(crate) struct Books {
    pub(crate) household: HouseholdId,
    pub(crate) currency: Currency,
    pub(crate) head: Digest,
    pub(crate) next_seq: u64,
    pub(crate) wallet: Wallet,
    pub(crate) last_event: u64,
    /// Stopped, or to be erased: nothing of it is paid.
    pub(crate) frozen: bool,
    /// By the operator.
    frozen_by_operator: bool,
    /// By a guardian.
    freeze: Option<Freeze>,
    /// The transfer that closed it.
    pub(crate) close_out: Option<TransferId>,
    /// Of deciding.
    pub(crate) house_rules: HouseRules,
    /// From when it may be erased.
    pub(crate) erase_from: Option<Timestamp>,
    /// When it was.
    pub(crate) erased: Option<Timestamp>,
}

/// Completed by a lock.
macro_rules! select_books {
    ($lock:literal) => {
        concat!(
            "SELECT currency, head, next_seq, posted, held, last_event, frozen, close_out, frozen_by, frozen_at,
                    house_rules, erase_from, erased
             FROM households WHERE household = ?1",
            $lock
        )
    };
}

impl Books {
    pub(crate) fn find(db: Db<'_>, household: HouseholdId) -> Result<Option<Self>, StoreError> {
        Self::find_ever(db, household)?.map(Self::not_erased).transpose()
    }

    /// An erased one too.
    pub(crate) fn find_ever(db: Db<'_>, household: HouseholdId) -> Result<Option<Self>, StoreError> {
        let sql = select_books!("");
        one(db, "households", household, sql, params![household.as_bytes()], |cells| Self::build(household, cells))
    }

    /// For a transaction that writes rows of the household: before it reads any of them, for this is their lock.
    pub(crate) fn lock(db: Db<'_>, household: HouseholdId) -> Result<Option<Self>, StoreError> {
        Self::lock_ever(db, household)?.map(Self::not_erased).transpose()
    }

    /// An erased one too: its payments on rails outside can still be taken back.
    pub(crate) fn lock_ever(db: Db<'_>, household: HouseholdId) -> Result<Option<Self>, StoreError> {
        let sql = select_books!(" FOR UPDATE");
        one(db, "households", household, sql, params![household.as_bytes()], |cells| Self::build(household, cells))
    }

    fn not_erased(self) -> Result<Self, StoreError> {
        if self.erased.is_some() { Err(StoreError::HouseholdErased) } else { Ok(self) }
    }

    pub(crate) fn load(db: Db<'_>, household: HouseholdId) -> Result<Self, StoreError> {
        Self::lock(db, household)?.ok_or(StoreError::HouseholdUnknown)
    }

    fn build(household: HouseholdId, cells: &Cells<'_>) -> Result<Self, StoreError> {
        let (currency, head, next_seq) = (cells.currency()?, cells.id()?, cells.number()?);
        let (posted, held) = (cells.minor()?, cells.minor()?);
        let wallet =
            Wallet::from_stored(posted, held).ok_or_else(|| cells.wrong("held is not between zero and posted"))?;
        let (last_event, frozen_by_operator, close_out) = (cells.number()?, cells.flag()?, cells.opt_id()?);
        let freeze = match (cells.opt_id()?, cells.opt_time()?) {
            (Some(by), Some(at)) => Some(Freeze { by, at }),
            (None, None) => None,
            _ => return Err(cells.wrong("half a freeze")),
        };
        let house_rules = cells.opt_json()?.unwrap_or_default();
        let (erase_from, erased) = (cells.opt_time()?, cells.opt_time()?);
        let frozen = frozen_by_operator || freeze.is_some() || erase_from.is_some();
        Ok(Self {
            household,
            currency,
            head,
            next_seq,
            wallet,
            last_event,
            frozen,
            frozen_by_operator,
            freeze,
            close_out,
            house_rules,
            erase_from,
            erased,
        })
    }

    pub(crate) fn save(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.told.balance(self.household, Balance { wallet: self.wallet, currency: self.currency });
        run_one(
            tx.db,
            "households",
            self.household,
            "UPDATE households SET head = ?2, next_seq = ?3, posted = ?4, held = ?5, last_event = ?6
             WHERE household = ?1",
            params![
                self.household.as_bytes(),
                self.head.as_bytes(),
                sql_int(self.next_seq)?,
                self.wallet.posted().get(),
                self.wallet.held().get(),
                sql_int(self.last_event)?,
            ],
        )
    }
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewHousehold, now: Timestamp) -> Result<(), Fault> {
    let household = new.entry.household;
    Books::find(tx.db, household)?;
    if let Some(founding) = entry_digest(tx.db, household, 0)? {
        return if founding == new.message.digest { Ok(()) } else { Err(StoreError::HouseholdExists.into()) };
    }
    let Entry::Found(guardian) = &new.entry.entry else {
        return Err(StoreError::HouseholdUnknown.into());
    };
    match access::invitation(tx.db, new.invitation, now)? {
        InvitationKind::Guardian => {}
        InvitationKind::Till(_) => return Err(StoreError::InvitationUnknown.into()),
    }
    if guardian_by_credential(tx.db, &guardian.credential)?.is_some() {
        return Err(StoreError::CredentialExists.into());
    }
    access::use_invitation(tx, new.invitation, now)?;
    run_one(
        tx.db,
        "households",
        household,
        "INSERT INTO households (household, currency, head, next_seq, posted, held, last_event)
         VALUES (?1, ?2, ?3, 1, 0, 0, 0)",
        params![household.as_bytes(), new.currency.code(), new.message.digest.as_bytes()],
    )?;
    run_one(
        tx.db,
        "guardians",
        guardian.guardian,
        "INSERT INTO guardians (household, guardian, credential, counter, name, salt) VALUES (?1, ?2, ?3, 0, ?4, ?5)",
        params![
            household.as_bytes(),
            guardian.guardian.as_bytes(),
            guardian.credential.as_bytes(),
            new.name.as_ref().map(|known| known.name.as_str()),
            new.name.as_ref().map(|known| known.salt.as_bytes()),
        ],
    )?;
    insert_entry(tx.db, household, 0, &new.message, now)?;
    let mut books = Books::load(tx.db, household)?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Log(0), now)?;
    books.save(tx)?;
    Ok(())
}

pub(crate) fn append_log(tx: &mut Tx<'_>, append: &AppendLog, now: Timestamp) -> Result<(), Fault> {
    let entry = &append.entry;
    let mut books = Books::load(tx.db, entry.household)?;
    if entry_digest(tx.db, entry.household, entry.seq)? == Some(append.message.digest) {
        return Ok(());
    }
    if entry.seq != books.next_seq || entry.prev != Some(books.head) {
        return Err(StoreError::LogMoved { head: books.head }.into());
    }
    if !matches!(entry.entry, Entry::Recover(_)) {
        let signer = bump_guardian(tx.db, entry.household, entry.guardian, append.counter, now)?;
        if now < signer.counts_from {
            return Err(StoreError::GuardianNotCounting.into());
        }
    }
    for standing in &append.change.guardians {
        take_standing(tx.db, entry.household, standing)?;
    }
    let mut removed = None;
    let change = append.change.seconded.as_ref().unwrap_or(&entry.entry);
    match change {
        // The founding entry has number 0, which is never the next one.
        Entry::Found(_) => return Err(StoreError::LogMoved { head: books.head }.into()),
        Entry::EnrolWatch(enrolled) => enrol(tx, append, enrolled, now)?,
        Entry::RemoveWatch(watch) => {
            remove(tx.db, entry.household, *watch)?;
            removed = Some(*watch);
        }
        Entry::PinCommand(PinCommand { watch, .. }) | Entry::SetSession(WatchSession { watch, .. }) => {
            enrolled(tx.db, entry.household, *watch)?;
        }
        Entry::AddGuardian(new) => joins::admit(tx.db, entry.household, new.guardian.guardian)?,
        Entry::EnrolRecovery(keys) => enrol_recovery(tx.db, entry.household, keys, now)?,
        Entry::Recover(new) => {
            let Some(key) = append.change.recovery else { return Err(StoreError::GuardianUnknown.into()) };
            use_recovery(tx.db, entry.household, &key)?;
            if let Some(name) = &append.change.newcomer {
                set_name(tx.db, entry.household, new.guardian, name)?;
            }
        }
        Entry::Unfreeze(Unfreeze { frozen_at }) => unfreeze(tx.db, &books, *frozen_at)?,
        Entry::SetMandate(mandate) => enrolled(tx.db, entry.household, mandate.watch)?,
        Entry::EndMandate(mandate) => mandates::end(tx.db, entry.household, *mandate)?,
        Entry::SetHouseRules(rules) => set_house_rules(tx.db, &books, rules)?,
        Entry::RemoveGuardian(_)
        | Entry::Object(_)
        | Entry::Propose(_)
        | Entry::Second(_)
        | Entry::Withdraw(_)
        | Entry::Erase(_) => {}
    }
    if append.change.erase_from != books.erase_from {
        set_erase_from(tx.db, entry.household, append.change.erase_from)?;
    }
    let message = insert_entry(tx.db, entry.household, entry.seq, &append.message, now)?;
    if let Entry::SetMandate(mandate) = change {
        mandates::set(tx, &books, entry.seq, message, mandate)?;
    }
    books.head = append.message.digest;
    books.next_seq += 1;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Log(entry.seq), now)?;
    tell(tx, &mut books, To::AllWatches, HouseholdEvent::Log(entry.seq), now)?;
    if let Some(watch) = removed {
        orders::end_open_of_watch(tx, &mut books, watch, FailReason::WatchRemoved, now)?;
    }
    books.save(tx)?;
    Ok(())
}

fn enrol(tx: &mut Tx<'_>, append: &AppendLog, enrolled: &EnrolledWatch, now: Timestamp) -> Result<(), Fault> {
    let household = append.entry.household;
    if watch(tx.db, enrolled.watch)?.is_some() {
        return Err(StoreError::WatchExists.into());
    }
    if let Some(pairing) = append.pairing {
        access::finish_pairing(tx.db, household, pairing, enrolled.watch, &enrolled.key, now)?;
    }
    match (wearer(tx.db, household, enrolled.wearer)?, &append.wearer) {
        (None, None) => return Err(StoreError::WearerNameMissing.into()),
        (Some(_), None) => {}
        (Some(known), Some(said)) if known == *said => {}
        (Some(_), Some(_)) => return Err(StoreError::WearerConflict.into()),
        (None, Some(said)) => {
            run_one(
                tx.db,
                "wearers",
                enrolled.wearer,
                "INSERT INTO wearers (household, wearer, name, salt) VALUES (?1, ?2, ?3, ?4)",
                params![household.as_bytes(), enrolled.wearer.as_bytes(), said.name.as_str(), said.salt.as_bytes()],
            )?;
        }
    }
    let cap = &enrolled.new_watch_cap;
    run_one(
        tx.db,
        "watches",
        enrolled.watch,
        "INSERT INTO watches
         (watch, household, key, wearer, wearer_name, cap_until, cap_minor, cap_currency, removed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
        params![
            enrolled.watch.as_bytes(),
            household.as_bytes(),
            enrolled.key.as_bytes(),
            enrolled.wearer.as_bytes(),
            enrolled.wearer_name.as_bytes(),
            cap.until.unix_ms(),
            cap.per_payment.minor(),
            cap.per_payment.currency().code(),
        ],
    )?;
    Ok(())
}

/// Follows the log: a guardian's times, and their row where there is none.
fn take_standing(db: Db<'_>, household: HouseholdId, standing: &GuardianStanding) -> Result<(), StoreError> {
    let GuardianStanding { guardian, credential, joins, counts_from, leaves } = standing;
    if seat(db, household, *guardian)?.is_some() {
        return run_one(
            db,
            "guardians",
            guardian,
            "UPDATE guardians SET joins = ?3, counts_from = ?4, leaves = ?5 WHERE household = ?1 AND guardian = ?2",
            params![
                household.as_bytes(),
                guardian.as_bytes(),
                joins.unix_ms(),
                counts_from.unix_ms(),
                leaves.map(Timestamp::unix_ms),
            ],
        );
    }
    if guardian_by_credential(db, credential)?.is_some() {
        return Err(StoreError::CredentialExists);
    }
    run_one(
        db,
        "guardians",
        guardian,
        "INSERT INTO guardians (household, guardian, credential, counter, joins, counts_from, leaves)
         VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)",
        params![
            household.as_bytes(),
            guardian.as_bytes(),
            credential.as_bytes(),
            joins.unix_ms(),
            counts_from.unix_ms(),
            leaves.map(Timestamp::unix_ms),
        ],
    )
}

pub(crate) fn set_name(
    db: Db<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    name: &PersonName,
) -> Result<(), StoreError> {
    run_one(
        db,
        "guardians",
        guardian,
        "UPDATE guardians SET name = ?3, salt = ?4 WHERE household = ?1 AND guardian = ?2",
        params![household.as_bytes(), guardian.as_bytes(), name.name.as_str(), name.salt.as_bytes()],
    )
}

fn enrol_recovery(db: Db<'_>, household: HouseholdId, keys: &RecoveryKeys, now: Timestamp) -> Result<(), StoreError> {
    run(db, "DELETE FROM recovery_keys WHERE household = ?1", params![household.as_bytes()])?;
    for key in &keys.keys {
        run_one(
            db,
            "recovery_keys",
            household,
            "INSERT INTO recovery_keys (household, key, at) VALUES (?1, ?2, ?3)",
            params![household.as_bytes(), key.as_bytes(), now.unix_ms()],
        )?;
    }
    Ok(())
}

fn use_recovery(db: Db<'_>, household: HouseholdId, key: &PublicKey) -> Result<(), StoreError> {
    let sql = "DELETE FROM recovery_keys WHERE household = ?1 AND key = ?2";
    run_one(db, "recovery_keys", household, sql, params![household.as_bytes(), key.as_bytes()])
}

/// Whose recovery key it is, where it can still be used. Who enrolled it first is believed: nobody else learns a public key
/// before that.
pub(crate) fn household_of_recovery_key(db: Db<'_>, key: &PublicKey) -> Result<Option<HouseholdId>, StoreError> {
    let sql = "SELECT household FROM recovery_keys WHERE key = ?1 ORDER BY at, household LIMIT 1";
    one(db, "recovery_keys", "(by key)", sql, params![key.as_bytes()], |cells| cells.id())
}

/// One tap of a guardian stops the payments. The first freeze stands until it is lifted.
pub(crate) fn freeze(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    now: Timestamp,
) -> Result<Freeze, Fault> {
    let mut books = Books::load(tx.db, household)?;
    seat(tx.db, household, guardian)?.filter(|seat| seat.acts(now)).ok_or(StoreError::GuardianUnknown)?;
    if let Some(before) = books.freeze {
        return Ok(before);
    }
    set_freeze(tx.db, household, Some(Freeze { by: guardian, at: now }))?;
    tell_freeze(tx, &mut books, now)?;
    books.save(tx)?;
    Ok(Freeze { by: guardian, at: now })
}

fn set_house_rules(db: Db<'_>, books: &Books, rules: &HouseRules) -> Result<(), StoreError> {
    if rules.amounts().any(|amount| amount.currency() != books.currency) {
        return Err(StoreError::CurrencyNotSupported);
    }
    let sql = "UPDATE households SET house_rules = ?2 WHERE household = ?1";
    run_one(db, "households", books.household, sql, params![books.household.as_bytes(), mandates::json(rules)?])
}

fn unfreeze(db: Db<'_>, books: &Books, frozen_at: Timestamp) -> Result<(), StoreError> {
    books.freeze.filter(|freeze| freeze.at == frozen_at).ok_or(StoreError::NotFrozen)?;
    set_freeze(db, books.household, None)
}

fn set_freeze(db: Db<'_>, household: HouseholdId, freeze: Option<Freeze>) -> Result<(), StoreError> {
    run_one(
        db,
        "households",
        household,
        "UPDATE households SET frozen_by = ?2, frozen_at = ?3 WHERE household = ?1",
        params![
            household.as_bytes(),
            freeze.as_ref().map(|freeze| freeze.by.as_bytes()),
            freeze.map(|freeze| freeze.at.unix_ms()),
        ],
    )
}

/// In place of the key of a watch whose household was erased: in the form of one, and nobody has the other half.
pub(crate) const fn enrolled_key_of_nobody() -> [u8; 65] {
    let mut key = [0; 65];
    key[0] = 4;
    key
}

fn set_erase_from(db: Db<'_>, household: HouseholdId, from: Option<Timestamp>) -> Result<(), StoreError> {
    let sql = "UPDATE households SET erase_from = ?2 WHERE household = ?1";
    run_one(db, "households", household, sql, params![household.as_bytes(), from.map(Timestamp::unix_ms)])
}

fn remove(db: Db<'_>, household: HouseholdId, gone: WatchId) -> Result<(), StoreError> {
    enrolled(db, household, gone)?;
    run_one(db, "watches", gone, "UPDATE watches SET removed = 1 WHERE watch = ?1", params![gone.as_bytes()])
}

/// The watch is one of the household's, and was not removed.
fn enrolled(db: Db<'_>, household: HouseholdId, id: WatchId) -> Result<(), StoreError> {
    let row = watch(db, id)?.filter(|row| row.household == household && !row.removed);
    row.map(|_| ()).ok_or(StoreError::WatchUnknown)
}

fn insert_entry(
    db: Db<'_>,
    household: HouseholdId,
    seq: u64,
    message: &Message,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let message = insert_message(db, household.as_bytes(), message)?;
    run_one(
        db,
        "log_entries",
        household,
        "INSERT INTO log_entries (household, seq, message, at) VALUES (?1, ?2, ?3, ?4)",
        params![household.as_bytes(), sql_int(seq)?, message, now.unix_ms()],
    )?;
    Ok(message)
}

fn entry_digest(db: Db<'_>, household: HouseholdId, seq: u64) -> Result<Option<Digest>, StoreError> {
    // A number beyond what SQL counts to is of no entry.
    let Ok(seq) = i64::try_from(seq) else { return Ok(None) };
    one(
        db,
        "log_entries",
        household,
        "SELECT m.digest FROM log_entries e JOIN messages m ON m.id = e.message WHERE e.household = ?1 AND e.seq = ?2",
        params![household.as_bytes(), seq],
        |cells| cells.id(),
    )
}

/// What the store knows of a guardian, whether they still are one or not.
pub(crate) struct Seat {
    /// The authenticator's signature counter as it was last seen.
    counter: u32,
    joins: Timestamp,
    pub(crate) counts_from: Timestamp,
    leaves: Option<Timestamp>,
}

impl Seat {
    /// Whether they may see and answer orders.
    pub(crate) fn acts(&self, now: Timestamp) -> bool {
        self.joins <= now && self.leaves.is_none_or(|leaves| now < leaves)
    }

    /// Whether they may sign entries, and are one of two.
    pub(crate) fn counts(&self, now: Timestamp) -> bool {
        self.acts(now) && self.counts_from <= now
    }
}

/// Takes the signature counter of somebody in who is a guardian now. The same number again means a copied passkey, except
/// 0: no counter.
pub(crate) fn bump_guardian(
    db: Db<'_>,
    household: HouseholdId,
    guardian: GuardianId,
    counter: u32,
    now: Timestamp,
) -> Result<Seat, StoreError> {
    let seat = seat(db, household, guardian)?.filter(|seat| seat.acts(now)).ok_or(StoreError::GuardianUnknown)?;
    if counter == 0 && seat.counter == 0 {
        return Ok(seat);
    }
    if counter <= seat.counter {
        return Err(StoreError::CounterReplayed);
    }
    run_one(
        db,
        "guardians",
        guardian,
        "UPDATE guardians SET counter = ?3 WHERE household = ?1 AND guardian = ?2",
        params![household.as_bytes(), guardian.as_bytes(), counter],
    )?;
    Ok(seat)
}

pub(crate) fn seat(db: Db<'_>, household: HouseholdId, guardian: GuardianId) -> Result<Option<Seat>, StoreError> {
    one(
        db,
        "guardians",
        guardian,
        "SELECT counter, joins, counts_from, leaves FROM guardians WHERE household = ?1 AND guardian = ?2",
        params![household.as_bytes(), guardian.as_bytes()],
        |cells| {
            let (counter, joins, counts_from) = (cells.number()?, cells.time()?, cells.time()?);
            Ok(Seat { counter, joins, counts_from, leaves: cells.opt_time()? })
        },
    )
}

pub(crate) fn bump_counter(
    tx: &mut Tx<'_>,
    credential: &CredentialId,
    counter: u32,
    now: Timestamp,
) -> Result<(), Fault> {
    let guardian = guardian_by_credential(tx.db, credential)?.ok_or(StoreError::GuardianUnknown)?;
    Books::load(tx.db, guardian.household)?;
    bump_guardian(tx.db, guardian.household, guardian.guardian, counter, now)?;
    Ok(())
}

pub(crate) fn log(db: Db<'_>, household: HouseholdId, from_seq: u64) -> Result<Vec<Message>, StoreError> {
    many(
        db,
        "log_entries",
        household,
        "SELECT m.wire, m.digest FROM log_entries e JOIN messages m ON m.id = e.message
         WHERE e.household = ?1 AND e.seq >= ?2 ORDER BY e.seq",
        params![household.as_bytes(), sql_int(from_seq)?],
        |cells| cells.message(),
    )
}

pub(crate) fn rulebook(db: Db<'_>, household: HouseholdId) -> Result<Rulebook, StoreError> {
    let books = Books::find(db, household)?.ok_or(StoreError::HouseholdUnknown)?;
    Ok(Rulebook {
        log: log(db, household, 0)?,
        mandates: mandates::of_household(db, household)?,
        house_rules: books.house_rules,
    })
}

pub(crate) fn household(db: Db<'_>, household: HouseholdId) -> Result<Option<HouseholdRow>, StoreError> {
    let Some(books) = Books::find(db, household)? else { return Ok(None) };
    let wearers = wearers(db, household)?;
    let guardians = many(
        db,
        "guardians",
        household,
        "SELECT guardian, name, salt FROM guardians WHERE household = ?1 AND name IS NOT NULL ORDER BY guardian",
        params![household.as_bytes()],
        |cells| Ok((cells.id()?, PersonName { name: cells.text()?, salt: cells.id()? })),
    )?;
    Ok(Some(HouseholdRow {
        household,
        currency: books.currency,
        head: books.head,
        next_seq: books.next_seq,
        wallet: books.wallet,
        wearers,
        guardians,
        last_event: books.last_event,
        frozen: books.frozen_by_operator,
        freeze: books.freeze,
        closed: books.close_out.is_some(),
        erase_from: books.erase_from,
        house_rules: books.house_rules,
        away: away::of(db, household)?,
    }))
}

/// Those that were not erased, by id, from the one after `after`.
pub(crate) fn ids(db: Db<'_>, after: Option<HouseholdId>, limit: u32) -> Result<Vec<HouseholdId>, StoreError> {
    let after: &[u8] = after.as_ref().map_or(&[], |after| after.as_bytes());
    let sql = "SELECT household FROM households WHERE household > ?1 AND erased IS NULL ORDER BY household LIMIT ?2";
    many(db, "households", "(list)", sql, params![after, limit.min(MAX_HOUSEHOLDS_PAGE)], |cells| cells.id())
}

/// Erased ones too.
pub(crate) fn ids_ever(db: Db<'_>, after: Option<HouseholdId>, limit: u32) -> Result<Vec<HouseholdId>, StoreError> {
    let after: &[u8] = after.as_ref().map_or(&[], |after| after.as_bytes());
    let sql = "SELECT household FROM households WHERE household > ?1 ORDER BY household LIMIT ?2";
    many(db, "households", "(list)", sql, params![after, limit], |cells| cells.id())
}

/// The one household from `from` to `to`; `None` where there is none, or more.
pub(crate) fn between(db: Db<'_>, from: HouseholdId, to: HouseholdId) -> Result<Option<HouseholdId>, StoreError> {
    let sql = "SELECT household FROM households WHERE household >= ?1 AND household <= ?2 ORDER BY household LIMIT 2";
    let found = many(db, "households", from, sql, params![from.as_bytes(), to.as_bytes()], |cells| cells.id())?;
    Ok(found.first().copied().filter(|_| found.len() == 1))
}

pub(crate) fn set_frozen(tx: &mut Tx<'_>, household: HouseholdId, frozen: bool, now: Timestamp) -> Result<(), Fault> {
    let mut books = Books::load(tx.db, household)?;
    let sql = "UPDATE households SET frozen = ?2 WHERE household = ?1 AND frozen <> ?2";
    if run(tx.db, sql, params![household.as_bytes(), i64::from(frozen)])? == 1 {
        tell_freeze(tx, &mut books, now)?;
        books.save(tx)?;
    }
    Ok(())
}

/// That payments are stopped, or go on, is told with the newest entry.
fn tell_freeze(tx: &mut Tx<'_>, books: &mut Books, now: Timestamp) -> Result<(), StoreError> {
    let newest = HouseholdEvent::Log(books.next_seq - 1);
    tell(tx, books, To::Guardians, newest, now)?;
    tell(tx, books, To::AllWatches, newest, now)
}

pub(crate) fn wearers(db: Db<'_>, household: HouseholdId) -> Result<Vec<(WearerId, PersonName)>, StoreError> {
    many(
        db,
        "wearers",
        household,
        "SELECT wearer, name, salt FROM wearers WHERE household = ?1 ORDER BY wearer",
        params![household.as_bytes()],
        |cells| Ok((cells.id()?, PersonName { name: cells.text()?, salt: cells.id()? })),
    )
}

pub(crate) fn wearer(db: Db<'_>, household: HouseholdId, wearer: WearerId) -> Result<Option<PersonName>, StoreError> {
    one(
        db,
        "wearers",
        wearer,
        "SELECT name, salt FROM wearers WHERE household = ?1 AND wearer = ?2",
        params![household.as_bytes(), wearer.as_bytes()],
        |cells| Ok(PersonName { name: cells.text()?, salt: cells.id()? }),
    )
}

pub(crate) fn watch(db: Db<'_>, watch: WatchId) -> Result<Option<WatchRow>, StoreError> {
    one(
        db,
        "watches",
        watch,
        "SELECT household, key, wearer, wearer_name, cap_until, cap_minor, cap_currency, removed
         FROM watches WHERE watch = ?1",
        params![watch.as_bytes()],
        |cells| {
            Ok(WatchRow {
                household: cells.id()?,
                enrolled: EnrolledWatch {
                    watch,
                    key: cells.id()?,
                    wearer: cells.id()?,
                    wearer_name: cells.id()?,
                    new_watch_cap: NewWatchCap { until: cells.time()?, per_payment: cells.amount()? },
                },
                removed: cells.flag()?,
            })
        },
    )
}

/// The household's watches that were not removed, except one.
pub(crate) fn other_watches(db: Db<'_>, household: HouseholdId, except: WatchId) -> Result<Vec<WatchId>, StoreError> {
    many(
        db,
        "watches",
        household,
        "SELECT watch FROM watches WHERE household = ?1 AND removed = 0 AND watch <> ?2",
        params![household.as_bytes(), except.as_bytes()],
        |cells| cells.id(),
    )
}

pub(crate) fn guardian_by_credential(db: Db<'_>, credential: &CredentialId) -> Result<Option<GuardianRow>, StoreError> {
    one(
        db,
        "guardians",
        credential,
        "SELECT household, guardian, counter FROM guardians WHERE credential = ?1",
        params![credential.as_bytes()],
        |cells| {
            Ok(GuardianRow {
                household: cells.id()?,
                guardian: cells.id()?,
                credential: credential.clone(),
                counter: cells.number()?,
            })
        },
    )
}
