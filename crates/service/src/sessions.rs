//! Who is asking: a guardian's or till's session cookie, a merchant's API key, a watch's proof.
//!
//! Cookies are 32 random bytes, `HttpOnly`, `SameSite=Strict`, good for 12 hours; whoever uses one for more than
//! reading must also come from one of our own pages. Guardian and till have cookies of different names, so that both
//! can be open in one browser.

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use nodpay_core::{Digest, GuardianId, HouseholdId, MerchantId, PublicKey, WatchId};
use nodpay_protocol::verify_request;
use nodpay_store::{NewSession, PairingState, SessionOf, StoreError, TokenHash};

use crate::App;
use crate::extract::{OwnPage, Path, bearer, cookie, is_unsafe, text};
use crate::limits::{ProofRefusal, Purpose};
use crate::problem::{ApiError, ProofError};
use crate::secrets::Token;

/// How long a session is good.
pub const SESSION_LIFE_MS: i64 = 12 * 60 * 60 * 1000;

/// The guardian's cookie.
pub const GUARDIAN_COOKIE: &str = "nodpay_session";
/// The till's cookie.
pub const TILL_COOKIE: &str = "nodpay_till";

/// A guardian who is logged in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardianSession {
    pub(crate) household: HouseholdId,
    pub(crate) guardian: GuardianId,
    pub(crate) token: TokenHash,
}

impl FromRequestParts<App> for GuardianSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = session_token(parts, GUARDIAN_COOKIE).ok_or(ApiError::NoGuardian)?;
        if is_unsafe(&parts.method) {
            OwnPage::from_request_parts(parts, app).await?;
        }
        match app.store().session(token, app.now()).await? {
            Some(SessionOf::Guardian { household, guardian }) => Ok(Self { household, guardian, token }),
            Some(SessionOf::Till { .. }) | None => Err(ApiError::NoGuardian),
        }
    }
}

/// A merchant, by API key or by its till's session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MerchantSession {
    pub(crate) merchant: MerchantId,
}

impl FromRequestParts<App> for MerchantSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if let Some(key) = bearer(&parts.headers) {
            let key = Token::from_api_key(key).ok_or(ApiError::NoMerchant)?;
            let merchant = app.store().merchant_by_api_key(key.stored()).await?;
            return merchant.map(|row| Self { merchant: row.merchant }).ok_or(ApiError::NoMerchant);
        }
        let token = session_token(parts, TILL_COOKIE).ok_or(ApiError::NoMerchant)?;
        if is_unsafe(&parts.method) {
            OwnPage::from_request_parts(parts, app).await?;
        }
        match app.store().session(token, app.now()).await? {
            Some(SessionOf::Till { merchant }) => Ok(Self { merchant }),
            Some(SessionOf::Guardian { .. }) | None => Err(ApiError::NoMerchant),
        }
    }
}

fn session_token(parts: &Parts, name: &str) -> Option<TokenHash> {
    cookie(&parts.headers, name)?.parse::<Token>().ok().map(|token| token.stored())
}

/// Opens a session and gives the cookie that holds it.
pub(crate) async fn open(app: &App, of: SessionOf) -> Result<HeaderValue, ApiError> {
    let now = app.now();
    let token = Token::new()?;
    let session = NewSession { token: token.stored(), of, expires: now.plus_ms(SESSION_LIFE_MS) };
    app.store().create_session(session, now).await?;
    set_cookie(app, name_for(of), &token.to_text(), SESSION_LIFE_MS / 1_000)
}

/// The cookie that takes a session's cookie away.
pub(crate) fn clear(app: &App, name: &str) -> Result<HeaderValue, ApiError> {
    set_cookie(app, name, "", 0)
}

const fn name_for(of: SessionOf) -> &'static str {
    match of {
        SessionOf::Guardian { .. } => GUARDIAN_COOKIE,
        SessionOf::Till { .. } => TILL_COOKIE,
    }
}

fn set_cookie(app: &App, name: &str, value: &str, max_age_s: i64) -> Result<HeaderValue, ApiError> {
    let secure = if app.config().is_https() { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
    let mut cookie = HeaderValue::try_from(cookie).map_err(|error| ApiError::Internal(error.to_string()))?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

/// What a watch is to its household.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It claimed a pairing; whether it is the right one only the guardian can tell. It may wait, nothing else.
    Pending,
    Enrolled,
    /// It may read that it was removed and how its orders ended.
    Removed,
}

/// A watch that proved its key for this very request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchProof {
    pub(crate) household: HouseholdId,
    pub(crate) watch: WatchId,
    pub(crate) standing: Standing,
}

impl FromRequestParts<App> for WatchProof {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // The watch is the first part of every path that needs a proof.
        let Path(ids) = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, app).await?;
        let watch: WatchId = ids.get("watch").and_then(|id| id.parse().ok()).ok_or(ApiError::NotFound)?;
        let now = app.now();
        let refused = |why| ApiError::Proof { why, now };
        let proof = text(&parts.headers, axum::http::HeaderName::from_static("dpop"))
            .ok_or_else(|| refused(ProofError::Missing))?;
        let (household, key, standing) = who_is(app, watch).await?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let proof = verify_request(proof, &key, parts.method.as_str(), path, now)
            .map_err(|error| refused(ProofError::Verify(error)))?;
        app.proofs().claim(watch, proof.jti, now).map_err(|refusal| match refusal {
            ProofRefusal::Reused => refused(ProofError::Reused),
            ProofRefusal::Full => refused(ProofError::Full),
        })?;
        Ok(Self { household, watch, standing })
    }
}

/// The key a watch must prove: enrolled, or claimed in a pairing that is still open. It may be enrolled between the two
/// looks, which closes the pairing: then a third look finds it.
async fn who_is(app: &App, watch: WatchId) -> Result<(HouseholdId, PublicKey, Standing), ApiError> {
    if let Some(known) = enrolled(app, watch).await? {
        return Ok(known);
    }
    if let Some(pairing) = app.store().pairing_of_watch(watch, app.now()).await?
        && let PairingState::Claimed(claim) = pairing.state
    {
        return Ok((pairing.household, claim.key, Standing::Pending));
    }
    Ok(enrolled(app, watch).await?.ok_or(StoreError::WatchUnknown)?)
}

async fn enrolled(app: &App, watch: WatchId) -> Result<Option<(HouseholdId, PublicKey, Standing)>, ApiError> {
    let row = app.store().household_of_watch(watch).await?;
    Ok(row.map(|row| {
        let standing = if row.removed { Standing::Removed } else { Standing::Enrolled };
        (row.household, row.enrolled.key, standing)
    }))
}

/// What a watch that has proved its key is by now.
pub(crate) async fn standing(app: &App, watch: WatchId) -> Result<Standing, ApiError> {
    Ok(match app.store().household_of_watch(watch).await? {
        Some(row) if row.removed => Standing::Removed,
        Some(_) => Standing::Enrolled,
        None => Standing::Pending,
    })
}

/// Takes one of `who`'s tries.
pub(crate) fn limit(app: &App, purpose: Purpose, who: Digest) -> Result<(), ApiError> {
    app.limits().take(purpose, who, app.now()).map_err(|retry_ms| ApiError::TooManyTries { retry_ms })
}
