//! Limits on those who have not proved who they are yet: one token bucket a credential and a purpose, in memory.
//! And the memory of request proofs, each good once.
//!
//! Both are bounded; a full memory of proofs refuses new ones rather than forget one that is still good.

use std::collections::HashSet;
use std::sync::Mutex;

use nodpay_core::{Digest, Nonce, Timestamp, WatchId};
use nodpay_protocol::MAX_PROOF_AGE_MS;

use nodpay_store::recent::{Recent, lock};

/// Buckets remembered at once.
const MAX_BUCKETS: usize = 65_536;

/// A proof is good from `MAX_PROOF_AGE_MS` before the service's time to as long after it.
const PROOF_WINDOW_MS: i64 = 2 * MAX_PROOF_AGE_MS;

/// Proofs remembered a generation: 2,000 reads a second, 11 MB.
const MAX_PROOFS: usize = 240_000;

/// What is limited, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Whatever comes from one address and has proved nothing.
    Stranger,
    /// Everything that one guardian asks for.
    Guardian,
    /// What takes long: evidence, archives, rules that are tried, statements.
    Heavy,
    /// Taking everything of one household along.
    Archive,
    /// Using one invitation.
    Invitation,
    /// Asking for login challenges: everybody together.
    LoginChallenge,
    /// Logging in with one credential.
    Login,
    /// Claiming one pairing.
    PairingClaim,
    /// Opening pairings in one household.
    Pairing,
    /// Reports of one watch on its PIN.
    PinReport,
    /// Asking whose printed codes are, and making bills of them, with one watch.
    PrintedCode,
    /// Looking for one recovery key, and recovering in one household.
    Recovery,
    /// Subscribing phones of one guardian, and trying them.
    Push,
    /// Charging one household's card.
    TopUp,
}

impl Purpose {
    /// How many at once, and milliseconds until one more is allowed.
    const fn rate(self) -> (u32, i64) {
        match self {
            // A school's families may share one address.
            Self::Stranger => (600, 100),
            Self::Guardian => (1_000, 5),
            Self::Heavy => (60, 1_000),
            Self::Archive => (6, 60_000),
            Self::Invitation => (10, 6_000),
            Self::LoginChallenge => (200, 20),
            Self::Login => (10, 3_000),
            Self::PairingClaim => (20, 3_000),
            Self::Pairing => (20, 10_000),
            Self::PinReport => (30, 10_000),
            Self::PrintedCode => (30, 1_000),
            Self::Recovery => (20, 3_000),
            Self::Push => (20, 3_000),
            Self::TopUp => (10, 60_000),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u32,
    counted: Timestamp,
}

/// Token buckets by purpose and credential digest.
#[derive(Debug)]
pub(crate) struct RateLimits {
    buckets: Recent<(Purpose, Digest), Bucket>,
}

impl RateLimits {
    pub(crate) fn new() -> Self {
        Self { buckets: Recent::new(MAX_BUCKETS) }
    }

    /// Takes one token, or says after how many milliseconds there will be one.
    pub(crate) fn take(&self, purpose: Purpose, who: Digest, now: Timestamp) -> Result<(), i64> {
        let (burst, refill_ms) = purpose.rate();
        let full = || Bucket { tokens: burst, counted: now };
        self.buckets.update((purpose, who), full, |bucket| {
            let earned = now.ms_since(bucket.counted).max(0) / refill_ms;
            let tokens = i64::from(bucket.tokens).saturating_add(earned).min(i64::from(burst));
            bucket.tokens = u32::try_from(tokens).unwrap_or(burst);
            bucket.counted = bucket.counted.plus_ms(earned.saturating_mul(refill_ms));
            match bucket.tokens.checked_sub(1) {
                Some(left) => {
                    bucket.tokens = left;
                    Ok(())
                }
                None => Err(refill_ms),
            }
        })
    }
}

/// Why a proof cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofRefusal {
    Reused,
    /// Too many proofs at once; try again later.
    Full,
}

/// Every proof of the last minutes.
#[derive(Debug)]
pub(crate) struct UsedProofs {
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    since: Timestamp,
    young: HashSet<(WatchId, Nonce)>,
    old: HashSet<(WatchId, Nonce)>,
}

impl UsedProofs {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { generations: Mutex::new(Generations { since: now, young: HashSet::new(), old: HashSet::new() }) }
    }

    /// Remembers a proof that was just verified.
    pub(crate) fn claim(&self, watch: WatchId, nonce: Nonce, now: Timestamp) -> Result<(), ProofRefusal> {
        let mut all = lock(&self.generations);
        if now.ms_since(all.since) >= PROOF_WINDOW_MS {
            all.old = std::mem::take(&mut all.young);
            all.since = now;
        }
        if all.young.contains(&(watch, nonce)) || all.old.contains(&(watch, nonce)) {
            return Err(ProofRefusal::Reused);
        }
        if all.young.len() >= MAX_PROOFS {
            return Err(ProofRefusal::Full);
        }
        all.young.insert((watch, nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);

    #[test]
    fn a_bucket_empties_and_fills() {
        let limits = RateLimits::new();
        let (a, b) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        for _ in 0..10 {
            assert_eq!(limits.take(Purpose::Login, a, NOW), Ok(()));
        }
        assert_eq!(limits.take(Purpose::Login, a, NOW), Err(3_000));
        assert_eq!(limits.take(Purpose::Login, b, NOW), Ok(()));
        assert_eq!(limits.take(Purpose::Invitation, a, NOW), Ok(()));
        assert_eq!(limits.take(Purpose::Login, a, NOW.plus_ms(2_999)), Err(3_000));
        assert_eq!(limits.take(Purpose::Login, a, NOW.plus_ms(3_000)), Ok(()));
        assert_eq!(limits.take(Purpose::Login, a, NOW.plus_ms(3_000)), Err(3_000));
    }

    #[test]
    fn a_proof_is_good_once_while_it_is_good_at_all() {
        let proofs = UsedProofs::new(NOW);
        let watch = WatchId::from_bytes([1; 16]);
        let nonce = Nonce::from_bytes([2; 16]);
        for later_ms in [0, 1, PROOF_WINDOW_MS - 1] {
            let expected = if later_ms == 0 { Ok(()) } else { Err(ProofRefusal::Reused) };
            assert_eq!(proofs.claim(watch, nonce, NOW.plus_ms(later_ms)), expected, "{later_ms}");
        }
        // The last moment before a turn of generations still counts for a whole window after it.
        let late = Nonce::from_bytes([3; 16]);
        assert_eq!(proofs.claim(watch, late, NOW.plus_ms(PROOF_WINDOW_MS - 1)), Ok(()));
        let refused = Err(ProofRefusal::Reused);
        assert_eq!(proofs.claim(watch, late, NOW.plus_ms(2 * PROOF_WINDOW_MS - 1)), refused);
        assert_eq!(proofs.claim(WatchId::from_bytes([9; 16]), late, NOW.plus_ms(PROOF_WINDOW_MS)), Ok(()));
    }
}
