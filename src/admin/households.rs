//! `nodpay admin household`, `pocket-money`, `top-up`, `refund`.

use clap::Subcommand;
use nodpay::parties::{Result, now};
use nodpay_core::{
    Amount, BillId, Currency, Every, HouseholdId, Minor, OrderState, ScheduleId, Text, Timestamp, TransferId,
};
use nodpay_service::admin;
use nodpay_store::{
    CloseOut, HouseholdRow, MAX_HOUSEHOLDS_PAGE, MAX_ORDERS_PAGE, NewSchedule, OrderRow, ScheduleRow, Store,
    StoreError, TopUp,
};

use super::rail::RailChoice;
use super::show::{Cell, Out, Record};

#[derive(Subcommand)]
pub(super) enum HouseholdCommand {
    /// All households, or those that asked to be erased: they wait for their close-out while there is money in their wallets.
    List {
        /// Only those to be erased.
        #[arg(long)]
        to_erase: bool,
    },
    /// One household.
    Show {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
    },
    /// A household's orders, newest first.
    Orders {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
    },
    /// Stop its payments: orders fail on arrival, at the decision and at the payment.
    Freeze {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
    },
    /// Let its payments go on.
    Unfreeze {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
    },
    /// What it pays with: show it, or set it for orders that come from now on.
    Rail {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
        #[command(subcommand)]
        rail: Option<RailChoice>,
    },
    /// Pay out what is left and close it for good. Refused while an order is open.
    CloseOut {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
        /// Names the close-out: given again, it is the same one.
        #[arg(long, allow_hyphen_values = true)]
        id: Option<TransferId>,
    },
}

pub(super) async fn household(store: &Store, out: Out, command: HouseholdCommand) -> Result<()> {
    match command {
        HouseholdCommand::List { to_erase } => {
            let (mut list, mut after) = (out.list(), None);
            loop {
                let page = store.households(after, MAX_HOUSEHOLDS_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.household);
                for row in page.iter().filter(|row| !to_erase || row.erase_from.is_some()) {
                    list.add(household_record(row)?);
                }
            }
            list.end();
        }
        HouseholdCommand::Show { household } => show(store, out, household).await?,
        HouseholdCommand::Orders { household } => {
            store.household(household).await?.ok_or(StoreError::HouseholdUnknown)?;
            let (mut list, mut before) = (out.list(), None);
            loop {
                let page = store.orders(household, before, MAX_ORDERS_PAGE).await?;
                let Some(last) = page.last() else { break };
                before = Some(last.order);
                page.iter().for_each(|row| list.add(order_record(row)));
            }
            list.end();
        }
        HouseholdCommand::Freeze { household } => {
            store.set_frozen(household, true, now()).await?;
            show(store, out, household).await?;
        }
        HouseholdCommand::Unfreeze { household } => {
            store.set_frozen(household, false, now()).await?;
            show(store, out, household).await?;
        }
        HouseholdCommand::Rail { household, rail } => super::rail::rail(store, out, household, rail).await?,
        HouseholdCommand::CloseOut { household, id } => {
            let transfer = id.map_or_else(admin::new_transfer, Ok)?;
            let paid = store.close_out(CloseOut { household, transfer }, now()).await?;
            out.show(&vec![
                ("household", Cell::text(household)),
                ("id", Cell::text(transfer)),
                ("paid_out", Cell::Money(paid)),
            ]);
        }
    }
    Ok(())
}

async fn show(store: &Store, out: Out, household: HouseholdId) -> Result<()> {
    let row = store.household(household).await?.ok_or(StoreError::HouseholdUnknown)?;
    out.show(&household_record(&row)?);
    Ok(())
}

/// Without the names of children and guardians: the operator needs none of them.
fn household_record(row: &HouseholdRow) -> Result<Record> {
    let money = |units| Cell::Money(Amount::new(units, row.currency));
    Ok(vec![
        ("household", Cell::text(row.household)),
        ("reference", Cell::text(nodpay_service::reference::of(row.household))),
        ("balance", money(row.wallet.available()?)),
        ("held", money(row.wallet.held())),
        ("wearers", Cell::Number(i64::try_from(row.wearers.len())?)),
        ("log_entries", Cell::Number(i64::try_from(row.next_seq)?)),
        ("frozen", Cell::Flag(row.frozen)),
        ("frozen_by_guardian", Cell::Flag(row.freeze.is_some())),
        ("closed", Cell::Flag(row.closed)),
        ("erase_from", row.erase_from.map_or(Cell::Nothing, Cell::Time)),
    ])
}

fn order_record(row: &OrderRow) -> Record {
    let state = match row.state {
        OrderState::Ended { outcome } => outcome.as_str(),
        OrderState::Waiting { .. } => "waiting",
        OrderState::Holding { .. } => "holding",
        OrderState::Approved { .. } => "approved",
        OrderState::Paying { .. } => "paying",
    };
    vec![
        ("order", Cell::text(row.order)),
        ("received", Cell::Time(row.received)),
        ("state", Cell::text(state)),
        ("reason", Cell::opt_text(row.outcome.as_ref().and_then(|ended| ended.reason).map(|reason| reason.as_str()))),
        ("total", Cell::Money(row.total)),
        ("refunded", Cell::Money(row.refunded)),
        ("merchant", Cell::text(row.merchant)),
        ("bill", Cell::text(row.bill)),
    ]
}

#[derive(clap::Args)]
pub(super) struct TopUpOptions {
    /// Its id, or the reference that a guardian wrote on a transfer (RF…, in quotes where it has spaces).
    #[arg(allow_hyphen_values = true)]
    household: String,
    /// In minor units: 5000 is ¥50.00.
    minor: i64,
    #[arg(long, default_value = "CNY")]
    currency: String,
    /// Names the top-up: given again, it is the same one.
    #[arg(long, allow_hyphen_values = true)]
    id: Option<TransferId>,
}

fn amount(minor: i64, currency: &str) -> Result<Amount> {
    Ok(Amount::new(Minor::new(minor)?, Currency::from_code(currency)?))
}

pub(super) async fn top_up(store: &Store, out: Out, options: TopUpOptions) -> Result<()> {
    let TopUpOptions { household, minor, currency, id } = options;
    let household = admin::household_named(store, &household).await?;
    let transfer = id.map_or_else(admin::new_transfer, Ok)?;
    let top_up = TopUp { household, transfer, amount: amount(minor, &currency)? };
    let balance = store.top_up(top_up, now()).await?;
    out.show(&vec![
        ("household", Cell::text(household)),
        ("id", Cell::text(transfer)),
        ("balance", Cell::Money(Amount::new(balance.wallet.available()?, balance.currency))),
    ]);
    Ok(())
}

#[derive(clap::Args)]
pub(super) struct RefundOptions {
    /// The paid bill (`admin household orders` and statements name it).
    #[arg(allow_hyphen_values = true)]
    bill: BillId,
    /// In minor units: 450 is ¥4.50.
    minor: i64,
    #[arg(long, default_value = "CNY")]
    currency: String,
    /// What the household reads.
    #[arg(long)]
    reason: Option<String>,
    /// Names the refund: given again, it is the same one.
    #[arg(long, allow_hyphen_values = true)]
    id: Option<TransferId>,
}

pub(super) async fn refund(store: &Store, out: Out, options: RefundOptions) -> Result<()> {
    let RefundOptions { bill, minor, currency, reason, id } = options;
    let refund = id.map_or_else(admin::new_transfer, Ok)?;
    let reason = reason.as_deref().map(Text::from_typed).transpose()?;
    let done = admin::refund(store, bill, (refund, amount(minor, &currency)?), reason, now()).await?;
    out.show(&vec![
        ("refund", Cell::text(done.refund)),
        ("bill", Cell::text(bill)),
        ("amount", Cell::Money(done.amount)),
        ("state", Cell::text(done.state.as_str())),
        ("at", Cell::Time(done.at)),
    ]);
    Ok(())
}

#[derive(Subcommand)]
pub(super) enum PocketMoneyCommand {
    /// Top a household up again and again, by itself.
    Add {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
        /// In minor units: 2000 is ¥20.00.
        minor: i64,
        #[arg(long, default_value = "CNY")]
        currency: String,
        /// `day`, `week` or `month`.
        #[arg(long)]
        every: String,
        /// When first, like 2026-12-01T08:00:00Z; now where it is left out. Days and months are counted in UTC.
        #[arg(long)]
        first: Option<jiff::Timestamp>,
        /// Names the pocket money: given again with the same `--first`, it is the same one.
        #[arg(long, allow_hyphen_values = true, requires = "first")]
        id: Option<ScheduleId>,
    },
    /// A household's pocket money, ended ones too.
    List {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
    },
    /// No more of it.
    End {
        #[arg(allow_hyphen_values = true)]
        household: HouseholdId,
        #[arg(allow_hyphen_values = true)]
        schedule: ScheduleId,
    },
}

pub(super) async fn pocket_money(store: &Store, out: Out, command: PocketMoneyCommand) -> Result<()> {
    match command {
        PocketMoneyCommand::Add { household, minor, currency, every, first, id } => {
            let every = Every::from_text(&every).ok_or("pocket money comes every day, week or month")?;
            let first = first.map_or_else(now, |first| Timestamp::from_unix_ms(first.as_millisecond()));
            let schedule = id.map_or_else(admin::new_schedule, Ok)?;
            let amount = amount(minor, &currency)?;
            let row = store.add_schedule(NewSchedule { household, schedule, amount, every, first }).await?;
            out.show(&schedule_record(&row));
        }
        PocketMoneyCommand::List { household } => {
            let mut list = out.list();
            store.schedules(household).await?.iter().for_each(|row| list.add(schedule_record(row)));
            list.end();
        }
        PocketMoneyCommand::End { household, schedule } => {
            out.show(&schedule_record(&store.end_schedule(household, schedule, now()).await?));
        }
    }
    Ok(())
}

fn schedule_record(row: &ScheduleRow) -> Record {
    vec![
        ("schedule", Cell::text(row.schedule)),
        ("amount", Cell::Money(row.amount)),
        ("every", Cell::text(row.every.as_str())),
        ("first", Cell::Time(row.first)),
        ("dues", Cell::Number(row.dues.into())),
        ("next", row.next_due.map_or(Cell::Nothing, Cell::Time)),
    ]
}
