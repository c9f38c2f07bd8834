//! What happens to money beside the payments: refunds, statements, freezes, pocket money, and the proof of all evidence.

use nodpay_core::{Day, Every, ScheduleId, Timestamp, TransferId};
use nodpay_protocol::{RelyingParty, Verified};
use nodpay_service::{EvidenceCount, ServiceKeys, check_evidence};
use nodpay_store::{CloseOut, Finding, NewSchedule};
use nodpay_testkit::{Cast, cny};
use serde_json::json;

use crate::app::{Household, ORIGIN, TestApp, amount};

fn paid(
    app: &TestApp,
    household: &Household,
    number: u8,
) -> (Verified<nodpay_core::Bill>, Verified<nodpay_core::Order>) {
    let (bill, order) = app.ordered(household, number);
    let decision = app.approve(household, &order, &bill);
    app.watch_post(&household.cast, &order, "payment", household.cast.payment(&order, &decision).wire()).ok();
    (bill, order)
}

fn refund(number: u8, minor: i64) -> serde_json::Value {
    json!({ "refund": TransferId::from_bytes([number; 16]), "amount": cny(minor), "reason": "坏了" })
}

#[test]
fn a_shop_gives_money_back_and_everybody_hears_of_it() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (bill, order) = paid(&app, &household, 1);
    let total = bill.total.get();
    let (watch, guardian, till) =
        (app.follow_watch(cast, None), app.follow_guardian(&household), app.follow_merchant());
    let path = format!("/api/merchant/bills/{}/refunds", bill.bill);

    let done = app.merchant_post(&path, &refund(1, 100)).ok();
    assert_eq!((amount(&done["amount"]), &done["reason"]), (cny(100), &json!("坏了")));
    assert_eq!(app.merchant_post(&path, &refund(1, 100)).ok(), done, "the same one again");
    app.merchant_post(&path, &refund(1, 101)).refused(409, "refund-exists");
    app.merchant_post(&path, &refund(2, total)).refused(422, "refund-too-large");
    app.merchant_post(&path, &refund(2, 0)).refused(422, "amount-not-positive");
    let elsewhere = format!("/api/merchant/bills/{}/refunds", nodpay_core::BillId::from_bytes([9; 16]));
    app.merchant_post(&elsewhere, &refund(2, 1)).refused(404, "bill-unknown");
    app.merchant_post(&path, &json!({ "refund": "x" })).refused(400, "malformed-request");

    assert_eq!(app.balance(&household), (20_000 - total + 100, 0));
    assert_eq!(guardian.wait_for("refund").data, json!({ "order": order.order }));
    assert_eq!(watch.wait_for("refund").data, json!({ "order": order.order, "refunded": cny(100) }));
    assert_eq!(amount(&watch.wait_for("balance").data["balance"]), cny(20_000 - total + 100));
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!((&view["state"], amount(&view["refunded"])), (&json!("paid"), cny(100)));
    assert_eq!(view["refunds"], json!([done]));
    let view = app.merchant_get(&format!("/api/merchant/bills/{}", bill.bill)).ok();
    assert_eq!(amount(&view["refunded"]), cny(100));
    while till.wait_for("bill").data["refunded"].is_null() {}

    let (open, _) = app.ordered(&household, 2);
    let path = format!("/api/merchant/bills/{}/refunds", open.bill);
    app.merchant_post(&path, &refund(3, 1)).refused(409, "bill-not-paid");
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn a_statement_is_json_or_csv() {
    let (app, household) = TestApp::furnished();
    let store = app.app.store();
    let merchant = household.cast.merchant;
    app.wait(store.set_fee(merchant, nodpay_core::BasisPoints::new(100).expect("one percent"))).expect("a fee");
    let (bill, _) = paid(&app, &household, 1);
    app.merchant_post(&format!("/api/merchant/bills/{}/refunds", bill.bill), &refund(1, bill.total.get())).ok();
    let today = Day::of(app.now());
    let ask = |from: &str, to: &str, more: &str| {
        app.merchant_get(&format!("/api/merchant/statement?from={from}&to={to}{more}"))
    };
    let day = today.to_string();
    let statement = ask(&day, &day, "").ok();
    assert_eq!((&statement["opening"], &statement["closing"]), (&json!(0), &json!(0)));
    assert_eq!((&statement["payments"], &statement["refunds"]), (&json!(bill.total), &json!(bill.total)));
    let kinds = statement["movements"].as_array().expect("movements").iter();
    let mut kinds: Vec<_> = kinds.map(|movement| movement["kind"].as_str().expect("a kind")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["fee", "fee-back", "payment", "refund"]);
    assert!(!statement.to_string().contains(&household.cast.household.to_string()), "a shop learns no household");

    let csv = ask(&day, &day, "&format=csv");
    assert!(csv.content_type.starts_with("text/csv"), "{}", csv.content_type);
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (7, format!("{day},,opening,0,CNY,,,").as_str()));
    assert!(lines.iter().any(|line| line.contains(",refund,-") && line.ends_with("\"坏了\"")), "{}", csv.text);
    let (name, key) = TestApp::merchant_header();
    let path = format!("/api/merchant/statement?from={day}&to={day}");
    assert_eq!(app.get(&path, &[(name, &key), ("accept", "text/csv")]).text, csv.text);

    ask("2026-11-31", &day, "").refused(400, "malformed-request");
    ask(&day, "1999-01-01", "").refused(400, "malformed-request");
    ask(&day, &day, "&after=x").refused(400, "malformed-request");
    app.merchant_get("/api/merchant/statement").refused(400, "malformed-request");
}

#[test]
fn a_frozen_and_a_closed_household_pay_nothing() {
    let (app, household) = TestApp::furnished();
    let (cast, store) = (&household.cast, app.app.store());
    app.wait(store.set_frozen(cast.household, true, app.now())).expect("frozen");
    assert_eq!(app.guardian_get(&household, "/api/guardian/household").ok()["frozen"], true);
    let (_, order) = app.ordered(&household, 1);
    assert_eq!(app.order_state(&household, &order), "failed");
    app.wait(store.set_frozen(cast.household, false, app.now())).expect("thawed");
    let close = CloseOut { household: cast.household, transfer: TransferId::from_bytes([7; 16]) };
    assert_eq!(app.wait(store.close_out(close, app.now())), Ok(cny(20_000)));
    let view = app.guardian_get(&household, "/api/guardian/household").ok();
    assert_eq!((&view["closed"], amount(&view["balance"])), (&json!(true), cny(0)));
    let bill = cast.bill(2);
    app.post_bill(&bill).ok();
    app.place(cast, &cast.order(&bill, 2)).refused(409, "household-closed");
}

#[test]
fn pocket_money_is_paid_by_the_service_itself() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let watch = app.follow_watch(cast, None);
    let first = app.now().plus_ms(60 * 60 * 1000);
    let schedule = ScheduleId::from_bytes([3; 16]);
    let new = NewSchedule { household: cast.household, schedule, amount: cny(500), every: Every::Week, first };
    app.wait(app.app.store().add_schedule(new)).expect("pocket money");
    // The order's deadline wakes the job; what another process added alone it finds within a minute.
    app.ordered(&household, 1);
    app.clock.advance_ms(2 * 60 * 60 * 1000);
    while amount(&watch.wait_for("balance").data["balance"]) != cny(20_500) {}
    let rows = app.wait(app.app.store().schedules(cast.household)).expect("reads");
    assert_eq!(rows[0].next_due, Some(first.plus_ms(7 * 24 * 60 * 60 * 1000)));
}

fn check(app: &TestApp, keys: &ServiceKeys, origin: &str, now: Timestamp) -> (EvidenceCount, Vec<Finding>) {
    let relying_party =
        RelyingParty { rp_id: "localhost".to_owned(), origins: vec![origin.to_owned()], demo_keys: false };
    let mut found = Vec::new();
    let tell = |finding| found.push(finding);
    let count = app.wait(check_evidence(app.app.store(), keys, &relying_party, now, tell));
    (count.expect("reads"), found)
}

/// Whoever deletes what an order was made of must have kept it for 90 days, and never deletes an open one's.
#[test]
fn evidence_that_was_deleted_early_is_found() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let (app, household) = TestApp::furnished();
    let (_, gone) = paid(&app, &household, 1);
    paid(&app, &household, 2);
    let (_, open) = app.ordered(&household, 3);
    app.tamper("UPDATE messages SET wire = '' WHERE id IN (SELECT message FROM orders WHERE no <> 2)");
    let placed = app.now();
    let too_early = "evidence: it is deleted, but the order came less than 90 days ago";
    let too_late = "evidence: it is deleted, but the order has not ended";
    for (after_ms, of_the_ended) in [(0, Some(too_early)), (90 * DAY_MS - 1, Some(too_early)), (90 * DAY_MS, None)] {
        let (count, found) = check(&app, app.app.keys(), ORIGIN, placed.plus_ms(after_ms));
        assert_eq!(count, EvidenceCount { looked_at: 1, cut: 2 });
        let said = |order: &Verified<nodpay_core::Order>| {
            let row = order.order.to_string();
            found.iter().find(|finding| finding.row == row).map(|finding| finding.what.as_str())
        };
        assert_eq!((said(&gone), said(&open)), (of_the_ended, Some(too_late)), "{after_ms}");
    }
}

#[test]
fn the_evidence_of_every_order_is_proved() {
    let (app, household) = TestApp::furnished();
    paid(&app, &household, 1);
    let (_, cancelled) = app.ordered(&household, 2);
    let cancel = household.cast.cancel(&cancelled);
    app.watch_post(&household.cast, &cancelled, "cancel", cancel.wire()).ok();
    app.ordered(&household, 3);
    let check = |keys: &ServiceKeys, origin: &str| {
        let (count, found) = check(&app, keys, origin, app.now());
        (count.looked_at, found)
    };
    assert_eq!(check(app.app.keys(), ORIGIN), (2, Vec::new()));
    // Under another root nothing holds; for another site's passkeys not even the log does.
    let other = Cast::new(1);
    let strange = ServiceKeys::new(
        nodpay_protocol::Signer::public_key(&other.root),
        None,
        other.outcome_key,
        other.outcome_certificate.wire(),
    );
    let (looked_at, found) = check(&strange.expect("keys"), ORIGIN);
    assert_eq!((looked_at, found.len()), (2, 2));
    assert!(found.iter().all(|finding| finding.table == "orders" && finding.what.contains("certificate")), "{found:?}");
    let (looked_at, found) = check(app.app.keys(), "https://evil.example");
    assert_eq!((looked_at, found.len(), found[0].table), (0, 1, "log_entries"));
}
