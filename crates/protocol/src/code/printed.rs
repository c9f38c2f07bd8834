//! Codes that a shop prints: whose they are, by which scheme's name people know them, and our own.
//!
//! A printed code names a payee and no bill. Which of the operator's merchants that payee is, the service looks up under
//! [`payee_of`]: two texts with the same value are one payee's, whatever amount they ask for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nodpay_core::Digest;

use super::{
    CodeError, CodeKind, LengthUnit, Merchant, NODPAY_GUID, Objects, WHOLE, parse, push_object, read_objects,
    without_trailing_newline, write_emv,
};
use crate::digest::labelled;

/// The printed code that [`write_shop_code`] turns into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShopCode<'a> {
    /// The merchant's id.
    pub shop: [u8; 16],
    /// Merchant category code, ISO 18245: four digits.
    pub mcc: &'a str,
    /// ISO 4217 alphabetic code of a currency with minor units.
    pub currency: &'a str,
    /// Minor units; `None` lets the payer type it.
    pub amount_minor: Option<i64>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// The merchant's name in any script; what exceeds [`super::MAX_NAME_CHARS`] is cut off in the code.
    pub name: &'a str,
    /// The merchant's city in any script; what exceeds [`super::MAX_CITY_CHARS`] is cut off in the code.
    pub city: &'a str,
}

/// Writes the text of a code for a shop to print: an EMV code of initiation method 11 whose template 26 is `00`
/// [`NODPAY_GUID`], `03` merchant id as unpadded base64url (22 characters). Names as in [`super::write_bill_code`].
///
/// # Errors
/// Those of [`super::write_bill_code`].
pub fn write_shop_code(code: &ShopCode<'_>) -> Result<String, CodeError> {
    let mut account = String::new();
    push_object(&mut account, 0, NODPAY_GUID);
    push_object(&mut account, 3, &URL_SAFE_NO_PAD.encode(code.shop));
    let merchant =
        Merchant { mcc: code.mcc, currency: code.currency, country: code.country, name: code.name, city: code.city };
    write_emv("11", &account, &merchant, code.amount_minor, None)
}

/// Whom a code asks to pay, as a digest of its normal form: `SHA-256("nodpay/payee/1" ‖ 0x00 ‖ form)`. `None` for a text
/// that names no payee (a bill of ours, a wallet's link, anything broken) and for one that adds a tip or fee, which a bill
/// of one line could not show.
///
/// The normal form, in UTF-8:
/// - ours: `nodpay`, LF, the merchant id in base64url;
/// - EMV: `emv`, LF, every object but initiation method (01), amount (54) and checksum (63), by rising id, each as id,
///   length in characters and value. So a scheme that names the payee outside of its templates is not mistaken;
/// - EPC: `epc`, LF, account number, LF, payee name without the spaces around it.
#[must_use]
pub fn payee_of(text: &str) -> Option<Digest> {
    let code = parse(text).ok()?;
    let text = without_trailing_newline(text);
    let form = match (code.kind, code.shop) {
        (CodeKind::EmvStatic, Some(shop)) => format!("nodpay\n{}", URL_SAFE_NO_PAD.encode(shop)),
        (CodeKind::EmvStatic | CodeKind::EmvDynamic, _) => emv_form(text)?,
        (CodeKind::Epc, _) => {
            let mut lines = text.lines().skip(5);
            let (name, iban) = (lines.next()?, lines.next()?);
            format!("epc\n{iban}\n{}", name.trim())
        }
        (CodeKind::NodpayBill | CodeKind::Alipay | CodeKind::Wechat | CodeKind::Url | CodeKind::Unknown, _) => {
            return None;
        }
    };
    Some(labelled("nodpay/payee/1", &[form.as_bytes()]))
}

fn emv_form(text: &str) -> Option<String> {
    // As `parse` reads it: by characters where that fits, else by bytes.
    let objects = read_objects(text, LengthUnit::Characters, WHOLE)
        .ok()
        .filter(|objects| objects.0.last().is_some_and(|&(tag, _)| tag == 63))
        .or_else(|| read_objects(text, LengthUnit::Bytes, WHOLE).ok())?;
    if objects.get(55).is_some() {
        return None;
    }
    let mut naming: Vec<(u8, &str)> = objects.0.into_iter().filter(|(tag, _)| !matches!(tag, 1 | 54 | 63)).collect();
    naming.sort_unstable();
    let mut form = "emv\n".to_owned();
    for (tag, value) in naming {
        push_object(&mut form, tag, value);
    }
    Some(form)
}

/// Identifiers (sub-tag 00) by which national schemes begin their templates, in lower case. Application identifiers are
/// ISO/IEC 7816-5 RIDs, with which the schemes' longer ones begin.
const SCHEMES: [(&str, &str); 14] = [
    ("sg.paynow", "PayNow"),
    ("hk.com.hkicl", "FPS"),
    ("id.co.qris", "QRIS"),
    ("br.gov.bcb.pix", "Pix"),
    ("a000000677", "PromptPay"),
    ("a000000615", "DuitNow"),
    ("a000000727", "VietQR"),
    ("a000000524", "UPI"),
    ("com.p2pqrpay", "QR Ph"),
    ("ph.ppmi", "QR Ph"),
    ("jp.or.paymentsjapan", "JPQR"),
    ("sg.com.nets", "NETS"),
    ("hk.alipay", "AlipayHK"),
    ("sg.sgqr", "SGQR"),
];

/// The scheme of an EMV code: a national one if any template names it, else that of the card whose tag it uses (MPM, table
/// of merchant account information ids).
pub(super) fn emv_scheme(objects: &Objects<'_>, unit: LengthUnit, country: &str) -> Option<&'static str> {
    let mut guids = Vec::new();
    for &(tag, value) in &objects.0 {
        if (26..=51).contains(&tag)
            && let Ok(parts) = read_objects(value, unit, WHOLE)
            && let Some(guid) = parts.get(0)
        {
            // Bakong's templates name the account instead of the scheme.
            if country == "KH" && matches!(tag, 29 | 30) && guid.contains('@') {
                return Some("KHQR");
            }
            guids.push(guid.to_ascii_lowercase());
        }
    }
    let national = SCHEMES.iter().find(|(start, _)| guids.iter().any(|guid| guid.starts_with(start)));
    national.map(|(_, name)| *name).or_else(|| {
        objects.0.iter().find_map(|(tag, _)| match tag {
            2 | 3 => Some("Visa"),
            4 | 5 => Some("Mastercard"),
            9 | 10 => Some("Discover"),
            11 | 12 => Some("American Express"),
            13 | 14 => Some("JCB"),
            15 | 16 => Some("UnionPay"),
            _ => None,
        })
    })
}

/// Schemes whose texts are neither EMV nor EPC and that have no kind of their own.
pub(super) fn closed_scheme(text: &str) -> Option<&'static str> {
    let begins = |start: &str| text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    if begins("upi://pay?") {
        return Some("UPI");
    }
    // Swiss Implementation Guidelines for the QR-bill, 2.2: type "SPC", version "0200" on the next line.
    (begins("SPC\n0200") || begins("SPC\r\n0200")).then_some("QR-bill")
}

#[cfg(test)]
mod tests {
    use super::super::{CodeKind, crc16};
    use super::*;

    fn shop() -> ShopCode<'static> {
        ShopCode {
            shop: [0xA7; 16],
            mcc: "5943",
            currency: "CNY",
            amount_minor: None,
            country: "CN",
            name: "小明文具店",
            city: "北京",
        }
    }

    fn sealed(objects: &str) -> String {
        let covered = format!("{objects}6304");
        format!("{covered}{:04X}", crc16(covered.as_bytes()))
    }

    const SHOP: &str = "26230012org.toy.shop0103ABC52045812530315658 02CN";

    #[test]
    fn our_printed_code_is_read_back() {
        let text = write_shop_code(&shop()).unwrap();
        let code = parse(&text).unwrap();
        assert_eq!((code.kind, code.shop, code.bill), (CodeKind::EmvStatic, Some([0xA7; 16]), None));
        assert_eq!((code.payee.as_deref(), code.amount_minor, code.currency), (Some("小明文具店"), None, Some("CNY")));
        let fixed = write_shop_code(&ShopCode { amount_minor: Some(450), ..shop() }).unwrap();
        assert_eq!(parse(&fixed).unwrap().amount_minor, Some(450));
        assert_eq!(payee_of(&text), payee_of(&fixed), "an amount makes no other payee");
        let renamed = write_shop_code(&ShopCode { name: "Stationery", ..shop() }).unwrap();
        assert_eq!(payee_of(&text), payee_of(&renamed));
        let other = write_shop_code(&ShopCode { shop: [1; 16], ..shop() }).unwrap();
        assert_ne!(payee_of(&text), payee_of(&other));
        assert!(write_shop_code(&ShopCode { amount_minor: Some(0), ..shop() }).is_err());
    }

    #[test]
    fn a_bent_code_of_ours_is_broken() {
        let text = write_shop_code(&shop()).unwrap();
        let body = text.strip_suffix(text.get(text.len() - 8..).unwrap()).unwrap();
        let id = "p6enp6enp6enp6enp6enpw";
        for bent in [
            body.replacen("010211", "010212", 1),
            body.replacen("010211", "", 1),
            body.replacen(id, "p6enp6enp6enp6enp6enp=", 1),
            format!("{body}550201"),
            body.replacen(&format!("26400010org.nodpay0322{id}"), &format!("26490010org.nodpay0322{id}0405later"), 1),
        ] {
            assert_ne!(bent, body);
            assert_eq!(parse(&sealed(&bent)).map_err(|error| error.code()), Err("bill-broken"), "{bent}");
            assert_eq!(payee_of(&sealed(&bent)), None);
        }
    }

    #[test]
    fn one_payee_has_one_normal_form() {
        let with = |more: &str| sealed(&format!("000201{}5904SHOP6004CITY{more}", SHOP.replace(' ', "")));
        let plain = payee_of(&with("")).unwrap();
        assert_eq!(payee_of(&with("54041.50")), Some(plain), "an amount");
        assert_eq!(payee_of(&format!("{}\n", with(""))), Some(plain), "a line end");
        let shuffled = "0002010102125904SHOP6004CITY26230012org.toy.shop0103ABC52045812530315654 0412.55802CN";
        assert_eq!(payee_of(&sealed(&shuffled.replace(' ', ""))), Some(plain), "order and method");
        assert_ne!(payee_of(&with("6207070345A")), Some(plain), "another counter");
        assert_eq!(payee_of(&with("550201")), None, "a tip");
        assert_eq!(payee_of(&with("55020357011")), None, "a percentage");

        let epc = |version: &str, bic: &str, name: &str, rest: &str| {
            payee_of(&format!("BCD\n{version}\n1\nSCT\n{bic}\n{name}\nDE71110220330123456789{rest}"))
        };
        let plain = epc("002", "", "Schulkantine", "").unwrap();
        assert_eq!(epc("001", "BHBLDEHHXXX", "Schulkantine ", "\nEUR12.3\nGDDS\n\nMensa"), Some(plain));
        assert_ne!(epc("002", "", "Schulkiosk", ""), Some(plain));
        for text in ["https://qr.alipay.com/fkx1", "wxp://f2f0", "hello", "", "https://example.com"] {
            assert_eq!(payee_of(text), None);
        }
    }

    #[test]
    fn schemes_are_named() {
        let template = |tag: u8, guid: &str| {
            let mut account = String::new();
            push_object(&mut account, 0, guid);
            push_object(&mut account, 1, "0123456789");
            let mut text = "000201".to_owned();
            push_object(&mut text, tag, &account);
            text
        };
        let named = |start: String, country: &str| {
            let text = sealed(&format!("{start}5204581253031565802{country}5904SHOP6004CITY"));
            parse(&text).unwrap().scheme
        };
        for (guid, name) in [
            ("SG.PAYNOW", "PayNow"),
            ("hk.com.hkicl", "FPS"),
            ("ID.CO.QRIS.WWW", "QRIS"),
            ("BR.GOV.BCB.PIX", "Pix"),
            ("A000000677010111", "PromptPay"),
            ("A0000006150001", "DuitNow"),
            ("A000000727", "VietQR"),
            ("A000000524010", "UPI"),
            ("com.p2pqrpay", "QR Ph"),
            ("ph.ppmi.p2m", "QR Ph"),
        ] {
            assert_eq!(named(template(26, guid), "SG"), Some(name), "{guid}");
        }
        assert_eq!(named(template(29, "shop@bank"), "KH"), Some("KHQR"));
        assert_eq!(named(template(29, "shop@bank"), "SG"), None);
        assert_eq!(named(template(26, "org.toy"), "SG"), None);
        assert_eq!(named("00020115 160123456789012345".replace(' ', ""), "CN"), Some("UnionPay"));
        assert_eq!(parse("UPI://pay?pa=a@b").unwrap().scheme, Some("UPI"));
        assert_eq!(parse("SPC\r\n0200\r\n1\r\nCH44").unwrap().scheme, Some("QR-bill"));
        assert_eq!(parse("SPCA").unwrap().scheme, None);
    }
}
