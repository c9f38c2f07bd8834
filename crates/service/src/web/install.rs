//! What makes the guardian's app installable: manifest, service worker, and the page that is shown without a connection.
//!
//! Invariant: the service worker keeps nothing but the offline page and its own files, under addresses that name this program's
//! version. Pages, scripts, answers of the API and signed data always come from the service, so a page is never mixed of versions
//! and never signs with yesterday's script.

use std::sync::{Arc, OnceLock};

use axum::extract::{Path, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};
use nodpay_protocol::sha256;
use serde_json::{Map, Value, json};

use super::edition::{Assets, READ_ANEW};
use super::files::media_type;
use super::shell::Language;
use super::{drawn as page, guarded};
use crate::App;
use crate::problem::ApiError;

const WORKER: &str = "sw.js";
/// What the offline page and notifications need.
pub(super) const KEPT: [&str; 5] =
    ["css/app.css", "js/offline.js", "img/logo.svg", "img/icon-192.png", "img/badge-96.png"];
/// The offline page beside them.
const PAGE: &str = "page";
/// Pages that the service worker has an answer for when the service is not reached.
const COVERED: [&str; 5] = ["/", "/app", "/join", "/newcomer", "/recover"];
/// Texts that the service worker speaks by, by their prefix.
pub(super) const WORDS: &str = "note.";

fn asset(path: &str) -> Result<Vec<u8>, ApiError> {
    Assets::get(path).map(|file| file.data.into_owned()).ok_or(ApiError::NotFound)
}

/// The sentences of notifications in one language.
fn words(language: &str) -> Result<Value, ApiError> {
    let broken = |error: serde_json::Error| ApiError::Internal(error.to_string());
    let all: Map<String, Value> = serde_json::from_slice(&asset(&format!("texts/{language}.json"))?).map_err(broken)?;
    Ok(all.into_iter().filter(|(key, _)| key.starts_with(WORDS)).collect::<Map<_, _>>().into())
}

/// Names what the service worker keeps and how it works: another text is another version.
fn version() -> Result<String, ApiError> {
    let mut all = asset(WORKER)?;
    for path in KEPT {
        all.extend(sha256(&asset(path)?));
    }
    let page = [Language::English, Language::Chinese].map(|language| offline("", language).into_string());
    all.extend(json!([words("en")?, words("zh")?, COVERED, page]).to_string().bytes());
    Ok(sha256(&all).iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// The service worker as it is now, and the version that it keeps.
struct Worker {
    version: String,
    script: Vec<u8>,
}

/// Made once by a release: browsers ask for it whenever a page opens.
fn now() -> Result<Arc<Worker>, ApiError> {
    static MADE: OnceLock<Arc<Worker>> = OnceLock::new();
    if let Some(worker) = MADE.get().filter(|_| !READ_ANEW) {
        return Ok(Arc::clone(worker));
    }
    let version = version()?;
    let files: Vec<String> = KEPT.iter().chain([&PAGE]).map(|path| format!("/offline/{version}/{path}")).collect();
    let said = json!({
        "version": version, "files": files, "pages": COVERED, "words": { "en": words("en")?, "zh": words("zh")? },
    });
    let script = [format!("const NODPAY = {said};\n").into_bytes(), asset(WORKER)?].concat();
    let worker = Arc::new(Worker { version, script });
    Ok(if READ_ANEW { worker } else { Arc::clone(MADE.get_or_init(|| worker)) })
}

/// `GET /sw.js`: what it keeps and says, and what it does.
pub(super) async fn worker() -> Result<Response, ApiError> {
    Ok(file("js", "no-cache", now()?.script.clone()))
}

/// `GET /offline/{version}/…`: whole or not at all, so that no service worker keeps a part of another version.
pub(super) async fn kept(
    Path((wanted, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let worker = now()?;
    if wanted != worker.version {
        return Err(ApiError::NotFound);
    }
    if path == PAGE {
        return Ok(page(offline(&worker.version, Language::of(&headers))));
    }
    let path = KEPT.into_iter().find(|kept| *kept == path).ok_or(ApiError::NotFound)?;
    Ok(file(path, "public, max-age=31536000, immutable", asset(path)?))
}

fn file(path: &str, keep: &'static str, content: Vec<u8>) -> Response {
    let kind = if path == "js" { media_type(WORKER) } else { media_type(path) };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    guarded((StatusCode::OK, headers, content).into_response())
}

/// `GET /manifest.webmanifest`, in the browser's language.
pub(super) async fn manifest(State(_): State<App>, headers: HeaderMap) -> Response {
    let language = Language::of(&headers);
    let (name, short, about) = match language {
        Language::English => ("Nodpay for guardians", "Nodpay", "See what your child wants to buy, and nod."),
        Language::Chinese => ("点头付家长端", "点头付", "看看孩子想买什么，然后点头。"),
    };
    let icon = |file: &str, size: u32, purpose: &str| json!({ "src": format!("/static/img/{file}"), "sizes": format!("{size}x{size}"), "type": "image/png", "purpose": purpose });
    let manifest = json!({
        "id": "/app",
        "name": name,
        "short_name": short,
        "description": about,
        "lang": language.tag(),
        "dir": "ltr",
        "start_url": "/app",
        "scope": "/",
        "display": "standalone",
        "theme_color": "#f5f1e8",
        "background_color": "#f5f1e8",
        "categories": ["finance"],
        "icons": [
            icon("icon-192.png", 192, "any"),
            icon("icon-512.png", 512, "any"),
            icon("icon-maskable-512.png", 512, "maskable"),
        ],
    });
    let mut response = file("x.webmanifest", "no-cache", manifest.to_string().into_bytes());
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    response
}

/// Says what cannot be done, in both languages, the browser's first.
fn offline(version: &str, language: Language) -> Markup {
    let at = |path: &str| format!("/offline/{version}/{path}");
    let english = html! {
        section.card lang="en" {
            h1 { "No connection" }
            p.lead { "This phone does not reach the service right now." }
            ul.sentences {
                li { "You cannot see, approve or refuse an order here until it does." }
                li { "Nothing is paid by this phone meanwhile: without your nod an order ends by itself, unpaid." }
                li { "Rules that you signed, and other guardians, go on as always." }
            }
        }
    };
    let chinese = html! {
        section.card lang="zh-CN" {
            h1 { "没有网络连接" }
            p.lead { "这部手机现在连不上服务。" }
            ul.sentences {
                li { "恢复连接之前，不能在这里查看、同意或拒绝订单。" }
                li { "这段时间这部手机不会付任何款：没有您点头，订单会自行结束，不会付款。" }
                li { "您签署过的规则和其他家长照常生效。" }
            }
        }
    };
    let (first, second, again) = match language {
        Language::English => (english, chinese, "Try again · 重试"),
        Language::Chinese => (chinese, english, "重试 · Try again"),
    };
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                title { "Nodpay · 点头付" }
                link rel="icon" href=(at("img/logo.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(at("css/app.css"));
                script type="module" src=(at("js/offline.js")) {}
            }
            body.offline {
                main.narrow data-testid="offline-page" {
                    div.hero { img.logo src=(at("img/logo.svg")) alt="" width="67" height="67"; }
                    (first)
                    (second)
                    a #again .main href="/app" data-testid="offline-retry" { (again) }
                }
            }
        }
    }
}
