//! The static files over HTTP: `/static/EDITION/PATH` for pages, compressed and kept by browsers for good, and `/static/PATH`,
//! each source as it is written, for whoever reads them.

use axum::extract::{Path, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::edition::{Assets, Coding, Edition};
use super::guarded;
use crate::App;
use crate::problem::ApiError;

/// Checks the pages' own verification against the published vectors; for tests, so only the demo has it.
const SELF_TEST: &str = "js/selftest.js";
/// A file of an edition never changes.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// One file: of the edition that is named, or as it is written, where 304 says that the browser has this very version.
pub(super) async fn file(
    State(app): State<App>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let edition = Edition::now();
    let named = path.split_once('/').filter(|(name, _)| *name == edition.name()).map(|(_, path)| path.to_owned());
    if named.as_deref().unwrap_or(&path) == SELF_TEST && !app.config().demo {
        return Err(ApiError::NotFound);
    }
    match named {
        Some(path) => {
            let coding = Coding::of(&headers);
            // The first request for a form makes it.
            let made = tokio::task::spawn_blocking(move || {
                edition.file(&path).map(|file| file.bytes(coding)).map(|bytes| (path, bytes))
            });
            let made = made.await.map_err(|error| ApiError::Internal(error.to_string()))?;
            let (path, bytes) = made.ok_or(ApiError::NotFound)?;
            let mut response = bytes.into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(&path)));
            response.headers_mut().insert(header::CACHE_CONTROL, FOR_GOOD);
            say_coding(&mut response, coding);
            Ok(guarded_file(&path, response))
        }
        None => source(&path, &headers),
    }
}

fn source(path: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let file = Assets::get(path).ok_or(ApiError::NotFound)?;
    let digest: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.to_str().is_ok_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag))
    });
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, media_type(path))], file.data.into_owned()).into_response(),
    };
    let tag = HeaderValue::from_str(&tag).map_err(|error| ApiError::Internal(error.to_string()))?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(guarded(response))
}

/// Says what form the body has, and that it depends on the request.
pub(super) fn say_coding(response: &mut Response, coding: Option<Coding>) {
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// A script, style or words have no policy of their own: theirs is the page's. What a browser can open by itself has one.
fn guarded_file(path: &str, mut response: Response) -> Response {
    match path.rsplit_once('.') {
        Some((_, "js" | "css" | "json")) => {
            response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        _ => guarded(response),
    }
}

/// By the ending; a test knows that every file has one of these.
pub(super) fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
