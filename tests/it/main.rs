//! The whole product, as people and programs meet it: real processes, real HTTP, real pictures, a real browser.

#![allow(clippy::unwrap_used, reason = "tests")]

mod axe;
mod bench;
mod bindings;
mod browser;
mod browser_deciding;
mod browser_everybody;
mod browser_guardians;
mod browser_leaving;
mod browser_nods;
mod browser_push;
mod browser_seeing;
mod browser_speed;
mod browser_topup;
mod browser_wallet;
mod claims;
mod cli;
mod faults;
mod kill;
mod operations;
mod operator;
mod packaging;
mod pictures;
mod printed;
#[path = "../../crates/service/tests/api/python.rs"]
mod python;
#[path = "../../crates/service/tests/api/stripe_double.rs"]
#[expect(dead_code, reason = "the service's own tests use the rest")]
mod stripe_double;
mod table;
mod walls;
