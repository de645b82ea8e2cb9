//! What a run must keep for the command to succeed: for a pipeline that has to fail when a change
//! makes the server worse. No I/O here.

use super::report::RunReport;
use crate::quantity::{show_duration, show_ns};
use std::time::Duration;

/// The limits that were asked for.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub(crate) struct Limits {
    /// Most of the median over the runs of the latency that 99 of 100 do not exceed.
    pub(crate) p99_max: Option<Duration>,
    /// Most of the requests of a run that may have no right answer, in percent. Without it a run
    /// that loses anything fails.
    pub(crate) loss_max: Option<f64>,
}

impl Limits {
    /// What the runs of a server break, in words; empty when they keep everything.
    pub(crate) fn broken_by(&self, runs: &[RunReport]) -> Vec<String> {
        let mut broken = Vec::new();
        match self.loss_max {
            None => broken.extend(failed(runs)),
            Some(limit) => broken.extend(lossy(runs, limit)),
        }
        if let Some(limit) = self.p99_max {
            let p99 = median_p99_ns(runs).map_or(f64::INFINITY, |ns| ns as f64);
            // Nothing measured keeps no limit.
            if p99 > limit.as_nanos() as f64 {
                let (p99, limit) = (show_ns(p99), show_duration(limit));
                broken.push(format!("p99 is {p99}, --max-p99 is {limit}"));
            }
        }
        broken
    }
}

/// Of the runs in which something was measured, whatever they lost; the higher one in the middle.
fn median_p99_ns(runs: &[RunReport]) -> Option<u64> {
    let measured = runs.iter().filter(|run| run.measured_responses > 0);
    let mut p99: Vec<u64> = measured
        .map(|run| run.latencies.percentile_ns(99.0))
        .collect();
    p99.sort_unstable();
    p99.get(p99.len() / 2).copied()
}

fn failed(runs: &[RunReport]) -> Option<String> {
    let failed: Vec<_> = runs.iter().filter(|run| run.is_failed()).collect();
    let first = failed.first()?;
    let why = first.first_loss.as_deref();
    Some(format!(
        "{} of {} runs failed: {}",
        failed.len(),
        runs.len(),
        why.unwrap_or("not everything came back")
    ))
}

fn lossy(runs: &[RunReport], limit: f64) -> Option<String> {
    let most = runs.iter().map(loss).fold(0.0, f64::max);
    (most > limit).then(|| format!("a run lost {most:.3} % of its requests, --max-loss is {limit}"))
}

/// The share of a run's requests without a right answer, in percent; all of them when there were no
/// answers. Sessions that were not made count with what they would have asked.
fn loss(run: &RunReport) -> f64 {
    if run.measured_responses == 0 || run.measured_requests == 0 {
        return 100.0;
    }
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64 * 100.0;
    let unanswered = run.measured_requests.saturating_sub(run.measured_responses);
    let sessions = run.plan.sessions as u64;
    let kept = run.connected_sessions.saturating_sub(run.connection_losses);
    let gone = sessions.saturating_sub(kept);
    share(unanswered, run.measured_requests).max(share(gone, sessions))
}

#[cfg(test)]
mod tests {
    use super::super::report::sample;
    use super::*;

    /// Whose p99 is 99 % of a second's thousandth part times thousand: see `sample`.
    fn run() -> RunReport {
        sample(1_000.0)
    }

    fn with_answers(measured_responses: u64) -> RunReport {
        RunReport {
            measured_responses,
            ..run()
        }
    }

    #[test]
    fn without_limits_any_loss_is_a_failure() {
        let limits = Limits::default();
        assert_eq!(limits.broken_by(&[run()]), Vec::<String>::new());
        assert!(limits.broken_by(&[run(), with_answers(999)])[0].contains("1 of 2 runs"));
    }

    #[test]
    fn a_loss_is_measured_against_its_limit() {
        let limits = |loss| Limits {
            loss_max: Some(loss),
            ..Limits::default()
        };
        assert!(limits(1.0).broken_by(&[with_answers(990)]).is_empty());
        assert!(limits(1.0).broken_by(&[run(), with_answers(989)])[0].contains("1.100 %"));
        assert!(limits(0.0).broken_by(&[run()]).is_empty());
        assert_eq!(limits(0.0).broken_by(&[with_answers(999)]).len(), 1);
        // Sessions that are gone can not hide behind answers to the others.
        let lost = RunReport {
            connection_losses: 1,
            ..run()
        };
        assert_eq!(limits(1.0).broken_by(&[lost]).len(), 1);
        // A server that answers nothing has lost everything.
        assert_eq!(limits(99.0).broken_by(&[with_answers(0)]).len(), 1);
    }

    #[test]
    fn the_median_p99_is_measured_against_its_limit() {
        let p99 = run().latencies.percentile_ns(99.0);
        let limits = |ns| Limits {
            p99_max: Some(Duration::from_nanos(ns)),
            ..Limits::default()
        };
        assert!(limits(p99).broken_by(&[run()]).is_empty());
        assert!(limits(p99 - 1).broken_by(&[run()])[0].contains("--max-p99"));
        // One slow run of three is not the median.
        let slow = RunReport {
            latencies: sample(10.0).latencies,
            ..run()
        };
        assert!(
            limits(p99)
                .broken_by(&[run(), slow.clone(), run()])
                .is_empty()
        );
        assert_eq!(limits(p99).broken_by(&[slow.clone(), slow, run()]).len(), 1);
        assert_eq!(limits(p99).broken_by(&[]).len(), 1);
    }
}
