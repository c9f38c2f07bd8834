//! Printed recovery codes: what they look like, and the key that each one is.
//!
//! 22 characters of Crockford's base 32 (110 bits) and 3 that check them, in five groups. The key is derived from the 22
//! with HKDF-SHA256 (RFC 5869); its public half is enrolled in the household log.

use ring::hkdf;
use zeroize::Zeroizing;

use crate::SoftwareKey;
use crate::digest::labelled;

/// Without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters that hold the secret: 5 bits each.
pub const RECOVERY_SYMBOLS: usize = 22;
const CHECK_SYMBOLS: usize = 3;
const GROUP: usize = 5;
const SALT: &[u8] = b"nodpay/recovery-code/1";
const INFO: &[u8] = b"nodpay/recovery-key/1";

/// A printed code. Hidden in `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<[u8; RECOVERY_SYMBOLS]>);

impl RecoveryCode {
    /// From random bytes, of which 5 bits each count.
    #[must_use]
    pub fn from_random(bytes: [u8; RECOVERY_SYMBOLS]) -> Self {
        let mut symbols = Zeroizing::new(bytes);
        for symbol in symbols.iter_mut() {
            *symbol = ALPHABET.get(usize::from(*symbol & 31)).copied().unwrap_or(b'0');
        }
        Self(symbols)
    }

    /// As somebody types it: letters of either case, spaces and hyphens anywhere, O for 0, I and L for 1. `None` when it is
    /// no code or a mistyped one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let typed = text.chars().filter(|letter| !matches!(letter, ' ' | '-'));
        let read: Option<Vec<u8>> = typed.map(symbol_of).collect();
        let read = Zeroizing::new(read?);
        let (symbols, check) = read.split_at_checked(RECOVERY_SYMBOLS)?;
        let code = Self(Zeroizing::new(symbols.try_into().ok()?));
        (code.check() == check).then_some(code)
    }

    /// In groups, as it is printed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let whole: Vec<u8> = self.0.iter().copied().chain(self.check()).collect();
        let groups: Vec<String> =
            whole.chunks(GROUP).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        groups.join("-")
    }

    /// The first 15 bits of a digest of the symbols.
    fn check(&self) -> [u8; CHECK_SYMBOLS] {
        let digest = labelled("nodpay/recovery-check/1", &[self.0.as_slice()]);
        let [a, b, ..] = digest.as_bytes();
        let bits = u16::from_be_bytes([*a, *b]);
        [bits >> 11, (bits >> 6) & 31, (bits >> 1) & 31]
            .map(|value| ALPHABET.get(usize::from(value)).copied().unwrap_or(b'0'))
    }

    /// HKDF-SHA256 with the symbols as key, `nodpay/recovery-code/1` as salt and `nodpay/recovery-key/1` and a byte that
    /// counts from 0 as info: the first 32 bytes that are a scalar from 1 to n − 1.
    #[must_use]
    pub fn key(&self) -> SoftwareKey {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(self.0.as_slice());
        let candidate = |count: u8| {
            let info: [&[u8]; 2] = [INFO, &[count]];
            let mut scalar = Zeroizing::new([0; 32]);
            secret.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(scalar.as_mut_slice())).ok()?;
            SoftwareKey::from_secret(&scalar)
        };
        match (0..=u8::MAX).find_map(candidate) {
            Some(key) => key,
            // Each fails with a probability of 2^-32.
            None => unreachable!("256 digests in a row are no scalar"),
        }
    }
}

fn symbol_of(letter: char) -> Option<u8> {
    let letter = match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    };
    u8::try_from(letter).ok().filter(|symbol| ALPHABET.contains(symbol))
}

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCode(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signer as _;

    #[test]
    fn a_code_is_read_as_it_is_printed_and_typed() {
        let code = RecoveryCode::from_random([0x5A; RECOVERY_SYMBOLS]);
        let text = code.to_text();
        assert_eq!(text.len(), 29, "{text}");
        for typed in [text.clone(), text.to_lowercase(), text.replace('-', ""), format!(" {} ", text.replace('-', " "))]
        {
            assert_eq!(RecoveryCode::parse(&typed).as_ref(), Some(&code), "{typed}");
        }
        let zeros = RecoveryCode::from_random([0; RECOVERY_SYMBOLS]).to_text();
        assert!(RecoveryCode::parse(&zeros.replace('0', "o")).is_some());
        assert!(!format!("{code:?}").contains(&text));
    }

    #[test]
    fn a_mistyped_code_is_none() {
        let text = RecoveryCode::from_random([7; RECOVERY_SYMBOLS]).to_text();
        for index in (0..text.len()).filter(|index| text.as_bytes()[*index] != b'-') {
            let mut bent = text.clone().into_bytes();
            bent[index] = if bent[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(RecoveryCode::parse(std::str::from_utf8(&bent).expect("ascii")), None, "character {index}");
        }
        for bent in ["", "U", &text[1..], &format!("{text}0"), &text.replacen('7', "U", 1)] {
            assert_eq!(RecoveryCode::parse(bent), None, "{bent}");
        }
    }

    #[test]
    fn each_code_is_its_own_key() {
        let key = |seed| RecoveryCode::from_random([seed; RECOVERY_SYMBOLS]).key().public_key();
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
    }
}
