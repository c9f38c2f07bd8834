//! The bill: what a merchant asks for, and how a guardian may reduce it.
//!
//! A [`Bill`] is only a message until [`Bill::check`] has recomputed every amount: no total is believed. A strike is
//! either a sum anyone can recompute ([`Reduction::LinesSum`]) or a bill the merchant signs again
//! ([`Reduction::Requote`]); [`Bill::terms`] says for both what is to be paid.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Amount, BillId, CodeText, Currency, Digest, MerchantId, Minor, MoneyError, Nonce, Text, Timestamp, V1};

pub const MAX_LINES: usize = 64;
pub const MAX_ADJUSTMENTS: usize = 8;
pub const MAX_QUANTITY: u32 = 9_999;

/// What the merchant asks. Signed by the merchant's key, which `certificate` names by digest; with a `code`, by the watch
/// that scanned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bill {
    pub v: V1,
    pub bill: BillId,
    /// 1 for the first; each requote of the same bill counts up.
    pub revision: u32,
    /// Digest of revision 1, in every later revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    pub merchant: MerchantId,
    /// Digest of the merchant certificate that holds the signing key.
    pub certificate: Digest,
    pub currency: Currency,
    /// 1 to [`MAX_LINES`].
    pub lines: Vec<Line>,
    /// At most [`MAX_ADJUSTMENTS`]; none when `reduction` is `lines-sum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<Adjustment>,
    /// Above zero.
    pub total: Minor,
    pub reduction: Reduction,
    pub issued: Timestamp,
    pub valid_until: Timestamp,
    pub nonce: Nonce,
    /// The printed code that a watch made this bill of; in no bill of a merchant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeText>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub id: LineId,
    pub name: Text<60>,
    /// 1 to [`MAX_QUANTITY`].
    pub quantity: u32,
    /// Zero or more.
    pub unit_price: Minor,
    /// `quantity` × `unit_price`.
    pub amount: Minor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Text<30>>,
    /// Years; the shop's own rule for this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_age: Option<u8>,
    /// Lines of one bundle are sold together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<LineId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    pub kind: AdjustmentKind,
    pub name: Text<60>,
    /// Negative for a discount, positive for tax and fee.
    pub amount: Minor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdjustmentKind {
    Discount,
    Tax,
    Fee,
}

/// How a bill may be reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// The total is the sum of the lines; anyone can recompute it.
    LinesSum,
    /// The merchant must sign the reduced bill: discounts, bundles, taxes, stock.
    Requote,
}

/// Names a line inside its bill: 1 to 16 of `A–Z a–z 0–9 _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(String);

impl LineId {
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (plain && (1..=16).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for LineId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LineId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| de::Error::custom("a line id is 1 to 16 of A-Z a-z 0-9 _ -"))
    }
}

/// What a decision and a payment are about: the kept part of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillTerms {
    /// In the order of the bill.
    pub struck: Vec<Line>,
    pub kept: Vec<Line>,
    pub adjustments: Vec<Adjustment>,
    pub total: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    #[error("a bill has 1 to {MAX_LINES} lines")]
    LineCount,
    #[error("a bill has at most {MAX_ADJUSTMENTS} adjustments")]
    AdjustmentCount,
    #[error("two lines have the same id")]
    RepeatedLine,
    #[error("a quantity is 1 to {MAX_QUANTITY}")]
    Quantity,
    #[error("a price is below zero")]
    NegativePrice,
    #[error("a line's amount is not its quantity times its unit price")]
    LineAmount,
    #[error("a lines-sum bill has adjustments")]
    AdjustmentOnSum,
    #[error("a discount is above zero, or a tax or fee below")]
    AdjustmentSign,
    #[error("the total is not the sum of lines and adjustments")]
    WrongTotal,
    #[error("the total is not above zero")]
    NothingToPay,
    #[error("the bill ends before it was issued")]
    Validity,
    #[error("revision 1 replaces nothing, every later one names what it replaces")]
    Revision,
    #[error(transparent)]
    Money(#[from] MoneyError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrikeError {
    #[error("a struck line is not on the bill")]
    NotThere,
    #[error("struck lines are out of the bill's order or named twice")]
    Order,
    #[error("every line is struck: that is a refusal")]
    Everything,
    #[error("only the merchant can reduce this bill")]
    NeedsRequote,
    #[error("what is left costs nothing")]
    NothingLeft,
    #[error("the requoted bill does not leave out exactly the struck lines")]
    NotThisStrike,
    #[error("a line is approved that the wearer did not ask for")]
    NotAsked,
    #[error(transparent)]
    Money(#[from] MoneyError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequoteError {
    #[error("the requote is of another bill")]
    OtherBill,
    #[error("the requote has another merchant, certificate, currency or way of reducing")]
    OtherTerms,
    #[error("the requote does not replace this bill")]
    OtherPredecessor,
    #[error("the revision does not count up")]
    Revision,
    #[error("a line was added or changed")]
    LineChanged,
    #[error("a price went up")]
    PriceUp,
    #[error("a tax or fee was added or went up")]
    ChargeUp,
    #[error("the total went up")]
    TotalUp,
}

impl Bill {
    /// Recomputes everything; an `Ok` bill is consistent in itself.
    pub fn check(&self) -> Result<(), BillError> {
        if !(1..=MAX_LINES).contains(&self.lines.len()) {
            return Err(BillError::LineCount);
        }
        if self.adjustments.len() > MAX_ADJUSTMENTS {
            return Err(BillError::AdjustmentCount);
        }
        let mut seen = BTreeSet::new();
        for line in &self.lines {
            if !seen.insert(&line.id) {
                return Err(BillError::RepeatedLine);
            }
            if !(1..=MAX_QUANTITY).contains(&line.quantity) {
                return Err(BillError::Quantity);
            }
            if line.unit_price < Minor::ZERO {
                return Err(BillError::NegativePrice);
            }
            if line.unit_price.times(line.quantity)? != line.amount {
                return Err(BillError::LineAmount);
            }
        }
        if self.reduction == Reduction::LinesSum && !self.adjustments.is_empty() {
            return Err(BillError::AdjustmentOnSum);
        }
        for adjustment in &self.adjustments {
            let fits = match adjustment.kind {
                AdjustmentKind::Discount => adjustment.amount <= Minor::ZERO,
                AdjustmentKind::Tax | AdjustmentKind::Fee => adjustment.amount >= Minor::ZERO,
            };
            if !fits {
                return Err(BillError::AdjustmentSign);
            }
        }
        let lines = self.lines.iter().map(|line| line.amount);
        let adjustments = self.adjustments.iter().map(|adjustment| adjustment.amount);
        if Minor::sum(lines.chain(adjustments))? != self.total {
            return Err(BillError::WrongTotal);
        }
        if self.total <= Minor::ZERO {
            return Err(BillError::NothingToPay);
        }
        if self.valid_until <= self.issued {
            return Err(BillError::Validity);
        }
        if self.revision == 0 || (self.revision == 1) != self.replaces.is_none() {
            return Err(BillError::Revision);
        }
        Ok(())
    }

    #[must_use]
    pub fn total(&self) -> Amount {
        Amount::new(self.total, self.currency)
    }

    /// Whether `requote` may stand in for this bill (revision 1, with digest `own_digest`): a subset of its lines,
    /// nothing dearer. Both bills must have passed [`Bill::check`].
    pub fn check_requote(&self, own_digest: Digest, requote: &Self) -> Result<(), RequoteError> {
        if requote.bill != self.bill {
            return Err(RequoteError::OtherBill);
        }
        let same_terms = requote.merchant == self.merchant
            && requote.certificate == self.certificate
            && requote.currency == self.currency
            && requote.reduction == self.reduction
            && requote.code == self.code;
        if !same_terms {
            return Err(RequoteError::OtherTerms);
        }
        if requote.replaces != Some(own_digest) {
            return Err(RequoteError::OtherPredecessor);
        }
        if requote.revision <= self.revision {
            return Err(RequoteError::Revision);
        }
        let mut originals = self.lines.iter();
        for line in &requote.lines {
            let original = originals.find(|original| original.id == line.id).ok_or(RequoteError::LineChanged)?;
            let same = line.name == original.name
                && line.quantity == original.quantity
                && line.category == original.category
                && line.min_age == original.min_age
                && line.bundle == original.bundle;
            if !same {
                return Err(RequoteError::LineChanged);
            }
            if line.unit_price > original.unit_price {
                return Err(RequoteError::PriceUp);
            }
        }
        for adjustment in &requote.adjustments {
            match adjustment.kind {
                AdjustmentKind::Discount => {}
                AdjustmentKind::Tax | AdjustmentKind::Fee => {
                    let before = self
                        .adjustments
                        .iter()
                        .find(|before| before.kind == adjustment.kind && before.name == adjustment.name);
                    if before.is_none_or(|before| adjustment.amount > before.amount) {
                        return Err(RequoteError::ChargeUp);
                    }
                }
            }
        }
        // The same charge named twice must not pass as one.
        for (index, adjustment) in requote.adjustments.iter().enumerate() {
            let repeated = requote
                .adjustments
                .iter()
                .take(index)
                .any(|other| other.kind == adjustment.kind && other.name == adjustment.name);
            if repeated && adjustment.kind != AdjustmentKind::Discount {
                return Err(RequoteError::ChargeUp);
            }
        }
        if requote.total > self.total {
            return Err(RequoteError::TotalUp);
        }
        Ok(())
    }

    /// What is to be paid when `struck` is taken out of this bill (revision 1): by summing up, or by `requote`, which
    /// must have passed [`Bill::check_requote`]. A requote may also stand without any strike (the shop lowered it).
    pub fn terms(&self, struck: &[LineId], requote: Option<&Self>) -> Result<BillTerms, StrikeError> {
        let (struck_lines, mut kept) = self.split(struck)?;
        let (adjustments, total) = match (requote, self.reduction) {
            (Some(requote), _) => {
                let same = requote.lines.len() == kept.len()
                    && requote.lines.iter().zip(&kept).all(|(line, kept)| line.id == kept.id);
                if !same {
                    return Err(StrikeError::NotThisStrike);
                }
                kept.clone_from(&requote.lines);
                (requote.adjustments.clone(), requote.total)
            }
            (None, _) if struck.is_empty() => (self.adjustments.clone(), self.total),
            (None, Reduction::LinesSum) => (Vec::new(), Minor::sum(kept.iter().map(|line| line.amount))?),
            (None, Reduction::Requote) => return Err(StrikeError::NeedsRequote),
        };
        if total <= Minor::ZERO {
            return Err(StrikeError::NothingLeft);
        }
        Ok(BillTerms { struck: struck_lines, kept, adjustments, total: Amount::new(total, self.currency) })
    }

    /// Divides the lines into struck and kept, in the bill's order.
    pub fn split(&self, struck: &[LineId]) -> Result<(Vec<Line>, Vec<Line>), StrikeError> {
        if struck.iter().any(|id| !self.lines.iter().any(|line| line.id == *id)) {
            return Err(StrikeError::NotThere);
        }
        let (out, kept): (Vec<Line>, Vec<Line>) =
            self.lines.iter().cloned().partition(|line| struck.contains(&line.id));
        if out.len() != struck.len() || out.iter().zip(struck).any(|(line, id)| line.id != *id) {
            return Err(StrikeError::Order);
        }
        if kept.is_empty() {
            return Err(StrikeError::Everything);
        }
        Ok((out, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, quantity: u32, unit_price: i64) -> Line {
        let unit_price = Minor::new(unit_price).expect("in range");
        Line {
            id: LineId::new(id).expect("an id"),
            name: Text::new("可乐").expect("a name"),
            quantity,
            unit_price,
            amount: unit_price.times(quantity).expect("in range"),
            category: None,
            min_age: None,
            bundle: None,
        }
    }

    fn bill(reduction: Reduction, lines: Vec<Line>, adjustments: Vec<Adjustment>) -> Bill {
        let amounts = lines.iter().map(|line| line.amount).chain(adjustments.iter().map(|a| a.amount));
        Bill {
            v: V1,
            bill: BillId::from_bytes([1; 16]),
            revision: 1,
            replaces: None,
            merchant: MerchantId::from_bytes([2; 16]),
            certificate: Digest::from_bytes([3; 32]),
            currency: Currency::CNY,
            total: Minor::sum(amounts).expect("in range"),
            lines,
            adjustments,
            reduction,
            issued: Timestamp::from_unix_ms(0),
            valid_until: Timestamp::from_unix_ms(1),
            nonce: Nonce::from_bytes([4; 16]),
            code: None,
        }
    }

    fn three() -> Bill {
        bill(Reduction::LinesSum, vec![line("1", 2, 100), line("2", 1, 250), line("3", 1, 50)], vec![])
    }

    fn id(text: &str) -> LineId {
        LineId::new(text).expect("an id")
    }

    const OWN: Digest = Digest::from_bytes([7; 32]);

    fn with_tax() -> Bill {
        let tax = Adjustment {
            kind: AdjustmentKind::Tax,
            name: Text::new("VAT").expect("a name"),
            amount: Minor::new(40).expect("in range"),
        };
        bill(Reduction::Requote, vec![line("1", 1, 100), line("2", 1, 250)], vec![tax])
    }

    fn requote_of(original: &Bill, change: impl FnOnce(&mut Bill)) -> Bill {
        let mut requote = original.clone();
        requote.revision = 2;
        requote.replaces = Some(OWN);
        change(&mut requote);
        let amounts = requote.lines.iter().map(|line| line.amount);
        let all = amounts.chain(requote.adjustments.iter().map(|adjustment| adjustment.amount));
        requote.total = Minor::sum(all).expect("in range");
        requote
    }

    #[test]
    fn a_bill_is_recomputed_not_believed() {
        assert_eq!(three().check(), Ok(()));
        let max = Minor::new(crate::MAX_MINOR).expect("in range");
        type Change = fn(&mut Bill);
        let cases: [(Change, BillError); 12] = [
            (|b| b.lines.clear(), BillError::LineCount),
            (|b| b.lines = (0..65).map(|n| line(&n.to_string(), 1, 1)).collect(), BillError::LineCount),
            (|b| b.lines[1].id = b.lines[0].id.clone(), BillError::RepeatedLine),
            (|b| b.lines[0].quantity = 0, BillError::Quantity),
            (|b| b.lines[0].quantity = MAX_QUANTITY + 1, BillError::Quantity),
            (|b| b.lines[0] = line("1", 1, -1), BillError::NegativePrice),
            (|b| b.lines[0].quantity = 3, BillError::LineAmount),
            (|b| b.total = Minor::ZERO, BillError::WrongTotal),
            (|b| b.valid_until = b.issued, BillError::Validity),
            (|b| b.revision = 0, BillError::Revision),
            (|b| b.replaces = Some(OWN), BillError::Revision),
            (|b| b.revision = 2, BillError::Revision),
        ];
        for (index, (change, error)) in cases.into_iter().enumerate() {
            let mut changed = three();
            change(&mut changed);
            assert_eq!(changed.check(), Err(error), "case {index}");
        }
        let mut huge = three();
        huge.lines[0].unit_price = max;
        assert_eq!(huge.check(), Err(BillError::Money(MoneyError::OutOfRange)));
        let free = bill(Reduction::LinesSum, vec![line("1", 1, 0)], vec![]);
        assert_eq!(free.check(), Err(BillError::NothingToPay));
        let mut sum = with_tax();
        sum.reduction = Reduction::LinesSum;
        assert_eq!(sum.check(), Err(BillError::AdjustmentOnSum));
    }

    #[test]
    fn strikes_on_a_sum_reduce_at_once() {
        let bill = three();
        let terms = bill.terms(&[id("2")], None).expect("struck");
        assert_eq!((terms.total.minor(), terms.kept.len(), terms.struck.len()), (250, 2, 1));
        let cases = [
            (vec![id("9")], StrikeError::NotThere),
            (vec![id("2"), id("1")], StrikeError::Order),
            (vec![id("1"), id("1")], StrikeError::Order),
            (vec![id("1"), id("2"), id("3")], StrikeError::Everything),
        ];
        for (struck, error) in cases {
            assert_eq!(bill.terms(&struck, None), Err(error));
        }
    }

    #[test]
    fn a_requote_only_goes_down() {
        let bill = with_tax();
        assert_eq!(bill.terms(&[id("2")], None), Err(StrikeError::NeedsRequote));
        let good = requote_of(&bill, |b| {
            b.lines.remove(1);
            b.adjustments[0].amount = Minor::new(12).expect("in range");
        });
        assert_eq!(good.check(), Ok(()));
        assert_eq!(bill.check_requote(OWN, &good), Ok(()));
        assert_eq!(bill.terms(&[id("2")], Some(&good)).map(|terms| terms.total.minor()), Ok(112));
        assert_eq!(bill.terms(&[id("1")], Some(&good)), Err(StrikeError::NotThisStrike));
        assert_eq!(bill.terms(&[], Some(&good)), Err(StrikeError::NotThisStrike));

        type Change = fn(&mut Bill);
        let cases: [(Change, RequoteError); 9] = [
            (|b| b.bill = BillId::from_bytes([9; 16]), RequoteError::OtherBill),
            (|b| b.merchant = MerchantId::from_bytes([9; 16]), RequoteError::OtherTerms),
            (|b| b.currency = Currency::EUR, RequoteError::OtherTerms),
            (|b| b.replaces = Some(Digest::from_bytes([9; 32])), RequoteError::OtherPredecessor),
            (|b| b.revision = 1, RequoteError::Revision),
            (|b| b.lines.push(line("9", 1, 1)), RequoteError::LineChanged),
            (|b| b.lines[0].quantity = 2, RequoteError::LineChanged),
            (|b| b.lines[0] = line("1", 1, 101), RequoteError::PriceUp),
            (|b| b.adjustments[0].amount = Minor::new(41).expect("in range"), RequoteError::ChargeUp),
        ];
        for (index, (change, error)) in cases.into_iter().enumerate() {
            let requote = requote_of(&bill, change);
            assert_eq!(bill.check_requote(OWN, &requote), Err(error), "case {index}");
        }
        let split_charge = requote_of(&bill, |b| b.adjustments.push(b.adjustments[0].clone()));
        assert_eq!(bill.check_requote(OWN, &split_charge), Err(RequoteError::ChargeUp));
        let lost_discount = requote_of(&bill, |b| b.adjustments[0].kind = AdjustmentKind::Fee);
        assert_eq!(bill.check_requote(OWN, &lost_discount), Err(RequoteError::ChargeUp));
    }
}
