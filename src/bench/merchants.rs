//! One merchant for everybody against many: the same load, by turns, on the same service.

use std::time::Duration;

use nodpay::load;
use nodpay::parties::Result;

use super::Options;
use super::figures::{Figure, Report, many};
use super::households::{Phase, SPARE, WARM_UP, WARM_UP_BILLS, connect, phase, whole};
use super::service::{Site, relying_party};

/// Merchants when there are many.
const MANY: usize = 1_000;
/// Turns of each; what else this machine does then falls on both.
const TURNS: u32 = 3;

/// What all turns of one kind come to.
#[derive(Default)]
struct Sum {
    orders: usize,
    elapsed: Duration,
    service_cpu: Duration,
}

impl Sum {
    fn add(&mut self, phase: &Phase) {
        self.orders += phase.loaded.served.len();
        self.elapsed += phase.loaded.elapsed;
        self.service_cpu += phase.service_cpu;
    }

    fn rate(&self) -> f64 {
        many(self.orders) / self.elapsed.as_secs_f64()
    }

    fn cpu_ms(&self) -> f64 {
        self.service_cpu.as_secs_f64() * 1_000.0 / many(self.orders)
    }
}

pub(super) async fn measure(options: &Options) -> Result<Report> {
    let site = Site::new(options)?;
    let store = site.store()?;
    let merchants = load::open_shops(&store, site.root(), MANY).await?;
    let (hot, _) = merchants.split_at(1);
    let households = load::found(&store, &relying_party(), options.clients()?).await?;
    let warm_up = load::stock(&store, &merchants, WARM_UP_BILLS).await?;
    drop(store);

    let service = site.serve()?;
    let drivers = connect(&service, &households).await?;
    let warm = phase(&service, drivers, &warm_up, options.pace(), options.length().min(WARM_UP)).await?;
    let rate = options.rate.map_or(warm.rate() * SPARE, f64::from);
    let turn = options.length() / TURNS;
    let bills = whole(rate * turn.as_secs_f64())? + households.len();
    let mut drivers = warm.loaded.drivers;
    let (mut of_one, mut of_many) = (Sum::default(), Sum::default());
    for _ in 0..TURNS {
        for (shops, sum) in [(hot, &mut of_one), (&merchants, &mut of_many)] {
            let store = site.store()?;
            let stock = load::stock(&store, shops, bills).await?;
            drop(store);
            let done = phase(&service, drivers, &stock, options.pace(), turn).await?;
            sum.add(&done);
            drivers = done.loaded.drivers;
        }
    }
    service.stop()?;
    Ok(Report::of(vec![
        Figure::count("clients", options.clients.into()),
        Figure::count("merchants", u64::try_from(MANY)?),
        Figure::count("hot_merchant_orders", u64::try_from(of_one.orders)?),
        Figure::real("hot_merchant_orders_per_second", of_one.rate()).beside(of_many.rate()),
        Figure::real("hot_merchant_service_cpu_ms_per_order", of_one.cpu_ms()).beside(of_many.cpu_ms()),
        Figure::real("hot_merchant_ratio", of_one.rate() / of_many.rate()).at_least(0.8),
    ]))
}
