//! The rules of a household's prepaid wallet: a transfer is held (pending), then posted or voided, once.
//!
//! A wallet row stores two numbers that must equal the fold of its transfers; the same bounds stand in SQL.

use crate::{Minor, MoneyError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("the wallet holds {available} minor units, {asked} are needed")]
    InsufficientBalance { available: i64, asked: i64 },
    #[error("an amount to move is above zero")]
    NotPositive,
    #[error("more would be released than is held")]
    NotHeld,
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// What a household has (`posted`) and what of it is promised to running payments (`held`), in minor units of the
/// wallet's currency. Always 0 ≤ held ≤ posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wallet {
    posted: Minor,
    held: Minor,
}

impl Wallet {
    pub const EMPTY: Self = Self { posted: Minor::ZERO, held: Minor::ZERO };

    /// From stored numbers; `None` where they break the wallet's invariant.
    #[must_use]
    pub fn from_stored(posted: Minor, held: Minor) -> Option<Self> {
        (held >= Minor::ZERO && held <= posted).then_some(Self { posted, held })
    }

    #[must_use]
    pub const fn posted(self) -> Minor {
        self.posted
    }

    #[must_use]
    pub const fn held(self) -> Minor {
        self.held
    }

    /// What a new payment can use.
    pub fn available(self) -> Result<Minor, LedgerError> {
        Ok(self.posted.minus(self.held)?)
    }

    pub fn top_up(self, amount: Minor) -> Result<Self, LedgerError> {
        Ok(Self { posted: self.posted.plus(positive(amount)?)?, held: self.held })
    }

    pub fn hold(self, amount: Minor) -> Result<Self, LedgerError> {
        let available = self.available()?;
        if positive(amount)? > available {
            return Err(LedgerError::InsufficientBalance { available: available.get(), asked: amount.get() });
        }
        Ok(Self { posted: self.posted, held: self.held.plus(amount)? })
    }

    /// Pays a held amount out.
    pub fn post(self, amount: Minor) -> Result<Self, LedgerError> {
        let released = self.void(amount)?;
        Ok(Self { posted: released.posted.minus(amount)?, held: released.held })
    }

    /// Gives a held amount back.
    pub fn void(self, amount: Minor) -> Result<Self, LedgerError> {
        if positive(amount)? > self.held {
            return Err(LedgerError::NotHeld);
        }
        Ok(Self { posted: self.posted, held: self.held.minus(amount)? })
    }
}

fn positive(amount: Minor) -> Result<Minor, LedgerError> {
    if amount > Minor::ZERO { Ok(amount) } else { Err(LedgerError::NotPositive) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Move {
        TopUp(i64),
        Hold(i64),
        Post(i64),
        Void(i64),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let amount = -2_i64..200;
        proptest::collection::vec(
            prop_oneof![
                amount.clone().prop_map(Move::TopUp),
                amount.clone().prop_map(Move::Hold),
                amount.clone().prop_map(Move::Post),
                amount.prop_map(Move::Void),
            ],
            0..60,
        )
    }

    proptest! {
        #[test]
        fn never_negative_and_always_the_fold_of_its_moves(moves in moves()) {
            let mut wallet = Wallet::EMPTY;
            let (mut posted, mut held) = (0_i64, 0_i64);
            for step in moves {
                let (next, posted_by, held_by) = match step {
                    Move::TopUp(n) => (wallet.top_up(Minor::new(n)?), n, 0),
                    Move::Hold(n) => (wallet.hold(Minor::new(n)?), 0, n),
                    Move::Post(n) => (wallet.post(Minor::new(n)?), -n, -n),
                    Move::Void(n) => (wallet.void(Minor::new(n)?), 0, -n),
                };
                if let Ok(next) = next {
                    wallet = next;
                    posted += posted_by;
                    held += held_by;
                }
                prop_assert_eq!((wallet.posted().get(), wallet.held().get()), (posted, held));
                prop_assert!(0 <= held && held <= posted);
            }
        }
    }
}
