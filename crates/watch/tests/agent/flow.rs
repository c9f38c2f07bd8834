//! The whole main job on the watch, as the wearer sees it.

use crate::world::{Plan, World};
use nodpay_core::*;
use nodpay_testkit::{cny, line_id};
use nodpay_watch::view::{EndKind, Ending, Notice, Screen, UserAction};

fn ending(world: &World) -> Ending {
    let Screen::Ended(ending) = world.screen() else { panic!("not ended: {:?}", world.screen()) };
    ending
}

fn run(plan: Plan) -> World {
    let mut world = World::paired();
    world.plan = plan;
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    world
}

#[test]
fn an_approved_order_is_paid_and_reported() {
    let world = run(Plan::Approve { struck: vec![] });
    let ending = ending(&world);
    assert_eq!((ending.kind, ending.total, ending.balance), (EndKind::Paid, cny(3650), Some(cny(1350))));
    let order = &world.service.orders[0];
    assert_eq!(order.result.as_ref().map(|result| result.seen), Some(OutcomeKind::Paid));
    assert_eq!((world.service.seen_orders.len(), world.service.seen_payments.len()), (1, 1));
    let names: Vec<&str> = world
        .screens
        .iter()
        .map(|screen| match screen {
            Screen::Welcome { .. } => "welcome",
            Screen::Scan { .. } => "scan",
            Screen::ChoosePin { digits: 0, .. } => "choose",
            Screen::ChoosePin { .. } | Screen::Pin { digits: 1.., .. } => "",
            Screen::Pairing { .. } => "pairing",
            Screen::Home { .. } => "home",
            Screen::Fetching => "fetching",
            Screen::Review(_) => "review",
            Screen::Pin { .. } => "pin",
            Screen::Sending => "sending",
            Screen::Waiting { .. } => "waiting",
            Screen::Paying { .. } => "paying",
            Screen::Ended(_) => "ended",
            Screen::Recognise { .. } => "recognise",
            Screen::Amount(_) => "amount",
            Screen::History(_) => "history",
            Screen::Settings(_) => "settings",
        })
        .filter(|name| !name.is_empty())
        .collect();
    let mut names = names;
    names.dedup();
    let expected = [
        "welcome", "scan", "fetching", "choose", "pairing", "home", "scan", "fetching", "review", "pin", "sending",
        "waiting", "paying", "ended",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_watch_pays_the_order_without_the_struck_lines() {
    let world = run(Plan::Approve { struck: vec!["3", "4"] });
    let ending = ending(&world);
    assert_eq!((ending.kind, ending.total), (EndKind::Paid, cny(2450)));
    assert_eq!(ending.struck, ["可乐 Cola", "口香糖 Gum"]);
    assert_eq!(ending.guardian.as_deref(), Some("妈妈"));
    let nodded = world.screens.iter().find_map(|screen| {
        let Screen::Paying { guardian, struck, .. } = screen else { return None };
        Some((guardian.clone(), struck.len()))
    });
    assert_eq!(nodded, Some((Some("妈妈".to_owned()), 2)));
    assert_eq!(world.service.orders[0].payment.as_ref().map(|payment| payment.total), Some(cny(2450)));
}

#[test]
fn a_requoted_bill_is_verified_and_paid() {
    let mut world = World::paired();
    let discount = Adjustment {
        kind: AdjustmentKind::Discount,
        name: Text::new("会员").expect("a name"),
        amount: nodpay_testkit::minor(-150),
    };
    let bill = world.service.cast.bill_payload(1, Reduction::Requote, vec![discount]);
    let mut bill = bill;
    nodpay_testkit::retotal(&mut bill);
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.plan = Plan::Approve { struck: vec!["5"] };
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    let ending = ending(&world);
    assert_eq!((ending.kind, ending.total), (EndKind::Paid, cny(3650 - 150 - 700)));
    assert_eq!(ending.struck, ["铅笔 Pencil"]);
    world.reboot();
    world.settle();
    assert_eq!(self::ending(&world), ending);
}

#[test]
fn a_refusal_shows_the_guardians_words() {
    let world = run(Plan::Refuse);
    let ending = ending(&world);
    assert_eq!((ending.kind, ending.reason), (EndKind::Refused, Some(Notice::Words("先吃饭".to_owned()))));
    assert!(world.service.seen_payments.is_empty());
    assert_eq!(world.service.orders[0].result.as_ref().map(|result| result.seen), Some(OutcomeKind::Refused));
}

#[test]
fn a_refusal_of_a_requoted_bill_is_verified_too() {
    let mut world = World::waiting();
    let bill = world.service.cast.bill_payload(7, Reduction::Requote, Vec::new());
    let bill = world.service.cast.sign_bill(bill);
    world.service.bills = vec![bill.clone()];
    world.user(UserAction::Cancel);
    world.settle();
    world.user(UserAction::Done);
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.service.orders[1].requote = Some(world.service.cast.requote(&bill, &[line_id("1")], 2));
    world.service.decide(1, &Plan::Refuse);
    world.settle();
    assert_eq!(ending(&world).kind, EndKind::Refused);
}

#[test]
fn an_order_nobody_answers_expires() {
    let world = run(Plan::Nothing);
    let ending = ending(&world);
    assert_eq!((ending.kind, ending.reason), (EndKind::Expired, None));
    assert_eq!(world.service.now / 1_000, 600);
    assert_eq!(world.service.orders[0].result.as_ref().map(|result| result.seen), Some(OutcomeKind::Expired));
}

#[test]
fn the_occasion_is_signed_and_can_be_taken_back() {
    let mut world = World::paired();
    world.run_until(|world| matches!(world.screen(), Screen::Review(_)));
    let chosen = |world: &World| {
        let Screen::Review(basket) = world.screen() else { panic!("not the bill: {:?}", world.screen()) };
        basket.occasion
    };
    world.user(UserAction::Occasion(Some(Occasion::Birthday)));
    assert_eq!(chosen(&world), Some(Occasion::Birthday));
    world.user(UserAction::Occasion(None));
    assert_eq!(chosen(&world), None);
    world.user(UserAction::Occasion(Some(Occasion::Hungry)));
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    assert_eq!(world.service.orders[0].order.occasion, Some(Occasion::Hungry));
}

#[test]
fn the_history_shows_what_ended_over_a_reboot() {
    let mut world = run(Plan::Refuse);
    world.user(UserAction::Done);
    world.plan = Plan::Approve { struck: vec!["3"] };
    let bill = world.service.cast.bill_payload(7, Reduction::LinesSum, Vec::new());
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.user(UserAction::Done);
    world.reboot();
    world.settle();
    world.user(UserAction::History);
    let Screen::History(past) = world.screen() else { panic!("not the history: {:?}", world.screen()) };
    let told: Vec<_> = past.iter().map(|order| (order.kind, order.total)).collect();
    assert_eq!(told, [(EndKind::Paid, cny(2950)), (EndKind::Refused, cny(3650))]);
    world.user(UserAction::Cancel);
    assert!(matches!(world.screen(), Screen::Home { .. }));
}

/// The bank's answer got lost: the watch says so while it waits, and it changes nothing else.
#[test]
fn the_watch_says_that_the_bank_has_not_answered() {
    let mut world = World::waiting();
    let id = world.service.orders[0].order.order;
    let unanswered = |world: &World| {
        let Screen::Waiting { unanswered, .. } = world.screen() else { panic!("{:?}", world.screen()) };
        unanswered
    };
    assert!(!unanswered(&world));
    for (asking, shown) in [("answer", false), ("unknown", true), ("guardian", false), ("unknown", true)] {
        world.service.event("order", serde_json::json!({"order": id, "state": "holding", "asking": asking}));
        world.settle();
        assert_eq!(unanswered(&world), shown, "{asking}");
    }
}

/// One of two guardians nodded: the watch says so while it waits, until the service says otherwise, and pays nothing.
#[test]
fn the_watch_says_that_one_of_two_nodded() {
    let mut world = World::waiting();
    let id = world.service.orders[0].order.order;
    let one_nod = |world: &World| {
        let Screen::Waiting { one_nod, .. } = world.screen() else { panic!("{:?}", world.screen()) };
        one_nod
    };
    assert!(!one_nod(&world));
    let waits = serde_json::json!({"order": id, "state": "waiting"});
    let mut nodded = waits.clone();
    nodded["nods"] = serde_json::json!(1);
    for (event, shown) in [(&nodded, true), (&waits, false), (&nodded, true)] {
        world.service.event("order", event.clone());
        world.settle();
        assert_eq!(one_nod(&world), shown, "{event}");
    }
    assert!(world.service.seen_payments.is_empty());
}
