//! The agent against a world in memory.

mod crash;
mod flow;
mod forged;
mod input;
mod sticker;
mod wearer;
mod world;
