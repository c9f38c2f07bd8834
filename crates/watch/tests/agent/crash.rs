//! Power goes at every point of the whole flow: before and after everything the watch does.

use nodpay_core::{AdjustmentKind, OutcomeKind, Reduction, Text};
use nodpay_protocol::Signer as _;
use nodpay_testkit::cny;
use nodpay_watch::view::{EndKind, Screen, UserAction};

use crate::world::{Crash, Plan, World};

/// From a new watch to the acknowledged result, with the power going at action `at` if given. How many actions it took.
fn story(plan: &Plan, at: Option<(u64, Crash)>, unruly: bool, prepare: fn(&mut World)) -> World {
    let mut world = World::new();
    prepare(&mut world);
    world.plan = plan.clone();
    world.crash = at;
    world.unruly = unruly;
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    // Again, right where it ended.
    let ended = world.screen();
    world.reboot();
    world.settle();
    assert_eq!(world.screen(), ended, "the same screen after a reboot");
    world
}

fn every_crash(plan: &Plan, kind: EndKind, total: i64, unruly: bool, prepare: fn(&mut World)) {
    let undisturbed = story(plan, None, unruly, prepare).actions;
    assert!(undisturbed > 20, "{undisturbed}");
    let mut crashes = 0;
    for at in 1..=undisturbed {
        for side in [Crash::Before, Crash::After] {
            let mut world = story(plan, Some((at, side)), unruly, prepare);
            assert!(world.crashed);
            crashes += 1;
            let label = format!("action {at}, {side:?}: {:?}", world.service.requests);
            let Screen::Ended(ending) = world.screen() else { panic!("{label}") };
            assert_eq!((ending.kind, ending.total), (kind, cny(total)), "{label}");
            let service = &world.service;
            assert_eq!(service.seen_orders.len(), 1, "one order: {label}");
            assert_eq!(service.seen_bills.len(), usize::from(world.sticker.is_some()), "one bill of it: {label}");
            let paid = usize::from(kind == EndKind::Paid);
            assert_eq!(service.seen_payments.len(), paid, "one payment, always the same bytes: {label}");
            assert_eq!(service.seen_results.len(), 1, "one result: {label}");
            let order = &service.orders[0];
            assert!(order.result.is_some() && order.outcome.is_some(), "{label}");
            assert_eq!(service.balance, if paid == 1 { 5_000 - total } else { 5_000 }, "{label}");
            world.finished = true;
            world.user(UserAction::Done);
            assert!(matches!(world.screen(), Screen::Home { .. }), "{label}");
            world.reboot();
            world.settle();
            assert!(matches!(world.screen(), Screen::Home { .. }), "{label}");
            assert_eq!(world.service.seen_results.len(), 1, "nothing is reported twice: {label}");
        }
    }
    assert!(crashes > 40);
}

#[test]
fn a_paid_order_survives_every_crash() {
    every_crash(&Plan::Approve { struck: vec!["3"] }, EndKind::Paid, 2950, false, |_| {});
}

#[test]
fn so_it_does_with_events_twice_and_in_the_wrong_order() {
    every_crash(&Plan::Approve { struck: vec![] }, EndKind::Paid, 3650, true, |_| {});
}

#[test]
fn a_requoted_order_survives_every_crash() {
    every_crash(&Plan::Approve { struck: vec!["1"] }, EndKind::Paid, 2840, false, |world| {
        let fee = nodpay_core::Adjustment {
            kind: AdjustmentKind::Fee,
            name: Text::new("包装 Bag").expect("a name"),
            amount: nodpay_testkit::minor(40),
        };
        let mut bill = world.service.cast.bill_payload(1, Reduction::Requote, vec![fee]);
        nodpay_testkit::retotal(&mut bill);
        world.service.bills = vec![world.service.cast.sign_bill(bill)];
    });
}

/// The bill itself is the watch's: it is delivered as the same bytes, before its order.
#[test]
fn an_order_over_a_printed_code_survives_every_crash() {
    every_crash(&Plan::Approve { struck: vec![] }, EndKind::Paid, 850, false, |world| {
        world.sticker = Some(world.service.cast.shop_code());
    });
}

#[test]
fn a_refused_order_survives_every_crash() {
    every_crash(&Plan::Refuse, EndKind::Refused, 3650, false, |_| {});
}

#[test]
fn an_expired_order_survives_every_crash() {
    every_crash(&Plan::Nothing, EndKind::Expired, 3650, false, |_| {});
}

/// The child cancels while waiting, and the power goes at every point of that.
#[test]
fn a_cancelled_order_survives_every_crash() {
    let story = |at: Option<(u64, Crash)>| {
        let mut world = World::waiting();
        world.actions = 0;
        world.crash = at;
        world.user(UserAction::Cancel);
        world.settle();
        if matches!(world.screen(), Screen::Waiting { .. }) {
            // The power went before the cancellation was in the journal: the child taps again.
            world.user(UserAction::Cancel);
            world.settle();
        }
        world.reboot();
        world.settle();
        world
    };
    let undisturbed = story(None).actions;
    for at in 1..=undisturbed {
        for side in [Crash::Before, Crash::After] {
            let world = story(Some((at, side)));
            let Screen::Ended(ending) = world.screen() else { panic!("action {at}, {side:?}") };
            assert_eq!(ending.kind, EndKind::Cancelled);
            let service = &world.service;
            assert_eq!((service.seen_orders.len(), service.seen_cancels.len()), (1, 1), "action {at}, {side:?}");
            assert!(service.seen_payments.is_empty());
            assert_eq!(service.orders[0].result.as_ref().map(|result| result.seen), Some(OutcomeKind::Cancelled));
        }
    }
}

/// The network goes at every point instead of the power, and comes back after a while.
#[test]
fn a_lost_network_delays_and_changes_nothing() {
    let undisturbed = story(&Plan::Approve { struck: vec![] }, None, false, |_| {}).actions;
    for at in 1..=undisturbed {
        let mut world = World::new();
        let mut out = false;
        for _ in 0..5_000 {
            if matches!(world.screen(), Screen::Ended(_)) {
                break;
            }
            if !out && world.actions >= at {
                out = true;
                world.go_offline();
                world.settle();
                for _ in 0..3 {
                    world.sleep();
                    world.settle();
                }
                world.go_online();
            }
            world.run_one();
        }
        world.settle();
        let Screen::Ended(ending) = world.screen() else { panic!("action {at}: {:?}", world.screen()) };
        assert_eq!(ending.kind, EndKind::Paid, "action {at}");
        assert_eq!((world.service.seen_orders.len(), world.service.seen_payments.len()), (1, 1), "action {at}");
    }
}

/// What a payment costs the flash memory: the journal is written whole, so the log's length counts each time.
#[test]
fn a_payment_writes_little() {
    let paid = |entries: u8| {
        let mut world = World::paired();
        for number in 0..entries {
            let mut enrolled = world.service.cast.enrolled_watch();
            enrolled.watch = nodpay_core::WatchId::from_bytes([number + 100; 16]);
            enrolled.key = nodpay_testkit::key(number + 100).public_key();
            let entry = world.service.cast.next_entry(nodpay_core::Entry::EnrolWatch(enrolled));
            world.service.append(entry);
        }
        world.settle();
        world.written.clear();
        world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
        world.settle();
        world.finished = true;
        world.user(UserAction::Done);
        let written = world.written;
        eprintln!(
            "{} entries: {} writes, {} bytes: {written:?}",
            entries + 2,
            written.len(),
            written.iter().sum::<usize>()
        );
        written
    };
    let (short, long) = (paid(0), paid(40));
    assert_eq!(short.len(), long.len());
    assert!(short.len() <= 7, "{short:?}");
    assert!(short.iter().all(|bytes| *bytes < 12_000), "{short:?}");
    let entry = (long[0] - short[0]) / 40;
    assert!(entry < 1_300, "{entry} bytes an entry");
}
