//! One file with everything a store holds, taken while others work with it, and read back into an empty one of either kind.
//!
//! Lines of JSON: what it is, then each table's name and columns before its rows (byte strings as `{"hex": …}`), then the
//! number of rows, without which a file counts as cut off. It holds names, items and hashes of tokens: keep it like the
//! database.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::StoreError;
use crate::db::{Db, Raw, Row, Value, all, each, one, params, run, run_one};
use crate::tx::{Fault, Tx};

/// The form of the file.
const FORM: u32 = 1;
/// Rows that wait to be sent at once.
const BATCH: u64 = 500;

/// Every table but `retention`, whose walk begins anew, in an order in which rows come after those they refer to. The program's own names only: never a text from
/// outside.
pub(crate) const TABLES: [&str; 42] = [
    "messages",
    "outcome_certificates",
    "households",
    "log_entries",
    "wearers",
    "guardians",
    "watches",
    "pin_reports",
    "pairings",
    "joins",
    "recovery_keys",
    "merchants",
    "certificates",
    "merchant_keys",
    "merchant_codes",
    "invitations",
    "sessions",
    "logins",
    "bills",
    "orders",
    "open_orders",
    "requote_asks",
    "transfers",
    "settlements",
    "refunds",
    "schedules",
    "household_rails",
    "rail_payments",
    "rail_steps",
    "disputes",
    "closings",
    "merchant_transfers",
    "payouts",
    "events",
    "merchant_events",
    "mandates",
    "mandate_sums",
    "push_keys",
    "push_subscriptions",
    "push_messages",
    "top_up_cards",
    "card_top_ups",
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Head {
    NodpayBackup(u32),
    Table { name: String, columns: Vec<String> },
    Rows(u64),
}

fn failed(why: impl std::fmt::Display) -> StoreError {
    StoreError::Backup(why.to_string())
}

/// Gives the number of rows written. The file appears under its name only when it is whole and on the disk.
pub(crate) fn write(db: Db<'_>, path: &Path) -> Result<u64, StoreError> {
    let part = path.with_extension("part");
    let rows = write_to(db, &part)?;
    std::fs::rename(&part, path).map_err(failed)?;
    Ok(rows)
}

fn write_to(db: Db<'_>, path: &Path) -> Result<u64, StoreError> {
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let mut line = |value: &serde_json::Value| writeln!(file, "{value}").map_err(failed);
    line(&json!(Head::NodpayBackup(FORM)))?;
    let mut rows = 0_u64;
    for table in tables() {
        let mut began = false;
        each(db, table.name, table.select, |row| {
            if !began {
                began = true;
                line(&json!(Head::Table { name: table.name.to_owned(), columns: row.names() }))?;
            }
            rows += 1;
            let cells = (0..row.len()).map(|index| cell(row, index)).collect::<Result<Vec<_>, _>>()?;
            line(&serde_json::Value::Array(cells))
        })?;
    }
    line(&json!(Head::Rows(rows)))?;
    file.into_inner().map_err(failed)?.sync_all().map_err(failed)?;
    Ok(rows)
}

fn cell(row: Row<'_>, index: usize) -> Result<serde_json::Value, StoreError> {
    Ok(match row.column(index).map_err(failed)? {
        Raw::Null => serde_json::Value::Null,
        Raw::Int(number) => number.into(),
        Raw::Text(text) => text.into(),
        Raw::Blob(bytes) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    })
}

fn value(cell: serde_json::Value) -> Result<Value<'static>, StoreError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Cell {
        Null(()),
        Int(i64),
        Text(String),
        Blob { hex: String },
    }
    let digits = |hex: &str| -> Option<Vec<u8>> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
    };
    Ok(match serde_json::from_value(cell).map_err(failed)? {
        Cell::Null(()) => Value::Null,
        Cell::Int(number) => number.into(),
        Cell::Text(text) => text.into(),
        Cell::Blob { hex } => digits(&hex).map(Value::from).ok_or_else(|| failed("half a byte string"))?,
    })
}

/// Reads a file into a store that holds nothing; gives the number of rows.
pub(crate) fn read(tx: &mut Tx<'_>, path: &Path) -> Result<u64, Fault> {
    for table in tables() {
        if !all(tx.db, table.name, table.any, |_| Ok(()))?.is_empty() {
            return Err(StoreError::NotEmpty.into());
        }
    }
    // Some tables refer to each other.
    match tx.db {
        Db::Sqlite(_) | Db::Asking(_) => tx.db.control("PRAGMA defer_foreign_keys = ON")?,
        Db::Postgres(_) => tx.db.control("SET CONSTRAINTS ALL DEFERRED")?,
    }
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut lines = file.lines();
    let first = lines.next().ok_or_else(|| failed("an empty file"))?.map_err(failed)?;
    if !matches!(serde_json::from_str(&first), Ok(Head::NodpayBackup(FORM))) {
        return Err(failed("not a backup of this program, or of a newer one").into());
    }
    let mut insert: Option<(&'static str, &'static str, usize)> = None;
    let (mut rows, mut end) = (0_u64, None);
    for line in lines {
        let line = line.map_err(failed)?;
        if end.is_some() {
            return Err(failed("it goes on after its end").into());
        }
        if line.starts_with('[') {
            let (table, sql, columns) = insert.ok_or_else(|| failed("a row before its table"))?;
            let cells: Vec<serde_json::Value> = serde_json::from_str(&line).map_err(failed)?;
            if cells.len() != columns {
                return Err(failed(format!("a row of {table} has {} columns, not {columns}", cells.len())).into());
            }
            let values = cells.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
            run_one(tx.db, table, rows, sql, &values)?;
            rows += 1;
            if rows % BATCH == 0 {
                tx.db.flush()?;
            }
        } else {
            match serde_json::from_str(&line).map_err(failed)? {
                Head::Table { name, columns } => insert = Some(insert_into(&name, &columns)?),
                Head::Rows(count) => end = Some(count),
                Head::NodpayBackup(_) => return Err(failed("it begins twice").into()),
            }
        }
    }
    if end != Some(rows) {
        return Err(failed("it is cut off").into());
    }
    number_on(tx.db)?;
    Ok(rows)
}

/// What is written from now on is numbered above what was read.
fn number_on(db: Db<'_>) -> Result<(), StoreError> {
    let Db::Postgres(_) = db else { return Ok(()) };
    for sql in [
        "SELECT setval('messages_no', 1000 + coalesce((SELECT max(id) FROM messages), 0))",
        "SELECT setval('bills_no', 1000 + coalesce((SELECT max(no) FROM bills), 0))",
        "SELECT setval('orders_no', 1 + coalesce((SELECT max(no) FROM orders), 0))",
    ] {
        one(db, "numbers", "-", sql, params![], |cells| cells.int())?;
    }
    run(db, "UPDATE merchant_events_base SET base = coalesce((SELECT max(seq) FROM merchant_events), 0)", params![])?;
    Ok(())
}

struct Table {
    name: &'static str,
    select: &'static str,
    any: &'static str,
}

fn tables() -> impl Iterator<Item = Table> {
    // Statements are kept for the program's life: two for each table, each time a backup is made or read.
    let forever = |sql: String| -> &'static str { Box::leak(sql.into_boxed_str()) };
    TABLES.into_iter().map(move |name| Table {
        name,
        select: forever(format!("SELECT * FROM {name}")),
        any: forever(format!("SELECT 1 FROM {name} LIMIT 1")),
    })
}

/// Table, statement, number of columns. Names are compared with ours, and columns must look like names.
fn insert_into(name: &str, columns: &[String]) -> Result<(&'static str, &'static str, usize), StoreError> {
    let table =
        TABLES.into_iter().find(|table| *table == name).ok_or_else(|| failed(format!("no table {name} here")))?;
    let is_name =
        |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if columns.is_empty() || !columns.iter().all(is_name) {
        return Err(failed(format!("columns of {name} are not in their form")));
    }
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let sql = format!("INSERT INTO {name} ({}) VALUES ({})", columns.join(", "), places.join(", "));
    Ok((table, Box::leak(sql.into_boxed_str()), columns.len()))
}
