//! Turns the state into requests: asks, for each thing the state still needs, whether it is under way or due, and sends it
//! again until it is done.
//!
//! Never decides anything about money. Limits: one request of each kind under way, [`REQUEST_MS`] a request, waiting
//! times from [`FIRST_WAIT_MS`] doubling up to [`LONGEST_WAIT_MS`], with jitter.

use nodpay_core::{Digest, OrderId};
use nodpay_protocol::{code::BillReference, sign_request};

use super::order::{Errand as OrderErrand, Stage};
use super::{Agent, Face, Owner};
use crate::clock::Turn;
use crate::net::{Action, MAX_BODY_LEN, Method, Reply, Request, StreamRequest};
use crate::view::Notice;

/// An answer is waited for this long.
pub const REQUEST_MS: u64 = 10_000;
/// The runtime's own time-out comes first; this is for a runtime that lost a request.
const LOST_AFTER_MS: u64 = 20_000;
/// The stream sends something every 25 s.
const SILENCE_MS: u64 = 60_000;
/// Before the first repetition.
pub const FIRST_WAIT_MS: u64 = 500;
/// Before any repetition.
pub const LONGEST_WAIT_MS: u64 = 30_000;
/// A stream that was open this long worked; the next failure starts with short waits again.
const GOOD_STREAM_MS: u64 = 10_000;
/// Tries to fetch a bill, or to reach a pairing code's service, while the wearer waits.
const PATIENCE: u32 = 2;
const MAX_EVENT_ID_LEN: usize = 64;

/// When to try again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    attempts: u32,
    not_before: u64,
}

impl Retry {
    pub(super) fn failed(&mut self, turn: &mut Turn) {
        let wait = FIRST_WAIT_MS.saturating_mul(1 << self.attempts.min(16)).min(LONGEST_WAIT_MS);
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = turn.mono.saturating_add(turn.jitter(wait));
    }

    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    pub(super) fn hurry(&mut self, mono: u64) {
        self.not_before = self.not_before.min(mono);
    }

    pub(super) const fn is_due(&self, mono: u64) -> bool {
        mono >= self.not_before
    }

    pub(super) const fn due(&self) -> u64 {
        self.not_before
    }
}

/// One thing to ask the service for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The service of a pairing code.
    Check,
    Claim,
    Service,
    State,
    Bill(BillReference),
    /// Whose printed code this is.
    Payee(Digest),
    Order(OrderId, OrderErrand),
    Result(OrderId),
    /// The number of a report.
    PinReport(u64),
}

struct Flight {
    id: u64,
    errand: Errand,
    lost_at: u64,
    /// It was sent anew with a corrected time; not a second time.
    corrected: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stream {
    #[default]
    Closed,
    Opening(u64),
    Open {
        id: u64,
        since: u64,
    },
}

#[derive(Default)]
pub(super) struct Link {
    last_id: u64,
    flights: Vec<Flight>,
    stream: Stream,
    stream_retry: Retry,
    /// The last attempt to open the stream was the one with a corrected time.
    stream_corrected: bool,
    close_stream: bool,
    check: Retry,
    bill: Retry,
    pub(super) claim: Retry,
    pub(super) service: Retry,
    pub(super) state: Retry,
    pub(super) result: Retry,
    pub(super) pin: Retry,
    /// Fetch the outcome certificate again.
    pub(super) service_wanted: bool,
    /// Fetch the state again.
    state_wanted: bool,
    /// It was wanted once more while an answer was under way, which may be from before.
    state_outdated: bool,
}

impl Link {
    /// With nothing under way; numbers go on, so that late answers to old requests find no taker.
    pub(super) fn after(old: &Self) -> Self {
        Self { last_id: old.last_id, close_stream: old.stream != Stream::Closed, ..Self::default() }
    }

    pub(super) fn want_state(&mut self) {
        self.state_wanted = true;
        self.state_outdated = self.flights.iter().any(|flight| flight.errand == Errand::State);
    }

    /// An answer came: it is wanted again only if it may be outdated.
    pub(super) fn got_state(&mut self) {
        self.state_wanted = std::mem::take(&mut self.state_outdated);
    }

    pub(super) fn reset(&mut self) {
        *self = Self::after(self);
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.stream, Stream::Open { .. })
    }

    pub(super) fn forget_check(&mut self, mono: u64) {
        self.check.worked();
        self.check.hurry(mono);
    }

    pub(super) fn forget_bill(&mut self) {
        self.bill.worked();
    }

    /// The wearer wants something: try now what was to be tried later.
    pub(super) fn hurry(&mut self, mono: u64) {
        self.stream_retry.hurry(mono);
        for retry in [&mut self.claim, &mut self.service, &mut self.state, &mut self.result, &mut self.pin] {
            retry.hurry(mono);
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    fn is_under_way(&self, errand: Errand) -> bool {
        self.flights.iter().any(|flight| match (flight.errand, errand) {
            // One at a time for an order: what is sent next may depend on the answer.
            (Errand::Order(under_way, _), Errand::Order(order, _)) => under_way == order,
            (under_way, errand) => under_way == errand,
        })
    }
}

impl Agent {
    /// Sends what is needed and due.
    pub(super) fn pump(&mut self, turn: &mut Turn) {
        self.drop_lost(turn);
        if std::mem::take(&mut self.link.close_stream) {
            self.actions.push_back(Action::CloseStream);
        }
        for (errand, due) in self.errands() {
            if turn.mono >= due && !self.link.is_under_way(errand) {
                self.send(errand, false, turn);
            }
        }
        if self.wants_stream() && self.link.stream == Stream::Closed && self.link.stream_retry.is_due(turn.mono) {
            self.open_stream(turn);
        }
    }

    /// When something here is due without another input.
    pub(super) fn link_due(&self) -> Option<u64> {
        let errands = self.errands();
        let errands = errands.iter().filter(|(errand, _)| !self.link.is_under_way(*errand)).map(|(_, due)| *due);
        let flights = self.link.flights.iter().map(|flight| flight.lost_at);
        let stream = (self.wants_stream() && self.link.stream == Stream::Closed).then(|| self.link.stream_retry.due());
        errands.chain(flights).chain(stream).min()
    }

    fn wants_stream(&self) -> bool {
        match &self.owner {
            Owner::New => false,
            Owner::Pairing(pairing) => pairing.delivered,
            Owner::Household(_) => true,
        }
    }

    /// All that the state needs from the service, and when it may be asked.
    fn errands(&self) -> Vec<(Errand, u64)> {
        let link = &self.link;
        let mut errands = Vec::new();
        match self.face {
            Face::Checking(_) => errands.push((Errand::Check, link.check.due())),
            Face::Fetching(reference) => errands.push((Errand::Bill(reference), link.bill.due())),
            Face::Asking(ref sticker) => errands.push((Errand::Payee(sticker.payee), link.bill.due())),
            Face::Idle(_)
            | Face::Scan(..)
            | Face::ChoosePin(_)
            | Face::Amount(_)
            | Face::Review(_)
            | Face::History
            | Face::Pin(..)
            | Face::Recognise(..)
            | Face::Settings => {}
        }
        match &self.owner {
            Owner::New => {}
            Owner::Pairing(pairing) if !pairing.delivered => errands.push((Errand::Claim, link.claim.due())),
            Owner::Pairing(_) => {
                if link.state_wanted {
                    errands.push((Errand::State, link.state.due()));
                }
            }
            Owner::Household(home) => {
                for order in &home.orders {
                    if let Some(errand) = order.errand() {
                        errands.push((Errand::Order(order.id(), errand), order.retry.due()));
                    }
                }
                if link.state_wanted {
                    errands.push((Errand::State, link.state.due()));
                }
                if link.service_wanted || home.outcome_certificate.is_none() {
                    errands.push((Errand::Service, link.service.due()));
                }
                if let Some(report) = home.reports.first() {
                    errands.push((Errand::Result(report.order), link.result.due()));
                }
                if let Some((seq, _)) = self.asks.unsent() {
                    errands.push((Errand::PinReport(seq), link.pin.due()));
                }
            }
        }
        errands
    }

    fn send(&mut self, errand: Errand, corrected: bool, turn: &mut Turn) {
        let id = self.link.next_id();
        match self.request(id, errand, turn) {
            Some(request) => {
                let lost_at = turn.mono.saturating_add(LOST_AFTER_MS);
                if errand == Errand::State {
                    self.link.state_outdated = false;
                }
                self.link.flights.push(Flight { id, errand, lost_at, corrected });
                self.actions.push_back(Action::Request(request));
            }
            // The key store did not sign.
            None => self.answered(errand, Reply::Trouble, turn),
        }
    }

    fn request(&self, id: u64, errand: Errand, turn: &mut Turn) -> Option<Request> {
        let get = |service: &str, path: String, headers| Request {
            id,
            service: service.to_owned(),
            method: Method::Get,
            path,
            headers,
            body: Vec::new(),
            timeout_ms: REQUEST_MS,
        };
        if let (Errand::Check, Face::Checking(code)) = (errand, &self.face) {
            return Some(get(&code.service, "/api/service".to_owned(), Vec::new()));
        }
        let pins = match &self.owner {
            Owner::New => return None,
            Owner::Pairing(pairing) => &pairing.pins,
            Owner::Household(home) => &home.pins,
        };
        let watch = pins.watch;
        let proved_get = |path: String, turn: &mut Turn| {
            let proof = self.proof(Method::Get, &path, turn)?;
            Some(get(&pins.service, path, vec![("DPoP", proof)]))
        };
        let post = |path: String, kind: &str, body: Vec<u8>| Request {
            id,
            service: pins.service.clone(),
            method: Method::Post,
            path,
            headers: vec![("Content-Type", kind.to_owned())],
            body,
            timeout_ms: REQUEST_MS,
        };
        let post_signed = |path: String, wire: &str| post(path, "application/jose", wire.as_bytes().to_vec());
        match (errand, &self.owner) {
            (Errand::Claim, Owner::Pairing(pairing)) => {
                let body = serde_json::json!({ "key": pins.key, "claim": pairing.claim.wire() });
                let path = format!("/api/pairings/{}/claim", pairing.pairing);
                Some(post(path, "application/json", body.to_string().into_bytes()))
            }
            (Errand::Service, _) => Some(get(&pins.service, "/api/service".to_owned(), Vec::new())),
            (Errand::State, owner) => {
                let from = match owner {
                    Owner::Household(home) => home.book.next_seq(),
                    Owner::New | Owner::Pairing(_) => 0,
                };
                proved_get(format!("/api/watch/{watch}/state?from={from}"), turn)
            }
            (Errand::Bill(reference), _) => {
                let bill = nodpay_core::BillId::from_bytes(reference.bill);
                proved_get(format!("/api/watch/{watch}/bills/{bill}"), turn)
            }
            (Errand::Payee(_), _) => {
                let Face::Asking(sticker) = &self.face else { return None };
                let path = format!("/api/watch/{watch}/payee");
                let proof = self.proof(Method::Post, &path, turn)?;
                let mut request = post(path, "text/plain; charset=utf-8", sticker.text.as_str().as_bytes().to_vec());
                request.headers.push(("DPoP", proof));
                Some(request)
            }
            (Errand::Order(id, errand), Owner::Household(home)) => {
                let order = home.orders.iter().find(|order| order.id() == id)?;
                let path = format!("/api/watch/{watch}/orders");
                match &order.stage {
                    Stage::Sending if errand == OrderErrand::Bill => {
                        Some(post_signed(format!("/api/watch/{watch}/bills"), order.bill.wire()))
                    }
                    Stage::Sending => Some(post_signed(path, order.order.wire())),
                    Stage::Waiting => None,
                    Stage::GivenUp(given_up) => {
                        Some(post_signed(format!("{path}/{id}/cancel"), given_up.cancel.wire()))
                    }
                    Stage::Paying(paying) => Some(post_signed(format!("{path}/{id}/payment"), paying.payment.wire())),
                }
            }
            (Errand::Result(id), Owner::Household(home)) => {
                let report = home.reports.iter().find(|report| report.order == id)?;
                Some(post_signed(format!("/api/watch/{watch}/orders/{id}/result"), &report.result))
            }
            (Errand::PinReport(_), Owner::Household(_)) => {
                let (_, report) = self.asks.unsent()?;
                Some(post_signed(format!("/api/watch/{watch}/pin"), report))
            }
            (Errand::Check | Errand::Claim | Errand::Order(..) | Errand::Result(_) | Errand::PinReport(_), _) => None,
        }
    }

    fn proof(&self, method: Method, path: &str, turn: &mut Turn) -> Option<String> {
        sign_request(method.as_str(), path, self.clock.now(turn), turn.nonce(), &*self.keys).ok()
    }

    pub(super) fn response(&mut self, request: u64, status: u16, body: Vec<u8>, turn: &mut Turn) {
        let reply = if body.len() > MAX_BODY_LEN { Reply::Trouble } else { Reply::read(status, body) };
        self.landed(request, reply, turn);
    }

    pub(super) fn network_failed(&mut self, request: u64, turn: &mut Turn) {
        self.landed(request, Reply::Trouble, turn);
    }

    fn landed(&mut self, request: u64, reply: Reply, turn: &mut Turn) {
        let Some(index) = self.link.flights.iter().position(|flight| flight.id == request) else { return };
        let flight = self.link.flights.swap_remove(index);
        if let Reply::ProofAge(now) = reply {
            self.clock.learn(now, turn);
            self.dirty = true;
            let still_wanted = self.errands().iter().any(|(errand, _)| *errand == flight.errand);
            if !flight.corrected {
                if still_wanted {
                    self.send(flight.errand, true, turn);
                }
                return;
            }
        }
        self.answered(flight.errand, reply, turn);
    }

    fn answered(&mut self, errand: Errand, reply: Reply, turn: &mut Turn) {
        match errand {
            Errand::Check => {
                if self.is_patient(errand, &reply, turn) {
                    return;
                }
                self.checked(reply, turn);
            }
            Errand::Bill(reference) => {
                // The wearer may have gone on to something else meanwhile.
                if !matches!(self.face, Face::Fetching(wanted) if wanted == reference) {
                    return;
                }
                if self.is_patient(errand, &reply, turn) {
                    return;
                }
                self.bill_answered(reference, reply, turn);
            }
            Errand::Payee(payee) => {
                if !matches!(&self.face, Face::Asking(sticker) if sticker.payee == payee) {
                    return;
                }
                if self.is_patient(errand, &reply, turn) {
                    return;
                }
                self.payee_answered(reply, turn);
            }
            Errand::Claim => self.claimed(reply, turn),
            Errand::Service => self.service_answered(reply, turn),
            Errand::State => self.state_answered(reply, turn),
            Errand::Order(order, errand) => self.order_answered(order, errand, reply, turn),
            Errand::Result(order) => self.result_answered(order, &reply, turn),
            Errand::PinReport(seq) => self.pin_report_answered(seq, &reply, turn),
        }
    }

    /// Someone is waiting in front of the screen: a few tries, then a plain word.
    fn is_patient(&mut self, errand: Errand, reply: &Reply, turn: &mut Turn) -> bool {
        if !matches!(reply, Reply::Trouble | Reply::ProofAge(_)) {
            return false;
        }
        let retry = if errand == Errand::Check { &mut self.link.check } else { &mut self.link.bill };
        retry.failed(turn);
        if retry.attempts >= PATIENCE {
            self.tell(Notice::NoNetwork);
        }
        true
    }

    fn drop_lost(&mut self, turn: &mut Turn) {
        let lost: Vec<u64> =
            self.link.flights.iter().filter(|flight| turn.mono >= flight.lost_at).map(|flight| flight.id).collect();
        for id in lost {
            self.network_failed(id, turn);
        }
    }

    fn open_stream(&mut self, turn: &mut Turn) {
        let (pins, last_event) = match &self.owner {
            Owner::New => return,
            Owner::Pairing(pairing) => (&pairing.pins, None),
            Owner::Household(home) => (&home.pins, home.last_event.clone()),
        };
        let path = format!("/api/watch/{}/events", pins.watch);
        let service = pins.service.clone();
        let Some(proof) = self.proof(Method::Get, &path, turn) else {
            self.link.stream_retry.failed(turn);
            return;
        };
        let mut headers = vec![("DPoP", proof), ("Accept", "text/event-stream".to_owned())];
        headers.extend(last_event.map(|id| ("Last-Event-ID", id)));
        let id = self.link.next_id();
        self.link.stream = Stream::Opening(id);
        self.actions.push_back(Action::OpenStream(StreamRequest {
            id,
            service,
            path,
            headers,
            silence_ms: SILENCE_MS,
        }));
    }

    fn is_current(&self, stream: u64) -> bool {
        match self.link.stream {
            Stream::Closed => false,
            Stream::Opening(id) | Stream::Open { id, .. } => id == stream,
        }
    }

    /// The network is back: everything that waited is tried at once. The state closes every gap before the stream.
    pub(super) fn stream_opened(&mut self, stream: u64, turn: &Turn) {
        if !self.is_current(stream) {
            return;
        }
        let link = &mut self.link;
        link.stream = Stream::Open { id: stream, since: turn.mono };
        link.stream_corrected = false;
        link.want_state();
        for retry in [&mut link.claim, &mut link.service, &mut link.state, &mut link.result, &mut link.pin] {
            retry.worked();
        }
        for order in self.household_mut().into_iter().flat_map(|home| &mut home.orders) {
            order.retry.worked();
        }
    }

    pub(super) fn stream_refused(&mut self, stream: u64, status: u16, body: Vec<u8>, turn: &mut Turn) {
        if !self.is_current(stream) {
            return;
        }
        self.link.stream = Stream::Closed;
        match Reply::read(status, body) {
            Reply::ProofAge(now) => {
                self.clock.learn(now, turn);
                self.dirty = true;
                // At once, but only once.
                if !std::mem::replace(&mut self.link.stream_corrected, true) {
                    return;
                }
            }
            Reply::Refused(code) => self.disown(&code),
            Reply::Done(_) | Reply::Trouble => {}
        }
        self.link.stream_retry.failed(turn);
    }

    pub(super) fn stream_closed(&mut self, stream: u64, turn: &mut Turn) {
        if !self.is_current(stream) {
            return;
        }
        if matches!(self.link.stream, Stream::Open { since, .. } if turn.mono >= since.saturating_add(GOOD_STREAM_MS)) {
            self.link.stream_retry.worked();
        }
        self.link.stream = Stream::Closed;
        self.link.stream_retry.failed(turn);
    }

    pub(super) fn stream_event(&mut self, stream: u64, id: Option<String>, kind: &str, data: &str, turn: &mut Turn) {
        if !self.is_current(stream) || data.len() > MAX_BODY_LEN {
            return;
        }
        self.event(kind, data, turn);
        let sound =
            |id: &String| (1..=MAX_EVENT_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(home) = self.household_mut() else { return };
        if let Some(id) = id.filter(sound) {
            home.last_event = Some(id);
        }
        // What waits for a certificate or a log entry must come again after a reboot.
        if !home.orders.iter().any(super::order::OpenOrder::is_parked) {
            home.settled_event.clone_from(&home.last_event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_the_state_outlives_an_answer_from_before_it() {
        let mut link = Link::default();
        link.want_state();
        link.flights.push(Flight { id: 1, errand: Errand::State, lost_at: 0, corrected: false });
        link.want_state();
        link.flights.clear();
        link.got_state();
        assert!(link.state_wanted, "the answer may be older than the second wish");
        link.got_state();
        assert!(!link.state_wanted);
    }
}
