//! Turns rounds into Markdown: medians, and ratios taken within each round.

use crate::Round;
use crate::chart::Bar;
use crate::load::Measurement;
use crate::scenario::Scenario;
use crate::server::ServerKind;
use std::fmt::Write as _;
use std::fs;

/// Where and how it was measured.
pub(crate) fn machine(rounds: u32, duration: &str) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    format!(
        "Linux {}, {model}; server and load on one core each; raw echo; {rounds} rounds of \
         {duration} a server; medians; ratios within a round, against the faster tokio and \
         against the limit.\n",
        kernel.trim()
    )
}

/// One scenario: a table of medians, then the ratios of every round, so that their spread is seen.
pub(crate) fn section(scenario: Scenario, servers: &[ServerKind], rounds: &[Round]) -> String {
    let mut text = format!("\n### {scenario:?}: {}\n\n", scenario.title());
    text.push_str(
        "| server | messages/s | to tokio | to limit | p50 µs | p99 µs | max µs | p99 to tokio \
         | CPU µs/message | CPU to limit | peak MiB | failed |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (at, kind) in servers.iter().enumerate() {
        let of = |value: fn(&Measurement) -> f64| {
            median(
                rounds
                    .iter()
                    .filter_map(|round| round[at].as_ref().ok().map(value))
                    .collect(),
            )
        };
        let cells = [
            shown(of(|m| m.messages_per_second), 0),
            shown(median(speed_ratios(servers, rounds, at, fastest_tokio)), 2),
            shown(median(speed_ratios(servers, rounds, at, limit)), 2),
            shown(of(|m| m.p50.as_secs_f64() * 1e6), 0),
            shown(of(|m| m.p99.as_secs_f64() * 1e6), 0),
            shown(of(|m| m.max.as_secs_f64() * 1e6), 0),
            shown(median(p99_ratios(servers, rounds, at)), 2),
            shown(of(|m| m.server_time_ns / 1e3), 3),
            shown(median(cost_ratios(servers, rounds, at)), 2),
            shown(of(|m| m.server_peak_bytes as f64 / f64::from(1 << 20)), 1),
            rounds
                .iter()
                .filter(|round| round[at].is_err())
                .count()
                .to_string(),
        ];
        // Writing to a String can not fail.
        let _ = writeln!(text, "| {} | {} |", kind.name(), cells.join(" | "));
    }
    text.push_str("\nEach round, to tokio, messages/s and p99:\n\n");
    for (at, kind) in servers.iter().enumerate() {
        let speed = each(&speed_ratios(servers, rounds, at, fastest_tokio));
        let latency = each(&p99_ratios(servers, rounds, at));
        let _ = writeln!(text, "- {}: {speed}; p99 {latency}", kind.name());
    }
    text
}

/// Finds what a round is compared with.
type Reference = fn(&[ServerKind], &Round) -> Option<Measurement>;

fn fastest_tokio(servers: &[ServerKind], round: &Round) -> Option<Measurement> {
    let all = servers.iter().zip(round);
    all.filter(|(kind, _)| kind.is_tokio())
        .filter_map(|(_, result)| result.clone().ok())
        .max_by(|a, b| a.messages_per_second.total_cmp(&b.messages_per_second))
}

fn limit(servers: &[ServerKind], round: &Round) -> Option<Measurement> {
    let all = servers.iter().zip(round);
    all.filter(|(kind, _)| **kind == ServerKind::Limit)
        .find_map(|(_, result)| result.clone().ok())
}

fn speed_ratios(
    servers: &[ServerKind],
    rounds: &[Round],
    at: usize,
    reference: Reference,
) -> Vec<f64> {
    ratios(servers, rounds, at, reference, |m| m.messages_per_second)
}

fn p99_ratios(servers: &[ServerKind], rounds: &[Round], at: usize) -> Vec<f64> {
    ratios(servers, rounds, at, fastest_tokio, |m| m.p99.as_secs_f64())
}

/// The servers' processor time for a message, relative to the limit's; those without one are left
/// out.
pub(crate) fn costs(servers: &[ServerKind], rounds: &[Round]) -> Vec<Bar> {
    let cost = |at| median(cost_ratios(servers, rounds, at));
    let named = servers.iter().enumerate();
    named
        .filter_map(|(at, kind)| Some((kind.name(), cost(at)?)))
        .collect()
}

fn cost_ratios(servers: &[ServerKind], rounds: &[Round], at: usize) -> Vec<f64> {
    ratios(servers, rounds, at, limit, |m| m.server_time_ns)
}

/// The ratio of every round in which both sides have a measurement.
fn ratios(
    servers: &[ServerKind],
    rounds: &[Round],
    at: usize,
    reference: Reference,
    value: fn(&Measurement) -> f64,
) -> Vec<f64> {
    let ratio = |round: &Round| {
        let own = round[at].as_ref().ok()?;
        let other = value(&reference(servers, round)?);
        (other > 0.0).then(|| value(own) / other)
    };
    rounds.iter().filter_map(ratio).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

fn each(values: &[f64]) -> String {
    let shown: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SERVERS: [ServerKind; 3] = [
        ServerKind::FastportIoUring,
        ServerKind::Tokio,
        ServerKind::TokioPerThread,
    ];

    fn measured(messages_per_second: f64, p99_us: u64) -> Result<Measurement, String> {
        Ok(Measurement {
            messages_per_second,
            p50: Duration::from_micros(p99_us / 2),
            p99: Duration::from_micros(p99_us),
            max: Duration::from_micros(2 * p99_us),
            server_time_ns: 1000.0,
            server_peak_bytes: 1 << 20,
        })
    }

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_round_is_compared_with_its_own_faster_tokio() {
        let rounds = [
            vec![measured(200.0, 10), measured(100.0, 20), measured(50.0, 5)],
            vec![measured(90.0, 30), measured(10.0, 1), measured(30.0, 10)],
        ];
        assert_eq!(
            speed_ratios(&SERVERS, &rounds, 0, fastest_tokio),
            [2.0, 3.0]
        );
        assert_eq!(p99_ratios(&SERVERS, &rounds, 0), [0.5, 3.0]);
    }

    #[test]
    fn a_failed_run_gives_no_ratio_and_is_counted() {
        let lost: Result<Measurement, String> = Err("1 sessions lost".to_owned());
        let rounds = [vec![lost, measured(100.0, 20), measured(50.0, 5)]];
        assert!(speed_ratios(&SERVERS, &rounds, 0, fastest_tokio).is_empty());
        let text = section(Scenario::S2, &SERVERS, &rounds);
        let line = "| FastPort io_uring | - | - | - | - | - | - | - | - | - | - | 1 |";
        assert!(text.contains(line), "{text}");
    }
}
