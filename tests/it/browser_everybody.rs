//! Every page, in each of its states, in English and 中文, light and dark, is one that everybody can use (`axe`). A page of the
//! app or the service that no walk here comes to fails [`every_page_is_judged`].

use std::collections::BTreeSet;

use nodpay_core::{GUARDIAN_COOLING_OFF_MS, Order, OrderId};
use nodpay_protocol::{PairingCode, Verified};
use nodpay_service::PushConfig;
use nodpay_service::rails::RailFiles;
use nodpay_store::InvitationKind;
use nodpay_watch::reader::read_code;

use crate::axe::assert_accessible;
use crate::browser::{Window, order_bread, settled};
use crate::browser_guardians::{Stage, go, time_passes, type_into};
use crate::pictures::speak;

/// Orders of the cast's watch are over after this.
const ORDER_LIFE_MS: i64 = 11 * 60_000;

/// The page of a guardian's that is not the app's.
const MONTH: &str = "/app/month";

/// What is judged, and the page that it is a state of: a path, or within the guardian's app what follows `#/`.
type Places = &'static [(&'static str, &'static str)];

const COMING_IN: Places = &[
    ("start", "/"),
    ("login", "/app"),
    ("join without an invitation", "/join"),
    ("join", "/join"),
    ("joined", "/join"),
    ("newcomer without an invitation", "/newcomer"),
    ("newcomer", "/newcomer"),
    ("newcomer's digits", "/newcomer"),
    ("recover", "/recover"),
    ("recover, code", "/recover"),
    ("till that is not enrolled", "/till"),
    ("pairing code", "#pair"),
    ("pairing digits", "#pair"),
    ("paired", "#pair"),
    ("home that asks about notifications", "#home"),
    ("codes", "#codes"),
    ("new codes", "#codes"),
    ("invitation", "#invite"),
    ("invitation digits", "#invite"),
    ("invited", "#invite"),
    ("guardians, one new", "#guardians"),
    ("household", "#household"),
    ("household, a watch to remove", "#household"),
    ("wallet, empty", "#wallet"),
    ("history, empty", "#history"),
    ("rules, none", "#rules"),
    ("a rule", "#rules"),
    ("a rule, tested", "#rules"),
    ("rules", "#rules"),
    ("a rule to end", "#rules"),
    ("home, no connection", "#home"),
    ("offline", "/app"),
];

const DECIDING: Places = &[
    ("settings", "#settings"),
    ("settings, changed", "#settings"),
    ("rules, the household's", "#rules"),
    ("guardians, away", "#guardians"),
    ("home with an order", "#home"),
    ("order of two", "#order"),
    ("order, a line struck", "#order"),
    ("order, refusal", "#order"),
    ("order, suggestion", "#order"),
    ("order, nodded once", "#order"),
    ("home, a nod is missing", "#home"),
    ("order, to be seconded", "#order"),
    ("order, approved", "#order"),
    ("order, paid", "#order"),
    ("order, refused with a suggestion", "#order"),
    ("order, asked again in part", "#order"),
    ("order, cancelled", "#order"),
    ("order, expired", "#order"),
    ("order that is nobody's", "#order"),
    ("frozen", "#home"),
    ("guardians, lifting the stop", "#guardians"),
    ("order, failed", "#order"),
    ("guardians, a proposal", "#guardians"),
    ("history", "#history"),
    ("history, filters", "#history"),
    ("history, nothing found", "#history"),
    ("wallet", "#wallet"),
    ("wallet, pocket money", "#wallet"),
    ("month", MONTH),
    ("home with a history", "#home"),
];

const DEMO: Places = &[("demo", "/demo"), ("till, basket", "/till"), ("till, code", "/till")];

/// One walk through its places.
struct Walk {
    places: Places,
    judged: BTreeSet<&'static str>,
}

impl Walk {
    fn through(places: Places) -> Self {
        Self { places, judged: BTreeSet::new() }
    }

    /// Judges what the window shows in both languages.
    async fn judge(&mut self, window: &Window, name: &'static str) {
        self.is_at(window, name).await;
        for language in ["zh", "en"] {
            speak(window, language).await;
            assert_accessible(window, &format!("{name}, {language}")).await;
        }
    }

    /// Judges a page that is in a language of its own.
    async fn judge_as_it_is(&mut self, window: &Window, name: &'static str) {
        self.is_at(window, name).await;
        assert_accessible(window, name).await;
    }

    async fn is_at(&mut self, window: &Window, name: &'static str) {
        let (_, place) =
            self.places.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}: where?"));
        let shown = "return document.getElementById('page')?.dataset.view ?? ''";
        let view = window.client.execute(shown, vec![]).await.unwrap();
        let path = window.client.current_url().await.unwrap().path().to_owned();
        match place.strip_prefix('#') {
            Some(page) => assert_eq!((path.as_str(), view.as_str()), ("/app", Some(page)), "{name}"),
            None => assert!(path == *place || path.starts_with(&format!("{place}/")), "{name}: {path}"),
        }
        if place.starts_with('#') || *place == MONTH {
            let stops = "document.querySelector('[data-testid=freeze], [data-testid=frozen]')?.checkVisibility()";
            window.until(&format!("{name}: one tap stops payments, or they are stopped"), stops).await;
        }
        self.judged.insert(name);
    }

    fn ends(self) {
        let places: BTreeSet<&str> = self.places.iter().map(|(name, _)| *name).collect();
        assert_eq!(self.judged, places, "each place is judged");
    }
}

/// Every page that the app's router and the service's know has a place in a walk.
#[test]
fn every_page_is_judged() {
    let judged: BTreeSet<&str> = [COMING_IN, DECIDING, DEMO].into_iter().flatten().map(|(_, place)| *place).collect();
    let source = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let between = |text: &str, start: &str, end: &str| {
        let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start}"));
        rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0.to_owned()
    };
    let app = source("crates/service/assets/js/app.js");
    let fetched = between(&app, "const FETCHED = {", "};");
    let fetched = fetched.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| format!("#{name}"));
    let own = between(&app, "page in FETCHED ||", "? page");
    let own =
        own.split("page === \"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| format!("#{name}"));
    let routes = nodpay_service::PAGE_ROUTES.iter().map(|route| route.path);
    // Files, not pages; the offline page is judged at the place where the browser shows it.
    let files = ["/static/{*path}", "/sw.js", "/manifest.webmanifest", "/offline/{version}/{*path}"];
    let pages =
        routes.filter(|path| !files.contains(path)).map(|path| path.split("/{").next().unwrap_or(path).to_owned());
    let known: BTreeSet<String> = fetched.chain(own).chain(pages).chain([MONTH.to_owned()]).collect();
    assert!(known.len() > 12, "the routers are read: {known:?}");
    let judged: BTreeSet<String> = judged.into_iter().map(str::to_owned).collect();
    assert_eq!(judged, known, "each page is judged, and each judged one is a page");
}

async fn opened() -> (Stage, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(folder.path().join("push.key"));
    let push = PushConfig { key, contact: None, private_endpoints: true };
    (Stage::open_with(RailFiles::default(), push).await, folder)
}

async fn window(stage: &Stage) -> Window {
    Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await
}

async fn visit(stage: &Stage, window: &Window, path: &str) {
    window.client.goto(&format!("{}{path}", stage.address)).await.unwrap();
    window.until("a page", "document.querySelector('h1') && !document.querySelector('[data-view=starting]')").await;
}

/// An empty household, as its first guardian comes in and looks around.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_comes_in_and_looks_around() {
    let mut walk = Walk::through(COMING_IN);
    let (mut stage, _folder) = opened().await;
    let (ma, ba) = (window(&stage).await, window(&stage).await);
    for (path, name) in [
        ("/", "start"),
        ("/app", "login"),
        ("/join", "join without an invitation"),
        ("/newcomer", "newcomer without an invitation"),
        ("/recover", "recover"),
        ("/till", "till that is not enrolled"),
    ] {
        visit(&stage, &ma, path).await;
        walk.judge(&ma, name).await;
    }
    visit(&stage, &ma, "/recover").await;
    type_into(&ma, "recovery-code", "ABCDE").await;
    ma.click("[data-testid=recovery-start]").await;
    ma.text(".notice.bad").await;
    walk.judge(&ma, "recover, code").await;

    let invitation = stage.invitation(InvitationKind::Guardian, 2).await;
    visit(&stage, &ma, &format!("/join#{invitation}")).await;
    type_into(&ma, "guardian-name", "Ma").await;
    walk.judge(&ma, "join").await;
    ma.click("[data-testid=join]").await;
    ma.text("[data-testid=pair-first-watch]").await;
    let codes = ma.client.execute("return document.querySelector('[data-testid=join-codes]').hash", vec![]).await;
    assert_eq!(codes.unwrap(), "#/codes", "who has one phone only needs them");
    walk.judge(&ma, "joined").await;
    ma.click("[data-testid=pair-first-watch]").await;
    let picture = ma.canvas("[data-testid=pairing-code] canvas").await;
    walk.judge(&ma, "pairing code").await;
    stage.claim(&PairingCode::parse(&read_code(&picture).expect("a code")).expect("a pairing code")).await;
    type_into(&ma, "wearer-name", "Ming").await;
    walk.judge(&ma, "pairing digits").await;
    ma.click("[data-testid=pair-confirm]").await;
    ma.text("[data-testid=paired]").await;
    walk.judge(&ma, "paired").await;
    go(&ma, "#/").await;
    ma.text("[data-testid=push-prompt]").await;
    walk.judge(&ma, "home that asks about notifications").await;

    go(&ma, "#/codes").await;
    ma.text("[data-testid=codes-make]").await;
    walk.judge(&ma, "codes").await;
    ma.click("[data-testid=codes-make]").await;
    ma.text("[data-testid=code-list]").await;
    walk.judge(&ma, "new codes").await;
    go(&ma, "#/invite").await;
    ma.canvas("[data-testid=invitation-code] canvas").await;
    walk.judge(&ma, "invitation").await;
    let link = ma.client.execute("return document.querySelector('[data-testid=invitation-link]').value", vec![]).await;
    ba.client.goto(link.unwrap().as_str().expect("a link")).await.unwrap();
    type_into(&ba, "guardian-name", "Ba").await;
    walk.judge(&ba, "newcomer").await;
    ba.click("[data-testid=claim]").await;
    ba.text("[data-testid=check-digits]").await;
    walk.judge(&ba, "newcomer's digits").await;
    ma.text("[data-testid=check-digits]").await;
    walk.judge(&ma, "invitation digits").await;
    ma.click("[data-testid=invite-confirm]").await;
    ma.text("[data-testid=invited]").await;
    walk.judge(&ma, "invited").await;
    ba.client.clone().close().await.unwrap();

    go(&ma, "#/guardians").await;
    ma.text("[data-testid=not-counting]").await;
    walk.judge(&ma, "guardians, one new").await;
    go(&ma, "#/household").await;
    for part in ["push-card", "take-out", "sessions"] {
        ma.text(&format!("[data-testid={part}]")).await;
    }
    walk.judge(&ma, "household").await;
    ma.click("[data-testid=remove-watch]").await;
    ma.text("[data-testid=remove-confirm]").await;
    walk.judge(&ma, "household, a watch to remove").await;
    go(&ma, "#/wallet").await;
    ma.text("[data-testid=wallet-available]").await;
    walk.judge(&ma, "wallet, empty").await;
    go(&ma, "#/history").await;
    ma.text("[data-testid=history-none]").await;
    walk.judge(&ma, "history, empty").await;

    go(&ma, "#/rules").await;
    ma.text("[data-testid=rule-new]").await;
    walk.judge(&ma, "rules, none").await;
    ma.click("[data-testid=rule-new]").await;
    type_into(&ma, "rule-name", "Snacks").await;
    type_into(&ma, "rule-approve", "10").await;
    ma.click("[data-testid=rule-hours-add]").await;
    ma.text("[data-testid=rule-words]").await;
    walk.judge(&ma, "a rule").await;
    ma.click("[data-testid=rule-test]").await;
    ma.until("tested", "document.querySelector('main').textContent.includes('There was no order')").await;
    walk.judge(&ma, "a rule, tested").await;
    ma.click("[data-testid=rule-sign]").await;
    ma.text("[data-testid=rule]").await;
    walk.judge(&ma, "rules").await;
    ma.click("[data-testid=rule-end]").await;
    ma.text("[data-testid=rule-end-confirm]").await;
    walk.judge(&ma, "a rule to end").await;

    // The service goes away: first the open page says so, then one that is opened.
    go(&ma, "#/").await;
    ma.until("the service worker", "navigator.serviceWorker.controller").await;
    stage.app.stop();
    ma.text("[data-testid=offline]").await;
    walk.judge(&ma, "home, no connection").await;
    ma.client.goto(&format!("{}/app?again", stage.address)).await.unwrap();
    ma.text("[data-testid=offline-page]").await;
    walk.judge_as_it_is(&ma, "offline").await;
    ma.client.clone().close().await.unwrap();
    walk.ends();
}

impl Stage {
    /// She founds the household, he joins it, and a day later both count.
    async fn is_shared_by(&mut self, ma: &Window, ba: &Window) {
        self.found(ma).await;
        go(ma, "#/invite").await;
        ma.canvas("[data-testid=invitation-code] canvas").await;
        let link = "return document.querySelector('[data-testid=invitation-link]').value";
        let link = ma.client.execute(link, vec![]).await.unwrap();
        ba.client.goto(link.as_str().expect("a link")).await.unwrap();
        type_into(ba, "guardian-name", "Ba").await;
        ba.click("[data-testid=claim]").await;
        ma.text("[data-testid=check-digits]").await;
        ma.click("[data-testid=invite-confirm]").await;
        ma.text("[data-testid=invited]").await;
        ba.text("[data-testid=to-app]").await;
        time_passes(self, GUARDIAN_COOLING_OFF_MS, &[ma, ba]).await;
    }

    /// An order of the first line alone of an earlier order's bill.
    fn part_of(&self, number: u8, earlier: u8) -> Verified<Order> {
        let bill = self.cast.bill(earlier);
        let without = bill.lines.iter().skip(1).map(|line| line.id.clone()).collect();
        self.cast.sign_order(Order { without, ..self.cast.order_payload(&bill, number) })
    }
}

async fn opens_order(window: &Window) {
    go(window, "#/").await;
    window.click("[data-testid=waiting-order]").await;
    window.text("[data-testid=approve]").await;
}

async fn ended(window: &Window, outcome: &str) {
    let script = format!("document.querySelector('[data-testid=outcome]')?.dataset.outcome === '{outcome}'");
    window.until(outcome, &script).await;
}

/// Two guardians decide about orders, until each has ended in its own way.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_decides_and_looks_back() {
    let mut walk = Walk::through(DECIDING);
    let (mut stage, _folder) = opened().await;
    let (ma, ba) = (window(&stage).await, window(&stage).await);
    stage.is_shared_by(&ma, &ba).await;

    go(&ma, "#/settings").await;
    ma.text("[data-testid=house-sign]").await;
    walk.judge(&ma, "settings").await;
    type_into(&ma, "house-two", "30").await;
    type_into(&ma, "house-per_week", "250").await;
    ma.text("[data-testid=house-words]").await;
    walk.judge(&ma, "settings, changed").await;
    ma.click("[data-testid=house-sign]").await;
    ma.text("[data-testid=house-rules]").await;
    walk.judge(&ma, "rules, the household's").await;
    go(&ba, "#/guardians").await;
    ba.click("[data-testid=away-go]").await;
    ba.text("[data-testid=away-card]").await;
    walk.judge(&ba, "guardians, away").await;

    stage.order(1).await;
    go(&ma, "#/").await;
    ma.text("[data-testid=waiting-order]").await;
    walk.judge(&ma, "home with an order").await;
    opens_order(&ma).await;
    ma.text("[data-testid=two-nods]").await;
    let week = ma.text("[data-testid=spent-house-week]").await;
    assert!(week.contains("All watches this week") && week.contains("cap ¥250.00"), "{week}");
    walk.judge(&ma, "order of two").await;
    ma.click("[data-testid=strike-3]").await;
    walk.judge(&ma, "order, a line struck").await;
    ma.click("[data-testid=strike-3]").await;
    ma.click("[data-testid=refuse]").await;
    ma.text("[data-testid=refuse-confirm]").await;
    walk.judge(&ma, "order, refusal").await;
    ma.click("[data-testid=suggest]").await;
    ma.text("[data-testid=suggestion]").await;
    walk.judge(&ma, "order, suggestion").await;
    ma.click("[data-testid=refuse-cancel]").await;
    ma.click("[data-testid=approve]").await;
    ma.text("[data-testid=first-nod]").await;
    walk.judge(&ma, "order, nodded once").await;
    go(&ba, "#/").await;
    ba.text("[data-testid=waiting-nod]").await;
    walk.judge(&ba, "home, a nod is missing").await;
    opens_order(&ba).await;
    walk.judge(&ba, "order, to be seconded").await;
    ba.click("[data-testid=approve]").await;
    ended(&ba, "approved").await;
    walk.judge(&ba, "order, approved").await;
    stage.pay(1).await;
    ended(&ba, "paid").await;
    walk.judge(&ba, "order, paid").await;

    // Refused with a suggestion, which the child asks for.
    stage.order(2).await;
    opens_order(&ma).await;
    ma.click("[data-testid=refuse]").await;
    ma.click("[data-testid=suggest]").await;
    ma.click("[data-testid=suggest-only]").await;
    ma.click("[data-testid=only-3]").await;
    ma.click("[data-testid=refuse-confirm]").await;
    ended(&ma, "refused").await;
    ma.text("[data-testid=step-suggestion]").await;
    walk.judge(&ma, "order, refused with a suggestion").await;
    let part = stage.part_of(3, 2);
    let orders = format!("/api/watch/{}/orders", stage.cast.watch);
    stage.post(&orders, &[], "application/jose", part.wire().to_owned()).await;
    opens_order(&ma).await;
    ma.text("[data-testid=asked-again]").await;
    walk.judge(&ma, "order, asked again in part").await;
    let cancel = stage.cast.cancel(&part);
    stage.post(&format!("{orders}/{}/cancel", part.order), &[], "application/jose", cancel.wire().to_owned()).await;
    ended(&ma, "cancelled").await;
    assert_eq!(ma.text("[data-testid=final-total]").await, "¥8.50", "what was asked for");
    assert!(ma.text("[data-testid=step-suggestion]").await.contains("You suggested instead: Just"));
    walk.judge(&ma, "order, cancelled").await;
    stage.order(4).await;
    opens_order(&ma).await;
    stage.clock.advance_ms(ORDER_LIFE_MS);
    ended(&ma, "expired").await;
    walk.judge(&ma, "order, expired").await;
    go(&ma, &format!("#/order/{}", OrderId::from_bytes([0x99; 16]))).await;
    ma.text("main.order .notice").await;
    walk.judge(&ma, "order that is nobody's").await;

    // Stopped, an order fails; two let payments go on.
    go(&ma, "#/").await;
    ma.click("[data-testid=freeze]").await;
    ma.text("[data-testid=frozen]").await;
    walk.judge(&ma, "frozen").await;
    stage.order(5).await;
    go(&ma, &format!("#/order/{}", OrderId::from_bytes([5; 16]))).await;
    ended(&ma, "failed").await;
    walk.judge(&ma, "order, failed").await;
    go(&ma, "#/guardians").await;
    ma.click("[data-testid=unfreeze]").await;
    ma.text("[data-testid=needs-two]").await;
    walk.judge(&ma, "guardians, lifting the stop").await;
    ma.click("[data-testid=guardians-sign]").await;
    ma.until("it is proposed", "document.querySelector('[data-testid=frozen] a')").await;
    go(&ba, "#/guardians").await;
    ba.text("[data-testid=second]").await;
    walk.judge(&ba, "guardians, a proposal").await;

    go(&ma, "#/").await;
    ma.text("[data-testid=past-order]").await;
    walk.judge(&ma, "home with a history").await;
    go(&ma, "#/history").await;
    ma.until("all", "document.querySelectorAll('[data-testid=history-found] > li').length === 5").await;
    walk.judge(&ma, "history").await;
    ma.click("[data-testid=history-filters]").await;
    ma.click("[data-testid=history-export]").await;
    walk.judge(&ma, "history, filters").await;
    type_into(&ma, "history-text", "piano").await;
    ma.text("[data-testid=history-none]").await;
    walk.judge(&ma, "history, nothing found").await;
    go(&ma, "#/wallet").await;
    ma.text("[data-testid=movement][data-kind=payment]").await;
    walk.judge(&ma, "wallet").await;
    ma.click("[data-testid=pocket-new]").await;
    type_into(&ma, "pocket-amount", "20").await;
    ma.text("[data-testid=pocket-words]").await;
    walk.judge(&ma, "wallet, pocket money").await;
    for language in ["zh", "en"] {
        let month = format!("{}/app/month/2027-01?lang={language}&tz=Asia/Shanghai", stage.address);
        ma.client.goto(&month).await.unwrap();
        ma.text("[data-testid=month-spent]").await;
        walk.judge_as_it_is(&ma, "month").await;
    }
    for window in [ma, ba] {
        window.client.clone().close().await.unwrap();
    }
    walk.ends();
}

/// The demo on one screen, and the till as a shop has it.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_sells_and_tries_it_out() {
    let mut walk = Walk::through(DEMO);
    let window = settled().await;
    order_bread(&window, true).await;
    window.watch_says("Waiting for a nod").await;
    window.page().await;
    walk.judge(&window, "demo").await;
    window.client.goto(&window.address.replace("/demo", "/till")).await.unwrap();
    window.click("[data-testid=good-bread]").await;
    walk.judge(&window, "till, basket").await;
    window.click("[data-testid=charge]").await;
    window.text("[data-testid=till-code] canvas").await;
    walk.judge(&window, "till, code").await;
    window.client.close().await.unwrap();
    walk.ends();
}
