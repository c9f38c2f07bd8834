//! Payments that the card's bank takes back because its holder disputes them. What the rail says about a dispute is a fact, not
//! a question: it is written down, and the books follow it. Won and lost are final, so it may be said twice, late, and in any order.

use nodpay_core::{HouseholdId, Minor, OrderId, Timestamp};

use crate::db::{Cells, Db, many, one, params, run, run_one};
use crate::events::{To, tell, tell_merchant};
use crate::households::Books;
use crate::tx::{Fault, Tx};
use crate::{DisputeNews, DisputeRow, DisputeState, HouseholdEvent, MerchantEvent, StoreError, ledger, orders, topups};

/// Completed by a condition.
macro_rules! select_dispute {
    ($condition:literal) => {
        concat!("SELECT transfer, amount, currency, state, opened, changed FROM disputes WHERE ", $condition)
    };
}

/// Takes in how a dispute stands. `None` where the payment is none of ours, or nothing of it is new.
pub(crate) fn take_in(tx: &mut Tx<'_>, news: &DisputeNews, now: Timestamp) -> Result<Option<DisputeState>, Fault> {
    let paid = one(
        tx.db,
        "rail_payments",
        &news.payment,
        "SELECT household, order_id FROM rail_payments WHERE known_as = ?1 LIMIT 1",
        params![news.payment.clone()],
        |cells| Ok((cells.id::<HouseholdId>()?, cells.id::<OrderId>()?)),
    )?;
    let Some((household, order)) = paid else { return topups::disputed(tx, news, now) };
    let mut books = Books::lock_ever(tx.db, household)?.ok_or(StoreError::HouseholdUnknown)?;
    let live = orders::load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
    if news.amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    if news.amount.units() <= Minor::ZERO {
        return Err(StoreError::AmountNotPositive.into());
    }
    let sql = select_dispute!("transfer = ?1");
    let before = one(tx.db, "disputes", &news.dispute, sql, params![news.transfer.as_bytes()], build)?;
    let state = before.map_or(Some(news.state), |before| before.state.then(news.state));
    let Some(state) = state else { return Ok(None) };
    let amount = before.map_or(news.amount, |before| before.amount);
    match before {
        None => {
            run_one(
                tx.db,
                "disputes",
                &news.dispute,
                "INSERT INTO disputes (transfer, household, order_id, known_as, amount, currency, state, opened, changed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
                params![
                    news.transfer.as_bytes(),
                    household.as_bytes(),
                    order.as_bytes(),
                    news.dispute.clone(),
                    amount.minor(),
                    amount.currency().code(),
                    state.as_str(),
                    now.unix_ms(),
                ],
            )?;
        }
        Some(_) => {
            run(
                tx.db,
                "UPDATE disputes SET state = ?2, changed = ?3 WHERE transfer = ?1",
                params![news.transfer.as_bytes(), state.as_str(), now.unix_ms()],
            )?;
        }
    }
    let hold = live.hold.ok_or_else(|| live.incident("its payment is disputed, but it has no hold"))?;
    let held = live.held(hold);
    match (before.is_some_and(|before| before.state.is_taken()), state.is_taken()) {
        (false, true) => ledger::take_back(tx, household, &held, (news.transfer, amount), now)?,
        (true, false) => ledger::give_again(tx, household, &held, (news.transfer, amount), now)?,
        (true, true) | (false, false) => {}
    }
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Order(order), now)?;
    tell_merchant(tx, live.row.merchant, MerchantEvent::Bill(live.row.bill), now)?;
    books.save(tx)?;
    Ok(Some(state))
}

impl DisputeState {
    /// Where it goes when the rail says `said`; `None` where that is nothing new.
    pub(crate) fn then(self, said: Self) -> Option<Self> {
        match (self, said) {
            (Self::Won | Self::Lost, _) | (Self::Open, Self::Open) | (Self::Taken, Self::Open | Self::Taken) => None,
            (Self::Open, Self::Taken | Self::Won | Self::Lost) | (Self::Taken, Self::Won | Self::Lost) => Some(said),
        }
    }

    /// Whether the bank has the money.
    pub(crate) const fn is_taken(self) -> bool {
        matches!(self, Self::Taken | Self::Lost)
    }
}

fn build(cells: &Cells<'_>) -> Result<DisputeRow, StoreError> {
    let (transfer, amount, state) = (cells.id()?, cells.amount()?, cells.string()?);
    let state = DisputeState::from_text(&state).ok_or_else(|| cells.wrong(format!("state {state}")))?;
    Ok(DisputeRow { transfer, amount, state, opened: cells.time()?, changed: cells.time()? })
}

/// Of an order, the oldest first.
pub(crate) fn list(db: Db<'_>, household: HouseholdId, order: OrderId) -> Result<Vec<DisputeRow>, StoreError> {
    let sql = select_dispute!("household = ?1 AND order_id = ?2 ORDER BY opened, transfer");
    many(db, "disputes", order, sql, params![household.as_bytes(), order.as_bytes()], build)
}
