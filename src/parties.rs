//! Programs that take part in Nodpay from outside, over real HTTP and real pipes: a guardian, a merchant and a watch
//! process. The headless demo, the benchmark and the end-to-end tests are played with them.

mod guardian;
mod http;
mod merchant;
mod stage;
mod watch;

pub use guardian::{Approval, Guardian, OrderView};
pub use http::{Client, Sse};
pub use merchant::{Basket, Merchant, PostedBill};
pub use stage::{CHILD_NAME, Cast, PIN, ServiceProcess, Stage, enter, label_with, line_id, photograph, snack};
pub use watch::{WatchOptions, WatchProcess};

/// What went wrong, in words; these programs stop at the first trouble.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(bytes)
}

/// A new software key.
pub fn random_key() -> Result<nodpay_protocol::SoftwareKey> {
    loop {
        if let Some(key) = nodpay_protocol::SoftwareKey::from_secret(&random()?) {
            return Ok(key);
        }
    }
}

/// Now, by this machine's clock.
#[must_use]
pub fn now() -> nodpay_core::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    nodpay_core::Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
