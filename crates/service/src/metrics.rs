//! What the operator sees at `/metrics`: counts and times, never who or what.
//!
//! The recorder is the process's: several services in one process (tests) share it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use nodpay_core::{OutcomeKind, RailAnswer, RailKind, RailStep};

const ORDERS: &str = "nodpay_orders_ended_total";
const TAP_TO_PAID: &str = "nodpay_tap_to_paid_seconds";
const REQUESTS: &str = "nodpay_http_requests_total";
const REQUEST_TIME: &str = "nodpay_http_request_seconds";
const RAIL_ANSWERS: &str = "nodpay_rail_answers_total";
const STREAMS: &str = "nodpay_event_streams";
const EVENT_LAG: &str = "nodpay_event_lag_seconds";
const COMMITS: &str = "nodpay_commits_total";

/// Seconds: from a loopback payment to a guardian's phone on a bad network.
const TIME_BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder once; later calls do nothing.
pub(crate) fn install() {
    HANDLE.get_or_init(|| {
        let builder = [TAP_TO_PAID, REQUEST_TIME, EVENT_LAG]
            .iter()
            .try_fold(PrometheusBuilder::new(), |builder, name| {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), &TIME_BUCKETS)
            })
            .ok()?;
        let handle = builder.install_recorder().ok()?;
        describe_counter!(ORDERS, "Orders by how they ended");
        describe_histogram!(TAP_TO_PAID, "From the guardian's accepted decision to the accepted payment");
        describe_counter!(REQUESTS, "Answered requests by route and status");
        describe_histogram!(REQUEST_TIME, "Time to answer a request, by route");
        describe_counter!(RAIL_ANSWERS, "Answers of rails outside by rail, step and answer");
        describe_gauge!(STREAMS, "Open event streams by audience");
        describe_histogram!(EVENT_LAG, "From an event's record to its sending");
        describe_counter!(COMMITS, "Database transactions committed; several requests may share one");
        Some(handle)
    });
}

/// The page for Prometheus. `commits` are the store's until now.
pub(crate) fn render(commits: u64) -> String {
    counter!(COMMITS).absolute(commits);
    HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds recorded samples into their buckets, so that they do not pile up between two scrapes.
pub(crate) fn upkeep() {
    if let Some(Some(handle)) = HANDLE.get() {
        handle.run_upkeep();
    }
}

pub(crate) fn order_ended(outcome: OutcomeKind) {
    counter!(ORDERS, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn tap_to_paid(time: Duration) {
    histogram!(TAP_TO_PAID).record(time);
}

pub(crate) fn rail_answer(rail: RailKind, step: RailStep, answer: &RailAnswer) {
    let answer = match answer {
        RailAnswer::Done => "done",
        RailAnswer::Declined(_) => "declined",
        RailAnswer::ActionNeeded(_) => "action-needed",
        RailAnswer::Pending => "pending",
        RailAnswer::Unknown => "unknown",
    };
    counter!(RAIL_ANSWERS, "rail" => rail.as_str(), "step" => step.as_str(), "answer" => answer).increment(1);
}

pub(crate) fn request(method: &'static str, route: String, status: u16, time: Duration) {
    let class = match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => class).increment(1);
    histogram!(REQUEST_TIME, "route" => route).record(time);
}

pub(crate) fn streams(audience: &'static str, change: f64) {
    gauge!(STREAMS, "audience" => audience).increment(change);
}

pub(crate) fn event_lag(time_ms: i64) {
    let time_ms = u64::try_from(time_ms).unwrap_or(0);
    histogram!(EVENT_LAG).record(Duration::from_millis(time_ms));
}
