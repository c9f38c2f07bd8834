//! The watch's side. Reads carry a proof of the device key, everything else is a message it signed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use nodpay_core::{
    Amount, Asked, BillId, Digest, Order, OrderId, OrderState, OutcomeKind, PairingId, PersonName, PublicKey,
    RailAnswer, RailStep, Timestamp, WatchId,
};
use nodpay_protocol::{
    LogBook, bill_of_order, sha256, verify_cancel, verify_mandate_payment, verify_order, verify_outcome,
    verify_pairing_claim, verify_payment, verify_pin_report, verify_result,
};
use nodpay_store::{
    BillState, CancelOrder, ClaimPairing, OrderRow, Pay, PlaceOrder, ReportPin, ReportResult, StoreError, WatchRow,
};
use serde::{Deserialize, Serialize};

use super::compose::{NamedGuardian, WatchOrder, frozen_by, message, named, spendable};
use crate::App;
use crate::events::{Audience, resume_from, stream};
use crate::extract::{Json as JsonBody, Path, Query, Wire};
use crate::households;
use crate::limits::Purpose;
use crate::metrics;
use crate::problem::ApiError;
use crate::sessions::{Standing, Stranger, WatchProof, limit};
use crate::verified::{self, Known};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimBody {
    key: PublicKey,
    claim: String,
}

/// A watch asks to be enrolled. Whether it knows the pairing's secret only the phone can tell.
pub(super) async fn claim(
    State(app): State<App>,
    _: Stranger,
    Path(pairing): Path<PairingId>,
    JsonBody(body): JsonBody<ClaimBody>,
) -> Result<Accepted, ApiError> {
    limit(&app, Purpose::PairingClaim, Digest::from_bytes(sha256(pairing.as_bytes())))?;
    let claim = verify_pairing_claim(&body.claim, &body.key)?;
    if claim.pairing != pairing {
        return Err(ApiError::OtherPairing);
    }
    let claimed = ClaimPairing {
        pairing,
        household: claim.household,
        watch: claim.watch,
        key: claim.key,
        message: message(&claim),
    };
    app.store().claim_pairing(claimed, app.now()).await?;
    Ok(accepted())
}

#[derive(Deserialize)]
pub(super) struct From {
    #[serde(default)]
    from: u64,
}

#[derive(Serialize)]
pub(super) struct WatchState {
    now: Timestamp,
    /// Where the events after this answer begin.
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Amount>,
    wearer: Option<PersonName>,
    guardians: Vec<NamedGuardian>,
    log: Vec<String>,
    /// The newest one.
    order: Option<WatchOrder>,
    /// Who stopped the household's payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<&'static str>,
}

/// Everything a watch that (re)starts needs. While its pairing is pending that is nothing; once it is removed only the
/// log, which says so, and how its last order ended.
pub(super) async fn state(
    State(app): State<App>,
    proof: WatchProof,
    Query(From { from }): Query<From>,
) -> Result<Json<WatchState>, ApiError> {
    let now = app.now();
    let household = households::row(&app, proof.household).await?;
    if proof.standing == Standing::Pending {
        let events = household.last_event;
        return Ok(Json(WatchState {
            now,
            events,
            balance: None,
            wearer: None,
            guardians: Vec::new(),
            log: Vec::new(),
            order: None,
            frozen: None,
        }));
    }
    let row = watch_row(&app, proof.watch).await?;
    let wearer = household.wearers.iter().find(|(wearer, _)| *wearer == row.enrolled.wearer);
    let log = app.store().log(proof.household, from).await?;
    let order = app.store().latest_order(proof.watch).await?;
    Ok(Json(WatchState {
        now,
        events: household.last_event,
        balance: if proof.standing == Standing::Enrolled { spendable(&app, proof.household).await? } else { None },
        wearer: wearer.map(|(_, name)| name.clone()),
        guardians: named(&household),
        log: log.into_iter().map(|entry| entry.wire).collect(),
        order: order.map(|order| WatchOrder::new(order, now)),
        frozen: frozen_by(&household),
    }))
}

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<u64>,
}

pub(super) async fn events(
    State(app): State<App>,
    proof: WatchProof,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resume_from(&headers, after)?;
    stream(app, Audience::Watch(proof.household, proof.watch), None, after).await
}

#[derive(Serialize)]
pub(super) struct BillMessages {
    certificate: String,
    bill: String,
}

/// A bill that can be ordered now.
pub(super) async fn bill(
    State(app): State<App>,
    proof: WatchProof,
    Path((_, bill)): Path<(WatchId, BillId)>,
) -> Result<Json<BillMessages>, ApiError> {
    let now = app.now();
    match proof.standing {
        Standing::Pending => return Err(StoreError::WatchUnknown.into()),
        Standing::Enrolled => {}
        Standing::Removed => return Err(StoreError::RevokedWatch.into()),
    }
    // What a watch made itself it does not fetch, and nobody else may.
    let row = app.store().bill(bill).await?.filter(|row| row.watch.is_none()).ok_or(StoreError::BillUnknown)?;
    match row.state {
        BillState::Open if now >= row.deadline => return Err(StoreError::BillExpired.into()),
        BillState::Open => {}
        BillState::Consumed(..) => return Err(StoreError::BillAlreadyPaid.into()),
        BillState::Cancelled => return Err(StoreError::BillCancelled.into()),
    }
    if !row.scanned {
        app.store().mark_scanned(bill, now).await?;
    }
    Ok(Json(BillMessages { certificate: row.certificate.wire, bill: row.message.wire }))
}

#[derive(Serialize)]
pub(super) struct Placed {
    expires_in_ms: i64,
}

pub(super) async fn place(
    State(app): State<App>,
    Path(watch): Path<WatchId>,
    Wire(wire): Wire,
) -> Result<(StatusCode, Json<Placed>), ApiError> {
    let household = households::of_watch(&app, watch).await?;
    let row = match peek_bill(&wire) {
        Some(digest) => app.store().bill_by_digest(digest).await?,
        None => None,
    };
    let row = row.filter(|row| row.watch.is_none_or(|maker| maker == watch));
    let (order, asked) = households::with_book(&app, household, |book| {
        let Some(row) = &row else {
            // A forged or damaged message is called that before anything is said about bills.
            bill_of_order(&wire, book, watch)?;
            return Err(StoreError::BillUnknown.into());
        };
        let bill = verified::ordered_bill(&app, book, watch, &row.certificate, &row.message)?;
        let order = verify_order(&wire, book, watch, &bill)?;
        book.enrolled(watch)?;
        let asked = Asked::new(&order, &bill, &*verified::certificate(&app, &row.certificate)?);
        Ok((order, asked))
    })
    .await?;
    let asked_ms = order.expires.ms_since(order.created);
    let now = app.now();
    let place = PlaceOrder { order: Order::clone(&order), message: message(&order), asked };
    let placed = app.store().place_order(place, now).await?;
    if placed.mandate.is_some() {
        app.rails().wake();
    }
    app.remembered().keep_order(order);
    if let Some(deadline) = placed.state.deadline() {
        app.deadlines().expect(deadline);
    }
    // An order that ended at once is told by its outcome event, like every other.
    let expires_in_ms = placed.left_ms(now).unwrap_or(asked_ms);
    Ok((StatusCode::ACCEPTED, Json(Placed { expires_in_ms })))
}

/// Which bill an order seems to be about, to fetch it before the order is verified against it.
fn peek_bill(wire: &str) -> Option<Digest> {
    #[derive(Deserialize)]
    struct Peek {
        bill: Digest,
    }
    let payload: nodpay_core::Bytes<0, 65_536> = wire.split('.').nth(1)?.parse().ok()?;
    serde_json::from_slice::<Peek>(payload.as_bytes()).ok().map(|peek| peek.bill)
}

pub(super) async fn pay(
    State(app): State<App>,
    Path((watch, order)): Path<(WatchId, OrderId)>,
    Wire(wire): Wire,
) -> Result<Accepted, ApiError> {
    let household = households::of_watch(&app, watch).await?;
    let payment = households::with_order(&app, household, order, |book, row| {
        let known = order_of(&app, watch, book, row)?;
        match (&row.decision, &row.mandate) {
            (Some(decision), _) => {
                let decision = verified::decision(&app, book, &known, decision)?;
                Ok(verify_payment(&wire, book, &known.order, &decision)?)
            }
            (None, Some(_)) => {
                let certificate = verified::certificate(&app, &row.merchant_certificate)?;
                Ok(verify_mandate_payment(&wire, book, &known.order, &known.bill, &certificate)?)
            }
            (None, None) => Err(not_approved(row).into()),
        }
    })
    .await?;
    let pay = Pay { order, payment: (*payment).clone(), message: message(&payment) };
    let paid = app.store().pay(pay, app.now()).await?;
    app.rails().wake();
    if matches!(paid.state, OrderState::Ended { outcome: OutcomeKind::Paid }) {
        metrics::rail_answer(paid.rail, RailStep::Post.as_str(), &RailAnswer::Done);
        if let Some(tapped) = app.taps().take((household, order)) {
            metrics::tap_to_paid(tapped.elapsed());
        }
    }
    Ok(accepted())
}

fn not_approved(row: &OrderRow) -> StoreError {
    match row.state {
        OrderState::Ended { outcome } => StoreError::OrderEnded(outcome),
        OrderState::Waiting { .. }
        | OrderState::Holding { .. }
        | OrderState::Approved { .. }
        | OrderState::Paying { .. } => StoreError::OrderNotApproved,
    }
}

pub(super) async fn cancel(
    State(app): State<App>,
    Path((watch, order)): Path<(WatchId, OrderId)>,
    Wire(wire): Wire,
) -> Result<Accepted, ApiError> {
    let household = households::of_watch(&app, watch).await?;
    let cancel = households::with_order(&app, household, order, |book, row| {
        let known = order_of(&app, watch, book, row)?;
        Ok(verify_cancel(&wire, book, &known.order)?)
    })
    .await?;
    let cancelled = CancelOrder { order, cancel: (*cancel).clone(), message: message(&cancel) };
    app.store().cancel_order(cancelled, app.now()).await?;
    app.rails().wake();
    Ok(accepted())
}

pub(super) async fn report(
    State(app): State<App>,
    Path((watch, order)): Path<(WatchId, OrderId)>,
    Wire(wire): Wire,
) -> Result<Accepted, ApiError> {
    let household = households::of_watch(&app, watch).await?;
    let row = app.store().order(household, order).await?.ok_or(StoreError::OrderUnknown)?;
    let book = households::book(&app, household).await?;
    let known = order_of(&app, watch, &book, &row)?;
    let ended = row.outcome.as_ref().ok_or(StoreError::OrderNotEnded)?;
    let certificate = verified::outcome_certificate(&app, &ended.message).await?;
    let outcome = verify_outcome(&ended.message.wire, &certificate, &known.order)
        .map_err(|error| ApiError::Internal(format!("outcome {}: {error}", ended.message.digest)))?;
    let result = verify_result(&wire, &book, &known.order, &outcome)?;
    let report = ReportResult { order, result: (*result).clone(), message: message(&result) };
    app.store().report_result(report, app.now()).await?;
    Ok(accepted())
}

/// How the watch's PIN stands, for the guardians.
pub(super) async fn report_pin(
    State(app): State<App>,
    Path(watch): Path<WatchId>,
    Wire(wire): Wire,
) -> Result<Accepted, ApiError> {
    let book = book_of_watch(&app, watch).await?;
    let report = verify_pin_report(&wire, &book, watch)?;
    limit(&app, Purpose::PinReport, of_watch(watch))?;
    let message = message(&report);
    app.store().report_pin(ReportPin { report: report.into_payload(), message }, app.now()).await?;
    Ok(accepted())
}

/// `202 {}`.
pub(super) type Accepted = (StatusCode, Json<Empty>);

#[derive(Serialize)]
pub(super) struct Empty {}

pub(super) const fn accepted() -> Accepted {
    (StatusCode::ACCEPTED, Json(Empty {}))
}

async fn watch_row(app: &App, watch: WatchId) -> Result<WatchRow, ApiError> {
    Ok(app.store().household_of_watch(watch).await?.ok_or(StoreError::WatchUnknown)?)
}

/// What the tries of one watch are counted by.
pub(super) fn of_watch(watch: WatchId) -> Digest {
    Digest::from_bytes(sha256(watch.as_bytes()))
}

/// The log of the watch's household.
pub(super) async fn book_of_watch(app: &App, watch: WatchId) -> Result<Arc<LogBook>, ApiError> {
    households::book(app, households::of_watch(app, watch).await?).await
}

/// The order of that row, if it is this watch's.
fn order_of(app: &App, watch: WatchId, book: &LogBook, row: &OrderRow) -> Result<Known, ApiError> {
    if row.watch != watch {
        return Err(StoreError::OrderUnknown.into());
    }
    verified::order(app, book, row)
}
