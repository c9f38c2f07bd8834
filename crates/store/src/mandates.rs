//! Standing rules where the money moves: what they say to an order as it comes, and the sums that their caps are about.
//!
//! All under the household's lock: an order is judged by sums that nobody else changes before its hold is counted in them. A
//! hold counts, what is voided is given back, a refund is not.

use std::collections::BTreeSet;

use nodpay_core::{
    Amount, Answer, Asked, Day, Digest, Every, HouseholdId, Judgement, Mandate, MandateId, Minor, Period, Timestamp,
    WatchId, Why, judge,
};
use serde::{Deserialize, Serialize};

use crate::db::{Cells, Db, many, params, run, run_one, sql_int};
use crate::households::Books;
use crate::tx::Tx;
use crate::{Judged, Message, OrderRow, StoreError};

/// The watch's clock is believed within so much of ours.
pub(crate) const MAX_CLOCK_ERROR_MS: i64 = 5 * 60 * 1000;
/// What a rule approves is paid within this.
pub(crate) const PAY_WITHIN_MS: i64 = 5 * 60 * 1000;
/// No period of an order that comes today began earlier: a month, and days of other time zones. What is read does not hang on
/// the rules, so that it can be asked ahead.
const RECENT_DAYS: i64 = 40;

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
        "SELECT r.entry, m.wire, m.digest, r.rule, r.watch, r.mandate FROM mandates r JOIN messages m ON m.id = r.entry
         WHERE r.household = ?1 AND r.watch = ?2 ORDER BY r.seq",
        params![household.as_bytes(), watch.as_bytes()],
        rule,
    )
}

/// All rules of a household's with their log entries, in their order.
pub(crate) fn of_household(db: Db<'_>, household: HouseholdId) -> Result<Vec<(Digest, Mandate)>, StoreError> {
    let rules = many(
        db,
        "mandates",
        household,
        "SELECT r.entry, m.wire, m.digest, r.rule, r.watch, r.mandate FROM mandates r JOIN messages m ON m.id = r.entry
         WHERE r.household = ?1 ORDER BY r.seq",
        params![household.as_bytes()],
        rule,
    )?;
    Ok(rules.into_iter().map(|rule| (rule.message.digest, rule.mandate)).collect())
}

fn rule(cells: &Cells<'_>) -> Result<Rule, StoreError> {
    let (key, message, mandate): (i64, Message, Mandate) = (cells.int()?, cells.message()?, cells.json()?);
    if (mandate.watch, mandate.mandate) != (cells.id()?, cells.id()?) {
        return Err(cells.wrong("it is filed under another watch or mandate than it says"));
    }
    Ok(Rule { key, message, mandate })
}

// Orders

/// What the rules say to an order that is being placed, and the rule that says it; nothing where neither its watch has rules
/// nor the household caps.
pub(crate) fn judge_order(
    tx: &Tx<'_>,
    books: &Books,
    asked: &Asked,
    now: Timestamp,
) -> Result<(Option<Judged>, Option<Rule>), StoreError> {
    let (household, house) = (books.household, books.house_rules);
    let mut rules = of_watch(tx.db, household, asked.watch)?;
    rules.retain(|rule| rule.mandate.is_for(asked));
    if rules.is_empty() && house.caps.is_none() {
        return Ok((None, None));
    }
    // A clock that is wrong neither opens a rule's hours nor another day's sums.
    let is_right = asked.at.ms_since(now).abs() <= MAX_CLOCK_ERROR_MS;
    let at = if is_right { asked.at } else { now };
    let periods = |rule: &Rule| Every::ALL.map(|every| rule.mandate.period(every, at));
    let counts: BTreeSet<Period> = rules.iter().flat_map(periods).collect();
    let in_house = house.caps.map(|caps| Every::ALL.map(|every| caps.period(every, at)));
    let in_house: BTreeSet<Period> = in_house.into_iter().flatten().collect();
    let (of_watch, of_house) = recent_sums(tx.db, household, asked.watch, now)?;
    begin(tx, household, asked.watch.as_bytes(), &counts, &of_watch)?;
    begin(tx, household, household.as_bytes(), &in_house, &of_house)?;
    let asked = Asked { at, ..asked.clone() };
    let said =
        judge(rules.iter().map(|rule| (&rule.mandate, rule.message.digest)), &asked, |period| spent(&of_watch, period));
    let said = said.map(|said| house.bound(said, &asked, |period| spent(&of_house, period)));
    let answer =
        said.map_or(Answer::Ask(Why::Clock), |said| if is_right { said.answer } else { Answer::Ask(Why::Clock) });
    let entry = said.map(|said| said.entry);
    let index = rules.iter().position(|rule| Some(rule.message.digest) == entry).unwrap_or(0);
    let rule = (!rules.is_empty()).then(|| rules.swap_remove(index));
    let said = rule.as_ref().map(|rule| Judgement { entry: rule.message.digest, answer });
    let judged = Judged { said, counts: counts.into_iter().collect(), house: in_house.into_iter().collect() };
    Ok((Some(judged), rule))
}

fn spent(sums: &[(Period, Minor)], period: Period) -> Minor {
    sums.iter().find(|(known, _)| *known == period).map_or(Minor::ZERO, |(_, spent)| *spent)
}

/// What [`judge_order`] reads.
pub(crate) fn ask(db: Db<'_>, household: HouseholdId, watch: WatchId, now: Timestamp) -> Result<(), StoreError> {
    of_watch(db, household, watch)?;
    recent_sums(db, household, watch, now)?;
    Ok(())
}

type Sums = Vec<(Period, Minor)>;

/// Begins the sums of a watch, or (under the household's own id) of all of them, where nothing was counted yet.
fn begin(
    tx: &Tx<'_>,
    household: HouseholdId,
    whose: &[u8],
    periods: &BTreeSet<Period>,
    sums: &Sums,
) -> Result<(), StoreError> {
    for period in periods.iter().filter(|period| !sums.iter().any(|(known, _)| known == *period)) {
        run_one(
            tx.db,
            "mandate_sums",
            household,
            "INSERT INTO mandate_sums (household, watch, first, period, spent) VALUES (?1, ?2, ?3, ?4, 0)",
            params![household.as_bytes(), whose, period.first.number(), period.every.as_str()],
        )?;
    }
    Ok(())
}

/// What was spent in all periods that today can be in: by a watch, and by all of them.
fn recent_sums(db: Db<'_>, household: HouseholdId, watch: WatchId, now: Timestamp) -> Result<(Sums, Sums), StoreError> {
    let found = many(
        db,
        "mandate_sums",
        household,
        "SELECT watch, period, first, spent FROM mandate_sums WHERE household = ?1 AND watch IN (?2, ?1) AND first >= ?3",
        params![household.as_bytes(), watch.as_bytes(), Day::of(now).number() - RECENT_DAYS],
        |cells| sum(cells, household),
    )?;
    let (of_watch, of_house): (Vec<_>, Vec<_>) = found.into_iter().partition(|(watch, ..)| watch.is_some());
    let plain = |sums: Vec<(_, Period, Minor)>| sums.into_iter().map(|(_, period, spent)| (period, spent)).collect();
    Ok((plain(of_watch), plain(of_house)))
}

/// Every sum of a household's: of a watch, or of all of them together.
pub(crate) fn all_sums(
    db: Db<'_>,
    household: HouseholdId,
) -> Result<Vec<(Option<WatchId>, Period, Minor)>, StoreError> {
    many(
        db,
        "mandate_sums",
        household,
        "SELECT watch, period, first, spent FROM mandate_sums WHERE household = ?1",
        params![household.as_bytes()],
        |cells| sum(cells, household),
    )
}

fn sum(cells: &Cells<'_>, household: HouseholdId) -> Result<(Option<WatchId>, Period, Minor), StoreError> {
    let (whose, every, first) = (cells.id::<WatchId>()?, cells.string()?, cells.int()?);
    let period = period(&every, first).ok_or_else(|| cells.wrong(format!("{every} {first}")))?;
    Ok(((whose.as_bytes() != household.as_bytes()).then_some(whose), period, cells.minor()?))
}

/// An order's money is held: it counts. Under `rule`, where that approved it, else by a guardian's nod.
pub(crate) fn count(tx: &Tx<'_>, books: &Books, row: &OrderRow, rule: Option<&Rule>) -> Result<(), StoreError> {
    let Some(judged) = &row.judged else { return Ok(()) };
    for period in &judged.counts {
        let cap = rule.and_then(|rule| rule.mandate.cap(period.every));
        raise(tx, row, row.watch.as_bytes(), *period, cap)?;
    }
    for period in &judged.house {
        let cap = rule.and(books.house_rules.caps).and_then(|caps| caps.cap(period.every));
        raise(tx, row, row.household.as_bytes(), *period, cap)?;
    }
    Ok(())
}

/// `cap` is the one that this was approved under.
fn raise(tx: &Tx<'_>, row: &OrderRow, whose: &[u8], period: Period, cap: Option<Amount>) -> Result<(), StoreError> {
    run_one(
        tx.db,
        "mandate_sums",
        row.watch,
        "UPDATE mandate_sums SET spent = spent + ?5, cap = ?6
         WHERE household = ?1 AND watch = ?2 AND first = ?3 AND period = ?4",
        params![
            row.household.as_bytes(),
            whose,
            period.first.number(),
            period.every.as_str(),
            row.total.minor(),
            cap.map(Amount::minor),
        ],
    )
}

/// An order's hold was voided.
pub(crate) fn give_back(tx: &Tx<'_>, row: &OrderRow) -> Result<(), StoreError> {
    let Some(judged) = &row.judged else { return Ok(()) };
    let of_watch = judged.counts.iter().map(|period| (row.watch.as_bytes(), period));
    let of_house = judged.house.iter().map(|period| (row.household.as_bytes(), period));
    for (whose, period) in of_watch.chain(of_house) {
        run_one(
            tx.db,
            "mandate_sums",
            row.watch,
            "UPDATE mandate_sums SET spent = spent - ?5 WHERE household = ?1 AND watch = ?2 AND first = ?3 AND period = ?4",
            params![row.household.as_bytes(), whose, period.first.number(), period.every.as_str(), row.total.minor(),],
        )?;
    }
    Ok(())
}

// Rows

/// As it lies in an order's row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgedRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    counts: Vec<(String, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    house: Vec<(String, i64)>,
}

impl From<&Judged> for JudgedRow {
    fn from(judged: &Judged) -> Self {
        let named = |periods: &[Period]| {
            periods.iter().map(|period| (period.every.as_str().to_owned(), period.first.number())).collect()
        };
        Self {
            entry: judged.said.map(|said| said.entry),
            answer: judged.answer(),
            counts: named(&judged.counts),
            house: named(&judged.house),
        }
    }
}

impl TryFrom<JudgedRow> for Judged {
    type Error = String;

    fn try_from(row: JudgedRow) -> Result<Self, String> {
        let named =
            |(every, first): (String, i64)| period(&every, first).ok_or(format!("it counts in {every} {first}"));
        let said = match (row.entry, row.answer) {
            (Some(entry), Some(answer)) => Some(Judgement { entry, answer }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("half a judgement".to_owned()),
        };
        let counts = row.counts.into_iter().map(named).collect::<Result<_, _>>()?;
        let house = row.house.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(Self { said, counts, house })
    }
}

fn period(every: &str, first: i64) -> Option<Period> {
    Some(Period { every: Every::from_text(every)?, first: Day::from_number(first)? })
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}
