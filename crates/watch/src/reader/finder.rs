//! Finds the three big squares of QR codes ("finder patterns", ISO/IEC 18004:2015, 6.3.3).
//!
//! Steps: a local threshold makes a map "brighter or darker than here" (`Contrast`); rows are scanned for runs
//! 1:1:3:1:1; a hit is confirmed down the column and along the row through its centre; rays from the centre must cross the
//! rings at 1.5, 2.5 and 3.5 modules in most directions. Edges are interpolated between pixels, so that modules of little
//! more than one and a half pixels still measure well. Both polarities are found in the same scan.

use super::number::{byte, float, floor, whole};
use super::pixels::{Grey, Point};
use super::work::Work;

/// Most squares kept of one picture: bounds the triples to look at.
const MAX_FINDERS: usize = 32;
/// Rays cast from a centre.
const RAYS: usize = 32;
/// Least step of brightness from core to gap, of 255.
const MIN_CONTRAST: f32 = 9.0;
/// Share of the rays that must cross the rings where a square would have them.
const MIN_GOOD_RAYS: usize = 14;

/// How far each pixel lies above (positive) or below its local threshold.
pub(super) struct Contrast {
    width: usize,
    height: usize,
    values: Vec<i16>,
}

impl Contrast {
    /// Threshold from blocks of `block` pixels a side, each averaged with its neighbours two blocks around. A block with
    /// hardly any contrast takes over the level of its neighbours, so that flat grounds do not dissolve into noise.
    pub(super) fn by_blocks(grey: &Grey, block: usize) -> Self {
        const MIN_RANGE: u32 = 24;
        let (columns, rows) = (grey.width.div_ceil(block), grey.height.div_ceil(block));
        let mut levels: Vec<u32> = vec![0; columns * rows];
        for row in 0..rows {
            // Down the columns first, which compilers turn into wide instructions.
            let mut columns_of = vec![(0u16, u8::MAX, 0u8); grey.width];
            let lines = row * block..((row + 1) * block).min(grey.height);
            let height = u32::try_from(lines.len()).unwrap_or(0);
            for y in lines {
                for ((sum, low, high), pixel) in columns_of.iter_mut().zip(grey.row(y)) {
                    *sum += u16::from(*pixel);
                    *low = (*low).min(*pixel);
                    *high = (*high).max(*pixel);
                }
            }
            for (column, cells) in columns_of.chunks(block).enumerate() {
                let sum: u32 = cells.iter().map(|cell| u32::from(cell.0)).sum();
                let low = cells.iter().map(|cell| u32::from(cell.1)).min().unwrap_or(0);
                let high = cells.iter().map(|cell| u32::from(cell.2)).max().unwrap_or(0);
                let count = height * u32::try_from(cells.len()).unwrap_or(0);
                let mut level = sum / count.max(1);
                if high.saturating_sub(low) <= MIN_RANGE {
                    // Flat: take it for ground (bright) unless the blocks before it say it lies in something dark.
                    level = low / 2;
                    let get = |c: usize, r: usize| levels.get(r * columns + c).copied().unwrap_or(0);
                    if row > 0 && column > 0 {
                        let around = (get(column, row - 1) + 2 * get(column - 1, row) + get(column - 1, row - 1)) / 4;
                        if low < around {
                            level = around;
                        }
                    }
                }
                if let Some(slot) = levels.get_mut(row * columns + column) {
                    *slot = level;
                }
            }
        }
        Self::from_levels(grey, block, columns, rows, &levels)
    }

    fn from_levels(grey: &Grey, block: usize, columns: usize, rows: usize, levels: &[u32]) -> Self {
        const REACH: usize = 2;
        let mut values = Vec::with_capacity(grey.width * grey.height);
        let mut thresholds = vec![0i16; columns];
        let mut line: Vec<i16> = Vec::with_capacity(columns * block);
        for row in 0..rows {
            let first = row.saturating_sub(REACH).min(rows.saturating_sub(2 * REACH + 1));
            let last = (row + REACH).max(2 * REACH).min(rows - 1);
            for (column, slot) in thresholds.iter_mut().enumerate() {
                let left = column.saturating_sub(REACH).min(columns.saturating_sub(2 * REACH + 1));
                let right = (column + REACH).max(2 * REACH).min(columns - 1);
                let mut sum = 0;
                let mut count = 0;
                for line in first..=last {
                    if let Some(cells) = levels.get(line * columns + left..=line * columns + right) {
                        sum += cells.iter().sum::<u32>();
                        count += u32::try_from(cells.len()).unwrap_or(0);
                    }
                }
                *slot = i16::try_from(sum / count.max(1)).unwrap_or(255);
            }
            line.clear();
            for threshold in &thresholds {
                line.extend(std::iter::repeat_n(threshold * 2 + 1, block));
            }
            for y in row * block..((row + 1) * block).min(grey.height) {
                values
                    .extend(grey.row(y).iter().zip(&line).map(|(pixel, threshold)| i16::from(*pixel) * 2 - threshold));
            }
        }
        Self { width: grey.width, height: grey.height, values }
    }

    /// Threshold by the mean of a square of 2·`reach`+1 pixels a side: follows uneven light and blur more closely than
    /// blocks do.
    pub(super) fn by_mean(grey: &Grey, reach: usize) -> Self {
        let (width, height) = (grey.width, grey.height);
        let mut columns: Vec<u32> = vec![0; width];
        let mut values = Vec::with_capacity(width * height);
        let mut lines = 0u32;
        let change = |y: usize, add: bool, columns: &mut [u32], lines: &mut u32| {
            *lines = if add { *lines + 1 } else { *lines - 1 };
            for (sum, pixel) in columns.iter_mut().zip(grey.row(y)) {
                *sum = if add { *sum + u32::from(*pixel) } else { sum.wrapping_sub(u32::from(*pixel)) };
            }
        };
        for y in 0..reach.min(height) {
            change(y, true, &mut columns, &mut lines);
        }
        for y in 0..height {
            if y + reach < height {
                change(y + reach, true, &mut columns, &mut lines);
            }
            if y > reach {
                change(y - reach - 1, false, &mut columns, &mut lines);
            }
            let mut sum: u32 = columns.iter().take(reach).sum();
            let mut count = u32::try_from(reach.min(width)).unwrap_or(0);
            for (x, pixel) in grey.row(y).iter().enumerate() {
                if let Some(entering) = columns.get(x + reach) {
                    sum += entering;
                    count += 1;
                }
                if x > reach {
                    sum = sum.wrapping_sub(columns.get(x - reach - 1).copied().unwrap_or(0));
                    count -= 1;
                }
                let mean = sum / (count * lines).max(1);
                values.push(i16::from(*pixel) * 2 - i16::from(byte(mean)) * 2 - 1);
            }
        }
        Self { width, height, values }
    }

    fn row(&self, y: usize) -> &[i16] {
        self.values.get(y * self.width..(y + 1) * self.width).unwrap_or(&[])
    }

    /// `None` outside the picture.
    fn at(&self, x: i32, y: i32) -> Option<i16> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        if x >= self.width {
            return None;
        }
        self.values.get(y * self.width + x).copied()
    }

    fn at_point(&self, point: Point) -> Option<i16> {
        self.at(floor(point.x), floor(point.y))
    }
}

/// One square, in pixels of the picture it was found in.
#[derive(Clone)]
pub(super) struct Finder {
    pub(super) centre: Point,
    /// Mean side of a module.
    pub(super) module: f32,
    /// Bright square on dark ground.
    pub(super) inverted: bool,
    /// Rows that hit it.
    pub(super) hits: usize,
    /// How much brighter the gap is than the core, in steps of brightness (darker, where inverted).
    pub(super) contrast: f32,
    /// The pass that found it first, counted by the caller.
    pub(super) pass: usize,
    /// Points on the outer edge, relative to the centre, in the order of their angles; `None` where no clean edge was met.
    pub(super) outline: Vec<Option<Point>>,
}

impl Finder {
    /// Print stands out from its ground and is met by several rows; grain and chance are not.
    pub(super) fn quality(&self) -> f32 {
        self.contrast * float(self.hits.clamp(1, 4) + 2)
    }

    pub(super) fn scaled(mut self, factor: f32) -> Self {
        self.centre = self.centre * factor;
        self.module *= factor;
        for point in self.outline.iter_mut().flatten() {
            *point = *point * factor;
        }
        self
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.inverted == other.inverted
            && (self.centre - other.centre).length() < 2.0 * self.module.min(other.module)
            && self.module < 1.6 * other.module
            && other.module < 1.6 * self.module
    }

    /// Side of a module when walking from the centre towards `direction`: from both outer edges along that line.
    pub(super) fn module_towards(&self, direction: Point) -> f32 {
        let length = direction.length().max(1e-3);
        let unit = direction * (1.0 / length);
        let reach = |sign: f32| {
            let mut best: Option<(f32, f32)> = None;
            for point in self.outline.iter().flatten() {
                let along = point.dot(unit) * sign;
                let aside = point.cross(unit).abs();
                if along > 0.0 && aside < 0.35 * along {
                    let weight = 1.0 / (aside / along + 0.05);
                    let entry = best.get_or_insert((0.0, 0.0));
                    entry.0 += weight * along;
                    entry.1 += weight;
                }
            }
            best.map(|(sum, weight)| sum / weight)
        };
        match (reach(1.0), reach(-1.0)) {
            (Some(a), Some(b)) => (a + b) / 7.0,
            (Some(a), None) | (None, Some(a)) => a / 3.5,
            (None, None) => self.module,
        }
    }
}

/// All squares of the picture, the clearest first. Looks at every `step`th row.
pub(super) fn find(contrast: &Contrast, step: usize) -> Vec<Finder> {
    let mut finders: Vec<Finder> = Vec::new();
    let mut work = Work::new(LOOK_WORK);
    // Rows in four interleaved sweeps: where noise uses the work up, it is missing everywhere alike.
    for sweep in [0, 2, 1, 3] {
        let mut y = step / 2 + sweep * step;
        while y < contrast.height && work.drain(0) {
            scan_row(contrast, y, &mut finders, &mut work);
            y += 4 * step;
        }
    }
    finders.sort_by(|a, b| b.quality().total_cmp(&a.quality()));
    finders.truncate(MAX_FINDERS);
    finders
}

/// Work on hits of one scan; five times what the busiest photograph takes.
const LOOK_WORK: u32 = 90_000;

/// Rows of noise make candidates without end; more than this many are not kept.
const MAX_CANDIDATES: usize = 400;

fn scan_row(contrast: &Contrast, y: usize, finders: &mut Vec<Finder>, work: &mut Work) {
    let row = contrast.row(y);
    let Some(mut previous) = row.first().copied() else { return };
    // The last six edges, oldest first.
    let mut edges = [f32::MIN; 6];
    // The left border ends a run too, as the right one does below: pictures are cropped to the code.
    edges[5] = 0.0;
    let middle = float(y) + 0.5;
    let mut count = 0;
    for (x, &value) in row.iter().enumerate().skip(1) {
        if (value < 0) == (previous < 0) {
            previous = value;
            continue;
        }
        count += 1;
        edges = pushed(edges, float(x) + crossing(previous, value) - 0.5);
        // Now bright after dark: the run that ended was dark.
        let inverted = previous >= 0;
        previous = value;
        if let Some((centre, module)) = five_runs(&edges) {
            consider(contrast, Point::new(centre, middle), module, inverted, finders, work);
        }
    }
    // Edges of noise cost most of all.
    work.drain(count / 4);
    // A square cut off exactly at the right border still ends there.
    edges = pushed(edges, float(row.len()));
    if let Some((centre, module)) = five_runs(&edges) {
        consider(contrast, Point::new(centre, middle), module, previous >= 0, finders, work);
    }
}

fn pushed([_, b, c, d, e, f]: [f32; 6], edge: f32) -> [f32; 6] {
    [b, c, d, e, f, edge]
}

/// Where between the centres of two neighbouring pixels the value passes zero (0 to 1, from the first).
fn crossing(before: i16, after: i16) -> f32 {
    let (a, b) = (f32::from(before).abs(), f32::from(after).abs());
    a / (a + b).max(1.0)
}

/// Centre and module where the five runs between the six edges are 1:1:3:1:1.
///
/// Blur and a threshold off the middle make all dark runs wider and all bright ones narrower by the same amount; sums of
/// neighbouring runs do not change by that, so they are held to closer bounds than single runs.
fn five_runs(edges: &[f32; 6]) -> Option<(f32, f32)> {
    let [e0, e1, e2, e3, e4, e5] = *edges;
    let module = ((e5 - e0) + (e4 - e1)) / 12.0;
    let middle = e3 - e2;
    // Most runs of any picture end here.
    if !(middle > 1.8 * module && middle < 4.3 * module && module > 0.8 && module < 1e4) {
        return None;
    }
    let near = |value: f32, modules: f32, tolerance: f32| (value - modules * module).abs() <= tolerance * module + 0.3;
    let pairs =
        near(e2 - e0, 2.0, 0.6) && near(e5 - e3, 2.0, 0.6) && near(e3 - e1, 4.0, 0.9) && near(e4 - e2, 4.0, 0.9);
    let single = |value: f32| value > 0.2 * module && value < 2.0 * module;
    let runs = single(e1 - e0) && single(e2 - e1) && single(e4 - e3) && single(e5 - e4);
    (pairs && runs).then_some(((e2 + e3) / 2.0, module))
}

fn consider(contrast: &Contrast, hit: Point, module: f32, inverted: bool, finders: &mut Vec<Finder>, work: &mut Work) {
    if !work.drain(finders.len()) {
        return;
    }
    for known in finders.iter_mut() {
        let apart = hit - known.centre;
        if known.inverted == inverted
            && apart.x.abs() < 1.2 * known.module
            && apart.y.abs() < 2.2 * known.module
            && module < 1.7 * known.module
            && known.module < 1.7 * module
        {
            known.hits += 1;
            return;
        }
    }
    if finders.len() >= MAX_CANDIDATES {
        return;
    }
    let down = Point::new(0.0, 1.0);
    let across = Point::new(1.0, 0.0);
    let Some((up, tall)) = confirm(contrast, hit, down, module, inverted, work) else { return };
    let centre = hit + down * up;
    let Some((aside, wide)) = confirm(contrast, centre, across, module, inverted, work) else { return };
    let centre = centre + across * aside;
    // Seen at a slant one direction shrinks; further than this no code is legible.
    if tall > 3.0 * wide || wide > 3.0 * tall {
        return;
    }
    if !work.drain(RAYS * 20) {
        return;
    }
    let Some((outline, module)) = outline(contrast, centre, (tall * wide).sqrt(), inverted) else { return };
    let strength = strength(contrast, centre, &outline, inverted);
    if strength < MIN_CONTRAST {
        return;
    }
    finders.push(Finder { centre, module, inverted, hits: 1, contrast: strength, pass: 0, outline });
}

/// Five runs along a line through `centre`: how far the middle of the pattern lies from there, and the module.
fn confirm(
    contrast: &Contrast,
    centre: Point,
    direction: Point,
    module: f32,
    inverted: bool,
    work: &mut Work,
) -> Option<(f32, f32)> {
    // From the centre outwards: end of the core, of the gap, of the ring.
    let mut edges = [0.0f32; 6];
    for (sign, order) in [(-1.0, [2, 1, 0]), (1.0, [3, 4, 5])] {
        let found = walk(contrast, centre, direction * sign, 1.0, 12.0 * module, inverted);
        work.drain(whole(found.last().copied().flatten().unwrap_or(12.0 * module)));
        for (slot, edge) in order.into_iter().zip(found) {
            edges[slot] = edge? * sign;
        }
    }
    let (middle, found) = five_runs(&edges)?;
    (found < 3.0 * module && module < 3.0 * found).then_some((middle, found))
}

/// Distances from `start` of the first three edges towards `direction` (length 1), the first from dark to bright. The
/// border of the picture counts as the third edge.
fn walk(
    contrast: &Contrast,
    start: Point,
    direction: Point,
    stride: f32,
    limit: f32,
    inverted: bool,
) -> [Option<f32>; 3] {
    let mut edges = [None; 3];
    let oriented = |value: i16| if inverted { value.saturating_neg() } else { value };
    let Some(first) = contrast.at_point(start) else { return edges };
    let mut previous = oriented(first);
    if previous >= 0 {
        return edges;
    }
    let mut found = 0;
    let mut distance = 0.0;
    while distance < limit {
        distance += stride;
        let value = match contrast.at_point(start + direction * distance) {
            Some(value) => oriented(value),
            None if found == 2 => {
                edges[2] = Some(distance);
                return edges;
            }
            None => return edges,
        };
        if (value < 0) != (previous < 0) {
            edges[found] = Some(distance - stride + stride * crossing(previous, value));
            found += 1;
            if found == 3 {
                return edges;
            }
        }
        previous = value;
    }
    edges
}

/// Casts rays from the centre; `None` unless most of them cross core, gap and ring as a square's would. Answers with the
/// points on the outer edge and the side of a module by the area they enclose.
fn outline(contrast: &Contrast, centre: Point, module: f32, inverted: bool) -> Option<(Vec<Option<Point>>, f32)> {
    let stride = (module / 4.0).clamp(0.5, 4.0);
    let mut points = Vec::with_capacity(RAYS);
    let mut good = 0;
    let mut area = 0.0;
    for ray in 0..RAYS {
        let (sine, cosine) = (float(ray) * std::f32::consts::TAU / float(RAYS)).sin_cos();
        let direction = Point::new(cosine, sine);
        let [Some(core), Some(gap), Some(ring)] = walk(contrast, centre, direction, stride, 9.0 * module, inverted)
        else {
            points.push(None);
            continue;
        };
        let slack = 0.7 / ring.max(1.0);
        let fits = (core / ring - 3.0 / 7.0).abs() < 0.13 + slack && (gap / ring - 5.0 / 7.0).abs() < 0.11 + slack;
        if !fits {
            points.push(None);
            continue;
        }
        good += 1;
        // Core and ring grow, the gap shrinks by blur and threshold alike: half the sum of gap and ring is free of it.
        let edge = (gap + ring) * (7.0 / 12.0);
        area += edge * edge;
        points.push(Some(direction * edge));
    }
    if good < MIN_GOOD_RAYS {
        return None;
    }
    // Area of the square = mean of r² times π.
    let side = (area / float(good) * std::f32::consts::PI).sqrt();
    Some((points, side / 7.0))
}

/// Mean step of brightness from the core to the gap; what tells a printed square from the grain of a plain wall.
fn strength(contrast: &Contrast, centre: Point, outline: &[Option<Point>], inverted: bool) -> f32 {
    let mean = |share: f32| {
        let values = outline.iter().flatten().filter_map(|point| contrast.at_point(centre + *point * share));
        let (sum, count) = values.fold((0.0, 0.0f32), |(sum, count), value| (sum + f32::from(value), count + 1.0));
        sum / count.max(1.0)
    };
    // Core from its middle to near its edge, gap along its middle line; values count half steps.
    let core = (mean(0.05) + mean(0.2) + mean(0.35)) / 3.0;
    let step = (mean(4.0 / 7.0) - core) / 2.0;
    if inverted { -step } else { step }
}
