//! The eleven claims, one or more tests each, named after them (CN108694578A in our words; see docs/CLAIMS.md).

use nodpay::parties::{Approval, WatchOptions, WatchProcess, label_with, line_id, photograph};
use nodpay_core::{OutcomeKind, PinConsent, PinState, Text};
use serde_json::Value;

use crate::table::{Table, program, requotable, small_snack};

fn cola() -> Approval {
    Approval::Without(vec![line_id("cola").expect("an id")])
}

fn all() -> Approval {
    Approval::Without(Vec::new())
}

fn orders(table: &Table) -> Vec<Value> {
    let answer = table.cast.guardian.client().get("/api/guardian/orders").expect("the orders");
    answer["orders"].as_array().expect("a list").clone()
}

/// Scans the till's code and confirms the bill, up to the PIN.
fn up_to_pin(table: &mut Table) {
    let posted = table.cast.merchant.charge(small_snack()).expect("a bill");
    let watch = &mut table.cast.watch;
    watch.tap("Pay").expect("taps");
    watch.wait_screen("scan").expect("scan");
    watch.show_frame(&photograph(&posted.code, None).expect("a picture")).expect("reads the code");
    watch.wait_screen("review").expect("review");
    watch.tap("Confirm").expect("taps");
    watch.wait_screen("pin").expect("pin");
}

#[test]
fn claim_1_the_watch_orders_waits_for_the_nod_and_pays() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "1").expect("ordered");
    table.cast.watch.wait_screen("waiting").expect("waits");
    assert_eq!(table.balance(), 5000, "nothing moves before the nod");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.guardian.decide(&view, &all()).expect("nods");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!((report.outcome, report.total.minor()), (OutcomeKind::Paid, 365));
    assert_eq!(table.balance(), 5000 - 365);
    let status = table.cast.merchant.bill_status(view.bill.bill).expect("a status");
    assert_eq!(status["status"], "paid");
}

#[test]
fn claim_2_no_order_leaves_the_watch_before_the_wearer_is_known() {
    let mut table = Table::lay();
    up_to_pin(&mut table);
    table.cast.watch.type_pin("1379", "Confirm").expect("a wrong PIN");
    let shown =
        table.cast.watch.wait("tries left", |shown| label_with(shown, "4 tries left")).expect("a wrong PIN is said");
    assert_eq!(shown["screen"], "pin");
    assert!(orders(&table).is_empty(), "no order was sent");
    table.cast.watch.type_pin(nodpay::parties::PIN, "Confirm").expect("the right PIN");
    table.cast.events.wait_for("order", |_| true).expect("now it is");
    assert_eq!(orders(&table).len(), 1);
}

#[test]
fn claim_2_a_guardian_hears_of_wrong_pins_and_unlocks_the_watch() {
    let mut table = Table::lay();
    up_to_pin(&mut table);
    for _ in 0..5 {
        table.cast.watch.type_pin("1379", "Confirm").expect("a wrong PIN");
    }
    table.cast.watch.wait("the lock", |shown| label_with(shown, "locked")).expect("locks");
    table.cast.events.wait_for("pin", |_| true).expect("the guardian hears");
    let reports = table.cast.guardian.pin_reports().expect("verified");
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((report.state, report.wrong), (PinState::Waiting, 5));
    table.cast.guardian.answer_pin(report, PinConsent::Unlock).expect("signed");
    table.cast.watch.wait("the keypad", |shown| !label_with(shown, "locked")).expect("opens");
    table.cast.events.wait_for("pin", |_| true).expect("the guardian hears that it is well again");
    table.cast.watch.type_pin(nodpay::parties::PIN, "Confirm").expect("the right PIN");
    table.cast.events.wait_for("order", |_| true).expect("ordered");
    let reports = table.cast.guardian.pin_reports().expect("verified");
    assert_eq!(reports.first().map(|report| report.state), Some(PinState::Ok));
}

#[test]
fn claim_2_a_new_pin_takes_the_guardians_word() {
    let mut table = Table::lay();
    table.cast.watch.tap("Settings").expect("taps");
    table.cast.watch.wait_screen("settings").expect("settings");
    table.cast.watch.tap("Change PIN").expect("taps");
    table.cast.events.wait_for("pin", |_| true).expect("the guardian hears");
    let reports = table.cast.guardian.pin_reports().expect("verified");
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(report.state, PinState::AskedNewPin);
    table.cast.guardian.answer_pin(report, PinConsent::NewPin).expect("signed");
    table.cast.watch.wait_screen("choose-pin").expect("may choose");
    table.cast.watch.type_pin("8461", "Confirm").expect("the new PIN");
    table.cast.watch.wait("the second time", |shown| label_with(shown, "once more")).expect("asks again");
    table.cast.watch.type_pin("8461", "Confirm").expect("the new PIN");
    table.cast.events.wait_for("pin", |_| true).expect("the guardian hears that it is done");
    let reports = table.cast.guardian.pin_reports().expect("verified");
    assert_eq!(reports.first().map(|report| report.state), Some(PinState::Ok));
    table.cast.watch.tap("OK").expect("taps");
    up_to_pin(&mut table);
    table.cast.watch.type_pin(nodpay::parties::PIN, "Confirm").expect("the old PIN");
    table.cast.watch.wait("tries left", |shown| label_with(shown, "4 tries left")).expect("it is gone");
    table.cast.watch.type_pin("8461", "Confirm").expect("the new PIN");
    table.cast.events.wait_for("order", |_| true).expect("ordered");
}

#[test]
fn claim_2_five_wrong_pins_lock_the_watch_through_a_restart() {
    let mut table = Table::lay();
    up_to_pin(&mut table);
    for left in ["4 tries left", "3 tries left", "2 tries left", "1 try left"] {
        table.cast.watch.type_pin("1379", "Confirm").expect("a wrong PIN");
        table.cast.watch.wait("tries left", |shown| label_with(shown, left)).expect("counts down");
    }
    table.cast.watch.type_pin("1379", "Confirm").expect("a wrong PIN");
    table.cast.watch.wait("the lock", |shown| label_with(shown, "locked")).expect("locks");
    table.restart_watch();
    table.cast.watch.wait("home", |shown| shown["screen"] == "home" && label_with(shown, "50")).expect("home");
    up_to_pin(&mut table);
    table.cast.watch.wait("the lock", |shown| label_with(shown, "locked")).expect("still locked");
    assert!(orders(&table).is_empty(), "no order was sent");
}

#[test]
fn claim_3_success_is_reported_to_the_phone() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "3").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.guardian.decide(&view, &all()).expect("nods");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!(report.story.last().map(|step| step.what.as_str()), Some("confirmed that it saw: paid"));
}

#[test]
fn claim_3_failure_is_reported_to_the_phone() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "3").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.merchant.cancel(view.bill.bill).expect("the shop takes the bill back");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!(report.outcome, OutcomeKind::Failed);
    assert_eq!(report.story.last().map(|step| step.what.as_str()), Some("confirmed that it saw: failed"));
    assert_eq!(table.balance(), 5000);
}

#[test]
fn claim_3_refusal_is_reported_to_both() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "3").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    let words = Text::new("Dinner is soon").expect("words");
    table.cast.guardian.decide(&view, &Approval::Refuse(Some(words))).expect("refuses");
    let shown = table.cast.watch.wait_screen("ended").expect("the watch hears it");
    assert!(label_with(&shown, "Dinner is soon"), "with the guardian's words: {shown}");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!(report.outcome, OutcomeKind::Refused);
    assert_eq!(table.balance(), 5000);
}

#[test]
fn claim_4_the_code_comes_from_camera_frames_and_other_codes_are_named() {
    let mut table = Table::lay();
    let codes =
        [("https://qr.alipay.com/fkx12345", "Alipay"), ("wxp://f2f0abcdefghijkl", "WeChat"), ("hello", "payment code")];
    for (text, says) in codes {
        table.cast.watch.tap("Pay").expect("taps");
        table.cast.watch.wait_screen("scan").expect("scan");
        let frame = photograph(text, None).expect("a picture");
        table.cast.watch.hold_frame(&frame, |shown| label_with(shown, says)).expect(says);
        table.cast.watch.tap("Back").expect("taps");
        table.cast.watch.wait_screen("home").expect("home");
    }
}

#[test]
fn claim_5_the_phone_shows_the_order_and_its_confirmation_makes_the_watch_pay() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "5").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("shown only when all of it verifies");
    let names: Vec<&str> = view.bill.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names.len(), 5);
    assert_eq!(view.certificate.name.as_str(), "阳光小卖部 Sunny Shop");
    table.cast.guardian.decide(&view, &all()).expect("confirms");
    let decision = table.cast.events.wait_for("decision", |event| event["order"] == order.as_str());
    decision.expect("recorded");
    table.cast.ended(&order).expect("the watch pays");
}

#[test]
fn claim_6_the_order_says_how_and_when_the_wearer_was_known() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "6").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    let since = view.order.created.ms_since(view.order.wearer_check.at);
    assert!((0..120_000).contains(&since), "{since} ms before the order");
}

#[test]
fn claim_7_the_watch_pays_the_order_without_the_struck_line() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "7").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.guardian.decide(&view, &cola()).expect("strikes and nods");
    let shown = table.cast.watch.wait_screen("ended").expect("the watch pays");
    assert!(label_with(&shown, "Cola"), "the child sees what was taken out: {shown}");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!((report.outcome, report.total.minor()), (OutcomeKind::Paid, 365 - 70));
    assert_eq!(report.struck, ["cola"]);
    assert_eq!(table.balance(), 5000 - 295);
}

#[test]
fn claim_7_where_only_the_shop_can_reduce_it_signs_again() {
    let mut table = Table::lay();
    let posted = table.cast.merchant.charge(requotable()).expect("a bill");
    let mut till = table.cast.merchant.events().expect("events");
    let order = table.cast.order_for(&posted, "7").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    let struck = [line_id("gum").expect("an id")];
    assert!(table.cast.guardian.sign_decision(&view, &Approval::Without(struck.to_vec())).is_err(), "needs a requote");

    table.cast.guardian.strike(&view, &struck).expect("asks the shop");
    let ask = till.wait_for("requote", |_| true).expect("the shop is asked");
    table.cast.merchant.refuse_requote(&ask, "Only sold together").expect("the shop says no");
    table.cast.events.wait_for("requote", |_| true).expect("heard"); // asked
    let said = loop {
        let orders = orders(&table);
        let ask = &orders[0]["ask"];
        if ask["state"] == "refused" {
            break ask["reason"].clone();
        }
        table.cast.events.wait_for("requote", |_| true).expect("answered");
    };
    assert_eq!(said, "Only sold together");

    let stale = table.cast.guardian.sign_decision(&view, &all()).expect("over revision 1");
    table.cast.guardian.strike(&view, &struck).expect("asks again");
    let ask = till.wait_for("requote", |_| true).expect("the shop is asked");
    table.cast.merchant.requote(&posted.bill, &ask).expect("the shop signs again");
    let refused = table.cast.guardian.send_decision(&view, &stale).expect_err("it was requoted since");
    assert!(refused.to_string().contains("stale-bill"), "{refused}");

    let view = table.cast.guardian.order(&order).expect("verified");
    assert!(view.requote.is_some());
    table.cast.guardian.decide(&view, &Approval::Without(struck.to_vec())).expect("nods");
    let (_, report) = table.cast.ended(&order).expect("the watch pays");
    assert_eq!((report.outcome, report.total.minor()), (OutcomeKind::Paid, 315));
}

#[test]
fn the_child_takes_an_order_back() {
    let mut table = Table::lay();
    let order = table.cast.order_of(small_snack(), "cancel").expect("ordered");
    table.cast.watch.wait_screen("waiting").expect("waits");
    table.cast.watch.tap("Cancel").expect("taps");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!(report.outcome, OutcomeKind::Cancelled);
    let view = table.cast.guardian.order(&order).expect("verified");
    let late = table.cast.guardian.decide(&view, &all()).expect_err("too late");
    assert!(late.to_string().contains("order-ended"), "{late}");
    assert_eq!(table.balance(), 5000);
}

#[test]
fn an_order_nobody_answers_expires_on_both_sides() {
    let mut table = Table::lay();
    let options = WatchOptions { order_life_ms: Some(1_000), ..table.watch.clone() };
    table.cast.restart_watch(&options).expect("the watch again");
    let order = table.cast.order_of(small_snack(), "expired").expect("ordered");
    let (_, report) = table.cast.ended(&order).expect("ends");
    assert_eq!(report.outcome, OutcomeKind::Expired);
    assert_eq!(table.balance(), 5000);
}

#[test]
fn a_removed_watch_can_no_longer_order() {
    let mut table = Table::lay();
    let household = table.cast.guardian.client().get("/api/guardian/household").expect("the household");
    assert_eq!(household["log"].as_array().map(Vec::len), Some(2));
    let order = table.cast.order_of(small_snack(), "before").expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.guardian.decide(&view, &all()).expect("nods");
    table.cast.ended(&order).expect("ends");
    table.cast.dismiss().expect("home");
    table.cast.guardian.remove_watch(view.order.watch).expect("removed");
    table.cast.watch.wait("not enrolled", |shown| shown["screen"] == "welcome").expect("the watch hears it");
}

#[test]
fn claims_8_to_11_the_programs_of_both_sides_exist_and_run() {
    let help = std::process::Command::new(program()).arg("--help").output().expect("runs");
    let help = String::from_utf8(help.stdout).expect("text");
    for command in ["serve", "demo", "watch", "scan", "qr", "verify", "bench", "admin"] {
        assert!(help.contains(command), "{command} is missing in:\n{help}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = WatchOptions::of_program(&program(), folder.path());
    let watch = WatchProcess::start(&options).expect("starts");
    watch.wait_screen("welcome").expect("a new watch says hello");
}
