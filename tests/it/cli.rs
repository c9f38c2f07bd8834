//! The program's commands, as scripts meet them.

use std::process::{Command, Output};

use nodpay::parties::photograph;
use nodpay_testkit::Cast;
use serde_json::Value;

use crate::table::program;

fn nodpay(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().expect("runs")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or(Value::Null)
}

#[test]
fn qr_says_what_a_code_means() {
    let out = nodpay(&["qr", "https://example.org/menu"]);
    assert_eq!((out.status.code(), json(&out)["kind"].as_str()), (Some(0), Some("url")));
    let out = nodpay(&["qr", "hello"]);
    assert_eq!((out.status.code(), json(&out)["kind"].as_str()), (Some(0), Some("unknown")));
    assert_eq!(json(&out)["payee"], Value::Null);
    let out = nodpay(&["qr", "00020101021253031566304ABCD"]);
    assert_eq!(out.status.code(), Some(1));
    let sentence = String::from_utf8(out.stderr).expect("text");
    assert!(sentence.trim().split(' ').count() > 3, "a plain sentence: {sentence}");
}

#[test]
fn scan_reads_pictures_and_says_null_where_there_is_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, blank, text) = ("code.png", "blank.png", "notes.png");
    photograph("hello, nodpay", Some(&folder.path().join(code))).expect("a picture");
    image::GrayImage::from_pixel(64, 64, image::Luma([120])).save(folder.path().join(blank)).expect("a picture");
    std::fs::write(folder.path().join(text), "no picture").expect("a file");
    let scan = |file: &str| nodpay(&["scan", &folder.path().join(file).to_string_lossy()]);
    let out = json(&scan(code));
    assert_eq!(out["text"], "hello, nodpay");
    assert!(out["ms"].is_number() && out["file"].as_str().is_some_and(|file| file.ends_with(code)));
    assert_eq!(json(&scan(blank))["text"], Value::Null);
    assert_eq!(scan(text).status.code(), Some(1));
}

#[test]
fn verify_tells_genuine_broken_and_something_else_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (cast, other) = (Cast::new(0), Cast::new(1));
    let story = cast.paid_story(cast.bill(1), 1, &[nodpay_testkit::line_id("3")]);
    let evidence = cast.evidence(&story).to_file().expect("serialises");
    let changed = evidence.replacen('w', "x", 1);
    for (name, text) in [
        ("evidence", &evidence),
        ("changed", &changed),
        ("anchor", &cast.anchor().to_file().expect("serialises")),
        ("other", &other.anchor().to_file().expect("serialises")),
        ("text", &"hello".to_owned()),
    ] {
        std::fs::write(path(name), text).expect("writes");
    }
    let verify = |anchor: &str, file: &str| nodpay(&["verify", "--anchor", &path(anchor), &path(file)]);
    let genuine = verify("anchor", "evidence");
    let story = String::from_utf8(genuine.stdout).expect("text");
    assert_eq!(genuine.status.code(), Some(0), "{story}");
    for word in ["GENUINE", "29.50 CNY", "可乐 Cola", "小明 Ming", "阳光小卖部", "passkey"] {
        assert!(story.contains(word), "{word} in:\n{story}");
    }
    assert_eq!(verify("anchor", "changed").status.code(), Some(1));
    let stranger = verify("other", "evidence");
    assert_eq!(stranger.status.code(), Some(1), "other roots");
    assert!(String::from_utf8(stranger.stderr).expect("text").contains("household log"));
    assert_eq!(verify("anchor", "text").status.code(), Some(2));
    assert_eq!(verify("anchor", "anchor").status.code(), Some(2));
}

#[test]
fn the_headless_demo_plays_the_whole_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let demo = nodpay(&["demo", "--headless", "--out", &out.to_string_lossy()]);
    assert_eq!(demo.status.code(), Some(0), "{}", String::from_utf8_lossy(&demo.stderr));
    let report = json(&demo);
    let orders = report["orders"].as_array().expect("orders");
    let outcomes: Vec<_> = orders.iter().filter_map(|order| order["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["paid", "refused", "expired"]);
    assert_eq!((orders[0]["total"].as_i64(), orders[0]["struck"][0].as_str()), (Some(2950), Some("cola")));
    let anchor = out.join("anchor.json");
    for order in orders {
        let file = order["evidence"].as_str().expect("a path");
        let verified = nodpay(&["verify", "--anchor", &anchor.to_string_lossy(), file]);
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn a_first_start_without_the_demo() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_string_lossy().into_owned();
    let serve = nodpay(&["serve", "--data", &data]);
    let hint = String::from_utf8(serve.stderr).expect("text");
    assert_eq!(serve.status.code(), Some(1));
    assert!(hint.contains("nodpay admin init"), "{hint}");

    assert_eq!(nodpay(&["admin", "--data", &data, "init"]).status.code(), Some(0));
    assert_eq!(nodpay(&["admin", "--data", &data, "init"]).status.code(), Some(1), "never over existing keys");
    let invite = nodpay(&["admin", "--data", &data, "invite"]);
    assert!(String::from_utf8(invite.stdout).expect("text").starts_with("http://localhost:8080/join#"));
    let add = ["admin", "--data", &data, "merchant", "add", "--name", "Canteen", "--city", "Berlin", "--country", "DE"];
    let added = String::from_utf8(nodpay(&add).stdout).expect("text");
    assert!(added.contains("ndp_") && added.contains("/till#"), "{added}");
    assert_eq!(nodpay(&["admin", "--data", &data, "check"]).status.code(), Some(0));

    let open = nodpay(&["serve", "--data", &data, "--listen", "0.0.0.0:0"]);
    let hint = String::from_utf8(open.stderr).expect("text");
    assert_eq!(open.status.code(), Some(1));
    assert!(hint.contains("--tls-cert") && hint.contains("--behind-proxy"), "{hint}");
}

/// An operator never needs SQL: everything has a command, each list is a table or JSON.
#[test]
fn an_operator_runs_the_books_from_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_string_lossy().into_owned();
    let admin = |arguments: &[&str]| nodpay(&[&["admin", "--data", &data][..], arguments].concat());
    let said = |arguments: &[&str]| {
        let out = admin(arguments);
        assert_eq!(out.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("text")
    };
    let refused = |arguments: &[&str]| {
        let out = admin(arguments);
        assert_eq!(out.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(out.stderr).expect("text")
    };
    said(&["init"]);
    let added = json(&admin(&["merchant", "add", "--name", "阳光小卖部", "--city", "杭州", "--json"]));
    let merchant = added["merchant"].as_str().expect("an id").to_owned();
    assert!(added["api_key"].as_str().is_some_and(|key| key.starts_with("ndp_")), "{added}");
    let key = said(&["merchant", "key", "new", &merchant]);
    assert!(key.starts_with("ndp_"), "{key}");
    for (command, name, start) in [
        (&["invite", "--json"][..], "link", "http://localhost:8080/join#"),
        (&["merchant", "till", &merchant, "--json"], "till", "http://localhost:8080/till#"),
    ] {
        let made = json(&admin(command));
        assert!(made[name].as_str().is_some_and(|link| link.starts_with(start)), "{made}");
        assert!(made["expires"].is_i64(), "{made}");
    }
    let keys = said(&["merchant", "key", "list", &merchant, "--json"]);
    assert_eq!(keys.lines().count(), 2);
    let newest: Value = serde_json::from_str(keys.lines().last().expect("a key")).expect("JSON");
    let name = newest["key"].as_str().expect("a name");
    assert_eq!(json(&admin(&["merchant", "key", "revoke", &merchant, name, "--json"]))["revoked"], name);
    assert_eq!(said(&["merchant", "key", "list", &merchant, "--json"]).lines().count(), 1);

    assert_eq!(json(&admin(&["merchant", "fee", &merchant, "--basis-points", "60", "--json"]))["fee"], 60);
    assert!(refused(&["merchant", "fee", &merchant, "--basis-points", "1001"]).contains("1000"));
    said(&["merchant", "iban", &merchant, "gb29 NWBK 6016 1331 9268 19"]);
    assert!(refused(&["merchant", "iban", &merchant, "GB29 NWBK 6016 1331 9268 18"]).contains("check digits"));
    let shown = json(&admin(&["merchant", "show", &merchant, "--json"]));
    assert_eq!((shown["fee"].as_i64(), shown["iban"].as_str()), (Some(60), Some("GB29NWBK60161331926819")));
    assert_eq!(shown["balance"]["minor"], 0);
    let table = said(&["merchant", "list"]);
    assert!(table.starts_with("merchant ") && table.contains("阳光小卖部") && table.contains("0.00 CNY"), "{table}");
    let (from, to) = ("2026-11-01", "2026-11-30");
    let statement = said(&["merchant", "statement", &merchant, "--from", from, "--to", to]);
    assert!(statement.contains("opening") && statement.contains("closing"), "{statement}");
    let csv = said(&["merchant", "statement", &merchant, "--from", from, "--to", to, "--csv"]);
    assert_eq!(csv.lines().nth(1), Some("2026-11-01,,opening,0,CNY,,,"));
    let page = json(&admin(&["merchant", "statement", &merchant, "--from", from, "--to", to, "--json"]));
    assert_eq!((page["opening"].as_i64(), page["movements"].as_array().map(Vec::len)), (Some(0), Some(0)));
    assert_eq!(said(&["merchant", "days", &merchant]), "");
    assert!(refused(&["payout", &merchant]).contains("no money"));
    assert_eq!(said(&["payouts", "list"]), "");
    assert_eq!((said(&["books"]), said(&["unfinished"])), (String::new(), String::new()), "nothing has moved");
    assert_eq!(said(&["payouts", "list", &merchant]), "");

    assert_eq!(said(&["household", "list", "--json"]), "");
    // Ids may begin with a hyphen: they are read as ids, and are not known.
    let nobody = "-AAAAAAAAAAAAAAAAAAAAA";
    for command in [
        &["household", "show", nobody][..],
        &["household", "orders", nobody],
        &["household", "freeze", nobody],
        &["household", "unfreeze", nobody],
        &["household", "close-out", nobody, "--id", nobody],
        &["top-up", nobody, "100"],
        &["pocket-money", "add", nobody, "100", "--every", "week", "--id", nobody, "--first", "2099-12-31T08:00:00Z"],
        &["pocket-money", "end", nobody, nobody],
        &["refund", nobody, "100", "--id", nobody],
        &["merchant", "show", nobody, "--json"],
        &["merchant", "till", nobody],
        &["merchant", "fee", nobody, "--basis-points", "1"],
        &["merchant", "code", "make", "--merchant", nobody, "--out", "x.svg"],
        &["payouts", "sent", nobody, nobody],
    ] {
        assert!(refused(command).contains("is not known"), "{command:?}");
    }
    // Without a time of its own it would be another one each time.
    let unnamed = admin(&["pocket-money", "add", nobody, "100", "--every", "week", "--id", nobody]);
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unnamed.stderr).contains("--first"));
    assert!(said(&["check"]).contains("0 orders"));
    let right = json(&admin(&["check", "--json"]));
    assert_eq!((&right["findings"], &right["looked_at"]), (&0.into(), &0.into()));
}
