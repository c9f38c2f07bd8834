//! Inviting a guardian: an existing one shows a one-time secret in a link, the newcomer proves to have seen it, as a watch
//! does while pairing. The service relays the proof but never learns the secret.

use nodpay_core::{Digest, Guardian, HouseholdId, LogEntry, PairingId, PublicKey, V1};
use serde::{Deserialize, Serialize};

use crate::jws::open;
use crate::{Assertion, AssertionKind, Kind, PairingSecret, RelyingParty, Verified, VerifyError};

/// The newcomer asks to be admitted. Signed by the new passkey, which it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardianClaim {
    pub v: V1,
    /// The invitation.
    pub pairing: PairingId,
    pub household: HouseholdId,
    pub guardian: Guardian,
    /// [`PairingSecret::prove_guardian`].
    pub proof: Digest,
}

/// As the name says of a watch's claim: the key comes out of the message, the proof inside binds it to the secret, and its
/// signature binds the rest. The service calls this; the inviting phone checks the proof as well.
pub fn verify_guardian_claim(wire: &str, rp: &RelyingParty) -> Result<Verified<GuardianClaim>, VerifyError> {
    let assertion = Assertion::parse(wire)?;
    let claim: GuardianClaim =
        serde_json::from_slice(&assertion.payload).map_err(|error| VerifyError::Payload(error.to_string()))?;
    assertion.verify(AssertionKind::GuardianClaim, &claim.guardian, rp)?;
    Ok(Verified::new(claim, wire.to_owned(), AssertionKind::GuardianClaim.digest(wire)))
}

impl PairingSecret {
    /// Constant-time check of [`Self::prove_guardian`].
    #[must_use]
    pub fn is_proved_by_guardian(&self, claim: &GuardianClaim) -> bool {
        self.proves(&message(claim.pairing, claim.household, &claim.guardian), &claim.proof)
    }

    /// HMAC-SHA256 (RFC 2104) over label, invitation, household, guardian, key and credential.
    #[must_use]
    pub fn prove_guardian(&self, pairing: PairingId, household: HouseholdId, guardian: &Guardian) -> Digest {
        self.authenticate(&message(pairing, household, guardian))
    }
}

fn message(pairing: PairingId, household: HouseholdId, guardian: &Guardian) -> Vec<u8> {
    let parts: [&[u8]; 7] = [
        b"nodpay/guardian-proof/1",
        &[0],
        pairing.as_bytes(),
        household.as_bytes(),
        guardian.guardian.as_bytes(),
        guardian.key.as_bytes(),
        guardian.credential.as_bytes(),
    ];
    parts.concat()
}

/// A recovery entry, and which of the household's unused recovery keys signed it.
pub(crate) fn open_recovery<'a>(
    wire: &str,
    keys: impl Iterator<Item = &'a PublicKey>,
) -> Result<(LogEntry, PublicKey), VerifyError> {
    let mut last = VerifyError::Signature;
    for key in keys {
        match open::<LogEntry>(Kind::Recovery, wire, key) {
            Ok(entry) => return Ok((entry.into_payload(), *key)),
            Err(error) => last = error,
        }
    }
    Err(last)
}
