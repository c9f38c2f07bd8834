//! The pages of docs/PICTURES.md: the main states on a phone, in both languages, light and dark. Each is judged like any page; with
//! `NODPAY_PICTURES` naming a folder, the pictures are kept there and PICTURES.md is written beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;

use crate::axe::{PHONE, assert_accessible, set_width};
use crate::browser::{Window, order_bread, settled};
use crate::browser_guardians::{Stage, go, type_into};

/// Name, and what it shows.
const PAGES: [(&str, &str, &str); 17] = [
    ("login", "A parent logs in with a passkey", "家长用通行密钥登录"),
    ("home", "An order waits, above the balance", "有订单在等，下面是余额"),
    (
        "order",
        "Who asks and that the PIN was checked; then shop, items, total",
        "先看是谁、PIN 已核对；再看商家、商品、合计",
    ),
    ("strike", "One item struck, the total follows", "划掉一件，合计随之变"),
    ("refuse", "A refusal, with a word for the child", "不同意，并给孩子一句话"),
    ("approved", "Nodded; the watch may pay", "已点头，手表可以付款"),
    ("outcome", "Paid, and the watch says so itself", "已付款，手表自己也确认"),
    ("history", "What was bought, with filters", "买过什么，可筛选"),
    ("month", "A month: by category, shop and week", "一个月：按类别、商店、星期"),
    ("wallet", "The wallet, pocket money, and topping up", "钱包、零花钱和充值"),
    ("pairing", "The code that a new watch scans", "新手表要扫的配对码"),
    ("household", "Guardians, watches, and the log", "家长、手表和记录"),
    ("rules", "What the watch may pay without asking", "手表不用问就能付的规则"),
    ("rule", "A new rule, in the words that are signed", "新规则，签名的就是这些话"),
    ("invite", "Inviting another guardian", "邀请另一位家长"),
    ("codes", "Recovery codes to print", "可打印的恢复码"),
    ("till", "The shop's till", "商家的收银台"),
];
const LOOKS: [(&str, &str); 2] = [("en", "light"), ("zh", "dark")];
/// The page that is shown in every look.
const EVERY_LOOK: &str = "order";

fn looks(page: &str) -> Vec<(&'static str, &'static str)> {
    let more: &[_] = if page == EVERY_LOOK { &[("en", "dark"), ("zh", "light")] } else { &[] };
    LOOKS.iter().chain(more).copied().collect()
}

fn kept() -> Option<PathBuf> {
    std::env::var_os("NODPAY_PICTURES").map(PathBuf::from)
}

/// Judges the page in 中文 and keeps it in all its looks.
async fn take(window: &Window, page: &str) {
    assert!(PAGES.iter().any(|(known, ..)| *known == page), "{page} has no caption");
    for (language, scheme) in looks(page) {
        speak(window, language).await;
        if (language, scheme) == LOOKS[1] {
            assert_accessible(window, &format!("{page}, 中文")).await;
        }
        set_width(window, PHONE).await;
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        window.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        window.client.execute("scrollTo(0, 0)", vec![]).await.unwrap();
        keep(window, &format!("{page}-{language}-{scheme}")).await;
        window.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
        window.devtools("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
    }
    speak(window, "en").await;
}

pub(crate) async fn speak(window: &Window, language: &str) {
    let spoken = format!("document.documentElement.lang.startsWith('{language}')");
    if window.client.execute(&format!("return {spoken}"), vec![]).await.unwrap() != true {
        window.click("[data-testid=language]").await;
        window.until("the other language", &spoken).await;
    }
}

async fn keep(window: &Window, name: &str) {
    let Some(folder) = kept() else { return };
    let shot = window.devtools("Page.captureScreenshot", json!({ "format": "png" })).await;
    let engine = base64::engine::general_purpose::STANDARD;
    let shot = engine.decode(shot["data"].as_str().expect("a picture")).expect("base64");
    std::fs::write(folder.join(name).with_extension("png"), small(&shot)).expect("written");
}

/// The same picture in the 256 colours it uses most; each other one becomes the nearest of these.
fn small(shot: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(shot)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("pixels");
    pixels.truncate(info.buffer_size());
    let samples = info.color_type.samples();
    assert!(samples >= 3 && info.bit_depth == png::BitDepth::Eight, "Chromium's pictures are RGB");
    let colours: Vec<[u8; 3]> = pixels.chunks(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for colour in &colours {
        *counts.entry(*colour).or_default() += 1;
    }
    let mut used: Vec<[u8; 3]> = counts.keys().copied().collect();
    used.sort_unstable_by_key(|colour| (std::cmp::Reverse(counts[colour]), *colour));
    let palette = &used[..used.len().min(256)];
    let far = |one: &[u8; 3], other: &[u8; 3]| -> u32 {
        one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other)).pow(2)).sum()
    };
    let nearest = |colour: &[u8; 3]| {
        let places = (0_u8..=255).zip(palette);
        places.min_by_key(|(_, known)| far(colour, known)).map(|(place, _)| place).expect("a palette")
    };
    let places: HashMap<[u8; 3], u8> = used.iter().map(|colour| (*colour, nearest(colour))).collect();
    let indices: Vec<u8> = colours.iter().map(|colour| places[colour]).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, info.width, info.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&indices)).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_the_guardians_pages() {
    let mut stage = Stage::open().await;
    let window = Window::with(tempfile::tempdir().unwrap(), stage.address.clone(), None, &[]).await;
    window.client.goto(&format!("{}/app", stage.address)).await.unwrap();
    window.text("[data-testid=login]").await;
    take(&window, "login").await;
    stage.found(&window).await;
    stage.order(1).await;
    go(&window, "#/").await;
    window.text("[data-testid=waiting-order]").await;
    take(&window, "home").await;
    window.click("[data-testid=waiting-order]").await;
    window.text("[data-testid=approve]").await;
    take(&window, "order").await;
    window.click("[data-testid^=strike-]").await;
    take(&window, "strike").await;
    window.click("[data-testid^=strike-]").await;
    window.click("[data-testid=refuse]").await;
    take(&window, "refuse").await;
    window.click("[data-testid=refuse-cancel]").await;
    window.click("[data-testid=approve]").await;
    window.text("[data-testid=outcome]").await;
    take(&window, "approved").await;
    go(&window, "#/pair").await;
    window.canvas("[data-testid=pairing-code] canvas").await;
    take(&window, "pairing").await;
    go(&window, "#/household").await;
    window.text("[data-testid=remove-watch]").await;
    take(&window, "household").await;
    go(&window, "#/invite").await;
    window.canvas("[data-testid=invitation-code] canvas").await;
    take(&window, "invite").await;
    go(&window, "#/codes").await;
    window.click("[data-testid=codes-make]").await;
    window.text("[data-testid=code-list]").await;
    take(&window, "codes").await;
    go(&window, "#/rules").await;
    window.click("[data-testid=rule-new]").await;
    type_into(&window, "rule-name", "Canteen").await;
    type_into(&window, "rule-approve", "10").await;
    type_into(&window, "rule-per_day", "30").await;
    window.text("[data-testid=rule-words]").await;
    take(&window, "rule").await;
    window.click("[data-testid=rule-sign]").await;
    window.text("[data-testid=rule]").await;
    take(&window, "rules").await;
    window.client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_the_demo() {
    let window = settled().await;
    order_bread(&window, true).await;
    window.watch_says("Waiting for a nod").await;
    window.phone().await;
    window.click("[data-testid=waiting-order], [data-testid=wearer-check]").await;
    window.text("[data-testid=approve]").await;
    window.page().await;
    keep(&window, "demo").await;
    window.phone().await;
    window.click("[data-testid=approve]").await;
    window.watch_says("Paid!").await;
    window.page().await;
    window.client.goto(&window.address.replace("/demo", "/app")).await.unwrap();
    window.click("[data-testid=past-order]").await;
    window.text("[data-testid=result]").await;
    take(&window, "outcome").await;
    go(&window, "#/history").await;
    window.text("[data-testid=history-found]").await;
    take(&window, "history").await;
    go(&window, "#/wallet").await;
    window.text("[data-testid=statement]").await;
    take(&window, "wallet").await;
    go(&window, "#/history").await;
    window.click("[data-testid=month]").await;
    window.text("[data-testid=month-spent]").await;
    take(&window, "month").await;
    window.client.goto(&window.address.replace("/demo", "/till")).await.unwrap();
    window.click("[data-testid=good-bread]").await;
    take(&window, "till").await;
    window.client.close().await.unwrap();
}

/// The page of pictures shows all of them, and no others.
#[test]
fn pictures_have_their_page() {
    let mut page =
        "# Pictures · 图片\n\nThe main pages on a phone, as the tests see them. This makes them and this page:\n\
                    主要页面在手机上的样子，由测试拍下。下面的命令制作这些图片和本页：\n\n```sh\n\
                    NODPAY_PICTURES=$PWD/docs/pictures cargo test --test it pictures::\n```\n"
            .to_owned();
    for (name, english, chinese) in PAGES {
        let picture =
            |(language, scheme)| format!("![{name}, {language}, {scheme}](pictures/{name}-{language}-{scheme}.png)");
        let pictures: Vec<String> = looks(name).into_iter().map(picture).collect();
        page.push_str(&format!("\n## {english} · {chinese}\n\n{}\n", pictures.join(" ")));
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let path = docs.join("PICTURES.md");
    if kept().is_some() {
        return std::fs::write(&path, &page).expect("written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "the command in it makes it");
    for address in page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(address, _)| address) {
        assert!(docs.join(address).is_file(), "{address}");
    }
}
