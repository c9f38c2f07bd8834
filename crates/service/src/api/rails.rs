//! What rails tell us by themselves.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;

use crate::App;
use crate::api::watch::{Accepted, accepted};
use crate::problem::ApiError;
use crate::rails::stripe::{News, WebhookError, news_of_event};

/// An event of Stripe's. It is not believed, only taken as a reason to ask now.
pub(super) async fn stripe_event(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, ApiError> {
    // Without a secret nothing verifies.
    let secret = app.rails().webhook_secret().ok_or(WebhookError::Signature)?;
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    match news_of_event(secret, signature, &body, app.now())? {
        Some(News::Transfer(transfer)) if app.store().wake_rail(transfer, app.now()).await? => app.rails().wake(),
        Some(News::Dispute(dispute)) => disputed(&app, &dispute).await?,
        Some(News::Transfer(_)) | None => {}
    }
    Ok(accepted())
}

/// An event that was not accepted comes again, for days.
async fn disputed(app: &App, dispute: &str) -> Result<(), ApiError> {
    let stripe = app.rails().stripe().ok_or(ApiError::RailUnavailable)?;
    let Some(news) = stripe.dispute(dispute).await.map_err(|_| ApiError::RailUnavailable)? else { return Ok(()) };
    if let Some(state) = app.store().take_dispute(news, app.now()).await? {
        crate::metrics::disputed(state);
    }
    Ok(())
}
