//! Every screen with contents as they come in life, long names and many lines included: for tests, for the contact
//! sheet, and for whoever designs the next screen.

use std::path::Path;

use image::{ImageResult, Rgb, RgbImage};
use nodpay_core::{Amount, Currency, Hint, Minor, Occasion, Timestamp, Why};
use nodpay_watch::view::{
    About, AmountPad, Basket, BasketLine, EndKind, Ending, Notice, OtherSystem, PastOrder, PinGate, ScanFor, Screen,
    Suggested, SuggestedLine, View,
};

use crate::screens::{Picture, Screens, Shape, caption};
use crate::words::{Language, Words};

/// One picture of the gallery.
#[derive(Clone, Debug)]
pub struct Entry {
    /// For files and messages.
    pub name: &'static str,
    pub view: View,
    /// What is touched then, if the view alone does not show it.
    pub tap: Option<fn(&'static Words) -> &'static str>,
}

impl Entry {
    const fn new(name: &'static str, screen: Screen) -> Self {
        Self { name, view: View { screen, online: true }, tap: None }
    }

    fn offline(mut self) -> Self {
        self.view.online = false;
        self
    }

    fn then(mut self, tap: fn(&'static Words) -> &'static str) -> Self {
        self.tap = Some(tap);
        self
    }

    /// Shows it and draws it.
    pub fn show(&self, screens: &mut Screens) {
        screens.show(&self.view);
        if matches!(self.view.screen, Screen::Scan { purpose: ScanFor::Paying, .. }) {
            let (width, height, luma) = still_life();
            screens.set_preview(width, height, &luma);
        }
        screens.draw();
        if let Some(label) = self.tap {
            screens.tap(label(screens.language().words()));
            screens.draw();
        }
    }
}

/// Each screen in each of its states.
#[must_use]
pub fn gallery() -> Vec<Entry> {
    let balance = Some(yuan(8640));
    let mama = Some("妈妈");
    let home = |wearer: &str, balance, notice| Screen::Home { wearer: wearer.to_owned(), balance, notice };
    let scan = |purpose, notice| Screen::Scan { purpose, notice };
    let choose = |digits, again, notice| Screen::ChoosePin { digits, again, notice };
    let pin = |digits, gate, asked| Screen::Pin { digits, gate, asked };
    let open = |tries_left| PinGate::Open { tries_left };
    let locked = PinGate::Wait { left_ms: 297_000 };
    let entry = Entry::new;
    vec![
        entry("welcome", Screen::Welcome { notice: None }).offline(),
        entry("welcome-notice", Screen::Welcome { notice: Some(Notice::PairingExpired) }).offline(),
        entry("scan-pairing", scan(ScanFor::Pairing, None)).offline(),
        entry("scan-pairing-notice", scan(ScanFor::Pairing, Some(Notice::NotAPairingCode))).offline(),
        entry("scan", scan(ScanFor::Paying, None)),
        entry("scan-notice", scan(ScanFor::Paying, Some(Notice::OtherSystem(OtherSystem::Alipay)))),
        entry("scan-several", scan(ScanFor::Paying, Some(Notice::SeveralCodes))),
        entry("choose-pin", choose(0, false, None)),
        entry("choose-pin-typed", choose(5, false, None)),
        entry("choose-pin-again", choose(8, true, None)),
        entry("choose-pin-differ", choose(0, false, Some(Notice::PinsDiffer))),
        entry("choose-pin-easy", choose(0, false, Some(Notice::PinTooEasy))),
        entry("pairing", Screen::Pairing { check: "482 913".to_owned(), left_ms: 1_260_000 }),
        entry("home", home("小明", balance, None)),
        entry("home-english-name", home("Mia", Some(yuan(123_450)), None)),
        entry("home-offline", home("Łucja", balance, None)).offline(),
        entry("home-no-balance", home("欧阳晓晓", None, None)),
        entry("home-no-balance-offline", home("欧阳晓晓", None, None)).offline(),
        entry("home-long-name", home("Maximiliane-Alexandra", Some(dollars(123_456_789)), None)),
        entry("home-notice", home("小明", balance, Some(Notice::BillNotGenuine))),
        entry("home-notice-money", home("小明", balance, Some(Notice::NotEnoughMoney { balance: Some(yuan(640)) }))),
        entry("home-notice-unpaired", home("小明", None, Some(Notice::WatchNotEnrolled))),
        entry("home-notice-unlocked", home("小明", balance, Some(Notice::PinUnlocked))),
        entry("fetching", Screen::Fetching),
        entry("fetching-offline", Screen::Fetching).offline(),
        entry("amount", Screen::Amount(pad(0, None))),
        entry("amount-typed", Screen::Amount(pad(350, None))),
        entry("amount-too-large", Screen::Amount(pad(62_000, Some(Notice::AmountTooLarge { most: yuan(5000) })))),
        entry("review", Screen::Review(stationer())),
        entry("review-occasion", Screen::Review(Basket { occasion: Some(Occasion::School), ..stationer() })),
        entry("review-why", Screen::Review(stationer())).then(|words| words.why),
        entry("review-why-chosen", Screen::Review(Basket { occasion: Some(Occasion::Thirsty), ..canteen() }))
            .then(|words| if words.why == Language::English.words().why { "Thirsty" } else { "渴了" }),
        entry("review-long", Screen::Review(supermarket())),
        entry("review-one", Screen::Review(canteen())),
        entry("review-at-most", Screen::Review(Basket { at_most: true, ..stationer() })),
        entry("pin", pin(0, open(None), false)),
        entry("pin-typed", pin(4, open(None), false)),
        entry("pin-wrong", pin(0, open(Some(2)), false)),
        entry("pin-asked", pin(0, open(Some(1)), true)),
        entry("pin-locked", pin(0, locked, false)),
        entry("pin-locked-asked", pin(0, locked, true)),
        entry("pin-guardian", pin(0, PinGate::Guardian, false)),
        entry("pin-guardian-asked", pin(0, PinGate::Guardian, true)),
        entry("recognise", Screen::Recognise { notice: None }),
        entry("recognise-notice", Screen::Recognise { notice: Some(Notice::NotRecognised) }),
        entry("sending", Screen::Sending),
        entry("sending-offline", Screen::Sending).offline(),
        entry("waiting", waiting("晨光文具店", yuan(2350), 523_000)),
        entry("waiting-long", waiting("Księgarnia i Papiernik „Pod Żółtą Łodzią”", zloty(123_456), 71_000)),
        entry("waiting-one-nod", one_nod(waiting("晨光文具店", yuan(62_350), 402_000))),
        entry("waiting-offline", waiting("晨光文具店", yuan(2350), 240_000)).offline(),
        entry("paying", paying("晨光文具店", yuan(2350), &[], None, None)),
        entry("paying-unanswered", unanswered(paying("快乐超市", yuan(3120), &["可乐"], Some("Mama"), None))),
        entry("paying-struck", paying("快乐超市", yuan(3120), &["可乐", "Chio Chips Paprika"], Some("Mama"), None)),
        entry("paying-words", paying("快乐超市", yuan(3120), &["可乐"], mama, Some("可乐对牙齿不好，喝水吧"))),
        entry(
            "paying-long-name",
            paying("快乐超市", yuan(3120), &[], Some("Alexandra-Konstantina Papadopoulou"), None),
        ),
        entry("paying-rule", by_rule(paying("晨光文具店", yuan(2350), &[], mama, None), "上学路上的早点")),
        entry("paid", ended(EndKind::Paid, &[], None, None, balance)),
        entry("paid-rule", by_rule(ended(EndKind::Paid, &[], mama, None, balance), "上学路上的早点")),
        entry("paid-struck", ended(EndKind::Paid, &["可乐", "大白兔奶糖"], mama, None, balance)),
        entry("paid-struck-words", ended(EndKind::Paid, &["可乐"], Some("Papa"), Some(words_of_mother()), balance)),
        entry("refused", ended(EndKind::Refused, &[], None, None, balance)),
        entry("refused-words", ended(EndKind::Refused, &[], mama, Some(words_of_mother()), balance)),
        entry(
            "refused-long-name",
            ended(EndKind::Refused, &[], Some("Бабушка Екатерина Александровна"), None, balance),
        ),
        entry(
            "refused-rule",
            by_rule(
                ended(EndKind::Refused, &[], mama, Some(Notice::Rule(Why::Hour)), balance),
                "Sweets, but only after lunch",
            ),
        ),
        entry("refused-only", suggested(words_of_mother(), &[("2B 铅笔", 3), ("橡皮", 1)], None, None, true)),
        entry("refused-hint", suggested(words_of_mother(), &[], Some(Hint::Smaller), None, false)),
        entry(
            "refused-all",
            suggested(words_of_mother(), &[("Łódź Żurek", 1)], Some(Hint::Healthier), Some(yuan(1200)), false),
        ),
        entry("paid-words", ended(EndKind::Paid, &[], mama, Some(words_of_mother()), balance)),
        entry(
            "failed",
            ended(EndKind::Failed, &[], None, Some(Notice::NotEnoughMoney { balance: Some(yuan(640)) }), None),
        ),
        entry("failed-not-genuine", ended(EndKind::Failed, &[], None, Some(Notice::NotGenuine), balance)),
        entry("expired", ended(EndKind::Expired, &[], None, None, balance)),
        entry("cancelled", ended(EndKind::Cancelled, &[], None, None, None)),
        entry("history", Screen::History(history())),
        entry("history-empty", Screen::History(Vec::new())),
        entry("settings", Screen::Settings(about(false))),
        entry("settings-asked", Screen::Settings(about(true))),
        entry(
            "settings-unpaired",
            Screen::Settings(About { service: String::new(), watch: String::new(), ..about(false) }),
        )
        .offline(),
    ]
}

/// Every notice once, and those with something in them in each of their ways.
#[must_use]
pub fn notices() -> Vec<Notice> {
    vec![
        Notice::NotAPaymentCode,
        Notice::OtherSystem(OtherSystem::Alipay),
        Notice::OtherSystem(OtherSystem::WeChat),
        Notice::OtherSystem(OtherSystem::Emv(None)),
        Notice::OtherSystem(OtherSystem::Emv(Some("PromptPay"))),
        Notice::OtherSystem(OtherSystem::Epc),
        Notice::OtherSystem(OtherSystem::WebAddress),
        Notice::BrokenCode,
        Notice::NotAPairingCode,
        Notice::PairingExpired,
        Notice::PairingFailed,
        Notice::BillExpired,
        Notice::BillAlreadyPaid,
        Notice::BillCancelled,
        Notice::BillNotGenuine,
        Notice::BillUnknown,
        Notice::NotEnoughMoney { balance: Some(yuan(640)) },
        Notice::NotEnoughMoney { balance: None },
        Notice::SeveralCodes,
        Notice::AmountTooLarge { most: yuan(640) },
        Notice::PinUnlocked,
        Notice::PinChanged,
        Notice::SessionSet { session_ms: 30 * 60_000 },
        Notice::GuardianAdded,
        Notice::RecoveryBegun,
        Notice::PaymentsPaused,
        Notice::NotRecognised,
        Notice::PinsDiffer,
        Notice::PinTooShort,
        Notice::PinTooEasy,
        words_of_mother(),
        Notice::WatchNotEnrolled,
        Notice::WalletStopped,
        Notice::BankDeclined,
        Notice::NotGenuine,
        Notice::OverNewWatchCap,
        Notice::TooLate,
        Notice::NoNetwork,
        Notice::ServiceTrouble,
        Notice::Rule(Why::Shop),
        Notice::Rule(Why::Category),
        Notice::Rule(Why::Place),
        Notice::Rule(Why::Age),
        Notice::Rule(Why::Weekday),
        Notice::Rule(Why::Hour),
        Notice::Rule(Why::OverPayment),
        Notice::Rule(Why::OverDay),
        Notice::Rule(Why::OverWeek),
        Notice::Rule(Why::OverMonth),
        Notice::Rule(Why::PrintedCode),
        Notice::Rule(Why::Reduced),
        Notice::Rule(Why::Clock),
        Notice::RuleOver,
        Notice::RuleLooser { name: "零食".to_owned() },
    ]
}

/// The longest and largest that a shop or a guardian may send, for tests.
#[cfg(test)]
pub(crate) fn extremes() -> Vec<(&'static str, Screen)> {
    const LONGEST_NAME: usize = 60;
    let mut screens = Vec::new();
    let (most, most_mils) = (amount(nodpay_core::MAX_MINOR, "CNY"), amount(nodpay_core::MAX_MINOR, "KWD"));
    for (letter, total) in [("W", most_mils), ("龘", most), ("🍫", most_mils), ("Wm ", yuan(1))] {
        let name: String = letter.repeat(LONGEST_NAME).chars().take(LONGEST_NAME).collect();
        let name = name.trim();
        let lines = vec![line(name, 999_999, total.minor()); 64];
        let basket =
            Basket { shop: name.to_owned(), place: name.to_owned(), lines, total, at_most: true, occasion: None };
        let struck = vec![name; 64];
        let note: String =
            letter.repeat(nodpay_core::MAX_NOTE_CHARS).chars().take(nodpay_core::MAX_NOTE_CHARS).collect();
        let said = Notice::Words(note.trim().to_owned());
        let past = PastOrder { kind: EndKind::Failed, shop: name.to_owned(), total, at: Timestamp::from_unix_ms(0) };
        let home = Screen::Home { wearer: name.to_owned(), balance: Some(total), notice: None };
        let end = |kind, struck: &[&str], guardian| Ending {
            kind,
            shop: name.to_owned(),
            total,
            struck: names(struck),
            guardian,
            rule: Some(name.to_owned()),
            reason: Some(said.clone()),
            suggestion: (kind == EndKind::Refused).then(|| Suggested {
                lines: vec![SuggestedLine { name: name.to_owned(), quantity: 9_999, asked: 9_999 }; 64],
                hint: Some(Hint::Healthier),
                up_to: Some(total),
                same_bill: true,
            }),
            balance: Some(total),
        };
        let too_large = Some(Notice::AmountTooLarge { most: total });
        screens.extend([
            ("long home", home),
            ("long review", Screen::Review(basket)),
            ("long waiting", waiting(name, total, 3_600_000)),
            ("long paying", paying(name, total, &struck, Some(name), Some(name))),
            ("long paying, nothing struck", paying(name, total, &[], Some(name), Some(name))),
            ("long paying by a rule", by_rule(paying(name, total, &[], Some(name), None), name)),
            ("long paid", Screen::Ended(end(EndKind::Paid, &struck, Some(name.to_owned())))),
            ("long refused", Screen::Ended(end(EndKind::Refused, &[], Some(name.to_owned())))),
            ("long failed", Screen::Ended(end(EndKind::Failed, &[], None))),
            ("long history", Screen::History(vec![past; 64])),
            (
                "long amount",
                Screen::Amount(AmountPad {
                    shop: name.to_owned(),
                    place: name.to_owned(),
                    typed: total,
                    least: total,
                    most: total,
                    notice: None,
                }),
            ),
            (
                "amount too large",
                Screen::Amount(AmountPad { typed: total, shop: name.to_owned(), ..pad(1, too_large) }),
            ),
            (
                "long settings",
                Screen::Settings(About {
                    service: format!("https://{}.example", "w".repeat(200)),
                    watch: name.to_owned(),
                    session_ms: u64::MAX,
                    pin_change_asked: false,
                }),
            ),
        ]);
    }
    screens
}

/// Writes every screen in every language and shape as `NAME-LANGUAGE-SHAPE.png` to `dir`, which is made if it is not
/// there, and all of them on `contact-sheet.png`.
pub fn write_screens(dir: &Path) -> ImageResult<()> {
    std::fs::create_dir_all(dir)?;
    let mut variants: Vec<Vec<RgbImage>> = Vec::new();
    for shape in Shape::ALL {
        for language in Language::ALL {
            let mut images = Vec::new();
            for (name, picture) in render(shape, language) {
                let image = to_image(&picture);
                image.save(dir.join(format!("{}.png", file_name(name, language, shape))))?;
                images.push(image);
            }
            variants.push(images);
        }
    }
    contact_sheet(&variants).save(dir.join("contact-sheet.png"))
}

/// What the picture of a gallery entry is called, without an ending.
#[must_use]
pub fn file_name(name: &str, language: Language, shape: Shape) -> String {
    format!("{name}-{}-{}", language.tag(), shape.tag())
}

/// The gallery as pictures.
#[must_use]
pub fn render(shape: Shape, language: Language) -> Vec<(&'static str, Picture)> {
    let mut screens = Screens::new(shape, language);
    gallery()
        .into_iter()
        .map(|entry| {
            entry.show(&mut screens);
            (entry.name, screens.picture().clone())
        })
        .collect()
}

fn to_image(picture: &Picture) -> RgbImage {
    RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone()).unwrap_or_default()
}

/// Screens a row of the sheet, each in all its variants side by side.
const COLUMNS: usize = 3;
const GAP: u32 = 16;
const CAPTION_HEIGHT: u32 = 34;

/// `variants` holds the whole gallery once for each shape and language.
fn contact_sheet(variants: &[Vec<RgbImage>]) -> RgbImage {
    let firsts = || variants.iter().filter_map(|images| images.first());
    let cell_width = firsts().map(|image| image.width() + GAP).sum::<u32>();
    let cell_height = firsts().map(RgbImage::height).max().unwrap_or(0) + CAPTION_HEIGHT + GAP;
    let names: Vec<&str> = gallery().iter().map(|entry| entry.name).collect();
    let side = |count: usize| u32::try_from(count).unwrap_or(0);
    let width = side(COLUMNS) * (cell_width + GAP) + GAP;
    let height = side(names.len().div_ceil(COLUMNS)) * cell_height + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([70, 74, 84]));
    for (index, name) in names.iter().enumerate() {
        let mut x = GAP + side(index % COLUMNS) * (cell_width + GAP);
        let y = GAP + side(index / COLUMNS) * cell_height;
        let mut put = |image: &RgbImage, x: u32, y: u32| {
            image::imageops::replace(&mut sheet, image, i64::from(x), i64::from(y));
        };
        put(&to_image(&caption(name, cell_width, CAPTION_HEIGHT)), x, y);
        for image in variants.iter().filter_map(|images| images.get(index)) {
            put(image, x, y + CAPTION_HEIGHT);
            x += image.width() + GAP;
        }
    }
    sheet
}

/// A camera picture of something like a code on a counter, without any code's contents.
fn still_life() -> (u32, u32, Vec<u8>) {
    let (width, height) = (640_u32, 480_u32);
    let luma = (0..width * height)
        .map(|index| {
            let (x, y) = (index % width, index / width);
            let (u, v) = (x.wrapping_sub(210) / 10, y.wrapping_sub(130) / 10);
            let paper = (190..450).contains(&x) && (110..370).contains(&y);
            let finder = |u: u32, v: u32| {
                let ring = u.abs_diff(3).max(v.abs_diff(3));
                (ring <= 3).then_some(ring != 2)
            };
            let ink = if x < 210 || y < 130 || u > 21 || v > 21 {
                false
            } else if let Some(ink) =
                finder(u, v).or_else(|| finder(u.wrapping_sub(15), v)).or_else(|| finder(u, v.wrapping_sub(15)))
            {
                ink
            } else {
                (u * 7 + v * 13 + u * v * 5) % 3 == 0
            };
            match (paper, ink) {
                (true, true) => 40,
                (true, false) => 225,
                (false, _) => u8::try_from(70 + (x + y) / 16).unwrap_or(120),
            }
        })
        .collect();
    (width, height, luma)
}

fn amount(minor: i64, code: &str) -> Amount {
    let currency = Currency::from_code(code).unwrap_or(Currency::CNY);
    Amount::new(Minor::new(minor).unwrap_or(Minor::ZERO), currency)
}

fn yuan(minor: i64) -> Amount {
    amount(minor, "CNY")
}

fn dollars(minor: i64) -> Amount {
    amount(minor, "USD")
}

fn zloty(minor: i64) -> Amount {
    amount(minor, "PLN")
}

fn line(name: &str, quantity: u32, amount_minor: i64) -> BasketLine {
    BasketLine { name: name.to_owned(), quantity, amount_minor }
}

fn canteen() -> Basket {
    Basket {
        shop: "学校食堂".to_owned(),
        place: "上海".to_owned(),
        lines: vec![line("番茄炒蛋盖浇饭", 1, 1200)],
        total: yuan(1200),
        at_most: false,
        occasion: None,
    }
}

fn stationer() -> Basket {
    Basket {
        shop: "晨光文具店".to_owned(),
        place: "杭州".to_owned(),
        lines: vec![
            line("2B 铅笔", 3, 600),
            line("水彩颜料 12 色", 1, 1900),
            line("橡皮", 1, 150),
            line("会员优惠", 0, -300),
        ],
        total: yuan(2350),
        at_most: false,
        occasion: None,
    }
}

fn supermarket() -> Basket {
    Basket {
        shop: "快乐生活超市（人民广场西南出口地下一层店）".to_owned(),
        place: "Shanghai".to_owned(),
        lines: vec![
            line("老干妈风味豆豉油制辣椒 280 克", 1, 1080),
            line("Łódź Żurek instant", 2, 3180),
            line("可乐 330 ml", 2, 700),
            line("巧克力🍫派", 1, 990),
            line("Chio Chips Paprika Extra Big Party Pack", 1, 249_000),
            line("大白兔奶糖", 12, 1440),
            line("Σοκολάτα γάλακτος", 1, 650),
            line("Гречка ядриця", 1, 540),
            line("购物袋", 1, 30),
            line("满减", 0, -1000),
        ],
        total: yuan(256_610),
        at_most: false,
        occasion: None,
    }
}

fn waiting(shop: &str, total: Amount, left_ms: u64) -> Screen {
    Screen::Waiting { shop: shop.to_owned(), total, left_ms, unanswered: false, one_nod: false }
}

fn one_nod(screen: Screen) -> Screen {
    let Screen::Waiting { shop, total, left_ms, unanswered, .. } = screen else { return screen };
    Screen::Waiting { shop, total, left_ms, unanswered, one_nod: true }
}

fn paying(shop: &str, total: Amount, struck: &[&str], guardian: Option<&str>, words: Option<&str>) -> Screen {
    let (guardian, words) = (guardian.map(str::to_owned), words.map(str::to_owned));
    let (struck, rule, unanswered) = (names(struck), None, false);
    Screen::Paying { shop: shop.to_owned(), total, struck, guardian, words, rule, unanswered }
}

fn unanswered(screen: Screen) -> Screen {
    let Screen::Paying { shop, total, struck, guardian, words, rule, .. } = screen else { return screen };
    Screen::Paying { shop, total, struck, guardian, words, rule, unanswered: true }
}

/// Decided by the guardian's rule with this name.
fn by_rule(screen: Screen, name: &str) -> Screen {
    let rule = Some(name.to_owned());
    if let Screen::Ended(ending) = screen {
        return Screen::Ended(Ending { rule, ..ending });
    }
    let Screen::Paying { shop, total, struck, guardian, words, unanswered, .. } = screen else { return screen };
    Screen::Paying { shop, total, struck, guardian, words, rule, unanswered }
}

fn ended(
    kind: EndKind,
    struck: &[&str],
    guardian: Option<&str>,
    reason: Option<Notice>,
    balance: Option<Amount>,
) -> Screen {
    let (shop, total, guardian) = ("晨光文具店".to_owned(), yuan(2350), guardian.map(str::to_owned));
    let (struck, rule, suggestion) = (names(struck), None, None);
    Screen::Ended(Ending { kind, shop, total, struck, guardian, rule, reason, suggestion, balance })
}

/// Refused by "妈妈", with a suggestion.
fn suggested(
    said: Notice,
    lines: &[(&str, u32)],
    hint: Option<Hint>,
    up_to: Option<Amount>,
    same_bill: bool,
) -> Screen {
    let Screen::Ended(ending) = ended(EndKind::Refused, &[], Some("妈妈"), Some(said), Some(yuan(8640))) else {
        unreachable!("as made")
    };
    let line = |(name, quantity): &(&str, u32)| SuggestedLine {
        name: (*name).to_owned(),
        quantity: *quantity,
        asked: *quantity,
    };
    let lines = lines.iter().map(line).collect();
    Screen::Ended(Ending { suggestion: Some(Suggested { lines, hint, up_to, same_bill }), ..ending })
}

fn pad(typed_minor: i64, notice: Option<Notice>) -> AmountPad {
    AmountPad {
        shop: "巷口早点铺".to_owned(),
        place: "成都".to_owned(),
        typed: yuan(typed_minor),
        least: yuan(1),
        most: yuan(5000),
        notice,
    }
}

fn history() -> Vec<PastOrder> {
    // 2026-11-23 12:00 UTC, and going back.
    let at = |hours_before: i64| Timestamp::from_unix_ms(1_795_435_200_000 - hours_before * 3_600_000);
    [
        (EndKind::Paid, "晨光文具店", yuan(2350), 0),
        (EndKind::Refused, "快乐超市", yuan(9900), 5),
        (EndKind::Paid, "Bäckerei Müller", amount(320, "EUR"), 30),
        (EndKind::Expired, "巷口早点铺", yuan(850), 52),
        (EndKind::Cancelled, "学校食堂", yuan(1200), 80),
        (EndKind::Failed, "快乐生活超市（人民广场西南出口地下一层店）", yuan(256_610), 400),
        (EndKind::Paid, "Juwelier Gold", yuan(10_000_000_000), 800),
    ]
    .map(|(kind, shop, total, before)| PastOrder { kind, shop: shop.to_owned(), total, at: at(before) })
    .to_vec()
}

fn about(pin_change_asked: bool) -> About {
    About {
        service: "https://pay.example.org".to_owned(),
        watch: "w-7f3a92c1".to_owned(),
        session_ms: 600_000,
        pin_change_asked,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn words_of_mother() -> Notice {
    Notice::Words("糖吃太多啦，今天先不买，周末妈妈给你做饼干".to_owned())
}
