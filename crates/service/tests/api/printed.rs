//! Printed codes: whose they are, what a watch may make of them, and what nobody gets.

use nodpay_core::{Bill, CodeText, Reduction};
use nodpay_protocol::code::payee_of;
use nodpay_protocol::{Kind, Verified, sign, verify_evidence, verify_outcome};
use nodpay_service::admin::{self, AdminError};
use nodpay_store::{NewCode, NewMerchant, StoreError, TokenHash};
use nodpay_testkit::{Cast, cny, key};
use serde_json::json;

use crate::app::{Answer, Household, TestApp, amount, post_from_thread};

/// Another system's code in the layout of FPS, in the cast's currency.
const FOREIGN: &str = "00020101021126330012hk.com.hkicl021312345678901235204000053031565802HK5902NA6002HK6304";

fn sealed(covered: &str) -> String {
    let mut crc = 0xFFFF_u16;
    for byte in covered.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    format!("{covered}{crc:04X}")
}

impl TestApp {
    fn ask_payee(&self, cast: &Cast, text: &[u8]) -> Answer {
        let path = format!("/api/watch/{}/payee", cast.watch);
        let proof = self.proof_for(cast, "POST", &path);
        self.send("POST", &path, &[("dpop", &proof)], "text/plain; charset=utf-8", text)
    }

    fn send_bill(&self, cast: &Cast, bill: &Verified<Bill>) -> Answer {
        self.post_wire(&format!("/api/watch/{}/bills", cast.watch), &[], bill.wire())
    }

    fn register(&self, cast: &Cast, text: &str) {
        let payee = payee_of(text).expect("a payee");
        let code = NewCode { payee, merchant: cast.merchant, text: CodeText::new(text).expect("a text") };
        self.wait(self.app.store().add_code(code, self.now())).expect("registered");
    }

    /// With the cast's own printed code registered.
    fn with_code() -> (Self, Household, String) {
        let (app, household) = Self::furnished();
        let text = household.cast.shop_code();
        app.register(&household.cast, &text);
        (app, household, text)
    }
}

fn made(cast: &Cast, number: u8, code: &str, total: i64) -> Verified<Bill> {
    cast.sign_static_bill(cast.static_bill_payload(number, code, total))
}

#[test]
fn a_printed_code_is_paid_from_the_question_to_the_evidence() {
    let (app, household, text) = TestApp::with_code();
    let cast = &household.cast;
    let till = app.follow_merchant();
    assert_eq!(app.ask_payee(cast, text.as_bytes()).ok(), json!({ "certificate": cast.certificate.wire() }));

    let bill = made(cast, 1, &text, 850);
    let answer = app.send_bill(cast, &bill);
    assert_eq!((answer.status, answer.ok()), (201, json!({})));
    let again = app.send_bill(cast, &bill);
    assert_eq!((again.status, again.ok()), (202, json!({})), "the same bytes get the same bill");
    let order = cast.order(&bill, 1);
    app.place(cast, &order).ok();
    let told = till.wait_for("bill").data;
    assert_eq!((&told["status"], &told["printed_code"]), (&json!("waiting"), &json!(true)));
    assert_eq!(amount(&told["total"]), cny(850));
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    assert_eq!(view["bill"], bill.wire());
    let strike = json!({ "struck": ["1"] });
    let path = format!("/api/guardian/orders/{}/strike", order.order);
    app.post(&path, &app.pages(&household.cookie), &strike).refused(422, "everything-struck");

    let decision = app.approve(&household, &order, &bill);
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    assert_eq!(app.balance(&household), (19_150, 0));
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    let outcome = verify_outcome(view["outcome"].as_str().expect("ended"), &cast.outcome_certificate, &order);
    app.watch_post(cast, &order, "result", cast.result(&order, &outcome.expect("sound")).wire()).ok();
    let evidence = app.guardian_get(&household, &format!("/api/guardian/orders/{}/evidence", order.order));
    let anchor = cast.anchor().to_file().expect("serialises");
    let report = verify_evidence(evidence.text.as_bytes(), anchor.as_bytes()).expect("proves it");
    assert_eq!((report.outcome.as_str(), report.total), ("paid", cny(850)));
    let listed = app.merchant_get(&format!("/api/merchant/bills/{}", bill.bill)).ok();
    assert_eq!((&listed["status"], &listed["printed_code"]), (&json!("paid"), &json!(true)));
    assert_eq!(app.merchant_get("/api/merchant").ok()["codes"], json!([text]));
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
    // A replay after the payment changes nothing: the bill is known, and its order has ended.
    app.send_bill(cast, &bill).ok();
    app.place(cast, &cast.order(&bill, 2)).refused(409, "bill-already-paid");
}

#[test]
fn who_is_not_known_is_refused() {
    let (app, household, text) = TestApp::with_code();
    let cast = &household.cast;
    let foreign = sealed(FOREIGN);
    for unknown in [foreign.as_str(), "https://qr.alipay.com/fkx1", "hello", &Cast::new(1).shop_code(), &text[..40]] {
        app.ask_payee(cast, unknown.as_bytes()).refused(404, "payee-unknown");
    }
    app.ask_payee(cast, b"").refused(400, "malformed-request");
    app.ask_payee(cast, b"\xFF\xFE").refused(400, "malformed-request");
    app.ask_payee(cast, "a\u{202E}b".as_bytes()).refused(400, "malformed-request");
    app.ask_payee(cast, "x".repeat(513).as_bytes()).refused(400, "malformed-request");
    app.ask_payee(cast, "x".repeat(70_000).as_bytes()).refused(413, "body-too-large");
    let path = format!("/api/watch/{}/payee", cast.watch);
    let proof = app.proof_for(cast, "POST", &path);
    app.send("POST", &path, &[("dpop", &proof)], "application/json", b"{}").refused(415, "unsupported-media-type");
    app.send("POST", &path, &[("dpop", &proof)], "text/plain", text.as_bytes()).refused(401, "proof-reused");
    let read = app.proof(cast, &path);
    app.send("POST", &path, &[("dpop", &read)], "text/plain", text.as_bytes()).refused(401, "proof-other-request");

    // A merchant whose certificate is over cannot be paid.
    app.clock.advance_ms(200 * 24 * 3_600_000);
    app.ask_payee(cast, text.as_bytes()).refused(404, "payee-unknown");
}

#[test]
fn one_watch_cannot_ask_without_end() {
    let (app, household, text) = TestApp::with_code();
    let cast = &household.cast;
    for _ in 0..30 {
        app.ask_payee(cast, text.as_bytes()).ok();
    }
    app.ask_payee(cast, text.as_bytes()).refused(429, "too-many-tries");
    app.send_bill(cast, &made(cast, 1, &text, 850)).refused(429, "too-many-tries");
    app.clock.advance_ms(2_000);
    app.ask_payee(cast, text.as_bytes()).ok();
    app.send_bill(cast, &made(cast, 1, &text, 850)).ok();
}

#[test]
fn a_bent_bill_is_refused_and_changes_nothing() {
    let (app, household, text) = TestApp::with_code();
    let cast = &household.cast;
    let fixed = sealed(&FOREIGN.replace("5802HK", "54038.55802HK"));
    app.register(cast, &fixed);
    let before = app.snapshot(&household);
    let bent = |change: fn(&mut Bill)| {
        let mut bill = cast.static_bill_payload(1, &text, 850);
        change(&mut bill);
        cast.sign_static_bill(bill)
    };
    let send = |bill: &Verified<Bill>| app.send_bill(cast, bill);
    send(&made(cast, 1, &fixed, 851)).refused(422, "bad-scanned-code");
    send(&bent(|bill| bill.currency = nodpay_core::Currency::EUR)).refused(422, "bad-scanned-code");
    send(&bent(|bill| bill.code = None)).refused(422, "bad-scanned-code");
    send(&bent(|bill| bill.reduction = Reduction::Requote)).refused(422, "bad-scanned-code");
    send(&bent(|bill| bill.total = nodpay_testkit::minor(1))).refused(422, "bad-bill");
    send(&bent(|bill| bill.certificate = nodpay_testkit::some_digest(1))).refused(422, "other-merchant");
    send(&bent(|bill| bill.valid_until = bill.issued.plus_ms(86_400_001))).refused(422, "bad-bill-life");
    send(&made(cast, 1, &sealed(FOREIGN).replace("NA", "NB"), 850)).refused(404, "payee-unknown");
    send(&cast.bill(1)).refused(400, "wrong-message-kind");
    let foreign = sign(Kind::StaticBill, cast.static_bill_payload(1, &text, 850), &key(200)).expect("signs");
    send(&foreign).refused(422, "bad-signature");
    // Neither side may do the other's part.
    app.post_merchant_wire(made(cast, 1, &text, 850).wire()).refused(400, "wrong-message-kind");
    app.post_bill(&cast.sign_bill(cast.static_bill_payload(1, &text, 850))).refused(422, "bad-scanned-code");
    app.post_wire("/api/watch/AAAAAAAAAAAAAAAAAAAAAA/bills", &[], made(cast, 1, &text, 850).wire())
        .refused(404, "unknown-watch");
    assert_eq!(app.snapshot(&household), before);
    let kept = made(cast, 1, &text, 850);
    send(&kept).ok();
    send(&made(cast, 1, &text, 851)).refused(409, "bill-exists");
}

#[test]
fn another_watch_can_neither_read_nor_order_it() {
    let (app, household, text) = TestApp::with_code();
    let cast = &household.cast;
    let other = app.add_household(Cast { merchant: cast.merchant, ..Cast::new(2) }, 20_000);
    let bill = made(cast, 1, &text, 850);
    app.send_bill(cast, &bill).ok();
    let theirs = &other.cast;
    let read = |cast: &Cast| app.watch_get(cast, &format!("/api/watch/{}/bills/{}", cast.watch, bill.bill));
    read(theirs).refused(404, "bill-unknown");
    read(cast).refused(404, "bill-unknown");
    app.place(theirs, &theirs.order(&bill, 1)).refused(404, "bill-unknown");
    app.send_bill(theirs, &bill).refused(422, "bad-signature");
    app.place(cast, &cast.order(&bill, 1)).ok();
}

#[test]
fn a_removed_watch_and_a_forgotten_code_end_it() {
    let (app, household, text) = TestApp::with_code();
    let cast = &household.cast;
    let payee = payee_of(&text).expect("a payee");
    let known = made(cast, 1, &text, 850);
    app.send_bill(cast, &known).ok();
    app.wait(app.app.store().remove_code(cast.merchant, payee)).expect("removed");
    app.ask_payee(cast, text.as_bytes()).refused(404, "payee-unknown");
    app.send_bill(cast, &made(cast, 2, &text, 850)).refused(404, "payee-unknown");
    app.send_bill(cast, &known).ok();
    app.place(cast, &cast.order(&known, 1)).ok();

    app.register(cast, &text);
    let removal = cast.next_entry(nodpay_core::Entry::RemoveWatch(cast.watch));
    let wire = cast.passkey.assert(nodpay_protocol::AssertionKind::Log, &removal);
    app.post("/api/guardian/log", &app.pages(&household.cookie), &json!({ "entry": wire })).ok();
    app.ask_payee(cast, text.as_bytes()).refused(403, "revoked-watch");
    app.send_bill(cast, &made(cast, 3, &text, 850)).refused(403, "revoked-watch");
}

#[test]
fn the_operator_registers_and_makes_codes() {
    let (app, household) = TestApp::furnished();
    let cast = &household.cast;
    let (store, now) = (app.app.store(), app.now());
    let add = |text: &str| app.wait(admin::add_code(store, cast.merchant, text, now));
    let refused = |text: &str| match add(text) {
        Err(AdminError::NotRegistrable(why)) => why,
        other => panic!("{text}: {other:?}"),
    };
    let foreign = sealed(FOREIGN);
    let payee = add(&foreign).expect("registered");
    assert_eq!(add(&foreign).expect("again"), payee);
    app.ask_payee(cast, foreign.as_bytes()).ok();
    let with_amount = sealed(&FOREIGN.replace("5802HK", "54038.55802HK"));
    app.ask_payee(cast, with_amount.as_bytes()).ok();

    assert_eq!(refused("https://qr.alipay.com/fkx1"), "it names no payee, or asks for a tip or fee");
    assert_eq!(
        refused(&sealed(&FOREIGN.replace("5802HK", "5502015802HK"))),
        "it names no payee, or asks for a tip or fee"
    );
    assert_eq!(
        refused(&sealed(&FOREIGN.replace("5303156", "5303344"))),
        "it is in another currency than the merchant's"
    );
    assert_eq!(refused(&Cast::new(1).shop_code()), "it is the code that another shop of this service prints");
    assert!(matches!(add(&foreign[..50]), Err(AdminError::Code(_))));
    let nobody = nodpay_core::MerchantId::from_bytes([99; 16]);
    let unknown = app.wait(admin::add_code(store, nobody, &foreign, now));
    assert!(matches!(unknown, Err(AdminError::Store(StoreError::MerchantUnknown))));

    let made = app.wait(admin::make_code(store, cast.merchant, None, now)).expect("made");
    assert_eq!(payee_of(&made), payee_of(&cast.shop_code()));
    let priced = app.wait(admin::make_code(store, cast.merchant, Some(nodpay_testkit::minor(450)), now)).expect("made");
    assert_eq!(payee_of(&made), payee_of(&priced));
    let listed = app.wait(store.codes(cast.merchant)).expect("reads");
    assert_eq!(listed.len(), 2);

    // A code with an account number says where banks pay the shop.
    let merchant = nodpay_core::MerchantId::from_bytes([98; 16]);
    let api_key = TokenHash([98; 32]);
    let row = app.wait(store.merchant(cast.merchant)).expect("reads").expect("the merchant");
    let (name, mcc, city, country) = (row.name, row.mcc, row.city, row.country);
    let euro = NewMerchant { merchant, name, mcc, city, country, currency: nodpay_core::Currency::EUR, api_key };
    app.wait(store.add_merchant(euro, now)).expect("added");
    let epc = "BCD\n002\n1\nSCT\n\nKantine\nAT611904300234573201";
    app.wait(admin::add_code(store, merchant, epc, now)).expect("registered");
    let iban = app.wait(store.merchant(merchant)).expect("reads").expect("the merchant").iban;
    assert_eq!(iban.map(|iban| iban.to_string()).as_deref(), Some("AT611904300234573201"));
    assert!(app.wait(admin::make_code(store, cast.merchant, Some(nodpay_testkit::minor(0)), now)).is_err());
}

/// The same bill from many connections at once is one bill.
#[test]
fn many_deliveries_are_one_bill() {
    let (app, household, text) = TestApp::with_code();
    let bill = made(&household.cast, 1, &text, 850);
    let url = format!("{}/api/watch/{}/bills", app.base, household.cast.watch);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (url, wire) = (url.clone(), bill.wire().to_owned());
            std::thread::spawn(move || post_from_thread(&url, &[], &wire).status)
        })
        .collect();
    for thread in threads {
        let status = thread.join().expect("answers");
        assert!(matches!(status, 201 | 202), "{status}");
    }
    app.place(&household.cast, &household.cast.order(&bill, 1)).ok();
}
