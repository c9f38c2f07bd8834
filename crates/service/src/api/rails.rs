//! What rails tell us by themselves.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;

use crate::App;
use crate::api::watch::{Accepted, accepted};
use crate::problem::ApiError;
use crate::rails::stripe::{WebhookError, transfer_of_event};

/// An event of Stripe's. It is not believed, only taken as a reason to ask now.
pub(super) async fn stripe_event(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, ApiError> {
    // Without a secret nothing verifies.
    let secret = app.rails().webhook_secret().ok_or(WebhookError::Signature)?;
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    if let Some(transfer) = transfer_of_event(secret, signature, &body, app.now())?
        && app.store().wake_rail(transfer, app.now()).await?
    {
        app.rails().wake();
    }
    Ok(accepted())
}
