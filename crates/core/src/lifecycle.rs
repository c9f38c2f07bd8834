//! The life of an order: one table of state × event. The store takes an order from one state to the next with one
//! compare-and-swap, in the transaction that moves the money and writes the outcome.
//!
//! ```text
//!             decide:approve          decide:refuse   cancel       pay      expiry       bill gone
//! waiting     hold → approved         → refused       → cancelled  error    → expired    → failed
//! approved    error (decided)         error           → cancelled  → paid   → expired    → failed
//! ended       error (ended)           error           error        error    error        error
//! ```
//!
//! A hold that the wallet cannot make ends the order `failed`. Every way out of `approved` posts or voids its hold.
//! Deadlines are the service's own: receipt time plus the length the message asks for, so no clock needs to agree.
//! A rail that answers later will add `paying` between `approved` and the end; nothing expires there.

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
    /// The guardian nodded, `total` is held, the watch has not paid.
    Approved {
        decision: Digest,
        hold: TransferId,
        total: Amount,
        pay_by: Timestamp,
    },
    Ended {
        outcome: OutcomeKind,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A verified decision. `hold` is the id its hold would get.
    Decided { decision: Digest, verdict: Verdict, total: Amount, pay_by: Timestamp, hold: TransferId },
    /// A verified cancellation of the watch.
    Cancelled,
    /// A verified payment over `decision`.
    Paid { decision: Digest },
    /// Time has passed.
    Tick,
    /// The bill can no longer be paid.
    BillGone(FailReason),
}

/// What a transition does, besides the new state. Money moves in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hold the money; when that fails the order ends `failed` instead.
    Hold {
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
            Self::Approved { pay_by, .. } => Some(*pay_by),
            Self::Ended { .. } => None,
        }
    }

    /// The one decision point.
    pub fn step(&self, event: Event, now: Timestamp) -> Result<Step, StateError> {
        let over = self.deadline().is_some_and(|deadline| now >= deadline);
        let (hold, approved) = match *self {
            Self::Ended { outcome } => return Err(StateError::AlreadyEnded(outcome)),
            Self::Waiting { .. } => (Money::Untouched, None),
            Self::Approved { decision, hold, .. } => (Money::Void(hold), Some((decision, hold))),
        };
        let end = |outcome, reason, money| Ok(Step::End { outcome, reason, money });
        match event {
            Event::Tick if over => end(OutcomeKind::Expired, None, hold),
            Event::Tick => Err(StateError::NotDue),
            _ if over => Err(StateError::Expired),
            Event::Cancelled => end(OutcomeKind::Cancelled, None, hold),
            Event::BillGone(reason) => end(OutcomeKind::Failed, Some(reason), hold),
            Event::Decided { .. } if approved.is_some() => Err(StateError::AlreadyDecided),
            Event::Decided { verdict: Verdict::Refuse, .. } => end(OutcomeKind::Refused, None, hold),
            Event::Decided { verdict: Verdict::Approve, decision, total, pay_by, hold } => {
                Ok(Step::Hold { next: Self::Approved { decision, hold, total, pay_by } })
            }
            Event::Paid { decision } => match approved {
                None => Err(StateError::NotApproved),
                Some((approved, _)) if approved != decision => Err(StateError::OtherDecision),
                Some((_, hold)) => end(OutcomeKind::Paid, None, Money::Post(hold)),
            },
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
        let approved = OrderState::Approved { decision: DECISION, hold: HOLD, total: total(), pay_by: LATER };
        let ended = OrderState::Ended { outcome: Paid };
        let end = |outcome, reason, money| Ok(Step::End { outcome, reason, money });
        let gone = FailReason::BillAlreadyPaid;
        let ended_already = Err(StateError::AlreadyEnded(Paid));
        let other = Event::Paid { decision: Digest::from_bytes([9; 32]) };
        let table = [
            (waiting, decided(Verdict::Approve), NOW, Ok(Step::Hold { next: approved })),
            (waiting, decided(Verdict::Refuse), NOW, end(Refused, None, Money::Untouched)),
            (waiting, Event::Cancelled, NOW, end(Cancelled, None, Money::Untouched)),
            (waiting, Event::Paid { decision: DECISION }, NOW, Err(StateError::NotApproved)),
            (waiting, Event::Tick, NOW, Err(StateError::NotDue)),
            (waiting, Event::Tick, LATER, end(Expired, None, Money::Untouched)),
            (waiting, Event::BillGone(gone), NOW, end(Failed, Some(gone), Money::Untouched)),
            (waiting, decided(Verdict::Approve), LATER, Err(StateError::Expired)),
            (waiting, Event::Cancelled, LATER, Err(StateError::Expired)),
            (approved, decided(Verdict::Approve), NOW, Err(StateError::AlreadyDecided)),
            (approved, decided(Verdict::Refuse), NOW, Err(StateError::AlreadyDecided)),
            (approved, Event::Cancelled, NOW, end(Cancelled, None, Money::Void(HOLD))),
            (approved, Event::Paid { decision: DECISION }, NOW, end(Paid, None, Money::Post(HOLD))),
            (approved, other, NOW, Err(StateError::OtherDecision)),
            (approved, Event::Paid { decision: DECISION }, LATER, Err(StateError::Expired)),
            (approved, Event::Tick, LATER, end(Expired, None, Money::Void(HOLD))),
            (approved, Event::BillGone(gone), NOW, end(Failed, Some(gone), Money::Void(HOLD))),
            (ended, decided(Verdict::Approve), NOW, ended_already),
            (ended, Event::Cancelled, NOW, ended_already),
            (ended, Event::Paid { decision: DECISION }, NOW, ended_already),
            (ended, Event::Tick, LATER, ended_already),
            (ended, Event::BillGone(gone), NOW, ended_already),
        ];
        for (state, event, now, expected) in table {
            assert_eq!(state.step(event, now), expected, "{state:?} × {event:?} at {now:?}");
        }
    }
}
