//! Wallets, holds and what merchants get.

use nodpay_core::{
    Amount, Answer, Currency, Entry, FailReason, HouseholdId, MAX_MINOR, Mandate, NewWatchCap, OrderState, OutcomeKind,
    Outside, TransferId, Verdict, WatchId, Why,
};

use super::cast::{Family, START, Shop, cny, fresh, line_id, message, minor, outcome_of, payment, refused};
use super::mandates::{rule, said, snacks};
use crate::{Audience, BillStatus, HouseholdEvent, Store, StoreError, TopUp};

pub async fn topping_up(store: &Store) {
    let family = Family::settle(store, 0).await;
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let top_up = TopUp { household: family.household, transfer: TransferId::from_bytes(fresh()), amount: cny(5_000) };
    let balance = store.top_up(top_up, START).await.expect("a top-up");
    assert_eq!((balance.wallet.posted(), balance.currency), (minor(5_000), Currency::CNY));
    assert_eq!(store.top_up(top_up, START).await, Ok(balance));
    assert_eq!(store.wallet(family.household).await, Ok(Some(balance)));
    let changed = TopUp { amount: cny(5_001), ..top_up };
    assert_eq!(refused(store.top_up(changed, START).await), StoreError::TransferExists);

    let with = |amount| TopUp { transfer: TransferId::from_bytes(fresh()), amount, ..top_up };
    assert_eq!(refused(store.top_up(with(cny(0)), START).await), StoreError::AmountNotPositive);
    assert_eq!(refused(store.top_up(with(cny(-1)), START).await), StoreError::AmountNotPositive);
    assert_eq!(refused(store.top_up(with(cny(MAX_MINOR)), START).await), StoreError::BalanceTooLarge);
    let euro = Amount::new(minor(1), Currency::EUR);
    assert_eq!(refused(store.top_up(with(euro), START).await), StoreError::CurrencyNotSupported);
    let nowhere = TopUp { household: HouseholdId::from_bytes(fresh()), ..top_up };
    assert_eq!(refused(store.top_up(nowhere, START).await), StoreError::HouseholdUnknown);
    assert_eq!(family.wallet(store).await, (5_000, 0));

    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        let events = store.events_after(family.household, audience, last, 10).await.expect("a read");
        assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Balance]);
    }
}

/// Of a bill of ¥15 a watch asks for ¥8.
pub async fn a_part_of_a_bill_costs_that_part(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let young = WatchId::from_bytes(fresh());
    let mut enrol = family.enrolment(young, family.wearer);
    if let Entry::EnrolWatch(watch) = &mut enrol.entry.entry {
        watch.new_watch_cap = NewWatchCap { until: START.plus_ms(1), per_payment: cny(800) };
    }
    enrol.message = message("log", &enrol.entry);
    family.send(store, enrol).await.expect("an enrolment");
    let strict = Mandate {
        approve: None,
        outside: Outside::Refuse,
        per_payment: Some(cny(800)),
        per_day: Some(cny(800)),
        ..snacks(young)
    };
    rule(store, &mut family, strict).await;
    let bill = shop.sell(store, &[800, 700]).await;
    let part = |minor: i64| {
        let mut place = family.order_from(young, &bill, START);
        place.order.without = vec![line_id("l1")];
        place.message = message("order", &place.order);
        (place.asked.reduced, place.asked.total) = (true, cny(minor));
        place
    };
    assert_eq!(refused(store.place_order(part(801), START).await), StoreError::OverNewWatchCap);
    for impossible in [0, 1_501] {
        assert_eq!(refused(store.place_order(part(impossible), START).await), StoreError::WrongTotal);
    }
    let row = store.place_order(part(800), START).await.expect("an order");
    assert!(matches!(row.state, OrderState::Waiting { .. }), "{:?}", row.state);
    assert_eq!(said(&row), Some(Answer::Ask(Why::OverApproval)), "no cap refuses it");
    let nod = family.decision(&row, Verdict::Approve, cny(800), &[line_id("l1")], START);
    let row = store.decide(nod, START).await.expect("a nod");
    assert_eq!(family.wallet(store).await, (1_000, 800));
    let row = store.pay(payment(&row, START), START).await.expect("a payment");
    assert_eq!((outcome_of(&row).total, family.wallet(store).await), (cny(800), (200, 0)));
}

pub async fn not_enough_money(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;

    // Known at once: the guardian is not asked.
    let dear = shop.sell(store, &[1_001]).await;
    let row = family.place(store, &dear, START).await;
    assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Failed });
    let outcome = outcome_of(&row);
    assert_eq!(outcome.reason, Some(FailReason::InsufficientBalance));
    assert_eq!((outcome.total, outcome.decision, outcome.transfer), (cny(1_001), None, None));
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        let events = store.events_after(family.household, audience, last, 10).await.expect("a read");
        assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Outcome(row.order)]);
    }
    let bill = store.bill(dear.bill).await.expect("a read").expect("the bill");
    assert_eq!(bill.status(START), BillStatus::Failed);

    // Gone by the time of the decision: another watch was faster.
    let second = family.add_watch(store).await;
    let (one, two) = (shop.sell(store, &[600]).await, shop.sell(store, &[600]).await);
    let first = family.place(store, &one, START).await;
    let later = store.place_order(family.order_from(second, &two, START), START).await.expect("an order");
    store.decide(family.nod(&first, START), START).await.expect("the first");
    let nod = family.nod(&later, START);
    let late = store.decide(nod.clone(), START).await.expect("taken in");
    assert_eq!(late.state, OrderState::Ended { outcome: OutcomeKind::Failed });
    let outcome = outcome_of(&late);
    assert_eq!(outcome.reason, Some(FailReason::InsufficientBalance));
    assert_eq!((outcome.decision, outcome.payment), (Some(nod.message.digest), None));
    assert_eq!(store.decide(nod, START).await, Ok(late));
    assert_eq!(family.wallet(store).await, (1_000, 600));
}

pub async fn merchants_have_balances(store: &Store) {
    let (shop, idle) = (Shop::open(store).await, Shop::open(store).await);
    for units in [100, 250] {
        let family = Family::settle(store, 1_000).await;
        family.paid(store, &shop.sell(store, &[units]).await, START).await;
        family.approved(store, &shop.sell(store, &[units]).await, START).await;
    }
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(350)));
    assert_eq!(store.merchant_balance(idle.merchant).await, Ok(cny(0)));
    let nowhere = Shop::imagine().merchant;
    assert_eq!(refused(store.merchant_balance(nowhere).await), StoreError::MerchantUnknown);
}
