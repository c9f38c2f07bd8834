//! Evidence files out of what the store keeps, and the proof that all of them hold.

use nodpay_core::{Decision, HouseholdId, OutcomeCertificate, V1};
use nodpay_protocol::{
    Anchor, AnchorGuardian, Assertion, Evidence, LogBook, RelyingParty, Verified, signed_outcome, verify_evidence,
    verify_outcome_certificate,
};
use nodpay_store::{
    Ended, EvidenceParts, Finding, MAX_HOUSEHOLDS_PAGE, MAX_ORDERS_PAGE, Message, OrderRow, Store, StoreError,
};

use crate::keys::ServiceKeys;

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

/// Verifies the evidence of every ended order, as a stranger would who trusts the root key and each household's own log, and
/// compares what it proves with what the books say. Gives the number of orders looked at; `tell` gets what is wrong.
///
/// Reads page by page, so it can run for long beside a service; orders that come meanwhile may be missed.
///
/// # Errors
/// When the store fails.
pub async fn check_evidence(
    store: &Store,
    keys: &ServiceKeys,
    relying_party: &RelyingParty,
    mut tell: impl FnMut(Finding),
) -> Result<u64, StoreError> {
    let certificates = outcome_certificates(store, keys).await?;
    let mut looked_at = 0;
    let mut after = None;
    loop {
        let page = store.households(after, MAX_HOUSEHOLDS_PAGE).await?;
        let Some(last) = page.last() else { return Ok(looked_at) };
        after = Some(last.household);
        for row in page {
            match anchor(store, keys, relying_party, row.household).await? {
                Ok(anchor) => {
                    looked_at += check_household(store, &certificates, row.household, &anchor, &mut tell).await?
                }
                Err(what) => tell(Finding { table: "log_entries", row: row.household.to_string(), what }),
            }
        }
    }
}

/// The keys that the household's log names, as an anchor file; what is wrong with the log.
pub(crate) async fn anchor(
    store: &Store,
    keys: &ServiceKeys,
    relying_party: &RelyingParty,
    household: HouseholdId,
) -> Result<Result<String, String>, StoreError> {
    let log = store.log(household, 0).await?;
    let rules = match store.mandates(household).await {
        Err(StoreError::Incident { table, row, what }) => return Ok(Err(format!("{table} {row}: {what}"))),
        rules => rules?,
    };
    let house_rules = store.household(household).await?.map(|row| row.house_rules);
    let book = || {
        let (founding, rest) = log.split_first().ok_or("it is empty")?;
        let mut book = LogBook::found(&founding.wire, Some(founding.digest), relying_party.clone())
            .map_err(|error| error.to_string())?;
        for entry in rest {
            book.append(&entry.wire).map_err(|error| error.to_string())?;
        }
        if !rules.iter().map(|(entry, rule)| (entry, rule)).eq(book.mandates().map(|one| (&one.entry, &one.mandate))) {
            return Err("the rules that payments are judged by are not those of the log".to_owned());
        }
        if house_rules != Some(book.house_rules(u64::MAX)) {
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
    };
    Ok(book())
}

/// Those that the root has signed, of all keys that ever signed outcomes here.
async fn outcome_certificates(
    store: &Store,
    keys: &ServiceKeys,
) -> Result<Vec<Verified<OutcomeCertificate>>, StoreError> {
    let stored = store.outcome_certificates().await?;
    let known = stored.iter().filter_map(|stored| verify_outcome_certificate(&stored.wire, &keys.root()).ok());
    Ok(std::iter::once(keys.outcome_certificate().clone()).chain(known).collect())
}

async fn check_household(
    store: &Store,
    certificates: &[Verified<OutcomeCertificate>],
    household: HouseholdId,
    anchor: &str,
    tell: &mut impl FnMut(Finding),
) -> Result<u64, StoreError> {
    let mut looked_at = 0;
    let mut before = None;
    loop {
        let page = match store.orders(household, before, MAX_ORDERS_PAGE).await {
            Ok(page) => page,
            // The store's own check names the row.
            Err(StoreError::Incident { .. }) => return Ok(looked_at),
            Err(error) => return Err(error),
        };
        let Some(last) = page.last() else { return Ok(looked_at) };
        before = Some(last.order);
        for row in page.iter().filter(|row| row.outcome.is_some() && !row.is_cut()) {
            looked_at += 1;
            let wrong = match store.evidence(household, row.order).await {
                Ok(parts) => {
                    let signed =
                        |ended: &Ended| certificates.iter().find(|one| signed_outcome(&ended.message.wire, one));
                    match parts.order.outcome.as_ref().and_then(signed) {
                        Some(certificate) => prove(row, assemble(parts, certificate)?, anchor).err(),
                        None => Some("its outcome verifies under no certificate".to_owned()),
                    }
                }
                Err(StoreError::Incident { what, .. }) => Some(what),
                Err(error) => return Err(error),
            };
            if let Some(what) = wrong {
                tell(Finding { table: "orders", row: row.order.to_string(), what: format!("evidence: {what}") });
            }
        }
    }
}

fn prove(row: &OrderRow, evidence: Evidence, anchor: &str) -> Result<(), String> {
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
