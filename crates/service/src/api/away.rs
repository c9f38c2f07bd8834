//! A guardian says to be away for a while, or back. A session is enough: it takes nothing from them, and gives nobody more.

use axum::extract::State;
use nodpay_core::{GuardianId, Timestamp, to_ask};
use nodpay_store::{HouseholdRow, OrderRow};
use serde::{Deserialize, Serialize};

use super::watch::{Accepted, accepted};
use crate::App;
use crate::extract::Json as JsonBody;
use crate::households;
use crate::problem::ApiError;
use crate::sessions::GuardianSession;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AwayBody {
    /// At most 60 days from now; absent: back.
    until: Option<Timestamp>,
}

pub(super) async fn set(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<AwayBody>,
) -> Result<Accepted, ApiError> {
    app.store().set_away(session.household, session.guardian, body.until, app.now()).await?;
    Ok(accepted())
}

/// Who is asked about a waiting order: of those who may answer it whoever is there, or all where too few are.
pub(crate) async fn asked(app: &App, order: &OrderRow) -> Result<Vec<GuardianId>, ApiError> {
    let (now, row) = (app.now(), households::row(app, order.household).await?);
    let book = households::book(app, order.household).await?;
    let is_away = |guardian| row.away.iter().any(|(away, until)| *away == guardian && now < *until);
    let acting = book.members().filter(|member| member.acts(now)).map(|member| member.guardian.guardian);
    let acting: Vec<_> = acting.map(|guardian| (guardian, is_away(guardian))).collect();
    let total = order.requote.as_ref().map_or(order.total, |requote| requote.total);
    Ok(to_ask(&acting, book.house_rules(u64::MAX).wants_two_nods(total)))
}

/// A guardian who is not asked until then.
#[derive(Serialize)]
pub(super) struct Away {
    guardian: GuardianId,
    until: Timestamp,
}

/// Those who are away now.
pub(super) fn views(row: &HouseholdRow, now: Timestamp) -> Vec<Away> {
    let away = row.away.iter().filter(|(_, until)| now < *until);
    away.map(|(guardian, until)| Away { guardian: *guardian, until: *until }).collect()
}
