//! The watch's screens on the agent of `nodpay-watch`: one program for the device and the simulator.
//!
//! Kept apart from the agent because of Slint's licence: see `LICENSE-NOTE.md`.

pub mod fonts;
pub mod gallery;
pub mod net;
mod program;
pub mod runtime;
pub mod screens;
pub mod sim;
pub mod words;

pub use fonts::FONT_BYTES;
pub use nodpay_keys::storage;
pub use program::main_with_args;

/// What Slint makes of `ui/*.slint`.
#[allow(unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, clippy::as_conversions, clippy::unwrap_used)]
#[allow(clippy::todo, clippy::dbg_macro, clippy::wildcard_enum_match_arm)]
mod ui {
    slint::include_modules!();
}
