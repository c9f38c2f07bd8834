//! Every screen with contents as they come in life, long names and many lines included: for tests, for the contact
//! sheet, and for whoever designs the next screen.

use std::path::Path;

use image::{ImageResult, Rgb, RgbImage};
use nodpay_core::{Amount, Currency, Minor};
use nodpay_watch::view::{Basket, BasketLine, EndKind, Ending, Notice, OtherSystem, PinGate, ScanFor, Screen, View};

use crate::screens::{Picture, Screens, Shape};
use crate::words::Language;

/// A name for the file, and the view.
pub type Entry = (&'static str, View);

/// Each screen in each of its states.
#[must_use]
pub fn gallery() -> Vec<Entry> {
    let online = |screen| View { screen, online: true };
    let offline = |screen| View { screen, online: false };
    let balance = Some(yuan(8640));
    let home = |wearer: &str, balance, notice| Screen::Home { wearer: wearer.to_owned(), balance, notice };
    let scan = |purpose, notice| Screen::Scan { purpose, notice };
    let choose = |digits, again, notice| Screen::ChoosePin { digits, again, notice };
    let pin = |digits, gate| Screen::Pin { digits, gate, asked: false };
    let open = |tries_left| PinGate::Open { tries_left };
    vec![
        ("welcome", offline(Screen::Welcome { notice: None })),
        ("welcome-notice", offline(Screen::Welcome { notice: Some(Notice::PairingExpired) })),
        ("scan-pairing", offline(scan(ScanFor::Pairing, None))),
        ("scan-pairing-notice", offline(scan(ScanFor::Pairing, Some(Notice::NotAPairingCode)))),
        ("scan", online(scan(ScanFor::Paying, None))),
        ("scan-notice", online(scan(ScanFor::Paying, Some(Notice::OtherSystem(OtherSystem::Alipay))))),
        ("choose-pin", online(choose(0, false, None))),
        ("choose-pin-typed", online(choose(5, false, None))),
        ("choose-pin-again", online(choose(8, true, None))),
        ("choose-pin-differ", online(choose(0, false, Some(Notice::PinsDiffer)))),
        ("choose-pin-easy", online(choose(0, false, Some(Notice::PinTooEasy)))),
        ("pairing", online(Screen::Pairing { check: "482 913".to_owned(), left_ms: 1_260_000 })),
        ("home", online(home("小明", balance, None))),
        ("home-english-name", online(home("Mia", Some(yuan(123_450)), None))),
        ("home-offline", offline(home("Łucja", balance, None))),
        ("home-no-balance", online(home("欧阳晓晓", None, None))),
        ("home-long-name", online(home("Maximiliane-Alexandra", Some(dollars(123_456_789)), None))),
        ("home-notice", online(home("小明", balance, Some(Notice::BillNotGenuine)))),
        ("home-notice-money", online(home("小明", balance, Some(Notice::NotEnoughMoney { balance: Some(yuan(640)) })))),
        ("home-notice-unpaired", online(home("小明", None, Some(Notice::WatchNotEnrolled)))),
        ("fetching", online(Screen::Fetching)),
        ("review", online(Screen::Review(stationer()))),
        ("review-long", online(Screen::Review(supermarket()))),
        ("review-one", online(Screen::Review(canteen()))),
        ("pin", online(pin(0, open(None)))),
        ("pin-typed", online(pin(4, open(None)))),
        ("pin-wrong", online(pin(0, open(Some(2))))),
        ("pin-locked", online(pin(0, PinGate::Wait { left_ms: 297_000 }))),
        ("sending", online(Screen::Sending)),
        ("sending-offline", offline(Screen::Sending)),
        ("waiting", online(waiting("晨光文具店", yuan(2350), 523_000))),
        ("waiting-long", online(waiting("Księgarnia i Papiernik „Pod Żółtą Łodzią”", zloty(123_456), 71_000))),
        ("waiting-offline", offline(waiting("晨光文具店", yuan(2350), 240_000))),
        ("paying", online(paying("晨光文具店", yuan(2350), &[]))),
        ("paying-struck", online(paying("快乐超市", yuan(3120), &["可乐", "Chio Chips Paprika"]))),
        ("paid", online(ended(EndKind::Paid, &[], None, balance))),
        ("paid-struck", online(ended(EndKind::Paid, &["可乐", "大白兔奶糖"], None, balance))),
        ("refused", online(ended(EndKind::Refused, &[], None, balance))),
        ("refused-words", online(ended(EndKind::Refused, &[], Some(words_of_mother()), balance))),
        (
            "failed",
            online(ended(EndKind::Failed, &[], Some(Notice::NotEnoughMoney { balance: Some(yuan(640)) }), None)),
        ),
        ("failed-not-genuine", online(ended(EndKind::Failed, &[], Some(Notice::NotGenuine), balance))),
        ("expired", online(ended(EndKind::Expired, &[], None, balance))),
        ("cancelled", online(ended(EndKind::Cancelled, &[], None, None))),
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
        Notice::NotRecognised,
        Notice::PinsDiffer,
        Notice::PinTooShort,
        Notice::PinTooEasy,
        words_of_mother(),
        Notice::WatchNotEnrolled,
        Notice::NotGenuine,
        Notice::OverNewWatchCap,
        Notice::TooLate,
        Notice::NoNetwork,
        Notice::ServiceTrouble,
    ]
}

/// Writes every screen in every language and shape as `NAME-LANGUAGE-SHAPE.png` to `dir`, which is made if it is not
/// there, and all of them on `contact-sheet.png`.
pub fn write_screens(dir: &Path) -> ImageResult<()> {
    std::fs::create_dir_all(dir)?;
    let mut rows = Vec::new();
    for shape in Shape::ALL {
        for language in Language::ALL {
            let mut row = Vec::new();
            for (name, picture) in render(shape, language) {
                let image = to_image(&picture);
                image.save(dir.join(format!("{name}-{}-{}.png", language.tag(), shape.tag())))?;
                row.push(image);
            }
            rows.push(row);
        }
    }
    contact_sheet(&rows).save(dir.join("contact-sheet.png"))
}

/// The gallery as pictures.
#[must_use]
pub fn render(shape: Shape, language: Language) -> Vec<(&'static str, Picture)> {
    let mut screens = Screens::new(shape, language);
    gallery()
        .into_iter()
        .map(|(name, view)| {
            screens.show(&view);
            if matches!(view.screen, Screen::Scan { purpose: ScanFor::Paying, .. }) {
                let (width, height, luma) = still_life();
                screens.set_preview(width, height, &luma);
            }
            screens.draw();
            (name, screens.picture().clone())
        })
        .collect()
}

fn to_image(picture: &Picture) -> RgbImage {
    RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone()).unwrap_or_default()
}

/// Pictures a row of the sheet.
const COLUMNS: usize = 8;
const GAP: u32 = 16;

fn contact_sheet(groups: &[Vec<RgbImage>]) -> RgbImage {
    let rows: Vec<&[RgbImage]> = groups.iter().flat_map(|group| group.chunks(COLUMNS)).collect();
    let row_width = |row: &&[RgbImage]| row.iter().map(|image| image.width() + GAP).sum::<u32>() + GAP;
    let row_height = |row: &&[RgbImage]| row.iter().map(RgbImage::height).max().unwrap_or(0) + GAP;
    let width = rows.iter().map(row_width).max().unwrap_or(GAP);
    let height = rows.iter().map(row_height).sum::<u32>() + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([70, 74, 84]));
    let mut y = GAP;
    for row in &rows {
        let mut x = GAP;
        for image in *row {
            image::imageops::replace(&mut sheet, image, i64::from(x), i64::from(y));
            x += image.width() + GAP;
        }
        y += row_height(row);
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
        occasion: None,
    }
}

fn waiting(shop: &str, total: Amount, left_ms: u64) -> Screen {
    Screen::Waiting { shop: shop.to_owned(), total, left_ms }
}

fn paying(shop: &str, total: Amount, struck: &[&str]) -> Screen {
    Screen::Paying { shop: shop.to_owned(), total, struck: names(struck), guardian: None, words: None }
}

fn ended(kind: EndKind, struck: &[&str], reason: Option<Notice>, balance: Option<Amount>) -> Screen {
    let (shop, total) = ("晨光文具店".to_owned(), yuan(2350));
    Screen::Ended(Ending { kind, shop, total, struck: names(struck), guardian: None, reason, balance })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn words_of_mother() -> Notice {
    Notice::Words("糖吃太多啦，今天先不买，周末妈妈给你做饼干".to_owned())
}
