//! Whole orders of many households at once, against the real service: how many a second, how soon paid, what each costs,
//! and how far that is from what this machine could do at all.

use std::sync::Arc;
use std::time::Duration;

use nodpay::load::{self, Driver, Household, Loaded, Pace, Served, Stock};
use nodpay::parties::Result;

use super::figures::{Figure, Report, many, real, spread};
use super::process::Usage;
use super::service::{Service, Site, relying_party};
use super::{Options, units};

/// Merchants the households buy from.
const SHOPS: usize = 100;
/// The load before the clock starts, which shows how many bills will be needed.
const WARM_UP: Duration = Duration::from_secs(2);
/// Bills for it, and of whose size in the database each bill's is taken.
const WARM_UP_BILLS: usize = 20_000;
const COMMITS: &str = "nodpay_commits_total";

/// The load may turn out so many times faster than the warm-up.
const SPARE: f64 = 1.5;

/// What an order is made of, as [`Driver::order`] and the service do it while the clock runs.
const SIGNATURES: u32 = 4; // order, decision, payment; outcome
const CHECKS: u32 = 5; // bill, order, decision, payment; the decision again by the watch
const REQUESTS: u32 = 3; // order, decision, payment
const STATE_CHANGES: u32 = 3; // order, decision, payment

/// One phase of load and what the service spent on it.
struct Phase {
    loaded: Loaded,
    service_cpu: Duration,
    own_cpu: Duration,
    commits: u64,
}

impl Phase {
    fn rate(&self) -> f64 {
        many(self.loaded.served.len()) / self.loaded.elapsed.as_secs_f64()
    }

    fn times(&self, of: impl Fn(&Served) -> Duration) -> Vec<Duration> {
        self.loaded.served.iter().map(of).collect()
    }

    fn per_order(&self, value: f64) -> f64 {
        value / many(self.loaded.served.len())
    }
}

pub(super) async fn measure(options: &Options) -> Result<Report> {
    let site = Site::new()?;
    let store = site.store()?;
    let shops = load::open_shops(&store, site.root(), SHOPS).await?;
    let households = load::found(&store, &relying_party(), options.clients()?).await?;
    drop(store);
    let empty = site.database_bytes()?;
    let store = site.store()?;
    let warm_up = load::stock(&store, &shops, WARM_UP_BILLS).await?;
    drop(store);
    let bill_bytes = real(site.database_bytes()? - empty) / many(WARM_UP_BILLS);

    let service = site.serve()?;
    let drivers = connect(&service, &households).await?;
    let warm = phase(&service, drivers, &warm_up, options.pace(), WARM_UP).await?;
    let mut orders = warm.loaded.served.len();
    let rate = options.rate.map_or(warm.rate() * SPARE, f64::from);
    // The second half is for half the rate.
    let bills = rate * options.length().as_secs_f64() * 1.5;
    let store = site.store()?;
    let stock = load::stock(&store, &shops, whole(bills)? + SHOPS).await?;
    drop(store);
    let main = phase(&service, warm.loaded.drivers, &stock, options.pace(), options.length()).await?;
    orders += main.loaded.served.len();
    let mut figures =
        vec![Figure::count("clients", options.clients.into()), Figure::real("orders_per_second", main.rate())];
    figures.extend(spread("tap_to_paid_ms", main.times(|served| served.tap_to_paid)));
    figures.extend(spread("whole_order_ms", main.times(|served| served.whole)));
    figures.push(Figure::real("service_cpu_ms_per_order", main.per_order(main.service_cpu.as_secs_f64() * 1_000.0)));
    figures.push(Figure::real("load_cpu_ms_per_order", main.per_order(main.own_cpu.as_secs_f64() * 1_000.0)));
    figures.push(Figure::real("commits_per_order", main.per_order(real(main.commits))));
    figures.push(Figure::real("state_changes_per_second", main.rate() * f64::from(STATE_CHANGES)));
    let peak = main.rate();

    let mut drivers = main.loaded.drivers;
    if options.rate.is_none() {
        let half = Pace::Rate(u32::try_from(whole(peak / 2.0)?)?);
        let half = phase(&service, drivers, &stock, half, options.length()).await?;
        orders += half.loaded.served.len();
        figures.push(Figure::real("half_load.orders_per_second", half.rate()));
        let [p50, p99, max] = spread("half_load.tap_to_paid_ms", half.times(|served| served.tap_to_paid));
        figures.extend([p50, p99.at_most(20), max]);
        drivers = half.loaded.drivers;
    }
    figures.push(Figure::count("rss_bytes", Usage::of(service.pid())?.rss));

    report_results(drivers, &site).await?;
    let request = units::empty_request(&service, options.clients()?).await?;
    service.stop()?;
    let unused = many(warm_up.left() + stock.left()) * bill_bytes;
    let bytes = (real(site.database_bytes()? - empty) - unused) / many(orders);
    figures.push(Figure::real("db_bytes_per_order", bytes).at_most(10_240));
    let fsyncs = units::fsyncs_per_second(site.folder())?;
    figures.push(Figure::real("fsyncs_per_second", fsyncs));

    let store = site.store()?;
    if let Some(wrong) = store.check().await?.first() {
        return Err(format!("the books are wrong: {} {}: {}", wrong.table, wrong.row, wrong.what).into());
    }
    figures.push(Figure::count("orders_paid", u64::try_from(orders)?));
    let change = units::state_change(&store, &households).await?;
    drop(store);
    let (signature, check) = units::signatures()?;
    let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
    let least = signature * SIGNATURES + check * CHECKS + change * STATE_CHANGES + request * REQUESTS;
    let limit = f64::from(cores) / least.as_secs_f64();
    let micros = |time: Duration| (time.as_secs_f64() * 10_000_000.0).round() / 10.0;
    figures.push(Figure::count("limit_parts.cores", cores.into()));
    figures.push(Figure::count("limit_parts.signatures", SIGNATURES.into()));
    figures.push(Figure::real("limit_parts.signature_us", micros(signature)));
    figures.push(Figure::count("limit_parts.signature_checks", CHECKS.into()));
    figures.push(Figure::real("limit_parts.signature_check_us", micros(check)));
    figures.push(Figure::count("limit_parts.state_changes", STATE_CHANGES.into()));
    figures.push(Figure::real("limit_parts.state_change_us", micros(change)));
    figures.push(Figure::count("limit_parts.requests", REQUESTS.into()));
    figures.push(Figure::real("limit_parts.request_us", micros(request)));
    figures.push(Figure::real("limit_orders_per_second", limit));
    let share = Figure::real("share_of_limit", peak / limit);
    figures.push(if options.rate.is_none() { share.at_least(0.5) } else { share });
    let mut report = Report::of(figures);
    report.explain(
        "limit_orders_per_second",
        format!(
            "{cores} cores / ({SIGNATURES} signatures x {} us + {CHECKS} checks x {} us + {STATE_CHANGES} state changes \
             x {} us + {REQUESTS} requests x {} us) = {cores} / {} us = {limit:.0}",
            micros(signature),
            micros(check),
            micros(change),
            micros(request),
            micros(least),
        ),
    );
    Ok(report)
}

/// After the clock: every watch verifies its outcomes, all of them paid, and reports its results.
async fn report_results(drivers: Vec<Driver>, site: &Site) -> Result<()> {
    let certificate = Arc::new(site.outcome_certificate()?);
    let mut watches = tokio::task::JoinSet::new();
    for mut driver in drivers {
        let certificate = Arc::clone(&certificate);
        watches.spawn(async move { driver.report(&certificate).await });
    }
    while let Some(reported) = watches.join_next().await {
        reported??;
    }
    Ok(())
}

/// A count that was estimated.
fn whole(estimate: f64) -> Result<usize> {
    Ok(format!("{:.0}", estimate.max(1.0)).parse()?)
}

async fn connect(service: &Service, households: &[Arc<Household>]) -> Result<Vec<Driver>> {
    let mut drivers = Vec::with_capacity(households.len());
    for household in households {
        drivers.push(Driver::connect(Arc::clone(household), service.reach(), service.reach()).await?);
    }
    Ok(drivers)
}

async fn phase(
    service: &Service,
    drivers: Vec<Driver>,
    stock: &Arc<Stock>,
    pace: Pace,
    length: Duration,
) -> Result<Phase> {
    let before = (Usage::of(service.pid())?.cpu, Usage::own()?.cpu, service.counter(COMMITS).await?);
    let loaded = load::run(drivers, stock, pace, length).await;
    let after = (Usage::of(service.pid())?.cpu, Usage::own()?.cpu, service.counter(COMMITS).await?);
    if let Some(error) = loaded.errors.first() {
        return Err(format!(
            "{} of {} households failed; the first: {error}",
            loaded.errors.len(),
            loaded.drivers.len()
        )
        .into());
    }
    Ok(Phase { loaded, service_cpu: after.0 - before.0, own_cpu: after.1 - before.1, commits: after.2 - before.2 })
}
