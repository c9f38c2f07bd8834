//! Random operations against a reference so simple that it can be seen to be right.

use std::collections::BTreeSet;

use nodpay_core::{Amount, FailReason, Iban, OrderState, OutcomeKind, Timestamp, TransferId, Verdict, WatchId};

use super::cast::{Family, MINUTE_MS, Rng, START, Shop, cancellation, cny, fresh, outcome_of, payment, requote};
use super::requotes::ask_for;
use crate::{AnswerRequote, AskRow, BillRow, BillState, OrderRow, Refund, Store, StoreError, TopUp};

const RUNS: u64 = 7;
const STEPS: usize = 300;

/// The same seeds every time; a failure prints its seed and step.
pub async fn random_operations_follow_the_model(store: &Store) {
    let mut ends = Ends::new();
    let (mut refunded, mut paid_out) = (0, 0);
    for seed in 1..=RUNS {
        let mut world = World::new(store, seed).await;
        for step in 0..STEPS {
            world.step(store).await;
            world.compare(store, &format!("seed {seed}, step {step}")).await;
        }
        // Nothing stays open for ever.
        world.now = world.now.plus_ms(200 * MINUTE_MS);
        world.expire_all();
        store.tick(world.now).await.expect("a tick");
        world.compare(store, &format!("seed {seed}, the end")).await;
        assert!(world.wallets.iter().all(|wallet| wallet.held == 0), "seed {seed}: nothing is held");
        refunded += world.refunded;
        paid_out += world.paid_out;
        ends.extend(world.ends);
    }
    assert!(refunded > 0 && paid_out > 0, "money went both ways");
    // The runs went where they should.
    let everywhere = [
        ("paid", None, true),
        ("refused", None, false),
        ("cancelled", None, false),
        ("cancelled", None, true),
        ("expired", None, false),
        ("expired", None, true),
        ("failed", Some("insufficient-balance"), false),
        ("failed", Some("bill-already-paid"), false),
        ("failed", Some("bill-already-paid"), true),
        ("failed", Some("bill-cancelled"), true),
        ("failed", Some("bill-expired"), false),
        ("failed", Some("bill-expired"), true),
        ("failed", Some("watch-removed"), true),
        ("failed", Some("household-frozen"), false),
        ("failed", Some("household-frozen"), true),
    ];
    for end in everywhere {
        assert!(ends.contains(&end), "no run reached {end:?}");
    }
}

struct World {
    rng: Rng,
    now: Timestamp,
    shop: Shop,
    families: Vec<Family>,
    wallets: Vec<Purse>,
    watches: Vec<Watch>,
    bills: Vec<Slip>,
    orders: Vec<Expected>,
    ends: Ends,
    refunded: i64,
    paid_out: i64,
}

/// How orders ended, and whether a hold was there.
type Ends = BTreeSet<(&'static str, Option<&'static str>, bool)>;

#[derive(Clone, Copy)]
struct Purse {
    posted: i64,
    held: i64,
    frozen: bool,
}

#[derive(Clone, Copy)]
struct Watch {
    id: WatchId,
    family: usize,
    removed: bool,
}

struct Slip {
    row: BillRow,
    open: bool,
    paid_by: Option<usize>,
    cancelled: bool,
    asks: u32,
}

struct Expected {
    row: OrderRow,
    watch: usize,
    bill: usize,
    state: State,
    /// The bill's or, once decided, the decision's.
    total: i64,
    /// The newest requote's.
    requoted: Option<i64>,
    refunded: i64,
    ask: Option<AskRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting(Timestamp),
    Approved(Timestamp),
    Ended(OutcomeKind, Option<FailReason>),
}

impl World {
    async fn new(store: &Store, seed: u64) -> Self {
        let shop = Shop::open(store).await;
        let mut world = Self {
            rng: Rng::new(seed),
            now: START,
            shop,
            families: Vec::new(),
            wallets: Vec::new(),
            watches: Vec::new(),
            bills: Vec::new(),
            orders: Vec::new(),
            ends: Ends::new(),
            refunded: 0,
            paid_out: 0,
        };
        store.set_iban(world.shop.merchant, Iban::new("NO9386011117947").ok()).await.expect("an account");
        for index in 0..2 {
            let mut family = Family::settle(store, 1_500).await;
            let more = [family.add_watch(store).await, family.add_watch(store).await];
            for id in [family.watch, more[0], more[1]] {
                world.watches.push(Watch { id, family: index, removed: false });
            }
            world.families.push(family);
            world.wallets.push(Purse { posted: 1_500, held: 0, frozen: false });
        }
        world
    }

    async fn step(&mut self, store: &Store) {
        self.now = self.now.plus_ms(self.rng.between(0, 10_000));
        match self.rng.below(100) {
            0..=4 => self.top_up(store).await,
            5..=6 => self.refund(store).await,
            7..=8 => self.freeze(store, false).await,
            9 => self.freeze(store, true).await,
            10 => self.pay_out(store).await,
            11..=18 => self.sell(store).await,
            19..=42 => self.place(store).await,
            43..=64 => self.decide(store).await,
            65..=82 => self.pay(store).await,
            83..=85 => self.cancel(store).await,
            86 => self.cancel_bill(store).await,
            87..=94 => self.requote(store).await,
            95..=98 => self.tick(store).await,
            _ => self.remove_watch(store).await,
        }
    }

    async fn top_up(&mut self, store: &Store) {
        let family = self.rng.below(self.families.len());
        let units = self.rng.between(1, 500);
        let household = self.families[family].household;
        let top_up = TopUp { household, transfer: TransferId::from_bytes(fresh()), amount: cny(units) };
        store.top_up(top_up, self.now).await.expect("a top-up");
        self.wallets[family].posted += units;
    }

    async fn refund(&mut self, store: &Store) {
        let paid: Vec<usize> = (0..self.orders.len())
            .filter(|order| self.orders[*order].state == State::Ended(OutcomeKind::Paid, None))
            .collect();
        if paid.is_empty() {
            return;
        }
        let order = paid[self.rng.below(paid.len())];
        let Expected { total, refunded, bill, .. } = self.orders[order];
        let units = self.rng.between(0, total);
        let bill = self.bills[bill].row.bill;
        let refund = TransferId::from_bytes(fresh());
        let refund = Refund { merchant: self.shop.merchant, bill, refund, amount: cny(units), reason: None };
        let answer = store.refund(refund, self.now).await.err();
        let expected = if units == 0 {
            Some(StoreError::AmountNotPositive)
        } else if refunded + units > total {
            Some(StoreError::RefundTooLarge)
        } else {
            self.orders[order].refunded += units;
            self.refunded += units;
            self.purse(order).posted += units;
            None
        };
        assert_eq!(answer, expected);
    }

    async fn freeze(&mut self, store: &Store, frozen: bool) {
        let family = self.rng.below(self.families.len());
        store.set_frozen(self.families[family].household, frozen, self.now).await.expect("frozen");
        self.wallets[family].frozen = frozen;
    }

    async fn pay_out(&mut self, store: &Store) {
        let merchant = self.shop.merchant;
        let owed = self.paid() - self.refunded - self.paid_out;
        let answer = store.ask_payout(merchant, TransferId::from_bytes(fresh()), self.now).await;
        if owed <= 0 {
            assert_eq!(answer.err(), Some(StoreError::NothingToPayOut));
            return;
        }
        let payout = answer.expect("a payout");
        assert_eq!(payout.amount, cny(owed));
        self.paid_out += owed;
        let back = self.rng.below(4);
        if back == 0 {
            store.payout_sending(merchant, payout.payout, self.now).await.expect("under way");
            store.payout_sent(merchant, payout.payout, self.now).await.expect("sent");
            store.payout_done(merchant, payout.payout, self.now).await.expect("done");
        }
        if back <= 1 {
            store.payout_returned(merchant, payout.payout, self.now).await.expect("returned");
            self.paid_out -= owed;
        }
    }

    async fn sell(&mut self, store: &Store) {
        let prices = [self.rng.between(1, 900), self.rng.between(1, 400)];
        let valid_ms = self.rng.between(MINUTE_MS, 30 * MINUTE_MS);
        let row = store.create_bill(self.shop.bill_for(&prices, valid_ms), self.now).await.expect("a bill");
        self.bills.push(Slip { row, open: true, paid_by: None, cancelled: false, asks: 0 });
    }

    async fn place(&mut self, store: &Store) {
        if self.bills.is_empty() {
            return;
        }
        let (watch, bill) = (self.any_watch(), self.any_bill());
        let (wearing, slip) = (self.watches[watch], &self.bills[bill]);
        let family = &self.families[wearing.family];
        let total = slip.row.total.minor();
        let answer = store.place_order(family.order_from(wearing.id, &slip.row, self.now), self.now).await;
        let waiting = self.orders.iter().position(|order| order.watch == watch && !order.is_ended());
        let expected = if wearing.removed {
            Some(StoreError::RevokedWatch)
        } else if slip.paid_by.is_some() {
            Some(StoreError::BillAlreadyPaid)
        } else if slip.cancelled {
            Some(StoreError::BillCancelled)
        } else if self.now >= slip.row.deadline {
            Some(StoreError::BillExpired)
        } else if waiting.is_some_and(|open| !self.orders[open].is_over(self.now)) {
            Some(StoreError::OrderOpen)
        } else {
            None
        };
        assert_eq!(answer.as_ref().err(), expected.as_ref());
        let Ok(row) = answer else { return };
        if let Some(open) = waiting {
            self.end(open, OutcomeKind::Expired, None);
        }
        let purse = self.wallets[wearing.family];
        let state = if purse.frozen {
            State::Ended(OutcomeKind::Failed, Some(FailReason::HouseholdFrozen))
        } else if purse.posted - purse.held >= total {
            State::Waiting(self.now.plus_ms(10 * MINUTE_MS))
        } else {
            State::Ended(OutcomeKind::Failed, Some(FailReason::InsufficientBalance))
        };
        self.orders.push(Expected { row, watch, bill, state, total, requoted: None, refunded: 0, ask: None });
    }

    async fn decide(&mut self, store: &Store) {
        let Some(order) = self.any_order() else { return };
        let row = self.read(store, order).await;
        let family = &self.families[self.watches[self.orders[order].watch].family];
        let most = self.orders[order].requoted.unwrap_or(self.bills[self.orders[order].bill].row.total.minor());
        let (verdict, total) = match self.rng.below(5) {
            0 => (Verdict::Refuse, most),
            1 | 2 => (Verdict::Approve, self.rng.between(1, most)),
            _ => (Verdict::Approve, most),
        };
        let mut decide = family.decision(&row, verdict, cny(total), &[], self.now);
        let stale = self.orders[order].requoted.is_some() && self.rng.below(2) == 0;
        if stale {
            decide.decision.bill = row.bill_message.digest;
        }
        let answer = store.decide(decide, self.now).await.err();
        let purse = self.wallets[self.watches[self.orders[order].watch].family];
        let expected = match self.orders[order].state {
            State::Ended(kind, _) => Some(StoreError::OrderEnded(kind)),
            _ if self.orders[order].is_over(self.now) => {
                self.end(order, OutcomeKind::Expired, None);
                Some(StoreError::OrderExpired)
            }
            State::Approved(_) => Some(StoreError::AlreadyDecided),
            State::Waiting(_) if stale => Some(StoreError::StaleBill),
            State::Waiting(_) => {
                self.orders[order].total = total;
                match (verdict, self.gone(order)) {
                    (Verdict::Refuse, _) => self.end(order, OutcomeKind::Refused, None),
                    (Verdict::Approve, Some(reason)) => self.end(order, OutcomeKind::Failed, Some(reason)),
                    (Verdict::Approve, None) if purse.posted - purse.held < total => {
                        self.end(order, OutcomeKind::Failed, Some(FailReason::InsufficientBalance));
                    }
                    (Verdict::Approve, None) => {
                        self.orders[order].state = State::Approved(self.now.plus_ms(5 * MINUTE_MS));
                        self.purse(order).held += total;
                    }
                }
                None
            }
        };
        assert_eq!(answer, expected);
    }

    async fn pay(&mut self, store: &Store) {
        let Some(order) = self.any_order() else { return };
        let row = self.read(store, order).await;
        let answer = store.pay(payment(&row, self.now), self.now).await.err();
        let expected = match self.orders[order].state {
            State::Ended(kind, _) => Some(StoreError::OrderEnded(kind)),
            _ if self.orders[order].is_over(self.now) => {
                self.end(order, OutcomeKind::Expired, None);
                Some(StoreError::OrderExpired)
            }
            State::Waiting(_) => Some(StoreError::OrderNotApproved),
            State::Approved(_) => {
                match self.gone(order) {
                    Some(reason) => self.end(order, OutcomeKind::Failed, Some(reason)),
                    None => {
                        let (total, bill) = (self.orders[order].total, self.orders[order].bill);
                        self.bills[bill].open = false;
                        self.bills[bill].paid_by = Some(order);
                        self.end(order, OutcomeKind::Paid, None);
                        self.purse(order).posted -= total;
                    }
                }
                None
            }
        };
        assert_eq!(answer, expected);
    }

    async fn cancel(&mut self, store: &Store) {
        let Some(order) = self.any_order() else { return };
        let row = self.read(store, order).await;
        let answer = store.cancel_order(cancellation(&row, self.now), self.now).await.err();
        let expected = match self.orders[order].state {
            State::Ended(kind, _) => Some(StoreError::OrderEnded(kind)),
            _ if self.orders[order].is_over(self.now) => {
                self.end(order, OutcomeKind::Expired, None);
                Some(StoreError::OrderExpired)
            }
            State::Waiting(_) | State::Approved(_) => {
                self.end(order, OutcomeKind::Cancelled, None);
                None
            }
        };
        assert_eq!(answer, expected);
    }

    async fn cancel_bill(&mut self, store: &Store) {
        if self.bills.is_empty() {
            return;
        }
        // Mostly one that somebody is about to pay.
        let bill = match self.any_order() {
            Some(order) if self.rng.below(3) > 0 => self.orders[order].bill,
            Some(_) | None => self.recent(self.bills.len()),
        };
        let answer = store.cancel_bill(self.shop.merchant, self.bills[bill].row.bill, self.now).await.err();
        if self.bills[bill].paid_by.is_some() {
            assert_eq!(answer, Some(StoreError::BillAlreadyPaid));
            return;
        }
        assert_eq!(answer, None);
        self.bills[bill].open = false;
        self.bills[bill].cancelled = true;
        for order in 0..self.orders.len() {
            if self.orders[order].bill == bill {
                self.end_open(order, FailReason::BillCancelled);
            }
        }
    }

    async fn requote(&mut self, store: &Store) {
        let Some(order) = self.any_order() else { return };
        let bill = self.orders[order].bill;
        if let Some(ask) = self.orders[order].ask.take() {
            let left = self.rng.between(1, self.bills[bill].row.total.minor());
            let (reduced, message) = requote(&self.bills[bill].row, self.shop.merchant, ask.revision, left);
            let answer = AnswerRequote { merchant: self.shop.merchant, ask: ask.ask, bill: reduced, message };
            let answer = store.answer_requote(answer, self.now).await.err();
            let waiting = matches!(self.orders[order].state, State::Waiting(_));
            let expected = if !waiting || self.now >= ask.deadline {
                Some(StoreError::AskClosed)
            } else if self.orders[order].is_over(self.now) {
                self.end(order, OutcomeKind::Expired, None);
                Some(StoreError::OrderExpired)
            } else {
                self.orders[order].requoted = Some(left);
                None
            };
            assert_eq!(answer, expected);
            return;
        }
        let row = self.read(store, order).await;
        let answer = store.ask_requote(ask_for(&row, "l1"), self.now).await;
        let expected = match self.orders[order].state {
            State::Ended(kind, _) => Some(StoreError::OrderEnded(kind)),
            _ if self.orders[order].is_over(self.now) => {
                self.end(order, OutcomeKind::Expired, None);
                Some(StoreError::OrderExpired)
            }
            State::Approved(_) => Some(StoreError::AlreadyDecided),
            State::Waiting(_) => None,
        };
        assert_eq!(answer.as_ref().err(), expected.as_ref());
        if let Ok(ask) = answer {
            self.bills[bill].asks += 1;
            assert_eq!(ask.revision, self.bills[bill].asks + 1);
            self.orders[order].ask = Some(ask);
        }
    }

    async fn tick(&mut self, store: &Store) {
        self.now = self.now.plus_ms(self.rng.between(0, 3 * MINUTE_MS));
        store.tick(self.now).await.expect("a tick");
        self.expire_all();
    }

    async fn remove_watch(&mut self, store: &Store) {
        let watch = self.rng.below(self.watches.len());
        // One is left to go on with.
        if self.watches.iter().filter(|watch| !watch.removed).count() <= 3 {
            return;
        }
        let Watch { id, family, removed } = self.watches[watch];
        let answer = self.families[family].remove(store, id, self.now).await.err();
        assert_eq!(answer, removed.then_some(StoreError::WatchUnknown));
        self.watches[watch].removed = true;
        for order in 0..self.orders.len() {
            if self.orders[order].watch == watch {
                self.end_open(order, FailReason::WatchRemoved);
            }
        }
    }

    // The reference

    fn expire_all(&mut self) {
        for order in 0..self.orders.len() {
            if self.orders[order].is_ended() {
                continue;
            }
            if self.orders[order].is_over(self.now) {
                self.end(order, OutcomeKind::Expired, None);
            } else if self.now >= self.bills[self.orders[order].bill].row.deadline {
                self.end(order, OutcomeKind::Failed, Some(FailReason::BillExpired));
            }
        }
    }

    fn end_open(&mut self, order: usize, reason: FailReason) {
        if self.orders[order].is_ended() {
            return;
        }
        if self.orders[order].is_over(self.now) {
            self.end(order, OutcomeKind::Expired, None);
        } else {
            self.end(order, OutcomeKind::Failed, Some(reason));
        }
    }

    fn end(&mut self, order: usize, kind: OutcomeKind, reason: Option<FailReason>) {
        let held = matches!(self.orders[order].state, State::Approved(_));
        if held {
            let total = self.orders[order].total;
            self.purse(order).held -= total;
        }
        self.ends.insert((kind.as_str(), reason.map(FailReason::as_str), held));
        self.orders[order].state = State::Ended(kind, reason);
    }

    fn paid(&self) -> i64 {
        let paid = |order: &&Expected| order.state == State::Ended(OutcomeKind::Paid, None);
        self.orders.iter().filter(paid).map(|order| order.total).sum()
    }

    fn gone(&self, order: usize) -> Option<FailReason> {
        let slip = &self.bills[self.orders[order].bill];
        if self.wallets[self.watches[self.orders[order].watch].family].frozen {
            Some(FailReason::HouseholdFrozen)
        } else if slip.paid_by.is_some() {
            Some(FailReason::BillAlreadyPaid)
        } else if slip.cancelled {
            Some(FailReason::BillCancelled)
        } else {
            (self.now >= slip.row.deadline).then_some(FailReason::BillExpired)
        }
    }

    fn purse(&mut self, order: usize) -> &mut Purse {
        let family = self.watches[self.orders[order].watch].family;
        &mut self.wallets[family]
    }

    /// Mostly one of the newest.
    fn recent(&mut self, len: usize) -> usize {
        let window = if self.rng.below(5) == 0 { len } else { len.min(4) };
        len - 1 - self.rng.below(window)
    }

    /// Mostly one without an open order.
    fn any_watch(&mut self) -> usize {
        let free: Vec<usize> = (0..self.watches.len())
            .filter(|watch| !self.watches[*watch].removed)
            .filter(|watch| !self.orders.iter().any(|order| order.watch == *watch && !order.is_ended()))
            .collect();
        if free.is_empty() || self.rng.below(6) == 0 {
            return self.rng.below(self.watches.len());
        }
        free[self.rng.below(free.len())]
    }

    /// Mostly an open one. There is at least one bill.
    fn any_bill(&mut self) -> usize {
        let open: Vec<usize> = (0..self.bills.len())
            .filter(|bill| self.bills[*bill].open && self.now < self.bills[*bill].row.deadline)
            .collect();
        if open.is_empty() || self.rng.below(6) == 0 {
            return self.recent(self.bills.len());
        }
        open[self.rng.below(open.len())]
    }

    /// Mostly an open one: what is ended only ever says so.
    fn any_order(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.orders.len()).filter(|order| !self.orders[*order].is_ended()).collect();
        if !open.is_empty() && self.rng.below(6) > 0 {
            return Some(open[self.rng.below(open.len())]);
        }
        if self.orders.is_empty() { None } else { Some(self.recent(self.orders.len())) }
    }

    async fn read(&self, store: &Store, order: usize) -> OrderRow {
        let row = &self.orders[order].row;
        store.order(row.household, row.order).await.expect("a read").expect("the order")
    }

    async fn compare(&self, store: &Store, at: &str) {
        for (family, purse) in self.families.iter().zip(&self.wallets) {
            assert_eq!(family.wallet(store).await, (purse.posted, purse.held), "{at}");
        }
        let owed = store.merchant_balance(self.shop.merchant).await.map(Amount::minor);
        assert_eq!(owed, Ok(self.paid() - self.refunded - self.paid_out), "{at}");
        let recent = self.orders.len().saturating_sub(8);
        for (index, expected) in self.orders.iter().enumerate().skip(recent) {
            let row = self.read(store, index).await;
            let state = match row.state {
                OrderState::Waiting { expires } => State::Waiting(expires),
                OrderState::Approved { pay_by, .. } => State::Approved(pay_by),
                OrderState::Holding { .. } | OrderState::Paying { .. } => panic!("wallets answer at once"),
                OrderState::Ended { .. } => {
                    let outcome = outcome_of(&row);
                    State::Ended(outcome.outcome, outcome.reason)
                }
            };
            let said = (state, row.total.minor(), row.refunded.minor());
            assert_eq!(said, (expected.state, expected.total, expected.refunded), "{at}, order {index}");
        }
        for slip in self.bills.iter().rev().take(4) {
            let row = store.bill(slip.row.bill).await.expect("a read").expect("the bill");
            let paid_by = slip.paid_by.map(|order| self.orders[order].row.order);
            let expected = match (paid_by, slip.cancelled) {
                (Some(order), _) => matches!(row.state, BillState::Consumed(_, by) if by == order),
                (None, true) => row.state == BillState::Cancelled,
                (None, false) => row.state == BillState::Open,
            };
            assert!(expected, "{at}: {:?}", row.state);
        }
    }
}

impl Expected {
    const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        match self.state {
            State::Waiting(until) | State::Approved(until) => now >= until,
            State::Ended(..) => false,
        }
    }
}
