//! `nodpay bench`: figures of this build on this machine, from real processes, each beside its bound or its peer.
//!
//! The service under load: `--mode households` (whole orders, and the limit of this machine), `hot-merchant`,
//! `idle-devices`, `reconnect-storm`, `history`, `growth`. docs/BENCHMARK.md says what each does.
//! `--mode watch`: what the watch program costs on disk, in memory, idle and on the wire, and how soon an order is sent.
//! `--mode start`: how soon the demo answers.

mod devices;
mod figures;
mod growth;
mod history;
mod households;
mod merchants;
mod postgres;
mod process;
mod service;
mod start;
mod units;
mod watch;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use nodpay::load::{Pace, RuleSays};
use nodpay::parties::Result;

use crate::serve::runtime;
use figures::Report;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value_t = Mode::Households)]
    mode: Mode,
    /// How long the load lasts.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Households that order at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// `postgres://USER@HOST/NAME`: an empty database on a server whose user may create another one, for pgbench. Default: a
    /// new SQLite file.
    #[arg(long)]
    database: Option<String>,
    /// Connections to PostgreSQL, of the service and of pgbench.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Hold so many orders a second instead of the peak.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// `households`: each has a standing rule, and caps of its watch and of all its watches that count every order.
    #[arg(long, value_enum)]
    rules: Option<RuleSays>,
    /// Watches of `idle-devices` and `reconnect-storm`.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    devices: u32,
    /// Orders that `history` (default 100,000) and `growth` (1,000,000) store at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=100_000_000))]
    orders: Option<u32>,
    /// The watch program to measure (`cargo build --profile watch --bin nodpay-watch` makes it). Default: this program.
    #[arg(long)]
    watch_binary: Option<PathBuf>,
    /// How long the watch is left alone while its idle costs are measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle_seconds: u64,
    /// Print one JSON object: a bound stands beside its figure as NAME_limit or NAME_at_least, what it is compared with
    /// as NAME_peer.
    #[arg(long)]
    json: bool,
    /// Be the peer of `idle-devices`: event streams by Axum and nothing else.
    #[arg(long, hide = true)]
    bare_sse: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// Whole orders of many households at once, and how far that is from this machine's limit.
    Households,
    /// One merchant for everybody against many merchants.
    HotMerchant,
    /// Watches that only listen: memory of each, time for an event to reach one and all.
    IdleDevices,
    /// All of them lose the network at once and come back.
    ReconnectStorm,
    /// Pages of a household with 100,000 orders.
    History,
    /// What a payment costs with 1,000 to 1,000,000 orders stored.
    Growth,
    /// The watch program.
    Watch,
    /// How soon the demo answers.
    Start,
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Peak, Pace::Rate)
    }

    fn clients(&self) -> Result<usize> {
        Ok(usize::try_from(self.clients)?)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.bare_sse {
        return runtime()?.block_on(devices::serve_bare());
    }
    let report = match options.mode {
        Mode::Households => runtime()?.block_on(households::measure(options))?,
        Mode::HotMerchant => runtime()?.block_on(merchants::measure(options))?,
        Mode::IdleDevices => runtime()?.block_on(devices::idle(options))?,
        Mode::ReconnectStorm => runtime()?.block_on(devices::storm(options))?,
        Mode::History => runtime()?.block_on(history::measure(options))?,
        Mode::Growth => runtime()?.block_on(growth::measure(options))?,
        Mode::Watch => {
            Report::of(watch::measure(options.watch_binary.as_deref(), Duration::from_secs(options.idle_seconds))?)
        }
        Mode::Start => Report::of(start::measure()?),
    };
    match options.json {
        true => println!("{}", report.to_json()),
        false => report.print(),
    }
    Ok(())
}
