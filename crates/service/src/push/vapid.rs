//! Who sends: the operator's signature on every push message (RFC 8292, "VAPID").

use nodpay_core::{Bytes, Timestamp};
use nodpay_protocol::{SignError, Signer as _, SoftwareKey};
use serde::Serialize;

/// A token is good for this long; the RFC allows 24 hours.
const TOKEN_LIFE_MS: i64 = 12 * 60 * 60 * 1000;
/// The only header there is, in base64url: `{"typ":"JWT","alg":"ES256"}`.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9";
/// Longest part of a token, in bytes.
const MAX_PART_LEN: usize = 4_096;

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    /// Seconds.
    exp: i64,
    sub: &'a str,
}

/// The value of `Authorization` for a message to the push service at `audience`, an origin.
pub(crate) fn authorization(
    key: &SoftwareKey,
    audience: &str,
    contact: &str,
    now: Timestamp,
) -> Result<String, SignError> {
    let claims = Claims { aud: audience, exp: now.plus_ms(TOKEN_LIFE_MS).unix_ms() / 1_000, sub: contact };
    let claims = serde_json::to_vec(&claims).map_err(|error| SignError(error.to_string()))?;
    let signed = format!("{HEADER}.{}", base64url(claims)?);
    let signature = key.sign(signed.as_bytes())?;
    let public = base64url(key.public_key().as_bytes().to_vec())?;
    Ok(format!("vapid t={signed}.{}, k={public}", base64url(signature.to_vec())?))
}

fn base64url(bytes: Vec<u8>) -> Result<String, SignError> {
    let bytes = Bytes::<1, MAX_PART_LEN>::try_from(bytes).map_err(|error| SignError(error.to_string()))?;
    Ok(bytes.to_string())
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_token_verifies_and_says_what_the_rfc_wants() {
        let key = SoftwareKey::from_secret(&[7; 32]).expect("a key");
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let header = authorization(&key, "https://push.example", "mailto:ops@example.org", now).expect("signs");
        let (token, public) =
            header.strip_prefix("vapid t=").and_then(|rest| rest.split_once(", k=")).expect("its form");
        assert_eq!(public, key.public_key().to_string());
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let (head, claims) = signed.split_once('.').expect("three parts");
        let read = |part: &str| part.parse::<Bytes<1, MAX_PART_LEN>>().expect("base64url").as_bytes().to_vec();
        assert_eq!(read(head), br#"{"typ":"JWT","alg":"ES256"}"#);
        let claims: serde_json::Value = serde_json::from_slice(&read(claims)).expect("JSON");
        assert_eq!(claims["aud"], "https://push.example");
        assert_eq!(claims["exp"], 1_800_000_000 + 12 * 60 * 60);
        assert_eq!(claims["sub"], "mailto:ops@example.org");
        let public = key.public_key();
        let known = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes());
        known.verify(signed.as_bytes(), &read(signature)).expect("its signature");
    }
}
