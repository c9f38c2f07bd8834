//! JWS compact serialisation (RFC 7515 section 7.1) with ES256, reduced to what cannot go wrong: each message kind has
//! one constant header, compared byte by byte and never parsed. So there is no `alg` to choose and no key to smuggle in.

use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nodpay_core::{Digest, PublicKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::labelled;
use crate::key::{is_low_s, low_s, verify_fixed};
use crate::{SignError, Signer, VerifyError};

/// Longest message taken, in bytes: a bill of 64 lines with the longest names fits.
pub const MAX_JWS_LEN: usize = 65_536;

/// A kind of message signed as JWS. Its `typ` is `nodpay-` and its name; digests of it are labelled
/// `nodpay/NAME/1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MerchantCertificate,
    OutcomeCertificate,
    Bill,
    /// A bill that a watch made of a printed code.
    StaticBill,
    PairingClaim,
    Order,
    Payment,
    Cancel,
    Outcome,
    Result,
    PinReport,
    RequestProof,
    /// A household log entry that a recovery key signs.
    Recovery,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::MerchantCertificate,
        Self::OutcomeCertificate,
        Self::Bill,
        Self::StaticBill,
        Self::PairingClaim,
        Self::Order,
        Self::Payment,
        Self::Cancel,
        Self::Outcome,
        Self::Result,
        Self::PinReport,
        Self::RequestProof,
        Self::Recovery,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MerchantCertificate => "merchant-certificate",
            Self::OutcomeCertificate => "outcome-certificate",
            Self::Bill => "bill",
            Self::StaticBill => "static-bill",
            Self::PairingClaim => "pairing-claim",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Cancel => "cancel",
            Self::Outcome => "outcome",
            Self::Result => "result",
            Self::PinReport => "pin-report",
            Self::RequestProof => "request-proof",
            Self::Recovery => "recovery",
        }
    }

    fn header(self) -> String {
        URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","typ":"nodpay-{}"}}"#, self.name()))
    }

    /// Digest of a whole message, signature included.
    pub(crate) fn digest(self, wire: &str) -> Digest {
        labelled(&format!("nodpay/{}/1", self.name()), &[wire.as_bytes()])
    }
}

/// A message whose signature and content were checked. Only verification (and signing) in this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    payload: T,
    wire: String,
    digest: Digest,
}

impl<T> Verified<T> {
    pub(crate) const fn new(payload: T, wire: String, digest: Digest) -> Self {
        Self { payload, wire, digest }
    }

    /// The message exactly as it was signed and received.
    #[must_use]
    pub fn wire(&self) -> &str {
        &self.wire
    }

    /// What later messages name this one by.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    #[must_use]
    pub fn into_payload(self) -> T {
        self.payload
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.payload
    }
}

/// Signs `payload` as a message of `kind`.
pub fn sign<T: Serialize>(kind: Kind, payload: T, signer: &(impl Signer + ?Sized)) -> Result<Verified<T>, SignError> {
    let json = serde_json::to_vec(&payload).map_err(|error| SignError(error.to_string()))?;
    let mut wire = format!("{}.{}", kind.header(), URL_SAFE_NO_PAD.encode(json));
    let signature = low_s(signer.sign(wire.as_bytes())?);
    wire.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut wire);
    let digest = kind.digest(&wire);
    Ok(Verified::new(payload, wire, digest))
}

/// The content of a message of `kind`, not verified.
pub(crate) fn said<T: DeserializeOwned>(kind: Kind, wire: &str) -> Result<T, VerifyError> {
    if wire.len() > MAX_JWS_LEN {
        return Err(VerifyError::TooLong);
    }
    let (signed, _) = wire.rsplit_once('.').ok_or(VerifyError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(VerifyError::Malformed)?;
    if header != kind.header() {
        return Err(VerifyError::WrongKind);
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| VerifyError::Malformed)?;
    serde_json::from_slice(&payload).map_err(|error| VerifyError::Payload(error.to_string()))
}

/// Signature first, then the payload's form. What the payload says is checked by `verify`.
pub(crate) fn open<T: DeserializeOwned>(kind: Kind, wire: &str, key: &PublicKey) -> Result<Verified<T>, VerifyError> {
    if wire.len() > MAX_JWS_LEN {
        return Err(VerifyError::TooLong);
    }
    let (signed, signature) = wire.rsplit_once('.').ok_or(VerifyError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(VerifyError::Malformed)?;
    if header != kind.header() {
        return Err(VerifyError::WrongKind);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| VerifyError::Malformed)?;
    let signature: [u8; 64] = signature.try_into().map_err(|_| VerifyError::Malformed)?;
    if !is_low_s(&signature) || !verify_fixed(key, signed.as_bytes(), &signature) {
        return Err(VerifyError::Signature);
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| VerifyError::Malformed)?;
    let payload = serde_json::from_slice(&payload).map_err(|error| VerifyError::Payload(error.to_string()))?;
    Ok(Verified::new(payload, wire.to_owned(), kind.digest(wire)))
}
