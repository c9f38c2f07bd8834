//! What a household has decided about deciding: above which amount two guardians must nod, how much its standing rules may
//! approve together, and how long newcomers are kept short.
//!
//! One entry of the household log holds all of it and replaces the one before as a whole. Tightening takes one guardian,
//! loosening two where two count. Pure: times and sums come from the caller.

use serde::{Deserialize, Serialize};

use crate::mandate::is_over;
use crate::{
    Amount, Answer, Asked, Currency, Day, Every, GUARDIAN_COOLING_OFF_MS, Judgement, Minor, NEW_WATCH_COOLING_OFF_MS,
    NewWatchCap, Period, Timestamp, Why,
};

/// The longest that a household may keep newcomers short: 30 days.
pub const MAX_COOLING_OFF_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// The longest that a guardian may say to be away: 60 days.
pub const MAX_AWAY_MS: i64 = 60 * 24 * 60 * 60 * 1000;
/// What one payment of a newcomer may come to unless the household says less: 200 whole units of its own currency.
const NEWCOMER_MAJOR: i64 = 200;
/// Civil time is between UTC−12 and UTC+14.
const UTC_MINUTES: std::ops::RangeInclusive<i16> = -12 * 60..=14 * 60;
const MINUTE_MS: i64 = 60_000;

/// All rules of one household; by default there are none but those for newcomers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HouseRules {
    /// An order above this needs the approvals of two guardians who count, and no standing rule approves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_nods_above: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caps: Option<HouseCaps>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newcomers: Option<Newcomers>,
}

/// How much standing rules may approve in a period, over everything that all watches of the household pay in it. At least one of
/// the three is there. A guardian's nod may go beyond, and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HouseCaps {
    /// Days begin at midnight of UTC plus so many minutes, the whole year.
    pub utc_minutes: i16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<Amount>,
    /// From Monday on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_week: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_month: Option<Amount>,
}

/// For those who come after the entry, and by default for everybody who comes. Never looser than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newcomers {
    /// How long a new watch has a lower cap: [`NEW_WATCH_COOLING_OFF_MS`] to [`MAX_COOLING_OFF_MS`].
    pub watch_ms: i64,
    /// The highest cap of one payment that a new watch may have, and the most that a guardian approves who does not count yet:
    /// at most [`newcomer_most`], which holds where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_payment: Option<Amount>,
    /// How long a new guardian does not count: [`GUARDIAN_COOLING_OFF_MS`] to [`MAX_COOLING_OFF_MS`].
    pub guardian_ms: i64,
}

impl Default for Newcomers {
    fn default() -> Self {
        Self { watch_ms: NEW_WATCH_COOLING_OFF_MS, per_payment: None, guardian_ms: GUARDIAN_COOLING_OFF_MS }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HouseRulesError {
    #[error("their amounts are not above zero and of one currency")]
    Amounts,
    #[error("their day begins at no civil midnight")]
    Day,
    #[error("caps that cap nothing")]
    Nothing,
    #[error("newcomers are kept short for 1 to 30 days")]
    Newcomers,
    #[error("newcomers pay at most {NEWCOMER_MAJOR} at once")]
    NewcomerAmount,
    #[error("two nods need a second guardian who counts")]
    NoSecondGuardian,
}

impl HouseRules {
    /// Their form.
    pub fn check(&self) -> Result<(), HouseRulesError> {
        let caps = self.caps.map_or([None; 3], |caps| [caps.per_day, caps.per_week, caps.per_month]);
        let newcomer = self.newcomers.and_then(|newcomers| newcomers.per_payment);
        let mut amounts = caps.into_iter().chain([self.two_nods_above, newcomer]).flatten();
        let currency = amounts.clone().next().map(Amount::currency);
        if amounts.any(|amount| amount.minor() <= 0 || Some(amount.currency()) != currency) {
            return Err(HouseRulesError::Amounts);
        }
        if self.caps.is_some_and(|caps| !UTC_MINUTES.contains(&caps.utc_minutes)) {
            return Err(HouseRulesError::Day);
        }
        if self.caps.is_some() && caps.into_iter().flatten().next().is_none() {
            return Err(HouseRulesError::Nothing);
        }
        let Newcomers { watch_ms, guardian_ms, .. } = self.newcomers.unwrap_or_default();
        let sound = (NEW_WATCH_COOLING_OFF_MS..=MAX_COOLING_OFF_MS).contains(&watch_ms)
            && (GUARDIAN_COOLING_OFF_MS..=MAX_COOLING_OFF_MS).contains(&guardian_ms);
        if !sound {
            return Err(HouseRulesError::Newcomers);
        }
        let high = newcomer.is_some_and(|amount| is_over(amount, newcomer_most(amount.currency())));
        if high { Err(HouseRulesError::NewcomerAmount) } else { Ok(()) }
    }

    /// All amounts that they name.
    pub fn amounts(&self) -> impl Iterator<Item = Amount> {
        let caps = self.caps.map_or([None; 3], |caps| [caps.per_day, caps.per_week, caps.per_month]);
        let newcomer = self.newcomers.and_then(|newcomers| newcomers.per_payment);
        caps.into_iter().chain([self.two_nods_above, newcomer]).flatten()
    }

    /// Whether more can happen than before, in any of their fields.
    #[must_use]
    pub fn is_looser_than(&self, before: &Self) -> bool {
        let (now, then) = (self.newcomers.unwrap_or_default(), before.newcomers.unwrap_or_default());
        is_raised(self.two_nods_above, before.two_nods_above)
            || before.caps.is_some_and(|then| self.caps.is_none_or(|now| now.is_looser_than(&then)))
            || now.watch_ms < then.watch_ms
            || now.guardian_ms < then.guardian_ms
            || is_raised(now.per_payment, then.per_payment)
    }

    /// Whether two nods are needed where one was enough before.
    pub(crate) fn asks_two_more_often_than(&self, before: &Self) -> bool {
        is_raised(before.two_nods_above, self.two_nods_above)
    }

    #[must_use]
    pub fn wants_two_nods(&self, total: Amount) -> bool {
        self.two_nods_above.is_some_and(|above| is_over(total, above))
    }

    /// What becomes of an answer of the standing rules: they approve neither what two guardians must nod to nor more than the
    /// household's caps. `spent` is what all watches have paid or are about to pay in a period, without this order.
    pub fn bound(&self, said: Judgement, asked: &Asked, spent: impl Fn(Period) -> Minor) -> Judgement {
        let why = match said.answer {
            Answer::Approve if self.wants_two_nods(asked.total) => Some(Why::TwoNods),
            Answer::Approve => self.caps.and_then(|caps| caps.over(asked, spent)),
            Answer::Refuse(_) | Answer::Ask(_) => None,
        };
        Judgement { answer: why.map_or(said.answer, Answer::Ask), ..said }
    }

    /// Whether a watch that is enrolled at `at` with this cap is kept short for long enough.
    #[must_use]
    pub fn allows_new_watch(&self, cap: &NewWatchCap, at: Timestamp) -> bool {
        let long = cap.until.ms_since(at) >= self.newcomers.unwrap_or_default().watch_ms;
        long && !self.is_too_much_for_newcomers(cap.per_payment)
    }

    /// Whether a watch or a guardian who is new may not pay or approve so much.
    #[must_use]
    pub fn is_too_much_for_newcomers(&self, total: Amount) -> bool {
        let most = self.newcomers.and_then(|newcomers| newcomers.per_payment);
        is_over(total, most.unwrap_or_else(|| newcomer_most(total.currency())))
    }

    #[must_use]
    pub fn guardian_cooling_off_ms(&self) -> i64 {
        self.newcomers.unwrap_or_default().guardian_ms
    }
}

impl HouseCaps {
    #[must_use]
    pub const fn cap(&self, every: Every) -> Option<Amount> {
        match every {
            Every::Day => self.per_day,
            Every::Week => self.per_week,
            Every::Month => self.per_month,
        }
    }

    /// The household's day, week or month that `at` is in.
    #[must_use]
    pub fn period(&self, every: Every, at: Timestamp) -> Period {
        Period { every, first: Day::of(at.plus_ms(i64::from(self.utc_minutes) * MINUTE_MS)).first_of(every) }
    }

    /// The cap that the order would go over.
    fn over(&self, asked: &Asked, spent: impl Fn(Period) -> Minor) -> Option<Why> {
        let whys = [(Every::Day, Why::HouseDay), (Every::Week, Why::HouseWeek), (Every::Month, Why::HouseMonth)];
        whys.into_iter().find_map(|(every, why)| {
            let cap = self.cap(every)?;
            let all = spent(self.period(every, asked.at)).plus(asked.total.units());
            let fits = all.is_ok_and(|all| !is_over(Amount::new(all, asked.total.currency()), cap));
            (!fits).then_some(why)
        })
    }

    /// Another midnight may open a day anew.
    fn is_looser_than(&self, before: &Self) -> bool {
        self.utc_minutes != before.utc_minutes
            || Every::ALL.into_iter().any(|every| is_raised(self.cap(every), before.cap(every)))
    }
}

/// What one payment of a newcomer may come to in a currency, unless the household says less.
#[must_use]
pub fn newcomer_most(currency: Currency) -> Amount {
    let minor = 10_i64.checked_pow(currency.exponent()).and_then(|unit| unit.checked_mul(NEWCOMER_MAJOR));
    let minor = minor.and_then(|minor| Minor::new(minor).ok());
    Amount::new(minor.unwrap_or(Minor::MAX), currency)
}

/// Of a bound: higher than before, or gone.
fn is_raised(now: Option<Amount>, before: Option<Amount>) -> bool {
    match (now, before) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(now), Some(then)) => is_over(now, then),
    }
}

/// Who is asked about an order, of guardians who act, each with whether they are away: those who are there, unless fewer of them are
/// there than must nod; then everybody.
#[must_use]
pub fn to_ask<T: Copy>(guardians: &[(T, bool)], two_nods: bool) -> Vec<T> {
    let there: Vec<T> = guardians.iter().filter(|(_, away)| !away).map(|(guardian, _)| *guardian).collect();
    if there.len() > usize::from(two_nods) { there } else { guardians.iter().map(|(guardian, _)| *guardian).collect() }
}

#[cfg(test)]
mod tests;
