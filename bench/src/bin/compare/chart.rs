//! Draws what each server costs as bars relative to the first reference, one group a scenario: the
//! processor time of a message, or the memory of an idle session.

use crate::scenario::Scenario;
use std::fmt::Write as _;

/// A bar: who, and how many times the reference.
pub(crate) type Bar = (String, f64);

const WIDTH: f64 = 760.0;
const LABELS: f64 = 210.0;
const BAR: f64 = 16.0;
const GAP: f64 = 6.0;
const HEADING: f64 = 34.0;
/// What is longer is cut here, with its figure beside it.
const RATIO_MAX: f64 = 2.0;

/// An SVG picture of all groups; readable on light and on dark pages.
pub(crate) fn draw(groups: &[(Scenario, Vec<Bar>)]) -> String {
    let rows: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = groups.len() as f64 * HEADING + rows as f64 * (BAR + GAP) + GAP;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut top = 0.0;
    for (scenario, bars) in groups {
        // Writing to a String can not fail.
        let _ = writeln!(
            text,
            "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{scenario:?}: {}</text>",
            top + HEADING - 12.0,
            scenario.title()
        );
        top += HEADING;
        for (name, ratio) in bars {
            let length = ratio.min(RATIO_MAX) / RATIO_MAX * (WIDTH - LABELS - 60.0);
            let colour = if name.starts_with("FastPort") {
                "#c2410c"
            } else {
                "#94a3b8"
            };
            let middle = top + BAR - 4.0;
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>\
                 <rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{middle}\">{ratio:.2}</text>",
                LABELS - 8.0,
                LABELS + length + 6.0,
            );
            top += BAR + GAP;
        }
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_drawn_and_a_long_one_is_cut() {
        let bars = vec![
            ("FastPort io_uring".to_owned(), 1.0),
            ("tokio-util Framed".to_owned(), 50.0),
        ];
        let picture = draw(&[(Scenario::S3, bars)]);
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        assert!(picture.contains(">1.00<") && picture.contains(">50.00<"));
        let widths: Vec<f64> = picture
            .split("width=\"")
            .skip(2)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 2);
        assert!(widths.iter().all(|width| *width < WIDTH - LABELS));
    }
}
