//! `nodpay bench`: figures of this build on this machine, from real processes, each beside its bound or its peer.
//!
//! The service under load: `--mode households` (whole orders, and the limit of this machine), `hot-merchant`,
//! `idle-devices`, `reconnect-storm`, `history`, `growth`. docs/BENCHMARK.md says what each does.
//! `--mode watch`: what the watch program costs on disk, in memory, idle and on the wire, and how soon an order is sent.
//! `--mode start`: how soon the demo answers.

mod figures;
mod households;
mod process;
mod service;
mod start;
mod units;
mod watch;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use nodpay::load::Pace;
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
    /// Hold so many orders a second instead of the peak.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
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
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    Households,
    Watch,
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
    let report = match options.mode {
        Mode::Households => runtime()?.block_on(households::measure(options))?,
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
