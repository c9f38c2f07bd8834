//! Reed-Solomon correction of errors and erasures over GF(256), polynomial x⁸+x⁴+x³+x²+1, first root α⁰
//! (ISO/IEC 18004:2015, 7.5.2 and annex B).

/// αⁱ, twice over, so that the sum of two logarithms needs no reduction.
const EXP: [u8; 512] = tables().0;
const LOG: [u8; 256] = tables().1;

#[expect(
    clippy::as_conversions,
    reason = "const fn: from() is not const; every value is below 256 where it is narrowed"
)]
const fn tables() -> ([u8; 512], [u8; 256]) {
    let mut exp = [0u8; 512];
    let mut log = [0u8; 256];
    let mut value: u16 = 1;
    let mut power = 0;
    while power < 255 {
        exp[power] = value as u8;
        exp[power + 255] = value as u8;
        log[value as usize] = power as u8;
        value <<= 1;
        if value & 0x100 != 0 {
            value ^= 0x11D;
        }
        power += 1;
    }
    (exp, log)
}

fn exp(power: usize) -> u8 {
    EXP.get(power).copied().unwrap_or(0)
}

fn log(value: u8) -> usize {
    usize::from(LOG.get(usize::from(value)).copied().unwrap_or(0))
}

fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 { 0 } else { exp(log(a) + log(b)) }
}

/// `b` must not be 0.
fn div(a: u8, b: u8) -> u8 {
    if a == 0 { 0 } else { exp(log(a) + 255 - log(b)) }
}

/// The polynomial (lowest power first) at `x`.
fn evaluate(polynomial: &[u8], x: u8) -> u8 {
    polynomial.iter().rev().fold(0, |sum, coefficient| mul(sum, x) ^ coefficient)
}

/// Corrects `word` (data, then `check` check bytes) in place and says whether it is a codeword now. `erased` are
/// positions whose value is not trusted. At least `reserve` of the check bytes are left unused, to vouch for the result.
/// When it answers `false`, `word` is unspecified.
pub(super) fn correct(word: &mut [u8], check: usize, erased: &[usize], reserve: usize) -> bool {
    let length = word.len();
    if length > 255 || check > length || erased.len() + reserve > check {
        return false;
    }
    let syndromes = syndromes(word, check);
    if syndromes.iter().all(|syndrome| *syndrome == 0) {
        return true;
    }
    let mut locator = vec![1u8];
    for position in erased {
        if *position >= length {
            return false;
        }
        let root = exp(length - 1 - position);
        locator.push(0);
        for index in (1..locator.len()).rev() {
            let below = locator.get(index - 1).copied().unwrap_or(0);
            if let Some(slot) = locator.get_mut(index) {
                *slot ^= mul(below, root);
            }
        }
    }
    let locator = berlekamp_massey(&syndromes, locator, erased.len());
    let degree = locator.len() - 1;
    let errors = degree.saturating_sub(erased.len());
    if 2 * errors + erased.len() + reserve > check {
        return false;
    }
    // Evaluator Ω = S·Λ mod x^check.
    let evaluator: Vec<u8> = (0..degree)
        .map(|power| {
            (0..=power).fold(0, |sum, index| {
                let l = locator.get(index).copied().unwrap_or(0);
                let s = syndromes.get(power - index).copied().unwrap_or(0);
                sum ^ mul(l, s)
            })
        })
        .collect();
    let mut found = 0;
    for power in 0..length {
        let inverse = exp(255 - power);
        if evaluate(&locator, inverse) != 0 {
            continue;
        }
        found += 1;
        // Formal derivative: only odd powers survive.
        let slope = (1..locator.len()).step_by(2).fold(0, |sum, index| {
            let coefficient = locator.get(index).copied().unwrap_or(0);
            sum ^ mul(coefficient, exp((255 - power) * (index - 1) % 255))
        });
        if slope == 0 {
            return false;
        }
        // First root α⁰: the magnitude carries one factor X.
        let magnitude = mul(exp(power), div(evaluate(&evaluator, inverse), slope));
        if let Some(byte) = word.get_mut(length - 1 - power) {
            *byte ^= magnitude;
        }
    }
    found == degree && self::syndromes(word, check).iter().all(|syndrome| *syndrome == 0)
}

fn syndromes(word: &[u8], check: usize) -> Vec<u8> {
    (0..check)
        .map(|power| {
            // Horner's rule with a fixed factor.
            word.iter().fold(0u8, |sum, byte| if sum == 0 { *byte } else { exp(log(sum) + power) ^ byte })
        })
        .collect()
}

/// Berlekamp-Massey, started from the locator of the known erasures.
fn berlekamp_massey(syndromes: &[u8], start: Vec<u8>, erased: usize) -> Vec<u8> {
    let mut locator = start.clone();
    let mut previous = start;
    let mut length = erased;
    for step in erased..syndromes.len() {
        let mut discrepancy = 0;
        for (index, coefficient) in locator.iter().enumerate().take(step + 1) {
            discrepancy ^= mul(*coefficient, syndromes.get(step - index).copied().unwrap_or(0));
        }
        previous.insert(0, 0);
        if discrepancy == 0 {
            continue;
        }
        let mut next = locator.clone();
        if next.len() < previous.len() {
            next.resize(previous.len(), 0);
        }
        for (slot, coefficient) in next.iter_mut().zip(&previous) {
            *slot ^= mul(discrepancy, *coefficient);
        }
        if 2 * length <= step + erased {
            length = step + erased + 1 - length;
            previous = locator.iter().map(|coefficient| div(*coefficient, discrepancy)).collect();
        }
        locator = next;
    }
    while locator.len() > 1 && locator.last() == Some(&0) {
        locator.pop();
    }
    locator
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check bytes of `data`, by plain polynomial division.
    fn encode(data: &[u8], check: usize) -> Vec<u8> {
        let mut generator = vec![1u8];
        for power in 0..check {
            let mut next = generator.clone();
            next.push(0);
            for (index, coefficient) in generator.iter().enumerate() {
                next[index + 1] ^= mul(*coefficient, exp(power));
            }
            generator = next;
        }
        let mut rest = data.to_vec();
        rest.resize(data.len() + check, 0);
        for index in 0..data.len() {
            let factor = rest[index];
            for (offset, coefficient) in generator.iter().enumerate() {
                rest[index + offset] ^= mul(*coefficient, factor);
            }
        }
        let mut word = data.to_vec();
        word.extend_from_slice(&rest[data.len()..]);
        word
    }

    #[test]
    fn corrects_errors_and_erasures_up_to_the_bound_and_not_beyond() {
        let mut seed = 7u32;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(seed >> 8).expect("24 bits") % below
        };
        for round in 0..2_000 {
            let check = 7 + random(24);
            let length = 10 + random(120);
            let data: Vec<u8> = (0..length).map(|_| u8::try_from(random(256)).expect("a byte")).collect();
            let word = encode(&data, check);
            let erasures = random(check);
            let errors = (check - erasures) / 2;
            let mut positions: Vec<usize> = (0..word.len()).collect();
            for index in 0..erasures + errors {
                let other = index + random(positions.len() - index);
                positions.swap(index, other);
            }
            let mut damaged = word.clone();
            for position in &positions[..erasures + errors] {
                damaged[*position] ^= u8::try_from(1 + random(255)).expect("a byte");
            }
            assert!(correct(&mut damaged, check, &positions[..erasures], 0), "round {round}");
            assert_eq!(damaged, word, "round {round}");
            if errors > 0 {
                let mut damaged = word.clone();
                for position in &positions[..erasures + errors] {
                    damaged[*position] ^= u8::try_from(1 + random(255)).expect("a byte");
                }
                let reserve = check - erasures - 2 * errors + 1;
                assert!(!correct(&mut damaged, check, &positions[..erasures], reserve), "round {round}: reserve kept");
            }
        }
    }

    #[test]
    fn impossible_arguments_are_refused() {
        assert!(!correct(&mut [1, 2, 3], 4, &[], 0));
        assert!(!correct(&mut [1, 2, 3], 2, &[9], 0));
        assert!(!correct(&mut [0; 256], 7, &[], 0));
    }
}
