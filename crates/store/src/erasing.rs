//! What is not kept: the messages of orders that ended long ago, and households that asked to be erased.
//!
//! The books stay as they are, for the shops and for the law: every transfer with its amount, time, merchant and random numbers. Of a
//! deleted message its digest stays, which says nothing and which the books name.

use nodpay_core::{HouseholdId, Minor, OrderId, Timestamp};

use crate::db::{Db, many, one, params, run, run_one};
use crate::households::{Books, enrolled_key_of_nobody};
use crate::orders::Live;
use crate::tx::{Fault, Tx};
use crate::{Erased, OrderRow, Store, StoreError, Topic, orders, topups};

/// Orders whose messages one transaction deletes.
pub const MAX_CUT: u32 = 50;
/// Households to be erased that are read at once.
const MAX_DUE: u32 = 100;
/// In place of what a merchant answered: there must be something.
const ANSWERED: &str = "…";

impl Store {
    /// Deletes the messages of orders that came before `before` and have ended: bills' lines, reasons and notes go, and
    /// what moved, when and where to stays. Gives how many orders that were.
    ///
    /// An order that has not ended by then is not looked at again: erasing its household takes it along.
    pub async fn cut_orders(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let (looked_at, cut) = self.write(move |tx| cut_batch(tx, before)).await?;
            all += cut;
            if looked_at < u64::from(MAX_CUT) {
                return Ok(all);
            }
        }
    }

    /// Erases the households whose time is over, each in one transaction, unless there is money in its wallet or something of it is
    /// being paid.
    pub async fn erase_due(&self, now: Timestamp) -> Result<Erased, StoreError> {
        let (mut all, mut after) = (Erased::default(), None);
        loop {
            let page = self.read(move |db| due(db, after, now)).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(*last);
            for household in page {
                match self.write(move |tx| erase(tx, household, now)).await {
                    Ok(true) => all.erased.push(household),
                    Ok(false) => all.waiting.push(household),
                    // Another replica was here.
                    Err(StoreError::HouseholdErased) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// When a household was erased; `None` for one that was not, or never was.
    pub async fn erased(&self, household: HouseholdId) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |db| Ok(Books::find_ever(db, household)?.and_then(|books| books.erased))).await
    }
}

impl OrderRow {
    /// Its messages are no longer kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.message.is_cut()
    }
}

// Orders

/// How many orders were looked at, and how many were cut.
fn cut_batch(tx: &mut Tx<'_>, before: Timestamp) -> Result<(u64, u64), Fault> {
    let sql = "SELECT cut_to FROM retention WHERE number = 1 FOR UPDATE";
    let cut_to = one(tx.db, "retention", "1", sql, params![], |cells| cells.int())?.unwrap_or(0);
    let next = many(
        tx.db,
        "orders",
        "(by number)",
        "SELECT no, household, order_id, received FROM orders WHERE no > ?1 ORDER BY no LIMIT ?2",
        params![cut_to, MAX_CUT],
        |cells| Ok((cells.int()?, cells.id::<HouseholdId>()?, cells.id::<OrderId>()?, cells.time()?)),
    )?;
    let mut old: Vec<_> = next.into_iter().take_while(|(.., received)| *received < before).collect();
    let Some((last, ..)) = old.last().copied() else { return Ok((0, 0)) };
    run_one(tx.db, "retention", "1", "UPDATE retention SET cut_to = ?1 WHERE number = 1", params![last])?;
    let looked_at = u64::try_from(old.len()).unwrap_or(u64::MAX);
    // Households are locked in one order by all.
    old.sort_by_key(|(no, household, ..)| (*household, *no));
    let mut cut = 0;
    for (_, household, order, _) in old {
        let Some(books) = Books::lock_ever(tx.db, household)?.filter(|books| books.erased.is_none()) else {
            continue;
        };
        let Some(live) = orders::load(tx.db, household, order)? else { continue };
        if live.row.outcome.is_some() && !live.row.is_cut() {
            cut_order(tx, &live)?;
            // Whoever remembers the order forgets it.
            tx.told.touch(Topic::Household(household));
            books.save(tx)?;
            cut += 1;
        }
    }
    Ok((looked_at, cut))
}

fn cut_order(tx: &Tx<'_>, live: &Live) -> Result<(), StoreError> {
    let (household, order) = (live.row.household, live.row.order);
    let mut messages = live.messages();
    messages.extend(many(
        tx.db,
        "orders",
        order,
        "SELECT message FROM orders WHERE no = ?1
         UNION ALL SELECT answer FROM requote_asks WHERE order_no = ?1 AND answer IS NOT NULL
         UNION ALL SELECT b.message FROM bills b WHERE b.no = ?2 AND NOT EXISTS
             (SELECT 1 FROM orders o JOIN messages m ON m.id = o.message
              WHERE o.bill_no = b.no AND o.no <> ?1 AND m.wire <> '')",
        params![live.no, live.bill_no],
        |cells| cells.int(),
    )?);
    for message in messages {
        cut_message(tx.db, message)?;
    }
    let asks = "UPDATE requote_asks SET reason = ?2 WHERE order_no = ?1 AND reason IS NOT NULL";
    run(tx.db, asks, params![live.no, ANSWERED])?;
    let refunds = "UPDATE refunds SET reason = NULL WHERE household = ?1 AND order_id = ?2";
    run(tx.db, refunds, params![household.as_bytes(), order.as_bytes()])?;
    Ok(())
}

/// Only its digest stays.
pub(crate) fn cut_message(db: Db<'_>, message: i64) -> Result<(), StoreError> {
    run_one(db, "messages", message, "UPDATE messages SET wire = '' WHERE id = ?1", params![message])
}

// Households

/// By id, from the one after `after`.
fn due(db: Db<'_>, after: Option<HouseholdId>, now: Timestamp) -> Result<Vec<HouseholdId>, StoreError> {
    let after: &[u8] = after.as_ref().map_or(&[], |after| after.as_bytes());
    let sql = "SELECT household FROM households WHERE erase_from <= ?1 AND household > ?2 ORDER BY household LIMIT ?3";
    many(db, "households", "(to erase)", sql, params![now.unix_ms(), after, MAX_DUE], |cells| cells.id())
}

/// Rows that go, in an order in which none is left that others refer to. What the books name stays and loses what it says.
pub(crate) const ERASE: &[&str] = &[
    "DELETE FROM push_messages WHERE household = ?1",
    "DELETE FROM push_subscriptions WHERE household = ?1",
    "DELETE FROM sessions WHERE household = ?1",
    "DELETE FROM guardians WHERE household = ?1",
    "DELETE FROM recovery_keys WHERE household = ?1",
    "DELETE FROM mandate_sums WHERE household = ?1",
    "DELETE FROM mandates WHERE household = ?1",
    "DELETE FROM pin_reports WHERE household = ?1",
    "DELETE FROM pairings WHERE household = ?1",
    "DELETE FROM joins WHERE household = ?1",
    "DELETE FROM schedules WHERE household = ?1",
    "DELETE FROM household_rails WHERE household = ?1",
    "DELETE FROM events WHERE household = ?1",
    "DELETE FROM log_entries WHERE household = ?1",
    "DELETE FROM requote_asks WHERE order_no IN (SELECT no FROM orders WHERE household = ?1 AND no > 0)",
    "UPDATE refunds SET reason = NULL WHERE household = ?1",
    "UPDATE rail_payments SET payer = 'null', action_url = NULL WHERE household = ?1",
    "DELETE FROM top_up_cards WHERE household = ?1",
    "UPDATE card_top_ups SET payer = 'null', action_url = NULL, guardian = ?2 WHERE household = ?1",
    "UPDATE orders SET struck = '[]', judged = NULL, first_nod = NULL, first_by = NULL, wearer = ?2
        WHERE household = ?1 AND no > 0",
    // What moved no money is in no books: only that somebody asked for the shop's bill.
    "UPDATE orders SET received = 0 WHERE household = ?1 AND no > 0 AND hold IS NULL",
    "UPDATE wearers SET name = '', salt = ?2 WHERE household = ?1",
];

/// Tables of households that the books need: what names or says something in them is overwritten.
#[cfg(test)]
pub(crate) const KEPT: [&str; 12] = [
    "households",
    "wearers",
    "watches",
    "orders",
    // None is open: that is waited for.
    "open_orders",
    "transfers",
    "settlements",
    "refunds",
    "rail_payments",
    "rail_steps",
    "card_top_ups",
    "disputes",
];

/// Whether it was erased; `false` while it must wait.
fn erase(tx: &mut Tx<'_>, household: HouseholdId, now: Timestamp) -> Result<bool, Fault> {
    let mut books = Books::load(tx.db, household)?;
    let is_due = books.erase_from.is_some_and(|from| from <= now);
    if !is_due || books.wallet.posted() > Minor::ZERO || is_paying(tx.db, household)? {
        return Ok(false);
    }
    // Before anything goes: only of an erased household it may.
    run_one(
        tx.db,
        "households",
        household,
        "UPDATE households SET erased = ?2, erase_from = NULL, frozen = 0, frozen_by = NULL, frozen_at = NULL,
                house_rules = NULL
         WHERE household = ?1",
        params![household.as_bytes(), now.unix_ms()],
    )?;
    for message in messages_of(tx.db, household)? {
        cut_message(tx.db, message)?;
    }
    for sql in ERASE {
        let (nothing, own) = ([0; 16], household.as_bytes());
        if sql.contains("?2") {
            run(tx.db, sql, params![own, &nothing[..]])?
        } else {
            run(tx.db, sql, params![own])?
        };
    }
    run(
        tx.db,
        "UPDATE watches SET key = ?2, wearer_name = ?3, cap_until = 0, cap_minor = 0, removed = 1 WHERE household = ?1",
        params![household.as_bytes(), &enrolled_key_of_nobody()[..], &[0; 32][..]],
    )?;
    (books.head, books.next_seq, books.last_event) = (nodpay_core::Digest::from_bytes([0; 32]), 1, 0);
    books.erased = Some(now);
    tx.told.touch(Topic::Household(household));
    tx.told.subscribers(household);
    books.save(tx)?;
    Ok(true)
}

/// An order is open, or a rail outside has something to do.
fn is_paying(db: Db<'_>, household: HouseholdId) -> Result<bool, StoreError> {
    let found = one(
        db,
        "orders",
        household,
        "SELECT 1 FROM orders WHERE household = ?1 AND no > 0 AND state <> 'ended'
         UNION ALL SELECT 1 FROM rail_steps WHERE household = ?1 AND next_at IS NOT NULL LIMIT 1",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    Ok(found.is_some() || topups::any_open(db, household)?)
}

/// Everything that was signed by its people and watches, and the bills that it alone ordered. A merchant's bill that another household
/// ordered too is that one's evidence, and one that can still be paid is the merchant's.
fn messages_of(db: Db<'_>, household: HouseholdId) -> Result<Vec<i64>, StoreError> {
    many(
        db,
        "messages",
        household,
        "SELECT message FROM log_entries WHERE household = ?1
         UNION SELECT message FROM card_top_ups WHERE household = ?1
         UNION SELECT message FROM pin_reports WHERE household = ?1
         UNION SELECT claim FROM pairings WHERE household = ?1 AND claim IS NOT NULL
         UNION SELECT claim FROM joins WHERE household = ?1 AND claim IS NOT NULL
         UNION SELECT message FROM orders WHERE household = ?1 AND no > 0
         UNION SELECT requote FROM orders WHERE household = ?1 AND no > 0 AND requote IS NOT NULL
         UNION SELECT decision FROM orders WHERE household = ?1 AND no > 0 AND decision IS NOT NULL
         UNION SELECT first_nod FROM orders WHERE household = ?1 AND no > 0 AND first_nod IS NOT NULL
         UNION SELECT cancel FROM orders WHERE household = ?1 AND no > 0 AND cancel IS NOT NULL
         UNION SELECT payment FROM orders WHERE household = ?1 AND no > 0 AND payment IS NOT NULL
         UNION SELECT outcome FROM orders WHERE household = ?1 AND no > 0 AND outcome IS NOT NULL
         UNION SELECT result FROM orders WHERE household = ?1 AND no > 0 AND result IS NOT NULL
         UNION SELECT a.answer FROM requote_asks a JOIN orders o ON o.no = a.order_no
             WHERE o.household = ?1 AND o.no > 0 AND a.answer IS NOT NULL
         UNION SELECT b.message FROM bills b JOIN orders o ON o.bill_no = b.no
             WHERE o.household = ?1 AND o.no > 0 AND NOT EXISTS
                 (SELECT 1 FROM orders x JOIN messages m ON m.id = x.message
                  WHERE x.bill_no = b.no AND x.household <> ?1 AND m.wire <> '')
         UNION SELECT b.message FROM bills b JOIN watches w ON w.watch = b.watch WHERE w.household = ?1",
        params![household.as_bytes()],
        |cells| cells.int(),
    )
}
