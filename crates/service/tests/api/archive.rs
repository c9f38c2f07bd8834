//! Taking everything along: what the archive holds, and that each purchase in it can be checked without us.

use std::io::{Cursor, Read as _};

use nodpay_core::{Every, ScheduleId, Text, TransferId, Verdict};
use nodpay_protocol::verify_evidence;
use nodpay_store::{NewSchedule, Refund, TopUp};
use nodpay_testkit::{Cast, cny};
use serde_json::{Value, json};
use zip::ZipArchive;

use crate::app::{Household, TestApp};

pub(crate) fn archive(app: &TestApp, household: &Household) -> ZipArchive<Cursor<Vec<u8>>> {
    let request = ureq::get(format!("{}/api/guardian/archive", app.base)).header("cookie", &household.cookie);
    let mut answer = request.call().expect("an archive");
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    assert_eq!(header("content-type").as_deref(), Some("application/zip"));
    assert!(header("content-disposition").is_some_and(|name| name.ends_with(".zip\"")));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    ZipArchive::new(Cursor::new(answer.body_mut().read_to_vec().expect("all of it"))).expect("a ZIP file")
}

fn file(archive: &mut ZipArchive<Cursor<Vec<u8>>>, name: &str) -> String {
    let mut text = String::new();
    archive.by_name(name).expect(name).read_to_string(&mut text).expect("a text");
    text
}

#[test]
fn everything_of_a_household_is_in_one_file_that_others_can_check() {
    let (app, household) = TestApp::furnished();
    app.add_household(Cast::new(1), 100);
    let cast = &household.cast;
    let (bill, order) = app.ordered(&household, 1);
    let decision = app.approve(&household, &order, &bill);
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    let (other, refused) = app.ordered(&household, 2);
    let mut no = cast.decision_payload(&refused, &other, None, &[], Verdict::Refuse);
    no.suggest = Some(cast.only(&["1", "2"]));
    app.decide_wire(&household, &refused, &cast.sign_decision(&no)).ok();
    // A part of the purchase comes back, money comes by itself, and the guardian is away.
    let store = app.app.store();
    let (refund, back) = (TransferId::from_bytes([9; 16]), Some(Text::new("坏了").expect("a text")));
    let refund = Refund { merchant: cast.merchant, bill: bill.bill, refund, amount: cny(100), reason: back };
    app.wait(store.refund(refund, app.now())).expect("given back");
    let (schedule, first) = (ScheduleId::from_bytes([3; 16]), app.now().plus_ms(60 * 60 * 1000));
    let new = NewSchedule { household: cast.household, schedule, amount: cny(500), every: Every::Week, first };
    app.wait(store.add_schedule(new)).expect("pocket money");
    let until = app.now().plus_ms(24 * 60 * 60 * 1000);
    app.post("/api/guardian/away", &app.pages(&household.cookie), &json!({ "until": until })).ok();
    // More movements than are held at once.
    for number in 0..250_u8 {
        let transfer = TransferId::from_bytes([number, 0xA7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let top_up = TopUp { household: cast.household, transfer, amount: cny(1) };
        app.wait(app.app.store().top_up(top_up, app.now())).expect("topped up");
    }
    let (_, open) = app.ordered(&household, 3);

    let mut archive = archive(&app, &household);
    let mut names: Vec<String> = archive.file_names().map(|name| name.expect("UTF-8").into_owned()).collect();
    names.sort();
    let order_file = |order: &nodpay_protocol::Verified<nodpay_core::Order>, kind: &str| {
        format!("orders/{}-{}.{kind}.json", nodpay_core::Day::of(app.now()), order.order)
    };
    let mut expected = vec![
        "README.txt".to_owned(),
        "anchor.json".to_owned(),
        "household.json".to_owned(),
        "log.json".to_owned(),
        order_file(&order, "evidence"),
        order_file(&order, "back"),
        order_file(&refused, "evidence"),
        order_file(&open, "open"),
        "statement.csv".to_owned(),
        "statement.json".to_owned(),
    ];
    expected.sort();
    assert_eq!(names, expected);

    let anchor = file(&mut archive, "anchor.json");
    let reports = [&order, &refused].map(|order| {
        let evidence = file(&mut archive, &order_file(order, "evidence"));
        verify_evidence(evidence.as_bytes(), anchor.as_bytes()).expect("genuine")
    });
    assert_eq!(reports.each_ref().map(|report| report.outcome.as_str()), ["paid", "refused"]);
    let suggested = reports[1].story.iter().find(|step| step.what.contains("suggested only 1 × 全麦面包"));
    assert!(suggested.is_some_and(|step| step.at == no.at && step.who.starts_with("guardian")), "{reports:?}");
    let read = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    assert_eq!(read(file(&mut archive, "log.json")), json!(cast.log));
    let about = read(file(&mut archive, "household.json"));
    assert_eq!(about["wearers"][0]["name"]["name"], cast.wearer_name.name.as_str());
    assert_eq!(about["rail"], "wallet");
    assert_eq!(about["card_top_ups"], json!([]));
    let standing =
        json!([{ "schedule": schedule, "amount": cny(500), "every": "week", "first": first, "next": first }]);
    assert_eq!(about["standing"], standing);
    let guardian = cast.passkey.guardian.guardian;
    assert_eq!(about["away"], json!([{ "guardian": guardian, "until": until }]));
    let sessions = about["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(sessions[0]["guardian"], json!(guardian));
    let mut told: Vec<&String> = sessions[0].as_object().expect("an object").keys().collect();
    told.sort();
    assert_eq!(told, ["device", "guardian", "seen", "since"], "nothing that opens it");
    let back = read(file(&mut archive, &order_file(&order, "back")));
    assert_eq!(back["disputes"], json!([]));
    assert_eq!((&back["refunds"][0]["amount"], &back["refunds"][0]["state"]), (&json!(cny(100)), &json!("done")));
    let movements = read(file(&mut archive, "statement.json"));
    let movements = movements.as_array().expect("a list");
    assert_eq!(movements.len(), 253);
    let sum: i64 = movements.iter().map(|one| one["change"].as_i64().expect("a number")).sum();
    assert_eq!(Some(sum), about["posted"].as_i64());
    assert!(movements.iter().any(|one| one["kind"] == "payment" && one["order"] == order.order.to_string()));
    let csv = file(&mut archive, "statement.csv");
    assert_eq!(csv.lines().count(), 254);
    assert!(csv.contains(&format!(",payment,-3650,CNY,\"{}\",{},", cast.certificate.name, order.order)), "{csv}");
    let shown = read(file(&mut archive, &order_file(&open, "open")));
    assert_eq!(shown["state"], "waiting");
}

#[test]
fn an_archive_is_not_asked_for_all_day() {
    let (app, household) = TestApp::furnished();
    let ask = || app.get("/api/guardian/archive", &[("cookie", &household.cookie)]).status;
    let answers: Vec<u16> = (0..7).map(|_| ask()).collect();
    assert_eq!(answers, [200, 200, 200, 200, 200, 200, 429]);
}
