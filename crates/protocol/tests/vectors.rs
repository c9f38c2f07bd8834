//! `docs/vectors.json`: one signed message of each kind, and forgeries with the code each is refused with. Other
//! implementations (the phone page is one) check themselves against it. `UPDATE_VECTORS=1` writes it anew.

// One JSON value of so many messages.
#![recursion_limit = "256"]

use nodpay_core::{
    Adjustment, AdjustmentKind, Amount, Choice, Country, Currency, Digest, Entry, Erase, GUARDIAN_COOLING_OFF_MS,
    HouseCaps, HouseRules, LineId, Mandate, MerchantId, NewGuardian, NewWatchCap, Newcomers, Nonce, Order, Outside,
    PinCommand, PinConsent, PinState, Place, RecoveryKeys, Reduction, Suggestion, Text, Unfreeze, V1, Verdict,
    WatchSession, Weekday, Why, Window,
};
use nodpay_protocol::{
    AssertionKind, GuardianClaim, Kind, RecoveryCode, Signer as _, challenge, check_digits, sign, sign_request,
    verify_decision, verify_guardian_claim,
};
use nodpay_testkit::{Cast, START, SoftPasskey, cny, key, line_id, minor, rp};
use serde_json::{Value, json};

/// A printed code of another system: PayNow in its layout, with an amount.
const FIXED_CODE: &str = "00020101021126340009SG.PAYNOW010120212201403121W0352045411530315654038.55802SG5907Łakocie6009Singapore62090505MENSA6304085C";

const DAY_MS: i64 = GUARDIAN_COOLING_OFF_MS;

/// The same household with a second guardian: one entry of each kind at least, and what is refused after the last.
struct Guardians {
    log: Vec<String>,
    claim: String,
    forgeries: Vec<Value>,
    code: RecoveryCode,
}

fn guardians() -> Guardians {
    const HOUR_MS: i64 = 60 * 60_000;
    let mut cast = Cast::default();
    let founder = Cast::default().passkey;
    let mut second = SoftPasskey::new(201, rp());
    second.guardian.backup_eligible = false;
    let founded = cast.log.len();
    let proof = cast.secret.prove_guardian(cast.pairing, cast.household, &second.guardian);
    let claim = GuardianClaim {
        v: V1,
        pairing: cast.pairing,
        household: cast.household,
        guardian: second.guardian.clone(),
        proof,
    };
    let claim = second.assert(AssertionKind::GuardianClaim, &claim);
    let verified = verify_guardian_claim(&claim, &rp()).expect("sound");
    assert!(cast.secret.is_proved_by_guardian(&verified));

    let mut now = START;
    let session = |watch, hours: i64| Entry::SetSession(WatchSession { watch, session_ms: hours * HOUR_MS });
    let newcomer = |guardian: &SoftPasskey, now: nodpay_core::Timestamp| {
        let counts_from = now.plus_ms(GUARDIAN_COOLING_OFF_MS);
        Entry::AddGuardian(NewGuardian { guardian: guardian.guardian.clone(), counts_from })
    };
    let head = |cast: &Cast| -> Digest { cast.book().head() };
    let code = RecoveryCode::from_random(std::array::from_fn(|at| u8::try_from(at).unwrap_or(0) * 7));
    let keys = |code: &RecoveryCode| Entry::EnrolRecovery(RecoveryKeys { keys: vec![code.key().public_key()] });

    cast.append_by(&founder, now, newcomer(&second, now));
    now = now.plus_ms(HOUR_MS);
    let early = second.assert(AssertionKind::Log, &cast.next_entry_by(&second, now, session(cast.watch, 0)));
    assert_eq!(cast.book().append(&early).map_err(|error| error.code()).err(), Some("guardian-not-counting"));
    now = now.plus_ms(GUARDIAN_COOLING_OFF_MS);
    let rule = Entry::SetMandate(Box::new(cast.snacks()));
    for change in [session(cast.watch, 1), keys(&code), Entry::Unfreeze(Unfreeze { frozen_at: START }), rule] {
        cast.append_by(&founder, now, Entry::Propose(Box::new(change)));
        let proposal = head(&cast);
        cast.append_by(&second, now, Entry::Second(proposal));
    }
    let book = cast.book();
    let standing = book.mandate_of(book.head()).expect("payments name the entry that seconded it");
    assert_eq!((standing.guardian, standing.seq), (second.guardian.guardian, book.next_seq() - 1));
    let looser = Mandate { version: 2, per_day: None, ..cast.snacks() };
    cast.append_by(&second, now, Entry::Propose(Box::new(session(cast.watch, 8))));
    let proposal = head(&cast);
    cast.append_by(&founder, now, Entry::Withdraw(proposal));
    cast.append_by(&founder, now, Entry::RemoveGuardian(second.guardian.guardian));
    let removal = head(&cast);
    cast.append_by(&second, now.plus_ms(HOUR_MS), Entry::Object(removal));
    now = now.plus_ms(2 * HOUR_MS);
    cast.append_by(&second, now, Entry::Erase(Erase {}));
    let kept = head(&cast);
    cast.append_by(&founder, now, Entry::Object(kept));
    cast.append_by(&founder, now, Entry::Erase(Erase {}));
    let third = SoftPasskey::new(202, rp());
    let stranger = cast.recovery(&key(203), now, &third);
    cast.log.push(cast.recovery(&code.key(), now, &third));
    let again = cast.recovery(&code.key(), now, &SoftPasskey::new(204, rp()));
    cast.append_by(&founder, now, Entry::Propose(Box::new(session(cast.watch, 2))));
    let open = head(&cast);
    cast.append_by(&founder, now, Entry::RemoveGuardian(second.guardian.guardian));

    let by =
        |passkey: &SoftPasskey, entry| passkey.assert(AssertionKind::Log, &cast.next_entry_by(passkey, now, entry));
    let refused = |why: &str, code: &str, wire: String| {
        assert_eq!(cast.book().append(&wire).map_err(|error| error.code()).err(), Some(code), "{why}");
        json!({ "as": "log-entry", "why": why, "code": code, "wire": wire })
    };
    let forgeries = vec![
        refused("looser by one of two", "needs-two-guardians", by(&founder, session(cast.watch, 3))),
        refused(
            "a guardian added by one of two",
            "needs-two-guardians",
            by(&founder, newcomer(&SoftPasskey::new(205, rp()), now)),
        ),
        refused(
            "a looser rule by one of two",
            "needs-two-guardians",
            by(&founder, Entry::SetMandate(Box::new(looser))),
        ),
        refused(
            "a rule that refuses ended by one of two",
            "needs-two-guardians",
            by(&founder, Entry::EndMandate(cast.snacks().mandate)),
        ),
        refused("recovery keys by one of two", "needs-two-guardians", by(&founder, keys(&code))),
        refused("seconded by who proposed it", "bad-log-entry", by(&founder, Entry::Second(open))),
        refused("a proposal that was withdrawn", "proposal-over", by(&second, Entry::Second(proposal))),
        refused("nobody would be left", "last-guardian", by(&second, Entry::RemoveGuardian(founder.guardian.guardian))),
        refused("an objection that was used", "bad-log-entry", by(&second, Entry::Object(removal))),
        refused("erased twice", "bad-log-entry", by(&second, Entry::Erase(Erase {}))),
        refused("kept twice", "bad-log-entry", by(&second, Entry::Object(kept))),
        refused("who recovers does not count yet", "guardian-not-counting", by(&third, Entry::Withdraw(open))),
        refused("a recovery by a passkey", "bad-log-entry", by(&founder, Entry::Recover(third.guardian.clone()))),
        refused("a recovery key used twice", "bad-signature", again),
        refused("a recovery by another key", "bad-signature", stranger),
    ];
    Guardians { log: cast.log[founded..].to_vec(), claim, forgeries, code }
}

/// Rules beside the version before, and whether more happens by them.
fn looser_rules() -> Vec<Value> {
    type Bend = fn(&mut Mandate);
    fn named(rule: &mut Mandate, choice: fn(Vec<Place>) -> Choice<Place>, city: Option<&str>) {
        let city = city.map(|city| Text::new(city).expect("a name"));
        rule.places = Some(choice(vec![Place { city, country: Country::from_code("CN").expect("a country") }]));
    }
    fn hours(rule: &mut Mandate, from: u16, to: u16) {
        let window = Window { days: vec![Weekday::Mon], from, to };
        rule.windows = vec![window.clone(), Window { days: vec![Weekday::Sun], ..window }];
    }
    let cases: [(&str, Bend, Bend, bool); 26] = [
        ("the same", |_| {}, |_| {}, false),
        ("approves more", |_| {}, |rule| rule.approve = Some(cny(4_001)), true),
        ("approves less", |_| {}, |rule| rule.approve = Some(cny(3_999)), false),
        ("approves nothing", |_| {}, |rule| rule.approve = None, false),
        ("approves at all", |rule| rule.approve = None, |_| {}, true),
        ("approves in other money", |_| {}, |rule| rule.approve = Some(Amount::new(minor(1), Currency::EUR)), true),
        ("lives longer", |_| {}, |rule| rule.until = rule.until.plus_ms(1), true),
        ("lives shorter", |_| {}, |rule| rule.until = rule.until.plus_ms(-1), false),
        ("asks instead of refusing", |_| {}, |rule| rule.outside = Outside::Ask, true),
        ("refuses instead of asking", |rule| rule.outside = Outside::Ask, |_| {}, false),
        ("a higher cap", |_| {}, |rule| rule.per_day = Some(cny(10_001)), true),
        ("no cap", |rule| rule.per_week = Some(cny(1)), |_| {}, true),
        ("one more cap", |_| {}, |rule| rule.per_payment = Some(cny(1)), false),
        ("any shop", |_| {}, |rule| rule.shops = None, true),
        (
            "all shops but one",
            |_| {},
            |rule| rule.shops = Some(Choice::Never(vec![MerchantId::from_bytes([9; 16])])),
            true,
        ),
        (
            "another town",
            |rule| named(rule, Choice::Only, Some("Shanghai")),
            |rule| named(rule, Choice::Only, Some("Beijing")),
            true,
        ),
        (
            "the whole country",
            |rule| named(rule, Choice::Only, Some("Shanghai")),
            |rule| named(rule, Choice::Only, None),
            true,
        ),
        (
            "a town of it",
            |rule| named(rule, Choice::Only, None),
            |rule| named(rule, Choice::Only, Some("Shanghai")),
            false,
        ),
        (
            "only where it never was",
            |rule| named(rule, Choice::Never, None),
            |rule| named(rule, Choice::Only, Some("Shanghai")),
            true,
        ),
        (
            "never in less",
            |rule| named(rule, Choice::Never, None),
            |rule| named(rule, Choice::Never, Some("Shanghai")),
            true,
        ),
        ("any age", |rule| rule.age = Some(16), |_| {}, true),
        ("older", |rule| rule.age = Some(16), |rule| rule.age = Some(18), true),
        ("a minute more", |rule| hours(rule, 600, 660), |rule| hours(rule, 600, 661), true),
        ("a minute less", |rule| hours(rule, 600, 660), |rule| hours(rule, 601, 660), false),
        ("at all hours", |_| {}, |rule| rule.windows.clear(), true),
        ("by another clock", |_| {}, |rule| rule.offsets[0].minutes = 481, true),
    ];
    let new: [(&str, Bend, bool); 2] =
        [("a new one that approves", |_| {}, true), ("a new one that only refuses", |rule| rule.approve = None, false)];
    let bent = |bend: Bend| {
        let mut rule = Cast::default().snacks();
        bend(&mut rule);
        rule
    };
    let said = |why: &str, before: Option<Mandate>, now: Mandate, looser: bool| {
        assert_eq!(now.is_looser_than(before.as_ref()), looser, "{why}");
        let text = |rule: &Mandate| serde_json::to_string(rule).expect("serialises");
        json!({ "why": why, "before": before.as_ref().map(text), "now": text(&now), "looser": looser })
    };
    let changed = cases.into_iter().map(|(why, before, now, looser)| said(why, Some(bent(before)), bent(now), looser));
    changed.chain(new.into_iter().map(|(why, now, looser)| said(why, None, bent(now), looser))).collect()
}

fn vectors() -> Value {
    let guardians = guardians();
    let cast = Cast::default();
    let struck = [line_id("3")];
    let story = cast.paid_story(cast.bill(1), 1, &struck);
    let decision = story.decision.as_ref().expect("decided");
    let payment = story.payment.as_ref().expect("paid");

    let tax = Adjustment { kind: AdjustmentKind::Tax, name: Text::new("VAT 税").expect("a name"), amount: minor(200) };
    let taxed = cast.sign_bill(cast.bill_payload(2, Reduction::Requote, vec![tax]));
    let requoted = cast.paid_story(taxed, 2, &struck);
    let requote = requoted.requote.as_ref().expect("requoted");
    let requoted_decision = requoted.decision.as_ref().expect("decided");

    let refusal = cast.decision_payload(&story.order, &story.bill, None, &[], Verdict::Refuse);
    let refusal = cast.sign_decision(&refusal);
    let (refusal, ..) =
        verify_decision(&refusal, &cast.book(), &story.order, &story.bill, None, &cast.certificate).expect("sound");

    let (payee, approved) = (cast.certificate.name.as_str(), nodpay_core::Decision::clone(decision));
    let shown = cast.passkey.assert_shown(&approved, (payee, approved.total)).to_wire();
    let (shown, ..) =
        verify_decision(&shown, &cast.book(), &story.order, &story.bill, None, &cast.certificate).expect("sound");
    let shown_otherwise = cast.passkey.assert_shown(&approved, (payee, cny(1))).to_wire();

    // A guardian refused with a suggestion, and the wearer asked again for just that.
    let suggested = cast.refused_order(story.bill.clone(), cast.order(&story.bill, 8), Some(cast.only(&["1", "2"])));
    let without = cast.only(&["1", "2"]).without(&suggested.bill, &[]).expect("whole lines");
    let again = Order { without: without.clone(), ..cast.order_payload(&story.bill, 9) };
    let again = cast.paid_order(story.bill.clone(), cast.sign_order(again), &without);
    let bent_order = |without: Vec<LineId>| {
        let order = Order { without, ..cast.order_payload(&story.bill, 9) };
        cast.sign_order(order).wire().to_owned()
    };
    let bent_refusal = |verdict, suggest| {
        let mut decision = cast.decision_payload(&story.order, &story.bill, None, &[], verdict);
        decision.suggest = Some(suggest);
        cast.sign_decision(&decision)
    };
    let more = cast.decision_payload(&again.order, &again.bill, None, &without[1..], Verdict::Approve);

    let mut wrong_total = cast.decision_payload(&story.order, &story.bill, None, &struck, Verdict::Approve);
    wrong_total.total = cny(1);
    let mut dear = cast.bill_payload(2, Reduction::Requote, Vec::new());
    dear.revision = 2;
    dear.replaces = Some(requoted.bill.digest());
    dear.lines[0].unit_price = minor(851);
    dear.lines[0].amount = minor(851);
    nodpay_testkit::retotal(&mut dear);
    let mut bad_sum = cast.bill_payload(1, Reduction::LinesSum, Vec::new());
    bad_sum.total = minor(1);
    let foreign_order = sign(Kind::Order, nodpay_core::Order::clone(&story.order), &key(200)).expect("signs");
    let claim = cast.pairing_claim();
    let code = cast.shop_code();
    let static_story = cast.paid_story(cast.sign_static_bill(cast.static_bill_payload(4, &code, 850)), 4, &[]);
    let fixed = FIXED_CODE.to_owned();
    let bent_static = |code: &str, total: i64, bend: &dyn Fn(&mut nodpay_core::Bill)| {
        let mut bill = cast.static_bill_payload(5, code, total);
        bend(&mut bill);
        cast.sign_static_bill(bill).wire().to_owned()
    };
    let of_the_merchants = cast.sign_bill(cast.static_bill_payload(5, &code, 850));
    let static_of_the_merchants =
        sign(Kind::StaticBill, cast.static_bill_payload(5, &code, 850), &cast.merchant_key).expect("signs");
    let read = |text: &str| {
        let read = nodpay_protocol::code::parse(text).expect("a code");
        json!({ "text": text, "payee": read.payee, "amount_minor": read.amount_minor, "currency": read.currency })
    };
    let proof = sign_request("GET", "/api/watch/x/state?from=2", START, Nonce::from_bytes([7; 16]), &cast.watch_key);

    // The same household later: a session was set, an order was made within it, and a guardian answered a PIN report.
    let mut later = Cast::default();
    let session_ms = 30 * 60_000;
    later.append(Entry::SetSession(WatchSession { watch: later.watch, session_ms }));
    let mut in_session = later.order_payload(&story.bill, 3);
    in_session.wearer_check.at = in_session.created.plus_ms(-session_ms);
    let mut after_session = in_session.clone();
    after_session.wearer_check.at = in_session.created.plus_ms(-session_ms - 1);
    let (in_session, after_session) = (later.sign_order(in_session), later.sign_order(after_session));
    let report = later.pin_report(1, PinState::AskedUnlock);
    let (watch, nonce) = (later.watch, report.nonce);
    later.append(Entry::PinCommand(PinCommand { watch, nonce, command: PinConsent::Unlock }));
    let mut until = nodpay_core::PinReport::clone(&report);
    until.until = Some(until.at);
    let until = sign(Kind::PinReport, until, &cast.watch_key).expect("signs");

    // Then it had a standing rule, under which an order was paid and, earlier in the day, one was refused.
    let mut ruled = Cast::default();
    ruled.log.clone_from(&later.log);
    ruled.append(Entry::SetMandate(Box::new(ruled.snacks())));
    let allowed = ruled.mandate_story(story.bill.clone(), ruled.order(&story.bill, 6), None);
    let mut early = ruled.order_payload(&story.bill, 7);
    let before_three = 3 * 60 * 60_000;
    early.created = early.created.plus_ms(-before_three);
    early.expires = early.expires.plus_ms(-before_three);
    early.wearer_check.at = early.wearer_check.at.plus_ms(-before_three);
    let early = ruled.mandate_story(story.bill.clone(), ruled.sign_order(early), Some(Why::Hour));
    let entry = ruled.book().head();
    let bent_payment = |order, bend: &dyn Fn(&mut nodpay_core::Payment)| {
        let mut payment = ruled.mandate_payment_payload(order, &story.bill, entry);
        bend(&mut payment);
        sign(Kind::Payment, payment, &ruled.watch_key).expect("signs").wire().to_owned()
    };
    let at_noon = bent_payment(&early.order, &|_| {});
    let both = bent_payment(&allowed.order, &|payment| payment.decision = payment.mandate);
    let outcome = |why| {
        let story = ruled.mandate_story(story.bill.clone(), early.order.clone(), Some(why));
        story.outcome.wire().to_owned()
    };
    let other_why = outcome(Why::Shop);

    // And one with a second guardian, where two must nod; what one of them alone does about deciding.
    let mut both_nod = Cast::default();
    let caps = HouseCaps { utc_minutes: 480, per_day: Some(cny(9_000)), per_week: None, per_month: Some(cny(50_000)) };
    let newcomers = Newcomers { watch_ms: 3 * DAY_MS, per_payment: Some(cny(3_000)), guardian_ms: 7 * DAY_MS };
    let rules = HouseRules { two_nods_above: Some(cny(3_000)), caps: Some(caps), newcomers: Some(newcomers) };
    let second = both_nod.add_second(rules);
    let nodded = both_nod.nodded_story(story.bill.clone(), 8, &second);
    let (nod, first) = (nodded.decision.as_ref().expect("decided"), nodded.first.as_ref().expect("two"));
    let alone = both_nod.payment(&nodded.order, first);
    let [own, two] = both_nod.two_nods(&nodded.order, &story.bill, &second);
    let own = both_nod.sign_decision(&nodpay_core::Decision { first: Some(first.digest()), ..own });
    let other_lines = nodpay_core::Decision {
        struck: struck.to_vec(),
        total: story.bill.terms(&struck, None).expect("strikes").total,
        ..two.clone()
    };
    let other_lines = second.assert(AssertionKind::Decision, &other_lines);
    let of_refusal = nodpay_core::Decision { verdict: Verdict::Refuse, ..two };
    let of_refusal = second.assert(AssertionKind::Decision, &of_refusal);
    let later_entry = |entry: Entry| {
        let at = START.plus_ms(2 * DAY_MS);
        second.assert(AssertionKind::Log, &both_nod.next_entry_by(&second, at, entry))
    };
    let looser_house = |bend: &dyn Fn(&mut HouseRules)| {
        let mut looser = rules;
        bend(&mut looser);
        later_entry(Entry::SetHouseRules(looser))
    };
    let mut short = both_nod.enrolled_watch();
    short.watch = nodpay_core::WatchId::from_bytes([77; 16]);
    short.key = key(77).public_key();
    short.new_watch_cap = NewWatchCap { until: START.plus_ms(5 * DAY_MS - 1), per_payment: cny(3_000) };
    // Before they count, who is new approves no more than a new watch pays.
    let [early_nod, _] = both_nod.two_nods(&nodded.order, &story.bill, &second);
    let early_nod = nodpay_core::Decision {
        guardian: second.guardian.guardian,
        credential: second.guardian.credential.clone(),
        at: START,
        pay_by: START.plus_ms(60_000),
        ..early_nod
    };
    let early_nod = second.assert(AssertionKind::Decision, &early_nod);

    // In a household that never decided about newcomers, a second watch at the same time as the first.
    let new_watch = |life_ms: i64, per_payment: Amount| {
        let mut watch = cast.enrolled_watch();
        watch.watch = nodpay_core::WatchId::from_bytes([78; 16]);
        watch.key = key(78).public_key();
        let entry = cast.next_entry(Entry::EnrolWatch(watch.clone()));
        watch.new_watch_cap = NewWatchCap { until: entry.at.plus_ms(life_ms), per_payment };
        let entry = cast.next_entry(Entry::EnrolWatch(watch));
        cast.passkey.assert(AssertionKind::Log, &entry)
    };
    cast.book().append(&new_watch(DAY_MS, cny(20_000))).expect("as short as all are");
    let more_for_new = Newcomers { per_payment: Some(cny(20_001)), ..Newcomers::default() };
    let more_for_new = HouseRules { newcomers: Some(more_for_new), ..HouseRules::default() };
    let more_for_new = cast.next_entry(Entry::SetHouseRules(more_for_new));
    let more_for_new = cast.passkey.assert(AssertionKind::Log, &more_for_new);

    let message = |wire: &str, digest: String| json!({ "wire": wire, "digest": digest });
    json!({
        "about": "Nodpay protocol version 1: one message of each kind. See PROTOCOL.md.",
        "trust": {
            "root": cast.root.public_key(),
            "household": cast.household,
            "founding": cast.book().seq_of(cast.book().head()).map(|_| {
                nodpay_protocol::LogBook::found(&cast.log[0], None, cast.passkey.rp.clone()).expect("sound").head()
            }),
            "log_head": cast.book().head(),
            "watch": cast.watch,
            "watch_key": cast.watch_key.public_key(),
            "rp_id": cast.passkey.rp.rp_id,
            "origins": cast.passkey.rp.origins,
            "pairing_secret": cast.secret,
            "wearer_name": cast.wearer_name,
        },
        "messages": {
            "merchant-certificate": message(cast.certificate.wire(), cast.certificate.digest().to_string()),
            "outcome-certificate": message(cast.outcome_certificate.wire(), cast.outcome_certificate.digest().to_string()),
            "log": cast.log,
            "pairing-claim": message(claim.wire(), claim.digest().to_string()),
            "bill": message(story.bill.wire(), story.bill.digest().to_string()),
            "order": message(story.order.wire(), story.order.digest().to_string()),
            "decision": message(decision.wire(), decision.digest().to_string()),
            "shown-decision": message(shown.wire(), shown.digest().to_string()),
            "refusal": message(refusal.wire(), refusal.digest().to_string()),
            "suggesting-order": message(suggested.order.wire(), suggested.order.digest().to_string()),
            "suggestion": message(
                suggested.decision.as_ref().expect("decided").wire(),
                suggested.decision.as_ref().expect("decided").digest().to_string()),
            "again-order": message(again.order.wire(), again.order.digest().to_string()),
            "again-decision": message(
                again.decision.as_ref().expect("decided").wire(),
                again.decision.as_ref().expect("decided").digest().to_string()),
            "payment": message(payment.wire(), payment.digest().to_string()),
            "cancel": message(cast.cancel(&story.order).wire(), cast.cancel(&story.order).digest().to_string()),
            "outcome": message(story.outcome.wire(), story.outcome.digest().to_string()),
            "result": message(story.result.wire(), story.result.digest().to_string()),
            "requotable-bill": message(requoted.bill.wire(), requoted.bill.digest().to_string()),
            "requote": message(requote.wire(), requote.digest().to_string()),
            "requoted-order": message(requoted.order.wire(), requoted.order.digest().to_string()),
            "requoted-decision": message(requoted_decision.wire(), requoted_decision.digest().to_string()),
            "guardians-log": guardians.log,
            "guardian-claim": message(&guardians.claim, verify_guardian_claim(&guardians.claim, &rp()).expect("sound").digest().to_string()),
            "later-log": later.log[cast.log.len()..],
            "session-order": message(in_session.wire(), in_session.digest().to_string()),
            "mandate-log": ruled.log[later.log.len()..],
            "mandate-order": message(allowed.order.wire(), allowed.order.digest().to_string()),
            "mandate-payment": message(
                allowed.payment.as_ref().expect("paid").wire(), allowed.payment.as_ref().expect("paid").digest().to_string()),
            "mandate-outcome": message(allowed.outcome.wire(), allowed.outcome.digest().to_string()),
            "mandate-refused-order": message(early.order.wire(), early.order.digest().to_string()),
            "mandate-refusal": message(early.outcome.wire(), early.outcome.digest().to_string()),
            "nods-log": both_nod.log[cast.log.len()..],
            "nods-order": message(nodded.order.wire(), nodded.order.digest().to_string()),
            "first-nod": message(first.wire(), first.digest().to_string()),
            "second-nod": message(nod.wire(), nod.digest().to_string()),
            "nods-payment": message(
                nodded.payment.as_ref().expect("paid").wire(), nodded.payment.as_ref().expect("paid").digest().to_string()),
            "nods-outcome": message(nodded.outcome.wire(), nodded.outcome.digest().to_string()),
            "pin-report": message(report.wire(), report.digest().to_string()),
            "static-bill": message(static_story.bill.wire(), static_story.bill.digest().to_string()),
            "static-order": message(static_story.order.wire(), static_story.order.digest().to_string()),
            "request-proof": { "wire": proof.expect("signs") },
        },
        "codes": [
            read(&code),
            read(&fixed),
            read("BCD\r\n002\r\n1\r\nSCT\r\n\r\n Schulkantine \r\nDE71110220330123456789\r\nEUR12.3\r\n\r\n\r\nMensa"),
            read("BCD\n001\n1\nSCT\nBHBLDEHHXXX\nSchulkantine\nDE71110220330123456789"),
        ],
        "currencies": (0..=999_u16)
            .filter_map(iso_currency::Currency::from_numeric)
            .filter_map(|unit| Some(format!("{:03}{}{}", unit.numeric(), unit.code(), unit.exponent()?)))
            .collect::<Vec<_>>()
            .join(" "),
        "derived": {
            "payment_id": payment.payment,
            "check_digits": check_digits(claim.digest()),
            "decision_challenge_of_empty": challenge(AssertionKind::Decision, b""),
            "login_challenge_of_empty": challenge(AssertionKind::Login, b""),
            "recovery_code": guardians.code.to_text(),
            "recovery_key": guardians.code.key().public_key(),
        },
        "guardian-forgeries": guardians.forgeries,
        "looser-rules": looser_rules(),
        "forgeries": [
            { "as": "bill", "why": "the total is not the sum", "code": "bad-bill", "wire": cast.sign_bill(bad_sum).wire() },
            { "as": "requote", "why": "a price went up", "code": "bad-requote", "wire": cast.sign_bill(dear).wire() },
            { "as": "bill", "why": "a merchant's bill holds a scanned code", "code": "bad-scanned-code", "wire": of_the_merchants.wire() },
            { "as": "static-bill", "why": "signed by the merchant", "code": "bad-signature", "wire": static_of_the_merchants.wire() },
            { "as": "static-bill", "why": "a merchant's bill", "code": "wrong-message-kind", "wire": story.bill.wire() },
            { "as": "static-bill", "why": "the code asks for another amount", "code": "bad-scanned-code",
              "wire": bent_static(&fixed, 851, &|_| {}) },
            { "as": "static-bill", "why": "the code is in another currency", "code": "bad-scanned-code",
              "wire": bent_static(&code, 850, &|bill| bill.currency = nodpay_core::Currency::EUR) },
            { "as": "static-bill", "why": "the code is another shop's", "code": "bad-scanned-code",
              "wire": bent_static(&Cast::new(1).shop_code(), 850, &|_| {}) },
            { "as": "static-bill", "why": "two lines", "code": "bad-scanned-code",
              "wire": bent_static(&code, 850, &|bill| {
                  bill.lines.push(nodpay_testkit::line("2", "口香糖 Gum", 1, 500));
                  nodpay_testkit::retotal(bill);
              }) },
            { "as": "static-bill", "why": "no code", "code": "bad-scanned-code",
              "wire": bent_static(&code, 850, &|bill| bill.code = None) },
            { "as": "order", "why": "signed with a foreign key", "code": "bad-signature", "wire": foreign_order.wire() },
            { "as": "order", "why": "a result sent as an order", "code": "wrong-message-kind", "wire": story.result.wire() },
            { "as": "session-order", "why": "the session is over", "code": "bad-wearer-check", "wire": after_session.wire() },
            { "as": "pin-report", "why": "a time to wait for without waiting", "code": "bad-pin-report", "wire": until.wire() },
            { "as": "mandate-payment", "why": "a decision and a mandate", "code": "other-decision", "wire": both },
            { "as": "mandate-payment", "why": "of an order outside of the rule's hours", "code": "outside-mandate",
              "order": early.order.wire(), "wire": at_noon },
            { "as": "mandate-refusal", "why": "the rule has another reason", "code": "outside-mandate", "wire": other_why },
            { "as": "nods-payment", "why": "one nod where two are needed", "code": "needs-two-nods", "decision": first.wire(), "wire": alone.wire() },
            { "as": "first-nod", "why": "more than a new guardian approves", "code": "over-newcomer-cap", "wire": early_nod },
            { "as": "second-nod", "why": "the same person", "code": "bad-log-entry", "wire": own },
            { "as": "second-nod", "why": "over other lines", "code": "bad-first-nod", "wire": other_lines },
            { "as": "second-nod", "why": "a refusal that seconds", "code": "bad-first-nod", "wire": of_refusal },
            { "as": "nods-entry", "why": "more without a second nod", "code": "needs-two-guardians",
              "wire": looser_house(&|rules| rules.two_nods_above = Some(cny(3_001))) },
            { "as": "nods-entry", "why": "a higher cap of the household", "code": "needs-two-guardians",
              "wire": looser_house(&|rules| rules.caps = Some(HouseCaps { per_day: Some(cny(9_001)), ..caps })) },
            { "as": "nods-entry", "why": "another midnight", "code": "needs-two-guardians",
              "wire": looser_house(&|rules| rules.caps = Some(HouseCaps { utc_minutes: 0, ..caps })) },
            { "as": "nods-entry", "why": "newcomers kept short for less long", "code": "needs-two-guardians",
              "wire": looser_house(&|rules| rules.newcomers = None) },
            { "as": "nods-entry", "why": "newcomers kept short for longer than a month", "code": "bad-log-entry",
              "wire": looser_house(&|rules| rules.newcomers = Some(Newcomers { guardian_ms: 31 * DAY_MS, ..newcomers })) },
            { "as": "new-entry", "why": "newcomers may pay more than usual", "code": "bad-log-entry", "wire": more_for_new },
            { "as": "new-entry", "why": "a new watch that is not kept short for a day", "code": "bad-log-entry",
              "wire": new_watch(DAY_MS - 1, cny(20_000)) },
            { "as": "new-entry", "why": "a new watch that may pay more than usual", "code": "bad-log-entry",
              "wire": new_watch(DAY_MS, cny(20_001)) },
            { "as": "nods-entry", "why": "a new watch that is not kept short for long enough", "code": "bad-log-entry",
              "wire": later_entry(Entry::EnrolWatch(short)) },
            { "as": "decision", "why": "another total", "code": "wrong-total", "wire": cast.sign_decision(&wrong_total) },
            { "as": "decision", "why": "the browser showed another total", "code": "other-payment-shown", "wire": shown_otherwise },
            { "as": "decision", "why": "a suggestion with an approval", "code": "bad-suggestion",
              "wire": bent_refusal(Verdict::Approve, cast.less_milk()) },
            { "as": "decision", "why": "a suggestion of nothing", "code": "bad-suggestion",
              "wire": bent_refusal(Verdict::Refuse, Suggestion::default()) },
            { "as": "decision", "why": "a suggestion of all that was asked for", "code": "bad-suggestion",
              "wire": bent_refusal(Verdict::Refuse, cast.only(&["1", "2", "3", "4", "5"])) },
            { "as": "decision", "why": "a suggestion of more money than was asked for", "code": "bad-suggestion",
              "wire": bent_refusal(Verdict::Refuse, Suggestion { up_to: Some(cny(3_650)), ..Suggestion::default() }) },
            { "as": "order", "why": "every line is left out", "code": "everything-struck",
              "wire": bent_order(["1", "2", "3", "4", "5"].map(line_id).to_vec()) },
            { "as": "order", "why": "a line left out that is not on the bill", "code": "line-not-there",
              "wire": bent_order(vec![line_id("9")]) },
            { "as": "again-decision", "why": "a line is approved that was not asked for", "code": "bad-strike",
              "wire": cast.sign_decision(&more) },
            { "as": "outcome", "why": "signed by the watch", "code": "bad-signature",
              "wire": sign(Kind::Outcome, nodpay_core::Outcome::clone(&story.outcome), &cast.watch_key).expect("signs").wire() },
        ],
        "evidence": cast.evidence(&story).to_file().expect("serialises"),
        "nods-evidence": both_nod.evidence(&nodded).to_file().expect("serialises"),
        "mandate-evidence": ruled.evidence(&allowed).to_file().expect("serialises"),
        "anchor": cast.anchor().to_file().expect("serialises"),
    })
}

#[test]
fn the_published_vectors_are_what_the_code_signs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors.json");
    let text = serde_json::to_string_pretty(&vectors()).expect("serialises") + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path, &text).expect("writes the vectors");
    }
    let published = std::fs::read_to_string(path).expect("docs/vectors.json");
    assert!(published == text, "docs/vectors.json is not what the code signs; UPDATE_VECTORS=1 writes it anew");
}
