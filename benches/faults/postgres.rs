//! PostgreSQL servers that die: killed with all their processes, started again, followed by a standby that is promoted,
//! on a disk that is full.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nodpay::parties::Result;
use nodpay_testkit::postgres::{is_root, programs};

use super::replicas::free_port;

/// Whom servers belong to when we are root: PostgreSQL does not run as root.
const USER: &str = "postgres";
/// A server that was told to start answers within this time.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
pub(super) const DATABASE: &str = "nodpay";

/// A server of its own in `folder`, killed with this value.
pub(super) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// Makes and starts one in an empty folder, with a database.
    pub(super) fn make(folder: &Path, settings: &[&str]) -> Result<Self> {
        let mut server = Self::at(folder, settings)?;
        let data = server.data();
        run(server.program("initdb").arg("-D").arg(&data).args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]))?;
        server.start()?;
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        Ok(server)
    }

    /// A synchronous standby: from then on a commit is on both before it is acknowledged.
    pub(super) fn standby(&self, folder: &Path, settings: &[&str]) -> Result<Self> {
        let mut standby = Self::at(folder, settings)?;
        let (port, data) = (self.port.to_string(), standby.data());
        run(standby
            .program("pg_basebackup")
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-R", "-c", "fast", "-C", "-S", "standby", "-D"])
            .arg(&data))?;
        standby.settings.push("cluster_name=standby".to_owned());
        standby.start()?;
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
        self.sql("postgres", "SELECT pg_reload_conf()")?;
        let started = Instant::now();
        while self.sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")? != "1" {
            wait(started, "the standby to follow")?;
        }
        Ok(standby)
    }

    fn at(folder: &Path, settings: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        if is_root() {
            let id = |kind: &str| -> Result<u32> {
                Ok(String::from_utf8(run(Command::new("id").args([kind, USER]))?.stdout)?.trim().parse()?)
            };
            chown(folder, Some(id("-u")?), Some(id("-g")?))?;
        }
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let programs = programs().ok_or("PostgreSQL's server programs are not installed")?;
        Ok(Self { programs, folder: folder.to_owned(), port: free_port()?, settings, process: None })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of PostgreSQL's programs, as the user it is to belong to. It dies with us.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if is_root() {
            command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
        }
        command.arg("--").arg(self.programs.join(name)).current_dir("/");
        command
    }

    pub(super) const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    pub(super) fn start(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let (data, port) = (self.data(), self.port.to_string());
        let mut command = self.program("postgres");
        command.arg("-D").arg(data).args(["-h", "127.0.0.1", "-p", &port, "-k"]).arg(&self.folder);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        self.process = Some(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        let started = Instant::now();
        while self.sql("postgres", "SELECT 1").is_err() {
            if let Some(ended) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                return Err(format!("PostgreSQL did not start: {ended}: {}", self.last_words()).into());
            }
            wait(started, "PostgreSQL to start")?;
        }
        Ok(())
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn last_words(&self) -> String {
        self.log().lines().rev().take(3).collect::<Vec<_>>().join(" / ")
    }

    /// SIGKILL for the server and every process of it at once.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let all = std::iter::once(process.id()).chain(children(process.id())?);
        // Some may have ended by themselves meanwhile.
        Command::new("kill").arg("-KILL").args(all.map(|pid| pid.to_string())).stderr(Stdio::null()).status()?;
        process.wait()?;
        Ok(())
    }

    /// Whether the server's first process runs still: it ends by itself when it cannot write its log.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(match &mut self.process {
            Some(process) => process.try_wait()?.is_none(),
            None => false,
        })
    }

    pub(super) fn promote(&self) -> Result<()> {
        run(self.program("pg_ctl").arg("promote").arg("-D").arg(self.data())).map(drop)
    }

    /// What `psql` prints.
    pub(super) fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let port = self.port.to_string();
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-d", database]);
        Ok(String::from_utf8(run(psql.args(["-c", sql]))?.stdout)?.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A small disk of its own, which can be full.
pub(super) struct Volume {
    folder: PathBuf,
}

impl Volume {
    /// Mounts one of this many megabytes at a new folder; as root, or with sudo.
    pub(super) fn mount(folder: &Path, megabytes: u32) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let size = format!("size={megabytes}m,mode=0755");
        run(root("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn balloon(&self) -> PathBuf {
        self.folder.join("balloon")
    }

    /// Takes all the space that is left.
    pub(super) fn fill(&self) -> Result<()> {
        // It ends when nothing more fits.
        let mut dd = root("dd");
        dd.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", self.balloon().display())).stderr(Stdio::null());
        dd.status()?;
        Ok(())
    }

    /// Gives the space back.
    pub(super) fn empty(&self) -> Result<()> {
        run(root("rm").arg(self.balloon())).map(drop)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = run(root("umount").arg("--lazy").arg(&self.folder));
    }
}

fn root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// Processes that `parent` started.
fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // `pid (name) state parent …`; the name may hold anything.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        if rest.split(' ').nth(1) == Some(&parent.to_string()) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn wait(started: Instant, what: &str) -> Result<()> {
    if started.elapsed() > PATIENCE {
        return Err(format!("waited too long for {what}").into());
    }
    std::thread::sleep(LOOK_AGAIN);
    Ok(())
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
