//! Whole orders of many households at once, against the real service: how many a second, how soon paid, what each costs,
//! and how far that is from what this machine could do at all.

use std::sync::Arc;
use std::time::Duration;

use nodpay::load::{self, Driver, Household, Loaded, Pace, RuleSays, Served, Stock};
use nodpay::parties::Result;

use super::figures::{Figure, Report, many, real, spread};
use super::process::Usage;
use super::service::{Service, Site, relying_party};
use super::{Options, units};

/// Merchants the households buy from.
const SHOPS: usize = 100;
/// The load before the clock starts, which shows how many bills will be needed.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);
/// Bills for it, and of whose size in the database each bill's is taken.
pub(super) const WARM_UP_BILLS: usize = 5_000;
const COMMITS: &str = "nodpay_commits_total";

/// The load may turn out so many times faster than the warm-up.
pub(super) const SPARE: f64 = 1.5;

/// What an order is made of, as [`Driver::order`] and the service do it while the clock runs.
struct Made {
    signatures: u32,
    checks: u32,
    requests: u32,
    state_changes: u32,
}

/// Order, decision, payment, and the outcome; the bill and those but the outcome, and the decision again by the watch.
const NODDED: Made = Made { signatures: 4, checks: 5, requests: 3, state_changes: 3 };
/// Under a rule that nods: order, payment, and the outcome; bill, order and payment.
const RULED: Made = Made { signatures: 3, checks: 3, requests: 2, state_changes: 2 };

/// One phase of load and what the service spent on it.
pub(super) struct Phase {
    pub(super) loaded: Loaded,
    pub(super) service_cpu: Duration,
    own_cpu: Duration,
    commits: u64,
}

impl Phase {
    pub(super) fn rate(&self) -> f64 {
        many(self.loaded.served.len()) / self.loaded.elapsed.as_secs_f64()
    }

    fn times(&self, of: impl Fn(&Served) -> Duration) -> Vec<Duration> {
        self.loaded.served.iter().map(of).collect()
    }

    pub(super) fn service_cpu_ms(&self) -> f64 {
        self.per_order(self.service_cpu.as_secs_f64() * 1_000.0)
    }

    fn per_order(&self, value: f64) -> f64 {
        value / many(self.loaded.served.len())
    }
}

pub(super) async fn measure(options: &Options) -> Result<Report> {
    let site = Site::new(options)?;
    let mut figures = vec![Figure::count("clients", options.clients.into())];
    let pgbench_before = site.server().map(|server| server.pgbench(options.length())).transpose()?;

    let store = site.store()?;
    let shops = load::open_shops(&store, site.root(), SHOPS).await?;
    let households = load::found_ruled(&store, &relying_party(), options.clients()?, options.rules).await?;
    let made = match options.rules {
        None | Some(RuleSays::Ask) => NODDED,
        Some(RuleSays::Nod) => RULED,
    };
    drop(store);
    let empty = site.database_bytes()?;
    let store = site.store()?;
    let warm_up = load::stock(&store, &shops, WARM_UP_BILLS).await?;
    drop(store);
    let bill_bytes = (site.database_bytes()? - empty) / many(WARM_UP_BILLS);

    let service = site.serve()?;
    let drivers = connect(&service, &households).await?;
    let warm = phase(&service, drivers, &warm_up, options.pace(), options.length().min(WARM_UP)).await?;
    let mut orders = warm.loaded.served.len();
    let rate = options.rate.map_or(warm.rate() * SPARE, f64::from);
    // The second half is for half the rate.
    let bills = whole(rate * options.length().as_secs_f64() * 1.5)? + households.len();
    let store = site.store()?;
    let stock = load::stock(&store, &shops, bills).await?;
    drop(store);

    let wal = site.server().map(|server| server.wal_bytes()).transpose()?;
    let main = phase(&service, warm.loaded.drivers, &stock, options.pace(), options.length()).await?;
    let main_orders = main.loaded.served.len();
    orders += main_orders;
    let peak = main.rate();
    figures.push(Figure::real("orders_per_second", peak));
    figures.extend(spread("tap_to_paid_ms", main.times(|served| served.tap_to_paid)));
    figures.extend(spread("whole_order_ms", main.times(|served| served.whole)));
    figures.push(Figure::real("service_cpu_ms_per_order", main.service_cpu_ms()));
    figures.push(Figure::real("load_cpu_ms_per_order", main.per_order(main.own_cpu.as_secs_f64() * 1_000.0)));
    figures.push(Figure::real("commits_per_order", main.per_order(real(main.commits))));
    figures.push(Figure::real("state_changes_per_second", peak * f64::from(made.state_changes)));
    if let (Some(server), Some(wal)) = (site.server(), wal) {
        figures.push(Figure::real("wal_bytes_per_order", (server.wal_bytes()? - wal) / many(main_orders)));
    }

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
    let bytes = (site.database_bytes()? - empty - unused) / many(orders);
    let bytes = Figure::real("db_bytes_per_order", bytes);
    figures.push(if site.server().is_none() { bytes.at_most(10_240) } else { bytes });
    figures.push(Figure::real("fsyncs_per_second", units::fsyncs_per_second(site.folder())?));
    if let (Some(server), Some(before)) = (site.server(), pgbench_before) {
        let after = server.pgbench(options.length())?;
        let tps = f64::midpoint(before, after);
        figures.push(Figure::real("pgbench_tps_before", before));
        figures.push(Figure::real("pgbench_tps_after", after));
        figures.push(Figure::real("pgbench_tps", tps));
        let ratio = Figure::real("state_changes_per_pgbench", peak * f64::from(made.state_changes) / tps);
        figures.push(ratio.at_least(1));
    }

    let store = site.store()?;
    if let Some(wrong) = store.check().await?.first() {
        return Err(format!("the books are wrong: {} {}: {}", wrong.table, wrong.row, wrong.what).into());
    }
    figures.push(Figure::count("orders_paid", u64::try_from(orders)?));
    let (signature, check) = units::signatures()?;
    let change = units::state_change(&store, &households, site.server()).await?;
    let costs = Costs { made, signature, check, change, request };
    let formula = costs.limit(peak, options.rate.is_none(), &mut figures)?;
    let mut report = Report::of(figures);
    report.explain("limit_orders_per_second", formula);
    Ok(report)
}

/// What the smallest parts of an order cost, in processor time.
struct Costs {
    made: Made,
    signature: Duration,
    check: Duration,
    change: Duration,
    request: Duration,
}

impl Costs {
    /// How many orders a second this machine could do if orders were made of nothing else; in words, too.
    fn limit(&self, peak: f64, is_peak: bool, figures: &mut Vec<Figure>) -> Result<String> {
        let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
        let parts = [
            ("signatures", self.made.signatures, self.signature),
            ("signature_checks", self.made.checks, self.check),
            ("state_changes", self.made.state_changes, self.change),
            ("requests", self.made.requests, self.request),
        ];
        figures.push(Figure::count("limit_parts.cores", cores.into()));
        let (mut least, mut words) = (Duration::ZERO, Vec::new());
        for (name, count, cost) in parts {
            figures.push(Figure::count(&format!("limit_parts.{name}"), count.into()));
            figures.push(Figure::real(&format!("limit_parts.{name}_us_each"), micros(cost)));
            least += cost * count;
            words.push(format!("{count} {} x {:.1} us", name.replace('_', " "), micros(cost)));
        }
        let limit = f64::from(cores) / least.as_secs_f64();
        figures.push(Figure::real("limit_orders_per_second", limit));
        let share = Figure::real("share_of_limit", peak / limit);
        figures.push(if is_peak { share.at_least(0.5) } else { share });
        Ok(format!("{cores} cores / ({}) = {cores} / {:.1} us = {limit:.0}", words.join(" + "), micros(least)))
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
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
pub(super) fn whole(estimate: f64) -> Result<usize> {
    Ok(format!("{:.0}", estimate.max(1.0)).parse()?)
}

pub(super) async fn connect(service: &Service, households: &[Arc<Household>]) -> Result<Vec<Driver>> {
    let mut drivers = Vec::with_capacity(households.len());
    for household in households {
        drivers.push(Driver::connect(Arc::clone(household), service.reach(), service.reach()).await?);
    }
    Ok(drivers)
}

pub(super) async fn phase(
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
