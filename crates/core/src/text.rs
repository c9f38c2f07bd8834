//! Texts that people decide by: names of shops, items, children, reasons.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// More marks than any living language stacks on one letter.
const MAX_MARKS_IN_A_ROW: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("the text is empty")]
    Empty,
    #[error("the text is longer than {0} characters")]
    TooLong(usize),
    #[error("the text is not in Unicode normalisation form C")]
    NotNormalised,
    #[error("the text begins or ends with a space or holds two in a row")]
    StraySpace,
    #[error("the text holds U+{0:04X}, a control, invisible, direction-changing or unassigned character")]
    Forbidden(u32),
    #[error("the text stacks too many marks on one letter")]
    TooManyMarks,
}

/// 1 to `MAX` characters in NFC (UAX 15) without control, format, bidirectional-override, invisible, private or
/// unassigned characters; the only space is U+0020, single and inside.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Takes exactly this text or says why not; never repairs what will be signed.
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.chars().take(MAX + 1).count() > MAX {
            return Err(TextError::TooLong(MAX));
        }
        if text.starts_with(' ') || text.ends_with(' ') || text.contains("  ") {
            return Err(TextError::StraySpace);
        }
        let mut marks = 0;
        for character in text.chars() {
            if is_forbidden(character) {
                return Err(TextError::Forbidden(u32::from(character)));
            }
            marks = if is_mark(character) { marks + 1 } else { 0 };
            if marks > MAX_MARKS_IN_A_ROW {
                return Err(TextError::TooManyMarks);
            }
        }
        if !is_nfc(text) {
            return Err(TextError::NotNormalised);
        }
        Ok(Self(text.to_owned()))
    }

    /// For text a person just typed: trims it and brings it to NFC first.
    pub fn from_typed(text: &str) -> Result<Self, TextError> {
        let normal: String = text.trim().nfc().take(MAX + 1).collect();
        Self::new(&normal)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_mark(character: char) -> bool {
    matches!(
        character.general_category(),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::SpacingMark
    )
}

fn is_forbidden(character: char) -> bool {
    if character == ' ' {
        return false;
    }
    let by_category = matches!(
        character.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::SpaceSeparator
    );
    by_category || is_invisible(character)
}

/// Default-ignorable and blank characters whose category alone does not give them away (Unicode
/// `DerivedCoreProperties.txt`, Default_Ignorable_Code_Point, and U+2800 BRAILLE PATTERN BLANK).
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{034F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{FFFC}'..='\u{FFFD}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// Longest text of a scanned code that a bill may hold, in characters: that of an EMV code, which is longer than EPC's.
pub const MAX_CODE_CHARS: usize = 512;

/// The text of a scanned payment code, exactly as it was read: a checksum may cover it, so nothing is normalised. 1 to
/// [`MAX_CODE_CHARS`] characters as in [`Text`], and besides line ends, no-break and ideographic spaces, in any number and
/// place. What is shown to people out of it is cut out by `nodpay-protocol`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CodeText(String);

impl CodeText {
    /// Takes exactly this text or says why not.
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.chars().take(MAX_CODE_CHARS + 1).count() > MAX_CODE_CHARS {
            return Err(TextError::TooLong(MAX_CODE_CHARS));
        }
        let allowed = |character| matches!(character, '\n' | '\r' | '\u{00A0}' | '\u{3000}');
        match text.chars().find(|character| is_forbidden(*character) && !allowed(*character)) {
            Some(character) => Err(TextError::Forbidden(u32::from(character))),
            None => Ok(Self(text.to_owned())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for CodeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_people_use_are_taken() {
        for text in
            ["可乐", "Łódź", "老干妈 辣酱", "Crème brûlée", "Σοκολάτα", "Пирожок", "قهوة", "กาแฟ", "🍫", "a+b (2×)"]
        {
            assert_eq!(Text::<40>::new(text).map(|t| t.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_could_deceive_is_refused() {
        let cases = [
            ("", TextError::Empty),
            (" a", TextError::StraySpace),
            ("a  b", TextError::StraySpace),
            ("a\nb", TextError::Forbidden(0x0A)),
            ("a\u{202E}b", TextError::Forbidden(0x202E)),
            ("a\u{2066}b", TextError::Forbidden(0x2066)),
            ("a\u{200B}b", TextError::Forbidden(0x200B)),
            ("a\u{200D}b", TextError::Forbidden(0x200D)),
            ("a\u{FEFF}b", TextError::Forbidden(0xFEFF)),
            ("a\u{00AD}b", TextError::Forbidden(0x00AD)),
            ("a\u{3164}b", TextError::Forbidden(0x3164)),
            ("a\u{2028}b", TextError::Forbidden(0x2028)),
            ("a\u{E000}b", TextError::Forbidden(0xE000)),
            ("a\u{00A0}b", TextError::Forbidden(0x00A0)),
            ("e\u{301}", TextError::NotNormalised),
            ("x\u{323}\u{323}\u{323}\u{323}\u{323}", TextError::TooManyMarks),
            ("1234567", TextError::TooLong(6)),
        ];
        for (text, error) in cases {
            assert_eq!(Text::<6>::new(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_text_of_a_code_is_kept_as_it_was_read() {
        for text in ["BCD\n002\r\n", "  a  ", "e\u{301}", "東京\u{3000}店"] {
            assert_eq!(CodeText::new(text).map(|code| code.as_str().to_owned()), Ok(text.to_owned()));
        }
        assert_eq!(CodeText::new(""), Err(TextError::Empty));
        assert_eq!(CodeText::new("a\u{202E}b"), Err(TextError::Forbidden(0x202E)));
        assert_eq!(CodeText::new("a\tb"), Err(TextError::Forbidden(9)));
        assert!(CodeText::new(&"好".repeat(MAX_CODE_CHARS)).is_ok());
        assert_eq!(CodeText::new(&"a".repeat(MAX_CODE_CHARS + 1)), Err(TextError::TooLong(MAX_CODE_CHARS)));
    }

    #[test]
    fn typed_text_is_brought_to_its_normal_form() {
        assert_eq!(Text::<5>::from_typed(" e\u{301} ").map(|t| t.to_string()), Ok("é".to_owned()));
    }
}
