//! A guardian looks back in a real browser: history, an order's story, the month as a page and on paper.

use fantoccini::wd::PrintConfigurationBuilder;
use nodpay_core::{
    Amount, Bill, BillId, Currency, MerchantCertificate, MerchantId, Nonce, Reduction, Text, TransferId,
};
use nodpay_protocol::{
    Kind, PairingCode, Signer as _, SoftwareKey, Verified, sha256, sign, sign_request, verify_decision,
    verify_merchant_certificate,
};
use nodpay_store::{InvitationKind, Message, NewMerchant, TokenHash, TopUp};
use nodpay_testkit::{START, cny, minor, retotal};
use nodpay_watch::reader::read_code;
use serde_json::json;

use crate::browser::Window;
use crate::browser_guardians::{Stage, base64_url, go, time_passes, type_into};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// What [`time_passes`] takes beyond the time it is given.
const LOGGED_IN_MS: i64 = 5 * 60 * 1000;

/// A phone of 360 by 780, light or dark.
pub(crate) async fn screen(window: &Window, dark: bool) {
    let size = json!({ "width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": true });
    window.devtools("Emulation.setDeviceMetricsOverride", size).await;
    let scheme =
        json!({ "features": [{ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } }] });
    window.devtools("Emulation.setEmulatedMedia", scheme).await;
}

/// The whole page, below the fold too.
pub(crate) async fn picture(window: &Window, name: &str) {
    if let Some(folder) = std::env::var_os("NODPAY_PICTURES") {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = window.devtools("Page.captureScreenshot", whole).await;
        let shot = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, shot["data"].as_str().unwrap());
        std::fs::write(std::path::Path::new(&folder).join(name).with_extension("png"), shot.unwrap()).unwrap();
    }
}

/// Nothing sticks out to the side, and what is touched is large enough.
pub(crate) async fn is_one_handed(window: &Window) {
    let wide = "return document.documentElement.scrollWidth";
    assert_eq!(window.client.execute(wide, vec![]).await.unwrap(), 360);
    let small = "return [...document.querySelectorAll('main a, main button, main summary, main select, main input')]
        .filter((one) => one.checkVisibility()).map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect().height])
        .filter(([, height]) => height < 48)";
    assert_eq!(window.client.execute(small, vec![]).await.unwrap(), json!([]));
}

/// A shop of its own.
struct Shop {
    key: SoftwareKey,
    api_key: [u8; 32],
    certificate: Verified<MerchantCertificate>,
}

impl Shop {
    async fn open(stage: &Stage, seed: u8, name: &str, mcc: &str) -> Self {
        let (key, api_key, merchant) = (nodpay_testkit::key(seed), [seed; 32], MerchantId::from_bytes([seed; 16]));
        let certificate = MerchantCertificate {
            merchant,
            name: Text::new(name).unwrap(),
            mcc: nodpay_core::Mcc::from_digits(mcc).unwrap(),
            key: key.public_key(),
            ..MerchantCertificate::clone(&stage.cast.certificate)
        };
        let certificate = sign(Kind::MerchantCertificate, certificate, &stage.cast.root).unwrap();
        let new = NewMerchant {
            merchant,
            name: certificate.name.clone(),
            mcc: certificate.mcc,
            city: certificate.city.clone(),
            country: certificate.country,
            currency: Currency::CNY,
            api_key: TokenHash(sha256(&api_key)),
        };
        stage.app.store().add_merchant(new, START).await.unwrap();
        let invitation = stage.invitation(InvitationKind::Till(merchant), seed).await;
        let path = "/api/merchant/enrol";
        let proof = sign_request("POST", path, START, Nonce::from_bytes([seed; 16]), &key).unwrap();
        let body = json!({ "invitation": invitation, "key": key.public_key(), "proof": proof }).to_string();
        stage.post(path, &[("origin", &stage.address)], "application/json", body).await;
        let message = Message { wire: certificate.wire().to_owned(), digest: certificate.digest() };
        stage.app.store().set_merchant_certificate(merchant, key.public_key(), message, START).await.unwrap();
        Self { key, api_key, certificate }
    }

    fn authorization(&self) -> String {
        format!("Bearer ndp_{}", base64_url(&self.api_key))
    }

    /// Sells these things; the watch asks for them.
    async fn sells(&self, stage: &mut Stage, number: u8, goods: &[(&str, i64)], now_ms: i64) -> Verified<Bill> {
        stage.cast.wearer = stage.book().await.watch(stage.cast.watch).unwrap().wearer;
        let mut bill = stage.cast.bill_payload(number, Reduction::LinesSum, Vec::new());
        bill.lines.truncate(goods.len());
        for (line, (name, price)) in bill.lines.iter_mut().zip(goods) {
            line.name = Text::new(name).unwrap();
            (line.quantity, line.unit_price, line.amount) = (1, minor(*price), minor(*price));
        }
        retotal(&mut bill);
        (bill.merchant, bill.certificate) = (self.certificate.merchant, self.certificate.digest());
        (bill.issued, bill.valid_until) = (bill.issued.plus_ms(now_ms), bill.valid_until.plus_ms(now_ms));
        let bill = sign(Kind::Bill, bill, &self.key).unwrap();
        let key = self.authorization();
        let wire = bill.wire().to_owned();
        stage.post("/api/merchant/bills", &[("authorization", &key)], "application/jose", wire).await;
        let mut order = stage.cast.order_payload(&bill, number);
        (order.created, order.expires) = (order.created.plus_ms(now_ms), order.expires.plus_ms(now_ms));
        order.wearer_check.at = order.wearer_check.at.plus_ms(now_ms);
        order.reason = (number == 1).then(|| Text::new("for art class").unwrap());
        let order = stage.cast.sign_order(order);
        let path = format!("/api/watch/{}/orders", stage.cast.watch);
        stage.post(&path, &[], "application/jose", order.wire().to_owned()).await;
        bill
    }

    async fn gives_back(&self, stage: &Stage, bill: BillId, amount: Amount, reason: &str) {
        let refund = TransferId::from_bytes([0x77; 16]);
        let body = json!({ "refund": refund, "amount": amount, "reason": reason }).to_string();
        let path = format!("/api/merchant/bills/{bill}/refunds");
        stage.post(&path, &[("authorization", &self.authorization())], "application/json", body).await;
    }
}

/// The watch pays what was approved, and says what it saw.
async fn pays(stage: &mut Stage, number: u8, bill: &Verified<Bill>, now_ms: i64) {
    let book = stage.book().await;
    let (cast, id) = (&stage.cast, nodpay_core::OrderId::from_bytes([number; 16]));
    let row = stage.app.store().order(cast.household, id).await.unwrap().unwrap();
    let order = nodpay_protocol::verify_order(&row.message.wire, &book, cast.watch, bill).unwrap();
    let root = cast.root.public_key();
    let certificate = verify_merchant_certificate(&row.merchant_certificate.wire, &root).unwrap();
    let (decision, ..) = verify_decision(&row.decision.unwrap().wire, &book, &order, bill, None, &certificate).unwrap();
    let mut payment = cast.payment_payload(&order, &decision);
    payment.at = payment.at.plus_ms(now_ms);
    let payment = sign(Kind::Payment, payment, &cast.watch_key).unwrap();
    let path = |step: &str| format!("/api/watch/{}/orders/{id}/{step}", cast.watch);
    stage.post(&path("payment"), &[], "application/jose", payment.wire().to_owned()).await;
    let outcome = stage.app.store().order(cast.household, id).await.unwrap().unwrap().outcome.unwrap();
    let outcome = nodpay_protocol::verify_outcome(&outcome.message.wire, &cast.outcome_certificate, &order).unwrap();
    let result = cast.result(&order, &outcome);
    stage.post(&path("result"), &[], "application/jose", result.wire().to_owned()).await;
}

/// The guardian founds the household and pairs the watch.
async fn settles(stage: &mut Stage, window: &Window) {
    let invitation = stage.invitation(InvitationKind::Guardian, 2).await;
    window.client.goto(&format!("{}/join#{invitation}", stage.address)).await.unwrap();
    type_into(window, "guardian-name", "Ma").await;
    window.click("[data-testid=join]").await;
    window.click("[data-testid=pair-first-watch]").await;
    let picture = window.canvas("[data-testid=pairing-code] canvas").await;
    let code = PairingCode::parse(&read_code(&picture).expect("a code")).expect("a pairing code");
    stage.claim(&code).await;
    type_into(window, "wearer-name", "Ming").await;
    window.click("[data-testid=pair-confirm]").await;
    window.text("[data-testid=paired]").await;
    let top_up =
        TopUp { household: stage.cast.household, transfer: TransferId::from_bytes([7; 16]), amount: cny(30_000) };
    stage.app.store().top_up(top_up, START).await.unwrap();
}

async fn approves(window: &Window, strike: Option<&str>) {
    go(window, "#/").await;
    window.click("[data-testid=waiting-order]").await;
    if let Some(line) = strike {
        window.click(&format!("[data-testid=strike-{line}]")).await;
    }
    window.click("[data-testid=approve]").await;
    window.text("[data-testid=outcome]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_looks_back() {
    let mut stage = Stage::open().await;
    let address = stage.address.clone();
    let ma = Window::with(tempfile::tempdir().unwrap(), address.clone(), None, &[]).await;
    settles(&mut stage, &ma).await;
    let food = Shop::open(&stage, 21, "Sunny Bakery 阳光面包房", "5462").await;
    let books = Shop::open(&stage, 22, "Corner Books & Papers", "5942").await;
    let toys = Shop::open(&stage, 23, "玩具天地", "5945").await;

    // Over some days: four purchases, one with a line struck; one refused; a part given back.
    let mut now_ms = 0;
    let mut number = 0;
    let mut last = None;
    for (shop, goods, strike, days) in [
        (&food, &[("Croissant", 1_250), ("Cola", 400)][..], Some("2"), 2),
        (&books, &[("The Little Prince 小王子", 3_600)], None, 2),
        (&toys, &[("Kite 风筝", 4_800)], None, 3),
        (&food, &[("Birthday cake 生日蛋糕", 8_800)], None, 0),
    ] {
        number += 1;
        let bill = shop.sells(&mut stage, number, goods, now_ms).await;
        approves(&ma, strike).await;
        pays(&mut stage, number, &bill, now_ms).await;
        ma.text("[data-testid=result]").await;
        if days > 0 {
            time_passes(&stage, days * DAY_MS, &[&ma]).await;
            now_ms += days * DAY_MS + LOGGED_IN_MS;
        }
        last = Some(bill);
    }
    food.gives_back(&stage, last.unwrap().bill, cny(800), "A candle was broken").await;
    toys.sells(&mut stage, 5, &[("Water pistol", 2_900)], now_ms).await;
    go(&ma, "#/").await;
    ma.click("[data-testid=waiting-order]").await;
    ma.click("[data-testid=refuse]").await;
    type_into(&ma, "reason", "Not today").await;
    ma.click("[data-testid=refuse-confirm]").await;
    ma.until("it is refused", "document.querySelector('[data-testid=outcome][data-outcome=refused]')").await;

    // The phone's bar has five places; home leads to all orders.
    screen(&ma, false).await;
    go(&ma, "#/").await;
    ma.click("[data-testid=history]").await;
    let count =
        |wanted: usize| format!("document.querySelectorAll('[data-testid=history-found] > li').length === {wanted}");
    ma.until("all orders", &count(5)).await;
    ma.until("five places", "document.querySelectorAll('nav.bottom a').length === 5").await;
    assert!(ma.text("[data-testid=past-refunded]").await.contains("¥8.00 given back"));
    is_one_handed(&ma).await;
    picture(&ma, "seeing-history-en-light").await;

    // By words, and by filters; nothing that fits is said so.
    type_into(&ma, "history-text", "小王子").await;
    ma.until("the book", &count(1)).await;
    type_into(&ma, "history-text", "").await;
    ma.until("all again", &count(5)).await;
    ma.click("[data-testid=history-filters]").await;
    let choose = async |name: &str, value: &str| {
        let script = format!(
            "const field = document.querySelector('[data-testid=history-{name}]'); field.value = {}; \
             field.dispatchEvent(new Event('change', {{ bubbles: true }}))",
            json!(value)
        );
        ma.client.execute(&script, vec![]).await.unwrap();
    };
    choose("category", "toys").await;
    ma.until("toys", &count(2)).await;
    choose("outcome", "refused").await;
    ma.until("the pistol", &count(1)).await;
    ma.click("[data-testid=language]").await;
    screen(&ma, true).await;
    ma.until("Chinese", "document.documentElement.lang === 'zh-CN' && document.body.textContent.includes('2 项筛选')")
        .await;
    is_one_handed(&ma).await;
    picture(&ma, "seeing-history-zh-dark").await;
    choose("outcome", "failed").await;
    ma.text("[data-testid=history-none]").await;
    ma.click("[data-testid=history-clear]").await;
    ma.until("all again", &count(5)).await;
    choose("from", "2026-11-25").await;
    ma.until("by day", &format!("!document.querySelector('[aria-busy=true]') && !({})", count(5))).await;
    ma.click("[data-testid=history-clear]").await;
    ma.until("all again", &count(5)).await;

    // A story says who did what, and who vouches for it; the way back leads to the list.
    ma.click("[data-testid=history-found] > li:last-child a").await;
    picture(&ma, "seeing-story-zh-dark").await;
    ma.click("[data-testid=language]").await;
    screen(&ma, false).await;
    ma.until("English", "document.documentElement.lang === 'en'").await;
    let story = ma.text("[data-testid=story]").await;
    for part in [
        "Sunny Bakery 阳光面包房 made a bill of ¥16.50.",
        "Ming typed the PIN on the watch.",
        "“for art class”",
        "You approved ¥12.50.",
        "Taken out: Cola",
        "Ming's watch checked everything and paid.",
        "¥12.50 was paid to Sunny Bakery",
        "Ming's watch showed: paid.",
        "signed by the shop",
        "signed by the watch",
        "signed with a guardian's passkey",
        "signed by the service",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    ma.text("[data-testid=evidence]").await;
    picture(&ma, "seeing-story-en-light").await;
    ma.click("[data-testid=back]").await;
    ma.until("the list", &count(5)).await;
    ma.click("[data-testid=history-found] [href$='BAQEBAQEBAQEBAQEBA']").await;
    let refund = ma.text("[data-testid=step-refund]").await;
    assert!(refund.contains("gave back ¥8.00") && refund.contains("A candle was broken"), "{refund}");

    // The month: sums, charts, tables; light and dark, both languages, and on paper.
    let month = |language: &str| format!("{address}/app/month/2026-11?lang={language}&tz=Asia/Shanghai");
    go(&ma, "#/history").await;
    let link = "document.querySelector('[data-testid=month]')?.getAttribute('href').startsWith('/app/month/2026-')";
    ma.until("a link to the month", link).await;
    for (language, dark) in [("en", false), ("zh", true)] {
        screen(&ma, dark).await;
        ma.client.goto(&month(language)).await.unwrap();
        assert_eq!(ma.text("[data-testid=month-spent]").await, "¥176.50");
        ma.until("the button to print", "document.getElementById('print')?.hidden === false").await;
        is_one_handed(&ma).await;
        picture(&ma, &format!("seeing-month-{language}-{}", if dark { "dark" } else { "light" })).await;
    }
    assert_eq!(ma.text("[data-testid=by-category] h2").await, "按商家类别");
    ma.click("[data-testid=by-shop] summary").await;
    let table = ma.text("[data-testid=by-shop] table").await;
    assert!(table.contains("Sunny Bakery 阳光面包房 ¥100.50 2"), "{table}");
    let said =
        ma.client.execute("return document.querySelector('#by-category-desc').textContent", vec![]).await.unwrap();
    assert_eq!(said, "食品 ¥100.50; 玩具 ¥48.00; 图书 ¥36.00");
    ma.client.goto(&month("en")).await.unwrap();
    let sheet = json!({ "width": 690, "height": 1010, "deviceScaleFactor": 1, "mobile": false });
    ma.devtools("Emulation.setDeviceMetricsOverride", sheet).await;
    ma.devtools("Emulation.setEmulatedMedia", json!({ "media": "print" })).await;
    picture(&ma, "seeing-month-paper").await;
    let paper = ma.client.print(PrintConfigurationBuilder::default().build().unwrap()).await.unwrap();
    assert!(paper.starts_with(b"%PDF"));
    if let Some(folder) = std::env::var_os("NODPAY_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join("seeing-month.pdf"), &paper).unwrap();
    }
    let sheets = paper.windows(12).filter(|bytes| bytes.starts_with(b"/Type /Page") && !bytes.ends_with(b"s")).count();
    assert!((1..=2).contains(&sheets), "{sheets} sheets");
    ma.client.clone().close().await.unwrap();
}

/// The wearer takes an order back.
async fn takes_back(stage: &mut Stage, number: u8, bill: &Verified<Bill>) {
    let book = stage.book().await;
    let (cast, id) = (&stage.cast, nodpay_core::OrderId::from_bytes([number; 16]));
    let row = stage.app.store().order(cast.household, id).await.unwrap().unwrap();
    let order = nodpay_protocol::verify_order(&row.message.wire, &book, cast.watch, bill).unwrap();
    let path = format!("/api/watch/{}/orders/{id}/cancel", cast.watch);
    stage.post(&path, &[], "application/jose", cast.cancel(&order).wire().to_owned()).await;
}

/// A rule can be about shops, and kinds of shops, of older orders than those that the app begins with.
#[tokio::test(flavor = "multi_thread")]
async fn rules_know_the_shops_of_older_orders() {
    let mut stage = Stage::open().await;
    let address = stage.address.clone();
    let ma = Window::with(tempfile::tempdir().unwrap(), address.clone(), None, &[]).await;
    settles(&mut stage, &ma).await;
    let bakery = Shop::open(&stage, 21, "Sunny Bakery 阳光面包房", "5462").await;
    let bill = bakery.sells(&mut stage, 1, &[("Croissant", 1_250)], 0).await;
    takes_back(&mut stage, 1, &bill).await;
    for number in 2..=21 {
        stage.order(number).await;
        let bill = stage.cast.bill(number);
        takes_back(&mut stage, number, &bill).await;
    }
    ma.client.goto(&format!("{address}/app?again")).await.unwrap();
    ma.text("[data-testid=past-order]").await;
    go(&ma, "#/rules").await;
    ma.click("[data-testid=rule-new]").await;
    type_into(&ma, "rule-name", "Bread").await;
    type_into(&ma, "rule-approve", "20").await;
    let only = async |field: &str, label: &str| {
        let script = format!(
            "const kind = document.querySelector('[data-testid=rule-{field}]'); kind.value = 'only'; \
             kind.dispatchEvent(new Event('change', {{ bubbles: true }}))"
        );
        ma.client.execute(&script, vec![]).await.unwrap();
        let box_of = format!(
            "[...document.querySelectorAll('[data-testid=rule-{field}-option]')].find((one) => \
             one.parentElement.textContent === {})",
            json!(label)
        );
        ma.until(label, &box_of).await;
        ma.client.execute(&format!("{box_of}.click()"), vec![]).await.unwrap();
        ma.until(label, &format!("{box_of}?.checked")).await;
    };
    ma.text("[data-testid=rule-words]").await;
    only("shops", "Sunny Bakery 阳光面包房").await;
    only("categories", "Food").await;
    let words = ma.text("[data-testid=rule-words]").await;
    for said in ["Only at Sunny Bakery 阳光面包房.", "Only at these kinds of shops: Food."] {
        assert!(words.contains(said), "{said}: {words}");
    }
    ma.click("[data-testid=rule-test]").await;
    ma.text("[data-testid=rule-tested]").await;
    let bought = "return [...document.querySelectorAll('[data-testid=rule-tested-order]')]
        .filter((row) => row.dataset.answer === 'approve').map((row) => row.querySelector('a').textContent)";
    let bought = ma.client.execute(bought, vec![]).await.unwrap();
    assert_eq!(bought, json!(["Sunny Bakery 阳光面包房"]), "a bakery sells food");
    screen(&ma, false).await;
    picture(&ma, "seeing-rule-en-light").await;
    ma.click("[data-testid=language]").await;
    screen(&ma, true).await;
    ma.until("Chinese", "document.documentElement.lang === 'zh-CN' && document.body.textContent.includes('食品')")
        .await;
    picture(&ma, "seeing-rule-zh-dark").await;
    ma.click("[data-testid=language]").await;
    ma.click("[data-testid=rule-sign]").await;
    ma.text("[data-testid=rule]").await;
    ma.client.refresh().await.unwrap();
    let rule = ma.text("[data-testid=rule]").await;
    ma.until("the shop's name", "document.querySelector('[data-testid=rule]').textContent.includes('Sunny Bakery')")
        .await;
    assert!(rule.contains("Food"), "{rule}");

    // What is too much for one rule is said before it is signed.
    ma.click("[data-testid=rule-edit]").await;
    ma.text("[data-testid=rule-words]").await;
    for label in ["Transport", "Clothes", "Fun and games"] {
        only("categories", label).await;
    }
    let said = ma.text("[data-testid=rule-incomplete]").await;
    assert!(said.contains("too much for one rule"), "{said}");
    ma.client.close().await.unwrap();
}
