//! Taking everything along.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use nodpay_core::{Day, Digest};
use nodpay_protocol::sha256;

use crate::App;
use crate::limits::Purpose;
use crate::problem::ApiError;
use crate::sessions::{GuardianSession, limit};

/// All that is kept of the household, as one ZIP file.
pub(super) async fn archive(State(app): State<App>, session: GuardianSession) -> Result<Response, ApiError> {
    limit(&app, Purpose::Archive, Digest::from_bytes(sha256(session.household.as_bytes())))?;
    let name = format!("attachment; filename=\"nodpay-{}.zip\"", Day::of(app.now()));
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Internal(error.to_string()))?;
    let kind = HeaderValue::from_static("application/zip");
    let body = Body::from_stream(crate::archive::stream(app, session.household));
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], body).into_response())
}
