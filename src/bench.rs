//! `nodpay bench`: figures of this build on this machine, from real processes, each beside its bound if it has one.
//!
//! `--mode watch`: what the watch program costs on disk, in memory, idle and on the wire, and how soon an order is sent.
//! `--mode start`: how soon the demo answers.

mod process;
mod start;
mod watch;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use nodpay::parties::Result;
use serde_json::{Map, Number, Value};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value_t = Mode::Watch)]
    mode: Mode,
    /// The watch program to measure (`cargo build --profile watch --bin nodpay-watch` makes it). Default: this program.
    #[arg(long)]
    watch_binary: Option<PathBuf>,
    /// How long the watch is left alone while its idle costs are measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle_seconds: u64,
    /// Print one JSON object: a bound stands beside its figure as NAME_limit.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    Watch,
    Start,
}

/// One result. Its name ends in its unit.
struct Figure {
    name: &'static str,
    value: Number,
    /// Highest value that will do, in the same unit.
    limit: Option<u64>,
}

impl Figure {
    fn count(name: &'static str, value: u64) -> Self {
        Self { name, value: value.into(), limit: None }
    }

    /// To a tenth of a millisecond.
    fn millis(name: &'static str, value: Duration) -> Self {
        let millis = (value.as_secs_f64() * 10_000.0).round() / 10.0;
        Self { name, value: Number::from_f64(millis).unwrap_or_else(|| 0.into()), limit: None }
    }

    fn at_most(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let figures = match options.mode {
        Mode::Watch => watch::measure(options.watch_binary.as_deref(), Duration::from_secs(options.idle_seconds))?,
        Mode::Start => start::measure()?,
    };
    if options.json {
        println!("{}", to_json(&figures));
    } else {
        figures.iter().for_each(print_row);
    }
    Ok(())
}

fn to_json(figures: &[Figure]) -> Value {
    let mut object = Map::new();
    for figure in figures {
        object.insert(figure.name.to_owned(), Value::Number(figure.value.clone()));
        if let Some(limit) = figure.limit {
            object.insert(format!("{}_limit", figure.name), limit.into());
        }
    }
    Value::Object(object)
}

fn print_row(figure: &Figure) {
    let Figure { name, value, limit } = figure;
    let bound = match limit {
        Some(limit) if value.as_f64() <= Number::from(*limit).as_f64() => format!("at most {limit}"),
        Some(limit) => format!("at most {limit}: OVER"),
        None => String::new(),
    };
    println!("{name:>32}  {:>10}  {bound}", value.to_string());
}
