//! The PostgreSQL server behind the service: its own counters, and `pgbench` on it as the peer.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nodpay::parties::Result;

/// Where Debian keeps one version of PostgreSQL beside another.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The database that `pgbench` works on, made and dropped each time.
const PGBENCH: &str = "nodpay_pgbench";

/// A server, by the URL of one of its databases.
pub(super) struct Server {
    url: String,
    connections: usize,
}

impl Server {
    pub(super) fn new(url: &str, connections: usize) -> Self {
        Self { url: url.to_owned(), connections }
    }

    pub(super) fn database_bytes(&self) -> Result<f64> {
        Ok(self.ask("SELECT pg_database_size(current_database())")?.parse()?)
    }

    /// Bytes ever written to the server's log.
    pub(super) fn wal_bytes(&self) -> Result<f64> {
        Ok(self.ask("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")?.parse()?)
    }

    /// Transactions a second of `pgbench`'s TPC-B over as many connections as the service has, scaled to them.
    pub(super) fn pgbench(&self, length: Duration) -> Result<f64> {
        self.ask(&format!("DROP DATABASE IF EXISTS {PGBENCH}"))?;
        self.ask(&format!("CREATE DATABASE {PGBENCH}"))?;
        let connections = self.connections.to_string();
        let seconds = length.as_secs().max(1).to_string();
        let url = self.of_database(PGBENCH)?;
        let made = run(Command::new(program("pgbench")).args(["-i", "-q", "-s", &connections, &url]));
        let measured = made.and_then(|_| {
            run(Command::new(program("pgbench")).args(["-c", &connections, "-j", "2", "-T", &seconds, &url]))
        });
        self.ask(&format!("DROP DATABASE {PGBENCH}"))?;
        let measured = measured?;
        let tps = measured.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        Ok(tps.ok_or("pgbench gave no tps")?.parse()?)
    }

    fn ask(&self, sql: &str) -> Result<String> {
        let said = run(Command::new(program("psql")).args(["--no-psqlrc", "-qtA", "-c", sql, &self.url]))?;
        Ok(said.trim().to_owned())
    }

    /// The URL of another database of the same server.
    fn of_database(&self, name: &str) -> Result<String> {
        let (server, parameters) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (server, _) = server.rsplit_once('/').ok_or("the URL names no database")?;
        let parameters = if parameters.is_empty() { String::new() } else { format!("?{parameters}") };
        Ok(format!("{server}/{name}{parameters}"))
    }
}

/// One of PostgreSQL's own programs: from the newest version Debian has, else whatever the path finds.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let path = version.path().join("bin").join(name);
        path.exists().then_some((number, path))
    });
    newest.max().map_or_else(|| name.into(), |(_, path)| path)
}

fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
    }
}
