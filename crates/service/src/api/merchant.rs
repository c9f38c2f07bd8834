//! The merchant's side: a till enrols its key, makes bills, answers requotes and follows what becomes of them.

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nodpay_core::{
    Amount, AskId, BillId, CodeText, Country, Currency, Digest, Mcc, MerchantId, PublicKey, Text, Timestamp,
    TransferId, WatchId,
};
use nodpay_protocol::code::{BillCode, write_bill_code};
use nodpay_protocol::{Verified, sha256, verify_bill, verify_request, verify_requote};
use nodpay_store::{
    AnswerRequote, BillRow, Good, MAX_GOODS, MerchantRow, NewBill, Refund, RefundRow, SessionOf, StoreError,
};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::{Deserialize, Serialize};

use super::compose::{BillView, message};
use crate::admin::{AdminError, certify_merchant};
use crate::events::{Audience, resume_from, stream};
use crate::extract::{Json as JsonBody, OwnPage, Path, Query, Wire};
use crate::limits::{ProofRefusal, Purpose};
use crate::problem::{ApiError, ProofError};
use crate::secrets::Token;
use crate::sessions::{self, MerchantSession, Stranger, limit};
use crate::verified;
use crate::{App, MAX_BILL_LIFE_MS};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolBody {
    invitation: Token,
    key: PublicKey,
    /// A request proof by the new key for this very request.
    proof: String,
}

/// A till's key becomes its merchant's. Certified at once where the root key lies here.
pub(super) async fn enrol(
    State(app): State<App>,
    _: OwnPage,
    stranger: Stranger,
    JsonBody(body): JsonBody<EnrolBody>,
) -> Result<Response, ApiError> {
    limit(&app, Purpose::Invitation, body.invitation.hash())?;
    let now = app.now();
    let refused = |why| ApiError::Proof { why, now };
    let proof = verify_request(&body.proof, &body.key, "POST", "/api/merchant/enrol", now)
        .map_err(|error| refused(ProofError::Verify(error)))?;
    app.proofs().claim(prover(&body.key), proof.jti, now).map_err(|refusal| match refusal {
        ProofRefusal::Reused => refused(ProofError::Reused),
        ProofRefusal::Full => refused(ProofError::Full),
    })?;
    let merchant = app.store().enrol_till(body.invitation.stored(), body.key, now).await?;
    if let Some(root) = app.keys().root_key() {
        certify_merchant(app.store(), root, merchant, now).await.map_err(|error| match error {
            AdminError::Store(error) => ApiError::Store(error),
            AdminError::Sign(error) => error.into(),
            AdminError::Random(error) => error.into(),
            AdminError::NotEnrolled => ApiError::NotCertified,
            AdminError::Keys(_) | AdminError::Code(_) | AdminError::NotRegistrable(_) => {
                ApiError::Internal(error.to_string())
            }
        })?;
    }
    let cookie = sessions::open(&app, SessionOf::Till { merchant }, stranger).await?;
    let view = MerchantView::of(&app, merchant).await?;
    Ok(([(SET_COOKIE, cookie)], Json(view)).into_response())
}

/// Names a key among the watches whose proofs are remembered.
fn prover(key: &PublicKey) -> WatchId {
    let digest = sha256(key.as_bytes());
    let mut id = [0; WatchId::LEN];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    WatchId::from_bytes(id)
}

#[derive(Serialize)]
pub(super) struct MerchantView {
    now: Timestamp,
    merchant: MerchantId,
    name: Text<50>,
    mcc: Mcc,
    city: Text<30>,
    country: Country,
    currency: Currency,
    key: Option<PublicKey>,
    certificate: Option<String>,
    /// What bills name the certificate by.
    certificate_digest: Option<Digest>,
    goods: Vec<Good>,
    /// Texts of its printed codes.
    codes: Vec<CodeText>,
}

impl MerchantView {
    async fn of(app: &App, merchant: MerchantId) -> Result<Self, ApiError> {
        let codes = app.store().codes(merchant).await?;
        let codes = codes.into_iter().map(|code| code.text).collect();
        Ok(Self::new(merchant_row(app, merchant).await?, codes, app.now()))
    }

    fn new(row: MerchantRow, codes: Vec<CodeText>, now: Timestamp) -> Self {
        Self {
            now,
            merchant: row.merchant,
            name: row.name,
            mcc: row.mcc,
            city: row.city,
            country: row.country,
            currency: row.currency,
            key: row.key,
            certificate_digest: row.certificate.as_ref().map(|certificate| certificate.digest),
            certificate: row.certificate.map(|certificate| certificate.wire),
            goods: row.goods,
            codes,
        }
    }
}

pub(super) async fn merchant(State(app): State<App>, session: MerchantSession) -> Result<Json<MerchantView>, ApiError> {
    Ok(Json(MerchantView::of(&app, session.merchant).await?))
}

pub(super) async fn set_goods(
    State(app): State<App>,
    session: MerchantSession,
    JsonBody(goods): JsonBody<Vec<Good>>,
) -> Result<Json<MerchantView>, ApiError> {
    if goods.len() > MAX_GOODS {
        return Err(StoreError::TooManyGoods.into());
    }
    if goods.iter().any(|good| good.unit_price < nodpay_core::Minor::ZERO) {
        return Err(ApiError::Form("a price is below zero".to_owned()));
    }
    let repeated =
        goods.iter().enumerate().any(|(index, good)| goods.iter().take(index).any(|other| other.id == good.id));
    if repeated {
        return Err(ApiError::Form("two goods have the same id".to_owned()));
    }
    app.store().set_goods(session.merchant, goods).await?;
    merchant(State(app), session).await
}

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<u64>,
}

pub(super) async fn events(
    State(app): State<App>,
    session: MerchantSession,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resume_from(&headers, after)?;
    stream(app, Audience::Merchant(session.merchant), None, after).await
}

#[derive(Serialize)]
pub(super) struct CreatedBill {
    bill: BillId,
    /// The text of the payment code.
    code: String,
    /// The payment code as a picture.
    svg: String,
    expires_in_ms: i64,
}

pub(super) async fn create_bill(
    State(app): State<App>,
    session: MerchantSession,
    Wire(wire): Wire,
) -> Result<(StatusCode, Json<CreatedBill>), ApiError> {
    let now = app.now();
    let row = merchant_row(&app, session.merchant).await?;
    let stored = row.certificate.as_ref().ok_or(ApiError::NotCertified)?;
    let certificate = verified::certificate(&app, stored)?;
    if now < certificate.not_before || now >= certificate.not_after {
        return Err(ApiError::CertificateNotNow);
    }
    let bill = verify_bill(&wire, &certificate)?;
    if bill.valid_until.ms_since(bill.issued) > MAX_BILL_LIFE_MS {
        return Err(ApiError::BillLife);
    }
    // Before anything is recorded: a bill that no code can show is of no use.
    let code = code_of(&row, &bill)?;
    let svg = picture_of(&code)?;
    let new = NewBill { bill: (*bill).clone(), message: message(&bill), watch: None };
    let created = app.store().create_bill(new, now).await?;
    app.remembered().keep_bill(bill);
    let expires_in_ms = created.deadline.ms_since(now).max(0);
    Ok((StatusCode::CREATED, Json(CreatedBill { bill: created.bill, code, svg, expires_in_ms })))
}

fn code_of(merchant: &MerchantRow, bill: &Verified<nodpay_core::Bill>) -> Result<String, ApiError> {
    let mut digest = [0; 16];
    digest.iter_mut().zip(bill.digest().as_bytes()).for_each(|(to, from)| *to = *from);
    Ok(write_bill_code(&BillCode {
        bill: *bill.bill.as_bytes(),
        digest,
        mcc: &merchant.mcc.to_string(),
        currency: bill.currency.code(),
        amount_minor: bill.total.get(),
        country: &merchant.country.to_string(),
        name: merchant.name.as_str(),
        city: merchant.city.as_str(),
    })?)
}

/// With the quiet zone of four modules (ISO/IEC 18004 section 9.1); a till's screen needs no more than level M.
fn picture_of(code: &str) -> Result<String, ApiError> {
    let picture =
        QrCode::with_error_correction_level(code, EcLevel::M).map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(picture.render::<svg::Color<'_>>().min_dimensions(240, 240).build())
}

pub(super) async fn bill(
    State(app): State<App>,
    session: MerchantSession,
    Path(bill): Path<BillId>,
) -> Result<Json<BillView>, ApiError> {
    Ok(Json(BillView::new(&own_bill(&app, session, bill).await?, app.now())))
}

pub(super) async fn cancel_bill(
    State(app): State<App>,
    session: MerchantSession,
    Path(bill): Path<BillId>,
) -> Result<Json<BillView>, ApiError> {
    let now = app.now();
    let cancelled = app.store().cancel_bill(session.merchant, bill, now).await?;
    Ok(Json(BillView::new(&cancelled, now)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundBody {
    /// Random, chosen by the merchant: the same one again is the same refund.
    refund: TransferId,
    amount: Amount,
    #[serde(default)]
    reason: Option<Text<60>>,
}

/// Gives back what was paid, or a part of it. What a card's rail is asked for is done later: a `bill` event tells.
pub(super) async fn refund(
    State(app): State<App>,
    session: MerchantSession,
    Path(bill): Path<BillId>,
    JsonBody(body): JsonBody<RefundBody>,
) -> Result<(StatusCode, Json<RefundRow>), ApiError> {
    let RefundBody { refund, amount, reason } = body;
    let asked = Refund { merchant: session.merchant, bill, refund, amount, reason };
    let row = app.store().refund(asked, app.now()).await?;
    app.rails().wake();
    Ok((StatusCode::CREATED, Json(row)))
}

/// Those of a bill, also what waits for its rail and what failed.
pub(super) async fn refunds(
    State(app): State<App>,
    session: MerchantSession,
    Path(bill): Path<BillId>,
) -> Result<Json<Vec<RefundRow>>, ApiError> {
    Ok(Json(app.store().refunds_of_bill(session.merchant, bill).await?))
}

/// What a merchant says to a strike.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The bill, signed again.
    Bill(String),
    /// Why not.
    Refused(Text<60>),
}

pub(super) async fn answer(
    State(app): State<App>,
    session: MerchantSession,
    Path(ask): Path<AskId>,
    JsonBody(answer): JsonBody<Answer>,
) -> Result<StatusCode, ApiError> {
    let now = app.now();
    let merchant = session.merchant;
    let wire = match answer {
        Answer::Refused(reason) => {
            app.store().refuse_requote(merchant, ask, reason, now).await?;
            return Ok(StatusCode::ACCEPTED);
        }
        Answer::Bill(wire) => wire,
    };
    let row = app.store().requote_ask(ask).await?.filter(|row| row.merchant == merchant);
    let row = row.ok_or(StoreError::AskUnknown)?;
    let bill_row = own_bill(&app, session, row.bill).await?;
    let original = verified::bill(&app, &bill_row)?;
    let certificate = verified::certificate(&app, &bill_row.certificate)?;
    let requote = verify_requote(&wire, &certificate, &original)?;
    // Exactly the lines the guardian struck are gone.
    original.terms(&row.struck, Some(&requote))?;
    let answer = AnswerRequote { merchant, ask, bill: (*requote).clone(), message: message(&requote) };
    app.store().answer_requote(answer, now).await?;
    app.remembered().keep_bill(requote);
    Ok(StatusCode::ACCEPTED)
}

async fn merchant_row(app: &App, merchant: MerchantId) -> Result<MerchantRow, ApiError> {
    Ok(app.store().merchant(merchant).await?.ok_or(StoreError::MerchantUnknown)?)
}

async fn own_bill(app: &App, session: MerchantSession, bill: BillId) -> Result<BillRow, ApiError> {
    let row = app.store().bill(bill).await?.filter(|row| row.merchant == session.merchant);
    Ok(row.ok_or(StoreError::BillUnknown)?)
}
