//! The task that wakes phones: it hears what this process committed, after the commit; what a household without phones did is
//! dropped by a look into memory. What it queues is in the store before it is sent, so that a replica that dies takes no message
//! with it once it is queued.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use nodpay_core::Timestamp;
use nodpay_store::{Alert, PushWork, QueuePush, StoreError, Subscription};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use super::Sent;
use super::deliver::{Handling, Sender};
use super::news::{self, News, Note};
use crate::problem::ApiError;
use crate::{App, metrics};

/// What another replica queued and did not live to send is found after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A message that was not taken is tried again after this, doubled each time,
const FIRST_WAIT_MS: i64 = 1_000;
/// up to this.
const LONGEST_WAIT_MS: i64 = 60_000;
/// Whatever a push service asks for, a message is tried this often at most.
const MAX_TRIES: u32 = 12;
/// A test message is worth nothing later.
const TEST_TTL_S: i64 = 60;

/// Works until the service stops. Without the push key's secret there is nothing to do.
pub(crate) async fn run(app: App) {
    if app.push().sender().is_none() {
        return;
    }
    let mut alerts = app.store().alerts();
    let mut look_again = tokio::time::interval(LOOK_AGAIN);
    look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = None;
    loop {
        let due = async {
            match next {
                Some(next) => app.clock().sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            alert = alerts.recv() => match alert {
                Ok(alert) => take(&app, alert).await,
                Err(RecvError::Lagged(missed)) => {
                    metrics::pushes_missed(missed);
                    tracing::warn!(missed, "more happened than phones could be woken for");
                }
                Err(RecvError::Closed) => return,
            },
            () = due => next = round(&app).await,
            () = app.push().wake.notified() => next = round(&app).await,
            _ = look_again.tick() => next = round(&app).await,
            () = app.stopped() => return,
        }
    }
}

/// Sends what is due, beside this task; gives when the next one is.
async fn round(app: &App) -> Option<Timestamp> {
    match app.store().push_work(app.now()).await {
        Ok((claimed, next)) => {
            for work in claimed {
                beside(app, retry(app.clone(), work)).await;
            }
            next
        }
        Err(error) => {
            metrics::store_error(&error);
            tracing::error!(%error, "could not look for push messages");
            None
        }
    }
}

/// Wakes the household's phones, beside this task.
async fn take(app: &App, alert: Alert) {
    if app.store().wakeable_at_hand(alert.household) == Some(false) {
        return;
    }
    beside(app, wake(app.clone(), alert)).await;
}

/// Runs `work` on its own, once fewer than [`super::MAX_SENDING`] run.
async fn beside(app: &App, work: impl Future<Output = ()> + Send + 'static) {
    let Ok(permit) = Arc::clone(&app.push().sending).acquire_owned().await else { return };
    tokio::spawn(async move {
        work.await;
        drop(permit);
    });
}

async fn wake(app: App, alert: Alert) {
    if let Err(error) = queue_and_send(&app, alert).await {
        error.log();
    }
}

async fn queue_and_send(app: &App, alert: Alert) -> Result<(), ApiError> {
    if !app.store().wakeable(alert.household).await? {
        return Ok(());
    }
    let Some(news) = news::of(app, alert).await? else { return Ok(()) };
    let queued = QueuePush { alert, expires: news.expires, except: news.except.clone() };
    let claimed = app.store().queue_push(queued, app.now()).await?;
    join_all(claimed.into_iter().map(|work| send(app, work, Some(&news)))).await;
    Ok(())
}

/// A message that was queued before: what it says is asked again.
async fn retry(app: App, work: PushWork) {
    let alert = Alert { household: work.subscription.household, row: work.row };
    match news::of(&app, alert).await {
        Ok(news) => send(&app, work, news.as_ref()).await,
        // Its claim runs out, and it is tried again.
        Err(error) => error.log(),
    }
}

/// Sends a claimed message, and writes down what became of it.
async fn send(app: &App, work: PushWork, news: Option<&News>) {
    let (now, subscription) = (app.now(), &work.subscription);
    let sent = match (news, app.push().sender()) {
        (Some(news), Some(sender)) if now < work.expires => {
            let sent = hand_over(sender, subscription, &news.note(subscription), &news.handling(now), now).await;
            metrics::pushed(sent.as_str());
            if sent == Sent::Taken {
                metrics::push_time(app.now().ms_since(work.row.at));
            }
            Some(sent)
        }
        // Nobody needs to hear of it any more.
        _ => None,
    };
    let done = match sent {
        Some(Sent::Gone) => app.store().push_gone(subscription.household, subscription.id).await,
        Some(Sent::Later(asked)) => {
            let next = next_try(&work, asked, app.now());
            let done = app.store().push_answered(work, next).await;
            app.push().wake.notify_one();
            done
        }
        Some(Sent::Taken | Sent::Refused) | None => app.store().push_answered(work, None).await,
    };
    if let Err(error) = done {
        // The claim runs out, and it may be sent twice: the phone shows one of them.
        metrics::store_error(&error);
        tracing::error!(%error, "what became of a push message was not written down");
    }
}

/// When to try again: not before the push service wants it, and not once it is worth nothing.
fn next_try(work: &PushWork, asked: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let doubled = FIRST_WAIT_MS.saturating_mul(1_i64.checked_shl(work.tries.saturating_sub(1)).unwrap_or(i64::MAX));
    let own = now.plus_ms(doubled.min(LONGEST_WAIT_MS));
    let next = asked.map_or(own, |asked| asked.max(own));
    (next < work.expires && work.tries < MAX_TRIES).then_some(next)
}

async fn hand_over(sender: &Sender, to: &Subscription, note: &Note<'_>, handling: &Handling, now: Timestamp) -> Sent {
    match serde_json::to_vec(note) {
        Ok(text) => sender.send(to, &text, handling, now).await,
        Err(_) => Sent::Refused,
    }
}

/// Sends a message that says that messages arrive. `None` where this replica sends none.
pub(crate) async fn send_test(app: &App, to: &Subscription) -> Result<Option<Sent>, StoreError> {
    let Some(sender) = app.push().sender() else { return Ok(None) };
    let handling = Handling { ttl_s: TEST_TTL_S, urgent: true, topic: "test".to_owned() };
    let note = Note::test(to.language, app.now());
    let sent = hand_over(sender, to, &note, &handling, app.now()).await;
    metrics::pushed(sent.as_str());
    if sent == Sent::Gone {
        app.store().push_gone(to.household, to.id).await?;
    }
    Ok(Some(sent))
}

#[cfg(test)]
mod tests {
    use nodpay_core::{Digest, GuardianId, HouseholdId, OrderId, PublicKey};
    use nodpay_store::{EventRow, HouseholdEvent, PushAuth, PushDetail, PushLanguage};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn work(tries: u32) -> PushWork {
        let subscription = Subscription {
            household: HouseholdId::from_bytes([1; 16]),
            guardian: GuardianId::from_bytes([2; 16]),
            id: Digest::from_bytes([3; 32]),
            endpoint: String::new(),
            key: PublicKey::try_from(&[4; 65][..]).expect("a point's form"),
            auth: PushAuth([5; 16]),
            language: PushLanguage::En,
            detail: PushDetail::Plain,
        };
        let row = EventRow { seq: 1, at: NOW, event: HouseholdEvent::Order(OrderId::from_bytes([6; 16])) };
        PushWork { subscription, row, expires: NOW.plus_ms(10 * 60_000), tries }
    }

    #[test]
    fn waiting_doubles_and_honours_what_is_asked() {
        let after = |tries, asked: Option<i64>| {
            next_try(&work(tries), asked.map(|ms| NOW.plus_ms(ms)), NOW).map(|next| next.ms_since(NOW))
        };
        assert_eq!([1, 2, 3, 7, 11].map(|tries| after(tries, None)), [1_000, 2_000, 4_000, 60_000, 60_000].map(Some));
        assert_eq!(after(1, Some(30_000)), Some(30_000));
        assert_eq!(after(6, Some(5_000)), Some(32_000));
        assert_eq!(after(1, Some(10 * 60_000)), None, "the order is over by then");
        assert_eq!(after(MAX_TRIES, None), None);
    }
}
