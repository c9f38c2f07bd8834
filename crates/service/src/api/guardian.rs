//! The guardian's side: founding, logging in, deciding. What a guardian decides is signed by a passkey; the session only
//! says who may read and ask.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use nodpay_core::{
    Amount, AskId, Bytes, Currency, Decline, Digest, Entry, FailReason, GuardianId, HouseholdId, LineId, LogEntry,
    OrderId, OrderState, PairingId, PersonName, PublicKey, RailAnswer, RailKind, RailStep, Reduction, Timestamp,
    WatchId, WearerId,
};
use nodpay_protocol::{
    Assertion, AssertionKind, LogBook, VerifyError, entry_said, name_digest, sha256, verify_first_nod,
};
use nodpay_store::{
    AppendLog, AskRequote, Balance, Decide, Message, NewHousehold, NewPairing, PairingState, SessionOf, StoreError,
};
use serde::{Deserialize, Serialize};

use super::away::{self, Away};
use super::compose::{AskView, GuardianOrder, NamedGuardian, available, message, named};
use super::guardians::{Folded, FreezeView, change, check_invited, fold, who_was_first};
use super::watch::{Accepted, accepted};
use crate::App;
use crate::events::{Audience, resume_from, stream};
use crate::extract::{Json as JsonBody, OwnPage, Path, Query, Wire};
use crate::households;
use crate::limits::Purpose;
use crate::metrics;
use crate::problem::ApiError;
use crate::secrets::{Token, random};
use crate::sessions::{self, GuardianSession, Stranger, limit, limit_heavy};
use crate::verified;

/// How long a login challenge can be answered.
const LOGIN_LIFE_MS: i64 = 5 * 60 * 1000;
/// How long a pairing code is good.
pub(super) const PAIRING_LIFE_MS: i64 = 30 * 60 * 1000;
/// Orders a page shows at once.
const ORDERS_PAGE: u32 = 20;

/// Where the answer to `found` and `login` leads.
#[derive(Serialize)]
pub(super) struct LoggedIn {
    household: HouseholdId,
    guardian: GuardianId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FoundBody {
    invitation: Token,
    entry: String,
    /// Opens the entry's `name`, where it has one.
    name: Option<PersonName>,
    currency: Currency,
}

pub(super) async fn found(
    State(app): State<App>,
    _: OwnPage,
    stranger: Stranger,
    JsonBody(body): JsonBody<FoundBody>,
) -> Result<Response, ApiError> {
    limit(&app, Purpose::Invitation, body.invitation.hash())?;
    let book = LogBook::found(&body.entry, None, app.relying_party().clone())?;
    let entry = entry_of(&body.entry)?;
    let (household, guardian) = (entry.household, entry.guardian);
    if book.guardian(guardian).and_then(|founder| founder.name) != body.name.as_ref().map(digest_of) {
        return Err(ApiError::PersonName);
    }
    let new = NewHousehold {
        invitation: body.invitation.stored(),
        message: Message { wire: body.entry, digest: book.head() },
        entry,
        name: body.name,
        currency: body.currency,
    };
    app.store().create_household(new, app.now()).await?;
    logged_in(&app, household, guardian, stranger).await
}

pub(super) fn digest_of(person: &PersonName) -> Digest {
    name_digest(person.salt, person.name.as_str())
}

async fn logged_in(
    app: &App,
    household: HouseholdId,
    guardian: GuardianId,
    stranger: Stranger,
) -> Result<Response, ApiError> {
    let cookie = sessions::open(app, SessionOf::Guardian { household, guardian }, stranger).await?;
    Ok(([(SET_COOKIE, cookie)], Json(LoggedIn { household, guardian })).into_response())
}

/// The payload of an entry that was just verified.
fn entry_of(wire: &str) -> Result<LogEntry, ApiError> {
    Ok(entry_said(wire)?)
}

#[derive(Serialize)]
pub(super) struct LoginChallenge {
    challenge: Bytes<32, 32>,
}

pub(super) async fn login_challenge(
    State(app): State<App>,
    _: OwnPage,
    _: Stranger,
) -> Result<Json<LoginChallenge>, ApiError> {
    // Each one is a row: everybody together has one budget.
    limit(&app, Purpose::LoginChallenge, Digest::from_bytes([0; 32]))?;
    let challenge = random::<32>()?;
    let now = app.now();
    app.store().create_login(challenge, now.plus_ms(LOGIN_LIFE_MS), now).await?;
    let challenge = Bytes::try_from(challenge.to_vec()).map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(Json(LoginChallenge { challenge }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginBody {
    assertion: String,
}

pub(super) async fn login(
    State(app): State<App>,
    _: OwnPage,
    stranger: Stranger,
    JsonBody(body): JsonBody<LoginBody>,
) -> Result<Response, ApiError> {
    let unverified = Assertion::parse(&body.assertion)?;
    limit(&app, Purpose::Login, Digest::from_bytes(sha256(unverified.credential.as_bytes())))?;
    let row = app.store().guardian_by_credential(unverified.credential).await?;
    let row = row.ok_or(VerifyError::UnknownGuardian)?;
    let book = households::book(&app, row.household).await?;
    let (assertion, guardian, asserted) = book.assertion(AssertionKind::Login, &body.assertion)?;
    book.answering(guardian.guardian, app.now())?;
    let challenge: [u8; 32] = assertion.payload.try_into().map_err(|_| ApiError::LoginChallenge)?;
    app.store().take_login(challenge, app.now()).await?;
    app.store().bump_counter(guardian.credential, asserted.counter, app.now()).await?;
    logged_in(&app, row.household, guardian.guardian, stranger).await
}

pub(super) async fn logout(State(app): State<App>, session: GuardianSession) -> Result<Response, ApiError> {
    app.store().end_session(session.session).await?;
    let cookie = sessions::clear(&app)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

#[derive(Serialize)]
struct Wearer {
    wearer: WearerId,
    #[serde(flatten)]
    name: PersonName,
}

#[derive(Serialize)]
struct PinReportView {
    watch: WatchId,
    /// As the watch signed it, for the page to verify.
    report: String,
}

#[derive(Serialize)]
struct KeepView {
    orders_days: u32,
    books_years: u32,
}

/// Everything a guardian's page starts from.
#[derive(Serialize)]
pub(super) struct Household {
    now: Timestamp,
    /// Where the events after this answer begin.
    events: u64,
    household: HouseholdId,
    guardian: GuardianId,
    log: Vec<String>,
    root: PublicKey,
    wearers: Vec<Wearer>,
    /// The newest one of each watch.
    pin_reports: Vec<PinReportView>,
    guardians: Vec<NamedGuardian>,
    away: Vec<Away>,
    /// The wallet's.
    balance: Amount,
    currency: Currency,
    /// What new orders are paid by.
    rail: &'static str,
    /// The operator has stopped its payments.
    frozen: bool,
    /// A guardian has.
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<FreezeView>,
    /// It was closed out.
    closed: bool,
    /// How long what is kept.
    keep: KeepView,
    rp_id: String,
    origins: Vec<String>,
    demo: bool,
}

pub(super) async fn household(State(app): State<App>, session: GuardianSession) -> Result<Json<Household>, ApiError> {
    let row = households::row(&app, session.household).await?;
    let log = app.store().log(session.household, 0).await?;
    let pins = app.store().pin_reports(session.household).await?;
    let balance = Balance { wallet: row.wallet, currency: row.currency };
    let wearers = row.wearers.iter().map(|(wearer, name)| Wearer { wearer: *wearer, name: name.clone() });
    Ok(Json(Household {
        now: app.now(),
        events: row.last_event,
        household: row.household,
        guardian: session.guardian,
        log: log.into_iter().map(|entry| entry.wire).collect(),
        root: app.keys().root(),
        wearers: wearers.collect(),
        pin_reports: pins.into_iter().map(|(watch, report)| PinReportView { watch, report: report.wire }).collect(),
        guardians: named(&row),
        away: away::views(&row, app.now()),
        balance: available(balance)?,
        currency: row.currency,
        rail: app.store().payer(row.household).await?.map_or(RailKind::Wallet, |payer| payer.kind()).as_str(),
        frozen: row.frozen,
        freeze: row.freeze.map(FreezeView::from),
        closed: row.closed,
        keep: KeepView { orders_days: app.config().keep.orders_days, books_years: app.config().keep.books_years },
        rp_id: app.config().rp_id.clone(),
        origins: app.config().origins.clone(),
        demo: app.config().demo,
    }))
}

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<u64>,
}

pub(super) async fn events(
    State(app): State<App>,
    session: GuardianSession,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resume_from(&headers, after)?;
    stream(app, Audience::Guardian(session.household), Some(session), after).await
}

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<OrderId>,
}

#[derive(Serialize)]
pub(super) struct Orders {
    orders: Vec<GuardianOrder>,
    /// Go on with `before` this one; absent at the end.
    next: Option<OrderId>,
}

pub(super) async fn orders(
    State(app): State<App>,
    session: GuardianSession,
    Query(Before { before }): Query<Before>,
) -> Result<Json<Orders>, ApiError> {
    let rows = app.store().orders(session.household, before, ORDERS_PAGE).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|len| len == ORDERS_PAGE);
    let next = rows.last().filter(|_| full).map(|row| row.order);
    let mut orders = Vec::with_capacity(rows.len());
    for row in rows {
        orders.push(GuardianOrder::new(&app, row).await?);
    }
    Ok(Json(Orders { orders, next }))
}

pub(super) async fn order(
    State(app): State<App>,
    session: GuardianSession,
    Path(order): Path<OrderId>,
) -> Result<Json<GuardianOrder>, ApiError> {
    let row = app.store().order(session.household, order).await?.ok_or(StoreError::OrderUnknown)?;
    Ok(Json(GuardianOrder::new(&app, row).await?))
}

/// The evidence file of an ended order, for `nodpay verify`.
pub(super) async fn evidence(
    State(app): State<App>,
    session: GuardianSession,
    Path(order): Path<OrderId>,
) -> Result<Response, ApiError> {
    limit_heavy(&app, session.household.as_bytes())?;
    let parts = app.store().evidence(session.household, order).await?;
    let outcome = parts.order.outcome.as_ref().ok_or(StoreError::OrderNotEnded)?;
    let certificate = verified::outcome_certificate(&app, &outcome.message).await?;
    let evidence = crate::evidence::assemble(parts, &certificate)?;
    let file = evidence.to_file().map_err(|error| ApiError::Internal(error.to_string()))?;
    let name = format!("attachment; filename=\"nodpay-{order}.evidence.json\"");
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Internal(error.to_string()))?;
    let headers: [(HeaderName, HeaderValue); 3] = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, file).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StrikeBody {
    struck: Vec<LineId>,
}

#[derive(Serialize)]
pub(super) struct Asked {
    ask: AskView,
}

/// Asks the merchant to sign the bill again without some lines.
pub(super) async fn strike(
    State(app): State<App>,
    session: GuardianSession,
    Path(order): Path<OrderId>,
    JsonBody(body): JsonBody<StrikeBody>,
) -> Result<(StatusCode, Json<Asked>), ApiError> {
    let row = app.store().order(session.household, order).await?.ok_or(StoreError::OrderUnknown)?;
    let book = households::book(&app, session.household).await?;
    let known = verified::order(&app, &book, &row)?;
    known.bill.split(&body.struck)?;
    if known.bill.reduction == Reduction::LinesSum {
        return Err(ApiError::NoRequoteNeeded);
    }
    let ask =
        AskRequote { household: session.household, order, ask: AskId::from_bytes(random()?), struck: body.struck };
    let now = app.now();
    let asked = app.store().ask_requote(ask, now).await?;
    app.deadlines().expect(asked.deadline);
    Ok((StatusCode::ACCEPTED, Json(Asked { ask: AskView::new(asked, now) })))
}

pub(super) async fn decide(
    State(app): State<App>,
    session: GuardianSession,
    Path(order): Path<OrderId>,
    Wire(wire): Wire,
) -> Result<Accepted, ApiError> {
    let (tapped, now) = (Instant::now(), app.now());
    let (decision, counter) = households::with_order(&app, session.household, order, |book, row| {
        let known = verified::order(&app, book, row)?;
        let checked = known.decision(&wire, book);
        match checked {
            Ok((decision, counter)) => {
                book.answering(decision.guardian, now)?;
                // Of a decision that names none, what stands is the store's question.
                let first = decision.first.and(row.first.as_ref()).map(|first| first.wire.as_str());
                let (order, bill, requote) = (&known.order, &known.bill, known.requote.as_deref());
                verify_first_nod(&decision, first, book, order, bill, requote, &known.certificate)?;
                Ok((decision, counter))
            }
            // Over a revision between the first and the present one, which is not kept.
            Err(VerifyError::OtherBill) if known.requote.is_some() => Err(VerifyError::StaleBill.into()),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    let decide = Decide { order, decision: (*decision).clone(), message: message(&decision), counter };
    let decided = match app.store().decide(decide, app.now()).await {
        Err(error @ (StoreError::AlreadyDecided | StoreError::OrderEnded(_))) => {
            return Err(who_was_first(&app, session, order, error).await);
        }
        decided => decided?,
    };
    app.remembered().keep_decision(decision);
    app.rails().wake();
    let failed = decided.outcome.as_ref().and_then(|ended| ended.reason);
    match (decided.state, failed) {
        (OrderState::Approved { .. }, _) => {
            metrics::rail_answer(decided.rail, RailStep::Hold.as_str(), &RailAnswer::Done);
            app.taps().insert((session.household, order), tapped);
        }
        (_, Some(FailReason::InsufficientBalance)) => {
            metrics::rail_answer(decided.rail, RailStep::Hold.as_str(), &RailAnswer::Declined(Decline::Funds));
        }
        _ => {}
    }
    if let Some(deadline) = decided.state.deadline() {
        app.deadlines().expect(deadline);
    }
    Ok(accepted())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppendBody {
    entry: String,
    wearer: Option<PersonName>,
    pairing: Option<PairingId>,
}

pub(super) async fn append(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<AppendBody>,
) -> Result<Accepted, ApiError> {
    let book = households::book(&app, session.household).await?;
    let Some(Folded { entry, next }) = fold(&app, &book, &body.entry).await? else { return Ok(accepted()) };
    let (_, _, asserted) = book.assertion(AssertionKind::Log, &body.entry)?;
    match &entry.entry {
        Entry::Found(_) => return Err(ApiError::NotThisEntry),
        Entry::EnrolWatch(enrolled) => {
            if body.pairing.is_none() {
                return Err(ApiError::PairingMissing);
            }
            let fits = |wearer: &PersonName| digest_of(wearer) == enrolled.wearer_name;
            let row = households::row(&app, session.household).await?;
            let known = row.wearers.iter().find(|(wearer, _)| *wearer == enrolled.wearer).map(|(_, name)| name);
            if !body.wearer.as_ref().or(known).is_none_or(fits) {
                return Err(ApiError::PersonName);
            }
        }
        // Signed by another key, and sent elsewhere.
        Entry::Recover(_) => return Err(ApiError::NotThisEntry),
        Entry::AddGuardian(_) | Entry::Propose(_) => check_invited(&app, session.household, &entry.entry).await?,
        Entry::RemoveWatch(_)
        | Entry::PinCommand(_)
        | Entry::SetSession(_)
        | Entry::RemoveGuardian(_)
        | Entry::Object(_)
        | Entry::Second(_)
        | Entry::Withdraw(_)
        | Entry::EnrolRecovery(_)
        | Entry::Unfreeze(_)
        | Entry::SetMandate(_)
        | Entry::EndMandate(_)
        | Entry::SetHouseRules(_)
        | Entry::Erase(_) => {}
    }
    let message = Message { wire: body.entry, digest: next.head() };
    let change = change(&book, &next, &entry);
    let append =
        AppendLog { entry, message, counter: asserted.counter, wearer: body.wearer, pairing: body.pairing, change };
    app.store().append_log(append, app.now()).await?;
    Ok(accepted())
}

/// An entry that is not the next one: taken in before, or late.
pub(super) async fn repeated(app: &App, book: &LogBook, wire: &str) -> Result<Accepted, ApiError> {
    let seq = entry_of(wire)?.seq;
    if seq < book.next_seq() {
        let entries = app.store().log(book.household(), seq).await?;
        if entries.first().is_some_and(|entry| entry.wire == wire) {
            return Ok(accepted());
        }
    }
    Err(moved(book))
}

pub(super) fn moved(book: &LogBook) -> ApiError {
    StoreError::LogMoved { head: book.head() }.into()
}

#[derive(Serialize)]
pub(super) struct OpenedPairing {
    pairing: PairingId,
    expires_in_ms: i64,
}

pub(super) async fn open_pairing(
    State(app): State<App>,
    session: GuardianSession,
) -> Result<(StatusCode, Json<OpenedPairing>), ApiError> {
    limit(&app, Purpose::Pairing, Digest::from_bytes(sha256(session.household.as_bytes())))?;
    let now = app.now();
    let pairing = PairingId::from_bytes(random()?);
    let expires = now.plus_ms(PAIRING_LIFE_MS);
    app.store().create_pairing(NewPairing { pairing, household: session.household, expires }, now).await?;
    Ok((StatusCode::CREATED, Json(OpenedPairing { pairing, expires_in_ms: PAIRING_LIFE_MS })))
}

#[derive(Serialize)]
pub(super) struct Pairing {
    state: &'static str,
    left_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<WatchId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PublicKey>,
    /// The watch's claim, for the page to check against its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
}

pub(super) async fn pairing(
    State(app): State<App>,
    session: GuardianSession,
    Path(pairing): Path<PairingId>,
) -> Result<Json<Pairing>, ApiError> {
    let row = app.store().pairing(pairing).await?.filter(|row| row.household == session.household);
    let row = row.ok_or(StoreError::PairingUnknown)?;
    let left_ms = row.expires.ms_since(app.now()).max(0);
    let (state, claim) = match row.state {
        PairingState::Open => ("open", None),
        PairingState::Claimed(claim) => ("claimed", Some(claim)),
        PairingState::Done(claim) => ("done", Some(claim)),
        PairingState::Closed => ("closed", None),
    };
    let state = if left_ms == 0 && matches!(state, "open" | "claimed") { "expired" } else { state };
    Ok(Json(Pairing {
        state,
        left_ms,
        watch: claim.as_ref().map(|claim| claim.watch),
        key: claim.as_ref().map(|claim| claim.key),
        claim: claim.map(|claim| claim.message.wire),
    }))
}

/// The guardian gives a pairing up: the watch was not the right one.
pub(super) async fn close_pairing(
    State(app): State<App>,
    session: GuardianSession,
    Path(pairing): Path<PairingId>,
) -> Result<Accepted, ApiError> {
    app.store().close_pairing(session.household, pairing, app.now()).await?;
    Ok(accepted())
}
