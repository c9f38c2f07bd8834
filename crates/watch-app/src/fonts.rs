//! The two faces the watch draws with, and what they can draw.
//!
//! Both are outline fonts inside the program (see `fonts/make.sh`), read where they lie: no copy, only the pages touched
//! are in memory. **Invariant:** no text of another party reaches the screens but through [`displayable`], so that a
//! character without a glyph is seen as an escape and never dropped, replaced by a box, or drawn by a system's font.

use std::sync::Arc;

use skrifa::MetadataProvider;
use slint::fontique_011::{fontique, shared_collection};

/// What a merchant's text may hold: Latin, Greek, Cyrillic, 10,300 Hanzi (the general standard table, GB/T 2312, the
/// frequent ones of Big5), kana, symbols.
static REGULAR: &[u8] = include_bytes!("../fonts/Nodpay-Regular.otf");
/// Alphabets, figures, and the Hanzi of our own words.
static BOLD: &[u8] = include_bytes!("../fonts/Nodpay-Bold.otf");

/// Both, as they lie in the program.
#[must_use]
pub const fn faces() -> [&'static [u8]; 2] {
    [REGULAR, BOLD]
}

/// Hands both faces to Slint, and makes the regular one what a letter missing from the bold one falls back to. The
/// system's fonts are never asked for: pictures are the same everywhere.
pub(crate) fn register() {
    let mut collection = shared_collection();
    let mut families = Vec::new();
    for face in faces() {
        let registered = collection.register_fonts(fontique::Blob::new(Arc::new(face)), None);
        families.extend(registered.into_iter().map(|(family, _)| family));
    }
    for generic in
        [fontique::GenericFamily::SansSerif, fontique::GenericFamily::SystemUi, fontique::GenericFamily::UiSansSerif]
    {
        collection.set_generic_families(generic, families.iter().take(1).copied());
    }
}

/// `text` as the watch can draw it: a character the font lacks becomes `‹U+1F36B›`.
#[must_use]
pub fn displayable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if draws(REGULAR, character) {
            out.push(character);
        } else {
            out.push_str(&format!("‹U+{:04X}›", u32::from(character)));
        }
    }
    out
}

fn draws(face: &[u8], character: char) -> bool {
    skrifa::FontRef::new(face).is_ok_and(|font| font.charmap().map(character).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stay_and_what_lacks_a_glyph_is_escaped() {
        // The last one: rare Hanzi of the table, one of them beyond the basic plane, and traditional ones.
        let texts =
            ["Łódź żółć", "老干妈 风味豆豉", "Ελλάδα", "Київ їжак", "Phở bò", "¥€£$₩₹₫ № ½ ★ ♥ ①", "㸆䶮𬶏龍鳳麵包"];
        for text in texts {
            assert_eq!(displayable(text), text);
        }
        assert_eq!(displayable("巧克力🍫"), "巧克力‹U+1F36B›");
        assert_eq!(displayable("שלום"), "‹U+05E9›‹U+05DC›‹U+05D5›‹U+05DD›");
    }

    /// Characters that take no ink would be lost as surely as those without a glyph.
    #[test]
    fn nothing_invisible_is_displayable() {
        for character in "\u{ad}\u{34f}\u{200b}\u{200e}\u{2028}\u{202e}\u{2060}\u{feff}\u{fe0f}\u{ffa0}\n\u{7f}".chars()
        {
            assert!(!draws(REGULAR, character), "{:04X}", u32::from(character));
        }
    }

    #[test]
    fn every_hanzi_of_the_general_standard_table_has_a_glyph() {
        let table = include_str!("../fonts/hanzi-tgh-2013.txt");
        let hanzi: Vec<char> = table.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(hanzi.len(), 8105);
        assert!(hanzi.iter().all(|&c| draws(REGULAR, c)));
    }

    /// Our words are set in bold: run `fonts/make.sh` when this fails.
    #[test]
    fn the_bold_face_has_every_letter_of_our_words() {
        let missing: String =
            include_str!("words.rs").chars().filter(|&c| !c.is_control() && !draws(BOLD, c)).collect();
        assert_eq!(missing, "");
    }
}
