//! What the watch shows, field by field as `nodpay_watch::view` has it: facts, no sentences.

use nodpay_core::{Amount, Hint, Occasion, Timestamp, Why};
use nodpay_watch::view::{
    About, AmountPad, Basket, BasketLine, EndKind, Ending, Notice, OtherSystem, PastOrder, PinGate, ScanFor, Screen,
    Suggested, SuggestedLine, UserAction, View,
};

uniffi::custom_type!(usize, u32, {
    remote,
    try_lift: |count| Ok(usize::try_from(count)?),
    lower: |count| u32::try_from(count).unwrap_or(u32::MAX),
});

#[uniffi::remote(Enum)]
pub enum Occasion {
    School,
    Hungry,
    Thirsty,
    Birthday,
    Present,
    Journey,
}

#[uniffi::remote(Record)]
pub struct View {
    pub screen: Screen,
    pub online: bool,
}

#[uniffi::remote(Enum)]
pub enum Screen {
    Welcome {
        notice: Option<Notice>,
    },
    Scan {
        purpose: ScanFor,
        notice: Option<Notice>,
    },
    ChoosePin {
        digits: usize,
        again: bool,
        notice: Option<Notice>,
    },
    Pairing {
        check: String,
        left_ms: u64,
    },
    Home {
        wearer: String,
        balance: Option<Amount>,
        notice: Option<Notice>,
    },
    Fetching,
    Amount(AmountPad),
    Review(Basket),
    Pin {
        digits: usize,
        gate: PinGate,
        asked: bool,
    },
    Recognise {
        notice: Option<Notice>,
    },
    Sending,
    Waiting {
        shop: String,
        total: Amount,
        left_ms: u64,
        unanswered: bool,
        one_nod: bool,
    },
    Paying {
        shop: String,
        total: Amount,
        struck: Vec<String>,
        guardian: Option<String>,
        words: Option<String>,
        rule: Option<String>,
        unanswered: bool,
    },
    Ended(Ending),
    History(Vec<PastOrder>),
    Settings(About),
}

#[uniffi::remote(Enum)]
pub enum PinGate {
    Open { tries_left: Option<u32> },
    Wait { left_ms: u64 },
    Guardian,
}

#[uniffi::remote(Record)]
pub struct AmountPad {
    pub shop: String,
    pub place: String,
    pub typed: Amount,
    pub least: Amount,
    pub most: Amount,
    pub notice: Option<Notice>,
}

#[uniffi::remote(Record)]
pub struct PastOrder {
    pub kind: EndKind,
    pub shop: String,
    pub total: Amount,
    pub at: Timestamp,
}

#[uniffi::remote(Record)]
pub struct About {
    pub service: String,
    pub watch: String,
    pub session_ms: u64,
    pub pin_change_asked: bool,
}

#[uniffi::remote(Enum)]
pub enum ScanFor {
    Pairing,
    Paying,
}

#[uniffi::remote(Record)]
pub struct Basket {
    pub shop: String,
    pub place: String,
    pub lines: Vec<BasketLine>,
    pub total: Amount,
    pub at_most: bool,
    pub occasion: Option<Occasion>,
}

#[uniffi::remote(Record)]
pub struct BasketLine {
    pub name: String,
    pub quantity: u32,
    pub amount_minor: i64,
}

#[uniffi::remote(Record)]
pub struct Ending {
    pub kind: EndKind,
    pub shop: String,
    pub total: Amount,
    pub struck: Vec<String>,
    pub guardian: Option<String>,
    pub rule: Option<String>,
    pub reason: Option<Notice>,
    pub suggestion: Option<Suggested>,
    pub balance: Option<Amount>,
}

#[uniffi::remote(Record)]
pub struct Suggested {
    pub lines: Vec<SuggestedLine>,
    pub hint: Option<Hint>,
    pub up_to: Option<Amount>,
    pub same_bill: bool,
}

#[uniffi::remote(Record)]
pub struct SuggestedLine {
    pub name: String,
    pub quantity: u32,
    pub asked: u32,
}

#[uniffi::remote(Enum)]
pub enum Hint {
    Smaller,
    Cheaper,
    One,
    Healthier,
}

#[uniffi::remote(Enum)]
pub enum EndKind {
    Paid,
    Failed,
    Refused,
    Expired,
    Cancelled,
}

#[uniffi::remote(Enum)]
pub enum Notice {
    NotAPaymentCode,
    OtherSystem(OtherSystem),
    BrokenCode,
    NotAPairingCode,
    PairingExpired,
    PairingFailed,
    BillExpired,
    BillAlreadyPaid,
    BillCancelled,
    BillNotGenuine,
    BillUnknown,
    NotEnoughMoney { balance: Option<Amount> },
    SeveralCodes,
    AmountTooLarge { most: Amount },
    PinUnlocked,
    PinChanged,
    SessionSet { session_ms: u64 },
    GuardianAdded,
    RecoveryBegun,
    PaymentsPaused,
    NotRecognised,
    PinsDiffer,
    PinTooShort,
    PinTooEasy,
    Words(String),
    WatchNotEnrolled,
    WalletStopped,
    BankDeclined,
    NotGenuine,
    OverNewWatchCap,
    TooLate,
    NoNetwork,
    ServiceTrouble,
    Rule(Why),
    RuleOver,
    RuleLooser { name: String },
}

#[uniffi::remote(Enum)]
pub enum Why {
    Shop,
    Category,
    Place,
    Age,
    Weekday,
    Hour,
    OverPayment,
    OverDay,
    OverWeek,
    OverMonth,
    OverApproval,
    PrintedCode,
    Reduced,
    Clock,
    TwoNods,
    HouseDay,
    HouseWeek,
    HouseMonth,
}

// `alipay`, `wechat`, `bank-app`, `bank-transfer`, `web-address`, or the scheme's own name: `PayNow`. Never handed in.
uniffi::custom_type!(OtherSystem, String, {
    remote,
    try_lift: |name| uniffi::deps::anyhow::bail!("{name} cannot be handed in"),
    lower: |system| match system {
        OtherSystem::Alipay => "alipay",
        OtherSystem::WeChat => "wechat",
        OtherSystem::Emv(Some(scheme)) => scheme,
        OtherSystem::Emv(None) => "bank-app",
        OtherSystem::Epc => "bank-transfer",
        OtherSystem::WebAddress => "web-address",
    }
    .to_owned(),
});

#[uniffi::remote(Enum)]
pub enum UserAction {
    Start,
    Digit(u8),
    Backspace,
    Confirm,
    Cancel,
    Done,
    History,
    Settings,
    Occasion(Option<Occasion>),
    AskGuardian,
    UsePin,
}
