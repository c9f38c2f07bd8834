//! What the operator does and sees: keys that change, logs that say nothing of people, a stop that nobody notices.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use nodpay::parties::{Approval, CHILD_NAME, Client, line_id};
use nodpay_core::{OutcomeKind, Text};
use nodpay_protocol::Report;
use nodpay_service::{GUARDIAN_COOKIE, TILL_COOKIE};
use serde_json::Value;

use crate::table::{Table, program, small_snack};

/// The notice of 3 seconds, and as long again for a slow machine.
const STOPS_WITHIN: Duration = Duration::from_secs(8);

pub(crate) fn pay(table: &mut Table, name: &str) -> (String, String, Report) {
    let order = table.cast.order_of(small_snack(), name).expect("ordered");
    let view = table.cast.guardian.order(&order).expect("verified");
    table.cast.guardian.decide(&view, &Approval::Without(vec![line_id("cola").expect("an id")])).expect("nods");
    let (evidence, report) = table.cast.ended(&order).expect("ends");
    table.cast.dismiss().expect("home");
    (order, evidence, report)
}

fn certificate(evidence: &str) -> Value {
    serde_json::from_str::<Value>(evidence).expect("JSON")["outcome_certificate"].clone()
}

#[test]
fn payments_go_on_after_the_outcome_key_was_changed() {
    let mut table = Table::lay();
    let (before, evidence_before, report) = pay(&mut table, "before");
    assert_eq!(report.outcome, OutcomeKind::Paid);

    let data = table.folder().join("service");
    let key_file = data.join("outcome.key");
    let old_key = std::fs::read(&key_file).expect("the old key");
    let rotate = Command::new(program()).args(["admin", "--data"]).arg(&data).arg("rotate-outcome-key").output();
    let rotate = rotate.expect("runs");
    assert!(rotate.status.success(), "{}", String::from_utf8_lossy(&rotate.stderr));
    assert_ne!(std::fs::read(&key_file).expect("the new key"), old_key);

    // The running service signs with the old key until it starts again.
    let (meanwhile, evidence, _) = pay(&mut table, "meanwhile");
    assert_eq!(certificate(&evidence), certificate(&evidence_before));
    table.restart_service();
    table.cast.events.wait_for("result", |event| event["order"] == meanwhile.as_str()).expect("caught up");
    let (after, evidence_after, report) = pay(&mut table, "after");
    assert_eq!(report.outcome, OutcomeKind::Paid);
    assert_ne!(certificate(&evidence_after), certificate(&evidence_before));

    assert_eq!(table.cast.guardian.evidence(&before).expect("still there"), evidence_before);
    let client = table.cast.guardian.client();
    for (order, evidence) in [(before, evidence_before), (after, evidence_after)] {
        let view = client.get(&format!("/api/guardian/orders/{order}")).expect("the order");
        assert_eq!(view["outcome_certificate"], certificate(&evidence));
    }
    let service = client.get("/api/service").expect("the service");
    assert_eq!(service["earlier_outcome_certificates"].as_array().map(Vec::len), Some(1));
}

#[test]
fn no_name_item_or_secret_is_in_a_log_or_metric() {
    for format in ["text", "json"] {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let mut command = Command::new(program());
        command.env("NODPAY_LOG", "trace").env("NODPAY_LOG_FORMAT", format).stderr(log.reopen().expect("the file"));
        let mut table = Table::lay_with(command);

        let mut basket = small_snack();
        for line in &mut basket.lines {
            line.name = Text::new(&format!("Quetzalcoatl {}", line.id.as_str())).expect("a name");
        }
        let order = table.cast.order_of(basket, "logged").expect("ordered");
        let view = table.cast.guardian.order(&order).expect("verified");
        let words = Text::new("Xylophone before dinner").expect("words");
        let refusal = table.cast.guardian.sign_decision(&view, &Approval::Refuse(Some(words))).expect("signs");
        table.cast.guardian.send_decision(&view, &refusal).expect("refuses");
        table.cast.ended(&order).expect("ends");
        table.cast.dismiss().expect("home");
        let (_, evidence, _) = pay(&mut table, "paid");

        let metrics = Client::new(&table.service.stage.origin).get_text("/metrics").expect("metrics");
        assert!(metrics.contains("nodpay_orders_ended_total{outcome=\"paid\"} 1"), "{metrics}");
        let stage = table.service.stage.clone();
        let keys = ["root.key", "outcome.key"].map(|name| {
            let file = std::fs::read_to_string(table.folder().join("service").join(name)).expect("a key");
            serde_json::from_str::<Value>(&file).expect("JSON")["secret"].as_str().expect("a secret").to_owned()
        });
        drop(table);
        let log = std::fs::read_to_string(log.path()).expect("the log");
        assert!(log.lines().count() > 20 && log.contains("answered"), "it logs:\n{log}");
        if format == "json" {
            for line in log.lines().filter(|line| line.contains("nodpay_service")) {
                let line: Value = serde_json::from_str(line).expect("one JSON object a line");
                assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
            }
        }
        let names = [CHILD_NAME, "小明", "妈妈", "Quetzalcoatl", "Xylophone before", "全麦面包", "Wholemeal", "可乐"];
        let wires = serde_json::from_str::<Value>(&evidence).expect("JSON");
        let wires =
            ["bill", "order", "payment", "outcome"].map(|name| wires[name].as_str().expect("a wire").to_owned());
        let cookies = [GUARDIAN_COOKIE, TILL_COOKIE].map(|name| format!("{name}="));
        let plain = names.map(str::to_owned).into_iter();
        let secrets = [stage.join, stage.till, "ndp_".to_owned(), refusal].into_iter().chain(keys).chain(cookies);
        for text in plain.chain(names.into_iter().flat_map(encoded)).chain(secrets).chain(wires) {
            for (place, content) in [("log", &log), ("metrics", &metrics)] {
                let line = content.lines().find(|line| line.contains(&text));
                assert_eq!(line, None, "{text} is in the {format} {place}");
            }
        }
    }
}

/// How `name` looks inside base64, wherever it begins: for each of three shifts the part that what is around it does not change.
fn encoded(name: &str) -> impl Iterator<Item = String> {
    let shifted = (0..3).map(|shift| [&[0; 3][..shift], name.as_bytes()].concat());
    let inside = shifted
        .map(|bytes| BASE64_STANDARD_NO_PAD.encode(bytes))
        .map(|text| text.get(4..text.len().saturating_sub(4)).unwrap_or_default().to_owned());
    inside.filter(|text| text.len() >= 6).flat_map(|text| [text.replace('+', "-").replace('/', "_"), text])
}

/// Asks over connections that it keeps, and again over a new one where the service had gone.
fn ask_without_end(origin: &str, stop: &AtomicBool, answered: &AtomicU64, failed: &AtomicU64) {
    let client = Client::new(origin);
    let give_up = Duration::from_secs(20);
    while !stop.load(Ordering::SeqCst) {
        let begun = Instant::now();
        // A client of ours sends again what was not answered.
        while let Err(error) = client.get("/api/service") {
            if begun.elapsed() > give_up || stop.load(Ordering::SeqCst) {
                eprintln!("{error}");
                failed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            std::thread::yield_now();
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_service_under_load_leaves_without_failing_a_request() {
    let mut table = Table::lay();
    let origin = table.service.stage.origin.clone();
    let (stop, answered, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ask_without_end(&origin, &stop, &answered, &failed));
        }
        for _ in 0..2 {
            let mut events = table.cast.guardian.events().expect("a stream");
            let probe = Client::new(&origin);
            let (left, noticed) = std::thread::scope(|inner| {
                let ready = inner.spawn(|| {
                    // Told before the listener closes: an answer that says no, not a connection that fails.
                    loop {
                        match probe.get_text("/readyz") {
                            Ok(_) => std::thread::yield_now(),
                            Err(error) => return error.to_string(),
                        }
                    }
                });
                let begun = Instant::now();
                let status = table.service.leave().expect("ends");
                assert_eq!(status.code(), Some(0));
                (begun.elapsed(), ready.join().expect("asked"))
            });
            assert!(left < STOPS_WITHIN, "{left:?}");
            assert_eq!(noticed, "/readyz: stopping\n");
            while events.next_event().is_ok() {}
            assert_eq!(
                events.retry_ms().map(|retry| (250..=2_000).contains(&retry)),
                Some(true),
                "a hint to come back"
            );
            table.restart_service();
        }
        let before = answered.load(Ordering::SeqCst);
        while answered.load(Ordering::SeqCst) < before + 20 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    pay(&mut table, "after");
}

#[test]
fn admin_commands_find_the_service_by_its_settings_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nodpay.toml");
    std::fs::write(&file, format!("data = {:?}\n", folder.path().join("data"))).expect("writes");
    let admin = |args: &[&str]| {
        let mut command = Command::new(program());
        let run = command.args(["admin", "--config"]).arg(&file).args(args).stdin(Stdio::null()).output();
        let run = run.expect("runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).expect("text")
    };
    admin(&["init"]);
    let migrated: Value = serde_json::from_str(&admin(&["migrate", "--json"])).expect("JSON");
    assert_eq!(migrated["from"], 0);
    let again: Value = serde_json::from_str(&admin(&["migrate", "--json"])).expect("JSON");
    assert_eq!((&again["from"], &again["to"]), (&migrated["to"], &migrated["to"]));
    assert!(admin(&["check"]).contains("right"));
}
