//! What is told after a commit: topics, for every subscriber, and for a while what the commit said of its households, so that
//! the streams of this process need not read it back.
//!
//! That memory is only a help. A household's tail holds what this process itself committed without a gap in the numbers;
//! what another replica commits makes this one forget the tail, and whoever asks for more than it holds reads the database.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodpay_core::{HouseholdId, OrderId};
use tokio::sync::broadcast;

use crate::events::{To, needs_order};
use crate::orders::{Known, KnownAt};
use crate::recent::Recent;
use crate::{Alert, Audience, Balance, EventRow, EventsPage, TOPIC_BUFFER, Topic, push};

/// Households whose tails are remembered.
const MAX_TAILS: usize = 4_096;
/// Events a tail has at most: those of a few payments.
const MAX_TAIL_EVENTS: usize = 32;
/// Orders a tail has at most; a household's watches seldom pay at the same moment.
const MAX_TAIL_ORDERS: usize = 2;
/// Households of which it is remembered whether a phone of theirs wants to be woken.
const MAX_WAKEABLE: usize = 65_536;
/// Alerts a slow listener may be behind before it misses some.
const ALERT_BUFFER: usize = 4_096;

/// What a transaction tells once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Told {
    topics: BTreeSet<Topic>,
    news: BTreeMap<HouseholdId, News>,
}

/// Of one household.
#[derive(Debug, Default)]
struct News {
    events: Vec<(To, EventRow)>,
    orders: Vec<Arc<Known>>,
    balance: Option<Balance>,
}

impl Told {
    pub(crate) fn touch(&mut self, topic: Topic) {
        self.topics.insert(topic);
    }

    pub(crate) fn event(&mut self, household: HouseholdId, to: To, row: EventRow) {
        self.touch(Topic::Household(household));
        self.news.entry(household).or_default().events.push((to, row));
    }

    /// The order as it is from now on.
    pub(crate) fn order(&mut self, order: Known) {
        let orders = &mut self.news.entry(order.row.household).or_default().orders;
        orders.retain(|known| known.row.order != order.row.order);
        orders.push(Arc::new(order));
    }

    /// Another phone wants to be woken, or one no longer does.
    pub(crate) fn subscribers(&mut self, household: HouseholdId) {
        self.touch(Topic::Subscribers(household));
    }

    pub(crate) fn balance(&mut self, household: HouseholdId, balance: Balance) {
        self.news.entry(household).or_default().balance = Some(balance);
    }

    /// Adds what comes after it.
    pub(crate) fn append(&mut self, later: Self) {
        self.topics.extend(later.topics);
        for (household, news) in later.news {
            let known = self.news.entry(household).or_default();
            known.orders.retain(|order| !news.changes(order.row.order));
            known.events.extend(news.events);
            known.orders.extend(news.orders);
            known.balance = news.balance.or(known.balance);
        }
    }

    pub(crate) fn topics(&self) -> &BTreeSet<Topic> {
        &self.topics
    }
}

impl News {
    fn changes(&self, order: OrderId) -> bool {
        self.orders.iter().any(|known| known.row.order == order)
            || self.events.iter().any(|(_, row)| row.event.order() == Some(order))
    }
}

/// What happened in a household after event `from`, up to event `to`.
#[derive(Clone, Debug, Default)]
struct Tail {
    from: u64,
    to: u64,
    events: VecDeque<(To, EventRow)>,
    /// As they are after `to`.
    orders: VecDeque<Arc<Known>>,
    balance: Option<Balance>,
}

impl Tail {
    fn take(&mut self, news: News) {
        let (Some((_, first)), Some((_, last))) = (news.events.first(), news.events.last()) else {
            // Whatever changed without an event is not known here.
            *self = Self::default();
            return;
        };
        if last.seq <= self.to {
            // A later transaction was quicker to tell, and this one came before it.
            return;
        }
        let (first, last) = (first.seq, last.seq);
        if first != self.to + 1 {
            *self = Self { from: first - 1, ..Self::default() };
        }
        self.to = last;
        self.orders.retain(|order| !news.changes(order.row.order));
        self.orders.extend(news.orders);
        self.events.extend(news.events);
        self.balance = news.balance;
        while self.orders.len() > MAX_TAIL_ORDERS {
            self.orders.pop_front();
        }
        while self.events.len() > MAX_TAIL_EVENTS
            && let Some((_, gone)) = self.events.pop_front()
        {
            self.from = gone.seq;
        }
    }

    fn order(&self, order: OrderId) -> Option<&Arc<Known>> {
        self.orders.iter().find(|known| known.row.order == order)
    }

    /// Everything after `after`, where that is something and all of it is here.
    fn page(&self, audience: Audience, after: u64) -> Option<EventsPage> {
        if !(self.from..self.to).contains(&after) {
            return None;
        }
        let of_audience = |(to, row): &(To, EventRow)| (row.seq > after && to.reaches(audience)).then_some(*row);
        let events: Vec<EventRow> = self.events.iter().filter_map(of_audience).collect();
        let mut orders = Vec::new();
        for order in events.iter().filter_map(|row| needs_order(audience, row.event)) {
            orders.push(Arc::clone(&self.order(order)?.row));
        }
        Some(EventsPage { events, read_to: self.to, is_full: false, orders, balance: Some(self.balance?) })
    }
}

/// Where commits are told, and asked for.
#[derive(Debug)]
pub(crate) struct Announcements {
    topics: broadcast::Sender<Topic>,
    tails: Recent<HouseholdId, Tail>,
    alerts: broadcast::Sender<Alert>,
    /// Whether a household has phones that want to be woken.
    wakeable: Recent<HouseholdId, bool>,
    /// How often that may have changed.
    changes: AtomicU64,
}

impl Announcements {
    pub(crate) fn new() -> Self {
        let (topics, _) = broadcast::channel(TOPIC_BUFFER);
        let (alerts, _) = broadcast::channel(ALERT_BUFFER);
        let (tails, wakeable) = (Recent::new(MAX_TAILS), Recent::new(MAX_WAKEABLE));
        Self { topics, tails, alerts, wakeable, changes: AtomicU64::new(0) }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Topic> {
        self.topics.subscribe()
    }

    /// What our own commits tell that may wake a guardian.
    pub(crate) fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.alerts.subscribe()
    }

    /// Whether a household has phones to be woken, if it is remembered, and the mark under which the answer may be.
    pub(crate) fn wakeable(&self, household: HouseholdId) -> (Option<bool>, u64) {
        let mark = self.changes.load(Ordering::SeqCst);
        (self.wakeable.get(household), mark)
    }

    /// What the database said after `mark` was taken.
    pub(crate) fn remember_wakeable(&self, household: HouseholdId, is: bool, mark: u64) {
        self.wakeable.insert(household, is);
        if self.changes.load(Ordering::SeqCst) != mark {
            self.wakeable.take(household);
        }
    }

    /// After a commit of ours.
    pub(crate) fn committed(&self, told: Told) {
        for (household, news) in told.news {
            for (to, row) in &news.events {
                if to.reaches(Audience::Guardian) && push::may_wake(row.event) {
                    // Where nobody sends push messages, nobody listens.
                    let _: Result<usize, broadcast::error::SendError<Alert>> =
                        self.alerts.send(Alert { household, row: *row });
                }
            }
            self.tails.update(household, Tail::default, |tail| tail.take(news));
        }
        for topic in told.topics {
            self.forget_wakeable(topic);
            self.wake(topic);
        }
    }

    /// Somebody else committed, or may have.
    pub(crate) fn heard(&self, topic: Topic) {
        match topic {
            Topic::Household(household) => drop(self.tails.take(household)),
            Topic::Merchant(_) | Topic::Subscribers(_) => {}
            Topic::Everything => self.tails.clear(),
        }
        self.forget_wakeable(topic);
        self.wake(topic);
    }

    fn forget_wakeable(&self, topic: Topic) {
        match topic {
            Topic::Household(_) | Topic::Merchant(_) => return,
            Topic::Subscribers(_) | Topic::Everything => self.changes.fetch_add(1, Ordering::SeqCst),
        };
        match topic {
            Topic::Subscribers(household) => drop(self.wakeable.take(household)),
            Topic::Household(_) | Topic::Merchant(_) | Topic::Everything => self.wakeable.clear(),
        }
    }

    fn wake(&self, topic: Topic) {
        // Nobody may be listening.
        let _: Result<usize, broadcast::error::SendError<Topic>> = self.topics.send(topic);
    }

    pub(crate) fn page(&self, household: HouseholdId, audience: Audience, after: u64) -> Option<EventsPage> {
        self.tails.look(household, |tail| tail.page(audience, after)).flatten()
    }

    /// An order as it was after the household's event of that number. It still is where that is the last one.
    pub(crate) fn order(&self, household: HouseholdId, order: OrderId) -> Option<KnownAt> {
        self.tails.look(household, |tail| Some((tail.to, Arc::clone(tail.order(order)?)))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use nodpay_core::{Currency, Minor, Timestamp, Wallet};

    use super::*;
    use crate::HouseholdEvent;

    const HOME: HouseholdId = HouseholdId::from_bytes([7; 16]);

    fn told(seqs: std::ops::RangeInclusive<u64>) -> Told {
        let mut told = Told::default();
        for seq in seqs {
            let row = EventRow { seq, at: Timestamp::from_unix_ms(0), event: HouseholdEvent::Log(seq) };
            told.event(HOME, To::Guardians, row);
        }
        let wallet = Wallet::from_stored(Minor::ZERO, Minor::ZERO).expect("an empty wallet");
        told.balance(HOME, Balance { wallet, currency: Currency::from_code("CNY").expect("a currency") });
        told
    }

    /// What a guardian who read up to `after` finds in memory.
    fn found(announcements: &Announcements, after: u64) -> Option<Vec<u64>> {
        let page = announcements.page(HOME, Audience::Guardian, after)?;
        Some(page.events.iter().map(|row| row.seq).collect())
    }

    #[test]
    fn a_tail_has_no_gaps() {
        let announcements = Announcements::new();
        announcements.committed(told(4..=5));
        announcements.committed(told(6..=6));
        let steps = [(2, None), (3, Some(vec![4, 5, 6])), (5, Some(vec![6])), (6, None), (7, None)];
        for (after, expected) in steps {
            assert_eq!(found(&announcements, after), expected, "after {after}");
        }
        // Somebody else wrote event 7, unheard so far.
        announcements.committed(told(8..=9));
        assert_eq!((found(&announcements, 6), found(&announcements, 7)), (None, Some(vec![8, 9])));
        // Told after what came later.
        announcements.committed(told(7..=7));
        assert_eq!((found(&announcements, 6), found(&announcements, 7)), (None, Some(vec![8, 9])));
        announcements.heard(Topic::Household(HOME));
        assert_eq!(found(&announcements, 8), None);
        announcements.committed(told(10..=10));
        announcements.heard(Topic::Everything);
        assert_eq!(found(&announcements, 9), None);
    }

    #[test]
    fn a_tail_is_bounded() {
        let announcements = Announcements::new();
        for seq in 1..=100 {
            announcements.committed(told(seq..=seq));
        }
        assert_eq!(found(&announcements, 67), None);
        assert_eq!(found(&announcements, 68), Some((69..=100).collect()));
    }

    #[test]
    fn requests_of_one_commit_are_told_in_order() {
        let mut all = told(1..=1);
        all.append(told(2..=3));
        let announcements = Announcements::new();
        announcements.committed(all);
        assert_eq!(found(&announcements, 0), Some(vec![1, 2, 3]));
    }
}
