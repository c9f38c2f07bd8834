//! The main job and its other ends, as the parties see them.

use nodpay_core::{Adjustment, AdjustmentKind, Reduction, Text, Verdict};
use nodpay_protocol::{Signer as _, SoftwareKey, verify_decision, verify_evidence, verify_outcome};
use nodpay_testkit::{Cast, cny, line_id, minor};
use serde_json::json;

use crate::app::{Household, Setup, TestApp, amount, login};

/// Approves with lines struck and pays; gives what the evidence says.
fn pay_without(app: &TestApp, household: &Household, number: u8, struck: &[&str]) -> nodpay_protocol::Report {
    let cast = &household.cast;
    let (bill, order) = app.ordered(household, number);
    let struck: Vec<_> = struck.iter().map(|id| line_id(id)).collect();
    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &struck, Verdict::Approve));
    app.decide_wire(household, &order, &wire).ok();
    let (decision, ..) = verify_decision(&wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    report_result(app, household, &order);
    let evidence = app.guardian_get(household, &format!("/api/guardian/orders/{}/evidence", order.order));
    let anchor = cast.anchor().to_file().expect("serialises");
    verify_evidence(evidence.text.as_bytes(), anchor.as_bytes()).expect("proves it")
}

fn report_result(app: &TestApp, household: &Household, order: &nodpay_protocol::Verified<nodpay_core::Order>) {
    let cast = &household.cast;
    let view = app.guardian_get(household, &format!("/api/guardian/orders/{}", order.order)).ok();
    let wire = view["outcome"].as_str().expect("an outcome");
    let outcome = verify_outcome(wire, &cast.outcome_certificate, order).expect("the service's word");
    app.watch_post(cast, order, "result", cast.result(order, &outcome).wire()).ok();
}

#[test]
fn a_child_scans_a_parent_strikes_and_nods_the_watch_pays() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (watch, guardian, till) =
        (app.follow_watch(cast, None), app.follow_guardian(&household), app.follow_merchant());

    let bill = cast.bill(1);
    let created = app.post_bill(&bill).ok();
    assert!(created["code"].as_str().is_some_and(|code| code.contains(&bill.bill.to_string())));
    assert!(created["svg"].as_str().is_some_and(|svg| svg.contains("<svg")));
    assert_eq!(created["expires_in_ms"], 15 * 60_000);
    assert_eq!(till.wait_for("bill").data["status"], "open");

    let path = format!("/api/watch/{}/bills/{}", cast.watch, bill.bill);
    let fetched = app.watch_get(cast, &path).ok();
    assert_eq!(fetched, json!({ "certificate": cast.certificate.wire(), "bill": bill.wire() }));
    assert_eq!(till.wait_for("bill").data["status"], "scanned");

    let order = cast.order(&bill, 1);
    assert_eq!(app.place(cast, &order).ok(), json!({ "expires_in_ms": 10 * 60_000 }));
    assert_eq!(guardian.wait_for("order").data, json!({ "order": order.order }));
    assert_eq!(till.wait_for("bill").data["status"], "waiting");
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!(view["state"], "waiting");
    assert_eq!(view["order"], order.wire());
    assert_eq!(view["bill"], bill.wire());
    assert_eq!(view["certificate"], cast.certificate.wire());
    assert_eq!(view["left_ms"], 10 * 60_000);

    let struck = [line_id("3"), line_id("4")];
    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &struck, Verdict::Approve));
    app.decide_wire(&household, &order, &wire).ok();
    let told = watch.wait_for("decision").data;
    assert_eq!(told, json!({ "order": order.order, "decision": wire }));
    assert_eq!(app.balance(&household), (20_000, 2_450));
    assert_eq!(till.wait_for("bill").data["status"], "approved");

    let (decision, ..) = verify_decision(&wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    let payment = cast.payment(&order, &decision);
    assert_eq!(app.watch_post(cast, &order, "payment", payment.wire()).ok(), json!({}));
    assert_eq!(app.balance(&household), (17_550, 0));
    let told = watch.wait_for("outcome").data;
    assert_eq!(told["order"], json!(order.order));
    assert_eq!(amount(&told["balance"]), cny(17_550));
    let outcome = verify_outcome(told["outcome"].as_str().expect("a wire"), &cast.outcome_certificate, &order);
    let outcome = outcome.expect("the service's word");
    assert_eq!((outcome.outcome.as_str(), outcome.total), ("paid", cny(2_450)));
    assert_eq!(guardian.wait_for("outcome").data, json!({ "order": order.order, "outcome": told["outcome"] }));
    let seen = till.wait_for("bill").data;
    assert_eq!((&seen["status"], &seen["struck"]), (&json!("paid"), &json!(["3", "4"])));
    assert_eq!(amount(&seen["total"]), cny(2_450));

    app.watch_post(cast, &order, "result", cast.result(&order, &outcome).wire()).ok();
    assert_eq!(guardian.wait_for("result").data, json!({ "order": order.order }));
    let evidence = app.guardian_get(&household, &format!("/api/guardian/orders/{}/evidence", order.order));
    let anchor = cast.anchor().to_file().expect("serialises");
    let report = verify_evidence(evidence.text.as_bytes(), anchor.as_bytes()).expect("proves it");
    assert_eq!((report.outcome.as_str(), report.total, report.struck.len()), ("paid", cny(2_450), 2));
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn the_watch_finds_everything_again_after_a_restart() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let path = format!("/api/watch/{}/state?from=0", cast.watch);
    let state = app.watch_get(cast, &path).ok();
    assert_eq!(state["log"], json!(cast.log));
    assert_eq!(state["order"], json!(null));
    assert_eq!(state["wearer"]["name"], cast.wearer_name.name.as_str());
    assert_eq!(amount(&state["balance"]), cny(20_000));
    let (bill, order) = app.ordered(&household, 1);
    let later = format!("/api/watch/{}/state?from=2", cast.watch);
    let state = app.watch_get(cast, &later).ok();
    assert_eq!(state["log"], json!([]));
    assert_eq!(state["order"]["order_id"], json!(order.order));
    assert_eq!(state["order"]["state"], "waiting");
    let decision = app.approve(&household, &order, &bill);
    let state = app.watch_get(cast, &later).ok();
    assert_eq!(state["order"]["decision"], decision.wire());
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    let state = app.watch_get(cast, &later).ok();
    assert_eq!(state["order"]["state"], "paid");
    assert!(state["order"]["outcome"].is_string());
    assert_eq!(state["order"]["reported"], false);
    report_result(&app, &household, &order);
    assert_eq!(app.watch_get(cast, &later).ok()["order"]["reported"], true);
}

#[test]
fn a_merchant_requotes_and_the_watch_pays_that() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (watch, till) = (app.follow_watch(cast, None), app.follow_merchant());
    let discount =
        Adjustment { kind: AdjustmentKind::Discount, name: Text::new("Set").expect("a name"), amount: minor(-100) };
    let bill = cast.sign_bill(cast.bill_payload(7, Reduction::Requote, vec![discount]));
    let (bill, order) = app.ordered_bill(&household, bill, 7);
    let strike = format!("/api/guardian/orders/{}/strike", order.order);
    let pages = app.pages(&household.cookie);
    let asked = app.post(&strike, &pages, &json!({ "struck": ["3"] })).ok();
    assert_eq!((&asked["ask"]["state"], &asked["ask"]["left_ms"]), (&json!("asked"), &json!(30_000)));
    let ask = till.wait_for("requote").data;
    assert_eq!((&ask["struck"], &ask["revision"]), (&json!(["3"]), &json!(2)));
    assert_eq!(ask["bill"], json!(bill.bill));

    // The first answer is no, with the shop's words.
    let answer = |ask: &serde_json::Value| format!("/api/merchant/requotes/{}", ask["ask"].as_str().expect("an id"));
    app.merchant_post(&answer(&ask), &json!({ "refused": "Only as a set" })).ok();
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!((&view["ask"]["state"], &view["ask"]["reason"]), (&json!("refused"), &json!("Only as a set")));

    app.post(&strike, &pages, &json!({ "struck": ["3", "4"] })).ok();
    let ask = till.wait_for("requote").data;
    let revision = u32::try_from(ask["revision"].as_u64().expect("a number")).expect("small");
    let struck = [line_id("3"), line_id("4")];
    let requote = cast.requote(&bill, &struck, revision);
    app.merchant_post(&answer(&ask), &json!({ "bill": requote.wire() })).ok();
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!((&view["requote"], &view["ask"]["state"]), (&json!(requote.wire()), &json!("answered")));

    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, Some(&requote), &struck, Verdict::Approve));
    app.decide_wire(&household, &order, &wire).ok();
    let told = watch.wait_for("decision").data;
    assert_eq!(told, json!({ "order": order.order, "decision": wire, "requote": requote.wire() }));
    let (decision, ..) =
        verify_decision(&wire, &cast.book(), &order, &bill, Some(&requote), &cast.certificate).expect("sound");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    assert_eq!(app.balance(&household), (20_000 - requote.total.get(), 0));
    report_result(&app, &household, &order);
    let evidence = app.guardian_get(&household, &format!("/api/guardian/orders/{}/evidence", order.order));
    let anchor = cast.anchor().to_file().expect("serialises");
    verify_evidence(evidence.text.as_bytes(), anchor.as_bytes()).expect("proves it");
}

#[test]
fn a_merchant_who_does_not_answer_is_not_waited_for() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let guardian = app.follow_guardian(&household);
    let bill = cast.sign_bill(cast.bill_payload(7, Reduction::Requote, Vec::new()));
    let (_, order) = app.ordered_bill(&household, bill, 7);
    let strike = format!("/api/guardian/orders/{}/strike", order.order);
    app.post(&strike, &app.pages(&household.cookie), &json!({ "struck": ["3"] })).ok();
    guardian.wait_for("requote");
    app.clock.advance_ms(30_000);
    guardian.wait_for("requote");
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!((&view["state"], &view["ask"]["state"]), (&json!("waiting"), &json!("timed-out")));
}

#[test]
fn every_other_end_reaches_the_watch_and_moves_nothing() {
    let app = TestApp::start();
    app.add_merchant(&Cast::new(0));
    let household = app.add_household(Cast::new(0), 10_000);
    let cast = &household.cast;
    let watch = app.follow_watch(cast, None);
    let outcome = |order: &nodpay_protocol::Verified<nodpay_core::Order>| {
        let told = watch.wait_for("outcome").data;
        let wire = told["outcome"].as_str().expect("a wire");
        let outcome = verify_outcome(wire, &cast.outcome_certificate, order).expect("the service's word");
        (outcome.outcome.as_str(), outcome.reason.map_or("", |reason| reason.as_str()), told["decision"].is_string())
    };

    let (bill, order) = app.ordered(&household, 1);
    let mut refusal = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
    refusal.reason = Some(Text::new("Not today").expect("a text"));
    app.decide_wire(&household, &order, &cast.sign_decision(&refusal)).ok();
    assert_eq!(outcome(&order), ("refused", "", true));

    let (_, order) = app.ordered(&household, 2);
    app.watch_post(cast, &order, "cancel", cast.cancel(&order).wire()).ok();
    assert_eq!(outcome(&order), ("cancelled", "", false));

    let (_, order) = app.ordered(&household, 3);
    app.clock.advance_ms(10 * 60_000);
    assert_eq!(outcome(&order), ("expired", "", false));

    // Approved but never paid: the hold is given back.
    let (bill, order) = app.ordered(&household, 4);
    app.approve(&household, &order, &bill);
    assert_eq!(app.balance(&household), (10_000, 3_650));
    app.clock.advance_ms(5 * 60_000);
    assert_eq!(outcome(&order), ("expired", "", false));

    let mut dear = cast.bill_payload(5, Reduction::LinesSum, Vec::new());
    dear.lines[0].unit_price = minor(8_000);
    dear.lines[0].amount = minor(8_000);
    nodpay_testkit::retotal(&mut dear);
    let (_, order) = app.ordered_bill(&household, cast.sign_bill(dear), 5);
    assert_eq!(outcome(&order), ("failed", "insufficient-balance", false));

    let (bill, order) = app.ordered(&household, 6);
    app.merchant_post(&format!("/api/merchant/bills/{}/cancel", bill.bill), &json!({})).ok();
    assert_eq!(outcome(&order), ("failed", "bill-cancelled", false));

    assert_eq!(app.balance(&household), (10_000, 0));
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn evidence_of_several_orders_follows_the_log_of_its_time() {
    let (app, household) = TestApp::furnished();
    let first = pay_without(&app, &household, 1, &[]);
    let second = pay_without(&app, &household, 2, &["5"]);
    assert_eq!((first.total, second.total), (cny(3_650), cny(2_950)));
    let orders = app.guardian_get(&household, "/api/guardian/orders").ok();
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(2));
    assert_eq!(orders["next"], json!(null));
}

#[test]
fn a_guardian_comes_back_and_leaves() {
    let (app, household) = TestApp::furnished();
    let cookie = login(&app, &household.cast).cookie.expect("a session");
    let page = app.get("/api/guardian/household", &[("cookie", &cookie)]).ok();
    assert_eq!(page["log"], json!(household.cast.log));
    assert_eq!(page["wearers"][0]["name"], household.cast.wearer_name.name.as_str());
    assert_eq!(amount(&page["balance"]), cny(20_000));
    let left = app.post("/api/guardian/logout", &app.pages(&cookie), &json!({}));
    assert_eq!(left.status, 204);
    app.get("/api/guardian/household", &[("cookie", &cookie)]).refused(401, "not-logged-in");
    // The other session goes on, until it is over.
    assert_eq!(app.guardian_get(&household, "/api/guardian/household").status, 200);
    app.clock.advance_ms(nodpay_service::SESSION_IDLE_MS);
    app.guardian_get(&household, "/api/guardian/household").refused(401, "not-logged-in");
}

#[test]
fn a_till_is_certified_at_once_or_by_the_operator() {
    let secret = |key: &SoftwareKey| SoftwareKey::from_secret(&key.secret()).expect("a key");
    let cast = Cast::new(0);
    for at_once in [true, false] {
        let app = TestApp::start_with(Setup { root: at_once.then(|| secret(&cast.root)), ..Setup::default() });
        let certificate = &cast.certificate;
        let details = nodpay_service::admin::MerchantDetails {
            name: certificate.name.clone(),
            mcc: certificate.mcc,
            city: certificate.city.clone(),
            country: certificate.country,
            currency: nodpay_core::Currency::CNY,
        };
        let store = app.app.store();
        let added = app.wait(nodpay_service::admin::add_merchant(store, "https://a.org", details, app.now()));
        let added = added.expect("a merchant");
        let invitation = added.till.link.strip_prefix("https://a.org/till#").expect("a till link").to_owned();
        assert!(added.api_key.starts_with("ndp_"));
        let enrolled = app.enrol(&invitation, &cast.merchant_key);
        assert_eq!(enrolled.body["certificate"].is_string(), at_once, "{}", enrolled.text);
        let cookie = enrolled.cookie.expect("a session");
        if !at_once {
            let bill = cast.bill(1);
            let headers = app.pages(&cookie);
            app.post_wire("/api/merchant/bills", &headers, bill.wire()).refused(409, "not-certified");
            let root = secret(&cast.root);
            let certified = nodpay_service::admin::certify_merchant(store, &root, added.merchant, app.now());
            let certified = app.wait(certified).expect("certified");
            assert_eq!(certified.key, cast.merchant_key.public_key());
        }
        let view = app.get("/api/merchant", &[("cookie", &cookie)]).ok();
        assert!(view["certificate"].is_string());
        // A link works once, for another key.
        app.enrol(&invitation, &nodpay_testkit::key(77)).refused(403, "invitation-used");
        assert_eq!(app.get("/api/merchant", &[("cookie", &cookie)]).ok()["key"], view["key"]);
    }
}

#[test]
fn goods_are_the_tills_to_set() {
    let (app, _) = TestApp::furnished();
    let (name, value) = TestApp::merchant_header();
    let goods = json!([{ "id": "1", "name": "可乐 Cola", "unit_price": 350, "category": "Drinks", "min_age": 6 }]);
    let put = |goods: &serde_json::Value| {
        app.send("PUT", "/api/merchant/goods", &[(name, &value)], "application/json", goods.to_string().as_bytes())
    };
    assert_eq!(put(&goods).ok()["goods"], goods);
    for bad in [
        json!([{ "id": "1", "name": "a\u{202E}b", "unit_price": 1 }]),
        json!([{ "id": "1", "name": "a", "unit_price": -1 }]),
        json!([{ "id": "1", "name": "a", "unit_price": 1 }, { "id": "1", "name": "b", "unit_price": 1 }]),
        json!([{ "id": "1", "name": "a", "unit_price": 1, "more": 1 }]),
        json!({}),
    ] {
        put(&bad).refused(400, "malformed-request");
    }
    assert_eq!(app.merchant_get("/api/merchant").ok()["goods"], goods);
}

#[test]
fn the_operator_sees_how_it_goes() {
    let (app, household) = TestApp::furnished();
    pay_without(&app, &household, 1, &[]);
    assert_eq!(app.get("/healthz", &[]).text, "ok\n");
    assert_eq!(app.get("/readyz", &[]).text, "ready\n");
    let metrics = app.get("/metrics", &[]).text;
    for line in
        ["nodpay_orders_ended_total{outcome=\"paid\"}", "nodpay_tap_to_paid_seconds_bucket", "nodpay_http_request"]
    {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains(&household.cast.watch.to_string()), "no ids");
    let service = app.get("/api/service", &[]).ok();
    assert_eq!(service["root"], json!(household.cast.root.public_key()));
    assert_eq!((&service["demo"], &service["rp_id"]), (&json!(false), &json!("localhost")));
}
