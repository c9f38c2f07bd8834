//! What a guardian says besides yes and no, in Debian's Chromium with a real passkey, to the simulated watch's own process: a note, a
//! suggestion, and the order that follows it.

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::browser::{Window, settled};

impl Window {
    /// The till charges these goods, at 10 % less where the shop gives a discount, and the child orders them.
    async fn orders(&self, goods: &[&str], discount: bool) {
        self.till().await;
        // The demo starts with a few things in the basket.
        self.click("[data-testid=clear], [data-testid=next-customer]").await;
        for good in goods {
            self.click(&format!("[data-testid=good-{good}]")).await;
        }
        if discount {
            self.text("[data-testid=discount]").await;
            let choose = "const field = document.querySelector('[data-testid=discount]'); field.value = '10'; \
                          field.dispatchEvent(new Event('change', { bubbles: true }))";
            self.client.execute(choose, vec![]).await.expect("chooses");
        }
        self.click("[data-testid=charge]").await;
        self.text("[data-testid=till-code] canvas").await;
        self.tap("Pay").await;
        self.confirms().await;
        self.watch_says("Waiting for a nod").await;
    }

    /// The page of the order that waits.
    async fn opens_order(&self) {
        self.phone().await;
        self.until("the order", "document.querySelector('[data-testid=waiting-order], [data-testid=refuse]')").await;
        if self.client.find(Locator::Css("[data-testid=refuse]")).await.is_err() {
            self.click("[data-testid=waiting-order]").await;
        }
        self.text("[data-testid=refuse]").await;
    }

    async fn types(&self, id: &str, value: &str) {
        self.text(&format!("[data-testid={id}]")).await;
        let script = format!(
            "const field = document.querySelector('[data-testid={id}]'); field.value = {}; \
             field.dispatchEvent(new Event('input', {{ bubbles: true }}))",
            json!(value)
        );
        self.client.execute(&script, vec![]).await.expect("types");
    }

    /// The id of the bill's line with this in its name.
    async fn line(&self, name: &str) -> String {
        let script = format!(
            "return [...document.querySelectorAll('[data-testid^=line-]')].find((line) => line.textContent.includes('{name}'))\
             .dataset.testid.slice('line-'.length)"
        );
        self.client.execute(&script, vec![]).await.expect("a line").as_str().expect("an id").to_owned()
    }

    async fn says(&self, id: &str, text: &str) {
        let script = format!("document.querySelector('[data-testid={id}]')?.textContent.includes({})", json!(text));
        self.until(&format!("{id} says {text}"), &script).await;
    }

    /// Nothing sticks out of a narrow phone, and what is touched is large enough (WCAG 2.5.5 asks for 44 pixels).
    async fn fits_a_thumb(&self) {
        let script = "const small = [...document.querySelectorAll('main button')].filter((one) => one.offsetHeight < 44); \
                      return [document.documentElement.scrollWidth - document.documentElement.clientWidth, \
                              small.map((one) => `${one.textContent} ${one.offsetHeight}`)]";
        let said = self.client.execute(script, vec![]).await.expect("sizes");
        assert_eq!(said, json!([0, []]));
    }

    /// The phone's frame as narrow as a small phone.
    async fn narrow(&self) {
        self.page().await;
        let script = "const frame = document.querySelector('#phone-frame'); frame.style.width = '360px'; \
                      frame.style.minWidth = '360px'";
        self.client.execute(script, vec![]).await.expect("a narrow phone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggestion_reaches_the_watch_and_what_is_asked_again_is_paid() {
    let window = settled().await;
    window.narrow().await;
    window.orders(&["bread", "milk", "milk", "gum"], false).await;

    // Everything to decide by is there: pictures of the goods, what was spent, and that a signature stands.
    window.opens_order().await;
    window.says("spent-day", "with this ¥22.50").await;
    window.says("spent-month", "¥0.00").await;
    window.says("no-undo", "cannot be undone").await;
    window.until("pictures", "document.querySelectorAll('.line .thing svg').length === 3").await;
    window.fits_a_thumb().await;
    window.page().await;
    window.picture("order").await;
    window.phone().await;

    // A refusal with a note, and with what would be fine: the bread, and one milk of two. Bounds are said at once.
    window.click("[data-testid=refuse]").await;
    window.types("reason", "Sweets come at the weekend").await;
    window.click("[data-testid=suggest]").await;
    window.types("up-to", "22.50").await;
    window.text("[data-testid=suggestion-wrong]").await;
    window.until("no", "document.querySelector('[data-testid=refuse-confirm]').disabled").await;
    window.types("up-to", "").await;
    window.click("[data-testid=suggest-only]").await;
    let (bread, milk) = (window.line("Wholemeal").await, window.line("Milk").await);
    window.click(&format!("[data-testid='only-{bread}']")).await;
    window.click(&format!("[data-testid='only-plus-{milk}']")).await;
    window.says("suggestion-said", "Just 全麦面包 Wholemeal bread and 1 × 牛奶 Milk 250 ml").await;
    window.fits_a_thumb().await;
    window.page().await;
    window.picture("suggestion").await;
    window.phone().await;
    // Both milks after all: whole lines, which can be asked for again.
    window.click(&format!("[data-testid='only-plus-{milk}']")).await;
    window.says("suggestion-said", "2 × 牛奶 Milk 250 ml").await;
    window.says("no-undo", "cannot be undone").await;
    window.click("[data-testid=refuse-confirm]").await;

    // The watch verified it, says it, and asks again for just that: after its own PIN.
    window.watch_says("said no").await;
    window.watch_says("Sweets come at the weekend").await;
    window.watch_says("This would be fine:").await;
    window.watch_says("just 全麦面包 Wholemeal bread, 牛奶 Milk 250 ml × 2").await;
    window.picture("watch-suggestion").await;
    window.phone().await;
    window.says("suggested", "2 × 牛奶 Milk 250 ml").await;
    window.says("step-suggestion", "suggested instead: Just 全麦面包 Wholemeal bread and 2 × 牛奶 Milk 250 ml").await;
    window.tap("Ask again").await;
    window.watch_says("17.50").await;
    window.confirms().await;
    window.watch_says("Waiting for a nod").await;

    // What was left out is out, cannot be put back, and the total is the rest; a note goes with the nod.
    window.phone().await;
    window.client.execute("location.hash = '#/'", vec![]).await.expect("goes");
    window.opens_order().await;
    window.says("asked-again", "without 口香糖 Gum").await;
    let gum = window.line("Gum").await;
    window.text(&format!("[data-testid='left-out-{gum}']")).await;
    assert!(window.client.find(Locator::Css(&format!("[data-testid='strike-{gum}']"))).await.is_err(), "it stays out");
    window.says("total", "17.50").await;
    window.fits_a_thumb().await;
    window.click("[data-testid=add-note]").await;
    window.types("reason", "Enjoy your meal").await;
    window.page().await;
    window.picture("asked-again").await;
    window.phone().await;
    window.click("[data-testid=approve]").await;
    window.watch_says("Paid!").await;
    window.watch_says("Enjoy your meal").await;
    window.phone().await;
    window.text("[data-testid=result]").await;
    window.says("note", "Enjoy your meal").await;
    // The story of the second order begins with what was suggested on the first.
    window.says("step-suggestion", "2 × 牛奶 Milk 250 ml").await;
    window.says("story", "Without 口香糖 Gum").await;

    // The evidence tells it, against keys that were exported from the phone.
    window.click("[data-testid=evidence]").await;
    let evidence = window.downloaded("evidence.json").await;
    window.client.execute("location.hash = '#/household'", vec![]).await.expect("goes");
    window.click("[data-testid=anchor]").await;
    let anchor = window.downloaded("nodpay-anchor.json").await;
    let report = nodpay_protocol::verify_evidence(&evidence, &anchor).expect("sound evidence");
    assert_eq!((report.outcome, report.total.minor()), (nodpay_core::OutcomeKind::Paid, 1_750));
    let told: Vec<&str> = report.story.iter().map(|step| step.what.as_str()).collect();
    assert!(told[1].starts_with("ordered it without 口香糖 Gum,"), "{told:?}");
    assert!(told[2].ends_with("saying \"Enjoy your meal\""), "{told:?}");
    window.client.clone().close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggestion_on_a_bill_with_a_discount_is_priced_by_the_shop() {
    let window = settled().await;
    window.narrow().await;
    window.orders(&["bread", "gum"], true).await;
    window.opens_order().await;
    window.says("total", "12.15").await;
    let gum = window.line("Gum").await;
    // Struck first, so the suggestion starts with what is left; a requote shows old and new before anything is signed.
    window.click(&format!("[data-testid='strike-{gum}']")).await;
    window.says("requoted", "7.65").await;
    window.until("old and new", "document.querySelector('.sum s')?.textContent.includes('12.15')").await;
    window.until("the discount's too", "document.querySelector('.lines .sums s')?.textContent.includes('1.35')").await;
    window.page().await;
    window.picture("requoted").await;
    window.phone().await;
    window.click("[data-testid=refuse]").await;
    window.click("[data-testid=suggest]").await;
    window.says("suggestion-said", "Just 全麦面包 Wholemeal bread").await;
    window.click("[data-testid=hint-smaller]").await;
    window.click("[data-testid=refuse-confirm]").await;

    window.watch_says("the small one").await;
    window.tap("Ask again").await;
    window.watch_says("Up to").await;
    window.confirms().await;
    window.watch_says("Waiting for a nod").await;
    window.phone().await;
    window.client.execute("location.hash = '#/'", vec![]).await.expect("goes");
    window.opens_order().await;
    // The phone asks the shop by itself what the rest comes to.
    window.says("requoted", "7.65").await;
    window.says("total", "7.65").await;
    window.click("[data-testid=approve]").await;
    window.watch_says("Paid!").await;
    window.watch_says("7.65").await;
    window.client.clone().close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_page_is_the_same_in_chinese() {
    let window = settled().await;
    window.narrow().await;
    window.orders(&["pencil", "apple"], false).await;
    window.opens_order().await;
    let script = "const done = arguments[arguments.length - 1]; \
                  import(new URL('texts.js', document.querySelector('script[type=module]').src)) \
                    .then((texts) => texts.setLanguage('zh')).then(() => done(null), (error) => done(String(error)))";
    let failed: Value = window.client.execute_async(script, vec![]).await.expect("runs");
    assert_eq!(failed, Value::Null);
    window.says("no-undo", "签名后不能撤回").await;
    window.click("[data-testid=refuse]").await;
    window.click("[data-testid=suggest]").await;
    window.click("[data-testid=hint-cheaper]").await;
    window.says("suggestion-said", "换便宜一点的").await;
    window.fits_a_thumb().await;
    window.page().await;
    window.picture("suggestion-zh").await;
    window.phone().await;
    window.click("[data-testid=refuse-confirm]").await;
    // The demo's watch speaks as its phone does.
    window.watch_says("换一个钱少一点的").await;
    window.tap("再扫一次").await;
    window.watch_says("对准商店的付款码").await;
    window.client.clone().close().await.expect("closes");
}
