use proptest::prelude::*;

use super::*;
use crate::Currency;

const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// 2026-11-23 was a Monday; 08:00 in UTC+8.
const NOON: Timestamp = Timestamp::from_unix_ms(20_780 * DAY_MS);
const WATCH: WatchId = WatchId::from_bytes([1; 16]);
const SHOP: MerchantId = MerchantId::from_bytes([2; 16]);
const ENTRY: Digest = Digest::from_bytes([3; 32]);

fn cny(minor: i64) -> Amount {
    Amount::new(Minor::new(minor).expect("in range"), Currency::CNY)
}

fn text(text: &str) -> Text<30> {
    Text::new(text).expect("a text")
}

fn mcc(digits: &str) -> Mcc {
    Mcc::from_digits(digits).expect("a code")
}

fn country(code: &str) -> Country {
    Country::from_code(code).expect("a country")
}

fn rule() -> Mandate {
    Mandate {
        mandate: MandateId::from_bytes([4; 16]),
        version: 1,
        name: text("snacks"),
        watch: WATCH,
        until: NOON.plus_ms(30 * DAY_MS),
        approve: Some(cny(1_000)),
        outside: Outside::Ask,
        per_payment: Some(cny(2_000)),
        per_day: Some(cny(3_000)),
        per_week: None,
        per_month: None,
        shops: None,
        categories: None,
        places: None,
        age: None,
        windows: Vec::new(),
        offsets: vec![Offset { from: Timestamp::from_unix_ms(0), minutes: 480 }],
    }
}

fn asked(minor: i64) -> Asked {
    Asked {
        watch: WATCH,
        merchant: SHOP,
        mcc: mcc("5411"),
        city: text("Shenzhen"),
        country: country("CN"),
        age: None,
        printed: false,
        reduced: false,
        total: cny(minor),
        at: NOON,
    }
}

fn standing(mandate: Mandate, number: u8) -> Standing {
    let entry = Digest::from_bytes([number; 32]);
    Standing { mandate, entry, seq: 1, guardian: GuardianId::from_bytes([5; 16]), ended: None }
}

fn nothing(_: Period) -> Minor {
    Minor::ZERO
}

#[test]
fn each_answer_says_why() {
    type Bend = fn(&mut Mandate, &mut Asked);
    let at = |asked: &mut Asked, minutes: i64| asked.at = NOON.plus_ms(minutes * MINUTE_MS);
    let cases: [(Bend, Answer); 25] = [
        (|_, _| {}, Answer::Approve),
        (|_, a| a.total = cny(1_001), Answer::Ask(Why::OverApproval)),
        (|_, a| a.total = cny(2_001), Answer::Ask(Why::OverPayment)),
        (|r, _| r.per_day = Some(cny(999)), Answer::Ask(Why::OverDay)),
        (|r, _| r.per_week = Some(cny(999)), Answer::Ask(Why::OverWeek)),
        (|r, _| r.per_month = Some(cny(999)), Answer::Ask(Why::OverMonth)),
        (|r, _| r.approve = None, Answer::Ask(Why::OverApproval)),
        (|_, a| a.printed = true, Answer::Ask(Why::PrintedCode)),
        (|_, a| a.reduced = true, Answer::Ask(Why::Reduced)),
        (|r, _| r.per_payment = Some(Amount::new(Minor::new(9_999).expect("in range"), Currency::EUR)), {
            Answer::Ask(Why::OverPayment)
        }),
        (|r, _| r.shops = Some(Choice::Only(vec![SHOP])), Answer::Approve),
        (|r, _| r.shops = Some(Choice::Never(vec![SHOP])), Answer::Ask(Why::Shop)),
        (|r, _| r.shops = Some(Choice::Only(vec![MerchantId::from_bytes([9; 16])])), Answer::Ask(Why::Shop)),
        (|r, _| r.categories = Some(Choice::Never(vec![mcc("5411")])), Answer::Ask(Why::Category)),
        (|r, _| r.places = Some(Choice::Only(vec![Place { city: None, country: country("CN") }])), Answer::Approve),
        (
            |r, _| r.places = Some(Choice::Only(vec![Place { city: Some(text("Beijing")), country: country("CN") }])),
            Answer::Ask(Why::Place),
        ),
        (|r, a| (r.age, a.age) = (Some(12), Some(12)), Answer::Approve),
        (|r, a| (r.age, a.age) = (Some(12), Some(16)), Answer::Ask(Why::Age)),
        (|r, a| (r.outside, r.age, a.age) = (Outside::Refuse, Some(12), Some(16)), Answer::Refuse(Why::Age)),
        (|r, a| (r.outside, a.total) = (Outside::Refuse, cny(1_001)), Answer::Ask(Why::OverApproval)),
        (|r, a| (r.outside, a.total) = (Outside::Refuse, cny(2_001)), Answer::Refuse(Why::OverPayment)),
        (|r, _| r.windows = vec![Window { days: vec![Weekday::Mon], from: 480, to: 481 }], Answer::Approve),
        (|r, _| r.windows = vec![Window { days: vec![Weekday::Mon], from: 0, to: 480 }], Answer::Ask(Why::Hour)),
        (|r, _| r.windows = vec![Window { days: vec![Weekday::Tue], from: 0, to: 1440 }], Answer::Ask(Why::Weekday)),
        (
            |r, _| {
                r.windows = vec![Window { days: vec![Weekday::Mon], from: 480, to: 481 }];
                r.offsets.push(Offset { from: NOON, minutes: 540 });
            },
            Answer::Ask(Why::Hour),
        ),
    ];
    for (index, (bend, answer)) in cases.into_iter().enumerate() {
        let (mut rule, mut asked) = (rule(), asked(1_000));
        bend(&mut rule, &mut asked);
        assert_eq!(rule.answer(&asked, nothing), answer, "case {index}");
    }
    // Local midnight ends the day and, on a Sunday, the week.
    let rule = rule();
    let mut late = asked(1);
    at(&mut late, 16 * 60 - 1);
    assert_eq!(rule.period(Every::Day, late.at).first.to_string(), "2026-11-23");
    at(&mut late, 16 * 60);
    assert_eq!(rule.period(Every::Day, late.at).first.to_string(), "2026-11-24");
    at(&mut late, (6 * 24 + 16) * 60);
    assert_eq!(rule.period(Every::Week, late.at).first.to_string(), "2026-11-30");
    assert_eq!(rule.period(Every::Month, late.at).first.to_string(), "2026-11-01");
}

#[test]
fn a_refusal_counts_more_than_an_approval_and_that_more_than_a_question() {
    let with = |bend: fn(&mut Mandate)| {
        let mut rule = rule();
        bend(&mut rule);
        rule
    };
    let approves = standing(rule(), 1);
    let asks = standing(with(|rule| rule.approve = Some(cny(1))), 2);
    let refuses = standing(with(|rule| (rule.outside, rule.per_payment) = (Outside::Refuse, Some(cny(1)))), 3);
    let of_another = standing(with(|rule| rule.watch = WatchId::from_bytes([9; 16])), 4);
    let over = standing(with(|rule| rule.until = NOON), 5);
    let say = |rules: &[&Standing]| judge(rules.iter().map(|rule| rule.rule()), &asked(1_000), nothing);
    let said = |number: u8, answer| Some(Judgement { entry: Digest::from_bytes([number; 32]), answer });
    assert_eq!(say(&[]), None);
    assert_eq!(say(&[&of_another, &over]), None);
    assert_eq!(say(&[&asks, &approves, &of_another]), said(1, Answer::Approve));
    assert_eq!(say(&[&asks]), said(2, Answer::Ask(Why::OverApproval)));
    assert_eq!(say(&[&approves, &refuses, &asks]), said(3, Answer::Refuse(Why::OverPayment)));
}

#[test]
fn a_change_that_allows_more_is_looser() {
    type Bend = fn(&mut Mandate);
    let mut tight = rule();
    tight.outside = Outside::Refuse;
    tight.per_week = Some(cny(5_000));
    tight.per_month = Some(cny(9_000));
    tight.shops = Some(Choice::Only(vec![SHOP]));
    tight.categories = Some(Choice::Never(vec![mcc("5411"), mcc("5499")]));
    tight.places = Some(Choice::Only(vec![Place { city: None, country: country("CN") }]));
    tight.age = Some(12);
    tight.windows = vec![Window { days: Weekday::ALL.to_vec(), from: 900, to: 1_200 }];
    let looser: [Bend; 18] = [
        |rule| rule.approve = Some(cny(1_001)),
        |rule| rule.until = rule.until.plus_ms(1),
        |rule| rule.outside = Outside::Ask,
        |rule| rule.per_payment = None,
        |rule| rule.per_day = Some(cny(3_001)),
        |rule| rule.per_week = None,
        |rule| rule.per_month = Some(cny(9_001)),
        |rule| rule.shops = None,
        |rule| rule.shops = Some(Choice::Only(vec![SHOP, MerchantId::from_bytes([9; 16])])),
        |rule| rule.shops = Some(Choice::Never(vec![MerchantId::from_bytes([9; 16])])),
        |rule| rule.categories = Some(Choice::Never(vec![mcc("5411")])),
        |rule| rule.categories = Some(Choice::Only(vec![mcc("5411")])),
        |rule| rule.places = Some(Choice::Only(vec![Place { city: None, country: country("SG") }])),
        |rule| rule.age = Some(13),
        |rule| rule.age = None,
        |rule| rule.windows.clear(),
        |rule| rule.windows.push(Window { days: vec![Weekday::Sat], from: 600, to: 601 }),
        |rule| rule.offsets = vec![Offset { from: NOON, minutes: 420 }],
    ];
    for (index, bend) in looser.into_iter().enumerate() {
        let mut rule = tight.clone();
        bend(&mut rule);
        assert!(rule.is_looser_than(Some(&tight)), "case {index}");
    }
    let tighter: [Bend; 9] = [
        |_| {},
        |rule| rule.approve = None,
        |rule| rule.until = rule.until.plus_ms(-1),
        |rule| rule.per_day = Some(cny(1)),
        |rule| rule.categories = Some(Choice::Only(vec![mcc("5814")])),
        |rule| {
            let city = Some(text("Shenzhen"));
            rule.places = Some(Choice::Only(vec![Place { city, country: country("CN") }]));
        },
        |rule| rule.age = Some(0),
        |rule| rule.windows = vec![Window { days: vec![Weekday::Sun], from: 900, to: 1_100 }],
        |rule| rule.offsets = vec![Offset { from: NOON, minutes: 480 }],
    ];
    for (index, bend) in tighter.into_iter().enumerate() {
        let mut rule = tight.clone();
        bend(&mut rule);
        assert!(!rule.is_looser_than(Some(&tight)), "case {index}");
    }
    assert!(rule().is_looser_than(None));
    assert!(!Mandate { approve: None, ..tight }.is_looser_than(None));
}

#[test]
fn only_a_sound_rule_is_taken_in() {
    type Bend = fn(&mut Mandate);
    let cases: [(Bend, MandateError); 17] = [
        (|rule| rule.until = NOON, MandateError::Life),
        (|rule| rule.until = NOON.plus_ms(MAX_MANDATE_LIFE_MS + 1), MandateError::Life),
        (|rule| rule.version = 2, MandateError::Version),
        (|rule| rule.per_day = Some(cny(0)), MandateError::Amounts),
        (|rule| rule.per_day = Some(Amount::new(Minor::ZERO, Currency::EUR)), MandateError::Amounts),
        (|rule| rule.shops = Some(Choice::Only(Vec::new())), MandateError::Named),
        (|rule| rule.shops = Some(Choice::Never(vec![SHOP, SHOP])), MandateError::Named),
        (|rule| rule.windows = vec![Window { days: Vec::new(), from: 0, to: 1 }], MandateError::Windows),
        (|rule| rule.windows = vec![Window { days: vec![Weekday::Mon; 2], from: 0, to: 1 }], MandateError::Windows),
        (|rule| rule.windows = vec![Window { days: vec![Weekday::Mon], from: 1, to: 1 }], MandateError::Windows),
        (|rule| rule.windows = vec![Window { days: vec![Weekday::Mon], from: 0, to: 1_441 }], MandateError::Windows),
        (|rule| rule.windows = vec![Window { days: vec![Weekday::Mon], from: 0, to: 1 }; 8], MandateError::Windows),
        (|rule| rule.offsets.clear(), MandateError::Offsets),
        (|rule| rule.offsets = vec![rule.offsets[0]; 2], MandateError::Offsets),
        (|rule| rule.offsets[0].minutes = 841, MandateError::Offsets),
        (|rule| rule.approve = None, MandateError::Nothing),
        (|rule| rule.categories = Some(Choice::Only(vec![mcc("5411"); 2])), MandateError::Named),
    ];
    let by = GuardianId::from_bytes([5; 16]);
    let place = |seq| guardians::Place { seq, digest: ENTRY, at: NOON };
    let mut log = Vec::new();
    for (index, (bend, error)) in cases.into_iter().enumerate() {
        let mut rule = rule();
        bend(&mut rule);
        assert_eq!(set(&mut log, &rule, by, place(1)), Err(error), "case {index}");
    }
    assert_eq!(log, []);

    // Versions follow each other, on one watch; what was replaced or ended stays known.
    let version = |version| Mandate { version, ..rule() };
    set(&mut log, &version(1), by, place(1)).expect("the first");
    assert_eq!(set(&mut log, &version(1), by, place(2)), Err(MandateError::Version));
    assert_eq!(set(&mut log, &version(3), by, place(2)), Err(MandateError::Version));
    let other = Mandate { watch: WatchId::from_bytes([9; 16]), ..version(2) };
    assert_eq!(set(&mut log, &other, by, place(2)), Err(MandateError::OtherWatch));
    set(&mut log, &version(2), by, place(3)).expect("the second");
    assert_eq!(end(&mut log, MandateId::from_bytes([9; 16]), 4), Err(MandateError::Unknown));
    end(&mut log, rule().mandate, 5).expect("there");
    assert_eq!(end(&mut log, rule().mandate, 6), Err(MandateError::Unknown));
    assert_eq!(set(&mut log, &version(3), by, place(7)), Err(MandateError::Unknown));
    let held: Vec<Vec<bool>> = log.iter().map(|one| (0..7).map(|seq| one.holds_at(seq)).collect()).collect();
    assert_eq!(
        held,
        [[false, true, true, false, false, false, false], [false, false, false, true, true, false, false]]
    );

    // So many and no more, of those whose time is not over.
    let mut log = Vec::new();
    for number in 0..=u8::try_from(MAX_MANDATES).expect("few") {
        let rule = Mandate { mandate: MandateId::from_bytes([number; 16]), ..rule() };
        let taken = set(&mut log, &rule, by, place(u64::from(number)));
        assert_eq!(taken.is_ok(), usize::from(number) < MAX_MANDATES);
    }
    let later = guardians::Place { at: NOON.plus_ms(31 * DAY_MS), ..place(99) };
    let until = later.at.plus_ms(1);
    let rule = Mandate { mandate: MandateId::from_bytes([99; 16]), until, ..rule() };
    assert_eq!(set(&mut log, &rule, by, later), Ok(()));
}

fn any_amount() -> impl Strategy<Value = Option<Amount>> {
    proptest::option::of((1_i64..5).prop_map(|thousands| cny(thousands * 1_000)))
}

fn any_window() -> impl Strategy<Value = Window> {
    (proptest::sample::subsequence(Weekday::ALL.to_vec(), 1..=7), 0_u16..1_440, 1_u16..=1_440)
        .prop_map(|(days, from, to)| Window { days, from: from.min(to - 1), to })
}

fn any_rule() -> impl Strategy<Value = Mandate> {
    let caps = (any_amount(), any_amount(), any_amount(), any_amount(), any_amount());
    let scope = (any::<bool>(), proptest::option::of(any::<bool>()), proptest::option::of(0_u8..20));
    let time = (proptest::collection::vec(any_window(), 0..3), 480_i16..482);
    (caps, scope, time).prop_map(|((approve, per_payment, per_day, per_week, per_month), scope, (windows, minutes))| {
        let (refuse, only, age) = scope;
        let shops = only.map(|only| if only { Choice::Only(vec![SHOP]) } else { Choice::Never(vec![SHOP]) });
        let outside = if refuse { Outside::Refuse } else { Outside::Ask };
        let offsets = vec![Offset { from: NOON, minutes }];
        Mandate { approve, outside, per_payment, per_day, per_week, per_month, shops, age, windows, offsets, ..rule() }
    })
}

/// How much an answer allows.
fn allows(said: Option<Judgement>) -> u8 {
    match said.expect("there are rules").answer {
        Answer::Refuse(_) => 0,
        Answer::Ask(_) => 1,
        Answer::Approve => 2,
    }
}

proptest! {
    #[test]
    fn more_spent_and_more_asked_never_allow_more(
        rules in proptest::collection::vec(any_rule(), 1..4),
        (total, more) in (1_i64..4_000, 0_i64..4_000),
        (spent, spent_more) in (0_i64..4_000, 0_i64..4_000),
        (hours, age) in (0_i64..200, proptest::option::of(0_u8..20)),
    ) {
        let rules: Vec<Standing> = rules.into_iter().zip(0..).map(|(rule, number)| standing(rule, number)).collect();
        let say = |total: i64, spent: i64| {
            let asked = Asked { age, at: NOON.plus_ms(hours * 60 * MINUTE_MS), ..asked(total) };
            judge(rules.iter().map(Standing::rule), &asked, |_| Minor::new(spent).expect("in range"))
        };
        let said = say(total, spent);
        prop_assert!(allows(say(total, spent + spent_more)) <= allows(said));
        prop_assert!(allows(say(total + more, spent)) <= allows(said));
    }

    #[test]
    fn nothing_is_approved_above_a_cap(
        rule in any_rule(), total in 1_i64..4_000, spent in 0_i64..4_000, hours in 0_i64..200,
    ) {
        let asked = Asked { at: NOON.plus_ms(hours * 60 * MINUTE_MS), ..asked(total) };
        let said = rule.answer(&asked, |_| Minor::new(spent).expect("in range"));
        if said == Answer::Approve {
            for cap in [rule.approve, rule.per_payment].into_iter().flatten() {
                prop_assert!(total <= cap.minor());
            }
            for cap in Every::ALL.into_iter().filter_map(|every| rule.cap(every)) {
                prop_assert!(spent + total <= cap.minor());
            }
            prop_assert!(rule.approve.is_some());
        }
        let refuses = matches!(said, Answer::Refuse(_));
        prop_assert!(!refuses || rule.outside == Outside::Refuse);
    }

    #[test]
    fn what_is_not_looser_never_allows_more(
        one in any_rule(), other in any_rule(),
        total in 1_i64..4_000, spent in 0_i64..4_000, hours in 0_i64..200, age in proptest::option::of(0_u8..20),
    ) {
        let asked = Asked { age, at: NOON.plus_ms(hours * 60 * MINUTE_MS), ..asked(total) };
        let say = |rule: &Mandate| {
            let answer = rule.answer(&asked, |_| Minor::new(spent).expect("in range"));
            allows(Some(Judgement { entry: ENTRY, answer }))
        };
        if !one.is_looser_than(Some(&other)) {
            prop_assert!(say(&one) <= say(&other), "{one:?}\n{other:?}");
        }
    }
}
