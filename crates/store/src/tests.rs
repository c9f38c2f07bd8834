//! The contract over SQLite files, and what only a file can go through: kills, refused commits, damaged rows.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;

use nodpay_core::{
    Amount, BasisPoints, Currency, Iban, Minor, OrderState, Outcome, OutcomeKind, Timestamp, TransferId,
};
use rusqlite::Connection;

use crate::contract::{Family, Shop, a_family_with_orders_at_its_rail, outcome_of, outcome_signer, two_processes};
use crate::db::{params, run};
use crate::{Address, Audience, HouseholdEvent, Migrated, OutcomeSigner, Refund, Store, StoreError, Topic};

fn open() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (open_in(&folder), folder)
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("nodpay.sqlite")
}

fn open_file(path: &Path, signer: OutcomeSigner) -> Result<Store, StoreError> {
    Store::open(&Address::Sqlite(path.to_owned()), signer)
}

fn open_in(folder: &tempfile::TempDir) -> Store {
    open_file(&file(folder), outcome_signer()).expect("a store")
}

crate::store_contract!(open);

/// The contract over PostgreSQL.
mod postgres {
    use std::future::{Future as _, poll_fn};
    use std::sync::mpsc;
    use std::task::Poll;

    use futures_util::future::join_all;
    use nodpay_core::{HouseholdId, OrderId};
    use nodpay_testkit::Cluster;

    use super::NOW;
    use crate::check_references::{REFERENCES, Reference};
    use crate::contract::erasing::Story;
    use crate::contract::{Family, outcome_signer, two_processes};
    use crate::db::{params, run_one};
    use crate::events::{To, tell};
    use crate::households::Books;
    use crate::tx::{Fault, Tx};
    use crate::{Address, Audience, Finding, HouseholdEvent, Store, StoreError};

    fn open() -> (Store, ()) {
        let url = Cluster::shared().new_database();
        let address = Address::parse(&url, 8).expect("a URL");
        (Store::open(&address, outcome_signer()).expect("a store"), ())
    }

    crate::store_contract!(open);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_processes_work_on_one_database() {
        let address = Address::parse(&Cluster::shared().new_database(), 8).expect("a URL");
        let [here, there] = [(); 2].map(|()| Store::open(&address, outcome_signer()).expect("a store"));
        two_processes(&here, &there).await;
    }

    /// What a check finds after this, which is not kept.
    async fn found_after(store: &Store, tampering: String) -> Vec<Finding> {
        // Statements are known for as long as the program runs.
        let tampering: &'static str = tampering.leak();
        let (found, findings) = mpsc::channel();
        let undone = store.write(move |tx| {
            // No trigger and no foreign key keeps anybody from anything.
            tx.db.control("SET LOCAL session_replication_role = replica")?;
            tx.db.control(tampering)?;
            found.send(crate::check::check(tx.db)?).expect("the test waits");
            Err::<(), _>(StoreError::LoginUnknown.into())
        });
        assert_eq!(undone.await, Err(StoreError::LoginUnknown), "{tampering}");
        findings.recv().expect("a check")
    }

    /// Each of these is a state that no constraint of PostgreSQL's keeps the tables from.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_check_finds_rows_that_name_nothing() {
        let url = Cluster::shared().new_database();
        let store = Store::open(&Address::parse(&url, 4).expect("a URL"), outcome_signer()).expect("a store");
        let story = Story::tell(&store).await;
        let waiting = story.shop.sell(&store, &[100]).await;
        story.family.place(&store, &waiting, NOW).await;
        assert_eq!(store.check().await, Ok(Vec::new()));
        let (_, database) = url.rsplit_once('/').expect("a URL");
        let sql = |sql: &str| Cluster::shared().sql(database, sql);
        // One column is changed at a time, whatever it must fit to.
        let rules = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname)
                     FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace";
        sql(&sql(rules));
        let columns =
            sql("SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns");
        for Reference { table, column, parent, .. } in REFERENCES {
            let is_number = columns.lines().any(|line| line == format!("{table}.{column} bigint"));
            let nothing = if is_number { "987654321" } else { "decode(repeat('77', 16), 'hex')" };
            let tampering =
                format!("UPDATE {table} SET {column} = {nothing} WHERE ctid = (SELECT ctid FROM {table} LIMIT 1)");
            let findings = found_after(&store, tampering).await;
            let what = format!("its {column} names a row of {parent} that is not there");
            let found = findings.iter().any(|finding| (finding.table, &finding.what) == (*table, &what));
            assert!(found, "{what} ({table}): {findings:?}");
        }
        let lost = [
            ("bills", "DELETE FROM messages WHERE id IN (SELECT message FROM bills)"),
            ("bills", "DELETE FROM certificates"),
            ("bills", "DELETE FROM merchants"),
            ("orders", "DELETE FROM bills"),
            ("orders", "DELETE FROM messages WHERE id IN (SELECT result FROM orders)"),
            ("orders", "DELETE FROM messages WHERE id IN (SELECT cancel FROM orders)"),
            ("orders", "DELETE FROM watches"),
            ("orders", "DELETE FROM wearers"),
            ("orders", "DELETE FROM households"),
            ("transfers", "DELETE FROM households"),
            ("events", "DELETE FROM households"),
            ("mandate_sums", "DELETE FROM households"),
            ("settlements", "DELETE FROM transfers WHERE kind = 'pending'"),
            ("open_orders", "DELETE FROM orders WHERE state = 'waiting'"),
            ("events", "DELETE FROM orders WHERE state = 'waiting'"),
            ("events", "DELETE FROM log_entries"),
            ("events", "DELETE FROM joins"),
            ("events", "DELETE FROM watches"),
            ("merchant_events", "DELETE FROM requote_asks"),
            ("merchant_events", "DELETE FROM bills"),
        ];
        for (table, tampering) in lost {
            let findings = found_after(&store, tampering.to_owned()).await;
            let of_table = |finding: &Finding| finding.table == table && finding.what.contains("that is not there");
            assert!(findings.iter().any(of_table), "{tampering}: {findings:?}");
        }
        assert_eq!(store.check().await, Ok(Vec::new()), "nothing of it was kept");
    }

    /// What SQLite enforces, PostgreSQL does too, or a check looks for it.
    #[test]
    fn every_reference_is_enforced_or_looked_for() {
        let url = Cluster::shared().new_database();
        drop(Store::open(&Address::parse(&url, 1).expect("a URL"), outcome_signer()).expect("a store"));
        let (_, database) = url.rsplit_once('/').expect("a URL");
        // Each known by the last of its columns.
        let enforced = Cluster::shared().sql(
            database,
            "SELECT c.conrelid::regclass || '.' || a.attname FROM pg_constraint c
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[array_upper(c.conkey, 1)]
             WHERE c.contype = 'f'",
        );
        let (store, folder) = super::open();
        drop(store);
        let db = rusqlite::Connection::open(super::file(&folder)).expect("the file");
        let mut references = db
            .prepare(
                "SELECT s.name || '.' || f.\"from\" FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
                 WHERE f.seq = (SELECT max(seq) FROM pragma_foreign_key_list(s.name) WHERE id = f.id)",
            )
            .expect("a statement");
        let references = references.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        let references: Vec<_> = references.collect::<Result<_, _>>().expect("texts");
        assert!(references.len() > 50, "{references:?}");
        for reference in references {
            let looked_for = REFERENCES.iter().any(|one| reference == format!("{}.{}", one.table, one.column));
            assert!(looked_for || enforced.lines().any(|line| line == reference), "{reference}");
        }
    }

    /// A database of version 1, with orders that wait.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_older_database_is_brought_up_to_date() {
        let url = Cluster::shared().new_database();
        let address = Address::parse(&url, 2).expect("a URL");
        let store = Store::open(&address, outcome_signer()).expect("a store");
        let story = Story::tell(&store).await;
        let waiting = story.family.place(&store, &story.shop.sell(&store, &[100]).await, NOW).await;
        drop(store);
        let (_, database) = url.rsplit_once('/').expect("a URL");
        let sql = |sql: &str| Cluster::shared().sql(database, sql);
        sql("ALTER TABLE open_orders DROP COLUMN household; ALTER TABLE requote_asks DROP COLUMN household;
             UPDATE nodpay SET version = 1");
        let store = Store::open(&address, outcome_signer()).expect("a store");
        assert_eq!((store.migrated().from, store.migrated().to), (1, 2));
        assert_eq!(store.check().await, Ok(Vec::new()));
        assert_eq!(store.open_order(story.family.watch).await, Ok(Some(waiting)));
        let asks =
            "SELECT count(*) FROM requote_asks a JOIN orders o ON o.no = a.order_no AND o.household = a.household";
        assert_ne!(sql(asks).trim(), "0");
    }

    /// What one request of a batch does to its household.
    #[derive(Clone, Copy)]
    enum Change {
        /// Two updates of one row.
        Twice,
        /// An event, which refers to an order or to nothing.
        Event(HouseholdEvent),
        /// A row that is not there.
        NoRow,
        /// A balance that may not be.
        Negative,
    }

    fn change(tx: &mut Tx<'_>, household: HouseholdId, change: Change) -> Result<(), Fault> {
        tx.db.ask_ahead(|db| Books::lock(db, household).map(drop))?;
        let mut books = Books::load(tx.db, household)?;
        let pay_in = |units: i64, had: i64| {
            let sql = "UPDATE households SET posted = posted + ?2 WHERE household = ?1 AND posted = ?3";
            run_one(tx.db, "households", household, sql, params![household.as_bytes(), units, had])
        };
        match change {
            Change::Twice => pay_in(1, 1_000).and_then(|()| pay_in(10, 1_001))?,
            Change::NoRow => pay_in(1, 77)?,
            Change::Negative => pay_in(-2_000, 1_000)?,
            Change::Event(event) => {
                tell(tx, &mut books, To::Guardians, event, NOW)?;
                books.save(tx)?;
            }
        }
        Ok(())
    }

    /// Runs them in one transaction, each of its own new family; gives the answers, the wallets and the number of commits.
    async fn together(changes: &[Change]) -> (Vec<Result<(), StoreError>>, Vec<i64>, u64) {
        let (store, ()) = open();
        let mut families = Vec::new();
        for _ in changes {
            families.push(Family::settle(&store, 1_000).await);
        }
        // The one thread that shares transactions waits until all of them wait for it.
        let (go_on, wait) = mpsc::channel::<()>();
        let first = store.write_of(HouseholdId::from_bytes([0; 16]), move |tx| {
            if matches!(tx.db, crate::db::Db::Postgres(_)) {
                // It ends when the other side is gone.
                assert_eq!(wait.recv(), Err(mpsc::RecvError));
            }
            Ok(())
        });
        let others = families.iter().zip(changes).map(|(family, &one)| {
            let household = family.household;
            store.write_of(household, move |tx| change(tx, household, one))
        });
        let before = store.commits();
        let (mut first, mut others) = (Box::pin(first), Box::pin(join_all(others)));
        poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending() && others.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(go_on);
        first.await.expect("nothing to do");
        let answers = others.await;
        let commits = store.commits() - before;
        let mut wallets = Vec::new();
        for (family, change) in families.iter().zip(changes) {
            wallets.push(family.wallet(&store).await.0);
            if let Change::Event(told) = change {
                let events = store.events_after(family.household, Audience::Guardian, 0, 100).await.expect("a read");
                assert_eq!(events.last().map(|event| event.event), Some(*told));
            }
        }
        (answers, wallets, commits)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_share_statements() {
        let order = HouseholdEvent::Order(OrderId::from_bytes([7; 16]));
        let events =
            [Change::Event(HouseholdEvent::Balance), Change::Event(order), Change::Event(HouseholdEvent::Balance)];
        let (answers, wallets, commits) = together(&[&[Change::Twice; 3][..], &events[..]].concat()).await;
        assert_eq!(answers, vec![Ok(()); 6]);
        assert_eq!(wallets, [1_011, 1_011, 1_011, 1_000, 1_000, 1_000]);
        assert_eq!(commits, 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_that_fails_keeps_no_other() {
        for bad in [Change::NoRow, Change::Negative] {
            let (answers, wallets, commits) = together(&[Change::Twice, bad, Change::Twice]).await;
            let [Ok(()), Err(_), Ok(())] = answers.as_slice() else { panic!("{answers:?}") };
            assert_eq!((wallets, commits), (vec![1_011, 1_000, 1_011], 2));
        }
    }
}

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (store, folder) = open();
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    let bill = shop.sell(&store, &[300]).await;
    let paid = family.paid(&store, &bill, NOW).await;
    let waiting = family.place(&store, &shop.sell(&store, &[200]).await, NOW).await;
    let deadline = waiting.state.deadline().expect("it waits");
    let events = store.events_after(family.household, Audience::Guardian, 0, 100).await.expect("a read");
    drop(store);

    let store = open_in(&folder);
    assert_eq!(store.order(family.household, paid.order).await, Ok(Some(paid.clone())));
    assert_eq!(store.open_order(family.watch).await, Ok(Some(waiting.clone())));
    assert_eq!(store.events_after(family.household, Audience::Guardian, 0, 100).await, Ok(events));
    assert_eq!(family.wallet(&store).await, (700, 0));
    assert_eq!(store.next_deadline().await, Ok(Some(deadline)));
    // A start after the deadline ends what became due meanwhile, and the watch is told.
    assert_eq!(store.tick(deadline).await.map(|ticked| ticked.ended), Ok(1));
    let ended = store.latest_order(family.watch).await.expect("a read").expect("the order");
    assert_eq!(outcome_of(&ended).outcome, OutcomeKind::Expired);
    let told = store.events_after(family.household, Audience::Watch(family.watch), 0, 100).await.expect("a read");
    assert_eq!(told.last().map(|row| row.event), Some(HouseholdEvent::Outcome(waiting.order)));
    assert_eq!(store.check().await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_cannot_be_signed_did_not_happen() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = Arc::new(AtomicBool::new(false));
    let signer: OutcomeSigner = {
        let (broken, good) = (Arc::clone(&broken), outcome_signer());
        Arc::new(move |outcome: Outcome| match broken.load(Ordering::Relaxed) {
            true => Err("no key".to_owned()),
            false => good(outcome),
        })
    };
    let store = open_file(&file(&folder), signer).expect("a store");
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    let row = family.approved(&store, &shop.sell(&store, &[300]).await, NOW).await;
    let before = store.household(family.household).await;
    let pay = crate::contract::payment_over(&row, NOW);
    broken.store(true, Ordering::Relaxed);
    assert_eq!(store.pay(pay.clone(), NOW).await, Err(StoreError::Signer("no key".to_owned())));
    assert_eq!(store.household(family.household).await, before);
    assert_eq!(store.order(family.household, row.order).await, Ok(Some(row.clone())));
    let over = row.state.deadline().expect("it is approved");
    assert_eq!(store.tick(over).await, Err(StoreError::Signer("no key".to_owned())));
    assert_eq!(store.check().await, Ok(Vec::new()));
    broken.store(false, Ordering::Relaxed);
    let paid = store.pay(pay, NOW).await.expect("a payment");
    assert_eq!(paid.state, OrderState::Ended { outcome: OutcomeKind::Paid });
    assert_eq!(store.check().await, Ok(Vec::new()));
}

/// Of requests that share a commit, one fails after it has written rows.
#[tokio::test]
async fn a_failed_request_takes_no_other_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let unlucky = Arc::new(std::sync::Mutex::new(None));
    let signer: OutcomeSigner = {
        let (unlucky, good) = (Arc::clone(&unlucky), outcome_signer());
        Arc::new(move |outcome: Outcome| match *unlucky.lock().expect("whole") == Some(outcome.household) {
            true => Err("no key".to_owned()),
            false => good(outcome),
        })
    };
    let store = open_file(&file(&folder), signer).expect("a store");
    let shop = Shop::open(&store).await;
    let mut rows = Vec::new();
    for _ in 0..20 {
        let family = Family::settle(&store, 1_000).await;
        rows.push(family.approved(&store, &shop.sell(&store, &[300]).await, NOW).await);
    }
    let stuck = rows[10].clone();
    *unlucky.lock().expect("whole") = Some(stuck.household);
    let pays = rows.iter().map(|row| store.pay(crate::contract::payment_over(row, NOW), NOW));
    for (row, paid) in rows.iter().zip(futures_util::future::join_all(pays).await) {
        match row.household == stuck.household {
            true => assert_eq!(paid, Err(StoreError::Signer("no key".to_owned()))),
            false => assert_eq!(paid.expect("a payment").state, OrderState::Ended { outcome: OutcomeKind::Paid }),
        }
    }
    assert_eq!(store.order(stuck.household, stuck.order).await, Ok(Some(stuck)));
    assert_eq!(store.check().await, Ok(Vec::new()));
}

/// One order that cannot be ended does not keep the others open.
#[tokio::test]
async fn a_tick_goes_on_past_an_incident() {
    let (store, folder) = open();
    let shop = Shop::open(&store).await;
    let (bad, good) = (Family::settle(&store, 1_000).await, Family::settle(&store, 1_000).await);
    let stuck = bad.approved(&store, &shop.sell(&store, &[300]).await, NOW).await;
    let row = good.approved(&store, &shop.sell(&store, &[300]).await, NOW).await;
    // A wallet that does not hold what its order says.
    tamper(&folder, "UPDATE households SET held = 0 WHERE household = ?1", bad.household.as_bytes());
    let over = row.state.deadline().expect("it is approved");
    let error = store.tick(over).await.expect_err("an incident");
    assert!(matches!(&error, StoreError::Incident { table: "households", .. }), "{error}");
    assert_eq!(good.wallet(&store).await, (1_000, 0));
    assert_eq!(store.open_order(good.watch).await, Ok(None));
    assert_eq!(store.open_order(bad.watch).await, Ok(Some(stuck)));
}

#[tokio::test]
async fn a_panic_ends_its_own_transaction_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let signer: OutcomeSigner = Arc::new(|_| panic!("a fault in the signer"));
    let store = open_file(&file(&folder), signer).expect("a store");
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    let row = family.approved(&store, &shop.sell(&store, &[300]).await, NOW).await;
    let error = store.pay(crate::contract::payment_over(&row, NOW), NOW).await.expect_err("an incident");
    assert_eq!(error.code(), "incident");
    assert_eq!(store.order(family.household, row.order).await, Ok(Some(row)));
    assert_eq!(store.ready().await, Ok(()));
    assert_eq!(store.check().await, Ok(Vec::new()));
}

/// Four requests in one batch; the third writes and fails, or takes the whole transaction with it.
#[tokio::test]
async fn a_failure_in_a_batch_is_its_own_unless_the_batch_is_lost() {
    for lost in [false, true] {
        let (store, folder) = open();
        let (go, wait) = std::sync::mpsc::channel();
        let add = |row: u8| {
            move |tx: &mut crate::tx::Tx<'_>| {
                let sql = "INSERT INTO logins (challenge, expires) VALUES (?1, 0)";
                run(tx.db, sql, params![[row; 32]])?;
                Ok(row)
            }
        };
        let first = store.write(move |tx| {
            // Once: when it runs again nobody sends.
            let _: Result<(), std::sync::mpsc::RecvError> = wait.recv();
            add(1)(tx)
        });
        let second = store.write(add(2));
        let third = store.write(move |tx| {
            add(3)(tx)?;
            if lost {
                tx.db.control("ROLLBACK")?;
            }
            Err::<(), _>(StoreError::LoginUnknown.into())
        });
        let fourth = store.write(add(4));
        // Polled in this order: all are in the queue before the first goes on.
        let release = async move { go.send(()).expect("the writer waits") };
        let (first, second, third, fourth, ()) = tokio::join!(first, second, third, fourth, release);
        let gone = |answer: Result<u8, StoreError>| matches!(answer, Err(StoreError::Database(_)));
        if lost {
            assert!(gone(first) && gone(second));
            assert!(matches!(third, Err(StoreError::Database(_))));
        } else {
            assert_eq!((first, second, third), (Ok(1), Ok(2), Err(StoreError::LoginUnknown)));
        }
        assert_eq!(fourth, Ok(4));
        let db = Connection::open(file(&folder)).expect("the file");
        let mut rows = db.prepare("SELECT hex(substr(challenge, 1, 1)) FROM logins ORDER BY 1").expect("a statement");
        let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows").collect::<Result<Vec<_>, _>>();
        assert_eq!(rows.expect("texts"), if lost { vec!["04"] } else { vec!["01", "02", "04"] });
    }
}

/// What `nodpay admin` does beside a service is heard by it, and what it does itself is not taken for another's.
#[tokio::test]
async fn two_processes_work_on_one_file() {
    let (here, folder) = open();
    two_processes(&here, &open_in(&folder)).await;
}

#[tokio::test]
async fn another_process_is_heard() {
    let (store, folder) = open();
    let family = Family::settle(&store, 1_000).await;
    let mut topics = store.subscribe();
    store.set_frozen(family.household, true, NOW).await.expect("frozen");
    let seen = store.household(family.household).await.expect("a read").expect("it is there").last_event;
    let other = open_in(&folder);
    other.set_frozen(family.household, false, NOW).await.expect("let go");
    let mut told = Vec::new();
    while told.last() != Some(&Topic::Everything) {
        let topic = tokio::time::timeout(10 * crate::writer::LOOK_EVERY, topics.recv()).await;
        told.push(topic.expect("heard").expect("told"));
    }
    assert_eq!(told, [Topic::Household(family.household), Topic::Everything]);
    let events = store.events_page(family.household, Audience::Guardian, seen, 10).await.expect("a page");
    assert_eq!(events.events.len(), 1, "what the other wrote");
    let quiet = tokio::time::timeout(3 * crate::writer::LOOK_EVERY, topics.recv()).await;
    assert!(quiet.is_err(), "nothing more happened: {quiet:?}");
}

fn tamper(folder: &tempfile::TempDir, sql: &str, key: &[u8]) {
    let db = Connection::open(file(folder)).expect("the file");
    db.pragma_update(None, "ignore_check_constraints", true).expect("a pragma");
    assert!(db.execute(sql, [key]).expect("a change") > 0, "{sql}");
}

/// A payment with a fee, a part of it given back, the day closed, the rest paid out, and come back.
async fn paid_out(store: &Store, shop: &Shop, family: &Family) {
    store.set_fee(shop.merchant, BasisPoints::new(500).expect("in range")).await.expect("a fee");
    let bill = shop.sell(store, &[300]).await;
    family.paid(store, &bill, NOW).await;
    let (merchant, reason) = (shop.merchant, None);
    let amount = Amount::new(Minor::new(100).expect("in range"), Currency::CNY);
    let refund = Refund { merchant, bill: bill.bill, refund: TransferId::from_bytes([5; 16]), amount, reason };
    store.refund(refund, NOW).await.expect("a refund");
    let tomorrow = NOW.plus_ms(24 * 60 * 60 * 1000);
    assert_eq!(store.tick(tomorrow).await.map(|ticked| ticked.closed), Ok(1));
    store.set_iban(merchant, Some(Iban::new("NO9386011117947").expect("valid"))).await.expect("an account");
    let payout = TransferId::from_bytes([6; 16]);
    store.ask_payout(merchant, payout, tomorrow).await.expect("a payout");
    store.payout_sent(merchant, payout, tomorrow).await.expect("sent");
    store.payout_done(merchant, payout, tomorrow).await.expect("done");
    store.payout_returned(merchant, payout, tomorrow).await.expect("returned");
}

/// A file of the version before: what it holds is there, and right.
#[tokio::test]
async fn an_older_file_is_brought_up_to_date() {
    let (store, folder) = open();
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    let paid = family.paid(&store, &shop.sell(&store, &[300]).await, NOW).await;
    let waiting = family.approved(&store, &shop.sell(&store, &[200]).await, NOW).await;
    let events = store.events_after(family.household, Audience::Guardian, 0, 100).await.expect("a read");
    drop(store);
    let old = folder.path().join("old.sqlite");
    {
        let db = Connection::open(&old).expect("a file");
        for version in &crate::sqlite::MIGRATIONS[..2] {
            db.execute_batch(version).expect("the tables of version 2");
        }
        db.execute("ATTACH ?1 AS new", [file(&folder).to_str().expect("text")]).expect("the new file");
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let columns = "SELECT group_concat(name) FROM pragma_table_info(?1)";
        let names = |sql: &str| {
            let mut statement = db.prepare(sql).expect("a statement");
            let names = statement.query_map([], |row| row.get(0)).expect("rows");
            names.collect::<Result<Vec<String>, _>>().expect("texts")
        };
        db.pragma_update(None, "foreign_keys", false).expect("a pragma");
        for table in names(tables) {
            let columns: String = db.query_row(columns, [&table], |row| row.get(0)).expect("columns");
            // An order's due time was a column of its own then.
            let due = ",(SELECT due FROM new.open_orders WHERE order_no = no),";
            let values = if table == "orders" { columns.replace(",due,", due) } else { columns.clone() };
            db.execute_batch(&format!("INSERT INTO main.{table} ({columns}) SELECT {values} FROM new.{table}"))
                .expect("a copy");
        }
        db.pragma_update(None, "application_id", 0x6e6f_6470).expect("a pragma");
        db.pragma_update(None, "user_version", 2).expect("a pragma");
    }
    let store = open_file(&old, outcome_signer()).expect("brought up to date");
    assert_eq!(store.check().await, Ok(Vec::new()));
    assert_eq!(store.order(family.household, paid.order).await, Ok(Some(paid)));
    assert_eq!(store.open_order(family.watch).await, Ok(Some(waiting.clone())));
    assert_eq!(store.events_after(family.household, Audience::Guardian, 0, 100).await, Ok(events));
    store.pay(crate::contract::payment_over(&waiting, NOW), NOW).await.expect("a payment");
    assert_eq!(family.wallet(&store).await, (500, 0));
    // Days from before are closed at the first tick.
    assert_eq!(store.tick(NOW.plus_ms(48 * 60 * 60 * 1000)).await.map(|ticked| ticked.closed), Ok(1));
    assert_eq!(store.merchant_balance(shop.merchant).await.map(Amount::minor), Ok(500));
    assert_eq!(store.check().await, Ok(Vec::new()));
}

/// Payouts of version 13 are what they were.
#[tokio::test]
async fn older_payouts_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let states = ["asked", "sent", "done", "returned"];
    {
        let db = Connection::open(file(&folder)).expect("a file");
        db.pragma_update(None, "foreign_keys", false).expect("a pragma");
        for version in &crate::sqlite::MIGRATIONS[..13] {
            db.execute_batch(version).expect("the tables of version 13");
        }
        for (number, state) in (1_u8..).zip(states) {
            let sql = "INSERT INTO payouts VALUES (?1, ?1, ?2, 500, 'CNY', 'NO9386011117947', ?3, 7, 8)";
            db.execute(sql, rusqlite::params![[number; 16], number, state]).expect("a payout");
        }
        db.pragma_update(None, "application_id", 0x6e6f_6470).expect("a pragma");
        db.pragma_update(None, "user_version", 13).expect("a pragma");
    }
    let store = open_in(&folder);
    for (number, state) in (1..).zip(states) {
        let row = store.payout_by_id(TransferId::from_bytes([number; 16])).await.expect("a read").expect("the payout");
        assert_eq!((row.state.as_str(), row.amount.minor(), row.number), (state, 500, number.into()));
        assert_eq!((row.asked.unix_ms(), row.changed.unix_ms()), (7, 8));
    }
    assert_eq!(store.payouts_to_send().await.map(|rows| rows.len()), Ok(1));
}

/// The wallet's orders are always posted whole; a rail may take less than was held.
#[tokio::test]
async fn a_part_of_a_hold_is_posted_and_the_rest_released() {
    let (store, _folder) = open();
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    let row = family.approved(&store, &shop.sell(&store, &[300]).await, NOW).await;
    let (household, order) = (row.household, row.order);
    let post = |part: i64| {
        store.write(move |tx| {
            let mut books = crate::households::Books::load(tx.db, household)?;
            let live = crate::orders::load(tx.db, household, order)?.ok_or(StoreError::OrderUnknown)?;
            let held = live.held(live.hold.ok_or(StoreError::OrderUnknown)?);
            crate::ledger::post(tx, &mut books, &held, Minor::new(part).expect("in range"), NOW)?;
            Ok(books.save(tx)?)
        })
    };
    for wrong in [0, -1, 301] {
        assert_eq!(post(wrong).await.map_err(|error| error.code()), Err("incident"), "{wrong}");
    }
    post(120).await.expect("a part");
    assert_eq!(family.wallet(&store).await, (880, 0));
    assert_eq!(store.merchant_balance(shop.merchant).await.map(Amount::minor), Ok(120));
    assert_eq!(post(120).await.map_err(|error| error.code()), Err("incident"), "once");
}

/// Each of these is a state of the file that no transaction of ours leaves behind.
#[tokio::test]
async fn a_check_finds_what_was_tampered_with() {
    let drop_triggers = "DROP TRIGGER settlements_stay; DROP TRIGGER settlements_keep; DROP TRIGGER events_keep;
                         DROP TRIGGER orders_end; DROP TRIGGER transfers_stay; DROP TRIGGER transfers_keep;
                         DROP TRIGGER refunds_keep; DROP TRIGGER closings_stay; DROP TRIGGER closings_keep;
                         DROP TRIGGER merchant_transfers_stay; DROP TRIGGER merchant_transfers_keep;
                         DROP TRIGGER payouts_end; DROP TRIGGER payouts_keep;";
    let cases = [
        ("households", "UPDATE households SET posted = posted + 1 WHERE household = ?1"),
        ("households", "UPDATE households SET next_seq = next_seq + 1 WHERE household = ?1"),
        ("households", "UPDATE households SET head = randomblob(32) WHERE household = ?1"),
        ("events", "UPDATE households SET last_event = last_event + 1 WHERE household = ?1"),
        ("events", "DELETE FROM events WHERE kind = 'outcome' AND audience = 'watch' AND household = ?1"),
        ("orders", "UPDATE settlements SET result = 'void' WHERE household = ?1"),
        ("orders", "DELETE FROM settlements WHERE household = ?1"),
        ("orders", "UPDATE orders SET total = total + 1 WHERE household = ?1"),
        ("orders", "UPDATE orders SET outcome_kind = 'expired' WHERE household = ?1"),
        ("orders", "UPDATE orders SET outcome_reason = 'bill-expired' WHERE household = ?1"),
        ("orders", "UPDATE orders SET state = 'waiting' WHERE household = ?1"),
        ("transfers", "UPDATE orders SET hold = NULL WHERE household = ?1"),
        ("bills", "UPDATE orders SET outcome_kind = 'refused' WHERE household = ?1"),
        ("bills", "UPDATE bills SET state = 'open', consumed_by = NULL WHERE ?1 <> x''"),
        ("bills", "UPDATE bills SET state = 'open' WHERE ?1 <> x''"),
        ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE order_no IS NULL AND household = ?1"),
        ("file", "DELETE FROM wearers WHERE household = ?1"),
        ("settlements", "UPDATE settlements SET amount = amount + 1 WHERE household = ?1"),
        ("settlements", "UPDATE settlements SET credit = x'03' WHERE household = ?1"),
        ("orders", "UPDATE orders SET refunded = refunded - 1 WHERE household = ?1"),
        ("refunds", "DELETE FROM refunds WHERE household = ?1"),
        (
            "transfers",
            "UPDATE transfers SET amount = 400 WHERE credit = debit OR substr(credit, 2) = ?1 AND order_no > 0",
        ),
        ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE credit = x'03' AND household = ?1"),
        ("transfers", "DELETE FROM transfers WHERE debit = x'03' AND household = ?1"),
        ("transfers", "UPDATE transfers SET credit = x'04' WHERE credit = x'03' AND household = ?1"),
        ("merchants", "DELETE FROM transfers WHERE credit = x'03' AND household = ?1"),
        ("households", "UPDATE households SET close_out = randomblob(16) WHERE household = ?1"),
        ("closings", "UPDATE closings SET payments = payments + 1 WHERE ?1 <> x''"),
        ("closings", "UPDATE closings SET balance = balance + 1 WHERE ?1 <> x''"),
        ("merchants", "DELETE FROM closings WHERE ?1 <> x''"),
        ("payouts", "UPDATE payouts SET state = 'done' WHERE ?1 <> x''"),
        ("payouts", "UPDATE payouts SET state = 'sent' WHERE ?1 <> x''"),
        ("payouts", "UPDATE payouts SET amount = amount + 1 WHERE ?1 <> x''"),
        ("payouts", "DELETE FROM merchant_transfers WHERE debit = x'00' AND ?1 <> x''"),
        ("payouts", "DELETE FROM merchant_transfers WHERE ?1 <> x''"),
        ("merchant_transfers", "DELETE FROM payouts WHERE ?1 <> x''"),
    ];
    for (table, sql) in cases {
        let (store, folder) = open();
        let shop = Shop::open(&store).await;
        let family = Family::settle(&store, 1_000).await;
        paid_out(&store, &shop, &family).await;
        assert_eq!(store.check().await, Ok(Vec::new()));
        drop(store);
        {
            let db = Connection::open(file(&folder)).expect("the file");
            db.execute_batch(drop_triggers).expect("no triggers");
            db.pragma_update(None, "foreign_keys", false).expect("a pragma");
            db.pragma_update(None, "ignore_check_constraints", true).expect("a pragma");
            assert!(db.execute(sql, [family.household.as_bytes()]).expect("a change") > 0, "{sql}");
        }
        let findings = open_in(&folder).check().await.expect("a check");
        assert!(findings.iter().any(|finding| finding.table == table), "{sql}: {findings:?}");
    }
}

/// Steps of rails that contradict their orders or the books, each found and said in words.
#[tokio::test]
async fn a_check_compares_rails_with_orders() {
    let of = |step: &str, order: &str| {
        format!("household = ?1 AND step = '{step}' AND order_id IN (SELECT order_id FROM orders WHERE {order})")
    };
    let set = |what: &str, step: &str, order: &str| format!("UPDATE rail_steps SET {what} WHERE {}", of(step, order));
    let delete = |step: &str, order: &str| format!("DELETE FROM rail_steps WHERE {}", of(step, order));
    let (over, asked) = ("state = 'done', next_at = NULL", "state = 'asked', next_at = 1");
    let (declined, paid) = ("state = 'declined', decline = 'refused', next_at = NULL", "outcome_kind = 'paid'");
    let cases = [
        ("no rail is asked to pay", delete("post", "state = 'paying'")),
        ("it is declined, but the order waits for it", set(declined, "post", "state = 'paying'")),
        ("it is done, but the order waits for it", set(over, "post", "state = 'paying'")),
        ("being paid, but its rail has not held", set(declined, "hold", "state = 'paying'")),
        ("the order is paid, but its rail has not paid", delete("post", paid)),
        ("the order is paid, but its rail has not paid", set(asked, "post", paid)),
        ("the order is paid, but its rail has not held", set(asked, "hold", paid)),
        (
            "its rail has paid or is asked to",
            set("step = 'post', state = 'done', next_at = NULL", "void", "state = 'ended'"),
        ),
        ("still asked to hold", set(asked, "hold", "outcome_kind = 'expired'")),
        ("its rail is asked to let go, once", delete("void", "outcome_kind = 'expired'")),
        ("its rail kept the money", set(declined, "void", "outcome_kind = 'expired'")),
        ("asked to let go of an order that is paid", set("step = 'void'", "hold", paid)),
        ("waits for its hold, but no rail", delete("hold", "state = 'holding'")),
        ("it is done, but the order waits for it", set(over, "hold", "state = 'holding'")),
        ("asked to pay an order that is not held", set("step = 'post'", "hold", "state = 'holding'")),
        ("for another transfer or amount", set("amount = amount + 1", "post", "state = 'paying'")),
        ("for another transfer or amount", set("rail = 'bank'", "post", paid)),
        ("not what the order says was refunded", format!("{} AND state = 'done'", set(declined, "refund", paid))),
        (
            "exactly when its rail has done it",
            format!("{} AND state = 'declined'", set("state = 'done', decline = NULL", "refund", paid)),
        ),
        (
            "an order that is not there",
            "UPDATE rail_steps SET order_id = randomblob(16) WHERE household = ?1".to_owned(),
        ),
        ("to give back what was not paid", set("step = 'refund'", "void", "outcome_kind = 'expired'")),
        ("that the wallet pays", "UPDATE orders SET rail = 'wallet' WHERE household = ?1".to_owned()),
        ("its next time says otherwise", set("next_at = NULL", "post", "state = 'paying'")),
        (
            "a dispute of it is won, its money is not",
            "UPDATE disputes SET state = 'won' WHERE household = ?1".to_owned(),
        ),
        (
            "a dispute of it is open, its money is not",
            "UPDATE disputes SET state = 'open' WHERE household = ?1".to_owned(),
        ),
        ("nobody disputed a payment", "DELETE FROM disputes WHERE household = ?1".to_owned()),
        ("a dispute of it is lost, its money is not", "UPDATE disputes SET amount = 1 WHERE household = ?1".to_owned()),
    ];
    for (what, sql) in cases {
        let (store, folder) = open();
        let family = a_family_with_orders_at_its_rail(&store).await;
        assert_eq!(store.check().await, Ok(Vec::new()));
        drop(store);
        {
            let db = Connection::open(file(&folder)).expect("the file");
            db.execute_batch(
                "DROP TRIGGER rail_steps_end; DROP TRIGGER rail_steps_keep; DROP TRIGGER disputes_end;
                 DROP TRIGGER disputes_keep; DROP TRIGGER orders_end;",
            )
            .expect("no triggers");
            db.pragma_update(None, "foreign_keys", false).expect("a pragma");
            db.pragma_update(None, "ignore_check_constraints", true).expect("a pragma");
            assert!(db.execute(&sql, [family.household.as_bytes()]).expect("a change") > 0, "{sql}");
        }
        let findings = open_in(&folder).check().await.expect("a check");
        assert!(findings.iter().any(|finding| finding.what.contains(what)), "{sql}: {findings:?}");
    }
}

/// What a card was charged for a wallet, against the books.
#[tokio::test]
async fn a_check_compares_card_top_ups_with_the_books() {
    let only_charged = "exactly when its card was charged";
    let set = |what: &str| format!("UPDATE card_top_ups SET {what} AND household = ?1");
    let cases = [
        (only_charged, set("state = 'declined', decline = 'funds' WHERE state = 'done'")),
        (only_charged, set("state = 'done', decline = NULL WHERE state = 'declined'")),
        (only_charged, set("state = 'done', next_at = NULL WHERE state = 'asked'")),
        (only_charged, set("amount = amount + 1 WHERE state = 'done'")),
        ("no guardian asked for it", "DELETE FROM card_top_ups WHERE household = ?1".to_owned()),
        ("but the rest says otherwise", set("decline = NULL WHERE state = 'declined'")),
    ];
    for (what, sql) in cases {
        let (store, folder) = open();
        let family = crate::contract::a_family_filled_by_its_card(&store).await;
        assert_eq!(store.check().await, Ok(Vec::new()));
        drop(store);
        let db = Connection::open(file(&folder)).expect("the file");
        db.execute_batch("DROP TRIGGER card_top_ups_end; DROP TRIGGER card_top_ups_keep").expect("no triggers");
        tamper(&folder, &sql, family.household.as_bytes());
        let findings = open_in(&folder).check().await.expect("a check");
        assert!(findings.iter().any(|finding| finding.what.contains(what)), "{sql}: {findings:?}");
    }
}

#[tokio::test]
async fn a_check_finds_rules_and_sums_that_are_not_those_of_log_and_payments() {
    for (table, sql) in [
        ("mandates", "UPDATE mandates SET rule = '{}' WHERE household = ?1"),
        ("mandates", "UPDATE mandates SET mandate = randomblob(16) WHERE household = ?1"),
        ("mandates", "UPDATE mandates SET watch = randomblob(16) WHERE household = ?1"),
        ("mandates", "UPDATE mandates SET seq = seq - 1 WHERE household = ?1"),
        ("mandates", "UPDATE mandates SET entry = entry - 1 WHERE household = ?1"),
        ("households", "UPDATE households SET house_rules = '{' WHERE household = ?1"),
        ("mandate_sums", "UPDATE mandate_sums SET spent = spent + 1 WHERE household = ?1"),
        ("mandate_sums", "DELETE FROM mandate_sums WHERE period = 'week' AND household = ?1"),
        ("mandate_sums", "UPDATE orders SET judged = NULL, decision = NULL, hold = NULL WHERE household = ?1"),
        ("orders", "UPDATE orders SET judged = replace(judged, 'approve', 'nod') WHERE household = ?1"),
        ("orders", "UPDATE orders SET decision = 1 WHERE household = ?1"),
    ] {
        let (store, folder) = open();
        let family = crate::contract::paid_under_a_rule(&store).await;
        assert_eq!(store.check().await, Ok(Vec::new()));
        drop(store);
        let db = Connection::open(file(&folder)).expect("the file");
        db.pragma_update(None, "foreign_keys", false).expect("a pragma");
        db.pragma_update(None, "ignore_check_constraints", true).expect("a pragma");
        assert!(db.execute(sql, [family.household.as_bytes()]).expect("a change") > 0, "{sql}");
        drop(db);
        let findings = open_in(&folder).check().await.expect("a check");
        assert!(findings.iter().any(|finding| finding.table == table), "{sql}: {findings:?}");
    }
    // The database itself lets no rule raise a sum over its cap.
    let (store, folder) = open();
    let family = crate::contract::paid_under_a_rule(&store).await;
    drop(store);
    let db = Connection::open(file(&folder)).expect("the file");
    let over = "UPDATE mandate_sums SET spent = 1201 WHERE period = 'day' AND household = ?1";
    assert!(db.execute(over, [family.household.as_bytes()]).is_err());
}

#[tokio::test]
async fn an_impossible_row_is_an_incident_with_its_name() {
    let (store, folder) = open();
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    let row = family.place(&store, &shop.sell(&store, &[300]).await, NOW).await;
    tamper(
        &folder,
        "UPDATE orders SET hold = NULL, state = 'approved' WHERE household = ?1",
        family.household.as_bytes(),
    );
    let error = store.order(family.household, row.order).await.expect_err("an incident");
    let StoreError::Incident { table, row: named, .. } = &error else { panic!("{error}") };
    assert_eq!((*table, named.as_str()), ("orders", row.order.to_string().as_str()));
    assert_eq!(error.blame(), crate::Blame::Ours);
    tamper(&folder, "UPDATE households SET currency = 'ZZZ' WHERE household = ?1", family.household.as_bytes());
    let error = store.wallet(family.household).await.expect_err("an incident");
    assert!(matches!(error, StoreError::Incident { table: "households", .. }));
}

#[tokio::test]
async fn history_cannot_be_changed() {
    let (store, folder) = open();
    let shop = Shop::open(&store).await;
    let family = Family::settle(&store, 1_000).await;
    paid_out(&store, &shop, &family).await;
    let db = Connection::open(file(&folder)).expect("the file");
    let append_only = [
        "messages",
        "log_entries",
        "certificates",
        "transfers",
        "settlements",
        "events",
        "merchant_events",
        "closings",
        "merchant_transfers",
    ];
    for table in append_only {
        let column: String = db
            .query_row("SELECT name FROM pragma_table_info(?1) WHERE pk = 0 LIMIT 1", [table], |row| row.get(0))
            .expect("a column");
        for sql in [format!("UPDATE {table} SET {column} = {column}"), format!("DELETE FROM {table}")] {
            let error = db.execute(&sql, []).expect_err(&sql).to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
    }
    for sql in ["UPDATE orders SET state = 'waiting'", "UPDATE payouts SET state = 'done'"] {
        let error = db.execute(sql, []).expect_err("it ended").to_string();
        assert!(error.contains("ends once"), "{sql}: {error}");
    }
    // A hold is settled once, and a wallet never goes below zero, whatever the program does.
    db.pragma_update(None, "foreign_keys", true).expect("a pragma");
    for sql in [
        "INSERT INTO settlements SELECT household, transfer, 'void', NULL, NULL, at FROM settlements",
        "UPDATE households SET posted = -1, held = -1",
        "UPDATE households SET held = posted + 1",
        "UPDATE bills SET consumed_by = NULL",
        "INSERT INTO transfers SELECT household, randomblob(16), debit, credit, 0, currency, kind, order_no, of_transfer, at FROM transfers",
        "UPDATE orders SET refunded = total + 1",
        "UPDATE merchants SET fee = 1001",
    ] {
        let error = db.execute(sql, []).expect_err(sql).to_string();
        assert!(error.contains("constraint failed"), "{sql}: {error}");
    }
}

/// Whether it has no answer yet.
async fn waits(mut answer: Pin<&mut impl Future>) -> bool {
    poll_fn(|context| Poll::Ready(answer.as_mut().poll(context).is_pending())).await
}

/// No kill shows this; only a power failure would.
#[tokio::test]
async fn a_commit_is_on_the_disk_before_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Connection::open(file(&folder)).expect("a file");
    db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE rows (row INTEGER)").expect("a table");
    // Each sync says that it began, and ends as it is told.
    let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (end, ends) = mpsc::channel::<std::io::Result<()>>();
    let sync = Box::new(move || {
        began.send(()).expect("the test waits");
        ends.recv().expect("the test says how")
    });
    let announcements = Arc::new(crate::announce::Announcements::new());
    let writer = crate::writer::Writer::start(db, outcome_signer(), announcements, sync).expect("a writer");
    let end = end; // gone before the writer, which waits for its threads
    let reader = Connection::open(file(&folder)).expect("the file");
    let rows = || reader.query_row("SELECT count(*) FROM rows", [], |row| row.get::<_, i64>(0)).expect("a number");
    let add = |row: i64| {
        writer.write(move |tx| {
            run(tx.db, "INSERT INTO rows VALUES (?1)", params![row])?;
            Ok(row)
        })
    };

    let mut first = Box::pin(add(1));
    assert!(waits(first.as_mut()).await);
    begins.recv().await.expect("a sync");
    assert_eq!(rows(), 1, "it can be read");
    let mut settled = Box::pin(writer.settled());
    assert!(waits(settled.as_mut()).await && waits(first.as_mut()).await, "but nobody is told");
    // Others run meanwhile, and are committed together once the disk is free.
    let (mut second, mut third) = (Box::pin(add(2)), Box::pin(add(3)));
    assert!(waits(second.as_mut()).await && waits(third.as_mut()).await);
    end.send(Ok(())).expect("the disk waits");
    assert_eq!((first.await, settled.await), (Ok(1), Ok(())));
    begins.recv().await.expect("a sync");
    assert_eq!(rows(), 3);
    // Nobody knows what a disk holds that failed.
    end.send(Err(std::io::Error::other("worn out"))).expect("the disk waits");
    for answer in [second.await, third.await] {
        assert!(matches!(&answer, Err(StoreError::Database(why)) if why.contains("worn out")), "{answer:?}");
    }
    assert!(writer.settled().await.is_err());
    assert!(add(4).await.is_err());
}

#[test]
fn only_its_own_files_are_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || open_file(&file(&folder), outcome_signer()).map(|store| store.migrated());
    Connection::open(file(&folder)).expect("a file").execute_batch("CREATE TABLE notes (text)").expect("a table");
    assert!(matches!(open(), Err(StoreError::Database(why)) if why.contains("another program")));
    std::fs::remove_file(file(&folder)).expect("removed");
    let new = open().expect("a new file");
    assert_eq!(new.from, 0);
    assert_eq!(open(), Ok(Migrated { from: new.to, to: new.to }), "an old file");
    Connection::open(file(&folder)).expect("a file").pragma_update(None, "user_version", 99).expect("a pragma");
    assert!(matches!(open(), Err(StoreError::Database(why)) if why.contains("newer program")));
    std::fs::write(file(&folder), [7; 9_000]).expect("written");
    assert!(open().is_err());
    assert!(open_file(Path::new("/nowhere/at/all.sqlite"), outcome_signer()).is_err());
}

/// Runs only as the child of [`a_kill_loses_nothing`]: pays without end and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of another test"]
async fn pay_until_killed() {
    let path = std::env::var("NODPAY_STORE_UNDER_TEST").expect("started by its parent");
    let store = open_file(Path::new(&path), outcome_signer()).expect("a store");
    let shop = Shop::open(&store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, shop) = (store.clone(), shop.clone());
        tasks.spawn(async move {
            let family = Family::settle(&store, 1_000_000).await;
            loop {
                let bill = shop.sell(&store, &[7]).await;
                let row = family.paid(&store, &bill, NOW).await;
                println!("\npaid {} {}", row.household, row.order);
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_kill_loses_nothing() {
    for acknowledged in [1, 2, 5, 9, 14, 30, 61] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["tests::pay_until_killed", "--exact", "--ignored", "--nocapture"])
            .env("NODPAY_STORE_UNDER_TEST", file(&folder))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut paid = Vec::new();
        while paid.len() < acknowledged {
            let line = lines.next().expect("it goes on").expect("text");
            if let Some(said) = line.strip_prefix("paid ") {
                paid.push(said.to_owned());
            }
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("gone");
        paid.extend(lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("paid ").map(str::to_owned)));

        let store = open_in(&folder);
        assert_eq!(store.check().await, Ok(Vec::new()));
        let (mut seen, mut households) = (HashSet::new(), HashSet::new());
        for said in paid {
            assert!(seen.insert(said.clone()), "paid twice: {said}");
            // The last line may be cut.
            let Some((household, order)) = said.split_once(' ').filter(|(_, order)| order.len() == 22) else {
                continue;
            };
            let (household, order) = (household.parse().expect("an id"), order.parse().expect("an id"));
            let row = store.order(household, order).await.expect("a read").expect("an acknowledged order");
            assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Paid });
            households.insert(household);
        }
        // What was under way ends like everything else.
        store.tick(NOW.plus_ms(100 * 60_000)).await.expect("a tick");
        for household in households {
            let balance = store.wallet(household).await.expect("a read").expect("the household");
            assert_eq!((balance.wallet.posted().get() % 7, balance.wallet.held().get()), (1_000_000 % 7, 0));
        }
        assert_eq!(store.check().await, Ok(Vec::new()));
    }
}

/// From a file to PostgreSQL and back into a file: nothing is lost, and what comes later is numbered above it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_read_back_by_either_kind_of_store() {
    let (first, folder) = open();
    let shop = Shop::open(&first).await;
    let family = Family::settle(&first, 1_000).await;
    let paid = family.paid(&first, &shop.sell(&first, &[300]).await, NOW).await;
    crate::contract::a_family_filled_by_its_card(&first).await;
    let events = first.events_after(family.household, Audience::Guardian, 0, 100).await;
    let url = nodpay_testkit::Cluster::shared().new_database();
    let address = Address::parse(&url, 4).expect("a URL");
    let second = Store::open(&address, outcome_signer()).expect("a store");
    let third = open_file(&folder.path().join("third.sqlite"), outcome_signer()).expect("a store");
    let mut rows = None;
    for (from, to) in [(&first, &second), (&second, &third)] {
        let file = folder.path().join("backup");
        let written = from.back_up(file.clone()).await.expect("a backup");
        assert!(rows.replace(written).is_none_or(|before| before < written));
        assert_eq!(to.restore(file.clone()).await, Ok(written));
        assert_eq!(to.restore(file).await, Err(StoreError::NotEmpty));
        assert_eq!(to.check().await, Ok(Vec::new()));
        assert_eq!(to.order(family.household, paid.order).await, Ok(Some(paid.clone())));
        family.paid(to, &shop.sell(to, &[10]).await, NOW).await;
        assert_eq!(to.check().await, Ok(Vec::new()));
    }
    let later = third.events_after(family.household, Audience::Guardian, 0, 100).await.expect("a read");
    assert_eq!(later.get(..events.as_ref().map_or(0, Vec::len)), events.as_deref().ok());
    assert_eq!(family.wallet(&third).await, (680, 0));
}

/// Nothing of an erased household is in the file, free pages included; and a backup brings its tombstone along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_erased_is_not_in_the_file() {
    use crate::contract::erasing::{Story, everything};
    let (store, folder) = open();
    let mut story = Story::tell(&store).await;
    story.ask(&store, true).await;
    story.close_out(&store).await;
    drop(store);
    assert!(story.is_in(&std::fs::read(file(&folder)).expect("the file")));
    let store = open_in(&folder);
    let later = NOW.plus_ms(nodpay_core::ERASE_DELAY_MS * 2);
    let home = story.family.household;
    assert_eq!(store.erase_due(later).await.map(|all| all.erased), Ok(vec![home]));
    let backup = folder.path().join("backup");
    store.back_up(backup.clone()).await.expect("a backup");
    drop(store);
    assert!(!story.is_in(&std::fs::read(file(&folder)).expect("the file")), "overwritten");

    let restored = open_file(&folder.path().join("restored.sqlite"), outcome_signer()).expect("a store");
    restored.restore(backup).await.expect("restored");
    assert_eq!(restored.check().await, Ok(Vec::new()));
    assert_eq!(restored.erased(home).await, Ok(Some(later)));
    assert_eq!(restored.erase_due(later).await, Ok(crate::Erased::default()));
    assert!(!story.is_in(&everything(&restored).await));
}

/// A table that comes later says what becomes of it: in backups, and when its household is erased.
#[tokio::test]
async fn every_table_is_backed_up_and_erased_or_kept_on_purpose() {
    let (store, folder) = open();
    drop(store);
    let db = Connection::open(file(&folder)).expect("the file");
    let names = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("names")
    };
    for table in names("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'") {
        assert!(table == "retention" || crate::backup::TABLES.contains(&table.as_str()), "{table} is in no backup");
    }
    let of_households = "SELECT s.name FROM sqlite_schema s JOIN pragma_table_info(s.name) c ON c.name = 'household'";
    for table in names(of_households) {
        let goes = crate::erasing::ERASE.iter().any(|sql| sql.starts_with(&format!("DELETE FROM {table} ")));
        assert_ne!(goes, crate::erasing::KEPT.contains(&table.as_str()), "{table}: deleted, or kept by name");
    }
}

#[tokio::test]
async fn half_a_backup_is_not_read() {
    let (store, folder) = open();
    family_of(&store).await;
    let file = folder.path().join("backup");
    store.back_up(file.clone()).await.expect("a backup");
    let whole = std::fs::read_to_string(&file).expect("text");
    let lines: Vec<&str> = whole.lines().collect();
    let without = |from: usize| lines[..from].join("\n");
    let cases = [without(0), without(1), without(lines.len() - 1), lines[1..].join("\n"), format!("{whole}[1]\n")];
    for (index, text) in cases.into_iter().enumerate() {
        std::fs::write(&file, text).expect("written");
        let other = open_file(&folder.path().join(format!("{index}.sqlite")), outcome_signer()).expect("a store");
        let error = other.restore(file.clone()).await.expect_err("refused");
        assert!(matches!(error, StoreError::Backup(_)), "{index}: {error}");
        assert_eq!(other.households(None, 10).await.map(|all| all.len()), Ok(0));
    }
}

async fn family_of(store: &Store) {
    let shop = Shop::open(store).await;
    let family = Family::settle(store, 1_000).await;
    family.paid(store, &shop.sell(store, &[300]).await, NOW).await;
}
