//! The guardian's side for a native phone app: follow the household log, verify an order, build the decision that the
//! guardian's passkey signs, verify how it ended.
//!
//! What is to be signed leaves as a [`Draft`] with its challenge; the platform's passkey answers, [`seal`] makes the message
//! of both, and the log or the service checks it like any other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodpay_core::{
    Amount, Bill, CredentialId, Decision, Digest, EnrolledWatch, Entry, Guardian, GuardianId, Hint, LineId, LogEntry,
    MAX_DECISION_AGE_MS, MerchantCertificate, NewWatchCap, Occasion, Order, OutcomeKind, PublicKey, Salt, StrikeError,
    SuggestedLine, Suggestion, Text, Timestamp, V1, Verdict, WatchId, WearerId, WearerMethod,
};
use nodpay_protocol::{
    Assertion, AssertionKind, LogBook, PairingCode, PairingSecret, Verified, VerifyError, challenge, check_digits,
    name_digest, verify_cancel, verify_decision, verify_first_nod, verify_mandate, verify_mandate_payment,
    verify_merchant_certificate, verify_order, verify_ordered_bill, verify_outcome, verify_outcome_certificate,
    verify_pairing_claim, verify_payment, verify_requote,
};

use crate::keys::SoftwareKey;
use crate::{Failure, parse};

/// Who the passkeys of a household belong to. From the app's own configuration, never from a message.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct RelyingParty {
    pub rp_id: String,
    /// Exact origins; of an Android app `android:apk-key-hash:…`.
    pub origins: Vec<String>,
    /// Also take the demo's software keys.
    #[uniffi(default = false)]
    pub demo_keys: bool,
}

impl From<RelyingParty> for nodpay_protocol::RelyingParty {
    fn from(rp: RelyingParty) -> Self {
        Self { rp_id: rp.rp_id, origins: rp.origins, demo_keys: rp.demo_keys }
    }
}

/// A guardian's passkey as the household knows it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct GuardianKey {
    /// 16 bytes, base64url.
    pub guardian: String,
    pub credential: Vec<u8>,
    /// The uncompressed point, 65 bytes.
    pub key: Vec<u8>,
    /// WebAuthn flag BE.
    pub backup_eligible: bool,
}

/// A name with the salt (16 bytes, base64url) of its digest in the log.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PersonName {
    pub name: String,
    pub salt: String,
}

impl PersonName {
    fn digest(&self) -> Result<Digest, Failure> {
        let name: Text<40> = text("the name", &self.name)?;
        Ok(name_digest(parse::<Salt>("the salt", &self.salt)?, name.as_str()))
    }
}

/// What a passkey is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Purpose {
    Log,
    Decision,
    /// `payload` is the service's login challenge.
    Login,
}

impl From<Purpose> for AssertionKind {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Log => Self::Log,
            Purpose::Decision => Self::Decision,
            Purpose::Login => Self::Login,
        }
    }
}

/// Bytes for the guardian to sign: the passkey gets `challenge`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Draft {
    pub purpose: Purpose,
    pub payload: Vec<u8>,
    pub challenge: Vec<u8>,
}

/// What the platform's passkey answered (Web Authentication Level 3, section 5.2.2).
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PasskeyAnswer {
    pub credential: Vec<u8>,
    pub authenticator_data: Vec<u8>,
    pub client_data: Vec<u8>,
    /// DER.
    pub signature: Vec<u8>,
}

/// A draft of `payload`: for logging in. The log makes all others.
#[uniffi::export]
#[must_use]
pub fn draft(purpose: Purpose, payload: Vec<u8>) -> Draft {
    let challenge = challenge(purpose.into(), &payload).as_bytes().to_vec();
    Draft { purpose, payload, challenge }
}

/// The message that draft and answer make. Nothing is verified: whoever takes it does that.
#[uniffi::export]
pub fn seal(draft: Draft, answer: PasskeyAnswer) -> Result<String, Failure> {
    let assertion = Assertion {
        payload: draft.payload,
        credential: credential(answer.credential)?,
        authenticator_data: answer.authenticator_data,
        client_data: answer.client_data,
        signature: answer.signature,
    };
    Ok(assertion.to_wire())
}

#[uniffi::export]
impl SoftwareKey {
    /// Answers as a passkey would: for guardians that are programs. `demo` marks it so that only a demo takes it.
    pub fn answer(
        &self,
        draft: Draft,
        credential: Vec<u8>,
        rp: RelyingParty,
        demo: bool,
    ) -> Result<PasskeyAnswer, Failure> {
        let credential = self::credential(credential)?;
        let kind = draft.purpose.into();
        let made = Assertion::by_software_key(kind, draft.payload, credential, &self.0, &rp.into(), demo)
            .map_err(|error| Failure::Key { why: error.to_string() })?;
        Ok(PasskeyAnswer {
            credential: made.credential.as_bytes().to_vec(),
            authenticator_data: made.authenticator_data,
            client_data: made.client_data,
            signature: made.signature,
        })
    }
}

/// The founding entry of a household, to be signed by its first guardian.
#[uniffi::export]
pub fn draft_founding(household: String, founder: GuardianKey, name: PersonName, at_ms: i64) -> Result<Draft, Failure> {
    let guardian = Guardian {
        guardian: parse("the guardian", &founder.guardian)?,
        credential: credential(founder.credential)?,
        key: PublicKey::try_from(founder.key.as_slice()).map_err(|why| Failure::malformed("the key", why))?,
        backup_eligible: founder.backup_eligible,
        shown_payments: false,
        name: Some(name.digest()?),
    };
    let entry = LogEntry {
        v: V1,
        household: parse("the household", &household)?,
        seq: 0,
        prev: None,
        guardian: guardian.guardian,
        at: Timestamp::from_unix_ms(at_ms),
        entry: Entry::Found(guardian),
    };
    Ok(draft(Purpose::Log, json(&entry)?))
}

/// What a pairing code says.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Pairing {
    /// Base address of the service.
    pub service: String,
    /// As the service opened it.
    pub pairing: String,
    /// The service's root key, base64url.
    pub root: String,
    pub expires_ms: i64,
    /// 16 fresh random bytes that never go to the service.
    pub secret: Vec<u8>,
}

/// A watch that knows the pairing's secret and asks to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ClaimedWatch {
    pub watch: String,
    /// The device key, base64url.
    pub key: String,
    /// Six digits that both screens show; the guardian compares them.
    pub check: String,
}

/// A watch for a wearer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Enrolment {
    pub watch: ClaimedWatch,
    /// 16 bytes, base64url; new, or one whom the household knows.
    pub wearer: String,
    pub name: PersonName,
    /// Until `cap_until_ms` one payment of the new watch may come to this at most. The household's rules bound both: without any it is
    /// 200 whole units of its currency, until 24 hours after the entry's time.
    pub cap: Amount,
    pub cap_until_ms: i64,
}

/// An order's messages as the service gives them to guardians.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OrderMessages {
    pub certificate: String,
    pub bill: String,
    #[uniffi(default = None)]
    pub requote: Option<String>,
    pub order: String,
    /// Another guardian's approval that waits for a second one (`first` of an order that is waiting).
    #[uniffi(default = None)]
    pub first: Option<String>,
}

/// How it ended, with the messages that the outcome names.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OutcomeMessages {
    pub outcome_certificate: String,
    pub outcome: String,
    #[uniffi(default = None)]
    pub decision: Option<String>,
    /// Another guardian's approval that the decision names.
    #[uniffi(default = None)]
    pub first: Option<String>,
    #[uniffi(default = None)]
    pub payment: Option<String>,
    #[uniffi(default = None)]
    pub cancel: Option<String>,
}

/// A verified order, to show.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct VerifiedOrder {
    pub order: String,
    pub watch: String,
    pub wearer: String,
    /// `pin` or `biometric`.
    pub wearer_check: String,
    pub wearer_checked_ms: i64,
    pub created_ms: i64,
    pub expires_ms: i64,
    pub reason: Option<String>,
    pub occasion: Option<Occasion>,
    pub shop: String,
    pub city: String,
    pub country: String,
    /// As first asked, none left out.
    pub lines: Vec<OrderLine>,
    /// Of the newest revision.
    pub total: Amount,
    /// The text of the shop's printed code, where the wearer scanned one and typed the amount: nobody else signed the bill.
    pub printed_code: Option<String>,
    /// The merchant must sign a reduced bill.
    pub needs_requote: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OrderLine {
    pub id: String,
    pub name: String,
    pub quantity: u32,
    /// Minor units of the total's currency.
    pub amount_minor: i64,
    pub min_age: Option<u8>,
    /// In the newest requote this line is left out.
    pub requoted_away: bool,
    /// The wearer does not ask for it: it must be struck.
    pub not_asked: bool,
}

/// What the guardian wants.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Answer {
    /// Approve without these lines.
    Approve { struck: Vec<String>, words: Option<String> },
    Refuse {
        words: Option<String>,
        /// What they would rather nod to.
        suggestion: Option<Counter>,
    },
}

/// What a guardian would rather nod to; at least one part is there.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Counter {
    /// Only these of the bill's lines, in its order.
    pub lines: Vec<CounterLine>,
    pub hint: Option<Hint>,
    /// Below the bill's total.
    pub up_to: Option<Amount>,
}

#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct CounterLine {
    pub id: String,
    /// 1 to as many as were asked.
    pub quantity: u32,
}

impl TryFrom<Counter> for Suggestion {
    type Error = Failure;

    fn try_from(counter: Counter) -> Result<Self, Failure> {
        let line = |CounterLine { id, quantity }| Ok(SuggestedLine { id: line_id(&id)?, quantity });
        let lines = counter.lines.into_iter().map(line).collect::<Result<_, Failure>>()?;
        Ok(Self { lines, hint: counter.hint, up_to: counter.up_to })
    }
}

fn line_id(id: &str) -> Result<LineId, Failure> {
    LineId::new(id).ok_or_else(|| Failure::malformed("the line", id))
}

/// How an order ended, verified.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct VerifiedOutcome {
    /// `paid`, `failed`, `refused`, `expired`, `cancelled`.
    pub kind: String,
    /// Why it failed.
    pub reason: Option<String>,
    pub total: Amount,
    pub at_ms: i64,
}

/// A household's log, every entry of it verified.
#[derive(Debug, uniffi::Object)]
pub struct HouseholdLog {
    book: Mutex<LogBook>,
    founding: Digest,
}

#[uniffi::export]
impl HouseholdLog {
    /// Starts from the founding entry. `expected` pins its digest; without it the caller must have made the entry itself.
    #[uniffi::constructor]
    pub fn found(wire: String, expected: Option<String>, rp: RelyingParty) -> Result<Arc<Self>, Failure> {
        let expected = expected.map(|digest| parse("the digest", &digest)).transpose()?;
        let book = LogBook::found(&wire, expected, rp.into())?;
        let founding = book.head();
        Ok(Arc::new(Self { book: Mutex::new(book), founding }))
    }

    /// Takes the next entry; changes nothing when it is refused.
    pub fn append(&self, wire: String) -> Result<(), Failure> {
        self.book().append(&wire)?;
        Ok(())
    }

    /// Number of entries.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.book().next_seq()
    }

    /// Digest of the newest entry.
    #[must_use]
    pub fn head(&self) -> String {
        self.book().head().to_string()
    }

    /// Digest of the founding entry: what a watch pins.
    #[must_use]
    pub fn founding(&self) -> String {
        self.founding.to_string()
    }

    /// The text of the QR code that pairs a watch.
    pub fn pairing_code(&self, pairing: Pairing) -> Result<String, Failure> {
        Ok(self.code(&pairing)?.to_text())
    }

    /// Checks that the watch knows the secret of the code that this phone showed.
    pub fn verify_claim(&self, pairing: Pairing, claim: String, key: String) -> Result<ClaimedWatch, Failure> {
        let code = self.code(&pairing)?;
        let claim = verify_pairing_claim(&claim, &parse("the key", &key)?)?;
        if claim.pairing != code.pairing || claim.household != code.household || !code.secret.is_proved_by(&claim) {
            return Err(VerifyError::Signature.into());
        }
        let check = check_digits(claim.digest());
        Ok(ClaimedWatch { watch: claim.watch.to_string(), key: claim.key.to_string(), check })
    }

    /// Enrols a watch for a wearer.
    pub fn draft_enrolment(&self, guardian: String, enrolment: Enrolment, at_ms: i64) -> Result<Draft, Failure> {
        let watch = EnrolledWatch {
            watch: parse("the watch", &enrolment.watch.watch)?,
            key: parse("the key", &enrolment.watch.key)?,
            wearer: parse::<WearerId>("the wearer", &enrolment.wearer)?,
            wearer_name: enrolment.name.digest()?,
            new_watch_cap: NewWatchCap {
                until: Timestamp::from_unix_ms(enrolment.cap_until_ms),
                per_payment: enrolment.cap,
            },
        };
        self.draft_entry(&guardian, Entry::EnrolWatch(watch), at_ms)
    }

    /// Removes a watch: it can never pay again.
    pub fn draft_removal(&self, guardian: String, watch: String, at_ms: i64) -> Result<Draft, Failure> {
        self.draft_entry(&guardian, Entry::RemoveWatch(parse::<WatchId>("the watch", &watch)?), at_ms)
    }

    /// Any other entry, as JSON of the protocol (`{"remove-guardian":"…"}`); where another guardian must agree, its proposal.
    pub fn draft_change(&self, guardian: String, change: String, at_ms: i64) -> Result<Draft, Failure> {
        let change: Entry = serde_json::from_str(&change).map_err(|error| Failure::malformed("the change", error))?;
        let book = self.book();
        let two = book.need_two(Timestamp::from_unix_ms(at_ms)) && change.needs_two(&book);
        drop(book);
        self.draft_entry(&guardian, if two { Entry::Propose(Box::new(change)) } else { change }, at_ms)
    }

    /// Verifies merchant, bill, requote and watch. `root` is the service's root key that the app pinned.
    pub fn verify_order(&self, messages: OrderMessages, root: String) -> Result<VerifiedOrder, Failure> {
        let book = self.book();
        let held = Held::verify(&book, &messages, &root)?;
        let newest = held.newest();
        let lines = held.bill.lines.iter().map(|line| OrderLine {
            id: line.id.to_string(),
            name: line.name.to_string(),
            quantity: line.quantity,
            amount_minor: line.amount.get(),
            min_age: line.min_age,
            requoted_away: !newest.lines.iter().any(|kept| kept.id == line.id),
            not_asked: held.order.without.contains(&line.id),
        });
        let order = &held.order;
        Ok(VerifiedOrder {
            order: order.order.to_string(),
            watch: order.watch.to_string(),
            wearer: order.wearer.to_string(),
            wearer_check: match order.wearer_check.method {
                WearerMethod::Pin => "pin",
                WearerMethod::Biometric => "biometric",
            }
            .to_owned(),
            wearer_checked_ms: order.wearer_check.at.unix_ms(),
            created_ms: order.created.unix_ms(),
            expires_ms: order.expires.unix_ms(),
            reason: order.reason.as_ref().map(ToString::to_string),
            occasion: order.occasion,
            shop: held.certificate.name.to_string(),
            city: held.certificate.city.to_string(),
            country: held.certificate.country.to_string(),
            lines: lines.collect(),
            total: newest.total(),
            printed_code: held.bill.code.as_ref().map(|code| code.as_str().to_owned()),
            needs_requote: held.bill.reduction == nodpay_core::Reduction::Requote,
        })
    }

    /// The decision on a verified order, to be signed. Void `MAX_DECISION_AGE_MS` (ten minutes) after `at_ms`.
    pub fn draft_decision(
        &self,
        messages: OrderMessages,
        root: String,
        guardian: String,
        answer: Answer,
        at_ms: i64,
    ) -> Result<Draft, Failure> {
        let book = self.book();
        let held = Held::verify(&book, &messages, &root)?;
        let guardian: GuardianId = parse("the guardian", &guardian)?;
        let credential = book.guardian(guardian).ok_or(VerifyError::UnknownGuardian)?.credential.clone();
        let newest = held.newest();
        let (verdict, struck, total, words, suggest) = match answer {
            Answer::Approve { struck, words } => {
                let struck = struck.iter().map(|id| line_id(id)).collect::<Result<Vec<LineId>, Failure>>()?;
                let terms = held.bill.terms(&struck, held.requote.as_deref()).map_err(VerifyError::from)?;
                if !held.order.without.iter().all(|line| struck.contains(line)) {
                    return Err(VerifyError::from(StrikeError::NotAsked).into());
                }
                (Verdict::Approve, struck, terms.total, words, None)
            }
            Answer::Refuse { words, suggestion } => {
                let suggestion = suggestion.map(Suggestion::try_from).transpose()?;
                let check = suggestion.as_ref().map(|one| one.check(&held.bill, &held.order.without));
                check.transpose().map_err(VerifyError::from)?;
                (Verdict::Refuse, Vec::new(), newest.total(), words, suggestion)
            }
        };
        // It seconds what another guardian approved: the same, or nothing.
        let first = match (&messages.first, verdict) {
            (Some(wire), Verdict::Approve) => {
                let requote = held.requote.as_ref();
                let (first, ..) = verify_decision(wire, &book, &held.order, &held.bill, requote, &held.certificate)?;
                let same = first.verdict == Verdict::Approve && first.struck == struck;
                match first.guardian == guardian {
                    true => None,
                    false if same => Some(first.digest()),
                    false => return Err(VerifyError::FirstNod.into()),
                }
            }
            (Some(_) | None, _) => None,
        };
        let at = Timestamp::from_unix_ms(at_ms);
        let decision = Decision {
            v: V1,
            order: held.order.digest(),
            bill: newest.digest(),
            struck,
            household: held.order.household,
            watch: held.order.watch,
            wearer: held.order.wearer,
            payee: held.certificate.digest(),
            total,
            verdict,
            first,
            guardian,
            credential,
            log_head: book.head(),
            at,
            pay_by: at.plus_ms(MAX_DECISION_AGE_MS),
            reason: words.map(|words| text("the words", &words)).transpose()?,
            suggest,
        };
        Ok(draft(Purpose::Decision, json(&decision)?))
    }

    /// Verifies how the order ended, and that every message which the outcome names is there and fits.
    pub fn verify_outcome(
        &self,
        messages: OrderMessages,
        ended: OutcomeMessages,
        root: String,
    ) -> Result<VerifiedOutcome, Failure> {
        let book = self.book();
        let held = Held::verify(&book, &messages, &root)?;
        let certificate = verify_outcome_certificate(&ended.outcome_certificate, &parse("the root key", &root)?)?;
        let outcome = verify_outcome(&ended.outcome, &certificate, &held.order)?;
        if outcome.at < certificate.not_before || outcome.at >= certificate.not_after {
            return Err(VerifyError::CertificateTime.into());
        }
        let decision = match &ended.decision {
            Some(wire) => {
                let requote = held.requote.as_ref();
                Some(verify_decision(wire, &book, &held.order, &held.bill, requote, &held.certificate)?.0)
            }
            None => None,
        };
        if let Some(decision) = &decision {
            let (first, requote) = (ended.first.as_deref(), held.requote.as_ref());
            verify_first_nod(decision, first, &book, &held.order, &held.bill, requote, &held.certificate)?;
        }
        if outcome.decision != decision.as_ref().map(Verified::digest) {
            return Err(VerifyError::OtherDecision.into());
        }
        if let Some(entry) = outcome.mandate {
            let answer = outcome.rule.map_or(nodpay_core::Answer::Approve, nodpay_core::Answer::Refuse);
            verify_mandate(entry, answer, &book, &held.order, &held.bill, &held.certificate)?;
        }
        let payment = match (&ended.payment, &decision) {
            (Some(wire), Some(decision)) => Some(verify_payment(wire, &book, &held.order, decision)?),
            (None, _) => None,
            (Some(wire), None) => {
                Some(verify_mandate_payment(wire, &book, &held.order, &held.bill, &held.certificate)?)
            }
        };
        if payment.as_ref().is_some_and(|payment| payment.voucher() != outcome.voucher()) {
            return Err(VerifyError::OtherPayment.into());
        }
        if outcome.payment != payment.as_ref().map(Verified::digest) {
            return Err(VerifyError::OtherPayment.into());
        }
        let paid = payment.as_ref().map(|payment| payment.total);
        if outcome.outcome == OutcomeKind::Paid && paid != Some(outcome.total) {
            return Err(VerifyError::WrongTotal.into());
        }
        let cancel = ended.cancel.as_ref().map(|wire| verify_cancel(wire, &book, &held.order)).transpose()?;
        if outcome.cancel != cancel.as_ref().map(Verified::digest) {
            return Err(VerifyError::OtherOutcome.into());
        }
        Ok(VerifiedOutcome {
            kind: outcome.outcome.as_str().to_owned(),
            reason: outcome.reason.map(|reason| reason.as_str().to_owned()),
            total: outcome.total,
            at_ms: outcome.at.unix_ms(),
        })
    }
}

impl HouseholdLog {
    /// A book is whole after every call, also after one that panicked.
    fn book(&self) -> MutexGuard<'_, LogBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn code(&self, pairing: &Pairing) -> Result<PairingCode, Failure> {
        let book = self.book();
        let secret = <[u8; 16]>::try_from(pairing.secret.as_slice());
        Ok(PairingCode {
            v: V1,
            service: pairing.service.clone(),
            pairing: parse("the pairing", &pairing.pairing)?,
            household: book.household(),
            founding: self.founding,
            root: parse("the root key", &pairing.root)?,
            rp_id: book.relying_party().rp_id.clone(),
            origins: book.relying_party().origins.clone(),
            expires: Timestamp::from_unix_ms(pairing.expires_ms),
            secret: PairingSecret::from_bytes(secret.map_err(|_| Failure::malformed("the secret", "not 16 bytes"))?),
        })
    }

    fn draft_entry(&self, guardian: &str, entry: Entry, at_ms: i64) -> Result<Draft, Failure> {
        let book = self.book();
        let entry = LogEntry {
            v: V1,
            household: book.household(),
            seq: book.next_seq(),
            prev: Some(book.head()),
            guardian: parse("the guardian", guardian)?,
            at: Timestamp::from_unix_ms(at_ms),
            entry,
        };
        Ok(draft(Purpose::Log, json(&entry)?))
    }
}

/// An order's messages, verified.
struct Held {
    certificate: Verified<MerchantCertificate>,
    bill: Verified<Bill>,
    requote: Option<Verified<Bill>>,
    order: Verified<Order>,
}

impl Held {
    fn verify(book: &LogBook, messages: &OrderMessages, root: &str) -> Result<Self, Failure> {
        let certificate = verify_merchant_certificate(&messages.certificate, &parse("the root key", root)?)?;
        // The sender is whichever watch of the household signed it; a bill of a printed code is that watch's too.
        let by = |watch: &EnrolledWatch| {
            let bill = verify_ordered_bill(&messages.bill, &certificate, &watch.key)?;
            let order = verify_order(&messages.order, book, watch.watch, &bill)?;
            Ok::<_, VerifyError>((bill, order))
        };
        let mut refused = VerifyError::UnknownWatch;
        for watch in book.watches_ever() {
            match by(watch) {
                Ok((bill, order)) => {
                    let requote = messages.requote.as_ref();
                    let requote = requote.map(|wire| verify_requote(wire, &certificate, &bill)).transpose()?;
                    return Ok(Self { certificate, bill, requote, order });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused.into())
    }

    fn newest(&self) -> &Verified<Bill> {
        self.requote.as_ref().unwrap_or(&self.bill)
    }
}

fn credential(bytes: Vec<u8>) -> Result<CredentialId, Failure> {
    CredentialId::try_from(bytes).map_err(|why| Failure::malformed("the credential", why))
}

fn text<const MAX: usize>(what: &str, words: &str) -> Result<Text<MAX>, Failure> {
    Text::new(words).map_err(|why| Failure::malformed(what, why))
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|why| Failure::malformed("the content", why))
}
