//! What a standing rule would have done: for a guardian who is about to sign one. Decides nothing and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use nodpay_core::{
    Amount, Answer, Asked, Digest, Every, HouseholdError, Mandate, Minor, OrderId, OrderState, OutcomeKind, Period,
    Text, Timestamp, Why, judge,
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

/// Judges the orders of the last 31 days by the rule, beside the rules of its watch that hold now: as if each approved order
/// had been paid, each refused one not, and the guardian had decided the others as they did.
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
    let (rows, cut) = recent(&app, &session, &mandate, now.plus_ms(-LOOK_BACK_MS)).await?;
    let others = book.mandates().filter(|standing| standing.mandate.mandate != mandate.mandate);
    let rules: Vec<(&Mandate, Digest)> =
        others.map(|standing| standing.rule()).chain([(&mandate, UNDER_TEST)]).collect();
    let mut spent: BTreeMap<Period, Minor> = BTreeMap::new();
    let mut orders = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let known = verified::order(&app, &book, &row)?;
        let certificate = verified::certificate(&app, &row.merchant_certificate)?;
        let asked = Asked::new(&known.order, &known.bill, &certificate);
        let of = |period: Period| spent.get(&period).copied().unwrap_or(Minor::ZERO);
        let Some(said) = judge(rules.iter().copied(), &asked, of) else { continue };
        // Of the household's caps only what this one order says: its other watches are not looked at.
        let said = book.house_rules(u64::MAX).bound(said, &asked, |_| Minor::ZERO);
        let paid = match (said.answer, row.state) {
            (Answer::Approve, _) => Some(asked.total),
            (Answer::Ask(_), OrderState::Ended { outcome: OutcomeKind::Paid }) => Some(row.total),
            (Answer::Ask(_) | Answer::Refuse(_), _) => None,
        };
        if let Some(paid) = paid {
            let own = rules.iter().filter(|(rule, _)| rule.is_for(&asked));
            let periods: BTreeSet<Period> =
                own.flat_map(|(rule, _)| Every::ALL.map(|every| rule.period(every, asked.at))).collect();
            for period in periods {
                let sum = spent.entry(period).or_insert(Minor::ZERO);
                *sum = sum.plus(paid.units()).unwrap_or(Minor::MAX);
            }
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

/// The orders of the rule's watch since `from`, newest first, and whether there were more than are looked at.
async fn recent(
    app: &App,
    session: &GuardianSession,
    mandate: &Mandate,
    from: Timestamp,
) -> Result<(Vec<OrderRow>, bool), ApiError> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = app.store().orders(session.household, before, MAX_ORDERS_PAGE).await?;
        let Some(last) = page.last() else { return Ok((found, false)) };
        before = Some(last.order);
        let is_over = last.received < from;
        found.extend(page.into_iter().filter(|row| row.watch == mandate.watch && row.received >= from));
        if found.len() > MAX_TESTED {
            found.truncate(MAX_TESTED);
            return Ok((found, true));
        }
        if is_over {
            return Ok((found, false));
        }
    }
}
