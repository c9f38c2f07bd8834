//! `nodpay demo --headless`: the whole job without a browser. The service and the watch are processes of their own; the
//! till's code is a real picture read by the real reader; the guardian signs with a marked software key.

use std::path::Path;
use std::time::Instant;

use nodpay::parties::{Approval, Basket, Cast, Result, ServiceProcess, WatchOptions, enter, line_id, snack};
use nodpay_core::Text;
use nodpay_protocol::verify_evidence;
use serde_json::{Value, json};

/// How long the order that nobody answers waits, in milliseconds.
const SHORT_ORDER_LIFE_MS: u64 = 1_500;

/// Plays three orders and prints what came out as the last line.
pub(crate) fn run(data: &Path, out: &Path) -> Result<()> {
    let started = Instant::now();
    std::fs::create_dir_all(out)?;
    let program = std::env::current_exe()?;
    let service = ServiceProcess::start(&program, &data.join("service"), "127.0.0.1:0")?;
    let options = WatchOptions::of_program(&program, &data.join("watch"));
    let mut cast = enter(&service.stage, &options, out)?;
    say("The watch is paired.");

    let approved = cast.order_of(snack()?, "approved")?;
    let view = cast.guardian.order(&approved)?;
    cast.guardian.decide(&view, &Approval::Without(vec![line_id("cola")?]))?;
    let approved = end(&mut cast, &approved, "paid")?;

    let refused = cast.order_of(breakfast()?, "refused")?;
    let view = cast.guardian.order(&refused)?;
    cast.guardian.decide(&view, &Approval::Refuse(Some(Text::new("Dinner is soon")?)))?;
    let refused = end(&mut cast, &refused, "refused")?;

    // The watch starts again, with less patience: nobody answers this time.
    cast.restart_watch(&WatchOptions { order_life_ms: Some(SHORT_ORDER_LIFE_MS), ..options })?;
    let expired = cast.order_of(breakfast()?, "expired")?;
    let expired = end(&mut cast, &expired, "expired")?;

    let anchor = cast.guardian.anchor().to_file()?;
    std::fs::write(out.join("anchor.json"), &anchor)?;
    let orders = [approved, refused, expired];
    for order in &orders {
        let path = order["evidence"].as_str().ok_or("no evidence")?;
        verify_evidence(&std::fs::read(path)?, anchor.as_bytes())?;
    }
    say("The evidence of all three checks out.");
    println!("{}", json!({ "orders": orders, "wall_ms": started.elapsed().as_millis() }));
    let expected = [("paid", 2950, 1), ("refused", 1750, 0), ("expired", 1750, 0)];
    for (order, (outcome, total, struck)) in orders.iter().zip(expected) {
        let fits = order["outcome"] == outcome
            && order["total"] == total
            && order["struck"].as_array().is_some_and(|lines| lines.len() == struck);
        if !fits {
            return Err(format!("an order should be {outcome} at {total}: {order}").into());
        }
    }
    Ok(())
}

/// Bread and milk, ¥17.50: what the wallet still covers after the first order.
fn breakfast() -> Result<Basket> {
    let mut basket = snack()?;
    basket.lines.truncate(2);
    Ok(basket)
}

/// Waits for the end, keeps the evidence, and says what came out.
fn end(cast: &mut Cast, order: &str, outcome: &str) -> Result<Value> {
    let (evidence, report) = cast.ended(order)?;
    let path = cast.out.join(format!("{outcome}.evidence.json"));
    std::fs::write(&path, &evidence)?;
    say(&format!("Order {order}: {} {}.", report.outcome.as_str(), report.total));
    cast.dismiss()?;
    Ok(json!({
        "outcome": report.outcome,
        "total": report.total.minor(),
        "struck": report.struck,
        "evidence": path,
    }))
}

fn say(line: &str) {
    eprintln!("{line}");
}
