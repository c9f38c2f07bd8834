//! The one writer of the database: a thread with a queue and group commit.
//!
//! It takes what is queued (up to [`MAX_BATCH`] requests), runs each in a savepoint of one transaction, commits, and
//! only then answers. A request that fails is rolled back alone; when the commit fails, all of the batch fail. Topics
//! are sent after the commit, before the answers.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{OutcomeSigner, StoreError, Topic};

/// Requests one commit carries at most.
const MAX_BATCH: usize = 256;
/// Requests that may wait; further callers wait for room.
const MAX_QUEUE: usize = 1_024;

/// What a writing request works with.
pub(crate) struct Tx<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) signer: &'a OutcomeSigner,
    topics: BTreeSet<Topic>,
}

impl Tx<'_> {
    /// Tells subscribers after the commit.
    pub(crate) fn touch(&mut self, topic: Topic) {
        self.topics.insert(topic);
    }

    /// Runs a part that may fail without taking the rest with it.
    pub(crate) fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.db.prepare_cached("SAVEPOINT part")?.execute([])?;
        let result = part(self);
        let keep = match &result {
            Ok(_) => true,
            Err(fault) => fault.keep,
        };
        if !keep {
            self.db.prepare_cached("ROLLBACK TO part")?.execute([])?;
        }
        self.db.prepare_cached("RELEASE part")?.execute([])?;
        result
    }
}

/// An error, and whether what was written before it stays.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: StoreError,
    pub(crate) keep: bool,
}

impl Fault {
    /// The transaction did something else than it was asked for.
    pub(crate) const fn kept(error: StoreError) -> Self {
        Self { error, keep: true }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self { error, keep: false }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

type Job = Box<dyn FnOnce(Result<(&Connection, &OutcomeSigner), StoreError>) -> Attempt + Send>;

/// A request that ran and waits for the commit.
struct Attempt {
    topics: BTreeSet<Topic>,
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Handle of the writer thread. Dropping it lets the thread finish its queue and waits for it.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    /// Transactions that were committed.
    commits: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        db: Connection,
        signer: OutcomeSigner,
        topics: broadcast::Sender<Topic>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(MAX_QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&db, &signer, jobs, &topics, &counter))
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self { queue: Some(queue), commits, thread: Some(thread) })
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
            let (result, topics) = match work {
                Ok((db, signer)) => attempt(db, signer, request),
                Err(error) => (Err(error), BTreeSet::new()),
            };
            let answer = Box::new(move |committed: Result<(), StoreError>| {
                // The caller may be gone; the transaction stands.
                let _: Result<(), Result<T, StoreError>> = send.send(committed.and(result));
            });
            Attempt { topics, answer }
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
) -> (Result<T, StoreError>, BTreeSet<Topic>) {
    let mut tx = Tx { db, signer, topics: BTreeSet::new() };
    let ran = catch_unwind(AssertUnwindSafe(|| {
        db.prepare_cached("SAVEPOINT request")?.execute([])?;
        request(&mut tx)
    }));
    let result = ran.unwrap_or_else(|_| Err(StoreError::incident("transaction", "-", "the code panicked").into()));
    let keep = match &result {
        Ok(_) => true,
        Err(fault) => fault.keep,
    };
    let undone =
        if keep { Ok(0) } else { db.prepare_cached("ROLLBACK TO request").and_then(|mut sql| sql.execute([])) };
    let closed = undone.and_then(|_| db.prepare_cached("RELEASE request")?.execute([]));
    if closed.is_err() {
        // Half a request must not be committed with the others: the whole batch goes, and says so.
        let _: rusqlite::Result<()> = db.execute_batch("ROLLBACK");
    }
    match (result, closed) {
        (Err(fault), _) => (Err(fault.error), if keep { tx.topics } else { BTreeSet::new() }),
        (Ok(_), Err(error)) => (Err(error.into()), BTreeSet::new()),
        (Ok(value), Ok(_)) => (Ok(value), tx.topics),
    }
}

fn run(
    db: &Connection,
    signer: &OutcomeSigner,
    mut jobs: mpsc::Receiver<Job>,
    topics: &broadcast::Sender<Topic>,
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
            let told: BTreeSet<Topic> = batch.iter().flat_map(|attempt| &attempt.topics).copied().collect();
            for topic in told {
                // Nobody may be listening.
                let _: Result<usize, broadcast::error::SendError<Topic>> = topics.send(topic);
            }
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
