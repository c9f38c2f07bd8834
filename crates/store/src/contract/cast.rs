//! Households, shops and the messages they send.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodpay_core::{
    Amount, Asked, Bill, BillId, Bytes, Cancel, CancelReason, Country, CredentialId, Currency, Day, Decision, Digest,
    EnrolledWatch, Entry, Guardian, GuardianId, HouseholdId, Line, LineId, LogEntry, Mcc, MerchantId, Minor,
    NewWatchCap, Nonce, Order, OrderId, Outcome, OutcomeKind, Payment, PaymentId, PersonName, PublicKey, Reduction,
    ResultReport, Salt, Text, Timestamp, TransferId, V1, Verdict, WatchId, WearerCheck, WearerId, WearerMethod,
};
use serde::Serialize;

use crate::{
    AppendLog, BillRow, CLOSING_GRACE_MS, CancelOrder, Decide, GuardianChange, InvitationKind, Message, NewBill,
    NewHousehold, NewInvitation, NewMerchant, OrderRow, OutcomeSigner, Pay, PlaceOrder, ReportResult, Store,
    StoreError, Ticked, TokenHash, TopUp,
};

/// When every story begins.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;

/// What a tick on the first day says; without an order that is due, what comes next is the end of the day.
pub(crate) fn ticked(ended: u64, next: Option<Timestamp>) -> Ticked {
    let closing = Day::of(START).end().plus_ms(CLOSING_GRACE_MS);
    Ticked { ended, topped_up: 0, closed: 0, next: next.or(Some(closing)) }
}

/// Well mixed and repeatable (SplitMix64).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is above zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.next() % bound).expect("small")
    }

    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(usize::try_from(high - low + 1).expect("low is below high"))).expect("small")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// Bytes no other call gives.
pub(crate) fn fresh<const N: usize>() -> [u8; N] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut rng = Rng::new(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.iter_mut().zip(rng.next().to_le_bytes()).for_each(|(to, from)| *to = from);
    }
    bytes
}

pub(crate) fn fresh_key() -> PublicKey {
    let mut bytes = fresh::<65>();
    bytes[0] = 4;
    PublicKey::try_from(&bytes[..]).expect("an uncompressed point")
}

/// A stand-in for signing: the same content is the same message.
pub(crate) fn message(kind: &str, content: &impl Serialize) -> Message {
    let wire = format!("{kind}:{}", serde_json::to_string(content).expect("plain data"));
    let mut digest = [0; 32];
    for (part, chunk) in digest.chunks_mut(8).enumerate() {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ u64::try_from(part).expect("below four");
        for byte in wire.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        let mixed = Rng::new(hash).next();
        chunk.iter_mut().zip(mixed.to_le_bytes()).for_each(|(to, from)| *to = from);
    }
    Message { wire, digest: Digest::from_bytes(digest) }
}

/// Signs as a stand-in; [`outcome_of`] reads it back.
#[must_use]
pub fn outcome_signer() -> OutcomeSigner {
    Arc::new(|outcome: Outcome| Ok(message("outcome", &outcome)))
}

/// The signed outcome of an ended order.
#[must_use]
pub fn outcome_of(row: &OrderRow) -> Outcome {
    let wire = &row.outcome.as_ref().expect("an ended order").message.wire;
    serde_json::from_str(wire.strip_prefix("outcome:").expect("signed by this module")).expect("an outcome")
}

pub(crate) fn minor(minor: i64) -> Minor {
    Minor::new(minor).expect("in range")
}

pub(crate) fn cny(units: i64) -> Amount {
    Amount::new(minor(units), Currency::CNY)
}

pub(crate) fn line_id(id: &str) -> LineId {
    LineId::new(id).expect("a line id")
}

pub(crate) fn refused<T: Debug>(result: Result<T, StoreError>) -> StoreError {
    result.expect_err("an error was expected")
}

/// A household with a guardian and one watch.
#[derive(Clone, Debug)]
pub struct Family {
    pub household: HouseholdId,
    pub guardian: GuardianId,
    pub credential: CredentialId,
    pub watch: WatchId,
    pub wearer: WearerId,
    pub name: PersonName,
    pub entries: Vec<(LogEntry, Message)>,
}

impl Family {
    /// Messages and ids only: nothing is in the store yet.
    pub(crate) fn imagine() -> Self {
        let (household, guardian) = (HouseholdId::from_bytes(fresh()), GuardianId::from_bytes(fresh()));
        let credential: CredentialId = Bytes::try_from(fresh::<20>().to_vec()).expect("long enough");
        let mut family = Self {
            household,
            guardian,
            credential: credential.clone(),
            watch: WatchId::from_bytes(fresh()),
            wearer: WearerId::from_bytes(fresh()),
            name: PersonName { name: Text::new("小明").expect("a name"), salt: Salt::from_bytes(fresh()) },
            entries: Vec::new(),
        };
        let key = fresh_key();
        let founding = family.entry(Entry::Found(Guardian {
            guardian,
            credential,
            key,
            backup_eligible: false,
            shown_payments: false,
            name: None,
        }));
        family.entries.push(founding);
        family
    }

    /// Founds the household, enrols the watch and pays `units` in.
    pub async fn settle(store: &Store, units: i64) -> Self {
        Self::settle_in(store, units, Currency::CNY).await
    }

    pub(crate) async fn settle_in(store: &Store, units: i64, currency: Currency) -> Self {
        let mut family = Self::imagine();
        family.found(store, currency).await.expect("a new household");
        let (watch, wearer) = (family.watch, family.wearer);
        family.enrol(store, watch, wearer).await.expect("a new watch");
        if units > 0 {
            let amount = Amount::new(minor(units), currency);
            let transfer = TransferId::from_bytes(fresh());
            let top_up = TopUp { household: family.household, transfer, amount };
            store.top_up(top_up, START).await.expect("a top-up");
        }
        family
    }

    pub(crate) async fn found(&self, store: &Store, currency: Currency) -> Result<(), StoreError> {
        let invitation = invite(store, InvitationKind::Guardian).await;
        store.create_household(self.founding(invitation, currency), START).await
    }

    pub(crate) fn founding(&self, invitation: TokenHash, currency: Currency) -> NewHousehold {
        let (entry, message) = self.entries.first().expect("the founding entry").clone();
        NewHousehold { invitation, entry, message, name: None, currency }
    }

    /// The entry that would come next.
    pub(crate) fn entry(&self, entry: Entry) -> (LogEntry, Message) {
        let entry = LogEntry {
            v: V1,
            household: self.household,
            seq: u64::try_from(self.entries.len()).expect("few"),
            prev: self.entries.last().map(|(_, message)| message.digest),
            guardian: self.guardian,
            at: START,
            entry,
        };
        let message = message("log", &entry);
        (entry, message)
    }

    pub(crate) fn enrolment(&self, watch: WatchId, wearer: WearerId) -> AppendLog {
        let entry = Entry::EnrolWatch(EnrolledWatch {
            watch,
            key: fresh_key(),
            wearer,
            wearer_name: message("name", &self.name.salt).digest,
            new_watch_cap: NewWatchCap { until: START, per_payment: cny(1) },
        });
        self.append(entry, Some(self.name.clone()))
    }

    pub(crate) fn append(&self, entry: Entry, wearer: Option<PersonName>) -> AppendLog {
        let (entry, message) = self.entry(entry);
        AppendLog { entry, message, counter: 0, wearer, pairing: None, change: GuardianChange::default() }
    }

    pub(crate) async fn enrol(&mut self, store: &Store, watch: WatchId, wearer: WearerId) -> Result<(), StoreError> {
        let append = self.enrolment(watch, wearer);
        self.send(store, append).await
    }

    /// A second watch of the same child.
    pub(crate) async fn add_watch(&mut self, store: &Store) -> WatchId {
        let watch = WatchId::from_bytes(fresh());
        let wearer = self.wearer;
        self.enrol(store, watch, wearer).await.expect("another watch");
        watch
    }

    pub(crate) async fn remove(&mut self, store: &Store, watch: WatchId, now: Timestamp) -> Result<(), StoreError> {
        let append = self.append(Entry::RemoveWatch(watch), None);
        let kept = (append.entry.clone(), append.message.clone());
        store.append_log(append, now).await?;
        self.entries.push(kept);
        Ok(())
    }

    pub(crate) async fn send(&mut self, store: &Store, append: AppendLog) -> Result<(), StoreError> {
        let kept = (append.entry.clone(), append.message.clone());
        store.append_log(append, START).await?;
        self.entries.push(kept);
        Ok(())
    }

    pub(crate) fn head(&self) -> Digest {
        self.entries.last().expect("the founding entry").1.digest
    }

    /// An order for `bill` that lives ten minutes.
    pub(crate) fn order(&self, bill: &BillRow, now: Timestamp) -> PlaceOrder {
        self.order_from(self.watch, bill, now)
    }

    pub(crate) fn order_from(&self, watch: WatchId, bill: &BillRow, now: Timestamp) -> PlaceOrder {
        let order = Order {
            v: V1,
            order: OrderId::from_bytes(fresh()),
            bill: bill.message.digest,
            household: self.household,
            watch,
            wearer: self.wearer,
            wearer_check: WearerCheck { method: WearerMethod::Pin, at: now },
            log_head: self.head(),
            created: now,
            expires: now.plus_ms(10 * MINUTE_MS),
            nonce: Nonce::from_bytes(fresh()),
            reason: None,
            occasion: None,
            without: Vec::new(),
        };
        let message = message("order", &order);
        let asked = Asked {
            watch,
            merchant: bill.merchant,
            mcc: Mcc::from_digits("5943").expect("four digits"),
            city: Text::new("杭州").expect("a city"),
            country: Country::from_code("CN").expect("a country"),
            age: None,
            printed: bill.watch.is_some(),
            reduced: false,
            total: bill.total,
            at: now,
        };
        PlaceOrder { order, message, asked }
    }

    pub(crate) async fn place(&self, store: &Store, bill: &BillRow, now: Timestamp) -> OrderRow {
        store.place_order(self.order(bill, now), now).await.expect("an order")
    }

    /// An approval of everything, to be paid within five minutes.
    pub(crate) fn nod(&self, row: &OrderRow, now: Timestamp) -> Decide {
        let total = row.requote.as_ref().map_or(row.total, |requote| requote.total);
        self.decision(row, Verdict::Approve, total, &[], now)
    }

    pub(crate) fn refusal(&self, row: &OrderRow, now: Timestamp) -> Decide {
        let total = row.requote.as_ref().map_or(row.total, |requote| requote.total);
        self.decision(row, Verdict::Refuse, total, &[], now)
    }

    pub(crate) fn decision(
        &self,
        row: &OrderRow,
        verdict: Verdict,
        total: Amount,
        struck: &[LineId],
        now: Timestamp,
    ) -> Decide {
        let decision = Decision {
            v: V1,
            order: row.message.digest,
            bill: row.current_bill(),
            struck: struck.to_vec(),
            household: row.household,
            watch: row.watch,
            wearer: row.wearer,
            payee: row.merchant_certificate.digest,
            total,
            verdict,
            first: None,
            guardian: self.guardian,
            credential: self.credential.clone(),
            log_head: self.head(),
            at: now,
            pay_by: now.plus_ms(5 * MINUTE_MS),
            reason: None,
            suggest: None,
        };
        let message = message("decision", &decision);
        Decide { order: row.order, decision, message, counter: 0 }
    }

    pub(crate) async fn approved(&self, store: &Store, bill: &BillRow, now: Timestamp) -> OrderRow {
        let row = self.place(store, bill, now).await;
        store.decide(self.nod(&row, now), now).await.expect("a decision")
    }

    pub(crate) async fn paid(&self, store: &Store, bill: &BillRow, now: Timestamp) -> OrderRow {
        let row = self.approved(store, bill, now).await;
        store.pay(payment(&row, now), now).await.expect("a payment")
    }

    pub(crate) async fn wallet(&self, store: &Store) -> (i64, i64) {
        let balance = store.wallet(self.household).await.expect("a read").expect("the household");
        (balance.wallet.posted().get(), balance.wallet.held().get())
    }
}

/// A payment over the order's decision or mandate; one of an order without either is over none.
#[must_use]
pub fn payment(row: &OrderRow, now: Timestamp) -> Pay {
    let payment = Payment {
        v: V1,
        payment: PaymentId::from_bytes(fresh()),
        order: row.message.digest,
        decision: match (&row.decision, &row.mandate) {
            (Some(decision), _) => Some(decision.digest),
            (None, Some(_)) => None,
            (None, None) => Some(Digest::from_bytes([0; 32])),
        },
        mandate: row.mandate.as_ref().map(|entry| entry.digest),
        bill: row.current_bill(),
        payee: row.merchant_certificate.digest,
        total: row.total,
        household: row.household,
        watch: row.watch,
        log_head: Digest::from_bytes([0; 32]),
        at: now,
    };
    let message = message("payment", &payment);
    Pay { order: row.order, payment, message }
}

pub(crate) fn cancellation(row: &OrderRow, now: Timestamp) -> CancelOrder {
    let cancel = Cancel {
        v: V1,
        order: row.message.digest,
        household: row.household,
        watch: row.watch,
        reason: CancelReason::Wearer,
        at: now,
    };
    let message = message("cancel", &cancel);
    CancelOrder { order: row.order, cancel, message }
}

pub(crate) fn report(row: &OrderRow, seen: OutcomeKind, now: Timestamp) -> ReportResult {
    let outcome = row.outcome.as_ref().map_or(Digest::from_bytes([0; 32]), |ended| ended.message.digest);
    let result = ResultReport {
        v: V1,
        order: row.message.digest,
        outcome,
        seen,
        household: row.household,
        watch: row.watch,
        at: now,
    };
    let message = message("result", &result);
    ReportResult { order: row.order, result, message }
}

pub(crate) async fn invite(store: &Store, kind: InvitationKind) -> TokenHash {
    let token = TokenHash(fresh());
    let expires = START.plus_ms(HOUR_MS);
    store.create_invitation(NewInvitation { token, kind, expires }, START).await.expect("an invitation");
    token
}

/// A merchant whose till is enrolled.
#[derive(Clone, Debug)]
pub struct Shop {
    pub merchant: MerchantId,
    pub api_key: TokenHash,
    pub key: PublicKey,
    pub certificate: Message,
}

impl Shop {
    pub(crate) fn imagine() -> Self {
        let merchant = MerchantId::from_bytes(fresh());
        let certificate = message("certificate", &merchant);
        Self { merchant, api_key: TokenHash(fresh()), key: fresh_key(), certificate }
    }

    pub async fn open(store: &Store) -> Self {
        let shop = Self::imagine();
        store.add_merchant(shop.new_merchant(), START).await.expect("a new merchant");
        let invitation = invite(store, InvitationKind::Till(shop.merchant)).await;
        store.enrol_till(invitation, shop.key, START).await.expect("a till");
        shop.certify(store).await.expect("a certificate");
        shop
    }

    pub(crate) fn new_merchant(&self) -> NewMerchant {
        NewMerchant {
            merchant: self.merchant,
            name: Text::new("文具店").expect("a name"),
            mcc: Mcc::from_digits("5943").expect("four digits"),
            city: Text::new("杭州").expect("a city"),
            country: Country::from_code("CN").expect("a country"),
            currency: Currency::CNY,
            api_key: self.api_key,
        }
    }

    pub(crate) async fn certify(&self, store: &Store) -> Result<(), StoreError> {
        store.set_merchant_certificate(self.merchant, self.key, self.certificate.clone(), START).await
    }

    /// A bill of one line for each price, valid for an hour.
    pub(crate) fn bill(&self, prices: &[i64]) -> NewBill {
        self.bill_for(prices, HOUR_MS)
    }

    pub(crate) fn bill_for(&self, prices: &[i64], valid_ms: i64) -> NewBill {
        let lines: Vec<Line> = prices
            .iter()
            .enumerate()
            .map(|(index, price)| Line {
                id: line_id(&format!("l{index}")),
                name: Text::new("铅笔").expect("a name"),
                quantity: 1,
                unit_price: minor(*price),
                amount: minor(*price),
                category: None,
                min_age: None,
                bundle: None,
            })
            .collect();
        let bill = Bill {
            v: V1,
            bill: BillId::from_bytes(fresh()),
            revision: 1,
            replaces: None,
            merchant: self.merchant,
            certificate: self.certificate.digest,
            currency: Currency::CNY,
            lines,
            adjustments: Vec::new(),
            total: minor(prices.iter().sum()),
            reduction: Reduction::Requote,
            issued: START,
            valid_until: START.plus_ms(valid_ms),
            nonce: Nonce::from_bytes(fresh()),
            code: None,
        };
        let message = message("bill", &bill);
        NewBill { bill, message, watch: None }
    }

    pub(crate) async fn sell(&self, store: &Store, prices: &[i64]) -> BillRow {
        store.create_bill(self.bill(prices), START).await.expect("a bill")
    }

    pub(crate) async fn sell_for(&self, store: &Store, prices: &[i64], valid_ms: i64) -> BillRow {
        store.create_bill(self.bill_for(prices, valid_ms), START).await.expect("a bill")
    }
}

/// A requote of a bill with one line of `price` left.
pub(crate) fn requote(bill: &BillRow, merchant: MerchantId, revision: u32, price: i64) -> (Bill, Message) {
    let requote = Bill {
        v: V1,
        bill: bill.bill,
        revision,
        replaces: Some(bill.message.digest),
        merchant,
        certificate: bill.certificate.digest,
        currency: Currency::CNY,
        lines: Vec::new(),
        adjustments: Vec::new(),
        total: minor(price),
        reduction: Reduction::Requote,
        issued: START,
        valid_until: START.plus_ms(HOUR_MS),
        nonce: Nonce::from_bytes(fresh()),
        code: None,
    };
    let message = message("bill", &requote);
    (requote, message)
}

/// A merchant's events after `after`, once there are `count`: where others share the store, they show when transactions
/// that began earlier have ended.
pub(crate) async fn merchant_events(
    store: &Store,
    merchant: MerchantId,
    after: u64,
    count: usize,
) -> Vec<crate::MerchantEventRow> {
    let mut topics = store.subscribe();
    loop {
        let events = store.merchant_events_after(merchant, after, 100).await.expect("a read");
        if events.len() >= count {
            return events;
        }
        let told = tokio::time::timeout(std::time::Duration::from_secs(20), topics.recv()).await;
        told.expect("they come soon").expect("the store runs");
    }
}
