//! The watch in a window of a real desktop (Xvfb): what the window shows, pixel by pixel, and what mouse, space bar, camera
//! folder and window manager do.

#![allow(clippy::unwrap_used, clippy::as_conversions)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodpay_watch::reader::load_image;
use nodpay_watch::view::{Notice, ScanFor, Screen, View};
use nodpay_watch_app::screens::{Element, Picture, Role, Screens, Shape};
use nodpay_watch_app::words::Language;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask,
    ImageFormat, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, Window, WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Desktop {
    connection: RustConnection,
    root: Window,
    _server: Running,
}

impl Desktop {
    fn start() -> (Self, String) {
        let arguments = ["-displayfd", "1", "-screen", "0", "640x640x24", "-nolisten", "tcp"];
        let mut server =
            Command::new("Xvfb").args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Xvfb");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let display = format!(":{}", number.trim());
        let (connection, screen) = x11rb::connect(Some(&display)).unwrap();
        let root = connection.setup().roots[screen].root;
        (Self { connection, root, _server: Running(server) }, display)
    }

    /// What a window shows, if it is there and shown.
    fn picture(&self, window: Window, (width, height): (u32, u32)) -> Option<Picture> {
        let (w, h) = (width as u16, height as u16);
        let image =
            self.connection.get_image(ImageFormat::Z_PIXMAP, window, 0, 0, w, h, u32::MAX).unwrap().reply().ok()?;
        let rgb = image.data.as_chunks::<4>().0.iter().flat_map(|&[blue, green, red, _]| [red, green, blue]).collect();
        Some(Picture { width, height, rgb })
    }

    fn fake(&self, kind: u8, detail: u8, (x, y): (f32, f32)) {
        self.connection.xtest_fake_input(kind, detail, 0, self.root, x as i16, y as i16, 0).unwrap();
        self.connection.flush().unwrap();
    }

    fn click(&self, at: (f32, f32)) {
        self.fake(MOTION_NOTIFY_EVENT, 0, at);
        self.fake(BUTTON_PRESS_EVENT, 1, at);
        self.fake(BUTTON_RELEASE_EVENT, 1, at);
    }

    fn press_space(&self) {
        let (first, last) = (self.connection.setup().min_keycode, self.connection.setup().max_keycode);
        let mapping = self.connection.get_keyboard_mapping(first, last - first + 1).unwrap().reply().unwrap();
        let mut keys = mapping.keysyms.chunks(mapping.keysyms_per_keycode.into());
        let space = first + keys.position(|symbols| symbols[0] == 0x20).unwrap() as u8;
        self.fake(KEY_PRESS_EVENT, space, (0.0, 0.0));
        self.fake(KEY_RELEASE_EVENT, space, (0.0, 0.0));
    }
}

/// Looks again and again: each look is a question to the server.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
    }
}

/// The screen at rest, as this process draws it; a label's place on it.
fn drawn(screen: Screen, preview: Option<&Path>) -> (Picture, Screens) {
    let mut screens = Screens::new(Shape::Round, Language::English);
    screens.show(&View { screen, online: true });
    if let Some(path) = preview {
        let frame = load_image(&std::fs::read(path).unwrap()).unwrap();
        screens.set_preview(frame.width() as u32, frame.height() as u32, frame.luma());
    }
    screens.draw();
    screens.advance(3_600_000);
    screens.draw();
    (screens.picture().clone(), screens)
}

#[test]
fn the_watch_runs_in_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let camera = folder.path().join("camera");
    std::fs::create_dir(&camera).unwrap();
    let code = qrcode::QrCode::new("not a pairing code").unwrap();
    let code = code.render().light_color('W').dark_color('B').module_dimensions(8, 8).build();
    let luma: Vec<u8> = code.lines().flat_map(str::bytes).map(|byte| if byte == b'W' { 255 } else { 0 }).collect();
    let (side, photo) = (code.lines().count() as u32, camera.join("code.png"));
    image::GrayImage::from_raw(side, side, luma).unwrap().save(&photo).unwrap();

    let (desktop, display) = Desktop::start();
    let mut watch = Running(
        Command::new(env!("CARGO_BIN_EXE_nodpay-watch"))
            .args(["run", "--display", "window", "--language", "en", "--camera"])
            .arg(format!("folder:{}", camera.display()))
            .arg("--data")
            .arg(folder.path().join("data"))
            .env("DISPLAY", &display)
            .spawn()
            .unwrap(),
    );
    let size = Shape::Round.size();
    let window = until("the window", || {
        let tree = desktop.connection.query_tree(desktop.root).unwrap().reply().unwrap();
        tree.children.first().copied()
    });
    let shows = |what: &str, expected: &Picture| {
        let mut last = None;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let picture = desktop.picture(window, size);
            if picture.as_ref() == Some(expected) {
                return;
            }
            last = picture.or(last);
        }
        for (name, picture) in [("expected", Some(expected)), ("shown", last.as_ref())] {
            let Some(picture) = picture else { continue };
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("window-{name}.png"));
            let image = image::RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone()).unwrap();
            image.save(&path).unwrap();
            eprintln!("{name}: {}", path.display());
        }
        panic!("{what} is not what the window shows");
    };

    // The welcome screen, and a click on its button.
    let (welcome, screens) = drawn(Screen::Welcome { notice: None }, None);
    shows("the welcome screen", &welcome);
    let is_scan = |element: &Element| element.role == Role::Button && element.label == "Scan";
    let button = screens.elements().into_iter().find(is_scan).unwrap();
    desktop.click((button.x + button.width / 2.0, button.y + button.height / 2.0));

    // The folder's picture is in the viewfinder, its code was read, and the watch says that it is none of those it takes.
    let scan = Screen::Scan { purpose: ScanFor::Pairing, notice: Some(Notice::NotAPairingCode) };
    let (scan, _) = drawn(scan, Some(&photo));
    shows("the viewfinder", &scan);

    // What was covered is drawn again.
    let cover = desktop.connection.generate_id().unwrap();
    let (class, colour) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new().background_pixel(0x00ff_0000));
    desktop.connection.create_window(24, cover, desktop.root, 90, 90, 99, 99, 0, class, 0, &colour).unwrap();
    desktop.connection.map_window(cover).unwrap();
    desktop.connection.destroy_window(cover).unwrap();
    shows("the viewfinder, uncovered", &scan);

    // The button on the side leads back.
    desktop.press_space();
    shows("the welcome screen again", &welcome);

    // Closing the window ends the program.
    let atom = |name: &[u8]| desktop.connection.intern_atom(false, name).unwrap().reply().unwrap().atom;
    let close = ClientMessageEvent::new(32, window, atom(b"WM_PROTOCOLS"), [atom(b"WM_DELETE_WINDOW"), 0, 0, 0, 0]);
    desktop.connection.send_event(false, window, EventMask::NO_EVENT, close).unwrap();
    desktop.connection.flush().unwrap();
    assert!(until("the end", || watch.0.try_wait().unwrap()).success());
}
