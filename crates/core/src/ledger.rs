//! The rules of a household's prepaid wallet: a transfer is held (pending), then posted or voided, once. And of what the
//! operator keeps of a payment.
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

    /// Pays in: a top-up, or money that comes back from a merchant.
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

    /// Releases what a transfer `held` and pays `amount` of it out: all, or a part above zero.
    pub fn post(self, held: Minor, amount: Minor) -> Result<Self, LedgerError> {
        let released = self.void(held)?;
        if positive(amount)? > held {
            return Err(LedgerError::NotHeld);
        }
        Ok(Self { posted: released.posted.minus(amount)?, held: released.held })
    }

    /// Pays out at once what is not held.
    pub fn pay_out(self, amount: Minor) -> Result<Self, LedgerError> {
        self.hold(amount)?.post(amount, amount)
    }

    /// Gives a held amount back.
    pub fn void(self, amount: Minor) -> Result<Self, LedgerError> {
        if positive(amount)? > self.held {
            return Err(LedgerError::NotHeld);
        }
        Ok(Self { posted: self.posted, held: self.held.minus(amount)? })
    }
}

/// What the operator keeps of a payment: hundredths of a percent, at most [`BasisPoints::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BasisPoints(u16);

impl BasisPoints {
    pub const ZERO: Self = Self(0);

    /// Ten percent.
    pub const MAX: u16 = 1_000;

    /// `None` above [`BasisPoints::MAX`].
    #[must_use]
    pub const fn new(basis_points: u16) -> Option<Self> {
        if basis_points <= Self::MAX { Some(Self(basis_points)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The fee on a payment of `paid` (zero or more), halves rounded to even.
    pub fn of(self, paid: Minor) -> Result<Minor, MoneyError> {
        share(paid, i128::from(self.0), 10_000)
    }
}

/// What is left of a fee once `refunded` of the `paid` amount went back: its share of what stays paid, halves rounded to
/// even. It depends on the sums alone, so many small refunds come to the same as one.
pub fn fee_left(fee: Minor, paid: Minor, refunded: Minor) -> Result<Minor, MoneyError> {
    share(fee, i128::from(paid.minus(refunded)?.get()), i128::from(paid.get()))
}

fn share(amount: Minor, numerator: i128, denominator: i128) -> Result<Minor, MoneyError> {
    let product = i128::from(amount.get()) * numerator;
    let quotient = product.checked_div(denominator).ok_or(MoneyError::OutOfRange)?;
    let up = match (2 * (product % denominator)).cmp(&denominator) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => quotient % 2,
        std::cmp::Ordering::Greater => 1,
    };
    Minor::new(i64::try_from(quotient + up).map_err(|_| MoneyError::OutOfRange)?)
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
        Post(i64, i64),
        Void(i64),
        PayOut(i64),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let amount = -2_i64..200;
        proptest::collection::vec(
            prop_oneof![
                amount.clone().prop_map(Move::TopUp),
                amount.clone().prop_map(Move::Hold),
                (amount.clone(), amount.clone()).prop_map(|(held, paid)| Move::Post(held, paid)),
                amount.clone().prop_map(Move::Void),
                amount.prop_map(Move::PayOut),
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
                    Move::Post(held, n) => (wallet.post(Minor::new(held)?, Minor::new(n)?), -n, -held),
                    Move::PayOut(n) => (wallet.pay_out(Minor::new(n)?), -n, 0),
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

    fn minor(units: i64) -> Minor {
        Minor::new(units).expect("in range")
    }

    #[test]
    fn halves_of_a_fee_go_to_even() {
        let percent = BasisPoints::new(100).expect("in range");
        for (paid, fee) in [(0, 0), (49, 0), (50, 0), (51, 1), (149, 1), (150, 2), (250, 2), (251, 3), (10_000, 100)] {
            assert_eq!(percent.of(minor(paid)), Ok(minor(fee)), "{paid}");
        }
        assert_eq!(BasisPoints::new(1_001), None);
        let most = BasisPoints::new(BasisPoints::MAX).expect("in range");
        assert_eq!(most.of(minor(crate::MAX_MINOR)), Ok(minor(crate::MAX_MINOR / 10)));
    }

    proptest! {
        #[test]
        fn a_fee_left_is_within_the_fee_and_falls(fee in 0_i64..1_000, paid in 1_i64..10_000, refunded in 0_i64..10_000) {
            let refunded = refunded.min(paid);
            let left = fee_left(minor(fee), minor(paid), minor(refunded))?;
            prop_assert!(minor(0) <= left && left <= minor(fee));
            prop_assert_eq!(fee_left(minor(fee), minor(paid), minor(0))?, minor(fee));
            prop_assert_eq!(fee_left(minor(fee), minor(paid), minor(paid))?, minor(0));
        }
    }
}
