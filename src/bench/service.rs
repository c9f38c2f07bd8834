//! The service under load: `nodpay serve` as a process of its own, over a database in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodpay::load::{Connection, Reach};
use nodpay::parties::{Result, now};
use nodpay_core::OutcomeCertificate;
use nodpay_protocol::{RelyingParty, SoftwareKey, Verified};
use nodpay_service::{ServiceKeys, init_keys, load_root_key};
use nodpay_store::Store;

/// What the service is called; its passkeys are made for it, whatever port it listens on.
const ORIGIN: &str = "http://localhost:8080";
const RP_ID: &str = "localhost";
/// An answer or event that takes longer is an error of the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The service ends within this after it was told to.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// A folder with the service's keys and database, before, while and after the service runs on them.
pub(super) struct Site {
    folder: tempfile::TempDir,
    root: Arc<SoftwareKey>,
}

impl Site {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nodpay-bench-").tempdir()?;
        let files = init_keys(folder.path(), now())?;
        Ok(Self { root: Arc::new(load_root_key(&files.root_key)?), folder })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) const fn root(&self) -> &Arc<SoftwareKey> {
        &self.root
    }

    fn keys(&self) -> Result<ServiceKeys> {
        Ok(ServiceKeys::load(&self.folder().join("outcome.key"), None, now())?)
    }

    pub(super) fn outcome_certificate(&self) -> Result<Verified<OutcomeCertificate>> {
        Ok(self.keys()?.outcome_certificate().clone())
    }

    /// The service's own store, opened by this process.
    pub(super) fn store(&self) -> Result<Store> {
        Ok(Store::open_sqlite(&self.database(), self.keys()?.outcome_signer())?)
    }

    fn database(&self) -> PathBuf {
        self.folder().join("nodpay.sqlite")
    }

    /// Bytes of the database. Whoever had it open must have closed it: that writes the log back into the file.
    pub(super) fn database_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.database())?.len())
    }

    /// Starts the service and waits until it listens.
    pub(super) fn serve(&self) -> Result<Service> {
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--origin", ORIGIN, "--rp-id", RP_ID, "--data"])
            .arg(self.folder())
            .env("NODPAY_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut service = Service { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        BufReader::new(service.child.stdout.take().ok_or("no pipe from the service")?).read_line(&mut line)?;
        let address = line.rsplit(' ').next().map(str::trim).ok_or("the service did not start")?;
        service.address = address.parse().map_err(|_| format!("the service did not start: {line}"))?;
        Ok(service)
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
        let body = Connection::open(self.address).await?.exchange(&request).await?.ok()?;
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
