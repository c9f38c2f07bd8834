//! The battery is pulled, the server dies: SIGKILL between any two steps, then a restart. Each order goes on, ends in
//! exactly one outcome, and its money moved at most once.

use nodpay::parties::{Approval, PIN, label_with, line_id, photograph};
use nodpay_core::OutcomeKind;

use crate::table::{Table, small_snack};

/// The steps of one payment, in order. A kill happens right after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Charged,
    Scanned,
    Confirmed,
    PinTyped,
    OrderSeen,
    Waiting,
    Decided,
    Ended,
}

const STEPS: [Step; 8] = [
    Step::Charged,
    Step::Scanned,
    Step::Confirmed,
    Step::PinTyped,
    Step::OrderSeen,
    Step::Waiting,
    Step::Decided,
    Step::Ended,
];

const PRICE: i64 = 365 - 70;

/// Plays one payment and calls `kill` right after `at`.
fn pay_through(table: &mut Table, at: Step, kill: &dyn Fn(&mut Table)) {
    let before = table.balance();
    let posted = table.cast.merchant.charge(small_snack()).expect("a bill");
    let frame = photograph(&posted.code, None).expect("a picture");
    let strike = |step: Step, table: &mut Table| {
        if step == at {
            kill(table);
        }
    };
    strike(Step::Charged, table);
    // Whatever was not yet an order is gone with the watch: the child starts again.
    loop {
        let shown = table.cast.watch.wait("home, connected", |shown| {
            shown["screen"] == "home" && shown["online"] == true && label_with(shown, "Pay")
        });
        shown.expect("home");
        table.cast.watch.tap("Pay").expect("taps");
        table.cast.watch.wait_screen("scan").expect("scan");
        table.cast.watch.show_frame(&frame).expect("reads the code");
        let settled = |shown: &serde_json::Value| shown["screen"] == "review" || shown["screen"] == "home";
        if table.cast.watch.wait("the bill", settled).expect("the bill")["screen"] == "home" {
            continue;
        }
        break;
    }
    strike(Step::Scanned, table);
    if at == Step::Scanned && table.cast.watch.elements()["screen"] != "review" {
        return pay_through(table, Step::Ended, &|_| {});
    }
    table.cast.watch.tap("Confirm").expect("taps");
    table.cast.watch.wait_screen("pin").expect("pin");
    strike(Step::Confirmed, table);
    if at == Step::Confirmed && table.cast.watch.elements()["screen"] != "pin" {
        return pay_through(table, Step::Ended, &|_| {});
    }
    table.cast.watch.type_pin(PIN, "Confirm").expect("types");
    table.cast.watch.wait("the order on its way", |shown| shown["screen"] != "pin").expect("sends");
    strike(Step::PinTyped, table);
    let bill = posted.bill.digest();
    let order = loop {
        let event = table.cast.events.wait_for("order", |_| true).expect("an order");
        let order = event["order"].as_str().expect("an id").to_owned();
        if table.cast.guardian.order(&order).is_ok_and(|view| view.order.bill == bill) {
            break order;
        }
    };
    strike(Step::OrderSeen, table);
    table.cast.watch.wait_screen("waiting").expect("waits");
    strike(Step::Waiting, table);
    let view = table.cast.guardian.order(&order).expect("verified");
    let wire = table
        .cast
        .guardian
        .sign_decision(&view, &Approval::Without(vec![line_id("cola").expect("an id")]))
        .expect("signs");
    table.cast.guardian.send_decision(&view, &wire).expect("nods");
    strike(Step::Decided, table);
    let (evidence, report) = table.cast.ended(&order).expect("ends");
    strike(Step::Ended, table);
    table.cast.watch.wait_screen("ended").expect("still shown");
    assert_eq!(table.cast.guardian.evidence(&order).expect("evidence"), evidence, "one outcome");
    assert_eq!((report.outcome, report.total.minor()), (OutcomeKind::Paid, PRICE));
    assert_eq!(table.balance(), before - PRICE, "money moved once");
    table.cast.dismiss().expect("home");
}

#[test]
fn the_service_is_killed_after_every_step() {
    let mut table = Table::lay();
    for step in STEPS {
        eprintln!("service killed after {step:?}");
        pay_through(&mut table, step, &Table::restart_service);
    }
}

#[test]
fn the_watch_is_killed_after_every_step() {
    let mut table = Table::lay();
    for step in STEPS {
        eprintln!("watch killed after {step:?}");
        pay_through(&mut table, step, &Table::restart_watch);
    }
}

#[test]
fn both_are_killed_in_the_middle_of_paying() {
    let mut table = Table::lay();
    for step in [Step::PinTyped, Step::Decided, Step::Ended] {
        pay_through(&mut table, step, &|table| {
            table.restart_watch();
            table.restart_service();
        });
    }
}
