//! Orders: one household's watch and phone play one from the bill to both sides' outcome; many households play many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nodpay_core::{Amount, Bill, Digest, HouseholdId, Order, OrderId, OutcomeCertificate, OutcomeKind, PaymentId};
use nodpay_protocol::{Verified, verify_decision, verify_outcome};
use serde::Deserialize;

use super::cast::{Household, Shop, Stock};
use super::wire::{Ear, Line, Reach};
use crate::parties::Result;

/// Every fourth order is approved without one of its lines.
pub(super) const STRIKE_EVERY: usize = 4;

/// A payment that the service has answered for: from then on it must never be lost.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    pub household: HouseholdId,
    pub order: OrderId,
    pub payment: PaymentId,
    pub total: Amount,
    pub at: Instant,
}

/// An order that was served to its end.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// From the guardian's tap, or from the order where a rule nods, until the phone hears the outcome. At a steady rate an order that began late counts from
    /// when it was due.
    pub tap_to_paid: Duration,
    /// From the watch's order, or when it was due, until both sides have the outcome.
    pub whole: Duration,
}

/// An outcome whose result the watch has not reported yet.
#[derive(Debug)]
struct Unreported {
    order: Verified<Order>,
    outcome: String,
}

/// One household's watch and phone, connected.
#[derive(Debug)]
pub struct Driver {
    household: Arc<Household>,
    watch: Line,
    phone: Line,
    watch_reach: Reach,
    phone_reach: Reach,
    watch_ear: Ear,
    phone_ear: Ear,
    /// Every payment that was answered for, also of orders that broke off later.
    pub acknowledged: Vec<Acknowledged>,
    unreported: Vec<Unreported>,
}

/// What events to a watch carry.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    decision: Option<&'a str>,
    mandate: Option<Digest>,
    #[serde(borrow)]
    outcome: Option<&'a str>,
}

impl Driver {
    /// Connects a watch and a phone and opens their event streams. They may meet different replicas.
    pub async fn connect(household: Arc<Household>, watch_reach: Reach, phone_reach: Reach) -> Result<Self> {
        let watch_ear = Ear::open(watch_reach.clone(), watch_events(Arc::clone(&household))).await?;
        let phone_ear = Ear::open(phone_reach.clone(), phone_events(Arc::clone(&household))).await?;
        Ok(Self {
            watch: Line::new(watch_reach.clone()),
            phone: Line::new(phone_reach.clone()),
            household,
            watch_reach,
            phone_reach,
            watch_ear,
            phone_ear,
            acknowledged: Vec::new(),
            unreported: Vec::new(),
        })
    }

    /// Where the household has a rule it nods to the order as it comes: order, event to the watch, payment, outcome to both. Else:
    /// order, event to the phone, decision, event to the watch, payment, outcome to both. Signs each message when it is
    /// sent; the watch verifies the decision before it pays, as every watch does.
    pub async fn order(&mut self, shop: &Shop, bill: &Verified<Bill>, strike: bool, due: Instant) -> Result<Served> {
        let household = Arc::clone(&self.household);
        let late = due.elapsed();
        let order = household.order(bill)?;
        let id = order.order;
        let about = id.to_string();
        let orders = format!("/api/watch/{}/orders", household.watch());
        let mut tapped = Instant::now();
        self.watch.send(&self.watch_reach.post(&orders, None, order.wire())).await?.ok()?;
        if household.nods().is_none() {
            self.phone_ear.wait_for("order", &about).await?;
            let decision = household.decision(&order, bill, strike)?;
            let path = format!("/api/guardian/orders/{id}/decision");
            tapped = Instant::now();
            let cookie = Some(household.cookie());
            self.phone.send(&self.phone_reach.post(&path, cookie, &decision)).await?.ok()?;
        }
        let heard = self.watch_ear.wait_for("decision", &about).await?;
        let told: Told<'_> = serde_json::from_str(&heard)?;
        let payment = match (told.decision, told.mandate) {
            (Some(wire), None) => {
                let (decision, ..) = verify_decision(wire, household.book(), &order, bill, None, shop.certificate())?;
                household.payment(&order, &decision)?
            }
            (None, Some(entry)) if household.nods() == Some(entry) => household.payment_by_rule(&order, bill, entry)?,
            _ => return Err("an event without its decision".into()),
        };
        let path = format!("{orders}/{id}/payment");
        self.watch.send(&self.watch_reach.post(&path, None, payment.wire())).await?.ok()?;
        self.acknowledged.push(Acknowledged {
            household: household.household(),
            order: id,
            payment: payment.payment,
            total: payment.total,
            at: Instant::now(),
        });
        let phone_heard = self.phone_ear.wait_for("outcome", &about).await?;
        let tap_to_paid = tapped.elapsed() + late;
        let watch_heard = self.watch_ear.wait_for("outcome", &about).await?;
        let outcome_of = |heard: &str| -> Result<String> {
            let told: Told<'_> = serde_json::from_str(heard)?;
            Ok(told.outcome.ok_or("an event without its outcome")?.to_owned())
        };
        let outcome = outcome_of(&watch_heard)?;
        if outcome != outcome_of(&phone_heard)? {
            return Err(format!("order {id}: watch and phone were told different outcomes").into());
        }
        self.unreported.push(Unreported { order, outcome });
        Ok(Served { tap_to_paid, whole: due.elapsed() })
    }

    /// The watch verifies every outcome it heard since the last time, each of which must be paid, and reports its results.
    pub async fn report(&mut self, certificate: &Verified<OutcomeCertificate>) -> Result<()> {
        for Unreported { order, outcome } in std::mem::take(&mut self.unreported) {
            let outcome = verify_outcome(&outcome, certificate, &order)?;
            if outcome.outcome != OutcomeKind::Paid {
                return Err(format!("order {} ended {}", order.order, outcome.outcome.as_str()).into());
            }
            let result = self.household.result(&order, &outcome)?;
            let path = format!("/api/watch/{}/orders/{}/result", order.watch, order.order);
            self.watch.send(&self.watch_reach.post(&path, None, result.wire())).await?.ok()?;
        }
        Ok(())
    }
}

/// Follows the watch's events, with a fresh proof each time.
pub fn watch_events(household: Arc<Household>) -> impl Fn(&Reach, Option<u64>) -> Result<Vec<u8>> + Send + Sync {
    move |reach, last| {
        let path = format!("/api/watch/{}/events", household.watch());
        Ok(reach.follow(&path, ("dpop", &household.proof("GET", &path)?), last))
    }
}

/// Follows the guardians' events with a session.
pub fn phone_events(household: Arc<Household>) -> impl Fn(&Reach, Option<u64>) -> Result<Vec<u8>> + Send + Sync {
    move |reach, last| Ok(reach.follow("/api/guardian/events", ("cookie", household.cookie()), last))
}

/// How fast orders come.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each household begins its next order when the last one has ended.
    Peak,
    /// So many a second, whether or not earlier ones have ended: an order that finds no free household is late, and its
    /// times count from when it was due.
    Rate(u32),
}

/// What [`run`] did.
#[derive(Debug)]
pub struct Loaded {
    pub drivers: Vec<Driver>,
    pub served: Vec<Served>,
    /// What ended a driver before its time.
    pub errors: Vec<String>,
    /// From the first order's beginning to the last one's end.
    pub elapsed: Duration,
}

/// Lets every driver take bills until `length` is over or no bill is left. A driver ends at its first error.
pub async fn run(drivers: Vec<Driver>, stock: &Arc<Stock>, pace: Pace, length: Duration) -> Loaded {
    let (started, slots) = (Instant::now(), Arc::new(AtomicU32::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for mut driver in drivers {
        let (stock, slots) = (Arc::clone(stock), Arc::clone(&slots));
        tasks.spawn(async move {
            let (mut served, mut error) = (Vec::new(), None);
            loop {
                let due = match pace {
                    Pace::Peak => Instant::now(),
                    Pace::Rate(rate) => {
                        let slot = slots.fetch_add(1, Ordering::Relaxed);
                        let due = started + Duration::from_secs(1) * slot / rate.max(1);
                        tokio::time::sleep_until(due.min(started + length).into()).await;
                        due
                    }
                };
                if due >= started + length {
                    break;
                }
                let Some((number, shop, bill)) = stock.take() else { break };
                match driver.order(shop, bill, number % STRIKE_EVERY == 0, due).await {
                    Ok(times) => served.push(times),
                    Err(what) => {
                        error = Some(what.to_string());
                        break;
                    }
                }
            }
            (driver, served, error)
        });
    }
    let mut loaded = Loaded { drivers: Vec::new(), served: Vec::new(), errors: Vec::new(), elapsed: Duration::ZERO };
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((driver, mut served, error)) => {
                loaded.drivers.push(driver);
                loaded.served.append(&mut served);
                loaded.errors.extend(error);
            }
            Err(error) => loaded.errors.push(error.to_string()),
        }
    }
    loaded.elapsed = started.elapsed();
    loaded
}
