//! The one writer of the database: a thread with a queue and group commit, and a thread that waits for the disk.
//!
//! The writer takes what is queued (up to [`MAX_BATCH`] requests), runs it in one transaction and commits. The other thread
//! brings the write-ahead log to the disk, tells subscribers, and only then answers; meanwhile the writer runs the next
//! requests, in a transaction that it commits when the disk is free again. Where a request fails after it wrote something, the
//! transaction is undone and all of the batch run again, each in a savepoint of its own (a savepoint copies every page it
//! changes). When the commit fails, all of the batch fail. When the disk fails, nobody knows what it holds: the batch fail, and no
//! further request is taken.
//!
//! So a reader may see a commit some milliseconds before it is on the disk; [`Writer::settled`] waits that long. What another
//! process commits (`nodpay admin`) is looked for each [`LOOK_EVERY`].

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::announce::{Announcements, Told};
use crate::db::Db;
use crate::tx::{Fault, Means, Tx};
use crate::{OutcomeSigner, StoreError, Topic};

/// Requests one commit carries at most.
const MAX_BATCH: usize = 256;
/// Requests that may wait; further callers wait for room.
const MAX_QUEUE: usize = 1_024;
/// How often the file is asked whether another process wrote to it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A request that waits for its turn or, once it ran, for the commit.
trait Job: Send {
    /// Runs the request; whether what it wrote is to stay.
    fn run(&mut self, db: &Connection, means: Means<'_>) -> bool;
    /// What subscribers are told after the commit.
    fn told(&mut self) -> Told;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Request<T, F> {
    request: F,
    result: Option<Result<T, StoreError>>,
    told: Told,
    send: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send,
{
    fn run(&mut self, db: &Connection, means: Means<'_>) -> bool {
        let (result, told, keep) = Tx::run(Db::Sqlite(db), means, &self.request);
        self.result = Some(result);
        self.told = told;
        keep
    }

    fn told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, send, .. } = *self;
        // The caller may be gone; the transaction stands.
        let _: Result<(), Result<T, StoreError>> =
            send.send(committed.and_then(|()| result.unwrap_or(Err(StoreError::Stopped))));
    }
}

/// What the writer waits for.
enum Wake {
    Job(Box<dyn Job>),
    /// The disk is free again, or has failed; or it is time to look for what other processes write.
    Disk,
}

/// A batch whose transaction has ended.
struct Ended {
    batch: Vec<Box<dyn Job>>,
    committed: Result<(), StoreError>,
}

/// Brings what is committed to the disk.
pub(crate) type Sync = Box<dyn FnMut() -> io::Result<()> + Send>;

/// Syncs the write-ahead log of the database at `path`, which is there from the first commit on. SQLite itself syncs it (and the
/// file) where a checkpoint needs that, with `PRAGMA synchronous = NORMAL`.
pub(crate) fn sync_of(path: &Path) -> Sync {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut open = None;
    Box::new(move || {
        let file = match open.take() {
            Some(file) => file,
            None => match File::open(&log) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // nothing was ever written
                opened => opened?,
            },
        };
        file.sync_data()?;
        open = Some(file);
        Ok(())
    })
}

/// Handle of the two threads. Dropping it lets them finish the queue and waits for them.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Wake>>,
    threads: [Option<JoinHandle<()>>; 2],
    /// Transactions that were begun to be committed.
    commits: Arc<AtomicU64>,
    /// Of those, how many have ended: on the disk, or failed.
    ended: watch::Receiver<u64>,
}

impl Writer {
    pub(crate) fn start(
        db: Connection,
        signer: OutcomeSigner,
        announcements: Arc<Announcements>,
        sync: Sync,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(MAX_QUEUE);
        let (hand_over, handed_over) = std::sync::mpsc::channel();
        let (settle, ended) = watch::channel(0);
        let commits = Arc::new(AtomicU64::new(0));
        let others = Others { version: data_version(&db)?, looked: Instant::now() };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let disk = thread("store-disk").spawn({
            let (writer, announcements) = (queue.downgrade(), Arc::clone(&announcements));
            move || bring_to_disk(&handed_over, sync, settle, &writer, &announcements)
        });
        let writer = thread("store-writer").spawn({
            let pace = Pace { commits: Arc::clone(&commits), ended: ended.clone() };
            move || run(&db, Means { signer: &signer, known: &announcements }, jobs, &pace, others, &hand_over)
        });
        let started = |thread: io::Result<_>| thread.map(Some).map_err(|error| StoreError::Database(error.to_string()));
        Ok(Self { queue: Some(queue), threads: [started(writer)?, started(disk)?], commits, ended })
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Waits until all that a reader may have seen is on the disk.
    pub(crate) async fn settled(&self) -> Result<(), StoreError> {
        let seen = self.commits();
        self.ended.clone().wait_for(|ended| *ended >= seen).await.map(drop).map_err(|_| StoreError::Stopped)
    }

    /// Runs `request` in a transaction, once or more often; the answer comes after the commit. The request runs also when the
    /// caller no longer waits.
    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (send, answer) = oneshot::channel();
        let job = Box::new(Request { request, result: None, told: Told::default(), send });
        let queue = self.queue.as_ref().ok_or(StoreError::Stopped)?;
        queue.send(Wake::Job(job)).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            // A panic there was answered where it happened.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}

/// Whether the disk is still busy with an earlier commit.
struct Pace {
    commits: Arc<AtomicU64>,
    ended: watch::Receiver<u64>,
}

impl Pace {
    /// Counted before readers can see it.
    fn begin_commit(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    /// A disk that has failed is not.
    fn disk_is_busy(&self) -> bool {
        self.ended.has_changed().is_ok() && *self.ended.borrow() < self.commits.load(Ordering::Acquire)
    }

    /// The next request: one that is queued, or comes before the disk is free.
    fn next(&self, jobs: &mut mpsc::Receiver<Wake>) -> Option<Box<dyn Job>> {
        loop {
            let wake = match jobs.try_recv() {
                Ok(wake) => wake,
                Err(_) if self.disk_is_busy() => jobs.blocking_recv()?,
                Err(_) => return None,
            };
            if let Wake::Job(job) = wake {
                return Some(job);
            }
        }
    }
}

fn run(
    db: &Connection,
    means: Means<'_>,
    mut jobs: mpsc::Receiver<Wake>,
    pace: &Pace,
    mut others: Others,
    disk: &std::sync::mpsc::Sender<Ended>,
) {
    while let Some(wake) = jobs.blocking_recv() {
        if others.committed(db) {
            means.known.heard(Topic::Everything);
        }
        let Wake::Job(first) = wake else { continue };
        let mut batch = vec![first];
        let ran = match run_together(db, means, &mut jobs, &mut batch, pace) {
            Ok(None) => Ok(()),
            Ok(Some(failed)) => run_apart(db, means, &mut batch, failed),
            Err(error) => Err(error),
        };
        pace.begin_commit();
        let committed = ran.and_then(|()| Ok(db.execute_batch("COMMIT")?));
        if committed.is_err() && !db.is_autocommit() {
            // Nothing to do when this fails too: the next BEGIN will say so.
            let _: rusqlite::Result<()> = db.execute_batch("ROLLBACK");
        }
        if disk.send(Ended { batch, committed }).is_err() {
            return; // the disk failed
        }
    }
}

/// What other connections write; in this process none does.
struct Others {
    version: i64,
    looked: Instant,
}

impl Others {
    /// Whether one did since the last look; not more often than each [`LOOK_EVERY`].
    fn committed(&mut self, db: &Connection) -> bool {
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        // A file that cannot be read says so to whoever writes next.
        let version = data_version(db).unwrap_or(self.version);
        std::mem::replace(&mut self.version, version) != version
    }
}

/// Changes when another connection commits, and stays when this one does.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Ends with the writer, or when the disk fails.
fn bring_to_disk(
    batches: &std::sync::mpsc::Receiver<Ended>,
    mut sync: Sync,
    settle: watch::Sender<u64>,
    writer: &mpsc::WeakSender<Wake>,
    announcements: &Announcements,
) {
    loop {
        let first = match batches.recv_timeout(LOOK_EVERY) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                wake(writer);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let ended: Vec<Ended> = std::iter::once(first).chain(batches.try_iter()).collect();
        let synced = match ended.iter().any(|one| one.committed.is_ok()) {
            true => sync().map_err(|error| StoreError::Database(format!("the disk failed: {error}"))),
            false => Ok(()),
        };
        if synced.is_ok() {
            settle.send_modify(|count| *count += u64::try_from(ended.len()).unwrap_or_default());
            wake(writer);
        }
        for Ended { mut batch, committed } in ended {
            let committed = committed.and(synced.clone());
            if committed.is_ok() {
                let mut told = Told::default();
                batch.iter_mut().for_each(|job| told.append(job.told()));
                announcements.committed(told);
            }
            for job in batch {
                job.answer(committed.clone());
            }
        }
        if synced.is_err() {
            drop(settle);
            return wake(writer);
        }
    }
}

fn wake(writer: &mpsc::WeakSender<Wake>) {
    if let Some(writer) = writer.upgrade() {
        // Where the queue is full, the writer does not wait.
        let _: Result<(), mpsc::error::TrySendError<Wake>> = writer.try_send(Wake::Disk);
    }
}

/// Runs the batch and what is queued behind it in one transaction. Requests that fail do so before they write, as a rule; one
/// that does not is named, and all is to be undone.
fn run_together(
    db: &Connection,
    means: Means<'_>,
    jobs: &mut mpsc::Receiver<Wake>,
    batch: &mut Vec<Box<dyn Job>>,
    pace: &Pace,
) -> Result<Option<usize>, StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let mut next = 0;
    while let Some(job) = batch.get_mut(next) {
        let before = db.total_changes();
        let keep = job.run(db, means);
        is_open(db)?;
        if !keep && db.total_changes() != before {
            return Ok(Some(next));
        }
        next += 1;
        if next == batch.len() && batch.len() < MAX_BATCH {
            batch.extend(pace.next(jobs));
        }
    }
    Ok(None)
}

/// Runs the batch again, without the one that failed, each request in a savepoint, so that others that fail are undone alone.
fn run_apart(db: &Connection, means: Means<'_>, batch: &mut [Box<dyn Job>], failed: usize) -> Result<(), StoreError> {
    db.execute_batch("ROLLBACK; BEGIN IMMEDIATE")?;
    for (_, job) in batch.iter_mut().enumerate().filter(|(index, _)| *index != failed) {
        db.execute_batch("SAVEPOINT request")?;
        let keep = job.run(db, means);
        is_open(db)?;
        if !keep {
            db.execute_batch("ROLLBACK TO request")?;
        }
        db.execute_batch("RELEASE request")?;
    }
    Ok(())
}

/// A full disk, for one, takes the whole transaction away.
fn is_open(db: &Connection) -> Result<(), StoreError> {
    match db.is_autocommit() {
        true => Err(StoreError::Database("the transaction was rolled back".to_owned())),
        false => Ok(()),
    }
}
