//! The operator's commands beside a running service: money moves, the pages and the watch go on, the proof holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nodpay::parties::Approval;
use nodpay_core::{Amount, Currency, Minor};
use serde_json::Value;

use crate::operations::pay;
use crate::table::{Table, program, small_snack};

struct Operator {
    data: PathBuf,
    origin: String,
}

impl Operator {
    fn of(table: &Table) -> Self {
        Self { data: table.folder().join("service"), origin: table.service.stage.origin.clone() }
    }

    fn admin(&self, arguments: &[&str]) -> (bool, String) {
        let done = Command::new(program())
            .args(["admin", "--origin", &self.origin, "--data"])
            .arg(&self.data)
            .args(arguments)
            .output()
            .expect("runs");
        let said = String::from_utf8(done.stdout).expect("text");
        (done.status.success(), said + &String::from_utf8(done.stderr).expect("text"))
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let (done, said) = self.admin(&[arguments, &["--json"]].concat());
        assert!(done, "{arguments:?}: {said}");
        serde_json::from_str(said.lines().next().unwrap_or_default()).unwrap_or(Value::Null)
    }
}

#[test]
fn the_operator_works_beside_the_running_service() {
    let mut table = Table::lay();
    let price = 365;
    let start = table.balance();
    let order = table.cast.order_of(small_snack(), "operator").expect("an order");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.guardian.decide(&view, &Approval::Without(Vec::new())).expect("nods");
    table.cast.ended(&order).expect("ends");
    let bill = view.bill.bill.to_string();
    let operator = Operator::of(&table);
    let household = operator.json(&["household", "list"])["household"].as_str().expect("an id").to_owned();
    let paid = operator.json(&["household", "orders", &household]);
    assert_eq!((&paid["state"], &paid["bill"]), (&"paid".into(), &bill.as_str().into()));
    assert_eq!(paid["total"]["minor"], price);
    let merchant = paid["merchant"].as_str().expect("an id").to_owned();

    let id = "CQkJCQkJCQkJCQkJCQkJCQ";
    for _ in 0..2 {
        let refund = operator.json(&["refund", &bill, "65", "--id", id, "--reason", "坏了"]);
        assert_eq!((&refund["refund"], &refund["amount"]["minor"]), (&id.into(), &65.into()));
    }
    assert_eq!(table.balance(), start - price + 65);
    let top_up = ["top-up", &household, "300", "--id", "CgoKCgoKCgoKCgoKCgoKCg"];
    assert_eq!(operator.json(&top_up), operator.json(&top_up));
    let shown = operator.json(&["household", "show", &household]);
    assert_eq!((&shown["balance"]["minor"], &shown["frozen"]), (&(start).into(), &false.into()));
    assert_eq!(operator.json(&["household", "freeze", &household])["frozen"], true);
    assert_eq!(operator.json(&["household", "unfreeze", &household])["frozen"], false);

    let reference = shown["reference"].as_str().expect("a reference");
    let statement = table.folder().join("statement.xml");
    let entry = |amount: &str, id: &str, words: &str| {
        format!(
            "<Ntry><Amt Ccy=\"CNY\">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
             <BookgDt><Dt>2026-11-23</Dt></BookgDt><AcctSvcrRef>{id}</AcctSvcrRef>\
             <NtryDtls><TxDtls><RmtInf><Ustrd>{words}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
        )
    };
    let file = format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt><Id>1</Id>\
         <Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>{}{}</Stmt></BkToCstmrStmt></Document>",
        entry("2.50", "A1", &format!("Lunch {reference}")),
        entry("9.00", "A2", "Lunch for Ming"),
    );
    std::fs::write(&statement, file).expect("written");
    let file = statement.to_string_lossy().into_owned();
    for result in ["credited", "already there"] {
        let (done, said) = operator.admin(&["import-statement", &file, "--bank-iban", "DE89370400440532013000"]);
        assert!(done && said.contains(result) && said.contains("unknown reference"), "{said}");
        assert!(said.contains("Lunch for Ming") && said.contains("1 not credited"), "{said}");
        assert_eq!(table.balance(), start + 250);
    }
    let (done, said) = operator.admin(&["import-statement", &file, "--bank-iban", "NO9386011117947"]);
    assert!(!done && said.contains("not about the one that families pay into"), "{said}");
    let start = start + 250;

    let first = "2099-12-31T08:00:00Z";
    let money = operator.json(&["pocket-money", "add", &household, "500", "--every", "month", "--first", first]);
    let schedule = money["schedule"].as_str().expect("an id").to_owned();
    let named = ["--every", "month", "--first", first, "--id", &schedule];
    assert_eq!(operator.json(&[&["pocket-money", "add", &household, "500"][..], &named].concat()), money);
    assert_eq!(operator.json(&["pocket-money", "list", &household]), money);
    assert_eq!(operator.json(&["pocket-money", "end", &household, &schedule])["next"], Value::Null);

    let (done, _) = operator.admin(&["merchant", "iban", &merchant, "NO9386011117947"]);
    assert!(done);
    let payout = operator.json(&["payout", &merchant]);
    assert_eq!((&payout["amount"]["minor"], &payout["state"]), (&(price - 65).into(), &"asked".into()));
    assert_eq!(operator.json(&["payouts", "list"]), payout);
    let name = payout["payout"].as_str().expect("an id").to_owned();
    for state in ["sent", "done"] {
        assert_eq!(operator.json(&["payouts", state, &merchant, &name])["state"], state);
    }
    let (_, statement) =
        operator.admin(&["merchant", "statement", &merchant, "--from", "2020-01-01", "--to", "2099-01-01"]);
    for word in ["opening", "payment", "3.65 CNY", "refund", "-0.65 CNY", "payout", "-3.00 CNY", "closing"] {
        assert!(statement.contains(word), "{word} in\n{statement}");
    }
    let (_, books) = operator.admin(&["books"]);
    let balance =
        |account: &str| books.lines().find_map(|line| line.strip_prefix(account)).map(str::trim).expect("moved");
    let wallets = Amount::new(Minor::new(table.balance()).expect("in range"), Currency::CNY).to_string();
    assert_eq!((balance("merchants "), balance("payouts "), balance("wallets ")), ("0.00 CNY", "0.00 CNY", &*wallets));
    assert_eq!(balance("outside "), format!("-{wallets}"), "what came in and has not gone out");
    let (done, said) = operator.admin(&["check", "--demo"]);
    assert!(done && said.contains("all 1 orders"), "{said}");
    // The origin is part of what a passkey signs: for another site it proves nothing.
    let (done, said) = operator.admin(&["check"]);
    assert!(!done && said.contains("software key"), "{said}");
    assert_eq!(operator.json(&["household", "close-out", &household])["paid_out"]["minor"], start);
    assert_eq!(table.balance(), 0);
}

/// Backups one after the other until `over`, at least one.
fn back_up_until(operator: &Operator, over: &AtomicBool, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    while files.is_empty() || !over.load(Ordering::Relaxed) {
        let file = folder.join(format!("backup-{}", files.len()));
        let (done, said) = operator.admin(&["backup", &file.to_string_lossy()]);
        assert!(done, "{said}");
        files.push(file);
    }
    files
}

/// Each backup is one moment of a service that goes on, and is proved on another machine.
#[test]
fn what_is_backed_up_while_payments_run_is_whole_elsewhere() {
    const MAX_RESTORED: usize = 5;
    let mut table = Table::lay();
    let operator = Operator::of(&table);
    let over = AtomicBool::new(false);
    let folder = table.folder().to_owned();
    let files = std::thread::scope(|scope| {
        let files = scope.spawn(|| back_up_until(&operator, &over, &folder));
        for name in ["first", "second", "third"] {
            pay(&mut table, name);
        }
        over.store(true, Ordering::Relaxed);
        files.join().expect("backups")
    });
    let after = folder.join("backup-after");
    assert!(operator.admin(&["backup", &after.to_string_lossy()]).0);
    let some = files.iter().step_by(files.len().div_ceil(MAX_RESTORED)).chain([&after]);
    for (number, file) in some.enumerate() {
        let data = folder.join(format!("elsewhere-{number}"));
        std::fs::create_dir(&data).expect("a folder");
        std::fs::copy(operator.data.join("outcome.key"), data.join("outcome.key")).expect("the key");
        let elsewhere = Operator { data, origin: operator.origin.clone() };
        let (done, said) = elsewhere.admin(&["restore", &file.to_string_lossy()]);
        assert!(done, "{said}");
        let (done, said) = elsewhere.admin(&["check", "--demo"]);
        assert!(done && said.contains("The books are right"), "{said}");
        assert!(*file != after || said.contains("all 3 orders"), "{said}");
    }
}
