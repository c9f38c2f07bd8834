//! Everyone on stage: the demo's service as a process, the shop, the guardian and the watch, paired and ready.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nodpay_core::{Currency, Line, LineId, Minor, Reduction, Text};
use nodpay_protocol::Report;
use nodpay_protocol::verify_evidence;
use nodpay_watch::reader::{Frame, load_image};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Basket, Client, Guardian, Merchant, PostedBill, Result, Sse, WatchOptions, WatchProcess};

/// The child of the demo's household.
pub const CHILD_NAME: &str = "小明 Ming";
/// What the child types.
pub const PIN: &str = "4827";
/// What the simulated camera sees: 640 × 480.
const CAMERA: (u32, u32) = (640, 480);

/// What `nodpay demo --stage-only` prints: where the service is and the invitations to play there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    pub origin: String,
    /// Invitation for the shop's till.
    pub till: String,
    /// Invitation for the guardian.
    pub join: String,
    /// Where the watch reaches the service, if not at `origin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_service: Option<String>,
}

/// The service as a process of its own. Killed when dropped.
#[derive(Debug)]
pub struct ServiceProcess {
    child: Child,
    pub stage: Stage,
}

impl ServiceProcess {
    /// Starts `program demo --stage-only` over `data`, listening at `listen` (port 0: any).
    pub fn start(program: &Path, data: &Path, listen: &str) -> Result<Self> {
        Self::start_with(Command::new(program), data, listen)
    }

    /// The same with a command of the caller's making: the program, and how it differs.
    pub fn start_with(mut command: Command, data: &Path, listen: &str) -> Result<Self> {
        command.args(["demo", "--stage-only", "--listen", listen, "--data"]).arg(data);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
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

    /// SIGKILL: no last word, as when the power goes.
    pub fn terminate(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and how it ended.
    pub fn leave(&mut self) -> Result<std::process::ExitStatus> {
        let killed = Command::new("kill").arg(self.pid().to_string()).status()?;
        if killed.success() { Ok(self.child.wait()?) } else { Err("no signal was sent".into()) }
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
    /// Where pictures of the till's codes are kept.
    pub out: PathBuf,
}

/// Enrols the shop, founds the household and pairs the watch.
pub fn enter(stage: &Stage, watch: &WatchOptions, out: &Path) -> Result<Cast> {
    std::fs::create_dir_all(out)?;
    let client = Client::new(&stage.origin);
    let merchant = Merchant::enrol(&client, &stage.till)?;
    let mut guardian = Guardian::found(&client, &stage.join, Currency::CNY)?;
    let mut events = guardian.events()?;

    let mut watch = WatchProcess::start(watch)?;
    watch.wait_screen("welcome")?;
    watch.tap("Scan")?;
    watch.wait_screen("scan")?;
    let mut code = guardian.open_pairing()?;
    if let Some(address) = &stage.watch_service {
        code.service.clone_from(address);
    }
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
        self.order_for(&posted, name)
    }

    /// The same for a bill that is there already. The picture of its code is kept as `till-NAME.png`.
    pub fn order_for(&mut self, posted: &PostedBill, name: &str) -> Result<String> {
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

    /// Waits until both sides have seen the end; checks the evidence against the guardian's own anchor.
    pub fn ended(&mut self, order: &str) -> Result<(String, Report)> {
        self.events.wait_for("result", |event| event["order"] == order)?;
        self.watch.wait_screen("ended")?;
        let evidence = self.guardian.evidence(order)?;
        let report = verify_evidence(evidence.as_bytes(), self.guardian.anchor().to_file()?.as_bytes())?;
        Ok((evidence, report))
    }

    /// The child puts the result away.
    pub fn dismiss(&mut self) -> Result<()> {
        self.watch.tap("Done")?;
        self.watch.wait_screen("home").map(|_| ())
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
pub fn photograph(code: &str, path: Option<&Path>) -> Result<Frame> {
    let code = qrcode::QrCode::with_error_correction_level(code, qrcode::EcLevel::L)?;
    let modules = u32::try_from(code.width())?;
    let colors = code.to_colors();
    let (width, height) = CAMERA;
    // A quiet zone of four modules a side, as ISO 18004 asks for.
    let scale = height / (modules + 8);
    let picture = image::GrayImage::from_fn(modules * scale, modules * scale, |x, y| {
        let index = usize::try_from((y / scale) * modules + x / scale).unwrap_or(0);
        image::Luma([colors.get(index).map_or(255, |color| color.select(0, 255))])
    });
    let mut view = image::GrayImage::from_pixel(width, height, image::Luma([255]));
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
pub fn label_with(shown: &Value, text: &str) -> bool {
    let labels = shown["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
    labels.iter().any(|element| element["label"].as_str().is_some_and(|label| label.contains(text)))
}
