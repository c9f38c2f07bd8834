//! `nodpay`: serve · demo · watch · scan · qr · verify · bench · admin.

mod admin;
mod bench;
mod demo;
mod headless;
mod serve;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nodpay::parties::Result;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A child's watch scans, a parent nods, the watch pays.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service: merchants, watches and guardians over HTTP.
    Serve(serve::Options),
    /// Show the whole job on one page: till, watch and phone side by side.
    Demo(demo::Options),
    /// Run the watch (`nodpay watch --help`).
    #[command(disable_help_flag = true)]
    Watch {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Read the codes in pictures (PNG, JPEG): one JSON object a line; or in a video.
    Scan {
        /// Scale a picture down first, to this many pixels on its long side.
        #[arg(long, default_value_t = 640)]
        max_side: usize,
        /// Read every picture of a CSV list (columns file, expected_text) and sum up.
        #[arg(long, value_name = "CSV")]
        expected: Option<PathBuf>,
        /// Read the frames of a video (YUV4MPEG2) until a code reads; one JSON object.
        #[arg(long, value_name = "FILE.y4m", conflicts_with_all = ["expected", "images"])]
        video: Option<PathBuf>,
        images: Vec<PathBuf>,
    },
    /// Say as JSON what the text of a payment code means.
    Qr { text: String },
    /// Check an evidence file offline against an anchor file.
    Verify {
        /// The keys you trust already, exported once from the phone.
        #[arg(long)]
        anchor: PathBuf,
        file: PathBuf,
    },
    /// Measure this build on this machine.
    Bench(bench::Options),
    /// Keys, invitations, merchants, top-ups.
    Admin(admin::Options),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => report(serve::run(options)),
        Command::Demo(options) => report(demo::run(options)),
        Command::Watch { arguments } => nodpay_watch_app::main_with_args(arguments),
        Command::Scan { max_side, expected, video, images } => scan(max_side, expected, video, &images),
        Command::Qr { text } => qr(&text),
        Command::Verify { anchor, file } => verify::run(&anchor, &file),
        Command::Bench(options) => report(bench::run(&options)),
        Command::Admin(options) => report(admin::run(options)),
    }
}

/// The last word of a command that failed: one sentence, exit 1.
fn report(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nodpay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn scan(max_side: usize, expected: Option<PathBuf>, video: Option<PathBuf>, images: &[PathBuf]) -> ExitCode {
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    let complete = match (video, expected) {
        (Some(file), _) => nodpay_watch::scan::run_video(&file, max_side, &mut out, &mut errors),
        (None, Some(list)) => nodpay_watch::scan::run_expected(&list, max_side, &mut out, &mut errors),
        (None, None) => nodpay_watch::scan::run(images, max_side, &mut out, &mut errors),
    };
    match complete {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => report(Err(error.into())),
    }
}

fn qr(text: &str) -> ExitCode {
    match nodpay_protocol::code::parse(text) {
        Ok(code) => match serde_json::to_string(&code) {
            Ok(json) => {
                println!("{json}");
                ExitCode::SUCCESS
            }
            Err(error) => report(Err(error.into())),
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
