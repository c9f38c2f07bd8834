//! The two faces the watch draws with, and what they can draw.
//!
//! Both are outline fonts inside the program (see `fonts/make.sh`): 3.19 MB and 0.31 MB of it. They are read where they lie,
//! mapped from the program's file: no copy, only the pages touched are in memory, and those can be dropped and read again. **Invariant:** no text of another party reaches the screens but through [`displayable`], so that a
//! character without a glyph is seen as an escape and never dropped, replaced by a box, or drawn by a system's font.

use std::sync::Arc;

use skrifa::MetadataProvider;
use skrifa::instance::{LocationRef, Size};
use slint::fontique_011::{fontique, shared_collection};

/// What a merchant's text may hold: Latin, Greek, Cyrillic, 10,300 Hanzi (the general standard table, GB/T 2312, the
/// frequent ones of Big5), kana, symbols.
static REGULAR: &[u8] = include_bytes!("../fonts/Nodpay-Regular.otf");
/// Alphabets, figures, and the Hanzi of our own words.
static BOLD: &[u8] = include_bytes!("../fonts/Nodpay-Bold.otf");

/// Of both faces: see `fonts/make.py`.
const UNITS_PER_EM: f32 = 1000.0;

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

/// Whether the bold face has every letter of `text`.
pub(crate) fn is_bold(text: &str) -> bool {
    text.chars().all(|character| draws(BOLD, character))
}

/// Width of `text` on one line, in ems of the bold face, or of the regular one where the bold one lacks a letter.
pub(crate) fn ems(text: &str) -> f32 {
    let face = if is_bold(text) { BOLD } else { REGULAR };
    let Ok(font) = skrifa::FontRef::new(face) else { return 0.0 };
    let metrics = font.glyph_metrics(Size::unscaled(), LocationRef::default());
    let advance = |character| metrics.advance_width(font.charmap().map(character)?);
    text.chars().filter_map(advance).sum::<f32>() / UNITS_PER_EM
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

    /// The rest of GB/T 2312: Hanzi rows 16 to 87, symbols and alphabets in rows 1 to 9.
    #[test]
    fn every_character_of_gb2312_has_a_glyph() {
        let (mut hanzi, mut others) = (0, 0);
        for high in 0xA1..=0xF7_u8 {
            for low in 0xA1..=0xFE_u8 {
                // GBK, which the standard's successor calls its own, differs in its rows 1 to 9 by additions only.
                let bytes = [high, low];
                let (text, _, broken) = encoding_rs::GBK.decode(&bytes);
                let newer = |c: char| matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fe10}'..='\u{fe19}');
                if broken || text.contains(newer) {
                    continue;
                }
                assert!(
                    text.chars().all(|c| draws(REGULAR, c)),
                    "{text} U+{:04X}",
                    u32::from(text.chars().next().unwrap())
                );
                if high >= 0xB0 { hanzi += 1 } else { others += 1 }
            }
        }
        assert_eq!(hanzi, 6763);
        assert!(others >= 682, "{others}");
    }

    /// Letters, figures, punctuation and signs of the alphabets a shop may use, as NFC leaves them.
    #[test]
    fn latin_greek_and_cyrillic_have_every_glyph() {
        use unicode_normalization::is_nfc;
        use unicode_properties::{GeneralCategoryGroup as Group, UnicodeGeneralCategory};
        // Added to Unicode after our sources were drawn, or not of these alphabets (Coptic).
        let absent = |c: char| matches!(c, '\u{3e2}'..='\u{3ef}' | '\u{208f}' | '\u{209d}'..='\u{209f}' | '\u{20c0}'..);
        let blocks = ['\u{20}'..='\u{52f}', '\u{1e00}'..='\u{20cf}'];
        let mut missing = String::new();
        for character in blocks.into_iter().flatten().filter(|&c| !absent(c)) {
            let seen = matches!(
                character.general_category_group(),
                Group::Letter | Group::Number | Group::Punctuation | Group::Symbol
            );
            if seen && is_nfc(character.encode_utf8(&mut [0; 4])) && !draws(REGULAR, character) {
                missing.push(character);
            }
        }
        assert_eq!(missing, "");
        let signs = "№℃℉™®©°•…‰′″←↑→↓⇒∞≈≠≤≥√∑✓✗★☆♥♦♣♠♪♫☀☁☂☎☺①②③㈠㎏㎡㏄「」『』【】〈〉《》、。〜ー々〇あいうアイウ";
        assert_eq!(displayable(signs), signs);
    }

    /// A mark on another letter, a picture, a character of no standard: said by number.
    #[test]
    fn what_cannot_be_drawn_well_is_escaped() {
        for character in
            "\u{300}\u{30a}\u{36f}\u{483}\u{20e3}\u{3099}\u{1f600}\u{2705}\u{378}\u{e000}\u{10ffff}".chars()
        {
            assert_eq!(displayable(&character.to_string()), format!("‹U+{:04X}›", u32::from(character)));
        }
        assert_eq!(displayable("q\u{308}"), "q‹U+0308›");
    }

    #[test]
    fn widths_are_those_of_the_face() {
        assert!((ems("付款") - 2.0).abs() < 0.01);
        assert!((ems("Œ") - ems("O")) > 0.1);
        assert_eq!(ems(""), 0.0);
    }

    /// Our words are set in bold: run `fonts/make.sh` when this fails.
    #[test]
    fn the_bold_face_has_every_letter_of_our_words() {
        let missing: String =
            include_str!("words.rs").chars().filter(|&c| !c.is_control() && !draws(BOLD, c)).collect();
        assert_eq!(missing, "");
    }
}
