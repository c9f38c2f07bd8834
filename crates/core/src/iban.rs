//! International bank account numbers (ISO 13616).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The shortest number of the registry is Norway's; ISO 13616 allows no longer one than 34.
const LENGTHS: std::ops::RangeInclusive<usize> = 15..=34;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IbanError {
    #[error("is not an IBAN: two capital letters, two digits, then capital letters and digits, 15 to 34 in all")]
    Form,
    #[error("has wrong check digits")]
    CheckDigits,
}

/// An account number in its electronic form: no spaces, capital letters, check digits that fit. Whether the account
/// exists, only its bank knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Iban(String);

impl Iban {
    pub fn new(text: &str) -> Result<Self, IbanError> {
        let capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let country = text.bytes().take(2).all(|byte| byte.is_ascii_uppercase());
        if !LENGTHS.contains(&text.len()) || !country || !text.bytes().all(capital) {
            return Err(IbanError::Form);
        }
        if check_digits_fit(text) { Ok(Self(text.to_owned())) } else { Err(IbanError::CheckDigits) }
    }

    /// For what a person typed or copied from paper: spaces and small letters are allowed.
    pub fn from_typed(text: &str) -> Result<Self, IbanError> {
        let electronic: String = text.chars().filter(|c| *c != ' ').take(LENGTHS.end() + 1).collect();
        Self::new(&electronic.to_ascii_uppercase())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Iban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account number is personal: logs show its country and last four characters.
impl fmt::Debug for Iban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (country, rest) = self.0.split_at(2);
        write!(f, "Iban({country}…{})", rest.split_at(rest.len() - 4).1)
    }
}

impl<'de> Deserialize<'de> for Iban {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&std::borrow::Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// ISO 7064 MOD 97-10 over capital letters and digits whose third and fourth characters are check digits (02..=98); of
/// account numbers (ISO 13616) and of creditor references (ISO 11649).
#[must_use]
pub fn check_digits_fit(text: &str) -> bool {
    let Some((head, tail)) = text.split_at_checked(4) else {
        return false;
    };
    let digits = head.get(2..).unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || matches!(digits, "00" | "01" | "99") {
        return false;
    }
    let remainder = tail.chars().chain(head.chars()).try_fold(0_u32, |remainder, c| {
        let value = if c.is_ascii_lowercase() { None } else { c.to_digit(36) }?;
        let shifted = if value < 10 { remainder * 10 } else { remainder * 100 };
        Some((shifted + value) % 97)
    });
    remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_the_registry_are_taken() {
        for text in ["DE89370400440532013000", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"] {
            assert_eq!(Iban::new(text).map(|iban| iban.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Iban::from_typed("gb29 NWBK 6016 1331 9268 19"), Iban::new("GB29NWBK60161331926819"));
        assert_eq!(format!("{:?}", Iban::new("NO9386011117947").expect("valid")), "Iban(NO…7947)");
    }

    #[test]
    fn others_are_not() {
        assert_eq!(Iban::new("DE89370400440532013001"), Err(IbanError::CheckDigits));
        for text in [
            "",
            "DE",
            "DE89 3704 0044 0532 0130 00",
            "de89370400440532013000",
            "1289370400440532013000",
            "DÉ8937040044053201",
        ] {
            assert_eq!(Iban::new(text), Err(IbanError::Form), "{text}");
        }
    }

    proptest! {
        /// MOD 97-10 finds every single wrong character and every swap of two neighbours.
        #[test]
        fn one_slip_of_the_pen_is_found(at in 4_usize..22, digit in 0_u8..10) {
            let good = "DE89370400440532013000";
            let mut slip = good.as_bytes().to_vec();
            slip[at] = b'0' + digit;
            let slip = String::from_utf8(slip).expect("digits");
            prop_assert_eq!(Iban::new(&slip).is_ok(), slip == good);
            let mut swapped = good.as_bytes().to_vec();
            swapped.swap(at, at - 1);
            let swapped = String::from_utf8(swapped).expect("letters and digits");
            prop_assert_eq!(Iban::new(&swapped).is_ok(), swapped == good);
        }
    }
}
