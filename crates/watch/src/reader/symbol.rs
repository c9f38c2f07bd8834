//! From the modules of one QR code to its text (ISO/IEC 18004:2015, sections 6 and 7).
//!
//! Owns: format information, the order of codewords, error correction of the blocks, segments, character sets. It never
//! sees the picture: it gets one brightness a module and how sure it may be of each.
//!
//! Invariants: every block passes error correction with the margin against miscorrection the standard reserves (`p` in its
//! table 9), or nothing is returned; a segment that does not parse to its end returns nothing; bytes whose character
//! set can only be guessed return nothing where two readings are plausible. Micro QR, QR model 1 and one part of a
//! text spread over several codes (structured append) are not read.

use super::reed_solomon;

/// Smallest and largest side of a symbol, in modules.
pub(super) const MIN_DIMENSION: usize = 21;
pub(super) const MAX_DIMENSION: usize = 177;

/// Check codewords a block, by level (L, M, Q, H) and version; ISO/IEC 18004:2015 table 9.
const CHECK_CODEWORDS: [[u8; 40]; 4] = [
    [
        7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30,
        30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ],
    [
        10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28,
        28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    ],
    [
        13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30, 28, 30, 30, 30, 30, 28, 30, 30,
        30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ],
    [
        17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28, 30, 24, 30, 30, 30, 30, 30, 30,
        30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ],
];

/// Blocks, by level and version; the same table.
const BLOCKS: [[u8; 40]; 4] = [
    [
        1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18,
        19, 19, 20, 21, 22, 24, 25,
    ],
    [
        1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31,
        33, 35, 37, 38, 40, 43, 45, 47, 49,
    ],
    [
        1, 1, 2, 2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16, 12, 17, 16, 18, 21, 20, 23, 23, 25, 27, 29, 34, 34, 35, 38, 40,
        43, 45, 48, 51, 53, 56, 59, 62, 65, 68,
    ],
    [
        1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25, 25, 34, 30, 32, 35, 37, 40, 42, 45, 48,
        51, 54, 57, 60, 63, 66, 70, 74, 77, 81,
    ],
];

const ALPHANUMERIC: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// How much further than plain error correction to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Effort {
    /// The best format, hard decisions.
    Plain,
    /// Also the second best format, and codewords with unsure modules given up as erasures.
    Thorough,
}

/// The modules of one symbol as sampled: positive is dark, the size is how sure.
#[derive(Clone)]
pub(super) struct Modules {
    dimension: usize,
    values: Vec<f32>,
}

impl Modules {
    /// `values` row by row; `None` unless they form a square of a valid symbol size.
    pub(super) fn new(dimension: usize, values: Vec<f32>) -> Option<Self> {
        let valid = (MIN_DIMENSION..=MAX_DIMENSION).contains(&dimension) && dimension % 4 == 1;
        (valid && values.len() == dimension * dimension).then_some(Self { dimension, values })
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        self.values.get(y * self.dimension + x).copied().unwrap_or(0.0)
    }

    fn transposed(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for y in 0..self.dimension {
            for x in 0..self.dimension {
                values.push(self.at(y, x));
            }
        }
        Self { dimension: self.dimension, values }
    }
}

/// The text of the symbol, or `None`. Tries the mirrored symbol too.
pub(super) fn decode(modules: &Modules, effort: Effort) -> Option<String> {
    let straight = best_formats(modules);
    let transposed = modules.transposed();
    let mirrored = best_formats(&transposed);
    let tries = match effort {
        Effort::Plain => 1,
        Effort::Thorough => 2,
    };
    // Format words lie at least 7 of 15 bits apart, so the right orientation nearly always fits far better.
    let order = if straight[0].fit >= mirrored[0].fit {
        [(modules, straight), (&transposed, mirrored)]
    } else {
        [(&transposed, mirrored), (modules, straight)]
    };
    let best = straight[0].fit.max(mirrored[0].fit);
    let layout = Layout::new(modules.dimension);
    for (modules, formats) in &order {
        for format in formats.iter().take(tries) {
            let likeliest = format.fit >= best;
            if format.fit < MIN_FORMAT_FIT.max(best - MAX_FORMAT_GAP) || (effort == Effort::Plain && !likeliest) {
                continue;
            }
            // Erasures cost most of the time; they are for the likeliest reading alone.
            let effort = if likeliest { effort } else { Effort::Plain };
            let codewords = layout.codewords(modules, format.mask);
            if let Some(data) = correct(&codewords, layout.version, format.level, effort) {
                return read_segments(&data, layout.version);
            }
        }
    }
    None
}

/// The version (7 to 40) that the symbol itself names, where at most three of its bits are wrong.
pub(super) fn named_version(modules: &Modules) -> Option<usize> {
    let size = modules.dimension;
    if size < 45 {
        return None;
    }
    let mut words = [0u32; 2];
    for bit in 0..18 {
        let (a, b) = (size - 11 + bit % 3, bit / 3);
        if modules.at(a, b) > 0.0 {
            words[0] |= 1 << bit;
        }
        if modules.at(b, a) > 0.0 {
            words[1] |= 1 << bit;
        }
    }
    (7u32..=40)
        .flat_map(|version| words.map(|word| ((word ^ version_word(version)).count_ones(), version)))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .and_then(|(_, version)| usize::try_from(version).ok())
}

fn version_word(version: u32) -> u32 {
    let mut remainder = version;
    for _ in 0..12 {
        remainder = (remainder << 1) ^ ((remainder >> 11) * 0x1F25);
    }
    (version << 12) | (remainder & 0xFFF)
}

/// Centres of the alignment patterns' rows and columns, by version.
pub(super) fn alignment_positions(version: usize) -> Vec<usize> {
    if version < 2 {
        return Vec::new();
    }
    let count = version / 7 + 2;
    let step = (version * 8 + count * 3 + 5) / (count * 4 - 4) * 2;
    let size = version * 4 + 17;
    let mut positions: Vec<usize> = (0..count - 1).map(|index| size.saturating_sub(7 + index * step)).collect();
    positions.push(6);
    positions.reverse();
    positions
}

/// Of the crossings of alignment rows and columns, three lie in the big squares.
pub(super) fn is_at_finder(x: usize, y: usize, dimension: usize) -> bool {
    let last = dimension - 7;
    [(6, 6), (6, last), (last, 6)].contains(&(x, y))
}

/// Share of the 15 format bits, weighted by sureness, that must agree beyond those that do not.
const MIN_FORMAT_FIT: f32 = 0.3;
/// How far behind the best a format may fit and still be tried.
const MAX_FORMAT_GAP: f32 = 0.4;

#[derive(Clone, Copy)]
struct Format {
    level: usize,
    mask: usize,
    fit: f32,
}

fn best_formats(modules: &Modules) -> [Format; 2] {
    let size = modules.dimension;
    let mut copies = [[0.0f32; 15]; 2];
    for bit in 0..15 {
        let first = match bit {
            0..=5 => (8, bit),
            6 => (8, 7),
            7 => (8, 8),
            8 => (7, 8),
            _ => (14 - bit, 8),
        };
        let second = if bit < 8 { (size - 1 - bit, 8) } else { (8, size - 15 + bit) };
        for (copy, (x, y)) in copies.iter_mut().zip([first, second]) {
            if let Some(slot) = copy.get_mut(bit) {
                *slot = modules.at(x, y);
            }
        }
    }
    // A module far from the threshold must not outvote all others.
    let mean = copies.iter().flatten().map(|v| v.abs()).sum::<f32>() / 30.0;
    let limit = (mean * 1.5).max(f32::MIN_POSITIVE);
    let nothing = Format { level: 0, mask: 0, fit: -1.0 };
    let mut best = [nothing; 2];
    for word in 0u32..32 {
        let bits = format_word(word);
        let mut fit = f32::MIN;
        let mut sum_both = 0.0;
        let mut weight_both = 0.0f32;
        for copy in &copies {
            let mut sum = 0.0;
            let mut weight = 0.0;
            for (bit, value) in copy.iter().enumerate() {
                let value = value.clamp(-limit, limit);
                weight += value.abs();
                sum += if bits >> bit & 1 == 1 { value } else { -value };
            }
            sum_both += sum;
            weight_both += weight;
            fit = fit.max(sum / weight.max(f32::MIN_POSITIVE));
        }
        // One copy may be hidden or bent: the better of "the better copy" (discounted) and "both together".
        let fit = (fit * 0.9).max(sum_both / weight_both.max(f32::MIN_POSITIVE));
        let level = match word >> 3 {
            0 => 1,
            1 => 0,
            2 => 3,
            _ => 2,
        };
        let format = Format { level, mask: usize::try_from(word & 7).unwrap_or(0), fit };
        if fit > best[0].fit {
            best = [format, best[0]];
        } else if fit > best[1].fit {
            best[1] = format;
        }
    }
    best
}

fn format_word(data: u32) -> u32 {
    let mut remainder = data;
    for _ in 0..10 {
        remainder = (remainder << 1) ^ ((remainder >> 9) * 0x537);
    }
    ((data << 10) | (remainder & 0x3FF)) ^ 0x5412
}

struct Layout {
    version: usize,
    dimension: usize,
    function: Vec<bool>,
}

impl Layout {
    fn new(dimension: usize) -> Self {
        let version = (dimension - 17) / 4;
        let mut layout = Self { version, dimension, function: vec![false; dimension * dimension] };
        let last = dimension - 1;
        layout.mark(0..9, 0..9);
        layout.mark(last - 7..dimension, 0..9);
        layout.mark(0..9, last - 7..dimension);
        layout.mark(6..7, 0..dimension);
        layout.mark(0..dimension, 6..7);
        let positions = alignment_positions(version);
        for &y in &positions {
            for &x in &positions {
                if !is_at_finder(x, y, dimension) {
                    layout.mark(x.saturating_sub(2)..x + 3, y.saturating_sub(2)..y + 3);
                }
            }
        }
        if version >= 7 {
            layout.mark(last - 10..last - 7, 0..6);
            layout.mark(0..6, last - 10..last - 7);
        }
        layout
    }

    fn mark(&mut self, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) {
        for y in rows {
            for x in columns.clone() {
                if let Some(cell) = self.function.get_mut(y * self.dimension + x) {
                    *cell = true;
                }
            }
        }
    }

    /// The codewords in their order, each with the size of its least sure module.
    fn codewords(&self, modules: &Modules, mask: usize) -> Vec<Codeword> {
        let size = self.dimension;
        let mut codewords = Vec::with_capacity(size * size / 8);
        let mut current = Codeword { value: 0, sureness: f32::MAX };
        let mut bits = 0;
        let mut upwards = true;
        let mut column = size;
        while column >= 2 {
            // The vertical timing pattern takes column 6 out of the pairs.
            let right = if column <= 7 { column - 2 } else { column - 1 };
            for step in 0..size {
                let y = if upwards { size - 1 - step } else { step };
                for x in [right, right.saturating_sub(1)] {
                    if self.function.get(y * size + x).copied().unwrap_or(true) {
                        continue;
                    }
                    let value = modules.at(x, y);
                    let dark = (value > 0.0) != masked(mask, x, y);
                    current.value = current.value << 1 | u8::from(dark);
                    current.sureness = current.sureness.min(value.abs());
                    bits += 1;
                    if bits == 8 {
                        codewords.push(current);
                        current = Codeword { value: 0, sureness: f32::MAX };
                        bits = 0;
                    }
                }
            }
            upwards = !upwards;
            column -= 2;
        }
        codewords
    }
}

fn masked(mask: usize, x: usize, y: usize) -> bool {
    let rest = match mask {
        0 => (x + y) % 2,
        1 => y % 2,
        2 => x % 3,
        3 => (x + y) % 3,
        4 => (x / 3 + y / 2) % 2,
        5 => x * y % 2 + x * y % 3,
        6 => (x * y % 2 + x * y % 3) % 2,
        _ => ((x + y) % 2 + x * y % 3) % 2,
    };
    rest == 0
}

#[derive(Clone, Copy)]
struct Codeword {
    value: u8,
    sureness: f32,
}

/// The data codewords of all blocks, corrected; `None` when one block cannot be.
fn correct(codewords: &[Codeword], version: usize, level: usize, effort: Effort) -> Option<Vec<u8>> {
    let column = version.checked_sub(1)?;
    let check = usize::from(*CHECK_CODEWORDS.get(level)?.get(column)?);
    let blocks = usize::from(*BLOCKS.get(level)?.get(column)?);
    let total = codewords.len();
    let data_total = total.checked_sub(check * blocks)?;
    let short = data_total / blocks;
    let long_from = blocks - data_total % blocks;
    // Misdecode protection, "p" of table 9: these codewords detect and do not correct.
    let reserve = match (version, level) {
        (1, 0) => 3,
        (1, 1) | (2, 0) => 2,
        (1, _) | (3, 0) => 1,
        _ => 0,
    };
    let mut data = Vec::with_capacity(data_total);
    for block in 0..blocks {
        let length = short + usize::from(block >= long_from);
        let mut word = Vec::with_capacity(length + check);
        for index in 0..length {
            // The last codeword of a long block comes after all short blocks have ended.
            let position = if index < short { index * blocks + block } else { short * blocks + block - long_from };
            word.push(*codewords.get(position)?);
        }
        for index in 0..check {
            word.push(*codewords.get(data_total + index * blocks + block)?);
        }
        let corrected = correct_block(&word, check, reserve, effort)?;
        data.extend_from_slice(corrected.get(..length)?);
    }
    Some(data)
}

/// Syndromes kept back from erasures: an erasure costs one, and these alone must still vouch for the block.
const ERASURE_RESERVE: usize = 4;

fn correct_block(word: &[Codeword], check: usize, reserve: usize, effort: Effort) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = word.iter().map(|codeword| codeword.value).collect();
    if reed_solomon::correct(&mut bytes, check, &[], reserve) {
        return Some(bytes);
    }
    if effort < Effort::Thorough {
        return None;
    }
    // Generalised minimum distance decoding: give up the least sure codewords, in growing number.
    let mut order: Vec<usize> = (0..word.len()).collect();
    order.sort_by(|a, b| {
        let sureness = |index: &usize| word.get(*index).map_or(0.0, |codeword| codeword.sureness);
        sureness(a).total_cmp(&sureness(b))
    });
    let most = check.saturating_sub(ERASURE_RESERVE.max(reserve));
    for quarter in 1..=4 {
        let erased = most * quarter / 4;
        let mut bytes: Vec<u8> = word.iter().map(|codeword| codeword.value).collect();
        if reed_solomon::correct(&mut bytes, check, order.get(..erased)?, reserve.max(ERASURE_RESERVE)) {
            return Some(bytes);
        }
    }
    None
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.position)
    }

    fn take(&mut self, count: usize) -> Option<u32> {
        if count > self.left() || count > 24 {
            return None;
        }
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }

    fn take_count(&mut self, bits: usize) -> Option<usize> {
        usize::try_from(self.take(bits)?).ok()
    }
}

/// A run of text, or of bytes whose character set is not known yet.
enum Piece {
    Text(String),
    Bytes(Vec<u8>),
}

fn read_segments(data: &[u8], version: usize) -> Option<String> {
    let mut bits = Bits { bytes: data, position: 0 };
    let size_class = match version {
        ..=9 => 0,
        10..=26 => 1,
        _ => 2,
    };
    let mut pieces = Vec::new();
    let mut set: Option<&'static encoding_rs::Encoding> = None;
    let mut gs1 = false;
    loop {
        if bits.left() < 4 {
            break;
        }
        match bits.take(4)? {
            0b0000 => break,
            0b0001 => {
                let count = bits.take_count([10, 12, 14][size_class])?;
                pieces.push(Piece::Text(numeric(&mut bits, count)?));
            }
            0b0010 => {
                let count = bits.take_count([9, 11, 13][size_class])?;
                pieces.push(Piece::Text(alphanumeric(&mut bits, count, gs1)?));
            }
            0b0100 => {
                let count = bits.take_count([8, 16, 16][size_class])?;
                let mut bytes = Vec::with_capacity(count.min(bits.left() / 8));
                for _ in 0..count {
                    bytes.push(u8::try_from(bits.take(8)?).ok()?);
                }
                pieces.push(match set {
                    Some(set) => Piece::Text(strict(set, &bytes)?),
                    None => Piece::Bytes(bytes),
                });
            }
            0b1000 => {
                let count = bits.take_count([8, 10, 12][size_class])?;
                let bytes = double_bytes(&mut bits, count, 0xC0, &|value| {
                    if value < 0x1F00 { value + 0x8140 } else { value + 0xC140 }
                })?;
                pieces.push(Piece::Text(strict(encoding_rs::SHIFT_JIS, &bytes)?));
            }
            0b1101 => {
                // GB/T 18284: the only subset defined is GB 2312.
                if bits.take(4)? != 1 {
                    return None;
                }
                let count = bits.take_count([8, 10, 12][size_class])?;
                let bytes = double_bytes(&mut bits, count, 0x60, &|value| {
                    if value < 0x0A00 { value + 0xA1A1 } else { value + 0xA6A1 }
                })?;
                pieces.push(Piece::Text(strict(encoding_rs::GB18030, &bytes)?));
            }
            0b0111 => set = Some(extended_set(extended_number(&mut bits)?)?),
            0b0101 => gs1 = true,
            0b1001 => {
                bits.take(8)?;
                gs1 = true;
            }
            // Structured append (0011) is a part of a text; the rest is reserved.
            _ => return None,
        }
    }
    join(&pieces)
}

fn numeric(bits: &mut Bits<'_>, count: usize) -> Option<String> {
    let mut text = String::new();
    let mut left = count;
    while left > 0 {
        let digits = left.min(3);
        let value = bits.take(digits * 3 + 1)?;
        let group = format!("{value:0digits$}");
        if group.len() != digits {
            return None;
        }
        text.push_str(&group);
        left -= digits;
    }
    Some(text)
}

fn alphanumeric(bits: &mut Bits<'_>, count: usize, gs1: bool) -> Option<String> {
    let mut text = String::new();
    let mut left = count;
    while left > 0 {
        if left == 1 {
            text.push(alphanumeric_char(bits.take(6)?)?);
            break;
        }
        let pair = bits.take(11)?;
        text.push(alphanumeric_char(pair / 45)?);
        text.push(alphanumeric_char(pair % 45)?);
        left -= 2;
    }
    if gs1 {
        // ISO/IEC 18004:2015, 7.4.8.2: in this mode % is the separator, and %% a percent sign.
        text = text.replace("%%", "\u{0}").replace('%', "\u{1d}").replace('\u{0}', "%");
    }
    Some(text)
}

fn alphanumeric_char(value: u32) -> Option<char> {
    ALPHANUMERIC.get(usize::try_from(value).ok()?).map(|byte| char::from(*byte))
}

fn double_bytes(bits: &mut Bits<'_>, count: usize, base: u32, place: &dyn Fn(u32) -> u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        let value = bits.take(13)?;
        let pair = place(((value / base) << 8) | (value % base));
        bytes.extend(u16::try_from(pair).ok()?.to_be_bytes());
    }
    Some(bytes)
}

fn extended_number(bits: &mut Bits<'_>) -> Option<u32> {
    let first = bits.take(8)?;
    match first {
        0..=0x7F => Some(first),
        0x80..=0xBF => Some((first & 0x3F) << 8 | bits.take(8)?),
        0xC0..=0xDF => Some((first & 0x1F) << 16 | bits.take(16)?),
        _ => None,
    }
}

/// The character set an ECI number names (AIM ITS/04-023); `None` for numbers that are not character sets we know.
fn extended_set(number: u32) -> Option<&'static encoding_rs::Encoding> {
    Some(match number {
        1 | 3 | 27 => encoding_rs::WINDOWS_1252,
        4 | 21 => encoding_rs::WINDOWS_1250,
        5 => encoding_rs::ISO_8859_3,
        6 => encoding_rs::ISO_8859_4,
        7 => encoding_rs::ISO_8859_5,
        8 => encoding_rs::ISO_8859_6,
        9 => encoding_rs::ISO_8859_7,
        10 => encoding_rs::ISO_8859_8,
        11 => encoding_rs::WINDOWS_1254,
        12 => encoding_rs::ISO_8859_10,
        13 => encoding_rs::WINDOWS_874,
        15 => encoding_rs::ISO_8859_13,
        16 => encoding_rs::ISO_8859_14,
        17 => encoding_rs::ISO_8859_15,
        18 => encoding_rs::ISO_8859_16,
        20 => encoding_rs::SHIFT_JIS,
        22 => encoding_rs::WINDOWS_1251,
        23 => encoding_rs::WINDOWS_1252,
        24 => encoding_rs::WINDOWS_1256,
        25 => encoding_rs::UTF_16BE,
        26 => encoding_rs::UTF_8,
        28 => encoding_rs::BIG5,
        29 | 31 | 32 => encoding_rs::GB18030,
        30 => encoding_rs::EUC_KR,
        _ => return None,
    })
}

fn strict(set: &'static encoding_rs::Encoding, bytes: &[u8]) -> Option<String> {
    set.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
}

fn join(pieces: &[Piece]) -> Option<String> {
    let unknown: Vec<u8> = pieces
        .iter()
        .filter_map(|piece| if let Piece::Bytes(bytes) = piece { Some(bytes) } else { None })
        .flatten()
        .copied()
        .collect();
    let set = guess_set(&unknown)?;
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Bytes(bytes) => text.push_str(&strict(set, bytes)?),
        }
    }
    Some(text)
}

/// The character set of bytes that come without one: UTF-8, which writers today mean; else ISO 8859-1 or Shift_JIS, which
/// the standard's editions of 2005 and 2000 name. Bytes that could be another of these, or Chinese (GB 2312, which many
/// wrote without saying so), give `None`.
fn guess_set(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    if std::str::from_utf8(bytes).is_ok() {
        return Some(encoding_rs::UTF_8);
    }
    let runs: Vec<&[u8]> = bytes.split(u8::is_ascii).filter(|run| !run.is_empty()).collect();
    let japanese = strict(encoding_rs::SHIFT_JIS, bytes).is_some() && is_japanese(bytes);
    let chinese = runs.iter().all(|run| is_chinese(run));
    // Accented letters and signs stand alone or in twos.
    let latin = runs.iter().all(|run| run.len() <= 2 && run.iter().all(|byte| *byte >= 0xA0));
    match (latin, japanese, chinese) {
        (true, _, false) if runs.iter().all(|run| run.len() == 1) => Some(encoding_rs::WINDOWS_1252),
        (true, false, false) => Some(encoding_rs::WINDOWS_1252),
        (false, true, false) => Some(encoding_rs::SHIFT_JIS),
        // Half-width kana are pairs of Chinese bytes too; sound marks where Japanese has them decide.
        (false, true, true) if runs.iter().any(|run| has_sound_mark(run)) => Some(encoding_rs::SHIFT_JIS),
        _ => None,
    }
}

/// Shift_JIS of common text: half-width kana, kana, signs and the first level of kanji.
fn is_japanese(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter();
    let mut kana = 0;
    while let Some(byte) = rest.next() {
        match byte {
            0..=0x7F => kana = 0,
            0x81..=0x84 | 0x88..=0x97 => {
                rest.next();
                kana = 0;
            }
            // No word begins with a small kana, a long or sound mark, or "n".
            0xA7..=0xB0 | 0xDD..=0xDF if kana == 0 => return false,
            0xA1..=0xDF => kana += 1,
            _ => return false,
        }
    }
    true
}

/// GB 2312 of common text: signs and the first level of characters.
fn is_chinese(run: &[u8]) -> bool {
    let (pairs, rest) = run.as_chunks::<2>();
    rest.is_empty() && pairs.iter().all(|[lead, trail]| matches!(lead, 0xA1..=0xA3 | 0xB0..=0xD7) && *trail >= 0xA1)
}

/// A voiced or half-voiced mark after a half-width kana that can carry it.
fn has_sound_mark(run: &[u8]) -> bool {
    run.windows(2).any(|pair| matches!(pair, [0xB6..=0xC4 | 0xCA..=0xCE, 0xDE] | [0xCA..=0xCE, 0xDF]))
}
