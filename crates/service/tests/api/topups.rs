//! Filling the wallet from a card, against the strict double: what the guardian signs, what the page is told, and that the money
//! is there once, when Stripe says so.

use std::time::{Duration, Instant};

use nodpay_core::{Amount, Currency, V1};
use nodpay_protocol::{AssertionKind, CardTopUp};
use nodpay_testkit::{Cast, SoftPasskey, cny, minor, rp};
use serde_json::{Value, json};

use crate::app::Answer;
use crate::card::{Card, on_file, with_stripe};
use crate::stripe_double::{CONFIRM, Fault, GOOD, POOR};

const PATH: &str = "/api/guardian/wallet/top-ups";
/// What takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Stands,
    Passes,
}

fn filled_by(method: &str) -> Card {
    let card = with_stripe();
    let set =
        card.app.app.store().set_top_up_card(card.household.cast.household, Some(on_file(method)), card.app.now());
    card.app.wait(set).expect("set");
    card
}

impl Card {
    fn wish(&self, amount: Amount) -> CardTopUp {
        let cast = &self.household.cast;
        let (household, guardian) = (cast.household, cast.passkey.guardian.guardian);
        CardTopUp { v: V1, household, guardian, amount, at: self.app.now(), nonce: self.app.nonce() }
    }

    fn send(&self, passkey: &SoftPasskey, wish: &CardTopUp) -> Answer {
        let assertion = passkey.assert(AssertionKind::TopUp, wish);
        self.app.post(PATH, &self.app.pages(&self.household.cookie), &json!({ "assertion": assertion }))
    }

    fn asked(&self, amount: i64) -> Value {
        self.send(&self.household.cast.passkey, &self.wish(cny(amount))).ok()
    }

    fn wallet(&self) -> Value {
        self.app.guardian_get(&self.household, "/api/guardian/wallet").ok()
    }

    /// The newest top-up, once it is in this state; a second goes by before each look where `time` says so.
    fn until(&self, state: &str, time: Time) -> Value {
        let (begun, store, household) = (Instant::now(), self.app.app.store(), self.household.cast.household);
        let mut known = None;
        while begun.elapsed() < PATIENCE {
            let rows = self.app.wait(store.card_top_ups(household)).expect("reads");
            // Asked for over HTTP only where it changed: time stands, so no request is allowed again.
            if known.as_ref() != Some(&rows) {
                let newest = self.wallet()["top_up"]["card_top_ups"][0].clone();
                if newest["state"] == state {
                    return newest;
                }
                known = Some(rows);
            }
            if time == Time::Passes {
                self.app.clock.advance_ms(1_000);
            }
        }
        panic!("it is never {state}: {known:?}");
    }

    fn event(&self, kind: &str) {
        let (event, signature) = self.double.event(kind, self.app.now().unix_ms() / 1000);
        let headers = [("stripe-signature", signature.as_str())];
        self.app.send("POST", "/api/rails/stripe", &headers, "application/json", event.as_bytes()).ok();
    }
}

#[test]
fn a_guardian_fills_the_wallet() {
    let card = filled_by(GOOD);
    let limits = card.wallet()["top_up"]["card"].clone();
    assert_eq!(limits, json!({ "least": 500, "most": 50_000, "most_a_day": 100_000 }));
    let wish = card.wish(cny(5_000));
    let asked = card.send(&card.household.cast.passkey, &wish).ok();
    assert_eq!((&asked["state"], &asked["transfer"]), (&json!("answer"), &json!(wish.transfer())));
    let done = card.until("done", Time::Stands);
    assert_eq!(done["amount"], json!(cny(5_000)));
    assert_eq!(card.app.balance(&card.household), (5_000, 0));
    // Signed again over the same, and told by Stripe again: it is the same one.
    assert_eq!(card.send(&card.household.cast.passkey, &wish).ok()["state"], "done");
    card.event("payment_intent.succeeded");
    card.event("payment_intent.succeeded");
    assert_eq!(card.double.money(), [("succeeded", 5_000, 0)]);
    assert_eq!(card.app.balance(&card.household), (5_000, 0));
    let movement = &card.wallet()["movements"][0];
    assert_eq!((&movement["kind"], &movement["change"]), (&json!("card"), &json!(5_000)));
    assert_eq!(card.double.count("POST /v1/payment_intents?amount=5000&currency=cny"), 1);
    card.is_sound();
}

#[test]
fn only_a_guardians_signature_charges_the_card() {
    let card = filled_by(GOOD);
    let own = &card.household.cast.passkey;
    let stranger = SoftPasskey::new(77, rp());
    card.send(&stranger, &card.wish(cny(5_000))).refused(403, "unknown-guardian");
    let of_other = CardTopUp { household: Cast::new(1).household, ..card.wish(cny(5_000)) };
    card.send(own, &of_other).refused(422, "other-household");
    let late = CardTopUp { at: card.app.now().plus_ms(-60 * 60 * 1000), ..card.wish(cny(5_000)) };
    card.send(own, &late).refused(422, "entry-time");
    let login = own.assert(AssertionKind::Login, &card.wish(cny(5_000)));
    let pages = card.app.pages(&card.household.cookie);
    card.app.post(PATH, &pages, &json!({ "assertion": login })).refused(422, "wrong-challenge");
    card.send(own, &card.wish(cny(499))).refused(422, "top-up-amount");
    card.send(own, &card.wish(cny(50_001))).refused(422, "top-up-amount");
    card.send(own, &card.wish(Amount::new(minor(5_000), Currency::EUR))).refused(422, "currency-not-supported");
    assert_eq!(card.double.count("POST"), 0, "nobody was charged");

    let without = with_stripe();
    assert_eq!(without.wallet()["top_up"]["card"], Value::Null);
    without.send(&without.household.cast.passkey, &without.wish(cny(5_000))).refused(409, "card-missing");
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let card = filled_by(GOOD);
    card.double.fail_next(&[Fault::BrokenAfter]);
    card.asked(5_000);
    card.until("unknown", Time::Stands);
    assert_eq!(card.app.balance(&card.household), (0, 0), "nobody knows");
    card.is_sound();
    card.until("done", Time::Passes);
    assert_eq!(card.app.balance(&card.household), (5_000, 0));
    assert_eq!(card.double.money(), [("succeeded", 5_000, 0)]);
    card.is_sound();
}

#[test]
fn a_declined_card_says_why() {
    let card = filled_by(POOR);
    card.asked(5_000);
    assert_eq!(card.until("declined", Time::Stands)["decline"], "funds");
    assert_eq!(card.double.money(), [("canceled", 0, 0)]);
    assert_eq!(card.app.balance(&card.household), (0, 0));
    card.is_sound();
}

#[test]
fn a_guardian_confirms_the_charge_with_the_bank() {
    let card = filled_by(CONFIRM);
    card.asked(5_000);
    let open = card.until("guardian", Time::Stands);
    assert_eq!(open["confirm_url"], "https://hooks.stripe.test/confirm/pi_1");
    assert_eq!(card.double.return_url(), Some(format!("{}/app#/wallet", crate::app::ORIGIN)));
    card.double.confirm(true);
    card.event("payment_intent.succeeded");
    card.until("done", Time::Stands);
    assert_eq!(card.app.balance(&card.household), (5_000, 0));

    // One that nobody confirms is given up, and cannot be charged any more.
    card.app.clock.advance_ms(1_000);
    card.asked(6_000);
    card.until("guardian", Time::Stands);
    card.app.clock.advance_ms(nodpay_store::CONFIRM_LIFE_MS);
    assert_eq!(card.until("declined", Time::Passes)["decline"], "not-confirmed");
    assert_eq!(card.double.money(), [("succeeded", 5_000, 0), ("canceled", 0, 0)]);
    card.is_sound();
}

#[test]
fn a_dispute_is_shown_and_stops_the_next() {
    let card = filled_by(GOOD);
    card.asked(5_000);
    card.until("done", Time::Stands);
    card.double.dispute("lost", &[-5_000]);
    let (event, signature) = card.double.dispute_event("charge.dispute.closed", card.app.now().unix_ms() / 1000);
    let headers = [("stripe-signature", signature.as_str())];
    card.app.send("POST", "/api/rails/stripe", &headers, "application/json", event.as_bytes()).ok();
    assert_eq!(card.wallet()["top_up"]["card_top_ups"][0]["dispute"], "lost");
    card.send(&card.household.cast.passkey, &card.wish(cny(5_000))).refused(409, "card-disputed");
    card.is_sound();
}
