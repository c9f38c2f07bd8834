//! Races that public ledgers and approval systems lost, each with its test.

use std::sync::Arc;

use nodpay_core::{BasisPoints, Currency, Entry, FailReason, OrderState, OutcomeKind, WatchId};
use tokio::task::JoinSet;

use super::cast::{
    Family, MINUTE_MS, Rng, START, Shop, cancellation, cny, fresh, line_id, outcome_of, payment, refused, requote,
};
use super::requotes::ask_for;
use crate::{AnswerRequote, Audience, BillState, HouseholdEvent, OrderRow, Store, StoreError};

async fn current(store: &Store, row: &OrderRow) -> OrderRow {
    store.order(row.household, row.order).await.expect("a read").expect("the order")
}

pub async fn a_hold_after_a_refusal(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
    let nod = family.nod(&row, START);
    store.decide(family.refusal(&row, START), START).await.expect("taken in");
    let error = refused(store.decide(nod, START).await);
    assert_eq!(error, StoreError::OrderEnded(OutcomeKind::Refused));
    assert_eq!(family.wallet(store).await, (1_000, 0));
}

pub async fn a_hold_voided_twice(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let second = family.add_watch(store).await;
    // Another hold stands beside it, which a second void would take.
    let beside = shop.sell(store, &[300]).await;
    let other = store.place_order(family.order_from(second, &beside, START), START).await.expect("an order");
    store.decide(family.nod(&other, START), START).await.expect("a decision");
    let bill = shop.sell(store, &[600]).await;
    let row = family.approved(store, &bill, START).await;
    assert_eq!(family.wallet(store).await, (1_000, 900));
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    let error = refused(store.cancel_order(cancellation(&row, START.plus_ms(1)), START).await);
    assert_eq!(error, StoreError::OrderEnded(OutcomeKind::Cancelled));
    store.cancel_bill(shop.merchant, bill.bill, START).await.expect("cancelled");
    let over = row.state.deadline().expect("it was approved");
    let error = refused(store.pay(payment(&row, over), over).await);
    assert_eq!(error, StoreError::OrderEnded(OutcomeKind::Cancelled));
    assert_eq!(family.wallet(store).await, (1_000, 300));
}

/// Over one database: what one process does with another one's orders counts, whatever that one remembers of them.
pub async fn two_processes(here: &Store, there: &Store) {
    let (shop, family) = (Shop::open(here).await, Family::settle(here, 2_000).await);
    let row = family.place(here, &shop.sell(here, &[300]).await, START).await;
    let approved = there.decide(family.nod(&row, START), START).await.expect("decided there");
    let paid = here.pay(payment(&approved, START), START).await.expect("paid here");
    assert_eq!(paid.outcome.map(|ended| ended.kind), Some(OutcomeKind::Paid));

    let row = family.place(here, &shop.sell(here, &[300]).await, START).await;
    there.cancel_order(cancellation(&row, START), START).await.expect("cancelled there");
    let late = refused(here.decide(family.nod(&row, START), START).await);
    assert_eq!(late, StoreError::OrderEnded(OutcomeKind::Cancelled));

    // In the next two nothing happens in the family itself.
    let bill = shop.sell(here, &[300]).await;
    let row = family.approved(here, &bill, START).await;
    Family::settle(there, 500).await.paid(there, &bill, START).await;
    let failed = here.pay(payment(&row, START), START).await.expect("answered");
    assert_eq!(failed.outcome.and_then(|ended| ended.reason), Some(FailReason::BillAlreadyPaid));

    let row = family.approved(here, &shop.sell(here, &[300]).await, START).await;
    there.set_fee(shop.merchant, BasisPoints::new(1_000).expect("ten of a hundred")).await.expect("set there");
    here.pay(payment(&row, START), START).await.expect("paid here");
    let balance = here.merchant_balance(shop.merchant).await.expect("a read");
    assert_eq!(balance, cny(300 + 300 + 270));
    assert_eq!(family.wallet(here).await, (1_400, 0));
    assert_eq!(here.check().await, Ok(Vec::new()));
}

pub async fn two_commits_of_one_hold(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 2_000).await;
    let row = family.approved(store, &shop.sell(store, &[600]).await, START).await;
    let (one, two) = (payment(&row, START), payment(&row, START.plus_ms(1)));
    let (first, second) = tokio::join!(store.pay(one, START), store.pay(two, START));
    assert!(first.is_ok() != second.is_ok(), "one of them paid");
    let loser = if first.is_ok() { second } else { first };
    assert_eq!(refused(loser), StoreError::OrderEnded(OutcomeKind::Paid));
    assert_eq!(family.wallet(store).await, (1_400, 0));
}

pub async fn an_old_revision_approved(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[600, 300]).await;
    for _ in 0..20 {
        let row = family.place(store, &bill, START).await;
        let ask = ask_for(&row, "l1");
        let revision = store.ask_requote(ask.clone(), START).await.expect("an ask").revision;
        let (reduced, message) = requote(&bill, shop.merchant, revision, 500);
        let answer = AnswerRequote { merchant: shop.merchant, ask: ask.ask, bill: reduced, message };
        let nod = family.nod(&row, START);
        let (answered, decided) = tokio::join!(store.answer_requote(answer, START), store.decide(nod, START));
        let row = current(store, &row).await;
        match decided {
            // The nod came first: to the whole bill, which stands.
            Ok(decided) => {
                assert_eq!((decided.total, row.requote), (cny(900), None));
                assert_eq!(refused(answered), StoreError::AskClosed);
                store.cancel_order(cancellation(&decided, START), START).await.expect("cancelled");
            }
            Err(error) => {
                assert_eq!(error, StoreError::StaleBill);
                answered.expect("the requote came first");
                assert_eq!(family.wallet(store).await, (1_000, 0));
                store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
            }
        }
    }
}

pub async fn two_decisions_at_once(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    for round in 0..20 {
        let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
        let (nod, refusal) = (family.nod(&row, START), family.refusal(&row, START));
        let (other, now) = (family.nod(&row, START.plus_ms(1)), START);
        let (a, b, c) = if round % 2 == 0 {
            tokio::join!(store.decide(nod, now), store.decide(refusal, now), store.decide(other, now))
        } else {
            tokio::join!(store.decide(refusal, now), store.decide(other, now), store.decide(nod, now))
        };
        let answers = [a, b, c];
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "one decision counts");
        let row = current(store, &row).await;
        let expected = match row.state {
            OrderState::Approved { .. } => StoreError::AlreadyDecided,
            OrderState::Ended { outcome } => StoreError::OrderEnded(outcome),
            OrderState::Waiting { .. } | OrderState::Holding { .. } | OrderState::Paying { .. } => {
                panic!("it was decided, on a wallet")
            }
        };
        assert!(answers.into_iter().filter_map(Result::err).all(|error| error == expected));
        if row.outcome.is_none() {
            store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
        }
    }
    assert_eq!(family.wallet(store).await, (1_000, 0));
}

pub async fn two_entries_at_once(store: &Store) {
    let family = Family::imagine();
    family.found(store, Currency::CNY).await.expect("a new household");
    let one = family.enrolment(WatchId::from_bytes(fresh()), family.wearer);
    let two = family.enrolment(WatchId::from_bytes(fresh()), family.wearer);
    let (first, second) = tokio::join!(store.append_log(one.clone(), START), store.append_log(two.clone(), START));
    assert!(first.is_ok() != second.is_ok(), "one of them is next");
    let (winner, loser) = if first.is_ok() { (one, second) } else { (two, first) };
    assert_eq!(refused(loser), StoreError::LogMoved { head: winner.message.digest });
    assert_eq!(store.log(family.household, 1).await, Ok(vec![winner.message.clone()]));
    let Entry::EnrolWatch(watch) = winner.entry.entry else { panic!("an enrolment") };
    assert!(store.household_of_watch(watch.watch).await.expect("a read").is_some());
}

pub async fn two_households_one_bill(store: &Store) {
    let shop = Shop::open(store).await;
    for _ in 0..10 {
        let (one, two) = (Family::settle(store, 1_000).await, Family::settle(store, 1_000).await);
        let bill = shop.sell(store, &[600]).await;
        let (a, b) = (one.approved(store, &bill, START).await, two.approved(store, &bill, START).await);
        let (first, second) = tokio::join!(store.pay(payment(&a, START), START), store.pay(payment(&b, START), START));
        let (first, second) = (first.expect("taken in"), second.expect("taken in"));
        let (paid, failed) = match first.state == (OrderState::Ended { outcome: OutcomeKind::Paid }) {
            true => (first, second),
            false => (second, first),
        };
        assert_eq!(paid.state, OrderState::Ended { outcome: OutcomeKind::Paid });
        assert_eq!(failed.state, OrderState::Ended { outcome: OutcomeKind::Failed });
        let outcome = outcome_of(&failed);
        assert_eq!(outcome.reason, Some(nodpay_core::FailReason::BillAlreadyPaid));
        assert_eq!((outcome.payment.is_some(), outcome.transfer), (true, None));
        let mut wallets = [one.wallet(store).await, two.wallet(store).await];
        wallets.sort_unstable();
        assert_eq!(wallets, [(400, 0), (1_000, 0)]);
        let bill = store.bill(bill.bill).await.expect("a read").expect("the bill");
        assert_eq!(bill.state, BillState::Consumed(paid.household, paid.order));
        assert_eq!(bill.latest.map(|order| order.state), Some(paid.state));
    }
    // A nod after the other's payment is not held at all.
    let (one, two) = (Family::settle(store, 1_000).await, Family::settle(store, 1_000).await);
    let bill = shop.sell(store, &[600]).await;
    let late = two.place(store, &bill, START).await;
    one.paid(store, &bill, START).await;
    let row = store.decide(two.nod(&late, START), START).await.expect("taken in");
    assert_eq!(outcome_of(&row).reason, Some(nodpay_core::FailReason::BillAlreadyPaid));
    assert_eq!(two.wallet(store).await, (1_000, 0));
}

/// Many watches of one household, hundreds of payments at once: the limit is checked where the money moves.
pub async fn one_wallet_many_payments(store: &Store) {
    const WATCHES: usize = 30;
    const ROUNDS: usize = 8;
    const START_UNITS: i64 = 10_000;
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, START_UNITS).await;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(family.add_watch(store).await);
    }
    let family = Arc::new(family);
    let mut tasks = JoinSet::new();
    for (index, watch) in watches.into_iter().enumerate() {
        let (store, shop, family) = (store.clone(), shop.clone(), Arc::clone(&family));
        tasks.spawn(async move {
            let mut rng = Rng::new(u64::try_from(index).expect("small"));
            let mut spent = 0;
            for _ in 0..ROUNDS {
                let bill = shop.sell(&store, &[rng.between(1, 300)]).await;
                let place = family.order_from(watch, &bill, START);
                let row = store.place_order(place, START).await.expect("an order");
                if row.outcome.is_some() {
                    continue;
                }
                let row = store.decide(family.nod(&row, START), START).await.expect("taken in");
                if row.outcome.is_some() {
                    assert_eq!(outcome_of(&row).reason, Some(nodpay_core::FailReason::InsufficientBalance));
                    continue;
                }
                let row = match rng.below(4) {
                    0 => store.cancel_order(cancellation(&row, START), START).await.expect("cancelled"),
                    _ => store.pay(payment(&row, START), START).await.expect("a payment"),
                };
                if row.state == (OrderState::Ended { outcome: OutcomeKind::Paid }) {
                    spent += row.total.minor();
                }
                let (posted, held) = family.wallet(&store).await;
                assert!(0 <= held && held <= posted, "{posted} with {held} held");
            }
            spent
        });
    }
    let spent: i64 = tasks.join_all().await.into_iter().sum();
    assert!(spent > START_UNITS / 2, "the wallet was nearly used up");
    assert_eq!(family.wallet(store).await, (START_UNITS - spent, 0));
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(spent)));
}

/// Cancel, expiry, nod, refusal and payment meet one order in every order: one outcome, money moved at most once.
pub async fn everything_crosses(store: &Store) {
    let shop = Shop::open(store).await;
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let mut family = Family::settle(store, 1_000).await;
        let bill = shop.sell(store, &[600, 300]).await;
        let row = family.place(store, &bill, START).await;
        let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
        let nod = family.decision(&row, nodpay_core::Verdict::Approve, cny(600), &[line_id("l1")], START);
        let mut decided = row.clone();
        decided.total = cny(600);
        decided.decision = Some(nod.message.clone());
        let over = START.plus_ms(10 * MINUTE_MS);
        let mut moves = [0, 1, 2, 3, 4, 5, 6];
        rng.shuffle(&mut moves);
        let mut tasks = JoinSet::new();
        for step in moves {
            let (store, family, shop) = (store.clone(), family.clone(), shop.clone());
            let (row, nod, decided, bill) = (row.clone(), nod.clone(), decided.clone(), bill.clone());
            tasks.spawn(async move {
                match step {
                    0 | 1 => store.decide(nod, START).await.map(drop),
                    2 => store.decide(family.refusal(&row, START), START).await.map(drop),
                    3 => store.cancel_order(cancellation(&row, START), START).await.map(drop),
                    4 => store.pay(payment(&decided, START), START).await.map(drop),
                    5 => store.tick(over).await.map(drop),
                    _ => store.cancel_bill(shop.merchant, bill.bill, START).await.map(drop),
                }
            });
        }
        for result in tasks.join_all().await {
            let error = result.err();
            assert!(error.as_ref().is_none_or(|error| error.blame() == crate::Blame::Peer), "seed {seed}: {error:?}");
        }
        let watch = family.watch;
        family.remove(store, watch, START).await.expect("a removal");

        let row = current(store, &row).await;
        let outcome = outcome_of(&row);
        let paid = outcome.outcome == OutcomeKind::Paid;
        let wallet = if paid { (400, 0) } else { (1_000, 0) };
        assert_eq!(family.wallet(store).await, wallet, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.transfer.is_some(), paid, "seed {seed}: {outcome:?}");
        for audience in [Audience::Guardian, Audience::Watch(watch)] {
            let events = store.events_after(family.household, audience, last, 100).await.expect("a read");
            let ends = events.iter().filter(|event| event.event == HouseholdEvent::Outcome(row.order)).count();
            assert_eq!(ends, 1, "seed {seed}");
        }
    }
}
