//! The life of an order: one table of state × event. The store takes an order from one state to the next with one
//! compare-and-swap, in the transaction that moves the money and writes the outcome.
//!
//! ```text
//!           decide:approve    decide:refuse  cancel       pay       held        posted   declined  expiry     bill gone
//! waiting   hold → holding    → refused      → cancelled  error     –           –        –         → expired  → failed
//! holding   error (decided)   error          → cancelled  error     → approved  –        → failed  → expired  → failed
//! approved  error (decided)   error          → cancelled  → paying  –           –        –         → expired  → failed
//! paying    error (decided)   error          error        error     –           → paid   → failed  –          –
//! ended     error (ended)     error          error        error     –           –        –         –          –
//! ```
//!
//! What decides is a guardian's decision or, as the order comes, a mandate; either way it is named by its digest. The first of two
//! nods decides nothing yet: the order waits on, with the same deadline.
//!
//! Held, posted and declined are the rail's answers. The wallet answers in the transaction that asks it, so with it no order
//! is seen holding or paying; where it cannot hold, the order ends `failed` without having left `waiting`. A rail outside
//! answers later or not at all: an order that is paying has no deadline, and only that answer ends it.
//!
//! Every way out of `holding`, `approved` and `paying` posts or voids the hold.
//! Deadlines are the service's own: receipt time plus the length the message asks for, so no clock needs to agree.

use crate::{Amount, Digest, FailReason, OutcomeKind, Timestamp, TransferId, Verdict};

/// An order waits for at most an hour.
pub const MAX_ORDER_LIFE_MS: i64 = 60 * 60 * 1000;
/// An approval is paid within ten minutes.
pub const MAX_DECISION_AGE_MS: i64 = 10 * 60 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// The guardian has not answered.
    Waiting {
        expires: Timestamp,
    },
    /// The guardian nodded, the rail was asked to hold `total`.
    Holding {
        decision: Digest,
        hold: TransferId,
        total: Amount,
        pay_by: Timestamp,
    },
    /// `total` is held, the watch has not paid.
    Approved {
        decision: Digest,
        hold: TransferId,
        total: Amount,
        pay_by: Timestamp,
    },
    /// The watch has paid, the bill is consumed, the rail was asked to post.
    Paying {
        decision: Digest,
        hold: TransferId,
        total: Amount,
    },
    Ended {
        outcome: OutcomeKind,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A verified decision, or what a mandate says. `hold` is the id its hold would get.
    Decided { decision: Digest, verdict: Verdict, total: Amount, pay_by: Timestamp, hold: TransferId },
    /// A verified cancellation of the watch.
    Cancelled,
    /// A verified payment over `decision`, or over the mandate with that entry.
    Paid { decision: Digest },
    /// The rail holds the money.
    Held,
    /// The rail has posted it.
    Posted,
    /// The rail will not do what it was asked.
    Declined,
    /// Time has passed.
    Tick,
    /// The bill can no longer be paid.
    BillGone(FailReason),
}

/// What a transition does, besides the new state. Money moves in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the rail to hold the money; where it says no at once the order ends `failed` instead.
    Hold {
        next: OrderState,
    },
    /// Tell the watch that it may pay.
    Approve {
        next: OrderState,
    },
    /// Consume the bill and ask the rail to post.
    Pay {
        next: OrderState,
    },
    End {
        outcome: OutcomeKind,
        reason: Option<FailReason>,
        money: Money,
    },
}

/// What becomes of the hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    Untouched,
    Void(TransferId),
    Post(TransferId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the order is not approved")]
    NotApproved,
    #[error("the order is decided already")]
    AlreadyDecided,
    #[error("the order has ended: {}", .0.as_str())]
    AlreadyEnded(OutcomeKind),
    #[error("the payment is over another decision")]
    OtherDecision,
    /// The rail's answer alone ends it.
    #[error("the order is being paid")]
    Paying,
    /// A rail's answer to what it was not asked, or not any more.
    #[error("the rail was not asked that")]
    NotAsked,
    /// Its time is over; the caller applies [`Event::Tick`].
    #[error("the order's time is over")]
    Expired,
    /// Nothing is due.
    #[error("the order's time is not over")]
    NotDue,
}

impl OrderState {
    /// When this state ends by itself.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { expires } => Some(*expires),
            Self::Holding { pay_by, .. } | Self::Approved { pay_by, .. } => Some(*pay_by),
            Self::Paying { .. } | Self::Ended { .. } => None,
        }
    }

    /// The one decision point.
    pub fn step(&self, event: Event, now: Timestamp) -> Result<Step, StateError> {
        let over = self.deadline().is_some_and(|deadline| now >= deadline);
        let end = |outcome, reason, money| Ok(Step::End { outcome, reason, money });
        let hold = match *self {
            Self::Ended { outcome } => return Err(StateError::AlreadyEnded(outcome)),
            Self::Paying { hold, .. } => {
                return match event {
                    Event::Posted => end(OutcomeKind::Paid, None, Money::Post(hold)),
                    Event::Declined => end(OutcomeKind::Failed, Some(FailReason::PaymentDeclined), Money::Void(hold)),
                    Event::Decided { .. } => Err(StateError::AlreadyDecided),
                    Event::Cancelled | Event::Paid { .. } | Event::BillGone(_) => Err(StateError::Paying),
                    Event::Held => Err(StateError::NotAsked),
                    Event::Tick => Err(StateError::NotDue),
                };
            }
            Self::Waiting { .. } => Money::Untouched,
            Self::Holding { hold, .. } | Self::Approved { hold, .. } => Money::Void(hold),
        };
        match event {
            Event::Tick if over => end(OutcomeKind::Expired, None, hold),
            Event::Tick => Err(StateError::NotDue),
            _ if over => Err(StateError::Expired),
            Event::Cancelled => end(OutcomeKind::Cancelled, None, hold),
            Event::BillGone(reason) => end(OutcomeKind::Failed, Some(reason), hold),
            Event::Decided { verdict, decision, total, pay_by, hold: id } => match (self, verdict) {
                (Self::Waiting { .. }, Verdict::Refuse) => end(OutcomeKind::Refused, None, hold),
                (Self::Waiting { .. }, Verdict::Approve) => {
                    Ok(Step::Hold { next: Self::Holding { decision, hold: id, total, pay_by } })
                }
                (_, Verdict::Refuse | Verdict::Approve) => Err(StateError::AlreadyDecided),
            },
            Event::Paid { decision: paid } => {
                let Self::Approved { decision, hold, total, .. } = *self else { return Err(StateError::NotApproved) };
                if decision != paid {
                    return Err(StateError::OtherDecision);
                }
                Ok(Step::Pay { next: Self::Paying { decision, hold, total } })
            }
            Event::Held => {
                let Self::Holding { decision, hold, total, pay_by } = *self else { return Err(StateError::NotAsked) };
                Ok(Step::Approve { next: Self::Approved { decision, hold, total, pay_by } })
            }
            Event::Declined if matches!(self, Self::Holding { .. }) => {
                end(OutcomeKind::Failed, Some(FailReason::PaymentDeclined), hold)
            }
            Event::Posted | Event::Declined => Err(StateError::NotAsked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Currency, Minor};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);
    const LATER: Timestamp = Timestamp::from_unix_ms(2_000);
    const HOLD: TransferId = TransferId::from_bytes([1; 16]);
    const DECISION: Digest = Digest::from_bytes([2; 32]);

    fn total() -> Amount {
        Amount::new(Minor::new(500).expect("in range"), Currency::CNY)
    }

    fn decided(verdict: Verdict) -> Event {
        Event::Decided { decision: DECISION, verdict, total: total(), pay_by: LATER, hold: HOLD }
    }

    /// The table of the module header, row by row.
    #[test]
    fn every_state_meets_every_event() {
        use OutcomeKind::{Cancelled, Expired, Failed, Paid, Refused};
        let waiting = OrderState::Waiting { expires: LATER };
        let holding = OrderState::Holding { decision: DECISION, hold: HOLD, total: total(), pay_by: LATER };
        let approved = OrderState::Approved { decision: DECISION, hold: HOLD, total: total(), pay_by: LATER };
        let paying = OrderState::Paying { decision: DECISION, hold: HOLD, total: total() };
        let ended = OrderState::Ended { outcome: Paid };
        let end = |outcome, reason, money| Ok(Step::End { outcome, reason, money });
        let gone = FailReason::BillAlreadyPaid;
        let declined = Some(FailReason::PaymentDeclined);
        let void = Money::Void(HOLD);
        let ended_already = Err(StateError::AlreadyEnded(Paid));
        let paid = Event::Paid { decision: DECISION };
        let other = Event::Paid { decision: Digest::from_bytes([9; 32]) };
        let not_asked = Err(StateError::NotAsked);
        let table = [
            (waiting, decided(Verdict::Approve), NOW, Ok(Step::Hold { next: holding })),
            (waiting, decided(Verdict::Refuse), NOW, end(Refused, None, Money::Untouched)),
            (waiting, Event::Cancelled, NOW, end(Cancelled, None, Money::Untouched)),
            (waiting, paid, NOW, Err(StateError::NotApproved)),
            (waiting, Event::Held, NOW, not_asked),
            (waiting, Event::Posted, NOW, not_asked),
            (waiting, Event::Declined, NOW, not_asked),
            (waiting, Event::Tick, NOW, Err(StateError::NotDue)),
            (waiting, Event::Tick, LATER, end(Expired, None, Money::Untouched)),
            (waiting, Event::BillGone(gone), NOW, end(Failed, Some(gone), Money::Untouched)),
            (waiting, decided(Verdict::Approve), LATER, Err(StateError::Expired)),
            (waiting, Event::Cancelled, LATER, Err(StateError::Expired)),
            (holding, decided(Verdict::Approve), NOW, Err(StateError::AlreadyDecided)),
            (holding, decided(Verdict::Refuse), NOW, Err(StateError::AlreadyDecided)),
            (holding, Event::Cancelled, NOW, end(Cancelled, None, void)),
            (holding, paid, NOW, Err(StateError::NotApproved)),
            (holding, Event::Held, NOW, Ok(Step::Approve { next: approved })),
            (holding, Event::Held, LATER, Err(StateError::Expired)),
            (holding, Event::Posted, NOW, not_asked),
            (holding, Event::Declined, NOW, end(Failed, declined, void)),
            (holding, Event::Tick, NOW, Err(StateError::NotDue)),
            (holding, Event::Tick, LATER, end(Expired, None, void)),
            (holding, Event::BillGone(gone), NOW, end(Failed, Some(gone), void)),
            (approved, decided(Verdict::Approve), NOW, Err(StateError::AlreadyDecided)),
            (approved, decided(Verdict::Refuse), NOW, Err(StateError::AlreadyDecided)),
            (approved, Event::Cancelled, NOW, end(Cancelled, None, void)),
            (approved, paid, NOW, Ok(Step::Pay { next: paying })),
            (approved, other, NOW, Err(StateError::OtherDecision)),
            (approved, paid, LATER, Err(StateError::Expired)),
            (approved, Event::Held, NOW, not_asked),
            (approved, Event::Posted, NOW, not_asked),
            (approved, Event::Declined, NOW, not_asked),
            (approved, Event::Tick, LATER, end(Expired, None, void)),
            (approved, Event::BillGone(gone), NOW, end(Failed, Some(gone), void)),
            (paying, decided(Verdict::Refuse), NOW, Err(StateError::AlreadyDecided)),
            (paying, Event::Cancelled, NOW, Err(StateError::Paying)),
            (paying, paid, NOW, Err(StateError::Paying)),
            (paying, Event::Held, NOW, not_asked),
            (paying, Event::Posted, LATER, end(Paid, None, Money::Post(HOLD))),
            (paying, Event::Declined, LATER, end(Failed, declined, void)),
            (paying, Event::Tick, LATER, Err(StateError::NotDue)),
            (paying, Event::BillGone(gone), LATER, Err(StateError::Paying)),
            (ended, decided(Verdict::Approve), NOW, ended_already),
            (ended, Event::Cancelled, NOW, ended_already),
            (ended, paid, NOW, ended_already),
            (ended, Event::Held, NOW, ended_already),
            (ended, Event::Posted, NOW, ended_already),
            (ended, Event::Declined, NOW, ended_already),
            (ended, Event::Tick, LATER, ended_already),
            (ended, Event::BillGone(gone), NOW, ended_already),
        ];
        for (state, event, now, expected) in table {
            assert_eq!(state.step(event, now), expected, "{state:?} × {event:?} at {now:?}");
        }
    }
}
