//! The card rail against the strict double: every step, each of them repeated, refused, and with its answer lost.

use std::time::Duration;

use nodpay_core::{
    Amount, Currency, Decline, Minor, Movement, Rail as _, RailAnswer, RailReply, RailStep, Timestamp, TransferId,
};
use nodpay_service::rails::stripe::{News, Stripe, StripePayment, StripeSecret, WebhookError, news_of_event};

use crate::stripe_double::{CONFIRM, CUSTOMER, Double, Fault, GOOD, KEY, POOR, WEBHOOK_SECRET, secret, sign};

/// A silent double is given up on after this.
const CALL_TIME: Duration = Duration::from_millis(300);
const TRANSFER: TransferId = TransferId::from_bytes([7; 16]);
const REFUND: TransferId = TransferId::from_bytes([8; 16]);

fn eur(minor: i64) -> Amount {
    Amount::new(Minor::new(minor).expect("in range"), Currency::EUR)
}

fn movement(minor: i64) -> Movement {
    Movement { transfer: TRANSFER, amount: eur(minor) }
}

fn refund(minor: i64) -> Movement {
    Movement { transfer: REFUND, amount: eur(minor) }
}

fn stripe(double: &Double) -> Stripe {
    Stripe::new(&double.address, &secret(KEY), CALL_TIME).expect("a client")
}

fn card<'a>(stripe: &'a Stripe, method: &'a str, intent: Option<&'a str>) -> StripePayment<'a> {
    let return_url = "https://pay.example.org/app#order";
    StripePayment { stripe, customer: CUSTOMER, method, intent, hold: TRANSFER, return_url }
}

fn done() -> RailReply {
    RailReply { answer: RailAnswer::Done, reference: Some("pi_1".to_owned()) }
}

#[tokio::test]
async fn held_posted_and_refunded_in_parts_never_twice() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    let held = card(&stripe, GOOD, None);
    assert_eq!(held.clone().status(RailStep::Hold, movement(1_000)).await.answer, RailAnswer::Unknown, "not asked yet");
    assert_eq!(held.clone().hold(movement(1_000)).await, done());
    assert_eq!(held.clone().hold(movement(1_000)).await, done(), "again");
    assert_eq!(held.clone().status(RailStep::Hold, movement(1_000)).await, done(), "found without its id");
    let known = card(&stripe, GOOD, Some("pi_1"));
    assert_eq!(known.clone().status(RailStep::Post, movement(900)).await.answer, RailAnswer::Unknown, "not asked yet");
    assert_eq!(known.clone().post(movement(900)).await, done(), "in part");
    assert_eq!(known.clone().post(movement(900)).await, done(), "again");
    assert_eq!(double.money(), [("succeeded", 900, 0)]);
    assert_eq!(known.clone().void(movement(1_000)).await.answer, RailAnswer::Declined(Decline::NotPossible));

    assert_eq!(known.clone().status(RailStep::Refund, refund(400)).await.answer, RailAnswer::Unknown);
    assert_eq!(known.clone().refund(refund(400)).await.answer, RailAnswer::Done);
    assert_eq!(known.clone().refund(refund(400)).await.answer, RailAnswer::Done, "again");
    assert_eq!(known.clone().status(RailStep::Refund, refund(400)).await.answer, RailAnswer::Done);
    let more = Movement { transfer: TransferId::from_bytes([9; 16]), amount: eur(501) };
    assert_eq!(known.clone().refund(more).await.answer, RailAnswer::Declined(Decline::Refused), "more than was paid");
    assert_eq!(double.money(), [("succeeded", 900, 400)]);
}

#[tokio::test]
async fn voided_once_also_when_it_was_never_known_to_be_held() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    assert_eq!(card(&stripe, GOOD, None).hold(movement(500)).await, done());
    let known = card(&stripe, GOOD, Some("pi_1"));
    for _ in 0..2 {
        assert_eq!(known.clone().void(movement(500)).await, done());
    }
    assert_eq!(known.clone().post(movement(500)).await.answer, RailAnswer::Declined(Decline::Refused));
    assert_eq!(double.money(), [("canceled", 0, 0)]);

    let double = Double::start().await;
    let stripe = self::stripe(&double);
    double.fail_next(&[Fault::SilentAfter]);
    assert_eq!(card(&stripe, GOOD, None).hold(movement(500)).await.answer, RailAnswer::Unknown);
    assert_eq!(card(&stripe, GOOD, None).void(movement(500)).await.answer, RailAnswer::Done);
    assert_eq!(double.money(), [("canceled", 0, 0)]);
}

#[tokio::test]
async fn more_than_was_held_is_not_posted() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    assert_eq!(card(&stripe, GOOD, None).hold(movement(500)).await, done());
    let over = card(&stripe, GOOD, Some("pi_1")).post(movement(501)).await;
    assert_eq!(over.answer, RailAnswer::Declined(Decline::NotPossible));
    assert_eq!(double.money(), [("requires_capture", 0, 0)]);
}

#[tokio::test]
async fn the_guardian_is_sent_to_the_bank() {
    for (yes, then) in [(true, RailAnswer::Done), (false, RailAnswer::Declined(Decline::NotConfirmed))] {
        let double = Double::start().await;
        let stripe = stripe(&double);
        let open = RailReply {
            answer: RailAnswer::ActionNeeded("https://hooks.stripe.test/confirm/pi_1".to_owned()),
            reference: Some("pi_1".to_owned()),
        };
        assert_eq!(card(&stripe, CONFIRM, None).hold(movement(500)).await, open);
        assert_eq!(card(&stripe, CONFIRM, Some("pi_1")).status(RailStep::Hold, movement(500)).await, open);
        assert_eq!(card(&stripe, CONFIRM, None).hold(movement(500)).await, open, "again");
        double.confirm(yes);
        let after = card(&stripe, CONFIRM, Some("pi_1")).status(RailStep::Hold, movement(500)).await;
        assert_eq!(after.answer, then);
    }
}

#[tokio::test]
async fn a_no_has_its_reason() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    let poor = card(&stripe, POOR, None).hold(movement(500)).await;
    assert_eq!(poor.answer, RailAnswer::Declined(Decline::Funds));
    let unknown = card(&stripe, "pm_other", None).hold(Movement { transfer: REFUND, amount: eur(500) }).await;
    assert_eq!(unknown.answer, RailAnswer::Declined(Decline::Payer));
}

/// Done, its answer lost, asked again by its id: done once.
#[tokio::test]
async fn a_lost_answer_is_unknown_then_done_once() {
    for fault in [Fault::SilentAfter, Fault::BrokenAfter, Fault::Down, Fault::Busy] {
        let double = Double::start().await;
        let stripe = stripe(&double);
        let again = async |step: RailStep, payment: StripePayment<'_>, movement: Movement| {
            let known = payment.clone().status(step, movement).await;
            if known.answer != RailAnswer::Unknown {
                return known.answer;
            }
            let asked = match step {
                RailStep::Hold => payment.hold(movement).await,
                RailStep::Post => payment.post(movement).await,
                RailStep::Void => payment.void(movement).await,
                RailStep::Refund => payment.refund(movement).await,
            };
            asked.answer
        };
        double.fail_next(&[fault]);
        assert_eq!(card(&stripe, GOOD, None).hold(movement(500)).await.answer, RailAnswer::Unknown, "{fault:?}");
        assert_eq!(
            again(RailStep::Hold, card(&stripe, GOOD, None), movement(500)).await,
            RailAnswer::Done,
            "{fault:?}"
        );
        double.fail_next(&[fault]);
        let known = card(&stripe, GOOD, Some("pi_1"));
        assert_eq!(known.clone().post(movement(500)).await.answer, RailAnswer::Unknown, "{fault:?}");
        assert_eq!(again(RailStep::Post, known.clone(), movement(500)).await, RailAnswer::Done, "{fault:?}");
        double.fail_next(&[fault]);
        assert_eq!(known.clone().refund(refund(200)).await.answer, RailAnswer::Unknown, "{fault:?}");
        assert_eq!(again(RailStep::Refund, known, refund(200)).await, RailAnswer::Done, "{fault:?}");
        assert_eq!(double.money(), [("succeeded", 500, 200)], "{fault:?}");
    }
}

/// Filling a wallet: charged at once, and once.
#[tokio::test]
async fn charged_once_whatever_gets_lost() {
    let double = Double::start().await;
    let stripe = self::stripe(&double);
    for asked_before in [false, false, true] {
        assert_eq!(card(&stripe, GOOD, None).charge(movement(900), asked_before, false).await, done());
    }
    assert_eq!(card(&stripe, GOOD, Some("pi_1")).charge(movement(900), true, true).await, done(), "known, and late");
    let other = card(&stripe, GOOD, Some("pi_1")).charge(movement(901), true, false).await;
    assert_eq!(other.answer, RailAnswer::Unknown, "another amount than was charged");
    assert_eq!(double.money(), [("succeeded", 900, 0)]);
    for fault in [Fault::SilentAfter, Fault::BrokenAfter, Fault::Down, Fault::Busy] {
        let double = Double::start().await;
        let stripe = self::stripe(&double);
        double.fail_next(&[fault]);
        assert_eq!(card(&stripe, GOOD, None).charge(movement(900), false, false).await.answer, RailAnswer::Unknown);
        assert_eq!(card(&stripe, GOOD, None).charge(movement(900), true, false).await, done(), "{fault:?}");
        assert_eq!(double.money(), [("succeeded", 900, 0)], "{fault:?}");
    }
}

#[tokio::test]
async fn a_charge_that_is_declined_or_not_confirmed_is_over() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    let charge = async |method, known: Option<&str>, asked_before, overdue| {
        card(&stripe, method, known).charge(movement(900), asked_before, overdue).await.answer
    };
    let poor = RailAnswer::Declined(Decline::Funds);
    assert_eq!(charge(POOR, None, false, false).await, poor);
    assert_eq!(charge(POOR, Some("pi_1"), true, false).await, poor, "again, with its reason");
    assert_eq!(double.money(), [("canceled", 0, 0)], "nothing can revive it");

    for (yes, then, money) in [
        (Some(true), RailAnswer::Done, ("succeeded", 900, 0)),
        (Some(false), RailAnswer::Declined(Decline::NotConfirmed), ("canceled", 0, 0)),
        (None, RailAnswer::Declined(Decline::NotConfirmed), ("canceled", 0, 0)),
    ] {
        let double = Double::start().await;
        let stripe = self::stripe(&double);
        let charge = async |asked_before, overdue| {
            card(&stripe, CONFIRM, None).charge(movement(900), asked_before, overdue).await.answer
        };
        let open = RailAnswer::ActionNeeded("https://hooks.stripe.test/confirm/pi_1".to_owned());
        assert_eq!(charge(false, false).await, open);
        assert_eq!(charge(true, false).await, open);
        if let Some(yes) = yes {
            double.confirm(yes);
        }
        assert_eq!(charge(true, true).await, then);
        assert_eq!(double.money(), [money]);
    }
}

#[tokio::test]
async fn the_same_key_with_other_content_is_no_answer() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    assert_eq!(card(&stripe, GOOD, None).hold(movement(500)).await, done());
    assert_eq!(card(&stripe, GOOD, None).hold(movement(501)).await.answer, RailAnswer::Unknown);
    assert_eq!(double.money(), [("requires_capture", 0, 0)]);
}

#[tokio::test]
async fn nobody_there_or_a_wrong_key_is_no_answer() {
    let double = Double::start().await;
    let wrong = Stripe::new(&double.address, &secret("sk_test_wrong"), CALL_TIME).expect("a client");
    assert_eq!(card(&wrong, GOOD, None).hold(movement(500)).await.answer, RailAnswer::Unknown);
    // Port 9 of this machine: nothing listens there.
    let nobody = Stripe::new("http://127.0.0.1:9", &secret(KEY), CALL_TIME).expect("a client");
    assert_eq!(card(&nobody, GOOD, None).hold(movement(500)).await.answer, RailAnswer::Unknown);
}

#[tokio::test]
async fn amounts_are_in_the_units_stripe_counts_in() {
    let rows = [
        ("EUR", 1_230, Some(1_230)),
        ("JPY", 500, Some(500)),
        ("KRW", 500, Some(500)),
        ("ISK", 5, Some(500)),
        ("UGX", 5, Some(500)),
        ("MGA", 500, Some(5)),
        ("MGA", 501, None),
        ("KWD", 5_120, Some(5_120)),
        ("KWD", 5_124, None),
        ("EUR", 0, None),
    ];
    for (currency, minor, stripe_amount) in rows {
        let double = Double::start().await;
        let stripe = stripe(&double);
        let currency = Currency::from_code(currency).expect("a currency");
        let amount = Amount::new(Minor::new(minor).expect("in range"), currency);
        let answer = card(&stripe, GOOD, None).hold(Movement { transfer: TRANSFER, amount }).await.answer;
        match stripe_amount {
            None => assert_eq!(answer, RailAnswer::Declined(Decline::NotPossible), "{amount:?}"),
            Some(expected) => {
                assert_eq!(answer, RailAnswer::Done, "{amount:?}");
                let asked = format!(
                    "POST /v1/payment_intents?amount={expected}&currency={}",
                    currency.code().to_ascii_lowercase()
                );
                assert_eq!(double.count(&asked), 1, "{amount:?}");
            }
        }
    }
}

#[tokio::test]
async fn events_are_verified_over_their_bytes() {
    let double = Double::start().await;
    let stripe = stripe(&double);
    card(&stripe, GOOD, None).hold(movement(500)).await;
    let now = Timestamp::from_unix_ms(1_795_406_400_000);
    let at = now.unix_ms() / 1000;
    let key = secret(WEBHOOK_SECRET);
    let read = |header: Option<&str>, body: &str| news_of_event(&key, header, body.as_bytes(), now);

    let (body, header) = double.event("payment_intent.succeeded", at);
    assert_eq!(read(Some(&header), &body), Ok(Some(News::Transfer(TRANSFER))));
    assert_eq!(read(Some(&header), &body), Ok(Some(News::Transfer(TRANSFER))), "twice: it only makes us ask");
    let rolled = format!("{},{}", sign("whsec_old", at, body.as_bytes()), header.split(',').nth(1).expect("v1"));
    assert_eq!(read(Some(&rolled), &body), Ok(Some(News::Transfer(TRANSFER))), "while the secret is rolled");
    assert_eq!(read(Some(&header), &body.replace("succeeded", "cancelled")), Err(WebhookError::Signature));
    assert_eq!(read(Some(&header), &format!("{body} ")), Err(WebhookError::Signature));
    assert_eq!(read(Some(&sign("whsec_other", at, body.as_bytes())), &body), Err(WebhookError::Signature));
    assert_eq!(read(Some(&header.replace("t=", "t=1")), &body), Err(WebhookError::Signature), "another time");
    for header in [None, Some(""), Some("v1=00"), Some("t=1,t=2,v1=00"), Some("t=x,v1=00")] {
        assert_eq!(read(header, &body), Err(WebhookError::Header), "{header:?}");
    }
    assert_eq!(read(Some(&format!("t={at}")), &body), Err(WebhookError::Signature), "unsigned");
    for moved in [-301, 301] {
        assert_eq!(read(Some(&sign(WEBHOOK_SECRET, at + moved, body.as_bytes())), &body), Err(WebhookError::Stale));
    }
    double.dispute("needs_response", &[]);
    let (body, header) = double.dispute_event("charge.dispute.created", at);
    assert_eq!(read(Some(&header), &body), Ok(Some(News::Dispute("du_1".to_owned()))));
    assert_eq!(read(Some(&header), &body.replace("du_1", "du_2")), Err(WebhookError::Signature));
    let (other, header) = double.event("customer.created", at);
    assert_eq!(read(Some(&header), &other), Ok(None), "of no interest");
    assert_eq!(read(Some(&sign(WEBHOOK_SECRET, at, b"[]")), "[]"), Err(WebhookError::Body));
}

#[test]
fn the_key_is_shown_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stripe.key");
    std::fs::write(&path, "sk_test_hidden\n").expect("written");
    let key = StripeSecret::read(&path).expect("a key");
    assert_eq!(format!("{key:?}"), "StripeSecret(hidden)");
    let stripe = Stripe::new("https://api.stripe.com", &key, CALL_TIME).expect("a client");
    assert!(!format!("{stripe:?} {:?}", card(&stripe, GOOD, None)).contains("sk_test"));
    for wrong in ["", "\n", "two words", "two\nlines", "ключ"] {
        std::fs::write(&path, wrong).expect("written");
        assert!(StripeSecret::read(&path).is_err(), "{wrong:?}");
    }
}
