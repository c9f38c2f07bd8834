//! Who wears the watch: the checks that tell (PIN, the platform's sensor), and the on-wrist session that follows one.
//!
//! Owns: when a check may be tried, what a failed try costs, how long a passed one counts. Never does: screens, messages
//! and the journal (`agent::wearer`), or the reading of a finger or a face (the platform).
//!
//! **Invariant:** only the PIN lasts: session and trust in the sensor live in memory, and end with the run, when the
//! watch is taken off, and when the PIN locks.

use nodpay_core::WearerMethod;

use crate::agent::{KeyStoreError, PinVault, VaultAnswer};
use crate::clock::Turn;
use crate::pin::{Digits, PinCost, PinLock, PinRecord};
use crate::view::PinGate;

/// The sensor fails to know the wearer this often in a row before it takes the PIN again.
pub const SENSOR_TRIES: u32 = 3;

/// One way to make sure who wears the watch.
pub(crate) trait WearerCheck {
    /// What the signed order calls it.
    fn method(&self) -> WearerMethod;

    /// Whether it may be tried now.
    fn is_open(&self, mono: u64) -> bool;

    /// Judges a try and counts it. Nothing passes while the check is not open, and no other check's proof.
    ///
    /// # Errors
    /// The hardware did not answer: nothing was tried.
    fn attempt(&mut self, proof: Proof<'_>, turn: &Turn) -> Result<bool, KeyStoreError>;
}

/// What the wearer gave.
pub(crate) enum Proof<'a> {
    /// Where the key store checks PINs, `vault` does.
    Typed { pin: &'a Digits, vault: Option<&'a mut dyn PinVault> },
    /// Whether the sensor knew them.
    Sensed(bool),
}

/// A check that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) method: WearerMethod,
    /// On the monotonic clock.
    pub(crate) at: u64,
}

/// All checks of one watch.
pub(crate) struct Wearer {
    pub(crate) pin: PinCheck,
    sensor: SensorCheck,
    /// The platform said that the watch is on a wrist. Without such a word there is no session.
    worn: bool,
    session: Option<Passed>,
}

impl Wearer {
    /// `sensor`: the platform has one.
    pub(crate) fn new(sensor: bool) -> Self {
        let sensor = SensorCheck { present: sensor, trusted: false, failed: 0 };
        Self { pin: PinCheck::default(), sensor, worn: false, session: None }
    }

    /// The check to ask for first.
    pub(crate) fn first(&self, mono: u64) -> WearerMethod {
        let checks: [&dyn WearerCheck; 2] = [&self.sensor, &self.pin];
        checks.into_iter().find(|check| check.is_open(mono)).map_or(WearerMethod::Pin, WearerCheck::method)
    }

    /// Lets the check that `proof` is for judge it. `None`: it did not pass.
    pub(crate) fn attempt(&mut self, proof: Proof<'_>, turn: &Turn) -> Result<Option<Passed>, KeyStoreError> {
        let check: &mut dyn WearerCheck = match &proof {
            Proof::Typed { .. } => &mut self.pin,
            Proof::Sensed(_) => &mut self.sensor,
        };
        let passed = check.attempt(proof, turn)?;
        let method = check.method();
        if !passed {
            if !self.pin.is_open(turn.mono) {
                self.forget();
            }
            return Ok(None);
        }
        if method == WearerMethod::Pin {
            self.sensor.trust();
        }
        let passed = Passed { method, at: turn.mono };
        self.session = self.worn.then_some(passed);
        Ok(Some(passed))
    }

    /// The check that still counts, where a session may last `session_ms`.
    pub(crate) fn session(&self, session_ms: u64, mono: u64) -> Option<Passed> {
        self.session.filter(|passed| mono.saturating_sub(passed.at) < session_ms)
    }

    pub(crate) fn set_worn(&mut self, worn: bool) {
        self.worn = worn;
        if !worn {
            self.forget();
        }
    }

    /// From now on only the PIN tells who this is.
    pub(crate) fn forget(&mut self) {
        self.session = None;
        self.sensor.trusted = false;
    }
}

/// The PIN and its lock. The lock is the watch's own, also where a key store checks PINs and has one of its kind: the
/// stricter holds.
#[derive(Default)]
pub(crate) struct PinCheck {
    /// `None` where the key store keeps it.
    record: Option<PinRecord>,
    lock: PinLock,
}

impl PinCheck {
    pub(crate) const fn restored(record: Option<PinRecord>, lock: PinLock) -> Self {
        Self { record, lock }
    }

    pub(crate) fn record(&self) -> (Option<PinRecord>, PinLock) {
        (self.record.clone(), self.lock)
    }

    /// Takes a PIN in place of the old one, unlocked. Whoever chose it was allowed to. False when it cannot be kept: then
    /// the old one stays.
    pub(crate) fn set(
        &mut self,
        pin: &Digits,
        vault: Option<&mut dyn PinVault>,
        cost: PinCost,
        turn: &mut Turn,
    ) -> bool {
        let record = match vault {
            Some(vault) => vault.set(pin.as_slice()).is_ok().then_some(None),
            None => PinRecord::new(pin, cost, turn).map(Some),
        };
        let Some(record) = record else { return false };
        *self = Self { record, lock: PinLock::default() };
        true
    }

    /// Hardware that does not give its own lock up says so at the next try.
    pub(crate) fn unlock(&mut self, vault: Option<&mut dyn PinVault>) {
        self.lock.clear();
        let _still_locked = vault.map(PinVault::unlock);
    }

    pub(crate) fn resume(&mut self, mono: u64) {
        self.lock.resume(mono);
    }

    /// Lets a wait end; true when one did.
    pub(crate) fn expire(&mut self, mono: u64) -> bool {
        self.lock.expire(mono)
    }

    /// When a wait ends, on the monotonic clock.
    pub(crate) fn wait_ends(&self) -> Option<u64> {
        self.lock.ends_at()
    }

    pub(crate) fn gate(&self, mono: u64) -> PinGate {
        self.lock.gate(mono)
    }

    pub(crate) const fn wrong(&self) -> u32 {
        self.lock.wrong()
    }
}

impl WearerCheck for PinCheck {
    fn method(&self) -> WearerMethod {
        WearerMethod::Pin
    }

    fn is_open(&self, mono: u64) -> bool {
        matches!(self.gate(mono), PinGate::Open { .. })
    }

    fn attempt(&mut self, proof: Proof<'_>, turn: &Turn) -> Result<bool, KeyStoreError> {
        let Proof::Typed { pin, vault } = proof else { return Ok(false) };
        if !self.is_open(turn.mono) {
            return Ok(false);
        }
        let answer = match (vault, &self.record) {
            (Some(vault), _) => vault.check(pin.as_slice())?,
            (None, Some(record)) if record.fits(pin) => VaultAnswer::Right,
            (None, _) => VaultAnswer::Wrong { tries_left: None },
        };
        match answer {
            VaultAnswer::Right => self.lock.clear(),
            VaultAnswer::Wrong { .. } => self.lock.count_wrong(turn.mono),
            VaultAnswer::Locked { for_ms } => {
                self.lock.count_wrong(turn.mono);
                self.lock.wait_at_least(for_ms, turn.mono);
            }
        }
        Ok(answer == VaultAnswer::Right)
    }
}

/// The platform's own sensor: finger, face. Trusted only after the PIN, as long as the watch stays on.
struct SensorCheck {
    present: bool,
    trusted: bool,
    /// In a row.
    failed: u32,
}

impl SensorCheck {
    const fn trust(&mut self) {
        self.trusted = true;
        self.failed = 0;
    }
}

impl WearerCheck for SensorCheck {
    fn method(&self) -> WearerMethod {
        WearerMethod::Biometric
    }

    fn is_open(&self, _mono: u64) -> bool {
        self.present && self.trusted
    }

    fn attempt(&mut self, proof: Proof<'_>, turn: &Turn) -> Result<bool, KeyStoreError> {
        let Proof::Sensed(known) = proof else { return Ok(false) };
        if !self.is_open(turn.mono) {
            return Ok(false);
        }
        self.failed = if known { 0 } else { self.failed + 1 };
        if self.failed >= SENSOR_TRIES {
            self.trusted = false;
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use nodpay_core::Timestamp;

    const COST: PinCost = PinCost { memory_kib: 32, passes: 1 };

    fn turn(mono: u64) -> Turn {
        Turn::new(&Moment { monotonic_ms: mono, wall: Timestamp::from_unix_ms(0), random: [7; 32] })
    }

    fn digits(text: &str) -> Digits {
        let mut digits = Digits::new();
        text.bytes().for_each(|byte| digits.push(byte - b'0'));
        digits
    }

    fn wearer(sensor: bool) -> Wearer {
        let mut wearer = Wearer::new(sensor);
        assert!(wearer.pin.set(&digits("7391"), None, COST, &mut turn(0)));
        wearer
    }

    fn typed(wearer: &mut Wearer, pin: &str, mono: u64) -> bool {
        let proof = Proof::Typed { pin: &digits(pin), vault: None };
        wearer.attempt(proof, &turn(mono)).expect("no hardware").is_some()
    }

    fn sensed(wearer: &mut Wearer, known: bool, mono: u64) -> bool {
        wearer.attempt(Proof::Sensed(known), &turn(mono)).expect("no hardware").is_some()
    }

    #[test]
    fn the_sensor_counts_only_after_the_pin_and_until_it_fails() {
        let mut wearer = wearer(true);
        wearer.set_worn(true);
        assert!(!sensed(&mut wearer, true, 1), "nobody typed the PIN yet");
        assert_eq!(wearer.first(1), WearerMethod::Pin);
        assert!(typed(&mut wearer, "7391", 2));
        assert_eq!(wearer.first(3), WearerMethod::Biometric);
        assert!(!sensed(&mut wearer, false, 3) && !sensed(&mut wearer, false, 4));
        assert!(sensed(&mut wearer, true, 5), "failures in a row count");
        for mono in 6..9 {
            assert_eq!(wearer.first(mono), WearerMethod::Biometric);
            assert!(!sensed(&mut wearer, false, mono));
        }
        assert_eq!(wearer.first(9), WearerMethod::Pin);
        assert!(!sensed(&mut wearer, true, 9));
        assert!(typed(&mut wearer, "7391", 10));
        assert!(sensed(&mut wearer, true, 11));
        wearer.set_worn(false);
        assert!(!sensed(&mut wearer, true, 12), "taken off");
        let mut without = self::wearer(false);
        assert!(typed(&mut without, "7391", 1));
        assert_eq!(without.first(2), WearerMethod::Pin);
        assert!(!sensed(&mut without, true, 2), "there is no sensor");
    }

    #[test]
    fn a_session_needs_a_wrist_and_ends_with_it() {
        let mut wearer = wearer(true);
        assert!(typed(&mut wearer, "7391", 1_000));
        assert_eq!(wearer.session(60_000, 1_000), None, "never said to be worn");
        wearer.set_worn(true);
        assert_eq!(wearer.session(60_000, 1_000), None, "typed before it was worn");
        assert!(typed(&mut wearer, "7391", 2_000));
        let passed = Some(Passed { method: WearerMethod::Pin, at: 2_000 });
        assert_eq!((wearer.session(60_000, 61_999), wearer.session(60_000, 62_000)), (passed, None));
        assert_eq!(wearer.session(0, 2_000), None, "off is off");
        assert!(sensed(&mut wearer, true, 3_000));
        assert_eq!(wearer.session(60_000, 4_000), Some(Passed { method: WearerMethod::Biometric, at: 3_000 }));
        wearer.set_worn(false);
        wearer.set_worn(true);
        assert_eq!(wearer.session(60_000, 4_000), None, "it was off the wrist");
    }

    /// Hardware that gives these answers, one after the other, and then fails.
    struct Vault(Vec<VaultAnswer>, bool);

    impl PinVault for Vault {
        fn set(&mut self, pin: &[u8]) -> Result<(), KeyStoreError> {
            if pin == [7, 3, 9, 1] { Ok(()) } else { Err(KeyStoreError("another PIN".to_owned())) }
        }

        fn check(&mut self, _pin: &[u8]) -> Result<VaultAnswer, KeyStoreError> {
            if self.0.is_empty() { Err(KeyStoreError("broken".to_owned())) } else { Ok(self.0.remove(0)) }
        }

        fn unlock(&mut self) -> Result<(), KeyStoreError> {
            self.1 = true;
            Ok(())
        }

        fn clear(&mut self) -> Result<(), KeyStoreError> {
            Ok(())
        }
    }

    #[test]
    fn hardware_judges_the_pin_and_the_stricter_lock_holds() {
        let wrong = VaultAnswer::Wrong { tries_left: None };
        let locked = |for_ms| VaultAnswer::Locked { for_ms };
        let mut vault = Vault(vec![wrong, VaultAnswer::Right, wrong, locked(Some(600_000)), locked(None)], false);
        let mut pin = PinCheck::default();
        assert!(!pin.set(&digits("8461"), Some(&mut vault), COST, &mut turn(0)));
        assert!(pin.set(&digits("7391"), Some(&mut vault), COST, &mut turn(0)));
        assert_eq!(pin.record().0, None, "nothing of it is in the journal");
        let typed = digits("7391");
        let mut attempt = |pin: &mut PinCheck, mono| {
            pin.attempt(Proof::Typed { pin: &typed, vault: Some(&mut vault) }, &turn(mono)).ok()
        };
        let open = |tries_left| PinGate::Open { tries_left };
        assert_eq!((attempt(&mut pin, 1), pin.gate(1)), (Some(false), open(Some(4))));
        assert_eq!((attempt(&mut pin, 2), pin.gate(2)), (Some(true), open(None)));
        assert_eq!((attempt(&mut pin, 3), pin.gate(3)), (Some(false), open(Some(4))));
        assert_eq!((attempt(&mut pin, 4), pin.gate(4)), (Some(false), PinGate::Wait { left_ms: 600_000 }));
        pin.resume(5);
        assert_eq!(pin.gate(5), PinGate::Wait { left_ms: 600_000 }, "in full after a reboot");
        assert!(pin.expire(600_005));
        assert_eq!((attempt(&mut pin, 600_005), pin.gate(600_005)), (Some(false), PinGate::Guardian));
        assert_eq!(attempt(&mut pin, 600_006), Some(false), "not asked while it is locked");
        pin.unlock(Some(&mut vault));
        assert!(vault.1);
        assert_eq!(pin.gate(600_007), open(None));
        let broken = pin.attempt(Proof::Typed { pin: &typed, vault: Some(&mut vault) }, &turn(600_008));
        assert!(broken.is_err());
        assert_eq!(pin.gate(600_008), open(None), "nothing was tried");
    }

    #[test]
    fn a_lock_ends_session_and_trust() {
        let mut wearer = wearer(true);
        wearer.set_worn(true);
        assert!(typed(&mut wearer, "7391", 1));
        (0..crate::TRIES).for_each(|_| assert!(!typed(&mut wearer, "7392", 2)));
        assert_eq!(wearer.session(60_000, 3), None);
        assert!(!sensed(&mut wearer, true, 3));
        assert!(!typed(&mut wearer, "7391", 3), "not even the right one");
    }
}
