//! How long handlers take: a histogram per thread that runs them, written without locks.
//!
//! Reading the clock twice for every message would cost a few hundredths of what a message costs:
//! one batch in [`SAMPLE_EVERY`] is timed, and its time divided by its packets. The distribution
//! that this gives is that of all; a single slow call may be missed.

use crate::stats::counters::Counter;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One batch of packets in so many is timed.
const SAMPLE_EVERY: u32 = 16;
/// Buckets for each doubling: a bucket's bounds differ by a quarter at most.
const STEPS: usize = 4;
/// Times below 2^6 ns share the first bucket.
const FIRST_OCTAVE: u32 = 6;
/// Times from 2^37 ns (137 s) on share the last bucket.
const OCTAVES: usize = 31;
const BUCKETS: usize = OCTAVES * STEPS + 1;

/// The counts of one thread. Only that thread writes.
#[derive(Debug)]
pub(crate) struct HandlerTimes {
    buckets: [Counter; BUCKETS],
    total_ns: Counter,
}

impl Default for HandlerTimes {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Counter::default()),
            total_ns: Counter::default(),
        }
    }
}

impl HandlerTimes {
    /// Notes that `packets` packets took `time` together.
    pub(crate) fn record(&self, time: Duration, packets: u64) {
        let total = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let each = total / packets.max(1);
        self.buckets[bucket_of(each)].add(1);
        self.total_ns.add(each);
    }

    pub(crate) fn add_to(&self, snapshot: &mut HandlerTimesSnapshot) {
        for (sum, count) in snapshot.counts.iter_mut().zip(&self.buckets) {
            *sum += count.get();
        }
        snapshot.total_ns += self.total_ns.get();
    }
}

/// Decides which batches are timed. Belongs to one thread.
#[derive(Debug, Default)]
pub(crate) struct Sampler(u32);

impl Sampler {
    /// The time, for one batch in [`SAMPLE_EVERY`], the first one included.
    #[inline]
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        if self.0 > 0 {
            self.0 -= 1;
            return None;
        }
        self.0 = SAMPLE_EVERY - 1;
        Some(Instant::now())
    }
}

/// What an event worker times its batches with.
pub(crate) struct Stopwatch {
    times: Arc<HandlerTimes>,
    sampler: Sampler,
}

impl Stopwatch {
    pub(crate) fn new(times: Arc<HandlerTimes>) -> Self {
        Self {
            times,
            sampler: Sampler::default(),
        }
    }

    /// The time, if the batch that begins is to be timed.
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        self.sampler.begin()
    }

    /// The batch that began then had `packets` packets. One without any, which only tells of a
    /// session's begin or end, is no sample: the next one is timed in its place.
    pub(crate) fn end(&mut self, began: Option<Instant>, packets: usize) {
        match began {
            Some(began) if packets > 0 => self.times.record(began.elapsed(), packets as u64),
            Some(_) => self.sampler = Sampler::default(),
            None => {}
        }
    }
}

/// How long handlers took for a packet, in samples since the service started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandlerTimesSnapshot {
    counts: Vec<u64>,
    total_ns: u64,
}

impl Default for HandlerTimesSnapshot {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total_ns: 0,
        }
    }
}

impl HandlerTimesSnapshot {
    /// Samples in all. It never falls.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the samples' times.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns)
    }

    /// The time that at most `1 - quantile` of the samples exceed, up to a quarter too long; zero
    /// without samples. `quantile` is from 0 to 1.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let samples = self.samples();
        if samples == 0 {
            return Duration::ZERO;
        }
        let share = (samples as f64 * quantile.clamp(0.0, 1.0)).ceil();
        let wanted = (share as u64).clamp(1, samples);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_bound(bucket));
            }
        }
        Duration::ZERO
    }

    /// Each bucket's upper bound, and how many samples are at most that: as Prometheus has
    /// histograms, in doublings.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut seen = 0;
        let all = self.counts.iter().enumerate().map(move |(bucket, count)| {
            seen += count;
            (bucket, seen)
        });
        all.filter(|(bucket, _)| bucket % STEPS == 0)
            .map(|(bucket, seen)| (Duration::from_nanos(upper_bound(bucket)), seen))
    }

    /// What came since `earlier`, a snapshot of the same service.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.counts.iter().zip(&earlier.counts);
        Self {
            counts: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            total_ns: self.total_ns.saturating_sub(earlier.total_ns),
        }
    }
}

/// The bucket of a time. Bucket 0 ends at 2^FIRST_OCTAVE; each further octave has `STEPS` of them.
fn bucket_of(ns: u64) -> usize {
    // Bounds belong to the bucket below them.
    let below = ns.saturating_sub(1);
    let octave = below.checked_ilog2().unwrap_or(0);
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let step = (below >> (octave - 2)) & 3;
    let bucket = (octave - FIRST_OCTAVE) as usize * STEPS + step as usize + 1;
    bucket.min(BUCKETS - 1)
}

/// The longest time of a bucket, in nanoseconds.
fn upper_bound(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(1) else {
        return 1 << FIRST_OCTAVE;
    };
    let base = 1_u64 << (FIRST_OCTAVE as usize + above / STEPS);
    base + base / STEPS as u64 * (above % STEPS + 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_ends_at_it_or_above() {
        for ns in [
            0,
            1,
            63,
            64,
            65,
            80,
            81,
            127,
            128,
            129,
            999,
            1_000,
            1 << 20,
            3 << 30,
        ] {
            let bucket = bucket_of(ns);
            assert!(ns <= upper_bound(bucket), "{ns} in bucket {bucket}");
            assert!(
                bucket == 0 || ns > upper_bound(bucket - 1),
                "{ns} in bucket {bucket}"
            );
        }
        for bucket in 1..BUCKETS {
            let (low, high) = (upper_bound(bucket - 1), upper_bound(bucket));
            assert!(
                low < high && high <= low + low.div_ceil(4),
                "bucket {bucket}"
            );
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let times = HandlerTimes::default();
        for us in 1..=1000 {
            times.record(Duration::from_micros(us), 1);
        }
        let mut snapshot = HandlerTimesSnapshot::default();
        assert_eq!(snapshot.quantile(0.99), Duration::ZERO);
        times.add_to(&mut snapshot);
        assert_eq!(snapshot.samples(), 1000);
        assert_eq!(snapshot.total(), Duration::from_micros(500_500));
        for (quantile, us) in [(0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1000)] {
            let exact = Duration::from_micros(us);
            let told = snapshot.quantile(quantile);
            assert!(
                exact <= told && told <= exact * 5 / 4,
                "{quantile}: {told:?}"
            );
        }
    }

    #[test]
    fn a_batch_counts_once_with_its_time_per_packet() {
        let times = HandlerTimes::default();
        times.record(Duration::from_micros(1_000), 10);
        let mut before = HandlerTimesSnapshot::default();
        times.add_to(&mut before);
        assert!(before.quantile(1.0) <= Duration::from_micros(125));
        times.record(Duration::from_millis(5), 1);
        let mut after = HandlerTimesSnapshot::default();
        times.add_to(&mut after);
        let since = after.since(&before);
        assert_eq!(since.samples(), 1);
        assert!(since.quantile(0.5) >= Duration::from_millis(5));
        let last = after.cumulative().last().map(|(_, count)| count);
        assert_eq!(last, Some(2));
    }

    #[test]
    fn a_batch_without_packets_does_not_take_the_sample_of_the_next() {
        let times = Arc::new(HandlerTimes::default());
        let mut stopwatch = Stopwatch::new(times.clone());
        for packets in [0, 0, 1, 1] {
            let began = stopwatch.begin();
            stopwatch.end(began, packets);
        }
        let mut snapshot = HandlerTimesSnapshot::default();
        times.add_to(&mut snapshot);
        assert_eq!(snapshot.samples(), 1);
    }

    #[test]
    fn one_batch_in_sixteen_is_timed() {
        let mut sampler = Sampler::default();
        let timed = (0..160).filter(|_| sampler.begin().is_some()).count();
        assert_eq!(timed, 10);
    }
}
