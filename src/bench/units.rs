//! What the smallest parts of an order cost on this machine now, one by one: the limit is computed from them.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodpay::load::{Connection, Household, in_parallel};
use nodpay::parties::{Result, now, random, random_key};
use nodpay_core::{Amount, Currency, Minor, Nonce, TransferId};
use nodpay_protocol::{Signer as _, sign_request, verify_request};
use nodpay_store::{Store, TopUp};

use super::process::Usage;
use super::service::Service;

/// Each unit is measured for about this long.
const LENGTH: Duration = Duration::from_secs(1);
/// Signatures between two looks at the clock.
const SIGNATURES: u32 = 200;
/// Top-ups that are measured together.
const TOP_UPS: usize = 20_000;
/// Bytes a `fdatasync` writes: a page of the database.
const PAGE: [u8; 4096] = [0x5A; 4096];

/// Processor time of a signature and of a check, of one thread.
pub(super) fn signatures() -> Result<(Duration, Duration)> {
    let key = random_key()?;
    let public = key.public_key();
    let wire = sign_request("GET", "/", now(), Nonce::from_bytes(random()?), &key)?;
    let signing = per_run(|| Ok(key.sign(wire.as_bytes()).map(|_| ())?))?;
    let checking = per_run(|| Ok(verify_request(&wire, &public, "GET", "/", now()).map(|_| ())?))?;
    Ok((signing, checking))
}

fn per_run(mut one: impl FnMut() -> Result<()>) -> Result<Duration> {
    let (started, mut best) = (Instant::now(), Duration::MAX);
    while started.elapsed() < LENGTH {
        let before = Instant::now();
        for _ in 0..SIGNATURES {
            one()?;
        }
        // Other programs only ever add to it.
        best = best.min(before.elapsed() / SIGNATURES);
    }
    Ok(best)
}

/// Processor time of a state change in a full group commit: a top-up (two looks, a transfer, the wallet, two events), the
/// smallest transaction of the store that moves money, while always more of them wait than a commit takes.
/// On PostgreSQL the server's time counts too.
pub(super) async fn state_change(store: &Store, households: &[Arc<Household>]) -> Result<Duration> {
    let amount = Amount::new(Minor::new(1)?, Currency::CNY);
    let ids: Vec<_> = households.iter().map(|household| household.household()).collect();
    let store = store.clone();
    let is_shared = store.is_shared();
    let spent = || -> Result<Duration> {
        let server = if is_shared { Usage::cpu_of_all("postgres")? } else { Duration::ZERO };
        Ok(Usage::own()?.cpu + server)
    };
    let before = spent()?;
    in_parallel(TOP_UPS, move |number| {
        let (household, store) = (ids.get(number % ids.len().max(1)).copied(), store.clone());
        async move {
            let transfer = TransferId::from_bytes(random()?);
            let household = household.ok_or("no household")?;
            store.top_up(TopUp { household, transfer, amount }, now()).await?;
            Ok(())
        }
    })
    .await?;
    Ok((spent()? - before) / u32::try_from(TOP_UPS)?)
}

/// Processor time of a request that does nothing (`GET /healthz`), of client and service together, over so many
/// connections at once.
pub(super) async fn empty_request(service: &Service, connections: usize) -> Result<Duration> {
    let before = (Usage::own()?.cpu, Usage::of(service.pid())?.cpu);
    let (reach, until) = (service.reach(), Instant::now() + LENGTH);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (request, address) = (reach.get("/healthz", ("accept", "text/plain")), reach.address);
        clients.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut count = 0_u32;
            while Instant::now() < until {
                connection.exchange(&request).await?;
                count += 1;
            }
            Ok::<_, std::io::Error>(count)
        });
    }
    let mut requests = 0;
    while let Some(count) = clients.join_next().await {
        requests += count??;
    }
    let after = (Usage::own()?.cpu, Usage::of(service.pid())?.cpu);
    Ok((after.0 - before.0 + after.1 - before.1) / requests.max(1))
}

/// How often a second the disk under `folder` takes a written page for good.
pub(super) fn fsyncs_per_second(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("fsync"))?;
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < LENGTH {
        file.write_all(&PAGE)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}
