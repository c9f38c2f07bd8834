//! The benchmark runs, and its figures are such as can be. How good they are is not for a test on a shared machine.

use std::process::Command;

use serde_json::Value;

use crate::table::program;

#[test]
fn the_watch_is_measured_whole() {
    let out = Command::new(program()).args(["bench", "--mode", "watch", "--idle-seconds", "1", "--json"]).output();
    let out = out.expect("runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let figures: Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
    let figure = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name} in {figures}"));

    let faces: usize = nodpay_watch_app::fonts::faces().into_iter().map(<[u8]>::len).sum();
    let fonts = figure("size_bytes") - figure("size_without_fonts_bytes");
    assert_eq!(fonts.to_string(), faces.to_string());
    for state in ["idle", "waiting"] {
        let part = |part: &str| figure(&format!("rss_{state}_{part}bytes"));
        let (apart, anonymous, of_fonts) = (part(""), part("anonymous_"), part("fonts_"));
        assert!((1e6..apart).contains(&anonymous), "{anonymous} of {apart}");
        assert!((4096.0..=fonts).contains(&of_fonts), "{of_fonts} of {fonts}");
    }
    assert!((1_000.0..100_000.0).contains(&figure("wire_bytes_payment")));
    assert!((0.0..1_000.0).contains(&figure("idle_cpu_ms")), "of one second");
    assert!(figure("idle_wakeups_per_minute") >= 0.0);
    assert!(figure("frame_to_bill_ms") > 0.0 && figure("pin_to_sent_ms") > 0.0);
    assert!(figure("frame_to_sent_worst_ms") >= figure("frame_to_sent_ms"));
    assert!(figure("frame_to_sent_cpu_ms") > 0.0);
    assert!(figure("tap_to_paid_shown_ms") > 0.0);
    for bounded in [
        "size_without_fonts_bytes",
        "rss_idle_bytes",
        "rss_waiting_bytes",
        "idle_cpu_ms",
        "wire_bytes_payment",
        "frame_to_sent_ms",
    ] {
        assert!(figure(&format!("{bounded}_limit")) > 0.0);
    }
}
