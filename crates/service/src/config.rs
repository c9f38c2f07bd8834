//! What the operator decides, as types. Where the values come from (flags, environment, a TOML file) is the program's
//! business; what they must satisfy is checked here, once, before anything listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use nodpay_protocol::RelyingParty;
use nodpay_store::Address;

use crate::rails::RailFiles;

/// Days that the messages of orders are kept at least: while a card's bank may still ask about a payment, and a family about a bill.
pub(crate) const MIN_ORDERS_DAYS: u32 = 90;
/// And at most: a lifetime.
const MAX_ORDERS_DAYS: u32 = 36_500;
/// Origins a service may have; watches pin them all.
const MAX_ORIGINS: usize = 4;

/// The service's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the data lies.
    pub database: Address,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The addresses people use, scheme and port included, without a trailing slash: 1 to 4. Add new ones, never take one
    /// away: entries of household logs that were signed there are verified against this list for ever.
    pub origins: Vec<String>,
    /// The WebAuthn relying party id: the host of the origins or a parent domain of it.
    pub rp_id: String,
    /// Holds the key that signs outcomes, its certificate and the root's public key; made by `admin init`.
    pub outcome_key: PathBuf,
    /// The offline root's key. Only where it lies here can a till be certified at once.
    pub root_key: Option<PathBuf>,
    /// Certificate chain and key of this host, for TLS.
    pub tls: Option<TlsFiles>,
    /// A proxy in front of the service speaks TLS.
    pub behind_proxy: bool,
    /// Rails outside of our own ledger.
    pub rails: RailFiles,
    /// How guardians' phones are woken.
    pub push: PushConfig,
    /// How long what is kept.
    pub keep: Keep,
    /// Takes the demo's software keys. Only `nodpay demo` sets this.
    pub demo: bool,
}

/// Push messages to guardians' phones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushConfig {
    /// Holds the key that signs them; made at the first start. Without it nobody is woken.
    pub key: Option<PathBuf>,
    /// Whom push services write to about them: `mailto:…` or `https://…`. Default: the first origin.
    pub contact: Option<String>,
    /// Also sends to addresses that are not on the public internet, and without TLS: to a push service of one's own.
    pub private_endpoints: bool,
}

/// How long what people signed and wrote is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The messages of an order, with everything in them that a person wrote or bought: 90 or more days after it came.
    pub orders_days: u32,
    /// How long at least the operator's law makes it keep its books: amounts and times, without names. Only shown.
    pub books_years: u32,
}

impl Default for Keep {
    /// Two years, within which goods can be complained about in most of Europe; ten, which is what most laws ask of books at most.
    fn default() -> Self {
        Self { orders_days: 730, books_years: 10 }
    }
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, this host's first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a configuration cannot be served. `Display` is one plain sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Payments over plain HTTP on a network.
    #[error(
        "{0} can be reached from other machines: give --tls-cert and --tls-key, or say --behind-proxy if a proxy in \
         front of it speaks TLS"
    )]
    PlainHttp(SocketAddr),
    /// None or too many.
    #[error("give 1 to {MAX_ORIGINS} public origins, like https://pay.example.org")]
    OriginCount,
    /// Not scheme and host alone.
    #[error("{0} is not an origin: it must be like https://pay.example.org, without a path or trailing slash")]
    NotAnOrigin(String),
    /// Browsers would refuse its passkeys.
    #[error("{origin} is not under the rp id {rp_id}: passkeys would not work there")]
    ForeignOrigin {
        /// The origin that does not fit.
        origin: String,
        /// The configured rp id.
        rp_id: String,
    },
    /// Push services would refuse it (RFC 8292 section 2.1).
    #[error("{0} is not a contact for push services: give mailto:NAME@HOST or an https address")]
    PushContact(String),
    /// Too short to answer for, or no time at all.
    #[error("orders are kept for {MIN_ORDERS_DAYS} to {MAX_ORDERS_DAYS} days, not {0}")]
    KeepOrders(u32),
    /// Software keys must never reach a real service.
    #[error("the demo listens on this machine only, not on {0}")]
    PublicDemo(SocketAddr),
}

impl Config {
    /// Checks what can be checked without opening anything.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_ORIGINS).contains(&self.origins.len()) {
            return Err(ConfigError::OriginCount);
        }
        for origin in &self.origins {
            let host = host_of(origin).ok_or_else(|| ConfigError::NotAnOrigin(origin.clone()))?;
            let under = host == self.rp_id || host.strip_suffix(&self.rp_id).is_some_and(|rest| rest.ends_with('.'));
            if !under {
                return Err(ConfigError::ForeignOrigin { origin: origin.clone(), rp_id: self.rp_id.clone() });
            }
        }
        let local = self.listen.ip().is_loopback();
        if self.demo && !local {
            return Err(ConfigError::PublicDemo(self.listen));
        }
        if let Some(contact) = &self.push.contact
            && !is_contact(contact)
        {
            return Err(ConfigError::PushContact(contact.clone()));
        }
        if !(MIN_ORDERS_DAYS..=MAX_ORDERS_DAYS).contains(&self.keep.orders_days) {
            return Err(ConfigError::KeepOrders(self.keep.orders_days));
        }
        if !local && self.tls.is_none() && !self.behind_proxy {
            return Err(ConfigError::PlainHttp(self.listen));
        }
        Ok(())
    }

    /// Whom guardians' assertions must be made for.
    #[must_use]
    pub fn relying_party(&self) -> RelyingParty {
        RelyingParty { rp_id: self.rp_id.clone(), origins: self.origins.clone(), demo_keys: self.demo }
    }

    /// Whom push services may write to.
    pub(crate) fn push_contact(&self) -> String {
        let https = self.origins.iter().find(|origin| origin.starts_with("https://"));
        let given = self.push.contact.as_ref().or(https);
        given.cloned().unwrap_or_else(|| "mailto:nodpay@localhost".to_owned())
    }

    /// Whether a phone's push service may be anywhere.
    pub(crate) const fn private_endpoints(&self) -> bool {
        self.demo || self.push.private_endpoints
    }

    /// Whether browsers reach the pages over TLS, so that cookies can insist on it.
    pub(crate) fn is_https(&self) -> bool {
        self.origins.iter().all(|origin| origin.starts_with("https://"))
    }
}

/// `mailto:` or `https:`, without what could end a header.
fn is_contact(text: &str) -> bool {
    let mail = text.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
    let named = mail.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    (named || text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
}

/// The host of `scheme://host[:port]`, nothing else around it.
fn host_of(origin: &str) -> Option<&str> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))?;
    let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'));
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (plain && port_fits && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            database: Address::Sqlite("nodpay.db".into()),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            origins: vec!["http://localhost:8080".to_owned()],
            rp_id: "localhost".to_owned(),
            outcome_key: "outcome.key".into(),
            root_key: None,
            tls: None,
            behind_proxy: false,
            rails: RailFiles::default(),
            push: PushConfig::default(),
            keep: Keep::default(),
            demo: false,
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let public = SocketAddr::from(([0, 0, 0, 0], 80));
        assert_eq!(config().check(), Ok(()));
        assert_eq!(Config { listen: public, ..config() }.check(), Err(ConfigError::PlainHttp(public)));
        assert_eq!(Config { listen: public, behind_proxy: true, ..config() }.check(), Ok(()));
        let tls = Some(TlsFiles { cert: "cert.pem".into(), key: "key.pem".into() });
        assert_eq!(Config { listen: public, tls, ..config() }.check(), Ok(()));
        let demo = Config { listen: public, behind_proxy: true, demo: true, ..config() };
        assert_eq!(demo.check(), Err(ConfigError::PublicDemo(public)));
    }

    #[test]
    fn origins_are_exact_and_under_the_rp_id() {
        let with = |origin: &str, rp_id: &str| {
            Config { origins: vec![origin.to_owned()], rp_id: rp_id.to_owned(), ..config() }.check()
        };
        assert_eq!(with("https://pay.example.org", "example.org"), Ok(()));
        assert_eq!(with("https://pay.example.org:8443", "pay.example.org"), Ok(()));
        for wrong in ["https://a.org/", "a.org", "ftp://a.org", "https://", "https://a.org:99999", "https://u@a.org"] {
            assert_eq!(with(wrong, "a.org"), Err(ConfigError::NotAnOrigin(wrong.to_owned())), "{wrong}");
        }
        for foreign in ["https://badexample.org", "https://example.org.evil.com"] {
            assert!(matches!(with(foreign, "example.org"), Err(ConfigError::ForeignOrigin { .. })), "{foreign}");
        }
        assert_eq!(Config { origins: Vec::new(), ..config() }.check(), Err(ConfigError::OriginCount));
    }

    #[test]
    fn orders_are_kept_for_a_while() {
        let with = |orders_days| Config { keep: Keep { orders_days, ..Keep::default() }, ..config() }.check();
        assert_eq!((with(MIN_ORDERS_DAYS), with(MAX_ORDERS_DAYS)), (Ok(()), Ok(())));
        for wrong in [0, MIN_ORDERS_DAYS - 1, MAX_ORDERS_DAYS + 1] {
            assert_eq!(with(wrong), Err(ConfigError::KeepOrders(wrong)));
        }
    }

    #[test]
    fn push_services_get_a_contact() {
        assert_eq!(config().push_contact(), "mailto:nodpay@localhost");
        let public = Config { origins: vec!["https://a.org".to_owned()], rp_id: "a.org".to_owned(), ..config() };
        assert_eq!(public.push_contact(), "https://a.org");
        let with = |contact: &str| {
            let push = PushConfig { contact: Some(contact.to_owned()), ..PushConfig::default() };
            Config { push, ..config() }.check()
        };
        for good in ["mailto:ops@example.org", "https://example.org/contact"] {
            assert_eq!(with(good), Ok(()), "{good}");
        }
        for wrong in ["ops@example.org", "mailto:ops", "mailto:@x", "http://example.org", "https://", "mailto:a b@c.d"]
        {
            assert_eq!(with(wrong), Err(ConfigError::PushContact(wrong.to_owned())), "{wrong}");
        }
    }
}
