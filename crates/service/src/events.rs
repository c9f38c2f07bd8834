//! Live events: server-sent events (WHATWG HTML, section 9.2) for guardians, watches and tills.
//!
//! The event log in the store is the truth; a stream only reads it onwards. Each stream subscribes first and then reads
//! from where its client stopped (`Last-Event-ID`), so nothing falls in between. What happens in one household or at one
//! merchant wakes only the streams that follow it: one task passes the store's announcements on, and when that task
//! lags it wakes everybody, who then read their logs. A stream that cannot read its log ends; its client resumes.
//!
//! Bounds: [`MAX_STREAMS`] altogether; a household, watch or merchant has its own few, and a new stream there ends the
//! oldest (a device that lost its network would otherwise lock itself out).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use nodpay_core::{HouseholdId, MerchantId, SessionId, Timestamp, WatchId};
use nodpay_store::Topic;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{oneshot, watch};

use crate::App;
use crate::problem::ApiError;
use crate::sessions::{GuardianSession, Standing};
use nodpay_store::recent::lock;

/// A comment is sent when nothing else was for this long, so that both sides notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// Open streams of one process.
const MAX_STREAMS: usize = 50_000;
/// Guardians' streams of one household: several guardians with several devices.
const MAX_HOUSEHOLD_STREAMS: usize = 16;
/// A watch has one; a second one while the network changes.
const MAX_WATCH_STREAMS: usize = 2;
/// Tills and servers of one merchant.
const MAX_MERCHANT_STREAMS: usize = 64;

/// Clients of a service that stops come back after 1 to [`RETURN_STEPS`] times this.
const RETURN_AFTER: Duration = Duration::from_millis(250);
const RETURN_STEPS: u64 = 8;

/// Longest life of a stream that was opened with a session or API key.
const MAX_SESSION_STREAM: Duration = Duration::from_secs(60 * 60);

/// How many events are read at once.
pub(crate) const PAGE: u32 = 100;

/// Whose events a stream follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Audience {
    Guardian(HouseholdId),
    Watch(HouseholdId, WatchId),
    Merchant(MerchantId),
}

impl Audience {
    const fn topic(self) -> Topic {
        match self {
            Self::Guardian(household) | Self::Watch(household, _) => Topic::Household(household),
            Self::Merchant(merchant) => Topic::Merchant(merchant),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Guardian(_) => "guardian",
            Self::Watch(..) => "watch",
            Self::Merchant(_) => "merchant",
        }
    }

    /// After this a stream ends, so that its client shows its session again. A watch has none: its key is its own, and
    /// what it may hear follows the household's log.
    const fn max_life(self) -> Option<Duration> {
        match self {
            Self::Guardian(_) | Self::Merchant(_) => Some(MAX_SESSION_STREAM),
            Self::Watch(..) => None,
        }
    }

    const fn max_streams(self) -> usize {
        match self {
            Self::Guardian(_) => MAX_HOUSEHOLD_STREAMS,
            Self::Watch(..) => MAX_WATCH_STREAMS,
            Self::Merchant(_) => MAX_MERCHANT_STREAMS,
        }
    }
}

/// One event, ready to be sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) kind: &'static str,
    /// JSON.
    pub(crate) data: String,
}

/// Events that were read at once.
#[derive(Debug)]
pub(crate) struct Page {
    events: VecDeque<Sent>,
    /// Number up to which everything was read, also what is not sent.
    read_to: u64,
    /// There may be more.
    is_full: bool,
}

impl Page {
    pub(crate) const fn new(read_to: u64, is_full: bool) -> Self {
        Self { events: VecDeque::new(), read_to, is_full }
    }

    pub(crate) fn push(&mut self, sent: Sent) {
        self.events.push_back(sent);
    }
}

/// Passes announcements on to those they concern.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    topics: Mutex<HashMap<Topic, watch::Sender<()>>>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Ends of the streams, oldest first.
    streams: HashMap<Audience, VecDeque<(u64, oneshot::Sender<()>)>>,
    count: usize,
    next_id: u64,
}

impl Hub {
    fn subscribe(&self, topic: Topic) -> watch::Receiver<()> {
        lock(&self.topics).entry(topic).or_default().subscribe()
    }

    fn wake(&self, topic: Topic) {
        if let Some(sender) = lock(&self.topics).get(&topic) {
            sender.send_replace(());
        }
    }

    fn wake_all(&self) {
        for sender in lock(&self.topics).values() {
            sender.send_replace(());
        }
    }

    /// Forgets a topic nobody follows any more.
    fn tidy(&self, topic: Topic) {
        let mut topics = lock(&self.topics);
        if topics.get(&topic).is_some_and(|sender| sender.receiver_count() == 0) {
            topics.remove(&topic);
        }
    }

    /// Registers a stream; the receiver ends it.
    fn open(&self, audience: Audience) -> Result<(u64, oneshot::Receiver<()>), ApiError> {
        let mut open = lock(&self.open);
        if open.count >= MAX_STREAMS {
            return Err(ApiError::TooManyStreams);
        }
        open.count += 1;
        open.next_id += 1;
        let id = open.next_id;
        let (end, ended) = oneshot::channel();
        let streams = open.streams.entry(audience).or_default();
        streams.push_back((id, end));
        if streams.len() > audience.max_streams() {
            // Dropping its end tells the oldest stream.
            streams.pop_front();
        }
        Ok((id, ended))
    }

    fn close(&self, audience: Audience, id: u64) {
        let mut open = lock(&self.open);
        open.count = open.count.saturating_sub(1);
        if let Some(streams) = open.streams.get_mut(&audience) {
            streams.retain(|(other, _)| *other != id);
            if streams.is_empty() {
                open.streams.remove(&audience);
            }
        }
    }
}

/// Passes the store's announcements on until the service stops.
pub(crate) async fn pass_on(app: App) {
    let mut topics = app.store().subscribe();
    loop {
        tokio::select! {
            topic = topics.recv() => match topic {
                Ok(Topic::Everything) | Err(RecvError::Lagged(_)) => app.hub().wake_all(),
                Ok(topic) => app.hub().wake(topic),
                Err(RecvError::Closed) => return,
            },
            () = app.stopped() => return,
        }
    }
}

/// Where a client wants to go on: its `Last-Event-ID`, else `after` from the query, else (`None`) from now.
pub(crate) fn resume_from(headers: &HeaderMap, after: Option<u64>) -> Result<Option<u64>, ApiError> {
    match headers.get("last-event-id") {
        None => Ok(after),
        Some(id) => {
            let seq = id.to_str().ok().and_then(|id| id.parse().ok());
            seq.map(Some).ok_or_else(|| ApiError::Form("Last-Event-ID is not one of ours".to_owned()))
        }
    }
}

/// The response that sends `audience`'s events after `after`; from now on when that is `None`.
/// `session` is who follows a household's: the stream ends with their time, and when they are signed out.
pub(crate) async fn stream(
    app: App,
    audience: Audience,
    session: Option<GuardianSession>,
    after: Option<u64>,
) -> Result<Response, ApiError> {
    let (id, ended) = app.hub().open(audience)?;
    metrics_open(audience, 1.0);
    let wakes = app.hub().subscribe(audience.topic());
    let since = app.now();
    let mut follower = Follower {
        registration: Registration { app, audience, id },
        wakes,
        ended,
        after: 0,
        ready: VecDeque::new(),
        behind: true,
        opened: Instant::now(),
        since,
        told_to_return: false,
        standing: Standing::Pending,
        session,
        known: BTreeSet::new(),
        leaves: None,
    };
    follower.look_at_sessions().await?;
    follower.look_when_they_leave().await?;
    let app = &follower.registration.app;
    let newest = crate::api::compose::newest(app, audience).await?;
    // A client from before a restored backup would wait for numbers that come again.
    follower.after = after.map_or(newest, |after| after.min(newest));
    // Tells the client where it stands, so that it can resume even if nothing happens before the connection breaks.
    let start = Event::default().id(follower.after.to_string()).retry(Duration::from_secs(1));
    let first = stream::once(async move { Ok::<_, Infallible>(start) });
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    let mut response = Sse::new(futures_util::StreamExt::chain(first, events)).into_response();
    // Proxies must not collect events before passing them on.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// One client's place in its event log.
struct Follower {
    /// Before the registration, so that it is gone when the topic is tidied.
    wakes: watch::Receiver<()>,
    registration: Registration,
    ended: oneshot::Receiver<()>,
    after: u64,
    ready: VecDeque<Sent>,
    /// Whether the log may hold more than was read.
    behind: bool,
    opened: Instant,
    since: Timestamp,
    /// The stream's last words were said.
    told_to_return: bool,
    /// Of the watch that follows, when its log was last seen to change.
    standing: Standing,
    /// Who follows, where that is a guardian.
    session: Option<GuardianSession>,
    /// The guardian's sessions, when they were last looked at.
    known: BTreeSet<SessionId>,
    /// When their time ends, by the log as it was last seen to change.
    leaves: Option<Timestamp>,
}

impl Follower {
    async fn look_when_they_leave(&mut self) -> Result<(), ApiError> {
        if let Some(session) = self.session {
            let book = crate::households::book(&self.registration.app, session.household).await?;
            self.leaves = book.member(session.guardian).and_then(|member| member.leaving).map(|leaving| leaving.at);
        }
        Ok(())
    }

    /// Whether the guardian has signed in elsewhere since the last look. Signed out here, they hear no more: an error.
    async fn look_at_sessions(&mut self) -> Result<bool, ApiError> {
        let Some(session) = self.session else { return Ok(false) };
        let app = &self.registration.app;
        let rows = app.store().sessions(session.household, session.guardian, app.now()).await?;
        let now: BTreeSet<SessionId> = rows.into_iter().map(|row| row.session).collect();
        if !now.contains(&session.session) {
            return Err(ApiError::NoGuardian);
        }
        let more = !now.is_subset(&self.known);
        self.known = now;
        Ok(more)
    }

    /// The next event, a heartbeat after a while without one, or `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.told_to_return {
                return None;
            }
            if self.leaves.is_some_and(|leaves| leaves <= self.registration.app.now()) {
                return None;
            }
            if let Some(sent) = self.ready.pop_front() {
                // What happened before this stream was opened is caught up with, not late.
                if sent.at >= self.since {
                    crate::metrics::event_lag(self.registration.app.now().ms_since(sent.at));
                }
                return Some(Event::default().id(sent.seq.to_string()).event(sent.kind).data(sent.data));
            }
            let Registration { app, audience, .. } = &self.registration;
            if audience.max_life().is_some_and(|life| self.opened.elapsed() >= life) {
                return None;
            }
            if app.is_leaving() {
                return self.farewell();
            }
            if !self.behind {
                tokio::select! {
                    changed = self.wakes.changed() => changed.ok()?,
                    () = tokio::time::sleep(HEARTBEAT) => {
                        // A replica may have died between a commit and its announcement.
                        self.behind = app.store().is_shared();
                        return self.look_at_sessions().await.ok().map(heartbeat);
                    }
                    _ = &mut self.ended => return None,
                    () = app.leaving() => return self.farewell(),
                }
            }
            // What is announced from here on is read next time.
            self.wakes.mark_unchanged();
            match crate::api::compose::events(app, *audience, self.after, &mut self.standing).await {
                Ok(page) => {
                    self.after = page.read_to;
                    self.ready = page.events;
                    self.behind = page.is_full;
                    let log_changed = self.ready.iter().any(|sent| sent.kind == "log");
                    if log_changed && self.look_when_they_leave().await.is_err() {
                        return None;
                    }
                    // Woken by something else than an event.
                    if self.ready.is_empty() && self.look_at_sessions().await.ok()? {
                        return Some(heartbeat(true));
                    }
                }
                Err(error) => {
                    error.log();
                    return None;
                }
            }
        }
    }

    /// The last thing on a stream of a service that stops: when to come back. Streams are spread, so that those who take them
    /// over are not stormed.
    fn farewell(&mut self) -> Option<Event> {
        self.told_to_return = true;
        let spread = u32::try_from(self.registration.id % RETURN_STEPS).unwrap_or(0);
        Some(Event::default().comment("stopping").retry(RETURN_AFTER * (1 + spread)))
    }
}

/// What a client hears when nothing happened, or that its guardian signed in elsewhere, which is no numbered event.
fn heartbeat(elsewhere: bool) -> Event {
    if elsewhere { Event::default().event("session").data("{}") } else { Event::default().comment("") }
}

/// Takes a stream out of the books when its connection is gone.
struct Registration {
    app: App,
    audience: Audience,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.app.hub().close(self.audience, self.id);
        self.app.hub().tidy(self.audience.topic());
        metrics_open(self.audience, -1.0);
    }
}

fn metrics_open(audience: Audience, change: f64) {
    crate::metrics::streams(audience.name(), change);
}
