//! Errors as answers: RFC 9457 problem details with a stable `code`. One exhaustive mapping; nobody else chooses a
//! status. What is our fault says nothing about itself and is logged once, here.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use nodpay_core::{GuardianId, StrikeError, Timestamp, Verdict};
use nodpay_protocol::VerifyError;
use nodpay_protocol::code::CodeError;
use nodpay_store::{Blame, StoreError};
use serde::Serialize;

use crate::rails::stripe::WebhookError;
use crate::secrets::RandomError;

/// Said where too much runs at once and nobody knows for how long.
const RETRY_LATER_MS: i64 = 60_000;

/// Everything that can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A signed message is not believed.
    #[error(transparent)]
    Verify(VerifyError),
    /// A transaction was not done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A proof of a watch's device key is missing or not believed. The time lets the watch learn its offset.
    #[error("{why}")]
    Proof {
        /// What is wrong with it.
        why: ProofError,
        /// The service's time.
        now: Timestamp,
    },

    /// No such page, or not for this caller.
    #[error("there is nothing here")]
    NotFound,
    /// The path is right, the method is not.
    #[error("this address does not take that method")]
    Method,
    /// The body must be of this media type.
    #[error("send this as {0}")]
    MediaType(&'static str),
    /// The body or query is not in its form.
    #[error("the request is not in its form: {0}")]
    Form(String),
    /// Not a time zone of the IANA database.
    #[error("{0} is not a time zone as in Europe/Berlin")]
    TimeZone(String),
    /// Longer than [`crate::MAX_BODY_LEN`].
    #[error("the body is too long")]
    BodyTooLarge,
    /// Not from one of our own pages.
    #[error("this can only be done from the service's own pages")]
    ForeignOrigin,
    /// The guardian must log in.
    #[error("log in first")]
    NoGuardian,
    /// Neither a merchant's key nor a till's session.
    #[error("this needs the merchant's API key or an enrolled till")]
    NoMerchant,
    /// The login's assertion is not over a challenge of ours.
    #[error("the login was not made for a challenge of this service")]
    LoginChallenge,
    /// Too many tries with one credential.
    #[error("too many tries: wait a moment")]
    TooManyTries {
        /// Until the next one is allowed.
        retry_ms: i64,
    },
    /// Too many open event streams.
    #[error("too many connections: try again later")]
    TooManyStreams,
    /// Not answered in time.
    #[error("this took too long: try again")]
    Timeout,

    /// A person's name that does not fit its digest.
    #[error("the name is not the one the entry names")]
    PersonName,
    /// An enrolment that names no pairing.
    #[error("enrolling a watch needs the pairing it asked in")]
    PairingMissing,
    /// A new guardian whom nobody invited.
    #[error("adding a guardian needs the invitation they claimed")]
    JoinMissing,
    /// An entry that was signed at another time than now.
    #[error("the entry's time is not now: sign it again")]
    EntryTime,
    /// No household has this recovery key.
    #[error("this recovery code is not known, or was used or replaced")]
    RecoveryUnknown,
    /// Another guardian's answer came first.
    #[error("another guardian answered first")]
    DecidedBefore {
        /// Who.
        guardian: GuardianId,
        /// What.
        verdict: Verdict,
    },
    /// A claim sent to another pairing's address.
    #[error("the claim is for another pairing")]
    OtherPairing,
    /// A founding entry where only later ones belong, or the other way round.
    #[error("this entry cannot be added to a household's log")]
    NotThisEntry,
    /// The merchant has no certificate yet.
    #[error("the operator has not certified this merchant's till yet")]
    NotCertified,
    /// The certificate is over or not begun.
    #[error("the merchant's certificate is not valid now: enrol the till again")]
    CertificateNotNow,
    /// Asking the merchant about a bill that anyone can sum up.
    #[error("this bill needs no requote: strike and decide")]
    NoRequoteNeeded,
    /// The merchant asks for longer than we wait.
    #[error("a bill is valid for at most 24 hours")]
    BillLife,
    /// The bill cannot be shown as a payment code.
    #[error("the bill cannot be shown as a code: {0}")]
    Code(#[from] CodeError),

    /// The operator has no push key, or this replica has not.
    #[error("this service wakes no phones")]
    PushOff,
    /// Not the address of a push service.
    #[error("this is not the address of a push service on the internet")]
    PushEndpoint,
    /// The phone's subscription is not known, or the push service knows it no more.
    #[error("this phone is not subscribed: switch notifications on again")]
    PushUnknown,
    /// The push service did not take a message.
    #[error("the push service did not take the message")]
    PushNotTaken,

    /// An event that is not Stripe's.
    #[error(transparent)]
    StripeEvent(#[from] WebhookError),
    /// What a rail tells cannot be looked into.
    #[error("the rail did not answer; try again in a moment")]
    RailUnavailable,

    /// Our fault; the text is for the log only.
    #[error("{0}")]
    Internal(String),
}

/// What is wrong with a request's proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// No `DPoP` header, or more than one.
    #[error("this needs a proof of the watch's key")]
    Missing,
    /// It was used before.
    #[error("the proof was used before")]
    Reused,
    /// More proofs than are remembered.
    #[error("too many requests: try again in a minute")]
    Full,
    /// Its signature or content does not fit.
    #[error(transparent)]
    Verify(VerifyError),
}

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(error)
    }
}

impl From<StrikeError> for ApiError {
    fn from(error: StrikeError) -> Self {
        Self::Verify(error.into())
    }
}

impl From<RandomError> for ApiError {
    fn from(error: RandomError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<nodpay_protocol::SignError> for ApiError {
    fn from(error: nodpay_protocol::SignError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// RFC 9457 section 3.1.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<i64>,
    /// Who was first.
    #[serde(skip_serializing_if = "Option::is_none")]
    guardian: Option<GuardianId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

impl ApiError {
    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.describe().1
    }

    /// Status, code and title: the one mapping.
    fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Verify(error) => verify_status(error),
            Self::Store(error) => store_status(error),
            Self::Proof { why, .. } => match why {
                ProofError::Missing => (S::UNAUTHORIZED, "proof-missing", "Not proved"),
                ProofError::Reused => (S::UNAUTHORIZED, "proof-reused", "Not proved"),
                ProofError::Full => (S::SERVICE_UNAVAILABLE, "busy", "Too much at once"),
                ProofError::Verify(error) => (S::UNAUTHORIZED, error.code(), "Not proved"),
            },
            Self::NotFound => (S::NOT_FOUND, "not-found", "Not found"),
            Self::Method => (S::METHOD_NOT_ALLOWED, "method-not-allowed", "Not that way"),
            Self::MediaType(_) => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Wrong media type"),
            Self::Form(_) => (S::BAD_REQUEST, "malformed-request", "Not understood"),
            Self::TimeZone(_) => (S::BAD_REQUEST, "time-zone-unknown", "Time zone unknown"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body-too-large", "Too long"),
            Self::ForeignOrigin => (S::FORBIDDEN, "foreign-origin", "Not from here"),
            Self::NoGuardian => (S::UNAUTHORIZED, "not-logged-in", "Not logged in"),
            Self::NoMerchant => (S::UNAUTHORIZED, "merchant-key-missing", "Not a merchant"),
            Self::LoginChallenge => (S::UNAUTHORIZED, "login-unknown", "Login not accepted"),
            Self::TooManyTries { .. } => (S::TOO_MANY_REQUESTS, "too-many-tries", "Too many tries"),
            Self::TooManyStreams => (S::SERVICE_UNAVAILABLE, "too-many-streams", "Too much at once"),
            Self::Timeout => (S::SERVICE_UNAVAILABLE, "timeout", "Took too long"),
            Self::PersonName => (S::UNPROCESSABLE_ENTITY, "name-mismatch", "Name does not fit"),
            Self::PairingMissing => (S::UNPROCESSABLE_ENTITY, "pairing-missing", "No pairing"),
            Self::JoinMissing => (S::UNPROCESSABLE_ENTITY, "join-missing", "Not invited"),
            Self::EntryTime => (S::UNPROCESSABLE_ENTITY, "entry-time", "Another time"),
            Self::RecoveryUnknown => (S::NOT_FOUND, "recovery-unknown", "Not known"),
            Self::DecidedBefore { .. } => (S::CONFLICT, "decided-before", "Not any more"),
            Self::OtherPairing => (S::UNPROCESSABLE_ENTITY, "other-pairing", "Another pairing"),
            Self::NotThisEntry => (S::UNPROCESSABLE_ENTITY, "bad-log-entry", "Not this entry"),
            Self::NotCertified => (S::CONFLICT, "not-certified", "Not certified yet"),
            Self::CertificateNotNow => (S::CONFLICT, "certificate-not-valid", "Certificate is over"),
            Self::NoRequoteNeeded => (S::CONFLICT, "no-requote-needed", "No requote needed"),
            Self::BillLife => (S::UNPROCESSABLE_ENTITY, "bad-bill-life", "Valid for too long"),
            Self::Code(_) => (S::UNPROCESSABLE_ENTITY, "bill-not-codable", "No code possible"),
            Self::PushOff => (S::NOT_FOUND, "push-off", "Switched off"),
            Self::PushEndpoint => (S::UNPROCESSABLE_ENTITY, "push-endpoint", "No push service"),
            Self::PushUnknown => (S::NOT_FOUND, "push-unknown", "Not subscribed"),
            Self::PushNotTaken => (S::BAD_GATEWAY, "push-not-taken", "Not taken"),
            Self::StripeEvent(WebhookError::Body) => (S::BAD_REQUEST, "malformed-request", "Not understood"),
            Self::StripeEvent(WebhookError::Header | WebhookError::Signature | WebhookError::Stale) => {
                (S::UNAUTHORIZED, "stripe-signature", "Not signed by Stripe")
            }
            Self::RailUnavailable => (S::SERVICE_UNAVAILABLE, "rail-unavailable", "Try again"),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", "Our fault"),
        }
    }

    /// What the operator is woken for: not that too many log in at once, nor that a rail is away.
    fn failed_transaction(&self) -> Option<&StoreError> {
        let Self::Store(error) = self else { return None };
        self.describe().0.is_server_error().then_some(error)
    }

    /// Writes what is our fault to the log. Everything else is the peer's business and only counted.
    pub(crate) fn log(&self) {
        let (status, code, _) = self.describe();
        if let Some(error) = self.failed_transaction() {
            crate::metrics::store_error(error);
        }
        if status.is_server_error() {
            tracing::error!(code, error = %self, "request failed");
        } else {
            tracing::debug!(code, status = status.as_u16(), "request refused");
        }
    }
}

fn verify_status(error: &VerifyError) -> (StatusCode, &'static str, &'static str) {
    const TITLE: &str = "Not believed";
    let status = match error {
        VerifyError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        VerifyError::Malformed | VerifyError::WrongKind | VerifyError::Payload(_) => StatusCode::BAD_REQUEST,
        VerifyError::UnknownGuardian
        | VerifyError::RevokedGuardian
        | VerifyError::GuardianNotYet
        | VerifyError::UnknownWatch
        | VerifyError::RevokedWatch
        | VerifyError::DemoKey
        | VerifyError::PaymentNotShown
        | VerifyError::UserNotVerified => StatusCode::FORBIDDEN,
        VerifyError::StaleBill | VerifyError::FirstNod => StatusCode::CONFLICT,
        VerifyError::Signature
        | VerifyError::AuthenticatorData
        | VerifyError::ClientData
        | VerifyError::WrongRpId
        | VerifyError::WrongOrigin
        | VerifyError::CrossOrigin
        | VerifyError::WrongChallenge
        | VerifyError::OtherMerchant
        | VerifyError::CertificateTime
        | VerifyError::ScannedCode(_)
        | VerifyError::Bill(_)
        | VerifyError::Requote(_)
        | VerifyError::Strike(_)
        | VerifyError::Suggestion(_)
        | VerifyError::Household(_)
        | VerifyError::OtherHousehold
        | VerifyError::OtherWatch
        | VerifyError::OtherWearer
        | VerifyError::OtherOrder
        | VerifyError::OtherBill
        | VerifyError::OtherPayee
        | VerifyError::OtherDecision
        | VerifyError::OtherPayment
        | VerifyError::OtherOutcome
        | VerifyError::WrongTotal
        | VerifyError::OtherPaymentShown
        | VerifyError::NotApproved
        | VerifyError::NeedsTwoNods
        | VerifyError::OverNewcomerCap
        | VerifyError::UnknownMandate
        | VerifyError::MandateOver
        | VerifyError::OutsideMandate
        | VerifyError::UnknownLogHead
        | VerifyError::OrderLife
        | VerifyError::DecisionLife
        | VerifyError::WearerCheck
        | VerifyError::OutcomeShape
        | VerifyError::PinReport
        | VerifyError::OtherRequest
        | VerifyError::ProofAge => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (status, error.code(), TITLE)
}

fn store_status(error: &StoreError) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    let (status, title) = match error {
        StoreError::HouseholdUnknown
        | StoreError::WatchUnknown
        | StoreError::PairingUnknown
        | StoreError::SessionUnknown
        | StoreError::MerchantUnknown
        | StoreError::PayeeUnknown
        | StoreError::BillUnknown
        | StoreError::OrderUnknown
        | StoreError::AskUnknown
        | StoreError::ScheduleUnknown
        | StoreError::PayoutUnknown
        | StoreError::ApiKeyUnknown => (S::NOT_FOUND, "Not known"),
        StoreError::InvitationUnknown
        | StoreError::InvitationUsed
        | StoreError::GuardianUnknown
        | StoreError::GuardianNotCounting
        | StoreError::RevokedWatch => (S::FORBIDDEN, "Not allowed"),
        StoreError::LoginUnknown | StoreError::CounterReplayed => (S::UNAUTHORIZED, "Not accepted"),
        StoreError::InvitationExpired
        | StoreError::PairingExpired
        | StoreError::BillExpired
        | StoreError::HouseholdErased
        | StoreError::OrderCut => (S::GONE, "Its time is over"),
        StoreError::WearerNameMissing
        | StoreError::PairingMismatch
        | StoreError::CertificateMismatch
        | StoreError::CertificateUnknown
        | StoreError::TooManyGoods
        | StoreError::TooManyCodes
        | StoreError::NotFirstRevision
        | StoreError::CurrencyNotSupported
        | StoreError::OverNewWatchCap
        | StoreError::OtherOrder
        | StoreError::OtherDecision
        | StoreError::WrongTotal
        | StoreError::OtherOutcome
        | StoreError::WrongRevision
        | StoreError::AmountNotPositive
        | StoreError::BalanceTooLarge
        | StoreError::TopUpAmount
        | StoreError::TopUpDay
        | StoreError::RefundTooLarge
        | StoreError::ScheduleTime
        | StoreError::AwayTime
        | StoreError::TooManySchedules
        | StoreError::TooManyApiKeys => (S::UNPROCESSABLE_ENTITY, "Does not fit"),
        StoreError::HouseholdExists
        | StoreError::CredentialExists
        | StoreError::LogMoved { .. }
        | StoreError::WatchExists
        | StoreError::WearerConflict
        | StoreError::PinReportOutdated
        | StoreError::PairingExists
        | StoreError::PairingTaken
        | StoreError::PairingClosed
        | StoreError::TokenExists
        | StoreError::MerchantExists
        | StoreError::CodeTaken
        | StoreError::BillExists
        | StoreError::BillAlreadyPaid
        | StoreError::BillCancelled
        | StoreError::OrderIdReused
        | StoreError::NonceReused
        | StoreError::OrderOpen
        | StoreError::OrderExpired
        | StoreError::OrderEnded(_)
        | StoreError::OrderNotEnded
        | StoreError::OrderNotApproved
        | StoreError::AlreadyDecided
        | StoreError::StaleBill
        | StoreError::FirstNod
        | StoreError::AskExists
        | StoreError::AskClosed
        | StoreError::OrderPaying
        | StoreError::RefundElsewhere
        | StoreError::TransferExists
        | StoreError::HouseholdClosed
        | StoreError::HouseholdFrozen
        | StoreError::CardMissing
        | StoreError::CardDisputed
        | StoreError::OrdersOpen
        | StoreError::OrdersAtRail
        | StoreError::BillNotPaid
        | StoreError::RefundExists
        | StoreError::ScheduleExists
        | StoreError::IbanMissing
        | StoreError::NothingToPayOut
        | StoreError::NotFrozen
        | StoreError::PayoutState(_) => (S::CONFLICT, "Not any more"),
        StoreError::TooManyAsks | StoreError::TooManyLogins => (S::TOO_MANY_REQUESTS, "Too many"),
        StoreError::Incident { .. }
        | StoreError::Signer(_)
        | StoreError::Database(_)
        | StoreError::Backup(_)
        | StoreError::NotEmpty => {
            return (S::INTERNAL_SERVER_ERROR, "internal", "Our fault");
        }
        StoreError::Stopped | StoreError::Unavailable => (S::SERVICE_UNAVAILABLE, "Try again"),
    };
    debug_assert!(error.blame() != Blame::Ours);
    (status, error.code(), title)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let (status, code, title) = self.describe();
        let detail = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "something went wrong on our side".to_owned(),
            _ => self.to_string(),
        };
        let now = if let Self::Proof { now, .. } = &self { Some(*now) } else { None };
        let later_ms = (status == StatusCode::TOO_MANY_REQUESTS).then_some(RETRY_LATER_MS);
        let retry_ms = if let Self::TooManyTries { retry_ms } = &self { Some(*retry_ms) } else { later_ms };
        let status_number = status.as_u16();
        let r#type = format!("urn:nodpay:problem:{code}");
        let first =
            if let Self::DecidedBefore { guardian, verdict } = &self { Some((*guardian, *verdict)) } else { None };
        let (guardian, verdict) = first.unzip();
        let number = status_number;
        let problem =
            Problem { r#type, title, status: number, detail: &detail, code, now, retry_ms, guardian, verdict };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(retry_ms) = retry_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_ms.saturating_add(999) / 1_000));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_by_our_fault_is_counted() {
        let incident = StoreError::Incident { table: "orders", row: "1".to_owned(), what: "half a one".to_owned() };
        let cases = [
            (ApiError::Store(incident), true),
            (ApiError::Store(StoreError::Database("full".to_owned())), true),
            (ApiError::Store(StoreError::Signer("no key".to_owned())), true),
            (ApiError::Store(StoreError::Unavailable), true),
            (ApiError::Store(StoreError::Stopped), true),
            (ApiError::Store(StoreError::TooManyLogins), false),
            (ApiError::Store(StoreError::OrderUnknown), false),
            (ApiError::RailUnavailable, false),
            (ApiError::Timeout, false),
        ];
        for (error, counted) in cases {
            assert_eq!(error.failed_transaction().is_some(), counted, "{error}");
        }
    }
}
