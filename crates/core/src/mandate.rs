//! Mandates: standing rules that a guardian signs for one watch, and what they say to an order.
//!
//! Whoever holds the log comes to the same answer: [`judge`] takes nothing but the rules in force, the facts of the order and
//! what was spent so far. The time that counts is the order's own `created`, which everybody holds signed. Times of day are the
//! rule's: it carries its offsets from UTC for the whole of its life, so nobody needs a table of time zones to judge it, and
//! nobody's table can change what was signed.
//!
//! A cap binds whatever a rule approves. A guardian's nod stands above all rules: it may go beyond any cap, and counts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::guardians;
use crate::{
    Amount, Bill, Country, Day, Digest, Every, GuardianId, MandateId, Mcc, MerchantCertificate, MerchantId, Minor,
    Order, Text, Timestamp, WatchId,
};

/// A rule lives for at most 90 days.
pub const MAX_MANDATE_LIFE_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// Rules of one watch that hold at a time.
const MAX_MANDATES: usize = 16;
/// Shops, categories or places that one rule names.
const MAX_NAMED: usize = 64;
const MAX_WINDOWS: usize = 7;
/// Clocks change at most twice in the life of a rule, anywhere; one more for a country that thinks again.
const MAX_OFFSETS: usize = 4;
const DAY_MINUTES: u16 = 24 * 60;
const WEEK_DAYS: u16 = 7;
/// Civil time is between UTC−12 and UTC+14.
const OFFSET_MINUTES: std::ops::RangeInclusive<i16> = -12 * 60..=14 * 60;
const MINUTE_MS: i64 = 60_000;

/// A standing rule for one watch. A change is a new version that replaces the one before as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    pub mandate: MandateId,
    /// 1 for the first, then one more each.
    pub version: u32,
    /// What the household calls it. It stays in the log.
    pub name: Text<30>,
    pub watch: WatchId,
    /// At most [`MAX_MANDATE_LIFE_MS`] after the entry.
    pub until: Timestamp,
    /// Up to this an order is approved without asking; absent: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Amount>,
    /// What becomes of an order that this rule does not allow.
    pub outside: Outside,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_payment: Option<Amount>,
    /// Of everything that the watch pays on one day, this order included; weeks begin on Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_week: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_month: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shops: Option<Choice<MerchantId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Choice<Mcc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Choice<Place>>,
    /// In years: an item for older people is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u8>,
    /// When it allows anything; empty is always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// Local time over the life of the rule, by rising `from`; the first one holds before its `from` too.
    pub offsets: Vec<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// A guardian is asked.
    Ask,
    /// It ends refused at once.
    Refuse,
}

/// Which of something a rule allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice<T> {
    Only(Vec<T>),
    Never(Vec<T>),
}

/// A town by its name in the merchant certificate, or a whole country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Text<30>>,
    pub country: Country,
}

/// The same hours on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Each once, at least one.
    pub days: Vec<Weekday>,
    /// Minutes after local midnight.
    pub from: u16,
    /// After `from`, at most 1440; not in the window itself.
    pub to: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    fn of(day: Day) -> Self {
        let index = usize::try_from(day.weekday()).unwrap_or(0);
        Self::ALL.get(index).copied().unwrap_or(Self::Mon)
    }
}

/// From `from` on local time is UTC plus so many minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offset {
    pub from: Timestamp,
    pub minutes: i16,
}

/// A version of a rule in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub mandate: Mandate,
    /// Digest of the entry that made it effective: what a payment names. Of a rule that was proposed, the entry that seconds it.
    pub entry: Digest,
    /// Number of that entry.
    pub seq: u64,
    /// Who signed that entry.
    pub guardian: GuardianId,
    /// Number of the entry that replaced or ended it.
    pub ended: Option<u64>,
}

impl Standing {
    /// As [`judge`] takes it.
    #[must_use]
    pub const fn rule(&self) -> (&Mandate, Digest) {
        (&self.mandate, self.entry)
    }

    /// Whether it held once entry `seq` was the newest. Time may have ended it: that is [`judge`]'s question.
    #[must_use]
    pub fn holds_at(&self, seq: u64) -> bool {
        self.seq <= seq && self.ended.is_none_or(|ended| seq < ended)
    }
}

/// What the rules are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub watch: WatchId,
    pub merchant: MerchantId,
    pub mcc: Mcc,
    pub city: Text<30>,
    pub country: Country,
    /// The highest age of its lines.
    pub age: Option<u8>,
    /// Made of a printed code: no merchant signed the amount.
    pub printed: bool,
    /// Lines of the bill were left out: a rule approves whole bills.
    pub reduced: bool,
    /// At most: of the lines that were not left out.
    pub total: Amount,
    /// When the watch made the order.
    pub at: Timestamp,
}

impl Asked {
    /// Of verified messages that belong together.
    #[must_use]
    pub fn new(order: &Order, bill: &Bill, certificate: &MerchantCertificate) -> Self {
        Self {
            watch: order.watch,
            merchant: bill.merchant,
            mcc: certificate.mcc,
            city: certificate.city.clone(),
            country: certificate.country,
            age: bill.lines.iter().filter_map(|line| line.min_age).max(),
            printed: bill.code.is_some(),
            reduced: !order.without.is_empty(),
            total: bill.asked_total(&order.without),
            at: order.created,
        }
    }
}

/// A local day, week or month, by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    pub every: Every,
    pub first: Day,
}

/// What the rules say, and the entry of the one that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    pub entry: Digest,
    pub answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Approve,
    /// No guardian is asked.
    Refuse(Why),
    /// A guardian is asked.
    Ask(Why),
}

/// Why a rule does not approve. Stable codes of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    Shop,
    Category,
    Place,
    Age,
    /// Nothing is allowed on this day of the week.
    Weekday,
    /// Nothing is allowed at this hour.
    Hour,
    OverPayment,
    OverDay,
    OverWeek,
    OverMonth,
    /// It is allowed, but too much to be approved without asking.
    OverApproval,
    /// The amount of a printed code is the child's own word.
    PrintedCode,
    /// The wearer asks for a part of the bill only.
    Reduced,
    /// The watch's clock is too far from the service's.
    Clock,
    /// The household wants two guardians to nod to so much.
    TwoNods,
    /// The rules of all watches would approve too much together.
    HouseDay,
    HouseWeek,
    HouseMonth,
}

impl Why {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Category => "category",
            Self::Place => "place",
            Self::Age => "age",
            Self::Weekday => "weekday",
            Self::Hour => "hour",
            Self::OverPayment => "over-payment",
            Self::OverDay => "over-day",
            Self::OverWeek => "over-week",
            Self::OverMonth => "over-month",
            Self::OverApproval => "over-approval",
            Self::PrintedCode => "printed-code",
            Self::Reduced => "reduced",
            Self::Clock => "clock",
            Self::TwoNods => "two-nods",
            Self::HouseDay => "house-day",
            Self::HouseWeek => "house-week",
            Self::HouseMonth => "house-month",
        }
    }

    /// Whose cap it is about: what was spent before, and not the order alone, tells whether it is true.
    #[must_use]
    pub const fn every(self) -> Option<Every> {
        match self {
            Self::OverDay => Some(Every::Day),
            Self::OverWeek => Some(Every::Week),
            Self::OverMonth => Some(Every::Month),
            Self::Shop
            | Self::Category
            | Self::Place
            | Self::Age
            | Self::Weekday
            | Self::Hour
            | Self::OverPayment
            | Self::OverApproval
            | Self::PrintedCode
            | Self::Reduced
            | Self::Clock
            | Self::TwoNods
            | Self::HouseDay
            | Self::HouseWeek
            | Self::HouseMonth => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MandateError {
    #[error("it does not live for up to 90 days from now")]
    Life,
    #[error("it is not the next version")]
    Version,
    #[error("it is of another watch than before")]
    OtherWatch,
    #[error("it is not there")]
    Unknown,
    #[error("a watch has at most {MAX_MANDATES} of them")]
    TooMany,
    #[error("its amounts are not above zero and of one currency")]
    Amounts,
    #[error("it names no shop, category or place, or one twice, or more than {MAX_NAMED}")]
    Named,
    #[error("its hours are not those of a week")]
    Windows,
    #[error("its time zone is not one")]
    Offsets,
    #[error("it neither approves nor refuses anything")]
    Nothing,
}

/// What rules that hold, each with the entry that made it, say to an order; `None` where none of them is for it. `spent` is what the
/// watch has paid or is about to pay in a period, without this order.
///
/// One rule's refusal counts more than another's approval, and an approval more than another's question.
pub fn judge<'a>(
    rules: impl IntoIterator<Item = (&'a Mandate, Digest)>,
    asked: &Asked,
    spent: impl Fn(Period) -> Minor,
) -> Option<Judgement> {
    let mut said: Option<Judgement> = None;
    for (mandate, entry) in rules.into_iter().filter(|(mandate, _)| mandate.is_for(asked)) {
        let answer = mandate.answer(asked, &spent);
        if said.is_none_or(|said| answer.weight() > said.answer.weight()) {
            said = Some(Judgement { entry, answer });
        }
    }
    said
}

impl Answer {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse(_) => "refuse",
            Self::Ask(_) => "ask",
        }
    }

    #[must_use]
    pub const fn why(self) -> Option<Why> {
        match self {
            Self::Approve => None,
            Self::Refuse(why) | Self::Ask(why) => Some(why),
        }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Ask(_) => 0,
            Self::Approve => 1,
            Self::Refuse(_) => 2,
        }
    }
}

impl Mandate {
    /// Of this watch, and its time is not over.
    #[must_use]
    pub fn is_for(&self, asked: &Asked) -> bool {
        self.watch == asked.watch && asked.at < self.until
    }

    /// What this rule alone says.
    pub fn answer(&self, asked: &Asked, spent: impl Fn(Period) -> Minor) -> Answer {
        let outside = self.outside_of(asked).or_else(|| self.over(asked, spent));
        match (outside, self.outside, self.approve) {
            (Some(why), Outside::Refuse, _) => Answer::Refuse(why),
            (Some(why), Outside::Ask, _) => Answer::Ask(why),
            (None, _, Some(_)) if asked.printed => Answer::Ask(Why::PrintedCode),
            (None, _, Some(_)) if asked.reduced => Answer::Ask(Why::Reduced),
            (None, _, Some(approve)) if !is_over(asked.total, approve) => Answer::Approve,
            (None, ..) => Answer::Ask(Why::OverApproval),
        }
    }

    /// Whether it says this after some spending. Who does not know what was spent believes whoever counted it.
    pub fn can_answer(&self, asked: &Asked, answer: Answer) -> bool {
        let counted = answer.why().and_then(Why::every);
        let spent = |period: Period| if counted == Some(period.every) { Minor::MAX } else { Minor::ZERO };
        self.answer(asked, spent) == answer
    }

    /// Why the order itself, whatever was spent before, is not what this rule allows.
    fn outside_of(&self, asked: &Asked) -> Option<Why> {
        let allows = |why: Why, allowed: bool| (!allowed).then_some(why);
        let place = Place { city: Some(asked.city.clone()), country: asked.country };
        allows(Why::Shop, allows_one(self.shops.as_ref(), &asked.merchant))
            .or_else(|| allows(Why::Category, allows_one(self.categories.as_ref(), &asked.mcc)))
            .or_else(|| allows(Why::Place, allows_one(self.places.as_ref(), &place)))
            .or_else(|| allows(Why::Age, self.age.is_none_or(|age| asked.age.is_none_or(|asked| asked <= age))))
            .or_else(|| self.outside_hours(asked.at))
            .or_else(|| allows(Why::OverPayment, self.per_payment.is_none_or(|cap| !is_over(asked.total, cap))))
    }

    fn outside_hours(&self, at: Timestamp) -> Option<Why> {
        if self.windows.is_empty() {
            return None;
        }
        let (day, minute) = self.local(at);
        let weekday = Weekday::of(day);
        let mut today = self.windows.iter().filter(|window| window.days.contains(&weekday)).peekable();
        if today.peek().is_none() {
            return Some(Why::Weekday);
        }
        let open = today.any(|window| (i64::from(window.from)..i64::from(window.to)).contains(&minute));
        (!open).then_some(Why::Hour)
    }

    /// The cap of a period that the order would go over.
    fn over(&self, asked: &Asked, spent: impl Fn(Period) -> Minor) -> Option<Why> {
        let whys = [(Every::Day, Why::OverDay), (Every::Week, Why::OverWeek), (Every::Month, Why::OverMonth)];
        whys.into_iter().find_map(|(every, why)| {
            let cap = self.cap(every)?;
            let all = spent(self.period(every, asked.at)).plus(asked.total.units());
            let fits = all.is_ok_and(|all| !is_over(Amount::new(all, asked.total.currency()), cap));
            (!fits).then_some(why)
        })
    }

    /// The local day, week or month that `at` is in.
    #[must_use]
    pub fn period(&self, every: Every, at: Timestamp) -> Period {
        Period { every, first: self.local(at).0.first_of(every) }
    }

    /// The cap of that period.
    #[must_use]
    pub const fn cap(&self, every: Every) -> Option<Amount> {
        match every {
            Every::Day => self.per_day,
            Every::Week => self.per_week,
            Every::Month => self.per_month,
        }
    }

    /// The local day, and the minute of it.
    fn local(&self, at: Timestamp) -> (Day, i64) {
        let local = at.plus_ms(i64::from(self.offset(at)) * MINUTE_MS);
        let day = Day::of(local);
        (day, local.ms_since(day.start()).div_euclid(MINUTE_MS))
    }

    fn offset(&self, at: Timestamp) -> i16 {
        let known = self.offsets.iter().take_while(|offset| offset.from <= at).last();
        known.or(self.offsets.first()).map_or(0, |offset| offset.minutes)
    }

    /// Whether more is approved, or less refused, than before.
    #[must_use]
    pub fn is_looser_than(&self, before: Option<&Self>) -> bool {
        let Some(before) = before else { return self.approve.is_some() };
        let more = |now: Option<Amount>, then: Option<Amount>| match (now, then) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(now), Some(then)) => is_over(now, then),
        };
        let approves_more = match (self.approve, before.approve) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(now), Some(then)) => is_over(now, then),
        };
        approves_more
            || self.until > before.until
            || (self.outside, before.outside) == (Outside::Ask, Outside::Refuse)
            || more(self.per_payment, before.per_payment)
            || more(self.per_day, before.per_day)
            || more(self.per_week, before.per_week)
            || more(self.per_month, before.per_month)
            || is_wider(self.shops.as_ref(), before.shops.as_ref())
            || is_wider(self.categories.as_ref(), before.categories.as_ref())
            || is_wider(self.places.as_ref(), before.places.as_ref())
            || before.age.is_some_and(|then| self.age.is_none_or(|now| now > then))
            || self.has_longer_hours(before)
            || self.has_other_clock(before)
    }

    /// Whether taking it away leaves less refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.outside == Outside::Refuse
    }

    fn has_longer_hours(&self, before: &Self) -> bool {
        let open = |windows: &[Window], day: Weekday, minute: u16| {
            windows.iter().any(|window| window.days.contains(&day) && (window.from..window.to).contains(&minute))
        };
        if before.windows.is_empty() {
            return false;
        }
        let mut minutes = Weekday::ALL.into_iter().flat_map(|day| (0..DAY_MINUTES).map(move |minute| (day, minute)));
        minutes.any(|(day, minute)| {
            let now = self.windows.is_empty() || open(&self.windows, day, minute);
            now && !open(&before.windows, day, minute)
        })
    }

    /// Hours and days of the time that both know would be other ones.
    fn has_other_clock(&self, before: &Self) -> bool {
        let steps = self.offsets.iter().chain(&before.offsets).map(|offset| offset.from);
        steps.filter(|at| *at < before.until).any(|at| self.offset(at) != before.offset(at))
    }

    /// Its form; `at` is when it is signed.
    pub fn check(&self, at: Timestamp) -> Result<(), MandateError> {
        if !(1..=MAX_MANDATE_LIFE_MS).contains(&self.until.ms_since(at)) {
            return Err(MandateError::Life);
        }
        let caps = [self.approve, self.per_payment, self.per_day, self.per_week, self.per_month];
        let mut amounts = caps.into_iter().flatten();
        let currency = amounts.clone().next().map(Amount::currency);
        if amounts.any(|amount| amount.minor() <= 0 || Some(amount.currency()) != currency) {
            return Err(MandateError::Amounts);
        }
        let named =
            is_sound(self.shops.as_ref()) && is_sound(self.categories.as_ref()) && is_sound(self.places.as_ref());
        if !named {
            return Err(MandateError::Named);
        }
        if self.windows.len() > MAX_WINDOWS || !self.windows.iter().all(Window::is_sound) {
            return Err(MandateError::Windows);
        }
        let rising = self.offsets.is_sorted_by(|one, next| one.from < next.from);
        let civil = self.offsets.iter().all(|offset| OFFSET_MINUTES.contains(&offset.minutes));
        if !(1..=MAX_OFFSETS).contains(&self.offsets.len()) || !rising || !civil {
            return Err(MandateError::Offsets);
        }
        if self.approve.is_none() && self.outside == Outside::Ask {
            return Err(MandateError::Nothing);
        }
        Ok(())
    }
}

impl Window {
    fn is_sound(&self) -> bool {
        let days: BTreeSet<Weekday> = self.days.iter().copied().collect();
        !days.is_empty()
            && days.len() == self.days.len()
            && days.len() <= usize::from(WEEK_DAYS)
            && self.from < self.to
            && self.to <= DAY_MINUTES
    }
}

/// Over, or not of the same currency.
pub(crate) fn is_over(amount: Amount, cap: Amount) -> bool {
    amount.exceeds(cap).unwrap_or(true)
}

/// Whether what it names holds all that the other one names.
trait Covers: PartialEq {
    fn covers(&self, other: &Self) -> bool {
        self == other
    }
}

impl Covers for MerchantId {}
impl Covers for Mcc {}
impl Covers for Place {
    fn covers(&self, other: &Self) -> bool {
        self.country == other.country && (self.city.is_none() || self.city == other.city)
    }
}

fn allows_one<T: Covers>(choice: Option<&Choice<T>>, asked: &T) -> bool {
    match choice {
        None => true,
        Some(Choice::Only(named)) => named.iter().any(|one| one.covers(asked)),
        Some(Choice::Never(named)) => !named.iter().any(|one| one.covers(asked)),
    }
}

fn is_wider<T: Covers>(now: Option<&Choice<T>>, before: Option<&Choice<T>>) -> bool {
    let all_in = |inner: &[T], outer: &[T]| inner.iter().all(|one| outer.iter().any(|other| other.covers(one)));
    match (now, before) {
        (_, None) => false,
        (None, Some(_)) | (Some(Choice::Never(_)), Some(Choice::Only(_))) => true,
        (Some(Choice::Only(now)), Some(Choice::Only(then))) => !all_in(now, then),
        (Some(Choice::Never(now)), Some(Choice::Never(then))) => !all_in(then, now),
        (Some(Choice::Only(now)), Some(Choice::Never(then))) => {
            now.iter().any(|one| then.iter().any(|other| one.covers(other) || other.covers(one)))
        }
    }
}

fn is_sound<T: Covers>(choice: Option<&Choice<T>>) -> bool {
    let Some(Choice::Only(named) | Choice::Never(named)) = choice else { return true };
    let repeated = named.iter().enumerate().any(|(index, one)| named.iter().take(index).any(|other| other == one));
    (1..=MAX_NAMED).contains(&named.len()) && !repeated
}

/// Takes a new rule or version in, from the entry that makes it effective; changes nothing when it is refused.
pub(crate) fn set(
    mandates: &mut Vec<Standing>,
    mandate: &Mandate,
    guardian: GuardianId,
    place: guardians::Place,
) -> Result<(), MandateError> {
    let guardians::Place { seq, digest, at } = place;
    mandate.check(at)?;
    let newest = mandates.iter().rposition(|standing| standing.mandate.mandate == mandate.mandate);
    let before = newest.and_then(|index| mandates.get_mut(index));
    match before {
        // An ended rule does not come back: another one is made.
        Some(before) if before.ended.is_some() => return Err(MandateError::Unknown),
        Some(before) if before.mandate.version.checked_add(1) != Some(mandate.version) => {
            return Err(MandateError::Version);
        }
        Some(before) if before.mandate.watch != mandate.watch => return Err(MandateError::OtherWatch),
        Some(before) => before.ended = Some(seq),
        None if mandate.version != 1 => return Err(MandateError::Version),
        None => {
            let held = mandates
                .iter()
                .filter(|one| one.ended.is_none() && one.mandate.watch == mandate.watch && at < one.mandate.until);
            if held.count() >= MAX_MANDATES {
                return Err(MandateError::TooMany);
            }
        }
    }
    mandates.push(Standing { mandate: mandate.clone(), entry: digest, seq, guardian, ended: None });
    Ok(())
}

pub(crate) fn end(mandates: &mut [Standing], mandate: MandateId, seq: u64) -> Result<(), MandateError> {
    let standing = mandates.iter_mut().find(|one| one.mandate.mandate == mandate && one.ended.is_none());
    standing.ok_or(MandateError::Unknown)?.ended = Some(seq);
    Ok(())
}

#[cfg(test)]
mod tests;
