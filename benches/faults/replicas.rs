//! Services of one database as processes, each on a port of its own, that die and come back.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nodpay::load::Reach;
use nodpay::parties::Result;
use nodpay_protocol::RelyingParty;
use nodpay_store::Address;

/// What the service is called; its passkeys are made for it, whatever port it listens on.
const ORIGIN: &str = "http://localhost:8080";
const RP_ID: &str = "localhost";
/// An answer or event that takes longer counts as a broken connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A device that hears nothing for this long gives up, and the run fails.
const GIVE_UP_AFTER: Duration = Duration::from_secs(90);
/// Connections of one replica to PostgreSQL.
pub(super) const CONNECTIONS: usize = 8;

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

pub(super) fn relying_party() -> RelyingParty {
    RelyingParty { rp_id: RP_ID.to_owned(), origins: vec![ORIGIN.to_owned()], demo_keys: false }
}

/// How devices reach the service at `address`: patiently.
pub(super) fn reach(address: SocketAddr) -> Reach {
    Reach { address, origin: ORIGIN.to_owned(), answer_within: ANSWER_WITHIN, give_up_after: GIVE_UP_AFTER }
}

/// How each process is told where the database lies; a URL would not show its password.
pub(super) fn database_argument(database: &Address) -> String {
    match database {
        Address::Sqlite(path) => format!("sqlite:{}", path.display()),
        Address::Postgres { url, .. } => url.clone(),
    }
}

/// One service. Killed with this value.
pub(super) struct Replica {
    keys: PathBuf,
    database: String,
    port: u16,
    log: PathBuf,
    process: Option<Child>,
}

impl Replica {
    /// Starts a service with the keys in a folder.
    pub(super) fn start(keys: &Path, database: &Address, name: usize) -> Result<Self> {
        let log = keys.join(format!("replica-{name}.log"));
        let database = database_argument(database);
        let mut replica = Self { keys: keys.to_owned(), database, port: free_port()?, log, process: None };
        replica.come_back()?;
        Ok(replica)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Starts it where it was, and waits until it listens.
    pub(super) fn come_back(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_nodpay"))
            .args(["serve", "--origin", ORIGIN, "--rp-id", RP_ID, "--database", &self.database])
            .args(["--connections", &CONNECTIONS.to_string(), "--listen", &self.address().to_string(), "--data"])
            .arg(&self.keys)
            .env("NODPAY_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        self.process = Some(process);
        match line.contains("serves") {
            true => Ok(()),
            false => Err(format!("a replica did not start: {}", self.last_words()).into()),
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, until it has ended by itself.
    pub(super) fn leave(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        Command::new("kill").arg(process.id().to_string()).status()?;
        let ended = process.wait()?;
        match ended.success() {
            true => Ok(()),
            false => Err(format!("a replica that was told to end: {ended}").into()),
        }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The newest lines of its log.
    fn last_words(&self) -> String {
        self.log().lines().rev().take(3).collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
