//! Load on a running service, over real HTTP, from as many households as wanted: for the benchmark and for faults.
//!
//! [`Shop`]s and [`Household`]s are real parties with keys of their own, put into the database through the store's own
//! transactions before the clock starts. A [`Driver`] then plays one household's watch and phone: four kept connections,
//! everything signed when it is sent. [`run`] lets many drivers take orders, as fast as they can or at a steady rate.
//! Whatever breaks on the way is tried again with the same bytes ([`Reach`] says for how long): every message of
//! Nodpay may be repeated.

mod cast;
mod drive;
mod fill;
mod wire;

pub use cast::{Household, RuleSays, Shop, Stock, found, found_large, found_ruled, in_parallel, open_shops, stock};
pub use drive::{Acknowledged, Driver, Loaded, Pace, Served, phone_events, run, watch_events};
pub use fill::fill;
pub use wire::{Answer, Connection, Ear, Event, Events, Line, Reach};
