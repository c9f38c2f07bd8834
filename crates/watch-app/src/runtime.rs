//! Runs the agent: does its actions in order, on the disk, the network and the clock of this machine.
//!
//! **Invariant:** what follows a persisted journal is done only after that is durable; if it cannot be, the program ends and
//! starts again from the journal it has.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nodpay_core::Timestamp;
use nodpay_keys::storage::{Storage, StorageError};
use nodpay_keys::{KeyConfig, KeyError};
use nodpay_watch::view::View;
use nodpay_watch::{Action, Agent, AgentConfig, Input, JournalError, Moment};

use crate::net::{Net, NetError, Tell};
use crate::words::Language;

const JOURNAL: &str = "journal.json";
/// Holds the tag of the language that the wearer chose.
const LANGUAGE: &str = "language";

/// What a watch runs on.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Journal, and what the key store keeps.
    pub data: PathBuf,
    /// Where the device key is.
    pub keys: KeyConfig,
    /// What the agent is to allow.
    pub agent: AgentConfig,
    /// PEM file of the one certificate authority to trust, for services with an own one.
    pub root_certificate: Option<PathBuf>,
}

/// Why the watch cannot go on. Starting again from the journal is always safe.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The folder or a file in it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The device key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It stays as it is: it may name a payment under way.
    #[error("the journal {path} is not taken")]
    Journal {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: JournalError,
    },
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The operating system gives none.
    #[error("there are no random numbers: {0}")]
    Random(getrandom::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Runtime {
    agent: Agent,
    storage: Arc<Storage>,
    net: Net,
    started: Instant,
    camera: bool,
}

impl Runtime {
    /// Opens the folder, takes up the journal and starts. `tell` is called from the network's threads; what it takes is to
    /// be given to [`Self::handle`].
    pub fn start(options: &RuntimeOptions, tell: Tell) -> Result<Self, RuntimeError> {
        let storage = Arc::new(Storage::open(&options.data)?);
        let keys = nodpay_keys::open(&options.keys, &storage)?;
        let journal = storage.read(JOURNAL)?;
        let agent = Agent::new(options.agent, journal.as_deref(), keys)
            .map_err(|source| RuntimeError::Journal { path: storage.path(JOURNAL), source })?;
        let net = Net::start(options.root_certificate.as_deref(), tell)?;
        let mut runtime = Self { agent, storage, net, started: Instant::now(), camera: false };
        runtime.handle(Input::Start)?;
        Ok(runtime)
    }

    /// Hands in what happened and does what the agent says.
    pub fn handle(&mut self, input: Input) -> Result<(), RuntimeError> {
        let moment = self.moment()?;
        self.agent.handle(input, &moment);
        while let Some(action) = self.agent.poll_action() {
            match action {
                Action::Persist(journal) => self.storage.replace(JOURNAL, &journal)?,
                Action::Request(request) => self.net.request(request),
                Action::OpenStream(request) => self.net.open_stream(request),
                Action::CloseStream => self.net.close_stream(),
                Action::Camera(on) => self.camera = on,
                // This program has no sensor for its wearer.
                Action::Recognise(_) => {}
            }
        }
        Ok(())
    }

    /// Ticks if the agent waits for this moment.
    pub fn tick(&mut self) -> Result<(), RuntimeError> {
        if self.wait_ms() == Some(0) { self.handle(Input::Tick) } else { Ok(()) }
    }

    /// How long the agent can be left alone, in milliseconds; for ever without a value.
    #[must_use]
    pub fn wait_ms(&self) -> Option<u64> {
        self.agent.poll_timeout().map(|at| at.saturating_sub(self.now_ms()))
    }

    /// What to show now.
    #[must_use]
    pub fn view(&self) -> View {
        self.agent.view(self.now_ms())
    }

    /// The language that the wearer chose, if they did.
    pub fn language(&self) -> Result<Option<Language>, RuntimeError> {
        let tag = self.storage.read(LANGUAGE)?;
        Ok(tag.and_then(|tag| Language::from_tag(std::str::from_utf8(&tag).ok()?)))
    }

    /// Keeps the language for the next start.
    pub fn keep_language(&self, language: Language) -> Result<(), RuntimeError> {
        Ok(self.storage.replace(LANGUAGE, language.tag().as_bytes())?)
    }

    /// Whether the agent wants pictures.
    #[must_use]
    pub fn camera(&self) -> bool {
        self.camera
    }

    /// Milliseconds since the start, on a clock that never goes back.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn moment(&self) -> Result<Moment, RuntimeError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(RuntimeError::Random)?;
        // A clock before 1970 counts as 1970: the agent expects it to be wrong.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let wall = Timestamp::from_unix_ms(i64::try_from(wall).unwrap_or(i64::MAX));
        Ok(Moment { monotonic_ms: self.now_ms(), wall, random })
    }
}
