//! Every message is believed only whole: honest ones verify, bent ones do not, each for its own reason.

use nodpay_core::{
    Adjustment, AdjustmentKind, Amount, Bill, Cancel, Choice, Currency, Decision, Digest, Entry,
    GUARDIAN_COOLING_OFF_MS, HouseCaps, HouseRules, HouseholdId, MAX_SESSION_MS, Mandate, MandateId, MerchantId,
    NewGuardian, Newcomers, Nonce, Order, OrderId, Outcome, OutcomeKind, Outside, Payment, PaymentId, PinCommand,
    PinConsent, PinReport, PinState, Reduction, ResultReport, Text, TransferId, V1, Verdict, WatchId, WatchSession,
    WearerId, Why,
};
use nodpay_protocol::code::{BillCode, write_bill_code};
use nodpay_protocol::{
    Anchor, AnchorGuardian, Assertion, AssertionKind, CardTopUp, EvidenceError, Kind, PairingCode, PairingSecret,
    Signer as _, Verified, VerifyError, challenge, code_of_static_bill, payment_id, sha256, sign, sign_request,
    verify_bill, verify_cancel, verify_card_top_up, verify_decision, verify_evidence, verify_first_nod,
    verify_mandate_payment, verify_merchant_certificate, verify_order, verify_ordered_bill, verify_outcome,
    verify_outcome_certificate, verify_pairing_claim, verify_payment, verify_pin_report, verify_request,
    verify_requote, verify_result, verify_static_bill,
};
use nodpay_testkit::{Cast, START, SoftPasskey, Story, cny, key, line_id, minor, rp, some_digest};

fn tax() -> Adjustment {
    Adjustment { kind: AdjustmentKind::Tax, name: Text::new("VAT 税").expect("a name"), amount: minor(200) }
}

fn paid(cast: &Cast) -> Story {
    cast.paid_story(cast.bill(1), 1, &[line_id("3")])
}

#[test]
fn an_honest_order_verifies_from_bill_to_result() {
    let cast = Cast::default();
    let story = paid(&cast);
    let book = cast.book();
    let root = cast.root.public_key();
    let certificate = verify_merchant_certificate(cast.certificate.wire(), &root).expect("certificate");
    let outcome_certificate = verify_outcome_certificate(cast.outcome_certificate.wire(), &root).expect("certificate");
    let bill = verify_bill(story.bill.wire(), &certificate).expect("bill");
    let order = verify_order(story.order.wire(), &book, cast.watch, &bill).expect("order");
    let decision = story.decision.as_ref().expect("decided");
    let (decision, terms, counter) =
        verify_decision(decision.wire(), &book, &order, &bill, None, &cast.certificate).expect("decision");
    let terms = terms.expect("approved");
    assert_eq!((terms.total, terms.struck.len(), counter), (cny(2950), 1, 0));
    let payment = story.payment.as_ref().expect("paid");
    verify_payment(payment.wire(), &book, &order, &decision).expect("payment");
    let outcome = verify_outcome(story.outcome.wire(), &outcome_certificate, &order).expect("outcome");
    verify_result(story.result.wire(), &book, &order, &outcome).expect("result");
}

#[test]
fn a_requote_stands_in_and_makes_older_decisions_stale() {
    let cast = Cast::default();
    let book = cast.book();
    let bill = cast.sign_bill(cast.bill_payload(2, Reduction::Requote, vec![tax()]));
    let order = cast.order(&bill, 2);
    let struck = [line_id("3"), line_id("4")];
    let requote = cast.requote(&bill, &struck, 2);
    verify_requote(requote.wire(), &cast.certificate, &bill).expect("requote");

    let decision = cast.decision_payload(&order, &bill, Some(&requote), &struck, Verdict::Approve);
    let wire = cast.sign_decision(&decision);
    let (_, terms, _) =
        verify_decision(&wire, &book, &order, &bill, Some(&requote), &cast.certificate).expect("decision");
    assert_eq!(terms.expect("approved").total, cny(2650));

    let over_original = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve));
    let stale = verify_decision(&over_original, &book, &order, &bill, Some(&requote), &cast.certificate);
    assert_eq!(stale.err(), Some(VerifyError::StaleBill));
    let third = cast.requote(&bill, &struck[..1], 3);
    let older = verify_decision(&wire, &book, &order, &bill, Some(&third), &cast.certificate);
    assert_eq!(older.err(), Some(VerifyError::OtherBill));
    let unknown = verify_decision(&wire, &book, &order, &bill, None, &cast.certificate);
    assert_eq!(unknown.err(), Some(VerifyError::OtherBill));
}

#[test]
fn a_bill_of_a_printed_code_is_the_watchs_and_bound_to_the_code() {
    let cast = Cast::default();
    let watch = key(4).public_key();
    assert_eq!(watch, cast.watch_key.public_key());
    let ours = cast.shop_code();
    let verify = |bill: Bill| {
        let wire = cast.sign_static_bill(bill).wire().to_owned();
        verify_static_bill(&wire, &cast.certificate, &watch)
    };
    let honest = verify(cast.static_bill_payload(1, &ours, 850)).expect("honest");
    assert_eq!(verify_ordered_bill(honest.wire(), &cast.certificate, &watch), Ok(honest.clone()));
    let named = (honest.digest(), honest.code.clone().expect("a code"));
    assert_eq!(code_of_static_bill(honest.wire(), &watch), Ok(named));
    let epc = "BCD\n002\n1\nSCT\n\nSchulkantine\nDE71110220330123456789\nEUR8.50";
    let in_euros = |total: i64| {
        let mut bill = cast.static_bill_payload(1, epc, total);
        bill.currency = Currency::EUR;
        bill
    };
    verify(in_euros(850)).expect("a fixed amount");

    let scanned = |bill: Bill| match verify(bill) {
        Err(VerifyError::ScannedCode(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(scanned(in_euros(851)), "it asks for another amount");
    assert_eq!(scanned(cast.static_bill_payload(1, epc, 850)), "it is in another currency");
    let other = Cast::new(1).shop_code();
    assert_eq!(scanned(cast.static_bill_payload(1, &other, 850)), "it is of another merchant");
    for text in ["https://qr.alipay.com/fkx1", "hello", &bill_code(&cast.bill(1))] {
        assert_eq!(scanned(cast.static_bill_payload(1, text, 3650)), "it names no payee", "{text}");
    }
    assert_eq!(scanned(cast.static_bill_payload(1, &ours[..40], 850)), "it cannot be read");
    type Bend = fn(&mut Bill);
    let bends: [(Bend, &str); 5] = [
        (|bill| bill.code = None, "there is none"),
        (|bill| bill.lines[0].quantity = 2, "its bill is one line for one sum"),
        (|bill| bill.lines.push(nodpay_testkit::line("2", "Gum", 1, 500)), "its bill is one line for one sum"),
        (|bill| bill.reduction = Reduction::Requote, "its bill is one line for one sum"),
        (
            |bill| {
                bill.revision = 2;
                bill.replaces = Some(some_digest(1));
            },
            "its bill is one line for one sum",
        ),
    ];
    for (bend, why) in bends {
        let mut bill = cast.static_bill_payload(1, &ours, 850);
        bend(&mut bill);
        for line in &mut bill.lines {
            line.amount = line.unit_price.times(line.quantity).expect("in range");
        }
        nodpay_testkit::retotal(&mut bill);
        assert_eq!(scanned(bill), why);
    }

    // Who may sign which.
    let foreign = verify_static_bill(honest.wire(), &cast.certificate, &key(200).public_key());
    assert_eq!(foreign.err(), Some(VerifyError::Signature));
    let merchants = cast.sign_bill(Bill::clone(&honest));
    assert!(matches!(verify_bill(merchants.wire(), &cast.certificate), Err(VerifyError::ScannedCode(_))));
    assert_eq!(verify_bill(honest.wire(), &cast.certificate).err(), Some(VerifyError::WrongKind));
    let swapped = verify_static_bill(honest.wire(), &Cast::new(1).certificate, &watch);
    assert_eq!(swapped.err(), Some(VerifyError::OtherMerchant));
    // A merchant cannot requote what a watch signed.
    let mut requote = Bill::clone(&honest);
    requote.revision = 2;
    requote.replaces = Some(honest.digest());
    requote.code = None;
    let requote = cast.sign_bill(requote);
    assert!(matches!(verify_requote(requote.wire(), &cast.certificate, &honest), Err(VerifyError::Requote(_))));
}

fn bill_code(bill: &Verified<Bill>) -> String {
    write_bill_code(&BillCode {
        bill: *bill.bill.as_bytes(),
        digest: [7; 16],
        mcc: "5411",
        currency: "CNY",
        amount_minor: bill.total.get(),
        country: "CN",
        name: "Sunny Shop",
        city: "Shenzhen",
    })
    .expect("a code")
}

#[test]
fn a_paid_printed_code_is_evidence_of_this_watch_only() {
    let cast = Cast::default();
    let bill = cast.sign_static_bill(cast.static_bill_payload(1, &cast.shop_code(), 850));
    let story = cast.paid_story(bill, 1, &[]);
    let anchor = cast.anchor().to_file().expect("serialises");
    let check = |story: &Story| {
        let file = cast.evidence(story).to_file().expect("serialises");
        verify_evidence(file.as_bytes(), anchor.as_bytes())
    };
    let report = check(&story).expect("sound");
    assert_eq!((report.outcome, report.total), (OutcomeKind::Paid, cny(850)));
    let first = &report.story[0].what;
    assert!(first.contains("typed by the wearer") && first.contains("阳光小卖部 Sunny Shop"), "{first}");

    let mut forged = story.clone();
    forged.bill = sign(Kind::StaticBill, Bill::clone(&story.bill), &key(200)).expect("signs");
    let Err(EvidenceError::Broken { link: "bill", .. }) = check(&forged) else { panic!("a foreign watch's bill") };
    let mut merchants = story;
    merchants.bill = cast.sign_bill(Bill::clone(&merchants.bill));
    let Err(EvidenceError::Broken { link: "bill", .. }) = check(&merchants) else { panic!("a merchant's bill") };
}

#[test]
fn every_bent_order_is_refused_for_its_own_reason() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    type Bend = fn(&mut Order);
    let cases: [(Bend, VerifyError); 9] = [
        (|o| o.watch = WatchId::from_bytes([99; 16]), VerifyError::OtherWatch),
        (|o| o.household = HouseholdId::from_bytes([99; 16]), VerifyError::OtherHousehold),
        (|o| o.wearer = WearerId::from_bytes([99; 16]), VerifyError::OtherWearer),
        (|o| o.bill = some_digest(99), VerifyError::OtherBill),
        (|o| o.log_head = some_digest(99), VerifyError::UnknownLogHead),
        (|o| o.expires = o.created, VerifyError::OrderLife),
        (|o| o.expires = o.created.plus_ms(3_600_001), VerifyError::OrderLife),
        (|o| o.wearer_check.at = o.created.plus_ms(1), VerifyError::WearerCheck),
        (|o| o.wearer_check.at = o.created.plus_ms(-120_001), VerifyError::WearerCheck),
    ];
    for (index, (bend, error)) in cases.into_iter().enumerate() {
        let mut order = cast.order_payload(&bill, 1);
        bend(&mut order);
        let order = cast.sign_order(order);
        assert_eq!(verify_order(order.wire(), &book, cast.watch, &bill).err(), Some(error), "case {index}");
    }
    let foreign = sign(Kind::Order, cast.order_payload(&bill, 1), &key(200)).expect("signs");
    assert_eq!(verify_order(foreign.wire(), &book, cast.watch, &bill).err(), Some(VerifyError::Signature));
    let unknown = verify_order(cast.order(&bill, 1).wire(), &book, WatchId::from_bytes([99; 16]), &bill);
    assert_eq!(unknown.err(), Some(VerifyError::UnknownWatch));
}

#[test]
fn every_bent_decision_is_refused_for_its_own_reason() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    type Bend = fn(&mut Decision);
    let cases: [(Bend, &str); 14] = [
        (|d| d.order = some_digest(99), "other-order"),
        (|d| d.household = HouseholdId::from_bytes([99; 16]), "other-household"),
        (|d| d.watch = WatchId::from_bytes([99; 16]), "other-watch"),
        (|d| d.wearer = WearerId::from_bytes([99; 16]), "other-wearer"),
        (|d| d.payee = some_digest(99), "other-payee"),
        (|d| d.bill = some_digest(99), "other-bill"),
        (|d| d.total = cny(1), "wrong-total"),
        (|d| d.struck = Vec::new(), "wrong-total"),
        (|d| d.struck = vec![line_id("99")], "line-not-there"),
        (|d| d.struck = ["1", "2", "3", "4", "5"].map(line_id).to_vec(), "everything-struck"),
        (|d| d.log_head = some_digest(99), "unknown-log-head"),
        (|d| d.pay_by = d.at, "bad-decision-life"),
        (|d| d.pay_by = d.at.plus_ms(600_001), "bad-decision-life"),
        (|d| d.verdict = Verdict::Refuse, "bad-strike"),
    ];
    for (index, (bend, code)) in cases.into_iter().enumerate() {
        let mut decision = cast.decision_payload(&order, &bill, None, &[line_id("3")], Verdict::Approve);
        bend(&mut decision);
        let refused = verify_decision(&cast.sign_decision(&decision), &book, &order, &bill, None, &cast.certificate);
        assert_eq!(refused.map_err(|error| error.code()).err(), Some(code), "case {index}");
    }
}

#[test]
fn every_bent_assertion_is_refused_for_its_own_reason() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    let decision = cast.decision_payload(&order, &bill, None, &[], Verdict::Approve);
    let payload = serde_json::to_vec(&decision).expect("serialises");
    let check = |wire: &str| {
        verify_decision(wire, &book, &order, &bill, None, &cast.certificate).map_err(|error| error.code()).err()
    };

    let with = |change: &dyn Fn(&mut SoftPasskey)| {
        let mut passkey = SoftPasskey::new(5, rp());
        assert_eq!(passkey.guardian, cast.passkey.guardian, "the cast's own guardian");
        change(&mut passkey);
        passkey.assert(AssertionKind::Decision, &decision)
    };
    assert_eq!(check(&with(&|_| {})), None);
    assert_eq!(check(&with(&|p| p.key = key(200))), Some("bad-signature"));
    assert_eq!(
        check(&with(&|p| p.guardian.credential = vec![9; 20].try_into().expect("an id"))),
        Some("unknown-guardian")
    );
    assert_eq!(check(&with(&|p| p.rp.rp_id = "evil.example".to_owned())), Some("wrong-rp-id"));
    assert_eq!(check(&with(&|p| p.rp.origins = vec!["https://evil.example".to_owned()])), Some("wrong-origin"));
    assert_eq!(check(&with(&|p| p.demo = true)), Some("demo-key-refused"));

    // Bent before signing: the signature is right, the content is not.
    let resign = |change: &dyn Fn(&mut Assertion)| {
        let mut assertion = cast.passkey.assert_bytes(AssertionKind::Decision, payload.clone());
        change(&mut assertion);
        signed_anew(&cast.passkey, assertion)
    };
    let flags = |flags: u8| resign(&|a| a.authenticator_data[32] = flags);
    assert_eq!(check(&flags(0x05)), None);
    assert_eq!(check(&flags(0x01)), Some("user-not-verified"), "no user verification");
    assert_eq!(check(&flags(0x04)), Some("user-not-verified"), "no user presence");
    assert_eq!(check(&flags(0x0D)), Some("bad-authenticator-data"), "backup eligible, registered otherwise");
    assert_eq!(check(&flags(0x15)), Some("bad-authenticator-data"), "backed up, not eligible");
    assert_eq!(check(&flags(0x45)), Some("bad-authenticator-data"), "attested data announced");
    assert_eq!(check(&resign(&|a| a.authenticator_data.push(0))), Some("bad-authenticator-data"), "left-over byte");
    let client = |from: &'static str, to: &'static str| {
        resign(&move |a| {
            let text = String::from_utf8(a.client_data.clone()).expect("text");
            assert!(text.contains(from));
            a.client_data = text.replace(from, to).into_bytes();
        })
    };
    assert_eq!(check(&client("webauthn.get", "webauthn.create")), Some("bad-client-data"));
    assert_eq!(check(&client("\"crossOrigin\":false", "\"crossOrigin\":true")), Some("cross-origin"));
    assert_eq!(check(&client("\"crossOrigin\":false", "\"topOrigin\":\"https://evil.example\"")), Some("cross-origin"));
    assert_eq!(check(&client("\"crossOrigin\":false", "\"type\":\"webauthn.get\"")), Some("bad-client-data"));
    assert_eq!(check(&resign(&|a| a.payload.push(b' '))), Some("wrong-challenge"));
    // A log entry's assertion is no decision, whatever it says.
    let log = cast.passkey.assert(AssertionKind::Log, &decision);
    assert_eq!(check(&log), Some("wrong-challenge"));
    assert_eq!(check(&format!("{}.AA", cast.sign_decision(&decision))), Some("malformed-message"));
}

/// Signs an assertion as it is now.
fn signed_anew(passkey: &SoftPasskey, mut assertion: Assertion) -> String {
    let signed = [assertion.authenticator_data.clone(), sha256(&assertion.client_data).to_vec()].concat();
    let signature = passkey.key.sign(&signed).expect("signs");
    let signature = p256::ecdsa::Signature::from_slice(&signature).expect("a signature");
    assertion.signature = signature.to_der().as_bytes().to_vec();
    assertion.to_wire()
}

#[test]
fn a_payment_that_the_browser_showed_is_the_one_approved() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    let decision = cast.decision_payload(&order, &bill, None, &[line_id("3")], Verdict::Approve);
    let (name, total) = (cast.certificate.name.as_str(), decision.total);
    let check = |wire: &str| {
        verify_decision(wire, &book, &order, &bill, None, &cast.certificate).map_err(|error| error.code()).err()
    };
    let shown = |payment| cast.passkey.assert_shown(&decision, payment).to_wire();
    assert_eq!(check(&shown((name, total))), None);
    assert_eq!(check(&shown(("Sunny Shop", total))), Some("other-payment-shown"));
    assert_eq!(check(&shown((name, cny(total.minor() - 1)))), Some("other-payment-shown"));
    let euros = Amount::new(total.units(), Currency::EUR);
    assert_eq!(check(&shown((name, euros))), Some("other-payment-shown"));
    let refusal = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
    let refusal = cast.passkey.assert_shown(&refusal, (name, refusal.total)).to_wire();
    assert_eq!(check(&refusal), Some("other-payment-shown"), "a refusal is no payment");

    let bent = |from: &str, to: &str| {
        let mut assertion = cast.passkey.assert_shown(&decision, (name, total));
        let text = String::from_utf8(assertion.client_data).expect("text");
        assert!(text.contains(from), "{from} in {text}");
        assertion.client_data = text.replace(from, to).into_bytes();
        check(&signed_anew(&cast.passkey, assertion))
    };
    let icon = "\"icon\":\"http://localhost:8080";
    let cases = [
        ("payment.get", "webauthn.get", "bad-client-data"),
        ("\"rpId\":\"localhost\"", "\"rpId\":\"evil.example\"", "wrong-rp-id"),
        ("\"topOrigin\":\"http://localhost:8080\"", "\"topOrigin\":\"https://evil.example\"", "cross-origin"),
        ("\"origin\":\"http://localhost:8080\"", "\"origin\":\"https://evil.example\"", "wrong-origin"),
        ("\"crossOrigin\":false", "\"crossOrigin\":true", "cross-origin"),
        ("\"payeeName\"", "\"payeeOrigin\":\"https://shop.example\",\"payeeName\"", "bad-client-data"),
        ("\"payeeName\"", "\"payee\"", "bad-client-data"),
        ("Nodpay 点头付", "A refund to you", "bad-client-data"),
        ("\"displayName\"", "\"details\":\"A refund\",\"displayName\"", "bad-client-data"),
        ("Logos\":[]", "Logos\":[{\"url\":\"https://bank.example/logo.png\",\"label\":\"Bank\"}]", "bad-client-data"),
        (icon, "\"icon\":\"https://evil.example", "bad-client-data"),
        (icon, "\"icon\":\"http://localhost:80801", "bad-client-data"),
        ("\"value\":\"", "\"value\":\"0", "other-payment-shown"),
    ];
    for (from, to, code) in cases {
        assert_eq!(bent(from, to), Some(code), "{to}");
    }
    // Where only decisions are shown, nothing else is signed that way.
    let entry = cast.next_entry_by(&cast.passkey, START, Entry::EndMandate(MandateId::from_bytes([1; 16])));
    let mut assertion = cast.passkey.assert_bytes(AssertionKind::Log, serde_json::to_vec(&entry).expect("serialises"));
    let payment = cast.passkey.assert_shown(&decision, (name, total));
    let (asked, mine) =
        (challenge(AssertionKind::Log, &assertion.payload), challenge(AssertionKind::Decision, &payment.payload));
    let text = String::from_utf8(payment.client_data).expect("text");
    assertion.client_data = text.replace(&mine.to_string(), &asked.to_string()).into_bytes();
    let refused = book.assertion(AssertionKind::Log, &signed_anew(&cast.passkey, assertion));
    assert_eq!(refused.map_err(|error| error.code()).err(), Some("bad-client-data"));
}

#[test]
fn whoever_enrolled_for_shown_payments_approves_no_other_way() {
    let mut cast = Cast::default();
    let (founder, mut second) = (Cast::default().passkey, SoftPasskey::new(201, rp()));
    second.guardian.shown_payments = true;
    let came = START.plus_ms(-2 * 60_000);
    let counts_from = came.plus_ms(GUARDIAN_COOLING_OFF_MS);
    cast.append_by(&founder, came, Entry::AddGuardian(NewGuardian { guardian: second.guardian.clone(), counts_from }));
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    let said = |verdict| {
        let mut decision = cast.decision_payload(&order, &bill, None, &[], verdict);
        decision.guardian = second.guardian.guardian;
        decision.credential = second.guardian.credential.clone();
        decision
    };
    let check = |wire: &str| {
        verify_decision(wire, &book, &order, &bill, None, &cast.certificate).map_err(|error| error.code()).err()
    };
    let approval = said(Verdict::Approve);
    assert_eq!(check(&second.assert(AssertionKind::Decision, &approval)), Some("payment-not-shown"));
    let payment = (cast.certificate.name.as_str(), approval.total);
    assert_eq!(check(&second.assert_shown(&approval, payment).to_wire()), None);
    assert_eq!(check(&second.assert(AssertionKind::Decision, &said(Verdict::Refuse))), None, "refusing pays nothing");
}

#[test]
fn every_bent_payment_is_refused_for_its_own_reason() {
    let cast = Cast::default();
    let (book, story) = (cast.book(), paid(&cast));
    let decision = story.decision.as_ref().expect("decided");
    type Bend = fn(&mut Payment);
    let cases: [(Bend, VerifyError); 11] = [
        (|p| p.order = some_digest(99), VerifyError::OtherOrder),
        (|p| p.decision = Some(some_digest(99)), VerifyError::OtherDecision),
        (|p| p.mandate = Some(some_digest(99)), VerifyError::OtherDecision),
        (|p| (p.decision, p.mandate) = (None, p.decision), VerifyError::OtherDecision),
        (|p| p.payment = PaymentId::from_bytes([99; 16]), VerifyError::OtherPayment),
        (|p| p.bill = some_digest(99), VerifyError::OtherBill),
        (|p| p.payee = some_digest(99), VerifyError::OtherPayee),
        (|p| p.total = cny(2951), VerifyError::WrongTotal),
        (|p| p.household = HouseholdId::from_bytes([99; 16]), VerifyError::OtherHousehold),
        (|p| p.watch = WatchId::from_bytes([99; 16]), VerifyError::OtherWatch),
        (|p| p.log_head = some_digest(99), VerifyError::UnknownLogHead),
    ];
    for (index, (bend, error)) in cases.into_iter().enumerate() {
        let mut payment = cast.payment_payload(&story.order, decision);
        bend(&mut payment);
        let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
        let refused = verify_payment(payment.wire(), &book, &story.order, decision);
        assert_eq!(refused.err(), Some(error), "case {index}");
    }
    let refusal = cast.decision_payload(&story.order, &story.bill, None, &[], Verdict::Refuse);
    let wire = cast.sign_decision(&refusal);
    let (refusal, terms, _) =
        verify_decision(&wire, &book, &story.order, &story.bill, None, &cast.certificate).expect("a refusal");
    assert_eq!(terms, None);
    let payment = cast.payment(&story.order, &refusal);
    let refused = verify_payment(payment.wire(), &book, &story.order, &refusal);
    assert_eq!(refused.err(), Some(VerifyError::NotApproved));
}

#[test]
fn outcomes_do_not_contradict_themselves() {
    let cast = Cast::default();
    let story = paid(&cast);
    type Bend = fn(&mut Outcome);
    let cases: [(OutcomeKind, Bend, bool); 17] = [
        (OutcomeKind::Paid, |_| {}, false),
        (OutcomeKind::Refused, |_| {}, false),
        (OutcomeKind::Refused, |o| o.decision = Some(some_digest(1)), true),
        (OutcomeKind::Refused, |o| o.mandate = Some(some_digest(1)), false),
        (OutcomeKind::Refused, |o| (o.mandate, o.rule) = (Some(some_digest(1)), Some(Why::Hour)), true),
        (
            OutcomeKind::Refused,
            |o| (o.decision, o.mandate, o.rule) = (Some(some_digest(1)), Some(some_digest(1)), Some(Why::Hour)),
            false,
        ),
        (OutcomeKind::Refused, |o| (o.decision, o.rule) = (Some(some_digest(1)), Some(Why::Hour)), false),
        (OutcomeKind::Expired, |o| o.mandate = Some(some_digest(1)), true),
        (OutcomeKind::Expired, |_| {}, true),
        (OutcomeKind::Expired, |o| o.payment = Some(some_digest(1)), false),
        (OutcomeKind::Cancelled, |_| {}, false),
        (OutcomeKind::Cancelled, |o| o.cancel = Some(some_digest(1)), true),
        (OutcomeKind::Failed, |_| {}, true),
        (OutcomeKind::Failed, |o| o.reason = None, false),
        (OutcomeKind::Failed, |o| o.transfer = Some(TransferId::from_bytes([1; 16])), false),
        (OutcomeKind::Failed, |o| o.payment = Some(some_digest(1)), false),
        (
            OutcomeKind::Failed,
            |o| {
                o.decision = Some(some_digest(1));
                o.payment = Some(some_digest(1));
            },
            true,
        ),
    ];
    for (index, (kind, bend, sound)) in cases.into_iter().enumerate() {
        let mut outcome = cast.outcome_payload(&story.order, kind, cny(1));
        bend(&mut outcome);
        let outcome = cast.sign_outcome(outcome);
        let verified = verify_outcome(outcome.wire(), &cast.outcome_certificate, &story.order);
        assert_eq!(verified.is_ok(), sound, "case {index}: {verified:?}");
    }
    let stranger = sign(Kind::Outcome, Outcome::clone(&story.outcome), &key(200)).expect("signs");
    let refused = verify_outcome(stranger.wire(), &cast.outcome_certificate, &story.order);
    assert_eq!(refused.err(), Some(VerifyError::Signature));
}

#[test]
fn bills_come_from_the_certified_merchant() {
    let (cast, other) = (Cast::new(0), Cast::new(1));
    let payload = || cast.bill_payload(1, Reduction::LinesSum, Vec::new());
    let check = |bill: Bill| verify_bill(cast.sign_bill(bill).wire(), &cast.certificate).map_err(|e| e.code()).err();
    assert_eq!(check(payload()), None);
    let mut bent = payload();
    bent.merchant = MerchantId::from_bytes([99; 16]);
    assert_eq!(check(bent), Some("other-merchant"));
    let mut bent = payload();
    bent.certificate = other.certificate.digest();
    assert_eq!(check(bent), Some("other-merchant"));
    let mut bent = payload();
    bent.issued = cast.certificate.not_after;
    bent.valid_until = bent.issued.plus_ms(1);
    assert_eq!(check(bent), Some("certificate-not-valid"));
    let mut bent = payload();
    bent.total = minor(1);
    assert_eq!(check(bent), Some("bad-bill"));
    let foreign = verify_bill(other.bill(1).wire(), &cast.certificate);
    assert_eq!(foreign.err(), Some(VerifyError::Signature));
    let root = {
        use nodpay_protocol::Signer as _;
        other.root.public_key()
    };
    let certificate = verify_merchant_certificate(cast.certificate.wire(), &root);
    assert_eq!(certificate.err(), Some(VerifyError::Signature));
}

#[test]
fn names_that_could_deceive_never_get_into_a_bill() {
    let cast = Cast::default();
    let honest = cast.bill(1);
    let json = serde_json::to_string(&*honest).expect("serialises");
    for bad in ["\\u202e", "\\u0007", "\\u200b", "\\u2066", "\\ufeff", "\\u3164"] {
        let bent = json.replacen("Cola", &format!("Co{bad}la"), 1);
        let bent: Result<Bill, _> = serde_json::from_str(&bent);
        assert!(bent.is_err(), "{bad}");
    }
}

#[test]
fn one_changed_character_breaks_any_message() {
    let cast = Cast::default();
    let (book, story) = (cast.book(), paid(&cast));
    let decision = story.decision.as_ref().expect("decided");
    type Check<'a> = Box<dyn Fn(&str) -> bool + 'a>;
    let messages: [(&str, &str, Check<'_>); 6] = [
        ("bill", story.bill.wire(), Box::new(|w| verify_bill(w, &cast.certificate).is_ok())),
        ("order", story.order.wire(), Box::new(|w| verify_order(w, &book, cast.watch, &story.bill).is_ok())),
        (
            "decision",
            decision.wire(),
            Box::new(|w| verify_decision(w, &book, &story.order, &story.bill, None, &cast.certificate).is_ok()),
        ),
        (
            "payment",
            story.payment.as_ref().expect("paid").wire(),
            Box::new(|w| verify_payment(w, &book, &story.order, decision).is_ok()),
        ),
        (
            "outcome",
            story.outcome.wire(),
            Box::new(|w| verify_outcome(w, &cast.outcome_certificate, &story.order).is_ok()),
        ),
        ("result", story.result.wire(), Box::new(|w| verify_result(w, &book, &story.order, &story.outcome).is_ok())),
    ];
    for (name, wire, check) in &messages {
        assert!(check(wire), "{name}");
        for index in 0..wire.len() {
            let mut bytes = wire.as_bytes().to_vec();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            assert!(!check(std::str::from_utf8(&bytes).expect("ascii")), "{name} with byte {index} changed");
        }
        assert!(!check(&format!("{wire}=")), "{name} padded");
        assert!(!check(&wire[..wire.len() - 1]), "{name} cut");
    }
    let cancel = cast.cancel(&story.order);
    assert!(verify_cancel(cancel.wire(), &book, &story.order).is_ok());
    let mut bent = Cancel::clone(&cancel);
    bent.order = some_digest(9);
    let bent = sign(Kind::Cancel, bent, &cast.watch_key).expect("signs");
    assert_eq!(verify_cancel(bent.wire(), &book, &story.order).err(), Some(VerifyError::OtherOrder));
    let mut bent = ResultReport::clone(&story.result);
    bent.seen = OutcomeKind::Refused;
    let bent = sign(Kind::Result, bent, &cast.watch_key).expect("signs");
    let refused = verify_result(bent.wire(), &book, &story.order, &story.outcome);
    assert_eq!(refused.err(), Some(VerifyError::OtherOutcome));
}

#[test]
fn payloads_are_strict() {
    let cast = Cast::default();
    let bill = cast.bill(1);
    let order = cast.order(&bill, 1);
    let json = serde_json::to_string(&*order).expect("serialises");
    let id = OrderId::from_bytes([1; 16]);
    let cases = [
        json.replacen("{\"v\":1", "{\"v\":1,\"extra\":0", 1),
        json.replacen("{\"v\":1", "{\"v\":1,\"v\":1", 1),
        json.replacen("{\"v\":1", "{\"v\":2", 1),
        json.replacen("{\"v\":1,", "{", 1),
        json.replacen(&id.to_string(), &format!("{id}="), 1),
    ];
    for bent in cases {
        assert_ne!(bent, json);
        let value: Result<Order, _> = serde_json::from_str(&bent);
        assert!(value.is_err(), "{bent}");
    }
}

#[test]
fn the_household_log_only_grows_by_its_guardians() {
    let mut cast = Cast::default();
    let stranger = Cast::new(1);
    let mut book = cast.book();
    let before = book.clone();
    let remove = cast.next_entry(Entry::RemoveWatch(cast.watch));
    let refused = [
        stranger.passkey.assert(AssertionKind::Log, &remove),
        cast.passkey.assert(AssertionKind::Log, &{
            let mut entry = remove.clone();
            entry.prev = Some(some_digest(9));
            entry
        }),
        cast.passkey.assert(AssertionKind::Log, &{
            let mut entry = remove.clone();
            entry.seq = 1;
            entry
        }),
        cast.passkey.assert(AssertionKind::Log, &cast.founding()),
        cast.passkey.assert(AssertionKind::Log, &cast.next_entry(Entry::EnrolWatch(cast.enrolled_watch()))),
        cast.passkey.assert(AssertionKind::Decision, &remove),
    ];
    for (index, wire) in refused.iter().enumerate() {
        assert!(book.append(wire).is_err(), "case {index}");
        assert_eq!(book, before, "case {index} left a trace");
    }
    let bill = cast.bill(1);
    cast.log.push(cast.passkey.assert(AssertionKind::Log, &remove));
    let book = cast.book();
    assert_eq!(book.enrolled(cast.watch).err(), Some(VerifyError::RevokedWatch));
    assert!(verify_order(cast.order(&bill, 1).wire(), &book, cast.watch, &bill).is_ok(), "stays checkable");
}

#[test]
fn an_order_within_its_session_is_believed_as_its_log_head_says() {
    const MINUTE_MS: i64 = 60_000;
    let mut cast = Cast::default();
    let bill = cast.bill(1);
    let order_after = |cast: &Cast, ms: i64| {
        let mut order = cast.order_payload(&bill, 1);
        order.wearer_check.at = order.created.plus_ms(-ms);
        cast.sign_order(order)
    };
    let set =
        |cast: &mut Cast, session_ms| cast.append(Entry::SetSession(WatchSession { watch: cast.watch, session_ms }));
    let before = order_after(&cast, 20 * MINUTE_MS);
    set(&mut cast, 30 * MINUTE_MS);
    let during = order_after(&cast, 30 * MINUTE_MS);
    let late = order_after(&cast, 30 * MINUTE_MS + 1);
    set(&mut cast, 0);
    let after = order_after(&cast, 20 * MINUTE_MS);
    let fresh = order_after(&cast, 2 * MINUTE_MS);
    let book = cast.book();
    let verify = |order: &Verified<Order>| verify_order(order.wire(), &book, cast.watch, &bill).err();
    assert_eq!(verify(&before), Some(VerifyError::WearerCheck), "the session came later");
    assert_eq!(verify(&during), None, "it was set when the order was signed");
    assert_eq!(verify(&late), Some(VerifyError::WearerCheck));
    assert_eq!(verify(&after), Some(VerifyError::WearerCheck), "it was taken back");
    assert_eq!(verify(&fresh), None);
}

#[test]
fn sessions_and_pin_commands_are_for_enrolled_watches_and_bounded() {
    let mut cast = Cast::default();
    let (watch, nonce) = (cast.watch, Nonce::from_bytes([1; 16]));
    let session = |watch, session_ms| Entry::SetSession(WatchSession { watch, session_ms });
    let command = |watch| Entry::PinCommand(PinCommand { watch, nonce, command: PinConsent::NewPin });
    let other = WatchId::from_bytes([99; 16]);
    let takes = |cast: &Cast, entry: Entry| {
        let wire = cast.passkey.assert(AssertionKind::Log, &cast.next_entry(entry));
        cast.book().append(&wire).is_ok()
    };
    for (entry, taken) in [
        (session(watch, 0), true),
        (session(watch, MAX_SESSION_MS), true),
        (session(watch, MAX_SESSION_MS + 1), false),
        (session(watch, -1), false),
        (session(other, 0), false),
        (command(watch), true),
        (command(other), false),
    ] {
        assert_eq!(takes(&cast, entry.clone()), taken, "{entry:?}");
    }
    cast.append(Entry::RemoveWatch(watch));
    assert!(!takes(&cast, session(watch, 0)) && !takes(&cast, command(watch)), "a removed watch gets none");
}

#[test]
fn a_pin_report_is_its_watchs_own() {
    let cast = Cast::default();
    let book = cast.book();
    for state in [PinState::Ok, PinState::Waiting, PinState::Locked, PinState::AskedUnlock, PinState::AskedNewPin] {
        let report = cast.pin_report(1, state);
        assert_eq!(verify_pin_report(report.wire(), &book, cast.watch).as_ref(), Ok(&report));
    }
    let good = cast.pin_report(1, PinState::Waiting).into_payload();
    type Bend = fn(&mut PinReport);
    let bends: [(Bend, VerifyError); 5] = [
        (|r| r.watch = WatchId::from_bytes([99; 16]), VerifyError::OtherWatch),
        (|r| r.household = HouseholdId::from_bytes([99; 16]), VerifyError::OtherHousehold),
        (|r| r.seq = 0, VerifyError::PinReport),
        (|r| r.until = None, VerifyError::PinReport),
        (|r| r.state = PinState::Locked, VerifyError::PinReport),
    ];
    for (bend, error) in bends {
        let mut bent = good.clone();
        bend(&mut bent);
        let bent = sign(Kind::PinReport, bent, &cast.watch_key).expect("signs");
        assert_eq!(verify_pin_report(bent.wire(), &book, cast.watch), Err(error));
    }
    let foreign = sign(Kind::PinReport, good, &key(200)).expect("signs");
    assert_eq!(verify_pin_report(foreign.wire(), &book, cast.watch), Err(VerifyError::Signature));
    let unknown = verify_pin_report(foreign.wire(), &book, WatchId::from_bytes([99; 16]));
    assert_eq!(unknown, Err(VerifyError::UnknownWatch));
}

#[test]
fn pairing_is_proved_with_the_secret_only() {
    use nodpay_protocol::Signer as _;
    let cast = Cast::default();
    let claim = cast.pairing_claim();
    let verified = verify_pairing_claim(claim.wire(), &cast.watch_key.public_key()).expect("a claim");
    assert!(cast.secret.is_proved_by(&verified));
    assert!(!PairingSecret::from_bytes([0; 16]).is_proved_by(&verified));
    let mut bent = verified.clone().into_payload();
    bent.key = key(77).public_key();
    let bent = sign(Kind::PairingClaim, bent, &key(77)).expect("signs");
    assert!(!cast.secret.is_proved_by(&bent), "the proof binds the key");
    assert!(verify_pairing_claim(bent.wire(), &cast.watch_key.public_key()).is_err());
    assert!(!format!("{:?}", cast.secret).contains("10"));

    let code = PairingCode {
        v: nodpay_core::V1,
        service: "http://localhost:8080".to_owned(),
        pairing: cast.pairing,
        household: cast.household,
        founding: some_digest(1),
        root: cast.root.public_key(),
        rp_id: "localhost".to_owned(),
        origins: vec!["http://localhost:8080".to_owned()],
        expires: START,
        secret: cast.secret.clone(),
    };
    assert_eq!(PairingCode::parse(&code.to_text()), Some(code.clone()));
    assert_eq!(PairingCode::parse("{}"), None);
    assert_eq!(PairingCode::parse(&code.to_text().replace("http://localhost:8080\"", "ftp://localhost\"")), None);
}

#[test]
fn request_proofs_are_for_one_request_at_one_time() {
    use nodpay_protocol::Signer as _;
    let (signer, nonce) = (key(5), Nonce::from_bytes([1; 16]));
    let public = signer.public_key();
    let wire = sign_request("GET", "/a?b=1", START, nonce, &signer).expect("signs");
    let check = |method, path, ms| {
        verify_request(&wire, &public, method, path, START.plus_ms(ms)).map_err(|error| error.code()).err()
    };
    assert_eq!(check("GET", "/a?b=1", 59_000), None);
    assert_eq!(check("GET", "/a?b=1", 60_001), Some("proof-age"));
    assert_eq!(check("GET", "/a?b=1", -60_001), Some("proof-age"));
    assert_eq!(check("GET", "/a?b=2", 0), Some("proof-other-request"));
    assert_eq!(check("POST", "/a?b=1", 0), Some("proof-other-request"));
}

fn files(cast: &Cast, story: &Story) -> (String, String) {
    (cast.evidence(story).to_file().expect("serialises"), cast.anchor().to_file().expect("serialises"))
}

#[test]
fn evidence_tells_the_story_and_every_byte_counts() {
    let cast = Cast::default();
    let story = paid(&cast);
    let (file, anchor) = files(&cast, &story);
    let report = verify_evidence(file.as_bytes(), anchor.as_bytes()).expect("sound evidence");
    assert_eq!((report.outcome, report.total, report.struck), (OutcomeKind::Paid, cny(2950), vec!["3".to_owned()]));
    assert_eq!(report.story.len(), 6);

    for index in 0..file.len() {
        let mut bytes = file.clone().into_bytes();
        for flip in [0x01, 0x20] {
            bytes[index] ^= flip;
            let refused = verify_evidence(&bytes, anchor.as_bytes()).expect_err("a changed byte");
            assert_ne!(refused, EvidenceError::NotEvidence, "byte {index}");
            bytes[index] ^= flip;
        }
    }
    for (index, _) in file.char_indices().step_by(97) {
        let cut = format!("{}{}", &file[..index], file.get(index + 1..).unwrap_or(""));
        assert!(verify_evidence(cut.as_bytes(), anchor.as_bytes()).is_err(), "byte {index} cut");
    }
}

#[test]
fn evidence_under_other_roots_is_broken_and_other_files_are_not_evidence() {
    let (cast, other) = (Cast::new(0), Cast::new(1));
    let (file, anchor) = files(&cast, &paid(&cast));
    let (other_file, _) = files(&other, &paid(&other));
    let refused = verify_evidence(other_file.as_bytes(), anchor.as_bytes());
    assert!(matches!(refused, Err(EvidenceError::Broken { .. })), "{refused:?}");

    // The same guardians, another root: whole in itself, signed by a stranger.
    let mut stranger = cast.anchor();
    stranger.root = other.anchor().root;
    let refused = verify_evidence(file.as_bytes(), stranger.to_file().expect("serialises").as_bytes());
    let link = match refused {
        Err(EvidenceError::Broken { link, .. }) => link,
        other => panic!("{other:?}"),
    };
    assert_eq!(link, "merchant certificate");

    for text in ["", "{}", "hello", "[1,2,3]", anchor.as_str()] {
        let refused = verify_evidence(text.as_bytes(), anchor.as_bytes());
        assert_eq!(refused, Err(EvidenceError::NotEvidence), "{text}");
    }
    assert!(matches!(verify_evidence(file.as_bytes(), b"{}"), Err(EvidenceError::BadAnchor(_))));
}

#[test]
fn evidence_links_must_fit_each_other() {
    let cast = Cast::default();
    let story = paid(&cast);
    let other = cast.paid_story(cast.bill(9), 9, &[]);
    let (_, anchor) = files(&cast, &story);
    let swap = |change: &dyn Fn(&mut nodpay_protocol::Evidence)| {
        let mut evidence = cast.evidence(&story);
        change(&mut evidence);
        let file = evidence.to_file().expect("serialises");
        match verify_evidence(file.as_bytes(), anchor.as_bytes()) {
            Err(EvidenceError::Broken { link, .. }) => link,
            other => panic!("{other:?}"),
        }
    };
    let foreign = cast.evidence(&other);
    assert_eq!(swap(&|e| e.bill.clone_from(&foreign.bill)), "order");
    assert_eq!(swap(&|e| e.order.clone_from(&foreign.order)), "order");
    assert_eq!(swap(&|e| e.decision.clone_from(&foreign.decision)), "decision");
    assert_eq!(swap(&|e| e.payment.clone_from(&foreign.payment)), "payment");
    assert_eq!(swap(&|e| e.outcome.clone_from(&foreign.outcome)), "outcome");
    assert_eq!(swap(&|e| e.result.clone_from(&foreign.result)), "result");
    assert_eq!(swap(&|e| e.payment = None), "outcome");
    assert_eq!(swap(&|e| e.cancel = Some(cast.cancel(&story.order).wire().to_owned())), "outcome");
    assert_eq!(swap(&|e| drop(e.log.pop())), "order");
    assert_eq!(
        swap(&|e| e
            .log
            .push(cast.passkey.assert(AssertionKind::Log, &cast.next_entry(Entry::RemoveWatch(cast.watch))))),
        "household log"
    );
    assert_eq!(swap(&|e| e.wearer_name.name = Text::new("小红").expect("a name")), "wearer name");
    assert_eq!(
        swap(&|e| e.requote = Some(cast.requote(&story.bill, &[line_id("3")], 2).wire().to_owned())),
        "decision"
    );
}

#[test]
fn evidence_of_refusals_and_requotes_checks_too() {
    let cast = Cast::default();
    let anchor = cast.anchor().to_file().expect("serialises");
    let bill = cast.sign_bill(cast.bill_payload(3, Reduction::Requote, vec![tax()]));
    let story = cast.paid_story(bill, 3, &[line_id("1")]);
    let file = cast.evidence(&story).to_file().expect("serialises");
    let report = verify_evidence(file.as_bytes(), anchor.as_bytes()).expect("sound");
    assert_eq!((report.total, report.story.len()), (cny(3000), 7));

    let bill = cast.bill(4);
    let order = cast.order(&bill, 4);
    let refusal = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
    let wire = cast.sign_decision(&refusal);
    let (decision, ..) = verify_decision(&wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    let mut outcome = cast.outcome_payload(&order, OutcomeKind::Refused, bill.total());
    outcome.decision = Some(decision.digest());
    let outcome = cast.sign_outcome(outcome);
    let result = cast.result(&order, &outcome);
    let story = Story {
        bill,
        requote: None,
        order,
        decision: Some(decision),
        first: None,
        cancel: None,
        payment: None,
        outcome,
        result,
    };
    let file = cast.evidence(&story).to_file().expect("serialises");
    let report = verify_evidence(file.as_bytes(), anchor.as_bytes()).expect("sound");
    assert_eq!((report.outcome, report.total), (OutcomeKind::Refused, cny(3650)));
}

/// A household that made the rule, and a bill of its shop.
fn ruled(bend: impl FnOnce(&mut Mandate)) -> (Cast, Verified<Bill>) {
    let mut cast = Cast::default();
    let mut rule = cast.snacks();
    bend(&mut rule);
    cast.append(Entry::SetMandate(Box::new(rule)));
    let bill = cast.bill(1);
    (cast, bill)
}

#[test]
fn a_mandate_vouches_in_place_of_a_guardian() {
    let (cast, bill) = ruled(|_| {});
    let (book, order) = (cast.book(), cast.order(&bill, 1));
    let story = cast.mandate_story(bill.clone(), order.clone(), None);
    let (file, anchor) = files(&cast, &story);
    let report = verify_evidence(file.as_bytes(), anchor.as_bytes()).expect("sound");
    assert_eq!((report.outcome, report.total, report.story.len()), (OutcomeKind::Paid, cny(3_650), 6));
    let said = &report.story[2];
    assert!(said.who.starts_with("mandate \"零食 snacks\" that guardian "), "{said:?}");
    assert!(said.what.contains("by itself") && said.what.ends_with("the service's word"), "{said:?}");

    type Bend = fn(&mut Payment);
    let cases: [(Bend, VerifyError); 9] = [
        (|p| p.order = some_digest(99), VerifyError::OtherOrder),
        (|p| (p.decision, p.mandate) = (p.mandate, None), VerifyError::OtherDecision),
        (|p| p.decision = p.mandate, VerifyError::OtherDecision),
        (|p| p.mandate = Some(some_digest(99)), VerifyError::UnknownMandate),
        (|p| p.payment = PaymentId::from_bytes([99; 16]), VerifyError::OtherPayment),
        (|p| p.bill = some_digest(99), VerifyError::OtherBill),
        (|p| p.payee = some_digest(99), VerifyError::OtherPayee),
        (|p| p.total = cny(1), VerifyError::WrongTotal),
        (|p| p.log_head = some_digest(99), VerifyError::UnknownLogHead),
    ];
    for (index, (bend, error)) in cases.into_iter().enumerate() {
        let mut payment = cast.mandate_payment_payload(&order, &bill, book.head());
        bend(&mut payment);
        let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
        let refused = verify_mandate_payment(payment.wire(), &book, &order, &bill, &cast.certificate);
        assert_eq!(refused.err(), Some(error), "case {index}");
    }
}

#[test]
fn a_mandate_vouches_only_for_what_it_says_while_it_holds() {
    type Bend = fn(&mut Mandate);
    let cases: [(Bend, VerifyError); 6] = [
        (|rule| rule.approve = Some(cny(3_649)), VerifyError::OutsideMandate),
        (|rule| rule.per_day = Some(cny(3_649)), VerifyError::OutsideMandate),
        (|rule| rule.shops = Some(Choice::Never(vec![Cast::default().merchant])), VerifyError::OutsideMandate),
        (|rule| rule.windows[0].from = 16 * 60 + 2, VerifyError::OutsideMandate),
        (|rule| rule.approve = None, VerifyError::OutsideMandate),
        (|rule| rule.until = START.plus_ms(60_000), VerifyError::MandateOver),
    ];
    let pays = |cast: &Cast, bill: &Verified<Bill>, entry: Digest| {
        let order = cast.order(bill, 1);
        let payment = cast.mandate_payment_payload(&order, bill, entry);
        let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
        verify_mandate_payment(payment.wire(), &cast.book(), &order, bill, &cast.certificate).err()
    };
    for (index, (bend, error)) in cases.into_iter().enumerate() {
        let (cast, bill) = ruled(bend);
        assert_eq!(pays(&cast, &bill, cast.book().head()), Some(error), "case {index}");
    }
    // Once the watch knows that it was changed or ended, it vouches no more; the next version does.
    let (mut cast, bill) = ruled(|_| {});
    let first = cast.book().head();
    assert_eq!(pays(&cast, &bill, first), None);
    cast.append(Entry::SetMandate(Box::new(Mandate { version: 2, ..cast.snacks() })));
    let second = cast.book().head();
    assert_eq!(pays(&cast, &bill, first), Some(VerifyError::MandateOver));
    assert_eq!(pays(&cast, &bill, second), None);
    cast.append(Entry::EndMandate(cast.snacks().mandate));
    assert_eq!(pays(&cast, &bill, second), Some(VerifyError::MandateOver));
    assert_eq!(pays(&cast, &bill, cast.book().head()), Some(VerifyError::UnknownMandate), "its end is no rule");
    // A watch that had not heard of it paid in good faith.
    let order = cast.order(&bill, 1);
    let mut payment = cast.mandate_payment_payload(&order, &bill, second);
    payment.log_head = second;
    let mut earlier = cast.order_payload(&bill, 1);
    earlier.log_head = second;
    let earlier = cast.sign_order(earlier);
    payment.order = earlier.digest();
    payment.payment = payment_id(earlier.digest(), second);
    let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
    assert!(verify_mandate_payment(payment.wire(), &cast.book(), &earlier, &bill, &cast.certificate).is_ok());

    // A bill that the watch made of a printed code is asked, always.
    let (cast, _) = ruled(|_| {});
    let made = cast.sign_static_bill(cast.static_bill_payload(4, &cast.shop_code(), 850));
    assert_eq!(pays(&cast, &made, cast.book().head()), Some(VerifyError::OutsideMandate));
}

#[test]
fn what_loosens_a_mandate_is_known_before_it_is_appended() {
    let (cast, _) = ruled(|_| {});
    let next = |bend: fn(&mut Mandate)| {
        let mut rule = Mandate { version: 2, ..cast.snacks() };
        bend(&mut rule);
        Entry::SetMandate(Box::new(rule)).loosens(&cast.book())
    };
    assert!(!next(|_| {}) && next(|rule| rule.per_day = None));
    assert!(Entry::EndMandate(cast.snacks().mandate).loosens(&cast.book()), "it refused");
    let before = Cast::default().book();
    assert!(Entry::SetMandate(Box::new(cast.snacks())).loosens(&before), "it approves");
    assert!(!Entry::EndMandate(cast.snacks().mandate).loosens(&before));
}

#[test]
fn a_mandate_refuses_for_the_reason_it_has() {
    let refused = |bend: fn(&mut Mandate), why: Why| {
        let (cast, bill) = ruled(bend);
        let story = cast.mandate_story(bill.clone(), cast.order(&bill, 1), Some(why));
        let (file, anchor) = files(&cast, &story);
        verify_evidence(file.as_bytes(), anchor.as_bytes())
    };
    let report = refused(|rule| rule.windows[0].from = 17 * 60, Why::Hour).expect("sound");
    assert_eq!((report.outcome, report.total), (OutcomeKind::Refused, cny(3_650)));
    assert!(report.story[2].what.contains("refused 36.50 CNY by itself, version 1: hour"), "{:?}", report.story);
    let report = refused(|_| {}, Why::OverDay).expect("that much was spent, says the service");
    assert!(report.story[2].what.ends_with("is the service's word"), "{:?}", report.story);
    type Bend = fn(&mut Mandate);
    let cases: [(Bend, Why); 3] =
        [(|_| {}, Why::Hour), (|_| {}, Why::OverMonth), (|rule| rule.outside = Outside::Ask, Why::OverDay)];
    for (bend, why) in cases {
        let (cast, bill) = ruled(bend);
        let story = cast.mandate_story(bill.clone(), cast.order(&bill, 1), Some(why));
        let (file, anchor) = files(&cast, &story);
        match verify_evidence(file.as_bytes(), anchor.as_bytes()) {
            Err(EvidenceError::Broken { link, .. }) => assert_eq!(link, "mandate", "{why:?}"),
            other => panic!("{why:?}: {other:?}"),
        }
    }
    // A rule that was ended before refuses nothing.
    let (mut cast, bill) = ruled(|rule| rule.windows[0].from = 17 * 60);
    let entry = cast.book().head();
    let order = cast.order(&bill, 1);
    cast.append(Entry::EndMandate(cast.snacks().mandate));
    let mut outcome = cast.outcome_payload(&order, OutcomeKind::Refused, bill.total());
    (outcome.mandate, outcome.rule) = (Some(entry), Some(Why::Hour));
    let outcome = cast.sign_outcome(outcome);
    let result = cast.result(&order, &outcome);
    let story =
        Story { bill, requote: None, order, decision: None, first: None, cancel: None, payment: None, outcome, result };
    let (file, anchor) = files(&cast, &story);
    match verify_evidence(file.as_bytes(), anchor.as_bytes()) {
        Err(EvidenceError::Broken { link, .. }) => assert_eq!(link, "mandate"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn challenges_are_domain_separated() {
    let kinds = [
        AssertionKind::Log,
        AssertionKind::Decision,
        AssertionKind::Login,
        AssertionKind::GuardianClaim,
        AssertionKind::TopUp,
    ];
    let challenges: std::collections::BTreeSet<Digest> = kinds.iter().map(|kind| challenge(*kind, b"x")).collect();
    assert_eq!(challenges.len(), kinds.len());
}

#[test]
fn a_card_is_charged_by_a_guardian_of_the_household() {
    let cast = Cast::default();
    let (book, own) = (cast.book(), &cast.passkey);
    let wish = CardTopUp {
        v: V1,
        household: cast.household,
        guardian: own.guardian.guardian,
        amount: cny(5_000),
        at: START,
        nonce: Nonce::from_bytes([7; 16]),
    };
    let (verified, _) = verify_card_top_up(&own.assert(AssertionKind::TopUp, &wish), &book).expect("sound");
    assert_eq!(*verified, wish);
    // One nonce is one charge, whatever else was signed with it; another household's is another one.
    assert_eq!(CardTopUp { amount: cny(1), at: START.plus_ms(1), ..wish.clone() }.transfer(), wish.transfer());
    let nonce = Nonce::from_bytes([8; 16]);
    let household = Cast::new(1).household;
    for other in [CardTopUp { nonce, ..wish.clone() }, CardTopUp { household, ..wish.clone() }] {
        assert_ne!(other.transfer(), wish.transfer());
    }
    let check = |wire: &str| verify_card_top_up(wire, &book).err();
    let stranger = SoftPasskey::new(201, rp());
    assert_eq!(check(&stranger.assert(AssertionKind::TopUp, &wish)), Some(VerifyError::UnknownGuardian));
    let by_other = CardTopUp { guardian: stranger.guardian.guardian, ..wish.clone() };
    assert_eq!(check(&own.assert(AssertionKind::TopUp, &by_other)), Some(VerifyError::UnknownGuardian));
    let of_other = CardTopUp { household, ..wish.clone() };
    assert_eq!(check(&own.assert(AssertionKind::TopUp, &of_other)), Some(VerifyError::OtherHousehold));
    assert_eq!(check(&own.assert(AssertionKind::Decision, &wish)), Some(VerifyError::WrongChallenge));
}

#[test]
fn a_message_of_one_kind_is_none_of_another() {
    let cast = Cast::default();
    let story = paid(&cast);
    let as_order = verify_order(story.result.wire(), &cast.book(), cast.watch, &story.bill);
    assert_eq!(as_order.err(), Some(VerifyError::WrongKind));
    let verified: Verified<Order> = story.order.clone();
    assert_eq!(verified.wire().split('.').count(), 3);
}

#[test]
fn evidence_of_a_second_guardians_nod_checks_against_the_founders_anchor() {
    const MINUTE_MS: i64 = 60_000;
    let mut cast = Cast::default();
    let (founder, second) = (Cast::default().passkey, SoftPasskey::new(201, rp()));
    let came = START.plus_ms(-2 * MINUTE_MS);
    let counts_from = came.plus_ms(GUARDIAN_COOLING_OFF_MS);
    let add = NewGuardian { guardian: second.guardian.clone(), counts_from };
    let before = cast.book().head();
    cast.append_by(&founder, came, Entry::AddGuardian(add));
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    let mut decision = cast.decision_payload(&order, &bill, None, &[], Verdict::Approve);
    decision.guardian = second.guardian.guardian;
    decision.credential = second.guardian.credential.clone();
    let wire = second.assert(AssertionKind::Decision, &decision);
    let (verified, ..) =
        verify_decision(&wire, &book, &order, &bill, None, &cast.certificate).expect("they answer at once");

    // Nobody decides by a log that does not know them yet.
    let mut earlier = cast.order_payload(&bill, 1);
    earlier.log_head = before;
    let earlier = cast.sign_order(earlier);
    let mut bent = decision.clone();
    bent.order = earlier.digest();
    bent.log_head = before;
    let bent = second.assert(AssertionKind::Decision, &bent);
    let refused = verify_decision(&bent, &book, &earlier, &bill, None, &cast.certificate);
    assert_eq!(refused.map_err(|error| error.code()).err(), Some("revoked-guardian"));

    let payment = cast.payment(&order, &verified);
    let mut outcome = cast.outcome_payload(&order, OutcomeKind::Paid, verified.total);
    outcome.decision = Some(verified.digest());
    outcome.payment = Some(payment.digest());
    outcome.transfer = Some(TransferId::from_bytes([1; 16]));
    let outcome = cast.sign_outcome(outcome);
    let result = cast.result(&order, &outcome);
    let story = Story {
        bill,
        requote: None,
        order,
        decision: Some(verified),
        first: None,
        cancel: None,
        payment: Some(payment),
        outcome,
        result,
    };
    let file = cast.evidence(&story).to_file().expect("serialises");
    let check = |anchor: &Anchor| verify_evidence(file.as_bytes(), anchor.to_file().expect("serialises").as_bytes());
    let mut anchor = cast.anchor();
    let report = check(&anchor).expect("the founder signed that they came");
    assert!(
        report.story.iter().any(|step| step.who.ends_with("admitted by entry 2 of the household log")),
        "{report:?}"
    );
    let named = |key| AnchorGuardian {
        guardian: second.guardian.guardian,
        credential: second.guardian.credential.clone(),
        key,
    };
    anchor.guardians.push(named(founder.guardian.key));
    assert!(check(&anchor).is_err(), "the anchor names another key");
    anchor.guardians[1] = named(second.guardian.key);
    let report = check(&anchor).expect("the anchor names them");
    assert!(report.story.iter().all(|step| !step.who.contains("admitted")), "{report:?}");
    anchor.guardians.remove(0);
    assert!(check(&anchor).is_err(), "the founder is not in the anchor");
}

/// Whoever does not count yet approves no more at once than a new watch pays; refusing costs nothing.
#[test]
fn who_is_new_approves_no_more_than_a_new_watch_pays() {
    for (most, quantity, verdict, counts, code) in [
        (Some(3_650), 5, Verdict::Approve, false, None),
        (Some(3_649), 5, Verdict::Approve, false, Some("over-newcomer-cap")),
        (Some(3_649), 5, Verdict::Refuse, false, None),
        (Some(3_649), 5, Verdict::Approve, true, None),
        // By default ¥200.00: the five lines without the pencils are ¥29.50.
        (None, 121, Verdict::Approve, false, None),
        (None, 122, Verdict::Approve, false, Some("over-newcomer-cap")),
        (None, 122, Verdict::Approve, true, None),
    ] {
        let mut cast = Cast::default();
        let newcomers = most.map(|most| Newcomers { per_payment: Some(cny(most)), ..Newcomers::default() });
        let second = cast.add_second(HouseRules { newcomers, ..HouseRules::default() });
        let mut bill = cast.bill_payload(1, Reduction::LinesSum, Vec::new());
        let pencils = bill.lines.last_mut().expect("five lines");
        (pencils.quantity, pencils.amount) = (quantity, pencils.unit_price.times(quantity).expect("in range"));
        nodpay_testkit::retotal(&mut bill);
        let bill = cast.sign_bill(bill);
        let (order, book) = (cast.order(&bill, 1), cast.book());
        let mut decision = cast.decision_payload(&order, &bill, None, &[], verdict);
        decision.guardian = second.guardian.guardian;
        decision.credential = second.guardian.credential.clone();
        decision.at = book.member(decision.guardian).expect("there").counts_from.plus_ms(if counts { 0 } else { -1 });
        decision.pay_by = decision.at.plus_ms(1);
        let wire = second.assert(AssertionKind::Decision, &decision);
        let said = verify_decision(&wire, &book, &order, &bill, None, &cast.certificate);
        assert_eq!(said.map_err(|error| error.code()).err(), code, "{most:?} {quantity} {verdict:?} {counts}");
    }
}

/// Above the household's amount one nod pays nothing, nor does a rule; two must be two persons', who count, over the same.
#[test]
fn two_nods_are_two_persons_over_the_same() {
    let mut cast = Cast::default();
    let rules = HouseRules { two_nods_above: Some(cny(3_000)), ..HouseRules::default() };
    let second = cast.add_second(rules);
    let story = cast.nodded_story(cast.bill(1), 1, &second);
    let (book, order, bill) = (cast.book(), &story.order, &story.bill);
    let (decision, first) = (story.decision.as_ref().expect("decided"), story.first.as_ref().expect("two"));
    let nods = |decision: &Verified<Decision>, first: Option<&str>| {
        verify_first_nod(decision, first, &book, order, bill, None, &cast.certificate)
            .map_err(|error| error.code())
            .err()
    };
    assert_eq!(nods(decision, Some(first.wire())), None);
    assert_eq!(nods(decision, None), Some("bad-first-nod"), "it is not there");
    assert_eq!(nods(first, Some(first.wire())), Some("bad-first-nod"), "nobody named it");
    assert_eq!(nods(decision, Some(decision.wire())), Some("bad-first-nod"), "itself");

    let bent = |bend: &dyn Fn(&mut Decision)| {
        let [_, mut two] = cast.two_nods(order, bill, &second);
        bend(&mut two);
        let wire = second.assert(AssertionKind::Decision, &two);
        let (two, ..) =
            verify_decision(&wire, &book, order, bill, None, &cast.certificate).expect("a decision of its own");
        nods(&two, Some(first.wire()))
    };
    let struck = [line_id("3")];
    let total = bill.terms(&struck, None).expect("strikes").total;
    assert_eq!(bent(&|two| (two.struck, two.total) = (struck.to_vec(), total)), Some("bad-first-nod"));
    assert_eq!(bent(&|two| two.first = Some(some_digest(1))), Some("bad-first-nod"));
    let early = |two: &mut Decision| {
        let before = book.member(two.guardian).expect("there").counts_from.plus_ms(-1);
        (two.at, two.pay_by) = (before, before.plus_ms(1));
    };
    assert_eq!(bent(&early), Some("guardian-not-counting"));
    let [_, mut own] = cast.two_nods(order, bill, &second);
    own.guardian = cast.passkey.guardian.guardian;
    own.credential = cast.passkey.guardian.credential.clone();
    let (own, ..) =
        verify_decision(&cast.sign_decision(&own), &book, order, bill, None, &cast.certificate).expect("a decision");
    assert_eq!(nods(&own, Some(first.wire())), Some("bad-log-entry"), "one person twice");
    let mut refusal = cast.decision_payload(order, bill, None, &[], Verdict::Refuse);
    refusal.first = Some(first.digest());
    let refused = verify_decision(&cast.sign_decision(&refusal), &book, order, bill, None, &cast.certificate);
    assert_eq!(refused.map_err(|error| error.code()).err(), Some("bad-first-nod"));

    // One nod is not enough, from the entry on that says so.
    let payment = cast.payment(order, first);
    let refused = verify_payment(payment.wire(), &book, order, first);
    assert_eq!(refused.map_err(|error| error.code()).err(), Some("needs-two-nods"));
    verify_payment(story.payment.as_ref().expect("paid").wire(), &book, order, decision).expect("two are");
    let below = cast.paid_story(cast.bill(2), 2, &struck);
    assert!(below.payment.is_some(), "below the amount one is enough");

    // Evidence holds both, or is not believed.
    let anchor = cast.anchor().to_file().expect("serialises");
    let check = |story: &Story| {
        let file = cast.evidence(story).to_file().expect("serialises");
        verify_evidence(file.as_bytes(), anchor.as_bytes())
    };
    let report = check(&story).expect("sound");
    assert!(report.story.iter().any(|step| step.what.ends_with("as the first of two")), "{report:?}");
    for wrong in [Story { first: None, ..story.clone() }, Story { first: story.decision.clone(), ..story.clone() }] {
        assert!(matches!(check(&wrong), Err(EvidenceError::Broken { link: "first nod", .. })));
    }
    let single = Story { decision: Some(first.clone()), first: None, payment: Some(payment), ..story.clone() };
    assert!(matches!(check(&single), Err(EvidenceError::Broken { link: "payment", .. })));
}

/// No rule pays what two must nod to, nor more than the caps of the whole household, whatever was spent.
#[test]
fn the_household_bounds_its_rules() {
    for (above, per_day, code) in [
        (None, None, None),
        (Some(3_649), None, Some("outside-mandate")),
        (None, Some(3_649), Some("outside-mandate")),
        (Some(3_650), Some(3_650), None),
    ] {
        let mut cast = Cast::default();
        cast.append(Entry::SetMandate(Box::new(cast.snacks())));
        let entry = cast.book().head();
        let caps = per_day.map(|minor| HouseCaps {
            utc_minutes: 480,
            per_day: Some(cny(minor)),
            per_week: None,
            per_month: None,
        });
        cast.add_second(HouseRules { two_nods_above: above.map(cny), caps, newcomers: None });
        let bill = cast.bill(1);
        assert_eq!(bill.total(), cny(3_650));
        let order = cast.order(&bill, 1);
        let payment = cast.mandate_payment_payload(&order, &bill, entry);
        let payment = sign(Kind::Payment, payment, &cast.watch_key).expect("signs");
        let said = verify_mandate_payment(payment.wire(), &cast.book(), &order, &bill, &cast.certificate);
        assert_eq!(said.map_err(|error| error.code()).err(), code, "{above:?} {per_day:?}");
    }
}
