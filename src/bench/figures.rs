//! Figures: what was measured, in the unit its name ends in, beside what it is held against.

use std::time::Duration;

use serde_json::{Map, Number, Value};

/// One result. Its name ends in its unit; `outer.inner` is the field `inner` of an object `outer`.
pub(super) struct Figure {
    name: String,
    value: f64,
    against: Option<Against>,
}

/// What a figure is held against, in its unit.
#[derive(Clone, Copy)]
enum Against {
    AtMost(f64),
    AtLeast(f64),
    /// Another program's figure, from the same run.
    Peer(f64),
}

impl Figure {
    pub(super) fn count(name: &str, value: u64) -> Self {
        Self::exact(name, real(value))
    }

    /// To four digits.
    pub(super) fn real(name: &str, value: f64) -> Self {
        Self::exact(name, format!("{value:.3e}").parse().unwrap_or(value))
    }

    /// To a hundredth of a millisecond.
    pub(super) fn millis(name: &str, value: Duration) -> Self {
        Self::exact(name, (value.as_secs_f64() * 100_000.0).round() / 100.0)
    }

    fn exact(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, against: None }
    }

    pub(super) fn at_most(self, limit: impl Into<f64>) -> Self {
        Self { against: Some(Against::AtMost(limit.into())), ..self }
    }

    pub(super) fn at_least(self, least: impl Into<f64>) -> Self {
        Self { against: Some(Against::AtLeast(least.into())), ..self }
    }

    pub(super) fn beside(self, peer: f64) -> Self {
        Self { against: Some(Against::Peer(peer)), ..self }
    }

    /// The name's suffix in JSON, the value, and how a person reads it.
    fn held_against(&self) -> Option<(&'static str, f64, String)> {
        Some(match self.against? {
            Against::AtMost(limit) if self.value <= limit => ("limit", limit, format!("at most {limit}")),
            Against::AtMost(limit) => ("limit", limit, format!("at most {limit}: OVER")),
            Against::AtLeast(least) if self.value >= least => ("at_least", least, format!("at least {least}")),
            Against::AtLeast(least) => ("at_least", least, format!("at least {least}: UNDER")),
            Against::Peer(peer) => ("peer", peer, format!("beside {peer}")),
        })
    }
}

/// `NAME.p50`, `NAME.p99` and `NAME.max`, to a hundredth of a millisecond.
pub(super) fn spread(name: &str, mut times: Vec<Duration>) -> [Figure; 3] {
    times.sort_unstable();
    let at = |part| Figure::millis(&format!("{name}.{part}"), percentile(&times, part));
    [at("p50"), at("p99"), at("max")]
}

/// Of sorted times; zero where there are none.
fn percentile(times: &[Duration], part: &str) -> Duration {
    let last = times.len().saturating_sub(1);
    let index = match part {
        "p50" => last / 2,
        "p99" => last - last / 100,
        _ => last,
    };
    times.get(index).copied().unwrap_or_default()
}

/// What one run of the benchmark says.
pub(super) struct Report {
    figures: Vec<Figure>,
    /// How the figures that follow from others do so.
    formulas: Vec<(&'static str, String)>,
}

impl Report {
    pub(super) const fn of(figures: Vec<Figure>) -> Self {
        Self { figures, formulas: Vec::new() }
    }

    pub(super) fn explain(&mut self, name: &'static str, formula: String) {
        self.formulas.push((name, formula));
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::new();
        for figure in &self.figures {
            let (at, name) = match figure.name.split_once('.') {
                Some((outer, inner)) => (object.entry(outer).or_insert_with(|| Map::new().into()), inner),
                None => {
                    insert(&mut object, &figure.name, figure);
                    continue;
                }
            };
            if let Some(object) = at.as_object_mut() {
                insert(object, name, figure);
            }
        }
        for (name, formula) in &self.formulas {
            object.insert(format!("{name}_formula"), formula.as_str().into());
        }
        Value::Object(object)
    }

    pub(super) fn print(&self) {
        for figure in &self.figures {
            let bound = figure.held_against().map(|(_, _, words)| words).unwrap_or_default();
            println!("{:>36}  {:>12}  {bound}", figure.name, figure.value);
        }
        for (name, formula) in &self.formulas {
            println!("\n{name} = {formula}");
        }
    }
}

fn insert(object: &mut Map<String, Value>, name: &str, figure: &Figure) {
    object.insert(name.to_owned(), number(figure.value).into());
    if let Some((suffix, value, _)) = figure.held_against() {
        object.insert(format!("{name}_{suffix}"), number(value).into());
    }
}

/// Without a point where there is nothing behind it.
fn number(value: f64) -> Number {
    value.to_string().parse().unwrap_or_else(|_| 0.into())
}

/// A count in formulas. Exact up to 2⁵³.
pub(super) fn real(count: u64) -> f64 {
    Number::from(count).as_f64().unwrap_or(f64::MAX)
}

/// The number of things in a list.
pub(super) fn many(count: usize) -> f64 {
    Number::from(count).as_f64().unwrap_or(f64::MAX)
}
