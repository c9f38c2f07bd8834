//! What leaves the service: rows of the store as JSON, and events with their data. Event rows only refer to rows; the
//! data is what those say when the event is sent.

use nodpay_core::{
    Amount, AskId, BillId, Digest, GuardianId, HouseholdId, Judgement, LineId, MerchantId, OrderId, OrderState,
    OutcomeKind, PairingId, PersonName, RailKind, Text, Timestamp, WatchId, WearerId, Why,
};
use nodpay_protocol::Verified;
use nodpay_store::{
    AskRow, AskState, Asking, Balance, BillRow, BillStatus, DisputeRow, EventsPage, HouseholdEvent, HouseholdRow,
    MerchantEvent, Message, OrderRow, RefundRow, RefundState, StoreError,
};
use serde::Serialize;

use super::away;
use crate::App;
use crate::events::{Audience, PAGE, Page, Sent};
use crate::problem::ApiError;
use crate::sessions::Standing;
use crate::verified;

/// A verified message as the store keeps it.
pub(crate) fn message<T>(verified: &Verified<T>) -> Message {
    Message { wire: verified.wire().to_owned(), digest: verified.digest() }
}

/// What can be spent.
pub(crate) fn available(balance: Balance) -> Result<Amount, ApiError> {
    let units = balance.wallet.available().map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(Amount::new(units, balance.currency))
}

/// `waiting`, `holding`, `approved`, `paying`, or how it ended.
pub(crate) const fn state_name(state: &OrderState) -> &'static str {
    match state {
        OrderState::Waiting { .. } => "waiting",
        OrderState::Holding { .. } => "holding",
        OrderState::Approved { .. } => "approved",
        OrderState::Paying { .. } => "paying",
        OrderState::Ended { outcome } => outcome.as_str(),
    }
}

/// Who a guardian is to the wearers.
#[derive(Serialize)]
pub(crate) struct NamedGuardian {
    guardian: GuardianId,
    #[serde(flatten)]
    name: PersonName,
}

/// The guardians who chose a name.
pub(crate) fn named(row: &HouseholdRow) -> Vec<NamedGuardian> {
    let one = |(guardian, name): &(GuardianId, PersonName)| NamedGuardian { guardian: *guardian, name: name.clone() };
    row.guardians.iter().map(one).collect()
}

/// Who stopped the household's payments: `guardian`, also by asking to erase it, or `operator`.
pub(crate) const fn frozen_by(row: &HouseholdRow) -> Option<&'static str> {
    if row.freeze.is_some() || row.erase_from.is_some() {
        Some("guardian")
    } else if row.frozen {
        Some("operator")
    } else {
        None
    }
}

/// What an order waits for from its rail: `answer`, `unknown` (it got lost, and is asked for again) or `guardian`.
const fn asking_name(asking: &Asking) -> &'static str {
    match asking {
        Asking::Answer => "answer",
        Asking::Unknown => "unknown",
        Asking::Guardian(_) => "guardian",
    }
}

/// An order as its watch sees it.
#[derive(Serialize)]
pub(crate) struct WatchOrder {
    order_id: OrderId,
    digest: Digest,
    bill: BillId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asking: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nods: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    /// Another guardian's approval that the decision names.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    /// The log entry of the rule that approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mandate: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requote: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Whether the service has the watch's report of the outcome.
    reported: bool,
}

impl WatchOrder {
    pub(crate) fn new(row: OrderRow, now: Timestamp) -> Self {
        // What the watch has in hand it may pay.
        let held = !matches!(row.state, OrderState::Holding { .. });
        let requote = decided_requote(&row).filter(|_| held).map(|message| message.wire.clone());
        Self {
            order_id: row.order,
            digest: row.message.digest,
            bill: row.bill,
            state: state_name(&row.state),
            asking: row.asking.as_ref().map(asking_name),
            nods: nods(&row),
            left_ms: row.left_ms(now),
            requote,
            first: into_wire(row.first).filter(|_| held && row.decision.is_some()),
            decision: into_wire(row.decision).filter(|_| held),
            mandate: row.mandate.map(|entry| entry.digest).filter(|_| held),
            outcome: row.outcome.map(|ended| ended.message.wire),
            reported: row.result.is_some(),
        }
    }
}

/// One guardian's approval that waits for another's: the watch only says so.
fn nods(row: &OrderRow) -> Option<u32> {
    (matches!(row.state, OrderState::Waiting { .. }) && row.first.is_some()).then_some(1)
}

/// The requote, where a decision is over it: before that it is not the watch's business.
fn decided_requote(row: &OrderRow) -> Option<&Message> {
    row.decision.as_ref()?;
    row.requote.as_ref().map(|requote| &requote.message)
}

fn wire(message: Option<&Message>) -> Option<&str> {
    message.map(|message| message.wire.as_str())
}

fn into_wire(message: Option<Message>) -> Option<String> {
    message.map(|message| message.wire)
}

/// An order as its household's guardians see it: every message, to be verified by the page.
#[derive(Serialize)]
pub(crate) struct GuardianOrder {
    order_id: OrderId,
    state: &'static str,
    /// What moves its money.
    rail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asking: Option<&'static str>,
    /// Where to confirm with the bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm_url: Option<String>,
    received: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<i64>,
    /// While it waits: the guardians who are asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<GuardianId>,
    certificate: String,
    /// What is left of an old order; then it has none of the messages below.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<CutView>,
    bill: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requote: Option<String>,
    order: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    /// A guardian's approval that waits for another one's, or came before the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Under which the outcome verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<AskView>,
    /// What the rules said when it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged: Option<JudgedView>,
    /// What the merchant gave back, where it did: the operator's word, like the balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Amount>,
    /// In which parts and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<RefundRow>,
    /// What the card's bank asks about, or took back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disputes: Vec<DisputeRow>,
}

impl GuardianOrder {
    pub(crate) async fn new(app: &App, row: OrderRow) -> Result<Self, ApiError> {
        let now = app.now();
        let asked = match row.state {
            OrderState::Waiting { .. } => away::asked(app, &row).await?,
            OrderState::Holding { .. }
            | OrderState::Approved { .. }
            | OrderState::Paying { .. }
            | OrderState::Ended { .. } => Vec::new(),
        };
        let refunded = some(row.refunded);
        let mut refunds = match refunded {
            Some(_) => app.store().refunds(row.household, row.order).await?,
            None => Vec::new(),
        };
        refunds.retain(|refund| refund.state == RefundState::Done);
        let disputes = match (row.rail, &row.state) {
            (RailKind::Stripe, OrderState::Ended { outcome: OutcomeKind::Paid }) => {
                app.store().disputes(row.household, row.order).await?
            }
            (RailKind::Stripe | RailKind::Wallet | RailKind::Bank, _) => Vec::new(),
        };
        let cut = row.is_cut().then_some(CutView { wearer: row.wearer, total: row.total });
        let row = if cut.is_some() { without_messages(row) } else { row };
        let outcome_certificate = match &row.outcome {
            Some(ended) => Some(verified::outcome_certificate(app, &ended.message).await?.wire().to_owned()),
            None => None,
        };
        Ok(Self {
            order_id: row.order,
            state: state_name(&row.state),
            rail: row.rail.as_str(),
            asking: row.asking.as_ref().map(asking_name),
            confirm_url: match &row.asking {
                Some(Asking::Guardian(url)) => Some(url.clone()),
                Some(Asking::Answer | Asking::Unknown) | None => None,
            },
            received: row.received,
            left_ms: row.left_ms(now),
            asked,
            certificate: row.merchant_certificate.wire,
            cut,
            bill: row.bill_message.wire,
            requote: row.requote.map(|requote| requote.message.wire),
            order: row.message.wire,
            decision: into_wire(row.decision),
            first: into_wire(row.first),
            cancel: into_wire(row.cancel),
            payment: into_wire(row.payment),
            outcome: row.outcome.map(|ended| ended.message.wire),
            outcome_certificate,
            result: into_wire(row.result),
            ask: row.ask.map(|ask| AskView::new(ask, now)),
            judged: row.judged.and_then(|judged| judged.said).map(JudgedView::new),
            refunded,
            refunds,
            disputes,
        })
    }
}

/// What is said of an order whose messages are no longer kept: the operator's word, like the balance.
#[derive(Serialize)]
pub(crate) struct CutView {
    wearer: WearerId,
    total: Amount,
}

/// How it stands and what moved; its messages are digests by now, which nobody can verify.
fn without_messages(row: OrderRow) -> OrderRow {
    let nothing =
        OrderRow { requote: None, decision: None, first: None, mandate: None, judged: None, ask: None, ..row };
    OrderRow { cancel: None, payment: None, outcome: None, result: None, ..nothing }
}

/// An amount worth saying.
fn some(amount: Amount) -> Option<Amount> {
    (amount.minor() != 0).then_some(amount)
}

/// What a household's rules say to an order.
#[derive(Serialize)]
pub(crate) struct JudgedView {
    /// The log entry of the rule.
    entry: Digest,
    answer: &'static str,
    /// Why it did not approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
}

impl JudgedView {
    pub(crate) const fn new(said: Judgement) -> Self {
        Self { entry: said.entry, answer: said.answer.as_str(), why: said.answer.why() }
    }
}

/// A question to the merchant, as guardians see it.
#[derive(Serialize)]
pub(crate) struct AskView {
    ask: AskId,
    struck: Vec<LineId>,
    revision: u32,
    state: &'static str,
    /// The merchant's words, when it said no.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Text<60>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<i64>,
}

impl AskView {
    pub(crate) fn new(row: AskRow, now: Timestamp) -> Self {
        let left_ms = (row.state == AskState::Asked).then(|| row.deadline.ms_since(now).max(0));
        let (state, reason) = match row.state {
            AskState::Asked => ("asked", None),
            AskState::Answered(_) => ("answered", None),
            AskState::Refused(reason) => ("refused", Some(reason)),
            AskState::TimedOut => ("timed-out", None),
        };
        Self { ask: row.ask, struck: row.struck, revision: row.revision, state, reason, left_ms }
    }
}

/// A bill as its merchant sees it.
#[derive(Serialize)]
pub(crate) struct BillView {
    bill: BillId,
    status: BillStatus,
    total: Amount,
    struck: Vec<LineId>,
    left_ms: i64,
    /// What the merchant gave back of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Amount>,
    /// A watch made it of a printed code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    printed_code: bool,
}

impl BillView {
    pub(crate) fn new(row: &BillRow, now: Timestamp) -> Self {
        Self {
            bill: row.bill,
            status: row.status(now),
            total: row.current_total(),
            struck: row.struck().to_vec(),
            left_ms: row.deadline.ms_since(now).max(0),
            refunded: row.latest.as_ref().and_then(|order| some(order.refunded)),
            printed_code: row.watch.is_some(),
        }
    }
}

/// Number of the newest event of `audience`'s log.
pub(crate) async fn newest(app: &App, audience: Audience) -> Result<u64, ApiError> {
    match audience {
        Audience::Guardian(household) | Audience::Watch(household, _) => {
            Ok(crate::households::row(app, household).await?.last_event)
        }
        Audience::Merchant(merchant) => Ok(app.store().last_merchant_event(merchant).await?),
    }
}

/// `audience`'s events after `after`, at most [`PAGE`] of them.
/// `standing` is kept between calls: what the watch was when they were last read.
pub(crate) async fn events(
    app: &App,
    audience: Audience,
    after: u64,
    standing: &mut Standing,
) -> Result<Page, ApiError> {
    match audience {
        Audience::Guardian(household) => guardian_events(app, household, after).await,
        Audience::Watch(household, watch) => watch_events(app, household, watch, after, standing).await,
        Audience::Merchant(merchant) => merchant_events(app, merchant, after).await,
    }
}

fn json(data: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(data).map_err(|error| ApiError::Internal(error.to_string()))
}

#[derive(Serialize)]
struct BalanceEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Amount>,
}

/// What a watch may spend; `None` where a card or a bank account pays, whose limit we do not know.
pub(crate) async fn spendable(app: &App, household: HouseholdId) -> Result<Option<Amount>, ApiError> {
    if app.store().payer(household).await?.is_some() {
        return Ok(None);
    }
    available(app.store().wallet(household).await?.ok_or(StoreError::HouseholdUnknown)?).map(Some)
}

/// What an event on this page says of the balance.
fn balance(page: &EventsPage) -> Result<Amount, ApiError> {
    available(page.balance.ok_or(StoreError::HouseholdUnknown)?)
}

/// What an event on this page is about.
fn order_row(page: &EventsPage, order: OrderId) -> Result<&OrderRow, ApiError> {
    Ok(page.order(order).ok_or(StoreError::OrderUnknown)?)
}

async fn guardian_events(app: &App, household: HouseholdId, after: u64) -> Result<Page, ApiError> {
    #[derive(Serialize)]
    struct Seq {
        seq: u64,
    }
    #[derive(Serialize)]
    struct Order {
        order: OrderId,
    }
    #[derive(Serialize)]
    struct Outcome<'a> {
        order: OrderId,
        /// As the service signed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Pairing {
        pairing: PairingId,
    }
    #[derive(Serialize)]
    struct Pin {
        watch: WatchId,
    }
    let read = app.store().events_page(household, nodpay_store::Audience::Guardian, after, PAGE).await?;
    let mut page = Page::new(read.read_to, read.is_full);
    for row in &read.events {
        let data = match row.event {
            HouseholdEvent::Log(seq) => json(&Seq { seq })?,
            HouseholdEvent::Pairing(pairing) => json(&Pairing { pairing })?,
            HouseholdEvent::Order(order)
            | HouseholdEvent::Requote(order)
            | HouseholdEvent::Decision(order)
            | HouseholdEvent::Result(order)
            | HouseholdEvent::Refund(order) => json(&Order { order })?,
            HouseholdEvent::Outcome(order) => {
                let outcome = order_row(&read, order)?.outcome.as_ref().map(|ended| ended.message.wire.as_str());
                json(&Outcome { order, outcome })?
            }
            HouseholdEvent::Balance => json(&BalanceEvent { balance: Some(balance(&read)?) })?,
            HouseholdEvent::Pin(watch) => json(&Pin { watch })?,
        };
        page.push(Sent { seq: row.seq, at: row.at, kind: row.event.kind(), data });
    }
    Ok(page)
}

async fn watch_events(
    app: &App,
    household: HouseholdId,
    watch: WatchId,
    after: u64,
    standing: &mut Standing,
) -> Result<Page, ApiError> {
    #[derive(Serialize)]
    struct Log {
        entry: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        frozen: Option<&'static str>,
    }
    /// While it waits for guardians or for its rail; once that has answered there is nothing to say.
    #[derive(Serialize)]
    struct Waits {
        order: OrderId,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        asking: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        nods: Option<u32>,
    }
    #[derive(Serialize)]
    struct Decision<'a> {
        order: OrderId,
        #[serde(skip_serializing_if = "Option::is_none")]
        decision: Option<&'a str>,
        /// Another guardian's approval that the decision names.
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<&'a str>,
        /// In its place: the log entry of a rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        mandate: Option<Digest>,
        #[serde(skip_serializing_if = "Option::is_none")]
        requote: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Outcome<'a> {
        order: OrderId,
        outcome: &'a str,
        /// Of a refusal: the outcome names it, and the child may read the guardian's words.
        #[serde(skip_serializing_if = "Option::is_none")]
        decision: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        requote: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        balance: Option<Amount>,
    }
    #[derive(Serialize)]
    struct Refunded {
        order: OrderId,
        /// All that went back of it so far.
        refunded: Amount,
    }
    let read = app.store().events_page(household, nodpay_store::Audience::Watch(watch), after, PAGE).await?;
    let mut page = Page::new(read.read_to, read.is_full);
    let log_changed = read.events.iter().any(|row| matches!(row.event, HouseholdEvent::Log(_)));
    if log_changed || *standing == Standing::Pending {
        *standing = crate::sessions::standing(app, watch).await?;
    }
    if *standing == Standing::Pending {
        return Ok(page);
    }
    for row in &read.events {
        let data = match row.event {
            HouseholdEvent::Log(seq) => {
                // Follows the log: entries are few.
                let entries = app.store().log(household, seq).await?;
                let frozen = frozen_by(&crate::households::row(app, household).await?);
                entries.into_iter().next().map(|entry| json(&Log { entry: entry.wire, frozen })).transpose()?
            }
            HouseholdEvent::Order(order) => {
                let found = order_row(&read, order)?;
                let state = state_name(&found.state);
                let (asking, nods) = (found.asking.as_ref().map(asking_name), nods(found));
                let waits = asking.is_some() || matches!(found.state, OrderState::Waiting { .. });
                waits.then(|| json(&Waits { order, state, asking, nods })).transpose()?
            }
            // What they said is no longer kept.
            HouseholdEvent::Decision(order) | HouseholdEvent::Outcome(order) if order_row(&read, order)?.is_cut() => {
                None
            }
            HouseholdEvent::Decision(order) => {
                let found = order_row(&read, order)?;
                let requote = wire(decided_requote(found));
                let decision = wire(found.decision.as_ref());
                let mandate = found.mandate.as_ref().map(|entry| entry.digest);
                let decided = decision.is_some() || mandate.is_some();
                let first = decision.and(wire(found.first.as_ref()));
                decided.then(|| json(&Decision { order, decision, first, mandate, requote })).transpose()?
            }
            HouseholdEvent::Outcome(order) => {
                let found = order_row(&read, order)?;
                match &found.outcome {
                    Some(ended) => {
                        let refused = ended.kind == nodpay_core::OutcomeKind::Refused;
                        let requote = wire(decided_requote(found).filter(|_| refused));
                        let decision = wire(found.decision.as_ref().filter(|_| refused));
                        let outcome = ended.message.wire.as_str();
                        let balance = match (&*standing, found.rail) {
                            (Standing::Enrolled, RailKind::Wallet) => Some(balance(&read)?),
                            (Standing::Enrolled | Standing::Pending | Standing::Removed, _) => None,
                        };
                        Some(json(&Outcome { order, outcome, decision, requote, balance })?)
                    }
                    None => None,
                }
            }
            HouseholdEvent::Refund(order) => {
                let refunded = order_row(&read, order)?.refunded;
                Some(json(&Refunded { order, refunded })?)
            }
            HouseholdEvent::Balance => match standing {
                Standing::Enrolled => Some(json(&BalanceEvent { balance: spendable(app, household).await? })?),
                Standing::Pending | Standing::Removed => None,
            },
            // Not for watches.
            HouseholdEvent::Pairing(_)
            | HouseholdEvent::Requote(_)
            | HouseholdEvent::Result(_)
            | HouseholdEvent::Pin(_) => None,
        };
        // Nothing is said where there is nothing to say any more.
        if let Some(data) = data {
            page.push(Sent { seq: row.seq, at: row.at, kind: row.event.kind(), data });
        }
    }
    Ok(page)
}

async fn merchant_events(app: &App, merchant: MerchantId, after: u64) -> Result<Page, ApiError> {
    #[derive(Serialize)]
    struct Ask {
        ask: AskId,
        bill: BillId,
        struck: Vec<LineId>,
        revision: u32,
        left_ms: i64,
    }
    let now = app.now();
    let rows = app.store().merchant_events_after(merchant, after, PAGE).await?;
    let is_full = u32::try_from(rows.len()).is_ok_and(|count| count == PAGE);
    let mut page = Page::new(rows.last().map_or(after, |row| row.seq), is_full);
    for row in rows {
        let (kind, data) = match row.event {
            MerchantEvent::Bill(bill) => {
                let found = app.store().bill(bill).await?.ok_or(StoreError::BillUnknown)?;
                ("bill", Some(json(&BillView::new(&found, now))?))
            }
            MerchantEvent::Requote(bill, ask) => {
                // It went with its household.
                let Some(found) = app.store().requote_ask(ask).await? else { continue };
                let left_ms = found.deadline.ms_since(now);
                // Nobody waits for the answer to an older one.
                let asked = found.state == AskState::Asked && left_ms > 0;
                let (struck, revision) = (found.struck, found.revision);
                let data = asked.then(|| json(&Ask { ask, bill, struck, revision, left_ms })).transpose()?;
                ("requote", data)
            }
        };
        if let Some(data) = data {
            page.push(Sent { seq: row.seq, at: row.at, kind, data });
        }
    }
    Ok(page)
}
