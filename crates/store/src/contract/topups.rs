//! Wallets that a card fills: asked for once, in the books once, and only when the rail says so.

use nodpay_core::{Amount, Currency, Decline, Payer, RailAnswer, RailReply, Timestamp, TransferId};
use tokio::task::JoinSet;

use super::cast::{Family, HOUR_MS, START, cny, fresh, message, minor, refused};
use crate::{
    Asking, Audience, CONFIRM_LIFE_MS, CardTopUpRow, CardTopUpState, CardTopUpWork, CloseOut, DisputeNews,
    DisputeState, HouseholdEvent, MAX_CARD_TOP_UP, MAX_CARD_TOP_UP_DAY, MIN_CARD_TOP_UP, NewCardTopUp, RAIL_LEASE_MS,
    Store, StoreError, WalletKind,
};

fn card(method: &str) -> Option<Payer> {
    Some(Payer::Stripe { customer: "cus_1".to_owned(), method: method.to_owned() })
}

async fn with_card(store: &Store) -> Family {
    let family = Family::settle(store, 0).await;
    store.set_top_up_card(family.household, card("pm_1"), START).await.expect("a card");
    family
}

/// A charge of this card that came; gives what the rail calls it.
pub(crate) async fn fills(store: &Store, family: &Family, card: Payer) -> String {
    store.set_top_up_card(family.household, Some(card), START).await.expect("a card");
    store.ask_card_top_up(wish(family, 2_000), START).await.expect("written down");
    let work = due(store, family, START).await.pop().expect("a charge");
    answer(store, &work, RailAnswer::Done, START).await;
    format!("pi_{}", work.movement.transfer)
}

/// A dispute of a charge.
pub(crate) fn news(charge: &str, state: DisputeState) -> DisputeNews {
    DisputeNews {
        payment: charge.to_owned(),
        dispute: charge.replace("pi_", "du_"),
        transfer: TransferId::from_bytes(fresh()),
        amount: cny(2_000),
        state,
    }
}

/// One charge of the card that came, one that was declined, one that is asked for.
pub async fn a_family_filled_by_its_card(store: &Store) -> Family {
    let family = with_card(store).await;
    for answered in [Some(RailAnswer::Done), Some(RailAnswer::Declined(Decline::Funds)), None] {
        store.ask_card_top_up(wish(&family, 2_000), START).await.expect("written down");
        let work = due(store, &family, START).await.pop().expect("a charge");
        if let Some(answered) = answered {
            answer(store, &work, answered, START).await;
        }
    }
    family
}

fn wish(family: &Family, units: i64) -> NewCardTopUp {
    let transfer = TransferId::from_bytes(fresh());
    NewCardTopUp {
        household: family.household,
        guardian: family.guardian,
        transfer,
        amount: cny(units),
        message: message("top-up", &transfer),
        counter: 0,
    }
}

/// What is due of the family's.
async fn due(store: &Store, family: &Family, now: Timestamp) -> Vec<CardTopUpWork> {
    let work = store.card_top_up_work(now).await.expect("claimed").0;
    work.into_iter().filter(|work| work.household == family.household).collect()
}

async fn answer(store: &Store, work: &CardTopUpWork, answer: RailAnswer, now: Timestamp) {
    let reply = RailReply { answer, reference: Some(format!("pi_{}", work.movement.transfer)) };
    store.card_top_up_answered(work.clone(), reply, now).await.expect("taken in");
}

async fn shown(store: &Store, family: &Family) -> Vec<CardTopUpState> {
    let rows = store.card_top_ups(family.household).await.expect("a read");
    rows.into_iter().map(|row| row.state).collect()
}

async fn told(store: &Store, family: &Family, audience: Audience, after: u64) -> usize {
    let events = store.events_after(family.household, audience, after, 50).await.expect("a read");
    events.iter().filter(|row| row.event == HouseholdEvent::Balance).count()
}

async fn newest(store: &Store, family: &Family) -> u64 {
    store.household(family.household).await.expect("a read").expect("it is there").last_event
}

pub async fn a_card_fills_the_wallet(store: &Store) {
    let family = Family::settle(store, 0).await;
    let new = wish(&family, 5_000);
    assert_eq!(refused(store.ask_card_top_up(new.clone(), START).await), StoreError::CardMissing);
    store.set_top_up_card(family.household, card("pm_1"), START).await.expect("a card");
    assert_eq!(store.top_up_card(family.household).await, Ok(card("pm_1")));
    assert_eq!(store.payer(family.household).await, Ok(None), "orders go by the wallet as before");

    let last = newest(store, &family).await;
    let row = store.ask_card_top_up(new.clone(), START).await.expect("written down");
    assert_eq!(row.state, CardTopUpState::Asking(Asking::Answer));
    assert_eq!(store.ask_card_top_up(new.clone(), START).await, Ok(row), "again");
    let other = NewCardTopUp { amount: cny(5_001), ..new.clone() };
    assert_eq!(refused(store.ask_card_top_up(other, START).await), StoreError::TransferExists);
    assert_eq!(family.wallet(store).await, (0, 0), "nothing was charged yet");
    assert_eq!(told(store, &family, Audience::Guardian, last).await, 1);
    assert_eq!(told(store, &family, Audience::Watch(family.watch), last).await, 0, "it cannot spend it yet");

    let work = due(store, &family, START).await.pop().expect("a charge");
    assert_eq!((work.movement.transfer, work.movement.amount), (new.transfer, cny(5_000)));
    assert_eq!((&work.known_as, work.asked_before, work.overdue), (&None, false, false));
    assert_eq!(due(store, &family, START).await, [], "it is claimed");
    for answered in [RailAnswer::Done, RailAnswer::Done, RailAnswer::Declined(Decline::Refused)] {
        answer(store, &work, answered, START).await;
        assert_eq!(family.wallet(store).await, (5_000, 0), "once, and for good");
    }
    assert_eq!(shown(store, &family).await, [CardTopUpState::Done]);
    assert_eq!(told(store, &family, Audience::Watch(family.watch), last).await, 1);
    assert_eq!(due(store, &family, START.plus_ms(HOUR_MS)).await, []);
    let page = store.wallet_page(family.household, None, 10).await.expect("a page");
    let movement = page.movements.first().expect("a movement");
    assert_eq!((movement.kind, movement.transfer, movement.change), (WalletKind::Card, new.transfer, minor(5_000)));
}

pub async fn a_card_top_up_waits_for_its_answer(store: &Store) {
    let family = with_card(store).await;
    let new = wish(&family, 2_000);
    store.ask_card_top_up(new.clone(), START).await.expect("written down");

    // Who claimed it died; the next one is told that it may have been done.
    assert_eq!(due(store, &family, START).await.len(), 1);
    let now = START.plus_ms(RAIL_LEASE_MS);
    let work = due(store, &family, now).await.pop().expect("again");
    assert!(work.asked_before);
    answer(store, &work, RailAnswer::Unknown, now).await;
    assert_eq!(shown(store, &family).await, [CardTopUpState::Asking(Asking::Unknown)]);
    assert_eq!(
        store.close_out(CloseOut { household: family.household, transfer: TransferId::from_bytes(fresh()) }, now).await,
        Err(StoreError::OrdersAtRail)
    );
    assert_eq!(due(store, &family, now).await, [], "not at once");

    // The rail's own word makes it due.
    assert_eq!(store.wake_rail(new.transfer, now).await, Ok(true));
    let work = due(store, &family, now).await.pop().expect("now");
    assert_eq!(work.known_as, Some(format!("pi_{}", new.transfer)));
    answer(store, &work, RailAnswer::ActionNeeded("https://bank.test/1".to_owned()), now).await;
    assert_eq!(
        shown(store, &family).await,
        [CardTopUpState::Asking(Asking::Guardian("https://bank.test/1".to_owned()))]
    );
    let late = START.plus_ms(CONFIRM_LIFE_MS + 1);
    let work = due(store, &family, late).await.pop().expect("still asked");
    assert!(work.overdue);
    answer(store, &work, RailAnswer::Declined(Decline::NotConfirmed), late).await;
    assert_eq!(shown(store, &family).await, [CardTopUpState::Declined(Decline::NotConfirmed)]);
    assert_eq!(family.wallet(store).await, (0, 0));
    store
        .close_out(CloseOut { household: family.household, transfer: TransferId::from_bytes(fresh()) }, late)
        .await
        .expect("nothing is open");
    let closed = store.ask_card_top_up(wish(&family, 2_000), late).await;
    assert_eq!(refused(closed), StoreError::HouseholdClosed);
}

pub async fn card_top_ups_have_limits(store: &Store) {
    let family = with_card(store).await;
    let ask = async |new: NewCardTopUp, now| store.ask_card_top_up(new, now).await;
    for units in [0, -500, MIN_CARD_TOP_UP - 1, MAX_CARD_TOP_UP + 1] {
        assert_eq!(refused(ask(wish(&family, units), START).await), StoreError::TopUpAmount);
    }
    let euro = NewCardTopUp { amount: Amount::new(minor(1_000), Currency::EUR), ..wish(&family, 1_000) };
    assert_eq!(refused(ask(euro, START).await), StoreError::CurrencyNotSupported);
    let stranger = NewCardTopUp { guardian: with_card(store).await.guardian, ..wish(&family, 1_000) };
    assert_eq!(refused(ask(stranger, START).await), StoreError::GuardianUnknown);
    store.set_frozen(family.household, true, START).await.expect("frozen");
    assert_eq!(refused(ask(wish(&family, 1_000), START).await), StoreError::HouseholdFrozen);
    store.set_frozen(family.household, false, START).await.expect("goes on");

    // What was declined does not count; what is open does. After a day all of it is over.
    ask(wish(&family, MAX_CARD_TOP_UP), START).await.expect("the most at once");
    let work = due(store, &family, START).await.pop().expect("a charge");
    answer(store, &work, RailAnswer::Declined(Decline::Funds), START).await;
    for _ in 0..MAX_CARD_TOP_UP_DAY / MAX_CARD_TOP_UP {
        ask(wish(&family, MAX_CARD_TOP_UP), START).await.expect("in the day");
    }
    let over = wish(&family, MIN_CARD_TOP_UP);
    assert_eq!(refused(ask(over.clone(), START.plus_ms(24 * HOUR_MS - 1)).await), StoreError::TopUpDay);
    ask(over, START.plus_ms(24 * HOUR_MS)).await.expect("the next day");
}

pub async fn card_top_ups_at_once(store: &Store) {
    let family = with_card(store).await;
    let new = wish(&family, MAX_CARD_TOP_UP);
    let mut asks = JoinSet::new();
    for number in 0..8 {
        let (store, new) = (store.clone(), if number < 4 { new.clone() } else { wish(&family, MAX_CARD_TOP_UP) });
        asks.spawn(async move { store.ask_card_top_up(new, START).await });
    }
    let asked: Vec<Result<CardTopUpRow, StoreError>> = asks.join_all().await;
    let full = asked.iter().filter(|asked| matches!(asked, Err(StoreError::TopUpDay))).count();
    assert!((3..=7).contains(&full), "the day's limit holds: {asked:?}");
    assert_eq!(shown(store, &family).await.len(), 2);

    let mut claims = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        claims.spawn(async move { store.card_top_up_work(START).await.expect("claimed").0 });
    }
    let work: Vec<CardTopUpWork> = claims.join_all().await.into_iter().flatten().collect();
    let own: Vec<&CardTopUpWork> = work.iter().filter(|work| work.household == family.household).collect();
    assert_eq!(own.len(), 2, "each is claimed by one");
    let mut answers = JoinSet::new();
    for work in own.iter().flat_map(|work| [(*work).clone(), (*work).clone(), (*work).clone()]) {
        let store = store.clone();
        let reply = RailReply { answer: RailAnswer::Done, reference: None };
        answers.spawn(async move { store.card_top_up_answered(work, reply, START).await.expect("taken in") });
    }
    answers.join_all().await;
    assert_eq!(family.wallet(store).await, (2 * MAX_CARD_TOP_UP, 0), "each once");
}

pub async fn a_disputed_top_up_stops_the_next(store: &Store) {
    let family = Family::settle(store, 0).await;
    let charge = fills(store, &family, card("pm_1").expect("a card")).await;
    for (said, expected) in [
        (DisputeState::Open, Some(DisputeState::Open)),
        (DisputeState::Open, None),
        (DisputeState::Lost, Some(DisputeState::Lost)),
        (DisputeState::Won, None),
    ] {
        assert_eq!(store.take_dispute(news(&charge, said), START).await, Ok(expected));
    }
    let row = store.card_top_ups(family.household).await.expect("a read").pop().expect("it");
    assert_eq!((row.state, row.dispute), (CardTopUpState::Done, Some(DisputeState::Lost)));
    assert_eq!(family.wallet(store).await, (2_000, 0), "it may be spent: the operator settles it");
    assert_eq!(refused(store.ask_card_top_up(wish(&family, 3_000), START).await), StoreError::CardDisputed);
    store.set_top_up_card(family.household, card("pm_2"), START).await.expect("another card");
    store.ask_card_top_up(wish(&family, 3_000), START).await.expect("by that one");
}
