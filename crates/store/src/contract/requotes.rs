//! Asking the merchant for a reduced bill.

use nodpay_core::{AskId, OrderState, OutcomeKind, Text};

use super::cast::{
    Family, MINUTE_MS, START, Shop, cancellation, cny, fresh, line_id, merchant_events, message, outcome_of, payment,
    refused, requote, ticked,
};
use crate::{
    ASK_LIFE_MS, AnswerRequote, AskRequote, AskState, Audience, BillStatus, HouseholdEvent, MAX_ASKS, MerchantEvent,
    OrderRow, Store, StoreError,
};

pub(super) fn ask_for(row: &OrderRow, line: &str) -> AskRequote {
    let ask = AskId::from_bytes(fresh());
    AskRequote { household: row.household, order: row.order, ask, struck: vec![line_id(line)] }
}

pub async fn requoting(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[600, 300]).await;
    let row = family.place(store, &bill, START).await;
    let last = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let merchant_last = merchant_events(store, shop.merchant, 0, 2).await[1].seq;
    let old_nod = family.nod(&row, START);

    let ask = ask_for(&row, "l1");
    let asked = store.ask_requote(ask.clone(), START).await.expect("an ask");
    assert_eq!((asked.revision, asked.deadline, &asked.state), (2, START.plus_ms(ASK_LIFE_MS), &AskState::Asked));
    assert_eq!((asked.bill, asked.merchant, asked.order), (bill.bill, shop.merchant, row.order));
    assert_eq!(store.ask_requote(ask.clone(), START).await.as_ref(), Ok(&asked));
    assert_eq!(store.requote_ask(ask.ask).await, Ok(Some(asked.clone())));
    let mut changed = ask.clone();
    changed.struck = vec![line_id("l0")];
    assert_eq!(refused(store.ask_requote(changed, START).await), StoreError::AskExists);
    let shown = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(shown.ask, Some(asked.clone()));

    let (reduced, wire) = requote(&bill, shop.merchant, 2, 550);
    let answer = AnswerRequote { merchant: shop.merchant, ask: ask.ask, bill: reduced, message: wire };
    let mut wrong = answer.clone();
    wrong.bill.revision = 3;
    assert_eq!(refused(store.answer_requote(wrong, START).await), StoreError::WrongRevision);
    let mut nosy = answer.clone();
    nosy.merchant = Shop::open(store).await.merchant;
    assert_eq!(refused(store.answer_requote(nosy, START).await), StoreError::AskUnknown);
    let answered = store.answer_requote(answer.clone(), START).await.expect("an answer");
    assert_eq!(answered.state, AskState::Answered(answer.message.digest));
    assert_eq!(store.answer_requote(answer.clone(), START).await.as_ref(), Ok(&answered));
    let mut second = answer.clone();
    second.message = message("bill", &"another requote");
    assert_eq!(refused(store.answer_requote(second, START).await), StoreError::AskClosed);
    let reason = Text::new("卖完了").expect("a reason");
    let error = refused(store.refuse_requote(shop.merchant, ask.ask, reason, START).await);
    assert_eq!(error, StoreError::AskClosed);

    let row = store.order(family.household, row.order).await.expect("a read").expect("the order");
    let standing = row.requote.as_ref().expect("a requote");
    assert_eq!((standing.revision, standing.total), (2, cny(550)));
    assert_eq!((&standing.message, standing.struck.as_slice()), (&answer.message, &[line_id("l1")][..]));
    assert_eq!((row.total, row.current_bill()), (cny(900), answer.message.digest));
    assert_eq!(row.ask, Some(answered));
    let till = store.bill(bill.bill).await.expect("a read").expect("the bill");
    assert_eq!((till.status(START), till.current_total()), (BillStatus::Changed, cny(550)));
    assert_eq!(till.struck(), [line_id("l1")]);

    assert_eq!(refused(store.decide(old_nod, START).await), StoreError::StaleBill);
    let mut nod = family.nod(&row, START);
    nod.decision.struck = vec![line_id("l1")];
    let approved = store.decide(nod, START).await.expect("a decision");
    assert_eq!(store.order(family.household, row.order).await.as_ref(), Ok(&Some(approved.clone())));
    let paid = store.pay(payment(&approved, START), START).await.expect("a payment");
    assert_eq!((outcome_of(&paid).total, family.wallet(store).await), (cny(550), (450, 0)));
    let evidence = store.evidence(family.household, row.order).await.expect("evidence");
    assert_eq!(evidence.order.requote.map(|requote| requote.message), Some(answer.message));

    let guardian = store.events_after(family.household, Audience::Guardian, last, 3).await.expect("a read");
    let order = row.order;
    let expected = [HouseholdEvent::Requote(order), HouseholdEvent::Requote(order), HouseholdEvent::Decision(order)];
    assert_eq!(guardian.iter().map(|row| row.event).collect::<Vec<_>>(), expected);
    let merchant = merchant_events(store, shop.merchant, merchant_last, 2).await;
    let expected = [MerchantEvent::Requote(bill.bill, ask.ask), MerchantEvent::Bill(bill.bill)];
    assert_eq!(merchant.iter().take(2).map(|row| row.event).collect::<Vec<_>>(), expected);
    let late = store.ask_requote(ask_for(&row, "l0"), START).await;
    assert_eq!(refused(late), StoreError::OrderEnded(OutcomeKind::Paid));
}

pub async fn asks_that_come_to_nothing(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell(store, &[600, 300]).await;
    let row = family.place(store, &bill, START).await;
    let state = async |ask| store.requote_ask(ask).await.expect("a read").expect("the ask").state;
    let unknown = AskId::from_bytes(fresh());
    assert_eq!(store.requote_ask(unknown).await, Ok(None));

    // The merchant says no.
    let first = ask_for(&row, "l1");
    store.ask_requote(first.clone(), START).await.expect("an ask");
    let reason = Text::new("套餐不能拆").expect("a reason");
    let said = store.refuse_requote(shop.merchant, first.ask, reason.clone(), START).await.expect("taken in");
    assert_eq!(said.state, AskState::Refused(reason.clone()));
    assert_eq!(store.refuse_requote(shop.merchant, first.ask, reason.clone(), START).await, Ok(said));
    let nobody = store.refuse_requote(shop.merchant, unknown, reason.clone(), START).await;
    assert_eq!(refused(nobody), StoreError::AskUnknown);

    // No answer in time: the answer that comes later is for nothing.
    let second = ask_for(&row, "l1");
    let asked = store.ask_requote(second.clone(), START).await.expect("an ask");
    assert_eq!(asked.revision, 3);
    let (reduced, wire) = requote(&bill, shop.merchant, 3, 500);
    let answer = AnswerRequote { merchant: shop.merchant, ask: second.ask, bill: reduced, message: wire };
    assert_eq!(store.next_deadline().await, Ok(Some(asked.deadline)));
    assert_eq!(refused(store.answer_requote(answer.clone(), asked.deadline).await), StoreError::AskClosed);
    let next = row.state.deadline();
    assert_eq!(store.tick(asked.deadline).await, Ok(ticked(1, next)));
    assert_eq!(state(second.ask).await, AskState::TimedOut);
    assert_eq!(refused(store.answer_requote(answer, START).await), StoreError::AskClosed);

    // A newer ask takes an older one's place.
    let (third, fourth) = (ask_for(&row, "l0"), ask_for(&row, "l1"));
    store.ask_requote(third.clone(), START).await.expect("an ask");
    store.ask_requote(fourth.clone(), START).await.expect("an ask");
    assert_eq!((state(third.ask).await, state(fourth.ask).await), (AskState::TimedOut, AskState::Asked));

    // The guardian decides without waiting.
    let row = store.decide(family.nod(&row, START), START).await.expect("a decision");
    assert_eq!(row.ask.as_ref().map(|ask| ask.state.clone()), Some(AskState::TimedOut));
    assert_eq!(store.order(family.household, row.order).await.as_ref(), Ok(&Some(row.clone())));
    assert_eq!(refused(store.ask_requote(ask_for(&row, "l1"), START).await), StoreError::AlreadyDecided);
    store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");

    // An undecided requote is not part of the evidence.
    let row = family.place(store, &bill, START).await;
    let ask = ask_for(&row, "l1");
    let revision = store.ask_requote(ask.clone(), START).await.expect("an ask").revision;
    assert_eq!(revision, 6, "no two asks of a bill have the same");
    let (reduced, wire) = requote(&bill, shop.merchant, revision, 500);
    let answer = AnswerRequote { merchant: shop.merchant, ask: ask.ask, bill: reduced, message: wire };
    store.answer_requote(answer, START).await.expect("an answer");
    let row = store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
    assert!(row.requote.is_some());
    assert_eq!(outcome_of(&row).total, cny(900));
    let evidence = store.evidence(family.household, row.order).await.expect("evidence");
    assert_eq!(evidence.order.requote, None);

    // Not without end, and not after the end.
    let row = family.place(store, &bill, START).await;
    for _ in 0..MAX_ASKS {
        store.ask_requote(ask_for(&row, "l1"), START).await.expect("an ask");
    }
    assert_eq!(refused(store.ask_requote(ask_for(&row, "l1"), START).await), StoreError::TooManyAsks);
    let over = START.plus_ms(10 * MINUTE_MS);
    assert_eq!(refused(store.ask_requote(ask_for(&row, "l1"), over).await), StoreError::OrderExpired);
    let row = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Expired });
    let mut nowhere = ask_for(&row, "l1");
    nowhere.order = nodpay_core::OrderId::from_bytes(fresh());
    assert_eq!(refused(store.ask_requote(nowhere, START).await), StoreError::OrderUnknown);
}
