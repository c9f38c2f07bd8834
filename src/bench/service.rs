//! The service under load: `nodpay serve` as a process of its own, over a database in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodpay::load::{self, Reach};
use nodpay::parties::{Result, now};
use nodpay_core::OutcomeCertificate;
use nodpay_protocol::{RelyingParty, SoftwareKey, Verified};
use nodpay_service::{ServiceKeys, init_keys, load_root_key};
use nodpay_store::{Address, Store};
use rusqlite::Connection;

use super::Options;
use super::figures::real;
use super::postgres::Server;

/// What the service is called; its passkeys are made for it, whatever port it listens on.
const ORIGIN: &str = "http://localhost:8080";
const RP_ID: &str = "localhost";
/// An answer or event that takes longer is an error of the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The service ends within this after it was told to.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// A folder with the service's keys, and a database: a new SQLite file there, or the PostgreSQL database that was given.
pub(super) struct Site {
    folder: tempfile::TempDir,
    root: Arc<SoftwareKey>,
    address: Address,
}

impl Site {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nodpay-bench-").tempdir()?;
        let files = init_keys(folder.path(), now())?;
        let address = match &options.database {
            None => Address::Sqlite(folder.path().join("nodpay.sqlite")),
            Some(url) => Address::parse(url, usize::from(options.connections))?,
        };
        Ok(Self { root: Arc::new(load_root_key(&files.root_key)?), folder, address })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) const fn root(&self) -> &Arc<SoftwareKey> {
        &self.root
    }

    /// The server behind the database, unless it is a file.
    pub(super) fn server(&self) -> Option<Server> {
        match &self.address {
            Address::Sqlite(_) => None,
            Address::Postgres { url, connections } => Some(Server::new(url, *connections)),
        }
    }

    fn keys(&self) -> Result<ServiceKeys> {
        Ok(ServiceKeys::load(&self.folder().join("outcome.key"), None, now())?)
    }

    pub(super) fn outcome_certificate(&self) -> Result<Verified<OutcomeCertificate>> {
        Ok(self.keys()?.outcome_certificate().clone())
    }

    /// The service's own store, opened by this process.
    pub(super) fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.address, self.keys()?.outcome_signer())?)
    }

    /// Bytes of the database; of a file with what is still in its log.
    pub(super) fn database_bytes(&self) -> Result<f64> {
        match (&self.address, self.server()) {
            (Address::Sqlite(path), _) => {
                let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
                let bytes: i64 = Connection::open(path)?.query_row(size, [], |row| row.get(0))?;
                Ok(real(u64::try_from(bytes)?))
            }
            (Address::Postgres { .. }, Some(server)) => server.database_bytes(),
            (Address::Postgres { .. }, None) => Err("no server".into()),
        }
    }

    /// Starts the service and waits until it listens.
    pub(super) fn serve(&self) -> Result<Service> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--origin", ORIGIN, "--rp-id", RP_ID, "--data"]);
        command.arg(self.folder()).env("NODPAY_LOG", "warn");
        match &self.address {
            Address::Sqlite(path) => command.arg("--database").arg(format!("sqlite:{}", path.display())),
            Address::Postgres { url, connections } => {
                command.args(["--database", url, "--connections", &connections.to_string()])
            }
        };
        Service::start(command)
    }
}

/// Whom the service's guardians assert to.
pub(super) fn relying_party() -> RelyingParty {
    RelyingParty { rp_id: RP_ID.to_owned(), origins: vec![ORIGIN.to_owned()], demo_keys: false }
}

/// The running service. Killed when dropped.
pub(super) struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    /// Starts a server whose first line ends in the address at which it listens.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let mut service =
            Self { child: command.stdout(Stdio::piped()).spawn()?, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        BufReader::new(service.child.stdout.take().ok_or("no pipe from the service")?).read_line(&mut line)?;
        let address = line.rsplit(' ').next().map(str::trim).ok_or("the service did not start")?;
        service.address = address.parse().map_err(|_| format!("the service did not start: {line}"))?;
        Ok(service)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Without patience: whatever breaks is an error of the run.
    pub(super) fn reach(&self) -> Reach {
        Reach {
            address: self.address,
            origin: ORIGIN.to_owned(),
            answer_within: ANSWER_WITHIN,
            give_up_after: Duration::ZERO,
        }
    }

    /// A counter of the service's `/metrics`; 0 while it has not been counted.
    pub(super) async fn counter(&self, name: &str) -> Result<u64> {
        let request = self.reach().get("/metrics", ("accept", "text/plain"));
        let body = load::Connection::open(self.address).await?.exchange(&request).await?.ok()?;
        let text = String::from_utf8(body)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.map_or(Ok(0), str::parse)?)
    }

    /// Tells the service to end and waits until it has closed its database.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid())?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let started = Instant::now();
        while started.elapsed() < STOP_WITHIN {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the service did not stop".into())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
