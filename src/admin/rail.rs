//! `nodpay admin household rail`, `unfinished`: what households pay with, and what is under way there.

use clap::Subcommand;
use nodpay::parties::{Result, now};
use nodpay_core::{BankAccount, HouseholdId, Iban, Payer, RailKind, RailStep};
use nodpay_store::{Store, StoreError};

use super::show::{Cell, Out};

/// Orders that are under way keep the rail they came with.
#[derive(Subcommand)]
pub(super) enum RailChoice {
    /// Its prepaid wallet.
    Wallet {
        /// The card on file with Stripe that its guardians may fill the wallet from: `cus_… pm_…`.
        #[arg(long, num_args = 2, value_names = ["CUSTOMER", "METHOD"])]
        card: Option<Vec<String>>,
    },
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
        let (payer, filled_by) = match choice {
            RailChoice::Wallet { card } => {
                let card = card.as_deref().map(|card| match card {
                    [customer, method] => on_file(customer, method),
                    _ => Err("a card is two ids of Stripe's".into()),
                });
                (None, card.transpose()?)
            }
            RailChoice::Stripe { customer, method } => (Some(on_file(&customer, &method)?), None),
            RailChoice::Bank { name, iban, bic } => {
                let iban = Iban::from_typed(&iban).map_err(|error| format!("{iban} {error}"))?;
                (Some(Payer::Bank(BankAccount { name, iban, bic })), None)
            }
        };
        store.set_top_up_card(household, filled_by, now()).await?;
        store.set_payer(household, payer, now()).await?;
    }
    let payer = store.payer(household).await?;
    let kind = payer.as_ref().map_or(RailKind::Wallet, Payer::kind);
    let named = |payer: Payer| match payer {
        Payer::Stripe { customer, method } => format!("{customer} {method}"),
        Payer::Bank(account) => account.iban.to_string(),
    };
    let filled_by = store.top_up_card(household).await?;
    out.show(&vec![
        ("household", Cell::text(household)),
        ("rail", Cell::text(kind.as_str())),
        ("from", Cell::opt_text(payer.map(named))),
        ("filled_by", Cell::opt_text(filled_by.map(named))),
    ]);
    Ok(())
}

pub(super) async fn unfinished(store: &Store, out: Out) -> Result<()> {
    let mut list = out.list();
    for row in store.unfinished().await? {
        let (order, step) = row.of.unzip();
        list.add(vec![
            ("asked", Cell::Time(row.asked)),
            ("rail", Cell::text(row.rail.as_str())),
            ("step", Cell::text(step.map_or("top-up", RailStep::as_str))),
            ("state", Cell::text(row.state)),
            ("tries", Cell::Number(row.tries.into())),
            ("next", Cell::Time(row.next)),
            ("amount", Cell::Money(row.amount)),
            ("household", Cell::text(row.household)),
            ("order", Cell::opt_text(order)),
            ("id", Cell::text(row.transfer)),
        ]);
    }
    list.end();
    Ok(())
}

fn on_file(customer: &str, method: &str) -> Result<Payer> {
    for (id, prefix) in [(customer, "cus_"), (method, "pm_")] {
        if !id.starts_with(prefix) {
            return Err(format!("{id}: Stripe's ids of this kind begin with {prefix}").into());
        }
    }
    Ok(Payer::Stripe { customer: customer.to_owned(), method: method.to_owned() })
}
