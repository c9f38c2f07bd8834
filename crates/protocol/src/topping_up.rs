//! A guardian has the household's card on file charged, and the money put into its wallet.

use nodpay_core::{Amount, GuardianId, HouseholdId, Nonce, Timestamp, TransferId, V1};
use serde::{Deserialize, Serialize};

use crate::digest::labelled;
use crate::{AssertionKind, LogBook, Verified, VerifyError};

/// Signed by a guardian's passkey over exactly this amount; the service relies on it, nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardTopUp {
    pub v: V1,
    pub household: HouseholdId,
    pub guardian: GuardianId,
    pub amount: Amount,
    pub at: Timestamp,
    /// Makes it one of its kind: the same one again is the same charge, whatever its signature's bytes.
    pub nonce: Nonce,
}

impl CardTopUp {
    /// The transfer that it is in the books and at the rail: the first 16 bytes of a digest over household and nonce.
    #[must_use]
    pub fn transfer(&self) -> TransferId {
        let digest = labelled("nodpay/top-up-id/1", &[self.household.as_bytes(), self.nonce.as_bytes()]);
        let mut id = [0; TransferId::LEN];
        id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        TransferId::from_bytes(id)
    }
}

/// By a guardian of the household, over an amount. Whether they still may act, and when it was signed, the caller compares with
/// its own time. The counter is the authenticator's.
pub fn verify_card_top_up(wire: &str, book: &LogBook) -> Result<(Verified<CardTopUp>, u32), VerifyError> {
    let (assertion, guardian, asserted) = book.assertion(AssertionKind::TopUp, wire)?;
    let top_up: CardTopUp =
        serde_json::from_slice(&assertion.payload).map_err(|error| VerifyError::Payload(error.to_string()))?;
    if top_up.guardian != guardian.guardian {
        return Err(VerifyError::UnknownGuardian);
    }
    if top_up.household != book.household() {
        return Err(VerifyError::OtherHousehold);
    }
    let digest = AssertionKind::TopUp.digest(wire);
    Ok((Verified::new(top_up, wire.to_owned(), digest), asserted.counter))
}
