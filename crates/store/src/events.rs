//! Events: references to what changed, numbered so that whoever reads on from a number misses nothing.
//!
//! A household's events are numbered by a counter in its row, so their order is the order of commits on any database.
//! A merchant's are numbered over all merchants, so that no row is written by every payment: by the one writer of SQLite,
//! by transaction ids on PostgreSQL.

use std::collections::BTreeSet;
use std::sync::Arc;

use nodpay_core::{AskId, BillId, HouseholdId, MerchantId, OrderId, PairingId, Timestamp, WatchId};

use crate::db::{Cells, Db, many, one, params, run_one, sql_int};
use crate::households::Books;
use crate::tx::Tx;
use crate::{
    Audience, EventRow, EventsPage, HouseholdEvent, MAX_EVENTS_PAGE, MerchantEvent, MerchantEventRow, StoreError,
    Topic, ledger, orders,
};

/// In place of a watch, where no one watch is told.
const NOBODY: &[u8] = &[];

/// Who is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Guardians,
    Watch(WatchId),
    AllWatches,
}

impl To {
    const fn audience(self) -> &'static str {
        match self {
            Self::Guardians => "guardian",
            Self::Watch(_) | Self::AllWatches => "watch",
        }
    }

    pub(crate) fn reaches(self, audience: Audience) -> bool {
        match (self, audience) {
            (Self::Guardians, Audience::Guardian) | (Self::AllWatches, Audience::Watch(_)) => true,
            (Self::Watch(told), Audience::Watch(watch)) => told == watch,
            (Self::Guardians, Audience::Watch(_)) | (Self::Watch(_) | Self::AllWatches, Audience::Guardian) => false,
        }
    }

    fn watch(&self) -> &[u8] {
        match self {
            Self::Watch(watch) => watch.as_bytes(),
            Self::Guardians | Self::AllWatches => NOBODY,
        }
    }
}

/// Writes one event; its number is saved with `books`. Of an erased household nobody is told.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    books: &mut Books,
    to: To,
    event: HouseholdEvent,
    now: Timestamp,
) -> Result<(), StoreError> {
    if books.erased.is_some() {
        return Ok(());
    }
    let (mut order, mut pairing, mut entry, mut pin_of) = (None, None, None, None);
    match event {
        HouseholdEvent::Log(seq) => entry = Some(sql_int(seq)?),
        HouseholdEvent::Pairing(id) => pairing = Some(id),
        HouseholdEvent::Order(id)
        | HouseholdEvent::Requote(id)
        | HouseholdEvent::Decision(id)
        | HouseholdEvent::Outcome(id)
        | HouseholdEvent::Result(id)
        | HouseholdEvent::Refund(id) => order = Some(id),
        HouseholdEvent::Pin(id) => pin_of = Some(id),
        HouseholdEvent::Balance => {}
    }
    books.last_event += 1;
    run_one(
        tx.db,
        "events",
        books.household,
        "INSERT INTO events (household, seq, audience, watch, kind, order_id, pairing, log_seq, pin_of, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            books.household.as_bytes(),
            sql_int(books.last_event)?,
            to.audience(),
            to.watch(),
            event.kind(),
            order.as_ref().map(OrderId::as_bytes),
            pairing.as_ref().map(PairingId::as_bytes),
            entry,
            pin_of.as_ref().map(WatchId::as_bytes),
            now.unix_ms(),
        ],
    )?;
    tx.told.event(books.household, to, EventRow { seq: books.last_event, at: now, event });
    Ok(())
}

pub(crate) fn tell_merchant(
    tx: &mut Tx<'_>,
    merchant: MerchantId,
    event: MerchantEvent,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (kind, bill, ask) = match event {
        MerchantEvent::Bill(bill) => ("bill", bill, None),
        MerchantEvent::Requote(bill, ask) => ("requote", bill, Some(ask)),
    };
    run_one(
        tx.db,
        "merchant_events",
        merchant,
        "INSERT INTO merchant_events (merchant, kind, bill, ask, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![merchant.as_bytes(), kind, bill.as_bytes(), ask.as_ref().map(AskId::as_bytes), now.unix_ms()],
    )?;
    tx.told.touch(Topic::Merchant(merchant));
    Ok(())
}

/// The order whose row says what an event is about, where `audience` is told more than its id.
pub(crate) fn needs_order(audience: Audience, event: HouseholdEvent) -> Option<OrderId> {
    match (audience, event) {
        (_, HouseholdEvent::Outcome(order))
        | (
            Audience::Watch(_),
            HouseholdEvent::Order(order) | HouseholdEvent::Decision(order) | HouseholdEvent::Refund(order),
        ) => Some(order),
        _ => None,
    }
}

/// The events of [`household_after`] with what they refer to.
pub(crate) fn page(
    db: Db<'_>,
    household: HouseholdId,
    audience: Audience,
    after: u64,
    limit: u32,
) -> Result<EventsPage, StoreError> {
    let limit = limit.min(MAX_EVENTS_PAGE);
    let events = household_after(db, household, audience, after, limit)?;
    let named: BTreeSet<OrderId> = events.iter().filter_map(|row| needs_order(audience, row.event)).collect();
    let mut orders = Vec::with_capacity(named.len());
    for order in named {
        let row = orders::order(db, household, order)?;
        let missing = || StoreError::incident("events", household, format!("order {order} is not there"));
        orders.push(Arc::new(row.ok_or_else(missing)?));
    }
    let balance = match events.iter().any(|row| row.event.names_balance()) {
        true => ledger::balance(db, household)?,
        false => None,
    };
    let read_to = events.last().map_or(after, |row| row.seq);
    let is_full = u32::try_from(events.len()).is_ok_and(|count| count == limit);
    Ok(EventsPage { events, read_to, is_full, orders, balance })
}

pub(crate) fn household_after(
    db: Db<'_>,
    household: HouseholdId,
    audience: Audience,
    after: u64,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let limit = limit.min(MAX_EVENTS_PAGE);
    let after = sql_int(after)?;
    match audience {
        Audience::Guardian => many(
            db,
            "events",
            household,
            "SELECT seq, at, kind, order_id, pairing, log_seq, pin_of FROM events
             WHERE household = ?1 AND seq > ?2 AND audience = 'guardian' ORDER BY seq LIMIT ?3",
            params![household.as_bytes(), after, limit],
            build,
        ),
        Audience::Watch(watch) => many(
            db,
            "events",
            household,
            "SELECT seq, at, kind, order_id, pairing, log_seq, pin_of FROM events
             WHERE household = ?1 AND seq > ?2 AND audience = 'watch' AND watch IN (?3, ?4) ORDER BY seq LIMIT ?5",
            params![household.as_bytes(), after, watch.as_bytes(), NOBODY, limit],
            build,
        ),
    }
}

fn build(cells: &Cells<'_>) -> Result<EventRow, StoreError> {
    let (seq, at, kind) = (cells.number()?, cells.time()?, cells.string()?);
    let (order, pairing, entry, pin_of) = (cells.opt_id()?, cells.opt_id()?, cells.opt_number()?, cells.opt_id()?);
    let event = match (kind.as_str(), order, pairing, entry, pin_of) {
        ("log", None, None, Some(entry), None) => HouseholdEvent::Log(entry),
        ("pairing", None, Some(pairing), None, None) => HouseholdEvent::Pairing(pairing),
        ("order", Some(order), None, None, None) => HouseholdEvent::Order(order),
        ("requote", Some(order), None, None, None) => HouseholdEvent::Requote(order),
        ("decision", Some(order), None, None, None) => HouseholdEvent::Decision(order),
        ("outcome", Some(order), None, None, None) => HouseholdEvent::Outcome(order),
        ("result", Some(order), None, None, None) => HouseholdEvent::Result(order),
        ("refund", Some(order), None, None, None) => HouseholdEvent::Refund(order),
        ("balance", None, None, None, None) => HouseholdEvent::Balance,
        ("pin", None, None, None, Some(watch)) => HouseholdEvent::Pin(watch),
        _ => return Err(cells.wrong(format!("event {seq}: a {kind} with other references"))),
    };
    Ok(EventRow { seq, at, event })
}

pub(crate) fn merchant_after(
    db: Db<'_>,
    merchant: MerchantId,
    after: u64,
    limit: u32,
) -> Result<Vec<MerchantEventRow>, StoreError> {
    let params = params![merchant.as_bytes(), sql_int(after)?, limit.min(MAX_EVENTS_PAGE)];
    let Db::Postgres(link) = db else {
        let sql = "SELECT seq, at, kind, bill, ask FROM merchant_events
                   WHERE merchant = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        return many(db, "merchant_events", merchant, sql, params, build_of_merchant);
    };
    // Transactions that began earlier and still run will bring events with lower numbers.
    let sql = "SELECT seq, at, kind, bill, ask, seq < merchant_events_end() FROM merchant_events
               WHERE merchant = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    let rows =
        many(db, "merchant_events", merchant, sql, params, |cells| Ok((build_of_merchant(cells)?, cells.flag()?)))?;
    let known = rows.len();
    let final_ones: Vec<_> = rows.into_iter().take_while(|(_, is_final)| *is_final).map(|(row, _)| row).collect();
    if final_ones.len() < known {
        link.look_again(Topic::Merchant(merchant));
    }
    Ok(final_ones)
}

fn build_of_merchant(cells: &Cells<'_>) -> Result<MerchantEventRow, StoreError> {
    let (seq, at, kind) = (cells.number()?, cells.time()?, cells.string()?);
    let (bill, ask): (BillId, Option<AskId>) = (cells.id()?, cells.opt_id()?);
    let event = match (kind.as_str(), ask) {
        ("bill", None) => MerchantEvent::Bill(bill),
        ("requote", Some(ask)) => MerchantEvent::Requote(bill, ask),
        _ => return Err(cells.wrong(format!("event {seq}: a {kind} with other references"))),
    };
    Ok(MerchantEventRow { seq, at, event })
}

pub(crate) fn last_of_merchant(db: Db<'_>, merchant: MerchantId) -> Result<u64, StoreError> {
    let sql = match db {
        Db::Sqlite(_) | Db::Asking(_) => {
            "SELECT seq FROM merchant_events WHERE merchant = ?1 ORDER BY seq DESC LIMIT 1"
        }
        Db::Postgres(_) => {
            "SELECT seq FROM merchant_events WHERE merchant = ?1 AND seq < merchant_events_end()
             ORDER BY seq DESC LIMIT 1"
        }
    };
    let last = one(db, "merchant_events", merchant, sql, params![merchant.as_bytes()], |cells| cells.number())?;
    Ok(last.unwrap_or(0))
}
