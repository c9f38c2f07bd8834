//! Orders that a guardian's standing rule decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nodpay_core::{
    Bill, Entry, HouseCaps, HouseRules, Mandate, NEW_WATCH_COOLING_OFF_MS, Order, PersonName, Reduction, Salt, Text,
    Verdict, WatchId, WearerId, Why,
};
use nodpay_protocol::{AssertionKind, Kind, Report, Signer as _, Verified, sign, verify_evidence, verify_outcome};
use nodpay_service::check_evidence;
use nodpay_testkit::{Cast, cny, minor, retotal, rp};
use serde_json::json;

use crate::app::{Answer, Household, Setup, TestApp, on_postgres};

/// The guardian signs and sends the next entry of the log.
pub(crate) fn append(app: &TestApp, household: &mut Household, entry: Entry) -> Answer {
    let entry = household.cast.next_entry_by(&household.cast.passkey, app.now(), entry);
    let entry = household.cast.passkey.assert(AssertionKind::Log, &entry);
    household.cast.log.push(entry.clone());
    let answer = app.post("/api/guardian/log", &app.pages(&household.cookie), &json!({ "entry": entry }));
    if answer.status >= 300 {
        household.cast.log.pop();
    }
    answer
}

fn ruled(bend: impl FnOnce(&mut Mandate)) -> (TestApp, Household) {
    let (app, mut household) = TestApp::furnished();
    let mut rule = household.cast.snacks();
    bend(&mut rule);
    append(&app, &mut household, Entry::SetMandate(Box::new(rule))).ok();
    (app, household)
}

/// What the order's evidence proves, once the watch has reported.
pub(crate) fn evidence(app: &TestApp, cast: &Cast, household: &Household, order: &Verified<Order>) -> Report {
    let view = app.guardian_get(household, &format!("/api/guardian/orders/{}", order.order)).ok();
    let outcome = verify_outcome(view["outcome"].as_str().expect("an outcome"), &cast.outcome_certificate, order);
    let outcome = outcome.expect("the service's word");
    app.watch_post(cast, order, "result", cast.result(order, &outcome).wire()).ok();
    let file = app.guardian_get(household, &format!("/api/guardian/orders/{}/evidence", order.order));
    let anchor = cast.anchor().to_file().expect("serialises");
    verify_evidence(file.text.as_bytes(), anchor.as_bytes()).expect("proves it")
}

fn sold(app: &TestApp, cast: &Cast, number: u8, price: i64) -> Verified<Bill> {
    let mut bill = cast.bill_payload(number, Reduction::LinesSum, Vec::new());
    bill.lines.truncate(1);
    (bill.lines[0].unit_price, bill.lines[0].amount) = (minor(price), minor(price));
    retotal(&mut bill);
    let bill = cast.sign_bill(bill);
    app.post_bill(&bill).ok();
    bill
}

fn pay(app: &TestApp, cast: &Cast, order: &Verified<Order>, bill: &Verified<Bill>) -> Answer {
    let payment = cast.mandate_payment_payload(order, bill, cast.book().head());
    let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
    app.watch_post(cast, order, "payment", payment.wire())
}

#[test]
fn a_rule_lets_the_watch_pay_without_a_nod() {
    let (app, household) = ruled(|_| {});
    let cast = &household.cast;
    let entry = cast.book().head();
    let (watch, guardian) = (app.follow_watch(cast, None), app.follow_guardian(&household));
    let bill = sold(&app, cast, 1, 3_000);
    let order = cast.order(&bill, 1);
    app.place(cast, &order).ok();
    assert_eq!(watch.wait_for("decision").data, json!({ "order": order.order, "mandate": entry }));
    assert_eq!(guardian.wait_for("decision").data, json!({ "order": order.order }));
    let state = app.watch_get(cast, &format!("/api/watch/{}/state?from=3", cast.watch)).ok();
    assert_eq!((&state["order"]["mandate"], &state["order"]["state"]), (&json!(entry), &json!("approved")));
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!(view["judged"], json!({ "entry": entry, "answer": "approve" }));
    assert_eq!((app.balance(&household), view["decision"].is_null()), ((20_000, 3_000), true));

    pay(&app, cast, &order, &bill).ok();
    assert_eq!(app.balance(&household), (17_000, 0));
    let report = evidence(&app, cast, &household, &order);
    assert_eq!((report.outcome.as_str(), report.total), ("paid", cny(3_000)));
    assert!(report.story.iter().any(|step| step.what.starts_with("approved 30.00 CNY by itself")), "{report:?}");
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
    let mut found = Vec::new();
    let (store, keys, relying_party) = (app.app.store(), app.app.keys(), rp());
    let count = app.wait(check_evidence(store, keys, &relying_party, app.now(), |finding| found.push(finding)));
    assert_eq!((count.expect("reads").looked_at, found), (1, Vec::new()));
}

/// A check sees log and rules as they were at one moment, whatever is signed meanwhile.
#[test]
fn the_evidence_is_checked_while_rules_are_signed() {
    const VERSIONS: u32 = 100;
    let (postgres, _folder) = on_postgres();
    for shared in [None, Some(postgres)] {
        let (app, mut household) = TestApp::furnished_with(Setup { shared, ..Setup::default() });
        let over = Arc::new(AtomicBool::new(false));
        let checks = app.meanwhile({
            let (over, app) = (Arc::clone(&over), app.app.clone());
            async move {
                let (mut found, mut times) = (Vec::new(), 0);
                while !over.load(Ordering::Relaxed) {
                    let tell = |finding| found.push(finding);
                    check_evidence(app.store(), app.keys(), &rp(), app.now(), tell).await.expect("reads");
                    times += 1;
                }
                (times, found)
            }
        });
        let rule = household.cast.snacks();
        for version in 1..=VERSIONS {
            append(&app, &mut household, Entry::SetMandate(Box::new(Mandate { version, ..rule.clone() }))).ok();
        }
        over.store(true, Ordering::Relaxed);
        let (times, found) = app.wait(checks).expect("it ends");
        assert_eq!(found, []);
        assert!(times > 1, "{times} checks");
    }
}

#[test]
fn what_a_rule_refuses_nobody_is_asked_about() {
    let (app, household) = ruled(|rule| rule.windows[0].from = 17 * 60);
    let cast = &household.cast;
    let (watch, guardian) = (app.follow_watch(cast, None), app.follow_guardian(&household));
    let bill = sold(&app, cast, 1, 100);
    let order = cast.order(&bill, 1);
    app.place(cast, &order).ok();
    let told = watch.wait_for("outcome").data;
    let outcome = verify_outcome(told["outcome"].as_str().expect("a wire"), &cast.outcome_certificate, &order);
    let outcome = outcome.expect("the service's word");
    assert_eq!((outcome.rule, outcome.mandate), (Some(Why::Hour), Some(cast.book().head())));
    guardian.wait_for("outcome");
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!(view["judged"]["why"], "hour");
    let report = evidence(&app, cast, &household, &order);
    assert_eq!((report.outcome.as_str(), app.balance(&household)), ("refused", (20_000, 0)));
}

#[test]
fn a_rule_is_tried_on_what_was_ordered() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    for (number, price) in [(1, 3_000), (2, 3_000), (3, 9_000)] {
        let bill = sold(&app, cast, number, price);
        let order = cast.order(&bill, number);
        app.place(cast, &order).ok();
        let decision = app.approve(&household, &order, &bill);
        app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    }
    let test = |rule: &Mandate| {
        let headers = app.pages(&household.cookie);
        app.post("/api/guardian/rules/test", &headers, &json!({ "mandate": rule }))
    };
    let rule = Mandate { per_day: Some(cny(5_000)), ..cast.snacks() };
    let tested = test(&rule).ok();
    let said: Vec<_> = tested["orders"].as_array().expect("orders").iter().rev().collect();
    let brief =
        |index: usize| (said[index]["answer"].as_str(), said[index]["why"].as_str(), said[index]["was"].as_str());
    assert_eq!(brief(0), (Some("approve"), None, Some("paid")));
    assert_eq!(brief(1), (Some("refuse"), Some("over-day"), Some("paid")));
    assert_eq!(brief(2), (Some("refuse"), Some("over-day"), Some("paid")));
    assert_eq!((said.len(), &said[0]["rule"], &tested["cut"]), (3, &json!("零食 snacks"), &json!(false)));
    // Nothing was spent of the day but what the rule let through, and what the guardian approved.
    let asks = Mandate { outside: nodpay_core::Outside::Ask, ..rule.clone() };
    let tested = test(&asks).ok();
    assert_eq!(tested["orders"][1]["answer"], "ask");
    test(&Mandate { windows: Vec::new(), until: app.now(), ..rule.clone() }).refused(422, "bad-log-entry");
    test(&Mandate { watch: nodpay_core::WatchId::from_bytes([99; 16]), ..rule }).refused(403, "unknown-watch");
    app.clock.advance_ms(32 * 24 * 60 * 60 * 1000);
    let later = Mandate { until: app.now().plus_ms(1), ..cast.snacks() };
    let cookie = crate::app::login(&app, cast).cookie.expect("a session");
    let tested = app.post("/api/guardian/rules/test", &app.pages(&cookie), &json!({ "mandate": later })).ok();
    assert_eq!(tested["orders"], json!([]));
}

/// The guardian gives another child of the household a watch; the cast goes on as that one.
fn with_another_watch(app: &TestApp, household: &mut Household) {
    let seed = 0x5A;
    let cast = &mut household.cast;
    (cast.watch, cast.watch_key) = (WatchId::from_bytes([seed; 16]), nodpay_testkit::key(seed));
    cast.wearer = WearerId::from_bytes([seed; 16]);
    cast.wearer_name =
        PersonName { name: Text::new("小红 Hong").expect("a name"), salt: Salt::from_bytes([seed; 16]) };
    let opened = app.post("/api/guardian/pairings", &app.pages(&household.cookie), &json!({})).ok();
    cast.pairing = opened["pairing"].as_str().expect("an id").parse().expect("an id");
    let claim = json!({ "key": cast.watch_key.public_key(), "claim": cast.pairing_claim().wire() });
    app.post(&format!("/api/pairings/{}/claim", cast.pairing), &[], &claim).ok();
    let mut watch = cast.enrolled_watch();
    watch.new_watch_cap.until = app.now().plus_ms(NEW_WATCH_COOLING_OFF_MS);
    let entry = cast.next_entry_by(&cast.passkey, app.now(), Entry::EnrolWatch(watch));
    let entry = cast.passkey.assert(AssertionKind::Log, &entry);
    let enrolment = json!({ "entry": entry, "wearer": cast.wearer_name, "pairing": cast.pairing });
    app.post("/api/guardian/log", &app.pages(&household.cookie), &enrolment).ok();
    cast.log.push(entry);
}

/// What the other watches paid, and what the rule itself would have, counts for the household's caps.
#[test]
fn a_rule_is_tried_within_the_households_caps() {
    let (app, mut household) = TestApp::furnished();
    let buy = |household: &Household, number: u8, price: i64, paid: bool| {
        let cast = &household.cast;
        let bill = sold(&app, cast, number, price);
        let order = cast.order(&bill, number);
        app.place(cast, &order).ok();
        if paid {
            let decision = app.approve(household, &order, &bill);
            app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
        } else {
            let refusal = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
            app.decide_wire(household, &order, &cast.sign_decision(&refusal)).ok();
        }
    };
    buy(&household, 1, 3_000, true);
    buy(&household, 2, 3_000, false);
    with_another_watch(&app, &mut household);
    buy(&household, 3, 3_500, true);
    buy(&household, 4, 3_500, false);
    let rule = household.cast.snacks();
    for (what, caps, answers) in [
        ("none", None, [("approve", None), ("approve", None)]),
        ("room for all", Some((Some(10_000), None)), [("approve", None), ("approve", None)]),
        ("the second is over the day's", Some((Some(9_999), None)), [("approve", None), ("ask", Some("house-day"))]),
        ("both are over the month's", Some((None, Some(6_499))), [("ask", Some("house-month")); 2]),
    ] {
        let caps = caps.map(|(day, month)| HouseCaps {
            utc_minutes: 8 * 60,
            per_day: day.map(cny),
            per_week: None,
            per_month: month.map(cny),
        });
        app.clock.advance_ms(1_000);
        append(&app, &mut household, Entry::SetHouseRules(HouseRules { caps, ..HouseRules::default() })).ok();
        let headers = app.pages(&household.cookie);
        let tested = app.post("/api/guardian/rules/test", &headers, &json!({ "mandate": rule })).ok();
        let said: Vec<_> = tested["orders"].as_array().expect("orders").iter().rev().collect();
        let said: Vec<_> = said.iter().map(|order| (order["answer"].as_str(), order["why"].as_str())).collect();
        assert_eq!(said, answers.map(|(answer, why)| (Some(answer), why)), "{what}");
    }
}

#[test]
fn over_a_cap_the_guardian_is_asked_and_an_ended_rule_vouches_for_nothing() {
    let (app, mut household) = ruled(|rule| {
        rule.outside = nodpay_core::Outside::Ask;
        rule.per_day = Some(cny(5_000));
    });
    let cast = &household.cast;
    let bill = sold(&app, cast, 1, 3_000);
    let order = cast.order(&bill, 1);
    app.place(cast, &order).ok();
    pay(&app, cast, &order, &bill).ok();
    let bill = sold(&app, cast, 2, 3_000);
    let order = cast.order(&bill, 2);
    app.place(cast, &order).ok();
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!((&view["state"], &view["judged"]["why"]), (&json!("waiting"), &json!("over-day")));
    // The watch cannot pay it under the rule, whatever it says.
    pay(&app, cast, &order, &bill).refused(409, "order-not-approved");
    let decision = app.approve(&household, &order, &bill);
    pay(&app, cast, &order, &bill).refused(422, "other-decision");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    assert_eq!(app.balance(&household), (14_000, 0));

    // Approved, and then the rule is ended: a watch that knows it does not pay.
    let ended = household.cast.snacks().mandate;
    let next = Mandate { version: 2, per_day: Some(cny(50_000)), ..household.cast.snacks() };
    append(&app, &mut household, Entry::SetMandate(Box::new(next))).ok();
    let bill = sold(&app, &household.cast, 3, 100);
    let order = household.cast.order(&bill, 3);
    app.place(&household.cast, &order).ok();
    let entry = household.cast.book().head();
    append(&app, &mut household, Entry::EndMandate(ended)).ok();
    let payment = household.cast.mandate_payment_payload(&order, &bill, entry);
    let payment = sign(Kind::Payment, payment, &household.cast.watch_key).expect("signs");
    app.watch_post(&household.cast, &order, "payment", payment.wire()).refused(422, "mandate-over");
    append(&app, &mut household, Entry::EndMandate(ended)).refused(422, "bad-log-entry");
}

/// Rows of rules that no entry of the log says.
#[test]
fn rules_that_are_not_those_of_the_log_are_found() {
    let of_rules = "the rules that payments are judged by are not those of the log";
    let of_house = "the household's rules of deciding are not those of the log";
    let of_file = "it is filed under another watch or mandate than it says";
    for (what, sql) in [
        (of_rules, "DELETE FROM mandates"),
        (of_rules, r#"UPDATE mandates SET rule = replace(rule, '"minor":', '"minor":1')"#),
        (of_file, "UPDATE mandates SET mandate = randomblob(16)"),
        (of_house, "UPDATE households SET house_rules = replace(house_rules, '600', '60000')"),
        (of_house, "UPDATE households SET house_rules = NULL"),
    ] {
        let (app, mut household) = ruled(|_| {});
        let caps = HouseCaps { utc_minutes: 0, per_day: Some(cny(600)), per_week: None, per_month: None };
        let house = HouseRules { caps: Some(caps), ..HouseRules::default() };
        append(&app, &mut household, Entry::SetHouseRules(house)).ok();
        let check = || {
            let mut found = Vec::new();
            let (store, keys) = (app.app.store(), app.app.keys());
            let tell = |finding| found.push(finding);
            app.wait(check_evidence(store, keys, &rp(), app.now(), tell)).expect("reads");
            found.into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        assert_eq!(check(), Vec::<String>::new());
        app.tamper(sql);
        let found = check();
        assert!(found.len() == 1 && found[0].ends_with(what), "{sql}: {found:?}");
    }
}
