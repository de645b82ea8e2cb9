//! Turns rounds into Markdown: medians, and ratios taken within each round.

use crate::Round;
use crate::chart::Bar;
use crate::contestant::Contestant;
use crate::measurement::Metric;
use crate::scenario::Scenario;
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
        "Linux {}, {model}; server and load on one core each; {rounds} rounds of {duration} a \
         server; medians; ratios are taken within a round, then their median.\n",
        kernel.trim()
    )
}

/// All rounds of one scenario, and whom the contestants are compared with.
pub(crate) struct Results<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) contestants: &'a [Contestant],
    pub(crate) references: &'a [Contestant],
    pub(crate) rounds: &'a [Round],
}

impl Results<'_> {
    /// A table of medians, then the costs and their ratios of every round, so that their spread is
    /// seen.
    pub(crate) fn section(&self) -> String {
        let scenario = self.scenario;
        let mut text = format!("\n### {scenario:?}: {}\n\n", scenario.title());
        let comparisons = self.comparisons();
        let mut headings = vec!["server".to_owned()];
        headings.extend(scenario.metrics().iter().map(|metric| match metric {
            Metric::PerSecond | Metric::ServerTime | Metric::LoadTime => {
                format!("{} ({})", metric.heading().0, scenario.unit())
            }
            metric => metric.heading().0.to_owned(),
        }));
        headings.extend(comparisons.iter().map(|(reference, metric)| {
            let name = self.contestants[*reference].name();
            format!("{} to {name}", metric.compared())
        }));
        headings.push("failed".to_owned());
        // Writing to a String can not fail.
        let _ = writeln!(text, "| {} |", headings.join(" | "));
        let _ = writeln!(text, "|---|{}", "--:|".repeat(headings.len() - 1));
        for (at, contestant) in self.contestants.iter().enumerate() {
            let mut cells = vec![contestant.name()];
            cells.extend(scenario.metrics().iter().map(|metric| {
                let (_, decimals) = metric.heading();
                shown(median(self.values(at, *metric)), decimals)
            }));
            let ratio = |(reference, metric): &(usize, Metric)| {
                shown(median(self.ratios(at, *reference, *metric)), 2)
            };
            cells.extend(comparisons.iter().map(ratio));
            let failed = self.rounds.iter().filter(|round| round[at].is_err());
            cells.push(failed.count().to_string());
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text.push_str(&self.every_round());
        text
    }

    /// The servers' costs relative to the first reference; those without one are left out.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let Some(reference) = self.references().next() else {
            return Vec::new();
        };
        let ratio = |at| median(self.ratios(at, reference, self.scenario.cost()));
        let all = self.contestants.iter().enumerate();
        all.filter_map(|(at, contestant)| Some((contestant.name(), ratio(at)?)))
            .collect()
    }

    fn every_round(&self) -> String {
        let cost = self.scenario.cost();
        let mut text = format!("\nEach round, {}:\n\n", cost.heading().0);
        for (at, contestant) in self.contestants.iter().enumerate() {
            let values = each(&self.values(at, cost), cost.heading().1);
            let _ = write!(text, "- {}: {values}", contestant.name());
            for reference in self.references().filter(|reference| *reference != at) {
                let ratios = each(&self.ratios(at, reference, cost), 2);
                let _ = write!(text, "; to {} {ratios}", self.contestants[reference].name());
            }
            text.push('\n');
        }
        text
    }

    /// Which contestants are references, by their places.
    fn references(&self) -> impl Iterator<Item = usize> {
        let place = |reference| {
            let mut all = self.contestants.iter();
            all.position(|contestant| contestant == reference)
        };
        self.references.iter().filter_map(place)
    }

    fn comparisons(&self) -> Vec<(usize, Metric)> {
        let metrics = self.scenario.compared();
        let with_all = |reference| metrics.iter().map(move |metric| (reference, *metric));
        self.references().flat_map(with_all).collect()
    }

    /// A figure of each round in which it was measured.
    fn values(&self, at: usize, metric: Metric) -> Vec<f64> {
        let measured = self
            .rounds
            .iter()
            .filter_map(|round| round[at].as_ref().ok());
        measured
            .filter_map(|measured| metric.of(measured))
            .collect()
    }

    /// The ratio of every round in which both sides have a measurement.
    fn ratios(&self, at: usize, reference: usize, metric: Metric) -> Vec<f64> {
        let ratio = |round: &Round| {
            let own = metric.of(round[at].as_ref().ok()?)?;
            let other = metric.of(round[reference].as_ref().ok()?)?;
            (other > 0.0).then(|| own / other)
        };
        self.rounds.iter().filter_map(ratio).collect()
    }
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

fn each(values: &[f64], decimals: usize) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let texts = values.iter().map(|value| shown(Some(*value), decimals));
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Latency, Measurement};
    use crate::server::ServerKind;
    use std::time::Duration;

    const CONTESTANTS: [Contestant; 2] = [
        Contestant::alone(ServerKind::FastportIoUring),
        Contestant::alone(ServerKind::Limit),
    ];

    fn measured(time_ns: f64, p50_us: u64) -> Result<Measurement, String> {
        let p50 = Duration::from_micros(p50_us);
        Ok(Measurement {
            per_second: Some(1e9 / time_ns),
            latency: Some(Latency {
                p50,
                p99: 2 * p50,
                max: 3 * p50,
            }),
            server_time_ns: Some(time_ns),
            ..Measurement::default()
        })
    }

    fn results(rounds: &[Round]) -> Results<'_> {
        Results {
            scenario: Scenario::S2,
            contestants: &CONTESTANTS,
            references: &CONTESTANTS[1..],
            rounds,
        }
    }

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_round_is_compared_with_its_own_reference() {
        let rounds = [
            vec![measured(3000.0, 10), measured(1000.0, 20)],
            vec![measured(900.0, 30), measured(600.0, 10)],
        ];
        let results = results(&rounds);
        assert_eq!(results.ratios(0, 1, Metric::ServerTime), [3.0, 1.5]);
        assert_eq!(results.ratios(0, 1, Metric::P99), [0.5, 3.0]);
        assert_eq!(results.values(1, Metric::MaxToP50), [3.0, 3.0]);
        let bars = results.bars();
        assert_eq!(bars[0], ("FastPort io_uring".to_owned(), 2.25));
    }

    #[test]
    fn a_failed_run_gives_no_ratio_and_is_counted() {
        let lost: Result<Measurement, String> = Err("1 sessions lost".to_owned());
        let rounds = [vec![lost, measured(100.0, 20)]];
        let text = results(&rounds).section();
        let line = "| FastPort io_uring | - | - | - | - | - | - | - | - | - | - | - | 1 |";
        assert!(text.contains(line), "{text}");
    }
}
