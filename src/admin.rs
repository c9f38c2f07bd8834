//! `nodpay admin`: what the operator does. None of it can change a household's keys.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp as Date;
use nodpay::parties::{Result, now};
use nodpay_core::{Amount, Country, Currency, HouseholdId, Mcc, MerchantId, Minor, Text};
use nodpay_service::admin::{self, MerchantDetails};
use nodpay_service::{ServiceKeys, init_keys, load_root_key};
use nodpay_store::Store;
use serde_json::json;

use crate::serve::{Place, runtime};

/// Only for links when no origin is given.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the root key and the outcome key, once.
    Init,
    /// Make an invitation link for the first guardian of a new household.
    Invite,
    /// Merchants and their tills.
    #[command(subcommand)]
    Merchant(MerchantCommand),
    /// Pay money into a household's wallet.
    TopUp {
        household: HouseholdId,
        /// In minor units: 5000 is ¥50.00.
        minor: i64,
        #[arg(long, default_value = "CNY")]
        currency: String,
    },
    /// Prove that the books are right; exit 1 and what is wrong where they are not.
    Check,
}

#[derive(Subcommand)]
enum MerchantCommand {
    /// Add a merchant: prints its API key and the link for its till, once.
    Add {
        #[arg(long)]
        name: String,
        #[arg(long)]
        city: String,
        #[arg(long, default_value = "CN")]
        country: String,
        /// Merchant category code (ISO 18245).
        #[arg(long, default_value = "5411")]
        mcc: String,
        #[arg(long, default_value = "CNY")]
        currency: String,
    },
    /// All merchants, one JSON object a line.
    List,
    /// Make another link for a merchant's till.
    Till { merchant: MerchantId },
    /// Sign the certificate of a till that enrolled while the root key was elsewhere.
    Certify {
        merchant: MerchantId,
        /// Where the root key lies now.
        #[arg(long)]
        key: PathBuf,
    },
}

pub(crate) fn run(options: Options) -> Result<()> {
    let Options { place, command } = options;
    if let Command::Init = command {
        let files = init_keys(&place.folder(), now())?;
        println!("root key:    {} (move it to a safe place when the tills are enrolled)", files.root_key.display());
        println!("outcome key: {}", files.outcome_key.display());
        return Ok(());
    }
    let keys = ServiceKeys::load(&place.outcome_key(), None, now())?;
    let store = Store::open_sqlite(&place.database()?, keys.outcome_signer())?;
    runtime()?.block_on(act(&store, &place, command))
}

async fn act(store: &Store, place: &Place, command: Command) -> Result<()> {
    let origins = place.origins(DEFAULT_LISTEN);
    let origin = origins.first().ok_or("give an origin")?;
    let until = |at: nodpay_core::Timestamp| Date::from_millisecond(at.unix_ms()).map(|date| date.to_string());
    match command {
        Command::Init => {}
        Command::Invite => {
            let invitation = admin::invite_guardian(store, origin, now()).await?;
            println!("{}", invitation.link);
            eprintln!("Good for one guardian until {}.", until(invitation.expires)?);
        }
        Command::Merchant(MerchantCommand::Add { name, city, country, mcc, currency }) => {
            let details = MerchantDetails {
                name: Text::from_typed(&name)?,
                mcc: Mcc::from_digits(&mcc).ok_or("a merchant category code is four digits")?,
                city: Text::from_typed(&city)?,
                country: Country::from_code(&country).ok_or("a country code is two capital letters")?,
                currency: Currency::from_code(&currency)?,
            };
            let added = admin::add_merchant(store, origin, details, now()).await?;
            println!("merchant: {}", added.merchant);
            println!("API key:  {}", added.api_key);
            println!("till:     {}", added.till.link);
            eprintln!("Both are shown this once. The till's link is good until {}.", until(added.till.expires)?);
        }
        Command::Merchant(MerchantCommand::List) => {
            for merchant in admin::merchants(store).await? {
                let balance = store.merchant_balance(merchant.merchant).await?;
                let line = json!({
                    "merchant": merchant.merchant,
                    "name": merchant.name,
                    "city": merchant.city,
                    "certified": merchant.certificate.is_some(),
                    "balance": balance,
                });
                println!("{line}");
            }
        }
        Command::Merchant(MerchantCommand::Till { merchant }) => {
            println!("{}", admin::invite_till(store, origin, merchant, now()).await?.link);
        }
        Command::Merchant(MerchantCommand::Certify { merchant, key }) => {
            let certificate = admin::certify_merchant(store, &load_root_key(&key)?, merchant, now()).await?;
            println!("certified {} until {}", certificate.name, until(certificate.not_after)?);
        }
        Command::TopUp { household, minor, currency } => {
            let amount = Amount::new(Minor::new(minor)?, Currency::from_code(&currency)?);
            let balance = admin::top_up(store, household, amount, now()).await?;
            println!("{}", json!({ "household": household, "balance": balance.wallet.available()? }));
        }
        Command::Check => {
            let findings = store.check().await?;
            for finding in &findings {
                println!("{} {}: {}", finding.table, finding.row, finding.what);
            }
            if !findings.is_empty() {
                return Err(format!("{} findings", findings.len()).into());
            }
            println!("The books are right.");
        }
    }
    Ok(())
}
