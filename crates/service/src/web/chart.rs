//! Charts as SVG, by attributes and classes alone: the content security policy lets no style into a page. Each has a title, a
//! sentence that says its values, and a table beside it.

use maud::{Markup, html};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Units across; the page gives a chart its width.
const WIDTH: i64 = 320;
/// Units of half a wide character, at the size of labels.
const HALF_CHAR: i64 = 7;
const BAR_ROW: i64 = 44;
const PLOT: i64 = 120;
const PLOT_TOP: i64 = 24;
const WIDEST_COLUMN: i64 = 34;

/// One bar or column. Minor units.
pub(super) struct Bar {
    pub(super) label: String,
    /// The amount in words.
    pub(super) text: String,
    pub(super) minor: i64,
    /// What it is measured against.
    pub(super) limit: Option<i64>,
}

impl Bar {
    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.minor > limit)
    }

    const fn class(over: bool) -> &'static str {
        if over { "chart-fill over" } else { "chart-fill" }
    }
}

/// What is drawn, and what it is called.
pub(super) struct Chart<'a> {
    /// Unlike those of other charts on the page.
    pub(super) id: &'static str,
    pub(super) title: &'a str,
    pub(super) bars: &'a [Bar],
}

impl Chart<'_> {
    /// Lying bars, each under its label; as long as its part of its limit, or of the longest.
    pub(super) fn bars(&self) -> Markup {
        let most = self.bars.iter().map(|bar| bar.minor).max().unwrap_or(0);
        let rows = (0..).step_by(usize::try_from(BAR_ROW).unwrap_or(1)).zip(self.bars);
        let height = i64::try_from(self.bars.len()).unwrap_or(0) * BAR_ROW;
        self.svg(height, html! {
            @for (y, bar) in rows {
                @let whole = bar.limit.unwrap_or(most);
                text class="chart-label" x="0" y=(y + 15) { (fitting(&bar.label, WIDTH - width_of(&bar.text) - 14)) }
                text class="chart-value" x=(WIDTH) y=(y + 15) text-anchor="end" { (bar.text) }
                rect class="chart-track" x="0" y=(y + 22) width=(WIDTH) height="12" rx="6" {}
                rect class=(Bar::class(bar.is_over())) x="0" y=(y + 22) width=(part(bar.minor, whole, WIDTH)) height="12" rx="6" {}
            }
        })
    }

    /// Standing columns, with a line across where they are to stay below: its height and what it says.
    pub(super) fn columns(&self, line: Option<(i64, &str)>) -> Markup {
        let tallest = self.bars.iter().map(|bar| bar.minor).chain(line.map(|(cap, _)| cap)).max().unwrap_or(0);
        let count = i64::try_from(self.bars.len()).unwrap_or(1).max(1);
        let slot = WIDTH / count;
        let across = WIDEST_COLUMN.min(slot - 10);
        let bottom = PLOT_TOP + PLOT;
        let columns = (0..).map(|index: i64| index * slot + slot / 2).zip(self.bars);
        self.svg(bottom + 24, html! {
            line class="chart-axis" x1="0" y1=(bottom) x2=(WIDTH) y2=(bottom) {}
            @for (middle, bar) in columns {
                @let tall = part(bar.minor, tallest, PLOT);
                rect class=(Bar::class(line.is_some_and(|(cap, _)| bar.minor > cap))) x=(middle - across / 2) y=(bottom - tall)
                    width=(across) height=(tall) rx="4" {}
                @if bar.minor > 0 {
                    text class="chart-small" x=(middle) y=(bottom - tall - 6) text-anchor="middle" { (bar.text) }
                }
                text class="chart-small" x=(middle) y=(bottom + 16) text-anchor="middle" { (bar.label) }
            }
            @if let Some((cap, words)) = line {
                @let y = bottom - part(cap, tallest, PLOT);
                line class="chart-cap" x1="0" y1=(y) x2=(WIDTH) y2=(y) {}
                text class="chart-small" x=(WIDTH) y=(y - 5) text-anchor="end" { (words) }
            }
        })
    }

    fn svg(&self, height: i64, content: Markup) -> Markup {
        let said: Vec<String> = self.bars.iter().map(|bar| format!("{} {}", bar.label, bar.text)).collect();
        let (title, desc) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        html! {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby=(title) aria-describedby=(desc) {
                title id=(title) { (self.title) }
                desc id=(desc) { (said.join("; ")) }
                (content)
            }
        }
    }
}

/// `whole` units for all of `most`; never nothing for something, never more than all.
fn part(minor: i64, most: i64, whole: i64) -> i64 {
    if minor <= 0 || most <= 0 {
        return 0;
    }
    (minor.min(most) * whole / most).max(2)
}

fn width_of(text: &str) -> i64 {
    i64::try_from(text.width()).unwrap_or(WIDTH) * HALF_CHAR
}

/// As much of a label as there is room for.
fn fitting(label: &str, room: i64) -> String {
    if width_of(label) <= room {
        return label.to_owned();
    }
    let mut left = room - HALF_CHAR;
    let fits = |character: &char| {
        left -= i64::try_from(character.width().unwrap_or(0)).unwrap_or(0) * HALF_CHAR;
        left >= 0
    };
    let mut short: String = label.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_part() {
        assert_eq!(part(50, 100, 320), 160);
        assert_eq!(part(500, 100, 320), 320, "over the limit is all of it");
        assert_eq!((part(1, 100_000_000_000, 320), part(0, 100, 320), part(5, 0, 320)), (2, 0, 0));
    }

    #[test]
    fn long_labels_are_cut() {
        assert_eq!(fitting("文具店", 100), "文具店");
        assert_eq!(fitting("一二三四五六七八九十", 56), "一二三…");
        assert_eq!(fitting("Stationery & more", 56), "Station…");
    }
}
