//! The `nodpay` program: one binary that serves, demonstrates, checks and administers Nodpay, and runs the watch.

pub mod load;
pub mod parties;
