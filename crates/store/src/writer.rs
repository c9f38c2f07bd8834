//! The one writer of the database: a thread with a queue and group commit.
//!
//! It takes what is queued (up to [`MAX_BATCH`] requests), runs it in one transaction, commits, and only then answers. Where a
//! request fails after it wrote something, the transaction is undone and all of the batch run again, each in a savepoint of
//! its own (a savepoint copies every page it changes). When the commit fails, all of the batch fail. Subscribers are told
//! after the commit, before the answers. What another process commits (`nodpay admin`) is looked for each [`LOOK_EVERY`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::announce::{Announcements, Told};
use crate::db::Db;
use crate::tx::{Fault, Tx};
use crate::{OutcomeSigner, StoreError, Topic};

/// Requests one commit carries at most.
const MAX_BATCH: usize = 256;
/// Requests that may wait; further callers wait for room.
const MAX_QUEUE: usize = 1_024;
/// How often commits of other processes are looked for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A request that waits for its turn or, once it ran, for the commit.
trait Job: Send {
    /// Runs the request; whether what it wrote is to stay.
    fn run(&mut self, db: &Connection, signer: &OutcomeSigner) -> bool;
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
    fn run(&mut self, db: &Connection, signer: &OutcomeSigner) -> bool {
        let (result, told, keep) = Tx::run(Db::Sqlite(db), signer, &self.request);
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

/// Handle of the writer thread. Dropping it lets the thread finish its queue and waits for it.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub(crate) fn start(
        db: Connection,
        signer: OutcomeSigner,
        announcements: Arc<Announcements>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(MAX_QUEUE);
        let others = Others { version: data_version(&db)?, looked: Instant::now() };
        let time = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let time = time.map_err(|error| StoreError::Database(error.to_string()))?;
        let commits = Arc::new(AtomicU64::new(0));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let commits = Arc::clone(&commits);
                move || run(&db, &signer, (jobs, &time), others, &announcements, &commits)
            })
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), commits })
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
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
        queue.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was answered where it happened.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}

fn run(
    db: &Connection,
    signer: &OutcomeSigner,
    (mut jobs, time): (mpsc::Receiver<Box<dyn Job>>, &tokio::runtime::Runtime),
    mut others: Others,
    announcements: &Announcements,
    commits: &AtomicU64,
) {
    loop {
        let first = time.block_on(async { tokio::time::timeout(LOOK_EVERY, jobs.recv()).await });
        if others.committed(db) {
            announcements.heard(Topic::Everything);
        }
        let first = match first {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(_) => continue,
        };
        let mut batch = vec![first];
        let ran = match run_together(db, signer, &mut jobs, &mut batch) {
            Ok(None) => Ok(()),
            Ok(Some(failed)) => run_apart(db, signer, &mut batch, failed),
            Err(error) => Err(error),
        };
        let committed = ran.and_then(|()| Ok(db.execute_batch("COMMIT")?));
        if committed.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
            let mut told = Told::default();
            batch.iter_mut().for_each(|job| told.append(job.told()));
            announcements.committed(told);
        } else if !db.is_autocommit() {
            // Nothing to do when this fails too: the next BEGIN will say so.
            let _: rusqlite::Result<()> = db.execute_batch("ROLLBACK");
        }
        for job in batch {
            job.answer(committed.clone());
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

/// Runs the batch and what is queued behind it in one transaction. Requests that fail do so before they write, as a rule; one
/// that does not is named, and all is to be undone.
fn run_together(
    db: &Connection,
    signer: &OutcomeSigner,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    batch: &mut Vec<Box<dyn Job>>,
) -> Result<Option<usize>, StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let mut next = 0;
    while let Some(job) = batch.get_mut(next) {
        let before = db.total_changes();
        let keep = job.run(db, signer);
        is_open(db)?;
        if !keep && db.total_changes() != before {
            return Ok(Some(next));
        }
        next += 1;
        if next == batch.len() && batch.len() < MAX_BATCH {
            batch.extend(jobs.try_recv());
        }
    }
    Ok(None)
}

/// Runs the batch again, without the one that failed, each request in a savepoint, so that others that fail are undone alone.
fn run_apart(
    db: &Connection,
    signer: &OutcomeSigner,
    batch: &mut [Box<dyn Job>],
    failed: usize,
) -> Result<(), StoreError> {
    db.execute_batch("ROLLBACK; BEGIN IMMEDIATE")?;
    for (_, job) in batch.iter_mut().enumerate().filter(|(index, _)| *index != failed) {
        db.execute_batch("SAVEPOINT request")?;
        let keep = job.run(db, signer);
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
