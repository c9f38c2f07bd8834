//! Reads QR codes from grey pictures: still pictures with all effort (`read_code`, `read_codes`), video a frame at a time
//! (`Reader`).
//!
//! Everything is our own and total: no input makes it panic. What it refuses, and how:
//! - a picture with a side of 0 or above `MAX_SIDE`, or whose bytes are not width × height: `Frame::new` gives an error;
//! - files that are neither PNG nor JPEG, broken, or larger than `MAX_SIDE` or `MAX_DECODED_BYTES`: `LoadError`;
//! - Micro QR, QR model 1, and codes that hold a part of a longer text: not read;
//! - bytes without a character set that could be read in two ways: not read, never guessed (`symbol`).
//!
//! Order of steps: a pass (`Pass`) prepares the picture one way and finds squares (`finder`); squares of all passes are
//! pooled, since the three of a code need not show in the same pass; likely threes are sampled and decoded (`grid`,
//! `symbol`); blur is measured at the squares and undone (`equalise`). Passes run in the order of their yield for their time;
//! `read_code` stops at the first text. A text is only returned after Reed-Solomon correction with a margin against
//! miscorrection (`symbol`), so a bad guess costs time and gives no wrong text. Figures: `docs/decisions/0009-reader.md`.
//!
//! Time is bounded without a clock, so the same picture always gives the same answer: looking for squares takes time by the
//! number of pixels (callers scale camera pictures down first, `Frame::scaled_to`), and what is done with them is counted
//! (`Work`).

mod equalise;
mod finder;
mod grid;
mod number;
mod pixels;
mod reed_solomon;
mod symbol;
mod work;

use finder::{Contrast, Finder};
use grid::{Found, Hypothesis};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use number::{float, rounded_byte, whole};
use pixels::Grey;
use std::io::Cursor;
use work::Work;

/// Longest side of a picture, in pixels.
pub const MAX_SIDE: usize = 8192;
/// Memory a picture file may take while it is decoded.
pub const MAX_DECODED_BYTES: u64 = 512 * 1024 * 1024;

/// A grey picture, one byte a pixel, rows from the top. Neither side is 0 or above `MAX_SIDE`.
#[derive(Clone)]
pub struct Frame {
    grey: Grey,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} × {})", self.grey.width, self.grey.height)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a picture of {width} × {height} pixels; each side must be 1 to {MAX_SIDE}")]
    Side { width: usize, height: usize },
    #[error("{found} bytes of brightness where the size of the picture asks for {expected}")]
    Length { expected: usize, found: usize },
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it is not a PNG or JPEG picture")]
    Format,
    #[error("the picture is larger than {MAX_SIDE} pixels a side or needs too much memory")]
    TooLarge,
    #[error("the picture is damaged")]
    Damaged(#[source] image::ImageError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Frame {
    /// `luma`: brightness, 0 black to 255 white, row by row from the top.
    pub fn new(width: usize, height: usize, luma: Vec<u8>) -> Result<Self, FrameError> {
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(FrameError::Side { width, height });
        }
        let expected = width * height;
        if luma.len() != expected {
            return Err(FrameError::Length { expected, found: luma.len() });
        }
        Ok(Self { grey: Grey { width, height, luma } })
    }

    pub fn width(&self) -> usize {
        self.grey.width
    }

    pub fn height(&self) -> usize {
        self.grey.height
    }

    /// Brightness, row by row from the top.
    pub fn luma(&self) -> &[u8] {
        &self.grey.luma
    }

    /// The picture with its longer side at most `max_side`; never enlarged. Each new pixel is the triangle-weighted mean
    /// of all old pixels under it, so that fine patterns fade instead of turning into others.
    pub fn scaled_to(&self, max_side: usize) -> Self {
        let (width, height) = (self.grey.width, self.grey.height);
        let longest = width.max(height);
        let max_side = max_side.max(1);
        if longest <= max_side {
            return self.clone();
        }
        let scaled = |side: usize| ((side * max_side * 2 + longest) / (longest * 2)).max(1);
        let (new_width, new_height) = (scaled(width), scaled(height));
        let columns = weights(width, new_width);
        let mut narrow = Vec::with_capacity(new_width * height);
        for y in 0..height {
            let row = self.grey.row(y);
            for (first, shares) in &columns {
                let pixels = row.get(*first..).unwrap_or(&[]);
                narrow.push(pixels.iter().zip(shares).map(|(pixel, share)| f32::from(*pixel) * share).sum::<f32>());
            }
        }
        let mut luma = Vec::with_capacity(new_width * new_height);
        let mut line = vec![0.0f32; new_width];
        for (first, shares) in weights(height, new_height) {
            line.fill(0.0);
            for (row, share) in narrow.chunks(new_width).skip(first).zip(&shares) {
                for (sum, value) in line.iter_mut().zip(row) {
                    *sum += value * share;
                }
            }
            luma.extend(line.iter().map(|value| rounded_byte(*value)));
        }
        Self { grey: Grey { width: new_width, height: new_height, luma } }
    }
}

/// For each new pixel of a side: the first old pixel under it and the shares of that one and the following.
fn weights(old: usize, new: usize) -> Vec<(usize, Vec<f32>)> {
    let ratio = float(old) / float(new);
    (0..new)
        .map(|index| {
            let centre = (float(index) + 0.5) * ratio;
            let first = whole((centre - ratio).max(0.0));
            let last = whole(centre + ratio).min(old - 1);
            let mut shares: Vec<f32> =
                (first..=last).map(|pixel| (1.0 - ((float(pixel) + 0.5 - centre) / ratio).abs()).max(0.0)).collect();
            let sum = shares.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            for share in &mut shares {
                *share /= sum;
            }
            (first, shares)
        })
        .collect()
}

/// A PNG or JPEG file as a grey picture, turned as its EXIF orientation says; transparent parts count as white.
pub fn load_image(bytes: &[u8]) -> Result<Frame, LoadError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| LoadError::Format)?;
    let mut limits = Limits::default();
    let side = u32::try_from(MAX_SIDE).unwrap_or(u32::MAX);
    limits.max_image_width = Some(side);
    limits.max_image_height = Some(side);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(load_error)?;
    let orientation = decoder.orientation().map_err(load_error)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(load_error)?;
    picture.apply_orientation(orientation);
    let luma = if picture.color().has_alpha() {
        let blended = picture.to_luma_alpha8();
        let on_white = |pixel: &image::LumaA<u8>| {
            let [luma, alpha] = pixel.0.map(u32::from);
            number::byte((luma * alpha + 255 * (255 - alpha) + 127) / 255)
        };
        blended.pixels().map(on_white).collect()
    } else {
        picture.to_luma8().into_raw()
    };
    let side = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Frame::new(side(picture.width()), side(picture.height()), luma)?)
}

fn load_error(error: image::ImageError) -> LoadError {
    match error {
        image::ImageError::Limits(_) => LoadError::TooLarge,
        image::ImageError::Unsupported(_) => LoadError::Format,
        error @ (image::ImageError::Decoding(_)
        | image::ImageError::Encoding(_)
        | image::ImageError::Parameter(_)
        | image::ImageError::IoError(_)) => LoadError::Damaged(error),
    }
}

/// The text of the clearest code in the picture, with all effort.
pub fn read_code(frame: &Frame) -> Option<String> {
    let mut search = Search::new(PICTURE_WORK);
    PASSES.iter().find_map(|pass| search.run(&frame.grey, *pass, 1).pop()).map(|found| found.text)
}

/// The texts of all codes in the picture, each once, the clearest first; at most `MAX_CODES`.
pub fn read_codes(frame: &Frame) -> Vec<String> {
    Search::new(PICTURE_WORK).all(&frame.grey, PASSES)
}

/// Most codes one picture answers with.
pub const MAX_CODES: usize = 32;

/// Reads video: a cheap pass on every frame, one of the dearer ones in turn.
#[derive(Debug, Default)]
pub struct Reader {
    turn: usize,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// The texts of the codes in this frame, each once, the clearest first; at most `MAX_CODES`. A code that one frame does
    /// not give up is tried in another way on the next.
    pub fn read(&mut self, frame: &Frame) -> Vec<String> {
        const TURNS: &[&[Pass]] = &[
            &[Pass::Blocks(8), Pass::Half, Pass::Deep],
            &[Pass::Blocks(8), Pass::Blocks(4), Pass::Deep],
            &[Pass::Blocks(8), Pass::Smooth, Pass::Deep],
            &[Pass::Blocks(8), Pass::Blocks(16), Pass::Deep],
            &[Pass::Blocks(8), Pass::HalfMean(6), Pass::Deep],
            &[Pass::Blocks(8), Pass::Mean(16), Pass::Deep],
            &[Pass::Blocks(8), Pass::Two],
        ];
        let turn = TURNS.get(self.turn % TURNS.len()).copied().unwrap_or(&[]);
        self.turn = self.turn.wrapping_add(1);
        Search::new(VIDEO_WORK).all(&frame.grey, turn)
    }
}

/// One way to look for squares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pass {
    /// Threshold by blocks: clean pictures, most photographs.
    Blocks(usize),
    /// The same at half the size: large codes, noise, a screen's own pixels.
    Half,
    /// Threshold by the mean around each pixel, this far: uneven light, and blur that fills the gap of a square.
    Mean(usize),
    /// The same at half the size: far out of focus.
    HalfMean(usize),
    /// Smoothed: noise, moiré.
    Smooth,
    /// At twice the size: modules of hardly more than a pixel.
    Double,
    /// No new squares: the likeliest threes of all passes again, with everything the sampler and decoder can do.
    Deep,
    /// The same with two squares where the third is missing.
    Two,
}

/// In the order of texts read for the time spent, measured on photographs.
const PASSES: &[Pass] = &[
    Pass::Blocks(8),
    Pass::Half,
    Pass::Deep,
    Pass::Blocks(4),
    Pass::Blocks(16),
    Pass::Smooth,
    Pass::Deep,
    Pass::Two,
    Pass::Mean(16),
    Pass::HalfMean(6),
    Pass::Double,
    Pass::Deep,
    Pass::Two,
];

/// Work granted to codes with a missing square beyond what the deep passes left.
const TWO_WORK: u32 = 400_000;
/// Guesses a pass tries, and a deep pass.
const GUESSES: usize = 8;
const DEEP_GUESSES: usize = 4;
/// Work on guesses, in plain and in deep passes: of a picture, and of a frame of video.
const PICTURE_WORK: [u32; 2] = [700_000, 2_400_000];
const VIDEO_WORK: [u32; 2] = [200_000, 300_000];
/// Squares of all passes together.
const MAX_POOL: usize = 36;

struct Search {
    finders: Vec<Finder>,
    /// Passes run so far.
    passes: usize,
    /// Passes the deep pass has gone over, and the one for two squares.
    deepened: usize,
    paired: usize,
    work: Work,
    deep_work: Work,
    taken: Vec<Found>,
}

impl Search {
    fn new([work, deep_work]: [u32; 2]) -> Self {
        let (work, deep_work) = (Work::new(work), Work::new(deep_work));
        Self { finders: Vec::new(), passes: 0, deepened: 0, paired: 0, work, deep_work, taken: Vec::new() }
    }

    /// The texts of all codes that these passes find, each once.
    fn all(&mut self, grey: &Grey, passes: &[Pass]) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for pass in passes {
            for found in self.run(grey, *pass, MAX_CODES) {
                if texts.len() < MAX_CODES && !texts.contains(&found.text) {
                    texts.push(found.text);
                }
            }
        }
        texts
    }

    /// Codes read for the first time, at most `want`.
    fn run(&mut self, grey: &Grey, pass: Pass, want: usize) -> Vec<Found> {
        if let Pass::Deep | Pass::Two = pass {
            let mut work = std::mem::take(&mut self.deep_work);
            let guesses = if pass == Pass::Deep {
                let since = std::mem::replace(&mut self.deepened, self.passes);
                grid::hypotheses(grey, &self.finders, since, DEEP_GUESSES, &mut work)
            } else {
                work.grant(TWO_WORK);
                let since = std::mem::replace(&mut self.paired, self.passes);
                grid::hypotheses_of_two(grey, &self.finders, since, DEEP_GUESSES, &mut work)
            };
            let found = self.read(&guesses, want, |guess| guess.read_deeply(grey, &mut work));
            self.deep_work = work;
            return found;
        }
        for mut finder in look(grey, pass) {
            let repeated = self.finders.iter().any(|other| other.is_same(&finder));
            if !repeated && !self.is_taken(&finder) {
                finder.pass = self.passes;
                self.finders.push(finder);
            }
        }
        self.finders.sort_by(|a, b| b.quality().total_cmp(&a.quality()));
        self.finders.truncate(MAX_POOL);
        let pass = self.passes;
        self.passes += 1;
        let mut work = std::mem::take(&mut self.work);
        let guesses = grid::hypotheses(grey, &self.finders, pass, GUESSES.max(want), &mut work);
        let found = self.read(&guesses, want, |guess| guess.read(grey, &mut work));
        self.work = work;
        found
    }

    fn read(
        &mut self,
        guesses: &[Hypothesis],
        want: usize,
        mut read: impl FnMut(&Hypothesis) -> Option<Found>,
    ) -> Vec<Found> {
        let mut all = Vec::new();
        for guess in guesses {
            if all.len() >= want {
                break;
            }
            if guess.corners().any(|corner| self.is_taken(corner)) {
                continue;
            }
            if let Some(found) = read(guess) {
                self.taken.push(found.clone());
                all.push(found);
            }
        }
        let finders = std::mem::take(&mut self.finders);
        self.finders = finders.into_iter().filter(|finder| !self.is_taken(finder)).collect();
        all
    }

    fn is_taken(&self, finder: &Finder) -> bool {
        self.taken.iter().any(|found| found.covers(finder.centre))
    }
}

fn look(grey: &Grey, pass: Pass) -> Vec<Finder> {
    /// Larger pictures are not doubled: it would cost more than all other passes together.
    const MAX_DOUBLED: usize = 200_000;
    /// Side of a block: a square of small modules still spans several.
    const BLOCK: usize = 8;
    let scaled = |finders: Vec<Finder>, factor: f32| finders.into_iter().map(|finder| finder.scaled(factor)).collect();
    match pass {
        Pass::Blocks(block) => finder::find(&Contrast::by_blocks(grey, block), 2),
        Pass::Half => scaled(finder::find(&Contrast::by_blocks(&grey.halved(), BLOCK), 1), 2.0),
        Pass::Mean(reach) => finder::find(&Contrast::by_mean(&grey.smoothed(), reach), 1),
        Pass::HalfMean(reach) => scaled(finder::find(&Contrast::by_mean(&grey.halved().smoothed(), reach), 1), 2.0),
        Pass::Smooth => finder::find(&Contrast::by_blocks(&grey.smoothed(), BLOCK), 1),
        Pass::Double if grey.luma.len() > MAX_DOUBLED => Vec::new(),
        Pass::Double => scaled(finder::find(&Contrast::by_blocks(&grey.doubled(), BLOCK), 1), 0.5),
        Pass::Deep | Pass::Two => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
