//! Two servers beside each other: how many times as fast one is as the other, and how sure that is.
//!
//! Runs are paired by round, since what disturbs a machine for a while disturbs both runs of a
//! round. The ratio of a round is second by first; what is told is the geometric mean over the
//! rounds with its confidence interval, by Student's t on the logarithms. No I/O here.

use super::report::{RunReport, Value};

/// Which rounds begin with the second server: every other one, so that what changes over time does
/// not favour one.
pub(crate) fn begins_with_second(round: usize) -> bool {
    round % 2 == 1
}

/// What is compared, and whether more of it is better.
pub(crate) const COLUMNS: [(&str, bool); 4] = [
    ("packets_per_sec", true),
    ("avg_latency_ns", false),
    ("p50_latency_ns", false),
    ("p99_latency_ns", false),
];

/// How often the interval holds the true ratio, in percent.
pub(crate) const CONFIDENCE: u32 = 95;

/// The ratio of a column, second server by first.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Ratio {
    /// The geometric mean over the rounds.
    pub(crate) mean: f64,
    /// The lower end of the interval.
    pub(crate) low: f64,
    /// The upper end of the interval.
    pub(crate) high: f64,
    /// Rounds that it is from: those in which neither run failed.
    pub(crate) rounds: usize,
}

/// What the interval says about the second server.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is better.
    Better,
    /// It is worse.
    Worse,
    /// The interval holds 1.
    NoDifference,
}

impl Ratio {
    /// The ratio of a column; `None` with fewer than two rounds in which neither failed.
    pub(crate) fn of(first: &[RunReport], second: &[RunReport], column: &str) -> Option<Self> {
        let pairs = first.iter().zip(second);
        let passed = pairs.filter(|(first, second)| !first.is_failed() && !second.is_failed());
        let logarithms = passed.map(|(first, second)| {
            let (first, second) = (number(first, column), number(second, column));
            (second / first).ln()
        });
        Self::of_logarithms(&logarithms.collect::<Vec<_>>())
    }

    fn of_logarithms(logarithms: &[f64]) -> Option<Self> {
        let rounds = logarithms.len();
        if rounds < 2 || logarithms.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let count = rounds as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let squares: f64 = logarithms.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let reach = students_t(rounds - 1) * error;
        Some(Self {
            mean: mean.exp(),
            low: (mean - reach).exp(),
            high: (mean + reach).exp(),
            rounds,
        })
    }

    /// What it says, where more is better or less is.
    pub(crate) fn verdict(&self, more_is_better: bool) -> Verdict {
        if self.low <= 1.0 && self.high >= 1.0 {
            Verdict::NoDifference
        } else if (self.mean > 1.0) == more_is_better {
            Verdict::Better
        } else {
            Verdict::Worse
        }
    }
}

impl Verdict {
    /// What the second server is, in a word or three.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference seen",
        }
    }
}

fn number(run: &RunReport, column: &str) -> f64 {
    match run.value(column) {
        Value::Count(count) => count as f64,
        Value::Number(number) => number,
        Value::Text(_) => f64::NAN,
    }
}

/// The 97.5 % quantile of Student's t, so that both sides together leave 5 %.
fn students_t(degrees: usize) -> f64 {
    match degrees
        .checked_sub(1)
        .and_then(|index| QUANTILES.get(index))
    {
        Some(quantile) => *quantile,
        // Cornish and Fisher's expansion around the normal quantile; right to four digits here.
        None => {
            let (z, n) = (NORMAL, degrees as f64);
            let first = (z.powi(3) + z) / 4.0;
            let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            z + first / n + second / (n * n)
        }
    }
}

const NORMAL: f64 = 1.959_964;
/// For 1 to 20 degrees of freedom.
const QUANTILES: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
];

#[cfg(test)]
mod tests {
    use super::super::report::sample;
    use super::*;

    fn runs(rates: &[f64]) -> Vec<RunReport> {
        rates.iter().map(|rate| sample(*rate)).collect()
    }

    #[test]
    fn rounds_are_paired() {
        // Both slow down over time; in each round the second is twice as fast.
        let first = runs(&[1_000.0, 2_000.0, 4_000.0]);
        let second = runs(&[2_000.0, 4_000.0, 8_000.0]);
        let ratio = Ratio::of(&first, &second, "packets_per_sec").unwrap();
        assert!((ratio.mean - 2.0).abs() < 1e-9 && (ratio.high - ratio.low) < 1e-9);
        assert_eq!(ratio.rounds, 3);
        assert_eq!(ratio.verdict(true), Verdict::Better);
        assert_eq!(ratio.verdict(false), Verdict::Worse);
    }

    #[test]
    fn the_interval_is_students() {
        // Mean 0.1, standard deviation 0.1, three values: 0.1 +- 4.303 * 0.1 / sqrt(3).
        let ratio = Ratio::of_logarithms(&[0.0, 0.1, 0.2]).unwrap();
        assert!((ratio.mean.ln() - 0.1).abs() < 1e-12);
        assert!((ratio.high.ln() - 0.348_43).abs() < 1e-4, "{ratio:?}");
        assert!((ratio.low.ln() + 0.148_43).abs() < 1e-4, "{ratio:?}");
        assert_eq!(ratio.verdict(true), Verdict::NoDifference);
    }

    #[test]
    fn a_round_with_a_failed_run_does_not_count() {
        let first = runs(&[1_000.0, 1_000.0, 1_000.0]);
        let mut second = runs(&[2_000.0, 9_000.0, 2_000.0]);
        second[1].connection_losses = 1;
        let ratio = Ratio::of(&first, &second, "packets_per_sec").unwrap();
        assert_eq!(ratio.rounds, 2);
        assert!((ratio.mean - 2.0).abs() < 1e-9);
        second[0].connection_losses = 1;
        assert_eq!(Ratio::of(&first, &second, "packets_per_sec"), None);
    }

    #[test]
    fn quantiles_fall_towards_the_normal_one() {
        let values: Vec<f64> = (1..200).map(students_t).collect();
        assert!(
            values.windows(2).all(|pair| pair[1] < pair[0]),
            "{values:?}"
        );
        assert!((students_t(30) - 2.0423).abs() < 1e-3);
        assert!((students_t(120) - 1.9799).abs() < 1e-3);
    }

    #[test]
    fn rounds_alternate() {
        let order: Vec<bool> = (0..4).map(begins_with_second).collect();
        assert_eq!(order, [false, true, false, true]);
    }
}
