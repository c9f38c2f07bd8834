//! What the watch shows: the agent decides it, any screen library can draw it.
//!
//! A [`View`] carries facts, not sentences: the screens hold the words in each language. Amounts are minor units with
//! their currency, times are milliseconds left, and every text that came from a merchant or a guardian has already
//! been checked by `nodpay-core` (NFC, bounded, no control or invisible characters).

use nodpay_core::Amount;

/// One screen, whole: drawing it needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub screen: Screen,
    /// Whether the event stream to the service is open.
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
    /// Asking the service for the bill behind the code.
    Fetching,
    /// The bill, for the wearer to look at and confirm.
    Review(Basket),
    /// The wearer proves who they are. `digits` typed so far; `locked_ms` > 0 while locked.
    Pin { digits: usize, tries_left: Option<u32>, locked_ms: u64 },
    /// The order is on its way, or waits for the network (`View::online` is false then).
    Sending,
    /// The guardian has the order.
    Waiting { shop: String, total: Amount, left_ms: u64 },
    /// The guardian nodded; the watch is paying `total`. `struck` names what was taken out.
    Paying { shop: String, total: Amount, struck: Vec<String> },
    /// The order ended.
    Ended(Ending),
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
    pub reason: Option<Notice>,
    pub balance: Option<Amount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    Paid,
    Failed,
    Refused,
    Expired,
    Cancelled,
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
    PinsDiffer,
    PinTooShort,
    PinTooEasy,
    /// The guardian's own words.
    Words(String),
    /// The service says this watch is not (or no longer) enrolled.
    WatchNotEnrolled,
    /// A signed message of the other side did not verify: nothing was paid.
    NotGenuine,
    /// Above the cap of a newly paired watch.
    OverNewWatchCap,
    /// The order was no longer open.
    TooLate,
    /// No answer; nothing was paid, try again.
    NoNetwork,
    ServiceTrouble,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSystem {
    Alipay,
    WeChat,
    Emv,
    Epc,
    WebAddress,
}

/// What the wearer can do. Screens turn touches into these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAction {
    /// Home: start to pay. Welcome: scan the pairing code.
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
}
