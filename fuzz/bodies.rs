//! What the fuzz targets do with their bytes: the whole path frame → text → payment code. None of it may panic, and a
//! damaged symbol may give its own text or none, never another. Also run over the stored corpus by the tests of
//! `nodpay-watch`.

#![expect(clippy::as_conversions, reason = "a picture is drawn from bytes")]

use nodpay_protocol::code;
use nodpay_watch::reader::{Frame, read_codes};
use qrcode::{Color, EcLevel, QrCode, Version};

/// The first byte is the width of a frame, the rest its brightness.
pub(crate) fn frame(bytes: &[u8]) {
    let Some((width, luma)) = bytes.split_first() else { return };
    let width = usize::from(*width) + 1;
    let luma = &luma[..luma.len() / width * width];
    if let Ok(frame) = Frame::new(width, luma.len() / width, luma.to_vec()) {
        for text in read_codes(&frame) {
            let _ = code::parse(&text);
        }
    }
}

/// The text of a code.
pub(crate) fn payment_code(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = code::parse(text);
    }
}

/// A picture of a valid symbol: six bytes say how it is written, scaled and turned, three each which spot of it is painted
/// over.
pub(crate) fn symbol(bytes: &[u8]) {
    const TEXT: &str = "HTTPS://PAY.EXAMPLE/7";
    const SIDE: usize = 120;
    let (head, spots) = bytes.split_at(bytes.len().min(6));
    let number = |index: usize| head.get(index).copied().unwrap_or(0);
    let level = [EcLevel::L, EcLevel::M, EcLevel::Q, EcLevel::H][usize::from(number(0) >> 6)];
    // Versions 2 and 3 hold the text at every level.
    let version = Version::Normal(i16::from(number(0) & 1) + if level == EcLevel::H { 3 } else { 2 });
    let Ok(code) = QrCode::with_version(TEXT, version, level) else { return };
    let module = 2.0 + f32::from(number(1)) / 160.0;
    let (sine, cosine) = (f32::from(number(2)) / 40.0).sin_cos();
    let slant = [number(3), number(4)].map(|byte| (f32::from(byte) - 128.0) / 30_000.0);
    let soft = f32::from(number(5) & 3) / 3.0;
    let middle = SIDE as f32 / 2.0;
    let half = code.width() as f32 / 2.0;
    let mut luma = Vec::with_capacity(SIDE * SIDE);
    for index in 0..SIDE * SIDE {
        let (x, y) = ((index % SIDE) as f32 - middle, (index / SIDE) as f32 - middle);
        let depth = module * (1.0 + slant[0] * x + slant[1] * y);
        let (u, v) = ((x * cosine + y * sine) / depth + half, (y * cosine - x * sine) / depth + half);
        let dark = u >= 0.0 && v >= 0.0 && {
            let (column, row) = (u as usize, v as usize);
            column < code.width() && row < code.width() && code[(column, row)] == Color::Dark
        };
        luma.push(if dark { 40 } else { 210 });
    }
    for spot in spots.as_chunks::<3>().0 {
        let (left, top) = (usize::from(spot[0]) % SIDE, usize::from(spot[1]) % SIDE);
        for y in top..(top + 3).min(SIDE) {
            for x in left..(left + 3).min(SIDE) {
                luma[y * SIDE + x] = spot[2];
            }
        }
    }
    if soft > 0.0 {
        for index in 1..luma.len() {
            let (before, here) = (f32::from(luma[index - 1]), f32::from(luma[index]));
            luma[index] = (here + (before - here) * soft * 0.6) as u8;
        }
    }
    let Ok(frame) = Frame::new(SIDE, SIDE, luma) else { return };
    for text in read_codes(&frame) {
        assert_eq!(text, TEXT, "a wrong text");
        let _ = code::parse(&text);
    }
}
