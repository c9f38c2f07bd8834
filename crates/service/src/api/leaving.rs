//! Taking everything along, and what is told of a household that was erased.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use nodpay_core::{Day, Digest, HouseholdId, Timestamp};
use nodpay_protocol::sha256;
use serde::Serialize;

use crate::App;
use crate::extract::Path;
use crate::limits::Purpose;
use crate::problem::ApiError;
use crate::sessions::{GuardianSession, Stranger, limit};

/// All that is kept of the household, as one ZIP file.
pub(super) async fn archive(State(app): State<App>, session: GuardianSession) -> Result<Response, ApiError> {
    limit(&app, Purpose::Archive, Digest::from_bytes(sha256(session.household.as_bytes())))?;
    let name = format!("attachment; filename=\"nodpay-{}.zip\"", Day::of(app.now()));
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Internal(error.to_string()))?;
    let kind = HeaderValue::from_static("application/zip");
    let body = Body::from_stream(crate::archive::stream(app, session.household));
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], body).into_response())
}

/// What stays of an erased household, for the page that still knows its id.
#[derive(Serialize)]
pub(super) struct Gone {
    at: Timestamp,
    books_years: u32,
}

/// `null` for a household that was not erased, or that never was.
pub(super) async fn erased(
    State(app): State<App>,
    _: Stranger,
    Path(household): Path<HouseholdId>,
) -> Result<Json<Option<Gone>>, ApiError> {
    let books_years = app.config().keep.books_years;
    Ok(Json(app.store().erased(household).await?.map(|at| Gone { at, books_years })))
}
