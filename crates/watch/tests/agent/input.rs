//! Whatever a child, a camera, a clock, a network and a service can do that is not the main job.

use nodpay_core::*;
use nodpay_testkit::{START, cny};
use nodpay_watch::view::{EndKind, Notice, OtherSystem, ScanFor, Screen, UserAction};
use nodpay_watch::{Agent, Input, JournalError};

use crate::weather::Weather;
use crate::world::{Plan, World, config};

const HOUR_MS: i64 = 3_600_000;

fn home_notice(world: &World) -> Option<Notice> {
    let Screen::Home { notice, .. } = world.screen() else { panic!("not home: {:?}", world.screen()) };
    notice
}

fn scanned(text: &str) -> Option<Notice> {
    let mut world = World::paired();
    world.user(UserAction::Start);
    world.handle(Input::CodesRead(vec![text.to_owned()]));
    let Screen::Scan { purpose: ScanFor::Paying, notice } = world.screen() else { panic!("{:?}", world.screen()) };
    notice
}

#[test]
fn codes_of_other_systems_are_named() {
    let world = World::paired();
    let ours = world.bill_code(0);
    let broken = ours.replace("Shenzhen", "Shenzhem");
    let cases = [
        ("https://qr.alipay.com/fkx0123456789", Notice::OtherSystem(OtherSystem::Alipay)),
        ("wxp://f2f0abcdef", Notice::OtherSystem(OtherSystem::WeChat)),
        ("https://example.com/menu", Notice::OtherSystem(OtherSystem::WebAddress)),
        (broken.as_str(), Notice::BrokenCode),
        ("hello", Notice::NotAPaymentCode),
        ("", Notice::NotAPaymentCode),
        (&world.pairing_code().to_text(), Notice::NotAPaymentCode),
    ];
    for (text, notice) in cases {
        assert_eq!(scanned(text), Some(notice), "{text}");
    }
}

#[test]
fn pins_are_chosen_twice_and_not_too_easy() {
    let mut world = World::new();
    world.run_until(|world| matches!(world.screen(), Screen::ChoosePin { .. }));
    let choose = |again, notice| Screen::ChoosePin { digits: 0, again, notice };
    world.type_pin("123");
    assert_eq!(world.screen(), choose(false, Some(Notice::PinTooShort)));
    world.type_pin("1234");
    assert_eq!(world.screen(), choose(false, Some(Notice::PinTooEasy)));
    world.type_pin("8888");
    assert_eq!(world.screen(), choose(false, Some(Notice::PinTooEasy)));
    world.type_pin("7391");
    assert_eq!(world.screen(), choose(true, None));
    world.type_pin("7390");
    assert_eq!(world.screen(), choose(false, Some(Notice::PinsDiffer)));
    world.user(UserAction::Digit(7));
    world.user(UserAction::Digit(1));
    world.user(UserAction::Backspace);
    assert_eq!(world.screen(), Screen::ChoosePin { digits: 1, again: false, notice: None });
    world.user(UserAction::Cancel);
    assert_eq!(world.screen(), Screen::Welcome { notice: None });
    assert!(world.journal.is_none(), "nothing to remember yet");
}

#[test]
fn a_watch_hours_off_pairs_and_pays() {
    for hours in [-30, -1, 5, 24 * 365] {
        let mut world = World::new();
        world.skew_ms = hours * HOUR_MS;
        world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
        assert!(matches!(world.screen(), Screen::Ended(ending) if ending.kind == EndKind::Paid), "{hours} h");
        // Its battery was taken out: the clock starts somewhere else.
        world.skew_ms = -hours * HOUR_MS;
        world.user(UserAction::Done);
        world.reboot();
        world.settle();
        assert!(world.view().online, "{hours} h");
        let bill = world.service.cast.bill(2);
        world.service.bills = vec![bill];
        world.service.balance = 5_000;
        world.service.event("balance", serde_json::json!({"balance": cny(5_000)}));
        world.settle();
        world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
        assert_eq!(world.service.seen_payments.len(), 2, "{hours} h");
    }
}

#[test]
fn an_expired_pairing_code_is_refused_by_the_services_time() {
    let mut world = World::new();
    world.service.now = 31 * 60_000;
    world.skew_ms = -31 * 60_000;
    world.user(UserAction::Start);
    let code = world.pairing_code().to_text();
    world.handle(Input::CodesRead(vec!["https://example.com".to_owned()]));
    let scan = |notice| Screen::Scan { purpose: ScanFor::Pairing, notice };
    assert_eq!(world.screen(), scan(Some(Notice::NotAPairingCode)));
    world.handle(Input::CodesRead(vec![code]));
    world.settle();
    assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::PairingExpired) });
}

#[test]
fn pairing_ends_when_nobody_enrols_or_the_child_cancels() {
    let pairing = || {
        let mut world = World::new();
        world.run_until(|world| matches!(world.screen(), Screen::Pairing { .. }));
        world
    };
    let mut world = pairing();
    let Screen::Pairing { check, left_ms } = world.screen() else { panic!("pairing") };
    assert_eq!((check.len(), left_ms), (7, 30 * 60_000));
    world.pass(31 * 60_000);
    assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::PairingExpired) });
    world.reboot();
    assert_eq!(world.screen(), Screen::Welcome { notice: None });

    let mut world = pairing();
    world.user(UserAction::Cancel);
    assert_eq!(world.screen(), Screen::Welcome { notice: None });
    assert_eq!(world.agent.poll_timeout(), None, "an unpaired watch sleeps");

    for (code, notice) in [("pairing-claimed", Notice::PairingFailed), ("pairing-expired", Notice::PairingExpired)] {
        let mut world = World::new();
        world.service.refuse = Some(("/claim", 409, code));
        world.run_until(|world| matches!(world.screen(), Screen::Pairing { .. }));
        world.settle();
        assert_eq!(world.screen(), Screen::Welcome { notice: Some(notice) });
    }
}

#[test]
fn an_order_that_never_reached_the_service_ends_as_expired() {
    let mut world = World::paired();
    world.plan = Plan::Nothing;
    world.run_until(|world| matches!(world.screen(), Screen::Review(_)));
    world.go_offline();
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    let Screen::Ended(ending) = world.screen() else { panic!("ended") };
    assert_eq!((ending.kind, ending.reason), (EndKind::Expired, Some(Notice::NoNetwork)));
    assert!((600_000..=660_000).contains(&world.service.now), "{}", world.service.now);
    world.user(UserAction::Done);
    assert_eq!(home_notice(&world), None);
    world.go_online();
    for _ in 0..60 {
        world.settle();
        world.sleep();
    }
    assert!(world.service.orders.is_empty(), "the guardian is not bothered any more");
    // And the next one goes through.
    let mut bill = world.service.cast.bill_payload(2, Reduction::LinesSum, Vec::new());
    bill.valid_until = START.plus_ms(24 * HOUR_MS);
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.plan = Plan::Approve { struck: vec![] };
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert!(matches!(world.screen(), Screen::Ended(ending) if ending.kind == EndKind::Paid));
}

#[test]
fn a_child_that_cancelled_offline_goes_on_while_the_watch_tells_the_service() {
    let mut world = World::waiting();
    world.go_offline();
    world.user(UserAction::Cancel);
    assert!(matches!(world.screen(), Screen::Ended(ending) if ending.kind == EndKind::Cancelled));
    world.user(UserAction::Done);
    assert_eq!(home_notice(&world), None);
    world.reboot();
    world.settle();
    world.go_online();
    // A nod that crosses the cancellation pays nothing.
    world.service.decide(0, &Plan::Approve { struck: vec![] });
    for _ in 0..10 {
        world.settle();
        world.sleep();
    }
    assert_eq!(home_notice(&world), None, "the child has left it");
    assert!(world.service.seen_payments.is_empty());
    assert_eq!(world.service.orders[0].result.as_ref().map(|result| result.seen), Some(OutcomeKind::Cancelled));
}

#[test]
fn a_payment_in_the_dark_lets_go_of_the_screen_and_is_told_later() {
    let mut world = World::waiting();
    let stream = world.stream.expect("open").0;
    world.service.decide(0, &Plan::Approve { struck: vec![] });
    let data = world.service.events.last().expect("a decision").1.clone();
    world.weather = Weather::Out;
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data });
    world.go_offline();
    assert!(matches!(world.screen(), Screen::Paying { .. }));
    for _ in 0..200 {
        world.settle();
        world.sleep();
    }
    assert_eq!(home_notice(&world), Some(Notice::NoNetwork));
    // Never given up: it may still move money, and must then be the same payment.
    world.reboot();
    world.go_online();
    world.service.orders[0].outcome = None;
    world.service.orders[0].ends = i64::MAX;
    for _ in 0..10 {
        world.settle();
        world.sleep();
    }
    assert_eq!(world.service.seen_payments.len(), 1);
}

#[test]
fn the_service_says_why_there_is_no_bill() {
    let cases = [
        (404, "bill-unknown", Notice::BillUnknown),
        (409, "bill-already-paid", Notice::BillAlreadyPaid),
        (409, "bill-cancelled", Notice::BillCancelled),
        (409, "bill-expired", Notice::BillExpired),
        (403, "revoked-watch", Notice::WatchNotEnrolled),
        (401, "unknown-watch", Notice::WatchNotEnrolled),
        (400, "something-new", Notice::ServiceTrouble),
    ];
    for (status, code, notice) in cases {
        let mut world = World::paired();
        let end = world.service.bills[0].bill.to_string();
        world.service.refuse = Some((Box::leak(end.into_boxed_str()), status, code));
        world.user(UserAction::Start);
        let text = world.bill_code(0);
        world.handle(Input::CodesRead(vec![text]));
        world.settle();
        assert_eq!(home_notice(&world), Some(notice), "{code}");
    }
}

#[test]
fn the_service_says_why_it_takes_no_order() {
    let cases = [
        ("bill-already-paid", Notice::BillAlreadyPaid),
        ("over-new-watch-cap", Notice::OverNewWatchCap),
        ("revoked-watch", Notice::WatchNotEnrolled),
        ("household-closed", Notice::WalletStopped),
        ("order-open", Notice::ServiceTrouble),
    ];
    for (code, notice) in cases {
        let mut world = World::paired();
        world.service.refuse = Some(("/orders", 409, code));
        world.run_until(|world| matches!(world.screen(), Screen::Sending));
        world.settle();
        assert_eq!(home_notice(&world), Some(notice), "{code}");
        assert!(world.service.orders.is_empty());
        world.service.refuse = None;
        world.settle();
        world.reboot();
        world.settle();
        assert!(world.service.orders.is_empty(), "it is not sent again");
    }
}

#[test]
fn trouble_is_tried_again_with_growing_pauses() {
    let mut world = World::paired();
    world.service.refuse = Some(("/orders", 503, "busy"));
    world.run_until(|world| matches!(world.screen(), Screen::Sending));
    for _ in 0..6 {
        world.settle();
        world.sleep();
    }
    let tries = world.service.requests.iter().filter(|request| request.ends_with("/orders")).count();
    assert!((5..=9).contains(&tries), "{tries}");
    assert!((3_000..60_000).contains(&world.service.now), "{}", world.service.now);
    world.service.refuse = None;
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert_eq!(world.service.seen_orders.len(), 1);
}

#[test]
fn an_expired_bill_is_told_by_corrected_time() {
    let mut world = World::paired();
    world.skew_ms = -HOUR_MS;
    world.service.now = 16 * 60_000;
    world.reboot();
    world.settle();
    world.user(UserAction::Start);
    let code = world.bill_code(0);
    world.handle(Input::CodesRead(vec![code]));
    world.settle();
    assert_eq!(home_notice(&world), Some(Notice::BillExpired));
}

#[test]
fn a_bill_that_expires_under_the_pin_screen_makes_no_order() {
    let mut world = World::paired();
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    for _ in 0..4 {
        world.pass(4 * 60_000);
        world.user(UserAction::Backspace);
    }
    world.type_pin("7391");
    assert_eq!(home_notice(&world), Some(Notice::BillExpired));
    assert!(world.service.seen_orders.is_empty());
}

#[test]
fn too_little_money_is_known_before_anyone_is_asked() {
    let mut world = World::paired();
    world.service.event("balance", serde_json::json!({"balance": cny(3_649)}));
    world.settle();
    world.run_until(|world| matches!(world.screen(), Screen::Review(_)));
    world.user(UserAction::Confirm);
    assert_eq!(home_notice(&world), Some(Notice::NotEnoughMoney { balance: Some(cny(3_649)) }));
    // Where a card pays there is no balance, and none is in the way.
    let mut world = World::paired();
    world.service.event("balance", serde_json::json!({"balance": cny(1)}));
    world.service.event("balance", serde_json::json!({}));
    world.settle();
    world.run_until(|world| matches!(world.screen(), Screen::Review(_)));
    world.user(UserAction::Confirm);
    assert!(matches!(world.screen(), Screen::Pin { .. }), "{:?}", world.screen());
    // The service knows better than an old balance.
    let mut world = World::paired();
    world.service.balance = 100;
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    let Screen::Ended(ending) = world.screen() else { panic!("ended") };
    assert_eq!(ending.kind, EndKind::Failed);
    assert_eq!(ending.reason, Some(Notice::NotEnoughMoney { balance: Some(cny(100)) }));
}

#[test]
fn a_new_watch_knows_its_cap() {
    let mut world = World::paired();
    let mut bill = world.service.cast.bill_payload(3, Reduction::LinesSum, Vec::new());
    bill.lines = vec![nodpay_testkit::line("1", "钢琴 Piano", 1, 20_001)];
    nodpay_testkit::retotal(&mut bill);
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.service.event("balance", serde_json::json!({"balance": cny(50_000)}));
    world.settle();
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    world.type_pin("7391");
    assert_eq!(home_notice(&world), Some(Notice::OverNewWatchCap));
}

#[test]
fn two_taps_at_once_are_one_order() {
    let mut world = World::paired();
    world.plan = Plan::Nothing;
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    world.type_pin("7391");
    world.user(UserAction::Confirm);
    world.type_pin("7391");
    world.user(UserAction::Start);
    world.settle();
    assert_eq!(world.service.seen_orders.len(), 1);
    world.user(UserAction::Cancel);
    world.user(UserAction::Cancel);
    world.settle();
    assert_eq!(world.service.seen_cancels.len(), 1);
}

#[test]
fn a_removed_watch_belongs_to_nobody() {
    let mut world = World::paired();
    let entry = world.service.cast.next_entry(Entry::RemoveWatch(world.service.cast.watch));
    world.service.append(entry);
    world.settle();
    assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::WatchNotEnrolled) });
    assert_eq!(world.stream, None);
    world.reboot();
    world.settle();
    assert_eq!(world.screen(), Screen::Welcome { notice: None });
}

#[test]
fn a_removal_while_waiting_ends_the_order_first() {
    let mut world = World::waiting();
    let entry = world.service.cast.next_entry(Entry::RemoveWatch(world.service.cast.watch));
    world.service.append(entry);
    world.settle();
    let Screen::Ended(ending) = world.screen() else { panic!("{:?}", world.screen()) };
    assert_eq!((ending.kind, ending.reason), (EndKind::Failed, Some(Notice::WatchNotEnrolled)));
    assert_eq!(world.service.seen_cancels.len(), 1);
    // An approval that crossed the removal pays nothing.
    world.service.orders[0].handled = false;
    assert!(world.service.seen_payments.is_empty());
    world.user(UserAction::Done);
    assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::WatchNotEnrolled) });
}

#[test]
fn only_a_disowned_watch_takes_a_new_pairing_code() {
    let mut world = World::paired();
    world.service.claim = None;
    world.reboot();
    world.settle();
    assert_eq!(home_notice(&world), Some(Notice::WatchNotEnrolled));
    assert!(world.agent.poll_timeout().is_some(), "it keeps asking");
    world.user(UserAction::Start);
    assert!(matches!(world.screen(), Screen::Scan { purpose: ScanFor::Pairing, .. }));
    world.service.enrolled = false;
    world.service.cast.log.truncate(1);
    world.service.events.clear();
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert_eq!(world.service.seen_payments.len(), 1);
}

#[test]
fn another_key_store_means_pairing_again() {
    let mut world = World::paired();
    *world.keys.0.borrow_mut() = nodpay_testkit::key(201);
    world.reboot();
    assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::WatchNotEnrolled) });
}

#[test]
fn a_broken_journal_is_not_overwritten() {
    let mut world = World::waiting();
    let journal = String::from_utf8(world.journal.clone().expect("journalled")).expect("text");
    let open = |text: &str| {
        Agent::new(config(), Some(text.as_bytes()), Box::new(world.keys.clone())).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(open(&journal), Ok(()));
    assert!(open("").is_err());
    assert!(open("{}").is_err());
    assert!(open(&journal[..journal.len() - 1]).is_err());
    assert!(open(&journal.replacen("\"nodpay-watch-journal\":1", "\"nodpay-watch-journal\":2", 1)).is_err());
    assert!(open(&journal.replacen('{', "{\"more\":1,", 1)).is_err());
    // Every signed message in it is verified again.
    let value: serde_json::Value = serde_json::from_str(&journal).expect("JSON");
    let order = value["owner"]["household"]["orders"][0]["order"].as_str().expect("an order");
    let flipped = order.replacen("ey", "ez", 2);
    assert_ne!(order, flipped);
    let error = Agent::new(config(), Some(journal.replace(order, &flipped).as_bytes()), Box::new(world.keys.clone()));
    assert!(matches!(error, Err(JournalError::Message(_))));
    // The journal is small.
    assert!(journal.len() < 12_000, "{}", journal.len());
    world.settle();
}

#[test]
fn screens_that_nobody_touches_let_go() {
    let mut world = World::paired();
    world.user(UserAction::Start);
    assert!(world.camera);
    world.pass(179_000);
    assert!(world.camera);
    world.pass(1_000);
    assert!(!world.camera, "the camera does not stay on");
    assert_eq!(home_notice(&world), None);
    world.run_until(|world| matches!(world.screen(), Screen::Review(_)));
    world.pass(300_000);
    assert_eq!(home_notice(&world), None);
}

#[test]
fn inputs_out_of_turn_do_nothing() {
    let mut world = World::paired();
    let before = world.view();
    for input in [
        Input::Response { request: 999, status: 200, body: b"{}".to_vec() },
        Input::NetworkFailed { request: 999 },
        Input::StreamOpened { stream: 999 },
        Input::StreamClosed { stream: 999 },
        Input::StreamRefused { stream: 999, status: 401, body: Vec::new() },
        Input::StreamEvent { stream: 999, id: None, kind: "balance".to_owned(), data: "{}".to_owned() },
        Input::CodesRead(vec![world.bill_code(0)]),
        Input::Start,
        Input::User(UserAction::Digit(3)),
        Input::User(UserAction::Confirm),
        Input::User(UserAction::Backspace),
    ] {
        world.handle(input.clone());
        assert_eq!(world.view(), before, "{input:?}");
    }
}

#[test]
fn a_lost_answer_does_not_stop_the_watch() {
    let mut world = World::paired();
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    world.type_pin("7391");
    // The runtime never answers.
    world.inputs.clear();
    assert_eq!(world.screen(), Screen::Sending);
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert_eq!(world.service.seen_orders.len(), 1);
}
