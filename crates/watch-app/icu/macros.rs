// The same for data crates of ICU4X 1, which are in the tests' tree only: their own data.
include!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/macros.rs"));
