//! A cheating service, relay, guardian or till: nothing is paid, and the child is told.

use nodpay_core::*;
use nodpay_protocol::*;
use nodpay_testkit::{Cast, START, SoftPasskey, cny, line_id, rp, some_digest};
use nodpay_watch::Input;
use nodpay_watch::view::{EndKind, Ending, Notice, Screen, UserAction};
use serde_json::{Value, json};

use crate::world::{Plan, World, bill_code};

/// What a cheat sends as the event of a decision.
type Cheat = fn(&World) -> Value;

fn honest(world: &World) -> (Decision, Verified<Order>, Verified<Bill>) {
    let order = &world.service.orders[0];
    let decision =
        world.service.cast.decision_payload(&order.order, &order.bill, None, &[line_id("3")], Verdict::Approve);
    (decision, order.order.clone(), order.bill.clone())
}

fn event(world: &World, decision: &str, requote: Option<&Verified<Bill>>) -> Value {
    let order = world.service.orders[0].order.order;
    json!({"order": order, "decision": decision, "requote": requote.map(Verified::wire)})
}

fn bent(world: &World, bend: impl Fn(&mut Decision)) -> Value {
    let (mut decision, ..) = honest(world);
    bend(&mut decision);
    event(world, &world.service.cast.sign_decision(&decision), None)
}

fn signed_by(world: &World, bend: impl Fn(&mut SoftPasskey)) -> Value {
    let (decision, ..) = honest(world);
    let guardian = &world.service.cast.passkey;
    let mut passkey = SoftPasskey::new(5, guardian.rp.clone());
    assert_eq!(passkey.guardian, guardian.guardian);
    bend(&mut passkey);
    event(world, &passkey.assert(AssertionKind::Decision, &decision), None)
}

fn changed(world: &World, part: usize, change: impl Fn(&mut Vec<u8>)) -> Value {
    let (decision, ..) = honest(world);
    let wire = world.service.cast.sign_decision(&decision);
    let mut assertion = Assertion::parse(&wire).expect("sound");
    match part {
        0 => change(&mut assertion.payload),
        1 => change(&mut assertion.authenticator_data),
        2 => change(&mut assertion.client_data),
        _ => change(&mut assertion.signature),
    }
    event(world, &assertion.to_wire(), None)
}

/// Another browser's client data, properly signed.
fn client_data(world: &World, bend: impl Fn(&mut Value)) -> Value {
    let (decision, ..) = honest(world);
    let passkey = &world.service.cast.passkey;
    let mut assertion = Assertion::parse(&passkey.assert(AssertionKind::Decision, &decision)).expect("sound");
    let mut data: Value = serde_json::from_slice(&assertion.client_data).expect("JSON");
    bend(&mut data);
    assertion.client_data = data.to_string().into_bytes();
    resign(&mut assertion, passkey);
    event(world, &assertion.to_wire(), None)
}

fn authenticator_data(world: &World, bend: impl Fn(&mut Vec<u8>)) -> Value {
    let (decision, ..) = honest(world);
    let passkey = &world.service.cast.passkey;
    let mut assertion = Assertion::parse(&passkey.assert(AssertionKind::Decision, &decision)).expect("sound");
    bend(&mut assertion.authenticator_data);
    resign(&mut assertion, passkey);
    event(world, &assertion.to_wire(), None)
}

fn resign(assertion: &mut Assertion, passkey: &SoftPasskey) {
    let mut signed = assertion.authenticator_data.clone();
    signed.extend_from_slice(&sha256(&assertion.client_data));
    let fixed = passkey.key.sign(&signed).expect("signs");
    assertion.signature = der(&fixed);
}

fn der(fixed: &[u8; 64]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let pad = bytes.first().is_none_or(|byte| *byte >= 0x80);
        let mut out = vec![2, u8::try_from(bytes.len() + usize::from(pad)).expect("short")];
        out.extend(pad.then_some(0));
        out.extend(bytes);
        out
    };
    let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).expect("short")], body].concat()
}

/// A requote bent by `bend`, signed by the merchant, with a decision over it.
fn requoted(world: &World, bend: impl Fn(&mut Bill)) -> Value {
    let (mut decision, _, bill) = honest(world);
    let mut requote = Bill::clone(&world.service.cast.requote(&bill, &[line_id("3")], 2));
    bend(&mut requote);
    let requote = world.service.cast.sign_bill(requote);
    decision.bill = requote.digest();
    decision.total = requote.total();
    event(world, &world.service.cast.sign_decision(&decision), Some(&requote))
}

const CHEATS: &[(&str, Cheat)] = &[
    ("a changed payload byte", |w| changed(w, 0, |bytes| bytes[40] ^= 1)),
    ("a changed authenticator byte", |w| changed(w, 1, |bytes| bytes[0] ^= 1)),
    ("a changed client data byte", |w| changed(w, 2, |bytes| bytes[30] ^= 1)),
    ("a changed signature byte", |w| changed(w, 3, |bytes| bytes[20] ^= 1)),
    ("a left-over signature byte", |w| changed(w, 3, |bytes| bytes.push(0))),
    ("no assertion at all", |w| event(w, "a.b.c", None)),
    ("a foreign guardian", |w| signed_by(w, |passkey| *passkey = SoftPasskey::new(99, rp()))),
    ("a foreign key under the guardian's credential", |w| signed_by(w, |p| p.key = nodpay_testkit::key(98))),
    ("another rp id", |w| signed_by(w, |p| p.rp.rp_id = "evil.example".to_owned())),
    ("another origin", |w| signed_by(w, |p| p.rp.origins = vec!["http://localhost:8081".to_owned()])),
    ("a demo key", |w| signed_by(w, |p| p.demo = true)),
    ("another site's page", |w| client_data(w, |data| data["crossOrigin"] = true.into())),
    ("a top origin", |w| client_data(w, |data| data["topOrigin"] = "http://localhost:8080".into())),
    ("a creation, not an assertion", |w| client_data(w, |data| data["type"] = "webauthn.create".into())),
    ("the challenge of a log entry", |w| {
        let (decision, ..) = honest(w);
        event(w, &w.service.cast.passkey.assert(AssertionKind::Log, &decision), None)
    }),
    ("no user verification", |w| authenticator_data(w, |data| data[32] &= !4)),
    ("no user presence", |w| authenticator_data(w, |data| data[32] &= !1)),
    ("extensions", |w| authenticator_data(w, |data| data[32] |= 0x80)),
    ("a backed-up key that cannot be", |w| authenticator_data(w, |data| data[32] |= 0x10)),
    ("left-over authenticator bytes", |w| authenticator_data(w, |data| data.push(0))),
    ("another order", |w| bent(w, |decision| decision.order = some_digest(1))),
    ("another bill", |w| bent(w, |decision| decision.bill = some_digest(2))),
    ("another household", |w| bent(w, |d| d.household = HouseholdId::from_bytes([99; 16]))),
    ("another watch", |w| bent(w, |decision| decision.watch = WatchId::from_bytes([3; 16]))),
    ("another wearer", |w| bent(w, |decision| decision.wearer = WearerId::from_bytes([3; 16]))),
    ("another payee", |w| bent(w, |decision| decision.payee = some_digest(4))),
    ("a higher total", |w| bent(w, |decision| decision.total = cny(2951))),
    ("a lower total", |w| bent(w, |decision| decision.total = cny(2949))),
    ("another currency", |w| bent(w, |d| d.total = Amount::new(d.total.units(), Currency::EUR))),
    ("a line that is not there", |w| bent(w, |decision| decision.struck = vec![line_id("9")])),
    ("lines struck out of order", |w| bent(w, |d| d.struck = vec![line_id("4"), line_id("3")])),
    ("every line struck", |w| bent(w, |d| d.struck = ["1", "2", "3", "4", "5"].map(line_id).to_vec())),
    ("an unknown log head", |w| bent(w, |decision| decision.log_head = some_digest(5))),
    ("no time to pay", |w| bent(w, |decision| decision.pay_by = decision.at)),
    ("a day to pay", |w| bent(w, |decision| decision.pay_by = decision.at.plus_ms(86_400_000))),
    ("another guardian's name", |w| bent(w, |d| d.guardian = GuardianId::from_bytes([1; 16]))),
    ("a stale decision after a requote", |w| {
        let (decision, _, bill) = honest(w);
        let requote = w.service.cast.requote(&bill, &[line_id("3")], 2);
        event(w, &w.service.cast.sign_decision(&decision), Some(&requote))
    }),
    ("an older requote", |w| {
        let (mut decision, _, bill) = honest(w);
        decision.bill = w.service.cast.requote(&bill, &[line_id("3")], 2).digest();
        let newer = w.service.cast.requote(&bill, &[line_id("3")], 3);
        event(w, &w.service.cast.sign_decision(&decision), Some(&newer))
    }),
    ("a requote that the decision needs and nobody shows", |w| {
        let (mut decision, _, bill) = honest(w);
        decision.bill = w.service.cast.requote(&bill, &[line_id("3")], 2).digest();
        event(w, &w.service.cast.sign_decision(&decision), None)
    }),
    ("a requote by another merchant", |w| {
        let (mut decision, _, bill) = honest(w);
        let requote =
            sign(Kind::Bill, Bill::clone(&w.service.cast.requote(&bill, &[line_id("3")], 2)), &nodpay_testkit::key(77))
                .expect("signs");
        decision.bill = requote.digest();
        event(w, &w.service.cast.sign_decision(&decision), Some(&requote))
    }),
    ("a dearer requote", |w| {
        requoted(w, |bill| {
            bill.lines[0].unit_price = nodpay_testkit::minor(860);
            bill.lines[0].amount = bill.lines[0].unit_price;
            nodpay_testkit::retotal(bill);
        })
    }),
    ("a requote with another line", |w| {
        requoted(w, |bill| {
            bill.lines.push(nodpay_testkit::line("9", "x", 1, 1));
            nodpay_testkit::retotal(bill);
        })
    }),
    ("a requote of another bill", |w| requoted(w, |bill| bill.bill = BillId::from_bytes([9; 16]))),
    ("a requote without its predecessor", |w| requoted(w, |bill| bill.replaces = Some(some_digest(6)))),
    ("a requote with a wrong total", |w| requoted(w, |bill| bill.total = nodpay_testkit::minor(1))),
];

fn ending(world: &World) -> Option<Ending> {
    if let Screen::Ended(ending) = world.screen() { Some(ending) } else { None }
}

fn waits_after(world: &mut World, kind: &'static str, data: Value) {
    world.service.event(kind, data);
    world.settle();
}

#[test]
fn a_decision_that_does_not_verify_is_never_paid_and_told() {
    for (name, cheat) in CHEATS {
        let mut world = World::waiting();
        let data = cheat(&world);
        waits_after(&mut world, "decision", data);
        let ending = ending(&world).unwrap_or_else(|| panic!("{name}: {:?}", world.screen()));
        assert_eq!((ending.kind, ending.reason), (EndKind::Failed, Some(Notice::NotGenuine)), "{name}");
        assert!(world.service.seen_payments.is_empty(), "{name}");
        let order = &world.service.orders[0];
        assert_eq!(order.cancel.as_ref().map(|cancel| cancel.reason), Some(CancelReason::NotGenuine), "{name}");
        assert!(order.result.is_some(), "{name}");
        // A genuine one afterwards comes too late: the order is taken back.
        let (decision, ..) = honest(&world);
        let wire = world.service.cast.sign_decision(&decision);
        let data = event(&world, &wire, None);
        waits_after(&mut world, "decision", data);
        assert!(world.service.seen_payments.is_empty(), "{name}");
    }
}

#[test]
fn the_honest_decision_of_these_tests_is_paid() {
    let mut world = World::waiting();
    let (decision, order, bill) = honest(&world);
    let wire = world.service.cast.sign_decision(&decision);
    let book = world.service.cast.book();
    let (decision, ..) =
        verify_decision(&wire, &book, &order, &bill, None, &world.service.cast.certificate).expect("sound");
    world.service.orders[0].decision = Some(decision);
    let data = event(&world, &wire, None);
    waits_after(&mut world, "decision", data);
    assert_eq!(ending(&world).map(|ending| (ending.kind, ending.total)), Some((EndKind::Paid, cny(2950))));
}

#[test]
fn messages_about_another_order_change_nothing() {
    let mut world = World::waiting();
    let before = world.screen();
    let (decision, ..) = honest(&world);
    let wire = world.service.cast.sign_decision(&decision);
    let other = OrderId::from_bytes([1; 16]);
    waits_after(&mut world, "decision", json!({"order": other, "decision": wire}));
    let outcome = world.service.cast.sign_outcome(world.service.outcome(0, OutcomeKind::Expired));
    waits_after(&mut world, "outcome", json!({"order": other, "outcome": outcome.wire()}));
    waits_after(&mut world, "mystery", json!({"order": other}));
    waits_after(&mut world, "decision", json!({"nothing": 1}));
    waits_after(&mut world, "outcome", json!([]));
    assert_eq!(world.screen(), before);
    assert!(world.service.seen_payments.is_empty() && world.service.seen_cancels.is_empty());
}

#[test]
fn an_outcome_that_does_not_verify_ends_nothing() {
    type Bend = fn(&World) -> (String, Option<String>);
    let cheats: &[(&str, Bend)] = &[
        ("paid, though nobody paid", |w| {
            let mut outcome = w.service.outcome(0, OutcomeKind::Paid);
            outcome.decision = Some(some_digest(1));
            outcome.payment = Some(some_digest(2));
            (w.service.cast.sign_outcome(outcome).wire().to_owned(), None)
        }),
        ("another signer", |w| {
            let outcome = w.service.outcome(0, OutcomeKind::Expired);
            (sign(Kind::Outcome, outcome, &nodpay_testkit::key(77)).expect("signs").wire().to_owned(), None)
        }),
        ("another order", |w| {
            let mut outcome = w.service.outcome(0, OutcomeKind::Expired);
            outcome.order = some_digest(1);
            (w.service.cast.sign_outcome(outcome).wire().to_owned(), None)
        }),
        ("refused without the guardian", |w| {
            let mut outcome = w.service.outcome(0, OutcomeKind::Refused);
            outcome.decision = Some(some_digest(1));
            (w.service.cast.sign_outcome(outcome).wire().to_owned(), None)
        }),
        ("refused by an approval", |w| {
            let (decision, order, bill) = honest(w);
            let wire = w.service.cast.sign_decision(&decision);
            let (decision, ..) =
                verify_decision(&wire, &w.service.cast.book(), &order, &bill, None, &w.service.cast.certificate)
                    .expect("sound");
            let mut outcome = w.service.outcome(0, OutcomeKind::Refused);
            outcome.decision = Some(decision.digest());
            (w.service.cast.sign_outcome(outcome).wire().to_owned(), Some(wire))
        }),
        ("cancelled, though the child did not", |w| {
            let mut outcome = w.service.outcome(0, OutcomeKind::Cancelled);
            outcome.cancel = Some(some_digest(1));
            (w.service.cast.sign_outcome(outcome).wire().to_owned(), None)
        }),
        ("made outside the certificate's time", |w| {
            let mut outcome = w.service.outcome(0, OutcomeKind::Expired);
            outcome.at = START.plus_ms(800 * 86_400_000);
            (w.service.cast.sign_outcome(outcome).wire().to_owned(), None)
        }),
        ("not a message", |_| ("x".to_owned(), None)),
    ];
    for (name, cheat) in cheats {
        let mut world = World::waiting();
        let (outcome, decision) = cheat(&world);
        let order = world.service.orders[0].order.order;
        waits_after(&mut world, "outcome", json!({"order": order, "outcome": outcome, "decision": decision}));
        assert!(matches!(world.screen(), Screen::Waiting { .. }), "{name}: {:?}", world.screen());
        // The real one is taken afterwards.
        world.plan = Plan::Refuse;
        world.settle();
        assert_eq!(ending(&world).map(|ending| ending.kind), Some(EndKind::Refused), "{name}");
        assert_eq!(world.service.seen_results.len(), 1, "{name}");
    }
}

#[test]
fn a_paid_outcome_of_another_total_is_not_believed() {
    let mut world = World::waiting();
    world.weather = crate::weather::Weather::Out;
    world.service.decide(0, &Plan::Approve { struck: vec![] });
    // The payment is signed, but does not get through.
    let event = world.service.events.last().expect("a decision").1.clone();
    let stream = world.stream.expect("open").0;
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data: event });
    assert!(matches!(world.screen(), Screen::Paying { .. }));
    world.user(UserAction::Cancel);
    assert!(matches!(world.screen(), Screen::Paying { .. }), "a signed payment cannot be taken back");
    let journal = String::from_utf8(world.journal.clone().expect("journalled")).expect("text");
    let journal: Value = serde_json::from_str(&journal).expect("JSON");
    let payment = journal["owner"]["household"]["orders"][0]["stage"]["paying"]["payment"].as_str().expect("signed");
    let order = &world.service.orders[0];
    let decision = order.decision.clone().expect("decided");
    let payment = verify_payment(payment, &world.service.cast.book(), &order.order, &decision).expect("sound");
    let id = order.order.order;
    let mut outcome = world.service.outcome(0, OutcomeKind::Paid);
    outcome.payment = Some(payment.digest());
    for bend in [
        |outcome: &mut Outcome| outcome.total = cny(1),
        |outcome: &mut Outcome| outcome.payment = Some(some_digest(3)),
        |outcome: &mut Outcome| outcome.decision = Some(some_digest(3)),
    ] {
        let mut outcome = outcome.clone();
        bend(&mut outcome);
        let outcome = world.service.cast.sign_outcome(outcome);
        let data = json!({"order": id, "outcome": outcome.wire()}).to_string();
        world.handle(Input::StreamEvent { stream, id: None, kind: "outcome".to_owned(), data });
        assert!(matches!(world.screen(), Screen::Paying { .. }));
    }
    world.go_online();
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    assert_eq!(ending(&world).map(|ending| (ending.kind, ending.total)), Some((EndKind::Paid, cny(3650))));
    assert_eq!(world.service.seen_payments.len(), 1);
}

#[test]
fn an_approval_that_comes_too_late_is_not_paid() {
    let mut world = World::waiting();
    let (decision, ..) = honest(&world);
    let data = event(&world, &world.service.cast.sign_decision(&decision), None).to_string();
    let stream = world.stream.expect("open").0;
    world.go_offline();
    // The guardian's time and the grace are over before the relay hands the approval on.
    for _ in 0..500 {
        world.sleep();
        world.settle();
    }
    assert_eq!(ending(&world).map(|e| (e.kind, e.reason)), Some((EndKind::Expired, Some(Notice::NoNetwork))));
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data: data.clone() });
    world.go_online();
    world.run_until(|world| world.stream.is_some());
    world.settle();
    let stream = world.stream.expect("open").0;
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data });
    world.settle();
    assert!(world.service.seen_payments.is_empty());
    assert_eq!(ending(&world).map(|ending| ending.kind), Some(EndKind::Expired));
    assert_eq!(world.service.orders[0].result.as_ref().map(|result| result.seen), Some(OutcomeKind::Expired));
}

#[test]
fn a_renewed_outcome_key_is_taken_once_the_root_vouches_for_it() {
    let mut world = World::waiting();
    let cast = &mut world.service.cast;
    cast.outcome_key = nodpay_testkit::key(120);
    let mut certificate = cast.outcome_certificate.clone().into_payload();
    certificate.key = cast.outcome_key.public_key();
    cast.outcome_certificate = sign(Kind::OutcomeCertificate, certificate, &cast.root).expect("signs");
    world.plan = Plan::Refuse;
    world.settle();
    assert_eq!(ending(&world).map(|ending| ending.kind), Some(EndKind::Refused));
}

/// One replica signs with the new key, another still with the old one.
#[test]
fn while_the_outcome_key_changes_both_keys_are_believed() {
    let mut world = World::waiting();
    let cast = &mut world.service.cast;
    let old_key = std::mem::replace(&mut cast.outcome_key, nodpay_testkit::key(120));
    let old = cast.outcome_certificate.clone();
    let mut certificate = old.clone().into_payload();
    certificate.key = cast.outcome_key.public_key();
    cast.outcome_certificate = sign(Kind::OutcomeCertificate, certificate, &cast.root).expect("signs");
    world.service.earlier_outcome_certificates = vec![old];
    world.plan = Plan::Refuse;
    world.settle();
    assert_eq!(ending(&world).map(|ending| ending.kind), Some(EndKind::Refused));

    world.service.cast.outcome_key = old_key;
    let asked = world.service.requests.len();
    world.user(UserAction::Done);
    world.reboot();
    world.finished = false;
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    assert_eq!(ending(&world).map(|ending| ending.kind), Some(EndKind::Refused));
    assert_eq!(world.service.orders.len(), 2);
    assert!(!world.service.requests[asked..].contains(&"GET /api/service".to_owned()), "it remembers both");
}

fn scan(world: &mut World, text: String) -> Screen {
    world.user(UserAction::Start);
    world.handle(Input::CodesRead(vec![text]));
    world.settle();
    world.screen()
}

fn home_notice(screen: Screen) -> Option<Notice> {
    if let Screen::Home { notice, .. } = screen { notice } else { None }
}

#[test]
fn a_bill_that_is_not_what_the_code_says_is_not_shown() {
    type Bend = fn(&mut World);
    let cheats: &[(&str, Bend)] = &[
        ("another bill under the id", |w| {
            let mut bill = w.service.cast.bill_payload(1, Reduction::LinesSum, vec![]);
            bill.nonce = Nonce::from_bytes([9; 16]);
            w.service.bills = vec![w.service.cast.sign_bill(bill)];
        }),
        ("a requote", |w| {
            let first = w.service.bills[0].clone();
            w.service.bills = vec![w.service.cast.requote(&first, &[line_id("1")], 2)];
        }),
        ("another root", |w| {
            let other = Cast::new(3);
            let mut certificate = w.service.cast.certificate.clone().into_payload();
            certificate.city = Text::new("Elsewhere").expect("a city");
            w.service.cast.certificate = sign(Kind::MerchantCertificate, certificate, &other.root).expect("signs");
        }),
        ("a changed byte", |w| {
            // The certificate of another shop of the same operator.
            let mut certificate = w.service.cast.certificate.clone().into_payload();
            certificate.merchant = MerchantId::from_bytes([1; 16]);
            w.service.cast.certificate =
                sign(Kind::MerchantCertificate, certificate, &w.service.cast.root).expect("signs");
        }),
    ];
    for (name, cheat) in cheats {
        let mut world = World::paired();
        let code = world.bill_code(0);
        cheat(&mut world);
        let screen = scan(&mut world, code);
        assert_eq!(home_notice(screen), Some(Notice::BillNotGenuine), "{name}");
    }
    // A code whose digest is another one.
    let mut world = World::paired();
    let mut other = world.service.cast.bill_payload(1, Reduction::LinesSum, vec![]);
    other.nonce = Nonce::from_bytes([9; 16]);
    let code = bill_code(&world.service.cast.sign_bill(other));
    let screen = scan(&mut world, code);
    assert_eq!(home_notice(screen), Some(Notice::BillNotGenuine));
}

#[test]
fn a_forged_log_does_not_pair() {
    type Bend = fn(&mut World);
    let cheats: &[(&str, Bend)] = &[
        ("another founding entry", |w| {
            let other = Cast::new(2);
            w.service.cast.log[0].clone_from(&other.log[0]);
        }),
        ("our watch under another's key", |w| {
            let mut watch = w.service.cast.enrolled_watch();
            watch.watch = w.service.claim.as_ref().expect("claimed").watch;
            watch.key = nodpay_testkit::key(66).public_key();
            let entry = w.service.cast.next_entry(Entry::EnrolWatch(watch));
            w.service.append(entry);
        }),
        ("an entry by a stranger", |w| {
            let mut watch = w.service.cast.enrolled_watch();
            watch.watch = w.service.claim.as_ref().expect("claimed").watch;
            let entry = w.service.cast.next_entry(Entry::EnrolWatch(watch));
            let stranger = SoftPasskey::new(90, rp());
            let wire = stranger.assert(AssertionKind::Log, &entry);
            w.service.cast.log.push(wire.clone());
            w.service.event("log", json!({"entry": wire}));
        }),
    ];
    for (name, cheat) in cheats {
        let mut world = World::new();
        let code = world.pairing_code();
        world.run_until(|world| matches!(world.screen(), Screen::Pairing { .. }) && world.service.claim.is_some());
        cheat(&mut world);
        world.service.enrolled = true;
        world.service.event("log", json!({"entry": "x"}));
        world.settle();
        assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::NotGenuine) }, "{name}");
        assert!(PairingCode::parse(&code.to_text()).is_some());
    }
}

#[test]
fn a_log_entry_that_does_not_follow_is_refused_and_told() {
    let mut world = World::paired();
    let head = world.service.cast.book();
    let stranger = SoftPasskey::new(90, rp());
    let entry = world.service.cast.next_entry(Entry::RemoveWatch(world.service.cast.watch));
    let wire = stranger.assert(AssertionKind::Log, &entry);
    waits_after(&mut world, "log", json!({"entry": wire}));
    assert_eq!(home_notice(world.screen()), Some(Notice::NotGenuine));
    // A second history from the same guardian.
    let mut fork = world.service.cast.next_entry(Entry::RemoveWatch(world.service.cast.watch));
    fork.seq = 1;
    fork.prev = Some(LogBook::found(&world.service.cast.log[0], None, rp()).expect("sound").head());
    let wire = world.service.cast.passkey.assert(AssertionKind::Log, &fork);
    waits_after(&mut world, "log", json!({"entry": wire}));
    assert_eq!(home_notice(world.screen()), Some(Notice::NotGenuine));
    assert_eq!(world.service.cast.book(), head);
    // And the watch still pays.
    world.user(UserAction::Done);
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert_eq!(ending(&world).map(|ending| ending.kind), Some(EndKind::Paid));
}
