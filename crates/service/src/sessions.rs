//! Who is asking: a guardian's or till's session cookie, a merchant's API key, a watch's proof.
//!
//! A cookie holds 32 random bytes, the database their digest. While a session is used its token changes every
//! [`ROTATE_AFTER_MS`]. The token before it stays good until the new one was shown, because the answer that brought that may
//! be lost, and [`GRACE_MS`] longer, for requests that were under way; whoever shows it later has a copy, and the session ends.
//!
//! Cookies are `HttpOnly`, `SameSite=Strict` (our pages fetch everything themselves, so a link that leads to them from
//! elsewhere needs none), and on HTTPS `Secure` with the prefix `__Host-`, which no other host and no plain HTTP can set.
//! Whoever uses one for more than reading must also come from one of our own pages. Guardian and till have cookies of
//! different names, so that both can be open in one browser.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderValue;
use axum::http::request::Parts;
use nodpay_core::{Digest, GuardianId, HouseholdId, MerchantId, PublicKey, SessionId, Timestamp, WatchId};
use nodpay_protocol::{sha256, verify_request};
use nodpay_store::recent::lock;
use nodpay_store::{Device, NewSession, NewToken, PairingState, SessionOf, SessionRow, Shown, StoreError};

use crate::App;
use crate::extract::{OwnPage, Path, bearer, cookie, is_unsafe, text};
use crate::limits::{ProofRefusal, Purpose};
use crate::problem::{ApiError, ProofError};
use crate::secrets::Token;

/// How long a guardian's session is good without being used: a day.
pub const SESSION_IDLE_MS: i64 = 24 * 60 * 60 * 1000;
/// How long it is good at all: two weeks.
pub const SESSION_LIFE_MS: i64 = 14 * SESSION_IDLE_MS;
/// How long a till's session is good, used or not: a shop's day.
pub const TILL_LIFE_MS: i64 = 12 * 60 * 60 * 1000;
/// A token that is used after this time is changed.
pub const ROTATE_AFTER_MS: i64 = 10 * 60 * 1000;
/// How long the token before it is good after the new one was shown: longer than a request may take.
pub const GRACE_MS: i64 = 30_000;

/// The guardian's cookie; [`cookie_name`] says how it is called where.
pub const GUARDIAN_COOKIE: &str = "nodpay_session";
/// The till's cookie.
pub const TILL_COOKIE: &str = "nodpay_till";

/// A cookie's whole name.
#[must_use]
pub fn cookie_name(name: &'static str, https: bool) -> String {
    format!("{}{name}", if https { "__Host-" } else { "" })
}

/// A guardian who is logged in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardianSession {
    pub(crate) household: HouseholdId,
    pub(crate) guardian: GuardianId,
    pub(crate) session: SessionId,
}

impl FromRequestParts<App> for GuardianSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match shown(parts, app, GUARDIAN_COOKIE, ApiError::NoGuardian).await? {
            SessionRow { of: SessionOf::Guardian { household, guardian }, session, .. } => {
                limit(app, Purpose::Guardian, Digest::from_bytes(sha256(guardian.as_bytes())))?;
                Ok(Self { household, guardian, session })
            }
            SessionRow { of: SessionOf::Till { .. }, .. } => Err(ApiError::NoGuardian),
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
        match shown(parts, app, TILL_COOKIE, ApiError::NoMerchant).await? {
            SessionRow { of: SessionOf::Till { merchant }, .. } => Ok(Self { merchant }),
            SessionRow { of: SessionOf::Guardian { .. }, .. } => Err(ApiError::NoMerchant),
        }
    }
}

/// The session whose cookie a request shows. Its token may be changed by that.
async fn shown(parts: &mut Parts, app: &App, name: &'static str, nobody: ApiError) -> Result<SessionRow, ApiError> {
    let cookie = cookie(&parts.headers, &cookie_name(name, app.config().is_https()));
    let Some(token) = cookie.and_then(|cookie| cookie.parse::<Token>().ok()) else { return Err(nobody) };
    if is_unsafe(&parts.method) {
        OwnPage::from_request_parts(parts, app).await?;
    }
    let now = app.now();
    let Some(row) = app.store().session(token.stored(), now).await? else { return Err(nobody) };
    match next(&row, now) {
        Next::GoOn => {}
        Next::Confirm => kept(app.store().confirm_session(row.clone(), now.plus_ms(GRACE_MS)).await),
        Next::Rotate => rotate(parts, app, name, &row, now).await?,
        Next::End => {
            tracing::warn!("a session ended: a token of it that had been changed was shown again");
            app.store().end_session(row.session).await?;
            return Err(nobody);
        }
    }
    Ok(row)
}

/// What a session's use leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The newest token has come to its holder.
    Confirm,
    /// It is time for another, or the last one got lost.
    Rotate,
    /// Somebody has a copy of an old one.
    End,
}

fn next(row: &SessionRow, now: Timestamp) -> Next {
    let age_ms = now.ms_since(row.rotated);
    match row.shown {
        Shown::Present { first: true, .. } => Next::Confirm,
        Shown::Present { .. } if age_ms >= ROTATE_AFTER_MS => Next::Rotate,
        Shown::Earlier { until: Some(until), .. } if now >= until => Next::End,
        Shown::Earlier { until: None, .. } if age_ms >= GRACE_MS => Next::Rotate,
        Shown::Present { .. } | Shown::Earlier { .. } => Next::GoOn,
    }
}

async fn rotate(
    parts: &Parts,
    app: &App,
    name: &'static str,
    row: &SessionRow,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(answer) = parts.extensions.get::<NewCookie>() else { return Ok(()) };
    let (token, (idle_ms, _)) = (Token::new()?, life_ms(row.of));
    let to = NewToken { token: token.stored(), expires: now.plus_ms(idle_ms) };
    match app.store().rotate_session(row.clone(), to, now).await {
        Ok(true) => answer.set(set_cookie(app, name, &token.to_text(), idle_ms / 1_000)?),
        // Another request was first, or the database takes nothing in now: the present token goes on.
        Ok(false) => {}
        Err(error) => kept(Err(error)),
    }
    Ok(())
}

/// A session that could not be changed is still one.
fn kept(done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a session's token was not changed");
    }
}

/// The cookie that the answer to a request is to set, where its session's token changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewCookie(Arc<Mutex<Option<HeaderValue>>>);

impl NewCookie {
    fn set(&self, cookie: HeaderValue) {
        *lock(&self.0) = Some(cookie);
    }

    pub(crate) fn take(&self) -> Option<HeaderValue> {
        lock(&self.0).take()
    }
}

/// Without a use, and at all.
const fn life_ms(of: SessionOf) -> (i64, i64) {
    match of {
        SessionOf::Guardian { .. } => (SESSION_IDLE_MS, SESSION_LIFE_MS),
        SessionOf::Till { .. } => (TILL_LIFE_MS, TILL_LIFE_MS),
    }
}

/// Opens a session and gives the cookie that holds it.
pub(crate) async fn open(app: &App, of: SessionOf, stranger: Stranger) -> Result<HeaderValue, ApiError> {
    let (now, token, (idle_ms, all_ms)) = (app.now(), Token::new()?, life_ms(of));
    let session = NewSession {
        session: SessionId::from_bytes(crate::secrets::random()?),
        token: token.stored(),
        of,
        device: stranger.device,
        expires: now.plus_ms(idle_ms),
        ends: now.plus_ms(all_ms),
    };
    app.store().create_session(session, now).await?;
    let name = match of {
        SessionOf::Guardian { .. } => GUARDIAN_COOKIE,
        SessionOf::Till { .. } => TILL_COOKIE,
    };
    set_cookie(app, name, &token.to_text(), idle_ms / 1_000)
}

/// The cookie that a guardian's cookie goes away with.
pub(crate) fn clear(app: &App) -> Result<HeaderValue, ApiError> {
    set_cookie(app, GUARDIAN_COOKIE, "", 0)
}

fn set_cookie(app: &App, name: &'static str, value: &str, max_age_s: i64) -> Result<HeaderValue, ApiError> {
    let https = app.config().is_https();
    let (name, secure) = (cookie_name(name, https), if https { "; Secure" } else { "" });
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
    let mut cookie = HeaderValue::try_from(cookie).map_err(|error| ApiError::Internal(error.to_string()))?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

/// Somebody who has proved nothing yet. They are limited by where they come from: an address, or a network of IPv6.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    device: Device,
}

impl FromRequestParts<App> for Stranger {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        // What the proxy in front of us added comes last; what is before it anybody may have written.
        let forwarded = app.config().behind_proxy.then(|| parts.headers.get_all("x-forwarded-for").iter().next_back());
        let forwarded =
            forwarded.flatten().and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        if let Some(address) = forwarded.or(peer) {
            limit(app, Purpose::Stranger, Digest::from_bytes(sha256(&network(address))))?;
        }
        Ok(Self { device: crate::device::of(&parts.headers)? })
    }
}

/// An IPv4 address, or the first 64 bits of an IPv6 one: whoever has one of those has them all.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
    }
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
    let Some(row) = app.store().household_of_watch(watch).await? else { return Ok(None) };
    if row.removed && app.store().erased(row.household).await?.is_some() {
        return Err(StoreError::HouseholdErased.into());
    }
    let standing = if row.removed { Standing::Removed } else { Standing::Enrolled };
    Ok(Some((row.household, row.enrolled.key, standing)))
}

/// What a watch that has proved its key is by now.
pub(crate) async fn standing(app: &App, watch: WatchId) -> Result<Standing, ApiError> {
    Ok(match app.store().household_of_watch(watch).await? {
        Some(row) if row.removed => Standing::Removed,
        Some(_) => Standing::Enrolled,
        None => Standing::Pending,
    })
}

/// Takes one of the tries that a household or merchant has at what takes long.
pub(crate) fn limit_heavy(app: &App, who: &[u8; 16]) -> Result<(), ApiError> {
    limit(app, Purpose::Heavy, Digest::from_bytes(sha256(who)))
}

/// Takes one of `who`'s tries.
pub(crate) fn limit(app: &App, purpose: Purpose, who: Digest) -> Result<(), ApiError> {
    app.limits().take(purpose, who, app.now()).map_err(|retry_ms| ApiError::TooManyTries { retry_ms })
}

#[cfg(test)]
mod tests {
    use nodpay_core::Text;
    use nodpay_store::TokenHash;

    use super::*;

    #[test]
    fn tokens_change_and_copies_end_a_session() {
        let token = TokenHash([1; 32]);
        let at = |ms| Timestamp::from_unix_ms(1_000_000 + ms);
        let row = |shown| SessionRow {
            session: SessionId::from_bytes([2; 16]),
            of: SessionOf::Till { merchant: MerchantId::from_bytes([3; 16]) },
            device: Text::new("other/other").expect("a device"),
            created: at(0),
            seen: at(0),
            rotated: at(0),
            expires: at(TILL_LIFE_MS),
            shown,
        };
        let present = |first| row(Shown::Present { token, first });
        let earlier = |until: Option<i64>| row(Shown::Earlier { token, until: until.map(at) });
        for (row, ms, then) in [
            (present(false), ROTATE_AFTER_MS - 1, Next::GoOn),
            (present(false), ROTATE_AFTER_MS, Next::Rotate),
            (present(true), ROTATE_AFTER_MS, Next::Confirm),
            (earlier(None), GRACE_MS - 1, Next::GoOn),
            (earlier(None), GRACE_MS, Next::Rotate),
            (earlier(Some(GRACE_MS)), GRACE_MS - 1, Next::GoOn),
            (earlier(Some(GRACE_MS)), GRACE_MS, Next::End),
        ] {
            assert_eq!(next(&row, at(ms)), then, "{row:?} after {ms} ms");
        }
    }

    #[test]
    fn addresses_are_limited_by_their_network() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }
}
