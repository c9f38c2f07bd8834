//! A shop's printed code, from the operator's picture of it to the evidence, with real processes.

use std::path::Path;
use std::process::Command;

use nodpay::parties::{Approval, PIN, label_with};
use nodpay_core::OutcomeKind;
use nodpay_watch::reader::{Frame, load_image};

use crate::table::{Table, program};

/// FPS in its layout, in yuan: another system's code that the shop has on its counter.
const FPS: &str = "00020101021126330012hk.com.hkicl021312345678901235204000053031565802HK5907CANTEEN6002HK6304";

fn sealed(covered: &str) -> String {
    let mut crc = 0xFFFF_u16;
    for byte in covered.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    format!("{covered}{crc:04X}")
}

/// `nodpay admin … merchant code …`: what it prints, or why not.
fn code(table: &Table, arguments: &[&str]) -> Result<String, String> {
    let data = table.folder().join("service");
    let done = Command::new(program())
        .args(["admin", "--data", &data.to_string_lossy(), "merchant", "code"])
        .args(arguments)
        .output()
        .expect("runs");
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim().to_owned();
    if done.status.success() { Ok(said(done.stdout)) } else { Err(said(done.stderr)) }
}

fn picture(path: &Path) -> Frame {
    load_image(&std::fs::read(path).expect("a file")).expect("a picture").scaled_to(640)
}

fn scan(table: &mut Table, frame: &Frame) {
    let watch = &mut table.cast.watch;
    watch.tap("Pay").expect("taps");
    watch.wait_screen("scan").expect("scan");
    watch.show_frame(frame).expect("reads the code");
}

#[test]
fn a_printed_code_is_scanned_typed_approved_paid_and_proved() {
    let mut table = Table::lay();
    let merchant = table.cast.merchant.id().to_string();
    let folder = table.folder().to_owned();
    let png = folder.join("counter.png");
    let path = png.to_string_lossy();
    let text = code(&table, &["make", "--merchant", &merchant, "--out", &path]).expect("makes it");
    assert!(text.contains("org.nodpay"), "{text}");

    scan(&mut table, &picture(&png));
    table.cast.watch.wait_screen("amount").expect("asks for the amount");
    table.cast.watch.type_pin("850", "Confirm").expect("types it");
    let shown = table.cast.watch.wait_screen("review").expect("the bill");
    assert!(label_with(&shown, "8.50"), "{shown}");
    table.cast.watch.tap("Confirm").expect("taps");
    table.cast.watch.wait_screen("pin").expect("pin");
    table.cast.watch.type_pin(PIN, "Confirm").expect("types the PIN");
    let event = table.cast.events.wait_for("order", |_| true).expect("the order arrives");
    let order = event["order"].as_str().expect("an id").to_owned();

    let view = table.cast.guardian.order(&order).expect("verified");
    assert_eq!(view.bill.code.as_ref().map(nodpay_core::CodeText::as_str), Some(text.as_str()));
    assert_eq!((view.bill.total.get(), view.certificate.name.as_str()), (850, "阳光小卖部 Sunny Shop"));
    table.cast.guardian.decide(&view, &Approval::Without(Vec::new())).expect("nods");
    let (evidence, report) = table.cast.ended(&order).expect("ends");
    assert_eq!((report.outcome, report.total.minor()), (OutcomeKind::Paid, 850));
    assert_eq!(table.balance(), 5_000 - 850);
    let status = table.cast.merchant.bill_status(view.bill.bill).expect("the shop sees it");
    assert_eq!((&status["status"], &status["printed_code"]), (&"paid".into(), &true.into()));

    let file = folder.join("evidence.json");
    let anchor = folder.join("anchor.json");
    std::fs::write(&file, &evidence).expect("writes");
    std::fs::write(&anchor, table.cast.guardian.anchor().to_file().expect("serialises")).expect("writes");
    let verify = |file: &Path| {
        Command::new(program()).arg("verify").arg("--anchor").arg(&anchor).arg(file).output().expect("runs").status
    };
    assert!(verify(&file).success());
    // The watch's word on the amount is under its signature.
    let bill = view.bill.wire();
    let forged = bill.replacen(&bill[60..61], if &bill[60..61] == "A" { "B" } else { "A" }, 1);
    std::fs::write(&file, evidence.replacen(bill, &forged, 1)).expect("writes");
    assert!(!verify(&file).success());
}

#[test]
fn a_code_of_another_system_is_named_until_the_operator_knows_it() {
    let mut table = Table::lay();
    let merchant = table.cast.merchant.id().to_string();
    let png = table.folder().join("fps.png");
    let frame = nodpay::parties::photograph(&sealed(FPS), Some(&png)).expect("a picture");
    scan(&mut table, &frame);
    table.cast.watch.wait("its name", |shown| label_with(shown, "FPS")).expect("names the scheme");
    table.cast.watch.tap("OK").expect("taps");
    table.cast.watch.wait_screen("home").expect("home");

    let path = png.to_string_lossy().into_owned();
    let name = code(&table, &["add", "--merchant", &merchant, "--image", &path]).expect("registers it");
    let listed = code(&table, &["list", "--json", "--merchant", &merchant]).expect("lists");
    assert!(listed.lines().any(|line| line.contains(&name) && line.contains("FPS")), "{listed}");
    scan(&mut table, &frame);
    table.cast.watch.wait_screen("amount").expect("now it is the shop's");

    code(&table, &["remove", "--merchant", &merchant, "--code", &name]).expect("forgets it");
    let again = code(&table, &["remove", "--merchant", &merchant, "--code", &name]).expect_err("only once");
    assert!(again.contains("of no merchant"), "{again}");
    let wallet = code(&table, &["add", "--merchant", &merchant, "--text", "wxp://f2f0abc"]).expect_err("no payee");
    assert!(wallet.contains("cannot be registered"), "{wallet}");
}
