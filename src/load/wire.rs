//! HTTP/1.1 (RFC 9112) over kept connections and server-sent events: no more of both than the service's answers need, so
//! that the load costs little beside what it loads.

use std::io::{Error, ErrorKind, Result as IoResult};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::parties::Result;

/// Bytes read at once.
const READ: usize = 8 * 1024;
/// The service's answers have fewer headers.
const MAX_HEADERS: usize = 32;
/// Longest answer or event taken, in bytes.
const MAX_LEN: usize = 16 * 1024 * 1024;
/// After something broke, the next try waits this long.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Where the service is and how much patience one has with it.
#[derive(Clone, Debug)]
pub struct Reach {
    pub address: SocketAddr,
    /// The service's configured origin: pages come from there, passkeys sign for it.
    pub origin: String,
    /// An answer or an awaited event that takes longer counts as a broken connection.
    pub answer_within: Duration,
    /// Broken connections and answers of 500 and above are tried again for this long; zero: never.
    pub give_up_after: Duration,
}

impl Reach {
    /// A request's first lines, to which headers and the body are added.
    fn head(&self, method: &str, path: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address)
    }

    /// A whole request without a body. `credential` is a header line's name and value.
    #[must_use]
    pub fn get(&self, path: &str, credential: (&str, &str)) -> Vec<u8> {
        let (name, value) = credential;
        format!("{}{name}: {value}\r\n\r\n", self.head("GET", path)).into_bytes()
    }

    /// Opens an event stream after the event numbered `last`, or from now on.
    #[must_use]
    pub fn follow(&self, path: &str, credential: (&str, &str), last: Option<u64>) -> Vec<u8> {
        let (name, value) = credential;
        let resume = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        format!("{}{name}: {value}\r\n{resume}\r\n", self.head("GET", path)).into_bytes()
    }

    /// A whole request that carries a signed message. A watch needs no credential beside it.
    #[must_use]
    pub fn post(&self, path: &str, cookie: Option<&str>, message: &str) -> Vec<u8> {
        self.post_as("application/jose", path, cookie, message)
    }

    /// A guardian's request with a body of JSON.
    #[must_use]
    pub fn post_json(&self, path: &str, cookie: &str, body: &str) -> Vec<u8> {
        self.post_as("application/json", path, Some(cookie), body)
    }

    fn post_as(&self, kind: &str, path: &str, cookie: Option<&str>, message: &str) -> Vec<u8> {
        let cookie =
            cookie.map(|cookie| format!("cookie: {cookie}\r\norigin: {}\r\n", self.origin)).unwrap_or_default();
        let (head, len) = (self.head("POST", path), message.len());
        format!("{head}{cookie}content-type: {kind}\r\ncontent-length: {len}\r\n\r\n{message}").into_bytes()
    }

    /// Bears what broke since `started` and waits a little, or gives up with it.
    async fn bear(&self, broke: Error, started: Instant) -> Result<()> {
        if started.elapsed() >= self.give_up_after {
            return Err(broke.into());
        }
        tokio::time::sleep(RETRY_AFTER).await;
        Ok(())
    }

    /// One try, which must not take too long.
    async fn within<T>(&self, attempt: impl Future<Output = IoResult<T>> + Send) -> IoResult<T> {
        tokio::time::timeout(self.answer_within, attempt).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }
}

/// What the service said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a good answer; else what the service said instead.
    pub fn ok(self) -> Result<Vec<u8>> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        Err(format!("{}: {}", self.status, String::from_utf8_lossy(&self.body)).into())
    }
}

/// How an answer's body ends.
enum Body {
    Len(usize),
    Chunked,
}

/// One connection, one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Read and not yet used.
    unread: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> IoResult<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sends a whole request and reads its whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> IoResult<Answer> {
        self.stream.write_all(request).await?;
        let (status, body) = self.read_head().await?;
        let Body::Len(len) = body else { return Err(bad("a stream where an answer was expected")) };
        while self.unread.len() < len {
            self.read_more().await?;
        }
        let rest = self.unread.split_off(len);
        Ok(Answer { status, body: std::mem::replace(&mut self.unread, rest) })
    }

    /// Opens an event stream.
    pub async fn follow(mut self, request: &[u8]) -> IoResult<Events> {
        self.stream.write_all(request).await?;
        let (status, body) = self.read_head().await?;
        match body {
            Body::Chunked if status == 200 => Ok(Events { connection: self, text: Vec::new(), last: None }),
            Body::Chunked | Body::Len(_) => Err(bad(&format!("the event stream was answered {status}"))),
        }
    }

    async fn read_head(&mut self) -> IoResult<(u16, Body)> {
        loop {
            if !self.unread.is_empty()
                && let Some((status, body, len)) = parse_head(&self.unread)?
            {
                self.unread.drain(..len);
                return Ok((status, body));
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> IoResult<()> {
        if self.unread.len() > MAX_LEN {
            return Err(bad("the answer is too long"));
        }
        self.unread.reserve(READ);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Status, kind of body and length of the head, once all of it is there.
fn parse_head(bytes: &[u8]) -> IoResult<Option<(u16, Body, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = response.parse(bytes).map_err(Error::other)? else { return Ok(None) };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let body = match value("transfer-encoding") {
        Some(_) => Body::Chunked,
        None => Body::Len(value("content-length").and_then(|len| len.parse().ok()).unwrap_or(0)),
    };
    Ok(Some((response.code.unwrap_or(0), body, len)))
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: String,
    /// JSON.
    pub data: String,
}

/// A stream of server-sent events (WHATWG HTML, section 9.2).
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    /// What came out of the chunks and is no whole event yet.
    text: Vec<u8>,
    /// Number of the last event.
    last: Option<u64>,
}

impl Events {
    /// Number of the last event that was read, or where the stream began.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// The next event; comments and empty ones are skipped. An error when the stream ends.
    pub async fn next(&mut self) -> IoResult<Event> {
        loop {
            while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.take(end);
                if !event.data.is_empty() {
                    return Ok(event);
                }
            }
            while !self.decode_chunk()? {
                self.connection.read_more().await?;
            }
        }
    }

    /// Waits for the number the service begins with: from then on nothing is missed.
    pub async fn begin(&mut self) -> IoResult<()> {
        while self.last.is_none() {
            match self.text.windows(2).position(|pair| pair == b"\n\n") {
                Some(end) => drop(self.take(end)),
                None => {
                    while !self.decode_chunk()? {
                        self.connection.read_more().await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, end: usize) -> Event {
        let mut event = Event { kind: String::new(), data: String::new() };
        let block = String::from_utf8_lossy(self.text.get(..end).unwrap_or_default());
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => self.last = id.parse().ok(),
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("data", data)) => data.clone_into(&mut event.data),
                None | Some(_) => {}
            }
        }
        self.text.drain(..end + 2);
        event
    }

    /// Moves one whole chunk (RFC 9112, section 7.1) to the text; false when there is none yet.
    fn decode_chunk(&mut self) -> IoResult<bool> {
        let unread = &mut self.connection.unread;
        let Some(line) = unread.windows(2).position(|pair| pair == b"\r\n") else { return Ok(false) };
        let size = unread.get(..line).and_then(|size| std::str::from_utf8(size).ok());
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or_else(|| bad("not a chunk"))?;
        if size == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let start = line + 2;
        let Some(chunk) = unread.get(start..start + size).filter(|_| unread.len() >= start + size + 2) else {
            return Ok(false);
        };
        self.text.extend_from_slice(chunk);
        unread.drain(..start + size + 2);
        Ok(true)
    }
}

/// One party's way to the service: a connection that is kept, and made again when it broke.
#[derive(Debug)]
pub struct Line {
    reach: Reach,
    connection: Option<Connection>,
}

impl Line {
    #[must_use]
    pub const fn new(reach: Reach) -> Self {
        Self { reach, connection: None }
    }

    /// Sends the request until it is answered below 500, as long as there is patience.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer> {
        let started = Instant::now();
        loop {
            // A try that is given up in the middle leaves no connection behind.
            let connection = self.connection.take();
            let error = match self.reach.within(exchange(self.reach.address, connection, request)).await {
                Ok((connection, answer)) => {
                    self.connection = Some(connection);
                    if answer.status < 500 || self.reach.give_up_after.is_zero() {
                        return Ok(answer);
                    }
                    bad(&format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
                }
                Err(error) => error,
            };
            self.reach.bear(error, started).await?;
        }
    }
}

async fn exchange(
    address: SocketAddr,
    connection: Option<Connection>,
    request: &[u8],
) -> IoResult<(Connection, Answer)> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let answer = connection.exchange(request).await?;
    Ok((connection, answer))
}

/// Makes the request that opens a stream after an event.
type Opening = Box<dyn Fn(&Reach, Option<u64>) -> Result<Vec<u8>> + Send + Sync>;

/// One party's event stream, which goes on where it broke off.
pub struct Ear {
    reach: Reach,
    opening: Opening,
    events: Option<Events>,
    /// Number of the last event that was heard.
    last: Option<u64>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ear({}, after {:?})", self.reach.address, self.last)
    }
}

impl Ear {
    /// Listens from now on. `opening` makes the request that follows the stream, after an event if one is given.
    pub async fn open(
        reach: Reach,
        opening: impl Fn(&Reach, Option<u64>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut ear = Self { reach, opening: Box::new(opening), events: None, last: None };
        ear.connect().await?;
        Ok(ear)
    }

    /// Drops the connection, as when a network goes away; the next wait resumes.
    pub fn cut(&mut self) {
        self.events = None;
    }

    /// Connects where there is no connection, after the last event that was heard. Gives how many tries it took.
    pub async fn connect(&mut self) -> Result<u32> {
        let (started, mut tries) = (Instant::now(), 0);
        while self.events.is_none() {
            tries += 1;
            let request = (self.opening)(&self.reach, self.last)?;
            match self.reach.within(follow(self.reach.address, &request)).await {
                Ok(events) => {
                    self.last = events.last();
                    self.events = Some(events);
                }
                Err(error) => self.reach.bear(error, started).await?,
            }
        }
        Ok(tries)
    }

    /// Data of the next event of this kind whose data holds `about`; others are passed over.
    pub async fn wait_for(&mut self, kind: &str, about: &str) -> Result<String> {
        let started = Instant::now();
        loop {
            self.connect().await?;
            let Self { reach, events, last, .. } = self;
            let Some(open) = events else { continue };
            match reach.within(hear(open, last, kind, about)).await {
                Ok(data) => return Ok(data),
                Err(error) => {
                    self.cut();
                    self.reach.bear(error, started).await?;
                }
            }
        }
    }
}

async fn follow(address: SocketAddr, request: &[u8]) -> IoResult<Events> {
    let mut events = Connection::open(address).await?.follow(request).await?;
    events.begin().await?;
    Ok(events)
}

async fn hear(events: &mut Events, last: &mut Option<u64>, kind: &str, about: &str) -> IoResult<String> {
    loop {
        let event = events.next().await?;
        *last = events.last();
        if event.kind == kind && event.data.contains(about) {
            return Ok(event.data);
        }
    }
}
