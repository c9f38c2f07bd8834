//! The service over real HTTP, on SQLite, with a clock that the tests move.

mod app;
mod bad_input;
mod flow;
mod money;
mod network;
mod pins;
mod printed;
mod races;
mod roles;
mod streams;
