//! For tests of Nodpay only: a whole cast of parties with fixed keys who sign real messages, honest or bent.
//!
//! Everything is deterministic: the same calls give the same bytes, which is also how `docs/vectors.json` is made.

pub mod postgres;

use nodpay_core::{
    Adjustment, Amount, Bill, BillId, Cancel, CancelReason, Choice, CodeText, Country, CredentialId, Currency,
    Decision, Digest, EnrolledWatch, Entry, FailReason, GUARDIAN_COOLING_OFF_MS, Guardian, GuardianId, Hint,
    HouseRules, HouseholdId, Line, LineId, LogEntry, Mandate, MandateId, Mcc, MerchantCertificate, MerchantId, Minor,
    NEW_WATCH_COOLING_OFF_MS, NewGuardian, NewWatchCap, Nonce, Occasion, Offset, Order, OrderId, Outcome,
    OutcomeCertificate, OutcomeKind, Outside, PairingId, Payment, PersonName, PinReport, PinState, Reduction,
    ResultReport, Salt, SuggestedLine, Suggestion, Text, Timestamp, TransferId, V1, Verdict, WatchId, WearerCheck,
    WearerId, WearerMethod, Weekday, Why, Window,
};
use nodpay_protocol::code::{ShopCode, write_shop_code};
use nodpay_protocol::{
    Anchor, AnchorGuardian, Assertion, AssertionKind, Evidence, Kind, LogBook, PairingClaim, PairingSecret,
    RelyingParty, Signer, SoftwareKey, Verified, name_digest, payment_id, sign, verify_decision,
};
use serde::Serialize;

pub use postgres::Cluster;

/// When the cast's story begins: 2026-11-22T08:00:00Z.
pub const START: Timestamp = Timestamp::from_unix_ms(1_795_334_400_000);
const MINUTE_MS: i64 = 60_000;
const YEAR_MS: i64 = 365 * 24 * 60 * MINUTE_MS;

/// A software passkey: real WebAuthn structures, a key in memory.
#[derive(Debug)]
pub struct SoftPasskey {
    pub guardian: Guardian,
    /// Opens the guardian's `name`.
    pub name: PersonName,
    pub key: SoftwareKey,
    pub rp: RelyingParty,
    /// Signs as the demo's software key does.
    pub demo: bool,
}

impl SoftPasskey {
    #[must_use]
    pub fn new(seed: u8, rp: RelyingParty) -> Self {
        let key = key(seed);
        let name = PersonName { name: Text::new("妈妈").expect("a name"), salt: Salt::from_bytes([seed; 16]) };
        let guardian = Guardian {
            guardian: GuardianId::from_bytes([seed; 16]),
            credential: CredentialId::try_from(vec![seed; 20]).expect("a credential id"),
            key: key.public_key(),
            backup_eligible: false,
            shown_payments: false,
            name: Some(name_digest(name.salt, name.name.as_str())),
        };
        Self { guardian, name, key, rp, demo: false }
    }

    /// The assertion over exactly these bytes.
    #[must_use]
    pub fn assert_bytes(&self, kind: AssertionKind, payload: Vec<u8>) -> Assertion {
        let credential = self.guardian.credential.clone();
        Assertion::by_software_key(kind, payload, credential, &self.key, &self.rp, self.demo).expect("signs")
    }

    #[must_use]
    pub fn assert(&self, kind: AssertionKind, payload: &impl Serialize) -> String {
        self.assert_bytes(kind, serde_json::to_vec(payload).expect("serialises")).to_wire()
    }

    /// The decision, after a browser showed this payment.
    #[must_use]
    pub fn assert_shown(&self, decision: &Decision, payment: (&str, Amount)) -> Assertion {
        let payload = serde_json::to_vec(decision).expect("serialises");
        let credential = self.guardian.credential.clone();
        Assertion::by_shown_payment(payload, credential, &self.key, &self.rp, payment).expect("signs")
    }
}

/// A key whose secret is one byte repeated.
#[must_use]
pub fn key(seed: u8) -> SoftwareKey {
    SoftwareKey::from_secret(&[seed; 32]).expect("a valid scalar")
}

#[must_use]
pub fn rp() -> RelyingParty {
    RelyingParty { rp_id: "localhost".to_owned(), origins: vec!["http://localhost:8080".to_owned()], demo_keys: false }
}

#[must_use]
pub fn cny(minor: i64) -> Amount {
    Amount::new(self::minor(minor), Currency::CNY)
}

#[must_use]
pub fn minor(minor: i64) -> Minor {
    Minor::new(minor).expect("in range")
}

#[must_use]
pub fn line_id(id: &str) -> LineId {
    LineId::new(id).expect("a line id")
}

#[must_use]
pub fn line(id: &str, name: &str, quantity: u32, unit_price: i64) -> Line {
    Line {
        id: line_id(id),
        name: Text::new(name).expect("a name"),
        quantity,
        unit_price: minor(unit_price),
        amount: minor(unit_price).times(quantity).expect("in range"),
        category: None,
        min_age: None,
        bundle: None,
    }
}

/// A merchant, a household of one guardian and one watch, and the service: everyone who signs.
#[derive(Debug)]
pub struct Cast {
    pub root: SoftwareKey,
    pub outcome_key: SoftwareKey,
    pub merchant_key: SoftwareKey,
    pub watch_key: SoftwareKey,
    pub passkey: SoftPasskey,
    pub household: HouseholdId,
    pub watch: WatchId,
    pub wearer: WearerId,
    pub wearer_name: PersonName,
    pub merchant: MerchantId,
    pub pairing: PairingId,
    pub secret: PairingSecret,
    pub certificate: Verified<MerchantCertificate>,
    pub outcome_certificate: Verified<OutcomeCertificate>,
    /// Wires of the household log: founded, watch enrolled.
    pub log: Vec<String>,
}

impl Default for Cast {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Cast {
    /// Casts of different numbers share no key and no id. `number` below 25.
    #[must_use]
    pub fn new(number: u8) -> Self {
        assert!(number < 25, "keys run out");
        let seed = |role: u8| 1 + number * 10 + role;
        let (root, outcome_key, merchant_key) = (key(seed(0)), key(seed(1)), key(seed(2)));
        let passkey = SoftPasskey::new(seed(4), rp());
        let merchant = MerchantId::from_bytes([seed(5); 16]);
        let certificate = MerchantCertificate {
            v: V1,
            merchant,
            name: Text::new("阳光小卖部 Sunny Shop").expect("a name"),
            mcc: Mcc::from_digits("5411").expect("a code"),
            city: Text::new("Shenzhen").expect("a city"),
            country: Country::from_code("CN").expect("a country"),
            key: merchant_key.public_key(),
            not_before: START.plus_ms(-YEAR_MS / 2),
            not_after: START.plus_ms(YEAR_MS / 2),
        };
        let outcome_certificate = OutcomeCertificate {
            v: V1,
            key: outcome_key.public_key(),
            not_before: START.plus_ms(-YEAR_MS),
            not_after: START.plus_ms(YEAR_MS),
        };
        let mut cast = Self {
            certificate: sign(Kind::MerchantCertificate, certificate, &root).expect("signs"),
            outcome_certificate: sign(Kind::OutcomeCertificate, outcome_certificate, &root).expect("signs"),
            root,
            outcome_key,
            merchant_key,
            watch_key: key(seed(3)),
            passkey,
            household: HouseholdId::from_bytes([seed(6); 16]),
            watch: WatchId::from_bytes([seed(7); 16]),
            wearer: WearerId::from_bytes([seed(8); 16]),
            wearer_name: PersonName {
                name: Text::new("小明 Ming").expect("a name"),
                salt: Salt::from_bytes([seed(9); 16]),
            },
            merchant,
            pairing: PairingId::from_bytes([seed(9); 16]),
            secret: PairingSecret::from_bytes([seed(9); 16]),
            log: Vec::new(),
        };
        let founding = cast.founding();
        cast.log.push(cast.passkey.assert(AssertionKind::Log, &founding));
        let enrolment = cast.next_entry(Entry::EnrolWatch(cast.enrolled_watch()));
        cast.log.push(cast.passkey.assert(AssertionKind::Log, &enrolment));
        cast
    }

    #[must_use]
    pub fn founding(&self) -> LogEntry {
        LogEntry {
            v: V1,
            household: self.household,
            seq: 0,
            prev: None,
            guardian: self.passkey.guardian.guardian,
            at: START.plus_ms(-60 * MINUTE_MS),
            entry: Entry::Found(self.passkey.guardian.clone()),
        }
    }

    #[must_use]
    pub fn enrolled_watch(&self) -> EnrolledWatch {
        EnrolledWatch {
            watch: self.watch,
            key: self.watch_key.public_key(),
            wearer: self.wearer,
            wearer_name: name_digest(self.wearer_name.salt, self.wearer_name.name.as_str()),
            new_watch_cap: NewWatchCap { until: START.plus_ms(NEW_WATCH_COOLING_OFF_MS), per_payment: cny(20_000) },
        }
    }

    /// The entry that would come next in the log.
    #[must_use]
    pub fn next_entry(&self, entry: Entry) -> LogEntry {
        let book = self.book();
        LogEntry {
            v: V1,
            household: self.household,
            seq: book.next_seq(),
            prev: Some(book.head()),
            guardian: self.passkey.guardian.guardian,
            at: START.plus_ms(-4 * MINUTE_MS),
            entry,
        }
    }

    /// The guardian signs the next entry of the log.
    pub fn append(&mut self, entry: Entry) {
        let entry = self.next_entry(entry);
        self.log.push(self.passkey.assert(AssertionKind::Log, &entry));
    }

    /// Another guardian signs the next entry, or at another time.
    pub fn append_by(&mut self, passkey: &SoftPasskey, at: Timestamp, entry: Entry) {
        let entry = self.next_entry_by(passkey, at, entry);
        self.log.push(passkey.assert(AssertionKind::Log, &entry));
    }

    #[must_use]
    pub fn next_entry_by(&self, passkey: &SoftPasskey, at: Timestamp, entry: Entry) -> LogEntry {
        LogEntry { guardian: passkey.guardian.guardian, at, ..self.next_entry(entry) }
    }

    /// The next entry, signed by a recovery key: a new guardian.
    #[must_use]
    pub fn recovery(&self, key: &SoftwareKey, at: Timestamp, guardian: &SoftPasskey) -> String {
        let entry = self.next_entry_by(guardian, at, Entry::Recover(guardian.guardian.clone()));
        sign(Kind::Recovery, entry, key).expect("signs").wire().to_owned()
    }

    /// The household log as every verifier folds it.
    #[must_use]
    pub fn book(&self) -> LogBook {
        let (first, rest) = self.log.split_first().expect("founded");
        let mut book = LogBook::found(first, None, self.passkey.rp.clone()).expect("a sound founding entry");
        for wire in rest {
            book.append(wire).expect("a sound entry");
        }
        book
    }

    #[must_use]
    pub fn pairing_claim(&self) -> Verified<PairingClaim> {
        let key = self.watch_key.public_key();
        let claim = PairingClaim {
            v: V1,
            pairing: self.pairing,
            household: self.household,
            watch: self.watch,
            key,
            proof: self.secret.prove(self.pairing, self.household, self.watch, &key),
        };
        sign(Kind::PairingClaim, claim, &self.watch_key).expect("signs")
    }

    /// Five lines, ¥36.50: bread, milk, two colas, gum, a pencil.
    #[must_use]
    pub fn bill(&self, number: u8) -> Verified<Bill> {
        self.sign_bill(self.bill_payload(number, Reduction::LinesSum, Vec::new()))
    }

    #[must_use]
    pub fn bill_payload(&self, number: u8, reduction: Reduction, adjustments: Vec<Adjustment>) -> Bill {
        let lines = vec![
            line("1", "全麦面包 Wholemeal bread", 1, 850),
            line("2", "牛奶 Milk 250 ml", 2, 450),
            line("3", "可乐 Cola", 2, 350),
            line("4", "口香糖 Gum", 1, 500),
            line("5", "铅笔 Pencil", 5, 140),
        ];
        let mut bill = Bill {
            v: V1,
            bill: BillId::from_bytes([number; 16]),
            revision: 1,
            replaces: None,
            merchant: self.merchant,
            certificate: self.certificate.digest(),
            currency: Currency::CNY,
            total: Minor::ZERO,
            lines,
            adjustments,
            reduction,
            issued: START,
            valid_until: START.plus_ms(15 * MINUTE_MS),
            nonce: Nonce::from_bytes([number; 16]),
            code: None,
        };
        retotal(&mut bill);
        bill
    }

    #[must_use]
    pub fn sign_bill(&self, bill: Bill) -> Verified<Bill> {
        sign(Kind::Bill, bill, &self.merchant_key).expect("signs")
    }

    /// The cast's shop's own printed code, without an amount.
    #[must_use]
    pub fn shop_code(&self) -> String {
        write_shop_code(&ShopCode {
            shop: *self.merchant.as_bytes(),
            mcc: "5411",
            currency: "CNY",
            amount_minor: None,
            country: "CN",
            name: self.certificate.name.as_str(),
            city: self.certificate.city.as_str(),
        })
        .expect("a code")
    }

    /// An honest bill over `total` minor units that the watch makes of a printed code.
    #[must_use]
    pub fn static_bill_payload(&self, number: u8, code: &str, total: i64) -> Bill {
        let mut bill = self.bill_payload(number, Reduction::LinesSum, Vec::new());
        bill.lines = vec![line("1", self.certificate.name.as_str(), 1, total)];
        bill.code = Some(CodeText::new(code).expect("a code"));
        retotal(&mut bill);
        bill
    }

    #[must_use]
    pub fn sign_static_bill(&self, bill: Bill) -> Verified<Bill> {
        sign(Kind::StaticBill, bill, &self.watch_key).expect("signs")
    }

    /// The merchant's honest requote of `bill` without `struck`; adjustments stay.
    #[must_use]
    pub fn requote(&self, bill: &Verified<Bill>, struck: &[LineId], revision: u32) -> Verified<Bill> {
        let mut requote = Bill::clone(bill);
        requote.revision = revision;
        requote.replaces = Some(bill.digest());
        requote.lines.retain(|line| !struck.contains(&line.id));
        retotal(&mut requote);
        self.sign_bill(requote)
    }

    #[must_use]
    pub fn order_payload(&self, bill: &Verified<Bill>, number: u8) -> Order {
        Order {
            v: V1,
            order: OrderId::from_bytes([number; 16]),
            bill: bill.digest(),
            household: self.household,
            watch: self.watch,
            wearer: self.wearer,
            wearer_check: WearerCheck { method: WearerMethod::Pin, at: START.plus_ms(MINUTE_MS - 2_000) },
            log_head: self.book().head(),
            created: START.plus_ms(MINUTE_MS),
            expires: START.plus_ms(11 * MINUTE_MS),
            nonce: Nonce::from_bytes([number; 16]),
            reason: None,
            occasion: Some(Occasion::School),
            without: Vec::new(),
        }
    }

    #[must_use]
    pub fn order(&self, bill: &Verified<Bill>, number: u8) -> Verified<Order> {
        self.sign_order(self.order_payload(bill, number))
    }

    #[must_use]
    pub fn sign_order(&self, order: Order) -> Verified<Order> {
        sign(Kind::Order, order, &self.watch_key).expect("signs")
    }

    /// An honest decision: `struck` empty and `verdict` refuse is a refusal.
    #[must_use]
    pub fn decision_payload(
        &self,
        order: &Verified<Order>,
        bill: &Verified<Bill>,
        requote: Option<&Verified<Bill>>,
        struck: &[LineId],
        verdict: Verdict,
    ) -> Decision {
        let current = requote.unwrap_or(bill);
        let total = match verdict {
            Verdict::Approve => bill.terms(struck, requote.map(|requote| &**requote)).expect("strikes").total,
            Verdict::Refuse => current.total(),
        };
        Decision {
            v: V1,
            order: order.digest(),
            bill: current.digest(),
            struck: struck.to_vec(),
            household: self.household,
            watch: self.watch,
            wearer: self.wearer,
            payee: bill.certificate,
            total,
            verdict,
            first: None,
            guardian: self.passkey.guardian.guardian,
            credential: self.passkey.guardian.credential.clone(),
            log_head: self.book().head(),
            at: START.plus_ms(2 * MINUTE_MS),
            pay_by: START.plus_ms(7 * MINUTE_MS),
            reason: None,
            suggest: None,
        }
    }

    #[must_use]
    pub fn sign_decision(&self, decision: &Decision) -> String {
        self.passkey.assert(AssertionKind::Decision, decision)
    }

    #[must_use]
    pub fn payment_payload(&self, order: &Verified<Order>, decision: &Verified<Decision>) -> Payment {
        Payment {
            v: V1,
            payment: payment_id(order.digest(), decision.digest()),
            order: order.digest(),
            decision: Some(decision.digest()),
            mandate: None,
            bill: decision.bill,
            payee: decision.payee,
            total: decision.total,
            household: self.household,
            watch: self.watch,
            log_head: self.book().head(),
            at: START.plus_ms(2 * MINUTE_MS + 300),
        }
    }

    /// The guardian's standing rule "零食 snacks": up to ¥40 by itself, ¥100 a day, only at the cast's shop, and not before 15:00 (UTC+8).
    #[must_use]
    pub fn snacks(&self) -> Mandate {
        Mandate {
            mandate: MandateId::from_bytes([self.watch.as_bytes()[0]; 16]),
            version: 1,
            name: Text::new("零食 snacks").expect("a name"),
            watch: self.watch,
            until: START.plus_ms(YEAR_MS / 12),
            approve: Some(cny(4_000)),
            outside: Outside::Refuse,
            per_payment: None,
            per_day: Some(cny(10_000)),
            per_week: None,
            per_month: None,
            shops: Some(Choice::Only(vec![self.merchant])),
            categories: None,
            places: None,
            age: None,
            windows: vec![Window { days: Weekday::ALL.to_vec(), from: 15 * 60, to: 22 * 60 }],
            offsets: vec![Offset { from: START, minutes: 8 * 60 }],
        }
    }

    /// What the watch pays under the mandate that this entry made.
    #[must_use]
    pub fn mandate_payment_payload(&self, order: &Verified<Order>, bill: &Verified<Bill>, entry: Digest) -> Payment {
        Payment {
            v: V1,
            payment: payment_id(order.digest(), entry),
            order: order.digest(),
            decision: None,
            mandate: Some(entry),
            bill: bill.digest(),
            payee: bill.certificate,
            total: bill.total(),
            household: self.household,
            watch: self.watch,
            log_head: self.book().head(),
            at: START.plus_ms(MINUTE_MS + 300),
        }
    }

    /// A whole order that ended under the newest entry of the log, which made a mandate: paid, or refused for `rule`.
    #[must_use]
    pub fn mandate_story(&self, bill: Verified<Bill>, order: Verified<Order>, rule: Option<Why>) -> Story {
        let entry = self.book().head();
        let payment = match rule {
            None => {
                let payment = self.mandate_payment_payload(&order, &bill, entry);
                Some(sign(Kind::Payment, payment, &self.watch_key).expect("signs"))
            }
            Some(_) => None,
        };
        let kind = if rule.is_none() { OutcomeKind::Paid } else { OutcomeKind::Refused };
        let mut outcome = self.outcome_payload(&order, kind, bill.total());
        outcome.mandate = Some(entry);
        outcome.rule = rule;
        outcome.payment = payment.as_ref().map(Verified::digest);
        outcome.transfer = payment.is_some().then(|| TransferId::from_bytes([9; 16]));
        let outcome = self.sign_outcome(outcome);
        let result = self.result(&order, &outcome);
        Story { bill, requote: None, order, decision: None, first: None, cancel: None, payment, outcome, result }
    }

    #[must_use]
    pub fn payment(&self, order: &Verified<Order>, decision: &Verified<Decision>) -> Verified<Payment> {
        sign(Kind::Payment, self.payment_payload(order, decision), &self.watch_key).expect("signs")
    }

    #[must_use]
    pub fn cancel(&self, order: &Verified<Order>) -> Verified<Cancel> {
        let cancel = Cancel {
            v: V1,
            order: order.digest(),
            household: self.household,
            watch: self.watch,
            reason: CancelReason::Wearer,
            at: START.plus_ms(3 * MINUTE_MS),
        };
        sign(Kind::Cancel, cancel, &self.watch_key).expect("signs")
    }

    #[must_use]
    pub fn outcome_payload(&self, order: &Verified<Order>, outcome: OutcomeKind, total: Amount) -> Outcome {
        Outcome {
            v: V1,
            order: order.digest(),
            household: self.household,
            watch: self.watch,
            outcome,
            reason: (outcome == OutcomeKind::Failed).then_some(FailReason::InsufficientBalance),
            decision: None,
            mandate: None,
            rule: None,
            cancel: None,
            payment: None,
            transfer: None,
            total,
            log_head: self.book().head(),
            at: START.plus_ms(2 * MINUTE_MS + 400),
        }
    }

    #[must_use]
    pub fn sign_outcome(&self, outcome: Outcome) -> Verified<Outcome> {
        sign(Kind::Outcome, outcome, &self.outcome_key).expect("signs")
    }

    #[must_use]
    pub fn result(&self, order: &Verified<Order>, outcome: &Verified<Outcome>) -> Verified<ResultReport> {
        let result = ResultReport {
            v: V1,
            order: order.digest(),
            outcome: outcome.digest(),
            seen: outcome.outcome,
            household: self.household,
            watch: self.watch,
            at: START.plus_ms(2 * MINUTE_MS + 500),
        };
        sign(Kind::Result, result, &self.watch_key).expect("signs")
    }

    /// The watch's report number `seq`, with a nonce of that number.
    #[must_use]
    pub fn pin_report(&self, seq: u8, state: PinState) -> Verified<PinReport> {
        let at = START.plus_ms(MINUTE_MS);
        let report = PinReport {
            v: V1,
            household: self.household,
            watch: self.watch,
            seq: u64::from(seq),
            nonce: Nonce::from_bytes([seq; 16]),
            state,
            wrong: if state == PinState::Ok { 0 } else { 5 },
            until: (state == PinState::Waiting).then(|| at.plus_ms(MINUTE_MS)),
            at,
        };
        sign(Kind::PinReport, report, &self.watch_key).expect("signs")
    }

    /// A whole paid order with these lines struck, through the merchant's requote if the bill needs one.
    #[must_use]
    pub fn paid_story(&self, bill: Verified<Bill>, number: u8, struck: &[LineId]) -> Story {
        let order = self.order(&bill, number);
        self.paid_order(bill, order, struck)
    }

    /// The same of an order that is signed already.
    #[must_use]
    pub fn paid_order(&self, bill: Verified<Bill>, order: Verified<Order>, struck: &[LineId]) -> Story {
        let requote =
            (bill.reduction == Reduction::Requote && !struck.is_empty()).then(|| self.requote(&bill, struck, 2));
        let decision = self.decision_payload(&order, &bill, requote.as_ref(), struck, Verdict::Approve);
        let wire = self.sign_decision(&decision);
        let (decision, ..) =
            verify_decision(&wire, &self.book(), &order, &bill, requote.as_ref(), &self.certificate).expect("sound");
        let payment = self.payment(&order, &decision);
        let mut outcome = self.outcome_payload(&order, OutcomeKind::Paid, decision.total);
        outcome.decision = Some(decision.digest());
        outcome.payment = Some(payment.digest());
        outcome.transfer = Some(TransferId::from_bytes(*order.order.as_bytes()));
        let outcome = self.sign_outcome(outcome);
        let result = self.result(&order, &outcome);
        let payment = Some(payment);
        Story { bill, requote, order, decision: Some(decision), first: None, cancel: None, payment, outcome, result }
    }

    /// A second guardian, and what the household decides about deciding a day later, when they count.
    pub fn add_second(&mut self, rules: HouseRules) -> SoftPasskey {
        let second = SoftPasskey::new(201, rp());
        let came = self.next_entry(Entry::Found(second.guardian.clone())).at;
        let counts_from = came.plus_ms(GUARDIAN_COOLING_OFF_MS);
        self.append(Entry::AddGuardian(NewGuardian { guardian: second.guardian.clone(), counts_from }));
        let entry = LogEntry { at: counts_from, ..self.next_entry(Entry::SetHouseRules(rules)) };
        self.log.push(self.passkey.assert(AssertionKind::Log, &entry));
        second
    }

    /// The founder's approval once the second guardian counts, and the second's of the same, which names it.
    #[must_use]
    pub fn two_nods(&self, order: &Verified<Order>, bill: &Verified<Bill>, second: &SoftPasskey) -> [Decision; 2] {
        let late = |mut decision: Decision| {
            decision.at = decision.at.plus_ms(2 * GUARDIAN_COOLING_OFF_MS);
            decision.pay_by = decision.pay_by.plus_ms(2 * GUARDIAN_COOLING_OFF_MS);
            decision
        };
        let first = late(self.decision_payload(order, bill, None, &[], Verdict::Approve));
        let signed = self.sign_decision(&first);
        let (signed, ..) = verify_decision(&signed, &self.book(), order, bill, None, &self.certificate).expect("sound");
        let guardian = &second.guardian;
        let (guardian, credential) = (guardian.guardian, guardian.credential.clone());
        [first.clone(), Decision { first: Some(signed.digest()), guardian, credential, ..first }]
    }

    /// A whole paid order with the nods of two.
    #[must_use]
    pub fn nodded_story(&self, bill: Verified<Bill>, number: u8, second: &SoftPasskey) -> Story {
        let order = self.order(&bill, number);
        let [one, two] = self.two_nods(&order, &bill, second);
        let book = self.book();
        let verified =
            |wire: String| verify_decision(&wire, &book, &order, &bill, None, &self.certificate).expect("sound").0;
        let first = verified(self.sign_decision(&one));
        let decision = verified(second.assert(AssertionKind::Decision, &two));
        let payment = self.payment(&order, &decision);
        let mut outcome = self.outcome_payload(&order, OutcomeKind::Paid, decision.total);
        outcome.decision = Some(decision.digest());
        outcome.payment = Some(payment.digest());
        outcome.transfer = Some(TransferId::from_bytes([number; 16]));
        let outcome = self.sign_outcome(outcome);
        let result = self.result(&order, &outcome);
        let (decision, first, payment) = (Some(decision), Some(first), Some(payment));
        Story { bill, requote: None, order, decision, first, cancel: None, payment, outcome, result }
    }

    /// A whole order that a guardian refused, with a suggestion or without.
    #[must_use]
    pub fn refused_order(&self, bill: Verified<Bill>, order: Verified<Order>, suggest: Option<Suggestion>) -> Story {
        let mut refusal = self.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
        refusal.suggest = suggest;
        refusal.reason = Some(Text::new("先吃饭 Eat first").expect("a note"));
        let wire = self.sign_decision(&refusal);
        let (decision, ..) =
            verify_decision(&wire, &self.book(), &order, &bill, None, &self.certificate).expect("sound");
        let mut outcome = self.outcome_payload(&order, OutcomeKind::Refused, bill.total());
        outcome.decision = Some(decision.digest());
        let outcome = self.sign_outcome(outcome);
        let result = self.result(&order, &outcome);
        Story {
            bill,
            requote: None,
            order,
            decision: Some(decision),
            first: None,
            cancel: None,
            payment: None,
            outcome,
            result,
        }
    }

    /// Only one milk of two, a small one, for at most ¥5.
    #[must_use]
    pub fn less_milk(&self) -> Suggestion {
        let lines = vec![SuggestedLine { id: line_id("2"), quantity: 1 }];
        Suggestion { lines, hint: Some(Hint::Smaller), up_to: Some(cny(500)) }
    }

    /// Only these lines of the cast's bill, whole.
    #[must_use]
    pub fn only(&self, ids: &[&str]) -> Suggestion {
        let bill = self.bill_payload(1, Reduction::LinesSum, Vec::new());
        let named = bill.lines.iter().filter(|line| ids.contains(&line.id.as_str()));
        let lines = named.map(|line| SuggestedLine { id: line.id.clone(), quantity: line.quantity }).collect();
        Suggestion { lines, ..Suggestion::default() }
    }

    #[must_use]
    pub fn evidence(&self, story: &Story) -> Evidence {
        Evidence {
            v: V1,
            merchant_certificate: self.certificate.wire().to_owned(),
            outcome_certificate: self.outcome_certificate.wire().to_owned(),
            log: self.log.clone(),
            wearer_name: self.wearer_name.clone(),
            bill: story.bill.wire().to_owned(),
            requote: story.requote.as_ref().map(|requote| requote.wire().to_owned()),
            order: story.order.wire().to_owned(),
            decision: story.decision.as_ref().map(|decision| decision.wire().to_owned()),
            first: story.first.as_ref().map(|first| first.wire().to_owned()),
            cancel: story.cancel.as_ref().map(|cancel| cancel.wire().to_owned()),
            payment: story.payment.as_ref().map(|payment| payment.wire().to_owned()),
            outcome: story.outcome.wire().to_owned(),
            result: Some(story.result.wire().to_owned()),
        }
    }

    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let guardian = &self.passkey.guardian;
        Anchor {
            v: V1,
            household: self.household,
            root: self.root.public_key(),
            rp_id: self.passkey.rp.rp_id.clone(),
            origins: self.passkey.rp.origins.clone(),
            guardians: vec![AnchorGuardian {
                guardian: guardian.guardian,
                credential: guardian.credential.clone(),
                key: guardian.key,
            }],
            demo_keys: false,
        }
    }
}

/// All messages of one order.
#[derive(Clone, Debug)]
pub struct Story {
    pub bill: Verified<Bill>,
    pub requote: Option<Verified<Bill>>,
    pub order: Verified<Order>,
    pub decision: Option<Verified<Decision>>,
    /// The other guardian's approval that the decision names.
    pub first: Option<Verified<Decision>>,
    pub cancel: Option<Verified<Cancel>>,
    pub payment: Option<Verified<Payment>>,
    pub outcome: Verified<Outcome>,
    pub result: Verified<ResultReport>,
}

/// Makes the total what lines and adjustments come to.
pub fn retotal(bill: &mut Bill) {
    let amounts = bill.lines.iter().map(|line| line.amount);
    bill.total = Minor::sum(amounts.chain(bill.adjustments.iter().map(|item| item.amount))).expect("in range");
}

/// A digest of nothing in particular.
#[must_use]
pub fn some_digest(seed: u8) -> Digest {
    Digest::from_bytes([seed; 32])
}
