//! Who takes part: shops and households with keys of their own, and the messages they sign. They enter through the
//! store's own transactions, because ten thousand of them over HTTP would take minutes; the messages are the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodpay_core::{
    Amount, Bill, BillId, Bytes, Country, CredentialId, Currency, Decision, Digest, EnrolledWatch, Entry, Guardian,
    GuardianId, HouseCaps, HouseRules, HouseholdId, LineId, LogEntry, Mandate, MandateId, Mcc, MerchantCertificate,
    MerchantId, Minor, NEW_WATCH_COOLING_OFF_MS, NewWatchCap, Nonce, Offset, Order, OrderId, Outcome, Outside, Payment,
    PersonName, ResultReport, Salt, SessionId, Text, Timestamp, TransferId, V1, Verdict, WatchId, WatchSession,
    WearerCheck, WearerId, WearerMethod,
};
use nodpay_protocol::{
    Assertion, AssertionKind, Kind, LogBook, RelyingParty, Signer as _, SoftwareKey, Verified, name_digest, payment_id,
    sha256, sign, sign_request,
};
use nodpay_service::admin::{self, MerchantDetails};
use nodpay_store::{
    AppendLog, GuardianChange, InvitationKind, Message, NewBill, NewHousehold, NewInvitation, NewSession, SessionOf,
    Store, TokenHash, TopUp,
};

use crate::parties::{Basket, Result, line_id, now, random, random_key, snack};

/// Parties that are made at once: enough to fill the store's group commits.
const AT_ONCE: usize = 256;
/// Bills and sessions outlive every run.
const LIFE_MS: i64 = 24 * 60 * 60 * 1000;
const ORDER_LIFE_MS: i64 = 10 * 60 * 1000;
const PAY_WITHIN_MS: i64 = 5 * 60 * 1000;
const SESSION_MS: i64 = 30 * 60 * 1000;
/// What a household starts with, and what one payment may come to, in minor units: no run spends it.
const WALLET_MINOR: i64 = 100_000_000_000;
const CAP_MINOR: i64 = 20_000;
/// What a rule that asks nods to: no order is so small.
const ASKED_MINOR: i64 = 1;
/// Local time of the households' rules.
const UTC_MINUTES: i16 = 480;

/// A merchant with its key and certificate.
#[derive(Debug)]
pub struct Shop {
    key: SoftwareKey,
    merchant: MerchantId,
    certificate: Verified<MerchantCertificate>,
}

impl Shop {
    pub const fn certificate(&self) -> &Verified<MerchantCertificate> {
        &self.certificate
    }

    async fn open(store: &Store, root: &SoftwareKey) -> Result<Self> {
        let details = MerchantDetails {
            name: Text::new("阳光小卖部 Sunny Shop")?,
            mcc: Mcc::from_digits("5411").ok_or("no category")?,
            city: Text::new("深圳 Shenzhen")?,
            country: Country::from_code("CN").ok_or("no country")?,
            currency: Currency::CNY,
        };
        let added = admin::add_merchant(store, "", details, now()).await?;
        let invitation: Bytes<32, 32> = added.till.link.split_once('#').ok_or("no token")?.1.parse()?;
        let key = random_key()?;
        store.enrol_till(TokenHash(sha256(invitation.as_bytes())), key.public_key(), now()).await?;
        let certificate = admin::certify_merchant(store, root, added.merchant, now()).await?;
        Ok(Self { key, merchant: added.merchant, certificate })
    }

    #[must_use]
    pub const fn merchant(&self) -> MerchantId {
        self.merchant
    }

    /// A signed bill of five lines that may be reduced line by line.
    pub fn bill(&self) -> Result<Verified<Bill>> {
        let Basket { lines, adjustments, reduction } = snack()?;
        let issued = now();
        let bill = Bill {
            v: V1,
            bill: BillId::from_bytes(random()?),
            revision: 1,
            replaces: None,
            merchant: self.merchant,
            certificate: self.certificate.digest(),
            currency: Currency::CNY,
            total: Minor::sum(lines.iter().map(|line| line.amount))?,
            lines,
            adjustments,
            reduction,
            issued,
            valid_until: issued.plus_ms(LIFE_MS),
            nonce: Nonce::from_bytes(random()?),
            code: None,
        };
        Ok(sign(Kind::Bill, bill, &self.key)?)
    }
}

/// What the standing rule of each household says, which has caps that count all of its orders and that no run reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RuleSays {
    /// It nods to every order in a guardian's stead.
    Nod,
    /// It leaves every order to a guardian.
    Ask,
}

/// A guardian with a passkey in software, logged in, and one of the household's watches.
#[derive(Debug)]
pub struct Household {
    phone: Arc<Phone>,
    watch_key: SoftwareKey,
    watch: EnrolledWatch,
    struck: LineId,
    /// The entry of the rule that nods to its orders, where it has one.
    nods: Option<Digest>,
}

/// The guardian's side, which all watches of a household share.
#[derive(Debug)]
struct Phone {
    passkey: SoftwareKey,
    guardian: Guardian,
    book: LogBook,
    cookie: String,
}

impl Household {
    /// Founds a household with money and this many watches; gives it once for each of them.
    async fn found(store: &Store, rp: &RelyingParty, watches: usize, rule: Option<RuleSays>) -> Result<Vec<Self>> {
        let passkey = random_key()?;
        let (household, at) = (HouseholdId::from_bytes(random()?), now());
        let guardian = Guardian {
            guardian: GuardianId::from_bytes(random()?),
            credential: CredentialId::try_from(random::<32>()?.to_vec())?,
            key: passkey.public_key(),
            backup_eligible: false,
            shown_payments: false,
            name: None,
        };
        let founder = guardian.guardian;
        let entry = Entry::Found(guardian.clone());
        let entry = LogEntry { v: V1, household, seq: 0, prev: None, guardian: founder, at, entry };
        let wire = assert(AssertionKind::Log, &entry, &guardian, &passkey, rp)?;
        let mut book = LogBook::found(&wire, None, rp.clone())?;
        let invitation = TokenHash(random()?);
        let (kind, expires) = (InvitationKind::Guardian, at.plus_ms(LIFE_MS));
        store.create_invitation(NewInvitation { token: invitation, kind, expires }, at).await?;
        let message = Message { wire, digest: book.head() };
        let new = NewHousehold { invitation, entry, message, name: None, currency: Currency::CNY };
        store.create_household(new, at).await?;

        let append = async |book: &mut LogBook, change: Entry, wearer: Option<PersonName>| {
            let entry = next_entry(book, founder, change);
            let wire = assert(AssertionKind::Log, &entry, &guardian, &passkey, rp)?;
            book.append(&wire)?;
            let message = Message { wire, digest: book.head() };
            let change = GuardianChange::default();
            let append = AppendLog { entry, message, counter: 0, wearer, pairing: None, change };
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(store.append_log(append, at).await?)
        };
        let mut enrolled = Vec::with_capacity(watches);
        for _ in 0..watches {
            let key = random_key()?;
            let name = PersonName { name: Text::new("小明 Ming")?, salt: Salt::from_bytes(random()?) };
            let watch = EnrolledWatch {
                watch: WatchId::from_bytes(random()?),
                key: key.public_key(),
                wearer: WearerId::from_bytes(random()?),
                wearer_name: name_digest(name.salt, name.name.as_str()),
                // From when its entry is signed, which is a little later.
                new_watch_cap: NewWatchCap {
                    until: now().plus_ms(2 * NEW_WATCH_COOLING_OFF_MS),
                    per_payment: cny(CAP_MINOR)?,
                },
            };
            append(&mut book, Entry::EnrolWatch(watch.clone()), Some(name)).await?;
            if let Some(says) = rule {
                append(&mut book, Entry::SetMandate(Box::new(mandate(watch.watch, says, at)?)), None).await?;
            }
            let nods = (rule == Some(RuleSays::Nod)).then(|| book.head());
            enrolled.push((key, watch, nods));
        }
        if rule.is_some() {
            append(&mut book, Entry::SetHouseRules(house_rules()?), None).await?;
        }

        let transfer = TransferId::from_bytes(random()?);
        store.top_up(TopUp { household, transfer, amount: cny(WALLET_MINOR)? }, at).await?;
        let token = random::<32>()?;
        let of = SessionOf::Guardian { household, guardian: founder };
        let ends = at.plus_ms(LIFE_MS);
        let session = SessionId::from_bytes(random()?);
        let (token_hash, device) = (TokenHash(sha256(&token)), Text::new("other/other")?);
        store.create_session(NewSession { session, token: token_hash, of, device, expires: ends, ends }, at).await?;
        let token: Bytes<32, 32> = Bytes::try_from(token.to_vec())?;
        let cookie = format!("{}={token}", nodpay_service::GUARDIAN_COOKIE);
        let phone = Arc::new(Phone { passkey, guardian, book, cookie });
        let one = |(watch_key, watch, nods)| {
            Ok(Self { phone: Arc::clone(&phone), watch_key, watch, struck: line_id("cola")?, nods })
        };
        enrolled.into_iter().map(one).collect()
    }

    #[must_use]
    pub fn household(&self) -> HouseholdId {
        self.phone.book.household()
    }

    #[must_use]
    pub const fn watch(&self) -> WatchId {
        self.watch.watch
    }

    /// The guardian's session.
    #[must_use]
    pub fn cookie(&self) -> &str {
        &self.phone.cookie
    }

    #[must_use]
    pub fn book(&self) -> &LogBook {
        &self.phone.book
    }

    /// The entry of the rule that nods to this watch's orders, where it has one.
    #[must_use]
    pub const fn nods(&self) -> Option<Digest> {
        self.nods
    }

    /// The watch's proof for one request without a signed message.
    pub fn proof(&self, method: &str, path: &str) -> Result<String> {
        Ok(sign_request(method, path, now(), Nonce::from_bytes(random()?), &self.watch_key)?)
    }

    /// The next entry of the household's log, which its watches hear of: for how long the worn watch needs no other check.
    /// Good once: this household does not follow its log.
    pub fn log_entry(&self) -> Result<String> {
        let Phone { passkey, guardian, book, .. } = &*self.phone;
        let session = WatchSession { watch: self.watch.watch, session_ms: SESSION_MS };
        let entry = next_entry(book, guardian.guardian, Entry::SetSession(session));
        assert(AssertionKind::Log, &entry, guardian, passkey, book.relying_party())
    }

    pub fn order(&self, bill: &Verified<Bill>) -> Result<Verified<Order>> {
        let created = now();
        let order = Order {
            v: V1,
            order: OrderId::from_bytes(random()?),
            bill: bill.digest(),
            household: self.household(),
            watch: self.watch.watch,
            wearer: self.watch.wearer,
            wearer_check: WearerCheck { method: WearerMethod::Pin, at: created },
            log_head: self.book().head(),
            created,
            expires: created.plus_ms(ORDER_LIFE_MS),
            nonce: Nonce::from_bytes(random()?),
            reason: None,
            occasion: None,
            without: Vec::new(),
        };
        Ok(sign(Kind::Order, order, &self.watch_key)?)
    }

    /// The guardian's yes, with one line struck or none.
    pub fn decision(&self, order: &Verified<Order>, bill: &Verified<Bill>, strike: bool) -> Result<String> {
        let struck = if strike { vec![self.struck.clone()] } else { Vec::new() };
        let at = now();
        let decision = Decision {
            v: V1,
            order: order.digest(),
            bill: bill.digest(),
            total: bill.terms(&struck, None)?.total,
            struck,
            household: self.household(),
            watch: order.watch,
            wearer: order.wearer,
            payee: bill.certificate,
            verdict: Verdict::Approve,
            first: None,
            guardian: self.phone.guardian.guardian,
            credential: self.phone.guardian.credential.clone(),
            log_head: self.book().head(),
            at,
            pay_by: at.plus_ms(PAY_WITHIN_MS),
            reason: None,
            suggest: None,
        };
        let Phone { passkey, guardian, book, .. } = &*self.phone;
        assert(AssertionKind::Decision, &decision, guardian, passkey, book.relying_party())
    }

    pub fn payment(&self, order: &Verified<Order>, decision: &Verified<Decision>) -> Result<Verified<Payment>> {
        let payment = Payment {
            v: V1,
            payment: payment_id(order.digest(), decision.digest()),
            order: order.digest(),
            decision: Some(decision.digest()),
            mandate: None,
            bill: decision.bill,
            payee: decision.payee,
            total: decision.total,
            household: self.household(),
            watch: self.watch.watch,
            log_head: self.book().head(),
            at: now(),
        };
        Ok(sign(Kind::Payment, payment, &self.watch_key)?)
    }

    /// Under the rule whose entry this is.
    pub fn payment_by_rule(
        &self,
        order: &Verified<Order>,
        bill: &Verified<Bill>,
        entry: Digest,
    ) -> Result<Verified<Payment>> {
        let payment = Payment {
            v: V1,
            payment: payment_id(order.digest(), entry),
            order: order.digest(),
            decision: None,
            mandate: Some(entry),
            bill: bill.digest(),
            payee: bill.certificate,
            total: bill.total(),
            household: self.household(),
            watch: self.watch.watch,
            log_head: self.book().head(),
            at: now(),
        };
        Ok(sign(Kind::Payment, payment, &self.watch_key)?)
    }

    pub fn result(&self, order: &Verified<Order>, outcome: &Verified<Outcome>) -> Result<Verified<ResultReport>> {
        let result = ResultReport {
            v: V1,
            order: order.digest(),
            outcome: outcome.digest(),
            seen: outcome.outcome,
            household: self.household(),
            watch: self.watch.watch,
            at: now(),
        };
        Ok(sign(Kind::Result, result, &self.watch_key)?)
    }
}

fn mandate(watch: WatchId, says: RuleSays, at: Timestamp) -> Result<Mandate> {
    let approve = match says {
        RuleSays::Nod => CAP_MINOR,
        RuleSays::Ask => ASKED_MINOR,
    };
    Ok(Mandate {
        mandate: MandateId::from_bytes(random()?),
        version: 1,
        name: Text::new("零食 snacks")?,
        watch,
        until: at.plus_ms(30 * LIFE_MS),
        approve: Some(cny(approve)?),
        outside: Outside::Ask,
        per_payment: Some(cny(CAP_MINOR)?),
        per_day: Some(cny(WALLET_MINOR)?),
        per_week: Some(cny(WALLET_MINOR)?),
        per_month: Some(cny(WALLET_MINOR)?),
        shops: None,
        categories: None,
        places: None,
        age: None,
        windows: Vec::new(),
        offsets: vec![Offset { from: at, minutes: UTC_MINUTES }],
    })
}

/// The same caps for the household.
fn house_rules() -> Result<HouseRules> {
    let most = Some(cny(WALLET_MINOR)?);
    let caps = HouseCaps { utc_minutes: UTC_MINUTES, per_day: most, per_week: most, per_month: most };
    Ok(HouseRules { caps: Some(caps), ..HouseRules::default() })
}

fn cny(minor: i64) -> Result<Amount> {
    Ok(Amount::new(Minor::new(minor)?, Currency::CNY))
}

fn next_entry(book: &LogBook, guardian: GuardianId, entry: Entry) -> LogEntry {
    let (household, seq, prev) = (book.household(), book.next_seq(), Some(book.head()));
    LogEntry { v: V1, household, seq, prev, guardian, at: now(), entry }
}

fn assert(
    kind: AssertionKind,
    payload: &impl serde::Serialize,
    guardian: &Guardian,
    passkey: &SoftwareKey,
    rp: &RelyingParty,
) -> Result<String> {
    let (payload, credential) = (serde_json::to_vec(payload)?, guardian.credential.clone());
    Ok(Assertion::by_software_key(kind, payload, credential, passkey, rp, false)?.to_wire())
}

/// A verified message as the store keeps it.
pub(super) fn message<T>(verified: &Verified<T>) -> Message {
    Message { wire: verified.wire().to_owned(), digest: verified.digest() }
}

/// Bills that wait to be ordered, taken one by one by whoever comes.
#[derive(Debug)]
pub struct Stock {
    bills: Vec<(Arc<Shop>, Verified<Bill>)>,
    next: AtomicUsize,
}

impl Stock {
    /// The next bill, its number and whose it is; `None` when they are used up.
    #[must_use]
    pub fn take(&self) -> Option<(usize, &Shop, &Verified<Bill>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.bills.get(number).map(|(shop, bill)| (number, &**shop, bill))
    }

    /// How many nobody has taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bills.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }
}

/// Adds `count` merchants, certified.
pub async fn open_shops(store: &Store, root: &Arc<SoftwareKey>, count: usize) -> Result<Vec<Arc<Shop>>> {
    let (store, root) = (store.clone(), Arc::clone(root));
    in_parallel(count, move |_| {
        let (store, root) = (store.clone(), Arc::clone(&root));
        async move { Ok(Arc::new(Shop::open(&store, &root).await?)) }
    })
    .await
}

/// Founds one household with money and this many watches; gives it once for each of them.
pub async fn found_large(store: &Store, rp: &RelyingParty, watches: usize) -> Result<Vec<Arc<Household>>> {
    Ok(Household::found(store, rp, watches, None).await?.into_iter().map(Arc::new).collect())
}

/// Founds `count` households with money and an enrolled watch each.
pub async fn found(store: &Store, rp: &RelyingParty, count: usize) -> Result<Vec<Arc<Household>>> {
    found_ruled(store, rp, count, None).await
}

/// The same, each with a standing rule where that is wanted.
pub async fn found_ruled(
    store: &Store,
    rp: &RelyingParty,
    count: usize,
    rule: Option<RuleSays>,
) -> Result<Vec<Arc<Household>>> {
    let (store, rp) = (store.clone(), rp.clone());
    in_parallel(count, move |_| {
        let (store, rp) = (store.clone(), rp.clone());
        async move { Ok(Arc::new(Household::found(&store, &rp, 1, rule).await?.pop().ok_or("no watch")?)) }
    })
    .await
}

/// Signs `count` bills, of each shop in turn, and records them.
pub async fn stock(store: &Store, shops: &[Arc<Shop>], count: usize) -> Result<Arc<Stock>> {
    let (shops, store) = (shops.to_vec(), store.clone());
    let bills = in_parallel(count, move |number| {
        let (shop, store) = (shops.get(number % shops.len().max(1)).map(Arc::clone), store.clone());
        async move {
            let shop = shop.ok_or("no shop")?;
            let bill = shop.bill()?;
            store
                .create_bill(NewBill { bill: Bill::clone(&bill), message: message(&bill), watch: None }, now())
                .await?;
            Ok((shop, bill))
        }
    });
    Ok(Arc::new(Stock { bills: bills.await?, next: AtomicUsize::new(0) }))
}

/// Makes `count` things, many at once. In no order; the first error ends it.
pub async fn in_parallel<T, F>(count: usize, make: impl Fn(usize) -> F + Send + Sync + 'static) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send,
{
    let (make, next) = (Arc::new(make), Arc::new(AtomicUsize::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..count.min(AT_ONCE) {
        let (make, next) = (Arc::clone(&make), Arc::clone(&next));
        workers.spawn(async move {
            let mut made = Vec::new();
            loop {
                match next.fetch_add(1, Ordering::Relaxed) {
                    number if number < count => made.push(make(number).await?),
                    _ => return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(made),
                }
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(made) = workers.join_next().await {
        all.append(&mut made??);
    }
    Ok(all)
}
