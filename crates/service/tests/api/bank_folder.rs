//! The bank rail with a real folder: orders and payouts go out in one file, each once, and the bank's reports settle them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nodpay_core::{
    BankAccount, Decline, Iban, Movement, Order, OrderId, Payer, Payment, Rail, RailAnswer, RailReply, RailStep,
    TransferId,
};
use nodpay_protocol::Verified;
use nodpay_service::rails::bank::{Collection, Instruction};
use nodpay_service::rails::folder::{BankFolder, BankTransfer};
use nodpay_service::rails::{RailFiles, Rails};
use nodpay_store::{Address, PayoutState, StoreError};
use nodpay_testkit::Cast;
use serde_json::json;
use tempfile::TempDir;

use crate::app::{Events, Household, Setup, TestApp};

/// What takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);

fn account(name: &str, iban: &str) -> BankAccount {
    BankAccount { name: name.to_owned(), iban: Iban::new(iban).expect("an IBAN"), bic: None }
}

fn operator() -> BankAccount {
    account("Operator", "DE89370400440532013000")
}

fn rails(folder: &TempDir) -> RailFiles {
    RailFiles { bank_folder: Some(folder.path().to_owned()), bank_account: Some(operator()), ..RailFiles::default() }
}

/// What lies in a part of the folder, by name.
fn files(folder: &TempDir, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path().join(part)).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Takes a file as the bank does, and says which message it is.
fn take(path: &Path) -> (String, String) {
    let xml = std::fs::read_to_string(path).expect("a file");
    std::fs::remove_file(path).expect("the bank takes it");
    (path.file_stem().and_then(|stem| stem.to_str()).expect("its id").to_owned(), xml)
}

/// The only file in `out`, and which message it is.
fn only_file(folder: &TempDir) -> (String, String) {
    let files = files(folder, "out");
    assert_eq!(files.len(), 1, "one file: {files:?}");
    take(&files[0])
}

/// The bank's word on a whole file.
fn answer(folder: &TempDir, message: &str, status: &str) {
    let xml = format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt><GrpHdr><MsgId>B</MsgId></GrpHdr>\
         <OrgnlGrpInfAndSts><OrgnlMsgId>{message}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>\
         <GrpSts>{status}</GrpSts></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>"
    );
    let path = folder.path().join(format!("in/{status}-{message}.xml"));
    // Never seen in halves.
    std::fs::write(path.with_extension("part"), xml).expect("written");
    std::fs::rename(path.with_extension("part"), path).expect("there");
}

fn bank() -> (TempDir, TestApp, Household) {
    let folder = tempfile::tempdir().expect("a folder");
    let app = TestApp::start_with(Setup { rails: rails(&folder), ..Setup::default() });
    let household = furnish(&app);
    (folder, app, household)
}

/// A merchant with an account, and a household that pays by bank.
fn furnish(app: &TestApp) -> Household {
    let cast = Cast::new(0);
    app.add_merchant(&cast);
    let iban = Iban::new("AT611904300234573201").expect("an IBAN");
    app.wait(app.app.store().set_iban(cast.merchant, Some(iban))).expect("set");
    let household = app.add_household(cast, 0);
    pay_by_bank(app, &household, "Family");
    household
}

fn pay_by_bank(app: &TestApp, household: &Household, name: &str) {
    let payer = Payer::Bank(account(name, "NO9386011117947"));
    app.wait(app.app.store().set_payer(household.cast.household, Some(payer), app.now())).expect("set");
}

/// An order that the bank is to pay, and has; what its watch hears from there on.
fn handed_over(app: &TestApp, household: &Household, number: u8) -> (OrderId, Events) {
    let cast = &household.cast;
    let watch = app.follow_watch(cast, None);
    let (bill, order) = app.ordered(household, number);
    let decision = app.approve(household, &order, &bill);
    watch.wait_for("decision");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    // Twice: that it is asked, and that the bank has it.
    watch.wait_for("order");
    watch.wait_for("order");
    (order.order, watch)
}

#[test]
fn an_order_goes_to_the_bank_and_is_paid_when_the_bank_says_so() {
    for (status, state) in [("ACSC", "paid"), ("RJCT", "failed")] {
        let (folder, app, household) = bank();
        let view = |order: OrderId| app.guardian_get(&household, &format!("/api/guardian/orders/{order}")).ok();
        let (order, watch) = handed_over(&app, &household, 1);
        let shown = view(order);
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
        assert_eq!(view(order)["state"], state);
        assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
        assert_eq!(files(&folder, "out").len(), 0, "sent once");
        assert_eq!(app.balance(&household), (0, 0));
    }
}

/// The folder is lost: what the bank has is not sent again, in no company, and what it has not is. Once the file lies in the new
/// folder again, the bank's word counts.
#[test]
fn orders_of_a_lost_folder_are_not_sent_again() {
    let (data, old, new) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"), tempfile::tempdir().expect("one"));
    let database = data.path().join("nodpay.sqlite");
    let start = |folder: &TempDir| {
        let shared = Some((Address::Sqlite(database.clone()), data.path().join("push.key")));
        TestApp::start_with(Setup { rails: rails(folder), shared, ..Setup::default() })
    };
    let app = start(&old);
    let sent = furnish(&app);
    pay_by_bank(&app, &sent, "Sent");
    let shop = Cast::new(0);
    let (merchant, merchant_key, certificate) = (shop.merchant, shop.merchant_key, shop.certificate);
    let unsent = app.add_household(Cast { merchant, merchant_key, certificate, ..Cast::new(1) }, 0);
    pay_by_bank(&app, &unsent, "Unsent");
    let (order, _) = handed_over(&app, &sent, 1);
    let (message, xml) = only_file(&old);
    let (other, _) = handed_over(&app, &unsent, 2);
    drop(app);
    // The other one's file was never written.
    let db = rusqlite::Connection::open(&database).expect("the file");
    for sql in [
        "UPDATE rail_payments SET known_as = NULL WHERE household = ?1",
        "UPDATE rail_steps SET state = 'asked', tries = 0 WHERE household = ?1",
    ] {
        assert_eq!(db.execute(sql, [unsent.cast.household.as_bytes()]).expect("a change"), 1, "{sql}");
    }
    drop(db);

    let app = start(&new);
    let watches = [&sent, &unsent].map(|household| app.follow_watch(&household.cast, None));
    app.clock.advance_ms(2_000);
    watches.iter().for_each(|watch| drop(watch.wait_for("order")));
    let asking = |household: &Household, order: OrderId| {
        app.guardian_get(household, &format!("/api/guardian/orders/{order}")).ok()["asking"].clone()
    };
    assert_eq!((asking(&sent, order), asking(&unsent, other)), (json!("unknown"), json!("answer")));
    let (_, again) = only_file(&new);
    assert!(again.contains("<Nm>Unsent</Nm>") && !again.contains("<Nm>Sent</Nm>"), "{again}");

    std::fs::write(new.path().join(format!("written/{message}.xml")), xml).expect("the file as the bank has it");
    answer(&new, &message, "ACSC");
    app.clock.advance_ms(10 * 60_000);
    watches[0].wait_for("outcome");
    assert_eq!(app.guardian_get(&sent, &format!("/api/guardian/orders/{order}")).ok()["state"], "paid");
    assert_eq!(files(&new, "out").len(), 0, "sent once");
    assert_eq!(app.wait(app.app.store().check()).expect("reads"), []);
}

/// An order that a wallet has paid, so that its shop can be paid out.
struct Earned {
    order: Verified<Order>,
    payment: Verified<Payment>,
    minor: i64,
}

fn earned(app: &TestApp, household: &Household, number: u8) -> Earned {
    let cast = &household.cast;
    app.wait(app.app.store().set_payer(cast.household, None, app.now())).expect("the wallet");
    app.top_up(household, 5_000);
    let watch = app.follow_watch(cast, None);
    let (bill, order) = app.ordered(household, number);
    let decision = app.approve(household, &order, &bill);
    let payment = cast.payment(&order, &decision);
    app.watch_post(cast, &order, "payment", payment.wire()).ok();
    watch.wait_for("outcome");
    Earned { order, payment, minor: bill.total.get() }
}

/// Waits for it; a payment that is sent again lets the rails be looked at.
#[track_caller]
fn until(app: &TestApp, household: &Household, earned: &Earned, it_is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !it_is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        app.watch_post(&household.cast, &earned.order, "payment", earned.payment.wire()).ok();
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn state_of(app: &TestApp, payout: TransferId) -> PayoutState {
    app.wait(app.app.store().payout_by_id(payout)).expect("reads").expect("the payout").state
}

/// The bank's words one after the other, and what each makes of a payout.
type Words<'a> = &'a [(&'a str, PayoutState)];

/// A merchant's balance is paid out by the same files, and comes back where the bank refuses or gives it back. What the books
/// say of it meanwhile keeps no report, and none after it.
#[test]
fn payouts_go_to_the_bank_too() {
    use PayoutState::{Done, Returned};
    let cases: [(&str, Words<'_>, i64); 7] = [
        ("sent", &[("ACSC", Done)], 0),
        ("sent", &[("RJCT", Returned)], 1),
        ("sent", &[("ACSC", Done), ("RJCT", Returned)], 1),
        // The process died before it wrote down that the file is there, or the database is from a backup.
        ("sending", &[("ACSC", Done)], 0),
        ("asked", &[("ACSC", Done)], 0),
        ("asked", &[("ACCP", PayoutState::Sent), ("RJCT", Returned)], 1),
        // By hand, and wrongly.
        ("returned", &[("ACSC", Returned)], 1),
    ];
    for (before, words, left) in cases {
        let (folder, app, household) = bank();
        let store = app.app.store();
        let merchant = household.cast.merchant;
        let earned = earned(&app, &household, 1);
        let payout = TransferId::from_bytes([5; 16]);
        app.wait(store.ask_payout(merchant, payout, app.now())).expect("a payout");
        until(&app, &household, &earned, || state_of(&app, payout) == PayoutState::Sent);
        let (message, xml) = only_file(&folder);
        assert!(xml.contains(&format!("<EndToEndId>{}</EndToEndId>", "05".repeat(16))), "{xml}");
        assert!(xml.contains("<IBAN>DE89370400440532013000</IBAN>"), "it leaves the operator's account: {xml}");
        match before {
            "sent" => {}
            "returned" => drop(app.wait(store.payout_returned(merchant, payout, app.now())).expect("by hand")),
            _ => app.tamper(&format!("UPDATE payouts SET state = '{before}'")),
        }
        for (status, state) in words {
            answer(&folder, &message, status);
            until(&app, &household, &earned, || files(&folder, "in").is_empty());
            assert_eq!(state_of(&app, payout), *state, "{before}, then {status}");
        }
        let balance = app.wait(store.merchant_balance(merchant)).expect("a balance");
        assert_eq!(balance.minor(), left * earned.minor, "{before}, {words:?}");
        assert_eq!((files(&folder, "out"), files(&folder, "unread")), (Vec::new(), Vec::new()));
        assert_eq!(app.wait(store.check()).expect("reads"), []);
    }
}

/// A file that was begun goes out in the end: its payouts are not given back by hand before that.
#[test]
fn a_payout_whose_file_was_begun_stays_under_way() {
    let (folder, app, household) = bank();
    let (store, merchant) = (app.app.store(), household.cast.merchant);
    let out = folder.path().join("out");
    std::fs::remove_dir(&out).expect("empty");
    std::fs::write(&out, "in the way").expect("written");
    let earned = earned(&app, &household, 1);
    let payout = TransferId::from_bytes([5; 16]);
    app.wait(store.ask_payout(merchant, payout, app.now())).expect("a payout");
    let begun = || files(&folder, "written").iter().any(|path| path.extension().is_some_and(|end| end == "new"));
    until(&app, &household, &earned, begun);
    let returned = app.wait(store.payout_returned(merchant, payout, app.now()));
    assert_eq!(returned, Err(StoreError::PayoutState(PayoutState::Sending)));

    std::fs::remove_file(&out).expect("away");
    std::fs::create_dir(&out).expect("made");
    until(&app, &household, &earned, || state_of(&app, payout) == PayoutState::Sent);
    assert!(only_file(&folder).1.contains(&"05".repeat(16)));
    assert_eq!(app.wait(store.merchant_balance(merchant)).expect("a balance").minor(), 0);
}

/// A payout that was sent stays so without its folder; one whose file was not written yet goes out by the new one.
#[test]
fn payouts_of_a_lost_folder_are_not_sent_again() {
    let (folder, app, household) = bank();
    let (store, merchant) = (app.app.store(), household.cast.merchant);
    let first = earned(&app, &household, 1);
    let [lost, next] = [5, 6].map(|byte| TransferId::from_bytes([byte; 16]));
    app.wait(store.ask_payout(merchant, lost, app.now())).expect("a payout");
    until(&app, &household, &first, || state_of(&app, lost) == PayoutState::Sent);
    only_file(&folder);
    for path in files(&folder, "written") {
        std::fs::remove_file(path).expect("lost");
    }
    let second = earned(&app, &household, 2);
    app.wait(store.ask_payout(merchant, next, app.now())).expect("a payout");
    until(&app, &household, &second, || state_of(&app, next) == PayoutState::Sent);
    let (_, xml) = only_file(&folder);
    assert!(xml.contains(&"06".repeat(16)) && !xml.contains(&"05".repeat(16)), "{xml}");

    app.tamper("UPDATE payouts SET state = 'sending' WHERE payout = x'05050505050505050505050505050505'");
    until(&app, &household, &second, || state_of(&app, lost) == PayoutState::Sent);
    assert!(only_file(&folder).1.contains(&"05".repeat(16)));
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
    let second = Rails::open(&rails(&root)).expect_err("in use").to_string();
    assert!(second.contains("another process uses this folder"), "{second}");
    drop(folder);
    BankFolder::open(root.path()).expect("opened again");
    assert_eq!(only_file(&root), ("bb".repeat(16), xml), "the same bytes under the same id");
}

/// Reports count in the order they came, whatever their names; what was paid may be sent back.
#[test]
fn the_banks_last_final_word_counts() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = BankFolder::open(root.path()).expect("made");
    let (message, collection) = ("aa".repeat(16), collection(0xAA, &[1]));
    let transfer = TransferId::from_bytes([1; 16]);
    let status = || {
        let amount = nodpay_core::Amount::new(collection.instructions[0].amount, collection.currency);
        let bank = BankTransfer { folder: &folder, collection: &collection };
        bank.status(RailStep::Post, Movement { transfer, amount }).into_inner()
    };
    assert_eq!(status(), RailAnswer::Unknown.into());
    folder.hand_over(&collection).expect("written");
    let read = |later: &[(&str, u64)]| {
        for (status, seconds) in later {
            answer(&root, &message, status);
            let file =
                std::fs::File::options().write(true).open(root.path().join(format!("in/{status}-{message}.xml")));
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(*seconds);
            file.and_then(|file| file.set_modified(at)).expect("dated");
        }
        for (report, transfers) in folder.read_reports().expect("read") {
            assert_eq!(transfers, [transfer]);
            folder.file_away(&report).expect("filed");
        }
    };
    let (done, declined) = (RailAnswer::Done, RailAnswer::Declined(Decline::Refused));
    for (reports, said) in [
        (&[][..], RailAnswer::Pending),
        (&[("XXXX", 1)], RailAnswer::Pending),
        (&[("ACCP", 2)], RailAnswer::Pending),
        (&[("ACSC", 3)], done.clone()),
        (&[("PDNG", 4)], done.clone()),
        (&[("RJCT", 5)], declined.clone()),
        (&[("RJCT", 7), ("ACSC", 6)], declined),
        (&[("RJCT", 8), ("ACSC", 9)], done),
    ] {
        read(reports);
        assert_eq!(status(), RailReply { answer: said, reference: Some(message.clone()) }, "{reports:?}");
    }
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
