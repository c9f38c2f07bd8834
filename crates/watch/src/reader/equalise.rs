//! Undoes blur between modules.
//!
//! Blur, a moved camera, ink that runs and a grid that is a little off all mix each module with its eight neighbours. The
//! three squares show known modules, so the mixture can be measured there (least squares) and undone everywhere: the
//! modules between −1 and 1 are sought whose mixture comes closest to what was seen (projected gradient with momentum).

use super::number::float;
use super::pixels::solve;

const ROUNDS: usize = 14;
/// Work a module; sums in rows cost far less than look-ups.
pub(super) const WORK: usize = 8;
/// How strongly the mixture of neighbours is pulled to none, in known modules.
const RIDGE: f64 = 1.0;
const UNKNOWNS: usize = 12;

const AROUND: [(isize, isize); 9] = [(0, 0), (-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)];

struct Mixture {
    /// Shares in the order of `AROUND`.
    shares: [f32; 9],
    /// Brightness at the three squares: top left, top right, bottom left.
    levels: [f32; 3],
}

/// The modules (1 dark, −1 bright) whose mixture gives `sampled`, row by row; `None` where the squares do not tell the
/// mixture.
pub(super) fn equalised(sampled: &[f32], size: usize) -> Option<Vec<f32>> {
    let mixture = measure(sampled, size)?;
    let gain: f32 = mixture.shares.iter().map(|share| share.abs()).sum();
    let step = 1.0 / (gain * gain).max(f32::MIN_POSITIVE);
    let [corner, right, below] = mixture.levels;
    let mut seen = Vec::with_capacity(sampled.len());
    for (index, value) in sampled.iter().enumerate() {
        let (x, y) = (float(index % size) / float(size), float(index / size) / float(size));
        seen.push(value - corner - (right - corner) * x - (below - corner) * y);
    }
    let mut found: Vec<f32> = seen.iter().map(|value| (value / gain.max(0.1)).clamp(-1.0, 1.0)).collect();
    let mut ahead = found.clone();
    let mut mirrored = mixture.shares;
    for (slot, (x, y)) in mirrored.iter_mut().zip(AROUND) {
        let opposite = AROUND.iter().position(|place| *place == (-x, -y)).unwrap_or(0);
        *slot = mixture.shares.get(opposite).copied().unwrap_or(0.0);
    }
    for round in 0..ROUNDS {
        let mut rest = mixed(&ahead, size, &mixture.shares, -1.0);
        for (rest, seen) in rest.iter_mut().zip(&seen) {
            *rest = seen - *rest;
        }
        let slope = mixed(&rest, size, &mirrored, 0.0);
        let momentum = float(round) / float(round + 3);
        for ((ahead, found), slope) in ahead.iter_mut().zip(&mut found).zip(slope) {
            let next = (*ahead + step * slope).clamp(-1.0, 1.0);
            *ahead = next + momentum * (next - *found);
            *found = next;
        }
    }
    // Beyond the bounds lies how sure a module is: what is still missing there is added.
    Some(found.iter().zip(&seen).map(|(module, seen)| module + 0.1 * seen).collect())
}

/// Each module's mixture with its neighbours; `outside` is what lies beyond the border.
fn mixed(values: &[f32], size: usize, shares: &[f32; 9], outside: f32) -> Vec<f32> {
    let wide = size + 2;
    let mut framed = vec![outside; wide * wide];
    for (row, line) in values.chunks(size).zip(framed.chunks_mut(wide).skip(1)) {
        for (slot, value) in line.iter_mut().skip(1).zip(row) {
            *slot = *value;
        }
    }
    let mut sums = vec![0.0; values.len()];
    for ((dx, dy), share) in AROUND.into_iter().zip(shares) {
        for (y, line) in sums.chunks_mut(size).enumerate() {
            let start = (y + 1).saturating_add_signed(dy) * wide + 1usize.saturating_add_signed(dx);
            for (sum, value) in line.iter_mut().zip(framed.get(start..).unwrap_or(&[])) {
                *sum += share * value;
            }
        }
    }
    sums
}

fn measure(sampled: &[f32], size: usize) -> Option<Mixture> {
    let mut rows = [[0.0f64; UNKNOWNS + 1]; UNKNOWNS];
    for (index, row) in rows.iter_mut().enumerate().take(9).skip(1) {
        row[index] = RIDGE;
    }
    for corner in 0..3 {
        // Inside a square and its margin, with all neighbours.
        for v in 1..7usize {
            for u in 1..7usize {
                let dark = |u: usize, v: usize| {
                    let ring = u.abs_diff(3).max(v.abs_diff(3));
                    if ring == 2 || ring == 4 { -1.0 } else { 1.0 }
                };
                let x = if corner == 1 { size - 1 - u } else { u };
                let y = if corner == 2 { size - 1 - v } else { v };
                let mut terms = [0.0f64; UNKNOWNS];
                for (term, (dx, dy)) in terms.iter_mut().zip(AROUND) {
                    let dx = if corner == 1 { -dx } else { dx };
                    let dy = if corner == 2 { -dy } else { dy };
                    *term = dark(u.saturating_add_signed(dx), v.saturating_add_signed(dy));
                }
                terms[9 + corner] = 1.0;
                let value = f64::from(sampled.get(y * size + x).copied()?);
                for (row, a) in rows.iter_mut().zip(terms) {
                    for (cell, b) in row.iter_mut().zip(terms.into_iter().chain([value])) {
                        *cell += a * b;
                    }
                }
            }
        }
    }
    let found = solve(rows)?.map(super::number::narrow);
    let (shares, levels) = found.split_at(9);
    let mixture = Mixture { shares: shares.try_into().ok()?, levels: levels.try_into().ok()? };
    // A module must show more of itself than of any neighbour.
    let own = mixture.shares[0];
    (own > 0.05 && mixture.shares.iter().skip(1).all(|share| share.abs() < own)).then_some(mixture)
}
