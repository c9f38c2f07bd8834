//! The whole job as a person does it: Debian's Chromium on the demo page, a virtual authenticator for real WebAuthn
//! ceremonies, and the watch's camera fed from a video file of the till's code.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum_server::tls_rustls::RustlsConfig;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use nodpay_watch::reader::{Frame, load_image};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::axe::assert_accessible;
use crate::stripe_double::{CONFIRM, CONFIRM_HOST, CUSTOMER, Double, KEY};
use crate::table::program;

/// Anything on a page that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A script in the page (milliseconds): axe takes some seconds for a long one, many times that where much else runs.
const SCRIPT_MS: u64 = 180_000;
const GLANCE: Duration = Duration::from_millis(25);
const TILL: u16 = 0;
const PHONE: u16 = 1;

/// Chromedriver, and one browser window.
pub(crate) struct Window {
    pub(crate) client: Client,
    downloads: std::path::PathBuf,
    video: std::path::PathBuf,
    pub(crate) address: String,
    /// Killed when dropped, in this order.
    _processes: Vec<Killed>,
    folder: tempfile::TempDir,
}

pub(crate) struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `POST /session/{id}/webauthn/authenticator` (Web Authentication Level 3, section 11.2).
#[derive(Debug)]
struct AddAuthenticator;

impl WebDriverCompatibleCommand for AddAuthenticator {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/webauthn/authenticator", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let authenticator = json!({
            "protocol": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        (http::Method::POST, Some(authenticator.to_string()))
    }
}

/// A command of the DevTools protocol, as Chromium's driver passes it on.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.0, "params": self.1 }).to_string()))
    }
}

/// What the driver noted since it was asked last: `browser` for the console, `performance` for the DevTools protocol's events.
#[derive(Debug)]
struct Notes(&'static str);

impl WebDriverCompatibleCommand for Notes {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": self.0 }).to_string()))
    }
}

impl Window {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[], &[]).await
    }

    /// With more options for the demo and the browser.
    async fn open_with(demo_options: &[String], browser_options: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (demo, address) = start_demo(&folder.path().join("demo"), demo_options);
        Self::with(folder, address, Some(demo), browser_options).await
    }

    /// A browser with an authenticator of its own, and what else must live as long.
    pub(crate) async fn with(
        folder: tempfile::TempDir,
        address: String,
        service: Option<Killed>,
        browser_options: &[String],
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver runs: ./test installs it");
        let mut driver = Killed(driver);
        let lines = BufReader::new(driver.0.stdout.take().expect("a pipe")).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("started successfully")), "chromedriver starts");

        let (downloads, video) = (folder.path().join("downloads"), folder.path().join("till.y4m"));
        std::fs::create_dir(&downloads).expect("a folder");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--lang=en-US".to_owned(),
            "--window-size=1500,1250".to_owned(),
            "--use-fake-ui-for-media-stream".to_owned(),
            "--use-fake-device-for-media-stream".to_owned(),
            format!("--use-file-for-fake-video-capture={}", video.display()),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ];
        arguments.extend_from_slice(browser_options);
        let options = json!({
            "args": arguments,
            "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false, "intl.accept_languages": "en-US" },
        });
        let capabilities = serde_json::Map::from_iter([
            ("goog:chromeOptions".to_owned(), options),
            ("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL", "performance": "ALL" })),
            ("timeouts".to_owned(), json!({ "script": SCRIPT_MS })),
        ]);
        let client = ClientBuilder::new(hyper_util_connector())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser");
        client.issue_cmd(AddAuthenticator).await.expect("a virtual authenticator");
        let processes = std::iter::once(driver).chain(service).collect();
        Self { client, downloads, video, address, _processes: processes, folder }
    }

    /// The demo's folder.
    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("demo")
    }

    pub(crate) async fn phone(&self) {
        self.enter(PHONE).await;
    }

    pub(crate) async fn till(&self) {
        self.enter(TILL).await;
    }

    async fn enter(&self, frame: u16) {
        self.client.clone().enter_parent_frame().await.expect("the page");
        self.client.wait().at_most(PATIENCE).every(GLANCE).for_element(Locator::Css("iframe")).await.expect("frames");
        self.client.clone().enter_frame(frame).await.expect("a frame");
    }

    pub(crate) async fn page(&self) {
        self.client.clone().enter_parent_frame().await.expect("the page");
    }

    /// Waits until the element is there and gives its text. A page that is drawn anew meanwhile is asked again.
    pub(crate) async fn text(&self, css: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.client.wait().at_most(PATIENCE).every(GLANCE).for_element(Locator::Css(css)).await;
            let element = match found {
                Ok(element) => element,
                Err(error) => panic!("{css}: {error}; the page says: {}", self.whole_text().await),
            };
            match element.text().await {
                Ok(text) => return text,
                Err(error) => {
                    assert!(error.is_stale_element_reference() && Instant::now() < deadline, "{css}: {error}")
                }
            }
        }
    }

    async fn whole_text(&self) -> String {
        let body = self.client.execute("return document.body.innerText", vec![]).await;
        body.map(|text| text.as_str().unwrap_or_default().to_owned()).unwrap_or_default()
    }

    /// Waits until a script gives true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let done = self.client.execute(&format!("return Boolean({script})"), vec![]).await;
            if done.is_ok_and(|done| done == true) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: the page says: {}", self.whole_text().await);
        }
    }

    /// Clicks when it can be clicked: drawn, enabled, in place.
    pub(crate) async fn click(&self, css: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.try_click(css).await else { return };
            assert!(Instant::now() < deadline, "{css}: {error}; the page says: {}", self.whole_text().await);
        }
    }

    async fn try_click(&self, css: &str) -> Result<(), fantoccini::error::CmdError> {
        let element = self.client.find(Locator::Css(css)).await?;
        // As a person does: away from the bars at the edges.
        let script = format!("document.querySelector({})?.scrollIntoView({{ block: 'center' }})", json!(css));
        self.client.execute(&script, vec![]).await?;
        element.click().await
    }

    /// Taps a button on the watch's face.
    pub(crate) async fn tap(&self, label: &str) {
        self.page().await;
        let xpath = format!("//*[@class='touches']//button[normalize-space()='{label}' and not(@disabled)]");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tapped = match self.client.find(Locator::XPath(&xpath)).await {
                Ok(button) => button.click().await,
                Err(error) => Err(error),
            };
            let Err(error) = tapped else { return };
            assert!(Instant::now() < deadline, "{label} on the watch: {error}: {}", self.whole_text().await);
        }
    }

    /// The guardian founds the household with a real passkey.
    async fn founds(&self) {
        self.phone().await;
        self.click("[data-testid=join]").await;
        self.text("[data-testid=pairing-code] canvas").await;
    }

    async fn pairs(&self) {
        self.tap("Scan").await;
        self.watch_says("Choose a PIN").await;
        self.type_pin("4827").await;
        self.watch_says("PIN once more").await;
        self.type_pin("4827").await;
        self.phone().await;
        let digits = self.text("[data-testid=check-digits]").await;
        self.watch_says(&digits).await;
        self.phone().await;
        self.click("[data-testid=pair-confirm]").await;
    }

    /// The till charges; its code becomes a video for the browser's camera.
    async fn charges(&self, goods: &[&str]) {
        self.till().await;
        self.text("[data-testid=printed-code-0] canvas").await; // the demo's shop has a printed code
        self.click("[data-testid=clear]").await; // the demo starts with a few things in the basket
        for good in goods {
            self.click(&format!("[data-testid=good-{good}]")).await;
        }
        self.click("[data-testid=charge]").await;
        let code = self.canvas("[data-testid=till-code] canvas").await;
        write_video(&self.video, &code);
        self.page().await;
        self.click("[data-testid=real-camera]").await;
    }

    pub(crate) async fn watch_says(&self, text: &str) {
        self.page().await;
        let script = format!("document.querySelector('.touches')?.textContent.includes({})", json!(text));
        self.until(&format!("the watch says {text}"), &script).await;
    }

    pub(crate) async fn type_pin(&self, pin: &str) {
        for digit in pin.chars() {
            self.tap(&digit.to_string()).await;
        }
        self.tap("Confirm").await;
    }

    /// The child says yes on the watch, with the PIN.
    pub(crate) async fn confirms(&self) {
        self.tap("Confirm").await;
        self.watch_says("Your PIN").await;
        self.type_pin("4827").await;
    }

    /// The picture of a canvas on the page.
    pub(crate) async fn canvas(&self, css: &str) -> Frame {
        self.text(css).await;
        let script = format!("return document.querySelector({}).toDataURL('image/png')", json!(css));
        let address = self.client.execute(&script, vec![]).await.expect("a picture");
        let encoded = address.as_str().and_then(|text| text.strip_prefix("data:image/png;base64,")).expect("a PNG");
        load_image(&base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).expect("base64"))
            .expect("a picture")
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        let done = self.client.issue_cmd(DevTools(command, parameters)).await;
        done.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// What the browser told its console since it was asked last.
    pub(crate) async fn console(&self) -> Vec<String> {
        let notes = self.client.issue_cmd(Notes("browser")).await.expect("the console");
        let notes = notes.as_array().expect("a list").iter().map(|note| note["message"].to_string());
        notes.collect()
    }

    /// The DevTools protocol's events since they were asked for last: name and parameters.
    pub(crate) async fn devtools_events(&self) -> Vec<(String, Value)> {
        let notes = self.client.issue_cmd(Notes("performance")).await.expect("the events");
        let event = |note: &Value| -> (String, Value) {
            let mut event: Value = serde_json::from_str(note["message"].as_str().expect("text")).expect("JSON");
            let name = event["message"]["method"].as_str().expect("a name").to_owned();
            (name, event["message"]["params"].take())
        };
        notes.as_array().expect("a list").iter().map(event).collect()
    }

    /// Keeps what the window shows, to look at: `NODPAY_PICTURES` names the folder.
    pub(crate) async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("NODPAY_PICTURES") {
            let picture = self.client.screenshot().await.expect("a picture");
            std::fs::write(Path::new(&folder).join(name).with_extension("png"), picture).expect("writes");
        }
    }

    /// A file that the browser has downloaded.
    pub(crate) async fn downloaded(&self, ending: &str) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let files = std::fs::read_dir(&self.downloads).expect("the folder");
            let mut paths = files.filter_map(Result::ok).map(|entry| entry.path());
            if let Some(path) = paths.find(|path| path.to_string_lossy().ends_with(ending)) {
                return std::fs::read(path).expect("the file");
            }
            assert!(Instant::now() < deadline, "no download ends with {ending}");
            self.client.current_url().await.expect("the browser lives");
        }
    }
}

fn hyper_util_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}

fn start_demo(data: &Path, options: &[String]) -> (Killed, String) {
    let child = Command::new(program())
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let mut demo = Killed(child);
    let mut line = String::new();
    BufReader::new(demo.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("an address");
    (demo, line.trim().to_owned())
}

/// A video of a still picture: YUV4MPEG2, 640 × 480, as a camera would see the till's screen.
fn write_video(path: &Path, code: &Frame) {
    const WIDTH: usize = 640;
    const HEIGHT: usize = 480;
    let code = code.scaled_to(440);
    let (left, top) = ((WIDTH - code.width()) / 2, (HEIGHT - code.height()) / 2);
    let mut luma = vec![210; WIDTH * HEIGHT];
    for (row, line) in code.luma().chunks(code.width()).enumerate() {
        let start = (top + row) * WIDTH + left;
        luma[start..start + line.len()].copy_from_slice(line);
    }
    let mut video = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\n").into_bytes();
    for _ in 0..10 {
        video.extend_from_slice(b"FRAME\n");
        video.extend_from_slice(&luma);
        video.resize(video.len() + WIDTH * HEIGHT / 2, 128);
    }
    std::fs::write(path, video).expect("writes the video");
}

/// The guardian founds the household with a real passkey, and pairs the watch.
pub(crate) async fn settled() -> Window {
    let window = Window::open().await;
    window.client.goto(&window.address).await.expect("the demo page");
    window.founds().await;
    window.pairs().await;
    window.watch_says("50.00").await;
    window
}

/// The till charges a loaf of bread, ¥8.50, and the child orders it.
pub(crate) async fn order_bread(window: &Window, first: bool) {
    window.till().await;
    // The demo starts with a few things in the basket.
    window.click(if first { "[data-testid=clear]" } else { "[data-testid=next-customer]" }).await;
    window.click("[data-testid=good-bread]").await;
    window.click("[data-testid=charge]").await;
    window.text("[data-testid=till-code] canvas").await;
    window.tap("Pay").await;
    window.confirms().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_pays_without_a_nod_and_asks_beyond_its_cap() {
    let window = settled().await;
    let go = async |page: &str| {
        window.phone().await;
        window.client.execute(&format!("location.hash = '#/{page}'"), vec![]).await.expect("goes");
    };
    let fill = async |id: &str, value: &str| {
        let event = if matches!(id, "rule-shops" | "rule-outside") { "change" } else { "input" };
        window.text(&format!("[data-testid={id}]")).await;
        let script = format!(
            "const field = document.querySelector('[data-testid={id}]'); field.value = '{value}'; \
             field.dispatchEvent(new Event('{event}', {{ bubbles: true }}))"
        );
        window.client.execute(&script, vec![]).await.expect("fills");
    };

    // The first loaf is nodded to; so the phone knows the shop.
    order_bread(&window, true).await;
    window.phone().await;
    if window.client.find(Locator::Css("[data-testid=wearer-check]")).await.is_err() {
        window.click("[data-testid=waiting-order], [data-testid=wearer-check]").await;
    }
    window.click("[data-testid=approve]").await;
    window.watch_says("Paid!").await;
    window.tap("Done").await;

    // A rule: up to ¥10 at this shop, ¥15 a day; its words are shown before the passkey signs it.
    go("rules").await;
    window.click("[data-testid=rule-new]").await;
    fill("rule-name", "Snacks").await;
    fill("rule-approve", "10").await;
    fill("rule-per_day", "15").await;
    fill("rule-shops", "only").await;
    window.click("[data-testid=rule-shops-option]").await;
    let words = window.text("[data-testid=rule-words]").await;
    assert!(words.contains("up to ¥10.00 without asking") && words.contains("At most ¥15.00 a day"), "{words}");
    assert_accessible(&window, "rule of a known shop, in the demo").await;
    window.click("[data-testid=rule-sign]").await;
    window.text("[data-testid=rule]").await;
    window.watch_says("Looser rule: Snacks").await;
    window.tap("OK").await;

    // The watch pays without a tap on the phone, and both sides say whose rule it was.
    order_bread(&window, false).await;
    window.watch_says("Paid!").await;
    window.tap("Done").await;
    go("").await;
    window
        .until("the history", "document.querySelector('[data-testid=past-rule]')?.textContent.includes('Snacks')")
        .await;

    // The next one is over the day's cap: the guardian is asked, and told why.
    order_bread(&window, false).await;
    window.watch_says("Waiting for a nod").await;
    window.phone().await;
    if window.client.find(Locator::Css("[data-testid=rule-note]")).await.is_err() {
        window.click("[data-testid=waiting-order], [data-testid=rule-note]").await;
    }
    let note = window.text("[data-testid=rule-note]").await;
    assert!(note.contains("Snacks") && note.contains("over the day's cap"), "{note}");
    let over = "document.querySelector('[data-testid=spent-day]')?.textContent.includes('over the cap of ¥15.00')";
    window.until("the day's spending", over).await;

    // What would have happened last month.
    go("rules").await;
    window.click("[data-testid=rule-edit]").await;
    window.click("[data-testid=rule-test]").await;
    window.until("the test", "document.querySelectorAll('[data-testid=rule-tested-order]').length === 3").await;
    let script = "return [...document.querySelectorAll('[data-testid=rule-tested-order]')].map((row) => `${row.dataset.was} ${row.dataset.answer}`)";
    let said = window.client.execute(script, vec![]).await.expect("rows");
    assert_eq!(said, json!(["waiting ask", "paid ask", "paid approve"]), "one loaf a day, of the first two");
    let narrow = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert_eq!(window.client.execute(narrow, vec![]).await.expect("a width"), true, "nothing sticks out");
    window.page().await;
    window.client.clone().close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_does_the_whole_job_in_a_real_browser() {
    let window = settled().await;

    window.charges(&["bread", "cola", "cola", "gum"]).await;
    window.tap("Pay").await;
    window.tap("Confirm").await;
    window.watch_says("Your PIN").await;

    // Somebody tries PINs; the guardian hears of it, and unlocks the watch.
    for _ in 0..5 {
        window.type_pin("1379").await;
    }
    window.watch_says("PIN locked").await;
    window.phone().await;
    assert!(window.text("[data-testid=pin-report]").await.contains("5 wrong PINs"));
    window.click("[data-testid=pin-report]").await;
    window.click("[data-testid=pin-unlock]").await;
    assert_accessible(&window, "PIN report, in the demo").await;
    window.click("[data-testid=pin-sign]").await;
    window.watch_says("Your PIN").await;
    window.phone().await;
    window.until("all is well", "!document.querySelector('.notice.wait')").await;
    window.text("[data-testid=session]").await;
    // From now on one PIN serves for a quarter of an hour on the wrist.
    let choose = "const session = document.querySelector('[data-testid=session]'); session.value = '15'; \
                  session.dispatchEvent(new Event('change'))";
    window.client.execute(choose, vec![]).await.expect("chooses");
    window.click("[data-testid=pin-sign]").await;
    window.until("the log", "document.querySelector('.log').textContent.includes('15 minutes')").await;
    window.client.execute("location.hash = '#/'", vec![]).await.expect("goes");
    window.type_pin("4827").await;
    window.watch_says("Waiting for a nod").await;

    // The phone says first how the wearer was known, then shows the order; the guardian strikes the cola and nods.
    window.phone().await;
    if window.client.find(Locator::Css("[data-testid=wearer-check]")).await.is_err() {
        window.click("[data-testid=waiting-order], [data-testid=wearer-check]").await;
    }
    assert!(window.text("[data-testid=wearer-check]").await.contains("PIN"));
    window.until("the order", "document.querySelectorAll('[data-testid^=line-]').length === 3").await;
    let before = window.text("[data-testid=total]").await;
    assert!(before.contains("20.50"), "{before}");
    let cola =
        "[...document.querySelectorAll('[data-testid^=line-]')].find((line) => line.textContent.includes('Cola'))";
    let strike = format!("{cola}.querySelector('[data-testid^=strike-]').dataset.testid");
    let strike = window.client.execute(&format!("return {strike}"), vec![]).await.expect("a strike button");
    window.click(&format!("[data-testid='{}']", strike.as_str().expect("an id"))).await;
    window.until("the new total", "document.querySelector('[data-testid=total]').textContent.includes('13.50')").await;
    assert_accessible(&window, "order, in the demo").await;
    let tapped = Instant::now();
    window.click("[data-testid=approve]").await;

    // Paid, everywhere.
    window.watch_says("Paid!").await;
    eprintln!("from the tap (and the passkey) to the watch's \"Paid!\": {:?}", tapped.elapsed());
    window.watch_says("Cola").await;
    window.phone().await;
    window.text("[data-testid=result]").await;
    let outcome = window.text("[data-testid=outcome]").await;
    assert!(outcome.contains("13.50"), "{outcome}");
    assert_accessible(&window, "outcome, in the demo").await;
    window.till().await;
    window.until("the till", "document.querySelector('[data-testid=till-status]')?.dataset.status === 'paid'").await;
    window.page().await;
    assert_accessible(&window, "demo").await;

    // The shop gives a part back, and the phone says so.
    window.till().await;
    window.click("[data-testid=refund-open]").await;
    let type_it = "const field = document.querySelector('[data-testid=refund-amount]'); field.value = '1.50'; \
                   field.dispatchEvent(new Event('input', { bubbles: true })); return true;";
    window.client.execute(type_it, Vec::new()).await.expect("types");
    window.click("[data-testid=refund-send]").await;
    window
        .until("the refund", "document.querySelector('[data-testid=refund-open]').textContent.includes('1.50')")
        .await;
    window.phone().await;
    window.until("it is told", "document.querySelector('[data-testid=refunded]')?.textContent.includes('1.50')").await;
    window.till().await;

    // What the phone exports checks out offline.
    window.phone().await;
    window.click("[data-testid=evidence]").await;
    let evidence = window.downloaded("evidence.json").await;
    window.client.execute("location.hash = '#/household'", vec![]).await.expect("goes");
    window.click("[data-testid=anchor]").await;
    let anchor = window.downloaded("nodpay-anchor.json").await;
    let report = nodpay_protocol::verify_evidence(&evidence, &anchor).expect("sound evidence");
    assert_eq!((report.outcome, report.total.minor()), (nodpay_core::OutcomeKind::Paid, 1350));
    assert_eq!(report.struck.len(), 1);

    // Till and phone in windows of their own size.
    window.page().await;
    window.client.goto(&window.address.replace("/demo", "/till")).await.expect("the till");
    window.click("[data-testid=good-bread]").await;
    assert_accessible(&window, "till, basket").await;
    window.click("[data-testid=charge]").await;
    window.text("[data-testid=till-code] canvas").await;
    assert_accessible(&window, "till, code").await;
    window.client.goto(&window.address.replace("/demo", "/app")).await.expect("the phone");
    window.text("[data-testid=past-order]").await;
    assert_accessible(&window, "home with a history").await;
    window.click("[data-testid=past-order]").await;
    window.text("[data-testid=outcome]").await;
    assert_accessible(&window, "outcome").await;
    window.client.clone().close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phones_own_verifier_agrees_with_the_published_vectors() {
    let window = Window::open().await;
    window.client.goto(&window.address.replace("/demo", "/")).await.expect("a page");
    let mut text = String::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/vectors.json");
    std::fs::File::open(path).expect("vectors").read_to_string(&mut text).expect("reads");
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let script = "const done = arguments[arguments.length - 1]; \
                  import('/static/js/selftest.js').then((m) => m.runVectors(arguments[0])).then(done, (e) => done(String(e)))";
    let checks = window.client.execute_async(script, vec![vectors]).await.expect("runs");
    let checks = checks.as_array().unwrap_or_else(|| panic!("{checks}")).clone();
    assert!(checks.len() > 20, "{} checks", checks.len());
    let failed: Vec<&Value> = checks.iter().filter(|check| check["ok"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    window.client.clone().close().await.expect("closes");
}

/// Serves the double's page on which the guardian confirms, as `https://` browsers want it; gives its port.
fn serve_confirmation(double: &Double) -> u16 {
    const PAGE: &str = "<title>Your bank</title><form method=post><button id=yes>Yes, it was me</button></form>";
    let page = || async { axum::response::Html(PAGE) };
    let double = double.clone();
    let confirm = move || async move {
        double.confirm(true);
        axum::response::Redirect::to(&double.return_url().expect("a page to go back to"))
    };
    let routes = axum::Router::new().route("/confirm/{intent}", axum::routing::get(page).post(confirm));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/service/tests/api/tls");
    let chain = vec![CertificateDer::from_pem_file(folder.join("localhost.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(folder.join("localhost.key")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("bound").port();
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config))).expect("a server");
    tokio::spawn(server.serve(routes.into_make_service()));
    port
}

/// A card whose bank wants its holder: the phone says so, its link leads to the bank's page, and after that the watch pays.
#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_confirms_with_the_bank_in_a_real_browser() {
    let double = Double::start().await;
    let secrets = tempfile::tempdir().expect("a folder");
    let key = secrets.path().join("stripe.key");
    std::fs::write(&key, KEY).expect("written");
    let port = serve_confirmation(&double);
    let window = Window::open_with(
        &[format!("--stripe-key={}", key.display()), format!("--stripe-api={}", double.address)],
        &[
            format!("--host-resolver-rules=MAP {CONFIRM_HOST} 127.0.0.1:{port}"),
            "--ignore-certificate-errors".to_owned(),
        ],
    )
    .await;
    window.client.goto(&window.address).await.expect("the demo page");
    window.founds().await;
    let admin = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.args(["admin", "--data"]).arg(window.data()).args(arguments);
        let done = command.output().expect("runs");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    let listed = admin(&["household", "list", "--json"]);
    let listed: Value = serde_json::from_str(listed.lines().next().expect("a household")).expect("JSON");
    admin(&["household", "rail", listed["household"].as_str().expect("an id"), "stripe", CUSTOMER, CONFIRM]);

    window.pairs().await;

    // The wallet, which has ¥50.00, is no limit: neither watch nor phone speaks of it.
    window.phone().await;
    window.client.execute("location.hash = '#/'", vec![]).await.expect("goes");
    assert_eq!(window.text("[data-testid=rail]").await, "Your card pays");
    window.charges(&["bread", "cola", "bread", "bread", "bread", "bread", "bread", "cola"]).await;
    window.tap("Pay").await;
    window.tap("Confirm").await;
    window.type_pin("4827").await;
    window.watch_says("Waiting for a nod").await;
    window.phone().await;
    window.click("[data-testid=approve]").await;
    assert!(window.text("[data-testid=confirm-with-bank]").await.contains("Confirm with your bank"));
    let order = window.client.execute("return location.hash", vec![]).await.expect("an order's page");
    assert_eq!(double.money(), [("requires_action", 0, 0)]);

    // In a window of its own, as on a phone: there the link, the bank's page, and the way back.
    window.page().await;
    let demo = window.client.window().await.expect("the demo's window");
    let phone = window.client.new_window(true).await.expect("another one");
    window.client.switch_to_window(phone.handle).await.expect("goes there");
    let page = format!("{}{}", window.address.replace("/demo", "/app"), order.as_str().expect("text"));
    window.client.goto(&page).await.expect("the phone's page");
    window.click("[data-testid=confirm-with-bank]").await;
    window.until("the bank's page", "document.title === 'Your bank'").await;
    let at = window.client.current_url().await.expect("an address");
    assert_eq!((at.host_str(), at.path()), (Some(CONFIRM_HOST), "/confirm/pi_1"));
    window.click("#yes").await;
    window.until("the way back", "document.querySelector('[data-testid=outcome]')?.dataset.outcome === 'paid'").await;
    assert_eq!(window.client.current_url().await.expect("an address").as_str(), page);
    window.client.close_window().await.expect("closes");
    window.client.switch_to_window(demo).await.expect("goes back");
    window.watch_says("Paid!").await;
    assert_eq!(double.money(), [("succeeded", 5_800, 0)]);

    // The shop gives it back: the bank says no, the till says so, and the next try goes through.
    double.fail_refunds(true);
    window.till().await;
    window.click("[data-testid=refund-open]").await;
    window.click("[data-testid=refund-send]").await;
    let failed = window.text("[data-testid=refund-failed]").await;
    assert!(failed.contains("58.00") && failed.contains("The bank said no."), "{failed}");
    double.fail_refunds(false);
    // The list that is asked for at once comes back only after the word that the refund is done.
    window.client.execute(LATE_REFUNDS, vec![]).await.expect("holds the list back");
    window.click("[data-testid=refund-send]").await;
    let back = "document.querySelector('[data-testid=refund-open]').textContent.includes('58.00')";
    window.until("the refund", back).await;
    window.until("none is on its way", "!document.querySelector('[data-testid=refund-asked]')").await;
    window.phone().await;
    window.until("it is told", "document.querySelector('[data-testid=refunded]')?.textContent.includes('58.00')").await;
    assert_eq!(double.money(), [("succeeded", 5_800, 5_800)]);
    window.client.clone().close().await.expect("closes");
}

/// The browser as it is where it shows payments itself; on Linux that is behind a switch.
const SHOWS_PAYMENTS: &str = "--enable-features=SecurePaymentConfirmationBrowser,SecurePaymentConfirmation";

/// `POST /session/{id}/secure-payment-confirmation/set-mode` (Secure Payment Confirmation, section 11.2): what the person does
/// with the browser's dialog.
#[derive(Debug)]
struct AnswerDialog(&'static str);

impl WebDriverCompatibleCommand for AnswerDialog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/secure-payment-confirmation/set-mode", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "mode": self.0 }).to_string()))
    }
}

/// The client data that the guardian's browser signed for the order on the page.
const CLIENT_DATA: &str = r"
const [done] = arguments;
fetch(`/api/guardian/orders/${location.hash.split('/')[2]}`).then((answer) => answer.json()).then((view) => {
  const encoded = view.decision.split('.')[3].replaceAll('-', '+').replaceAll('_', '/');
  done(new TextDecoder().decode(Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0))));
});";

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_approves_a_payment_that_the_browser_shows() {
    let window = Window::open_with(&[], &[SHOWS_PAYMENTS.to_owned()]).await;
    window.client.issue_cmd(AnswerDialog("autoReject")).await.expect("a person who says no");
    window.client.goto(&window.address).await.expect("the demo's page");
    window.founds().await;
    window.pairs().await;
    order_bread(&window, true).await;
    window.watch_says("Waiting for a nod").await;

    window.phone().await;
    window.click("[data-testid=approve]").await;
    window.until("nothing is signed", "document.body.textContent.includes('Nothing was signed')").await;
    window.client.issue_cmd(AnswerDialog("autoAccept")).await.expect("a person who says yes");
    window.click("[data-testid=approve]").await;
    window.watch_says("Paid!").await;
    window.phone().await;
    let client_data = window.client.execute_async(CLIENT_DATA, vec![]).await.expect("an answer");
    let client_data: Value = serde_json::from_str(client_data.as_str().expect("text")).expect("JSON");
    assert_eq!(client_data["type"], "payment.get");
    let payment = &client_data["payment"];
    assert_eq!(payment["payeeName"], "阳光小卖部 Sunny Shop");
    assert_eq!(payment["total"], json!({ "currency": "CNY", "value": "8.50" }));

    // Nobody gets this guardian's approval by a bare passkey prompt, and the household page says so.
    window.client.execute("location.hash = '#/guardians'", vec![]).await.expect("goes");
    window
        .until("it is said", "document.body.textContent.includes('Nods only where the browser shows the payment')")
        .await;
    window.client.clone().close().await.expect("closes");
}

/// The till's next list of refunds reaches it after the refund itself was told.
const LATE_REFUNDS: &str = r"
const real = window.fetch;
window.fetch = async (path, options) => {
  const answer = await real(path, options);
  if (options.method === 'GET' && path.endsWith('/refunds')) {
    window.fetch = real;
    const told = () => document.querySelector('[data-testid=refund-open]').textContent.includes('58.00');
    while (!told()) await new Promise(requestAnimationFrame);
  }
  return answer;
};";

/// What the order page shows of the vectors' order over a printed code; `code_says` stands in for the code's own payee.
const PRINTED: &str = r"
const [vectors, codeSays, done] = arguments;
(async () => {
  const [{ LogBook, verifyMerchantCertificate, verifyOrderOfAnyWatch }, { orderPage }, { startTexts }] = await Promise.all(
    ['verify', 'order', 'texts'].map((name) => import(new URL(`${name}.js`, document.querySelector('script[type=module]').src))));
  await startTexts('order');
  const { messages, trust } = vectors;
  const rp = { rp_id: trust.rp_id, origins: trust.origins, demo_keys: false };
  const book = await LogBook.found(messages.log[0], trust.founding, rp);
  for (const entry of messages.log.slice(1)) await book.append(entry);
  const certificate = await verifyMerchantCertificate(messages['merchant-certificate'].wire, trust.root);
  const wires = { bill: messages['static-bill'].wire, order: messages['static-order'].wire };
  const { bill, order } = await verifyOrderOfAnyWatch(wires, book, certificate);
  if (codeSays) bill.scanned.payee = codeSays;
  const view = { order_id: order.payload.order, state: 'waiting' };
  const entry = { view, ends: performance.now() + 60_000, order: { certificate, bill, order, requote: null, decision: null, outcome: null } };
  const names = new Map([[order.payload.wearer, { name: 'Ming' }]]);
  const home = { book, names, away: new Map(), balance: { minor: 5000, currency: 'CNY' }, guardian: { guardian: [...book.folded.members.keys()][0] } };
  const page = document.createElement('div');
  page.append(...orderPage({ state: { orders: new Map([[view.order_id, entry]]), home }, render() {} }, view.order_id).flat().filter(Boolean));
  const said = (id) => page.querySelector(`[data-testid=${id}]`)?.textContent ?? null;
  return [said('amount-by'), said('code-payee'), said('total')];
})().then(done, (error) => done(String(error.stack)));";

#[tokio::test(flavor = "multi_thread")]
async fn the_phone_says_that_an_amount_was_typed_and_whom_the_code_names() {
    let window = Window::open().await;
    window.client.goto(&window.address.replace("/demo", "/")).await.expect("a page");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/vectors.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).expect("vectors")).expect("JSON");
    let shown = async |code_says: Value| {
        let arguments = vec![vectors.clone(), code_says];
        let said = window.client.execute_async(PRINTED, arguments).await.expect("runs");
        said.as_array().unwrap_or_else(|| panic!("{said}")).clone()
    };
    let own = shown(Value::Null).await;
    let typed = own[0].as_str().expect("who chose the amount");
    assert!(typed.contains("Ming"), "{typed}");
    assert_eq!(own[1], Value::Null, "the same name is not said twice");
    assert!(own[2].as_str().is_some_and(|total| total.contains("8.50")), "{own:?}");
    let other = shown("Łakocie".into()).await;
    assert!(other[1].as_str().is_some_and(|said| said.contains("Łakocie")), "{other:?}");
    window.client.clone().close().await.expect("closes");
}
