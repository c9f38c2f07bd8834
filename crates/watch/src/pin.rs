//! The wearer's PIN: what is typed, what is kept of it, and the lock after wrong tries.
//!
//! A PIN of four digits is not protected by its hash but by the lock; the lock is in the journal, so that a reboot does
//! not lift it. When it is asked for, and who else may tell who the wearer is: `wearer`. The PIN itself is never stored and is wiped from memory.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use nodpay_core::{Digest, Salt};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock::Turn;
use crate::view::PinGate;

pub(crate) const MIN_DIGITS: usize = 4;
pub(crate) const MAX_DIGITS: usize = 8;

/// Wrong tries in a row before the first wait. After a wait each further wrong try makes another.
pub const TRIES: u32 = 5;
/// Wrong tries in a row after which only a guardian unlocks the PIN.
pub const GUARDIAN_TRIES: u32 = 10;
/// The first wait: one minute. Each later one is twice as long; the last, sixteen minutes.
pub const FIRST_LOCK_MS: u64 = 60_000;
/// PINs that many people choose, which no rule below tells: a column of the pad, and well-known sounds.
const POPULAR: [&[u8]; 4] = [&[2, 5, 8, 0], &[0, 8, 5, 2], &[1, 3, 1, 4], &[5, 2, 0, 1, 3, 1, 4]];

/// Capacity of the hash's memory, in blocks of 1 KiB: above glibc's largest mmap threshold (32 MiB), so that the memory
/// is mapped for this one hash and goes back to the system after it. Only what the hash uses is ever touched.
const MAPPED_BLOCKS: usize = 33 * 1024;

/// Work of the PIN hash, Argon2id (RFC 9106) with one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinCost {
    /// KiB; 8 to 32768.
    pub memory_kib: u32,
    /// 1 to 16.
    pub passes: u32,
}

impl PinCost {
    /// 8 MiB, three passes.
    pub const DEVICE: Self = Self { memory_kib: 8 * 1024, passes: 3 };

    fn params(self) -> Option<Params> {
        let sound = (8..=32 * 1024).contains(&self.memory_kib) && (1..=16).contains(&self.passes);
        sound.then(|| Params::new(self.memory_kib, self.passes, 1, Some(32)).ok()).flatten()
    }
}

/// Digits typed so far. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digits(Zeroizing<Vec<u8>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    TooShort,
    TooEasy,
}

impl Digits {
    pub(crate) fn new() -> Self {
        // All at once, so that no half-typed copy stays behind when the buffer grows.
        Self(Zeroizing::new(Vec::with_capacity(MAX_DIGITS)))
    }

    pub(crate) fn push(&mut self, digit: u8) {
        if digit <= 9 && self.0.len() < MAX_DIGITS {
            self.0.push(digit);
        }
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    pub(crate) fn clear(&mut self) {
        self.0.zeroize();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Each 0 to 9.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Easy: fewer than three different digits, a run up or down (0 follows 9), a block said again, a year of birth, and
    /// a few that everybody knows.
    pub(crate) fn weakness(&self) -> Option<Weakness> {
        if self.len() < MIN_DIGITS {
            return Some(Weakness::TooShort);
        }
        let digits = self.0.as_slice();
        let few = (0..=9).filter(|digit| digits.contains(digit)).count() < 3;
        let runs = |step: u8| digits.windows(2).all(|pair| matches!(pair, [a, b] if (a + step) % 10 == *b));
        let repeats = (1..=digits.len() / 2).any(|block| {
            digits.len().is_multiple_of(block) && digits.iter().zip(digits.iter().skip(block)).all(|(a, b)| a == b)
        });
        let year = matches!(digits, [1, 9, _, _] | [2, 0, _, _]);
        let easy = few || runs(1) || runs(9) || repeats || year || POPULAR.contains(&digits);
        easy.then_some(Weakness::TooEasy)
    }
}

impl std::fmt::Debug for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digits({} hidden)", self.len())
    }
}

/// What is kept of a PIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinRecord {
    salt: Salt,
    hash: Digest,
    cost: PinCost,
}

impl PinRecord {
    /// `None` when the cost is out of its bounds.
    pub(crate) fn new(pin: &Digits, cost: PinCost, turn: &mut Turn) -> Option<Self> {
        let salt = turn.salt();
        Some(Self { salt, hash: hash(pin, salt, cost)?, cost })
    }

    pub(crate) fn fits(&self, pin: &Digits) -> bool {
        hash(pin, self.salt, self.cost).is_some_and(|hash| hash.as_bytes().ct_eq(self.hash.as_bytes()).into())
    }
}

fn hash(pin: &Digits, salt: Salt, cost: PinCost) -> Option<Digest> {
    let params = cost.params()?;
    let mut blocks = Vec::with_capacity(MAPPED_BLOCKS);
    blocks.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = Zeroizing::new([0; 32]);
    argon2.hash_password_into_with_memory(&pin.0, salt.as_bytes(), out.as_mut_slice(), &mut blocks).ok()?;
    Some(Digest::from_bytes(*out))
}

/// Wrong tries and the lock they led to. It knows no calendar: a wait that a reboot interrupts starts anew in full, so
/// that no clock shortens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinLock {
    /// In a row.
    wrong: u32,
    /// Length of the wait that is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait_ms: Option<u64>,
    /// End of the wait on the monotonic clock of this run.
    #[serde(skip)]
    until: Option<u64>,
}

impl PinLock {
    pub(crate) fn resume(&mut self, mono: u64) {
        self.until = self.wait_ms.map(|wait_ms| mono.saturating_add(wait_ms));
    }

    pub(crate) fn gate(&self, mono: u64) -> PinGate {
        let left_ms = self.until.map_or(0, |until| until.saturating_sub(mono));
        match self.wrong {
            GUARDIAN_TRIES.. => PinGate::Guardian,
            _ if left_ms > 0 => PinGate::Wait { left_ms },
            0 => PinGate::Open { tries_left: None },
            wrong => PinGate::Open { tries_left: Some(TRIES.saturating_sub(wrong).max(1)) },
        }
    }

    pub(crate) const fn ends_at(&self) -> Option<u64> {
        self.until
    }

    pub(crate) const fn wrong(&self) -> u32 {
        self.wrong
    }

    pub(crate) fn count_wrong(&mut self, mono: u64) {
        self.wrong = self.wrong.saturating_add(1);
        let waits = (TRIES..GUARDIAN_TRIES).contains(&self.wrong);
        self.wait_ms = waits.then(|| FIRST_LOCK_MS << (self.wrong - TRIES));
        self.resume(mono);
    }

    /// A lock that hardware set: at least this long, or (`None`) until a guardian unlocks it.
    pub(crate) fn wait_at_least(&mut self, wait_ms: Option<u64>, mono: u64) {
        match wait_ms {
            Some(wait_ms) => self.wait_ms = self.wait_ms.max(Some(wait_ms)),
            None => *self = Self { wrong: GUARDIAN_TRIES, ..Self::default() },
        }
        self.resume(mono);
    }

    /// The PIN was right, or a guardian forgave.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Lets a wait end; true when one did.
    pub(crate) fn expire(&mut self, mono: u64) -> bool {
        let over = self.until.is_some_and(|until| mono >= until);
        if over {
            self.wait_ms = None;
            self.until = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use nodpay_core::Timestamp;

    fn digits(text: &str) -> Digits {
        let mut digits = Digits::new();
        text.bytes().for_each(|byte| digits.push(byte - b'0'));
        digits
    }

    fn turn(mono: u64, wall: i64) -> Turn {
        Turn::new(&Moment { monotonic_ms: mono, wall: Timestamp::from_unix_ms(wall), random: [7; 32] })
    }

    #[test]
    fn easy_pins_are_told() {
        for text in [
            "1111", "1234", "4321", "7890", "2109", "00000000", "23456789", "1212", "1122", "7778", "12341234",
            "520520", "731731", "2014", "1987", "2580", "1314", "5201314",
        ] {
            assert_eq!(digits(text).weakness(), Some(Weakness::TooEasy), "{text}");
        }
        for text in ["", "1", "739"] {
            assert_eq!(digits(text).weakness(), Some(Weakness::TooShort), "{text}");
        }
        for text in ["7391", "1235", "90210", "27182818", "73173", "201407", "8461"] {
            assert_eq!(digits(text).weakness(), None, "{text}");
        }
    }

    #[test]
    fn only_the_right_pin_fits() {
        let cost = PinCost { memory_kib: 64, passes: 1 };
        let record = PinRecord::new(&digits("7391"), cost, &mut turn(0, 0)).expect("a sound cost");
        assert!(record.fits(&digits("7391")));
        assert!(!record.fits(&digits("7392")));
        assert!(!record.fits(&digits("73910")));
        let kept = serde_json::to_string(&record).expect("serialises");
        assert!(!kept.contains("7391"), "{kept}");
        assert_eq!(PinRecord::new(&digits("7391"), PinCost { memory_kib: 1, passes: 1 }, &mut turn(0, 0)), None);
    }

    #[test]
    fn the_device_cost_works() {
        let record = PinRecord::new(&digits("7391"), PinCost::DEVICE, &mut turn(0, 0)).expect("a sound cost");
        assert!(record.fits(&digits("7391")));
    }

    #[test]
    fn a_pin_has_at_most_eight_digits_and_stays_out_of_debug() {
        let digits = digits("739173917391");
        assert_eq!(digits.len(), MAX_DIGITS);
        assert_eq!(format!("{digits:?}"), "Digits(8 hidden)");
    }

    #[test]
    fn every_wrong_try_has_its_price() {
        let open = |tries_left| PinGate::Open { tries_left };
        let wait = |minutes: u64| PinGate::Wait { left_ms: minutes * 60_000 };
        let mut lock = PinLock::default();
        let mut mono = 0;
        assert_eq!(lock.gate(mono), open(None));
        // After each wrong try, and after the wait that it may bring.
        let steps = [
            (open(Some(4)), None),
            (open(Some(3)), None),
            (open(Some(2)), None),
            (open(Some(1)), None),
            (wait(1), Some(60_000)),
            (wait(2), Some(120_000)),
            (wait(4), Some(240_000)),
            (wait(8), Some(480_000)),
            (wait(16), Some(960_000)),
            (PinGate::Guardian, None),
            (PinGate::Guardian, None),
        ];
        for (index, (gate, pause)) in steps.into_iter().enumerate() {
            lock.count_wrong(mono);
            assert_eq!(lock.gate(mono), gate, "wrong try {}", index + 1);
            assert_eq!(lock.ends_at().is_some(), pause.is_some());
            if let Some(pause) = pause {
                assert!(!lock.expire(mono + pause - 1));
                mono += pause;
                assert!(lock.expire(mono));
                assert_eq!(lock.gate(mono), open(Some(1)));
            }
        }
        assert_eq!(lock.gate(u64::MAX), PinGate::Guardian, "time does not lift it");
        lock.clear();
        assert_eq!(lock.gate(mono), open(None));
    }

    #[test]
    fn a_reboot_starts_a_wait_anew_and_forgets_no_try() {
        let reboot = |lock: &PinLock| {
            let text = serde_json::to_string(lock).expect("serialises");
            let mut lock: PinLock = serde_json::from_str(&text).expect("parses");
            lock.resume(5);
            lock
        };
        let mut lock = PinLock::default();
        (0..TRIES).for_each(|_| lock.count_wrong(1_000));
        assert_eq!(reboot(&lock).gate(5), PinGate::Wait { left_ms: FIRST_LOCK_MS });
        assert!(lock.expire(61_000));
        assert_eq!(reboot(&lock).gate(5), PinGate::Open { tries_left: Some(1) }, "a wait that is over is over");
        (TRIES..GUARDIAN_TRIES).for_each(|_| lock.count_wrong(61_000));
        assert_eq!(reboot(&lock).gate(5), PinGate::Guardian);
    }
}
