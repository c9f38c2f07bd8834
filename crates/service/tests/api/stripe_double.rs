//! Stripe as far as we use it, and stricter: it knows every parameter by name, wants an idempotency key with every POST and
//! gives the first answer again under it, refuses the same key with other content, and never captures or refunds more than
//! there is. It can lose its answers, before or after doing what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use nodpay_service::rails::stripe::StripeSecret;
use serde_json::{Value, json};

pub(crate) const KEY: &str = "sk_test_double";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_double";
pub(crate) const CUSTOMER: &str = "cus_1";
/// Pays.
pub(crate) const GOOD: &str = "pm_good";
/// Wants the guardian to confirm.
pub(crate) const CONFIRM: &str = "pm_confirm";
/// Where it sends the guardian to confirm.
pub(crate) const CONFIRM_HOST: &str = "hooks.stripe.test";
/// Is declined for want of money.
pub(crate) const POOR: &str = "pm_poor";

/// What happens to one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Does it and never answers.
    SilentAfter,
    /// Does nothing and answers 503.
    Down,
    /// Does nothing and answers 429.
    Busy,
    /// Does it, and answers 500 for ever under that key.
    BrokenAfter,
}

#[derive(Default)]
struct World {
    intents: BTreeMap<String, Intent>,
    refunds: Vec<Value>,
    /// Refunds are made, but the bank does not take them.
    refunds_fail: bool,
    dispute: Option<Value>,
    /// By idempotency key: what was asked, and the answer.
    answered: BTreeMap<String, (String, u16, Value)>,
    faults: VecDeque<Fault>,
    /// Method and path of every request that got past the key, in order.
    requests: Vec<String>,
}

#[derive(Clone)]
struct Intent {
    amount: i64,
    currency: String,
    customer: String,
    method: String,
    /// It is captured as soon as it is confirmed.
    automatic: bool,
    metadata: Option<String>,
    status: &'static str,
    received: i64,
    refunded: i64,
    error: Option<Value>,
    return_url: Option<String>,
}

type Answer = (u16, Value);

/// A handle of the running double.
#[derive(Clone)]
pub(crate) struct Double {
    world: Arc<Mutex<World>>,
    pub(crate) address: String,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let double = Self { world: Arc::default(), address };
        let routes = Router::new()
            .route("/v1/payment_intents", post(create).get(list))
            .route("/v1/payment_intents/{id}", get(retrieve))
            .route("/v1/payment_intents/{id}/{step}", post(act))
            .route("/v1/disputes/{id}", get(dispute))
            .route("/v1/refunds", post(refund).get(refunds))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        double
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic in here")
    }

    /// The next POSTs meet these.
    pub(crate) fn fail_next(&self, faults: &[Fault]) {
        self.world().faults.extend(faults);
    }

    pub(crate) fn count(&self, request: &str) -> usize {
        self.world().requests.iter().filter(|known| known.starts_with(request)).count()
    }

    /// Refunds made from now on fail, or do not.
    pub(crate) fn fail_refunds(&self, fail: bool) {
        self.world().refunds_fail = fail;
    }

    /// Status, captured and refunded of every PaymentIntent.
    pub(crate) fn money(&self) -> Vec<(&'static str, i64, i64)> {
        self.world().intents.values().map(|intent| (intent.status, intent.received, intent.refunded)).collect()
    }

    /// The guardian confirms with the bank, or does not.
    pub(crate) fn confirm(&self, yes: bool) {
        let mut world = self.world();
        let intent = world.intents.values_mut().find(|intent| intent.status == "requires_action").expect("one waits");
        (intent.status, intent.received) = match (yes, intent.automatic) {
            (true, true) => ("succeeded", intent.amount),
            (true, false) => ("requires_capture", 0),
            (false, _) => ("requires_payment_method", 0),
        };
        intent.error = (!yes).then(|| json!({"code": "payment_intent_authentication_failure"}));
    }

    /// Where the bank sends the guardian's browser when it is done.
    pub(crate) fn return_url(&self) -> Option<String> {
        self.world().intents.values().find_map(|intent| intent.return_url.clone())
    }

    /// An event about the only PaymentIntent, with its signature header.
    pub(crate) fn event(&self, kind: &str, at_seconds: i64) -> (String, String) {
        let (id, intent) =
            self.world().intents.iter().next().map(|(id, intent)| (id.clone(), intent.clone())).expect("one");
        let body = json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": intent.to_json(&id)}});
        let body = body.to_string();
        let header = sign(WEBHOOK_SECRET, at_seconds, body.as_bytes());
        (body, header)
    }

    /// The card's holder disputes the only PaymentIntent, or the dispute goes on; `moved` left our account for it.
    pub(crate) fn dispute(&self, status: &str, moved: &[i64]) {
        let mut world = self.world();
        let (id, intent) = world.intents.iter().next().expect("one");
        let moved: Vec<Value> =
            moved.iter().map(|amount| json!({"object": "balance_transaction", "amount": amount})).collect();
        world.dispute = Some(json!({
            "id": "du_1", "object": "dispute", "amount": intent.received, "currency": intent.currency, "status": status,
            "payment_intent": id, "balance_transactions": moved, "metadata": {}, "reason": "fraudulent",
        }));
    }

    /// An event about the dispute, with its signature header.
    pub(crate) fn dispute_event(&self, kind: &str, at_seconds: i64) -> (String, String) {
        let object = self.world().dispute.clone().expect("a dispute");
        let body = json!({"id": "evt_2", "object": "event", "type": kind, "data": {"object": object}}).to_string();
        let header = sign(WEBHOOK_SECRET, at_seconds, body.as_bytes());
        (body, header)
    }

    async fn answer(
        &self,
        headers: &HeaderMap,
        path: String,
        body: &Bytes,
        does: impl FnOnce(&mut World, &Params) -> Answer,
    ) -> Response {
        if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {KEY}")) {
            return respond((401, error("invalid_request_error", "unauthorized")));
        }
        let Some(key) = headers.get("idempotency-key").and_then(|value| value.to_str().ok()) else {
            return respond((400, error("idempotency_error", "no_key")));
        };
        let asked = format!("POST {path}?{}", String::from_utf8_lossy(body));
        let silent = {
            let mut world = self.world();
            world.requests.push(asked.clone());
            let fault = world.faults.pop_front();
            match fault {
                Some(Fault::Down) => return respond((503, error("api_error", "down"))),
                Some(Fault::Busy) => return respond((429, error("invalid_request_error", "rate_limit"))),
                Some(Fault::SilentAfter | Fault::BrokenAfter) | None => {}
            }
            let known = world.answered.get(key).cloned();
            match known {
                Some((before, ..)) if before != asked => {
                    return respond((400, error("idempotency_error", "other_content")));
                }
                Some((_, status, value)) => return respond((status, value)),
                None => {}
            }
            let (status, value) = does(&mut world, &Params::read(body));
            let (status, value) =
                if fault == Some(Fault::BrokenAfter) { (500, error("api_error", "broken")) } else { (status, value) };
            world.answered.insert(key.to_owned(), (asked, status, value.clone()));
            if fault != Some(Fault::SilentAfter) {
                return respond((status, value));
            }
            true
        };
        assert!(silent, "all others have answered");
        std::future::pending().await
    }
}

/// As Stripe signs.
pub(crate) fn sign(secret: &str, at_seconds: i64, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [at_seconds.to_string().as_bytes(), b".", body].concat();
    let tag = ring::hmac::sign(&key, &signed);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at_seconds},v1={hex},v0=ignored")
}

pub(crate) fn secret(text: &str) -> StripeSecret {
    StripeSecret::new(text).expect("visible ASCII")
}

struct Params(Vec<(String, String)>);

impl Params {
    fn read(body: &Bytes) -> Self {
        let text = std::str::from_utf8(body).expect("a form");
        let decode = |text: &str| {
            let mut bytes = Vec::new();
            let mut rest = text.as_bytes();
            while let [first, tail @ ..] = rest {
                rest = match (first, tail) {
                    (b'%', [a, b, more @ ..]) => {
                        let pair = [*a, *b];
                        let pair = std::str::from_utf8(&pair).expect("two digits");
                        bytes.push(u8::from_str_radix(pair, 16).expect("hexadecimal"));
                        more
                    }
                    _ => {
                        bytes.push(*first);
                        tail
                    }
                };
            }
            String::from_utf8(bytes).expect("UTF-8")
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').map(|(name, value)| (decode(name), decode(value))).expect("a pair"))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first parameter that is not one of `known`.
    fn unknown(&self, known: &[&str]) -> Option<Answer> {
        let other = self.0.iter().find(|(name, _)| !known.contains(&name.as_str()))?;
        Some((400, error("invalid_request_error", &format!("parameter_unknown: {}", other.0))))
    }

    fn amount(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|amount| amount.parse().ok()).filter(|amount| *amount > 0)
    }
}

fn error(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": "never shown"}})
}

fn respond((status, value): Answer) -> Response {
    (StatusCode::from_u16(status).expect("a status"), Json(value)).into_response()
}

impl Intent {
    fn to_json(&self, id: &str) -> Value {
        let next = self.return_url.as_ref().filter(|_| self.status == "requires_action").map(|return_url| {
            json!({"type": "redirect_to_url", "redirect_to_url": {
                "url": format!("https://{CONFIRM_HOST}/confirm/{id}"), "return_url": return_url}})
        });
        json!({
            "id": id, "object": "payment_intent", "amount": self.amount, "amount_received": self.received,
            "currency": self.currency, "customer": self.customer, "payment_method": self.method, "status": self.status,
            "capture_method": if self.automatic { "automatic" } else { "manual" }, "metadata": {"nodpay_transfer": self.metadata}, "next_action": next,
            "last_payment_error": self.error,
        })
    }
}

async fn create(State(double): State<Double>, headers: HeaderMap, body: Bytes) -> Response {
    double
        .answer(&headers, "/v1/payment_intents".to_owned(), &body, |world, params| {
            let known = [
                "amount",
                "currency",
                "customer",
                "payment_method",
                "payment_method_types[]",
                "capture_method",
                "confirm",
                "off_session",
                "metadata[nodpay_transfer]",
            ];
            if let Some(answer) = params.unknown(&known) {
                return answer;
            }
            let (Some(amount), Some(currency), Some(method)) =
                (params.amount("amount"), params.get("currency"), params.get("payment_method"))
            else {
                return (400, error("invalid_request_error", "parameter_missing"));
            };
            let automatic = params.get("capture_method") == Some("automatic");
            let capture_method = if automatic { "automatic" } else { "manual" };
            let fixed = [
                ("capture_method", capture_method),
                ("confirm", "true"),
                ("off_session", "true"),
                ("customer", CUSTOMER),
            ];
            if fixed.iter().any(|(name, value)| params.get(name) != Some(value))
                || currency.to_ascii_lowercase() != currency
            {
                return (400, error("invalid_request_error", "parameter_invalid"));
            }
            let (status, failure) = match method {
                GOOD if automatic => ("succeeded", None),
                GOOD => ("requires_capture", None),
                CONFIRM => ("requires_payment_method", Some(json!({"code": "authentication_required"}))),
                POOR => (
                    "requires_payment_method",
                    Some(json!({"code": "card_declined", "decline_code": "insufficient_funds"})),
                ),
                _ => return (400, error("invalid_request_error", "resource_missing")),
            };
            let id = format!("pi_{}", world.intents.len() + 1);
            let intent = Intent {
                amount,
                currency: currency.to_owned(),
                customer: CUSTOMER.to_owned(),
                method: method.to_owned(),
                automatic,
                metadata: params.get("metadata[nodpay_transfer]").map(str::to_owned),
                status,
                received: if status == "succeeded" { amount } else { 0 },
                refunded: 0,
                error: failure.clone(),
                return_url: None,
            };
            let shown = intent.to_json(&id);
            world.intents.insert(id, intent);
            match failure {
                None => (200, shown),
                Some(mut failure) => {
                    failure["type"] = json!("card_error");
                    failure["payment_intent"] = shown;
                    (402, json!({"error": failure}))
                }
            }
        })
        .await
}

async fn act(
    State(double): State<Double>,
    Path((id, step)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = format!("/v1/payment_intents/{id}/{step}");
    double
        .answer(&headers, path, &body, |world, params| {
            let Some(intent) = world.intents.get_mut(&id) else {
                return (404, error("invalid_request_error", "resource_missing"));
            };
            let unexpected = |intent: &Intent| {
                let mut said = error("invalid_request_error", "payment_intent_unexpected_state");
                said["error"]["payment_intent"] = intent.to_json(&id);
                (400, said)
            };
            match step.as_str() {
                "confirm" => {
                    if let Some(answer) = params.unknown(&["payment_method", "return_url"]) {
                        return answer;
                    }
                    if intent.status != "requires_payment_method"
                        || params.get("payment_method") != Some(&intent.method)
                    {
                        return unexpected(intent);
                    }
                    intent.return_url = params.get("return_url").map(str::to_owned);
                    (intent.status, intent.error) = ("requires_action", None);
                }
                "capture" => {
                    if let Some(answer) = params.unknown(&["amount_to_capture"]) {
                        return answer;
                    }
                    let Some(amount) = params.amount("amount_to_capture") else {
                        return (400, error("invalid_request_error", "parameter_missing"));
                    };
                    if intent.status != "requires_capture" {
                        return unexpected(intent);
                    }
                    if amount > intent.amount {
                        return (400, error("invalid_request_error", "amount_too_large"));
                    }
                    (intent.status, intent.received) = ("succeeded", amount);
                }
                "cancel" => {
                    if let Some(answer) = params.unknown(&[]) {
                        return answer;
                    }
                    if matches!(intent.status, "succeeded" | "canceled") {
                        return unexpected(intent);
                    }
                    intent.status = "canceled";
                }
                _ => return (404, error("invalid_request_error", "resource_missing")),
            }
            (200, intent.to_json(&id))
        })
        .await
}

async fn retrieve(State(double): State<Double>, Path(id): Path<String>) -> Response {
    let world = double.world();
    respond(match world.intents.get(&id) {
        Some(intent) => (200, intent.to_json(&id)),
        None => (404, error("invalid_request_error", "resource_missing")),
    })
}

async fn dispute(State(double): State<Double>, Path(id): Path<String>) -> Response {
    let known = double.world().dispute.clone().filter(|dispute| dispute["id"] == id.as_str());
    respond(known.map_or((404, error("invalid_request_error", "resource_missing")), |dispute| (200, dispute)))
}

async fn list(State(double): State<Double>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let world = double.world();
    let of = |intent: &Intent| query.get("customer") == Some(&intent.customer);
    let data: Vec<Value> =
        world.intents.iter().rev().filter(|(_, intent)| of(intent)).map(|(id, intent)| intent.to_json(id)).collect();
    respond((200, json!({"object": "list", "data": data, "has_more": false})))
}

async fn refund(State(double): State<Double>, headers: HeaderMap, body: Bytes) -> Response {
    double
        .answer(&headers, "/v1/refunds".to_owned(), &body, |world, params| {
            if let Some(answer) = params.unknown(&["payment_intent", "amount", "metadata[nodpay_transfer]"]) {
                return answer;
            }
            let intent = params.get("payment_intent").and_then(|id| world.intents.get_mut(id));
            let (Some(intent), Some(amount)) = (intent, params.amount("amount")) else {
                return (404, error("invalid_request_error", "resource_missing"));
            };
            if amount > intent.received - intent.refunded {
                return (400, error("invalid_request_error", "charge_already_refunded"));
            }
            let status = if world.refunds_fail { "failed" } else { "succeeded" };
            intent.refunded += if world.refunds_fail { 0 } else { amount };
            let made = json!({
                "id": format!("re_{}", world.refunds.len() + 1), "object": "refund", "amount": amount, "status": status,
                "payment_intent": params.get("payment_intent"),
                "metadata": {"nodpay_transfer": params.get("metadata[nodpay_transfer]")},
            });
            world.refunds.push(made.clone());
            (200, made)
        })
        .await
}

async fn refunds(State(double): State<Double>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut world = double.world();
    world.requests.push("GET /v1/refunds".to_owned());
    let of = |refund: &&Value| refund["payment_intent"].as_str() == query.get("payment_intent").map(String::as_str);
    let data: Vec<&Value> = world.refunds.iter().rev().filter(of).collect();
    respond((200, json!({"object": "list", "data": data, "has_more": false})))
}
