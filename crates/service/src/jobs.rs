//! What happens by itself: orders, requests and approvals whose time is over end. The job sleeps until the next deadline
//! and is woken when a handler makes an earlier one. It polls only for deadlines of other replicas, twice a minute.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nodpay_core::Timestamp;
use tokio::sync::Notify;

use crate::App;

/// How often metrics are folded.
const METRICS_UPKEEP: Duration = Duration::from_secs(10);

/// Where other replicas may make deadlines and die, we look for them this often.
const LOOK_AROUND: Duration = Duration::from_secs(30);

/// After a failed round the next one waits this long.
const RETRY: Duration = Duration::from_secs(1);

const NEVER: i64 = i64::MAX;

/// The earliest deadline that is known.
#[derive(Debug)]
pub(crate) struct Deadlines {
    next_ms: AtomicI64,
    earlier: Notify,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { next_ms: AtomicI64::new(NEVER), earlier: Notify::new() }
    }

    /// There is something to end at `at`.
    pub(crate) fn expect(&self, at: Timestamp) {
        if self.next_ms.fetch_min(at.unix_ms(), Ordering::SeqCst) > at.unix_ms() {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> Option<Timestamp> {
        let next_ms = self.next_ms.load(Ordering::SeqCst);
        (next_ms != NEVER).then_some(Timestamp::from_unix_ms(next_ms))
    }
}

/// Ends what is due, until the service stops.
pub(crate) async fn end_what_is_due(app: App) {
    loop {
        // Deadlines announced while the round runs are kept.
        app.deadlines().next_ms.store(NEVER, Ordering::SeqCst);
        match app.store().tick(app.now()).await {
            Ok(ticked) => {
                if let Some(next) = ticked.next {
                    app.deadlines().next_ms.fetch_min(next.unix_ms(), Ordering::SeqCst);
                }
            }
            Err(error) => {
                crate::metrics::store_error(&error);
                tracing::error!(%error, "could not end what is due");
                app.deadlines().next_ms.store(app.now().unix_ms(), Ordering::SeqCst);
                tokio::time::sleep(RETRY).await;
            }
        }
        loop {
            let due = async {
                match app.deadlines().next() {
                    Some(next) => app.clock().sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => break,
                () = tokio::time::sleep(LOOK_AROUND), if app.store().is_shared() => break,
                () = app.deadlines().earlier.notified() => {}
                () = app.stopped() => return,
            }
        }
    }
}

/// Keeps the memory of metrics bounded between two scrapes.
pub(crate) async fn fold_metrics(app: App) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(METRICS_UPKEEP) => crate::metrics::upkeep(),
            () = app.stopped() => return,
        }
    }
}
