//! A parent brings money into the wallet, in a real browser: by card, against the strict double of Stripe, and by a bank transfer
//! whose code the watch's own reader reads.

use std::io::Write as _;

use nodpay_core::{BankAccount, HouseholdId, Iban, Payer};
use nodpay_service::rails::RailFiles;
use nodpay_store::InvitationKind;
use nodpay_watch::reader::read_code;
use serde_json::json;

use crate::axe::assert_accessible;
use crate::browser::Window;
use crate::browser_guardians::{Stage, go, type_into};
use crate::stripe_double::{CONFIRM, CUSTOMER, Double, Fault, GOOD, KEY, POOR};

async fn card(stage: &Stage, household: HouseholdId, method: &str) {
    let card = Payer::Stripe { customer: CUSTOMER.to_owned(), method: method.to_owned() };
    stage.app.store().set_top_up_card(household, Some(card), stage.app.now()).await.unwrap();
}

/// Types the amount and signs; gives the words that were signed under.
async fn sign(window: &Window, amount: &str) -> String {
    window.click("[data-testid=card-top-up]").await;
    type_into(window, "card-amount", amount).await;
    let words = window.text("[data-testid=card-words]").await;
    window.click("[data-testid=card-sign]").await;
    words
}

async fn charge(window: &Window, state: &str) -> String {
    window.text(&format!("[data-testid=card-charge][data-state={state}]")).await
}

/// As a parent's phone shows it: both languages, by day and by night.
async fn pictures(window: &Window, name: &str) {
    window.client.set_window_size(360, 1_700).await.unwrap();
    for scheme in ["light", "dark"] {
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        window.devtools("Emulation.setEmulatedMedia", feature).await;
        for (language, other) in [("en", "zh-CN"), ("zh", "en")] {
            window.picture(&format!("{name}-{scheme}-{language}")).await;
            window.click("[data-testid=language]").await;
            window.until("the other language", &format!("document.documentElement.lang === '{other}'")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_brings_money_in() {
    let double = Double::start().await;
    let mut key = tempfile::NamedTempFile::new().unwrap();
    key.write_all(KEY.as_bytes()).unwrap();
    let iban = Iban::new("DE89370400440532013000").unwrap();
    let rails = RailFiles {
        stripe_key: Some(key.path().to_owned()),
        stripe_api: Some(double.address.clone()),
        bank_account: Some(BankAccount { name: "Schulverein Testbetrieb".to_owned(), iban, bic: None }),
        ..RailFiles::default()
    };
    let stage = Stage::open_with(rails, nodpay_service::PushConfig::default()).await;
    let phone = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    let invitation = stage.invitation(InvitationKind::Guardian, 2).await;
    phone.client.goto(&format!("{}/join#{invitation}", stage.address)).await.unwrap();
    type_into(&phone, "guardian-name", "Ma").await;
    phone.text("[data-testid=currency]").await;
    let euro = "const field = document.querySelector('[data-testid=currency]'); field.value = 'EUR'; \
                field.dispatchEvent(new Event('change', { bubbles: true }))";
    phone.client.execute(euro, vec![]).await.unwrap();
    phone.click("[data-testid=join]").await;
    phone.text("[data-testid=joined]").await;
    let household = stage.app.store().households(None, 1).await.unwrap().remove(0).household;

    // Without a card on file there is only the bank.
    go(&phone, "#/wallet").await;
    phone.client.goto(&format!("{}/app#/wallet", stage.address)).await.unwrap();
    let reference = phone.text("[data-testid=top-up-reference]").await.replace(' ', "");
    phone.until("no card", "!document.querySelector('[data-testid=card-top-up]')").await;
    phone.click("[data-testid=top-up] summary").await;
    type_into(&phone, "top-up-amount", "12.5").await;
    let code = "[data-testid=top-up-code] canvas";
    let expected =
        format!("BCD\n002\n1\nSCT\n\nSchulverein Testbetrieb\nDE89370400440532013000\nEUR12.50\n\n{reference}");
    phone.text(code).await;
    assert_eq!(read_code(&phone.canvas(code).await).as_deref(), Some(expected.as_str()));
    assert_eq!(nodpay_service::admin::household_named(stage.app.store(), &reference).await, Ok(household));

    // A card, whose bank's answer gets lost: she is told, and charged once.
    card(&stage, household, GOOD).await;
    phone.click("[data-testid=card-top-up]").await;
    type_into(&phone, "card-amount", "4.99").await;
    phone.until("too little", "document.querySelector('[data-testid=card-sign]').disabled").await;
    type_into(&phone, "card-amount", "50").await;
    let words = phone.text("[data-testid=card-words]").await;
    assert!(words.contains("50.00") && words.contains("once"), "{words}");
    assert_accessible(&phone, "topping up by card").await;
    pictures(&phone, "topup-form").await;
    double.fail_next(&[Fault::BrokenAfter]);
    phone.click("[data-testid=card-sign]").await;
    let said = charge(&phone, "unknown").await;
    assert!(said.contains("charged once at most") && said.contains("50.00") && said.contains("Ma"), "{said}");
    pictures(&phone, "topup-unknown").await;
    stage.clock.advance_ms(1_000);
    assert!(charge(&phone, "done").await.contains("has arrived"));
    let movement = phone.text("[data-testid=movement][data-kind=card]").await;
    assert!(movement.contains("Top-up by card") && movement.contains("50.00"), "{movement}");
    assert!(phone.text("[data-testid=wallet-available]").await.contains("50.00"));
    assert_eq!(double.money(), [("succeeded", 5_000, 0)]);

    // One that says no, and why.
    card(&stage, household, POOR).await;
    let words = sign(&phone, "20").await;
    assert!(words.contains("20.00"), "{words}");
    let said = charge(&phone, "declined").await;
    assert!(said.contains("nothing was charged") && said.contains("not enough money"), "{said}");

    // One that wants her at her bank.
    stage.clock.advance_ms(1_000);
    card(&stage, household, CONFIRM).await;
    sign(&phone, "30").await;
    let said = charge(&phone, "guardian").await;
    assert!(said.contains("Confirm with your bank"), "{said}");
    let link = "return document.querySelector('[data-testid=card-confirm]').href";
    let link = phone.client.execute(link, vec![]).await.unwrap();
    assert_eq!(link, json!("https://hooks.stripe.test/confirm/pi_3"));
    assert_accessible(&phone, "card top-ups").await;
    pictures(&phone, "topup-confirm").await;
    double.confirm(true);
    stage.clock.advance_ms(5_000);
    let there = "document.querySelector('[data-testid=wallet-available]').textContent.includes('80.00')";
    phone.until("it is there", there).await;
    let said = charge(&phone, "done").await;
    assert!(said.contains("30.00") && said.contains("has arrived"), "{said}");
    pictures(&phone, "topup-arrived").await;
    assert_eq!(stage.app.store().check().await.unwrap(), []);
    phone.client.clone().close().await.unwrap();
}
