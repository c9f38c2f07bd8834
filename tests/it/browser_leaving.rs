//! A household is to be erased, is kept, and is erased after all: in a real browser, on a service whose clock the test moves.

use nodpay_core::{ERASE_DELAY_MS, TransferId};
use nodpay_store::{CloseOut, StoreError};
use nodpay_testkit::START;

use crate::axe::assert_accessible;
use crate::browser::{PATIENCE, Window};
use crate::browser_guardians::{Stage, go};
use crate::browser_seeing::{is_one_handed, picture, screen};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// As a parent's phone shows it, light and dark, in both languages.
async fn pictures(window: &Window, name: &str) {
    for (dark, language, other) in [(false, "en", "zh-CN"), (true, "zh", "en")] {
        screen(window, dark).await;
        is_one_handed(window).await;
        picture(window, &format!("{name}-{language}")).await;
        window.click("[data-testid=language]").await;
        window.until("the other language", &format!("document.documentElement.lang === '{other}'")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_household_is_erased_when_its_time_is_over() {
    let mut stage = Stage::open().await;
    let phone = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    stage.found(&phone).await;
    let (household, store) = (stage.cast.household, stage.app.store().clone());

    // What goes, what stays and when is said before anything is signed.
    go(&phone, "#/household").await;
    let keeps = phone.text("[data-testid=keeps]").await;
    assert!(keeps.contains("2 years"), "{keeps}");
    phone.click("[data-testid=erase]").await;
    let words = phone.text("[data-testid=erase-words]").await;
    assert!(words.contains("at least 10 years") && words.contains("200.00"), "{words}");
    assert!(words.contains("they do not go by themselves"), "nothing deletes books: {words}");
    assert_accessible(&phone, "erase").await;
    pictures(&phone, "erase").await;
    phone.click("[data-testid=guardians-sign]").await;

    // Every page says it, also to whoever comes later; one tap and a passkey undo it.
    phone.text("[data-testid=to-be-erased]").await;
    go(&phone, "#/").await;
    phone.client.refresh().await.unwrap();
    let told = phone.text("[data-testid=to-be-erased]").await;
    assert!(told.contains("You asked to erase this household") && told.contains("200.00"), "{told}");
    assert_accessible(&phone, "to be erased").await;
    pictures(&phone, "to-be-erased").await;
    assert_eq!(stage.book().await.erasing().map(|erasing| erasing.from.ms_since(START) >= ERASE_DELAY_MS), Some(true));
    phone.click("[data-testid=keep]").await;
    phone.click("[data-testid=guardians-sign]").await;
    phone.until("kept", "!document.querySelector('[data-testid=to-be-erased]')").await;
    assert_eq!(stage.book().await.erasing(), None);
    go(&phone, "#/household").await;
    let log = phone.text("ol.log").await;
    assert!(log.contains("asked to erase the household") && log.contains("objected"), "{log}");

    // Asked again. Its time passes, but there is money; that is paid out, and then it goes.
    phone.click("[data-testid=erase]").await;
    phone.click("[data-testid=guardians-sign]").await;
    phone.text("[data-testid=to-be-erased]").await;
    let from = stage.book().await.erasing().expect("to be erased").from;
    let mut topics = store.subscribe();
    stage.clock.advance_ms(ERASE_DELAY_MS + HOUR_MS);
    assert_eq!(store.household(household).await.unwrap().unwrap().erase_from, Some(from));
    store.close_out(CloseOut { household, transfer: TransferId::from_bytes([8; 16]) }, from).await.unwrap();
    stage.clock.advance_ms(2 * HOUR_MS);
    let gone = async {
        while store.erased(household).await.unwrap().is_none() {
            topics.recv().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is erased");
    phone.client.refresh().await.unwrap();
    let erased = phone.text("[data-testid=erased]").await;
    assert!(erased.contains("Your household was erased"), "{erased}");
    let stays = phone.text("main").await;
    assert!(stays.contains("at least 10 years") && stays.contains("they do not go by themselves"), "{stays}");
    assert_eq!(store.household(household).await, Err(StoreError::HouseholdErased));
    assert_accessible(&phone, "erased").await;
    pictures(&phone, "erased").await;
    phone.click("[data-testid=erased-forget]").await;
    phone.text("[data-testid=login]").await;
    phone.client.refresh().await.unwrap();
    phone.text("[data-testid=login]").await;
    phone.client.close().await.unwrap();
}
