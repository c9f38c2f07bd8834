//! Proof of the invariants over a whole database: every row read back as a value, every number folded again. Goes household by
//! household, bill by bill and merchant by merchant, over one consistent view: beside a running service, and without holding
//! more than one household's transfers at a time.

use std::collections::BTreeMap;

use nodpay_core::{
    Amount, Day, HouseholdId, LedgerError, MandateId, MerchantId, Minor, OrderId, OrderState, OutcomeKind, Period,
    RailKind, TransferId, Wallet, WatchId, fee_left,
};

use crate::check_rails::{Steps, check_card_top_ups, check_disputes};
use crate::check_references::check_references;
use crate::db::{Cells, Db, all, many, one, params};
use crate::households::{self, Books};
use crate::ledger::{Account, follower_id, return_id};
use crate::{
    BillState, Finding, MAX_CLOSINGS_PAGE, MAX_HOUSEHOLDS_PAGE, MAX_MERCHANTS_PAGE, MAX_PAYOUTS_PAGE, MerchantRow,
    OrderRow, PayoutRow, PayoutState, StoreError, mandates, merchant_books, merchants, orders, payouts,
};

/// Findings one check gives at most.
const MAX_FINDINGS: usize = 1_000;
/// Orders and bills that are looked through at once.
const PAGE: u32 = 200;

pub(crate) fn check(db: Db<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut report = Report { findings: Vec::new() };
    check_file(db, &mut report)?;
    check_references(db, &mut report)?;
    let mut sums = Sums::default();
    let mut after = None;
    loop {
        let page = households::ids_ever(db, after, MAX_HOUSEHOLDS_PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for household in page {
            check_household(db, household, &mut sums, &mut report)?;
        }
    }
    check_bills(db, &mut report)?;
    let mut after = None;
    loop {
        let page = report.sort(merchants::list(db, after, MAX_MERCHANTS_PAGE))?.unwrap_or_default();
        let Some(last) = page.last() else { break };
        after = Some(last.merchant);
        for merchant in page {
            check_merchant(db, &merchant, &mut sums, &mut report)?;
        }
    }
    for (currency, sum) in sums.all {
        if sum != 0 {
            report.add("transfers", currency, format!("credits are {sum} more than debits over all accounts"));
        }
    }
    Ok(report.findings)
}

pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(&mut self, table: &'static str, row: impl std::fmt::Display, what: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { table, row: row.to_string(), what: what.into() });
        }
    }

    /// An incident is what a check looks for; anything else stops it.
    pub(crate) fn sort<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
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

/// What all accounts come to. Wallets and merchants count by what their rows and closings say, everything else by its
/// transfers: so the sum is zero only where both are right.
#[derive(Default)]
struct Sums {
    /// By currency.
    all: BTreeMap<&'static str, i128>,
    /// Merchants, by their transfers.
    merchants: BTreeMap<MerchantId, i128>,
}

impl Sums {
    fn add(&mut self, account: Account, amount: Amount, sign: i128) {
        let change = sign * i128::from(amount.minor());
        match account {
            Account::Wallet(_) => {}
            Account::Merchant(merchant) => *self.merchants.entry(merchant).or_insert(0) += change,
            Account::Outside
            | Account::Fees
            | Account::Suspense
            | Account::Rail(_)
            | Account::Bank(_)
            | Account::TakenBack => {
                *self.all.entry(amount.currency().code()).or_insert(0) += change;
            }
        }
    }

    fn count(&mut self, debit: Account, credit: Account, amount: Amount) {
        self.add(debit, amount, -1);
        self.add(credit, amount, 1);
    }

    fn stored(&mut self, amount: Amount) {
        *self.all.entry(amount.currency().code()).or_insert(0) += i128::from(amount.minor());
    }
}

fn check_file(db: Db<'_>, report: &mut Report) -> Result<(), StoreError> {
    // PostgreSQL looks after its own files.
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

// Households

pub(crate) struct Transfer {
    pub(crate) kind: Kind,
    pub(crate) amount: Amount,
    pub(crate) order: Option<OrderId>,
    /// What was posted of a pending one; `Some(None)` for voided.
    settled: Option<Option<Minor>>,
}

/// What a transfer is, by its accounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    TopUp,
    /// From a card.
    CardTopUp,
    /// Of this payment, to the wallet.
    Refund(TransferId),
    /// Of this payment, by the rail that made it.
    RefundOutside(TransferId),
    /// Taken back of a payment by the card's bank.
    TakenBack,
    /// Given again, of what was taken back.
    GivenAgain,
    Payment(MerchantId),
    /// A payment that another rail than the wallet makes.
    Outside(RailKind),
    /// Into suspense, and out of it again.
    Suspense,
    Fee(TransferId),
    /// Of this refund.
    FeeBack(TransferId),
    CloseOut,
}

pub(crate) type Transfers = BTreeMap<TransferId, Transfer>;

fn check_household(db: Db<'_>, household: HouseholdId, sums: &mut Sums, report: &mut Report) -> Result<(), StoreError> {
    let Some(Some(books)) = report.sort(Books::find_ever(db, household))? else { return Ok(()) };
    sums.stored(Amount::new(books.wallet.posted(), books.currency));
    let transfers = read_transfers(db, &books, sums, report)?;
    check_wallet(&books, &transfers, report);
    let backs = check_refunds(db, household, &transfers, report)?;
    match books.erased {
        None => {
            check_log(db, household, report)?;
            check_mandates(db, household, report)?;
        }
        Some(_) => check_erased(db, household, report)?,
    }
    check_disputes(db, household, &transfers, report)?;
    check_card_top_ups(db, household, &transfers, report)?;
    check_orders(db, &books, (&transfers, &backs), report)
}

/// Of an erased household only the books are left.
fn check_erased(db: Db<'_>, household: HouseholdId, report: &mut Report) -> Result<(), StoreError> {
    let left = one(
        db,
        "households",
        household,
        "SELECT 1 FROM guardians WHERE household = ?1
         UNION ALL SELECT 1 FROM log_entries WHERE household = ?1
         UNION ALL SELECT 1 FROM events WHERE household = ?1
         UNION ALL SELECT 1 FROM sessions WHERE household = ?1
         UNION ALL SELECT 1 FROM wearers WHERE household = ?1 AND name <> ''
         UNION ALL SELECT 1 FROM orders o JOIN messages m ON m.id = o.message
             WHERE o.household = ?1 AND o.no > 0 AND m.wire <> '' LIMIT 1",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    if left.is_some() {
        report.add("households", household, "it was erased, but more than its books is left");
    }
    Ok(())
}

fn read_transfers(db: Db<'_>, books: &Books, sums: &mut Sums, report: &mut Report) -> Result<Transfers, StoreError> {
    let household = books.household;
    let rows = many(
        db,
        "transfers",
        household,
        "SELECT t.transfer, t.debit, t.credit, t.amount, t.currency, t.of_transfer, o.order_id, s.result, s.amount,
                s.credit, t.kind
         FROM transfers t LEFT JOIN orders o ON o.no = t.order_no
         LEFT JOIN settlements s ON s.household = t.household AND s.transfer = t.transfer
         WHERE t.household = ?1 ORDER BY t.transfer",
        params![household.as_bytes()],
        |cells| {
            let (transfer, debit, credit, amount) = (cells.id()?, cells.account()?, cells.account()?, cells.amount()?);
            let (of, order, settled) = (cells.opt_id()?, cells.opt_id()?, settlement(cells)?);
            let pending = cells.string()? == "pending";
            Ok((transfer, (debit, credit, amount), (of, order, settled, pending)))
        },
    );
    let mut transfers = Transfers::new();
    for (id, (debit, credit, amount), (of, order, settled, pending)) in report.sort(rows)?.unwrap_or_default() {
        let wallet = Account::Wallet(household);
        let kind = match (debit, credit, of, pending) {
            (Account::Outside, credit, None, false) if credit == wallet => Kind::TopUp,
            (Account::Rail(1), credit, None, false) if credit == wallet => Kind::CardTopUp,
            (debit, Account::Outside, None, false) if debit == wallet && books.close_out == Some(id) => Kind::CloseOut,
            (debit, Account::Merchant(merchant), None, true) if debit == wallet => Kind::Payment(merchant),
            (Account::Rail(1), Account::Merchant(_), None, true) => Kind::Outside(RailKind::Stripe),
            (Account::Rail(2), Account::Outside, None, true) => Kind::Outside(RailKind::Bank),
            (Account::Rail(_), Account::Suspense, Some(_), false)
            | (Account::Suspense, Account::Rail(_), Some(_), false) => Kind::Suspense,
            (Account::Merchant(_), credit, Some(of), false) if credit == wallet => Kind::Refund(of),
            (Account::Merchant(_), Account::Rail(1), Some(of), false) => Kind::RefundOutside(of),
            (Account::Merchant(_), Account::TakenBack, Some(_), false) => Kind::TakenBack,
            (Account::TakenBack, Account::Merchant(_), Some(of), false) if id == follower_id(of) => Kind::GivenAgain,
            (Account::Merchant(_), Account::Fees, Some(of), false) if id == follower_id(of) => Kind::Fee(of),
            (Account::Fees, Account::Merchant(_), Some(of), false) if id == follower_id(of) => Kind::FeeBack(of),
            _ => {
                report.add("transfers", id, "its accounts are those of no movement of a household");
                continue;
            }
        };
        if amount.currency() != books.currency {
            report.add("transfers", id, "it is in another currency than its household's");
        }
        let settled = match (pending, settled) {
            (false, Some(_)) => {
                report.add("settlements", id, "settles a transfer that was never pending");
                None
            }
            (true, Some(Some((posted, to)))) => {
                if to != credit || posted > amount.units() {
                    report.add("settlements", id, "it posts more than was held, or to another account");
                }
                sums.count(debit, to, Amount::new(posted, amount.currency()));
                Some(Some(posted))
            }
            (true, Some(None)) => Some(None),
            (true, None) => None,
            (false, None) => {
                sums.count(debit, credit, amount);
                None
            }
        };
        transfers.insert(id, Transfer { kind, amount, order, settled });
    }
    Ok(transfers)
}

/// Three columns: result, amount, credit. What was posted and where to; `Some(None)` for voided.
fn settlement(cells: &Cells<'_>) -> Result<Option<Option<(Minor, Account)>>, StoreError> {
    let (result, amount, credit) = (cells.opt_string()?, cells.opt_minor()?, cells.opt_account()?);
    match (result.as_deref(), amount, credit) {
        (None, None, None) => Ok(None),
        (Some("void"), None, None) => Ok(Some(None)),
        (Some("post"), Some(amount), Some(credit)) => Ok(Some(Some((amount, credit)))),
        _ => Err(cells.wrong("its settlement is half one")),
    }
}

/// A wallet is the fold of its transfers.
fn check_wallet(books: &Books, transfers: &Transfers, report: &mut Report) {
    let mut moves: Vec<&Transfer> = transfers.values().collect();
    // Money in before money out: the order in time is not needed for the sum.
    moves.sort_by_key(|transfer| transfer.kind);
    let fold = moves.iter().try_fold(Wallet::EMPTY, |wallet, transfer| fold_one(wallet, transfer));
    match fold {
        Ok(wallet) if wallet == books.wallet => {}
        Ok(wallet) => report.add(
            "households",
            books.household,
            format!("its wallet is {:?}, its transfers come to {wallet:?}", books.wallet),
        ),
        Err(error) => report.add("households", books.household, format!("its transfers do not fold: {error}")),
    }
    if books.close_out.is_some() && books.wallet != Wallet::EMPTY {
        report.add("households", books.household, "it is closed, but its wallet is not empty");
    }
}

fn fold_one(wallet: Wallet, transfer: &Transfer) -> Result<Wallet, LedgerError> {
    let amount = transfer.amount.units();
    match (transfer.kind, transfer.settled) {
        (Kind::TopUp | Kind::CardTopUp | Kind::Refund(_), _) => wallet.top_up(amount),
        (Kind::Payment(_), None) => wallet.hold(amount),
        (Kind::Payment(_), Some(Some(posted))) => wallet.hold(amount)?.post(amount, posted),
        (Kind::Payment(_), Some(None))
        | (
            Kind::Outside(_)
            | Kind::RefundOutside(_)
            | Kind::TakenBack
            | Kind::GivenAgain
            | Kind::Suspense
            | Kind::Fee(_)
            | Kind::FeeBack(_),
            _,
        ) => Ok(wallet),
        (Kind::CloseOut, _) => wallet.pay_out(amount),
    }
}

/// What went back of a payment, and of its fee.
#[derive(Clone, Copy, Default)]
struct Back {
    refunded: i64,
    fee: i64,
}

type Backs = BTreeMap<TransferId, Back>;

/// No more went back than was paid, and of the fee what belongs to it. By payment.
fn check_refunds(
    db: Db<'_>,
    household: HouseholdId,
    transfers: &Transfers,
    report: &mut Report,
) -> Result<Backs, StoreError> {
    let mut backs = Backs::new();
    let mut refunds = 0_i64;
    for (id, transfer) in transfers {
        let (Kind::Refund(payment) | Kind::RefundOutside(payment)) = transfer.kind else { continue };
        refunds += 1;
        let back = backs.entry(payment).or_default();
        back.refunded = back.refunded.saturating_add(transfer.amount.minor());
        if let Some(fee) = transfers.get(&follower_id(*id)) {
            back.fee = back.fee.saturating_add(fee.amount.minor());
        }
        if transfers.get(&payment).is_none_or(|paid| paid.order != transfer.order) {
            report.add("transfers", id, "it is the refund of no payment");
        }
    }
    let said = one(
        db,
        "refunds",
        household,
        "SELECT count(*) FROM refunds r WHERE r.household = ?1 AND NOT EXISTS
             (SELECT 1 FROM rail_steps s WHERE s.household = r.household AND s.order_id = r.order_id
                 AND s.transfer = r.refund AND s.step = 'refund' AND s.state <> 'done')",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    if said != Some(refunds) {
        report.add("refunds", household, "they are not those of its transfers");
    }
    for (payment, back) in &backs {
        let paid = transfers.get(payment).and_then(|paid| paid.settled.flatten()).unwrap_or(Minor::ZERO);
        if back.refunded > paid.get() {
            report.add("transfers", payment, format!("{} went back of it, more than was paid", back.refunded));
            continue;
        }
        let fee = transfers.get(&follower_id(*payment)).map_or(Minor::ZERO, |fee| fee.amount.units());
        let left = Minor::new(back.refunded).and_then(|refunded| fee_left(fee, paid, refunded));
        if left.map(Minor::get) != Ok(fee.get() - back.fee) {
            report.add("transfers", payment, "its fee is not the one on what stayed paid");
        }
    }
    Ok(backs)
}

fn check_log(db: Db<'_>, household: HouseholdId, report: &mut Report) -> Result<(), StoreError> {
    let wrong = one(
        db,
        "households",
        household,
        "SELECT 1 FROM households h
         WHERE h.household = ?1
           AND (h.next_seq <> (SELECT count(*) FROM log_entries e WHERE e.household = h.household)
            OR h.head IS DISTINCT FROM (SELECT m.digest FROM log_entries e JOIN messages m ON m.id = e.message
                                        WHERE e.household = h.household AND e.seq = h.next_seq - 1))",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    if wrong.is_some() {
        report.add("households", household, "head and number of entries are not those of its log");
    }
    Ok(())
}

/// Each is what an entry of the log made. Whether the entry says the same is for whoever can read it.
fn check_mandates(db: Db<'_>, household: HouseholdId, report: &mut Report) -> Result<(), StoreError> {
    report.sort(mandates::of_household(db, household))?;
    let strange = many(
        db,
        "mandates",
        household,
        "SELECT r.mandate FROM mandates r WHERE r.household = ?1 AND NOT EXISTS
             (SELECT 1 FROM log_entries e WHERE e.household = r.household AND e.seq = r.seq AND e.message = r.entry)",
        params![household.as_bytes()],
        |cells| cells.id::<MandateId>(),
    )?;
    for mandate in strange {
        report.add("mandates", mandate, "the entry that it names is not that of its number in the log");
    }
    Ok(())
}

// Orders

/// Whether to the guardians, and else to which watch.
type Told = BTreeMap<OrderId, Vec<(bool, Vec<u8>)>>;

fn check_orders(
    db: Db<'_>,
    books: &Books,
    (transfers, backs): (&Transfers, &Backs),
    report: &mut Report,
) -> Result<(), StoreError> {
    let household = books.household;
    let mut told = outcome_events(db, household, report)?;
    let mut steps = Steps::read(db, household, report)?;
    let mut held = 0;
    let mut sums: BTreeMap<(Option<WatchId>, Period), i64> = BTreeMap::new();
    let mut after = i64::MIN;
    loop {
        let page = many(
            db,
            "orders",
            household,
            "SELECT o.no, o.order_id, o.hold, w.removed, p.due FROM orders o LEFT JOIN watches w ON w.watch = o.watch
             LEFT JOIN open_orders p ON p.watch = o.watch AND p.order_no = o.no
             WHERE o.household = ?1 AND o.no > 0 AND o.no > ?2 ORDER BY o.no LIMIT ?3",
            params![household.as_bytes(), after, PAGE],
            |cells| {
                let (no, order, hold, removed) = (cells.int()?, cells.id()?, cells.opt_id()?, cells.opt_int()?);
                Ok((no, order, hold, removed == Some(1), cells.opt_int()?.is_some()))
            },
        );
        let page = report.sort(page)?.unwrap_or_default();
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        for (_, order, hold, watch_removed, is_open) in page {
            held += usize::from(hold.is_some());
            let told = told.remove(&order).unwrap_or_default();
            match report.sort(orders::order(db, household, order))? {
                Some(Some(row)) => {
                    if is_open != row.state.deadline().is_some() {
                        report.add("open_orders", order, format!("an order that is {:?}", row.state));
                    }
                    if hold.is_some_and(|hold| transfers.get(&hold).is_some_and(|held| held.settled != Some(None))) {
                        let judged = row.judged.iter();
                        let of_watch =
                            judged.clone().flat_map(|judged| &judged.counts).map(|period| (Some(row.watch), *period));
                        let of_house = judged.flat_map(|judged| &judged.house).map(|period| (None, *period));
                        for sum in of_watch.chain(of_house) {
                            *sums.entry(sum).or_insert(0) += row.total.minor();
                        }
                    }
                    check_order(&row, (hold, watch_removed), (transfers, backs), report);
                    if books.erased.is_none() {
                        check_said(&row, hold, &told, report);
                    }
                    steps.check_order(&row, hold, transfers, report);
                }
                Some(None) => report.add("orders", order, "its bill, certificate, watch or message is not there"),
                None => steps.skip(order),
            }
        }
    }
    for order in told.into_keys() {
        report.add("events", order, "the outcome of no order");
    }
    steps.end(report);
    let named = |watch: Option<WatchId>| watch.map_or_else(|| household.to_string(), |watch| watch.to_string());
    for (watch, period, spent) in report.sort(mandates::all_sums(db, household))?.unwrap_or_default() {
        let paid = sums.remove(&(watch, period)).unwrap_or(0);
        if paid != spent.get() {
            let (every, first) = (period.every.as_str(), period.first);
            report.add(
                "mandate_sums",
                named(watch),
                format!("its {every} of {first} is {}, its payments are {paid}", spent.get()),
            );
        }
    }
    for (watch, period) in sums.into_keys() {
        report.add(
            "mandate_sums",
            named(watch),
            format!("its {} of {} is not there", period.every.as_str(), period.first),
        );
    }
    if held
        != transfers.values().filter(|transfer| matches!(transfer.kind, Kind::Payment(_) | Kind::Outside(_))).count()
    {
        report.add("transfers", household, "its orders hold another number of transfers than it has");
    }
    Ok(())
}

fn outcome_events(db: Db<'_>, household: HouseholdId, report: &mut Report) -> Result<Told, StoreError> {
    let wrong = one(
        db,
        "households",
        household,
        "SELECT 1 FROM households h
         LEFT JOIN (SELECT count(DISTINCT seq) AS numbers, count(*) AS events, max(seq) AS last
                    FROM events WHERE household = ?1) e ON 1 = 1
         WHERE h.household = ?1
           AND (h.last_event <> e.numbers OR h.last_event <> e.events OR h.last_event <> coalesce(e.last, 0))",
        params![household.as_bytes()],
        |cells| cells.int(),
    )?;
    if wrong.is_some() {
        report.add("events", household, "they are not numbered from 1 to the last");
    }
    let rows = many(
        db,
        "events",
        household,
        "SELECT order_id, audience, watch FROM events WHERE household = ?1 AND kind = 'outcome'",
        params![household.as_bytes()],
        |cells| Ok((cells.id()?, cells.string()? == "guardian", cells.bytes()?)),
    );
    let mut told = Told::new();
    for (order, to_guardian, watch) in report.sort(rows)?.unwrap_or_default() {
        told.entry(order).or_default().push((to_guardian, watch));
    }
    Ok(told)
}

/// Its money is as its state says, no hold outlives its end.
fn check_order(
    row: &OrderRow,
    (hold, watch_removed): (Option<TransferId>, bool),
    (transfers, backs): (&Transfers, &Backs),
    report: &mut Report,
) {
    let transfer = hold.and_then(|hold| transfers.get(&hold));
    if hold.is_some() {
        let fits = transfer.is_some_and(|transfer| {
            transfer.order == Some(row.order)
                && transfer.amount == row.total
                && transfer.kind
                    == match row.rail {
                        RailKind::Wallet => Kind::Payment(row.merchant),
                        outside @ (RailKind::Stripe | RailKind::Bank) => Kind::Outside(outside),
                    }
        });
        if !fits {
            report.add("orders", row.order, "its hold is not a transfer of its total to its merchant");
        }
    }
    let settled = transfer.map(|transfer| transfer.settled.map(|posted| posted.is_some()));
    let expected = match row.state {
        OrderState::Waiting { .. } => None,
        OrderState::Holding { .. } | OrderState::Approved { .. } | OrderState::Paying { .. } => Some(None),
        OrderState::Ended { outcome: OutcomeKind::Paid } => Some(Some(true)),
        OrderState::Ended { .. } => hold.map(|_| Some(false)),
    };
    if settled != expected {
        report.add("orders", row.order, format!("its state is {:?}, its money is not", row.state));
    }
    let back = hold.and_then(|hold| backs.get(&hold)).map_or(0, |back| back.refunded);
    if back != row.refunded.minor() {
        report.add("orders", row.order, "what it says was refunded is not the sum of its refunds");
    }
    if watch_removed && row.state.deadline().is_some() {
        report.add("orders", row.order, "it is open, but its watch was removed");
    }
}

/// Its hold is what was decided; one outcome, told to both sides.
fn check_said(row: &OrderRow, hold: Option<TransferId>, told: &[(bool, Vec<u8>)], report: &mut Report) {
    if hold.is_some() && hold != row.hold_id() {
        report.add("orders", row.order, "its hold is not its decision's or its mandate's");
    }
    let both = [(true, Vec::new()), (false, row.watch.as_bytes().to_vec())];
    let fits = match row.outcome {
        Some(_) => told.len() == 2 && both.iter().all(|one| told.contains(one)),
        None => told.is_empty(),
    };
    if !fits {
        report.add("events", row.order, "an ended order has one outcome event to each side, an open one none");
    }
}

// Bills and merchants

fn check_bills(db: Db<'_>, report: &mut Report) -> Result<(), StoreError> {
    let mut after = i64::MIN;
    loop {
        let sql = "SELECT no, bill FROM bills WHERE no > ?1 ORDER BY no LIMIT ?2";
        let page = many(db, "bills", "(all)", sql, params![after, PAGE], |cells| Ok((cells.int()?, cells.id()?)));
        let page = report.sort(page)?.unwrap_or_default();
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        for (no, id) in page {
            let Some(Some(bill)) = report.sort(merchants::bill(db, id))? else { continue };
            let paid = many(
                db,
                "orders",
                id,
                "SELECT household, order_id FROM orders WHERE bill_no = ?1 AND (outcome_kind = 'paid' OR state = 'paying')",
                params![no],
                |cells| Ok((cells.id()?, cells.id()?)),
            )?;
            let fits = match bill.state {
                BillState::Consumed(household, order) => paid == [(household, order)],
                BillState::Open | BillState::Cancelled => paid.is_empty(),
            };
            if !fits {
                report.add("bills", id, format!("it is {:?}, paid by {} orders", bill.state, paid.len()));
            }
        }
    }
}

/// Closings are the sums of their days, the balance is the fold of everything, each payout left once.
fn check_merchant(db: Db<'_>, row: &MerchantRow, sums: &mut Sums, report: &mut Report) -> Result<(), StoreError> {
    let merchant = row.merchant;
    check_payouts(db, row, sums, report)?;
    let mut balance = Ok(Minor::ZERO);
    let mut after: Option<Day> = None;
    loop {
        let page = report.sort(merchant_books::closings(db, merchant, after, MAX_CLOSINGS_PAGE))?.unwrap_or_default();
        let Some(last) = page.last() else { break };
        after = Some(last.day);
        for closing in page {
            balance = balance.and_then(|balance| balance.plus(closing.totals.net()?));
            if closing.currency != row.currency
                || balance != Ok(closing.balance)
                || report.sort(merchant_books::day_totals(db, merchant, closing.day))? != Some(closing.totals)
            {
                report.add("closings", format!("{merchant} {}", closing.day), "it is not the sum of its day");
            }
        }
    }
    let Some(balance) = report.sort(merchant_books::balance(db, merchant))? else { return Ok(()) };
    sums.stored(balance);
    if i128::from(balance.minor()) != sums.merchants.remove(&merchant).unwrap_or(0) {
        report.add("merchants", merchant, format!("its balance is {balance}, its transfers come to something else"));
    }
    Ok(())
}

fn check_payouts(db: Db<'_>, row: &MerchantRow, sums: &mut Sums, report: &mut Report) -> Result<(), StoreError> {
    let merchant = row.merchant;
    let moved = many(
        db,
        "merchant_transfers",
        merchant,
        "SELECT transfer, debit, credit, amount, currency, of_transfer FROM merchant_transfers WHERE merchant = ?1",
        params![merchant.as_bytes()],
        |cells| {
            let transfer: TransferId = cells.id()?;
            Ok((transfer, (cells.account()?, cells.account()?, cells.amount()?, cells.opt_id::<TransferId>()?)))
        },
    );
    let mut moved: BTreeMap<_, _> = report.sort(moved)?.unwrap_or_default().into_iter().collect();
    for (debit, credit, amount, _) in moved.values() {
        sums.count(*debit, *credit, *amount);
    }
    let mut before = None;
    loop {
        let page = report.sort(payouts::list(db, merchant, before, MAX_PAYOUTS_PAGE))?.unwrap_or_default();
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        for payout in page {
            let PayoutRow { payout, amount, state, .. } = payout;
            let (own, bank) = (Account::Merchant(merchant), Account::Bank(merchant));
            let first = moved.remove(&payout);
            let (end, back) = (moved.remove(&follower_id(payout)), moved.remove(&return_id(payout)));
            let from = |debit, credit| Some((debit, credit, amount, Some(payout)));
            let done = from(bank, Account::Outside);
            let fits = match state {
                PayoutState::Asked | PayoutState::Sending | PayoutState::Sent => (end, back) == (None, None),
                PayoutState::Done => (end, back) == (done, None),
                // Before it was done, or after.
                PayoutState::Returned => {
                    (end, back) == (from(bank, own), None) || (end, back) == (done, from(Account::Outside, own))
                }
            };
            if first != Some((own, bank, amount, None)) || !fits {
                report.add("payouts", payout, format!("it is {}, its money is not", state.as_str()));
            }
        }
    }
    for transfer in moved.into_keys() {
        report.add("merchant_transfers", transfer, "it is of no payout");
    }
    Ok(())
}
