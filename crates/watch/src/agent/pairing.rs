//! From a pairing code to a household: check the code, choose a PIN, make a key, claim, wait for the enrolment.

use nodpay_core::{PairingId, Timestamp, V1};
use nodpay_protocol::{
    Kind, LogBook, PairingClaim, PairingCode, RelyingParty, Verified, VerifyError, check_digits, sign,
    verify_outcome_certificate,
};

use super::household::Household;
use super::link::Link;
use super::{Agent, Face, Owner, PinAsk};
use crate::clock::{Turn, unsigned};
use crate::journal::{PairingRecord, Pins};
use crate::net::{Reply, ServiceAnswer, StateAnswer};
use crate::pin::{Digits, Weakness};
use crate::view::{Notice, Screen, UserAction};

/// After the code's expiry an enrolment that is under way may still arrive.
const GRACE_MS: i64 = 30_000;

/// The wearer chooses a PIN.
pub(super) struct Choosing {
    /// For the household of this code; `None`: a new one, which a guardian allowed.
    code: Option<PairingCode>,
    /// Typed and confirmed once.
    first: Option<Digits>,
    typed: Digits,
    notice: Option<Notice>,
}

impl Choosing {
    pub(super) fn new(code: Option<PairingCode>) -> Self {
        Self { code, first: None, typed: Digits::new(), notice: None }
    }

    pub(super) fn screen(&self) -> Screen {
        Screen::ChoosePin { digits: self.typed.len(), again: self.first.is_some(), notice: self.notice.clone() }
    }
}

/// The claim is made; the guardian has not enrolled this watch yet.
pub(super) struct Pairing {
    pub(super) pins: Pins,
    pub(super) pairing: PairingId,
    pub(super) expires: Timestamp,
    pub(super) claim: Verified<PairingClaim>,
    pub(super) delivered: bool,
    /// On the monotonic clock.
    pub(super) ends_at: u64,
}

impl Pairing {
    pub(super) fn screen(&self, mono: u64) -> Screen {
        let left_ms = self.ends_at.saturating_sub(mono).saturating_sub(unsigned(GRACE_MS));
        Screen::Pairing { check: check_digits(self.claim.digest()), left_ms }
    }

    /// Must be called before the first moment is over.
    pub(super) fn resume(&mut self, now: Timestamp, mono: u64) {
        self.ends_at = mono.saturating_add(unsigned(self.expires.plus_ms(GRACE_MS).ms_since(now)));
    }

    pub(super) fn record(&self) -> PairingRecord {
        PairingRecord {
            pins: self.pins.clone(),
            pairing: self.pairing,
            expires: self.expires,
            claim: self.claim.wire().to_owned(),
            delivered: self.delivered,
        }
    }
}

impl Pins {
    pub(super) fn relying_party(&self, demo_keys: bool) -> RelyingParty {
        RelyingParty { rp_id: self.rp_id.clone(), origins: self.origins.clone(), demo_keys }
    }
}

impl Agent {
    pub(super) fn pairing_codes_read(&mut self, texts: &[String], turn: &Turn) {
        let mut codes = texts.iter().filter_map(|text| PairingCode::parse(text));
        let scan = |notice| Face::Scan(crate::view::ScanFor::Pairing, Some(notice));
        self.face = match (codes.next(), codes.next()) {
            (Some(code), None) => {
                self.link.hurry();
                self.touched = turn.mono;
                Face::Checking(Box::new(code))
            }
            (Some(_), Some(_)) => scan(Notice::SeveralCodes),
            (None, _) => scan(Notice::NotAPairingCode),
        };
    }

    /// The answer of the code's service. Its time judges the code: a new watch's clock may be hours off.
    pub(super) fn checked(&mut self, reply: Reply, turn: &Turn) {
        let Face::Checking(code) = &self.face else { return };
        let Reply::Done(body) = reply else {
            self.tell(Notice::ServiceTrouble);
            return;
        };
        let Ok(answer) = serde_json::from_slice::<ServiceAnswer>(&body) else {
            self.tell(Notice::ServiceTrouble);
            return;
        };
        if verify_outcome_certificate(&answer.outcome_certificate, &code.root).is_err() {
            self.tell(Notice::NotGenuine);
            return;
        }
        if answer.now >= code.expires {
            self.tell(Notice::PairingExpired);
            return;
        }
        let code = PairingCode::clone(code);
        self.clock.learn(answer.now, turn);
        self.touched = turn.mono;
        self.face = Face::ChoosePin(Box::new(Choosing::new(Some(code))));
    }

    pub(super) fn choose_pin(&mut self, action: &UserAction, turn: &mut Turn) {
        let Face::ChoosePin(choosing) = &mut self.face else { return };
        match action {
            UserAction::Digit(digit) => {
                choosing.notice = None;
                choosing.typed.push(*digit);
            }
            UserAction::Backspace => choosing.typed.pop(),
            UserAction::Cancel | UserAction::Done => self.face = Face::Idle(None),
            UserAction::Start
            | UserAction::History
            | UserAction::Settings
            | UserAction::Occasion(_)
            | UserAction::AskGuardian
            | UserAction::UsePin => {}
            UserAction::Confirm => {
                let typed = std::mem::replace(&mut choosing.typed, Digits::new());
                match choosing.first.take() {
                    None => match typed.weakness() {
                        Some(Weakness::TooShort) => choosing.notice = Some(Notice::PinTooShort),
                        Some(Weakness::TooEasy) => choosing.notice = Some(Notice::PinTooEasy),
                        None => choosing.first = Some(typed),
                    },
                    Some(first) if first == typed => match choosing.code.take() {
                        Some(code) => self.claim(code, &typed, turn),
                        None => self.change_pin(&typed, turn),
                    },
                    Some(_) => choosing.notice = Some(Notice::PinsDiffer),
                }
            }
        }
    }

    /// A key of its own for each household: an old one opens nothing in a new place.
    fn claim(&mut self, code: PairingCode, pin: &Digits, turn: &mut Turn) {
        let key = self.keys.renew(&turn.bytes32());
        let (true, Ok(key)) = (self.keep_pin(pin, turn), key) else {
            self.tell(Notice::PairingFailed);
            return;
        };
        let watch = turn.watch_id();
        let claim = PairingClaim {
            v: V1,
            pairing: code.pairing,
            household: code.household,
            watch,
            key,
            proof: code.secret.prove(code.pairing, code.household, watch, &key),
        };
        let Ok(claim) = sign(Kind::PairingClaim, claim, &*self.keys) else {
            self.tell(Notice::PairingFailed);
            return;
        };
        let pins = Pins {
            service: code.service,
            household: code.household,
            founding: code.founding,
            root: code.root,
            rp_id: code.rp_id,
            origins: code.origins,
            watch,
            key,
        };
        let mut pairing =
            Pairing { pins, pairing: code.pairing, expires: code.expires, claim, delivered: false, ends_at: 0 };
        pairing.resume(self.clock.now(turn), turn.mono);
        self.link = Link::after(&self.link);
        self.owner = Owner::Pairing(Box::new(pairing));
        self.asks = PinAsk::default();
        self.face = Face::Idle(None);
        self.dirty = true;
    }

    pub(super) fn claimed(&mut self, reply: Reply) {
        let Owner::Pairing(pairing) = &mut self.owner else { return };
        match reply {
            Reply::Done(_) => {
                pairing.delivered = true;
                self.dirty = true;
            }
            Reply::Refused(code) if code == "pairing-expired" => self.unpair(Some(Notice::PairingExpired)),
            Reply::Refused(_) => self.unpair(Some(Notice::PairingFailed)),
        }
    }

    /// The household's log, if it names this watch already.
    pub(super) fn adopt(&mut self, answer: StateAnswer) {
        let Owner::Pairing(pairing) = &self.owner else { return };
        if answer.log.is_empty() {
            return;
        }
        match enrolment(pairing, &answer.log, self.config.demo_keys) {
            // Others were enrolled, this watch not yet.
            Ok(None) => {}
            Ok(Some(book)) => {
                let mut home = Household::new(pairing.pins.clone(), book, answer.log.clone());
                home.take_state(&answer);
                self.owner = Owner::Household(Box::new(home));
                self.dirty = true;
            }
            Err(_) => self.unpair(Some(Notice::NotGenuine)),
        }
    }

    pub(super) fn settle_pairing(&mut self, turn: &Turn) {
        if let Owner::Pairing(pairing) = &self.owner
            && turn.mono >= pairing.ends_at
        {
            self.unpair(Some(Notice::PairingExpired));
        }
    }
}

/// Verifies the whole log from the pinned founding entry on.
fn enrolment(pairing: &Pairing, log: &[String], demo_keys: bool) -> Result<Option<LogBook>, VerifyError> {
    let Some((founding, rest)) = log.split_first() else { return Ok(None) };
    let pins = &pairing.pins;
    let mut book = LogBook::found(founding, Some(pins.founding), pins.relying_party(demo_keys))?;
    if book.household() != pins.household {
        return Err(VerifyError::OtherHousehold);
    }
    for wire in rest {
        book.append(wire)?;
    }
    match book.enrolled(pins.watch) {
        Ok(enrolled) if enrolled.key == pins.key => Ok(Some(book)),
        // The household enrolled our id with another's key.
        Ok(_) => Err(VerifyError::OtherWatch),
        Err(VerifyError::UnknownWatch) => Ok(None),
        Err(error) => Err(error),
    }
}
