//! `nodpay admin import-statement`: what a bank says came in becomes top-ups.

use std::path::PathBuf;

use nodpay::parties::{Result, now};
use nodpay_core::{HouseholdId, Iban};
use nodpay_service::admin;
use nodpay_service::rails::camt::{Credit, read_credits};
use nodpay_store::{Store, StoreError, TopUp};

use super::show::{Cell, Out};

#[derive(clap::Args)]
pub(super) struct StatementOptions {
    /// A camt.053 or camt.054 file of the bank's. Use one kind for one account, always.
    file: PathBuf,
    /// The account that families pay into: a file about another one is refused. Default: bank-iban of the configuration.
    #[arg(long, env = "NODPAY_BANK_IBAN")]
    bank_iban: Option<String>,
}

/// `configured` is the account of the configuration file.
pub(super) async fn import(
    store: &Store,
    out: Out,
    options: StatementOptions,
    configured: Option<String>,
) -> Result<()> {
    let StatementOptions { file, bank_iban } = options;
    let own = bank_iban.or(configured);
    let own = own.map(|iban| Iban::from_typed(&iban).map_err(|error| format!("{iban} {error}"))).transpose()?;
    let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let credits = read_credits(&bytes, own.as_ref()).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut list, mut left) = (out.list(), 0_u32);
    for credit in &credits {
        let (result, household) = take(store, credit).await?;
        left += u32::from(!matches!(result, CREDITED | ALREADY));
        list.add(vec![
            ("result", Cell::text(result)),
            ("booked", Cell::opt_text(credit.booked.as_deref())),
            ("amount", Cell::Money(credit.amount)),
            ("household", Cell::opt_text(household)),
            ("id", Cell::opt_text(credit.transfer)),
            ("words", Cell::text(&credit.words)),
        ]);
    }
    list.end();
    if left > 0 {
        eprintln!("{left} not credited: look whose they are, then `nodpay admin top-up HOUSEHOLD MINOR --id ID`.");
    }
    Ok(())
}

const CREDITED: &str = "credited";
const ALREADY: &str = "already there";

/// What became of one, and whose it is.
async fn take(store: &Store, credit: &Credit) -> Result<(&'static str, Option<HouseholdId>)> {
    let household = match &credit.reference {
        Some(reference) => admin::household_named(store, reference).await.map(Some),
        None => Ok(None),
    };
    let household = match household {
        Ok(Some(household)) => household,
        Ok(None) | Err(StoreError::HouseholdUnknown) => return Ok(("unknown reference", None)),
        Err(error) => return Err(error.into()),
    };
    let Some(transfer) = credit.transfer else { return Ok(("no id of the bank's", Some(household))) };
    let result = match store.take_credit(TopUp { household, transfer, amount: credit.amount }, now()).await {
        Ok(true) => CREDITED,
        Ok(false) => ALREADY,
        Err(StoreError::CurrencyNotSupported) => "another currency",
        Err(StoreError::HouseholdClosed) => "household closed",
        Err(StoreError::AmountNotPositive) => "no amount",
        Err(StoreError::BalanceTooLarge) => "wallet full",
        Err(error) => return Err(error.into()),
    };
    Ok((result, Some(household)))
}
