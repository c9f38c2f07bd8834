//! A household's wallet: what it has, what moved, and how money gets in.

use axum::Json;
use axum::extract::State;
use nodpay_core::{Amount, Currency, Every, Minor, RailKind, ScheduleId, Text, Timestamp, TransferId, WatchId};
use nodpay_store::{Purchase, WalletHold, WalletKind, WalletMovement};
use serde::{Deserialize, Serialize};

use super::compose::available;
use crate::App;
use crate::extract::Query;
use crate::problem::ApiError;
use crate::reference;
use crate::sessions::GuardianSession;
use crate::statement::{place_text, read_place};

/// Movements a page shows at once.
const PAGE: u32 = 30;
/// How far back a rule's sums are of interest: the longest period and a day.
const SUMS_DAYS: i64 = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `next` of the page before.
    before: Option<String>,
}

#[derive(Serialize)]
pub(super) struct WalletView {
    now: Timestamp,
    currency: Currency,
    /// What can be spent.
    available: Amount,
    held: Amount,
    /// What new orders are paid by.
    rail: &'static str,
    holds: Vec<HoldView>,
    /// The newest first.
    movements: Vec<MovementView>,
    /// Go on with `before` this one; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Top-ups that come by themselves.
    standing: Vec<StandingView>,
    /// What each watch has spent in its newest periods, by their first local day since 1970.
    spent: Vec<SpentView>,
    top_up: TopUpView,
}

#[derive(Serialize)]
struct HoldView {
    at: Timestamp,
    amount: Amount,
    #[serde(flatten)]
    purchase: Purchase,
}

#[derive(Serialize)]
pub(crate) struct MovementView {
    at: Timestamp,
    transfer: TransferId,
    kind: WalletKind,
    /// Minor units; below zero where it takes something away.
    change: Minor,
    #[serde(flatten)]
    purchase: Option<Purchase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Text<60>>,
}

#[derive(Serialize)]
struct StandingView {
    schedule: ScheduleId,
    amount: Amount,
    every: &'static str,
    next: Timestamp,
}

#[derive(Serialize)]
struct SpentView {
    watch: WatchId,
    every: &'static str,
    first: i64,
    spent: Minor,
}

/// How a guardian brings money in.
#[derive(Serialize)]
struct TopUpView {
    /// For the transfer's reference (ISO 11649).
    reference: String,
    /// The operator's own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountView>,
    /// The operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

#[derive(Serialize)]
struct AccountView {
    name: String,
    iban: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bic: Option<String>,
}

pub(super) async fn wallet(
    State(app): State<App>,
    session: GuardianSession,
    Query(asked): Query<Asked>,
) -> Result<Json<WalletView>, ApiError> {
    let (now, household) = (app.now(), session.household);
    let before = asked.before.as_deref().map(|before| {
        read_place(before).ok_or_else(|| ApiError::Form("before: is not what an earlier page said".to_owned()))
    });
    let page = app.store().wallet_page(household, before.transpose()?, PAGE).await?;
    let standing = app.store().schedules(household).await?;
    let since = nodpay_core::Day::of(now).number() - SUMS_DAYS;
    let spent = app.store().mandate_sums(household).await?;
    let rail = app.store().payer(household).await?.map_or(RailKind::Wallet, |payer| payer.kind());
    let every = |every: Every| every.as_str();
    Ok(Json(WalletView {
        now,
        currency: page.balance.currency,
        available: available(page.balance)?,
        held: Amount::new(page.balance.wallet.held(), page.balance.currency),
        rail: rail.as_str(),
        holds: page.holds.into_iter().map(HoldView::from).collect(),
        movements: page.movements.into_iter().map(MovementView::from).collect(),
        next: page.next.map(place_text),
        standing: standing
            .into_iter()
            .filter_map(|row| {
                let next = row.next_due?;
                Some(StandingView { schedule: row.schedule, amount: row.amount, every: every(row.every), next })
            })
            .collect(),
        spent: spent
            .into_iter()
            .filter(|(_, period, _)| period.first.number() >= since)
            // The whole household's sums are of no rule for one watch.
            .filter_map(|(watch, period, spent)| {
                Some(SpentView { watch: watch?, every: every(period.every), first: period.first.number(), spent })
            })
            .collect(),
        top_up: TopUpView {
            reference: reference::of(household),
            account: app.config().rails.bank_account.as_ref().map(|account| AccountView {
                name: account.name.clone(),
                iban: account.iban.as_str().to_owned(),
                bic: account.bic.as_ref().map(|bic| bic.as_str().to_owned()),
            }),
            words: app.config().rails.top_up_words.clone(),
        },
    }))
}

impl From<WalletHold> for HoldView {
    fn from(hold: WalletHold) -> Self {
        let WalletHold { at, amount, purchase } = hold;
        Self { at, amount, purchase }
    }
}

impl From<WalletMovement> for MovementView {
    fn from(movement: WalletMovement) -> Self {
        let WalletMovement { at, transfer, kind, change, purchase, reason } = movement;
        Self { at, transfer, kind, change, purchase, reason }
    }
}
