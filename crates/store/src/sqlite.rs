//! The SQLite file: opening, migrations, and the reading connections.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, OpenFlags};

use crate::announce::Announcements;
use crate::db::Db;
use crate::tx::{Fault, Tx};
use crate::writer::{Writer, sync_of};
use crate::{Migrated, OutcomeSigner, StoreError};

/// One step a version, in order; `PRAGMA user_version` counts those done. Never change a released one.
pub(crate) const MIGRATIONS: [&str; 15] = [
    include_str!("schema.sql"),
    include_str!("printed_codes.sql"),
    include_str!("ledger.sql"),
    include_str!("rails.sql"),
    include_str!("outcome_keys.sql"),
    include_str!("guardians.sql"),
    include_str!("mandates.sql"),
    include_str!("nods.sql"),
    include_str!("sessions.sql"),
    include_str!("push.sql"),
    include_str!("erasing.sql"),
    include_str!("topups.sql"),
    include_str!("fewer_pages.sql"),
    include_str!("payouts.sql"),
    include_str!("open_by_household.sql"),
];
/// New pages (4 KiB) in the write-ahead log from which on they are brought into the file: 4 MiB. With more of them fewer are
/// written, but commits wait longer while the disk takes them.
const CHECKPOINT_PAGES: i32 = 1_000;
/// Pages from which on the log shall begin again: 64 MiB. Only the writer can let it, so not often.
const LOG_PAGES: i32 = 16_000;
/// What may be left then for the writer to bring in, which stands still meanwhile: some milliseconds.
const LITTLE_PAGES: i32 = 100;
/// How often what came meanwhile is brought in beside the writer before it brings in the rest itself, little or not.
const MAX_ROUNDS: u32 = 4;
/// What the writer keeps of the file in memory: with less, the pages of a group commit go to the log before their time. SQLite
/// counts KiB below zero.
const WRITER_CACHE_KIB: i32 = -32_768;
/// Marks the file as ours: "nodp".
const APPLICATION_ID: i32 = 0x6e6f_6470;
/// How long to wait for another process that writes (`nodpay admin`).
const BUSY_TIMEOUT_MS: u64 = 5_000;
const CACHED_STATEMENTS: usize = 128;

pub(crate) struct Sqlite {
    /// Closed first: the last connection brings the log into the file, which these cannot.
    readers: Arc<Readers>,
    writer: Writer,
    /// Ends after the writer.
    #[expect(dead_code, reason = "held for its end")]
    checkpoints: Checkpoints,
    announcements: Arc<Announcements>,
    migrated: Migrated,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, signer: OutcomeSigner) -> Result<Self, StoreError> {
        let mut db = Connection::open(path)?;
        set_up(&db)?;
        let migrated = migrate(&mut db)?;
        // The writer brings each commit to the disk itself, beside the next one's requests.
        db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;")?;
        // What is deleted is overwritten, not only forgotten.
        db.pragma_update(None, "secure_delete", true)?;
        db.pragma_update(None, "cache_size", WRITER_CACHE_KIB)?;
        let checkpoints = Checkpoints::start(path, &mut db)?;
        let announcements = Arc::new(Announcements::new());
        let readers = Readers { path: path.to_owned(), free: Mutex::new(Vec::new()) };
        Ok(Self {
            writer: Writer::start(db, signer, Arc::clone(&announcements), sync_of(path))?,
            checkpoints,
            readers: Arc::new(readers),
            announcements,
            migrated,
        })
    }

    pub(crate) fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Waits until all that was read so far is on the disk.
    pub(crate) async fn settled(&self) -> Result<(), StoreError> {
        self.writer.settled().await
    }

    pub(crate) fn announcements(&self) -> &Announcements {
        &self.announcements
    }

    pub(crate) const fn migrated(&self) -> Migrated {
        self.migrated
    }

    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.writer.write(request).await
    }

    /// Runs `request` over one consistent view of the database, on the caller's thread: what is read takes microseconds,
    /// far less than another thread takes to wake.
    pub(crate) fn read<T>(&self, request: impl FnOnce(Db<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.readers.read(request)
    }

    /// The same for what takes long, on a thread of its own.
    pub(crate) async fn view<T, F>(&self, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || readers.read(request)).await.map_err(|_| StoreError::Stopped)?
    }
}

/// Brings the write-ahead log into the file beside the writer, which otherwise would stop for it in the middle of payments. When
/// the log is long, what came meanwhile follows at once, and so on; when that is little the writer brings it in by itself, and the
/// log begins again with the next commit.
struct Checkpoints(Option<JoinHandle<()>>);

impl Checkpoints {
    /// It ends when `writer` is closed.
    fn start(path: &Path, writer: &mut Connection) -> Result<Self, StoreError> {
        let (ask, asked) = sync_channel(1);
        // Pages in the file by the last checkpoint; `i32::MAX` while one runs.
        let done = Arc::new(AtomicI32::new(0));
        let brought = Arc::clone(&done);
        let mut rounds = 0;
        writer.wal_hook(Some(move |wal: &mut Wal, pages: i32| {
            let behind = pages.saturating_sub(brought.load(Ordering::Acquire));
            let is_long = pages >= LOG_PAGES;
            if behind < 0 || (behind < CHECKPOINT_PAGES && !is_long) {
                return Ok(());
            }
            if !is_long || (behind > LITTLE_PAGES && rounds < MAX_ROUNDS) {
                rounds += u32::from(is_long);
                brought.store(i32::MAX, Ordering::Release);
                // The thread waits for nothing else.
                let _: Result<(), TrySendError<()>> = ask.try_send(());
            } else {
                // Where a reader still needs the log, it grows on until the next checkpoint.
                let _: rusqlite::Result<_> = wal.checkpoint_v2(CheckpointMode::PASSIVE);
                brought.store(0, Ordering::Release);
                rounds = 0;
            }
            Ok(())
        }))?;
        let db = Connection::open(path)?;
        set_up(&db)?;
        let thread = std::thread::Builder::new().name("store-checkpoints".to_owned());
        let thread = thread.spawn(move || {
            while asked.recv().is_ok() {
                // The next one does what this one could not.
                let brought = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2));
                done.store(brought.unwrap_or(0), Ordering::Release);
            }
        });
        Ok(Self(Some(thread.map_err(|error| StoreError::Database(error.to_string()))?)))
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _: std::thread::Result<()> = thread.join();
        }
    }
}

struct Readers {
    path: PathBuf,
    /// As many as ever read at the same time: threads of the runtime, mostly.
    free: Mutex<Vec<Connection>>,
}

impl Readers {
    fn read<T>(&self, request: impl FnOnce(Db<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut db = match free {
            Some(db) => db,
            None => self.open()?,
        };
        let view = db.transaction()?;
        let result = catch_unwind(AssertUnwindSafe(|| request(Db::Sqlite(&view))))
            .unwrap_or_else(|_| Err(StoreError::incident("transaction", "-", "the code panicked")));
        view.finish()?;
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        result
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        set_up(&db)?;
        Ok(db)
    }
}

pub(crate) fn set_up(db: &Connection) -> Result<(), StoreError> {
    db.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Else a statement may be planned again whenever other values are bound to it, which costs more than to run it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn migrate(db: &mut Connection) -> Result<Migrated, StoreError> {
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
    Ok(Migrated { from: MIGRATIONS.len() - missing.len(), to: MIGRATIONS.len() })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}
