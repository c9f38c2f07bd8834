//! Sessions over HTTP: tokens that change, copies that end them, signing out elsewhere.

use nodpay_service::{GRACE_MS, ROTATE_AFTER_MS, SESSION_IDLE_MS, SESSION_LIFE_MS};
use serde_json::{Value, json};

use crate::app::{Answer, HTTPS_ORIGIN, Setup, TestApp, login};

const HOME: &str = "/api/guardian/household";

fn home(app: &TestApp, cookie: &str) -> Answer {
    app.get(HOME, &[("cookie", cookie)])
}

#[test]
fn a_used_token_changes_and_nobody_notices() {
    let (app, household) = TestApp::furnished();
    let first = household.cookie;
    app.clock.advance_ms(ROTATE_AFTER_MS - 1);
    assert_eq!(home(&app, &first).cookie, None);
    app.clock.advance_ms(1);
    let second = home(&app, &first).cookie.expect("another token");
    assert_ne!(second, first);
    // Requests that were under way with the old one.
    assert_eq!((home(&app, &first).status, home(&app, &first).cookie), (200, None));
    // The answer got lost, and the page slept for an hour.
    app.clock.advance_ms(60 * 60 * 1000);
    let third = home(&app, &first).cookie.expect("another token, for the one that got lost");
    assert_eq!(home(&app, &second).status, 401);
    assert_eq!(home(&app, &third).status, 200);
    assert_eq!(home(&app, &first).status, 200, "under way");
    app.clock.advance_ms(GRACE_MS);
    assert_eq!((home(&app, &third).status, home(&app, &third).cookie), (200, None));
    // Somebody has a copy of the old one: the session ends, for both.
    home(&app, &first).refused(401, "not-logged-in");
    home(&app, &third).refused(401, "not-logged-in");
}

#[test]
fn a_session_ends_when_it_is_not_used_and_in_the_end() {
    let (app, household) = TestApp::furnished();
    let mut cookie = household.cookie;
    let day_ms = SESSION_IDLE_MS;
    for _ in 1..SESSION_LIFE_MS / day_ms {
        app.clock.advance_ms(day_ms - 1);
        cookie = home(&app, &cookie).cookie.expect("used");
        assert_eq!(home(&app, &cookie).status, 200);
    }
    app.clock.advance_ms(day_ms - 1);
    assert_eq!(home(&app, &cookie).status, 200);
    app.clock.advance_ms(SESSION_LIFE_MS / day_ms);
    home(&app, &cookie).refused(401, "not-logged-in");
    let idle = login(&app, &household.cast).cookie.expect("a session");
    app.clock.advance_ms(day_ms);
    home(&app, &idle).refused(401, "not-logged-in");
}

#[test]
fn a_guardian_sees_where_they_are_signed_in_and_signs_out_there() {
    let (app, household) = TestApp::furnished();
    let here = login(&app, &household.cast).cookie.expect("a session");
    let events = app.follow("/api/guardian/events", &[("cookie", &here)]);
    events.next();
    app.clock.advance_ms(60_000);
    let there = login(&app, &household.cast).cookie.expect("a session");
    events.wait_for("session");
    let list = |cookie: &str| app.get("/api/guardian/sessions", &[("cookie", cookie)]).ok()["sessions"].clone();
    let all = list(&here);
    let seen: Vec<(&Value, &Value)> =
        all.as_array().expect("a list").iter().map(|one| (&one["own"], &one["device"])).collect();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0], (&json!(false), &json!("other/other")), "the newest first");
    assert_eq!(all[0]["since"], json!(app.now()));
    assert_eq!(seen.iter().filter(|(own, _)| **own == json!(true)).count(), 1);

    let their_events = app.follow("/api/guardian/events", &[("cookie", &there)]);
    their_events.next();
    let end = format!("/api/guardian/sessions/{}/end", all[0]["session"].as_str().expect("an id"));
    app.post(&end, &app.pages(&here), &json!({})).ok();
    app.post(&end, &app.pages(&here), &json!({})).refused(404, "session-unknown");
    home(&app, &there).refused(401, "not-logged-in");
    assert!(their_events.ended(), "it hears no more");
    assert_eq!(home(&app, &household.cookie).status, 200);
    app.post("/api/guardian/sessions/end-others", &app.pages(&here), &json!({})).ok();
    home(&app, &household.cookie).refused(401, "not-logged-in");
    assert_eq!(list(&here).as_array().map(Vec::len), Some(1));
}

#[test]
fn cookies_are_kept_to_this_host_and_to_https() {
    let (app, household) = TestApp::furnished();
    let set = login(&app, &household.cast).set_cookie.expect("a cookie");
    assert!(set.starts_with("nodpay_session="), "{set}");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=86400"), "{set}");
    let app = TestApp::start_with(Setup { https: true, ..Setup::default() });
    let mut cast = nodpay_testkit::Cast::new(0);
    cast.passkey.rp.origins = vec![HTTPS_ORIGIN.to_owned()];
    let founding = cast.passkey.assert(nodpay_protocol::AssertionKind::Log, &cast.founding());
    cast.log = vec![founding];
    let invitation = app.invite(nodpay_store::InvitationKind::Guardian);
    let body = json!({ "invitation": invitation, "entry": cast.log[0], "name": cast.passkey.name, "currency": "CNY" });
    let founded = app.post("/api/guardian/found", &[("origin", HTTPS_ORIGIN)], &body);
    let set = founded.set_cookie.clone().expect("a cookie");
    assert!(set.starts_with("__Host-nodpay_session="), "{set}");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=86400; Secure"), "{set}");
    let cookie = founded.cookie.expect("a cookie");
    assert_eq!(home(&app, &cookie).status, 200);
    assert_eq!(home(&app, cookie.trim_start_matches("__Host-")).status, 401);
}

/// What follows the login is fetched with the page by whoever has a guardian's cookie, on either scheme by its own name.
#[test]
fn the_app_is_preloaded_for_a_phone_that_it_knows() {
    let after_login = "/js/app.js\"";
    for (https, cookie, preloaded) in [
        (false, "nodpay_session=x", true),
        (false, "__Host-nodpay_session=x", false),
        (false, "nodpay_till=x", false),
        (true, "__Host-nodpay_session=x", true),
        (true, "nodpay_session=x", false),
    ] {
        let app = TestApp::start_with(Setup { https, ..Setup::default() });
        let page = app.get("/app", &[("cookie", cookie)]);
        assert_eq!(page.status, 200);
        assert_eq!(page.text.contains(after_login), preloaded, "https {https}, {cookie}");
    }
}

#[test]
fn strangers_are_limited_by_their_address() {
    let app = TestApp::start();
    let ask = || app.get("/api/joins/AAAAAAAAAAAAAAAAAAAAAA", &[]);
    let refused = (0..1_000).map(|_| ask()).find(|answer| answer.status == 429).expect("limited");
    assert_eq!(refused.code(), "too-many-tries");
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    // It is not behind a proxy: what the header says is anybody's word.
    assert_eq!(app.get("/api/joins/AAAAAAAAAAAAAAAAAAAAAA", &[("x-forwarded-for", "192.0.2.1")]).status, 429);
    app.clock.advance_ms(100);
    ask().refused(404, "pairing-unknown");
}
