//! `nodpay demo --headless`: the whole job without a browser. The service and the watch are processes of their own; the
//! till's code is a real picture read by the real reader; the guardian signs with a marked software key.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nodpay::parties::{Approval, Basket, Guardian, Merchant, Result, Sse, WatchOptions, WatchProcess};
use nodpay_core::{Currency, Line, LineId, Minor, Reduction, Text};
use nodpay_protocol::verify_evidence;
use nodpay_watch::reader::{Frame, load_image};
use serde_json::{Value, json};

use crate::demo::{CHILD_NAME, Stage};

/// How long the order that nobody answers waits, in milliseconds.
const SHORT_ORDER_LIFE_MS: u64 = 1_500;
/// What the simulated camera sees: 640 × 480.
const CAMERA: (usize, usize) = (640, 480);
const PIN: &str = "2580";

/// The service as a process of its own. Killed when dropped.
#[derive(Debug)]
pub struct ServiceProcess {
    child: Child,
    pub stage: Stage,
}

impl ServiceProcess {
    /// Starts `nodpay demo --stage-only` over `data`.
    pub fn start(data: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["demo", "--stage-only", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe from the service")?).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(stage) => Ok(Self { child, stage }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err("the service did not start".into())
            }
        }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everyone on stage, paired and ready.
pub struct Cast {
    pub merchant: Merchant,
    pub guardian: Guardian,
    pub watch: WatchProcess,
    pub events: Sse,
    pub out: PathBuf,
}

/// Plays three orders and prints what came out as the last line.
pub fn run(data: &Path, out: &Path) -> Result<()> {
    let started = Instant::now();
    std::fs::create_dir_all(out)?;
    let service = ServiceProcess::start(&data.join("service"))?;
    let options = WatchOptions {
        command: vec![
            std::env::current_exe()?.to_string_lossy().into_owned(),
            "watch".to_owned(),
            "run".to_owned(),
            "--simulator".to_owned(),
            "--language".to_owned(),
            "en".to_owned(),
        ],
        data: data.join("watch"),
        demo_keys: true,
        order_life_ms: None,
    };
    let mut cast = enter(&service.stage, &options, out)?;
    say("The watch is paired.");

    let approved = cast.order_of(snack()?, "approved")?;
    let view = cast.guardian.order(&approved)?;
    cast.guardian.decide(&view, &Approval::Without(vec![line_id("cola")?]))?;
    let approved = cast.end(&approved, "paid")?;

    let refused = cast.order_of(snack()?, "refused")?;
    let view = cast.guardian.order(&refused)?;
    cast.guardian.decide(&view, &Approval::Refuse(Some(Text::new("Dinner is soon")?)))?;
    let refused = cast.end(&refused, "refused")?;

    // The watch starts again, with less patience: nobody answers this time.
    cast.restart_watch(&WatchOptions { order_life_ms: Some(SHORT_ORDER_LIFE_MS), ..options })?;
    let expired = cast.order_of(snack()?, "expired")?;
    let expired = cast.end(&expired, "expired")?;

    let anchor = cast.guardian.anchor().to_file()?;
    std::fs::write(out.join("anchor.json"), &anchor)?;
    let orders = [approved, refused, expired];
    for order in &orders {
        let path = order["evidence"].as_str().ok_or("no evidence")?;
        verify_evidence(&std::fs::read(path)?, anchor.as_bytes())?;
    }
    say("The evidence of all three checks out.");
    println!("{}", json!({ "orders": orders, "wall_ms": started.elapsed().as_millis() }));
    let expected = [("paid", 2950, 1), ("refused", 3650, 0), ("expired", 3650, 0)];
    for (order, (outcome, total, struck)) in orders.iter().zip(expected) {
        let fits = order["outcome"] == outcome
            && order["total"] == total
            && order["struck"].as_array().is_some_and(|lines| lines.len() == struck);
        if !fits {
            return Err(format!("an order should be {outcome} at {total}: {order}").into());
        }
    }
    Ok(())
}

/// Enrols the shop, founds the household and pairs the watch.
pub fn enter(stage: &Stage, watch: &WatchOptions, out: &Path) -> Result<Cast> {
    let client = nodpay::parties::Client::new(&stage.origin);
    let merchant = Merchant::enrol(&client, &stage.till)?;
    let mut guardian = Guardian::found(&client, &stage.join, Currency::CNY)?;
    let mut events = guardian.events()?;

    let mut watch = WatchProcess::start(watch)?;
    watch.wait_screen("welcome")?;
    watch.tap("Scan")?;
    watch.wait_screen("scan")?;
    let code = guardian.open_pairing()?;
    watch.show_frame(&photograph(&code.to_text(), None)?)?;
    watch.wait_screen("choose-pin")?;
    watch.type_pin(PIN, "Confirm")?;
    watch.wait("the second time", |shown| label_with(shown, "once more"))?;
    watch.type_pin(PIN, "Confirm")?;
    let shown = watch.wait_screen("pairing")?;
    events.wait_for("pairing", |_| true)?;
    let (_, digits) = guardian.enrol(&code, CHILD_NAME)?;
    if !label_with(&shown, &digits) {
        return Err(format!("the watch shows other digits than {digits}: {shown}").into());
    }
    watch.wait("the balance", |shown| shown["screen"] == "home" && label_with(shown, "50.00"))?;
    Ok(Cast { merchant, guardian, watch, events, out: out.to_owned() })
}

impl Cast {
    /// The till charges, the watch scans, the child confirms and types the PIN. Returns the order's id.
    pub fn order_of(&mut self, basket: Basket, name: &str) -> Result<String> {
        let posted = self.merchant.charge(basket)?;
        let picture = self.out.join(format!("till-{name}.png"));
        let frame = photograph(&posted.code, Some(&picture))?;
        self.watch.tap("Pay")?;
        self.watch.wait_screen("scan")?;
        self.watch.show_frame(&frame)?;
        self.watch.wait_screen("review")?;
        self.watch.tap("Confirm")?;
        self.watch.wait_screen("pin")?;
        self.watch.type_pin(PIN, "Confirm")?;
        let event = self.events.wait_for("order", |_| true)?;
        Ok(event["order"].as_str().ok_or("no order id")?.to_owned())
    }

    /// Waits until both sides have seen the end, and keeps the evidence.
    fn end(&mut self, order: &str, outcome: &str) -> Result<Value> {
        self.events.wait_for("result", |event| event["order"] == order)?;
        let shown = self.watch.wait_screen("ended")?;
        let path = self.out.join(format!("{outcome}.evidence.json"));
        let evidence = self.guardian.evidence(order)?;
        std::fs::write(&path, &evidence)?;
        let report = verify_evidence(evidence.as_bytes(), self.guardian.anchor().to_file()?.as_bytes())?;
        say(&format!("Order {order}: {} {}.", report.outcome.as_str(), report.total));
        self.watch.tap("Done").map_err(|error| format!("{error}; the watch shows {shown}"))?;
        self.watch.wait_screen("home")?;
        Ok(json!({
            "outcome": report.outcome,
            "total": report.total.minor(),
            "struck": report.struck,
            "evidence": path,
        }))
    }

    /// Pulls the watch's battery and puts it back.
    pub fn restart_watch(&mut self, options: &WatchOptions) -> Result<()> {
        self.watch.terminate()?;
        self.watch = WatchProcess::start(options)?;
        self.watch.wait("home, online", |shown| shown["screen"] == "home" && label_with(shown, "Pay")).map(|_| ())
    }
}

/// Five lines, ¥36.50, as a canteen sells them.
pub fn snack() -> Result<Basket> {
    let goods: [(&str, &str, u32, i64); 5] = [
        ("bread", "全麦面包 Wholemeal bread", 1, 850),
        ("milk", "牛奶 Milk", 2, 450),
        ("cola", "可乐 Cola", 2, 350),
        ("gum", "口香糖 Gum", 1, 500),
        ("pencil", "铅笔 Pencil", 5, 140),
    ];
    let lines = goods.map(|(id, name, quantity, price)| {
        let unit_price = Minor::new(price)?;
        Ok(Line {
            id: line_id(id)?,
            name: Text::new(name)?,
            quantity,
            unit_price,
            amount: unit_price.times(quantity)?,
            category: None,
            min_age: None,
            bundle: None,
        })
    });
    let lines = lines.into_iter().collect::<Result<Vec<Line>>>()?;
    Ok(Basket { lines, adjustments: Vec::new(), reduction: Reduction::LinesSum })
}

pub fn line_id(id: &str) -> Result<LineId> {
    LineId::new(id).ok_or_else(|| format!("{id} is not a line id").into())
}

/// A code as a picture (kept at `path` if given), held before the camera.
fn photograph(code: &str, path: Option<&Path>) -> Result<Frame> {
    let modules = qrcode::QrCode::with_error_correction_level(code, qrcode::EcLevel::L)?;
    let picture = modules.render::<image::Luma<u8>>().max_dimensions(460, 460).build();
    let (width, height) = (u32::try_from(CAMERA.0)?, u32::try_from(CAMERA.1)?);
    let mut view = image::GrayImage::from_pixel(width, height, image::Luma([200]));
    let (left, top) = ((width - picture.width()) / 2, (height - picture.height()) / 2);
    image::imageops::replace(&mut view, &picture, i64::from(left), i64::from(top));
    let mut png = std::io::Cursor::new(Vec::new());
    view.write_to(&mut png, image::ImageFormat::Png)?;
    if let Some(path) = path {
        std::fs::write(path, png.get_ref())?;
    }
    Ok(load_image(png.get_ref())?)
}

/// Whether a shown element's label contains `text`.
fn label_with(shown: &Value, text: &str) -> bool {
    let labels = shown["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
    labels.iter().any(|element| element["label"].as_str().is_some_and(|label| label.contains(text)))
}

fn say(line: &str) {
    eprintln!("{line}");
}
