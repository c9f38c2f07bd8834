//! What a bank's statement says came in: which payments count, what they are named by, and whose they say they are.

use nodpay_core::{Amount, Currency, HouseholdId, Iban};
use nodpay_service::rails::bank::ReportError;
use nodpay_service::rails::camt::{Credit, StatementError, read_credits};
use nodpay_service::reference;
use nodpay_testkit::minor;

const ACCOUNT: &str = "DE89370400440532013000";
const NOTIFICATION: (&str, &str, &str) = ("camt.054.001.08", "BkToCstmrDbtCdtNtfctn", "Ntfctn");
const STATEMENTS: [(&str, &str, &str); 3] =
    [("camt.053.001.02", "BkToCstmrStmt", "Stmt"), ("camt.053.001.08", "BkToCstmrStmt", "Stmt"), NOTIFICATION];

fn file((version, body, part): (&str, &str, &str), id: &str, entries: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{version}\"><{body}>\
         <GrpHdr><MsgId>M</MsgId></GrpHdr><{part}><Id>{id}</Id><Acct><Id><IBAN>{ACCOUNT}</IBAN></Id></Acct>{entries}\
         </{part}></{body}></Document>"
    )
}

/// A booked credit; what else it says is `names` (references of the bank's) and `details`.
fn entry(amount: &str, names: &str, details: &str) -> String {
    format!(
        "<Ntry>{names}<Amt Ccy=\"EUR\">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
         <BookgDt><Dt>2026-11-23</Dt></BookgDt><NtryDtls>{details}</NtryDtls></Ntry>"
    )
}

fn wrote(words: &str) -> String {
    format!("<TxDtls><RmtInf><Ustrd>{words}</Ustrd></RmtInf></TxDtls>")
}

fn read(text: &str) -> Vec<Credit> {
    read_credits(text.as_bytes(), Some(&Iban::new(ACCOUNT).expect("an IBAN"))).expect("a statement")
}

fn eur(units: i64) -> Amount {
    Amount::new(minor(units), Currency::EUR)
}

#[test]
fn whose_payments_they_say_they_are() {
    let reference = reference::of(HouseholdId::from_bytes(*b"0123456789abcdef"));
    let (first, rest) = reference.split_at(11);
    let known = [
        format!("<TxDtls><RmtInf><Strd><CdtrRefInf><Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>"),
        wrote(&reference),
        wrote(&format!("Lunch for Ming, {} {rest}. Thanks!", first.to_lowercase())),
        // Cut in two by the bank.
        format!("<TxDtls><RmtInf><Ustrd>Lunch {first}</Ustrd><Ustrd>{rest}</Ustrd></RmtInf></TxDtls>"),
        format!("<TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs></TxDtls>"),
    ];
    let slip = reference.replace(&reference[5..6], if &reference[5..6] == "7" { "4" } else { "7" });
    let unknown =
        ["<TxDtls/>".to_owned(), String::new(), wrote("Lunch for Ming"), wrote(&slip), wrote(&reference[1..])];
    for details in &known {
        let credits = read(&file(NOTIFICATION, "1", &entry("12.30", "<AcctSvcrRef>A</AcctSvcrRef>", details)));
        assert_eq!(credits.len(), 1);
        assert_eq!((credits[0].reference.as_deref(), credits[0].amount), (Some(reference.as_str()), eur(1_230)));
    }
    for details in &unknown {
        let credits = read(&file(NOTIFICATION, "1", &entry("12.30", "<AcctSvcrRef>A</AcctSvcrRef>", details)));
        assert_eq!((credits.len(), &credits[0].reference), (1, &None), "{details}");
    }
}

#[test]
fn what_names_a_payment_stays() {
    let names = |kind, id: &str, entries: &str| -> Vec<_> {
        read(&file(kind, id, entries)).into_iter().map(|credit| credit.transfer).collect()
    };
    let by_bank = entry("12.30", "<NtryRef>1</NtryRef><AcctSvcrRef>A</AcctSvcrRef>", &wrote("Lunch"));
    let first = names(NOTIFICATION, "1", &by_bank);
    for kind in STATEMENTS {
        assert_eq!(names(kind, "2", &by_bank), first, "another file of the same payment");
    }
    for other in [
        entry("12.31", "<AcctSvcrRef>A</AcctSvcrRef>", &wrote("Lunch")),
        entry("12.30", "<AcctSvcrRef>B</AcctSvcrRef>", &wrote("Lunch")),
    ] {
        assert_ne!(names(NOTIFICATION, "1", &other), first);
    }
    // Numbers of entries begin anew in each statement.
    let by_number = entry("12.30", "<NtryRef>1</NtryRef>", &wrote("Lunch"));
    assert_ne!(names(NOTIFICATION, "1", &by_number), names(NOTIFICATION, "2", &by_number));
    assert_eq!(names(NOTIFICATION, "1", &by_number), names(NOTIFICATION, "1", &by_number));
    for nothing in ["", "<AcctSvcrRef>NONREF</AcctSvcrRef>"] {
        assert_eq!(names(NOTIFICATION, "1", &entry("12.30", nothing, &wrote("Lunch"))), [None]);
    }
}

#[test]
fn several_payments_in_one_entry() {
    let part = |amount: &str| format!("<TxDtls><Amt Ccy=\"EUR\">{amount}</Amt></TxDtls>");
    let old =
        |amount: &str| format!("<TxDtls><AmtDtls><TxAmt><Amt Ccy=\"EUR\">{amount}</Amt></TxAmt></AmtDtls></TxDtls>");
    let amounts = |details: &str| -> Vec<Amount> {
        let credits = read(&file(NOTIFICATION, "1", &entry("30.00", "<AcctSvcrRef>A</AcctSvcrRef>", details)));
        let ids: std::collections::BTreeSet<_> = credits.iter().map(|credit| credit.transfer).collect();
        assert_eq!(ids.len(), credits.len(), "each has a name of its own");
        credits.into_iter().map(|credit| credit.amount).collect()
    };
    assert_eq!(amounts(&[part("10.00"), old("20.00")].concat()), [eur(1_000), eur(2_000)]);
    assert_eq!(amounts(&[part("15"), part("15")].concat()), [eur(1_500), eur(1_500)], "alike, but two");
    // Nobody can say whose what does not add up is.
    for details in [part("10.00") + &part("10.00"), part("30.00") + "<TxDtls/>"] {
        assert_eq!(amounts(&details), [eur(3_000)]);
    }
}

#[test]
fn only_money_that_came_and_stays_counts() {
    let plain = entry("12.30", "<AcctSvcrRef>A</AcctSvcrRef>", &wrote("Lunch"));
    for other in [
        plain.replace("CRDT", "DBIT"),
        plain.replace("BOOK", "PDNG"),
        plain.replace("<Sts>", "<RvslInd>true</RvslInd><Sts>"),
    ] {
        assert_eq!(read(&file(NOTIFICATION, "1", &other)), []);
    }
    let of_version_two = plain.replace("<Sts><Cd>BOOK</Cd></Sts>", "<Sts>BOOK</Sts>");
    assert_eq!(read(&file(STATEMENTS[0], "1", &of_version_two)).len(), 1);
    assert_eq!(read(&file(NOTIFICATION, "1", &plain.replace("12.30", "12.3000")))[0].amount, eur(1_230));
    assert_eq!(read(&file(NOTIFICATION, "1", "")), []);
}

#[test]
fn a_bad_file_counts_for_nothing() {
    let good = entry("12.30", "<AcctSvcrRef>A</AcctSvcrRef>", &wrote("Lunch"));
    let refused = |text: &str, own: &str| {
        read_credits(text.as_bytes(), Some(&Iban::new(own).expect("an IBAN"))).expect_err("not a statement")
    };
    let bad = |amount: &str| refused(&file(NOTIFICATION, "1", &(good.clone() + &entry(amount, "", ""))), ACCOUNT);
    for amount in ["", "-1", "1,00", "1.001", "1e3", "99999999999999999999"] {
        assert!(matches!(bad(amount), StatementError::Amount(_)), "{amount}");
    }
    assert!(bad("1.001").to_string().contains("1.001 EUR"));
    let file = file(NOTIFICATION, "1", &good);
    assert!(matches!(refused(&file.replace("\"EUR\"", "\"XXY\""), ACCOUNT), StatementError::Amount(_)));
    assert_eq!(refused(&file, "NO9386011117947"), StatementError::OtherAccount(ACCOUNT.to_owned()));
    assert_eq!(refused(&file.replace("camt.054", "camt.052"), ACCOUNT), StatementError::NotAStatement);
    let dtd = file.replace("<Document", "<!DOCTYPE Document [<!ENTITY a \"b\">]><Document");
    for broken in [file.replace("</Document>", ""), "not XML".to_owned(), dtd] {
        assert!(matches!(refused(&broken, ACCOUNT), StatementError::File(ReportError::Xml(_))), "{broken}");
    }
}
