//! Bank transfers by ISO 20022 files: a customer credit transfer initiation (`pain.001.001.09`) out, payment status
//! reports (`pain.002.001.03` or newer) in. Pure: bytes in, bytes out.
//!
//! A file holds one currency. Its id, and so all ids in it, come from the transfers: writing it again gives the same bytes,
//! which a bank that has it already refuses as a duplicate. The end-to-end id of a transaction is the transfer's id.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nodpay_core::{BankAccount, Currency, Decline, Iban, Minor, RailAnswer, Timestamp, TransferId};
use roxmltree::{Document, Node, ParsingOptions};

use super::{from_hex, hex};

/// Transfers one file may hold.
pub const MAX_TRANSFERS: usize = 1_000;
/// A report about so many, with room for addresses and reasons.
pub const MAX_REPORT_LEN: usize = 8 * 1024 * 1024;
const MAX_REPORT_NODES: u32 = 400_000;
/// `Max140Text`, the longest name and reference of the schema; SEPA takes names of 70.
const MAX_NAME: usize = 70;
const MAX_REFERENCE: usize = 140;
/// Every version of the report that has transactions in groups of payments, from SEPA's own on.
const REPORT_NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.";
const FIRST_REPORT_VERSION: u32 = 3;

/// One credit transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub transfer: TransferId,
    pub amount: Minor,
    pub debtor: BankAccount,
    pub creditor: BankAccount,
    /// What the payee sees beside the amount.
    pub reference: String,
}

/// What one file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The file's own id, the same whenever it is written.
    pub id: TransferId,
    pub currency: Currency,
    pub created: Timestamp,
    pub initiator: String,
    /// 1 to [`MAX_TRANSFERS`].
    pub instructions: Vec<Instruction>,
}

impl Collection {
    /// The file. Payments are grouped by the account they leave, in a fixed order.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let created = iso_time(self.created);
        let date = created.split('T').next().unwrap_or_default();
        let mut by_debtor: BTreeMap<&Iban, Vec<&Instruction>> = BTreeMap::new();
        for instruction in &self.instructions {
            by_debtor.entry(&instruction.debtor.iban).or_default().push(instruction);
        }
        let all: Vec<&Instruction> = self.instructions.iter().collect();
        let mut xml = Xml::new();
        xml.open("CstmrCdtTrfInitn").open("GrpHdr");
        xml.text("MsgId", &hex(self.id)).text("CreDtTm", &created);
        xml.text("NbOfTxs", &all.len().to_string()).text("CtrlSum", &self.sum(&all));
        xml.open("InitgPty").name(&self.initiator).close("InitgPty").close("GrpHdr");
        for (number, payments) in by_debtor.values().enumerate() {
            let Some(debtor) = payments.first().map(|first| &first.debtor) else { continue };
            xml.open("PmtInf").text("PmtInfId", &payment_id(self.id, number)).text("PmtMtd", "TRF");
            xml.text("NbOfTxs", &payments.len().to_string()).text("CtrlSum", &self.sum(payments));
            if self.currency == Currency::EUR {
                xml.open("PmtTpInf").open("SvcLvl").text("Cd", "SEPA").close("SvcLvl").close("PmtTpInf");
            }
            xml.open("ReqdExctnDt").text("Dt", date).close("ReqdExctnDt");
            xml.open("Dbtr").name(&debtor.name).close("Dbtr").account("DbtrAcct", &debtor.iban);
            xml.agent("DbtrAgt", debtor.bic.as_deref().unwrap_or_default());
            xml.text("ChrgBr", "SLEV");
            for payment in payments {
                self.write(&mut xml, payment);
            }
            xml.close("PmtInf");
        }
        xml.close("CstmrCdtTrfInitn");
        xml.finish()
    }

    fn write(&self, xml: &mut Xml, payment: &Instruction) {
        let id = hex(payment.transfer);
        xml.open("CdtTrfTxInf").open("PmtId").text("InstrId", &id).text("EndToEndId", &id).close("PmtId");
        xml.open("Amt").amount(self.currency, &self.decimal(payment.amount)).close("Amt");
        if let Some(bic) = &payment.creditor.bic {
            xml.agent("CdtrAgt", bic);
        }
        xml.open("Cdtr").name(&payment.creditor.name).close("Cdtr").account("CdtrAcct", &payment.creditor.iban);
        xml.open("RmtInf").text("Ustrd", &fitted(&payment.reference, MAX_REFERENCE)).close("RmtInf");
        xml.close("CdtTrfTxInf");
    }

    /// The control sum: never beyond i64, since each of at most a thousand amounts is below 10^11.
    fn sum(&self, payments: &[&Instruction]) -> String {
        decimal(payments.iter().map(|payment| payment.amount.get()).sum(), self.currency)
    }

    fn decimal(&self, amount: Minor) -> String {
        decimal(amount.get(), self.currency)
    }
}

/// The id of a file's group of payments, at most 35 characters.
fn payment_id(collection: TransferId, number: usize) -> String {
    let id = hex(collection);
    format!("{}-{number}", id.get(..28).unwrap_or(&id))
}

/// Minor units as the decimal number of the schema: 1230 EUR cents are `12.30`, 5 yen `5`.
fn decimal(minor: i64, currency: Currency) -> String {
    let exponent = usize::try_from(currency.exponent()).unwrap_or(0);
    let digits = format!("{minor:0>width$}", width = exponent + 1);
    match digits.split_at_checked(digits.len() - exponent) {
        Some((whole, fraction)) if exponent > 0 => format!("{whole}.{fraction}"),
        Some(_) | None => digits,
    }
}

/// Seconds of UTC: `2026-11-23T08:15:00Z`.
fn iso_time(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(at.unix_ms().div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    seconds.to_string()
}

/// What fits a text of the schema: at least one character that is seen, at most `max`.
fn fitted(text: &str, max: usize) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control() && *c != '\u{FFFE}' && *c != '\u{FFFF}').collect();
    let cut: String = kept.trim().chars().take(max).collect();
    if cut.is_empty() { "NOTPROVIDED".to_owned() } else { cut }
}

/// Elements without attributes, in order; texts escaped.
struct Xml(String);

impl Xml {
    fn new() -> Self {
        Self(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">"
                .to_owned(),
        )
    }

    fn open(&mut self, name: &str) -> &mut Self {
        self.push(format_args!("<{name}>"))
    }

    fn close(&mut self, name: &str) -> &mut Self {
        self.push(format_args!("</{name}>"))
    }

    fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.open(name).escaped(text).close(name)
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.text("Nm", &fitted(name, MAX_NAME))
    }

    fn account(&mut self, name: &str, iban: &Iban) -> &mut Self {
        self.open(name).open("Id").text("IBAN", iban.as_str()).close("Id").close(name)
    }

    /// A bank; an empty code stands for one that the IBAN tells.
    fn agent(&mut self, name: &str, bic: &str) -> &mut Self {
        self.open(name).open("FinInstnId");
        if bic.is_empty() {
            self.open("Othr").text("Id", "NOTPROVIDED").close("Othr");
        } else {
            self.text("BICFI", bic);
        }
        self.close("FinInstnId").close(name)
    }

    fn amount(&mut self, currency: Currency, decimal: &str) -> &mut Self {
        self.push(format_args!("<InstdAmt Ccy=\"{}\">{decimal}</InstdAmt>", currency.code()))
    }

    fn escaped(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                other => self.0.push(other),
            }
        }
        self
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) -> &mut Self {
        // Writing into a String does not fail.
        let _ = self.0.write_fmt(text);
        self
    }

    fn finish(mut self) -> String {
        self.0.push_str("</Document>\n");
        self.0
    }
}

/// Why a file is not a status report. `Display` is one plain sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Beyond [`MAX_REPORT_LEN`].
    #[error("the file is larger than {MAX_REPORT_LEN} bytes")]
    TooLarge,
    /// Not UTF-8, not well-formed, with a DTD, or too deep or wide.
    #[error("the file is not XML as banks write it: {0}")]
    Xml(String),
    /// Another document.
    #[error("the file is not a payment status report (pain.002.001.03 or newer)")]
    NotAReport,
    /// It names no message of ours.
    #[error("the report does not say which message it is about")]
    NoOriginal,
}

/// What a bank said about one of our files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file's id.
    pub collection: TransferId,
    group: Option<RailAnswer>,
    payments: BTreeMap<String, RailAnswer>,
    transfers: BTreeMap<TransferId, RailAnswer>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// [`ReportError`]; nothing of such a file counts.
    pub fn read(bytes: &[u8]) -> Result<Self, ReportError> {
        let document = open(bytes)?;
        let root = document.root_element();
        let version = root.tag_name().namespace().and_then(|space| space.strip_prefix(REPORT_NAMESPACE));
        let known = version.and_then(|version| version.parse().ok()).is_some_and(|is: u32| is >= FIRST_REPORT_VERSION);
        let report = child(root, "CstmrPmtStsRpt").filter(|_| known).ok_or(ReportError::NotAReport)?;

        let original = child(report, "OrgnlGrpInfAndSts").ok_or(ReportError::NoOriginal)?;
        let collection = text_of(original, "OrgnlMsgId").and_then(from_hex).ok_or(ReportError::NoOriginal)?;
        let mut read = Self {
            collection: TransferId::from_bytes(collection),
            group: answer(original, "GrpSts", None),
            payments: BTreeMap::new(),
            transfers: BTreeMap::new(),
        };
        let group_reason = reason(original);
        for payment in children(report, "OrgnlPmtInfAndSts") {
            let payment_reason = reason(payment).or(group_reason);
            if let (Some(id), Some(answer)) =
                (text_of(payment, "OrgnlPmtInfId"), answer(payment, "PmtInfSts", group_reason))
            {
                read.payments.insert(id.to_owned(), answer);
            }
            for transaction in children(payment, "TxInfAndSts") {
                let id = text_of(transaction, "OrgnlEndToEndId").or_else(|| text_of(transaction, "OrgnlInstrId"));
                if let (Some(id), Some(answer)) = (id.and_then(from_hex), answer(transaction, "TxSts", payment_reason))
                {
                    read.transfers.insert(TransferId::from_bytes(id), answer);
                }
            }
        }
        Ok(read)
    }

    /// What it says about each transfer of the file it is about, `ours` as it was written: the nearest word counts, a
    /// transaction's before its payment's before the file's. Transfers it says nothing of are left out.
    ///
    /// # Errors
    /// [`ReportError::Xml`] where `ours` is no such file.
    pub fn answers_to(&self, ours: &str) -> Result<BTreeMap<TransferId, RailAnswer>, ReportError> {
        let document = Document::parse(ours).map_err(|error| ReportError::Xml(error.to_string()))?;
        let mut answers = BTreeMap::new();
        for payment in document.descendants().filter(|node| node.tag_name().name() == "PmtInf") {
            let of_payment = text_of(payment, "PmtInfId").and_then(|id| self.payments.get(id));
            for transaction in children(payment, "CdtTrfTxInf") {
                let id = child(transaction, "PmtId").and_then(|id| text_of(id, "EndToEndId")).and_then(from_hex);
                let Some(transfer) = id.map(TransferId::from_bytes) else { continue };
                if let Some(answer) = self.transfers.get(&transfer).or(of_payment).or(self.group.as_ref()) {
                    answers.insert(transfer, answer.clone());
                }
            }
        }
        Ok(answers)
    }
}

/// A bank's file as a document, within bounds.
pub(super) fn open(bytes: &[u8]) -> Result<Document<'_>, ReportError> {
    if bytes.len() > MAX_REPORT_LEN {
        return Err(ReportError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| ReportError::Xml(error.to_string()))?;
    // No DTD, so no entities but XML's own five.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_REPORT_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| ReportError::Xml(error.to_string()))
}

pub(super) fn children<'a, 'd: 'a>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    let space = node.tag_name().namespace();
    node.children().filter(move |child| child.tag_name().name() == name && child.tag_name().namespace() == space)
}

pub(super) fn child<'a, 'd: 'a>(node: Node<'a, 'd>, name: &'static str) -> Option<Node<'a, 'd>> {
    children(node, name).next()
}

pub(super) fn text_of<'a, 'd: 'a>(node: Node<'a, 'd>, name: &'static str) -> Option<&'a str> {
    child(node, name).and_then(|child| child.text()).map(str::trim)
}

/// The reason's code (ISO 20022 external code set `ExternalStatusReason1Code`).
fn reason<'a, 'd: 'a>(node: Node<'a, 'd>) -> Option<&'a str> {
    child(node, "StsRsnInf").and_then(|info| child(info, "Rsn")).and_then(|reason| text_of(reason, "Cd"))
}

/// A status (ISO 20022 external code sets `ExternalPaymentGroupStatus1Code`, `ExternalPaymentTransactionStatus1Code`) as an
/// answer; `above` is the reason given further out. Nothing where there is no status, or where it is about several.
fn answer(node: Node<'_, '_>, status: &'static str, above: Option<&str>) -> Option<RailAnswer> {
    let reason = reason(node).or(above);
    Some(match text_of(node, status)? {
        // Settled on the debtor's side, or on the creditor's.
        "ACSC" | "ACCC" => RailAnswer::Done,
        // The bank has our file already: the first one counts.
        "RJCT" if matches!(reason, Some("AM05" | "DU01" | "DU02" | "DU03" | "DU04" | "DU05" | "DUPL")) => return None,
        "RJCT" | "CANC" => RailAnswer::Declined(decline(reason)),
        "RCVD" | "RCVC" | "PDNG" | "PATC" | "ACTC" | "ACCP" | "ACFC" | "ACSP" | "ACWC" | "ACWP" | "PRES" | "ACPD"
        | "RVNC" | "RVCM" | "RVNM" | "RVMC" | "RVNA" => RailAnswer::Pending,
        // Some are accepted, some are not: each says for itself.
        "PART" => return None,
        _ => RailAnswer::Unknown,
    })
}

fn decline(reason: Option<&str>) -> Decline {
    match reason {
        Some("AM04" | "AM14" | "AM02") => Decline::Funds,
        Some("AC01" | "AC03" | "AC04" | "AC07" | "BE01" | "BE06" | "BE07" | "RC01" | "RC04" | "MD07") => Decline::Payee,
        Some("AC02" | "AC05" | "AC06" | "AC13" | "AG01" | "AG03" | "DS01" | "DS02" | "DS0A" | "RC03") => Decline::Payer,
        Some("AM01" | "AM03" | "AM09" | "AM12" | "CURR") => Decline::NotPossible,
        Some(_) | None => Decline::Refused,
    }
}
