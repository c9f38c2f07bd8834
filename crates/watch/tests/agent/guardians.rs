//! Guardians come and go, recover and freeze: what the watch tells, and whose nod it takes.

use nodpay_core::*;
use nodpay_protocol::{AssertionKind, Signer as _, Verified};
use nodpay_testkit::{START, SoftPasskey, cny, key, rp};
use nodpay_watch::view::{EndKind, Notice, Screen};
use serde_json::json;

use crate::world::{Plan, World};

const HOUR_MS: i64 = 60 * 60 * 1000;

fn send(world: &mut World) {
    let entry = world.service.cast.log.last().expect("an entry").clone();
    world.service.event("log", json!({ "entry": entry }));
    world.settle();
}

fn sign(world: &mut World, passkey: &SoftPasskey, hours: i64, entry: Entry) {
    world.service.cast.append_by(passkey, START.plus_ms(hours * HOUR_MS), entry);
    send(world);
}

fn notice(world: &World) -> Option<Notice> {
    let Screen::Home { notice, .. } = world.screen() else { panic!("not home: {:?}", world.screen()) };
    notice
}

/// The cast's own guardian, and one who comes.
fn two(world: &World) -> (SoftPasskey, SoftPasskey) {
    let founder = SoftPasskey::new(5, rp());
    assert_eq!(founder.guardian, world.service.cast.passkey.guardian);
    (founder, SoftPasskey::new(201, rp()))
}

fn newcomer(guardian: &SoftPasskey, hours: i64) -> Entry {
    let counts_from = START.plus_ms(hours * HOUR_MS + GUARDIAN_COOLING_OFF_MS);
    Entry::AddGuardian(NewGuardian { guardian: guardian.guardian.clone(), counts_from })
}

#[test]
fn a_new_guardian_a_recovery_and_a_looser_rule_are_told() {
    let mut world = World::paired();
    let (founder, second) = two(&world);
    sign(&mut world, &founder, 0, newcomer(&second, 0));
    assert_eq!(notice(&world), Some(Notice::GuardianAdded));
    let recovery = key(77);
    sign(&mut world, &founder, 0, Entry::EnrolRecovery(RecoveryKeys { keys: vec![recovery.public_key()] }));
    let session = Entry::SetSession(WatchSession { watch: world.service.cast.watch, session_ms: HOUR_MS });
    sign(&mut world, &founder, 24, Entry::Propose(Box::new(session)));
    assert_eq!(notice(&world), Some(Notice::GuardianAdded), "a proposal changes nothing");
    let proposal = world.service.cast.book().head();
    sign(&mut world, &second, 24, Entry::Second(proposal));
    assert_eq!(notice(&world), Some(Notice::SessionSet { session_ms: 60 * 60 * 1000 }));
    let rule = world.service.cast.snacks();
    let name = rule.name.to_string();
    sign(&mut world, &founder, 24, Entry::Propose(Box::new(Entry::SetMandate(Box::new(rule)))));
    assert_eq!(notice(&world), Some(Notice::SessionSet { session_ms: 60 * 60 * 1000 }));
    let proposal = world.service.cast.book().head();
    sign(&mut world, &second, 24, Entry::Second(proposal));
    assert_eq!(notice(&world), Some(Notice::RuleLooser { name }));
    let third = SoftPasskey::new(202, rp());
    let wire = world.service.cast.recovery(&recovery, START.plus_ms(25 * HOUR_MS), &third);
    world.service.cast.log.push(wire);
    send(&mut world);
    assert_eq!(notice(&world), Some(Notice::RecoveryBegun));
}

#[test]
fn a_freeze_is_told_until_it_is_lifted() {
    let mut world = World::paired();
    let head = world.service.cast.log.last().expect("an entry").clone();
    for (frozen, told) in [
        (json!("guardian"), Some(Notice::PaymentsPaused)),
        (json!("operator"), Some(Notice::WalletStopped)),
        (json!(null), None),
    ] {
        world.service.event("log", json!({ "entry": head, "frozen": frozen }));
        world.settle();
        assert_eq!(notice(&world), told);
    }
}

/// The watch orders when a new guardian counts, and waits.
fn orders_later(world: &mut World) {
    let mut bill = world.service.cast.bill_payload(9, Reduction::LinesSum, Vec::new());
    bill.issued = START.plus_ms(25 * HOUR_MS);
    bill.valid_until = START.plus_ms(26 * HOUR_MS);
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.plan = Plan::Nothing;
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.settle();
}

/// A watch whose order waits, an hour after the guardian who is to answer it was removed where `removed`.
fn waiting_for_the_second(removed: bool) -> (World, SoftPasskey) {
    let mut world = World::paired();
    let (founder, second) = two(&world);
    sign(&mut world, &founder, 0, newcomer(&second, 0));
    if removed {
        sign(&mut world, &founder, 0, Entry::RemoveGuardian(second.guardian.guardian));
    }
    world.pass(25 * HOUR_MS);
    world.settle();
    orders_later(&mut world);
    (world, second)
}

/// The second guardian nods, in a decision of that time.
fn nod(world: &mut World, second: &SoftPasskey, hours: i64) {
    let order = &world.service.orders[0];
    let mut decision = world.service.cast.decision_payload(&order.order, &order.bill, None, &[], Verdict::Approve);
    decision.guardian = second.guardian.guardian;
    decision.credential = second.guardian.credential.clone();
    decision.at = START.plus_ms(hours * HOUR_MS);
    decision.pay_by = decision.at.plus_ms(5 * 60_000);
    let wire = second.assert(AssertionKind::Decision, &decision);
    let (book, certificate) = (world.service.cast.book(), world.service.cast.certificate.clone());
    let order = &mut world.service.orders[0];
    let verified = nodpay_protocol::verify_decision(&wire, &book, &order.order, &order.bill, None, &certificate);
    order.decision = verified.ok().map(|(decision, ..)| decision);
    let data =
        json!({ "order": order.order.order, "decision": wire, "requote": None::<&Verified<Bill>>.map(Verified::wire) });
    world.service.event("decision", data);
    world.settle();
}

fn ended(world: &World) -> Option<EndKind> {
    if let Screen::Ended(ending) = world.screen() { Some(ending.kind) } else { None }
}

#[test]
fn the_nod_of_a_second_guardian_is_taken() {
    let (mut world, second) = waiting_for_the_second(false);
    nod(&mut world, &second, 25);
    assert_eq!(ended(&world), Some(EndKind::Paid));
}

#[test]
fn the_nod_of_a_removed_guardian_is_not_whatever_time_it_says() {
    for hours in [23, 25] {
        let (mut world, second) = waiting_for_the_second(true);
        nod(&mut world, &second, hours);
        assert!(world.service.seen_payments.is_empty(), "{hours}: {:?}", world.screen());
        assert_eq!(ended(&world), Some(EndKind::Failed), "{hours}");
    }
}

/// A watch whose order of 36.50 waits in a household where two must nod above 30.00.
fn waiting_for_two() -> (World, SoftPasskey) {
    let mut world = World::paired();
    let (founder, second) = two(&world);
    sign(&mut world, &founder, 0, newcomer(&second, 0));
    world.pass(25 * HOUR_MS);
    let above = HouseRules { two_nods_above: Some(cny(3_000)), ..HouseRules::default() };
    sign(&mut world, &second, 25, Entry::SetHouseRules(above));
    orders_later(&mut world);
    (world, second)
}

/// Both nod; what the service passes on is bent.
fn both_nod(world: &mut World, second: &SoftPasskey, bend: impl FnOnce(&mut [Option<String>; 2])) {
    let (cast, order) = (&world.service.cast, &world.service.orders[0]);
    let [one, two] = cast.two_nods(&order.order, &order.bill, second);
    let mut wires = [Some(cast.sign_decision(&one)), Some(second.assert(AssertionKind::Decision, &two))];
    bend(&mut wires);
    let [first, decision] = wires;
    let (book, order) = (cast.book(), &mut world.service.orders[0]);
    let verify = |wire: &String| {
        nodpay_protocol::verify_decision(wire, &book, &order.order, &order.bill, None, &cast.certificate).ok()
    };
    order.decision = decision.as_ref().and_then(verify).map(|(decision, ..)| decision);
    let data = json!({ "order": order.order.order, "decision": decision, "first": first });
    world.service.event("decision", data);
    world.settle();
}

#[test]
fn the_watch_pays_by_two_nods_and_by_nothing_less() {
    let (mut world, second) = waiting_for_two();
    both_nod(&mut world, &second, |_| {});
    assert_eq!((ended(&world), world.service.seen_payments.len()), (Some(EndKind::Paid), 1));
    type Bend = fn(&mut [Option<String>; 2]);
    let bent: [Bend; 4] = [
        // The second alone, the first alone, the first twice, the second twice.
        |nods| nods[0] = None,
        |nods| nods[1] = nods[0].take(),
        |nods| nods[1] = nods[0].clone(),
        |nods| nods[0] = nods[1].clone(),
    ];
    for (index, bend) in bent.into_iter().enumerate() {
        let (mut world, second) = waiting_for_two();
        both_nod(&mut world, &second, bend);
        assert!(world.service.seen_payments.is_empty(), "case {index}: {:?}", world.screen());
        assert_eq!(ended(&world), Some(EndKind::Failed), "case {index}");
    }
    // One of the two was removed since, says the log that the watch follows.
    let (mut world, second) = waiting_for_two();
    sign(&mut world, &second, 25, Entry::RemoveGuardian(second.guardian.guardian));
    both_nod(&mut world, &second, |_| {});
    assert!(world.service.seen_payments.is_empty(), "{:?}", world.screen());
}

/// What two must nod to no rule pays; nor more than the household's caps by the watch's own count.
#[test]
fn no_rule_stands_in_for_two() {
    let caps = HouseCaps { utc_minutes: 480, per_day: Some(cny(3_649)), per_week: None, per_month: None };
    for rules in [
        HouseRules { two_nods_above: Some(cny(3_649)), ..HouseRules::default() },
        HouseRules { caps: Some(caps), ..HouseRules::default() },
    ] {
        let mut world = World::paired();
        let rule = world.service.cast.snacks();
        let entry = world.service.rule(rule);
        world.service.cast.add_second(rules);
        send(&mut world);
        world.plan = Plan::Nothing;
        world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
        world.service.allow(0, entry);
        world.settle();
        assert!(world.service.seen_payments.is_empty(), "{:?}", world.screen());
        assert_eq!(ended(&world), Some(EndKind::Failed));
    }
}
