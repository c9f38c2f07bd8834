//! A table to play at: the service and the watch as processes, a shop and a guardian, paired and ready.

use std::path::{Path, PathBuf};
use std::process::Command;

use nodpay::parties::{Basket, Cast, ServiceProcess, WatchOptions, enter, snack};
use nodpay_core::{Minor, Reduction};
use tempfile::TempDir;

pub(crate) struct Table {
    /// Before `service` and `folder`, so that the watch ends first.
    pub cast: Cast,
    pub service: ServiceProcess,
    pub watch: WatchOptions,
    folder: TempDir,
}

pub(crate) fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_nodpay").into()
}

impl Table {
    pub(crate) fn lay() -> Self {
        Self::lay_with(Command::new(program()))
    }

    /// With a service started by a command of the caller's making.
    pub(crate) fn lay_with(command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let service = ServiceProcess::start_with(command, &folder.path().join("service"), "127.0.0.1:0");
        let service = service.expect("the service starts");
        let watch = WatchOptions::of_program(&program(), &folder.path().join("watch"));
        let cast = enter(&service.stage, &watch, &folder.path().join("out")).expect("everyone enters");
        Self { cast, service, watch, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL, then the same service over the same data at the same address.
    pub(crate) fn restart_service(&mut self) {
        let listen = self.service.stage.origin.replace("http://localhost", "127.0.0.1");
        self.service.terminate().expect("kills the service");
        self.service = start(self.folder.path(), &listen);
        self.cast.events = self.cast.guardian.events().expect("events again");
    }

    /// SIGKILL, then the same watch over the same data.
    pub(crate) fn restart_watch(&mut self) {
        let options = self.watch.clone();
        self.cast.watch.terminate().expect("kills the watch");
        self.cast.watch = nodpay::parties::WatchProcess::start(&options).expect("the watch again");
    }

    pub(crate) fn balance(&self) -> i64 {
        let household = self.cast.guardian.client().get("/api/guardian/household").expect("the household");
        household["balance"]["minor"].as_i64().expect("a balance")
    }
}

fn start(folder: &Path, listen: &str) -> ServiceProcess {
    ServiceProcess::start(&program(), &folder.join("service"), listen).expect("the service starts")
}

/// The snack with every price a tenth, so that many fit into one wallet: ¥3.65.
pub(crate) fn small_snack() -> Basket {
    let mut basket = snack().expect("a snack");
    for line in &mut basket.lines {
        line.unit_price = Minor::new(line.unit_price.get() / 10).expect("in range");
        line.amount = line.unit_price.times(line.quantity).expect("in range");
    }
    basket
}

/// The same for which the shop must requote.
pub(crate) fn requotable() -> Basket {
    Basket { reduction: Reduction::Requote, ..small_snack() }
}
