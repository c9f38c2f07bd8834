//! Messages this process has verified, by digest, so that each is verified once and not at every later step. Rows of
//! the database are not believed either: what is not remembered here is verified from its wire like a new message.

use std::sync::Arc;

use nodpay_core::{Bill, Decision, Digest, MerchantCertificate, Order, OutcomeCertificate, WatchId};
use nodpay_protocol::{
    LogBook, Verified, VerifyError, signed_outcome, verify_bill, verify_decision, verify_merchant_certificate,
    verify_order, verify_ordered_bill, verify_outcome_certificate, verify_requote,
};
use nodpay_store::{BillRow, Message, OrderRow, StoreError};

use crate::App;
use crate::problem::ApiError;
use nodpay_store::recent::Recent;

/// Messages of each kind that are remembered.
const CAPACITY: usize = 16_384;
/// There are fewer merchants.
const CERTIFICATES: usize = 4_096;
/// One for each time the operator changed the outcome key.
const OUTCOME_CERTIFICATES: usize = 64;

/// Bounded memories, one a kind.
#[derive(Debug)]
pub(crate) struct Remembered {
    certificates: Recent<Digest, Arc<Verified<MerchantCertificate>>>,
    outcome_certificates: Recent<Digest, Arc<Verified<OutcomeCertificate>>>,
    bills: Recent<Digest, Arc<Verified<Bill>>>,
    orders: Recent<Digest, Arc<Verified<Order>>>,
    decisions: Recent<Digest, Arc<Verified<Decision>>>,
}

impl Remembered {
    pub(crate) fn new() -> Self {
        Self {
            certificates: Recent::new(CERTIFICATES),
            outcome_certificates: Recent::new(OUTCOME_CERTIFICATES),
            bills: Recent::new(CAPACITY),
            orders: Recent::new(CAPACITY),
            decisions: Recent::new(CAPACITY),
        }
    }

    pub(crate) fn clear(&self) {
        self.bills.clear();
        self.orders.clear();
        self.decisions.clear();
    }

    pub(crate) fn keep_bill(&self, bill: Verified<Bill>) -> Arc<Verified<Bill>> {
        keep(&self.bills, bill)
    }

    pub(crate) fn keep_order(&self, order: Verified<Order>) -> Arc<Verified<Order>> {
        keep(&self.orders, order)
    }

    pub(crate) fn keep_decision(&self, decision: Verified<Decision>) -> Arc<Verified<Decision>> {
        keep(&self.decisions, decision)
    }
}

fn keep<T>(memory: &Recent<Digest, Arc<Verified<T>>>, message: Verified<T>) -> Arc<Verified<T>> {
    let message = Arc::new(message);
    memory.insert(message.digest(), Arc::clone(&message));
    message
}

/// An order and what it is about, all verified.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The payee's.
    pub(crate) certificate: Arc<Verified<MerchantCertificate>>,
    pub(crate) bill: Arc<Verified<Bill>>,
    /// The revision that stands in for the bill.
    pub(crate) requote: Option<Arc<Verified<Bill>>>,
    pub(crate) order: Arc<Verified<Order>>,
}

/// A merchant certificate of our root.
pub(crate) fn certificate(app: &App, stored: &Message) -> Result<Arc<Verified<MerchantCertificate>>, ApiError> {
    let memory = &app.remembered().certificates;
    recall(memory, stored, || verify_merchant_certificate(&stored.wire, &app.keys().root()))
}

/// A merchant's own bill.
pub(crate) fn bill(app: &App, row: &BillRow) -> Result<Arc<Verified<Bill>>, ApiError> {
    let certificate = certificate(app, &row.certificate)?;
    recall(&app.remembered().bills, &row.message, || verify_bill(&row.message.wire, &certificate))
}

/// The bill that `watch` orders or ordered: a merchant's, or one that this watch made of a printed code. The store lets
/// no other watch order that.
pub(crate) fn ordered_bill(
    app: &App,
    book: &LogBook,
    watch: WatchId,
    certificate_message: &Message,
    stored: &Message,
) -> Result<Arc<Verified<Bill>>, ApiError> {
    let certificate = certificate(app, certificate_message)?;
    recall(&app.remembered().bills, stored, || {
        let key = book.watch_ever(watch).ok_or(VerifyError::UnknownWatch)?.key;
        verify_ordered_bill(&stored.wire, &certificate, &key)
    })
}

/// Everything an order's later messages are checked against.
pub(crate) fn order(app: &App, book: &LogBook, row: &OrderRow) -> Result<Known, ApiError> {
    let bill = ordered_bill(app, book, row.watch, &row.merchant_certificate, &row.bill_message)?;
    let certificate = certificate(app, &row.merchant_certificate)?;
    let requote = match &row.requote {
        None => None,
        Some(requote) => {
            let stored = &requote.message;
            let memory = &app.remembered().bills;
            Some(recall(memory, stored, || verify_requote(&stored.wire, &certificate, &bill))?)
        }
    };
    let watch: WatchId = row.watch;
    let memory = &app.remembered().orders;
    let order = recall(memory, &row.message, || verify_order(&row.message.wire, book, watch, &bill))?;
    Ok(Known { certificate, bill, requote, order })
}

impl Known {
    /// A guardian's decision on it, and the authenticator's counter.
    pub(crate) fn decision(&self, wire: &str, book: &LogBook) -> Result<(Verified<Decision>, u32), VerifyError> {
        let requote = self.requote.as_deref();
        let (decision, _, counter) = verify_decision(wire, book, &self.order, &self.bill, requote, &self.certificate)?;
        Ok((decision, counter))
    }
}

/// The decision that was taken in for an order.
pub(crate) fn decision(
    app: &App,
    book: &LogBook,
    known: &Known,
    stored: &Message,
) -> Result<Arc<Verified<Decision>>, ApiError> {
    recall(&app.remembered().decisions, stored, || known.decision(&stored.wire, book).map(|(decision, _)| decision))
}

/// The certificate that an outcome of ours verifies under: outcomes outlive the key that signed them, and another replica may
/// have a newer one.
pub(crate) async fn outcome_certificate(
    app: &App,
    outcome: &Message,
) -> Result<Arc<Verified<OutcomeCertificate>>, ApiError> {
    let certified = app.keys().certified();
    if let Some(known) = certified.get(outcome.digest) {
        return Ok(known);
    }
    let mut all = outcome_certificates(app).await?.into_iter();
    let found = all.find(|certificate| signed_outcome(&outcome.wire, certificate));
    let found =
        found.ok_or_else(|| ApiError::Internal(format!("outcome {}: no certificate fits it", outcome.digest)))?;
    certified.insert(outcome.digest, Arc::clone(&found));
    Ok(found)
}

/// The certificates of all keys that ever signed outcomes here: the present one, then the newest first.
pub(crate) async fn outcome_certificates(app: &App) -> Result<Vec<Arc<Verified<OutcomeCertificate>>>, ApiError> {
    let present = app.keys().present_certificate();
    let mut earlier = Vec::new();
    for stored in app.store().outcome_certificates().await?.iter().filter(|stored| stored.digest != present.digest()) {
        let memory = &app.remembered().outcome_certificates;
        earlier.push(recall(memory, stored, || verify_outcome_certificate(&stored.wire, &app.keys().root()))?);
    }
    earlier.sort_by_key(|certificate| std::cmp::Reverse(certificate.not_before));
    Ok(std::iter::once(present).chain(earlier).collect())
}

/// From memory, or verified now. What we stored and no longer believe is an incident of ours, not the peer's fault.
fn recall<T>(
    memory: &Recent<Digest, Arc<Verified<T>>>,
    stored: &Message,
    verify: impl FnOnce() -> Result<Verified<T>, VerifyError>,
) -> Result<Arc<Verified<T>>, ApiError> {
    if let Some(known) = memory.get(stored.digest) {
        return Ok(known);
    }
    if stored.is_cut() {
        return Err(StoreError::OrderCut.into());
    }
    let incident = |what: &str| ApiError::Internal(format!("stored message {}: {what}", stored.digest));
    let verified = verify().map_err(|error| incident(&error.to_string()))?;
    if verified.digest() != stored.digest {
        return Err(incident("its digest is another one"));
    }
    Ok(keep(memory, verified))
}
