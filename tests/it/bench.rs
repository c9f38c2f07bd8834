//! The benchmark runs, and its figures are such as can be. How good they are is not for a test on a shared machine.

use std::process::Command;

use nodpay_testkit::Cluster;
use serde_json::Value;

use crate::table::program;

/// The one JSON object that a run prints.
fn run(arguments: &[&str]) -> Value {
    let out = Command::new(program()).arg("bench").args(arguments).arg("--json").output().expect("runs");
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("one JSON object")
}

/// A figure by its path, like `tap_to_paid_ms.p50`.
#[track_caller]
fn figure(figures: &Value, path: &str) -> f64 {
    let found = path.split('.').try_fold(figures, |at, name| at.get(name)).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{path} in {figures}"))
}

#[track_caller]
fn close(one: f64, other: f64) {
    assert!((one - other).abs() <= other.abs() / 100.0, "{one} is not {other}");
}

#[test]
fn households_pay_and_the_limit_follows_from_its_parts() {
    let figures = run(&["--seconds", "1", "--clients", "4"]);
    let figure = |path: &str| figure(&figures, path);
    assert!(figure("orders_per_second") > 0.0 && figure("orders_paid") >= 12.0, "{figures}");
    assert!(
        figure("half_load.orders_per_second") > 0.0
            && figure("half_load.orders_per_second") < figure("orders_per_second")
    );
    for times in ["tap_to_paid_ms", "half_load.tap_to_paid_ms"] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|part| figure(&format!("{times}.{part}")));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{figures}");
    }
    assert!(figure("service_cpu_ms_per_order") > 0.0 && figure("rss_bytes") > 1e6);
    // Seven signed messages of a payment cannot be kept in less, and one commit carries many requests.
    assert!((4_000.0..20_000.0).contains(&figure("db_bytes_per_order")), "{figures}");
    assert!((0.01..=3.1).contains(&figure("commits_per_order")), "{figures}");
    assert!(figure("fsyncs_per_second") > 0.0);
    let part = |name: &str| figure(&format!("limit_parts.{name}")) * figure(&format!("limit_parts.{name}_us_each"));
    let micros: f64 =
        ["signatures", "signature_checks", "state_changes", "requests"].iter().map(|name| part(name)).sum();
    close(figure("limit_orders_per_second"), figure("limit_parts.cores") * 1e6 / micros);
    close(figure("share_of_limit"), figure("orders_per_second") / figure("limit_orders_per_second"));
    assert!(figures["limit_orders_per_second_formula"].as_str().is_some_and(|formula| formula.contains(" cores / (")));
}

#[test]
fn households_pay_under_their_rules() {
    // Signatures, checks, state changes and requests of an order.
    for (says, made) in [("nod", [3.0, 3.0, 2.0, 2.0]), ("ask", [4.0, 5.0, 3.0, 3.0])] {
        let figures = run(&["--seconds", "1", "--clients", "4", "--rules", says]);
        let figure = |path: &str| figure(&figures, path);
        assert!(figure("orders_per_second") > 0.0 && figure("orders_paid") >= 12.0, "{figures}");
        let parts = ["signatures", "signature_checks", "state_changes", "requests"];
        assert_eq!(parts.map(|name| figure(&format!("limit_parts.{name}"))), made, "{says}");
        close(figure("state_changes_per_second"), made[2] * figure("orders_per_second"));
    }
}

#[test]
fn postgresql_is_held_against_pgbench() {
    let database = Cluster::shared().new_database();
    let figures =
        run(&["--seconds", "1", "--clients", "4", "--rules", "ask", "--connections", "2", "--database", &database]);
    let figure = |path: &str| figure(&figures, path);
    assert!(figure("orders_paid") >= 12.0 && figure("wal_bytes_per_order") > 4_000.0, "{figures}");
    close(figure("pgbench_tps"), f64::midpoint(figure("pgbench_tps_before"), figure("pgbench_tps_after")));
    close(figure("state_changes_per_pgbench"), figure("state_changes_per_second") / figure("pgbench_tps"));
}

#[test]
fn a_rate_is_held() {
    let figures = run(&["--seconds", "1", "--clients", "4", "--rate", "10"]);
    let figure = |path: &str| figure(&figures, path);
    // Ten in the second that counts and ten before it; a late end makes the rate lower, never higher.
    assert!(figure("orders_paid") == 20.0, "{figures}");
    assert!(figure("orders_per_second") <= 10.5, "{figures}");
    assert!(figures.get("half_load").is_none() && figures.get("share_of_limit_at_least").is_none());
}

#[test]
fn one_merchant_is_held_against_many() {
    let figures = run(&["--mode", "hot-merchant", "--seconds", "3", "--clients", "4"]);
    let (hot, many) =
        (figure(&figures, "hot_merchant_orders_per_second"), figure(&figures, "hot_merchant_orders_per_second_peer"));
    close(figure(&figures, "hot_merchant_ratio"), hot / many);
    assert!(hot > 0.0 && figure(&figures, "hot_merchant_ratio_at_least") == 0.8);
}

#[test]
fn devices_listen_and_come_back() {
    let figures = run(&["--mode", "idle-devices", "--devices", "40"]);
    assert!(figure(&figures, "event_to_one_ms.p50") > 0.0 && figure(&figures, "events_to_all_ms") > 0.0);
    assert!(figure(&figures, "rss_bytes_per_device_limit") == 32_768.0);
    assert!(figure(&figures, "events_to_all") == 20.0, "the other twenty heard of one event each");
    let figures = run(&["--mode", "reconnect-storm", "--devices", "40"]);
    assert!(figure(&figures, "failed_tries") == 0.0 && figure(&figures, "events_resumed") == 40.0);
    assert!(figure(&figures, "all_back_ms") >= figure(&figures, "reconnect_ms.p99"));
}

#[test]
fn long_histories_and_many_orders_are_measured() {
    let figures = run(&["--mode", "history", "--orders", "100"]);
    assert!(figure(&figures, "stored_orders") == 112.0, "seven of each of sixteen watches");
    for page in ["first", "second", "middle"] {
        assert!(figure(&figures, &format!("{page}_page_ms.p50")) > 0.0);
    }
    let figures = run(&["--mode", "growth", "--orders", "1500", "--seconds", "1", "--clients", "4"]);
    assert!(
        figure(&figures, "at_1000.stored_orders") >= 1_000.0 && figure(&figures, "at_1500.stored_orders") >= 1_500.0
    );
    let ratio =
        figure(&figures, "at_1500.service_cpu_ms_per_order") / figure(&figures, "at_1000.service_cpu_ms_per_order");
    close(figure(&figures, "growth_ratio"), ratio);
}

#[test]
fn the_watch_is_measured_whole() {
    let figures = run(&["--mode", "watch", "--idle-seconds", "1"]);
    let figure = |name: &str| figure(&figures, name);

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
