//! Tokens that let their holder in: session cookies, invitations, API keys. 32 random bytes; the database keeps only
//! their SHA-256, and looking that digest up compares them in constant time with all others.

use nodpay_core::{Bytes, Digest, IdError};
use nodpay_protocol::sha256;
use nodpay_store::TokenHash;

/// What API keys begin with, so that a leaked one is recognised.
const API_KEY_PREFIX: &str = "ndp_";

/// The operating system gave no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random numbers")]
pub struct RandomError;

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A secret of 32 bytes, base64url for people and cookies. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(Bytes<32, 32>);

impl Token {
    pub(crate) fn new() -> Result<Self, RandomError> {
        let bytes = random::<32>()?;
        Bytes::try_from(bytes.to_vec()).map(Self).map_err(|_| RandomError)
    }

    /// What the database knows it by.
    pub(crate) fn hash(&self) -> Digest {
        Digest::from_bytes(sha256(self.0.as_bytes()))
    }

    /// As the store keeps it.
    pub(crate) fn stored(&self) -> TokenHash {
        TokenHash(sha256(self.0.as_bytes()))
    }

    pub(crate) fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// As an API key.
    pub(crate) fn to_api_key(&self) -> String {
        format!("{API_KEY_PREFIX}{}", self.0)
    }

    pub(crate) fn from_api_key(text: &str) -> Option<Self> {
        text.strip_prefix(API_KEY_PREFIX)?.parse().ok()
    }
}

impl std::str::FromStr for Token {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl<'de> serde::Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_hide() {
        let token = Token::new().expect("random numbers");
        assert_eq!(token.to_text().parse(), Ok(token.clone()));
        assert_eq!(Token::from_api_key(&token.to_api_key()), Some(token.clone()));
        assert_eq!(Token::from_api_key(&token.to_text()), None);
        assert!("short".parse::<Token>().is_err());
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        assert_ne!(Token::new().expect("random numbers"), token);
    }
}
