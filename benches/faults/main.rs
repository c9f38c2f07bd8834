//! `cargo bench --bench faults`: everything that may break is broken under a steady load of real payments, and nothing
//! acknowledged may be lost or paid twice. Prints a table; exit 1 where something was.

mod balancer;
mod list;
mod postgres;
mod replicas;
mod scene;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::list::FAULTS;
use crate::scene::{Load, Outcome};

/// Break services, databases, connections and disks under load, and count what was lost.
#[derive(Parser)]
struct Options {
    /// Payments a second, held all the time.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// How long each fault's load takes.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Households that pay at the same time.
    #[arg(long, default_value_t = 96)]
    clients: usize,
    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The part of the rate that must be reached where nothing is broken, or what was broken was not under that load.
const REACHED: f64 = 0.95;

fn main() -> ExitCode {
    let options = Options::parse();
    let load = Load {
        rate: options.rate,
        length: Duration::from_secs(options.seconds),
        clients: options.clients,
        fsync: true,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("faults: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{} payments a second for {} s each", options.rate, options.seconds);
    println!("{}", Outcome::HEAD);
    let mut good = true;
    for fault in FAULTS.iter().filter(|fault| fault.name.contains(&options.only)) {
        match runtime.block_on(scene::play(fault, load)) {
            Ok(outcome) => {
                println!("{outcome}");
                good &= outcome.is_good();
                if fault.name.starts_with("none") && outcome.rate < REACHED * f64::from(options.rate) {
                    println!("| {} | the machine does not carry {} payments a second |", fault.name, options.rate);
                    good = false;
                }
            }
            Err(error) => {
                println!("| {} | could not be played: {error} |", fault.name);
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
