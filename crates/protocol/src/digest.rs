//! Domain-separated digests: SHA-256 over a label, a zero byte and the bytes.

use nodpay_core::{Digest, PaymentId, Salt};

use crate::key::sha256;

/// `SHA-256(label ‖ 0x00 ‖ parts…)`. Labels hold no zero byte, so no two labels and bytes run together.
pub(crate) fn labelled(label: &str, parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::with_capacity(label.len() + 1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.extend_from_slice(label.as_bytes());
    bytes.push(0);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Digest::from_bytes(sha256(&bytes))
}

/// The payment that `decision` allows for `order`: the first 16 bytes of a digest over both, so a retry is the same
/// payment.
#[must_use]
pub fn payment_id(order: Digest, decision: Digest) -> PaymentId {
    let digest = labelled("nodpay/payment-id/1", &[order.as_bytes(), decision.as_bytes()]);
    let mut id = [0; PaymentId::LEN];
    id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    PaymentId::from_bytes(id)
}

/// What the household log holds instead of a wearer's name.
#[must_use]
pub fn name_digest(salt: Salt, name: &str) -> Digest {
    labelled("nodpay/wearer-name/1", &[salt.as_bytes(), name.as_bytes()])
}
