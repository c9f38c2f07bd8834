//! `GET /api/merchant/statement`: JSON page by page, or all of it as CSV.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use nodpay_core::{Day, MerchantId};
use nodpay_store::{MAX_MOVEMENTS_PAGE, Period, Place, Statement, StoreError};
use serde::Deserialize;

use crate::App;
use crate::extract::{Query, text};
use crate::problem::ApiError;
use crate::sessions::{MerchantSession, limit_heavy};
use crate::statement::{StatementView, csv_head, csv_page, csv_tail, read_place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// First day (UTC), like 2026-11-01.
    from: String,
    /// Last day (UTC).
    to: String,
    /// `next` of the page before.
    after: Option<String>,
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Json,
    Csv,
}

pub(super) async fn statement(
    State(app): State<App>,
    session: MerchantSession,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    limit_heavy(&app, session.merchant.as_bytes())?;
    let day = |text: &str| text.parse::<Day>().map_err(|error| ApiError::Form(format!("{text} {error}")));
    let period = Period { from: day(&asked.from)?, to: day(&asked.to)? };
    if period.to < period.from {
        return Err(ApiError::Form("the last day is before the first".to_owned()));
    }
    let after = asked.after.as_deref().map(|after| {
        read_place(after).ok_or_else(|| ApiError::Form("after: is not what an earlier page said".to_owned()))
    });
    let first = page(&app, session.merchant, period, after.transpose()?).await?;
    let accepted = text(&headers, ACCEPT).is_some_and(|accept| accept.starts_with("text/csv"));
    match asked.format.unwrap_or(if accepted { Format::Csv } else { Format::Json }) {
        Format::Json => Ok(Json(StatementView::from(first)).into_response()),
        Format::Csv => csv(app, first),
    }
}

async fn page(app: &App, merchant: MerchantId, period: Period, after: Option<Place>) -> Result<Statement, StoreError> {
    app.store().statement(merchant, period, after, MAX_MOVEMENTS_PAGE).await
}

/// Page by page as the client reads, so that a long one needs no more memory than a short one.
fn csv(app: App, first: Statement) -> Result<Response, ApiError> {
    let name = format!("attachment; filename=\"nodpay-{}-{}.csv\"", first.period.from, first.period.to);
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Internal(error.to_string()))?;
    let head = csv_head(&first);
    let pages = stream::unfold((app, Some(first), head), async |(app, statement, mut text)| {
        let statement = statement?;
        text.push_str(&csv_page(&statement));
        let Some(next) = statement.next else {
            text.push_str(&csv_tail(&statement));
            return Some((Ok(Bytes::from(text)), (app, None, String::new())));
        };
        match page(&app, statement.merchant, statement.period, Some(next)).await {
            Ok(more) => Some((Ok(Bytes::from(text)), (app, Some(more), String::new()))),
            Err(error) => {
                tracing::error!(%error, "a statement broke off");
                Some((Err(error), (app, None, String::new())))
            }
        }
    });
    let kind = HeaderValue::from_static("text/csv; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], Body::from_stream(pages)).into_response())
}
