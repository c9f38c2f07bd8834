//! The network as it really is on a watch.

use nodpay_core::{OutcomeKind, Reduction, Verdict};
use nodpay_protocol::Signer as _;
use nodpay_testkit::{START, cny};
use nodpay_watch::view::{EndKind, Notice, Screen, UserAction};
use nodpay_watch::{FETCH_LIMIT_MS, Input, LONGEST_IDLE_WAIT_MS, LONGEST_WAIT_MS};

use crate::weather::{Dice, PORTALS, Weather};
use crate::world::{Plan, RETRY_MS, World};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

fn ms(limit: u64) -> i64 {
    i64::try_from(limit).expect("short")
}

/// Lets the watch and the network alone for `ms`.
fn leave(world: &mut World, ms: i64) {
    let end = world.service.now + ms;
    world.settle();
    while world.service.now < end {
        world.sleep_until(end);
        world.settle();
    }
}

fn scan(world: &mut World) {
    world.user(UserAction::Start);
    let code = world.bill_code(0);
    world.handle(Input::CodesRead(vec![code]));
    assert_eq!(world.screen(), Screen::Fetching);
}

/// Last parts of the paths that were tried, from attempt `start` on.
fn attempts_since(world: &World, start: usize) -> Vec<&str> {
    world.attempts[start..].iter().map(|path| path.rsplit('/').next().expect("a path")).collect()
}

#[test]
fn a_code_without_a_network_is_asked_about_when_it_is_back() {
    let mut world = World::paired();
    world.go_offline();
    assert!(!world.view().online);
    scan(&mut world);
    leave(&mut world, ms(FETCH_LIMIT_MS) - MINUTE_MS);
    assert_eq!(world.screen(), Screen::Fetching);
    assert!(!world.view().online, "the screen says why");
    world.go_online();
    leave(&mut world, 2 * ms(LONGEST_WAIT_MS));
    assert!(matches!(world.screen(), Screen::Review(_)) && world.view().online);

    let mut world = World::paired();
    world.go_offline();
    scan(&mut world);
    leave(&mut world, ms(FETCH_LIMIT_MS));
    assert!(matches!(world.screen(), Screen::Home { notice: Some(Notice::NoNetwork), .. }), "not for ever");

    scan(&mut world);
    world.user(UserAction::Cancel);
    assert!(matches!(world.screen(), Screen::Home { notice: None, .. }), "the child can always go on");
}

#[test]
fn a_pairing_code_is_checked_when_the_network_is_back() {
    let mut world = World::new();
    assert!(world.view().online, "nothing was tried yet");
    world.weather = Weather::Out;
    world.user(UserAction::Start);
    let code = world.pairing_code().to_text();
    world.handle(Input::CodesRead(vec![code.clone()]));
    leave(&mut world, 5 * MINUTE_MS);
    assert_eq!((world.screen(), world.view().online), (Screen::Fetching, false));
    world.weather = Weather::Fine;
    leave(&mut world, 2 * ms(LONGEST_WAIT_MS));
    assert!(matches!(world.screen(), Screen::ChoosePin { .. }) && world.view().online);

    let mut world = World::new();
    world.weather = Weather::Out;
    world.user(UserAction::Start);
    world.handle(Input::CodesRead(vec![code]));
    leave(&mut world, ms(FETCH_LIMIT_MS));
    assert_eq!(world.screen(), Screen::Welcome { notice: Some(Notice::NoNetwork) });
}

#[test]
fn a_captive_portal_is_no_network() {
    for (status, body) in PORTALS {
        let mut world = World::waiting();
        let stream = world.stream.expect("open").0;
        world.weather = Weather::Portal(status, body);
        world.service.decide(0, &Plan::Approve { struck: vec![] });
        let data = world.service.events.last().expect("a decision").1.clone();
        world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data });
        world.stream = None;
        world.handle(Input::StreamClosed { stream });
        leave(&mut world, 30 * SECOND_MS);
        assert!(matches!(world.screen(), Screen::Paying { .. }), "{status}: {:?}", world.screen());
        assert!(!world.view().online, "{status}");
        world.go_online();
        leave(&mut world, ms(LONGEST_WAIT_MS) * 2);
        assert!(matches!(world.screen(), Screen::Ended(ending) if ending.kind == EndKind::Paid), "{status}");
        assert_eq!(world.service.seen_payments.len(), 1, "{status}");
    }
}

#[test]
fn without_a_network_one_thing_is_tried_at_a_time_and_the_payment_first() {
    let mut world = World::waiting();
    let stream = world.stream.expect("open").0;
    world.weather = Weather::Out;
    world.service.decide(0, &Plan::Approve { struck: vec![] });
    let data = world.service.events.last().expect("a decision").1.clone();
    let start = world.attempts.len();
    // Whatever a log entry that does not follow asks for comes after.
    world.go_offline();
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data: data.clone() });
    assert!(matches!(world.screen(), Screen::Waiting { .. }), "what a closed stream says counts for nothing");
    world.weather = Weather::Fine;
    leave(&mut world, ms(LONGEST_WAIT_MS));
    assert!(matches!(world.screen(), Screen::Ended(_)));
    // `World` checks each attempt: one in flight while the service is not reached.
    let attempts = attempts_since(&world, start);
    assert_eq!(attempts[0], "events", "{attempts:?}");
    assert_eq!(attempts[1], "state?from=2", "the stream opened: what was missed comes from the state");

    let mut world = World::waiting();
    let stream = world.stream.expect("open").0;
    world.weather = Weather::Out;
    let start = world.attempts.len();
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data });
    world.service.decide(0, &Plan::Approve { struck: vec![] });
    let data = world.service.events.last().expect("a decision").1.clone();
    world.handle(Input::StreamEvent { stream, id: None, kind: "decision".to_owned(), data });
    world.go_offline();
    leave(&mut world, MINUTE_MS);
    let attempts = attempts_since(&world, start);
    // The stream has failed once already: it was closed.
    assert_eq!(attempts[..4], ["payment", "payment", "events", "payment"], "in turn, the payment first");
    assert!((5..=12).contains(&attempts.len()), "with growing pauses: {attempts:?}");
}

#[test]
fn a_request_that_never_gets_through_does_not_hide_that_others_do() {
    let mut world = World::paired();
    world.plan = Plan::Nothing;
    world.service.any_time = true;
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    world.swallow = Some("/orders");
    let start = world.attempts.len();
    world.type_pin("7391");
    leave(&mut world, 5 * MINUTE_MS);
    assert_eq!(world.screen(), Screen::Sending);
    assert!(world.stream.is_some());
    let tries = attempts_since(&world, start);
    assert!((8..=30).contains(&tries.len()), "{tries:?}");
    world.swallow = None;
    leave(&mut world, 2 * ms(LONGEST_WAIT_MS));
    assert!(matches!(world.screen(), Screen::Waiting { .. }));
}

#[test]
fn a_busy_service_is_asked_when_it_says() {
    let mut world = World::paired();
    world.plan = Plan::Nothing;
    world.service.refuse = Some(("/orders", 429, "too-many-tries"));
    world.run_until(|world| matches!(world.screen(), Screen::Sending));
    world.settle();
    let start = world.attempts.len();
    assert!(world.view().online, "the service is there");
    world.user(UserAction::Confirm);
    leave(&mut world, RETRY_MS - 1);
    let asked = |world: &World| attempts_since(world, start).iter().filter(|path| **path == "orders").count();
    assert_eq!(asked(&world), 0);
    world.service.refuse = None;
    leave(&mut world, 1);
    assert_eq!(asked(&world), 1);
    assert!(matches!(world.screen(), Screen::Waiting { .. }));
}

#[test]
fn an_idle_watch_sleeps() {
    let mut world = World::paired();
    assert_eq!(world.agent.poll_timeout(), None, "nothing but the network or the wearer wakes it");
    let (attempts, actions) = (world.attempts.len(), world.actions);
    world.pass(DAY_MS);
    world.settle();
    assert_eq!((world.attempts.len(), world.actions), (attempts, actions));
    assert_eq!(world.agent.poll_timeout(), None);
    assert!(world.view().online);
}

#[test]
fn a_month_without_a_network_costs_little_and_a_touch_ends_it() {
    let mut world = World::paired();
    world.go_offline();
    let before = world.attempts.len();
    leave(&mut world, 30 * DAY_MS);
    let most = 30 * DAY_MS / (ms(LONGEST_IDLE_WAIT_MS) / 2) + 100;
    let attempts = world.attempts.len() - before;
    assert!(ms(attempts.try_into().expect("few")) < most, "{attempts}");
    world.go_online();
    world.user(UserAction::Start);
    world.settle();
    assert!(world.view().online, "at once");

    world.user(UserAction::Cancel);
    world.go_offline();
    leave(&mut world, DAY_MS);
    world.go_online();
    leave(&mut world, ms(LONGEST_IDLE_WAIT_MS) * 3 / 2);
    assert!(world.view().online, "and without one soon");
}

/// Off for a month in the middle of an order. The service remembers no events of that time.
#[test]
fn after_a_month_the_watch_knows_how_its_order_ended_and_what_the_household_became() {
    for (plan, reboot) in [(Plan::Nothing, true), (Plan::Refuse, true), (Plan::Nothing, false), (Plan::Refuse, false)] {
        let mut world = World::waiting();
        world.go_offline();
        world.service.decide(0, &plan);
        for number in 1..=40 {
            let watch = nodpay_core::WatchId::from_bytes([number; 16]);
            let mut enrolled = world.service.cast.enrolled_watch();
            enrolled.watch = watch;
            enrolled.key = nodpay_testkit::key(number).public_key();
            let entry = world.service.cast.next_entry(nodpay_core::Entry::EnrolWatch(enrolled));
            world.service.append(entry);
        }
        if reboot {
            world.service.now += 30 * DAY_MS;
            world.skew_ms = -3 * DAY_MS;
            world.reboot();
        } else {
            leave(&mut world, 30 * DAY_MS);
        }
        world.service.tick();
        world.service.forget_events();
        world.go_online();
        world.user(UserAction::Confirm);
        leave(&mut world, MINUTE_MS);
        let Screen::Ended(ending) = world.screen() else { panic!("{:?}", world.screen()) };
        let (kind, seen) = match plan {
            Plan::Refuse | Plan::Suggest(_) => (EndKind::Refused, OutcomeKind::Refused),
            Plan::Nothing | Plan::Approve { .. } => (EndKind::Expired, OutcomeKind::Expired),
        };
        assert_eq!(ending.kind, kind);
        assert_eq!(world.service.orders[0].result.as_ref().map(|result| result.seen), Some(seen));
        assert!(world.service.seen_payments.is_empty());
        // The log is known: an order names its newest entry.
        world.user(UserAction::Done);
        let mut bill = world.service.cast.bill_payload(2, Reduction::LinesSum, Vec::new());
        bill.valid_until = START.plus_ms(90 * DAY_MS);
        world.service.bills = vec![world.service.cast.sign_bill(bill)];
        world.run_until(|world| world.service.orders.len() == 2);
        assert_eq!(world.service.orders[1].order.log_head, world.service.cast.book().head());
    }
}

/// How many random worlds a plain `cargo test` makes; `NODPAY_SEEDS` makes more.
const SEEDS: u64 = 200;

/// Everything that can go wrong with network, power and clock does, by a seed; then it is fine again. Whatever happened:
/// one payment at most, one outcome, and the right screen.
#[test]
fn every_storm_ends_in_the_right_screen() {
    let seeds = std::env::var("NODPAY_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    let mut ends = std::collections::BTreeMap::new();
    for seed in 0..seeds {
        let kind = std::panic::catch_unwind(|| storm(seed)).unwrap_or_else(|error| {
            eprintln!("in the storm with seed {seed}");
            std::panic::resume_unwind(error);
        });
        *ends.entry(format!("{kind:?}")).or_insert(0_u64) += 1;
    }
    assert!(ends.len() >= 3, "the storms are of many kinds: {ends:?}");
    assert!(ends["Paid"] * 4 > seeds, "and many orders get through: {ends:?}");
}

fn storm(seed: u64) -> EndKind {
    let mut dice = Dice(seed);
    let mut world = World::paired();
    world.plan = Plan::Nothing;
    world.service.any_time = true;
    let mut bill = world.service.cast.bill_payload(1, Reduction::LinesSum, Vec::new());
    bill.valid_until = START.plus_ms(90 * DAY_MS);
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
    world.weather = Weather::Stormy(dice.clone());
    let mut decide_at = None;
    for _ in 0..2_000 {
        if matches!(world.screen(), Screen::Ended(_)) {
            break;
        }
        match dice.below(300) {
            0 => world.reboot(),
            1 => world.skew_ms = (dice.below(20) - 10) * DAY_MS / 4,
            2 => world.restart_service(),
            3 => world.go_offline(),
            4 => world.weather = Weather::Portal(PORTALS[0].0, PORTALS[0].1),
            5..=19 => world.weather = Weather::Stormy(dice.clone()),
            20 => world.break_stream(),
            21 => world.unruly = !world.unruly,
            22 => world.user(UserAction::Confirm),
            23 if dice.below(6) == 0 => world.user(UserAction::Cancel),
            _ => {}
        }
        if let Some(index) = world.service.orders.iter().position(|order| !order.handled && order.outcome.is_none()) {
            let at = *decide_at.get_or_insert(world.service.now + dice.below(300_000));
            if world.service.now >= at {
                let plan = match dice.below(5) {
                    0 => Plan::Refuse,
                    1 => Plan::Approve { struck: vec!["3"] },
                    _ => Plan::Approve { struck: vec![] },
                };
                world.service.decide(index, &plan);
                decide_at = None;
            }
        }
        // One order is enough for this child.
        world.finished |= !world.service.orders.is_empty();
        if !world.step() && !world.child() {
            // Nobody looks away for long in a storm.
            let end = decide_at.unwrap_or(i64::MAX).min(world.service.now + 20 * SECOND_MS);
            world.sleep_until(end);
        }
    }
    // The storm is over; nobody touches anything.
    world.go_online();
    leave(&mut world, 30 * MINUTE_MS);
    assert!(world.view().online);
    let service = &world.service;
    assert!(service.orders.len() <= 1, "one order");
    let Screen::Ended(ending) = world.screen() else {
        // A payment in the dark left the screen, and was not paid after all.
        let outcome = service.orders[0].outcome.as_ref().map(|outcome| outcome.outcome);
        assert!(matches!(world.screen(), Screen::Home { .. }) && outcome == Some(OutcomeKind::Expired));
        return EndKind::Expired;
    };
    assert!(service.seen_payments.len() <= 1, "one payment, always the same bytes");
    if let [order] = &service.orders[..] {
        let outcome = order.outcome.as_ref().expect("ended");
        let result = order.result.as_ref().expect("countersigned");
        assert_eq!((result.seen, service.seen_results.len()), (outcome.outcome, 1));
        let paid = outcome.outcome == OutcomeKind::Paid;
        assert_eq!(paid, ending.kind == EndKind::Paid, "{outcome:?} {ending:?}");
        if paid {
            assert_eq!(order.decision.as_ref().map(|decision| decision.verdict), Some(Verdict::Approve));
            assert_eq!(ending.total, outcome.total);
        }
        let spent = if paid { outcome.total.minor() } else { 0 };
        assert_eq!(service.balance, 5_000 - spent);
    }
    assert_eq!(ending.balance, Some(cny(service.balance)), "the balance is the newest");
    world.reboot();
    world.settle();
    assert_eq!(world.screen(), Screen::Ended(ending.clone()), "and after a reboot");
    ending.kind
}
