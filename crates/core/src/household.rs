//! The household log: who may decide and which watches may ask.
//!
//! Every entry is signed by a guardian's passkey (a recovery by a recovery key), numbered from 0 and names its predecessor's digest. Watch, phone and
//! service fold the same entries into the same [`HouseholdLog`] and never go back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::guardians::{Erase, Erasing, Guardians, Place};
use crate::{
    Amount, CredentialId, Digest, GuardianId, HouseRules, HouseRulesError, HouseholdId, Mandate, MandateError,
    MandateId, Member, NewGuardian, Nonce, Proposal, PublicKey, RecoveryKeys, Salt, Standing, Text, Timestamp,
    Unfreeze, V1, WatchId, WearerId, mandate,
};

/// How long a new watch has a lower cap, unless the household tightens it: 24 hours.
pub const NEW_WATCH_COOLING_OFF_MS: i64 = 24 * 60 * 60 * 1000;

/// The longest on-wrist session a guardian may allow: eight hours.
pub const MAX_SESSION_MS: i64 = 8 * 60 * 60 * 1000;

/// Entries a household may have; a fold never reads more.
const MAX_ENTRIES: u64 = 100_000;

/// One entry. Signed by `guardian`'s passkey; a recovery by a recovery key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    pub v: V1,
    pub household: HouseholdId,
    /// 0 for the founding entry, then one more each.
    pub seq: u64,
    /// Digest of the entry before; absent in the founding entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// Who signs.
    pub guardian: GuardianId,
    pub at: Timestamp,
    pub entry: Entry,
}

/// What an entry does. More kinds follow; an unknown kind is refused, never skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The first guardian founds the household with the key that signs this very entry.
    Found(Guardian),
    EnrolWatch(EnrolledWatch),
    RemoveWatch(WatchId),
    PinCommand(PinCommand),
    SetSession(WatchSession),
    /// Sees and answers at once, counts later.
    AddGuardian(NewGuardian),
    /// Oneself at once, another after [`REMOVAL_DELAY_MS`](crate::REMOVAL_DELAY_MS).
    RemoveGuardian(GuardianId),
    /// To the entry of this digest: one's own removal, or a recovery, before it takes effect; or the erasing of the household.
    Object(Digest),
    /// Without effect until another guardian seconds it.
    Propose(Box<Entry>),
    /// The proposal of this digest takes effect.
    Second(Digest),
    /// The proposal of this digest is given up.
    Withdraw(Digest),
    EnrolRecovery(RecoveryKeys),
    /// A new guardian, by a recovery key, after [`RECOVERY_DELAY_MS`](crate::RECOVERY_DELAY_MS).
    Recover(Guardian),
    Unfreeze(Unfreeze),
    /// Makes a standing rule, or replaces it by its next version.
    SetMandate(Box<Mandate>),
    EndMandate(MandateId),
    /// Replaces the household's rules of deciding as a whole.
    SetHouseRules(HouseRules),
    /// Nothing is paid from now on, and after [`ERASE_DELAY_MS`](crate::ERASE_DELAY_MS) the household is erased.
    Erase(Erase),
}

impl Entry {
    /// Whether more can happen by it than before: then it needs two guardians, where two count.
    #[must_use]
    pub fn loosens(&self, log: &HouseholdLog) -> bool {
        match self {
            Self::SetSession(WatchSession { watch, session_ms }) => *session_ms > log.session_ms(*watch, u64::MAX),
            // Who holds a recovery key brings in a guardian.
            Self::EnrolRecovery(_) | Self::Unfreeze(_) => true,
            Self::SetMandate(set) => set.is_looser_than(log.mandate(set.mandate).map(|standing| &standing.mandate)),
            Self::EndMandate(ended) => log.mandate(*ended).is_some_and(|standing| standing.mandate.refuses()),
            Self::SetHouseRules(set) => set.is_looser_than(&log.house_rules(u64::MAX)),
            Self::Found(_)
            | Self::EnrolWatch(_)
            | Self::RemoveWatch(_)
            | Self::PinCommand(_)
            | Self::AddGuardian(_)
            | Self::RemoveGuardian(_)
            | Self::Object(_)
            | Self::Propose(_)
            | Self::Second(_)
            | Self::Withdraw(_)
            | Self::Recover(_)
            | Self::Erase(_) => false,
        }
    }

    /// Whether it needs two guardians, where two count.
    #[must_use]
    pub fn needs_two(&self, log: &HouseholdLog) -> bool {
        matches!(self, Self::AddGuardian(_)) || self.loosens(log)
    }
}

/// A guardian answers a watch's [`PinReport`](crate::PinReport). Good once: the watch obeys only while `nonce` is the one
/// it made for what it reported, and then forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinCommand {
    pub watch: WatchId,
    pub nonce: Nonce,
    pub command: PinConsent,
}

/// What a guardian consents to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinConsent {
    /// The wrong tries are forgiven; the PIN stays.
    Unlock,
    /// The wearer may choose a new PIN, once.
    NewPin,
}

/// For how long after a wearer check the worn watch needs no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchSession {
    pub watch: WatchId,
    /// 0 to [`MAX_SESSION_MS`]; 0 is no session, as before the first entry.
    pub session_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardian {
    pub guardian: GuardianId,
    pub credential: CredentialId,
    pub key: PublicKey,
    /// Whether the passkey may be copied to other devices of its owner (WebAuthn flag BE); never changes.
    pub backup_eligible: bool,
    /// Whether an approval counts only where the browser itself showed payee and total before the passkey signed (Secure
    /// Payment Confirmation); never changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shown_payments: bool,
    /// Salted digest of the name that the wearers call them by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Digest>,
}

/// The name of a wearer or a guardian with the salt of its digest. The log holds the digest; the name stays beside it
/// and can be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonName {
    pub name: Text<40>,
    pub salt: Salt,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledWatch {
    pub watch: WatchId,
    pub key: PublicKey,
    pub wearer: WearerId,
    /// Salted digest of the wearer's name; the name itself stays beside the log and can be erased.
    pub wearer_name: Digest,
    pub new_watch_cap: NewWatchCap,
}

/// Until `until` one payment of the new watch may not exceed `per_payment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWatchCap {
    pub until: Timestamp,
    pub per_payment: Amount,
}

impl EnrolledWatch {
    /// Whether the watch may ask for `total` at `now`. Currencies other than the cap's are over it while it holds.
    #[must_use]
    pub fn is_over_cap(&self, total: Amount, now: Timestamp) -> bool {
        let cap = &self.new_watch_cap;
        now < cap.until && total.exceeds(cap.per_payment).unwrap_or(true)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HouseholdError {
    #[error("the entry belongs to another household")]
    OtherHousehold,
    #[error("the entry is not the next one of the log")]
    NotNext,
    #[error("the entry names another predecessor")]
    OtherPredecessor,
    #[error("the entry is older than the one before it")]
    OutOfTime,
    #[error("the first entry founds the household, and only the first")]
    Founding,
    #[error("the entry's signer is not a guardian of the household")]
    NotAGuardian,
    #[error("the watch is enrolled already")]
    WatchExists,
    #[error("the watch is not enrolled")]
    WatchUnknown,
    #[error("the session is not between none and eight hours")]
    SessionLength,
    #[error("the rule is wrong: {0}")]
    Mandate(#[from] MandateError),
    #[error("the household's rules are wrong: {0}")]
    HouseRules(#[from] HouseRulesError),
    #[error("the new watch would have a higher cap, or for a shorter time, than the household allows")]
    NewWatch,
    #[error("the log has reached its {MAX_ENTRIES} entries")]
    Full,
    #[error("the entry's signer is new and does not count yet")]
    NotCounting,
    #[error("this needs two guardians: propose it, and another one seconds it")]
    NeedsTwo,
    #[error("this needs no proposal")]
    OneIsEnough,
    #[error("a new guardian counts after 24 hours at the earliest")]
    CoolingOff,
    #[error("the guardian or the passkey is or was one of the household")]
    GuardianExists,
    #[error("there is no such guardian")]
    GuardianUnknown,
    #[error("the guardian is leaving already")]
    LeavingAlready,
    #[error("a guardian who counts must stay")]
    LastGuardian,
    #[error("there is nothing that this guardian can object to, or it is too late")]
    NothingToObject,
    #[error("there is no such proposal")]
    ProposalUnknown,
    #[error("the proposal is over")]
    ProposalOver,
    #[error("the household is to be erased already")]
    ErasingAlready,
    #[error("another guardian must second it")]
    SamePerson,
    #[error("there are 1 to 8 different recovery keys, none of them used before")]
    RecoveryKeys,
    #[error("no recovery key of the household signed this")]
    RecoveryKeyUnknown,
}

/// A household's log, folded. Made only by [`HouseholdLog::found`] and [`HouseholdLog::append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HouseholdLog {
    household: HouseholdId,
    /// Digests of all entries, in order; never empty.
    heads: Vec<Digest>,
    last_at: Timestamp,
    guardians: Guardians,
    watches: BTreeMap<WatchId, EnrolledWatch>,
    removed: BTreeMap<WatchId, EnrolledWatch>,
    /// From which entry on which session holds, oldest first: what was signed under an older one stays checkable.
    sessions: BTreeMap<WatchId, Vec<(u64, i64)>>,
    /// Every version of every standing rule, oldest first: what one vouched for stays checkable.
    mandates: Vec<Standing>,
    /// From which entry on which hold, oldest first.
    house_rules: Vec<(u64, HouseRules)>,
}

impl HouseholdLog {
    /// Folds the founding entry, whose signature must have been verified with the key inside it.
    pub fn found(entry: &LogEntry, digest: Digest) -> Result<Self, HouseholdError> {
        if entry.seq != 0 || entry.prev.is_some() {
            return Err(HouseholdError::NotNext);
        }
        let Entry::Found(guardian) = &entry.entry else {
            return Err(HouseholdError::Founding);
        };
        if guardian.guardian != entry.guardian {
            return Err(HouseholdError::NotAGuardian);
        }
        Ok(Self {
            household: entry.household,
            heads: vec![digest],
            last_at: entry.at,
            guardians: Guardians::found(guardian.clone()),
            watches: BTreeMap::new(),
            removed: BTreeMap::new(),
            sessions: BTreeMap::new(),
            mandates: Vec::new(),
            house_rules: Vec::new(),
        })
    }

    /// Folds the next entry, whose signature must have been verified with its guardian's key. Leaves `self` as it was
    /// when it is refused.
    pub fn append(&mut self, entry: &LogEntry, digest: Digest) -> Result<(), HouseholdError> {
        self.check_next(entry)?;
        self.guardians.may_sign(entry.guardian, entry.at)?;
        let place = Place { seq: entry.seq, digest, at: entry.at };
        let two = self.guardians.need_two(entry.at);
        if let Entry::Propose(change) = &entry.entry {
            if !two || !change.needs_two(self) {
                return Err(HouseholdError::OneIsEnough);
            }
            if let Entry::AddGuardian(new) = &**change {
                self.guardians.check_new(new, entry.at, self.cooling_off_ms())?;
            }
            self.guardians.propose(change, entry.guardian, place);
        } else if let Entry::Second(proposal) = &entry.entry {
            let change = self.guardians.second(*proposal, entry.guardian, entry.at)?;
            self.apply(&change, entry.guardian, place)?;
            self.guardians.close(*proposal);
        } else if two && entry.entry.needs_two(self) {
            return Err(HouseholdError::NeedsTwo);
        } else {
            if let Entry::AddGuardian(new) = &entry.entry {
                self.guardians.check_new(new, entry.at, self.cooling_off_ms())?;
            }
            self.apply(&entry.entry, entry.guardian, place)?;
        }
        self.push(entry, digest);
        Ok(())
    }

    /// Folds a recovery as the next entry, whose signature must have been verified with `key`. Leaves `self` as it was
    /// when it is refused.
    pub fn recover(&mut self, entry: &LogEntry, digest: Digest, key: PublicKey) -> Result<(), HouseholdError> {
        self.check_next(entry)?;
        let Entry::Recover(new) = &entry.entry else { return Err(HouseholdError::NotAGuardian) };
        if new.guardian != entry.guardian {
            return Err(HouseholdError::NotAGuardian);
        }
        self.guardians.recover(new, key, Place { seq: entry.seq, digest, at: entry.at })?;
        self.push(entry, digest);
        Ok(())
    }

    fn check_next(&self, entry: &LogEntry) -> Result<(), HouseholdError> {
        if entry.household != self.household {
            return Err(HouseholdError::OtherHousehold);
        }
        if entry.seq >= MAX_ENTRIES {
            return Err(HouseholdError::Full);
        }
        if entry.seq != self.next_seq() {
            return Err(HouseholdError::NotNext);
        }
        if entry.prev != Some(self.head()) {
            return Err(HouseholdError::OtherPredecessor);
        }
        if entry.at < self.last_at {
            return Err(HouseholdError::OutOfTime);
        }
        Ok(())
    }

    fn push(&mut self, entry: &LogEntry, digest: Digest) {
        self.heads.push(digest);
        self.last_at = entry.at;
    }

    /// Makes a change effective: whoever had to agree has.
    fn apply(&mut self, change: &Entry, signer: GuardianId, place: Place) -> Result<(), HouseholdError> {
        match change {
            Entry::Found(_) => return Err(HouseholdError::Founding),
            Entry::EnrolWatch(watch) => {
                let known = self.watches.contains_key(&watch.watch)
                    || self.removed.contains_key(&watch.watch)
                    || self.watches.values().any(|other| other.key == watch.key);
                if known {
                    return Err(HouseholdError::WatchExists);
                }
                if !self.house_rules(place.seq).allows_new_watch(&watch.new_watch_cap, place.at) {
                    return Err(HouseholdError::NewWatch);
                }
                self.watches.insert(watch.watch, watch.clone());
            }
            Entry::RemoveWatch(watch) => {
                let gone = self.watches.remove(watch).ok_or(HouseholdError::WatchUnknown)?;
                self.removed.insert(*watch, gone);
            }
            Entry::PinCommand(PinCommand { watch, .. }) => {
                self.watch(*watch).ok_or(HouseholdError::WatchUnknown)?;
            }
            Entry::SetSession(WatchSession { watch, session_ms }) => {
                self.watch(*watch).ok_or(HouseholdError::WatchUnknown)?;
                if !(0..=MAX_SESSION_MS).contains(session_ms) {
                    return Err(HouseholdError::SessionLength);
                }
                self.sessions.entry(*watch).or_default().push((place.seq, *session_ms));
            }
            Entry::AddGuardian(new) => self.guardians.add(new, place, self.cooling_off_ms())?,
            Entry::RemoveGuardian(gone) => self.guardians.remove(*gone, signer, place)?,
            Entry::Object(to) => self.guardians.object(*to, signer, place.at)?,
            Entry::Erase(_) => self.guardians.erase(signer, place)?,
            Entry::Withdraw(proposal) => self.guardians.withdraw(*proposal, place.at)?,
            Entry::EnrolRecovery(keys) => self.guardians.enrol_recovery(keys)?,
            Entry::Unfreeze(_) => {}
            // A proposal inside a proposal needs nobody; a recovery is signed by another key.
            Entry::Propose(_) | Entry::Second(_) => return Err(HouseholdError::OneIsEnough),
            Entry::Recover(_) => return Err(HouseholdError::NotAGuardian),
            Entry::SetMandate(set) => {
                self.watch(set.watch).ok_or(HouseholdError::WatchUnknown)?;
                mandate::set(&mut self.mandates, set, signer, place)?;
            }
            Entry::EndMandate(ended) => mandate::end(&mut self.mandates, *ended, place.seq)?,
            Entry::SetHouseRules(set) => {
                set.check()?;
                let more = set.asks_two_more_often_than(&self.house_rules(place.seq));
                if more && !self.guardians.need_two(place.at) {
                    return Err(HouseRulesError::NoSecondGuardian.into());
                }
                self.house_rules.push((place.seq, *set));
            }
        }
        Ok(())
    }

    fn cooling_off_ms(&self) -> i64 {
        self.house_rules(u64::MAX).guardian_cooling_off_ms()
    }

    /// What the entry, which was folded or comes next, makes effective: the change it seconds, itself, or nothing yet.
    #[must_use]
    pub fn enacted<'a>(&'a self, entry: &'a LogEntry) -> Option<&'a Entry> {
        if let Entry::Second(proposal) = &entry.entry {
            return self.guardians.proposal(*proposal).map(|proposal| &proposal.change);
        }
        (!matches!(entry.entry, Entry::Propose(_))).then_some(&entry.entry)
    }

    #[must_use]
    pub const fn household(&self) -> HouseholdId {
        self.household
    }

    /// Digest of the newest entry.
    #[must_use]
    pub fn head(&self) -> Digest {
        match self.heads.last() {
            Some(head) => *head,
            None => unreachable!("a log holds its founding entry"),
        }
    }

    #[must_use]
    pub fn next_seq(&self) -> u64 {
        u64::try_from(self.heads.len()).unwrap_or(u64::MAX)
    }

    /// The position of an entry by its digest; tells old heads from foreign ones.
    #[must_use]
    pub fn seq_of(&self, head: Digest) -> Option<u64> {
        let index = self.heads.iter().rposition(|known| *known == head)?;
        u64::try_from(index).ok()
    }

    /// Anyone who ever was a guardian, or is to be: what they signed stays checkable.
    #[must_use]
    pub fn guardian(&self, guardian: GuardianId) -> Option<&Guardian> {
        self.member(guardian).map(|member| &member.guardian)
    }

    /// All who ever were guardians, or are to be.
    pub fn guardians(&self) -> impl Iterator<Item = &Guardian> {
        self.members().map(|member| &member.guardian)
    }

    /// Since when and until when somebody is a guardian.
    #[must_use]
    pub fn member(&self, guardian: GuardianId) -> Option<&Member> {
        self.guardians.member(guardian)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.guardians.members()
    }

    /// Whether a loosening or a new guardian needs two at `now`.
    #[must_use]
    pub fn need_two(&self, now: Timestamp) -> bool {
        self.guardians.need_two(now)
    }

    /// By the digest of its entry. Proposals that are over stay.
    pub fn proposals(&self) -> impl Iterator<Item = (Digest, &Proposal)> {
        self.guardians.proposals()
    }

    /// Recovery keys that can still be used.
    pub fn recovery_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.guardians.recovery_keys()
    }

    /// The erasing that a guardian asked for and nobody has objected to.
    #[must_use]
    pub const fn erasing(&self) -> Option<&Erasing> {
        self.guardians.erasing()
    }

    /// An enrolled watch that was not removed.
    #[must_use]
    pub fn watch(&self, watch: WatchId) -> Option<&EnrolledWatch> {
        self.watches.get(&watch)
    }

    /// How long an on-wrist session of the watch lasts by the entries up to number `seq`, in milliseconds; 0 is none.
    #[must_use]
    pub fn session_ms(&self, watch: WatchId, seq: u64) -> i64 {
        let set = self.sessions.get(&watch).into_iter().flatten();
        set.take_while(|(from, _)| *from <= seq).last().map_or(0, |(_, session_ms)| *session_ms)
    }

    /// The household's rules of deciding by the entries up to number `seq`.
    #[must_use]
    pub fn house_rules(&self, seq: u64) -> HouseRules {
        let set = self.house_rules.iter().take_while(|(from, _)| *from <= seq).last();
        set.map_or_else(HouseRules::default, |(_, rules)| *rules)
    }

    /// The rule as its newest version says, if it was not ended. Its time may be over.
    #[must_use]
    pub fn mandate(&self, mandate: MandateId) -> Option<&Standing> {
        self.mandates.iter().find(|standing| standing.mandate.mandate == mandate && standing.ended.is_none())
    }

    /// Its newest version, ended or not.
    #[must_use]
    pub fn mandate_ever(&self, mandate: MandateId) -> Option<&Standing> {
        self.mandates.iter().rfind(|standing| standing.mandate.mandate == mandate)
    }

    /// The version that this entry made, whether it holds or not.
    #[must_use]
    pub fn mandate_of(&self, entry: Digest) -> Option<&Standing> {
        self.mandates.iter().find(|standing| standing.entry == entry)
    }

    /// Those not ended by the entries so far, oldest version first. Their time may be over.
    pub fn mandates(&self) -> impl Iterator<Item = &Standing> {
        self.mandates.iter().filter(|standing| standing.ended.is_none())
    }

    pub fn watches(&self) -> impl Iterator<Item = &EnrolledWatch> {
        self.watches.values()
    }

    /// All watches that were ever enrolled.
    pub fn watches_ever(&self) -> impl Iterator<Item = &EnrolledWatch> {
        self.watches.values().chain(self.removed.values())
    }

    /// A watch that was enrolled once, removed or not: its old signatures stay checkable.
    #[must_use]
    pub fn watch_ever(&self, watch: WatchId) -> Option<&EnrolledWatch> {
        self.watches.get(&watch).or_else(|| self.removed.get(&watch))
    }
}
