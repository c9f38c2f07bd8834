//! Talks to push services (RFC 8030). Where they are is said by browsers, that is by anybody with a session: an endpoint is believed to
//! be a push service on the public internet and nothing else, when it is subscribed and again at every connection, by the addresses
//! its name leads to. Redirects are not followed, answers are not read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use nodpay_core::Timestamp;
use nodpay_protocol::SoftwareKey;
use nodpay_store::Subscription;
use tower_service::Service;

use super::{seal, vapid};

/// Longest endpoint, in bytes; those of today's push services have 150 to 500.
pub(crate) const MAX_ENDPOINT_LEN: usize = 1_024;
/// A push service answers within this.
const CALL_TIME: Duration = Duration::from_secs(10);
/// A connection to it is there within this.
const CONNECT_TIME: Duration = Duration::from_secs(4);
/// Connections that are kept to one push service, and how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Where a phone is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    uri: Uri,
    /// Whom the operator's signature is for.
    origin: String,
}

/// An address that nothing is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the address of a push service")]
pub(crate) struct NoEndpoint;

impl Endpoint {
    /// `private` allows plain HTTP, any port and addresses that are not public: for a demo, for tests, for a push service of
    /// one's own.
    pub(crate) fn parse(text: &str, private: bool) -> Result<Self, NoEndpoint> {
        if text.len() > MAX_ENDPOINT_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoEndpoint);
        }
        let uri: Uri = text.parse().map_err(|_| NoEndpoint)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(NoEndpoint) };
        let host = authority.host();
        if authority.as_str().contains('@') || host.is_empty() {
            return Err(NoEndpoint);
        }
        let origin = format!("{scheme}://{authority}");
        if !private {
            let named = host.parse::<IpAddr>().is_err() && !host.starts_with('[') && host.contains('.');
            let usual_port = authority.port_u16().is_none() && !authority.as_str().contains(':');
            if scheme != "https" || !named || !usual_port {
                return Err(NoEndpoint);
            }
        } else if !matches!(scheme, "https" | "http") {
            return Err(NoEndpoint);
        }
        Ok(Self { uri, origin })
    }
}

/// Whether an address is one on the public internet (the special ones of IANA's registries are not).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (169, 254, _)
            | (198, 18 | 19, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // An IPv4 address behind a translator (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments, Teredo and documentation; 6to4; documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

/// Looks names up and passes on public addresses only.
#[derive(Clone, Debug)]
struct PublicNames {
    private: bool,
}

impl Service<Name> for PublicNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let taken: Vec<SocketAddr> = found.filter(|address| private || is_public(address.ip())).collect();
            match taken.is_empty() {
                true => Err(std::io::Error::other("no public address")),
                false => Ok(taken.into_iter()),
            }
        })
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The push service has it.
    Taken,
    /// The phone has no such subscription any more.
    Gone,
    /// The push service will never take this one.
    Refused,
    /// Not now; not before this time, where the push service said one.
    Later(Option<Timestamp>),
}

impl Sent {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Later(_) => "later",
        }
    }
}

/// How a push service should treat a message.
#[derive(Clone, Debug)]
pub(crate) struct Handling {
    pub(crate) ttl_s: i64,
    /// Wakes a phone that saves its battery.
    pub(crate) urgent: bool,
    /// A newer message of the same topic takes its place; at most 32 characters of base64url.
    pub(crate) topic: String,
}

/// The client of push services, with the operator's key.
pub(crate) struct Sender {
    client: Client<HttpsConnector<HttpConnector<PublicNames>>, Full<Bytes>>,
    key: Arc<SoftwareKey>,
    contact: String,
    private: bool,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({})", self.contact)
    }
}

impl Sender {
    pub(crate) fn new(key: Arc<SoftwareKey>, contact: String, private: bool) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        let mut http = HttpConnector::new_with_resolver(PublicNames { private });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIME));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Ok(Self { client, key, contact, private })
    }

    /// Seals `text` for the phone and hands it to its push service.
    pub(crate) async fn send(&self, to: &Subscription, text: &[u8], handling: &Handling, now: Timestamp) -> Sent {
        let Some(request) = self.request(to, text, handling, now) else { return Sent::Refused };
        match tokio::time::timeout(CALL_TIME, self.client.request(request)).await {
            Ok(Ok(response)) => answered(response.status(), response.headers(), now),
            Ok(Err(_)) | Err(_) => Sent::Later(None),
        }
    }

    fn request(
        &self,
        to: &Subscription,
        text: &[u8],
        handling: &Handling,
        now: Timestamp,
    ) -> Option<Request<Full<Bytes>>> {
        // Whether it may be reached may be configured otherwise by now.
        let endpoint = Endpoint::parse(&to.endpoint, self.private).ok()?;
        let body = seal::seal(&to.key, &to.auth, text).ok()?;
        let authorization = vapid::authorization(&self.key, &endpoint.origin, &self.contact, now).ok()?;
        let mut authorization = HeaderValue::from_str(&authorization).ok()?;
        authorization.set_sensitive(true);
        let request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.uri)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("ttl", handling.ttl_s.max(0))
            .header("urgency", if handling.urgent { "high" } else { "normal" })
            .header("topic", &handling.topic);
        request.body(Full::new(Bytes::from(body))).ok()
    }
}

fn answered(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Sent {
    match status.as_u16() {
        200..=299 => Sent::Taken,
        404 | 410 => Sent::Gone,
        408 | 425 | 429 | 500..=599 => Sent::Later(retry_after(headers, now)),
        // Of status and nothing else: an endpoint is a secret.
        other => {
            tracing::warn!(status = other, "a push service refused a message");
            Sent::Refused
        }
    }
}

/// RFC 9110 section 10.2.3: seconds or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(now.plus_ms(i64::from(seconds) * 1_000));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_unix_ms(date.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_push_services_on_the_internet_are_endpoints() {
        let good = [
            "https://fcm.googleapis.com/fcm/send/abc:def",
            "https://updates.push.services.mozilla.com/wpush/v2/x",
            "https://web.push.apple.com/QF",
            "https://wns2-par02p.notify.windows.com/w/?token=BQ%3d",
        ];
        for text in good {
            assert!(Endpoint::parse(text, false).is_ok(), "{text}");
        }
        let long = format!("https://push.example.org/{}", "x".repeat(MAX_ENDPOINT_LEN));
        let wrong = [
            "http://push.example.org/x",
            "https://127.0.0.1/x",
            "https://10.0.0.1/x",
            "https://[::1]/x",
            "https://[fd00::1]/x",
            "https://93.184.216.34/x",
            "https://localhost/x",
            "https://metadata/x",
            "https://push.example.org:8443/x",
            "https://push.example.org:443/x",
            "https://me@push.example.org/x",
            "ftp://push.example.org/x",
            "https:///x",
            "push.example.org/x",
            "https://push.example.org/ x",
            "",
            &long,
        ];
        for text in wrong {
            assert_eq!(Endpoint::parse(text, false), Err(NoEndpoint), "{text}");
        }
        assert!(Endpoint::parse("http://127.0.0.1:4000/x", true).is_ok());
        assert_eq!(Endpoint::parse("ftp://127.0.0.1/x", true), Err(NoEndpoint));
        let endpoint = Endpoint::parse("https://push.example.org/a?b", false).expect("an endpoint");
        assert_eq!(endpoint.origin, "https://push.example.org");
    }

    #[test]
    fn private_and_special_addresses_are_not_public() {
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
        ];
        for text in private {
            assert!(!is_public(text.parse().expect("an address")), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00:1450:4001::1", "2606:4700::1", "64:ff9b::808:808"] {
            assert!(is_public(text.parse().expect("an address")), "{text}");
        }
    }

    /// Names lead anywhere, and numbers in other clothes are names too.
    #[tokio::test]
    async fn a_name_that_leads_home_is_not_followed() {
        for name in ["localhost", "2130706433", "0x7f000001", "127.1"] {
            let found = PublicNames { private: false }.call(name.parse().expect("a name")).await;
            assert!(found.is_err(), "{name}");
        }
        let mut home = PublicNames { private: true };
        assert!(home.call("localhost".parse().expect("a name")).await.is_ok_and(|mut found| found.next().is_some()));
    }

    #[test]
    fn what_push_services_say() {
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let none = HeaderMap::new();
        for (status, sent) in [
            (201, Sent::Taken),
            (202, Sent::Taken),
            (404, Sent::Gone),
            (410, Sent::Gone),
            (400, Sent::Refused),
            (403, Sent::Refused),
            (413, Sent::Refused),
            (301, Sent::Refused),
            (429, Sent::Later(None)),
            (503, Sent::Later(None)),
        ] {
            let code = StatusCode::from_u16(status).expect("a status");
            assert_eq!(answered(code, &none, now), sent, "{status}");
        }
        let wait = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            answered(StatusCode::TOO_MANY_REQUESTS, &headers, now)
        };
        assert_eq!(wait("30"), Sent::Later(Some(now.plus_ms(30_000))));
        assert_eq!(wait("Fri, 15 Jan 2027 08:00:10 GMT"), Sent::Later(Some(now.plus_ms(10_000))));
        assert_eq!(wait("soon"), Sent::Later(None));
    }
}
