//! P-256: signing behind [`Signer`], verifying with `ring`.
//!
//! Signatures in JWS are 64 bytes, r ‖ s (RFC 7518 section 3.4), and must be low-s: one message and key have one
//! signature that a third party cannot turn into a second one.

use nodpay_core::PublicKey;
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use zeroize::Zeroizing;

/// (n − 1) / 2 of P-256 (FIPS 186-4, D.1.2.3), big-endian.
const HALF_ORDER: [u8; 32] = [
    0x7F, 0xFF, 0xFF, 0xFF, 0x80, 0x00, 0x00, 0x00, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xDE, 0x73, 0x7D,
    0x56, 0xD3, 0x8B, 0xCF, 0x42, 0x79, 0xDC, 0xE5, 0x61, 0x7E, 0x31, 0x92, 0xA8,
];

/// The key could not sign: locked, removed or broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key store could not sign: {0}")]
pub struct SignError(pub String);

/// Holds a P-256 key. A software file, a secure element or a TPM.
pub trait Signer {
    fn public_key(&self) -> PublicKey;

    /// ES256 over `message`: r ‖ s, either s; [`crate::sign`] makes it low-s.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// A key in memory. Signs deterministically (RFC 6979), so it needs no random numbers; wiped when dropped.
pub struct SoftwareKey {
    key: SigningKey,
    public: PublicKey,
}

impl SoftwareKey {
    /// From a secret scalar, big-endian. `None` for the few values outside 1..n: draw again.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Option<Self> {
        let key = SigningKey::from_slice(secret).ok()?;
        let point = key.verifying_key().to_sec1_point(false);
        let public = PublicKey::try_from(point.as_bytes()).ok()?;
        Some(Self { key, public })
    }

    /// The scalar, to be stored encrypted or with file mode 0600.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes().into())
    }
}

impl Signer for SoftwareKey {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature: Signature = self.key.try_sign(message).map_err(|error| SignError(error.to_string()))?;
        Ok(signature.to_bytes().into())
    }
}

impl std::fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SoftwareKey(public {}, secret hidden)", self.public)
    }
}

/// The low-s form of a signature; unchanged bytes when it is no valid one.
pub(crate) fn low_s(signature: [u8; 64]) -> [u8; 64] {
    Signature::from_slice(&signature).map_or(signature, |parsed| parsed.normalize_s().to_bytes().into())
}

pub(crate) fn is_low_s(signature: &[u8; 64]) -> bool {
    signature[32..] <= HALF_ORDER[..]
}

pub(crate) fn verify_fixed(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, key.as_bytes())
        .verify(message, signature)
        .is_ok()
}

/// r ‖ s of a strict DER signature (X.690 section 11): minimal integers, nothing left over.
pub(crate) fn from_der(der: &[u8]) -> Option<[u8; 64]> {
    let (0x30, body) = tlv(der)? else { return None };
    let (0x02, r, rest) = first_tlv(body)? else { return None };
    let (0x02, s) = tlv(rest)? else { return None };
    let mut fixed = [0; 64];
    let (to_r, to_s) = fixed.split_at_mut(32);
    place(to_r, r)?;
    place(to_s, s)?;
    Some(fixed)
}

/// The other way round; `None` when it is no signature.
pub(crate) fn to_der(signature: &[u8; 64]) -> Option<Vec<u8>> {
    Signature::from_slice(signature).ok().map(|parsed| parsed.to_der().as_bytes().to_vec())
}

/// Tag and content of a value that fills `bytes`.
fn tlv(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, content, rest) = first_tlv(bytes)?;
    rest.is_empty().then_some((tag, content))
}

/// Tag, content and rest; short-form lengths only, which is all a P-256 signature needs.
fn first_tlv(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, len, rest @ ..] = bytes else { return None };
    let len = usize::from(*len);
    if len >= 0x80 {
        return None;
    }
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// Right-aligns a minimal, positive DER integer.
fn place(to: &mut [u8], integer: &[u8]) -> Option<()> {
    let magnitude = match integer {
        [0, next @ ..] if next.first().is_some_and(|byte| *byte >= 0x80) => next,
        [first, ..] if *first > 0 && *first < 0x80 => integer,
        _ => return None,
    };
    let start = to.len().checked_sub(magnitude.len())?;
    to.get_mut(start..)?.copy_from_slice(magnitude);
    Some(())
}

/// SHA-256 (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_low_s_and_verify() {
        for seed in 1..40_u8 {
            let key = SoftwareKey::from_secret(&[seed; 32]).expect("a valid scalar");
            let signature = low_s(key.sign(b"nod").expect("signs"));
            assert!(is_low_s(&signature));
            assert!(verify_fixed(&key.public_key(), b"nod", &signature));
            assert!(!verify_fixed(&key.public_key(), b"not", &signature));
        }
    }

    #[test]
    fn der_is_strict() {
        let key = SoftwareKey::from_secret(&[3; 32]).expect("a valid scalar");
        let fixed = key.sign(b"nod").expect("signs");
        let der = Signature::from_slice(&fixed).expect("a signature").to_der();
        let der = der.as_bytes();
        assert_eq!(from_der(der), Some(fixed));
        assert_eq!(from_der(&[der, &[0]].concat()), None);
        assert_eq!(from_der(&der[..der.len() - 1]), None);
        // 0x30 0x08 (02 02 00 01)(02 02 00 01): integers with a needless leading zero.
        assert_eq!(from_der(&[0x30, 8, 2, 2, 0, 1, 2, 2, 0, 1]), None);
        // Negative and zero integers.
        assert_eq!(from_der(&[0x30, 6, 2, 1, 0x80, 2, 1, 1]), None);
        assert_eq!(from_der(&[0x30, 6, 2, 1, 0, 2, 1, 1]), None);
        // Long-form length.
        assert_eq!(from_der(&[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1]), None);
        assert!(from_der(&[0x30, 6, 2, 1, 1, 2, 1, 1]).is_some());
    }

    #[test]
    fn secrets_stay_out_of_debug() {
        let key = SoftwareKey::from_secret(&[0x5A; 32]).expect("a valid scalar");
        assert!(!format!("{key:?}").to_lowercase().contains("5a5a"));
    }
}
