//! Time and chance as the runtime hands them in, and the service's time as the watch has learnt it.
//!
//! Never reads a clock, never draws a random number.
//!
//! **Invariant:** deadlines are kept on the monotonic clock; the wall clock only bridges a reboot.

use nodpay_core::{BillId, Nonce, OrderId, Salt, Timestamp, WatchId};
use nodpay_protocol::sha256;

/// When something happens, and fresh randomness for it.
#[derive(Clone, Copy)]
pub struct Moment {
    /// Milliseconds on a clock that never goes back while the program runs. Its start does not matter.
    pub monotonic_ms: u64,
    /// The watch's own calendar clock. It may be hours off and may jump.
    pub wall: Timestamp,
    /// 32 bytes from a cryptographic random number generator, new for every moment.
    pub random: [u8; 32],
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Moment({} ms, {:?}, randomness hidden)", self.monotonic_ms, self.wall)
    }
}

/// One moment being handled.
pub(crate) struct Turn {
    pub(crate) mono: u64,
    pub(crate) wall: Timestamp,
    seed: [u8; 32],
    drawn: u32,
}

impl Turn {
    pub(crate) fn new(now: &Moment) -> Self {
        Self { mono: now.monotonic_ms, wall: now.wall, seed: now.random, drawn: 0 }
    }

    /// 32 bytes that no other draw of this or another turn gives.
    pub(crate) fn bytes32(&mut self) -> [u8; 32] {
        self.drawn = self.drawn.wrapping_add(1);
        let parts: [&[u8]; 3] = [b"nodpay/watch-dice/1\0", &self.seed, &self.drawn.to_be_bytes()];
        sha256(&parts.concat())
    }

    fn bytes16(&mut self) -> [u8; 16] {
        let mut half = [0; 16];
        half.iter_mut().zip(self.bytes32()).for_each(|(to, from)| *to = from);
        half
    }

    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce::from_bytes(self.bytes16())
    }

    pub(crate) fn bill_id(&mut self) -> BillId {
        BillId::from_bytes(self.bytes16())
    }

    pub(crate) fn order_id(&mut self) -> OrderId {
        OrderId::from_bytes(self.bytes16())
    }

    pub(crate) fn watch_id(&mut self) -> WatchId {
        WatchId::from_bytes(self.bytes16())
    }

    pub(crate) fn salt(&mut self) -> Salt {
        Salt::from_bytes(self.bytes16())
    }

    /// From half of `ms` up to one and a half.
    pub(crate) fn jitter(&mut self, ms: u64) -> u64 {
        let [byte, ..] = self.bytes32();
        ms / 2 + ms.saturating_mul(u64::from(byte)) / 255
    }
}

/// The service's time: the wall clock plus an offset, until this run has heard the service; then the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceClock {
    offset_ms: i64,
    heard: Option<(u64, Timestamp)>,
}

impl ServiceClock {
    pub(crate) const fn new(offset_ms: i64) -> Self {
        Self { offset_ms, heard: None }
    }

    pub(crate) fn now(&self, turn: &Turn) -> Timestamp {
        match self.heard {
            Some((at, service)) => service.plus_ms(signed(turn.mono.saturating_sub(at))),
            None => turn.wall.plus_ms(self.offset_ms),
        }
    }

    /// The service said that it is `service` now.
    pub(crate) fn learn(&mut self, service: Timestamp, turn: &Turn) {
        self.heard = Some((turn.mono, service));
        self.offset_ms = service.ms_since(turn.wall);
    }

    /// Service time minus wall time, for the journal.
    pub(crate) const fn offset_ms(&self) -> i64 {
        self.offset_ms
    }
}

/// Saturates.
pub(crate) fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Negative becomes 0.
pub(crate) fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(mono: u64, wall: i64) -> Turn {
        Turn::new(&Moment { monotonic_ms: mono, wall: Timestamp::from_unix_ms(wall), random: [7; 32] })
    }

    #[test]
    fn the_services_time_survives_a_jump_of_the_wall_clock() {
        let mut clock = ServiceClock::new(0);
        assert_eq!(clock.now(&turn(5, 100)).unix_ms(), 100);
        clock.learn(Timestamp::from_unix_ms(9_000), &turn(5, 100));
        assert_eq!(clock.now(&turn(15, 100)).unix_ms(), 9_010);
        assert_eq!(clock.now(&turn(15, 99_999)).unix_ms(), 9_010);
        assert_eq!(ServiceClock::new(clock.offset_ms()).now(&turn(0, 200)).unix_ms(), 9_100);
    }

    #[test]
    fn draws_differ_and_jitter_stays_in_its_bounds() {
        let mut turn = turn(0, 0);
        assert_ne!(turn.bytes32(), turn.bytes32());
        for _ in 0..100 {
            assert!((500..=1_500).contains(&turn.jitter(1_000)));
        }
    }
}
