//! Everything a peer can send that is wrong: each with its stable code, and nothing changed by it.

use std::panic::Location;

use nodpay_core::{
    Amount, BillId, Decision, Entry, HouseholdId, LogEntry, MerchantId, Minor, NEW_WATCH_COOLING_OFF_MS, NewWatchCap,
    Order, OrderId, Payment, PersonName, Reduction, Text, Timestamp, Verdict, WatchId, WearerId,
};
use nodpay_protocol::{AssertionKind, Kind, Verified, sign, sign_request, verify_decision};
use nodpay_testkit::{Cast, SoftPasskey, cny, line, line_id, minor, retotal, rp, some_digest};
use serde_json::{Value, json};

use crate::app::{Answer, Household, ORIGIN, TestApp, bend, login, resign};

const HOUR_MS: i64 = 60 * 60_000;

/// The request is refused with this code and leaves money and state as they were.
#[track_caller]
fn refused(app: &TestApp, household: &Household, name: &str, send: impl FnOnce() -> Answer, status: u16, code: &str) {
    let before = app.snapshot(household);
    let answer = send();
    let at = Location::caller();
    assert_eq!((answer.status, answer.code()), (status, code), "{name} ({at}): {}", answer.text);
    assert_eq!(answer.content_type, "application/problem+json", "{name}");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(' '), "{name}: a sentence for its reader, not {detail:?}");
    assert_eq!(app.snapshot(household), before, "{name} ({at})");
}

#[test]
fn orders() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let stranger = Cast::new(1);
    let bill = cast.bill(1);
    app.post_bill(&bill).ok();
    let bent = |change: fn(&mut Order)| {
        let mut order = cast.order_payload(&bill, 1);
        change(&mut order);
        cast.sign_order(order).wire().to_owned()
    };
    let signed = |payload: Value| sign(Kind::Order, payload, &cast.watch_key).expect("signs").wire().to_owned();
    let with = |name: &str, value: Value| {
        let mut payload = serde_json::to_value(cast.order_payload(&bill, 1)).expect("JSON");
        payload[name] = value;
        signed(payload)
    };
    let honest = cast.order(&bill, 1);
    let unknown_bill = cast.order(&cast.bill(99), 1);
    let table: Vec<(&str, String, u16, &str)> = vec![
        ("a changed byte of the payload", bend(honest.wire(), 1, 60), 422, "bad-signature"),
        ("a changed byte of the bill's digest", bend(honest.wire(), 1, 80), 422, "bad-signature"),
        ("a changed byte of the signature", bend(honest.wire(), 2, 5), 422, "bad-signature"),
        (
            "a foreign key",
            sign(Kind::Order, cast.order_payload(&bill, 1), &stranger.watch_key).expect("signs").wire().into(),
            422,
            "bad-signature",
        ),
        ("another header", bend(honest.wire(), 0, 9), 400, "wrong-message-kind"),
        ("another kind", cast.cancel(&honest).wire().to_owned(), 400, "wrong-message-kind"),
        ("not a message", "hello".to_owned(), 400, "malformed-message"),
        ("nothing", String::new(), 400, "malformed-message"),
        (
            "another household",
            bent(|order| order.household = HouseholdId::from_bytes([0x99; 16])),
            422,
            "other-household",
        ),
        ("another watch", bent(|order| order.watch = WatchId::from_bytes([0x99; 16])), 422, "other-watch"),
        ("another wearer", bent(|order| order.wearer = WearerId::from_bytes([0x99; 16])), 422, "other-wearer"),
        ("an unknown bill", unknown_bill.wire().to_owned(), 404, "bill-unknown"),
        ("an unknown log head", bent(|order| order.log_head = some_digest(9)), 422, "unknown-log-head"),
        ("no life", bent(|order| order.expires = order.created), 422, "bad-order-life"),
        (
            "over an hour of life",
            bent(|order| order.expires = order.created.plus_ms(HOUR_MS + 1)),
            422,
            "bad-order-life",
        ),
        (
            "an old wearer check",
            bent(|order| order.wearer_check.at = order.created.plus_ms(-120_001)),
            422,
            "bad-wearer-check",
        ),
        (
            "a later wearer check",
            bent(|order| order.wearer_check.at = order.created.plus_ms(1)),
            422,
            "bad-wearer-check",
        ),
        ("a bidi override in the reason", with("reason", json!("for \u{202E}tra")), 400, "malformed-payload"),
        ("an invisible character", with("reason", json!("a\u{200B}b")), 400, "malformed-payload"),
        ("a control character", with("reason", json!("a\u{7}b")), 400, "malformed-payload"),
        ("a long reason", with("reason", json!("a".repeat(61))), 400, "malformed-payload"),
        ("version 2", with("v", json!(2)), 400, "malformed-payload"),
        ("an unknown field", with("more", json!(1)), 400, "malformed-payload"),
        ("no PIN", with("wearer_check", json!({ "method": "none", "at": 1 })), 400, "malformed-payload"),
    ];
    for (name, wire, status, code) in table {
        refused(&app, &household, name, || app.place_wire(cast, &wire), status, code);
    }
    let path = format!("/api/watch/{}/orders", cast.watch);
    let long = vec![b'a'; nodpay_service::MAX_BODY_LEN + 1];
    refused(
        &app,
        &household,
        "a long body",
        || app.send("POST", &path, &[], "application/jose", &long),
        413,
        "body-too-large",
    );
    refused(
        &app,
        &household,
        "not text",
        || app.send("POST", &path, &[], "application/jose", &[0xFF]),
        400,
        "malformed-request",
    );
    let wire = honest.wire();
    refused(
        &app,
        &household,
        "JSON",
        || app.send("POST", &path, &[], "application/json", wire.as_bytes()),
        415,
        "unsupported-media-type",
    );
    refused(
        &app,
        &household,
        "no media type",
        || app.send("POST", &path, &[], "", wire.as_bytes()),
        415,
        "unsupported-media-type",
    );
    let elsewhere = format!("/api/watch/{}/orders", stranger.watch);
    refused(&app, &household, "an unknown watch", || app.post_wire(&elsewhere, &[], wire), 404, "unknown-watch");
    refused(&app, &household, "not an id", || app.post_wire("/api/watch/x/orders", &[], wire), 404, "not-found");

    app.place(cast, &honest).ok();
    assert_eq!(app.place(cast, &honest).status, 202, "the same again is the same");
    refused(
        &app,
        &household,
        "its id again",
        || app.place_wire(cast, &bent(|order| order.reason = Text::new("x").ok())),
        409,
        "order-id-reused",
    );
    let second = cast.order(&bill, 2);
    refused(&app, &household, "a second open order", || app.place(cast, &second), 409, "order-open");
    app.watch_post(cast, &honest, "cancel", cast.cancel(&honest).wire()).ok();
    let reused = bent(|order| order.order = OrderId::from_bytes([3; 16]));
    refused(&app, &household, "a reused nonce", || app.place_wire(cast, &reused), 409, "nonce-reused");

    app.merchant_post(&format!("/api/merchant/bills/{}/cancel", bill.bill), &json!({})).ok();
    refused(&app, &household, "a cancelled bill", || app.place(cast, &second), 409, "bill-cancelled");
    let late = cast.bill(4);
    app.post_bill(&late).ok();
    app.clock.advance_ms(15 * 60_000);
    refused(&app, &household, "an expired bill", || app.place(cast, &cast.order(&late, 4)), 410, "bill-expired");
    let (bill, paid) = app.ordered(&household, 5);
    let decision = app.approve(&household, &paid, &bill);
    app.watch_post(cast, &paid, "payment", cast.payment(&paid, &decision).wire()).ok();
    refused(&app, &household, "a paid bill", || app.place(cast, &cast.order(&bill, 6)), 409, "bill-already-paid");

    let mut dear = cast.bill_payload(7, Reduction::LinesSum, Vec::new());
    dear.lines = vec![line("1", "Robot", 1, 20_001)];
    retotal(&mut dear);
    let dear = cast.sign_bill(dear);
    app.post_bill(&dear).ok();
    app.top_up(&household, 50_000);
    refused(
        &app,
        &household,
        "over a new watch's cap",
        || app.place(cast, &cast.order(&dear, 7)),
        422,
        "over-new-watch-cap",
    );

    let removal = cast.passkey.assert(AssertionKind::Log, &cast.next_entry(Entry::RemoveWatch(cast.watch)));
    app.post("/api/guardian/log", &app.pages(&household.cookie), &json!({ "entry": removal })).ok();
    let bill = cast.bill(8);
    app.post_bill(&bill).ok();
    refused(&app, &household, "a removed watch", || app.place(cast, &cast.order(&bill, 8)), 403, "revoked-watch");
    let path = format!("/api/watch/{}/bills/{}", cast.watch, bill.bill);
    refused(&app, &household, "a removed watch that scans", || app.watch_get(cast, &path), 403, "revoked-watch");
}

#[test]
fn decisions() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let stranger = Cast::new(1);
    let (bill, order) = app.ordered(&household, 1);
    let bent = |change: &dyn Fn(&mut Decision)| {
        let mut decision = cast.decision_payload(&order, &bill, None, &[], Verdict::Approve);
        change(&mut decision);
        cast.sign_decision(&decision)
    };
    let payload =
        || serde_json::to_vec(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve)).expect("JSON");
    let by = |passkey: SoftPasskey| passkey.assert_bytes(AssertionKind::Decision, payload()).to_wire();
    let own = |rp| SoftPasskey::new(5, rp);
    let mut other_rp = rp();
    other_rp.rp_id = "evil.example".to_owned();
    let mut other_origin = rp();
    other_origin.origins = vec!["http://localhost:8081".to_owned()];
    let mut demo = own(rp());
    demo.demo = true;
    let flags = |flags: u8| {
        let mut assertion = cast.passkey.assert_bytes(AssertionKind::Decision, payload());
        assertion.authenticator_data[32] = flags;
        resign(&mut assertion, &cast.passkey.key);
        assertion.to_wire()
    };
    let client_data = |change: fn(&mut Value)| {
        let mut assertion = cast.passkey.assert_bytes(AssertionKind::Decision, payload());
        let mut client: Value = serde_json::from_slice(&assertion.client_data).expect("JSON");
        change(&mut client);
        assertion.client_data = client.to_string().into_bytes();
        resign(&mut assertion, &cast.passkey.key);
        assertion.to_wire()
    };
    let mut foreign_key = cast.passkey.assert_bytes(AssertionKind::Decision, payload());
    resign(&mut foreign_key, &stranger.watch_key);
    let honest = bent(&|_| {});
    let foreign = stranger.passkey.assert_bytes(AssertionKind::Decision, payload()).to_wire();
    let login = cast.passkey.assert_bytes(AssertionKind::Login, payload()).to_wire();
    let table: Vec<(&str, String, u16, &str)> = vec![
        ("a changed byte of the decision", bend(&honest, 0, 40), 422, "wrong-challenge"),
        ("a changed byte of the credential", bend(&honest, 1, 3), 403, "unknown-guardian"),
        ("a changed byte of the authenticator data", bend(&honest, 2, 3), 422, "bad-signature"),
        ("a changed byte of the client data", bend(&honest, 3, 30), 422, "bad-signature"),
        ("a changed byte of the signature", bend(&honest, 4, 20), 422, "bad-signature"),
        ("a foreign passkey", foreign, 403, "unknown-guardian"),
        ("a foreign key", foreign_key.to_wire(), 422, "bad-signature"),
        ("another rp id", by(own(other_rp)), 422, "wrong-rp-id"),
        ("another origin", by(own(other_origin)), 422, "wrong-origin"),
        ("a software key of the demo", by(demo), 403, "demo-key-refused"),
        ("no user verification", flags(0x01), 403, "user-not-verified"),
        ("no user presence", flags(0x04), 403, "user-not-verified"),
        ("a backed-up passkey that never was one", flags(0x1D), 422, "bad-authenticator-data"),
        ("another site's frame", client_data(|client| client["crossOrigin"] = json!(true)), 422, "cross-origin"),
        ("a registration", client_data(|client| client["type"] = json!("webauthn.create")), 422, "bad-client-data"),
        ("a login", login, 422, "wrong-challenge"),
        ("not an assertion", order.wire().to_owned(), 400, "malformed-message"),
        ("six parts", format!("{honest}.AA"), 400, "malformed-message"),
        ("another order", bent(&|decision| decision.order = some_digest(9)), 422, "other-order"),
        ("another bill", bent(&|decision| decision.bill = some_digest(9)), 422, "other-bill"),
        ("another household", bent(&|decision| decision.household = stranger.household), 422, "other-household"),
        ("another watch", bent(&|decision| decision.watch = stranger.watch), 422, "other-watch"),
        ("another wearer", bent(&|decision| decision.wearer = stranger.wearer), 422, "other-wearer"),
        ("another payee", bent(&|decision| decision.payee = some_digest(9)), 422, "other-payee"),
        ("a lower total", bent(&|decision| decision.total = cny(1)), 422, "wrong-total"),
        (
            "another currency",
            bent(&|decision| decision.total = Amount::new(minor(3_650), nodpay_core::Currency::EUR)),
            422,
            "wrong-total",
        ),
        (
            "another guardian's name",
            bent(&|decision| decision.guardian = stranger.passkey.guardian.guardian),
            403,
            "unknown-guardian",
        ),
        ("an unknown log head", bent(&|decision| decision.log_head = some_digest(9)), 422, "unknown-log-head"),
        (
            "over ten minutes to pay",
            bent(&|decision| decision.pay_by = decision.at.plus_ms(600_001)),
            422,
            "bad-decision-life",
        ),
        ("no time to pay", bent(&|decision| decision.pay_by = decision.at), 422, "bad-decision-life"),
        ("a line that is not there", bent(&|decision| decision.struck = vec![line_id("77")]), 422, "line-not-there"),
        (
            "a line struck twice",
            bent(&|decision| decision.struck = vec![line_id("3"), line_id("3")]),
            422,
            "bad-strike",
        ),
        ("lines out of order", bent(&|decision| decision.struck = vec![line_id("3"), line_id("2")]), 422, "bad-strike"),
        (
            "all lines struck",
            bent(&|decision| decision.struck = ["1", "2", "3", "4", "5"].map(line_id).to_vec()),
            422,
            "everything-struck",
        ),
        ("struck, total as before", bent(&|decision| decision.struck = vec![line_id("3")]), 422, "wrong-total"),
        (
            "a refusal that strikes",
            bent(&|decision| {
                decision.struck = vec![line_id("3")];
                decision.verdict = Verdict::Refuse;
            }),
            422,
            "bad-strike",
        ),
    ];
    for (name, wire, status, code) in table {
        refused(&app, &household, name, || app.decide_wire(&household, &order, &wire), status, code);
    }
    let other = cast.order(&bill, 9);
    refused(
        &app,
        &household,
        "an unknown order",
        || app.decide_wire(&household, &other, &honest),
        404,
        "order-unknown",
    );
    let neighbour = app.add_household(Cast::new(1), 5_000);
    refused(
        &app,
        &household,
        "another household's session",
        || app.decide_wire(&neighbour, &order, &honest),
        404,
        "order-unknown",
    );
    let path = format!("/api/guardian/orders/{}/decision", order.order);
    let strike = format!("/api/guardian/orders/{}/strike", order.order);
    refused(
        &app,
        &household,
        "no session",
        || app.post_wire(&path, &[("origin", ORIGIN)], &honest),
        401,
        "not-logged-in",
    );
    refused(
        &app,
        &household,
        "another site",
        || app.post_wire(&path, &[("origin", "http://localhost:9"), ("cookie", &household.cookie)], &honest),
        403,
        "foreign-origin",
    );
    refused(
        &app,
        &household,
        "no origin",
        || app.post_wire(&path, &[("cookie", &household.cookie)], &honest),
        403,
        "foreign-origin",
    );
    let ask = || app.post(&strike, &app.pages(&household.cookie), &json!({ "struck": ["3"] }));
    refused(&app, &household, "a requote that is not needed", ask, 409, "no-requote-needed");

    app.decide_wire(&household, &order, &honest).ok();
    assert_eq!(app.decide_wire(&household, &order, &honest).status, 202, "the same again is the same");
    let second = bent(&|decision| decision.at = decision.at.plus_ms(1));
    refused(
        &app,
        &household,
        "a second decision",
        || app.decide_wire(&household, &order, &second),
        409,
        "already-decided",
    );
}

#[test]
fn requotes_and_what_they_make_stale() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let till = app.follow_merchant();
    let bill = cast.sign_bill(cast.bill_payload(1, Reduction::Requote, Vec::new()));
    let (bill, order) = app.ordered_bill(&household, bill, 1);
    let decide = |requote: Option<&Verified<nodpay_core::Bill>>, struck: &[&str], total: i64| {
        let mut decision = cast.decision_payload(&order, &bill, requote, &[], Verdict::Refuse);
        decision.verdict = Verdict::Approve;
        decision.struck = struck.iter().map(|id| line_id(id)).collect();
        decision.total = cny(total);
        app.decide_wire(&household, &order, &cast.sign_decision(&decision))
    };
    refused(&app, &household, "a strike only the shop can make", || decide(None, &["3"], 2_950), 422, "bad-strike");

    let strike = |struck: Value| {
        app.post(
            &format!("/api/guardian/orders/{}/strike", order.order),
            &app.pages(&household.cookie),
            &json!({ "struck": struck }),
        )
    };
    refused(&app, &household, "strike a line that is not there", || strike(json!(["99"])), 422, "line-not-there");
    refused(&app, &household, "strike all", || strike(json!(["1", "2", "3", "4", "5"])), 422, "everything-struck");
    refused(&app, &household, "strike no line id", || strike(json!(["a b"])), 400, "malformed-request");

    strike(json!(["3"])).ok();
    let ask = till.wait_for("requote").data;
    let path = format!("/api/merchant/requotes/{}", ask["ask"].as_str().expect("an id"));
    let answer = |wire: &str| app.merchant_post(&path, &json!({ "bill": wire }));
    let honest = cast.requote(&bill, &[line_id("3")], 2);
    let bent = |change: fn(&mut nodpay_core::Bill)| {
        let mut requote = nodpay_core::Bill::clone(&honest);
        change(&mut requote);
        retotal(&mut requote);
        cast.sign_bill(requote).wire().to_owned()
    };
    let stranger = Cast::new(1);
    let table: Vec<(&str, String, &str)> = vec![
        ("a changed byte", bend(honest.wire(), 1, 70), "bad-signature"),
        (
            "another shop's key",
            stranger.sign_bill(nodpay_core::Bill::clone(&honest)).wire().to_owned(),
            "bad-signature",
        ),
        (
            "a dearer line",
            bent(|bill| {
                bill.lines[0].unit_price = minor(851);
                bill.lines[0].amount = minor(851);
            }),
            "bad-requote",
        ),
        ("another line", bent(|bill| bill.lines[0].name = Text::new("x").expect("a text")), "bad-requote"),
        ("another predecessor", bent(|bill| bill.replaces = Some(some_digest(9))), "bad-requote"),
        ("another bill", bent(|bill| bill.bill = BillId::from_bytes([0x99; 16])), "bad-requote"),
        ("the first revision", bill.wire().to_owned(), "bad-requote"),
        (
            "more struck than asked",
            cast.requote(&bill, &[line_id("3"), line_id("4")], 2).wire().to_owned(),
            "bad-strike",
        ),
        ("less struck than asked", cast.requote(&bill, &[], 2).wire().to_owned(), "bad-strike"),
        ("another revision", cast.requote(&bill, &[line_id("3")], 3).wire().to_owned(), "wrong-revision"),
    ];
    for (name, wire, code) in table {
        refused(&app, &household, name, || answer(&wire), 422, code);
    }
    refused(
        &app,
        &household,
        "long words",
        || app.merchant_post(&path, &json!({ "refused": "x".repeat(61) })),
        400,
        "malformed-request",
    );
    refused(
        &app,
        &household,
        "hidden words",
        || app.merchant_post(&path, &json!({ "refused": "a\u{2066}b" })),
        400,
        "malformed-request",
    );
    let unknown = "/api/merchant/requotes/AAAAAAAAAAAAAAAAAAAAAA";
    refused(
        &app,
        &household,
        "an unknown ask",
        || app.merchant_post(unknown, &json!({ "refused": "no" })),
        404,
        "ask-unknown",
    );
    answer(honest.wire()).ok();
    refused(
        &app,
        &household,
        "an answered ask",
        || app.merchant_post(&path, &json!({ "refused": "no" })),
        409,
        "ask-closed",
    );

    refused(&app, &household, "a decision over the first revision", || decide(None, &[], 3_650), 409, "stale-bill");
    refused(
        &app,
        &household,
        "a refusal of the first revision",
        || {
            let decision = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
            app.decide_wire(&household, &order, &cast.sign_decision(&decision))
        },
        409,
        "stale-bill",
    );
    strike(json!(["4"])).ok();
    let ask = till.wait_for("requote").data;
    let newer = cast.requote(
        &bill,
        &[line_id("4")],
        u32::try_from(ask["revision"].as_u64().expect("a number")).expect("small"),
    );
    let path = format!("/api/merchant/requotes/{}", ask["ask"].as_str().expect("an id"));
    app.merchant_post(&path, &json!({ "bill": newer.wire() })).ok();
    refused(
        &app,
        &household,
        "a decision over an old requote",
        || decide(Some(&honest), &["3"], honest.total.get()),
        409,
        "stale-bill",
    );
    refused(
        &app,
        &household,
        "another strike than the requote's",
        || decide(Some(&newer), &["3"], newer.total.get()),
        422,
        "bad-strike",
    );
    decide(Some(&newer), &["4"], newer.total.get()).ok();
    refused(&app, &household, "a strike after the decision", || strike(json!(["3"])), 409, "already-decided");
}

#[test]
fn payments_cancels_and_results() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let stranger = Cast::new(1);
    let (bill, order) = app.ordered(&household, 1);
    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve));
    let (decision, ..) = verify_decision(&wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    let pay = |wire: &str| app.watch_post(cast, &order, "payment", wire);
    let honest = cast.payment(&order, &decision);
    refused(&app, &household, "a payment before the nod", || pay(honest.wire()), 409, "order-not-approved");
    refused(
        &app,
        &household,
        "a result before the end",
        || app.watch_post(cast, &order, "result", honest.wire()),
        409,
        "order-not-ended",
    );
    app.decide_wire(&household, &order, &wire).ok();

    let bent = |change: &dyn Fn(&mut Payment)| {
        let mut payment = cast.payment_payload(&order, &decision);
        change(&mut payment);
        sign(Kind::Payment, payment, &cast.watch_key).expect("signs").wire().to_owned()
    };
    let foreign = sign(Kind::Payment, cast.payment_payload(&order, &decision), &stranger.watch_key).expect("signs");
    let table: Vec<(&str, String, u16, &str)> = vec![
        ("a changed byte", bend(honest.wire(), 1, 50), 422, "bad-signature"),
        ("a foreign key", foreign.wire().to_owned(), 422, "bad-signature"),
        ("another kind", order.wire().to_owned(), 400, "wrong-message-kind"),
        ("another order", bent(&|payment| payment.order = some_digest(9)), 422, "other-order"),
        ("another decision", bent(&|payment| payment.decision = Some(some_digest(9))), 422, "other-decision"),
        (
            "another payment id",
            bent(&|payment| payment.payment = nodpay_core::PaymentId::from_bytes([9; 16])),
            422,
            "other-payment",
        ),
        ("another bill", bent(&|payment| payment.bill = some_digest(9)), 422, "other-bill"),
        ("another payee", bent(&|payment| payment.payee = some_digest(9)), 422, "other-payee"),
        ("a higher total", bent(&|payment| payment.total = cny(3_651)), 422, "wrong-total"),
        ("another household", bent(&|payment| payment.household = stranger.household), 422, "other-household"),
        ("another watch", bent(&|payment| payment.watch = stranger.watch), 422, "other-watch"),
        ("an unknown log head", bent(&|payment| payment.log_head = some_digest(9)), 422, "unknown-log-head"),
    ];
    for (name, wire, status, code) in table {
        refused(&app, &household, name, || pay(&wire), status, code);
    }
    let other = cast.order(&bill, 9);
    refused(
        &app,
        &household,
        "an unknown order",
        || app.watch_post(cast, &other, "payment", honest.wire()),
        404,
        "order-unknown",
    );
    let neighbour = app.add_household(Cast::new(1), 5_000);
    let elsewhere = format!("/api/watch/{}/orders/{}/payment", neighbour.cast.watch, order.order);
    refused(
        &app,
        &household,
        "another watch's address",
        || app.post_wire(&elsewhere, &[], honest.wire()),
        404,
        "order-unknown",
    );
    let foreign =
        sign(Kind::Cancel, nodpay_core::Cancel::clone(&cast.cancel(&order)), &stranger.watch_key).expect("signs");
    refused(
        &app,
        &household,
        "a foreign cancel",
        || app.watch_post(cast, &order, "cancel", foreign.wire()),
        422,
        "bad-signature",
    );

    pay(honest.wire()).ok();
    assert_eq!(pay(honest.wire()).status, 202, "the same again is the same");
    assert_eq!(app.balance(&household), (16_350, 0));
    let again = bent(&|payment| payment.at = payment.at.plus_ms(1));
    refused(&app, &household, "a second payment", || pay(&again), 409, "order-ended");
    refused(
        &app,
        &household,
        "a cancel after the payment",
        || app.watch_post(cast, &order, "cancel", cast.cancel(&order).wire()),
        409,
        "order-ended",
    );
    refused(
        &app,
        &household,
        "a decision after the end",
        || {
            let late = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
            app.decide_wire(&household, &order, &cast.sign_decision(&late))
        },
        409,
        "order-ended",
    );

    let mut invented = cast.outcome_payload(&order, nodpay_core::OutcomeKind::Paid, decision.total);
    invented.decision = Some(decision.digest());
    let lie = cast.result(&order, &cast.sign_outcome(invented));
    refused(
        &app,
        &household,
        "a result of another outcome",
        || app.watch_post(cast, &order, "result", lie.wire()),
        422,
        "other-outcome",
    );
    refused(
        &app,
        &household,
        "a changed result",
        || app.watch_post(cast, &order, "result", &bend(lie.wire(), 1, 30)),
        422,
        "bad-signature",
    );
}

#[test]
fn bills() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let bent = |change: &dyn Fn(&mut nodpay_core::Bill)| {
        let mut bill = cast.bill_payload(1, Reduction::LinesSum, Vec::new());
        change(&mut bill);
        cast.sign_bill(bill).wire().to_owned()
    };
    let totalled = |change: &dyn Fn(&mut nodpay_core::Bill)| {
        bent(&|bill| {
            change(bill);
            retotal(bill);
        })
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bill = serde_json::to_value(cast.bill_payload(1, Reduction::LinesSum, Vec::new())).expect("JSON");
        change(&mut bill);
        sign(Kind::Bill, bill, &cast.merchant_key).expect("signs").wire().to_owned()
    };
    let max = nodpay_core::MAX_MINOR;
    let year = 366 * 24 * HOUR_MS;
    let table: Vec<(&str, String, u16, &str)> = vec![
        ("a wrong total", bent(&|bill| bill.total = minor(1)), 422, "bad-bill"),
        ("a wrong line amount", totalled(&|bill| bill.lines[0].amount = minor(1)), 422, "bad-bill"),
        ("no lines", totalled(&|bill| bill.lines.clear()), 422, "bad-bill"),
        (
            "65 lines",
            totalled(&|bill| bill.lines = (0..65).map(|n| line(&n.to_string(), "x", 1, 1)).collect()),
            422,
            "bad-bill",
        ),
        ("a repeated line", totalled(&|bill| bill.lines[1].id = line_id("1")), 422, "bad-bill"),
        (
            "no quantity",
            totalled(&|bill| {
                bill.lines[0].quantity = 0;
                bill.lines[0].amount = Minor::ZERO;
            }),
            422,
            "bad-bill",
        ),
        ("10,000 of one", totalled(&|bill| bill.lines[0] = line("1", "x", 10_000, 1)), 422, "bad-bill"),
        ("a negative price", totalled(&|bill| bill.lines[0] = line("1", "x", 1, -1)), 422, "bad-bill"),
        (
            "a total past the bound",
            bent(&|bill| {
                bill.lines = vec![line("1", "x", 1, max), line("2", "x", 1, max)];
                bill.total = minor(max);
            }),
            422,
            "bad-bill",
        ),
        (
            "an amount past the bound",
            with(&|bill| bill["lines"][0]["amount"] = json!(max + 1)),
            400,
            "malformed-payload",
        ),
        ("a fraction", with(&|bill| bill["total"] = json!(1.5)), 400, "malformed-payload"),
        ("nothing to pay", totalled(&|bill| bill.lines = vec![line("1", "x", 1, 0)]), 422, "bad-bill"),
        (
            "a bidi override in a name",
            with(&|bill| bill["lines"][0]["name"] = json!("a\u{202E}b")),
            400,
            "malformed-payload",
        ),
        (
            "an invisible character in a name",
            with(&|bill| bill["lines"][0]["name"] = json!("a\u{2060}b")),
            400,
            "malformed-payload",
        ),
        ("a long name", with(&|bill| bill["lines"][0]["name"] = json!("a".repeat(61))), 400, "malformed-payload"),
        ("an unknown currency", with(&|bill| bill["currency"] = json!("XYZ")), 400, "malformed-payload"),
        ("another currency", bent(&|bill| bill.currency = nodpay_core::Currency::EUR), 422, "currency-not-supported"),
        (
            "a later revision",
            bent(&|bill| {
                bill.revision = 2;
                bill.replaces = Some(some_digest(1));
            }),
            422,
            "not-first-revision",
        ),
        ("over before it began", bent(&|bill| bill.valid_until = bill.issued), 422, "bad-bill"),
        ("over a day", bent(&|bill| bill.valid_until = bill.issued.plus_ms(24 * HOUR_MS + 1)), 422, "bad-bill-life"),
        ("another merchant", bent(&|bill| bill.merchant = MerchantId::from_bytes([0x99; 16])), 422, "other-merchant"),
        ("another certificate", bent(&|bill| bill.certificate = some_digest(9)), 422, "other-merchant"),
        (
            "made after the certificate",
            bent(&|bill| {
                bill.issued = bill.issued.plus_ms(year);
                bill.valid_until = bill.valid_until.plus_ms(year);
            }),
            422,
            "certificate-not-valid",
        ),
        ("another key", Cast::new(1).bill(1).wire().to_owned(), 422, "bad-signature"),
        ("a changed byte", bend(cast.bill(1).wire(), 1, 99), 422, "bad-signature"),
    ];
    for (name, wire, status, code) in table {
        refused(&app, &household, name, || app.post_merchant_wire(&wire), status, code);
    }
    app.post_bill(&cast.bill(1)).ok();
    assert_eq!(app.post_bill(&cast.bill(1)).status, 201, "the same again is the same");
    let other = totalled(&|bill| bill.lines.truncate(2));
    refused(&app, &household, "its id again", || app.post_merchant_wire(&other), 409, "bill-exists");
    let wire = cast.bill(2).wire().to_owned();
    let key = ("authorization", "Bearer ndp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for headers in [vec![], vec![key], vec![("authorization", "Bearer x")], vec![("cookie", "nodpay_till=x")]] {
        refused(
            &app,
            &household,
            "no key",
            || app.post_wire("/api/merchant/bills", &headers, &wire),
            401,
            "merchant-key-missing",
        );
    }
    app.clock.set(cast.certificate.not_after);
    refused(
        &app,
        &household,
        "a certificate that is over",
        || app.post_merchant_wire(&wire),
        409,
        "certificate-not-valid",
    );
}

#[test]
fn codes_a_watch_scans() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let scan = |number: u8| {
        let path = format!("/api/watch/{}/bills/{}", cast.watch, BillId::from_bytes([number; 16]));
        app.watch_get(cast, &path)
    };
    refused(&app, &household, "unknown", || scan(1), 404, "bill-unknown");
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    refused(&app, &household, "paid", || scan(1), 409, "bill-already-paid");
    app.post_bill(&cast.bill(2)).ok();
    app.merchant_post(&format!("/api/merchant/bills/{}/cancel", BillId::from_bytes([2; 16])), &json!({})).ok();
    refused(&app, &household, "cancelled", || scan(2), 409, "bill-cancelled");
    app.post_bill(&cast.bill(3)).ok();
    app.clock.advance_ms(15 * 60_000);
    refused(&app, &household, "expired", || scan(3), 410, "bill-expired");
}

#[test]
fn proofs_of_a_watchs_key() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let path = format!("/api/watch/{}/state?from=0", cast.watch);
    let proof = |method: &str, path: &str, now: Timestamp| {
        sign_request(method, path, now, app.nonce(), &cast.watch_key).expect("signs")
    };
    let now = app.now();
    let used = proof("GET", &path, now);
    assert_eq!(app.get(&path, &[("dpop", &used)]).status, 200);
    let foreign = sign_request("GET", &path, now, app.nonce(), &Cast::new(1).watch_key).expect("signs");
    let table: Vec<(&str, String, &str)> = vec![
        ("used before", used, "proof-reused"),
        ("another path", proof("GET", "/api/watch/x/state", now), "proof-other-request"),
        ("another query", proof("GET", &path.replace("from=0", "from=1"), now), "proof-other-request"),
        ("another method", proof("POST", &path, now), "proof-other-request"),
        ("a foreign key", foreign, "bad-signature"),
        ("a changed byte", bend(&proof("GET", &path, now), 1, 20), "bad-signature"),
        ("hours behind", proof("GET", &path, now.plus_ms(-3 * HOUR_MS)), "proof-age"),
        ("hours ahead", proof("GET", &path, now.plus_ms(3 * HOUR_MS)), "proof-age"),
        ("not a proof", "x".to_owned(), "malformed-message"),
    ];
    for (name, proof, code) in table {
        refused(&app, &household, name, || app.get(&path, &[("dpop", &proof)]), 401, code);
    }
    refused(&app, &household, "none", || app.get(&path, &[]), 401, "proof-missing");
    // A watch whose clock is off by hours learns the offset and goes on.
    let told = app.get(&path, &[("dpop", &proof("GET", &path, now.plus_ms(-3 * HOUR_MS)))]);
    assert_eq!(told.body["now"], json!(now));
    let right = Timestamp::from_unix_ms(told.body["now"].as_i64().expect("a time"));
    assert_eq!(app.get(&path, &[("dpop", &proof("GET", &path, right))]).status, 200);
}

#[test]
fn a_watch_whose_clock_is_off_by_hours_still_pays() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    for (number, off_ms) in [(1, 5 * HOUR_MS), (2, -5 * HOUR_MS)] {
        let bill = cast.bill(number);
        app.post_bill(&bill).ok();
        let mut order = cast.order_payload(&bill, number);
        order.created = order.created.plus_ms(off_ms);
        order.expires = order.expires.plus_ms(off_ms);
        order.wearer_check.at = order.wearer_check.at.plus_ms(off_ms);
        let order = cast.sign_order(order);
        assert_eq!(app.place(cast, &order).ok()["expires_in_ms"], 10 * 60_000);
        let decision = app.approve(&household, &order, &bill);
        let mut payment = cast.payment_payload(&order, &decision);
        payment.at = payment.at.plus_ms(off_ms);
        let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
        app.watch_post(cast, &order, "payment", payment.wire()).ok();
        assert_eq!(app.order_state(&household, &order), "paid");
    }
}

#[test]
fn logs_and_pairings() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let stranger = Cast::new(1);
    let pages = app.pages(&household.cookie);
    let append = |body: &Value| app.post("/api/guardian/log", &pages, body);
    let entry = |change: &dyn Fn(&mut LogEntry)| {
        let mut watch = cast.enrolled_watch();
        watch.watch = WatchId::from_bytes([0x55; 16]);
        watch.key = nodpay_protocol::Signer::public_key(&nodpay_testkit::key(0x55));
        let mut entry = cast.next_entry(Entry::EnrolWatch(watch));
        change(&mut entry);
        cast.passkey.assert(AssertionKind::Log, &entry)
    };
    // From the least time and the most money that a household has by default.
    let cap = |entry: &mut LogEntry, longer_ms: i64, more: i64| {
        let until = entry.at.plus_ms(NEW_WATCH_COOLING_OFF_MS + longer_ms);
        if let Entry::EnrolWatch(watch) = &mut entry.entry {
            watch.new_watch_cap = NewWatchCap { until, per_payment: cny(20_000 + more) };
        }
    };
    let named = |wire: String| json!({ "entry": wire, "wearer": cast.wearer_name, "pairing": cast.pairing });
    assert_eq!(append(&named(cast.log[1].clone())).status, 202, "the same again is the same");
    let mut other_name = cast.wearer_name.clone();
    other_name.name = Text::new("Eve").expect("a name");
    let foreign = stranger.passkey.assert(AssertionKind::Log, &cast.next_entry(Entry::RemoveWatch(cast.watch)));
    let table: Vec<(&str, Value, u16, &str)> = vec![
        ("a foreign guardian", json!({ "entry": foreign }), 403, "unknown-guardian"),
        ("a changed byte", named(bend(&entry(&|_| {}), 0, 50)), 422, "wrong-challenge"),
        ("an old number", named(entry(&|entry| entry.seq = 1)), 409, "log-conflict"),
        ("a number ahead", named(entry(&|entry| entry.seq = 9)), 409, "log-conflict"),
        ("another predecessor", named(entry(&|entry| entry.prev = Some(some_digest(9)))), 409, "log-conflict"),
        ("another household", named(entry(&|entry| entry.household = stranger.household)), 422, "other-household"),
        (
            "a second founding",
            json!({ "entry": entry(&|entry| entry.entry = Entry::Found(cast.passkey.guardian.clone())) }),
            422,
            "bad-log-entry",
        ),
        (
            "a watch that is not there",
            json!({ "entry": entry(&|entry| entry.entry = Entry::RemoveWatch(stranger.watch)) }),
            422,
            "bad-log-entry",
        ),
        ("a watch kept short for less than a day", named(entry(&|entry| cap(entry, -1, 0))), 422, "bad-log-entry"),
        ("a watch that may pay more than usual", named(entry(&|entry| cap(entry, 0, 1))), 422, "bad-log-entry"),
        ("no pairing", json!({ "entry": entry(&|_| {}), "wearer": cast.wearer_name }), 422, "pairing-missing"),
        ("a pairing that is done", named(entry(&|_| {})), 422, "pairing-mismatch"),
        (
            "another name",
            json!({ "entry": entry(&|_| {}), "wearer": other_name, "pairing": cast.pairing }),
            422,
            "name-mismatch",
        ),
        ("not an entry", json!({ "entry": "x" }), 400, "malformed-message"),
        ("nothing", json!({}), 400, "malformed-request"),
    ];
    for (name, body, status, code) in table {
        let before = app.snapshot(&household);
        let answer = append(&body);
        // A done pairing is refused as closed or as claimed by another watch.
        let codes = if name == "a pairing that is done" { vec![code, "pairing-closed"] } else { vec![code] };
        let expected = answer.status == status || answer.code() == "pairing-closed";
        let codes = if name == "another household" { vec![code, "bad-log-entry"] } else { codes };
        assert!(expected && codes.contains(&answer.code()), "{name}: {}", answer.text);
        assert_eq!(app.snapshot(&household), before, "{name}");
    }

    let opened = app.post("/api/guardian/pairings", &pages, &json!({})).ok();
    let mut second = Cast::new(2);
    second.household = cast.household;
    second.pairing = opened["pairing"].as_str().expect("an id").parse().expect("an id");
    let path = format!("/api/pairings/{}/claim", second.pairing);
    let claim = |claimer: &Cast, path: &str| {
        app.post(path, &[], &json!({ "key": nodpay_protocol::Signer::public_key(&claimer.watch_key), "claim": claimer.pairing_claim().wire() }))
    };
    let mut elsewhere = Cast::new(2);
    elsewhere.household = cast.household;
    claim(&elsewhere, &path).refused(422, "other-pairing");
    let stolen = json!({ "key": nodpay_protocol::Signer::public_key(&stranger.watch_key), "claim": second.pairing_claim().wire() });
    app.post(&path, &[], &stolen).refused(422, "bad-signature");
    let mut unknown = Cast::new(2);
    unknown.household = cast.household;
    claim(&unknown, &format!("/api/pairings/{}/claim", unknown.pairing)).refused(404, "pairing-unknown");
    assert_eq!(claim(&second, &path).status, 202);
    assert_eq!(claim(&second, &path).status, 202, "the same again is the same");
    let mut rival = Cast::new(3);
    rival.household = cast.household;
    rival.pairing = second.pairing;
    claim(&rival, &path).refused(409, "pairing-taken");
    // A pending watch may wait, not read.
    let waits = app.watch_get(&second, &format!("/api/watch/{}/state?from=0", second.watch)).ok();
    assert_eq!((&waits["log"], &waits["balance"], &waits["order"]), (&json!([]), &Value::Null, &Value::Null));
    let scan = format!("/api/watch/{}/bills/{}", second.watch, BillId::from_bytes([1; 16]));
    app.watch_get(&second, &scan).refused(404, "unknown-watch");
    let view = app.guardian_get(&household, &format!("/api/guardian/pairings/{}", second.pairing)).ok();
    assert_eq!((&view["state"], &view["watch"]), (&json!("claimed"), &json!(second.watch)));
    app.clock.advance_ms(30 * 60_000);
    append(&named(entry(&|_| {}))).refused(422, "entry-time");
    rival.pairing = app.post("/api/guardian/pairings", &pages, &json!({})).ok()["pairing"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id");
    app.clock.advance_ms(30 * 60_000);
    claim(&rival, &format!("/api/pairings/{}/claim", rival.pairing)).refused(410, "pairing-expired");
    let view = app.guardian_get(&household, &format!("/api/guardian/pairings/{}", second.pairing)).ok();
    assert_eq!(view["state"], "expired");
    let neighbour = app.add_household(Cast::new(1), 0);
    app.guardian_get(&neighbour, &format!("/api/guardian/pairings/{}", second.pairing)).refused(404, "pairing-unknown");
}

#[test]
fn invitations_and_logins() {
    let app = TestApp::start();
    let cast = Cast::new(0);
    let named = |invitation: &str, entry: &str, name: &PersonName| {
        let body = json!({ "invitation": invitation, "entry": entry, "name": name, "currency": "CNY" });
        app.post("/api/guardian/found", &[("origin", ORIGIN)], &body)
    };
    let found = |invitation: &str, entry: &str| named(invitation, entry, &cast.passkey.name);
    let unknown = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    found(unknown, &cast.log[0]).refused(403, "invitation-unknown");
    found("x", &cast.log[0]).refused(400, "malformed-request");
    let guardian = || app.invite(nodpay_store::InvitationKind::Guardian);
    let mut demo = SoftPasskey::new(5, rp());
    demo.demo = true;
    let invitation = guardian();
    found(&invitation, &demo.assert(AssertionKind::Log, &cast.founding())).refused(403, "demo-key-refused");
    found(&invitation, &cast.log[1]).refused(422, "bad-log-entry");
    found(&invitation, &bend(&cast.log[0], 4, 20)).refused(422, "bad-signature");
    let body = json!({ "invitation": invitation, "entry": cast.log[0], "currency": "CNY" });
    app.post("/api/guardian/found", &[], &body).refused(403, "foreign-origin");
    app.post("/api/guardian/found", &[("origin", "https://evil.example")], &body).refused(403, "foreign-origin");
    app.enrol(&invitation, &cast.merchant_key).refused(403, "invitation-unknown");
    assert_eq!(found(&invitation, &cast.log[0]).status, 200);
    let neighbour = Cast::new(1);
    named(&invitation, &neighbour.log[0], &neighbour.passkey.name).refused(403, "invitation-used");
    let other = SoftPasskey::new(9, rp());
    let mut entry = cast.founding();
    entry.guardian = other.guardian.guardian;
    entry.entry = Entry::Found(other.guardian.clone());
    let entry = other.assert(AssertionKind::Log, &entry);
    named(&guardian(), &entry, &cast.passkey.name).refused(422, "name-mismatch");
    named(&guardian(), &entry, &other.name).refused(409, "household-exists");
    let late = guardian();
    app.clock.advance_ms(nodpay_service::admin::INVITATION_LIFE_MS);
    named(&late, &neighbour.log[0], &neighbour.passkey.name).refused(410, "invitation-expired");

    let answer =
        |assertion: String| app.post("/api/guardian/login", &[("origin", ORIGIN)], &json!({ "assertion": assertion }));
    let challenge = || {
        let body = app.post("/api/guardian/login-challenge", &[("origin", ORIGIN)], &json!({})).ok();
        let challenge: nodpay_core::Bytes<32, 32> = body["challenge"].as_str().expect("text").parse().expect("bytes");
        challenge.as_bytes().to_vec()
    };
    let by = |passkey: &SoftPasskey, payload: Vec<u8>| passkey.assert_bytes(AssertionKind::Login, payload).to_wire();
    let once = by(&cast.passkey, challenge());
    assert_eq!(answer(once.clone()).status, 200);
    answer(once).refused(401, "login-unknown");
    answer(by(&cast.passkey, vec![7; 32])).refused(401, "login-unknown");
    answer(by(&cast.passkey, vec![7; 31])).refused(401, "login-unknown");
    answer(by(&Cast::new(1).passkey, challenge())).refused(403, "unknown-guardian");
    let late = by(&cast.passkey, challenge());
    app.clock.advance_ms(5 * 60_000);
    answer(late).refused(401, "login-unknown");
    let decision = cast.passkey.assert_bytes(AssertionKind::Decision, challenge()).to_wire();
    answer(decision).refused(422, "wrong-challenge");
    for _ in 0..10 {
        answer(by(&cast.passkey, vec![7; 32]));
    }
    let told = answer(by(&cast.passkey, challenge())).refused(429, "too-many-tries");
    app.clock.advance_ms(told["retry_ms"].as_i64().expect("a time"));
    assert_eq!(login(&app, &cast).status, 200);
}

#[test]
fn a_passkey_whose_counter_does_not_rise_is_refused() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let decide = |number: u8, counter: u32| {
        let bill = cast.bill(number);
        app.post_bill(&bill).ok();
        let order = cast.order(&bill, number);
        app.place(cast, &order).ok();
        let decision = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
        let payload = serde_json::to_vec(&decision).expect("JSON");
        let mut assertion = cast.passkey.assert_bytes(AssertionKind::Decision, payload);
        assertion.authenticator_data[33..].copy_from_slice(&counter.to_be_bytes());
        resign(&mut assertion, &cast.passkey.key);
        let answer = app.decide_wire(&household, &order, &assertion.to_wire());
        (answer, order)
    };
    decide(1, 7).0.ok();
    let (answer, order) = decide(2, 7);
    answer.refused(401, "counter-replayed");
    assert_eq!(app.order_state(&household, &order), "waiting");
    app.watch_post(cast, &order, "cancel", cast.cancel(&order).wire()).ok();
    decide(3, 8).0.ok();
}
