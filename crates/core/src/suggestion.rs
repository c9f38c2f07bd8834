//! What a guardian would rather nod to than to the order they refuse.
//!
//! A suggestion allows nothing: the watch shows it, and what the wearer makes of it is a new order that needs its own nod.

use serde::{Deserialize, Serialize};

use crate::{Amount, Bill, Line, LineId, StrikeError};

/// At least one of its parts is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    /// Only these of what was asked, in the bill's order; empty: none are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<SuggestedLine>,
    /// A ready phrase, which each side reads in its own language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
    /// For at most so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Amount>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuggestedLine {
    pub id: LineId,
    /// 1 to as many as were asked.
    pub quantity: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hint {
    /// Take the small one.
    Smaller,
    /// Find a cheaper one.
    Cheaper,
    /// Just one of them.
    One,
    /// Something healthier.
    Healthier,
}

impl Hint {
    pub const ALL: [Self; 4] = [Self::Smaller, Self::Cheaper, Self::One, Self::Healthier];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smaller => "smaller",
            Self::Cheaper => "cheaper",
            Self::One => "one",
            Self::Healthier => "healthier",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuggestionError {
    #[error("it suggests nothing")]
    Nothing,
    #[error("only a refusal suggests something")]
    WithApproval,
    #[error("its lines are not some of those asked for, in the bill's order")]
    Lines,
    #[error("a line is not suggested once at least, and at most as often as it was asked for")]
    Quantity,
    #[error("it suggests all that was asked for")]
    Everything,
    #[error("its amount is not above zero and below the bill's total, in the bill's currency")]
    Amount,
}

impl Suggestion {
    /// Whether it is one on an order of `bill` (revision 1) that leaves `without` out.
    pub fn check(&self, bill: &Bill, without: &[LineId]) -> Result<(), SuggestionError> {
        if self.lines.is_empty() && self.hint.is_none() && self.up_to.is_none() {
            return Err(SuggestionError::Nothing);
        }
        let named = self.named(bill, without).ok_or(SuggestionError::Lines)?;
        if named.iter().any(|(line, quantity)| !(1..=line.quantity).contains(quantity)) {
            return Err(SuggestionError::Quantity);
        }
        let asked = bill.lines.iter().filter(|line| !without.contains(&line.id)).count();
        if named.len() == asked && named.iter().all(|(line, quantity)| *quantity == line.quantity) {
            return Err(SuggestionError::Everything);
        }
        if let Some(most) = self.up_to
            && (most.minor() <= 0 || most.currency() != bill.currency || most.minor() >= bill.total().minor())
        {
            return Err(SuggestionError::Amount);
        }
        Ok(())
    }

    /// The lines it names, with how many of each; `None` where one is not among those asked for, or out of order.
    #[must_use]
    pub fn named<'a>(&self, bill: &'a Bill, without: &[LineId]) -> Option<Vec<(&'a Line, u32)>> {
        let mut asked = bill.lines.iter().filter(|line| !without.contains(&line.id));
        self.lines.iter().map(|one| Some((asked.find(|line| line.id == one.id)?, one.quantity))).collect()
    }

    /// What a new order of the same bill leaves out to be exactly what is suggested. `None` where no lines are named, or less of
    /// one than the bill has: then the shop has to make another bill.
    #[must_use]
    pub fn without(&self, bill: &Bill, without: &[LineId]) -> Option<Vec<LineId>> {
        let named = self.named(bill, without).filter(|named| !named.is_empty())?;
        if named.iter().any(|(line, quantity)| *quantity != line.quantity) {
            return None;
        }
        let kept = |line: &&Line| !named.iter().any(|(named, _)| named.id == line.id);
        let left: Vec<LineId> = bill.lines.iter().filter(kept).map(|line| line.id.clone()).collect();
        bill.check_without(&left).is_ok().then_some(left)
    }
}

impl Bill {
    /// Whether an order of this bill (revision 1) may leave these lines out.
    pub fn check_without(&self, without: &[LineId]) -> Result<(), StrikeError> {
        match self.reduction {
            crate::Reduction::LinesSum => self.terms(without, None).map(|_| ()),
            crate::Reduction::Requote => self.split(without).map(|_| ()),
        }
    }

    /// What an order that leaves `without` out may come to: the sum of its lines, or the whole bill where only the shop can say.
    #[must_use]
    pub fn asked_total(&self, without: &[LineId]) -> Amount {
        self.terms(without, None).map_or(self.total(), |terms| terms.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Currency, Minor, Reduction, Text};

    fn bill(reduction: Reduction) -> Bill {
        let line = |id: &str, quantity: u32, unit: i64| {
            let unit_price = Minor::new(unit).expect("in range");
            Line {
                id: LineId::new(id).expect("an id"),
                name: Text::new("面包").expect("a name"),
                quantity,
                unit_price,
                amount: unit_price.times(quantity).expect("in range"),
                category: None,
                min_age: None,
                bundle: None,
            }
        };
        let lines = vec![line("a", 3, 200), line("b", 1, 500), line("c", 1, 0)];
        Bill {
            v: crate::V1,
            bill: crate::BillId::from_bytes([1; 16]),
            revision: 1,
            replaces: None,
            merchant: crate::MerchantId::from_bytes([2; 16]),
            certificate: crate::Digest::from_bytes([3; 32]),
            currency: Currency::CNY,
            total: Minor::new(1_100).expect("in range"),
            lines,
            adjustments: Vec::new(),
            reduction,
            issued: crate::Timestamp::from_unix_ms(0),
            valid_until: crate::Timestamp::from_unix_ms(1),
            nonce: crate::Nonce::from_bytes([4; 16]),
            code: None,
        }
    }

    fn ids(ids: &[&str]) -> Vec<LineId> {
        ids.iter().map(|id| LineId::new(id).expect("an id")).collect()
    }

    fn only(lines: &[(&str, u32)]) -> Suggestion {
        let line = |(id, quantity): &(&str, u32)| SuggestedLine { id: ids(&[id])[0].clone(), quantity: *quantity };
        Suggestion { lines: lines.iter().map(line).collect(), ..Suggestion::default() }
    }

    fn up_to(minor: i64, currency: Currency) -> Suggestion {
        let amount = Amount::new(Minor::new(minor).expect("in range"), currency);
        Suggestion { up_to: Some(amount), ..Suggestion::default() }
    }

    #[test]
    fn a_suggestion_is_less_than_what_was_asked() {
        let hint = Suggestion { hint: Some(Hint::Smaller), ..Suggestion::default() };
        let none: &[&str] = &[];
        let cases = [
            (Suggestion::default(), none, Err(SuggestionError::Nothing)),
            (hint.clone(), none, Ok(())),
            (only(&[("a", 1)]), none, Ok(())),
            (only(&[("a", 3), ("b", 1)]), none, Ok(())),
            (only(&[("a", 3), ("b", 1), ("c", 1)]), none, Err(SuggestionError::Everything)),
            (
                Suggestion { hint: hint.hint, ..only(&[("a", 3), ("b", 1), ("c", 1)]) },
                none,
                Err(SuggestionError::Everything),
            ),
            (only(&[("a", 2), ("b", 1), ("c", 1)]), none, Ok(())),
            (only(&[("a", 0)]), none, Err(SuggestionError::Quantity)),
            (only(&[("a", 4)]), none, Err(SuggestionError::Quantity)),
            (only(&[("b", 1), ("a", 1)]), none, Err(SuggestionError::Lines)),
            (only(&[("a", 1), ("a", 1)]), none, Err(SuggestionError::Lines)),
            (only(&[("z", 1)]), none, Err(SuggestionError::Lines)),
            (only(&[("a", 3), ("b", 1)]), &["c"], Err(SuggestionError::Everything)),
            (only(&[("c", 1)]), &["c"], Err(SuggestionError::Lines)),
            (up_to(1, Currency::CNY), none, Ok(())),
            (up_to(1_099, Currency::CNY), none, Ok(())),
            (up_to(1_100, Currency::CNY), none, Err(SuggestionError::Amount)),
            (up_to(0, Currency::CNY), none, Err(SuggestionError::Amount)),
            (up_to(5, Currency::EUR), none, Err(SuggestionError::Amount)),
        ];
        for (index, (suggestion, without, expected)) in cases.into_iter().enumerate() {
            assert_eq!(suggestion.check(&bill(Reduction::LinesSum), &ids(without)), expected, "case {index}");
        }
    }

    #[test]
    fn whole_lines_can_be_asked_for_again() {
        let left = |suggestion: &Suggestion, reduction| suggestion.without(&bill(reduction), &[]);
        assert_eq!(left(&only(&[("a", 3)]), Reduction::LinesSum), Some(ids(&["b", "c"])));
        assert_eq!(left(&only(&[("b", 1)]), Reduction::Requote), Some(ids(&["a", "c"])));
        assert_eq!(left(&only(&[("a", 2)]), Reduction::LinesSum), None, "the shop has to make another bill");
        assert_eq!(left(&only(&[("c", 1)]), Reduction::LinesSum), None, "nothing would be left to pay");
        assert_eq!(left(&up_to(5, Currency::CNY), Reduction::LinesSum), None);
        let again = only(&[("a", 3)]).without(&bill(Reduction::LinesSum), &ids(&["c"]));
        assert_eq!(again, Some(ids(&["b", "c"])), "what was left out before stays out");
        assert_eq!(bill(Reduction::LinesSum).asked_total(&ids(&["b"])).minor(), 600);
        assert_eq!(bill(Reduction::Requote).asked_total(&ids(&["b"])).minor(), 1_100, "only the shop can say");
    }

    #[test]
    fn a_note_is_short_and_hides_nothing() {
        let longest = "好".repeat(crate::MAX_NOTE_CHARS);
        assert!(crate::Note::new(&longest).is_ok());
        assert!(crate::Note::new(&(longest + "a")).is_err());
        for note in ["", " a", "a\u{202E}b", "a\nb", "e\u{301}"] {
            assert!(crate::Note::new(note).is_err(), "{note:?}");
        }
    }
}
