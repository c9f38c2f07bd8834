//! Codes that name a payee and no bill: a shop's printed code, and those of other systems that the operator knows as one
//! of its merchants'. The service says whose the code is, the child types what the code leaves open, and the watch makes
//! and signs the bill itself. From there on it is a bill like any other.

use nodpay_core::{
    Amount, Bill, CodeText, Currency, Digest, Line, LineId, MAX_DECISION_AGE_MS, MAX_ORDER_LIFE_MS,
    MerchantCertificate, Minor, Reduction, Text, Timestamp, V1,
};
use nodpay_protocol::code::{self, CodeKind, PaymentCode};
use nodpay_protocol::{Kind, Verified, VerifyError, sign, verify_merchant_certificate};

use super::shop::Offer;
use super::{Agent, Face, Owner};
use crate::clock::Turn;
use crate::net::{PayeeAnswer, Reply};
use crate::view::{AmountPad, Notice, OtherSystem, ScanFor, UserAction};

/// The longest that an order over the bill and its approval can last.
const BILL_LIFE_MS: i64 = MAX_ORDER_LIFE_MS + MAX_DECISION_AGE_MS;
/// Minor units.
const LEAST: i64 = 1;

/// A code as it was read, and what the bill will take from it.
pub(super) struct Sticker {
    pub(super) text: CodeText,
    /// Whom it names, for the service to look up.
    pub(super) payee: Digest,
    amount_minor: Option<i64>,
    currency: Currency,
    /// What the payee wants the payment to be labelled with.
    label: Option<Text<60>>,
    /// The merchant's id, in a code of ours.
    shop: Option<[u8; 16]>,
    unknown: Notice,
}

impl Sticker {
    /// `None`: no bill can be made of this code, whoever its payee is.
    pub(super) fn read(text: &str, code: &PaymentCode) -> Option<Self> {
        Some(Self {
            text: CodeText::new(text).ok()?,
            payee: code::payee_of(text)?,
            amount_minor: code.amount_minor,
            currency: Currency::from_code(code.currency?).ok()?,
            label: code.reference.as_deref().and_then(|label| Text::from_typed(label).ok()),
            shop: code.shop,
            unknown: unknown(code),
        })
    }
}

/// What to say of a code that this watch cannot pay.
pub(super) fn unknown(code: &PaymentCode) -> Notice {
    Notice::OtherSystem(match code.kind {
        // A shop of ours that the service does not know any more.
        CodeKind::EmvStatic if code.shop.is_some() => return Notice::BillUnknown,
        CodeKind::NodpayBill => return Notice::BrokenCode,
        CodeKind::EmvStatic | CodeKind::EmvDynamic => OtherSystem::Emv(code.scheme),
        CodeKind::Unknown if code.scheme.is_some() => OtherSystem::Emv(code.scheme),
        CodeKind::Unknown => return Notice::NotAPaymentCode,
        CodeKind::Epc => OtherSystem::Epc,
        CodeKind::Alipay => OtherSystem::Alipay,
        CodeKind::Wechat => OtherSystem::WeChat,
        CodeKind::Url => OtherSystem::WebAddress,
    })
}

/// The same, for a code in a bill that the service refused.
pub(super) fn unknown_text(text: &str) -> Notice {
    code::parse(text).map_or(Notice::BrokenCode, |code| unknown(&code))
}

/// The number pad and what it is for.
pub(super) struct Pad {
    sticker: Sticker,
    certificate: Verified<MerchantCertificate>,
    /// Minor units.
    typed: Minor,
    most: Minor,
    notice: Option<Notice>,
}

impl Pad {
    pub(super) fn view(&self) -> AmountPad {
        let amount = |minor| Amount::new(minor, self.sticker.currency);
        AmountPad {
            shop: self.certificate.name.to_string(),
            place: self.certificate.city.to_string(),
            typed: amount(self.typed),
            least: amount(Minor::new(LEAST).unwrap_or(Minor::ZERO)),
            most: amount(self.most),
            notice: self.notice.clone(),
        }
    }

    fn digit(&mut self, digit: u8) {
        let typed = self.typed.get().saturating_mul(10).saturating_add(i64::from(digit.min(9)));
        if let Ok(typed) = Minor::new(typed) {
            self.typed = typed;
            self.notice = None;
        }
    }

    fn backspace(&mut self) {
        self.typed = Minor::new(self.typed.get() / 10).unwrap_or(Minor::ZERO);
        self.notice = None;
    }
}

impl Agent {
    /// A code without a bill of ours was chosen.
    pub(super) fn sticker_read(&mut self, text: &str, code: &PaymentCode, turn: &Turn) {
        self.face = match Sticker::read(text, code) {
            Some(sticker) => {
                self.link.hurry();
                self.touched = turn.mono;
                Face::Asking(Box::new(sticker))
            }
            None => Face::Scan(ScanFor::Paying, Some(unknown(code))),
        };
    }

    /// The service's word on whose code it is.
    pub(super) fn payee_answered(&mut self, reply: Reply, turn: &mut Turn) {
        let Face::Asking(sticker) = std::mem::replace(&mut self.face, Face::Idle(None)) else { return };
        let body = match reply {
            Reply::Done(body) => body,
            Reply::Refused(code) if code == "payee-unknown" => {
                self.tell(sticker.unknown);
                return;
            }
            Reply::Refused(code) => {
                self.bill_refused(&code);
                return;
            }
        };
        let now = self.clock.now(turn);
        let Owner::Household(home) = &self.owner else { return };
        let certificate = serde_json::from_slice::<PayeeAnswer>(&body)
            .map_err(|error| VerifyError::Payload(error.to_string()))
            .and_then(|answer| verify_merchant_certificate(&answer.certificate, &home.pins.root));
        let sound = certificate.ok().filter(|certificate| {
            let valid = now >= certificate.not_before && now < certificate.not_after;
            valid && sticker.shop.is_none_or(|shop| shop == *certificate.merchant.as_bytes())
        });
        let Some(certificate) = sound else {
            self.tell(Notice::BillNotGenuine);
            return;
        };
        self.touched = turn.mono;
        match (self.most(&sticker, now), sticker.amount_minor.map(Minor::new)) {
            (Err(notice), _) => self.tell(notice),
            (Ok(_), Some(Ok(total))) => self.make_bill(*sticker, certificate, total, turn),
            (Ok(_), Some(Err(_))) => self.tell(sticker.unknown),
            (Ok(most), None) => {
                let pad = Pad { sticker: *sticker, certificate, typed: Minor::ZERO, most, notice: None };
                self.face = Face::Amount(Box::new(pad));
            }
        }
    }

    /// The most that can be asked for now, as far as the watch knows; a notice where that is nothing.
    fn most(&self, sticker: &Sticker, now: Timestamp) -> Result<Minor, Notice> {
        let Owner::Household(home) = &self.owner else { return Err(Notice::WatchNotEnrolled) };
        let enrolled = home.book.enrolled(home.pins.watch).map_err(|_| Notice::WatchNotEnrolled)?;
        if home.balance.is_some_and(|balance| balance.currency() != sticker.currency) {
            return Err(sticker.unknown.clone());
        }
        let mut most = Minor::new(code::MAX_AMOUNT_MINOR).unwrap_or(Minor::ZERO);
        if let Some(balance) = home.balance {
            most = most.min(balance.units());
            if most.get() < LEAST {
                return Err(Notice::NotEnoughMoney { balance: home.balance });
            }
        }
        let cap = &enrolled.new_watch_cap;
        if now < cap.until {
            if cap.per_payment.currency() != sticker.currency || cap.per_payment.units().get() < LEAST {
                return Err(Notice::OverNewWatchCap);
            }
            most = most.min(cap.per_payment.units());
        }
        Ok(most)
    }

    pub(super) fn type_amount(&mut self, action: &UserAction, turn: &mut Turn) {
        let Face::Amount(pad) = &mut self.face else { return };
        match action {
            UserAction::Digit(digit) => pad.digit(*digit),
            UserAction::Backspace => pad.backspace(),
            UserAction::Cancel | UserAction::Done => self.face = Face::Idle(None),
            UserAction::Confirm => self.confirm_amount(turn),
            UserAction::Start
            | UserAction::History
            | UserAction::Settings
            | UserAction::Occasion(_)
            | UserAction::AskGuardian
            | UserAction::UsePin => {}
        }
    }

    fn confirm_amount(&mut self, turn: &mut Turn) {
        let now = self.clock.now(turn);
        let Face::Amount(mut pad) = std::mem::replace(&mut self.face, Face::Idle(None)) else { return };
        // The balance may have changed meanwhile.
        match self.most(&pad.sticker, now) {
            Err(notice) => {
                self.tell(notice);
                return;
            }
            Ok(most) => pad.most = most,
        }
        if pad.typed > pad.most {
            pad.notice = Some(Notice::AmountTooLarge { most: Amount::new(pad.most, pad.sticker.currency) });
            self.face = Face::Amount(pad);
        } else if pad.typed.get() < LEAST {
            self.face = Face::Amount(pad);
        } else {
            let Pad { sticker, certificate, typed, .. } = *pad;
            self.make_bill(sticker, certificate, typed, turn);
        }
    }

    /// Signs the one-line bill and shows it. Nobody else has it yet.
    fn make_bill(
        &mut self,
        sticker: Sticker,
        certificate: Verified<MerchantCertificate>,
        total: Minor,
        turn: &mut Turn,
    ) {
        let now = self.clock.now(turn);
        let name = sticker.label.or_else(|| Text::new(certificate.name.as_str()).ok());
        let (Some(name), Some(id)) = (name, LineId::new("1")) else { return };
        let line = Line {
            id,
            name,
            quantity: 1,
            unit_price: total,
            amount: total,
            category: None,
            min_age: None,
            bundle: None,
        };
        let bill = Bill {
            v: V1,
            bill: turn.bill_id(),
            revision: 1,
            replaces: None,
            merchant: certificate.merchant,
            certificate: certificate.digest(),
            currency: sticker.currency,
            lines: vec![line],
            adjustments: Vec::new(),
            total,
            reduction: Reduction::LinesSum,
            issued: now,
            valid_until: now.plus_ms(BILL_LIFE_MS),
            nonce: turn.nonce(),
            code: Some(sticker.text),
        };
        match sign(Kind::StaticBill, bill, &*self.keys) {
            Ok(bill) => self.face = Face::Review(Box::new(Offer::new(certificate, bill))),
            Err(_) => self.tell(Notice::ServiceTrouble),
        }
    }
}
