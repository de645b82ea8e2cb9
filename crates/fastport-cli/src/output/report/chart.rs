//! A chart of lines as SVG: axes with their grid, series, a legend. Pure text.

use crate::quantity::{show_count, show_ns};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
/// Room for labels at the left, below and at the right, and for the legend above.
const LEFT: f64 = 84.0;
const BELOW: f64 = 28.0;
const RIGHT: f64 = 32.0;
const ABOVE: f64 = 34.0;

/// What an axis shows, which decides its scale and its labels.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Axis {
    /// 0 to 100 exclusive, stretched towards 100: each further nine takes the same room.
    Percentile,
    /// From 0.
    Seconds,
    /// From 0.
    Rate,
    /// In nanoseconds, logarithmic.
    Latency,
}

/// A line of the chart.
pub(super) struct Series {
    /// What the legend calls it; a name is listed once.
    pub(super) name: String,
    /// Its place in the style's list of colours.
    pub(super) color: usize,
    /// Whether others matter more.
    pub(super) is_faint: bool,
    pub(super) is_dashed: bool,
    /// From left to right; where there is no value the line is broken.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// Axes and the lines between them.
pub(super) struct Chart {
    title: &'static str,
    across: Axis,
    up: Axis,
    series: Vec<Series>,
}

impl Chart {
    pub(super) fn new(title: &'static str, across: Axis, up: Axis) -> Self {
        Self {
            title,
            across,
            up,
            series: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, series: Series) {
        self.series.push(series);
    }

    pub(super) fn svg(&self) -> String {
        let values = self.series.iter().flat_map(|series| &series.points);
        let across = Scale::over(self.across, values.clone().map(|(at, _)| *at));
        let up = Scale::over(self.up, values.filter_map(|(_, value)| *value));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            self.title
        );
        let (Some(across), Some(up)) = (across, up) else {
            svg.push_str("<text x=\"20\" y=\"40\">nothing was measured</text>\n</svg>\n");
            return svg;
        };
        grid(&mut svg, &across, &up);
        for series in &self.series {
            lines(&mut svg, series, &across, &up);
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut listed: Vec<&str> = Vec::new();
        let named = self
            .series
            .iter()
            .filter(|s| !s.name.is_empty() && !s.is_faint);
        for series in named {
            if listed.contains(&series.name.as_str()) {
                continue;
            }
            let x = LEFT + 12.0 + 110.0 * listed.len() as f64;
            let class = class(series);
            let _ = writeln!(
                svg,
                "<polyline class=\"{class}\" points=\"{x:.0},16 {:.0},16\"/>\
                 <text x=\"{:.0}\" y=\"20\">{}</text>",
                x + 24.0,
                x + 30.0,
                series.name
            );
            listed.push(&series.name);
        }
    }
}

fn class(series: &Series) -> String {
    let faint = if series.is_faint { " faint" } else { "" };
    let dashed = if series.is_dashed { " dashed" } else { "" };
    format!("c{}{faint}{dashed}", series.color)
}

fn grid(svg: &mut String, across: &Scale, up: &Scale) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BELOW);
    for (value, label) in across.ticks() {
        let x = across.horizontal(value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {ABOVE} V{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        );
    }
    for (value, label) in up.ticks() {
        let y = up.vertical(value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1} H{right}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
}

fn lines(svg: &mut String, series: &Series, across: &Scale, up: &Scale) {
    for piece in series.points.split(|(_, value)| value.is_none()) {
        let points = piece.iter().filter_map(|(at, value)| {
            let (x, y) = (across.horizontal(*at), up.vertical((*value)?));
            Some(format!("{x:.1},{y:.1}"))
        });
        let points: Vec<_> = points.collect();
        if !points.is_empty() {
            let (class, points) = (class(series), points.join(" "));
            let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{points}\"/>");
        }
    }
}

/// Where values are on an axis, from 0 to 1.
struct Scale {
    axis: Axis,
    least: f64,
    most: f64,
}

impl Scale {
    /// A scale that holds all values; `None` when there is none.
    fn over(axis: Axis, values: impl Iterator<Item = f64>) -> Option<Self> {
        let (least, most) = values.fold(None, |ends: Option<(f64, f64)>, value| {
            let (least, most) = ends.unwrap_or((value, value));
            Some((least.min(value), most.max(value)))
        })?;
        let (least, most) = match axis {
            Axis::Percentile => (0.0, most),
            Axis::Seconds | Axis::Rate => (0.0, most.max(f64::MIN_POSITIVE) * 1.05),
            // Whole decades would leave much room empty; a little around the values does not.
            Axis::Latency => (least.max(1.0) / 1.3, most.max(1.0) * 1.3),
        };
        Some(Self { axis, least, most })
    }

    fn place(&self, value: f64) -> f64 {
        let stretch = |value: f64| match self.axis {
            Axis::Percentile => -(1.0 - value.min(99.9999) / 100.0).log10(),
            Axis::Seconds | Axis::Rate => value,
            Axis::Latency => value.max(1.0).log10(),
        };
        let (least, most) = (stretch(self.least), stretch(self.most));
        if most > least {
            (stretch(value) - least) / (most - least)
        } else {
            0.5
        }
    }

    fn horizontal(&self, value: f64) -> f64 {
        LEFT + self.place(value) * (WIDTH - RIGHT - LEFT)
    }

    fn vertical(&self, value: f64) -> f64 {
        HEIGHT - BELOW - self.place(value) * (HEIGHT - BELOW - ABOVE)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let candidates: Vec<f64> = match self.axis {
            Axis::Percentile => vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999],
            Axis::Latency => {
                let decades = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
                let steps = |decade: i32| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(decade));
                decades.flat_map(steps).collect()
            }
            Axis::Seconds | Axis::Rate => {
                let step = round_step(self.most / 8.0);
                (0..=8).map(|index| f64::from(index) * step).collect()
            }
        };
        let within = candidates
            .into_iter()
            .filter(|value| (self.least..=self.most).contains(value));
        within.map(|value| (value, self.label(value))).collect()
    }

    fn label(&self, value: f64) -> String {
        match self.axis {
            Axis::Percentile => format!("p{value}"),
            Axis::Seconds => format!("{} s", (value * 1e6).round() / 1e6),
            Axis::Rate => show_count(value.round() as u64),
            Axis::Latency => show_ns(value),
        }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let exponent = step.log10().floor() as i32;
    // Whole powers of ten are exact on every system, so the steps are the nearest to what is meant.
    let power = 10f64.powi(exponent.abs());
    let scaled = |factor: f64| match exponent {
        ..0 => factor / power,
        _ => factor * power,
    };
    let steps = [1.0, 2.0, 5.0].map(scaled);
    let fitting = steps.into_iter().find(|candidate| *candidate >= step);
    fitting.unwrap_or_else(|| scaled(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: Vec<(f64, Option<f64>)>) -> Series {
        Series {
            name: "p99".into(),
            color: 1,
            is_faint: false,
            is_dashed: true,
            points,
        }
    }

    #[test]
    fn a_line_is_broken_where_nothing_came() {
        let mut chart = Chart::new("t", Axis::Seconds, Axis::Rate);
        let points = [Some(1.0), Some(2.0), None, Some(3.0)];
        let points = points.into_iter().enumerate();
        chart.add(series(
            points.map(|(at, value)| (at as f64, value)).collect(),
        ));
        let svg = chart.svg();
        // Two pieces, and the legend's.
        assert_eq!(svg.matches("<polyline class=\"c1 dashed\"").count(), 3);
        assert!(svg.contains(">p99</text>"));
    }

    #[test]
    fn a_chart_of_nothing_says_so() {
        let mut chart = Chart::new("t", Axis::Percentile, Axis::Latency);
        chart.add(series(vec![(50.0, None)]));
        assert!(chart.svg().contains("nothing was measured"));
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        let scale = Scale::over(Axis::Percentile, [0.0, 99.9].into_iter()).unwrap();
        let places = [90.0, 99.0, 99.9].map(|percent| scale.place(percent));
        assert!((places[0] - 1.0 / 3.0).abs() < 1e-9 && (places[2] - 1.0).abs() < 1e-9);
        assert!((places[1] - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn axes_have_some_round_ticks() {
        for most in [0.003, 1.0, 7.0, 123_456.0] {
            let scale = Scale::over(Axis::Rate, [most].into_iter()).unwrap();
            assert!((4..=9).contains(&scale.ticks().len()), "{most}");
        }
        for (least, most) in [(1.0, 2.0), (50_000.0, 60_000.0), (900.0, 5e9)] {
            let scale = Scale::over(Axis::Latency, [least, most].into_iter()).unwrap();
            assert!(!scale.ticks().is_empty(), "{least} to {most}");
        }
        assert_eq!(
            [0.03, 1.0, 1.1, 6.0].map(round_step),
            [0.05, 1.0, 2.0, 10.0]
        );
    }

    #[test]
    fn places_are_within_the_chart() {
        let scale = Scale::over(Axis::Latency, [1_000.0, 1e9].into_iter()).unwrap();
        for value in [1_000.0, 5e4, 1e9] {
            let y = scale.vertical(value);
            assert!((ABOVE..=HEIGHT - BELOW).contains(&y), "{value}: {y}");
        }
        let one = Scale::over(Axis::Percentile, [0.0].into_iter()).unwrap();
        assert_eq!(one.place(0.0), 0.5);
    }
}
