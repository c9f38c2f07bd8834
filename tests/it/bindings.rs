//! The foreign interfaces: generated anew, and the whole main job played through the Python one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nodpay::parties::{Client, Merchant, ServiceProcess, photograph, snack};
use serde_json::{Value, json};

use crate::table::program;

/// Builds library and generator as this test was built, and writes the code of `language` to `out`.
fn generate(language: &str, out: &Path) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--package", "nodpay-bindings", "--features", "generate"])
        .args(["--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    assert!(built.status.success(), "the bindings build");
    let said = String::from_utf8(built.stdout).expect("text");
    let artifacts = || said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let library = artifacts()
        .filter_map(|artifact| artifact["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .find(|path| path.file_name().is_some_and(|name| name == "libnodpay_bindings.so"))
        .expect("the library");
    let generator = artifacts()
        .filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from))
        .find(|path| path.ends_with("uniffi-bindgen"))
        .expect("the generator");
    let generated = Command::new(generator)
        .args(["generate", "--no-format", "--language", language, "--out-dir"])
        .arg(out)
        .arg(&library)
        .status()
        .expect("the generator runs");
    assert!(generated.success(), "{language} is generated");
    library
}

/// All text of the files below `folder`.
fn text_of(folder: &Path) -> String {
    let mut folders = vec![folder.to_owned()];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text += &std::fs::read_to_string(&path).expect("source");
            }
        }
    }
    text
}

#[test]
fn the_main_job_runs_through_the_python_binding() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("python");
    let library = generate("python", &module);
    std::fs::copy(&library, module.join("libnodpay_bindings.so")).expect("beside its module");

    let service = ServiceProcess::start(&program(), &folder.path().join("service"), "127.0.0.1:0").expect("starts");
    let merchant = Merchant::enrol(&Client::new(&service.stage.origin), &service.stage.till).expect("a shop");
    let posted = merchant.charge(snack().expect("a basket")).expect("a bill");
    let frame = photograph(&posted.code, None).expect("a picture");
    let picture = folder.path().join("picture.luma");
    std::fs::write(&picture, frame.luma()).expect("written");
    let told = json!({
        "origin": service.stage.origin,
        "join": service.stage.join,
        "picture": { "path": picture, "width": frame.width(), "height": frame.height() },
    });

    let mut python = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bindings/main_job.py"))
        .env("PYTHONPATH", &module)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(told.to_string().as_bytes()).expect("told");
    let ran = python.wait_with_output().expect("runs");
    assert!(ran.status.success(), "the script fails");
    let said = String::from_utf8(ran.stdout).expect("text");
    let came: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&came["outcome"], &came["total"], &came["watch_total"]), (&json!("paid"), &json!(2950), &json!(2950)));
    assert_eq!((&came["struck"], &came["nodded"]), (&json!(["可乐 Cola"]), &json!("妈妈")));
    assert_eq!((&came["wearer_check"], &came["occasion"]), (&json!("pin"), &json!("SCHOOL")));
    assert_eq!(came["refused"], "bad-signature");
    assert!(came["journals"].as_u64().is_some_and(|journals| journals >= 5), "{came}");
    assert_eq!(merchant.bill_status(posted.bill.bill).expect("a status")["status"], "paid");
}

/// No Kotlin and no Swift compiler is at hand: that the interface is there, by its names.
#[test]
fn kotlin_and_swift_get_the_same_interface() {
    for (language, names) in [
        ("kotlin", ["class WatchAgent", "interface DeviceKey", "fun `verifyOrder`", "fun `draftDecision`"]),
        ("swift", ["class WatchAgent", "protocol DeviceKey", "func verifyOrder", "func draftDecision"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        generate(language, folder.path());
        let text = text_of(folder.path());
        for name in names {
            assert!(text.contains(name), "{language} has no {name}");
        }
    }
}
