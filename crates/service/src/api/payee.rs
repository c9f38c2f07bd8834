//! Printed codes: whose one is, and the bills that watches make of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nodpay_core::{CodeText, WatchId};
use nodpay_protocol::code::payee_of;
use nodpay_protocol::{Verified, code_of_static_bill, verify_static_bill};
use nodpay_store::{NewBill, StoreError};
use serde::Serialize;

use super::compose::message;
use super::watch::{Accepted, accepted, book_of_watch, of_watch};
use crate::extract::{Path, PlainText, Wire};
use crate::limits::Purpose;
use crate::problem::ApiError;
use crate::sessions::{Standing, WatchProof, limit};
use crate::{App, MAX_BILL_LIFE_MS, verified};

#[derive(Serialize)]
pub(super) struct Payee {
    /// Of the merchant whose code it is.
    certificate: String,
}

/// Whose a printed code is; the code is the body.
pub(super) async fn payee(
    State(app): State<App>,
    proof: WatchProof,
    PlainText(text): PlainText,
) -> Result<Json<Payee>, ApiError> {
    match proof.standing {
        Standing::Pending => return Err(StoreError::WatchUnknown.into()),
        Standing::Enrolled => {}
        Standing::Removed => return Err(StoreError::RevokedWatch.into()),
    }
    limit(&app, Purpose::PrintedCode, of_watch(proof.watch))?;
    let text = CodeText::new(&text).map_err(|error| ApiError::Form(error.to_string()))?;
    Ok(Json(Payee { certificate: payee_certificate(&app, &text).await?.wire().to_owned() }))
}

/// Takes in what a watch made of a printed code, so that it can be ordered. The same bill twice is one.
pub(super) async fn make_bill(
    State(app): State<App>,
    Path(watch): Path<WatchId>,
    Wire(wire): Wire,
) -> Result<Accepted, ApiError> {
    let book = book_of_watch(&app, watch).await?;
    let key = book.enrolled(watch)?.key;
    let (digest, text) = code_of_static_bill(&wire, &key)?;
    limit(&app, Purpose::PrintedCode, of_watch(watch))?;
    if app.store().bill_by_digest(digest).await?.is_some_and(|known| known.watch == Some(watch)) {
        return Ok(accepted());
    }
    let certificate = payee_certificate(&app, &text).await?;
    let bill = verify_static_bill(&wire, &certificate, &key)?;
    if bill.valid_until.ms_since(bill.issued) > MAX_BILL_LIFE_MS {
        return Err(ApiError::BillLife);
    }
    let new = NewBill { bill: (*bill).clone(), message: message(&bill), watch: Some(watch) };
    app.store().create_bill(new, app.now()).await?;
    app.remembered().keep_bill(bill);
    Ok((StatusCode::CREATED, accepted().1))
}

/// The certificate, valid now, of the merchant whose code this is. A merchant that nobody can pay now is nobody's.
async fn payee_certificate(
    app: &App,
    text: &CodeText,
) -> Result<std::sync::Arc<Verified<nodpay_core::MerchantCertificate>>, ApiError> {
    let payee = payee_of(text.as_str()).ok_or(StoreError::PayeeUnknown)?;
    let merchant = app.store().merchant_of_code(payee).await?.ok_or(StoreError::PayeeUnknown)?;
    let row = app.store().merchant(merchant).await?.ok_or(StoreError::PayeeUnknown)?;
    let certificate = verified::certificate(app, &row.certificate.ok_or(StoreError::PayeeUnknown)?)?;
    let now = app.now();
    match now >= certificate.not_before && now < certificate.not_after {
        true => Ok(certificate),
        false => Err(StoreError::PayeeUnknown.into()),
    }
}
