//! Households' logs, verified entry by entry and folded, kept in a bounded memory. Each use compares the head with the
//! database's; a book that is behind is extended by what it lacks.

use std::sync::Arc;

use nodpay_core::HouseholdId;
use nodpay_protocol::LogBook;
use nodpay_store::{HouseholdRow, StoreError};

use crate::App;
use crate::problem::ApiError;

/// Books that are remembered.
pub(crate) const MAX_BOOKS: usize = 16_384;

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
