//! Thousands of watches that only listen: what each takes of the service's memory, how soon an event is there, and what
//! happens when all of them lose the network at once. Beside a server that is nothing but Axum.

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use nodpay::load::{self, Ear, Household, Line, Reach, in_parallel, watch_events};
use nodpay::parties::Result;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::Options;
use super::figures::{Figure, Report, many, real, spread};
use super::process::Usage;
use super::service::{Service, Site, relying_party};

/// Files a process has open beside the devices' connections.
const OTHER_FILES: u64 = 512;
/// Guardians that sign something at once while all devices listen.
const GUARDIANS: usize = 64;
/// Devices of which one after the other hears of an event.
const SINGLE_EVENTS: usize = 200;
/// How long devices that lost the network try to come back.
const COME_BACK: Duration = Duration::from_secs(120);

/// A watch that listens, and what its guardian has signed for it to hear of.
struct Device {
    household: Arc<Household>,
    /// Taken while it waits.
    ear: Mutex<Ear>,
    entry: String,
}

/// `nodpay bench --bare-sse`: the peer. Event streams that never bring an event, and nothing else.
pub(super) async fn serve_bare() -> Result<()> {
    async fn events() -> Sse<impl futures_util::Stream<Item = std::result::Result<Event, Infallible>>> {
        let begin = futures_util::stream::once(async { Ok(Event::default().id("0")) });
        let rest = futures_util::stream::pending();
        Sse::new(futures_util::StreamExt::chain(begin, rest)).keep_alive(KeepAlive::default())
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("Bare event streams on {}", listener.local_addr()?);
    Ok(axum::serve(listener, Router::new().route("/", get(events))).await?)
}

pub(super) async fn idle(options: &Options) -> Result<Report> {
    let (site, count) = (Site::new(options)?, raise_limit(options.devices)?);
    let store = site.store()?;
    let households = load::found(&store, &relying_party(), count).await?;
    drop(store);
    let service = site.serve()?;
    warm(&service, &households).await?;
    let before = Usage::of(service.pid())?.rss;
    let started = Instant::now();
    let devices = connect(&service, &households).await?;
    let connecting = started.elapsed();
    let each = real(Usage::of(service.pid())?.rss.saturating_sub(before)) / many(count);
    let peer = bare(count).await?;
    let mut figures = vec![
        Figure::count("devices", u64::try_from(count)?),
        Figure::millis("connecting_ms", connecting),
        Figure::count("rss_bytes", Usage::of(service.pid())?.rss),
        Figure::real("rss_bytes_per_device", each).at_most(32 * 1024),
        Figure::real("bare_axum_rss_bytes_per_device", peer),
    ];

    let (singles, all) = devices.split_at(SINGLE_EVENTS.min(count / 2));
    let (mut phone, mut times) = (Line::new(service.reach()), Vec::new());
    for device in singles {
        let started = Instant::now();
        let heard = tokio::spawn(hear(Arc::clone(device)));
        say(&mut phone, &service.reach(), device).await?;
        heard.await??;
        times.push(started.elapsed());
    }
    figures.extend(spread("event_to_one_ms", times));

    // All of the others listen before the first of them is spoken to.
    let mut waiting = tokio::task::JoinSet::new();
    for device in all {
        waiting.spawn(hear(Arc::clone(device)));
    }
    let (started, speakers) = (Instant::now(), all.len().div_ceil(GUARDIANS).max(1));
    for some in all.chunks(speakers) {
        let (some, reach) = (some.to_vec(), service.reach());
        tokio::spawn(async move {
            let mut phone = Line::new(reach.clone());
            for device in some {
                // A watch that hears of nothing shows it.
                let _ = say(&mut phone, &reach, &device).await;
            }
        });
    }
    while let Some(heard) = waiting.join_next().await {
        heard??;
    }
    figures.push(Figure::count("events_to_all", u64::try_from(all.len())?));
    figures.push(Figure::millis("events_to_all_ms", started.elapsed()));
    service.stop()?;
    Ok(Report::of(figures))
}

pub(super) async fn storm(options: &Options) -> Result<Report> {
    let (site, count) = (Site::new(options)?, raise_limit(options.devices)?);
    let store = site.store()?;
    let households = load::found(&store, &relying_party(), count).await?;
    drop(store);
    let service = site.serve()?;
    warm(&service, &households).await?;
    let devices = connect(&service, &households).await?;
    for device in &devices {
        device.ear.lock().await.cut();
    }
    // What happened meanwhile they must hear of when they are back.
    let mut phone = Line::new(service.reach());
    let missed = devices.get(..SINGLE_EVENTS.min(count)).unwrap_or_default();
    for device in missed {
        say(&mut phone, &service.reach(), device).await?;
    }
    let before = Usage::of(service.pid())?.cpu;
    let (started, mut coming) = (Instant::now(), tokio::task::JoinSet::new());
    for device in &devices {
        let device = Arc::clone(device);
        coming.spawn(async move {
            let tries = device.ear.lock().await.connect().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((started.elapsed(), tries))
        });
    }
    let (mut times, mut errors) = (Vec::new(), 0);
    while let Some(back) = coming.join_next().await {
        let (time, tries) = back??;
        times.push(time);
        errors += u64::from(tries.saturating_sub(1));
    }
    let all_back = started.elapsed();
    let cpu = (Usage::of(service.pid())?.cpu - before) / u32::try_from(count)?;
    for device in missed {
        hear(Arc::clone(device)).await?;
    }
    let mut figures = vec![
        Figure::count("devices", u64::try_from(count)?),
        Figure::millis("all_back_ms", all_back),
        Figure::count("failed_tries", errors),
        Figure::millis("service_cpu_ms_per_device", cpu),
        Figure::count("events_resumed", u64::try_from(missed.len())?),
    ];
    figures.extend(spread("reconnect_ms", times));
    service.stop()?;
    Ok(Report::of(figures))
}

/// As many devices as this machine lets a process have connections.
fn raise_limit(devices: u32) -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::from(devices) + OTHER_FILES;
    if limit.maximum.is_some_and(|most| most < needed) {
        return Err(
            format!("{devices} devices need {needed} open files; this machine allows {:?}", limit.maximum).into()
        );
    }
    // The service, our child, inherits it.
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(usize::try_from(devices)?)
}

/// What the first requests make once, memory and threads, is not the devices'.
async fn warm(service: &Service, households: &[Arc<Household>]) -> Result<()> {
    let some = households.get(..households.len().min(GUARDIANS)).unwrap_or_default();
    connect(service, some).await.map(drop)
}

async fn connect(service: &Service, households: &[Arc<Household>]) -> Result<Vec<Arc<Device>>> {
    let (households, reach) = (households.to_vec(), Reach { give_up_after: COME_BACK, ..service.reach() });
    in_parallel(households.len(), move |number| {
        let (household, reach) = (households.get(number).map(Arc::clone), reach.clone());
        async move {
            let household = household.ok_or("no household")?;
            let ear = Mutex::new(Ear::open(reach, watch_events(Arc::clone(&household))).await?);
            let entry = household.log_entry()?;
            Ok(Arc::new(Device { household, ear, entry }))
        }
    })
    .await
}

/// The guardian signs something that the watch hears of.
async fn say(phone: &mut Line, reach: &Reach, device: &Device) -> Result<()> {
    let body = serde_json::json!({ "entry": device.entry }).to_string();
    phone.send(&reach.post_json("/api/guardian/log", device.household.cookie(), &body)).await?.ok().map(drop)
}

async fn hear(device: Arc<Device>) -> Result<()> {
    device.ear.lock().await.wait_for("log", &device.entry).await.map(drop)
}

/// Memory that a bare Axum server takes for each of so many idle streams.
async fn bare(count: usize) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--bare-sse"]);
    let server = Service::start(command)?;
    let open = |count: usize| {
        let reach = server.reach();
        in_parallel(count, move |_| {
            let reach = reach.clone();
            async move { Ear::open(reach, |reach, last| Ok(reach.follow("/", ("accept", "*/*"), last))).await }
        })
    };
    drop(open(count.min(GUARDIANS)).await?);
    let before = Usage::of(server.pid())?.rss;
    let ears = open(count).await?;
    let each = real(Usage::of(server.pid())?.rss.saturating_sub(before)) / many(count);
    drop(ears);
    Ok(each)
}
