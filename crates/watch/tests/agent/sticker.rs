//! Printed codes: whose they are, what the child types, and what is said of those nobody here can pay.

use nodpay_core::*;
use nodpay_protocol::code::payee_of;
use nodpay_testkit::cny;
use nodpay_watch::Input;
use nodpay_watch::view::{AmountPad, EndKind, Ending, Notice, OtherSystem, ScanFor, Screen, UserAction};

use crate::world::{Plan, World};

/// Another system's printed code, in the cast's currency: PayNow in its layout, of "Łakocie", labelled "MENSA".
const PAYNOW: &str =
    "00020101021126340009SG.PAYNOW010120212201403121W0352045411530315658 02SG5907Łakocie6009Singapore62090505MENSA";
const EPC: &str = "BCD\n002\n1\nSCT\n\nSchulkantine\nDE71110220330123456789";

fn sealed(body: &str) -> String {
    let covered = format!("{}6304", body.replace(' ', ""));
    let mut crc = 0xFFFF_u16;
    for byte in covered.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    format!("{covered}{crc:04X}")
}

/// With the amount as MPM writes it.
fn with_amount(amount: &str) -> String {
    sealed(&format!("{PAYNOW}54{:02}{amount}", amount.len()))
}

fn scan(world: &mut World, texts: &[&str]) {
    world.user(UserAction::Start);
    world.handle(Input::CodesRead(texts.iter().map(|text| (*text).to_owned()).collect()));
}

fn pad(world: &World) -> AmountPad {
    let Screen::Amount(pad) = world.screen() else { panic!("no pad: {:?}", world.screen()) };
    pad
}

fn at_pad() -> World {
    let mut world = World::paired();
    let code = world.service.cast.shop_code();
    scan(&mut world, &[&code]);
    assert_eq!(world.screen(), Screen::Fetching);
    world.settle();
    world
}

fn type_digits(world: &mut World, digits: &str) {
    for byte in digits.bytes() {
        world.user(UserAction::Digit(byte - b'0'));
    }
}

fn home_notice(world: &World) -> Option<Notice> {
    let Screen::Home { notice, .. } = world.screen() else { panic!("not home: {:?}", world.screen()) };
    notice
}

fn ending(world: &World) -> Ending {
    let Screen::Ended(ending) = world.screen() else { panic!("not ended: {:?}", world.screen()) };
    ending
}

#[test]
fn a_printed_code_asks_for_the_amount_and_is_paid_like_a_bill() {
    let mut world = at_pad();
    let shop = "阳光小卖部 Sunny Shop".to_owned();
    let expected = AmountPad {
        shop: shop.clone(),
        place: "Shenzhen".to_owned(),
        typed: cny(0),
        least: cny(1),
        most: cny(5_000),
        notice: None,
    };
    assert_eq!(pad(&world), expected);
    type_digits(&mut world, "123");
    world.user(UserAction::Backspace);
    type_digits(&mut world, "5");
    assert_eq!(pad(&world).typed, cny(125));
    world.user(UserAction::Confirm);
    let Screen::Review(basket) = world.screen() else { panic!("{:?}", world.screen()) };
    assert_eq!((basket.shop.clone(), basket.total, basket.lines.len()), (shop.clone(), cny(125), 1));
    assert_eq!((basket.lines[0].name.clone(), basket.lines[0].quantity), (shop, 1));
    assert!(world.service.seen_bills.is_empty(), "nothing is sent before the PIN");
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    world.settle();
    assert_eq!((ending(&world).kind, ending(&world).total), (EndKind::Paid, cny(125)));
    assert_eq!((world.service.seen_bills.len(), world.service.seen_orders.len()), (1, 1));
    assert!(world.service.orders[0].result.is_some());
}

#[test]
fn a_code_of_another_system_is_paid_where_its_payee_is_known() {
    let mut world = World::paired();
    let text = sealed(PAYNOW);
    world.service.codes.extend(payee_of(&text));
    world.sticker = Some(text.clone());
    world.run_until(|world| matches!(world.screen(), Screen::Review(_)));
    let Screen::Review(basket) = world.screen() else { panic!("{:?}", world.screen()) };
    assert_eq!((basket.shop.as_str(), basket.lines[0].name.as_str()), ("阳光小卖部 Sunny Shop", "MENSA"));
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert_eq!(ending(&world).kind, EndKind::Paid);
    assert_eq!(world.service.orders[0].bill.code.as_ref().map(CodeText::as_str), Some(text.as_str()));
}

#[test]
fn an_amount_in_the_code_is_not_asked_for() {
    let mut world = World::paired();
    let text = with_amount("8.5");
    world.service.codes.extend(payee_of(&text));
    scan(&mut world, &[&text]);
    world.settle();
    let Screen::Review(basket) = world.screen() else { panic!("{:?}", world.screen()) };
    assert_eq!(basket.total, cny(850));
    assert!(!world.screens.iter().any(|screen| matches!(screen, Screen::Amount(_))));
}

#[test]
fn the_amount_stays_within_its_bounds() {
    let mut world = at_pad();
    world.user(UserAction::Confirm);
    assert_eq!((pad(&world).typed, pad(&world).notice), (cny(0), None), "nothing typed is nothing asked");
    type_digits(&mut world, "0050010");
    assert_eq!(pad(&world).typed, cny(50_010));
    world.user(UserAction::Confirm);
    assert_eq!(pad(&world).notice, Some(Notice::AmountTooLarge { most: cny(5_000) }));
    world.user(UserAction::Backspace);
    assert_eq!((pad(&world).typed, pad(&world).notice), (cny(5_001), None));
    world.user(UserAction::Confirm);
    assert_eq!(pad(&world).notice, Some(Notice::AmountTooLarge { most: cny(5_000) }));
    type_digits(&mut world, "99999999999999");
    assert!(pad(&world).typed.minor() <= MAX_MINOR, "no number grows beyond what an amount can be");
    for _ in 0..20 {
        world.user(UserAction::Backspace);
    }
    assert_eq!(pad(&world).typed, cny(0));
    type_digits(&mut world, "5000");
    world.user(UserAction::Confirm);
    assert!(matches!(world.screen(), Screen::Review(_)));

    // The balance falls while the child types.
    let mut world = at_pad();
    type_digits(&mut world, "4000");
    world.service.event("balance", serde_json::json!({"balance": cny(3_000)}));
    world.settle();
    world.user(UserAction::Confirm);
    assert_eq!(pad(&world).notice, Some(Notice::AmountTooLarge { most: cny(3_000) }));

    // A new watch has a cap of its own.
    let mut world = World::paired();
    world.service.balance = 90_000;
    world.service.event("balance", serde_json::json!({"balance": cny(90_000)}));
    world.settle();
    let code = world.service.cast.shop_code();
    scan(&mut world, &[&code]);
    world.settle();
    assert_eq!(pad(&world).most, cny(20_000));
    // It is over after the cooling-off.
    world.user(UserAction::Cancel);
    world.pass(NEW_WATCH_COOLING_OFF_MS);
    world.settle();
    scan(&mut world, &[&code]);
    world.settle();
    assert_eq!(pad(&world).most, cny(90_000));
}

#[test]
fn an_empty_wallet_and_another_currency_are_said_at_once() {
    let mut world = World::paired();
    world.service.event("balance", serde_json::json!({"balance": cny(0)}));
    world.settle();
    let code = world.service.cast.shop_code();
    scan(&mut world, &[&code]);
    world.settle();
    assert_eq!(home_notice(&world), Some(Notice::NotEnoughMoney { balance: Some(cny(0)) }));

    let mut world = World::paired();
    world.service.codes.extend(payee_of(EPC));
    scan(&mut world, &[EPC]);
    world.settle();
    assert_eq!(home_notice(&world), Some(Notice::OtherSystem(OtherSystem::Epc)), "the wallet holds no euros");
}

#[test]
fn what_nobody_here_can_pay_is_named() {
    let ours = nodpay_testkit::Cast::new(1).shop_code();
    let tip = sealed(&format!("{PAYNOW}550201"));
    let unknown: [(&str, Notice); 4] = [
        (&sealed(PAYNOW), Notice::OtherSystem(OtherSystem::Emv(Some("PayNow")))),
        (&with_amount("1"), Notice::OtherSystem(OtherSystem::Emv(Some("PayNow")))),
        (EPC, Notice::OtherSystem(OtherSystem::Epc)),
        (&ours, Notice::BillUnknown),
    ];
    for (text, notice) in unknown {
        let mut world = World::paired();
        let before = world.service.requests.len();
        scan(&mut world, &[text]);
        world.settle();
        assert_eq!(home_notice(&world), Some(notice), "{text}");
        assert!(world.service.requests[before..].iter().any(|request| request.ends_with("/payee")));
    }
    // No use in asking: nothing is sent.
    let closed: [(&str, Notice); 4] = [
        ("upi://pay?pa=shop@bank", Notice::OtherSystem(OtherSystem::Emv(Some("UPI")))),
        ("https://qr.alipay.com/fkx0123456789", Notice::OtherSystem(OtherSystem::Alipay)),
        (&tip, Notice::OtherSystem(OtherSystem::Emv(Some("PayNow")))),
        (&sealed(PAYNOW).replace("MENSA", "MENSB"), Notice::BrokenCode),
    ];
    for (text, notice) in closed {
        let mut world = World::paired();
        let before = world.service.requests.len();
        scan(&mut world, &[text]);
        world.settle();
        assert_eq!(world.screen(), Screen::Scan { purpose: ScanFor::Paying, notice: Some(notice) }, "{text}");
        assert_eq!(world.service.requests.len(), before);
    }
}

#[test]
fn between_two_codes_that_could_be_paid_nothing_is_guessed() {
    let mut world = World::paired();
    let (bill, sticker, paynow) = (world.bill_code(0), world.service.cast.shop_code(), sealed(PAYNOW));
    let several = Screen::Scan { purpose: ScanFor::Paying, notice: Some(Notice::SeveralCodes) };
    let before = world.service.requests.len();
    for texts in [[&bill, &sticker], [&sticker, &bill], [&paynow, &EPC.to_owned()]] {
        scan(&mut world, &texts.map(String::as_str));
        world.settle();
        assert_eq!(world.screen(), several);
        world.user(UserAction::Cancel);
    }
    assert_eq!(world.service.requests.len(), before);
    // What is surely ours goes before what only the service may know; one code seen twice is one.
    scan(&mut world, &[&paynow, &bill, "https://example.com", EPC]);
    world.settle();
    assert!(matches!(world.screen(), Screen::Review(_)));
    world.user(UserAction::Cancel);
    scan(&mut world, &[&sticker, &paynow, &sticker]);
    world.settle();
    assert!(matches!(world.screen(), Screen::Amount(_)));
}

#[test]
fn a_false_answer_is_not_taken() {
    let foreign = nodpay_testkit::Cast::new(1);
    // A certificate of another root, and a certificate of another merchant for a code of ours.
    let mut world = World::paired();
    let root = std::mem::replace(&mut world.service.cast.certificate, foreign.certificate.clone());
    let code = world.service.cast.shop_code();
    scan(&mut world, &[&code]);
    world.settle();
    assert_eq!(home_notice(&world), Some(Notice::BillNotGenuine));
    world.service.cast.certificate = root;
    let others = foreign.shop_code();
    world.service.codes.extend(payee_of(&others));
    scan(&mut world, &[&others]);
    world.settle();
    assert_eq!(home_notice(&world), Some(Notice::BillNotGenuine));
    assert!(world.service.seen_bills.is_empty());
}

#[test]
fn trouble_on_the_way_is_told() {
    for (status, code, notice) in [
        (500, "internal", Notice::ServiceTrouble),
        (422, "malformed-request", Notice::ServiceTrouble),
        (404, "payee-unknown", Notice::BillUnknown),
        (403, "revoked-watch", Notice::WatchNotEnrolled),
    ] {
        let mut world = World::paired();
        world.service.refuse = Some(("/payee", status, code));
        let text = world.service.cast.shop_code();
        scan(&mut world, &[&text]);
        world.finished = true;
        world.run_until(|world| !matches!(world.screen(), Screen::Fetching));
        assert_eq!(home_notice(&world), Some(notice), "{code}");
    }
    // The child goes on to something else meanwhile.
    let mut world = World::paired();
    let text = world.service.cast.shop_code();
    scan(&mut world, &[&text]);
    world.user(UserAction::Cancel);
    world.settle();
    assert_eq!(home_notice(&world), None);
}

#[test]
fn a_bill_the_service_does_not_take_ends_its_order() {
    for (text, code, notice) in [
        (None, "payee-unknown", Notice::BillUnknown),
        (Some(sealed(PAYNOW)), "payee-unknown", Notice::OtherSystem(OtherSystem::Emv(Some("PayNow")))),
        (None, "other-merchant", Notice::ServiceTrouble),
        (None, "revoked-watch", Notice::WatchNotEnrolled),
    ] {
        let mut world = World::paired();
        let text = text.unwrap_or_else(|| world.service.cast.shop_code());
        world.service.codes.extend(payee_of(&text));
        world.sticker = Some(text);
        world.service.refuse = Some(("/bills", 422, code));
        world.run_until(|world| matches!(world.screen(), Screen::Sending));
        world.finished = true;
        world.settle();
        assert_eq!(home_notice(&world), Some(notice), "{code}");
        assert!(world.service.orders.is_empty() && world.service.seen_orders.is_empty());
        world.service.refuse = None;
        world.reboot();
        world.settle();
        assert!(world.service.orders.is_empty(), "it stays ended");
    }
}

/// The network is away when the order is placed: bill and order wait in the journal and go in this order, once.
#[test]
fn bill_and_order_wait_for_the_network() {
    let mut world = World::paired();
    world.sticker = Some(world.service.cast.shop_code());
    world.plan = Plan::Nothing;
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    world.go_offline();
    world.type_pin("7391");
    world.settle();
    assert_eq!(world.screen(), Screen::Sending);
    world.reboot();
    world.settle();
    assert_eq!(world.screen(), Screen::Sending);
    assert!(world.service.seen_bills.is_empty());
    world.go_online();
    let before = world.service.requests.len();
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    let sent: Vec<&str> = world.service.requests[before..]
        .iter()
        .filter(|request| request.starts_with("POST"))
        .map(|request| request.rsplit('/').next().expect("a path"))
        .collect();
    assert_eq!(sent, ["bills", "orders"]);
    // Cancelled before the bill is delivered, neither is sent any more.
    let mut world = World::paired();
    world.sticker = Some(world.service.cast.shop_code());
    world.run_until(|world| matches!(world.screen(), Screen::Pin { .. }));
    world.go_offline();
    world.type_pin("7391");
    world.user(UserAction::Cancel);
    world.finished = true;
    world.go_online();
    world.run_until(|world| world.service.requests.iter().any(|request| request.ends_with("/cancel")));
    world.settle();
    assert!(world.service.seen_bills.is_empty() && world.service.seen_orders.is_empty());
    assert_eq!(ending(&world).kind, EndKind::Cancelled);
}
