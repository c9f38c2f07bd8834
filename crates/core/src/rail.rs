//! What moves the money, in the same words for all rails: the household's wallet, which answers inside the transaction that
//! asks it, and those outside, which answer when they can or not at all.
//!
//! Every call may be repeated: it is bound to the transfer's id, and the second one gives the first one's answer. An answer
//! that did not arrive is [`RailAnswer::Unknown`]: not a no. Whoever gets it keeps the hold, keeps the id, and asks again.

use serde::{Deserialize, Serialize};

use crate::{Amount, Iban, TransferId};

/// Which rail a household pays with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RailKind {
    /// The prepaid wallet in our own ledger.
    Wallet,
    /// A guardian's card on file with Stripe.
    Stripe,
    /// A bank account, by ISO 20022 files.
    Bank,
}

impl RailKind {
    pub const ALL: [Self; 3] = [Self::Wallet, Self::Stripe, Self::Bank];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Stripe => "stripe",
            Self::Bank => "bank",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it can do this at all. Where it cannot hold, an approval promises nothing and the post may still be declined.
    #[must_use]
    pub const fn can(self, step: RailStep) -> bool {
        match (self, step) {
            (Self::Wallet | Self::Stripe, _) | (Self::Bank, RailStep::Post) => true,
            (Self::Bank, RailStep::Hold | RailStep::Void | RailStep::Refund) => false,
        }
    }
}

/// Who a rail outside takes the money from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rail", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Payer {
    /// A card on file: `cus_…` and `pm_…`.
    Stripe {
        customer: String,
        method: String,
    },
    Bank(BankAccount),
}

impl Payer {
    #[must_use]
    pub const fn kind(&self) -> RailKind {
        match self {
            Self::Stripe { .. } => RailKind::Stripe,
            Self::Bank(_) => RailKind::Bank,
        }
    }
}

/// An account that money leaves or reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankAccount {
    /// Its holder's.
    pub name: String,
    pub iban: Iban,
    /// The bank's code (ISO 9362), where one is known; within SEPA the IBAN is enough.
    pub bic: Option<String>,
}

/// What a rail is asked to do with a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RailStep {
    /// Promise the amount to the transfer.
    Hold,
    /// Pay the transfer, in full or in part; the rest of its hold is given back.
    Post,
    /// Give the hold back.
    Void,
    /// Give back what was paid, in full or in part, as a transfer of its own.
    Refund,
}

impl RailStep {
    pub const ALL: [Self; 4] = [Self::Hold, Self::Post, Self::Void, Self::Refund];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Post => "post",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RailAnswer {
    Done,
    /// It did not happen and will not.
    Declined(Decline),
    /// It happens once the guardian has opened this address and confirmed there.
    ActionNeeded(String),
    /// The rail has it and will answer later.
    Pending,
    /// Nobody knows: a time-out, a cut connection, a fault over there.
    Unknown,
}

/// What a rail said, and by which name of its own it knows the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailReply {
    pub answer: RailAnswer,
    /// A PaymentIntent's id, for one; once known it does not change.
    pub reference: Option<String>,
}

impl From<RailAnswer> for RailReply {
    fn from(answer: RailAnswer) -> Self {
        Self { answer, reference: None }
    }
}

/// Why a rail said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decline {
    /// Without a reason that we could name.
    Refused,
    /// There is not enough money.
    Funds,
    /// Card or account of the payer cannot be used: expired, blocked, unknown, of the wrong kind.
    Payer,
    /// The payee's account cannot be paid into.
    Payee,
    /// The guardian did not confirm.
    NotConfirmed,
    /// This rail cannot move such an amount at all.
    NotPossible,
}

impl Decline {
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::Funds, Self::Payer, Self::Payee, Self::NotConfirmed, Self::NotPossible];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Funds => "funds",
            Self::Payer => "payer",
            Self::Payee => "payee",
            Self::NotConfirmed => "not-confirmed",
            Self::NotPossible => "not-possible",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decline| decline.as_str() == text)
    }
}

/// What is to move. The id never changes, however often it is asked for; a refund has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    pub transfer: TransferId,
    pub amount: Amount,
}

/// A rail, ready for one payment: it knows the payer. Consumed by one call, as a wallet is by one change of its numbers.
pub trait Rail: Sized {
    /// The wallet's answer is there at once and is part of the transaction; another rail's is a future.
    type Answered;

    const KIND: RailKind;

    fn hold(self, movement: Movement) -> Self::Answered;
    /// At most what was held.
    fn post(self, movement: Movement) -> Self::Answered;
    fn void(self, movement: Movement) -> Self::Answered;
    /// At most what was posted and is not refunded yet.
    fn refund(self, movement: Movement) -> Self::Answered;

    /// What became of a step, without doing anything. `Unknown` when it cannot tell: then the step itself is asked again.
    fn status(self, step: RailStep, movement: Movement) -> Self::Answered;
}
