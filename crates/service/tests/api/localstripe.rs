//! The card rail against `localstripe`, another's idea of Stripe. It keeps no idempotency keys, finds nothing by customer and
//! lets one refund more than there is; the strict double checks those.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use nodpay_core::{Amount, Currency, Decline, Minor, Movement, Rail as _, RailAnswer, RailStep, TransferId};
use nodpay_service::rails::stripe::{CALL_TIME, Stripe, StripePayment};
use serde_json::Value;

use crate::python::environment;
use crate::stripe_double::{KEY, secret};

const TRANSFER: TransferId = TransferId::from_bytes([3; 16]);

struct Localstripe {
    process: Child,
    address: String,
    /// It ends when nobody can read what it says.
    _says: Lines<BufReader<ChildStdout>>,
}

impl Localstripe {
    fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let mut process = Command::new(environment().join("bin/python"))
            .args(["-u", "-m", "localstripe", "--from-scratch", "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("localstripe starts");
        let mut says = BufReader::new(process.stdout.take().expect("piped")).lines();
        let running = says.by_ref().map_while(Result::ok).any(|line| line.contains("Running on"));
        assert!(running, "localstripe says that it runs");
        Self { process, address: format!("http://127.0.0.1:{port}"), _says: says }
    }

    fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let mut answer = ureq::post(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {KEY}"))
            .send_form(form.iter().copied())
            .expect("an answer");
        let text = answer.body_mut().read_to_string().expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }

    /// A customer with a card of this number; gives both ids.
    fn card_on_file(&self, number: &str) -> (String, String) {
        let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
        let customer = id(&self.post("/v1/customers", &[("email", "guardian@example.org")]));
        let card = [
            ("type", "card"),
            ("card[number]", number),
            ("card[exp_month]", "12"),
            ("card[exp_year]", "2030"),
            ("card[cvc]", "123"),
        ];
        let method = id(&self.post("/v1/payment_methods", &card));
        self.post(&format!("/v1/payment_methods/{method}/attach"), &[("customer", &customer)]);
        (customer, method)
    }
}

impl Drop for Localstripe {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn movement(minor: i64) -> Movement {
    let amount = Amount::new(Minor::new(minor).expect("in range"), Currency::EUR);
    Movement { transfer: TRANSFER, amount }
}

fn payment<'a>(stripe: &'a Stripe, (customer, method): &'a (String, String)) -> StripePayment<'a> {
    let return_url = "https://pay.example.org/app";
    StripePayment { stripe, customer, method, intent: None, hold: TRANSFER, return_url }
}

#[tokio::test]
async fn a_card_on_file_is_held_posted_voided_and_refunded() {
    let local = Localstripe::start();
    let stripe = Stripe::new(&local.address, &secret(KEY), CALL_TIME).expect("a client");
    let on_file = local.card_on_file("4242424242424242");
    let card = |intent| StripePayment { intent, ..payment(&stripe, &on_file) };

    let held = card(None).hold(movement(1_000)).await;
    assert_eq!(held.answer, RailAnswer::Done);
    let known = card(held.reference.as_deref());
    assert_eq!(known.clone().status(RailStep::Hold, movement(1_000)).await.answer, RailAnswer::Done);
    assert_eq!(known.clone().post(movement(1_000)).await.answer, RailAnswer::Done);
    assert_eq!(known.clone().post(movement(1_000)).await.answer, RailAnswer::Done, "again");
    assert_eq!(known.clone().status(RailStep::Post, movement(1_000)).await.answer, RailAnswer::Done);
    let back = Movement { transfer: TransferId::from_bytes([4; 16]), ..movement(300) };
    assert_eq!(known.clone().refund(back).await.answer, RailAnswer::Done);
    assert_eq!(known.void(movement(1_000)).await.answer, RailAnswer::Declined(Decline::NotPossible));

    let other = card(None).hold(movement(700)).await;
    let other = card(other.reference.as_deref());
    assert_eq!(other.clone().void(movement(700)).await.answer, RailAnswer::Done);
    assert_eq!(other.clone().void(movement(700)).await.answer, RailAnswer::Done, "again");
    assert_eq!(other.clone().status(RailStep::Void, movement(700)).await.answer, RailAnswer::Done);
    assert_eq!(other.post(movement(700)).await.answer, RailAnswer::Declined(Decline::Refused));
}

#[tokio::test]
async fn a_card_on_file_is_charged_at_once() {
    let local = Localstripe::start();
    let stripe = Stripe::new(&local.address, &secret(KEY), CALL_TIME).expect("a client");
    let charge = async |number: &str| {
        let on_file = local.card_on_file(number);
        let card = payment(&stripe, &on_file);
        let reply = card.charge(movement(900), false, false).await;
        let known = StripePayment { intent: reply.reference.as_deref(), ..card };
        if reply.reference.is_some() {
            assert_eq!(known.charge(movement(900), true, false).await, reply, "asked again");
        }
        reply.answer
    };
    assert_eq!(charge("4242424242424242").await, RailAnswer::Done);
    assert_eq!(charge("4000000000000341").await, RailAnswer::Declined(Decline::Refused));
}

#[tokio::test]
async fn a_card_is_declined_or_waits_for_its_holder() {
    let local = Localstripe::start();
    let stripe = Stripe::new(&local.address, &secret(KEY), CALL_TIME).expect("a client");
    let hold = async |number: &str| {
        let on_file = local.card_on_file(number);
        let card = payment(&stripe, &on_file);
        let reply = card.clone().hold(movement(500)).await;
        let intent = reply.reference.clone();
        let status = StripePayment { intent: intent.as_deref(), ..card }.status(RailStep::Hold, movement(500));
        (reply.answer, if intent.is_some() { status.await.answer } else { RailAnswer::Unknown })
    };
    // localstripe's declined answers do not name the PaymentIntent.
    assert_eq!(hold("4000000000000341").await, (RailAnswer::Declined(Decline::Refused), RailAnswer::Unknown));
    // It asks for Stripe's own script, which only the holder's own page could run.
    assert_eq!(hold("4000002500003155").await, (RailAnswer::Pending, RailAnswer::Pending));
}
