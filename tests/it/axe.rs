//! Whether everybody can use a page: axe-core's rules of WCAG 2.2 AA in light and dark, and what axe cannot see: a screen of 320
//! pixels and text of twice the size, where nothing may be cut or need sideways scrolling, and targets for a thumb.

use std::sync::OnceLock;

use nodpay_protocol::sha256;
use serde_json::{Value, json};

use crate::browser::Window;
use crate::browser_guardians::Stage;
use crate::python::file_of_package;

/// axe-core 4.12.1, as the package holds it.
const AXE: &str = "axe_playwright_python/axe.min.js";
const AXE_SHA256: &str = "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc";
const TAGS: [&str; 5] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
/// A phone, and the narrowest screen of WCAG 2.2 (1.4.10), in CSS pixels.
pub(crate) const PHONE: u32 = 360;
const NARROWEST: u32 = 320;
/// A screen that no page is longer than.
const WHOLE_PAGE: u32 = 8000;
/// The least side of a target, in CSS pixels.
const MIN_TARGET: u32 = 48;

/// Gives every broken rule as one line for each element.
const RUN: &str = r"
const [tags, done] = arguments;
axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'], iframes: false }).then(({ violations }) =>
  done(violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary, html }) =>
    `${id}: ${target.join(' ')}: ${html.slice(0, 160)}: ${failureSummary.replaceAll('\n', ' ')}`))),
  (error) => done([String(error)]));";

/// What sticks out of the screen, or is cut off.
const CUT: &str = r"
const wide = document.documentElement.clientWidth;
const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.closest('.unseen, .touches, .side:not(.shown), iframe');
const name = (element) => `${element.nodeName} ${element.className.baseVal ?? element.className} ${element.dataset.testid ?? ''} “${element.textContent.slice(0, 40)}”`;
const found = document.documentElement.scrollWidth > wide ? [`the page is ${document.documentElement.scrollWidth} wide`] : [];
for (const element of document.body.querySelectorAll('*')) {
  if (!seen(element) || element.closest('svg')) continue;
  const { left, right, width } = element.getBoundingClientRect();
  if (width > 0 && (right > wide + 1 || left < -1)) found.push(`sticks out: ${name(element)} (${Math.round(left)} to ${Math.round(right)})`);
  const hides = getComputedStyle(element).overflowX !== 'visible' && !['INPUT', 'SELECT', 'TEXTAREA', 'PROGRESS', 'IFRAME', 'CANVAS'].includes(element.nodeName);
  if (hides && element.scrollWidth > element.clientWidth + 1) found.push(`cut: ${name(element)}`);
}
return found;";

/// What a thumb may miss. A link in a sentence is as high as its line (WCAG 2.2, 2.5.8), and a box is as large as its label.
const SMALL: &str = r"
const least = arguments[0];
return [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [role=button]')].filter((element) => {
  if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.unseen, .touches, .side:not(.shown)')) return false;
  if (element.nodeName === 'A' && getComputedStyle(element).display === 'inline') return false;
  const box = ['checkbox', 'radio', 'file'].includes(element.type) ? element.closest('label') ?? element : element;
  const { width, height } = box.getBoundingClientRect();
  return width > 0 && (width < least - 0.5 || height < least - 0.5);
}).map((element) => {
  const { width, height } = element.getBoundingClientRect();
  return `${element.nodeName} ${element.className} ${element.dataset.testid ?? ''}: ${Math.round(width)} × ${Math.round(height)}`;
});";

/// Panics with all that keeps somebody from using what the window shows now, or the frame that the test is in.
pub(crate) async fn assert_accessible(window: &Window, page: &str) {
    let wrong = barriers(window, page).await;
    assert!(wrong.is_empty(), "{page}:\n{}", wrong.join("\n"));
}

/// A line for each barrier on the page.
async fn barriers(window: &Window, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut note = |what: &str, found: Value| {
        let found = found.as_array().unwrap_or_else(|| panic!("{page}, {what}: {found}")).clone();
        wrong.extend(found.iter().map(|one| format!("{what}: {}", one.as_str().unwrap_or_default())));
    };
    let run = async |script: &str, argument: Value| window.client.execute(script, vec![argument]).await.expect("runs");
    let whole = run("return window.top === window", Value::Null).await == true;
    if whole {
        // What lies under a bar now can be scrolled from under it; axe takes it for covered.
        set_screen(window, PHONE, WHOLE_PAGE).await;
    }
    for scheme in ["light", "dark"] {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        window.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        if run("return typeof axe", Value::Null).await != "object" {
            window.client.execute(axe(), vec![]).await.expect("axe-core");
        }
        note(scheme, window.client.execute_async(RUN, vec![json!(TAGS)]).await.expect("axe runs"));
    }
    if whole {
        set_width(window, PHONE).await;
        note("small target", run(SMALL, json!(MIN_TARGET)).await);
        run("document.documentElement.style.fontSize = '200%'", Value::Null).await;
        note("text of 200 %", run(CUT, Value::Null).await);
        run("document.documentElement.style.fontSize = ''", Value::Null).await;
        set_width(window, NARROWEST).await;
        note("320 pixels", run(CUT, Value::Null).await);
        window.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    }
    window.devtools("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
    let said = run("return document.body.innerText", Value::Null).await;
    let unsaid = said
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .filter(|word| word.contains('.') && keys().contains_key(*word));
    wrong.extend(unsaid.map(|key| format!("no words: {key}")));
    let refused = window.console().await.into_iter().filter(|line| line.contains("Content Security Policy"));
    wrong.extend(refused);
    wrong
}

/// Shows the page on a phone's screen of this width.
pub(crate) async fn set_width(window: &Window, width: u32) {
    set_screen(window, width, 740).await;
}

async fn set_screen(window: &Window, width: u32, height: u32) {
    let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true });
    window.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    let wide = format!("document.documentElement.clientWidth <= {width}");
    window.until("the narrow screen", &wide).await;
}

fn axe() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let source = std::fs::read(file_of_package(AXE)).expect("axe-core");
        let digest: String = sha256(&source).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, AXE_SHA256);
        String::from_utf8(source).expect("UTF-8")
    })
}

/// All words there are.
fn keys() -> &'static serde_json::Map<String, Value> {
    static KEYS: OnceLock<serde_json::Map<String, Value>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/service/assets/texts/en.json");
        serde_json::from_slice(&std::fs::read(path).expect("texts")).expect("JSON")
    })
}

/// Each check finds what it is for.
#[tokio::test(flavor = "multi_thread")]
async fn barriers_are_found() {
    const BARRIERS: &str = r#"
const add = (tag, text, style, more = {}) => {
  const element = Object.assign(document.createElement(tag), { textContent: text, ...more });
  Object.assign(element.style, style);
  document.querySelector("main").append(element);
};
add("p", "pale", { color: "gray", background: "dimgray" });
add("button", "", { width: "60px", height: "60px" });
add("button", "tiny", { width: "40px", height: "60px" });
add("p", "wide", { width: "340px" });
add("p", "long long long long long", { width: "20px", overflow: "hidden", whiteSpace: "nowrap" });
add("p", "start.title", {});"#;
    let stage = Stage::open().await;
    let window = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    window.client.goto(&stage.address).await.unwrap();
    window.text("nav.doors a").await;
    window.client.execute(BARRIERS, vec![]).await.unwrap();
    let found = barriers(&window, "start").await;
    for barrier in [
        "light: color-contrast",
        "dark: color-contrast",
        "light: button-name",
        "small target: BUTTON",
        "320 pixels: sticks out: P",
        "text of 200 %: cut: P",
        "no words: start.title",
    ] {
        assert!(found.iter().any(|one| one.starts_with(barrier)), "{barrier} is not in {found:#?}");
    }
    window.client.close().await.unwrap();
}
