//! Rails outside: what is asked of them, once, and what their answers do.

use nodpay_core::{
    Amount, BankAccount, BasisPoints, Day, Decline, FailReason, Iban, OrderState, OutcomeKind, Payer, RailAnswer,
    RailKind, RailReply, RailStep, Timestamp, TransferId,
};

use tokio::task::JoinSet;

use super::cast::{
    Family, HOUR_MS, MINUTE_MS, START, Shop, cancellation, cny, fresh, merchant_events, outcome_of, payment, refused,
};
use crate::{
    AccountKind, Asking, Audience, BackKind, BillState, BillStatus, CloseOut, DisputeNews, DisputeState, EventRow,
    HouseholdEvent, MerchantEvent, MovementKind, OrderRow, Period, RAIL_LEASE_MS, RailWork, Refund, RefundRow,
    RefundState, Store, StoreError, TopUp,
};

async fn on_card(store: &Store) -> Family {
    let family = Family::settle(store, 1_000).await;
    let card = Payer::Stripe { customer: "cus_1".to_owned(), method: "pm_1".to_owned() };
    store.set_payer(family.household, Some(card), START).await.expect("a payer");
    family
}

/// The one step that is due of the family's.
async fn due(store: &Store, family: &Family, now: Timestamp) -> Option<RailWork> {
    let mut work = Vec::new();
    for rail in [RailKind::Stripe, RailKind::Bank] {
        work.extend(store.rail_work(rail, now).await.expect("claimed").0);
    }
    let mut own = work.into_iter().filter(|work| work.household == family.household);
    let one = own.next();
    assert_eq!(own.next(), None, "one at a time");
    one
}

async fn answer(store: &Store, work: &RailWork, answer: RailAnswer, now: Timestamp) -> Option<OrderRow> {
    let reply = RailReply { answer, reference: Some("pi_1".to_owned()) };
    store.rail_answered(work.clone(), reply, now).await.expect("taken in")
}

/// Decided, held, and not yet paid.
async fn held(store: &Store, family: &Family, shop: &Shop) -> OrderRow {
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    let work = due(store, family, START).await.expect("a hold");
    answer(store, &work, RailAnswer::Done, START).await.expect("it changed")
}

async fn told(store: &Store, family: &Family, audience: Audience, after: u64) -> Vec<HouseholdEvent> {
    let events = store.events_after(family.household, audience, after, 50).await.expect("a read");
    events.iter().map(|EventRow { event, .. }| *event).collect()
}

async fn newest(store: &Store, family: &Family) -> u64 {
    store.household(family.household).await.expect("a read").expect("it is there").last_event
}

pub async fn a_rail_outside_holds_and_pays(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let bill = shop.sell(store, &[5_000]).await;
    // More than is in the wallet, which is not asked.
    let placed = family.place(store, &bill, START).await;
    assert_eq!((placed.rail, &placed.asking), (RailKind::Stripe, &None));
    let last = newest(store, &family).await;
    let nod = family.nod(&placed, START);
    let row = store.decide(nod.clone(), START).await.expect("decided");
    assert!(matches!(row.state, OrderState::Holding { .. }), "{:?}", row.state);
    assert_eq!(store.decide(nod, START).await.map(|row| row.state), Ok(row.state), "again");
    let shown = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(shown.asking, Some(Asking::Answer));
    let waits = [HouseholdEvent::Order(row.order)];
    assert_eq!(told(store, &family, Audience::Watch(family.watch), last).await, waits, "it may not pay yet");
    assert_eq!(refused(store.pay(payment(&row, START), START).await), StoreError::OrderNotApproved);

    let hold = due(store, &family, START).await.expect("a hold");
    assert_eq!((hold.step, hold.movement.amount, hold.asked_before), (RailStep::Hold, cny(5_000), false));
    assert_eq!((hold.movement.transfer, &hold.known_as), (hold.hold, &None));
    assert_eq!(due(store, &family, START).await, None, "it is claimed");
    let last = newest(store, &family).await;
    let approved = answer(store, &hold, RailAnswer::Done, START).await.expect("it changed");
    assert!(matches!(approved.state, OrderState::Approved { .. }), "{:?}", approved.state);
    assert_eq!(told(store, &family, Audience::Watch(family.watch), last).await, [HouseholdEvent::Decision(row.order)]);
    assert_eq!(answer(store, &hold, RailAnswer::Declined(Decline::Refused), START).await, None, "answered already");

    let pay = payment(&approved, START);
    let paying = store.pay(pay.clone(), START).await.expect("taken in");
    assert!(matches!(paying.state, OrderState::Paying { .. }), "{:?}", paying.state);
    assert_eq!(store.pay(pay, START).await.map(|row| row.state), Ok(paying.state), "again");
    assert_eq!(refused(store.cancel_order(cancellation(&row, START), START).await), StoreError::OrderPaying);
    assert_eq!(refused(store.cancel_bill(shop.merchant, bill.bill, START).await), StoreError::BillAlreadyPaid);
    let much_later = START.plus_ms(48 * HOUR_MS);
    store.tick(much_later).await.expect("a tick");
    let shown = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(shown.state, paying.state, "nothing ends it but its rail");

    let post = due(store, &family, much_later).await.expect("a post");
    assert_eq!((post.step, post.movement, post.known_as.as_deref()), (RailStep::Post, hold.movement, Some("pi_1")));
    let paid = answer(store, &post, RailAnswer::Done, much_later).await.expect("it changed");
    assert_eq!(paid.state, OrderState::Ended { outcome: OutcomeKind::Paid });
    assert_eq!(outcome_of(&paid).transfer, Some(hold.hold));
    assert_eq!(due(store, &family, much_later.plus_ms(HOUR_MS)).await, None, "all is answered");
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(5_000)));
    assert_eq!(family.wallet(store).await, (1_000, 0), "the wallet has no part in it");
}

pub async fn a_rail_that_declines(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let declined = |row: &OrderRow| {
        assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Failed });
        assert_eq!(outcome_of(row).reason, Some(FailReason::PaymentDeclined));
    };
    let voided = async |now| {
        let void = due(store, &family, now).await.expect("a void");
        assert_eq!(void.step, RailStep::Void);
        assert_eq!(answer(store, &void, RailAnswer::Done, now).await, None);
        assert_eq!(due(store, &family, now.plus_ms(HOUR_MS)).await, None);
    };
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    let hold = due(store, &family, START).await.expect("a hold");
    declined(&answer(store, &hold, RailAnswer::Declined(Decline::Funds), START).await.expect("it changed"));
    voided(START).await;

    let approved = held(store, &family, &shop).await;
    store.pay(payment(&approved, START), START).await.expect("taken in");
    let post = due(store, &family, START).await.expect("a post");
    let failed = answer(store, &post, RailAnswer::Declined(Decline::Refused), START).await.expect("it changed");
    declined(&failed);
    assert_eq!(outcome_of(&failed).payment, failed.payment.map(|payment| payment.digest));
    voided(START).await;
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(0)));
    let bill = store.bill(approved.bill).await.expect("a read").expect("the bill");
    assert_eq!((bill.state, bill.status(START)), (BillState::Open, BillStatus::Failed), "another order may pay it");
}

/// Unknown is no outcome: it keeps its hold and its id, is shown, and is asked again until it is answered.
pub async fn a_rail_that_does_not_answer(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    for (last_word, outcome) in
        [(RailAnswer::Done, OutcomeKind::Paid), (RailAnswer::Declined(Decline::Refused), OutcomeKind::Failed)]
    {
        let approved = held(store, &family, &shop).await;
        store.pay(payment(&approved, START), START).await.expect("taken in");
        let mut now = START;
        let mut waits = Vec::new();
        let last = newest(store, &family).await;
        for tries in 0..12 {
            let post = due(store, &family, now).await.expect("asked again");
            assert_eq!((post.movement.transfer, post.asked_before), (post.hold, tries > 0));
            answer(store, &post, RailAnswer::Unknown, now).await;
            let shown = store.order(family.household, approved.order).await.expect("a read").expect("the order");
            assert_eq!(shown.asking, Some(Asking::Unknown));
            assert_eq!(store.check().await, Ok(Vec::new()), "in suspense");
            assert_eq!(balance(store, AccountKind::Suspense).await, cny(5_000));
            let [left] = store.unfinished().await.expect("a read").try_into().expect("one");
            assert_eq!((left.of, left.transfer), (Some((approved.order, RailStep::Post)), post.hold));
            assert_eq!((left.state.as_str(), left.tries, left.amount), ("unknown", tries + 1, cny(5_000)));
            let next = store.rail_work(RailKind::Stripe, now).await.expect("a read").1.expect("it is asked again");
            waits.push(next.ms_since(now));
            now = next;
        }
        assert_eq!(waits[..4], [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(waits[9..], [5 * MINUTE_MS; 3], "no longer than that");
        let shown = [HouseholdEvent::Order(approved.order)];
        for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
            assert_eq!(told(store, &family, audience, last).await, shown, "once, that nobody knows");
        }
        let post = due(store, &family, now).await.expect("asked again");
        let ended = answer(store, &post, last_word, now).await.expect("it changed");
        assert_eq!(ended.state, OrderState::Ended { outcome });
        while let Some(void) = due(store, &family, now.plus_ms(HOUR_MS)).await {
            assert_eq!((void.step, outcome), (RailStep::Void, OutcomeKind::Failed));
            answer(store, &void, RailAnswer::Done, now).await;
        }
    }
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(5_000)), "paid once");
    assert_eq!(store.unfinished().await, Ok(Vec::new()));
    for (account, units) in [
        (AccountKind::Suspense, 0),
        (AccountKind::Merchants, 5_000),
        (AccountKind::Stripe, -5_000),
        (AccountKind::Wallets, 1_000),
        (AccountKind::Outside, -1_000),
    ] {
        assert_eq!(balance(store, account).await, cny(units), "{account:?}");
    }
}

async fn balance(store: &Store, account: AccountKind) -> Amount {
    let rows = store.books().await.expect("a read");
    rows.into_iter().find(|row| row.account == account).expect("moved").balance
}

/// Whoever claimed it died: somebody else asks, under the same id, and the first one's answer does no harm.
pub async fn a_step_outlives_its_replica(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    let first = due(store, &family, START).await.expect("a hold");
    let lease_over = START.plus_ms(RAIL_LEASE_MS);
    assert_eq!(due(store, &family, lease_over.plus_ms(-1)).await, None);
    let second = due(store, &family, lease_over).await.expect("asked again");
    assert_eq!(second, RailWork { asked_before: true, ..first.clone() });
    assert!(answer(store, &second, RailAnswer::Done, lease_over).await.is_some());
    assert_eq!(answer(store, &first, RailAnswer::Done, lease_over).await, None);
    let row = store.order(family.household, placed.order).await.expect("a read").expect("the order");
    assert!(matches!(row.state, OrderState::Approved { .. }), "{:?}", row.state);
}

/// The deadline ends an order that is holding; the rail is asked to let go, also of what it was never known to hold.
pub async fn an_unanswered_hold_is_voided(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    let hold = due(store, &family, START).await.expect("a hold");
    let late = START.plus_ms(11 * MINUTE_MS);
    store.tick(late).await.expect("a tick");
    let row = store.order(family.household, placed.order).await.expect("a read").expect("the order");
    assert_eq!((row.state, row.asking), (OrderState::Ended { outcome: OutcomeKind::Expired }, None));
    let void = due(store, &family, late).await.expect("a void");
    assert_eq!((void.step, void.movement, &void.known_as), (RailStep::Void, hold.movement, &None));
    assert_eq!(answer(store, &hold, RailAnswer::Done, late).await, None, "too late");
    answer(store, &void, RailAnswer::Unknown, late).await;
    let again = due(store, &family, late.plus_ms(HOUR_MS)).await.expect("until it is let go");
    assert_eq!(again.known_as.as_deref(), Some("pi_1"), "what the late answer said is known");
    answer(store, &again, RailAnswer::Done, late).await;
    assert_eq!(due(store, &family, late.plus_ms(48 * HOUR_MS)).await, None);
}

pub async fn a_guardian_confirms(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    let hold = due(store, &family, START).await.expect("a hold");
    let last = newest(store, &family).await;
    let url = "https://bank.example/confirm".to_owned();
    answer(store, &hold, RailAnswer::ActionNeeded(url.clone()), START).await;
    let row = store.order(family.household, placed.order).await.expect("a read").expect("the order");
    assert_eq!(row.asking, Some(Asking::Guardian(url)));
    assert_eq!(told(store, &family, Audience::Guardian, last).await, [HouseholdEvent::Order(placed.order)]);
    assert_eq!(due(store, &family, START).await, None);
    assert_eq!(store.wake_rail(hold.hold, START).await, Ok(true));
    assert_eq!(store.wake_rail(TransferId::from_bytes(fresh()), START).await, Ok(false), "not ours");
    let again = due(store, &family, START).await.expect("the rail has news");
    assert_eq!(store.wake_rail(hold.hold, START).await, Ok(true));
    assert_eq!(due(store, &family, START).await, None, "it is being asked");
    let approved = answer(store, &again, RailAnswer::Done, START).await.expect("it changed");
    assert!(matches!(approved.state, OrderState::Approved { .. }), "{:?}", approved.state);
}

/// A bank promises nothing and pays the merchant itself.
pub async fn a_bank_pays_the_merchant(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 0).await;
    let iban = Iban::new("DE89370400440532013000").expect("an IBAN");
    let account = BankAccount { name: "Family".to_owned(), iban: iban.clone(), bic: None };
    store.set_payer(family.household, Some(Payer::Bank(account.clone())), START).await.expect("a payer");
    assert_eq!(store.payer(family.household).await, Ok(Some(Payer::Bank(account))));
    let nowhere = family.place(store, &shop.sell(store, &[500]).await, START).await;
    assert_eq!(outcome_of(&nowhere).reason, Some(FailReason::PaymentDeclined), "the merchant has no account");

    store.set_iban(shop.merchant, Some(iban.clone())).await.expect("an account");
    let approved = family.approved(store, &shop.sell(store, &[500]).await, START).await;
    assert!(matches!(approved.state, OrderState::Approved { .. }), "{:?}", approved.state);
    store.pay(payment(&approved, START), START).await.expect("taken in");
    let post = due(store, &family, START).await.expect("a post");
    assert_eq!((post.step, post.payee.clone().map(|payee| payee.iban)), (RailStep::Post, Some(iban)));
    answer(store, &post, RailAnswer::Pending, START).await;
    let later = START.plus_ms(24 * HOUR_MS);
    let next = family.approved(store, &shop.sell(store, &[100]).await, START).await;
    store.cancel_order(cancellation(&next, START), START).await.expect("a bank has nothing to let go of");
    let post = due(store, &family, later).await.expect("asked again");
    let paid = answer(store, &post, RailAnswer::Done, later).await.expect("it changed");
    assert_eq!(paid.state, OrderState::Ended { outcome: OutcomeKind::Paid });
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(0)), "we owe it nothing");
    let refund = refund_of(&shop, &paid, 1);
    assert_eq!(refused(store.refund(refund, later).await), StoreError::RefundElsewhere, "nor can we take it back");

    store.set_payer(family.household, None, START).await.expect("the wallet again");
    let empty = family.place(store, &shop.sell(store, &[500]).await, START).await;
    assert_eq!(outcome_of(&empty).reason, Some(FailReason::InsufficientBalance));
}

/// Paid by card.
async fn paid(store: &Store, family: &Family, shop: &Shop) -> OrderRow {
    paid_as(store, family, shop, "pi_1").await
}

/// The rail has this name for the payment.
async fn paid_as(store: &Store, family: &Family, shop: &Shop, name: &str) -> OrderRow {
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    let reply = RailReply { answer: RailAnswer::Done, reference: Some(name.to_owned()) };
    let work = due(store, family, START).await.expect("a hold");
    let approved = store.rail_answered(work, reply.clone(), START).await.expect("taken in").expect("it changed");
    store.pay(payment(&approved, START), START).await.expect("taken in");
    let work = due(store, family, START).await.expect("a post");
    store.rail_answered(work, reply, START).await.expect("taken in").expect("it changed")
}

fn refund_of(shop: &Shop, order: &OrderRow, units: i64) -> Refund {
    let refund = TransferId::from_bytes(fresh());
    Refund { merchant: shop.merchant, bill: order.bill, refund, amount: cny(units), reason: None }
}

async fn refunds(store: &Store, shop: &Shop, order: &OrderRow) -> Vec<(i64, RefundState)> {
    let of_bill = store.refunds_of_bill(shop.merchant, order.bill).await.expect("a read");
    assert_eq!(store.refunds(order.household, order.order).await, Ok(of_bill.clone()));
    of_bill.iter().map(|row| (row.amount.minor(), row.state)).collect()
}

/// In parts, each asked for until the rail has answered, told when it is done.
pub async fn a_card_gets_its_money_back(store: &Store) {
    let (shop, other) = (Shop::open(store).await, Shop::open(store).await);
    store.set_fee(shop.merchant, BasisPoints::new(100).expect("one percent")).await.expect("a fee");
    let family = on_card(store).await;
    let approved = held(store, &family, &shop).await;
    store.pay(payment(&approved, START), START).await.expect("taken in");
    let early = refund_of(&shop, &approved, 1);
    assert_eq!(refused(store.refund(early, START).await), StoreError::BillNotPaid, "it is being paid");
    let post = due(store, &family, START).await.expect("a post");
    let order = answer(store, &post, RailAnswer::Done, START).await.expect("it changed");
    let last = newest(store, &family).await;
    let heard = store.last_merchant_event(shop.merchant).await.expect("a read");

    let part = refund_of(&shop, &order, 2_000);
    let asked = store.refund(part.clone(), START).await.expect("asked for");
    let row = RefundRow { refund: part.refund, amount: cny(2_000), reason: None, at: START, state: RefundState::Asked };
    assert_eq!(asked, row);
    let later = START.plus_ms(MINUTE_MS);
    assert_eq!(store.refund(part.clone(), later).await, Ok(row.clone()), "again");
    let changed = Refund { amount: cny(2_001), ..part.clone() };
    assert_eq!(refused(store.refund(changed, later).await), StoreError::RefundExists);
    assert_eq!(refused(store.refund(refund_of(&shop, &order, 3_001), later).await), StoreError::RefundTooLarge);
    assert_eq!(refused(store.refund(refund_of(&other, &order, 1), later).await), StoreError::BillUnknown);
    let top_up = TopUp { household: family.household, transfer: part.refund, amount: cny(1) };
    assert_eq!(refused(store.top_up(top_up, later).await), StoreError::TransferExists, "its name is taken");
    assert_eq!(told(store, &family, Audience::Guardian, last).await, [], "nothing is back");
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(4_950)));
    assert_eq!(store.check().await, Ok(Vec::new()));

    let work = due(store, &family, later).await.expect("a refund");
    assert_eq!((work.step, work.movement.transfer, work.movement.amount), (RailStep::Refund, part.refund, cny(2_000)));
    assert_eq!((work.hold, work.known_as.as_deref()), (post.hold, Some("pi_1")));
    assert_eq!(answer(store, &work, RailAnswer::Unknown, later).await, None);
    assert_eq!(refunds(store, &shop, &order).await, [(2_000, RefundState::Asked)]);
    let second = refund_of(&shop, &order, 3_000);
    store.refund(second.clone(), later).await.expect("asked for");
    let again = later.plus_ms(HOUR_MS);
    let (all, _) = store.rail_work(RailKind::Stripe, again).await.expect("claimed");
    let own: Vec<_> = all.into_iter().filter(|work| work.household == family.household).collect();
    let of = |refund: TransferId| own.iter().find(|work| work.movement.transfer == refund).expect("claimed").clone();
    assert_eq!((own.len(), of(part.refund).asked_before, of(second.refund).asked_before), (2, true, false));

    let back = answer(store, &of(part.refund), RailAnswer::Done, again).await.expect("it changed");
    assert_eq!(back.refunded, cny(2_000));
    assert_eq!(answer(store, &of(part.refund), RailAnswer::Done, again).await, None, "once");
    assert_eq!(store.refund(part, again).await, Ok(RefundRow { state: RefundState::Done, ..row }));
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        assert_eq!(told(store, &family, audience, last).await, [HouseholdEvent::Refund(order.order)]);
    }
    // Of 50 on 5000, 30 belong to the 3000 that stay.
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(2_970)));
    assert_eq!(family.wallet(store).await, (1_000, 0), "the wallet has no part in it");
    answer(store, &of(second.refund), RailAnswer::Done, again).await.expect("it changed");
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(0)));
    assert_eq!(refunds(store, &shop, &order).await, [(2_000, RefundState::Done), (3_000, RefundState::Done)]);
    assert_eq!(refused(store.refund(refund_of(&shop, &order, 1), again).await), StoreError::RefundTooLarge);
    let events = merchant_events(store, shop.merchant, heard, 4).await;
    assert!(events.iter().all(|row| row.event == MerchantEvent::Bill(order.bill)), "{events:?}");
    assert_eq!(due(store, &family, again.plus_ms(HOUR_MS)).await, None, "all is answered");
}

/// What was declined did not happen: it is said, and may be given back again, under another name.
pub async fn a_refund_that_a_rail_declines(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let order = paid(store, &family, &shop).await;
    let last = newest(store, &family).await;
    let all = refund_of(&shop, &order, 5_000);
    store.refund(all.clone(), START).await.expect("asked for");
    let work = due(store, &family, START).await.expect("a refund");
    answer(store, &work, RailAnswer::Declined(Decline::Payer), START).await.expect("it changed");
    let failed = RefundState::Failed(Decline::Payer);
    assert_eq!(store.refund(all.clone(), START).await.map(|row| row.state), Ok(failed), "again");
    assert_eq!(due(store, &family, START.plus_ms(HOUR_MS)).await, None, "it is not asked for again");
    let row = store.order(family.household, order.order).await.expect("a read").expect("the order");
    assert_eq!(row.refunded, cny(0));
    assert_eq!(told(store, &family, Audience::Guardian, last).await, []);
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(5_000)));

    // The household's wallet is paid out; its card can still be given back to.
    let close = CloseOut { household: family.household, transfer: all.refund };
    assert_eq!(refused(store.close_out(close, START).await), StoreError::TransferExists, "its name is taken");
    let close = CloseOut { transfer: TransferId::from_bytes(fresh()), ..close };
    store.close_out(close, START).await.expect("closed");
    store.refund(refund_of(&shop, &order, 5_000), START.plus_ms(1)).await.expect("asked for");
    let work = due(store, &family, START.plus_ms(1)).await.expect("a refund");
    answer(store, &work, RailAnswer::Done, START.plus_ms(1)).await.expect("it changed");
    assert_eq!(refunds(store, &shop, &order).await, [(5_000, failed), (5_000, RefundState::Done)]);
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(0)));
    assert_eq!(family.wallet(store).await, (0, 0));
}

/// Many tries at once to give back more than was paid, and a name that two households' refunds would share.
pub async fn refunds_of_cards_at_once(store: &Store) {
    let shop = Shop::open(store).await;
    let (family, neighbours) = (on_card(store).await, on_card(store).await);
    let order = paid(store, &family, &shop).await;
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let (store, refund) = (store.clone(), refund_of(&shop, &order, 450));
        tasks.spawn(async move { store.refund(refund, START).await.is_ok() });
    }
    let asked: usize = tasks.join_all().await.into_iter().map(usize::from).sum();
    assert_eq!(asked, 11);
    let names = store.refunds_of_bill(shop.merchant, order.bill).await.expect("a read");
    let theirs = paid(store, &neighbours, &shop).await;
    let same = Refund { refund: names.first().expect("asked for").refund, ..refund_of(&shop, &theirs, 450) };
    assert_eq!(refused(store.refund(same, START).await), StoreError::RefundExists);
}

/// Taken, won or lost: each is booked once, whatever is said how often and in which order.
pub async fn a_bank_takes_a_payment_back(store: &Store) {
    use DisputeState::{Lost, Open, Taken, Won};
    let shop = Shop::open(store).await;
    store.set_fee(shop.merchant, BasisPoints::new(100).expect("one percent")).await.expect("a fee");
    let family = on_card(store).await;
    // What is said, and what is new of it; then the balance of the 4950, and what can still be given back.
    type Case<'a> = (&'a [(DisputeState, Option<DisputeState>)], i64, i64);
    let cases: [Case<'_>; 5] = [
        (&[(Open, Some(Open)), (Open, None), (Won, Some(Won)), (Lost, None)], 4_950, 5_000),
        (&[(Open, Some(Open)), (Taken, Some(Taken)), (Open, None), (Taken, None)], 950, 1_000),
        (&[(Taken, Some(Taken)), (Won, Some(Won)), (Won, None), (Taken, None), (Lost, None)], 4_950, 5_000),
        (&[(Taken, Some(Taken)), (Lost, Some(Lost)), (Won, None), (Taken, None)], 950, 1_000),
        (&[(Lost, Some(Lost)), (Open, None), (Won, None)], 950, 1_000),
    ];
    let mut owed = 0;
    for (number, (said, balance, left)) in cases.into_iter().enumerate() {
        let (payment, dispute) =
            (format!("pi_{}_{number}", family.household), format!("dp_{}_{number}", family.household));
        let transfer = TransferId::from_bytes(fresh());
        let order = paid_as(store, &family, &shop, &payment).await;
        for (step, (state, new)) in said.iter().enumerate() {
            let news = DisputeNews {
                payment: payment.clone(),
                dispute: dispute.clone(),
                transfer,
                amount: cny(4_000),
                state: *state,
            };
            let last = newest(store, &family).await;
            assert_eq!(store.take_dispute(news, START).await, Ok(*new), "{number}, {step}");
            let told = told(store, &family, Audience::Guardian, last).await;
            let expected = new.map(|_| HouseholdEvent::Order(order.order));
            assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{number}, {step}");
            assert_eq!(store.check().await, Ok(Vec::new()), "{number}, {step}");
        }
        let newest = said.iter().filter_map(|(_, new)| *new).next_back();
        let rows = store.disputes(family.household, order.order).await.expect("a read");
        assert_eq!(rows.iter().map(|row| (row.amount, Some(row.state))).collect::<Vec<_>>(), [(cny(4_000), newest)]);
        owed += balance;
        assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(owed)), "{number}");
        let over = refund_of(&shop, &order, left + 1);
        assert_eq!(refused(store.refund(over, START).await), StoreError::RefundTooLarge, "{number}");
        let row = store.order(family.household, order.order).await.expect("a read").expect("the order");
        assert_eq!((row.state, row.refunded), (order.state, cny(0)), "the payment stays what it was");
    }
    let period = Period { from: Day::of(START), to: Day::of(START) };
    let statement = store.statement(shop.merchant, period, None, 100).await.expect("a statement");
    assert_eq!((statement.totals.disputes, statement.totals.refunds), (cny(12_000).units(), cny(0).units()));
    let count = |kind| statement.movements.iter().filter(|movement| movement.kind == kind).count();
    assert_eq!((count(MovementKind::Dispute), count(MovementKind::DisputeBack)), (4, 1));
    let closed = store.tick(START.plus_ms(48 * HOUR_MS)).await.map(|ticked| ticked.closed);
    assert!(closed.is_ok_and(|days| days > 0), "the day's totals hold them");
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(cny(owed)));

    // The household's own: what it got back, and what it paid again.
    let moves = store.moves(family.household, START, START.plus_ms(1)).await.expect("moves").disputes;
    let of = |kind| moves.iter().filter(move |moved| moved.kind == kind).collect::<Vec<_>>();
    let (taken, again) = (of(BackKind::TakenBack), of(BackKind::GivenAgain));
    assert_eq!((moves.len(), taken.len(), again.len()), (5, 4, 1), "{moves:?}");
    assert!(taken.iter().all(|moved| moved.amount == cny(4_000)) && again[0].amount == cny(-4_000));
    assert_eq!(again[0].reference, Some(format!("dp_{}_2", family.household)));
    let first = taken.iter().find(|moved| moved.order == again[0].order).expect("the same order's");
    assert!(first.reference == again[0].reference && first.transfer != again[0].transfer);

    let nobodys = DisputeNews {
        payment: "pi_other".to_owned(),
        dispute: "dp_other".to_owned(),
        transfer: TransferId::from_bytes(fresh()),
        amount: cny(1),
        state: Lost,
    };
    assert_eq!(store.take_dispute(nobodys, START).await, Ok(None), "not ours");
}

/// What a rail was asked for is answered first: an order that is holding or paying keeps its household.
pub async fn closing_out_waits_for_rails(store: &Store) {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    let close = CloseOut { household: family.household, transfer: TransferId::from_bytes(fresh()) };
    let refuse = async || refused(store.close_out(close, START).await);
    let placed = family.place(store, &shop.sell(store, &[5_000]).await, START).await;
    assert_eq!(refuse().await, StoreError::OrdersOpen);
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    assert_eq!(refuse().await, StoreError::OrdersAtRail, "holding");
    let hold = due(store, &family, START).await.expect("a hold");
    let approved = answer(store, &hold, RailAnswer::Done, START).await.expect("it changed");
    assert_eq!(refuse().await, StoreError::OrdersOpen, "held, and not paid");
    store.pay(payment(&approved, START), START).await.expect("taken in");
    let post = due(store, &family, START).await.expect("a post");
    for nobody_knows in [RailAnswer::Pending, RailAnswer::Unknown] {
        answer(store, &post, nobody_knows, START).await;
        assert_eq!(refuse().await, StoreError::OrdersAtRail, "paying");
    }
    answer(store, &post, RailAnswer::Done, START).await.expect("it changed");
    assert_eq!(store.close_out(close, START).await, Ok(cny(1_000)));
}

/// A family with an order on its card in every state that a rail has a part in: expired with its void still asked for; paid,
/// with a refund that is done, one that failed and a lost dispute; paying; holding. For tests of what a check finds.
pub async fn a_family_with_orders_at_its_rail(store: &Store) -> Family {
    let shop = Shop::open(store).await;
    let family = on_card(store).await;
    held(store, &family, &shop).await;
    store.tick(START.plus_ms(11 * MINUTE_MS)).await.expect("it expires");
    let void = due(store, &family, START.plus_ms(11 * MINUTE_MS)).await.expect("a void");
    answer(store, &void, RailAnswer::Unknown, START.plus_ms(48 * HOUR_MS)).await;

    let order = paid_as(store, &family, &shop, "pi_disputed").await;
    for said in [RailAnswer::Declined(Decline::Refused), RailAnswer::Done] {
        store.refund(refund_of(&shop, &order, 100), START).await.expect("asked for");
        let refund = due(store, &family, START).await.expect("a refund");
        answer(store, &refund, said, START).await.expect("it changed");
    }
    let (payment, dispute) = ("pi_disputed".to_owned(), "dp_1".to_owned());
    let (transfer, state) = (TransferId::from_bytes(fresh()), DisputeState::Lost);
    let news = DisputeNews { payment, dispute, transfer, amount: cny(4_900), state };
    store.take_dispute(news, START).await.expect("taken in");

    let approved = held(store, &family, &shop).await;
    store.pay(super::cast::payment(&approved, START), START).await.expect("taken in");
    due(store, &family, START).await.expect("a post");
    let placed = family.place(store, &shop.sell(store, &[700]).await, START).await;
    store.decide(family.nod(&placed, START), START).await.expect("decided");
    family
}
