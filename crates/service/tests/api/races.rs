//! Things that happen at once: exactly one of them counts, and money moves at most once.

use std::collections::BTreeMap;
use std::sync::Barrier;

use nodpay_core::Verdict;
use nodpay_protocol::{Verified, verify_decision};
use nodpay_testkit::Cast;
use serde_json::json;

use crate::app::{Answer, Household, TestApp};

/// Does all of it at the same time; the answers in order.
fn at_once(tasks: Vec<Box<dyn FnOnce() -> Answer + Send + '_>>) -> Vec<Answer> {
    let start = Barrier::new(tasks.len());
    std::thread::scope(|scope| {
        let running: Vec<_> = tasks
            .into_iter()
            .map(|task| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    task()
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("answers")).collect()
    })
}

/// Posts without the test's shared nonces, so that it can run in any thread.
fn sender(
    app: &TestApp,
    path: String,
    headers: Vec<(String, String)>,
    wire: String,
) -> Box<dyn FnOnce() -> Answer + Send> {
    let url = format!("{}{path}", app.base);
    Box::new(move || crate::app::post_from_thread(&url, &headers, &wire))
}

fn decide(
    app: &TestApp,
    household: &Household,
    order: &Verified<nodpay_core::Order>,
    wire: &str,
) -> Box<dyn FnOnce() -> Answer + Send> {
    let headers = app.pages(&household.cookie).map(|(name, value)| (name.to_owned(), value.to_owned()));
    sender(app, format!("/api/guardian/orders/{}/decision", order.order), headers.to_vec(), wire.to_owned())
}

fn watch(
    app: &TestApp,
    cast: &Cast,
    order: &Verified<nodpay_core::Order>,
    step: &str,
    wire: &str,
) -> Box<dyn FnOnce() -> Answer + Send> {
    sender(app, format!("/api/watch/{}/orders/{}/{step}", cast.watch, order.order), Vec::new(), wire.to_owned())
}

fn codes(answers: &[Answer]) -> Vec<(u16, String)> {
    let mut codes: Vec<_> = answers.iter().map(|answer| (answer.status, answer.code().to_owned())).collect();
    codes.sort();
    codes
}

#[test]
fn two_taps_at_once_are_one_decision() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    for number in 1..=5 {
        let (bill, order) = app.ordered(&household, number);
        let approve = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve));
        let refuse = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse));
        // The same tap twice, and the other button.
        let taps = [&approve, &approve, &refuse].map(|wire| decide(&app, &household, &order, wire));
        let answers = at_once(taps.into_iter().collect());
        let state = app.order_state(&household, &order);
        let expected = match state.as_str() {
            "approved" => [(202, "none"), (202, "none"), (409, "already-decided")],
            _ => [(202, "none"), (409, "order-ended"), (409, "order-ended")],
        };
        assert_eq!(codes(&answers), expected.map(|(status, code)| (status, code.to_owned())), "{state}");
        if state == "approved" {
            assert_eq!(app.balance(&household), (20_000, 3_650));
            app.watch_post(cast, &order, "cancel", cast.cancel(&order).wire()).ok();
        }
        assert_eq!(app.balance(&household), (20_000, 0));
    }
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn two_households_cannot_pay_one_bill() {
    let (app, one) = TestApp::furnished();
    let two = app.add_household(Cast::new(1), 20_000);
    for number in 1..=3_u8 {
        let bill = one.cast.bill(number);
        app.post_bill(&bill).ok();
        let prepared: Vec<_> = [(&one, number), (&two, number + 100)]
            .into_iter()
            .map(|(household, id)| {
                let order = household.cast.order(&bill, id);
                app.place(&household.cast, &order).ok();
                let decision = app.approve_at(&one.cast.certificate, household, &order, &bill);
                let payment = household.cast.payment(&order, &decision);
                (household, order, payment)
            })
            .collect();
        let before = (app.balance(&one).0, app.balance(&two).0);
        let payments = prepared
            .iter()
            .map(|(household, order, payment)| watch(&app, &household.cast, order, "payment", payment.wire()))
            .collect();
        for answer in at_once(payments) {
            answer.ok();
        }
        let states: Vec<String> =
            prepared.iter().map(|(household, order, _)| app.order_state(household, order)).collect();
        let mut sorted = states.clone();
        sorted.sort();
        assert_eq!(sorted, ["failed", "paid"]);
        let after = (app.balance(&one), app.balance(&two));
        assert_eq!(before.0 + before.1 - after.0.0 - after.1.0, 3_650, "paid once");
        assert_eq!((after.0.1, after.1.1), (0, 0), "nothing stays held");
    }
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn cancel_nod_payment_and_expiry_cross() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let mut ends = BTreeMap::new();
    for number in 1..=12_u8 {
        let (bill, order) = app.ordered(&household, number);
        let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve));
        let (decision, ..) =
            verify_decision(&wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
        let payment = cast.payment(&order, &decision);
        let approved_first = number % 2 == 0;
        if approved_first {
            app.decide_wire(&household, &order, &wire).ok();
        }
        let clock = app.clock.clone();
        let mut tasks = vec![
            watch(&app, cast, &order, "cancel", cast.cancel(&order).wire()),
            watch(&app, cast, &order, "payment", payment.wire()),
            decide(&app, &household, &order, &wire),
        ];
        if number % 3 == 0 {
            let base = app.base.clone();
            tasks.push(Box::new(move || {
                clock.advance_ms(10 * 60_000);
                crate::app::get_from_thread(&format!("{base}/healthz"))
            }));
        }
        let before = app.balance(&household).0;
        for answer in at_once(tasks) {
            assert!(matches!(answer.status, 200 | 202 | 409), "{}", answer.text);
        }
        let state = app.order_state(&household, &order);
        if state == "approved" {
            // The payment came before the nod: it is sent again.
            app.watch_post(cast, &order, "payment", payment.wire()).ok();
        }
        let state = app.order_state(&household, &order);
        let paid = if state == "paid" { 3_650 } else { 0 };
        assert_eq!(app.balance(&household), (before - paid, 0), "{state}");
        *ends.entry(state).or_insert(0) += 1;
        app.top_up(&household, 3_650);
    }
    assert!(ends.keys().all(|end| ["paid", "cancelled", "expired"].contains(&end.as_str())), "{ends:?}");
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn one_payment_sent_many_times_at_once_is_paid_once() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    let payment = cast.payment(&order, &decision);
    let tasks = (0..8).map(|_| watch(&app, cast, &order, "payment", payment.wire())).collect();
    for answer in at_once(tasks) {
        assert_eq!(answer.ok(), json!({}));
    }
    assert_eq!(app.balance(&household), (16_350, 0));
}

#[test]
fn one_order_sent_many_times_at_once_is_one_order() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let bill = cast.bill(1);
    app.post_bill(&bill).ok();
    let order = cast.order(&bill, 1);
    let path = format!("/api/watch/{}/orders", cast.watch);
    let tasks = (0..8).map(|_| sender(&app, path.clone(), Vec::new(), order.wire().to_owned())).collect();
    for answer in at_once(tasks) {
        assert_eq!(answer.status, 202);
    }
    let orders = app.guardian_get(&household, "/api/guardian/orders").ok();
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(1));
}
