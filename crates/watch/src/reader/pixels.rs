//! Grey pictures, points and plane geometry: what the stages of the reader share.
//!
//! Pixel (x, y) covers the square from (x, y) to (x+1, y+1): its centre lies at (x+0.5, y+0.5). All look-ups outside the
//! picture answer with the nearest pixel inside, so no coordinate can fail.

use super::number::{float, float_i, floor, rounded_byte};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }
    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }
    pub(super) fn cross(self, other: Self) -> f32 {
        self.x * other.y - self.y * other.x
    }
    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }
    pub(super) fn between(self, other: Self, share: f32) -> Self {
        self + (other - self) * share
    }
}

impl std::ops::Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl std::ops::Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl std::ops::Mul<f32> for Point {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

#[derive(Clone)]
pub(super) struct Grey {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) luma: Vec<u8>,
}

impl Grey {
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height.saturating_sub(1)) * self.width;
        self.luma.get(start..start + self.width).unwrap_or(&[])
    }

    fn at(&self, x: i32, y: i32) -> f32 {
        let x = usize::try_from(x).unwrap_or(0).min(self.width.saturating_sub(1));
        let y = usize::try_from(y).unwrap_or(0).min(self.height.saturating_sub(1));
        f32::from(self.luma.get(y * self.width + x).copied().unwrap_or(0))
    }

    /// Bilinear.
    #[inline]
    pub(super) fn sample(&self, point: Point) -> f32 {
        let (x, y) = (point.x - 0.5, point.y - 0.5);
        let (left, top) = (floor(x), floor(y));
        let (right_share, low_share) = (x - float_i(left), y - float_i(top));
        // The usual case first: all four pixels inside, two look-ups of a pair each.
        if let (Ok(column), Ok(line)) = (usize::try_from(left), usize::try_from(top))
            && column + 1 < self.width
            && line + 1 < self.height
        {
            let start = line * self.width + column;
            let upper = self.luma.get(start..start + 2);
            let lower = self.luma.get(start + self.width..start + self.width + 2);
            if let (Some(&[a, b]), Some(&[c, d])) = (upper, lower) {
                let upper = f32::from(a) + (f32::from(b) - f32::from(a)) * right_share;
                let lower = f32::from(c) + (f32::from(d) - f32::from(c)) * right_share;
                return upper + (lower - upper) * low_share;
            }
        }
        let next = |value: i32| value.saturating_add(1);
        let upper = self.at(left, top) * (1.0 - right_share) + self.at(next(left), top) * right_share;
        let lower = self.at(left, next(top)) * (1.0 - right_share) + self.at(next(left), next(top)) * right_share;
        upper * (1.0 - low_share) + lower * low_share
    }

    pub(super) fn contains(&self, point: Point, margin: f32) -> bool {
        point.x >= -margin
            && point.y >= -margin
            && point.x <= float(self.width) + margin
            && point.y <= float(self.height) + margin
    }

    /// Half the side, each pixel the mean of four.
    pub(super) fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut luma = Vec::with_capacity(width * height);
        for y in 0..height {
            let upper = self.row(2 * y).as_chunks::<2>().0;
            let lower = self.row(2 * y + 1).as_chunks::<2>().0;
            luma.extend(upper.iter().zip(lower).map(|(a, b)| {
                let sum: u16 = a.iter().chain(b).map(|value| u16::from(*value)).sum();
                u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX)
            }));
        }
        Self { width, height, luma }
    }

    /// Twice the side, bilinear.
    pub(super) fn doubled(&self) -> Self {
        let (width, height) = (self.width * 2, self.height * 2);
        let mut luma = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let point = Point::new((float(x) + 0.5) / 2.0, (float(y) + 0.5) / 2.0);
                luma.push(rounded_byte(self.sample(point)));
            }
        }
        Self { width, height, luma }
    }

    /// Smoothed by (1 2 1) in both directions.
    pub(super) fn smoothed(&self) -> Self {
        let (width, height) = (self.width, self.height);
        let mut luma = Vec::with_capacity(width * height);
        let mut column: Vec<u16> = Vec::with_capacity(width);
        for y in 0..height {
            let (above, here, below) = (self.row(y.saturating_sub(1)), self.row(y), self.row(y + 1));
            column.clear();
            column.push(0);
            column.extend(
                above.iter().zip(here).zip(below).map(|((a, b), c)| u16::from(*a) + 2 * u16::from(*b) + u16::from(*c)),
            );
            let (first, last) = (column.get(1).copied().unwrap_or(0), column.last().copied().unwrap_or(0));
            column.push(last);
            if let Some(slot) = column.first_mut() {
                *slot = first;
            }
            luma.extend(column.windows(3).map(|near| {
                let sum = near[0] + 2 * near[1] + near[2];
                u8::try_from((sum + 8) / 16).unwrap_or(u8::MAX)
            }));
        }
        Self { width, height, luma }
    }
}

/// A projective map from the plane of the symbol (modules) to the picture (pixels).
#[derive(Clone, Copy, Debug)]
pub(super) struct Projection {
    m: [f32; 8],
}

impl Projection {
    /// The map that fits the pairs best (least squares over the linear form; exact for four). `None` where they do not
    /// determine one.
    pub(super) fn fit(pairs: &[(Point, Point, f32)]) -> Option<Self> {
        if pairs.len() < 4 {
            return None;
        }
        let mut rows = [[0.0f64; 9]; 8];
        // Scaled to about ±1 on both sides, else the normal equations lose half their digits.
        let from_scale = pairs.iter().map(|(from, _, _)| from.x.abs().max(from.y.abs())).fold(1.0f32, f32::max);
        let origin = pairs.first()?.1;
        let to_scale = pairs.iter().map(|(_, to, _)| (*to - origin).length()).fold(1.0f32, f32::max);
        for (from, to, weight) in pairs {
            let (u, v) = (f64::from(from.x / from_scale), f64::from(from.y / from_scale));
            let to = (*to - origin) * (1.0 / to_scale);
            let (x, y) = (f64::from(to.x), f64::from(to.y));
            let weight = f64::from(*weight);
            let equations =
                [([u, v, 1.0, 0.0, 0.0, 0.0, -u * x, -v * x], x), ([0.0, 0.0, 0.0, u, v, 1.0, -u * y, -v * y], y)];
            for (left, right) in equations {
                for (row, a) in rows.iter_mut().zip(left) {
                    for (cell, b) in row.iter_mut().zip(left.into_iter().chain([right])) {
                        *cell += weight * a * b;
                    }
                }
            }
        }
        let s = solve(rows)?;
        // Back to modules and pixels.
        let (f, t) = (f64::from(from_scale), f64::from(to_scale));
        let (ox, oy) = (f64::from(origin.x), f64::from(origin.y));
        let (g, h) = (s[6] / f, s[7] / f);
        let narrowed = [
            s[0] * t / f + ox * g,
            s[1] * t / f + ox * h,
            s[2] * t + ox,
            s[3] * t / f + oy * g,
            s[4] * t / f + oy * h,
            s[5] * t + oy,
            g,
            h,
        ]
        .map(super::number::narrow);
        narrowed.iter().all(|value| value.is_finite()).then_some(Self { m: narrowed })
    }

    pub(super) fn apply(&self, point: Point) -> Point {
        let [a, b, c, d, e, f, g, h] = self.m;
        let w = g * point.x + h * point.y + 1.0;
        let w = if w.abs() < 1e-6 { 1e-6 } else { w };
        Point::new((a * point.x + b * point.y + c) / w, (d * point.x + e * point.y + f) / w)
    }
}

/// Gaussian elimination with row pivots; the last column (`M` = `N` + 1) is the right side.
pub(super) fn solve<const N: usize, const M: usize>(mut rows: [[f64; M]; N]) -> Option<[f64; N]> {
    for column in 0..N {
        let pivot = (column..N).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let lead = rows[column];
        if lead[column].abs() < 1e-12 {
            return None;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            if index == column {
                continue;
            }
            let factor = row[column] / lead[column];
            for (cell, above) in row.iter_mut().zip(lead).skip(column) {
                *cell -= factor * above;
            }
        }
    }
    let mut solution = [0.0; N];
    for (index, (slot, row)) in solution.iter_mut().zip(&rows).enumerate() {
        *slot = row[N] / row[index];
    }
    Some(solution)
}
