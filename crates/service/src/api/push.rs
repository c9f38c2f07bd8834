//! A guardian's phone subscribes to push messages, tries them and leaves.

use axum::Json;
use axum::extract::State;
use nodpay_core::{Bytes, Digest, PublicKey};
use nodpay_protocol::sha256;
use nodpay_store::{NewSubscription, PushAuth, PushDetail, PushLanguage, Subscription};
use serde::{Deserialize, Serialize};

use super::watch::{Accepted, accepted};
use crate::App;
use crate::extract::Json as JsonBody;
use crate::limits::Purpose;
use crate::problem::ApiError;
use crate::push::{Endpoint, Sent, send_test};
use crate::sessions::{GuardianSession, limit};

#[derive(Serialize)]
pub(super) struct Key {
    /// `applicationServerKey` (Push API, section 7.2).
    key: PublicKey,
}

pub(super) async fn key(State(app): State<App>, _: GuardianSession) -> Result<Json<Key>, ApiError> {
    Ok(Json(Key { key: app.push().key()? }))
}

/// A `PushSubscription` as browsers write it, and what notifications are to be like.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribeBody {
    endpoint: String,
    p256dh: PublicKey,
    auth: Bytes<16, 16>,
    language: PushLanguage,
    /// Left out, an earlier choice stays; at first nothing but that something waits is shown.
    detail: Option<PushDetail>,
}

#[derive(Serialize)]
pub(super) struct Subscribed {
    detail: PushDetail,
}

pub(super) async fn subscribe(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<SubscribeBody>,
) -> Result<Json<Subscribed>, ApiError> {
    app.push().key()?;
    limit(&app, Purpose::Push, Digest::from_bytes(sha256(session.guardian.as_bytes())))?;
    Endpoint::parse(&body.endpoint, app.config().private_endpoints()).map_err(|_| ApiError::PushEndpoint)?;
    let auth = body.auth.as_bytes().try_into().map_err(|_| ApiError::PushEndpoint)?;
    let subscription = Subscription {
        household: session.household,
        guardian: session.guardian,
        id: id_of(&body.endpoint),
        endpoint: body.endpoint,
        key: body.p256dh,
        auth: PushAuth(auth),
        language: body.language,
        detail: body.detail.unwrap_or(PushDetail::Plain),
    };
    let new = NewSubscription { subscription, session: session.session, chosen: body.detail.is_some() };
    Ok(Json(Subscribed { detail: app.store().subscribe_push(new, app.now()).await? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointBody {
    endpoint: String,
}

fn id_of(endpoint: &str) -> Digest {
    Digest::from_bytes(sha256(endpoint.as_bytes()))
}

pub(super) async fn remove(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<EndpointBody>,
) -> Result<Accepted, ApiError> {
    app.store().unsubscribe_push(session.household, session.guardian, id_of(&body.endpoint)).await?;
    Ok(accepted())
}

/// Sends a message to the phone that asks for it, and says whether its push service took it.
pub(super) async fn test(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<EndpointBody>,
) -> Result<Accepted, ApiError> {
    limit(&app, Purpose::Push, Digest::from_bytes(sha256(session.guardian.as_bytes())))?;
    let found = app.store().subscription(session.household, id_of(&body.endpoint)).await?;
    let own = found.filter(|found| found.guardian == session.guardian).ok_or(ApiError::PushUnknown)?;
    match send_test(&app, &own).await?.ok_or(ApiError::PushOff)? {
        Sent::Taken => Ok(accepted()),
        Sent::Gone => Err(ApiError::PushUnknown),
        Sent::Refused | Sent::Later(_) => Err(ApiError::PushNotTaken),
    }
}
