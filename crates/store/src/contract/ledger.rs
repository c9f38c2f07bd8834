//! What happens to money beside the payments themselves: fees, refunds, pocket money, freezes, close-outs, and the books of
//! merchants with their payouts.

use nodpay_core::{
    Amount, BasisPoints, BillId, Currency, Day, Every, FailReason, HouseholdId, Iban, MAX_MINOR, OrderState,
    OutcomeKind, ScheduleId, Text, Timestamp, TransferId,
};
use tokio::task::JoinSet;

use super::cast::{
    Family, HOUR_MS, MINUTE_MS, START, Shop, cancellation, cny, fresh, merchant_events, minor, outcome_of, payment,
    refused,
};
use crate::{
    Audience, BillRow, CLOSING_GRACE_MS, CloseOut, HouseholdEvent, MAX_MISSED, MAX_WALLET_PAGE, MerchantEvent,
    MovementKind, NewSchedule, PayoutState, Period, Refund, RefundRow, RefundState, Store, StoreError, TokenHash,
    TopUp, WalletKind,
};

const DAY_MS: i64 = 24 * HOUR_MS;

fn transfer() -> TransferId {
    TransferId::from_bytes(fresh())
}

fn refund_of(shop: &Shop, bill: &BillRow, units: i64) -> Refund {
    Refund { merchant: shop.merchant, bill: bill.bill, refund: transfer(), amount: cny(units), reason: None }
}

fn percent(percent: u16) -> BasisPoints {
    BasisPoints::new(percent * 100).expect("at most ten percent")
}

fn iban() -> Iban {
    Iban::new("DE89370400440532013000").expect("valid")
}

fn ever() -> Period {
    Period { from: Day::MIN, to: Day::MAX }
}

async fn balance(store: &Store, shop: &Shop) -> i64 {
    store.merchant_balance(shop.merchant).await.expect("a read").minor()
}

/// Kind and change of everything that moved, in order.
async fn moved(store: &Store, shop: &Shop, period: Period) -> Vec<(&'static str, i64)> {
    let statement = store.statement(shop.merchant, period, None, 1_000).await.expect("a statement");
    assert_eq!(statement.opening.plus(statement.totals.net().expect("in range")), Ok(statement.closing));
    let sum: i64 = statement.movements.iter().map(|movement| movement.change.get()).sum();
    assert_eq!(sum, statement.closing.get() - statement.opening.get());
    statement.movements.iter().map(|movement| (movement.kind.as_str(), movement.change.get())).collect()
}

pub async fn refunding(store: &Store) {
    let (shop, other) = (Shop::open(store).await, Shop::open(store).await);
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[600]).await;
    let open = refund_of(&shop, &bill, 100);
    assert_eq!(refused(store.refund(open, START).await), StoreError::BillNotPaid);
    let row = family.paid(store, &bill, START).await;
    assert_eq!((row.refunded, balance(store, &shop).await), (cny(0), 600));
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let heard = merchant_events(store, shop.merchant, 0, 4).await[3].seq;

    let part = Refund { reason: Some(Text::new("坏了").expect("a text")), ..refund_of(&shop, &bill, 250) };
    let later = START.plus_ms(MINUTE_MS);
    let first = store.refund(part.clone(), later).await.expect("a refund");
    assert_eq!(
        first,
        RefundRow {
            refund: part.refund,
            amount: cny(250),
            reason: part.reason.clone(),
            at: later,
            state: RefundState::Done
        }
    );
    // Again, even much later: the first answer.
    assert_eq!(store.refund(part.clone(), START.plus_ms(DAY_MS)).await, Ok(first.clone()));
    for changed in [
        Refund { amount: cny(251), ..part.clone() },
        Refund { reason: None, ..part.clone() },
        Refund {
            refund: row.decision.as_ref().map_or_else(transfer, |_| outcome_of(&row).transfer.expect("paid")),
            ..part.clone()
        },
    ] {
        assert_eq!(refused(store.refund(changed, later).await), StoreError::RefundExists);
    }
    assert_eq!((family.wallet(store).await, balance(store, &shop).await), ((650, 0), 350));
    let row = store.order(row.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(row.refunded, cny(250));
    let seen = store.bill(bill.bill).await.expect("a read").expect("the bill");
    assert_eq!(seen.latest.map(|order| order.refunded), Some(cny(250)));

    let events = |audience| store.events_after(family.household, audience, last, 10);
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        let told: Vec<_> = events(audience).await.expect("a read").into_iter().map(|row| row.event).collect();
        assert_eq!(told, [HouseholdEvent::Refund(row.order), HouseholdEvent::Balance]);
    }
    let told = merchant_events(store, shop.merchant, heard, 1).await;
    assert_eq!(told.iter().map(|row| row.event).collect::<Vec<_>>(), [MerchantEvent::Bill(bill.bill)]);

    let refuse = async |refund: Refund| refused(store.refund(refund, later).await);
    assert_eq!(refuse(refund_of(&shop, &bill, 351)).await, StoreError::RefundTooLarge);
    assert_eq!(refuse(refund_of(&shop, &bill, MAX_MINOR)).await, StoreError::RefundTooLarge);
    assert_eq!(refuse(refund_of(&shop, &bill, 0)).await, StoreError::AmountNotPositive);
    assert_eq!(refuse(refund_of(&shop, &bill, -1)).await, StoreError::AmountNotPositive);
    assert_eq!(refuse(refund_of(&other, &bill, 1)).await, StoreError::BillUnknown);
    let nowhere = Refund { bill: BillId::from_bytes(fresh()), ..refund_of(&shop, &bill, 1) };
    assert_eq!(refuse(nowhere).await, StoreError::BillUnknown);
    let euro = Refund { amount: Amount::new(minor(1), Currency::EUR), ..refund_of(&shop, &bill, 1) };
    assert_eq!(refuse(euro).await, StoreError::CurrencyNotSupported);

    let rest = refund_of(&shop, &bill, 350);
    store.refund(rest.clone(), later.plus_ms(1)).await.expect("the rest");
    assert_eq!(refuse(refund_of(&shop, &bill, 1)).await, StoreError::RefundTooLarge);
    assert_eq!((family.wallet(store).await, balance(store, &shop).await), ((1_000, 0), 0));
    let all = store.refunds(family.household, row.order).await.expect("a read");
    assert_eq!(all.iter().map(|row| row.refund).collect::<Vec<_>>(), [part.refund, rest.refund]);
    // A refund's name is nobody's top-up.
    let same = TopUp { household: family.household, transfer: rest.refund, amount: cny(350) };
    assert_eq!(refused(store.top_up(same, later).await), StoreError::TransferExists);
}

/// Hundred tries at once to give back more than was paid.
pub async fn refunds_at_once(store: &Store) {
    let shop = Shop::open(store).await;
    store.set_fee(shop.merchant, percent(3)).await.expect("a fee");
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[1_000]).await;
    family.paid(store, &bill, START).await;
    let mut tasks = JoinSet::new();
    for index in 0..100 {
        let (store, refund) = (store.clone(), refund_of(&shop, &bill, 90));
        tasks.spawn(async move {
            // Some ask twice.
            if index % 3 == 0 {
                let (first, again) = tokio::join!(store.refund(refund.clone(), START), store.refund(refund, START));
                assert_eq!(first, again);
                return first.is_ok();
            }
            store.refund(refund, START).await.is_ok()
        });
    }
    let given: usize = tasks.join_all().await.into_iter().map(usize::from).sum();
    assert_eq!((given, family.wallet(store).await), (11, (990, 0)));
    // Three percent of the ten that stayed: nothing.
    assert_eq!(balance(store, &shop).await, 10);
}

pub async fn fees_are_taken_and_given_back(store: &Store) {
    let shop = Shop::open(store).await;
    assert_eq!(store.set_fee(shop.merchant, percent(1)).await, Ok(()));
    assert_eq!(refused(store.set_fee(Shop::imagine().merchant, percent(1)).await), StoreError::MerchantUnknown);
    let family = Family::settle(store, 10_000).await;
    let bill = shop.sell(store, &[1_050]).await;
    family.paid(store, &bill, START).await;
    // Ten and a half, to even.
    assert_eq!(balance(store, &shop).await, 1_040);
    // A later change is for later payments.
    store.set_fee(shop.merchant, percent(0)).await.expect("no fee");
    family.paid(store, &shop.sell(store, &[50]).await, START.plus_ms(1)).await;
    // Of 10 on 1050, 4 belong to the 450 that stay (4.29), 1 to the last 150 (1.43).
    for (units, after, ms) in [(600, 496, 2), (300, 199, 3), (150, 50, 4)] {
        store.refund(refund_of(&shop, &bill, units), START.plus_ms(ms)).await.expect("a refund");
        assert_eq!(balance(store, &shop).await, after);
    }
    assert_eq!(family.wallet(store).await, (9_950, 0));
    let mut all = moved(store, &shop, ever()).await;
    all.sort_unstable();
    let expected = [
        ("fee", -10),
        ("fee-back", 1),
        ("fee-back", 3),
        ("fee-back", 6),
        ("payment", 50),
        ("payment", 1_050),
        ("refund", -600),
        ("refund", -300),
        ("refund", -150),
    ];
    assert_eq!(all, expected);
}

pub async fn freezing_a_household(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let (second, third) = (family.add_watch(store).await, family.add_watch(store).await);
    let (one, two, three) =
        (shop.sell(store, &[100]).await, shop.sell(store, &[100]).await, shop.sell(store, &[100]).await);
    let approved = family.approved(store, &one, START).await;
    let waiting = store.place_order(family.order_from(second, &two, START), START).await.expect("an order");
    store.set_frozen(family.household, true, START).await.expect("frozen");
    store.set_frozen(family.household, true, START).await.expect("again");
    assert_eq!(store.household(family.household).await.expect("a read").map(|row| row.frozen), Some(true));

    let paid = store.pay(payment(&approved, START), START).await.expect("taken in");
    let decided = store.decide(family.nod(&waiting, START), START).await.expect("taken in");
    let placed = store.place_order(family.order_from(third, &three, START), START).await.expect("taken in");
    for row in [&paid, &decided, &placed] {
        assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Failed });
        assert_eq!(outcome_of(row).reason, Some(FailReason::HouseholdFrozen));
    }
    assert_eq!((family.wallet(store).await, balance(store, &shop).await), ((1_000, 0), 0));
    store.set_frozen(family.household, false, START).await.expect("thawed");
    family.paid(store, &one, START).await;
    assert_eq!(family.wallet(store).await, (900, 0));
    assert_eq!(refused(store.set_frozen(Family::imagine().household, true, START).await), StoreError::HouseholdUnknown);
}

pub async fn closing_a_household_out(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let close = CloseOut { household: family.household, transfer: transfer() };
    let (bill, paid) = (shop.sell(store, &[100]).await, shop.sell(store, &[300]).await);
    family.paid(store, &paid, START).await;
    let schedule = pocket_money(&family, 50, Every::Week, START.plus_ms(DAY_MS));
    store.add_schedule(schedule).await.expect("pocket money");
    let open = family.place(store, &bill, START).await;
    assert_eq!(refused(store.close_out(close, START).await), StoreError::OrdersOpen);
    store.cancel_order(cancellation(&open, START), START).await.expect("cancelled");

    assert_eq!(store.close_out(close, START).await, Ok(cny(700)));
    assert_eq!(store.close_out(close, START).await, Ok(cny(700)));
    let other = CloseOut { transfer: transfer(), ..close };
    assert_eq!(refused(store.close_out(other, START).await), StoreError::HouseholdClosed);
    let row = store.household(family.household).await.expect("a read").expect("it is there");
    assert!(row.closed && family.wallet(store).await == (0, 0));
    let order = family.order(&bill, START);
    assert_eq!(refused(store.place_order(order, START).await), StoreError::HouseholdClosed);
    let top_up = TopUp { household: family.household, transfer: transfer(), amount: cny(1) };
    assert_eq!(refused(store.top_up(top_up, START).await), StoreError::HouseholdClosed);
    let more = pocket_money(&family, 50, Every::Day, START);
    assert_eq!(refused(store.add_schedule(more).await), StoreError::HouseholdClosed);
    assert_eq!(refused(store.refund(refund_of(&shop, &paid, 1), START).await), StoreError::HouseholdClosed);
    let ended = store.schedules(family.household).await.expect("a read");
    assert_eq!(ended.first().map(|row| row.next_due), Some(None));
    assert_eq!(store.tick(START.plus_ms(3 * DAY_MS)).await.map(|ticked| ticked.topped_up), Ok(0));

    // An empty one moves nothing, and is closed all the same.
    let empty = Family::settle(store, 0).await;
    let close = CloseOut { household: empty.household, transfer: transfer() };
    assert_eq!(store.close_out(close, START).await, Ok(cny(0)));
    assert_eq!(store.close_out(close, START).await, Ok(cny(0)));
    let nobody = CloseOut { household: Family::imagine().household, transfer: transfer() };
    assert_eq!(refused(store.close_out(nobody, START).await), StoreError::HouseholdUnknown);
}

fn pocket_money(family: &Family, units: i64, every: Every, first: Timestamp) -> NewSchedule {
    let schedule = ScheduleId::from_bytes(fresh());
    NewSchedule { household: family.household, schedule, amount: cny(units), every, first }
}

pub async fn pocket_money_comes_by_itself(store: &Store) {
    let family = Family::settle(store, 0).await;
    let first = START.plus_ms(HOUR_MS);
    let weekly = pocket_money(&family, 500, Every::Week, first);
    let row = store.add_schedule(weekly).await.expect("pocket money");
    assert_eq!((row.dues, row.next_due), (0, Some(first)));
    assert_eq!(store.add_schedule(weekly).await, Ok(row));
    let changed = NewSchedule { amount: cny(501), ..weekly };
    assert_eq!(refused(store.add_schedule(changed).await), StoreError::ScheduleExists);
    assert_eq!(store.next_deadline().await, Ok(Some(first)));

    assert_eq!(store.tick(first.plus_ms(-1)).await.map(|ticked| ticked.topped_up), Ok(0));
    let ticked = store.tick(first).await.expect("a tick");
    assert_eq!((ticked.topped_up, ticked.next), (1, Some(first.plus_ms(7 * DAY_MS))));
    assert_eq!(store.tick(first).await.map(|ticked| ticked.topped_up), Ok(0));
    assert_eq!(family.wallet(store).await, (500, 0));
    // Two weeks were missed: both come.
    assert_eq!(store.tick(first.plus_ms(15 * DAY_MS)).await.map(|ticked| ticked.topped_up), Ok(2));
    assert_eq!(family.wallet(store).await, (1_500, 0));
    // A clock that jumps ahead by years pays a month.
    let daily = pocket_money(&family, 1, Every::Day, first);
    store.add_schedule(daily).await.expect("pocket money");
    let missed = store.tick(first.plus_ms(15 * DAY_MS)).await.map(|ticked| ticked.topped_up);
    assert_eq!(missed, Ok(16));
    store.end_schedule(family.household, weekly.schedule, START).await.expect("ended");
    store.end_schedule(family.household, weekly.schedule, START).await.expect("again");
    let missed = store.tick(first.plus_ms(1_500 * DAY_MS)).await.map(|ticked| ticked.topped_up);
    assert_eq!(missed, Ok(u64::try_from(MAX_MISSED).expect("few")));
    assert_eq!(family.wallet(store).await, (1_547, 0));
    let rows = store.schedules(family.household).await.expect("a read");
    let dues =
        |schedule| rows.iter().find(|row| row.schedule == schedule).map(|row| (row.dues, row.next_due.is_some()));
    assert_eq!((dues(weekly.schedule), dues(daily.schedule)), (Some((3, false)), Some((1_501, true))));

    let refuse = async |new| refused(store.add_schedule(new).await);
    assert_eq!(refuse(pocket_money(&family, 0, Every::Day, first)).await, StoreError::AmountNotPositive);
    let early = Timestamp::from_unix_ms(-1);
    assert_eq!(refuse(pocket_money(&family, 1, Every::Day, early)).await, StoreError::ScheduleTime);
    assert_eq!(refuse(pocket_money(&Family::imagine(), 1, Every::Day, first)).await, StoreError::HouseholdUnknown);
    let unknown = store.end_schedule(family.household, ScheduleId::from_bytes(fresh()), START).await;
    assert_eq!(refused(unknown), StoreError::ScheduleUnknown);

    // A wallet that is full keeps no other from its due.
    let full = Family::settle(store, MAX_MINOR).await;
    let last = first.plus_ms(1_600 * DAY_MS);
    store.add_schedule(pocket_money(&full, 1, Every::Day, last)).await.expect("pocket money");
    store.tick(last).await.expect("a tick");
    assert_eq!(full.wallet(store).await, (MAX_MINOR, 0));
}

pub async fn statements_and_closings(store: &Store) {
    let shop = Shop::open(store).await;
    store.set_fee(shop.merchant, percent(1)).await.expect("a fee");
    let family = Family::settle(store, 100_000).await;
    let today = Day::of(START);
    let mut expected = 0;
    // Payments on three days out of five, five on each.
    for day in [0, 1, 4] {
        for order in 0..5 {
            let at = START.plus_ms(day * DAY_MS + order * MINUTE_MS);
            let bill = store.create_bill(shop.bill(&[1_000]), at).await.expect("a bill");
            family.paid(store, &bill, at).await;
            expected += 990;
        }
        assert_eq!(balance(store, &shop).await, expected);
        let now = START.plus_ms(day * DAY_MS);
        store.tick(now).await.expect("a tick");
    }
    let closed = store.closings(shop.merchant, None, 10).await.expect("a read");
    let days: Vec<_> = closed.iter().map(|row| (row.day.number() - today.number(), row.balance.get())).collect();
    assert_eq!(days, [(0, 4_950), (1, 9_900)]);
    assert_eq!(closed[1].totals.payments.get() - closed[1].totals.fees.get(), 4_950);
    // A day closes an hour after its end, once.
    let end = Day::of(START.plus_ms(4 * DAY_MS)).end();
    assert_eq!(store.next_deadline().await, Ok(Some(end.plus_ms(CLOSING_GRACE_MS))));
    assert_eq!(store.tick(end.plus_ms(CLOSING_GRACE_MS - 1)).await.map(|ticked| ticked.closed), Ok(0));
    assert_eq!(store.tick(end.plus_ms(CLOSING_GRACE_MS)).await.map(|ticked| ticked.closed), Ok(1));
    assert_eq!(store.tick(end.plus_ms(CLOSING_GRACE_MS)).await.map(|ticked| ticked.closed), Ok(0));
    assert_eq!(balance(store, &shop).await, expected);

    let period = |from: i64, to: i64| Period {
        from: Day::from_number(today.number() + from).expect("in range"),
        to: Day::from_number(today.number() + to).expect("in range"),
    };
    for (from, to, opening, closing) in
        [(0, 0, 0, 4_950), (1, 3, 4_950, 9_900), (2, 3, 9_900, 9_900), (4, 9, 9_900, 14_850), (-5, 30, 0, 14_850)]
    {
        let statement = store.statement(shop.merchant, period(from, to), None, 1_000).await.expect("a statement");
        assert_eq!((statement.opening.get(), statement.closing.get()), (opening, closing), "{from} to {to}");
        moved(store, &shop, period(from, to)).await;
    }
    // Page by page it is the same.
    let whole = store.statement(shop.merchant, ever(), None, 1_000).await.expect("a statement");
    assert_eq!((whole.movements.len(), whole.next), (30, None));
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = store.statement(shop.merchant, ever(), after, 7).await.expect("a page");
        assert_eq!((page.opening, page.totals, page.closing), (whole.opening, whole.totals, whole.closing));
        pages.extend(page.movements);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, whole.movements);
    assert!(pages.iter().all(|movement| movement.bill.is_some()));
    let nobody = store.statement(Shop::imagine().merchant, ever(), None, 1).await;
    assert_eq!(refused(nobody), StoreError::MerchantUnknown);
}

pub async fn payouts_leave_once(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 10_000).await;
    let bill = shop.sell(store, &[600]).await;
    family.paid(store, &bill, START).await;
    let ask = async |payout| store.ask_payout(shop.merchant, payout, START).await;
    let first = transfer();
    assert_eq!(refused(ask(first).await), StoreError::IbanMissing);
    store.set_iban(shop.merchant, Some(iban())).await.expect("an account");

    let row = ask(first).await.expect("a payout");
    assert_eq!((row.amount, row.state, &row.iban), (cny(600), PayoutState::Asked, &iban()));
    assert_eq!(ask(first).await, Ok(row.clone()));
    assert_eq!(balance(store, &shop).await, 0);
    assert_eq!(refused(ask(transfer()).await), StoreError::NothingToPayOut);
    let to_send = store.payouts_to_send().await.expect("a read");
    assert!(to_send.contains(&row));

    let (done, returned) = (store.payout_done(shop.merchant, first, START).await, PayoutState::Asked);
    assert_eq!(refused(done), StoreError::PayoutState(returned));
    let sent = store.payout_sent(shop.merchant, first, START).await.expect("sent");
    assert_eq!(store.payout_sent(shop.merchant, first, START.plus_ms(1)).await, Ok(sent));
    assert!(!store.payouts_to_send().await.expect("a read").iter().any(|row| row.payout == first));
    // Back from the bank, and once more on its way.
    store.payout_returned(shop.merchant, first, START).await.expect("returned");
    store.payout_returned(shop.merchant, first, START).await.expect("again");
    let done = store.payout_done(shop.merchant, first, START).await;
    assert_eq!(refused(done), StoreError::PayoutState(PayoutState::Returned));
    assert_eq!(balance(store, &shop).await, 600);
    let second = ask(transfer()).await.expect("a payout");
    // While a file with it may be on its way nobody else gives the money back.
    store.payout_sending(shop.merchant, second.payout, START).await.expect("under way");
    let returned = store.payout_returned(shop.merchant, second.payout, START).await;
    assert_eq!(refused(returned), StoreError::PayoutState(PayoutState::Sending));
    assert!(store.payouts_to_send().await.expect("a read").iter().any(|row| row.payout == second.payout));
    let sent = store.payout_sent(shop.merchant, second.payout, START).await.expect("sent");
    assert!(store.payouts_sent().await.expect("a read").contains(&sent));
    let sending = store.payout_sending(shop.merchant, second.payout, START).await;
    assert_eq!(refused(sending), StoreError::PayoutState(PayoutState::Sent));
    store.payout_done(shop.merchant, second.payout, START).await.expect("done");
    assert_eq!(balance(store, &shop).await, 0);
    // What is given back after the payout, the merchant owes.
    store.refund(refund_of(&shop, &bill, 100), START).await.expect("a refund");
    assert_eq!(balance(store, &shop).await, -100);
    assert_eq!(refused(ask(transfer()).await), StoreError::NothingToPayOut);

    let rows = store.payouts(shop.merchant, None, 10).await.expect("a read");
    assert_eq!(rows.iter().map(|row| row.payout).collect::<Vec<_>>(), [second.payout, first]);
    assert_eq!(store.payouts(shop.merchant, Some(rows[0].number), 10).await.expect("a read").len(), 1);
    let mut all = moved(store, &shop, ever()).await;
    all.sort_unstable();
    assert_eq!(all, [("payment", 600), ("payout", -600), ("payout", -600), ("payout-back", 600), ("refund", -100)]);
    assert_eq!(refused(store.payout_sent(shop.merchant, transfer(), START).await), StoreError::PayoutUnknown);
    let nobody = Shop::imagine().merchant;
    assert_eq!(refused(store.ask_payout(nobody, transfer(), START).await), StoreError::MerchantUnknown);
    assert_eq!(refused(store.set_iban(nobody, None).await), StoreError::MerchantUnknown);
}

/// The payee's bank sends back what ours has paid: once, and then it is the merchant's again.
pub async fn payouts_come_back(store: &Store) {
    let (shop, other) = (Shop::open(store).await, Shop::open(store).await);
    let family = Family::settle(store, 10_000).await;
    for shop in [&shop, &other] {
        store.set_iban(shop.merchant, Some(iban())).await.expect("an account");
        family.paid(store, &shop.sell(store, &[600]).await, START).await;
    }
    let merchant = shop.merchant;
    let first = transfer();
    store.ask_payout(merchant, first, START).await.expect("a payout");
    store.payout_sent(merchant, first, START).await.expect("sent");
    store.payout_done(merchant, first, START).await.expect("done");
    let back = store.payout_returned(merchant, first, START).await.expect("returned");
    assert_eq!(back.state, PayoutState::Returned);
    assert_eq!(store.payout_returned(merchant, first, START.plus_ms(1)).await, Ok(back));
    let done = store.payout_done(merchant, first, START).await;
    assert_eq!(refused(done), StoreError::PayoutState(PayoutState::Returned));
    assert_eq!(balance(store, &shop).await, 600);

    // A payout's id is one over all merchants, and none is made of another's.
    let made = |mask: u8| TransferId::from_bytes(first.as_bytes().map(|byte| byte ^ mask));
    assert_eq!(refused(store.ask_payout(other.merchant, first, START).await), StoreError::TransferExists);
    for mask in [0x55, 0xAA, 0xFF] {
        let met = store.ask_payout(merchant, made(mask), START).await;
        assert_eq!(refused(met), StoreError::TransferExists, "{mask:x}");
    }
    assert_eq!((balance(store, &shop).await, balance(store, &other).await), (600, 600));
    let second = transfer();
    store.ask_payout(merchant, second, START).await.expect("a payout");
    store.payout_sent(merchant, second, START).await.expect("sent");
    store.payout_done(merchant, second, START).await.expect("done");
    let mut all = moved(store, &shop, ever()).await;
    all.sort_unstable();
    assert_eq!(all, [("payment", 600), ("payout", -600), ("payout", -600), ("payout-back", 600)]);

    // Two merchants at once: one of them has the id.
    let contested = transfer();
    family.paid(store, &shop.sell(store, &[70]).await, START).await;
    let (one, two) =
        tokio::join!(store.ask_payout(merchant, contested, START), store.ask_payout(other.merchant, contested, START));
    let lost = if one.is_ok() { two } else { one };
    assert_eq!(refused(lost), StoreError::TransferExists);
    assert_eq!(store.check().await, Ok(Vec::new()));
}

/// Many ask at once, while payments come in: what leaves is what came.
pub async fn payouts_at_once(store: &Store) {
    let shop = Shop::open(store).await;
    store.set_iban(shop.merchant, Some(iban())).await.expect("an account");
    let family = Family::settle(store, 10_000).await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, merchant) = (store.clone(), shop.merchant);
        tasks.spawn(async move {
            let payout = transfer();
            let (one, two) =
                tokio::join!(store.ask_payout(merchant, payout, START), store.ask_payout(merchant, payout, START));
            let one = one.map(|row| row.amount.minor());
            assert!(one.is_ok() || one == Err(StoreError::NothingToPayOut), "{one:?}");
            assert!(two.is_ok() || two == Err(StoreError::NothingToPayOut), "{two:?}");
            one.or(two.map(|row| row.amount.minor())).unwrap_or(0)
        });
    }
    for _ in 0..10 {
        family.paid(store, &shop.sell(store, &[70]).await, START).await;
    }
    let left: i64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(left + balance(store, &shop).await, 700);
    assert!(balance(store, &shop).await >= 0);
    let kinds = moved(store, &shop, ever()).await;
    assert_eq!(kinds.iter().filter(|(kind, _)| *kind == MovementKind::Payment.as_str()).count(), 10);
}

pub async fn api_keys_come_and_go(store: &Store) {
    let (shop, other) = (Shop::open(store).await, Shop::open(store).await);
    let key = TokenHash(fresh());
    store.add_api_key(shop.merchant, key, START).await.expect("a key");
    store.add_api_key(shop.merchant, key, START).await.expect("again");
    assert_eq!(refused(store.add_api_key(other.merchant, key, START).await), StoreError::TokenExists);
    let keys = store.api_keys(shop.merchant).await.expect("a read");
    assert!(keys.len() == 2 && keys.iter().any(|row| row.api_key == key));
    let of = async |key| store.merchant_by_api_key(key).await.expect("a read").map(|row| row.merchant);
    assert_eq!(of(key).await, Some(shop.merchant));
    assert_eq!(refused(store.remove_api_key(other.merchant, key).await), StoreError::ApiKeyUnknown);
    store.remove_api_key(shop.merchant, key).await.expect("revoked");
    assert_eq!(of(key).await, None);
    assert_eq!(refused(store.remove_api_key(shop.merchant, key).await), StoreError::ApiKeyUnknown);
    let last = loop {
        match store.add_api_key(shop.merchant, TokenHash(fresh()), START).await {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(last, StoreError::TooManyApiKeys);
}

pub async fn households_are_listed(store: &Store) {
    for _ in 0..3 {
        Family::settle(store, 0).await;
    }
    let all = store.households(None, 100).await.expect("a read");
    assert!(all.len() >= 3 && all.is_sorted_by_key(|row| row.household));
    let (first, last) = (all[0].household, all[all.len() - 1].household);
    let rest = store.households(Some(first), 100).await.expect("a read");
    assert_eq!(rest, all[1..]);
    assert_eq!(store.households(Some(last), 100).await, Ok(Vec::new()));
}

/// The household's side of the books: each movement in its place, and what it was for.
pub async fn wallets_have_statements(store: &Store) {
    let (family, shop) = (Family::settle(store, 2_000).await, Shop::open(store).await);
    let at = |minutes: i64| START.plus_ms(minutes * MINUTE_MS);
    let weekly = pocket_money(&family, 500, Every::Week, at(1));
    store.add_schedule(weekly).await.expect("pocket money");
    store.tick(at(1)).await.expect("a tick");
    let bill = shop.sell(store, &[600]).await;
    let paid = family.paid(store, &bill, at(2)).await;
    let refund = transfer();
    let reason = Some(Text::new("坏了").expect("a reason"));
    let back = Refund { merchant: shop.merchant, bill: bill.bill, refund, amount: cny(100), reason: reason.clone() };
    store.refund(back, at(3)).await.expect("refunded");
    let open = family.approved(store, &shop.sell(store, &[400]).await, at(4)).await;

    let all = store.wallet_page(family.household, None, MAX_WALLET_PAGE).await.expect("a read");
    let of = |row: &crate::OrderRow| row.order;
    let seen: Vec<_> = all
        .movements
        .iter()
        .map(|one| (one.kind, one.change.get(), one.purchase.as_ref().map(|one| one.order), one.at))
        .collect();
    assert_eq!(
        seen,
        [
            (WalletKind::Refund, 100, Some(of(&paid)), at(3)),
            (WalletKind::Payment, -600, Some(of(&paid)), at(2)),
            (WalletKind::Standing, 500, None, at(1)),
            (WalletKind::TopUp, 2_000, None, START),
        ]
    );
    assert_eq!((&all.movements[0].reason, all.next), (&reason, None));
    assert!(all.movements[1].purchase.as_ref().is_some_and(|one| one.shop.as_str() == "文具店"));
    let sum: i64 = all.movements.iter().map(|one| one.change.get()).sum();
    assert_eq!((sum, all.balance.wallet.posted().get(), all.balance.wallet.held().get()), (2_000, 2_000, 400));
    let held: Vec<_> = all.holds.iter().map(|hold| (hold.purchase.order, hold.amount)).collect();
    assert_eq!(held, [(of(&open), cny(400))]);

    // Page by page it is the same.
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = store.wallet_page(family.household, before, 1).await.expect("a page");
        pages.extend(page.movements);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, all.movements);

    let other = Family::settle(store, 0).await;
    assert_eq!(store.wallet_page(other.household, None, 10).await.map(|page| page.movements), Ok(Vec::new()));
    store.cancel_order(cancellation(&open, at(5)), at(5)).await.expect("cancelled");
    let transfer = transfer();
    store.close_out(CloseOut { household: family.household, transfer }, at(6)).await.expect("closed");
    let last = store.wallet_page(family.household, None, 1).await.expect("a read");
    assert_eq!((last.movements[0].kind, last.movements[0].change.get()), (WalletKind::CloseOut, -2_000));
    assert_eq!(last.holds, []);
    let nowhere = store.wallet_page(Family::imagine().household, None, 1).await;
    assert_eq!(refused(nowhere), StoreError::HouseholdUnknown);

    let id = family.household;
    assert_eq!(store.household_between(id, id).await, Ok(Some(id)));
    let nobodys = Family::imagine().household;
    assert_eq!(store.household_between(nobodys, nobodys).await, Ok(None));
    let all = store.household_between(HouseholdId::from_bytes([0; 16]), HouseholdId::from_bytes([0xFF; 16])).await;
    assert_eq!(all, Ok(None));
}
