//! A household's wallet: what it has, what moved, and how money gets in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nodpay_core::{
    Amount, Currency, Decline, Digest, Every, GuardianId, Minor, RailKind, ScheduleId, Text, Timestamp, TransferId,
    WatchId,
};
use nodpay_protocol::{sha256, verify_card_top_up};
use nodpay_store::{
    Asking, CardTopUpRow, CardTopUpState, DisputeState, MAX_CARD_TOP_UP, MAX_CARD_TOP_UP_DAY, MIN_CARD_TOP_UP, Message,
    NewCardTopUp, Purchase, WalletHold, WalletKind, WalletMovement,
};
use serde::{Deserialize, Serialize};

use super::compose::available;
use super::guardians::MAX_ENTRY_SKEW_MS;
use crate::App;
use crate::extract::{Json as JsonBody, Query};
use crate::households;
use crate::limits::Purpose;
use crate::problem::ApiError;
use crate::reference;
use crate::sessions::{GuardianSession, limit};
use crate::statement::{place_text, read_place};

/// Movements a page shows at once.
const PAGE: u32 = 30;
/// How far back a rule's sums are of interest: the longest period and a day.
const SUMS_DAYS: i64 = 32;
/// How long a card top-up is shown after it is over; what became of it stays in the statement.
const SHOWN_MS: i64 = 24 * 60 * 60 * 1000;

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
    /// Where the household has a card on file.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<CardView>,
    /// Card top-ups that are open, new or disputed; the newest first.
    card_top_ups: Vec<CardTopUpView>,
}

/// What a card may be charged, in minor units.
#[derive(Serialize)]
struct CardView {
    least: i64,
    most: i64,
    most_a_day: i64,
}

#[derive(Serialize)]
pub(crate) struct CardTopUpView {
    transfer: TransferId,
    guardian: GuardianId,
    amount: Amount,
    at: Timestamp,
    state: &'static str,
    /// Where the guardian confirms with their bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline: Option<Decline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispute: Option<DisputeState>,
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
    let has_card = app.rails().stripe().is_some() && app.store().top_up_card(household).await?.is_some();
    let card_top_ups = app.store().card_top_ups(household).await?;
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
            card: has_card.then_some(CardView {
                least: MIN_CARD_TOP_UP,
                most: MAX_CARD_TOP_UP,
                most_a_day: MAX_CARD_TOP_UP_DAY,
            }),
            card_top_ups: card_top_ups.into_iter().filter(|row| is_shown(row, now)).map(CardTopUpView::from).collect(),
        },
    }))
}

fn is_shown(row: &CardTopUpRow, now: Timestamp) -> bool {
    let open = matches!(row.state, CardTopUpState::Asking(_));
    open || row.dispute.is_some_and(|dispute| dispute != DisputeState::Won) || now.ms_since(row.at) < SHOWN_MS
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopUpBody {
    assertion: String,
}

/// A guardian has the household's card charged. The session only says who may ask: the passkey signed the amount.
pub(super) async fn top_up(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<TopUpBody>,
) -> Result<(StatusCode, Json<CardTopUpView>), ApiError> {
    limit(&app, Purpose::TopUp, Digest::from_bytes(sha256(session.household.as_bytes())))?;
    let book = households::book(&app, session.household).await?;
    let (top_up, counter) = verify_card_top_up(&body.assertion, &book)?;
    book.answering(top_up.guardian, app.now())?;
    if !(-MAX_ENTRY_SKEW_MS..=MAX_ENTRY_SKEW_MS).contains(&top_up.at.ms_since(app.now())) {
        return Err(ApiError::EntryTime);
    }
    let new = NewCardTopUp {
        household: session.household,
        guardian: top_up.guardian,
        transfer: top_up.transfer(),
        amount: top_up.amount,
        message: Message { wire: body.assertion, digest: top_up.digest() },
        counter,
    };
    let row = app.store().ask_card_top_up(new, app.now()).await?;
    app.rails().wake();
    Ok((StatusCode::CREATED, Json(row.into())))
}

impl From<CardTopUpRow> for CardTopUpView {
    fn from(row: CardTopUpRow) -> Self {
        let CardTopUpRow { transfer, guardian, amount, state, at, dispute } = row;
        let (state, confirm_url, decline) = match state {
            CardTopUpState::Asking(Asking::Answer) => ("answer", None, None),
            CardTopUpState::Asking(Asking::Unknown) => ("unknown", None, None),
            CardTopUpState::Asking(Asking::Guardian(url)) => ("guardian", Some(url), None),
            CardTopUpState::Done => ("done", None, None),
            CardTopUpState::Declined(decline) => ("declined", None, Some(decline)),
        };
        Self { transfer, guardian, amount, at, state, confirm_url, decline, dispute }
    }
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
