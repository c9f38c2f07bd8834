//! Requests that carry no signed message (reads, event streams) carry a short proof by the device key, after RFC 9449
//! (DPoP): method and address, time, and a nonce used once.

use nodpay_core::{Nonce, PublicKey, Timestamp, V1};
use serde::{Deserialize, Serialize};

use crate::jws::open;
use crate::{Kind, SignError, Signer, VerifyError};

/// A proof is good for this long around the service's clock.
pub const MAX_PROOF_AGE_MS: i64 = 60_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestProof {
    pub v: V1,
    /// Method in capitals.
    pub htm: String,
    /// Path and query, as sent.
    pub htu: String,
    pub iat: Timestamp,
    pub jti: Nonce,
}

/// The value of the `DPoP` header for one request.
pub fn sign_request(
    method: &str,
    path: &str,
    now: Timestamp,
    nonce: Nonce,
    signer: &(impl Signer + ?Sized),
) -> Result<String, SignError> {
    let proof = RequestProof { v: V1, htm: method.to_owned(), htu: path.to_owned(), iat: now, jti: nonce };
    crate::sign(Kind::RequestProof, proof, signer).map(|signed| signed.wire().to_owned())
}

/// Checks a proof against the request it came with. The caller remembers `jti` for [`MAX_PROOF_AGE_MS`] and refuses a
/// second use.
pub fn verify_request(
    wire: &str,
    key: &PublicKey,
    method: &str,
    path: &str,
    now: Timestamp,
) -> Result<RequestProof, VerifyError> {
    let proof = open::<RequestProof>(Kind::RequestProof, wire, key)?.into_payload();
    if proof.htm != method || proof.htu != path {
        return Err(VerifyError::OtherRequest);
    }
    if now.ms_since(proof.iat).abs() > MAX_PROOF_AGE_MS {
        return Err(VerifyError::ProofAge);
    }
    Ok(proof)
}
