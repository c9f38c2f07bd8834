//! `nodpay admin household rail`: what a household pays with.

use clap::Subcommand;
use nodpay::parties::{Result, now};
use nodpay_core::{BankAccount, HouseholdId, Iban, Payer, RailKind};
use nodpay_store::{Store, StoreError};

use super::show::{Cell, Out};

/// Orders that are under way keep the rail they came with.
#[derive(Subcommand)]
pub(super) enum RailChoice {
    /// Its prepaid wallet.
    Wallet,
    /// A card on file with Stripe.
    Stripe {
        /// Stripe's customer, `cus_…`.
        customer: String,
        /// The customer's card, `pm_…`.
        method: String,
    },
    /// Transfers from its bank account.
    Bank {
        /// The account's holder.
        name: String,
        iban: String,
        /// The bank's code, where the IBAN is not enough.
        #[arg(long)]
        bic: Option<String>,
    },
}

pub(super) async fn rail(store: &Store, out: Out, household: HouseholdId, choice: Option<RailChoice>) -> Result<()> {
    store.household(household).await?.ok_or(StoreError::HouseholdUnknown)?;
    if let Some(choice) = choice {
        let payer = match choice {
            RailChoice::Wallet => None,
            RailChoice::Stripe { customer, method } => {
                for (id, prefix) in [(&customer, "cus_"), (&method, "pm_")] {
                    if !id.starts_with(prefix) {
                        return Err(format!("{id}: Stripe's ids of this kind begin with {prefix}").into());
                    }
                }
                Some(Payer::Stripe { customer, method })
            }
            RailChoice::Bank { name, iban, bic } => {
                let iban = Iban::from_typed(&iban).map_err(|error| format!("{iban} {error}"))?;
                Some(Payer::Bank(BankAccount { name, iban, bic }))
            }
        };
        store.set_payer(household, payer, now()).await?;
    }
    let payer = store.payer(household).await?;
    let kind = payer.as_ref().map_or(RailKind::Wallet, Payer::kind);
    let from = match payer {
        None => None,
        Some(Payer::Stripe { customer, method }) => Some(format!("{customer} {method}")),
        Some(Payer::Bank(account)) => Some(account.iban.to_string()),
    };
    out.show(&vec![
        ("household", Cell::text(household)),
        ("rail", Cell::text(kind.as_str())),
        ("from", Cell::opt_text(from)),
    ]);
    Ok(())
}
