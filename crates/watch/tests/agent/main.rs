//! The agent against a world in memory.

mod crash;
mod deciding;
mod flow;
mod forged;
mod guardians;
mod input;
mod mandates;
mod network;
mod sticker;
mod wearer;
mod weather;
mod world;
