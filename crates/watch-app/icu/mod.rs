// What ICU4X's data crates include in place of their own `data/mod.rs` when ICU4X_DATA_DIR is set (`.cargo/config.toml`):
// a file of this folder for each crate. All but the segmenter's take their own data as it is.
include!(concat!(env!("ICU4X_DATA_DIR"), "/", env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION_MAJOR"), ".rs"));
