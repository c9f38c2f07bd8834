//! Nodpay for Kotlin, Swift and Python, through UniFFI: the watch agent for watch makers ([`watch`]), and for makers of
//! phone apps what a guardian's phone verifies and signs ([`guardian`]).
//!
//! The same rules as in Rust hold: no sockets, no clock, no random numbers here; the host hands them in. Ids, digests and
//! keys are the texts of the protocol (base64url); amounts are minor units with their currency; times are unix
//! milliseconds.

// The scaffolding that UniFFI makes is C functions.
#![allow(unsafe_code)]

uniffi::setup_scaffolding!();

pub mod guardian;
pub mod keys;
pub mod view;
pub mod watch;

use nodpay_core::{Amount, Currency, Minor, Timestamp};
use nodpay_protocol::VerifyError;

/// An amount: whole minor units of a currency (ISO 4217), which has `exponent` decimals.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Money {
    pub minor: i64,
    pub currency: String,
    /// Ignored where money goes in.
    pub exponent: u32,
}

uniffi::custom_type!(Amount, Money, {
    remote,
    try_lift: |money| Ok(Amount::new(Minor::new(money.minor)?, Currency::from_code(&money.currency)?)),
    lower: |amount| Money {
        minor: amount.minor(),
        currency: amount.currency().code().to_owned(),
        exponent: amount.currency().exponent(),
    },
});

uniffi::custom_type!(Timestamp, i64, {
    remote,
    try_lift: |ms| Ok(Timestamp::from_unix_ms(ms)),
    lower: |time| time.unix_ms(),
});

/// Why a call did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum Failure {
    /// A message that does not verify: a stable code, and one sentence.
    #[error("{sentence} ({code})")]
    Unverified { code: String, sentence: String },
    /// Something handed in is not in its form.
    #[error("{what}: {why}")]
    Malformed { what: String, why: String },
    /// The key did not sign.
    #[error("the key did not sign: {why}")]
    Key { why: String },
    /// The journal is not taken. The host keeps it: it may name a payment under way.
    #[error("the journal is not taken: {why}")]
    Journal { why: String },
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::Unverified { code: error.code().to_owned(), sentence: error.to_string() }
    }
}

impl Failure {
    pub(crate) fn malformed(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what: what.to_owned(), why: why.to_string() }
    }
}

/// Reads an id, digest or key of the protocol.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|why| Failure::malformed(what, why))
}
