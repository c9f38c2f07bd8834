//! Standing rules where the money moves: what they say to an order as it comes, and the sums that their caps are about.
//!
//! All under the household's lock: an order is judged by sums that nobody else changes before its hold is counted in them. A
//! hold counts, what is voided is given back, a refund is not.

use std::collections::BTreeSet;

use nodpay_core::{
    Answer, Asked, Day, Digest, Every, HouseholdId, Judgement, Mandate, MandateId, Minor, Period, Timestamp, WatchId,
    Why, judge,
};
use serde::{Deserialize, Serialize};

use crate::db::{Db, many, params, run, run_one, sql_int};
use crate::households::Books;
use crate::tx::Tx;
use crate::{Judged, Message, OrderRow, StoreError};

/// The watch's clock is believed within so much of ours.
pub(crate) const MAX_CLOCK_ERROR_MS: i64 = 5 * 60 * 1000;
/// What a rule approves is paid within this.
pub(crate) const PAY_WITHIN_MS: i64 = 5 * 60 * 1000;

// In the log

/// The newest version from now on; `entry` is the key of its entry's message.
pub(crate) fn set(tx: &Tx<'_>, books: &Books, seq: u64, entry: i64, mandate: &Mandate) -> Result<(), StoreError> {
    let amounts = [mandate.approve, mandate.per_payment, mandate.per_day, mandate.per_week, mandate.per_month];
    if amounts.into_iter().flatten().any(|amount| amount.currency() != books.currency) {
        return Err(StoreError::CurrencyNotSupported);
    }
    end(tx.db, books.household, mandate.mandate)?;
    run_one(
        tx.db,
        "mandates",
        mandate.mandate,
        "INSERT INTO mandates (household, watch, mandate, seq, entry, rule) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            books.household.as_bytes(),
            mandate.watch.as_bytes(),
            mandate.mandate.as_bytes(),
            sql_int(seq)?,
            entry,
            json(mandate)?,
        ],
    )
}

pub(crate) fn end(db: Db<'_>, household: HouseholdId, mandate: MandateId) -> Result<(), StoreError> {
    let sql = "DELETE FROM mandates WHERE household = ?1 AND mandate = ?2";
    run(db, sql, params![household.as_bytes(), mandate.as_bytes()]).map(|_| ())
}

/// A rule and the key of its entry's message.
pub(crate) struct Rule {
    pub(crate) key: i64,
    pub(crate) message: Message,
    mandate: Mandate,
}

/// The rules of a watch, the oldest first. Their time may be over.
pub(crate) fn of_watch(db: Db<'_>, household: HouseholdId, watch: WatchId) -> Result<Vec<Rule>, StoreError> {
    many(
        db,
        "mandates",
        watch,
        "SELECT r.entry, m.wire, m.digest, r.rule FROM mandates r JOIN messages m ON m.id = r.entry
         WHERE r.household = ?1 AND r.watch = ?2 ORDER BY r.seq",
        params![household.as_bytes(), watch.as_bytes()],
        |cells| {
            let (key, message) = (cells.int()?, cells.message()?);
            Ok(Rule { key, message, mandate: cells.json()? })
        },
    )
}

/// The entries of all rules of a household's, in their order.
pub(crate) fn entries(db: Db<'_>, household: HouseholdId) -> Result<Vec<Digest>, StoreError> {
    many(
        db,
        "mandates",
        household,
        "SELECT m.digest FROM mandates r JOIN messages m ON m.id = r.entry WHERE r.household = ?1 ORDER BY r.seq",
        params![household.as_bytes()],
        |cells| cells.id(),
    )
}

// Orders

/// What the rules say to an order that is being placed, and the rule that says it.
pub(crate) fn judge_order(
    tx: &Tx<'_>,
    household: HouseholdId,
    asked: &Asked,
    now: Timestamp,
) -> Result<Option<(Judged, Rule)>, StoreError> {
    let mut rules = of_watch(tx.db, household, asked.watch)?;
    rules.retain(|rule| rule.mandate.is_for(asked));
    if rules.is_empty() {
        return Ok(None);
    }
    // A clock that is wrong neither opens a rule's hours nor another day's sums.
    let is_right = asked.at.ms_since(now).abs() <= MAX_CLOCK_ERROR_MS;
    let at = if is_right { asked.at } else { now };
    let periods = |rule: &Rule| Every::ALL.map(|every| rule.mandate.period(every, at));
    let counts: BTreeSet<Period> = rules.iter().flat_map(periods).collect();
    let sums = sums(tx.db, household, asked.watch, &counts)?;
    let spent =
        |period: Period| sums.iter().find(|(known, _)| *known == period).map_or(Minor::ZERO, |(_, spent)| *spent);
    for period in counts.iter().filter(|period| !sums.iter().any(|(known, _)| known == *period)) {
        begin(tx, household, asked.watch, *period)?;
    }
    let asked = Asked { at, ..asked.clone() };
    let said = judge(rules.iter().map(|rule| (&rule.mandate, rule.message.digest)), &asked, spent);
    let answer =
        said.map_or(Answer::Ask(Why::Clock), |said| if is_right { said.answer } else { Answer::Ask(Why::Clock) });
    let entry = said.map(|said| said.entry);
    let index = rules.iter().position(|rule| Some(rule.message.digest) == entry).unwrap_or(0);
    let rule = rules.swap_remove(index);
    let said = Judgement { entry: rule.message.digest, answer };
    Ok(Some((Judged { said, counts: counts.into_iter().collect() }, rule)))
}

/// What was spent in these periods, where it was counted at all.
fn sums(
    db: Db<'_>,
    household: HouseholdId,
    watch: WatchId,
    periods: &BTreeSet<Period>,
) -> Result<Vec<(Period, Minor)>, StoreError> {
    let first = periods.iter().map(|period| period.first.number()).min().unwrap_or(0);
    many(
        db,
        "mandate_sums",
        watch,
        "SELECT period, first, spent FROM mandate_sums WHERE household = ?1 AND watch = ?2 AND first >= ?3",
        params![household.as_bytes(), watch.as_bytes(), first],
        |cells| {
            let (every, first) = (cells.string()?, cells.int()?);
            let period = period(&every, first).ok_or_else(|| cells.wrong(format!("{every} {first}")))?;
            Ok((period, cells.minor()?))
        },
    )
}

/// Every sum of a household's.
pub(crate) fn all_sums(db: Db<'_>, household: HouseholdId) -> Result<Vec<(WatchId, Period, Minor)>, StoreError> {
    many(
        db,
        "mandate_sums",
        household,
        "SELECT watch, period, first, spent FROM mandate_sums WHERE household = ?1",
        params![household.as_bytes()],
        |cells| {
            let (watch, every, first) = (cells.id()?, cells.string()?, cells.int()?);
            let period = period(&every, first).ok_or_else(|| cells.wrong(format!("{every} {first}")))?;
            Ok((watch, period, cells.minor()?))
        },
    )
}

fn begin(tx: &Tx<'_>, household: HouseholdId, watch: WatchId, period: Period) -> Result<(), StoreError> {
    run_one(
        tx.db,
        "mandate_sums",
        watch,
        "INSERT INTO mandate_sums (household, watch, first, period, spent) VALUES (?1, ?2, ?3, ?4, 0)",
        params![household.as_bytes(), watch.as_bytes(), period.first.number(), period.every.as_str()],
    )
}

/// An order's money is held: it counts. Under `rule`, where that approved it, else by a guardian's nod.
pub(crate) fn count(tx: &Tx<'_>, row: &OrderRow, rule: Option<&Rule>) -> Result<(), StoreError> {
    let Some(judged) = &row.judged else { return Ok(()) };
    for period in &judged.counts {
        let cap = rule.map(|rule| &rule.mandate).and_then(|mandate| mandate.cap(period.every));
        run_one(
            tx.db,
            "mandate_sums",
            row.watch,
            "UPDATE mandate_sums SET spent = spent + ?5, cap = ?6
             WHERE household = ?1 AND watch = ?2 AND first = ?3 AND period = ?4",
            params![
                row.household.as_bytes(),
                row.watch.as_bytes(),
                period.first.number(),
                period.every.as_str(),
                row.total.minor(),
                cap.map(nodpay_core::Amount::minor),
            ],
        )?;
    }
    Ok(())
}

/// An order's hold was voided.
pub(crate) fn give_back(tx: &Tx<'_>, row: &OrderRow) -> Result<(), StoreError> {
    let Some(judged) = &row.judged else { return Ok(()) };
    for period in &judged.counts {
        run_one(
            tx.db,
            "mandate_sums",
            row.watch,
            "UPDATE mandate_sums SET spent = spent - ?5 WHERE household = ?1 AND watch = ?2 AND first = ?3 AND period = ?4",
            params![
                row.household.as_bytes(),
                row.watch.as_bytes(),
                period.first.number(),
                period.every.as_str(),
                row.total.minor(),
            ],
        )?;
    }
    Ok(())
}

// Rows

/// As it lies in an order's row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgedRow {
    entry: Digest,
    answer: Answer,
    counts: Vec<(String, i64)>,
}

impl From<&Judged> for JudgedRow {
    fn from(judged: &Judged) -> Self {
        let counts = judged.counts.iter().map(|period| (period.every.as_str().to_owned(), period.first.number()));
        Self { entry: judged.said.entry, answer: judged.said.answer, counts: counts.collect() }
    }
}

impl TryFrom<JudgedRow> for Judged {
    type Error = String;

    fn try_from(row: JudgedRow) -> Result<Self, String> {
        let named =
            |(every, first): (String, i64)| period(&every, first).ok_or(format!("it counts in {every} {first}"));
        let counts = row.counts.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(Self { said: Judgement { entry: row.entry, answer: row.answer }, counts })
    }
}

fn period(every: &str, first: i64) -> Option<Period> {
    Some(Period { every: Every::from_text(every)?, first: Day::from_number(first)? })
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}
