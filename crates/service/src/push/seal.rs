//! Message encryption for Web Push (RFC 8291) in the `aes128gcm` content coding (RFC 8188), as one record.
//!
//! On `ring`, which is in the tree: the crates made for it bring OpenSSL or a second set of elliptic curves.

use nodpay_core::PublicKey;
use nodpay_store::PushAuth;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::SystemRandom;

use crate::secrets::random;

/// What every push service takes (RFC 8030 section 7.2 allows no less), header and all.
const MAX_BODY_LEN: usize = 4_096;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;
const POINT_LEN: usize = 65;
/// Salt, record size, length of the key id, key id.
const HEADER_LEN: usize = SALT_LEN + 4 + 1 + POINT_LEN;
/// Messages are filled up to a multiple of this, so that their length says little of what is in them.
const PAD_TO: usize = 512;
/// Longest text that [`seal`] takes, in bytes: with its padding and the one byte that ends it, it fits a record.
pub(crate) const MAX_TEXT_LEN: usize = (MAX_BODY_LEN - HEADER_LEN - TAG_LEN) / PAD_TO * PAD_TO - 1;

/// A message could not be encrypted: the phone's key is no point of the curve, or the text is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be encrypted for this phone")]
pub(crate) struct SealError;

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// The body of a push message that only the phone with `key` and `auth` can read.
pub(crate) fn seal(key: &PublicKey, auth: &PushAuth, text: &[u8]) -> Result<Vec<u8>, SealError> {
    if text.len() > MAX_TEXT_LEN {
        return Err(SealError);
    }
    let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())?;
    let public = private.compute_public_key()?;
    let salt = random::<SALT_LEN>().map_err(|_| SealError)?;
    let mut padded = text.to_vec();
    padded.push(2);
    padded.resize(padded.len().next_multiple_of(PAD_TO), 0);
    let peer = UnparsedPublicKey::new(&ECDH_P256, key.as_bytes());
    agree_ephemeral(private, &peer, |shared| record(shared, key, auth, public.as_ref(), salt, padded))?
}

/// One record over `padded`, from the secret that both keys agree on.
fn record(
    shared: &[u8],
    key: &PublicKey,
    auth: &PushAuth,
    sender: &[u8],
    salt: [u8; SALT_LEN],
    mut padded: Vec<u8>,
) -> Result<Vec<u8>, SealError> {
    let info = [b"WebPush: info\0".as_slice(), key.as_bytes(), sender].concat();
    let keying: [u8; 32] = expand(&auth.0, shared, &info)?;
    let content_key: [u8; 16] = expand(&salt, &keying, b"Content-Encoding: aes128gcm\0")?;
    let nonce: [u8; NONCE_LEN] = expand(&salt, &keying, b"Content-Encoding: nonce\0")?;
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content_key)?);
    cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut padded)?;
    let record_size = u32::try_from(MAX_BODY_LEN).map_err(|_| SealError)?.to_be_bytes();
    let id_len = u8::try_from(sender.len()).map_err(|_| SealError)?;
    Ok([&salt[..], &record_size, &[id_len], sender, &padded].concat())
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF with SHA-256 (RFC 5869).
fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; N], SealError> {
    let mut out = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(&[info], Len(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        nodpay_core::Bytes::<1, 4096>::from_str(text).expect("base64url").as_bytes().to_vec()
    }

    use std::str::FromStr as _;

    fn keys() -> (PublicKey, PushAuth) {
        let key = bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg");
        (PublicKey::try_from(&key[..]).expect("a point"), PushAuth(auth.try_into().expect("16 bytes")))
    }

    /// RFC 8291 section 5 and appendix A, from the shared secret on; what comes before it is `ring`'s, and is tried with real
    /// subscriptions where messages are delivered.
    #[test]
    fn the_example_of_rfc_8291() {
        let (key, auth) = keys();
        let shared = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let sender = bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().expect("16 bytes");
        let mut text = b"When I grow up, I want to be a watermelon".to_vec();
        text.push(2);
        let body = record(&shared, &key, &auth, &sender, salt, text).expect("sealed");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8\
                        wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(body, bytes(expected));
    }

    /// The intermediate values of appendix A.
    #[test]
    fn the_keys_of_rfc_8291() {
        let (key, auth) = keys();
        let shared = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let sender = bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let info = [b"WebPush: info\0".as_slice(), key.as_bytes(), &sender].concat();
        let keying: [u8; 32] = expand(&auth.0, &shared, &info).expect("keys");
        assert_eq!(keying.to_vec(), bytes("S4lYMb_L0FxCeq0WhDx813KgSYqU26kOyzWUdsXYyrg"));
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let content_key: [u8; 16] = expand(&salt, &keying, b"Content-Encoding: aes128gcm\0").expect("keys");
        assert_eq!(content_key.to_vec(), bytes("oIhVW04MRdy2XN9CiKLxTg"));
        let nonce: [u8; 12] = expand(&salt, &keying, b"Content-Encoding: nonce\0").expect("keys");
        assert_eq!(nonce.to_vec(), bytes("4h_95klXJ5E_qnoN"));
    }

    #[test]
    fn lengths_say_little_and_fit() {
        let (key, auth) = keys();
        let len = |text: usize| seal(&key, &auth, &vec![b'x'; text]).map(|body| body.len());
        assert_eq!(len(1), len(500));
        assert!(len(MAX_TEXT_LEN).expect("sealed") <= MAX_BODY_LEN);
        assert_eq!(len(MAX_TEXT_LEN + 1), Err(SealError));
        let no_point = PublicKey::try_from(&[4; 65][..]).expect("its form");
        assert_eq!(seal(&no_point, &auth, b"x"), Err(SealError));
    }
}
