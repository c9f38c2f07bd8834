//! From the home screen to a signed order: scan a code, fetch and verify the bill, show it; `wearer` checks who wears the
//! watch.

use nodpay_core::{Bill, BillId, LineId, MerchantCertificate, Occasion, Order, Reduction, Timestamp, V1, WearerCheck};
use nodpay_protocol::code::{self, BillReference, PaymentCode};
use nodpay_protocol::{
    Kind, Verified, VerifyError, sign, verify_bill, verify_merchant_certificate, verify_ordered_bill,
};

use super::order::{OpenOrder, Stage};
use super::{Agent, Face, Owner};
use crate::clock::Turn;
use crate::journal::{AgainRecord, Pins};
use crate::net::{BillAnswer, Reply};
use crate::view::{Basket, BasketLine, Notice, ScanFor, UserAction};

/// A bill that was verified and is what the code said.
pub(super) struct Offer {
    pub(super) certificate: Verified<MerchantCertificate>,
    pub(super) bill: Verified<Bill>,
    /// What the wearer chose to say.
    pub(super) occasion: Option<Occasion>,
    /// Lines that the wearer does not ask for, as a guardian suggested.
    pub(super) without: Vec<LineId>,
}

impl Offer {
    pub(super) fn new(certificate: Verified<MerchantCertificate>, bill: Verified<Bill>) -> Self {
        Self { certificate, bill, occasion: None, without: Vec::new() }
    }

    /// Out of the journal, verified anew.
    pub(super) fn again(record: &AgainRecord, pins: &Pins) -> Result<Self, VerifyError> {
        let certificate = verify_merchant_certificate(&record.certificate, &pins.root)?;
        let bill = verify_ordered_bill(&record.bill, &certificate, &pins.key)?;
        bill.check_without(&record.without)?;
        Ok(Self { without: record.without.clone(), ..Self::new(certificate, bill) })
    }

    /// The bill must be good still when it is ordered.
    fn problem(&self, now: Timestamp) -> Option<Notice> {
        if now < self.certificate.not_before || now >= self.certificate.not_after {
            Some(Notice::BillNotGenuine)
        } else {
            (now >= self.bill.valid_until).then_some(Notice::BillExpired)
        }
    }

    pub(super) fn basket(&self) -> Basket {
        let asked = self.bill.lines.iter().filter(|line| !self.without.contains(&line.id));
        let lines = asked.map(|line| BasketLine {
            name: line.name.to_string(),
            quantity: line.quantity,
            amount_minor: line.amount.get(),
        });
        let adjustments = self.bill.adjustments.iter().map(|adjustment| BasketLine {
            name: adjustment.name.to_string(),
            quantity: 0,
            amount_minor: adjustment.amount.get(),
        });
        Basket {
            shop: self.certificate.name.to_string(),
            place: self.certificate.city.to_string(),
            lines: lines.chain(adjustments).collect(),
            total: self.bill.asked_total(&self.without),
            at_most: !self.without.is_empty() && self.bill.reduction == Reduction::Requote,
            occasion: self.occasion,
        }
    }
}

impl Agent {
    /// One code that can be paid is taken whatever else is in view; between two nothing is guessed. A code of ours can be
    /// paid; another system's only if the service knows its payee, so it is asked about only where none of ours is.
    pub(super) fn payment_codes_read(&mut self, texts: &[String], turn: &Turn) {
        let ours = |text: &str| code::parse(text).is_ok_and(|code| code.bill.is_some() || code.shop.is_some());
        let mut payable: Vec<&String> = texts.iter().filter(|text| ours(text)).collect();
        if payable.is_empty() {
            payable = texts.iter().filter(|text| code::payee_of(text).is_some()).collect();
        }
        payable.sort_unstable();
        payable.dedup();
        let mut codes = payable.into_iter();
        match (codes.next(), codes.next()) {
            (Some(text), None) => self.payment_code_read(text, turn),
            (Some(_), Some(_)) => self.face = Face::Scan(ScanFor::Paying, Some(Notice::SeveralCodes)),
            (None, _) => {
                if let Some(text) = texts.first() {
                    self.payment_code_read(text, turn);
                }
            }
        }
    }

    fn payment_code_read(&mut self, text: &str, turn: &Turn) {
        match code::parse(text) {
            Err(_) => self.face = Face::Scan(ScanFor::Paying, Some(Notice::BrokenCode)),
            Ok(PaymentCode { bill: Some(reference), .. }) => {
                self.link.hurry();
                self.touched = turn.mono;
                self.face = Face::Fetching(reference);
            }
            Ok(code) => self.sticker_read(text, &code, turn),
        }
    }

    pub(super) fn bill_answered(&mut self, reference: BillReference, reply: Reply, turn: &Turn) {
        let Owner::Household(home) = &self.owner else { return };
        let body = match reply {
            Reply::Done(body) => body,
            Reply::Refused(code) => {
                self.bill_refused(&code);
                return;
            }
        };
        let offer = serde_json::from_slice::<BillAnswer>(&body)
            .map_err(|error| VerifyError::Payload(error.to_string()))
            .and_then(|answer| verify_offer(&answer, reference, &home.pins.root));
        let Ok(offer) = offer else {
            self.tell(Notice::BillNotGenuine);
            return;
        };
        self.offer(offer, turn);
    }

    /// Shows the wearer what can be asked for.
    pub(super) fn offer(&mut self, offer: Offer, turn: &Turn) {
        match offer.problem(self.clock.now(turn)) {
            Some(notice) => self.tell(notice),
            None => {
                self.touched = turn.mono;
                self.face = Face::Review(Box::new(offer));
            }
        }
    }

    pub(super) fn bill_refused(&mut self, code: &str) {
        self.tell(match code {
            "bill-unknown" => Notice::BillUnknown,
            "bill-already-paid" => Notice::BillAlreadyPaid,
            "bill-cancelled" => Notice::BillCancelled,
            "bill-expired" => Notice::BillExpired,
            "unknown-watch" | "revoked-watch" | "household-erased" => Notice::WatchNotEnrolled,
            _ => Notice::ServiceTrouble,
        });
        self.disown(code);
    }

    pub(super) fn review(&mut self, action: &UserAction, turn: &mut Turn) {
        match action {
            UserAction::Cancel | UserAction::Done => self.face = Face::Idle(None),
            UserAction::Occasion(occasion) => {
                if let Face::Review(offer) = &mut self.face {
                    offer.occasion = *occasion;
                }
            }
            UserAction::Confirm => {
                let Face::Review(offer) = std::mem::replace(&mut self.face, Face::Idle(None)) else { return };
                match self.obstacle(&offer) {
                    Some(notice) => self.tell(notice),
                    None => self.check_wearer(offer, turn),
                }
            }
            UserAction::Start
            | UserAction::Digit(_)
            | UserAction::Backspace
            | UserAction::History
            | UserAction::Settings
            | UserAction::AskGuardian
            | UserAction::UsePin => {}
        }
    }

    /// What makes asking pointless, as far as the watch knows. The service is the judge.
    fn obstacle(&self, offer: &Offer) -> Option<Notice> {
        let balance = self.household()?.balance;
        let short =
            balance.is_some_and(|balance| offer.bill.asked_total(&offer.without).exceeds(balance).unwrap_or(false));
        short.then_some(Notice::NotEnoughMoney { balance })
    }

    /// `check` is how and when the wearer was last made sure of.
    pub(super) fn place_order(&mut self, offer: Offer, check: WearerCheck, turn: &mut Turn) {
        let now = self.clock.now(turn);
        let Owner::Household(home) = &self.owner else { return };
        let Ok(enrolled) = home.book.enrolled(home.pins.watch) else {
            self.tell(Notice::WatchNotEnrolled);
            return;
        };
        if now >= offer.bill.valid_until {
            self.tell(Notice::BillExpired);
            return;
        }
        if enrolled.is_over_cap(offer.bill.asked_total(&offer.without), now) {
            self.tell(Notice::OverNewWatchCap);
            return;
        }
        let order = Order {
            v: V1,
            order: turn.order_id(),
            bill: offer.bill.digest(),
            household: home.pins.household,
            watch: home.pins.watch,
            wearer: enrolled.wearer,
            wearer_check: check,
            log_head: home.book.head(),
            created: now,
            expires: now.plus_ms(self.config.order_life_ms),
            nonce: turn.nonce(),
            reason: None,
            occasion: offer.occasion,
            without: offer.without,
        };
        match sign(Kind::Order, order, &*self.keys) {
            Ok(order) => {
                let order = OpenOrder::new(offer.certificate, offer.bill, order, turn.wall, Stage::Sending);
                self.open_order(order, turn);
            }
            Err(_) => self.tell(Notice::ServiceTrouble),
        }
    }
}

/// The bill is the merchant's, the merchant is the operator's, and it is the very bill that the code names.
fn verify_offer(
    answer: &BillAnswer,
    reference: BillReference,
    root: &nodpay_core::PublicKey,
) -> Result<Offer, VerifyError> {
    let certificate = verify_merchant_certificate(&answer.certificate, root)?;
    let bill = verify_bill(&answer.bill, &certificate)?;
    let named = bill.bill == BillId::from_bytes(reference.bill)
        && bill.digest().as_bytes().starts_with(&reference.digest)
        && bill.revision == 1;
    if !named {
        return Err(VerifyError::OtherBill);
    }
    Ok(Offer::new(certificate, bill))
}
