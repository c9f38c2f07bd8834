//! Turns the state into requests: asks, for each thing the state still needs from the service, whether it is under way or
//! due, and sends it again until it is done.
//!
//! The link is *up* from an answer of the service's until an attempt gets none. While it is not (at the start too) there
//! is one attempt at a time, the event stream's included, with pauses from [`FIRST_WAIT_MS`] doubling, with jitter, up to
//! [`LONGEST_WAIT_MS`] while someone waits and [`LONGEST_IDLE_WAIT_MS`] while nobody does. A touch ends the pause. What
//! goes first is in one table (`Errand::rank`); who has failed less often goes before that, so that one request which
//! never gets through does not hide that others do. While it is up, [`MAX_FLIGHTS`] may be under way, one of each kind.
//!
//! An answer that is not the service's (a captive portal's page, a proxy's error) is no answer. A service that is busy or
//! makes no sense is asked again later for that one thing; the link stays up.
//!
//! Never decides anything about money.

use nodpay_core::{Digest, OrderId};
use nodpay_protocol::{code::BillReference, sign_request};

use super::order::{Errand as OrderErrand, OpenOrder, Stage};
use super::{Agent, Face, Owner};
use crate::clock::Turn;
use crate::net::{Action, Answer, MAX_BODY_LEN, Method, Reply, Request, StreamRequest};

/// An answer is waited for this long.
pub const REQUEST_MS: u64 = 10_000;
/// Requests under way while the link is up; the runtime does them one after the other.
pub const MAX_FLIGHTS: usize = 4;
/// The runtime's own time-outs come first; this is for a runtime that lost a request.
const LOST_AFTER_MS: u64 = 45_000;
/// The stream sends something every 25 s.
const SILENCE_MS: u64 = 60_000;
/// Before the first repetition.
pub const FIRST_WAIT_MS: u64 = 500;
/// Before any repetition while the wearer waits for something, or touched the watch less than [`ATTENTION_MS`] ago.
pub const LONGEST_WAIT_MS: u64 = 30_000;
/// Before any other repetition: a month without a network must not empty the battery.
pub const LONGEST_IDLE_WAIT_MS: u64 = 5 * 60 * 1000;
const ATTENTION_MS: u64 = 10 * 60 * 1000;
/// A link that was up this long worked; the next failure starts with short waits again.
const GOOD_LINK_MS: u64 = 10_000;
const MAX_EVENT_ID_LEN: usize = 64;

/// When to try again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    attempts: u32,
    not_before: u64,
}

impl Retry {
    pub(super) fn failed(&mut self, turn: &mut Turn) {
        self.wait(LONGEST_WAIT_MS, turn);
    }

    fn wait(&mut self, longest_ms: u64, turn: &mut Turn) {
        let wait = FIRST_WAIT_MS.saturating_mul(1 << self.attempts.min(16)).min(longest_ms);
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = turn.mono.saturating_add(turn.jitter(wait));
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
    Stream,
}

impl Errand {
    /// The smaller, the more it matters: first what money waits for, then what the wearer waits for.
    const fn rank(self) -> u8 {
        match self {
            Self::Order(_, OrderErrand::Payment) => 0,
            Self::Order(_, OrderErrand::Cancel) => 1,
            Self::Order(_, OrderErrand::Bill | OrderErrand::Order) => 2,
            Self::Bill(_) | Self::Payee(_) => 3,
            Self::Check => 4,
            Self::Claim => 5,
            Self::Result(_) => 6,
            Self::PinReport(_) => 7,
            Self::State => 8,
            Self::Service => 9,
            Self::Stream => 10,
        }
    }
}

/// A request, or a stream being opened.
struct Flight {
    id: u64,
    errand: Errand,
    lost_at: u64,
    /// It was sent anew with a corrected time; not a second time.
    corrected: bool,
}

#[derive(Default)]
pub(super) struct Link {
    last_id: u64,
    flights: Vec<Flight>,
    /// The one that is open.
    stream: Option<u64>,
    close_stream: bool,
    /// `None` while it is not known that the service can be reached.
    up_since: Option<u64>,
    /// Counts attempts without any answer, and says when the next may be made.
    outage: Retry,
    /// Of errands that failed: how often, and when the service may be asked again that would not or could not yet.
    retries: Vec<(Errand, Retry)>,
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
        let close_stream = old.stream.is_some() || old.is_under_way(Errand::Stream);
        Self { last_id: old.last_id, close_stream, ..Self::default() }
    }

    pub(super) fn want_state(&mut self) {
        self.state_wanted = true;
        self.state_outdated = self.flights.iter().any(|flight| flight.errand == Errand::State);
    }

    /// Something newer than a state under way was heard.
    pub(super) fn got_news(&mut self) {
        self.state_outdated |= self.is_under_way(Errand::State);
    }

    /// An answer came: it is wanted again only if it may be outdated.
    pub(super) fn got_state(&mut self) {
        self.state_wanted = std::mem::take(&mut self.state_outdated);
    }

    pub(super) fn reset(&mut self) {
        *self = Self::after(self);
    }

    /// The wearer wants something: try now what was to be tried later.
    pub(super) fn hurry(&mut self) {
        self.outage = Retry::default();
    }

    pub(super) const fn is_up(&self) -> bool {
        self.up_since.is_some()
    }

    /// The service itself answered.
    fn answers(&mut self, mono: u64) {
        self.up_since.get_or_insert(mono);
    }

    /// `errand` got no answer.
    fn fails(&mut self, errand: Errand, longest_ms: u64, turn: &mut Turn) {
        if self.up_since.take().is_some_and(|since| turn.mono >= since.saturating_add(GOOD_LINK_MS)) {
            self.outage = Retry::default();
        }
        self.outage.wait(longest_ms, turn);
        let retry = self.retry_mut(errand);
        retry.attempts = retry.attempts.saturating_add(1);
    }

    fn retry(&self, errand: Errand) -> Retry {
        self.retries.iter().find(|(failed, _)| *failed == errand).map(|(_, retry)| *retry).unwrap_or_default()
    }

    fn retry_mut(&mut self, errand: Errand) -> &mut Retry {
        let index = self.retries.iter().position(|(failed, _)| *failed == errand).unwrap_or_else(|| {
            self.retries.push((errand, Retry::default()));
            self.retries.len() - 1
        });
        &mut self.retries[index].1
    }

    fn has_room(&self) -> bool {
        if self.is_up() { self.flights.len() < MAX_FLIGHTS } else { self.flights.is_empty() }
    }

    /// When the link itself allows the next attempt.
    fn opens_at(&self) -> u64 {
        if self.is_up() { 0 } else { self.outage.due() }
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
        let wanted = self.errands();
        self.link.retries.retain(|(errand, _)| wanted.contains(errand));
        while let Some(errand) = self.next_errand(turn.mono) {
            self.send(errand, false, turn);
        }
    }

    fn next_errand(&self, mono: u64) -> Option<Errand> {
        let link = &self.link;
        if !link.has_room() || mono < link.opens_at() {
            return None;
        }
        let failures = |errand: &Errand| if link.is_up() { 0 } else { link.retry(*errand).attempts };
        let mut errands = self.errands();
        errands.retain(|errand| !link.is_under_way(*errand) && link.retry(*errand).is_due(mono));
        errands.into_iter().min_by_key(|errand| (failures(errand), errand.rank()))
    }

    /// When something here is due without another input.
    pub(super) fn link_due(&self) -> Option<u64> {
        let link = &self.link;
        let lost = link.flights.iter().map(|flight| flight.lost_at).min();
        let waiting = self.errands().into_iter().filter(|errand| !link.is_under_way(*errand));
        let next = waiting.map(|errand| link.retry(errand).due().max(link.opens_at())).min();
        [lost, next.filter(|_| link.has_room())].into_iter().flatten().min()
    }

    /// The stream is open and nothing waits for an answer that failed to come; where there is no stream yet, no attempt
    /// has failed.
    pub(super) fn is_online(&self) -> bool {
        if self.wants_stream() {
            self.link.stream.is_some() && (self.link.is_up() || self.errands().is_empty())
        } else {
            self.link.is_up() || self.link.outage.attempts == 0
        }
    }

    fn wants_stream(&self) -> bool {
        match &self.owner {
            Owner::New => false,
            Owner::Pairing(pairing) => pairing.delivered,
            Owner::Household(_) => true,
        }
    }

    /// The longest pause between two attempts.
    fn longest_wait_ms(&self, turn: &Turn) -> u64 {
        let attended = turn.mono < self.touched.saturating_add(ATTENTION_MS);
        let awaited = self.household().is_some_and(|home| home.orders.iter().any(OpenOrder::is_awaited));
        if attended || awaited { LONGEST_WAIT_MS } else { LONGEST_IDLE_WAIT_MS }
    }

    /// All that the state needs from the service.
    fn errands(&self) -> Vec<Errand> {
        let link = &self.link;
        let mut errands = Vec::new();
        match self.face {
            Face::Checking(_) => errands.push(Errand::Check),
            Face::Fetching(reference) => errands.push(Errand::Bill(reference)),
            Face::Asking(ref sticker) => errands.push(Errand::Payee(sticker.payee)),
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
            Owner::Pairing(pairing) if !pairing.delivered => errands.push(Errand::Claim),
            Owner::Pairing(_) => {
                if link.state_wanted {
                    errands.push(Errand::State);
                }
            }
            Owner::Household(home) => {
                let order = |order: &OpenOrder| order.errand().map(|errand| Errand::Order(order.id(), errand));
                errands.extend(home.orders.iter().filter_map(order));
                if link.state_wanted {
                    errands.push(Errand::State);
                }
                if link.service_wanted || home.outcome_certificates.is_empty() {
                    errands.push(Errand::Service);
                }
                if let Some(report) = home.reports.first() {
                    errands.push(Errand::Result(report.order));
                }
                if let Some((seq, _)) = self.asks.unsent() {
                    errands.push(Errand::PinReport(seq));
                }
            }
        }
        if self.wants_stream() && link.stream.is_none() {
            errands.push(Errand::Stream);
        }
        errands
    }

    fn send(&mut self, errand: Errand, corrected: bool, turn: &mut Turn) {
        self.link.last_id = self.link.last_id.wrapping_add(1);
        let id = self.link.last_id;
        let action = if errand == Errand::Stream {
            self.stream_request(id, turn).map(Action::OpenStream)
        } else {
            self.request(id, errand, turn).map(Action::Request)
        };
        let Some(action) = action else {
            // The key store did not sign.
            self.ask_later(errand, 0, turn);
            return;
        };
        if errand == Errand::State {
            self.link.state_outdated = false;
        }
        let lost_at = turn.mono.saturating_add(LOST_AFTER_MS);
        self.link.flights.push(Flight { id, errand, lost_at, corrected });
        self.actions.push_back(action);
    }

    /// In `least_ms` or what the pauses grow to, whichever is more.
    fn ask_later(&mut self, errand: Errand, least_ms: u64, turn: &mut Turn) {
        let longest = self.longest_wait_ms(turn);
        let retry = self.link.retry_mut(errand);
        retry.wait(longest, turn);
        retry.not_before = retry.not_before.max(turn.mono.saturating_add(least_ms));
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
            (Errand::Check | Errand::Claim | Errand::Order(..) | Errand::Result(_) | Errand::PinReport(_), _)
            | (Errand::Stream, _) => None,
        }
    }

    fn proof(&self, method: Method, path: &str, turn: &mut Turn) -> Option<String> {
        sign_request(method.as_str(), path, self.clock.now(turn), turn.nonce(), &*self.keys).ok()
    }

    fn stream_request(&self, id: u64, turn: &mut Turn) -> Option<StreamRequest> {
        let (pins, last_event) = match &self.owner {
            Owner::New => return None,
            Owner::Pairing(pairing) => (&pairing.pins, None),
            Owner::Household(home) => (&home.pins, home.last_event.clone()),
        };
        let path = format!("/api/watch/{}/events", pins.watch);
        let mut headers =
            vec![("DPoP", self.proof(Method::Get, &path, turn)?), ("Accept", "text/event-stream".to_owned())];
        headers.extend(last_event.map(|id| ("Last-Event-ID", id)));
        Some(StreamRequest { id, service: pins.service.clone(), path, headers, silence_ms: SILENCE_MS })
    }

    pub(super) fn response(&mut self, request: u64, status: u16, body: Vec<u8>, turn: &mut Turn) {
        let answer = if body.len() > MAX_BODY_LEN { Answer::Nobody } else { Answer::read(status, body) };
        self.landed(request, answer, turn);
    }

    pub(super) fn network_failed(&mut self, request: u64, turn: &mut Turn) {
        self.landed(request, Answer::Nobody, turn);
    }

    fn landed(&mut self, request: u64, answer: Answer, turn: &mut Turn) {
        let Some(index) = self.link.flights.iter().position(|flight| flight.id == request) else { return };
        let Flight { errand, corrected, .. } = self.link.flights.swap_remove(index);
        let longest_ms = self.longest_wait_ms(turn);
        match answer {
            Answer::Nobody => self.link.fails(errand, longest_ms, turn),
            Answer::Busy { retry_ms } => {
                self.link.answers(turn.mono);
                self.ask_later(errand, retry_ms.min(longest_ms), turn);
            }
            Answer::ProofAge(now) => {
                self.link.answers(turn.mono);
                self.clock.learn(now, turn);
                self.dirty = true;
                if corrected {
                    self.ask_later(errand, 0, turn);
                } else if self.errands().contains(&errand) {
                    self.send(errand, true, turn);
                }
            }
            Answer::Reply(reply) => {
                self.link.answers(turn.mono);
                if self.answered(errand, reply, turn) {
                    self.link.retries.retain(|(done, _)| *done != errand);
                } else {
                    self.ask_later(errand, 0, turn);
                }
            }
        }
    }

    /// False when the same is to be asked again later.
    fn answered(&mut self, errand: Errand, reply: Reply, turn: &mut Turn) -> bool {
        match errand {
            Errand::Check => self.checked(reply, turn),
            Errand::Bill(reference) => {
                // The wearer may have gone on to something else meanwhile.
                if matches!(self.face, Face::Fetching(wanted) if wanted == reference) {
                    self.bill_answered(reference, reply, turn);
                }
            }
            Errand::Payee(payee) => {
                if matches!(&self.face, Face::Asking(sticker) if sticker.payee == payee) {
                    self.payee_answered(reply, turn);
                }
            }
            Errand::Claim => self.claimed(reply),
            Errand::Service => return self.service_answered(reply, turn),
            Errand::State => return self.state_answered(reply, turn),
            Errand::Order(order, errand) => return self.order_answered(order, errand, reply, turn),
            Errand::Result(order) => self.result_answered(order),
            Errand::PinReport(seq) => self.pin_report_answered(seq),
            Errand::Stream => {
                if let Reply::Refused(code) = reply {
                    self.disown(&code);
                }
                return false;
            }
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

    /// The state closes every gap before the stream.
    pub(super) fn stream_opened(&mut self, stream: u64, turn: &Turn) {
        let opening = |flight: &Flight| flight.id == stream && flight.errand == Errand::Stream;
        let Some(index) = self.link.flights.iter().position(opening) else { return };
        let link = &mut self.link;
        link.flights.swap_remove(index);
        link.retries.retain(|(errand, _)| *errand != Errand::Stream);
        link.stream = Some(stream);
        link.answers(turn.mono);
        link.want_state();
    }

    pub(super) fn stream_refused(&mut self, stream: u64, status: u16, body: Vec<u8>, turn: &mut Turn) {
        self.landed(stream, Answer::read(status, body), turn);
    }

    pub(super) fn stream_closed(&mut self, stream: u64, turn: &mut Turn) {
        if self.link.stream == Some(stream) {
            self.link.stream = None;
            let longest_ms = self.longest_wait_ms(turn);
            self.link.fails(Errand::Stream, longest_ms, turn);
        } else {
            self.landed(stream, Answer::Nobody, turn);
        }
    }

    pub(super) fn stream_event(&mut self, stream: u64, id: Option<String>, kind: &str, data: &str, turn: &mut Turn) {
        if self.link.stream != Some(stream) || data.len() > MAX_BODY_LEN {
            return;
        }
        self.link.answers(turn.mono);
        self.event(kind, data, turn);
        let sound =
            |id: &String| (1..=MAX_EVENT_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(home) = self.household_mut() else { return };
        if let Some(id) = id.filter(sound) {
            home.last_event = Some(id);
        }
        // What waits for a certificate or a log entry must come again after a reboot.
        if !home.orders.iter().any(OpenOrder::is_parked) {
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
