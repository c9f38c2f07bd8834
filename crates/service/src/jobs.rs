//! What happens by itself: orders, requests and approvals whose time is over end, pocket money is paid, merchants' days are
//! closed; messages of old orders are deleted, households that asked for it erased. The job sleeps until the next deadline
//! and is woken when a handler makes an earlier one. What other processes made due (the operator's commands, other
//! replicas) it asks for once a minute.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nodpay_core::Timestamp;
use nodpay_store::StoreError;
use tokio::sync::Notify;

use crate::App;

/// How often metrics are folded.
const METRICS_UPKEEP: Duration = Duration::from_secs(10);

/// How often the next deadline is read again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How often is looked for what is to be deleted.
const DELETE_EVERY_MS: i64 = 60 * 60 * 1000;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

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
    let mut look_again = tokio::time::interval(LOOK_AGAIN);
    look_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // Deadlines announced while the round runs are kept.
        app.deadlines().next_ms.store(NEVER, Ordering::SeqCst);
        match app.store().tick(app.now()).await {
            Ok(ticked) => {
                // What ended may have to be given back.
                app.rails().wake();
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
                () = app.deadlines().earlier.notified() => {}
                _ = look_again.tick() => match app.store().next_deadline().await {
                    Ok(Some(next)) => {
                        app.deadlines().next_ms.fetch_min(next.unix_ms(), Ordering::SeqCst);
                    }
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "could not read what is due next"),
                },
                () = app.stopped() => return,
            }
        }
    }
}

/// Deletes what is no longer to be kept, until the service stops.
pub(crate) async fn keep_no_longer(app: App) {
    loop {
        let looked = app.now();
        if let Err(error) = delete(&app, looked).await {
            crate::metrics::store_error(&error);
            tracing::error!(%error, "could not delete what is no longer kept");
        }
        tokio::select! {
            () = app.clock().sleep_until(looked.plus_ms(DELETE_EVERY_MS)) => {}
            () = app.stopped() => return,
        }
    }
}

async fn delete(app: &App, now: Timestamp) -> Result<(), StoreError> {
    let all = app.store().erase_due(now).await?;
    let orders = app.store().cut_orders(now.plus_ms(-i64::from(app.config().keep.orders_days) * DAY_MS)).await?;
    let (erased, waiting) = (all.erased.len(), all.waiting.len());
    if waiting > 0 {
        tracing::warn!(waiting, "households are to be erased and have money: close them out with nodpay admin");
    }
    if erased > 0 || orders > 0 {
        app.forget();
        tracing::info!(erased, orders, "deleted households and the messages of old orders");
    }
    Ok(())
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
