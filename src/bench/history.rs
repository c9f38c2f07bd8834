//! A page of a household's history when that is long: the first page, one in the middle, the last.

use std::time::{Duration, Instant};

use nodpay::load::{self, Household, Line};
use nodpay::parties::Result;
use serde::Deserialize;

use super::Options;
use super::figures::{Figure, Report, spread};
use super::process::Usage;
use super::service::{Service, Site, relying_party};

const SHOPS: usize = 10;
/// Watches that the household's orders come from; each has one order at a time.
const WATCHES: usize = 16;
/// How often each page is asked for.
const LOOKS: u32 = 200;

/// What a page names.
#[derive(Deserialize)]
struct Page {
    orders: Vec<serde::de::IgnoredAny>,
    next: Option<String>,
}

pub(super) async fn measure(options: &Options) -> Result<Report> {
    let site = Site::new(options)?;
    let store = site.store()?;
    let shops = load::open_shops(&store, site.root(), SHOPS).await?;
    let watches = load::found_large(&store, &relying_party(), WATCHES).await?;
    let orders = usize::try_from(options.orders.unwrap_or(100_000))?;
    let started = Instant::now();
    let each = orders.div_ceil(WATCHES);
    // The first and the last half, to have an order of the middle by name.
    let certificate = site.outcome_certificate()?;
    load::fill(&store, &shops, &watches, &certificate, each / 2).await?;
    let household = watches.first().ok_or("no household")?;
    let middle = store.orders(household.household(), None, 1).await?.first().map(|row| row.order.to_string());
    load::fill(&store, &shops, &watches, &certificate, each - each / 2).await?;
    let filling = started.elapsed();
    drop(store);

    let service = site.serve()?;
    let mut phone = Line::new(service.reach());
    let stored = u64::try_from(each * WATCHES)?;
    let mut figures =
        vec![Figure::count("stored_orders", stored), Figure::real("filling_seconds", filling.as_secs_f64())];
    let first = page(&mut phone, &service, household, None).await?;
    let second = first.next.ok_or("the history is one page long")?;
    for (name, before) in [("first", None), ("second", Some(second)), ("middle", middle)] {
        let before_cpu = Usage::of(service.pid())?.cpu;
        let mut times = Vec::new();
        for _ in 0..LOOKS {
            let started = Instant::now();
            let page = page(&mut phone, &service, household, before.as_deref()).await?;
            times.push(started.elapsed());
            if page.orders.is_empty() {
                return Err(format!("the {name} page is empty").into());
            }
        }
        let cpu: Duration = (Usage::of(service.pid())?.cpu - before_cpu) / LOOKS;
        figures.extend(spread(&format!("{name}_page_ms"), times));
        figures.push(Figure::millis(&format!("{name}_page_ms.service_cpu"), cpu));
    }
    service.stop()?;
    Ok(Report::of(figures))
}

async fn page(line: &mut Line, service: &Service, household: &Household, before: Option<&str>) -> Result<Page> {
    let path = match before {
        None => "/api/guardian/orders".to_owned(),
        Some(order) => format!("/api/guardian/orders?before={order}"),
    };
    let request = service.reach().get(&path, ("cookie", household.cookie()));
    Ok(serde_json::from_slice(&line.send(&request).await?.ok()?)?)
}
