//! Waking phones, with a push service on this machine that reads what it is sent as the phone would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use nodpay_core::{Bytes, PublicKey, Verdict};
use nodpay_protocol::{sha256, verify_decision};
use nodpay_testkit::Cast;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::app::{Answer, Household, Setup, TestApp, login, replicas, until};
use crate::nods::{above, deciding_with, nods, send};

const PATIENCE: Duration = Duration::from_secs(10);
/// A phone rings within this after the watch has asked.
const PROMISED: Duration = Duration::from_secs(2);

/// One message as it came.
struct Received {
    phone: String,
    headers: HeaderMap,
    body: Vec<u8>,
    at: Instant,
}

type Answers = Arc<Mutex<VecDeque<(u16, &'static str)>>>;

/// What it is answered: a status and, where that is not empty, `Retry-After`.
struct PushService {
    address: String,
    received: mpsc::Receiver<Received>,
    answers: Answers,
    _runtime: Runtime,
}

impl PushService {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (send, received) = mpsc::channel();
        let answers = Answers::default();
        let routes =
            Router::new().route("/send/{phone}", axum::routing::post(take)).with_state((send, Arc::clone(&answers)));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { address, received, answers, _runtime: runtime }
    }

    fn answers(&self, next: &[(u16, &'static str)]) {
        self.answers.lock().expect("whole").extend(next);
    }

    #[track_caller]
    fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("a message")
    }

    fn has_nothing_more(&self) -> bool {
        self.received.try_recv().is_err()
    }
}

async fn take(
    State((send, answers)): State<(mpsc::Sender<Received>, Answers)>,
    Path(phone): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let at = Instant::now();
    let (status, wait) = answers.lock().expect("whole").pop_front().unwrap_or((201, ""));
    send.send(Received { phone, headers, body: body.to_vec(), at }).expect("the test listens");
    let status = StatusCode::from_u16(status).expect("a status");
    if wait.is_empty() { status.into_response() } else { (status, [("retry-after", wait)]).into_response() }
}

/// A browser's subscription, and what it would decrypt with.
struct Phone {
    name: &'static str,
    secret: p256::SecretKey,
    auth: [u8; 16],
}

impl Phone {
    fn new(name: &'static str) -> Self {
        let seed = sha256(name.as_bytes());
        let auth = seed[..16].try_into().expect("16 bytes");
        Self { name, secret: p256::SecretKey::from_slice(&seed).expect("a scalar"), auth }
    }

    fn endpoint(&self, service: &PushService) -> String {
        format!("{}/send/{}", service.address, self.name)
    }

    fn public(&self) -> PublicKey {
        PublicKey::try_from(self.secret.public_key().to_sec1_point(false).as_bytes()).expect("a point")
    }

    fn subscription(&self, service: &PushService, detail: Option<&str>) -> Value {
        let auth = Bytes::<16, 16>::try_from(self.auth.to_vec()).expect("16 bytes");
        let mut body =
            json!({ "endpoint": self.endpoint(service), "p256dh": self.public(), "auth": auth, "language": "zh" });
        if let Some(detail) = detail {
            body["detail"] = json!(detail);
        }
        body
    }

    fn subscribes(&self, service: &PushService, app: &TestApp, cookie: &str, detail: Option<&str>) -> Answer {
        app.post("/api/guardian/push", &app.pages(cookie), &self.subscription(service, detail))
    }

    /// RFC 8291, from the receiver's side and with another library's curve.
    fn reads(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert_eq!(u32::from_be_bytes(size.try_into().expect("4 bytes")), 4_096);
        let (id_len, rest) = rest.split_first().expect("a length");
        let (sender, sealed) = rest.split_at(usize::from(*id_len));
        let point = p256::PublicKey::from_sec1_bytes(sender).expect("a point");
        let scalar = self.secret.to_nonzero_scalar();
        let shared = (point.to_projective() * *scalar).to_affine().to_sec1_point(false);
        let shared = shared.x().expect("a point").to_vec();
        let info = [b"WebPush: info\0".as_slice(), self.public().as_bytes(), sender].concat();
        let keying: [u8; 32] = expand(&self.auth, &shared, &info);
        let key: [u8; 16] = expand(salt, &keying, b"Content-Encoding: aes128gcm\0");
        let nonce: [u8; 12] = expand(salt, &keying, b"Content-Encoding: nonce\0");
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("a key"));
        let mut text = sealed.to_vec();
        let text =
            cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text).expect("sealed for it");
        let end = text.iter().rposition(|byte| *byte != 0).expect("a delimiter");
        assert_eq!(text[end], 2, "the last record");
        serde_json::from_slice(&text[..end]).expect("JSON")
    }
}

/// HKDF with SHA-256 by its definition (RFC 5869), for less than one block.
fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; N] {
    let hmac = |key: &[u8], parts: &[&[u8]]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        ring::hmac::sign(&key, &parts.concat())
    };
    let block = hmac(hmac(salt, &[secret]).as_ref(), &[info, &[1]]);
    block.as_ref()[..N].try_into().expect("short")
}

fn started() -> (PushService, TestApp, Household) {
    let (app, household) = TestApp::furnished_with(Setup { private_push: true, ..Setup::default() });
    (PushService::start(), app, household)
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
}

#[test]
fn an_order_wakes_the_phone_within_two_seconds() {
    let (service, app, household) = started();
    let phone = Phone::new("one");
    let subscribed = phone.subscribes(&service, &app, &household.cookie, None).ok();
    assert_eq!(subscribed, json!({ "detail": "plain" }));

    let bill = household.cast.bill(1);
    app.post_bill(&bill).ok();
    let order = household.cast.order(&bill, 1);
    let asked = Instant::now();
    app.place(&household.cast, &order).ok();
    let answered = asked.elapsed();
    let received = service.next();
    let took = received.at.duration_since(asked);
    println!("order answered after {answered:?}, at the push service after {took:?}");
    assert!(took < PROMISED, "{took:?}");

    // Whom it is for, how long it is worth anything, and that a newer one takes its place.
    assert_eq!(received.phone, "one");
    assert_eq!(header(&received, "content-encoding"), "aes128gcm");
    assert_eq!(header(&received, "urgency"), "high");
    assert_eq!(header(&received, "topic"), order.order.to_string());
    assert_eq!(header(&received, "ttl"), "600", "the order's ten minutes");

    // RFC 8292: signed by the key that the phone subscribed with, for this push service, not for long.
    let key = app.guardian_get(&household, "/api/guardian/push").ok()["key"].as_str().expect("a key").to_owned();
    let vapid = header(&received, "authorization").strip_prefix("vapid t=").expect("its scheme");
    let (token, public) = vapid.split_once(", k=").expect("token and key");
    assert_eq!(public, key);
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let read = |part: &str| part.parse::<Bytes<1, 4096>>().expect("base64url").as_bytes().to_vec();
    let known = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, read(&key));
    known.verify(signed.as_bytes(), &read(signature)).expect("the service's signature");
    let claims: Value = serde_json::from_slice(&read(signed.split_once('.').expect("two parts").1)).expect("JSON");
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!(service.address), &json!("mailto:ops@example.org")));
    let left_s = claims["exp"].as_i64().expect("a time") - app.now().unix_ms() / 1_000;
    assert!((1..=24 * 60 * 60).contains(&left_s), "{left_s}");

    // Nothing but that something waits.
    let note = phone.reads(&received.body);
    let open = format!("#/order/{}", order.order);
    let expected = json!({
        "v": 1, "kind": "order", "lang": "zh", "tag": order.order, "open": open, "at": app.now(),
    });
    assert_eq!(note, expected);

    // How it ends takes its place; a decision by itself wakes nobody.
    let cast = &household.cast;
    let decision = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
    app.decide_wire(&household, &order, &cast.sign_decision(&decision)).ok();
    let received = service.next();
    let note = phone.reads(&received.body);
    assert_eq!(
        (&note["kind"], &note["word"], &note["tag"]),
        (&json!("outcome"), &json!("refused"), &json!(order.order))
    );
    assert_eq!(
        (header(&received, "topic"), header(&received, "urgency")),
        (order.order.to_string().as_str(), "normal")
    );
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

#[test]
fn a_guardian_chooses_how_much_is_shown() {
    let (service, app, household) = started();
    let (total, items) = (Phone::new("total"), Phone::new("items"));
    total.subscribes(&service, &app, &household.cookie, Some("total")).ok();
    items.subscribes(&service, &app, &household.cookie, Some("items")).ok();
    // The choice stays when the phone says that it is still there.
    assert_eq!(items.subscribes(&service, &app, &household.cookie, None).ok(), json!({ "detail": "items" }));

    let (bill, _) = app.ordered(&household, 1);
    let cast = &household.cast;
    let (wearer, shop) = (cast.wearer_name.name.as_str(), cast.certificate.name.as_str());
    let names: Vec<&str> = bill.lines.iter().map(|line| line.name.as_str()).collect();
    for _ in 0..2 {
        let received = service.next();
        let phone = if received.phone == "total" { &total } else { &items };
        let note = phone.reads(&received.body);
        assert_eq!((&note["name"], &note["shop"]), (&json!(wearer), &json!(shop)));
        assert_eq!(note["total"]["minor"], json!(bill.total));
        let expected = if received.phone == "items" { json!(names) } else { Value::Null };
        assert_eq!(note["items"], expected);
    }
}

/// Where two must nod, the first nod wakes the other guardian, with no item of it whatever the phone shows else.
#[test]
fn one_nod_wakes_the_guardian_whose_nod_is_missing() {
    let setup = Setup { private_push: true, ..Setup::default() };
    let (app, household, first, second) = deciding_with(setup, above(3_000));
    let service = PushService::start();
    let (one, other, plain) = (Phone::new("one"), Phone::new("other"), Phone::new("plain"));
    one.subscribes(&service, &app, &first.cookie, Some("items")).ok();
    other.subscribes(&service, &app, &second.cookie, Some("items")).ok();
    plain.subscribes(&service, &app, &second.cookie, None).ok();
    let (bill, order) = app.ordered(&household, 1);
    let mut asked = [service.next().phone, service.next().phone, service.next().phone];
    asked.sort();
    assert_eq!(asked, ["one", "other", "plain"]);

    let [nod, seconding] = nods(&app, &household, (&order, &bill), &second);
    send(&app, &first, &order, &nod).ok();
    for _ in 0..2 {
        let received = service.next();
        assert_eq!((header(&received, "topic"), header(&received, "urgency")), (&*order.order.to_string(), "high"));
        let phone = if received.phone == "other" { &other } else { &plain };
        let note = phone.reads(&received.body);
        assert_eq!((&note["kind"], &note["tag"]), (&json!("nod"), &json!(order.order)));
        assert_eq!((&note["open"], &note["items"]), (&json!(format!("#/order/{}", order.order)), &Value::Null));
        let told = if received.phone == "other" { (json!(bill.total), json!("妈妈")) } else { Default::default() };
        assert_eq!((note["total"]["minor"].clone(), note["name"].clone()), told, "{note}");
    }
    // The second nod is told to nobody: what comes next is how it ended.
    send(&app, &second, &order, &seconding).ok();
    let cast = &household.cast;
    let view = app.guardian_get(&household, &format!("/api/guardian/orders/{}", order.order)).ok();
    let wire = view["decision"].as_str().expect("a decision");
    let (decision, ..) = verify_decision(wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    for _ in 0..3 {
        let received = service.next();
        let phone = [&one, &other, &plain].into_iter().find(|phone| phone.name == received.phone).expect("known");
        assert_eq!(phone.reads(&received.body)["kind"], "outcome");
    }
}

#[test]
fn a_phone_that_is_gone_is_forgotten() {
    let (service, app, household) = started();
    let (gone, lost) = (Phone::new("gone"), Phone::new("lost"));
    for (phone, status) in [(&gone, 410), (&lost, 404)] {
        phone.subscribes(&service, &app, &household.cookie, None).ok();
        service.answers(&[(status, "")]);
        let tried = app.post(
            "/api/guardian/push/test",
            &app.pages(&household.cookie),
            &json!({ "endpoint": phone.endpoint(&service) }),
        );
        tried.refused(404, "push-unknown");
        service.next();
    }
    assert_eq!(app.wait(app.app.store().wakeable(household.cast.household)), Ok(false));

    // The same for what an order sends; the other phone stays.
    let stays = Phone::new("stays");
    stays.subscribes(&service, &app, &household.cookie, None).ok();
    gone.subscribes(&service, &app, &household.cookie, None).ok();
    service.answers(&[(410, ""), (410, "")]);
    app.ordered(&household, 1);
    assert_eq!([service.next().phone, service.next().phone].len(), 2);
    let (store, home) = (app.app.store(), household.cast.household);
    until(|| app.wait(store.wakeable(home)) == Ok(false));
    assert!(service.has_nothing_more());
}

#[track_caller]
#[test]
fn a_push_service_that_wants_time_gets_it() {
    let (service, app, household) = started();
    let (phone, other) = (Phone::new("slow"), Phone::new("other"));
    phone.subscribes(&service, &app, &household.cookie, None).ok();
    let neighbour = app.add_household(Cast::new(1), 20_000);
    other.subscribes(&service, &app, &neighbour.cookie, None).ok();

    service.answers(&[(429, "45")]);
    app.ordered(&household, 1);
    assert_eq!(service.next().phone, "slow");
    let (asked, store) = (app.now(), app.app.store());
    until(|| app.wait(store.push_work(asked)).expect("reads").1 == Some(asked.plus_ms(45_000)));

    // Not a moment earlier; what comes meanwhile is not kept waiting by it.
    app.clock.advance_ms(44_999);
    let bill = household.cast.bill(2);
    app.post_bill(&bill).ok();
    app.place(&neighbour.cast, &neighbour.cast.order(&bill, 2)).ok();
    assert_eq!(service.next().phone, "other");
    assert!(service.has_nothing_more());

    service.answers(&[(503, "")]);
    app.clock.advance_ms(1);
    let received = service.next();
    assert_eq!((received.phone.as_str(), header(&received, "ttl")), ("slow", "555"));
    // Without a wish, it waits a little longer each time: 2 seconds after the second try.
    let asked = app.now();
    until(|| app.wait(store.push_work(asked)).expect("reads").1 == Some(asked.plus_ms(2_000)));
    app.clock.advance_ms(2_000);
    assert_eq!(phone.reads(&service.next().body)["kind"], "order");
    until(|| app.wait(store.push_work(app.now())).expect("reads").1.is_none());
}

#[test]
fn nothing_is_sent_into_the_operators_network() {
    let (app, household) = TestApp::furnished();
    let phone = Phone::new("one");
    let service = PushService::start();
    let pages = app.pages(&household.cookie);
    for endpoint in [
        service.address.as_str(),
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://10.0.0.7/x",
        "https://169.254.169.254/latest/meta-data",
        "https://metadata.google.internal:8080/x",
        "http://push.example.org/x",
        "https://user:pass@push.example.org/x",
        "file:///etc/passwd",
        "",
    ] {
        let mut body = phone.subscription(&service, None);
        body["endpoint"] = json!(endpoint);
        app.post("/api/guardian/push", &pages, &body).refused(422, "push-endpoint");
        app.clock.advance_ms(3_000);
    }
    // A name that leads home passes for one on the internet, until it is to be connected to.
    let mut body = phone.subscription(&service, None);
    body["endpoint"] = json!("https://localtest.localhost/x");
    app.post("/api/guardian/push", &pages, &body).ok();
    app.post("/api/guardian/push/test", &pages, &json!({ "endpoint": body["endpoint"] }))
        .refused(502, "push-not-taken");
    assert!(service.has_nothing_more());
}

#[test]
fn phones_leave_with_their_guardian() {
    let (service, app, household) = started();
    let phone = Phone::new("one");
    let store = app.app.store();
    let home = household.cast.household;
    // A second session of the same guardian, on another phone.
    let elsewhere = login(&app, &household.cast).cookie.expect("a session");
    phone.subscribes(&service, &app, &elsewhere, None).ok();
    app.post("/api/guardian/logout", &app.pages(&household.cookie), &json!({})).ok();
    assert_eq!(app.wait(store.wakeable(home)), Ok(true), "the other phone logged out");
    app.post("/api/guardian/logout", &app.pages(&elsewhere), &json!({})).ok();
    assert_eq!(app.wait(store.wakeable(home)), Ok(false));

    // Somebody else's phone is not theirs to try or to take away.
    let again = login(&app, &household.cast).cookie.expect("a session");
    phone.subscribes(&service, &app, &again, None).ok();
    let stranger = app.add_household(Cast::new(1), 0);
    let named = json!({ "endpoint": phone.endpoint(&service) });
    app.post("/api/guardian/push/test", &app.pages(&stranger.cookie), &named).refused(404, "push-unknown");
    app.post("/api/guardian/push/remove", &app.pages(&stranger.cookie), &named).ok();
    assert_eq!(app.wait(store.wakeable(home)), Ok(true));
    app.post("/api/guardian/push/test", &app.pages(&again), &named).ok();
    assert_eq!(phone.reads(&service.next().body)["kind"], "test");
    app.post("/api/guardian/push/remove", &app.pages(&again), &named).ok();
    assert_eq!(app.wait(store.wakeable(home)), Ok(false));
}

#[test]
fn two_replicas_wake_a_phone_once() {
    let (one, two, _folder) = replicas();
    one.add_merchant(&Cast::new(0));
    let household = one.add_household(Cast::new(0), 20_000);
    let (service, phone) = (PushService::start(), Phone::new("one"));
    let home = household.cast.household;
    // The other replica learns that there is a phone now.
    assert_eq!(one.wait(one.app.store().wakeable(home)), Ok(false));
    phone.subscribes(&service, &two, &household.cookie, None).ok();
    until(|| one.wait(one.app.store().wakeable(home)) == Ok(true));

    let (bill, order) = one.ordered(&household, 1);
    assert_eq!(phone.reads(&service.next().body)["kind"], "order");
    let decision = one.approve(&household, &order, &bill);
    let payment = household.cast.payment(&order, &decision);
    two.watch_post(&household.cast, &order, "payment", payment.wire()).ok();
    let note = phone.reads(&service.next().body);
    assert_eq!((&note["kind"], &note["word"]), (&json!("outcome"), &json!("paid")));
    assert!(service.has_nothing_more());

    // A replica that dies leaves what it could not send to the other.
    service.answers(&[(503, "")]);
    let bill = household.cast.bill(2);
    one.post_bill(&bill).ok();
    one.place(&household.cast, &household.cast.order(&bill, 2)).ok();
    assert_eq!(phone.reads(&service.next().body)["kind"], "order");
    let due = |app: &TestApp| app.wait(app.app.store().push_work(app.now())).expect("reads").1;
    until(|| due(&two) == Some(two.now().plus_ms(1_000)));
    drop(one);
    two.clock.advance_ms(1_000);
    assert_eq!(phone.reads(&service.next().body)["kind"], "order");
    until(|| due(&two).is_none());
    assert!(service.has_nothing_more());
}
