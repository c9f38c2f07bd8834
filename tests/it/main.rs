//! The whole product, as people and programs meet it: real processes, real HTTP, real pictures, a real browser.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;
mod bindings;
mod browser;
mod browser_guardians;
mod claims;
mod cli;
mod faults;
mod kill;
mod operations;
mod operator;
mod packaging;
mod printed;
mod table;
mod walls;
