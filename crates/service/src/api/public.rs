//! What anybody may know.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use nodpay_core::{PublicKey, Timestamp};
use serde::Serialize;

use crate::App;
use crate::problem::ApiError;
use crate::verified;

/// Earlier outcome certificates that watches are told: a watch needs one only for an order that ended while it was away.
const MAX_EARLIER: usize = 3;

/// The process runs.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// The database can be read and written, and the service is not about to stop.
pub(super) async fn ready(State(app): State<App>) -> Result<(StatusCode, &'static str), ApiError> {
    if app.is_leaving() {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "stopping\n"));
    }
    app.store().ready().await?;
    Ok((StatusCode::OK, "ready\n"))
}

pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::render(app.store().commits()))
}

#[derive(Serialize)]
pub(super) struct Service {
    now: Timestamp,
    root: PublicKey,
    outcome_certificate: String,
    /// Of keys that were changed since and whose outcomes may still be under way, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_outcome_certificates: Vec<String>,
    rp_id: String,
    origins: Vec<String>,
    demo: bool,
}

pub(super) async fn service(State(app): State<App>) -> Result<Json<Service>, ApiError> {
    let now = app.now();
    let all = verified::outcome_certificates(&app).await?;
    let earlier = all.iter().skip(1).filter(|certificate| now < certificate.not_after).take(MAX_EARLIER);
    Ok(Json(Service {
        now,
        root: app.keys().root(),
        outcome_certificate: app.keys().outcome_certificate().wire().to_owned(),
        earlier_outcome_certificates: earlier.map(|certificate| certificate.wire().to_owned()).collect(),
        rp_id: app.config().rp_id.clone(),
        origins: app.config().origins.clone(),
        demo: app.config().demo,
    }))
}
