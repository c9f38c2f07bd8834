//! A guardian's passkey signs (Web Authentication Level 3, section 7.2): the challenge is a digest of our bytes, so the
//! assertion is a signature over them.
//!
//! On the wire: `payload.credential.authenticatorData.clientDataJSON.signature`, each unpadded base64url of its bytes.
//! The signature is strict DER, as authenticators make it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nodpay_core::{Amount, CredentialId, Digest, Guardian};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::digest::labelled;
use crate::key::{from_der, sha256, to_der, verify_fixed};
use crate::{SignError, Signer, VerifyError};

/// Longest assertion-signed message taken, in bytes.
pub const MAX_ASSERTION_LEN: usize = 16_384;
const MAX_CLIENT_DATA_LEN: usize = 2_048;

/// `type` of a WebAuthn assertion's client data.
const TYPE_GET: &str = "webauthn.get";
/// `type` where the browser showed a payment first (Secure Payment Confirmation).
const TYPE_PAYMENT: &str = "payment.get";
/// What the pages have the browser show as the means of payment; nothing else may be written there.
pub const PAYMENT_INSTRUMENT: &str = "Nodpay 点头付";
/// `type` that the demo's software keys use instead, so that nothing but a demo can mistake one for a passkey.
const TYPE_DEMO: &str = "nodpay.demo";

const FLAG_USER_PRESENT: u8 = 0x01;
const FLAG_USER_VERIFIED: u8 = 0x04;
const FLAG_BACKUP_ELIGIBLE: u8 = 0x08;
const FLAG_BACKED_UP: u8 = 0x10;
const KNOWN_FLAGS: u8 = FLAG_USER_PRESENT | FLAG_USER_VERIFIED | FLAG_BACKUP_ELIGIBLE | FLAG_BACKED_UP;

/// What an assertion is made for; domain-separates the challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionKind {
    /// A household log entry.
    Log,
    Decision,
    /// Opening a session of the guardian's pages; signs a challenge of the service.
    Login,
    /// A newcomer asks to be a guardian; signs a [`GuardianClaim`](crate::GuardianClaim).
    GuardianClaim,
    /// Charging the household's card for its wallet; signs a [`CardTopUp`](crate::CardTopUp).
    TopUp,
}

impl AssertionKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Decision => "decision",
            Self::Login => "login",
            Self::GuardianClaim => "guardian-claim",
            Self::TopUp => "top-up",
        }
    }

    /// Digest of a whole assertion-signed message, labelled `nodpay/NAME/1`.
    pub(crate) fn digest(self, wire: &str) -> Digest {
        labelled(&format!("nodpay/{}/1", self.name()), &[wire.as_bytes()])
    }
}

/// The challenge a guardian's passkey signs for `payload`: `SHA-256("nodpay/NAME-challenge/1" ‖ 0x00 ‖ payload)`.
#[must_use]
pub fn challenge(kind: AssertionKind, payload: &[u8]) -> Digest {
    labelled(&format!("nodpay/{}-challenge/1", kind.name()), &[payload])
}

/// Who a verifier believes the pages to be. From configuration or pairing, never from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    pub rp_id: String,
    /// Exact origins, scheme and port included.
    pub origins: Vec<String>,
    /// Also take the demo's software keys. Only `nodpay demo` sets this.
    pub demo_keys: bool,
}

/// The parts of an assertion-signed message, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    pub payload: Vec<u8>,
    pub credential: CredentialId,
    pub authenticator_data: Vec<u8>,
    pub client_data: Vec<u8>,
    pub signature: Vec<u8>,
}

/// `crossOrigin` and `topOrigin` must be absent or harmless; fields we do not know are the browser's business and are
/// covered by the signature.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin")]
    cross_origin: Option<bool>,
    #[serde(rename = "topOrigin")]
    top_origin: Option<String>,
    payment: Option<ClientPayment>,
}

/// What the browser showed (Secure Payment Confirmation, `CollectedClientAdditionalPaymentData`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientPayment {
    rp_id: String,
    top_origin: String,
    payee_name: Option<String>,
    payee_origin: Option<String>,
    #[serde(default)]
    payment_entities_logos: Vec<Value>,
    total: PaymentTotal,
    instrument: PaymentInstrument,
}

#[derive(Deserialize)]
struct PaymentTotal {
    currency: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentInstrument {
    icon: String,
    display_name: String,
    details: Option<String>,
}

/// The payment that a browser showed to the guardian, with nothing beside it that could say something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPayment {
    payee: String,
    currency: String,
    value: String,
}

impl ShownPayment {
    /// Whether it is this payment: the payee's name letter for letter, all of the currency's decimal places.
    #[must_use]
    pub fn is(&self, payee: &str, total: Amount) -> bool {
        self.payee == payee && self.currency == total.currency().code() && self.value == total.decimal()
    }
}

/// What an assertion says beside its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// The authenticator's signature counter: the service refuses one that does not rise (unless both are 0); other
    /// verifiers ignore it.
    pub counter: u32,
    /// Where a browser showed a payment. Only decisions have one.
    pub shown: Option<ShownPayment>,
}

impl Assertion {
    /// Splits a message without believing any of it.
    pub fn parse(wire: &str) -> Result<Self, VerifyError> {
        if wire.len() > MAX_ASSERTION_LEN {
            return Err(VerifyError::TooLong);
        }
        let mut parts = wire.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).map_err(|_| VerifyError::Malformed));
        let mut next = || parts.next().ok_or(VerifyError::Malformed)?;
        let parsed = Self {
            payload: next()?,
            credential: next()?.try_into().map_err(|_| VerifyError::Malformed)?,
            authenticator_data: next()?,
            client_data: next()?,
            signature: next()?,
        };
        if next().is_ok() || wire.split('.').count() != 5 { Err(VerifyError::Malformed) } else { Ok(parsed) }
    }

    /// What an authenticator would return for `payload`, made by a key in software: for tests, benchmarks and guardians
    /// who are programs; with `demo`, marked so that only a demo takes it. Counter 0, never backed up.
    pub fn by_software_key(
        kind: AssertionKind,
        payload: Vec<u8>,
        credential: CredentialId,
        signer: &(impl Signer + ?Sized),
        rp: &RelyingParty,
        demo: bool,
    ) -> Result<Self, SignError> {
        let client_data = json!({
            "type": if demo { TYPE_DEMO } else { TYPE_GET },
            "challenge": challenge(kind, &payload).to_string(),
            "origin": rp.origins.first(),
            "crossOrigin": false,
        });
        Self::over(&client_data, payload, credential, signer, rp)
    }

    /// What an authenticator would return for a decision after the browser showed the payment; for tests.
    pub fn by_shown_payment(
        payload: Vec<u8>,
        credential: CredentialId,
        signer: &(impl Signer + ?Sized),
        rp: &RelyingParty,
        (payee, total): (&str, Amount),
    ) -> Result<Self, SignError> {
        let origin = rp.origins.first();
        let client_data = json!({
            "type": TYPE_PAYMENT,
            "challenge": challenge(AssertionKind::Decision, &payload).to_string(),
            "origin": origin,
            "crossOrigin": false,
            "payment": {
                "rpId": rp.rp_id,
                "topOrigin": origin,
                "payeeName": payee,
                "paymentEntitiesLogos": [],
                "total": { "value": total.decimal(), "currency": total.currency() },
                "instrument": {
                    "icon": format!("{}/static/img/logo.svg", origin.map_or("", String::as_str)),
                    "displayName": PAYMENT_INSTRUMENT,
                },
            },
        });
        Self::over(&client_data, payload, credential, signer, rp)
    }

    fn over(
        client_data: &Value,
        payload: Vec<u8>,
        credential: CredentialId,
        signer: &(impl Signer + ?Sized),
        rp: &RelyingParty,
    ) -> Result<Self, SignError> {
        let mut authenticator_data = sha256(rp.rp_id.as_bytes()).to_vec();
        authenticator_data.push(FLAG_USER_PRESENT | FLAG_USER_VERIFIED);
        authenticator_data.extend_from_slice(&[0; 4]);
        let client_data = client_data.to_string().into_bytes();
        let mut signed = authenticator_data.clone();
        signed.extend_from_slice(&sha256(&client_data));
        let signature = to_der(&signer.sign(&signed)?).ok_or_else(|| SignError("not a signature".to_owned()))?;
        Ok(Self { payload, credential, authenticator_data, client_data, signature })
    }

    #[must_use]
    pub fn to_wire(&self) -> String {
        let parts: [&[u8]; 5] =
            [&self.payload, self.credential.as_bytes(), &self.authenticator_data, &self.client_data, &self.signature];
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    /// Checks everything but the payload's meaning, and that a shown payment is the payload's.
    pub fn verify(&self, kind: AssertionKind, guardian: &Guardian, rp: &RelyingParty) -> Result<Asserted, VerifyError> {
        if self.credential != guardian.credential {
            return Err(VerifyError::UnknownGuardian);
        }
        if self.client_data.len() > MAX_CLIENT_DATA_LEN {
            return Err(VerifyError::TooLong);
        }
        let signature = from_der(&self.signature).ok_or(VerifyError::Signature)?;
        let mut signed = self.authenticator_data.clone();
        signed.extend_from_slice(&sha256(&self.client_data));
        if !verify_fixed(&guardian.key, &signed, &signature) {
            return Err(VerifyError::Signature);
        }
        let counter = self.check_authenticator_data(guardian, rp)?;
        let shown = self.check_client_data(kind, rp)?;
        Ok(Asserted { counter, shown })
    }

    fn check_authenticator_data(&self, guardian: &Guardian, rp: &RelyingParty) -> Result<u32, VerifyError> {
        // rpIdHash (32) ‖ flags (1) ‖ signCount (4); attested data and extensions have no place in an assertion here.
        let data: &[u8; 37] =
            self.authenticator_data.as_slice().try_into().map_err(|_| VerifyError::AuthenticatorData)?;
        let [rp_id_hash @ .., flags, c0, c1, c2, c3] = data;
        if *rp_id_hash != sha256(rp.rp_id.as_bytes()) {
            return Err(VerifyError::WrongRpId);
        }
        if flags & !KNOWN_FLAGS != 0 {
            return Err(VerifyError::AuthenticatorData);
        }
        if flags & FLAG_USER_PRESENT == 0 || flags & FLAG_USER_VERIFIED == 0 {
            return Err(VerifyError::UserNotVerified);
        }
        let eligible = flags & FLAG_BACKUP_ELIGIBLE != 0;
        if eligible != guardian.backup_eligible || (flags & FLAG_BACKED_UP != 0 && !eligible) {
            return Err(VerifyError::AuthenticatorData);
        }
        Ok(u32::from_be_bytes([*c0, *c1, *c2, *c3]))
    }

    fn check_client_data(&self, kind: AssertionKind, rp: &RelyingParty) -> Result<Option<ShownPayment>, VerifyError> {
        let client: ClientData = serde_json::from_slice(&self.client_data).map_err(|_| VerifyError::ClientData)?;
        match (client.kind.as_str(), &client.payment) {
            (TYPE_GET, None) => {}
            (TYPE_PAYMENT, Some(_)) if kind == AssertionKind::Decision => {}
            (TYPE_DEMO, None) if rp.demo_keys => {}
            (TYPE_DEMO, None) => return Err(VerifyError::DemoKey),
            _ => return Err(VerifyError::ClientData),
        }
        if client.challenge != challenge(kind, &self.payload).to_string() {
            return Err(VerifyError::WrongChallenge);
        }
        if !rp.origins.contains(&client.origin) {
            return Err(VerifyError::WrongOrigin);
        }
        if client.cross_origin == Some(true) || client.top_origin.is_some() {
            return Err(VerifyError::CrossOrigin);
        }
        client.payment.map(|payment| payment.check(&client.origin, rp)).transpose()
    }
}

impl ClientPayment {
    /// Secure Payment Confirmation, section 7: for this rp id, in a page of our own and not inside another's, and no words
    /// on it but the payee's name, the total and our instrument.
    fn check(self, origin: &str, rp: &RelyingParty) -> Result<ShownPayment, VerifyError> {
        if self.rp_id != rp.rp_id {
            return Err(VerifyError::WrongRpId);
        }
        if self.top_origin != origin {
            return Err(VerifyError::CrossOrigin);
        }
        let PaymentInstrument { icon, display_name, details } = self.instrument;
        let own_icon = icon.strip_prefix(origin).is_some_and(|path| path.starts_with('/'));
        let silent = self.payee_origin.is_none() && self.payment_entities_logos.is_empty() && details.is_none();
        if !own_icon || !silent || display_name != PAYMENT_INSTRUMENT {
            return Err(VerifyError::ClientData);
        }
        let payee = self.payee_name.ok_or(VerifyError::ClientData)?;
        Ok(ShownPayment { payee, currency: self.total.currency, value: self.total.value })
    }
}
