//! Phones that want to be woken, and what is queued for them.

use nodpay_core::{Digest, GuardianId, SessionId, Timestamp};

use super::cast::{Family, HOUR_MS, START, Shop, fresh, fresh_key, refused};
use super::guardians::{add, leave, person};
use crate::{
    Alert, HouseholdEvent, MAX_SUBSCRIPTIONS, NewSubscription, PUSH_LEASE_MS, PushAuth, PushDetail, PushLanguage,
    PushWork, QueuePush, Store, StoreError, Subscription,
};

pub(super) fn phone(family: &Family, guardian: GuardianId) -> NewSubscription {
    let id = Digest::from_bytes(fresh());
    let subscription = Subscription {
        household: family.household,
        guardian,
        id,
        endpoint: format!("https://push.example/{id}"),
        key: fresh_key(),
        auth: PushAuth(fresh()),
        language: PushLanguage::Zh,
        detail: PushDetail::Plain,
    };
    NewSubscription { subscription, session: SessionId::from_bytes(fresh()), chosen: false }
}

pub(super) async fn subscribe(store: &Store, new: &NewSubscription, now: Timestamp) -> PushDetail {
    store.subscribe_push(new.clone(), now).await.expect("subscribed")
}

async fn found(store: &Store, of: &NewSubscription) -> Option<Subscription> {
    store.subscription(of.subscription.household, of.subscription.id).await.expect("a read")
}

/// An order, as the store just announced it.
async fn ordered(store: &Store, family: &Family, shop: &Shop) -> Alert {
    let mut alerts = store.alerts();
    let row = family.place(store, &shop.sell(store, &[100]).await, START).await;
    loop {
        let alert = alerts.recv().await.expect("told after the commit");
        if alert.household == family.household && alert.row.event == HouseholdEvent::Order(row.order) {
            return alert;
        }
    }
}

fn queue(alert: Alert) -> QueuePush {
    QueuePush { alert, expires: START.plus_ms(HOUR_MS), except: Vec::new() }
}

async fn queued(store: &Store, new: QueuePush, now: Timestamp) -> Vec<PushWork> {
    store.queue_push(new, now).await.expect("queued")
}

async fn work(store: &Store, now: Timestamp) -> Vec<PushWork> {
    store.push_work(now).await.expect("claimed").0
}

pub async fn phones_subscribe_and_leave(store: &Store) {
    let mut family = Family::settle(store, 0).await;
    let home = family.household;
    assert_eq!(store.wakeable(home).await, Ok(false));
    assert_eq!(store.wakeable_at_hand(home), Some(false));

    let mut one = phone(&family, family.guardian);
    assert_eq!(subscribe(store, &one, START).await, PushDetail::Plain);
    assert_eq!((store.wakeable_at_hand(home), store.wakeable(home).await), (None, Ok(true)));
    assert_eq!(found(store, &one).await.as_ref(), Some(&one.subscription));
    // What was chosen stays when the phone only says that it is there.
    (one.chosen, one.subscription.detail) = (true, PushDetail::Items);
    assert_eq!(subscribe(store, &one, START).await, PushDetail::Items);
    (one.chosen, one.subscription.detail, one.subscription.language) = (false, PushDetail::Plain, PushLanguage::En);
    assert_eq!(subscribe(store, &one, START).await, PushDetail::Items);
    assert_eq!(found(store, &one).await.expect("there").language, PushLanguage::En);

    // Logging out ends it; so does whoever asks for their own, and nobody else.
    store.end_session(SessionId::from_bytes(fresh())).await.expect("ended");
    assert!(found(store, &one).await.is_some());
    store.end_session(one.session).await.expect("ended");
    assert_eq!((found(store, &one).await, store.wakeable(home).await), (None, Ok(false)));
    subscribe(store, &one, START).await;
    let id = one.subscription.id;
    store.unsubscribe_push(home, GuardianId::from_bytes(fresh()), id).await.expect("nothing");
    assert!(found(store, &one).await.is_some());
    store.unsubscribe_push(home, family.guardian, id).await.expect("ended");
    assert_eq!(found(store, &one).await, None);

    // A browser belongs to whoever subscribed it last, and keeps nobody else's choice.
    (one.chosen, one.subscription.detail) = (true, PushDetail::Total);
    subscribe(store, &one, START).await;
    let other = Family::settle(store, 0).await;
    let mut moved = phone(&other, other.guardian);
    (moved.subscription.id, moved.subscription.endpoint) = (id, one.subscription.endpoint.clone());
    assert_eq!(subscribe(store, &moved, START).await, PushDetail::Plain);
    assert_eq!((found(store, &one).await, found(store, &moved).await.is_some()), (None, true));

    // A guardian has a few phones, the newest ones.
    let newcomer = person();
    let stranger = phone(&family, newcomer.guardian);
    assert_eq!(refused(store.subscribe_push(stranger.clone(), START).await), StoreError::GuardianUnknown);
    add(store, &mut family, &newcomer).await;
    subscribe(store, &stranger, START).await;
    let mut phones = Vec::new();
    for minute in 0..=MAX_SUBSCRIPTIONS {
        phones.push(phone(&family, family.guardian));
        let later = START.plus_ms(i64::try_from(minute).expect("few") * 60_000);
        subscribe(store, &phones[minute], later).await;
    }
    assert_eq!(found(store, &phones[0]).await, None, "the oldest");
    for kept in phones[1..].iter().chain([&stranger]) {
        assert!(found(store, kept).await.is_some());
    }
}

pub async fn pushes_are_queued_and_claimed_once(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let alert = ordered(store, &family, &shop).await;
    assert_eq!(queued(store, queue(alert), START).await.len(), 0, "nobody wants to be woken");

    let newcomer = person();
    add(store, &mut family, &newcomer).await;
    let (one, two) = (phone(&family, family.guardian), phone(&family, newcomer.guardian));
    subscribe(store, &one, START).await;
    subscribe(store, &two, START).await;
    // Two replicas queue the same event at once.
    let (left, right) = tokio::join!(queued(store, queue(alert), START), queued(store, queue(alert), START));
    assert_eq!(left.len() + right.len(), 2, "each phone once");
    assert_eq!(work(store, START).await.len(), 0, "claimed by whoever queued them");

    // One is sent, the other's replica dies; of those who look for it one gets it.
    let mut claimed = [left, right].concat();
    claimed.sort_by_key(|work| work.subscription.id != one.subscription.id);
    store.push_answered(claimed[0].clone(), None).await.expect("sent");
    let late = START.plus_ms(PUSH_LEASE_MS);
    let (_, next) = store.push_work(late.plus_ms(-1)).await.expect("a read");
    assert!(next.is_some_and(|next| next <= late));
    let (left, right) = tokio::join!(work(store, late), work(store, late));
    let again: Vec<_> =
        [left, right].concat().into_iter().filter(|work| work.subscription == two.subscription).collect();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].row, again[0].tries, again[0].expires), (alert.row, 2, START.plus_ms(HOUR_MS)));
    // What the dead one would still say counts no more.
    store.push_answered(claimed[1].clone(), None).await.expect("ignored");
    let retry = late.plus_ms(5_000);
    store.push_answered(again[0].clone(), Some(retry)).await.expect("later");
    assert!(work(store, retry.plus_ms(-1)).await.iter().all(|work| work.subscription != two.subscription));

    // Newer news of the order take its place, but for whoever did it.
    let mut newer = alert;
    newer.row.seq += 1;
    let told = queued(store, QueuePush { except: vec![family.guardian], ..queue(newer) }, late).await;
    assert_eq!(told.iter().map(|work| work.subscription.id).collect::<Vec<_>>(), [two.subscription.id]);
    store.push_answered(told[0].clone(), None).await.expect("sent");
    assert!(work(store, retry).await.iter().all(|work| work.subscription != two.subscription));

    // The phone is gone, with what was queued for it.
    let mut third = alert;
    third.row.seq += 2;
    assert_eq!(queued(store, queue(third), late).await.len(), 2);
    store.push_gone(family.household, one.subscription.id).await.expect("gone");
    // A guardian whose time is over is not woken, also by what was queued before.
    leave(store, &mut family, &newcomer, START.plus_ms(2 * HOUR_MS)).await;
    let over = START.plus_ms(2 * HOUR_MS);
    assert!(work(store, over).await.iter().all(|work| work.subscription.household != family.household));
    assert_eq!(found(store, &two).await, None);
    assert_eq!(queued(store, queue(third), over).await.len(), 0);
    assert_eq!(store.wakeable(family.household).await, Ok(false));
}

pub async fn the_first_push_key_stays(store: &Store) {
    let (one, other) = (fresh_key(), fresh_key());
    assert_eq!(store.push_key().await, Ok(None));
    assert_eq!(store.keep_push_key(one).await, Ok(one));
    assert_eq!(store.keep_push_key(other).await, Ok(one));
    assert_eq!(store.push_key().await, Ok(Some(one)));

    // A new one takes all phones with it: they subscribed with the old one.
    let family = Family::settle(store, 0).await;
    let phone = phone(&family, family.guardian);
    subscribe(store, &phone, START).await;
    store.renew_push_key(other).await.expect("renewed");
    assert_eq!((store.push_key().await, found(store, &phone).await), (Ok(Some(other)), None));
    assert_eq!(store.wakeable(family.household).await, Ok(false));
}
