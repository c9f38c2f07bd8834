//! The rails outside of our own ledger: cards by Stripe, bank transfers by ISO 20022 files. The words they share are
//! [`nodpay_core::Rail`]'s; the household's wallet speaks them inside the store's transactions.
//!
//! Owns: talking to them, and what their answers mean. Never does: decide what becomes of an order.

pub mod bank;
pub mod stripe;

use std::fmt::Write as _;

use nodpay_core::{RailAnswer, TransferId};

/// What a rail said, and by which name of its own it knows the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub answer: RailAnswer,
    /// A PaymentIntent's id, for one; once known it does not change.
    pub reference: Option<String>,
}

impl Reply {
    fn unknown() -> Self {
        Self::from(RailAnswer::Unknown)
    }
}

impl From<RailAnswer> for Reply {
    fn from(answer: RailAnswer) -> Self {
        Self { answer, reference: None }
    }
}

/// A transfer's id as rails take it: 32 characters that no system changes or refuses.
fn hex(id: TransferId) -> String {
    id.as_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes in hexadecimal digits.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
