//! Throw-away PostgreSQL servers, real ones, for tests and benchmarks.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Debian keeps one version of PostgreSQL beside another.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A server of its own, on a free port of 127.0.0.1; the user `postgres` needs no password. It goes with this value, and
/// with this process however that ends.
#[derive(Debug)]
pub struct Cluster {
    /// Holds the server's standard input open.
    process: Child,
    port: u16,
    folder: PathBuf,
    programs: PathBuf,
}

impl Cluster {
    /// Makes and starts one; `options` are settings of the server, like `fsync=off`.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        let programs = programs().expect("PostgreSQL's server programs are installed");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let script = ["-c", include_str!("cluster.sh"), "cluster"];
        // PostgreSQL does not run as root.
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(script).arg(&programs).arg(port.to_string());
        options.iter().for_each(|option| {
            command.args(["-c", option]);
        });
        let mut process =
            command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let folder = lines.next().expect("the server starts").expect("a path").into();
        Self { process, port, folder, programs }
    }

    /// One for all tests of this process, fast instead of safe.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off", "max_connections=500", "shared_buffers=64MB"]))
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where the server's files lie: `data`, `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty database of a new name and gives its URL.
    ///
    /// # Panics
    /// Where the server refuses.
    #[must_use]
    pub fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nodpay_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Runs SQL as the superuser and gives what `psql` prints, without headers.
    ///
    /// # Panics
    /// Where the server refuses.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// As [`Self::sql`].
    ///
    /// # Errors
    /// What `psql` says.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        let output = psql.args(["--dbname", &self.url(database), "--command", sql]).output();
        let output = output.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The newest version's programs; `None` where there is no server.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok()?.filter_map(|version| {
        let path = version.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        path.join("bin/postgres").exists().then(|| (number, path.join("bin")))
    });
    versions.max().map(|(_, programs)| programs)
}
