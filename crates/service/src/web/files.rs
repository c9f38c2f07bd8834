//! The static files of `assets/`, inside the program: scripts, style, words, pictures.

use axum::extract::{Path, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::guarded;
use crate::App;
use crate::problem::ApiError;

/// `assets/`, by path.
#[derive(RustEmbed)]
#[folder = "assets/"]
pub(super) struct Assets;

/// Checks the pages' own verification against the published vectors; for tests, so only the demo has it.
const SELF_TEST: &str = "js/selftest.js";

/// One file, or 304 where the browser has this very version.
pub(super) async fn file(
    State(app): State<App>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if path == SELF_TEST && !app.config().demo {
        return Err(ApiError::NotFound);
    }
    let file = Assets::get(&path).ok_or(ApiError::NotFound)?;
    let digest: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.to_str().is_ok_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag))
    });
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let kind =
                HeaderValue::from_str(media_type(&path)).map_err(|error| ApiError::Internal(error.to_string()))?;
            ([(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
        }
    };
    let tag = HeaderValue::from_str(&tag).map_err(|error| ApiError::Internal(error.to_string()))?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(guarded(response))
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
