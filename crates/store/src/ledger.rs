//! A household's movements: double entry, append-only. A transfer is `direct` and counts at once, or `pending` and then
//! settled once, by `post` (all of it, or a part: the rest is released) or `void`. The numbers in the household's row change
//! only through [`Wallet`], here.
//!
//! What a payment writes is new rows: of the merchant it reads the fee, and writes nothing.

use nodpay_core::{
    Amount, BasisPoints, Digest, HouseholdId, LedgerError, MerchantId, Minor, Movement, RailKind, Timestamp,
    TransferId, Wallet, fee_left,
};

use crate::db::{Db, one, params, run_one};
use crate::events::{To, tell};
use crate::households::Books;
use crate::tx::{Fault, Tx};
use crate::{Balance, HouseholdEvent, StoreError, TopUp, rails};

/// Where money comes from and goes to. In a row: one byte of kind, then what the kind is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    /// The world outside: what was paid in, and what was paid out.
    Outside,
    Wallet(HouseholdId),
    Merchant(MerchantId),
    /// What the operator keeps of payments.
    Fees,
    /// Money whose rail has not said what became of it.
    Suspense,
    /// What a rail outside holds for us; the byte says which rail.
    Rail(u8),
    /// Payouts to a merchant's bank that are under way.
    Bank(MerchantId),
    /// What cards' banks took back of payments that were disputed.
    TakenBack,
}

impl Account {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Outside => vec![0],
            Self::Wallet(household) => [&[1][..], household.as_bytes()].concat(),
            Self::Merchant(merchant) => [&[2][..], merchant.as_bytes()].concat(),
            Self::Fees => vec![3],
            Self::Suspense => vec![4],
            Self::Rail(rail) => vec![5, rail],
            Self::Bank(merchant) => [&[6][..], merchant.as_bytes()].concat(),
            Self::TakenBack => vec![7],
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, []) => Some(Self::Outside),
            (1, household) => HouseholdId::try_from(household).ok().map(Self::Wallet),
            (2, merchant) => MerchantId::try_from(merchant).ok().map(Self::Merchant),
            (3, []) => Some(Self::Fees),
            (4, []) => Some(Self::Suspense),
            (5, [rail]) => Some(Self::Rail(*rail)),
            (6, merchant) => MerchantId::try_from(merchant).ok().map(Self::Bank),
            (7, []) => Some(Self::TakenBack),
            _ => None,
        }
    }
}

/// The transfer that a decision's hold is: the first 16 bytes of the decision's digest. Bound to content, and one
/// decision is over one order, so no two holds share it.
#[must_use]
pub fn hold_id(decision: Digest) -> TransferId {
    let mut id = [0; TransferId::LEN];
    id.iter_mut().zip(decision.as_bytes()).for_each(|(to, from)| *to = *from);
    TransferId::from_bytes(id)
}

/// The transfer that follows from another one and can only be there once: the fee of a payment, the fee given back with a
/// refund, the end of a payout, what a bank gave again.
pub(crate) fn follower_id(transfer: TransferId) -> TransferId {
    TransferId::from_bytes(transfer.as_bytes().map(|byte| !byte))
}

/// The transfer by which a payout comes back that was done.
pub(crate) fn return_id(payout: TransferId) -> TransferId {
    TransferId::from_bytes(payout.as_bytes().map(|byte| byte ^ 0x55))
}

/// The two transfers by which an amount goes into suspense and out of it. Ids are digests' beginnings, so what is made of
/// them meets no other.
fn suspense_ids(transfer: TransferId) -> (TransferId, TransferId) {
    let made = |mask: u8| TransferId::from_bytes(transfer.as_bytes().map(|byte| byte ^ mask));
    (made(0x55), made(0xAA))
}

/// An order's pending transfer.
pub(crate) struct Held {
    pub(crate) transfer: TransferId,
    pub(crate) merchant: MerchantId,
    pub(crate) amount: Amount,
    pub(crate) order_no: i64,
    pub(crate) rail: RailKind,
    /// What the operator keeps of it.
    pub(crate) fee: BasisPoints,
}

impl Held {
    fn debit(&self, household: HouseholdId) -> Account {
        match self.rail {
            RailKind::Wallet => Account::Wallet(household),
            RailKind::Stripe | RailKind::Bank => rail_account(self.rail),
        }
    }

    /// A bank pays the merchant itself: we owe it nothing.
    fn credit(&self) -> Account {
        match self.rail {
            RailKind::Wallet | RailKind::Stripe => Account::Merchant(self.merchant),
            RailKind::Bank => Account::Outside,
        }
    }
}

/// A rail's account in the books; the bytes are for ever.
fn rail_account(rail: RailKind) -> Account {
    Account::Rail(match rail {
        RailKind::Wallet => 0,
        RailKind::Stripe => 1,
        RailKind::Bank => 2,
    })
}

/// Promises the amount to an order's payment; the wallet's own changes by it.
pub(crate) fn hold(tx: &Tx<'_>, books: &mut Books, held: &Held, now: Timestamp) -> Result<(), LedgerOrStore> {
    if held.rail == RailKind::Wallet {
        books.wallet = books.wallet.hold(held.amount.units()).map_err(LedgerOrStore::Ledger)?;
    }
    let entry = Entry {
        transfer: held.transfer,
        debit: held.debit(books.household),
        credit: held.credit(),
        amount: held.amount,
        link: Link::Pending { order_no: held.order_no },
    };
    insert(tx.db, books.household, &entry, now).map_err(LedgerOrStore::Store)
}

/// A rule of the ledger said no, or the database failed.
pub(crate) enum LedgerOrStore {
    Ledger(LedgerError),
    Store(StoreError),
}

/// Pays `paid` of a hold out, releases the rest, and takes the operator's fee from the merchant.
pub(crate) fn post(tx: &Tx<'_>, books: &mut Books, held: &Held, paid: Minor, now: Timestamp) -> Result<(), StoreError> {
    if held.rail == RailKind::Wallet {
        let wallet = books.wallet.post(held.amount.units(), paid);
        books.wallet = wallet.map_err(|error| books.incident("posting", error))?;
    }
    settle(tx, books.household, held, Some(paid), now)?;
    if held.credit() != Account::Merchant(held.merchant) {
        return Ok(());
    }
    let fee = held.fee.of(paid).map_err(|error| books.incident("taking a fee", error))?;
    if fee == Minor::ZERO {
        return Ok(());
    }
    let entry = Entry {
        transfer: follower_id(held.transfer),
        debit: Account::Merchant(held.merchant),
        credit: Account::Fees,
        amount: Amount::new(fee, held.amount.currency()),
        link: Link::Of { transfer: held.transfer, order_no: held.order_no },
    };
    insert(tx.db, books.household, &entry, now)
}

/// Gives a hold back.
pub(crate) fn void(tx: &Tx<'_>, books: &mut Books, held: &Held, now: Timestamp) -> Result<(), StoreError> {
    if held.rail == RailKind::Wallet {
        let wallet = books.wallet.void(held.amount.units());
        books.wallet = wallet.map_err(|error| books.incident("voiding", error))?;
    }
    settle(tx, books.household, held, None, now)
}

fn settle(
    tx: &Tx<'_>,
    household: HouseholdId,
    held: &Held,
    posted: Option<Minor>,
    now: Timestamp,
) -> Result<(), StoreError> {
    run_one(
        tx.db,
        "settlements",
        held.transfer,
        "INSERT INTO settlements (household, transfer, result, amount, credit, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (household, transfer) DO NOTHING",
        params![
            household.as_bytes(),
            held.transfer.as_bytes(),
            if posted.is_some() { "post" } else { "void" },
            posted.map(Minor::get),
            posted.map(|_| held.credit().to_bytes()),
            now.unix_ms(),
        ],
    )
}

/// Nobody knows whether the rail has paid: the amount leaves the rail's account for suspense, once.
pub(crate) fn suspend(tx: &Tx<'_>, household: HouseholdId, held: &Held, now: Timestamp) -> Result<(), StoreError> {
    let (into, _) = suspense_ids(held.transfer);
    if find(tx.db, household, into)?.is_some() {
        return Ok(());
    }
    let (debit, credit) = (rail_account(held.rail), Account::Suspense);
    let link = Link::Of { transfer: held.transfer, order_no: held.order_no };
    insert(tx.db, household, &Entry { transfer: into, debit, credit, amount: held.amount, link }, now)
}

/// The rail has answered: what was in suspense goes back where it came from.
pub(crate) fn resolve(tx: &Tx<'_>, household: HouseholdId, held: &Held, now: Timestamp) -> Result<(), StoreError> {
    let (into, out) = suspense_ids(held.transfer);
    if find(tx.db, household, into)?.is_none() {
        return Ok(());
    }
    let (debit, credit) = (Account::Suspense, rail_account(held.rail));
    let link = Link::Of { transfer: into, order_no: held.order_no };
    insert(tx.db, household, &Entry { transfer: out, debit, credit, amount: held.amount, link }, now)
}

/// Whether a pending transfer was posted (`Some(true)`) or voided.
pub(crate) fn is_settled(db: Db<'_>, household: HouseholdId, transfer: TransferId) -> Result<Option<bool>, StoreError> {
    let sql = "SELECT result FROM settlements WHERE household = ?1 AND transfer = ?2";
    let keys = params![household.as_bytes(), transfer.as_bytes()];
    Ok(one(db, "settlements", transfer, sql, keys, |cells| cells.string())?.map(|result| result == "post"))
}

/// Gives a part of what was posted back, and with it the fee on that part. The caller keeps the sum of an order's refunds
/// within what was posted; `before` is that sum without this one. It goes back where it came from.
pub(crate) fn give_back(
    tx: &Tx<'_>,
    books: &mut Books,
    held: &Held,
    posted: Minor,
    before: Minor,
    Movement { transfer: refund, amount }: Movement,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (household, currency, amount) = (books.household, held.amount.currency(), amount.units());
    if held.rail == RailKind::Wallet {
        books.wallet = books.pay_in(amount)?;
    }
    let entry = Entry {
        transfer: refund,
        debit: Account::Merchant(held.merchant),
        credit: held.debit(household),
        amount: Amount::new(amount, currency),
        link: Link::Of { transfer: held.transfer, order_no: held.order_no },
    };
    insert(tx.db, household, &entry, now)?;
    let Some(fee) = find(tx.db, household, follower_id(held.transfer))? else { return Ok(()) };
    let left = |refunded: Minor| fee_left(fee.amount.units(), posted, refunded);
    let back = before.plus(amount).and_then(|after| left(before)?.minus(left(after)?));
    let back = back.map_err(|error| books.incident("giving a fee back", error))?;
    if back == Minor::ZERO {
        return Ok(());
    }
    let entry = Entry {
        transfer: follower_id(refund),
        debit: Account::Fees,
        credit: Account::Merchant(held.merchant),
        amount: Amount::new(back, currency),
        link: Link::Of { transfer: refund, order_no: held.order_no },
    };
    insert(tx.db, household, &entry, now)
}

/// The card's bank has taken a payment back, or a part of it. The operator's fee stays: the payment was made.
pub(crate) fn take_back(
    tx: &Tx<'_>,
    household: HouseholdId,
    held: &Held,
    (transfer, amount): (TransferId, Amount),
    now: Timestamp,
) -> Result<(), StoreError> {
    let (debit, credit) = (Account::Merchant(held.merchant), Account::TakenBack);
    let link = Link::Of { transfer: held.transfer, order_no: held.order_no };
    insert(tx.db, household, &Entry { transfer, debit, credit, amount, link }, now)
}

/// The bank gave again what it had taken back as `taken`.
pub(crate) fn give_again(
    tx: &Tx<'_>,
    household: HouseholdId,
    held: &Held,
    (taken, amount): (TransferId, Amount),
    now: Timestamp,
) -> Result<(), StoreError> {
    let (debit, credit) = (Account::TakenBack, Account::Merchant(held.merchant));
    let link = Link::Of { transfer: taken, order_no: held.order_no };
    insert(tx.db, household, &Entry { transfer: follower_id(taken), debit, credit, amount, link }, now)
}

/// Pays out what the wallet has, at once.
pub(crate) fn pay_out(
    tx: &Tx<'_>,
    books: &mut Books,
    transfer: TransferId,
    amount: Amount,
    now: Timestamp,
) -> Result<(), StoreError> {
    let wallet = books.wallet.pay_out(amount.units());
    books.wallet = wallet.map_err(|error| books.incident("paying out", error))?;
    let (debit, credit) = (Account::Wallet(books.household), Account::Outside);
    insert(tx.db, books.household, &Entry { transfer, debit, credit, amount, link: Link::None }, now)
}

struct Entry {
    transfer: TransferId,
    debit: Account,
    credit: Account,
    amount: Amount,
    link: Link,
}

/// What a transfer belongs to.
enum Link {
    /// It counts at once, by itself.
    None,
    /// It is an order's and counts when it is settled.
    Pending { order_no: i64 },
    /// It counts at once and follows from a transfer of an order's.
    Of { transfer: TransferId, order_no: i64 },
}

fn insert(db: Db<'_>, household: HouseholdId, entry: &Entry, now: Timestamp) -> Result<(), StoreError> {
    let (kind, order_no, of_transfer) = match &entry.link {
        Link::None => ("direct", None, None),
        Link::Pending { order_no } => ("pending", Some(*order_no), None),
        Link::Of { transfer, order_no } => ("direct", Some(*order_no), Some(transfer.as_bytes())),
    };
    run_one(
        db,
        "transfers",
        entry.transfer,
        "INSERT INTO transfers (household, transfer, debit, credit, amount, currency, kind, order_no, of_transfer, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            household.as_bytes(),
            entry.transfer.as_bytes(),
            entry.debit.to_bytes(),
            entry.credit.to_bytes(),
            entry.amount.minor(),
            entry.amount.currency().code(),
            kind,
            order_no,
            of_transfer,
            now.unix_ms(),
        ],
    )
}

/// A transfer as it was written; what was posted of it, where it was pending and is posted.
pub(crate) struct Found {
    pub(crate) debit: Account,
    pub(crate) amount: Amount,
    pub(crate) posted: Option<Minor>,
}

/// Whether a transfer of the household's, or a refund that a rail is asked for, has this id.
pub(crate) fn is_taken(db: Db<'_>, household: HouseholdId, transfer: TransferId) -> Result<bool, StoreError> {
    Ok(find(db, household, transfer)?.is_some() || rails::is_refund(db, transfer)?)
}

pub(crate) fn find(db: Db<'_>, household: HouseholdId, transfer: TransferId) -> Result<Option<Found>, StoreError> {
    one(
        db,
        "transfers",
        transfer,
        "SELECT t.debit, t.amount, t.currency, s.amount FROM transfers t
         LEFT JOIN settlements s ON s.household = t.household AND s.transfer = t.transfer
         WHERE t.household = ?1 AND t.transfer = ?2",
        params![household.as_bytes(), transfer.as_bytes()],
        |cells| Ok(Found { debit: cells.account()?, amount: cells.amount()?, posted: cells.opt_minor()? }),
    )
}

/// What the wallet has then, and whether the top-up is new.
pub(crate) fn top_up(tx: &mut Tx<'_>, top_up: &TopUp, now: Timestamp) -> Result<(Balance, bool), Fault> {
    let mut books = Books::load(tx.db, top_up.household)?;
    if let Some(before) = find(tx.db, top_up.household, top_up.transfer)? {
        let same = before.amount == top_up.amount && before.debit == Account::Outside;
        return if same { Ok((books.balance(), false)) } else { Err(StoreError::TransferExists.into()) };
    }
    if rails::is_refund(tx.db, top_up.transfer)? {
        return Err(StoreError::TransferExists.into());
    }
    if books.close_out.is_some() {
        return Err(StoreError::HouseholdClosed.into());
    }
    if top_up.amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    books.wallet = books.pay_in(top_up.amount.units())?;
    let entry = Entry {
        transfer: top_up.transfer,
        debit: Account::Outside,
        credit: Account::Wallet(top_up.household),
        amount: top_up.amount,
        link: Link::None,
    };
    insert(tx.db, top_up.household, &entry, now)?;
    tell_balance(tx, &mut books, now)?;
    books.save(tx)?;
    Ok((books.balance(), true))
}

/// Puts what a card was charged into the wallet.
pub(crate) fn charged(
    tx: &Tx<'_>,
    books: &mut Books,
    Movement { transfer, amount }: Movement,
    now: Timestamp,
) -> Result<(), StoreError> {
    books.wallet = books.pay_in(amount.units())?;
    let (debit, credit) = (rail_account(RailKind::Stripe), Account::Wallet(books.household));
    insert(tx.db, books.household, &Entry { transfer, debit, credit, amount, link: Link::None }, now)
}

/// Everybody in the household hears of its balance.
pub(crate) fn tell_balance(tx: &mut Tx<'_>, books: &mut Books, now: Timestamp) -> Result<(), StoreError> {
    tell(tx, books, To::Guardians, HouseholdEvent::Balance, now)?;
    tell(tx, books, To::AllWatches, HouseholdEvent::Balance, now)
}

impl Books {
    pub(crate) fn balance(&self) -> Balance {
        Balance { wallet: self.wallet, currency: self.currency }
    }

    pub(crate) fn pay_in(&self, amount: Minor) -> Result<Wallet, StoreError> {
        self.wallet.top_up(amount).map_err(|error| match error {
            LedgerError::NotPositive => StoreError::AmountNotPositive,
            LedgerError::Money(_) => StoreError::BalanceTooLarge,
            LedgerError::InsufficientBalance { .. } | LedgerError::NotHeld => self.incident("paying in", error),
        })
    }

    pub(crate) fn incident(&self, doing: &str, error: impl std::fmt::Display) -> StoreError {
        StoreError::incident("households", self.household, format!("{doing}: {error}"))
    }
}

pub(crate) fn balance(db: Db<'_>, household: HouseholdId) -> Result<Option<Balance>, StoreError> {
    Ok(Books::find(db, household)?.map(|books| books.balance()))
}

/// Whether the wallet could hold `amount` now.
pub(crate) fn can_hold(wallet: Wallet, amount: Minor) -> bool {
    wallet.hold(amount).is_ok()
}
