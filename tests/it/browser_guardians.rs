//! Two guardians, each with a browser and an authenticator of their own, on a service whose clock the test moves. The watch and
//! the shop are programs.

use nodpay_core::{GUARDIAN_COOLING_OFF_MS, OrderId, PairingId, RECOVERY_DELAY_MS, TransferId};
use nodpay_protocol::{
    Kind, LogBook, PairingClaim, PairingCode, RelyingParty, Signer as _, sha256, sign, sign_request,
};
use nodpay_service::rails::{RailFiles, Rails};
use nodpay_service::{App, Clock, Config, Keep, ManualClock, PushConfig, ServiceKeys};
use nodpay_store::{Address, InvitationKind, Message, NewInvitation, NewMerchant, Store, TokenHash, TopUp};
use nodpay_testkit::{Cast, START, cny};
use nodpay_watch::reader::read_code;
use serde_json::{Value, json};

use crate::axe::assert_accessible;
use crate::browser::Window;

const API_KEY: [u8; 32] = [0x42; 32];

/// The service in this process, the shop, and the household's watch.
pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) clock: ManualClock,
    pub(crate) address: String,
    pub(crate) cast: Cast,
    server: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::open_with(RailFiles::default(), PushConfig::default()).await
    }

    pub(crate) async fn open_with(rails: RailFiles, push: PushConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cast = Cast::new(0);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let outcome_key = nodpay_testkit::key(2);
        let keys =
            ServiceKeys::new(cast.root.public_key(), None, outcome_key, cast.outcome_certificate.wire()).unwrap();
        let config = Config {
            database: Address::Sqlite(folder.path().join("nodpay.sqlite")),
            listen: ([127, 0, 0, 1], 0).into(),
            origins: vec![address.clone()],
            rp_id: "localhost".to_owned(),
            outcome_key: "in memory".into(),
            root_key: None,
            tls: None,
            behind_proxy: false,
            rails,
            push,
            keep: Keep::default(),
            demo: false,
        };
        cast.passkey.rp =
            RelyingParty { rp_id: config.rp_id.clone(), origins: config.origins.clone(), demo_keys: false };
        let clock = ManualClock::new(START);
        let store = Store::open(&config.database, keys.outcome_signer()).unwrap();
        let rails = Rails::open(&config.rails).unwrap();
        let app = App::with_rails(config, store, keys, Clock::Manual(clock.clone()), rails);
        let server = tokio::spawn({
            let app = app.clone();
            async move { nodpay_service::serve(app, listener).await.unwrap() }
        });
        let stage = Self { app, clock, address, cast, server, _folder: folder };
        stage.open_shop().await;
        stage
    }

    async fn open_shop(&self) {
        let certificate = &self.cast.certificate;
        let new = NewMerchant {
            merchant: self.cast.merchant,
            name: certificate.name.clone(),
            mcc: certificate.mcc,
            city: certificate.city.clone(),
            country: certificate.country,
            currency: nodpay_core::Currency::CNY,
            api_key: TokenHash(sha256(&API_KEY)),
        };
        let store = self.app.store();
        store.add_merchant(new, START).await.unwrap();
        let invitation = self.invitation(InvitationKind::Till(self.cast.merchant), 1).await;
        let (path, nonce) = ("/api/merchant/enrol", nodpay_core::Nonce::from_bytes([9; 16]));
        let proof = sign_request("POST", path, START, nonce, &self.cast.merchant_key).unwrap();
        let key = self.cast.merchant_key.public_key();
        let body = json!({ "invitation": invitation, "key": key, "proof": proof });
        self.post(path, &[("origin", &self.address)], "application/json", body.to_string()).await;
        let message = Message { wire: certificate.wire().to_owned(), digest: certificate.digest() };
        store.set_merchant_certificate(self.cast.merchant, key, message, START).await.unwrap();
    }

    /// A token of this kind, in an invitation's text form.
    pub(crate) async fn invitation(&self, kind: InvitationKind, seed: u8) -> String {
        let token = nodpay_core::Bytes::<32, 32>::try_from(vec![seed; 32]).unwrap();
        let hash = TokenHash(sha256(token.as_bytes()));
        let expires = START.plus_ms(60 * 60 * 1000);
        self.app.store().create_invitation(NewInvitation { token: hash, kind, expires }, START).await.unwrap();
        token.to_string()
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], kind: &str, body: String) -> Value {
        let address = format!("{}{path}", self.address);
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let kind = kind.to_owned();
        let answer = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut request = agent.post(&address).header("content-type", &kind);
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let mut answer = request.send(body).unwrap();
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
        });
        let (status, text) = answer.await.unwrap();
        assert!(status < 300, "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The watch claims the pairing whose code the phone shows.
    pub(crate) async fn claim(&mut self, code: &PairingCode) {
        let key = self.cast.watch_key.public_key();
        let (pairing, household, watch): (PairingId, _, _) = (code.pairing, code.household, self.cast.watch);
        let proof = code.secret.prove(pairing, household, watch, &key);
        let claim = PairingClaim { v: nodpay_core::V1, pairing, household, watch, key, proof };
        let claim = sign(Kind::PairingClaim, claim, &self.cast.watch_key).unwrap();
        let body = json!({ "key": key, "claim": claim.wire() }).to_string();
        self.post(&format!("/api/pairings/{pairing}/claim"), &[], "application/json", body).await;
        self.cast.household = household;
    }

    /// The log as everybody folds it.
    pub(crate) async fn book(&mut self) -> LogBook {
        let log = self.app.store().log(self.cast.household, 0).await.unwrap();
        self.cast.log = log.into_iter().map(|entry| entry.wire).collect();
        self.cast.book()
    }

    /// In this window a guardian founds the household, pairs the watch, and finds ¥200.00 in the wallet.
    pub(crate) async fn found(&mut self, window: &Window) {
        let invitation = self.invitation(InvitationKind::Guardian, 2).await;
        window.client.goto(&format!("{}/join#{invitation}", self.address)).await.unwrap();
        type_into(window, "guardian-name", "Ma").await;
        assert_accessible(window, "joining").await;
        window.click("[data-testid=join]").await;
        window.text("[data-testid=pair-first-watch]").await;
        assert_accessible(window, "joined").await;
        window.click("[data-testid=pair-first-watch]").await;
        let picture = window.canvas("[data-testid=pairing-code] canvas").await;
        assert_accessible(window, "pairing code").await;
        let code = PairingCode::parse(&read_code(&picture).expect("a code")).expect("a pairing code");
        self.claim(&code).await;
        type_into(window, "wearer-name", "Ming").await;
        assert_accessible(window, "pairing digits").await;
        window.click("[data-testid=pair-confirm]").await;
        window.text("[data-testid=paired]").await;
        assert_accessible(window, "paired").await;
        let transfer = TransferId::from_bytes([7; 16]);
        let top_up = TopUp { household: self.cast.household, transfer, amount: cny(20_000) };
        self.app.store().top_up(top_up, START).await.unwrap();
    }

    /// The shop sells, the watch orders.
    pub(crate) async fn order(&mut self, number: u8) {
        self.cast.wearer = self.book().await.watch(self.cast.watch).unwrap().wearer;
        let bill = self.cast.bill(number);
        let key = format!("Bearer ndp_{}", base64_url(&API_KEY));
        self.post("/api/merchant/bills", &[("authorization", &key)], "application/jose", bill.wire().to_owned()).await;
        let order = self.cast.order(&bill, number);
        let path = format!("/api/watch/{}/orders", self.cast.watch);
        self.post(&path, &[], "application/jose", order.wire().to_owned()).await;
    }
}

pub(crate) fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) async fn go(window: &Window, hash: &str) {
    window.client.execute(&format!("location.hash = '{hash}'"), vec![]).await.unwrap();
}

pub(crate) async fn type_into(window: &Window, testid: &str, text: &str) {
    window.text(&format!("[data-testid={testid}]")).await;
    let script = format!(
        "const field = document.querySelector('[data-testid={testid}]'); field.value = {}; \
         field.dispatchEvent(new Event('input', {{ bubbles: true }}))",
        json!(text)
    );
    window.client.execute(&script, vec![]).await.unwrap();
}

/// Some time later they have logged in again: sessions are shorter.
pub(crate) async fn time_passes(stage: &Stage, ms: i64, windows: &[&Window]) {
    stage.clock.advance_ms(ms + 5 * 60 * 1000);
    for window in windows {
        window.client.goto(&format!("{}/app", stage.address)).await.unwrap();
        window.client.refresh().await.unwrap();
        window.click("[data-testid=login]").await;
        window.text("[data-testid=balance]").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_guardians_share_a_household_in_two_browsers() {
    let mut stage = Stage::open().await;
    let address = stage.address.clone();
    let open = async || Window::with(tempfile::tempdir().unwrap(), address.clone(), None, &[]).await;
    let (ma, ba) = (open().await, open().await);

    // Mama founds the household and pairs the watch.
    stage.found(&ma).await;

    let founder = stage.book().await.members().next().expect("the founder").guardian.guardian;

    // She is reminded of the codes until they are made.
    go(&ma, "#/").await;
    ma.click("[data-testid=codes-reminder]").await;
    ma.text("[data-testid=codes-make]").await;
    assert_accessible(&ma, "codes").await;
    ma.click("[data-testid=codes-make]").await;
    let codes = ma.text("[data-testid=code-list]").await;
    assert_eq!(codes.lines().filter(|line| line.contains('-')).count(), 6, "{codes}");
    assert_accessible(&ma, "new codes").await;
    ma.click("[data-testid=codes-sign]").await;
    ma.until("they are good", "document.querySelector('.notice.good')").await;
    go(&ma, "#/").await;
    ma.until("no reminder", "!document.querySelector('[data-testid=codes-reminder]')").await;

    // Baba is invited: both compare the digits, she signs.
    go(&ma, "#/invite").await;
    ma.canvas("[data-testid=invitation-code] canvas").await;
    assert_accessible(&ma, "invitation").await;
    let link = ma.client.execute("return document.querySelector('[data-testid=invitation-link]').value", vec![]).await;
    ba.client.goto(link.unwrap().as_str().expect("a link")).await.unwrap();
    type_into(&ba, "guardian-name", "Ba").await;
    assert_accessible(&ba, "newcomer").await;
    ba.click("[data-testid=claim]").await;
    let digits = ba.text("[data-testid=check-digits]").await;
    assert_eq!(ma.text("[data-testid=check-digits]").await, digits);
    assert!(ma.text("[data-testid=newcomer-name]").await.contains("Ba"));
    assert_accessible(&ma, "invitation digits").await;
    assert_accessible(&ba, "newcomer digits").await;
    ma.click("[data-testid=invite-confirm]").await;
    ma.text("[data-testid=invited]").await;
    assert_accessible(&ma, "invited").await;
    ba.click("[data-testid=to-app]").await;
    ba.text("[data-testid=login]").await;
    assert_accessible(&ba, "login").await;
    ba.click("[data-testid=login]").await;
    ba.text("[data-testid=balance]").await;

    // Both get the order; he answers, and her page says so at once.
    stage.order(1).await;
    for window in [&ma, &ba] {
        go(window, "#/").await;
        window.text("[data-testid=waiting-order]").await;
        assert_accessible(window, "home with an order").await;
        window.click("[data-testid=waiting-order]").await;
        window.text("[data-testid=approve]").await;
    }
    assert_accessible(&ba, "order").await;
    ma.click("[data-testid^=strike-]").await;
    assert_accessible(&ma, "order with a strike").await;
    ma.click("[data-testid=refuse]").await;
    assert_accessible(&ma, "refusal").await;
    ba.click("[data-testid=approve]").await;
    ba.text("[data-testid=decided-by], [data-testid=outcome]").await;
    let told = ma.text("[data-testid=decided-by]").await;
    assert!(told.starts_with("Ba answered") && told.ends_with("approved"), "{told}");
    assert_accessible(&ma, "order that another answered").await;

    // He is new: he removes no watch, and says so much himself.
    go(&ba, "#/household").await;
    ba.click("[data-testid=remove-watch]").await;
    assert_accessible(&ba, "household").await;
    ba.click("[data-testid=remove-confirm]").await;
    ba.until("it is refused", "document.querySelector('.notice.bad')?.textContent.includes('You are new here')").await;
    assert!(stage.cast.book().watch(stage.cast.watch).is_some());

    // One tap of his stops everything, and she reads who did it.
    ba.click("[data-testid=freeze]").await;
    assert!(ba.text("[data-testid=frozen]").await.contains("You stopped"));
    let frozen = ma.text("[data-testid=frozen]").await;
    assert!(frozen.contains("Ba stopped all payments"), "{frozen}");
    assert_accessible(&ma, "frozen").await;

    // A day later he counts: to let payments go on takes both.
    time_passes(&stage, GUARDIAN_COOLING_OFF_MS, &[&ma, &ba]).await;
    ma.click("[data-testid=unfreeze]").await;
    ma.text("[data-testid=needs-two]").await;
    ma.click("[data-testid=guardians-sign]").await;
    ma.until("it is proposed", "document.querySelector('[data-testid=frozen] a')").await;
    ba.click("[data-testid=proposal-card]").await;
    ba.text("[data-testid=second]").await;
    assert_accessible(&ba, "guardians").await;
    ba.click("[data-testid=second]").await;
    ba.click("[data-testid=guardians-sign]").await;
    for window in [&ma, &ba] {
        window
            .until(
                "payments go on",
                "document.querySelector('[data-testid=freeze]') && !document.querySelector('[data-testid=frozen]')",
            )
            .await;
    }
    assert_eq!(stage.app.store().household(stage.cast.household).await.unwrap().unwrap().freeze, None);

    // The pages of rules and the doors to all pages are for everybody too.
    go(&ma, "#/rules").await;
    ma.text("[data-testid=rule-new]").await;
    assert_accessible(&ma, "rules").await;
    ma.click("[data-testid=rule-new]").await;
    type_into(&ma, "rule-name", "Snacks").await;
    type_into(&ma, "rule-approve", "10").await;
    ma.click("[data-testid=rule-hours-add]").await;
    ma.text("[data-testid=rule-words]").await;
    assert_accessible(&ma, "rule").await;
    ma.client.goto(&stage.address).await.unwrap();
    ma.text("nav.doors a").await;
    assert_accessible(&ma, "start").await;
    ma.client.goto(&format!("{}/app", stage.address)).await.unwrap();

    // Now he may remove the watch.
    go(&ba, "#/household").await;
    ba.click("[data-testid=remove-watch]").await;
    ba.click("[data-testid=remove-confirm]").await;
    ba.until("it is gone", "!document.querySelector('[data-testid=remove-watch]')").await;

    // A lost phone comes back by a printed code, after two days in which she is told.
    let new = open().await;
    new.client.goto(&format!("{}/recover", stage.address)).await.unwrap();
    new.text("[data-testid=recovery-code]").await;
    assert_accessible(&new, "recover").await;
    let code = codes.lines().find(|line| line.contains('-')).expect("a code").to_lowercase().replace('-', " ");
    type_into(&new, "recovery-code", &code.replace('1', "l")).await;
    new.click("[data-testid=recovery-start]").await;
    type_into(&new, "guardian-name", "Nai").await;
    new.click("[data-testid=recover]").await;
    new.text("[data-testid=recovering]").await;
    assert_accessible(&new, "recovering").await;
    go(&ma, "#/").await;
    let told = ma.text("[data-testid^=recovery-]").await;
    assert!(told.contains("Nai becomes a guardian"), "{told}");
    time_passes(&stage, RECOVERY_DELAY_MS, &[&new, &ma]).await;

    // She lost it for good: it is removed, and he hears of his in time to object.
    go(&new, "#/guardians").await;
    new.until("three guardians", "document.querySelectorAll('[data-testid=guardian]').length === 3").await;
    new.click("[data-testid=guardian][data-own=false] [data-testid=remove-guardian]").await;
    new.click("[data-testid=guardians-sign]").await;
    new.text("[data-testid=leaving]").await;
    let book = stage.book().await;
    let leaving = book.members().find(|member| member.leaving.is_some()).expect("one leaves").guardian.guardian;
    let concerned = if leaving == founder { &ma } else { &ba };
    if leaving != founder {
        time_passes(&stage, 0, &[&ba]).await;
    }
    concerned.click("[data-testid=leaving-card]").await;
    concerned.click("[data-testid=object]").await;
    concerned.click("[data-testid=guardians-sign]").await;
    new.until("it is stopped", "!document.querySelector('[data-testid=leaving]')").await;
    for window in [ma, ba, new] {
        window.client.clone().close().await.unwrap();
    }
}

/// One tap stops the payments from any page; where that does not work, the page says so.
#[tokio::test(flavor = "multi_thread")]
async fn any_page_stops_payments_or_says_that_it_did_not() {
    const NO_WAY: &str = "const real = window.fetch; \
        window.fetch = (path, ...rest) => (String(path).endsWith('/freeze') ? Promise.reject(new TypeError()) : real(path, ...rest))";
    let mut stage = Stage::open().await;
    let ma = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    stage.found(&ma).await;
    stage.order(1).await;
    go(&ma, "#/").await;
    ma.text("[data-testid=waiting-order]").await;
    ma.client.execute(NO_WAY, vec![]).await.unwrap();
    let order = format!("order/{}", OrderId::from_bytes([1; 16]));
    for page in
        ["home", &order, "household", "guardians", "settings", "pair", "invite", "codes", "rules", "history", "wallet"]
    {
        go(&ma, &format!("#/{page}")).await;
        let view = page.split('/').next().unwrap_or(page);
        ma.until(page, &format!("document.getElementById('page').dataset.view === '{view}'")).await;
        ma.click("[data-testid=freeze]").await;
        let said = ma.text("[data-testid=freeze-failed]").await;
        assert!(said.contains("may not be stopped") && said.contains("No connection"), "{page}: {said}");
    }
    assert_accessible(&ma, "a stop that failed").await;

    // The month's page has no script for it: not without a session, and with one at the first tap.
    let month = format!("{}/app/month/2026-11?lang=en", stage.address);
    ma.client.goto(&month).await.unwrap();
    ma.text("[data-testid=month-spent]").await;
    ma.client.delete_all_cookies().await.unwrap();
    ma.click("[data-testid=freeze]").await;
    ma.text("[data-testid=to-app]").await;
    let said = ma.text("main").await;
    assert!(said.contains("may not be stopped") && said.contains("Please log in"), "{said}");
    assert_accessible(&ma, "the month's stop that failed").await;
    ma.click("[data-testid=to-app]").await;
    ma.click("[data-testid=login]").await;
    ma.text("[data-testid=balance]").await;
    ma.client.goto(&month).await.unwrap();
    ma.click("[data-testid=freeze]").await;
    let frozen = ma.text("[data-view=home] [data-testid=frozen]").await;
    assert!(frozen.contains("You stopped all payments"), "{frozen}");
    assert!(stage.app.store().household(stage.cast.household).await.unwrap().unwrap().freeze.is_some());
    ma.client.goto(&month).await.unwrap();
    assert!(ma.text("[data-testid=frozen]").await.contains("All payments are stopped"));
    assert!(ma.client.find(fantoccini::Locator::Css("[data-testid=freeze]")).await.is_err());
    assert_accessible(&ma, "the month of a household that is stopped").await;
    ma.client.close().await.unwrap();
}
