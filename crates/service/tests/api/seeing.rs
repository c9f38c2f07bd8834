//! Looking back: history by filters, a month as a page, and files that other programs read.

use std::process::Command;

use nodpay_core::{Entry, HouseCaps, HouseRules, Mandate, Reduction, Text};
use nodpay_protocol::AssertionKind;
use nodpay_testkit::cny;
use serde_json::{Value, json};

use crate::app::{Answer, Household, TestApp};
use crate::python::{environment, run};

/// The shop sells one thing, the watch pays it after a nod. Gives the order's id.
fn bought(app: &TestApp, household: &Household, number: u8, item: &str, minor: i64) -> String {
    let cast = &household.cast;
    let mut bill = cast.bill_payload(number, Reduction::LinesSum, Vec::new());
    bill.lines.truncate(1);
    bill.lines[0].name = Text::new(item).expect("a name");
    (bill.lines[0].unit_price, bill.lines[0].amount) = (nodpay_testkit::minor(minor), nodpay_testkit::minor(minor));
    nodpay_testkit::retotal(&mut bill);
    let (bill, order) = app.ordered_bill(household, cast.sign_bill(bill), number);
    let decision = app.approve(household, &order, &bill);
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    order.order.to_string()
}

/// A pen for 12.00, a formula for 5.50, something refused; 2.00 of the pen came back two days later.
pub(crate) fn a_week_of_shopping() -> (TestApp, Household, [String; 3]) {
    let (app, household) = TestApp::furnished();
    let pen = bought(&app, &household, 1, "Blue <Pen> & Ink", 1_200);
    let formula = bought(&app, &household, 2, "=1+1", 550);
    let (bill, order) = app.ordered(&household, 3);
    let cast = &household.cast;
    let refusal = cast.decision_payload(&order, &bill, None, &[], nodpay_core::Verdict::Refuse);
    app.decide_wire(&household, &order, &cast.sign_decision(&refusal)).ok();
    app.clock.advance_ms(2 * 24 * 60 * 60 * 1000);
    let household = Household { cookie: crate::app::login(&app, cast).cookie.expect("a session"), ..household };
    let path = format!("/api/merchant/bills/{}/refunds", household.cast.bill(1).bill);
    let refund = json!({ "refund": "AQEBAQEBAQEBAQEBAQEBAQ", "amount": cny(200), "reason": "@home" });
    app.merchant_post(&path, &refund).ok();
    (app, household, [pen, formula, order.order.to_string()])
}

pub(crate) fn found(app: &TestApp, household: &Household, query: &str) -> Vec<String> {
    let answer = app.guardian_get(household, &format!("/api/guardian/history?{query}")).ok();
    let orders = answer["orders"].as_array().expect("orders");
    orders.iter().map(|order| order["order_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn orders_are_found_by_words_and_filters() {
    let (app, household, [pen, formula, refused]) = a_week_of_shopping();
    let find = |query: &str| found(&app, &household, query);
    let all = [refused.clone(), formula.clone(), pen.clone()];
    assert_eq!(find(""), all);
    assert_eq!((find("text=blue%20pen"), find("text=BLUE%20%3Cpen%3E")), (vec![], vec![pen.clone()]));
    assert_eq!(find("text=sunny"), all, "by the shop's name");
    assert_eq!((find("category=food"), find("category=toys")), (all.to_vec(), vec![]));
    assert_eq!((find("outcome=refused"), find("outcome=open")), (vec![refused.clone()], vec![]));
    assert_eq!(find("outcome=refunded"), std::slice::from_ref(&pen));
    assert_eq!(find("outcome=paid&text=%3D1"), std::slice::from_ref(&formula));
    let cast = &household.cast;
    assert_eq!(find(&format!("wearer={}&shop={}", cast.wearer, cast.merchant)), all);
    assert_eq!(find("wearer=AAAAAAAAAAAAAAAAAAAAAA"), Vec::<String>::new());
    assert_eq!((find("from=2026-11-22&to=2026-11-22"), find("to=2026-11-21")), (all.to_vec(), vec![]));
    // It was 08:00 UTC: still the day before in Hawaii, and on Christmas Island not the day after.
    assert_eq!(find("from=2026-11-21&to=2026-11-21&tz=Pacific/Honolulu"), all);
    assert_eq!(find("from=2026-11-23&tz=Pacific/Kiritimati"), Vec::<String>::new());
    let page = app.guardian_get(&household, &format!("/api/guardian/history?before={formula}")).ok();
    assert_eq!((&page["orders"][0]["order_id"], page["next"].is_null()), (&json!(pen), true));
    assert_eq!(page["orders"][0]["refunded"], json!(cny(200)), "the refund is where the purchase is");

    let shops = app.guardian_get(&household, "/api/guardian/shops").ok();
    assert_eq!(shops["certificates"], json!([cast.certificate.wire()]));

    let get = |query: &str| app.guardian_get(&household, &format!("/api/guardian/history?{query}"));
    get("tz=Mars/Olympus").refused(400, "time-zone-unknown");
    let long = "x".repeat(61);
    for wrong in [
        "from=yesterday",
        "from=2026-11-02&to=2026-11-01",
        "category=weapons",
        "outcome=lost",
        "colour=red",
        &format!("text={long}"),
    ] {
        get(wrong).refused(400, "malformed-request");
    }
    get("before=AAAAAAAAAAAAAAAAAAAAAA").refused(404, "order-unknown");
}

#[test]
fn a_spreadsheet_opens_the_file_and_runs_nothing_in_it() {
    let (app, household, [pen, formula, _]) = a_week_of_shopping();
    let export = |query: &str| app.guardian_get(&household, &format!("/api/guardian/export?format=csv&{query}"));
    let file = export("tz=Asia/Shanghai");
    assert_eq!((file.status, file.content_type.as_str()), (200, "text/csv; charset=utf-8"));
    let text = file.text.strip_prefix('\u{feff}').expect("a byte order mark");
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    let [head, refund, second, first, paid_in] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(*head, "date,time,kind,wearer,shop,category,items,amount,currency,reason,order,transfer,reference");
    let (name, shop) = ("\"小明 Ming\"", "\"阳光小卖部 Sunny Shop\"");
    let has = |line: &str, parts: &[&str]| parts.iter().all(|part| line.contains(part));
    let back = format!(",refund,{name},{shop},food,,2.00,CNY,\"'@home\",{pen},AQEBAQEBAQEBAQEBAQEBAQ");
    assert!(has(refund, &[&back]) && refund.starts_with("2026-11-2"), "{refund}");
    assert!(has(second, &[&format!(",purchase,{name},{shop},food,\"'=1+1\",-5.50,CNY,,{formula},")]), "{second}");
    assert!(has(first, &[&format!(",purchase,{name},{shop},food,\"Blue <Pen> & Ink\",-12.00,CNY,,{pen},")]), "{first}");
    assert!(has(paid_in, &[",paid-in,,,,,200.00,CNY,,,"]), "{paid_in}");
    let of_wearer = export(&format!("wearer={}", household.cast.wearer)).text;
    assert_eq!(of_wearer.lines().count(), 4, "what is in the wallet is everybody's");
    assert_eq!(export("to=2026-01-01").text.lines().count(), 1);
    export("tz=nowhere").refused(400, "time-zone-unknown");
    app.guardian_get(&household, "/api/guardian/export?format=pdf").refused(400, "malformed-request");
    app.get("/api/guardian/export?format=csv", &[]).refused(401, "not-logged-in");
}

#[test]
fn household_books_read_the_file() {
    let (app, household, [pen, ..]) = a_week_of_shopping();
    let file = app.guardian_get(&household, "/api/guardian/export?format=ofx&from=2026-11-01&to=2026-12-31");
    assert_eq!((file.status, file.content_type.as_str()), (200, "application/x-ofx; charset=utf-8"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file.ofx");
    std::fs::write(&path, &file.text).expect("written");
    // `convert` checks every element against the specification.
    let script = "import json, sys; from ofxtools.Parser import OFXTree; tree = OFXTree(); tree.parse(sys.argv[1]); \
        statement = tree.convert().statements[0]; \
        json.dump({'account': statement.account.acctid, 'currency': statement.curdef, 'balance': str(statement.ledgerbal.balamt), \
        'moves': [[one.trntype, str(one.trnamt), one.fitid, one.name, one.memo] for one in statement.transactions]}, open(sys.argv[2], 'w'))";
    let said = folder.path().join("said.json");
    let mut python = Command::new(environment().join("bin/python"));
    run(python.args(["-c", script]).arg(&path).arg(&said), "ofxtools reads it");
    let said: Value = serde_json::from_slice(&std::fs::read(&said).expect("read")).expect("JSON");
    let account = household.cast.household.to_string();
    assert_eq!(
        (&said["account"], &said["currency"], &said["balance"]),
        (&json!(account), &json!("CNY"), &json!("184.50"))
    );
    let moves = said["moves"].as_array().expect("movements");
    let shop = "阳光小卖部 Sunny Shop";
    assert_eq!(moves.len(), 4, "{said}");
    assert_eq!(moves[0], json!(["CREDIT", "2.00", "AQEBAQEBAQEBAQEBAQEBAQ", shop, "小明 Ming: @home"]));
    assert_eq!((&moves[1][0], &moves[1][1], &moves[1][4]), (&json!("POS"), &json!("-5.50"), &json!("小明 Ming: =1+1")));
    assert_eq!((&moves[2][1], &moves[2][4]), (&json!("-12.00"), &json!("小明 Ming: Blue <Pen> & Ink")));
    assert_eq!((&moves[3][0], &moves[3][1], &moves[3][3]), (&json!("DEP"), &json!("200.00"), &json!("paid-in")));
    // The same movement has the same name in every file, and it is the payment's own.
    let evidence = app.guardian_get(&household, &format!("/api/guardian/orders/{pen}")).ok();
    assert!(evidence["outcome"].is_string());
    let csv = app.guardian_get(&household, "/api/guardian/export?format=csv").text;
    assert!(moves.iter().all(|one| csv.contains(one[2].as_str().expect("an id"))), "{csv}");
}

/// The guardian signs and sends the next entry of the log.
fn sign(app: &TestApp, household: &mut Household, entry: Entry) {
    let entry = household.cast.next_entry_by(&household.cast.passkey, app.now(), entry);
    let entry = household.cast.passkey.assert(AssertionKind::Log, &entry);
    app.post("/api/guardian/log", &app.pages(&household.cookie), &json!({ "entry": entry })).ok();
    household.cast.log.push(entry);
}

fn month_of(app: &TestApp, household: &Household, query: &str) -> Answer {
    app.guardian_get(household, &format!("/app/month/{query}"))
}

#[test]
fn a_month_is_a_page_without_scripts() {
    let (app, mut household, _) = a_week_of_shopping();
    let rule = Mandate { per_month: Some(cny(10_000)), per_week: Some(cny(1_500)), ..household.cast.snacks() };
    sign(&app, &mut household, Entry::SetMandate(Box::new(rule)));
    let month = |query: &str| month_of(&app, &household, query);

    let page = month("2026-11?lang=en&tz=Asia/Shanghai");
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    for part in [
        "November 2026",
        "¥15.50",
        "2 purchases",
        "-¥2.00",
        "¥200.00",
        "Asia/Shanghai",
        "小明 Ming · 零食 snacks",
        "¥17.50 of ¥100.00",
        "Rules: ¥15.00 a week",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    for chart in ["against", "by-week", "by-category", "by-shop"] {
        let drawn = format!("aria-labelledby=\"{chart}-title\" aria-describedby=\"{chart}-desc\"");
        assert!(page.text.contains(&drawn), "{chart}");
    }
    let count = |what: &str| page.text.matches(what).count();
    assert_eq!((count("<svg class=\"chart\""), count("<table"), count("<desc")), (4, 4, 4));
    for wrong in ["style=", "onclick", "javascript:", "http://", "https://", "<style"] {
        assert!(!page.text.contains(wrong), "{wrong}");
    }
    assert!(page.text.contains("class=\"chart-fill over\""), "the week is over what the rules allow");

    let chinese = month("2026-11?lang=zh").text;
    assert!(
        chinese.contains("lang=\"zh-CN\"") && chinese.contains("2026年11月") && chinese.contains("食品"),
        "{chinese}"
    );
    // The household's caps are over all its watches: they are shown where no child is chosen.
    let whose = format!("2026-11?lang=en&wearer={}", household.cast.wearer);
    let house = |week, month| HouseCaps {
        utc_minutes: 0,
        per_day: None,
        per_week: Some(cny(week)),
        per_month: Some(cny(month)),
    };
    for (caps, in_month, in_week) in [
        (house(1_200, 15_000), "¥17.50 of ¥150.00", "Rules: ¥12.00 a week"),
        (house(9_900, 1_700), "¥17.50 of ¥17.00", "Rules: ¥15.00 a week"),
    ] {
        sign(&app, &mut household, Entry::SetHouseRules(HouseRules { caps: Some(caps), ..HouseRules::default() }));
        let page = month_of(&app, &household, "2026-11?lang=en").text;
        for part in ["All watches together", "¥17.50 of ¥100.00", in_month, in_week] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let page = month_of(&app, &household, &whose).text;
        assert!(!page.contains("All watches together") && page.contains("Rules: ¥15.00 a week"), "{page}");
        let earlier = month_of(&app, &household, "2026-10?lang=en").text;
        assert!(!earlier.contains("All watches together"), "{earlier}");
    }
    let month = |query: &str| month_of(&app, &household, query);
    let nobody = month("2026-11?lang=en&wearer=AAAAAAAAAAAAAAAAAAAAAA").text;
    assert!(nobody.contains("Nothing was bought"), "{nobody}");
    let earlier = month("2026-10?lang=en").text;
    assert!(
        earlier.contains("October 2026")
            && earlier.contains("/app/month/2026-11?lang=en")
            && !earlier.contains("of ¥100")
    );
    month("2026-13").refused(404, "not-found");
    month("2026-11?tz=Mars/Olympus").refused(400, "time-zone-unknown");
    let stranger = app.get("/app/month/2026-11?lang=zh", &[]);
    assert!(stranger.status == 401 && stranger.text.contains("登录后才能查看"), "{}", stranger.text);

    // One tap stops the payments, without scripts either.
    assert!(page.text.contains("<form method=\"post\" action=\"/app/freeze?lang=en\">"), "{}", page.text);
    let stop = |headers: &[(&str, &str)]| {
        app.send("POST", "/app/freeze?lang=zh", headers, "application/x-www-form-urlencoded", b"")
    };
    let nobody = stop(&[("origin", crate::app::ORIGIN)]);
    assert!(nobody.status == 401 && nobody.text.contains("付款可能没有停用"), "{}", nobody.text);
    stop(&[("cookie", household.cookie.as_str())]).refused(403, "foreign-origin");
    assert!(!month("2026-11?lang=zh").text.contains("全部付款已停用"));
    let stopped = stop(&app.pages(&household.cookie));
    assert!(stopped.status == 200 && stopped.text.contains("class=\"login\""), "the app: {}", stopped.text);
    let frozen = month("2026-11?lang=zh").text;
    assert!(frozen.contains("全部付款已停用") && !frozen.contains("<form"), "{frozen}");
}
