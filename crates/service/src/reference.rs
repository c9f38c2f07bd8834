//! What a guardian writes on a bank transfer so that the money finds their household: a creditor reference by ISO 11649, made of
//! the first 100 bits of the household's id. Banks check its digits, so a slip of the pen reaches nobody else.

use nodpay_core::HouseholdId;

/// Crockford's: no letter looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARS: u32 = 20;
/// Bits of the id that are left out.
const CUT: u32 = 128 - 5 * CHARS;

/// Without spaces: `RF`, two check digits, 20 characters.
#[must_use]
pub fn of(household: HouseholdId) -> String {
    let bits = u128::from_be_bytes(*household.as_bytes()) >> CUT;
    let body: String = (0..CHARS).rev().map(|place| char_of(bits >> (5 * place))).collect();
    let check = 98 - remainder(&format!("{body}RF00")).unwrap_or(0);
    format!("RF{check:02}{body}")
}

/// The first reference with right digits in what somebody wrote on a transfer, whatever is around it.
#[must_use]
pub fn find(words: &str) -> Option<String> {
    let length = 4 + usize::try_from(CHARS).ok()?;
    let text: String = words.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let starts = text.match_indices("RF").filter_map(|(start, _)| text.get(start..start + length));
    starts.map(str::to_owned).find(|text| range(text).is_some())
}

fn char_of(bits: u128) -> char {
    let index = usize::try_from(bits & 31).unwrap_or(0);
    ALPHABET.get(index).copied().map_or('0', char::from)
}

/// The first and last id that a typed reference may mean.
#[must_use]
pub fn range(typed: &str) -> Option<(HouseholdId, HouseholdId)> {
    let text: String = typed.chars().filter(|char| !char.is_whitespace()).collect::<String>().to_ascii_uppercase();
    let (body, check) = (text.strip_prefix("RF")?.get(2..)?, text.get(..4)?);
    if u32::try_from(body.len()) != Ok(CHARS) || remainder(&format!("{body}{check}"))? != 1 {
        return None;
    }
    let bits = body.bytes().try_fold(0_u128, |bits, char| {
        let value = ALPHABET.iter().position(|known| *known == char)?;
        Some(bits << 5 | u128::try_from(value).ok()?)
    })?;
    let first = bits << CUT;
    let last = first | ((1 << CUT) - 1);
    Some((HouseholdId::from_bytes(first.to_be_bytes()), HouseholdId::from_bytes(last.to_be_bytes())))
}

/// Of the number that digits, and letters as 10 to 35, write; modulo 97 (ISO 7064).
fn remainder(text: &str) -> Option<u32> {
    text.chars().try_fold(0_u32, |rest, char| {
        let value = char.to_digit(36)?;
        let shift = if value < 10 { 10 } else { 100 };
        Some((rest * shift + value) % 97)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_leads_back_and_slips_lead_nowhere() {
        for bytes in [[0; 16], [0xFF; 16], *b"0123456789abcdef"] {
            let household = HouseholdId::from_bytes(bytes);
            let text = of(household);
            assert_eq!(text.len(), 24, "at most 25 by the standard");
            let (first, last) = range(&text).expect("its own");
            assert!(first <= household && household <= last);
            let spaced = format!("{} {}", text.get(..4).expect("four"), text.get(4..).expect("more").to_lowercase());
            assert_eq!(range(&spaced), Some((first, last)));
            for place in 2..text.len() {
                let mut slip = text.clone().into_bytes();
                slip[place] = if slip[place] == b'7' { b'4' } else { b'7' };
                assert_eq!(range(&String::from_utf8(slip).expect("ASCII")), None, "{text} at {place}");
            }
        }
        let text = of(HouseholdId::from_bytes(*b"0123456789abcdef"));
        for words in
            [format!("Hi RF! for lunch: {}/{}, thanks", &text[..7], &text[7..].to_lowercase()), format!("RF18{text}1")]
        {
            assert_eq!(find(&words), Some(text.clone()), "{words}");
        }
        assert_eq!(find(&text[1..]), None);
        // The standard's own example has valid digits, but is none of ours.
        assert_eq!(remainder("539007547034RF18"), Some(1));
        assert_eq!(range("RF18539007547034"), None);
        assert_eq!(range(""), None);
    }
}
