//! What rails outside were asked for and what they answered, against what became of the orders, and disputes against the books.
//! A part of [`crate::check`].

use std::collections::BTreeMap;

use nodpay_core::{Amount, HouseholdId, Minor, OrderId, OrderState, OutcomeKind, RailKind, RailStep, TransferId};

use crate::check::{Kind, Report, Transfers};
use crate::db::{Db, many, params};
use crate::ledger::follower_id;
use crate::{CardTopUpState, DisputeState, OrderRow, StoreError, topups};

/// A step as its row says.
#[derive(Clone, Debug)]
struct Step {
    step: RailStep,
    rail: RailKind,
    transfer: TransferId,
    amount: Amount,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The rail is asked until it answers.
    Open,
    Done,
    Declined,
    /// Nobody wants it any more.
    Dropped,
}

/// Steps of a household by order, each taken out when its order is looked at.
pub(crate) struct Steps(BTreeMap<OrderId, Vec<Step>>);

impl Steps {
    pub(crate) fn read(db: Db<'_>, household: HouseholdId, report: &mut Report) -> Result<Self, StoreError> {
        let rows = many(
            db,
            "rail_steps",
            household,
            "SELECT order_id, step, rail, transfer, amount, currency, state, next_at FROM rail_steps WHERE household = ?1",
            params![household.as_bytes()],
            |cells| {
                let (order, step, rail): (OrderId, _, _) = (cells.id()?, cells.string()?, cells.string()?);
                let step = RailStep::from_text(&step).ok_or_else(|| cells.wrong(format!("step {step}")))?;
                let rail = RailKind::from_text(&rail).ok_or_else(|| cells.wrong(format!("rail {rail}")))?;
                let (transfer, amount, state) = (cells.id()?, cells.amount()?, cells.string()?);
                let state = match (state.as_str(), cells.opt_time()?) {
                    ("asked" | "unknown" | "pending" | "action", Some(_)) => State::Open,
                    ("done", None) => State::Done,
                    ("declined", None) => State::Declined,
                    ("dropped", None) => State::Dropped,
                    (other, _) => return Err(cells.wrong(format!("it is {other}, but its next time says otherwise"))),
                };
                Ok((order, Step { step, rail, transfer, amount, state }))
            },
        );
        let mut steps = BTreeMap::new();
        for (order, step) in report.sort(rows)?.unwrap_or_default() {
            steps.entry(order).or_insert_with(Vec::new).push(step);
        }
        Ok(Self(steps))
    }

    /// The order's steps are those that its state needs, and its refunds those that the books have.
    pub(crate) fn check_order(
        &mut self,
        row: &OrderRow,
        hold: Option<TransferId>,
        transfers: &Transfers,
        report: &mut Report,
    ) {
        let steps = self.0.remove(&row.order).unwrap_or_default();
        let mut say = |what: &str| report.add("rail_steps", row.order, what);
        if row.rail == RailKind::Wallet {
            if !steps.is_empty() {
                say("a rail outside is asked for an order that the wallet pays");
            }
            return;
        }
        for step in &steps {
            let own = step.step == RailStep::Refund || (Some(step.transfer) == hold && step.amount == row.total);
            if step.rail != row.rail || !row.rail.can(step.step) || !own {
                say("a rail is asked for another transfer or amount than the order's, or another rail is");
            }
        }
        let of = |kind: RailStep| steps.iter().find(|step| step.step == kind).map(|step| step.state);
        let (held, posted, voided) = (of(RailStep::Hold), of(RailStep::Post), of(RailStep::Void));
        for what in contradictions(row, hold.is_some(), (held, posted, voided)) {
            say(what);
        }
        let refunds: Vec<&Step> = steps.iter().filter(|step| step.step == RailStep::Refund).collect();
        if !refunds.is_empty() && row.state != (OrderState::Ended { outcome: OutcomeKind::Paid }) {
            say("a rail is asked to give back what was not paid");
        }
        let done = refunds.iter().filter(|step| step.state == State::Done).map(|step| step.amount.units());
        if done.clone().try_fold(Minor::ZERO, Minor::plus) != Ok(row.refunded.units()) {
            say("what its rail gave back is not what the order says was refunded");
        }
        for refund in refunds {
            let booked = transfers.get(&refund.transfer).map(|booked| (booked.kind, booked.amount));
            let expected = (refund.state == State::Done).then_some(hold.map(Kind::RefundOutside)).flatten();
            if booked != expected.map(|kind| (kind, refund.amount)) {
                say("a refund is in the books exactly when its rail has done it");
            }
        }
    }

    /// The order cannot be read, which is a finding of its own.
    pub(crate) fn skip(&mut self, order: OrderId) {
        self.0.remove(&order);
    }

    /// What is left is of no order.
    pub(crate) fn end(self, report: &mut Report) {
        for order in self.0.into_keys() {
            report.add("rail_steps", order, "a rail is asked for an order that is not there");
        }
    }
}

/// What hold, post and void of an order on a rail outside say against its state.
fn contradictions(
    row: &OrderRow,
    has_hold: bool,
    (held, posted, voided): (Option<State>, Option<State>, Option<State>),
) -> Vec<&'static str> {
    use State::{Declined, Done, Open};
    let holds = row.rail.can(RailStep::Hold);
    let done = |step: Option<State>| !holds || step == Some(Done);
    let rules: &[(bool, &'static str)] = match row.state {
        OrderState::Waiting { .. } => {
            &[(held.or(posted).or(voided).is_none(), "a rail is asked for an order that nobody has approved")]
        }
        OrderState::Holding { .. } => &[
            (held == Some(Open), "the order waits for its hold, but no rail is asked for it"),
            (posted.is_none(), "a rail is asked to pay an order that is not held yet"),
            (voided.is_none(), "a rail is asked to let go of an order that waits for its hold"),
        ],
        OrderState::Approved { .. } => &[
            (done(held), "the order is approved, but its rail has not held the money"),
            (posted.is_none(), "a rail is asked to pay an order that its watch has not paid"),
            (voided.is_none(), "a rail is asked to let go of an order that may still be paid"),
        ],
        OrderState::Paying { .. } => &[
            (done(held), "the order is being paid, but its rail has not held the money"),
            (posted == Some(Open), "the order is being paid, but no rail is asked to pay"),
            (voided.is_none(), "a rail is asked to let go of an order that is being paid"),
        ],
        OrderState::Ended { outcome: OutcomeKind::Paid } => &[
            (done(held), "the order is paid, but its rail has not held the money"),
            (posted == Some(Done), "the order is paid, but its rail has not paid"),
            (voided.is_none(), "a rail is asked to let go of an order that is paid"),
        ],
        OrderState::Ended { .. } => &[
            (held != Some(Open), "the order has ended, but a rail is still asked to hold its money"),
            (matches!(posted, None | Some(Declined)), "its rail has paid or is asked to, but the order ended without"),
            (voided.is_some() == (holds && has_hold), "the order ended unpaid: its rail is asked to let go, once"),
            (voided != Some(Declined), "its rail kept the money of an order that ended unpaid"),
        ],
    };
    rules.iter().filter(|(right, _)| !right).map(|(_, what)| *what).collect()
}

/// What a bank took back is in the books once, and what it gave again as well.
pub(crate) fn check_disputes(
    db: Db<'_>,
    household: HouseholdId,
    transfers: &Transfers,
    report: &mut Report,
) -> Result<(), StoreError> {
    let rows = many(
        db,
        "disputes",
        household,
        "SELECT transfer, order_id, amount, currency, state FROM disputes WHERE household = ?1",
        params![household.as_bytes()],
        |cells| {
            let (transfer, order, amount, state) = (cells.id()?, cells.id()?, cells.amount()?, cells.string()?);
            let state = DisputeState::from_text(&state).ok_or_else(|| cells.wrong(format!("state {state}")))?;
            Ok((transfer, order, amount, state))
        },
    );
    let mut booked: BTreeMap<TransferId, (Kind, Amount, Option<OrderId>)> = transfers
        .iter()
        .filter(|(_, transfer)| matches!(transfer.kind, Kind::TakenBack | Kind::GivenAgain))
        .map(|(id, transfer)| (*id, (transfer.kind, transfer.amount, transfer.order)))
        .collect();
    for (transfer, order, amount, state) in report.sort(rows)?.unwrap_or_default() {
        let taken = booked.remove(&transfer) == Some((Kind::TakenBack, amount, Some(order)));
        let again = booked.remove(&follower_id(transfer)) == Some((Kind::GivenAgain, amount, Some(order)));
        let fits = match state {
            DisputeState::Open => !taken && !again,
            DisputeState::Taken | DisputeState::Lost => taken && !again,
            DisputeState::Won => taken == again,
        };
        if !fits {
            report.add("disputes", order, format!("a dispute of it is {}, its money is not", state.as_str()));
        }
    }
    for transfer in booked.into_keys() {
        report.add("transfers", transfer, "money was taken back or given again, but nobody disputed a payment");
    }
    Ok(())
}

/// What a card was charged for the wallet is in the books once, and nothing else is.
pub(crate) fn check_card_top_ups(
    db: Db<'_>,
    household: HouseholdId,
    transfers: &Transfers,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut booked: BTreeMap<TransferId, Amount> = transfers
        .iter()
        .filter(|(_, transfer)| transfer.kind == Kind::CardTopUp)
        .map(|(id, transfer)| (*id, transfer.amount))
        .collect();
    for row in report.sort(topups::all(db, household))?.unwrap_or_default() {
        if booked.remove(&row.transfer) != (row.state == CardTopUpState::Done).then_some(row.amount) {
            report.add("card_top_ups", row.transfer, "it is in the books exactly when its card was charged");
        }
    }
    for transfer in booked.into_keys() {
        report.add("transfers", transfer, "a card filled the wallet, but no guardian asked for it");
    }
    Ok(())
}
