//! The watch's screens on the agent of `nodpay-watch`: one program for the device and the simulator.
//!
//! Kept apart from the agent because of Slint's licence: see `LICENSE-NOTE.md`.

#[cfg(any(feature = "device", feature = "window"))]
pub mod device;
pub mod feel;
pub mod fonts;
pub mod gallery;
mod memory;
pub mod net;
mod program;
pub mod runtime;
pub mod screens;
mod sight;
pub mod sim;
mod watch;
pub mod words;

pub use nodpay_keys::storage;
pub use program::main_with_args;
pub use watch::WatchError;

/// What Slint makes of `ui/*.slint`.
#[allow(unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, clippy::as_conversions, clippy::unwrap_used)]
#[allow(clippy::todo, clippy::dbg_macro, clippy::wildcard_enum_match_arm)]
mod ui {
    slint::include_modules!();
}
