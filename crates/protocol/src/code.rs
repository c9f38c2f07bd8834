//! What the text of a payment code says, and the text of our own.
//!
//! Owns: telling the kinds of code apart, reading payee, amount, currency, country and reference out of the two open
//! formats (EMVCo merchant-presented, EPC), and writing our own: the code in which a till shows a bill, and the one a shop
//! prints (`printed`, which also says what makes two codes the same payee's). Never does: network, clock,
//! trust. Nothing read here is verified: even the bill reference of a `nodpay-bill` only names a bill, whose signature and
//! digest others check.
//!
//! Invariants:
//! - no text makes [`parse`] panic, and its work is bounded by [`MAX_TEXT_BYTES`];
//! - a text that announces itself as EMV, EPC or Nodpay is read completely or refused, never half read;
//! - every string handed out is visible text: no control, bidirectional-override or invisible characters;
//! - an amount is 1..=[`MAX_AMOUNT_MINOR`] minor units of a currency that has minor units.
//!
//! Sources: *EMV QR Code Specification for Payment Systems, Merchant-Presented Mode* v1.1 (EMVCo, November 2020), below
//! "MPM"; EPC069-12 *Quick Response Code: Guidelines to Enable the Data Capture for the Initiation of a SEPA Credit
//! Transfer* v2.1 and v3 (European Payments Council), below "EPC069-12"; ISO 13616 (IBAN), ISO 11649 (RF reference).
//! Alipay and WeChat publish no format for their links: those are told by scheme and host only.

mod printed;

use std::iter;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iso_currency::Currency;
use nodpay_core::{Iban, IbanError, check_digits_fit};
use serde::Serialize;

pub use self::printed::{ShopCode, payee_of, write_shop_code};

/// Longest text [`parse`] looks at, in UTF-8 bytes: the 7,089 digits of the largest QR symbol (ISO/IEC 18004, 40-L).
pub const MAX_TEXT_BYTES: usize = 7_089;

/// Longest EMV text, in characters (MPM, "Payload Length").
pub const MAX_EMV_CHARS: usize = 512;

/// Longest EPC text, in bytes of the code's own character set (EPC069-12: QR version 13, level M).
pub const MAX_EPC_BYTES: usize = 331;

/// Largest amount read or written, in minor units of its currency. At most 13 characters in MPM's tag 54.
pub const MAX_AMOUNT_MINOR: i64 = 100_000_000_000;

/// Longest merchant name of an EMV code, in characters (MPM tag 59, and 01 in template 64).
pub const MAX_NAME_CHARS: usize = 25;

/// Longest merchant city of an EMV code, in characters (MPM tag 60, and 02 in template 64).
pub const MAX_CITY_CHARS: usize = 15;

/// The globally unique identifier of our merchant account information template (MPM tags 26–51, sub-tag 00).
pub const NODPAY_GUID: &str = "org.nodpay";

/// What a payment code says. Serialised, absent fields are `null`; bill reference, shop and
/// scheme are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentCode {
    /// Which format the text is in.
    pub kind: CodeKind,
    /// Who says to be paid: the name in the merchant's own language where the code carries one. Unverified.
    pub payee: Option<String>,
    /// Minor units of `currency`, 1..=[`MAX_AMOUNT_MINOR`]; absent when the payer is to enter it.
    pub amount_minor: Option<i64>,
    /// ISO 4217 alphabetic code.
    pub currency: Option<&'static str>,
    /// ISO 3166-1 alpha-2, upper case: of the merchant (EMV) or of the account (EPC).
    pub country: Option<String>,
    /// What the payee wants the payment to be labelled with.
    pub reference: Option<String>,
    /// Present exactly when `kind` is [`CodeKind::NodpayBill`].
    #[serde(skip)]
    pub bill: Option<BillReference>,
    /// The merchant's id, in the code that a shop of ours prints: one of kind [`CodeKind::EmvStatic`].
    #[serde(skip)]
    pub shop: Option<[u8; 16]>,
    /// The payee's account, in an EPC code.
    #[serde(skip)]
    pub account: Option<Iban>,
    /// The payment scheme, by the name people know it by, where the code tells it.
    #[serde(skip)]
    pub scheme: Option<&'static str>,
}

/// The formats told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeKind {
    /// Our own: an EMV code with the [`NODPAY_GUID`] template.
    NodpayBill,
    /// EMV merchant-presented, made for many payments; also our own, which a shop prints.
    EmvStatic,
    /// EMV merchant-presented, made for one payment.
    EmvDynamic,
    /// EPC069-12, the SEPA credit transfer code ("Girocode").
    Epc,
    /// An Alipay link, or the digits of an Alipay user's own payment code.
    Alipay,
    /// A WeChat Pay link, or the digits of a WeChat user's own payment code.
    Wechat,
    /// Any other web address.
    Url,
    /// Anything else.
    Unknown,
}

/// Which bill a code means. Names it, proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BillReference {
    /// The bill's id.
    pub bill: [u8; 16],
    /// The first 128 bits of the bill's digest; the bill fetched under the id must have it.
    pub digest: [u8; 16],
}

/// The bill that [`write_bill_code`] turns into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillCode<'a> {
    /// The bill's id.
    pub bill: [u8; 16],
    /// The first 128 bits of the bill's digest.
    pub digest: [u8; 16],
    /// Merchant category code, ISO 18245: four digits.
    pub mcc: &'a str,
    /// ISO 4217 alphabetic code of a currency with minor units.
    pub currency: &'a str,
    /// The bill's total, 1..=[`MAX_AMOUNT_MINOR`] minor units.
    pub amount_minor: i64,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// The merchant's name in any script; what exceeds [`MAX_NAME_CHARS`] is cut off in the code.
    pub name: &'a str,
    /// The merchant's city in any script; what exceeds [`MAX_CITY_CHARS`] is cut off in the code.
    pub city: &'a str,
}

/// Why a text is not the payment code it announces, or why a bill cannot become one. `Display` is one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Longer than [`MAX_TEXT_BYTES`].
    #[error("The code's text is longer than any QR code can hold.")]
    TooLong,
    /// A character that people cannot see, or that reorders what they see.
    #[error("The code contains the hidden character U+{0:04X}.")]
    HiddenCharacter(u32),
    /// Longer than [`MAX_EMV_CHARS`].
    #[error("The payment code is longer than the 512 characters that EMV allows.")]
    EmvTooLong,
    /// Tag 00 is not "01".
    #[error("The payment code is in a version of the EMV format that is not supported.")]
    EmvVersion,
    /// The text does not end in `6304` and four characters.
    #[error("The payment code is cut off or damaged: it does not end with a checksum.")]
    EmvNoChecksum,
    /// The checksum does not belong to the text.
    #[error("The payment code was misread or changed: its checksum is wrong.")]
    EmvChecksum,
    /// Ids and lengths do not divide the text.
    #[error("The payment code is damaged: the parts of {0} do not fit together.")]
    EmvStructure(&'static str),
    /// The same id twice at one level.
    #[error("The payment code gives tag {tag:02} twice in {place}.")]
    EmvRepeated {
        /// The id given twice, 0..=99.
        tag: u8,
        /// Where: the code itself or one of its templates.
        place: &'static str,
    },
    /// A mandatory field is not there.
    #[error("The payment code has no {0}.")]
    EmvMissing(&'static str),
    /// A field is there but breaks its rule.
    #[error("The payment code's {field} {rule}.")]
    EmvInvalid {
        /// The field's name and tag.
        field: &'static str,
        /// The rule, worded to follow the field's name.
        rule: &'static str,
    },
    /// A code with our identifier that is not a whole Nodpay bill code.
    #[error("The Nodpay bill code is broken: {0}.")]
    BillBroken(&'static str),
    /// Longer than [`MAX_EPC_BYTES`].
    #[error("The bank transfer code is longer than the 331 bytes that EPC allows.")]
    EpcTooLong,
    /// A mandatory line is not there or is empty.
    #[error("The bank transfer code has no {0}.")]
    EpcMissing(&'static str),
    /// A line is there but breaks its rule.
    #[error("The bank transfer code's {field} {rule}.")]
    EpcInvalid {
        /// The field's name and line.
        field: &'static str,
        /// The rule, worded to follow the field's name.
        rule: &'static str,
    },
    /// The bill given to [`write_bill_code`] does not fit the format.
    #[error("The bill cannot be written as a code: its {field} {rule}.")]
    BillUnwritable {
        /// The field of [`BillCode`].
        field: &'static str,
        /// The rule, worded to follow the field's name.
        rule: &'static str,
    },
}

impl CodeError {
    /// A stable name for programs and translations; never changes its meaning.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "code-too-long",
            Self::HiddenCharacter(_) => "code-hidden-character",
            Self::EmvTooLong => "emv-too-long",
            Self::EmvVersion => "emv-version",
            Self::EmvNoChecksum => "emv-no-checksum",
            Self::EmvChecksum => "emv-checksum",
            Self::EmvStructure(_) => "emv-structure",
            Self::EmvRepeated { .. } => "emv-repeated-field",
            Self::EmvMissing(_) => "emv-missing-field",
            Self::EmvInvalid { .. } => "emv-invalid-field",
            Self::BillBroken(_) => "bill-broken",
            Self::EpcTooLong => "epc-too-long",
            Self::EpcMissing(_) => "epc-missing-field",
            Self::EpcInvalid { .. } => "epc-invalid-field",
            Self::BillUnwritable { .. } => "bill-unwritable",
        }
    }
}

/// Reads the text of a scanned code. Exactly one trailing newline (LF or CR LF) is tolerated, because files and pipes add
/// one.
///
/// The kind is decided by how the text starts: `000201` is EMV (so is `0002` and another version when the checksum is
/// right), a first line `BCD` is EPC, then wallets, web addresses, and everything else is [`CodeKind::Unknown`].
///
/// # Errors
/// A text over [`MAX_TEXT_BYTES`], and a text that starts like EMV or EPC and breaks that format's rules. Texts of the
/// other kinds are never an error.
pub fn parse(text: &str) -> Result<PaymentCode, CodeError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(CodeError::TooLong);
    }
    let text = without_trailing_newline(text);
    if text.starts_with("000201") || (text.starts_with("0002") && check_checksum(text).is_ok()) {
        return parse_emv(text);
    }
    if let Some((first, _)) = text.split_once('\n')
        && first.strip_suffix('\r').unwrap_or(first) == "BCD"
    {
        return parse_epc(text);
    }
    Ok(PaymentCode { scheme: printed::closed_scheme(text), ..PaymentCode::of_kind(closed_kind(text)) })
}

/// Writes the text in which a till shows a bill: an EMV code (MPM v1.1) of initiation method 12 whose template 26 is
/// `00` [`NODPAY_GUID`], `01` bill id, `02` digest, the latter two as unpadded base64url (22 characters each). Tag 62
/// repeats the bill id as reference label (05), and [`parse`] insists on that.
///
/// Tags 59 and 60 hold ASCII only, as MPM wants (format "ans"): a name in another script is put into the language template
/// 64, and 59 says "NODPAY MERCHANT", 60 the country. Names longer than the format allows are cut: the signed bill carries
/// them whole.
///
/// # Errors
/// [`CodeError::BillUnwritable`] for a field outside the bounds given at [`BillCode`], [`CodeError::HiddenCharacter`] for a
/// name or city with one.
pub fn write_bill_code(bill: &BillCode<'_>) -> Result<String, CodeError> {
    let bill_id = URL_SAFE_NO_PAD.encode(bill.bill);
    let mut account = String::new();
    push_object(&mut account, 0, NODPAY_GUID);
    push_object(&mut account, 1, &bill_id);
    push_object(&mut account, 2, &URL_SAFE_NO_PAD.encode(bill.digest));
    let merchant =
        Merchant { mcc: bill.mcc, currency: bill.currency, country: bill.country, name: bill.name, city: bill.city };
    write_emv("12", &account, &merchant, Some(bill.amount_minor), Some(&bill_id))
}

/// What our codes say about the merchant; the fields of [`BillCode`].
struct Merchant<'a> {
    mcc: &'a str,
    currency: &'a str,
    country: &'a str,
    name: &'a str,
    city: &'a str,
}

/// A code of ours: `account` is the content of its template 26, `label` its reference label.
fn write_emv(
    method: &str,
    account: &str,
    merchant: &Merchant<'_>,
    amount_minor: Option<i64>,
    label: Option<&str>,
) -> Result<String, CodeError> {
    let unwritable = |field, rule| CodeError::BillUnwritable { field, rule };
    if merchant.mcc.len() != 4 || !all_digits(merchant.mcc) {
        return Err(unwritable("merchant category code", "is not four digits"));
    }
    if !is_country(merchant.country) {
        return Err(unwritable("country", "is not two capital letters"));
    }
    let (currency, exponent) =
        with_exponent(Currency::from_code(merchant.currency)).ok_or(unwritable("currency", CURRENCY_RULE))?;
    if amount_minor.is_some_and(|minor| !(1..=MAX_AMOUNT_MINOR).contains(&minor)) {
        return Err(unwritable("amount", "is not between 1 and 100,000,000,000 minor units"));
    }
    let amount = match amount_minor {
        Some(minor) => Some(decimal(minor, exponent).ok_or(unwritable("currency", CURRENCY_RULE))?),
        None => None,
    };
    let name = shorten(merchant.name, MAX_NAME_CHARS).ok_or(unwritable("merchant name", BLANK))?;
    let city = shorten(merchant.city, MAX_CITY_CHARS).ok_or(unwritable("merchant city", BLANK))?;
    refuse_hidden(merchant.name)?;
    refuse_hidden(merchant.city)?;

    let mut text = String::new();
    push_object(&mut text, 0, "01");
    push_object(&mut text, 1, method);
    push_object(&mut text, 26, account);
    push_object(&mut text, 52, merchant.mcc);
    push_object(&mut text, 53, &format!("{:03}", currency.numeric()));
    if let Some(amount) = amount {
        push_object(&mut text, 54, &amount);
    }
    push_object(&mut text, 58, merchant.country);
    push_object(&mut text, 59, ascii_or(name, "NODPAY MERCHANT"));
    push_object(&mut text, 60, ascii_or(city, merchant.country));
    if let Some(label) = label {
        let mut additional = String::new();
        push_object(&mut additional, 5, label);
        push_object(&mut text, 62, &additional);
    }
    if !name.is_ascii() || !city.is_ascii() {
        let mut local = String::new();
        push_object(&mut local, 0, language_of(name, city));
        push_object(&mut local, 1, name);
        push_object(&mut local, 2, city);
        push_object(&mut text, 64, &local);
    }
    text.push_str("6304");
    let checksum = crc16(text.as_bytes());
    text.push_str(&format!("{checksum:04X}"));
    Ok(text)
}

impl PaymentCode {
    /// A code of which only the kind is known.
    fn of_kind(kind: CodeKind) -> Self {
        Self {
            kind,
            payee: None,
            amount_minor: None,
            currency: None,
            country: None,
            reference: None,
            bill: None,
            shop: None,
            account: None,
            scheme: None,
        }
    }
}

// ---- EMVCo merchant-presented -------------------------------------------------------------------------------------------

const WHOLE: &str = "the code";
const ACCOUNT: &str = "merchant account (tags 02 to 51)";
const METHOD: &str = "point of initiation method (tag 01)";
const MCC: &str = "merchant category code (tag 52)";
const CURRENCY: &str = "currency (tag 53)";
const AMOUNT: &str = "amount (tag 54)";
const TIP: &str = "tip or fee indicator (tag 55)";
const FIXED_FEE: &str = "fixed fee (tag 56)";
const FEE_PERCENTAGE: &str = "fee percentage (tag 57)";
const COUNTRY: &str = "country (tag 58)";
const NAME: &str = "merchant name (tag 59)";
const CITY: &str = "merchant city (tag 60)";
const POSTAL_CODE: &str = "postal code (tag 61)";
const ADDITIONAL: &str = "additional data (tag 62)";
const BILL_NUMBER: &str = "bill number (tag 62, 01)";
const REFERENCE: &str = "reference label (tag 62, 05)";
const LOCAL: &str = "language template (tag 64)";
const LANGUAGE: &str = "language (tag 64, 00)";
const LOCAL_NAME: &str = "merchant name (tag 64, 01)";
const LOCAL_CITY: &str = "merchant city (tag 64, 02)";

const BLANK: &str = "is blank";
const CURRENCY_RULE: &str = "is not a known currency with minor units";
const AMOUNT_SYNTAX: &str = "must be digits with at most one decimal point";

/// What the two-digit lengths of a code count.
///
/// MPM counts characters, also where UTF-8 needs several bytes for one: its own sample does (the name 最佳运输 has length
/// 04), as do the generators of the national schemes. Encoders written around byte strings count bytes instead and are in
/// use; with a right checksum the text is certainly what the encoder meant, so a code that cannot be read by characters is
/// read by bytes. Our own codes count characters: read by bytes, a text is never a Nodpay bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LengthUnit {
    Characters,
    Bytes,
}

/// Data objects of one level, in order; ids are unique.
struct Objects<'a>(Vec<(u8, &'a str)>);

impl<'a> Objects<'a> {
    fn get(&self, tag: u8) -> Option<&'a str> {
        self.0.iter().find_map(|&(id, value)| (id == tag).then_some(value))
    }
}

/// Checks, in this order: length, characters, checksum, then the fields.
fn parse_emv(text: &str) -> Result<PaymentCode, CodeError> {
    if text.chars().count() > MAX_EMV_CHARS {
        return Err(CodeError::EmvTooLong);
    }
    refuse_hidden(text)?;
    check_checksum(text)?;
    if !text.starts_with("000201") {
        return Err(CodeError::EmvVersion);
    }
    let by_characters = read_emv(text, LengthUnit::Characters);
    if by_characters.is_ok() || text.is_ascii() {
        return by_characters;
    }
    read_emv(text, LengthUnit::Bytes).or(by_characters)
}

/// Reads every field that MPM makes mandatory or that changes what is paid. Others (RFU tags 65–79, other schemes'
/// templates 80–99) are ignored. Apart from 00 and 63, objects come in any order (MPM, "Position of Data Objects").
fn read_emv(text: &str, unit: LengthUnit) -> Result<PaymentCode, CodeError> {
    let objects = read_objects(text, unit, WHOLE)?;
    if objects.0.last().map(|&(tag, _)| tag) != Some(63) {
        return Err(CodeError::EmvStructure(WHOLE));
    }
    if !objects.0.iter().any(|&(tag, _)| (2..=51).contains(&tag)) {
        return Err(CodeError::EmvMissing(ACCOUNT));
    }
    // MPM leaves open what a missing tag 01 means. Only "12" claims to be made for one payment, so only "12" is dynamic:
    // an amount alone does not show it (printed codes for one article carry amounts too).
    let kind = match objects.get(1) {
        Some("12") => CodeKind::EmvDynamic,
        Some("11") | None => CodeKind::EmvStatic,
        Some(_) => return Err(emv(METHOD, "must be 11 or 12")),
    };
    let mcc = mandatory(&objects, 52, MCC)?;
    if mcc.len() != 4 || !all_digits(mcc) {
        return Err(emv(MCC, "must be four digits"));
    }
    let (currency, exponent) = read_currency(mandatory(&objects, 53, CURRENCY)?)?;
    let amount_minor = match objects.get(54) {
        Some(amount) => Some(read_amount(amount, exponent, AMOUNT)?),
        None => None,
    };
    read_fee(&objects, exponent)?;
    let country = mandatory(&objects, 58, COUNTRY)?;
    if !is_country(country) {
        return Err(emv(COUNTRY, "must be two capital letters"));
    }
    let name = emv_text(mandatory(&objects, 59, NAME)?, NAME, MAX_NAME_CHARS)?;
    emv_text(mandatory(&objects, 60, CITY)?, CITY, MAX_CITY_CHARS)?;
    if let Some(postal_code) = objects.get(61) {
        emv_text(postal_code, POSTAL_CODE, 10)?;
    }
    let reference = match objects.get(62) {
        Some(value) => read_reference(&read_objects(value, unit, ADDITIONAL)?)?,
        None => None,
    };
    let local_name = match objects.get(64) {
        Some(value) => Some(read_local_name(&read_objects(value, unit, LOCAL)?)?),
        None => None,
    };
    let (bill, shop) = match read_ours(&objects, unit)? {
        Some(Ours::Bill(bill)) => (Some(bill), None),
        Some(Ours::Shop(shop)) => (None, Some(shop)),
        None => (None, None),
    };
    Ok(PaymentCode {
        kind: if bill.is_some() { CodeKind::NodpayBill } else { kind },
        payee: Some(local_name.unwrap_or(name)),
        amount_minor,
        currency: Some(currency.code()),
        country: Some(country.to_owned()),
        reference,
        bill,
        shop,
        account: None,
        scheme: printed::emv_scheme(&objects, unit, country),
    })
}

/// Divides a text into objects of id (two digits), length (two digits, 01..=99) and value.
fn read_objects<'a>(text: &'a str, unit: LengthUnit, place: &'static str) -> Result<Objects<'a>, CodeError> {
    let mut objects: Vec<(u8, &str)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (tag, value, after) = next_object(rest, unit).ok_or(CodeError::EmvStructure(place))?;
        if objects.iter().any(|&(id, _)| id == tag) {
            return Err(CodeError::EmvRepeated { tag, place });
        }
        objects.push((tag, value));
        rest = after;
    }
    Ok(Objects(objects))
}

fn next_object(text: &str, unit: LengthUnit) -> Option<(u8, &str, &str)> {
    let (tag, text) = two_digits(text)?;
    let (length, text) = two_digits(text)?;
    if length == 0 {
        return None;
    }
    let length = usize::from(length);
    let end = match unit {
        LengthUnit::Characters => text.char_indices().map(|(at, _)| at).chain(iter::once(text.len())).nth(length)?,
        LengthUnit::Bytes => length,
    };
    let (value, after) = text.split_at_checked(end)?;
    Some((tag, value, after))
}

fn two_digits(text: &str) -> Option<(u8, &str)> {
    let (digits, after) = text.split_at_checked(2)?;
    if !all_digits(digits) {
        return None;
    }
    Some((digits.parse().ok()?, after))
}

fn mandatory<'a>(objects: &Objects<'a>, tag: u8, field: &'static str) -> Result<&'a str, CodeError> {
    objects.get(tag).ok_or(CodeError::EmvMissing(field))
}

fn emv(field: &'static str, rule: &'static str) -> CodeError {
    CodeError::EmvInvalid { field, rule }
}

/// Text of at most `max_chars` characters, without the spaces around it. MPM restricts tags 59 to 61 to ASCII ("ans"), yet
/// schemes from Pix to VietQR put UTF-8 there, and a name is best shown as it is written.
fn emv_text(value: &str, field: &'static str, max_chars: usize) -> Result<String, CodeError> {
    if value.chars().count() > max_chars {
        return Err(emv(field, "is too long"));
    }
    visible(value).ok_or(emv(field, BLANK))
}

/// A numeric ISO 4217 code whose currency has minor units; MPM has no use for funds, metals and test codes.
fn read_currency(value: &str) -> Result<(Currency, u16), CodeError> {
    if value.len() != 3 || !all_digits(value) {
        return Err(emv(CURRENCY, "must be three digits"));
    }
    with_exponent(value.parse().ok().and_then(Currency::from_numeric)).ok_or(emv(CURRENCY, CURRENCY_RULE))
}

fn with_exponent(currency: Option<Currency>) -> Option<(Currency, u16)> {
    currency.and_then(|currency| Some((currency, currency.exponent()?)))
}

/// MPM tags 54 and 56: at most 13 digits and decimal point, more than zero; its valid examples are "98.73", "98" and
/// "98.".
fn read_amount(value: &str, exponent: u16, field: &'static str) -> Result<i64, CodeError> {
    if value.len() > 13 {
        return Err(emv(field, "is longer than 13 characters"));
    }
    minor_units(value, exponent, MAX_AMOUNT_MINOR).map_err(|rule| emv(field, rule))
}

/// Tags 55–57: 01 asks for a tip, 02 adds the fixed fee of tag 56, 03 the percentage of tag 57. Checked
/// only: the amount given out is that of tag 54, and a rail that pays such a code must know the scheme.
fn read_fee(objects: &Objects<'_>, exponent: u16) -> Result<(), CodeError> {
    let (fixed, percentage) = (objects.get(56), objects.get(57));
    let (fixed_wanted, percentage_wanted) = match objects.get(55) {
        None | Some("01") => (false, false),
        Some("02") => (true, false),
        Some("03") => (false, true),
        Some(_) => return Err(emv(TIP, "must be 01, 02 or 03")),
    };
    match fixed {
        Some(_) if !fixed_wanted => {
            return Err(emv(FIXED_FEE, "is only allowed where tag 55 is 02"));
        }
        Some(value) => {
            read_amount(value, exponent, FIXED_FEE)?;
        }
        None if fixed_wanted => return Err(CodeError::EmvMissing(FIXED_FEE)),
        None => {}
    }
    match percentage {
        Some(_) if !percentage_wanted => {
            return Err(emv(FEE_PERCENTAGE, "is only allowed where tag 55 is 03"));
        }
        Some(value) if value.len() > 5 => {
            return Err(emv(FEE_PERCENTAGE, "is longer than 5 characters"));
        }
        Some(value) => {
            minor_units(value, 2, 99_99).map_err(|rule| emv(FEE_PERCENTAGE, rule))?;
        }
        None if percentage_wanted => return Err(CodeError::EmvMissing(FEE_PERCENTAGE)),
        None => {}
    }
    Ok(())
}

/// The reference label, else the bill number. "***" asks the payer to enter one: there is none.
fn read_reference(additional: &Objects<'_>) -> Result<Option<String>, CodeError> {
    let read = |tag, field| match additional.get(tag) {
        Some("***") | None => Ok(None),
        Some(value) => emv_text(value, field, 25).map(Some),
    };
    let label = read(5, REFERENCE)?;
    let bill_number = read(1, BILL_NUMBER)?;
    Ok(label.or(bill_number))
}

/// The merchant's name in its own language; the city is optional there.
fn read_local_name(local: &Objects<'_>) -> Result<String, CodeError> {
    let language = mandatory(local, 0, LANGUAGE)?;
    if language.len() != 2 || !language.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(emv(LANGUAGE, "must be two letters"));
    }
    if let Some(city) = local.get(2) {
        emv_text(city, LOCAL_CITY, MAX_CITY_CHARS)?;
    }
    emv_text(mandatory(local, 1, LOCAL_NAME)?, LOCAL_NAME, MAX_NAME_CHARS)
}

/// What our template says.
enum Ours {
    Bill(BillReference),
    /// The merchant's id.
    Shop([u8; 16]),
}

/// Finds our template among 26–51. A text that carries our identifier there is a whole Nodpay code or broken: what we
/// never write (another method, a fee, other sub-tags, another reference) is not read as one.
fn read_ours(objects: &Objects<'_>, unit: LengthUnit) -> Result<Option<Ours>, CodeError> {
    let mut ours = objects.0.iter().filter(|&&(tag, value)| (26..=51).contains(&tag) && names_nodpay(value, unit));
    let Some(&(_, template)) = ours.next() else {
        return Ok(None);
    };
    let broken = |why| Err(CodeError::BillBroken(why));
    if ours.next().is_some() {
        return broken("it names two bills");
    }
    if unit != LengthUnit::Characters {
        return broken("its lengths do not count characters");
    }
    let Ok(parts) = read_objects(template, unit, WHOLE) else {
        return broken("the parts of its bill reference do not fit together");
    };
    if objects.get(55).is_some() {
        return broken("it asks for a tip or fee");
    }
    if let (Some(NODPAY_GUID), Some(shop), 2) = (parts.get(0), parts.get(3), parts.0.len()) {
        let Some(shop) = sixteen_bytes(shop) else {
            return broken("its shop is not 16 bytes of base64url");
        };
        if objects.get(1) != Some("11") {
            return broken("it is not marked as made for many payments");
        }
        return Ok(Some(Ours::Shop(shop)));
    }
    let (Some(NODPAY_GUID), Some(bill_text), Some(digest_text), 3) =
        (parts.get(0), parts.get(1), parts.get(2), parts.0.len())
    else {
        return broken("its bill reference is not identifier, bill and digest");
    };
    let (Some(bill), Some(digest)) = (sixteen_bytes(bill_text), sixteen_bytes(digest_text)) else {
        return broken("its bill or digest is not 16 bytes of base64url");
    };
    if objects.get(1) != Some("12") {
        return broken("it is not marked as made for one payment");
    }
    if objects.get(54).is_none() {
        return broken("it has no amount");
    }
    let label = objects.get(62).and_then(|value| read_objects(value, unit, ADDITIONAL).ok()?.get(5));
    if label != Some(bill_text) {
        return broken("its reference label is not the bill");
    }
    Ok(Some(Ours::Bill(BillReference { bill, digest })))
}

/// Whether a merchant account template is meant to be ours: by its identifier, in any case of letters; where the template
/// does not divide into parts, by our identifier being in it at all. Other schemes' templates are theirs to read.
fn names_nodpay(template: &str, unit: LengthUnit) -> bool {
    match read_objects(template, unit, WHOLE) {
        Ok(parts) => parts.get(0).is_some_and(|guid| guid.eq_ignore_ascii_case(NODPAY_GUID)),
        Err(_) => template.to_ascii_lowercase().contains(NODPAY_GUID),
    }
}

/// Canonical unpadded base64url (RFC 4648 section 5) of exactly 16 bytes.
fn sixteen_bytes(text: &str) -> Option<[u8; 16]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// The text ends in `6304` and the checksum of everything before the four digits, in UTF-8. Capital letters only, as
/// MPM writes hexadecimal: each code has one checksum.
fn check_checksum(text: &str) -> Result<(), CodeError> {
    let end = text.len().checked_sub(4).ok_or(CodeError::EmvNoChecksum)?;
    let (covered, given) = text.split_at_checked(end).ok_or(CodeError::EmvNoChecksum)?;
    if !covered.ends_with("6304") {
        return Err(CodeError::EmvNoChecksum);
    }
    if format!("{:04X}", crc16(covered.as_bytes())) != given {
        return Err(CodeError::EmvChecksum);
    }
    Ok(())
}

/// ISO/IEC 13239 as MPM ("CRC (ID "63")") uses it: polynomial 1021, initial value FFFF ("CRC-16/CCITT-FALSE"). Finds every error within
/// 16 neighbouring bits, hence every wrong ASCII character.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, &byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

/// Appends one object. `value` has 1..=99 characters: the longest we write is template 26 with 66.
fn push_object(text: &mut String, tag: u8, value: &str) {
    text.push_str(&format!("{tag:02}{:02}{value}", value.chars().count()));
}

/// At most `max_chars` characters of the text, without spaces around; nothing when that is blank.
fn shorten(text: &str, max_chars: usize) -> Option<&str> {
    let text = text.trim();
    let end = text.char_indices().nth(max_chars).map_or(text.len(), |(at, _)| at);
    let short = text.get(..end)?.trim_end();
    (!short.is_empty()).then_some(short)
}

fn ascii_or<'a>(text: &'a str, fallback: &'a str) -> &'a str {
    if text.is_ascii() { text } else { fallback }
}

/// ISO 639-1 for template 64, guessed from the script: Japanese, Korean, Chinese, else English.
fn language_of(name: &str, city: &str) -> &'static str {
    let has = |range: RangeInclusive<char>| {
        let mut chars = name.chars().chain(city.chars());
        chars.any(|c| range.contains(&c))
    };
    if has('\u{3041}'..='\u{30FF}') {
        "JA"
    } else if has('\u{AC00}'..='\u{D7A3}') {
        "KO"
    } else if has('\u{3400}'..='\u{9FFF}') || has('\u{20000}'..='\u{323AF}') {
        "ZH"
    } else {
        "EN"
    }
}

// ---- EPC069-12 ----------------------------------------------------------------------------------------------------------

const EPC_LINES: usize = 12;
const EPC_LAYOUT: &str = "text";
const EPC_VERSION: &str = "version (line 2)";
const EPC_CHARSET: &str = "character set (line 3)";
const EPC_IDENTIFICATION: &str = "identification (line 4)";
const EPC_BIC: &str = "bank code (line 5)";
const EPC_NAME: &str = "payee name (line 6)";
const EPC_IBAN: &str = "account number (line 7)";
const EPC_AMOUNT: &str = "amount (line 8)";
const EPC_PURPOSE: &str = "purpose (line 9)";
const EPC_STRUCTURED: &str = "structured reference (line 10)";
const EPC_TEXT: &str = "remittance text (line 11)";
const EPC_INFORMATION: &str = "information (line 12)";

/// The countries of SEPA and the length of their account numbers (EPC409-09; ISO 13616 registry). Territories under the
/// code of another country (Guernsey, Martinique) have that country's numbers.
#[rustfmt::skip]
const IBAN_LENGTHS: [(&str, usize); 42] = [
    ("AD", 24), ("AL", 28), ("AT", 20), ("BE", 16), ("BG", 22), ("CH", 21), ("CY", 28),
    ("CZ", 24), ("DE", 22), ("DK", 18), ("EE", 20), ("ES", 24), ("FI", 18), ("FR", 27),
    ("GB", 22), ("GI", 23), ("GR", 27), ("HR", 21), ("HU", 28), ("IE", 22), ("IS", 26),
    ("IT", 27), ("LI", 21), ("LT", 20), ("LU", 20), ("LV", 21), ("MC", 27), ("MD", 24),
    ("ME", 22), ("MK", 19), ("MT", 31), ("NL", 18), ("NO", 15), ("PL", 28), ("PT", 25),
    ("RO", 24), ("RS", 22), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("VA", 22),
];

/// Reads the lines in order. Lines end in LF or in CR LF, one of them throughout; those after the account number may be
/// empty or missing.
fn parse_epc(text: &str) -> Result<PaymentCode, CodeError> {
    let separator = if text.starts_with("BCD\r\n") { "\r\n" } else { "\n" };
    let lines: Vec<&str> = text.split(separator).collect();
    if lines.len() > EPC_LINES {
        return Err(epc(EPC_LAYOUT, "has more than 12 lines"));
    }
    for line in &lines {
        refuse_hidden(line)?;
    }
    let line = |number: usize| number.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
    let bic_wanted = match line(2) {
        "001" => true,
        "002" => false,
        _ => return Err(epc(EPC_VERSION, "must be 001 or 002")),
    };
    // The scanner has already decoded the text. Of the eight sets only UTF-8 (1) takes more than one byte a character.
    let bytes = match line(3) {
        "1" => text.len(),
        "2" | "3" | "4" | "5" | "6" | "7" | "8" => text.chars().count(),
        _ => return Err(epc(EPC_CHARSET, "must be 1 to 8")),
    };
    if bytes > MAX_EPC_BYTES {
        return Err(CodeError::EpcTooLong);
    }
    if line(4) != "SCT" {
        return Err(epc(EPC_IDENTIFICATION, "must be SCT"));
    }
    match line(5) {
        "" if bic_wanted => return Err(CodeError::EpcMissing(EPC_BIC)),
        "" => {}
        bic if is_bic(bic) => {}
        _ => return Err(epc(EPC_BIC, "is not a BIC")),
    }
    let payee = epc_text(line(6), EPC_NAME, 70)?.ok_or(CodeError::EpcMissing(EPC_NAME))?;
    let account = read_iban(line(7))?;
    let amount_minor = match line(8) {
        "" => None,
        amount => Some(read_euros(amount)?),
    };
    if line(9).len() > 4 || !line(9).bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(epc(EPC_PURPOSE, "must be at most four letters or digits"));
    }
    let structured = read_structured(line(10))?;
    let remittance = epc_text(line(11), EPC_TEXT, 140)?;
    if structured.is_some() && remittance.is_some() {
        return Err(epc(EPC_TEXT, "must be empty where there is a structured reference"));
    }
    epc_text(line(12), EPC_INFORMATION, 70)?;
    Ok(PaymentCode {
        payee: Some(payee),
        amount_minor,
        currency: Some(Currency::EUR.code()),
        country: account.as_str().get(..2).map(ToOwned::to_owned),
        reference: structured.or(remittance),
        account: Some(account),
        ..PaymentCode::of_kind(CodeKind::Epc)
    })
}

fn epc(field: &'static str, rule: &'static str) -> CodeError {
    CodeError::EpcInvalid { field, rule }
}

/// Text of at most `max_chars` characters, without the spaces around it; nothing when the line is blank.
fn epc_text(value: &str, field: &'static str, max_chars: usize) -> Result<Option<String>, CodeError> {
    if value.chars().count() > max_chars {
        return Err(epc(field, "is too long"));
    }
    Ok(visible(value))
}

/// ISO 9362: four characters for the bank, two letters for the country, two for the place, optionally three for a branch.
fn is_bic(text: &str) -> bool {
    let capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    matches!(text.len(), 8 | 11)
        && text.bytes().all(capital)
        && text.bytes().skip(4).take(2).all(|byte| byte.is_ascii_uppercase())
}

/// An account number of a SEPA country.
fn read_iban(iban: &str) -> Result<Iban, CodeError> {
    if iban.is_empty() {
        return Err(CodeError::EpcMissing(EPC_IBAN));
    }
    let (country, _) = iban.split_at_checked(2).ok_or(epc(EPC_IBAN, "is not an IBAN"))?;
    let &(_, length) = IBAN_LENGTHS
        .iter()
        .find(|(code, _)| *code == country)
        .ok_or(epc(EPC_IBAN, "is not an IBAN of a SEPA country"))?;
    if iban.len() != length {
        return Err(epc(EPC_IBAN, "has the wrong length for its country"));
    }
    Iban::new(iban).map_err(|error| match error {
        IbanError::Form => epc(EPC_IBAN, "is not an IBAN"),
        IbanError::CheckDigits => epc(EPC_IBAN, "has wrong check digits"),
    })
}

/// `EUR` and 0.01 to 999999999.99 with a decimal point.
fn read_euros(value: &str) -> Result<i64, CodeError> {
    let amount = value.strip_prefix("EUR").ok_or(epc(EPC_AMOUNT, "must begin with EUR"))?;
    if amount.len() > 12 || amount.ends_with('.') {
        return Err(epc(EPC_AMOUNT, "must be between EUR0.01 and EUR999999999.99"));
    }
    minor_units(amount, 2, 99_999_999_999).map_err(|rule| epc(EPC_AMOUNT, rule))
}

/// A creditor reference: where it begins like ISO 11649 (`RF` and two digits) it must be one; national ones are taken as
/// they are.
fn read_structured(value: &str) -> Result<Option<String>, CodeError> {
    let rf = value.strip_prefix("RF").is_some_and(|rest| two_digits(rest).is_some());
    if rf && !((5..=25).contains(&value.len()) && check_digits_fit(value)) {
        return Err(epc(EPC_STRUCTURED, "is not a valid RF reference"));
    }
    epc_text(value, EPC_STRUCTURED, 35)
}

// ---- Wallets and web addresses ------------------------------------------------------------------------------------------

const ALIPAY_HOSTS: [&str; 4] = ["qr.alipay.com", "render.alipay.com", "ds.alipay.com", "mobilecodec.alipay.com"];
const ALIPAY_SCHEMES: [&str; 3] = ["alipays://", "alipay://", "alipayqr://"];
const WECHAT_HOSTS: [&str; 3] = ["payapp.weixin.qq.com", "payapp.wechatpay.cn", "wx.tenpay.com"];
const WECHAT_SCHEMES: [&str; 2] = ["wxp://", "weixin://wxpay/"];

/// The kind of a text whose content is closed to us.
fn closed_kind(text: &str) -> CodeKind {
    // Printed web addresses in our photographs end in spaces.
    let text = text.trim_end();
    if text.chars().any(|c| c.is_whitespace() || is_hidden(c)) {
        return CodeKind::Unknown;
    }
    if all_digits(text) {
        return user_code_kind(text);
    }
    let begins = |prefix: &&str| {
        text.split_at_checked(prefix.len())
            .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(prefix) && !rest.is_empty())
    };
    if ALIPAY_SCHEMES.iter().any(begins) {
        return CodeKind::Alipay;
    }
    if WECHAT_SCHEMES.iter().any(begins) {
        return CodeKind::Wechat;
    }
    match web_host(text) {
        Some(host) if ALIPAY_HOSTS.contains(&host.as_str()) => CodeKind::Alipay,
        Some(host) if WECHAT_HOSTS.contains(&host.as_str()) => CodeKind::Wechat,
        Some(_) => CodeKind::Url,
        None => CodeKind::Unknown,
    }
}

/// The payment codes that users show to a till: 16 to 24 digits from 25 to 30 are Alipay's, 18 digits from 10 to 15 are
/// WeChat's (both wallets' merchant documentation, "auth_code").
fn user_code_kind(digits: &str) -> CodeKind {
    match (two_digits(digits), digits.len()) {
        (Some((25..=30, _)), 16..=24) => CodeKind::Alipay,
        (Some((10..=15, _)), 18) => CodeKind::Wechat,
        (Some(_) | None, _) => CodeKind::Unknown,
    }
}

/// The host of an http or https address, in small letters (RFC 3986 section 3.2). Strict, because the host decides the
/// kind: user information before `@` is not the host, and a backslash, which browsers take for a slash, is refused.
fn web_host(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('\\') {
        return None;
    }
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if let Some(literal) = place.strip_prefix('[') {
        let (address, port) = literal.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then(|| address.to_ascii_lowercase());
    }
    let (host, port) = place.split_once(':').unwrap_or((place, ""));
    if !is_port(port) {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let label_fits = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    (host.len() <= 253 && host.split('.').all(label_fits)).then(|| host.to_ascii_lowercase())
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (all_digits(text) && text.parse::<u16>().is_ok())
}

// ---- Text and numbers ---------------------------------------------------------------------------------------------------

fn without_trailing_newline(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

/// True for the empty text.
fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The text without the spaces around it, unless nothing is left.
fn visible(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Digits with at most one decimal point as minor units, 1..=`max`. The error is a rule for [`CodeError`].
fn minor_units(text: &str, exponent: u16, max: i64) -> Result<i64, &'static str> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) {
        return Err(AMOUNT_SYNTAX);
    }
    let missing = usize::from(exponent).checked_sub(decimals.len()).ok_or("has more decimal places than its unit")?;
    let minor = whole
        .chars()
        .chain(decimals.chars())
        .chain(iter::repeat_n('0', missing))
        .try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_add(i64::from(digit.to_digit(10)?)));
    match minor {
        Some(0) => Err("must be more than zero"),
        Some(minor) if minor <= max => Ok(minor),
        Some(_) | None => Err("is too large"),
    }
}

/// Minor units with a decimal point and all decimal places: 450 is "4.50" in CNY, "450" in JPY.
fn decimal(minor: i64, exponent: u16) -> Option<String> {
    if exponent == 0 {
        return Some(minor.to_string());
    }
    let unit = 10_i64.checked_pow(u32::from(exponent))?;
    let (whole, rest) = (minor.checked_div(unit)?, minor.checked_rem(unit)?);
    Some(format!("{whole}.{rest:0width$}", width = usize::from(exponent)))
}

fn refuse_hidden(text: &str) -> Result<(), CodeError> {
    match text.chars().find(|&c| is_hidden(c)) {
        Some(c) => Err(CodeError::HiddenCharacter(u32::from(c))),
        None => Ok(()),
    }
}

/// Characters that show nothing or reorder others, so that two texts can look alike: the Unicode categories Cc, Cf, Zl, Zp,
/// Co and noncharacters, what `Default_Ignorable_Code_Point` adds (fillers, joiners, variation selectors), blank Braille,
/// spaces other than U+0020, U+00A0 and U+3000, and U+FFFD, with which a decoder marks what it could not read.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xFFFE == 0xFFFE
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{0600}'..='\u{0605}' | '\u{061C}' | '\u{06DD}' | '\u{070F}'
            | '\u{0890}'..='\u{0891}' | '\u{08E2}' | '\u{115F}'..='\u{1160}' | '\u{1680}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{2000}'..='\u{200F}' | '\u{2028}'..='\u{202F}' | '\u{205F}'..='\u{206F}'
            | '\u{2800}' | '\u{3164}' | '\u{E000}'..='\u{F8FF}' | '\u{FDD0}'..='\u{FDEF}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{FFFD}' | '\u{110BD}' | '\u{110CD}'
            | '\u{13430}'..='\u{1345F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BILL: [u8; 16] = [0xA7; 16];
    const DIGEST: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF];

    /// MPM v1.1's own sample: objects in no order, a Chinese name, a customer-entered sub-field.
    const EMVCO: &str = "00020101021229300012D156000000000510A93FO3230Q31280012D156000000010308123456785204\
                         41115802CN5914BEST TRANSPORT6007BEIJING64200002ZH0104最佳运输0202北京540523.72530315655\
                         02016233030412340603***0708A60086670902ME91320016A011223344998877070812345678\
                         6304A13A";
    const WIKIMEDIA: &str =
        "BCD\n002\n2\nSCT\n\nWikimedia Foerdergesellschaft\nDE33100205000001194700\nEUR20\n\n\nSpende fuer Wikipedia";

    fn bill() -> BillCode<'static> {
        BillCode {
            bill: BILL,
            digest: DIGEST,
            mcc: "5943",
            currency: "CNY",
            amount_minor: 450,
            country: "CN",
            name: "小明文具店",
            city: "北京",
        }
    }

    /// The text with checksum.
    fn sealed(objects: &str) -> String {
        let covered = format!("{objects}6304");
        let checksum = crc16(covered.as_bytes());
        format!("{covered}{checksum:04X}")
    }

    fn object(tag: u8, value: &str) -> String {
        let mut text = String::new();
        push_object(&mut text, tag, value);
        text
    }

    /// A small valid code in which one object is replaced, added (unknown tag) or left out (empty value).
    fn emv_with(changes: &[(u8, &str)]) -> String {
        let mut objects: Vec<(u8, String)> = [
            (0, "01"),
            (1, "12"),
            (26, "0007org.toy0104SHOP"),
            (52, "5411"),
            (53, "156"),
            (54, "23.72"),
            (58, "CN"),
            (59, "TOY SHOP"),
            (60, "BEIJING"),
        ]
        .map(|(tag, value)| (tag, value.to_owned()))
        .into();
        for &(tag, value) in changes {
            match objects.iter_mut().find(|(id, _)| *id == tag) {
                Some(found) => found.1 = value.to_owned(),
                None => objects.push((tag, value.to_owned())),
            }
        }
        let text: String =
            objects.iter().filter(|(_, value)| !value.is_empty()).map(|(tag, value)| object(*tag, value)).collect();
        sealed(&text)
    }

    fn epc_with(line: usize, value: &str) -> String {
        let mut lines = vec![
            "BCD",
            "002",
            "1",
            "SCT",
            "BHBLDEHHXXX",
            "Franz Mustermänn",
            "DE71110220330123456789",
            "EUR12.3",
            "GDDS",
            "",
            "",
            "",
        ];
        lines[line - 1] = value;
        lines.join("\n")
    }

    fn error_code(text: &str) -> &'static str {
        match parse(text) {
            Ok(code) => panic!("{text:?} was read as {code:?}"),
            Err(error) => error.code(),
        }
    }

    #[test]
    fn json_is_what_nodpay_qr_prints() {
        let json = |text: &str| serde_json::to_string(&parse(text).unwrap()).unwrap();
        assert_eq!(
            json("hello"),
            r#"{"kind":"unknown","payee":null,"amount_minor":null,"currency":null,"country":null,"reference":null}"#
        );
        assert_eq!(
            json(&write_bill_code(&bill()).unwrap()),
            r#"{"kind":"nodpay-bill","payee":"小明文具店","amount_minor":450,"currency":"CNY","country":"CN","reference":"p6enp6enp6enp6enp6enpw"}"#
        );
        let kinds = [
            (CodeKind::NodpayBill, "nodpay-bill"),
            (CodeKind::EmvStatic, "emv-static"),
            (CodeKind::EmvDynamic, "emv-dynamic"),
            (CodeKind::Epc, "epc"),
            (CodeKind::Alipay, "alipay"),
            (CodeKind::Wechat, "wechat"),
            (CodeKind::Url, "url"),
            (CodeKind::Unknown, "unknown"),
        ];
        for (kind, name) in kinds {
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
        }
    }

    /// Published codes; where a scheme publishes none, codes in its layout sealed here.
    #[test]
    fn emv_codes_of_the_world() {
        use CodeKind::{EmvDynamic, EmvStatic};
        type Row<'a> = (&'a str, String, CodeKind, &'a str, Option<i64>, &'a str, &'a str, Option<&'a str>);
        let text = str::to_owned;
        #[rustfmt::skip]
        let rows: Vec<Row<'_>> = vec![
            ("EMVCo MPM v1.1 sample", text(EMVCO), EmvDynamic, "最佳运输", Some(2372), "CNY", "CN", None),
            ("Pix (starkbank)", text("00020126580014br.gov.bcb.pix0136a629532e-7693-4846-852d-1bbff817b5a8520400005303986540510.005802BR5908T'Challa6009Sao Paulo62090505123456304B14A"),
                EmvStatic, "T'Challa", Some(1000), "BRL", "BR", Some("12345")),
            ("QRIS (Xendit)", text("00020101021226570011ID.DANA.WWW011893600915015706056102091570605610303UME51440014ID.CO.QRIS.WWW0215ID20210807329890303UME5204893153033605405100005802ID5906XENDIT6015Kota Jakarta Se61051219062720115SzW8BPHhw35i1vT60490011ID.DANA.WWW0425MER2021071400774509608641050116304B00A"),
                EmvDynamic, "XENDIT", Some(1_000_000), "IDR", "ID", Some("SzW8BPHhw35i1vT")),
            ("QRIS (static)", text("00020101021126620014COM.GO-JEK.WWW011993600914123456789010210G1234567890303UMI51440014ID.CO.QRIS.WWW0215ID10200123456780303UMI5204581253033605802ID5911TOKO CONTOH6007JAKARTA61051011062120708KASIR-0163043ACC"),
                EmvStatic, "TOKO CONTOH", None, "IDR", "ID", None),
            ("KHQR style, primitive account", text("00020101021252044131153137210116372101160123456789ABCDE6010Phnom Penh5913Merchant Shop5802KH540510.005303840622501081234567802090124444446304A0BA"),
                EmvDynamic, "Merchant Shop", Some(1000), "USD", "KH", Some("12345678")),
            ("Mastercard sample", text("000201010211057704736a2f41a3-c54c-fce8-32d2-0324e1c32e22*3440e5bf-81ca-4c5f-a1b2-cf989f09a03952045024530384054031005802US5913Test Merchant6008New York62080304123463046F6D"),
                EmvStatic, "Test Merchant", Some(10_000), "USD", "US", None),
            ("VietQR with UTF-8 in tag 59", text("00020101021238590010A0000007270129000697042201156607040600001290208QRIBFTTA52040000530370454031005802VN5914aAeEoOiIuUyYđĐ6007Vietnam62170113INV/TEST/000263046744"),
                EmvDynamic, "aAeEoOiIuUyYđĐ", Some(100), "VND", "VN", Some("INV/TEST/0002")),
            ("QR Ph (PayMaya), unreserved template", text("00020101021226150011com.paymaya5204490053036085405390.85802PH5907Meralco6005Pasig62530110046649980150350020com.paymaya.billspay0107meralco80870015com.bayadcenter0105000010205MECOA0316046649980181013604260466499801812101361210260363041DB5"),
                EmvDynamic, "Meralco", Some(39_080), "PHP", "PH", Some("0466499801")),
            ("PayNow style", sealed("00020101021226530009SG.PAYNOW010120213201403121W0300103010408209912315204000053037025406123.455802SG5910ACME PTELT6009Singapore6210010612ABCD"),
                EmvDynamic, "ACME PTELT", Some(12_345), "SGD", "SG", Some("12ABCD")),
            ("PromptPay style", sealed("00020101021129370016A0000006770101110113006681234567852045411530376454042.505802TH5904CAFE6007BANGKOK"),
                EmvStatic, "CAFE", Some(250), "THB", "TH", None),
            ("FPS style", sealed("00020101021126330012hk.com.hkicl021312345678901235204000053033445802HK5902NA6002HK62100506TABLE7"),
                EmvStatic, "NA", None, "HKD", "HK", Some("TABLE7")),
            ("Bharat QR style", sealed("0002010102120216403847080020250004165555444433332222061661000500001234565204581253033565405250.05802IN5910CHAI HOUSE6006MUMBAI6106400001"),
                EmvDynamic, "CHAI HOUSE", Some(25_000), "INR", "IN", None),
            ("Alipay inside EMV stays EMV", sealed("00020101021126270013hk.alipay.www0106A123455204541153033445802HK5904SHOP6002HK"),
                EmvStatic, "SHOP", None, "HKD", "HK", None),
            ("UnionPay", sealed("000201010211153125000156000156123456789012345675204541153031565802CN5904SHOP6007BEIJING"),
                EmvStatic, "SHOP", None, "CNY", "CN", None),
            ("an amount alone does not make it dynamic", emv_with(&[(1, "")]), EmvStatic, "TOY SHOP", Some(2372), "CNY", "CN", None),
            ("amount 98.", emv_with(&[(54, "98.")]), EmvDynamic, "TOY SHOP", Some(9800), "CNY", "CN", None),
            ("dinar", emv_with(&[(53, "414"), (54, "1.5")]), EmvDynamic, "TOY SHOP", Some(1500), "KWD", "CN", None),
            ("yen", emv_with(&[(53, "392"), (54, "450")]), EmvDynamic, "TOY SHOP", Some(450), "JPY", "CN", None),
            ("most", emv_with(&[(54, "1000000000.00")]), EmvDynamic, "TOY SHOP", Some(MAX_AMOUNT_MINOR), "CNY", "CN", None),
            ("tip", emv_with(&[(55, "01")]), EmvDynamic, "TOY SHOP", Some(2372), "CNY", "CN", None),
            ("fixed fee", emv_with(&[(55, "02"), (56, "0.50")]), EmvDynamic, "TOY SHOP", Some(2372), "CNY", "CN", None),
            ("percentage", emv_with(&[(55, "03"), (57, "00.01")]), EmvDynamic, "TOY SHOP", Some(2372), "CNY", "CN", None),
            ("label before bill number", emv_with(&[(62, "0103N-10503R-2")]), EmvDynamic, "TOY SHOP", Some(2372), "CNY", "CN", Some("R-2")),
            ("label to be entered", emv_with(&[(62, "0503***")]), EmvDynamic, "TOY SHOP", Some(2372), "CNY", "CN", None),
            ("spaces around the name", emv_with(&[(59, " TOY  SHOP ")]), EmvDynamic, "TOY  SHOP", Some(2372), "CNY", "CN", None),
            ("future tag", emv_with(&[(65, "whatever")]), EmvDynamic, "TOY SHOP", Some(2372), "CNY", "CN", None),
            ("lengths in bytes", sealed("00020126110007org.toy5204541153031565802CN5912小明文具6006北京"),
                EmvStatic, "小明文具", None, "CNY", "CN", None),
            ("trailing newline", format!("{EMVCO}\n"), EmvDynamic, "最佳运输", Some(2372), "CNY", "CN", None),
            ("trailing CR LF", format!("{EMVCO}\r\n"), EmvDynamic, "最佳运输", Some(2372), "CNY", "CN", None),
        ];
        for (row, text, kind, payee, amount_minor, currency, country, reference) in rows {
            let expected = PaymentCode {
                kind,
                payee: Some(payee.to_owned()),
                amount_minor,
                currency: Some(currency),
                country: Some(country.to_owned()),
                reference: reference.map(str::to_owned),
                bill: None,
                shop: None,
                account: None,
                scheme: None,
            };
            // Schemes have a test of their own.
            let read = parse(&text).map(|code| PaymentCode { scheme: None, ..code });
            assert_eq!(read, Ok(expected), "{row}: {text}");
        }
    }

    #[test]
    fn broken_emv_codes() {
        let long_name = "N".repeat(26);
        #[rustfmt::skip]
        let rows: Vec<(&str, String, &str)> = vec![
            ("nothing more", "000201".into(), "emv-no-checksum"),
            ("cut off", EMVCO.chars().take(120).collect(), "emv-no-checksum"),
            ("no checksum", EMVCO.trim_end_matches("6304A13A").into(), "emv-no-checksum"),
            ("wrong checksum", EMVCO.replace("A13A", "A13B"), "emv-checksum"),
            ("small letters", EMVCO.replace("A13A", "a13a"), "emv-checksum"),
            ("another amount", EMVCO.replace("23.72", "22.72"), "emv-checksum"),
            ("text behind", format!("{EMVCO} "), "emv-no-checksum"),
            ("two newlines", format!("{EMVCO}\n\n"), "code-hidden-character"),
            ("newline inside", EMVCO.replace("BEST ", "BEST\n"), "code-hidden-character"),
            ("bidi override", emv_with(&[(59, "\u{202E}POHS")]), "code-hidden-character"),
            ("zero width", emv_with(&[(59, "A\u{200B}B")]), "code-hidden-character"),
            ("hidden in the reference", emv_with(&[(62, "0503A\u{2066}B")]), "code-hidden-character"),
            ("undecodable", emv_with(&[(59, "A\u{FFFD}")]), "code-hidden-character"),
            ("too long", sealed(&format!("000201{}", object(80, &"x".repeat(99)).repeat(5))), "emv-too-long"),
            // A published Malaysian sample whose checksum begins with two zeros.
            ("format 02", "00020201021126580014A000000615000101065887340212MBBQR1666987031000000000005204581253034585802MY5908TAKOYAKI6006PAHANG630400D7".into(), "emv-version"),
            ("length beyond the end", sealed("000201269900"), "emv-structure"),
            ("length that is no number", sealed("00020126x1ab"), "emv-structure"),
            ("tag that is no number", sealed("0002012x04ab"), "emv-structure"),
            ("length zero", sealed("0002015900"), "emv-structure"),
            ("template that does not divide", emv_with(&[(62, "05")]), "emv-structure"),
            ("checksum swallowed", sealed("00020159080102"), "emv-structure"),
            ("repeated", sealed("0002015802CN5802CN"), "emv-repeated-field"),
            ("repeated in 62", emv_with(&[(62, "0501A0501B")]), "emv-repeated-field"),
            ("two checksums", sealed("00020163041234"), "emv-repeated-field"),
            ("no account", emv_with(&[(26, "")]), "emv-missing-field"),
            ("no category", emv_with(&[(52, "")]), "emv-missing-field"),
            ("no currency", emv_with(&[(53, "")]), "emv-missing-field"),
            ("no country", emv_with(&[(58, "")]), "emv-missing-field"),
            ("no name", emv_with(&[(59, "")]), "emv-missing-field"),
            ("no city", emv_with(&[(60, "")]), "emv-missing-field"),
            ("personal PromptPay", sealed("00020101021129370016A000000677010111011300668999999995802TH5303764"), "emv-missing-field"),
            ("64 without name", emv_with(&[(64, "0002ZH")]), "emv-missing-field"),
            ("64 without language", emv_with(&[(64, "0102小明")]), "emv-missing-field"),
            ("02 without fee", emv_with(&[(55, "02")]), "emv-missing-field"),
            ("03 without percentage", emv_with(&[(55, "03")]), "emv-missing-field"),
            ("method 13", emv_with(&[(1, "13")]), "emv-invalid-field"),
            ("category of letters", emv_with(&[(52, "54A1")]), "emv-invalid-field"),
            ("category of three", emv_with(&[(52, "541")]), "emv-invalid-field"),
            ("currency unknown", emv_with(&[(53, "000")]), "emv-invalid-field"),
            ("currency in letters", emv_with(&[(53, "CNY")]), "emv-invalid-field"),
            ("currency of one digit", emv_with(&[(53, "8")]), "emv-invalid-field"),
            ("gold", emv_with(&[(53, "959")]), "emv-invalid-field"),
            ("country in small letters", emv_with(&[(58, "cn")]), "emv-invalid-field"),
            ("country of three", emv_with(&[(58, "CHN")]), "emv-invalid-field"),
            ("long name", emv_with(&[(59, &long_name)]), "emv-invalid-field"),
            ("blank name", emv_with(&[(59, "  ")]), "emv-invalid-field"),
            ("long city", emv_with(&[(60, "ABCDEFGHIJKLMNOP")]), "emv-invalid-field"),
            ("long postal code", emv_with(&[(61, "12345678901")]), "emv-invalid-field"),
            ("long reference", emv_with(&[(62, "0526ABCDEFGHIJKLMNOPQRSTUVWXYZ")]), "emv-invalid-field"),
            ("language of three", emv_with(&[(64, "0003ZHO0102小明")]), "emv-invalid-field"),
            ("fee unasked", emv_with(&[(56, "1")]), "emv-invalid-field"),
            ("percentage unasked", emv_with(&[(55, "01"), (57, "1")]), "emv-invalid-field"),
            ("fee and percentage", emv_with(&[(55, "02"), (56, "1"), (57, "1")]), "emv-invalid-field"),
            ("indicator 04", emv_with(&[(55, "04")]), "emv-invalid-field"),
            ("no fee at all", emv_with(&[(55, "02"), (56, "0.00")]), "emv-invalid-field"),
            ("100 per cent", emv_with(&[(55, "03"), (57, "100")]), "emv-invalid-field"),
            ("percentage zero", emv_with(&[(55, "03"), (57, "0")]), "emv-invalid-field"),
        ];
        for (row, text, code) in &rows {
            assert_eq!(error_code(text), *code, "{row}: {text}");
        }
        let amounts = [
            "0",
            "0.00",
            ".",
            ".5",
            "-1",
            "+1",
            "1e3",
            "98,73",
            "3 705",
            "1.2.3",
            "1.234",
            "１２",
            "1000000000.01",
            "10000000000.0",
            "99999999999999",
        ];
        for amount in amounts {
            assert_eq!(error_code(&emv_with(&[(54, amount)])), "emv-invalid-field", "amount {amount}");
        }
        assert_eq!(error_code(&emv_with(&[(53, "392"), (54, "4.5")])), "emv-invalid-field", "part of a yen");
    }

    #[test]
    fn errors_are_sentences() {
        let sentence = |text: &str| parse(text).unwrap_err().to_string();
        #[rustfmt::skip]
        let rows = [
            (EMVCO.replace("A13A", "0000"), "The payment code was misread or changed: its checksum is wrong."),
            (emv_with(&[(59, "")]), "The payment code has no merchant name (tag 59)."),
            (emv_with(&[(54, "1.234")]), "The payment code's amount (tag 54) has more decimal places than its unit."),
            (emv_with(&[(59, "\u{202E}X")]), "The code contains the hidden character U+202E."),
            (sealed("0002015802CN5802CN"), "The payment code gives tag 58 twice in the code."),
            (epc_with(7, "DE72110220330123456789"), "The bank transfer code's account number (line 7) has wrong check digits."),
        ];
        for (text, expected) in rows {
            assert_eq!(sentence(&text), expected);
        }
    }

    #[test]
    fn bill_codes_round_trip() {
        #[rustfmt::skip]
        let rows = [
            ("CNY", 450, "5303156", "54044.50", "CN", "小明文具店", "北京", "小明文具店"),
            ("EUR", 100_000, "5303978", "54071000.00", "DE", "Schreibwaren Grün", "Köln", "Schreibwaren Grün"),
            ("EUR", 1, "5303978", "54040.01", "FR", "Librairie", "Paris", "Librairie"),
            ("JPY", 450, "5303392", "5403450", "JP", "カフェ東京", "Tokyo", "カフェ東京"),
            ("KWD", 1_250, "5303414", "54051.250", "KW", "Souq Books", "Kuwait City", "Souq Books"),
            ("KWD", MAX_AMOUNT_MINOR, "5303414", "5413100000000.000", "KW", "Souq Books", "Kuwait City", "Souq Books"),
            ("CNY", MAX_AMOUNT_MINOR, "5303156", "54131000000000.00", "CN", "Shop", "上海", "Shop"),
            ("ALL", 5, "5303008", "54040.05", "AL", "A", "B", "A"),
            ("CNY", 1, "5303156", "54040.01", "CN", "一二三四五六七八九十一二三四五六七八九十一二三四五六七八", "一二三四五六七八九十一二三四五六", "一二三四五六七八九十一二三四五六七八九十一二三四五"),
            ("EUR", 1, "5303978", "54040.01", "DE", "ABCDEFGHIJKLMNOPQRSTUVW   YZ", "Ort", "ABCDEFGHIJKLMNOPQRSTUVW"),
        ];
        for (currency, amount_minor, currency_object, amount_object, country, name, city, payee) in rows {
            let text = write_bill_code(&BillCode { currency, amount_minor, country, name, city, ..bill() }).unwrap();
            assert!(
                text.starts_with(
                    "00020101021226660010org.nodpay0122p6enp6enp6enp6enp6enpw0222AAECAwQFBgf4-fr7_P3-_w52045943"
                ),
                "{text}"
            );
            assert!(text.contains(&format!("{currency_object}{amount_object}5802{country}59")), "{text}");
            let expected = PaymentCode {
                kind: CodeKind::NodpayBill,
                payee: Some(payee.to_owned()),
                amount_minor: Some(amount_minor),
                currency: Some(currency),
                country: Some(country.to_owned()),
                reference: Some("p6enp6enp6enp6enp6enpw".to_owned()),
                bill: Some(BillReference { bill: BILL, digest: DIGEST }),
                shop: None,
                account: None,
                scheme: None,
            };
            assert_eq!(parse(&text), Ok(expected), "{text}");
        }
    }

    /// The exact text, for other implementations.
    #[test]
    fn bill_code_vector() {
        let text = write_bill_code(&bill()).unwrap();
        let objects = "00020101021226660010org.nodpay0122p6enp6enp6enp6enp6enpw0222AAECAwQFBgf4-fr7_P3-_w\
                       52045943530315654044.505802CN5915NODPAY MERCHANT6002CN62260522p6enp6enp6enp6enp6enpw\
                       64210002ZH0105小明文具店0202北京";
        assert_eq!(text, sealed(objects));
    }

    #[test]
    fn bills_that_do_not_fit() {
        #[rustfmt::skip]
        let rows = [
            ("amount", BillCode { amount_minor: 0, ..bill() }),
            ("amount", BillCode { amount_minor: -1, ..bill() }),
            ("amount", BillCode { amount_minor: MAX_AMOUNT_MINOR + 1, ..bill() }),
            ("amount", BillCode { amount_minor: i64::MIN, ..bill() }),
            ("currency", BillCode { currency: "cny", ..bill() }),
            ("currency", BillCode { currency: "XAU", ..bill() }),
            ("currency", BillCode { currency: "", ..bill() }),
            ("merchant category code", BillCode { mcc: "594", ..bill() }),
            ("merchant category code", BillCode { mcc: "59a3", ..bill() }),
            ("country", BillCode { country: "China", ..bill() }),
            ("country", BillCode { country: "中", ..bill() }),
            ("merchant name", BillCode { name: " ", ..bill() }),
            ("merchant city", BillCode { city: "", ..bill() }),
        ];
        for (wrong, bill) in rows {
            match write_bill_code(&bill) {
                Err(CodeError::BillUnwritable { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{wrong}: {other:?}"),
            }
        }
        let hidden = write_bill_code(&BillCode { name: "A\u{202E}B", ..bill() });
        assert_eq!(hidden, Err(CodeError::HiddenCharacter(0x202E)));
    }

    #[test]
    fn broken_bill_codes() {
        let (id, digest) = ("p6enp6enp6enp6enp6enpw", "AAECAwQFBgf4-fr7_P3-_w");
        let account = format!("0010org.nodpay0122{id}0222{digest}");
        let label = format!("0522{id}");
        let whole = |account: &str| emv_with(&[(26, account), (62, &label)]);
        assert_eq!(parse(&whole(&account)).unwrap().kind, CodeKind::NodpayBill);
        let anywhere = emv_with(&[(51, &account), (62, &label)]);
        assert_eq!(parse(&anywhere).unwrap().kind, CodeKind::NodpayBill, "besides another scheme");
        let any_order = format!("0222{digest}0122{id}0010org.nodpay");
        assert_eq!(parse(&whole(&any_order)).unwrap().kind, CodeKind::NodpayBill);

        #[rustfmt::skip]
        let rows = [
            ("identifier alone", whole("0010org.nodpay")),
            ("no digest", whole(&format!("0010org.nodpay0122{id}"))),
            ("no bill", whole(&format!("0010org.nodpay0222{digest}"))),
            ("one more part", whole(&format!("{account}0301x"))),
            ("a part twice", whole(&format!("{account}0122{id}"))),
            ("parts that do not fit", whole("0010org.nodpay0199")),
            ("capital identifier", whole(&account.replace("org.nodpay", "ORG.NODPAY"))),
            ("short bill", whole(&format!("0010org.nodpay0121{}0222{digest}", &id[1..]))),
            ("bits beyond 16 bytes", whole(&account.replace(id, "p6enp6enp6enp6enp6enpx"))),
            ("plain base64", whole(&account.replace("-fr7", "+fr7"))),
            ("padded", whole(&format!("0010org.nodpay0124{id}==0222{digest}"))),
            ("two bills", emv_with(&[(26, &account), (27, &account), (62, &label)])),
            ("static", emv_with(&[(26, &account), (62, &label), (1, "11")])),
            ("no method", emv_with(&[(26, &account), (62, &label), (1, "")])),
            ("no amount", emv_with(&[(26, &account), (62, &label), (54, "")])),
            ("tip", emv_with(&[(26, &account), (62, &label), (55, "01")])),
            ("no label", emv_with(&[(26, &account)])),
            ("another label", emv_with(&[(26, &account), (62, "0503abc")])),
        ];
        for (row, text) in rows {
            assert_eq!(error_code(&text), "bill-broken", "{row}: {text}");
        }
        // Read by bytes, a text is never a bill.
        let bytes = write_bill_code(&bill())
            .unwrap()
            .replace("64210002ZH0105", "64350002ZH0115")
            .replace("0202北京", "0206北京");
        let objects = bytes.rsplit_once("6304").unwrap().0;
        assert!(parse(&sealed(objects)).is_err());
    }

    #[test]
    fn epc_codes() {
        type Row<'a> = (&'a str, String, &'a str, Option<i64>, &'a str, Option<&'a str>);
        let red_cross = "BCD\n001\n1\nSCT\nBPOTBEB1\nRed Cross of Belgium\nBE72000000001616\nEUR1\nCHAR\n\nUrgency fund\nSample EPC QR code";
        let mustermann = "Franz Mustermänn";
        #[rustfmt::skip]
        let rows: Vec<Row<'_>> = vec![
            ("EPC069-12 sample, version 1", red_cross.into(), "Red Cross of Belgium", Some(100), "BE", Some("Urgency fund")),
            ("EPC069-12 sample, RF", epc_with(10, "RF18539007547034"), mustermann, Some(1230), "DE", Some("RF18539007547034")),
            ("Wikimedia", WIKIMEDIA.into(), "Wikimedia Foerdergesellschaft", Some(2000), "DE", Some("Spende fuer Wikipedia")),
            ("CR LF", red_cross.replace('\n', "\r\n"), "Red Cross of Belgium", Some(100), "BE", Some("Urgency fund")),
            ("trailing newline", format!("{red_cross}\n"), "Red Cross of Belgium", Some(100), "BE", Some("Urgency fund")),
            ("ends after the account", WIKIMEDIA.lines().take(7).collect::<Vec<_>>().join("\n"), "Wikimedia Foerdergesellschaft", None, "DE", None),
            ("ends after the amount", WIKIMEDIA.lines().take(8).collect::<Vec<_>>().join("\n"), "Wikimedia Foerdergesellschaft", Some(2000), "DE", None),
            ("no amount", epc_with(8, ""), mustermann, None, "DE", None),
            ("least", epc_with(8, "EUR0.01"), mustermann, Some(1), "DE", None),
            ("most", epc_with(8, "EUR999999999.99"), mustermann, Some(99_999_999_999), "DE", None),
            ("national structured reference", epc_with(10, "+++010/8068/17183+++"), mustermann, Some(1230), "DE", Some("+++010/8068/17183+++")),
            ("short BIC", epc_with(5, "BHBLDEHH"), mustermann, Some(1230), "DE", None),
            ("Malta", epc_with(7, "MT84MALT011000012345MTLCAST001S"), mustermann, Some(1230), "MT", None),
            ("Norway", epc_with(7, "NO9386011117947"), mustermann, Some(1230), "NO", None),
        ];
        for (row, text, payee, amount_minor, country, reference) in rows {
            let expected = PaymentCode {
                kind: CodeKind::Epc,
                payee: Some(payee.to_owned()),
                amount_minor,
                currency: Some("EUR"),
                country: Some(country.to_owned()),
                reference: reference.map(str::to_owned),
                bill: None,
                shop: None,
                account: text.lines().nth(6).map(|line| Iban::new(line).unwrap()),
                scheme: None,
            };
            // Schemes have a test of their own.
            let read = parse(&text).map(|code| PaymentCode { scheme: None, ..code });
            assert_eq!(read, Ok(expected), "{row}: {text}");
        }
    }

    #[test]
    fn broken_epc_codes() {
        let wide = "ä".repeat(140);
        #[rustfmt::skip]
        let rows: Vec<(&str, String, &str)> = vec![
            ("tag alone with a line", "BCD\nhello".into(), "epc-invalid-field"),
            ("version 003", epc_with(2, "003"), "epc-invalid-field"),
            ("character set 9", epc_with(3, "9"), "epc-invalid-field"),
            ("no character set", epc_with(3, ""), "epc-invalid-field"),
            ("not SCT", epc_with(4, "SDD"), "epc-invalid-field"),
            ("version 1 without BIC", WIKIMEDIA.replace("002", "001"), "epc-missing-field"),
            ("BIC of nine", epc_with(5, "BHBLDEHHX"), "epc-invalid-field"),
            ("BIC without country", epc_with(5, "BHBL12HH"), "epc-invalid-field"),
            ("no name", epc_with(6, ""), "epc-missing-field"),
            ("long name", epc_with(6, &"N".repeat(71)), "epc-invalid-field"),
            ("bidi in the name", epc_with(6, "A\u{202E}B"), "code-hidden-character"),
            ("no account", epc_with(7, ""), "epc-missing-field"),
            ("ends before the account", "BCD\n002\n1\nSCT\n\nName".into(), "epc-missing-field"),
            ("check digits", epc_with(7, "DE71110220330123456788"), "epc-invalid-field"),
            ("length", epc_with(7, "DE7111022033012345678"), "epc-invalid-field"),
            ("outside SEPA", epc_with(7, "BR1500000000000010932840814P2"), "epc-invalid-field"),
            ("small letters", epc_with(7, "de71110220330123456789"), "epc-invalid-field"),
            ("spaces", epc_with(7, "DE71 1102 2033 0123 4567 89"), "epc-invalid-field"),
            ("one character", epc_with(7, "中"), "epc-invalid-field"),
            ("zero", epc_with(8, "EUR0.00"), "epc-invalid-field"),
            ("too much", epc_with(8, "EUR1000000000"), "epc-invalid-field"),
            ("thousandths", epc_with(8, "EUR1.001"), "epc-invalid-field"),
            ("comma", epc_with(8, "EUR1,00"), "epc-invalid-field"),
            ("no digits", epc_with(8, "EUR"), "epc-invalid-field"),
            ("point at the end", epc_with(8, "EUR1."), "epc-invalid-field"),
            ("dollars", epc_with(8, "USD1"), "epc-invalid-field"),
            ("long purpose", epc_with(9, "GDDSX"), "epc-invalid-field"),
            ("RF check digits", epc_with(10, "RF19539007547034"), "epc-invalid-field"),
            ("long structured reference", epc_with(10, &"1".repeat(36)), "epc-invalid-field"),
            ("both references", WIKIMEDIA.replace("\n\nSpende", "\nRF18539007547034\nSpende"), "epc-invalid-field"),
            ("long text", epc_with(11, &"x".repeat(141)), "epc-invalid-field"),
            ("long information", epc_with(12, &"x".repeat(71)), "epc-invalid-field"),
            ("13 lines", format!("{}\nmore", epc_with(12, "i")), "epc-invalid-field"),
            ("over 331 bytes", epc_with(11, &wide), "epc-too-long"),
            ("mixed line ends", WIKIMEDIA.replacen('\n', "\r\n", 1), "code-hidden-character"),
            ("carriage return inside", WIKIMEDIA.replace("EUR20", "EUR20\r"), "code-hidden-character"),
        ];
        for (row, text, code) in &rows {
            assert_eq!(error_code(text), *code, "{row}: {text}");
        }
        let single_byte = epc_with(11, &wide).replacen("\n1\n", "\n2\n", 1);
        assert!(parse(&single_byte).is_ok(), "140 umlauts are 140 bytes in ISO 8859-1");
    }

    #[test]
    fn wallets_addresses_and_everything_else() {
        use CodeKind::{Alipay, Unknown, Url, Wechat};
        #[rustfmt::skip]
        let rows = [
            ("https://qr.alipay.com/fkx12345", Alipay),
            ("HTTPS://QR.ALIPAY.COM/FKX12345", Alipay),
            ("https://qr.alipay.com:443/fkx", Alipay),
            ("https://render.alipay.com/p/s/i?scheme=x", Alipay),
            ("alipays://platformapi/startapp?saId=10000007", Alipay),
            ("AlipayS://platformapi", Alipay),
            ("281234567890123456", Alipay),
            ("2512345678901234", Alipay),
            ("301234567890123456789012", Alipay),
            ("wxp://f2f0abcdef", Wechat),
            ("weixin://wxpay/bizpayurl?pr=abc", Wechat),
            ("https://payapp.weixin.qq.com/qr/abc", Wechat),
            ("https://wx.tenpay.com/f2f?t=abc\n", Wechat),
            ("134567890123456789", Wechat),
            ("101234567890123456", Wechat),
            ("http://google.com/gwt/n?u=bluenile.com", Url),
            ("HTTP://EXAMPLE.COM", Url),
            ("http://aniful.jp/pr/  ", Url),
            ("https://localhost:8443/", Url),
            ("https://[2001:db8::1]:443/x", Url),
            ("https://例子.公司/付款", Url),
            ("https://qr.alipay.com@evil.example/", Url),
            ("https://qr.alipay.com.evil.example/", Url),
            ("https://evil.example/https://qr.alipay.com/", Url),
            ("https://evil.example?qr.alipay.com", Url),
            ("https://wx.tenpay.com.:80/x", Wechat),
            ("https://qr.alipay.com\\@evil.example/", Unknown),
            ("", Unknown),
            ("\n", Unknown),
            ("BCD", Unknown),
            ("BCD\n", Unknown),
            ("000200", Unknown),
            ("0002", Unknown),
            (" https://example.com", Unknown),
            ("http://", Unknown),
            ("http:///path", Unknown),
            ("http://.", Unknown),
            ("http://a..b/", Unknown),
            ("http://user@/", Unknown),
            ("http://a:99999/", Unknown),
            ("http://[::1/", Unknown),
            ("http://a b/", Unknown),
            ("http://exa\u{200B}mple.com/", Unknown),
            ("ftp://example.com/", Unknown),
            ("weixin://dl/chat", Unknown),
            ("wxp://", Unknown),
            ("MEBKM:URL:http\\://en.wikipedia.org/wiki/Main_Page;;", Unknown),
            ("Google モバイル\nhttp://google.jp", Unknown),
            ("161234567890123456", Unknown),
            ("13456789012345678", Unknown),
            ("251234567890123", Unknown),
            ("3012345678901234567890123", Unknown),
            ("小明文具店", Unknown),
        ];
        for (text, kind) in rows {
            assert_eq!(parse(text), Ok(PaymentCode::of_kind(kind)), "{text:?}");
        }
        assert_eq!(error_code(&"x".repeat(MAX_TEXT_BYTES + 1)), "code-too-long");
        assert!(parse(&"7".repeat(MAX_TEXT_BYTES)).is_ok());
    }

    #[test]
    fn tables_are_in_order() {
        assert!(IBAN_LENGTHS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(crc16(b"123456789"), 0x29B1, "the check value of CRC-16/CCITT-FALSE");
        for c in ['a', '中', ' ', '\u{3000}', 'é', 'ß', 'あ', '한', 'ש', '😀', '€'] {
            assert!(!is_hidden(c), "{c}");
        }
        for c in [
            '\0',
            '\t',
            '\u{7F}',
            '\u{85}',
            '\u{AD}',
            '\u{200D}',
            '\u{2028}',
            '\u{2069}',
            '\u{FEFF}',
            '\u{E0041}',
            '\u{1FFFF}',
        ] {
            assert!(is_hidden(c), "{c:?}");
        }
    }

    /// One wrong, missing, added or exchanged character of our code never leads to another bill.
    #[test]
    fn one_wrong_character_never_means_another_bill() {
        let text = write_bill_code(&bill()).unwrap();
        let good = parse(&text).unwrap();
        let chars: Vec<char> = text.chars().collect();
        let check = |changed: Vec<char>| {
            let changed: String = changed.into_iter().collect();
            if changed == text {
                return;
            }
            match parse(&changed) {
                Ok(code) => assert_eq!(code.bill, None, "{changed}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            if changed.starts_with("000201") {
                assert!(parse(&changed).is_err(), "{changed}");
            }
        };
        assert_eq!(good.bill, Some(BillReference { bill: BILL, digest: DIGEST }));
        let replacements: Vec<char> = (' '..='~').chain(['京', '\n', '\u{202E}']).collect();
        for at in 0..chars.len() {
            for &replacement in &replacements {
                let mut changed = chars.clone();
                changed[at] = replacement;
                check(changed);
            }
            let mut shorter = chars.clone();
            shorter.remove(at);
            check(shorter);
            let mut doubled = chars.clone();
            doubled.insert(at, chars[at]);
            check(doubled);
            let mut exchanged = chars.clone();
            exchanged.swap(at, (at + 1) % chars.len());
            check(exchanged);
        }
    }

    /// xorshift64*, with a fixed seed; a failure prints the text.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound
        }
    }

    fn mutate(random: &mut Random, seed: &str) -> String {
        let alphabet: Vec<char> = "0123456789.:/\n\rABDCEUR北ä\u{202E}\u{10FFFF}@[]".chars().collect();
        let mut chars: Vec<char> = seed.chars().collect();
        for _ in 0..=random.below(4) {
            let at = random.below(chars.len() + 1);
            let fresh = alphabet[random.below(alphabet.len())];
            match random.below(6) {
                0 => chars.insert(at, fresh),
                1 => chars.truncate(at),
                2 if at < chars.len() => drop(chars.remove(at)),
                3 => {
                    let tail = chars[at..].to_vec();
                    chars.extend(tail);
                }
                _ if at < chars.len() => chars[at] = fresh,
                _ => chars.push(fresh),
            }
        }
        chars.into_iter().collect()
    }

    /// Half of the mutated EMV texts get a right checksum, so that the fields behind it are reached.
    #[test]
    fn mutations_never_panic_and_keep_the_invariants() {
        let ours = write_bill_code(&bill()).unwrap();
        let seeds = [
            ours.as_str(),
            EMVCO,
            WIKIMEDIA,
            &epc_with(10, "RF18539007547034"),
            "https://user@qr.alipay.com:443/fkx?a#b",
            "wxp://f2f0",
            "http://[::1]:80/",
            "134567890123456789",
        ];
        let mut random = Random(0x6E6F_6470_6179_0001);
        let (mut read, mut refused) = (0, 0);
        for round in 0..40_000 {
            let mut text = mutate(&mut random, seeds[round % seeds.len()]);
            if text.starts_with("0002") && random.below(2) == 0 {
                let objects = text.rsplit_once("6304").map_or(text.as_str(), |(objects, _)| objects);
                text = sealed(objects);
            }
            let Ok(code) = parse(&text) else {
                refused += 1;
                continue;
            };
            read += 1;
            assert!(code.amount_minor.is_none_or(|minor| (1..=MAX_AMOUNT_MINOR).contains(&minor)), "{text:?}");
            for shown in [&code.payee, &code.reference].into_iter().flatten() {
                assert!(!shown.trim().is_empty() && !shown.chars().any(is_hidden), "{text:?}");
            }
            let open =
                matches!(code.kind, CodeKind::NodpayBill | CodeKind::EmvStatic | CodeKind::EmvDynamic | CodeKind::Epc);
            assert_eq!(code.payee.is_some() && code.currency.is_some() && code.country.is_some(), open, "{text:?}");
            assert_eq!(code.bill.is_some(), code.kind == CodeKind::NodpayBill, "{text:?}");
        }
        assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
    }
}
