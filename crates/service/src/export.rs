//! A household's movements for other programs: CSV (RFC 4180) for spreadsheets, OFX 2.2 for household books.
//!
//! CSV begins with a byte order mark: without one a widespread spreadsheet takes Chinese for another character set. A text that
//! a spreadsheet would take for a formula is disarmed. OFX names each movement by its transfer, so that whoever reads two files
//! with the same movement in both takes it once.

use std::collections::BTreeMap;

use nodpay_core::{Amount, Category, Currency, HouseholdId, Timestamp, WearerId};

use nodpay_store::BackKind;

use crate::problem::ApiError;
use crate::seeing::{Move, MoveKind, Span};
use crate::statement::quoted;

/// U+FEFF.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// OFX 2.2 section 11.4.3, `NAME`, `REFNUM` and `MEMO`.
const OFX_NAME_CHARS: usize = 32;
const OFX_REFERENCE_CHARS: usize = 32;
const OFX_MEMO_CHARS: usize = 255;

/// Names of wearers; one who is not in it was erased.
pub(crate) type Names = BTreeMap<WearerId, String>;

pub(crate) fn csv_head() -> String {
    format!(
        "{BYTE_ORDER_MARK}date,time,kind,wearer,shop,category,items,amount,currency,reason,order,transfer,reference\r\n"
    )
}

pub(crate) fn csv_line(moved: &Move, span: &Span, names: &Names) -> Result<String, ApiError> {
    let at = span.zoned(moved.at);
    let said = Said::of(moved, names)?;
    let order = said.order;
    let [wearer, shop, items, reason, reference] = [said.wearer, said.shop, &said.items, said.reason, said.reference]
        .map(|text| if text.is_empty() { String::new() } else { quoted(text) });
    let category = said.category.map_or("", Category::as_str);
    let (kind, amount, currency) = (kind_name(&moved.kind), moved.amount.decimal(), moved.amount.currency());
    let (date, time, transfer) = (at.date(), at.strftime("%H:%M:%S"), moved.transfer);
    Ok(format!(
        "{date},{time},{kind},{wearer},{shop},{category},{items},{amount},{currency},{reason},{order},{transfer},{reference}\r\n"
    ))
}

const fn kind_name(kind: &MoveKind) -> &'static str {
    match kind {
        MoveKind::Purchase(_) => "purchase",
        MoveKind::Back { kind: BackKind::Refund, .. } => "refund",
        MoveKind::Back { kind: BackKind::TakenBack, .. } => "taken-back",
        MoveKind::Back { kind: BackKind::GivenAgain, .. } => "given-again",
        MoveKind::PaidIn => "paid-in",
        MoveKind::PaidOut => "paid-out",
    }
}

/// A movement in words.
struct Said<'a> {
    wearer: &'a str,
    shop: &'a str,
    category: Option<Category>,
    items: String,
    reason: &'a str,
    order: String,
    /// What a rail calls it.
    reference: &'a str,
}

impl<'a> Said<'a> {
    fn of(moved: &'a Move, names: &'a Names) -> Result<Self, ApiError> {
        let name = |wearer: &WearerId| names.get(wearer).map_or("", String::as_str);
        Ok(match &moved.kind {
            MoveKind::Purchase(purchase) => Self {
                wearer: name(&purchase.row.wearer),
                shop: purchase.shop.name.as_str(),
                category: Some(Category::of(purchase.shop.mcc)),
                items: purchase.items()?.join("; "),
                reason: "",
                order: purchase.row.order.to_string(),
                reference: "",
            },
            MoveKind::Back { kind: _, shop, wearer, order, reason, reference } => Self {
                wearer: name(wearer),
                shop: shop.name.as_str(),
                category: Some(Category::of(shop.mcc)),
                items: String::new(),
                reason,
                order: order.to_string(),
                reference,
            },
            MoveKind::PaidIn | MoveKind::PaidOut => Self {
                wearer: "",
                shop: "",
                category: None,
                items: String::new(),
                reason: "",
                order: String::new(),
                reference: "",
            },
        })
    }
}

/// Everything before the movements. `now` is when the file was made, `chinese` its reader's language.
pub(crate) fn ofx_head(
    household: HouseholdId,
    currency: Currency,
    span: &Span,
    now: Timestamp,
    chinese: bool,
) -> String {
    let language = if chinese { "ZHO" } else { "ENG" };
    let status = "<STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS>";
    // An open end is today, an open begin the first day there is.
    let (start, end, made) = (ofx_time(span.from), ofx_time(span.to.min(now.max(span.from))), ofx_time(now));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n\
         <?OFX OFXHEADER=\"200\" VERSION=\"220\" SECURITY=\"NONE\" OLDFILEUID=\"NONE\" NEWFILEUID=\"NONE\"?>\r\n\
         <OFX><SIGNONMSGSRSV1><SONRS>{status}<DTSERVER>{made}</DTSERVER><LANGUAGE>{language}</LANGUAGE></SONRS>\
         </SIGNONMSGSRSV1>\r\n<BANKMSGSRSV1><STMTTRNRS><TRNUID>0</TRNUID>{status}<STMTRS><CURDEF>{currency}</CURDEF>\
         <BANKACCTFROM><BANKID>NODPAY</BANKID><ACCTID>{household}</ACCTID><ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTFROM>\
         <BANKTRANLIST><DTSTART>{start}</DTSTART><DTEND>{end}</DTEND>\r\n"
    )
}

pub(crate) fn ofx_line(moved: &Move, names: &Names) -> Result<String, ApiError> {
    let said = Said::of(moved, names)?;
    let kind = match &moved.kind {
        MoveKind::Purchase(_) => "POS",
        MoveKind::Back { kind: BackKind::Refund | BackKind::TakenBack, .. } => "CREDIT",
        MoveKind::PaidIn => "DEP",
        MoveKind::Back { kind: BackKind::GivenAgain, .. } | MoveKind::PaidOut => "DEBIT",
    };
    let name = if said.shop.is_empty() { kind_name(&moved.kind) } else { said.shop };
    let words = [said.wearer, said.items.as_str(), said.reason];
    let memo = words.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    let memo = escaped(&memo, OFX_MEMO_CHARS);
    let memo = if memo.is_empty() { memo } else { format!("<MEMO>{memo}</MEMO>") };
    let reference = match escaped(said.reference, OFX_REFERENCE_CHARS) {
        none if none.is_empty() => none,
        reference => format!("<REFNUM>{reference}</REFNUM>"),
    };
    Ok(format!(
        "<STMTTRN><TRNTYPE>{kind}</TRNTYPE><DTPOSTED>{}</DTPOSTED><DTUSER>{}</DTUSER><TRNAMT>{}</TRNAMT>\
         <FITID>{}</FITID>{reference}<NAME>{}</NAME>{memo}</STMTTRN>\r\n",
        ofx_time(moved.posted),
        ofx_time(moved.at),
        moved.amount.decimal(),
        moved.transfer,
        escaped(name, OFX_NAME_CHARS),
    ))
}

/// `balance` is the wallet's, at `now`.
pub(crate) fn ofx_tail(balance: Amount, now: Timestamp) -> String {
    format!(
        "</BANKTRANLIST><LEDGERBAL><BALAMT>{}</BALAMT><DTASOF>{}</DTASOF></LEDGERBAL></STMTRS></STMTTRNRS>\
         </BANKMSGSRSV1></OFX>\r\n",
        balance.decimal(),
        ofx_time(now)
    )
}

/// UTC, with milliseconds (OFX 2.2 section 3.2.8.2).
fn ofx_time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or_default();
    format!("{}[0:GMT]", at.strftime("%Y%m%d%H%M%S.%3f"))
}

/// At most so many characters, safe inside an element.
fn escaped(text: &str, chars: usize) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars().take(chars) {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_element() {
        assert_eq!(escaped("A & <B> 好好好", 8), "A &amp; &lt;B&gt; ");
    }

    #[test]
    fn times_are_utc() {
        let at = "2026-11-23T07:08:09.120Z".parse::<jiff::Timestamp>().expect("a time");
        assert_eq!(ofx_time(Timestamp::from_unix_ms(at.as_millisecond())), "20261123070809.120[0:GMT]");
    }
}
