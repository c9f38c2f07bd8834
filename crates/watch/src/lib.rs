//! The watch agent of Nodpay, without I/O: what a watch maker embeds under its own screens.
//!
//! [`Agent`] takes [`Input`]s with the [`Moment`] they happen at and gives [`Action`]s and a [`view::View`]. Frames, keys,
//! network and storage belong to the runtime around it: `nodpay-watch-app` has one. [`reader`] turns camera pictures into
//! the texts of QR codes.
//!
//! Never does: sockets, threads, clocks, random numbers, screens.

mod agent;
mod clock;
mod journal;
mod net;
mod pin;
pub mod reader;
pub mod scan;
pub mod view;
mod wearer;
pub mod y4m;

pub use agent::{
    Agent, AgentConfig, FETCH_LIMIT_MS, FIRST_WAIT_MS, KeyStore, KeyStoreError, LONGEST_IDLE_WAIT_MS, LONGEST_WAIT_MS,
    MAX_FLIGHTS, OUTCOME_GRACE_MS, PinVault, REQUEST_MS, VaultAnswer,
};
pub use clock::Moment;
pub use journal::JournalError;
pub use net::{Action, Input, MAX_BODY_LEN, Method, Request, StreamRequest};
pub use pin::{FIRST_LOCK_MS, GUARDIAN_TRIES, PinCost, TRIES};
pub use wearer::SENSOR_TRIES;
