//! Two nods above an amount, the caps of a whole household, guardians who are away.

use super::cast::{
    Family, MINUTE_MS, Rng, START, Shop, cancellation, cny, fresh, line_id, message, outcome_of, payment, refused,
    requote,
};
use super::guardians::{by, person, standing};
use super::mandates::{MAX_PRICE, many_watches, orders_at_once, rule, said, snacks};
use super::orders::pages_agree;
use super::requotes::ask_for;
use crate::{AnswerRequote, Audience, Decide, HouseholdEvent, OrderRow, Store, StoreError};
use nodpay_core::{
    Answer, Entry, Every, Guardian, HouseCaps, HouseRules, MAX_AWAY_MS, Mandate, NewGuardian, OrderState, OutcomeKind,
    Verdict, Why,
};

/// Two guardians who count, and what they decided about deciding.
async fn of_two(store: &Store, units: i64, rules: HouseRules) -> (Family, Guardian) {
    let mut family = Family::settle(store, units).await;
    let other = add(store, &mut family).await;
    set(store, &mut family, rules).await;
    (family, other)
}

/// Another guardian, who counts at once.
async fn add(store: &Store, family: &mut Family) -> Guardian {
    let other = person();
    let mut append =
        family.append(Entry::AddGuardian(NewGuardian { guardian: other.clone(), counts_from: START }), None);
    append.change.guardians = vec![standing(&other, START, None)];
    family.send(store, append).await.expect("added");
    other
}

async fn set(store: &Store, family: &mut Family, rules: HouseRules) {
    let append = family.append(Entry::SetHouseRules(rules), None);
    family.send(store, append).await.expect("set");
    let row = store.household(family.household).await.expect("a read").expect("it is there");
    assert_eq!(row.house_rules, rules);
}

fn above(minor: i64) -> HouseRules {
    HouseRules { two_nods_above: Some(cny(minor)), ..HouseRules::default() }
}

/// The decision, which seconds the order's first nod.
fn second(mut decide: Decide, row: &OrderRow) -> Decide {
    decide.decision.first = row.first.as_ref().map(|first| first.digest);
    decide.message = message("decision", &decide.decision);
    decide
}

fn is_waiting(row: &OrderRow) -> bool {
    matches!(row.state, OrderState::Waiting { .. }) && row.decision.is_none()
}

pub async fn two_guardians_nod(store: &Store) {
    let shop = Shop::open(store).await;
    let (mut family, other) = of_two(store, 10_000, above(500)).await;

    // Up to the amount one is enough.
    let row = family.approved(store, &shop.sell(store, &[500]).await, START).await;
    assert!(matches!(row.state, OrderState::Approved { .. }) && row.first.is_none());
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");

    // Above it the first nod holds nothing; the watch hears no more of it than that it is there.
    let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let nod = family.nod(&row, START);
    let first = store.decide(nod.clone(), START).await.expect("a first nod");
    assert!(is_waiting(&first) && first.first.as_ref() == Some(&nod.message));
    assert_eq!((first.state, family.wallet(store).await), (row.state, (10_000, 0)));
    assert_eq!(store.decide(nod.clone(), START).await.as_ref(), Ok(&first), "the same, the same answer");
    assert_eq!(store.order(row.household, row.order).await.as_ref(), Ok(&Some(first.clone())));
    pages_agree(store, &family, Some(&first)).await;
    let told = store.events_after(family.household, Audience::Guardian, last, 10).await.expect("a read");
    assert_eq!(told.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Decision(row.order)]);
    let told = store.events_after(family.household, Audience::Watch(family.watch), last, 10).await.expect("a read");
    assert_eq!(told.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Order(row.order)]);
    assert_eq!(refused(store.pay(payment(&first, START), START).await), StoreError::OrderNotApproved);

    // One person is not two, and whoever has not seen the first nod does not second it.
    let own = second(family.nod(&row, START.plus_ms(1)), &first);
    assert_eq!(refused(store.decide(own, START).await), StoreError::FirstNod);
    let unseen = by(family.nod(&row, START), &other);
    assert_eq!(refused(store.decide(unseen, START).await), StoreError::FirstNod);
    // Who nodded first may say it anew; what seconds the nod before is too late.
    let late = second(by(family.nod(&row, START), &other), &first);
    let anew = store.decide(family.nod(&row, START.plus_ms(1)), START).await.expect("anew");
    assert!(is_waiting(&anew) && anew.first != first.first);
    assert_eq!(refused(store.decide(late, START).await), StoreError::FirstNod);

    let nods = second(by(family.nod(&row, START), &other), &anew);
    let row = store.decide(nods.clone(), START).await.expect("a second nod");
    assert!(matches!(row.state, OrderState::Approved { decision, .. } if decision == nods.message.digest));
    assert_eq!((row.first == anew.first, family.wallet(store).await), (true, (10_000, 600)));
    assert_eq!(store.decide(nods, START).await.as_ref(), Ok(&row));
    let row = store.pay(payment(&row, START), START).await.expect("a payment");
    assert_eq!(outcome_of(&row).decision, row.decision.as_ref().map(|decision| decision.digest));
    pages_agree(store, &family, Some(&row)).await;

    // A refusal ends it, before and after a first nod, by either.
    for (nodded, refuses) in [(false, false), (true, false), (true, true)] {
        let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
        if nodded {
            store.decide(family.nod(&row, START), START).await.expect("a first nod");
        }
        let refusal = family.refusal(&row, START);
        let row = store.decide(if refuses { refusal } else { by(refusal, &other) }, START).await.expect("a refusal");
        assert_eq!((outcome_of(&row).outcome, row.first.is_some()), (OutcomeKind::Refused, nodded));
        pages_agree(store, &family, Some(&row)).await;
    }

    // Who was removed since, or does not count, is not one of two.
    let newcomer = person();
    let mut append =
        family.append(Entry::AddGuardian(NewGuardian { guardian: newcomer.clone(), counts_from: START }), None);
    append.change.guardians = vec![standing(&newcomer, START.plus_ms(MINUTE_MS), None)];
    family.send(store, append).await.expect("added");
    let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
    let early = by(family.nod(&row, START), &newcomer);
    assert_eq!(refused(store.decide(early, START).await), StoreError::GuardianNotCounting);
    let first = store.decide(by(family.nod(&row, START), &other), START).await.expect("a first nod");
    let mut append = family.append(Entry::RemoveGuardian(other.guardian), None);
    append.change.guardians = vec![standing(&other, START, Some(START))];
    family.send(store, append).await.expect("removed");
    let of_gone = second(family.nod(&row, START), &first);
    assert_eq!(refused(store.decide(of_gone, START).await), StoreError::FirstNod);
    let row = store.decide(family.nod(&row, START), START).await.expect("now the first");
    assert!(is_waiting(&row) && row.first != first.first);

    // Loosened meanwhile: one is enough, and the first nod is over.
    set(store, &mut family, HouseRules::default()).await;
    let row = store.decide(family.nod(&row, START.plus_ms(2)), START).await.expect("a nod");
    assert!(matches!(row.state, OrderState::Approved { .. }) && row.first.is_none());
}

pub async fn a_requote_ends_the_first_nod(store: &Store) {
    let shop = Shop::open(store).await;
    let (family, other) = of_two(store, 10_000, above(500)).await;
    let bill = shop.sell(store, &[600, 300]).await;
    let row = family.place(store, &bill, START).await;
    let first = store.decide(family.nod(&row, START), START).await.expect("a first nod");
    let ask = ask_for(&row, "l1");
    let revision = store.ask_requote(ask.clone(), START).await.expect("an ask").revision;
    let (reduced, message) = requote(&bill, shop.merchant, revision, 550);
    let answer = AnswerRequote { merchant: shop.merchant, ask: ask.ask, bill: reduced, message };
    store.answer_requote(answer, START).await.expect("an answer");
    let row = store.order(row.household, row.order).await.expect("a read").expect("the order");
    assert!(is_waiting(&row) && row.first.is_none());
    let told = store.events_after(family.household, Audience::Watch(family.watch), 0, 100).await.expect("a read");
    let of_nods = told.iter().filter(|told| told.event == HouseholdEvent::Order(row.order)).count();
    assert_eq!(of_nods, 2, "that it is there, and that it is not any more");
    let nod = |family: &Family| family.decision(&row, Verdict::Approve, cny(550), &[line_id("l1")], START);
    let late = second(by(nod(&family), &other), &first);
    assert_eq!(refused(store.decide(late, START).await), StoreError::FirstNod);
    let first = store.decide(nod(&family), START).await.expect("a first nod");
    let row = store.decide(second(by(nod(&family), &other), &first), START).await.expect("a second nod");
    assert_eq!((row.total, family.wallet(store).await), (cny(550), (10_000, 550)));
}

/// Three guardians tap at the same instant, some who saw a first nod and some who did not: one first nod, one second nod, or a
/// refusal.
pub async fn nods_at_once(store: &Store) {
    let shop = Shop::open(store).await;
    let (mut family, other) = of_two(store, 1_000, above(100)).await;
    let third = add(store, &mut family).await;
    for round in 0..30 {
        let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
        let nod = |at: i64| family.nod(&row, START.plus_ms(at));
        // All three unseen: one is first.
        let (a, b, c) = tokio::join!(
            store.decide(nod(0), START),
            store.decide(by(nod(0), &other), START),
            store.decide(by(nod(0), &third), START)
        );
        let taken: Vec<OrderRow> = [a, b, c].into_iter().filter_map(Result::ok).collect();
        let [first] = taken.as_slice() else { panic!("{} first nods", taken.len()) };
        let mut others = vec![family.guardian, other.guardian, third.guardian];
        others.retain(|guardian| *guardian != said_by(first));
        let of = |guardian, mut decide: Decide| {
            decide.decision.guardian = guardian;
            decide.message = message("decision", &decide.decision);
            second(decide, first)
        };
        let refusal = round % 3 == 0;
        let one = of(others[0], nod(1));
        let two = if refusal { by(family.refusal(&row, START), &third) } else { of(others[1], nod(1)) };
        let (one, two) = tokio::join!(store.decide(one, START), store.decide(two, START));
        assert!(one.is_ok() != two.is_ok(), "each decision counts once, and one of them ends the asking");
        let row = store.order(row.household, row.order).await.expect("a read").expect("the order");
        match row.state {
            OrderState::Approved { .. } => {
                assert_eq!(family.wallet(store).await, (1_000, 600));
                store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
            }
            OrderState::Ended { outcome } => assert_eq!((outcome, refusal), (OutcomeKind::Refused, true)),
            OrderState::Waiting { .. } | OrderState::Holding { .. } | OrderState::Paying { .. } => panic!("decided"),
        }
        assert_eq!(family.wallet(store).await, (1_000, 0));
    }
}

/// Whose the first nod is.
fn said_by(row: &OrderRow) -> nodpay_core::GuardianId {
    let wire = &row.first.as_ref().expect("a first nod").wire;
    let said: nodpay_core::Decision =
        serde_json::from_str(wire.strip_prefix("decision:").expect("of this module")).expect("a decision");
    said.guardian
}

pub async fn rules_ask_where_two_must_nod(store: &Store) {
    let shop = Shop::open(store).await;
    let (mut family, other) = of_two(store, 10_000, above(300)).await;
    let snacks = snacks(family.watch);
    rule(store, &mut family, snacks).await;
    let row = family.place(store, &shop.sell(store, &[300]).await, START).await;
    assert_eq!(said(&row), Some(Answer::Approve));
    store.pay(payment(&row, START), START).await.expect("a payment");
    let row = family.place(store, &shop.sell(store, &[301]).await, START).await;
    assert_eq!(said(&row), Some(Answer::Ask(Why::TwoNods)));
    let row = store.decide(family.nod(&row, START), START).await.expect("a first nod");
    let row = store.decide(second(by(family.nod(&row, START), &other), &row), START).await.expect("a second nod");
    assert!(matches!(row.state, OrderState::Approved { .. }));
}

pub async fn a_household_has_caps(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 10_000).await;
    let caps = HouseCaps { utc_minutes: 480, per_day: Some(cny(700)), per_week: None, per_month: None };
    let rules = HouseRules { caps: Some(caps), ..HouseRules::default() };
    set(store, &mut family, rules).await;
    let (one, two) = (family.watch, family.add_watch(store).await);
    rule(store, &mut family, snacks(one)).await;
    let order = async |family: &Family, watch, price: i64| {
        let bill = shop.sell(store, &[price]).await;
        store.place_order(family.order_from(watch, &bill, START), START).await.expect("an order")
    };
    // A watch without a rule counts too.
    let row = order(&family, two, 300).await;
    assert_eq!((said(&row), row.judged.is_some()), (None, true));
    store.decide(family.nod(&row, START), START).await.expect("a nod");
    let row = order(&family, one, 401).await;
    assert_eq!(said(&row), Some(Answer::Ask(Why::HouseDay)));
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    let row = order(&family, one, 400).await;
    assert_eq!(said(&row), Some(Answer::Approve));
    pages_agree(store, &family, Some(&row)).await;
    store.pay(payment(&row, START), START).await.expect("a payment");
    assert_eq!(house_spent(store, &family, caps, Every::Day).await, 700);
    // A guardian goes beyond, and that counts; what is given back does not.
    let row = order(&family, one, 100).await;
    assert_eq!(said(&row), Some(Answer::Ask(Why::HouseDay)));
    let row = store.decide(family.nod(&row, START), START).await.expect("a nod");
    assert_eq!(house_spent(store, &family, caps, Every::Day).await, 800);
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    assert_eq!(house_spent(store, &family, caps, Every::Month).await, 700);

    let euros = nodpay_core::Amount::new(cny(1).units(), nodpay_core::Currency::EUR);
    let foreign = HouseRules { two_nods_above: Some(euros), ..HouseRules::default() };
    let append = family.append(Entry::SetHouseRules(foreign), None);
    assert_eq!(refused(store.append_log(append, START).await), StoreError::CurrencyNotSupported);
}

async fn house_spent(store: &Store, family: &Family, caps: HouseCaps, every: Every) -> i64 {
    let period = caps.period(every, START);
    let sums = store.mandate_sums(family.household).await.expect("a read");
    let found = sums.into_iter().find(|(of, known, _)| (*of, *known) == (None, period));
    found.map_or(0, |(.., spent)| spent.get())
}

/// Hundreds of watches pay at once, each within its own rule: together they never go over the household's cap by one unit.
pub async fn household_caps_hold_whatever_comes_at_once(store: &Store) {
    let seed = u64::from_be_bytes(fresh());
    let cap = Rng::new(seed).between(20 * MAX_PRICE, 60 * MAX_PRICE);
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000_000).await;
    let watches = many_watches(store, &mut family).await;
    let caps = HouseCaps { utc_minutes: 480, per_day: Some(cny(cap)), per_week: Some(cny(cap)), per_month: None };
    set(store, &mut family, HouseRules { caps: Some(caps), ..HouseRules::default() }).await;
    for watch in &watches {
        rule(store, &mut family, Mandate { per_day: None, ..snacks(*watch) }).await;
    }
    let came = orders_at_once(store, &shop, &family, &watches, seed).await;
    let mut paid: i64 = came.iter().map(|one| one.paid).sum();
    assert!(paid <= cap && came.iter().any(|one| one.asked), "seed {seed}: {paid} of {cap}");
    // What was given back while others were asked is there again, and no more.
    loop {
        let bill = shop.sell(store, &[MAX_PRICE]).await;
        let row = store.place_order(family.order(&bill, START), START).await.expect("an order");
        if said(&row) != Some(Answer::Approve) {
            break;
        }
        store.pay(payment(&row, START), START).await.expect("a payment");
        paid += MAX_PRICE;
    }
    assert!((cap - MAX_PRICE + 1..=cap).contains(&paid), "seed {seed}: {paid} of {cap}");
    for every in Every::ALL {
        assert_eq!(house_spent(store, &family, caps, every).await, paid, "seed {seed}");
    }
}

pub async fn a_guardian_is_away(store: &Store) {
    let mut family = Family::settle(store, 0).await;
    let other = add(store, &mut family).await;
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let (household, until) = (family.household, START.plus_ms(MAX_AWAY_MS));
    store.set_away(household, other.guardian, Some(until), START).await.expect("away");
    let row = store.household(household).await.expect("a read").expect("it is there");
    assert_eq!(row.away, [(other.guardian, until)]);
    let told = store.events_after(household, Audience::Guardian, last, 10).await.expect("a read");
    assert_eq!(told.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Log(2)]);
    for wrong in [until.plus_ms(1), START] {
        let answer = store.set_away(household, other.guardian, Some(wrong), START).await;
        assert_eq!(refused(answer), StoreError::AwayTime);
    }
    let stranger = nodpay_core::GuardianId::from_bytes(fresh());
    assert_eq!(refused(store.set_away(household, stranger, None, START).await), StoreError::GuardianUnknown);
    store.set_away(household, other.guardian, None, START).await.expect("back");
    assert_eq!(store.household(household).await.expect("a read").expect("it is there").away, []);
}
