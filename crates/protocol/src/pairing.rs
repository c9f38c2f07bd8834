//! Pairing: the phone shows a one-time secret in a QR code, the watch proves that it has seen it. The service relays the
//! proof but never learns the secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nodpay_core::{Digest, HouseholdId, IdError, PairingId, PublicKey, Timestamp, V1, WatchId};
use ring::hmac;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::digest::labelled;
use crate::jws::open;
use crate::{Kind, Verified, VerifyError};

const PROOF_LABEL: &str = "nodpay/pairing-proof/1";
const MAX_CODE_LEN: usize = 1_024;
const MAX_ORIGINS: usize = 4;

/// 16 random bytes that phone and watch share for one pairing. Hidden in `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingSecret(Zeroizing<[u8; 16]>);

impl PairingSecret {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// HMAC-SHA256 (RFC 2104) over label, pairing, household, watch and key.
    #[must_use]
    pub fn prove(&self, pairing: PairingId, household: HouseholdId, watch: WatchId, key: &PublicKey) -> Digest {
        self.authenticate(&message(pairing, household, watch, key))
    }

    pub(crate) fn authenticate(&self, message: &[u8]) -> Digest {
        let mac = hmac::sign(&self.hmac_key(), message);
        let mut out = [0; 32];
        out.iter_mut().zip(mac.as_ref()).for_each(|(to, from)| *to = *from);
        Digest::from_bytes(out)
    }

    /// Constant-time check of [`Self::prove`].
    #[must_use]
    pub fn is_proved_by(&self, claim: &PairingClaim) -> bool {
        self.proves(&message(claim.pairing, claim.household, claim.watch, &claim.key), &claim.proof)
    }

    pub(crate) fn proves(&self, message: &[u8], proof: &Digest) -> bool {
        hmac::verify(&self.hmac_key(), message, proof.as_bytes()).is_ok()
    }

    fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice())
    }
}

fn message(pairing: PairingId, household: HouseholdId, watch: WatchId, key: &PublicKey) -> Vec<u8> {
    let parts: [&[u8]; 6] =
        [PROOF_LABEL.as_bytes(), &[0], pairing.as_bytes(), household.as_bytes(), watch.as_bytes(), key.as_bytes()];
    parts.concat()
}

impl std::fmt::Debug for PairingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairingSecret(hidden)")
    }
}

impl Serialize for PairingSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }
}

impl<'de> Deserialize<'de> for PairingSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| de::Error::custom(IdError::NotBase64Url))?;
        let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| de::Error::custom(IdError::WrongLength))?;
        Ok(Self::from_bytes(bytes))
    }
}

/// What the phone's QR code says. The watch pins all of it. JSON, at most [`MAX_CODE_LEN`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairingCode {
    /// Marks the text as ours; always 1.
    #[serde(rename = "nodpay-pairing")]
    pub v: V1,
    /// Base address of the service's API, without a trailing slash.
    pub service: String,
    pub pairing: PairingId,
    pub household: HouseholdId,
    /// Digest of the household log's founding entry, which holds the first guardian's key.
    pub founding: Digest,
    /// The service root's key. A digest would do, but the key is hardly longer and needs no second source.
    pub root: PublicKey,
    pub rp_id: String,
    pub origins: Vec<String>,
    /// 30 minutes after the phone made it.
    pub expires: Timestamp,
    pub secret: PairingSecret,
}

impl PairingCode {
    /// `None` when the text is not a pairing code of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CODE_LEN {
            return None;
        }
        let code: Self = serde_json::from_str(text).ok()?;
        let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let sound = web(&code.service)
            && !code.service.ends_with('/')
            && (1..=MAX_ORIGINS).contains(&code.origins.len())
            && code.origins.iter().all(web);
        sound.then_some(code)
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The watch asks to be enrolled. Signed by the watch's new key, which it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairingClaim {
    pub v: V1,
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub key: PublicKey,
    /// [`PairingSecret::prove`].
    pub proof: Digest,
}

/// The one place where a key comes out of the message it verifies: the claim proves possession of its own key, and the
/// proof inside it binds that key to the secret. The service calls this; the phone checks the proof as well.
pub fn verify_pairing_claim(wire: &str, key: &PublicKey) -> Result<Verified<PairingClaim>, VerifyError> {
    let claim: Verified<PairingClaim> = open(Kind::PairingClaim, wire, key)?;
    if claim.key != *key {
        return Err(VerifyError::Signature);
    }
    Ok(claim)
}

/// Six digits that phone and watch both show while pairing, from the claim's digest.
#[must_use]
pub fn check_digits(claim: Digest) -> String {
    let digest = labelled("nodpay/pairing-check/1", &[claim.as_bytes()]);
    let [a, b, c, d, ..] = digest.as_bytes();
    let number = u32::from_be_bytes([*a, *b, *c, *d]) % 1_000_000;
    format!("{:03} {:03}", number / 1000, number % 1000)
}
