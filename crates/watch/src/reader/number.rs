//! The few conversions between whole and floating numbers that `From` does not offer. All of them saturate.

#![expect(clippy::as_conversions, reason = "float casts saturate, and sides of pictures are far below 2^24")]

/// Exact below 2^24; every length and count here is.
pub(super) fn float(value: usize) -> f32 {
    value as f32
}

/// Saturates; not-a-number gives 0.
pub(super) fn floor(value: f32) -> i32 {
    value.floor() as i32
}

/// Saturates; not-a-number and negative numbers give 0.
pub(super) fn whole(value: f32) -> usize {
    value as usize
}

pub(super) fn rounded_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

/// The low byte of a value known to be one.
pub(super) fn byte(value: u32) -> u8 {
    value.min(255) as u8
}
