//! What every party checks before it relies on a message. The same functions run in the service, on the watch and in
//! `nodpay verify`; the phone page repeats them in its own language against the same vectors.
//!
//! Each takes the message as received and what the verifier already holds, verified; it checks signature, form and
//! every binding, in that order. Absolute times are not compared here: clocks differ, deadlines are the receiver's own.

use std::ops::Deref;

use nodpay_core::{
    Answer, Asked, Bill, BillError, BillTerms, Cancel, CodeText, Decision, Digest, EnrolledWatch, Entry, Guardian,
    GuardianId, HouseholdError, HouseholdLog, Judgement, LogEntry, MAX_DECISION_AGE_MS, MAX_ORDER_LIFE_MS, Member,
    MerchantCertificate, Minor, Order, Outcome, OutcomeCertificate, OutcomeKind, Payment, PinReport, PinState,
    PublicKey, Reduction, RequoteError, ResultReport, Standing, StrikeError, SuggestionError, Timestamp, Verdict,
    Voucher, WatchId,
};

use crate::joining::open_recovery;
use crate::jws::{open, said};
use crate::{Asserted, Assertion, AssertionKind, Kind, RelyingParty, Verified, code, payment_id};

/// An order follows its wearer check within this time, or within the watch's on-wrist session where that is longer.
pub const MAX_WEARER_CHECK_AGE_MS: i64 = 120_000;

/// Why a message is not believed. `code` is stable; `Display` is one plain sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the message is too long")]
    TooLong,
    #[error("the message is not in its form")]
    Malformed,
    #[error("the message is of another kind")]
    WrongKind,
    #[error("the signature does not fit")]
    Signature,
    #[error("the signed content is not in its form: {0}")]
    Payload(String),

    #[error("the passkey is not one of this household's guardians")]
    UnknownGuardian,
    #[error("the guardian was removed from this household")]
    RevokedGuardian,
    #[error("the guardian is not admitted to this household yet")]
    GuardianNotYet,
    #[error("the authenticator data is not in its form")]
    AuthenticatorData,
    #[error("the browser's client data is not in its form")]
    ClientData,
    #[error("the passkey belongs to another rp id")]
    WrongRpId,
    #[error("the passkey was used on another origin")]
    WrongOrigin,
    #[error("the passkey was used inside another site's page")]
    CrossOrigin,
    #[error("the passkey signed something else")]
    WrongChallenge,
    #[error("the guardian was not verified by the device")]
    UserNotVerified,
    #[error("a software key of the demo signed this")]
    DemoKey,
    #[error("this guardian's approval counts only where the browser showed the payment")]
    PaymentNotShown,
    #[error("the browser showed another payment than the one that is approved")]
    OtherPaymentShown,

    #[error("the certificate is not for this merchant")]
    OtherMerchant,
    #[error("the merchant certificate was not valid when the bill was made")]
    CertificateTime,
    #[error("the scanned code of the bill does not fit it: {0}")]
    ScannedCode(&'static str),
    #[error("the bill is wrong: {0}")]
    Bill(#[from] BillError),
    #[error("the requote is wrong: {0}")]
    Requote(#[from] RequoteError),
    #[error("the strike is wrong: {0}")]
    Strike(#[from] StrikeError),
    #[error("the suggestion is wrong: {0}")]
    Suggestion(#[from] SuggestionError),
    #[error("the household log is wrong: {0}")]
    Household(#[from] HouseholdError),

    #[error("the watch is not enrolled in this household")]
    UnknownWatch,
    #[error("the watch was removed from this household")]
    RevokedWatch,
    #[error("the message is of another household")]
    OtherHousehold,
    #[error("the message is of another watch")]
    OtherWatch,
    #[error("the message is about another wearer")]
    OtherWearer,
    #[error("the message is about another order")]
    OtherOrder,
    #[error("the message is about another bill")]
    OtherBill,
    #[error("the bill was requoted since")]
    StaleBill,
    #[error("the message is about another payee")]
    OtherPayee,
    #[error("the message is over another decision")]
    OtherDecision,
    #[error("the message is about another payment")]
    OtherPayment,
    #[error("the message is about another outcome")]
    OtherOutcome,
    #[error("the total is not what the bill comes to")]
    WrongTotal,
    #[error("the decision refuses")]
    NotApproved,
    #[error("two guardians must approve so much in this household")]
    NeedsTwoNods,
    #[error("the guardian is new and may not approve so much yet")]
    OverNewcomerCap,
    #[error("the other guardian's approval is not there, or not over the same")]
    FirstNod,
    #[error("the message names a rule that is not in the household log this verifier knows")]
    UnknownMandate,
    #[error("the rule was changed or ended, or its time was over")]
    MandateOver,
    #[error("the rule does not say that to this order")]
    OutsideMandate,
    #[error("the message names a household log this verifier does not know, or an older one than before")]
    UnknownLogHead,
    #[error("the order's life is not between now and an hour")]
    OrderLife,
    #[error("the approval's life is not between now and ten minutes")]
    DecisionLife,
    #[error("the wearer check is not just before the order")]
    WearerCheck,
    #[error("the outcome contradicts itself")]
    OutcomeShape,
    #[error("the PIN report contradicts itself")]
    PinReport,

    #[error("the proof is for another request")]
    OtherRequest,
    #[error("the proof is too old or from the future")]
    ProofAge,
}

impl VerifyError {
    /// Stable code for the API and for other implementations.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "message-too-long",
            Self::Malformed => "malformed-message",
            Self::WrongKind => "wrong-message-kind",
            Self::Signature => "bad-signature",
            Self::Payload(_) => "malformed-payload",
            Self::UnknownGuardian => "unknown-guardian",
            Self::RevokedGuardian => "revoked-guardian",
            Self::GuardianNotYet => "guardian-not-yet",
            Self::AuthenticatorData => "bad-authenticator-data",
            Self::ClientData => "bad-client-data",
            Self::WrongRpId => "wrong-rp-id",
            Self::WrongOrigin => "wrong-origin",
            Self::CrossOrigin => "cross-origin",
            Self::WrongChallenge => "wrong-challenge",
            Self::UserNotVerified => "user-not-verified",
            Self::DemoKey => "demo-key-refused",
            Self::PaymentNotShown => "payment-not-shown",
            Self::OtherPaymentShown => "other-payment-shown",
            Self::OtherMerchant => "other-merchant",
            Self::CertificateTime => "certificate-not-valid",
            Self::ScannedCode(_) => "bad-scanned-code",
            Self::Bill(_) => "bad-bill",
            Self::Requote(_) => "bad-requote",
            Self::Strike(StrikeError::Everything) => "everything-struck",
            Self::Strike(StrikeError::NotThere) => "line-not-there",
            Self::Strike(_) => "bad-strike",
            Self::Suggestion(_) => "bad-suggestion",
            Self::Household(HouseholdError::NeedsTwo) => "needs-two-guardians",
            Self::Household(HouseholdError::NotCounting) => "guardian-not-counting",
            Self::Household(HouseholdError::LastGuardian) => "last-guardian",
            Self::Household(HouseholdError::ProposalOver) => "proposal-over",
            Self::Household(HouseholdError::GuardianExists) => "guardian-exists",
            Self::Household(_) => "bad-log-entry",
            Self::UnknownWatch => "unknown-watch",
            Self::RevokedWatch => "revoked-watch",
            Self::OtherHousehold => "other-household",
            Self::OtherWatch => "other-watch",
            Self::OtherWearer => "other-wearer",
            Self::OtherOrder => "other-order",
            Self::OtherBill => "other-bill",
            Self::StaleBill => "stale-bill",
            Self::OtherPayee => "other-payee",
            Self::OtherDecision => "other-decision",
            Self::OtherPayment => "other-payment",
            Self::OtherOutcome => "other-outcome",
            Self::WrongTotal => "wrong-total",
            Self::NotApproved => "not-approved",
            Self::NeedsTwoNods => "needs-two-nods",
            Self::OverNewcomerCap => "over-newcomer-cap",
            Self::FirstNod => "bad-first-nod",
            Self::UnknownMandate => "unknown-mandate",
            Self::MandateOver => "mandate-over",
            Self::OutsideMandate => "outside-mandate",
            Self::UnknownLogHead => "unknown-log-head",
            Self::OrderLife => "bad-order-life",
            Self::DecisionLife => "bad-decision-life",
            Self::WearerCheck => "bad-wearer-check",
            Self::OutcomeShape => "bad-outcome",
            Self::PinReport => "bad-pin-report",
            Self::OtherRequest => "proof-other-request",
            Self::ProofAge => "proof-age",
        }
    }
}

/// A household log whose every entry's assertion was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBook {
    log: HouseholdLog,
    rp: RelyingParty,
}

impl LogBook {
    /// Starts from the founding entry, which is signed with the key inside it. The caller must know that key or the
    /// entry's digest from elsewhere: `expected` pins the digest (the watch, from the pairing code).
    pub fn found(wire: &str, expected: Option<Digest>, rp: RelyingParty) -> Result<Self, VerifyError> {
        let digest = AssertionKind::Log.digest(wire);
        if expected.is_some_and(|expected| expected != digest) {
            return Err(VerifyError::UnknownLogHead);
        }
        let assertion = Assertion::parse(wire)?;
        let entry: LogEntry = parse(&assertion.payload)?;
        let Entry::Found(guardian) = &entry.entry else {
            return Err(HouseholdError::Founding.into());
        };
        assertion.verify(AssertionKind::Log, guardian, &rp)?;
        Ok(Self { log: HouseholdLog::found(&entry, digest)?, rp })
    }

    /// Takes the next entry; leaves the book as it was when it is refused.
    pub fn append(&mut self, wire: &str) -> Result<LogEntry, VerifyError> {
        if is_recovery(wire) {
            let (entry, key) = open_recovery(wire, self.log.recovery_keys())?;
            self.log.recover(&entry, AssertionKind::Log.digest(wire), key)?;
            return Ok(entry);
        }
        let (assertion, guardian, _) = self.assertion(AssertionKind::Log, wire)?;
        let entry: LogEntry = parse(&assertion.payload)?;
        if entry.guardian != guardian.guardian {
            return Err(VerifyError::UnknownGuardian);
        }
        self.log.append(&entry, AssertionKind::Log.digest(wire))?;
        Ok(entry)
    }

    #[must_use]
    pub const fn relying_party(&self) -> &RelyingParty {
        &self.rp
    }

    /// Verifies an assertion of any of the household's guardians.
    pub fn assertion(&self, kind: AssertionKind, wire: &str) -> Result<(Assertion, Guardian, Asserted), VerifyError> {
        let assertion = Assertion::parse(wire)?;
        let guardian = self
            .log
            .guardians()
            .find(|guardian| guardian.credential == assertion.credential)
            .ok_or(VerifyError::UnknownGuardian)?
            .clone();
        let asserted = assertion.verify(kind, &guardian, &self.rp)?;
        Ok((assertion, guardian, asserted))
    }

    /// The guardian, if they may answer orders at `now`. Whoever acts on a decision checks this as well; old signatures stay
    /// checkable.
    pub fn answering(&self, guardian: GuardianId, now: Timestamp) -> Result<&Member, VerifyError> {
        match self.log.member(guardian) {
            Some(member) if member.acts(now) => Ok(member),
            Some(member) if now < member.joins => Err(VerifyError::GuardianNotYet),
            Some(_) => Err(VerifyError::RevokedGuardian),
            None => Err(VerifyError::UnknownGuardian),
        }
    }

    /// The watch, if it may act now. Whoever acts on an order checks this as well; old signatures stay checkable.
    pub fn enrolled(&self, watch: WatchId) -> Result<&EnrolledWatch, VerifyError> {
        match (self.log.watch(watch), self.log.watch_ever(watch)) {
            (Some(watch), _) => Ok(watch),
            (None, Some(_)) => Err(VerifyError::RevokedWatch),
            (None, None) => Err(VerifyError::UnknownWatch),
        }
    }
}

/// What a log entry says, without believing any of it: to find its place, or after it was verified.
pub fn entry_said(wire: &str) -> Result<LogEntry, VerifyError> {
    if is_recovery(wire) {
        return said(Kind::Recovery, wire);
    }
    parse(&Assertion::parse(wire)?.payload)
}

/// What a bill says, without believing any of it: to look for words in bills that were verified when they came in.
pub fn bill_said(wire: &str) -> Result<Bill, VerifyError> {
    match said(Kind::Bill, wire) {
        Err(VerifyError::WrongKind) => said(Kind::StaticBill, wire),
        bill => bill,
    }
}

/// Whether a log entry is signed as a recovery: JWS has three parts, an assertion five.
fn is_recovery(wire: &str) -> bool {
    wire.split('.').count() == 3
}

impl Deref for LogBook {
    type Target = HouseholdLog;

    fn deref(&self) -> &HouseholdLog {
        &self.log
    }
}

/// The operator's word on whose key this is.
pub fn verify_merchant_certificate(wire: &str, root: &PublicKey) -> Result<Verified<MerchantCertificate>, VerifyError> {
    open(Kind::MerchantCertificate, wire, root)
}

pub fn verify_outcome_certificate(wire: &str, root: &PublicKey) -> Result<Verified<OutcomeCertificate>, VerifyError> {
    open(Kind::OutcomeCertificate, wire, root)
}

/// A bill of any revision, consistent in itself and made by the certificate's merchant.
pub fn verify_bill(wire: &str, certificate: &Verified<MerchantCertificate>) -> Result<Verified<Bill>, VerifyError> {
    let bill: Verified<Bill> = open(Kind::Bill, wire, &certificate.key)?;
    if bill.code.is_some() {
        return Err(VerifyError::ScannedCode("a merchant's bill holds none"));
    }
    check_bill(&bill, certificate)?;
    Ok(bill)
}

/// A bill that the watch with this key made of a printed code, in the name of the certificate's merchant. Whose code it
/// is, the service says; the code itself binds its currency, its amount if it has one, and the merchant if it is ours.
pub fn verify_static_bill(
    wire: &str,
    certificate: &Verified<MerchantCertificate>,
    watch: &PublicKey,
) -> Result<Verified<Bill>, VerifyError> {
    let bill: Verified<Bill> = open(Kind::StaticBill, wire, watch)?;
    let wrong = VerifyError::ScannedCode;
    let text = bill.code.as_ref().ok_or(wrong("there is none"))?.as_str();
    let scanned = code::parse(text).map_err(|_| wrong("it cannot be read"))?;
    if code::payee_of(text).is_none() {
        return Err(wrong("it names no payee"));
    }
    check_bill(&bill, certificate)?;
    if scanned.shop.is_some_and(|shop| shop != *certificate.merchant.as_bytes()) {
        return Err(wrong("it is of another merchant"));
    }
    if scanned.currency != Some(bill.currency.code()) {
        return Err(wrong("it is in another currency"));
    }
    if scanned.amount_minor.is_some_and(|minor| minor != bill.total.get()) {
        return Err(wrong("it asks for another amount"));
    }
    let one_line = bill.lines.iter().all(|line| line.quantity == 1 && line.bundle.is_none()) && bill.lines.len() == 1;
    if !one_line || bill.revision != 1 || bill.reduction != Reduction::LinesSum {
        return Err(wrong("its bill is one line for one sum"));
    }
    Ok(bill)
}

/// The bill of an order by the watch with this key: the merchant's, or one that this watch made of a printed code.
pub fn verify_ordered_bill(
    wire: &str,
    certificate: &Verified<MerchantCertificate>,
    watch: &PublicKey,
) -> Result<Verified<Bill>, VerifyError> {
    match verify_bill(wire, certificate) {
        Err(VerifyError::WrongKind) => verify_static_bill(wire, certificate, watch),
        bill => bill,
    }
}

/// The digest of a bill that the watch with this key made, and the code it scanned, for a verifier that looks up whose
/// code it is. Checks the signature and nothing else.
pub fn code_of_static_bill(wire: &str, watch: &PublicKey) -> Result<(Digest, CodeText), VerifyError> {
    let bill: Verified<Bill> = open(Kind::StaticBill, wire, watch)?;
    let code = bill.code.clone().ok_or(VerifyError::ScannedCode("there is none"))?;
    Ok((bill.digest(), code))
}

fn check_bill(bill: &Bill, certificate: &Verified<MerchantCertificate>) -> Result<(), VerifyError> {
    if bill.merchant != certificate.merchant || bill.certificate != certificate.digest() {
        return Err(VerifyError::OtherMerchant);
    }
    if bill.issued < certificate.not_before || bill.issued >= certificate.not_after {
        return Err(VerifyError::CertificateTime);
    }
    bill.check()?;
    Ok(())
}

/// A later revision that may stand in for `original` (revision 1).
pub fn verify_requote(
    wire: &str,
    certificate: &Verified<MerchantCertificate>,
    original: &Verified<Bill>,
) -> Result<Verified<Bill>, VerifyError> {
    let requote = verify_bill(wire, certificate)?;
    original.check_requote(original.digest(), &requote)?;
    Ok(requote)
}

/// `watch` is who the caller takes the sender to be (from the address it was sent to, or by trying). Whether it was
/// removed since is [`LogBook::enrolled`]'s question.
pub fn verify_order(
    wire: &str,
    book: &LogBook,
    watch: WatchId,
    bill: &Verified<Bill>,
) -> Result<Verified<Order>, VerifyError> {
    let enrolled = book.watch_ever(watch).ok_or(VerifyError::UnknownWatch)?;
    let order: Verified<Order> = open(Kind::Order, wire, &enrolled.key)?;
    if order.watch != watch {
        return Err(VerifyError::OtherWatch);
    }
    if order.household != book.household() {
        return Err(VerifyError::OtherHousehold);
    }
    if order.wearer != enrolled.wearer {
        return Err(VerifyError::OtherWearer);
    }
    if bill.revision != 1 || order.bill != bill.digest() {
        return Err(VerifyError::OtherBill);
    }
    bill.check_without(&order.without)?;
    let Some(ordered_at) = book.seq_of(order.log_head) else {
        return Err(VerifyError::UnknownLogHead);
    };
    if !(1..=MAX_ORDER_LIFE_MS).contains(&order.expires.ms_since(order.created)) {
        return Err(VerifyError::OrderLife);
    }
    let longest_ms = MAX_WEARER_CHECK_AGE_MS.max(book.session_ms(watch, ordered_at));
    if !(0..=longest_ms).contains(&order.created.ms_since(order.wearer_check.at)) {
        return Err(VerifyError::WearerCheck);
    }
    Ok(order)
}

/// Which bill an order is about, for a verifier that does not hold it. Checks the signature and nothing else.
pub fn bill_of_order(wire: &str, book: &LogBook, watch: WatchId) -> Result<Digest, VerifyError> {
    let enrolled = book.watch_ever(watch).ok_or(VerifyError::UnknownWatch)?;
    open::<Order>(Kind::Order, wire, &enrolled.key).map(|order| order.bill)
}

/// A guardian's decision on `order`, and what it lets be paid (`None` for a refusal). `requote` is the newest revision
/// the verifier knows; a decision over an older one is stale. `certificate` is the payee's. The counter is the authenticator's.
pub fn verify_decision(
    wire: &str,
    book: &LogBook,
    order: &Verified<Order>,
    bill: &Verified<Bill>,
    requote: Option<&Verified<Bill>>,
    certificate: &Verified<MerchantCertificate>,
) -> Result<(Verified<Decision>, Option<BillTerms>, u32), VerifyError> {
    let (assertion, guardian, asserted) = book.assertion(AssertionKind::Decision, wire)?;
    let decision: Decision = parse(&assertion.payload)?;
    if decision.guardian != guardian.guardian || decision.credential != guardian.credential {
        return Err(VerifyError::UnknownGuardian);
    }
    if decision.order != order.digest() {
        return Err(VerifyError::OtherOrder);
    }
    if decision.household != order.household {
        return Err(VerifyError::OtherHousehold);
    }
    if decision.watch != order.watch {
        return Err(VerifyError::OtherWatch);
    }
    if decision.wearer != order.wearer {
        return Err(VerifyError::OtherWearer);
    }
    if decision.payee != bill.certificate || decision.payee != certificate.digest() {
        return Err(VerifyError::OtherPayee);
    }
    let current = requote.unwrap_or(bill);
    if decision.bill != current.digest() {
        let stale = decision.bill == bill.digest();
        return Err(if stale { VerifyError::StaleBill } else { VerifyError::OtherBill });
    }
    let ordered_at = book.seq_of(order.log_head);
    let decided_at = book.seq_of(decision.log_head);
    let Some(decided_at) = decided_at.filter(|decided_at| Some(*decided_at) >= ordered_at) else {
        return Err(VerifyError::UnknownLogHead);
    };
    let member = book.member(guardian.guardian).filter(|member| member.acted(decided_at, decision.at));
    let member = member.ok_or(VerifyError::RevokedGuardian)?;
    if !(1..=MAX_DECISION_AGE_MS).contains(&decision.pay_by.ms_since(decision.at)) {
        return Err(VerifyError::DecisionLife);
    }
    let terms = match decision.verdict {
        Verdict::Approve => {
            let terms = bill.terms(&decision.struck, requote.map(Deref::deref))?;
            if !order.without.iter().all(|line| decision.struck.contains(line)) {
                return Err(StrikeError::NotAsked.into());
            }
            if decision.suggest.is_some() {
                return Err(SuggestionError::WithApproval.into());
            }
            if decision.total != terms.total {
                return Err(VerifyError::WrongTotal);
            }
            let is_new = !member.counted(decided_at, decision.at);
            if is_new && book.house_rules(decided_at).is_too_much_for_newcomers(terms.total) {
                return Err(VerifyError::OverNewcomerCap);
            }
            match &asserted.shown {
                Some(shown) if !shown.is(certificate.name.as_str(), terms.total) => {
                    return Err(VerifyError::OtherPaymentShown);
                }
                None if guardian.shown_payments => return Err(VerifyError::PaymentNotShown),
                Some(_) | None => {}
            }
            Some(terms)
        }
        Verdict::Refuse => {
            if asserted.shown.is_some() {
                return Err(VerifyError::OtherPaymentShown);
            }
            if !decision.struck.is_empty() {
                return Err(StrikeError::NotThisStrike.into());
            }
            if decision.total != current.total() {
                return Err(VerifyError::WrongTotal);
            }
            if decision.first.is_some() {
                return Err(VerifyError::FirstNod);
            }
            if let Some(suggestion) = &decision.suggest {
                suggestion.check(bill, &order.without)?;
            }
            None
        }
    };
    let digest = AssertionKind::Decision.digest(wire);
    Ok((Verified::new(decision, wire.to_owned(), digest), terms, asserted.counter))
}

/// The two nods of an approval: whether the one that it names as its `first` is there, another guardian's, and over the same.
/// Gives that one. Whether one nod is enough is [`check_nods`]'s question.
pub fn verify_first_nod(
    decision: &Verified<Decision>,
    first: Option<&str>,
    book: &LogBook,
    order: &Verified<Order>,
    bill: &Verified<Bill>,
    requote: Option<&Verified<Bill>>,
    certificate: &Verified<MerchantCertificate>,
) -> Result<Option<Verified<Decision>>, VerifyError> {
    let (named, wire) = match (decision.first, first) {
        (None, None) => return Ok(None),
        (Some(named), Some(wire)) => (named, wire),
        (None, Some(_)) | (Some(_), None) => return Err(VerifyError::FirstNod),
    };
    let (first, terms, _) = verify_decision(wire, book, order, bill, requote, certificate)?;
    let same = first.struck == decision.struck && first.total == decision.total;
    if first.digest() != named || terms.is_none() || first.first.is_some() || !same {
        return Err(VerifyError::FirstNod);
    }
    if first.guardian == decision.guardian {
        return Err(HouseholdError::SamePerson.into());
    }
    for nod in [decision, &first] {
        let seq = book.seq_of(nod.log_head).ok_or(VerifyError::UnknownLogHead)?;
        if !book.member(nod.guardian).is_some_and(|member| member.counted(seq, nod.at)) {
            return Err(HouseholdError::NotCounting.into());
        }
    }
    Ok(Some(first))
}

/// Checks an approval that is to be paid by the household's rules at `log_head`.
pub fn check_nods(decision: &Decision, book: &LogBook, log_head: Digest) -> Result<(), VerifyError> {
    let seq = book.seq_of(log_head).ok_or(VerifyError::UnknownLogHead)?;
    let enough = decision.first.is_some() || !book.house_rules(seq).wants_two_nods(decision.total);
    if enough { Ok(()) } else { Err(VerifyError::NeedsTwoNods) }
}

/// The watch's instruction to pay what `decision` approves; where that names a first nod, the caller has verified it.
pub fn verify_payment(
    wire: &str,
    book: &LogBook,
    order: &Verified<Order>,
    decision: &Verified<Decision>,
) -> Result<Verified<Payment>, VerifyError> {
    let key = watch_key(book, order)?;
    let payment: Verified<Payment> = open(Kind::Payment, wire, &key)?;
    if payment.order != order.digest() || decision.order != order.digest() {
        return Err(VerifyError::OtherOrder);
    }
    if payment.voucher() != Some(Voucher::Decision(decision.digest())) {
        return Err(VerifyError::OtherDecision);
    }
    if decision.verdict != Verdict::Approve {
        return Err(VerifyError::NotApproved);
    }
    if payment.payment != payment_id(order.digest(), decision.digest()) {
        return Err(VerifyError::OtherPayment);
    }
    if payment.bill != decision.bill {
        return Err(VerifyError::OtherBill);
    }
    if payment.payee != decision.payee {
        return Err(VerifyError::OtherPayee);
    }
    if payment.total != decision.total {
        return Err(VerifyError::WrongTotal);
    }
    same_watch(order, payment.household == order.household, payment.watch)?;
    let decided_at = book.seq_of(decision.log_head);
    let paid_at = book.seq_of(payment.log_head);
    if paid_at.is_none() || paid_at < decided_at {
        return Err(VerifyError::UnknownLogHead);
    }
    check_nods(decision, book, payment.log_head)?;
    Ok(payment)
}

/// Whether the mandate that the log entry with this digest made says `answer` to the order, as far as the order alone tells. What
/// was spent before is the word of whoever counted it.
pub fn verify_mandate<'a>(
    entry: Digest,
    answer: Answer,
    book: &'a LogBook,
    order: &Verified<Order>,
    bill: &Verified<Bill>,
    certificate: &Verified<MerchantCertificate>,
) -> Result<&'a Standing, VerifyError> {
    let standing = book.mandate_of(entry).ok_or(VerifyError::UnknownMandate)?;
    let asked = Asked::new(order, bill, certificate);
    if standing.mandate.watch != asked.watch {
        return Err(VerifyError::OtherWatch);
    }
    if !standing.mandate.is_for(&asked) {
        return Err(VerifyError::MandateOver);
    }
    if !standing.mandate.can_answer(&asked, answer) {
        return Err(VerifyError::OutsideMandate);
    }
    Ok(standing)
}

/// The watch's instruction to pay its whole order under a mandate that held for all it knew.
pub fn verify_mandate_payment(
    wire: &str,
    book: &LogBook,
    order: &Verified<Order>,
    bill: &Verified<Bill>,
    certificate: &Verified<MerchantCertificate>,
) -> Result<Verified<Payment>, VerifyError> {
    let key = watch_key(book, order)?;
    let payment: Verified<Payment> = open(Kind::Payment, wire, &key)?;
    if payment.order != order.digest() || order.bill != bill.digest() {
        return Err(VerifyError::OtherOrder);
    }
    let Some(Voucher::Mandate(entry)) = payment.voucher() else {
        return Err(VerifyError::OtherDecision);
    };
    let standing = verify_mandate(entry, Answer::Approve, book, order, bill, certificate)?;
    if payment.payment != payment_id(order.digest(), entry) {
        return Err(VerifyError::OtherPayment);
    }
    if payment.bill != bill.digest() {
        return Err(VerifyError::OtherBill);
    }
    if payment.payee != bill.certificate {
        return Err(VerifyError::OtherPayee);
    }
    if payment.total != bill.total() {
        return Err(VerifyError::WrongTotal);
    }
    same_watch(order, payment.household == order.household, payment.watch)?;
    let paid_at = book.seq_of(payment.log_head).ok_or(VerifyError::UnknownLogHead)?;
    if Some(paid_at) < book.seq_of(order.log_head) {
        return Err(VerifyError::UnknownLogHead);
    }
    if !standing.holds_at(paid_at) {
        return Err(VerifyError::MandateOver);
    }
    let said = Judgement { entry, answer: Answer::Approve };
    let asked = Asked::new(order, bill, certificate);
    if book.house_rules(paid_at).bound(said, &asked, |_| Minor::ZERO) != said {
        return Err(VerifyError::OutsideMandate);
    }
    Ok(payment)
}

pub fn verify_cancel(wire: &str, book: &LogBook, order: &Verified<Order>) -> Result<Verified<Cancel>, VerifyError> {
    let key = watch_key(book, order)?;
    let cancel: Verified<Cancel> = open(Kind::Cancel, wire, &key)?;
    if cancel.order != order.digest() {
        return Err(VerifyError::OtherOrder);
    }
    same_watch(order, cancel.household == order.household, cancel.watch)?;
    Ok(cancel)
}

/// Whether the key of `certificate` signed this outcome: finds the certificate, which an outcome does not name. What the outcome says
/// is for [`verify_outcome`].
pub fn signed_outcome(wire: &str, certificate: &OutcomeCertificate) -> bool {
    open::<Outcome>(Kind::Outcome, wire, &certificate.key).is_ok()
}

/// The service's word on how `order` ended. What it names (decision, cancel, payment) the caller compares with what it
/// holds: [`Outcome`]'s shape only says which of them there must be.
pub fn verify_outcome(
    wire: &str,
    certificate: &Verified<OutcomeCertificate>,
    order: &Verified<Order>,
) -> Result<Verified<Outcome>, VerifyError> {
    let outcome: Verified<Outcome> = open(Kind::Outcome, wire, &certificate.key)?;
    if outcome.order != order.digest() {
        return Err(VerifyError::OtherOrder);
    }
    same_watch(order, outcome.household == order.household, outcome.watch)?;
    if outcome.decision.is_some() && outcome.mandate.is_some() {
        return Err(VerifyError::OutcomeShape);
    }
    let by_rule = outcome.outcome == OutcomeKind::Refused && outcome.mandate.is_some();
    let (decided, cancelled) = (outcome.voucher().is_some(), outcome.cancel.is_some());
    let (paid, moved) = (outcome.payment.is_some(), outcome.transfer.is_some());
    let fits = match outcome.outcome {
        OutcomeKind::Paid => decided && paid && moved && !cancelled,
        OutcomeKind::Failed => !cancelled && !moved && (decided || !paid),
        OutcomeKind::Refused => decided && !cancelled && !paid && !moved,
        OutcomeKind::Expired => !cancelled && !paid && !moved,
        OutcomeKind::Cancelled => cancelled && !paid && !moved,
    };
    if !fits
        || outcome.reason.is_some() != (outcome.outcome == OutcomeKind::Failed)
        || outcome.rule.is_some() != by_rule
    {
        return Err(VerifyError::OutcomeShape);
    }
    Ok(outcome)
}

/// The watch's countersignature under the outcome it saw.
pub fn verify_result(
    wire: &str,
    book: &LogBook,
    order: &Verified<Order>,
    outcome: &Verified<Outcome>,
) -> Result<Verified<ResultReport>, VerifyError> {
    let key = watch_key(book, order)?;
    let result: Verified<ResultReport> = open(Kind::Result, wire, &key)?;
    if result.order != order.digest() {
        return Err(VerifyError::OtherOrder);
    }
    if result.outcome != outcome.digest() || result.seen != outcome.outcome {
        return Err(VerifyError::OtherOutcome);
    }
    same_watch(order, result.household == order.household, result.watch)?;
    Ok(result)
}

/// How the PIN of `watch` stands, as the watch says. Whether it is the newest report is the caller's to know.
pub fn verify_pin_report(wire: &str, book: &LogBook, watch: WatchId) -> Result<Verified<PinReport>, VerifyError> {
    let enrolled = book.watch_ever(watch).ok_or(VerifyError::UnknownWatch)?;
    let report: Verified<PinReport> = open(Kind::PinReport, wire, &enrolled.key)?;
    if report.watch != watch {
        return Err(VerifyError::OtherWatch);
    }
    if report.household != book.household() {
        return Err(VerifyError::OtherHousehold);
    }
    if report.seq == 0 || report.until.is_some() != (report.state == PinState::Waiting) {
        return Err(VerifyError::PinReport);
    }
    Ok(report)
}

/// The key that signed `order`, also when the watch was removed since: whether it may still act is the payment side's
/// decision, in the transaction that moves the money.
fn watch_key(book: &LogBook, order: &Order) -> Result<PublicKey, VerifyError> {
    book.watch_ever(order.watch).map(|watch| watch.key).ok_or(VerifyError::UnknownWatch)
}

fn same_watch(order: &Order, same_household: bool, watch: WatchId) -> Result<(), VerifyError> {
    if !same_household {
        return Err(VerifyError::OtherHousehold);
    }
    if watch != order.watch {
        return Err(VerifyError::OtherWatch);
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, VerifyError> {
    serde_json::from_slice(payload).map_err(|error| VerifyError::Payload(error.to_string()))
}
