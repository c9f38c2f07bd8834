//! Identifiers, digests and keys as values. One type a kind, no conversions between kinds.
//!
//! In JSON each is unpadded base64url of exactly its bytes (RFC 4648 section 5), in the one canonical form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an id, digest or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("is not canonical unpadded base64url")]
    NotBase64Url,
    #[error("has the wrong length")]
    WrongLength,
    #[error("is not an uncompressed P-256 point")]
    NotAPoint,
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Strict: refuses padding and non-zero trailing bits, so that one value has one text.
fn decode(text: &str) -> Result<Vec<u8>, IdError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| IdError::NotBase64Url)
}

macro_rules! fixed_bytes {
    ($($(#[$doc:meta])* $name:ident: $len:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            pub const LEN: usize = $len;

            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError::WrongLength)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(decode(text)?.as_slice())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

fixed_bytes! {
    /// One request to a merchant to sign a reduced bill.
    AskId: 16;
    BillId: 16;
    GuardianId: 16;
    HouseholdId: 16;
    /// Of a standing rule, over all its versions.
    MandateId: 16;
    MerchantId: 16;
    OrderId: 16;
    PairingId: 16;
    /// Derived from order and decision: a retry is the same payment.
    PaymentId: 16;
    /// A household's pocket money.
    ScheduleId: 16;
    /// Of a sign-in, over all tokens it has had.
    SessionId: 16;
    TransferId: 16;
    WatchId: 16;
    WearerId: 16;
    /// Used once by its signer.
    Nonce: 16;
    /// Keeps a digest of a short text from being guessed.
    Salt: 16;
    /// SHA-256, domain-separated by `nodpay-protocol`.
    Digest: 32;
}

/// A P-256 public key: the uncompressed point of SEC 1 section 2.3.3 (0x04 ‖ x ‖ y). Whether it lies on the curve is
/// found out when a signature is verified with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 65]);

impl PublicKey {
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = IdError;

    fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
        let bytes: [u8; 65] = bytes.try_into().map_err(|_| IdError::WrongLength)?;
        if bytes[0] != 4 {
            return Err(IdError::NotAPoint);
        }
        Ok(Self(bytes))
    }
}

impl std::str::FromStr for PublicKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(decode(text)?.as_slice())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Bytes of a bounded length, base64url in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes<const MIN: usize, const MAX: usize>(Vec<u8>);

/// A passkey's credential id: 16 to 1023 bytes (Web Authentication Level 3, section 4).
pub type CredentialId = Bytes<16, 1023>;

impl<const MIN: usize, const MAX: usize> Bytes<MIN, MAX> {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<Vec<u8>> for Bytes<MIN, MAX> {
    type Error = IdError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, IdError> {
        if (MIN..=MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(IdError::WrongLength) }
    }
}

impl<const MIN: usize, const MAX: usize> std::str::FromStr for Bytes<MIN, MAX> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        decode(text)?.try_into()
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Bytes<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Bytes<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({self})")
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Bytes<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Bytes<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        let id = BillId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        let cases = [
            ("BwcHBwcHBwcHBwcHBwcHBw==", IdError::NotBase64Url),
            ("BwcHBwcHBwcHBwcHBwcHBx", IdError::NotBase64Url),
            ("BwcHBwcHBwcHBwcHBwcHB+", IdError::NotBase64Url),
            ("BwcH", IdError::WrongLength),
            ("", IdError::WrongLength),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<BillId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_key_is_an_uncompressed_point() {
        let mut bytes = [1; 65];
        assert_eq!(PublicKey::try_from(&bytes[..]), Err(IdError::NotAPoint));
        bytes[0] = 4;
        let key = PublicKey::try_from(&bytes[..]).expect("a point");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(PublicKey::try_from(&bytes[..64]), Err(IdError::WrongLength));
    }
}
