//! The service's one clock. Every deadline is judged by it; nothing else in this crate asks for the time.
//!
//! A [`ManualClock`] stands still until a test moves it, and wakes whoever sleeps until then.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodpay_core::Timestamp;
use tokio::sync::watch;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's clock.
    System,
    /// A clock that a test moves.
    Manual(ManualClock),
}

impl Clock {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(clock) => Timestamp::from_unix_ms(*clock.now_ms.borrow()),
        }
    }

    /// Returns once the clock shows `at` or later.
    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        match self {
            Self::System => {
                let left_ms = u64::try_from(at.ms_since(self.now())).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(left_ms)).await;
            }
            Self::Manual(clock) => {
                let mut reader = clock.now_ms.subscribe();
                // The sender lives in `self`, so this only ends when the time has come.
                let _ = reader.wait_for(|now_ms| *now_ms >= at.unix_ms()).await;
            }
        }
    }
}

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now_ms: Arc<watch::Sender<i64>>,
}

impl ManualClock {
    /// Stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now_ms: Arc::new(watch::Sender::new(now.unix_ms())) }
    }

    /// Moves the clock forward (or back, below zero) and wakes sleepers.
    pub fn advance_ms(&self, ms: i64) {
        self.now_ms.send_modify(|now_ms| *now_ms = now_ms.saturating_add(ms));
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: Timestamp) {
        self.now_ms.send_modify(|now_ms| *now_ms = now.unix_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers() {
        let manual = ManualClock::new(Timestamp::from_unix_ms(10));
        let clock = Clock::Manual(manual.clone());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Timestamp::from_unix_ms(12)).await }
        });
        manual.advance_ms(1);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        manual.advance_ms(1);
        sleeper.await.expect("woken");
        assert_eq!(clock.now(), Timestamp::from_unix_ms(12));
    }
}
