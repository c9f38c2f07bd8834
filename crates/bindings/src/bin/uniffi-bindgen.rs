//! Writes the foreign code: `cargo run -p nodpay-bindings --features generate --bin uniffi-bindgen -- generate …`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
