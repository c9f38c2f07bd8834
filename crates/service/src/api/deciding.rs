//! What a guardian wants to know before they decide. Only read.

use axum::Json;
use axum::extract::State;
use nodpay_core::{Amount, Every, Minor, OrderId, Timestamp};
use nodpay_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::extract::{Path, Query};
use crate::households;
use crate::problem::ApiError;
use crate::sessions::GuardianSession;

/// A day of 25 hours, and a phone whose clock is an hour wrong.
const MAX_DAY_MS: i64 = 26 * HOUR_MS;
/// A month of 31 days, with the same hour.
const MAX_MONTH_MS: i64 = 31 * 24 * HOUR_MS + 2 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// The first moments of the guardian's today and this month: the phone knows its time zone, and the service needs no table of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    day: Timestamp,
    month: Timestamp,
}

#[derive(Serialize)]
pub(super) struct Spending {
    day: Amount,
    month: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    house: Option<House>,
}

/// What counts for the household's caps now, of all its watches: in the household's own day, week and month.
#[derive(Serialize)]
struct House {
    day: Amount,
    week: Amount,
    month: Amount,
}

/// What the wearer of this order has paid today and this month, refunds not counted; where the household has caps, what counts for
/// them.
pub(super) async fn spending(
    State(app): State<App>,
    session: GuardianSession,
    Path(order): Path<OrderId>,
    Query(Since { day, month }): Query<Since>,
) -> Result<Json<Spending>, ApiError> {
    let now = app.now();
    let (into_day, into_month) = (now.ms_since(day), now.ms_since(month));
    if !(-HOUR_MS..=MAX_DAY_MS).contains(&into_day) || !(into_day..=MAX_MONTH_MS).contains(&into_month) {
        return Err(ApiError::Form("day and month begin at most so long ago".to_owned()));
    }
    let row = app.store().order(session.household, order).await?.ok_or(StoreError::OrderUnknown)?;
    let currency = households::row(&app, session.household).await?.currency;
    let spent = app.store().spent(session.household, row.wearer, day, month).await?;
    let house = match households::book(&app, session.household).await?.house_rules(u64::MAX).caps {
        Some(caps) => {
            let sums = app.store().mandate_sums(session.household).await?;
            let spent = |every| {
                let period = caps.period(every, now);
                let found = sums.iter().find(|(watch, known, _)| watch.is_none() && *known == period);
                Amount::new(found.map_or(Minor::ZERO, |(_, _, spent)| *spent), currency)
            };
            Some(House { day: spent(Every::Day), week: spent(Every::Week), month: spent(Every::Month) })
        }
        None => None,
    };
    let (day, month) = (Amount::new(spent.day, currency), Amount::new(spent.month, currency));
    Ok(Json(Spending { day, month, house }))
}
