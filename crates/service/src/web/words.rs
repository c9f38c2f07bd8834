//! Words, money and dates of the pages that the service draws itself: the same catalogue as the scripts', and CLDR's forms.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use icu_calendar::{Date, Gregorian};
use icu_datetime::FixedCalendarDateTimeFormatter;
use icu_datetime::fieldsets::{MD, YM};
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_locale_core::{Locale, locale};
use icu_plurals::PluralRules;
use jiff::civil;
use nodpay_core::Amount;
use serde_json::Value;

use super::edition::Assets;
use super::shell::Language;
use crate::problem::ApiError;

/// CLDR's narrow symbols where one sign is all of them. ICU4X formats no currencies yet but in its experiments; any other has its
/// code, which CLDR allows everywhere.
const SYMBOLS: [(&str, &[&str]); 8] = [
    ("¥", &["CNY", "JPY"]),
    ("€", &["EUR"]),
    ("£", &["GBP"]),
    ("$", &["USD", "AUD", "CAD", "HKD", "NZD", "SGD", "TWD", "MXN"]),
    ("₩", &["KRW"]),
    ("₹", &["INR"]),
    ("₫", &["VND"]),
    ("₽", &["RUB"]),
];

type Catalogue = BTreeMap<String, Value>;

/// One language's words and forms.
pub(super) struct Words {
    catalogue: &'static Catalogue,
    plurals: PluralRules,
    numbers: DecimalFormatter,
    months: FixedCalendarDateTimeFormatter<Gregorian, YM>,
    days: FixedCalendarDateTimeFormatter<Gregorian, MD>,
}

impl Words {
    pub(super) fn of(language: Language) -> Result<Self, ApiError> {
        let locale: Locale = match language {
            Language::English => locale!("en"),
            Language::Chinese => locale!("zh-CN"),
        };
        let broken = |error: &dyn std::fmt::Display| ApiError::Internal(format!("forms of a language: {error}"));
        Ok(Self {
            catalogue: catalogue(language)?,
            plurals: PluralRules::try_new_cardinal((&locale).into()).map_err(|error| broken(&error))?,
            numbers: DecimalFormatter::try_new((&locale).into(), Default::default()).map_err(|error| broken(&error))?,
            months: FixedCalendarDateTimeFormatter::try_new((&locale).into(), YM::long())
                .map_err(|error| broken(&error))?,
            days: FixedCalendarDateTimeFormatter::try_new((&locale).into(), MD::medium())
                .map_err(|error| broken(&error))?,
        })
    }

    /// The text of `key`, with each `{name}` replaced.
    pub(super) fn t(&self, key: &str, values: &[(&str, &str)]) -> String {
        let text = self.catalogue.get(key).and_then(Value::as_str).unwrap_or(key);
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The form of `key` for so many, with the number as `{count}`.
    pub(super) fn count(&self, key: &str, count: u64) -> String {
        let forms = self.catalogue.get(key).and_then(Value::as_object);
        let form = match self.plurals.category_for(count) {
            icu_plurals::PluralCategory::One => "one",
            icu_plurals::PluralCategory::Zero
            | icu_plurals::PluralCategory::Two
            | icu_plurals::PluralCategory::Few
            | icu_plurals::PluralCategory::Many
            | icu_plurals::PluralCategory::Other => "other",
        };
        let text = forms.and_then(|forms| forms.get(form).or_else(|| forms.get("other"))).and_then(Value::as_str);
        text.unwrap_or(key).replace("{count}", &self.number(count))
    }

    pub(super) fn number(&self, number: u64) -> String {
        self.numbers.format(&Decimal::from(number)).to_string()
    }

    /// With its symbol in front, as both languages write money (CLDR's pattern `¤#,##0.00`).
    pub(super) fn money(&self, amount: Amount) -> String {
        let (minor, currency) = (amount.minor(), amount.currency());
        let exponent = i16::try_from(currency.exponent()).unwrap_or(0);
        let mut decimal = Decimal::from(minor.unsigned_abs());
        decimal.multiply_pow10(-exponent);
        let (sign, number) = (if minor < 0 { "-" } else { "" }, self.numbers.format(&decimal));
        match SYMBOLS.iter().find(|(_, codes)| codes.contains(&currency.code())) {
            Some((symbol, _)) => format!("{sign}{symbol}{number}"),
            // Letters stand apart from digits (CLDR's currency spacing).
            None => format!("{sign}{currency}\u{a0}{number}"),
        }
    }

    /// Month and year.
    pub(super) fn month(&self, first: civil::Date) -> String {
        gregorian(first).map_or_else(|| first.to_string(), |date| self.months.format(&date).to_string())
    }

    /// Day and month.
    pub(super) fn day(&self, date: civil::Date) -> String {
        gregorian(date).map_or_else(|| date.to_string(), |date| self.days.format(&date).to_string())
    }
}

fn gregorian(date: civil::Date) -> Option<Date<Gregorian>> {
    let (month, day) = (u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?);
    Date::try_new_gregorian(i32::from(date.year()), month, day).ok()
}

/// The texts of `/static/texts`, read once.
fn catalogue(language: Language) -> Result<&'static Catalogue, ApiError> {
    static ENGLISH: OnceLock<Catalogue> = OnceLock::new();
    static CHINESE: OnceLock<Catalogue> = OnceLock::new();
    let (known, path) = match language {
        Language::English => (&ENGLISH, "texts/en.json"),
        Language::Chinese => (&CHINESE, "texts/zh.json"),
    };
    if let Some(catalogue) = known.get() {
        return Ok(catalogue);
    }
    let file = Assets::get(path).ok_or_else(|| ApiError::Internal(format!("{path} is not there")))?;
    let read = serde_json::from_slice(&file.data).map_err(|error| ApiError::Internal(format!("{path}: {error}")))?;
    Ok(known.get_or_init(|| read))
}

#[cfg(test)]
mod tests {
    use nodpay_core::{Currency, Minor};

    use super::*;

    #[test]
    fn money_dates_and_numbers_are_those_of_the_language() {
        let (english, chinese) = (Words::of(Language::English).unwrap(), Words::of(Language::Chinese).unwrap());
        let amount = |minor, currency| Amount::new(Minor::new(minor).unwrap(), Currency::from_code(currency).unwrap());
        assert_eq!(english.money(amount(123_456, "CNY")), "¥1,234.56");
        assert_eq!(chinese.money(amount(-5, "EUR")), "-€0.05");
        assert_eq!(chinese.money(amount(1_200, "JPY")), "¥1,200");
        assert_eq!(english.money(amount(1_200, "CHF")), "CHF\u{a0}12.00");
        let date = civil::date(2026, 11, 1);
        assert_eq!([english.month(date), chinese.month(date)], ["November 2026", "2026年11月"]);
        assert_eq!([english.day(date), chinese.day(date)], ["Nov 1", "11月1日"]);
        assert_eq!(
            [english.count("month.count", 1), english.count("month.count", 1_000)],
            ["1 purchase", "1,000 purchases"]
        );
        assert_eq!(chinese.count("month.count", 1), "1笔");
    }
}
