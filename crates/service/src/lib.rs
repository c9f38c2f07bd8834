//! The Nodpay service: the merchant's, the watch's and the guardian's side over HTTP, on one store.
//!
//! Owns: routes, sessions, event streams, deadlines, the operator's commands, the service's keys. Every signed message is
//! verified here, with `nodpay_protocol`, before the store sees it; what the store then does is one whole transaction.
//! Never does: SQL, the rules of money and orders (those are `nodpay-store`'s and `nodpay-core`'s).
//!
//! Invariants:
//! - rp id and origins come from [`Config`]; nothing a message says about itself is believed;
//! - the demo's software keys are taken only where [`Config::demo`] says so;
//! - no answer to a fault of ours says what the fault was; no log holds names, items or secrets.

pub mod admin;
mod api;
mod archive;
mod clock;
mod config;
mod device;
mod events;
mod evidence;
mod export;
mod extract;
mod households;
mod jobs;
mod keys;
mod limits;
mod metrics;
mod problem;
mod push;
pub mod rails;
pub mod reference;
mod secrets;
mod seeing;
mod sessions;
pub mod statement;
mod tls;
mod verified;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, COOKIE, SET_COOKIE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use nodpay_core::{HouseholdId, OrderId, Timestamp, WatchId};
use nodpay_protocol::{LogBook, RelyingParty};
use nodpay_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use api::{ROUTES, Role, Route};
pub use clock::{Clock, ManualClock};
pub use config::{Config, ConfigError, Keep, PushConfig, TlsFiles};
pub use evidence::{EvidenceCount, check_evidence};
pub use extract::MAX_BODY_LEN;
pub use keys::{
    KeyError, KeyFiles, MERCHANT_CERTIFICATE_LIFE_MS, NewOutcomeKey, OUTCOME_CERTIFICATE_LIFE_MS, ServiceKeys,
    certify_outcome_key, init_keys, load_root_key, make_push_key, random_key, renew_outcome_key,
};
pub use problem::{ApiError, ProofError};
pub use secrets::RandomError;
pub use sessions::{
    GRACE_MS, GUARDIAN_COOKIE, ROTATE_AFTER_MS, SESSION_IDLE_MS, SESSION_LIFE_MS, TILL_COOKIE, TILL_LIFE_MS,
    cookie_name,
};
pub use web::PAGE_ROUTES;

use crate::problem::ApiError as Error;
use crate::rails::{RailError, Rails};
use nodpay_store::recent::Recent;

/// A request is answered within this time; event streams begin within it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A client sends its request's head within this time, and an idle connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// A service that was told to end answers this long before it stops listening: balancers see `/readyz` fail and send new
/// connections elsewhere, and each answer closes its connection.
const NOTICE_TIME: Duration = Duration::from_secs(3);
/// Requests that run when the service stops listening have this long to end.
const STOP_TIME: Duration = Duration::from_secs(10);
/// What browsers ask for and must not keep. Watches pay for every byte and keep nothing by themselves.
const PRIVATE: [&str; 3] = ["/api/guardian", "/api/merchant", "/app/month"];
/// The longest a bill may ask to be valid.
const MAX_BILL_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// Decisions whose payment is timed.
const MAX_TAPS: usize = 8_192;

/// Why the service does not start or stopped. `Display` is one plain sentence.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be served.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A rail cannot be used.
    #[error(transparent)]
    Rail(#[from] RailError),
    /// There is no TLS to push services.
    #[error("TLS: {0}")]
    Push(#[from] rustls::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificate or key for TLS cannot be used.
    #[error("{path}: {why}")]
    Tls {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The network failed.
    #[error("{address}: {error}")]
    Network {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
}

/// The running service, shared by all requests; clones are handles.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    config: Config,
    relying_party: RelyingParty,
    store: Store,
    keys: ServiceKeys,
    clock: Clock,
    hub: events::Hub,
    books: Recent<HouseholdId, Arc<LogBook>>,
    watches: Recent<WatchId, HouseholdId>,
    remembered: verified::Remembered,
    limits: limits::RateLimits,
    proofs: limits::UsedProofs,
    deadlines: jobs::Deadlines,
    /// When decisions were taken in, until they are paid.
    taps: Recent<(HouseholdId, OrderId), Instant>,
    rails: Rails,
    push: push::Push,
    phase: watch::Sender<Phase>,
}

/// How far the service is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Everything is still answered, and everybody sent away.
    Leaving,
    Stopped,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App({:?})", self.0.config.origins)
    }
}

impl App {
    /// A service on an open store. `store` must sign outcomes with `keys` (see [`ServiceKeys::outcome_signer`]).
    #[must_use]
    pub fn new(config: Config, store: Store, keys: ServiceKeys, clock: Clock) -> Self {
        Self::with_rails(config, store, keys, clock, Rails::default())
    }

    /// [`App::new`] with rails outside of our own ledger.
    #[must_use]
    pub fn with_rails(config: Config, store: Store, keys: ServiceKeys, clock: Clock, rails: Rails) -> Self {
        metrics::install();
        let now = clock.now();
        Self(Arc::new(Inner {
            relying_party: config.relying_party(),
            config,
            store,
            keys,
            clock,
            hub: events::Hub::default(),
            books: Recent::new(households::MAX_BOOKS),
            watches: Recent::new(households::MAX_WATCHES),
            remembered: verified::Remembered::new(),
            limits: limits::RateLimits::new(),
            proofs: limits::UsedProofs::new(now),
            deadlines: jobs::Deadlines::new(),
            taps: Recent::new(MAX_TAPS),
            rails,
            push: push::Push::new(),
            phase: watch::Sender::new(Phase::Serving),
        }))
    }

    /// Checks the configuration, reads the keys and opens the database it names.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(config: Config) -> Result<Self, ServeError> {
        config.check()?;
        let clock = Clock::System;
        let keys = ServiceKeys::load(&config.outcome_key, config.root_key.as_deref(), clock.now())?;
        let store = Store::open(&config.database, keys.outcome_signer())?;
        let rails = Rails::open(&config.rails)?;
        Ok(Self::with_rails(config, store, keys, clock, rails))
    }

    /// What the operator decided.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The service's keys.
    #[must_use]
    pub fn keys(&self) -> &ServiceKeys {
        &self.0.keys
    }

    /// The service's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Asks the service to stop: event streams end, running requests are answered, [`serve`] returns.
    pub fn stop(&self) {
        self.0.phase.send_replace(Phase::Stopped);
    }

    /// [`App::stop`] after a notice of 3 seconds: `/readyz` says 503, event streams end with a hint when to come back, and
    /// requests are answered on connections that then close, so that a balancer moves everybody to another replica.
    pub async fn leave(&self) {
        self.0.phase.send_modify(|phase| *phase = Phase::Leaving.max(*phase));
        tracing::info!("leaving");
        tokio::select! {
            () = tokio::time::sleep(NOTICE_TIME) => {}
            () = self.stopped() => {}
        }
        self.stop();
    }

    /// Stops the service when the process is told to end: with a notice on SIGTERM, at once on SIGINT.
    pub fn stop_on_signals(&self) {
        let app = self.clone();
        tokio::spawn(async move {
            let terminated = async {
                match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                    Ok(mut signal) => {
                        signal.recv().await;
                    }
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => app.stop(),
                () = terminated => app.leave().await,
                () = app.stopped() => {}
            }
        });
    }

    /// Returns when the service is asked to stop.
    pub async fn stopped(&self) {
        self.reached(Phase::Stopped).await;
    }

    /// Returns when the service is asked to stop or to leave.
    pub(crate) async fn leaving(&self) {
        self.reached(Phase::Leaving).await;
    }

    async fn reached(&self, wanted: Phase) {
        let mut phase = self.0.phase.subscribe();
        // The sender lives in `self`.
        let _ = phase.wait_for(|phase| *phase >= wanted).await;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        *self.0.phase.borrow() >= Phase::Leaving
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn relying_party(&self) -> &RelyingParty {
        &self.0.relying_party
    }

    pub(crate) fn hub(&self) -> &events::Hub {
        &self.0.hub
    }

    pub(crate) fn books(&self) -> &Recent<HouseholdId, Arc<LogBook>> {
        &self.0.books
    }

    /// What is remembered may have been deleted.
    pub(crate) fn forget(&self) {
        self.0.books.clear();
        self.0.watches.clear();
        self.0.remembered.clear();
    }

    pub(crate) fn watches(&self) -> &Recent<WatchId, HouseholdId> {
        &self.0.watches
    }

    pub(crate) fn remembered(&self) -> &verified::Remembered {
        &self.0.remembered
    }

    pub(crate) fn limits(&self) -> &limits::RateLimits {
        &self.0.limits
    }

    pub(crate) fn proofs(&self) -> &limits::UsedProofs {
        &self.0.proofs
    }

    pub(crate) fn deadlines(&self) -> &jobs::Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn rails(&self) -> &Rails {
        &self.0.rails
    }

    pub(crate) fn push(&self) -> &push::Push {
        &self.0.push
    }

    pub(crate) fn taps(&self) -> &Recent<(HouseholdId, OrderId), Instant> {
        &self.0.taps
    }
}

/// All routes: the API and the pages.
pub fn router(app: App) -> Router {
    finish(app, Router::new())
}

/// All routes and `more` of them (the demo's), which share limits, time-outs and metrics.
pub fn router_with(app: App, more: Router<App>) -> Router {
    finish(app, more)
}

fn finish(app: App, more: Router<App>) -> Router {
    api::router()
        .merge(web::router())
        .merge(more)
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::Method)
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .layer(DefaultBodyLimit::max(MAX_BODY_LEN))
        .with_state(app)
}

/// Counts and times each request and ends those that take too long.
async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = method_name(request.method());
    let version = request.version();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let new_cookie = request.headers().contains_key(COOKIE).then(sessions::NewCookie::default);
    if let Some(new_cookie) = &new_cookie {
        request.extensions_mut().insert(new_cookie.clone());
    }
    let only_reads = !extract::is_unsafe(request.method());
    let answer = async {
        let request = match read_whole(request).await {
            Ok(request) => request,
            Err(error) => return error.into_response(),
        };
        let response = next.run(request).await;
        match only_reads {
            true => app.store().settled().await.map_or_else(|error| Error::from(error).into_response(), |()| response),
            false => response,
        }
    };
    let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
        Ok(response) => response,
        Err(_) => Error::Timeout.into_response(),
    };
    // Logging out sets its own.
    if let Some(cookie) = new_cookie.and_then(|cookie| cookie.take()) {
        response.headers_mut().entry(SET_COOKIE).or_insert(cookie);
    }
    if PRIVATE.iter().any(|prefix| route.starts_with(prefix)) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if app.is_leaving() && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    tracing::debug!(method, route, status, elapsed_us = start.elapsed().as_micros(), "answered");
    metrics::request(method, route, status, start.elapsed());
    response
}

/// Bodies are read before anything is answered: a connection with an unread rest of a request cannot be used again, and
/// the client would find it closed.
async fn read_whole(request: Request) -> Result<Request, Error> {
    if !extract::is_unsafe(request.method()) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = extract::body(Request::from_parts(parts.clone(), body)).await?;
    Ok(Request::from_parts(parts, body.into()))
}

/// A bounded set of labels, whatever methods peers invent.
fn method_name(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "HEAD" => "HEAD",
        _ => "other",
    }
}

/// Serves the whole service on `listener` until [`App::stop`].
///
/// # Errors
/// When the listener's address may not be served as configured, or TLS or the network fail.
pub async fn serve(app: App, listener: TcpListener) -> Result<(), ServeError> {
    let routes = router(app.clone());
    serve_routes(app, routes, listener).await
}

/// [`serve`] with routes made by [`router_with`].
///
/// # Errors
/// As [`serve`].
pub async fn serve_routes(app: App, routes: Router, listener: TcpListener) -> Result<(), ServeError> {
    let configured = app.config().listen;
    let failed = |error| ServeError::Network { address: configured, error };
    let address = listener.local_addr().map_err(failed)?;
    Config { listen: address, ..app.config().clone() }.check()?;
    let tls = app.config().tls.as_ref().map(tls::load).transpose()?;
    let listener = listener.into_std().map_err(failed)?;

    app.store().keep_outcome_certificate(api::compose::message(app.keys().outcome_certificate()), app.now()).await?;
    push::start(&app).await?;
    let jobs = [
        tokio::spawn(jobs::end_what_is_due(app.clone())),
        tokio::spawn(events::pass_on(app.clone())),
        tokio::spawn(jobs::fold_metrics(app.clone())),
        tokio::spawn(jobs::keep_no_longer(app.clone())),
        tokio::spawn(rails::run(app.clone())),
        tokio::spawn(push::run(app.clone())),
    ];
    let handle = axum_server::Handle::new();
    let stopper = tokio::spawn({
        let (app, handle) = (app.clone(), handle.clone());
        async move {
            app.stopped().await;
            handle.graceful_shutdown(Some(STOP_TIME));
        }
    });
    tracing::info!(%address, tls = tls.is_some(), "serving");
    // Small answers must leave at once: no Nagle.
    let plain = axum_server::accept::NoDelayAcceptor::new();
    let server = axum_server::from_tcp(listener).map_err(failed)?.handle(handle).first_request_timeout(HEAD_TIMEOUT);
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let served = match tls {
        None => {
            let mut server = server.acceptor(plain);
            server.http_builder().http1().header_read_timeout(HEAD_TIMEOUT);
            server.serve(routes).await
        }
        Some(config) => {
            let tls = axum_server::tls_rustls::RustlsAcceptor::new(config).acceptor(plain);
            let mut server = server.acceptor(tls);
            server.http_builder().http1().header_read_timeout(HEAD_TIMEOUT);
            server.serve(routes).await
        }
    };
    app.stop();
    stopper.abort();
    for job in jobs {
        // A job that panicked is in the log already.
        let _ = job.await;
    }
    tracing::info!("stopped");
    served.map_err(failed)
}
