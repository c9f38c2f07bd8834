//! The SQLite file: opening, migrations, the reading connections, and how rows become values.
//!
//! Rows are untrusted: [`Cells`] turns each column into a core type or an incident that names table and row.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nodpay_core::{Amount, Currency, LineId, Minor, Text, Timestamp};
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, OpenFlags, Params, Row};
use tokio::sync::{Semaphore, broadcast};

use crate::writer::{Fault, Tx, Writer};
use crate::{Message, OutcomeSigner, StoreError, TOPIC_BUFFER, Topic};

/// One step a version, in order; `PRAGMA user_version` counts those done. Never change a released one.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("printed_codes.sql")];
/// Marks the file as ours: "nodp".
const APPLICATION_ID: i32 = 0x6e6f_6470;
/// Reading connections.
const READERS: usize = 4;
/// How long to wait for another process that writes (`nodpay admin`).
const BUSY_TIMEOUT_MS: u64 = 5_000;
const CACHED_STATEMENTS: usize = 128;

pub(crate) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    topics: broadcast::Sender<Topic>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, signer: OutcomeSigner) -> Result<Self, StoreError> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        migrate(&mut db)?;
        db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")?;
        let (topics, _) = broadcast::channel(TOPIC_BUFFER);
        let readers = Readers { path: path.to_owned(), free: Mutex::new(Vec::new()), permits: Semaphore::new(READERS) };
        Ok(Self { writer: Writer::start(db, signer, topics.clone())?, readers: Arc::new(readers), topics })
    }

    pub(crate) fn commits(&self) -> u64 {
        self.writer.commits()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Topic> {
        self.topics.subscribe()
    }

    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.writer.write(request).await
    }

    /// Runs `request` over one consistent view of the database.
    pub(crate) async fn read<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let _permit = self.readers.permits.acquire().await.map_err(|_| StoreError::Stopped)?;
        tokio::task::spawn_blocking(move || readers.read(request)).await.map_err(|error| match error.is_panic() {
            true => StoreError::incident("transaction", "-", "the code panicked"),
            false => StoreError::Stopped,
        })?
    }
}

struct Readers {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    fn read<T>(&self, request: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut db = match free {
            Some(db) => db,
            None => self.open()?,
        };
        let view = db.transaction()?;
        let result = request(&view);
        view.finish()?;
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        result
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        db.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        Ok(db)
    }
}

fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let marked: i32 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if marked != APPLICATION_ID && (marked != 0 || tables != 0) {
        return Err(StoreError::Database("the file is another program's database".to_owned()));
    }
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Database(format!("the file cannot be put into WAL mode, it is in {mode}")));
    }
    // Tables refer to each other in both directions; checked again once all of them are there.
    db.pragma_update(None, "foreign_keys", false)?;
    let all = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = all.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let missing = usize::try_from(version)
        .ok()
        .and_then(|done| MIGRATIONS.get(done..))
        .ok_or_else(|| StoreError::Database(format!("the file has version {version}, from a newer program")))?;
    for migration in missing {
        all.execute_batch(migration)?;
    }
    if !missing.is_empty() {
        all.pragma_update(None, "application_id", APPLICATION_ID)?;
        all.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    }
    all.commit()?;
    Ok(())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Executes a statement and gives the number of rows it changed.
pub(crate) fn run(db: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let changed = statement.execute(params)?;
    #[cfg(test)]
    scans::look_for(&statement, sql);
    Ok(changed)
}

/// Executes a statement that must change exactly one row.
pub(crate) fn run_one(
    db: &Connection,
    table: &'static str,
    key: impl Display,
    sql: &str,
    params: impl Params,
) -> Result<(), StoreError> {
    match run(db, sql, params)? {
        1 => Ok(()),
        other => Err(StoreError::incident(table, key, format!("{other} rows changed instead of one"))),
    }
}

/// The first row, if any. `key` names it in an incident.
pub(crate) fn one<T>(
    db: &Connection,
    table: &'static str,
    key: impl Display,
    sql: &str,
    params: impl Params,
    build: impl FnOnce(&Cells<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let found = match rows.next()? {
        Some(row) => build(&Cells::new(row, table, &key)).map(Some),
        None => Ok(None),
    };
    drop(rows);
    #[cfg(test)]
    scans::look_for(&statement, sql);
    found
}

/// All rows. `key` names what they belong to in an incident.
pub(crate) fn many<T>(
    db: &Connection,
    table: &'static str,
    key: impl Display,
    sql: &str,
    params: impl Params,
    mut build: impl FnMut(&Cells<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut built = Vec::new();
    while let Some(row) = rows.next()? {
        built.push(build(&Cells::new(row, table, &key))?);
    }
    drop(rows);
    #[cfg(test)]
    scans::look_for(&statement, sql);
    Ok(built)
}

/// All rows of whole tables: for a check, which alone reads everything.
pub(crate) fn all<T>(
    db: &Connection,
    table: &'static str,
    sql: &str,
    mut build: impl FnMut(&Cells<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut built = Vec::new();
    while let Some(row) = rows.next()? {
        built.push(build(&Cells::new(row, table, &"(all)"))?);
    }
    Ok(built)
}

/// A row's columns, read from left to right.
pub(crate) struct Cells<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    key: &'a dyn Display,
    next: std::cell::Cell<usize>,
}

impl<'a> Cells<'a> {
    fn new(row: &'a Row<'a>, table: &'static str, key: &'a dyn Display) -> Self {
        Self { row, table, key, next: std::cell::Cell::new(0) }
    }

    /// The incident that this row is.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> StoreError {
        StoreError::incident(self.table, self.key, what)
    }

    fn step(&self) -> usize {
        let index = self.next.get();
        self.next.set(index + 1);
        index
    }

    fn bad(&self, index: usize, why: impl Display) -> StoreError {
        let column = self.row.as_ref().column_name(index).unwrap_or("?").to_owned();
        self.wrong(format!("{column}: {why}"))
    }

    fn get<T: FromSql>(&self, index: usize) -> Result<T, StoreError> {
        self.row.get(index).map_err(|error| self.bad(index, error))
    }

    pub(crate) fn int(&self) -> Result<i64, StoreError> {
        self.get(self.step())
    }

    pub(crate) fn opt_int(&self) -> Result<Option<i64>, StoreError> {
        self.get(self.step())
    }

    pub(crate) fn flag(&self) -> Result<bool, StoreError> {
        self.get(self.step())
    }

    /// A count or number that is never negative.
    pub(crate) fn number<T: TryFrom<i64>>(&self) -> Result<T, StoreError> {
        let index = self.step();
        T::try_from(self.get(index)?).map_err(|_| self.bad(index, "out of range"))
    }

    pub(crate) fn opt_number<T: TryFrom<i64>>(&self) -> Result<Option<T>, StoreError> {
        let index = self.step();
        let number: Option<i64> = self.get(index)?;
        number.map(|number| T::try_from(number).map_err(|_| self.bad(index, "out of range"))).transpose()
    }

    pub(crate) fn string(&self) -> Result<String, StoreError> {
        self.get(self.step())
    }

    pub(crate) fn opt_string(&self) -> Result<Option<String>, StoreError> {
        self.get(self.step())
    }

    /// An id, digest or key.
    pub(crate) fn id<T>(&self) -> Result<T, StoreError>
    where
        T: for<'b> TryFrom<&'b [u8]>,
    {
        let index = self.step();
        self.opt_id_at(index)?.ok_or_else(|| self.bad(index, "is null"))
    }

    pub(crate) fn opt_id<T>(&self) -> Result<Option<T>, StoreError>
    where
        T: for<'b> TryFrom<&'b [u8]>,
    {
        self.opt_id_at(self.step())
    }

    fn opt_id_at<T>(&self, index: usize) -> Result<Option<T>, StoreError>
    where
        T: for<'b> TryFrom<&'b [u8]>,
    {
        match self.row.get_ref(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => T::try_from(bytes).map(Some).map_err(|_| self.bad(index, "is not such an id")),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => Err(self.bad(index, "is not a blob")),
        }
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        self.get(self.step())
    }

    pub(crate) fn time(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix_ms(self.int()?))
    }

    pub(crate) fn opt_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int()?.map(Timestamp::from_unix_ms))
    }

    pub(crate) fn minor(&self) -> Result<Minor, StoreError> {
        let index = self.step();
        Minor::new(self.get(index)?).map_err(|error| self.bad(index, error))
    }

    pub(crate) fn opt_minor(&self) -> Result<Option<Minor>, StoreError> {
        let index = self.step();
        let minor: Option<i64> = self.get(index)?;
        minor.map(|minor| Minor::new(minor).map_err(|error| self.bad(index, error))).transpose()
    }

    pub(crate) fn currency(&self) -> Result<Currency, StoreError> {
        let index = self.step();
        let code: String = self.get(index)?;
        Currency::from_code(&code).map_err(|error| self.bad(index, error))
    }

    /// Two columns: minor units, currency.
    pub(crate) fn amount(&self) -> Result<Amount, StoreError> {
        Ok(Amount::new(self.minor()?, self.currency()?))
    }

    pub(crate) fn text<const MAX: usize>(&self) -> Result<Text<MAX>, StoreError> {
        let index = self.step();
        let text: String = self.get(index)?;
        Text::new(&text).map_err(|error| self.bad(index, error))
    }

    /// A column that holds JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, StoreError> {
        let index = self.step();
        let text: String = self.get(index)?;
        serde_json::from_str(&text).map_err(|error| self.bad(index, error))
    }

    pub(crate) fn opt_json<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let index = self.step();
        let text: Option<String> = self.get(index)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.bad(index, error))).transpose()
    }

    /// Two columns: wire, digest.
    pub(crate) fn message(&self) -> Result<Message, StoreError> {
        Ok(Message { wire: self.string()?, digest: self.id()? })
    }

    pub(crate) fn opt_message(&self) -> Result<Option<Message>, StoreError> {
        match (self.opt_string()?, self.opt_id()?) {
            (Some(wire), Some(digest)) => Ok(Some(Message { wire, digest })),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(self.wrong("half a message")),
        }
    }
}

/// Keeps a message and gives its key.
pub(crate) fn insert_message(db: &Connection, message: &Message) -> Result<i64, StoreError> {
    run(
        db,
        "INSERT INTO messages (digest, wire) VALUES (?1, ?2)",
        rusqlite::params![message.digest.as_bytes(), message.wire],
    )?;
    Ok(db.last_insert_rowid())
}

pub(crate) fn lines_json(lines: &[LineId]) -> Result<String, StoreError> {
    serde_json::to_string(lines).map_err(|error| StoreError::Database(error.to_string()))
}

/// A count as SQL takes it.
pub(crate) fn sql_int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Database("a number is beyond 63 bits".to_owned()))
}

/// No statement may read a whole table, so that a payment costs the same however many there were.
#[cfg(test)]
mod scans {
    use rusqlite::{Statement, StatementStatus};

    pub(super) fn look_for(statement: &Statement<'_>, sql: &str) {
        // Running logins are few, and counted on purpose.
        let on_purpose = sql.starts_with("SELECT count(*) FROM logins");
        let scanned = statement.get_status(StatementStatus::FullscanStep);
        assert!(on_purpose || scanned == 0, "{scanned} rows scanned by {sql}");
    }
}
