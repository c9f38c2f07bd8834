//! JSON over HTTP and server-sent events, blocking.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Duration;

use serde_json::Value;

use super::Result;

/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A silent event stream is given up after this; the service's heartbeat comes sooner.
const STREAM_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest event line taken, in bytes.
const MAX_LINE: u64 = 256 * 1024;

/// One party's connection: base address and the header that says who it is.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    /// Name and value, a cookie or a bearer key.
    credential: Option<(&'static str, String)>,
}

impl Client {
    /// `base` like `http://localhost:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .build();
        Self { agent: config.into(), base: base.to_owned(), credential: None }
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    #[must_use]
    pub fn with_credential(mut self, header: &'static str, value: String) -> Self {
        self.credential = Some((header, value));
        self
    }

    pub fn get(&self, path: &str) -> Result<Value> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some((name, value)) = &self.credential {
            request = request.header(*name, value);
        }
        read(path, request.call()?).map(|(_, value)| value)
    }

    /// The body as it came.
    pub fn get_text(&self, path: &str) -> Result<String> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some((name, value)) = &self.credential {
            request = request.header(*name, value);
        }
        let mut response = request.call()?;
        let text = response.body_mut().read_to_string()?;
        if response.status().is_success() { Ok(text) } else { Err(format!("{path}: {text}").into()) }
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(path, "application/json", &body.to_string()).map(|(_, value)| value)
    }

    /// Posts a signed message as it is.
    pub fn post_jose(&self, path: &str, wire: &str) -> Result<Value> {
        self.send(path, "application/jose", wire).map(|(_, value)| value)
    }

    /// Posts and also returns the session cookie that the answer sets.
    pub fn post_for_cookie(&self, path: &str, body: &Value) -> Result<(Option<String>, Value)> {
        self.send(path, "application/json", &body.to_string())
    }

    fn send(&self, path: &str, content_type: &str, body: &str) -> Result<(Option<String>, Value)> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("content-type", content_type);
        if let Some((name, value)) = &self.credential {
            request = request.header(*name, value);
        }
        read(path, request.header("origin", &self.base).send(body)?)
    }

    /// Opens an event stream; `last` is the last event already seen.
    pub fn events(&self, path: &str, last: Option<u64>) -> Result<Sse> {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("accept", "text/event-stream");
        if let Some((name, value)) = &self.credential {
            request = request.header(*name, value);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.config().timeout_per_read(Some(STREAM_TIMEOUT)).build().call()?;
        if !response.status().is_success() {
            return Err(format!("{path}: {}", response.status()).into());
        }
        Ok(Sse { lines: BufReader::new(Box::new(response.into_body().into_reader())), retry_ms: None })
    }
}

fn read(path: &str, mut response: ureq::http::Response<ureq::Body>) -> Result<(Option<String>, Value)> {
    let cookie = response
        .headers()
        .get("set-cookie")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::to_owned);
    let text = response.body_mut().read_to_string()?;
    let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
    if response.status().is_success() { Ok((cookie, value)) } else { Err(format!("{path}: {text}").into()) }
}

/// Server-sent events (HTML standard, section 9.2), one at a time.
pub struct Sse {
    lines: BufReader<Box<dyn Read + Send>>,
    retry_ms: Option<u64>,
}

impl Sse {
    /// When to come back after the stream ended, as it said last.
    #[must_use]
    pub const fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The next event: id, kind, data. Comments are skipped. An error when the stream ends.
    pub fn next_event(&mut self) -> Result<(Option<u64>, String, Value)> {
        let (mut id, mut kind, mut data) = (None, String::new(), String::new());
        loop {
            let mut line = String::new();
            if (&mut self.lines).take(MAX_LINE).read_line(&mut line)? == 0 {
                return Err("the event stream ended".into());
            }
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
                None if line.is_empty() && !data.is_empty() => return Ok((id, kind, serde_json::from_str(&data)?)),
                Some(("id", value)) => id = value.parse().ok(),
                Some(("retry", value)) => self.retry_ms = value.parse().ok(),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => data.push_str(value),
                None | Some(_) => {}
            }
        }
    }

    /// Waits for the next event of this kind whose data `accepts`.
    pub fn wait_for(&mut self, kind: &str, accepts: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let (_, found, data) = self.next_event()?;
            if found == kind && accepts(&data) {
                return Ok(data);
            }
        }
    }
}

impl std::fmt::Debug for Sse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sse")
    }
}
