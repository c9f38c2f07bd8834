//! Uncompressed video: YUV4MPEG2 files (`.y4m`), their brightness alone.
//!
//! Understood: 8 bits a sample, colour spaces mono, 420 (any placing of colour), 422 and 444. Frames are read one at a time;
//! memory is bounded by the size of one frame.

use crate::reader::{Frame, FrameError, MAX_SIDE};
use std::io::{self, BufRead, Read};
use std::time::Duration;

/// Longest header, of the file or of a frame, in bytes.
const MAX_HEADER_LEN: u64 = 1024;

/// Frames a second of a video that does not say.
const USUAL_RATE: (u32, u32) = (25, 1);

/// Why a video is not read, or not on.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// No header, or a broken one.
    #[error("it is not a YUV4MPEG2 video")]
    Format,
    /// Another than the module understands.
    #[error("the colour space {0} is not one of Cmono, C420…, C422, C444 with 8 bits")]
    ColourSpace(String),
    /// Less than a whole frame is left.
    #[error("the file ends or breaks off within a frame")]
    Truncated,
    /// Larger than a camera's picture.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The file itself.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A video that is being read.
#[derive(Debug)]
pub struct Video<R> {
    input: R,
    width: usize,
    height: usize,
    /// Bytes of colour after the brightness of each frame.
    colour_len: u64,
    frame_time: Duration,
}

impl<R: BufRead> Video<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, VideoError> {
        let header = line(&mut input)?.ok_or(VideoError::Format)?;
        let mut words = header.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(VideoError::Format);
        }
        let (mut width, mut height, mut rate, mut space) = (0, 0, USUAL_RATE, "C420");
        for word in words {
            let number = || word.get(1..).and_then(|digits| digits.parse().ok()).ok_or(VideoError::Format);
            match word.as_bytes().first() {
                Some(b'W') => width = number()?,
                Some(b'H') => height = number()?,
                Some(b'F') => rate = self::rate(word).ok_or(VideoError::Format)?,
                Some(b'C') => space = word,
                _ => {}
            }
        }
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(FrameError::Side { width, height }.into());
        }
        let colour_len = match space {
            "Cmono" => 0,
            "C420" | "C420jpeg" | "C420paldv" | "C420mpeg2" => 2 * width.div_ceil(2) * height.div_ceil(2),
            "C422" => 2 * width.div_ceil(2) * height,
            "C444" => 2 * width * height,
            other => return Err(VideoError::ColourSpace(other.to_owned())),
        };
        let colour_len = u64::try_from(colour_len).unwrap_or(u64::MAX);
        let frame_time = Duration::from_secs(1) * rate.1 / rate.0;
        Ok(Self { input, width, height, colour_len, frame_time })
    }

    /// How long each frame is shown.
    #[must_use]
    pub fn frame_time(&self) -> Duration {
        self.frame_time
    }

    /// `None` after the last frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        let Some(header) = line(&mut self.input)? else { return Ok(None) };
        if header != "FRAME" && !header.starts_with("FRAME ") {
            return Err(VideoError::Truncated);
        }
        let mut luma = vec![0; self.width * self.height];
        self.input.read_exact(&mut luma).map_err(|_| VideoError::Truncated)?;
        let skipped = io::copy(&mut self.input.by_ref().take(self.colour_len), &mut io::sink())?;
        if skipped != self.colour_len {
            return Err(VideoError::Truncated);
        }
        Ok(Some(Frame::new(self.width, self.height, luma)?))
    }
}

/// `F30000:1001`: frames, in this many seconds.
fn rate(word: &str) -> Option<(u32, u32)> {
    let (frames, seconds) = word.get(1..)?.split_once(':')?;
    let rate = (frames.parse().ok()?, seconds.parse().ok()?);
    (rate.0 > 0).then_some(rate)
}

/// The next line without its end; `None` at the end of the file.
fn line(input: &mut impl BufRead) -> Result<Option<String>, VideoError> {
    let mut bytes = Vec::new();
    input.take(MAX_HEADER_LEN).read_until(b'\n', &mut bytes)?;
    match bytes.pop() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(bytes).map(Some).map_err(|_| VideoError::Format),
        Some(_) => Err(VideoError::Format),
    }
}
