//! `nodpay admin`: what the operator does. None of it can change a household's keys.

mod codes;
mod households;
mod merchants;
mod rail;
mod show;
mod statements;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use nodpay::parties::{Result, now};
use nodpay_protocol::RelyingParty;
use nodpay_service::{EvidenceCount, ServiceKeys, admin, check_evidence, init_keys};
use nodpay_store::{Finding, Store};

use self::households::{HouseholdCommand, PocketMoneyCommand, RefundOptions, TopUpOptions};
use self::merchants::{MerchantCommand, PayoutOptions, PayoutsCommand};
use self::show::{Cell, Out, date};
use self::statements::StatementOptions;
use crate::serve::{Place, bank_iban, host, runtime};

/// Only for links when no origin is given.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The TOML file of `nodpay serve`: where the data lies and what the service is called.
    #[arg(long, env = "NODPAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Answer in JSON: one object a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the root key and the outcome key, once.
    Init,
    /// Make an invitation link for the first guardian of a new household.
    Invite,
    /// Households: list, show, orders, freeze, close out.
    #[command(subcommand)]
    Household(HouseholdCommand),
    /// Merchants and their tills.
    #[command(subcommand)]
    Merchant(MerchantCommand),
    /// Pay money into a household's wallet.
    TopUp(TopUpOptions),
    /// Pay what a bank's statement says came in into the wallets whose references it names. The same file again changes nothing.
    ImportStatement(StatementOptions),
    /// Top-ups that come by themselves.
    #[command(subcommand)]
    PocketMoney(PocketMoneyCommand),
    /// Give back what was paid for a bill, or a part of it.
    Refund(RefundOptions),
    /// Set all that a merchant has aside, to be sent to its bank.
    Payout(PayoutOptions),
    /// What became of payouts.
    #[command(subcommand)]
    Payouts(PayoutsCommand),
    /// What stands in the operator's own accounts, and what it owes households and merchants; together nothing. Reads all movements.
    Books,
    /// What Stripe or a bank has not finished: unanswered, unknown, or waiting for a guardian; the 1,000 oldest.
    Unfinished,
    /// Replace the key that signs outcomes; restart each replica with the new file, in any order.
    RotateOutcomeKey {
        /// Where the root key lies now. Default: root.key in the data folder.
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Replace the key that signs push messages, and forget all phones: each subscribes again when its guardian opens the app.
    /// Restart each replica with the new file.
    RenewPushKey,
    /// Write all data into one file, while the service goes on.
    Backup { file: PathBuf },
    /// Read such a file into a database that nobody has used, SQLite or PostgreSQL, and check it.
    Restore { file: PathBuf },
    /// Bring the database up to this program's version, which `serve` does by itself; prints the version before and after.
    Migrate,
    /// Prove that the books are right and every order's evidence holds; exit 1 and what is wrong where not. Safe beside a
    /// running service, whose origins it needs (`--origin` or `--config`).
    Check {
        /// The WebAuthn relying party id of the service. Default: the host of the first origin.
        #[arg(long, env = "NODPAY_RP_ID")]
        rp_id: Option<String>,
        /// The data of a demo, whose guardians may sign with software keys.
        #[arg(long)]
        demo: bool,
    },
}

pub(crate) fn run(options: Options) -> Result<()> {
    let Options { config, place, json, command } = options;
    let place = place.with_file(config.as_deref())?;
    let bank_iban = config.as_deref().map(bank_iban).transpose()?.flatten();
    if let Command::Init = command {
        let files = init_keys(&place.folder(), now())?;
        let (root_key, outcome_key) = (files.root_key.display(), files.outcome_key.display());
        Out { json }.show(&vec![("root_key", Cell::text(root_key)), ("outcome_key", Cell::text(outcome_key))]);
        eprintln!("Move the root key to a safe place when the tills are enrolled.");
        return Ok(());
    }
    let keys = if let Command::RotateOutcomeKey { .. } = command {
        ServiceKeys::load_even_if_over(&place.outcome_key(), None)?
    } else {
        ServiceKeys::load(&place.outcome_key(), None, now())?
    };
    let store = Store::open(&place.database()?, keys.outcome_signer())?;
    runtime()?.block_on(act(&store, &keys, (&place, bank_iban), Out { json }, command))
}

async fn act(
    store: &Store,
    keys: &ServiceKeys,
    (place, bank_iban): (&Place, Option<String>),
    out: Out,
    command: Command,
) -> Result<()> {
    let origins = place.origins(DEFAULT_LISTEN);
    let origin = origins.first().ok_or("give an origin")?;
    match command {
        Command::Init => Ok(()),
        Command::Invite => {
            let invitation = admin::invite_guardian(store, origin, now()).await?;
            let record = vec![("link", Cell::text(&invitation.link)), ("expires", Cell::Time(invitation.expires))];
            out.say(&record, &invitation.link);
            eprintln!("Good for one guardian until {}.", date(invitation.expires));
            Ok(())
        }
        Command::Household(command) => households::household(store, out, command).await,
        Command::Merchant(command) => merchants::merchant(store, out, origin, command).await,
        Command::TopUp(options) => households::top_up(store, out, options).await,
        Command::ImportStatement(options) => statements::import(store, out, options, bank_iban).await,
        Command::PocketMoney(command) => households::pocket_money(store, out, command).await,
        Command::Refund(options) => households::refund(store, out, options).await,
        Command::Payout(options) => merchants::pay_out(store, out, options).await,
        Command::Payouts(command) => merchants::payouts(store, out, command).await,
        Command::Books => {
            let mut list = out.list();
            for row in store.books().await? {
                list.add(vec![("account", Cell::text(row.account.as_str())), ("balance", Cell::Money(row.balance))]);
            }
            list.end();
            Ok(())
        }
        Command::Unfinished => rail::unfinished(store, out).await,
        Command::RotateOutcomeKey { key } => {
            let key = key.or_else(|| place.root_key()).ok_or("say with --key where the root key lies")?;
            let (present, file) = (keys.outcome_certificate(), place.outcome_key());
            let certificate = admin::rotate_outcome_key(store, present, &file, &key, now()).await?;
            let record = vec![("file", Cell::text(file.display())), ("good_until", Cell::Time(certificate.not_after))];
            let until = date(certificate.not_after);
            out.say(&record, format!("{} holds a new outcome key, good until {until}", file.display()));
            eprintln!("Replicas sign with it from their next start.");
            Ok(())
        }
        Command::RenewPushKey => {
            let file = place.push_key();
            admin::renew_push_key(store, &file).await?;
            let record = vec![("file", Cell::text(file.display()))];
            out.say(&record, format!("{} holds a new push key", file.display()));
            eprintln!(
                "Replicas sign with it from their next start. Phones subscribe again when their guardian opens the app."
            );
            Ok(())
        }
        Command::Backup { file } => {
            let rows = store.back_up(file.clone()).await?;
            out.show(&vec![("file", Cell::text(file.display())), ("rows", Cell::Number(i64::try_from(rows)?))]);
            Ok(())
        }
        Command::Restore { file } => {
            let rows = store.restore(file.clone()).await?;
            out.show(&vec![("file", Cell::text(file.display())), ("rows", Cell::Number(i64::try_from(rows)?))]);
            let findings = store.check().await?;
            if findings.is_empty() {
                Ok(())
            } else {
                Err(format!("restored, but {} findings: run admin check", findings.len()).into())
            }
        }
        Command::Migrate => {
            let versions = store.migrated();
            let version = |number: usize| i64::try_from(number).map(Cell::Number);
            out.show(&vec![("from", version(versions.from)?), ("to", version(versions.to)?)]);
            Ok(())
        }
        Command::Check { rp_id, demo } => {
            let rp_id = rp_id.map_or_else(|| host(&origins), Ok)?;
            check(store, keys, &RelyingParty { rp_id, origins, demo_keys: demo }, out).await
        }
    }
}

async fn check(store: &Store, keys: &ServiceKeys, relying_party: &RelyingParty, out: Out) -> Result<()> {
    let mut findings = 0_u64;
    let mut tell = |finding: Finding| {
        findings += 1;
        if out.json {
            let Finding { table, row, what } = finding;
            out.show(&vec![("table", Cell::text(table)), ("row", Cell::text(row)), ("what", Cell::text(what))]);
        } else {
            println!("{} {}: {}", finding.table, finding.row, finding.what);
        }
    };
    store.check().await?.into_iter().for_each(&mut tell);
    let EvidenceCount { looked_at, cut } = check_evidence(store, keys, relying_party, now(), &mut tell).await?;
    if findings > 0 {
        return Err(format!("{findings} findings").into());
    }
    let count = |number: u64| i64::try_from(number).map(Cell::Number);
    out.say(
        &vec![("findings", Cell::Number(0)), ("looked_at", count(looked_at)?), ("cut", count(cut)?)],
        format!(
            "The books are right, and so is the evidence of all {looked_at} orders that have ended and are kept; \
             {cut} older ones are no longer kept."
        ),
    );
    Ok(())
}
