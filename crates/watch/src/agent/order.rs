//! The life of an order on the watch, from its signature to the acknowledged result.
//!
//! ```text
//! sending ──acknowledged──▶ waiting ──decision verified──▶ paying ──▶ ended
//!    └───────────┴──cancelled, not genuine, late, removed──▶ given up ──▶ ended
//! ```
//!
//! Every arrow out of sending and waiting is taken once and journalled with the message it signs, so that a reboot finds
//! the order where it was. A decision may overtake the acknowledgement, an outcome anything.
//!
//! **Invariant:** `Stage::Paying` is made in one place (`pay`), after every check, and never left but by an outcome.

use nodpay_core::{
    Amount, Answer, Asked, Bill, BillTerms, Cancel, CancelReason, Decision, Digest, FailReason, GuardianId, Judgement,
    MAX_DECISION_AGE_MS, MerchantCertificate, Minor, Note, Order, OrderId, Outcome, OutcomeCertificate, OutcomeKind,
    Payment, ResultReport, Standing, Suggestion, Text, Timestamp, V1, Verdict, Voucher, Why,
};
use nodpay_protocol::{
    Kind, LogBook, Verified, VerifyError, check_nods, payment_id, sign, signed_outcome, verify_decision,
    verify_first_nod, verify_mandate, verify_outcome, verify_requote,
};

use super::household::Household;
use super::link::Retry;
use super::shop::Offer;
use super::{Agent, Owner, sticker};
use crate::clock::{Turn, unsigned};
use crate::journal::{
    AgainRecord, Counted, EndReason, Ended, GivenUpFor, OrderRecord, Past, Report, StageRecord, SuggestionRecord,
};
use crate::net::{OrderAnswer, Reply};
use crate::view::{Ending, Notice, Screen, Suggested, SuggestedLine, UserAction};

/// The service ends an order when its time is over; its word may take this long.
pub const OUTCOME_GRACE_MS: u64 = 15_000;
/// What a standing rule approves is paid within this from when the watch hears of it.
const RULE_PAY_WITHIN_MS: u64 = 5 * 60 * 1000;
/// Orders the wearer has left whose outcome is still to come; the oldest that was never paid is forgotten first.
const MAX_ORDERS: usize = 8;
/// Results not acknowledged yet; the oldest is forgotten first.
const MAX_REPORTS: usize = 16;

pub(super) struct OpenOrder {
    pub(super) certificate: Verified<MerchantCertificate>,
    /// Revision 1.
    pub(super) bill: Verified<Bill>,
    pub(super) order: Verified<Order>,
    /// By the watch's wall clock.
    pub(super) signed_at: Timestamp,
    pub(super) stage: Stage,
    /// The service has the bill, which this watch made of a printed code. After a reboot it gets it once more.
    bill_delivered: bool,
    pub(super) dismissed: bool,
    /// What moves the money was asked, and its answer got lost. Only shown; after a reboot the service says it again.
    pub(super) unanswered: bool,
    /// A guardian approved it, and another must too, as the service says. Only shown.
    pub(super) one_nod: bool,
    /// When the guardian's time is over, on the monotonic clock.
    pub(super) ends_at: u64,
    /// When a payment that got no outcome stops holding the screen.
    pub(super) shown_until: u64,
    /// Messages that could not be judged yet.
    pub(super) parked_decision: Option<ParkedDecision>,
    pub(super) parked_outcome: Option<ParkedOutcome>,
    /// What was fetched anew to judge them; each once.
    doubted_log: bool,
    doubted_certificate: bool,
}

pub(super) enum Stage {
    /// The service has not acknowledged the order.
    Sending,
    Waiting,
    GivenUp(GivenUp),
    Paying(Box<Paying>),
}

pub(super) struct GivenUp {
    pub(super) cancel: Verified<Cancel>,
    pub(super) why: GivenUpFor,
    pub(super) delivered: bool,
}

/// What lets the watch pay.
pub(super) enum Nod {
    Guardian(Box<Verified<Decision>>),
    /// A standing rule, as the log has it.
    Rule(Box<Standing>),
}

impl Nod {
    fn voucher(&self) -> Voucher {
        match self {
            Self::Guardian(decision) => Voucher::Decision(decision.digest()),
            Self::Rule(rule) => Voucher::Mandate(rule.entry),
        }
    }

    fn said(&self) -> Said {
        match self {
            Self::Guardian(decision) => Said::of(decision),
            Self::Rule(rule) => Said::by_rule(rule, None),
        }
    }
}

pub(super) struct Paying {
    pub(super) requote: Option<Verified<Bill>>,
    pub(super) nod: Nod,
    pub(super) terms: BillTerms,
    pub(super) payment: Verified<Payment>,
    pub(super) delivered: bool,
}

/// What the service says lets the watch pay, unverified.
pub(super) enum Answered {
    Guardian {
        decision: String,
        /// Another guardian's that the decision names.
        first: Option<String>,
        requote: Option<String>,
    },
    /// The log entry of a standing rule.
    Rule(Digest),
}

impl Answered {
    pub(super) fn of(
        decision: Option<String>,
        first: Option<String>,
        mandate: Option<Digest>,
        requote: Option<String>,
    ) -> Option<Self> {
        match (decision, mandate) {
            (Some(decision), _) => Some(Self::Guardian { decision, first, requote }),
            (None, mandate) => mandate.map(Self::Rule),
        }
    }
}

pub(super) struct ParkedDecision {
    answered: Answered,
    /// On the monotonic clock: its time to be paid runs from here.
    received: u64,
    retry: Retry,
}

pub(super) struct ParkedOutcome {
    wire: String,
    decision: Option<String>,
    requote: Option<String>,
    retry: Retry,
}

/// What there is to send for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// One of this watch's own, before its order.
    Bill,
    Order,
    Cancel,
    Payment,
}

/// Whether a message may yet verify.
enum Doubt {
    Log,
    Certificate,
    None,
}

impl OpenOrder {
    pub(super) fn new(
        certificate: Verified<MerchantCertificate>,
        bill: Verified<Bill>,
        order: Verified<Order>,
        signed_at: Timestamp,
        stage: Stage,
    ) -> Self {
        Self {
            certificate,
            bill,
            order,
            signed_at,
            stage,
            bill_delivered: false,
            dismissed: false,
            unanswered: false,
            one_nod: false,
            ends_at: 0,
            shown_until: 0,
            parked_decision: None,
            parked_outcome: None,
            doubted_log: false,
            doubted_certificate: false,
        }
    }

    /// Sets the deadlines: of a new order, and after a reboot, of which only the wall clock knows how long it took.
    /// Where that went back, the guardian's time starts anew; the service's own end comes first then.
    pub(super) fn resume(&mut self, turn: &Turn) {
        let life = unsigned(self.order.expires.ms_since(self.order.created));
        let passed = unsigned(turn.wall.ms_since(self.signed_at));
        self.ends_at = turn.mono.saturating_add(life.saturating_sub(passed));
        self.hold_screen(turn);
    }

    fn hold_screen(&mut self, turn: &Turn) {
        self.shown_until = turn.mono.saturating_add(unsigned(MAX_DECISION_AGE_MS)).saturating_add(OUTCOME_GRACE_MS);
    }

    pub(super) fn id(&self) -> OrderId {
        self.order.order
    }

    pub(super) fn is_parked(&self) -> bool {
        self.parked_decision.is_some() || self.parked_outcome.is_some()
    }

    /// The wearer looks at it and waits for its end.
    pub(super) fn is_awaited(&self) -> bool {
        !self.dismissed && !matches!(self.stage, Stage::GivenUp(_))
    }

    pub(super) fn errand(&self) -> Option<Errand> {
        match &self.stage {
            Stage::Sending if self.bill.code.is_some() && !self.bill_delivered => Some(Errand::Bill),
            Stage::Sending => Some(Errand::Order),
            Stage::Waiting => None,
            Stage::GivenUp(given_up) => (!given_up.delivered).then_some(Errand::Cancel),
            Stage::Paying(paying) => (!paying.delivered).then_some(Errand::Payment),
        }
    }

    /// When time changes this order.
    pub(super) fn due(&self) -> Option<u64> {
        let stage = match &self.stage {
            Stage::Sending | Stage::Waiting => Some(self.late_at()),
            Stage::GivenUp(_) => None,
            Stage::Paying(_) => (!self.dismissed).then_some(self.shown_until),
        };
        let decision = self.parked_decision.as_ref().map(|parked| parked.retry.due());
        let outcome = self.parked_outcome.as_ref().map(|parked| parked.retry.due());
        // A message parked for the network has no time of its own.
        [stage, decision.filter(|due| *due > 0), outcome.filter(|due| *due > 0)].into_iter().flatten().min()
    }

    fn late_at(&self) -> u64 {
        self.ends_at.saturating_add(OUTCOME_GRACE_MS)
    }

    fn shop(&self) -> String {
        self.certificate.name.to_string()
    }

    fn total(&self) -> Amount {
        match &self.stage {
            Stage::Paying(paying) => paying.terms.total,
            Stage::Sending | Stage::Waiting | Stage::GivenUp(_) => self.bill.asked_total(&self.order.without),
        }
    }

    fn struck(&self) -> Vec<Text<60>> {
        match &self.stage {
            Stage::Paying(paying) => paying.terms.struck.iter().map(|line| line.name.clone()).collect(),
            Stage::Sending | Stage::Waiting | Stage::GivenUp(_) => Vec::new(),
        }
    }

    fn screen(&self, mono: u64, home: &Household) -> Screen {
        match &self.stage {
            Stage::Sending => Screen::Sending,
            Stage::Waiting => {
                let left_ms = self.ends_at.saturating_sub(mono);
                let (unanswered, one_nod) = (self.unanswered, self.one_nod);
                Screen::Waiting { shop: self.shop(), total: self.total(), left_ms, unanswered, one_nod }
            }
            Stage::Paying(paying) => {
                let said = paying.nod.said();
                Screen::Paying {
                    shop: self.shop(),
                    total: self.total(),
                    struck: self.struck().iter().map(ToString::to_string).collect(),
                    guardian: home.guardians.get(&said.guardian).map(ToString::to_string),
                    words: said.words.as_ref().map(ToString::to_string),
                    rule: said.rule.map(|rule| rule.to_string()),
                    unanswered: self.unanswered,
                }
            }
            Stage::GivenUp(given_up) => {
                let (kind, reason) = given_up.why.shown();
                self.ended(kind, None, reason).screen(home.balance)
            }
        }
    }

    fn ended(&self, kind: OutcomeKind, guardian: Option<Text<40>>, reason: Option<EndReason>) -> Ended {
        Ended {
            order: self.id(),
            kind,
            shop: self.certificate.name.clone(),
            total: self.total(),
            struck: self.struck(),
            guardian,
            rule: None,
            reason,
            suggestion: None,
        }
    }

    /// What there is to keep of a suggestion on this order.
    fn suggested(&self, suggestion: &Suggestion) -> SuggestionRecord {
        let (bill, before) = (&self.bill, &self.order.without);
        let named = suggestion.named(bill, before).unwrap_or_default();
        SuggestionRecord {
            lines: named.into_iter().map(|(line, quantity)| (line.name.clone(), quantity, line.quantity)).collect(),
            hint: suggestion.hint,
            up_to: suggestion.up_to,
            again: suggestion.without(bill, before).map(|without| AgainRecord {
                certificate: self.certificate.wire().to_owned(),
                bill: bill.wire().to_owned(),
                without,
            }),
        }
    }

    pub(super) fn record(&self) -> OrderRecord {
        let stage = match &self.stage {
            Stage::Sending => StageRecord::Sending,
            Stage::Waiting => StageRecord::Waiting,
            Stage::GivenUp(given_up) => StageRecord::GivenUp {
                cancel: given_up.cancel.wire().to_owned(),
                why: given_up.why,
                delivered: given_up.delivered,
            },
            Stage::Paying(paying) => StageRecord::Paying {
                requote: paying.requote.as_ref().map(|requote| requote.wire().to_owned()),
                decision: match &paying.nod {
                    Nod::Guardian(decision) => Some(decision.wire().to_owned()),
                    Nod::Rule(_) => None,
                },
                mandate: match &paying.nod {
                    Nod::Guardian(_) => None,
                    Nod::Rule(rule) => Some(rule.entry),
                },
                payment: paying.payment.wire().to_owned(),
                delivered: paying.delivered,
            },
        };
        OrderRecord {
            certificate: self.certificate.wire().to_owned(),
            bill: self.bill.wire().to_owned(),
            order: self.order.wire().to_owned(),
            signed_at: self.signed_at,
            stage,
            dismissed: self.dismissed,
        }
    }

    /// The guardian's decision, checked against everything this watch knows. `Ok(None)`: a refusal, whose outcome comes.
    fn check_decision(
        &self,
        book: &LogBook,
        (wire, first): (&str, Option<&str>),
        requote: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Approval>, VerifyError> {
        let requote = requote.map(|wire| verify_requote(wire, &self.certificate, &self.bill)).transpose()?;
        let (decision, terms, _) =
            verify_decision(wire, book, &self.order, &self.bill, requote.as_ref(), &self.certificate)?;
        if terms.is_some() {
            // Removed since by the log this watch follows: what they sign now counts for nothing, whatever time it says.
            book.answering(decision.guardian, now)?;
            let first =
                verify_first_nod(&decision, first, book, &self.order, &self.bill, requote.as_ref(), &self.certificate)?;
            if let Some(first) = first {
                book.answering(first.guardian, now)?;
            }
            check_nods(&decision, book, book.head())?;
        }
        let pay_within_ms = unsigned(decision.pay_by.ms_since(decision.at));
        Ok(terms.map(|terms| Approval { nod: Nod::Guardian(Box::new(decision)), requote, terms, pay_within_ms }))
    }

    /// A standing rule, checked against everything this watch knows: that the newest entry it follows still has the rule, that
    /// the rule approves the order, and that its caps have room by this watch's own count.
    fn check_rule(&self, home: &Household, entry: Digest) -> Result<Approval, VerifyError> {
        let (bill, certificate) = (&self.bill, &self.certificate);
        let standing = verify_mandate(entry, Answer::Approve, &home.book, &self.order, bill, certificate)?;
        let mandate = &standing.mandate;
        let asked = Asked::new(&self.order, bill, certificate);
        if standing.ended.is_some() || mandate.answer(&asked, |period| home.spent(mandate, period)) != Answer::Approve {
            return Err(VerifyError::MandateOver);
        }
        let (house, said) = (home.book.house_rules(u64::MAX), Judgement { entry, answer: Answer::Approve });
        let spent = |period| house.caps.map_or(Minor::ZERO, |caps| home.spent_of_house(&caps, period));
        if house.bound(said, &asked, spent) != said {
            return Err(VerifyError::MandateOver);
        }
        let nod = Nod::Rule(Box::new(standing.clone()));
        Ok(Approval { nod, requote: None, terms: bill.terms(&[], None)?, pay_within_ms: RULE_PAY_WITHIN_MS })
    }

    /// The service's word on how it ended, checked against what this watch signed itself. Gives what the guardian said.
    fn check_outcome(
        &self,
        book: &LogBook,
        certificates: &[Verified<OutcomeCertificate>],
        parked: &ParkedOutcome,
    ) -> Result<(Verified<Outcome>, Option<Said>), VerifyError> {
        let signer = certificates.iter().find(|certificate| signed_outcome(&parked.wire, certificate));
        let certificate = signer.ok_or(VerifyError::Signature)?;
        let outcome = verify_outcome(&parked.wire, certificate, &self.order)?;
        if outcome.at < certificate.not_before || outcome.at >= certificate.not_after {
            return Err(VerifyError::CertificateTime);
        }
        let (paying, given_up) = match &self.stage {
            Stage::Paying(paying) => (Some(paying), None),
            Stage::GivenUp(given_up) => (None, Some(given_up)),
            Stage::Sending | Stage::Waiting => (None, None),
        };
        if outcome.payment.is_some() && outcome.payment != paying.map(|paying| paying.payment.digest()) {
            return Err(VerifyError::OtherPayment);
        }
        let decided = paying.map(|paying| paying.nod.voucher());
        if decided.is_some() && outcome.voucher().is_some() && outcome.voucher() != decided {
            return Err(VerifyError::OtherDecision);
        }
        let said = match outcome.outcome {
            OutcomeKind::Paid => {
                let paying = paying.ok_or(VerifyError::OtherPayment)?;
                if outcome.total != paying.payment.total {
                    return Err(VerifyError::WrongTotal);
                }
                Some(paying.nod.said())
            }
            OutcomeKind::Refused if outcome.mandate.is_some() => Some(self.check_ruled_out(book, &outcome)?),
            OutcomeKind::Refused => {
                let wire = parked.decision.as_deref().ok_or(VerifyError::OtherDecision)?;
                Some(self.check_refusal(book, wire, parked.requote.as_deref(), &outcome)?)
            }
            OutcomeKind::Cancelled => {
                if outcome.cancel != given_up.map(|given_up| given_up.cancel.digest()) {
                    return Err(VerifyError::OtherOutcome);
                }
                None
            }
            OutcomeKind::Failed | OutcomeKind::Expired => None,
        };
        Ok((outcome, said))
    }

    /// A standing rule refused it, for a reason that it has.
    fn check_ruled_out(&self, book: &LogBook, outcome: &Outcome) -> Result<Said, VerifyError> {
        let (Some(entry), Some(why)) = (outcome.mandate, outcome.rule) else { return Err(VerifyError::OutcomeShape) };
        let (bill, certificate) = (&self.bill, &self.certificate);
        let standing = verify_mandate(entry, Answer::Refuse(why), book, &self.order, bill, certificate)?;
        let ended_at = book.seq_of(outcome.log_head).ok_or(VerifyError::UnknownLogHead)?;
        match standing.holds_at(ended_at) {
            true => Ok(Said::by_rule(standing, Some(why))),
            false => Err(VerifyError::MandateOver),
        }
    }

    fn check_refusal(
        &self,
        book: &LogBook,
        wire: &str,
        requote: Option<&str>,
        outcome: &Outcome,
    ) -> Result<Said, VerifyError> {
        let requote = requote.map(|wire| verify_requote(wire, &self.certificate, &self.bill)).transpose()?;
        let (decision, ..) = verify_decision(wire, book, &self.order, &self.bill, requote.as_ref(), &self.certificate)?;
        if decision.verdict != Verdict::Refuse || outcome.decision != Some(decision.digest()) {
            return Err(VerifyError::OtherDecision);
        }
        Ok(Said::of(&decision))
    }
}

/// Who decided, and their words.
struct Said {
    guardian: GuardianId,
    words: Option<Note>,
    /// The name of their rule, where that said it.
    rule: Option<Text<30>>,
    /// Why their rule refused.
    why: Option<Why>,
    suggest: Option<Suggestion>,
}

impl Said {
    fn of(decision: &Decision) -> Self {
        let (words, suggest) = (decision.reason.clone(), decision.suggest.clone());
        Self { guardian: decision.guardian, words, rule: None, why: None, suggest }
    }

    fn by_rule(standing: &Standing, why: Option<Why>) -> Self {
        let rule = Some(standing.mandate.name.clone());
        Self { guardian: standing.guardian, words: None, rule, why, suggest: None }
    }
}

struct Approval {
    nod: Nod,
    requote: Option<Verified<Bill>>,
    terms: BillTerms,
    /// From when it arrived.
    pay_within_ms: u64,
}

impl GivenUpFor {
    /// What the wearer sees at once: nothing was and nothing will be paid.
    const fn shown(self) -> (OutcomeKind, Option<EndReason>) {
        match self {
            Self::Wearer => (OutcomeKind::Cancelled, None),
            Self::NotGenuine => (OutcomeKind::Failed, Some(EndReason::NotGenuine)),
            Self::Late => (OutcomeKind::Expired, Some(EndReason::NoNetwork)),
            Self::Removed => (OutcomeKind::Failed, Some(EndReason::WatchNotEnrolled)),
            Self::Rule => (OutcomeKind::Failed, Some(EndReason::RuleOver)),
        }
    }
}

impl Ended {
    pub(super) fn screen(&self, balance: Option<Amount>) -> Screen {
        Screen::Ended(Ending {
            kind: self.kind.into(),
            shop: self.shop.to_string(),
            total: self.total,
            struck: self.struck.iter().map(ToString::to_string).collect(),
            guardian: self.guardian.as_ref().map(ToString::to_string),
            rule: self.rule.as_ref().map(ToString::to_string),
            reason: self.reason.as_ref().map(|reason| reason.notice(balance)),
            suggestion: self.suggestion.as_ref().map(SuggestionRecord::view),
            balance,
        })
    }
}

impl SuggestionRecord {
    fn view(&self) -> Suggested {
        let line = |(name, quantity, asked): &(Text<60>, u32, u32)| {
            let (name, quantity, asked) = (name.to_string(), *quantity, *asked);
            SuggestedLine { name, quantity, asked }
        };
        Suggested {
            lines: self.lines.iter().map(line).collect(),
            hint: self.hint,
            up_to: self.up_to,
            same_bill: self.again.is_some(),
        }
    }
}

impl EndReason {
    fn notice(&self, balance: Option<Amount>) -> Notice {
        match self {
            Self::Words(words) => Notice::Words(words.to_string()),
            Self::NotEnoughMoney => Notice::NotEnoughMoney { balance },
            Self::BillAlreadyPaid => Notice::BillAlreadyPaid,
            Self::BillCancelled => Notice::BillCancelled,
            Self::BillExpired => Notice::BillExpired,
            Self::WatchNotEnrolled => Notice::WatchNotEnrolled,
            Self::WalletStopped => Notice::WalletStopped,
            Self::BankDeclined => Notice::BankDeclined,
            Self::NotGenuine => Notice::NotGenuine,
            Self::NoNetwork => Notice::NoNetwork,
            Self::Rule(why) => Notice::Rule(*why),
            Self::RuleOver => Notice::RuleOver,
        }
    }

    const fn of(reason: FailReason) -> Self {
        match reason {
            FailReason::InsufficientBalance => Self::NotEnoughMoney,
            FailReason::BillAlreadyPaid => Self::BillAlreadyPaid,
            FailReason::BillCancelled => Self::BillCancelled,
            FailReason::BillExpired => Self::BillExpired,
            FailReason::WatchRemoved => Self::WatchNotEnrolled,
            FailReason::HouseholdFrozen => Self::WalletStopped,
            FailReason::PaymentDeclined => Self::BankDeclined,
        }
    }
}

/// Log entries that this watch has not heard of may still come; a certificate may have been renewed.
const fn doubt(error: &VerifyError) -> Doubt {
    if matches!(
        error,
        VerifyError::UnknownLogHead
            | VerifyError::UnknownGuardian
            | VerifyError::RevokedGuardian
            | VerifyError::GuardianNotYet
            | VerifyError::UnknownMandate
    ) {
        Doubt::Log
    } else if matches!(error, VerifyError::Signature | VerifyError::CertificateTime) {
        Doubt::Certificate
    } else {
        Doubt::None
    }
}

impl Agent {
    /// What the orders show, if they show anything.
    pub(super) fn order_screen(&self, mono: u64) -> Option<Screen> {
        let home = self.household()?;
        if let Some(order) = home.orders.iter().find(|order| !order.dismissed) {
            return Some(order.screen(mono, home));
        }
        home.ended.as_ref().map(|ended| ended.screen(home.balance))
    }

    /// True when an order is shown: then the action was for it.
    pub(super) fn order_action(&mut self, action: &UserAction, turn: &mut Turn) -> bool {
        let Some(home) = self.household_mut() else { return false };
        if let Some(order) = home.orders.iter_mut().find(|order| !order.dismissed) {
            match (&order.stage, action) {
                (Stage::Sending | Stage::Waiting, UserAction::Cancel) => self.give_up_unpaid(GivenUpFor::Wearer, turn),
                (Stage::GivenUp(_), UserAction::Done | UserAction::Cancel) => {
                    order.dismissed = true;
                    self.dirty = true;
                }
                // A payment under way cannot be taken back.
                (Stage::Sending | Stage::Waiting | Stage::Paying(_) | Stage::GivenUp(_), _) => {}
            }
            return true;
        }
        let Some(ended) = &home.ended else { return false };
        if let (UserAction::Start, Some(suggestion)) = (action, &ended.suggestion) {
            let offer = suggestion.again.as_ref().map(|again| Offer::again(again, &home.pins));
            home.ended = None;
            self.dirty = true;
            match offer {
                None => self.start_scan(),
                Some(Ok(offer)) => self.offer(offer, turn),
                Some(Err(_)) => self.tell(Notice::BillNotGenuine),
            }
        } else if matches!(action, UserAction::Done | UserAction::Cancel | UserAction::Confirm) {
            home.ended = None;
            self.dirty = true;
        }
        true
    }

    /// Takes in a new order, signed a moment ago.
    pub(super) fn open_order(&mut self, mut order: OpenOrder, turn: &Turn) {
        order.resume(turn);
        let Some(home) = self.household_mut() else { return };
        home.orders.push(order);
        if home.orders.len() > MAX_ORDERS
            && let Some(oldest) = home.orders.iter().position(|order| matches!(order.stage, Stage::GivenUp(_)))
        {
            home.orders.remove(oldest);
        }
        self.dirty = true;
    }

    /// Takes back every order that no payment was signed for.
    pub(super) fn give_up_unpaid(&mut self, why: GivenUpFor, turn: &Turn) {
        let ids: Vec<OrderId> = self
            .household()
            .into_iter()
            .flat_map(|home| &home.orders)
            .filter(|order| matches!(order.stage, Stage::Sending | Stage::Waiting))
            .map(OpenOrder::id)
            .collect();
        for id in ids {
            self.give_up(id, why, turn);
        }
    }

    fn give_up(&mut self, id: OrderId, why: GivenUpFor, turn: &Turn) {
        let now = self.clock.now(turn);
        let Owner::Household(home) = &mut self.owner else { return };
        let Some(order) = home.orders.iter_mut().find(|order| order.id() == id) else { return };
        let reason = match why {
            GivenUpFor::NotGenuine | GivenUpFor::Rule => CancelReason::NotGenuine,
            GivenUpFor::Wearer | GivenUpFor::Late | GivenUpFor::Removed => CancelReason::Wearer,
        };
        let cancel = Cancel {
            v: V1,
            order: order.order.digest(),
            household: home.pins.household,
            watch: home.pins.watch,
            reason,
            at: now,
        };
        let Ok(cancel) = sign(Kind::Cancel, cancel, &*self.keys) else {
            // The order stays as it is: the wearer tries again, and so does the watch when it is late anew.
            order.ends_at = order.ends_at.max(turn.mono);
            return;
        };
        order.stage = Stage::GivenUp(GivenUp { cancel, why, delivered: false });
        order.parked_decision = None;
        self.dirty = true;
    }

    /// A guardian's decision arrived, or word of a standing rule.
    pub(super) fn decided(&mut self, id: OrderId, answered: Option<Answered>, turn: &mut Turn) {
        let (Some(order), Some(answered)) = (self.order_mut(id), answered) else { return };
        if !matches!(order.stage, Stage::Sending | Stage::Waiting) || order.parked_decision.is_some() {
            return;
        }
        order.parked_decision = Some(ParkedDecision { answered, received: turn.mono, retry: Retry::default() });
        self.judge_decision(id, turn);
    }

    fn judge_decision(&mut self, id: OrderId, turn: &mut Turn) {
        let now = self.clock.now(turn);
        let Owner::Household(home) = &mut self.owner else { return };
        let Some(index) = home.orders.iter().position(|order| order.id() == id) else { return };
        let Some(order) = home.orders.get(index) else { return };
        let Some(parked) = &order.parked_decision else { return };
        let received = parked.received;
        let checked = match &parked.answered {
            Answered::Guardian { decision, first, requote } => {
                order.check_decision(&home.book, (decision, first.as_deref()), requote.as_deref(), now)
            }
            Answered::Rule(entry) => order.check_rule(home, *entry).map(Some),
        };
        let Some(order) = home.orders.get_mut(index) else { return };
        match checked {
            Ok(Some(approval)) => self.pay(id, approval, received, turn),
            Ok(None) => order.parked_decision = None,
            Err(error) if matches!(doubt(&error), Doubt::Log) && !order.doubted_log => {
                order.doubted_log = true;
                self.link.want_state();
            }
            Err(VerifyError::MandateOver | VerifyError::NeedsTwoNods) => self.give_up(id, GivenUpFor::Rule, turn),
            Err(_) => self.give_up(id, GivenUpFor::NotGenuine, turn),
        }
    }

    /// The one place where a payment is signed. Everything about `approval` was verified.
    fn pay(&mut self, id: OrderId, approval: Approval, received: u64, turn: &mut Turn) {
        let now = self.clock.now(turn);
        let Owner::Household(home) = &mut self.owner else { return };
        let Some(order) = home.orders.iter_mut().find(|order| order.id() == id) else { return };
        let Approval { nod, requote, terms, pay_within_ms } = approval;
        let deadline = received.saturating_add(pay_within_ms);
        if turn.mono >= deadline || turn.mono >= order.late_at() || home.book.enrolled(home.pins.watch).is_err() {
            order.parked_decision = None;
            return;
        }
        let payment = Payment {
            v: V1,
            payment: payment_id(order.order.digest(), nod.voucher().digest()),
            order: order.order.digest(),
            decision: match nod.voucher() {
                Voucher::Decision(decision) => Some(decision),
                Voucher::Mandate(_) => None,
            },
            mandate: match nod.voucher() {
                Voucher::Decision(_) => None,
                Voucher::Mandate(entry) => Some(entry),
            },
            bill: requote.as_ref().unwrap_or(&order.bill).digest(),
            payee: order.bill.certificate,
            total: terms.total,
            household: home.pins.household,
            watch: home.pins.watch,
            log_head: home.book.head(),
            at: now,
        };
        let Ok(payment) = sign(Kind::Payment, payment, &*self.keys) else {
            // The key store may recover before the deadline.
            if let Some(parked) = &mut order.parked_decision {
                parked.retry.failed(turn);
            }
            return;
        };
        let counted = Counted { order: id, at: order.order.created, total: terms.total };
        order.stage = Stage::Paying(Box::new(Paying { requote, nod, terms, payment, delivered: false }));
        order.unanswered = false;
        order.parked_decision = None;
        order.hold_screen(turn);
        home.count(counted);
        self.dirty = true;
    }

    /// The service says how an order ended.
    pub(super) fn ended(
        &mut self,
        id: OrderId,
        wire: &str,
        decision: Option<&str>,
        requote: Option<&str>,
        turn: &mut Turn,
    ) {
        let Some(order) = self.order_mut(id) else { return };
        order.parked_outcome = Some(ParkedOutcome {
            wire: wire.to_owned(),
            decision: decision.map(ToOwned::to_owned),
            requote: requote.map(ToOwned::to_owned),
            retry: Retry::default(),
        });
        self.judge_outcome(id, turn);
    }

    fn judge_outcome(&mut self, id: OrderId, turn: &mut Turn) {
        let Owner::Household(home) = &mut self.owner else { return };
        let Some(order) = home.orders.iter_mut().find(|order| order.id() == id) else { return };
        let Some(parked) = &order.parked_outcome else { return };
        if home.outcome_certificates.is_empty() {
            // `errands` asks for them.
            return;
        }
        match order.check_outcome(&home.book, &home.outcome_certificates, parked) {
            Ok((outcome, said)) => self.conclude(id, &outcome, said, turn),
            Err(error) => match doubt(&error) {
                Doubt::Log if !order.doubted_log => {
                    order.doubted_log = true;
                    self.link.want_state();
                }
                Doubt::Certificate if !order.doubted_certificate => {
                    order.doubted_certificate = true;
                    self.link.service_wanted = true;
                }
                // Not the service's word, or not about what this watch signed: it changes nothing.
                Doubt::Log | Doubt::Certificate | Doubt::None => order.parked_outcome = None,
            },
        }
    }

    /// The verified end: countersigned, journalled, shown.
    fn conclude(&mut self, id: OrderId, outcome: &Verified<Outcome>, said: Option<Said>, turn: &mut Turn) {
        let now = self.clock.now(turn);
        let Owner::Household(home) = &mut self.owner else { return };
        let Some(index) = home.orders.iter().position(|order| order.id() == id) else { return };
        let result = ResultReport {
            v: V1,
            order: outcome.order,
            outcome: outcome.digest(),
            seen: outcome.outcome,
            household: home.pins.household,
            watch: home.pins.watch,
            at: now,
        };
        let Ok(result) = sign(Kind::Result, result, &*self.keys) else {
            if let Some(parked) = home.orders.get_mut(index).and_then(|order| order.parked_outcome.as_mut()) {
                parked.retry.failed(turn);
            }
            return;
        };
        let order = home.orders.remove(index);
        let given_up = match &order.stage {
            Stage::GivenUp(given_up) => Some(given_up.why),
            Stage::Sending | Stage::Waiting | Stage::Paying(_) => None,
        };
        let guardian = said.as_ref().and_then(|said| home.guardians.get(&said.guardian)).cloned();
        let why = said.as_ref().and_then(|said| said.why).map(EndReason::Rule);
        let rule = said.as_ref().and_then(|said| said.rule.clone());
        let (words, suggest) = said.map(|said| (said.words, said.suggest)).unwrap_or_default();
        let (kind, reason) = match (outcome.outcome, given_up) {
            (_, Some(why @ (GivenUpFor::NotGenuine | GivenUpFor::Removed | GivenUpFor::Rule)))
            | (OutcomeKind::Cancelled, Some(why @ (GivenUpFor::Wearer | GivenUpFor::Late))) => why.shown(),
            (kind, _) => (kind, words.map(EndReason::Words).or(why).or(outcome.reason.map(EndReason::of))),
        };
        if outcome.outcome != OutcomeKind::Paid {
            home.counted.retain(|counted| counted.order != id);
        }
        let total = if kind == OutcomeKind::Paid { outcome.total } else { order.total() };
        home.remember(Past { kind, shop: order.certificate.name.clone(), total, at: outcome.at });
        // Who left the screen of an order that was not paid after all need not see it again.
        if !order.dismissed || kind == OutcomeKind::Paid {
            let suggestion = suggest.filter(|_| kind == OutcomeKind::Refused).map(|suggest| order.suggested(&suggest));
            home.ended = Some(Ended { rule, suggestion, ..order.ended(kind, guardian, reason) });
        }
        home.reports.push(Report { order: id, result: result.wire().to_owned() });
        if home.reports.len() > MAX_REPORTS {
            home.reports.remove(0);
        }
        self.dirty = true;
    }

    /// Judges again what had to wait for the log or a certificate.
    pub(super) fn unpark(&mut self, turn: &mut Turn) {
        let parked: Vec<OrderId> = self
            .household()
            .into_iter()
            .flat_map(|home| &home.orders)
            .filter(|order| order.is_parked())
            .map(OpenOrder::id)
            .collect();
        for id in parked {
            self.judge_decision(id, turn);
            self.judge_outcome(id, turn);
        }
    }

    /// The answer to an order, a cancellation or a payment. False when it must be sent again.
    pub(super) fn order_answered(&mut self, id: OrderId, errand: Errand, reply: Reply, turn: &Turn) -> bool {
        let Some(order) = self.order_mut(id) else { return true };
        match reply {
            Reply::Done(body) => {
                if errand == Errand::Order {
                    let Ok(answer) = serde_json::from_slice::<OrderAnswer>(&body) else { return false };
                    order.ends_at = order.ends_at.min(turn.mono.saturating_add(answer.expires_in_ms));
                }
                order.acknowledge(errand);
                self.dirty = true;
            }
            Reply::Refused(code) => self.order_refused(id, errand, &code),
        }
        true
    }

    fn order_refused(&mut self, id: OrderId, errand: Errand, code: &str) {
        let Some(order) = self.order_mut(id) else { return };
        let over = matches!(code, "order-ended" | "order-expired" | "already-decided");
        match (errand, &order.stage) {
            // How it ended comes as an event; ask for it as well.
            _ if over => {
                order.acknowledge(errand);
                self.link.want_state();
            }
            // Never taken, so there will be no outcome.
            (Errand::Bill | Errand::Order, Stage::Sending) => {
                let notice = match &order.bill.code {
                    Some(text) if code == "payee-unknown" => sticker::unknown_text(text.as_str()),
                    Some(_) | None => refusal(code),
                };
                self.forget(id);
                self.tell(notice);
            }
            // The cancellation follows.
            (Errand::Bill | Errand::Order, _) => {}
            // The service never got the order that was taken back.
            (Errand::Cancel, Stage::GivenUp(given_up)) if code == "order-unknown" => {
                let (kind, reason) = given_up.why.shown();
                let shown = (!order.dismissed).then(|| order.ended(kind, None, reason));
                self.forget(id);
                if let (Some(home), Some(ended)) = (self.household_mut(), shown) {
                    home.ended = Some(ended);
                }
            }
            // No use in saying it again: the service ends the order when its time is over.
            (Errand::Cancel | Errand::Payment, _) => {
                order.acknowledge(errand);
                self.link.want_state();
            }
        }
        self.dirty = true;
        self.disown(code);
    }

    fn forget(&mut self, id: OrderId) {
        if let Some(home) = self.household_mut() {
            home.orders.retain(|order| order.id() != id);
        }
        self.dirty = true;
    }

    /// Taken, or never to be taken: the outcome stands without it.
    pub(super) fn result_answered(&mut self, id: OrderId) {
        if let Some(home) = self.household_mut() {
            home.reports.retain(|report| report.order != id);
        }
        self.dirty = true;
    }

    /// What time makes due.
    pub(super) fn settle_orders(&mut self, turn: &mut Turn) {
        self.give_up_when_removed(turn);
        let Some(home) = self.household_mut() else { return };
        let mut late = Vec::new();
        let mut again = Vec::new();
        let mut in_the_dark = false;
        for order in &mut home.orders {
            match &order.stage {
                Stage::Sending | Stage::Waiting if turn.mono >= order.late_at() => late.push(order.id()),
                Stage::Paying(_) if !order.dismissed && turn.mono >= order.shown_until => {
                    order.dismissed = true;
                    in_the_dark = true;
                }
                Stage::Sending | Stage::Waiting | Stage::Paying(_) | Stage::GivenUp(_) => {}
            }
            let parked = [
                order.parked_decision.as_ref().map(|parked| parked.retry),
                order.parked_outcome.as_ref().map(|parked| parked.retry),
            ];
            if parked.into_iter().flatten().any(|retry| retry.due() > 0 && retry.is_due(turn.mono)) {
                again.push(order.id());
            }
        }
        for id in again {
            self.judge_decision(id, turn);
            self.judge_outcome(id, turn);
        }
        for id in late {
            self.give_up(id, GivenUpFor::Late, turn);
        }
        if in_the_dark {
            self.dirty = true;
            self.tell(Notice::NoNetwork);
        }
    }

    /// After a reboot with a wall clock that went back, the service's time tells how old an order is.
    pub(super) fn align_orders(&mut self, turn: &Turn) {
        let now = self.clock.now(turn);
        let Some(home) = self.household_mut() else { return };
        for order in &mut home.orders {
            let left = unsigned(order.order.expires.ms_since(now));
            order.ends_at = order.ends_at.min(turn.mono.saturating_add(left));
        }
    }

    pub(super) fn order_mut(&mut self, id: OrderId) -> Option<&mut OpenOrder> {
        self.household_mut()?.orders.iter_mut().find(|order| order.id() == id)
    }
}

impl OpenOrder {
    /// The service has what `errand` sent. Late answers to earlier errands change nothing.
    fn acknowledge(&mut self, errand: Errand) {
        match (errand, &mut self.stage) {
            (Errand::Bill, _) => self.bill_delivered = true,
            (Errand::Order, Stage::Sending) => self.stage = Stage::Waiting,
            (Errand::Cancel, Stage::GivenUp(given_up)) => given_up.delivered = true,
            (Errand::Payment, Stage::Paying(paying)) => paying.delivered = true,
            (Errand::Order | Errand::Cancel | Errand::Payment, _) => {}
        }
    }
}

/// Why the service did not take an order, in the watch's words.
fn refusal(code: &str) -> Notice {
    match code {
        "bill-unknown" => Notice::BillUnknown,
        "bill-already-paid" => Notice::BillAlreadyPaid,
        "bill-cancelled" => Notice::BillCancelled,
        "bill-expired" => Notice::BillExpired,
        "unknown-watch" | "revoked-watch" | "household-erased" => Notice::WatchNotEnrolled,
        "household-closed" => Notice::WalletStopped,
        "over-new-watch-cap" => Notice::OverNewWatchCap,
        _ => Notice::ServiceTrouble,
    }
}
