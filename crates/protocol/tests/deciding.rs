//! Notes, suggestions, and orders of a part of a bill: what verifies, what does not, and what the evidence says.

use nodpay_core::{
    Amount, Currency, Decision, Hint, LineId, Order, OutcomeKind, Reduction, SuggestedLine, Suggestion, Text, Verdict,
};
use nodpay_protocol::{verify_decision, verify_evidence, verify_mandate_payment, verify_order, verify_requote};
use nodpay_testkit::{Cast, cny, line_id, minor};

fn ids(ids: &[&str]) -> Vec<LineId> {
    ids.iter().map(|id| line_id(id)).collect()
}

#[test]
fn every_bent_suggestion_is_refused() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    let whole = Suggestion { hint: Some(Hint::One), ..cast.only(&["1", "2", "3", "4", "5"]) };
    let mut twice = cast.only(&["2", "3"]);
    twice.lines.reverse();
    let line =
        |quantity| Suggestion { lines: vec![SuggestedLine { id: line_id("2"), quantity }], ..Suggestion::default() };
    let up_to = |minor_units, currency| Suggestion {
        up_to: Some(Amount::new(minor(minor_units), currency)),
        ..Suggestion::default()
    };
    let cases = [
        (cast.less_milk(), None),
        (cast.only(&["1", "5"]), None),
        (up_to(3_649, Currency::CNY), None),
        (Suggestion::default(), Some("bad-suggestion")),
        (whole, Some("bad-suggestion")),
        (twice, Some("bad-suggestion")),
        (line(0), Some("bad-suggestion")),
        (line(3), Some("bad-suggestion")),
        (up_to(3_650, Currency::CNY), Some("bad-suggestion")),
        (up_to(1, Currency::EUR), Some("bad-suggestion")),
    ];
    for (index, (suggestion, code)) in cases.into_iter().enumerate() {
        let mut refusal = cast.decision_payload(&order, &bill, None, &[], Verdict::Refuse);
        refusal.suggest = Some(suggestion);
        let said = verify_decision(&cast.sign_decision(&refusal), &book, &order, &bill, None, &cast.certificate);
        assert_eq!(said.map_err(|error| error.code()).err(), code, "case {index}");
    }
    let mut approval = cast.decision_payload(&order, &bill, None, &[], Verdict::Approve);
    approval.suggest = Some(cast.less_milk());
    let said = verify_decision(&cast.sign_decision(&approval), &book, &order, &bill, None, &cast.certificate);
    assert_eq!(said.map_err(|error| error.code()).err(), Some("bad-suggestion"), "with an approval");
}

#[test]
fn a_note_goes_with_either_verdict_and_has_its_bounds() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    let order = cast.order(&bill, 1);
    let signed = |verdict, note: &str| {
        let decision = cast.decision_payload(&order, &bill, None, &[], verdict);
        let mut said = serde_json::to_value(&decision).expect("serialises");
        said["reason"] = note.into();
        cast.passkey.assert(nodpay_protocol::AssertionKind::Decision, &said)
    };
    let longest = "好".repeat(nodpay_core::MAX_NOTE_CHARS);
    for verdict in [Verdict::Approve, Verdict::Refuse] {
        let wire = signed(verdict, &longest);
        let (decision, ..) = verify_decision(&wire, &book, &order, &bill, None, &cast.certificate).expect("sound");
        assert_eq!(decision.reason, Text::new(&longest).ok());
        for note in [longest.clone() + "好", "a\u{202E}b".to_owned(), "e\u{301}".to_owned(), String::new()] {
            let said = verify_decision(&signed(verdict, &note), &book, &order, &bill, None, &cast.certificate);
            assert_eq!(said.map_err(|error| error.code()).err(), Some("malformed-payload"), "{note:?}");
        }
    }
}

#[test]
fn an_order_leaves_out_lines_of_its_bill_and_not_all() {
    let cast = Cast::default();
    let (book, bill) = (cast.book(), cast.bill(1));
    let cases = [
        (ids(&["3", "4"]), None),
        (ids(&["4", "3"]), Some("bad-strike")),
        (ids(&["3", "3"]), Some("bad-strike")),
        (ids(&["9"]), Some("line-not-there")),
        (ids(&["1", "2", "3", "4", "5"]), Some("everything-struck")),
    ];
    for (without, code) in cases {
        let order = cast.sign_order(Order { without: without.clone(), ..cast.order_payload(&bill, 1) });
        let said = verify_order(order.wire(), &book, cast.watch, &bill);
        assert_eq!(said.map_err(|error| error.code()).err(), code, "{without:?}");
    }
}

#[test]
fn what_was_not_asked_for_is_not_approved() {
    let cast = Cast::default();
    let book = cast.book();
    let bill = cast.bill(1);
    let again = cast.sign_order(Order { without: ids(&["3", "4"]), ..cast.order_payload(&bill, 1) });
    let approve = |struck: &[&str]| cast.decision_payload(&again, &bill, None, &ids(struck), Verdict::Approve);
    let verified = |decision: &Decision| {
        let said = verify_decision(&cast.sign_decision(decision), &book, &again, &bill, None, &cast.certificate);
        said.map(|(_, terms, _)| terms.expect("approved").total).map_err(|error| error.code())
    };
    assert_eq!(verified(&approve(&["3", "4"])), Ok(cny(2_450)));
    assert_eq!(verified(&approve(&["3", "4", "5"])), Ok(cny(1_750)), "the guardian takes out more");
    assert_eq!(verified(&approve(&["3"])), Err("bad-strike"));
    assert_eq!(verified(&approve(&[])), Err("bad-strike"));

    // Where only the shop can say what it comes to, the same: its requote must leave them out.
    let bill = cast.sign_bill(cast.bill_payload(2, Reduction::Requote, Vec::new()));
    let again = cast.sign_order(Order { without: ids(&["3", "4"]), ..cast.order_payload(&bill, 2) });
    for (struck, sound) in [(&["3", "4"][..], true), (&["3"][..], false)] {
        let requote = cast.requote(&bill, &ids(struck), 2);
        verify_requote(requote.wire(), &cast.certificate, &bill).expect("a requote");
        let decision = cast.decision_payload(&again, &bill, Some(&requote), &ids(struck), Verdict::Approve);
        let said =
            verify_decision(&cast.sign_decision(&decision), &book, &again, &bill, Some(&requote), &cast.certificate);
        assert_eq!(said.is_ok(), sound, "{struck:?}");
    }
}

#[test]
fn a_rule_never_pays_a_part_of_a_bill() {
    let mut cast = Cast::default();
    cast.append(nodpay_core::Entry::SetMandate(Box::new(cast.snacks())));
    let bill = cast.bill(1);
    let pays = |without: Vec<LineId>| {
        let order = cast.sign_order(Order { without, ..cast.order_payload(&bill, 1) });
        let story = cast.mandate_story(bill.clone(), order.clone(), None);
        let payment = story.payment.expect("paid");
        let said = verify_mandate_payment(payment.wire(), &cast.book(), &order, &bill, &cast.certificate);
        said.map_err(|error| error.code()).err()
    };
    assert_eq!(pays(Vec::new()), None);
    assert_eq!(pays(ids(&["5"])), Some("outside-mandate"));
}

#[test]
fn evidence_tells_the_suggestion_and_what_came_of_it() {
    let cast = Cast::default();
    let bill = cast.bill(1);
    let told = |story: &nodpay_testkit::Story| {
        let file = cast.evidence(story).to_file().expect("serialises");
        let anchor = cast.anchor().to_file().expect("serialises");
        verify_evidence(file.as_bytes(), anchor.as_bytes()).expect("sound")
    };
    let refused = cast.refused_order(bill.clone(), cast.order(&bill, 1), Some(cast.less_milk()));
    let report = told(&refused);
    assert_eq!(report.outcome, OutcomeKind::Refused);
    let expected =
        "refused and suggested only 1 × 牛奶 Milk 250 ml, \"smaller\", at most 5.00 CNY, saying \"先吃饭 Eat first\"";
    assert_eq!(report.story[2].what, expected);

    let without = cast.only(&["1", "2"]).without(&bill, &[]).expect("whole lines");
    let again = cast.sign_order(Order { without: without.clone(), ..cast.order_payload(&bill, 2) });
    let report = told(&cast.paid_order(bill, again, &without));
    let left = "可乐 Cola, 口香糖 Gum, 铅笔 Pencil";
    assert_eq!(report.story[1].what, format!("ordered it without {left}, 2 s after the right PIN"));
    assert_eq!(report.story[2].what, format!("struck {left} and approved 17.50 CNY"));
    assert_eq!((report.outcome, report.total), (OutcomeKind::Paid, cny(1_750)));
}
