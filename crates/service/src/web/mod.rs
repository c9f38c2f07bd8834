//! The pages: HTML shells and the static files that fill them, all inside the program.
//!
//! Owns: what a guardian, a till and the demo load. A shell holds no data and no words but a title and what to do without
//! scripts; everything else is fetched from the API by the page's module and verified there. Only a month's sums and charts are
//! drawn here, from what the API hands over ([`month`]). Never does: sessions, state.
//!
//! Invariants:
//! - every page carries the content security policy: nothing from elsewhere, no inline script or style, no frames but our own;
//! - static files are named by the digest of all of them, so a page never mixes two versions;
//! - only what holds no secret is compressed: not the API's answers, whose length would tell of what they hold beside what
//!   others may write into them (BREACH).

mod chart;
mod edition;
mod files;
mod install;
pub(crate) mod month;
mod shell;
mod words;

use std::future::{Ready, ready};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::Markup;

use crate::App;
use crate::api::routes;
use crate::extract::cookie;
use crate::problem::ApiError;
use crate::sessions::{GUARDIAN_COOKIE, cookie_name};
use edition::{Coding, Edition};

pub(crate) use shell::Language;

/// Nothing from elsewhere. `blob:` pictures are frames of the camera; there is no inline script or style.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'self'";
/// What pages may ask the browser for.
const PERMISSIONS_POLICY: &str = "camera=(self), publickey-credentials-create=(self), publickey-credentials-get=(self), \
     payment=(self), geolocation=(), microphone=()";

routes! {
    /// Every page and static file; what the service draws itself is in the API's table.
    PAGE_ROUTES:

    get "/" page(shell::Page::Start), Public;
    get "/join" page(shell::Page::Join), Public;
    get "/app" page(shell::Page::App), Public;
    get "/newcomer" page(shell::Page::Newcomer), Public;
    get "/recover" page(shell::Page::Recover), Public;
    get "/till" page(shell::Page::Till), Public;
    get "/demo" demo, Public;
    get "/static/{*path}" files::file, Public;
    get "/sw.js" install::worker, Public;
    get "/manifest.webmanifest" install::manifest, Public;
    get "/offline/{version}/{*path}" install::kept, Public;
}

async fn demo(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    match app.config().demo {
        true => Ok(render(&app, &headers, shell::Page::Demo)),
        false => Err(ApiError::NotFound),
    }
}

fn page(page: shell::Page) -> impl Fn(State<App>, HeaderMap) -> Ready<Response> + Clone {
    move |State(app), headers| ready(render(&app, &headers, page))
}

fn render(app: &App, headers: &HeaderMap, page: shell::Page) -> Response {
    let known = cookie(headers, &cookie_name(GUARDIAN_COOKIE, app.config().is_https())).is_some();
    let markup = shell::render(page, shell::Language::of(headers), known, &Edition::now());
    html(headers, &markup.into_string())
}

/// A page that the service drew itself. It is not compressed, since it holds a household's data.
pub(crate) fn drawn(markup: Markup) -> Response {
    document(Bytes::from(markup.into_string()), None)
}

fn html(headers: &HeaderMap, text: &str) -> Response {
    let coding = Coding::of(headers);
    let body = match coding {
        Some(coding) => coding.pack_quickly(text.as_bytes()),
        None => Bytes::copy_from_slice(text.as_bytes()),
    };
    document(body, coding)
}

fn document(body: Bytes, coding: Option<Coding>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
    files::say_coding(&mut response, coding);
    guarded(response)
}

/// Adds the headers that every page carries, and every file that a browser can open by itself.
fn guarded(mut response: Response) -> Response {
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Invitations are in fragments, which no referrer holds; addresses of orders need not travel either.
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod icons;
#[cfg(test)]
mod tests;
