//! From three squares to the modules of a code.
//!
//! Steps: three squares that can be the corners of one code (`triples`); the number of modules from their distances; a
//! projection from their edges; the alignment patterns correct it; each module is sampled from the grey picture and
//! compared with its neighbourhood. The decoder's error correction judges every attempt, so an attempt may be a guess.
//!
//! With `Effort::Thorough` the projection is also moved and bent until the known patterns of a code lie best on the
//! picture, and blur between modules is undone before deciding dark or bright.

use super::equalise;
use super::finder::Finder;
use super::number::{float, whole};
use super::pixels::{Grey, Point, Projection};
use super::symbol::{self, Effort, Modules};
use super::work::Work;

/// Squares at three corners of a code, in the order top left, top right, bottom left.
#[derive(Clone)]
struct Triple {
    corners: [Finder; 3],
}

/// What was read, and where.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) text: String,
    /// The outer corners of the code, clockwise.
    pub(super) outline: [Point; 4],
}

impl Found {
    pub(super) fn covers(&self, point: Point) -> bool {
        let [a, b, c, d] = self.outline;
        let sides = [(a, b), (b, c), (c, d), (d, a)].map(|(from, to)| (to - from).cross(point - from));
        sides.iter().all(|side| *side >= 0.0) || sides.iter().all(|side| *side <= 0.0)
    }
}

/// All threes of squares that can belong to one code and have a square of pass `since` or later among them, the likeliest
/// first, at most `limit`.
fn triples(finders: &[Finder], since: usize, limit: usize, work: &mut Work) -> Vec<Triple> {
    let mut found: Vec<(f32, [&Finder; 3])> = Vec::new();
    for (i, a) in finders.iter().enumerate() {
        for (j, b) in finders.iter().enumerate().skip(i + 1) {
            if !alike(a, b) {
                continue;
            }
            for c in finders.iter().skip(j + 1) {
                let new = [a, b, c].iter().any(|finder| finder.pass >= since);
                if new && alike(a, c) && alike(b, c) && work.spend(TRIPLE_WORK) {
                    found.extend(triple(a, b, c));
                }
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().take(limit).map(|(_, corners)| Triple { corners: corners.map(Finder::clone) }).collect()
}

/// Of looking at one three.
const TRIPLE_WORK: usize = 15;

fn alike(a: &Finder, b: &Finder) -> bool {
    let apart = (a.centre - b.centre).length();
    let (small, large) = if a.module < b.module { (a.module, b.module) } else { (b.module, a.module) };
    let (dim, clear) = (a.contrast.min(b.contrast), a.contrast.max(b.contrast));
    a.inverted == b.inverted && clear < 5.0 * dim && large < 3.2 * small && apart > 9.0 * small && apart < 260.0 * large
}

/// The three in their order, and how much their places differ from a code's: lower is more like one.
fn triple<'a>(a: &'a Finder, b: &'a Finder, c: &'a Finder) -> Option<(f32, [&'a Finder; 3])> {
    // Top left is opposite the longest side.
    let (ab, bc, ca) = ((a.centre - b.centre).length(), (b.centre - c.centre).length(), (c.centre - a.centre).length());
    let (corner, one, two) = if bc >= ab && bc >= ca {
        (a, b, c)
    } else if ca >= ab && ca >= bc {
        (b, a, c)
    } else {
        (c, a, b)
    };
    let (first, second) = (one.centre - corner.centre, two.centre - corner.centre);
    let turn = first.cross(second);
    let (right, below) = if turn > 0.0 { (one, two) } else { (two, one) };
    let (long, short) = if first.length() > second.length() {
        (first.length(), second.length())
    } else {
        (second.length(), first.length())
    };
    let slant = first.dot(second).abs() / (long * short).max(1.0);
    if long > 3.6 * short || slant > 0.85 {
        return None;
    }
    // Cheap bounds before the exact count.
    let module = corner.module.min(one.module).min(two.module);
    if long > 300.0 * module || short < 6.0 * module {
        return None;
    }
    let rough = |end: &Finder, way: Point| way.length() / (end.module * corner.module).sqrt();
    let (one_way, other_way) = (rough(one, first), rough(two, second));
    if one_way.max(other_way) > 3.2 * one_way.min(other_way) {
        return None;
    }
    let across = modules_between(corner, right);
    let down = modules_between(corner, below);
    let (most, least) = (across.max(down), across.min(down));
    if least < 11.0 || most > 180.0 || most > 1.5 * least + 2.0 {
        return None;
    }
    let modules = [corner.module, right.module, below.module];
    let mean = modules.iter().sum::<f32>() / 3.0;
    let uneven = modules.iter().map(|module| (module - mean).abs()).sum::<f32>() / mean;
    // Neighbouring codes offer triples across codes; those are larger. Weak hits are more often by chance.
    let contrasts = [corner.contrast, right.contrast, below.contrast];
    let light = contrasts.iter().sum::<f32>() / 3.0;
    let unlike = contrasts.iter().map(|contrast| (contrast - light).abs()).sum::<f32>() / light.max(1.0);
    let hits: f32 = [corner, right, below].iter().map(|finder| 1.0 / float(finder.hits.clamp(1, 8))).sum();
    let strain = (most - least) / least * 2.0
        + slant
        + uneven
        + (long - short) / long * 0.5
        + unlike * 0.2
        + hits * 0.1
        + most * 0.002;
    Some((strain, [corner, right, below]))
}

/// Modules from centre to centre. Under a projection the side of a module changes along the way, and the geometric mean of
/// its sides at both ends is exactly the mean over the distance.
fn modules_between(a: &Finder, b: &Finder) -> f32 {
    let way = b.centre - a.centre;
    let side = (a.module_towards(way) * b.module_towards(way)).sqrt();
    way.length() / side.max(0.1)
}

/// A guess where a code lies: three squares, a number of modules, a first projection.
#[derive(Clone)]
pub(super) struct Hypothesis {
    triple: Triple,
    warp: Warp,
    /// How well the known patterns of a code fit there: 1 exactly, about 0 by chance.
    fit: f32,
}

/// Least fit of a first guess that is worth decoding.
const FIT_TO_TRY: f32 = 0.15;
/// Least fit after moving and bending; what only looks like a code stays below.
const FIT_SETTLED: f32 = 0.35;

/// First guesses of one code that are moved and bent.
const SETTLED_STARTS: usize = 2;

/// Guesses for the codes that have a square found by pass `since` or later among their three, the best fitting first, at
/// most `limit`.
///
/// The distances of squares alone rank chance finds in print and foliage above codes seen at a slant; the timing lines and
/// rings, which no chance find has, do not.
pub(super) fn hypotheses(
    grey: &Grey,
    finders: &[Finder],
    since: usize,
    limit: usize,
    work: &mut Work,
) -> Vec<Hypothesis> {
    let triples = triples(finders, since, MAX_TRIPLES, work);
    fitting(grey, triples, limit, work)
}

/// Guesses for codes of which only two squares were found: the third is damaged, dazzled or covered.
pub(super) fn hypotheses_of_two(
    grey: &Grey,
    finders: &[Finder],
    since: usize,
    limit: usize,
    work: &mut Work,
) -> Vec<Hypothesis> {
    const MOST: usize = 6;
    let mut triples = Vec::new();
    for (index, a) in finders.iter().take(MOST).enumerate() {
        for b in finders.iter().take(MOST).skip(index + 1) {
            if alike(a, b) && a.pass.max(b.pass) >= since {
                triples.extend(completed(a, b));
            }
        }
    }
    fitting(grey, triples, limit, work)
}

/// The six ways two squares can be two of the three corners of a code.
fn completed(a: &Finder, b: &Finder) -> [Triple; 6] {
    let way = b.centre - a.centre;
    let aside = Point::new(-way.y, way.x);
    let middle = a.centre.between(b.centre, 0.5);
    let guessed = |centre: Point| Finder {
        centre,
        module: (a.module + b.module) / 2.0,
        outline: Vec::new(),
        hits: 0,
        ..a.clone()
    };
    let triple = |corner: Finder, right: Finder, below: Finder| Triple { corners: [corner, right, below] };
    [
        triple(a.clone(), b.clone(), guessed(a.centre + aside)),
        triple(b.clone(), a.clone(), guessed(b.centre - aside)),
        triple(a.clone(), guessed(a.centre - aside), b.clone()),
        triple(b.clone(), guessed(b.centre + aside), a.clone()),
        triple(guessed(middle + aside * 0.5), a.clone(), b.clone()),
        triple(guessed(middle - aside * 0.5), b.clone(), a.clone()),
    ]
}

fn fitting(grey: &Grey, triples: Vec<Triple>, limit: usize, work: &mut Work) -> Vec<Hypothesis> {
    let mut guesses: Vec<Hypothesis> = Vec::new();
    let mut patterns: Vec<(usize, Pattern)> = Vec::new();
    for triple in triples {
        let Some(light) = Light::of(grey, &triple) else { continue };
        for dimension in dimensions(&triple) {
            let index = match patterns.iter().position(|(known, _)| *known == dimension) {
                Some(index) => index,
                None => {
                    patterns.push((dimension, Pattern::new(dimension)));
                    patterns.len() - 1
                }
            };
            let Some((_, pattern)) = patterns.get(index) else { continue };
            for projection in projections(&triple, dimension) {
                let warp = Warp::new(projection, dimension);
                if !warp.plausible(grey) || !work.spend(pattern.places.len()) {
                    continue;
                }
                // A third of the places tells most chance finds from codes.
                if pattern.fit_every(3, grey, &light, &warp) < FIT_TO_TRY / 2.0 {
                    continue;
                }
                let fit = pattern.fit(grey, &light, &warp);
                if fit > FIT_TO_TRY {
                    guesses.push(Hypothesis { triple: triple.clone(), warp, fit });
                }
            }
        }
    }
    guesses.sort_by(|a, b| b.fit.total_cmp(&a.fit));
    guesses.truncate(limit);
    guesses
}

/// Threes of squares looked at more closely.
const MAX_TRIPLES: usize = 60;

impl Hypothesis {
    pub(super) fn corners(&self) -> impl Iterator<Item = &Finder> {
        self.triple.corners.iter()
    }

    /// The text, by the alignment patterns and plain error correction.
    pub(super) fn read(&self, grey: &Grey, work: &mut Work) -> Option<Found> {
        let light = Light::of(grey, &self.triple)?;
        let start = self.renumbered(grey, &light, work);
        let aligned = aligned(grey, &self.triple, &light, &start, 1, work).into_iter().next();
        if let Some(found) = aligned.and_then(|warp| decode(grey, &light, &warp, Effort::Plain, work)) {
            return Some(found);
        }
        decode(grey, &light, &start, Effort::Plain, work)
    }

    /// The text, with everything there is: the projection moved and bent to the best fit, alignment patterns, small
    /// neighbourhoods on their own, thorough error correction.
    pub(super) fn read_deeply(&self, grey: &Grey, work: &mut Work) -> Option<Found> {
        let light = Light::of(grey, &self.triple)?;
        let start = self.renumbered(grey, &light, work);
        let pattern = Pattern::new(start.dimension);
        let mut starts = aligned(grey, &self.triple, &light, &start, 2, work);
        if let Some(bowed) = bowed(grey, &light, &start, work) {
            starts.extend(aligned(grey, &self.triple, &light, &bowed, 1, work));
            starts.push(bowed);
        }
        starts.push(start);
        let fitted = |warp: Warp| (pattern.fit(grey, &light, &warp), warp);
        let mut starts: Vec<(f32, Warp)> = starts.into_iter().map(fitted).collect();
        starts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut settled: Vec<(f32, Warp)> = starts
            .iter()
            .take(SETTLED_STARTS)
            .map(|(_, warp)| fitted(settle(grey, &light, &pattern, warp, work)))
            .filter(|(fit, _)| *fit >= FIT_SETTLED)
            .collect();
        settled.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best = settled.first()?.0;
        for (_, warp) in settled.iter().filter(|(fit, _)| *fit > best - 0.08) {
            if let Some(found) = decode(grey, &light, warp, Effort::Thorough, work) {
                return Some(found);
            }
            let meshed = if warp.mesh.is_none() { meshed(grey, &light, warp, work) } else { None };
            let relaxed = relax(grey, &light, &pattern, meshed.as_ref().unwrap_or(warp), work)?;
            if let Some(found) = decode(grey, &light, &relaxed, Effort::Thorough, work) {
                return Some(found);
            }
        }
        None
    }

    /// The first guess, or the same squares with the number of modules that the symbol itself names.
    fn renumbered(&self, grey: &Grey, light: &Light, work: &mut Work) -> Warp {
        if self.warp.dimension < 41 {
            return self.warp.clone();
        }
        sample(grey, &self.warp, light, work)
            .and_then(|sampled| Contrasting::Neighbourhood.modules(&sampled, self.warp.dimension))
            .and_then(|modules| symbol::named_version(&modules))
            .map(|version| version * 4 + 17)
            .filter(|dimension| *dimension != self.warp.dimension)
            .and_then(|dimension| {
                let projection = projections(&self.triple, dimension).into_iter().next()?;
                let warp = Warp::new(projection, dimension);
                (Pattern::new(dimension).fit(grey, light, &warp) > self.fit - 0.1).then_some(warp)
            })
            .unwrap_or_else(|| self.warp.clone())
    }
}

fn decode(grey: &Grey, light: &Light, warp: &Warp, effort: Effort, work: &mut Work) -> Option<Found> {
    let ways: &[Contrasting] = match effort {
        Effort::Plain => &[Contrasting::Neighbourhood, Contrasting::Deblurred(0.15)],
        Effort::Thorough => {
            &[Contrasting::Neighbourhood, Contrasting::Deblurred(0.15), Contrasting::Equalised, Contrasting::Wide]
        }
    };
    let size = warp.dimension;
    let sampled = sample(grey, warp, light, work)?;
    for way in ways {
        // Error correction, too, costs time by the size.
        let steps = if effort == Effort::Plain { 3 } else { 7 };
        let steps = if *way == Contrasting::Equalised { steps + equalise::WORK } else { steps };
        if !work.spend(size * size * steps) {
            return None;
        }
        let Some(modules) = way.modules(&sampled, size) else { continue };
        if let Some(text) = symbol::decode(&modules, effort) {
            let side = float(size);
            let outline =
                [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)].map(|(x, y)| warp.apply(Point::new(x, y)));
            return Some(Found { text, outline });
        }
    }
    None
}

/// Numbers of modules a side to try, the likeliest first.
fn dimensions(triple: &Triple) -> Vec<usize> {
    let [corner, right, below] = &triple.corners;
    let across = modules_between(corner, right) + 7.0;
    let down = modules_between(corner, below) + 7.0;
    let mean = (across + down) / 2.0;
    let mut sized: Vec<(f32, usize)> = (0..40)
        .map(|index| {
            let dimension = 21 + 4 * index;
            ((float(dimension) - mean).abs(), dimension)
        })
        .collect();
    sized.sort_by(|a, b| a.0.total_cmp(&b.0));
    let doubt = 2.3 + (across - down).abs() / 2.0 + mean * 0.03;
    sized
        .into_iter()
        .enumerate()
        .filter(|(index, (distance, _))| *index == 0 || *distance < doubt)
        .map(|(_, (_, dimension))| dimension)
        .take(3)
        .collect()
}

/// First guesses at the projection.
fn projections(triple: &Triple, dimension: usize) -> Vec<Projection> {
    let side = float(dimension);
    let places = [Point::new(3.5, 3.5), Point::new(side - 3.5, 3.5), Point::new(3.5, side - 3.5)];
    let [corner, right, below] = &triple.corners;
    let mut guesses = Vec::new();
    let along = [right.centre - corner.centre, below.centre - corner.centre];
    let mut pairs = Vec::new();
    for (finder, place) in triple.corners.iter().zip(places) {
        // A square that was only guessed at keeps the fit determined and hardly pulls.
        pairs.push((place, finder.centre, if finder.outline.is_empty() { 0.02 } else { 4.0 }));
        if let Some(edges) = edge_corners(finder, along) {
            let offsets = [(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)];
            for ((x, y), edge) in offsets.into_iter().zip(edges) {
                pairs.push((place + Point::new(x, y), edge, 1.0));
            }
        }
    }
    if pairs.len() >= 11 {
        guesses.extend(Projection::fit(&pairs));
    }
    // Bent paper turns the edges of the squares, and the far corner with them; their centres suffer less.
    let far = right.centre + below.centre - corner.centre;
    let mut pairs: Vec<_> = triple.corners.iter().zip(places).map(|(f, place)| (place, f.centre, 1.0)).collect();
    pairs.push((Point::new(side - 3.5, side - 3.5), far, 1.0));
    guesses.extend(Projection::fit(&pairs));
    guesses
}

/// The four corners of a square, by lines through the points on its outline; in the order top left, top right, bottom
/// right, bottom left as the code sees them.
fn edge_corners(finder: &Finder, along: [Point; 2]) -> Option<[Point; 4]> {
    let [across, down] = along.map(|way| way * (finder.module_towards(way) / way.length().max(1e-3)));
    let area = across.cross(down);
    if area.abs() < 0.1 {
        return None;
    }
    // Outline in modules along the two axes.
    let local: Vec<(f32, f32)> =
        finder.outline.iter().flatten().map(|point| (point.cross(down) / area, across.cross(*point) / area)).collect();
    // Each side is a line: distance = at + slope × position.
    let side = |horizontal: bool, sign: f32| -> Option<(f32, f32)> {
        let points: Vec<(f32, f32)> = local
            .iter()
            .map(|(a, b)| if horizontal { (*a, *b) } else { (*b, *a) })
            .filter(|(position, distance)| distance * sign > 0.0 && position.abs() < 0.9 * distance.abs())
            .collect();
        let line = fit_line(&points)?;
        let close: Vec<(f32, f32)> = points
            .into_iter()
            .filter(|(position, distance)| (line.0 + line.1 * position - distance).abs() < 0.5)
            .collect();
        fit_line(&close)
    };
    let top = side(true, -1.0)?;
    let bottom = side(true, 1.0)?;
    let left = side(false, -1.0)?;
    let right = side(false, 1.0)?;
    let meet = |row: (f32, f32), column: (f32, f32)| -> Option<Point> {
        // b = row.0 + row.1·a and a = column.0 + column.1·b.
        let scale = 1.0 - row.1 * column.1;
        if scale.abs() < 0.2 {
            return None;
        }
        let a = (column.0 + column.1 * row.0) / scale;
        let b = row.0 + row.1 * a;
        (a.abs() < 6.0 && b.abs() < 6.0).then(|| finder.centre + across * a + down * b)
    };
    Some([meet(top, left)?, meet(top, right)?, meet(bottom, right)?, meet(bottom, left)?])
}

fn fit_line(points: &[(f32, f32)]) -> Option<(f32, f32)> {
    if points.len() < 3 {
        return None;
    }
    let count = float(points.len());
    let mean_x = points.iter().map(|p| p.0).sum::<f32>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f32>() / count;
    let spread = points.iter().map(|p| (p.0 - mean_x) * (p.0 - mean_x)).sum::<f32>();
    if spread < 0.5 {
        return None;
    }
    let slope = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f32>() / spread;
    (slope.abs() < 1.0).then_some((mean_y - slope * mean_x, slope))
}

/// Where each module of the symbol lies in the picture.
#[derive(Clone)]
struct Warp {
    projection: Projection,
    dimension: usize,
    /// How far the middle of the symbol bulges, in pixels, over columns and over rows, and how far it is twisted: paper on
    /// a bottle or a wrist.
    bend: [Point; 3],
    /// Shifts at the alignment patterns.
    mesh: Option<Mesh>,
    /// Shifts of small neighbourhoods: creases and waves.
    relief: Option<Mesh>,
}

impl Warp {
    fn new(projection: Projection, dimension: usize) -> Self {
        Self { projection, dimension, bend: [Point::new(0.0, 0.0); 3], mesh: None, relief: None }
    }

    fn apply(&self, place: Point) -> Point {
        let side = float(self.dimension) - 7.0;
        let bulge = |position: f32| {
            let share = (position - 3.5) / side;
            4.0 * share * (1.0 - share)
        };
        let mut point = self.projection.apply(place);
        if self.bend.iter().any(|bend| *bend != Point::new(0.0, 0.0)) {
            let [columns, rows, twist] = self.bend;
            let both = (place.x - 3.5) * (place.y - 3.5) / (side * side);
            point = point + columns * bulge(place.x) + rows * bulge(place.y) + twist * both;
        }
        if let Some(mesh) = &self.mesh {
            point = point + mesh.shift(place);
        }
        if let Some(relief) = &self.relief {
            point = point + relief.shift(place);
        }
        point
    }

    /// All four corners in or near the picture, in the right turn, and none far larger than another.
    fn plausible(&self, grey: &Grey) -> bool {
        let side = float(self.dimension);
        let corners = [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)].map(|(x, y)| self.apply(Point::new(x, y)));
        let margin = float(grey.width.max(grey.height)) * 0.15;
        if !corners.iter().all(|corner| grey.contains(*corner, margin)) {
            return false;
        }
        let [a, b, c, d] = corners;
        let turns = [(a, b, c), (b, c, d), (c, d, a), (d, a, b)].map(|(p, q, r)| (q - p).cross(r - q));
        turns.iter().all(|turn| *turn > side * 0.5)
    }

    fn module(&self) -> f32 {
        let middle = Point::new(float(self.dimension) / 2.0, float(self.dimension) / 2.0);
        let step = 4.0;
        let across = self.apply(middle + Point::new(step, 0.0)) - self.apply(middle);
        let down = self.apply(middle + Point::new(0.0, step)) - self.apply(middle);
        (across.cross(down).abs()).sqrt() / step
    }
}

/// Shifts at the alignment patterns, interpolated between them.
#[derive(Clone)]
struct Mesh {
    positions: Vec<f32>,
    shifts: Vec<Point>,
}

impl Mesh {
    fn shift(&self, place: Point) -> Point {
        let count = self.positions.len();
        let locate = |value: f32| {
            let mut cell = 0;
            while cell + 2 < count && self.positions.get(cell + 1).is_some_and(|next| value > *next) {
                cell += 1;
            }
            let low = self.positions.get(cell).copied().unwrap_or(0.0);
            let high = self.positions.get(cell + 1).copied().unwrap_or(low + 1.0);
            (cell, ((value - low) / (high - low)).clamp(-0.3, 1.3))
        };
        let (column, x) = locate(place.x);
        let (row, y) = locate(place.y);
        let at = |r: usize, c: usize| self.shifts.get(r * count + c).copied().unwrap_or(Point::new(0.0, 0.0));
        let upper = at(row, column).between(at(row, column + 1), x);
        let lower = at(row + 1, column).between(at(row + 1, column + 1), x);
        upper.between(lower, y)
    }
}

/// How bright dark and bright modules are, measured at the squares.
struct Light {
    middle: f32,
    /// Half the difference; the sign is negative for bright-on-dark codes.
    half: f32,
}

impl Light {
    fn of(grey: &Grey, triple: &Triple) -> Option<Self> {
        let (mut core, mut cores, mut gap, mut gaps) = (0.0, 0.0f32, 0.0, 0.0f32);
        for finder in triple.corners.iter().filter(|finder| !finder.outline.is_empty()) {
            core += grey.sample(finder.centre);
            cores += 1.0;
            for point in finder.outline.iter().flatten() {
                gap += grey.sample(finder.centre + *point * (4.0 / 7.0));
                gaps += 1.0;
            }
        }
        let (core, gap) = (core / cores.max(1.0), gap / gaps.max(1.0));
        let half = (gap - core) / 2.0;
        (half.abs() >= 3.0).then_some(Self { middle: (core + gap) / 2.0, half })
    }

    /// 1 for dark, −1 for bright, as far as the squares tell.
    fn darkness(&self, value: f32) -> f32 {
        ((self.middle - value) / self.half).clamp(-1.5, 1.5)
    }
}

/// The modules every code of a size has: places and whether they are dark.
struct Pattern {
    places: Vec<(Point, bool)>,
}

impl Pattern {
    fn new(dimension: usize) -> Self {
        let mut places = Vec::new();
        let centre = |x: usize, y: usize| Point::new(float(x) + 0.5, float(y) + 0.5);
        let last = dimension - 1;
        for y in 0..8usize {
            for x in 0..8usize {
                let ring = x.abs_diff(3).max(y.abs_diff(3));
                let dark = ring != 2 && ring != 4;
                places.push((centre(x, y), dark));
                places.push((centre(last - x, y), dark));
                places.push((centre(x, last - y), dark));
            }
        }
        for position in 8..dimension - 8 {
            places.push((centre(position, 6), position % 2 == 0));
            places.push((centre(6, position), position % 2 == 0));
        }
        for (x, y) in alignment_centres(dimension) {
            for dy in 0..5usize {
                for dx in 0..5usize {
                    let ring = dx.abs_diff(2).max(dy.abs_diff(2));
                    places.push((centre(x + dx - 2, y + dy - 2), ring != 1));
                }
            }
        }
        Self { places }
    }

    /// 1 when the picture shows exactly this pattern there, about 0 by chance.
    fn fit(&self, grey: &Grey, light: &Light, warp: &Warp) -> f32 {
        self.fit_every(1, grey, light, warp)
    }

    fn fit_every(&self, step: usize, grey: &Grey, light: &Light, warp: &Warp) -> f32 {
        let mut sums = [0.0f32; 2];
        let mut counts = [0.0f32; 2];
        for (place, dark) in self.places.iter().step_by(step) {
            let value = light.darkness(grey.sample(warp.apply(*place)));
            let side = usize::from(*dark);
            sums[side] += value;
            counts[side] += 1.0;
        }
        (sums[1] / counts[1].max(1.0) - sums[0] / counts[0].max(1.0)) / 2.0
    }
}

fn alignment_centres(dimension: usize) -> Vec<(usize, usize)> {
    let positions = symbol::alignment_positions((dimension - 17) / 4);
    let mut centres = Vec::new();
    for &y in &positions {
        for &x in &positions {
            if !symbol::is_at_finder(x, y, dimension) {
                centres.push((x, y));
            }
        }
    }
    centres
}

/// Corrected by the alignment patterns: the likeliest first. Empty where none is found.
fn aligned(grey: &Grey, triple: &Triple, light: &Light, start: &Warp, keep: usize, work: &mut Work) -> Vec<Warp> {
    if start.dimension < 25 {
        return Vec::new();
    }
    if start.dimension >= 45
        && let Some(warp) = meshed_twice(grey, triple, light, start, work)
    {
        return vec![warp];
    }
    let side = float(start.dimension);
    let expected = Point::new(side - 6.5, side - 6.5);
    let reach = 2.5 + side / 14.0;
    let mut warps = Vec::new();
    for (_, target) in alignment_hits(grey, light, start, Point::new(0.0, 0.0), expected, reach, keep, work) {
        warps.extend(pinned(triple, start, &[(expected, target)]));
    }
    warps
}

/// The projection through the three centres and the given places.
fn pinned(triple: &Triple, start: &Warp, pins: &[(Point, Point)]) -> Option<Warp> {
    let side = float(start.dimension);
    let places = [Point::new(3.5, 3.5), Point::new(side - 3.5, 3.5), Point::new(3.5, side - 3.5)];
    let mut pairs: Vec<_> = triple
        .corners
        .iter()
        .zip(places)
        .map(|(finder, place)| {
            let known = !finder.outline.is_empty();
            (place, if known { finder.centre } else { start.apply(place) }, 1.0)
        })
        .collect();
    pairs.extend(pins.iter().map(|(place, target)| (*place, *target, 1.0)));
    Some(Warp { projection: Projection::fit(&pairs)?, ..start.clone() })
}

/// Places that look like an alignment pattern, at most `reach` modules from where `expected` shifted by `shift` (pixels)
/// lies: how much, and where in the picture; the best first, at most `keep`.
#[expect(clippy::too_many_arguments, reason = "one search, called in two ways")]
fn alignment_hits(
    grey: &Grey,
    light: &Light,
    warp: &Warp,
    shift: Point,
    expected: Point,
    reach: f32,
    keep: usize,
    work: &mut Work,
) -> Vec<(f32, Point)> {
    const ENOUGH: f32 = 0.45;
    let base = warp.apply(expected);
    let across = warp.apply(expected + Point::new(1.0, 0.0)) - base;
    let down = warp.apply(expected + Point::new(0.0, 1.0)) - base;
    let base = base + shift;
    let score = |dx: f32, dy: f32| {
        let centre = base + across * dx + down * dy;
        let (mut dark, mut bright) = (0.0, 0.0);
        for y in -2i8..=2 {
            for x in -2i8..=2 {
                let value = light.darkness(grey.sample(centre + across * f32::from(x) + down * f32::from(y)));
                match x.abs().max(y.abs()) {
                    // The core is one module, yet as telling as the rings.
                    0 => dark += 4.0 * value,
                    1 => bright += value,
                    _ => dark += value,
                }
            }
        }
        dark / 40.0 - bright / 16.0
    };
    let steps = whole((reach * 2.0).ceil()).min(40);
    if !work.spend((2 * steps + 1) * (2 * steps + 1) * 25) {
        return Vec::new();
    }
    let mut hits: Vec<(Point, f32)> = Vec::new();
    for row in 0..=2 * steps {
        for column in 0..=2 * steps {
            let (dx, dy) = ((float(column) - float(steps)) * 0.5, (float(row) - float(steps)) * 0.5);
            let value = score(dx, dy) - 0.015 * dx.hypot(dy);
            if value > ENOUGH - 0.2 {
                hits.push((Point::new(dx, dy), value));
            }
        }
    }
    hits.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut kept: Vec<(Point, f32)> = Vec::new();
    for (offset, _) in hits.iter().take(60) {
        if kept.len() >= keep {
            break;
        }
        if kept.iter().any(|(other, _)| (*other - *offset).length() < 1.3) {
            continue;
        }
        let mut best = (*offset, score(offset.x, offset.y));
        for step in [0.25, 0.12] {
            let centre = best.0;
            for (x, y) in AROUND {
                let moved = centre + Point::new(x, y) * step;
                let value = score(moved.x, moved.y);
                if value > best.1 {
                    best = (moved, value);
                }
            }
        }
        if best.1 > ENOUGH {
            kept.push(best);
        }
    }
    kept.iter().map(|(offset, value)| (*value, base + across * offset.x + down * offset.y)).collect()
}

/// Large symbols: a first mesh corrects the projection, a second one around that is true to the place.
fn meshed_twice(grey: &Grey, triple: &Triple, light: &Light, start: &Warp, work: &mut Work) -> Option<Warp> {
    let (_, pins) = mesh(grey, light, start, 2.0, work)?;
    let pinned = pinned(triple, start, &pins)?;
    let (mesh, _) = mesh(grey, light, &pinned, 1.0, work)?;
    Some(Warp { mesh: Some(mesh), ..pinned })
}

fn meshed(grey: &Grey, light: &Light, start: &Warp, work: &mut Work) -> Option<Warp> {
    if start.dimension < 45 {
        return None;
    }
    let (mesh, _) = mesh(grey, light, start, 1.5, work)?;
    Some(Warp { mesh: Some(mesh), ..start.clone() })
}

/// Finds the alignment patterns one after the other from the squares outwards, each at most `reach` modules from where its
/// neighbours found before it say. Answers with the shifts at all of them and with the places of those seen.
fn mesh(grey: &Grey, light: &Light, warp: &Warp, reach: f32, work: &mut Work) -> Option<(Mesh, Vec<(Point, Point)>)> {
    let positions = symbol::alignment_positions((warp.dimension - 17) / 4);
    let count = positions.len();
    let mut shifts: Vec<Option<Point>> = vec![None; count * count];
    let mut order: Vec<(usize, usize)> = (0..count).flat_map(|r| (0..count).map(move |c| (r, c))).collect();
    order.sort_by_key(|(r, c)| (r + c, r.abs_diff(*c)));
    let mut pins = Vec::new();
    for (row, column) in order {
        let get = |r: Option<usize>, c: Option<usize>| shifts.get(r? * count + c?).copied().flatten();
        let corner = (row == 0 && (column == 0 || column == count - 1)) || (row == count - 1 && column == 0);
        let place = |index: usize| positions.get(index).map_or(0.0, |position| float(*position) + 0.5);
        let here = Point::new(place(column), place(row));
        let shift = if corner {
            Some(Point::new(0.0, 0.0))
        } else {
            let around = [
                get(row.checked_sub(1), Some(column)),
                get(Some(row), column.checked_sub(1)),
                get(row.checked_sub(1), column.checked_sub(1)),
            ];
            let known: Vec<Point> = around.into_iter().flatten().collect();
            let sum = known.iter().fold(Point::new(0.0, 0.0), |sum, shift| sum + *shift);
            // Three corners of a field tell the fourth.
            let guess = match around {
                [Some(above), Some(left), Some(before)] => above + left - before,
                _ => sum * (1.0 / float(known.len().max(1))),
            };
            match alignment_hits(grey, light, warp, guess, here, reach, 1, work).into_iter().next() {
                Some((_, target)) => {
                    pins.push((here, target));
                    Some(target - warp.apply(here))
                }
                None => (!known.is_empty()).then_some(guess),
            }
        };
        if let Some(slot) = shifts.get_mut(row * count + column) {
            *slot = shift;
        }
    }
    if pins.is_empty() {
        return None;
    }
    let shifts = shifts.into_iter().map(|shift| shift.unwrap_or(Point::new(0.0, 0.0))).collect();
    Some((Mesh { positions: positions.iter().map(|position| float(*position) + 0.5).collect(), shifts }, pins))
}

/// Bends the symbol so that its two timing lines, found as far as `REACH` of its side to either side, lie on the arcs: how
/// a code on a bottle looks. `None` where they lie straight.
fn bowed(grey: &Grey, light: &Light, start: &Warp, work: &mut Work) -> Option<Warp> {
    const REACH: f32 = 0.09;
    /// In modules.
    const STEP: f32 = 0.4;
    let side = start.dimension;
    let steps = whole(float(side) * REACH / STEP);
    if !work.spend((2 * steps + 1) * (side - 16) * 4) {
        return None;
    }
    let middle = start.apply(Point::new(float(side) / 2.0, float(side) / 2.0));
    let across = start.apply(Point::new(float(side) / 2.0 + 1.0, float(side) / 2.0)) - middle;
    let down = start.apply(Point::new(float(side) / 2.0, float(side) / 2.0 + 1.0)) - middle;
    let mut best = start.clone();
    for (axis, sideways) in [(0, down), (1, across)] {
        // How strongly dark and bright alternate along the line, wherever in a window of eight modules they begin.
        let alternation = |warp: &Warp| {
            let mut sum = 0.0;
            let mut position = 8;
            while position + 8 <= side - 8 {
                let (mut even, mut odd) = (0.0f32, 0.0f32);
                for module in position..position + 8 {
                    let sign = if module % 2 == 0 { 1.0 } else { -1.0 };
                    let value = |along: f32| {
                        let place = if axis == 0 { Point::new(along, 6.5) } else { Point::new(6.5, along) };
                        light.darkness(grey.sample(warp.apply(place)))
                    };
                    even += sign * value(float(module) + 0.5);
                    odd += sign * value(float(module) + 1.0);
                }
                sum += even.hypot(odd);
                position += 4;
            }
            sum
        };
        let straight = alternation(&best) * 1.1;
        let mut found = (straight, best.clone());
        for step in 0..=2 * steps {
            let mut warp = best.clone();
            if let Some(bend) = warp.bend.get_mut(axis) {
                *bend = sideways * ((float(step) - float(steps)) * STEP);
            }
            let value = alternation(&warp);
            if value > found.0 {
                found = (value, warp);
            }
        }
        best = found.1;
    }
    best.bend.iter().any(|bend| *bend != Point::new(0.0, 0.0)).then_some(best)
}

/// Moves the four anchors of the projection, then its bends, to where the known patterns fit best: a descent one
/// coordinate at a time with shrinking steps.
fn settle(grey: &Grey, light: &Light, pattern: &Pattern, start: &Warp, work: &mut Work) -> Warp {
    let side = float(start.dimension);
    let far = if start.dimension >= 25 { side - 6.5 } else { side - 3.5 };
    let places = [Point::new(3.5, 3.5), Point::new(side - 3.5, 3.5), Point::new(3.5, side - 3.5), Point::new(far, far)];
    let mut anchors = places.map(|place| start.projection.apply(place));
    let mut best = start.clone();
    // Four anchors and three bends need no more places than a small symbol has. Odd, as timing lines alternate.
    let every = if pattern.places.len() < 400 { 1 } else { 3 };
    let mut fit = pattern.fit_every(every, grey, light, &best);
    let module = start.module();
    for share in [0.5, 0.25, 0.12] {
        for _ in 0..2 {
            if !work.spend(pattern.places.len() / every * 28) {
                return best;
            }
            let before = fit;
            for anchor in 0..7 {
                for (x, y) in [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)] {
                    let step = Point::new(x, y) * (share * module);
                    let mut moved = anchors;
                    let mut warp = best.clone();
                    if let Some(slot) = moved.get_mut(anchor) {
                        *slot = *slot + step;
                        let pairs: Vec<_> = places.iter().zip(moved).map(|(place, at)| (*place, at, 1.0)).collect();
                        let Some(projection) = Projection::fit(&pairs) else { continue };
                        warp.projection = projection;
                    } else if let Some(bend) = warp.bend.get_mut(anchor - 4) {
                        *bend = *bend + step;
                    }
                    let value = pattern.fit_every(every, grey, light, &warp);
                    if value > fit + 1e-4 {
                        (fit, best, anchors) = (value, warp, moved);
                    }
                }
            }
            if fit < before + 1e-3 {
                break;
            }
        }
    }
    best
}

/// Shifts small neighbourhoods to where their modules stand out most from each other: sampled at their centres, modules
/// are darkest and brightest; between them, grey. Starts at the squares, where the projection is sure, and works outwards,
/// each neighbourhood from where those before it lie.
fn relax(grey: &Grey, light: &Light, pattern: &Pattern, start: &Warp, work: &mut Work) -> Option<Warp> {
    const REACH: usize = 3;
    const SWEEPS: usize = 2;
    let size = start.dimension;
    // Large symbols are creased on a larger scale, too.
    let spacing = if size < 65 { 4 } else { 6 };
    let count = (size - 1) / spacing + 1;
    if !work.spend(count * count * SWEEPS * 1200) {
        return None;
    }
    let module = start.module();
    let mut places = Vec::with_capacity(size * size);
    for y in 0..size {
        for x in 0..size {
            places.push(start.apply(Point::new(float(x) + 0.5, float(y) + 0.5)));
        }
    }
    let mut known = vec![0.0f32; size * size];
    for (place, dark) in &pattern.places {
        if let Some(slot) = known.get_mut(whole(place.y) * size + whole(place.x)) {
            *slot = if *dark { 1.0 } else { -1.0 };
        }
    }
    // How much the modules around a node stand out when all are shifted by `shift`.
    let clarity = |column: usize, row: usize, shift: Point| {
        let (mut sum, mut squares, mut agreed, mut counted) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
        let (x, y) = (column * spacing, row * spacing);
        for line in y.saturating_sub(REACH)..(y + REACH + 1).min(size) {
            let range = line * size + x.saturating_sub(REACH)..line * size + (x + REACH + 1).min(size);
            let (Some(places), Some(known)) = (places.get(range.clone()), known.get(range)) else { continue };
            for (place, known) in places.iter().zip(known) {
                let value = light.darkness(grey.sample(*place + shift));
                sum += value;
                squares += value * value;
                agreed += value * known;
                counted += 1.0;
            }
        }
        (squares - sum * sum / counted).max(0.0).sqrt() / counted.sqrt() + agreed / counted
    };
    let corners = [(0, 0), (count - 1, 0), (0, count - 1)];
    let mut order: Vec<(usize, usize)> =
        (0..count).flat_map(|row| (0..count).map(move |column| (column, row))).collect();
    order.sort_by_key(|(column, row)| {
        corners.iter().map(|(x, y)| column.abs_diff(*x).pow(2) + row.abs_diff(*y).pow(2)).min().unwrap_or(0)
    });
    let mut shifts: Vec<Option<Point>> = vec![None; count * count];
    for sweep in 0..SWEEPS {
        for (column, row) in &order {
            let guess = neighbours(&shifts, count, *column, *row, sweep > 0);
            let mut best = guess;
            let worth = |shift: Point| {
                let away = (shift - guess).length() / module.max(0.1);
                clarity(*column, *row, shift) - 0.25 * away * away
            };
            let mut value = worth(best);
            for step in if sweep == 0 { [0.4, 0.2, 0.1] } else { [0.2, 0.1, 0.05] } {
                let centre = best;
                for (x, y) in AROUND {
                    let moved = centre + Point::new(x, y) * (step * module);
                    let found = worth(moved);
                    if found > value {
                        (value, best) = (found, moved);
                    }
                }
            }
            if let Some(slot) = shifts.get_mut(row * count + column) {
                *slot = Some(best);
            }
        }
    }
    let positions = (0..count).map(|index| float(index * spacing) + 0.5).collect();
    let shifts = shifts.into_iter().map(|shift| shift.unwrap_or(Point::new(0.0, 0.0))).collect();
    Some(Warp { relief: Some(Mesh { positions, shifts }), ..start.clone() })
}

const AROUND: [(f32, f32); 8] =
    [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (1.0, -1.0)];

/// The shift to expect at a node: what its known neighbours continue to, or their mean once all are known.
fn neighbours(shifts: &[Option<Point>], count: usize, column: usize, row: usize, settled: bool) -> Point {
    let at = |dx: isize, dy: isize| {
        let x = column.checked_add_signed(dx).filter(|x| *x < count)?;
        let y = row.checked_add_signed(dy).filter(|y| *y < count)?;
        shifts.get(y * count + x).copied().flatten()
    };
    let mut sum = Point::new(0.0, 0.0);
    let mut weight = 0.0f32;
    for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)] {
        let Some(near) = at(dx, dy) else { continue };
        let share = if dx == 0 || dy == 0 { 1.0 } else { 0.5 };
        let expected = match at(2 * dx, 2 * dy) {
            Some(far) if !settled => near * 1.6 - far * 0.6,
            _ => near,
        };
        sum = sum + expected * share;
        weight += share;
    }
    if settled && let Some(own) = at(0, 0) {
        sum = sum + own * 2.0;
        weight += 2.0;
    }
    sum * (1.0 / weight.max(0.5))
}

/// How a sampled brightness becomes dark or bright.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Contrasting {
    /// Against the mean of the modules around.
    Neighbourhood,
    /// The same after taking a share of each of the four neighbours out again, which blur has mixed in.
    Deblurred(f32),
    /// After undoing the blur measured at the squares.
    Equalised,
    /// Against the mean of a wide neighbourhood, for large plain areas that a narrow one would split.
    Wide,
}

impl Contrasting {
    fn modules(self, sampled: &[f32], size: usize) -> Option<Modules> {
        let (values, reach) = match self {
            Self::Neighbourhood => (sampled.to_vec(), (size / 8).clamp(3, 7)),
            Self::Deblurred(share) => (deblurred(sampled, size, share), (size / 8).clamp(3, 7)),
            Self::Wide => (sampled.to_vec(), size / 3),
            Self::Equalised => return Modules::new(size, equalise::equalised(sampled, size)?),
        };
        let means = box_mean(&values, size, reach);
        Modules::new(size, values.iter().zip(&means).map(|(value, mean)| value - mean).collect())
    }
}

/// The darkness of every module, row by row: 1 as dark as the squares, −1 as bright as their gaps.
fn sample(grey: &Grey, warp: &Warp, light: &Light, work: &mut Work) -> Option<Vec<f32>> {
    /// Five points a module: noise averages out while staying clear of the module's borders.
    const ASIDE: f32 = 0.2;
    let size = warp.dimension;
    let spread = warp.module() >= 3.0;
    if !work.spend(size * size * if spread { 4 } else { 2 }) {
        return None;
    }
    let mut values = Vec::with_capacity(size * size);
    for y in 0..size {
        let down = Point::new(0.0, ASIDE);
        let mut place = Point::new(0.5, float(y) + 0.5);
        let mut here = warp.apply(place);
        for _ in 0..size {
            place.x += 1.0;
            let next = warp.apply(place);
            let value = if spread {
                let across = (next - here) * ASIDE;
                let down = warp.apply(place + down) - next;
                let sum = grey.sample(here + across + down)
                    + grey.sample(here + across - down)
                    + grey.sample(here - across + down)
                    + grey.sample(here - across - down);
                (sum + grey.sample(here)) / 5.0
            } else {
                grey.sample(here)
            };
            here = next;
            values.push((light.middle - value) / light.half);
        }
    }
    Some(values)
}

fn deblurred(values: &[f32], size: usize, share: f32) -> Vec<f32> {
    let at = |x: usize, y: usize| values.get(y.min(size - 1) * size + x.min(size - 1)).copied().unwrap_or(0.0);
    let mut sharp = Vec::with_capacity(values.len());
    for y in 0..size {
        for x in 0..size {
            // Beyond the border lies the quiet zone: bright.
            let left = if x > 0 { at(x - 1, y) } else { -1.0 };
            let right = if x + 1 < size { at(x + 1, y) } else { -1.0 };
            let above = if y > 0 { at(x, y - 1) } else { -1.0 };
            let below = if y + 1 < size { at(x, y + 1) } else { -1.0 };
            let value = at(x, y);
            sharp.push(value + share * (4.0 * value - left - right - above - below));
        }
    }
    sharp
}

fn box_mean(values: &[f32], size: usize, reach: usize) -> Vec<f32> {
    let mut sums = vec![0.0f32; (size + 1) * (size + 1)];
    for (y, row) in values.chunks(size).enumerate() {
        let mut line = 0.0;
        for (x, value) in row.iter().enumerate() {
            line += value;
            let above = sums.get(y * (size + 1) + x + 1).copied().unwrap_or(0.0);
            if let Some(slot) = sums.get_mut((y + 1) * (size + 1) + x + 1) {
                *slot = above + line;
            }
        }
    }
    let at = |x: usize, y: usize| sums.get(y * (size + 1) + x).copied().unwrap_or(0.0);
    let mut means = Vec::with_capacity(values.len());
    for y in 0..size {
        let (top, bottom) = (y.saturating_sub(reach), (y + reach + 1).min(size));
        for x in 0..size {
            let (left, right) = (x.saturating_sub(reach), (x + reach + 1).min(size));
            let sum = at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top);
            means.push(sum / float((right - left) * (bottom - top)));
        }
    }
    means
}
