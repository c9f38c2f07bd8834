//! Cards on file with Stripe: a hold is a PaymentIntent with manual capture, confirmed off session; a post its capture; a
//! void its cancellation (<https://docs.stripe.com/api/payment_intents>). What fills a wallet is one with automatic capture.
//!
//! Bound to the transfer's id: `Idempotency-Key` is that id and the step, and the id stands in the metadata of what is made,
//! so that it is found again when an answer got lost. Whatever is neither a yes nor a no of Stripe's is `Unknown`.
//!
//! The secret key is in one request header and nowhere else; no answer of Stripe's is logged.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::uri::{InvalidUri, Uri};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nodpay_core::{
    Amount, Currency, Decline, Minor, Movement, Rail, RailAnswer, RailKind, RailReply, RailStep, Timestamp, TransferId,
};
use nodpay_protocol::sha256;
use nodpay_store::{DisputeNews, DisputeState};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::hex;

/// Where Stripe is.
pub const STRIPE_API: &str = "https://api.stripe.com";
/// Answers are read in the form of this version (<https://docs.stripe.com/upgrades>).
const API_VERSION: &str = "2024-06-20";
/// Stripe ends a request by itself after 80 seconds; the guardian has stopped looking long before.
pub const CALL_TIME: Duration = Duration::from_secs(20);
/// Their largest objects, with room.
const MAX_ANSWER_LEN: usize = 256 * 1024;
/// What one page of a list holds at most.
const PAGE: &str = "100";
/// The key of our transfer's id in the metadata of theirs.
const METADATA: &str = "nodpay_transfer";

/// Signed events are taken for this long, as Stripe's own libraries do.
const SIGNATURE_TOLERANCE_MS: i64 = 5 * 60 * 1000;
/// Two secrets sign while one is rolled.
const MAX_SIGNATURES: usize = 8;

/// Why Stripe cannot be used. `Display` is one plain sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// A file with a secret cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Not what Stripe's secrets look like.
    #[error("{0} does not hold one secret on one line")]
    NotASecret(std::path::PathBuf),
    /// Not `https://host` or, for tests, `http://host:port`.
    #[error("{0} is not an address of an API: {1}")]
    Address(String, InvalidUri),
    /// No TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A key or webhook secret. Hidden in `Debug`, wiped from memory.
#[derive(Clone)]
pub struct StripeSecret(Arc<Zeroizing<String>>);

impl StripeSecret {
    /// Reads it from a file's only line.
    ///
    /// # Errors
    /// [`StripeError::File`], [`StripeError::NotASecret`].
    pub fn read(path: &Path) -> Result<Self, StripeError> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| StripeError::File { path: path.to_owned(), error })?;
        Self::new(text.trim()).ok_or_else(|| StripeError::NotASecret(path.to_owned()))
    }

    /// Visible ASCII without spaces; `None` otherwise.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }
}

impl std::fmt::Debug for StripeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StripeSecret(hidden)")
    }
}

/// Stripe did not say, or not so that we understood it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stripe did not answer")]
pub struct NoAnswer;

/// Stripe's API under one secret key.
pub struct Stripe {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    api: String,
    authorization: HeaderValue,
    call_time: Duration,
}

impl std::fmt::Debug for Stripe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stripe({})", self.api)
    }
}

impl Stripe {
    /// `api` is [`STRIPE_API`], or a double's address in tests.
    ///
    /// # Errors
    /// [`StripeError::Address`], [`StripeError::Tls`].
    pub fn new(api: &str, key: &StripeSecret, call_time: Duration) -> Result<Self, StripeError> {
        api.parse::<Uri>().map_err(|error| StripeError::Address(api.to_owned(), error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let authorization = Zeroizing::new(format!("Bearer {}", key.0.as_str()));
        let mut authorization = HeaderValue::from_str(&authorization)
            .map_err(|_| StripeError::NotASecret(std::path::PathBuf::from("the key")))?;
        authorization.set_sensitive(true);
        Ok(Self { client, api: api.trim_end_matches('/').to_owned(), authorization, call_time })
    }

    /// How a dispute stands now. `None` where it is about no PaymentIntent.
    ///
    /// # Errors
    /// [`NoAnswer`]: ask again later.
    pub async fn dispute(&self, id: &str) -> Result<Option<DisputeNews>, NoAnswer> {
        let id = safe_id(id).map_err(|_| NoAnswer)?;
        let dispute: Dispute = self.get(&format!("/v1/disputes/{id}"), &Form::new()).await.map_err(|_| NoAnswer)?;
        let (state, Some(amount)) = (dispute.state(), our_amount(dispute.amount, &dispute.currency)) else {
            tracing::error!("a dispute of stripe's is over an amount that we do not understand");
            return Err(NoAnswer);
        };
        let mut transfer = [0; TransferId::LEN];
        let name = sha256(format!("nodpay-dispute-v1\0{id}").as_bytes());
        transfer.iter_mut().zip(name).for_each(|(to, from)| *to = from);
        let (dispute_id, transfer) = (id.to_owned(), TransferId::from_bytes(transfer));
        let news = |payment| DisputeNews { payment, dispute: dispute_id, transfer, amount, state };
        Ok(dispute.payment_intent.map(news))
    }

    async fn post(&self, path: &str, key: &str, form: &Form) -> Result<Bytes, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.api))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("idempotency-key", key);
        self.send(request, Bytes::copy_from_slice(form.0.as_bytes())).await
    }

    /// Looks something up. Not to be shown it says nothing about the money.
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str, query: &Form) -> Result<T, Failure> {
        let question = if query.0.is_empty() { "" } else { "?" };
        let request = Request::builder().method(Method::GET).uri(format!("{}{path}{question}{}", self.api, query.0));
        let shown = self.send(request, Bytes::new()).await.map_err(|failure| {
            if matches!(failure, Failure::No(_)) {
                tracing::error!("stripe does not show what it was asked to make");
            }
            Failure::Lost
        })?;
        read(&shown)
    }

    async fn send(&self, request: axum::http::request::Builder, body: Bytes) -> Result<Bytes, Failure> {
        let request = request
            .header(AUTHORIZATION, self.authorization.clone())
            .header("stripe-version", API_VERSION)
            .body(Full::new(body))
            .map_err(|_| Failure::Lost)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|_| Failure::Lost)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_LEN).collect().await;
            Ok((status, body.map_err(|_| Failure::Lost)?.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(self.call_time, exchange).await.map_err(|_| Failure::Lost)??;
        match status {
            StatusCode::OK => Ok(body),
            // A no: the card's (402), or ours to ask such a thing (400, 404).
            StatusCode::PAYMENT_REQUIRED | StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => {
                let said: Said = serde_json::from_slice(&body).map_err(|_| Failure::Lost)?;
                // The key was used for something else. Whatever that was, it may hold money.
                let misused = said.error.kind.as_deref() == Some("idempotency_error");
                if misused {
                    tracing::error!("stripe says that an idempotency key was used with other content");
                }
                Err(if misused { Failure::Lost } else { Failure::No(said.error) })
            }
            // 401 and 403: our key; 409: it is being done; 429 and 5xx: later.
            _ => {
                tracing::warn!(%status, "stripe did not answer the question");
                Err(Failure::Lost)
            }
        }
    }
}

/// What is known of one payment's payer. Speaks [`Rail`] for it.
#[derive(Clone, Debug)]
pub struct StripePayment<'a> {
    /// Who is asked.
    pub stripe: &'a Stripe,
    /// The customer whose card it is, `cus_…`.
    pub customer: &'a str,
    /// The card, `pm_…`.
    pub method: &'a str,
    /// The PaymentIntent, once it is known.
    pub intent: Option<&'a str>,
    /// The transfer that its hold was made for: for all steps but a refund the movement's own.
    pub hold: TransferId,
    /// Where the bank sends the guardian's browser after confirming.
    pub return_url: &'a str,
}

impl<'a> Rail for StripePayment<'a> {
    type Answered = BoxFuture<'a, RailReply>;

    const KIND: RailKind = RailKind::Stripe;

    fn hold(self, movement: Movement) -> Self::Answered {
        Box::pin(async move { self.make_hold(movement).await.map_or_else(Failure::into_reply, Intent::of_hold) })
    }

    fn post(self, movement: Movement) -> Self::Answered {
        Box::pin(async move { self.capture(movement).await })
    }

    fn void(self, movement: Movement) -> Self::Answered {
        Box::pin(async move { self.cancel(movement).await })
    }

    fn refund(self, movement: Movement) -> Self::Answered {
        Box::pin(async move { self.give_back(movement).await })
    }

    fn status(self, step: RailStep, movement: Movement) -> Self::Answered {
        Box::pin(async move {
            let found = match step {
                RailStep::Refund => return self.refund_status(movement).await,
                RailStep::Hold | RailStep::Post | RailStep::Void => self.find().await,
            };
            match found {
                Ok(Some(intent)) => intent.of(step, movement.amount),
                Ok(None) => unknown(),
                Err(failure) => failure.into_reply(),
            }
        })
    }
}

impl StripePayment<'_> {
    /// Charges the card at once, to fill a wallet; asked again it is the same charge. What was asked before is looked for first,
    /// however long ago that was: Stripe keeps keys for a day. One that nobody confirmed in time (`overdue`) is given up, and one
    /// that was declined is cancelled, so that no later confirmation revives it.
    pub async fn charge(&self, movement: Movement, asked_before: bool, overdue: bool) -> RailReply {
        let reply = match self.charged(movement, asked_before).await {
            Ok(intent) => intent.of_charge(movement.amount),
            Err(failure) => failure.into_reply(),
        };
        let decline = match &reply.answer {
            RailAnswer::Declined(decline) => *decline,
            RailAnswer::ActionNeeded(_) | RailAnswer::Pending if overdue => Decline::NotConfirmed,
            RailAnswer::ActionNeeded(_) | RailAnswer::Pending | RailAnswer::Done | RailAnswer::Unknown => return reply,
        };
        // Without one nothing was made.
        let Some(intent) = reply.reference.as_deref() else { return reply };
        let known = StripePayment { intent: Some(intent), ..self.clone() };
        let answer = match known.cancel(movement).await.answer {
            RailAnswer::Done => RailAnswer::Declined(decline),
            // It was charged meanwhile.
            RailAnswer::Declined(_) => match known.find().await {
                Ok(Some(intent)) => return intent.of_charge(movement.amount),
                Ok(None) | Err(_) => RailAnswer::Unknown,
            },
            RailAnswer::ActionNeeded(_) | RailAnswer::Pending | RailAnswer::Unknown => RailAnswer::Unknown,
        };
        RailReply { answer, ..reply }
    }

    async fn charged(&self, movement: Movement, asked_before: bool) -> Result<Intent, Failure> {
        match if asked_before { self.find().await? } else { None } {
            Some(intent) if intent.is_to_be_confirmed() => self.confirm(&intent.id, movement).await,
            Some(intent) => Ok(intent),
            None => self.make(movement, "charge", "automatic").await,
        }
    }

    async fn make_hold(&self, movement: Movement) -> Result<Intent, Failure> {
        self.make(movement, "hold", "manual").await
    }

    /// Makes the PaymentIntent, or gets the one that was made: the key decides. Where the bank wants the guardian, Stripe
    /// refuses what is off session; confirming once more, on session, gives the address to open.
    async fn make(&self, movement: Movement, step: &str, capture_method: &str) -> Result<Intent, Failure> {
        let amount = stripe_amount(movement.amount).ok_or_else(Failure::not_possible)?;
        let id = hex(movement.transfer);
        let mut form = Form::new();
        form.add("amount", &amount.to_string())
            .add("currency", &movement.amount.currency().code().to_ascii_lowercase())
            .add("customer", self.customer)
            .add("payment_method", self.method)
            .add("payment_method_types[]", "card")
            .add("capture_method", capture_method)
            .add("confirm", "true")
            .add("off_session", "true")
            .add(&format!("metadata[{METADATA}]"), &id);
        let made = self.stripe.post("/v1/payment_intents", &format!("{id}-{step}"), &form).await;
        let refused = match made {
            Ok(body) => return read(&body),
            Err(Failure::No(error)) => error,
            Err(failure @ Failure::Lost) => return Err(failure),
        };
        let (Some("authentication_required"), Some(intent)) = (refused.code.as_deref(), &refused.payment_intent) else {
            return Err(Failure::No(refused));
        };
        self.confirm(&intent.id, movement).await
    }

    async fn confirm(&self, intent: &str, movement: Movement) -> Result<Intent, Failure> {
        let mut form = Form::new();
        form.add("payment_method", self.method).add("return_url", self.return_url);
        let path = format!("/v1/payment_intents/{}/confirm", safe_id(intent)?);
        let confirmed = self.stripe.post(&path, &format!("{}-confirm", hex(movement.transfer)), &form).await;
        confirmed.and_then(|body| read(&body))
    }

    async fn capture(&self, movement: Movement) -> RailReply {
        let Some(amount) = stripe_amount(movement.amount) else { return Failure::not_possible().into_reply() };
        let intent = match self.intent_id().await {
            Ok(Some(intent)) => intent,
            Ok(None) => return unknown(),
            Err(failure) => return failure.into_reply(),
        };
        let mut form = Form::new();
        form.add("amount_to_capture", &amount.to_string());
        let path = format!("/v1/payment_intents/{intent}/capture");
        let key = format!("{}-post", hex(movement.transfer));
        self.settle(&path, &key, &form, RailStep::Post, movement.amount).await
    }

    /// A hold whose answer is not known is asked for again first: after that nothing of it can still be on its way.
    async fn cancel(&self, movement: Movement) -> RailReply {
        let intent = match self.intent_id().await {
            Ok(Some(intent)) => intent,
            Ok(None) => match self.make_hold(movement).await {
                Ok(intent) => intent.id,
                Err(Failure::Lost) => return unknown(),
                Err(Failure::No(error)) => match error.payment_intent {
                    Some(intent) => intent.id,
                    None => return RailReply::from(RailAnswer::Done),
                },
            },
            Err(failure) => return failure.into_reply(),
        };
        let Ok(intent) = safe_id(&intent) else { return unknown() };
        let path = format!("/v1/payment_intents/{intent}/cancel");
        let key = format!("{}-void", hex(movement.transfer));
        self.settle(&path, &key, &Form::new(), RailStep::Void, movement.amount).await
    }

    /// Captures or cancels. A no may only mean that it is done already: the PaymentIntent itself says.
    async fn settle(&self, path: &str, key: &str, form: &Form, step: RailStep, amount: Amount) -> RailReply {
        match self.stripe.post(path, key, form).await {
            Ok(body) => read::<Intent>(&body).map_or_else(Failure::into_reply, |intent| intent.of(step, amount)),
            Err(Failure::Lost) => unknown(),
            Err(Failure::No(error)) => match self.find().await {
                Ok(Some(intent)) if intent.status != "requires_capture" => intent.of(step, amount),
                Ok(Some(_)) if step == RailStep::Post => RailReply::from(RailAnswer::Declined(error.decline())),
                Ok(_) => unknown(),
                Err(failure) => failure.into_reply(),
            },
        }
    }

    async fn give_back(&self, movement: Movement) -> RailReply {
        let Some(amount) = stripe_amount(movement.amount) else { return Failure::not_possible().into_reply() };
        let intent = match self.intent_id().await {
            Ok(Some(intent)) => intent,
            Ok(None) => return unknown(),
            Err(failure) => return failure.into_reply(),
        };
        let id = hex(movement.transfer);
        let mut form = Form::new();
        form.add("payment_intent", &intent)
            .add("amount", &amount.to_string())
            .add(&format!("metadata[{METADATA}]"), &id);
        match self.stripe.post("/v1/refunds", &format!("{id}-refund"), &form).await {
            Ok(body) => read::<Refund>(&body).map_or_else(Failure::into_reply, |refund| refund.reply()),
            Err(failure) => failure.into_reply(),
        }
    }

    async fn refund_status(&self, movement: Movement) -> RailReply {
        let intent = match self.intent_id().await {
            Ok(Some(intent)) => intent,
            Ok(None) => return unknown(),
            Err(failure) => return failure.into_reply(),
        };
        let mut query = Form::new();
        query.add("payment_intent", &intent).add("limit", PAGE);
        let id = hex(movement.transfer);
        match self.stripe.get::<Page<Refund>>("/v1/refunds", &query).await {
            Ok(page) => page.data.iter().find(|refund| refund.is_of(&id)).map_or_else(unknown, Refund::reply),
            Err(failure) => failure.into_reply(),
        }
    }

    async fn intent_id(&self) -> Result<Option<String>, Failure> {
        match self.intent {
            Some(intent) => safe_id(intent).map(|id| Some(id.to_owned())),
            None => Ok(self.find().await?.map(|intent| intent.id)),
        }
    }

    /// The PaymentIntent as it is now; where its id is not known, the customer's newest that names the transfer.
    async fn find(&self) -> Result<Option<Intent>, Failure> {
        if let Some(intent) = self.intent {
            return self.stripe.get(&format!("/v1/payment_intents/{}", safe_id(intent)?), &Form::new()).await.map(Some);
        }
        let mut query = Form::new();
        query.add("customer", self.customer).add("limit", PAGE);
        let page: Page<Intent> = self.stripe.get("/v1/payment_intents", &query).await?;
        let id = hex(self.hold);
        Ok(page.data.into_iter().find(|intent| intent.metadata.transfer.as_deref() == Some(id.as_str())))
    }
}

/// Ids come from Stripe, but they go into a path.
fn safe_id(id: &str) -> Result<&str, Failure> {
    let safe = (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if safe { Ok(id) } else { Err(Failure::Lost) }
}

/// An amount as Stripe counts it (<https://docs.stripe.com/currencies>); `None` where it cannot be charged. Mostly ISO
/// 4217's minor units, but: króna and shilling are given in hundredths they do not have, the ariary in whole units, and the
/// last of three decimals is always 0.
fn stripe_amount(amount: Amount) -> Option<i64> {
    let minor = amount.minor();
    let even = |units: i64| (minor % units == 0).then_some(minor);
    match (amount.currency().code(), amount.currency().exponent()) {
        ("ISK" | "UGX", 0) => minor.checked_mul(100),
        ("MGA", 2) => even(100).map(|minor| minor / 100),
        (_, 3) => even(10),
        (_, _) => Some(minor),
    }
    .filter(|stripe| *stripe > 0)
}

/// The inverse of [`stripe_amount`]; `code` is Stripe's, in small letters.
fn our_amount(stripe: i64, code: &str) -> Option<Amount> {
    let currency = Currency::from_code(&code.to_ascii_uppercase()).ok()?;
    let minor = match (currency.code(), currency.exponent()) {
        ("ISK" | "UGX", 0) => stripe / 100,
        ("MGA", 2) => stripe.checked_mul(100)?,
        (_, _) => stripe,
    };
    Some(Amount::new(Minor::new(minor).ok()?, currency))
}

/// `application/x-www-form-urlencoded`.
struct Form(String);

impl Form {
    fn new() -> Self {
        Self(String::new())
    }

    fn add(&mut self, name: &str, value: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.encode(name);
        self.0.push('=');
        self.encode(value);
        self
    }

    fn encode(&mut self, text: &str) {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing into a String does not fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }
}

/// Why there is no yes.
#[derive(Debug)]
enum Failure {
    /// Nobody knows what happened.
    Lost,
    No(Box<Refusal>),
}

impl Failure {
    fn not_possible() -> Self {
        Self::No(Box::new(Refusal { code: Some("amount_too_small".to_owned()), ..Refusal::default() }))
    }

    fn into_reply(self) -> RailReply {
        match self {
            Self::Lost => unknown(),
            Self::No(refusal) => {
                let intent = refusal.payment_intent.as_ref().map(|intent| intent.id.clone());
                RailReply { answer: RailAnswer::Declined(refusal.decline()), reference: intent }
            }
        }
    }
}

#[derive(Deserialize)]
struct Said {
    error: Box<Refusal>,
}

/// <https://docs.stripe.com/api/errors>
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    decline_code: Option<String>,
    payment_intent: Option<Box<Intent>>,
}

impl Refusal {
    /// Lost and stolen cards are not told apart from others: the child reads this.
    fn decline(&self) -> Decline {
        match self.decline_code.as_deref().or(self.code.as_deref()) {
            Some("insufficient_funds" | "card_velocity_exceeded" | "withdrawal_count_limit_exceeded") => Decline::Funds,
            Some("authentication_required" | "payment_intent_authentication_failure") => Decline::NotConfirmed,
            Some("amount_too_small" | "amount_too_large" | "parameter_invalid_integer" | "currency_not_supported") => {
                Decline::NotPossible
            }
            Some(
                "expired_card"
                | "incorrect_number"
                | "invalid_number"
                | "invalid_account"
                | "invalid_expiry_year"
                | "lost_card"
                | "stolen_card"
                | "pickup_card"
                | "restricted_card"
                | "card_not_supported"
                | "new_account_information_available"
                | "resource_missing"
                | "payment_method_unactivated"
                | "payment_method_customer_decline",
            ) => Decline::Payer,
            Some(_) | None => Decline::Refused,
        }
    }
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(rename = "nodpay_transfer")]
    transfer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Intent {
    id: String,
    status: String,
    amount: i64,
    /// Missing in `localstripe`.
    amount_received: Option<i64>,
    #[serde(default)]
    metadata: Metadata,
    next_action: Option<NextAction>,
    last_payment_error: Option<Box<Refusal>>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

impl Intent {
    fn of(self, step: RailStep, amount: Amount) -> RailReply {
        match step {
            RailStep::Hold => self.of_hold(),
            RailStep::Post => self.of_post(amount),
            RailStep::Void | RailStep::Refund => self.of_void(),
        }
    }

    /// <https://docs.stripe.com/payments/paymentintents/lifecycle>
    fn of_hold(self) -> RailReply {
        let answer = match self.status.as_str() {
            "requires_capture" | "succeeded" => RailAnswer::Done,
            "processing" => RailAnswer::Pending,
            "requires_action" => match self.next_action.and_then(|next| next.redirect_to_url) {
                Some(redirect) => RailAnswer::ActionNeeded(redirect.url),
                // To be confirmed somewhere else, in the bank's own app for one.
                None => RailAnswer::Pending,
            },
            "requires_payment_method" if self.is_to_be_confirmed() => RailAnswer::Unknown,
            "requires_payment_method" => match self.last_payment_error {
                Some(error) => RailAnswer::Declined(error.decline()),
                None => RailAnswer::Declined(Decline::Refused),
            },
            "canceled" => RailAnswer::Declined(Decline::Refused),
            _ => RailAnswer::Unknown,
        };
        RailReply { answer, reference: Some(self.id) }
    }

    /// Off session only: it is still to be confirmed on session.
    fn is_to_be_confirmed(&self) -> bool {
        let code = self.last_payment_error.as_ref().and_then(|error| error.code.as_deref());
        self.status == "requires_payment_method" && code == Some("authentication_required")
    }

    fn of_charge(self, amount: Amount) -> RailReply {
        match self.status.as_str() {
            "requires_action" | "requires_payment_method" => self.of_hold(),
            // By us, after it was declined or not confirmed.
            "canceled" => {
                let decline = self.last_payment_error.map_or(Decline::NotConfirmed, |error| error.decline());
                RailReply { answer: RailAnswer::Declined(decline), reference: Some(self.id) }
            }
            _ => self.of_post(amount),
        }
    }

    fn of_post(self, amount: Amount) -> RailReply {
        let asked = stripe_amount(amount);
        let answer = match self.status.as_str() {
            "succeeded" if asked == Some(self.amount_received.unwrap_or(self.amount)) => RailAnswer::Done,
            "succeeded" => {
                tracing::error!("a card payment was captured over another amount than asked");
                RailAnswer::Unknown
            }
            "processing" => RailAnswer::Pending,
            "canceled" | "requires_payment_method" => RailAnswer::Declined(Decline::Refused),
            _ => RailAnswer::Unknown,
        };
        RailReply { answer, reference: Some(self.id) }
    }

    fn of_void(self) -> RailReply {
        let answer = match self.status.as_str() {
            "canceled" => RailAnswer::Done,
            // What is paid cannot be given back this way.
            "succeeded" => RailAnswer::Declined(Decline::NotPossible),
            _ => RailAnswer::Unknown,
        };
        RailReply { answer, reference: Some(self.id) }
    }
}

#[derive(Debug, Deserialize)]
struct Refund {
    status: String,
    #[serde(default)]
    metadata: Metadata,
}

impl Refund {
    fn is_of(&self, transfer: &str) -> bool {
        self.metadata.transfer.as_deref() == Some(transfer)
    }

    fn reply(&self) -> RailReply {
        RailReply::from(match self.status.as_str() {
            "succeeded" => RailAnswer::Done,
            "pending" | "requires_action" => RailAnswer::Pending,
            "failed" | "canceled" => RailAnswer::Declined(Decline::Refused),
            _ => RailAnswer::Unknown,
        })
    }
}

/// <https://docs.stripe.com/api/disputes/object>
#[derive(Debug, Deserialize)]
struct Dispute {
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    status: String,
    /// What left our account at Stripe for it, and what came back.
    #[serde(default)]
    balance_transactions: Vec<BalanceTransaction>,
}

#[derive(Debug, Deserialize)]
struct BalanceTransaction {
    amount: i64,
}

impl Dispute {
    fn state(&self) -> DisputeState {
        match self.status.as_str() {
            "won" | "warning_closed" | "prevented" => DisputeState::Won,
            "lost" => DisputeState::Lost,
            _ if self.balance_transactions.iter().any(|moved| moved.amount < 0) => DisputeState::Taken,
            _ => DisputeState::Open,
        }
    }
}

fn unknown() -> RailReply {
    RailReply::from(RailAnswer::Unknown)
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| {
        tracing::error!("an answer of stripe's was not understood");
        Failure::Lost
    })
}

/// Why a webhook is not Stripe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The header is missing or malformed.
    #[error("Stripe-Signature is not like t=…,v1=…")]
    Header,
    /// Older, or newer, than five minutes.
    #[error("Stripe-Signature is too old")]
    Stale,
    /// Somebody else's.
    #[error("Stripe-Signature does not fit the body")]
    Signature,
    /// Signed, but not an event.
    #[error("the body is not an event")]
    Body,
}

/// What it is worth asking about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A transfer of ours.
    Transfer(TransferId),
    /// A dispute, by Stripe's id.
    Dispute(String),
}

/// Verifies an event over exactly the bytes received (<https://docs.stripe.com/webhooks>, "Verify manually") and gives what it
/// is about, if that may concern us.
///
/// What the event says is not believed: it only makes us ask about that now. So events may come twice, late, in any order or
/// never.
pub fn news_of_event(
    secret: &StripeSecret,
    header: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<News>, WebhookError> {
    let mut signed_at = None;
    let mut signatures = Vec::new();
    for part in header.ok_or(WebhookError::Header)?.split(',') {
        match part.trim().split_once('=').ok_or(WebhookError::Header)? {
            ("t", at) if signed_at.is_none() => signed_at = Some(at),
            ("t", _) => return Err(WebhookError::Header),
            ("v1", signature) if signatures.len() < MAX_SIGNATURES => signatures.push(signature),
            // `v0` is for tests of theirs.
            (_, _) => {}
        }
    }
    let at = signed_at.ok_or(WebhookError::Header)?;
    let at_ms = at.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000)).ok_or(WebhookError::Header)?;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.0.as_bytes());
    let signed = [at.as_bytes(), b".", body].concat();
    let fits = |signature: &&str| {
        super::from_hex::<32>(signature).is_some_and(|tag| ring::hmac::verify(&key, &signed, &tag).is_ok())
    };
    if !signatures.iter().any(fits) {
        return Err(WebhookError::Signature);
    }
    if now.ms_since(Timestamp::from_unix_ms(at_ms)).unsigned_abs() > SIGNATURE_TOLERANCE_MS.unsigned_abs() {
        return Err(WebhookError::Stale);
    }
    let event: StripeEvent = serde_json::from_slice(body).map_err(|_| WebhookError::Body)?;
    let EventObject { id, metadata } = event.data.object;
    if event.kind.starts_with(DISPUTES) {
        return Ok(id.map(News::Dispute));
    }
    let transfer = metadata.transfer.filter(|_| EVENTS.contains(&event.kind.as_str()));
    Ok(transfer.and_then(|transfer| super::from_hex(&transfer)).map(|id| News::Transfer(TransferId::from_bytes(id))))
}

/// `.created`, `.updated`, `.funds_withdrawn`, `.funds_reinstated`, `.closed`.
const DISPUTES: &str = "charge.dispute.";
/// Events after which it is worth asking about a transfer.
const EVENTS: [&str; 9] = [
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "refund.created",
    "refund.updated",
    "refund.failed",
];

#[derive(Deserialize)]
struct StripeEvent {
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: EventObject,
}

#[derive(Deserialize)]
struct EventObject {
    id: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}
