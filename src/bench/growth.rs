//! What a payment costs when there are many already: the same load at a thousand, ten thousand … stored orders.

use std::time::{Duration, Instant};

use nodpay::load;
use nodpay::parties::Result;

use super::Options;
use super::figures::{Figure, Report};
use super::households::{SPARE, WARM_UP, WARM_UP_BILLS, connect, phase, whole};
use super::service::{Site, relying_party};

const SHOPS: usize = 100;
/// Households that the stored orders belong to; as many as fill the store's group commits.
const HOUSEHOLDS: usize = 256;
/// How many orders are stored at each look.
const LEVELS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

pub(super) async fn measure(options: &Options) -> Result<Report> {
    let site = Site::new(options)?;
    let store = site.store()?;
    let shops = load::open_shops(&store, site.root(), SHOPS).await?;
    let households = load::found(&store, &relying_party(), HOUSEHOLDS).await?;
    let clients = load::found(&store, &relying_party(), options.clients()?).await?;
    let certificate = site.outcome_certificate()?;
    drop(store);
    let most = options.orders.unwrap_or(1_000_000);
    let mut levels: Vec<u32> = LEVELS.into_iter().filter(|level| *level < most).collect();
    levels.push(most);

    let (mut figures, mut stored, mut filling) = (Vec::new(), 0_u64, Duration::ZERO);
    let mut costs: Vec<f64> = Vec::new();
    for level in levels {
        let started = Instant::now();
        let store = site.store()?;
        let missing = u64::from(level).saturating_sub(stored);
        let each = usize::try_from(missing)?.div_ceil(HOUSEHOLDS);
        load::fill(&store, &shops, &households, &certificate, each).await?;
        stored += u64::try_from(each * HOUSEHOLDS)?;
        filling += started.elapsed();
        let warm_up = load::stock(&store, &shops, WARM_UP_BILLS).await?;
        drop(store);

        let service = site.serve()?;
        let drivers = connect(&service, &clients).await?;
        let warm = phase(&service, drivers, &warm_up, options.pace(), options.length().min(WARM_UP)).await?;
        let rate = options.rate.map_or(warm.rate() * SPARE, f64::from);
        let store = site.store()?;
        let bills = whole(rate * options.length().as_secs_f64())? + clients.len();
        let stock = load::stock(&store, &shops, bills).await?;
        drop(store);
        let warmed = warm.loaded.served.len();
        let done = phase(&service, warm.loaded.drivers, &stock, options.pace(), options.length()).await?;
        service.stop()?;
        let name = |what: &str| format!("at_{level}.{what}");
        figures.push(Figure::count(&name("stored_orders"), stored));
        figures.push(Figure::real(&name("orders_per_second"), done.rate()));
        figures.push(Figure::real(&name("service_cpu_ms_per_order"), done.service_cpu_ms()));
        costs.push(done.service_cpu_ms());
        stored += u64::try_from(warmed + done.loaded.served.len())?;
    }
    figures.push(Figure::real("filling_seconds", filling.as_secs_f64()));
    let (first, last) = (costs.first().copied().unwrap_or(1.0), costs.last().copied().unwrap_or(1.0));
    figures.push(Figure::real("growth_ratio", last / first).at_most(1.2));
    Ok(Report::of(figures))
}
