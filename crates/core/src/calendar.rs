//! Days and dates in UTC, in the proleptic Gregorian calendar, and what comes every day, week or month.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A calendar repeats after 400 years.
const ERA_DAYS: i64 = 146_097;
/// 1970-01-01, counted from 0000-03-01.
const EPOCH_DAYS: i64 = 719_468;

/// A day in UTC: its number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a date as in 2026-11-30, of the years 1970 to 9999")]
pub struct DayError;

impl Day {
    pub const MIN: Self = Self(0);
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// `None` outside of [`Day::MIN`] to [`Day::MAX`].
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        i32::try_from(number).ok().map(Self).filter(|day| (Self::MIN..=Self::MAX).contains(day))
    }

    /// The day that `at` is in; times out of range are in the first or the last one.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let number = at.unix_ms().div_euclid(DAY_MS);
        Self::from_number(number).unwrap_or(if number < 0 { Self::MIN } else { Self::MAX })
    }

    #[must_use]
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// Its first millisecond.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_unix_ms(self.number() * DAY_MS)
    }

    /// The first millisecond after it.
    #[must_use]
    pub fn end(self) -> Timestamp {
        self.start().plus_ms(DAY_MS)
    }

    /// The weekday, 0 for Monday.
    #[must_use]
    pub fn weekday(self) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.number() + 3).rem_euclid(7)
    }

    /// The first day of the week (a Monday) or the month that it is in; of a day, itself.
    #[must_use]
    pub fn first_of(self, every: Every) -> Self {
        let first = match every {
            Every::Day => self.number(),
            Every::Week => self.number() - self.weekday(),
            Every::Month => self.number() + 1 - self.date().2,
        };
        Self::from_number(first).unwrap_or(Self::MIN)
    }

    /// Year, month, day of month. Years are counted from March, so that the leap day is the last one.
    fn date(self) -> (i64, i64, i64) {
        let days = self.number() + EPOCH_DAYS;
        let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    fn from_date(year: i64, month: i64, day: i64) -> Option<Self> {
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        let year = year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (month + 9) % 12;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
        Self::from_number(era * ERA_DAYS + day_of_era - EPOCH_DAYS)
    }
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let number = |range| text.get(range).and_then(|digits: &str| digits.parse().ok());
        let day = match (number(0..4), number(5..7), number(8..10)) {
            (Some(year), Some(month), Some(day)) => Self::from_date(year, month, day),
            _ => None,
        };
        // Only the one form counts: it must be what the day is written as.
        day.filter(|day| day.to_string() == text).ok_or(DayError)
    }
}

/// How often a schedule is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Every {
    Day,
    Week,
    Month,
}

impl Every {
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|every| every.as_str() == text)
    }

    /// The `n`th time after `first` (0 is `first` itself), at the same time of day in UTC. A month that is too short for
    /// the day of `first` has its last day instead, and the next one goes back to that day. `None` beyond the calendar.
    #[must_use]
    pub fn nth(self, first: Timestamp, n: u32) -> Option<Timestamp> {
        let day = Day::from_number(first.unix_ms().div_euclid(DAY_MS))?;
        let n = i64::from(n);
        let due = match self {
            Self::Day => Day::from_number(day.number() + n),
            Self::Week => Day::from_number(day.number() + 7 * n),
            Self::Month => {
                let (year, month, of_month) = day.date();
                let months = year * 12 + (month - 1) + n;
                let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
                Day::from_date(year, month, of_month.min(days_in(year, month)))
            }
        }?;
        Some(due.start().plus_ms(first.ms_since(day.start())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().expect("a date")
    }

    #[test]
    fn dates_have_one_form() {
        for (text, number) in
            [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-23", 20_780), ("9999-12-31", 2_932_896)]
        {
            assert_eq!((day(text).number(), day(text).to_string().as_str()), (number, text));
        }
        for text in
            ["", "2026-11-31", "2026-02-29", "1900-01-01", "2026-1-01", "2026-11-23 ", "2026/11/23", "+026-11-23"]
        {
            assert_eq!(text.parse::<Day>(), Err(DayError), "{text}");
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        for (text, weekday, week, month) in [
            ("2026-11-23", 0, "2026-11-23", "2026-11-01"),
            ("2026-11-29", 6, "2026-11-23", "2026-11-01"),
            ("2028-03-01", 2, "2028-02-28", "2028-03-01"),
            ("1970-01-02", 4, "1970-01-01", "1970-01-01"),
        ] {
            let day = day(text);
            assert_eq!(day.weekday(), weekday, "{text}");
            let firsts = [Every::Day, Every::Week, Every::Month].map(|every| day.first_of(every).to_string());
            assert_eq!(firsts, [text, week, month]);
        }
    }

    #[test]
    fn a_month_has_its_last_day_and_the_next_one_its_own() {
        let first = day("2027-12-31").start().plus_ms(8 * 3_600_000);
        let dues: Vec<_> = (0..4).filter_map(|n| Every::Month.nth(first, n)).collect();
        let days: Vec<_> = dues.iter().map(|due| Day::of(*due).to_string()).collect();
        assert_eq!(days, ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]);
        assert!(dues.iter().all(|due| due.ms_since(Day::of(*due).start()) == 8 * 3_600_000));
        assert_eq!(Every::Week.nth(first, 2), Some(first.plus_ms(14 * DAY_MS)));
        assert_eq!(Every::Month.nth(Day::MAX.start(), 1), None);
    }

    proptest! {
        #[test]
        fn every_day_is_read_back_and_follows_the_one_before(number in 1_i64..=2_932_896) {
            let day = Day::from_number(number).expect("in range");
            prop_assert_eq!(day.to_string().parse::<Day>(), Ok(day));
            prop_assert_eq!((Day::of(day.start()), Day::of(day.start().plus_ms(-1))), (day, Day::from_number(number - 1).expect("in range")));
        }

        #[test]
        fn dues_go_up(first in 0_i64..4_000_000_000_000, n in 0_u32..500) {
            let first = Timestamp::from_unix_ms(first);
            for every in Every::ALL {
                prop_assert!(every.nth(first, n) < every.nth(first, n + 1));
            }
        }
    }
}
