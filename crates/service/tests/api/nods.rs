//! Two nods, household caps and guardians who are away, over HTTP.

use nodpay_core::{Bill, Decision, Entry, HouseCaps, HouseRules, Newcomers, Order};
use nodpay_protocol::{AssertionKind, Verified, verify_decision, verify_evidence, verify_outcome};
use nodpay_service::check_evidence;
use nodpay_testkit::{cny, rp};
use serde_json::{Value, json};

use crate::app::{Answer, Household, Setup, TestApp};
use crate::guardians::{Person, days_pass, home, sign, two_with};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Two guardians who count, and what they decided about deciding.
fn deciding(rules: HouseRules) -> (TestApp, Household, Person, Person) {
    deciding_with(Setup::default(), rules)
}

pub(crate) fn deciding_with(setup: Setup, rules: HouseRules) -> (TestApp, Household, Person, Person) {
    let (app, mut household, mut first, mut second) = two_with(setup);
    days_pass(&app, 1, &mut [&mut first, &mut second]);
    household.cookie.clone_from(&first.cookie);
    sign(&app, &mut household, &first, Entry::SetHouseRules(rules)).ok();
    (app, household, first, second)
}

pub(crate) fn above(minor: i64) -> HouseRules {
    HouseRules { two_nods_above: Some(cny(minor)), ..HouseRules::default() }
}

pub(crate) fn send(app: &TestApp, who: &Person, order: &Verified<Order>, decision: &Decision) -> Answer {
    let path = format!("/api/guardian/orders/{}/decision", order.order);
    app.post_wire(&path, &app.pages(&who.cookie), &who.passkey.assert(AssertionKind::Decision, decision))
}

fn view(app: &TestApp, who: &Person, order: &Verified<Order>) -> Value {
    app.get(&format!("/api/guardian/orders/{}", order.order), &app.pages(&who.cookie)).ok()
}

/// What the two would sign now.
pub(crate) fn nods(
    app: &TestApp,
    household: &Household,
    parts: (&Verified<Order>, &Verified<Bill>),
    second: &Person,
) -> [Decision; 2] {
    let (order, bill) = parts;
    let now = app.now();
    let timed = |decision: Decision| Decision { at: now, pay_by: now.plus_ms(5 * 60_000), ..decision };
    let [one, two] = household.cast.two_nods(order, bill, &second.passkey);
    let one = timed(one);
    let wire = household.cast.sign_decision(&one);
    let (signed, ..) =
        verify_decision(&wire, &household.cast.book(), order, bill, None, &household.cast.certificate).expect("sound");
    [one, timed(Decision { first: Some(signed.digest()), ..two })]
}

#[test]
fn two_guardians_nod_and_the_watch_pays() {
    let (app, household, first, second) = deciding(above(3_000));
    let cast = &household.cast;
    let (watch, guardian) = (app.follow_watch(cast, None), app.follow_guardian(&household));
    let (bill, order) = app.ordered(&household, 1);
    let [one, two] = nods(&app, &household, (&order, &bill), &second);
    send(&app, &second, &order, &two).refused(409, "bad-first-nod");
    let first_wire = first.passkey.assert(AssertionKind::Decision, &one);
    send(&app, &first, &order, &one).ok();
    guardian.wait_for("decision");
    let seen = view(&app, &second, &order);
    assert_eq!(
        (&seen["state"], &seen["first"], &seen["decision"]),
        (&json!("waiting"), &json!(first_wire), &Value::Null)
    );
    assert_eq!(app.balance(&household), (20_000, 0));
    let state = app.watch_get(cast, &format!("/api/watch/{}/state", cast.watch)).ok();
    assert!(state["order"]["first"].is_null() && state["order"]["decision"].is_null());
    assert_eq!(state["order"]["nods"], json!(1));
    let waits = json!({ "order": order.order, "state": "waiting", "nods": 1 });
    assert_eq!(watch.wait_for("order").data, waits, "the watch may say that one nod is there");
    // Somebody who has not seen it, and the same person again.
    let unseen = Decision { first: None, ..two.clone() };
    send(&app, &second, &order, &unseen).refused(409, "bad-first-nod");
    let own = Decision { first: two.first, ..one.clone() };
    send(&app, &first, &order, &own).refused(422, "bad-log-entry");

    let second_wire = second.passkey.assert(AssertionKind::Decision, &two);
    send(&app, &second, &order, &two).ok();
    let told = watch.wait_for("decision").data;
    assert_eq!(told, json!({ "order": order.order, "decision": second_wire, "first": first_wire }));
    let state = app.watch_get(cast, &format!("/api/watch/{}/state", cast.watch)).ok();
    assert_eq!((&state["order"]["first"], &state["order"]["decision"]), (&json!(first_wire), &json!(second_wire)));
    let (decision, ..) =
        verify_decision(&second_wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    assert_eq!(app.balance(&household), (20_000 - bill.total.get(), 0));

    let seen = view(&app, &first, &order);
    let outcome = verify_outcome(seen["outcome"].as_str().expect("one"), &cast.outcome_certificate, &order);
    let outcome = outcome.expect("the service's word");
    app.watch_post(cast, &order, "result", cast.result(&order, &outcome).wire()).ok();
    // A refused one, after a first nod: its evidence names the refusal alone.
    let (bill, order) = app.ordered(&household, 2);
    let [one, mut two] = nods(&app, &household, (&order, &bill), &second);
    send(&app, &first, &order, &one).ok();
    (two.verdict, two.first) = (nodpay_core::Verdict::Refuse, None);
    send(&app, &second, &order, &two).ok();
    let seen = view(&app, &first, &order);
    assert_eq!((&seen["state"], seen["first"].is_string()), (&json!("refused"), true));

    let anchor = cast.anchor().to_file().expect("serialises");
    for outcome in ["refused", "paid"] {
        let number = if outcome == "paid" { 1 } else { 2 };
        let order = cast.order(&cast.bill(number), number).order;
        let path = format!("/api/guardian/orders/{order}/evidence");
        let file = app.get(&path, &app.pages(&first.cookie));
        let report = verify_evidence(file.text.as_bytes(), anchor.as_bytes()).expect("proves it");
        assert_eq!(report.outcome.as_str(), outcome);
    }
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
    let mut found = Vec::new();
    let (store, keys, relying_party) = (app.app.store(), app.app.keys(), rp());
    let count = app.wait(check_evidence(store, keys, &relying_party, app.now(), |finding| found.push(finding)));
    assert_eq!((count.expect("reads").looked_at, found), (2, Vec::new()));
}

/// A rule of two that comes between the nod and the payment: a watch that knows it does not pay by one.
#[test]
fn one_nod_is_not_enough_once_two_are_needed() {
    let (app, mut household, first, _) = deciding(above(100_000));
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    let before = household.cast.payment(&order, &decision);
    sign(&app, &mut household, &first, Entry::SetHouseRules(above(3_000))).ok();
    let after = household.cast.payment(&order, &decision);
    app.watch_post(&household.cast, &order, "payment", after.wire()).refused(422, "needs-two-nods");
    app.watch_post(&household.cast, &order, "payment", before.wire()).ok();
}

#[test]
fn looser_rules_of_deciding_need_two() {
    let (app, mut household, first, second) = deciding(above(3_000));
    let looser = Entry::SetHouseRules(above(3_001));
    sign(&app, &mut household, &first, looser.clone()).refused(422, "needs-two-guardians");
    sign(&app, &mut household, &first, Entry::Propose(Box::new(looser))).ok();
    let proposal = household.cast.book().head();
    sign(&app, &mut household, &second, Entry::Second(proposal)).ok();
    let rules = household.cast.book().house_rules(u64::MAX);
    assert_eq!(rules, above(3_001));
    let row = app.wait(app.app.store().household(household.cast.household)).expect("reads").expect("it");
    assert_eq!(row.house_rules, rules);

    let newcomers = Newcomers { watch_ms: 2 * DAY_MS, per_payment: None, guardian_ms: 2 * DAY_MS };
    let caps = HouseCaps { utc_minutes: 480, per_day: Some(cny(5_000)), per_week: None, per_month: None };
    let all = HouseRules { newcomers: Some(newcomers), caps: Some(caps), ..above(3_001) };
    sign(&app, &mut household, &first, Entry::SetHouseRules(all)).ok();
    let early = Entry::Propose(Box::new(Entry::SetHouseRules(HouseRules { newcomers: None, ..all })));
    sign(&app, &mut household, &first, early).ok();
    // With one guardian there is no second nod to ask for.
    let (app, mut household) = TestApp::furnished();
    let alone = Person { passkey: nodpay_testkit::SoftPasskey::new(5, rp()), cookie: household.cookie.clone() };
    sign(&app, &mut household, &alone, Entry::SetHouseRules(above(3_000))).refused(422, "bad-log-entry");
}

#[test]
fn a_guardian_is_away_and_comes_back() {
    let (app, household, first, second) = deciding(above(3_000));
    let away = |who: &Person, body: Value| app.post("/api/guardian/away", &app.pages(&who.cookie), &body);
    let until = app.now().plus_ms(7 * DAY_MS);
    let guardian = app.follow_guardian(&household);
    away(&second, json!({ "until": until })).ok();
    guardian.wait_for("log");
    let said = json!([{ "guardian": second.passkey.guardian.guardian, "until": until }]);
    assert_eq!((home(&app, &first)["away"].clone(), home(&app, &second)["away"].clone()), (said.clone(), said));
    away(&second, json!({ "until": app.now().plus_ms(60 * DAY_MS + 1) })).refused(422, "away-time");
    // It takes nothing from them, and two are two still.
    let (bill, order) = app.ordered(&household, 1);
    let ids = |people: &[&Person]| people.iter().map(|who| json!(who.passkey.guardian.guardian)).collect::<Vec<_>>();
    let asked = |order| view(&app, &first, order)["asked"].as_array().expect("somebody").clone();
    let all = asked(&order);
    assert!(all.len() == 2 && ids(&[&first, &second]).iter().all(|one| all.contains(one)), "two must nod");
    let [one, two] = nods(&app, &household, (&order, &bill), &second);
    send(&app, &first, &order, &one).ok();
    assert_eq!(view(&app, &first, &order)["state"], "waiting");
    send(&app, &second, &order, &two).ok();
    assert_eq!(view(&app, &first, &order)["state"], "approved");
    let (decision, ..) = verify_decision(
        &second.passkey.assert(AssertionKind::Decision, &two),
        &household.cast.book(),
        &order,
        &bill,
        None,
        &household.cast.certificate,
    )
    .expect("sound");
    app.watch_post(&household.cast, &order, "payment", household.cast.payment(&order, &decision).wire()).ok();
    let mut small = household.cast.bill_payload(2, nodpay_core::Reduction::LinesSum, Vec::new());
    small.lines.truncate(1);
    nodpay_testkit::retotal(&mut small);
    let (_, order) = app.ordered_bill(&household, household.cast.sign_bill(small), 2);
    assert_eq!(asked(&order), ids(&[&first]), "one is enough, and one is there");
    away(&second, json!({})).ok();
    assert_eq!(asked(&order).len(), 2);
    assert_eq!(home(&app, &first)["away"], json!([]));
}
