//! Waking guardians' phones: push messages (RFC 8030, 8291, 8292) about what the store has just committed.
//!
//! Owns: the operator's push key, what a message says, sending it. Never does: delay or fail the request that caused it, decide
//! anything, put an endpoint, a name or an item into a log. A message is help: the event is in the household's log whether or not
//! anybody was woken, and what a phone shows is verified by its page when it is opened.

mod deliver;
mod news;
mod seal;
mod vapid;
mod work;

use std::sync::{Arc, OnceLock};

use nodpay_core::PublicKey;
use nodpay_protocol::Signer as _;
use tokio::sync::{Notify, Semaphore};

use crate::problem::ApiError;
use crate::{App, KeyError, ServeError, keys};

use self::deliver::Sender;
pub(crate) use self::deliver::{Endpoint, Sent};
pub(crate) use self::work::{run, send_test};

/// Messages on their way at once, over all push services.
const MAX_SENDING: usize = 256;

/// What a service that sends push messages holds.
#[derive(Debug)]
pub(crate) struct Push {
    /// Every phone's subscription is bound to it.
    key: OnceLock<PublicKey>,
    /// Where this process has the key's secret.
    sender: OnceLock<Sender>,
    sending: Arc<Semaphore>,
    wake: Notify,
}

impl Push {
    pub(crate) fn new() -> Self {
        let sending = Arc::new(Semaphore::new(MAX_SENDING));
        Self { key: OnceLock::new(), sender: OnceLock::new(), sending, wake: Notify::new() }
    }

    /// The key that phones subscribe with.
    pub(crate) fn key(&self) -> Result<PublicKey, ApiError> {
        self.key.get().copied().ok_or(ApiError::PushOff)
    }

    fn sender(&self) -> Option<&Sender> {
        self.sender.get()
    }
}

/// Reads the push key, or makes it where no replica has one yet. A replica without it leaves the sending to the others.
pub(crate) async fn start(app: &App) -> Result<(), ServeError> {
    let config = &app.config().push;
    let Some(path) = &config.key else { return Ok(()) };
    let (own, recorded) = (keys::load_push_key(path)?, app.store().push_key().await?);
    let own = match (own, recorded) {
        (Some(own), _) => Some(own),
        (None, Some(_)) => None,
        (None, None) => match keys::make_push_key(path) {
            Ok(made) => Some(made),
            // Another process that has the same folder was quicker.
            Err(KeyError::Exists(_)) => keys::load_push_key(path)?,
            Err(error) => {
                tracing::warn!(%error, "there is no push key, and none can be made: nobody is woken");
                return Ok(());
            }
        },
    };
    let shared = match (&own, recorded) {
        (_, Some(recorded)) => recorded,
        (Some(own), None) => app.store().keep_push_key(own.public_key()).await?,
        (None, None) => return Ok(()),
    };
    // Only a second start in the same process finds it set.
    let _ = app.push().key.set(shared);
    match own.filter(|own| own.public_key() == shared) {
        Some(own) => {
            let sender = Sender::new(Arc::new(own), app.config().push_contact(), app.config().private_endpoints())?;
            let _ = app.push().sender.set(sender);
        }
        None => tracing::warn!(
            path = %path.display(),
            "this is not the push key that phones subscribed with: copy it from another replica, or make a new one with \
             `nodpay admin renew-push-key`. Until then this replica wakes nobody"
        ),
    }
    Ok(())
}
