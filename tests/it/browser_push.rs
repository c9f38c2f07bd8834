//! The guardian's app as a phone keeps it: installable, woken by push messages, honest without a connection.
//!
//! The browser here reaches no real push service: its subscription is a stand-in, and messages are handed to it by the DevTools
//! protocol, as its push client would. What the service sends is tested where a stand-in for the push service receives it
//! (`crates/service/tests/api/push.rs`).

use std::sync::mpsc;
use std::time::{Duration, Instant};

use nodpay_service::PushConfig;
use nodpay_service::rails::RailFiles;
use nodpay_store::InvitationKind;
use nodpay_watch::reader::read_code;
use serde_json::{Value, json};

use crate::browser::Window;
use crate::browser_guardians::{Stage, go, type_into};

const PATIENCE: Duration = Duration::from_secs(30);
/// A browser numbers the registrations of its profile from zero.
const REGISTRATIONS: u32 = 4;
const DELIVER_AGAIN: Duration = Duration::from_secs(2);

/// What a promise in the page gives.
async fn page_says(window: &Window, script: &str) -> Value {
    let script =
        format!("const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done(String(error)))");
    window.client.execute_async(&script, vec![]).await.unwrap()
}

/// Stands in for the browser's push client, which here reaches nobody.
const SUBSCRIPTION: &str = r#"
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const made = (options) => ({
  endpoint: "PUSH",
  options: { applicationServerKey: bytes(options.applicationServerKey).buffer },
  toJSON: () => ({ endpoint: "PUSH", expirationTime: null, keys: {
    p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", auth: "BTBZMqHH6r4Tts7J_aSIgg",
  } }),
  unsubscribe: async () => { localStorage.removeItem("test.push"); return true; },
});
PushManager.prototype.subscribe = async function (options) {
  localStorage.setItem("test.push", options.applicationServerKey);
  return made(options);
};
PushManager.prototype.getSubscription = async function () {
  const key = localStorage.getItem("test.push");
  return key && made({ applicationServerKey: key });
};
"#;

/// Takes every message, and says that one came.
async fn push_service() -> (String, mpsc::Receiver<()>) {
    let (send, received) = mpsc::channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://127.0.0.1:{}/send", listener.local_addr().unwrap().port());
    let take = move || async move {
        send.send(()).expect("the test listens");
        axum::http::StatusCode::CREATED
    };
    let routes = axum::Router::new().route("/send", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, received)
}

/// What a phone shows: 360 pixels wide, light and dark, in both languages.
async fn pictures(window: &Window, name: &str) {
    let phone = json!({ "width": 360, "height": 1100, "deviceScaleFactor": 1, "mobile": true });
    window.devtools("Emulation.setDeviceMetricsOverride", phone).await;
    for scheme in ["light", "dark"] {
        let scheme_feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        window.devtools("Emulation.setEmulatedMedia", scheme_feature).await;
        for language in ["en", "zh"] {
            let speak = format!("document.querySelector('[data-testid=language][lang^={language}]')?.click()");
            window.client.execute(&speak, vec![]).await.unwrap();
            window.until("the language", &format!("document.documentElement.lang.startsWith('{language}') || !document.querySelector('[data-testid=language]')")).await;
            window.picture(&format!("push-{name}-{scheme}-{language}")).await;
        }
        window
            .client
            .execute("document.querySelector('[data-testid=language][lang^=en]')?.click()", vec![])
            .await
            .unwrap();
    }
    window.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
}

/// Hands a message to the service worker, whichever registration of the profile it is.
async fn deliver(window: &Window, origin: &str, note: &Value) {
    for registration in 0..REGISTRATIONS {
        let message = json!({ "origin": origin, "registrationId": registration.to_string(), "data": note.to_string() });
        window.devtools("ServiceWorker.deliverPushMessage", message).await;
    }
}

const SHOWN: &str = "const registration = await navigator.serviceWorker.ready; \
    return (await registration.getNotifications()).map(({ title, body, tag, data }) => ({ title, body, tag, open: data.open }))";

/// Delivers `note` until the phone shows what is expected: a busy browser may lose one, and the same note twice is shown once.
async fn shows(window: &Window, origin: &str, note: &Value, expected: Value) {
    let deadline = Instant::now() + PATIENCE;
    let mut shown = Value::Null;
    while Instant::now() < deadline {
        deliver(window, origin, note).await;
        let again = Instant::now() + DELIVER_AGAIN;
        while Instant::now() < again {
            shown = page_says(window, SHOWN).await;
            if shown == expected {
                return;
            }
        }
    }
    panic!("{shown} instead of {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_keeps_the_app_and_is_woken_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(folder.path().join("push.key"));
    let mut stage =
        Stage::open_with(RailFiles::default(), PushConfig { key, contact: None, private_endpoints: true }).await;
    let window = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    let granted = json!({ "origin": stage.address, "permissions": ["notifications"] });
    window.devtools("Browser.grantPermissions", granted).await;
    let (endpoint, received) = push_service().await;
    let source = SUBSCRIPTION.replace("PUSH", &endpoint);
    window.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;

    // Mama founds the household and pairs the watch; then she is asked, once, on the home page.
    let invitation = stage.invitation(InvitationKind::Guardian, 2).await;
    window.client.goto(&format!("{}/join#{invitation}", stage.address)).await.unwrap();
    type_into(&window, "guardian-name", "Ma").await;
    window.click("[data-testid=join]").await;
    window.text("[data-testid=pair-first-watch]").await;
    window.client.goto(&format!("{}/app", stage.address)).await.unwrap();
    window.until("the service worker", "navigator.serviceWorker.controller").await;
    assert_eq!(
        window.client.execute("return document.querySelector('[data-testid=push-prompt]')", vec![]).await.unwrap(),
        Value::Null
    );
    go(&window, "#/pair").await;
    let picture = window.canvas("[data-testid=pairing-code] canvas").await;
    let code = nodpay_protocol::PairingCode::parse(&read_code(&picture).expect("a code")).expect("a pairing code");
    stage.claim(&code).await;
    type_into(&window, "wearer-name", "Ming").await;
    window.click("[data-testid=pair-confirm]").await;
    window.text("[data-testid=paired]").await;
    go(&window, "#/").await;
    let asked = window.text("[data-testid=push-prompt]").await;
    assert!(asked.contains("Wake this phone when a child asks"), "{asked}");
    pictures(&window, "prompt").await;

    // Switched on, tried, and told how much to show; the choice outlives the page.
    window.click("[data-testid=push-prompt] [data-testid=push-on]").await;
    window.until("no question any more", "!document.querySelector('[data-testid=push-prompt]')").await;
    go(&window, "#/household").await;
    window.text("[data-testid=push-card][data-standing=on]").await;
    assert_eq!(
        window
            .client
            .execute("return document.querySelector('[data-testid=push-plain]').checked", vec![])
            .await
            .unwrap(),
        true
    );
    window.click("[data-testid=push-items]").await;
    window.click("[data-testid=push-test]").await;
    received.recv_timeout(PATIENCE).expect("a test message");
    window.text("[data-testid=push-card] .notice.good").await;
    pictures(&window, "card").await;
    window.client.refresh().await.unwrap();
    window.until("the choice", "document.querySelector('[data-testid=push-items]')?.checked").await;

    // An order reaches the push service.
    let amount = nodpay_testkit::cny(20_000);
    let top_up = nodpay_store::TopUp {
        household: stage.cast.household,
        transfer: nodpay_core::TransferId::from_bytes([7; 16]),
        amount,
    };
    stage.app.store().top_up(top_up, nodpay_testkit::START).await.unwrap();
    stage.order(1).await;
    received.recv_timeout(PATIENCE).expect("a message about the order");

    // The phone shows it, and what became of it in its place.
    window.devtools("ServiceWorker.enable", json!({})).await;
    let asks = json!({
        "v": 1, "kind": "order", "lang": "en", "tag": "order-1", "open": "#/order/order-1", "at": 1_800_000_000_000_i64,
        "name": "Ming", "shop": "Corner Shop", "total": { "minor": 850, "currency": "CNY" }, "digits": 2,
        "items": ["Bread", "Milk"], "more": 1,
    });
    let body = "¥8.50 at Corner Shop\nBread, Milk and 1 more";
    shows(
        &window,
        &stage.address,
        &asks,
        json!([{ "title": "Ming asks for a nod", "body": body, "tag": "order-1", "open": "#/order/order-1" }]),
    )
    .await;
    let plain =
        json!({ "v": 1, "kind": "outcome", "lang": "zh", "tag": "order-1", "open": "#/order/order-1", "word": "paid" });
    shows(
        &window,
        &stage.address,
        &plain,
        json!([{ "title": "已付款", "body": "点一下查看订单。", "tag": "order-1", "open": "#/order/order-1" }]),
    )
    .await;
    // What a tap says to an open page.
    let tap = "navigator.serviceWorker.dispatchEvent(new MessageEvent('message', { data: { open: '#/rules' } }))";
    window.client.execute(tap, vec![]).await.unwrap();
    window.until("the page it leads to", "location.hash === '#/rules'").await;

    // The browser would install it.
    let manifest = window.devtools("Page.getAppManifest", json!({})).await;
    assert_eq!(manifest["errors"], json!([]), "{manifest}");
    let said: Value = serde_json::from_str(manifest["data"].as_str().expect("a manifest")).unwrap();
    assert_eq!((&said["name"], &said["start_url"]), (&json!("Nodpay for guardians"), &json!("/app")));
    let hindered = window.devtools("Page.getInstallabilityErrors", json!({})).await;
    assert_eq!(hindered["installabilityErrors"], json!([]), "{hindered}");
    for icon in said["icons"].as_array().expect("icons") {
        let size = format!(
            "const picture = new Image(); picture.src = {}; await picture.decode(); return `${{picture.naturalWidth}}x${{picture.naturalHeight}}`",
            icon["src"]
        );
        assert_eq!(page_says(&window, &size).await, icon["sizes"]);
    }

    // It keeps its offline page in one version, and nothing else.
    let kept = page_says(
        &window,
        "const names = await caches.keys(); const cache = await caches.open(names[0]); \
         return [names.length, (await cache.keys()).map(({ url }) => new URL(url).pathname)]",
    )
    .await;
    assert_eq!(kept[0], 1, "{kept}");
    let files = kept[1].as_array().expect("paths");
    assert_eq!(files.len(), 6, "{kept}");
    assert!(files.iter().all(|path| path.as_str().is_some_and(|path| path.starts_with("/offline/"))), "{kept}");

    // Switched off, the service knows no phone any more.
    go(&window, "#/household").await;
    window.click("[data-testid=push-off]").await;
    window.text("[data-testid=push-card][data-standing=off]").await;
    assert_eq!(stage.app.store().wakeable(stage.cast.household).await, Ok(false));

    // Without the service: an honest page, whole, in both languages, wherever one was.
    stage.app.stop();
    window.until("the service is gone", "document.querySelector('[data-testid=offline]')").await;
    window.client.goto(&format!("{}/app?again#/household", stage.address)).await.unwrap();
    let said = window.text("[data-testid=offline-page]").await;
    for words in ["No connection", "Nothing is paid by this phone meanwhile", "没有网络连接", "Try again"] {
        assert!(said.contains(words), "{said}");
    }
    let styled = "getComputedStyle(document.querySelector('.card')).borderRadius !== '0px' \
                  && document.querySelector('img').naturalWidth > 0";
    window.until("its style and picture", styled).await;
    pictures(&window, "offline").await;
    window.click("[data-testid=offline-retry]").await;
    window.text("[data-testid=offline-page]").await;
    assert_eq!(window.client.current_url().await.unwrap().query(), Some("again"), "it tries the same place again");
    window.client.clone().close().await.unwrap();
}
