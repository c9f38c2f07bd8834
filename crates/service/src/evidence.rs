//! Evidence files out of what the store keeps, and the proof that all of them hold.

use nodpay_core::{Decision, HouseholdId, OutcomeCertificate, Timestamp, V1};
use nodpay_protocol::{
    Anchor, AnchorGuardian, Assertion, Evidence, LogBook, RelyingParty, Verified, signed_outcome, verify_evidence,
    verify_outcome_certificate,
};
use nodpay_store::{
    Ended, EvidencePage, EvidenceParts, Finding, MAX_HOUSEHOLDS_PAGE, MAX_ORDERS_PAGE, Message, OrderRow, Rulebook,
    Store, StoreError,
};

use crate::config::MIN_ORDERS_DAYS;
use crate::keys::ServiceKeys;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The evidence of an ended order, whose outcome verifies under `certificate`.
pub(crate) fn assemble(
    parts: EvidenceParts,
    certificate: &Verified<OutcomeCertificate>,
) -> Result<Evidence, StoreError> {
    let row = parts.order;
    let outcome = row.outcome.ok_or(StoreError::OrderNotEnded)?;
    let wire = |message: Option<Message>| message.map(|message| message.wire);
    let names_first = row.decision.as_ref().is_some_and(|decision| names_first(&decision.wire));
    Ok(Evidence {
        v: V1,
        merchant_certificate: row.merchant_certificate.wire,
        outcome_certificate: certificate.wire().to_owned(),
        log: parts.log,
        wearer_name: parts.wearer,
        bill: row.bill_message.wire,
        requote: row.requote.map(|requote| requote.message.wire),
        order: row.message.wire,
        decision: wire(row.decision),
        first: wire(row.first).filter(|_| names_first),
        cancel: wire(row.cancel),
        payment: wire(row.payment),
        outcome: outcome.message.wire,
        result: wire(row.result),
    })
}

/// A refusal names no other guardian's approval, though there may have been one.
fn names_first(decision: &str) -> bool {
    let assertion = Assertion::parse(decision).ok();
    let said = assertion.and_then(|assertion| serde_json::from_slice::<Decision>(&assertion.payload).ok());
    said.is_some_and(|decision| decision.first.is_some())
}

/// How many orders a check of the evidence went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceCount {
    /// Those that have ended and are kept.
    pub looked_at: u64,
    /// Those whose messages are no longer kept.
    pub cut: u64,
}

/// Verifies the evidence of every ended order, as a stranger would who trusts the root key and each household's own log, and
/// compares what it proves with what the books say. Of an order that came less than [`MIN_ORDERS_DAYS`] before `now` the evidence
/// must be there. `tell` gets what is wrong.
///
/// Reads page by page, each in one view, so it can run for long beside a service; orders that come meanwhile may be missed.
///
/// # Errors
/// When the store fails.
pub async fn check_evidence(
    store: &Store,
    keys: &ServiceKeys,
    relying_party: &RelyingParty,
    now: Timestamp,
    mut tell: impl FnMut(Finding),
) -> Result<EvidenceCount, StoreError> {
    let check = Check { store, keys, relying_party, now };
    let mut count = EvidenceCount::default();
    let mut after = None;
    loop {
        let page = store.households(after, MAX_HOUSEHOLDS_PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.household);
        for row in page {
            match check.household(row.household, &mut count, &mut tell).await {
                // Of one that is erased only its books are left, which prove nothing.
                Ok(()) | Err(StoreError::HouseholdErased) => {}
                Err(StoreError::Incident { table, row, what }) => tell(Finding { table, row, what }),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The keys that the household's log names, as an anchor file; what is wrong with the log.
pub(crate) fn anchor(
    rulebook: &Rulebook,
    keys: &ServiceKeys,
    relying_party: &RelyingParty,
    household: HouseholdId,
) -> Result<String, String> {
    let (founding, rest) = rulebook.log.split_first().ok_or("it is empty")?;
    let mut book = LogBook::found(&founding.wire, Some(founding.digest), relying_party.clone())
        .map_err(|error| error.to_string())?;
    for entry in rest {
        book.append(&entry.wire).map_err(|error| error.to_string())?;
    }
    let rules = rulebook.mandates.iter().map(|(entry, rule)| (entry, rule));
    if !rules.eq(book.mandates().map(|one| (&one.entry, &one.mandate))) {
        return Err("the rules that payments are judged by are not those of the log".to_owned());
    }
    if rulebook.house_rules != book.house_rules(u64::MAX) {
        return Err("the household's rules of deciding are not those of the log".to_owned());
    }
    let guardians = book.guardians().map(|guardian| AnchorGuardian {
        guardian: guardian.guardian,
        credential: guardian.credential.clone(),
        key: guardian.key,
    });
    let anchor = Anchor {
        v: V1,
        household,
        root: keys.root(),
        rp_id: relying_party.rp_id.clone(),
        origins: relying_party.origins.clone(),
        guardians: guardians.collect(),
        demo_keys: relying_party.demo_keys,
    };
    anchor.to_file().map_err(|error| error.to_string())
}

struct Check<'a> {
    store: &'a Store,
    keys: &'a ServiceKeys,
    relying_party: &'a RelyingParty,
    now: Timestamp,
}

impl Check<'_> {
    async fn household(
        &self,
        household: HouseholdId,
        count: &mut EvidenceCount,
        tell: &mut impl FnMut(Finding),
    ) -> Result<(), StoreError> {
        let mut before = None;
        loop {
            let page = self.store.evidence_page(household, before, MAX_ORDERS_PAGE).await?;
            if before.is_some() && page.orders.is_empty() {
                return Ok(());
            }
            let anchor = match anchor(&page.rulebook, self.keys, self.relying_party, household) {
                Ok(anchor) => anchor,
                Err(what) => {
                    tell(Finding { table: "log_entries", row: household.to_string(), what });
                    return Ok(());
                }
            };
            let certificates = self.outcome_certificates(&page);
            for row in &page.orders {
                let wrong = if row.is_cut() {
                    count.cut += 1;
                    self.cut_wrongly(row)
                } else if row.outcome.is_some() {
                    count.looked_at += 1;
                    prove(&page, row, &certificates, &anchor).err()
                } else {
                    None
                };
                if let Some(what) = wrong {
                    tell(Finding { table: "orders", row: row.order.to_string(), what: format!("evidence: {what}") });
                }
            }
            let Some(last) = page.orders.last() else { return Ok(()) };
            before = Some(last.order);
        }
    }

    /// Those that the root has signed, of all keys that ever signed outcomes here.
    fn outcome_certificates(&self, page: &EvidencePage) -> Vec<Verified<OutcomeCertificate>> {
        let stored = page.outcome_certificates.iter();
        let known = stored.filter_map(|stored| verify_outcome_certificate(&stored.wire, &self.keys.root()).ok());
        std::iter::once(self.keys.outcome_certificate().clone()).chain(known).collect()
    }

    /// An operator who wants to lose the evidence of an order must keep it this long all the same.
    fn cut_wrongly(&self, row: &OrderRow) -> Option<String> {
        if row.outcome.is_none() {
            return Some("it is deleted, but the order has not ended".to_owned());
        }
        let kept_ms = i64::from(MIN_ORDERS_DAYS) * DAY_MS;
        let is_young = self.now.ms_since(row.received) < kept_ms;
        is_young.then(|| format!("it is deleted, but the order came less than {MIN_ORDERS_DAYS} days ago"))
    }
}

fn prove(
    page: &EvidencePage,
    row: &OrderRow,
    certificates: &[Verified<OutcomeCertificate>],
    anchor: &str,
) -> Result<(), String> {
    let signed = |ended: &Ended| certificates.iter().find(|one| signed_outcome(&ended.message.wire, one));
    let certificate = row.outcome.as_ref().and_then(signed).ok_or("its outcome verifies under no certificate")?;
    let parts = page.parts(row).map_err(|error| error.to_string())?;
    let evidence = assemble(parts, certificate).map_err(|error| error.to_string())?;
    let file = evidence.to_file().map_err(|error| error.to_string())?;
    let report = verify_evidence(file.as_bytes(), anchor.as_bytes()).map_err(|error| error.to_string())?;
    let outcome = row.outcome.as_ref().map(|ended| ended.kind);
    if Some(report.outcome) != outcome || report.total != row.total {
        return Err("it proves another outcome or total than the books have".to_owned());
    }
    if report.transfer != row.hold_id().filter(|_| outcome == Some(nodpay_core::OutcomeKind::Paid)) {
        return Err("it names another transfer than its decision's or its mandate's".to_owned());
    }
    Ok(())
}
