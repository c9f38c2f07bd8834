//! PostgreSQL: a pool of threads, each with its own connection, and one more for announcements between replicas.
//!
//! A request is one transaction (READ COMMITTED). Whoever writes a household's rows has locked the household's row first
//! (`Books::load`), so a household's transactions follow one another on all replicas; where rows belong to no household,
//! constraints and conditions in the statements decide. A transaction that another one got in the way of, or whose
//! connection broke, is run again from its start: every request may be repeated, also one that was committed unseen.
//!
//! Topics go to the other replicas by NOTIFY, after the commit and many at once, since a NOTIFY inside of it would let
//! commits wait for each other.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::error::Error as _;
use std::future::Future;
use std::ops::Range;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use nodpay_core::{HouseholdId, MerchantId};
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, Statement};

use crate::db::{Db, Raw, Value};
use crate::tx::{Fault, Tx};
use crate::{Migrated, OutcomeSigner, StoreError, TOPIC_BUFFER, Topic};

/// One step a version, in order; the table `nodpay` counts those done. Never change a released one.
const MIGRATIONS: [&str; 1] = [include_str!("postgres.sql")];
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
/// Between two tries to connect.
const RECONNECT: Duration = Duration::from_millis(50);
/// What a connection asks of its server: statements and locks end before we give them up, and a transaction we can no
/// longer reach ends too, so that it holds no locks.
const SESSION: &str = "SET statement_timeout = '7s'; SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '7s'; SET default_transaction_isolation = 'read committed'";
/// A commit is on the disk before its answer, whatever the server's default; a stronger one stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";
const VIEW: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Numbers taken at once for tables in which their order says nothing.
const NUMBER_BLOCK: i64 = 1_000;

pub(crate) struct Postgres {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    topics: broadcast::Sender<Topic>,
    commits: Arc<AtomicU64>,
    migrated: Migrated,
}

type Job = Box<dyn FnOnce(&Link) + Send>;

impl Postgres {
    pub(crate) fn open(url: &str, connections: usize, signer: OutcomeSigner) -> Result<Self, StoreError> {
        let mut config = Config::from_str(url).map_err(|error| StoreError::Database(said(&error)))?;
        config
            .application_name("nodpay")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_TIME)
            .tcp_user_timeout(ANSWER_TIME)
            .keepalives_idle(ANSWER_TIME);
        let (topics, _) = broadcast::channel(TOPIC_BUFFER);
        let (announce, announced) = mpsc::channel(MAX_ANNOUNCEMENTS);
        let commits = Arc::new(AtomicU64::new(0));
        let shared =
            Arc::new(Shared { config, signer, topics: topics.clone(), announce, commits: Arc::clone(&commits) });
        // A thread of its own: the caller's may belong to a runtime, in which nobody may wait for another one.
        let link = Link::new(Arc::clone(&shared))?;
        let migrated = std::thread::spawn(move || migrate(&link)).join();
        let migrated = migrated.map_err(|_| StoreError::incident("migrations", "-", "the code panicked"))??;
        let (jobs, queue) = mpsc::channel::<Job>(MAX_QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        for _ in 0..connections.max(1) {
            let (link, queue) = (Link::new(Arc::clone(&shared))?, Arc::clone(&queue));
            threads.push(spawn("store", move || work(&link, &queue))?);
        }
        let runtime = runtime()?;
        // It ends when the last worker, which holds the other end of its queue, has ended.
        let (config, topics) = (shared.config.clone(), topics.clone());
        threads.push(spawn("store-events", move || runtime.block_on(pass_on(&config, announced, &topics)))?);
        Ok(Self { jobs: Some(jobs), threads, topics: shared.topics.clone(), commits, migrated })
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Topic> {
        self.topics.subscribe()
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
    config: Config,
    signer: OutcomeSigner,
    topics: broadcast::Sender<Topic>,
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
    client: RefCell<Option<Client>>,
    statements: RefCell<HashMap<&'static str, Statement>>,
    numbers: RefCell<HashMap<&'static str, Range<i64>>>,
    /// Statements to send before the next read or the commit.
    noted: RefCell<Vec<Noted>>,
    transaction: Cell<Transaction>,
    /// A statement failed: the server takes nothing more of this transaction.
    aborted: Cell<bool>,
    /// What went wrong, where trying again may help.
    trouble: Cell<Option<Trouble>>,
}

struct Noted {
    table: &'static str,
    key: String,
    sql: &'static str,
    params: Vec<Value<'static>>,
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
    fn new(shared: Arc<Shared>) -> Result<Self, StoreError> {
        Ok(Self {
            runtime: runtime()?,
            shared,
            client: RefCell::new(None),
            statements: RefCell::new(HashMap::new()),
            numbers: RefCell::new(HashMap::new()),
            noted: RefCell::new(Vec::new()),
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

    fn transact<T>(&self, request: &impl Fn(&mut Tx<'_>) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.begin("BEGIN");
        let (result, topics, keep) = Tx::run(Db::Postgres(self), &self.shared.signer, request);
        if !keep {
            self.roll_back();
            return result;
        }
        if let Err(error) = self.commit() {
            self.roll_back();
            return Err(error);
        }
        self.announce(topics);
        result
    }

    fn view<T>(&self, request: &impl Fn(Db<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.begin(VIEW);
        let result = request(Db::Postgres(self));
        self.roll_back();
        result
    }

    fn announce(&self, topics: BTreeSet<Topic>) {
        for topic in topics {
            // Nobody may be listening.
            let _: Result<usize, broadcast::error::SendError<Topic>> = self.shared.topics.send(topic);
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
        self.noted.borrow_mut().clear();
        self.aborted.set(false);
        self.transaction.set(Transaction::Due(how));
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.flush()?;
        if self.aborted.get() {
            // The server would roll back and call it done.
            return Err(StoreError::incident("transaction", "-", "went on after an error of the database"));
        }
        if let Transaction::Begun = self.transaction.get() {
            self.with_client(async |client| client.batch_execute("COMMIT").await)?;
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
        }
        self.transaction.set(Transaction::None);
        Ok(())
    }

    fn roll_back(&self) {
        self.noted.borrow_mut().clear();
        let begun = matches!(self.transaction.replace(Transaction::None), Transaction::Begun);
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
        if table == "orders" {
            return self.sequence("SELECT nextval('orders_no')");
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
    pub(crate) fn note(&self, table: &'static str, key: String, sql: &'static str, params: &[Value<'_>]) {
        let params = params.iter().cloned().map(Value::into_owned).collect();
        self.noted.borrow_mut().push(Noted { table, key, sql, params });
    }

    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let noted = self.noted.take();
        if noted.is_empty() {
            return Ok(());
        }
        let statements = noted.iter().map(|noted| self.statement(noted.sql)).collect::<Result<Vec<_>, _>>()?;
        let params: Vec<Vec<&(dyn ToSql + Sync)>> = noted.iter().map(|noted| as_sql(&noted.params)).collect();
        let answers = self.with_client(async |client| {
            let sent = statements.iter().zip(&params).map(|(statement, params)| client.execute(statement, params));
            join_all(sent).await.into_iter().collect::<Result<Vec<_>, _>>()
        })?;
        for (noted, changed) in noted.iter().zip(answers) {
            if changed != 1 {
                // Whoever changed the row before us will be seen at the next try.
                self.trouble.set(Some(Trouble::Conflict));
                let what = format!("{changed} rows changed instead of one");
                return Err(StoreError::incident(noted.table, &noted.key, what));
            }
        }
        Ok(())
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
        let statement = self.statement(sql)?;
        let params = as_sql(params);
        let changed = self.with_client(async |client| client.execute(&statement, &params).await)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(crate) fn query(&self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.flush()?;
        let statement = self.statement(sql)?;
        let params = as_sql(params);
        self.with_client(async |client| client.query(&statement, &params).await)
    }

    fn statement(&self, sql: &'static str) -> Result<Statement, StoreError> {
        self.connect()?;
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let text = sql.replace('?', "$");
        let statement = self.with_client(async |client| client.prepare(&text).await)?;
        self.statements.borrow_mut().insert(sql, statement.clone());
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
            let (client, connection) = self.shared.config.connect(NoTls).await?;
            // It ends with the client.
            tokio::spawn(connection);
            client.batch_execute(SESSION).await?;
            client.batch_execute(DURABLE).await?;
            Ok(client)
        })?;
        let client = connected.map_err(|error: tokio_postgres::Error| {
            self.trouble.set(Some(Trouble::Lost));
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
async fn pass_on(config: &Config, mut announced: mpsc::Receiver<Announcement>, topics: &broadcast::Sender<Topic>) {
    let tell = |topic| {
        // Nobody may be listening.
        let _: Result<usize, broadcast::error::SendError<Topic>> = topics.send(topic);
    };
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
async fn listen(config: &Config) -> Result<(Client, mpsc::Receiver<String>), StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::Database(said(&error));
    let (client, mut connection) = config.connect(NoTls).await.map_err(failed)?;
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

/// `h` or `m` and an id for each topic, without anything between them.
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
            _ => None,
        }
    })
}
