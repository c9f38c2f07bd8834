//! A Linux frame buffer (`/dev/fb0`), written with plain writes: its size and form come from sysfs, so neither ioctl nor
//! mapped memory is needed, and displays on a slow bus are brought up to date by what was written.
//!
//! Taken: 16 bits (red in the highest five) and 32 bits (red in the third byte); other orders of colours are not told by
//! sysfs and not known here.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::Glass;
use super::pixels::{Drawing, PixelFormat};

/// See the module.
pub(crate) struct FrameBuffer {
    file: File,
    size: (u32, u32),
    /// Bytes from a row to the next.
    stride: u64,
    /// Bytes before the first pixel that is shown.
    start: u64,
    format: PixelFormat,
    row: Vec<u8>,
}

impl FrameBuffer {
    pub(crate) fn open(device: &Path) -> io::Result<Self> {
        let device = device.canonicalize()?;
        let name = device.file_name().ok_or_else(|| bad(device.display().to_string()))?;
        Self::open_described(&device, &Path::new("/sys/class/graphics").join(name))
    }

    /// `sysfs` is the folder that describes the device.
    fn open_described(device: &Path, sysfs: &Path) -> io::Result<Self> {
        let read = |name: &str| {
            let path = sysfs.join(name);
            let text = std::fs::read_to_string(&path);
            text.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        let number = |name: &str| read(name)?.trim().parse::<u64>().map_err(|error| bad(format!("{name}: {error}")));
        let pair = |name: &str| pair(&read(name)?, ',').ok_or_else(|| bad(name.to_owned()));
        let format = match number("bits_per_pixel")? {
            16 => PixelFormat::Rgb565,
            32 => PixelFormat::Xrgb8888,
            bits => return Err(bad(format!("{bits} bits a pixel; 16 and 32 are known"))),
        };
        // The mode may be unset; what is shown is then all there is.
        let size = match mode_size(&read("mode")?) {
            Some(size) => size,
            None => pair("virtual_size")?,
        };
        let (stride, (left, top)) = (number("stride")?, pair("pan")?);
        let bytes = u64::try_from(format.bytes()).map_err(bad)?;
        if stride < u64::from(size.0) * bytes {
            return Err(bad(format!("rows of {stride} bytes for {} pixels", size.0)));
        }
        let start = u64::from(top) * stride + u64::from(left) * bytes;
        let file = OpenOptions::new().write(true).open(device)?;
        let glass = Self { file, size, stride, start, format, row: Vec::new() };
        glass.clear()?;
        Ok(glass)
    }

    /// Black, also where the watch's picture does not reach.
    fn clear(&self) -> io::Result<()> {
        let row = vec![0; usize::try_from(self.size.0).map_err(bad)? * self.format.bytes()];
        (0..self.size.1).try_for_each(|y| self.file.write_all_at(&row, self.start + u64::from(y) * self.stride))
    }
}

impl Glass for FrameBuffer {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn present(&mut self, drawing: &Drawing<'_>) -> io::Result<()> {
        let area = drawing.area();
        let bytes = u64::try_from(self.format.bytes()).map_err(bad)?;
        let mut at = self.start + u64::from(area.y) * self.stride + u64::from(area.x) * bytes;
        for rgb in drawing.rows() {
            self.row.clear();
            self.format.encode(rgb, &mut self.row);
            self.file.write_all_at(&self.row, at)?;
            at += self.stride;
        }
        Ok(())
    }
}

/// Of `U:720x1280p-60`.
fn mode_size(mode: &str) -> Option<(u32, u32)> {
    let (_, size) = mode.trim().split_once(':')?;
    let (width, rest) = size.split_once('x')?;
    let height = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn pair(text: &str, between: char) -> Option<(u32, u32)> {
    let (one, two) = text.trim().split_once(between)?;
    Some((one.parse().ok()?, two.parse().ok()?))
}

fn bad(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::pixels::Fit;
    use crate::screens::{Area, Picture};

    struct Fake {
        folder: tempfile::TempDir,
    }

    impl Fake {
        /// 3 × 2 pixels are shown, from the second row of a larger buffer on.
        fn new(bits: &str, stride: &str, mode: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let facts = [
                ("bits_per_pixel", bits),
                ("stride", stride),
                ("mode", mode),
                ("virtual_size", "3,3\n"),
                ("pan", "0,1\n"),
                ("device", ""),
            ];
            for (name, text) in facts {
                std::fs::write(folder.path().join(name), text).expect("writes");
            }
            Self { folder }
        }

        fn open(&self) -> io::Result<FrameBuffer> {
            FrameBuffer::open_described(&self.folder.path().join("device"), self.folder.path())
        }

        fn bytes(&self) -> Vec<u8> {
            std::fs::read(self.folder.path().join("device")).expect("reads")
        }
    }

    #[test]
    fn the_changed_part_is_written_where_it_belongs() {
        let fake = Fake::new("16\n", "8\n", "U:3x2p-60\n");
        let mut glass = fake.open().expect("opens");
        assert_eq!(glass.size(), (3, 2));
        assert_eq!(fake.bytes(), [0; 8 + 8 + 6], "black, and nothing beyond the pixels");
        let picture = Picture { width: 2, height: 2, rgb: vec![0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255] };
        let fit = Fit::new((3, 2), (2, 2));
        glass.present(&fit.place(&picture, Area { x: 0, y: 0, width: 2, height: 2 })).expect("writes");
        let expected = [[0; 8], [0, 0, 0xff, 0xff, 0, 0, 0, 0], [0x00, 0xf8, 0x1f, 0x00, 0, 0, 0, 0]].concat();
        assert_eq!(fake.bytes(), expected[..22]);

        let fake = Fake::new("32", "16", "");
        let mut glass = fake.open().expect("opens");
        assert_eq!(glass.size(), (3, 3), "without a mode");
        glass.present(&fit.place(&picture, Area { x: 1, y: 1, width: 1, height: 1 })).expect("writes");
        let bytes = fake.bytes();
        let written: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        assert_eq!(written, [36, 39], "blue, and the byte that means nothing");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (bits, stride, mode) in
            [("24", "12", "U:3x2p-60"), ("8", "4", "U:3x2p-60"), ("16", "4", "U:3x2p-60"), ("16", "wide", "")]
        {
            assert!(Fake::new(bits, stride, mode).open().is_err(), "{bits} {stride}");
        }
        assert!(FrameBuffer::open(Path::new("/dev/no-such-frame-buffer")).is_err());
    }
}
