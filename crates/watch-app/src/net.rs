//! HTTP for the agent: one thread does the requests, one after the other on a kept connection; one reads the event
//! stream. What happens comes back as [`Input`]s, in any thread's own time.
//!
//! Both threads sleep in the operating system until something comes; nothing polls. At most one connection is being made
//! for requests and one for the stream; the agent keeps it to one altogether while nothing gets through.
//!
//! Never decides anything: no retries, no redirects, no cookies, no headers but those the agent asks for.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nodpay_watch::{Input, MAX_BODY_LEN, Method, Request, StreamRequest};
use ureq::config::AutoHeaderValue;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For each connection and direction; a bill of five lines fits.
const BUFFER_LEN: usize = 8 * 1024;
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of the answer to a stream's request.
const STREAM_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const EVENT_STREAM: &str = "text/event-stream";
/// Messages of more than this many lines are not events of ours.
const MAX_EVENT_LINES: usize = 64;

/// Takes what happened; false when nobody listens any more.
pub type Tell = Arc<dyn Fn(Input) -> bool + Send + Sync>;

/// Why there is no network at all.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Not a PEM file with a certificate.
    #[error("the certificate file {0} could not be read")]
    Certificate(std::path::PathBuf),
    /// The operating system gives none.
    #[error("no thread for the network: {0}")]
    Thread(#[from] std::io::Error),
}

/// See the module.
pub struct Net {
    http: ureq::Agent,
    requests: Sender<Request>,
    /// Number of the stream that is wanted; 0 for none. A thread whose stream is not wanted any more ends.
    wanted: Arc<AtomicU64>,
    tell: Tell,
}

impl Net {
    /// `root` is a PEM file with the one certificate authority to trust; without it those that browsers trust.
    pub fn start(root: Option<&Path>, tell: Tell) -> Result<Self, NetError> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(AutoHeaderValue::None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .input_buffer_size(BUFFER_LEN)
            .output_buffer_size(BUFFER_LEN)
            .max_response_header_size(BUFFER_LEN)
            .max_idle_connections(2)
            .timeout_resolve(Some(RESOLVE_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT));
        if let Some(path) = root {
            let refused = || NetError::Certificate(path.to_owned());
            let pem = std::fs::read(path).map_err(|_| refused())?;
            let certificate = Certificate::from_pem(&pem).map_err(|_| refused())?;
            let roots = RootCerts::Specific(Arc::new(vec![certificate]));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let http = ureq::Agent::new_with_config(config.build());
        let (requests, queue) = channel();
        let (agent, teller) = (http.clone(), Arc::clone(&tell));
        std::thread::Builder::new().name("requests".to_owned()).spawn(move || do_requests(&agent, &queue, &teller))?;
        Ok(Self { http, requests, wanted: Arc::default(), tell })
    }

    /// Queues a request. The agent has at most a handful under way.
    pub fn request(&self, request: Request) {
        if let Err(lost) = self.requests.send(request) {
            (self.tell)(Input::NetworkFailed { request: lost.0.id });
        }
    }

    /// Opens a stream in place of any other.
    pub fn open_stream(&self, request: StreamRequest) {
        let stream = request.id;
        self.wanted.store(stream, Ordering::SeqCst);
        let (http, tell, wanted) = (self.http.clone(), Arc::clone(&self.tell), Arc::clone(&self.wanted));
        let follow = move || {
            let is_wanted = || wanted.load(Ordering::SeqCst) == stream;
            follow_stream(&http, &request, &tell, &is_wanted);
            tell(Input::StreamClosed { stream });
        };
        if std::thread::Builder::new().name("events".to_owned()).spawn(follow).is_err() {
            (self.tell)(Input::StreamClosed { stream });
        }
    }

    /// The thread ends with the next line it reads, at the latest with the next heartbeat.
    pub fn close_stream(&self) {
        self.wanted.store(0, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").field("stream", &self.wanted).finish_non_exhaustive()
    }
}

fn do_requests(http: &ureq::Agent, queue: &Receiver<Request>, tell: &Tell) {
    for request in queue {
        let id = request.id;
        let input = match do_request(http, &request) {
            Ok((status, body)) => Input::Response { request: id, status, body },
            // What exactly failed is for the log; the agent only waits and tries again.
            Err(error) => {
                eprintln!("nodpay-watch: {} {}: {error}", request.method.as_str(), request.path);
                Input::NetworkFailed { request: id }
            }
        };
        if !tell(input) {
            return;
        }
    }
}

fn do_request(http: &ureq::Agent, request: &Request) -> Result<(u16, Vec<u8>), ureq::Error> {
    let url = format!("{}{}", request.service, request.path);
    let timeout = Some(Duration::from_millis(request.timeout_ms));
    let response = match request.method {
        Method::Get => {
            let mut call = http.get(url).config().timeout_global(timeout).build();
            for (name, value) in &request.headers {
                call = call.header(*name, value);
            }
            call.call()
        }
        Method::Post => {
            let mut call = http.post(url).config().timeout_global(timeout).build();
            for (name, value) in &request.headers {
                call = call.header(*name, value);
            }
            call.send(&request.body[..])
        }
    };
    let mut response = response?;
    let body = response.body_mut().with_config().limit(u64::try_from(MAX_BODY_LEN).unwrap_or(0)).read_to_vec()?;
    Ok((response.status().as_u16(), body))
}

fn follow_stream(http: &ureq::Agent, request: &StreamRequest, tell: &Tell, is_wanted: &dyn Fn() -> bool) {
    let stream = request.id;
    let silence = Some(Duration::from_millis(request.silence_ms));
    let url = format!("{}{}", request.service, request.path);
    let mut call =
        http.get(url).config().timeout_recv_response(Some(STREAM_ANSWER_TIMEOUT)).timeout_per_read(silence).build();
    for (name, value) in &request.headers {
        call = call.header(*name, value);
    }
    let mut response = match call.call() {
        Ok(response) => response,
        Err(error) => {
            eprintln!("nodpay-watch: GET {}: {error}", request.path);
            return;
        }
    };
    let status = response.status().as_u16();
    // A captive portal's page is no stream.
    if status != 200 || response.body().mime_type() != Some(EVENT_STREAM) {
        let limit = u64::try_from(MAX_BODY_LEN).unwrap_or(0);
        let body = response.body_mut().with_config().limit(limit).read_to_vec().unwrap_or_default();
        tell(Input::StreamRefused { stream, status, body });
        return;
    }
    if !tell(Input::StreamOpened { stream }) {
        return;
    }
    let mut lines = BufReader::with_capacity(BUFFER_LEN, response.into_body().into_reader());
    let mut event = SseEvent::default();
    while let Some(line) = read_line(&mut lines) {
        if !is_wanted() {
            return;
        }
        match event.take_line(&line) {
            Ok(None) => {}
            Ok(Some((id, kind, data))) => {
                if !tell(Input::StreamEvent { stream, id, kind, data }) {
                    return;
                }
            }
            Err(TooLong) => return,
        }
    }
}

/// A line without its end; `None` at the end of the stream, at an error, and where a line is too long.
fn read_line(lines: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_BODY_LEN).unwrap_or(0);
    lines.take(limit).read_until(b'\n', &mut line).ok()?;
    if line.pop() != Some(b'\n') {
        return None;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).ok()
}

/// An event being read (HTML Living Standard, section 9.2.6).
#[derive(Default)]
struct SseEvent {
    id: Option<String>,
    kind: String,
    data: String,
    lines: usize,
}

struct TooLong;

type Dispatched = (Option<String>, String, String);

impl SseEvent {
    /// The event that this line completes. One with an id only counts too: it tells where the stream stands.
    fn take_line(&mut self, line: &str) -> Result<Option<Dispatched>, TooLong> {
        if line.is_empty() {
            let event = std::mem::take(self);
            let counts = event.id.is_some() || !event.data.is_empty();
            return Ok(counts.then_some((event.id, event.kind, event.data)));
        }
        self.lines += 1;
        if self.lines > MAX_EVENT_LINES || self.data.len() + line.len() > MAX_BODY_LEN {
            return Err(TooLong);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments (no field name), `retry` and what comes later.
            _ => self.lines -= 1,
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};
    use std::net::TcpListener;

    use super::*;

    fn events(text: &str) -> Vec<Dispatched> {
        let mut lines = Cursor::new(text.as_bytes());
        let mut event = SseEvent::default();
        let mut events = Vec::new();
        while let Some(line) = read_line(&mut lines) {
            match event.take_line(&line) {
                Ok(found) => events.extend(found),
                Err(TooLong) => break,
            }
        }
        events
    }

    #[test]
    fn events_are_read_as_browsers_read_them() {
        let text = "retry: 1000\nid: 7\n\n: heartbeat\n\nevent: log\nid: 8\ndata: {\"entry\":\"x\"}\n\ndata: a\r\ndata:b\r\n\r\n:\n\nevent: lost\n\ndata: unfinished\n";
        let some = |text: &str| Some(text.to_owned());
        let expected = [
            (some("7"), String::new(), String::new()),
            (some("8"), "log".to_owned(), "{\"entry\":\"x\"}".to_owned()),
            (None, String::new(), "a\nb".to_owned()),
        ];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn endless_events_end_the_stream() {
        let text = "data: x\n".repeat(MAX_EVENT_LINES + 1) + "\n";
        assert_eq!(events(&text), []);
        assert_eq!(events(&(": comment\n".repeat(1_000) + "data: x\n\n")).len(), 1);
    }

    /// Answers each connection with the next of `answers` and gives back what was asked.
    fn server(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let serve = move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().expect("a connection");
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let length = socket.read(&mut buffer).expect("reads");
                    request.extend_from_slice(&buffer[..length]);
                    let text = String::from_utf8_lossy(&request);
                    let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                        body.len() >= length.map_or(0, |length| length.parse().expect("a number"))
                    });
                    if whole || length == 0 {
                        break;
                    }
                }
                socket.write_all(answer.as_bytes()).expect("answers");
                asked.push(String::from_utf8(request).expect("text"));
            }
            asked
        };
        (address, std::thread::spawn(serve))
    }

    fn net() -> (Net, Receiver<Input>) {
        let (sender, inputs) = channel();
        let tell: Tell = Arc::new(move |input| sender.send(input).is_ok());
        (Net::start(None, tell).expect("starts"), inputs)
    }

    fn request(service: &str, method: Method, body: &[u8]) -> Request {
        Request {
            id: 1,
            service: service.to_owned(),
            method,
            path: "/api/x?y=1".to_owned(),
            headers: vec![("DPoP", "proof".to_owned())],
            body: body.to_vec(),
            timeout_ms: 5_000,
        }
    }

    #[test]
    fn requests_carry_nothing_that_was_not_asked_for() {
        let (address, asked) = server(vec![
            "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ]);
        let (net, inputs) = net();
        net.request(request(&address, Method::Post, b"a.b.c"));
        assert_eq!(
            inputs.recv().expect("an answer"),
            Input::Response { request: 1, status: 202, body: b"{}".to_vec() }
        );
        net.request(request(&address, Method::Get, b""));
        assert!(matches!(inputs.recv().expect("an answer"), Input::Response { status: 302, .. }), "not followed");
        let host = address.trim_start_matches("http://");
        let asked = asked.join().expect("served");
        let lines = |request: &str| {
            let mut lines: Vec<String> =
                request.split("\r\n").filter(|line| !line.is_empty()).map(str::to_lowercase).collect();
            lines.sort();
            lines
        };
        let mut post = vec![
            "post /api/x?y=1 http/1.1".to_owned(),
            format!("host: {host}"),
            "content-length: 5".to_owned(),
            "dpop: proof".to_owned(),
            "a.b.c".to_owned(),
        ];
        post.sort();
        assert_eq!(lines(&asked[0]), post);
        let mut get = vec!["get /api/x?y=1 http/1.1".to_owned(), format!("host: {host}"), "dpop: proof".to_owned()];
        get.sort();
        assert_eq!(lines(&asked[1]), get);
    }

    #[test]
    fn no_server_is_told() {
        let (net, inputs) = net();
        net.request(request("http://127.0.0.1:1", Method::Get, b""));
        assert_eq!(inputs.recv().expect("an answer"), Input::NetworkFailed { request: 1 });
    }

    fn stream(service: &str) -> StreamRequest {
        StreamRequest {
            id: 4,
            service: service.to_owned(),
            path: "/events".to_owned(),
            headers: vec![("Last-Event-ID", "7".to_owned())],
            silence_ms: 200,
        }
    }

    #[test]
    fn a_stream_gives_its_events_and_its_end() {
        let (address, asked) = server(vec![
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\nid: 8\nevent: log\ndata: {}\n\n",
        ]);
        let (net, inputs) = net();
        net.open_stream(stream(&address));
        assert_eq!(inputs.recv(), Ok(Input::StreamOpened { stream: 4 }));
        let event =
            Input::StreamEvent { stream: 4, id: Some("8".to_owned()), kind: "log".to_owned(), data: "{}".to_owned() };
        assert_eq!(inputs.recv(), Ok(event));
        assert_eq!(inputs.recv(), Ok(Input::StreamClosed { stream: 4 }));
        assert!(asked.join().expect("served")[0].to_lowercase().contains("last-event-id: 7"));
    }

    #[test]
    fn a_refused_stream_says_why() {
        let (address, asked) =
            server(vec!["HTTP/1.1 401 Unauthorized\r\ncontent-length: 7\r\nconnection: close\r\n\r\nproblem"]);
        let (net, inputs) = net();
        net.open_stream(stream(&address));
        let refused = Input::StreamRefused { stream: 4, status: 401, body: b"problem".to_vec() };
        assert_eq!(inputs.recv(), Ok(refused));
        assert_eq!(inputs.recv(), Ok(Input::StreamClosed { stream: 4 }));
        drop(asked);
    }

    #[test]
    fn a_page_is_no_stream() {
        let (address, asked) = server(vec![
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 7\r\nconnection: close\r\n\r\nwelcome",
        ]);
        let (net, inputs) = net();
        net.open_stream(stream(&address));
        let refused = Input::StreamRefused { stream: 4, status: 200, body: b"welcome".to_vec() };
        assert_eq!(inputs.recv(), Ok(refused));
        drop(asked);
    }

    #[test]
    fn a_silent_stream_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            let _ = socket.read(&mut [0; 4096]);
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n")
                .expect("answers");
            socket
        });
        let (net, inputs) = net();
        net.open_stream(stream(&address));
        assert_eq!(inputs.recv(), Ok(Input::StreamOpened { stream: 4 }));
        assert_eq!(inputs.recv(), Ok(Input::StreamClosed { stream: 4 }));
        drop(serving.join().expect("served"));
    }
}
