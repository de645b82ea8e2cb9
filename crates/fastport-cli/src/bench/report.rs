//! What a run measured, and how runs differ.

use super::plan::Plan;
use super::timeline::Timeline;
use crate::output::histogram::LatencyHistogram;

/// Bytes of a megabyte, as throughput is told.
const MEGABYTE: f64 = 1e6;

/// One run, whole.
#[derive(Clone, Debug)]
pub(crate) struct RunReport {
    /// What was asked for.
    pub(crate) plan: Plan,
    /// Latencies of the measured responses.
    pub(crate) latencies: LatencyHistogram,
    /// How it went over the time of the run.
    pub(crate) timeline: Timeline,
    /// Mean size of the payloads in the pool.
    pub(crate) payload_mean_bytes: u64,
    /// Sessions that were made.
    pub(crate) connected_sessions: u64,
    /// Sessions that were not made, or ended before the run did.
    pub(crate) connection_losses: u64,
    /// Requests before measuring.
    pub(crate) warmup_requests: u64,
    /// Their responses.
    pub(crate) warmup_responses: u64,
    /// Measured requests.
    pub(crate) measured_requests: u64,
    /// Measured responses that were right.
    pub(crate) measured_responses: u64,
    /// Responses that were not what was sent.
    pub(crate) wrong_responses: u64,
    /// Payload bytes of the measured responses.
    pub(crate) payload_bytes: u64,
    /// From the first connect to the last.
    pub(crate) connect_elapsed_ns: u64,
    /// From the first warm-up request to the last response.
    pub(crate) warmup_elapsed_ns: u64,
    /// From the first measured request to the last response.
    pub(crate) measured_elapsed_ns: u64,
    /// Why sessions were lost: the first reason that was seen.
    pub(crate) first_loss: Option<String>,
}

/// A value of a column.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number with a fraction.
    Number(f64),
}

impl RunReport {
    /// Responses per second.
    pub(crate) fn packets_per_second(&self) -> f64 {
        self.per_second(self.measured_responses as f64)
    }

    /// Payload megabytes per second, counted once: as they came back.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.per_second(self.payload_bytes as f64 / MEGABYTE)
    }

    /// Whether something was lost or wrong: its numbers say nothing then.
    pub(crate) fn is_failed(&self) -> bool {
        self.connection_losses > 0
            || self.connected_sessions < self.plan.sessions as u64
            || self.warmup_responses < self.warmup_requests
            || self.measured_responses < self.measured_requests
            || self.measured_responses == 0
            || self.wrong_responses > 0
    }

    /// The value of a column of the CSV, or of `p999_latency_ns`.
    pub(crate) fn value(&self, column: &str) -> Value {
        use Value::{Count, Number, Text};
        let percentile = |percent| Count(self.latencies.percentile_ns(percent));
        match column {
            "test_name" => Text(self.plan.test_name.clone()),
            "iterations" => Count(self.plan.requests_max().unwrap_or(self.measured_requests)),
            "payload_size" => Count(self.payload_mean_bytes),
            "avg_latency_ns" => Number(self.latencies.average_ns()),
            "min_latency_ns" => Count(self.latencies.least_ns()),
            "max_latency_ns" => Count(self.latencies.most_ns()),
            "p50_latency_ns" => percentile(50.0),
            "p90_latency_ns" => percentile(90.0),
            "p95_latency_ns" => percentile(95.0),
            "p99_latency_ns" => percentile(99.0),
            "p999_latency_ns" => percentile(99.9),
            "stddev_ns" => Number(self.latencies.deviation_ns()),
            "packets_per_sec" => Number(self.packets_per_second()),
            "mb_per_sec" => Number(self.megabytes_per_second()),
            "requested_sessions" => Count(self.plan.sessions as u64),
            "connected_sessions" => Count(self.connected_sessions),
            "connection_losses" => Count(self.connection_losses),
            "warmup_requests" => Count(self.warmup_requests),
            "warmup_responses" => Count(self.warmup_responses),
            "measured_requests" => Count(self.measured_requests),
            "measured_responses" => Count(self.measured_responses),
            "payload_min_bytes" => Count(self.plan.payload_min as u64),
            "payload_max_bytes" => Count(self.plan.payload_max as u64),
            "payload_pool_size" => Count(self.plan.payload_pool as u64),
            "connect_elapsed_ns" => Count(self.connect_elapsed_ns),
            "warmup_elapsed_ns" => Count(self.warmup_elapsed_ns),
            "measured_elapsed_ns" => Count(self.measured_elapsed_ns),
            unknown => unreachable!("no column {unknown}"),
        }
    }

    fn number(&self, column: &str) -> f64 {
        match self.value(column) {
            Value::Count(count) => count as f64,
            Value::Number(number) => number,
            Value::Text(_) => f64::NAN,
        }
    }

    fn per_second(&self, amount: f64) -> f64 {
        if self.measured_elapsed_ns == 0 {
            return 0.0;
        }
        amount * 1e9 / self.measured_elapsed_ns as f64
    }
}

/// The run of median throughput among those that did not fail; among all when all failed.
pub(crate) fn median_run(runs: &[RunReport]) -> Option<&RunReport> {
    let mut sorted: Vec<_> = runs.iter().filter(|run| !run.is_failed()).collect();
    if sorted.is_empty() {
        sorted = runs.iter().collect();
    }
    sorted.sort_by(|a, b| a.packets_per_second().total_cmp(&b.packets_per_second()));
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// How a column differs over the runs that did not fail.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Spread {
    /// The highest rate or the lowest latency.
    pub(crate) best: f64,
    /// The lowest rate or the highest latency.
    pub(crate) worst: f64,
    /// The mean.
    pub(crate) mean: f64,
    /// The median; between the two in the middle when the runs are even in number.
    pub(crate) median: f64,
    /// The sample standard deviation; 0 for a single run.
    pub(crate) deviation: f64,
}

impl Spread {
    /// The spread of a column; `None` when every run failed.
    pub(crate) fn of(runs: &[RunReport], column: &str) -> Option<Self> {
        let passed = runs.iter().filter(|run| !run.is_failed());
        let mut values: Vec<f64> = passed.map(|run| run.number(column)).collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let median = f64::midpoint(values[(count - 1) / 2], values[count / 2]);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if count > 1 {
            (squares / (count - 1) as f64).sqrt()
        } else {
            0.0
        };
        let (best, worst) = if column.ends_with("_per_sec") {
            (most, least)
        } else {
            (least, most)
        };
        Some(Self {
            best,
            worst,
            mean,
            median,
            deviation,
        })
    }
}

/// A run without a loss that took one second, for tests of what shows it.
#[cfg(test)]
pub(crate) fn sample(packets_per_second: f64) -> RunReport {
    let responses = packets_per_second as u64;
    let mut latencies = LatencyHistogram::new();
    let mut timeline = Timeline::new();
    for latency in 1..=responses.min(1_000) {
        let latency_ns = latency * 1_000_000_000 / responses;
        latencies.record(latency_ns);
        timeline.record(latency_ns, latency_ns);
    }
    RunReport {
        plan: Plan {
            sessions: 3,
            ..Plan::default()
        },
        latencies,
        timeline,
        payload_mean_bytes: 64,
        connected_sessions: 3,
        connection_losses: 0,
        warmup_requests: 30,
        warmup_responses: 30,
        measured_requests: responses,
        measured_responses: responses,
        wrong_responses: 0,
        payload_bytes: responses * 64,
        connect_elapsed_ns: 1_000,
        warmup_elapsed_ns: 2_000,
        measured_elapsed_ns: 1_000_000_000,
        first_loss: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_what_came_back() {
        let run = RunReport {
            measured_elapsed_ns: 500_000_000,
            ..sample(1_000.0)
        };
        assert_eq!(run.packets_per_second(), 2_000.0);
        assert_eq!(run.megabytes_per_second(), 0.128);
        let nothing = RunReport {
            measured_elapsed_ns: 0,
            ..sample(1_000.0)
        };
        assert_eq!(nothing.packets_per_second(), 0.0);
    }

    #[test]
    fn every_loss_fails_a_run() {
        assert!(!sample(100.0).is_failed());
        for failed in [
            RunReport {
                connection_losses: 1,
                ..sample(100.0)
            },
            RunReport {
                connected_sessions: 2,
                ..sample(100.0)
            },
            RunReport {
                warmup_responses: 29,
                ..sample(100.0)
            },
            RunReport {
                measured_responses: 99,
                ..sample(100.0)
            },
            RunReport {
                wrong_responses: 1,
                ..sample(100.0)
            },
            RunReport {
                measured_responses: 0,
                measured_requests: 0,
                ..sample(100.0)
            },
        ] {
            assert!(failed.is_failed(), "{failed:?}");
        }
    }

    #[test]
    fn a_spread_knows_what_is_better() {
        let runs = [4.0, 2.0, 5.0, 1.0].map(|thousands| sample(thousands * 1_000.0));
        let rate = Spread::of(&runs, "packets_per_sec").unwrap();
        assert_eq!((rate.best, rate.worst), (5_000.0, 1_000.0));
        assert_eq!((rate.mean, rate.median), (3_000.0, 3_000.0));
        assert!((rate.deviation - 1_825.741_858).abs() < 1e-3);
        let latency = Spread::of(&runs, "avg_latency_ns").unwrap();
        assert!(latency.best < latency.worst);
    }

    #[test]
    fn failed_runs_do_not_count() {
        let failed = RunReport {
            connection_losses: 1,
            ..sample(9_000.0)
        };
        let runs = [sample(1_000.0), failed.clone()];
        assert_eq!(Spread::of(&runs, "packets_per_sec").unwrap().best, 1_000.0);
        assert_eq!(median_run(&runs).unwrap().packets_per_second(), 1_000.0);
        assert_eq!(Spread::of(&[failed], "packets_per_sec"), None);
        assert!(median_run(&[]).is_none());
    }
}
