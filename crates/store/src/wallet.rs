//! What a household sees of its wallet: every movement with what it was for, and what is held. Read from the ledger; nothing of
//! it is kept twice.

use nodpay_core::{Amount, HouseholdId, MerchantId, Minor, OrderId, ScheduleId, Text, Timestamp, TransferId};
use serde::{Deserialize, Serialize};

use crate::db::{Cells, Db, many, params};
use crate::households::Books;
use crate::ledger::Account;
use crate::{Balance, Place, StoreError, schedules};

/// Movements one page has at most.
pub const MAX_WALLET_PAGE: u32 = 200;

/// A part of a household's statement, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletPage {
    /// Now, whatever page it is.
    pub balance: Balance,
    /// What is held now, the newest first.
    pub holds: Vec<WalletHold>,
    pub movements: Vec<WalletMovement>,
    /// Go on before this one; `None` at the end.
    pub next: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletMovement {
    pub at: Timestamp,
    pub transfer: TransferId,
    pub kind: WalletKind,
    /// Below zero where it takes something away.
    pub change: Minor,
    /// Of a payment and a refund.
    pub purchase: Option<Purchase>,
    /// Of a refund.
    pub reason: Option<Text<60>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    pub order: OrderId,
    pub merchant: MerchantId,
    pub shop: Text<50>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletHold {
    pub at: Timestamp,
    pub amount: Amount,
    pub purchase: Purchase,
}

/// Households pay no fee; shops do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WalletKind {
    TopUp,
    /// A top-up that came by itself.
    Standing,
    /// A top-up that a guardian's card was charged for.
    Card,
    Payment,
    Refund,
    CloseOut,
}

impl WalletKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top-up",
            Self::Standing => "standing",
            Self::Card => "card",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::CloseOut => "close-out",
        }
    }
}

impl WalletMovement {
    fn place(&self) -> Place {
        Place { at: self.at, transfer: self.transfer }
    }
}

pub(crate) fn page(
    db: Db<'_>,
    household: HouseholdId,
    before: Option<Place>,
    limit: u32,
) -> Result<WalletPage, StoreError> {
    let books = Books::find(db, household)?.ok_or(StoreError::HouseholdUnknown)?;
    let limit = limit.clamp(1, MAX_WALLET_PAGE);
    // After the last transfer there can be, where nothing was read yet.
    let (at, transfer) =
        before.map_or((i64::MAX, [0xFF; 16]), |before| (before.at.unix_ms(), *before.transfer.as_bytes()));
    let wallet = Account::Wallet(household).to_bytes();
    let mut movements = many(
        db,
        "settlements",
        household,
        "SELECT s.at, s.transfer, -s.amount, o.order_id, m.merchant, m.name FROM settlements s
         JOIN transfers t ON t.household = s.household AND t.transfer = s.transfer
         JOIN orders o ON o.no = t.order_no JOIN bills b ON b.no = o.bill_no JOIN merchants m ON m.merchant = b.merchant
         WHERE s.household = ?1 AND s.result = 'post' AND t.debit = ?2
           AND (s.at < ?3 OR (s.at = ?3 AND s.transfer < ?4))
         ORDER BY s.at DESC, s.transfer DESC LIMIT ?5",
        params![household.as_bytes(), &wallet, at, transfer, limit],
        |cells| {
            let (at, transfer, change) = (cells.time()?, cells.id()?, cells.minor()?);
            let purchase = Some(purchase(cells)?);
            Ok(WalletMovement { at, transfer, kind: WalletKind::Payment, change, purchase, reason: None })
        },
    )?;
    let schedules: Vec<ScheduleId> = schedules::list(db, household)?.iter().map(|row| row.schedule).collect();
    movements.extend(many(
        db,
        "transfers",
        household,
        "SELECT t.at, t.transfer, CASE WHEN t.credit = ?2 THEN t.amount ELSE -t.amount END,
                o.order_id, m.merchant, m.name, t.debit, r.reason FROM transfers t
         LEFT JOIN orders o ON o.no = t.order_no LEFT JOIN bills b ON b.no = o.bill_no
         LEFT JOIN merchants m ON m.merchant = b.merchant
         LEFT JOIN refunds r ON r.household = t.household AND r.order_id = o.order_id AND r.refund = t.transfer
         WHERE t.household = ?1 AND t.kind = 'direct' AND (t.debit = ?2 OR t.credit = ?2)
           AND (t.at < ?3 OR (t.at = ?3 AND t.transfer < ?4))
         ORDER BY t.at DESC, t.transfer DESC LIMIT ?5",
        params![household.as_bytes(), &wallet, at, transfer, limit],
        |cells| {
            let (at, transfer, change): (_, TransferId, Minor) = (cells.time()?, cells.id()?, cells.minor()?);
            let purchase = match (cells.opt_id()?, cells.opt_id()?, cells.opt_text()?) {
                (Some(order), Some(merchant), Some(shop)) => Some(Purchase { order, merchant, shop }),
                _ => None,
            };
            let debit = cells.account()?;
            let kind = match (&purchase, change > Minor::ZERO) {
                (Some(_), true) => WalletKind::Refund,
                (None, true) if matches!(debit, Account::Rail(_)) => WalletKind::Card,
                (None, true) if schedules.iter().any(|one| schedules::is_due_of(*one, transfer)) => {
                    WalletKind::Standing
                }
                (None, true) => WalletKind::TopUp,
                (None, false) => WalletKind::CloseOut,
                (Some(_), false) => return Err(cells.wrong("a payment that was never held")),
            };
            Ok(WalletMovement { at, transfer, kind, change, purchase, reason: cells.opt_text()? })
        },
    )?);
    movements.sort_by_key(|movement| std::cmp::Reverse(movement.place()));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = movements.len() > limit;
    movements.truncate(limit);
    let next = movements.last().filter(|_| more || movements.len() == limit).map(WalletMovement::place);
    Ok(WalletPage { balance: books.balance(), holds: holds(db, household, &wallet)?, movements, next })
}

fn purchase(cells: &Cells<'_>) -> Result<Purchase, StoreError> {
    Ok(Purchase { order: cells.id()?, merchant: cells.id()?, shop: cells.text()? })
}

/// Orders that are open: a few.
fn holds(db: Db<'_>, household: HouseholdId, wallet: &Vec<u8>) -> Result<Vec<WalletHold>, StoreError> {
    many(
        db,
        "transfers",
        household,
        "SELECT t.at, t.amount, t.currency, o.order_id, m.merchant, m.name FROM transfers t
         JOIN orders o ON o.no = t.order_no JOIN bills b ON b.no = o.bill_no JOIN merchants m ON m.merchant = b.merchant
         LEFT JOIN settlements s ON s.household = t.household AND s.transfer = t.transfer
         WHERE t.household = ?1 AND t.debit = ?2 AND t.kind = 'pending' AND s.transfer IS NULL
         ORDER BY t.at DESC, t.transfer DESC",
        params![household.as_bytes(), wallet],
        |cells| Ok(WalletHold { at: cells.time()?, amount: cells.amount()?, purchase: purchase(cells)? }),
    )
}
