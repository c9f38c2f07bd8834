//! The Debian package, made as `./release` makes it, of the program under test: it installs, and what it installs serves.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nodpay::parties::Client;

use crate::table::program;

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).expect("text")
}

/// The package, unpacked into a folder as into a new machine's root.
fn unpack(folder: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb");
    let made = run(Command::new(script).arg(program()).arg(folder).env("NODPAY_DEB_COMPRESSION", "none"));
    let package = text(made).trim().to_owned();
    let field = |name: &str| text(run(Command::new("dpkg-deb").args(["--field", &package, name])));
    assert_eq!((field("Package").trim(), field("Version").trim()), ("nodpay", env!("CARGO_PKG_VERSION")));
    let root = folder.join("root");
    run(Command::new("dpkg-deb").args(["--extract", &package]).arg(&root));
    let control = folder.join("control");
    run(Command::new("dpkg-deb").args(["--control", &package]).arg(&control));
    assert_eq!(std::fs::read_to_string(control.join("conffiles")).expect("conffiles"), "/etc/nodpay/nodpay.toml\n");
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(control.join(script)));
    }
    root
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_packaged_program_serves_with_the_packaged_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = unpack(folder.path());
    let (nodpay, settings) = (root.join("usr/bin/nodpay"), root.join("etc/nodpay/nodpay.toml"));
    let data = root.join("var/lib/nodpay");
    // Only where things lie differs on this machine, and the port.
    let place = |command: &mut Command| {
        command.arg("--config").arg(&settings).arg("--data").arg(&data);
    };
    let mut init = Command::new(&nodpay);
    init.arg("admin");
    place(&mut init);
    run(init.arg("init"));
    let mut serve = Command::new(&nodpay);
    serve.arg("serve");
    place(&mut serve);
    let mut serving = Running(
        serve.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts"),
    );
    let mut line = String::new();
    BufReader::new(serving.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says where");
    let address = line.trim().rsplit(' ').next().expect("an address");
    let ready = Client::new(&format!("http://{address}")).get_text("/readyz");
    assert_eq!(ready.expect("ready"), "ready\n");

    let (_, port) = address.rsplit_once(':').expect("a port");
    assert!(container_is_healthy(port));
    drop(serving);
    assert!(!container_is_healthy(port));
}

/// Runs the container file's health check here. It needs nothing but the image's bash, head and grep.
fn container_is_healthy(port: &str) -> bool {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/Containerfile");
    let file = std::fs::read_to_string(file).expect("the container file").replace("\\\n", " ");
    let check = file.lines().find(|line| line.starts_with("HEALTHCHECK ")).expect("a health check");
    let (_, command) = check.split_once(" CMD ").expect("a command");
    let command: Vec<String> = serde_json::from_str(command).expect("in exec form");
    let (bash, arguments) = command.split_first().expect("a program");
    let arguments = arguments.iter().map(|argument| argument.replace("/8080", &format!("/{port}")));
    Command::new(bash).args(arguments).stderr(Stdio::null()).status().expect("runs").success()
}

/// systemd's own judgement of the unit: nothing unknown in it, and little that a broken service could do.
#[test]
fn systemd_is_content_with_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = unpack(folder.path());
    let installed = std::fs::read_to_string(root.join("lib/systemd/system/nodpay.service")).expect("the unit");
    let here = installed.replace("/usr/bin/nodpay", &root.join("usr/bin/nodpay").to_string_lossy());
    assert_ne!(here, installed);
    let unit = folder.path().join("nodpay.service");
    std::fs::write(&unit, here).expect("writes");
    let verify = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    let said = String::from_utf8(verify.stderr).expect("text");
    assert!(!said.contains("nodpay.service"), "{said}");
    let security =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20"]).arg(&unit).output();
    let security = security.expect("systemd-analyze runs");
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}
