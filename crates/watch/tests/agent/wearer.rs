//! Knowing the wearer: wrong tries and their price, a guardian's consent, the sensor, the session on the wrist.

use nodpay_core::*;
use nodpay_testkit::{START, cny};
use nodpay_watch::Input;
use nodpay_watch::view::{Notice, PinGate, Screen, UserAction};
use serde_json::json;

use crate::world::{Crash, PIN, World};

const MINUTE_MS: i64 = 60_000;
const YEAR_MS: i64 = 365 * 24 * 60 * MINUTE_MS;
const WRONG: &str = "7392";
const NEW_PIN: &str = "8461";

/// A paired watch with money and a bill of its own number that is good for a day.
fn paired() -> World {
    let mut world = World::paired();
    world.service.balance = 1_000_000;
    world.service.event("balance", json!({ "balance": cny(1_000_000) }));
    next_bill(&mut world, 1);
    world.settle();
    world
}

fn next_bill(world: &mut World, number: u8) {
    let mut bill = world.service.cast.bill_payload(number, Reduction::LinesSum, Vec::new());
    bill.valid_until = START.plus_ms(24 * 60 * MINUTE_MS);
    world.service.bills = vec![world.service.cast.sign_bill(bill)];
}

fn to_pin(world: &mut World) {
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
}

fn gate(world: &World) -> PinGate {
    let Screen::Pin { gate, digits: 0, .. } = world.screen() else { panic!("no PIN: {:?}", world.screen()) };
    gate
}

/// Wrong tries up to this many in a row, with the waits between them.
fn wrong_tries(world: &mut World, until: u32) {
    for _ in 0..until {
        to_pin(world);
        world.type_pin(WRONG);
        world.settle();
        if let PinGate::Wait { left_ms } = gate(world) {
            world.pass(i64::try_from(left_ms).expect("short"));
        }
    }
    to_pin(world);
}

fn reports(world: &World) -> Vec<(u64, PinState, u32)> {
    world.service.pin_reports.iter().map(|report| (report.seq, report.state, report.wrong)).collect()
}

fn notice(world: &World) -> Option<Notice> {
    let Screen::Home { notice, .. } = world.screen() else { panic!("not home: {:?}", world.screen()) };
    notice
}

#[test]
fn wrong_tries_wait_then_lock_and_the_guardians_hear_of_it() {
    let mut world = paired();
    to_pin(&mut world);
    world.user(UserAction::Confirm);
    assert_eq!(gate(&world), PinGate::Open { tries_left: None }, "nothing typed is no try");
    let wait = |minutes: u64| PinGate::Wait { left_ms: minutes * 60_000 };
    let left = |tries| PinGate::Open { tries_left: Some(tries) };
    let steps = [left(4), left(3), left(2), left(1), wait(1), wait(2), wait(4), wait(8), wait(16), PinGate::Guardian];
    for (index, expected) in steps.into_iter().enumerate() {
        to_pin(&mut world);
        world.type_pin(WRONG);
        assert_eq!(gate(&world), expected, "wrong try {}", index + 1);
        world.settle();
        if let PinGate::Wait { left_ms } = expected {
            let report = world.service.pin_reports.last().expect("reported");
            let until = world.service.time().plus_ms(i64::try_from(left_ms).expect("short"));
            assert_eq!((report.state, report.until), (PinState::Waiting, Some(until)));
            world.type_pin(PIN);
            assert_eq!(gate(&world), expected, "not even the right one");
            world.pass(i64::try_from(left_ms).expect("short"));
        }
    }
    let expected = [(1, 5), (2, 6), (3, 7), (4, 8), (5, 9)].map(|(seq, wrong)| (seq, PinState::Waiting, wrong));
    assert_eq!(reports(&world), [&expected[..], &[(6, PinState::Locked, 10)]].concat());
    let nonces: Vec<_> = world.service.pin_reports.iter().map(|report| report.nonce).collect();
    assert!(nonces.windows(2).all(|pair| pair[0] == pair[1]), "an answer under way stays good");
    world.pass(20 * 60 * MINUTE_MS);
    to_pin(&mut world);
    assert_eq!(gate(&world), PinGate::Guardian, "time does not lift it");
    assert!(world.service.seen_orders.is_empty(), "no wearer, no order");
}

#[test]
fn no_reboot_and_no_clock_shortens_a_lock() {
    for skew_ms in [0, YEAR_MS, -YEAR_MS] {
        let mut world = paired();
        to_pin(&mut world);
        (0..5).for_each(|_| world.type_pin(WRONG));
        world.pass(50_000);
        assert_eq!(gate(&world), PinGate::Wait { left_ms: 10_000 });
        world.skew_ms = skew_ms;
        world.reboot();
        world.settle();
        to_pin(&mut world);
        assert_eq!(gate(&world), PinGate::Wait { left_ms: 60_000 }, "in full, the clock {skew_ms} ms off");
        world.type_pin(PIN);
        assert_eq!(gate(&world), PinGate::Wait { left_ms: 60_000 });
        world.pass(60_000);
        world.type_pin(WRONG);
        assert_eq!(gate(&world), PinGate::Wait { left_ms: 120_000 }, "every try counts on");
        world.pass(120_000);
        wrong_tries(&mut world, 4);
        assert_eq!(gate(&world), PinGate::Guardian);
        world.skew_ms = -skew_ms;
        world.reboot();
        world.settle();
        to_pin(&mut world);
        assert_eq!(gate(&world), PinGate::Guardian);
        assert!(world.service.seen_orders.is_empty());
    }
}

#[test]
fn a_guardian_unlocks_once() {
    let mut world = paired();
    wrong_tries(&mut world, 10);
    world.user(UserAction::AskGuardian);
    world.settle();
    assert!(matches!(world.screen(), Screen::Pin { gate: PinGate::Guardian, asked: true, .. }));
    assert_eq!(reports(&world).last(), Some(&(7, PinState::AskedUnlock, 10)));
    let used = world.service.pin_reports.last().expect("reported").nonce;
    world.service.answer_pin(PinConsent::Unlock);
    world.settle();
    assert_eq!(gate(&world), PinGate::Open { tries_left: None });
    assert_eq!(reports(&world).last(), Some(&(8, PinState::Ok, 0)));

    // The same consent said again, and one for another watch, open nothing.
    wrong_tries(&mut world, 10);
    let (watch, nonce) = (world.service.cast.watch, world.service.pin_reports.last().expect("reported").nonce);
    assert_ne!(nonce, used);
    let mut other = world.service.cast.enrolled_watch();
    other.watch = WatchId::from_bytes([77; 16]);
    other.key = nodpay_protocol::Signer::public_key(&nodpay_testkit::key(77));
    for entry in [
        Entry::EnrolWatch(other.clone()),
        Entry::PinCommand(PinCommand { watch, nonce: used, command: PinConsent::Unlock }),
        Entry::PinCommand(PinCommand { watch: other.watch, nonce, command: PinConsent::Unlock }),
        Entry::PinCommand(PinCommand { watch: other.watch, nonce, command: PinConsent::NewPin }),
    ] {
        let entry = world.service.cast.next_entry(entry);
        world.service.append(entry);
        world.settle();
        assert_eq!(gate(&world), PinGate::Guardian);
    }
    world.service.answer_pin(PinConsent::Unlock);
    world.settle();
    assert_eq!(gate(&world), PinGate::Open { tries_left: None });
    world.type_pin(PIN);
    world.settle();
    assert_eq!(world.service.seen_orders.len(), 1);
}

#[test]
fn a_command_that_nobody_asked_for_is_not_obeyed() {
    let mut world = paired();
    let watch = world.service.cast.watch;
    let command = PinCommand { watch, nonce: Nonce::from_bytes([0; 16]), command: PinConsent::NewPin };
    let entry = world.service.cast.next_entry(Entry::PinCommand(command));
    world.service.append(entry);
    world.settle();
    assert_eq!(notice(&world), None);
    world.user(UserAction::Settings);
    world.user(UserAction::AskGuardian);
    assert!(matches!(world.screen(), Screen::Settings(about) if about.pin_change_asked), "it is asked for first");
}

#[test]
fn a_new_pin_takes_a_guardians_consent_and_outlives_a_reboot() {
    let mut world = paired();
    world.user(UserAction::Settings);
    let Screen::Settings(about) = world.screen() else { panic!("settings") };
    assert_eq!(about.watch, world.service.cast.watch.to_string());
    assert_eq!((about.service.as_str(), about.session_ms, about.pin_change_asked), (crate::world::SERVICE, 0, false));
    world.user(UserAction::AskGuardian);
    world.user(UserAction::AskGuardian);
    world.settle();
    assert!(matches!(world.screen(), Screen::Settings(about) if about.pin_change_asked));
    assert_eq!(reports(&world), [(1, PinState::AskedNewPin, 0)]);
    world.service.answer_pin(PinConsent::NewPin);
    world.settle();
    assert_eq!(world.screen(), Screen::ChoosePin { digits: 0, again: false, notice: None });
    world.type_pin("1234");
    assert_eq!(world.screen(), Screen::ChoosePin { digits: 0, again: false, notice: Some(Notice::PinTooEasy) });
    world.type_pin(NEW_PIN);
    // Only what is confirmed counts: until then the old one holds.
    world.reboot();
    world.settle();
    to_pin(&mut world);
    world.type_pin(NEW_PIN);
    assert_eq!(gate(&world), PinGate::Open { tries_left: Some(4) });
    world.user(UserAction::AskGuardian);
    assert_eq!(world.screen(), Screen::ChoosePin { digits: 0, again: false, notice: None }, "it is allowed already");
    world.type_pin(NEW_PIN);
    world.type_pin(NEW_PIN);
    assert_eq!(notice(&world), Some(Notice::PinChanged));
    world.settle();
    assert_eq!(reports(&world).last(), Some(&(2, PinState::Ok, 0)));
    world.reboot();
    world.settle();
    to_pin(&mut world);
    world.type_pin(PIN);
    assert_eq!(gate(&world), PinGate::Open { tries_left: Some(4) }, "the old one is gone");
    world.user(UserAction::AskGuardian);
    assert!(matches!(world.screen(), Screen::Pin { asked: true, .. }), "the consent is used up");
    world.type_pin(NEW_PIN);
    world.settle();
    assert_eq!(world.service.seen_orders.len(), 1);
}

#[test]
fn a_locked_watch_opens_with_a_new_pin_too() {
    let mut world = paired();
    wrong_tries(&mut world, 10);
    world.service.answer_pin(PinConsent::NewPin);
    world.settle();
    world.user(UserAction::Cancel);
    to_pin(&mut world);
    assert_eq!(gate(&world), PinGate::Guardian, "nothing opens before it is chosen");
    world.user(UserAction::AskGuardian);
    world.type_pin(NEW_PIN);
    world.type_pin(NEW_PIN);
    assert_eq!(notice(&world), Some(Notice::PinChanged));
    to_pin(&mut world);
    assert_eq!(gate(&world), PinGate::Open { tries_left: None });
}

#[test]
fn a_report_waits_for_the_network_and_only_the_newest_is_sent() {
    let mut world = paired();
    world.go_offline();
    to_pin_offline(&mut world);
    (0..5).for_each(|_| world.type_pin(WRONG));
    world.settle();
    world.pass(60_000);
    world.type_pin(WRONG);
    world.reboot();
    world.settle();
    assert!(world.service.pin_reports.is_empty());
    world.go_online();
    for _ in 0..10 {
        world.settle();
        world.sleep();
    }
    assert_eq!(reports(&world), [(2, PinState::Waiting, 6)]);
    let posts = world.service.requests.iter().filter(|request| request.ends_with("/pin")).count();
    assert_eq!(posts, 1, "acknowledged is acknowledged");
    // What the service never takes is not said for ever.
    world.service.refuse = Some(("/pin", 409, "pin-report-outdated"));
    world.user(UserAction::Settings);
    world.user(UserAction::AskGuardian);
    for _ in 0..10 {
        world.settle();
        world.sleep();
    }
    let posts = world.service.requests.iter().filter(|request| request.ends_with("/pin")).count();
    assert_eq!(posts, 2);
}

/// The network goes between the bill and the PIN.
fn to_pin_offline(world: &mut World) {
    world.go_online();
    to_pin(world);
    world.go_offline();
}

fn set_session(world: &mut World, session_ms: i64) {
    let session = WatchSession { watch: world.service.cast.watch, session_ms };
    let entry = world.service.cast.next_entry(Entry::SetSession(session));
    world.service.append(entry);
    world.settle();
}

/// Pays bill `number`; which checks the watch asked for.
fn pay(world: &mut World, number: u8) -> (bool, WearerCheck) {
    next_bill(world, number);
    world.screens.clear();
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    world.user(UserAction::Done);
    let asked = world.screens.iter().any(|screen| matches!(screen, Screen::Pin { .. } | Screen::Recognise { .. }));
    (asked, world.service.orders.last().expect("an order").order.wearer_check)
}

#[test]
fn on_the_wrist_one_pin_serves_as_long_as_the_guardian_says() {
    let mut world = paired();
    world.handle(Input::Worn(true));
    assert!(pay(&mut world, 1).0);
    assert!(pay(&mut world, 2).0, "nobody set a session");
    set_session(&mut world, 30 * MINUTE_MS);
    assert_eq!(notice(&world), Some(Notice::SessionSet { session_ms: 30 * 60_000 }), "the wearer is told");
    world.user(UserAction::Settings);
    assert!(matches!(world.screen(), Screen::Settings(about) if about.session_ms == 30 * 60_000));
    world.user(UserAction::Done);
    let (_, first) = pay(&mut world, 3);
    world.pass(29 * MINUTE_MS);
    let (asked, second) = pay(&mut world, 4);
    assert!(!asked);
    assert_eq!(second, first, "the order says when the wearer was last checked");
    world.pass(MINUTE_MS);
    assert!(pay(&mut world, 5).0, "a session does not grow by being used");

    assert!(!pay(&mut world, 6).0);
    world.handle(Input::Worn(false));
    world.handle(Input::Worn(true));
    assert!(pay(&mut world, 7).0, "it was taken off");
    world.reboot();
    world.settle();
    assert!(pay(&mut world, 8).0, "a reboot ends it, and nobody says that it is worn");
    assert!(pay(&mut world, 9).0);
    world.handle(Input::Worn(true));
    assert!(pay(&mut world, 10).0);
    assert!(!pay(&mut world, 11).0);
    set_session(&mut world, 0);
    assert!(pay(&mut world, 12).0, "the guardian took it back");
}

#[test]
fn a_clock_that_is_corrected_leaves_the_session_its_length() {
    let mut world = paired();
    world.handle(Input::Worn(true));
    set_session(&mut world, 30 * MINUTE_MS);
    pay(&mut world, 1);
    world.skew_ms = YEAR_MS;
    world.pass(10 * MINUTE_MS);
    let (asked, check) = pay(&mut world, 2);
    assert!(!asked);
    let created = world.service.orders.last().expect("an order").order.created;
    assert!((10 * MINUTE_MS..11 * MINUTE_MS).contains(&created.ms_since(check.at)));
}

fn sense(world: &mut World, known: bool) {
    assert!(std::mem::take(&mut world.sensing), "the sensor was asked: {:?}", world.screen());
    world.handle(Input::Recognised(known));
}

fn to_sensor(world: &mut World, number: u8) {
    next_bill(world, number);
    world.run_until(|world| matches!(world.screen(), Screen::Recognise { .. }));
}

#[test]
fn the_sensor_stands_in_for_a_pin_that_was_typed_before() {
    let mut world = paired();
    world.config.sensor = true;
    world.reboot();
    world.settle();
    world.handle(Input::Worn(true));
    let (_, check) = pay(&mut world, 1);
    assert_eq!(check.method, WearerMethod::Pin, "after a start the PIN comes first");

    to_sensor(&mut world, 2);
    sense(&mut world, false);
    assert_eq!(world.screen(), Screen::Recognise { notice: Some(Notice::NotRecognised) });
    sense(&mut world, true);
    world.settle();
    assert!(!world.sensing);
    let order = &world.service.orders.last().expect("an order").order;
    assert_eq!(order.wearer_check, WearerCheck { method: WearerMethod::Biometric, at: order.created });
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.user(UserAction::Done);

    to_sensor(&mut world, 3);
    world.user(UserAction::UsePin);
    assert!(!world.sensing);
    assert_eq!(gate(&world), PinGate::Open { tries_left: None });
    world.handle(Input::Recognised(true));
    assert_eq!(gate(&world), PinGate::Open { tries_left: None }, "an answer nobody waits for");
    world.user(UserAction::Cancel);

    to_sensor(&mut world, 4);
    (0..3).for_each(|_| sense(&mut world, false));
    assert!(!world.sensing);
    assert_eq!(gate(&world), PinGate::Open { tries_left: None }, "it does not know them: the PIN");
    world.user(UserAction::Cancel);
    let (_, check) = pay(&mut world, 5);
    assert_eq!(check.method, WearerMethod::Pin);

    to_sensor(&mut world, 6);
    world.handle(Input::Worn(false));
    assert!(!world.sensing);
    assert_eq!(gate(&world), PinGate::Open { tries_left: None }, "taken off while it looked");
}

/// The power goes at every point of being locked, asking, being unlocked, and choosing a new PIN.
#[test]
fn consent_survives_every_crash_and_counts_once() {
    let story = |consent: PinConsent, at: Option<(u64, Crash)>| {
        let mut world = paired();
        wrong_tries(&mut world, 9);
        world.actions = 0;
        world.crash = at;
        for round in 0.. {
            assert!(round < 50, "never: {:?} {:?}", world.screen(), reports(&world));
            world.settle();
            let answered = world.service.cast.log.len() > 2;
            let last = world.service.pin_reports.last().map(|report| report.state);
            match (world.screen(), answered) {
                (Screen::Pin { gate: PinGate::Open { .. }, .. }, false) => world.type_pin(WRONG),
                (Screen::Pin { gate: PinGate::Wait { left_ms }, .. }, false) => {
                    world.pass(i64::try_from(left_ms).expect("short"));
                }
                (Screen::Pin { gate: PinGate::Guardian, asked: false, .. }, false) => {
                    world.user(UserAction::AskGuardian);
                }
                (Screen::Pin { gate: PinGate::Guardian, .. }, false) if last == Some(PinState::AskedUnlock) => {
                    world.service.answer_pin(consent);
                }
                (Screen::Pin { gate: PinGate::Guardian, .. }, true) => world.user(UserAction::AskGuardian),
                (Screen::ChoosePin { .. }, _) => world.type_pin(NEW_PIN),
                (Screen::Home { notice: Some(Notice::PinChanged), .. }, _) => break,
                (Screen::Pin { gate: PinGate::Open { .. }, .. }, true) => break,
                _ => to_pin(&mut world),
            }
        }
        world.settle();
        world.reboot();
        world.settle();
        world
    };
    for consent in [PinConsent::Unlock, PinConsent::NewPin] {
        let undisturbed = story(consent, None).actions;
        assert!(undisturbed > 8, "{undisturbed}");
        for at in 1..=undisturbed {
            for side in [Crash::Before, Crash::After] {
                let mut world = story(consent, Some((at, side)));
                let label = format!("{consent:?}, action {at}, {side:?}");
                assert_eq!(reports(&world).last().map(|(_, state, _)| *state), Some(PinState::Ok), "{label}");
                assert_eq!(world.service.cast.log.len(), 3, "one consent: {label}");
                world.pin = if consent == PinConsent::Unlock { PIN } else { NEW_PIN }.to_owned();
                assert!(pay(&mut world, 9).0, "{label}");
                let seqs: Vec<u64> = reports(&world).iter().map(|(seq, ..)| *seq).collect();
                assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{label}: {seqs:?}");
            }
        }
    }
}
