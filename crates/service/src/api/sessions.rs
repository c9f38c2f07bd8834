//! Where a guardian is signed in, and signing out there.

use axum::Json;
use axum::extract::State;
use nodpay_core::{SessionId, Timestamp};
use nodpay_store::{Device, EndSessions, SessionRow};
use serde::Serialize;

use super::watch::{Accepted, accepted};
use crate::App;
use crate::extract::Path;
use crate::problem::ApiError;
use crate::sessions::GuardianSession;

#[derive(Serialize)]
pub(super) struct Sessions {
    now: Timestamp,
    /// Those of this guardian, the one that was seen last first.
    sessions: Vec<SessionView>,
}

#[derive(Serialize)]
struct SessionView {
    session: SessionId,
    /// Two words: `iphone/safari`.
    device: Device,
    since: Timestamp,
    seen: Timestamp,
    /// The one that asks.
    own: bool,
}

pub(super) async fn sessions(State(app): State<App>, session: GuardianSession) -> Result<Json<Sessions>, ApiError> {
    let now = app.now();
    let rows = app.store().sessions(session.household, session.guardian, now).await?;
    let view = |row: SessionRow| SessionView {
        session: row.session,
        own: row.session == session.session,
        device: row.device,
        since: row.created,
        seen: row.seen,
    };
    Ok(Json(Sessions { now, sessions: rows.into_iter().map(view).collect() }))
}

pub(super) async fn end(
    State(app): State<App>,
    session: GuardianSession,
    Path(other): Path<SessionId>,
) -> Result<Accepted, ApiError> {
    app.store().end_sessions(session.household, session.guardian, EndSessions::One(other)).await?;
    Ok(accepted())
}

pub(super) async fn end_others(State(app): State<App>, session: GuardianSession) -> Result<Accepted, ApiError> {
    app.store().end_sessions(session.household, session.guardian, EndSessions::AllBut(session.session)).await?;
    Ok(accepted())
}
