//! What the operator vouches for: which key belongs to which merchant, and which key signs outcomes. Both
//! certificates are signed by the offline service root.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{MerchantId, PublicKey, Text, Timestamp, V1};

/// Binds a merchant's key to the name, trade and place people see. Signed by the service root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantCertificate {
    pub v: V1,
    pub merchant: MerchantId,
    pub name: Text<50>,
    pub mcc: Mcc,
    pub city: Text<30>,
    pub country: Country,
    pub key: PublicKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Names the key that signs outcomes. Signed by the service root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeCertificate {
    pub v: V1,
    pub key: PublicKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Merchant category code (ISO 18245): four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mcc([u8; 4]);

impl Mcc {
    #[must_use]
    pub fn from_digits(text: &str) -> Option<Self> {
        let bytes: [u8; 4] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_digit).then_some(Self(bytes))
    }

    pub(crate) fn number(self) -> u32 {
        self.0.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    }
}

impl std::fmt::Display for Mcc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

/// Country code (ISO 3166-1 alpha-2): two capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    #[must_use]
    pub fn from_code(text: &str) -> Option<Self> {
        let bytes: [u8; 2] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

macro_rules! as_text {
    ($name:ident, $parse:path, $what:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                $parse(&text).ok_or_else(|| de::Error::custom($what))
            }
        }
    };
}
as_text!(Mcc, Mcc::from_digits, "a merchant category code is four digits");
as_text!(Country, Country::from_code, "a country code is two capital letters");
