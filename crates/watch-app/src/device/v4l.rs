//! A V4L2 camera (`/dev/video0`) that gives plain pixels: grey, or a form whose brightness can be taken as it is.
//!
//! Not run where this was written: there was no camera; what is done with a frame's bytes is tested. Cameras behind an image
//! processor that must first be wired up (libcamera) or that only give planes apart (multi-planar) are not taken.

use std::io;
use std::path::Path;

use linuxvideo::Device;
use linuxvideo::format::{PixFormat, PixelFormat};
use linuxvideo::stream::ReadStream;
use nodpay_watch::reader::Frame;

use super::FrameSource;

/// Asked for; a camera gives what comes nearest.
const SIZE: (u32, u32) = (640, 480);
/// By preference.
const FORMS: [([u8; 4], Form); 6] = [
    (*b"GREY", Form::Plane),
    (*b"NV12", Form::Plane),
    (*b"NV21", Form::Plane),
    (*b"YU12", Form::Plane),
    (*b"YUYV", Form::EveryOther { first: 0 }),
    (*b"UYVY", Form::EveryOther { first: 1 }),
];

/// Where in a frame the brightness is.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// A byte a pixel; colours may follow after the last row.
    Plane,
    /// Two bytes a pixel.
    EveryOther { first: usize },
}

/// See the module.
pub(crate) struct V4l {
    stream: ReadStream,
    form: Form,
    width: usize,
    height: usize,
    /// Bytes from a row to the next.
    stride: usize,
}

impl V4l {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        for (fourcc, form) in FORMS {
            let wanted = PixelFormat::from_fourcc(fourcc);
            // A refused form ends the use of a device by this library: each is asked for anew.
            let Ok(camera) = Device::open(path)?.video_capture(PixFormat::new(SIZE.0, SIZE.1, wanted)) else {
                continue;
            };
            let given = camera.format();
            if given.pixel_format().as_fourcc() != fourcc {
                continue;
            }
            let side = |side: u32| usize::try_from(side).map_err(io::Error::other);
            let (width, height, stride) = (side(given.width())?, side(given.height())?, side(given.bytes_per_line())?);
            return Ok(Self { stream: camera.into_stream()?, form, width, height, stride });
        }
        let why = format!("{}: it gives none of GREY, NV12, NV21, YU12, YUYV, UYVY", path.display());
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }
}

impl FrameSource for V4l {
    fn next_frame(&mut self) -> io::Result<Frame> {
        loop {
            let (form, width, height, stride) = (self.form, self.width, self.height, self.stride);
            let luma = self.stream.dequeue(|view| {
                let whole = !view.is_error();
                Ok(whole.then(|| luma(form, width, height, stride, &view)).flatten())
            })?;
            // A frame that was cut off in transfer is followed by a better one.
            if let Some(luma) = luma {
                return Frame::new(width, height, luma).map_err(io::Error::other);
            }
        }
    }
}

/// Brightness, row by row; `None` if the frame is cut off.
fn luma(form: Form, width: usize, height: usize, stride: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut luma = Vec::with_capacity(width * height);
    for y in 0..height {
        let row = bytes.get(y * stride..)?;
        match form {
            Form::Plane => luma.extend_from_slice(row.get(..width)?),
            Form::EveryOther { first } => luma.extend(row.get(..width * 2)?.iter().skip(first).step_by(2)),
        }
    }
    Some(luma)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_is_taken_from_each_form() {
        let expected = Some(vec![1, 2, 3, 4]);
        assert_eq!(luma(Form::Plane, 2, 2, 2, &[1, 2, 3, 4]), expected);
        assert_eq!(luma(Form::Plane, 2, 2, 3, &[1, 2, 0, 3, 4, 0, 90, 90]), expected, "wider rows, colours");
        assert_eq!(luma(Form::EveryOther { first: 0 }, 2, 2, 4, &[1, 90, 2, 91, 3, 90, 4, 91]), expected);
        assert_eq!(luma(Form::EveryOther { first: 1 }, 2, 2, 5, &[90, 1, 91, 2, 0, 90, 3, 91, 4]), expected);
        assert_eq!(luma(Form::Plane, 2, 2, 2, &[1, 2, 3]), None, "cut off");
        assert_eq!(luma(Form::EveryOther { first: 0 }, 2, 2, 4, &[1, 90, 2, 91, 3, 90, 4]), None, "cut off");
    }
}
