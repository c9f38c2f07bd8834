//! What there is to say about an event, and how much of it a phone shows. The phone's service worker makes sentences of it, in the
//! language that the message names.

use nodpay_core::{
    Amount, Entry, GuardianId, HouseholdId, OrderId, OrderState, OutcomeKind, PinState, Timestamp, WatchId, WearerId,
};
use nodpay_protocol::{entry_said, verify_pin_report};
use nodpay_store::{Alert, HouseholdEvent, HouseholdRow, OrderRow, PushDetail, PushLanguage, Subscription};
use serde::Serialize;

use super::deliver::Handling;
use crate::App;
use crate::api::away;
use crate::problem::ApiError;
use crate::{households, verified};

/// Items that a notification names.
const MAX_ITEMS: usize = 6;
/// How an order ended is news for this long.
const OUTCOME_LIFE_MS: i64 = 60 * 60 * 1000;
/// What another guardian or a watch asks for is news for this long.
const ASK_LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// Something worth waking a guardian for.
#[derive(Clone, Debug)]
pub(super) struct News {
    what: What,
    at: Timestamp,
    pub(super) expires: Timestamp,
    /// Who is not to be woken: whoever did it, and whoever is away.
    pub(super) except: Vec<GuardianId>,
    /// The person it is about: a wearer, or the guardian who did it.
    name: Option<String>,
}

#[derive(Clone, Debug)]
enum What {
    Order(OrderId, Basket),
    /// One of two guardians nodded: to the others.
    Nod(OrderId, Basket),
    Outcome(OrderId, OutcomeKind, Basket),
    /// Another guardian did something: a word of [`entry_word`], or `freeze`.
    Household(u64, &'static str),
    Pin(WatchId, &'static str),
}

#[derive(Clone, Debug)]
struct Basket {
    shop: String,
    total: Amount,
    items: Vec<String>,
}

/// What travels; `docs/API.md` describes it.
#[derive(Debug, Serialize)]
pub(super) struct Note<'a> {
    v: u32,
    kind: &'static str,
    lang: PushLanguage,
    /// A later one with the same tag takes its place.
    tag: String,
    /// Where a tap leads, in the guardian's app.
    open: String,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shop: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Amount>,
    /// Of the currency's minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    digits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a [String]>,
    /// How many items it does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<usize>,
}

impl Note<'_> {
    /// What a guardian asked for to see that it works.
    pub(super) fn test(language: PushLanguage, at: Timestamp) -> Self {
        let (tag, open) = ("test".to_owned(), "#/household".to_owned());
        let (word, name, shop, total) = (None, None, None, None);
        let (digits, items, more) = (None, None, None);
        Self { v: 1, kind: "test", lang: language, tag, open, at, word, name, shop, total, digits, items, more }
    }
}

impl News {
    /// For this phone: as much of it as its guardian chose.
    pub(super) fn note(&self, to: &Subscription) -> Note<'_> {
        let (kind, tag, open, word, basket) = match &self.what {
            What::Order(order, basket) => ("order", order.to_string(), format!("#/order/{order}"), None, Some(basket)),
            What::Nod(order, basket) => ("nod", order.to_string(), format!("#/order/{order}"), None, Some(basket)),
            What::Outcome(order, outcome, basket) => {
                ("outcome", order.to_string(), format!("#/order/{order}"), Some(outcome.as_str()), Some(basket))
            }
            What::Household(seq, word) => {
                ("household", format!("log-{seq}"), "#/guardians".to_owned(), Some(*word), None)
            }
            What::Pin(watch, word) => ("pin", watch.to_string(), "#/".to_owned(), Some(*word), None),
        };
        let names = matches!(to.detail, PushDetail::Total | PushDetail::Items);
        let basket = basket.filter(|_| names);
        let items = basket.filter(|_| to.detail == PushDetail::Items && !matches!(self.what, What::Nod(..)));
        let items = items.map(|basket| basket.items.as_slice());
        let named = items.map(|items| items.get(..MAX_ITEMS).unwrap_or(items));
        let more = items.map_or(0, <[String]>::len).saturating_sub(MAX_ITEMS);
        Note {
            v: 1,
            kind,
            lang: to.language,
            tag,
            open,
            at: self.at,
            word,
            name: self.name.as_deref().filter(|_| names),
            shop: basket.map(|basket| basket.shop.as_str()),
            total: basket.map(|basket| basket.total),
            digits: basket.map(|basket| basket.total.currency().exponent()),
            items: named,
            more: (more > 0).then_some(more),
        }
    }

    pub(super) fn handling(&self, now: Timestamp) -> Handling {
        let (urgent, topic) = match &self.what {
            What::Order(order, _) | What::Nod(order, _) => (true, order.to_string()),
            What::Outcome(order, ..) => (false, order.to_string()),
            What::Household(seq, _) => (true, format!("log-{seq}")),
            What::Pin(watch, _) => (true, watch.to_string()),
        };
        Handling { ttl_s: self.expires.ms_since(now) / 1_000, urgent, topic }
    }
}

/// What an event is worth saying now; `None` where it is nothing to wake anybody for, or nothing any more.
pub(super) async fn of(app: &App, alert: Alert) -> Result<Option<News>, ApiError> {
    let (household, at) = (alert.household, alert.row.at);
    match alert.row.event {
        HouseholdEvent::Order(order) => {
            let Some(row) = order_row(app, household, order).await? else { return Ok(None) };
            // A rule or somebody else may have answered it.
            let (OrderState::Waiting { .. }, Some(expires)) = (&row.state, row.state.deadline()) else {
                return Ok(None);
            };
            let (basket, name) = basket(app, &row).await?;
            let except = not_asked(app, &row).await?;
            Ok(Some(News { what: What::Order(order, basket), at, expires, except, name }))
        }
        HouseholdEvent::Decision(order) => {
            let Some(row) = order_row(app, household, order).await? else { return Ok(None) };
            let (OrderState::Waiting { .. }, Some(expires)) = (&row.state, row.state.deadline()) else {
                return Ok(None);
            };
            let Some(first) = &row.first else { return Ok(None) };
            let book = households::book(app, household).await?;
            let by = verified::decision(app, &book, &verified::order(app, &book, &row)?, first)?.guardian;
            let (basket, _) = basket(app, &row).await?;
            let mut except = not_asked(app, &row).await?;
            except.push(by);
            let name = guardian(&households::row(app, household).await?, by);
            Ok(Some(News { what: What::Nod(order, basket), at, expires, except, name }))
        }
        HouseholdEvent::Outcome(order) => {
            let Some(row) = order_row(app, household, order).await? else { return Ok(None) };
            let OrderState::Ended { outcome } = row.state else { return Ok(None) };
            let (basket, name) = basket(app, &row).await?;
            let (what, expires) = (What::Outcome(order, outcome, basket), at.plus_ms(OUTCOME_LIFE_MS));
            Ok(Some(News { what, at, expires, except: Vec::new(), name }))
        }
        HouseholdEvent::Log(seq) => by_guardian(app, household, seq, at).await,
        HouseholdEvent::Pin(watch) => of_pin(app, household, watch, at).await,
        HouseholdEvent::Pairing(_)
        | HouseholdEvent::Requote(_)
        | HouseholdEvent::Result(_)
        | HouseholdEvent::Refund(_)
        | HouseholdEvent::Balance => Ok(None),
    }
}

async fn order_row(app: &App, household: HouseholdId, order: OrderId) -> Result<Option<OrderRow>, ApiError> {
    Ok(app.store().order(household, order).await?)
}

/// Guardians who are not asked about it: away, or not counting.
async fn not_asked(app: &App, row: &OrderRow) -> Result<Vec<GuardianId>, ApiError> {
    let (asked, book) = (away::asked(app, row).await?, households::book(app, row.household).await?);
    let known = book.members().map(|member| member.guardian.guardian);
    Ok(known.filter(|guardian| !asked.contains(guardian)).collect())
}

/// What is bought, and who asks for it.
async fn basket(app: &App, row: &OrderRow) -> Result<(Basket, Option<String>), ApiError> {
    let book = households::book(app, row.household).await?;
    let known = verified::order(app, &book, row)?;
    let bill = known.requote.as_ref().unwrap_or(&known.bill);
    let shop = verified::certificate(app, &row.merchant_certificate)?.name.as_str().to_owned();
    let without = &known.order.without;
    let total = row.decision.as_ref().map_or_else(|| bill.asked_total(without), |_| row.total);
    let lines = bill.lines.iter().filter(|line| !without.contains(&line.id));
    let items = lines.map(|line| line.name.as_str().to_owned()).collect();
    let name = wearer(&households::row(app, row.household).await?, row.wearer);
    Ok((Basket { shop, total, items }, name))
}

fn wearer(row: &HouseholdRow, wearer: WearerId) -> Option<String> {
    row.wearers.iter().find(|(id, _)| *id == wearer).map(|(_, person)| person.name.as_str().to_owned())
}

fn guardian(row: &HouseholdRow, guardian: GuardianId) -> Option<String> {
    row.guardians.iter().find(|(id, _)| *id == guardian).map(|(_, person)| person.name.as_str().to_owned())
}

/// What an entry is called, where the other guardians should hear of it at once.
const fn entry_word(entry: &Entry) -> Option<&'static str> {
    match entry {
        Entry::Propose(_) => Some("proposal"),
        Entry::AddGuardian(_) => Some("add-guardian"),
        Entry::RemoveGuardian(_) => Some("remove-guardian"),
        Entry::Recover(_) => Some("recover"),
        Entry::Erase(_) => Some("erase"),
        Entry::Found(_)
        | Entry::EnrolWatch(_)
        | Entry::RemoveWatch(_)
        | Entry::PinCommand(_)
        | Entry::SetSession(_)
        | Entry::Object(_)
        | Entry::Second(_)
        | Entry::Withdraw(_)
        | Entry::EnrolRecovery(_)
        | Entry::Unfreeze(_)
        | Entry::SetMandate(_)
        | Entry::EndMandate(_)
        | Entry::SetHouseRules(_) => None,
    }
}

async fn by_guardian(app: &App, household: HouseholdId, seq: u64, at: Timestamp) -> Result<Option<News>, ApiError> {
    let row = households::row(app, household).await?;
    // A freeze is no entry: it is told with the newest one, at its own time.
    let (by, word) = match row.freeze.filter(|freeze| freeze.at == at) {
        Some(freeze) => (freeze.by, Some("freeze")),
        None => {
            let log = app.store().log(household, seq).await?;
            let Some(entry) = log.first() else { return Ok(None) };
            let entry = entry_said(&entry.wire)?;
            (entry.guardian, entry_word(&entry.entry))
        }
    };
    let Some(word) = word else { return Ok(None) };
    let name = guardian(&row, by);
    let (what, expires) = (What::Household(seq, word), at.plus_ms(ASK_LIFE_MS));
    Ok(Some(News { what, at, expires, except: vec![by], name }))
}

async fn of_pin(app: &App, household: HouseholdId, watch: WatchId, at: Timestamp) -> Result<Option<News>, ApiError> {
    let reports = app.store().pin_reports(household).await?;
    let Some((_, report)) = reports.into_iter().find(|(of, _)| *of == watch) else { return Ok(None) };
    let book = households::book(app, household).await?;
    let word = match verify_pin_report(&report.wire, &book, watch)?.state {
        PinState::Ok => return Ok(None),
        PinState::Waiting => "waiting",
        PinState::Locked => "locked",
        PinState::AskedUnlock => "asked-unlock",
        PinState::AskedNewPin => "asked-new-pin",
    };
    let Some(enrolled) = book.watch(watch) else { return Ok(None) };
    let name = wearer(&households::row(app, household).await?, enrolled.wearer);
    let (what, expires) = (What::Pin(watch, word), at.plus_ms(ASK_LIFE_MS));
    Ok(Some(News { what, at, expires, except: Vec::new(), name }))
}
