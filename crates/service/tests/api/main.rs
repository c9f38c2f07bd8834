//! The service over real HTTP, on SQLite, with a clock that the tests move.

mod app;
mod archive;
mod bad_input;
mod bank_files;
mod bank_folder;
mod card;
mod deciding;
mod flow;
mod guardians;
mod localstripe;
mod mandates;
mod money;
mod network;
mod nods;
mod pins;
mod printed;
mod push;
mod python;
mod races;
mod roles;
mod seeing;
mod sessions;
mod streams;
mod stripe;
mod stripe_double;
mod topups;
