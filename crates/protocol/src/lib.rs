//! The exact bytes of Nodpay: who signs what, how it is digested, and what a verifier must check.
//!
//! Signed bytes travel as they were signed and are verified before they are parsed. Only verification makes a
//! [`Verified`]. Which key, origin and rp id to expect comes from configuration or enrolment, never from the message.
//!
//! Never does: I/O, clocks, random numbers. `docs/PROTOCOL.md` is the same in prose, with test vectors.

mod assertion;
pub mod code;
mod digest;
mod evidence;
mod joining;
mod jws;
mod key;
mod pairing;
mod proof;
mod recovery;
mod topping_up;
mod verify;

pub use assertion::{
    Asserted, Assertion, AssertionKind, MAX_ASSERTION_LEN, PAYMENT_INSTRUMENT, RelyingParty, ShownPayment, challenge,
};
pub use digest::{name_digest, payment_id};
pub use evidence::{Anchor, AnchorGuardian, Evidence, EvidenceError, Report, verify_evidence};
pub use joining::{GuardianClaim, verify_guardian_claim};
pub use jws::{Kind, MAX_JWS_LEN, Verified, sign};
pub use key::{SignError, Signer, SoftwareKey, sha256};
pub use pairing::{PairingClaim, PairingCode, PairingSecret, check_digits, verify_pairing_claim};
pub use proof::{MAX_PROOF_AGE_MS, RequestProof, sign_request, verify_request};
pub use recovery::{RECOVERY_SYMBOLS, RecoveryCode};
pub use topping_up::{CardTopUp, verify_card_top_up};
pub use verify::{
    LogBook, MAX_WEARER_CHECK_AGE_MS, VerifyError, bill_of_order, bill_said, check_nods, code_of_static_bill,
    entry_said, signed_outcome, verify_bill, verify_cancel, verify_decision, verify_first_nod, verify_mandate,
    verify_mandate_payment, verify_merchant_certificate, verify_order, verify_ordered_bill, verify_outcome,
    verify_outcome_certificate, verify_payment, verify_pin_report, verify_requote, verify_result, verify_static_bill,
};
