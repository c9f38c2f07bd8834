//! Every word the watch says, in each language, for a nine-year-old: short, plain, and with what to do next.
//!
//! [`Words`] is one struct literal a language and [`notice`] one exhaustive `match` a language, so that a missing
//! sentence does not compile. Nothing here knows screens; nothing in `screens` or `ui/` holds a sentence.
//!
//! The bold font holds only the Hanzi that occur in this file: after a change run `fonts/make.sh`. A test says so. So these
//! names, which guardians choose, are bold in a heading: 妈妈、爸爸、爷爷、奶奶、外公、外婆、姥姥、姥爷、哥哥、姐姐、叔叔、阿姨、老师.

use jiff::tz::TimeZone;
use nodpay_core::{Amount, Hint, Occasion, Timestamp, Why};
use nodpay_watch::view::{EndKind, Notice, OtherSystem, ScanFor, Suggested, SuggestedLine};

/// The language the watch speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    Chinese,
    English,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::Chinese, Self::English];

    /// BCP 47 tag, for files and for the page around the simulator.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }

    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// The language's own name for itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chinese => "中文",
            Self::English => "English",
        }
    }

    /// The labels that do not depend on what happened.
    #[must_use]
    pub const fn words(self) -> &'static Words {
        match self {
            Self::Chinese => &CHINESE,
            Self::English => &ENGLISH,
        }
    }
}

/// Labels of buttons and headings.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    // Buttons
    pub pay: &'static str,
    pub scan: &'static str,
    pub ok: &'static str,
    pub confirm: &'static str,
    pub back: &'static str,
    pub cancel: &'static str,
    pub done: &'static str,
    pub delete: &'static str,
    pub history: &'static str,
    pub settings: &'static str,
    pub ask_guardian: &'static str,
    pub use_pin: &'static str,
    pub change_pin: &'static str,
    pub why: &'static str,
    pub ask_again: &'static str,
    pub scan_again: &'static str,
    // Welcome
    pub welcome: &'static str,
    pub welcome_hint: &'static str,
    // Scan
    pub scan_to_pay: &'static str,
    pub scan_to_pair: &'static str,
    pub camera: &'static str,
    // PIN
    pub choose_pin: &'static str,
    pub choose_pin_hint: &'static str,
    pub choose_pin_again: &'static str,
    pub pin: &'static str,
    pub locked: &'static str,
    pub locked_hint: &'static str,
    pub locked_guardian_hint: &'static str,
    pub asked: &'static str,
    pub recognise: &'static str,
    pub recognise_hint: &'static str,
    // Pairing
    pub pairing: &'static str,
    pub pairing_hint: &'static str,
    // Home
    pub balance: &'static str,
    pub no_network: &'static str,
    // On the way
    pub fetching: &'static str,
    pub fetching_offline_hint: &'static str,
    pub sending: &'static str,
    pub sending_offline_hint: &'static str,
    pub waiting: &'static str,
    /// One guardian nodded, and another must too.
    pub one_nod: &'static str,
    pub bank_silent: &'static str,
    pub bank_silent_hint: &'static str,
    pub time_left: &'static str,
    // Bill
    pub total: &'static str,
    pub at_most: &'static str,
    pub why_title: &'static str,
    // End
    pub balance_left: &'static str,
    pub nothing_paid: &'static str,
    pub suggestion: &'static str,
    // History
    pub history_empty: &'static str,
    pub history_empty_hint: &'static str,
    // Settings
    pub service: &'static str,
    pub watch_id: &'static str,
    pub version: &'static str,
}

const ENGLISH: Words = Words {
    pay: "Pay",
    scan: "Scan",
    ok: "OK",
    confirm: "Confirm",
    back: "Back",
    cancel: "Cancel",
    done: "Done",
    delete: "Delete",
    history: "History",
    settings: "Settings",
    ask_guardian: "Ask your parent",
    use_pin: "Use PIN",
    change_pin: "Change PIN",
    why: "Why?",
    ask_again: "Ask again",
    scan_again: "Scan again",
    welcome: "Hello!",
    welcome_hint: "Scan the code on your parent's phone.",
    scan_to_pay: "Scan the shop's code",
    scan_to_pair: "Scan the phone's code",
    camera: "Camera",
    choose_pin: "Choose a PIN",
    choose_pin_hint: "4 to 8 digits",
    choose_pin_again: "PIN once more",
    pin: "Your PIN",
    locked: "PIN locked",
    locked_hint: "Too many tries. Wait a bit.",
    locked_guardian_hint: "Your parent can unlock it.",
    asked: "I asked your parent.",
    recognise: "Is it you?",
    recognise_hint: "Touch your watch or look at it.",
    pairing: "Same on the phone?",
    pairing_hint: "Then your parent taps Yes.",
    balance: "You have",
    no_network: "No network",
    fetching: "Getting your bill",
    fetching_offline_hint: "I'll go on when it is back.",
    sending: "Asking your parent",
    sending_offline_hint: "I'll ask when it is back.",
    waiting: "Waiting for a nod",
    one_nod: "One nod, one to go",
    bank_silent: "The bank has not answered yet",
    bank_silent_hint: "We keep asking.",
    time_left: "Time left",
    total: "Total",
    at_most: "Up to",
    why_title: "What is it for?",
    balance_left: "You have left",
    nothing_paid: "Nothing was paid.",
    suggestion: "This would be fine:",
    history_empty: "Nothing yet",
    history_empty_hint: "What you pay shows up here.",
    service: "Service",
    watch_id: "This watch",
    version: "Version",
};

const CHINESE: Words = Words {
    pay: "付款",
    scan: "扫一扫",
    ok: "好的",
    confirm: "确认",
    back: "返回",
    cancel: "取消",
    done: "完成",
    delete: "删除",
    history: "记录",
    settings: "设置",
    ask_guardian: "请家长帮忙",
    use_pin: "用密码",
    change_pin: "改密码",
    why: "为什么买",
    ask_again: "再问一次",
    scan_again: "再扫一次",
    welcome: "你好！",
    welcome_hint: "扫一扫家长手机上的码",
    scan_to_pay: "对准商店的付款码",
    scan_to_pair: "对准手机上的码",
    camera: "相机",
    choose_pin: "设一个密码",
    choose_pin_hint: "4 到 8 位数字",
    choose_pin_again: "再输一次密码",
    pin: "输入密码",
    locked: "密码锁住了",
    locked_hint: "输错太多次，等一会儿吧",
    locked_guardian_hint: "要请家长来解锁",
    asked: "已经告诉家长了",
    recognise: "是你吗？",
    recognise_hint: "碰一碰或看一看手表",
    pairing: "和手机上一样吗？",
    pairing_hint: "一样的话，请家长点“是”",
    balance: "余额",
    no_network: "没有网络",
    fetching: "正在取账单",
    fetching_offline_hint: "有网络了我就继续",
    sending: "正在问家长",
    sending_offline_hint: "有网络了我就去问",
    waiting: "等家长点头",
    one_nod: "还差一位点头",
    bank_silent: "银行还没有回话",
    bank_silent_hint: "我会继续问",
    time_left: "还剩",
    total: "一共",
    at_most: "最多",
    why_title: "为什么要买？",
    balance_left: "余额还有",
    nothing_paid: "没有付钱",
    suggestion: "这样就可以：",
    history_empty: "还没有记录",
    history_empty_hint: "付过的钱会记在这里",
    service: "服务地址",
    watch_id: "手表编号",
    version: "版本",
};

/// What is the matter, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub what: String,
    pub next: String,
}

/// The sentence for a notice. A guardian's own words come without a next step: the screen's buttons are it.
#[must_use]
pub fn notice(language: Language, notice: &Notice) -> Sentence {
    let (what, next) = match language {
        Language::English => english(notice),
        Language::Chinese => chinese(notice),
    };
    Sentence { what, next: next.to_owned() }
}

/// After what a code of another system is: this watch cannot pay it, and what to do.
const CANNOT_PAY: (&str, &str) = ("手表付不了，请商店给点头付的码", "I can't pay that. Ask for a Nodpay code.");

fn english(notice: &Notice) -> (String, &'static str) {
    let (what, next) = match notice {
        Notice::NotAPaymentCode => ("That isn't a payment code.", "Look for the shop's code."),
        Notice::OtherSystem(system) => {
            let what = match system {
                OtherSystem::Alipay => "That's an Alipay code.",
                OtherSystem::WeChat => "That's a WeChat code.",
                OtherSystem::Emv(None) => "That code is for bank apps.",
                OtherSystem::Emv(Some(scheme)) => return (format!("That code is for {scheme}."), CANNOT_PAY.1),
                OtherSystem::Epc => "That's a bank transfer code.",
                OtherSystem::WebAddress => "That's a web page.",
            };
            (what, CANNOT_PAY.1)
        }
        Notice::BrokenCode => ("That code is broken.", "Ask the shop for a new one."),
        Notice::NotAPairingCode => ("That isn't the right code.", "Use the one on your parent's phone."),
        Notice::PairingExpired => ("That code is too old.", "Ask your parent for a new one."),
        Notice::PairingFailed => ("Pairing didn't work.", "Ask your parent to start again."),
        Notice::BillExpired => ("This bill is too old.", "Ask the shop for a new code."),
        Notice::BillAlreadyPaid => ("This is paid already.", "You don't need to pay again."),
        Notice::BillCancelled => ("The shop took this bill back.", "Ask the shop for a new code."),
        Notice::BillNotGenuine => ("This bill isn't real!", "Don't pay here. Tell a grown-up."),
        Notice::BillUnknown => ("I can't find this bill.", "Ask the shop for a new code."),
        Notice::NotEnoughMoney { balance } => {
            let what = match balance {
                Some(balance) => format!("You only have {}.", amount(*balance)),
                None => "There isn't enough money.".to_owned(),
            };
            return (what, "Buy less, or ask your parent.");
        }
        Notice::SeveralCodes => ("I see two codes.", "Show me just one."),
        Notice::AmountTooLarge { most } => {
            return (format!("The most is {}.", amount(*most)), "Type a smaller amount.");
        }
        Notice::PinUnlocked => ("Your PIN works again.", "Your parent unlocked it."),
        Notice::SessionSet { session_ms } => return (session(Language::English, *session_ms), "Your parent set this."),
        Notice::PinChanged => ("You have a new PIN.", "Remember it well."),
        Notice::GuardianAdded => ("Someone new can nod for you.", "Your parent added them."),
        Notice::RecoveryBegun => ("Someone uses a recovery code.", "Tell your parent."),
        Notice::PaymentsPaused => ("Payments are paused.", "Your parent paused them."),
        Notice::NotRecognised => ("I don't know you.", "Try again, or use your PIN."),
        Notice::PinsDiffer => ("Not the same PIN.", "Choose it again."),
        Notice::PinTooShort => ("That's too short.", "Use 4 to 8 digits."),
        Notice::PinTooEasy => ("Too easy to guess.", "Choose another one."),
        Notice::Words(words) => return (quoted(words), ""),
        Notice::WatchNotEnrolled => ("This watch isn't paired any more.", "Ask your parent to pair it again."),
        Notice::WalletStopped => ("Your wallet is stopped.", "Ask your parent about it."),
        Notice::BankDeclined => ("The bank did not pay.", "Ask your parent about it."),
        Notice::NotGenuine => ("I stopped: something is wrong.", "Tell your parent."),
        Notice::OverNewWatchCap => ("That's too much for a new watch.", "Try something smaller today."),
        Notice::TooLate => ("That was too late.", "Start again."),
        Notice::NoNetwork => ("There is no network.", "Try again in a moment."),
        Notice::ServiceTrouble => ("The pay service has a problem.", "Try again later."),
        Notice::Rule(why) => rule(*why),
        Notice::RuleOver => ("The rule says no now.", "Ask your parent to nod."),
        Notice::RuleLooser { name } => return (format!("Looser rule: {name}"), "Your parent set this."),
    };
    (what.to_owned(), next)
}

fn chinese(notice: &Notice) -> (String, &'static str) {
    let (what, next) = match notice {
        Notice::NotAPaymentCode => ("这不是付款码", "找一找商店的付款码"),
        Notice::OtherSystem(system) => {
            let what = match system {
                OtherSystem::Alipay => "这是支付宝的码",
                OtherSystem::WeChat => "这是微信的码",
                OtherSystem::Emv(None) => "这是银行软件的码",
                OtherSystem::Emv(Some(scheme)) => return (format!("这是 {scheme} 的码"), CANNOT_PAY.0),
                OtherSystem::Epc => "这是银行转账的码",
                OtherSystem::WebAddress => "这是一个网址",
            };
            (what, CANNOT_PAY.0)
        }
        Notice::BrokenCode => ("这个码坏了", "请商店换一个新的"),
        Notice::NotAPairingCode => ("这个码不对", "请扫家长手机上的码"),
        Notice::PairingExpired => ("这个码过期了", "请家长换一个新的"),
        Notice::PairingFailed => ("没有配对成功", "请家长再来一次"),
        Notice::BillExpired => ("这张账单过期了", "请商店给一个新码"),
        Notice::BillAlreadyPaid => ("这张账单付过了", "不用再付啦"),
        Notice::BillCancelled => ("商店收回了账单", "请商店给一个新码"),
        Notice::BillNotGenuine => ("这张账单是假的！", "别在这里付，快告诉大人"),
        Notice::BillUnknown => ("找不到这张账单", "请商店给一个新码"),
        Notice::NotEnoughMoney { balance } => {
            let what = match balance {
                Some(balance) => format!("钱不够，只有 {}", amount(*balance)),
                None => "钱不够".to_owned(),
            };
            return (what, "少买一点，或者问问家长");
        }
        Notice::SeveralCodes => ("我看到两个码", "请只给我看一个"),
        Notice::AmountTooLarge { most } => return (format!("最多 {}", amount(*most)), "输一个小一点的数"),
        Notice::PinUnlocked => ("密码又能用了", "家长帮你解锁了"),
        Notice::SessionSet { session_ms } => return (session(Language::Chinese, *session_ms), "这是家长设的"),
        Notice::PinChanged => ("新密码设好了", "要好好记住哦"),
        Notice::GuardianAdded => ("多了一位家长", "新家长能帮你点头"),
        Notice::RecoveryBegun => ("有人要换家长的手机", "快告诉家长"),
        Notice::PaymentsPaused => ("付款停了", "是家长停的"),
        Notice::NotRecognised => ("没有认出你", "再试一次，或者用密码"),
        Notice::PinsDiffer => ("两次不一样", "重新设一个"),
        Notice::PinTooShort => ("太短了", "要 4 到 8 位数字"),
        Notice::PinTooEasy => ("太好猜了", "换一个吧"),
        Notice::Words(words) => return (quoted(words), ""),
        Notice::WatchNotEnrolled => ("这块手表解绑了", "请家长重新配对"),
        Notice::WalletStopped => ("付款停用了", "请问问家长"),
        Notice::BankDeclined => ("银行没有付款", "请问问家长"),
        Notice::NotGenuine => ("有点不对劲，我停下了", "快告诉家长"),
        Notice::OverNewWatchCap => ("新手表还不能付这么多", "今天先买小一点的"),
        Notice::TooLate => ("来晚了一步", "重新来一次吧"),
        Notice::NoNetwork => ("没有网络", "过一会儿再试试"),
        Notice::ServiceTrouble => ("付款服务出了点问题", "晚一点再试试"),
        Notice::Rule(why) => rule_in_chinese(*why),
        Notice::RuleOver => ("约定现在不管用了", "请家长点个头"),
        Notice::RuleLooser { name } => return (format!("约定变宽了：{name}"), "这是家长设的"),
    };
    (what.to_owned(), next)
}

/// Someone's own words.
#[must_use]
pub fn quoted(words: &str) -> String {
    format!("“{words}”")
}

/// The heading of an ended order. `guardian` is who decided, by the name they chose.
#[must_use]
pub fn ended(language: Language, kind: EndKind, guardian: Option<&str>) -> String {
    let text = match (language, kind) {
        (Language::English, EndKind::Paid) => "Paid!",
        (Language::English, EndKind::Failed) => "It didn't work",
        (Language::English, EndKind::Refused) => return format!("{} said no", who(language, guardian)),
        (Language::English, EndKind::Expired) => "Time ran out",
        (Language::English, EndKind::Cancelled) => "Cancelled",
        (Language::Chinese, EndKind::Paid) => "付好啦！",
        (Language::Chinese, EndKind::Failed) => "没有成功",
        (Language::Chinese, EndKind::Refused) => return format!("{}没有同意", who(language, guardian)),
        (Language::Chinese, EndKind::Expired) => "时间到了",
        (Language::Chinese, EndKind::Cancelled) => "已取消",
    };
    text.to_owned()
}

/// How an order of the history ended, in a word or two.
#[must_use]
pub const fn past(language: Language, kind: EndKind) -> &'static str {
    match (language, kind) {
        (Language::English, EndKind::Paid) => "paid",
        (Language::English, EndKind::Failed) => "didn't work",
        (Language::English, EndKind::Refused) => "no nod",
        (Language::English, EndKind::Expired) => "too late",
        (Language::English, EndKind::Cancelled) => "cancelled",
        (Language::Chinese, EndKind::Paid) => "付好了",
        (Language::Chinese, EndKind::Failed) => "没成功",
        (Language::Chinese, EndKind::Refused) => "没点头",
        (Language::Chinese, EndKind::Expired) => "过时了",
        (Language::Chinese, EndKind::Cancelled) => "取消了",
    }
}

/// Day and month where the watch is: `23 Nov`, `11月23日`.
#[must_use]
pub fn day(language: Language, at: Timestamp, zone: &TimeZone) -> String {
    // Beyond the year 9999 there is no day to say.
    let Ok(at) = jiff::Timestamp::from_millisecond(at.unix_ms()) else { return "–".to_owned() };
    let at = at.to_zoned(zone.clone());
    match language {
        Language::English => at.strftime("%-d %b").to_string(),
        Language::Chinese => at.strftime("%-m月%-d日").to_string(),
    }
}

/// Why the child asks.
#[must_use]
pub const fn occasion(language: Language, occasion: Occasion) -> &'static str {
    match (language, occasion) {
        (Language::English, Occasion::School) => "School",
        (Language::English, Occasion::Hungry) => "Hungry",
        (Language::English, Occasion::Thirsty) => "Thirsty",
        (Language::English, Occasion::Birthday) => "Birthday",
        (Language::English, Occasion::Present) => "Present",
        (Language::English, Occasion::Journey) => "Journey",
        (Language::Chinese, Occasion::School) => "上学用",
        (Language::Chinese, Occasion::Hungry) => "饿了",
        (Language::Chinese, Occasion::Thirsty) => "渴了",
        (Language::Chinese, Occasion::Birthday) => "过生日",
        (Language::Chinese, Occasion::Present) => "送礼物",
        (Language::Chinese, Occasion::Journey) => "路上用",
    }
}

/// What can be typed on the number pad: `¥0.01 – ¥50.00`.
#[must_use]
pub fn bounds(least: Amount, most: Amount) -> String {
    format!("{} – {}", amount(least), amount(most))
}

/// For how long no PIN is asked after one; minutes are rounded up, so that it never says more safety than there is.
#[must_use]
pub fn session(language: Language, session_ms: u64) -> String {
    match (language, session_ms.div_ceil(60_000)) {
        (Language::English, 0) => "PIN for every payment".to_owned(),
        (Language::English, 1) => "PIN again after 1 minute".to_owned(),
        (Language::English, minutes) => format!("PIN again after {minutes} minutes"),
        (Language::Chinese, 0) => "每次付款都要输密码".to_owned(),
        (Language::Chinese, minutes) => format!("输一次密码，{minutes} 分钟内不用再输"),
    }
}

fn who(language: Language, guardian: Option<&str>) -> &str {
    match language {
        Language::English => guardian.unwrap_or("Your parent"),
        Language::Chinese => guardian.unwrap_or("家长"),
    }
}

/// Why a standing rule does not allow it, and what to do next.
const fn rule(why: Why) -> (&'static str, &'static str) {
    match why {
        Why::Shop => ("Not at this shop.", "Ask your parent about it."),
        Why::Category => ("Not for this kind of shop.", "Ask your parent about it."),
        Why::Place => ("Not in this place.", "Ask your parent about it."),
        Why::Age => ("You are too young for this.", "Choose something else."),
        Why::Weekday => ("Not on this day.", "Try again another day."),
        Why::Hour => ("Not at this time of day.", "Try again later."),
        Why::OverPayment | Why::OverApproval => ("That is too much at once.", "Choose something smaller."),
        Why::OverDay => ("Enough spent for today.", "Try again tomorrow."),
        Why::OverWeek => ("Enough spent this week.", "Try again next week."),
        Why::OverMonth => ("Enough spent this month.", "Try again next month."),
        Why::PrintedCode => ("Not with a printed code.", "Ask the shop for a bill."),
        Why::Reduced => ("Not for a part of the bill.", "Ask your parent about it."),
        Why::Clock => ("My clock is wrong.", "Try again in a moment."),
        Why::TwoNods => ("Two parents must nod to this.", "Ask them about it."),
        Why::HouseDay | Why::HouseWeek | Why::HouseMonth => {
            ("Enough spent by all of you.", "Ask your parent about it.")
        }
    }
}

const fn rule_in_chinese(why: Why) -> (&'static str, &'static str) {
    match why {
        Why::Shop => ("这家店不可以", "问问家长"),
        Why::Category => ("这类店不可以", "问问家长"),
        Why::Place => ("这个地方不可以", "问问家长"),
        Why::Age => ("你还太小，不能买", "换一个吧"),
        Why::Weekday => ("今天不可以", "换一天再来"),
        Why::Hour => ("这个时候不可以", "晚一点再试试"),
        Why::OverPayment | Why::OverApproval => ("一次付得太多了", "先买小一点的"),
        Why::OverDay => ("今天的钱用完了", "明天再来吧"),
        Why::OverWeek => ("这周的钱用完了", "下周再来吧"),
        Why::OverMonth => ("这个月的钱用完了", "下个月再来吧"),
        Why::PrintedCode => ("贴着的码不可以", "请商店给一张账单"),
        Why::Reduced => ("只买一点不可以", "问问家长"),
        Why::Clock => ("我的钟不准", "过一会儿再试试"),
        Why::TwoNods => ("这个要两位家长点头", "问问他们"),
        Why::HouseDay | Why::HouseWeek | Why::HouseMonth => ("全家的钱用得够多了", "问问家长"),
    }
}

/// The heading of what a standing rule lets be paid.
#[must_use]
pub fn allowed(language: Language, guardian: Option<&str>) -> String {
    match language {
        Language::English => format!("{}'s rule says yes", who(language, guardian)),
        Language::Chinese => format!("{}约定过，可以！", who(language, guardian)),
    }
}

/// The heading of what a standing rule refused.
#[must_use]
pub fn ruled_out(language: Language, guardian: Option<&str>) -> String {
    match language {
        Language::English => format!("{}'s rule says no", who(language, guardian)),
        Language::Chinese => format!("{}约定过，不可以", who(language, guardian)),
    }
}

/// "Mama nodded!"
#[must_use]
pub fn nodded(language: Language, guardian: Option<&str>) -> String {
    match language {
        Language::English => format!("{} nodded!", who(language, guardian)),
        Language::Chinese => format!("{}点头啦！", who(language, guardian)),
    }
}

/// Who decided, for a name too long for the heading.
#[must_use]
pub fn decided_by(language: Language, guardian: &str) -> String {
    match language {
        Language::English => format!("Your parent: {guardian}"),
        Language::Chinese => format!("家长：{guardian}"),
    }
}

/// By which rule it was decided.
#[must_use]
pub fn by_rule(language: Language, rule: &str) -> String {
    match language {
        Language::English => format!("Rule: {rule}"),
        Language::Chinese => format!("约定：{rule}"),
    }
}

/// What to point the camera at.
#[must_use]
pub const fn scan_hint(language: Language, purpose: ScanFor) -> &'static str {
    match purpose {
        ScanFor::Paying => language.words().scan_to_pay,
        ScanFor::Pairing => language.words().scan_to_pair,
    }
}

/// "Hello, Mia".
#[must_use]
pub fn greeting(language: Language, wearer: &str) -> String {
    match language {
        Language::English => format!("Hi, {wearer}"),
        Language::Chinese => format!("{wearer}，你好"),
    }
}

#[must_use]
pub fn tries_left(language: Language, tries: u32) -> String {
    match (language, tries) {
        (Language::English, 1) => "Wrong. 1 try left".to_owned(),
        (Language::English, _) => format!("Wrong. {tries} tries left"),
        (Language::Chinese, _) => format!("不对，还能试 {tries} 次"),
    }
}

/// "Mama took out: cola, crisps".
#[must_use]
pub fn took_out(language: Language, guardian: Option<&str>, names: &[String]) -> String {
    let who = who(language, guardian);
    match language {
        Language::English => format!("{who} took out: {}", names.join(", ")),
        Language::Chinese => format!("{who}去掉了：{}", names.join("、")),
    }
}

/// What the guardian would rather nod to, a sentence each.
#[must_use]
pub fn suggested(language: Language, suggestion: &Suggested) -> Vec<String> {
    let Suggested { lines, hint, up_to, same_bill: _ } = suggestion;
    let line = |SuggestedLine { name, quantity, asked }: &SuggestedLine| match asked {
        1 => name.clone(),
        _ => format!("{name} × {quantity}"),
    };
    let names: Vec<String> = lines.iter().map(line).collect();
    let only = (!names.is_empty()).then(|| match language {
        Language::English => format!("just {}", names.join(", ")),
        Language::Chinese => format!("只买{}", names.join("、")),
    });
    let most = up_to.map(|most| match language {
        Language::English => format!("at most {}", amount(most)),
        Language::Chinese => format!("最多 {}", amount(most)),
    });
    [only, hint.map(|hinted| hint_words(language, hinted).to_owned()), most].into_iter().flatten().collect()
}

const fn hint_words(language: Language, hint: Hint) -> &'static str {
    match (language, hint) {
        (Language::English, Hint::Smaller) => "the small one",
        (Language::English, Hint::Cheaper) => "a cheaper one",
        (Language::English, Hint::One) => "just one of them",
        (Language::English, Hint::Healthier) => "something healthier",
        (Language::Chinese, Hint::Smaller) => "换一个小一点的",
        (Language::Chinese, Hint::Cheaper) => "换一个钱少一点的",
        (Language::Chinese, Hint::One) => "只买一个",
        (Language::Chinese, Hint::Healthier) => "换一个对你好一点的",
    }
}

/// How many PIN digits were typed, for a screen reader. Never which.
#[must_use]
pub fn digits_typed(language: Language, digits: usize) -> String {
    match (language, digits) {
        (Language::English, 1) => "1 digit typed".to_owned(),
        (Language::English, _) => format!("{digits} digits typed"),
        (Language::Chinese, _) => format!("已输入 {digits} 位"),
    }
}

/// Minutes and seconds, rounded up so that a running clock never reads 0:00: `9:41`, `1:02:00`.
#[must_use]
pub fn clock(left_ms: u64) -> String {
    let seconds = left_ms.div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// An amount as people write it: `¥12.50`, `−¥2.00`, `US$1,234.56`, `PLN 12.50`.
#[must_use]
pub fn amount(amount: Amount) -> String {
    amount_minor(amount.minor(), amount.currency().code(), amount.currency().exponent())
}

/// As [`amount`], from minor units, ISO 4217 code and the number of decimals.
#[must_use]
pub fn amount_minor(minor: i64, code: &str, exponent: u32) -> String {
    let sign = if minor < 0 { "−" } else { "" };
    let scale = 10_u64.saturating_pow(exponent);
    let (whole, rest) = (minor.unsigned_abs() / scale, minor.unsigned_abs() % scale);
    let whole = grouped(whole);
    let width = usize::try_from(exponent).unwrap_or(0);
    let number = if exponent == 0 { whole } else { format!("{whole}.{rest:0width$}") };
    match symbol(code) {
        Some(symbol) => format!("{sign}{symbol}{number}"),
        // No-break space: code and number stay on one line.
        None => format!("{sign}{code}\u{a0}{number}"),
    }
}

/// Signs that mean one currency only; where two share one, a letter tells them apart.
fn symbol(code: &str) -> Option<&'static str> {
    Some(match code {
        "CNY" => "¥",
        "JPY" => "JP¥",
        "EUR" => "€",
        "GBP" => "£",
        "USD" => "US$",
        "HKD" => "HK$",
        "TWD" => "NT$",
        "SGD" => "S$",
        "AUD" => "A$",
        "CAD" => "C$",
        "NZD" => "NZ$",
        "KRW" => "₩",
        "INR" => "₹",
        "VND" => "₫",
        "PHP" => "₱",
        "UAH" => "₴",
        "TRY" => "₺",
        "ILS" => "₪",
        _ => return None,
    })
}

fn grouped(whole: u64) -> String {
    let digits = whole.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        for (minor, code, exponent, expected) in [
            (1250, "CNY", 2, "¥12.50"),
            (-200, "CNY", 2, "−¥2.00"),
            (5, "EUR", 2, "€0.05"),
            (1_234_567, "JPY", 0, "JP¥1,234,567"),
            (123_456, "USD", 2, "US$1,234.56"),
            (12_345, "KWD", 3, "KWD\u{a0}12.345"),
            (i64::MIN, "CNY", 2, "−¥92,233,720,368,547,758.08"),
        ] {
            assert_eq!(amount_minor(minor, code, exponent), expected);
        }
    }

    #[test]
    fn clocks_round_up() {
        assert_eq!(clock(0), "0:00");
        assert_eq!(clock(1), "0:01");
        assert_eq!(clock(581_000), "9:41");
        assert_eq!(clock(3_600_000), "1:00:00");
    }

    #[test]
    fn sentences_name_the_guardian_or_the_parent() {
        let struck = ["cola".to_owned(), "crisps".to_owned()];
        assert_eq!(took_out(Language::English, Some("Mama"), &struck), "Mama took out: cola, crisps");
        assert_eq!(took_out(Language::Chinese, None, &struck), "家长去掉了：cola、crisps");
        assert_eq!(nodded(Language::English, None), "Your parent nodded!");
        assert_eq!(nodded(Language::Chinese, Some("妈妈")), "妈妈点头啦！");
        assert_eq!(ended(Language::English, EndKind::Refused, Some("Mama")), "Mama said no");
        assert_eq!(allowed(Language::English, Some("Mama")), "Mama's rule says yes");
        assert_eq!(ruled_out(Language::Chinese, None), "家长约定过，不可以");
    }

    /// An evening in Europe is the next day in China.
    #[test]
    fn a_day_is_the_day_where_the_watch_is() {
        let evening = Timestamp::from_unix_ms(1_795_460_400_000); // 2026-11-23 19:00 UTC
        let china = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(day(Language::English, evening, &TimeZone::UTC), "23 Nov");
        assert_eq!(day(Language::Chinese, evening, &china), "11月24日");
        assert_eq!(day(Language::English, Timestamp::from_unix_ms(i64::MAX), &china), "–");
    }

    #[test]
    fn a_session_is_said_in_whole_minutes() {
        assert_eq!(session(Language::English, 0), "PIN for every payment");
        assert_eq!(session(Language::English, 30_000), "PIN again after 1 minute");
        assert_eq!(session(Language::Chinese, 600_000), "输一次密码，10 分钟内不用再输");
    }

    /// No sentence is empty, and no English letter is left in a Chinese one, but for the name of a payment scheme.
    #[test]
    fn every_notice_says_what_and_what_next() {
        for language in Language::ALL {
            for one in crate::gallery::notices() {
                let sentence = notice(language, &one);
                assert!(!sentence.what.is_empty(), "{one:?}");
                assert!(!sentence.next.is_empty() || matches!(one, Notice::Words(_)), "{one:?}");
                let named = matches!(
                    one,
                    Notice::Words(_) | Notice::RuleLooser { .. } | Notice::OtherSystem(OtherSystem::Emv(Some(_)))
                );
                if language == Language::Chinese && !named {
                    let latin = |c: char| c.is_ascii_alphabetic();
                    assert!(!sentence.what.contains(latin) && !sentence.next.contains(latin), "{sentence:?}");
                }
            }
        }
    }
}
