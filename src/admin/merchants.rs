//! `nodpay admin merchant` and `payout`: merchants, their tills, keys, fees and books.

use std::path::PathBuf;

use clap::Subcommand;
use nodpay::parties::{Result, now};
use nodpay_core::{Amount, BasisPoints, Country, Currency, Day, Digest, Iban, Mcc, MerchantId, Text, TransferId};
use nodpay_service::admin::{self, MerchantDetails};
use nodpay_service::load_root_key;
use nodpay_service::statement::{StatementView, csv_head, csv_page, csv_tail};
use nodpay_store::{
    MAX_CLOSINGS_PAGE, MAX_MOVEMENTS_PAGE, MAX_PAYOUTS_PAGE, MerchantRow, PayoutRow, Period, Store, StoreError,
    TokenHash,
};
use serde_json::to_string;

use super::codes::{self, CodeCommand};
use super::show::{Cell, Out, Record, date};

#[derive(Subcommand)]
pub(super) enum MerchantCommand {
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
    /// All merchants.
    List,
    /// One merchant.
    Show {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
    },
    /// Make another link for a merchant's till.
    Till {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
    },
    /// API keys of a merchant's server.
    #[command(subcommand)]
    Key(KeyCommand),
    /// A merchant's printed codes.
    #[command(subcommand)]
    Code(CodeCommand),
    /// Sign the certificate of a till that enrolled while the root key was elsewhere.
    Certify {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
        /// Where the root key lies now.
        #[arg(long)]
        key: PathBuf,
    },
    /// What the operator keeps of each payment from now on.
    Fee {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
        /// Hundredths of a percent, 0 to 1000: 60 is 0.6 %.
        #[arg(long)]
        basis_points: u16,
    },
    /// Where payouts go from now on.
    Iban {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
        /// In quotes where it has spaces.
        iban: String,
    },
    /// What moved on some days (UTC), with the balances before and after.
    Statement {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
        /// First day, like 2026-11-01.
        #[arg(long)]
        from: Day,
        /// Last day.
        #[arg(long)]
        to: Day,
        /// For a spreadsheet (RFC 4180).
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// The totals of each day (UTC) that is over and closed.
    Days {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
    },
}

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Make a further one: printed this once.
    New {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
    },
    /// By their digests.
    List {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
    },
    /// It opens nothing any more.
    Revoke {
        #[arg(allow_hyphen_values = true)]
        merchant: MerchantId,
        /// As `list` prints it.
        #[arg(allow_hyphen_values = true)]
        key: Digest,
    },
}

pub(super) async fn merchant(store: &Store, out: Out, origin: &str, command: MerchantCommand) -> Result<()> {
    match command {
        MerchantCommand::Add { name, city, country, mcc, currency } => {
            let details = MerchantDetails {
                name: Text::from_typed(&name)?,
                mcc: Mcc::from_digits(&mcc).ok_or("a merchant category code is four digits")?,
                city: Text::from_typed(&city)?,
                country: Country::from_code(&country).ok_or("a country code is two capital letters")?,
                currency: Currency::from_code(&currency)?,
            };
            let added = admin::add_merchant(store, origin, details, now()).await?;
            out.show(&vec![
                ("merchant", Cell::text(added.merchant)),
                ("api_key", Cell::text(&added.api_key)),
                ("till", Cell::text(&added.till.link)),
            ]);
            eprintln!("Both are shown this once. The till's link is good until {}.", date(added.till.expires));
        }
        MerchantCommand::List => {
            let mut list = out.list();
            for row in admin::merchants(store).await? {
                list.add(merchant_record(store, &row).await?);
            }
            list.end();
        }
        MerchantCommand::Show { merchant } => show(store, out, merchant).await?,
        MerchantCommand::Till { merchant } => {
            let till = admin::invite_till(store, origin, merchant, now()).await?;
            out.say(&vec![("till", Cell::text(&till.link)), ("expires", Cell::Time(till.expires))], &till.link);
        }
        MerchantCommand::Key(command) => key(store, out, command).await?,
        MerchantCommand::Code(command) => codes::act(store, out, command).await?,
        MerchantCommand::Certify { merchant, key } => {
            let certificate = admin::certify_merchant(store, &load_root_key(&key)?, merchant, now()).await?;
            let (name, until) = (certificate.name.as_str(), certificate.not_after);
            let record = vec![
                ("merchant", Cell::text(merchant)),
                ("name", Cell::text(name)),
                ("certified_until", Cell::Time(until)),
            ];
            out.say(&record, format!("certified {name} until {}", date(until)));
        }
        MerchantCommand::Fee { merchant, basis_points } => {
            let fee = BasisPoints::new(basis_points).ok_or("a fee is at most 1000 basis points")?;
            store.set_fee(merchant, fee).await?;
            show(store, out, merchant).await?;
        }
        MerchantCommand::Iban { merchant, iban } => {
            store.set_iban(merchant, Some(Iban::from_typed(&iban).map_err(|error| format!("{iban} {error}"))?)).await?;
            show(store, out, merchant).await?;
        }
        MerchantCommand::Statement { merchant, from, to, csv } => {
            statement(store, out, merchant, Period { from, to }, csv).await?;
        }
        MerchantCommand::Days { merchant } => days(store, out, merchant).await?,
    }
    Ok(())
}

async fn show(store: &Store, out: Out, merchant: MerchantId) -> Result<()> {
    let row = store.merchant(merchant).await?.ok_or(StoreError::MerchantUnknown)?;
    out.show(&merchant_record(store, &row).await?);
    Ok(())
}

async fn merchant_record(store: &Store, row: &MerchantRow) -> Result<Record> {
    Ok(vec![
        ("merchant", Cell::text(row.merchant)),
        ("name", Cell::text(row.name.as_str())),
        ("city", Cell::text(row.city.as_str())),
        ("certified", Cell::Flag(row.certificate.is_some())),
        ("fee", Cell::Number(row.fee.get().into())),
        ("iban", Cell::opt_text(row.iban.as_ref())),
        ("balance", Cell::Money(store.merchant_balance(row.merchant).await?)),
    ])
}

async fn key(store: &Store, out: Out, command: KeyCommand) -> Result<()> {
    match command {
        KeyCommand::New { merchant } => {
            let key = admin::new_api_key(store, merchant, now()).await?;
            out.say(&vec![("merchant", Cell::text(merchant)), ("api_key", Cell::text(&key))], &key);
        }
        KeyCommand::List { merchant } => {
            let mut list = out.list();
            for row in store.api_keys(merchant).await? {
                let key = Digest::from_bytes(row.api_key.0);
                list.add(vec![("key", Cell::text(key)), ("created", Cell::Time(row.created))]);
            }
            list.end();
        }
        KeyCommand::Revoke { merchant, key } => {
            store.remove_api_key(merchant, TokenHash(*key.as_bytes())).await?;
            out.show(&vec![("merchant", Cell::text(merchant)), ("revoked", Cell::text(key))]);
        }
    }
    Ok(())
}

/// Page by page. As JSON each page is an object; as CSV and as a table the balances stand before and after.
async fn statement(store: &Store, out: Out, merchant: MerchantId, period: Period, csv: bool) -> Result<()> {
    let (mut list, mut after) = (out.list(), None);
    loop {
        let page = store.statement(merchant, period, after, MAX_MOVEMENTS_PAGE).await?;
        let money = |units| Cell::Money(Amount::new(units, page.currency));
        let first = after.is_none();
        after = page.next;
        if out.json {
            println!("{}", to_string(&StatementView::from(page))?);
        } else if csv {
            let head = if first { csv_head(&page) } else { String::new() };
            let tail = if after.is_none() { csv_tail(&page) } else { String::new() };
            print!("{head}{}{tail}", csv_page(&page));
        } else {
            let balance = |what: &str, at, units| {
                let (at, what) = (Cell::Time(at), Cell::text(what));
                vec![
                    ("at", at),
                    ("kind", what),
                    ("amount", money(units)),
                    ("bill", Cell::Nothing),
                    ("id", Cell::Nothing),
                ]
            };
            if first {
                list.add(balance("opening", period.from.start(), page.opening));
            }
            for movement in &page.movements {
                list.add(vec![
                    ("at", Cell::Time(movement.at)),
                    ("kind", Cell::text(movement.kind.as_str())),
                    ("amount", money(movement.change)),
                    ("bill", Cell::opt_text(movement.bill)),
                    ("id", Cell::text(movement.transfer)),
                ]);
            }
            if after.is_none() {
                list.add(balance("closing", period.to.end(), page.closing));
            }
        }
        if after.is_none() {
            break;
        }
    }
    list.end();
    Ok(())
}

async fn days(store: &Store, out: Out, merchant: MerchantId) -> Result<()> {
    let (mut list, mut after) = (out.list(), None);
    loop {
        let page = store.closings(merchant, after, MAX_CLOSINGS_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.day);
        for row in page {
            let money = |units| Cell::Money(Amount::new(units, row.currency));
            list.add(vec![
                ("day", Cell::text(row.day)),
                ("payments", money(row.totals.payments)),
                ("refunds", money(row.totals.refunds)),
                ("fees", money(row.totals.fees)),
                ("payouts", money(row.totals.payouts)),
                ("disputes", money(row.totals.disputes)),
                ("balance", money(row.balance)),
            ]);
        }
    }
    list.end();
    Ok(())
}

// Payouts

#[derive(clap::Args)]
pub(super) struct PayoutOptions {
    #[arg(allow_hyphen_values = true)]
    merchant: MerchantId,
    /// Names the payout: given again, it is the same one.
    #[arg(long, allow_hyphen_values = true)]
    id: Option<TransferId>,
}

pub(super) async fn pay_out(store: &Store, out: Out, options: PayoutOptions) -> Result<()> {
    let payout = options.id.map_or_else(admin::new_transfer, Ok)?;
    out.show(&payout_record(&store.ask_payout(options.merchant, payout, now()).await?));
    Ok(())
}

#[derive(Subcommand)]
pub(super) enum PayoutsCommand {
    /// A merchant's payouts, newest first; without a merchant those that no bank has yet.
    List {
        #[arg(allow_hyphen_values = true)]
        merchant: Option<MerchantId>,
    },
    /// The bank has the order.
    Sent(PayoutName),
    /// The bank has paid.
    Done(PayoutName),
    /// The bank did not take it or gave it back, also after it was done: the merchant has the money here again.
    Returned(PayoutName),
}

#[derive(clap::Args)]
pub(super) struct PayoutName {
    #[arg(allow_hyphen_values = true)]
    merchant: MerchantId,
    #[arg(allow_hyphen_values = true)]
    payout: TransferId,
}

pub(super) async fn payouts(store: &Store, out: Out, command: PayoutsCommand) -> Result<()> {
    let row = match command {
        PayoutsCommand::List { merchant } => return list_payouts(store, out, merchant).await,
        PayoutsCommand::Sent(name) => store.payout_sent(name.merchant, name.payout, now()).await?,
        PayoutsCommand::Done(name) => store.payout_done(name.merchant, name.payout, now()).await?,
        PayoutsCommand::Returned(name) => store.payout_returned(name.merchant, name.payout, now()).await?,
    };
    out.show(&payout_record(&row));
    Ok(())
}

async fn list_payouts(store: &Store, out: Out, merchant: Option<MerchantId>) -> Result<()> {
    let mut list = out.list();
    match merchant {
        None => store.payouts_to_send().await?.iter().for_each(|row| list.add(payout_record(row))),
        Some(merchant) => {
            let mut before = None;
            loop {
                let page = store.payouts(merchant, before, MAX_PAYOUTS_PAGE).await?;
                let Some(last) = page.last() else { break };
                before = Some(last.number);
                page.iter().for_each(|row| list.add(payout_record(row)));
            }
        }
    }
    list.end();
    Ok(())
}

fn payout_record(row: &PayoutRow) -> Record {
    vec![
        ("payout", Cell::text(row.payout)),
        ("merchant", Cell::text(row.merchant)),
        ("amount", Cell::Money(row.amount)),
        ("iban", Cell::text(&row.iban)),
        ("state", Cell::text(row.state.as_str())),
        ("asked", Cell::Time(row.asked)),
        ("changed", Cell::Time(row.changed)),
    ]
}
