//! Households that are erased, and orders whose messages are no longer kept, as everybody meets them.

use nodpay_core::{ERASE_DELAY_MS, Entry, Erase, HouseholdId, TransferId};
use nodpay_service::{EvidenceCount, check_evidence};
use nodpay_store::CloseOut;
use nodpay_testkit::cny;
use serde_json::{Value, json};

use crate::app::{Household, TestApp, login};
use crate::archive::archive;
use crate::guardians::{founder, sign};
use crate::seeing::{a_week_of_shopping, found};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Until the job has done it.
fn until(app: &TestApp, is_so: impl AsyncFn() -> bool) {
    app.wait(async {
        let mut topics = app.app.store().subscribe();
        while !is_so().await {
            topics.recv().await.expect("the store runs");
        }
    });
}

#[test]
fn an_erased_household_is_gone_for_all() {
    let (app, mut household) = TestApp::furnished();
    let (store, id) = (app.app.store().clone(), household.cast.household);
    let who = founder(&household);
    let (bill, order) = app.ordered(&household, 1);
    sign(&app, &mut household, &who, Entry::Erase(Erase {})).ok();
    sign(&app, &mut household, &who, Entry::Erase(Erase {})).refused(422, "bad-log-entry");
    let cast = &household.cast;
    let state = format!("/api/watch/{}/state", cast.watch);
    assert_eq!(app.watch_get(cast, &state).ok()["frozen"], "guardian", "nothing is paid any more");
    let decision = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], nodpay_core::Verdict::Approve));
    app.decide_wire(&household, &order, &decision).ok();
    assert_eq!(app.order_state(&household, &order), "failed");
    let asked = |id: HouseholdId| app.get(&format!("/api/households/{id}/erased"), &[]).ok();
    assert_eq!(asked(id), Value::Null);

    // Its time is over: it waits for its money to be paid out.
    app.clock.advance_ms(ERASE_DELAY_MS + HOUR_MS);
    let close = CloseOut { household: id, transfer: TransferId::from_bytes([9; 16]) };
    assert_eq!(app.wait(store.close_out(close, app.now())), Ok(cny(20_000)));
    app.clock.advance_ms(HOUR_MS);
    until(&app, async || store.erased(id).await.expect("a read").is_some());
    let gone = asked(id);
    assert_eq!(gone["books_years"], 10);
    assert!(gone["at"].as_i64().is_some_and(|at| at <= app.now().unix_ms()), "{gone}");
    assert_eq!(asked(HouseholdId::from_bytes([9; 16])), Value::Null);
    app.get("/api/guardian/household", &app.pages(&household.cookie)).refused(401, "not-logged-in");
    login(&app, cast).refused(403, "unknown-guardian");
    app.watch_get(cast, &state).refused(410, "household-erased");
    app.place(cast, &cast.order(&cast.bill(1), 2)).refused(410, "household-erased");
    let found = app.wait(store.check());
    assert_eq!(found, Ok(Vec::new()));
}

#[test]
fn old_orders_are_short() {
    let (app, household, [pen, formula, refused]) = a_week_of_shopping();
    let store = app.app.store().clone();
    let kept = app.guardian_get(&household, "/api/guardian/household").ok()["keep"].clone();
    assert_eq!(kept, json!({ "orders_days": 730, "books_years": 10 }));
    let order: nodpay_core::OrderId = pen.parse().expect("an id");
    app.clock.advance_ms(730 * DAY_MS);
    let id = household.cast.household;
    until(&app, async || store.order(id, order).await.expect("a read").is_some_and(|row| row.is_cut()));
    let household = Household { cookie: login(&app, &household.cast).cookie.expect("a session"), ..household };

    let get = |path: &str| app.guardian_get(&household, path);
    let view = get(&format!("/api/guardian/orders/{pen}")).ok();
    assert_eq!(
        (view["state"].as_str(), view["order"].as_str(), view["outcome"].as_str()),
        (Some("paid"), Some(""), None)
    );
    assert_eq!((&view["cut"]["total"], &view["refunded"]), (&json!(cny(1_200)), &json!(cny(200))));
    assert!(view["certificate"].as_str().is_some_and(|wire| !wire.is_empty()), "the shop's own word stays");
    get(&format!("/api/guardian/orders/{pen}/evidence")).refused(410, "order-details-deleted");
    assert_eq!(found(&app, &household, ""), [refused, formula, pen.clone()]);
    assert_eq!(found(&app, &household, "text=pen").len(), 0, "items are no longer kept");
    assert_eq!(found(&app, &household, "text=sunny&outcome=paid").len(), 2, "shops are");
    let csv = get("/api/guardian/export?format=csv").text;
    assert!(csv.contains("12.00") && !csv.contains("Pen"), "{csv}");
    assert_eq!(app.wait(store.check()), Ok(Vec::new()));
    let (keys, relying_party) = (app.app.keys(), app.app.config().relying_party());
    let tell = |finding| panic!("{finding:?}");
    let count = app.wait(check_evidence(&store, keys, &relying_party, app.now(), tell));
    assert_eq!(count, Ok(EvidenceCount { looked_at: 0, cut: 3 }), "there is none left to look at");
    let names = archive(&app, &household);
    let short = names.file_names().filter(|name| name.as_ref().is_ok_and(|name| name.ends_with(".short.json"))).count();
    assert_eq!(short, 3);
}
