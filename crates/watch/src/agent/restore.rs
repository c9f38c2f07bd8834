//! The agent's state out of its journal: every message in it is verified again, as if it came from outside.

use nodpay_protocol::{
    LogBook, VerifyError, verify_cancel, verify_decision, verify_mandate_payment, verify_merchant_certificate,
    verify_order, verify_ordered_bill, verify_pairing_claim, verify_payment, verify_requote,
};

use super::household::{Household, verify_certificates};
use super::order::{GivenUp, Nod, OpenOrder, Paying, Stage};
use super::pairing::Pairing;
use super::shop::Offer;
use super::{Agent, Owner};
use crate::clock::{ServiceClock, Turn};
use crate::journal::{HouseholdRecord, Journal, JournalError, OrderRecord, OwnerRecord, PairingRecord, StageRecord};
use crate::view::Notice;
use crate::wearer::PinCheck;

impl Agent {
    pub(super) fn restore(&mut self, journal: Journal) -> Result<(), JournalError> {
        self.clock = ServiceClock::new(journal.clock_offset_ms);
        self.wearer.pin = PinCheck::restored(journal.pin, journal.lock);
        self.asks = journal.asks;
        self.owner = match journal.owner {
            OwnerRecord::New => Owner::New,
            OwnerRecord::Pairing(record) => Owner::Pairing(Box::new(pairing(*record)?)),
            OwnerRecord::Household(record) => Owner::Household(Box::new(household(*record, self.config.demo_keys)?)),
        };
        Ok(())
    }

    /// The first moment of this run: deadlines go on where the last run left them.
    pub(super) fn resume(&mut self, turn: &Turn) {
        self.touched = turn.mono;
        self.wearer.pin.resume(turn.mono);
        let key = match &self.owner {
            Owner::New => None,
            Owner::Pairing(pairing) => Some(pairing.pins.key),
            Owner::Household(home) => Some(home.pins.key),
        };
        if key.is_some_and(|key| key != self.keys.public_key()) {
            // Another key store: nothing that the household enrolled can be signed any more.
            self.unpair(Some(Notice::WatchNotEnrolled));
        }
        let now = self.clock.now(turn);
        match &mut self.owner {
            Owner::New => {}
            Owner::Pairing(pairing) => {
                pairing.resume(now, turn.mono);
                // The enrolment may have come meanwhile.
                self.link.want_state();
            }
            Owner::Household(home) => home.orders.iter_mut().for_each(|order| order.resume(turn)),
        }
    }
}

fn pairing(record: PairingRecord) -> Result<Pairing, VerifyError> {
    Ok(Pairing {
        claim: verify_pairing_claim(&record.claim, &record.pins.key)?,
        pins: record.pins,
        pairing: record.pairing,
        expires: record.expires,
        delivered: record.delivered,
        ends_at: u64::MAX,
    })
}

fn household(record: HouseholdRecord, demo_keys: bool) -> Result<Household, VerifyError> {
    let pins = record.pins;
    let (founding, rest) = record.log.split_first().ok_or(VerifyError::UnknownLogHead)?;
    let mut book = LogBook::found(founding, Some(pins.founding), pins.relying_party(demo_keys))?;
    for wire in rest {
        book.append(wire)?;
    }
    let mut home = Household::new(pins, book, record.log);
    home.wearer_name = record.wearer_name;
    home.guardians = record.guardians;
    home.balance = record.balance;
    let certificates = record.outcome_certificate.iter().chain(&record.earlier_outcome_certificates);
    home.outcome_certificates = verify_certificates(certificates, &home.pins)?;
    home.last_event.clone_from(&record.last_event);
    home.settled_event = record.last_event;
    for order in record.orders {
        let order = open_order(order, &home)?;
        home.orders.push(order);
    }
    if let Some(again) = record.ended.iter().filter_map(|ended| ended.suggestion.as_ref()?.again.as_ref()).next() {
        Offer::again(again, &home.pins)?;
    }
    home.ended = record.ended;
    home.reports = record.reports;
    home.past = record.past;
    home.counted = record.counted;
    Ok(home)
}

fn open_order(record: OrderRecord, home: &Household) -> Result<OpenOrder, VerifyError> {
    let certificate = verify_merchant_certificate(&record.certificate, &home.pins.root)?;
    let bill = verify_ordered_bill(&record.bill, &certificate, &home.pins.key)?;
    let order = verify_order(&record.order, &home.book, home.pins.watch, &bill)?;
    let stage = match record.stage {
        StageRecord::Sending => Stage::Sending,
        StageRecord::Waiting => Stage::Waiting,
        StageRecord::GivenUp { cancel, why, delivered } => {
            let cancel = verify_cancel(&cancel, &home.book, &order)?;
            Stage::GivenUp(GivenUp { cancel, why, delivered })
        }
        StageRecord::Paying { requote, decision, mandate, payment, delivered } => {
            let requote = requote.map(|wire| verify_requote(&wire, &certificate, &bill)).transpose()?;
            let (nod, terms, payment) = match (decision, mandate) {
                (Some(decision), None) => {
                    let (decision, terms, _) =
                        verify_decision(&decision, &home.book, &order, &bill, requote.as_ref(), &certificate)?;
                    let payment = verify_payment(&payment, &home.book, &order, &decision)?;
                    (Nod::Guardian(Box::new(decision)), terms.ok_or(VerifyError::NotApproved)?, payment)
                }
                (None, Some(entry)) => {
                    let payment = verify_mandate_payment(&payment, &home.book, &order, &bill, &certificate)?;
                    let rule = home.book.mandate_of(entry).filter(|_| payment.mandate == Some(entry));
                    let rule = rule.ok_or(VerifyError::UnknownMandate)?.clone();
                    (Nod::Rule(Box::new(rule)), bill.terms(&[], None)?, payment)
                }
                (None, None) | (Some(_), Some(_)) => return Err(VerifyError::OtherDecision),
            };
            Stage::Paying(Box::new(Paying { requote, nod, terms, payment, delivered }))
        }
    };
    let mut order = OpenOrder::new(certificate, bill, order, record.signed_at, stage);
    order.dismissed = record.dismissed;
    Ok(order)
}
