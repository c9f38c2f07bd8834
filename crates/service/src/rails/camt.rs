//! What came in on the operator's account, as its bank says: ISO 20022 `camt.053` (statements) and `camt.054` (notifications).
//!
//! Owns: which payments a file says were booked, and what names each of them for good. Never does: decide whose they are.
//!
//! A payment is named by the bank's own reference of the entry, its place in the entry, the account and the amount: the same file
//! read again, or the next one that has it too, gives the same names.

use nodpay_core::{Amount, Currency, Iban, Minor, TransferId};
use nodpay_protocol::sha256;
use roxmltree::Node;

use super::bank::{ReportError, child, children, open, text_of};
use crate::reference;

/// `Stmt` of statements, `Ntfctn` of notifications; every version has them since the second.
const DOCUMENTS: [(&str, &str, &str); 2] = [
    ("urn:iso:std:iso:20022:tech:xsd:camt.053.001.", "BkToCstmrStmt", "Stmt"),
    ("urn:iso:std:iso:20022:tech:xsd:camt.054.001.", "BkToCstmrDbtCdtNtfctn", "Ntfctn"),
];
/// What banks write where they have no reference.
const NO_REFERENCE: [&str; 3] = ["NONREF", "NOTPROVIDED", "NOTAVAILABLE"];

/// A payment that the bank has booked in our favour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// What names it for good; `None` where the bank gave nothing to name it by.
    pub transfer: Option<TransferId>,
    pub amount: Amount,
    /// The day it was booked, as the bank writes it.
    pub booked: Option<String>,
    /// The household's reference, where one with right digits is in the payment's own words.
    pub reference: Option<String>,
    /// Those words, for the operator.
    pub words: String,
}

/// Why a file was not read; nothing of it counts. `Display` is one plain sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error(transparent)]
    File(#[from] ReportError),
    #[error("the file is neither a camt.053 statement nor a camt.054 notification")]
    NotAStatement,
    #[error("the file is about the account {0}, not about the one that families pay into")]
    OtherAccount(String),
    #[error("the file has an entry whose amount cannot be read: {0}")]
    Amount(String),
}

/// The credits of a file, in its order. With `own`, only a file about that account is taken.
///
/// # Errors
/// [`StatementError`].
pub fn read_credits(bytes: &[u8], own: Option<&Iban>) -> Result<Vec<Credit>, StatementError> {
    let document = open(bytes)?;
    let root = document.root_element();
    let space = root.tag_name().namespace().unwrap_or_default();
    let known = DOCUMENTS.iter().find(|(namespace, ..)| space.starts_with(namespace));
    let (body, part) =
        known.and_then(|(_, body, part)| Some((child(root, body)?, *part))).ok_or(StatementError::NotAStatement)?;
    let mut credits = Vec::new();
    for statement in children(body, part) {
        let account = child(statement, "Acct").and_then(|account| child(account, "Id"));
        let account = account.and_then(|id| text_of(id, "IBAN")).unwrap_or_default();
        if own.is_some_and(|own| own.as_str() != account) {
            return Err(StatementError::OtherAccount(account.to_owned()));
        }
        for entry in children(statement, "Ntry").filter(|entry| is_booked_credit(*entry)) {
            read_entry(statement, entry, account, &mut credits)?;
        }
    }
    Ok(credits)
}

/// Money that came in and stays: no debit, nothing that is still pending, and no debit that is taken back.
fn is_booked_credit(entry: Node<'_, '_>) -> bool {
    // A code of its own since version 8, a text before.
    let status = child(entry, "Sts").and_then(|status| text_of(status, "Cd").or_else(|| status.text().map(str::trim)));
    let reversal = text_of(entry, "RvslInd").is_some_and(|said| matches!(said, "true" | "1"));
    text_of(entry, "CdtDbtInd") == Some("CRDT") && status == Some("BOOK") && !reversal
}

fn read_entry(
    statement: Node<'_, '_>,
    entry: Node<'_, '_>,
    account: &str,
    credits: &mut Vec<Credit>,
) -> Result<(), StatementError> {
    let amount = amount_of(entry).ok_or_else(|| StatementError::Amount(shown(entry)))??;
    let details: Vec<Node<'_, '_>> = children(entry, "NtryDtls").flat_map(|node| children(node, "TxDtls")).collect();
    let booked = child(entry, "BookgDt").and_then(|date| text_of(date, "Dt").or_else(|| text_of(date, "DtTm")));
    let name = |detail: Option<Node<'_, '_>>| {
        let own = |node| text_of(node, "AcctSvcrRef").filter(|text| !NO_REFERENCE.contains(text));
        let by_entry = own(entry).map(str::to_owned);
        let by_detail = detail.and_then(|detail| own(child(detail, "Refs")?)).map(str::to_owned);
        // Numbers of entries begin anew in each statement.
        let by_number = text_of(entry, "NtryRef").filter(|text| !NO_REFERENCE.contains(text));
        let by_number = by_number.and_then(|number| Some(format!("{}\n{number}", text_of(statement, "Id")?)));
        by_entry.or(by_detail).or(by_number)
    };
    let parts = split(&details, amount);
    for (place, (detail, amount)) in parts.iter().enumerate() {
        let words = detail.map(words_of).unwrap_or_default();
        let transfer = name(*detail).map(|name| {
            let (minor, currency) = (amount.minor(), amount.currency().code());
            id(&format!("nodpay-bank-credit-v1\0{account}\0{name}\0{place}\0{minor} {currency}"))
        });
        credits.push(Credit {
            transfer,
            amount: *amount,
            booked: booked.map(str::to_owned),
            reference: words.iter().find_map(|words| reference::find(words)),
            words: words.join(" · "),
        });
    }
    Ok(())
}

/// The payments that an entry is of. One that the bank sums up, without amounts that come to its own, stays one: of nobody.
fn split<'a, 'd>(details: &[Node<'a, 'd>], amount: Amount) -> Vec<(Option<Node<'a, 'd>>, Amount)> {
    if let [one] = details {
        return vec![(Some(*one), amount)];
    }
    let amounts: Option<Vec<Amount>> = details.iter().map(|detail| amount_of_detail(*detail)?.ok()).collect();
    let sum = amounts.iter().flatten().try_fold(0_i64, |sum, part| {
        (part.currency() == amount.currency()).then_some(())?;
        sum.checked_add(part.minor())
    });
    match amounts {
        Some(amounts) if !amounts.is_empty() && sum == Some(amount.minor()) => {
            details.iter().map(|detail| Some(*detail)).zip(amounts).collect()
        }
        Some(_) | None => vec![(None, amount)],
    }
}

fn amount_of_detail(detail: Node<'_, '_>) -> Option<Result<Amount, StatementError>> {
    let inside = || child(child(detail, "AmtDtls")?, "TxAmt");
    amount_of(detail).or_else(|| amount_of(inside()?))
}

/// The element `Amt`: a decimal number, and its currency as an attribute. `None` where there is none.
fn amount_of(node: Node<'_, '_>) -> Option<Result<Amount, StatementError>> {
    let amount = child(node, "Amt")?;
    let read = || {
        let currency = Currency::from_code(amount.attribute("Ccy")?).ok()?;
        let (whole, rest) = amount.text()?.trim().split_once('.').unwrap_or((amount.text()?.trim(), ""));
        let places = usize::try_from(currency.exponent()).ok()?;
        // Zeros beyond the currency's own places say nothing.
        let rest = rest.trim_end_matches('0');
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || rest.len() > places || !digits(whole) || !digits(rest) {
            return None;
        }
        let minor = format!("{whole}{rest:0<places$}").parse().ok()?;
        Some(Amount::new(Minor::new(minor).ok()?, currency))
    };
    Some(read().ok_or_else(|| StatementError::Amount(shown(node))))
}

fn shown(node: Node<'_, '_>) -> String {
    let amount = child(node, "Amt");
    let (text, currency) = (amount.and_then(|amount| amount.text()), amount.and_then(|amount| amount.attribute("Ccy")));
    format!("{} {}", text.unwrap_or("nothing"), currency.unwrap_or("without a currency"))
}

/// What the payer wrote: the structured reference first, then the rest.
fn words_of(detail: Node<'_, '_>) -> Vec<String> {
    let remittance = child(detail, "RmtInf");
    let structured = remittance.into_iter().flat_map(|info| children(info, "Strd"));
    let structured = structured.filter_map(|info| text_of(child(info, "CdtrRefInf")?, "Ref"));
    // Banks cut long texts into several.
    let free: String =
        remittance.into_iter().flat_map(|info| children(info, "Ustrd")).filter_map(|text| text.text()).collect();
    let end_to_end = child(detail, "Refs").and_then(|refs| text_of(refs, "EndToEndId"));
    let end_to_end = end_to_end.filter(|text| !NO_REFERENCE.contains(text));
    let words = structured.map(str::to_owned).chain([free.trim().to_owned()]);
    words.chain(end_to_end.map(str::to_owned)).filter(|text| !text.is_empty()).collect()
}

fn id(text: &str) -> TransferId {
    let mut id = [0; TransferId::LEN];
    id.iter_mut().zip(sha256(text.as_bytes())).for_each(|(to, from)| *to = from);
    TransferId::from_bytes(id)
}
