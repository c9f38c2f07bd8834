//! A merchant's statement as JSON and as CSV (RFC 4180): for its books, and for the operator's.

use nodpay_core::{BillId, Currency, Day, MerchantId, Minor, Text, Timestamp, TransferId};
use nodpay_store::{Movement, MovementKind, Place, Statement, Totals};
use serde::Serialize;

/// A page of a statement.
#[derive(Debug, Serialize)]
pub struct StatementView {
    merchant: MerchantId,
    /// First day (UTC).
    from: String,
    /// Last day (UTC).
    to: String,
    currency: Currency,
    /// Minor units, as everything here.
    opening: Minor,
    #[serde(flatten)]
    totals: Totals,
    closing: Minor,
    movements: Vec<MovementView>,
    /// Go on with `after` this one; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct MovementView {
    at: Timestamp,
    transfer: TransferId,
    kind: MovementKind,
    amount: Minor,
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<BillId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Text<60>>,
}

impl From<Statement> for StatementView {
    fn from(statement: Statement) -> Self {
        let movement = |movement: Movement| {
            let Movement { at, transfer, kind, change: amount, bill, reason } = movement;
            MovementView { at, transfer, kind, amount, bill, reason }
        };
        Self {
            merchant: statement.merchant,
            from: statement.period.from.to_string(),
            to: statement.period.to.to_string(),
            currency: statement.currency,
            opening: statement.opening,
            totals: statement.totals,
            closing: statement.closing,
            movements: statement.movements.into_iter().map(movement).collect(),
            next: statement.next.map(place_text),
        }
    }
}

/// `after` of the next page.
#[must_use]
pub fn place_text(place: Place) -> String {
    format!("{}.{}", place.at.unix_ms(), place.transfer)
}

/// What [`place_text`] wrote.
#[must_use]
pub fn read_place(text: &str) -> Option<Place> {
    let (at, transfer) = text.split_once('.')?;
    Some(Place { at: Timestamp::from_unix_ms(at.parse().ok()?), transfer: transfer.parse().ok()? })
}

/// First lines of the file: names of columns, and the opening balance. Amounts are minor units.
#[must_use]
pub fn csv_head(statement: &Statement) -> String {
    let opening = balance_line(statement.period.from, "opening", statement.opening, statement.currency);
    format!("date,unix_ms,kind,amount,currency,bill,transfer,reason\r\n{opening}")
}

/// The movements of a page.
#[must_use]
pub fn csv_page(statement: &Statement) -> String {
    statement.movements.iter().map(|movement| csv_line(movement, statement.currency)).collect()
}

/// The last line: the closing balance.
#[must_use]
pub fn csv_tail(statement: &Statement) -> String {
    balance_line(statement.period.to, "closing", statement.closing, statement.currency)
}

fn balance_line(day: Day, kind: &str, balance: Minor, currency: Currency) -> String {
    format!("{day},,{kind},{},{currency},,,\r\n", balance.get())
}

fn csv_line(movement: &Movement, currency: Currency) -> String {
    let Movement { at, transfer, kind, change, bill, reason } = movement;
    let (day, bill) = (Day::of(*at), bill.map(|bill| bill.to_string()).unwrap_or_default());
    let reason = reason.as_ref().map(|reason| quoted(reason.as_str())).unwrap_or_default();
    format!("{day},{},{},{},{currency},{bill},{transfer},{reason}\r\n", at.unix_ms(), kind.as_str(), change.get())
}

/// A text in quotes. One that a spreadsheet would take for a formula gets an apostrophe before it.
pub(crate) fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_cannot_break_out_of_its_cell() {
        assert_eq!(quoted("坏了, \"zwei\""), "\"坏了, \"\"zwei\"\"\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
    }

    #[test]
    fn a_place_is_read_back() {
        let place = Place { at: Timestamp::from_unix_ms(17), transfer: TransferId::from_bytes([9; 16]) };
        assert_eq!(read_place(&place_text(place)), Some(place));
        assert_eq!(read_place("17"), None);
    }
}
