//! What a guardian wants to know before they decide: how much a wearer has spent. Only read.

use nodpay_core::{HouseholdId, Minor, Timestamp, WearerId};

use crate::StoreError;
use crate::db::{Db, one, params};

/// What was paid since two moments, refunds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub day: Minor,
    pub month: Minor,
}

/// Goes through the household's orders from the newest to the first one before `month`, in the order they came.
pub(crate) fn spent(
    db: Db<'_>,
    household: HouseholdId,
    wearer: WearerId,
    day: Timestamp,
    month: Timestamp,
) -> Result<Spent, StoreError> {
    let found = one(
        db,
        "orders",
        wearer,
        "SELECT CAST(coalesce(sum(CASE WHEN received >= ?3 THEN total ELSE 0 END), 0) AS BIGINT),
                CAST(coalesce(sum(total), 0) AS BIGINT) FROM orders
         WHERE household = ?1 AND no > 0 AND wearer = ?2 AND outcome_kind = 'paid' AND received >= ?4
             AND no > coalesce((SELECT no FROM orders WHERE household = ?1 AND no > 0 AND received < ?4
                                ORDER BY no DESC LIMIT 1), 0)",
        params![household.as_bytes(), wearer.as_bytes(), day.unix_ms(), month.unix_ms()],
        |cells| {
            // Beyond what one payment may be there is nothing more to say than that.
            let sum = |units: i64| Minor::new(units).unwrap_or(Minor::MAX);
            Ok(Spent { day: sum(cells.int()?), month: sum(cells.int()?) })
        },
    )?;
    found.ok_or_else(|| StoreError::Database("a sum gave no row".to_owned()))
}
