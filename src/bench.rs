//! `nodpay bench`: figures of this build on this machine, from real processes.
//!
//! `--mode watch`: what the watch program costs (bytes on disk, memory while waiting, bytes on the wire for one payment).
//! `--mode start`: how soon the demo answers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nodpay::parties::{Approval, Client, Result, ServiceProcess, WatchOptions, enter, line_id, snack};
use serde_json::{Value, json};

/// The demo must answer by then.
const START_PATIENCE: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value_t = Mode::Watch)]
    mode: Mode,
    /// The watch program to measure (`cargo build --profile watch --bin nodpay-watch` makes it). Default: this program.
    #[arg(long)]
    watch_binary: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    Watch,
    Start,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let figures = match options.mode {
        Mode::Watch => watch(options.watch_binary.as_deref())?,
        Mode::Start => start()?,
    };
    if options.json {
        println!("{figures}");
    } else if let Value::Object(figures) = figures {
        figures.iter().for_each(|(name, value)| println!("{name:>32}  {value}"));
    }
    Ok(())
}

fn watch(binary: Option<&Path>) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let ours = std::env::current_exe()?;
    let program = binary.unwrap_or(&ours);
    let mut service = ServiceProcess::start(&ours, &folder.path().join("service"), "127.0.0.1:0")?;
    let mut options = WatchOptions::of_program(&ours, &folder.path().join("watch"));
    if binary.is_some() {
        // `nodpay-watch run …` instead of `nodpay watch run …`.
        options.command = vec![program.to_string_lossy().into_owned()];
        options.command.extend(["run", "--simulator", "--language", "en"].map(str::to_owned));
    }
    let wire = CountingProxy::before(&service.stage.origin)?;
    service.stage.watch_service = Some(wire.address.clone());
    let mut cast = enter(&service.stage, &options, &folder.path().join("out"))?;

    let before = wire.bytes();
    let order = cast.order_of(snack()?, "bench")?;
    cast.watch.wait_screen("waiting")?;
    let memory = Memory::of(cast.watch.pid())?;
    let view = cast.guardian.order(&order)?;
    let tapped = Instant::now();
    cast.guardian.decide(&view, &Approval::Without(vec![line_id("cola")?]))?;
    cast.watch.wait_screen("ended")?;
    let tap_to_paid_ms = tapped.elapsed().as_secs_f64() * 1000.0;
    cast.events.wait_for("result", |event| event["order"] == order.as_str())?;
    cast.dismiss()?;
    let wire_bytes = wire.bytes() - before;

    let size = std::fs::metadata(program)?.len();
    let fonts = u64::try_from(nodpay_watch_app::fonts::FONT_BYTES)?;
    Ok(json!({
        "size_bytes": size,
        "size_without_fonts_bytes": size.saturating_sub(fonts),
        "size_limit_bytes": 10_000_000,
        "rss_waiting_bytes": memory.total,
        "rss_waiting_anonymous_bytes": memory.anonymous,
        "rss_limit_bytes": 16_000_000,
        "wire_bytes_payment": wire_bytes,
        "wire_limit_bytes": 12_000,
        "tap_to_paid_shown_ms": tap_to_paid_ms,
    }))
}

fn start() -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = first_answer(&mut child, started);
    let _ = child.kill();
    let _ = child.wait();
    Ok(json!({ "demo_up_ms": answer?, "demo_up_limit_ms": 2_000 }))
}

/// The demo prints its address on its first line; the page must be there.
fn first_answer(child: &mut std::process::Child, started: Instant) -> Result<f64> {
    use std::io::BufRead as _;
    let mut lines = std::io::BufReader::new(child.stdout.take().ok_or("no pipe from the demo")?).lines();
    let address = loop {
        let line = lines.next().ok_or("the demo ended")??;
        if let Some(start) = line.find("http://") {
            break line[start..].trim().to_owned();
        }
    };
    let (origin, path) = address.rsplit_once('/').ok_or("no address")?;
    let client = Client::new(origin);
    while started.elapsed() < START_PATIENCE {
        if client.get_text(&format!("/{path}")).is_ok() {
            return Ok(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Err("the demo page did not come up".into())
}

/// Resident memory (proc(5), `smaps_rollup`), in bytes.
struct Memory {
    total: u64,
    /// Without mapped files: program text and fonts are such pages.
    anonymous: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| -> Result<u64> {
            let line = text.lines().find(|line| line.starts_with(name)).ok_or_else(|| format!("no {name}"))?;
            let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
            Ok(kilobytes * 1024)
        };
        Ok(Self { total: field("Rss:")?, anonymous: field("Anonymous:")? })
    }
}

/// Passes bytes on between the watch and the service, and counts them.
struct CountingProxy {
    address: String,
    count: Arc<AtomicU64>,
}

impl CountingProxy {
    fn before(origin: &str) -> Result<Self> {
        let target = origin.strip_prefix("http://").ok_or("the service is not plain HTTP")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for incoming in listener.incoming().flatten() {
                if let Ok(onward) = TcpStream::connect(&target) {
                    pass(&incoming, &onward, &counter);
                    pass(&onward, &incoming, &counter);
                }
            }
        });
        Ok(Self { address, count })
    }

    fn bytes(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

fn pass(from: &TcpStream, to: &TcpStream, count: &Arc<AtomicU64>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let count = Arc::clone(count);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let Some(bytes) = buffer.get(..length) else { return };
            count.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::SeqCst);
            if to.write_all(bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
