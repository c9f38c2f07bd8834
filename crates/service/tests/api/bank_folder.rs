//! The bank rail with a real folder: orders and payouts go out in one file, each once, and the bank's reports settle them.

use nodpay_core::{BankAccount, Iban, OrderId, Payer, TransferId};
use nodpay_service::rails::RailFiles;
use nodpay_service::rails::bank::{Collection, Instruction};
use nodpay_service::rails::folder::BankFolder;
use nodpay_store::PayoutState;
use nodpay_testkit::Cast;
use serde_json::json;
use tempfile::TempDir;

use crate::app::{Household, Setup, TestApp};

fn account(name: &str, iban: &str) -> BankAccount {
    BankAccount { name: name.to_owned(), iban: Iban::new(iban).expect("an IBAN"), bic: None }
}

fn operator() -> BankAccount {
    account("Operator", "DE89370400440532013000")
}

/// The only file in `out`, and which message it is.
fn only_file(folder: &TempDir) -> (String, String) {
    let mut files = std::fs::read_dir(folder.path().join("out")).expect("a folder");
    let path = files.next().expect("a file").expect("an entry").path();
    assert!(files.next().is_none(), "one file");
    let xml = std::fs::read_to_string(&path).expect("a file");
    std::fs::remove_file(&path).expect("the bank takes it");
    let id = path.file_stem().and_then(|stem| stem.to_str()).expect("its id").to_owned();
    (id, xml)
}

/// The bank's word on a whole file.
fn answer(folder: &TempDir, message: &str, status: &str) {
    let xml = format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt><GrpHdr><MsgId>B</MsgId></GrpHdr>\
         <OrgnlGrpInfAndSts><OrgnlMsgId>{message}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>\
         <GrpSts>{status}</GrpSts></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>"
    );
    std::fs::write(folder.path().join(format!("in/{status}-{message}.xml")), xml).expect("written");
}

fn bank() -> (TempDir, TestApp, Household) {
    let folder = tempfile::tempdir().expect("a folder");
    let rails = RailFiles {
        bank_folder: Some(folder.path().to_owned()),
        bank_account: Some(operator()),
        ..RailFiles::default()
    };
    let app = TestApp::start_with(Setup { rails, ..Setup::default() });
    let cast = Cast::new(0);
    app.add_merchant(&cast);
    let iban = Iban::new("AT611904300234573201").expect("an IBAN");
    app.wait(app.app.store().set_iban(cast.merchant, Some(iban))).expect("set");
    let household = app.add_household(cast, 0);
    let payer = Payer::Bank(account("Family", "NO9386011117947"));
    app.wait(app.app.store().set_payer(household.cast.household, Some(payer), app.now())).expect("set");
    (folder, app, household)
}

#[test]
fn an_order_goes_to_the_bank_and_is_paid_when_the_bank_says_so() {
    for (status, state) in [("ACSC", "paid"), ("RJCT", "failed")] {
        let (folder, app, household) = bank();
        let cast = &household.cast;
        let watch = app.follow_watch(cast, None);
        let view = |order: OrderId| app.guardian_get(&household, &format!("/api/guardian/orders/{order}")).ok();
        let (bill, order) = app.ordered(&household, 1);
        let decision = app.approve(&household, &order, &bill);
        watch.wait_for("decision");
        app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
        // Twice: that it is asked, and that the bank has it.
        watch.wait_for("order");
        watch.wait_for("order");
        let shown = view(order.order);
        assert_eq!((&shown["state"], &shown["asking"]), (&json!("paying"), &json!("answer")));
        let (message, xml) = only_file(&folder);
        assert!(
            xml.contains("<IBAN>NO9386011117947</IBAN>") && xml.contains("<IBAN>AT611904300234573201</IBAN>"),
            "{xml}"
        );
        answer(&folder, &message, "ACCP");
        app.clock.advance_ms(2_000);
        answer(&folder, &message, status);
        app.clock.advance_ms(10 * 60_000);
        watch.wait_for("outcome");
        assert_eq!(view(order.order)["state"], state);
        assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
        assert_eq!(std::fs::read_dir(folder.path().join("out")).expect("a folder").count(), 0, "sent once");
        assert_eq!(app.balance(&household), (0, 0));
    }
}

/// A merchant's balance is paid out by the same files, and comes back where the bank refuses.
#[test]
fn payouts_go_to_the_bank_too() {
    for (status, left) in [("ACSC", 0), ("RJCT", 1)] {
        let (folder, app, household) = bank();
        let cast = &household.cast;
        let store = app.app.store();
        app.wait(store.set_payer(cast.household, None, app.now())).expect("the wallet");
        app.top_up(&household, 20_000);
        let watch = app.follow_watch(cast, None);
        let (bill, order) = app.ordered(&household, 1);
        let decision = app.approve(&household, &order, &bill);
        app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
        watch.wait_for("outcome");
        let payout = TransferId::from_bytes([5; 16]);
        app.wait(store.ask_payout(cast.merchant, payout, app.now())).expect("a payout");

        // Whatever ends lets the rails be looked at.
        let look = |number: u8| {
            app.ordered(&household, number);
            app.clock.advance_ms(11 * 60_000);
            watch.wait_for("outcome");
        };
        let state = || app.wait(store.payout_by_id(payout)).expect("reads").expect("the payout").state;
        let until = |wanted: PayoutState| {
            app.wait(async {
                while store.payout_by_id(payout).await.expect("reads").expect("the payout").state != wanted {
                    tokio::task::yield_now().await;
                }
            });
        };
        look(2);
        until(PayoutState::Sent);
        let (message, xml) = only_file(&folder);
        assert!(xml.contains(&format!("<EndToEndId>{}</EndToEndId>", "05".repeat(16))), "{xml}");
        assert!(xml.contains("<IBAN>DE89370400440532013000</IBAN>"), "it leaves the operator's account: {xml}");
        answer(&folder, &message, status);
        look(3);
        until(if left == 0 { PayoutState::Done } else { PayoutState::Returned });
        let balance = app.wait(store.merchant_balance(cast.merchant)).expect("a balance");
        assert_eq!(balance.minor(), left * bill.total.get(), "{:?}", state());
        assert_eq!(app.wait(store.check()).expect("reads"), []);
    }
}

fn collection(id: u8, transfers: &[u8]) -> Collection {
    let instruction = |number: &u8| Instruction {
        transfer: TransferId::from_bytes([*number; 16]),
        amount: nodpay_core::Minor::new(100).expect("in range"),
        debtor: operator(),
        creditor: account("Shop", "AT611904300234573201"),
        reference: "test".to_owned(),
    };
    Collection {
        id: TransferId::from_bytes([id; 16]),
        currency: nodpay_core::Currency::EUR,
        created: nodpay_testkit::START,
        initiator: "Operator".to_owned(),
        instructions: transfers.iter().map(instruction).collect(),
    }
}

#[test]
fn a_transfer_is_handed_over_in_one_file_whatever_was_interrupted() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = BankFolder::open(root.path()).expect("made");
    folder.hand_over(&collection(0xAA, &[1, 2])).expect("written");
    assert_eq!(only_file(&root).1.matches("<EndToEndId>").count(), 2);
    folder.hand_over(&collection(0xAA, &[1, 2])).expect("again");
    folder.hand_over(&collection(0xBB, &[2, 3])).expect("one more");
    let (id, xml) = only_file(&root);
    assert_eq!((id, xml.matches("<EndToEndId>").count()), ("bb".repeat(16), 1));
    assert!(xml.contains(&"03".repeat(16)), "only the new one");

    // The power failed before the file was handed over, or just after.
    let name = |end: &str| root.path().join(format!("written/{}{end}", "bb".repeat(16)));
    std::fs::rename(name(".xml"), name(".xml.new")).expect("moved back");
    drop(folder);
    BankFolder::open(root.path()).expect("opened again");
    assert_eq!(only_file(&root), ("bb".repeat(16), xml), "the same bytes under the same id");
}

#[test]
fn what_is_no_report_is_set_aside() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = BankFolder::open(root.path()).expect("made");
    answer(&root, &"cc".repeat(16), "ACSC");
    std::fs::write(root.path().join("in/noise.xml"), "noise").expect("written");
    std::fs::write(root.path().join("in/half.xml.part"), "half").expect("written");
    assert_eq!(folder.read_reports().expect("read"), []);
    assert_eq!(std::fs::read_dir(root.path().join("unread")).expect("a folder").count(), 2);
    assert_eq!(std::fs::read_dir(root.path().join("in")).expect("a folder").count(), 1, "not whole yet");
}
