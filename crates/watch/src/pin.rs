//! The wearer's PIN: what is typed, what is kept of it, and the lock after wrong tries.
//!
//! A PIN of four digits is not protected by its hash but by the lock; the lock is in the journal, so that a reboot does
//! not lift it. The PIN itself is never stored and is wiped from memory.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use nodpay_core::{Digest, Salt, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock::{Turn, unsigned};

pub(crate) const MIN_DIGITS: usize = 4;
pub(crate) const MAX_DIGITS: usize = 8;

/// Wrong tries in a row before the first lock. After a lock each further wrong try locks again.
pub const TRIES: u32 = 5;
/// The first lock: one minute. Each later one is twice as long.
pub const FIRST_LOCK_MS: u64 = 60_000;
/// The longest lock: one hour.
pub const LONGEST_LOCK_MS: u64 = 60 * 60 * 1000;

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

    /// All digits the same, or a run up or down (0 follows 9).
    pub(crate) fn weakness(&self) -> Option<Weakness> {
        if self.len() < MIN_DIGITS {
            return Some(Weakness::TooShort);
        }
        let steps_by = |step: u8| self.0.windows(2).all(|pair| matches!(pair, [a, b] if (a + step) % 10 == *b));
        [0, 1, 9].into_iter().any(steps_by).then_some(Weakness::TooEasy)
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

/// Wrong tries and the lock they led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinLock {
    /// In a row.
    wrong: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked: Option<Locked>,
    /// End on the monotonic clock of this run.
    #[serde(skip)]
    until: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locked {
    /// By the wall clock.
    since: Timestamp,
    for_ms: u64,
}

impl PinLock {
    /// After a reboot only the wall clock tells how much of a lock is over; where it went back, the lock starts anew.
    pub(crate) fn resume(&mut self, turn: &Turn) {
        let Some(locked) = &mut self.locked else { return };
        let passed = turn.wall.ms_since(locked.since);
        if passed < 0 {
            locked.since = turn.wall;
        }
        let left = locked.for_ms.min(LONGEST_LOCK_MS).saturating_sub(unsigned(passed));
        self.until = Some(turn.mono.saturating_add(left));
    }

    pub(crate) fn left_ms(&self, mono: u64) -> u64 {
        self.until.map_or(0, |until| until.saturating_sub(mono))
    }

    pub(crate) fn ends_at(&self) -> Option<u64> {
        self.until
    }

    /// `None` before the first wrong try.
    pub(crate) fn tries_left(&self, mono: u64) -> Option<u32> {
        match (self.wrong, self.left_ms(mono)) {
            (0, _) => None,
            (_, left) if left > 0 => Some(0),
            (wrong, _) => Some(TRIES.saturating_sub(wrong).max(1)),
        }
    }

    pub(crate) fn wrong(&mut self, turn: &Turn) {
        self.wrong = self.wrong.saturating_add(1);
        let Some(further) = self.wrong.checked_sub(TRIES) else { return };
        let for_ms = FIRST_LOCK_MS.saturating_mul(1 << further.min(16)).min(LONGEST_LOCK_MS);
        self.locked = Some(Locked { since: turn.wall, for_ms });
        self.until = Some(turn.mono.saturating_add(for_ms));
    }

    pub(crate) fn right(&mut self) {
        *self = Self::default();
    }

    /// Lets a lock end; true when one did.
    pub(crate) fn expire(&mut self, turn: &Turn) -> bool {
        let over = self.until.is_some_and(|until| turn.mono >= until);
        if over {
            self.locked = None;
            self.until = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

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
        for text in ["1111", "1234", "4321", "7890", "2109", "00000000", "23456789"] {
            assert_eq!(digits(text).weakness(), Some(Weakness::TooEasy), "{text}");
        }
        for text in ["", "1", "739"] {
            assert_eq!(digits(text).weakness(), Some(Weakness::TooShort), "{text}");
        }
        for text in ["7391", "1212", "1235", "90210", "27182818"] {
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
    fn locks_double_up_to_an_hour() {
        let mut lock = PinLock::default();
        let mut mono = 0;
        for left in [4, 3, 2, 1] {
            lock.wrong(&turn(mono, 0));
            assert_eq!((lock.tries_left(mono), lock.left_ms(mono)), (Some(left), 0));
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            lock.wrong(&turn(mono, 0));
            assert_eq!((lock.tries_left(mono), lock.left_ms(mono)), (Some(0), minutes * 60_000));
            assert!(!lock.expire(&turn(mono + minutes * 60_000 - 1, 0)));
            mono += minutes * 60_000;
            assert!(lock.expire(&turn(mono, 0)));
            assert_eq!((lock.tries_left(mono), lock.left_ms(mono)), (Some(1), 0));
        }
        lock.right();
        assert_eq!(lock.tries_left(mono), None);
    }

    #[test]
    fn a_lock_outlives_a_reboot_and_a_clock_put_back_starts_it_anew() {
        let mut lock = PinLock::default();
        (0..TRIES).for_each(|_| lock.wrong(&turn(1_000, 500_000)));
        let text = serde_json::to_string(&lock).expect("serialises");
        let reboot = |wall: i64| {
            let mut lock: PinLock = serde_json::from_str(&text).expect("parses");
            lock.resume(&turn(0, wall));
            lock.left_ms(0)
        };
        assert_eq!(reboot(520_000), 40_000);
        assert_eq!(reboot(560_000), 0);
        assert_eq!(reboot(499_999), 60_000);
        assert_eq!(reboot(0), 60_000);
    }
}
