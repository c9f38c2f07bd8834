//! One order at a time.

use nodpay_core::{
    Amount, Currency, Digest, Entry, FailReason, MAX_ORDER_LIFE_MS, NewWatchCap, OrderId, OrderState, OutcomeKind,
    TransferId, Verdict, WatchId,
};

use super::cast::{
    Family, HOUR_MS, MINUTE_MS, START, Shop, cancellation, cny, fresh, line_id, message, outcome_of, payment, refused,
    report, ticked,
};
use crate::{
    Audience, BillState, BillStatus, HouseholdEvent, MAX_ORDERS_PAGE, OrderRow, PlaceOrder, Store, StoreError,
};

/// The row as reading gives it is the row that writing gave.
async fn reads_back(store: &Store, row: &OrderRow) {
    assert_eq!(store.order(row.household, row.order).await.as_ref(), Ok(&Some(row.clone())));
    let open = row.outcome.is_none().then(|| row.clone());
    assert_eq!(store.open_order(row.watch).await, Ok(open));
    assert_eq!(store.latest_order(row.watch).await.as_ref(), Ok(&Some(row.clone())));
}

async fn events(store: &Store, family: &Family, audience: Audience, after: u64) -> Vec<HouseholdEvent> {
    let events = store.events_after(family.household, audience, after, 100).await.expect("a read");
    assert!(events.is_sorted_by_key(|row| row.seq));
    events.into_iter().map(|row| row.event).collect()
}

async fn last_event(store: &Store, family: &Family) -> u64 {
    store.household(family.household).await.expect("a read").expect("the household").last_event
}

pub async fn placing_an_order(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[600, 300]).await;
    let place = family.order(&bill, START);
    let row = store.place_order(place.clone(), START.plus_ms(HOUR_MS / 2)).await.expect("an order");
    reads_back(store, &row).await;
    // The clock that counts is the service's.
    let expires = START.plus_ms(HOUR_MS / 2 + 10 * MINUTE_MS);
    assert_eq!(row.state, OrderState::Waiting { expires });
    assert_eq!(row.left_ms(expires.plus_ms(-5)), Some(5));
    assert_eq!((row.bill, row.merchant, row.total), (bill.bill, shop.merchant, cny(900)));
    assert_eq!((&row.bill_message, &row.merchant_certificate), (&bill.message, &shop.certificate));
    assert_eq!(store.place_order(place.clone(), START.plus_ms(HOUR_MS)).await.as_ref(), Ok(&row));
    let status = store.bill(bill.bill).await.expect("a read").expect("the bill").status(START);
    assert_eq!(status, BillStatus::Waiting);
    assert_eq!(store.next_deadline().await, Ok(Some(expires)));
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    assert_eq!(store.next_deadline().await, Ok(ticked(0, None).next));

    // However long the watch asks for.
    let mut long = family.order(&bill, START);
    long.order.expires = START.plus_ms(i64::MAX / 2);
    let row = store.place_order(long, START).await.expect("an order");
    assert_eq!(row.state, OrderState::Waiting { expires: START.plus_ms(MAX_ORDER_LIFE_MS) });
    assert_eq!(store.latest_order(WatchId::from_bytes(fresh())).await, Ok(None));
    let stranger = Family::settle(store, 0).await;
    assert_eq!(store.order(stranger.household, row.order).await, Ok(None));
}

pub async fn orders_that_cannot_be_placed(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 10_000).await;
    let bill = shop.sell(store, &[100]).await;
    let again = |place: &PlaceOrder, change: &dyn Fn(&mut PlaceOrder)| {
        let mut place = place.clone();
        change(&mut place);
        place.message = message("order", &place.order);
        place
    };
    let good = family.order(&bill, START);
    let stranger = Family::settle(store, 0).await;
    let unknown = again(&good, &|place| place.order.watch = WatchId::from_bytes(fresh()));
    assert_eq!(refused(store.place_order(unknown, START).await), StoreError::WatchUnknown);
    let foreign = again(&good, &|place| place.order.watch = stranger.watch);
    assert_eq!(refused(store.place_order(foreign, START).await), StoreError::WatchUnknown);
    let no_bill = again(&good, &|place| place.order.bill = Digest::from_bytes(fresh()));
    assert_eq!(refused(store.place_order(no_bill, START).await), StoreError::BillUnknown);

    let row = store.place_order(good.clone(), START).await.expect("an order");
    let reused = again(&good, &|place| place.order.reason = Some(nodpay_core::Text::new("美术课").expect("a reason")));
    assert_eq!(refused(store.place_order(reused, START).await), StoreError::OrderIdReused);
    let replayed = again(&good, &|place| place.order.order = OrderId::from_bytes(fresh()));
    assert_eq!(refused(store.place_order(replayed, START).await), StoreError::NonceReused);
    assert_eq!(refused(store.place_order(family.order(&bill, START), START).await), StoreError::OrderOpen);

    // An open order whose time is over does not stand in the way.
    let later = START.plus_ms(20 * MINUTE_MS);
    let next = store.place_order(family.order(&bill, later), later).await.expect("the old one ended");
    let old = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(old.state, OrderState::Ended { outcome: OutcomeKind::Expired });
    store.cancel_order(cancellation(&next, later), later).await.expect("cancelled");

    let late = store.place_order(family.order(&bill, START), bill.deadline).await;
    assert_eq!(refused(late), StoreError::BillExpired);
    let gone = shop.sell(store, &[100]).await;
    store.cancel_bill(shop.merchant, gone.bill, START).await.expect("cancelled");
    assert_eq!(refused(store.place_order(family.order(&gone, START), START).await), StoreError::BillCancelled);
    let sold = shop.sell(store, &[100]).await;
    family.paid(store, &sold, START).await;
    assert_eq!(refused(store.place_order(family.order(&sold, START), START).await), StoreError::BillAlreadyPaid);
    let abroad = Family::settle_in(store, 1_000, Currency::EUR).await;
    let error = refused(store.place_order(abroad.order(&bill, START), START).await);
    assert_eq!(error, StoreError::CurrencyNotSupported);

    // A new watch has a lower cap.
    let young = WatchId::from_bytes(fresh());
    let until = START.plus_ms(10 * MINUTE_MS);
    let mut enrol = family.enrolment(young, family.wearer);
    if let Entry::EnrolWatch(watch) = &mut enrol.entry.entry {
        watch.new_watch_cap = NewWatchCap { until, per_payment: cny(99) };
    }
    enrol.message = message("log", &enrol.entry);
    family.send(store, enrol).await.expect("an enrolment");
    let capped = family.order_from(young, &bill, START);
    assert_eq!(refused(store.place_order(capped.clone(), START).await), StoreError::OverNewWatchCap);
    store.place_order(capped, until).await.expect("the cooling-off is over");
}

pub async fn a_whole_payment(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let other_watch = family.add_watch(store).await;
    let last = last_event(store, &family).await;
    let bill = shop.sell(store, &[600, 300]).await;
    let row = family.place(store, &bill, START).await;

    // One line is struck.
    let now = START.plus_ms(MINUTE_MS);
    let decide = family.decision(&row, Verdict::Approve, cny(600), &[line_id("l1")], now);
    let row = store.decide(decide.clone(), now).await.expect("a decision");
    reads_back(store, &row).await;
    let mut hold = [0; 16];
    hold.copy_from_slice(&decide.message.digest.as_bytes()[..16]);
    let hold = TransferId::from_bytes(hold);
    let pay_by = now.plus_ms(5 * MINUTE_MS);
    let decision = decide.message.digest;
    assert_eq!(row.state, OrderState::Approved { decision, hold, total: cny(600), pay_by });
    assert_eq!((row.total, row.struck.as_slice()), (cny(600), &[line_id("l1")][..]));
    assert_eq!(family.wallet(store).await, (1_000, 600));
    let shown = store.bill(bill.bill).await.expect("a read").expect("the bill");
    assert_eq!((shown.status(now), shown.current_total()), (BillStatus::Approved, cny(600)));
    assert_eq!(shown.struck(), [line_id("l1")]);
    assert_eq!(store.decide(decide.clone(), now).await.as_ref(), Ok(&row));
    assert_eq!(refused(store.evidence(family.household, row.order).await), StoreError::OrderNotEnded);

    let mut other = payment(&row, now);
    other.payment.total = cny(900);
    assert_eq!(refused(store.pay(other.clone(), now).await), StoreError::WrongTotal);
    other.payment.decision = Some(Digest::from_bytes(fresh()));
    assert_eq!(refused(store.pay(other.clone(), now).await), StoreError::OtherDecision);
    other.payment.order = Digest::from_bytes(fresh());
    assert_eq!(refused(store.pay(other.clone(), now).await), StoreError::OtherOrder);
    other.order = OrderId::from_bytes(fresh());
    assert_eq!(refused(store.pay(other, now).await), StoreError::OrderUnknown);

    let pay = payment(&row, now);
    let row = store.pay(pay.clone(), now).await.expect("a payment");
    reads_back(store, &row).await;
    assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Paid });
    assert_eq!(family.wallet(store).await, (400, 0));
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(600)));
    assert_eq!(store.pay(pay.clone(), now).await.as_ref(), Ok(&row));
    assert_eq!(store.decide(decide, now).await.as_ref(), Ok(&row));
    let outcome = outcome_of(&row);
    assert_eq!((outcome.outcome, outcome.reason, outcome.total), (OutcomeKind::Paid, None, cny(600)));
    assert_eq!((outcome.order, outcome.household, outcome.watch), (row.message.digest, family.household, family.watch));
    assert_eq!((outcome.decision, outcome.payment), (Some(decision), Some(pay.message.digest)));
    assert_eq!((outcome.cancel, outcome.transfer), (None, Some(hold)));
    assert_eq!((outcome.log_head, outcome.at), (family.head(), now));
    let shown = store.bill(bill.bill).await.expect("a read").expect("the bill");
    assert_eq!(shown.state, BillState::Consumed(family.household, row.order));
    assert_eq!((shown.status(now), shown.current_total()), (BillStatus::Paid, cny(600)));
    let cancelled = store.cancel_bill(shop.merchant, bill.bill, now).await;
    assert_eq!(refused(cancelled), StoreError::BillAlreadyPaid);

    let report = report(&row, OutcomeKind::Paid, now);
    let row = store.report_result(report, now).await.expect("a result");
    reads_back(store, &row).await;
    let evidence = store.evidence(family.household, row.order).await.expect("evidence");
    assert_eq!(evidence.order, row);
    assert_eq!(evidence.wearer, family.name);
    let wires: Vec<_> = family.entries.iter().map(|(_, message)| message.wire.clone()).collect();
    assert_eq!(evidence.log, wires);

    // The log goes on; the evidence stays as it was.
    family.add_watch(store).await;
    assert_eq!(store.evidence(family.household, row.order).await, Ok(evidence));

    let order = row.order;
    let guardian = events(store, &family, Audience::Guardian, last).await;
    let expected = [
        HouseholdEvent::Order(order),
        HouseholdEvent::Decision(order),
        HouseholdEvent::Outcome(order),
        HouseholdEvent::Balance,
        HouseholdEvent::Result(order),
        HouseholdEvent::Log(3),
    ];
    assert_eq!(guardian, expected);
    let watch = events(store, &family, Audience::Watch(family.watch), last).await;
    assert_eq!(watch, [HouseholdEvent::Decision(order), HouseholdEvent::Outcome(order), HouseholdEvent::Log(3)]);
    let other = events(store, &family, Audience::Watch(other_watch), last).await;
    assert_eq!(other, [HouseholdEvent::Balance, HouseholdEvent::Log(3)]);
}

pub async fn refusing(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[600]).await;
    let row = family.place(store, &bill, START).await;
    let last = last_event(store, &family).await;
    let mut refusal = family.refusal(&row, START);
    refusal.decision.guardian = nodpay_core::GuardianId::from_bytes(fresh());
    assert_eq!(refused(store.decide(refusal.clone(), START).await), StoreError::GuardianUnknown);
    refusal.decision.guardian = family.guardian;
    for total in [cny(0), cny(601), Amount::new(row.total.units(), Currency::EUR)] {
        let mut wrong = refusal.clone();
        wrong.decision.total = total;
        assert_eq!(refused(store.decide(wrong, START).await), StoreError::WrongTotal);
    }
    refusal.counter = 3;
    let row = store.decide(refusal.clone(), START).await.expect("taken in");
    reads_back(store, &row).await;
    assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Refused });
    assert_eq!(store.decide(refusal.clone(), START).await.as_ref(), Ok(&row));
    let outcome = outcome_of(&row);
    assert_eq!((outcome.decision, outcome.total), (Some(refusal.message.digest), cny(600)));
    assert_eq!((outcome.payment, outcome.transfer, outcome.reason), (None, None, None));
    assert_eq!(family.wallet(store).await, (1_000, 0));
    // The refusal reaches the asker.
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        assert_eq!(events(store, &family, audience, last).await, [HouseholdEvent::Outcome(row.order)]);
    }
    let evidence = store.evidence(family.household, row.order).await.expect("evidence");
    assert_eq!(evidence.order.decision, Some(refusal.message));

    // The bill can be ordered again; the copied passkey cannot decide.
    let status = async || store.bill(bill.bill).await.expect("a read").expect("the bill").status(START);
    assert_eq!(status().await, BillStatus::Refused);
    let again = family.place(store, &bill, START).await;
    assert_eq!(status().await, BillStatus::Waiting);
    let mut nod = family.nod(&again, START);
    nod.counter = 3;
    assert_eq!(refused(store.decide(nod.clone(), START).await), StoreError::CounterReplayed);
    reads_back(store, &again).await;
    nod.counter = 4;
    store.decide(nod, START).await.expect("the counter went up");
}

pub async fn cancelling(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    for approve in [false, true] {
        let bill = shop.sell(store, &[600]).await;
        let mut row = family.place(store, &bill, START).await;
        if approve {
            row = store.decide(family.nod(&row, START), START).await.expect("a decision");
        }
        let cancel = cancellation(&row, START);
        let mut other = cancel.clone();
        other.cancel.order = Digest::from_bytes(fresh());
        assert_eq!(refused(store.cancel_order(other, START).await), StoreError::OtherOrder);
        let row = store.cancel_order(cancel.clone(), START).await.expect("cancelled");
        reads_back(store, &row).await;
        assert_eq!(store.cancel_order(cancel.clone(), START).await.as_ref(), Ok(&row));
        let outcome = outcome_of(&row);
        assert_eq!((outcome.outcome, outcome.cancel), (OutcomeKind::Cancelled, Some(cancel.message.digest)));
        assert_eq!((outcome.payment, outcome.decision.is_some()), (None, approve));
        assert_eq!(family.wallet(store).await, (1_000, 0));
        let status = store.bill(bill.bill).await.expect("a read").expect("the bill").status(START);
        assert_eq!(status, BillStatus::Cancelled);
        assert_eq!(
            refused(store.pay(payment(&row, START), START).await),
            StoreError::OrderEnded(OutcomeKind::Cancelled)
        );
    }
    let nothing = CancelUnknown::of(&family, &shop, store).await;
    assert_eq!(refused(store.cancel_order(nothing, START).await), StoreError::OrderUnknown);
}

/// A cancellation of an order that was never sent.
struct CancelUnknown;

impl CancelUnknown {
    async fn of(family: &Family, shop: &Shop, store: &Store) -> crate::CancelOrder {
        let bill = shop.sell(store, &[1]).await;
        let row = family.place(store, &bill, START).await;
        let mut cancel = cancellation(&row, START);
        cancel.order = OrderId::from_bytes(fresh());
        cancel
    }
}

pub async fn expiring(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let expired = OrderState::Ended { outcome: OutcomeKind::Expired };

    // By the clock: waiting, then approved.
    let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
    let over = row.state.deadline().expect("it waits");
    let early = store.tick(over.plus_ms(-1)).await;
    assert_eq!(early, Ok(ticked(0, Some(over))));
    assert_eq!(store.tick(over).await, Ok(ticked(1, None)));
    let row = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(row.state, expired);
    assert_eq!(outcome_of(&row).at, over);
    let row = family.approved(store, &shop.sell(store, &[600]).await, START).await;
    assert_eq!(family.wallet(store).await, (1_000, 600));
    let pay_by = row.state.deadline().expect("it is approved");
    assert_eq!(store.tick(pay_by).await, Ok(ticked(1, None)));
    let row = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!((row.state, outcome_of(&row).decision.is_some()), (expired, true));
    assert_eq!(family.wallet(store).await, (1_000, 0));

    // By whatever comes too late: the order ends, and stays ended.
    for late in ["nod", "refusal", "cancel", "pay"] {
        let last = last_event(store, &family).await;
        let mut row = family.place(store, &shop.sell(store, &[600]).await, START).await;
        if late == "pay" {
            row = store.decide(family.nod(&row, START), START).await.expect("a decision");
        }
        let over = row.state.deadline().expect("it is open");
        let error = match late {
            "nod" => refused(store.decide(family.nod(&row, over), over).await),
            "refusal" => refused(store.decide(family.refusal(&row, over), over).await),
            "cancel" => refused(store.cancel_order(cancellation(&row, over), over).await),
            _ => refused(store.pay(payment(&row, over), over).await),
        };
        assert_eq!(error, StoreError::OrderExpired, "{late}");
        let row = store.order(family.household, row.order).await.expect("a read").expect("the order");
        assert_eq!(row.state, expired, "{late}");
        assert_eq!((row.cancel, row.payment), (None, None), "{late}");
        assert_eq!(family.wallet(store).await, (1_000, 0), "{late}");
        let told = events(store, &family, Audience::Watch(family.watch), last).await;
        assert_eq!(told.last(), Some(&HouseholdEvent::Outcome(row.order)), "{late}");
        assert_eq!(store.tick(over).await, Ok(ticked(0, None)), "{late}");
    }
}

pub async fn bills_that_go_away(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let failed = |row: &OrderRow| {
        assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Failed });
        outcome_of(row).reason.expect("a reason")
    };
    let current =
        async |row: &OrderRow| store.order(row.household, row.order).await.expect("a read").expect("the order");

    // Cancelled by the merchant while the guardian thinks, or after the nod.
    for approve in [false, true] {
        let bill = shop.sell(store, &[600]).await;
        let row =
            if approve { family.approved(store, &bill, START).await } else { family.place(store, &bill, START).await };
        store.cancel_bill(shop.merchant, bill.bill, START).await.expect("cancelled");
        let row = current(&row).await;
        assert_eq!(failed(&row), FailReason::BillCancelled);
        assert_eq!(family.wallet(store).await, (1_000, 0));
        let error = refused(store.pay(payment(&row, START), START).await);
        assert_eq!(error, StoreError::OrderEnded(OutcomeKind::Failed));
    }

    // The bill's time is over before the order's.
    let short = 2 * MINUTE_MS;
    let over = START.plus_ms(short);
    let row = family.place(store, &shop.sell_for(store, &[600], short).await, START).await;
    assert_eq!(store.next_deadline().await, Ok(Some(over)));
    let row = store.decide(family.nod(&row, over), over).await.expect("taken in");
    assert_eq!((failed(&row), outcome_of(&row).decision.is_some()), (FailReason::BillExpired, true));
    let row = family.approved(store, &shop.sell_for(store, &[600], short).await, START).await;
    let pay = payment(&row, over);
    let row = store.pay(pay.clone(), over).await.expect("taken in");
    assert_eq!((failed(&row), outcome_of(&row).payment), (FailReason::BillExpired, Some(pay.message.digest)));
    assert_eq!(family.wallet(store).await, (1_000, 0));
    assert_eq!(store.pay(pay, over).await, Ok(row));
    let row = family.place(store, &shop.sell_for(store, &[600], short).await, START).await;
    assert_eq!(store.tick(over).await.map(|ticked| ticked.ended), Ok(1));
    assert_eq!(failed(&current(&row).await), FailReason::BillExpired);
}

pub async fn results(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let row = family.approved(store, &shop.sell(store, &[600]).await, START).await;
    let error = refused(store.report_result(report(&row, OutcomeKind::Paid, START), START).await);
    assert_eq!(error, StoreError::OrderNotEnded);
    let row = store.pay(payment(&row, START), START).await.expect("a payment");
    let error = refused(store.report_result(report(&row, OutcomeKind::Failed, START), START).await);
    assert_eq!(error, StoreError::OtherOutcome);
    let mut other = report(&row, OutcomeKind::Paid, START);
    other.result.outcome = Digest::from_bytes(fresh());
    assert_eq!(refused(store.report_result(other.clone(), START).await), StoreError::OtherOutcome);
    other.result.order = Digest::from_bytes(fresh());
    assert_eq!(refused(store.report_result(other.clone(), START).await), StoreError::OtherOrder);
    other.order = OrderId::from_bytes(fresh());
    assert_eq!(refused(store.report_result(other, START).await), StoreError::OrderUnknown);

    let last = last_event(store, &family).await;
    let first = report(&row, OutcomeKind::Paid, START);
    let row = store.report_result(first.clone(), START).await.expect("a result");
    assert_eq!(row.result, Some(first.message.clone()));
    reads_back(store, &row).await;
    assert_eq!(store.report_result(first, START).await.as_ref(), Ok(&row));
    let later = report(&row, OutcomeKind::Paid, START.plus_ms(1));
    assert_eq!(store.report_result(later, START).await.as_ref(), Ok(&row));
    let told = events(store, &family, Audience::Guardian, last).await;
    assert_eq!(told, [HouseholdEvent::Result(row.order)]);
}

pub async fn pages_of_orders(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[1]).await;
    let mut placed = Vec::new();
    for _ in 0..55 {
        let row = family.place(store, &bill, START).await;
        store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
        placed.insert(0, row.order);
    }
    let page = async |before, limit| {
        let rows = store.orders(family.household, before, limit).await.expect("a page");
        rows.into_iter().map(|row| row.order).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3).await, placed[..3]);
    assert_eq!(page(Some(placed[2]), 3).await, placed[3..6]);
    assert_eq!(page(Some(placed[52]), 10).await, placed[53..]);
    assert_eq!(page(Some(placed[54]), 10).await, []);
    assert_eq!(page(None, 1_000).await.len(), usize::try_from(MAX_ORDERS_PAGE).expect("small"));
    let unknown = store.orders(family.household, Some(OrderId::from_bytes(fresh())), 3).await;
    assert_eq!(refused(unknown), StoreError::OrderUnknown);
    let stranger = Family::settle(store, 0).await;
    assert_eq!(store.orders(stranger.household, None, 3).await, Ok(Vec::new()));
}

pub async fn events_go_to_whom_they_concern(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 10_000).await;
    let second = family.add_watch(store).await;
    let last = last_event(store, &family).await;
    let mut topics = store.subscribe();
    let bill = shop.sell(store, &[100]).await;
    let row = store.place_order(family.order_from(second, &bill, START), START).await.expect("an order");
    let row = store.decide(family.nod(&row, START), START).await.expect("a decision");
    store.pay(payment(&row, START), START).await.expect("a payment");
    let first = events(store, &family, Audience::Watch(family.watch), last).await;
    assert_eq!(first, [HouseholdEvent::Balance]);
    let told = events(store, &family, Audience::Watch(second), last).await;
    assert_eq!(told, [HouseholdEvent::Decision(row.order), HouseholdEvent::Outcome(row.order)]);
    let mut seen = Vec::new();
    while let Ok(topic) = topics.try_recv() {
        seen.push(topic);
    }
    assert!(seen.contains(&crate::Topic::Household(family.household)));
    assert!(seen.contains(&crate::Topic::Merchant(shop.merchant)));

    // Reading on from a number, a few at a time, misses nothing.
    let all = store.events_after(family.household, Audience::Guardian, 0, 100).await.expect("a read");
    let mut walked = Vec::new();
    loop {
        let after = walked.last().map_or(0, |row: &crate::EventRow| row.seq);
        let page = store.events_after(family.household, Audience::Guardian, after, 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, all);
    let other = Family::settle(store, 0).await;
    let foreign = store.events_after(other.household, Audience::Watch(family.watch), 0, 100).await.expect("a read");
    assert!(foreign.iter().all(|row| matches!(row.event, HouseholdEvent::Log(_))), "no order of another household");
}

/// From memory or from the database, wherever a stream stands.
pub(super) async fn pages_agree(store: &Store, family: &Family, order: Option<&OrderRow>) {
    let last = last_event(store, family).await;
    let wallet = store.wallet(family.household).await.expect("a read");
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        for after in 0..=last {
            let events = store.events_after(family.household, audience, after, 100).await.expect("a read");
            let page = store.events_page(family.household, audience, after, 100).await.expect("a read");
            assert_eq!((&page.events, page.is_full), (&events, false), "{audience:?} after {after}");
            assert!(page.read_to <= last && events.iter().all(|row| row.seq <= page.read_to));
            for row in &page.orders {
                let stored = store.order(row.household, row.order).await.expect("a read");
                assert_eq!(stored.as_ref(), Some(&**row), "{audience:?} after {after}");
            }
            let outcomes = events.iter().filter(|row| row.event.kind() == "outcome");
            let outcomes = outcomes.filter_map(|row| row.event.order());
            outcomes.for_each(|order| assert!(page.order(order).is_some()));
            assert!(page.balance.is_none_or(|balance| Some(balance) == wallet), "{audience:?} after {after}");
        }
    }
    if let Some(row) = order {
        let stored = store.order(row.household, row.order).await.expect("a read").expect("the order");
        let at_hand = store.order_at_hand(row.household, row.order);
        assert!(at_hand.is_none_or(|known| *known == stored));
    }
}

pub async fn pages_of_events_say_what_the_database_says(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 5_000).await;
    pages_agree(store, &family, None).await;
    for lines in 1..8 {
        let row = family.place(store, &shop.sell(store, &vec![10; lines]).await, START).await;
        assert_eq!(store.order_at_hand(row.household, row.order).as_deref(), Some(&row));
        pages_agree(store, &family, Some(&row)).await;
        let row = store.decide(family.nod(&row, START), START).await.expect("a nod");
        assert_eq!(store.order_at_hand(row.household, row.order).as_deref(), Some(&row));
        pages_agree(store, &family, Some(&row)).await;
        let row = store.pay(payment(&row, START), START).await.expect("paid");
        pages_agree(store, &family, Some(&row)).await;
        let row = store.report_result(report(&row, OutcomeKind::Paid, START), START).await.expect("told");
        pages_agree(store, &family, Some(&row)).await;
    }
    // What changes an order without giving it back.
    let bill = shop.sell(store, &[10]).await;
    let row = family.place(store, &bill, START).await;
    store.cancel_bill(shop.merchant, bill.bill, START).await.expect("cancelled");
    pages_agree(store, &family, Some(&row)).await;
    let bill = shop.sell(store, &[10]).await;
    let row = family.place(store, &bill, START).await;
    store.tick(START.plus_ms(HOUR_MS)).await.expect("a tick");
    pages_agree(store, &family, Some(&row)).await;
}
