//! A guardian looks back: history by filters, the month as a page, files for other programs. Decides nothing and writes nothing.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use nodpay_core::{Amount, Category, HouseholdId, MerchantId, OrderId, OutcomeKind, Timestamp, WearerId};
use nodpay_store::{Ending, HistoryAsked, StoreError};
use serde::{Deserialize, Serialize};

use super::compose::GuardianOrder;
use crate::App;
use crate::export::{self, Names};
use crate::extract::{Path, Query};
use crate::households;
use crate::problem::ApiError;
use crate::seeing::{self, Sought, Span, Walk};
use crate::sessions::GuardianSession;
use crate::web::{self, month};

/// Orders that one page of the history has at most.
const PAGE: u32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    before: Option<OrderId>,
    /// In the name of the shop or of an item, in any case.
    text: Option<String>,
    wearer: Option<WearerId>,
    shop: Option<MerchantId>,
    category: Option<Category>,
    outcome: Option<OutcomeFilter>,
    from: Option<String>,
    to: Option<String>,
    tz: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeFilter {
    Open,
    Paid,
    Failed,
    Refused,
    Expired,
    Cancelled,
    Refunded,
}

impl From<OutcomeFilter> for Ending {
    fn from(filter: OutcomeFilter) -> Self {
        match filter {
            OutcomeFilter::Open => Self::Open,
            OutcomeFilter::Paid => Self::Ended(OutcomeKind::Paid),
            OutcomeFilter::Failed => Self::Ended(OutcomeKind::Failed),
            OutcomeFilter::Refused => Self::Ended(OutcomeKind::Refused),
            OutcomeFilter::Expired => Self::Ended(OutcomeKind::Expired),
            OutcomeFilter::Cancelled => Self::Ended(OutcomeKind::Cancelled),
            OutcomeFilter::Refunded => Self::Refunded,
        }
    }
}

#[derive(Serialize)]
pub(super) struct History {
    /// Newest first.
    orders: Vec<GuardianOrder>,
    /// Go on with `before` this one; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<OrderId>,
    /// Everything after this was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_to: Option<Timestamp>,
}

pub(super) async fn history(
    State(app): State<App>,
    session: GuardianSession,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let span = Span::of_days(query.from.as_deref(), query.to.as_deref(), query.tz.as_deref())?;
    let ending = query.outcome.map(Ending::from);
    let asked = HistoryAsked { from: span.from, to: span.to, wearer: query.wearer, merchant: query.shop, ending };
    let sought = Sought::new(query.text.as_deref(), query.category)?;
    let found = seeing::find(&app, session.household, &asked, &sought, query.before, PAGE).await?;
    let mut orders = Vec::with_capacity(found.orders.len());
    for order in found.orders {
        let row = app.store().order(session.household, order).await?.ok_or(StoreError::OrderUnknown)?;
        orders.push(GuardianOrder::new(&app, row).await?);
    }
    let (next, looked_to) = found.next.unzip();
    Ok(Json(History { orders, next, looked_to }))
}

#[derive(Serialize)]
pub(super) struct Shops {
    /// Their certificates, for the page to verify.
    certificates: Vec<String>,
}

/// Where the household's newest orders were made.
pub(super) async fn shops(State(app): State<App>, session: GuardianSession) -> Result<Json<Shops>, ApiError> {
    let certificates = app.store().shops(session.household).await?;
    Ok(Json(Shops { certificates: certificates.into_iter().map(|message| message.wire).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    format: Format,
    from: Option<String>,
    to: Option<String>,
    tz: Option<String>,
    wearer: Option<WearerId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Csv,
    Ofx,
}

/// A file while it is written: page by page as the client reads, so that a long one needs no more memory than a short one.
struct File {
    app: App,
    format: Format,
    span: Span,
    names: Names,
    walk: Walk,
    household: HouseholdId,
    /// What comes before the next page.
    head: String,
    over: bool,
}

pub(super) async fn export(
    State(app): State<App>,
    session: GuardianSession,
    Query(query): Query<ExportQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let span = Span::of_days(query.from.as_deref(), query.to.as_deref(), query.tz.as_deref())?;
    let row = households::row(&app, session.household).await?;
    let walk = Walk::new(&app, session.household, &span, query.wearer).await?;
    let (ending, kind, head) = match query.format {
        Format::Csv => ("csv", "text/csv; charset=utf-8", export::csv_head()),
        Format::Ofx => {
            let chinese = web::Language::of(&headers) == web::Language::Chinese;
            let head = export::ofx_head(row.household, row.currency, &span, app.now(), chinese);
            ("ofx", "application/x-ofx; charset=utf-8", head)
        }
    };
    let part = |day: Option<String>| day.map(|day| format!("-{day}")).unwrap_or_default();
    let name = format!("attachment; filename=\"nodpay{}{}.{ending}\"", part(query.from), part(query.to));
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Internal(error.to_string()))?;
    let names = names(&row.wearers);
    let file = File { app, format: query.format, span, names, walk, household: row.household, head, over: false };
    let pages = stream::unfold(file, async |mut file| {
        let page = file.next().await.transpose()?;
        Some((page.map(Bytes::from).inspect_err(|error| tracing::error!(%error, "an export broke off")), file))
    });
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(kind)), (CONTENT_DISPOSITION, name)], Body::from_stream(pages))
        .into_response())
}

impl File {
    async fn next(&mut self) -> Result<Option<String>, ApiError> {
        if self.over {
            return Ok(None);
        }
        let mut text = std::mem::take(&mut self.head);
        let page = self.walk.next(&self.app).await.inspect_err(|_| self.over = true)?;
        let Some(moves) = page else {
            self.over = true;
            if self.format == Format::Ofx {
                let balance = self.app.store().wallet(self.household).await?.ok_or(StoreError::HouseholdUnknown)?;
                let balance = Amount::new(balance.wallet.posted(), balance.currency);
                text.push_str(&export::ofx_tail(balance, self.app.now()));
            }
            return Ok(Some(text));
        };
        for moved in &moves {
            text.push_str(&match self.format {
                Format::Csv => export::csv_line(moved, &self.span, &self.names)?,
                Format::Ofx => export::ofx_line(moved, &self.names)?,
            });
        }
        Ok(Some(text))
    }
}

fn names(wearers: &[(WearerId, nodpay_core::PersonName)]) -> Names {
    wearers.iter().map(|(wearer, name)| (*wearer, name.name.as_str().to_owned())).collect::<BTreeMap<_, _>>()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MonthQuery {
    tz: Option<String>,
    /// The person's choice, where it is not the browser's.
    lang: Option<web::Language>,
    wearer: Option<WearerId>,
}

/// A month as a page that needs no script, to look at and to print.
pub(super) async fn month(
    State(app): State<App>,
    session: Result<GuardianSession, ApiError>,
    Path(asked): Path<String>,
    Query(query): Query<MonthQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let language = query.lang.unwrap_or_else(|| web::Language::of(&headers));
    let session = match session {
        Err(ApiError::NoGuardian) => {
            return Ok((StatusCode::UNAUTHORIZED, web::drawn(month::log_in_first(language)?)).into_response());
        }
        session => session?,
    };
    let (span, first) = Span::of_month(&asked, query.tz.as_deref())?;
    let row = households::row(&app, session.household).await?;
    let book = households::book(&app, session.household).await?;
    let mut walk = Walk::new(&app, session.household, &span, query.wearer).await?;
    let mut sums = month::Sums::new(row.currency, first);
    while let Some(moves) = walk.next(&app).await? {
        for moved in &moves {
            sums.add(moved, &span);
        }
    }
    let now = app.now();
    let view = month::View {
        sums,
        span,
        zone: query.tz,
        wearer: query.wearer,
        names: names(&row.wearers),
        rules: month::rules(&book, query.wearer, now),
        frozen: row.freeze.is_some(),
        language,
    };
    Ok(web::drawn(month::page(&view, now)?))
}
