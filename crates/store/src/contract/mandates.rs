//! Standing rules: they decide at once, and no sum goes over a cap.

use std::sync::Arc;

use nodpay_core::{
    Answer, Choice, Currency, Day, Digest, Entry, Every, Mandate, MandateId, MerchantId, Offset, OrderState,
    OutcomeKind, Outside, Period, Text, WatchId, Why,
};
use tokio::task::JoinSet;

use super::cast::{
    Family, HOUR_MS, MINUTE_MS, Rng, START, Shop, cancellation, cny, fresh, minor, outcome_of, payment, refused,
};
use super::orders::pages_agree;
use crate::{Audience, HouseholdEvent, Judged, OrderRow, Store, StoreError};

/// Up to ¥5 without asking, ¥12 a day.
pub(super) fn snacks(watch: WatchId) -> Mandate {
    Mandate {
        mandate: MandateId::from_bytes(fresh()),
        version: 1,
        name: Text::new("零食").expect("a name"),
        watch,
        until: START.plus_ms(30 * 24 * HOUR_MS),
        approve: Some(cny(500)),
        outside: Outside::Ask,
        per_payment: None,
        per_day: Some(cny(1_200)),
        per_week: None,
        per_month: None,
        shops: None,
        categories: None,
        places: None,
        age: None,
        windows: Vec::new(),
        offsets: vec![Offset { from: START, minutes: 480 }],
    }
}

/// A household whose watch paid ¥5 under a rule.
pub async fn paid_under_a_rule(store: &Store) -> Family {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let snacks = snacks(family.watch);
    rule(store, &mut family, snacks).await;
    let row = order(store, &family, &shop, 500).await;
    store.pay(payment(&row, START), START).await.expect("a payment");
    family
}

pub(super) async fn rule(store: &Store, family: &mut Family, mandate: Mandate) {
    let append = family.append(Entry::SetMandate(Box::new(mandate)), None);
    family.send(store, append).await.expect("a rule");
    assert_eq!(rules(store, family).await.last().map(|(entry, _)| *entry), Some(family.head()));
}

async fn rules(store: &Store, family: &Family) -> Vec<(Digest, Mandate)> {
    store.rulebook(family.household).await.expect("a read").mandates
}

pub(super) fn said(row: &OrderRow) -> Option<Answer> {
    row.judged.as_ref().and_then(Judged::answer)
}

async fn spent(store: &Store, family: &Family, watch: WatchId, every: Every) -> i64 {
    let period = Period { every, first: Day::of(START.plus_ms(8 * HOUR_MS)).first_of(every) };
    let sums = store.mandate_sums(family.household).await.expect("a read");
    let found = sums.into_iter().find(|(of, known, _)| (*of, *known) == (Some(watch), period));
    found.map_or(0, |(.., spent)| spent.get())
}

async fn order(store: &Store, family: &Family, shop: &Shop, price: i64) -> OrderRow {
    family.place(store, &shop.sell(store, &[price]).await, START).await
}

pub async fn rules_decide_in_place_of_a_guardian(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 10_000).await;
    let watch = family.watch;
    assert_eq!(said(&order(store, &family, &shop, 100).await), None, "no rule, no answer");
    let row = store.open_order(watch).await.expect("a read").expect("the order");
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    let snacks = snacks(watch);
    rule(store, &mut family, snacks.clone()).await;
    let entry = family.head();

    // Held at once, told to the watch, paid under the rule.
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let bill = shop.sell(store, &[500]).await;
    let place = family.order(&bill, START);
    let row = store.place_order(place.clone(), START).await.expect("an order");
    assert!(matches!(row.state, OrderState::Approved { decision, .. } if decision == entry), "{:?}", row.state);
    assert_eq!((said(&row), row.decision.is_none()), (Some(Answer::Approve), true));
    assert_eq!(row.mandate.as_ref().map(|entry| entry.digest), Some(entry));
    assert_eq!(store.place_order(place, START).await.as_ref(), Ok(&row), "the same order, the same answer");
    assert_eq!(store.order(row.household, row.order).await.as_ref(), Ok(&Some(row.clone())));
    assert_eq!(family.wallet(store).await, (10_000, 500));
    let told = store.events_after(family.household, Audience::Watch(watch), last, 10).await.expect("a read");
    assert_eq!(told.first().map(|row| row.event), Some(HouseholdEvent::Decision(row.order)));
    assert_eq!(refused(store.decide(family.nod(&row, START), START).await), StoreError::AlreadyDecided);
    let row = store.pay(payment(&row, START), START).await.expect("a payment");
    let outcome = outcome_of(&row);
    assert_eq!((outcome.outcome, outcome.mandate, outcome.decision), (OutcomeKind::Paid, Some(entry), None));
    assert_eq!((outcome.rule, family.wallet(store).await), (None, (9_500, 0)));

    // Given back when it is not paid after all.
    let row = order(store, &family, &shop, 500).await;
    assert_eq!(spent(store, &family, watch, Every::Day).await, 1_000);
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    assert_eq!(spent(store, &family, watch, Every::Day).await, 500);

    // What is over a cap is asked, with its reason; a guardian may go over it, and that counts.
    let row = order(store, &family, &shop, 501).await;
    assert_eq!(said(&row), Some(Answer::Ask(Why::OverApproval)));
    let row = store.decide(family.nod(&row, START), START).await.expect("a nod");
    assert_eq!(spent(store, &family, watch, Every::Day).await, 1_001);
    let row = store.pay(payment(&row, START), START).await.expect("a payment");
    assert!(outcome_of(&row).decision.is_some() && outcome_of(&row).mandate.is_none());
    let row = order(store, &family, &shop, 200).await;
    assert_eq!(said(&row), Some(Answer::Ask(Why::OverDay)));
    assert!(matches!(row.state, OrderState::Waiting { .. }));
    let row = store.decide(family.nod(&row, START), START).await.expect("a nod");
    store.pay(payment(&row, START), START).await.expect("a payment");
    for every in Every::ALL {
        assert_eq!(spent(store, &family, watch, every).await, 1_201, "{every:?}");
    }
    let row = order(store, &family, &shop, 1).await;
    assert_eq!(said(&row), Some(Answer::Ask(Why::OverDay)));
    store.decide(family.refusal(&row, START), START).await.expect("a refusal");
    assert_eq!(spent(store, &family, watch, Every::Day).await, 1_201);

    // The next version holds at once; so does its end.
    let next = Mandate { version: 2, outside: Outside::Refuse, ..snacks.clone() };
    rule(store, &mut family, next).await;
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let row = order(store, &family, &shop, 1).await;
    let outcome = outcome_of(&row);
    assert_eq!((outcome.outcome, outcome.rule), (OutcomeKind::Refused, Some(Why::OverDay)));
    assert_eq!((outcome.mandate, outcome.decision, outcome.reason), (Some(family.head()), None, None));
    assert_eq!(store.order(row.household, row.order).await.as_ref(), Ok(&Some(row.clone())));
    for audience in [Audience::Guardian, Audience::Watch(watch)] {
        let told = store.events_after(family.household, audience, last, 10).await.expect("a read");
        assert_eq!(told.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Outcome(row.order)]);
    }
    let end = family.append(Entry::EndMandate(snacks.mandate), None);
    family.send(store, end).await.expect("an end");
    assert_eq!(said(&order(store, &family, &shop, 1).await), None);
}

pub async fn a_proposed_rule_holds_once_it_is_seconded(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 10_000).await;
    let snacks = snacks(family.watch);
    let propose = family.append(Entry::Propose(Box::new(Entry::SetMandate(Box::new(snacks.clone())))), None);
    family.send(store, propose).await.expect("proposed");
    assert_eq!(rules(store, &family).await, [], "not yet");
    let mut second = family.append(Entry::Second(family.head()), None);
    second.change.seconded = Some(Entry::SetMandate(Box::new(snacks.clone())));
    family.send(store, second).await.expect("seconded");
    let entry = family.head();
    assert_eq!(rules(store, &family).await, [(entry, snacks.clone())]);
    let row = order(store, &family, &shop, 500).await;
    assert_eq!(row.mandate.as_ref().map(|entry| entry.digest), Some(entry), "payments name what made it hold");
    pages_agree(store, &family, Some(&row)).await;
    let row = store.pay(payment(&row, START), START).await.expect("a payment");
    pages_agree(store, &family, Some(&row)).await;
    let mut second = family.append(Entry::Second(family.head()), None);
    second.change.seconded = Some(Entry::EndMandate(snacks.mandate));
    family.send(store, second).await.expect("seconded");
    assert_eq!(rules(store, &family).await, []);
    let row = order(store, &family, &shop, 500).await;
    assert_eq!(said(&row), None);
    pages_agree(store, &family, Some(&row)).await;
}

pub async fn rules_know_their_watch_time_and_money(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 400).await;
    let watch = family.watch;
    let euros = nodpay_core::Amount::new(minor(1), Currency::EUR);
    let foreign = Mandate { approve: Some(euros), per_day: None, ..snacks(watch) };
    let append = family.append(Entry::SetMandate(Box::new(foreign)), None);
    assert_eq!(refused(store.append_log(append, START).await), StoreError::CurrencyNotSupported);
    let append = family.append(Entry::SetMandate(Box::new(snacks(WatchId::from_bytes(fresh())))), None);
    assert_eq!(refused(store.append_log(append, START).await), StoreError::WatchUnknown);
    rule(store, &mut family, snacks(watch)).await;

    // Another watch has no rule.
    let second = family.add_watch(store).await;
    let bill = shop.sell(store, &[100]).await;
    let row = store.place_order(family.order_from(second, &bill, START), START).await.expect("an order");
    assert_eq!(said(&row), None);
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");

    // A clock too far from ours is asked about, and counts by ours.
    for (off, answer) in [
        (5 * MINUTE_MS, Answer::Approve),
        (-5 * MINUTE_MS, Answer::Approve),
        (5 * MINUTE_MS + 1, Answer::Ask(Why::Clock)),
        (-24 * HOUR_MS, Answer::Ask(Why::Clock)),
    ] {
        let mut place = family.order(&shop.sell(store, &[100]).await, START);
        place.asked.at = START.plus_ms(off);
        let row = store.place_order(place, START).await.expect("an order");
        assert_eq!(said(&row), Some(answer), "{off}");
        store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    }
    // Its time is over.
    let over = START.plus_ms(40 * 24 * HOUR_MS);
    let bill = shop.sell_for(store, &[100], 60 * 24 * HOUR_MS).await;
    let row = store.place_order(family.order(&bill, over), over).await.expect("an order");
    assert_eq!(said(&row), None);
    store.cancel_order(cancellation(&row, over), over).await.expect("cancelled");

    // The rule approves, the wallet has not enough: nothing is held, nothing counts.
    let row = order(store, &family, &shop, 500).await;
    let outcome = outcome_of(&row);
    assert_eq!(outcome.reason, Some(nodpay_core::FailReason::InsufficientBalance));
    assert_eq!((family.wallet(store).await, spent(store, &family, watch, Every::Day).await), ((400, 0), 0));
    // Stopped by the operator: whatever the rule says.
    store.set_frozen(family.household, true, START).await.expect("stopped");
    let row = order(store, &family, &shop, 100).await;
    assert_eq!((outcome_of(&row).mandate, outcome_of(&row).outcome), (None, OutcomeKind::Failed));
    store.set_frozen(family.household, false, START).await.expect("goes on");
    // A rule that is paid late is not paid.
    let row = order(store, &family, &shop, 100).await;
    let late = row.state.deadline().expect("approved");
    assert_eq!(late, START.plus_ms(5 * MINUTE_MS));
    assert_eq!(refused(store.pay(payment(&row, late), late).await), StoreError::OrderExpired);
    assert_eq!(spent(store, &family, watch, Every::Day).await, 0);

    // Another shop than the rule's.
    let elsewhere = Mandate { shops: Some(Choice::Only(vec![MerchantId::from_bytes(fresh())])), ..snacks(watch) };
    let mut other = Family::settle(store, 1_000).await;
    let elsewhere = Mandate { watch: other.watch, outside: Outside::Refuse, ..elsewhere };
    rule(store, &mut other, elsewhere).await;
    assert_eq!(outcome_of(&order(store, &other, &shop, 1).await).rule, Some(Why::Shop));
}

/// The most one of [`orders_at_once`] costs.
pub(super) const MAX_PRICE: i64 = 120;
/// Watches that pay at the same time.
const WATCHES: usize = 200;
/// Orders of each of them.
const ORDERS: usize = 3;

/// What an order of [`orders_at_once`] came to.
pub(super) struct Came {
    pub(super) watch: WatchId,
    /// 0 where it was not paid.
    pub(super) paid: i64,
    /// No rule approved it.
    pub(super) asked: bool,
}

/// The family's watch, and many more.
pub(super) async fn many_watches(store: &Store, family: &mut Family) -> Vec<WatchId> {
    let mut watches = vec![family.watch];
    while watches.len() < WATCHES {
        watches.push(family.add_watch(store).await);
    }
    watches
}

/// A few orders of each watch, all at once, at prices of this seed: those that a rule approves are paid, but for every eighth.
pub(super) async fn orders_at_once(
    store: &Store,
    shop: &Shop,
    family: &Family,
    watches: &[WatchId],
    seed: u64,
) -> Vec<Came> {
    let family = Arc::new(family.clone());
    let mut tasks = JoinSet::new();
    for (number, watch) in watches.iter().copied().cycle().take(watches.len() * ORDERS).enumerate() {
        let (store, family, shop) = (store.clone(), Arc::clone(&family), shop.clone());
        tasks.spawn(async move {
            let mut rng = Rng::new(seed ^ u64::try_from(number).expect("small"));
            let bill = shop.sell(&store, &[rng.between(1, MAX_PRICE)]).await;
            let row = loop {
                match store.place_order(family.order_from(watch, &bill, START), START).await {
                    Ok(row) => break row,
                    // Another of this watch's is under way.
                    Err(StoreError::OrderOpen) => tokio::task::yield_now().await,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            };
            let asked = matches!(row.state, OrderState::Waiting { .. });
            let row = match rng.below(8) {
                given_up if asked || given_up == 0 => {
                    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled")
                }
                _ => store.pay(payment(&row, START), START).await.expect("a payment"),
            };
            let is_paid = row.state == (OrderState::Ended { outcome: OutcomeKind::Paid });
            Came { watch, paid: if is_paid { row.total.minor() } else { 0 }, asked }
        });
    }
    tasks.join_all().await
}

/// Hundreds of watches pay at once, each under a rule of its own: what the rules let through never goes over a cap by one unit.
pub async fn caps_hold_whatever_comes_at_once(store: &Store) {
    let seed = u64::from_be_bytes(fresh());
    let mut rng = Rng::new(seed);
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000_000).await;
    let mut caps = Vec::new();
    for watch in many_watches(store, &mut family).await {
        let cap = rng.between(MAX_PRICE / 2, 2 * MAX_PRICE);
        let (per_day, per_week) = (Some(cny(cap)), Some(cny(cap)));
        rule(store, &mut family, Mandate { per_day, per_week, ..snacks(watch) }).await;
        caps.push((watch, cap));
    }
    let watches: Vec<WatchId> = caps.iter().map(|(watch, _)| *watch).collect();
    let came = orders_at_once(store, &shop, &family, &watches, seed).await;
    assert!(came.iter().any(|one| one.asked) && came.iter().any(|one| one.paid > 0), "seed {seed}");
    let sums = store.mandate_sums(family.household).await.expect("a read");
    for (watch, cap) in caps {
        let own = || came.iter().filter(|one| one.watch == watch);
        let paid: i64 = own().map(|one| one.paid).sum();
        assert!(paid <= cap, "seed {seed}: {paid} of {cap}");
        // Orders of one watch come one after the other: what was asked did not fit.
        assert!(paid > cap - MAX_PRICE || own().all(|one| !one.asked), "seed {seed}: {paid} of {cap}");
        for every in Every::ALL {
            let known = sums.iter().filter(|(of, period, _)| (*of, period.every) == (Some(watch), every));
            assert_eq!(known.map(|(.., spent)| spent.get()).sum::<i64>(), paid, "seed {seed}");
        }
    }
}
