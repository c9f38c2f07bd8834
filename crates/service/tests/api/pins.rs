//! What a watch reports of its PIN, what a guardian answers, and how long a session on the wrist counts.

use nodpay_core::{Entry, PinCommand, PinConsent, PinState, WatchId, WatchSession};
use nodpay_protocol::verify_pin_report;
use nodpay_testkit::Cast;
use serde_json::json;

use crate::app::{Answer, Household, TestApp, bend};

const MINUTE_MS: i64 = 60_000;

fn report(app: &TestApp, watch: WatchId, wire: &str) -> Answer {
    app.post_wire(&format!("/api/watch/{watch}/pin"), &[], wire)
}

/// The guardian signs and sends the next entry of the log.
fn append(app: &TestApp, household: &mut Household, entry: Entry) -> Answer {
    let entry = household.cast.next_entry_by(&household.cast.passkey, app.now(), entry);
    let wire = household.cast.passkey.assert(nodpay_protocol::AssertionKind::Log, &entry);
    household.cast.log.push(wire);
    let entry = household.cast.log.last().expect("it was signed");
    let answer = app.post("/api/guardian/log", &app.pages(&household.cookie), &json!({ "entry": entry }));
    if answer.status >= 300 {
        household.cast.log.pop();
    }
    answer
}

#[test]
fn a_locked_pin_reaches_the_guardian_and_the_answer_the_watch() {
    let (app, mut household) = TestApp::furnished();
    let watch = household.cast.watch;
    let guardian = app.follow_guardian(&household);
    let listening = app.follow_watch(&household.cast, None);
    let shown =
        |household: &Household| app.guardian_get(household, "/api/guardian/household").ok()["pin_reports"].clone();
    assert_eq!(shown(&household), json!([]));

    let locked = household.cast.pin_report(2, PinState::Locked);
    report(&app, watch, locked.wire()).ok();
    report(&app, watch, locked.wire()).ok();
    assert_eq!(guardian.wait_for("pin").data, json!({ "watch": watch }));
    assert_eq!(shown(&household), json!([{ "watch": watch, "report": locked.wire() }]));
    let wire = shown(&household)[0]["report"].as_str().expect("a report").to_owned();
    assert_eq!(
        verify_pin_report(&wire, &household.cast.book(), watch),
        Ok(locked.clone()),
        "the page checks it itself"
    );

    // An older one, once said, comes too late; others' are nobody's.
    let older = household.cast.pin_report(1, PinState::Ok);
    report(&app, watch, older.wire()).refused(409, "pin-report-outdated");
    report(&app, watch, &bend(older.wire(), 2, 3)).refused(422, "bad-signature");
    report(&app, WatchId::from_bytes([99; 16]), older.wire()).refused(404, "unknown-watch");
    let other = app.add_household(Cast::new(1), 0);
    report(&app, other.cast.watch, locked.wire()).refused(422, "bad-signature");
    report(&app, watch, "no report").refused(400, "malformed-message");
    assert_eq!(shown(&household), json!([{ "watch": watch, "report": locked.wire() }]));
    assert_eq!(shown(&other), json!([]));

    let command = PinCommand { watch, nonce: locked.nonce, command: PinConsent::Unlock };
    append(&app, &mut household, Entry::PinCommand(command)).ok();
    assert_eq!(listening.wait_for("log").data, json!({ "entry": household.cast.log.last() }));
    let stranger = PinCommand { watch: other.cast.watch, ..command };
    append(&app, &mut household, Entry::PinCommand(stranger)).refused(422, "bad-log-entry");

    append(&app, &mut household, Entry::RemoveWatch(watch)).ok();
    assert_eq!(shown(&household), json!([]));
    let late = household.cast.pin_report(9, PinState::Ok);
    report(&app, watch, late.wire()).refused(403, "revoked-watch");
}

#[test]
fn an_order_within_the_session_needs_no_new_check() {
    let (app, mut household) = TestApp::furnished();
    let watch = household.cast.watch;
    let bill = household.cast.bill(1);
    app.post_bill(&bill).ok();
    let order = |household: &Household, ago_ms: i64| {
        let mut order = household.cast.order_payload(&bill, 1);
        order.wearer_check.at = order.created.plus_ms(-ago_ms);
        household.cast.sign_order(order)
    };
    let session = |session_ms| Entry::SetSession(WatchSession { watch, session_ms });
    app.place(&household.cast, &order(&household, 20 * MINUTE_MS)).refused(422, "bad-wearer-check");
    append(&app, &mut household, session(8 * 60 * MINUTE_MS + 1)).refused(422, "bad-log-entry");
    append(&app, &mut household, session(30 * MINUTE_MS)).ok();
    app.place(&household.cast, &order(&household, 31 * MINUTE_MS)).refused(422, "bad-wearer-check");
    app.place(&household.cast, &order(&household, 20 * MINUTE_MS)).ok();
}

#[test]
fn a_watch_cannot_flood_its_guardians() {
    let (app, household) = TestApp::furnished();
    let send = |seq| report(&app, household.cast.watch, household.cast.pin_report(seq, PinState::Waiting).wire());
    let sent = (1..=100).map(send).take_while(|answer| answer.status == 202).count();
    assert_eq!(sent, 30);
    app.clock.advance_ms(10_000);
    send(101).ok();
}
