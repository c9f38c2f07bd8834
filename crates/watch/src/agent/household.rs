//! The household this watch belongs to: its log, which the watch follows and never goes back on, and its balance.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use nodpay_core::{
    Amount, GuardianId, HouseCaps, LogEntry, Mandate, Minor, OrderId, OutcomeCertificate, Period, PersonName, Standing,
    Text,
};
use nodpay_protocol::{LogBook, Verified, VerifyError, entry_said, name_digest, verify_outcome_certificate};

use super::order::{Answered, OpenOrder};
use super::{Agent, Face, Owner};
use crate::clock::Turn;
use crate::journal::{Counted, Ended, GivenUpFor, HouseholdRecord, OwnerRecord, Past, Pins, Report};
use crate::net::{
    ASKING_UNKNOWN, BalanceEvent, DecisionEvent, FrozenBy, LogEvent, NamedGuardian, OrderEvent, OutcomeEvent, Reply,
    ServiceAnswer, StateAnswer, StateOrder,
};
use crate::view::{Notice, PastOrder};

/// Earlier certificates that are kept: outcomes of orders that ended while the watch was away may need one.
const MAX_EARLIER_CERTIFICATES: usize = 3;
/// Ended orders that the history shows; the oldest is forgotten first.
const MAX_PAST: usize = 30;
/// Payments that are counted for rules; the oldest is forgotten first. The service counts all of them.
const MAX_COUNTED: usize = 2_000;
/// A month and a day: further back than any cap.
const LOOK_BACK_MS: i64 = 32 * 24 * 60 * 60 * 1000;

pub(super) struct Household {
    pub(super) pins: Pins,
    /// The wires that `book` folds.
    pub(super) log: Vec<String>,
    pub(super) book: LogBook,
    pub(super) wearer_name: Option<Text<40>>,
    /// What the wearer calls them.
    pub(super) guardians: BTreeMap<GuardianId, Text<40>>,
    /// The service's word; the wearer sees it, nothing is paid by it.
    pub(super) balance: Option<Amount>,
    /// Its payments are stopped, the service says: the wearer sees it.
    pub(super) frozen: Option<FrozenBy>,
    /// The newest first. Empty until the service was asked.
    pub(super) outcome_certificates: Vec<Verified<OutcomeCertificate>>,
    /// Id of the newest event of this run.
    pub(super) last_event: Option<String>,
    /// Id of the newest event up to which nothing is left to do.
    pub(super) settled_event: Option<String>,
    /// Orders without a known outcome: at most one that the wearer looks at, and some that they left.
    pub(super) orders: Vec<OpenOrder>,
    pub(super) ended: Option<Ended>,
    /// Oldest first.
    pub(super) reports: Vec<Report>,
    /// Oldest first.
    pub(super) past: Vec<Past>,
    /// Oldest first.
    pub(super) counted: Vec<Counted>,
    /// The service said in this run that it does not know this watch.
    pub(super) disowned: bool,
}

enum Followed {
    Known,
    /// `looser`: more can happen since.
    Appended {
        entry: Box<LogEntry>,
        looser: bool,
    },
    /// Entries before it are missing.
    Gap,
    /// It does not follow from what this watch knows.
    Forged,
}

impl Household {
    /// `book` folds `log`.
    pub(super) fn new(pins: Pins, book: LogBook, log: Vec<String>) -> Self {
        Self {
            pins,
            log,
            book,
            wearer_name: None,
            guardians: BTreeMap::new(),
            balance: None,
            frozen: None,
            outcome_certificates: Vec::new(),
            last_event: None,
            settled_event: None,
            orders: Vec::new(),
            ended: None,
            reports: Vec::new(),
            past: Vec::new(),
            counted: Vec::new(),
            disowned: false,
        }
    }

    /// What of a state answer needs no verification of signatures. True when the journal should know.
    pub(super) fn take_state(&mut self, answer: &StateAnswer) -> bool {
        self.balance = answer.balance;
        self.frozen = answer.frozen;
        let (wearer, guardians) = (self.wearer_name.clone(), self.guardians.clone());
        if let Some(PersonName { name, salt }) = &answer.wearer {
            let said = name_digest(*salt, name.as_str());
            if self.book.watch_ever(self.pins.watch).is_some_and(|watch| watch.wearer_name == said) {
                self.wearer_name = Some(name.clone());
            }
        }
        for NamedGuardian { guardian, name, salt } in &answer.guardians {
            let said = name_digest(*salt, name.as_str());
            if self.book.guardian(*guardian).is_some_and(|known| known.name == Some(said)) {
                self.guardians.insert(*guardian, name.clone());
            }
        }
        self.wearer_name != wearer || self.guardians != guardians
    }

    /// Why nothing can be paid now.
    pub(super) fn stopped(&self) -> Option<Notice> {
        self.frozen.map(|by| match by {
            FrozenBy::Guardian => Notice::PaymentsPaused,
            FrozenBy::Operator => Notice::WalletStopped,
        })
    }

    /// Keeps an ended order for the history screen.
    pub(super) fn remember(&mut self, past: Past) {
        self.past.push(past);
        let surplus = self.past.len().saturating_sub(MAX_PAST);
        self.past.drain(..surplus);
    }

    /// Counts a payment that is being signed, if this watch has a rule or the household caps; forgets what none looks back to.
    pub(super) fn count(&mut self, counted: Counted) {
        let watch = self.pins.watch;
        let ruled = |standing: &Standing| standing.mandate.watch == watch && counted.at < standing.mandate.until;
        if !self.book.mandates().any(ruled) && self.book.house_rules(u64::MAX).caps.is_none() {
            return;
        }
        self.counted.retain(|before| counted.at.ms_since(before.at) < LOOK_BACK_MS);
        let surplus = (self.counted.len() + 1).saturating_sub(MAX_COUNTED);
        self.counted.drain(..surplus);
        self.counted.push(counted);
    }

    /// What this watch has paid in a period of the rule's, by its own count. What the type cannot hold is over every cap.
    pub(super) fn spent(&self, mandate: &Mandate, period: Period) -> Minor {
        let own = self.counted.iter().filter(|counted| mandate.period(period.every, counted.at) == period);
        Minor::sum(own.map(|counted| counted.total.units())).unwrap_or(Minor::MAX)
    }

    /// What this watch alone has paid in a period of the household's caps.
    pub(super) fn spent_of_house(&self, caps: &HouseCaps, period: Period) -> Minor {
        let own = self.counted.iter().filter(|counted| caps.period(period.every, counted.at) == period);
        Minor::sum(own.map(|counted| counted.total.units())).unwrap_or(Minor::MAX)
    }

    /// Newest first.
    pub(super) fn history(&self) -> Vec<PastOrder> {
        let line = |past: &Past| PastOrder {
            kind: past.kind.into(),
            shop: past.shop.to_string(),
            total: past.total,
            at: past.at,
        };
        self.past.iter().rev().map(line).collect()
    }

    fn follow(&mut self, wire: &str) -> Followed {
        if self.log.iter().any(|known| known == wire) {
            return Followed::Known;
        }
        let next = self.book.next_seq();
        let Ok(said) = entry_said(wire) else { return Followed::Forged };
        match said.seq.cmp(&next) {
            Ordering::Greater => return Followed::Gap,
            Ordering::Less => return Followed::Forged,
            Ordering::Equal => {}
        }
        let looser = self.book.enacted(&said).is_some_and(|change| change.loosens(&self.book));
        match self.book.append(wire) {
            Ok(entry) => {
                self.log.push(wire.to_owned());
                Followed::Appended { entry: Box::new(entry), looser }
            }
            Err(_) => Followed::Forged,
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        matches!(self.book.enrolled(self.pins.watch), Err(VerifyError::RevokedWatch))
    }

    pub(super) fn record(&self) -> HouseholdRecord {
        let mut certificates = self.outcome_certificates.iter().map(|certificate| certificate.wire().to_owned());
        HouseholdRecord {
            pins: self.pins.clone(),
            log: self.log.clone(),
            wearer_name: self.wearer_name.clone(),
            guardians: self.guardians.clone(),
            balance: self.balance,
            outcome_certificate: certificates.next(),
            earlier_outcome_certificates: certificates.collect(),
            last_event: self.settled_event.clone(),
            orders: self.orders.iter().map(OpenOrder::record).collect(),
            ended: self.ended.clone(),
            reports: self.reports.clone(),
            past: self.past.clone(),
            counted: self.counted.clone(),
        }
    }
}

/// The root's word on each of the keys that sign outcomes.
pub(super) fn verify_certificates<'a>(
    wires: impl Iterator<Item = &'a String>,
    pins: &Pins,
) -> Result<Vec<Verified<OutcomeCertificate>>, VerifyError> {
    wires.map(|wire| verify_outcome_certificate(wire, &pins.root)).collect()
}

impl Owner {
    pub(super) fn record(&self) -> OwnerRecord {
        match self {
            Self::New => OwnerRecord::New,
            Self::Pairing(pairing) => OwnerRecord::Pairing(Box::new(pairing.record())),
            Self::Household(home) => OwnerRecord::Household(Box::new(home.record())),
        }
    }
}

impl Agent {
    /// False when it must be asked for again.
    pub(super) fn service_answered(&mut self, reply: Reply, turn: &mut Turn) -> bool {
        let Owner::Household(home) = &mut self.owner else { return true };
        let answer = match reply {
            Reply::Done(body) => serde_json::from_slice::<ServiceAnswer>(&body).ok(),
            Reply::Refused(_) => None,
        };
        let Some(answer) = answer else { return false };
        self.clock.learn(answer.now, turn);
        let earlier = answer.earlier_outcome_certificates.iter().take(MAX_EARLIER_CERTIFICATES);
        let wires = std::iter::once(&answer.outcome_certificate).chain(earlier);
        let Ok(certificates) = verify_certificates(wires, &home.pins) else { return false };
        self.link.service_wanted = false;
        if home.outcome_certificates != certificates {
            home.outcome_certificates = certificates;
            self.dirty = true;
        }
        self.unpark(turn);
        true
    }

    /// False when it must be asked for again.
    pub(super) fn state_answered(&mut self, reply: Reply, turn: &mut Turn) -> bool {
        let answer = match reply {
            Reply::Done(body) => serde_json::from_slice::<StateAnswer>(&body).ok(),
            Reply::Refused(code) => {
                self.disown(&code);
                None
            }
        };
        let Some(mut answer) = answer else { return false };
        self.clock.learn(answer.now, turn);
        self.link.got_state();
        match &mut self.owner {
            Owner::New => {}
            Owner::Pairing(_) => self.adopt(answer),
            Owner::Household(home) => {
                let told = std::mem::take(&mut home.disowned);
                self.dirty |= home.take_state(&answer);
                if told && matches!(self.face, Face::Idle(Some(Notice::WatchNotEnrolled))) {
                    self.face = Face::Idle(None);
                }
                for wire in std::mem::take(&mut answer.log) {
                    self.log_entry(&wire, turn);
                }
                self.align_orders(turn);
                if let Some(order) = answer.order.take() {
                    self.state_order(order, turn);
                }
            }
        }
        self.unpark(turn);
        true
    }

    fn state_order(&mut self, state: StateOrder, turn: &mut Turn) {
        self.waits(state.order_id, state.asking.as_deref(), state.nods);
        let decision = state.decision.clone();
        if state.outcome.is_none() {
            let answered = Answered::of(state.decision, state.first, state.mandate, state.requote.clone());
            self.decided(state.order_id, answered, turn);
        }
        if let Some(outcome) = &state.outcome {
            self.ended(state.order_id, outcome, decision.as_deref(), state.requote.as_deref(), turn);
        }
    }

    /// The order waits for what moves its money, or for another guardian.
    fn waits(&mut self, order: OrderId, asking: Option<&str>, nods: u32) {
        if let Some(order) = self.order_mut(order) {
            order.unanswered = asking == Some(ASKING_UNKNOWN);
            order.one_nod = nods > 0;
        }
    }

    /// One event of the stream. Events may come twice and out of order; unknown kinds are for newer watches.
    pub(super) fn event(&mut self, kind: &str, data: &str, turn: &mut Turn) {
        match (kind, &mut self.owner) {
            (_, Owner::New) => {}
            // Not the whole log: ask for that.
            ("log", Owner::Pairing(_)) => self.link.want_state(),
            (_, Owner::Pairing(_)) => {}
            ("log", Owner::Household(home)) => {
                if let Ok(event) = serde_json::from_str::<LogEvent>(data) {
                    home.frozen = event.frozen;
                    self.log_entry(&event.entry, turn);
                }
            }
            ("decision", Owner::Household(_)) => {
                if let Ok(event) = serde_json::from_str::<DecisionEvent>(data) {
                    let answered = Answered::of(event.decision, event.first, event.mandate, event.requote);
                    self.decided(event.order, answered, turn);
                }
            }
            ("order", Owner::Household(_)) => {
                if let Ok(event) = serde_json::from_str::<OrderEvent>(data) {
                    self.waits(event.order, event.asking.as_deref(), event.nods);
                }
            }
            ("outcome", Owner::Household(home)) => {
                if let Ok(event) = serde_json::from_str::<OutcomeEvent>(data) {
                    home.balance = event.balance.or(home.balance);
                    self.link.got_news();
                    let (decision, requote) = (event.decision.as_deref(), event.requote.as_deref());
                    self.ended(event.order, &event.outcome, decision, requote, turn);
                }
            }
            ("balance", Owner::Household(home)) => {
                if let Ok(event) = serde_json::from_str::<BalanceEvent>(data) {
                    home.balance = event.balance;
                    self.link.got_news();
                }
            }
            (_, Owner::Household(_)) => {}
        }
    }

    fn log_entry(&mut self, wire: &str, turn: &Turn) {
        let Owner::Household(home) = &mut self.owner else { return };
        match home.follow(wire) {
            Followed::Known => {}
            Followed::Appended { entry, looser } => {
                self.dirty = true;
                self.obey(&entry, looser, turn);
            }
            Followed::Gap => self.link.want_state(),
            Followed::Forged => {
                if matches!(self.face, Face::Idle(_)) {
                    self.tell(Notice::NotGenuine);
                }
            }
        }
    }

    /// The service does not know this watch, or says so: only a signed log entry unpairs it.
    pub(super) fn disown(&mut self, code: &str) {
        if !matches!(code, "unknown-watch" | "revoked-watch" | "household-erased") {
            return;
        }
        match &mut self.owner {
            Owner::New => {}
            Owner::Pairing(pairing) if pairing.delivered => self.unpair(Some(Notice::PairingFailed)),
            Owner::Pairing(_) => {}
            Owner::Household(home) => {
                // Told once: what the wearer does about it must not be disturbed by the next attempt.
                if !std::mem::replace(&mut home.disowned, true) {
                    self.tell(Notice::WatchNotEnrolled);
                }
            }
        }
    }

    /// A signed entry removed this watch: once nothing is left to show, it belongs to nobody.
    pub(super) fn settle_removal(&mut self) {
        let Owner::Household(home) = &self.owner else { return };
        if !home.is_removed() || home.ended.is_some() || home.orders.iter().any(|order| !order.dismissed) {
            return;
        }
        self.unpair(Some(Notice::WatchNotEnrolled));
    }

    pub(super) fn give_up_when_removed(&mut self, turn: &Turn) {
        if self.household().is_some_and(Household::is_removed) {
            self.give_up_unpaid(GivenUpFor::Removed, turn);
        }
    }
}
