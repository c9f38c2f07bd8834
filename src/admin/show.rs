//! How commands answer: an aligned table, or with `--json` one object a line with the names and forms of the HTTP API.

use std::fmt::Display;

use jiff::Timestamp as Date;
use nodpay_core::{Amount, Timestamp};
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

/// One value; how it looks depends on who reads it.
pub(super) enum Cell {
    Text(String),
    Number(i64),
    Money(Amount),
    Time(Timestamp),
    Flag(bool),
    Nothing,
}

impl Cell {
    pub(super) fn text(value: impl ToString) -> Self {
        Self::Text(value.to_string())
    }

    pub(super) fn opt_text(value: Option<impl ToString>) -> Self {
        value.map_or(Self::Nothing, Self::text)
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Money(amount) => json!(amount),
            Self::Time(at) => json!(at),
            Self::Flag(flag) => json!(flag),
            Self::Nothing => Value::Null,
        }
    }

    /// Line ends in names would break the table.
    fn words(&self) -> String {
        match self {
            Self::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Self::Number(number) => number.to_string(),
            Self::Money(amount) => amount.to_string(),
            Self::Time(at) => date(*at),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Self::Nothing => "-".to_owned(),
        }
    }

    const fn is_right(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Money(_))
    }
}

/// RFC 3339, to the second.
pub(super) fn date(at: Timestamp) -> String {
    match Date::from_millisecond(at.unix_ms()) {
        Ok(date) => date.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => at.unix_ms().to_string(),
    }
}

/// Named values, in order. All records of a list have the same names.
pub(super) type Record = Vec<(&'static str, Cell)>;

/// Where answers go.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) json: bool,
}

impl Out {
    /// One record: a line a value, or one object.
    pub(super) fn show(self, record: &Record) {
        if self.json {
            print_json(record);
            return;
        }
        let widest = record.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
        for (name, cell) in record {
            println!("{:widest$} {}", format!("{name}:"), cell.words());
        }
    }

    /// A record that people read as `words`: the one thing that they want of it, by itself for a shell, or a sentence.
    pub(super) fn say(self, record: &Record, words: impl Display) {
        if self.json {
            print_json(record);
        } else {
            println!("{words}");
        }
    }

    pub(super) const fn list(self) -> List {
        List { out: self, rows: Vec::new() }
    }
}

/// A list on its way out: objects leave at once, a table when all of it is known.
pub(super) struct List {
    out: Out,
    rows: Vec<Record>,
}

impl List {
    pub(super) fn add(&mut self, record: Record) {
        if self.out.json {
            print_json(&record);
        } else {
            self.rows.push(record);
        }
    }

    pub(super) fn end(self) {
        print!("{}", table(&self.rows));
    }
}

fn print_json(record: &Record) {
    let object: Map<String, Value> = record.iter().map(|(name, cell)| ((*name).to_owned(), cell.json())).collect();
    println!("{}", Value::Object(object));
}

fn table(rows: &[Record]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let head = first.iter().map(|(name, cell)| ((*name).to_owned(), cell.is_right())).collect::<Vec<_>>();
    let body = rows.iter().map(|row| row.iter().map(|(_, cell)| (cell.words(), cell.is_right())).collect::<Vec<_>>());
    let lines: Vec<_> = std::iter::once(head).chain(body).collect();
    let column = |index: usize| lines.iter().filter_map(move |line| line.get(index)).map(|(text, _)| text.width());
    let widths: Vec<usize> = (0..first.len()).map(|index| column(index).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for ((cell, right), wide) in line.iter().zip(&widths) {
            let space = " ".repeat(wide - cell.width());
            let padded = if *right { format!("{space}{cell}") } else { format!("{cell}{space}") };
            text.push_str(&padded);
            text.push_str("  ");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use nodpay_core::{Currency, Minor};

    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let row = |name: &str, units| {
            let amount = Amount::new(Minor::new(units).expect("in range"), Currency::CNY);
            vec![("name", Cell::text(name)), ("balance", Cell::Money(amount)), ("iban", Cell::Nothing)]
        };
        let text = table(&[row("阳光小卖部", 5), row("Canteen", 123_456)]);
        assert_eq!(text, "name            balance  iban\n阳光小卖部     0.05 CNY  -\nCanteen     1234.56 CNY  -\n");
        assert_eq!(table(&[]), "");
    }
}
