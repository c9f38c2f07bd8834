//! What stands in the operator's accounts: every movement that counts, summed by account. Held money has not moved yet.
//!
//! Goes household by household and merchant by merchant over one consistent view, as the check does.

use std::collections::BTreeMap;

use nodpay_core::{Amount, Currency, Minor};

use crate::db::{Cells, Db, many, params};
use crate::ledger::Account;
use crate::{AccountKind, BookRow, MAX_HOUSEHOLDS_PAGE, MAX_MERCHANTS_PAGE, StoreError, households, merchants};

/// In minor units, by account and currency.
pub(crate) type Sums = BTreeMap<(AccountKind, &'static str), (Currency, i128)>;

/// Those in which something moved.
pub(crate) fn books(db: Db<'_>) -> Result<Vec<BookRow>, StoreError> {
    let rows = sums(db)?.into_iter().map(|((account, _), (currency, sum))| {
        let units = i64::try_from(sum).ok().and_then(|sum| Minor::new(sum).ok()).ok_or(StoreError::BalanceTooLarge)?;
        Ok(BookRow { account, balance: Amount::new(units, currency) })
    });
    rows.collect()
}

/// Of each currency they come to zero.
pub(crate) fn sums(db: Db<'_>) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    let mut after = None;
    loop {
        let page = households::ids_ever(db, after, MAX_HOUSEHOLDS_PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for household in page {
            let sql = "SELECT account, CAST(sum(change) AS BIGINT), currency FROM (
                 SELECT debit AS account, currency, -amount AS change
                     FROM transfers WHERE household = ?1 AND kind = 'direct'
                 UNION ALL SELECT credit, currency, amount FROM transfers WHERE household = ?1 AND kind = 'direct'
                 UNION ALL SELECT t.debit, t.currency, -s.amount
                     FROM settlements s JOIN transfers t ON t.household = s.household AND t.transfer = s.transfer
                     WHERE s.household = ?1 AND s.result = 'post'
                 UNION ALL SELECT s.credit, t.currency, s.amount
                     FROM settlements s JOIN transfers t ON t.household = s.household AND t.transfer = s.transfer
                     WHERE s.household = ?1 AND s.result = 'post'
                 ) AS moved GROUP BY account, currency";
            add(&mut sums, many(db, "transfers", household, sql, params![household.as_bytes()], moved)?);
        }
    }
    let mut after = None;
    loop {
        let page = merchants::list(db, after, MAX_MERCHANTS_PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.merchant);
        for row in page {
            let sql = "SELECT account, CAST(sum(change) AS BIGINT), currency FROM (
                 SELECT debit AS account, currency, -amount AS change FROM merchant_transfers WHERE merchant = ?1
                 UNION ALL SELECT credit, currency, amount FROM merchant_transfers WHERE merchant = ?1
                 ) AS moved GROUP BY account, currency";
            add(&mut sums, many(db, "merchant_transfers", row.merchant, sql, params![row.merchant.as_bytes()], moved)?);
        }
    }
    Ok(sums)
}

fn moved(cells: &Cells<'_>) -> Result<(Account, i64, Currency), StoreError> {
    Ok((cells.account()?, cells.int()?, cells.currency()?))
}

fn add(sums: &mut Sums, moved: Vec<(Account, i64, Currency)>) {
    for (account, change, currency) in moved {
        let (_, sum) = sums.entry((kind(account), currency.code())).or_insert((currency, 0));
        *sum += i128::from(change);
    }
}

const fn kind(account: Account) -> AccountKind {
    match account {
        Account::Outside => AccountKind::Outside,
        Account::Wallet(_) => AccountKind::Wallets,
        Account::Merchant(_) => AccountKind::Merchants,
        Account::Fees => AccountKind::Fees,
        Account::Suspense => AccountKind::Suspense,
        Account::Rail(1) => AccountKind::Stripe,
        Account::Rail(_) => AccountKind::BankRail,
        Account::Bank(_) => AccountKind::Payouts,
        Account::TakenBack => AccountKind::TakenBack,
    }
}
