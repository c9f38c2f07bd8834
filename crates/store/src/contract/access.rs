//! Households, pairings, invitations, sessions, merchants and bills before any order.

use nodpay_core::{
    Bytes, CodeText, CredentialId, Currency, Digest, Entry, FailReason, LineId, Nonce, OrderState, OutcomeKind,
    PairingId, PersonName, PinCommand, PinConsent, PinReport, PinState, SessionId, V1, WatchSession,
};
use nodpay_core::{GuardianId, HouseholdId, Salt, Text, WatchId};

use super::cast::{
    Family, HOUR_MS, MINUTE_MS, START, Shop, fresh, invite, line_id, merchant_events, message, minor, outcome_of,
    refused,
};
use crate::{
    Audience, BillState, BillStatus, Claim, ClaimPairing, CodeRow, EndSessions, Good, HouseholdEvent, InvitationKind,
    MAX_CODES, MAX_GOODS, MAX_SESSIONS, MerchantEvent, Message, NewBill, NewCode, NewInvitation, NewPairing,
    NewSession, NewToken, PairingState, ReportPin, SessionOf, Shown, Store, StoreError, TokenHash, Topic,
};

pub async fn founding_a_household(store: &Store) {
    let mut topics = store.subscribe();
    let family = Family::imagine();
    let invitation = invite(store, InvitationKind::Guardian).await;
    assert_eq!(store.invitation(invitation, START).await, Ok(InvitationKind::Guardian));
    let founding = family.founding(invitation, Currency::CNY);
    store.create_household(founding.clone(), START).await.expect("a new household");
    // A store that others share begins by telling everybody to read on.
    let told = loop {
        match topics.recv().await.expect("sent after the commit") {
            Topic::Everything => {}
            told @ (Topic::Household(_) | Topic::Merchant(_) | Topic::Subscribers(_)) => break told,
        }
    };
    assert_eq!(told, Topic::Household(family.household));
    store.create_household(founding.clone(), START.plus_ms(HOUR_MS)).await.expect("the same again");

    let row = store.household(family.household).await.expect("a read").expect("it is there");
    assert_eq!((row.currency, row.head, row.next_seq), (Currency::CNY, founding.message.digest, 1));
    assert_eq!((row.wallet.posted(), row.wallet.held(), row.wearers.len()), (minor(0), minor(0), 0));
    assert_eq!(store.log(family.household, 0).await, Ok(vec![founding.message.clone()]));
    let guardian =
        store.guardian_by_credential(family.credential.clone()).await.expect("a read").expect("the guardian");
    assert_eq!((guardian.household, guardian.guardian, guardian.counter), (family.household, family.guardian, 0));
    let events = store.events_after(family.household, Audience::Guardian, 0, 10).await.expect("a read");
    assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Log(0)]);

    let mut other = founding.clone();
    other.message = message("log", &"another founding entry");
    assert_eq!(refused(store.create_household(other, START).await), StoreError::HouseholdExists);
    let newcomer = Family::imagine();
    assert_eq!(refused(store.invitation(invitation, START).await), StoreError::InvitationUsed);
    let again = newcomer.founding(invitation, Currency::CNY);
    assert_eq!(refused(store.create_household(again, START).await), StoreError::InvitationUsed);
    let unknown = newcomer.founding(TokenHash(fresh()), Currency::CNY);
    assert_eq!(refused(store.create_household(unknown, START).await), StoreError::InvitationUnknown);
    let late = newcomer.founding(invite(store, InvitationKind::Guardian).await, Currency::CNY);
    let error = refused(store.create_household(late.clone(), START.plus_ms(HOUR_MS)).await);
    assert_eq!(error, StoreError::InvitationExpired);
    let mut same_key = late;
    if let Entry::Found(guardian) = &mut same_key.entry.entry {
        guardian.credential = family.credential.clone();
    }
    assert_eq!(refused(store.create_household(same_key, START).await), StoreError::CredentialExists);
    let shop = Shop::open(store).await;
    let till = newcomer.founding(invite(store, InvitationKind::Till(shop.merchant)).await, Currency::CNY);
    assert_eq!(refused(store.create_household(till, START).await), StoreError::InvitationUnknown);
    assert_eq!(store.household(newcomer.household).await, Ok(None));
    assert_eq!(store.wallet(newcomer.household).await, Ok(None));
}

pub async fn appending_to_the_log(store: &Store) {
    let mut family = Family::imagine();
    family.found(store, Currency::CNY).await.expect("a new household");
    let mut enrol = family.enrolment(family.watch, family.wearer);
    enrol.counter = 7;
    let mut nameless = enrol.clone();
    nameless.wearer = None;
    assert_eq!(refused(store.append_log(nameless, START).await), StoreError::WearerNameMissing);
    let mut stranger = enrol.clone();
    stranger.entry.guardian = GuardianId::from_bytes(fresh());
    assert_eq!(refused(store.append_log(stranger, START).await), StoreError::GuardianUnknown);
    family.send(store, enrol.clone()).await.expect("an enrolment");
    store.append_log(enrol.clone(), START).await.expect("the same again");

    let row = store.household(family.household).await.expect("a read").expect("it is there");
    assert_eq!((row.head, row.next_seq), (enrol.message.digest, 2));
    assert_eq!(row.wearers, [(family.wearer, family.name.clone())]);
    let watch = store.household_of_watch(family.watch).await.expect("a read").expect("enrolled");
    assert_eq!((watch.household, watch.removed), (family.household, false));
    let Entry::EnrolWatch(enrolled) = &enrol.entry.entry else { panic!("an enrolment") };
    assert_eq!(watch.enrolled, *enrolled);
    let wires = store.log(family.household, 1).await.expect("a read");
    assert_eq!(wires, std::slice::from_ref(&enrol.message));
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        let events = store.events_after(family.household, audience, 1, 10).await.expect("a read");
        assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Log(1)]);
    }

    // The log moves on from its head only.
    let moved = StoreError::LogMoved { head: enrol.message.digest };
    let mut old = enrol.clone();
    old.message = message("log", &"another entry of the same number");
    assert_eq!(refused(store.append_log(old, START).await), moved);
    let mut ahead = family.append(Entry::RemoveWatch(family.watch), None);
    ahead.counter = 8;
    ahead.entry.seq += 1;
    assert_eq!(refused(store.append_log(ahead.clone(), START).await), moved);
    ahead.entry.seq -= 1;
    ahead.entry.prev = Some(Digest::from_bytes(fresh()));
    assert_eq!(refused(store.append_log(ahead.clone(), START).await), moved);
    ahead.entry.household = HouseholdId::from_bytes(fresh());
    assert_eq!(refused(store.append_log(ahead, START).await), StoreError::HouseholdUnknown);

    // Counters go up; a refused entry leaves them.
    let mut same_watch = family.enrolment(family.watch, family.wearer);
    for counter in [0, 6, 7] {
        same_watch.counter = counter;
        assert_eq!(refused(store.append_log(same_watch.clone(), START).await), StoreError::CounterReplayed);
    }
    same_watch.counter = 8;
    assert_eq!(refused(store.append_log(same_watch, START).await), StoreError::WatchExists);
    let credential = family.credential.clone();
    assert_eq!(refused(store.bump_counter(credential.clone(), 7, START).await), StoreError::CounterReplayed);
    store.bump_counter(credential, 8, START).await.expect("a higher counter");
    let nobody: CredentialId = Bytes::try_from(fresh::<16>().to_vec()).expect("long enough");
    assert_eq!(refused(store.bump_counter(nobody.clone(), 1, START).await), StoreError::GuardianUnknown);
    assert_eq!(store.guardian_by_credential(nobody).await, Ok(None));

    // A wearer keeps the name; a second watch need not repeat it.
    let second = WatchId::from_bytes(fresh());
    let mut renamed = family.enrolment(second, family.wearer);
    renamed.counter = 9;
    renamed.wearer = Some(PersonName { name: Text::new("小红").expect("a name"), salt: Salt::from_bytes(fresh()) });
    assert_eq!(refused(store.append_log(renamed.clone(), START).await), StoreError::WearerConflict);
    renamed.wearer = None;
    family.send(store, renamed).await.expect("a second watch");

    let mut remove = family.append(Entry::RemoveWatch(family.watch), None);
    remove.counter = 10;
    family.send(store, remove).await.expect("a removal");
    let watch = store.household_of_watch(family.watch).await.expect("a read").expect("it stays known");
    assert!(watch.removed);
    let mut again = family.append(Entry::RemoveWatch(family.watch), None);
    again.counter = 11;
    assert_eq!(refused(store.append_log(again, START).await), StoreError::WatchUnknown);
    let other = Family::settle(store, 0).await;
    let mut foreign = family.append(Entry::RemoveWatch(other.watch), None);
    foreign.counter = 11;
    assert_eq!(refused(store.append_log(foreign, START).await), StoreError::WatchUnknown);
    assert_eq!(store.household_of_watch(WatchId::from_bytes(fresh())).await, Ok(None));
}

pub async fn a_removed_watch_ends_its_order(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let other = family.add_watch(store).await;
    let bill = shop.sell(store, &[600]).await;
    let row = family.approved(store, &bill, START).await;
    assert_eq!(family.wallet(store).await, (1_000, 600));
    let watch = family.watch;
    family.remove(store, watch, START).await.expect("a removal");
    assert_eq!(family.wallet(store).await, (1_000, 0));
    let row = store.order(family.household, row.order).await.expect("a read").expect("the order");
    assert_eq!(row.state, OrderState::Ended { outcome: OutcomeKind::Failed });
    let outcome = outcome_of(&row);
    assert_eq!((outcome.reason, outcome.log_head), (Some(FailReason::WatchRemoved), family.head()));
    let error = refused(store.place_order(family.order(&bill, START), START).await);
    assert_eq!(error, StoreError::RevokedWatch);
    store.place_order(family.order_from(other, &bill, START), START).await.expect("the other watch still may");
    assert_eq!(store.evidence(family.household, row.order).await.expect("evidence").log.len(), 4);
}

pub async fn pin_reports_and_their_answers(store: &Store) {
    let mut family = Family::settle(store, 0).await;
    let other = family.add_watch(store).await;
    let foreign = Family::settle(store, 0).await;
    let report = |household, watch, seq, state| {
        let report = PinReport {
            v: V1,
            household,
            watch,
            seq,
            nonce: Nonce::from_bytes(fresh()),
            state,
            wrong: 10,
            until: None,
            at: START,
        };
        let message = message("pin-report", &report);
        ReportPin { report, message }
    };
    let (household, watch) = (family.household, family.watch);
    assert_eq!(store.pin_reports(household).await, Ok(Vec::new()));
    let last = store.household(household).await.expect("a read").expect("it is there").last_event;
    let locked = report(household, watch, 2, PinState::Locked);
    store.report_pin(locked.clone(), START).await.expect("a report");
    store.report_pin(locked.clone(), START).await.expect("the same again");
    for seq in [0, 1, 2] {
        let old = report(household, watch, seq, PinState::Ok);
        assert_eq!(refused(store.report_pin(old, START).await), StoreError::PinReportOutdated, "{seq}");
    }
    let endless = report(household, watch, u64::MAX, PinState::Ok);
    assert_eq!(refused(store.report_pin(endless, START).await), StoreError::PinReportOutdated);
    assert_eq!(store.pin_reports(household).await, Ok(vec![(watch, locked.message)]));
    let asked = report(household, watch, 3, PinState::AskedUnlock);
    store.report_pin(asked.clone(), START).await.expect("a newer report");
    let beside = report(household, other, 1, PinState::AskedNewPin);
    store.report_pin(beside.clone(), START).await.expect("another watch's");
    let mut expected = vec![(watch, asked.message), (other, beside.message)];
    expected.sort_by_key(|(watch, _)| *watch);
    assert_eq!(store.pin_reports(household).await.as_ref(), Ok(&expected));
    let events = store.events_after(household, Audience::Guardian, last, 10).await.expect("a read");
    let told: Vec<_> = events.iter().map(|row| row.event).collect();
    assert_eq!(told, [HouseholdEvent::Pin(watch), HouseholdEvent::Pin(watch), HouseholdEvent::Pin(other)]);
    let events = store.events_after(household, Audience::Watch(watch), last, 10).await.expect("a read");
    assert_eq!(events, [], "not for watches");

    for elsewhere in
        [report(foreign.household, watch, 9, PinState::Ok), report(household, foreign.watch, 9, PinState::Ok)]
    {
        assert_eq!(refused(store.report_pin(elsewhere, START).await), StoreError::WatchUnknown);
    }

    let command =
        |watch| Entry::PinCommand(PinCommand { watch, nonce: asked.report.nonce, command: PinConsent::Unlock });
    let session = |watch| Entry::SetSession(WatchSession { watch, session_ms: MINUTE_MS });
    for entry in [command(watch), session(watch)] {
        let append = family.append(entry, None);
        family.send(store, append).await.expect("an entry");
    }
    family.remove(store, watch, START).await.expect("a removal");
    for entry in [command(watch), session(watch), command(foreign.watch), session(foreign.watch)] {
        let append = family.append(entry, None);
        assert_eq!(refused(store.append_log(append, START).await), StoreError::WatchUnknown);
    }
    let late = report(household, watch, 9, PinState::Ok);
    assert_eq!(refused(store.report_pin(late, START).await), StoreError::RevokedWatch);
    expected.retain(|(reporter, _)| *reporter == other);
    assert_eq!(store.pin_reports(household).await, Ok(expected), "a removed watch reports no more");
}

pub async fn pairing_a_watch(store: &Store) {
    let mut family = Family::imagine();
    family.found(store, Currency::CNY).await.expect("a new household");
    let expires = START.plus_ms(30 * MINUTE_MS);
    let new = NewPairing { pairing: PairingId::from_bytes(fresh()), household: family.household, expires };
    store.create_pairing(new, START).await.expect("a pairing");
    store.create_pairing(new, START).await.expect("the same again");
    let longer = NewPairing { expires: expires.plus_ms(1), ..new };
    assert_eq!(refused(store.create_pairing(longer, START).await), StoreError::PairingExists);
    let nowhere =
        NewPairing { pairing: PairingId::from_bytes(fresh()), household: HouseholdId::from_bytes(fresh()), expires };
    assert_eq!(refused(store.create_pairing(nowhere, START).await), StoreError::HouseholdUnknown);
    let state = async |pairing| store.pairing(pairing).await.expect("a read").expect("the pairing").state;
    assert_eq!(state(new.pairing).await, PairingState::Open);
    assert_eq!(store.pairing(nowhere.pairing).await, Ok(None));

    let mut enrol = family.enrolment(family.watch, family.wearer);
    enrol.pairing = Some(new.pairing);
    let Entry::EnrolWatch(enrolled) = enrol.entry.entry.clone() else { panic!("an enrolment") };
    assert_eq!(refused(store.append_log(enrol.clone(), START).await), StoreError::PairingMismatch);
    let claim = ClaimPairing {
        pairing: new.pairing,
        household: family.household,
        watch: family.watch,
        key: enrolled.key,
        message: message("claim", &family.watch),
    };
    let mut foreign = claim.clone();
    foreign.household = nowhere.household;
    assert_eq!(refused(store.claim_pairing(foreign, START).await), StoreError::PairingUnknown);
    assert_eq!(refused(store.claim_pairing(claim.clone(), expires).await), StoreError::PairingExpired);
    assert_eq!(store.pairing_of_watch(family.watch, START).await, Ok(None));
    store.claim_pairing(claim.clone(), START).await.expect("the first claim");
    let mut retried = claim.clone();
    retried.message = message("claim", &"signed again");
    store.claim_pairing(retried, START).await.expect("the same watch and key");
    let held = Claim { watch: claim.watch, key: claim.key, message: claim.message.clone() };
    assert_eq!(state(new.pairing).await, PairingState::Claimed(held.clone()));
    let pending = store.pairing_of_watch(family.watch, START).await.expect("a read").expect("it waits");
    assert_eq!(pending.pairing, new.pairing);
    assert_eq!(store.pairing_of_watch(family.watch, expires).await, Ok(None));

    let stranger = Family::imagine();
    let mut second = claim.clone();
    second.watch = stranger.watch;
    assert_eq!(refused(store.claim_pairing(second, START).await), StoreError::PairingTaken);
    // The same watch id with another key elsewhere.
    let other = NewPairing { pairing: PairingId::from_bytes(fresh()), ..new };
    store.create_pairing(other, START).await.expect("another pairing");
    let mut thief = claim.clone();
    thief.pairing = other.pairing;
    thief.key = Shop::imagine().key;
    assert_eq!(refused(store.claim_pairing(thief, START).await), StoreError::WatchExists);

    // The guardian enrols the watch and the key that claimed, no other.
    for other_watch in [false, true] {
        let mut swapped = enrol.clone();
        if let Entry::EnrolWatch(watch) = &mut swapped.entry.entry {
            if other_watch { watch.watch = stranger.watch } else { watch.key = Shop::imagine().key }
        }
        assert_eq!(refused(store.append_log(swapped, START).await), StoreError::PairingMismatch);
    }
    assert_eq!(refused(store.append_log(enrol.clone(), expires).await), StoreError::PairingExpired);
    family.send(store, enrol).await.expect("an enrolment");
    assert_eq!(state(new.pairing).await, PairingState::Done(held));
    assert_eq!(store.pairing_of_watch(family.watch, START).await, Ok(None));
    let close = store.close_pairing(family.household, new.pairing, START).await;
    assert_eq!(refused(close), StoreError::PairingClosed);
    store.close_pairing(family.household, other.pairing, START).await.expect("given up");
    store.close_pairing(family.household, other.pairing, START).await.expect("again");
    assert_eq!(state(other.pairing).await, PairingState::Closed);
    let mut late = claim;
    late.pairing = other.pairing;
    assert_eq!(refused(store.claim_pairing(late, START).await), StoreError::PairingClosed);

    let events = store.events_after(family.household, Audience::Guardian, 0, 10).await.expect("a read");
    let expected = [
        HouseholdEvent::Log(0),
        HouseholdEvent::Pairing(new.pairing),
        HouseholdEvent::Log(1),
        HouseholdEvent::Pairing(other.pairing),
    ];
    assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), expected);
}

pub async fn invitations_and_tills(store: &Store) {
    let shop = Shop::imagine();
    let kind = InvitationKind::Till(shop.merchant);
    let new = NewInvitation { token: TokenHash(fresh()), kind, expires: START.plus_ms(HOUR_MS) };
    assert_eq!(refused(store.create_invitation(new, START).await), StoreError::MerchantUnknown);
    store.add_merchant(shop.new_merchant(), START).await.expect("a new merchant");
    store.create_invitation(new, START).await.expect("an invitation");
    store.create_invitation(new, START).await.expect("the same again");
    let other = NewInvitation { kind: InvitationKind::Guardian, ..new };
    assert_eq!(refused(store.create_invitation(other, START).await), StoreError::TokenExists);
    let late = store.invitation(new.token, new.expires).await;
    assert_eq!(refused(late), StoreError::InvitationExpired);

    assert_eq!(refused(shop.certify(store).await), StoreError::CertificateMismatch);
    assert_eq!(store.enrol_till(new.token, shop.key, START).await, Ok(shop.merchant));
    assert_eq!(store.enrol_till(new.token, shop.key, new.expires).await, Ok(shop.merchant));
    let thief = Shop::imagine().key;
    assert_eq!(refused(store.enrol_till(new.token, thief, START).await), StoreError::InvitationUsed);
    let guardian = invite(store, InvitationKind::Guardian).await;
    assert_eq!(refused(store.enrol_till(guardian, shop.key, START).await), StoreError::InvitationUnknown);
    let row = store.merchant(shop.merchant).await.expect("a read").expect("the merchant");
    assert_eq!((row.key, row.certificate), (Some(shop.key), None));
    shop.certify(store).await.expect("a certificate");
    shop.certify(store).await.expect("the same again");
    let row = store.merchant(shop.merchant).await.expect("a read").expect("the merchant");
    assert_eq!(row.certificate, Some(shop.certificate.clone()));

    // A new key takes the certificate away; old bills keep theirs.
    let bill = shop.sell(store, &[100]).await;
    let next = invite(store, kind).await;
    store.enrol_till(next, thief, START).await.expect("another till");
    let row = store.merchant(shop.merchant).await.expect("a read").expect("the merchant");
    assert_eq!((row.key, row.certificate), (Some(thief), None));
    let kept = store.bill(bill.bill).await.expect("a read").expect("the bill");
    assert_eq!(kept.certificate, shop.certificate);
}

pub async fn sessions_and_logins(store: &Store) {
    let family = Family::settle(store, 0).await;
    let shop = Shop::open(store).await;
    let (expires, ends) = (START.plus_ms(HOUR_MS), START.plus_ms(2 * HOUR_MS));
    let session = |of| NewSession {
        session: SessionId::from_bytes(fresh()),
        token: TokenHash(fresh()),
        of,
        device: Text::new("iphone/safari").expect("a device"),
        expires,
        ends,
    };
    let guardian = SessionOf::Guardian { household: family.household, guardian: family.guardian };
    for of in [guardian, SessionOf::Till { merchant: shop.merchant }] {
        let new = session(of);
        store.create_session(new.clone(), START).await.expect("a session");
        store.create_session(new.clone(), START).await.expect("the same again");
        let other = NewSession { expires: expires.plus_ms(1), ..new.clone() };
        assert_eq!(refused(store.create_session(other, START).await), StoreError::TokenExists);
        let row = store.session(new.token, START).await.expect("a read").expect("the session");
        assert_eq!((row.session, row.of, row.device.as_str()), (new.session, of, "iphone/safari"));
        assert_eq!((row.created, row.seen, row.expires), (START, START, expires));
        assert_eq!(store.session_by_id(new.session, START).await, Ok(Some(row)));
        assert_eq!(store.session(new.token, expires).await, Ok(None));
        store.end_session(new.session).await.expect("an end");
        store.end_session(new.session).await.expect("again");
        assert_eq!(store.session(new.token, START).await, Ok(None));
    }
    let nobody = SessionOf::Guardian { household: family.household, guardian: GuardianId::from_bytes(fresh()) };
    assert_eq!(refused(store.create_session(session(nobody), START).await), StoreError::GuardianUnknown);
    let nowhere = SessionOf::Till { merchant: Shop::imagine().merchant };
    assert_eq!(refused(store.create_session(session(nowhere), START).await), StoreError::MerchantUnknown);

    let challenge = fresh();
    store.create_login(challenge, expires, START).await.expect("a challenge");
    assert_eq!(refused(store.create_login(challenge, expires, START).await), StoreError::TokenExists);
    assert_eq!(refused(store.take_login(challenge, expires).await), StoreError::LoginUnknown);
    store.take_login(challenge, START).await.expect("the first time");
    assert_eq!(refused(store.take_login(challenge, START).await), StoreError::LoginUnknown);
    let both = fresh();
    store.create_login(both, expires, START).await.expect("a challenge");
    let (first, second) = tokio::join!(store.take_login(both, START), store.take_login(both, START));
    assert!(first.is_ok() != second.is_ok(), "a challenge is used once");
}

/// The token changes; the one before it is good while its holder may not have got the new one, and a little longer.
pub async fn sessions_change_their_token(store: &Store) {
    let family = Family::settle(store, 0).await;
    let of = SessionOf::Guardian { household: family.household, guardian: family.guardian };
    let [first, second, third, fourth] = std::array::from_fn(|_| TokenHash(fresh()));
    let at = |minutes: i64| START.plus_ms(minutes * MINUTE_MS);
    let to = |token, minutes| NewToken { token, expires: at(minutes) };
    let new = NewSession {
        session: SessionId::from_bytes(fresh()),
        token: first,
        of,
        device: Text::new("mac/firefox").expect("a device"),
        expires: at(60),
        ends: at(100),
    };
    store.create_session(new.clone(), START).await.expect("a session");
    let shown = async |token, now| store.session(token, now).await.expect("a read");
    let row = shown(first, at(10)).await.expect("the session");
    assert_eq!(row.shown, Shown::Present { token: first, first: false });

    // Two requests at once: one changes it.
    assert_eq!(store.rotate_session(row.clone(), to(second, 70), at(10)).await, Ok(true));
    assert_eq!(store.rotate_session(row, to(third, 70), at(10)).await, Ok(false));
    assert_eq!(shown(third, at(10)).await, None);
    let before = shown(first, at(11)).await.expect("the answer may be under way");
    assert_eq!(before.shown, Shown::Earlier { token: first, until: None });
    assert_eq!((before.session, before.seen, before.expires), (new.session, at(10), at(70)));
    assert!(shown(first, at(70)).await.is_none());

    // The answer got lost: another one.
    assert_eq!(store.rotate_session(before, to(third, 70), at(12)).await, Ok(true));
    assert_eq!(shown(second, at(12)).await, None);
    let row = shown(third, at(12)).await.expect("the session");
    assert_eq!(row.shown, Shown::Present { token: third, first: true });
    let before = shown(first, at(12)).await.expect("the session");
    store.confirm_session(row.clone(), at(13)).await.expect("it came");
    store.confirm_session(row, at(90)).await.expect("it is said once");
    let late = shown(first, at(14)).await.expect("who shows it now is looked at");
    assert_eq!(late.shown, Shown::Earlier { token: first, until: Some(at(13)) });
    assert_eq!(store.rotate_session(before, to(fourth, 70), at(14)).await, Ok(false));

    // Its end stays.
    let row = shown(third, at(20)).await.expect("the session");
    assert_eq!(store.rotate_session(row, to(fourth, 500), at(20)).await, Ok(true));
    assert!(shown(fourth, at(99)).await.is_some());
    assert_eq!(shown(fourth, at(100)).await, None);
    assert_eq!(store.session_by_id(new.session, at(100)).await, Ok(None));
}

pub async fn sessions_are_listed_and_ended(store: &Store) {
    let (family, other) = (Family::settle(store, 0).await, Family::settle(store, 0).await);
    let open = async |family: &Family, minutes: i64| {
        let of = SessionOf::Guardian { household: family.household, guardian: family.guardian };
        let (session, token) = (SessionId::from_bytes(fresh()), TokenHash(fresh()));
        let device = Text::new("android/chrome").expect("a device");
        let expires = START.plus_ms(HOUR_MS);
        let new = NewSession { session, token, of, device, expires, ends: expires };
        store.create_session(new, START.plus_ms(minutes)).await.expect("a session");
        session
    };
    let listed = async |family: &Family| {
        let rows = store.sessions(family.household, family.guardian, START.plus_ms(1_000)).await.expect("a read");
        rows.into_iter().map(|row| row.session).collect::<Vec<_>>()
    };
    let end = async |family: &Family, which| store.end_sessions(family.household, family.guardian, which).await;
    let theirs = open(&other, 0).await;
    let mut own = Vec::new();
    for minutes in 0..MAX_SESSIONS {
        own.insert(0, open(&family, i64::try_from(minutes).expect("few")).await);
    }
    assert_eq!(listed(&family).await, own);
    // One more: the oldest goes.
    own.insert(0, open(&family, 500).await);
    own.pop();
    assert_eq!(listed(&family).await, own);

    assert_eq!(refused(end(&family, EndSessions::One(theirs)).await), StoreError::SessionUnknown);
    let mut topics = store.subscribe();
    end(&family, EndSessions::One(own.remove(3))).await.expect("ended");
    while topics.recv().await.expect("told") != Topic::Household(family.household) {}
    assert_eq!(listed(&family).await, own);
    end(&family, EndSessions::AllBut(own[2])).await.expect("ended");
    end(&family, EndSessions::AllBut(own[2])).await.expect("again");
    assert_eq!(listed(&family).await, [own[2]]);
    assert_eq!(listed(&other).await, [theirs]);
}

pub async fn merchants_and_their_goods(store: &Store) {
    let shop = Shop::imagine();
    store.add_merchant(shop.new_merchant(), START).await.expect("a new merchant");
    store.add_merchant(shop.new_merchant(), START).await.expect("the same again");
    let mut renamed = shop.new_merchant();
    renamed.name = Text::new("书店").expect("a name");
    assert_eq!(refused(store.add_merchant(renamed, START).await), StoreError::MerchantExists);
    let mut same_key = Shop::imagine().new_merchant();
    same_key.api_key = shop.api_key;
    assert_eq!(refused(store.add_merchant(same_key, START).await), StoreError::MerchantExists);
    let row = store.merchant_by_api_key(shop.api_key).await.expect("a read").expect("the merchant");
    assert_eq!((row.merchant, row.name.as_str(), row.goods.len()), (shop.merchant, "文具店", 0));
    assert_eq!(store.merchant_by_api_key(TokenHash(fresh())).await, Ok(None));
    assert_eq!(store.merchant(Shop::imagine().merchant).await, Ok(None));

    let good = |id: LineId| Good {
        id,
        name: Text::new("可乐").expect("a name"),
        unit_price: minor(350),
        category: Some(Text::new("饮料").expect("a category")),
        min_age: None,
    };
    let goods = vec![good(line_id("cola"))];
    store.set_goods(shop.merchant, goods.clone()).await.expect("goods");
    let row = store.merchant(shop.merchant).await.expect("a read").expect("the merchant");
    assert_eq!(row.goods, goods);
    let many = (0..=MAX_GOODS).map(|index| good(line_id(&format!("g{index}")))).collect();
    assert_eq!(refused(store.set_goods(shop.merchant, many).await), StoreError::TooManyGoods);
    let nowhere = Shop::imagine().merchant;
    assert_eq!(refused(store.set_goods(nowhere, goods).await), StoreError::MerchantUnknown);

    Shop::open(store).await;
    let mut seen = Vec::new();
    while let Some(last) = store.merchants(seen.last().copied(), 1).await.expect("a page").pop() {
        seen.push(last.merchant);
    }
    assert!(seen.contains(&shop.merchant) && seen.len() >= 2);
    assert!(seen.is_sorted());
}

pub async fn printed_codes(store: &Store) {
    let (shop, other) = (Shop::open(store).await, Shop::open(store).await);
    let code = |merchant| NewCode {
        payee: Digest::from_bytes(fresh()),
        merchant,
        text: CodeText::new("BCD\n002\n …").expect("a text"),
    };
    let first = code(shop.merchant);
    assert_eq!(store.merchant_of_code(first.payee).await, Ok(None));
    store.add_code(first.clone(), START).await.expect("a new code");
    store.add_code(first.clone(), START.plus_ms(1)).await.expect("the same again");
    assert_eq!(store.merchant_of_code(first.payee).await, Ok(Some(shop.merchant)));
    let stolen = NewCode { merchant: other.merchant, ..first.clone() };
    assert_eq!(refused(store.add_code(stolen, START).await), StoreError::CodeTaken);
    let nobodys = code(Shop::imagine().merchant);
    assert_eq!(refused(store.add_code(nobodys, START).await), StoreError::MerchantUnknown);
    let row = CodeRow { payee: first.payee, text: first.text.clone(), at: START };
    assert_eq!(store.codes(shop.merchant).await, Ok(vec![row]));
    assert_eq!(store.codes(other.merchant).await, Ok(Vec::new()));
    for _ in 1..MAX_CODES {
        store.add_code(code(shop.merchant), START).await.expect("one more");
    }
    assert_eq!(refused(store.add_code(code(shop.merchant), START).await), StoreError::TooManyCodes);

    assert_eq!(refused(store.remove_code(other.merchant, first.payee).await), StoreError::PayeeUnknown);
    store.remove_code(shop.merchant, first.payee).await.expect("removed");
    assert_eq!(refused(store.remove_code(shop.merchant, first.payee).await), StoreError::PayeeUnknown);
    assert_eq!(store.merchant_of_code(first.payee).await, Ok(None));
    store.add_code(NewCode { merchant: other.merchant, ..first.clone() }, START).await.expect("it moved");
    assert_eq!(store.merchant_of_code(first.payee).await, Ok(Some(other.merchant)));
}

/// Only the watch that made the bill may order it; the merchant hears of it then.
pub async fn bills_of_printed_codes(store: &Store) {
    let shop = Shop::open(store).await;
    let (family, other) = (Family::settle(store, 1_000).await, Family::settle(store, 1_000).await);
    let new = NewBill { watch: Some(family.watch), ..shop.bill(&[300]) };
    let row = store.create_bill(new.clone(), START).await.expect("a bill");
    assert_eq!(row.watch, Some(family.watch));
    assert_eq!(store.create_bill(new.clone(), START.plus_ms(5)).await.as_ref(), Ok(&row));
    assert_eq!(store.bill_by_digest(new.message.digest).await, Ok(Some(row.clone())));
    assert_eq!(store.merchant_events_after(shop.merchant, 0, 10).await, Ok(Vec::new()));
    let foreign = other.order(&row, START);
    assert_eq!(refused(store.place_order(foreign, START).await), StoreError::BillUnknown);
    family.paid(store, &row, START).await;
    let paid = store.bill(row.bill).await.expect("a read").expect("the bill");
    assert_eq!(paid.status(START), BillStatus::Paid);
    let events = merchant_events(store, shop.merchant, 0, 3).await;
    assert!(!events.is_empty() && events.iter().all(|event| event.event == MerchantEvent::Bill(row.bill)));
    assert_eq!(store.merchant_balance(shop.merchant).await, Ok(super::cast::cny(300)));
}

pub async fn bills(store: &Store) {
    let shop = Shop::open(store).await;
    let new = shop.bill(&[350, 150]);
    let row = store.create_bill(new.clone(), START).await.expect("a bill");
    assert_eq!(store.create_bill(new.clone(), START.plus_ms(5)).await.as_ref(), Ok(&row));
    assert_eq!(store.bill(new.bill.bill).await, Ok(Some(row.clone())));
    assert_eq!(store.bill_by_digest(new.message.digest).await, Ok(Some(row.clone())));
    assert_eq!((row.total, row.deadline), (super::cast::cny(500), START.plus_ms(HOUR_MS)));
    assert_eq!(row.status(START), BillStatus::Open);
    assert_eq!(row.status(row.deadline), BillStatus::Expired);
    assert_eq!(store.bill_by_digest(Digest::from_bytes(fresh())).await, Ok(None));

    let mut other = new.clone();
    other.message = message("bill", &"another content");
    assert_eq!(refused(store.create_bill(other, START).await), StoreError::BillExists);
    let fresh_bill = || shop.bill(&[100]);
    let mut second = fresh_bill();
    second.bill.revision = 2;
    assert_eq!(refused(store.create_bill(second, START).await), StoreError::NotFirstRevision);
    let mut foreign = fresh_bill();
    foreign.bill.certificate = Shop::open(store).await.certificate.digest;
    assert_eq!(refused(store.create_bill(foreign, START).await), StoreError::CertificateUnknown);
    let mut euros = fresh_bill();
    euros.bill.currency = Currency::EUR;
    assert_eq!(refused(store.create_bill(euros, START).await), StoreError::CurrencyNotSupported);
    let nobody = Shop::imagine().bill(&[100]);
    assert_eq!(refused(store.create_bill(nobody, START).await), StoreError::MerchantUnknown);

    store.mark_scanned(row.bill, START).await.expect("scanned");
    store.mark_scanned(row.bill, START).await.expect("again");
    let scanned = store.bill(row.bill).await.expect("a read").expect("the bill");
    assert_eq!(scanned.status(START), BillStatus::Scanned);
    let cancelled = store.cancel_bill(shop.merchant, row.bill, START).await.expect("cancelled");
    assert_eq!((cancelled.state, cancelled.status(START)), (BillState::Cancelled, BillStatus::Cancelled));
    assert_eq!(store.cancel_bill(shop.merchant, row.bill, START).await, Ok(cancelled));
    let events = merchant_events(store, shop.merchant, 0, 3).await;
    assert_eq!(events.iter().map(|event| event.event).collect::<Vec<_>>(), [MerchantEvent::Bill(row.bill); 3]);
    assert_eq!(store.last_merchant_event(shop.merchant).await, Ok(events[2].seq));
    assert_eq!(store.merchant_events_after(shop.merchant, events[1].seq, 100).await, Ok(events[2..].to_vec()));

    let unknown = Shop::imagine().bill(&[1]).bill.bill;
    assert_eq!(refused(store.mark_scanned(unknown, START).await), StoreError::BillUnknown);
    assert_eq!(refused(store.cancel_bill(shop.merchant, unknown, START).await), StoreError::BillUnknown);
    let nosy = Shop::open(store).await;
    assert_eq!(refused(store.cancel_bill(nosy.merchant, row.bill, START).await), StoreError::BillUnknown);
}

/// Each certificate is kept once.
pub async fn certificates_of_outcome_keys(store: &Store) {
    let before = store.outcome_certificates().await.expect("reads");
    let [first, second] =
        ["first", "second"].map(|wire| Message { wire: wire.to_owned(), digest: Digest::from_bytes(fresh()) });
    for (certificate, at) in [(&first, START), (&second, START.plus_ms(1)), (&first, START.plus_ms(2))] {
        store.keep_outcome_certificate(certificate.clone(), at).await.expect("kept");
    }
    let kept = store.outcome_certificates().await.expect("reads");
    let new: Vec<_> = kept.into_iter().filter(|certificate| !before.contains(certificate)).collect();
    assert_eq!(new, [first, second]);
}
