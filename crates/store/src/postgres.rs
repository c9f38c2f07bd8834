//! PostgreSQL: a pool of threads, each with its own connection, and one more for announcements between replicas.
//!
//! A request is one transaction (READ COMMITTED). Whoever writes a household's rows has locked the household's row first
//! (`Books::load`), so a household's transactions follow one another on all replicas; where rows belong to no household,
//! constraints and conditions in the statements decide. A transaction that another one got in the way of, or whose
//! connection broke, is run again from its start: every request may be repeated, also one that was committed unseen.
//!
//! Orders, decisions and payments of different households share transactions: their reads go to the server at once, then
//! their writes with the commit, equal ones as one statement ([`batch`]), so that each costs its rows and little more.
//!
//! Topics go to the other replicas by NOTIFY, after the commit and many at once, since a NOTIFY inside of it would let
//! commits wait for each other.

use std::cell::{Cell, RefCell};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error as _;
use std::fmt::Display;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use nodpay_core::{HouseholdId, MerchantId};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, Row, Statement};

mod batch;

use crate::announce::{Announcements, Told};
use crate::db::{Db, Question, Questions, Raw, Value};
use crate::postgres_tls::{self, Server};
use crate::tx::{Fault, Means, Tx};
use crate::{Migrated, OutcomeSigner, StoreError, TOPIC_BUFFER, Topic};

/// One step a version, in order; the table `nodpay` counts those done. Never change a released one.
const MIGRATIONS: [&str; 2] = [include_str!("postgres.sql"), include_str!("postgres_households.sql")];
/// Names the lock that one migrating program holds: "nodp".
const MIGRATION_LOCK: i64 = 0x6e6f_6470;
/// Requests that may wait; further callers wait for room.
const MAX_QUEUE: usize = 1_024;
/// Announcements that may wait to be sent.
const MAX_ANNOUNCEMENTS: usize = 65_536;
/// Topics one NOTIFY carries: its payload is shorter than 8,000 bytes.
const NOTIFY_TOPICS: usize = 300;
const CHANNEL: &str = "nodpay";
/// How long a request is tried again while the database cannot be reached; its caller waits no longer either.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is tried again after another one got in its way.
const MAX_CONFLICTS: u32 = 20;
/// An answer of the database comes within this time, or the connection counts as broken.
const ANSWER_TIME: Duration = Duration::from_secs(8);
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// Requests that share a transaction at most.
const MAX_SHARES: usize = 64;
/// Of this many connections one runs shared transactions: few of them with many requests each cost least. On two processors one
/// did a quarter more orders a second than two.
const SHARING_PART: usize = 16;
/// Between two tries to connect.
const RECONNECT: Duration = Duration::from_millis(50);
/// What a connection asks of its server: statements and locks end before we give them up, and a transaction we can no
/// longer reach ends too, so that it holds no locks. Statements are planned once: they all go by a key.
const SESSION: &str = "SET statement_timeout = '7s'; SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '7s'; SET default_transaction_isolation = 'read committed';
    SET plan_cache_mode = force_generic_plan";
/// More for connections that run shared transactions: statements over arrays find each row by its index, however small
/// the tables were when they were planned. A row that is looked at without need costs more than any plan without it.
const SHARING_SESSION: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET cpu_tuple_cost = 100; SET jit = off";
/// A commit is on the disk before its answer, whatever the server's default; a stronger one stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";
const VIEW: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Numbers taken at once for tables in which their order says nothing.
const NUMBER_BLOCK: i64 = 1_000;

pub(crate) struct Postgres {
    /// The usual requests, each a transaction of its own.
    jobs: Option<mpsc::Sender<Job>>,
    /// Requests of households that may share transactions.
    shares: Option<mpsc::Sender<Share>>,
    threads: Vec<JoinHandle<()>>,
    announcements: Arc<Announcements>,
    commits: Arc<AtomicU64>,
    migrated: Migrated,
}

type Job = Box<dyn FnOnce(&Link) + Send>;

/// A request of one household that can share a transaction with those of other households.
struct Share {
    household: HouseholdId,
    work: Box<dyn Work + Send>,
}

trait Work {
    /// Notes down what it will read.
    fn ask(&self, link: &Link, questions: &Questions);
    /// Runs within the transaction that others share; whether what it wrote is to stay.
    fn run(&mut self, link: &Link) -> bool;
    /// Answers after the commit.
    fn answer(self: Box<Self>, link: &Link);
    /// Runs and answers on its own.
    fn alone(self: Box<Self>, link: &Link);
    /// Nobody waits for it any more.
    fn is_dropped(&self) -> bool;
}

struct Request<T, F> {
    request: F,
    result: Option<(Result<T, StoreError>, Told)>,
    send: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Request<T, F>
where
    F: Fn(&mut Tx<'_>) -> Result<T, Fault>,
{
    fn ask(&self, link: &Link, questions: &Questions) {
        // It finds nothing, and says so.
        let _ = Tx::run(Db::Asking(questions), link.means(), &self.request);
    }

    fn run(&mut self, link: &Link) -> bool {
        let (result, told, keep) = Tx::run(Db::Postgres(link), link.means(), &self.request);
        self.result = Some((result, told));
        keep
    }

    fn answer(self: Box<Self>, link: &Link) {
        if let Some((result, told)) = self.result {
            link.announce(told);
            // The caller may be gone; the transaction stands.
            let _: Result<(), Result<T, StoreError>> = self.send.send(result);
        }
    }

    fn alone(self: Box<Self>, link: &Link) {
        let result = link.persist(|| link.transact(&self.request));
        let _: Result<(), Result<T, StoreError>> = self.send.send(result);
    }

    fn is_dropped(&self) -> bool {
        self.send.is_closed()
    }
}

impl Postgres {
    pub(crate) fn open(url: &str, connections: usize, signer: OutcomeSigner) -> Result<Self, StoreError> {
        let mut config = Server::from_url(url)?;
        config
            .config()
            .application_name("nodpay")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_TIME)
            .tcp_user_timeout(ANSWER_TIME)
            .keepalives_idle(ANSWER_TIME);
        let announcements = Arc::new(Announcements::new());
        let (announce, announced) = mpsc::channel(MAX_ANNOUNCEMENTS);
        let commits = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared {
            config,
            signer,
            announcements: Arc::clone(&announcements),
            announce,
            commits: Arc::clone(&commits),
        });
        // A thread of its own: the caller's may belong to a runtime, in which nobody may wait for another one.
        let link = Link::new(Arc::clone(&shared), "")?;
        let migrated = std::thread::spawn(move || migrate(&link)).join();
        let migrated = migrated.map_err(|_| StoreError::incident("migrations", "-", "the code panicked"))??;
        let (jobs, queue) = mpsc::channel::<Job>(MAX_QUEUE);
        let (shares, share_queue) = mpsc::channel::<Share>(MAX_QUEUE);
        let (queue, share_queue) = (Arc::new(Mutex::new(queue)), Arc::new(Mutex::new(share_queue)));
        let mut threads = Vec::new();
        let sharing = (connections / SHARING_PART).max(1);
        for index in 0..connections.max(sharing + 1) {
            let session = if index < sharing { SHARING_SESSION } else { "" };
            let link = Link::new(Arc::clone(&shared), session)?;
            let (queue, share_queue) = (Arc::clone(&queue), Arc::clone(&share_queue));
            threads.push(match index < sharing {
                true => spawn("store-shares", move || share(&link, &share_queue))?,
                false => spawn("store", move || work(&link, &queue))?,
            });
        }
        let runtime = runtime()?;
        // It ends when the last worker, which holds the other end of its queue, has ended.
        let (config, heard) = (shared.config.clone(), Arc::clone(&announcements));
        threads.push(spawn("store-events", move || runtime.block_on(pass_on(&config, announced, &heard)))?);
        Ok(Self { jobs: Some(jobs), shares: Some(shares), threads, announcements, commits, migrated })
    }

    pub(crate) fn announcements(&self) -> &Announcements {
        &self.announcements
    }

    pub(crate) const fn migrated(&self) -> Migrated {
        self.migrated
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.ask(move |link| link.persist(|| link.transact(&request))).await
    }

    pub(crate) async fn write_of<T, F>(&self, household: HouseholdId, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (send, answer) = oneshot::channel();
        let work = Box::new(Request { request, result: None, send });
        let shares = self.shares.as_ref().ok_or(StoreError::Stopped)?;
        shares.send(Share { household, work }).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Each statement sees what is committed by then.
    pub(crate) async fn read<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.ask(move |link| link.persist(|| request(Db::Postgres(link)))).await
    }

    /// All statements see the same.
    pub(crate) async fn view<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.ask(move |link| link.persist(|| link.view(&request))).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&Link) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, answer) = oneshot::channel();
        let job: Job = Box::new(move |link| {
            // Whoever asked may have given up while the database was away.
            if !send.is_closed() {
                let _: Result<(), Result<T, StoreError>> = send.send(request(link));
            }
        });
        self.jobs.as_ref().ok_or(StoreError::Stopped)?.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.jobs.take());
        drop(self.shares.take());
        for thread in self.threads.drain(..) {
            // A panic there was answered where it happened.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map_err(|error| StoreError::Database(error.to_string()))
}

fn runtime() -> Result<Runtime, StoreError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|error| StoreError::Database(error.to_string()))
}

fn work(link: &Link, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match next {
            Some(job) => job(link),
            None => return,
        }
    }
}

/// Takes what is queued, lets requests of different households share one transaction, and runs a household's further
/// requests in the next one. Where that transaction fails each request runs on its own.
fn share(link: &Link, queue: &Mutex<mpsc::Receiver<Share>>) {
    let mut later = Vec::new();
    loop {
        let mut batch: BTreeMap<HouseholdId, Box<dyn Work + Send>> = BTreeMap::new();
        let mut take = |share: Share| match batch.entry(share.household) {
            Entry::Vacant(free) => {
                free.insert(share.work);
                None
            }
            Entry::Occupied(_) => Some(share),
        };
        let mut next: Vec<Share> = std::mem::take(&mut later);
        // With work left over nobody waits for more; another thread may be waiting for it just now.
        let waiting = match next.is_empty() {
            true => Some(queue.lock().unwrap_or_else(PoisonError::into_inner)),
            false => queue.try_lock().ok(),
        };
        if let Some(mut queue) = waiting {
            if next.is_empty() {
                match queue.blocking_recv() {
                    Some(share) => next.push(share),
                    None => return,
                }
            }
            while next.len() < MAX_SHARES
                && let Ok(share) = queue.try_recv()
            {
                next.push(share);
            }
        }
        later.extend(next.into_iter().filter(|share| !share.work.is_dropped()).filter_map(&mut take));
        let mut batch: Vec<_> = batch.into_values().collect();
        if batch.len() > 1 && link.transact_together(&mut batch) {
            batch.into_iter().for_each(|work| work.answer(link));
        } else {
            batch.into_iter().for_each(|work| work.alone(link));
        }
    }
}

fn migrate(link: &Link) -> Result<Migrated, StoreError> {
    link.persist(|| {
        link.begin("BEGIN");
        let missing = link.missing_migrations();
        let done = missing.and_then(|missing| {
            let count = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
            missing.iter().try_for_each(|migration| link.control(migration))?;
            link.execute("UPDATE nodpay SET version = ?1", &[Value::Int(count)])?;
            link.commit()?;
            Ok(Migrated { from: MIGRATIONS.len() - missing.len(), to: MIGRATIONS.len() })
        });
        if done.is_err() {
            link.roll_back();
        }
        done
    })
}

struct Shared {
    config: Server,
    signer: OutcomeSigner,
    announcements: Arc<Announcements>,
    announce: mpsc::Sender<Announcement>,
    commits: Arc<AtomicU64>,
}

enum Announcement {
    /// For all replicas.
    Topic(Topic),
    /// For our own subscribers, a moment later: rows of transactions that still run were passed over.
    Again(Topic),
}

/// A connection and the transaction on it.
pub(crate) struct Link {
    runtime: Runtime,
    shared: Arc<Shared>,
    /// What this connection asks of the server beside [`SESSION`].
    session: &'static str,
    client: RefCell<Option<Client>>,
    statements: RefCell<HashMap<(&'static str, Form), Statement>>,
    numbers: RefCell<HashMap<&'static str, Range<i64>>>,
    /// Answers the transaction will read.
    ahead: RefCell<Vec<Answer>>,
    /// Which of the requests that share the transaction runs.
    request: Cell<usize>,
    /// Statements to send before the next read or the commit.
    noted: RefCell<Vec<Noted>>,
    /// Something was sent since this was last set to false, so that it cannot be forgotten.
    sent: Cell<bool>,
    transaction: Cell<Transaction>,
    /// A statement failed: the server takes nothing more of this transaction.
    aborted: Cell<bool>,
    /// What went wrong, where trying again may help.
    trouble: Cell<Option<Trouble>>,
}

type Answer = (Question, Vec<Row>);

struct Noted {
    request: usize,
    table: &'static str,
    key: String,
    statement: Question,
}

/// How a statement is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// As it stands.
    Plain,
    /// It fails where it changes no row.
    ChangesOne,
    /// Reads for arrays of parameters.
    Reads,
    /// Writes arrays of parameters; it fails where it changes fewer rows than they name.
    Writes,
}

/// What a statement's placeholders are given.
enum Bound<'a> {
    One(&'a [Value<'static>]),
    /// A column of values for each placeholder.
    Columns(Vec<Vec<&'a Value<'static>>>),
    /// Nothing, so many times.
    Times(Value<'static>),
}

impl<'a> Bound<'a> {
    fn new(rows: &[&'a Question]) -> Self {
        match rows {
            [one] => Self::One(&one.params),
            [first, ..] if !first.params.is_empty() => {
                let column = |index| rows.iter().filter_map(|row| row.params.get(index)).collect();
                Self::Columns((0..first.params.len()).map(column).collect())
            }
            _ => Self::Times(Value::Int(i64::try_from(rows.len()).unwrap_or(i64::MAX))),
        }
    }

    fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        match self {
            Self::One(values) => as_sql(values),
            Self::Columns(columns) => columns.iter().map(|column| -> &(dyn ToSql + Sync) { column }).collect(),
            Self::Times(times) => vec![times],
        }
    }
}

#[derive(Clone, Copy)]
enum Transaction {
    None,
    /// Begins with its first statement.
    Due(&'static str),
    Begun,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Another transaction got in the way.
    Conflict,
    /// The connection broke, or the server cannot write now.
    Lost,
}

impl Link {
    fn new(shared: Arc<Shared>, session: &'static str) -> Result<Self, StoreError> {
        Ok(Self {
            runtime: runtime()?,
            shared,
            session,
            client: RefCell::new(None),
            statements: RefCell::new(HashMap::new()),
            numbers: RefCell::new(HashMap::new()),
            ahead: RefCell::new(Vec::new()),
            request: Cell::new(0),
            noted: RefCell::new(Vec::new()),
            sent: Cell::new(false),
            transaction: Cell::new(Transaction::None),
            aborted: Cell::new(false),
            trouble: Cell::new(None),
        })
    }

    // Requests

    /// Tries again what another transaction or a broken connection stopped, within bounds.
    fn persist<T>(&self, mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let started = Instant::now();
        let mut conflicts = 0;
        loop {
            self.trouble.set(None);
            let result = attempt();
            match (&result, self.trouble.get()) {
                (Ok(_), _) | (Err(_), None) => return result,
                (Err(_), Some(Trouble::Conflict)) => {
                    conflicts += 1;
                    if conflicts > MAX_CONFLICTS {
                        return result;
                    }
                    std::thread::sleep(Duration::from_millis(u64::from(conflicts)));
                }
                (Err(_), Some(Trouble::Lost)) => {
                    drop(self.client.take());
                    if started.elapsed() >= PATIENCE {
                        return Err(StoreError::Unavailable);
                    }
                    std::thread::sleep(RECONNECT);
                }
            }
        }
    }

    fn means(&self) -> Means<'_> {
        Means { signer: &self.shared.signer, known: &self.shared.announcements }
    }

    fn transact<T>(&self, request: &impl Fn(&mut Tx<'_>) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.begin("BEGIN");
        let (result, told, keep) = Tx::run(Db::Postgres(self), self.means(), request);
        if !keep {
            self.roll_back();
            return result;
        }
        if let Err(error) = self.commit() {
            self.roll_back();
            return Err(error);
        }
        self.announce(told);
        result
    }

    /// Whether all of them are done; else none is.
    fn transact_together(&self, batch: &mut [Box<dyn Work + Send>]) -> bool {
        self.trouble.set(None);
        self.begin("BEGIN");
        let done = self.run_together(batch);
        if done.is_err() {
            self.roll_back();
            if self.trouble.get() == Some(Trouble::Lost) {
                drop(self.client.take());
            }
        }
        done.is_ok()
    }

    fn run_together(&self, batch: &mut [Box<dyn Work + Send>]) -> Result<(), StoreError> {
        // By household, and so are they locked, as everywhere.
        let asked = batch.iter().map(|work| {
            let questions = Questions::default();
            work.ask(self, &questions);
            questions.into_inner()
        });
        let answers = self.answers(asked.collect())?;
        for (request, (work, answers)) in batch.iter_mut().zip(answers).enumerate() {
            self.request.set(request);
            self.ahead.replace(answers);
            let before = self.noted.borrow().len();
            self.sent.set(false);
            if !work.run(self) {
                if self.sent.get() || self.aborted.get() {
                    return Err(StoreError::Unavailable);
                }
                self.noted.borrow_mut().truncate(before);
            }
        }
        self.commit()
    }

    fn view<T>(&self, request: &impl Fn(Db<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.begin(VIEW);
        let result = request(Db::Postgres(self));
        self.roll_back();
        result
    }

    fn announce(&self, told: Told) {
        let topics = told.topics().clone();
        self.shared.announcements.committed(told);
        for topic in topics {
            // Only when the service stops is there nobody to take it.
            let _: Result<(), mpsc::error::SendError<Announcement>> =
                self.shared.announce.blocking_send(Announcement::Topic(topic));
        }
    }

    /// Subscribers are to look again soon: what they read passed over transactions that still run.
    pub(crate) fn look_again(&self, topic: Topic) {
        let _: Result<(), mpsc::error::SendError<Announcement>> =
            self.shared.announce.blocking_send(Announcement::Again(topic));
    }

    // Statements

    fn begin(&self, how: &'static str) {
        self.aborted.set(false);
        self.request.set(0);
        self.transaction.set(Transaction::Due(how));
    }

    /// Forgets the transaction, also what was asked for it and not used: nobody else may read that. Gives what it was.
    fn end(&self) -> Transaction {
        self.noted.borrow_mut().clear();
        self.ahead.borrow_mut().clear();
        self.transaction.replace(Transaction::None)
    }

    fn commit(&self) -> Result<(), StoreError> {
        if self.aborted.get() {
            // The server would roll back and call it done.
            return Err(StoreError::incident("transaction", "-", "went on after an error of the database"));
        }
        let noted = self.noted.take();
        if noted.is_empty() && !matches!(self.transaction.get(), Transaction::Begun) {
            self.end();
            return Ok(());
        }
        self.send(&noted, true)?;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.end();
        Ok(())
    }

    fn roll_back(&self) {
        let begun = matches!(self.end(), Transaction::Begun);
        if begun && !self.is_lost() {
            let trouble = self.trouble.get();
            if self.with_client(async |client| client.batch_execute("ROLLBACK").await).is_err() {
                // A connection in an unknown state is not used again.
                drop(self.client.take());
            }
            self.trouble.set(trouble);
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.trouble.get() == Some(Trouble::Lost) || self.client.borrow().as_ref().is_none_or(Client::is_closed)
    }

    /// The next number of `table`: one by one where their order counts, else from a block of them.
    pub(crate) fn next_number(&self, table: &'static str) -> Result<i64, StoreError> {
        if let Some(question) = number_ahead(table) {
            return self.sequence(question.sql);
        }
        let mut numbers = self.numbers.borrow_mut();
        let block = numbers.entry(table).or_insert(0..0);
        if let Some(number) = block.next() {
            return Ok(number);
        }
        let first = self.sequence(match table {
            "messages" => "SELECT nextval('messages_no')",
            "bills" => "SELECT nextval('bills_no')",
            _ => return Err(StoreError::incident("transaction", table, "its rows are not numbered")),
        })?;
        *block = first + 1..first + NUMBER_BLOCK;
        Ok(first)
    }

    fn sequence(&self, sql: &'static str) -> Result<i64, StoreError> {
        let rows = self.query(sql, &[])?;
        match rows.first().map(|row| column(row, 0)) {
            Some(Ok(Raw::Int(number))) => Ok(number),
            _ => Err(StoreError::incident("transaction", sql, "gave no number")),
        }
    }

    /// Notes down a statement that must change one row.
    pub(crate) fn note(&self, table: &'static str, key: &dyn Display, sql: &'static str, params: &[Value<'_>]) {
        let key = key.to_string();
        let statement = Question::new(sql, params);
        self.noted.borrow_mut().push(Noted { request: self.request.get(), table, key, statement });
    }

    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let noted = self.noted.take();
        if noted.is_empty() {
            return Ok(());
        }
        self.sent.set(true);
        self.send(&noted, false)
    }

    /// Sends all of it at once, and the commit behind it where that is wanted: each statement fails by itself where it
    /// changes too few rows, and what follows a failure does nothing.
    fn send(&self, noted: &[Noted], commit: bool) -> Result<(), StoreError> {
        let texts = noted.iter().map(|noted| (noted.request, noted.statement.sql));
        let groups: Vec<Vec<&Noted>> = batch::groups(texts)
            .iter()
            .map(|members| members.iter().filter_map(|&one| noted.get(one)).collect())
            .collect();
        let calls = groups.iter().map(|group| {
            let rows: Vec<_> = group.iter().map(|noted| &noted.statement).collect();
            self.call(&rows, [Form::ChangesOne, Form::Writes])
        });
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        let params: Vec<_> = calls.iter().map(|(_, bound)| bound.as_sql()).collect();
        let answers = self.with_client(async |client| {
            let sent = calls.iter().zip(&params).map(|((statement, _), params)| client.execute(statement, params));
            let done = async { if commit { client.batch_execute("COMMIT").await } else { Ok(()) } };
            let (answers, done) = join(join_all(sent), done).await;
            Ok((answers, done))
        });
        let (answers, done) = answers?;
        for (group, answer) in groups.iter().zip(answers) {
            answer.map_err(|error| match (error.code(), group.first()) {
                (Some(&SqlState::DIVISION_BY_ZERO), Some(noted)) => {
                    // Whoever changed the row before us will be seen at the next try.
                    self.aborted.set(true);
                    self.trouble.set(Some(Trouble::Conflict));
                    StoreError::incident(noted.table, &noted.key, "no row changed instead of one")
                }
                _ => self.failed(&error),
            })?;
        }
        done.map_err(|error| self.failed(&error))
    }

    /// One statement for these rows of parameters, in the first form for a single one.
    fn call<'a>(&self, rows: &[&'a Question], [single, many]: [Form; 2]) -> Result<(Statement, Bound<'a>), StoreError> {
        let sql = rows.first().map_or("", |row| row.sql);
        let form = if rows.len() == 1 { single } else { many };
        Ok((self.statement(sql, form)?, Bound::new(rows)))
    }

    /// Sends the questions at once and keeps the answers for the transaction.
    pub(crate) fn ask_ahead(&self, questions: Vec<Question>) -> Result<(), StoreError> {
        let answers = self.answers(vec![questions])?;
        self.ahead.borrow_mut().extend(answers.into_iter().flatten());
        Ok(())
    }

    /// Sends what each request asks at once, and gives each its answers.
    fn answers(&self, asked: Vec<Vec<Question>>) -> Result<Vec<Vec<Answer>>, StoreError> {
        self.flush()?;
        let counts: Vec<usize> = asked.iter().map(Vec::len).collect();
        let questions: Vec<Question> = asked.into_iter().flatten().collect();
        let groups = batch::read_groups(questions.iter().map(|question| question.sql));
        let calls = groups.iter().map(|group| {
            let rows: Vec<_> = group.iter().filter_map(|&member| questions.get(member)).collect();
            self.call(&rows, [Form::Plain, Form::Reads])
        });
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        let params: Vec<_> = calls.iter().map(|(_, bound)| bound.as_sql()).collect();
        let answers = self.with_client(async |client| {
            let sent = calls.iter().zip(&params).map(|((statement, _), params)| client.query(statement, params));
            join_all(sent).await.into_iter().collect::<Result<Vec<_>, _>>()
        })?;
        drop(params);
        drop(calls);
        let mut found: Vec<Vec<Row>> = questions.iter().map(|_| Vec::new()).collect();
        for (group, rows) in groups.iter().zip(answers) {
            for row in rows {
                let place = match group.as_slice() {
                    [one] => Some(*one),
                    many => of_which(&row).and_then(|number| many.get(number).copied()),
                };
                let place = place.and_then(|place| found.get_mut(place));
                place.ok_or_else(|| StoreError::incident("transaction", "-", "an answer to no question"))?.push(row);
            }
        }
        let mut all = questions.into_iter().zip(found);
        Ok(counts.into_iter().map(|count| all.by_ref().take(count).collect()).collect())
    }

    pub(crate) fn has_answers(&self) -> bool {
        !self.ahead.borrow().is_empty()
    }

    fn answer_ahead(&self, sql: &'static str, params: &[Value<'_>]) -> Option<Vec<Row>> {
        let mut ahead = self.ahead.borrow_mut();
        let known = ahead.iter().position(|(question, _)| question.params == params && question.sql == sql)?;
        Some(ahead.swap_remove(known).1)
    }

    /// Goes back to where the savepoint `part` was set, also after an error.
    pub(crate) fn undo_part(&self) -> Result<(), StoreError> {
        self.noted.borrow_mut().clear();
        if self.is_lost() {
            return Err(StoreError::Unavailable);
        }
        self.trouble.set(None);
        self.aborted.set(false);
        self.control("ROLLBACK TO part")
    }

    pub(crate) fn control(&self, sql: &'static str) -> Result<(), StoreError> {
        self.flush()?;
        self.with_client(async |client| client.batch_execute(sql).await)
    }

    pub(crate) fn execute(&self, sql: &'static str, params: &[Value<'_>]) -> Result<usize, StoreError> {
        self.flush()?;
        let statement = self.statement(sql, Form::Plain)?;
        let params = as_sql(params);
        self.sent.set(true);
        let changed = self.with_client(async |client| client.execute(&statement, &params).await)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(crate) fn query(&self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        if let Some(rows) = self.answer_ahead(sql, params) {
            return Ok(rows);
        }
        self.flush()?;
        let statement = self.statement(sql, Form::Plain)?;
        let params = as_sql(params);
        self.with_client(async |client| client.query(&statement, &params).await)
    }

    /// All rows, a page at a time, within the transaction.
    pub(crate) fn each(
        &self,
        sql: &str,
        mut take: impl FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.flush()?;
        let declare = format!("DECLARE pages NO SCROLL CURSOR FOR {sql}");
        self.with_client(async |client| client.batch_execute(&declare).await)?;
        loop {
            let rows = self.query("FETCH FORWARD 1000 FROM pages", &[])?;
            if rows.is_empty() {
                break;
            }
            rows.iter().try_for_each(&mut take)?;
        }
        self.control("CLOSE pages")?;
        // The next cursor has other columns.
        self.statements.borrow_mut().remove(&("FETCH FORWARD 1000 FROM pages", Form::Plain));
        Ok(())
    }

    /// A statement as it was prepared on this connection.
    fn statement(&self, sql: &'static str, form: Form) -> Result<Statement, StoreError> {
        self.connect()?;
        if let Some(statement) = self.statements.borrow().get(&(sql, form)) {
            return Ok(statement.clone());
        }
        let text = match form {
            Form::Plain | Form::ChangesOne => sql.replace('?', "$"),
            Form::Reads => batch::read(sql, self.statement(sql, Form::Plain)?.params()),
            Form::Writes => batch::write(sql, self.statement(sql, Form::ChangesOne)?.params()),
        };
        // An insert changes its row, or fails by itself.
        let fails_anyway = sql.starts_with("INSERT") && !sql.contains("ON CONFLICT");
        let rows = match form {
            Form::ChangesOne if !fails_anyway => Some("1"),
            Form::Writes if !fails_anyway => Some("cardinality($1)"),
            Form::Plain | Form::Reads | Form::ChangesOne | Form::Writes => None,
        };
        let text = rows.map_or(text.clone(), |rows| {
            format!("WITH changed AS ({text} RETURNING 1) SELECT 1 / (count(*) / {rows}) FROM changed")
        });
        let statement = self.with_client(async |client| client.prepare(&text).await)?;
        self.statements.borrow_mut().insert((sql, form), statement.clone());
        Ok(statement)
    }

    /// Sends what `work` asks the server, after the transaction's begin where that is due, and waits for the answers.
    fn with_client<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        self.connect()?;
        let client = self.client.borrow();
        let client = client.as_ref().ok_or(StoreError::Unavailable)?;
        let begin = match self.transaction.get() {
            Transaction::Due(begin) => Some(begin),
            Transaction::None | Transaction::Begun => None,
        };
        let answered = self.block(async {
            match begin {
                None => work(client).await,
                // Both go out at once.
                Some(begin) => match join(client.batch_execute(begin), work(client)).await {
                    (Ok(()), answer) => answer,
                    (Err(error), _) => Err(error),
                },
            }
        })?;
        if begin.is_some() {
            self.transaction.set(Transaction::Begun);
        }
        answered.map_err(|error| self.failed(&error))
    }

    fn connect(&self) -> Result<(), StoreError> {
        if self.client.borrow().as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        if let Transaction::Begun = self.transaction.get() {
            self.trouble.set(Some(Trouble::Lost));
            return Err(StoreError::Unavailable);
        }
        self.statements.borrow_mut().clear();
        let connected = self.block(async {
            let (client, connection) = self.shared.config.connect().await?;
            // It ends with the client.
            tokio::spawn(connection);
            client.batch_execute(SESSION).await?;
            client.batch_execute(self.session).await?;
            client.batch_execute(DURABLE).await?;
            Ok(client)
        })?;
        let client = connected.map_err(|error: tokio_postgres::Error| {
            if !postgres_tls::is_refused(&error) {
                self.trouble.set(Some(Trouble::Lost));
            }
            StoreError::Database(said(&error))
        })?;
        self.client.replace(Some(client));
        Ok(())
    }

    /// Waits for the server, but not for ever.
    fn block<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(ANSWER_TIME, work).await });
        answer.map_err(|_| {
            self.trouble.set(Some(Trouble::Lost));
            StoreError::Unavailable
        })
    }

    fn failed(&self, error: &tokio_postgres::Error) -> StoreError {
        let trouble = match error.code() {
            None => Some(Trouble::Lost),
            Some(code) if CONFLICTS.contains(code) => Some(Trouble::Conflict),
            // Classes 08 (connection), 53 (resources) and 57 (operator's intervention), and a server that only reads.
            Some(code) if ["08", "57"].iter().any(|class| code.code().starts_with(class)) => Some(Trouble::Lost),
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Some(Trouble::Lost),
            Some(_) => None,
        };
        self.aborted.set(true);
        // What went wrong first is what counts; statements after it only say that the transaction is over.
        if self.trouble.get().is_none() {
            self.trouble.set(trouble);
        }
        StoreError::Database(said(error))
    }

    /// Takes the lock that one migrating program holds until its transaction ends.
    fn missing_migrations(&self) -> Result<&'static [&'static str], StoreError> {
        self.query("SELECT pg_advisory_xact_lock(?1)", &[Value::Int(MIGRATION_LOCK)])?;
        self.control("CREATE TABLE IF NOT EXISTS nodpay (version BIGINT NOT NULL)")?;
        self.control("INSERT INTO nodpay SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM nodpay)")?;
        let version = self.sequence("SELECT version FROM nodpay")?;
        usize::try_from(version)
            .ok()
            .and_then(|done| MIGRATIONS.get(done..))
            .ok_or_else(|| StoreError::Database(format!("the database has version {version}, from a newer program")))
    }
}

/// Orders are numbered one by one, for their order counts.
pub(crate) fn number_ahead(table: &str) -> Option<Question> {
    (table == "orders").then(|| Question::new("SELECT nextval('orders_no')", &[]))
}

/// What a second try may get past: the other transaction is over by then, and its rows are seen.
const CONFLICTS: [SqlState; 5] = [
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::UNIQUE_VIOLATION,
    SqlState::FOREIGN_KEY_VIOLATION,
    SqlState::LOCK_NOT_AVAILABLE,
];

/// The server's own words; tokio-postgres's name only the kind.
fn said(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// Which of its questions, from 0, a row of a read over arrays is of.
fn of_which(row: &Row) -> Option<usize> {
    let number: i64 = row.try_get(row.len().checked_sub(1)?).ok()?;
    usize::try_from(number).ok()?.checked_sub(1)
}

fn as_sql<'a>(params: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect()
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *kind == Type::INT2 => i16::try_from(*number)?.to_sql(kind, out),
            Self::Int(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Self::Int(number) => number.to_sql(kind, out),
            Self::Text(text) => text.as_ref().to_sql(kind, out),
            Self::Blob(bytes) => bytes.as_ref().to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

pub(crate) fn column(row: &Row, index: usize) -> Result<Raw<'_>, String> {
    fn get<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<Option<T>, String> {
        row.try_get(index).map_err(|error| error.to_string())
    }
    let kind = row.columns().get(index).ok_or("there is no such column")?.type_();
    let raw = match *kind {
        Type::INT8 => get(row, index)?.map(Raw::Int),
        Type::INT4 => get::<i32>(row, index)?.map(|number| Raw::Int(number.into())),
        Type::INT2 => get::<i16>(row, index)?.map(|number| Raw::Int(number.into())),
        Type::BOOL => get::<bool>(row, index)?.map(|flag| Raw::Int(flag.into())),
        Type::BYTEA => get(row, index)?.map(Raw::Blob),
        _ => get(row, index)?.map(Raw::Text),
    };
    Ok(raw.unwrap_or(Raw::Null))
}

// Announcements between replicas

/// Sends our topics to the other replicas and theirs to our subscribers, until the last worker has ended.
async fn pass_on(config: &Server, mut announced: mpsc::Receiver<Announcement>, announcements: &Announcements) {
    let tell = |topic| announcements.heard(topic);
    let mut batch = Vec::new();
    loop {
        let Ok((client, mut heard)) = listen(config).await else {
            // What is announced meanwhile waits in the queue; its senders wait when that is full.
            if announced.is_closed() && announced.is_empty() {
                return;
            }
            tokio::time::sleep(RECONNECT).await;
            continue;
        };
        // Whatever was announced while we did not listen.
        tell(Topic::Everything);
        loop {
            if batch.is_empty() {
                tokio::select! {
                    taken = announced.recv_many(&mut batch, NOTIFY_TOPICS) => if taken == 0 { return },
                    said = heard.recv() => match said {
                        Some(said) => { read_payload(&said).for_each(tell); continue }
                        None => break,
                    },
                }
            }
            let again = |one: &Announcement| matches!(one, Announcement::Again(_));
            if batch.iter().any(again) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            for announcement in &batch {
                if let Announcement::Again(topic) = announcement {
                    tell(*topic);
                }
            }
            batch.retain(|one| !again(one));
            let payload = write_payload(&batch);
            if !payload.is_empty() {
                let sent = async { client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload]).await };
                match tokio::time::timeout(ANSWER_TIME, sent).await {
                    Ok(Ok(_)) => {}
                    // The batch is sent again over the next connection.
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            batch.clear();
        }
    }
}

/// Transactions that were running are over by then, as a rule.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A connection that listens; what others announce comes through the receiver, which ends with the connection.
async fn listen(config: &Server) -> Result<(Client, mpsc::Receiver<String>), StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::Database(said(&error));
    let (client, mut connection) = config.connect().await.map_err(failed)?;
    let (send, heard) = mpsc::channel(TOPIC_BUFFER);
    let (own, is_own) = oneshot::channel::<i32>();
    tokio::spawn(async move {
        let mut own_id = None;
        let mut is_own = Some(is_own);
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            let AsyncMessage::Notification(said) = message else { continue };
            if let Some(is_own) = is_own.take() {
                own_id = is_own.await.ok();
            }
            if Some(said.process_id()) != own_id && send.send(said.payload().to_owned()).await.is_err() {
                return;
            }
        }
    });
    // Losing an announcement with the server's power is no loss: its listeners are gone too.
    client.batch_execute("SET synchronous_commit = off").await.map_err(failed)?;
    let id = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(failed)?;
    // The reader may be gone with its connection already.
    let _: Result<(), i32> = own.send(id.get(0));
    client.batch_execute("LISTEN nodpay").await.map_err(failed)?;
    Ok((client, heard))
}

/// `h`, `m` or `s` and an id for each topic, without anything between them.
fn write_payload(batch: &[Announcement]) -> String {
    let topics: BTreeSet<Topic> = batch
        .iter()
        .map(|announcement| match announcement {
            Announcement::Topic(topic) | Announcement::Again(topic) => *topic,
        })
        .collect();
    let text = |topic: &Topic| match topic {
        Topic::Household(household) => format!("h{household}"),
        Topic::Merchant(merchant) => format!("m{merchant}"),
        Topic::Subscribers(household) => format!("s{household}"),
        Topic::Everything => String::new(),
    };
    topics.iter().map(text).collect()
}

/// An id's text.
const ID_LEN: usize = 22;

fn read_payload(text: &str) -> impl Iterator<Item = Topic> {
    text.as_bytes().chunks_exact(1 + ID_LEN).filter_map(|topic| {
        let (kind, id) = topic.split_first()?;
        let id = std::str::from_utf8(id).ok()?;
        match kind {
            b'h' => id.parse::<HouseholdId>().ok().map(Topic::Household),
            b'm' => id.parse::<MerchantId>().ok().map(Topic::Merchant),
            b's' => id.parse::<HouseholdId>().ok().map(Topic::Subscribers),
            _ => None,
        }
    })
}
