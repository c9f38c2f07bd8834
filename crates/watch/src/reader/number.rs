//! The few conversions between whole and floating numbers that `From` does not offer. All of them saturate.

#![expect(clippy::as_conversions, reason = "float casts saturate, and sides of pictures are far below 2^24")]

/// Exact below 2^24; every length and count here is.
pub(super) fn float(value: usize) -> f32 {
    value as f32
}

/// Saturates; not-a-number gives 0.
pub(super) fn floor(value: f32) -> i32 {
    // Not `f32::floor`: without SSE 4.1 that is a call, and this is the innermost step of all.
    let whole = value as i32;
    if (whole as f32) > value { whole.saturating_sub(1) } else { whole }
}

/// Exact below 2^24.
pub(super) fn float_i(value: i32) -> f32 {
    value as f32
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
