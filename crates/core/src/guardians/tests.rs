//! Any sequence of entries, the wrong ones too: what must hold after each.

use proptest::prelude::*;

use super::*;
use crate::{
    Currency, EnrolledWatch, HouseholdId, HouseholdLog, LogEntry, Minor, NewWatchCap, V1, WatchId, WatchSession,
    WearerId,
};

const START: Timestamp = Timestamp::from_unix_ms(1_000_000_000);
const HOUR_MS: i64 = 60 * 60 * 1000;

/// A log and the time its signers sign at.
#[derive(Clone)]
struct Home {
    log: HouseholdLog,
    now: Timestamp,
    made: u8,
}

fn person(seed: u8) -> Guardian {
    Guardian {
        guardian: GuardianId::from_bytes([seed; 16]),
        credential: crate::CredentialId::try_from(vec![seed; 20]).expect("an id"),
        key: key(seed),
        backup_eligible: false,
        shown_payments: false,
        name: None,
    }
}

fn key(seed: u8) -> PublicKey {
    let mut bytes = [seed; 65];
    bytes[0] = 4;
    PublicKey::try_from(&bytes[..]).expect("a point's form")
}

const fn id(seed: u8) -> GuardianId {
    GuardianId::from_bytes([seed; 16])
}

fn watch() -> WatchId {
    WatchId::from_bytes([1; 16])
}

impl Home {
    /// Guardian 1, and a watch.
    fn found() -> Self {
        let household = HouseholdId::from_bytes([1; 16]);
        let entry = LogEntry {
            v: V1,
            household,
            seq: 0,
            prev: None,
            guardian: id(1),
            at: START,
            entry: Entry::Found(person(1)),
        };
        let mut home = Self { log: HouseholdLog::found(&entry, digest(0)).expect("founded"), now: START, made: 1 };
        let cap = crate::Amount::new(Minor::ZERO, Currency::CNY);
        home.take(
            1,
            Entry::EnrolWatch(EnrolledWatch {
                watch: watch(),
                key: key(99),
                wearer: WearerId::from_bytes([1; 16]),
                wearer_name: digest(9),
                new_watch_cap: NewWatchCap { until: START.plus_ms(DAY_MS), per_payment: cap },
            }),
        )
        .expect("enrolled");
        home
    }

    /// Guardians 1 and 2, both counting.
    fn of_two() -> Self {
        let mut home = Self::found();
        home.take(1, home.newcomer(2)).expect("added");
        home.pass(GUARDIAN_COOLING_OFF_MS);
        home
    }

    fn newcomer(&self, seed: u8) -> Entry {
        let counts_from = self.now.plus_ms(GUARDIAN_COOLING_OFF_MS);
        Entry::AddGuardian(NewGuardian { guardian: person(seed), counts_from })
    }

    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }

    fn next(&self, by: u8, entry: Entry) -> (LogEntry, Digest) {
        let seq = self.log.next_seq();
        let household = self.log.household();
        let prev = Some(self.log.head());
        (LogEntry { v: V1, household, seq, prev, guardian: id(by), at: self.now, entry }, numbered(seq))
    }

    fn take(&mut self, by: u8, entry: Entry) -> Result<Digest, HouseholdError> {
        let (entry, digest) = self.next(by, entry);
        let before = self.log.clone();
        let taken = self.log.append(&entry, digest);
        assert!(taken.is_ok() || self.log == before, "a refused entry left a trace");
        taken.map(|()| digest)
    }

    fn recover(&mut self, seed: u8, by: u8) -> Result<Digest, HouseholdError> {
        let (entry, digest) = self.next(seed, Entry::Recover(person(seed)));
        self.log.recover(&entry, digest, key(by)).map(|()| digest)
    }

    fn counting(&self, later_ms: i64) -> Vec<u8> {
        let now = self.now.plus_ms(later_ms);
        self.log
            .members()
            .filter(|member| member.counts(now))
            .map(|member| member.guardian.guardian.as_bytes()[0])
            .collect()
    }
}

const fn digest(seed: u8) -> Digest {
    Digest::from_bytes([seed; 32])
}

fn numbered(seq: u64) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seq.to_be_bytes());
    Digest::from_bytes(bytes)
}

fn session(hours: i64) -> Entry {
    Entry::SetSession(WatchSession { watch: watch(), session_ms: hours * HOUR_MS })
}

fn keys(seeds: &[u8]) -> Entry {
    Entry::EnrolRecovery(RecoveryKeys { keys: seeds.iter().map(|seed| key(*seed)).collect() })
}

#[test]
fn a_newcomer_answers_at_once_and_counts_later() {
    let mut home = Home::found();
    let early = NewGuardian { guardian: person(2), counts_from: home.now.plus_ms(GUARDIAN_COOLING_OFF_MS - 1) };
    assert_eq!(home.take(1, Entry::AddGuardian(early)), Err(HouseholdError::CoolingOff));
    home.take(1, home.newcomer(2)).expect("added");
    let member = home.log.member(id(2)).expect("there");
    assert!(member.acts(home.now) && !member.counts(home.now));
    assert_eq!(home.take(2, Entry::RemoveWatch(watch())), Err(HouseholdError::NotCounting));
    home.take(1, session(1)).expect("one who counts needs no other");
    home.pass(GUARDIAN_COOLING_OFF_MS - 1);
    assert_eq!(home.take(2, Entry::RemoveWatch(watch())), Err(HouseholdError::NotCounting));
    home.pass(1);
    assert_eq!(home.take(1, session(2)), Err(HouseholdError::NeedsTwo));
    home.take(1, session(0)).expect("tighter needs nobody");
    home.take(2, Entry::RemoveWatch(watch())).expect("they count now");
    assert_eq!(home.take(1, home.newcomer(2)), Err(HouseholdError::NeedsTwo));
}

#[test]
fn what_needs_two_is_proposed_and_seconded() {
    let mut home = Home::of_two();
    for entry in [session(2), home.newcomer(3), keys(&[50]), Entry::Unfreeze(Unfreeze { frozen_at: START })] {
        assert_eq!(home.take(1, entry.clone()), Err(HouseholdError::NeedsTwo), "{entry:?}");
    }
    for entry in [session(0), Entry::RemoveGuardian(id(2)), Entry::Propose(Box::new(session(2)))] {
        assert_eq!(home.take(1, Entry::Propose(Box::new(entry))), Err(HouseholdError::OneIsEnough));
    }
    let proposal = home.take(1, Entry::Propose(Box::new(session(2)))).expect("proposed");
    assert_eq!(home.log.session_ms(watch(), u64::MAX), 0);
    assert_eq!(home.take(1, Entry::Second(proposal)), Err(HouseholdError::SamePerson));
    assert_eq!(home.take(2, Entry::Second(digest(1))), Err(HouseholdError::ProposalUnknown));
    home.take(2, Entry::Second(proposal)).expect("seconded");
    assert_eq!(home.log.session_ms(watch(), u64::MAX), 2 * HOUR_MS);
    assert_eq!(home.take(2, Entry::Second(proposal)), Err(HouseholdError::ProposalOver));

    let given_up = home.take(1, Entry::Propose(Box::new(session(3)))).expect("proposed");
    home.take(2, Entry::Withdraw(given_up)).expect("withdrawn");
    assert_eq!(home.take(2, Entry::Second(given_up)), Err(HouseholdError::ProposalOver));
    let late = home.take(1, Entry::Propose(Box::new(home.newcomer(3)))).expect("proposed");
    home.pass(PROPOSAL_LIFE_MS - 1);
    let mut in_time = home.clone();
    in_time.take(2, Entry::Second(late)).expect("in time");
    let counts_from = in_time.log.member(id(3)).expect("added").counts_from;
    assert_eq!(counts_from, home.now.plus_ms(GUARDIAN_COOLING_OFF_MS), "seconded late, counts late");
    home.pass(1);
    assert_eq!(home.take(2, Entry::Second(late)), Err(HouseholdError::ProposalOver));
    assert_eq!(home.take(2, Entry::Withdraw(late)), Err(HouseholdError::ProposalOver));
}

#[test]
fn a_proposal_ends_with_its_proposer() {
    let mut home = Home::of_two();
    let proposal = home.take(1, Entry::Propose(Box::new(session(2)))).expect("proposed");
    home.take(1, Entry::RemoveGuardian(id(1))).expect("left");
    assert_eq!(home.take(2, Entry::Second(proposal)), Err(HouseholdError::ProposalOver));
}

#[test]
fn one_leaves_at_once_and_is_sent_away_later() {
    let mut home = Home::found();
    assert_eq!(home.take(1, Entry::RemoveGuardian(id(1))), Err(HouseholdError::LastGuardian));
    home = Home::of_two();
    let removal = home.take(1, Entry::RemoveGuardian(id(2))).expect("signed");
    assert!(home.log.member(id(2)).is_some_and(|member| member.counts(home.now)));
    assert_eq!(home.take(1, Entry::RemoveGuardian(id(2))), Err(HouseholdError::LeavingAlready));
    assert_eq!(home.take(2, Entry::RemoveGuardian(id(1))), Err(HouseholdError::LastGuardian), "nobody would be left");
    assert_eq!(home.take(1, Entry::RemoveGuardian(id(1))), Err(HouseholdError::LastGuardian));
    assert_eq!(home.take(1, Entry::Object(removal)), Err(HouseholdError::NothingToObject), "only the one concerned");
    let mut stopped = home.clone();
    stopped.pass(REMOVAL_DELAY_MS - 1);
    stopped.take(2, Entry::Object(removal)).expect("stopped");
    stopped.pass(1);
    assert_eq!(stopped.counting(0), [1, 2]);
    home.pass(REMOVAL_DELAY_MS);
    assert_eq!(home.take(2, Entry::Object(removal)), Err(HouseholdError::NotAGuardian), "too late");
    assert_eq!(home.counting(0), [1]);
    home.take(1, session(3)).expect("alone again");
    assert_eq!(home.take(1, home.newcomer(2)), Err(HouseholdError::GuardianExists), "nobody comes back as they were");
}

#[test]
fn a_recovery_waits_can_be_stopped_and_uses_its_key() {
    let mut home = Home::found();
    for wrong in [keys(&[]), keys(&[50, 50]), keys(&[50, 51, 52, 53, 54, 55, 56, 57, 58])] {
        assert_eq!(home.take(1, wrong), Err(HouseholdError::RecoveryKeys));
    }
    home.take(1, keys(&[50, 51])).expect("enrolled");
    assert_eq!(home.take(1, Entry::Recover(person(5))), Err(HouseholdError::NotAGuardian), "not by a passkey");
    assert_eq!(home.recover(5, 52), Err(HouseholdError::RecoveryKeyUnknown));
    let stopped = home.recover(5, 50).expect("taken");
    assert_eq!(home.recover(6, 50), Err(HouseholdError::RecoveryKeyUnknown), "once");
    home.take(1, Entry::Object(stopped)).expect("stopped");
    assert_eq!(home.take(1, Entry::Object(stopped)), Err(HouseholdError::NothingToObject));
    home.recover(7, 51).expect("taken");
    assert_eq!(home.take(7, session(1)), Err(HouseholdError::NotCounting));
    home.pass(RECOVERY_DELAY_MS - 1);
    assert_eq!(home.counting(0), [1]);
    home.pass(1);
    assert_eq!(home.counting(0), [1, 7], "and never the one that was stopped");
    assert_eq!(home.take(1, keys(&[60])), Err(HouseholdError::NeedsTwo), "else one could bring in a second self");
    let proposal = home.take(1, Entry::Propose(Box::new(keys(&[51])))).expect("proposed");
    assert_eq!(home.take(7, Entry::Second(proposal)), Err(HouseholdError::RecoveryKeys), "used before");
    let proposal = home.take(1, Entry::Propose(Box::new(keys(&[60])))).expect("proposed");
    home.take(7, Entry::Second(proposal)).expect("enrolled");
    assert_eq!(home.log.recovery_keys().collect::<Vec<_>>(), [&key(60)]);
}

#[test]
fn the_household_is_erased_later_unless_anyone_objects() {
    let erase = Entry::Erase(Erase {});
    let mut home = Home::of_two();
    let asked = home.take(2, erase.clone()).expect("one is enough");
    assert_eq!(home.log.erasing(), Some(&Erasing { entry: asked, by: id(2), from: home.now.plus_ms(ERASE_DELAY_MS) }));
    assert_eq!(home.take(1, erase.clone()), Err(HouseholdError::ErasingAlready));
    home.take(1, Entry::Object(asked)).expect("the other one objects");
    assert_eq!(home.log.erasing(), None);
    assert_eq!(home.take(1, Entry::Object(asked)), Err(HouseholdError::NothingToObject));

    let again = home.take(1, erase.clone()).expect("asked again");
    home.pass(ERASE_DELAY_MS);
    assert_eq!(home.take(2, Entry::Object(asked)), Err(HouseholdError::NothingToObject), "to this one, not to that");
    home.take(2, Entry::Object(again)).expect("as long as it is there to object");
    let proposal = home.take(1, Entry::Propose(Box::new(erase.clone())));
    assert_eq!(proposal, Err(HouseholdError::OneIsEnough));
    home.take(1, Entry::RemoveGuardian(id(1))).expect("left");
    assert_eq!(home.take(1, erase), Err(HouseholdError::NotAGuardian));
}

#[test]
fn what_was_signed_stays_checkable_and_no_more() {
    let mut home = Home::of_two();
    let before = home.log.next_seq() - 1;
    let (mid, removal_seq) = (home.now, home.log.next_seq());
    home.take(2, Entry::RemoveGuardian(id(2))).expect("left");
    home.pass(HOUR_MS);
    let member = home.log.member(id(2)).expect("known");
    assert!(member.acted(before, mid.plus_ms(-1)));
    assert!(!member.acted(removal_seq, mid), "signed after the removal was known");
    assert!(!member.acted(0, mid), "signed before they came");
    assert!(!member.acts(home.now));
}

#[derive(Clone, Debug)]
enum Deed {
    Wait(i64),
    Sign { by: u8, what: What },
    Recover { by: u8 },
}

#[derive(Clone, Debug)]
enum What {
    Add,
    Remove(u8),
    /// The n-th newest entry.
    Object(u8),
    Propose(Box<What>),
    Second(u8),
    Withdraw(u8),
    Session(i64),
    Keys(u8),
}

fn what() -> impl Strategy<Value = What> {
    let simple = prop_oneof![
        3 => Just(What::Add),
        3 => (1..8_u8).prop_map(What::Remove),
        2 => (0..6_u8).prop_map(What::Object),
        3 => (0..6_u8).prop_map(What::Second),
        1 => (0..6_u8).prop_map(What::Withdraw),
        2 => (0..5_i64).prop_map(What::Session),
        1 => (0..3_u8).prop_map(What::Keys),
    ];
    simple.clone().prop_recursive(
        1,
        2,
        1,
        move |inner| prop_oneof![2 => simple.clone(), 1 => inner.prop_map(|what| What::Propose(Box::new(what)))],
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => prop_oneof![Just(HOUR_MS), Just(DAY_MS), Just(RECOVERY_DELAY_MS), Just(PROPOSAL_LIFE_MS)].prop_map(Deed::Wait),
        8 => (1..8_u8, what()).prop_map(|(by, what)| Deed::Sign { by, what }),
        1 => (50..60_u8).prop_map(|by| Deed::Recover { by }),
    ]
}

fn entry_of(home: &mut Home, what: &What) -> Entry {
    let digest_back = |back: u8| numbered(home.log.next_seq().saturating_sub(1 + u64::from(back)));
    match what {
        What::Add => {
            home.made += 1;
            home.newcomer(home.made)
        }
        What::Remove(gone) => Entry::RemoveGuardian(id(*gone)),
        What::Object(back) => Entry::Object(digest_back(*back)),
        What::Propose(what) => Entry::Propose(Box::new(entry_of(home, what))),
        What::Second(back) => Entry::Second(digest_back(*back)),
        What::Withdraw(back) => Entry::Withdraw(digest_back(*back)),
        What::Session(hours) => session(*hours),
        What::Keys(first) => keys(&[50 + 3 * first, 51 + 3 * first, 52 + 3 * first]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_signed_the_rules_hold(deeds in prop::collection::vec(deed(), 1..80)) {
        let mut home = Home::found();
        let mut used = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Wait(ms) => home.pass(ms),
                Deed::Recover { by } => {
                    home.made += 1;
                    if home.recover(home.made, by).is_ok() {
                        prop_assert!(!used.contains(&by), "a recovery key was good twice");
                        used.push(by);
                    }
                }
                Deed::Sign { by, what } => {
                    let entry = entry_of(&mut home, &what);
                    let before = home.clone();
                    let two = before.counting(0).len() >= 2;
                    let signed = home.next(by, entry.clone()).0;
                    if home.take(by, entry.clone()).is_ok() {
                        prop_assert!(before.counting(0).contains(&by), "signed by one who does not count: {entry:?}");
                        let enacted = home.log.enacted(&signed);
                        if two && enacted.is_some_and(|change| change.needs_two(&before.log)) {
                            let Entry::Second(proposal) = entry else {
                                return Err(TestCaseError::fail("one signed what needs two"));
                            };
                            let proposal = before.log.proposals().find(|(digest, _)| *digest == proposal);
                            let proposer = proposal.map(|(_, proposal)| proposal.by);
                            prop_assert!(proposer.is_some_and(|one| one != id(by)), "one person seconded themselves");
                        }
                    }
                }
            }
            for later_ms in [0, HOUR_MS, DAY_MS, RECOVERY_DELAY_MS, 30 * DAY_MS] {
                prop_assert!(!home.counting(later_ms).is_empty(), "nobody counts in {later_ms} ms");
            }
            let gone: Vec<u8> = home.log.members().filter(|member| !member.acts(home.now))
                .map(|member| member.guardian.guardian.as_bytes()[0]).collect();
            for gone in gone {
                prop_assert!(home.clone().take(gone, session(0)).is_err(), "{gone} signs and is no guardian");
            }
        }
    }
}

fn house_rules(rules: crate::HouseRules) -> Entry {
    Entry::SetHouseRules(rules)
}

fn cny(minor: i64) -> crate::Amount {
    crate::Amount::new(Minor::new(minor).expect("in range"), Currency::CNY)
}

/// One guardian makes the rules of deciding tighter, two make them looser; a second nod needs a second guardian.
#[test]
fn house_rules_tighten_alone() {
    let above =
        |minor: Option<i64>| crate::HouseRules { two_nods_above: minor.map(cny), ..crate::HouseRules::default() };
    let mut alone = Home::found();
    let no_second = Err(HouseholdError::HouseRules(crate::HouseRulesError::NoSecondGuardian));
    assert_eq!(alone.take(1, house_rules(above(Some(100)))), no_second);

    let mut home = Home::of_two();
    home.take(2, house_rules(above(Some(100)))).expect("tighter");
    home.take(1, house_rules(above(Some(50)))).expect("tighter still");
    let before = home.log.next_seq() - 1;
    for looser in [above(Some(51)), above(None)] {
        assert_eq!(home.take(1, house_rules(looser)), Err(HouseholdError::NeedsTwo));
    }
    let proposal = home.take(1, Entry::Propose(Box::new(house_rules(above(None))))).expect("proposed");
    assert!(home.log.house_rules(u64::MAX).wants_two_nods(cny(51)));
    home.take(2, Entry::Second(proposal)).expect("seconded");
    assert!(!home.log.house_rules(u64::MAX).wants_two_nods(cny(51)));
    assert!(home.log.house_rules(before).wants_two_nods(cny(51)), "what held then stays known");
}

/// Newcomers are kept short for longer where the household says so, and nobody who is there already for less long.
#[test]
fn newcomers_are_kept_short_for_longer() {
    let newcomers = crate::Newcomers { watch_ms: 3 * DAY_MS, per_payment: Some(cny(500)), guardian_ms: 4 * DAY_MS };
    let rules = crate::HouseRules { newcomers: Some(newcomers), ..crate::HouseRules::default() };
    let mut home = Home::of_two();
    let (before, early) = (home.log.watch(watch()).expect("enrolled").new_watch_cap, home.newcomer(3));
    home.take(1, house_rules(rules)).expect("tighter");
    assert_eq!(home.log.watch(watch()).expect("enrolled").new_watch_cap, before);
    let seconds = home.take(1, Entry::Propose(Box::new(early)));
    assert_eq!(seconds, Err(HouseholdError::CoolingOff));

    let enrol = |until: Timestamp, minor: i64| {
        Entry::EnrolWatch(EnrolledWatch {
            watch: WatchId::from_bytes([2; 16]),
            key: key(98),
            wearer: WearerId::from_bytes([1; 16]),
            wearer_name: digest(9),
            new_watch_cap: NewWatchCap { until, per_payment: cny(minor) },
        })
    };
    let late = home.now.plus_ms(3 * DAY_MS);
    assert_eq!(home.take(1, enrol(late.plus_ms(-1), 500)), Err(HouseholdError::NewWatch));
    assert_eq!(home.take(1, enrol(late, 501)), Err(HouseholdError::NewWatch));
    home.take(1, enrol(late, 500)).expect("short enough");

    let counts_from = home.now.plus_ms(4 * DAY_MS);
    let third = Entry::AddGuardian(NewGuardian { guardian: person(3), counts_from });
    let proposal = home.take(1, Entry::Propose(Box::new(third))).expect("proposed");
    home.pass(DAY_MS);
    home.take(2, Entry::Second(proposal)).expect("seconded late");
    assert_eq!(home.log.member(id(3)).expect("there").counts_from, counts_from.plus_ms(DAY_MS));
    assert_eq!(home.take(1, house_rules(crate::HouseRules::default())), Err(HouseholdError::NeedsTwo));
}
