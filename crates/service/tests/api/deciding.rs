//! Notes, suggestions, orders that follow them, and what a guardian sees of a wearer's spending.

use nodpay_core::{Entry, HouseCaps, HouseRules, Order, OrderId, Suggestion, Text, Verdict};
use nodpay_protocol::{Verified, verify_decision};
use nodpay_testkit::{Cast, cny, line_id};
use serde_json::json;

use crate::app::{Household, TestApp};
use crate::mandates::{append, evidence};

/// Sends a refusal of the order, with these words and this suggestion.
fn refuse(app: &TestApp, household: &Household, order: &Verified<Order>, note: &str, suggest: Suggestion) {
    let cast = &household.cast;
    let bill = cast.bill(1);
    let mut refusal = cast.decision_payload(order, &bill, None, &[], Verdict::Refuse);
    refusal.reason = Some(Text::new(note).expect("a note"));
    refusal.suggest = Some(suggest);
    app.decide_wire(household, order, &cast.sign_decision(&refusal)).ok();
}

fn told(app: &TestApp, cast: &Cast, household: &Household, order: &Verified<Order>) -> Vec<String> {
    evidence(app, cast, household, order).story.into_iter().map(|step| step.what).collect()
}

#[test]
fn a_suggestion_reaches_the_watch_and_the_same_bill_is_paid_in_part() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let watch = app.follow_watch(cast, None);
    let (bill, first) = app.ordered(&household, 1);
    let suggestion = cast.only(&["1", "2"]);
    refuse(&app, &household, &first, &"好".repeat(80), suggestion.clone());
    let heard = watch.wait_for("outcome").data;
    let wire = heard["decision"].as_str().expect("the refusal comes with its outcome");
    let (decision, ..) =
        verify_decision(wire, &cast.book(), &first, &bill, None, &cast.certificate).expect("as it was signed");
    assert_eq!(decision.suggest, Some(suggestion.clone()));
    assert!(told(&app, cast, &household, &first)[2].contains("suggested only 1 × 全麦面包 Wholemeal bread, 2 × 牛奶"));

    let without = suggestion.without(&bill, &[]).expect("whole lines");
    let again = Order { without: without.clone(), ..cast.order_payload(&bill, 2) };
    let again = cast.sign_order(again);
    app.place(cast, &again).ok();
    let before = app.balance(&household);
    // Approving what was not asked for is refused; approving what was asked for pays that much.
    let more = cast.decision_payload(&again, &bill, None, &[line_id("3")], Verdict::Approve);
    app.decide_wire(&household, &again, &cast.sign_decision(&more)).refused(422, "bad-strike");
    let decision = cast.decision_payload(&again, &bill, None, &without, Verdict::Approve);
    let wire = cast.sign_decision(&decision);
    app.decide_wire(&household, &again, &wire).ok();
    let (decision, ..) = verify_decision(&wire, &cast.book(), &again, &bill, None, &cast.certificate).expect("sound");
    app.watch_post(cast, &again, "payment", cast.payment(&again, &decision).wire()).ok();
    assert_eq!(app.balance(&household), (before.0 - 1_750, 0));
    assert!(
        told(&app, cast, &household, &again)[1].starts_with("ordered it without 可乐 Cola, 口香糖 Gum, 铅笔 Pencil")
    );
}

#[test]
fn money_for_the_part_that_is_asked_for_is_enough() {
    let app = TestApp::start();
    app.add_merchant(&Cast::new(0));
    let household = app.add_household(Cast::new(0), 1_750);
    let cast = &household.cast;
    let bill = cast.bill(1);
    app.post_bill(&bill).ok();
    let without = ["3", "4", "5"].map(line_id).to_vec();
    let order = cast.sign_order(Order { without: without.clone(), ..cast.order_payload(&bill, 1) });
    app.place(cast, &order).ok();
    assert_eq!(app.order_state(&household, &order), "waiting");
    let decision = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &without, Verdict::Approve));
    app.decide_wire(&household, &order, &decision).ok();
    let (decision, ..) =
        verify_decision(&decision, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    assert_eq!(app.balance(&household), (0, 0));
}

#[test]
fn a_suggestion_that_is_none_is_refused() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (bill, order) = app.ordered(&household, 1);
    let bent = |verdict, suggest| {
        let mut decision = cast.decision_payload(&order, &bill, None, &[], verdict);
        decision.suggest = Some(suggest);
        app.decide_wire(&household, &order, &cast.sign_decision(&decision))
    };
    bent(Verdict::Approve, cast.less_milk()).refused(422, "bad-suggestion");
    bent(Verdict::Refuse, Suggestion::default()).refused(422, "bad-suggestion");
    bent(Verdict::Refuse, cast.only(&["1", "2", "3", "4", "5"])).refused(422, "bad-suggestion");
    let up_to = Suggestion { up_to: Some(cny(3_650)), ..Suggestion::default() };
    bent(Verdict::Refuse, up_to).refused(422, "bad-suggestion");
    assert_eq!(app.order_state(&household, &order), "waiting");
    let everything = Order { without: ["1", "2", "3", "4", "5"].map(line_id).to_vec(), ..cast.order_payload(&bill, 2) };
    app.place(cast, &cast.sign_order(everything)).refused(422, "everything-struck");
}

#[test]
fn spending_is_told_by_the_guardians_own_days() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    let (_, waiting) = app.ordered(&household, 2);
    let hour_ms = 60 * 60 * 1000;
    let now = app.now().unix_ms();
    let path = |order: OrderId, day: i64, month: i64| {
        format!("/api/guardian/orders/{order}/spending?day={}&month={}", now + day * hour_ms, now + month * hour_ms)
    };
    let sums = |day, month| app.guardian_get(&household, &path(waiting.order, day, month)).ok();
    assert_eq!(sums(-1, -24), json!({ "day": cny(3_650), "month": cny(3_650) }));
    assert_eq!(sums(1, 1), json!({ "day": cny(0), "month": cny(0) }), "a phone whose clock is ahead");
    assert_eq!(sums(1, -1), json!({ "day": cny(0), "month": cny(3_650) }));
    for (day, month) in [(2, -24), (-1, 0), (-27, -28), (-1, -31 * 24 - 3)] {
        app.guardian_get(&household, &path(waiting.order, day, month)).refused(400, "malformed-request");
    }
    app.guardian_get(&household, &format!("/api/guardian/orders/{}/spending", waiting.order))
        .refused(400, "malformed-request");
    app.guardian_get(&household, &path(OrderId::from_bytes([9; 16]), -1, -1)).refused(404, "order-unknown");
    let other = app.add_household(Cast::new(1), 1_000);
    app.guardian_get(&other, &path(waiting.order, -1, -1)).refused(404, "order-unknown");
}

#[test]
fn what_counts_for_the_households_caps_is_told_beside_an_order() {
    let (app, mut household) = TestApp::furnished();
    let caps = HouseCaps { utc_minutes: 8 * 60, per_day: None, per_week: Some(cny(10_000)), per_month: None };
    append(&app, &mut household, Entry::SetHouseRules(HouseRules { caps: Some(caps), ..HouseRules::default() })).ok();
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    app.watch_post(&household.cast, &order, "payment", household.cast.payment(&order, &decision).wire()).ok();
    let told = |cookie: &str| {
        let now = app.now().unix_ms();
        let path = format!("/api/guardian/orders/{}/spending?day={now}&month={now}", order.order);
        app.get(&path, &[("cookie", cookie)]).ok()["house"].clone()
    };
    let all = |day, week, month| json!({ "day": cny(day), "week": cny(week), "month": cny(month) });
    assert_eq!(told(&household.cookie), all(3_650, 3_650, 3_650));
    // It was a Sunday.
    app.clock.advance_ms(24 * 60 * 60 * 1000);
    let cookie = crate::app::login(&app, &household.cast).cookie.expect("a session");
    assert_eq!(told(&cookie), all(0, 0, 3_650));
}
