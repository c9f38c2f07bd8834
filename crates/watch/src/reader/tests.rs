//! The reader against pictures made here: every code, slant, blur and noise below comes from a seed.

use super::*;
use qrcode::{Color, EcLevel, QrCode, Version};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    /// −1 to 1.
    fn signed(&mut self) -> f32 {
        float(self.below(2001)) / 1000.0 - 1.0
    }
}

/// How a code is photographed. Lengths in modules unless said otherwise.
#[derive(Clone, Copy)]
struct Shot {
    /// Pixels a module.
    module: f32,
    /// Radians.
    turn: f32,
    slant: [f32; 2],
    /// Height to width.
    squeeze: f32,
    bulge: f32,
    blur: f32,
    /// Steps of brightness.
    noise: f32,
    dark: f32,
    bright: f32,
    side: [usize; 2],
    centre: [f32; 2],
}

impl Default for Shot {
    fn default() -> Self {
        Self {
            module: 5.0,
            turn: 0.0,
            slant: [0.0; 2],
            squeeze: 1.0,
            bulge: 0.0,
            blur: 0.2,
            noise: 3.0,
            dark: 30.0,
            bright: 220.0,
            side: [360, 320],
            centre: [180.0, 160.0],
        }
    }
}

fn shoot(code: &QrCode, shot: Shot) -> Frame {
    let [width, height] = shot.side;
    let mut values = vec![128.0f32; width * height];
    paint(&mut values, width, code, shot);
    let values = blurred(&values, width, height, shot.blur * shot.module);
    let mut random = Random(11);
    let luma = values.into_iter().map(|value| rounded_byte(value + shot.noise * random.signed())).collect();
    Frame::new(width, height, luma).expect("a picture")
}

/// Nine samples a pixel.
fn paint(values: &mut [f32], width: usize, code: &QrCode, shot: Shot) {
    let dimension = code.width();
    let side = float(dimension);
    let (sine, cosine) = shot.turn.sin_cos();
    for (index, value) in values.iter_mut().enumerate() {
        let (x, y) = (float(index % width), float(index / width));
        let mut sum = 0.0;
        let mut covered = 0.0;
        for sub in 0..9 {
            let dx = x + (float(sub % 3) + 0.5) / 3.0 - shot.centre[0];
            let dy = y + (float(sub / 3) + 0.5) / 3.0 - shot.centre[1];
            let (a, b) = (dx / (shot.module * side), dy / (shot.module * side * shot.squeeze));
            let depth = 1.0 + shot.slant[0] * a + shot.slant[1] * b;
            let (a, b) = (a / depth, b / depth);
            let (u, v) = (a * cosine + b * sine, b * cosine - a * sine);
            let v = v + shot.bulge * u * u;
            let (u, v) = ((u + 0.5) * side, (v + 0.5) * side);
            if u < -4.0 || v < -4.0 || u >= side + 4.0 || v >= side + 4.0 {
                continue;
            }
            covered += 1.0;
            let inside = u >= 0.0 && v >= 0.0 && u < side && v < side;
            let dark = inside && code[(whole(u), whole(v))] == Color::Dark;
            sum += if dark { shot.dark } else { shot.bright };
        }
        if covered > 0.0 {
            *value = (sum + *value * (9.0 - covered)) / 9.0;
        }
    }
}

fn blurred(values: &[f32], width: usize, height: usize, sigma: f32) -> Vec<f32> {
    if sigma < 0.2 {
        return values.to_vec();
    }
    let reach = whole(sigma * 3.0) + 1;
    let weights: Vec<f32> = (0..=reach).map(|d| (-float(d * d) / (2.0 * sigma * sigma)).exp()).collect();
    let total = weights.iter().skip(1).sum::<f32>() * 2.0 + weights[0];
    let pass = |values: &[f32], step: usize, length: usize| -> Vec<f32> {
        (0..values.len())
            .map(|index| {
                let position = index / step % length;
                let at = |other: usize| values[index - position * step + other * step];
                let sum: f32 = (1..=reach)
                    .map(|d| weights[d] * (at(position.saturating_sub(d)) + at((position + d).min(length - 1))))
                    .sum();
                (sum + weights[0] * at(position)) / total
            })
            .collect()
    };
    pass(&pass(values, 1, width), width, height)
}

fn code(text: &str, version: i16) -> QrCode {
    QrCode::with_version(text, Version::Normal(version), EcLevel::M).expect("it fits")
}

const TEXT: &str = "https://pay.example/b/7Q2?d=tK3zXw";

fn reads(shot: Shot, version: i16) {
    let text = read_code(&shoot(&code(TEXT, version), shot));
    assert_eq!(text.as_deref(), Some(TEXT));
}

#[test]
fn a_plain_code() {
    reads(Shot::default(), 3);
}

#[test]
fn turned_by_any_angle() {
    for step in 0..12u8 {
        reads(Shot { turn: f32::from(step) * std::f32::consts::FRAC_PI_6 + 0.1, ..Shot::default() }, 3);
    }
}

#[test]
fn at_a_slant_and_bent() {
    reads(Shot { slant: [0.4, 0.1], turn: 0.3, ..Shot::default() }, 4);
    reads(Shot { slant: [-0.2, 0.4], turn: 2.3, ..Shot::default() }, 4);
    reads(Shot { bulge: 0.15, turn: 0.2, ..Shot::default() }, 4);
}

#[test]
fn small_blurred_noisy_and_dim() {
    reads(Shot { module: 2.0, turn: 0.2, ..Shot::default() }, 3);
    reads(Shot { blur: 0.5, turn: 0.2, ..Shot::default() }, 3);
    reads(Shot { noise: 60.0, ..Shot::default() }, 3);
    reads(Shot { dark: 100.0, bright: 125.0, noise: 2.0, ..Shot::default() }, 3);
}

#[test]
fn far_out_of_focus() {
    // Of a single bright module hardly two fifths are left, the rest lies on its neighbours.
    for version in [3, 5] {
        reads(Shot { blur: 0.6, turn: 0.1, ..Shot::default() }, version);
    }
    reads(Shot { blur: 0.6, dark: 220.0, bright: 30.0, ..Shot::default() }, 3);
}

#[test]
fn large_and_bent() {
    let shot = Shot { module: 4.0, side: [440, 400], centre: [220.0, 190.0], ..Shot::default() };
    reads(Shot { bulge: 0.2, turn: 0.1, ..shot }, 10);
    reads(Shot { bulge: -0.2, turn: 1.7, ..shot }, 14);
}

#[test]
fn seen_almost_from_the_side() {
    reads(Shot { module: 8.0, squeeze: 0.4, turn: 0.3, ..Shot::default() }, 3);
}

#[test]
fn bright_on_dark_and_mirrored() {
    reads(Shot { dark: 220.0, bright: 30.0, ..Shot::default() }, 3);
    let frame = shoot(&code(TEXT, 3), Shot { turn: 0.4, ..Shot::default() });
    let mirrored = frame.grey.luma.chunks(frame.width()).flat_map(|row| row.iter().rev().copied()).collect();
    let mirrored = Frame::new(frame.width(), frame.height(), mirrored).expect("the same size");
    assert_eq!(read_code(&mirrored).as_deref(), Some(TEXT));
}

#[test]
fn a_square_is_missing() {
    for (column, row) in [(3.5, 3.5), (25.5, 3.5), (3.5, 25.5)] {
        let shot = Shot { turn: 0.2, ..Shot::default() };
        let mut frame = shoot(&code(TEXT, 3), shot);
        // A blot over the ring and the core.
        let (sine, cosine) = shot.turn.sin_cos();
        let (a, b) = ((column - 14.5) * shot.module, (row - 14.5) * shot.module);
        let (x, y) = (a * cosine - b * sine + shot.centre[0], a * sine + b * cosine + shot.centre[1]);
        let width = frame.width();
        for (index, pixel) in frame.grey.luma.iter_mut().enumerate() {
            if (float(index % width) - x).hypot(float(index / width) - y) < 3.0 * shot.module {
                *pixel = 40;
            }
        }
        assert_eq!(read_code(&frame).as_deref(), Some(TEXT), "the one at {column}, {row}");
    }
}

#[test]
fn a_code_without_margin_fills_the_picture_at_one_pixel_a_module() {
    let code = code(TEXT, 10);
    let luma = code.to_colors().into_iter().map(|color| if color == Color::Dark { 0 } else { 255 }).collect();
    let frame = Frame::new(code.width(), code.width(), luma).expect("a picture");
    assert_eq!(read_code(&frame).as_deref(), Some(TEXT));
}

#[test]
fn every_version_and_level() {
    for version in 1..=40 {
        for level in [EcLevel::L, EcLevel::M, EcLevel::Q, EcLevel::H] {
            let text = format!("V{version}");
            let code = QrCode::with_version(&text, Version::Normal(version), level).expect("it fits");
            let values =
                code.to_colors().into_iter().map(|color| if color == Color::Dark { 1.0 } else { -1.0 }).collect();
            let modules = symbol::Modules::new(code.width(), values).expect("a valid size");
            assert_eq!(symbol::decode(&modules, symbol::Effort::Plain), Some(text));
            let named = symbol::named_version(&modules);
            assert_eq!(named, (version >= 7).then(|| usize::try_from(version).expect("positive")));
        }
    }
}

#[test]
fn damage_beyond_correction_gives_nothing_rather_than_another_text() {
    let mut random = Random(5);
    let code = code("A", 1);
    let mut read = 0;
    for _ in 0..3_000 {
        let mut values: Vec<f32> =
            code.to_colors().into_iter().map(|color| if color == Color::Dark { 1.0 } else { -1.0 }).collect();
        for _ in 0..random.below(120) {
            let index = random.below(values.len());
            values[index] = random.signed();
        }
        let modules = symbol::Modules::new(21, values).expect("a valid size");
        if let Some(text) = symbol::decode(&modules, symbol::Effort::Thorough) {
            assert_eq!(text, "A");
            read += 1;
        }
    }
    assert!(read > 500, "{read} of 3000");
}

#[test]
fn character_sets() {
    let read = |bytes: &[u8]| {
        let code = QrCode::with_version(bytes, Version::Normal(4), EcLevel::M).expect("it fits");
        read_code(&shoot(&code, Shot::default()))
    };
    assert_eq!(read("点头付 ¥12.50 – śniadanie".as_bytes()).as_deref(), Some("点头付 ¥12.50 – śniadanie"));
    assert_eq!(read(b"0123456789").as_deref(), Some("0123456789"));
    assert_eq!(read(b"PAY 12.50 $*/:").as_deref(), Some("PAY 12.50 $*/:"));
    // Latin-1, as the standard says, where it cannot be anything else.
    assert_eq!(read(b"caf\xE9 au lait").as_deref(), Some("café au lait"));
    // Half-width kana, as the edition of 2000 says.
    assert_eq!(read(b"\xC3\xDE\xBB\xDE\xB2\xDDQR").as_deref(), Some("ﾃﾞｻﾞｲﾝQR"));
    // GB 2312 without saying so: these could be kana or Latin letters too. No guess.
    assert_eq!(read(b"\xB5\xE3\xCD\xB7 12"), None);
    assert_eq!(read(b"\xB5\xC4\xCA\xC7 12"), None);
}

#[test]
fn all_codes_of_a_picture() {
    let (width, height) = (640, 480);
    let mut values = vec![128.0f32; width * height];
    // Different sizes and directions, one bright on dark.
    let shots = [
        ("first", 2, Shot { module: 5.0, centre: [120.0, 120.0], turn: 0.2, ..Shot::default() }),
        ("second", 4, Shot { module: 3.0, centre: [330.0, 120.0], turn: 2.0, ..Shot::default() }),
        ("third", 2, Shot { module: 4.0, centre: [520.0, 130.0], dark: 220.0, bright: 30.0, ..Shot::default() }),
        ("fourth", 6, Shot { module: 4.5, centre: [300.0, 340.0], slant: [0.3, 0.1], turn: 0.5, ..Shot::default() }),
    ];
    for (text, version, shot) in shots {
        paint(&mut values, width, &code(text, version), shot);
    }
    let frame = Frame::new(width, height, values.into_iter().map(rounded_byte).collect()).expect("a picture");
    let expected = ["first", "fourth", "second", "third"];
    let mut read = read_codes(&frame);
    read.sort();
    assert_eq!(read, expected);
    let mut read = Reader::new().read(&frame);
    read.sort();
    assert_eq!(read, expected);
}

#[test]
fn video_reads_what_one_frame_does_not_give_up_at_once() {
    let easy = shoot(&code(TEXT, 3), Shot::default());
    let hard = shoot(&code(TEXT, 3), Shot { dark: 110.0, bright: 130.0, noise: 4.0, ..Shot::default() });
    let mut reader = Reader::new();
    assert_eq!(reader.read(&easy), [TEXT]);
    assert!((0..12).any(|_| reader.read(&hard) == [TEXT]));
}

#[test]
fn nothing_makes_it_panic() {
    let mut random = Random(1);
    for round in 0..150 {
        let (width, height) = match round {
            0..40 => (1 + random.below(6), 1 + random.below(6)),
            40..80 => (1 + random.below(3), 1 + random.below(200)),
            _ => (1 + random.below(160), 1 + random.below(120)),
        };
        let coarse = 1 + random.below(5);
        let mut luma: Vec<u8> = Vec::with_capacity(width * height);
        for index in 0..width * height {
            let (x, y) = (index % width, index / width);
            let copied = if x % coarse != 0 && index > 0 {
                luma.get(index - 1)
            } else if y % coarse != 0 {
                luma.get(index - width)
            } else {
                None
            };
            let value = copied.copied().unwrap_or_else(|| u8::try_from(random.below(2) * 255).expect("a byte"));
            luma.push(value);
        }
        let frame = Frame::new(width, height, luma).expect("a picture");
        assert_eq!(read_code(&frame), None);
        let mut reader = Reader::new();
        for _ in 0..6 {
            assert!(reader.read(&frame).is_empty());
        }
        assert!(read_codes(&frame).is_empty());
        let small = frame.scaled_to(1 + random.below(100));
        assert!(small.width() >= 1 && small.height() >= 1);
    }
}

#[test]
fn wrong_sizes_are_refused() {
    assert_eq!(Frame::new(0, 5, vec![]).err(), Some(FrameError::Side { width: 0, height: 5 }));
    assert!(matches!(Frame::new(MAX_SIDE + 1, 1, vec![0; MAX_SIDE + 1]), Err(FrameError::Side { .. })));
    assert_eq!(Frame::new(3, 2, vec![0; 5]).err(), Some(FrameError::Length { expected: 6, found: 5 }));
}

#[test]
fn scaling_keeps_shape_and_mean_and_never_enlarges() {
    let frame =
        Frame::new(1000, 500, (0..500_000).map(|i| if i % 2 == 0 { 0 } else { 200 }).collect()).expect("a picture");
    let small = frame.scaled_to(640);
    assert_eq!((small.width(), small.height()), (640, 320));
    let sum: u64 = small.grey.luma.iter().map(|value| u64::from(*value)).sum();
    assert!(sum.abs_diff(100 * 640 * 320) < 640 * 320, "{sum}");
    assert_eq!(small.scaled_to(5000).width(), 640);
    let line = Frame::new(5000, 1, vec![7; 5000]).expect("a picture").scaled_to(100);
    assert_eq!((line.width(), line.height()), (100, 1));
    assert!(line.grey.luma.iter().all(|value| *value == 7));
}

fn encoded(frame: &Frame, format: image::ImageFormat) -> Vec<u8> {
    let size = |side: usize| u32::try_from(side).expect("small");
    let picture = image::GrayImage::from_raw(size(frame.width()), size(frame.height()), frame.grey.luma.clone());
    let mut bytes = Cursor::new(Vec::new());
    picture.expect("the right length").write_to(&mut bytes, format).expect("written to memory");
    bytes.into_inner()
}

#[test]
fn png_and_jpeg_files() {
    let frame = shoot(&code(TEXT, 3), Shot::default());
    for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg] {
        let loaded = load_image(&encoded(&frame, format)).expect("a picture");
        assert_eq!(read_code(&loaded).as_deref(), Some(TEXT));
    }
    assert!(matches!(load_image(b"not a picture"), Err(LoadError::Format)));
    assert!(matches!(load_image(&[]), Err(LoadError::Format)));
    let png = encoded(&frame, image::ImageFormat::Png);
    assert!(matches!(load_image(&png[..png.len() / 2]), Err(LoadError::Damaged(_))));
}

#[test]
fn a_picture_that_claims_a_huge_size_is_refused_before_memory_is_taken() {
    let mut png = encoded(&shoot(&code(TEXT, 3), Shot::default()), image::ImageFormat::Png);
    // IHDR: width at byte 16; its CRC over bytes 12..29 follows.
    png[16..20].copy_from_slice(&100_000u32.to_be_bytes());
    let mut crc = u32::MAX;
    for byte in &png[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    assert!(matches!(load_image(&png), Err(LoadError::TooLarge)));
}

#[test]
fn exif_orientation_turns_the_picture() {
    let frame = shoot(&code(TEXT, 3), Shot::default());
    let jpeg = encoded(&frame, image::ImageFormat::Jpeg);
    // TIFF, big endian, one entry: orientation (0x0112), short, 1, value 6 (turn by 90°).
    let tiff = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = u16::try_from(2 + 6 + tiff.len()).expect("short");
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xFF, 0xE1]);
    turned.extend(length.to_be_bytes());
    turned.extend(b"Exif\0\0");
    turned.extend(tiff);
    turned.extend(&jpeg[2..]);
    let loaded = load_image(&turned).expect("a picture");
    assert_eq!((loaded.width(), loaded.height()), (frame.height(), frame.width()));
    assert_eq!(read_code(&loaded).as_deref(), Some(TEXT));
}

#[test]
fn transparent_parts_are_white() {
    let picture = image::RgbaImage::from_fn(4, 4, |x, _| image::Rgba([0, 0, 0, if x < 2 { 0 } else { 255 }]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("written to memory");
    let frame = load_image(&bytes.into_inner()).expect("a picture");
    assert_eq!(frame.grey.row(0), [255, 255, 0, 0]);
}
