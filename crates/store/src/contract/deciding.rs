//! What a wearer spent, by the days and months of whoever asks.

use nodpay_core::{OrderState, WatchId, WearerId};

use super::cast::{Family, HOUR_MS, MINUTE_MS, START, Shop, fresh, message, minor, payment};
use crate::{Spent, Store};

pub async fn what_a_wearer_spent(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 100_000).await;
    let (other_watch, other) = (WatchId::from_bytes(fresh()), WearerId::from_bytes(fresh()));
    family.enrol(store, other_watch, other).await.expect("another child");
    let at = |hours: i64| START.plus_ms(hours * HOUR_MS);
    let long = 20 * HOUR_MS;
    for (hours, price) in [(0, 1), (1, 20), (2, 300), (3, 4_000)] {
        let bill = shop.sell_for(store, &[price], long).await;
        assert_eq!(family.paid(store, &bill, at(hours)).await.wearer, family.wearer);
    }
    // Neither what was refused, nor what another child bought, nor another household's.
    let refused = shop.sell_for(store, &[50_000], long).await;
    let row = family.place(store, &refused, at(3)).await;
    store.decide(family.refusal(&row, at(3)), at(3)).await.expect("refused");
    let waiting = shop.sell_for(store, &[6_000], long).await;
    let waiting = family.place(store, &waiting, at(3).plus_ms(MINUTE_MS)).await;
    assert!(matches!(waiting.state, OrderState::Waiting { .. }));
    let bill = shop.sell_for(store, &[7], long).await;
    let mut place = family.order_from(other_watch, &bill, at(3));
    place.order.wearer = other;
    place.message = message("order", &place.order);
    let row = store.place_order(place, at(3)).await.expect("an order");
    let row = store.decide(family.nod(&row, at(3)), at(3)).await.expect("nodded");
    store.pay(payment(&row, at(3)), at(3)).await.expect("paid");
    let stranger = Family::settle(store, 1_000).await;
    let bill = shop.sell_for(store, &[900], long).await;
    stranger.paid(store, &bill, at(3)).await;

    let wearer = family.wearer;
    let spent = |wearer, day: i64, month: i64| store.spent(family.household, wearer, at(day), at(month));
    let sums = |day, month| Ok(Spent { day: minor(day), month: minor(month) });
    assert_eq!(spent(wearer, 2, 1).await, sums(4_300, 4_320));
    assert_eq!(spent(wearer, 0, 0).await, sums(4_321, 4_321));
    assert_eq!(spent(wearer, 4, 3).await, sums(0, 4_000));
    assert_eq!(spent(wearer, 4, 4).await, sums(0, 0));
    assert_eq!(spent(other, 3, 0).await, sums(7, 7));
    assert_eq!(spent(WearerId::from_bytes(fresh()), 0, 0).await, sums(0, 0));
}
