//! The one handle that transactions work through, over SQLite or PostgreSQL: the same SQL text for both, with `?1`
//! placeholders and 64-bit integers, texts and byte strings as the only types.
//!
//! Rows are untrusted: [`Cells`] turns each column into a core type or an incident that names table and row.
//!
//! On PostgreSQL, what [`run_one`] does is only noted down and sent together before the next read or the commit, so
//! that a transaction waits for the network a few times and not once a row; a failure then is the transaction's.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::Display;

use nodpay_core::{Amount, BasisPoints, Currency, Day, LineId, Minor, Text, Timestamp};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::ledger::Account;
use crate::postgres::Link;
use crate::{Message, StoreError};

/// A database while a request works with it.
#[derive(Clone, Copy)]
pub(crate) enum Db<'a> {
    Sqlite(&'a Connection),
    Postgres(&'a Link),
    /// Only notes down what is read, and finds nothing.
    Asking(&'a Questions),
}

/// Reads that were noted down.
pub(crate) type Questions = RefCell<Vec<Question>>;

#[derive(Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Value<'static>>,
}

impl Question {
    pub(crate) fn new(sql: &'static str, params: &[Value<'_>]) -> Self {
        Self { sql, params: params.iter().cloned().map(Value::into_owned).collect() }
    }
}

impl Db<'_> {
    /// Asks all that `reads` reads at once, for the transaction that is about to read it, in this order: a lock first.
    /// `reads` itself finds nothing. Only rows that the transaction does not write before it reads them.
    pub(crate) fn ask_ahead(self, reads: impl FnOnce(Db<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            // Whoever asks wants to know no more of the request.
            Self::Asking(_) => reads(self).and(Err(StoreError::Stopped)),
            Self::Postgres(link) if link.has_answers() => Ok(()),
            Self::Postgres(link) => {
                let questions = Questions::default();
                reads(Db::Asking(&questions))?;
                link.ask_ahead(questions.into_inner())
            }
        }
    }

    /// Runs a statement that steers the transaction.
    pub(crate) fn control(self, sql: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(db) => {
                db.prepare_cached(sql)?.execute([])?;
                Ok(())
            }
            Self::Postgres(link) => link.control(sql),
            Self::Asking(_) => Err(only_asking(sql)),
        }
    }

    /// Goes back to the savepoint `part`.
    pub(crate) fn undo_part(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) | Self::Asking(_) => self.control("ROLLBACK TO part"),
            Self::Postgres(link) => link.undo_part(),
        }
    }

    /// Sends what was only noted down.
    pub(crate) fn flush(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) | Self::Asking(_) => Ok(()),
            Self::Postgres(link) => link.flush(),
        }
    }

    /// The whole transaction is gone, by a full disk or a broken connection for one.
    pub(crate) fn is_lost(self) -> bool {
        match self {
            Self::Sqlite(db) => db.is_autocommit(),
            Self::Postgres(link) => link.is_lost(),
            Self::Asking(_) => false,
        }
    }

    /// The next number of a table whose rows are numbered in the order they come, for its first column; `None` where the
    /// database numbers them itself.
    pub(crate) fn next_number(self, table: &'static str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(link) => link.next_number(table).map(Some),
            Self::Asking(questions) => {
                questions.borrow_mut().extend(crate::postgres::number_ahead(table));
                Ok(Some(0))
            }
        }
    }
}

/// A value as both databases take it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
}

impl Value<'_> {
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Blob(bytes) => Value::Blob(Cow::Owned(bytes.into_owned())),
        }
    }
}

macro_rules! values {
    ($($from:ty => $to:expr;)*) => {
        $(impl<'a> From<$from> for Value<'a> {
            fn from(value: $from) -> Self {
                $to(value)
            }
        })*
    };
}

values! {
    i64 => Self::Int;
    u16 => |number| Self::Int(i64::from(number));
    u32 => |number| Self::Int(i64::from(number));
    bool => |flag| Self::Int(i64::from(flag));
    &'a str => |text| Self::Text(Cow::Borrowed(text));
    String => |text| Self::Text(Cow::Owned(text));
    &'a [u8] => |bytes| Self::Blob(Cow::Borrowed(bytes));
    Vec<u8> => |bytes| Self::Blob(Cow::Owned(bytes));
    &'a Vec<u8> => |bytes: &'a Vec<u8>| Self::Blob(Cow::Borrowed(bytes));
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Blob(Cow::Borrowed(bytes))
    }
}

impl<const N: usize> From<[u8; N]> for Value<'_> {
    fn from(bytes: [u8; N]) -> Self {
        Self::Blob(Cow::Owned(bytes.to_vec()))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The values of a statement's placeholders.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}
pub(crate) use params;

/// Executes a statement and gives the number of rows it changed.
pub(crate) fn run(db: Db<'_>, sql: &'static str, params: &[Value<'_>]) -> Result<usize, StoreError> {
    match db {
        Db::Sqlite(db) => {
            let mut statement = db.prepare_cached(sql)?;
            let changed = statement.execute(rusqlite::params_from_iter(params))?;
            #[cfg(test)]
            scans::look_for(&statement, sql);
            Ok(changed)
        }
        Db::Postgres(link) => link.execute(sql, params),
        Db::Asking(_) => Err(only_asking(sql)),
    }
}

/// Executes a statement that must change exactly one row.
pub(crate) fn run_one(
    db: Db<'_>,
    table: &'static str,
    key: impl Display,
    sql: &'static str,
    params: &[Value<'_>],
) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(_) => match run(db, sql, params)? {
            1 => Ok(()),
            other => Err(StoreError::incident(table, key, format!("{other} rows changed instead of one"))),
        },
        Db::Postgres(link) => {
            link.note(table, &key, sql, params);
            Ok(())
        }
        Db::Asking(_) => Err(only_asking(sql)),
    }
}

/// Inserts one row whose first column is its number, taken by [`Db::next_number`]; gives that number.
pub(crate) fn put_numbered(
    db: Db<'_>,
    table: &'static str,
    number: Option<i64>,
    sql: &'static str,
    params: &[Value<'_>],
) -> Result<i64, StoreError> {
    run_one(db, table, "(new)", sql, params)?;
    match (db, number) {
        (Db::Sqlite(db), None) => Ok(db.last_insert_rowid()),
        (_, Some(number)) => Ok(number),
        (Db::Postgres(_) | Db::Asking(_), None) => Err(StoreError::incident(table, "(new)", "has no number")),
    }
}

/// The first row, if any. `key` names it in an incident.
pub(crate) fn one<T>(
    db: Db<'_>,
    table: &'static str,
    key: impl Display,
    sql: &'static str,
    params: &[Value<'_>],
    build: impl FnOnce(&Cells<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match db {
        Db::Sqlite(db) => {
            let mut statement = db.prepare_cached(without_lock(sql))?;
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            let found = match rows.next()? {
                Some(row) => build(&Cells::new(Row::Sqlite(row), table, &key)).map(Some),
                None => Ok(None),
            };
            drop(rows);
            #[cfg(test)]
            scans::look_for(&statement, sql);
            found
        }
        Db::Postgres(link) => {
            let rows = link.query(sql, params)?;
            rows.first().map(|row| build(&Cells::new(Row::Postgres(row), table, &key))).transpose()
        }
        Db::Asking(questions) => {
            questions.borrow_mut().push(Question::new(sql, params));
            Ok(None)
        }
    }
}

/// All rows. `key` names what they belong to in an incident.
pub(crate) fn many<T>(
    db: Db<'_>,
    table: &'static str,
    key: impl Display,
    sql: &'static str,
    params: &[Value<'_>],
    mut build: impl FnMut(&Cells<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    match db {
        Db::Sqlite(db) => {
            let mut statement = db.prepare_cached(without_lock(sql))?;
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            let mut built = Vec::new();
            while let Some(row) = rows.next()? {
                built.push(build(&Cells::new(Row::Sqlite(row), table, &key))?);
            }
            drop(rows);
            #[cfg(test)]
            scans::look_for(&statement, sql);
            Ok(built)
        }
        Db::Postgres(link) => {
            let rows = link.query(sql, params)?;
            rows.iter().map(|row| build(&Cells::new(Row::Postgres(row), table, &key))).collect()
        }
        Db::Asking(questions) => {
            questions.borrow_mut().push(Question::new(sql, params));
            Ok(Vec::new())
        }
    }
}

/// All rows of whole tables: for a check, which alone reads everything.
pub(crate) fn all<T>(
    db: Db<'_>,
    table: &'static str,
    sql: &'static str,
    mut build: impl FnMut(&Cells<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    match db {
        Db::Sqlite(db) => {
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut built = Vec::new();
            while let Some(row) = rows.next()? {
                built.push(build(&Cells::new(Row::Sqlite(row), table, &"(all)"))?);
            }
            Ok(built)
        }
        Db::Postgres(_) | Db::Asking(_) => many(db, table, "(all)", sql, params![], build),
    }
}

fn only_asking(sql: &'static str) -> StoreError {
    StoreError::incident("transaction", sql, "written while it was only asked ahead")
}

/// Goes through all rows of a whole table without holding them all: for a backup.
pub(crate) fn each(
    db: Db<'_>,
    table: &'static str,
    sql: &'static str,
    mut take: impl FnMut(Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(db) => {
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                take(Row::Sqlite(row))?;
            }
            Ok(())
        }
        Db::Postgres(link) => link.each(sql, |row| take(Row::Postgres(row))),
        Db::Asking(_) => Err(StoreError::incident(table, "(all)", "read while it was only asked ahead")),
    }
}

/// One writer needs no row locks.
fn without_lock(sql: &str) -> &str {
    sql.strip_suffix(" FOR UPDATE").unwrap_or(sql)
}

#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// A column as it lies there.
#[derive(Debug)]
pub(crate) enum Raw<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl<'a> Row<'a> {
    pub(crate) fn column(self, index: usize) -> Result<Raw<'a>, String> {
        match self {
            Self::Sqlite(row) => match row.get_ref(index).map_err(|error| error.to_string())? {
                ValueRef::Null => Ok(Raw::Null),
                ValueRef::Integer(number) => Ok(Raw::Int(number)),
                ValueRef::Text(text) => std::str::from_utf8(text).map(Raw::Text).map_err(|error| error.to_string()),
                ValueRef::Blob(bytes) => Ok(Raw::Blob(bytes)),
                ValueRef::Real(_) => Err("is not a whole number".to_owned()),
            },
            Self::Postgres(row) => crate::postgres::column(row, index),
        }
    }

    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sqlite(row) => row.as_ref().column_count(),
            Self::Postgres(row) => row.len(),
        }
    }

    pub(crate) fn names(self) -> Vec<String> {
        (0..self.len()).map(|index| self.name(index)).collect()
    }

    fn name(self, index: usize) -> String {
        match self {
            Self::Sqlite(row) => row.as_ref().column_name(index).unwrap_or("?").to_owned(),
            Self::Postgres(row) => row.columns().get(index).map_or("?", |column| column.name()).to_owned(),
        }
    }
}

/// A row's columns, read from left to right.
pub(crate) struct Cells<'a> {
    row: Row<'a>,
    table: &'static str,
    key: &'a dyn Display,
    next: Cell<usize>,
}

impl<'a> Cells<'a> {
    fn new(row: Row<'a>, table: &'static str, key: &'a dyn Display) -> Self {
        Self { row, table, key, next: Cell::new(0) }
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
        self.wrong(format!("{}: {why}", self.row.name(index)))
    }

    fn raw(&self, index: usize) -> Result<Raw<'a>, StoreError> {
        self.row.column(index).map_err(|why| self.bad(index, why))
    }

    fn int_at(&self, index: usize) -> Result<Option<i64>, StoreError> {
        match self.raw(index)? {
            Raw::Null => Ok(None),
            Raw::Int(number) => Ok(Some(number)),
            Raw::Text(_) | Raw::Blob(_) => Err(self.bad(index, "is not a number")),
        }
    }

    fn str_at(&self, index: usize) -> Result<Option<&'a str>, StoreError> {
        match self.raw(index)? {
            Raw::Null => Ok(None),
            Raw::Text(text) => Ok(Some(text)),
            Raw::Int(_) | Raw::Blob(_) => Err(self.bad(index, "is not a text")),
        }
    }

    fn blob_at(&self, index: usize) -> Result<Option<&'a [u8]>, StoreError> {
        match self.raw(index)? {
            Raw::Null => Ok(None),
            Raw::Blob(bytes) => Ok(Some(bytes)),
            Raw::Int(_) | Raw::Text(_) => Err(self.bad(index, "is not a blob")),
        }
    }

    fn there<T>(&self, index: usize, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.bad(index, "is null"))
    }

    pub(crate) fn int(&self) -> Result<i64, StoreError> {
        let index = self.step();
        self.there(index, self.int_at(index)?)
    }

    pub(crate) fn opt_int(&self) -> Result<Option<i64>, StoreError> {
        self.int_at(self.step())
    }

    pub(crate) fn flag(&self) -> Result<bool, StoreError> {
        let index = self.step();
        match self.int_at(index)? {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) | None => Err(self.bad(index, "is neither 0 nor 1")),
        }
    }

    /// A count or number that is never negative.
    pub(crate) fn number<T: TryFrom<i64>>(&self) -> Result<T, StoreError> {
        let index = self.step();
        let number = self.there(index, self.int_at(index)?)?;
        T::try_from(number).map_err(|_| self.bad(index, "out of range"))
    }

    pub(crate) fn opt_number<T: TryFrom<i64>>(&self) -> Result<Option<T>, StoreError> {
        let index = self.step();
        self.int_at(index)?.map(|number| T::try_from(number).map_err(|_| self.bad(index, "out of range"))).transpose()
    }

    pub(crate) fn string(&self) -> Result<String, StoreError> {
        let index = self.step();
        self.there(index, self.str_at(index)?).map(str::to_owned)
    }

    pub(crate) fn opt_string(&self) -> Result<Option<String>, StoreError> {
        Ok(self.str_at(self.step())?.map(str::to_owned))
    }

    /// An id, digest or key.
    pub(crate) fn id<T>(&self) -> Result<T, StoreError>
    where
        T: for<'b> TryFrom<&'b [u8]>,
    {
        let index = self.step();
        let id = self.opt_id_at(index)?;
        self.there(index, id)
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
        let bytes = self.blob_at(index)?;
        bytes.map(|bytes| T::try_from(bytes).map_err(|_| self.bad(index, "is not such an id"))).transpose()
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        let index = self.step();
        self.there(index, self.blob_at(index)?).map(<[u8]>::to_vec)
    }

    pub(crate) fn time(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix_ms(self.int()?))
    }

    pub(crate) fn opt_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int()?.map(Timestamp::from_unix_ms))
    }

    pub(crate) fn minor(&self) -> Result<Minor, StoreError> {
        let index = self.step();
        let minor = self.there(index, self.int_at(index)?)?;
        Minor::new(minor).map_err(|error| self.bad(index, error))
    }

    pub(crate) fn opt_minor(&self) -> Result<Option<Minor>, StoreError> {
        let index = self.step();
        self.int_at(index)?.map(|minor| Minor::new(minor).map_err(|error| self.bad(index, error))).transpose()
    }

    pub(crate) fn currency(&self) -> Result<Currency, StoreError> {
        let index = self.step();
        let code = self.there(index, self.str_at(index)?)?;
        Currency::from_code(code).map_err(|error| self.bad(index, error))
    }

    /// Two columns: minor units, currency.
    pub(crate) fn amount(&self) -> Result<Amount, StoreError> {
        Ok(Amount::new(self.minor()?, self.currency()?))
    }

    pub(crate) fn account(&self) -> Result<Account, StoreError> {
        let index = self.step();
        let bytes = self.there(index, self.blob_at(index)?)?;
        Account::from_bytes(bytes).ok_or_else(|| self.bad(index, "is no account"))
    }

    pub(crate) fn opt_account(&self) -> Result<Option<Account>, StoreError> {
        let index = self.step();
        let bytes = self.blob_at(index)?;
        bytes.map(|bytes| Account::from_bytes(bytes).ok_or_else(|| self.bad(index, "is no account"))).transpose()
    }

    pub(crate) fn basis_points(&self) -> Result<BasisPoints, StoreError> {
        BasisPoints::new(self.number()?).ok_or_else(|| self.wrong("fee: is above ten percent"))
    }

    pub(crate) fn text<const MAX: usize>(&self) -> Result<Text<MAX>, StoreError> {
        let index = self.step();
        let text = self.there(index, self.str_at(index)?)?;
        Text::new(text).map_err(|error| self.bad(index, error))
    }

    pub(crate) fn opt_text<const MAX: usize>(&self) -> Result<Option<Text<MAX>>, StoreError> {
        let index = self.step();
        let text = self.str_at(index)?;
        text.map(|text| Text::new(text).map_err(|error| self.bad(index, error))).transpose()
    }

    pub(crate) fn day(&self) -> Result<Day, StoreError> {
        let index = self.step();
        let number = self.there(index, self.int_at(index)?)?;
        Day::from_number(number).ok_or_else(|| self.bad(index, "is beyond the calendar"))
    }

    /// A column that holds JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, StoreError> {
        let index = self.step();
        let text = self.there(index, self.str_at(index)?)?;
        serde_json::from_str(text).map_err(|error| self.bad(index, error))
    }

    pub(crate) fn opt_json<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let index = self.step();
        let text = self.str_at(index)?;
        text.map(|text| serde_json::from_str(text).map_err(|error| self.bad(index, error))).transpose()
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

/// Keeps a message of a household's or merchant's (its `owner`) and gives its key.
pub(crate) fn insert_message(db: Db<'_>, owner: &[u8; 16], message: &Message) -> Result<i64, StoreError> {
    let number = db.next_number("messages")?;
    put_numbered(
        db,
        "messages",
        number,
        "INSERT INTO messages (id, owner, digest, wire) VALUES (?1, ?2, ?3, ?4)",
        params![number, owner, message.digest.as_bytes(), message.wire.as_str()],
    )
}

pub(crate) fn lines_json(lines: &[LineId]) -> Result<String, StoreError> {
    serde_json::to_string(lines).map_err(|error| StoreError::Database(error.to_string()))
}

/// A count as SQL takes it.
pub(crate) fn sql_int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Database("a number is beyond 63 bits".to_owned()))
}

/// No statement may read a whole table, so that a payment costs the same however many there were; and none may be planned
/// again for other values.
#[cfg(test)]
mod scans {
    use rusqlite::{Statement, StatementStatus};

    pub(super) fn look_for(statement: &Statement<'_>, sql: &str) {
        // Running logins are few, and counted on purpose.
        let on_purpose = sql.starts_with("SELECT count(*) FROM logins");
        let scanned = statement.get_status(StatementStatus::FullscanStep);
        assert!(on_purpose || scanned == 0, "{scanned} rows scanned by {sql}");
        let planned = statement.get_status(StatementStatus::RePrepare);
        assert!(planned == 0, "planned again: {sql}");
    }
}
