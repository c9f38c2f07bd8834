//! Every route of the API × every kind of caller: who is let in, and who is not. A route that is not in the table fails.

use nodpay_core::BillId;
use nodpay_service::{ROUTES, Role};
use nodpay_testkit::Cast;

use crate::app::{ORIGIN, Setup, TestApp};

/// What a caller of each kind must get at least: whoever is let in gets past the door, which is anything else than the
/// door's own refusals.
const DOOR: [&str; 5] =
    ["proof-missing", "not-logged-in", "merchant-key-missing", "foreign-origin", "stripe-signature"];

#[test]
fn each_route_lets_in_whom_it_is_for() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let bill = cast.bill(1);
    app.post_bill(&bill).ok();
    let (merchant_name, merchant_key) = TestApp::merchant_header();
    let till = app.enrol(&app.invite(nodpay_store::InvitationKind::Till(cast.merchant)), &cast.merchant_key);
    let till = till.cookie.expect("a session");
    for route in ROUTES {
        let path = route
            .path
            .replace("{watch}", &cast.watch.to_string())
            .replace("{bill}", &BillId::from_bytes([1; 16]).to_string())
            .replace("{order}", "AAAAAAAAAAAAAAAAAAAAAA")
            .replace("{pairing}", "AAAAAAAAAAAAAAAAAAAAAA")
            .replace("{ask}", "AAAAAAAAAAAAAAAAAAAAAA")
            .replace("{month}", "2026-11");
        assert!(!path.contains('{'), "{path}: fill its parts in here");
        let ask = |headers: &[(&str, &str)]| match route.method {
            "get" => app.get(&path, headers),
            "put" => app.send("PUT", &path, headers, "application/json", b"{"),
            _ => app.send("POST", &path, headers, "application/json", b"{"),
        };
        let proof = app.proof_for(cast, &route.method.to_uppercase(), &path);
        // Logging out ends the session: each route gets its own.
        let guardian = crate::app::login(&app, cast).cookie.expect("a session");
        app.clock.advance_ms(3_000);
        let callers: [(&str, Vec<(&str, &str)>); 8] = [
            ("nobody", vec![]),
            ("another site", vec![("origin", "https://evil.example")]),
            ("our page", vec![("origin", ORIGIN)]),
            ("the guardian", vec![("origin", ORIGIN), ("cookie", &guardian)]),
            ("the guardian through another site", vec![("origin", "https://evil.example"), ("cookie", &guardian)]),
            ("the watch", vec![("dpop", &proof)]),
            ("the merchant", vec![(merchant_name, &merchant_key)]),
            ("the till", vec![("origin", ORIGIN), ("cookie", &till)]),
        ];
        for (caller, headers) in callers {
            let answer = ask(&headers);
            let unsafe_method = route.method != "get";
            let let_in = match route.role {
                Role::Public | Role::WatchMessage => true,
                Role::Stripe => false,
                Role::OwnPage => matches!(caller, "our page" | "the guardian" | "the till"),
                Role::WatchProof => caller == "the watch",
                Role::Guardian => caller == "the guardian" || (caller.starts_with("the guardian") && !unsafe_method),
                Role::Merchant => matches!(caller, "the merchant" | "the till"),
            };
            // A page says it in words.
            let is_page = answer.content_type.starts_with("text/html");
            let is_in = !DOOR.contains(&answer.code()) && (!is_page || answer.status != 401);
            assert_eq!(is_in, let_in, "{} {path} for {caller}: {} {}", route.method, answer.status, answer.text);
            assert_ne!(answer.status, 500, "{path}: {}", answer.text);
            assert!(!(answer.status == 404 && answer.code() == "not-found"), "{path} is not routed");
            assert_ne!(answer.status, 405, "{path}");
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
