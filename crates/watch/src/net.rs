//! What the agent asks the runtime to do, and what the runtime tells the agent. No I/O here.
//!
//! The order of [`Action`]s is a promise: the runtime does one after the other, and what follows a
//! [`Action::Persist`] only once that is durable.

use nodpay_core::{Amount, Digest, GuardianId, OrderId, PersonName, Salt, Text, Timestamp};
use serde::Deserialize;

use crate::view::UserAction;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The program runs. The first input; everything before it is ignored.
    Start,
    /// The wearer did something.
    User(UserAction),
    /// The camera saw codes with these texts, all of one picture. Ignored unless a scan screen is shown.
    CodesRead(Vec<String>),
    /// Whether the watch is on a wrist: the platform's signal, at the start and at each change.
    Worn(bool),
    /// The watch's sensor knew the wearer, or did not. Answers one [`Action::Recognise`]; a further try is asked for anew.
    Recognised(bool),
    /// The answer to a request: any status, and the body up to [`MAX_BODY_LEN`].
    Response {
        /// [`Request::id`].
        request: u64,
        /// HTTP status.
        status: u16,
        /// As it came.
        body: Vec<u8>,
    },
    /// No answer: no network, a time-out, a broken connection, or a longer body.
    NetworkFailed {
        /// [`Request::id`].
        request: u64,
    },
    /// The event stream with this number answered 200.
    StreamOpened {
        /// [`StreamRequest::id`].
        stream: u64,
    },
    /// It answered something else.
    StreamRefused {
        /// [`StreamRequest::id`].
        stream: u64,
        /// HTTP status.
        status: u16,
        /// As it came.
        body: Vec<u8>,
    },
    /// An event; one with nothing but an id too, since that tells where the stream stands.
    StreamEvent {
        /// [`StreamRequest::id`].
        stream: u64,
        /// Field `id`.
        id: Option<String>,
        /// Field `event`; may be empty.
        kind: String,
        /// Field `data`, its lines joined; may be empty.
        data: String,
    },
    /// It ended, fell silent or could not be reached.
    StreamClosed {
        /// [`StreamRequest::id`].
        stream: u64,
    },
    /// Time has passed: at the latest when [`crate::Agent::poll_timeout`] says so.
    Tick,
}

/// Longest answer or event taken, in bytes.
pub const MAX_BODY_LEN: usize = 1024 * 1024;

/// What the runtime is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replaces the journal. It must be durable before any later action. If that fails the runtime drops the agent
    /// without doing what follows and starts again from the journal it has.
    Persist(Vec<u8>),
    /// Sends a request; the next action need not wait for the answer.
    Request(Request),
    /// Replaces a stream that is open.
    OpenStream(StreamRequest),
    /// Closes the stream; nothing more is expected of it.
    CloseStream,
    /// Turns the camera on or off; pictures go to a reader, texts come back as [`Input::CodesRead`].
    Camera(bool),
    /// Starts or stops the watch's sensor for its wearer; only where [`crate::AgentConfig`] says that there is one.
    Recognise(bool),
}

/// An HTTP request. Answered by one [`Input::Response`] or [`Input::NetworkFailed`] with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Never used twice in a run.
    pub id: u64,
    /// Base address, without a trailing slash.
    pub service: String,
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// All that are to be sent, besides `Host` and `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for a GET.
    pub body: Vec<u8>,
    /// For the whole request, connecting included.
    pub timeout_ms: u64,
}

/// Of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With a body.
    Post,
}

impl Method {
    /// In capitals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A stream of server-sent events (HTML Living Standard, section 9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Names the stream in the inputs about it.
    pub id: u64,
    /// Base address, without a trailing slash.
    pub service: String,
    /// Path and query.
    pub path: String,
    /// `Last-Event-ID` among them.
    pub headers: Vec<(&'static str, String)>,
    /// The service sends something at least every 25 s; after this long without a byte the stream counts as closed.
    pub silence_ms: u64,
}

/// What came back, sorted by what it says about the way to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Reply(Reply),
    /// The proof's time was wrong; the service's own time.
    ProofAge(Timestamp),
    /// The service's fault, or too much for it: not before this long.
    Busy {
        retry_ms: u64,
    },
    /// Nothing, or nothing of the service's: a captive portal, a proxy whose service is away.
    Nobody,
}

/// What the service says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A JSON object.
    Done(Vec<u8>),
    /// Asking again gives the same answer; the problem's code.
    Refused(String),
}

/// RFC 9457, as far as the watch needs it.
#[derive(Deserialize)]
struct Problem {
    code: String,
    now: Option<Timestamp>,
    retry_ms: Option<u64>,
}

impl Answer {
    pub(crate) fn read(status: u16, body: Vec<u8>) -> Self {
        /// Every answer of the service's is a JSON object; a portal's page is not.
        #[derive(Deserialize)]
        struct Object {}
        if let 200..=299 = status {
            return match serde_json::from_slice::<Object>(&body) {
                Ok(Object {}) => Self::Reply(Reply::Done(body)),
                Err(_) => Self::Nobody,
            };
        }
        let Ok(Problem { code, now, retry_ms }) = serde_json::from_slice(&body) else { return Self::Nobody };
        match (status, now) {
            (401, Some(now)) if code == "proof-age" => Self::ProofAge(now),
            // Time-out, too early, too many requests.
            (408 | 425 | 429 | 500..=599, _) => Self::Busy { retry_ms: retry_ms.unwrap_or(0) },
            (400..=499, _) => Self::Reply(Reply::Refused(code)),
            (_, _) => Self::Nobody,
        }
    }
}

/// `GET /api/service`
#[derive(Deserialize)]
pub(crate) struct ServiceAnswer {
    pub(crate) now: Timestamp,
    pub(crate) outcome_certificate: String,
    /// Of keys that were changed since.
    #[serde(default)]
    pub(crate) earlier_outcome_certificates: Vec<String>,
}

/// `GET /api/watch/{watch}/state`
#[derive(Deserialize)]
pub(crate) struct StateAnswer {
    pub(crate) now: Timestamp,
    #[serde(default)]
    pub(crate) balance: Option<Amount>,
    #[serde(default)]
    pub(crate) wearer: Option<PersonName>,
    #[serde(default)]
    pub(crate) guardians: Vec<NamedGuardian>,
    #[serde(default)]
    pub(crate) log: Vec<String>,
    #[serde(default)]
    pub(crate) order: Option<StateOrder>,
    #[serde(default)]
    pub(crate) frozen: Option<FrozenBy>,
}

/// Who stopped the household's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FrozenBy {
    Guardian,
    Operator,
}

#[derive(Deserialize)]
pub(crate) struct NamedGuardian {
    pub(crate) guardian: GuardianId,
    pub(crate) name: Text<40>,
    pub(crate) salt: Salt,
}

#[derive(Deserialize)]
pub(crate) struct StateOrder {
    #[serde(alias = "id")]
    pub(crate) order_id: OrderId,
    #[serde(default)]
    pub(crate) decision: Option<String>,
    /// Another guardian's approval that the decision names.
    #[serde(default)]
    pub(crate) first: Option<String>,
    /// In its place: the log entry of a standing rule.
    #[serde(default)]
    pub(crate) mandate: Option<Digest>,
    #[serde(default)]
    pub(crate) requote: Option<String>,
    #[serde(default)]
    pub(crate) outcome: Option<String>,
    /// What it waits for from its rail.
    #[serde(default)]
    pub(crate) asking: Option<String>,
    /// Guardians who approved it, while another must too.
    #[serde(default)]
    pub(crate) nods: u32,
}

/// `GET /api/watch/{watch}/bills/{bill}`
#[derive(Deserialize)]
pub(crate) struct BillAnswer {
    pub(crate) certificate: String,
    pub(crate) bill: String,
}

/// `POST /api/watch/{watch}/payee`
#[derive(Deserialize)]
pub(crate) struct PayeeAnswer {
    pub(crate) certificate: String,
}

/// `POST /api/watch/{watch}/orders`
#[derive(Deserialize)]
pub(crate) struct OrderAnswer {
    pub(crate) expires_in_ms: u64,
}

/// Event `log`
#[derive(Deserialize)]
pub(crate) struct LogEvent {
    pub(crate) entry: String,
    #[serde(default)]
    pub(crate) frozen: Option<FrozenBy>,
}

/// Event `decision`
#[derive(Deserialize)]
pub(crate) struct DecisionEvent {
    pub(crate) order: OrderId,
    #[serde(default)]
    pub(crate) decision: Option<String>,
    /// Another guardian's approval that the decision names.
    #[serde(default)]
    pub(crate) first: Option<String>,
    /// In its place: the log entry of a standing rule.
    #[serde(default)]
    pub(crate) mandate: Option<Digest>,
    #[serde(default)]
    pub(crate) requote: Option<String>,
}

/// Event `order`
#[derive(Deserialize)]
pub(crate) struct OrderEvent {
    pub(crate) order: OrderId,
    #[serde(default)]
    pub(crate) asking: Option<String>,
    #[serde(default)]
    pub(crate) nods: u32,
}

/// Its answer got lost.
pub(crate) const ASKING_UNKNOWN: &str = "unknown";

/// Event `outcome`
#[derive(Deserialize)]
pub(crate) struct OutcomeEvent {
    pub(crate) order: OrderId,
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) decision: Option<String>,
    /// The revision that a refusal names, if it is not the first.
    #[serde(default)]
    pub(crate) requote: Option<String>,
    #[serde(default)]
    pub(crate) balance: Option<Amount>,
}

/// Event `balance`
#[derive(Deserialize)]
pub(crate) struct BalanceEvent {
    /// Missing where no wallet pays.
    #[serde(default)]
    pub(crate) balance: Option<Amount>,
}
