//! What the operator sees at `/metrics`: counts and times, never who or what. `docs/OPERATING.md` explains each; a test compares.
//!
//! Every label has few values: routes, classes and words of ours, never ids or texts.
//!
//! The recorder is the process's: several services in one process (tests) share it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use nodpay_core::{OutcomeKind, RailAnswer, RailKind};
use nodpay_store::{DisputeState, StoreError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric as it is shown.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

const ORDERS: &str = "nodpay_orders_ended_total";
const TAP_TO_PAID: &str = "nodpay_tap_to_paid_seconds";
const RAIL_ANSWERS: &str = "nodpay_rail_answers_total";
const DISPUTES: &str = "nodpay_disputes_total";
const REQUESTS: &str = "nodpay_http_requests_total";
const REQUEST_TIME: &str = "nodpay_http_request_seconds";
const STREAMS: &str = "nodpay_event_streams";
const EVENT_LAG: &str = "nodpay_event_lag_seconds";
const PUSHES: &str = "nodpay_pushes_total";
const PUSH_TIME: &str = "nodpay_push_seconds";
const PUSHES_MISSED: &str = "nodpay_pushes_missed_total";
const COMMITS: &str = "nodpay_commits_total";
const STORE_ERRORS: &str = "nodpay_store_errors_total";

const ALL: [Metric; 13] = [
    Metric { name: ORDERS, kind: Kind::Counter, help: "Orders by how they ended" },
    Metric {
        name: TAP_TO_PAID,
        kind: Kind::Histogram,
        help: "From the guardian's accepted decision to the accepted payment, where one process saw both",
    },
    Metric {
        name: RAIL_ANSWERS,
        kind: Kind::Counter,
        help: "What rails answered to hold, post, void, refund, top-up and status",
    },
    Metric { name: DISPUTES, kind: Kind::Counter, help: "Disputed card payments by what became of them" },
    Metric { name: REQUESTS, kind: Kind::Counter, help: "Answered requests by route and class of status" },
    Metric { name: REQUEST_TIME, kind: Kind::Histogram, help: "Time to answer a request" },
    Metric { name: STREAMS, kind: Kind::Gauge, help: "Open event streams" },
    Metric {
        name: EVENT_LAG,
        kind: Kind::Histogram,
        help: "From an event's record to its sending on a stream that was open then",
    },
    Metric { name: PUSHES, kind: Kind::Counter, help: "Push messages by what push services made of them" },
    Metric { name: PUSH_TIME, kind: Kind::Histogram, help: "From an event's record to its push message being taken" },
    Metric { name: PUSHES_MISSED, kind: Kind::Counter, help: "Events that came faster than phones could be woken" },
    Metric { name: STORE_ERRORS, kind: Kind::Counter, help: "Transactions that failed by our fault" },
    Metric { name: COMMITS, kind: Kind::Counter, help: "Commits of the database; one may carry many state changes" },
];

/// Seconds: from a loopback payment to a guardian's phone on a bad network.
const TIME_BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder once; later calls do nothing.
pub(crate) fn install() {
    HANDLE.get_or_init(|| {
        let timed = ALL.iter().filter(|metric| metric.kind == Kind::Histogram);
        let builder = timed.map(|metric| metric.name).try_fold(PrometheusBuilder::new(), |builder, name| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &TIME_BUCKETS)
        });
        let handle = builder.ok()?.install_recorder().ok()?;
        for Metric { name, kind, help, .. } in ALL {
            match kind {
                Kind::Counter => describe_counter!(name, help),
                Kind::Gauge => describe_gauge!(name, help),
                Kind::Histogram => describe_histogram!(name, help),
            }
        }
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

pub(crate) fn rail_answer(rail: RailKind, step: &'static str, answer: &RailAnswer) {
    let answer = match answer {
        RailAnswer::Done => "done",
        RailAnswer::Declined(_) => "declined",
        RailAnswer::ActionNeeded(_) => "action-needed",
        RailAnswer::Pending => "pending",
        RailAnswer::Unknown => "unknown",
    };
    counter!(RAIL_ANSWERS, "rail" => rail.as_str(), "step" => step, "answer" => answer).increment(1);
}

pub(crate) fn disputed(state: DisputeState) {
    counter!(DISPUTES, "state" => state.as_str()).increment(1);
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

pub(crate) fn pushed(answer: &'static str) {
    counter!(PUSHES, "answer" => answer).increment(1);
}

pub(crate) fn push_time(time_ms: i64) {
    let time_ms = u64::try_from(time_ms).unwrap_or(0);
    histogram!(PUSH_TIME).record(Duration::from_millis(time_ms));
}

pub(crate) fn pushes_missed(count: u64) {
    counter!(PUSHES_MISSED).increment(count);
}

pub(crate) fn store_error(error: &StoreError) {
    counter!(STORE_ERRORS, "error" => error.code()).increment(1);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Type and labels by name.
    type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

    fn shown(page: &str) -> Metrics {
        let mut shown = Metrics::new();
        for line in page.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                shown.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            } else if let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
                let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                let (_, labels) = shown.get_mut(stem).expect("a type comes first");
                let (inside, _) = rest.rsplit_once('}').expect("closed");
                let keys = inside.split(',').filter_map(|label| label.split_once('=')).map(|(key, _)| key);
                labels.extend(keys.filter(|key| *key != "le").map(str::to_owned));
            }
        }
        shown
    }

    fn documented(text: &str) -> Metrics {
        let row = |row: &str| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, name, kind, labels, meaning, _] = cells.as_slice() else { panic!("four cells: {row}") };
            assert!(!meaning.is_empty(), "{row}");
            let labels =
                labels.split(' ').map(|label| label.trim_matches(['`', ','])).filter(|label| !label.is_empty());
            (name.trim_matches('`').to_owned(), ((*kind).to_owned(), labels.map(str::to_owned).collect()))
        };
        text.lines().filter(|line| line.starts_with("| `nodpay_")).map(row).collect()
    }

    #[test]
    fn the_list_in_the_documents_is_what_is_shown() {
        install();
        order_ended(OutcomeKind::Paid);
        tap_to_paid(Duration::from_millis(7));
        rail_answer(RailKind::Wallet, "hold", &RailAnswer::Done);
        disputed(DisputeState::Taken);
        request("GET", "/healthz".to_owned(), 200, Duration::from_millis(1));
        streams("watch", 1.0);
        event_lag(3);
        pushed("taken");
        push_time(30);
        pushes_missed(1);
        store_error(&StoreError::Stopped);
        let documents = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATING.md");
        let text = std::fs::read_to_string(documents).expect("the document");
        let shown = shown(&render(1));
        assert_eq!(documented(&text), shown);
        assert_eq!(
            ALL.map(|metric| metric.name.to_owned()).into_iter().collect::<BTreeSet<_>>(),
            shown.into_keys().collect()
        );
    }
}
