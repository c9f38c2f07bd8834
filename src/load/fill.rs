//! Orders that were paid before anybody looks: whole ones, really signed, through the store's own transactions.

use std::sync::Arc;

use nodpay_core::{Asked, Bill, Order, OutcomeCertificate};
use nodpay_protocol::{Verified, verify_decision, verify_outcome};
use nodpay_store::{Decide, NewBill, Pay, PlaceOrder, ReportResult, Store};

use super::cast::{Household, Shop, in_parallel, message};
use super::drive::STRIKE_EVERY;
use crate::parties::{Result, now};

/// Lets each household pay `each` orders, one after the other, all households at the same time.
pub async fn fill(
    store: &Store,
    shops: &[Arc<Shop>],
    households: &[Arc<Household>],
    certificate: &Verified<OutcomeCertificate>,
    each: usize,
) -> Result<()> {
    let (store, certificate) = (store.clone(), Arc::new(certificate.clone()));
    let (shops, households) = (shops.to_vec(), households.to_vec());
    in_parallel(households.len(), move |number| {
        let (store, certificate) = (store.clone(), Arc::clone(&certificate));
        let (shops, household) = (shops.clone(), households.get(number).map(Arc::clone));
        async move {
            let household = household.ok_or("no household")?;
            for order in 0..each {
                let shop = shops.get((number + order) % shops.len().max(1)).ok_or("no shop")?;
                pay(&store, &household, shop, order % STRIKE_EVERY == 0, &certificate).await?;
            }
            Ok(())
        }
    })
    .await
    .map(|_: Vec<()>| ())
}

async fn pay(
    store: &Store,
    household: &Household,
    shop: &Shop,
    strike: bool,
    certificate: &Verified<OutcomeCertificate>,
) -> Result<()> {
    let bill = shop.bill()?;
    store.create_bill(NewBill { bill: Bill::clone(&bill), message: message(&bill), watch: None }, now()).await?;
    let order = household.order(&bill)?;
    let id = order.order;
    let asked = Asked::new(&order, &bill, shop.certificate());
    store.place_order(PlaceOrder { order: Order::clone(&order), message: message(&order), asked }, now()).await?;
    let wire = household.decision(&order, &bill, strike)?;
    let (decision, _, counter) = verify_decision(&wire, household.book(), &order, &bill, None, shop.certificate())?;
    let payment = household.payment(&order, &decision)?;
    let message_of = message(&decision);
    store.decide(Decide { order: id, decision: decision.into_payload(), message: message_of, counter }, now()).await?;
    let message_of = message(&payment);
    let paid = store.pay(Pay { order: id, payment: payment.into_payload(), message: message_of }, now()).await?;
    let ended = paid.outcome.ok_or("a payment without an outcome")?;
    let outcome = verify_outcome(&ended.message.wire, certificate, &order)?;
    let result = household.result(&order, &outcome)?;
    let message_of = message(&result);
    store.report_result(ReportResult { order: id, result: result.into_payload(), message: message_of }, now()).await?;
    Ok(())
}
