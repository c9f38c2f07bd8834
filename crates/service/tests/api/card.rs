//! Whole orders on a card, against the strict double: what guardian, watch and till see while the rail holds and pays.

use nodpay_core::{Payer, TransferId, Verdict};
use nodpay_protocol::verify_evidence;
use nodpay_service::rails::RailFiles;
use nodpay_testkit::{Cast, cny};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::app::{Events, Household, Setup, TestApp};
use crate::stripe_double::{CONFIRM, CUSTOMER, Double, Fault, GOOD, KEY, POOR, WEBHOOK_SECRET, sign};

pub(crate) struct Card {
    pub(crate) double: Double,
    pub(crate) app: TestApp,
    pub(crate) household: Household,
    /// The double runs on it.
    _runtime: Runtime,
    _secrets: TempDir,
}

/// A household without money in its wallet, with this card.
fn with_card(method: &str) -> Card {
    let card = with_stripe();
    let set = card.app.app.store().set_payer(card.household.cast.household, Some(on_file(method)), card.app.now());
    card.app.wait(set).expect("set");
    card
}

pub(crate) fn on_file(method: &str) -> Payer {
    Payer::Stripe { customer: CUSTOMER.to_owned(), method: method.to_owned() }
}

/// A household without money in its wallet, at a service that knows Stripe.
pub(crate) fn with_stripe() -> Card {
    let runtime = Runtime::new().expect("a runtime");
    let double = runtime.block_on(Double::start());
    let secrets = tempfile::tempdir().expect("a folder");
    let file = |name: &str, secret: &str| {
        let path = secrets.path().join(name);
        std::fs::write(&path, secret).expect("written");
        Some(path)
    };
    let rails = RailFiles {
        stripe_key: file("key", KEY),
        stripe_webhook_secret: file("webhook", WEBHOOK_SECRET),
        stripe_api: Some(double.address.clone()),
        ..RailFiles::default()
    };
    let app = TestApp::start_with(Setup { rails, ..Setup::default() });
    app.add_merchant(&Cast::new(0));
    let household = app.add_household(Cast::new(0), 0);
    Card { double, app, household, _runtime: runtime, _secrets: secrets }
}

impl Card {
    fn view(&self, order: nodpay_core::OrderId) -> Value {
        self.app.guardian_get(&self.household, &format!("/api/guardian/orders/{order}")).ok()
    }

    fn watch_state(&self) -> Value {
        let path = format!("/api/watch/{}/state?from=2", self.household.cast.watch);
        self.app.watch_get(&self.household.cast, &path).ok()["order"].clone()
    }

    fn streams(&self) -> (Events, Events) {
        (self.app.follow_watch(&self.household.cast, None), self.app.follow_guardian(&self.household))
    }

    pub(crate) fn is_sound(&self) {
        assert_eq!(self.app.wait(self.app.app.store().check()).expect("reads"), []);
    }
}

#[test]
fn a_guardian_nods_and_the_card_pays() {
    let card = with_card(GOOD);
    let (app, household, cast) = (&card.app, &card.household, &card.household.cast);
    let (watch, guardian) = card.streams();
    let (bill, order) = app.ordered(household, 1);
    let decision = app.approve(household, &order, &bill);
    assert_eq!(watch.wait_for("decision").data["decision"], decision.wire());
    assert_eq!(guardian.wait_for("decision").data, json!({ "order": order.order }));
    assert_eq!(card.view(order.order)["state"], "approved");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    let outcome = watch.wait_for("outcome").data;
    assert_eq!((&outcome["order"], &outcome["balance"]), (&json!(order.order), &Value::Null));
    let total = bill.total.get();
    assert_eq!(card.double.money(), [("succeeded", total, 0)]);
    // Neither watch nor phone takes the empty wallet for a limit.
    let path = format!("/api/watch/{}/state?from=0", cast.watch);
    assert_eq!(app.watch_get(cast, &path).ok()["balance"], Value::Null);
    assert_eq!(app.guardian_get(household, "/api/guardian/household").ok()["rail"], "stripe");
    assert_eq!(card.view(order.order)["rail"], "stripe");
    app.wait(app.app.store().set_payer(cast.household, None, app.now())).expect("the wallet again");
    assert_eq!(watch.wait_for("balance").data, json!({ "balance": cny(0) }));
    let view = card.view(order.order);
    assert_eq!((&view["state"], &view["asking"]), (&json!("paid"), &Value::Null));
    let merchant = app.wait(app.app.store().merchant_balance(cast.merchant)).expect("a balance");
    assert_eq!(merchant, cny(total));
    assert_eq!(app.balance(household), (0, 0));

    let evidence = app.guardian_get(household, &format!("/api/guardian/orders/{}/evidence", order.order));
    let anchor = cast.anchor().to_file().expect("serialises");
    let report = verify_evidence(evidence.text.as_bytes(), anchor.as_bytes()).expect("proves it");
    assert_eq!((report.outcome.as_str(), report.total), ("paid", cny(total)));
    card.is_sound();
}

#[test]
fn a_guardian_confirms_with_the_bank() {
    let card = with_card(CONFIRM);
    let (app, household, cast) = (&card.app, &card.household, &card.household.cast);
    let (watch, guardian) = card.streams();
    let (bill, order) = app.ordered(household, 1);
    assert_eq!(guardian.wait_for("order").data, json!({ "order": order.order }));
    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve));
    app.decide_wire(household, &order, &wire).ok();
    loop {
        guardian.wait_for("order");
        let view = card.view(order.order);
        assert_eq!(view["state"], "holding");
        if view["asking"] == "guardian" {
            assert_eq!(view["confirm_url"], "https://hooks.stripe.test/confirm/pi_1");
            break;
        }
        assert_eq!((&view["asking"], &view["confirm_url"]), (&json!("answer"), &Value::Null));
    }
    let shown = watch.wait_for("order").data;
    assert_eq!((&shown["order"], &shown["state"]), (&json!(order.order), &json!("holding")));
    let state = card.watch_state();
    assert_eq!(
        (&state["state"], &state["asking"], &state["decision"]),
        (&json!("holding"), &json!("guardian"), &Value::Null)
    );

    let back = format!("{}/app#/order/{}", crate::app::ORIGIN, order.order);
    assert_eq!(card.double.return_url(), Some(back));
    card.double.confirm(true);
    // An event that is not Stripe's changes nothing; one that is makes us ask.
    let (event, signature) = card.double.event("payment_intent.amount_capturable_updated", app.now().unix_ms() / 1000);
    let post = |signature: &str| {
        app.send("POST", "/api/rails/stripe", &[("stripe-signature", signature)], "application/json", event.as_bytes())
    };
    post(&signature.replace("v1=", "v1=0")).refused(401, "stripe-signature");
    post(&signature).ok();
    post(&signature).ok();
    assert_eq!(watch.wait_for("decision").data["decision"], wire);
    assert_eq!(card.double.count("POST /v1/payment_intents?"), 1, "one PaymentIntent");
    card.is_sound();
}

#[test]
fn a_card_that_is_refused_fails_the_order() {
    let card = with_card(POOR);
    let watch = card.app.follow_watch(&card.household.cast, None);
    let (bill, order) = card.app.ordered(&card.household, 1);
    let cast = &card.household.cast;
    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &[], Verdict::Approve));
    card.app.decide_wire(&card.household, &order, &wire).ok();
    assert_eq!(watch.wait_for("outcome").data["order"], json!(order.order));
    let view = card.view(order.order);
    assert_eq!(view["state"], "failed");
    card.is_sound();
}

/// An answer that got lost: shown to both, asked again, paid once.
#[test]
fn nobody_knows_until_stripe_answers() {
    let card = with_card(GOOD);
    let (app, household, cast) = (&card.app, &card.household, &card.household.cast);
    let (watch, guardian) = card.streams();
    let (bill, order) = app.ordered(household, 1);
    let decision = app.approve(household, &order, &bill);
    watch.wait_for("decision");
    guardian.wait_for("decision");
    assert_eq!(card.double.money(), [("requires_capture", 0, 0)]);
    // It is done, and nobody can know.
    card.double.fail_next(&[Fault::BrokenAfter]);
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    loop {
        let told = watch.wait_for("order").data;
        assert_eq!((&told["order"], &told["state"]), (&json!(order.order), &json!("paying")));
        if told["asking"] == "unknown" {
            break;
        }
    }
    let (view, state) = (card.view(order.order), card.watch_state());
    for seen in [&view, &state] {
        assert_eq!((&seen["state"], &seen["asking"]), (&json!("paying"), &json!("unknown")));
    }
    assert_eq!(view["left_ms"], Value::Null, "nothing ends it");
    app.watch_post(cast, &order, "cancel", cast.cancel(&order).wire()).refused(409, "order-paying");
    card.is_sound();
    app.clock.advance_ms(60_000);
    assert_eq!(watch.wait_for("outcome").data["order"], json!(order.order));
    assert_eq!(card.view(order.order)["state"], "paid");
    assert_eq!(card.double.money(), [("succeeded", bill.total.get(), 0)]);
    card.is_sound();
}

/// What was nodded to and not paid in time is let go.
#[test]
fn a_hold_that_is_not_paid_is_cancelled() {
    let card = with_card(GOOD);
    let watch = card.app.follow_watch(&card.household.cast, None);
    let (bill, order) = card.app.ordered(&card.household, 1);
    card.app.approve(&card.household, &order, &bill);
    watch.wait_for("decision");
    card.app.clock.advance_ms(11 * 60_000);
    watch.wait_for("outcome");
    assert_eq!(card.view(order.order)["state"], "expired");
    // The job that voids runs after the one that ended the order.
    card.app.wait(async {
        while card.double.money() != [("canceled", 0, 0)] {
            tokio::task::yield_now().await;
        }
    });
    card.is_sound();
}

/// In parts, with an answer that got lost and one that is a no: given back once each, told when it is done.
#[test]
fn a_card_gets_its_money_back() {
    let card = with_card(GOOD);
    let (app, household, cast) = (&card.app, &card.household, &card.household.cast);
    let (watch, guardian) = card.streams();
    let (bill, order) = app.ordered(household, 1);
    let decision = app.approve(household, &order, &bill);
    watch.wait_for("decision");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    watch.wait_for("outcome");
    let till = app.follow_merchant();
    let path = format!("/api/merchant/bills/{}/refunds", bill.bill);
    let ask = |number: u8, minor: i64| {
        let refund = TransferId::from_bytes([number; 16]);
        app.merchant_post(&path, &json!({ "refund": refund, "amount": cny(minor), "reason": "坏了" })).ok()
    };
    // Until it is answered: all of them, in the order they were asked for.
    let until = |expected: &[&str]| loop {
        till.wait_for("bill");
        let refunds = app.merchant_get(&path).ok();
        let states: Vec<_> =
            refunds.as_array().expect("refunds").iter().map(|refund| refund["state"].clone()).collect();
        if states == expected {
            return refunds;
        }
    };
    let total = bill.total.get();

    card.double.fail_refunds(true);
    assert_eq!(ask(1, total)["state"], "asked");
    let refunds = until(&["failed"]);
    assert_eq!((&refunds[0]["decline"], &refunds[0]["reason"]), (&json!("refused"), &json!("坏了")));
    assert_eq!(ask(1, total), refunds[0], "the same one again");
    assert_eq!(card.view(order.order)["refunded"], Value::Null);

    card.double.fail_refunds(false);
    card.double.fail_next(&[Fault::BrokenAfter]);
    app.clock.advance_ms(1_000);
    assert_eq!(ask(2, 100)["state"], "asked");
    // Stripe does it and nobody hears: it is asked again, as time goes by.
    app.wait(async {
        while card.double.count("GET /v1/refunds") == 0 {
            app.clock.advance_ms(1_000);
            tokio::task::yield_now().await;
        }
    });
    until(&["failed", "done"]);
    assert_eq!(watch.wait_for("refund").data, json!({ "order": order.order, "refunded": cny(100) }));
    assert_eq!(guardian.wait_for("refund").data, json!({ "order": order.order }));
    app.clock.advance_ms(1_000);
    ask(3, total - 100);
    let refunds = until(&["failed", "done", "done"]);
    let over = json!({ "refund": TransferId::from_bytes([4; 16]), "amount": cny(1) });
    app.merchant_post(&path, &over).refused(422, "refund-too-large");
    assert_eq!(card.double.money(), [("succeeded", total, total)]);
    let view = card.view(order.order);
    assert_eq!((&view["refunded"], &view["refunds"]), (&json!(cny(total)), &json!([refunds[1], refunds[2]])));
    assert_eq!(app.balance(household), (0, 0), "the wallet has no part in it");
    assert_eq!(app.wait(app.app.store().merchant_balance(cast.merchant)).expect("a balance"), cny(0));
    card.is_sound();
    let lines = exported(&card);
    let mut refunds: Vec<_> = lines.iter().filter(|line| line.contains(",refund,")).collect();
    refunds.sort_by_key(|line| !line.contains(",1.00,CNY,"));
    assert!(refunds.len() == 2 && refunds[0].contains(",1.00,CNY,\"坏了\","), "what failed is no movement: {lines:?}");
    assert!(refunds.iter().all(|line| line.ends_with(",\"pi_1\"")), "the card's payment: {lines:?}");
}

/// The bank takes a payment back, and gives it again.
#[test]
fn a_card_payment_is_disputed() {
    let card = with_card(GOOD);
    let (app, household, cast) = (&card.app, &card.household, &card.household.cast);
    let watch = app.follow_watch(cast, None);
    let (bill, order) = app.ordered(household, 1);
    let decision = app.approve(household, &order, &bill);
    watch.wait_for("decision");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    watch.wait_for("outcome");
    let (guardian, till) = (app.follow_guardian(household), app.follow_merchant());
    let total = bill.total.get();
    let send = |event: &str, signature: &str| {
        app.send("POST", "/api/rails/stripe", &[("stripe-signature", signature)], "application/json", event.as_bytes())
    };
    let says = |kind: &str| {
        let (event, signature) = card.double.dispute_event(kind, app.now().unix_ms() / 1000);
        send(&event, &signature.replace("v1=", "v1=0")).refused(401, "stripe-signature");
        send(&event, &signature).ok();
        send(&event, &signature).ok();
    };
    let stands = |state: &str, owed: i64| {
        let view = card.view(order.order);
        assert_eq!(view["state"], "paid");
        let disputes = view["disputes"].as_array().expect("disputes");
        assert_eq!(disputes.len(), 1);
        assert_eq!((&disputes[0]["state"], &disputes[0]["amount"]), (&json!(state), &json!(cny(total))));
        let merchant = app.wait(app.app.store().merchant_balance(cast.merchant)).expect("a balance");
        assert_eq!(merchant, cny(owed));
        card.is_sound();
    };

    card.double.dispute("needs_response", &[]);
    says("charge.dispute.created");
    stands("open", total);
    assert_eq!(guardian.wait_for("order").data, json!({ "order": order.order }));
    assert_eq!(till.wait_for("bill").data["bill"], json!(bill.bill));
    card.double.dispute("under_review", &[-total]);
    says("charge.dispute.funds_withdrawn");
    stands("taken", 0);
    let refund = json!({ "refund": TransferId::from_bytes([1; 16]), "amount": cny(1) });
    let path = format!("/api/merchant/bills/{}/refunds", bill.bill);
    app.merchant_post(&path, &refund).refused(422, "refund-too-large");
    // The event before comes late; what it is about is over.
    card.double.dispute("won", &[-total, total]);
    says("charge.dispute.created");
    stands("won", total);
    card.double.dispute("lost", &[-total]);
    says("charge.dispute.closed");
    stands("won", total);
    let metrics = app.get("/metrics", &[]).text;
    for state in ["open", "taken", "won"] {
        assert!(metrics.contains(&format!("nodpay_disputes_total{{state=\"{state}\"}}")), "{state} in {metrics}");
    }
    let day = nodpay_core::Day::of(app.now());
    let statement = app.merchant_get(&format!("/api/merchant/statement?from={day}&to={day}")).ok();
    let kinds = statement["movements"].as_array().expect("movements").iter();
    let mut kinds: Vec<_> = kinds.map(|movement| movement["kind"].as_str().expect("a kind")).collect();
    kinds.sort_unstable();
    assert_eq!((kinds, &statement["disputes"]), (vec!["dispute", "dispute-back", "payment"], &json!(0)));
    let lines = exported(&card);
    let amount = format!("{}.{:02}", total / 100, total % 100);
    for (kind, sign) in [("purchase", "-"), ("taken-back", ""), ("given-again", "-")] {
        let mut fitting = lines.iter().filter(|line| line.contains(&format!(",{kind},")));
        let line = fitting.next().expect(kind);
        assert!(line.contains(&format!(",{sign}{amount},CNY,")) && fitting.next().is_none(), "{line}");
        assert_eq!(line.ends_with(",\"du_1\""), kind != "purchase", "{line}");
    }
    let books = app.guardian_get(household, "/api/guardian/export?format=ofx").text;
    for (kind, sign) in [("CREDIT", ""), ("DEBIT", "-")] {
        let line = books.lines().find(|line| line.contains(&format!("<TRNTYPE>{kind}<"))).expect(kind);
        assert!(line.contains(&format!("<TRNAMT>{sign}{amount}</TRNAMT>")), "{line}");
        assert!(line.contains("<REFNUM>du_1</REFNUM><NAME>"), "{line}");
    }
}

/// The household's movements as a spreadsheet has them.
fn exported(card: &Card) -> Vec<String> {
    let file = card.app.guardian_get(&card.household, "/api/guardian/export?format=csv").text;
    file.lines().skip(1).map(str::to_owned).collect()
}

/// A dispute that cannot be looked into is heard of again.
#[test]
fn a_dispute_that_stripe_does_not_show_is_sent_again() {
    let card = with_card(GOOD);
    let watch = card.app.follow_watch(&card.household.cast, None);
    let (bill, order) = card.app.ordered(&card.household, 1);
    card.app.approve(&card.household, &order, &bill);
    watch.wait_for("decision");
    card.double.dispute("needs_response", &[]);
    let (event, _) = card.double.dispute_event("charge.dispute.created", 0);
    let event = event.replace("du_1", "du_2");
    let signature = sign(WEBHOOK_SECRET, card.app.now().unix_ms() / 1000, event.as_bytes());
    let headers = [("stripe-signature", signature.as_str())];
    let answer = card.app.send("POST", "/api/rails/stripe", &headers, "application/json", event.as_bytes());
    answer.refused(503, "rail-unavailable");
    let metrics = card.app.get("/metrics", &[]).text;
    assert!(!metrics.contains("nodpay_store_errors_total{error=\"unavailable\"}"), "the database is there: {metrics}");
}
