//! `nodpay serve`: flags, environment and one TOML file become the service's configuration. A flag beats the environment,
//! both beat the file, the file beats the defaults.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nodpay::parties::Result;
use nodpay_core::{BankAccount, Iban};
use nodpay_service::rails::RailFiles;
use nodpay_service::{App, Config, Keep, KeyFiles, PushConfig, TlsFiles};
use nodpay_store::Address;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};
use tracing_subscriber::EnvFilter;

/// Where things lie when nobody says otherwise.
const DEFAULT_FOLDER: &str = "nodpay-data";
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Connections that may wait to be taken, if the kernel's `net.core.somaxconn` allows as many: devices that all come back
/// at once and find no place would try again only after a second.
const BACKLOG: u32 = 4_096;

#[derive(clap::Args, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// A TOML file with any of the settings below (`listen = "127.0.0.1:8080"`, `behind-proxy = true`, …).
    #[arg(long, env = "NODPAY_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// Where to listen.
    #[arg(long, env = "NODPAY_LISTEN")]
    listen: Option<SocketAddr>,
    /// Certificate chain (PEM), to speak TLS.
    #[arg(long, env = "NODPAY_TLS_CERT")]
    #[serde(rename = "tls-cert")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, env = "NODPAY_TLS_KEY")]
    #[serde(rename = "tls-key")]
    tls_key: Option<PathBuf>,
    /// A proxy in front of the service speaks TLS.
    #[arg(long, env = "NODPAY_BEHIND_PROXY")]
    #[serde(rename = "behind-proxy")]
    behind_proxy: bool,
    /// The WebAuthn relying party id. Default: the host of the first origin.
    #[arg(long, env = "NODPAY_RP_ID")]
    #[serde(rename = "rp-id")]
    rp_id: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    rails: RailOptions,
    #[command(flatten)]
    #[serde(flatten)]
    push: PushOptions,
    #[command(flatten)]
    #[serde(flatten)]
    keep: KeepOptions,
    /// How the log on standard error looks; NODPAY_LOG chooses what is in it (like info, or nodpay_service=debug).
    #[arg(long, env = "NODPAY_LOG_FORMAT", value_name = "FORMAT")]
    #[serde(rename = "log-format")]
    log_format: Option<LogFormat>,
}

/// Rails outside of our own ledger.
#[derive(clap::Args, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct RailOptions {
    /// A file with Stripe's secret key, to let households pay by card.
    #[arg(long, env = "NODPAY_STRIPE_KEY")]
    stripe_key: Option<PathBuf>,
    /// A file with the secret that signs Stripe's events (to be sent to /api/rails/stripe).
    #[arg(long, env = "NODPAY_STRIPE_WEBHOOK_SECRET")]
    stripe_webhook_secret: Option<PathBuf>,
    /// A folder where files for the bank are handed over, and its answers are read.
    #[arg(long, env = "NODPAY_BANK_FOLDER")]
    bank_folder: Option<PathBuf>,
    /// The holder of the account that payouts leave from.
    #[arg(long, env = "NODPAY_BANK_NAME")]
    bank_name: Option<String>,
    /// That account's IBAN.
    #[arg(long, env = "NODPAY_BANK_IBAN")]
    bank_iban: Option<String>,
    /// How families bring money into their wallets, in your words: shown on their wallet page.
    #[arg(long, env = "NODPAY_TOP_UP_WORDS")]
    top_up_words: Option<String>,
}

impl RailOptions {
    fn or(self, file: Self) -> Self {
        Self {
            stripe_key: self.stripe_key.or(file.stripe_key),
            stripe_webhook_secret: self.stripe_webhook_secret.or(file.stripe_webhook_secret),
            bank_folder: self.bank_folder.or(file.bank_folder),
            bank_name: self.bank_name.or(file.bank_name),
            bank_iban: self.bank_iban.or(file.bank_iban),
            top_up_words: self.top_up_words.or(file.top_up_words),
        }
    }

    fn into_files(self) -> Result<RailFiles> {
        let bank_account = match (self.bank_name, self.bank_iban) {
            (Some(name), Some(iban)) => {
                let iban = Iban::from_typed(&iban).map_err(|error| format!("--bank-iban {error}"))?;
                Some(BankAccount { name, iban, bic: None })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("--bank-name and --bank-iban go together".into()),
        };
        Ok(RailFiles {
            stripe_key: self.stripe_key,
            stripe_webhook_secret: self.stripe_webhook_secret,
            stripe_api: None,
            bank_folder: self.bank_folder,
            bank_account,
            top_up_words: self.top_up_words,
        })
    }
}

/// Push messages to guardians' phones.
#[derive(clap::Args, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct PushOptions {
    /// Whom push services write to when something is wrong: mailto:NAME@HOST, or an https address. Default: the first origin.
    #[arg(long, env = "NODPAY_PUSH_CONTACT")]
    push_contact: Option<String>,
    /// Also send push messages to addresses in private networks and without TLS: to a push service of your own.
    #[arg(long, env = "NODPAY_PUSH_PRIVATE")]
    push_private: bool,
}

impl PushOptions {
    fn or(self, file: Self) -> Self {
        Self {
            push_contact: self.push_contact.or(file.push_contact),
            push_private: self.push_private || file.push_private,
        }
    }
}

/// How long what is kept.
#[derive(clap::Args, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct KeepOptions {
    /// Days after which what was bought, asked and answered is deleted, at least 90; amounts and times stay. Default: 730.
    #[arg(long, env = "NODPAY_KEEP_ORDERS_DAYS", value_name = "DAYS")]
    keep_orders_days: Option<u32>,
    /// Years that your law makes you keep books, amounts and times without names: families are told. Default: 10.
    #[arg(long, env = "NODPAY_KEEP_BOOKS_YEARS", value_name = "YEARS")]
    keep_books_years: Option<u32>,
}

impl KeepOptions {
    fn or(self, file: Self) -> Self {
        Self {
            keep_orders_days: self.keep_orders_days.or(file.keep_orders_days),
            keep_books_years: self.keep_books_years.or(file.keep_books_years),
        }
    }

    fn into_keep(self) -> Keep {
        let usual = Keep::default();
        Keep {
            orders_days: self.keep_orders_days.unwrap_or(usual.orders_days),
            books_years: self.keep_books_years.unwrap_or(usual.books_years),
        }
    }
}

#[derive(clap::ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What `serve` and `admin` share: where the data lies and what the service is called.
#[derive(clap::Args, Deserialize, Default, Clone)]
#[serde(default)]
pub(crate) struct Place {
    /// The folder for everything that has no place of its own.
    #[arg(long, env = "NODPAY_DATA")]
    data: Option<PathBuf>,
    /// `sqlite:PATH`, or `postgres://USER@HOST/NAME` to share it among replicas. Default: nodpay.sqlite in the data folder.
    #[arg(long, env = "NODPAY_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Connections to PostgreSQL.
    #[arg(long, env = "NODPAY_CONNECTIONS", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: Option<u16>,
    /// The address people use, like https://pay.example.org; give it again for further ones.
    #[arg(long = "origin", env = "NODPAY_ORIGIN", value_delimiter = ',')]
    #[serde(rename = "origins")]
    origins: Vec<String>,
    /// The key that signs outcomes. Default: outcome.key in the data folder.
    #[arg(long, env = "NODPAY_OUTCOME_KEY")]
    #[serde(rename = "outcome-key")]
    outcome_key: Option<PathBuf>,
    /// The root key, where tills are to be certified at once. Default: root.key in the data folder, if it is there.
    #[arg(long, env = "NODPAY_ROOT_KEY")]
    #[serde(rename = "root-key")]
    root_key: Option<PathBuf>,
    /// The key that signs push messages, made at the first start. Default: push.key in the data folder.
    #[arg(long, env = "NODPAY_PUSH_KEY")]
    #[serde(rename = "push-key")]
    push_key: Option<PathBuf>,
}

impl Place {
    pub(crate) fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DEFAULT_FOLDER.into())
    }

    pub(crate) fn database(&self) -> Result<Address> {
        let Some(address) = &self.database else {
            return Ok(Address::Sqlite(self.folder().join("nodpay.sqlite")));
        };
        let connections = self.connections.map_or(Address::CONNECTIONS, usize::from);
        Ok(Address::parse(address, connections)?)
    }

    pub(crate) fn outcome_key(&self) -> PathBuf {
        self.outcome_key.clone().unwrap_or_else(|| KeyFiles::in_folder(&self.folder()).outcome_key)
    }

    pub(crate) fn root_key(&self) -> Option<PathBuf> {
        let default = KeyFiles::in_folder(&self.folder()).root_key;
        self.root_key.clone().or_else(|| default.exists().then_some(default))
    }

    pub(crate) fn push_key(&self) -> PathBuf {
        self.push_key.clone().unwrap_or_else(|| KeyFiles::in_folder(&self.folder()).push_key)
    }

    pub(crate) fn origins(&self, listen: SocketAddr) -> Vec<String> {
        if self.origins.is_empty() { vec![format!("http://localhost:{}", listen.port())] } else { self.origins.clone() }
    }

    /// Takes what is missing here from a configuration file of `serve`.
    pub(crate) fn with_file(self, path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) => Ok(self.or(read_config(path)?.place)),
            None => Ok(self),
        }
    }

    /// Takes what is missing here from `file`.
    fn or(self, file: Self) -> Self {
        Self {
            data: self.data.or(file.data),
            database: self.database.or(file.database),
            connections: self.connections.or(file.connections),
            origins: if self.origins.is_empty() { file.origins } else { self.origins },
            outcome_key: self.outcome_key.or(file.outcome_key),
            root_key: self.root_key.or(file.root_key),
            push_key: self.push_key.or(file.push_key),
        }
    }
}

impl Options {
    fn with_file(self) -> Result<Self> {
        let Some(path) = &self.config else { return Ok(self) };
        let file = read_config(path)?;
        Ok(Self {
            config: None,
            place: self.place.or(file.place),
            listen: self.listen.or(file.listen),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            behind_proxy: self.behind_proxy || file.behind_proxy,
            rp_id: self.rp_id.or(file.rp_id),
            rails: self.rails.or(file.rails),
            push: self.push.or(file.push),
            keep: self.keep.or(file.keep),
            log_format: self.log_format.or(file.log_format),
        })
    }

    /// Of options that took in their file.
    fn into_config(self) -> Result<Config> {
        let options = self;
        let listen = match options.listen {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse()?,
        };
        let origins = options.place.origins(listen);
        let rp_id = match options.rp_id {
            Some(rp_id) => rp_id,
            None => host(&origins)?,
        };
        let tls = match (options.tls_cert, options.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("--tls-cert and --tls-key go together".into()),
        };
        let push = PushConfig {
            key: Some(options.place.push_key()),
            contact: options.push.push_contact,
            private_endpoints: options.push.push_private,
        };
        Ok(Config {
            database: options.place.database()?,
            listen,
            rp_id,
            origins,
            outcome_key: options.place.outcome_key(),
            root_key: options.place.root_key(),
            tls,
            behind_proxy: options.behind_proxy,
            rails: options.rails.into_files()?,
            push,
            keep: options.keep.into_keep(),
            demo: false,
        })
    }
}

/// Reads a configuration file; the settings of `serve`, by their flags' names.
/// The operator's account in a configuration file.
pub(crate) fn bank_iban(path: &Path) -> Result<Option<String>> {
    Ok(read_config(path)?.rails.bank_iban)
}

fn read_config(path: &Path) -> Result<Options> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Of the first origin: the default of the relying party id.
pub(crate) fn host(origins: &[String]) -> Result<String> {
    let origin = origins.first().ok_or("give an origin")?;
    let rest = origin.split_once("://").map_or(origin.as_str(), |(_, rest)| rest);
    Ok(rest.split(':').next().unwrap_or(rest).to_owned())
}

pub(crate) fn run(options: Options) -> Result<()> {
    let options = options.with_file()?;
    log(options.log_format.unwrap_or_default(), "info");
    let config = options.into_config()?;
    if !config.outcome_key.exists() {
        return Err(format!("{} is missing: `nodpay admin init` makes the keys", config.outcome_key.display()).into());
    }
    runtime()?.block_on(async {
        let listen = config.listen;
        let origins = config.origins.join(", ");
        let app = App::open(config)?;
        app.stop_on_signals();
        let listener = bind(listen).map_err(|error| format!("{listen}: {error}"))?;
        println!("Nodpay serves {origins} on {}", listener.local_addr()?);
        Ok(nodpay_service::serve(app, listener).await?)
    })
}

fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Structured logs on standard error; `NODPAY_LOG` chooses what (like `info` or `nodpay_service=debug`), else `level`.
pub(crate) fn log(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env("NODPAY_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a second call fails.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_fills_what_flags_leave_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nodpay.toml");
        let text = "listen = \"127.0.0.1:9000\"\norigins = [\"https://pay.example.org\"]\nbehind-proxy = true\ndata = \"/srv/a\"\n";
        std::fs::write(&path, text).expect("writes");
        let place = Place { data: Some("/srv/b".into()), ..Place::default() };
        let options = Options { config: Some(path), place, ..Options::default() }.with_file().expect("a file");
        let config = options.into_config().expect("a configuration");
        assert_eq!(config.listen.port(), 9000);
        assert_eq!(config.rp_id, "pay.example.org");
        assert_eq!(config.database, Address::Sqlite("/srv/b/nodpay.sqlite".into()));
        assert!(config.behind_proxy && !config.demo);
    }

    /// The example shows every setting, the packaged one with its defaults.
    #[test]
    fn the_packaged_example_is_a_configuration() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/nodpay.toml");
        let options = Options { config: Some(path.clone()), ..Options::default() }.with_file().expect("it is read");
        let config = options.into_config().expect("a configuration");
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.database, Address::Sqlite("/var/lib/nodpay/nodpay.sqlite".into()));

        let text = std::fs::read_to_string(path).expect("the example");
        let uncommented: String =
            text.lines().map(|line| line.strip_prefix("#set ").unwrap_or(line).to_owned() + "\n").collect();
        let all = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(all.path(), &uncommented).expect("writes");
        read_config(all.path()).expect("every line is a setting");
        let help = <crate::Cli as clap::CommandFactory>::command();
        let serve = help.find_subcommand("serve").expect("serve");
        let settings =
            serve.get_arguments().filter_map(clap::Arg::get_long).filter(|name| !["config", "help"].contains(name));
        for setting in settings.map(|name| if name == "origin" { "origins" } else { name }) {
            assert!(
                uncommented.lines().any(|line| line.starts_with(&format!("{setting} = "))),
                "{setting} is not shown"
            );
        }
    }

    #[test]
    fn mistakes_in_the_file_are_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nodpay.toml");
        for text in ["listen = 5", "lisen = \"127.0.0.1:1\""] {
            std::fs::write(&path, text).expect("writes");
            let error = read_config(&path).err().expect("refused").to_string();
            assert!(error.contains("nodpay.toml"), "{error}");
        }
    }
}
