//! The watch's own program: the device build, without service and demo.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodpay_watch_app::main_with_args(std::env::args().skip(1).collect())
}
