//! Encrypted connections to PostgreSQL, by what its URL asks for in the words of PostgreSQL's own clients:
//!
//! | `sslmode` | encrypted | the server proves who it is |
//! | --- | --- | --- |
//! | `disable` | no | no |
//! | `prefer` | where the server can | no |
//! | `require` | yes | no |
//! | `verify-full` | yes | by a certificate for the host of the URL, from an authority in `sslrootcert=PATH` or, without that, a public one |
//!
//! Where the URL does not say: `disable` for a server on this machine, `verify-full` for any other.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_rustls::TlsConnector;

use crate::StoreError;

/// A server to connect to, as often as needed.
#[derive(Clone)]
pub(crate) struct Server {
    config: Config,
    tls: Tls,
}

impl Server {
    /// Reads the URL, and the authorities' file that it names.
    ///
    /// Errors: `Database`, in words for the operator.
    pub(crate) fn from_url(url: &str) -> Result<Self, StoreError> {
        let (url, asked) = Asked::take_from(url)?;
        let mut config = Config::from_str(&url).map_err(|error| StoreError::Database(error.to_string()))?;
        let mode = match (asked.mode, &asked.roots) {
            (Some(mode), None) => mode,
            (None, None) if is_local(&config) => Mode::Disable,
            (None | Some(Mode::VerifyFull), _) => Mode::VerifyFull,
            (Some(_), Some(_)) => return Err(wrong("sslrootcert goes with sslmode=verify-full")),
        };
        let roots = match mode {
            Mode::Disable | Mode::Prefer | Mode::Require => None,
            Mode::VerifyFull => Some(roots(asked.roots)?),
        };
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyFull => SslMode::Require,
        });
        Ok(Self { config, tls: Tls::new(roots)? })
    }

    pub(crate) const fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    pub(crate) async fn connect(&self) -> Result<(Client, Connection<Socket, Encrypted>), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// Whether the server is there but is not, or cannot show that it is, the one that was meant: trying again does not help.
pub(crate) fn is_refused(error: &tokio_postgres::Error) -> bool {
    let Some(cause) = std::error::Error::source(error) else { return false };
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<rustls::Error>()) || cause.to_string() == NO_TLS
}

/// What tokio-postgres says of a server without TLS.
const NO_TLS: &str = "server does not support TLS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

/// What the URL asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    mode: Option<Mode>,
    roots: Option<PathBuf>,
}

impl Asked {
    /// The URL without `sslmode` and `sslrootcert`, and what they said.
    fn take_from(url: &str) -> Result<(String, Self), StoreError> {
        let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), Self::default())) };
        let mut asked = Self::default();
        let mut others = Vec::new();
        for part in query.split('&') {
            match part.split_once('=') {
                Some(("sslmode", mode)) => {
                    asked.mode = Some(match mode {
                        "disable" => Mode::Disable,
                        "prefer" => Mode::Prefer,
                        "require" => Mode::Require,
                        "verify-full" => Mode::VerifyFull,
                        _ => return Err(wrong("sslmode is one of disable, prefer, require, verify-full")),
                    });
                }
                Some(("sslrootcert", path)) => asked.roots = Some(percent_decoded(path)?.into()),
                Some(_) | None => others.push(part),
            }
        }
        let question = if others.is_empty() { "" } else { "?" };
        Ok((format!("{address}{question}{}", others.join("&")), asked))
    }
}

fn wrong(what: impl Into<String>) -> StoreError {
    StoreError::Database(what.into())
}

fn percent_decoded(text: &str) -> Result<String, StoreError> {
    let bad = || wrong("sslrootcert is no path");
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let pair = [rest.next().ok_or_else(bad)?, rest.next().ok_or_else(bad)?];
        let pair = std::str::from_utf8(&pair).map_err(|_| bad())?;
        bytes.push(u8::from_str_radix(pair, 16).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// On this machine, with every host it names.
fn is_local(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(local) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

fn roots(file: Option<PathBuf>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let failed = |why: String| wrong(format!("{}: {why}", file.display()));
    let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| failed(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Makes connections encrypted.
#[derive(Clone)]
struct Tls(TlsConnector);

impl Tls {
    /// Without `roots` any server is taken.
    fn new(roots: Option<RootCertStore>) -> Result<Self, StoreError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?;
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        Ok(Self(TlsConnector::from(Arc::new(builder.with_no_client_auth()))))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = ToHost;
    type Error = io::Error;

    /// Also called where nothing will be encrypted: a wrong name is an error only when it is used.
    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        Ok(ToHost { tls: self.0.clone(), host: ServerName::try_from(host.to_owned()).ok() })
    }
}

/// A handshake with one host.
struct ToHost {
    tls: TlsConnector,
    host: Option<ServerName<'static>>,
}

impl TlsConnect<Socket> for ToHost {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let host =
                self.host.ok_or_else(|| io::Error::other("its host is no name that a certificate could have"))?;
            self.tls.connect(host, socket).await.map(Encrypted)
        })
    }
}

/// An encrypted connection.
pub(crate) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl tokio_postgres::tls::TlsStream for Encrypted {
    /// `verify-full` proves the server by its certificate.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Takes any certificate, as `prefer` and `require` ask for: whoever listens hears nothing, whoever stands between does.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use nodpay_testkit::Cluster;
    use nodpay_testkit::postgres::is_root;

    use super::*;
    use crate::contract::{Family, outcome_signer};
    use crate::{Address, Store};

    fn mode(url: &str) -> Result<SslMode, String> {
        Server::from_url(url).map(|server| server.config.get_ssl_mode()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_says_how_and_a_distant_server_must_prove_itself() {
        for (url, expected) in [
            ("postgres://nodpay@localhost/pay", SslMode::Disable),
            ("postgres://nodpay@127.0.0.1:5433,[::1]:5434/pay", SslMode::Disable),
            ("postgres://nodpay@%2Frun%2Fpostgresql/pay", SslMode::Disable),
            ("postgres://nodpay@db.example.org/pay", SslMode::Require),
            ("postgres://nodpay@localhost,10.0.0.1/pay?application_name=x", SslMode::Require),
            ("postgres://nodpay@localhost/pay?hostaddr=10.0.0.1", SslMode::Require),
            ("postgres://nodpay@db.example.org/pay?sslmode=disable", SslMode::Disable),
            ("postgres://nodpay@db.example.org/pay?application_name=x&sslmode=prefer", SslMode::Prefer),
            ("postgres://nodpay@localhost/pay?sslmode=require&application_name=x", SslMode::Require),
            ("postgres://nodpay@localhost/pay?sslmode=verify-full", SslMode::Require),
        ] {
            assert_eq!(mode(url), Ok(expected), "{url}");
        }
        for (url, expected) in [
            ("postgres://nodpay@localhost/pay?sslmode=verify-ca", "sslmode is one of"),
            ("postgres://nodpay@localhost/pay?sslmode=require&sslrootcert=/ca.pem", "goes with sslmode=verify-full"),
            ("postgres://nodpay@localhost/pay?sslrootcert=/not/there.pem", "/not/there.pem"),
            ("postgres://nodpay@localhost/pay?sslrootcert=%zz", "no path"),
        ] {
            assert!(mode(url).is_err_and(|error| error.contains(expected)), "{url}");
        }
        let (url, asked) = Asked::take_from("postgres://h/d?a=b&sslrootcert=/a%20b.pem&c=d").expect("read");
        assert_eq!((url.as_str(), asked.roots), ("postgres://h/d?a=b&c=d", Some("/a b.pem".into())));
    }

    fn openssl(folder: &Path, arguments: &[&str]) {
        let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Two authorities, and a certificate of the first for a server that is called localhost and nothing else.
    fn authorities(folder: &Path) {
        for name in ["ca", "other"] {
            let (key, cert, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
            let mut arguments = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
            arguments.extend(["-keyout", &key, "-out", &cert, "-subj", &subject, "-days", "2"]);
            openssl(folder, &arguments);
        }
        std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").expect("written");
        let mut arguments = vec!["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        arguments.extend(["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"]);
        openssl(folder, &arguments);
        let mut arguments =
            vec!["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"];
        arguments.extend(["-CAcreateserial", "-extfile", "names", "-out", "server.pem"]);
        openssl(folder, &arguments);
        if is_root() {
            // The server is another user's.
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("set");
            let key = folder.join("server.key");
            assert!(Command::new("chown").arg("postgres").arg(&key).status().expect("chown runs").success());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_the_server_that_was_meant_is_spoken_to() {
        let folder = tempfile::tempdir().expect("a folder");
        authorities(folder.path());
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let (certificate, key) =
            (format!("ssl_cert_file={}", path("server.pem")), format!("ssl_key_file={}", path("server.key")));
        let cluster = Cluster::start(&["fsync=off", "ssl=on", &certificate, &key]);
        let plain = Cluster::start(&["fsync=off"]);
        let database = cluster.new_database();
        let by_name = database.replace("127.0.0.1", "localhost");
        let verified = format!("{by_name}?sslmode=verify-full&sslrootcert={}", path("ca.pem"));

        let encrypted = async |url: &str| {
            let server = Server::from_url(url).expect("a server");
            let (client, connection) = server.connect().await.map_err(|error| (is_refused(&error), error))?;
            let runs = tokio::spawn(connection);
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let answer = client.query_one(sql, &[]).await.expect("an answer").get::<_, bool>(0);
            drop(client);
            runs.await.expect("no panic").expect("it ends");
            Ok::<bool, (bool, tokio_postgres::Error)>(answer)
        };
        let refused = async |url: &str| {
            let (refused, error) = encrypted(url).await.expect_err(url);
            assert!(refused, "{url}: {error:?}");
            format!("{error:?}")
        };
        assert!(encrypted(&verified).await.expect("it is the one"));
        for (mode, expected) in [("disable", false), ("prefer", true), ("require", true)] {
            assert_eq!(encrypted(&format!("{database}?sslmode={mode}")).await.expect(mode), expected, "{mode}");
        }
        assert!(!encrypted(&format!("{}?sslmode=prefer", plain.url("postgres"))).await.expect("in the clear"));

        let other = format!("{by_name}?sslmode=verify-full&sslrootcert={}", path("other.pem"));
        assert!(refused(&other).await.contains("UnknownIssuer"));
        assert!(refused(&format!("{by_name}?sslmode=verify-full")).await.contains("UnknownIssuer"), "no public one");
        let by_number = format!("{database}?sslrootcert={}", path("ca.pem"));
        assert!(refused(&by_number).await.contains("NotValidForName"));
        assert!(refused(&format!("{}?sslmode=require", plain.url("postgres"))).await.contains(NO_TLS));

        let open =
            |url: &str| Store::open(&Address::Postgres { url: url.to_owned(), connections: 2 }, outcome_signer());
        let error = open(&other).expect_err("another authority's").to_string();
        assert!(error.contains("UnknownIssuer"), "at once, and said: {error}");
        let store = open(&verified).expect("a store");
        let mut topics = store.subscribe();
        let family = Family::settle(&store, 1_000).await;
        topics.recv().await.expect("events go over it too");
        assert_eq!(store.household(family.household).await.expect("a read").map(|row| row.frozen), Some(false));
        assert_eq!(store.check().await, Ok(Vec::new()));
        let ours = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'nodpay'";
        assert_eq!(cluster.sql("postgres", &format!("SELECT bool_and(ssl), count(*) >= 2 {ours}")), "t|t");
    }
}
