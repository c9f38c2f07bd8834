//! Filling a wallet from a card. A guardian's signed wish is written down before anybody is asked for money; the card's rail is
//! then asked until it answers, always under one id, and what it says it has charged is in the wallet once.
//!
//! Leases and waits are those of [`crate::rails`]. What the card's holder disputes is written down, and no more is charged
//! meanwhile; the wallet keeps what it has, for it may be spent already.

use nodpay_core::{
    Amount, Decline, HouseholdId, Movement, Payer, RailAnswer, RailKind, RailReply, Timestamp, TransferId,
};

use crate::db::{Cells, Db, insert_message, many, one, params, run, run_one};
use crate::events::{To, tell};
use crate::households::{self, Books};
use crate::tx::{Fault, Tx};
use crate::{
    Asking, CardTopUpRow, CardTopUpState, CardTopUpWork, DisputeNews, DisputeState, HouseholdEvent, NewCardTopUp,
    StoreError, UnfinishedRow, ledger, rails,
};

/// The least that a card is charged at once, in minor units: below it, what the rail takes is out of proportion.
pub const MIN_CARD_TOP_UP: i64 = 500;
/// The most at once, in minor units.
pub const MAX_CARD_TOP_UP: i64 = 50_000;
/// The most in any 24 hours of a household, in minor units: what a stolen unlocked phone could charge.
pub const MAX_CARD_TOP_UP_DAY: i64 = 100_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A guardian who has not confirmed with their bank by then is not waited for any longer.
pub const CONFIRM_LIFE_MS: i64 = 60 * 60 * 1000;
/// What a guardian is shown at once.
const SHOWN: u32 = 20;

// The card

pub(crate) fn set_card(
    tx: &mut Tx<'_>,
    household: HouseholdId,
    card: Option<&Payer>,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut books = Books::load(tx.db, household)?;
    run(tx.db, "DELETE FROM top_up_cards WHERE household = ?1", params![household.as_bytes()])?;
    if let Some(card) = card {
        let sql = "INSERT INTO top_up_cards (household, payer) VALUES (?1, ?2)";
        run(tx.db, sql, params![household.as_bytes(), rails::payer_json(card)?])?;
    }
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Balance, now)?;
    Ok(books.save(tx)?)
}

pub(crate) fn card(db: Db<'_>, household: HouseholdId) -> Result<Option<Payer>, StoreError> {
    let sql = "SELECT payer FROM top_up_cards WHERE household = ?1";
    one(db, "top_up_cards", household, sql, params![household.as_bytes()], |cells| cells.json())
}

// Wishes

/// Completed by a condition.
macro_rules! select_top_up {
    ($rest:literal) => {
        concat!(
            "SELECT transfer, guardian, amount, currency, state, action_url, decline, at, dispute FROM card_top_ups ",
            $rest
        )
    };
}

fn build(cells: &Cells<'_>) -> Result<CardTopUpRow, StoreError> {
    let (transfer, guardian, amount) = (cells.id()?, cells.id()?, cells.amount()?);
    let (state, url, decline) = (cells.string()?, cells.opt_string()?, cells.opt_string()?);
    let state = match (state.as_str(), url, decline.as_deref().map(Decline::from_text)) {
        ("asked" | "pending", None, None) => CardTopUpState::Asking(Asking::Answer),
        ("unknown", None, None) => CardTopUpState::Asking(Asking::Unknown),
        ("action", Some(url), None) => CardTopUpState::Asking(Asking::Guardian(url)),
        ("done", None, None) => CardTopUpState::Done,
        ("declined", None, Some(Some(decline))) => CardTopUpState::Declined(decline),
        (state, ..) => return Err(cells.wrong(format!("it is {state}, but the rest says otherwise"))),
    };
    let (at, dispute) = (cells.time()?, cells.opt_string()?);
    let dispute =
        dispute.map(|text| DisputeState::from_text(&text).ok_or_else(|| cells.wrong(format!("dispute {text}"))));
    Ok(CardTopUpRow { transfer, guardian, amount, state, at, dispute: dispute.transpose()? })
}

fn find(db: Db<'_>, household: HouseholdId, transfer: TransferId) -> Result<Option<CardTopUpRow>, StoreError> {
    let sql = select_top_up!("WHERE household = ?1 AND transfer = ?2");
    one(db, "card_top_ups", transfer, sql, params![household.as_bytes(), transfer.as_bytes()], build)
}

/// The newest first.
pub(crate) fn list(db: Db<'_>, household: HouseholdId) -> Result<Vec<CardTopUpRow>, StoreError> {
    let sql = select_top_up!("WHERE household = ?1 ORDER BY at DESC, transfer LIMIT ?2");
    many(db, "card_top_ups", household, sql, params![household.as_bytes(), SHOWN], build)
}

/// All of them, for [`crate::check`].
pub(crate) fn all(db: Db<'_>, household: HouseholdId) -> Result<Vec<CardTopUpRow>, StoreError> {
    let sql = select_top_up!("WHERE household = ?1 ORDER BY transfer");
    many(db, "card_top_ups", household, sql, params![household.as_bytes()], build)
}

/// Whether the card's rail has still to answer for one.
pub(crate) fn any_open(db: Db<'_>, household: HouseholdId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM card_top_ups WHERE household = ?1 AND next_at IS NOT NULL LIMIT 1";
    Ok(one(db, "card_top_ups", household, sql, params![household.as_bytes()], |cells| cells.int())?.is_some())
}

/// Writes down that the card is to be charged.
pub(crate) fn ask(tx: &mut Tx<'_>, new: &NewCardTopUp, now: Timestamp) -> Result<CardTopUpRow, Fault> {
    let NewCardTopUp { household, guardian, transfer, amount, ref message, counter } = *new;
    let mut books = Books::load(tx.db, household)?;
    if let Some(row) = find(tx.db, household, transfer)? {
        let same = (row.amount, row.guardian) == (amount, guardian);
        return if same { Ok(row) } else { Err(StoreError::TransferExists.into()) };
    }
    households::bump_guardian(tx.db, household, guardian, counter, now)?;
    if books.close_out.is_some() {
        return Err(StoreError::HouseholdClosed.into());
    }
    if books.frozen {
        return Err(StoreError::HouseholdFrozen.into());
    }
    if amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    if !(MIN_CARD_TOP_UP..=MAX_CARD_TOP_UP).contains(&amount.minor()) {
        return Err(StoreError::TopUpAmount.into());
    }
    let card = rails::payer_json(&card(tx.db, household)?.ok_or(StoreError::CardMissing)?)?;
    if is_disputed(tx.db, household, &card)? {
        return Err(StoreError::CardDisputed.into());
    }
    if lately(tx.db, household, now)?.saturating_add(amount.minor()) > MAX_CARD_TOP_UP_DAY {
        return Err(StoreError::TopUpDay.into());
    }
    // That there is room for it.
    books.pay_in(amount.units())?;
    let message = insert_message(tx.db, household.as_bytes(), message)?;
    run_one(
        tx.db,
        "card_top_ups",
        transfer,
        "INSERT INTO card_top_ups
             (household, transfer, guardian, message, amount, currency, payer, state, tries, claimed, next_at, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'asked', 0, 0, ?8, ?8)",
        params![
            household.as_bytes(),
            transfer.as_bytes(),
            guardian.as_bytes(),
            message,
            amount.minor(),
            amount.currency().code(),
            card,
            now.unix_ms(),
        ],
    )?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Balance, now)?;
    books.save(tx)?;
    let state = CardTopUpState::Asking(Asking::Answer);
    Ok(CardTopUpRow { transfer, guardian, amount, state, at: now, dispute: None })
}

/// What was charged, or may be, in the last 24 hours.
fn lately(db: Db<'_>, household: HouseholdId, now: Timestamp) -> Result<i64, StoreError> {
    let sum = one(
        db,
        "card_top_ups",
        household,
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM card_top_ups
         WHERE household = ?1 AND at > ?2 AND state <> 'declined'",
        params![household.as_bytes(), now.plus_ms(-DAY_MS).unix_ms()],
        |cells| cells.int(),
    )?;
    Ok(sum.unwrap_or(0))
}

/// Whether a bank asks for one of this card's back, or has it.
fn is_disputed(db: Db<'_>, household: HouseholdId, card: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM card_top_ups
               WHERE household = ?1 AND payer = ?2 AND dispute IN ('open', 'taken', 'lost') LIMIT 1";
    Ok(one(db, "card_top_ups", household, sql, params![household.as_bytes(), card], |cells| cells.int())?.is_some())
}

// Asking the rail

pub(crate) fn due(db: Db<'_>, now: Timestamp, limit: u32) -> Result<Vec<(HouseholdId, TransferId)>, StoreError> {
    many(
        db,
        "card_top_ups",
        "(due)",
        "SELECT household, transfer FROM card_top_ups WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2",
        params![now.unix_ms(), limit],
        |cells| Ok((cells.id()?, cells.id()?)),
    )
}

/// Those that are not over, the oldest first.
pub(crate) fn unfinished(db: Db<'_>, limit: u32) -> Result<Vec<UnfinishedRow>, StoreError> {
    many(
        db,
        "card_top_ups",
        "(not over)",
        "SELECT household, transfer, amount, currency, state, tries, at, next_at FROM card_top_ups
         WHERE next_at IS NOT NULL ORDER BY at, transfer LIMIT ?1",
        params![limit],
        |cells| {
            Ok(UnfinishedRow {
                household: cells.id()?,
                rail: RailKind::Stripe,
                of: None,
                transfer: cells.id()?,
                amount: cells.amount()?,
                state: cells.string()?,
                tries: cells.number()?,
                asked: cells.time()?,
                next: cells.time()?,
            })
        },
    )
}

pub(crate) fn next_due(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(next_at) FROM card_top_ups WHERE next_at IS NOT NULL";
    Ok(one(db, "card_top_ups", "(due)", sql, params![], |cells| cells.opt_time())?.flatten())
}

/// One as it lies in its row, while it is worked on.
struct Open {
    amount: Amount,
    payer: Payer,
    known_as: Option<String>,
    state: String,
    tries: u32,
    next_at: Option<Timestamp>,
    at: Timestamp,
}

fn open(db: Db<'_>, household: HouseholdId, transfer: TransferId) -> Result<Option<Open>, StoreError> {
    one(
        db,
        "card_top_ups",
        transfer,
        "SELECT amount, currency, payer, known_as, state, tries, next_at, at FROM card_top_ups
         WHERE household = ?1 AND transfer = ?2",
        params![household.as_bytes(), transfer.as_bytes()],
        |cells| {
            Ok(Open {
                amount: cells.amount()?,
                payer: cells.json()?,
                known_as: cells.opt_string()?,
                state: cells.string()?,
                tries: cells.number()?,
                next_at: cells.opt_time()?,
                at: cells.time()?,
            })
        },
    )
}

/// Takes a due one, so that for [`rails::LEASE_MS`] nobody else does; `None` when somebody has, or it is over.
pub(crate) fn claim(
    tx: &mut Tx<'_>,
    (household, transfer): (HouseholdId, TransferId),
    now: Timestamp,
) -> Result<Option<CardTopUpWork>, Fault> {
    Books::load(tx.db, household)?;
    let Some(row) = open(tx.db, household, transfer)? else { return Ok(None) };
    if row.next_at.is_none_or(|next_at| next_at > now) {
        return Ok(None);
    }
    run_one(
        tx.db,
        "card_top_ups",
        transfer,
        "UPDATE card_top_ups SET tries = tries + 1, claimed = 1, next_at = ?3 WHERE household = ?1 AND transfer = ?2",
        params![household.as_bytes(), transfer.as_bytes(), now.plus_ms(rails::LEASE_MS).unix_ms()],
    )?;
    Ok(Some(CardTopUpWork {
        household,
        movement: Movement { transfer, amount: row.amount },
        payer: row.payer,
        known_as: row.known_as,
        asked_before: row.tries > 0,
        overdue: now.ms_since(row.at) > CONFIRM_LIFE_MS,
    }))
}

/// The rail said that there is news of one: it is due now. Whether there is one.
pub(crate) fn wake(tx: &mut Tx<'_>, transfer: TransferId, now: Timestamp) -> Result<bool, Fault> {
    let sql = "SELECT household FROM card_top_ups WHERE transfer = ?1";
    let of =
        one(tx.db, "card_top_ups", transfer, sql, params![transfer.as_bytes()], |cells| cells.id::<HouseholdId>())?;
    let Some(household) = of else { return Ok(false) };
    Books::lock_ever(tx.db, household)?;
    // One that is being asked for is not asked for twice: its answer comes.
    run(
        tx.db,
        "UPDATE card_top_ups SET next_at = ?3 WHERE household = ?1 AND transfer = ?2 AND next_at > ?3 AND claimed = 0",
        params![household.as_bytes(), transfer.as_bytes(), now.unix_ms()],
    )?;
    Ok(true)
}

/// Takes the rail's answer in: with a yes the money is in the wallet.
pub(crate) fn answered(tx: &mut Tx<'_>, work: &CardTopUpWork, reply: &RailReply, now: Timestamp) -> Result<(), Fault> {
    let (household, transfer) = (work.household, work.movement.transfer);
    let mut books = Books::load(tx.db, household)?;
    let row = open(tx.db, household, transfer)?;
    let row =
        row.ok_or_else(|| StoreError::incident("card_top_ups", transfer, "a rail answers what it was not asked"))?;
    if row.next_at.is_none() {
        return Ok(());
    }
    let next = rails::Next::after(&reply.answer, row.tries);
    let url = match &reply.answer {
        RailAnswer::ActionNeeded(url) => Some(url.as_str()),
        RailAnswer::Done | RailAnswer::Declined(_) | RailAnswer::Pending | RailAnswer::Unknown => None,
    };
    run_one(
        tx.db,
        "card_top_ups",
        transfer,
        "UPDATE card_top_ups SET state = ?3, decline = ?4, claimed = 0, next_at = ?5, action_url = ?6,
             known_as = coalesce(known_as, ?7)
         WHERE household = ?1 AND transfer = ?2",
        params![
            household.as_bytes(),
            transfer.as_bytes(),
            next.state,
            next.decline,
            next.wait_ms.map(|wait| now.plus_ms(wait).unix_ms()),
            url,
            reply.reference.clone(),
        ],
    )?;
    if reply.answer == RailAnswer::Done {
        ledger::charged(tx, &mut books, Movement { transfer, amount: row.amount }, now)?;
        ledger::tell_balance(tx, &mut books, now)?;
    } else if next.state != row.state {
        tell(tx, &mut books, To::Guardians, HouseholdEvent::Balance, now)?;
    }
    Ok(books.save(tx)?)
}

// Disputes

/// Takes in how a dispute of one stands. `None` where the charge is none of ours, or nothing of it is new.
pub(crate) fn disputed(tx: &mut Tx<'_>, news: &DisputeNews, now: Timestamp) -> Result<Option<DisputeState>, Fault> {
    let charged = one(
        tx.db,
        "card_top_ups",
        &news.payment,
        "SELECT household, transfer FROM card_top_ups WHERE known_as = ?1 LIMIT 1",
        params![news.payment.clone()],
        |cells| Ok((cells.id()?, cells.id()?)),
    )?;
    let Some((household, transfer)) = charged else { return Ok(None) };
    let mut books = Books::lock_ever(tx.db, household)?.ok_or(StoreError::HouseholdUnknown)?;
    let row = find(tx.db, household, transfer)?;
    let row = row.ok_or_else(|| StoreError::incident("card_top_ups", transfer, "it is not there any more"))?;
    let Some(state) = row.dispute.map_or(Some(news.state), |before| before.then(news.state)) else { return Ok(None) };
    run_one(
        tx.db,
        "card_top_ups",
        transfer,
        "UPDATE card_top_ups SET dispute = ?3 WHERE household = ?1 AND transfer = ?2",
        params![household.as_bytes(), transfer.as_bytes(), state.as_str()],
    )?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Balance, now)?;
    books.save(tx)?;
    Ok(Some(state))
}
