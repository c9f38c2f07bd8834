//! Compiles the screens. No picture or font is embedded by Slint: shapes are paths, the fonts are read at run time.
//! Makes the device build small: no unwind tables, packed relocations.

use std::env;
use std::path::Path;

fn main() {
    if let Err(error) = slint_build::compile("ui/watch.slint") {
        eprintln!("{error}");
        std::process::exit(1);
    }
    link_small();
}

/// Only the profile `watch` asks for the smallest program, and it aborts at a panic; stable Cargo has no profile setting
/// for `-C force-unwind-tables=no`.
fn link_small() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    if is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-unwind-tables.ld");
        println!("cargo:rerun-if-changed={}", script.display());
        println!("cargo:rustc-link-arg-bin=nodpay-watch=-Wl,-T,{}", script.display());
        // Addresses to be corrected at the start take a bit each instead of 24 bytes; needs glibc 2.36 or musl 1.2.4.
        println!("cargo:rustc-link-arg-bin=nodpay-watch=-Wl,-z,pack-relative-relocs");
    }
}
