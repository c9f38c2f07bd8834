//! What a guardian says besides yes and no: notes, suggestions, and what the wearer makes of them.

use crate::world::{Plan, World};
use nodpay_core::*;
use nodpay_testkit::{cny, line_id};
use nodpay_watch::view::{EndKind, Ending, Notice, Screen, Suggested, SuggestedLine, UserAction};

/// A watch whose order was refused with a suggestion.
fn refused(suggestion: impl FnOnce(&World) -> Suggestion) -> World {
    let mut world = World::waiting();
    let suggestion = suggestion(&world);
    world.service.decide(0, &Plan::Suggest(suggestion));
    world.settle();
    world
}

fn ending(world: &World) -> Ending {
    let Screen::Ended(ending) = world.screen() else { panic!("not ended: {:?}", world.screen()) };
    ending
}

fn suggested(world: &World) -> Suggested {
    ending(world).suggestion.expect("a suggestion")
}

#[test]
fn a_suggestion_is_shown_and_outlives_a_reboot() {
    let mut world = refused(|world| world.service.cast.less_milk());
    let shown = ending(&world);
    assert_eq!((shown.kind, shown.reason), (EndKind::Refused, Some(Notice::Words("先吃饭".to_owned()))));
    let line = SuggestedLine { name: "牛奶 Milk 250 ml".to_owned(), quantity: 1, asked: 2 };
    let expected = Suggested { lines: vec![line], hint: Some(Hint::Smaller), up_to: Some(cny(500)), same_bill: false };
    assert_eq!(suggested(&world), expected);
    world.reboot();
    world.settle();
    assert_eq!(suggested(&world), expected);
    // Less of a line than the bill has: the shop makes another bill.
    world.user(UserAction::Start);
    assert!(matches!(world.screen(), Screen::Scan { .. }), "{:?}", world.screen());
}

#[test]
fn the_suggestion_is_asked_for_and_paid_with_its_own_nod() {
    let mut world = refused(|world| world.service.cast.only(&["1", "2"]));
    assert!(suggested(&world).same_bill);
    world.pass(1_000);
    world.reboot();
    world.settle();
    world.user(UserAction::Start);
    let Screen::Review(basket) = world.screen() else { panic!("{:?}", world.screen()) };
    let names: Vec<&str> = basket.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["全麦面包 Wholemeal bread", "牛奶 Milk 250 ml"]);
    assert_eq!((basket.total, basket.at_most), (cny(1_750), false));
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    let Screen::Waiting { total, .. } = world.screen() else { unreachable!() };
    assert_eq!(total, cny(1_750), "the wearer sees what was asked for");
    world.settle();
    assert!(world.service.seen_payments.is_empty(), "a suggestion pays nothing");
    let (first, again) = (&world.service.orders[0], &world.service.orders[1]);
    assert_eq!((again.order.bill, again.order.without.len()), (first.order.bill, 3));
    assert_ne!(again.order.wearer_check.at, first.order.wearer_check.at, "the wearer typed the PIN anew");
    world.service.decide(1, &Plan::Approve { struck: vec!["3", "4", "5"] });
    world.settle();
    let shown = ending(&world);
    assert_eq!((shown.kind, shown.total), (EndKind::Paid, cny(1_750)));
    assert_eq!(world.service.orders[1].payment.as_ref().map(|payment| payment.total), Some(cny(1_750)));
}

#[test]
fn what_was_not_asked_for_is_not_paid() {
    let mut world = refused(|world| world.service.cast.only(&["1", "2"]));
    world.user(UserAction::Start);
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.settle();
    let cast = &world.service.cast;
    let order = &world.service.orders[1];
    let struck = [line_id("3")];
    let decision = cast.decision_payload(&order.order, &order.bill, None, &struck, Verdict::Approve);
    let wire = cast.sign_decision(&decision);
    let data = serde_json::json!({ "order": order.order.order, "decision": wire });
    world.service.event("decision", data);
    world.settle();
    let shown = ending(&world);
    assert_eq!((shown.kind, shown.reason), (EndKind::Failed, Some(Notice::NotGenuine)));
    assert!(world.service.seen_payments.is_empty());
}

#[test]
fn a_part_of_a_bill_that_only_the_shop_can_price_costs_at_most_the_whole() {
    let mut world = World::paired();
    let bill = world.service.cast.bill_payload(1, Reduction::Requote, Vec::new());
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.plan = Plan::Nothing;
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.settle();
    let only = world.service.cast.only(&["1"]);
    world.service.decide(0, &Plan::Suggest(only));
    world.settle();
    world.user(UserAction::Start);
    let Screen::Review(basket) = world.screen() else { panic!("{:?}", world.screen()) };
    assert_eq!((basket.lines.len(), basket.total, basket.at_most), (1, cny(3_650), true));
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.settle();
    world.service.decide(1, &Plan::Approve { struck: vec!["2", "3", "4", "5"] });
    world.settle();
    assert_eq!((ending(&world).kind, ending(&world).total), (EndKind::Paid, cny(850)));
}

#[test]
fn a_watch_asks_for_the_part_it_has_money_for() {
    let mut world = refused(|world| world.service.cast.only(&["1", "2"]));
    world.service.event("balance", serde_json::json!({"balance": cny(1_750)}));
    world.settle();
    world.user(UserAction::Start);
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.settle();
    assert_eq!(world.service.orders.len(), 2);
}

#[test]
fn a_bill_that_is_too_old_is_not_asked_for_again() {
    let mut world = refused(|world| world.service.cast.only(&["1"]));
    world.pass(16 * 60_000);
    world.user(UserAction::Start);
    assert!(matches!(world.screen(), Screen::Home { notice: Some(Notice::BillExpired), .. }), "{:?}", world.screen());
}

#[test]
fn only_a_suggestion_can_be_tried_again() {
    let mut world = World::waiting();
    world.service.decide(0, &Plan::Refuse);
    world.settle();
    world.user(UserAction::Start);
    assert_eq!(ending(&world).suggestion, None);
    world.user(UserAction::Done);
    assert!(matches!(world.screen(), Screen::Home { notice: None, .. }));
}

#[test]
fn a_note_comes_with_the_nod() {
    let mut world = World::waiting();
    let order = &world.service.orders[0];
    let mut decision = world.service.cast.decision_payload(&order.order, &order.bill, None, &[], Verdict::Approve);
    let note = "好".repeat(MAX_NOTE_CHARS);
    decision.reason = Text::new(&note).ok();
    let wire = world.service.cast.sign_decision(&decision);
    let data = serde_json::json!({ "order": order.order.order, "decision": wire });
    world.service.event("decision", data);
    world.settle();
    let said = world
        .screens
        .iter()
        .any(|screen| matches!(screen, Screen::Paying { words: Some(words), .. } if *words == note));
    assert!(said, "on the way");
}
