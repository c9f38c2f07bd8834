//! The wearer at the watch: the faces that check who they are, the settings, what the guardians are told of the PIN, and
//! what they allow.
//!
//! A guardian's command obeys these steps: the watch makes a nonce when there is something to tell, reports it signed, and
//! obeys one log entry that names the watch and that nonce; the nonce is gone in the same journal entry.

use nodpay_core::{
    Entry, LogEntry, MandateId, Nonce, PinCommand, PinConsent, PinReport, PinState, V1, WearerCheck, WearerMethod,
};
use nodpay_protocol::{Kind, sign};
use serde::{Deserialize, Serialize};

use super::pairing::Choosing;
use super::shop::Offer;
use super::{Agent, Face, Owner, PinVault};
use crate::clock::{Turn, signed, unsigned};
use crate::pin::{Digits, MIN_DIGITS, TRIES};
use crate::view::{About, Notice, PinGate, Screen, UserAction};
use crate::wearer::{Passed, PinCheck, Proof};

/// What stands between this watch and its guardians about the PIN. Journalled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PinAsk {
    /// What a command must name. `None`: no command is obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<Nonce>,
    /// The wearer asks.
    asked: bool,
    /// A guardian allowed a new PIN; until one is chosen.
    may_choose: bool,
    /// The newest report.
    told: Told,
    /// Its wire, until the service has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    seq: u64,
    state: PinState,
    wrong: u32,
}

impl Default for Told {
    fn default() -> Self {
        Self { seq: 0, state: PinState::Ok, wrong: 0 }
    }
}

impl PinAsk {
    /// Number and wire of the report that the service has not acknowledged.
    pub(super) fn unsent(&self) -> Option<(u64, &str)> {
        self.report.as_deref().map(|wire| (self.told.seq, wire))
    }
}

impl Agent {
    /// Makes sure who wears the watch, by whatever is open now, and then places the order.
    pub(super) fn check_wearer(&mut self, offer: Box<Offer>, turn: &mut Turn) {
        if let Some(passed) = self.wearer.session(self.session_ms(), turn.mono) {
            self.place_order(*offer, self.stated(passed, turn), turn);
            return;
        }
        self.face = match self.wearer.first(turn.mono) {
            WearerMethod::Biometric => Face::Recognise(offer, None),
            WearerMethod::Pin => Face::Pin(offer, Digits::new()),
        };
    }

    /// As the order says it: by the service's clock, however that was corrected since.
    fn stated(&self, passed: Passed, turn: &Turn) -> WearerCheck {
        let ago = signed(turn.mono.saturating_sub(passed.at));
        WearerCheck { method: passed.method, at: self.clock.now(turn).plus_ms(-ago) }
    }

    /// As the guardians set it, by the newest entry this watch follows.
    fn session_ms(&self) -> u64 {
        self.household().map_or(0, |home| unsigned(home.book.session_ms(home.pins.watch, u64::MAX)))
    }

    pub(super) fn type_pin(&mut self, action: &UserAction, turn: &mut Turn) {
        let open = matches!(self.wearer.pin.gate(turn.mono), PinGate::Open { .. });
        let Face::Pin(_, typed) = &mut self.face else { return };
        match action {
            UserAction::Digit(digit) if open => typed.push(*digit),
            UserAction::Backspace => typed.pop(),
            UserAction::Cancel | UserAction::Done => self.face = Face::Idle(None),
            UserAction::Confirm if open && typed.len() >= MIN_DIGITS => self.check_pin(turn),
            UserAction::AskGuardian => self.ask_guardian(turn),
            UserAction::Confirm
            | UserAction::Digit(_)
            | UserAction::Start
            | UserAction::History
            | UserAction::Settings
            | UserAction::Occasion(_)
            | UserAction::UsePin => {}
        }
    }

    /// The count of wrong tries is journalled before anyone learns that this one was wrong.
    fn check_pin(&mut self, turn: &mut Turn) {
        let Face::Pin(_, typed) = &mut self.face else { return };
        self.dirty = true;
        let proof = Proof::Typed { pin: typed, vault: self.keys.pin_vault() };
        let judged = self.wearer.attempt(proof, turn);
        typed.clear();
        match judged {
            Ok(Some(passed)) => self.passed(passed, turn),
            Ok(None) => {}
            Err(_) => self.tell(Notice::ServiceTrouble),
        }
    }

    fn passed(&mut self, passed: Passed, turn: &mut Turn) {
        let face = std::mem::replace(&mut self.face, Face::Idle(None));
        if let Face::Pin(offer, _) | Face::Recognise(offer, _) = face {
            self.place_order(*offer, self.stated(passed, turn), turn);
        }
    }

    pub(super) fn recognise(&mut self, action: &UserAction) {
        match action {
            UserAction::UsePin => self.use_pin(),
            UserAction::Cancel | UserAction::Done => self.face = Face::Idle(None),
            UserAction::Confirm
            | UserAction::Digit(_)
            | UserAction::Backspace
            | UserAction::Start
            | UserAction::History
            | UserAction::Settings
            | UserAction::Occasion(_)
            | UserAction::AskGuardian => {}
        }
    }

    fn use_pin(&mut self) {
        if !matches!(self.face, Face::Recognise(..)) {
            return;
        }
        if let Face::Recognise(offer, _) = std::mem::replace(&mut self.face, Face::Idle(None)) {
            self.face = Face::Pin(offer, Digits::new());
        }
    }

    /// The sensor's answer. It was asked once; a further try is asked for anew.
    pub(super) fn recognised(&mut self, known: bool, turn: &mut Turn) {
        if !std::mem::take(&mut self.sensing) || !matches!(self.face, Face::Recognise(..)) {
            return;
        }
        self.touched = turn.mono;
        match self.wearer.attempt(Proof::Sensed(known), turn).ok().flatten() {
            Some(passed) => self.passed(passed, turn),
            None if self.wearer.first(turn.mono) == WearerMethod::Pin => self.use_pin(),
            None => {
                if let Face::Recognise(_, notice) = &mut self.face {
                    *notice = Some(Notice::NotRecognised);
                }
            }
        }
    }

    pub(super) fn worn(&mut self, worn: bool) {
        self.wearer.set_worn(worn);
        if !worn {
            self.use_pin();
        }
    }

    pub(super) fn about(&self) -> About {
        let pins = self.household().map(|home| &home.pins);
        About {
            service: pins.map(|pins| pins.service.clone()).unwrap_or_default(),
            watch: pins.map(|pins| pins.watch.to_string()).unwrap_or_default(),
            session_ms: self.session_ms(),
            pin_change_asked: self.pin_asked(),
        }
    }

    pub(super) fn pin_screen(&self, typed: &Digits, mono: u64) -> Screen {
        Screen::Pin { digits: typed.len(), gate: self.wearer.pin.gate(mono), asked: self.pin_asked() }
    }

    const fn pin_asked(&self) -> bool {
        self.asks.asked && !self.asks.may_choose
    }

    pub(super) fn settings(&mut self, action: &UserAction, turn: &mut Turn) {
        match action {
            UserAction::AskGuardian => self.ask_guardian(turn),
            UserAction::Cancel | UserAction::Done => self.face = Face::Idle(None),
            UserAction::Confirm
            | UserAction::Digit(_)
            | UserAction::Backspace
            | UserAction::Start
            | UserAction::History
            | UserAction::Settings
            | UserAction::Occasion(_)
            | UserAction::UsePin => {}
        }
    }

    /// To unlock the PIN or to choose a new one; where that is allowed already, the wearer goes on to it.
    fn ask_guardian(&mut self, turn: &mut Turn) {
        if self.household().is_none() {
            return;
        }
        if self.asks.may_choose {
            self.choose_new_pin(turn);
        } else if !self.asks.asked {
            self.asks.asked = true;
            self.dirty = true;
        }
        self.link.hurry();
    }

    fn choose_new_pin(&mut self, turn: &Turn) {
        self.touched = turn.mono;
        self.face = Face::ChoosePin(Box::new(Choosing::new(None)));
    }

    /// Chosen twice, with a guardian's consent: it takes the old one's place, and nothing is locked any more.
    pub(super) fn change_pin(&mut self, pin: &Digits, turn: &mut Turn) {
        if !self.asks.may_choose || !self.keep_pin(pin, turn) {
            self.tell(Notice::ServiceTrouble);
            return;
        }
        self.asks = PinAsk { told: self.asks.told, report: self.asks.report.take(), ..PinAsk::default() };
        self.dirty = true;
        self.tell(Notice::PinChanged);
    }

    /// The PIN from now on, where the key store keeps PINs or in the journal. False when it cannot be kept.
    pub(super) fn keep_pin(&mut self, pin: &Digits, turn: &mut Turn) -> bool {
        let kept = self.wearer.pin.set(pin, self.keys.pin_vault(), self.config.pin_cost, turn);
        if kept {
            self.wearer.forget();
        }
        kept
    }

    pub(super) fn forget_pin(&mut self) {
        self.wearer.pin = PinCheck::default();
        self.wearer.forget();
        self.asks = PinAsk::default();
        // Where that fails the next pairing overwrites it; nobody asks for it until then.
        let _kept = self.keys.pin_vault().map(PinVault::clear);
    }

    /// A log entry that was just verified and followed.
    pub(super) fn obey(&mut self, entry: &LogEntry, looser: bool, turn: &Turn) {
        let Some(enacted) = self.household().and_then(|home| home.book.enacted(entry)).cloned() else { return };
        match enacted {
            Entry::PinCommand(command) => self.obey_command(command, turn),
            Entry::SetSession(session) => {
                if self.household().is_some_and(|home| home.pins.watch == session.watch) {
                    self.mention(Notice::SessionSet { session_ms: unsigned(session.session_ms) });
                }
            }
            Entry::AddGuardian(_) => self.mention(Notice::GuardianAdded),
            Entry::Recover(_) => self.mention(Notice::RecoveryBegun),
            Entry::Found(_)
            | Entry::EnrolWatch(_)
            | Entry::RemoveWatch(_)
            | Entry::RemoveGuardian(_)
            | Entry::Object(_)
            | Entry::Propose(_)
            | Entry::Second(_)
            | Entry::Withdraw(_)
            | Entry::EnrolRecovery(_)
            | Entry::Unfreeze(_)
            | Entry::SetHouseRules(_)
            | Entry::Erase(_) => {}
            Entry::SetMandate(mandate) => self.tell_rule(mandate.mandate, looser),
            Entry::EndMandate(mandate) => self.tell_rule(mandate, looser),
        }
    }

    /// A rule of this watch's was set or ended; the wearer is told when it allows more.
    fn tell_rule(&mut self, mandate: MandateId, looser: bool) {
        let rule = self.household().and_then(|home| {
            let newest = home.book.mandate_ever(mandate)?;
            (newest.mandate.watch == home.pins.watch).then(|| newest.mandate.name.to_string())
        });
        if let Some(name) = rule.filter(|_| looser) {
            self.mention(Notice::RuleLooser { name });
        }
    }

    /// Told where the wearer is doing nothing else.
    fn mention(&mut self, notice: Notice) {
        if matches!(self.face, Face::Idle(_)) {
            self.tell(notice);
        }
    }

    fn obey_command(&mut self, command: PinCommand, turn: &Turn) {
        let ours = self.household().is_some_and(|home| home.pins.watch == command.watch);
        if !ours || self.asks.nonce != Some(command.nonce) {
            return;
        }
        self.asks.nonce = None;
        self.dirty = true;
        match command.command {
            PinConsent::Unlock => {
                self.wearer.pin.unlock(self.keys.pin_vault());
                self.asks.asked = false;
                if matches!(self.face, Face::Idle(_)) {
                    self.tell(Notice::PinUnlocked);
                }
            }
            PinConsent::NewPin => {
                self.asks.may_choose = true;
                let free = matches!(self.face, Face::Idle(_) | Face::Pin(..) | Face::Settings);
                if free && self.order_screen(turn.mono).is_none() {
                    self.choose_new_pin(turn);
                }
            }
        }
    }

    fn pin_state(&self) -> PinState {
        let wrong = self.wearer.pin.wrong();
        match (wrong >= crate::GUARDIAN_TRIES, self.asks.asked) {
            (true, true) => PinState::AskedUnlock,
            (true, false) => PinState::Locked,
            (false, true) => PinState::AskedNewPin,
            (false, false) if wrong >= TRIES => PinState::Waiting,
            (false, false) => PinState::Ok,
        }
    }

    /// Signs a report when something changed that the guardians should know.
    pub(super) fn settle_pin(&mut self, turn: &mut Turn) {
        if self.wearer.pin.expire(turn.mono) {
            self.dirty = true;
        }
        let Owner::Household(home) = &self.owner else { return };
        let state = self.pin_state();
        // Fewer are between the wearer and the watch.
        let wrong = Some(self.wearer.pin.wrong()).filter(|wrong| *wrong >= TRIES).unwrap_or(0);
        let told = Told { seq: self.asks.told.seq + 1, state, wrong };
        if told == (Told { seq: told.seq, ..self.asks.told }) {
            return;
        }
        let nonce = self.asks.nonce.unwrap_or_else(|| turn.nonce());
        let now = self.clock.now(turn);
        let left_ms = self.wearer.pin.wait_ends().unwrap_or(turn.mono).saturating_sub(turn.mono);
        let report = PinReport {
            v: V1,
            household: home.pins.household,
            watch: home.pins.watch,
            seq: told.seq,
            nonce,
            state,
            wrong,
            until: (state == PinState::Waiting).then(|| now.plus_ms(signed(left_ms))),
            at: now,
        };
        // Where the key store does not sign, the next input tries again.
        let Ok(report) = sign(Kind::PinReport, report, &*self.keys) else { return };
        self.asks.nonce = (state != PinState::Ok).then_some(nonce);
        self.asks.told = told;
        self.asks.report = Some(report.wire().to_owned());
        self.dirty = true;
    }

    /// Taken, or never to be taken.
    pub(super) fn pin_report_answered(&mut self, seq: u64) {
        // Otherwise a newer one is on its way.
        if seq == self.asks.told.seq {
            self.asks.report = None;
            self.dirty = true;
        }
    }
}
