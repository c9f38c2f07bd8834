//! Several guardians over HTTP: inviting, answering at once, proposing and seconding, leaving, recovering, freezing.

use nodpay_core::*;
use nodpay_protocol::{AssertionKind, GuardianClaim, RecoveryCode, Signer as _};
use nodpay_testkit::{Cast, SoftPasskey, rp};
use serde_json::{Value, json};

use crate::app::{Answer, Household, ORIGIN, Setup, TestApp};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Somebody else of the household: another passkey, another session.
pub(crate) struct Person {
    pub(crate) passkey: SoftPasskey,
    pub(crate) cookie: String,
}

impl Person {
    pub(crate) fn new(seed: u8) -> Self {
        let mut passkey = SoftPasskey::new(seed, rp());
        passkey.name.name = Text::new("爸爸").expect("a name");
        let digest = nodpay_protocol::name_digest(passkey.name.salt, passkey.name.name.as_str());
        passkey.guardian.name = Some(digest);
        Self { passkey, cookie: String::new() }
    }

    pub(crate) fn logs_in(&mut self, app: &TestApp) -> Answer {
        let challenge = app.post("/api/guardian/login-challenge", &[("origin", ORIGIN)], &json!({})).ok();
        let challenge: Bytes<32, 32> = challenge["challenge"].as_str().expect("text").parse().expect("bytes");
        let assertion = self.passkey.assert_bytes(AssertionKind::Login, challenge.as_bytes().to_vec());
        let answer =
            app.post("/api/guardian/login", &[("origin", ORIGIN)], &json!({ "assertion": assertion.to_wire() }));
        self.cookie = answer.cookie.clone().unwrap_or_default();
        answer
    }
}

/// The cast's own guardian, as a person like the others.
pub(crate) fn founder(household: &Household) -> Person {
    Person { passkey: SoftPasskey::new(5, rp()), cookie: household.cookie.clone() }
}

/// Signs the next entry now and sends it.
pub(crate) fn sign(app: &TestApp, household: &mut Household, who: &Person, entry: Entry) -> Answer {
    let entry = household.cast.next_entry_by(&who.passkey, app.now(), entry);
    let wire = who.passkey.assert(AssertionKind::Log, &entry);
    let answer = app.post("/api/guardian/log", &app.pages(&who.cookie), &json!({ "entry": wire }));
    if answer.status < 300 {
        household.cast.log.push(wire);
    }
    answer
}

/// The newcomer claims an invitation of the first guardian's. The entry that adds them.
fn invite(app: &TestApp, household: &mut Household, inviter: &Person, newcomer: &Person) -> Entry {
    let opened = app.post("/api/guardian/joins", &app.pages(&inviter.cookie), &json!({})).ok();
    let pairing: PairingId = opened["pairing"].as_str().expect("an id").parse().expect("an id");
    let state = |path: &str| app.get(path, &[]).ok()["state"].clone();
    let progress = format!("/api/joins/{pairing}");
    assert_eq!(state(&progress), "open");
    let cast = &household.cast;
    let guardian = newcomer.passkey.guardian.clone();
    let proof = cast.secret.prove_guardian(pairing, cast.household, &guardian);
    let claim = GuardianClaim { v: V1, pairing, household: cast.household, guardian: guardian.clone(), proof };
    let wire = newcomer.passkey.assert(AssertionKind::GuardianClaim, &claim);
    let body = json!({ "claim": wire, "name": newcomer.passkey.name });
    let claim_at = format!("/api/joins/{pairing}/claim");
    app.post(&claim_at, &[], &body).refused(403, "foreign-origin");
    let mut misnamed = body.clone();
    misnamed["name"]["name"] = json!("妈妈");
    app.post(&claim_at, &[("origin", ORIGIN)], &misnamed).refused(422, "name-mismatch");
    app.post(&claim_at, &[("origin", ORIGIN)], &body).ok();
    assert_eq!(state(&progress), "claimed");
    let seen = app.get(&format!("/api/guardian/joins/{pairing}"), &app.pages(&inviter.cookie)).ok();
    assert_eq!((seen["claim"].as_str(), seen["name"]["name"].as_str()), (Some(wire.as_str()), Some("爸爸")));
    let verified = nodpay_protocol::verify_guardian_claim(&wire, &rp()).expect("sound");
    assert!(cast.secret.is_proved_by_guardian(&verified));
    Entry::AddGuardian(NewGuardian { guardian, counts_from: app.now().plus_ms(GUARDIAN_COOLING_OFF_MS) })
}

/// A household with two guardians, the second of whom does not count yet.
pub(crate) fn two() -> (TestApp, Household, Person, Person) {
    two_with(Setup::default())
}

pub(crate) fn two_with(setup: Setup) -> (TestApp, Household, Person, Person) {
    let (app, mut household) = TestApp::furnished_with(setup);
    let (first, mut second) = (founder(&household), Person::new(201));
    second.logs_in(&app).refused(403, "unknown-guardian");
    let add = invite(&app, &mut household, &first, &second);
    sign(&app, &mut household, &first, add).ok();
    second.logs_in(&app).ok();
    (app, household, first, second)
}

/// The cookie of a guardian who was let into the household, signed in, and was removed since.
pub(crate) fn a_removed_guardian(app: &TestApp, household: &mut Household) -> String {
    let (mut first, mut second) = (founder(household), Person::new(201));
    let add = invite(app, household, &first, &second);
    sign(app, household, &first, add).ok();
    let removal = Entry::RemoveGuardian(second.passkey.guardian.guardian);
    sign(app, household, &first, removal).ok();
    app.clock.advance_ms(23 * HOUR_MS);
    second.logs_in(app).ok();
    app.clock.advance_ms(HOUR_MS);
    first.logs_in(app).ok();
    household.cookie = first.cookie;
    second.cookie
}

pub(crate) fn days_pass(app: &TestApp, days: i64, people: &mut [&mut Person]) {
    app.clock.advance_ms(days * 24 * HOUR_MS);
    for person in people {
        person.logs_in(app).ok();
    }
}

fn session(household: &Household, hours: i64) -> Entry {
    Entry::SetSession(WatchSession { watch: household.cast.watch, session_ms: hours * HOUR_MS })
}

pub(crate) fn home(app: &TestApp, person: &Person) -> Value {
    app.get("/api/guardian/household", &app.pages(&person.cookie)).ok()
}

#[test]
fn an_invited_guardian_answers_at_once_and_the_others_hear_who_was_first() {
    let (app, mut household, first, second) = two();
    let names: Vec<&str> = home(&app, &second)["guardians"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|guardian| guardian["name"].as_str())
        .map(|name| if name == "爸爸" { "爸爸" } else { "妈妈" })
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"爸爸"), "their name came with the claim");
    let remove = Entry::RemoveWatch(household.cast.watch);
    sign(&app, &mut household, &second, remove).refused(422, "guardian-not-counting");

    let (bill, order) = app.ordered(&household, 1);
    let events = app.follow_guardian(&household);
    let decide = |who: &Person, verdict| {
        let mut decision = household.cast.decision_payload(&order, &bill, None, &[], verdict);
        decision.guardian = who.passkey.guardian.guardian;
        decision.credential = who.passkey.guardian.credential.clone();
        let wire = who.passkey.assert(AssertionKind::Decision, &decision);
        app.post_wire(&format!("/api/guardian/orders/{}/decision", order.order), &app.pages(&who.cookie), &wire)
    };
    decide(&second, Verdict::Approve).ok();
    events.wait_for("decision");
    for verdict in [Verdict::Approve, Verdict::Refuse] {
        let late = decide(&first, verdict).refused(409, "decided-before");
        assert_eq!(late["guardian"], json!(second.passkey.guardian.guardian));
        assert_eq!(late["verdict"], "approve");
    }
    decide(&second, Verdict::Approve).ok();
    decide(&second, Verdict::Refuse).refused(409, "already-decided");
}

#[test]
fn only_who_was_invited_is_added_and_once() {
    let (app, mut household) = TestApp::furnished();
    let (first, second) = (founder(&household), Person::new(201));
    let uninvited = Entry::AddGuardian(NewGuardian {
        guardian: Person::new(202).passkey.guardian,
        counts_from: app.now().plus_ms(GUARDIAN_COOLING_OFF_MS),
    });
    sign(&app, &mut household, &first, uninvited).refused(422, "join-missing");
    let add = invite(&app, &mut household, &first, &second);
    let Entry::AddGuardian(mut early) = add.clone() else { panic!("an addition") };
    early.counts_from = early.counts_from.plus_ms(-1);
    sign(&app, &mut household, &first, Entry::AddGuardian(early)).refused(422, "bad-log-entry");
    app.clock.advance_ms(HOUR_MS / 2);
    let counts_from = app.now().plus_ms(GUARDIAN_COOLING_OFF_MS);
    let late = Entry::AddGuardian(NewGuardian { guardian: second.passkey.guardian.clone(), counts_from });
    sign(&app, &mut household, &first, late).refused(410, "pairing-expired");
}

#[test]
fn what_two_must_agree_on_is_proposed_and_seconded() {
    let (app, mut household, mut first, mut second) = two();
    days_pass(&app, 1, &mut [&mut first, &mut second]);
    let longer = session(&household, 1);
    sign(&app, &mut household, &first, longer.clone()).refused(422, "needs-two-guardians");

    // A time before the second one counted does not help.
    let entry = household.cast.next_entry_by(&first.passkey, app.now().plus_ms(-HOUR_MS), longer.clone());
    let wire = first.passkey.assert(AssertionKind::Log, &entry);
    let backdated = app.post("/api/guardian/log", &app.pages(&first.cookie), &json!({ "entry": wire }));
    backdated.refused(422, "entry-time");
    let tomorrow =
        household.cast.next_entry_by(&first.passkey, app.now().plus_ms(24 * HOUR_MS), session(&household, 0));
    let wire = first.passkey.assert(AssertionKind::Log, &tomorrow);
    let postdated = app.post("/api/guardian/log", &app.pages(&first.cookie), &json!({ "entry": wire }));
    postdated.refused(422, "entry-time");

    sign(&app, &mut household, &first, Entry::Propose(Box::new(longer))).ok();
    let proposal = household.cast.book().head();
    sign(&app, &mut household, &first, Entry::Second(proposal)).refused(422, "bad-log-entry");
    sign(&app, &mut household, &second, Entry::Second(proposal)).ok();
    assert_eq!(household.cast.book().session_ms(household.cast.watch, u64::MAX), HOUR_MS);
    sign(&app, &mut household, &second, Entry::Second(proposal)).refused(422, "proposal-over");

    // A third guardian, by both.
    let mut third = Person::new(202);
    let add = invite(&app, &mut household, &second, &third);
    sign(&app, &mut household, &second, add.clone()).refused(422, "needs-two-guardians");
    sign(&app, &mut household, &second, Entry::Propose(Box::new(add))).ok();
    third.logs_in(&app).refused(403, "unknown-guardian");
    let proposal = household.cast.book().head();
    sign(&app, &mut household, &first, Entry::Second(proposal)).ok();
    third.logs_in(&app).ok();
}

#[test]
fn who_leaves_or_is_removed_is_out() {
    let (app, mut household, mut first, mut second) = two();
    let own = Entry::RemoveGuardian(first.passkey.guardian.guardian);
    sign(&app, &mut household, &first, own).refused(422, "last-guardian");
    days_pass(&app, 1, &mut [&mut first, &mut second]);
    let removal = Entry::RemoveGuardian(second.passkey.guardian.guardian);
    sign(&app, &mut household, &first, removal.clone()).ok();
    let signed = household.cast.book().head();
    home(&app, &second);
    sign(&app, &mut household, &second, Entry::Object(signed)).ok();
    days_pass(&app, 1, &mut [&mut first, &mut second]);

    sign(&app, &mut household, &first, removal).ok();
    let events = app.follow("/api/guardian/events?after=0", &[("cookie", &second.cookie)]);
    events.wait_for("log");
    days_pass(&app, 1, &mut [&mut first]);
    app.get("/api/guardian/household", &app.pages(&second.cookie)).refused(401, "not-logged-in");
    app.post("/api/guardian/freeze", &app.pages(&second.cookie), &json!({})).refused(401, "not-logged-in");
    second.logs_in(&app).refused(403, "revoked-guardian");
    assert_eq!(home(&app, &first)["log"].as_array().map(Vec::len), Some(household.cast.log.len()));
    // What happens next ends the stream.
    let longer = session(&household, 1);
    sign(&app, &mut household, &first, longer).ok();
    assert!(events.ended());
}

#[test]
fn a_printed_code_brings_in_a_new_passkey_later_unless_somebody_objects() {
    let (app, mut household) = TestApp::furnished();
    let mut first = founder(&household);
    let codes: Vec<RecoveryCode> = (1..=3).map(|seed| RecoveryCode::from_random([seed; 22])).collect();
    let keys = codes.iter().map(|code| code.key().public_key()).collect();
    sign(&app, &mut household, &first, Entry::EnrolRecovery(RecoveryKeys { keys })).ok();
    let start = |key: PublicKey| app.post("/api/recovery/start", &[("origin", ORIGIN)], &json!({ "key": key }));
    let stranger = RecoveryCode::from_random([9; 22]).key();
    start(stranger.public_key()).refused(404, "recovery-unknown");
    let found = start(codes[0].key().public_key()).ok();
    assert_eq!(found["household"], json!(household.cast.household));
    assert_eq!(found["log"].as_array().map(Vec::len), Some(household.cast.log.len()));

    let recover = |household: &mut Household, code: &RecoveryCode, person: &Person| {
        let wire = household.cast.recovery(&code.key(), app.now(), &person.passkey);
        let body = json!({ "entry": wire, "name": person.passkey.name });
        let answer = app.post("/api/recovery", &[("origin", ORIGIN)], &body);
        if answer.status < 300 {
            household.cast.log.push(wire);
        }
        (answer, body)
    };
    let (mut new, stopped) = (Person::new(201), Person::new(202));
    let (answer, body) = recover(&mut household, &codes[0], &new);
    let joins = app.now().plus_ms(RECOVERY_DELAY_MS);
    assert_eq!(answer.ok()["joins"], json!(joins));
    let again = app.post("/api/recovery", &[("origin", ORIGIN)], &body).ok();
    assert_eq!(again["joins"], json!(joins), "the same again");
    start(codes[0].key().public_key()).refused(404, "recovery-unknown");
    let mut forged = household.cast.recovery(&stranger, app.now(), &stopped.passkey);
    let refused =
        app.post("/api/recovery", &[("origin", ORIGIN)], &json!({ "entry": forged, "name": stopped.passkey.name }));
    refused.refused(422, "bad-signature");
    forged = household.cast.recovery(&codes[0].key(), app.now(), &stopped.passkey);
    let used =
        app.post("/api/recovery", &[("origin", ORIGIN)], &json!({ "entry": forged, "name": stopped.passkey.name }));
    used.refused(422, "bad-signature");

    recover(&mut household, &codes[1], &stopped).0.ok();
    let recovery = household.cast.book().head();
    sign(&app, &mut household, &first, Entry::Object(recovery)).ok();
    new.logs_in(&app).refused(403, "guardian-not-yet");
    days_pass(&app, 2, &mut [&mut first, &mut new]);
    let mut stopped = stopped;
    stopped.logs_in(&app).refused(403, "revoked-guardian");

    // The lost passkey is removed; until then two count.
    let removal = Entry::RemoveGuardian(first.passkey.guardian.guardian);
    sign(&app, &mut household, &new, removal).ok();
    days_pass(&app, 1, &mut [&mut new]);
    let longer = session(&household, 1);
    sign(&app, &mut household, &new, longer).ok();
    first.logs_in(&app).refused(403, "revoked-guardian");
}

#[test]
fn one_tap_freezes_and_two_unfreeze() {
    let (app, mut household, mut first, mut second) = two();
    let state = |app: &TestApp, cast: &Cast| {
        app.watch_get(cast, &format!("/api/watch/{}/state", cast.watch)).ok()["frozen"].clone()
    };
    assert_eq!(state(&app, &household.cast), Value::Null);
    let frozen = app.post("/api/guardian/freeze", &app.pages(&second.cookie), &json!({})).ok();
    assert_eq!(frozen, json!({ "by": second.passkey.guardian.guardian, "at": app.now() }));
    let seen = home(&app, &first);
    assert_eq!((&seen["freeze"], &seen["frozen"]), (&frozen, &json!(false)));
    assert_eq!(state(&app, &household.cast), "guardian");
    let events = app.follow_watch(&household.cast, Some(0));
    let told = std::iter::repeat_with(|| events.wait_for("log")).find(|event| event.data.get("frozen").is_some());
    assert_eq!(told.map(|event| event.data["frozen"].clone()), Some(json!("guardian")));
    drop(events);

    let lift = Entry::Unfreeze(Unfreeze { frozen_at: app.now() });
    days_pass(&app, 1, &mut [&mut first, &mut second]);
    sign(&app, &mut household, &first, lift.clone()).refused(422, "needs-two-guardians");
    sign(&app, &mut household, &first, Entry::Propose(Box::new(lift.clone()))).ok();
    assert_eq!(state(&app, &household.cast), "guardian");
    let proposal = household.cast.book().head();
    sign(&app, &mut household, &second, Entry::Second(proposal)).ok();
    assert_eq!(state(&app, &household.cast), Value::Null);
    assert_eq!(home(&app, &first)["freeze"], Value::Null);
    sign(&app, &mut household, &first, Entry::Propose(Box::new(lift))).ok();
    let proposal = household.cast.book().head();
    sign(&app, &mut household, &second, Entry::Second(proposal)).refused(409, "not-frozen");
}
