//! What Nodpay is about, without any way of doing it: ids, money, bills, orders, decisions, payments, outcomes, the
//! household log, the life of an order and the rules of the ledger.
//!
//! Never does: I/O, clocks, random numbers, cryptography. Facts and the time come in, decisions go out.
//!
//! Messages are defined here as types; `nodpay-protocol` turns them into signed bytes and back.

mod bill;
mod calendar;
mod category;
mod guardians;
mod house_rules;
mod household;
mod iban;
mod id;
mod ledger;
mod lifecycle;
mod mandate;
mod merchant;
mod messages;
mod money;
mod rail;
mod suggestion;
mod text;
mod time;

pub use bill::{
    Adjustment, AdjustmentKind, Bill, BillError, BillTerms, Line, LineId, MAX_ADJUSTMENTS, MAX_LINES, MAX_QUANTITY,
    Reduction, RequoteError, StrikeError,
};
pub use calendar::{Day, DayError, Every};
pub use category::Category;
pub use guardians::{
    ERASE_DELAY_MS, Erase, Erasing, GUARDIAN_COOLING_OFF_MS, Leaving, MAX_RECOVERY_KEYS, Member, NewGuardian,
    PROPOSAL_LIFE_MS, Proposal, RECOVERY_DELAY_MS, REMOVAL_DELAY_MS, RecoveryKeys, Unfreeze,
};
pub use house_rules::{
    HouseCaps, HouseRules, HouseRulesError, MAX_AWAY_MS, MAX_COOLING_OFF_MS, Newcomers, newcomer_most, to_ask,
};
pub use household::{
    EnrolledWatch, Entry, Guardian, HouseholdError, HouseholdLog, LogEntry, MAX_SESSION_MS, NEW_WATCH_COOLING_OFF_MS,
    NewWatchCap, PersonName, PinCommand, PinConsent, WatchSession,
};
pub use iban::{Iban, IbanError, check_digits_fit};
pub use id::{
    AskId, BillId, Bytes, CredentialId, Digest, GuardianId, HouseholdId, IdError, MandateId, MerchantId, Nonce,
    OrderId, PairingId, PaymentId, PublicKey, Salt, ScheduleId, SessionId, TransferId, WatchId, WearerId,
};
pub use ledger::{BasisPoints, LedgerError, Wallet, fee_left};
pub use lifecycle::{Event, MAX_DECISION_AGE_MS, MAX_ORDER_LIFE_MS, Money, OrderState, StateError, Step};
pub use mandate::{
    Answer, Asked, Choice, Judgement, MAX_MANDATE_LIFE_MS, Mandate, MandateError, Offset, Outside, Period, Place,
    Standing, Weekday, Why, Window, judge,
};
pub use merchant::{Country, Mcc, MerchantCertificate, OutcomeCertificate};
pub use messages::{
    Cancel, CancelReason, Decision, FailReason, MAX_NOTE_CHARS, Note, Occasion, Order, Outcome, OutcomeKind, Payment,
    PinReport, PinState, ResultReport, V1, Verdict, Voucher, WearerCheck, WearerMethod,
};
pub use money::{Amount, Currency, MAX_MINOR, Minor, MoneyError};
pub use rail::{BankAccount, Decline, Movement, Payer, Rail, RailAnswer, RailKind, RailReply, RailStep};
pub use suggestion::{Hint, SuggestedLine, Suggestion, SuggestionError};
pub use text::{CodeText, MAX_CODE_CHARS, Text, TextError};
pub use time::Timestamp;
