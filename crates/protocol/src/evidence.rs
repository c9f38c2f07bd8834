//! The evidence of one finished order: every signed message, in one file that anyone can check offline against an
//! [`Anchor`] of keys they already trust. Nothing in the file vouches for itself.
//!
//! Every byte counts: the file must be exactly the canonical serialisation of what it says, every part must be named by
//! a later signed message or be the last one, and nothing may be left over.

use nodpay_core::{
    Amount, Answer, Bill, CodeText, CredentialId, Decision, Digest, Every, GuardianId, HouseholdId, Line, LineId,
    MerchantCertificate, Order, OutcomeKind, Payment, PersonName, PublicKey, Standing, Suggestion, Timestamp,
    TransferId, V1, Verdict, Why,
};
use serde::{Deserialize, Serialize};

use crate::{
    LogBook, RelyingParty, Verified, VerifyError, code, name_digest, verify_cancel, verify_decision, verify_first_nod,
    verify_mandate, verify_mandate_payment, verify_merchant_certificate, verify_order, verify_ordered_bill,
    verify_outcome, verify_outcome_certificate, verify_payment, verify_requote, verify_result,
};

/// Longest evidence file taken, in bytes.
const MAX_EVIDENCE_LEN: usize = 64 * 1024 * 1024;

/// The evidence file. JSON without white space, one line feed at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    #[serde(rename = "nodpay-evidence")]
    pub v: V1,
    pub merchant_certificate: String,
    pub outcome_certificate: String,
    /// The household log up to the head that the outcome names.
    pub log: Vec<String>,
    pub wearer_name: PersonName,
    pub bill: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requote: Option<String>,
    pub order: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The other guardian's approval that the decision names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// What a checker trusts beforehand; exported once from the phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    #[serde(rename = "nodpay-anchor")]
    pub v: V1,
    pub household: HouseholdId,
    pub root: PublicKey,
    pub rp_id: String,
    pub origins: Vec<String>,
    pub guardians: Vec<AnchorGuardian>,
    /// The household of a demo, whose guardians may sign with software keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub demo_keys: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorGuardian {
    pub guardian: GuardianId,
    pub credential: CredentialId,
    pub key: PublicKey,
}

/// Why a file is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    #[error("the file is not Nodpay evidence")]
    NotEvidence,
    #[error("the anchor is not a Nodpay anchor: {0}")]
    BadAnchor(String),
    #[error("the file was damaged: {0}")]
    Damaged(String),
    /// The exact link that broke.
    #[error("{link}: {why}")]
    Broken { link: &'static str, why: String },
}

/// What the evidence proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub outcome: OutcomeKind,
    /// What was paid, or would have been.
    pub total: Amount,
    /// What moved the money of a paid order, as the operator's books name it.
    #[serde(skip)]
    pub transfer: Option<TransferId>,
    pub struck: Vec<String>,
    /// Who signed what, when, in order, one plain sentence each.
    pub story: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub at: Timestamp,
    pub who: String,
    pub what: String,
}

impl Evidence {
    /// The one canonical form.
    pub fn to_file(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|json| json + "\n")
    }

    fn from_file(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_EVIDENCE_LEN {
            return Err(EvidenceError::NotEvidence);
        }
        let evidence: Self = serde_json::from_slice(bytes).map_err(|error| match looks_like_evidence(bytes) {
            true => EvidenceError::Damaged(error.to_string()),
            false => EvidenceError::NotEvidence,
        })?;
        let canonical = evidence.to_file().map_err(|error| EvidenceError::Damaged(error.to_string()))?;
        if canonical.as_bytes() != bytes {
            let at = canonical.bytes().zip(bytes).take_while(|(a, b)| a == *b).count();
            return Err(EvidenceError::Damaged(format!("byte {at} is not as it was written")));
        }
        Ok(evidence)
    }
}

impl Anchor {
    pub fn to_file(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|json| json + "\n")
    }

    fn from_file(bytes: &[u8]) -> Result<Self, EvidenceError> {
        serde_json::from_slice(bytes).map_err(|error| EvidenceError::BadAnchor(error.to_string()))
    }

    fn relying_party(&self) -> RelyingParty {
        RelyingParty { rp_id: self.rp_id.clone(), origins: self.origins.clone(), demo_keys: self.demo_keys }
    }
}

/// Tells a damaged evidence file from something else: one changed byte leaves most of the field names standing.
fn looks_like_evidence(bytes: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"\"nodpay-evidence\":",
        b"\"merchant_certificate\":",
        b"\"outcome_certificate\":",
        b"\"wearer_name\":",
        b"\"order\":",
        b"\"outcome\":",
    ];
    let found = NAMES.iter().filter(|name| bytes.windows(name.len()).any(|window| window == **name)).count();
    found >= NAMES.len() - 2
}

/// Checks a whole evidence file against an anchor file, both as they were read.
pub fn verify_evidence(file: &[u8], anchor: &[u8]) -> Result<Report, EvidenceError> {
    let anchor = Anchor::from_file(anchor)?;
    let evidence = Evidence::from_file(file)?;
    let book = check_log(&evidence, &anchor)?;

    let certificate =
        link("merchant certificate", verify_merchant_certificate(&evidence.merchant_certificate, &anchor.root))?;
    let outcome_certificate =
        link("outcome certificate", verify_outcome_certificate(&evidence.outcome_certificate, &anchor.root))?;
    let (bill, order) = bill_and_order(&evidence, &book, &certificate)?;
    let requote = evidence.requote.as_deref().map(|wire| verify_requote(wire, &certificate, &bill)).transpose();
    let requote = link("requote", requote)?;
    let decision = evidence
        .decision
        .as_deref()
        .map(|wire| verify_decision(wire, &book, &order, &bill, requote.as_ref(), &certificate))
        .transpose();
    let decision = link("decision", decision)?;
    let first = match (&decision, evidence.first.as_deref()) {
        (Some((decision, ..)), first) => {
            link("first nod", verify_first_nod(decision, first, &book, &order, &bill, requote.as_ref(), &certificate))?
        }
        (None, None) => None,
        (None, Some(_)) => return Err(broken("first nod", "no decision names it")),
    };
    if requote.is_some() && decision.is_none() {
        return Err(broken("requote", "no decision names it"));
    }
    let cancel = evidence.cancel.as_deref().map(|wire| verify_cancel(wire, &book, &order)).transpose();
    let cancel = link("cancel", cancel)?;
    let outcome = link("outcome", verify_outcome(&evidence.outcome, &outcome_certificate, &order))?;
    let mandate = outcome.mandate.map(|entry| {
        let answer = outcome.rule.map_or(Answer::Approve, Answer::Refuse);
        verify_mandate(entry, answer, &book, &order, &bill, &certificate)
    });
    let mandate = link("mandate", mandate.transpose())?;
    let payment = match (evidence.payment.as_deref(), &decision, mandate) {
        (None, ..) => None,
        (Some(_), None, None) => return Err(broken("payment", "there is no decision or mandate it could be over")),
        (Some(wire), Some((decision, ..)), _) => Some(link("payment", verify_payment(wire, &book, &order, decision))?),
        (Some(wire), None, Some(standing)) => {
            let payment = link("payment", verify_mandate_payment(wire, &book, &order, &bill, &certificate))?;
            if payment.mandate != Some(standing.entry) {
                return Err(broken("payment", "it is over another mandate"));
            }
            Some(payment)
        }
    };
    let result = evidence.result.as_deref().map(|wire| verify_result(wire, &book, &order, &outcome)).transpose();
    let result = link("result", result)?;

    let named = |name: &'static str, said: Option<Digest>, held: Option<Digest>| match said == held {
        true => Ok(()),
        false => Err(EvidenceError::Broken { link: "outcome", why: format!("it names another {name}") }),
    };
    named("decision", outcome.decision, decision.as_ref().map(|(decision, ..)| decision.digest()))?;
    named("cancel", outcome.cancel, cancel.as_ref().map(|cancel| cancel.digest()))?;
    named("payment", outcome.payment, payment.as_ref().map(|payment| payment.digest()))?;
    if outcome.log_head != book.head() {
        return Err(broken("household log", "it does not end at the head that the outcome names"));
    }
    if outcome.at < outcome_certificate.not_before || outcome.at >= outcome_certificate.not_after {
        return Err(broken("outcome", "its certificate was not valid then"));
    }
    // It held when the order ended without the watch, which says what it knew in its payment.
    if mandate.is_some_and(|standing| payment.is_none() && !standing.holds_at(book.next_seq() - 1))
        && outcome.outcome == OutcomeKind::Refused
    {
        return Err(broken("mandate", "it was changed or ended before"));
    }
    let terms = decision.as_ref().and_then(|(_, terms, _)| terms.as_ref());
    let approved = terms.is_some() || (mandate.is_some() && outcome.rule.is_none());
    let decided = decision.is_some() || mandate.is_some();
    let fits = match outcome.outcome {
        OutcomeKind::Paid => approved && payment.as_ref().is_some_and(|payment| payment.total == outcome.total),
        OutcomeKind::Refused => decided && !approved,
        OutcomeKind::Failed | OutcomeKind::Expired | OutcomeKind::Cancelled => !decided || approved,
    };
    if !fits {
        return Err(broken("outcome", "it does not follow from the decision and payment"));
    }
    let expected_total =
        terms.map_or_else(|| requote.as_ref().map_or(bill.total(), |requote| requote.total()), |terms| terms.total);
    if outcome.total != expected_total {
        return Err(broken("outcome", "its total is not what was decided"));
    }

    let watch = book.watch_ever(order.watch).ok_or_else(|| broken("order", "the watch is not enrolled"))?;
    if watch.wearer_name != name_digest(evidence.wearer_name.salt, evidence.wearer_name.name.as_str()) {
        return Err(broken("wearer name", "it is not the name the guardian enrolled"));
    }
    let child = evidence.wearer_name.name.as_str();

    let mut story = Vec::new();
    let mut tell = |at, who: String, what: String| story.push(Step { at, who, what });
    tell(
        bill.issued,
        match &bill.code {
            None => format!("merchant {}, {}, {}", certificate.name, certificate.city, certificate.country),
            Some(_) => format!("{child}'s watch {}", order.watch),
        },
        match &bill.code {
            None => format!("asked {} for {} lines", bill.total(), bill.lines.len()),
            Some(code) => from_sticker(&bill, code, &certificate),
        },
    );
    tell(order.created, format!("{child}'s watch {}", order.watch), ordered(&bill, &order));
    if let Some(requote) = &requote {
        tell(requote.issued, format!("merchant {}", certificate.name), format!("requoted it at {}", requote.total()));
    }
    let mut struck = Vec::new();
    let signer = |decision: &Decision| {
        let admitted = match book.member(decision.guardian).map(|member| member.since) {
            Some(since) if !anchor.guardians.iter().any(|known| known.guardian == decision.guardian) => {
                format!(", admitted by entry {since} of the household log")
            }
            _ => String::new(),
        };
        format!("guardian {} with passkey {}{admitted}", decision.guardian, decision.credential)
    };
    if let Some(first) = &first {
        tell(first.at, signer(first), format!("approved {} as the first of two", first.total));
    }
    if let Some((decision, terms, _)) = &decision {
        let what = match (decision.verdict, terms) {
            (Verdict::Approve, Some(terms)) => {
                struck = terms.struck.iter().map(|line| line.id.to_string()).collect();
                let names: Vec<String> = terms.struck.iter().map(|line| line.name.to_string()).collect();
                match names.is_empty() {
                    true => format!("approved {}", terms.total),
                    false => format!("struck {} and approved {}", names.join(", "), terms.total),
                }
            }
            (Verdict::Approve | Verdict::Refuse, _) => match &decision.suggest {
                None => "refused".to_owned(),
                Some(suggestion) => format!("refused and suggested {}", suggested(suggestion, &bill, &order)),
            },
        };
        let said = decision.reason.as_ref().map_or_else(String::new, |note| format!(", saying {:?}", note.as_str()));
        tell(decision.at, signer(decision), what + &said);
    }
    if let Some(standing) = mandate {
        let who = format!("mandate {:?} that guardian {} signed", standing.mandate.name.as_str(), standing.guardian);
        tell(order.created, who, by_mandate(standing, outcome.rule, bill.total(), payment.as_deref()));
    }
    if let Some(cancel) = &cancel {
        tell(cancel.at, format!("{child}'s watch"), "cancelled".to_owned());
    }
    if let Some(payment) = &payment {
        tell(payment.at, format!("{child}'s watch"), format!("paid {} as payment {}", payment.total, payment.payment));
    }
    let why = outcome.reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
    tell(
        outcome.at,
        "the service".to_owned(),
        format!("recorded: {}{why}, {}", outcome.outcome.as_str(), outcome.total),
    );
    if let Some(result) = &result {
        tell(result.at, format!("{child}'s watch"), format!("confirmed that it saw: {}", result.seen.as_str()));
    }
    Ok(Report { outcome: outcome.outcome, total: outcome.total, transfer: outcome.transfer, struck, story })
}

fn check_log(evidence: &Evidence, anchor: &Anchor) -> Result<LogBook, EvidenceError> {
    const LINK: &str = "household log";
    let (first, rest) = evidence.log.split_first().ok_or_else(|| broken(LINK, "it is empty"))?;
    let mut book = link(LINK, LogBook::found(first, None, anchor.relying_party()))?;
    for wire in rest {
        link(LINK, book.append(wire))?;
    }
    if book.household() != anchor.household {
        return Err(broken(LINK, "it is of another household than the anchor"));
    }
    for member in book.members() {
        let guardian = &member.guardian;
        let anchored = match anchor.guardians.iter().find(|known| known.guardian == guardian.guardian) {
            Some(known) => known.credential == guardian.credential && known.key == guardian.key,
            // Those before them, from the anchored founder on, signed that they came.
            None => member.since > 0,
        };
        if !anchored {
            return Err(broken(LINK, "it names a guardian whose key is not in the anchor"));
        }
    }
    Ok(book)
}

/// Of what the watch asked for, and how the wearer was made sure of.
fn ordered(bill: &Bill, order: &Order) -> String {
    let seconds = order.created.ms_since(order.wearer_check.at) / 1000;
    match names_of(bill, &order.without) {
        names if names.is_empty() => format!("ordered it, {seconds} s after the right PIN"),
        names => format!("ordered it without {}, {seconds} s after the right PIN", names.join(", ")),
    }
}

fn names_of(bill: &Bill, ids: &[LineId]) -> Vec<String> {
    bill.lines.iter().filter(|line| ids.contains(&line.id)).map(|line| line.name.to_string()).collect()
}

/// What the guardian would rather nod to.
fn suggested(suggestion: &Suggestion, bill: &Bill, order: &Order) -> String {
    let line = |(line, quantity): (&Line, u32)| format!("{quantity} × {}", line.name);
    let lines: Vec<String> = suggestion.named(bill, &order.without).unwrap_or_default().into_iter().map(line).collect();
    let only = (!lines.is_empty()).then(|| format!("only {}", lines.join(", ")));
    let hint = suggestion.hint.map(|hint| format!("{:?}", hint.as_str()));
    let most = suggestion.up_to.map(|most| format!("at most {most}"));
    [only, hint, most].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Which of the two vouched: no guardian looked at this order. The service alone counts what was spent before.
fn by_mandate(standing: &Standing, rule: Option<Why>, total: Amount, payment: Option<&Payment>) -> String {
    let version = standing.mandate.version;
    let has_sums = Every::ALL.into_iter().any(|every| standing.mandate.cap(every).is_some());
    let sums = match (has_sums, rule.and_then(Why::every)) {
        (_, Some(_)) => "; that so much was spent before is the service's word",
        (true, None) if rule.is_none() => "; that its caps of a day, week and month had room is the service's word",
        (true | false, None) => "",
    };
    let knew = if payment.is_some() { ", which held when the watch paid" } else { "" };
    match rule {
        None => format!("approved {total} by itself, version {version}{knew}{sums}"),
        Some(why) => format!("refused {total} by itself, version {version}: {}{sums}", why.as_str()),
    }
}

/// What became of a printed code, and whose the code says it is.
fn from_sticker(bill: &Bill, code: &CodeText, certificate: &MerchantCertificate) -> String {
    let said = code::parse(code.as_str()).ok();
    let typed = match said.as_ref().and_then(|said| said.amount_minor) {
        Some(_) => "for the amount on it",
        None => "with an amount typed by the wearer",
    };
    let named = said.and_then(|said| said.payee).unwrap_or_default();
    let (total, shop) = (bill.total(), &certificate.name);
    format!("made a bill of {total} to merchant {shop} from the printed code of {named:?}, {typed}")
}

/// Finds the watch by trying: the sender is not taken from the message. A bill made of a printed code is of that watch.
fn bill_and_order(
    evidence: &Evidence,
    book: &LogBook,
    certificate: &Verified<MerchantCertificate>,
) -> Result<(Verified<Bill>, Verified<Order>), EvidenceError> {
    let mut last = ("order", VerifyError::UnknownWatch);
    for watch in book.watches_ever() {
        let bill = verify_ordered_bill(&evidence.bill, certificate, &watch.key).map_err(|error| ("bill", error));
        let found = bill.and_then(|bill| match verify_order(&evidence.order, book, watch.watch, &bill) {
            Ok(order) => Ok((bill, order)),
            Err(error) => Err(("order", error)),
        });
        match found {
            Ok(found) => return Ok(found),
            Err((_, VerifyError::Signature)) if last.1 != VerifyError::UnknownWatch => {}
            Err(error) => last = error,
        }
    }
    link(last.0, Err(last.1))
}

fn link<T>(link: &'static str, result: Result<T, VerifyError>) -> Result<T, EvidenceError> {
    result.map_err(|error| EvidenceError::Broken { link, why: error.to_string() })
}

fn broken(link: &'static str, why: &str) -> EvidenceError {
    EvidenceError::Broken { link, why: why.to_owned() }
}
