//! The wallet page and the list of devices, in real browsers: money that came and went, pocket money that a guardian signs, the way
//! to bring more in, a sign-in elsewhere.

use std::io::Cursor;
use std::process::Command;

use nodpay_core::{BankAccount, Iban, Nonce, SessionId, Text, TransferId};
use nodpay_protocol::{PairingCode, sha256, verify_decision};
use nodpay_service::rails::RailFiles;
use nodpay_store::{InvitationKind, NewSession, Refund, SessionOf, TokenHash, TopUp};
use nodpay_testkit::{START, cny};
use nodpay_watch::reader::read_code;
use serde_json::json;

use crate::browser::Window;
use crate::browser_guardians::{Stage, go, time_passes, type_into};
use crate::table::program;

const WORDS: &str = "Cash at the school office, mornings.";
const TOKEN: [u8; 32] = [0x77; 32];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// As a parent's phone shows it, in both languages.
async fn pictures(window: &Window, name: &str) {
    window.client.set_window_size(360, 1_500).await.unwrap();
    for language in ["en", "zh"] {
        window.picture(&format!("{name}-{language}")).await;
        window.click("[data-testid=language]").await;
        let other = if language == "en" { "zh-CN" } else { "en" };
        window.until("the other language", &format!("document.documentElement.lang === '{other}'")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_looks_after_the_wallet_and_their_devices() {
    let account = BankAccount {
        name: "Nodpay Testbetrieb".to_owned(),
        iban: Iban::new("DE89370400440532013000").unwrap(),
        bic: None,
    };
    let rails = RailFiles { bank_account: Some(account), top_up_words: Some(WORDS.to_owned()), ..RailFiles::default() };
    let mut stage = Stage::open_with(rails, nodpay_service::PushConfig::default()).await;
    let phone = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    let invitation = stage.invitation(InvitationKind::Guardian, 2).await;
    phone.client.goto(&format!("{}/join#{invitation}", stage.address)).await.unwrap();
    phone.click("[data-testid=join]").await;
    phone.click("[data-testid=pair-first-watch]").await;
    let picture = phone.canvas("[data-testid=pairing-code] canvas").await;
    let code = PairingCode::parse(&read_code(&picture).expect("a code")).expect("a pairing code");
    stage.claim(&code).await;
    type_into(&phone, "wearer-name", "Ming").await;
    phone.click("[data-testid=pair-confirm]").await;
    phone.text("[data-testid=paired]").await;
    let household = stage.cast.household;

    // Money comes in while she looks, by the reference that the page shows.
    go(&phone, "#/wallet").await;
    let reference = phone.text("[data-testid=top-up-reference]").await;
    assert_eq!(phone.text("[data-testid=top-up-words]").await, WORDS);
    assert_eq!(phone.text("[data-testid=top-up-iban]").await, "DE89 3704 0044 0532 0130 00");
    let named = nodpay_service::admin::household_named(stage.app.store(), &reference).await.unwrap();
    assert_eq!(named, household);
    let top_up = TopUp { household, transfer: TransferId::from_bytes([7; 16]), amount: cny(20_000) };
    stage.app.store().top_up(top_up, START).await.unwrap();
    phone
        .until("it is there", "document.querySelector('[data-testid=wallet-available]').textContent.includes('200.00')")
        .await;
    phone.text("[data-testid=movement][data-kind=top-up]").await;

    // She nods: it is held, then paid, and a part of it comes back.
    stage.order(1).await;
    go(&phone, "#/").await;
    phone.click("[data-testid=waiting-order]").await;
    phone.click("[data-testid=approve]").await;
    phone.text("[data-testid=decided-by], [data-testid=outcome]").await;
    go(&phone, "#/wallet").await;
    assert!(phone.text("[data-testid=wallet-held]").await.contains("36.50"));
    let book = stage.book().await;
    let (bill, order) = (stage.cast.bill(1), stage.cast.order(&stage.cast.bill(1), 1));
    let row = stage.app.store().orders(household, None, 1).await.unwrap().remove(0);
    let decision =
        verify_decision(&row.decision.unwrap().wire, &book, &order, &bill, None, &stage.cast.certificate).unwrap().0;
    let payment = stage.cast.payment(&order, &decision);
    let path = format!("/api/watch/{}/orders/{}/payment", stage.cast.watch, order.order);
    stage.post(&path, &[], "application/jose", payment.wire().to_owned()).await;
    phone.text("[data-testid=movement][data-kind=payment]").await;
    let refund = Refund {
        merchant: stage.cast.merchant,
        bill: bill.bill,
        refund: TransferId::from_bytes([8; 16]),
        amount: cny(450),
        reason: Some(Text::new("Milk was sour").unwrap()),
    };
    stage.app.store().refund(refund, START).await.unwrap();
    let back = phone.text("[data-testid=movement][data-kind=refund]").await;
    assert!(back.contains("Back from") && back.contains("Milk was sour") && back.contains("4.50"), "{back}");
    let available = phone.text("[data-testid=wallet-available]").await;
    assert!(available.contains("168.00"), "{available}");

    // Pocket money: signed in words, and shown with what is left of it.
    phone.click("[data-testid=pocket-new]").await;
    type_into(&phone, "pocket-amount", "20").await;
    let words = phone.text("[data-testid=pocket-words]").await;
    assert!(words.contains("Ming's watch may pay up to") && words.contains("20.00"), "{words}");
    pictures(&phone, "wallet-form").await;
    phone.click("[data-testid=pocket-sign]").await;
    assert!(phone.text("[data-testid=pocket-rule]").await.contains("every week"));
    let book = stage.book().await;
    let rule = book.mandates().next().expect("a rule of the log").mandate.clone();
    assert_eq!((rule.approve, rule.per_week, rule.per_month), (Some(cny(2_000)), Some(cny(2_000)), None));
    pictures(&phone, "wallet").await;

    takes_everything_along(&phone).await;

    // Somebody signs in elsewhere: she reads it at once.
    go(&phone, "#/").await;
    let guardian = book.members().next().expect("the founder").guardian.guardian;
    let expires = START.plus_ms(60 * 60 * 1000);
    let new = NewSession {
        session: SessionId::from_bytes(*Nonce::from_bytes([5; 16]).as_bytes()),
        token: TokenHash(sha256(&TOKEN)),
        of: SessionOf::Guardian { household, guardian },
        device: Text::new("android/chrome").unwrap(),
        expires,
        ends: expires,
    };
    stage.app.store().create_session(new, START.plus_ms(1)).await.unwrap();
    let told = phone.text("[data-testid=signed-in-elsewhere]").await;
    assert!(told.contains("Android \u{b7} Chrome"), "{told}");
    pictures(&phone, "signed-in").await;

    // The other browser, in the dark.
    let dark = ["--blink-settings=preferredColorScheme=0".to_owned()];
    let other = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &dark).await;
    other.client.goto(&format!("{}/app", stage.address)).await.unwrap();
    let kept = phone.client.execute("return JSON.stringify({ ...localStorage })", vec![]).await.unwrap();
    let token = nodpay_core::Bytes::<32, 32>::try_from(TOKEN.to_vec()).unwrap();
    let script = format!(
        "Object.assign(localStorage, JSON.parse({})); document.cookie = 'nodpay_session={token}; path=/'",
        json!(kept.as_str().unwrap())
    );
    other.client.execute(&script, vec![]).await.unwrap();
    other.client.refresh().await.unwrap();
    other.text("[data-testid=balance]").await;
    go(&other, "#/wallet").await;
    other.text("[data-testid=pocket-rule]").await;
    pictures(&other, "wallet-dark").await;
    go(&other, "#/household").await;
    other.until("two devices", "document.querySelectorAll('[data-testid=device]').length === 2").await;
    pictures(&other, "household-dark").await;

    // Signed out there, it asks to sign in again.
    phone.click("[data-testid=signed-in-end]").await;
    phone.until("it is gone", "!document.querySelector('[data-testid=signed-in-elsewhere]')").await;
    other.text("[data-testid=login]").await;

    // A week before the pocket money is over she reads so, and signs it anew.
    for (days, cards) in [(82, 0), (2, 1)] {
        time_passes(&stage, days * DAY_MS, &[&phone]).await;
        let shown = "return document.querySelectorAll('[data-testid=rule-ending]').length";
        assert_eq!(phone.client.execute(shown, vec![]).await.unwrap(), cards, "after {days} days more");
    }
    let card = phone.text("[data-testid=rule-ending]").await;
    assert!(card.contains("“Pocket money” ends on"), "{card}");
    pictures(&phone, "pocket-money-ends").await;
    phone.click("[data-testid=rule-ending]").await;
    phone.click("[data-testid=rule-sign]").await;
    phone.text("[data-testid=rule]").await;
    go(&phone, "#/").await;
    phone.text("[data-testid=balance]").await;
    phone.until("nothing ends", "!document.querySelector('[data-testid=rule-ending]')").await;
    for window in [phone, other] {
        window.client.clone().close().await.unwrap();
    }
}

/// One file; the program checks each purchase in it, with nothing else at hand.
async fn takes_everything_along(phone: &Window) {
    go(phone, "#/household").await;
    phone.click("[data-testid=take-out]").await;
    let file = phone.downloaded(".zip").await;
    let folder = tempfile::tempdir().unwrap();
    zip::ZipArchive::new(Cursor::new(file)).unwrap().extract(folder.path()).unwrap();
    let orders = std::fs::read_dir(folder.path().join("orders")).unwrap().map(|entry| entry.unwrap().path());
    // What a shop gave back lies beside the evidence.
    let (evidence, back): (Vec<_>, Vec<_>) =
        orders.partition(|path| path.to_str().is_some_and(|path| path.ends_with(".evidence.json")));
    assert!(back.len() == 1 && back[0].to_str().is_some_and(|path| path.ends_with(".back.json")), "{back:?}");
    assert_eq!(evidence.len(), 1);
    let mut verify = Command::new(program());
    let said =
        verify.args(["verify", "--anchor"]).arg(folder.path().join("anchor.json")).args(evidence).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("GENUINE  paid"));
}
