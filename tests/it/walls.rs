//! The walls of the house (ARCHITECTURE.md): which package may use which.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Normal dependencies of each of our packages among themselves.
const ARROWS: [(&str, &[&str]); 10] = [
    ("nodpay-core", &[]),
    ("nodpay-protocol", &["nodpay-core"]),
    ("nodpay-store", &["nodpay-core"]),
    ("nodpay-service", &["nodpay-core", "nodpay-protocol", "nodpay-store"]),
    ("nodpay-watch", &["nodpay-core", "nodpay-protocol"]),
    ("nodpay-bindings", &["nodpay-core", "nodpay-protocol", "nodpay-watch"]),
    ("nodpay-keys", &["nodpay-core", "nodpay-protocol", "nodpay-watch"]),
    ("nodpay-watch-app", &["nodpay-core", "nodpay-keys", "nodpay-protocol", "nodpay-watch"]),
    ("nodpay-testkit", &["nodpay-core", "nodpay-protocol"]),
    (
        "nodpay",
        &["nodpay-core", "nodpay-protocol", "nodpay-service", "nodpay-store", "nodpay-watch", "nodpay-watch-app"],
    ),
];

/// What must not be reachable, even through others.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    ("nodpay-core", &["tokio", "rusqlite", "axum", "ureq", "getrandom", "ring", "slint"]),
    ("nodpay-protocol", &["tokio", "rusqlite", "axum", "ureq", "slint"]),
    ("nodpay-store", &["axum", "hyper", "ureq", "slint"]),
    ("nodpay-watch", &["tokio", "rusqlite", "axum", "hyper", "ureq", "slint"]),
    ("nodpay-bindings", &["tokio", "rusqlite", "axum", "hyper", "ureq", "slint"]),
    // The last two need a C library or a module of the machine: only features bring them.
    ("nodpay-keys", &["tokio", "rusqlite", "axum", "hyper", "ureq", "slint", "tss-esapi", "cryptoki"]),
    ("nodpay-watch-app", &["tokio", "rusqlite", "axum", "hyper", "tss-esapi", "cryptoki"]),
    ("nodpay-service", &["slint", "ureq"]),
];

#[test]
fn the_walls_between_crates_hold() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, listed, "every package has its arrows listed");
    for (name, allowed) in ARROWS {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name).expect("listed");
        for dependency in &package.dependencies {
            let wall = ours.contains(dependency.name.as_str()) && dependency.kind == DependencyKind::Normal;
            assert!(!wall || allowed.contains(&dependency.name.as_str()), "{name} → {}", dependency.name);
        }
    }
}

#[test]
fn what_a_crate_must_not_reach_it_does_not_reach() {
    for (name, forbidden) in FORBIDDEN {
        let reached = reached(name, "");
        assert!(reached.contains(name), "{name} is in its own tree");
        for crate_name in forbidden {
            assert!(!reached.contains(*crate_name), "{name} reaches {crate_name}");
        }
    }
}

#[test]
fn the_features_of_the_programs_bring_the_key_stores() {
    for name in ["nodpay", "nodpay-watch-app", "nodpay-keys"] {
        for (feature, crate_name) in [("pkcs11", "cryptoki"), ("tpm", "tss-esapi")] {
            assert!(reached(name, feature).contains(crate_name), "{name} --features {feature}");
        }
    }
}

/// Names of all packages in the tree of one. `cargo tree` resolves features for this package alone; `cargo metadata` for the
/// whole workspace.
fn reached(package: &str, features: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--target", "all", "--prefix", "none"])
        .args(["--package", package, "--features", features])
        .output()
        .expect("cargo tree");
    let tree = String::from_utf8(tree.stdout).expect("text");
    tree.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect()
}

/// The agent and everything below it take time and randomness as input.
#[test]
fn pure_crates_ask_no_clock_and_no_random_numbers() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    for (name, forbidden) in [
        ("core", &["SystemTime::now", "Instant::now", "getrandom", "std::fs", "TcpStream", "std::thread"][..]),
        ("protocol", &["SystemTime::now", "Instant::now", "getrandom", "std::fs", "TcpStream", "std::thread"]),
        ("watch", &["SystemTime::now", "getrandom", "TcpStream", "std::thread"]),
    ] {
        let mut folders = vec![root.join(name).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("source");
                for word in forbidden {
                    assert!(!text.contains(word), "{} asks {word}", path.display());
                }
            }
        }
    }
}
