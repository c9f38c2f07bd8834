//! A real service on a port of its own, with a clock that stands still, and the cast of `nodpay-testkit` around it.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nodpay_core::{
    Amount, Bill, Entry, MerchantCertificate, NEW_WATCH_COOLING_OFF_MS, Nonce, Order, Timestamp, TransferId,
};
use nodpay_protocol::{AssertionKind, Signer, SoftwareKey, Verified, sign_request, verify_decision};
use nodpay_service::rails::{RailFiles, Rails};
use nodpay_service::{App, Clock, Config, Keep, ManualClock, PushConfig, ServiceKeys, TlsFiles, admin};
use nodpay_store::{Address, InvitationKind, Message, NewInvitation, NewMerchant, Store, TokenHash, TopUp};
use nodpay_testkit::{Cast, Cluster, START, cny};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The one origin of the tests' pages; the cast's passkeys are made for it.
pub(crate) const ORIGIN: &str = "http://localhost:8080";
/// As another service is reached.
pub(crate) const HTTPS_ORIGIN: &str = "https://localhost";
/// What takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const MERCHANT_KEY: [u8; 32] = [0xAB; 32];

pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) base: String,
    pub(crate) clock: ManualClock,
    /// Kept last: everything runs on it.
    runtime: Option<Runtime>,
    server: Option<JoinHandle<()>>,
    folder: TempDir,
    agent: ureq::Agent,
    nonces: Cell<u64>,
}

/// A household of the service, its guardian logged in and its watch enrolled.
pub(crate) struct Household {
    pub(crate) cast: Cast,
    pub(crate) cookie: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) text: String,
    pub(crate) cookie: Option<String>,
    /// The same with its attributes.
    pub(crate) set_cookie: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) content_type: String,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("none")
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.body
    }

    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.content_type, "application/problem+json");
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        self.body
    }
}

/// How a test's service differs from the plain one.
#[derive(Default)]
pub(crate) struct Setup {
    /// The service holds the root key.
    pub(crate) root: Option<SoftwareKey>,
    pub(crate) demo: bool,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) rails: RailFiles,
    /// Push services may be on this machine.
    pub(crate) private_push: bool,
    /// A database and a push key that replicas share.
    pub(crate) shared: Option<(Address, PathBuf)>,
    /// People reach it by HTTPS.
    pub(crate) https: bool,
}

impl TestApp {
    /// A service without households and merchants.
    pub(crate) fn start_with(setup: Setup) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let cast = Cast::new(0);
        let keys =
            ServiceKeys::new(cast.root.public_key(), setup.root, cast.outcome_key, cast.outcome_certificate.wire())
                .expect("keys that fit");
        let own = || (Address::Sqlite(folder.path().join("nodpay.sqlite")), folder.path().join("push.key"));
        let (database, push_key) = setup.shared.unwrap_or_else(own);
        let config = Config {
            database,
            listen: ([127, 0, 0, 1], 0).into(),
            origins: vec![if setup.https { HTTPS_ORIGIN } else { ORIGIN }.to_owned()],
            rp_id: "localhost".to_owned(),
            outcome_key: "in memory".into(),
            root_key: None,
            tls: setup.tls,
            behind_proxy: false,
            rails: setup.rails,
            push: PushConfig {
                key: Some(push_key),
                contact: Some("mailto:ops@example.org".to_owned()),
                private_endpoints: setup.private_push,
            },
            keep: Keep::default(),
            demo: setup.demo,
        };
        let clock = ManualClock::new(START);
        let store = Store::open(&config.database, keys.outcome_signer()).expect("a database");
        let _inside = runtime.enter();
        let rails = Rails::open(&config.rails).expect("rails");
        let app = App::with_rails(config, store, keys, Clock::Manual(clock.clone()), rails);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let server = runtime.spawn({
            let app = app.clone();
            async move { nodpay_service::serve(app, listener).await.expect("serves") }
        });
        drop(_inside);
        Self {
            app,
            base,
            clock,
            runtime: Some(runtime),
            server: Some(server),
            folder,
            agent: agent(),
            nonces: Cell::new(0),
        }
    }

    pub(crate) fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// A service with a certified merchant and one household that has ¥200.00.
    pub(crate) fn furnished() -> (Self, Household) {
        Self::furnished_with(Setup::default())
    }

    pub(crate) fn furnished_with(setup: Setup) -> (Self, Household) {
        let app = Self::start_with(setup);
        app.add_merchant(&Cast::new(0));
        let household = app.add_household(Cast::new(0), 20_000);
        (app, household)
    }

    /// The database as another process opens it.
    pub(crate) fn beside(&self) -> Store {
        let address = Address::Sqlite(self.folder.path().join("nodpay.sqlite"));
        Store::open(&address, self.app.keys().outcome_signer()).expect("the same file")
    }

    /// Changes rows as no transaction of ours does.
    pub(crate) fn tamper(&self, sql: &str) {
        let db = rusqlite::Connection::open(self.folder.path().join("nodpay.sqlite")).expect("the file");
        db.pragma_update(None, "foreign_keys", false).expect("a pragma");
        assert!(db.execute(sql, []).expect("a change") > 0, "{sql}");
    }

    /// Waits for something of the store's.
    #[track_caller]
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.as_ref().expect("running").block_on(limited).expect("it comes in time")
    }

    /// Goes on while the test does something else.
    pub(crate) fn meanwhile<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().expect("running").spawn(task)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.app.now()
    }

    /// The cast's merchant, its till enrolled and certified by the cast's root. Its API key is [`MERCHANT_KEY`].
    pub(crate) fn add_merchant(&self, cast: &Cast) -> Answer {
        let certificate = &cast.certificate;
        let new = NewMerchant {
            merchant: cast.merchant,
            name: certificate.name.clone(),
            mcc: certificate.mcc,
            city: certificate.city.clone(),
            country: certificate.country,
            currency: nodpay_core::Currency::CNY,
            api_key: TokenHash(nodpay_protocol::sha256(&MERCHANT_KEY)),
        };
        let store = self.app.store();
        self.wait(store.add_merchant(new, self.now())).expect("a new merchant");
        let invitation = self.invite(InvitationKind::Till(cast.merchant));
        let enrolled = self.enrol(&invitation, &cast.merchant_key);
        assert_eq!(enrolled.status, 200, "{}", enrolled.text);
        let message = Message { wire: certificate.wire().to_owned(), digest: certificate.digest() };
        let key = cast.merchant_key.public_key();
        self.wait(store.set_merchant_certificate(cast.merchant, key, message, self.now())).expect("certified");
        enrolled
    }

    pub(crate) fn enrol(&self, invitation: &str, key: &SoftwareKey) -> Answer {
        let path = "/api/merchant/enrol";
        let proof = sign_request("POST", path, self.now(), self.nonce(), key).expect("signs");
        let body = json!({ "invitation": invitation, "key": key.public_key(), "proof": proof });
        self.post(path, &[("origin", ORIGIN)], &body)
    }

    /// A token of this kind.
    pub(crate) fn invite(&self, kind: InvitationKind) -> String {
        let token = nodpay_core::Bytes::<32, 32>::try_from(
            [self.nonce().as_bytes().as_slice(), self.nonce().as_bytes().as_slice()].concat(),
        )
        .expect("32 bytes");
        let new = NewInvitation {
            token: TokenHash(nodpay_protocol::sha256(token.as_bytes())),
            kind,
            expires: self.now().plus_ms(admin::INVITATION_LIFE_MS),
        };
        self.wait(self.app.store().create_invitation(new, self.now())).expect("an invitation");
        token.to_string()
    }

    /// Founds the cast's household, pairs its watch and fills its wallet.
    pub(crate) fn add_household(&self, mut cast: Cast, minor: i64) -> Household {
        if self.now() != START {
            // A watch is enrolled at the time it is.
            cast.log.truncate(1);
            let mut watch = cast.enrolled_watch();
            watch.new_watch_cap.until = self.now().plus_ms(NEW_WATCH_COOLING_OFF_MS);
            let entry = cast.next_entry_by(&cast.passkey, self.now(), Entry::EnrolWatch(watch));
            cast.log.push(cast.passkey.assert(AssertionKind::Log, &entry));
        }
        let cookie = self.found(&cast).cookie.expect("a session");
        let pages = self.pages(&cookie);
        let opened = self.post("/api/guardian/pairings", &pages, &json!({})).ok();
        cast.pairing = opened["pairing"].as_str().expect("an id").parse().expect("an id");
        let claim = json!({ "key": cast.watch_key.public_key(), "claim": cast.pairing_claim().wire() });
        let claimed = self.post(&format!("/api/pairings/{}/claim", cast.pairing), &[], &claim).ok();
        assert!(claimed.is_object(), "a watch believes no answer but an object: {claimed}");
        let enrolment = json!({ "entry": cast.log[1], "wearer": cast.wearer_name, "pairing": cast.pairing });
        self.post("/api/guardian/log", &pages, &enrolment).ok();
        let household = Household { cast, cookie };
        if minor > 0 {
            self.top_up(&household, minor);
        }
        household
    }

    pub(crate) fn found(&self, cast: &Cast) -> Answer {
        let invitation = self.invite(InvitationKind::Guardian);
        let body =
            json!({ "invitation": invitation, "entry": cast.log[0], "name": cast.passkey.name, "currency": "CNY" });
        self.post("/api/guardian/found", &[("origin", ORIGIN)], &body)
    }

    pub(crate) fn top_up(&self, household: &Household, minor: i64) {
        let transfer = TransferId::from_bytes(*self.nonce().as_bytes());
        let top_up = TopUp { household: household.cast.household, transfer, amount: cny(minor) };
        self.wait(self.app.store().top_up(top_up, self.now())).expect("topped up");
    }

    /// Never the same twice.
    pub(crate) fn nonce(&self) -> Nonce {
        self.nonces.set(self.nonces.get() + 1);
        let mut bytes = [0xEE; 16];
        bytes[..8].copy_from_slice(&self.nonces.get().to_be_bytes());
        Nonce::from_bytes(bytes)
    }

    // Requests

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call().expect("an answer"))
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send("POST", path, headers, "application/json", body.to_string().as_bytes())
    }

    pub(crate) fn post_wire(&self, path: &str, headers: &[(&str, &str)], wire: &str) -> Answer {
        self.send("POST", path, headers, "application/jose", wire.as_bytes())
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], kind: &str, body: &[u8]) -> Answer {
        let url = format!("{}{path}", self.base);
        let mut request = match method {
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body).expect("an answer"))
    }

    /// What a page of ours sends.
    pub(crate) fn pages<'a>(&self, cookie: &'a str) -> [(&'static str, &'a str); 2] {
        [("origin", ORIGIN), ("cookie", cookie)]
    }

    /// A read with the watch's proof.
    pub(crate) fn watch_get(&self, cast: &Cast, path: &str) -> Answer {
        self.get(path, &[("dpop", &self.proof(cast, path))])
    }

    pub(crate) fn proof(&self, cast: &Cast, path: &str) -> String {
        self.proof_for(cast, "GET", path)
    }

    pub(crate) fn proof_for(&self, cast: &Cast, method: &str, path: &str) -> String {
        sign_request(method, path, self.now(), self.nonce(), &cast.watch_key).expect("signs")
    }

    pub(crate) fn guardian_get(&self, household: &Household, path: &str) -> Answer {
        self.get(path, &[("cookie", &household.cookie)])
    }

    pub(crate) fn merchant_header() -> (&'static str, String) {
        let key = nodpay_core::Bytes::<32, 32>::try_from(MERCHANT_KEY.to_vec()).expect("32 bytes");
        ("authorization", format!("Bearer ndp_{key}"))
    }

    pub(crate) fn merchant_get(&self, path: &str) -> Answer {
        let (name, value) = Self::merchant_header();
        self.get(path, &[(name, &value)])
    }

    pub(crate) fn merchant_post(&self, path: &str, body: &Value) -> Answer {
        let (name, value) = Self::merchant_header();
        self.post(path, &[(name, &value)], body)
    }

    pub(crate) fn post_bill(&self, bill: &Verified<Bill>) -> Answer {
        self.post_merchant_wire(bill.wire())
    }

    pub(crate) fn post_merchant_wire(&self, wire: &str) -> Answer {
        let (name, value) = Self::merchant_header();
        self.post_wire("/api/merchant/bills", &[(name, &value)], wire)
    }

    /// What the simulated parties do, step by step.
    pub(crate) fn place(&self, cast: &Cast, order: &Verified<Order>) -> Answer {
        self.place_wire(cast, order.wire())
    }

    pub(crate) fn place_wire(&self, cast: &Cast, wire: &str) -> Answer {
        self.post_wire(&format!("/api/watch/{}/orders", cast.watch), &[], wire)
    }

    pub(crate) fn decide_wire(&self, household: &Household, order: &Verified<Order>, wire: &str) -> Answer {
        let path = format!("/api/guardian/orders/{}/decision", order.order);
        self.post_wire(&path, &self.pages(&household.cookie), wire)
    }

    pub(crate) fn watch_post(&self, cast: &Cast, order: &Verified<Order>, step: &str, wire: &str) -> Answer {
        self.post_wire(&format!("/api/watch/{}/orders/{}/{step}", cast.watch, order.order), &[], wire)
    }

    /// A bill that was posted and ordered.
    pub(crate) fn ordered(&self, household: &Household, number: u8) -> (Verified<Bill>, Verified<Order>) {
        let bill = household.cast.bill(number);
        self.ordered_bill(household, bill, number)
    }

    pub(crate) fn ordered_bill(
        &self,
        household: &Household,
        bill: Verified<Bill>,
        number: u8,
    ) -> (Verified<Bill>, Verified<Order>) {
        self.post_bill(&bill).ok();
        let order = household.cast.order(&bill, number);
        self.place(&household.cast, &order).ok();
        (bill, order)
    }

    /// Approves all of it, at the cast's own shop.
    pub(crate) fn approve(
        &self,
        household: &Household,
        order: &Verified<Order>,
        bill: &Verified<Bill>,
    ) -> Verified<nodpay_core::Decision> {
        self.approve_at(&household.cast.certificate, household, order, bill)
    }

    /// Approves all of it, at this shop.
    pub(crate) fn approve_at(
        &self,
        shop: &Verified<MerchantCertificate>,
        household: &Household,
        order: &Verified<Order>,
        bill: &Verified<Bill>,
    ) -> Verified<nodpay_core::Decision> {
        let cast = &household.cast;
        let decision = cast.decision_payload(order, bill, None, &[], nodpay_core::Verdict::Approve);
        let wire = cast.sign_decision(&decision);
        self.decide_wire(household, order, &wire).ok();
        verify_decision(&wire, &cast.book(), order, bill, None, shop).expect("sound").0
    }

    /// Everything that a refused request must leave as it was.
    pub(crate) fn snapshot(&self, household: &Household) -> String {
        let store = self.app.store();
        let cast = &household.cast;
        self.wait(async {
            let row = store.household(cast.household).await.expect("reads");
            let orders = store.orders(cast.household, None, 50).await.expect("reads");
            let merchant = store.merchant_balance(cast.merchant).await;
            let events = store.last_merchant_event(cast.merchant).await;
            format!("{row:?}\n{orders:?}\n{merchant:?}\n{events:?}")
        })
    }

    pub(crate) fn balance(&self, household: &Household) -> (i64, i64) {
        let row = self.wait(self.app.store().wallet(household.cast.household)).expect("reads").expect("a wallet");
        (row.wallet.posted().get(), row.wallet.held().get())
    }

    pub(crate) fn order_state(&self, household: &Household, order: &Verified<Order>) -> String {
        let path = format!("/api/guardian/orders/{}", order.order);
        self.guardian_get(household, &path).ok()["state"].as_str().expect("a state").to_owned()
    }

    // Events

    pub(crate) fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Events {
        let agent = agent();
        let mut request = agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.call().expect("an answer");
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("x-accel-buffering"), "no");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut event = Event::default();
            for line in BufReader::new(response.into_body().into_reader()).lines() {
                let Ok(line) = line else { return };
                match line.split_once(": ").unwrap_or((&line, "")) {
                    ("id", id) => event.id = id.parse().expect("a number"),
                    ("event", kind) => event.kind = kind.to_owned(),
                    ("data", data) => event.data = serde_json::from_str(data).expect("JSON"),
                    ("", "") if sender.send(std::mem::take(&mut event)).is_err() => return,
                    _ => {}
                }
            }
        });
        Events { receiver }
    }

    pub(crate) fn follow_watch(&self, cast: &Cast, last: Option<u64>) -> Events {
        let path = format!("/api/watch/{}/events", cast.watch);
        let proof = self.proof(cast, &path);
        match last {
            Some(last) => self.follow(&path, &[("dpop", &proof), ("last-event-id", &last.to_string())]),
            None => self.follow(&path, &[("dpop", &proof)]),
        }
    }

    pub(crate) fn follow_guardian(&self, household: &Household) -> Events {
        self.follow("/api/guardian/events", &[("cookie", &household.cookie)])
    }

    pub(crate) fn follow_merchant(&self) -> Events {
        let (name, value) = Self::merchant_header();
        self.follow("/api/merchant/events", &[(name, &value)])
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.app.stop();
        if let (Some(runtime), Some(server)) = (self.runtime.take(), self.server.take()) {
            let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, server).await });
            runtime.shutdown_background();
        }
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (set_cookie, retry_after) = (header("set-cookie"), header("retry-after"));
    let cookie = set_cookie.as_ref().and_then(|cookie| cookie.split(';').next().map(str::to_owned));
    let content_type = header("content-type").unwrap_or_default();
    let status = response.status().as_u16();
    let text = match content_type.as_str() {
        "text/event-stream" => String::new(), // has no end
        "application/zip" => String::from_utf8_lossy(&response.body_mut().read_to_vec().expect("a file")).into_owned(),
        _ => response.body_mut().read_to_string().expect("a text"),
    };
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, body, text, cookie, set_cookie, retry_after, content_type }
}

#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

pub(crate) struct Events {
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event of any kind; the first one of a stream is its place, without a kind.
    #[track_caller]
    pub(crate) fn next(&self) -> Event {
        self.receiver.recv_timeout(PATIENCE).expect("an event")
    }

    /// The next one of this kind.
    #[track_caller]
    pub(crate) fn wait_for(&self, kind: &str) -> Event {
        loop {
            let event = self.next();
            if event.kind == kind {
                return event;
            }
        }
    }

    /// The same, which comes within `limit`.
    #[track_caller]
    pub(crate) fn wait_within(&self, limit: Duration, kind: &str) -> Event {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.receiver.recv_timeout(left).unwrap_or_else(|_| panic!("no {kind} within {limit:?}"));
            if event.kind == kind {
                return event;
            }
        }
    }

    /// Whether nothing more has come by now.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.receiver.try_recv().is_err()
    }

    /// Whether the stream has ended; waits for it.
    pub(crate) fn ended(&self) -> bool {
        loop {
            match self.receiver.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

/// A new PostgreSQL database, and where a push key for all who work with it may lie.
pub(crate) fn on_postgres() -> ((Address, PathBuf), TempDir) {
    let address = Address::parse(&Cluster::shared().new_database(), 4).expect("a URL");
    let folder = tempfile::tempdir().expect("a folder");
    let push_key = folder.path().join("push.key");
    ((address, push_key), folder)
}

/// Two replicas on one PostgreSQL database, with one push key.
pub(crate) fn replicas() -> (TestApp, TestApp, TempDir) {
    let (shared, folder) = on_postgres();
    let start = || TestApp::start_with(Setup { private_push: true, shared: Some(shared.clone()), ..Setup::default() });
    let one = start();
    until(|| one.wait(one.app.store().push_key()).expect("reads").is_some());
    (one, start(), folder)
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it does not come to that");
        std::thread::yield_now();
    }
}

/// Every answer is read, whatever its status.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_recv_response(Some(PATIENCE)).build().into()
}

/// Replaces the character at `index` of the message's part number `part` by another one of base64url.
pub(crate) fn bend(wire: &str, part: usize, index: usize) -> String {
    let mut parts: Vec<String> = wire.split('.').map(str::to_owned).collect();
    let mut bytes = parts[part].clone().into_bytes();
    bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
    parts[part] = String::from_utf8(bytes).expect("ASCII");
    parts.join(".")
}

/// A passkey's signature over other authenticator data or client data than an honest authenticator would make.
pub(crate) fn resign(assertion: &mut nodpay_protocol::Assertion, key: &SoftwareKey) {
    let mut signed = assertion.authenticator_data.clone();
    signed.extend_from_slice(&nodpay_protocol::sha256(&assertion.client_data));
    let fixed = key.sign(&signed).expect("signs");
    let integer = |bytes: &[u8]| {
        let magnitude: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let pad = usize::from(magnitude.first().is_some_and(|byte| *byte >= 0x80));
        let len = u8::try_from(magnitude.len() + pad).expect("short");
        [vec![2, len], vec![0; pad], magnitude].concat()
    };
    let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    assertion.signature = [vec![0x30, u8::try_from(body.len()).expect("short")], body].concat();
}

/// Logs the cast's guardian in.
pub(crate) fn login(app: &TestApp, cast: &Cast) -> Answer {
    let challenge = app.post("/api/guardian/login-challenge", &[("origin", ORIGIN)], &json!({})).ok();
    let challenge: nodpay_core::Bytes<32, 32> = challenge["challenge"].as_str().expect("text").parse().expect("bytes");
    let assertion = cast.passkey.assert_bytes(AssertionKind::Login, challenge.as_bytes().to_vec());
    app.post("/api/guardian/login", &[("origin", ORIGIN)], &json!({ "assertion": assertion.to_wire() }))
}

pub(crate) fn amount(value: &Value) -> Amount {
    serde_json::from_value(value.clone()).expect("an amount")
}

/// A request that needs nothing of the test's app, for threads.
pub(crate) fn post_from_thread(url: &str, headers: &[(String, String)], wire: &str) -> Answer {
    let agent = agent();
    let mut request = agent.post(url).header("content-type", "application/jose");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    read(request.send(wire).expect("an answer"))
}

pub(crate) fn get_from_thread(url: &str) -> Answer {
    read(ureq::get(url).call().expect("an answer"))
}
