//! The watch agent: everything a watch decides, and nothing it does. Inputs and the time come in through
//! [`Agent::handle`]; actions are drained from [`Agent::poll_action`]; [`Agent::poll_timeout`] says when to tick;
//! [`Agent::view`] is what to show.
//!
//! Never does: I/O, threads, clocks, random numbers, words on a screen.
//!
//! Every input is handled in three steps: it changes the state (`pairing`, `shop`, `sticker`, `order`, `household`), then what time
//! makes due is done (`settle`), then the state is turned into actions (`flush`): first one [`Action::Persist`] if
//! anything changed that must outlive a reboot, then the requests that the state asks for (`link`).
//!
//! **Invariant:** a signed order, cancellation, payment or result is in the journal before it is sent, and is always
//! sent as the same bytes.
//! **Invariant:** a payment is signed only over a decision that this watch verified, at most once an order, and never
//! after the order was given up.

mod household;
mod link;
mod order;
mod pairing;
mod restore;
mod shop;
mod sticker;
mod wearer;

use std::collections::VecDeque;

use nodpay_core::{MAX_ORDER_LIFE_MS, PublicKey, V1};
use nodpay_protocol::code::BillReference;
use nodpay_protocol::{PairingCode, Signer};

pub use self::link::{FIRST_WAIT_MS, LONGEST_IDLE_WAIT_MS, LONGEST_WAIT_MS, MAX_FLIGHTS, REQUEST_MS};
pub use self::order::OUTCOME_GRACE_MS;

use self::household::Household;
use self::link::Link;
use self::pairing::{Choosing, Pairing};
use self::shop::Offer;
use self::sticker::{Pad, Sticker};
pub(crate) use self::wearer::PinAsk;
use crate::clock::{Moment, ServiceClock, Turn};
use crate::journal::{Journal, JournalError};
use crate::net::{Action, Input};
use crate::pin::{Digits, PinCost};
use crate::view::{Notice, ScanFor, Screen, UserAction, View};
use crate::wearer::Wearer;

/// A scan screen without a code turns the camera off again after this long.
const SCAN_LIMIT_MS: u64 = 3 * 60 * 1000;
/// A code is asked about this long while there is no network, or while the service has no time.
pub const FETCH_LIMIT_MS: u64 = 10 * 60 * 1000;
/// Review, PIN and settings screens are left after this long without a touch.
const IDLE_LIMIT_MS: u64 = 5 * 60 * 1000;

/// Holds the watch's device key: a file, a secure element, a TPM.
pub trait KeyStore: Signer {
    /// Makes a new key in place of the old one, durable before it returns. A software store may take `secret` as the
    /// scalar; hardware draws its own. On an error the old key stays.
    fn renew(&mut self, secret: &[u8; 32]) -> Result<PublicKey, KeyStoreError>;

    /// Where the hardware itself checks PINs. The device key signs without one: requests carry its proofs while nobody
    /// looks at the watch.
    fn pin_vault(&mut self) -> Option<&mut dyn PinVault> {
        None
    }
}

/// A PIN that hardware checks, and whose wrong tries hardware counts: no rolled back file, no changed clock and no reboot
/// gives a try back.
pub trait PinVault {
    /// Keeps this PIN in place of any other, durable before it returns, and forgets the wrong tries where it may. On an
    /// error the old PIN stays.
    fn set(&mut self, pin: &[u8]) -> Result<(), KeyStoreError>;

    /// An error when no PIN is set or the hardware does not answer.
    fn check(&mut self, pin: &[u8]) -> Result<VaultAnswer, KeyStoreError>;

    /// Forgets the wrong tries: what a guardian's signed consent allows.
    fn unlock(&mut self) -> Result<(), KeyStoreError>;

    /// Forgets the PIN.
    fn clear(&mut self) -> Result<(), KeyStoreError>;
}

/// What a [`PinVault`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultAnswer {
    /// The wrong tries before it are forgotten, where the vault may do that; else with time.
    Right,
    Wrong {
        /// Before the lock; at least one.
        tries_left: Option<u32>,
    },
    /// Nothing was tried, or this try was the last one.
    Locked {
        /// At most this long, in milliseconds, until one more try is allowed.
        for_ms: Option<u64>,
    },
}

/// The key store is locked, removed or broken; in words for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key store failed: {0}")]
pub struct KeyStoreError(pub String);

/// What the maker or the operator of a watch decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// How long the guardian may take. 1 to `MAX_ORDER_LIFE_MS`; other values count as the nearest of these.
    pub order_life_ms: i64,
    /// Also take decisions of the demo's software keys. Only `nodpay demo` sets this.
    pub demo_keys: bool,
    /// For PINs chosen from now on; one that was chosen keeps its own.
    pub pin_cost: PinCost,
    /// The platform has a sensor that knows its wearer, and answers [`Action::Recognise`].
    pub sensor: bool,
}

impl Default for AgentConfig {
    /// Ten minutes, no demo keys, the device's PIN cost, no sensor.
    fn default() -> Self {
        Self { order_life_ms: 10 * 60 * 1000, demo_keys: false, pin_cost: PinCost::DEVICE, sensor: false }
    }
}

/// See the module.
pub struct Agent {
    config: AgentConfig,
    keys: Box<dyn KeyStore>,
    clock: ServiceClock,
    wearer: Wearer,
    asks: PinAsk,
    owner: Owner,
    face: Face,
    /// When the face was last changed or touched, on the monotonic clock.
    touched: u64,
    link: Link,
    actions: VecDeque<Action>,
    camera: bool,
    /// The sensor was asked and has not answered.
    sensing: bool,
    /// Something changed that must outlive a reboot.
    dirty: bool,
    started: bool,
}

/// Whose watch this is.
enum Owner {
    New,
    Pairing(Box<Pairing>),
    Household(Box<Household>),
}

/// What the wearer is doing that no journal needs to remember. Shown where no order and no ended order is.
enum Face {
    Idle(Option<Notice>),
    Scan(ScanFor, Option<Notice>),
    /// Asks the service of a pairing code for the time, and whether it is there at all.
    Checking(Box<PairingCode>),
    ChoosePin(Box<Choosing>),
    Fetching(BillReference),
    /// Asks whose code it is.
    Asking(Box<Sticker>),
    Amount(Box<Pad>),
    Review(Box<Offer>),
    History,
    Pin(Box<Offer>, Digits),
    /// The platform's sensor looks who it is.
    Recognise(Box<Offer>, Option<Notice>),
    Settings,
}

impl Agent {
    /// A watch as its journal left it; a new watch without one.
    ///
    /// # Errors
    /// A journal that cannot be read or whose messages do not verify: see [`JournalError`].
    pub fn new(config: AgentConfig, journal: Option<&[u8]>, keys: Box<dyn KeyStore>) -> Result<Self, JournalError> {
        let config = AgentConfig { order_life_ms: config.order_life_ms.clamp(1, MAX_ORDER_LIFE_MS), ..config };
        let mut agent = Self {
            config,
            keys,
            clock: ServiceClock::new(0),
            wearer: Wearer::new(config.sensor),
            asks: PinAsk::default(),
            owner: Owner::New,
            face: Face::Idle(None),
            touched: 0,
            link: Link::default(),
            actions: VecDeque::new(),
            camera: false,
            sensing: false,
            dirty: false,
            started: false,
        };
        if let Some(journal) = journal {
            agent.restore(Journal::read(journal)?)?;
        }
        Ok(agent)
    }

    /// Handles one input. Then drain [`Self::poll_action`].
    pub fn handle(&mut self, input: Input, now: &Moment) {
        let mut turn = Turn::new(now);
        let turn = &mut turn;
        if !self.started && input != Input::Start {
            return;
        }
        match input {
            Input::Start if self.started => {}
            Input::Start => {
                self.started = true;
                self.resume(turn);
            }
            Input::User(action) => self.user(&action, turn),
            Input::CodesRead(texts) => self.codes_read(&texts, turn),
            Input::Worn(worn) => self.worn(worn),
            Input::Recognised(known) => self.recognised(known, turn),
            Input::Response { request, status, body } => self.response(request, status, body, turn),
            Input::NetworkFailed { request } => self.network_failed(request, turn),
            Input::StreamOpened { stream } => self.stream_opened(stream, turn),
            Input::StreamRefused { stream, status, body } => self.stream_refused(stream, status, body, turn),
            Input::StreamEvent { stream, id, kind, data } => self.stream_event(stream, id, &kind, &data, turn),
            Input::StreamClosed { stream } => self.stream_closed(stream, turn),
            Input::Tick => {}
        }
        self.settle(turn);
        self.flush(turn);
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When, on the monotonic clock in milliseconds, the agent wants a [`Input::Tick`] at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let face = self.face_limit_ms().map(|limit| self.touched.saturating_add(limit));
        let pairing = match &self.owner {
            Owner::Pairing(pairing) => Some(pairing.ends_at),
            Owner::New | Owner::Household(_) => None,
        };
        let orders = self.household().into_iter().flat_map(|home| &home.orders).filter_map(order::OpenOrder::due);
        [face, pairing, self.wearer.pin.wait_ends(), self.link_due()].into_iter().flatten().chain(orders).min()
    }

    /// What to show at `monotonic_ms`.
    #[must_use]
    pub fn view(&self, monotonic_ms: u64) -> View {
        View { screen: self.screen(monotonic_ms), online: self.is_online() }
    }

    fn screen(&self, mono: u64) -> Screen {
        if let Some(screen) = self.order_screen(mono) {
            return screen;
        }
        match (&self.face, &self.owner) {
            (Face::Scan(purpose, notice), _) => Screen::Scan { purpose: *purpose, notice: notice.clone() },
            (Face::Checking(_) | Face::Fetching(_) | Face::Asking(_), _) => Screen::Fetching,
            (Face::Amount(pad), _) => Screen::Amount(pad.view()),
            (Face::ChoosePin(choosing), _) => choosing.screen(),
            (Face::Review(offer), _) => Screen::Review(offer.basket()),
            (Face::History, _) => Screen::History(self.household().map(Household::history).unwrap_or_default()),
            (Face::Pin(_, typed), _) => self.pin_screen(typed, mono),
            (Face::Recognise(_, notice), _) => Screen::Recognise { notice: notice.clone() },
            (Face::Settings, _) => Screen::Settings(self.about()),
            (Face::Idle(notice), Owner::New) => Screen::Welcome { notice: notice.clone() },
            (Face::Idle(_), Owner::Pairing(pairing)) => pairing.screen(mono),
            (Face::Idle(notice), Owner::Household(home)) => Screen::Home {
                wearer: home.wearer_name.as_ref().map(ToString::to_string).unwrap_or_default(),
                balance: home.balance,
                notice: notice.clone().or_else(|| home.stopped()),
            },
        }
    }

    fn user(&mut self, action: &UserAction, turn: &mut Turn) {
        self.touched = turn.mono;
        self.link.hurry();
        if self.order_action(action, turn) {
            return;
        }
        match self.face {
            Face::Idle(_) => match (action, &self.owner) {
                (UserAction::Start, _) => self.start_scan(),
                (UserAction::Settings, Owner::New | Owner::Household(_)) => self.face = Face::Settings,
                (UserAction::History, Owner::Household(_)) => self.face = Face::History,
                (UserAction::Cancel, Owner::Pairing(_)) => self.unpair(None),
                (UserAction::Done | UserAction::Cancel, Owner::New | Owner::Household(_)) => {
                    self.face = Face::Idle(None);
                }
                (_, _) => {}
            },
            Face::Scan(..) | Face::Checking(_) | Face::Fetching(_) | Face::Asking(_) | Face::History => {
                if matches!(action, UserAction::Cancel | UserAction::Done) {
                    self.face = Face::Idle(None);
                }
            }
            Face::ChoosePin(_) => self.choose_pin(action, turn),
            Face::Amount(_) => self.type_amount(action, turn),
            Face::Review(_) => self.review(action, turn),
            Face::Pin(..) => self.type_pin(action, turn),
            Face::Recognise(..) => self.recognise(action),
            Face::Settings => self.settings(action, turn),
        }
    }

    fn start_scan(&mut self) {
        let purpose = match &self.owner {
            Owner::Pairing(_) => return,
            Owner::New => ScanFor::Pairing,
            Owner::Household(home) if home.disowned => ScanFor::Pairing,
            Owner::Household(_) => ScanFor::Paying,
        };
        self.face = Face::Scan(purpose, None);
    }

    fn codes_read(&mut self, texts: &[String], turn: &mut Turn) {
        match self.face {
            Face::Scan(ScanFor::Pairing, _) => self.pairing_codes_read(texts, turn),
            Face::Scan(ScanFor::Paying, _) => self.payment_codes_read(texts, turn),
            Face::Idle(_)
            | Face::Checking(_)
            | Face::ChoosePin(_)
            | Face::Fetching(_)
            | Face::Asking(_)
            | Face::Amount(_)
            | Face::Review(_)
            | Face::History
            | Face::Pin(..)
            | Face::Recognise(..)
            | Face::Settings => {}
        }
    }

    /// How long the face may stay untouched.
    fn face_limit_ms(&self) -> Option<u64> {
        match self.face {
            Face::Scan(..) => Some(SCAN_LIMIT_MS),
            Face::Amount(_)
            | Face::Review(_)
            | Face::Pin(..)
            | Face::Recognise(..)
            | Face::ChoosePin(_)
            | Face::History
            | Face::Settings => Some(IDLE_LIMIT_MS),
            Face::Checking(_) | Face::Fetching(_) | Face::Asking(_) => Some(FETCH_LIMIT_MS),
            // A notice stays.
            Face::Idle(_) => None,
        }
    }

    /// What time makes due.
    fn settle(&mut self, turn: &mut Turn) {
        let idle = self.face_limit_ms().is_some_and(|limit| turn.mono >= self.touched.saturating_add(limit));
        if idle {
            let asking = matches!(self.face, Face::Checking(_) | Face::Fetching(_) | Face::Asking(_));
            let why = if self.link.is_up() { Notice::ServiceTrouble } else { Notice::NoNetwork };
            self.face = Face::Idle(asking.then_some(why));
        }
        self.settle_pairing(turn);
        self.settle_orders(turn);
        self.settle_removal();
        self.settle_pin(turn);
    }

    /// The state as actions, what must be durable first.
    fn flush(&mut self, turn: &mut Turn) {
        let before = self.actions.len();
        self.pump(turn);
        if self.dirty {
            self.dirty = false;
            let journal = Action::Persist(self.journal().to_bytes());
            self.actions.insert(before, journal);
        }
        let shown = self.order_screen(turn.mono).is_none();
        let sensing = shown && matches!(self.face, Face::Recognise(..));
        if sensing != self.sensing {
            self.sensing = sensing;
            self.actions.push_back(Action::Recognise(sensing));
        }
        let camera = shown && matches!(self.face, Face::Scan(..));
        if camera != self.camera {
            self.camera = camera;
            self.actions.push_back(Action::Camera(camera));
        }
    }

    fn journal(&self) -> Journal {
        let (pin, lock) = self.wearer.pin.record();
        Journal {
            v: V1,
            clock_offset_ms: self.clock.offset_ms(),
            pin,
            lock,
            asks: self.asks.clone(),
            owner: self.owner.record(),
        }
    }

    fn household(&self) -> Option<&Household> {
        match &self.owner {
            Owner::Household(home) => Some(home),
            Owner::New | Owner::Pairing(_) => None,
        }
    }

    fn household_mut(&mut self) -> Option<&mut Household> {
        match &mut self.owner {
            Owner::Household(home) => Some(home),
            Owner::New | Owner::Pairing(_) => None,
        }
    }

    /// Belongs to nobody from now on.
    fn unpair(&mut self, notice: Option<Notice>) {
        self.owner = Owner::New;
        self.forget_pin();
        self.link.reset();
        self.face = Face::Idle(notice);
        self.dirty = true;
    }

    /// Tells the wearer something where nothing more important is shown.
    fn tell(&mut self, notice: Notice) {
        self.face = Face::Idle(Some(notice));
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("face", &self.screen(self.touched)).finish_non_exhaustive()
    }
}
