//! Proof of the invariants over a whole database: every row read back as a value, every number folded again.

use std::collections::{BTreeMap, BTreeSet};

use nodpay_core::{Amount, HouseholdId, LedgerError, OrderId, OrderState, OutcomeKind, TransferId, Wallet};

use crate::db::{Db, all};
use crate::ledger::Account;
use crate::{BillState, Finding, OrderRow, StoreError, merchants, orders};

/// Findings one check gives at most.
const MAX_FINDINGS: usize = 1_000;

pub(crate) fn check(db: Db<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut report = Report { findings: Vec::new() };
    check_file(db, &mut report)?;
    let transfers = read_transfers(db, &mut report)?;
    check_wallets(db, &transfers, &mut report)?;
    check_logs(db, &mut report)?;
    let orders = read_orders(db, &mut report)?;
    check_orders(&orders, &transfers, &mut report);
    check_bills(db, &orders, &mut report)?;
    check_events(db, &orders, &mut report)?;
    report.findings.truncate(MAX_FINDINGS);
    Ok(report.findings)
}

struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, table: &'static str, row: impl std::fmt::Display, what: impl Into<String>) {
        self.findings.push(Finding { table, row: row.to_string(), what: what.into() });
    }

    /// An incident is what a check looks for; anything else stops it.
    fn sort<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Incident { table, row, what }) => {
                self.add(table, row, what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn check_file(db: Db<'_>, report: &mut Report) -> Result<(), StoreError> {
    // PostgreSQL looks after its own files, and a payment's rows have no foreign keys there.
    if let Db::Postgres(_) = db {
        return Ok(());
    }
    let said = all(db, "file", "PRAGMA integrity_check", |cells| cells.string())?;
    for line in said.iter().filter(|line| *line != "ok") {
        report.add("file", "-", line.clone());
    }
    let lost =
        all(db, "file", "PRAGMA foreign_key_check", |cells| Ok((cells.string()?, cells.opt_int()?, cells.string()?)))?;
    for (table, row, parent) in lost {
        report.add("file", "-", format!("{table}, row {row:?}, names a row of {parent} that is not there"));
    }
    Ok(())
}

type TransferKey = (HouseholdId, TransferId);

struct Transfer {
    credit: Account,
    amount: Amount,
    order: Option<OrderId>,
    /// `Some(true)` for posted.
    settled: Option<bool>,
}

fn read_transfers(db: Db<'_>, report: &mut Report) -> Result<BTreeMap<TransferKey, Transfer>, StoreError> {
    let rows = all(
        db,
        "transfers",
        "SELECT t.household, t.transfer, t.debit, t.credit, t.amount, t.currency, o.order_id, s.result
         FROM transfers t LEFT JOIN orders o ON o.no = t.order_no
         LEFT JOIN settlements s ON s.household = t.household AND s.transfer = t.transfer
         ORDER BY t.household, t.transfer",
        |cells| {
            let key: TransferKey = (cells.id()?, cells.id()?);
            let (debit, credit) = (cells.bytes()?, cells.bytes()?);
            Ok((key, debit, credit, cells.amount()?, cells.opt_id()?, cells.opt_string()?))
        },
    );
    let mut transfers = BTreeMap::new();
    for (key, debit, credit, amount, order, result) in report.sort(rows)?.unwrap_or_default() {
        let (Some(debit), Some(credit)) = (Account::from_bytes(&debit), Account::from_bytes(&credit)) else {
            report.add("transfers", key.1, "an account is not in its form");
            continue;
        };
        let wallet = Account::Wallet(key.0);
        let fits = match (debit, credit, order) {
            (Account::Outside, credit, None) => credit == wallet,
            (debit, Account::Merchant(_), Some(_)) => debit == wallet,
            _ => false,
        };
        if !fits {
            report.add("transfers", key.1, "its accounts are not those of a top-up or a payment");
        }
        if order.is_none() && result.is_some() {
            report.add("settlements", key.1, "settles a transfer that was never pending");
        }
        let settled = result.map(|result| result == "post");
        transfers.insert(key, Transfer { credit, amount, order, settled });
    }
    Ok(transfers)
}

/// A wallet is the fold of its transfers; what left the outside is in wallets or with merchants.
fn check_wallets(
    db: Db<'_>,
    transfers: &BTreeMap<TransferKey, Transfer>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let rows =
        all(db, "households", "SELECT household, posted, held, currency FROM households ORDER BY household", |cells| {
            Ok((cells.id::<HouseholdId>()?, cells.minor()?, cells.minor()?, cells.currency()?))
        });
    // By currency: wallets and merchants, less what was paid in.
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for transfer in transfers.values() {
        let amount = i128::from(transfer.amount.minor());
        let change = match (transfer.credit, transfer.settled) {
            (Account::Merchant(_), Some(true)) => amount,
            (Account::Merchant(_), Some(false) | None) | (Account::Outside, _) => 0,
            (Account::Wallet(_), _) => -amount,
        };
        *sums.entry(transfer.amount.currency().code().to_owned()).or_insert(0) += change;
    }
    for (household, posted, held, currency) in report.sort(rows)?.unwrap_or_default() {
        *sums.entry(currency.code().to_owned()).or_insert(0) += i128::from(posted.get());
        let last = TransferId::from_bytes([255; 16]);
        let own = transfers.range((household, TransferId::from_bytes([0; 16]))..=(household, last));
        let mut moves: Vec<&Transfer> = own.map(|(_, transfer)| transfer).collect();
        // Money in before money out: the order in time is not needed for the sum.
        moves.sort_by_key(|transfer| transfer.order.is_some());
        let fold = moves.iter().try_fold(Wallet::EMPTY, |wallet, transfer| fold_one(wallet, transfer));
        match fold {
            Ok(wallet) if (wallet.posted(), wallet.held()) == (posted, held) => {}
            Ok(wallet) => report.add(
                "households",
                household,
                format!("its wallet is {posted:?} and {held:?} held, its transfers come to {wallet:?}"),
            ),
            Err(error) => report.add("households", household, format!("its transfers do not fold: {error}")),
        }
        if moves.iter().any(|transfer| transfer.amount.currency() != currency) {
            report.add("households", household, "a transfer has another currency");
        }
    }
    for (currency, sum) in sums {
        if sum != 0 {
            report.add("transfers", &currency, format!("wallets and merchants have {sum} more than was paid in"));
        }
    }
    Ok(())
}

fn fold_one(wallet: Wallet, transfer: &Transfer) -> Result<Wallet, LedgerError> {
    let amount = transfer.amount.units();
    match (transfer.order.is_some(), transfer.settled) {
        (false, _) => wallet.top_up(amount),
        (true, None) => wallet.hold(amount),
        (true, Some(true)) => wallet.hold(amount)?.post(amount),
        (true, Some(false)) => Ok(wallet),
    }
}

fn check_logs(db: Db<'_>, report: &mut Report) -> Result<(), StoreError> {
    let wrong = all(
        db,
        "households",
        "SELECT h.household FROM households h
         WHERE h.next_seq <> (SELECT count(*) FROM log_entries e WHERE e.household = h.household)
            OR h.head IS DISTINCT FROM (SELECT m.digest FROM log_entries e JOIN messages m ON m.id = e.message
                              WHERE e.household = h.household AND e.seq = h.next_seq - 1)",
        |cells| cells.id::<HouseholdId>(),
    );
    for household in report.sort(wrong)?.unwrap_or_default() {
        report.add("households", household, "head and number of entries are not those of its log");
    }
    Ok(())
}

struct Checked {
    row: OrderRow,
    hold: Option<TransferId>,
    watch_removed: bool,
}

fn read_orders(db: Db<'_>, report: &mut Report) -> Result<Vec<Checked>, StoreError> {
    let keys = all(
        db,
        "orders",
        "SELECT o.household, o.order_id, o.hold, w.removed FROM orders o LEFT JOIN watches w ON w.watch = o.watch
         ORDER BY o.no",
        |cells| Ok((cells.id::<HouseholdId>()?, cells.id::<OrderId>()?, cells.opt_id()?, cells.opt_int()? == Some(1))),
    );
    let mut orders = Vec::new();
    for (household, order, hold, watch_removed) in report.sort(keys)?.unwrap_or_default() {
        match report.sort(orders::order(db, household, order))? {
            Some(Some(row)) => orders.push(Checked { row, hold, watch_removed }),
            Some(None) => report.add("orders", order, "its bill, certificate, watch or message is not there"),
            None => {}
        }
    }
    Ok(orders)
}

fn check_orders(orders: &[Checked], transfers: &BTreeMap<TransferKey, Transfer>, report: &mut Report) {
    let mut used = BTreeSet::new();
    for Checked { row, hold, watch_removed } in orders {
        let transfer = hold.and_then(|hold| transfers.get(&(row.household, hold)));
        if let Some(hold) = hold {
            used.insert((row.household, *hold));
            let fits = transfer.is_some_and(|transfer| {
                transfer.order == Some(row.order)
                    && transfer.amount == row.total
                    && transfer.credit == Account::Merchant(row.merchant)
            });
            if !fits {
                report.add("orders", row.order, "its hold is not a transfer of its total to its merchant");
            }
        }
        let expected = match row.state {
            OrderState::Waiting { .. } => None,
            OrderState::Approved { .. } => Some(None),
            OrderState::Ended { outcome: OutcomeKind::Paid } => Some(Some(true)),
            OrderState::Ended { .. } => hold.map(|_| Some(false)),
        };
        if transfer.map(|transfer| transfer.settled) != expected {
            report.add("orders", row.order, format!("its state is {:?}, its money is not", row.state));
        }
        if *watch_removed && row.outcome.is_none() {
            report.add("orders", row.order, "it is open, but its watch was removed");
        }
    }
    for (key, transfer) in transfers {
        if transfer.order.is_some() && !used.contains(key) {
            report.add("transfers", key.1, "no order holds it");
        }
    }
}

fn check_bills(db: Db<'_>, orders: &[Checked], report: &mut Report) -> Result<(), StoreError> {
    let mut payers: BTreeMap<_, Vec<(HouseholdId, OrderId)>> = BTreeMap::new();
    for Checked { row, .. } in orders {
        if row.state == (OrderState::Ended { outcome: OutcomeKind::Paid }) {
            payers.entry(row.bill).or_default().push((row.household, row.order));
        }
    }
    let bills = all(db, "bills", "SELECT bill FROM bills ORDER BY no", |cells| cells.id());
    for id in report.sort(bills)?.unwrap_or_default() {
        let Some(Some(bill)) = report.sort(merchants::bill(db, id))? else { continue };
        let paid = payers.get(&id).map_or(&[][..], Vec::as_slice);
        let fits = match bill.state {
            BillState::Consumed(household, order) => paid == [(household, order)],
            BillState::Open | BillState::Cancelled => paid.is_empty(),
        };
        if !fits {
            report.add("bills", id, format!("it is {:?}, paid by {} orders", bill.state, paid.len()));
        }
    }
    Ok(())
}

fn check_events(db: Db<'_>, orders: &[Checked], report: &mut Report) -> Result<(), StoreError> {
    let wrong = all(
        db,
        "households",
        "SELECT h.household FROM households h
         LEFT JOIN (SELECT household, count(DISTINCT seq) AS numbers, count(*) AS events, max(seq) AS last
                    FROM events GROUP BY household) e ON e.household = h.household
         WHERE h.last_event <> coalesce(e.numbers, 0) OR h.last_event <> coalesce(e.events, 0)
            OR h.last_event <> coalesce(e.last, 0)",
        |cells| cells.id::<HouseholdId>(),
    );
    for household in report.sort(wrong)?.unwrap_or_default() {
        report.add("events", household, "they are not numbered from 1 to the last");
    }
    let told = all(
        db,
        "events",
        "SELECT household, order_id, audience = 'guardian', watch FROM events WHERE kind = 'outcome'",
        |cells| {
            let order = (cells.id::<HouseholdId>()?, cells.id::<OrderId>()?);
            Ok((order, cells.flag()?, cells.bytes()?))
        },
    );
    // Whether to the guardians, and else to which watch.
    type Told = Vec<(bool, Vec<u8>)>;
    let mut outcomes: BTreeMap<(HouseholdId, OrderId), Told> = BTreeMap::new();
    for (order, to_guardian, watch) in report.sort(told)?.unwrap_or_default() {
        outcomes.entry(order).or_default().push((to_guardian, watch));
    }
    for Checked { row, .. } in orders {
        let told = outcomes.remove(&(row.household, row.order)).unwrap_or_default();
        let expected = [(true, Vec::new()), (false, row.watch.as_bytes().to_vec())];
        let fits = match row.outcome {
            Some(_) => told.len() == 2 && expected.iter().all(|one| told.contains(one)),
            None => told.is_empty(),
        };
        if !fits {
            report.add("events", row.order, "an ended order has one outcome event to each side, an open one none");
        }
    }
    for (_, order) in outcomes.into_keys() {
        report.add("events", order, "the outcome of no order");
    }
    Ok(())
}
