//! The pages.

use axum::Router;

use crate::App;

/// Pages and static files.
pub(crate) fn router() -> Router<App> {
    Router::new()
}
