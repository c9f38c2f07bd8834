//! What a standing rule would have done: for a guardian who is about to sign one. Decides nothing and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use nodpay_core::{
    Amount, Answer, Asked, Digest, Every, HouseholdError, Mandate, Minor, OrderId, OrderState, OutcomeKind, Period,
    Text, Timestamp, WatchId, Why, judge,
};
use nodpay_protocol::VerifyError;
use nodpay_store::{MAX_ORDERS_PAGE, OrderRow};
use serde::{Deserialize, Serialize};

use super::compose::state_name;
use crate::App;
use crate::extract::Json as JsonBody;
use crate::households;
use crate::problem::ApiError;
use crate::sessions::{GuardianSession, limit_heavy};
use crate::verified;

/// How far the test looks back.
const LOOK_BACK_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// Orders that one test looks at; the newest ones.
const MAX_TESTED: usize = 300;
/// Orders of all watches that it reads for them.
const MAX_READ: usize = 1_500;
/// Stands for the rule under test, which no entry has made.
const UNDER_TEST: Digest = Digest::from_bytes([0; 32]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestBody {
    mandate: Mandate,
}

#[derive(Serialize)]
pub(super) struct Tested {
    /// Newest first.
    orders: Vec<TestedOrder>,
    /// There were more.
    cut: bool,
}

#[derive(Serialize)]
struct TestedOrder {
    order_id: OrderId,
    at: Timestamp,
    shop: Text<50>,
    total: Amount,
    /// How it really ended.
    was: &'static str,
    /// What the rules would have said.
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
    /// Whose answer it is.
    rule: Text<30>,
}

/// What was spent by period, of a watch or of all of them.
#[derive(Default)]
struct Sums(BTreeMap<Period, Minor>);

impl Sums {
    fn of(&self, period: Period) -> Minor {
        self.0.get(&period).copied().unwrap_or(Minor::ZERO)
    }

    /// Counts once in each of the periods.
    fn add(&mut self, periods: impl Iterator<Item = Period>, paid: Amount) {
        for period in periods.collect::<BTreeSet<_>>() {
            let sum = self.0.entry(period).or_insert(Minor::ZERO);
            *sum = sum.plus(paid.units()).unwrap_or(Minor::MAX);
        }
    }
}

/// Judges the orders of the last 31 days by the rule, beside the rules of its watch and the household's caps that hold now: as if
/// each approved order had been paid, each refused one not, and the guardian had decided the others as they did. What the other
/// watches paid counts as it was.
pub(super) async fn test(
    State(app): State<App>,
    session: GuardianSession,
    JsonBody(body): JsonBody<TestBody>,
) -> Result<Json<Tested>, ApiError> {
    limit_heavy(&app, session.household.as_bytes())?;
    let (now, mandate) = (app.now(), body.mandate);
    let book = households::book(&app, session.household).await?;
    book.enrolled(mandate.watch)?;
    mandate.check(now).map_err(|error| VerifyError::Household(HouseholdError::Mandate(error)))?;
    let (rows, cut) = recent(&app, &session, mandate.watch, now.plus_ms(-LOOK_BACK_MS)).await?;
    let others = book.mandates().filter(|standing| standing.mandate.mandate != mandate.mandate);
    let rules: Vec<(&Mandate, Digest)> =
        others.map(|standing| standing.rule()).chain([(&mandate, UNDER_TEST)]).collect();
    let house = book.house_rules(u64::MAX);
    let in_house =
        |at: Timestamp| house.caps.into_iter().flat_map(move |caps| Every::ALL.map(|every| caps.period(every, at)));
    let (mut of_watch, mut of_house) = (Sums::default(), Sums::default());
    let mut orders = Vec::new();
    for row in rows.into_iter().rev() {
        let was_paid = row.state == OrderState::Ended { outcome: OutcomeKind::Paid };
        if row.watch != mandate.watch {
            if was_paid {
                of_house.add(in_house(row.received), row.total);
            }
            continue;
        }
        let known = verified::order(&app, &book, &row)?;
        let certificate = verified::certificate(&app, &row.merchant_certificate)?;
        let asked = Asked::new(&known.order, &known.bill, &certificate);
        let Some(said) = judge(rules.iter().copied(), &asked, |period| of_watch.of(period)) else { continue };
        let said = house.bound(said, &asked, |period| of_house.of(period));
        let paid = match said.answer {
            Answer::Approve => Some(asked.total),
            Answer::Ask(_) => was_paid.then_some(row.total),
            Answer::Refuse(_) => None,
        };
        if let Some(paid) = paid {
            let own = rules.iter().filter(|(rule, _)| rule.is_for(&asked));
            of_watch.add(own.flat_map(|(rule, _)| Every::ALL.map(|every| rule.period(every, asked.at))), paid);
            of_house.add(in_house(asked.at), paid);
        }
        let rule = rules.iter().find(|(_, entry)| *entry == said.entry).map_or(&mandate, |(rule, _)| *rule);
        orders.push(TestedOrder {
            order_id: row.order,
            at: asked.at,
            shop: certificate.name.clone(),
            total: asked.total,
            was: state_name(&row.state),
            answer: said.answer.as_str(),
            why: said.answer.why(),
            rule: rule.name.clone(),
        });
    }
    orders.reverse();
    Ok(Json(Tested { orders, cut }))
}

/// The household's orders since `from`, newest first, and whether there were more than are looked at: of this watch, or of all.
async fn recent(
    app: &App,
    session: &GuardianSession,
    watch: WatchId,
    from: Timestamp,
) -> Result<(Vec<OrderRow>, bool), ApiError> {
    let (mut found, mut tested) = (Vec::new(), 0);
    let mut before = None;
    loop {
        let page = app.store().orders(session.household, before, MAX_ORDERS_PAGE).await?;
        let Some(last) = page.last() else { return Ok((found, false)) };
        before = Some(last.order);
        let is_over = last.received < from;
        for row in page.into_iter().filter(|row| row.received >= from) {
            tested += usize::from(row.watch == watch);
            if tested > MAX_TESTED || found.len() == MAX_READ {
                return Ok((found, true));
            }
            found.push(row);
        }
        if is_over {
            return Ok((found, false));
        }
    }
}
