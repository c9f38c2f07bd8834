//! A whole world around one agent: a service in memory that verifies everything, a guardian, a till, a child, a clock
//! without sleeping, and a power switch. The network between is as good as its [`Weather`].

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use nodpay_core::*;
use nodpay_protocol::code::{self, BillCode, write_bill_code};
use nodpay_protocol::*;
use nodpay_testkit::{Cast, START, cny, line_id};
use nodpay_watch::view::{PinGate, ScanFor, Screen, UserAction, View};
use nodpay_watch::{
    Action, Agent, AgentConfig, Input, KeyStore, KeyStoreError, MAX_FLIGHTS, Method, Moment, PinCost, Request,
};
use serde_json::json;

use crate::weather::{Fate, Weather};

pub(crate) const PIN: &str = "7391";
/// What the service says with 429.
pub(crate) const RETRY_MS: i64 = 20_000;
pub(crate) const SERVICE: &str = "http://localhost:8080";

/// A key store that survives a reboot.
#[derive(Clone)]
pub(crate) struct TestKeys(pub(crate) Rc<RefCell<SoftwareKey>>);

impl Signer for TestKeys {
    fn public_key(&self) -> PublicKey {
        self.0.borrow().public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.0.borrow().sign(message)
    }
}

impl KeyStore for TestKeys {
    fn renew(&mut self, secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError> {
        *self.0.borrow_mut() = SoftwareKey::from_secret(secret).ok_or(KeyStoreError("no such key".to_owned()))?;
        Ok(self.public_key())
    }
}

/// What the guardian does with an order.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    Approve {
        struck: Vec<&'static str>,
    },
    Refuse,
    /// Refuses, and would rather nod to this.
    Suggest(Suggestion),
    /// Does nothing; the test does.
    Nothing,
}

pub(crate) struct Served {
    pub(crate) order: Verified<Order>,
    pub(crate) bill: Verified<Bill>,
    pub(crate) requote: Option<Verified<Bill>>,
    pub(crate) decision: Option<Verified<Decision>>,
    /// In its place: the log entry of a standing rule, and why that refuses.
    pub(crate) mandate: Option<(Digest, Option<Why>)>,
    pub(crate) cancel: Option<Verified<Cancel>>,
    pub(crate) payment: Option<Verified<Payment>>,
    pub(crate) outcome: Option<Verified<Outcome>>,
    pub(crate) result: Option<Verified<ResultReport>>,
    pub(crate) ends: i64,
    pub(crate) handled: bool,
}

/// The service, honest unless a test reaches into it.
pub(crate) struct Service {
    pub(crate) cast: Cast,
    /// Of keys that were changed since.
    pub(crate) earlier_outcome_certificates: Vec<Verified<OutcomeCertificate>>,
    pub(crate) now: i64,
    pub(crate) balance: i64,
    pub(crate) bills: Vec<Verified<Bill>>,
    /// Printed codes that are the cast's merchant's, by their payee.
    pub(crate) codes: BTreeSet<Digest>,
    pub(crate) claim: Option<Verified<PairingClaim>>,
    pub(crate) enrolled: bool,
    pub(crate) orders: Vec<Served>,
    pub(crate) events: Vec<(&'static str, String)>,
    pub(crate) nonces: BTreeSet<Nonce>,
    /// Every distinct message of each kind that arrived.
    pub(crate) seen_bills: BTreeSet<String>,
    pub(crate) seen_orders: BTreeSet<String>,
    pub(crate) seen_payments: BTreeSet<String>,
    pub(crate) seen_cancels: BTreeSet<String>,
    pub(crate) seen_results: BTreeSet<String>,
    /// The watch's PIN reports, each once, in their order.
    pub(crate) pin_reports: Vec<Verified<PinReport>>,
    /// Answers everything of this path ending with this instead.
    pub(crate) refuse: Option<(&'static str, u16, &'static str)>,
    pub(crate) requests: Vec<String>,
    pub(crate) bytes: usize,
    /// Orders may come late, and of a watch that does not know the time.
    pub(crate) any_time: bool,
}

impl Service {
    pub(crate) fn time(&self) -> Timestamp {
        START.plus_ms(self.now)
    }

    pub(crate) fn event(&mut self, kind: &'static str, data: serde_json::Value) {
        self.events.push((kind, data.to_string()));
    }

    fn problem(&self, status: u16, code: &str) -> (u16, Vec<u8>) {
        let retry_ms = (status == 429).then_some(RETRY_MS);
        let body = json!({
            "type": "about:blank", "title": code, "status": status, "code": code, "now": self.time(), "retry_ms": retry_ms,
        });
        (status, body.to_string().into_bytes())
    }

    fn key(&self) -> Option<PublicKey> {
        self.claim.as_ref().map(|claim| claim.key)
    }

    pub(crate) fn handle(&mut self, request: &Request) -> (u16, Vec<u8>) {
        assert_eq!(request.service, SERVICE);
        self.requests.push(format!("{} {}", request.method.as_str(), request.path));
        if let Some((end, status, code)) = self.refuse
            && request.path.ends_with(end)
        {
            return self.problem(status, code);
        }
        let body = std::str::from_utf8(&request.body).expect("text").to_owned();
        let parts: Vec<&str> = request.path.trim_start_matches("/api/").split('/').collect();
        match (request.method, parts.as_slice()) {
            (Method::Get, ["service"]) => {
                let answer = json!({
                    "now": self.time(), "root": self.cast.root.public_key(),
                    "outcome_certificate": self.cast.outcome_certificate.wire(),
                    "earlier_outcome_certificates":
                        self.earlier_outcome_certificates.iter().map(Verified::wire).collect::<Vec<_>>(),
                    "rp_id": "localhost", "origins": ["http://localhost:8080"], "demo": false,
                });
                (200, answer.to_string().into_bytes())
            }
            (Method::Post, ["pairings", _, "claim"]) => self.take_claim(&body),
            (Method::Get, ["watch", watch, rest @ ..]) => {
                let proof = request.headers.iter().find(|(name, _)| *name == "DPoP").expect("a proof");
                if let Err((status, code)) = self.check_proof(watch, "GET", &request.path, &proof.1) {
                    return self.problem(status, code);
                }
                self.get(rest)
            }
            (Method::Post, ["watch", _, "pin"]) => self.take_pin_report(&body),
            (Method::Post, ["watch", watch, "payee"]) => {
                let proof = request.headers.iter().find(|(name, _)| *name == "DPoP").expect("a proof");
                if let Err((status, code)) = self.check_proof(watch, "POST", &request.path, &proof.1) {
                    return self.problem(status, code);
                }
                match code::payee_of(&body).is_some_and(|payee| self.codes.contains(&payee)) {
                    true => (200, json!({"certificate": self.cast.certificate.wire()}).to_string().into_bytes()),
                    false => self.problem(404, "payee-unknown"),
                }
            }
            (Method::Post, ["watch", _, "bills"]) => self.take_bill(&body),
            (Method::Post, ["watch", _, "orders"]) => self.take_order(&body),
            (Method::Post, ["watch", _, "orders", id, what]) => self.take_message(id, what, &body),
            other => panic!("no such request: {other:?}"),
        }
    }

    pub(crate) fn check_proof(
        &mut self,
        watch: &str,
        method: &str,
        path: &str,
        proof: &str,
    ) -> Result<(), (u16, &'static str)> {
        let claim = self.claim.as_ref().filter(|claim| claim.watch.to_string() == watch);
        let Some(claim) = claim else { return Err((401, "unknown-watch")) };
        match verify_request(proof, &claim.key, method, path, self.time()) {
            Ok(proof) if self.nonces.insert(proof.jti) => Ok(()),
            Ok(_) => Err((401, "proof-replayed")),
            Err(error) => Err((401, error.code())),
        }
    }

    fn take_claim(&mut self, body: &str) -> (u16, Vec<u8>) {
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let key: PublicKey = body["key"].as_str().expect("a key").parse().expect("a key");
        let claim = verify_pairing_claim(body["claim"].as_str().expect("a claim"), &key).expect("a sound claim");
        assert!(self.cast.secret.is_proved_by(&claim));
        if self.claim.as_ref().is_some_and(|known| known.key != key) && !self.enrolled {
            // The guardian starts anew when a watch lost its first key before it was enrolled.
            self.claim = None;
        }
        if self.claim.as_ref().is_some_and(|known| known.key != key) {
            return self.problem(409, "pairing-claimed");
        }
        self.claim = Some(claim);
        (202, b"{}".to_vec())
    }

    /// The guardian enrols the watch that claimed.
    pub(crate) fn enrol(&mut self) {
        let claim = self.claim.as_ref().expect("claimed");
        let mut watch = self.cast.enrolled_watch();
        watch.watch = claim.watch;
        watch.key = claim.key;
        self.cast.watch = claim.watch;
        let entry = self.cast.next_entry(Entry::EnrolWatch(watch));
        self.append(entry);
        self.enrolled = true;
    }

    pub(crate) fn append(&mut self, entry: LogEntry) {
        let wire = self.cast.passkey.assert(AssertionKind::Log, &entry);
        self.cast.log.push(wire.clone());
        self.event("log", json!({ "entry": wire }));
    }

    fn get(&mut self, path: &[&str]) -> (u16, Vec<u8>) {
        match path {
            ["bills", id] => {
                let Some(bill) = self.bills.iter().find(|bill| bill.bill.to_string() == *id) else {
                    return self.problem(404, "bill-unknown");
                };
                let answer = json!({"certificate": self.cast.certificate.wire(), "bill": bill.wire()});
                (200, answer.to_string().into_bytes())
            }
            [state] if state.starts_with("state?from=") => {
                let from: usize = state.trim_start_matches("state?from=").parse().expect("a number");
                let log = if self.enrolled { self.cast.log.get(from..).unwrap_or(&[]) } else { &[] };
                let order = self.orders.last().map(|order| {
                    json!({
                        "order_id": order.order.order,
                        "decision": order.decision.as_ref().map(Verified::wire),
                        "mandate": order.mandate.map(|(entry, _)| entry),
                        "requote": order.requote.as_ref().map(Verified::wire),
                        "outcome": order.outcome.as_ref().map(Verified::wire),
                    })
                });
                let wearer = self.enrolled.then_some(&self.cast.wearer_name);
                let PersonName { name, salt } = &self.cast.passkey.name;
                let guardian = self.cast.passkey.guardian.guardian;
                let guardians = json!([{ "guardian": guardian, "name": name, "salt": salt }]);
                let answer = json!({
                    "now": self.time(), "balance": cny(self.balance), "wearer": wearer, "guardians": guardians, "log": log, "order": order,
                });
                (200, answer.to_string().into_bytes())
            }
            other => panic!("no such GET: {other:?}"),
        }
    }

    fn take_bill(&mut self, body: &str) -> (u16, Vec<u8>) {
        let key = self.key().expect("paired");
        let bill = verify_static_bill(body, &self.cast.certificate, &key).expect("the watch sends sound bills");
        let text = bill.code.as_ref().expect("a code").as_str();
        if !code::payee_of(text).is_some_and(|payee| self.codes.contains(&payee)) {
            return self.problem(404, "payee-unknown");
        }
        self.seen_bills.insert(body.to_owned());
        if !self.bills.contains(&bill) {
            self.bills.push(bill);
        }
        (202, b"{}".to_vec())
    }

    fn take_order(&mut self, body: &str) -> (u16, Vec<u8>) {
        let book = self.cast.book();
        let found = self
            .bills
            .iter()
            .find_map(|bill| verify_order(body, &book, self.cast.watch, bill).ok().map(|order| (order, bill.clone())));
        let (order, bill) = found.expect("the watch sends sound orders");
        assert!(
            self.any_time || (-120_000..1_000).contains(&order.created.ms_since(self.time())),
            "{:?} {:?}",
            order.created,
            self.time()
        );
        self.seen_orders.insert(body.to_owned());
        let known = self.orders.iter().find(|known| known.order.order == order.order);
        if let Some(known) = known {
            assert_eq!(known.order, order, "one id, one order");
            if known.outcome.is_some() {
                return self.problem(409, "order-ended");
            }
        } else {
            let ends = self.now + order.expires.ms_since(order.created);
            let short = bill.total().minor() > self.balance;
            self.orders.push(Served {
                order,
                bill,
                requote: None,
                decision: None,
                mandate: None,
                cancel: None,
                payment: None,
                outcome: None,
                result: None,
                ends,
                handled: false,
            });
            if short {
                let index = self.orders.len() - 1;
                self.end(index, OutcomeKind::Failed);
            }
        }
        (202, json!({"expires_in_ms": 600_000}).to_string().into_bytes())
    }

    fn take_pin_report(&mut self, body: &str) -> (u16, Vec<u8>) {
        let report = verify_pin_report(body, &self.cast.book(), self.cast.watch).expect("a sound report");
        match self.pin_reports.last() {
            Some(last) if *last == report => {}
            Some(last) if last.seq >= report.seq => return self.problem(409, "pin-report-outdated"),
            _ => self.pin_reports.push(report),
        }
        (202, b"{}".to_vec())
    }

    /// A guardian answers the newest PIN report.
    pub(crate) fn answer_pin(&mut self, command: PinConsent) {
        let report = self.pin_reports.last().expect("reported");
        let command = PinCommand { watch: report.watch, nonce: report.nonce, command };
        self.append(self.cast.next_entry(Entry::PinCommand(command)));
    }

    fn take_message(&mut self, id: &str, what: &str, body: &str) -> (u16, Vec<u8>) {
        let book = self.cast.book();
        let Some(index) = self.orders.iter().position(|order| order.order.order.to_string() == id) else {
            return self.problem(404, "order-unknown");
        };
        let order = &mut self.orders[index];
        match what {
            "payment" => {
                self.seen_payments.insert(body.to_owned());
                let payment = match (&order.decision, order.mandate) {
                    (Some(decision), _) => verify_payment(body, &book, &order.order, decision),
                    (None, Some(_)) => {
                        verify_mandate_payment(body, &book, &order.order, &order.bill, &self.cast.certificate)
                    }
                    (None, None) => return self.problem(409, "not-approved"),
                };
                let payment = payment.expect("a sound payment");
                if let Some(known) = &order.payment {
                    assert_eq!(*known, payment, "one payment");
                    return (202, b"{}".to_vec());
                }
                if order.outcome.is_some() {
                    return self.problem(409, "order-ended");
                }
                order.payment = Some(payment);
                self.end(index, OutcomeKind::Paid);
            }
            "cancel" => {
                self.seen_cancels.insert(body.to_owned());
                let cancel = verify_cancel(body, &book, &order.order).expect("a sound cancel");
                if order.outcome.is_some() {
                    return self.problem(409, "order-ended");
                }
                order.cancel = Some(cancel);
                self.end(index, OutcomeKind::Cancelled);
            }
            "result" => {
                self.seen_results.insert(body.to_owned());
                let outcome = order.outcome.as_ref().expect("ended");
                order.result = Some(verify_result(body, &book, &order.order, outcome).expect("a sound result"));
            }
            other => panic!("no such message: {other}"),
        }
        (202, b"{}".to_vec())
    }

    /// The outcome as the service would sign it.
    pub(crate) fn outcome(&self, index: usize, kind: OutcomeKind) -> Outcome {
        let order = &self.orders[index];
        let total = order.decision.as_ref().map_or(order.bill.total(), |decision| decision.total);
        let mut outcome = self.cast.outcome_payload(&order.order, kind, total);
        outcome.decision = order.decision.as_ref().map(Verified::digest);
        outcome.mandate = order.mandate.map(|(entry, _)| entry);
        outcome.rule = order.mandate.and_then(|(_, why)| why);
        outcome.cancel = order.cancel.as_ref().map(Verified::digest);
        outcome.payment = order.payment.as_ref().map(Verified::digest);
        outcome.transfer = (kind == OutcomeKind::Paid).then(|| TransferId::from_bytes([9; 16]));
        outcome
    }

    pub(crate) fn end(&mut self, index: usize, kind: OutcomeKind) {
        let outcome = self.cast.sign_outcome(self.outcome(index, kind));
        if kind == OutcomeKind::Paid {
            self.balance -= outcome.total.minor();
        }
        self.publish(index, outcome);
    }

    pub(crate) fn publish(&mut self, index: usize, outcome: Verified<Outcome>) {
        let order = &mut self.orders[index];
        let refused = order.decision.as_ref().filter(|decision| decision.verdict == Verdict::Refuse);
        let data = json!({
            "order": order.order.order, "outcome": outcome.wire(), "decision": refused.map(Verified::wire),
            "requote": order.requote.as_ref().map(Verified::wire), "balance": cny(self.balance),
        });
        order.outcome = Some(outcome);
        self.event("outcome", data);
    }

    /// An honest decision of the guardian on order `index`.
    pub(crate) fn decide(&mut self, index: usize, plan: &Plan) {
        let book = self.cast.book();
        let order = &mut self.orders[index];
        order.handled = true;
        let (struck, verdict) = match plan {
            Plan::Approve { struck } => (struck.iter().map(|id| line_id(id)).collect::<Vec<_>>(), Verdict::Approve),
            Plan::Refuse | Plan::Suggest(_) => (Vec::new(), Verdict::Refuse),
            Plan::Nothing => return,
        };
        if order.bill.reduction == Reduction::Requote && !struck.is_empty() {
            order.requote = Some(self.cast.requote(&order.bill, &struck, 2));
        }
        let requote = order.requote.clone();
        let mut decision = self.cast.decision_payload(&order.order, &order.bill, requote.as_ref(), &struck, verdict);
        if verdict == Verdict::Refuse {
            decision.reason = Some(Text::new("先吃饭").expect("words"));
        }
        if let Plan::Suggest(suggestion) = plan {
            decision.suggest = Some(suggestion.clone());
        }
        let wire = self.cast.sign_decision(&decision);
        let (decision, ..) =
            verify_decision(&wire, &book, &order.order, &order.bill, requote.as_ref(), &self.cast.certificate)
                .expect("sound");
        order.decision = Some(decision);
        match verdict {
            Verdict::Approve => {
                let data = json!({
                    "order": order.order.order, "decision": wire, "requote": requote.as_ref().map(Verified::wire),
                });
                self.event("decision", data);
            }
            Verdict::Refuse => self.end(index, OutcomeKind::Refused),
        }
    }

    /// The guardian signs a standing rule; gives its entry.
    pub(crate) fn rule(&mut self, mandate: Mandate) -> Digest {
        self.append(self.cast.next_entry(Entry::SetMandate(Box::new(mandate))));
        self.cast.book().head()
    }

    /// The rule that this entry made approves order `index`, says the service.
    pub(crate) fn allow(&mut self, index: usize, entry: Digest) {
        let order = &mut self.orders[index];
        (order.handled, order.mandate) = (true, Some((entry, None)));
        let data = json!({ "order": order.order.order, "mandate": entry });
        self.event("decision", data);
    }

    /// The rule refuses it, says the service.
    pub(crate) fn rule_out(&mut self, index: usize, entry: Digest, why: Why) {
        self.orders[index].mandate = Some((entry, Some(why)));
        self.end(index, OutcomeKind::Refused);
    }

    /// The stream starts at its end for who asks for anything older.
    pub(crate) fn forget_events(&mut self) {
        self.events.iter_mut().for_each(|event| *event = ("forgotten", "{}".to_owned()));
    }

    pub(crate) fn tick(&mut self) {
        for index in 0..self.orders.len() {
            let order = &self.orders[index];
            if order.outcome.is_none() && self.now >= order.ends {
                self.end(index, OutcomeKind::Expired);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Before,
    After,
}

/// Where journal and key lie, if power may go while they are written.
pub(crate) trait Flash {
    fn save(&mut self, journal: &[u8]);
    /// The power went: nothing that follows happens.
    fn is_off(&self) -> bool;
    /// Power is back: what can be read.
    fn boot(&mut self) -> (Option<Vec<u8>>, Box<dyn KeyStore>);
}

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) keys: TestKeys,
    pub(crate) agent: Agent,
    pub(crate) config: AgentConfig,
    pub(crate) journal: Option<Vec<u8>>,
    /// Length of each journal that was written.
    pub(crate) written: Vec<usize>,
    flash: Option<Box<dyn Flash>>,
    pub(crate) inputs: VecDeque<Input>,
    /// What is under way, and when it arrives.
    pub(crate) later: Vec<(i64, Input)>,
    pub(crate) weather: Weather,
    /// Requests of paths ending with this never arrive.
    pub(crate) swallow: Option<&'static str>,
    /// Requests and stream openings that the agent waits for.
    in_flight: BTreeSet<u64>,
    /// Answers that are not the service's.
    foreign: BTreeSet<u64>,
    /// The last that the agent heard was the service.
    reached: bool,
    /// The stream that was opened last.
    followed: u64,
    /// Paths of all requests and stream openings so far.
    pub(crate) attempts: Vec<String>,
    pub(crate) plan: Plan,
    pub(crate) pin: String,
    /// What the child scans instead of the first bill's code, and types where it is asked for an amount.
    pub(crate) sticker: Option<String>,
    pub(crate) amount: i64,
    /// The watch's wall clock minus the service's.
    pub(crate) skew_ms: i64,
    boot: i64,
    turns: u64,
    pub(crate) stream: Option<(u64, usize)>,
    pub(crate) camera: bool,
    /// The sensor looks.
    pub(crate) sensing: bool,
    /// Delivers each event twice, newest first.
    pub(crate) unruly: bool,
    /// The child has pressed Done on an ended order.
    pub(crate) finished: bool,
    pub(crate) actions: u64,
    pub(crate) crash: Option<(u64, Crash)>,
    pub(crate) crashed: bool,
    pub(crate) screens: Vec<Screen>,
}

pub(crate) fn config() -> AgentConfig {
    AgentConfig { pin_cost: PinCost { memory_kib: 32, passes: 1 }, ..AgentConfig::default() }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(TestKeys(Rc::new(RefCell::new(nodpay_testkit::key(200)))), None)
    }

    /// `keys` must be what `flash` holds, if there is one.
    pub(crate) fn on(keys: TestKeys, mut flash: Option<Box<dyn Flash>>) -> Self {
        let mut cast = Cast::new(0);
        cast.log.truncate(1);
        let bill = cast.bill(1);
        let codes = code::payee_of(&cast.shop_code()).into_iter().collect();
        let service = Service {
            earlier_outcome_certificates: Vec::new(),
            cast,
            now: 0,
            balance: 5_000,
            codes,
            bills: vec![bill],
            claim: None,
            enrolled: false,
            orders: Vec::new(),
            events: Vec::new(),
            nonces: BTreeSet::new(),
            seen_bills: BTreeSet::new(),
            seen_orders: BTreeSet::new(),
            seen_payments: BTreeSet::new(),
            seen_cancels: BTreeSet::new(),
            seen_results: BTreeSet::new(),
            pin_reports: Vec::new(),
            refuse: None,
            requests: Vec::new(),
            bytes: 0,
            any_time: false,
        };
        let (journal, key_store): (_, Box<dyn KeyStore>) = match &mut flash {
            None => (None, Box::new(keys.clone())),
            Some(flash) => flash.boot(),
        };
        let agent = Agent::new(config(), journal.as_deref(), key_store).expect("a new watch");
        let mut world = Self {
            service,
            keys,
            agent,
            config: config(),
            journal,
            written: Vec::new(),
            flash,
            inputs: VecDeque::new(),
            later: Vec::new(),
            weather: Weather::Fine,
            swallow: None,
            in_flight: BTreeSet::new(),
            foreign: BTreeSet::new(),
            reached: false,
            followed: 0,
            attempts: Vec::new(),
            plan: Plan::Approve { struck: Vec::new() },
            pin: PIN.to_owned(),
            sticker: None,
            amount: 850,
            skew_ms: 0,
            boot: 0,
            turns: 0,
            stream: None,
            camera: false,
            sensing: false,
            unruly: false,
            finished: false,
            actions: 0,
            crash: None,
            crashed: false,
            screens: Vec::new(),
        };
        world.handle(Input::Start);
        world
    }

    /// A paired watch on its home screen.
    pub(crate) fn paired() -> Self {
        let mut world = Self::new();
        world.run_until(|world| matches!(world.screen(), Screen::Home { .. }));
        world.settle();
        world
    }

    /// A paired watch whose order waits for the guardian, who does nothing.
    pub(crate) fn waiting() -> Self {
        let mut world = Self::paired();
        world.plan = Plan::Nothing;
        world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
        world.settle();
        world
    }

    pub(crate) fn mono(&self) -> u64 {
        u64::try_from(self.service.now - self.boot).expect("after boot") + 1_000
    }

    pub(crate) fn moment(&mut self) -> Moment {
        self.turns += 1;
        let random = sha256(format!("turn {}", self.turns).as_bytes());
        Moment { monotonic_ms: self.mono(), wall: self.service.time().plus_ms(self.skew_ms), random }
    }

    pub(crate) fn view(&self) -> View {
        self.agent.view(self.mono())
    }

    pub(crate) fn screen(&self) -> Screen {
        self.view().screen
    }

    pub(crate) fn user(&mut self, action: UserAction) {
        self.handle(Input::User(action));
    }

    pub(crate) fn type_pin(&mut self, pin: &str) {
        for byte in pin.bytes() {
            self.user(UserAction::Digit(byte - b'0'));
        }
        self.user(UserAction::Confirm);
    }

    /// Hands in one input and does what the agent says, in order, up to a crash.
    pub(crate) fn handle(&mut self, input: Input) {
        let moment = self.moment();
        self.watch_link(&input);
        self.agent.handle(input, &moment);
        if self.is_off() {
            return self.reboot();
        }
        while let Some(action) = self.agent.poll_action() {
            self.actions += 1;
            if self.crash == Some((self.actions, Crash::Before)) {
                self.reboot();
                return;
            }
            self.act(action);
            if self.is_off() {
                return self.reboot();
            }
            if self.crash == Some((self.actions, Crash::After)) {
                self.reboot();
                return;
            }
        }
        let screen = self.screen();
        if self.screens.last() != Some(&screen) {
            self.screens.push(screen);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Persist(journal) => {
                let text = std::str::from_utf8(&journal).expect("text").to_owned();
                let secret = self.keys.0.borrow().secret();
                assert!(!text.contains(&Nonce::from_bytes(secret[..16].try_into().expect("16")).to_string()[..20]));
                self.written.push(journal.len());
                if let Some(flash) = &mut self.flash {
                    flash.save(&journal);
                }
                self.journal = Some(journal);
            }
            Action::Recognise(on) => self.sensing = on,
            Action::Request(request) => {
                self.begin(request.id, &request.path);
                self.service.tick();
                let (fate, delay_ms) = match self.swallow {
                    Some(end) if request.path.ends_with(end) => (Fate::Lost, 0),
                    _ => self.weather.fate(),
                };
                let lost = Input::NetworkFailed { request: request.id };
                let input = match fate {
                    Fate::Lost => lost,
                    Fate::AnswerLost => {
                        self.service.handle(&request);
                        lost
                    }
                    Fate::Portal(status, body) => {
                        self.foreign.insert(request.id);
                        Input::Response { request: request.id, status, body: body.into() }
                    }
                    Fate::Through { twice } => {
                        let (status, body) = self.service.handle(&request);
                        if twice && request.method == Method::Post {
                            self.service.handle(&request);
                        }
                        self.service.bytes += request.path.len() + request.body.len() + body.len();
                        Input::Response { request: request.id, status, body }
                    }
                };
                self.arrive(delay_ms, input);
            }
            Action::OpenStream(request) => {
                let stream = request.id;
                self.begin(stream, &request.path);
                let (fate, delay_ms) = self.weather.fate();
                let input = match fate {
                    Fate::Lost | Fate::AnswerLost => Input::StreamClosed { stream },
                    Fate::Portal(status, body) => {
                        self.foreign.insert(stream);
                        Input::StreamRefused { stream, status, body: body.into() }
                    }
                    Fate::Through { .. } => {
                        let header = |name: &str| request.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
                        let watch = request.path.split('/').nth(3).expect("a watch").to_owned();
                        match self.service.check_proof(&watch, "GET", &request.path, header("DPoP").expect("a proof")) {
                            Ok(()) => {
                                let from = header("Last-Event-ID").map_or(0, |id| id.parse().expect("a number"));
                                self.stream = Some((stream, from));
                                Input::StreamOpened { stream }
                            }
                            Err((status, code)) => {
                                let (status, body) = self.service.problem(status, code);
                                Input::StreamRefused { stream, status, body }
                            }
                        }
                    }
                };
                self.arrive(delay_ms, input);
            }
            Action::CloseStream => self.stream = None,
            Action::Camera(on) => self.camera = on,
        }
    }

    /// One more attempt: only one while the service is not known to be reached.
    fn begin(&mut self, id: u64, path: &str) {
        let most = if self.reached { MAX_FLIGHTS } else { 1 };
        self.in_flight.insert(id);
        self.attempts.push(path.to_owned());
        assert!(self.in_flight.len() <= most, "{:?} in flight, reached: {}", self.in_flight, self.reached);
    }

    /// Follows what the agent hears about the way to the service.
    fn watch_link(&mut self, input: &Input) {
        match input {
            Input::Response { request: id, .. } | Input::StreamRefused { stream: id, .. } => {
                if self.in_flight.remove(id) {
                    self.reached = !self.foreign.contains(id);
                }
            }
            Input::StreamOpened { stream } => {
                if self.in_flight.remove(stream) {
                    self.reached = true;
                    self.followed = *stream;
                }
            }
            Input::StreamEvent { stream, .. } => self.reached |= self.followed == *stream,
            Input::NetworkFailed { request: id } | Input::StreamClosed { stream: id } => {
                if self.in_flight.remove(id) || self.followed == *id {
                    self.reached = false;
                }
            }
            Input::Start
            | Input::User(_)
            | Input::CodesRead(_)
            | Input::Worn(_)
            | Input::Recognised(_)
            | Input::Tick => {}
        }
    }

    fn arrive(&mut self, delay_ms: i64, input: Input) {
        match delay_ms {
            0 => self.inputs.push_back(input),
            _ => self.later.push((self.service.now + delay_ms, input)),
        }
    }

    fn is_off(&self) -> bool {
        self.flash.as_ref().is_some_and(|flash| flash.is_off())
    }

    /// Power off and on: only journal and keys survive.
    pub(crate) fn reboot(&mut self) {
        self.crashed = true;
        self.inputs.clear();
        self.later.clear();
        self.in_flight.clear();
        self.foreign.clear();
        self.reached = false;
        self.followed = 0;
        self.stream = None;
        self.camera = false;
        self.sensing = false;
        self.boot = self.service.now;
        self.crash = None;
        let mut keys: Box<dyn KeyStore> = Box::new(self.keys.clone());
        if let Some(flash) = &mut self.flash {
            (self.journal, keys) = flash.boot();
        }
        self.agent = Agent::new(self.config, self.journal.as_deref(), keys).expect("a sound journal");
        self.handle(Input::Start);
    }

    fn pull_events(&mut self) -> bool {
        // It is answered before it brings anything.
        let Some((stream, from)) = self.stream.filter(|(id, _)| !self.in_flight.contains(id)) else { return false };
        let fresh: Vec<_> =
            self.service.events.iter().enumerate().skip(from).map(|(i, e)| (i + 1, e.clone())).collect();
        if fresh.is_empty() {
            return false;
        }
        self.stream = Some((stream, self.service.events.len()));
        let mut inputs: Vec<Input> = fresh
            .into_iter()
            .map(|(id, (kind, data))| Input::StreamEvent {
                stream,
                id: Some(id.to_string()),
                kind: kind.to_owned(),
                data,
            })
            .collect();
        if self.unruly {
            inputs.extend(inputs.clone());
            inputs.reverse();
        }
        self.inputs.extend(inputs);
        true
    }

    /// One thing that happens next; false when only time can go on.
    pub(crate) fn step(&mut self) -> bool {
        self.service.tick();
        let arrived = self.later.iter().position(|(due, _)| *due <= self.service.now);
        self.inputs.extend(arrived.map(|index| self.later.remove(index).1));
        if let Some(input) = self.inputs.pop_front() {
            self.handle(input);
            return true;
        }
        if self.pull_events() {
            return true;
        }
        if self.service.claim.is_some()
            && !self.service.enrolled
            && matches!(self.screen(), Screen::Pairing { .. })
            && self.service.key() == Some(self.keys.public_key())
        {
            self.service.enrol();
            return true;
        }
        let open = self.service.orders.iter().position(|order| !order.handled && order.outcome.is_none());
        if let Some(index) = open
            && !matches!(self.plan, Plan::Nothing)
        {
            let plan = self.plan.clone();
            self.service.decide(index, &plan);
            return true;
        }
        false
    }

    /// Network and guardian until both are quiet; the child does nothing, no time passes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            if !self.step() {
                return;
            }
        }
        panic!("never quiet: {:?}", self.service.requests);
    }

    /// The child's next touch, by what is on the screen.
    pub(crate) fn child(&mut self) -> bool {
        match self.screen() {
            Screen::Welcome { .. } => self.user(UserAction::Start),
            Screen::Scan { purpose: ScanFor::Pairing, .. } => {
                assert!(self.camera);
                let code = self.pairing_code();
                self.handle(Input::CodesRead(vec![code.to_text()]));
            }
            Screen::ChoosePin { .. } => {
                let pin = self.pin.clone();
                self.type_pin(&pin);
            }
            Screen::Home { .. } if !self.finished => self.user(UserAction::Start),
            Screen::Scan { purpose: ScanFor::Paying, .. } => {
                let text = self.sticker.clone().unwrap_or_else(|| self.bill_code(0));
                self.handle(Input::CodesRead(vec![text]));
            }
            Screen::Amount(_) => {
                let amount = self.amount.to_string();
                self.type_pin(&amount);
            }
            Screen::Review(_) => self.user(UserAction::Confirm),
            Screen::Pin { gate: PinGate::Open { .. }, .. } => {
                let pin = self.pin.clone();
                self.type_pin(&pin);
            }
            Screen::Home { .. }
            | Screen::Pin { .. }
            | Screen::Pairing { .. }
            | Screen::Recognise { .. }
            | Screen::History(_)
            | Screen::Settings(_)
            | Screen::Fetching
            | Screen::Sending
            | Screen::Waiting { .. }
            | Screen::Paying { .. }
            | Screen::Ended(_) => return false,
        }
        true
    }

    pub(crate) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..5_000 {
            if done(self) {
                return;
            }
            self.run_one();
        }
        panic!("never: {:?} after {:?}", self.view(), self.service.requests);
    }

    /// The next thing that happens: network, guardian, child, or time.
    pub(crate) fn run_one(&mut self) {
        if !self.step() && !self.child() {
            self.sleep();
        }
    }

    /// To the next moment that the agent, the network or the service waits for.
    pub(crate) fn sleep(&mut self) {
        self.sleep_until(i64::MAX);
    }

    pub(crate) fn sleep_until(&mut self, end: i64) {
        let service = self.service.orders.iter().filter(|order| order.outcome.is_none()).map(|order| order.ends);
        let agent = self.agent.poll_timeout().map(|at| {
            let at = i64::try_from(at).expect("soon") - 1_000 + self.boot;
            assert!(at > self.service.now, "a deadline in the past keeps the watch busy: {at} {}", self.service.now);
            at
        });
        let network = self.later.iter().map(|(due, _)| *due);
        // With nothing to wait for, the child looks at the screen for a while.
        let next = service.chain(agent).chain(network).min().unwrap_or(self.service.now + 1_000).min(end);
        self.pass(next - self.service.now);
    }

    pub(crate) fn pass(&mut self, ms: i64) {
        self.service.now += ms.max(0);
        self.service.tick();
        self.handle(Input::Tick);
    }

    pub(crate) fn pairing_code(&self) -> PairingCode {
        let cast = &self.service.cast;
        let founding = LogBook::found(&cast.log[0], None, cast.passkey.rp.clone()).expect("sound").head();
        PairingCode {
            v: V1,
            service: SERVICE.to_owned(),
            pairing: cast.pairing,
            household: cast.household,
            founding,
            root: cast.root.public_key(),
            rp_id: cast.passkey.rp.rp_id.clone(),
            origins: cast.passkey.rp.origins.clone(),
            expires: START.plus_ms(30 * 60_000),
            secret: cast.secret.clone(),
        }
    }

    pub(crate) fn bill_code(&self, index: usize) -> String {
        bill_code(&self.service.bills[index])
    }

    pub(crate) fn go_offline(&mut self) {
        self.weather = Weather::Out;
        self.break_stream();
    }

    /// The connection of the stream ends; the watch notices now.
    pub(crate) fn break_stream(&mut self) {
        if let Some((stream, _)) = self.stream.take() {
            self.handle(Input::StreamClosed { stream });
        }
    }

    /// The service starts anew with what it has stored: connections end, answers under way are lost.
    pub(crate) fn restart_service(&mut self) {
        self.service.nonces.clear();
        for (_, input) in &mut self.later {
            if let Input::Response { request, .. } = *input {
                *input = Input::NetworkFailed { request };
            } else if let Input::StreamOpened { stream } = *input {
                *input = Input::StreamClosed { stream };
            }
        }
        self.break_stream();
    }

    pub(crate) fn go_online(&mut self) {
        self.weather = Weather::Fine;
    }
}

pub(crate) fn bill_code(bill: &Verified<Bill>) -> String {
    let digest = bill.digest();
    let code = BillCode {
        bill: *bill.bill.as_bytes(),
        digest: digest.as_bytes()[..16].try_into().expect("16 bytes"),
        mcc: "5411",
        currency: "CNY",
        amount_minor: bill.total().minor(),
        country: "CN",
        name: "阳光小卖部",
        city: "Shenzhen",
    };
    write_bill_code(&code).expect("a code")
}
