//! A display of Linux's kernel mode setting (`/dev/dri/card0`): the connected display in its preferred mode, one plain
//! ("dumb") buffer that is drawn into and reported as changed. One buffer is enough for a watch: small parts change, and
//! panels behind a slow bus want to know which.
//!
//! Not run where this was written: there was no such device.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use drm::buffer::{Buffer as _, DrmFourcc};
use drm::control::dumbbuffer::DumbBuffer;
use drm::control::{ClipRect, Device as ControlDevice, ModeTypeFlags, ResourceHandles, connector, crtc, framebuffer};

use super::Glass;
use super::pixels::{Drawing, PixelFormat};

const FORMAT: PixelFormat = PixelFormat::Xrgb8888;

struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl ControlDevice for Card {}

/// See the module.
pub(crate) struct Kms {
    card: Card,
    buffer: DumbBuffer,
    frame: framebuffer::Handle,
    row: Vec<u8>,
}

impl Kms {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let card = Card(OpenOptions::new().read(true).write(true).open(path)?);
        let resources = card.resource_handles()?;
        let display = connected(&card, &resources)?;
        let preferred = display.modes().iter().find(|mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED));
        let mode = *preferred.or(display.modes().first()).ok_or_else(|| missing("the display has no mode"))?;
        let crtc = crtc_for(&card, &resources, &display)?;
        let (width, height) = mode.size();
        let mut buffer = card.create_dumb_buffer((width.into(), height.into()), DrmFourcc::Xrgb8888, 32)?;
        card.map_dumb_buffer(&mut buffer)?.fill(0);
        let frame = card.add_framebuffer(&buffer, 24, 32)?;
        card.set_crtc(crtc, Some(frame), (0, 0), &[display.handle()], Some(mode))?;
        Ok(Self { card, buffer, frame, row: Vec::new() })
    }
}

fn connected(card: &Card, resources: &ResourceHandles) -> io::Result<connector::Info> {
    for handle in resources.connectors() {
        let display = card.get_connector(*handle, true)?;
        if display.state() == connector::State::Connected {
            return Ok(display);
        }
    }
    Err(missing("no display is connected"))
}

/// The one that drives the display already, or the first that can.
fn crtc_for(card: &Card, resources: &ResourceHandles, display: &connector::Info) -> io::Result<crtc::Handle> {
    if let Some(encoder) = display.current_encoder()
        && let Some(crtc) = card.get_encoder(encoder)?.crtc()
    {
        return Ok(crtc);
    }
    for handle in display.encoders() {
        let can = card.get_encoder(*handle)?.possible_crtcs();
        if let Some(crtc) = resources.filter_crtcs(can).first() {
            return Ok(*crtc);
        }
    }
    Err(missing("nothing can drive the display"))
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

impl Glass for Kms {
    fn size(&self) -> (u32, u32) {
        self.buffer.size()
    }

    fn present(&mut self, drawing: &Drawing<'_>) -> io::Result<()> {
        let area = drawing.area();
        let index = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
        let stride = index(self.buffer.pitch());
        let mut map = self.card.map_dumb_buffer(&mut self.buffer)?;
        let rows = map.chunks_mut(stride.max(1)).skip(index(area.y));
        for (target, rgb) in rows.zip(drawing.rows()) {
            self.row.clear();
            FORMAT.encode(rgb, &mut self.row);
            let start = index(area.x) * FORMAT.bytes();
            if let Some(target) = target.get_mut(start..start + self.row.len()) {
                target.copy_from_slice(&self.row);
            }
        }
        drop(map);
        let edge = |edge: u32| u16::try_from(edge).unwrap_or(u16::MAX);
        let clip = ClipRect::new(edge(area.x), edge(area.y), edge(area.x + area.width), edge(area.y + area.height));
        match self.card.dirty_framebuffer(self.frame, &[clip]) {
            // Displays that read the buffer all the time have nothing to be told.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            told => told,
        }
    }
}
