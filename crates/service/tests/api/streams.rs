//! Event streams: nothing is missed, whoever follows no longer is let go, nobody reads what is not theirs.

use std::time::Duration;

use nodpay_core::{Entry, TransferId, Verdict};
use nodpay_protocol::AssertionKind;
use nodpay_store::TopUp;
use nodpay_testkit::{Cast, cny};
use serde_json::{Value, json};

use crate::app::{ORIGIN, TestApp, replicas};

/// Far less than the 25 s after which a stream reads again by itself.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_stream_resumes_where_its_client_stopped() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let stream = app.follow_watch(cast, None);
    let start = stream.next();
    assert_eq!(start.kind, "", "its place, without an event");
    drop(stream);
    // While nobody listens: refused, then cancelled, then expired.
    let (bill, order) = app.ordered(&household, 1);
    let refusal = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse));
    app.decide_wire(&household, &order, &refusal).ok();
    let (_, second) = app.ordered(&household, 2);
    app.watch_post(cast, &second, "cancel", cast.cancel(&second).wire()).ok();

    let stream = app.follow_watch(cast, Some(start.id));
    assert_eq!(stream.next().id, start.id);
    let first = stream.wait_for("outcome");
    assert_eq!(first.data["order"], json!(order.order));
    assert_eq!(first.data["decision"], json!(refusal), "the guardian's words come with it");
    let next = stream.wait_for("outcome");
    assert_eq!(next.data["order"], json!(second.order));
    assert!(start.id < first.id && first.id < next.id);
    drop(stream);

    let stream = app.follow_watch(cast, Some(first.id));
    assert_eq!(stream.wait_for("outcome").data["order"], json!(second.order), "only what was missed");
    // By the query too, and what happens now comes as well.
    let path = format!("/api/watch/{}/events?after={}", cast.watch, next.id);
    let proof = app.proof(cast, &path);
    let live = app.follow(&path, &[("dpop", &proof)]);
    app.top_up(&household, 100);
    assert_eq!(live.wait_for("balance").data["balance"]["minor"], 20_100);
    // A place that is not reached yet (the database is an older copy) is taken for now.
    let ahead = app.follow_watch(cast, Some(1_000_000));
    let place = ahead.next().id;
    assert!(place < 1_000_000);
    app.top_up(&household, 100);
    assert_eq!(ahead.wait_for("balance").data["balance"]["minor"], 20_200);
    let bad = app.get(&path, &[("dpop", &app.proof(cast, &path)), ("last-event-id", "x")]);
    bad.refused(400, "malformed-request");
}

#[test]
fn long_logs_are_read_to_their_end() {
    let (app, household) = TestApp::furnished();
    let start = app.follow_watch(&household.cast, None).next().id;
    for _ in 0..250 {
        app.top_up(&household, 1);
    }
    let stream = app.follow_watch(&household.cast, Some(start));
    for _ in 0..250 {
        stream.wait_for("balance");
    }
    app.top_up(&household, 1);
    assert_eq!(stream.wait_for("balance").data["balance"]["minor"], 20_251);
}

#[test]
fn the_log_reaches_the_watch_also_when_it_says_that_it_is_removed() {
    let app = TestApp::start();
    app.add_merchant(&Cast::new(0));
    let mut cast = Cast::new(0);
    let cookie = app.found(&cast).cookie.expect("a session");
    let pages = app.pages(&cookie);
    let opened = app.post("/api/guardian/pairings", &pages, &json!({})).ok();
    cast.pairing = opened["pairing"].as_str().expect("an id").parse().expect("an id");
    let guardian = app.follow("/api/guardian/events", &[("cookie", &cookie)]);
    let claim =
        json!({ "key": nodpay_protocol::Signer::public_key(&cast.watch_key), "claim": cast.pairing_claim().wire() });
    app.post(&format!("/api/pairings/{}/claim", cast.pairing), &[], &claim).ok();
    assert_eq!(guardian.wait_for("pairing").data, json!({ "pairing": cast.pairing }));
    // Before it is enrolled, the watch already listens.
    let watch = app.follow_watch(&cast, None);
    watch.next();
    // But it hears nothing: whether it is the right watch only the guardian can tell.
    let transfer = nodpay_core::TransferId::from_bytes([1; 16]);
    let top_up = nodpay_store::TopUp { household: cast.household, transfer, amount: nodpay_testkit::cny(5) };
    app.wait(app.app.store().top_up(top_up, app.now())).expect("topped up");
    assert!(watch.hears_nothing());
    let enrolment = json!({ "entry": cast.log[1], "wearer": cast.wearer_name, "pairing": cast.pairing });
    app.post("/api/guardian/log", &pages, &enrolment).ok();
    assert_eq!(watch.wait_for("log").data, json!({ "entry": cast.log[1] }));
    assert_eq!(guardian.wait_for("log").data, json!({ "seq": 1 }));
    let removal = cast.passkey.assert(AssertionKind::Log, &cast.next_entry(Entry::RemoveWatch(cast.watch)));
    app.post("/api/guardian/log", &pages, &json!({ "entry": removal })).ok();
    assert_eq!(watch.wait_for("log").data, json!({ "entry": removal }));
    let later = nodpay_store::TopUp { transfer: nodpay_core::TransferId::from_bytes([2; 16]), ..top_up };
    app.wait(app.app.store().top_up(later, app.now())).expect("topped up");
    assert_eq!(guardian.wait_for("balance").data["balance"]["minor"], 10);
    assert!(watch.hears_nothing());
    let state = app.watch_get(&cast, &format!("/api/watch/{}/state?from=1", cast.watch)).ok();
    assert_eq!(state["log"], json!([cast.log[1], removal]));
    assert_eq!(state["balance"], Value::Null);
}

#[test]
fn a_removed_watchs_open_order_ends_and_it_is_told() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let watch = app.follow_watch(cast, None);
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    let removal = cast.passkey.assert(AssertionKind::Log, &cast.next_entry(Entry::RemoveWatch(cast.watch)));
    app.post("/api/guardian/log", &app.pages(&household.cookie), &json!({ "entry": removal })).ok();
    assert_eq!(watch.wait_for("outcome").data["order"], json!(order.order));
    let late = app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire());
    late.refused(409, "order-ended");
    assert_eq!(app.balance(&household), (20_000, 0));
}

#[test]
fn a_new_stream_ends_the_oldest_beyond_the_bound() {
    let (app, household) = TestApp::furnished();
    let first = app.follow_watch(&household.cast, None);
    let second = app.follow_watch(&household.cast, None);
    let third = app.follow_watch(&household.cast, None);
    assert!(first.ended());
    app.top_up(&household, 1);
    second.wait_for("balance");
    third.wait_for("balance");
}

#[test]
fn streams_end_when_the_service_stops() {
    let (app, household) = TestApp::furnished();
    let (watch, guardian) = (app.follow_watch(&household.cast, None), app.follow_guardian(&household));
    app.app.stop();
    assert!(watch.ended() && guardian.ended());
}

/// A watch on one replica and a phone on the other: each hears at once what came to the other's.
#[test]
fn replicas_hear_each_other() {
    let (one, two, _folder) = replicas();
    one.add_merchant(&Cast::new(0));
    let household = one.add_household(Cast::new(0), 20_000);
    let cast = &household.cast;
    let (watch, guardian) = (one.follow_watch(cast, None), two.follow_guardian(&household));
    assert_eq!((watch.next().kind, guardian.next().kind), (String::new(), String::new()), "their places");
    for number in [1, 2] {
        let (bill, order) = one.ordered(&household, number);
        assert_eq!(guardian.wait_within(AT_ONCE, "order").data["order"], json!(order.order));
        let decision = two.approve(&household, &order, &bill);
        assert_eq!(watch.wait_within(AT_ONCE, "decision").data["order"], json!(order.order));
        one.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
        assert_eq!(guardian.wait_within(AT_ONCE, "outcome").data["order"], json!(order.order));
    }
    one.top_up(&household, 5);
    guardian.wait_within(AT_ONCE, "balance");
}

#[test]
fn what_happens_next_door_is_not_heard() {
    let (app, one) = TestApp::furnished();
    let two = app.add_household(Cast::new(1), 100);
    let stream = app.follow_guardian(&one);
    app.top_up(&two, 1);
    app.top_up(&one, 5);
    let first = stream.wait_for("balance");
    assert_eq!(first.data["balance"]["minor"], 20_005);
    let foreign = format!("/api/watch/{}/events", two.cast.watch);
    let proof = nodpay_protocol::sign_request("GET", &foreign, app.now(), app.nonce(), &one.cast.watch_key);
    app.get(&foreign, &[("dpop", &proof.expect("signs"))]).refused(401, "bad-signature");
    app.get("/api/guardian/events", &[("origin", ORIGIN)]).refused(401, "not-logged-in");
}

/// What `nodpay admin` does on the same file comes on open streams.
#[test]
fn what_another_process_does_is_told() {
    let (app, household) = TestApp::furnished();
    let (watch, guardian) = (app.follow_watch(&household.cast, None), app.follow_guardian(&household));
    let command = app.beside();
    let transfer = TransferId::from_bytes([0x51; 16]);
    let top_up = TopUp { household: household.cast.household, transfer, amount: cny(100) };
    app.wait(command.top_up(top_up, app.now())).expect("topped up");
    for stream in [&watch, &guardian] {
        assert_eq!(stream.wait_for("balance").data["balance"]["minor"], 20_100);
    }
    app.wait(command.set_frozen(household.cast.household, true, app.now())).expect("frozen");
    assert_eq!(watch.wait_for("log").data["frozen"], "operator");
    guardian.wait_for("log");
}
