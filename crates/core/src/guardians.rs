//! Who decides in a household: guardians who come and go, changes that need two of them, and recovery keys.
//!
//! A part of the fold of the household log. Whether an entry is taken is judged by the time the entry names, so that
//! everyone who folds the same entries gets the same; what holds now is judged by the time the caller gives. Whoever
//! takes entries in (the service) refuses those whose time is not its own.
//!
//! Invariant: at every time there is a guardian who counts and whose removal nobody has signed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Digest, Entry, Guardian, GuardianId, HouseholdError, PublicKey, Timestamp};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How long a new guardian does not count, unless the entry or the household's rules say longer: 24 hours.
pub const GUARDIAN_COOLING_OFF_MS: i64 = DAY_MS;
/// How long another guardian's removal can be objected to before it takes effect: 24 hours.
pub const REMOVAL_DELAY_MS: i64 = DAY_MS;
/// How long a recovery can be objected to before it takes effect: 48 hours.
pub const RECOVERY_DELAY_MS: i64 = 2 * DAY_MS;
/// How long a household that is to be erased stays, for any guardian to object: 7 days.
pub const ERASE_DELAY_MS: i64 = 7 * DAY_MS;
/// How long a proposal can be seconded: 7 days.
pub const PROPOSAL_LIFE_MS: i64 = 7 * DAY_MS;
/// Recovery keys of a household at once.
pub const MAX_RECOVERY_KEYS: usize = 8;
/// Guardians that count from which on some changes need two of them.
const TWO: usize = 2;
/// As soon as their entry is there, whatever clock it was signed by.
const AT_ONCE: Timestamp = Timestamp::from_unix_ms(i64::MIN);

/// A guardian who is to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGuardian {
    pub guardian: Guardian,
    /// At least [`GUARDIAN_COOLING_OFF_MS`], or what the household's rules say, after the entry. Before it they see and answer orders, and neither sign entries
    /// nor count for two.
    pub counts_from: Timestamp,
}

/// Replaces the recovery keys that were not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryKeys {
    /// 1 to [`MAX_RECOVERY_KEYS`], each good once.
    pub keys: Vec<PublicKey>,
}

/// The whole household goes: there is nothing to say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {}

/// Who asked to erase the household, by which entry, and from when it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasing {
    pub entry: Digest,
    pub by: GuardianId,
    pub from: Timestamp,
}

/// Lifts a guardian's freeze, which is no entry: the service holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfreeze {
    /// Which freeze, by its time: an old proposal does not lift a new one.
    pub frozen_at: Timestamp,
}

/// A guardian, from the entry that brought them on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub guardian: Guardian,
    /// Number of the entry that brought them.
    pub since: u64,
    /// From when they see and answer orders. Before every time where that is as soon as their entry is there.
    pub joins: Timestamp,
    /// From when they sign entries and count for two.
    pub counts_from: Timestamp,
    pub leaving: Option<Leaving>,
    /// The recovery that brings them, which a guardian can object to until `joins`.
    pub recovery: Option<Digest>,
}

/// The end of a guardian's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The entry that says so.
    pub entry: Digest,
    pub seq: u64,
    pub at: Timestamp,
}

impl Member {
    /// Whether they may see and answer orders at `now`.
    #[must_use]
    pub fn acts(&self, now: Timestamp) -> bool {
        self.joins <= now && self.leaving.is_none_or(|leaving| now < leaving.at)
    }

    /// Whether they may sign entries at `now`, and count for two.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.acts(now) && self.counts_from <= now
    }

    /// As [`Member::acted`], and counted by then.
    #[must_use]
    pub fn counted(&self, seq: u64, at: Timestamp) -> bool {
        self.acted(seq, at) && self.counts_from <= at
    }

    /// Whether what they signed at `at`, knowing the entries up to number `seq`, was theirs to sign.
    #[must_use]
    pub fn acted(&self, seq: u64, at: Timestamp) -> bool {
        self.since <= seq && self.joins <= at && self.leaving.is_none_or(|leaving| seq < leaving.seq || at < leaving.at)
    }
}

/// A change that waits for a second guardian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub by: GuardianId,
    pub at: Timestamp,
    pub change: Entry,
    /// Seconded or withdrawn.
    pub over: bool,
}

impl Proposal {
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        !self.over && now < self.at.plus_ms(PROPOSAL_LIFE_MS)
    }
}

/// An entry's place: its number, digest and time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) digest: Digest,
    pub(crate) at: Timestamp,
}

/// The guardians' part of a folded log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guardians {
    members: BTreeMap<GuardianId, Member>,
    proposals: BTreeMap<Digest, Proposal>,
    /// Not used yet.
    recovery: BTreeSet<PublicKey>,
    used: BTreeSet<PublicKey>,
    erasing: Option<Erasing>,
}

impl Guardians {
    pub(crate) fn found(guardian: Guardian) -> Self {
        let founder =
            Member { since: 0, joins: AT_ONCE, counts_from: AT_ONCE, leaving: None, recovery: None, guardian };
        Self {
            members: BTreeMap::from([(founder.guardian.guardian, founder)]),
            proposals: BTreeMap::new(),
            recovery: BTreeSet::new(),
            used: BTreeSet::new(),
            erasing: None,
        }
    }

    pub(crate) fn member(&self, guardian: GuardianId) -> Option<&Member> {
        self.members.get(&guardian)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(crate) fn proposal(&self, digest: Digest) -> Option<&Proposal> {
        self.proposals.get(&digest)
    }

    pub(crate) fn proposals(&self) -> impl Iterator<Item = (Digest, &Proposal)> {
        self.proposals.iter().map(|(digest, proposal)| (*digest, proposal))
    }

    pub(crate) fn recovery_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.recovery.iter()
    }

    pub(crate) const fn erasing(&self) -> Option<&Erasing> {
        self.erasing.as_ref()
    }

    /// Whether two guardians are needed for what needs two.
    pub(crate) fn need_two(&self, at: Timestamp) -> bool {
        self.members().filter(|member| member.counts(at)).count() >= TWO
    }

    /// The signer of an entry.
    pub(crate) fn may_sign(&self, guardian: GuardianId, at: Timestamp) -> Result<(), HouseholdError> {
        match self.member(guardian) {
            Some(member) if member.counts(at) => Ok(()),
            Some(member) if member.acts(at) || at < member.joins => Err(HouseholdError::NotCounting),
            Some(_) | None => Err(HouseholdError::NotAGuardian),
        }
    }

    /// What can be said of a new guardian when they are proposed.
    pub(crate) fn check_new(&self, new: &NewGuardian, at: Timestamp, cooling_ms: i64) -> Result<(), HouseholdError> {
        if new.counts_from < at.plus_ms(cooling_ms) {
            return Err(HouseholdError::CoolingOff);
        }
        self.check_person(&new.guardian)
    }

    /// Nobody comes back under an old name or with an old passkey.
    fn check_person(&self, new: &Guardian) -> Result<(), HouseholdError> {
        let known = self
            .members()
            .map(|member| &member.guardian)
            .any(|known| known.guardian == new.guardian || known.credential == new.credential || known.key == new.key);
        if known { Err(HouseholdError::GuardianExists) } else { Ok(()) }
    }

    /// Seconded late, they do not count sooner.
    pub(crate) fn add(&mut self, new: &NewGuardian, place: Place, cooling_ms: i64) -> Result<(), HouseholdError> {
        self.check_person(&new.guardian)?;
        let counts_from = new.counts_from.max(place.at.plus_ms(cooling_ms));
        self.insert(Member {
            guardian: new.guardian.clone(),
            since: place.seq,
            joins: AT_ONCE,
            counts_from,
            leaving: None,
            recovery: None,
        });
        Ok(())
    }

    fn insert(&mut self, member: Member) {
        self.members.insert(member.guardian.guardian, member);
    }

    pub(crate) fn remove(&mut self, gone: GuardianId, by: GuardianId, place: Place) -> Result<(), HouseholdError> {
        let Place { seq, digest: entry, at } = place;
        let stays = |member: &Member| member.guardian.guardian != gone && member.counts(at) && member.leaving.is_none();
        let left = self.members().any(stays);
        let member = self.members.get_mut(&gone).filter(|member| member.acts(at));
        let member = member.ok_or(HouseholdError::GuardianUnknown)?;
        let effect = if gone == by { at } else { at.plus_ms(REMOVAL_DELAY_MS) };
        if member.leaving.is_some_and(|leaving| leaving.at <= effect) {
            return Err(HouseholdError::LeavingAlready);
        }
        if !left {
            return Err(HouseholdError::LastGuardian);
        }
        member.leaving = Some(Leaving { entry, seq, at: effect });
        Ok(())
    }

    pub(crate) fn erase(&mut self, by: GuardianId, place: Place) -> Result<(), HouseholdError> {
        if self.erasing.is_some() {
            return Err(HouseholdError::ErasingAlready);
        }
        self.erasing = Some(Erasing { entry: place.digest, by, from: place.at.plus_ms(ERASE_DELAY_MS) });
        Ok(())
    }

    /// To one's own removal, or to a recovery, before it takes effect; to the erasing as long as it has not come about.
    pub(crate) fn object(&mut self, to: Digest, by: GuardianId, at: Timestamp) -> Result<(), HouseholdError> {
        if self.erasing.is_some_and(|erasing| erasing.entry == to) {
            self.erasing = None;
            return Ok(());
        }
        let removal = |member: &Member| member.leaving.is_some_and(|leaving| leaving.entry == to && at < leaving.at);
        if let Some(member) = self.members.get_mut(&by).filter(|member| removal(member)) {
            member.leaving = None;
            return Ok(());
        }
        let recovery = |member: &&mut Member| member.recovery == Some(to) && at < member.joins;
        let member = self.members.values_mut().find(recovery).ok_or(HouseholdError::NothingToObject)?;
        // They never come: gone before they join.
        member.leaving = Some(Leaving { entry: to, seq: member.since, at: member.joins });
        member.recovery = None;
        Ok(())
    }

    pub(crate) fn propose(&mut self, change: &Entry, by: GuardianId, place: Place) {
        let proposal = Proposal { by, at: place.at, change: change.clone(), over: false };
        self.proposals.insert(place.digest, proposal);
    }

    /// The change, for another guardian than the one who proposed it and who still counts.
    pub(crate) fn second(&self, digest: Digest, by: GuardianId, at: Timestamp) -> Result<Entry, HouseholdError> {
        let proposal = self.proposal(digest).ok_or(HouseholdError::ProposalUnknown)?;
        let proposer = self.member(proposal.by).is_some_and(|member| member.counts(at));
        if !proposal.is_open(at) || !proposer {
            return Err(HouseholdError::ProposalOver);
        }
        if proposal.by == by {
            return Err(HouseholdError::SamePerson);
        }
        Ok(proposal.change.clone())
    }

    pub(crate) fn close(&mut self, digest: Digest) {
        if let Some(proposal) = self.proposals.get_mut(&digest) {
            proposal.over = true;
        }
    }

    pub(crate) fn withdraw(&mut self, digest: Digest, at: Timestamp) -> Result<(), HouseholdError> {
        let proposal = self.proposal(digest).ok_or(HouseholdError::ProposalUnknown)?;
        if !proposal.is_open(at) {
            return Err(HouseholdError::ProposalOver);
        }
        self.close(digest);
        Ok(())
    }

    pub(crate) fn enrol_recovery(&mut self, keys: &RecoveryKeys) -> Result<(), HouseholdError> {
        let new: BTreeSet<PublicKey> = keys.keys.iter().copied().collect();
        let count = (1..=MAX_RECOVERY_KEYS).contains(&keys.keys.len()) && new.len() == keys.keys.len();
        if !count || !new.is_disjoint(&self.used) {
            return Err(HouseholdError::RecoveryKeys);
        }
        self.recovery = new;
        Ok(())
    }

    /// A new guardian by a recovery key that must have signed the entry.
    pub(crate) fn recover(&mut self, new: &Guardian, key: PublicKey, place: Place) -> Result<(), HouseholdError> {
        if !self.recovery.contains(&key) {
            return Err(HouseholdError::RecoveryKeyUnknown);
        }
        self.check_person(new)?;
        self.recovery.remove(&key);
        self.used.insert(key);
        let joins = place.at.plus_ms(RECOVERY_DELAY_MS);
        self.insert(Member {
            guardian: new.clone(),
            since: place.seq,
            joins,
            counts_from: joins,
            leaving: None,
            recovery: Some(place.digest),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
