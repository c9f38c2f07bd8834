//! Households' logs, verified entry by entry and folded, kept in a bounded memory. A book that is behind the database's is
//! extended by what it lacks.

use std::sync::Arc;

use nodpay_core::{HouseholdId, OrderId, WatchId};
use nodpay_protocol::LogBook;
use nodpay_store::{HouseholdRow, OrderRow, StoreError};

use crate::App;
use crate::problem::ApiError;

/// Books that are remembered.
pub(crate) const MAX_BOOKS: usize = 16_384;

/// Watches whose household is remembered: an enrolment says it once and for all.
pub(crate) const MAX_WATCHES: usize = 65_536;

/// Whose watch it is.
pub(crate) async fn of_watch(app: &App, watch: WatchId) -> Result<HouseholdId, ApiError> {
    if let Some(household) = app.watches().get(watch) {
        return Ok(household);
    }
    let row = app.store().household_of_watch(watch).await?.ok_or(StoreError::WatchUnknown)?;
    app.watches().insert(watch, row.household);
    Ok(row.household)
}

/// Verifies a message with the book in memory, and where that refuses with the newest one. A book that is behind may know a
/// key that was removed since: whether it may still act is asked again by the transaction.
pub(crate) async fn with_book<T>(
    app: &App,
    household: HouseholdId,
    verify: impl Fn(&LogBook) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    if let Some(known) = app.books().get(household)
        && let Ok(verified) = verify(&known)
    {
        return Ok(verified);
    }
    verify(&*book(app, household).await?)
}

/// Verifies a message about an order, with the book and the order in memory first. The order may be behind too: the messages it
/// has never change, and what it lacks is read.
pub(crate) async fn with_order<T>(
    app: &App,
    household: HouseholdId,
    order: OrderId,
    verify: impl Fn(&LogBook, &OrderRow) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    if let (Some(book), Some(row)) = (app.books().get(household), app.store().order_at_hand(household, order))
        && let Ok(verified) = verify(&book, &row)
    {
        return Ok(verified);
    }
    let row = app.store().order(household, order).await?.ok_or(StoreError::OrderUnknown)?;
    verify(&*book(app, household).await?, &row)
}

/// The household's row.
pub(crate) async fn row(app: &App, household: HouseholdId) -> Result<HouseholdRow, ApiError> {
    app.store().household(household).await?.ok_or(ApiError::Store(StoreError::HouseholdUnknown))
}

/// The household's book, at least as new as the database was when this began.
pub(crate) async fn book(app: &App, household: HouseholdId) -> Result<Arc<LogBook>, ApiError> {
    let (head, next_seq) = app.store().log_head(household).await?.ok_or(StoreError::HouseholdUnknown)?;
    let incident = |what: &str| ApiError::Internal(format!("log of household {household}: {what}"));
    let known = app.books().get(household);
    if let Some(book) = &known
        && (book.head() == head || (book.next_seq() > next_seq && book.seq_of(head).is_some()))
    {
        return Ok(Arc::clone(book));
    }
    let from_seq = known.as_ref().map_or(0, |book| book.next_seq());
    let entries = app.store().log(household, from_seq).await?;
    let mut entries = entries.iter();
    let mut book = match known {
        Some(book) => LogBook::clone(&book),
        None => {
            let founding = entries.next().ok_or_else(|| incident("it is empty"))?;
            let found = LogBook::found(&founding.wire, None, app.relying_party().clone());
            found.map_err(|error| incident(&error.to_string()))?
        }
    };
    for entry in entries {
        book.append(&entry.wire).map_err(|error| incident(&error.to_string()))?;
    }
    if book.household() != household || book.seq_of(head).is_none() {
        return Err(incident("it does not lead to its head"));
    }
    let book = Arc::new(book);
    app.books().insert(household, Arc::clone(&book));
    Ok(book)
}
