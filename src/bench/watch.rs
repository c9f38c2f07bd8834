//! The watch program on its own: the real simulator process, paired with a real service over loopback.

use std::path::Path;
use std::time::{Duration, Instant};

use nodpay::parties::{Approval, Cast, PIN, Result, ServiceProcess, WatchOptions, enter};
use nodpay::parties::{label_with, line_id, photograph, snack};

use super::figures::Figure;
use super::process::{Activity, Fonts, Memory};
use super::wire::CountingProxy;

/// Orders whose times are taken; the last one is paid, the others are refused.
const ORDERS: usize = 5;
/// After pairing, until nothing moves on the glass any more and the event stream is open.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn measure(binary: Option<&Path>, idle: Duration) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let ours = std::env::current_exe()?;
    let program = binary.unwrap_or(&ours);
    let bytes = std::fs::read(program)?;
    let (size, fonts) = (u64::try_from(bytes.len())?, Fonts::in_program(&bytes)?);
    drop(bytes);

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
    let pid = cast.watch.pid();

    // At home, paired, the event stream open: the watch is left alone.
    std::thread::sleep(SETTLE);
    let before = Activity::of(pid)?;
    std::thread::sleep(idle);
    let at_rest = Activity::of(pid)?.since(&before);
    let rss_idle = Memory::of(pid, &fonts)?;

    let mut orders = Vec::new();
    for _ in 1..ORDERS {
        let order = order(&mut cast, &fonts)?;
        let view = cast.guardian.order(&order.id)?;
        cast.guardian.decide(&view, &Approval::Refuse(None))?;
        cast.ended(&order.id)?;
        cast.dismiss()?;
        orders.push(order);
    }
    let bytes_before = wire.bytes();
    let paid = order(&mut cast, &fonts)?;
    let view = cast.guardian.order(&paid.id)?;
    let tapped = Instant::now();
    cast.guardian.decide(&view, &Approval::Without(vec![line_id("cola")?]))?;
    cast.watch.wait_screen("ended")?;
    let tap_to_paid = tapped.elapsed();
    cast.events.wait_for("result", |event| event["order"] == paid.id.as_str())?;
    cast.dismiss()?;
    let wire_bytes = wire.bytes() - bytes_before;
    orders.push(paid);

    let waiting =
        orders.iter().map(|order| order.rss_waiting).max_by_key(Memory::apart_from_fonts).ok_or("no order")?;
    let sent = orders.iter().map(|order| order.frame_to_bill + order.pin_to_sent);
    let per_minute = at_rest.wakeups * 60 / idle.as_secs().max(1);
    Ok(vec![
        Figure::count("size_bytes", size),
        Figure::count("size_without_fonts_bytes", size.saturating_sub(fonts.bytes())).at_most(8_000_000),
        Figure::count("rss_idle_bytes", rss_idle.apart_from_fonts()).at_most(12_000_000),
        Figure::count("rss_idle_anonymous_bytes", rss_idle.anonymous),
        Figure::count("rss_idle_fonts_bytes", rss_idle.fonts),
        Figure::count("rss_waiting_bytes", waiting.apart_from_fonts()).at_most(16_000_000),
        Figure::count("rss_waiting_anonymous_bytes", waiting.anonymous),
        Figure::count("rss_waiting_fonts_bytes", waiting.fonts),
        Figure::millis("idle_cpu_ms", at_rest.cpu).at_most(20),
        Figure::count("idle_wakeups_per_minute", per_minute),
        Figure::count("wire_bytes_payment", wire_bytes).at_most(10_000),
        Figure::millis("frame_to_bill_ms", median(orders.iter().map(|order| order.frame_to_bill))),
        Figure::millis("pin_to_sent_ms", median(orders.iter().map(|order| order.pin_to_sent))),
        Figure::millis("frame_to_sent_ms", median(sent.clone())).at_most(150),
        Figure::millis("frame_to_sent_worst_ms", sent.max().unwrap_or_default()),
        Figure::millis("frame_to_sent_cpu_ms", median(orders.iter().map(|order| order.cpu))),
        Figure::millis("tap_to_paid_shown_ms", tap_to_paid),
    ])
}

struct Order {
    id: String,
    /// From handing in the camera frame with the till's code until the watch, the bill fetched and verified, shows it.
    frame_to_bill: Duration,
    /// From confirming the PIN until the watch, the order signed and taken by the service, waits for the guardian.
    pin_to_sent: Duration,
    /// The watch's time on a processor in both, which other programs on this machine hardly change.
    cpu: Duration,
    /// Then.
    rss_waiting: Memory,
}

/// The till charges, the watch scans and sends. The child's own time, reading and typing, is not counted.
fn order(cast: &mut Cast, fonts: &Fonts) -> Result<Order> {
    let frame = photograph(&cast.merchant.charge(snack()?)?.code, None)?;
    cast.watch.tap("Pay")?;
    cast.watch.wait("the camera", |shown| shown["camera"] == true)?;
    let before = Activity::of(cast.watch.pid())?;
    let started = Instant::now();
    cast.watch.show_frame(&frame)?;
    cast.watch.wait_screen("review")?;
    let frame_to_bill = started.elapsed();
    let cpu_to_bill = Activity::of(cast.watch.pid())?.since(&before).cpu;

    cast.watch.tap("Confirm")?;
    cast.watch.wait_screen("pin")?;
    for digit in PIN.chars() {
        cast.watch.tap(&digit.to_string())?;
    }
    let typed = format!("{} digits typed", PIN.len());
    cast.watch.wait("the PIN", |shown| label_with(shown, &typed))?;
    let before = Activity::of(cast.watch.pid())?;
    let started = Instant::now();
    cast.watch.tap("Confirm")?;
    cast.watch.wait_screen("waiting")?;
    let pin_to_sent = started.elapsed();
    let cpu = cpu_to_bill + Activity::of(cast.watch.pid())?.since(&before).cpu;

    let rss_waiting = Memory::of(cast.watch.pid(), fonts)?;
    let event = cast.events.wait_for("order", |_| true)?;
    let id = event["order"].as_str().ok_or("no order id")?.to_owned();
    Ok(Order { id, frame_to_bill, pin_to_sent, cpu, rss_waiting })
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
