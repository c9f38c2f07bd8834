//! A guardian says to be away for a while, or back. A session is enough: it takes nothing from them, and gives nobody more.

use axum::extract::State;
use nodpay_core::{GuardianId, Timestamp};
use nodpay_store::HouseholdRow;
use serde::{Deserialize, Serialize};

use super::watch::{Accepted, accepted};
use crate::App;
use crate::extract::Json as JsonBody;
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
