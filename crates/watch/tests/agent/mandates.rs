//! Orders that a guardian's standing rule decides: the watch checks every word of it.

use crate::world::World;
use nodpay_core::*;
use nodpay_testkit::{cny, some_digest};
use nodpay_watch::view::{EndKind, Ending, Notice, Screen, UserAction};

/// A watch whose order waits, in a household that has the rule.
fn waiting(bend: impl FnOnce(&mut Mandate)) -> (World, Digest) {
    let mut world = World::waiting();
    let mut rule = world.service.cast.snacks();
    bend(&mut rule);
    let entry = world.service.rule(rule);
    world.settle();
    (world, entry)
}

fn ending(world: &World) -> Ending {
    let Screen::Ended(ending) = world.screen() else { panic!("not ended: {:?}", world.screen()) };
    ending
}

/// Leaves the ended order and waits with the next one.
fn next(world: &mut World, number: u8) -> usize {
    world.user(UserAction::Done);
    world.service.bills = vec![world.service.cast.bill(number)];
    world.run_until(|world| matches!(world.screen(), Screen::Waiting { .. }));
    world.settle();
    world.service.orders.len() - 1
}

#[test]
fn what_a_rule_allows_is_paid_without_a_nod() {
    let (mut world, entry) = waiting(|_| {});
    world.service.allow(0, entry);
    world.settle();
    let order = &world.service.orders[0];
    let payment = order.payment.as_ref().expect("it was paid");
    assert_eq!((payment.mandate, payment.decision, payment.total), (Some(entry), None, cny(3650)));
    let (shown, name) = (ending(&world), world.service.cast.snacks().name.to_string());
    assert_eq!((shown.kind, shown.guardian.as_deref()), (EndKind::Paid, Some("妈妈")));
    assert_eq!(shown.rule.as_ref(), Some(&name));
    assert_eq!(order.result.as_ref().map(|result| result.seen), Some(OutcomeKind::Paid));
    let by_rule = world.screens.iter().any(|screen| {
        matches!(screen, Screen::Paying { rule, guardian: Some(who), .. } if rule.as_ref() == Some(&name) && who == "妈妈")
    });
    assert!(by_rule, "the wearer sees whose rule it is, and which");
    world.reboot();
    assert_eq!(ending(&world).rule, Some(name), "also after a reboot");
}

#[test]
fn a_payment_under_a_rule_outlives_a_reboot() {
    let (mut world, entry) = waiting(|_| {});
    world.swallow = Some("/payment");
    world.service.allow(0, entry);
    world.settle();
    assert!(matches!(world.screen(), Screen::Paying { rule: Some(_), .. }), "{:?}", world.screen());
    world.reboot();
    world.settle();
    assert!(matches!(world.screen(), Screen::Paying { rule: Some(_), .. }), "{:?}", world.screen());
    world.swallow = None;
    world.run_until(|world| matches!(world.screen(), Screen::Ended(_)));
    assert_eq!((ending(&world).kind, world.service.seen_payments.len()), (EndKind::Paid, 1));
}

#[test]
fn a_rule_that_came_with_the_order_is_asked_for() {
    let mut world = World::waiting();
    // The event of the entry got lost.
    let rule = world.service.cast.snacks();
    let entry = world.service.rule(rule);
    world.service.events.pop();
    world.service.allow(0, entry);
    world.settle();
    assert_eq!(ending(&world).kind, EndKind::Paid);
}

#[test]
fn the_watch_pays_nothing_that_the_rule_does_not_say() {
    type Bend = fn(&mut Mandate);
    let bent: [Bend; 6] = [
        |rule| rule.approve = Some(cny(3649)),
        |rule| rule.shops = Some(Choice::Only(vec![MerchantId::from_bytes([9; 16])])),
        |rule| rule.categories = Some(Choice::Never(vec![Mcc::from_digits("5411").expect("a code")])),
        |rule| rule.windows[0].from = 17 * 60,
        |rule| rule.per_payment = Some(cny(100)),
        |rule| rule.approve = None,
    ];
    for (index, bend) in bent.into_iter().enumerate() {
        let (mut world, entry) = waiting(bend);
        world.service.allow(0, entry);
        world.settle();
        assert!(world.service.seen_payments.is_empty(), "case {index}");
        assert_eq!(ending(&world).reason, Some(Notice::NotGenuine), "case {index}");
    }
    // An entry that is no rule, and one that nobody signed.
    for signed in [true, false] {
        let (mut world, _) = waiting(|_| {});
        world.service.append(world.service.cast.next_entry(Entry::EndMandate(world.service.cast.snacks().mandate)));
        let entry = if signed { world.service.cast.book().head() } else { some_digest(9) };
        world.service.allow(0, entry);
        world.settle();
        assert!(world.service.seen_payments.is_empty());
        assert_eq!(ending(&world).reason, Some(Notice::NotGenuine));
    }
}

#[test]
fn a_rule_that_was_ended_lets_nothing_be_paid() {
    let (mut world, entry) = waiting(|_| {});
    world.service.append(world.service.cast.next_entry(Entry::EndMandate(world.service.cast.snacks().mandate)));
    world.settle();
    world.service.allow(0, entry);
    world.settle();
    assert!(world.service.seen_payments.is_empty());
    assert_eq!(ending(&world).reason, Some(Notice::RuleOver));
    let cancel = world.service.orders[0].cancel.as_ref().expect("taken back");
    assert_eq!(cancel.reason, CancelReason::NotGenuine);
}

/// A service that forgets what was spent: the watch counts for itself, over a reboot.
#[test]
fn the_watch_keeps_to_the_caps_by_its_own_count() {
    let (mut world, entry) = waiting(|rule| {
        rule.per_day = Some(cny(10_000));
        rule.per_week = Some(cny(8_000));
    });
    world.service.balance = 100_000;
    world.service.allow(0, entry);
    world.settle();
    for number in 2..=3 {
        let index = next(&mut world, number);
        world.reboot();
        world.settle();
        world.service.allow(index, entry);
        world.settle();
        let paid = number == 2;
        assert_eq!(world.service.orders[index].payment.is_some(), paid, "order {number}");
        assert_eq!(ending(&world).kind, if paid { EndKind::Paid } else { EndKind::Failed });
    }
    assert_eq!(ending(&world).reason, Some(Notice::RuleOver));
    // The guardian may go beyond it.
    let index = next(&mut world, 4);
    world.service.decide(index, &crate::world::Plan::Approve { struck: vec![] });
    world.settle();
    assert_eq!(ending(&world).kind, EndKind::Paid);
}

#[test]
fn a_refusal_of_a_rule_says_why_and_must_be_true() {
    let (mut world, entry) = waiting(|rule| rule.windows[0].from = 17 * 60);
    world.service.rule_out(0, entry, Why::Hour);
    world.settle();
    let shown = ending(&world);
    assert_eq!((shown.kind, shown.guardian.as_deref()), (EndKind::Refused, Some("妈妈")));
    assert_eq!(shown.reason, Some(Notice::Rule(Why::Hour)));
    assert_eq!(shown.rule, Some(world.service.cast.snacks().name.to_string()));
    assert_eq!(world.service.orders[0].result.as_ref().map(|result| result.seen), Some(OutcomeKind::Refused));
    // What was spent is the service's word; what the rule does not have is nobody's.
    let (mut world, entry) = waiting(|_| {});
    world.service.rule_out(0, entry, Why::OverDay);
    world.settle();
    assert_eq!(ending(&world).reason, Some(Notice::Rule(Why::OverDay)));
    for why in [Why::Hour, Why::OverMonth, Why::Shop] {
        let (mut world, entry) = waiting(|_| {});
        world.service.rule_out(0, entry, why);
        world.settle();
        assert!(matches!(world.screen(), Screen::Waiting { .. }), "{why:?}: {:?}", world.screen());
        assert_eq!(world.service.orders[0].result, None, "nobody countersigns it");
    }
}

#[test]
fn a_looser_rule_is_told() {
    let mut world = World::paired();
    let told = |world: &World| {
        let Screen::Home { notice, .. } = world.screen() else { panic!("{:?}", world.screen()) };
        notice
    };
    let rule = world.service.cast.snacks();
    world.service.rule(Mandate { approve: None, ..rule.clone() });
    world.settle();
    assert_eq!(told(&world), None, "it only refuses");
    world.service.rule(Mandate { version: 2, ..rule.clone() });
    world.settle();
    assert_eq!(told(&world), Some(Notice::RuleLooser { name: "零食 snacks".to_owned() }));
    world.user(UserAction::Done);
    world.service.rule(Mandate { version: 3, per_day: Some(cny(1)), ..rule.clone() });
    world.settle();
    assert_eq!(told(&world), None);
    world.service.append(world.service.cast.next_entry(Entry::EndMandate(rule.mandate)));
    world.settle();
    assert_eq!(told(&world), Some(Notice::RuleLooser { name: "零食 snacks".to_owned() }), "it refused");
}
