//! The watch agent: inputs with their moment go in, actions come out in the order they must be done, and a view says what
//! to show. See `nodpay-watch`, whose rules hold here word for word.

use std::sync::{Arc, mpsc};

use nodpay_core::Timestamp;
use nodpay_watch::view::{UserAction, View};
use nodpay_watch::{Action, Agent, AgentConfig, Input, Method, Moment, PinCost};

use crate::Failure;
use crate::keys::{DeviceKey, HostKeys};

/// See `nodpay_watch::AgentConfig`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct WatchConfig {
    /// How long the guardian may take: 600,000 is ten minutes.
    #[uniffi(default = 600000)]
    pub order_life_ms: i64,
    /// Also take decisions of the demo's software keys; never on a real watch.
    #[uniffi(default = false)]
    pub demo_keys: bool,
    /// There is a sensor that knows the wearer.
    #[uniffi(default = false)]
    pub sensor: bool,
}

/// When something happens, and fresh randomness for it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct WatchMoment {
    /// On a clock that never goes back while the program runs.
    pub monotonic_ms: u64,
    /// The calendar clock, unix milliseconds. It may be wrong.
    pub wall_ms: i64,
    /// 32 bytes from a cryptographic random number generator, new for every moment.
    pub random: Vec<u8>,
}

#[uniffi::remote(Enum)]
pub enum Input {
    Start,
    User(UserAction),
    CodesRead(Vec<String>),
    Worn(bool),
    Recognised(bool),
    Response { request: u64, status: u16, body: Vec<u8> },
    NetworkFailed { request: u64 },
    StreamOpened { stream: u64 },
    StreamRefused { stream: u64, status: u16, body: Vec<u8> },
    StreamEvent { stream: u64, id: Option<String>, kind: String, data: String },
    StreamClosed { stream: u64 },
    Tick,
}

/// What the host is to do, in this order: what follows a `Persist` only once that is durable.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum WatchAction {
    /// Replaces the journal.
    Persist {
        journal: Vec<u8>,
    },
    /// Sends a request; answered by one `Response` or `NetworkFailed` with its id.
    Request {
        request: HttpRequest,
    },
    /// Opens a stream of server-sent events in place of an open one.
    OpenStream {
        stream: EventStream,
    },
    CloseStream,
    /// Turns the camera on or off.
    Camera {
        on: bool,
    },
    /// Starts or stops the sensor for the wearer.
    Recognise {
        on: bool,
    },
}

/// An HTTP request: all headers besides `Host` and `Content-Length`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct HttpRequest {
    pub id: u64,
    /// GET or POST.
    pub method: String,
    pub url: String,
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// A stream of server-sent events (HTML Living Standard, section 9.2); closed after `silence_ms` without a byte.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct EventStream {
    pub id: u64,
    pub url: String,
    pub headers: Vec<Header>,
    pub silence_ms: u64,
}

fn headers(headers: Vec<(&'static str, String)>) -> Vec<Header> {
    headers.into_iter().map(|(name, value)| Header { name: name.to_owned(), value }).collect()
}

impl From<Action> for WatchAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Persist(journal) => Self::Persist { journal },
            Action::Request(request) => Self::Request {
                request: HttpRequest {
                    id: request.id,
                    method: match request.method {
                        Method::Get | Method::Post => request.method.as_str().to_owned(),
                    },
                    url: request.service + &request.path,
                    headers: headers(request.headers),
                    body: request.body,
                    timeout_ms: request.timeout_ms,
                },
            },
            Action::OpenStream(stream) => Self::OpenStream {
                stream: EventStream {
                    id: stream.id,
                    url: stream.service + &stream.path,
                    headers: headers(stream.headers),
                    silence_ms: stream.silence_ms,
                },
            },
            Action::CloseStream => Self::CloseStream,
            Action::Camera(on) => Self::Camera { on },
            Action::Recognise(on) => Self::Recognise { on },
        }
    }
}

type Job = Box<dyn FnOnce(&mut Agent) + Send>;

/// The agent. It lives on a thread of its own, since a key store need not be one that other threads may use; calls wait for
/// their answer and are done one after the other.
#[derive(Debug, uniffi::Object)]
pub struct WatchAgent {
    jobs: mpsc::Sender<Job>,
}

#[uniffi::export]
impl WatchAgent {
    /// A watch as its journal left it; a new watch without one.
    #[uniffi::constructor]
    pub fn new(config: WatchConfig, journal: Option<Vec<u8>>, key: Arc<dyn DeviceKey>) -> Result<Arc<Self>, Failure> {
        let keys = HostKeys::new(key)?;
        let config = AgentConfig {
            order_life_ms: config.order_life_ms,
            demo_keys: config.demo_keys,
            pin_cost: PinCost::DEVICE,
            sensor: config.sensor,
        };
        let (jobs, work) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            match Agent::new(config, journal.as_deref(), Box::new(keys)) {
                Ok(mut agent) => {
                    // Nobody waits any more: there will be no jobs either.
                    let _ = ready.send(Ok(()));
                    work.into_iter().for_each(|job| job(&mut agent));
                }
                Err(error) => {
                    let _ = ready.send(Err(Failure::Journal { why: error.to_string() }));
                }
            }
        });
        started.recv().map_err(|error| Failure::Journal { why: error.to_string() })??;
        Ok(Arc::new(Self { jobs }))
    }

    /// Handles one input, `Start` first of all, and gives what is to be done.
    pub fn handle(&self, input: Input, now: WatchMoment) -> Result<Vec<WatchAction>, Failure> {
        let random = now.random.try_into().map_err(|_| Failure::malformed("the randomness", "it is not 32 bytes"))?;
        let moment = Moment { monotonic_ms: now.monotonic_ms, wall: Timestamp::from_unix_ms(now.wall_ms), random };
        self.ask(move |agent| {
            agent.handle(input, &moment);
            std::iter::from_fn(|| agent.poll_action()).map(WatchAction::from).collect()
        })
    }

    /// When, on the monotonic clock, the agent wants a `Tick` at the latest.
    pub fn next_tick_ms(&self) -> Result<Option<u64>, Failure> {
        self.ask(|agent| agent.poll_timeout())
    }

    /// What to show at `monotonic_ms`.
    pub fn view(&self, monotonic_ms: u64) -> Result<View, Failure> {
        self.ask(move |agent| agent.view(monotonic_ms))
    }
}

impl WatchAgent {
    fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut Agent) -> T + Send + 'static) -> Result<T, Failure> {
        let (answer, wait) = mpsc::sync_channel(1);
        let gone = || Failure::Journal { why: "the agent has stopped; start again from the journal".to_owned() };
        let job: Job = Box::new(move |agent| {
            // The caller waits below.
            let _ = answer.send(job(agent));
        });
        self.jobs.send(job).map_err(|_| gone())?;
        wait.recv().map_err(|_| gone())
    }
}

/// The texts of all QR codes in a picture: one byte a pixel, row by row, `width * height` in all.
#[uniffi::export]
pub fn read_codes(width: u32, height: u32, luma: Vec<u8>) -> Result<Vec<String>, Failure> {
    let side = |length: u32| usize::try_from(length).map_err(|why| Failure::malformed("the picture", why));
    let frame = nodpay_watch::reader::Frame::new(side(width)?, side(height)?, luma);
    let frame = frame.map_err(|why| Failure::malformed("the picture", why))?;
    Ok(nodpay_watch::reader::read_codes(&frame))
}
