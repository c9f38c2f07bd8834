//! Why a transaction was not done. One cause a variant; `code` is stable.

use nodpay_core::{Digest, OutcomeKind};

use crate::PayoutState;

/// Nothing was changed, except where a variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the invitation is not known")]
    InvitationUnknown,
    #[error("the invitation was used already")]
    InvitationUsed,
    #[error("the invitation's time is over")]
    InvitationExpired,

    #[error("the household is not known")]
    HouseholdUnknown,
    #[error("a household with this id and another founding entry exists")]
    HouseholdExists,
    #[error("the passkey belongs to a guardian already")]
    CredentialExists,
    #[error("the passkey is not one of a guardian")]
    GuardianUnknown,
    #[error("the guardian is new and does not count yet")]
    GuardianNotCounting,
    #[error("another guardian's nod to this order is not the one that was seen")]
    FirstNod,
    #[error("a guardian is away for at most 60 days")]
    AwayTime,
    #[error("the household is not frozen, or by another freeze")]
    NotFrozen,
    #[error("the passkey's signature counter did not go up: there may be a copy of it")]
    CounterReplayed,
    #[error("the household log moved on; its head is {head}")]
    LogMoved { head: Digest },
    #[error("a watch with this id exists")]
    WatchExists,
    #[error("the watch is not known")]
    WatchUnknown,
    #[error("the watch was removed from its household")]
    RevokedWatch,
    #[error("the watch made a newer report on its PIN")]
    PinReportOutdated,
    #[error("an enrolment comes with the wearer's name")]
    WearerNameMissing,
    #[error("the wearer has another name or salt already")]
    WearerConflict,

    #[error("the pairing is not known")]
    PairingUnknown,
    #[error("a pairing with this id and other content exists")]
    PairingExists,
    #[error("the pairing's time is over")]
    PairingExpired,
    #[error("the pairing was claimed with another watch or key")]
    PairingTaken,
    #[error("the pairing is closed")]
    PairingClosed,
    #[error("the pairing was not claimed by this watch and key")]
    PairingMismatch,

    #[error("the token or challenge is in use")]
    TokenExists,
    #[error("the session is not known")]
    SessionUnknown,
    #[error("the login challenge is not known, was used or is too old")]
    LoginUnknown,
    #[error("too many logins are running; try again in a minute")]
    TooManyLogins,

    #[error("the merchant is not known")]
    MerchantUnknown,
    #[error("a merchant with this id or API key and other content exists")]
    MerchantExists,
    #[error("the certificate is for another key than the till's")]
    CertificateMismatch,
    #[error("the merchant has no such certificate")]
    CertificateUnknown,
    #[error("a merchant has at most {} goods", crate::MAX_GOODS)]
    TooManyGoods,

    #[error("the code is of no merchant here")]
    PayeeUnknown,
    #[error("the code is another merchant's")]
    CodeTaken,
    #[error("a merchant has at most {} printed codes", crate::MAX_CODES)]
    TooManyCodes,

    #[error("the bill is not known")]
    BillUnknown,
    #[error("a bill with this id and other content exists")]
    BillExists,
    #[error("a new bill has revision 1")]
    NotFirstRevision,
    #[error("the bill was paid")]
    BillAlreadyPaid,
    #[error("the bill was cancelled")]
    BillCancelled,
    #[error("the bill's time is over")]
    BillExpired,
    #[error("the currency is not the one of the wallet or the merchant")]
    CurrencyNotSupported,

    #[error("the order is not known")]
    OrderUnknown,
    #[error("an order with this id and other content exists")]
    OrderIdReused,
    #[error("the watch used this nonce in another order")]
    NonceReused,
    #[error("the watch has an open order")]
    OrderOpen,
    #[error("the total is over the cap of a new watch")]
    OverNewWatchCap,
    /// The order was ended `expired` in this transaction, with its events.
    #[error("the order's time is over")]
    OrderExpired,
    #[error("the order has ended: {}", .0.as_str())]
    OrderEnded(OutcomeKind),
    #[error("the order has not ended")]
    OrderNotEnded,
    #[error("the order is not approved")]
    OrderNotApproved,
    #[error("the order is decided already")]
    AlreadyDecided,
    #[error("the decision is over another revision of the bill than the current one")]
    StaleBill,
    #[error("the message is about another order")]
    OtherOrder,
    #[error("the payment is over another decision")]
    OtherDecision,
    #[error("the payment is over another total than the decision")]
    WrongTotal,
    #[error("the report is about another outcome")]
    OtherOutcome,

    #[error("the requote was not asked for")]
    AskUnknown,
    #[error("an ask with this id and other content exists")]
    AskExists,
    #[error("the ask was answered, refused or is over")]
    AskClosed,
    #[error("the requote has another revision than asked for")]
    WrongRevision,
    #[error("an order has at most {} asks", crate::MAX_ASKS)]
    TooManyAsks,

    #[error("a transfer with this id and other content exists")]
    TransferExists,
    #[error("an amount to move is above zero")]
    AmountNotPositive,
    #[error("a card is charged between {} and {} minor units at once", crate::MIN_CARD_TOP_UP, crate::MAX_CARD_TOP_UP)]
    TopUpAmount,
    #[error("a card is charged at most {} minor units in 24 hours", crate::MAX_CARD_TOP_UP_DAY)]
    TopUpDay,
    #[error("the household has no card on file")]
    CardMissing,
    #[error("a charge of the household's card is disputed")]
    CardDisputed,
    #[error("the balance would go beyond its bound")]
    BalanceTooLarge,

    #[error("the order is being paid: only its rail's answer ends it")]
    OrderPaying,
    #[error("the bank paid the shop itself, so the shop gives it back by a bank transfer of its own")]
    RefundElsewhere,
    #[error("the household is closed")]
    HouseholdClosed,
    #[error("the household was erased")]
    HouseholdErased,
    #[error("the details of this order are no longer kept")]
    OrderCut,
    #[error("the household's payments are stopped")]
    HouseholdFrozen,
    #[error("the household has open orders")]
    OrdersOpen,
    #[error("orders or top-ups of the household wait for their card's or bank's answer")]
    OrdersAtRail,
    #[error("the bill was not paid")]
    BillNotPaid,
    #[error("a refund with this id and other content exists")]
    RefundExists,
    #[error("more would be given back than was paid")]
    RefundTooLarge,
    #[error("the pocket money is not known")]
    ScheduleUnknown,
    #[error("pocket money with this id and other content exists")]
    ScheduleExists,
    #[error("pocket money begins between the years 1970 and 9999")]
    ScheduleTime,
    #[error("a household has at most {} pocket moneys", crate::MAX_SCHEDULES)]
    TooManySchedules,
    #[error("the merchant has no account number")]
    IbanMissing,
    #[error("the merchant has no money to pay out")]
    NothingToPayOut,
    #[error("the payout is not known")]
    PayoutUnknown,
    #[error("the merchant has no such API key")]
    ApiKeyUnknown,
    #[error("a merchant has at most {} API keys", crate::MAX_API_KEYS)]
    TooManyApiKeys,
    #[error("the payout is {} already", .0.as_str())]
    PayoutState(PayoutState),

    /// A broken invariant: rows that no transaction of ours writes.
    #[error("incident in {table}, row {row}: {what}")]
    Incident { table: &'static str, row: String, what: String },
    #[error("the outcome could not be signed: {0}")]
    Signer(String),
    #[error("the database failed: {0}")]
    Database(String),
    #[error("the backup cannot be written or read: {0}")]
    Backup(String),
    #[error("a backup is restored into a database that nobody has used")]
    NotEmpty,
    /// Whether the transaction was done is not known when it was already running; every write may be repeated.
    #[error("the store is stopping")]
    Stopped,
    /// As with [`Self::Stopped`], what was running may have been done.
    #[error("the database cannot be reached; try again in a moment")]
    Unavailable,
}

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request can never succeed as it is, or not in the present state.
    Peer,
    /// A fault on our side; the chain belongs into the log, nothing of it into an answer.
    Ours,
    /// The same request may succeed later.
    Later,
}

impl StoreError {
    /// Stable code for the API. The words that core has for reasons of failure are the same here.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvitationUnknown => "invitation-unknown",
            Self::InvitationUsed => "invitation-used",
            Self::InvitationExpired => "invitation-expired",
            Self::HouseholdUnknown => "household-unknown",
            Self::HouseholdExists => "household-exists",
            Self::CredentialExists => "credential-exists",
            Self::GuardianUnknown => "unknown-guardian",
            Self::GuardianNotCounting => "guardian-not-counting",
            Self::FirstNod => "bad-first-nod",
            Self::AwayTime => "away-time",
            Self::NotFrozen => "not-frozen",
            Self::CounterReplayed => "counter-replayed",
            Self::LogMoved { .. } => "log-conflict",
            Self::WatchExists => "watch-exists",
            Self::WatchUnknown => "unknown-watch",
            Self::RevokedWatch => "revoked-watch",
            Self::PinReportOutdated => "pin-report-outdated",
            Self::WearerNameMissing => "wearer-name-missing",
            Self::WearerConflict => "wearer-conflict",
            Self::PairingUnknown => "pairing-unknown",
            Self::PairingExists => "pairing-exists",
            Self::PairingExpired => "pairing-expired",
            Self::PairingTaken => "pairing-taken",
            Self::PairingClosed => "pairing-closed",
            Self::PairingMismatch => "pairing-mismatch",
            Self::TokenExists => "token-exists",
            Self::SessionUnknown => "session-unknown",
            Self::LoginUnknown => "login-unknown",
            Self::TooManyLogins => "too-many-logins",
            Self::MerchantUnknown => "merchant-unknown",
            Self::MerchantExists => "merchant-exists",
            Self::CertificateMismatch => "certificate-mismatch",
            Self::CertificateUnknown => "certificate-unknown",
            Self::TooManyGoods => "too-many-goods",
            Self::PayeeUnknown => "payee-unknown",
            Self::CodeTaken => "code-taken",
            Self::TooManyCodes => "too-many-codes",
            Self::BillUnknown => "bill-unknown",
            Self::BillExists => "bill-exists",
            Self::NotFirstRevision => "not-first-revision",
            Self::BillAlreadyPaid => "bill-already-paid",
            Self::BillCancelled => "bill-cancelled",
            Self::BillExpired => "bill-expired",
            Self::CurrencyNotSupported => "currency-not-supported",
            Self::OrderUnknown => "order-unknown",
            Self::OrderIdReused => "order-id-reused",
            Self::NonceReused => "nonce-reused",
            Self::OrderOpen => "order-open",
            Self::OverNewWatchCap => "over-new-watch-cap",
            Self::OrderExpired => "order-expired",
            Self::OrderEnded(_) => "order-ended",
            Self::OrderNotEnded => "order-not-ended",
            Self::OrderNotApproved => "order-not-approved",
            Self::AlreadyDecided => "already-decided",
            Self::StaleBill => "stale-bill",
            Self::OtherOrder => "other-order",
            Self::OtherDecision => "other-decision",
            Self::WrongTotal => "wrong-total",
            Self::OtherOutcome => "other-outcome",
            Self::AskUnknown => "ask-unknown",
            Self::AskExists => "ask-exists",
            Self::AskClosed => "ask-closed",
            Self::WrongRevision => "wrong-revision",
            Self::TooManyAsks => "too-many-asks",
            Self::TransferExists => "transfer-exists",
            Self::AmountNotPositive => "amount-not-positive",
            Self::BalanceTooLarge => "balance-too-large",
            Self::TopUpAmount => "top-up-amount",
            Self::TopUpDay => "top-up-day",
            Self::CardMissing => "card-missing",
            Self::CardDisputed => "card-disputed",
            Self::OrderPaying => "order-paying",
            Self::RefundElsewhere => "refund-elsewhere",
            Self::HouseholdClosed => "household-closed",
            Self::HouseholdErased => "household-erased",
            Self::OrderCut => "order-details-deleted",
            Self::HouseholdFrozen => "household-frozen",
            Self::OrdersOpen => "orders-open",
            Self::OrdersAtRail => "orders-at-rail",
            Self::BillNotPaid => "bill-not-paid",
            Self::RefundExists => "refund-exists",
            Self::RefundTooLarge => "refund-too-large",
            Self::ScheduleUnknown => "schedule-unknown",
            Self::ScheduleExists => "schedule-exists",
            Self::ScheduleTime => "schedule-time",
            Self::TooManySchedules => "too-many-schedules",
            Self::IbanMissing => "iban-missing",
            Self::NothingToPayOut => "nothing-to-pay-out",
            Self::PayoutUnknown => "payout-unknown",
            Self::ApiKeyUnknown => "api-key-unknown",
            Self::TooManyApiKeys => "too-many-api-keys",
            Self::PayoutState(_) => "payout-state",
            Self::Incident { .. } => "incident",
            Self::Signer(_) => "outcome-signer",
            Self::Database(_) => "database",
            Self::Backup(_) => "backup",
            Self::NotEmpty => "not-empty",
            Self::Stopped => "stopping",
            Self::Unavailable => "unavailable",
        }
    }

    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Incident { .. } | Self::Signer(_) | Self::Database(_) | Self::Backup(_) | Self::NotEmpty => {
                Blame::Ours
            }
            Self::Stopped | Self::Unavailable | Self::TooManyLogins => Blame::Later,
            Self::InvitationUnknown
            | Self::InvitationUsed
            | Self::InvitationExpired
            | Self::HouseholdUnknown
            | Self::HouseholdExists
            | Self::CredentialExists
            | Self::GuardianUnknown
            | Self::CounterReplayed
            | Self::GuardianNotCounting
            | Self::FirstNod
            | Self::AwayTime
            | Self::NotFrozen
            | Self::LogMoved { .. }
            | Self::WatchExists
            | Self::WatchUnknown
            | Self::RevokedWatch
            | Self::PinReportOutdated
            | Self::WearerNameMissing
            | Self::WearerConflict
            | Self::PairingUnknown
            | Self::PairingExists
            | Self::PairingExpired
            | Self::PairingTaken
            | Self::PairingClosed
            | Self::PairingMismatch
            | Self::TokenExists
            | Self::SessionUnknown
            | Self::LoginUnknown
            | Self::MerchantUnknown
            | Self::MerchantExists
            | Self::CertificateMismatch
            | Self::CertificateUnknown
            | Self::TooManyGoods
            | Self::PayeeUnknown
            | Self::CodeTaken
            | Self::TooManyCodes
            | Self::BillUnknown
            | Self::BillExists
            | Self::NotFirstRevision
            | Self::BillAlreadyPaid
            | Self::BillCancelled
            | Self::BillExpired
            | Self::CurrencyNotSupported
            | Self::OrderUnknown
            | Self::OrderIdReused
            | Self::NonceReused
            | Self::OrderOpen
            | Self::OverNewWatchCap
            | Self::OrderExpired
            | Self::OrderEnded(_)
            | Self::OrderNotEnded
            | Self::OrderNotApproved
            | Self::AlreadyDecided
            | Self::StaleBill
            | Self::OtherOrder
            | Self::OtherDecision
            | Self::WrongTotal
            | Self::OtherOutcome
            | Self::AskUnknown
            | Self::AskExists
            | Self::AskClosed
            | Self::WrongRevision
            | Self::TooManyAsks
            | Self::TransferExists
            | Self::AmountNotPositive
            | Self::BalanceTooLarge
            | Self::TopUpAmount
            | Self::TopUpDay
            | Self::CardMissing
            | Self::CardDisputed
            | Self::OrderPaying
            | Self::RefundElsewhere
            | Self::HouseholdClosed
            | Self::HouseholdErased
            | Self::OrderCut
            | Self::HouseholdFrozen
            | Self::OrdersOpen
            | Self::OrdersAtRail
            | Self::BillNotPaid
            | Self::RefundExists
            | Self::RefundTooLarge
            | Self::ScheduleUnknown
            | Self::ScheduleExists
            | Self::ScheduleTime
            | Self::TooManySchedules
            | Self::IbanMissing
            | Self::NothingToPayOut
            | Self::PayoutUnknown
            | Self::ApiKeyUnknown
            | Self::TooManyApiKeys
            | Self::PayoutState(_) => Blame::Peer,
        }
    }

    pub(crate) fn incident(table: &'static str, row: impl std::fmt::Display, what: impl Into<String>) -> Self {
        Self::Incident { table, row: row.to_string(), what: what.into() }
    }
}
