//! Several guardians: coming, going, inviting, recovering, deciding at the same instant, freezing.

use nodpay_core::{
    CredentialId, Entry, FailReason, Guardian, GuardianId, NewGuardian, OrderState, OutcomeKind, PairingId, PersonName,
    PublicKey, RecoveryKeys, Salt, SessionId, Text, Timestamp, Unfreeze,
};

use super::cast::{Family, HOUR_MS, START, Shop, fresh, fresh_key, message, outcome_of, payment, refused};
use crate::{
    Audience, ClaimJoin, Decide, Freeze, GuardianChange, GuardianStanding, HouseholdEvent, JoinClaim, JoinState,
    NewJoin, NewSession, OrderRow, SessionOf, Store, StoreError, TokenHash,
};

const DAY_MS: i64 = 24 * HOUR_MS;

pub(crate) fn person() -> Guardian {
    Guardian {
        guardian: GuardianId::from_bytes(fresh()),
        credential: CredentialId::try_from(fresh::<20>().to_vec()).expect("long enough"),
        key: fresh_key(),
        backup_eligible: false,
        shown_payments: false,
        name: None,
    }
}

fn named(name: &str) -> PersonName {
    PersonName { name: Text::new(name).expect("a name"), salt: Salt::from_bytes(fresh()) }
}

pub(super) fn standing(person: &Guardian, counts_from: Timestamp, leaves: Option<Timestamp>) -> GuardianStanding {
    GuardianStanding {
        guardian: person.guardian,
        credential: person.credential.clone(),
        joins: START,
        counts_from,
        leaves,
    }
}

/// The household's first guardian adds `newcomer`, who counts a day later.
pub(crate) async fn add(store: &Store, family: &mut Family, newcomer: &Guardian) {
    let counts_from = START.plus_ms(DAY_MS);
    let mut append = family.append(Entry::AddGuardian(NewGuardian { guardian: newcomer.clone(), counts_from }), None);
    append.change.guardians = vec![standing(newcomer, counts_from, None)];
    family.send(store, append).await.expect("added");
}

pub(crate) async fn leave(store: &Store, family: &mut Family, gone: &Guardian, leaves: Timestamp) {
    let mut append = family.append(Entry::RemoveGuardian(gone.guardian), None);
    append.change.guardians = vec![standing(gone, START.plus_ms(DAY_MS), Some(leaves))];
    family.send(store, append).await.expect("removed");
}

/// The same decision, by another guardian.
pub(super) fn by(mut decide: Decide, guardian: &Guardian) -> Decide {
    decide.decision.guardian = guardian.guardian;
    decide.decision.credential = guardian.credential.clone();
    decide.message = message("decision", &decide.decision);
    decide
}

async fn opens(store: &Store, family: &Family, guardian: &Guardian, now: Timestamp) -> Result<TokenHash, StoreError> {
    let (token, expires) = (TokenHash(fresh()), START.plus_ms(10 * DAY_MS));
    let of = SessionOf::Guardian { household: family.household, guardian: guardian.guardian };
    let (session, device) = (SessionId::from_bytes(fresh()), Text::new("other/other").expect("a device"));
    store.create_session(NewSession { session, token, of, device, expires, ends: expires }, now).await.map(|()| token)
}

pub async fn guardians_come_and_go(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 50_000).await;
    let newcomer = person();
    let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
    let nod = by(family.nod(&row, START), &newcomer);
    assert_eq!(refused(store.decide(nod.clone(), START).await), StoreError::GuardianUnknown);
    add(store, &mut family, &newcomer).await;
    let known = store.guardian_by_credential(newcomer.credential.clone()).await.expect("a read").expect("added");
    assert_eq!((known.household, known.guardian), (family.household, newcomer.guardian));
    let session = opens(store, &family, &newcomer, START).await.expect("they see at once");
    store.decide(nod, START).await.expect("and answer at once");

    // Only not to more than a new watch pays; refusing costs nothing.
    let watch = family.add_watch(store).await;
    let bill = shop.sell(store, &[20_001]).await;
    let row = store.place_order(family.order_from(watch, &bill, START), START).await.expect("an order");
    let much = by(family.nod(&row, START), &newcomer);
    assert_eq!(refused(store.decide(much, START).await), StoreError::GuardianNotCounting);
    store.decide(by(family.refusal(&row, START), &newcomer), START).await.expect("a refusal");

    // They sign entries once they count.
    let mut entry = family.append(Entry::RemoveWatch(family.watch), None);
    entry.entry.guardian = newcomer.guardian;
    let error = refused(store.append_log(entry.clone(), START.plus_ms(DAY_MS - 1)).await);
    assert_eq!(error, StoreError::GuardianNotCounting);

    // The same passkey is nobody else's.
    let mut twin = person();
    twin.credential = newcomer.credential.clone();
    let counts_from = START.plus_ms(DAY_MS);
    let mut again = family.append(Entry::AddGuardian(NewGuardian { guardian: twin.clone(), counts_from }), None);
    again.change.guardians = vec![standing(&twin, counts_from, None)];
    assert_eq!(refused(store.append_log(again, START).await), StoreError::CredentialExists);

    // Their time ends: a session, a login, a decision that was verified before, an entry.
    let leaves = START.plus_ms(2 * DAY_MS);
    leave(store, &mut family, &newcomer, leaves).await;
    let last = leaves.plus_ms(-1);
    assert!(store.session(session, last).await.expect("a read").is_some());
    assert_eq!(store.session(session, leaves).await, Ok(None));
    assert_eq!(refused(opens(store, &family, &newcomer, leaves).await), StoreError::GuardianUnknown);
    let login = store.bump_counter(newcomer.credential.clone(), 1, leaves).await;
    assert_eq!(refused(login), StoreError::GuardianUnknown);
    let second = family.add_watch(store).await;
    let bill = shop.sell_for(store, &[600], 3 * DAY_MS).await;
    let row = store.place_order(family.order_from(second, &bill, last), last).await.expect("an order");
    let late = by(family.nod(&row, last), &newcomer);
    assert_eq!(refused(store.decide(late.clone(), leaves).await), StoreError::GuardianUnknown);
    assert_eq!(refused(store.append_log(entry, leaves).await), StoreError::LogMoved { head: family.head() });
    let mut entry = family.append(Entry::RemoveWatch(family.watch), None);
    entry.entry.guardian = newcomer.guardian;
    assert_eq!(refused(store.append_log(entry, leaves).await), StoreError::GuardianUnknown);

    // An objection brings them back.
    let mut object = family.append(Entry::Object(family.head()), None);
    object.entry.guardian = newcomer.guardian;
    object.change.guardians = vec![standing(&newcomer, counts_from, None)];
    let kept = (object.entry.clone(), object.message.clone());
    store.append_log(object, last).await.expect("in time");
    family.entries.push(kept);
    store.decide(late, leaves).await.expect("they are one still");
}

pub async fn two_guardians_at_once(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 1_000).await;
    let newcomer = person();
    add(store, &mut family, &newcomer).await;
    for round in 0..20 {
        let row = family.place(store, &shop.sell(store, &[600]).await, START).await;
        let one = if round % 4 < 2 { family.nod(&row, START) } else { family.refusal(&row, START) };
        let other = by(if round % 3 == 0 { family.refusal(&row, START) } else { family.nod(&row, START) }, &newcomer);
        let (a, b) = if round % 2 == 0 {
            tokio::join!(store.decide(one.clone(), START), store.decide(other.clone(), START))
        } else {
            let (b, a) = tokio::join!(store.decide(other.clone(), START), store.decide(one.clone(), START));
            (a, b)
        };
        assert!(a.is_ok() != b.is_ok(), "exactly one wins: {a:?} {b:?}");
        let (winner, loser) = if a.is_ok() { (one, b) } else { (other, a) };
        let row: OrderRow = store.order(row.household, row.order).await.expect("a read").expect("the order");
        assert_eq!(row.decision, Some(winner.message), "the order says who was first");
        let expected = if let OrderState::Ended { outcome } = row.state {
            StoreError::OrderEnded(outcome)
        } else {
            StoreError::AlreadyDecided
        };
        assert_eq!(refused(loser), expected);
        if row.outcome.is_none() {
            store.cancel_order(super::cast::cancellation(&row, START), START).await.expect("cancelled");
        }
    }
}

pub async fn inviting_a_guardian(store: &Store) {
    let mut family = Family::settle(store, 0).await;
    let stranger = Family::settle(store, 0).await;
    let (pairing, expires) = (PairingId::from_bytes(fresh()), START.plus_ms(HOUR_MS / 2));
    let new = NewJoin { pairing, household: family.household, expires };
    store.create_join(new).await.expect("an invitation");
    store.create_join(new).await.expect("the same again");
    let other = NewJoin { household: stranger.household, ..new };
    assert_eq!(refused(store.create_join(other).await), StoreError::PairingExists);
    assert_eq!(store.join(pairing).await.map(|row| row.map(|row| row.state)), Ok(Some(JoinState::Open)));

    let newcomer = person();
    let household = family.household;
    let claim = |guardian: &Guardian, name: &str| ClaimJoin {
        pairing,
        household,
        claim: JoinClaim { guardian: guardian.guardian, name: named(name), message: message("claim", &guardian.key) },
    };
    let ba = claim(&newcomer, "爸爸");
    let elsewhere = ClaimJoin { household: stranger.household, ..ba.clone() };
    assert_eq!(refused(store.claim_join(elsewhere, START).await), StoreError::PairingUnknown);
    assert_eq!(refused(store.claim_join(ba.clone(), expires).await), StoreError::PairingExpired);
    let before = store.household(family.household).await.expect("a read").expect("it").last_event;
    store.claim_join(ba.clone(), START).await.expect("claimed");
    store.claim_join(ba.clone(), START).await.expect("the same again");
    let events = store.events_after(family.household, Audience::Guardian, before, 10).await.expect("a read");
    assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Pairing(pairing)]);
    assert_eq!(refused(store.claim_join(claim(&person(), "谁"), START).await), StoreError::PairingTaken);
    let found = store.join_of_guardian(family.household, newcomer.guardian).await.expect("a read").expect("claimed");
    assert_eq!(found.state, JoinState::Claimed(ba.claim.clone()));

    // A proposal leaves the invitation as it is; the addition takes the name over.
    let counts_from = START.plus_ms(DAY_MS);
    let change = Entry::AddGuardian(NewGuardian { guardian: newcomer.clone(), counts_from });
    let proposal = family.append(Entry::Propose(Box::new(change.clone())), None);
    let proposed = proposal.message.digest;
    family.send(store, proposal).await.expect("proposed");
    assert_eq!(store.guardian_by_credential(newcomer.credential.clone()).await, Ok(None));
    let mut second = family.append(Entry::Second(proposed), None);
    second.change = GuardianChange {
        seconded: Some(change),
        guardians: vec![standing(&newcomer, counts_from, None)],
        ..GuardianChange::default()
    };
    family.send(store, second).await.expect("seconded");
    let row = store.household(family.household).await.expect("a read").expect("it");
    assert_eq!(row.guardians, [(newcomer.guardian, ba.claim.name.clone())]);
    assert_eq!(store.join(pairing).await.map(|row| row.map(|row| row.state)), Ok(Some(JoinState::Done(ba.claim))));
    let closing = store.close_join(family.household, pairing, START).await;
    assert_eq!(refused(closing), StoreError::PairingClosed);

    let given_up = NewJoin { pairing: PairingId::from_bytes(fresh()), ..new };
    store.create_join(given_up).await.expect("an invitation");
    let closed = store.close_join(stranger.household, given_up.pairing, START).await;
    assert_eq!(refused(closed), StoreError::PairingUnknown);
    store.close_join(family.household, given_up.pairing, START).await.expect("given up");
    let late = ClaimJoin { pairing: given_up.pairing, ..claim(&person(), "晚") };
    assert_eq!(refused(store.claim_join(late, START).await), StoreError::PairingClosed);
}

pub async fn recovery_keys_lead_to_their_household(store: &Store) {
    let mut family = Family::settle(store, 0).await;
    let found = async |key: PublicKey| store.household_of_recovery_key(key).await.expect("a read");
    let (old, one, two) = (fresh_key(), fresh_key(), fresh_key());
    for keys in [vec![old], vec![one, two]] {
        let append = family.append(Entry::EnrolRecovery(RecoveryKeys { keys }), None);
        family.send(store, append).await.expect("enrolled");
    }
    assert_eq!((found(old).await, found(one).await), (None, Some(family.household)), "replaced");

    let (newcomer, name) = (person(), named("妈妈的新手机"));
    let joins = START.plus_ms(2 * DAY_MS);
    let mut append = family.append(Entry::Recover(newcomer.clone()), None);
    append.entry.guardian = newcomer.guardian;
    append.change = GuardianChange {
        seconded: None,
        guardians: vec![GuardianStanding { joins, ..standing(&newcomer, joins, None) }],
        recovery: Some(one),
        newcomer: Some(name.clone()),
        ..GuardianChange::default()
    };
    let recovery = append.message.digest;
    family.send(store, append).await.expect("taken in");
    assert_eq!((found(one).await, found(two).await), (None, Some(family.household)), "each is good once");
    let row = store.household(family.household).await.expect("a read").expect("it");
    assert_eq!(row.guardians, [(newcomer.guardian, name)]);
    let early = opens(store, &family, &newcomer, joins.plus_ms(-1)).await;
    assert_eq!(refused(early), StoreError::GuardianUnknown);
    opens(store, &family, &newcomer, joins).await.expect("their time has come");

    let mut object = family.append(Entry::Object(recovery), None);
    object.change.guardians = vec![GuardianStanding { joins, ..standing(&newcomer, joins, Some(joins)) }];
    family.send(store, object).await.expect("objected");
    assert_eq!(refused(opens(store, &family, &newcomer, joins).await), StoreError::GuardianUnknown);
}

fn how(row: &OrderRow) -> (OutcomeKind, Option<FailReason>) {
    let outcome = outcome_of(row);
    (outcome.outcome, outcome.reason)
}

pub async fn a_guardian_freezes_and_an_entry_unfreezes(store: &Store) {
    let shop = Shop::open(store).await;
    let mut family = Family::settle(store, 2_000).await;
    let waiting = family.place(store, &shop.sell(store, &[600]).await, START).await;
    let before = store.household(family.household).await.expect("a read").expect("it").last_event;
    let stranger = GuardianId::from_bytes(fresh());
    assert_eq!(refused(store.freeze(family.household, stranger, START).await), StoreError::GuardianUnknown);
    let freeze = Freeze { by: family.guardian, at: START };
    assert_eq!(store.freeze(family.household, family.guardian, START).await, Ok(freeze));
    assert_eq!(store.freeze(family.household, family.guardian, START.plus_ms(1)).await, Ok(freeze), "the first stands");
    for audience in [Audience::Guardian, Audience::Watch(family.watch)] {
        let events = store.events_after(family.household, audience, before, 10).await.expect("a read");
        assert_eq!(events.iter().map(|row| row.event).collect::<Vec<_>>(), [HouseholdEvent::Log(1)]);
    }
    let row = store.household(family.household).await.expect("a read").expect("it");
    assert_eq!((row.frozen, row.freeze), (false, Some(freeze)), "who froze is kept apart");
    let failed = store.decide(family.nod(&waiting, START), START).await.expect("taken in");
    assert_eq!(how(&failed), (OutcomeKind::Failed, Some(FailReason::HouseholdFrozen)));
    let placed = family.place(store, &shop.sell(store, &[600]).await, START).await;
    assert_eq!(how(&placed), (OutcomeKind::Failed, Some(FailReason::HouseholdFrozen)));

    // The operator lifts no guardian's freeze, and an entry only the one it names.
    store.set_frozen(family.household, false, START).await.expect("nothing to do");
    let unfreeze = |frozen_at| Entry::Unfreeze(Unfreeze { frozen_at });
    let wrong = family.append(unfreeze(START.plus_ms(1)), None);
    assert_eq!(refused(store.append_log(wrong, START).await), StoreError::NotFrozen);
    let lift = family.append(unfreeze(START), None);
    family.send(store, lift).await.expect("lifted");
    let again = family.append(unfreeze(START), None);
    assert_eq!(refused(store.append_log(again, START).await), StoreError::NotFrozen);

    // A freeze between the nod and the payment.
    let row = family.approved(store, &shop.sell(store, &[600]).await, START).await;
    store.freeze(family.household, family.guardian, START.plus_ms(1)).await.expect("frozen");
    let ended = store.pay(payment(&row, START), START.plus_ms(1)).await.expect("taken in");
    assert_eq!(how(&ended), (OutcomeKind::Failed, Some(FailReason::HouseholdFrozen)));
    assert_eq!(family.wallet(store).await, (2_000, 0));
}
