//! Households that are erased, and orders whose messages are no longer kept.

use nodpay_core::{
    AskId, CredentialId, ERASE_DELAY_MS, Entry, Erase, Every, OrderId, OrderState, OutcomeKind, PairingId, Payer,
    PersonName, PinReport, PinState, RecoveryKeys, Salt, ScheduleId, SessionId, Text, Timestamp, TransferId, V1,
};

use super::cast::{
    Family, HOUR_MS, MINUTE_MS, START, Shop, cancellation, cny, fresh, fresh_key, invite, line_id, message, refused,
    report,
};
use super::guardians::person;
use super::mandates::{rule, snacks};
use super::push::{phone, subscribe};
use super::requotes::ask_for;
use super::topups;
use crate::{
    BillRow, ClaimJoin, CloseOut, DisputeState, Erased, InvitationKind, JoinClaim, MAX_CUT, NewBill, NewJoin,
    NewPairing, NewSchedule, NewSession, OrderRow, PlaceOrder, Refund, ReportPin, SessionOf, Store, StoreError,
    TokenHash,
};

const DAY_MS: i64 = 24 * HOUR_MS;
/// In every text that a person of the story wrote or is called by.
const MARK: &str = "密";

/// A text of the story's people.
fn said<const MAX: usize>(what: &str) -> Text<MAX> {
    Text::new(&format!("{MARK}{what}")).expect("short")
}

fn named(what: &str) -> PersonName {
    PersonName { name: said(what), salt: Salt::from_bytes(fresh()) }
}

/// A household with a trace in every table that knows households, and what must not be found of it later.
pub(crate) struct Story {
    pub(crate) shop: Shop,
    pub(crate) family: Family,
    paid: BillRow,
    pub(crate) order: OrderRow,
    session: TokenHash,
}

impl Story {
    pub(crate) async fn tell(store: &Store) -> Self {
        let shop = Shop::open(store).await;
        let mut family = Family::imagine();
        family.name = named("小敏");
        let invitation = invite(store, InvitationKind::Guardian).await;
        let mut founding = family.founding(invitation, nodpay_core::Currency::CNY);
        founding.name = Some(named("妈妈"));
        store.create_household(founding, START).await.expect("founded");
        let (watch, wearer) = (family.watch, family.wearer);
        family.enrol(store, watch, wearer).await.expect("a watch");
        let top_up = crate::TopUp { household: family.household, transfer: transfer(), amount: cny(10_000) };
        store.top_up(top_up, START).await.expect("money");
        let session = Self::of_people(store, &mut family).await;
        let paid = sell(store, &shop, "画册").await;
        let order = Self::of_orders(store, &shop, &mut family, &paid).await;
        Self { shop, family, paid, order, session }
    }

    async fn of_people(store: &Store, family: &mut Family) -> TokenHash {
        let (household, guardian) = (family.household, family.guardian);
        let token = TokenHash(fresh());
        let session = NewSession {
            session: SessionId::from_bytes(fresh()),
            token,
            of: SessionOf::Guardian { household, guardian },
            device: said("手机"),
            expires: START.plus_ms(60 * DAY_MS),
            ends: START.plus_ms(60 * DAY_MS),
        };
        store.create_session(session, START).await.expect("a session");
        let mut phone = phone(family, guardian);
        phone.subscription.endpoint = format!("https://push.example/{MARK}");
        subscribe(store, &phone, START).await;
        let (pairing, expires) = (PairingId::from_bytes(fresh()), START.plus_ms(HOUR_MS));
        store.create_pairing(NewPairing { pairing, household, expires }, START).await.expect("a pairing");
        let pairing = PairingId::from_bytes(fresh());
        store.create_join(NewJoin { pairing, household, expires }).await.expect("an invitation");
        let newcomer = person().guardian;
        let claim = JoinClaim { guardian: newcomer, name: named("爸爸"), message: message("claim", &MARK) };
        store.claim_join(ClaimJoin { pairing, household, claim }, START).await.expect("claimed");
        for seq in 1..=2 {
            let report = PinReport {
                v: V1,
                household,
                watch: family.watch,
                seq,
                nonce: nodpay_core::Nonce::from_bytes(fresh()),
                state: PinState::Locked,
                wrong: 10,
                until: None,
                at: START,
            };
            let message = message("pin-report", &(&report, MARK));
            store.report_pin(ReportPin { report, message }, START).await.expect("taken in");
        }
        let keys = RecoveryKeys { keys: vec![fresh_key()] };
        let keys = family.append(Entry::EnrolRecovery(keys), None);
        family.send(store, keys).await.expect("codes");
        let schedule = NewSchedule {
            household,
            schedule: ScheduleId::from_bytes(fresh()),
            amount: cny(1),
            every: Every::Month,
            first: START.plus_ms(300 * DAY_MS),
        };
        store.add_schedule(schedule).await.expect("pocket money");
        store.set_away(household, guardian, Some(START.plus_ms(DAY_MS)), START).await.expect("away");
        token
    }

    async fn of_orders(store: &Store, shop: &Shop, family: &mut Family, paid: &BillRow) -> OrderRow {
        // Asked for again in vain, refused with a note, cancelled.
        let row = place(store, family, &sell(store, shop, "糖").await).await;
        let mut ask = ask_for(&row, "l1");
        ask.ask = AskId::from_bytes(fresh());
        store.ask_requote(ask.clone(), START).await.expect("asked");
        store.refuse_requote(shop.merchant, ask.ask, said("卖完了"), START).await.expect("refused");
        let mut refusal = family.refusal(&row, START);
        refusal.decision.reason = Some(said("太甜"));
        refusal.message = message("decision", &refusal.decision);
        store.decide(refusal, START).await.expect("refused");
        let row = place(store, family, &sell(store, shop, "气球").await).await;
        store.cancel_order(cancellation(&row, START), START).await.expect("cancelled");
        // Paid, in part given back; and by a rule.
        let row = place(store, family, paid).await;
        let mut nod = family.nod(&row, START);
        nod.decision.reason = Some(said("慢慢画"));
        nod.message = message("decision", &nod.decision);
        let row = store.decide(nod, START).await.expect("approved");
        let row = store.pay(super::payment_over(&row, START), START).await.expect("paid");
        store.report_result(report(&row, OutcomeKind::Paid, START), START).await.expect("seen");
        store.refund(back(shop, paid, 1), START).await.expect("given back");
        // Good for one payment: after it a guardian is asked again.
        let snacks = nodpay_core::Mandate {
            name: said("零食"),
            per_day: None,
            per_month: Some(cny(300)),
            ..snacks(family.watch)
        };
        rule(store, family, snacks).await;
        let by_rule = place(store, family, &sell(store, shop, "苹果").await).await;
        store.pay(super::payment_over(&by_rule, START), START).await.expect("paid by a rule");
        store.order(family.household, row.order).await.expect("a read").expect("the order")
    }

    /// Asks for the household to be erased at [`START`], or objects to it.
    pub(crate) async fn ask(&mut self, store: &Store, erase: bool) {
        let entry = if erase { Entry::Erase(Erase {}) } else { Entry::Object(self.family.head()) };
        let mut append = self.family.append(entry, None);
        append.change.erase_from = erase.then(|| START.plus_ms(ERASE_DELAY_MS));
        self.family.send(store, append).await.expect("signed");
    }

    pub(crate) async fn close_out(&self, store: &Store) {
        let close = CloseOut { household: self.family.household, transfer: transfer() };
        store.close_out(close, START).await.expect("paid out");
    }

    /// Whether a text or key of the story's people is in what was written.
    pub(crate) fn is_in(&self, written: &[u8]) -> bool {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
        let (mark, credential) = (MARK.as_bytes(), self.family.credential.as_bytes());
        let sought =
            [mark.to_vec(), hex(mark), credential.to_vec(), hex(credential), hex(self.family.guardian.as_bytes())];
        sought.iter().any(|sought| written.windows(sought.len()).any(|part| part == sought))
    }
}

fn transfer() -> TransferId {
    TransferId::from_bytes(fresh())
}

fn back(shop: &Shop, bill: &BillRow, units: i64) -> Refund {
    let reason = Some(said("少了一页"));
    Refund { merchant: shop.merchant, bill: bill.bill, refund: transfer(), amount: cny(units), reason }
}

/// Two lines, the first of them named.
async fn sell(store: &Store, shop: &Shop, what: &str) -> BillRow {
    let NewBill { mut bill, watch, .. } = shop.bill(&[200, 100]);
    bill.lines[0].name = said(what);
    let message = message("bill", &bill);
    store.create_bill(NewBill { bill, message, watch }, START).await.expect("a bill")
}

fn asking(family: &Family, bill: &BillRow, now: Timestamp) -> PlaceOrder {
    let mut place = family.order(bill, now);
    place.order.reason = Some(said("想要"));
    place.message = message("order", &place.order);
    place
}

async fn place(store: &Store, family: &Family, bill: &BillRow) -> OrderRow {
    store.place_order(asking(family, bill, START), START).await.expect("an order")
}

/// Every column of every row, as a backup has them.
pub(crate) async fn everything(store: &Store) -> Vec<u8> {
    let name = CredentialId::try_from(fresh::<20>().to_vec()).expect("an id").to_string();
    let path = std::env::temp_dir().join(format!("nodpay-{}", name.replace(['/', '.'], "_")));
    store.back_up(path.clone()).await.expect("a backup");
    let written = std::fs::read(&path).expect("there");
    std::fs::remove_file(path).expect("removed");
    written
}

pub async fn a_household_is_erased(store: &Store) {
    let mut story = Story::tell(store).await;
    let (household, shop) = (story.family.household, story.shop.merchant);
    let card = Payer::Stripe { customer: MARK.to_owned(), method: "pm_1".to_owned() };
    let charge = topups::fills(store, &story.family, card).await;
    assert!(story.is_in(&everything(store).await));

    // Another family asked for the same, and its evidence stays whole.
    let other = Family::settle(store, 1_000).await;
    let shared = shop_bill(store, &story.shop).await;
    let lost = story.family.place(store, &shared, START).await;
    store.decide(story.family.refusal(&lost, START), START).await.expect("refused");
    let kept = other.paid(store, &shared, START).await;

    // Nothing is paid from the moment on; whoever objects undoes it.
    let later = START.plus_ms(ERASE_DELAY_MS);
    let bill = shop_bill(store, &story.shop).await;
    story.ask(store, true).await;
    let row = store.household(household).await.expect("a read").expect("there");
    assert_eq!(row.erase_from, Some(later));
    let stopped = story.family.place(store, &bill, START).await;
    assert_eq!(stopped.state, OrderState::Ended { outcome: OutcomeKind::Failed });
    story.ask(store, false).await;
    assert_eq!(store.erase_due(later).await, Ok(Erased::default()), "somebody objected");
    let open = story.family.place(store, &bill, START).await;
    assert!(open.outcome.is_none(), "asked as ever");
    story.ask(store, true).await;

    // Not before its time, and not while anything is open or anybody's money is there.
    assert_eq!(store.erase_due(later.plus_ms(-1)).await, Ok(Erased::default()));
    let waits = Erased { erased: Vec::new(), waiting: vec![household] };
    assert_eq!(store.erase_due(later).await, Ok(waits.clone()), "an order is open");
    store.cancel_order(cancellation(&open, START), START).await.expect("cancelled");
    assert_eq!(store.erase_due(later).await, Ok(waits), "money is in its wallet");
    story.close_out(store).await;
    let (balance, statement) = (store.merchant_balance(shop).await, merchant_bill(store, &story.paid).await);
    let done = Erased { erased: vec![household], waiting: Vec::new() };
    assert_eq!(store.erase_due(later).await, Ok(done));
    assert_eq!(store.erase_due(later).await, Ok(Erased::default()), "once");

    assert!(!story.is_in(&everything(store).await), "what its people said and who they are");
    assert_eq!(store.erased(household).await, Ok(Some(later)));
    assert_eq!(store.check().await, Ok(Vec::new()));
    assert_eq!(store.merchant_balance(shop).await, balance, "the shop's books");
    assert_eq!(merchant_bill(store, &story.paid).await, statement);
    assert_eq!(store.order(other.household, kept.order).await.expect("a read").as_ref(), Some(&kept));
    is_gone(store, &story, &other, later).await;
    let lost = topups::news(&charge, DisputeState::Lost);
    assert_eq!(
        store.take_dispute(lost, later).await,
        Ok(Some(DisputeState::Lost)),
        "its card's holder may still object"
    );
    assert_eq!(store.check().await, Ok(Vec::new()));
}

async fn shop_bill(store: &Store, shop: &Shop) -> BillRow {
    shop.sell_for(store, &[50], ERASE_DELAY_MS * 2).await
}

/// How a bill stands to its shop.
async fn merchant_bill(
    store: &Store,
    bill: &BillRow,
) -> (crate::BillState, nodpay_core::Amount, Option<nodpay_core::Amount>) {
    let row = store.bill(bill.bill).await.expect("a read").expect("the bill");
    (row.state, row.current_total(), row.latest.map(|order| order.refunded))
}

/// Whoever comes hears that it was erased.
async fn is_gone(store: &Store, story: &Story, other: &Family, now: Timestamp) {
    let (family, household) = (&story.family, story.family.household);
    let gone = StoreError::HouseholdErased;
    assert_eq!(refused(store.household(household).await), gone);
    assert_eq!(refused(store.log_head(household).await), gone);
    assert_eq!(store.session(story.session, START).await, Ok(None));
    assert_eq!(store.guardian_by_credential(family.credential.clone()).await, Ok(None));
    let bill = shop_bill(store, &story.shop).await;
    assert_eq!(refused(store.place_order(family.order(&bill, START), START).await), gone);
    assert_eq!(refused(store.append_log(family.append(Entry::Erase(Erase {}), None), now).await), gone);
    assert_eq!(refused(store.refund(back(&story.shop, &story.paid, 1), now).await), gone);
    let invitation = invite(store, InvitationKind::Guardian).await;
    let again = family.founding(invitation, nodpay_core::Currency::CNY);
    assert_eq!(refused(store.create_household(again, now).await), gone, "its id is used up");
    let watch = store.household_of_watch(family.watch).await.expect("a read").expect("known to have been one");
    assert_eq!((watch.household, watch.removed), (household, true));
    let listed: Vec<_> = store.households(None, 100).await.expect("a read").iter().map(|row| row.household).collect();
    assert_eq!(listed, [other.household]);
}

pub async fn old_orders_lose_their_messages(store: &Store) {
    let story = Story::tell(store).await;
    let household = story.family.household;
    let day = START.plus_ms(DAY_MS);
    let young = sell_at(store, &story.shop, day).await;
    let young = story.family.paid(store, &young, day).await;
    let open_bill = sell_at(store, &story.shop, day).await;
    let log = store.log(household, 0).await.expect("a read");

    assert_eq!(store.cut_orders(START).await, Ok(0), "none is old enough");
    assert_eq!(store.cut_orders(day).await, Ok(4));
    assert_eq!(store.cut_orders(day).await, Ok(0), "once");
    assert_eq!(store.check().await, Ok(Vec::new()));
    let row = store.order(household, story.order.order).await.expect("a read").expect("the order");
    let nothing = |message: &crate::Message| message.is_cut();
    assert!(row.is_cut() && row.decision.as_ref().is_some_and(nothing) && nothing(&row.bill_message));
    assert_eq!((row.state, row.total, row.refunded), (story.order.state, story.order.total, story.order.refunded));
    assert_eq!(row.message.digest, story.order.message.digest);
    assert_eq!(refused(store.evidence(household, row.order).await), StoreError::OrderCut);
    let refunds = store.refunds(household, row.order).await.expect("a read");
    assert_eq!(refunds.iter().map(|refund| refund.reason.clone()).collect::<Vec<_>>(), [None]);
    assert_eq!(store.order(household, young.order).await.as_ref(), Ok(&Some(young.clone())));
    assert_eq!(store.log(household, 0).await, Ok(log), "rules are the household's, not an order's");
    let written = String::from_utf8(everything(store).await).expect("text");
    for gone in ["画册", "糖", "气球", "苹果", "想要", "太甜", "慢慢画", "少了一页", "卖完了"] {
        assert!(!written.contains(&format!("{MARK}{gone}")), "{gone}");
    }
    for kept in ["小敏", "妈妈", "零食"] {
        assert!(written.contains(&format!("{MARK}{kept}")), "{kept}");
    }

    // An order that is open when the walk passes it stays whole; more than a batch is looked through.
    let open = story.family.place(store, &open_bill, day).await;
    let other = Family::settle(store, 0).await;
    for _ in 0..MAX_CUT {
        let failed = other.place(store, &sell_at(store, &story.shop, day).await, day).await;
        assert!(failed.outcome.is_some(), "no money");
    }
    let cut = store.cut_orders(day.plus_ms(MINUTE_MS)).await;
    assert_eq!(cut, Ok(u64::from(MAX_CUT) + 1), "those and the young one, not the open one");
    let row: Option<OrderRow> = store.order(household, open.order).await.expect("a read");
    assert!(row.is_some_and(|row| !row.is_cut()));
    let ended: OrderId = open.order;
    store.cancel_order(cancellation(&open, day), day).await.expect("as ever");
    assert!(store.evidence(household, ended).await.is_ok());
}

async fn sell_at(store: &Store, shop: &Shop, now: Timestamp) -> BillRow {
    let NewBill { mut bill, watch, .. } = shop.bill(&[20]);
    (bill.issued, bill.valid_until) = (now, now.plus_ms(HOUR_MS));
    bill.lines[0].id = line_id("late");
    let message = message("bill", &bill);
    store.create_bill(NewBill { bill, message, watch }, now).await.expect("a bill")
}
