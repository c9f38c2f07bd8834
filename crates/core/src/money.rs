//! Money: whole minor units (fen, cents) with an ISO 4217 currency. No floats, no unchecked arithmetic.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The largest amount anywhere, in minor units: 10^11, one thousand million yuan. Well inside what JSON numbers hold
/// exactly in every language (2^53).
pub const MAX_MINOR: i64 = 100_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("the amount is beyond {MAX_MINOR} minor units")]
    OutOfRange,
    #[error("the amounts have different currencies")]
    CurrencyMismatch,
    #[error("not an ISO 4217 currency code")]
    UnknownCurrency,
}

/// Signed minor units of a currency that the context names, within ±[`MAX_MINOR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Minor(i64);

impl Minor {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(MAX_MINOR);

    pub const fn new(minor: i64) -> Result<Self, MoneyError> {
        if minor >= -MAX_MINOR && minor <= MAX_MINOR { Ok(Self(minor)) } else { Err(MoneyError::OutOfRange) }
    }

    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Self::new(self.0.checked_add(other.0).ok_or(MoneyError::OutOfRange)?)
    }

    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        Self::new(self.0.checked_sub(other.0).ok_or(MoneyError::OutOfRange)?)
    }

    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        Self::new(self.0.checked_mul(i64::from(quantity)).ok_or(MoneyError::OutOfRange)?)
    }

    pub fn sum(items: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        items.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// An ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub const CNY: Self = Self(iso_currency::Currency::CNY);
    pub const EUR: Self = Self(iso_currency::Currency::EUR);

    /// Three capital letters.
    pub fn from_code(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code).map(Self).ok_or(MoneyError::UnknownCurrency)
    }

    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal digits the minor unit stands behind: 2 for CNY, 0 for JPY, 3 for KWD. Units without a minor
    /// unit (gold, test codes) count as 0.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_code(&code).map_err(de::Error::custom)
    }
}

/// Minor units and their currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    minor: Minor,
    currency: Currency,
}

impl Amount {
    #[must_use]
    pub const fn new(minor: Minor, currency: Currency) -> Self {
        Self { minor, currency }
    }

    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor.get()
    }

    #[must_use]
    pub const fn units(self) -> Minor {
        self.minor
    }

    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Plain digits of the major unit with all of the currency's decimal places, a point and a minus: `-12.50`.
    #[must_use]
    pub fn decimal(self) -> String {
        let exponent = self.currency.exponent();
        let scale = 10_i64.pow(exponent);
        let minor = self.minor.get();
        let sign = if minor < 0 { "-" } else { "" };
        let (whole, rest) = (minor.abs() / scale, minor.abs() % scale);
        if exponent == 0 {
            format!("{sign}{whole}")
        } else {
            let width = usize::try_from(exponent).unwrap_or(0);
            format!("{sign}{whole}.{rest:0width$}")
        }
    }

    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self::new(self.minor.plus(self.same_currency(other)?)?, self.currency))
    }

    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self::new(self.minor.minus(self.same_currency(other)?)?, self.currency))
    }

    /// Whether `self` is larger than `other`, which must be of the same currency.
    pub fn exceeds(self, other: Self) -> Result<bool, MoneyError> {
        Ok(self.minor > self.same_currency(other)?)
    }

    fn same_currency(self, other: Self) -> Result<Minor, MoneyError> {
        if self.currency == other.currency { Ok(other.minor) } else { Err(MoneyError::CurrencyMismatch) }
    }
}

/// Plain digits with the currency's code, for logs and terminals: `12.50 CNY`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(minor: i64, code: &str) -> Amount {
        Amount::new(Minor::new(minor).expect("in range"), Currency::from_code(code).expect("a currency"))
    }

    #[test]
    fn amounts_stop_at_their_bounds() {
        let max = Minor::new(MAX_MINOR).expect("the bound is inside");
        assert_eq!(max.plus(Minor::new(1).expect("one")), Err(MoneyError::OutOfRange));
        assert_eq!(max.times(2), Err(MoneyError::OutOfRange));
        assert_eq!(Minor::new(i64::MAX), Err(MoneyError::OutOfRange));
        assert_eq!(Minor::new(i64::MIN), Err(MoneyError::OutOfRange));
        assert_eq!(Minor::sum([max, max]), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn currencies_do_not_mix() {
        assert_eq!(amount(1, "CNY").plus(amount(1, "EUR")), Err(MoneyError::CurrencyMismatch));
        assert_eq!(amount(3, "CNY").minus(amount(1, "CNY")), Ok(amount(2, "CNY")));
        assert_eq!(Currency::from_code("cny"), Err(MoneyError::UnknownCurrency));
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        let cases = [
            (amount(1250, "CNY"), "12.50 CNY"),
            (amount(5, "CNY"), "0.05 CNY"),
            (amount(-5, "CNY"), "-0.05 CNY"),
            (amount(450, "JPY"), "450 JPY"),
            (amount(1234, "KWD"), "1.234 KWD"),
        ];
        for (value, text) in cases {
            assert_eq!(value.to_string(), text);
        }
    }
}
