//! Every route of the API and the pages × every kind of caller: who is let in, and who is not. A route that is not in the table fails.

use nodpay_core::Verdict;
use nodpay_service::rails::RailFiles;
use nodpay_service::{PAGE_ROUTES, ROUTES, Role};
use nodpay_testkit::Cast;
use serde_json::json;

use crate::app::{Household, ORIGIN, Setup, TestApp, login};
use crate::stripe_double::{WEBHOOK_SECRET, sign};

/// The door's own refusals: whoever is let in gets past it, which is any other answer.
const DOOR: [&str; 6] =
    ["proof-missing", "bad-signature", "not-logged-in", "merchant-key-missing", "foreign-origin", "stripe-signature"];

/// What a route is sent, so that it looks for what its path names.
enum Send {
    /// Nothing, or something that is no request.
    Junk,
    Empty,
    Struck,
    Decision,
}

use Role::{Guardian, Merchant, OwnPage, Public, Stripe, WatchMessage, WatchProof};

/// Every route, whom it is for, and what it is sent. Here by hand: a route that somebody adds or opens up is noticed.
const TABLE: &[(&str, &str, Role, Send)] = &[
    ("get", "/healthz", Public, Send::Junk),
    ("get", "/readyz", Public, Send::Junk),
    ("get", "/metrics", Public, Send::Junk),
    ("get", "/api/service", Public, Send::Junk),
    ("post", "/api/pairings/{pairing}/claim", WatchMessage, Send::Junk),
    ("get", "/api/watch/{watch}/state", WatchProof, Send::Junk),
    ("get", "/api/watch/{watch}/events", WatchProof, Send::Junk),
    ("get", "/api/watch/{watch}/bills/{bill}", WatchProof, Send::Junk),
    ("post", "/api/watch/{watch}/pin", WatchMessage, Send::Junk),
    ("post", "/api/watch/{watch}/payee", WatchProof, Send::Junk),
    ("post", "/api/watch/{watch}/bills", WatchMessage, Send::Junk),
    ("post", "/api/watch/{watch}/orders", WatchMessage, Send::Junk),
    ("post", "/api/watch/{watch}/orders/{order}/payment", WatchMessage, Send::Junk),
    ("post", "/api/watch/{watch}/orders/{order}/cancel", WatchMessage, Send::Junk),
    ("post", "/api/watch/{watch}/orders/{order}/result", WatchMessage, Send::Junk),
    ("post", "/api/guardian/found", OwnPage, Send::Junk),
    ("post", "/api/guardian/login-challenge", OwnPage, Send::Junk),
    ("post", "/api/guardian/login", OwnPage, Send::Junk),
    ("post", "/api/guardian/logout", Guardian, Send::Junk),
    ("get", "/api/guardian/sessions", Guardian, Send::Junk),
    ("post", "/api/guardian/sessions/end-others", Guardian, Send::Junk),
    ("post", "/api/guardian/sessions/{session}/end", Guardian, Send::Empty),
    ("get", "/api/guardian/household", Guardian, Send::Junk),
    ("get", "/api/guardian/archive", Guardian, Send::Junk),
    ("get", "/api/households/{household}/erased", Public, Send::Junk),
    ("get", "/api/guardian/wallet", Guardian, Send::Junk),
    ("post", "/api/guardian/wallet/top-ups", Guardian, Send::Junk),
    ("get", "/api/guardian/events", Guardian, Send::Junk),
    ("get", "/api/guardian/orders", Guardian, Send::Junk),
    ("get", "/api/guardian/orders/{order}", Guardian, Send::Empty),
    ("get", "/api/guardian/orders/{order}/evidence", Guardian, Send::Empty),
    ("get", "/api/guardian/orders/{order}/spending", Guardian, Send::Empty),
    ("get", "/api/guardian/history", Guardian, Send::Junk),
    ("get", "/api/guardian/shops", Guardian, Send::Junk),
    ("get", "/api/guardian/export", Guardian, Send::Junk),
    ("get", "/app/month/{month}", Guardian, Send::Empty),
    ("post", "/api/guardian/away", Guardian, Send::Junk),
    ("get", "/api/guardian/push", Guardian, Send::Junk),
    ("post", "/api/guardian/push", Guardian, Send::Junk),
    ("post", "/api/guardian/push/remove", Guardian, Send::Junk),
    ("post", "/api/guardian/push/test", Guardian, Send::Junk),
    ("post", "/api/guardian/orders/{order}/strike", Guardian, Send::Struck),
    ("post", "/api/guardian/orders/{order}/decision", Guardian, Send::Decision),
    ("post", "/api/guardian/log", Guardian, Send::Junk),
    ("post", "/api/guardian/rules/test", Guardian, Send::Junk),
    ("post", "/api/guardian/pairings", Guardian, Send::Junk),
    ("get", "/api/guardian/pairings/{pairing}", Guardian, Send::Empty),
    ("post", "/api/guardian/pairings/{pairing}/close", Guardian, Send::Empty),
    ("post", "/api/guardian/freeze", Guardian, Send::Junk),
    ("post", "/app/freeze", Guardian, Send::Junk),
    ("post", "/api/guardian/joins", Guardian, Send::Junk),
    ("get", "/api/guardian/joins/{pairing}", Guardian, Send::Empty),
    ("post", "/api/guardian/joins/{pairing}/close", Guardian, Send::Empty),
    ("post", "/api/joins/{pairing}/claim", OwnPage, Send::Junk),
    ("get", "/api/joins/{pairing}", Public, Send::Junk),
    ("post", "/api/recovery/start", OwnPage, Send::Junk),
    ("post", "/api/recovery", OwnPage, Send::Junk),
    ("post", "/api/rails/stripe", Stripe, Send::Junk),
    ("post", "/api/merchant/enrol", OwnPage, Send::Junk),
    ("get", "/api/merchant", Merchant, Send::Junk),
    ("put", "/api/merchant/goods", Merchant, Send::Junk),
    ("get", "/api/merchant/events", Merchant, Send::Junk),
    ("post", "/api/merchant/bills", Merchant, Send::Junk),
    ("get", "/api/merchant/bills/{bill}", Merchant, Send::Junk),
    ("post", "/api/merchant/bills/{bill}/cancel", Merchant, Send::Junk),
    ("get", "/api/merchant/bills/{bill}/refunds", Merchant, Send::Junk),
    ("post", "/api/merchant/bills/{bill}/refunds", Merchant, Send::Junk),
    ("get", "/api/merchant/statement", Merchant, Send::Junk),
    ("post", "/api/merchant/requotes/{ask}", Merchant, Send::Junk),
    ("get", "/", Public, Send::Junk),
    ("get", "/join", Public, Send::Junk),
    ("get", "/app", Public, Send::Junk),
    ("get", "/newcomer", Public, Send::Junk),
    ("get", "/recover", Public, Send::Junk),
    ("get", "/till", Public, Send::Junk),
    ("get", "/demo", Public, Send::Junk),
    ("get", "/static/{*path}", Public, Send::Junk),
    ("get", "/sw.js", Public, Send::Junk),
    ("get", "/manifest.webmanifest", Public, Send::Junk),
    ("get", "/offline/{version}/{*path}", Public, Send::Junk),
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Nobody,
    AnotherSite,
    OurPage,
    Guardian,
    GuardianThroughAnotherSite,
    OtherHouseholdsGuardian,
    RemovedGuardian,
    Watch,
    OtherWatch,
    Merchant,
    Till,
    TillThroughAnotherSite,
    Stripe,
}

use Caller as C;

const CALLERS: [Caller; 13] = [
    C::Nobody,
    C::AnotherSite,
    C::OurPage,
    C::Guardian,
    C::GuardianThroughAnotherSite,
    C::OtherHouseholdsGuardian,
    C::RemovedGuardian,
    C::Watch,
    C::OtherWatch,
    C::Merchant,
    C::Till,
    C::TillThroughAnotherSite,
    C::Stripe,
];

/// Whether the door opens.
fn lets_in(role: Role, caller: Caller, reads: bool) -> bool {
    let from_our_page =
        matches!(caller, C::OurPage | C::Guardian | C::OtherHouseholdsGuardian | C::RemovedGuardian | C::Till);
    match role {
        Role::Public | Role::WatchMessage => true,
        Role::OwnPage => from_our_page,
        Role::WatchProof => caller == C::Watch,
        // No other site's page can read the answer, nor does a browser send it the cookie.
        Role::Guardian => {
            matches!(caller, C::Guardian | C::OtherHouseholdsGuardian)
                || (caller == C::GuardianThroughAnotherSite && reads)
        }
        Role::Merchant => matches!(caller, C::Merchant | C::Till) || (caller == C::TillThroughAnotherSite && reads),
        Role::Stripe => caller == C::Stripe,
    }
}

#[test]
fn each_route_lets_in_whom_it_is_for() {
    let routed: Vec<_> = ROUTES.iter().chain(PAGE_ROUTES).map(|route| (route.method, route.path, route.role)).collect();
    let listed: Vec<_> = TABLE.iter().map(|(method, path, role, _)| (*method, *path, *role)).collect();
    for route in &routed {
        assert!(listed.contains(route), "{route:?} is not in the table of this test");
    }
    for route in &listed {
        assert!(routed.contains(route), "{route:?} is not routed");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, WEBHOOK_SECRET).expect("a file");
    let rails = RailFiles { stripe_webhook_secret: Some(secret), ..RailFiles::default() };
    // The demo has a page more.
    let app = TestApp::start_with(Setup { rails, demo: true, ..Setup::default() });
    app.add_merchant(&Cast::new(0));
    let (mut one, other) = (app.add_household(Cast::new(0), 20_000), app.add_household(Cast::new(1), 0));
    let removed = crate::guardians::a_removed_guardian(&app, &mut one);
    let (bill, order) = app.ordered(&one, 1);
    let decision = one.cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
    let decision = one.cast.sign_decision(&decision);
    let (merchant_name, merchant_key) = TestApp::merchant_header();
    let till = app.enrol(&app.invite(nodpay_store::InvitationKind::Till(one.cast.merchant)), &one.cast.merchant_key);
    let till = till.cookie.expect("a session");
    let [pairing, join] = ["pairings", "joins"].map(|kind| {
        let opened = app.post(&format!("/api/guardian/{kind}"), &app.pages(&one.cookie), &json!({})).ok();
        opened["pairing"].as_str().expect("an id").to_owned()
    });
    let worker = app.get("/sw.js", &[]).text;
    let version = worker.split_once("/offline/").and_then(|(_, rest)| rest.split('/').next()).expect("a version");
    for (method, pattern, role, send) in TABLE {
        // Logging out ends the session: each route gets its own.
        let [guardian, theirs] =
            [&one, &other].map(|household| login(&app, &household.cast).cookie.expect("a session"));
        app.clock.advance_ms(3_000);
        let sessions = app.get("/api/guardian/sessions", &[("cookie", &guardian)]).ok();
        let session = sessions["sessions"].as_array().expect("a list").iter().find(|one| one["own"] == true);
        let path = pattern
            .replace("{watch}", &one.cast.watch.to_string())
            .replace("{bill}", &bill.bill.to_string())
            .replace("{order}", &order.order.to_string())
            .replace("{pairing}", if pattern.contains("joins") { &join } else { &pairing })
            .replace("{session}", session.expect("their own")["session"].as_str().expect("an id"))
            .replace("{household}", &one.cast.household.to_string())
            .replace("{ask}", "AAAAAAAAAAAAAAAAAAAAAA")
            .replace("{month}", "2026-11")
            .replace("{version}", version)
            .replace("{*path}", "css/app.css")
            .replace("/spending", &format!("/spending?day={0}&month={0}", app.now().unix_ms()));
        assert!(!path.contains('{'), "{path}: fill its parts in here");
        let body: (&str, String) = match send {
            Send::Junk => ("application/json", "{".to_owned()),
            Send::Empty => ("application/json", "{}".to_owned()),
            Send::Struck => ("application/json", json!({ "struck": ["cola"] }).to_string()),
            Send::Decision => ("application/jose", decision.clone()),
        };
        let ask = |headers: &[(&str, &str)]| match *method {
            "get" => app.get(&path, headers),
            "put" => app.send("PUT", &path, headers, body.0, body.1.as_bytes()),
            _ => app.send("POST", &path, headers, body.0, body.1.as_bytes()),
        };
        let signature = sign(WEBHOOK_SECRET, app.now().unix_ms() / 1_000, body.1.as_bytes());
        // Last who changes something.
        for caller in CALLERS.into_iter().filter(|caller| *caller != C::Guardian).chain([C::Guardian]) {
            let proof = |household: &Household| app.proof_for(&household.cast, &method.to_uppercase(), &path);
            let proof = if caller == C::OtherWatch { proof(&other) } else { proof(&one) };
            let headers: Vec<(&str, &str)> = match caller {
                C::Nobody => vec![],
                C::AnotherSite => vec![("origin", "https://evil.example")],
                C::OurPage => vec![("origin", ORIGIN)],
                C::Guardian => vec![("origin", ORIGIN), ("cookie", &guardian)],
                C::GuardianThroughAnotherSite => vec![("origin", "https://evil.example"), ("cookie", &guardian)],
                C::OtherHouseholdsGuardian => vec![("origin", ORIGIN), ("cookie", &theirs)],
                C::RemovedGuardian => vec![("origin", ORIGIN), ("cookie", &removed)],
                C::Watch | C::OtherWatch => vec![("dpop", &proof)],
                C::Merchant => vec![(merchant_name, &merchant_key)],
                C::Till => vec![("origin", ORIGIN), ("cookie", &till)],
                C::TillThroughAnotherSite => vec![("origin", "https://evil.example"), ("cookie", &till)],
                C::Stripe => vec![("stripe-signature", &signature)],
            };
            let answer = ask(&headers);
            let what = format!("{method} {path} for {caller:?}: {} {}", answer.status, answer.text);
            // A page says it in words.
            let turned_away = answer.content_type.starts_with("text/html") && answer.status == 401;
            let is_in = !turned_away && !DOOR.contains(&answer.code());
            assert_eq!(is_in, lets_in(*role, caller, *method == "get"), "{what}");
            assert!(!(answer.status == 404 && answer.code() == "not-found"), "not routed: {what}");
            assert!(answer.status != 405 && answer.status != 500, "{what}");
            if caller == C::OtherHouseholdsGuardian && *role == Role::Guardian {
                // What they name of this household is not there for them.
                let unknown = answer.status == 404 && answer.code().ends_with("-unknown");
                assert_eq!(unknown, pattern.contains('{') && !pattern.contains("{month}"), "{what}");
                assert!(!answer.text.contains(&one.cast.household.to_string()), "{what}");
            }
        }
    }
}

#[test]
fn what_is_not_in_the_table_is_not_there() {
    let app = TestApp::start();
    app.get("/api/nothing", &[]).refused(404, "not-found");
    app.get("/api/guardian/login", &[]).refused(405, "method-not-allowed");
    app.get("/api/watch/x/state", &[("dpop", "x")]).refused(404, "not-found");
}

#[test]
fn software_keys_of_the_demo_work_in_a_demo_only() {
    for demo in [true, false] {
        let app = TestApp::start_with(Setup { demo, ..Setup::default() });
        let mut cast = Cast::new(0);
        cast.passkey.demo = true;
        let founding = cast.passkey.assert(nodpay_protocol::AssertionKind::Log, &cast.founding());
        cast.log = vec![founding];
        let answer = app.found(&cast);
        match demo {
            true => assert_eq!(answer.status, 200, "{}", answer.text),
            false => {
                answer.refused(403, "demo-key-refused");
            }
        }
    }
}

#[test]
fn sessions_of_one_side_are_nothing_on_the_other() {
    let (app, household) = TestApp::furnished();
    let till = app
        .enrol(&app.invite(nodpay_store::InvitationKind::Till(household.cast.merchant)), &household.cast.merchant_key);
    let till = till.cookie.expect("a session");
    let as_guardian = till.replace("nodpay_till", "nodpay_session");
    let as_till = household.cookie.replace("nodpay_session", "nodpay_till");
    app.get("/api/guardian/household", &[("cookie", &as_guardian)]).refused(401, "not-logged-in");
    app.get("/api/merchant", &[("cookie", &as_till)]).refused(401, "merchant-key-missing");
}
