//! What the watch shows: the agent decides it, any screen library can draw it.
//!
//! A [`View`] carries facts, not sentences: the screens hold the words in each language. Amounts are minor units with
//! their currency, times are milliseconds left, and every text that came from a merchant or a guardian has already
//! been checked by `nodpay-core` (NFC, bounded, no control or invisible characters).

use nodpay_core::{Amount, Hint, Occasion, OutcomeKind, Timestamp, Why};

/// One screen, whole: drawing it needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub screen: Screen,
    /// Whether the service is reached: its event stream is open and nothing that was asked failed to be answered. A watch
    /// that has no stream yet counts as online until an attempt fails.
    pub online: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A new watch: scan the code on the guardian's phone.
    Welcome { notice: Option<Notice> },
    /// The camera is on. `ScanFor` says what for.
    Scan { purpose: ScanFor, notice: Option<Notice> },
    /// The wearer chooses a PIN (`again`: types it a second time). `digits` typed so far, at most 8.
    ChoosePin { digits: usize, again: bool, notice: Option<Notice> },
    /// Waiting for the guardian to enrol this watch. `check` is the short code both screens show.
    Pairing { check: String, left_ms: u64 },
    /// Paired and idle.
    Home { wearer: String, balance: Option<Amount>, notice: Option<Notice> },
    /// Asking the service for the bill behind the code, or waiting for the network to do so (`View::online` is false
    /// then).
    Fetching,
    /// A shop's static code: the wearer types what is to be paid.
    Amount(AmountPad),
    /// The bill, for the wearer to look at and confirm.
    Review(Basket),
    /// The wearer proves who they are by the PIN. `digits` typed so far. `asked`: the guardian was asked to help.
    Pin { digits: usize, gate: PinGate, asked: bool },
    /// The wearer proves who they are to the watch's own sensor (finger, face); the PIN is a tap away.
    Recognise { notice: Option<Notice> },
    /// The order is on its way, or waits for the network (`View::online` is false then).
    Sending,
    /// The guardian has the order. `unanswered`: the bank was asked for the money, and its answer got lost. `one_nod`: one
    /// guardian nodded, and another must too.
    Waiting { shop: String, total: Amount, left_ms: u64, unanswered: bool, one_nod: bool },
    /// The guardian nodded; the watch is paying `total`. `struck` names what was taken out, `guardian` who nodded, by
    /// the name they chose, `words` what they said. `rule`: nobody was asked, the standing rule of theirs with this name lets it be
    /// paid.
    /// `unanswered`: the bank was asked to pay, and its answer got lost.
    Paying {
        shop: String,
        total: Amount,
        struck: Vec<String>,
        guardian: Option<String>,
        words: Option<String>,
        rule: Option<String>,
        unanswered: bool,
    },
    /// The order ended.
    Ended(Ending),
    /// What was paid and what was not, newest first.
    History(Vec<PastOrder>),
    /// Language, PIN and what this watch is.
    Settings(About),
}

/// Whether a PIN may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinGate {
    /// `tries_left` before the next lock; `None` before the first wrong try.
    Open { tries_left: Option<u32> },
    /// Locked for a while.
    Wait { left_ms: u64 },
    /// Locked until a guardian unlocks it.
    Guardian,
}

/// The number pad for a static code. Digits are minor units: 3, 5, 0 is 3.50.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountPad {
    pub shop: String,
    pub place: String,
    /// What was typed so far; zero at first.
    pub typed: Amount,
    /// The least and the most that can be asked for.
    pub least: Amount,
    pub most: Amount,
    pub notice: Option<Notice>,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastOrder {
    pub kind: EndKind,
    pub shop: String,
    pub total: Amount,
    /// When it ended, by the service's clock.
    pub at: Timestamp,
}

/// What the settings screen shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Address of the service; empty before pairing.
    pub service: String,
    /// The watch's id, as the guardian's phone shows it; empty before pairing.
    pub watch: String,
    /// For how long after the PIN the worn watch asks for none, as the guardian set it; 0 is never.
    pub session_ms: u64,
    /// The guardian was asked to let the wearer change the PIN.
    pub pin_change_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFor {
    Pairing,
    Paying,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basket {
    pub shop: String,
    /// City of the shop.
    pub place: String,
    pub lines: Vec<BasketLine>,
    pub total: Amount,
    /// Only the shop can say what its part of the bill comes to: not more than `total`.
    pub at_most: bool,
    /// What the wearer chose to tell the guardian.
    pub occasion: Option<Occasion>,
}

/// A line, or an adjustment of the bill (`quantity` 0; a discount's amount is negative).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasketLine {
    pub name: String,
    pub quantity: u32,
    /// Minor units of the basket's currency.
    pub amount_minor: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub kind: EndKind,
    pub shop: String,
    pub total: Amount,
    /// Names of the struck lines.
    pub struck: Vec<String>,
    /// The guardian who decided, by the name they chose.
    pub guardian: Option<String>,
    /// Nobody was asked: the name of their standing rule that decided.
    pub rule: Option<String>,
    pub reason: Option<Notice>,
    /// What the guardian would rather nod to.
    pub suggestion: Option<Suggested>,
    pub balance: Option<Amount>,
}

/// Shown, and nothing more: what the wearer makes of it needs a nod of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggested {
    /// Only these of what was asked; empty: none are named.
    pub lines: Vec<SuggestedLine>,
    pub hint: Option<Hint>,
    /// For at most so much.
    pub up_to: Option<Amount>,
    /// [`UserAction::Start`] asks again for just these lines of the same bill; else it scans another code.
    pub same_bill: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuggestedLine {
    pub name: String,
    /// 1 to `asked`.
    pub quantity: u32,
    pub asked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    Paid,
    Failed,
    Refused,
    Expired,
    Cancelled,
}

impl From<OutcomeKind> for EndKind {
    fn from(outcome: OutcomeKind) -> Self {
        match outcome {
            OutcomeKind::Paid => Self::Paid,
            OutcomeKind::Failed => Self::Failed,
            OutcomeKind::Refused => Self::Refused,
            OutcomeKind::Expired => Self::Expired,
            OutcomeKind::Cancelled => Self::Cancelled,
        }
    }
}

/// Something to tell the wearer: one short sentence and what to do next. The screens hold the sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The code could not be read as a payment code at all.
    NotAPaymentCode,
    /// The code belongs to another system: `alipay`, `wechat`, `emv`, `epc`, or a web address.
    OtherSystem(OtherSystem),
    /// A payment code of ours whose check sum or contents are broken.
    BrokenCode,
    /// The code is not a pairing code.
    NotAPairingCode,
    PairingExpired,
    PairingFailed,
    BillExpired,
    BillAlreadyPaid,
    BillCancelled,
    /// The bill's signature or digest does not fit the code: do not pay here.
    BillNotGenuine,
    BillUnknown,
    NotEnoughMoney {
        balance: Option<Amount>,
    },
    /// More than one code in view could be paid.
    SeveralCodes,
    AmountTooLarge {
        most: Amount,
    },
    /// The guardian unlocked the PIN.
    PinUnlocked,
    /// The new PIN counts from now on.
    PinChanged,
    /// A guardian set for how long the worn watch asks for no PIN after one; 0 is never.
    SessionSet {
        session_ms: u64,
    },
    /// Another guardian can nod from now on.
    GuardianAdded,
    /// Somebody uses a printed recovery code; a guardian can stop them.
    RecoveryBegun,
    /// A guardian has stopped the household's payments.
    PaymentsPaused,
    /// The watch's sensor did not know the wearer.
    NotRecognised,
    PinsDiffer,
    PinTooShort,
    PinTooEasy,
    /// The guardian's own words.
    Words(String),
    /// The service says this watch is not (or no longer) enrolled.
    WatchNotEnrolled,
    /// The operator has stopped the household's payments, or the household is closed.
    WalletStopped,
    /// The bank or card that the household pays with said no.
    BankDeclined,
    /// A signed message of the other side did not verify: nothing was paid.
    NotGenuine,
    /// Above the cap of a newly paired watch.
    OverNewWatchCap,
    /// The order was no longer open.
    TooLate,
    /// No answer; nothing was paid, try again.
    NoNetwork,
    ServiceTrouble,
    /// A standing rule of the guardian's does not allow it, and nobody was asked.
    Rule(Why),
    /// The rule that allowed it does not any more.
    RuleOver,
    /// A guardian changed a standing rule so that more can be paid without asking.
    RuleLooser {
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSystem {
    Alipay,
    WeChat,
    /// An open format of banks and wallets; the scheme, by the name people know it by, where the code tells it.
    Emv(Option<&'static str>),
    Epc,
    WebAddress,
}

/// What the wearer can do. Screens turn touches into these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAction {
    /// Home: start to pay. Welcome: scan the pairing code. Ended with a suggestion: try again with it.
    Start,
    /// One digit, 0 to 9.
    Digit(u8),
    Backspace,
    /// PIN typed; review confirmed.
    Confirm,
    /// Back, or cancel the order while waiting.
    Cancel,
    /// Leave the ended screen or a notice.
    Done,
    /// Home: open the history.
    History,
    /// Home or welcome: open the settings.
    Settings,
    /// Review: why the wearer asks; `None` takes it back.
    Occasion(Option<Occasion>),
    /// PIN screen: the PIN is forgotten or locked. Settings: change the PIN. Either asks the guardian.
    AskGuardian,
    /// Recognise: use the PIN instead.
    UsePin,
}
