//! The wallet's movements: double entry, append-only. A transfer is `direct` (a top-up), or `pending` and then settled
//! once, by `post` or `void`. The numbers in the household's row change only through [`Wallet`], here.

use nodpay_core::{Amount, Digest, HouseholdId, LedgerError, MerchantId, Minor, Timestamp, TransferId, Wallet};

use crate::db::{Db, one, params, run_one};
use crate::events::{To, tell};
use crate::households::Books;
use crate::tx::{Fault, Tx};
use crate::{Balance, HouseholdEvent, StoreError, TopUp, merchants};

/// Where money comes from and goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The world outside: what was paid in.
    Outside,
    Wallet(HouseholdId),
    Merchant(MerchantId),
}

impl Account {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Outside => vec![0],
            Self::Wallet(household) => [&[1][..], household.as_bytes()].concat(),
            Self::Merchant(merchant) => [&[2][..], merchant.as_bytes()].concat(),
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, []) => Some(Self::Outside),
            (1, household) => HouseholdId::try_from(household).ok().map(Self::Wallet),
            (2, merchant) => MerchantId::try_from(merchant).ok().map(Self::Merchant),
            _ => None,
        }
    }
}

/// The transfer that a decision's hold is: the first 16 bytes of the decision's digest. Bound to content, and one
/// decision is over one order, so no two holds share it.
pub(crate) fn hold_id(decision: Digest) -> TransferId {
    let mut id = [0; TransferId::LEN];
    id.iter_mut().zip(decision.as_bytes()).for_each(|(to, from)| *to = *from);
    TransferId::from_bytes(id)
}

/// Promises `amount` of the wallet to an order's payment.
pub(crate) fn hold(
    tx: &Tx<'_>,
    books: &mut Books,
    transfer: TransferId,
    merchant: MerchantId,
    amount: Amount,
    order_no: i64,
    now: Timestamp,
) -> Result<(), LedgerOrStore> {
    books.wallet = books.wallet.hold(amount.units()).map_err(LedgerOrStore::Ledger)?;
    let entry = Entry {
        transfer,
        debit: Account::Wallet(books.household),
        credit: Account::Merchant(merchant),
        amount,
        order_no: Some(order_no),
    };
    insert(tx.db, books.household, &entry, now).map_err(LedgerOrStore::Store)
}

/// A rule of the ledger said no, or the database failed.
pub(crate) enum LedgerOrStore {
    Ledger(LedgerError),
    Store(StoreError),
}

/// Pays a hold out, or gives it back.
pub(crate) fn settle(
    tx: &Tx<'_>,
    books: &mut Books,
    transfer: TransferId,
    amount: Minor,
    post: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let wallet = if post { books.wallet.post(amount) } else { books.wallet.void(amount) };
    books.wallet =
        wallet.map_err(|error| StoreError::incident("households", books.household, format!("settling: {error}")))?;
    let result = if post { "post" } else { "void" };
    // A second settlement of the same hold breaks the key.
    run_one(
        tx.db,
        "settlements",
        transfer,
        "INSERT INTO settlements (household, transfer, result, at) VALUES (?1, ?2, ?3, ?4)",
        params![books.household.as_bytes(), transfer.as_bytes(), result, now.unix_ms()],
    )
}

struct Entry {
    transfer: TransferId,
    debit: Account,
    credit: Account,
    amount: Amount,
    /// Present exactly for a pending transfer.
    order_no: Option<i64>,
}

fn insert(db: Db<'_>, household: HouseholdId, entry: &Entry, now: Timestamp) -> Result<(), StoreError> {
    run_one(
        db,
        "transfers",
        entry.transfer,
        "INSERT INTO transfers (household, transfer, debit, credit, amount, currency, kind, order_no, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            household.as_bytes(),
            entry.transfer.as_bytes(),
            entry.debit.to_bytes(),
            entry.credit.to_bytes(),
            entry.amount.minor(),
            entry.amount.currency().code(),
            if entry.order_no.is_some() { "pending" } else { "direct" },
            entry.order_no,
            now.unix_ms(),
        ],
    )?;
    Ok(())
}

pub(crate) fn top_up(tx: &mut Tx<'_>, top_up: &TopUp, now: Timestamp) -> Result<Balance, Fault> {
    let mut books = Books::load(tx.db, top_up.household)?;
    let before = one(
        tx.db,
        "transfers",
        top_up.transfer,
        "SELECT amount, currency, kind FROM transfers WHERE household = ?1 AND transfer = ?2",
        params![top_up.household.as_bytes(), top_up.transfer.as_bytes()],
        |cells| Ok((cells.amount()?, cells.string()?)),
    )?;
    if let Some((amount, kind)) = before {
        let same = amount == top_up.amount && kind == "direct";
        return if same { Ok(books.balance()) } else { Err(StoreError::TransferExists.into()) };
    }
    if top_up.amount.currency() != books.currency {
        return Err(StoreError::CurrencyNotSupported.into());
    }
    books.wallet = books.wallet.top_up(top_up.amount.units()).map_err(|error| match error {
        LedgerError::NotPositive => StoreError::AmountNotPositive,
        LedgerError::Money(_) => StoreError::BalanceTooLarge,
        LedgerError::InsufficientBalance { .. } | LedgerError::NotHeld => {
            StoreError::incident("households", books.household, format!("topping up: {error}"))
        }
    })?;
    let entry = Entry {
        transfer: top_up.transfer,
        debit: Account::Outside,
        credit: Account::Wallet(top_up.household),
        amount: top_up.amount,
        order_no: None,
    };
    insert(tx.db, top_up.household, &entry, now)?;
    tell(tx, &mut books, To::Guardians, HouseholdEvent::Balance, now)?;
    tell(tx, &mut books, To::AllWatches, HouseholdEvent::Balance, now)?;
    books.save(tx)?;
    Ok(books.balance())
}

impl Books {
    fn balance(&self) -> Balance {
        Balance { wallet: self.wallet, currency: self.currency }
    }
}

pub(crate) fn balance(db: Db<'_>, household: HouseholdId) -> Result<Option<Balance>, StoreError> {
    Ok(Books::find(db, household)?.map(|books| books.balance()))
}

pub(crate) fn merchant_balance(db: Db<'_>, merchant: MerchantId) -> Result<Amount, StoreError> {
    let row = merchants::merchant(db, merchant)?.ok_or(StoreError::MerchantUnknown)?;
    let sum = one(
        db,
        "transfers",
        merchant,
        "SELECT CAST(coalesce(sum(t.amount), 0) AS BIGINT) FROM transfers t
         JOIN settlements s ON s.household = t.household AND s.transfer = t.transfer AND s.result = 'post'
         WHERE t.credit = ?1 AND t.order_no IS NOT NULL",
        params![Account::Merchant(merchant).to_bytes()],
        |cells| cells.minor(),
    )?;
    Ok(Amount::new(sum.unwrap_or(Minor::ZERO), row.currency))
}

/// Whether the wallet could hold `amount` now.
pub(crate) fn can_hold(wallet: Wallet, amount: Minor) -> bool {
    wallet.hold(amount).is_ok()
}
