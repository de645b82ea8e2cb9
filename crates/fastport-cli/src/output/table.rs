//! Runs as a table for people.

use crate::bench::compare::{COLUMNS as COMPARED, CONFIDENCE, Ratio};
use crate::bench::report::{RunReport, Spread};
use crate::quantity::{show_count, show_ns};
use std::fmt::Write;

/// One run, as a table of two columns.
pub(crate) fn run_table(run: &RunReport) -> String {
    let latencies = &run.latencies;
    let latency = |percent| show_ns(latencies.percentile_ns(percent) as f64);
    let mut rows = vec![
        ("avg", show_ns(latencies.average_ns())),
        ("p50", latency(50.0)),
        ("p90", latency(90.0)),
        ("p95", latency(95.0)),
        ("p99", latency(99.0)),
        ("p99.9", latency(99.9)),
        ("max", show_ns(latencies.most_ns() as f64)),
        ("stddev", show_ns(latencies.deviation_ns())),
        (
            "packets/s",
            show_count(run.packets_per_second().round() as u64),
        ),
        ("MB/s", format!("{:.2}", run.megabytes_per_second())),
        (
            "responses",
            format!(
                "{} of {}",
                show_count(run.measured_responses),
                show_count(run.measured_requests)
            ),
        ),
        (
            "sessions",
            format!(
                "{} connected of {}, {} lost",
                show_count(run.connected_sessions),
                show_count(run.plan.sessions as u64),
                show_count(run.connection_losses)
            ),
        ),
    ];
    if run.wrong_responses > 0 {
        rows.push(("wrong", show_count(run.wrong_responses)));
    }
    if run.is_failed() {
        let why = run
            .first_loss
            .as_deref()
            .unwrap_or("not everything came back");
        rows.push(("result", format!("FAILED: {why}")));
    }
    frame(&run.plan.summary(), &rows)
}

/// Several runs: a line for each, and how they differ.
pub(crate) fn runs_table(runs: &[RunReport]) -> String {
    let mut text = format!(
        "{:>6} {:>14} {:>12} {:>12}  result\n",
        "run", "packets/s", "avg", "p99"
    );
    for (index, run) in runs.iter().enumerate() {
        let result = if run.is_failed() { "FAILED" } else { "ok" };
        line(
            &mut text,
            &(index + 1).to_string(),
            run.packets_per_second(),
            run.latencies.average_ns(),
            run.latencies.percentile_ns(99.0) as f64,
            result,
        );
    }
    let spreads = ["packets_per_sec", "avg_latency_ns", "p99_latency_ns"]
        .map(|column| Spread::of(runs, column));
    if let [Some(rate), Some(average), Some(p99)] = spreads {
        for (name, pick) in SPREAD_LINES {
            line(&mut text, name, pick(&rate), pick(&average), pick(&p99), "");
        }
    }
    let failed = runs.iter().filter(|run| run.is_failed()).count();
    if failed > 0 {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{failed} of {} runs FAILED and are left out above",
            runs.len()
        );
    }
    text
}

/// Two servers beside each other, second by first; below 1 is less.
pub(crate) fn comparison(servers: [(&String, &Vec<RunReport>); 2]) -> String {
    let [(first, first_runs), (second, second_runs)] = servers;
    let mut text = format!("A {first}, B {second}: B by A, with {CONFIDENCE} % confidence\n");
    for (column, more_is_better) in COMPARED {
        // Writing to a String does not fail.
        let _ = match Ratio::of(first_runs, second_runs, column) {
            Some(ratio) => writeln!(
                text,
                "{column:>16}  {:.3}  ({:.3} to {:.3}, {} rounds)  {}",
                ratio.mean,
                ratio.low,
                ratio.high,
                ratio.rounds,
                ratio.verdict(more_is_better).word()
            ),
            None => writeln!(text, "{column:>16}  too few rounds without a loss"),
        };
    }
    text
}

type Pick = fn(&Spread) -> f64;

const SPREAD_LINES: [(&str, Pick); 5] = [
    ("best", |spread| spread.best),
    ("worst", |spread| spread.worst),
    ("mean", |spread| spread.mean),
    ("median", |spread| spread.median),
    ("stddev", |spread| spread.deviation),
];

fn line(text: &mut String, name: &str, rate: f64, average: f64, p99: f64, result: &str) {
    let rate = show_count(rate.round() as u64);
    let row = format!(
        "{name:>6} {rate:>14} {:>12} {:>12}  {result}",
        show_ns(average),
        show_ns(p99)
    );
    text.push_str(row.trim_end());
    text.push('\n');
}

fn frame(title: &str, rows: &[(&str, String)]) -> String {
    let names = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let values = rows
        .iter()
        .map(|(_, value)| value.chars().count())
        .max()
        .unwrap_or(0);
    let rule = format!("+-{}-+-{}-+\n", "-".repeat(names), "-".repeat(values));
    let mut text = format!("{title}\n{rule}");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name:<names$} | {value:>values$} |");
    }
    text.push_str(&rule);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    #[test]
    fn a_run_shows_everything_that_was_asked_for() {
        let table = run_table(&sample(1_000.0));
        for name in [
            "avg",
            "p50",
            "p90",
            "p95",
            "p99",
            "p99.9",
            "max",
            "stddev",
            "packets/s",
            "MB/s",
            "responses",
            "sessions",
        ] {
            assert!(
                table.contains(&format!("\n| {name} ")),
                "{name} in\n{table}"
            );
        }
        assert!(table.contains("3 connected of 3, 0 lost"));
        assert!(!table.contains("FAILED"));
        let widths: Vec<_> = table
            .lines()
            .skip(1)
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }

    #[test]
    fn a_failed_run_is_shown_as_one() {
        let run = RunReport {
            connection_losses: 2,
            first_loss: Some("the connection was reset".into()),
            ..sample(1_000.0)
        };
        let table = run_table(&run);
        assert!(table.contains("2 lost"));
        assert!(table.contains("FAILED: the connection was reset"));
    }

    #[test]
    fn several_runs_end_with_their_spread() {
        let failed = RunReport {
            connection_losses: 1,
            ..sample(9_000.0)
        };
        let table = runs_table(&[sample(1_000.0), sample(3_000.0), failed]);
        let rate = |name: &str| {
            let line = table
                .lines()
                .find(|line| line.trim_start().starts_with(name))
                .unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(
            (rate("best"), rate("worst")),
            ("3,000".into(), "1,000".into())
        );
        assert_eq!(
            (rate("mean"), rate("median")),
            ("2,000".into(), "2,000".into())
        );
        assert_eq!(rate("3 "), "9,000");
        assert!(table.contains("1 of 3 runs FAILED"));
    }
}
