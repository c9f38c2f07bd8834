//! The one writer of the database: a thread with a queue and group commit.
//!
//! It takes what is queued (up to [`MAX_BATCH`] requests), runs each in a savepoint of one transaction, commits, and
//! only then answers. A request that fails is rolled back alone; when the commit fails, all of the batch fail. What
//! is told is told after the commit, before the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::announce::{Announcements, Told};
use crate::db::Db;
use crate::tx::{Fault, Tx};
use crate::{OutcomeSigner, StoreError};

/// Requests one commit carries at most.
const MAX_BATCH: usize = 256;
/// Requests that may wait; further callers wait for room.
const MAX_QUEUE: usize = 1_024;

type Job = Box<dyn FnOnce(Result<(&Connection, &OutcomeSigner), StoreError>) -> Attempt + Send>;

/// A request that ran and waits for the commit.
struct Attempt {
    told: Told,
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Handle of the writer thread. Dropping it lets the thread finish its queue and waits for it.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
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
        let commits = Arc::new(AtomicU64::new(0));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let commits = Arc::clone(&commits);
                move || run(&db, &signer, jobs, &announcements, &commits)
            })
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), commits })
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Runs `request` in a transaction; the answer comes after the commit. The request runs also when the caller no
    /// longer waits.
    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (send, answer) = oneshot::channel();
        let job: Job = Box::new(move |work| {
            let (result, told) = match work {
                Ok((db, signer)) => attempt(db, signer, request),
                Err(error) => (Err(error), Told::default()),
            };
            let answer = Box::new(move |committed: Result<(), StoreError>| {
                // The caller may be gone; the transaction stands.
                let _: Result<(), Result<T, StoreError>> = send.send(committed.and(result));
            });
            Attempt { told, answer }
        });
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

fn attempt<T>(
    db: &Connection,
    signer: &OutcomeSigner,
    request: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
) -> (Result<T, StoreError>, Told) {
    let control = |sql| db.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    if let Err(error) = control("SAVEPOINT request") {
        return (Err(error.into()), Told::default());
    }
    let (result, told, keep) = Tx::run(Db::Sqlite(db), signer, request);
    let undone = if keep { Ok(0) } else { control("ROLLBACK TO request") };
    match undone.and_then(|_| control("RELEASE request")) {
        Ok(_) => (result, told),
        Err(error) => {
            // Half a request must not be committed with the others: the whole batch goes, and says so.
            let _: rusqlite::Result<()> = db.execute_batch("ROLLBACK");
            (result.and(Err(error.into())), Told::default())
        }
    }
}

fn run(
    db: &Connection,
    signer: &OutcomeSigner,
    mut jobs: mpsc::Receiver<Job>,
    announcements: &Announcements,
    commits: &AtomicU64,
) {
    while let Some(first) = jobs.blocking_recv() {
        if let Err(error) = db.execute_batch("BEGIN IMMEDIATE") {
            (first(Err(error.into())).answer)(Ok(()));
            continue;
        }
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            batch.push(job(Ok((db, signer))));
            // A full disk, for one, takes the whole transaction away.
            let lost = db.is_autocommit();
            next = if lost || batch.len() >= MAX_BATCH { None } else { jobs.try_recv().ok() };
        }
        let committed = commit(db);
        if committed.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
            let mut told = Told::default();
            batch.iter_mut().for_each(|attempt| told.append(std::mem::take(&mut attempt.told)));
            announcements.committed(told);
        }
        for attempt in batch {
            (attempt.answer)(committed.clone());
        }
    }
}

fn commit(db: &Connection) -> Result<(), StoreError> {
    if db.is_autocommit() {
        return Err(StoreError::Database("the transaction was rolled back".to_owned()));
    }
    db.execute_batch("COMMIT").map_err(|error| {
        // Nothing to do when this fails too: the next BEGIN will say so.
        let _: rusqlite::Result<()> = db.execute_batch("ROLLBACK");
        StoreError::from(error)
    })
}
