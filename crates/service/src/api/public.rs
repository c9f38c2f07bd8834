//! What anybody may know.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use nodpay_core::{PublicKey, Timestamp};
use serde::Serialize;

use crate::App;
use crate::problem::ApiError;

/// The process runs.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// The database can be read and written.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.store().ready().await?;
    Ok("ready\n")
}

pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::render(app.store().commits()))
}

#[derive(Serialize)]
pub(super) struct Service {
    now: Timestamp,
    root: PublicKey,
    outcome_certificate: String,
    rp_id: String,
    origins: Vec<String>,
    demo: bool,
}

pub(super) async fn service(State(app): State<App>) -> Json<Service> {
    Json(Service {
        now: app.now(),
        root: app.keys().root(),
        outcome_certificate: app.keys().outcome_certificate().wire().to_owned(),
        rp_id: app.config().rp_id.clone(),
        origins: app.config().origins.clone(),
        demo: app.config().demo,
    })
}
