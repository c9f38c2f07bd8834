//! A window on an X11 desktop (Wayland desktops run one too), for work on the screens: the mouse is the finger, the space
//! bar the button on the side, and the watch is worn while the mouse is over it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext, ImageFormat, ImageOrder, Keycode,
    NotifyMode, PropMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::pixels::{Drawing, PixelFormat};
use super::{Glass, Signal, TouchSource};
use crate::screens::{Area, Touch};

const TITLE: &[u8] = "点头付 Nodpay".as_bytes();
const FORMAT: PixelFormat = PixelFormat::Xrgb8888;
/// Rows sent at once: few enough for a request of any server.
const BAND_ROWS: usize = 32;
const SPACE: u32 = 0x20;
const LEFT: u8 = 1;

/// A window of this size, and its mouse.
pub(crate) fn open(size: (u32, u32)) -> io::Result<(Face, Mouse)> {
    let (connection, screen) = x11rb::connect(None).map_err(io::Error::other)?;
    let setup = connection.setup();
    let screen = setup.roots.get(screen).cloned().ok_or_else(|| unsupported("no screen"))?;
    let depth = setup.pixmap_formats.iter().find(|format| format.depth == screen.root_depth);
    let is_xrgb =
        depth.is_some_and(|format| format.bits_per_pixel == 32) && setup.image_byte_order == ImageOrder::LSB_FIRST;
    if !is_xrgb {
        return Err(unsupported("the desktop does not have 32 bits a pixel"));
    }
    let (width, height) = (side(size.0)?, side(size.1)?);
    let shown = Shown {
        window: connection.generate_id().map_err(io::Error::other)?,
        gc: connection.generate_id().map_err(io::Error::other)?,
        depth: screen.root_depth,
        size: (width, height),
        pixels: Mutex::new(vec![0; usize::from(width) * usize::from(height) * FORMAT.bytes()]),
        connection,
    };
    let events = EventMask::EXPOSURE
        | EventMask::KEY_PRESS
        | EventMask::BUTTON_PRESS
        | EventMask::BUTTON_RELEASE
        | EventMask::BUTTON1_MOTION
        | EventMask::ENTER_WINDOW
        | EventMask::LEAVE_WINDOW;
    let aux = CreateWindowAux::new().background_pixel(screen.black_pixel).event_mask(events);
    let (x, class) = (&shown.connection, WindowClass::INPUT_OUTPUT);
    let (root, visual) = (screen.root, screen.root_visual);
    let reply = |request: Result<_, x11rb::errors::ConnectionError>| request.map_err(io::Error::other);
    reply(x.create_window(shown.depth, shown.window, root, 0, 0, width, height, 0, class, visual, &aux).map(drop))?;
    reply(x.create_gc(shown.gc, shown.window, &CreateGCAux::new()).map(drop))?;
    let (protocols, close) = (atom(x, b"WM_PROTOCOLS")?, atom(x, b"WM_DELETE_WINDOW")?);
    let (name, utf8) = (atom(x, b"_NET_WM_NAME")?, atom(x, b"UTF8_STRING")?);
    reply(x.change_property32(PropMode::REPLACE, shown.window, protocols, AtomEnum::ATOM, &[close]).map(drop))?;
    reply(x.change_property8(PropMode::REPLACE, shown.window, name, utf8, TITLE).map(drop))?;
    // WM_NORMAL_HINTS with a least and a largest size that are the same (ICCCM 4.1.2.3): the glass does not stretch.
    const MIN_AND_MAX_SIZE: u32 = (1 << 4) | (1 << 5);
    let (w, h) = (u32::from(width), u32::from(height));
    let hints = [MIN_AND_MAX_SIZE, 0, 0, 0, 0, w, h, w, h, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (normal, kind) = (AtomEnum::WM_NORMAL_HINTS, AtomEnum::WM_SIZE_HINTS);
    reply(x.change_property32(PropMode::REPLACE, shown.window, normal, kind, &hints).map(drop))?;
    reply(x.map_window(shown.window).map(drop))?;
    x.flush().map_err(io::Error::other)?;
    let space = key_of(x, SPACE)?;
    let shown = Arc::new(shown);
    Ok((Face(Arc::clone(&shown)), Mouse { shown, close, space }))
}

/// What the window shows, for both threads: one draws, one answers when a part was uncovered.
struct Shown {
    connection: RustConnection,
    window: Window,
    gc: Gcontext,
    depth: u8,
    size: (u16, u16),
    /// Row by row, as the window shows them.
    pixels: Mutex<Vec<u8>>,
}

impl Shown {
    /// Sends whole rows, those from `area.y` on.
    fn send(&self, pixels: &[u8], area: Area) -> io::Result<()> {
        let row_len = usize::from(self.size.0) * FORMAT.bytes();
        let index = |length: u32| usize::try_from(length).map_err(io::Error::other);
        let (first, count) = (index(area.y)?, index(area.height)?);
        let rows = pixels.get(first * row_len..(first + count) * row_len).unwrap_or(&[]);
        for (band, bytes) in rows.chunks(BAND_ROWS * row_len).enumerate() {
            let top = i16::try_from(first + band * BAND_ROWS).map_err(io::Error::other)?;
            let height = u16::try_from(bytes.len() / row_len).map_err(io::Error::other)?;
            let (format, width) = (ImageFormat::Z_PIXMAP, self.size.0);
            self.connection
                .put_image(format, self.window, self.gc, width, height, 0, top, 0, self.depth, bytes)
                .map_err(io::Error::other)?;
        }
        self.connection.flush().map_err(io::Error::other)
    }
}

/// The window as a glass.
pub(crate) struct Face(Arc<Shown>);

impl Glass for Face {
    fn size(&self) -> (u32, u32) {
        (self.0.size.0.into(), self.0.size.1.into())
    }

    fn present(&mut self, drawing: &Drawing<'_>) -> io::Result<()> {
        let area = drawing.area();
        let index = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
        let mut pixels = self.0.pixels.lock().unwrap_or_else(PoisonError::into_inner);
        let row_len = usize::from(self.0.size.0) * FORMAT.bytes();
        let mut row = Vec::new();
        for (target, rgb) in pixels.chunks_exact_mut(row_len).skip(index(area.y)).zip(drawing.rows()) {
            row.clear();
            FORMAT.encode(rgb, &mut row);
            let start = index(area.x) * FORMAT.bytes();
            if let Some(target) = target.get_mut(start..start + row.len()) {
                target.copy_from_slice(&row);
            }
        }
        self.0.send(&pixels, area)
    }
}

/// The window's mouse and keys.
pub(crate) struct Mouse {
    shown: Arc<Shown>,
    /// What a window manager says when the window is to be closed.
    close: u32,
    space: Keycode,
}

impl TouchSource for Mouse {
    fn wait(&mut self) -> io::Result<Vec<Signal>> {
        let event = self.shown.connection.wait_for_event().map_err(io::Error::other)?;
        let at = |x: i16, y: i16| (f32::from(x) + 0.5, f32::from(y) + 0.5);
        #[allow(clippy::wildcard_enum_match_arm)] // The server's events; others were not asked for.
        let signal = match event {
            Event::Expose(event) => {
                let pixels = self.shown.pixels.lock().unwrap_or_else(PoisonError::into_inner);
                let (y, height) = (event.y.into(), event.height.into());
                self.shown.send(&pixels, Area { x: 0, y, width: 0, height })?;
                return Ok(Vec::new());
            }
            Event::ButtonPress(event) if event.detail == LEFT => {
                let (x, y) = at(event.event_x, event.event_y);
                Signal::Touch(Touch::Pressed { x, y })
            }
            Event::MotionNotify(event) => {
                let (x, y) = at(event.event_x, event.event_y);
                Signal::Touch(Touch::Moved { x, y })
            }
            Event::ButtonRelease(event) if event.detail == LEFT => {
                let (x, y) = at(event.event_x, event.event_y);
                Signal::Touch(Touch::Released { x, y })
            }
            // Not when a button merely holds the mouse.
            Event::EnterNotify(event) if event.mode == NotifyMode::NORMAL => Signal::Worn(true),
            Event::LeaveNotify(event) if event.mode == NotifyMode::NORMAL => Signal::Worn(false),
            Event::KeyPress(event) if event.detail == self.space => Signal::SideButton,
            Event::ClientMessage(event) if event.data.as_data32().first() == Some(&self.close) => Signal::Closed,
            _ => return Ok(Vec::new()),
        };
        Ok(vec![signal])
    }
}

fn atom(connection: &RustConnection, name: &[u8]) -> io::Result<u32> {
    let cookie = connection.intern_atom(false, name).map_err(io::Error::other)?;
    Ok(cookie.reply().map_err(io::Error::other)?.atom)
}

/// The key that types this symbol without others held.
fn key_of(connection: &RustConnection, symbol: u32) -> io::Result<Keycode> {
    let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
    let cookie = connection.get_keyboard_mapping(first, last - first + 1).map_err(io::Error::other)?;
    let mapping = cookie.reply().map_err(io::Error::other)?;
    let per_key = usize::from(mapping.keysyms_per_keycode.max(1));
    let mut keys = (first..=last).zip(mapping.keysyms.chunks(per_key));
    Ok(keys.find(|(_, symbols)| symbols.first() == Some(&symbol)).map_or(0, |(key, _)| key))
}

fn side(side: u32) -> io::Result<u16> {
    u16::try_from(side).map_err(io::Error::other)
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}
