use proptest::prelude::*;

use super::*;
use crate::{Country, Currency, Digest, Mcc, MerchantId, Text, WatchId};

const NOON: Timestamp = Timestamp::from_unix_ms(20_780 * 24 * 60 * MINUTE_MS);
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

fn cny(minor: i64) -> Amount {
    Amount::new(Minor::new(minor).expect("in range"), Currency::CNY)
}

fn asked(minor: i64) -> Asked {
    Asked {
        watch: WatchId::from_bytes([1; 16]),
        merchant: MerchantId::from_bytes([2; 16]),
        mcc: Mcc::from_digits("5411").expect("a code"),
        city: Text::new("Shenzhen").expect("a text"),
        country: Country::from_code("CN").expect("a country"),
        age: None,
        printed: false,
        reduced: false,
        total: cny(minor),
        at: NOON,
    }
}

fn said(answer: Answer) -> Judgement {
    Judgement { entry: Digest::from_bytes([3; 32]), answer }
}

fn caps() -> impl Strategy<Value = HouseCaps> {
    let cap = || proptest::option::of(1..60_i64);
    (cap(), cap(), cap(), proptest::sample::select(vec![0, 480])).prop_map(|(day, week, month, utc_minutes)| {
        HouseCaps { utc_minutes, per_day: day.map(cny), per_week: week.map(cny), per_month: month.map(cny) }
    })
}

fn rules() -> impl Strategy<Value = HouseRules> {
    let amount = || proptest::option::of((1..60_i64).prop_map(cny));
    let ms = || (1..=30_i64).prop_map(|days| days * DAY_MS);
    let newcomers = (ms(), amount(), ms()).prop_map(|(watch_ms, per_payment, guardian_ms)| Newcomers {
        watch_ms,
        per_payment,
        guardian_ms,
    });
    (amount(), proptest::option::of(caps()), proptest::option::of(newcomers))
        .prop_map(|(two_nods_above, caps, newcomers)| HouseRules { two_nods_above, caps, newcomers })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Rules that are not looser allow nothing that the ones before did not.
    #[test]
    fn not_looser_is_not_looser(now in rules(), before in rules(), minor in 1..100_i64, spent in 0..100_i64, life in 0..31_i64) {
        if now.is_looser_than(&before) {
            return Ok(());
        }
        let spent = |_| Minor::new(spent).expect("in range");
        let answer = |rules: &HouseRules| rules.bound(said(Answer::Approve), &asked(minor), spent).answer;
        prop_assert!(answer(&now) != Answer::Approve || answer(&before) == Answer::Approve);
        prop_assert!(now.wants_two_nods(cny(minor)) || !before.wants_two_nods(cny(minor)));
        let cap = NewWatchCap { until: NOON.plus_ms(life * DAY_MS), per_payment: cny(minor) };
        prop_assert!(!now.allows_new_watch(&cap, NOON) || before.allows_new_watch(&cap, NOON));
        prop_assert!(now.guardian_cooling_off_ms() >= before.guardian_cooling_off_ms());
    }

    /// The rules of a household only ever turn an approval into a question, and the same rules are never looser than themselves.
    #[test]
    fn they_only_ask(rules in rules(), minor in 1..100_i64, spent in 0..100_i64) {
        prop_assert!(!rules.is_looser_than(&rules));
        let spent = |_| Minor::new(spent).expect("in range");
        for answer in [Answer::Ask(Why::Hour), Answer::Refuse(Why::Shop)] {
            prop_assert_eq!(rules.bound(said(answer), &asked(minor), spent), said(answer));
        }
        let bound = rules.bound(said(Answer::Approve), &asked(minor), spent);
        prop_assert!(matches!(bound.answer, Answer::Approve | Answer::Ask(_)));
    }

    /// What is approved one after the other stays within every cap.
    #[test]
    fn caps_hold(caps in caps(), totals in proptest::collection::vec(1..30_i64, 1..40)) {
        let rules = HouseRules { caps: Some(caps), ..HouseRules::default() };
        let mut spent = 0;
        for minor in totals {
            let before = Minor::new(spent).expect("in range");
            if rules.bound(said(Answer::Approve), &asked(minor), |_| before).answer == Answer::Approve {
                spent += minor;
            }
        }
        for every in Every::ALL {
            prop_assert!(caps.cap(every).is_none_or(|cap| spent <= cap.minor()));
        }
    }
}

#[test]
fn the_first_reason_is_said() {
    let caps = HouseCaps { utc_minutes: 480, per_day: Some(cny(100)), per_week: Some(cny(50)), per_month: None };
    let rules = HouseRules { two_nods_above: Some(cny(200)), caps: Some(caps), newcomers: None };
    let none = |_: Period| Minor::ZERO;
    let why = |minor| rules.bound(said(Answer::Approve), &asked(minor), none).answer.why();
    assert_eq!(why(50), None);
    assert_eq!(why(51), Some(Why::HouseWeek));
    assert_eq!(why(101), Some(Why::HouseDay));
    assert_eq!(why(200), Some(Why::HouseDay));
    assert_eq!(why(201), Some(Why::TwoNods));
}

#[test]
fn their_form() {
    let sound = HouseRules { two_nods_above: Some(cny(1)), ..HouseRules::default() };
    let empty = HouseCaps { utc_minutes: 0, per_day: None, per_week: None, per_month: None };
    let newcomers = Newcomers::default();
    let wrong = [
        (HouseRules { two_nods_above: Some(cny(0)), ..sound }, HouseRulesError::Amounts),
        (HouseRules { caps: Some(empty), ..sound }, HouseRulesError::Nothing),
        (HouseRules { caps: Some(HouseCaps { utc_minutes: 841, ..empty }), ..sound }, HouseRulesError::Day),
        (
            HouseRules { newcomers: Some(Newcomers { watch_ms: DAY_MS - 1, ..newcomers }), ..sound },
            HouseRulesError::Newcomers,
        ),
        (
            HouseRules { newcomers: Some(Newcomers { guardian_ms: 30 * DAY_MS + 1, ..newcomers }), ..sound },
            HouseRulesError::Newcomers,
        ),
    ];
    assert_eq!((HouseRules::default().check(), sound.check()), (Ok(()), Ok(())));
    for (rules, error) in wrong {
        assert_eq!(rules.check(), Err(error));
    }
    let newcomers =
        |amount| HouseRules { newcomers: Some(Newcomers { per_payment: Some(amount), ..newcomers }), ..sound };
    assert_eq!(newcomers(cny(20_000)).check(), Ok(()));
    assert_eq!(newcomers(cny(20_001)).check(), Err(HouseRulesError::NewcomerAmount));
    let euro = Amount::new(Minor::new(1).expect("in range"), Currency::EUR);
    let mixed = HouseRules { caps: Some(HouseCaps { per_day: Some(euro), ..empty }), ..sound };
    assert_eq!(mixed.check(), Err(HouseRulesError::Amounts));
}

/// Without any rules a new watch is kept short all the same, by its own currency's units.
#[test]
fn newcomers_are_kept_short_by_default() {
    let yen =
        |minor| Amount::new(Minor::new(minor).expect("in range"), Currency::from_code("JPY").expect("a currency"));
    let dinar =
        |minor| Amount::new(Minor::new(minor).expect("in range"), Currency::from_code("KWD").expect("a currency"));
    let (rules, longer) = (HouseRules::default(), Newcomers { watch_ms: 2 * DAY_MS, ..Newcomers::default() });
    let longer = HouseRules { newcomers: Some(longer), ..rules };
    for (rules, life_ms, per_payment, allowed) in [
        (rules, DAY_MS, cny(20_000), true),
        (rules, DAY_MS - 1, cny(20_000), false),
        (rules, DAY_MS, cny(20_001), false),
        (rules, DAY_MS, yen(200), true),
        (rules, DAY_MS, yen(201), false),
        (rules, DAY_MS, dinar(200_000), true),
        (rules, DAY_MS, dinar(200_001), false),
        (longer, 2 * DAY_MS, cny(20_000), true),
        (longer, 2 * DAY_MS - 1, cny(20_000), false),
        (longer, 2 * DAY_MS, cny(20_001), false),
    ] {
        let cap = NewWatchCap { until: NOON.plus_ms(life_ms), per_payment };
        assert_eq!(rules.allows_new_watch(&cap, NOON), allowed, "{life_ms} {per_payment:?}");
    }
}

/// Nobody being away may leave an order unseen, nor one that needs two with one.
#[test]
fn somebody_is_always_asked() {
    assert_eq!(to_ask(&[(1, false), (2, true)], false), [1]);
    assert_eq!(to_ask(&[(1, false), (2, true)], true), [1, 2]);
    assert_eq!(to_ask(&[(1, false), (2, true), (3, false)], true), [1, 3]);
    assert_eq!(to_ask(&[(1, true), (2, true)], false), [1, 2]);
}
