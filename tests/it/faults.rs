//! What `cargo bench --bench faults` plays, at a slower pace and a few seconds each: nothing acknowledged is lost or paid twice.

#[path = "../../benches/faults/balancer.rs"]
mod balancer;
#[path = "../../benches/faults/list.rs"]
mod list;
#[path = "../../benches/faults/postgres.rs"]
mod postgres;
#[path = "../../benches/faults/replicas.rs"]
mod replicas;
#[path = "../../benches/faults/scene.rs"]
mod scene;

use std::time::Duration;

use list::FAULTS;
use scene::{Load, Outcome};

fn play(of_sqlite: bool) {
    let load = Load { rate: 20, length: Duration::from_secs(4), clients: 16, fsync: false };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{}", Outcome::HEAD);
    for fault in FAULTS.iter().filter(|fault| fault.name.contains("SQLite") == of_sqlite) {
        let outcome =
            runtime.block_on(scene::play(fault, load)).unwrap_or_else(|error| panic!("{}: {error}", fault.name));
        println!("{outcome}");
        assert!(outcome.is_good(), "{outcome}");
    }
}

#[test]
fn nothing_is_lost_on_sqlite_whatever_breaks() {
    play(true);
}

#[test]
fn nothing_is_lost_on_postgresql_whatever_breaks() {
    play(false);
}
