//! Looking back over a household's orders and money.

use nodpay_core::{OrderId, OutcomeKind, Text, Timestamp, TransferId, Verdict};

use super::cast::{Family, HOUR_MS, START, Shop, cancellation, cny, fresh, refused};
use crate::{Ending, HistoryAsked, MAX_HISTORY_PAGE, MAX_LOOKED_AT, Refund, Store, StoreError, TopUp};

const DAY_MS: i64 = 24 * HOUR_MS;

fn all() -> HistoryAsked {
    let (from, to) = (Timestamp::from_unix_ms(0), START.plus_ms(1_000 * DAY_MS));
    HistoryAsked { from, to, wearer: None, merchant: None, ending: None }
}

pub async fn history_is_found(store: &Store) {
    let (shop, other) = (Shop::open(store).await, Shop::open(store).await);
    let mut family = Family::settle(store, 100_000).await;
    let second = family.add_watch(store).await;
    let stranger = Family::settle(store, 1_000).await;
    stranger.paid(store, &shop.sell(store, &[5]).await, START).await;

    let paid = family.paid(store, &shop.sell(store, &[700, 300]).await, START).await;
    let day = START.plus_ms(DAY_MS);
    let refusal = family.place(store, &other.sell_for(store, &[50], 9 * DAY_MS).await, day).await;
    store.decide(family.refusal(&refusal, day), day).await.expect("refused");
    let part = shop.sell_for(store, &[200, 100], 9 * DAY_MS).await;
    let late = START.plus_ms(2 * DAY_MS);
    let placed = store.place_order(family.order_from(second, &part, late), late).await.expect("an order");
    let nod = family.decision(&placed, Verdict::Approve, cny(200), &[super::cast::line_id("l1")], late);
    let approved = store.decide(nod, late).await.expect("approved");
    let posted = late.plus_ms(1_000);
    store.pay(super::payment_over(&approved, posted), posted).await.expect("paid");
    let open = family.place(store, &other.sell_for(store, &[60], 9 * DAY_MS).await, late).await;

    let find = async |asked: HistoryAsked| {
        let page = store.history(family.household, asked, None, 20).await.expect("a page");
        assert_eq!(page.next, None);
        page.rows
    };
    let ids = async |asked: HistoryAsked| find(asked).await.into_iter().map(|row| row.order).collect::<Vec<_>>();
    let rows = find(all()).await;
    assert_eq!(ids(all()).await, [open.order, placed.order, refusal.order, paid.order]);
    let shown = &rows[1];
    assert_eq!((shown.watch, shown.wearer, shown.received), (second, placed.wearer, late));
    assert_eq!((&shown.certificate, &shown.bill), (&shop.certificate, &part.message));
    assert_eq!((shown.total, shown.struck.as_slice()), (cny(200), &[super::cast::line_id("l1")][..]));
    assert_eq!((shown.outcome, shown.posted.map(|(_, at)| at)), (Some(OutcomeKind::Paid), Some(posted)));
    assert_eq!((rows[0].outcome, rows[0].posted), (None, None));
    assert_eq!((rows[2].outcome, rows[2].posted), (Some(OutcomeKind::Refused), None));

    let of_shop = HistoryAsked { merchant: Some(other.merchant), ..all() };
    assert_eq!(ids(of_shop).await, [open.order, refusal.order]);
    let of_wearer = HistoryAsked { wearer: Some(family.wearer), ..all() };
    assert_eq!(ids(of_wearer).await.len(), rows.iter().filter(|row| row.wearer == family.wearer).count());
    let nobody = HistoryAsked { wearer: Some(nodpay_core::WearerId::from_bytes(fresh())), ..all() };
    assert_eq!(ids(nobody).await, []);
    let ended = |ending| HistoryAsked { ending: Some(ending), ..all() };
    assert_eq!(ids(ended(Ending::Open)).await, [open.order]);
    assert_eq!(ids(ended(Ending::Ended(OutcomeKind::Refused))).await, [refusal.order]);
    assert_eq!(ids(ended(Ending::Refunded)).await, []);
    let between = |from, to| HistoryAsked { from, to, ..all() };
    assert_eq!(ids(between(day, late)).await, [refusal.order]);
    assert_eq!(ids(between(late, late.plus_ms(1))).await, [open.order, placed.order]);
    assert_eq!(ids(between(START.plus_ms(-DAY_MS), START)).await, []);

    // What comes back is the household's, and its order's.
    let refund = TransferId::from_bytes(fresh());
    let reason = Some(Text::new("坏了").expect("a text"));
    let back = Refund { merchant: shop.merchant, bill: paid.bill, refund, amount: cny(250), reason: reason.clone() };
    store.refund(back, late).await.expect("a refund");
    assert_eq!(ids(ended(Ending::Refunded)).await, [paid.order]);
    let top_up = TopUp { household: family.household, transfer: TransferId::from_bytes(fresh()), amount: cny(77) };
    store.top_up(top_up, day).await.expect("a top-up");
    let moves = store.moves(family.household, day, late.plus_ms(1)).await.expect("moves");
    let [moved] = moves.refunds.as_slice() else { panic!("{moves:?}") };
    assert_eq!((moved.transfer, moved.at, moved.amount, &moved.reason), (refund, late, cny(250), &reason));
    assert_eq!((moved.order, moved.wearer, &moved.certificate), (paid.order, paid.wearer, &shop.certificate));
    let [topped] = moves.wallet.as_slice() else { panic!("{moves:?}") };
    assert_eq!((topped.at, topped.amount), (day, cny(77)));
    assert_eq!(store.moves(family.household, day.plus_ms(1), late).await, Ok(crate::Moves::default()));

    let mut shops: Vec<_> =
        store.shops(family.household).await.expect("shops").into_iter().map(|one| one.digest).collect();
    shops.sort();
    let mut known = [shop.certificate.digest, other.certificate.digest];
    known.sort();
    assert_eq!(shops, known);
    assert_eq!(store.shops(stranger.household).await.map(|shops| shops.len()), Ok(1));
    store.cancel_order(cancellation(&open, late), late).await.expect("cancelled");
}

pub async fn history_comes_in_pages(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    let bill = shop.sell_for(store, &[1], 90 * DAY_MS).await;
    let mut placed = Vec::new();
    for number in 0..12 {
        let at = START.plus_ms(number * DAY_MS);
        let row = family.place(store, &bill, at).await;
        store.cancel_order(cancellation(&row, at), at).await.expect("cancelled");
        placed.insert(0, (row.order, at));
    }
    let mut seen = Vec::new();
    let mut before: Option<OrderId> = None;
    loop {
        let page = store.history(family.household, all(), before, 5).await.expect("a page");
        seen.extend(page.rows.iter().map(|row| (row.order, row.received)));
        let Some((next, at)) = page.next else { break };
        assert_eq!(seen.last(), Some(&(next, at)));
        before = Some(next);
    }
    assert_eq!(seen, placed);
    // Every day is found by halving.
    for (order, at) in &placed {
        let asked = HistoryAsked { from: *at, to: at.plus_ms(DAY_MS), ..all() };
        let page = store.history(family.household, asked, None, MAX_HISTORY_PAGE).await.expect("a page");
        assert_eq!(page.rows.iter().map(|row| row.order).collect::<Vec<_>>(), [*order]);
    }
    let unknown = store.history(family.household, all(), Some(OrderId::from_bytes(fresh())), 5).await;
    assert_eq!(refused(unknown), StoreError::OrderUnknown);
    const { assert!(MAX_LOOKED_AT > MAX_HISTORY_PAGE) };
}
