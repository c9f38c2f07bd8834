//! Two guardians in two browsers decide about deciding: above an amount both must nod, and one refusal ends it. The watch and the
//! shop are programs.

use nodpay_core::{GUARDIAN_COOLING_OFF_MS, OrderState, OutcomeKind, TransferId};
use nodpay_protocol::{PairingCode, verify_decision, verify_first_nod};
use nodpay_store::{InvitationKind, OrderRow, TopUp};
use nodpay_testkit::{START, cny};
use nodpay_watch::reader::read_code;

use crate::browser::Window;
use crate::browser_guardians::{Stage, go, time_passes, type_into};

impl Stage {
    pub(crate) async fn row(&self, number: u8) -> OrderRow {
        let order = self.cast.order(&self.cast.bill(number), number).order;
        self.app.store().order(self.cast.household, order).await.unwrap().expect("it was placed")
    }

    /// The watch checks both nods against its log, and pays.
    pub(crate) async fn pay(&mut self, number: u8) {
        let book = self.book().await;
        let bill = self.cast.bill(number);
        let row = self.row(number).await;
        let watch = self.cast.watch;
        let order = nodpay_protocol::verify_order(&row.message.wire, &book, watch, &bill).unwrap();
        let decision = row.decision.expect("decided").wire;
        let (decision, ..) = verify_decision(&decision, &book, &order, &bill, None, &self.cast.certificate).unwrap();
        let first = row.first.map(|first| first.wire);
        let first =
            verify_first_nod(&decision, first.as_deref(), &book, &order, &bill, None, &self.cast.certificate).unwrap();
        assert!(first.is_some_and(|first| first.guardian != decision.guardian), "two persons");
        let payment = self.cast.payment(&order, &decision);
        let path = format!("/api/watch/{watch}/orders/{}/payment", order.order);
        self.post(&path, &[], "application/jose", payment.wire().to_owned()).await;
    }
}

/// As wide as a small phone, and as high as the page.
async fn portrait(window: &Window, name: &str) {
    let height = "return Math.max(640, document.documentElement.scrollHeight + 140)";
    window.client.set_window_size(360, 740).await.unwrap();
    let height = window.client.execute(height, vec![]).await.unwrap().as_u64().unwrap_or(740);
    window.client.set_window_size(360, u32::try_from(height).unwrap_or(740)).await.unwrap();
    window.picture(name).await;
    window.client.set_window_size(1500, 1250).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_guardians_nod_in_two_browsers_and_the_watch_pays() {
    let mut stage = Stage::open().await;
    let address = stage.address.clone();
    let ma = Window::with(tempfile::tempdir().unwrap(), address.clone(), None, &[]).await;
    let dark = ["--blink-settings=preferredColorScheme=0".to_owned()];
    let ba = Window::with(tempfile::tempdir().unwrap(), address.clone(), None, &dark).await;

    // A household of two, and its watch.
    let invitation = stage.invitation(InvitationKind::Guardian, 2).await;
    ma.client.goto(&format!("{address}/join#{invitation}")).await.unwrap();
    type_into(&ma, "guardian-name", "Ma").await;
    ma.click("[data-testid=join]").await;
    ma.click("[data-testid=pair-first-watch]").await;
    let picture = ma.canvas("[data-testid=pairing-code] canvas").await;
    stage.claim(&PairingCode::parse(&read_code(&picture).expect("a code")).expect("a pairing code")).await;
    type_into(&ma, "wearer-name", "Ming").await;
    ma.click("[data-testid=pair-confirm]").await;
    ma.text("[data-testid=paired]").await;
    let (household, amount) = (stage.cast.household, cny(20_000));
    let top_up = TopUp { household, transfer: TransferId::from_bytes([7; 16]), amount };
    stage.app.store().top_up(top_up, START).await.unwrap();
    go(&ma, "#/invite").await;
    ma.canvas("[data-testid=invitation-code] canvas").await;
    let link = ma.client.execute("return document.querySelector('[data-testid=invitation-link]').value", vec![]).await;
    ba.client.goto(link.unwrap().as_str().expect("a link")).await.unwrap();
    type_into(&ba, "guardian-name", "Ba").await;
    ba.click("[data-testid=claim]").await;
    ma.text("[data-testid=check-digits]").await;
    ma.click("[data-testid=invite-confirm]").await;
    ma.text("[data-testid=invited]").await;
    ba.click("[data-testid=to-app]").await;
    ba.click("[data-testid=login]").await;
    ba.text("[data-testid=balance]").await;

    // Alone she cannot ask for two.
    go(&ma, "#/settings").await;
    type_into(&ma, "house-two", "30").await;
    ma.until("it needs a second", "document.querySelector('.notice')?.textContent.includes('Add one first')").await;
    time_passes(&stage, GUARDIAN_COOLING_OFF_MS, &[&ma, &ba]).await;

    // A day later she makes it stricter, alone.
    go(&ma, "#/settings").await;
    type_into(&ma, "house-two", "30").await;
    type_into(&ma, "house-per_week", "250").await;
    ma.until(
        "she reads it",
        "document.querySelector('[data-testid=house-words]')?.textContent.includes('two guardians')",
    )
    .await;
    portrait(&ma, "settings").await;
    ma.click("[data-testid=house-sign]").await;
    let rules = ma.text("[data-testid=house-rules]").await;
    assert!(rules.contains("¥30.00 two guardians must nod"), "{rules}");
    portrait(&ma, "house-rules").await;
    assert!(stage.book().await.house_rules(u64::MAX).wants_two_nods(cny(3_001)));

    // He says to be away; she sees it, and he is one of two still.
    go(&ba, "#/guardians").await;
    ba.client.execute("localStorage.setItem('nodpay.language', 'zh')", vec![]).await.unwrap();
    ba.client.refresh().await.unwrap();
    ba.click("[data-testid=away-go]").await;
    ba.text("[data-testid=away-card]").await;
    portrait(&ba, "away-zh-dark").await;
    go(&ma, "#/guardians").await;
    assert!(ma.text("[data-testid=away]").await.contains("Away until"));

    // She nods first; nothing is held, and his page says so at once.
    stage.order(1).await;
    for window in [&ma, &ba] {
        go(window, "#/").await;
        window.click("[data-testid=waiting-order]").await;
        window.text("[data-testid=approve]").await;
    }
    assert!(ma.text("[data-testid=two-nods]").await.contains("Two guardians must nod"));
    assert!(ma.text("[data-testid=away-note]").await.contains("Ba is away until"));
    ma.click("[data-testid=approve]").await;
    let own = ma.text("[data-testid=first-nod]").await;
    assert!(own.contains("You nodded at") && own.contains("one more nod needed"), "{own}");
    ma.until("she nods once", "!document.querySelector('[data-testid=approve]')").await;
    portrait(&ma, "first-nod").await;
    assert!(matches!(stage.row(1).await.state, OrderState::Waiting { .. }));
    let told = ba.text("[data-testid=first-nod]").await;
    assert!(told.contains("Ma") && told.contains("还需一位"), "{told}");
    ba.until("the same lines", "!document.querySelector('.strike')").await;
    portrait(&ba, "second-nod-zh-dark").await;
    ba.click("[data-testid=approve]").await;
    ba.text("[data-testid=step-first]").await;
    ma.text("[data-testid=step-first]").await;
    assert!(matches!(stage.row(1).await.state, OrderState::Approved { .. }));
    stage.pay(1).await;
    for window in [&ma, &ba] {
        window.until("it is paid", "document.querySelector('[data-testid=outcome]')?.dataset.outcome === 'paid'").await;
    }
    portrait(&ma, "paid-by-two").await;

    // Another: she nods, he refuses, and that is the end.
    stage.order(2).await;
    go(&ma, "#/").await;
    ma.click("[data-testid=waiting-order]").await;
    ma.click("[data-testid=strike-3]").await;
    ma.click("[data-testid=strike-4]").await;
    ma.click("[data-testid=strike-3]").await;
    ma.click("[data-testid=approve]").await;
    ma.text("[data-testid=first-nod]").await;
    go(&ba, "#/").await;
    ba.text("[data-testid=waiting-nod]").await;
    portrait(&ba, "home-zh-dark").await;
    ba.click("[data-testid=away-back]").await;
    ba.until("he is back", "!document.querySelector('[data-testid=away-card]')").await;
    ba.click("[data-testid=waiting-order]").await;
    ba.until("what she struck is struck", "document.querySelector('[data-testid=line-4].struck')").await;
    ba.click("[data-testid=refuse]").await;
    ba.click("[data-testid=refuse-confirm]").await;
    for window in [&ma, &ba] {
        window
            .until("it is refused", "document.querySelector('[data-testid=outcome]')?.dataset.outcome === 'refused'")
            .await;
    }
    let row = stage.row(2).await;
    assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Refused });

    // To loosen it takes both.
    go(&ba, "#/settings").await;
    type_into(&ba, "house-two", "").await;
    ba.text("[data-testid=needs-two]").await;
    portrait(&ba, "settings-zh-dark").await;
    ba.click("[data-testid=house-sign]").await;
    go(&ma, "#/").await;
    ma.click("[data-testid=proposal-card]").await;
    ma.click("[data-testid=second]").await;
    portrait(&ma, "proposal").await;
    ma.click("[data-testid=guardians-sign]").await;
    ma.until("nothing is open", "!document.querySelector('[data-testid=proposal]')").await;
    assert!(!stage.book().await.house_rules(u64::MAX).wants_two_nods(cny(1_000_000)));
    for window in [ma, ba] {
        window.client.clone().close().await.unwrap();
    }
}
