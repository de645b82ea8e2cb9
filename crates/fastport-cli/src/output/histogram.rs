//! Latencies, counted so that percentiles are right to three digits and average and deviation
//! exactly.

use hdrhistogram::Histogram;

/// The longest latency that is told apart, in nanoseconds: 10 minutes. Longer ones count as this,
/// but for the maximum, the average and the deviation.
const LONGEST_NS: u64 = 600_000_000_000;

/// Latencies in nanoseconds. Recording takes no memory and some 10 ns.
#[derive(Clone, Debug)]
pub(crate) struct LatencyHistogram {
    buckets: Histogram<u64>,
    least_ns: u64,
    most_ns: u64,
    sum_ns: u128,
    sum_of_squares: u128,
}

impl LatencyHistogram {
    /// Without latencies.
    pub(crate) fn new() -> Self {
        Self {
            // The bounds are constants that the constructor accepts; a histogram that grows is the
            // same but for an allocation.
            buckets: Histogram::new_with_max(LONGEST_NS, 3)
                .unwrap_or_else(|_| unreachable!("constant bounds")),
            least_ns: u64::MAX,
            most_ns: 0,
            sum_ns: 0,
            sum_of_squares: 0,
        }
    }

    /// Counts a latency.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.buckets.saturating_record(latency_ns);
        self.least_ns = self.least_ns.min(latency_ns);
        self.most_ns = self.most_ns.max(latency_ns);
        self.sum_ns += u128::from(latency_ns);
        self.sum_of_squares += u128::from(latency_ns) * u128::from(latency_ns);
    }

    /// Adds what another one counted.
    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so that nothing can be out of range.
        let added = self.buckets.add(&other.buckets);
        debug_assert!(added.is_ok());
        self.least_ns = self.least_ns.min(other.least_ns);
        self.most_ns = self.most_ns.max(other.most_ns);
        self.sum_ns += other.sum_ns;
        self.sum_of_squares += other.sum_of_squares;
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.len()
    }

    /// The shortest; 0 when there is none.
    pub(crate) fn least_ns(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.least_ns }
    }

    /// The longest; 0 when there is none.
    pub(crate) fn most_ns(&self) -> u64 {
        self.most_ns
    }

    /// The average; 0 when there is none.
    pub(crate) fn average_ns(&self) -> f64 {
        if self.count() == 0 {
            0.0
        } else {
            self.sum_ns as f64 / self.count() as f64
        }
    }

    /// The standard deviation of what was counted (all of it, no sample); 0 when there is none.
    pub(crate) fn deviation_ns(&self) -> f64 {
        if self.count() == 0 {
            return 0.0;
        }
        let average = self.average_ns();
        let variance = self.sum_of_squares as f64 / self.count() as f64 - average * average;
        variance.max(0.0).sqrt()
    }

    /// The latency that `percent` of all do not exceed, right to three digits; 0 when there is
    /// none.
    pub(crate) fn percentile_ns(&self, percent: f64) -> u64 {
        if self.count() == 0 {
            return 0;
        }
        // A bucket's upper end can lie above what was counted.
        self.buckets
            .value_at_quantile(percent / 100.0)
            .min(self.most_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latencies = LatencyHistogram::new();
        for latency in 1..=100_000u64 {
            latencies.record(latency * 1_000);
        }
        for (percent, expected) in [
            (50.0, 50e6),
            (90.0, 90e6),
            (95.0, 95e6),
            (99.0, 99e6),
            (99.9, 99.9e6),
            (100.0, 100e6),
        ] {
            let found = latencies.percentile_ns(percent) as f64;
            assert!(
                (found - expected).abs() <= expected * 0.001,
                "{percent}: {found}"
            );
        }
    }

    #[test]
    fn average_and_deviation_are_exact() {
        let mut latencies = LatencyHistogram::new();
        for latency in [2, 4, 4, 4, 5, 5, 7, 9] {
            latencies.record(latency * 1_000_003);
        }
        assert_eq!(latencies.average_ns(), 5.0 * 1_000_003.0);
        assert!((latencies.deviation_ns() - 2.0 * 1_000_003.0).abs() < 1.0);
        assert_eq!(
            (latencies.least_ns(), latencies.most_ns()),
            (2_000_006, 9_000_027)
        );
    }

    #[test]
    fn nothing_counted_is_zero_everywhere() {
        let latencies = LatencyHistogram::new();
        assert_eq!(
            (latencies.least_ns(), latencies.most_ns(), latencies.count()),
            (0, 0, 0)
        );
        assert_eq!(
            (latencies.average_ns(), latencies.deviation_ns()),
            (0.0, 0.0)
        );
        assert_eq!(latencies.percentile_ns(99.0), 0);
    }

    #[test]
    fn sums_do_not_depend_on_who_counted() {
        let (mut one, mut other, mut both) = (
            LatencyHistogram::new(),
            LatencyHistogram::new(),
            LatencyHistogram::new(),
        );
        for latency in 1..1_000u64 {
            let part = if latency % 3 == 0 {
                &mut one
            } else {
                &mut other
            };
            part.record(latency * latency);
            both.record(latency * latency);
        }
        one.add(&other);
        assert_eq!(one.count(), both.count());
        assert_eq!(one.percentile_ns(95.0), both.percentile_ns(95.0));
        assert_eq!(one.average_ns(), both.average_ns());
        assert_eq!(one.deviation_ns(), both.deviation_ns());
    }

    #[test]
    fn a_latency_beyond_the_longest_keeps_its_maximum() {
        let mut latencies = LatencyHistogram::new();
        latencies.record(2 * LONGEST_NS);
        assert_eq!(latencies.most_ns(), 2 * LONGEST_NS);
        assert_eq!(latencies.count(), 1);
    }
}
