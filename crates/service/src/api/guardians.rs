//! Several guardians: inviting one, recovering with a printed code, freezing. What they sign goes through the log.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use nodpay_core::{
    Decision, Digest, Entry, GuardianId, HouseholdError, HouseholdId, LogEntry, NewGuardian, OrderId, PairingId,
    PersonName, PublicKey, Timestamp,
};
use nodpay_protocol::{Assertion, LogBook, VerifyError, sha256, verify_guardian_claim};
use nodpay_store::{
    AppendLog, ClaimJoin, Freeze, GuardianChange, GuardianStanding, JoinClaim, JoinRow, JoinState, Message, NewJoin,
    StoreError,
};
use serde::{Deserialize, Serialize};

use super::compose::message;
use super::guardian::{PAIRING_LIFE_MS, digest_of, moved, repeated};
use super::watch::{Accepted, accepted};
use crate::App;
use crate::extract::{Json as JsonBody, OwnPage, Path, Query};
use crate::households;
use crate::limits::Purpose;
use crate::problem::ApiError;
use crate::secrets::random;
use crate::sessions::{GuardianSession, Stranger, limit};
use crate::web::{self, month};

/// How far an entry's time may be from ours: signers' clocks differ, and a person takes a while to sign. What an entry may
/// do is judged by its time, so no other time is taken in.
pub(super) const MAX_ENTRY_SKEW_MS: i64 = 5 * 60 * 1000;

/// Who froze the household, and when.
#[derive(Serialize)]
pub(super) struct FreezeView {
    by: GuardianId,
    at: Timestamp,
}

impl From<Freeze> for FreezeView {
    fn from(freeze: Freeze) -> Self {
        Self { by: freeze.by, at: freeze.at }
    }
}

/// One tap stops the household's payments.
pub(super) async fn freeze(State(app): State<App>, session: GuardianSession) -> Result<Json<FreezeView>, ApiError> {
    Ok(Json(app.store().freeze(session.household, session.guardian, app.now()).await?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormQuery {
    lang: Option<web::Language>,
}

/// The same by the form of a page without scripts. It leads on to the app, which says what holds; where it did not work, a page
/// says so.
pub(super) async fn freeze_by_form(
    State(app): State<App>,
    session: Result<GuardianSession, ApiError>,
    Query(query): Query<FormQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let done = match session {
        // No page of ours sent this.
        Err(ApiError::ForeignOrigin) => return Err(ApiError::ForeignOrigin),
        Err(error) => Err(error),
        Ok(session) => freeze(State(app), session).await,
    };
    let Err(error) = done else { return Ok(Redirect::to("/app").into_response()) };
    let page = month::not_frozen(query.lang.unwrap_or_else(|| web::Language::of(&headers)), error.code())?;
    Ok((error.into_response().status(), web::drawn(page)).into_response())
}

// Inviting

#[derive(Serialize)]
pub(super) struct OpenedJoin {
    pairing: PairingId,
    expires_in_ms: i64,
}

pub(super) async fn open_join(
    State(app): State<App>,
    session: GuardianSession,
) -> Result<(StatusCode, Json<OpenedJoin>), ApiError> {
    limit(&app, Purpose::Pairing, Digest::from_bytes(sha256(session.household.as_bytes())))?;
    let pairing = PairingId::from_bytes(random()?);
    let expires = app.now().plus_ms(PAIRING_LIFE_MS);
    app.store().create_join(NewJoin { pairing, household: session.household, expires }).await?;
    Ok((StatusCode::CREATED, Json(OpenedJoin { pairing, expires_in_ms: PAIRING_LIFE_MS })))
}

#[derive(Serialize)]
pub(super) struct JoinView {
    state: &'static str,
    left_ms: i64,
    /// The newcomer's claim, for the page to check against its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    /// Opens the claim's name digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<PersonName>,
}

impl JoinView {
    fn new(row: JoinRow, now: Timestamp) -> Self {
        let left_ms = row.expires.ms_since(now).max(0);
        let (state, claim) = match row.state {
            JoinState::Open if left_ms == 0 => ("expired", None),
            JoinState::Open => ("open", None),
            JoinState::Claimed(claim) => ("claimed", Some(claim)),
            JoinState::Done(claim) => ("done", Some(claim)),
            JoinState::Closed => ("closed", None),
        };
        let (claim, name) = claim.map(|claim| (claim.message.wire, claim.name)).unzip();
        Self { state, left_ms, claim, name }
    }
}

pub(super) async fn join(
    State(app): State<App>,
    session: GuardianSession,
    Path(pairing): Path<PairingId>,
) -> Result<Json<JoinView>, ApiError> {
    let row = app.store().join(pairing).await?.filter(|row| row.household == session.household);
    Ok(Json(JoinView::new(row.ok_or(StoreError::PairingUnknown)?, app.now())))
}

/// The guardian gives an invitation up: the newcomer was not the right one.
pub(super) async fn close_join(
    State(app): State<App>,
    session: GuardianSession,
    Path(pairing): Path<PairingId>,
) -> Result<Accepted, ApiError> {
    app.store().close_join(session.household, pairing, app.now()).await?;
    Ok(accepted())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimBody {
    claim: String,
    /// Opens the claim's name digest.
    name: PersonName,
}

/// A newcomer asks to be a guardian. Whether they know the invitation's secret only the inviting phone can tell.
pub(super) async fn claim_join(
    State(app): State<App>,
    Path(pairing): Path<PairingId>,
    _: OwnPage,
    _: Stranger,
    JsonBody(body): JsonBody<ClaimBody>,
) -> Result<Accepted, ApiError> {
    limit(&app, Purpose::PairingClaim, Digest::from_bytes(sha256(pairing.as_bytes())))?;
    let claim = verify_guardian_claim(&body.claim, app.relying_party())?;
    if claim.pairing != pairing {
        return Err(ApiError::OtherPairing);
    }
    if claim.guardian.name != Some(digest_of(&body.name)) {
        return Err(ApiError::PersonName);
    }
    if app.store().guardian_by_credential(claim.guardian.credential.clone()).await?.is_some() {
        return Err(StoreError::CredentialExists.into());
    }
    let (household, guardian) = (claim.household, claim.guardian.guardian);
    let claim = JoinClaim { guardian, name: body.name, message: message(&claim) };
    app.store().claim_join(ClaimJoin { pairing, household, claim }, app.now()).await?;
    Ok(accepted())
}

#[derive(Serialize)]
pub(super) struct JoinProgress {
    state: &'static str,
}

/// What became of a claim: for the newcomer, who has no session yet.
pub(super) async fn join_progress(
    State(app): State<App>,
    _: Stranger,
    Path(pairing): Path<PairingId>,
) -> Result<Json<JoinProgress>, ApiError> {
    let row = app.store().join(pairing).await?.ok_or(StoreError::PairingUnknown)?;
    Ok(Json(JoinProgress { state: JoinView::new(row, app.now()).state }))
}

// Recovering

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// Of the printed code; the code itself stays with the page.
    key: PublicKey,
}

/// What the page needs to sign a recovery.
#[derive(Serialize)]
pub(super) struct RecoveryStart {
    now: Timestamp,
    household: HouseholdId,
    log: Vec<String>,
    root: PublicKey,
}

pub(super) async fn start_recovery(
    State(app): State<App>,
    _: OwnPage,
    _: Stranger,
    JsonBody(body): JsonBody<StartBody>,
) -> Result<Json<RecoveryStart>, ApiError> {
    limit(&app, Purpose::Recovery, Digest::from_bytes(sha256(body.key.as_bytes())))?;
    let household = app.store().household_of_recovery_key(body.key).await?.ok_or(ApiError::RecoveryUnknown)?;
    let log = app.store().log(household, 0).await?;
    let log = log.into_iter().map(|entry| entry.wire).collect();
    Ok(Json(RecoveryStart { now: app.now(), household, log, root: app.keys().root() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoverBody {
    entry: String,
    /// Opens the new guardian's name digest, where there is one.
    name: Option<PersonName>,
}

#[derive(Serialize)]
pub(super) struct Recovering {
    /// From when the new guardian can log in, unless one of the others objects.
    joins: Timestamp,
}

pub(super) async fn recover(
    State(app): State<App>,
    _: OwnPage,
    _: Stranger,
    JsonBody(body): JsonBody<RecoverBody>,
) -> Result<Json<Recovering>, ApiError> {
    let said = nodpay_protocol::entry_said(&body.entry)?;
    limit(&app, Purpose::Recovery, Digest::from_bytes(sha256(said.household.as_bytes())))?;
    let Entry::Recover(new) = &said.entry else { return Err(ApiError::NotThisEntry) };
    if new.name != body.name.as_ref().map(digest_of) {
        return Err(ApiError::PersonName);
    }
    let book = households::book(&app, said.household).await?;
    if let Some(Folded { entry, next }) = fold(&app, &book, &body.entry).await? {
        let recovery = book.recovery_keys().find(|key| !next.recovery_keys().any(|left| left == *key)).copied();
        let change = GuardianChange { recovery, newcomer: body.name, ..change(&book, &next, &entry) };
        let message = Message { wire: body.entry, digest: next.head() };
        let append = AppendLog { entry, message, counter: 0, wearer: None, pairing: None, change };
        app.store().append_log(append, app.now()).await?;
    }
    let book = households::book(&app, said.household).await?;
    let member = book.member(new.guardian).ok_or(ApiError::NotThisEntry)?;
    Ok(Json(Recovering { joins: member.joins }))
}

// What entries have in common

/// The next entry, verified, and the log with it.
pub(super) struct Folded {
    pub(super) entry: LogEntry,
    pub(super) next: LogBook,
}

/// `None` when the entry was taken in before.
pub(super) async fn fold(app: &App, book: &LogBook, wire: &str) -> Result<Option<Folded>, ApiError> {
    let mut next = LogBook::clone(book);
    let entry = match next.append(wire) {
        Ok(entry) => entry,
        Err(VerifyError::Household(HouseholdError::NotNext)) => {
            return repeated(app, book, wire).await.map(|_| None);
        }
        Err(VerifyError::Household(HouseholdError::OtherPredecessor)) => return Err(moved(book)),
        // A recovery's key is used up, so that a repeated one does not verify.
        Err(VerifyError::Signature) if is_known_recovery(app, book, wire).await => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let skew_ms = entry.at.ms_since(app.now());
    let too_early = skew_ms < -MAX_ENTRY_SKEW_MS && is_judged_by_time(&entry.entry);
    if skew_ms > MAX_ENTRY_SKEW_MS || too_early {
        return Err(ApiError::EntryTime);
    }
    Ok(Some(Folded { entry, next }))
}

async fn is_known_recovery(app: &App, book: &LogBook, wire: &str) -> bool {
    let recovery = nodpay_protocol::entry_said(wire).is_ok_and(|said| matches!(said.entry, Entry::Recover(_)));
    recovery && repeated(app, book, wire).await.is_ok()
}

/// Whether an earlier time could let an entry do more than it may now: a new watch is kept short from then on. Whether its signer
/// counts the store asks anyway.
const fn is_judged_by_time(entry: &Entry) -> bool {
    !matches!(entry, Entry::Found(_) | Entry::RemoveWatch(_) | Entry::PinCommand(_))
}

/// What the store must know of an entry beyond itself.
pub(super) fn change(before: &LogBook, after: &LogBook, entry: &LogEntry) -> GuardianChange {
    let changed = after.members().filter(|member| before.member(member.guardian.guardian) != Some(member));
    let seconded = matches!(entry.entry, Entry::Second(_)).then(|| after.enacted(entry).cloned()).flatten();
    let erase_from = after.erasing().map(|erasing| erasing.from);
    let guardians = changed.map(GuardianStanding::from).collect();
    GuardianChange { seconded, guardians, erase_from, ..GuardianChange::default() }
}

/// A guardian is added as they asked for it in an invitation that still runs.
pub(super) async fn check_invited(app: &App, household: HouseholdId, entry: &Entry) -> Result<(), ApiError> {
    let change = if let Entry::Propose(change) = entry { change } else { entry };
    let Entry::AddGuardian(NewGuardian { guardian: new, .. }) = change else { return Ok(()) };
    let row = app.store().join_of_guardian(household, new.guardian).await?.ok_or(ApiError::JoinMissing)?;
    let JoinState::Claimed(claim) = row.state else { return Err(StoreError::PairingClosed.into()) };
    if app.now() >= row.expires {
        return Err(StoreError::PairingExpired.into());
    }
    let claimed = verify_guardian_claim(&claim.message.wire, app.relying_party())?;
    if claimed.guardian == *new { Ok(()) } else { Err(ApiError::JoinMissing) }
}

/// Another guardian's answer came first: says whose, where it was a guardian's.
pub(super) async fn who_was_first(app: &App, session: GuardianSession, order: OrderId, error: StoreError) -> ApiError {
    let first = async {
        let row = app.store().order(session.household, order).await.ok()??;
        let assertion = Assertion::parse(&row.decision?.wire).ok()?;
        serde_json::from_slice::<Decision>(&assertion.payload).ok()
    };
    match first.await {
        Some(first) if first.guardian != session.guardian => {
            ApiError::DecidedBefore { guardian: first.guardian, verdict: first.verdict }
        }
        Some(_) | None => error.into(),
    }
}
