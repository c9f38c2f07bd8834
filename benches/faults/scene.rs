//! One fault, played: services, database and devices are set up, payments flow, something breaks, and then everything is
//! counted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodpay::load::{self, Acknowledged, Driver, Household, Loaded, Pace};
use nodpay::parties::{Result, now};
use nodpay_core::{HouseholdId, OrderState, OutcomeKind};
use nodpay_service::{ServiceKeys, init_keys, load_root_key};
use nodpay_store::{Address, MAX_ORDERS_PAGE, Store};

use super::balancer::Balancer;
use super::list::{Fault, Place};
use super::postgres::{DATABASE, Server, Volume};
use super::replicas::{CONNECTIONS, Replica, database_argument, reach, relying_party};

const SHOPS: usize = 20;
const REPLICAS: usize = 3;
/// Large enough for the load, small enough to be filled quickly.
const SQLITE_DISK_MB: u32 = 192;
const POSTGRES_DISK_MB: u32 = 512;
/// The load meets a fault within this time.
pub(super) const NOTICED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const SETTINGS: [&str; 3] = ["max_connections=60", "shared_buffers=64MB", "deadlock_timeout=50ms"];

/// How much is paid while something breaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Payments a second.
    pub(super) rate: u32,
    pub(super) length: Duration,
    pub(super) clients: usize,
    /// PostgreSQL waits for its disk, as it does in earnest.
    pub(super) fsync: bool,
}

/// Everything that runs. In the order in which it ends.
pub(super) struct Scene {
    pub(super) front: Balancer,
    pub(super) replicas: Vec<Replica>,
    /// Between replicas and PostgreSQL.
    pub(super) wire: Option<Balancer>,
    pub(super) server: Option<Server>,
    pub(super) standby: Option<Server>,
    pub(super) volume: Option<Volume>,
    /// How the database is reached.
    database: Address,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(super) fn server(&mut self) -> Result<&mut Server> {
        self.server.as_mut().ok_or_else(|| "no server".into())
    }

    /// Waits until PostgreSQL or, where there is none, the service has met what was broken and said so.
    pub(super) async fn has_logged(&self, postgres: &str, service: &str) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < NOTICED_WITHIN {
            let noticed = match &self.server {
                Some(server) => server.log().contains(postgres),
                None => self.replicas.iter().any(|replica| replica.log().contains(service)),
            };
            if noticed {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err("nothing met the fault".into())
    }

    async fn set(place: Place, load: Load) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nodpay-faults-").tempdir()?;
        // PostgreSQL is another user.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        init_keys(&folder.path().join("keys"), now())?;
        let disk = folder.path().join("disk");
        let volume = match place {
            Place::SqliteOnSmallDisk => Some(Volume::mount(&disk, SQLITE_DISK_MB)?),
            Place::PostgresOnSmallDisk => Some(Volume::mount(&disk, POSTGRES_DISK_MB)?),
            Place::Sqlite | Place::Postgres | Place::PostgresBehindWire | Place::PostgresWithStandby => None,
        };
        let data = volume.as_ref().map_or(folder.path(), Volume::folder);
        let mut settings = SETTINGS.to_vec();
        if !load.fsync {
            settings.push("fsync=off");
        }
        let (server, standby) = match place {
            Place::Sqlite | Place::SqliteOnSmallDisk => (None, None),
            Place::Postgres | Place::PostgresBehindWire | Place::PostgresOnSmallDisk => {
                (Some(Server::make(&data.join("postgres"), &settings)?), None)
            }
            Place::PostgresWithStandby => {
                let primary = Server::make(&data.join("postgres"), &settings)?;
                let standby = primary.standby(&data.join("standby"), &settings)?;
                (Some(primary), Some(standby))
            }
        };
        let wire = match (&server, place) {
            (Some(server), Place::PostgresBehindWire) => Some(Balancer::start(vec![server.address()]).await?),
            _ => None,
        };
        let database = match &server {
            None => Address::Sqlite(data.join("nodpay.sqlite")),
            Some(server) => {
                let first = wire.as_ref().map_or(server.address(), Balancer::address);
                postgres(std::iter::once(first).chain(standby.as_ref().map(Server::address)))
            }
        };
        let count = if server.is_some() { REPLICAS } else { 1 };
        let keys = folder.path().join("keys");
        // Its tables are made once, by whoever is first.
        drop(open(&keys, &database)?);
        let replicas = (0..count).map(|name| Replica::start(&keys, &database, name)).collect::<Result<Vec<_>>>()?;
        let front = Balancer::start(replicas.iter().map(Replica::address).collect()).await?;
        Ok(Self { front, replicas, wire, server, standby, volume, database, folder })
    }

    fn keys(&self) -> std::path::PathBuf {
        self.folder.path().join("keys")
    }

    /// `nodpay admin check`, as an operator runs it; what it found.
    fn check(&self) -> Result<String> {
        let check = Command::new(env!("CARGO_BIN_EXE_nodpay"))
            .args(["admin", "--database", &database_argument(&self.database), "--data"])
            .arg(self.keys())
            .arg("check")
            .output()?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().take(3).collect::<Vec<_>>().join(" / ");
        Ok(match check.status.success() {
            true => String::new(),
            false => format!("{} {}", said(&check.stdout), said(&check.stderr)),
        })
    }
}

fn postgres(hosts: impl Iterator<Item = SocketAddr>) -> Address {
    let hosts: Vec<String> = hosts.map(|host| host.to_string()).collect();
    let url = format!("postgres://postgres@{}/{DATABASE}", hosts.join(","));
    Address::Postgres { url, connections: CONNECTIONS }
}

fn open(keys: &Path, database: &Address) -> Result<Store> {
    let keys = ServiceKeys::load(&keys.join("outcome.key"), None, now())?;
    Ok(Store::open(database, keys.outcome_signer())?)
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    name: &'static str,
    pub(super) rate: f64,
    acknowledged: usize,
    lost: usize,
    doubled: usize,
    stall: Duration,
    /// What else went wrong, in words.
    wrong: Vec<String>,
}

impl Outcome {
    pub(super) const HEAD: &str = "\
| fault | payments acknowledged | a second | lost | paid twice | longest stall | else |
| --- | ---: | ---: | ---: | ---: | ---: | --- |";

    pub(super) fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.wrong.is_empty() && self.acknowledged > 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rate, acknowledged, lost, doubled, stall, wrong } = self;
        let stall = stall.as_secs_f64();
        write!(f, "| {name} | {acknowledged} | {rate:.0} | {lost} | {doubled} | {stall:.2} s | {} |", wrong.join("; "))
    }
}

/// Plays one fault and counts.
pub(super) async fn play(fault: &Fault, load: Load) -> Result<Outcome> {
    let load = Load { length: load.length.max(fault.takes), ..load };
    let mut scene = Scene::set(fault.place, load).await?;
    let store = open(&scene.keys(), &scene.database)?;
    let root = Arc::new(load_root_key(&scene.keys().join("root.key"))?);
    let shops = load::open_shops(&store, &root, SHOPS).await?;
    let households = load::found(&store, &relying_party(), load.clients).await?;
    let before = wallets(&store, &households).await?;
    let bills = usize::try_from(u64::from(load.rate) * (load.length.as_secs() + 1))? + load.clients;
    let stock = load::stock(&store, &shops, bills).await?;
    drop(store);

    let reach = reach(scene.front.address());
    let mut drivers = Vec::with_capacity(households.len());
    for household in &households {
        drivers.push(Driver::connect(Arc::clone(household), reach.clone(), reach.clone()).await?);
    }
    let paying = tokio::spawn({
        let stock = Arc::clone(&stock);
        async move { load::run(drivers, &stock, Pace::Rate(load.rate), load.length).await }
    });
    tokio::time::sleep(load.length / 4).await;
    fault.strike(&mut scene).await?;
    let loaded = paying.await?;

    let mut wrong: Vec<String> = loaded.errors.iter().take(2).cloned().collect();
    let store = open(&scene.keys(), &scene.database)?;
    let served = loaded.served.len();
    let rate = f64::from(u32::try_from(served)?) / loaded.elapsed.as_secs_f64();
    let acknowledged = report(loaded, &scene, &mut wrong).await?;
    let lost = lost(&store, &acknowledged).await?;
    let doubled = doubled(&store, &households, &before).await?;
    drop(store);
    wrong.extend(Some(scene.check()?).filter(|found| !found.is_empty()));
    let stall = longest_stall(&acknowledged);
    Ok(Outcome { name: fault.name, rate, acknowledged: acknowledged.len(), lost, doubled, stall, wrong })
}

/// Every watch verifies the outcomes it heard, each of them paid, and reports its results. Gives what was acknowledged.
async fn report(loaded: Loaded, scene: &Scene, wrong: &mut Vec<String>) -> Result<Vec<Acknowledged>> {
    let keys = ServiceKeys::load(&scene.keys().join("outcome.key"), None, now())?;
    let certificate = Arc::new(keys.outcome_certificate().clone());
    let mut watches = tokio::task::JoinSet::new();
    for mut driver in loaded.drivers {
        let certificate = Arc::clone(&certificate);
        watches.spawn(async move {
            let reported = driver.report(&certificate).await.map_err(|error| error.to_string());
            (driver.acknowledged, reported)
        });
    }
    let mut acknowledged = Vec::new();
    while let Some(watch) = watches.join_next().await {
        let (mut payments, reported) = watch?;
        acknowledged.append(&mut payments);
        wrong.extend(reported.err());
    }
    Ok(acknowledged)
}

/// Acknowledged payments that the database does not hold as paid.
async fn lost(store: &Store, acknowledged: &[Acknowledged]) -> Result<usize> {
    let mut lost = 0;
    for payment in acknowledged {
        let row = store.order(payment.household, payment.order).await?;
        let paid = OrderState::Ended { outcome: OutcomeKind::Paid };
        let kept = row.is_some_and(|row| row.state == paid && row.payment.is_some() && row.total == payment.total);
        lost += usize::from(!kept);
    }
    Ok(lost)
}

async fn wallets(store: &Store, households: &[Arc<Household>]) -> Result<BTreeMap<HouseholdId, i64>> {
    let mut wallets = BTreeMap::new();
    for household in households {
        let household = household.household();
        let balance = store.wallet(household).await?.ok_or("no wallet")?;
        wallets.insert(household, balance.wallet.posted().get());
    }
    Ok(wallets)
}

/// Households whose wallet lost something else than what their paid orders come to.
async fn doubled(store: &Store, households: &[Arc<Household>], before: &BTreeMap<HouseholdId, i64>) -> Result<usize> {
    let mut doubled = 0;
    for (household, after) in wallets(store, households).await? {
        let (mut spent, mut last) = (0, None);
        loop {
            let page = store.orders(household, last, MAX_ORDERS_PAGE).await?;
            let paid = page.iter().filter(|row| row.state == OrderState::Ended { outcome: OutcomeKind::Paid });
            spent += paid.map(|row| row.total.minor()).sum::<i64>();
            match page.last() {
                Some(row) => last = Some(row.order),
                None => break,
            }
        }
        doubled += usize::from(before.get(&household) != Some(&(after + spent)));
    }
    Ok(doubled)
}

/// The longest time in which nothing was acknowledged.
fn longest_stall(acknowledged: &[Acknowledged]) -> Duration {
    let mut times: Vec<_> = acknowledged.iter().map(|payment| payment.at).collect();
    times.sort_unstable();
    let gaps = times.iter().zip(times.iter().skip(1)).map(|(one, next)| next.duration_since(*one));
    gaps.max().unwrap_or_default()
}
