//! How a run went over its time: responses and latencies of each stretch of it.
//!
//! The number of stretches is bounded; a run that is longer than they are gets stretches of twice
//! the length, as often as it takes. Recording takes no memory and some nanoseconds.

/// The shortest stretch.
const WIDTH_MIN_NS: u64 = 100_000_000;
/// Most stretches of a run; even, since they are merged in pairs.
const STRETCHES_MAX: usize = 240;
/// Each octave of a latency is told apart in so many steps: a percentile is right to 12 %.
const STEPS: u64 = 8;
/// Enough for every latency of 64 bits.
const BUCKETS: usize = (65 - STEPS.ilog2() as usize) * STEPS as usize;

/// The stretches of a run, or of what one thread saw of it.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// When it begins, by the run's clock.
    begin_ns: u64,
    width_ns: u64,
    stretches: Vec<Stretch>,
}

/// What came within one stretch.
#[derive(Clone, Debug)]
struct Stretch {
    responses: u64,
    most_ns: u64,
    buckets: Box<[u32; BUCKETS]>,
}

/// A stretch as it is shown.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Point {
    /// Seconds from the begin of the run to the middle of the stretch.
    pub(crate) at_s: f64,
    /// Responses a second.
    pub(crate) rate: f64,
    /// Median latency; `None` when nothing came, as for the next two.
    pub(crate) p50_ns: Option<u64>,
    /// The latency that 99 of 100 do not exceed.
    pub(crate) p99_ns: Option<u64>,
    /// The longest latency.
    pub(crate) most_ns: Option<u64>,
}

impl Timeline {
    /// A timeline that begins when the run's clock does.
    pub(crate) fn new() -> Self {
        Self {
            begin_ns: 0,
            width_ns: WIDTH_MIN_NS,
            stretches: Vec::with_capacity(STRETCHES_MAX),
        }
    }

    /// Begins anew at this time.
    pub(crate) fn begin(&mut self, begin_ns: u64) {
        *self = Self {
            begin_ns,
            ..Self::new()
        };
    }

    /// Counts a response that came at `now_ns`.
    #[inline]
    pub(crate) fn record(&mut self, now_ns: u64, latency_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.begin_ns);
        let stretch = self.stretch(since_ns);
        stretch.responses += 1;
        stretch.most_ns = stretch.most_ns.max(latency_ns);
        stretch.buckets[bucket(latency_ns)] += 1;
    }

    /// Adds what another thread saw of the same run.
    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        if self.stretches.is_empty() {
            *self = other;
            return;
        }
        while self.width_ns < other.width_ns {
            self.halve();
        }
        while other.width_ns < self.width_ns {
            other.halve();
        }
        for (index, stretch) in other.stretches.iter().enumerate() {
            if index < self.stretches.len() {
                self.stretches[index].add(stretch);
            } else {
                self.stretches.push(stretch.clone());
            }
        }
    }

    /// The stretches in their order. The last one is shorter than the others: its rate is of
    /// `elapsed_ns`, when the run ended.
    pub(crate) fn points(&self, elapsed_ns: u64) -> Vec<Point> {
        let points = self.stretches.iter().enumerate();
        points
            .map(|(index, stretch)| {
                let begin_ns = index as u64 * self.width_ns;
                let width_ns = elapsed_ns.saturating_sub(begin_ns).clamp(1, self.width_ns);
                let percentile = |percent| stretch.percentile_ns(percent);
                Point {
                    at_s: (begin_ns as f64 + width_ns as f64 / 2.0) / 1e9,
                    rate: stretch.responses as f64 * 1e9 / width_ns as f64,
                    p50_ns: percentile(50),
                    p99_ns: percentile(99),
                    most_ns: (stretch.responses > 0).then_some(stretch.most_ns),
                }
            })
            .collect()
    }

    #[inline]
    fn stretch(&mut self, since_ns: u64) -> &mut Stretch {
        while since_ns / self.width_ns >= STRETCHES_MAX as u64 {
            self.halve();
        }
        let index = (since_ns / self.width_ns) as usize;
        while self.stretches.len() <= index {
            self.stretches.push(Stretch::new());
        }
        &mut self.stretches[index]
    }

    /// Half as many stretches of twice the length.
    #[cold]
    fn halve(&mut self) {
        self.width_ns *= 2;
        let stretches = std::mem::take(&mut self.stretches);
        for (index, stretch) in stretches.into_iter().enumerate() {
            match self.stretches.get_mut(index / 2) {
                Some(whole) => whole.add(&stretch),
                None => self.stretches.push(stretch),
            }
        }
    }
}

impl Stretch {
    fn new() -> Self {
        Self {
            responses: 0,
            most_ns: 0,
            buckets: Box::new([0; BUCKETS]),
        }
    }

    fn add(&mut self, other: &Self) {
        self.responses += other.responses;
        self.most_ns = self.most_ns.max(other.most_ns);
        for (own, more) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *own = own.saturating_add(*more);
        }
    }

    /// The upper end of the bucket that the percentile is in, no more than the longest latency.
    fn percentile_ns(&self, percent: u64) -> Option<u64> {
        let rank = (self.responses * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        found.map(|index| upper_end(index).min(self.most_ns))
    }
}

/// Which bucket a latency is counted in: those below `STEPS` have one each, then each octave has
/// `STEPS`.
#[inline]
fn bucket(latency_ns: u64) -> usize {
    if latency_ns < STEPS {
        return latency_ns as usize;
    }
    let octave = u64::from(latency_ns.ilog2() - STEPS.ilog2());
    let step = (latency_ns >> octave) & (STEPS - 1);
    ((octave + 1) * STEPS + step) as usize
}

/// The longest latency that is counted in a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (octave, step) = (bucket / STEPS - 1, bucket % STEPS);
    let next = u128::from(STEPS + step + 1) << octave;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_latency_is_in_the_bucket_whose_ends_enclose_it() {
        let around = (0..64).flat_map(|shift| {
            let power = 1u64 << shift;
            [power - 1, power, power + power / 3]
        });
        for latency in around.chain([u64::MAX]) {
            let index = bucket(latency);
            assert!(index < BUCKETS, "{latency}");
            assert!(latency <= upper_end(index), "{latency}");
            assert!(index == 0 || latency > upper_end(index - 1), "{latency}");
        }
    }

    #[test]
    fn percentiles_are_right_to_an_eighth() {
        let mut timeline = Timeline::new();
        timeline.begin(5 * SECOND);
        for latency in 1..=1_000u64 {
            timeline.record(5 * SECOND + 50_000_000, latency * 1_000);
        }
        let points = timeline.points(WIDTH_MIN_NS);
        assert_eq!(points.len(), 1);
        assert_eq!(points[0].rate, 10_000.0);
        assert_eq!(points[0].most_ns, Some(1_000_000));
        let (p50, p99) = (points[0].p50_ns.unwrap(), points[0].p99_ns.unwrap());
        assert!((500_000..=562_500).contains(&p50), "{p50}");
        assert!((990_000..=1_000_000).contains(&p99), "{p99}");
    }

    #[test]
    fn a_long_run_has_longer_stretches_and_loses_nothing() {
        let mut timeline = Timeline::new();
        for second in 0..3_600u64 {
            timeline.record(second * SECOND, 1_000 + second);
        }
        assert!(timeline.stretches.len() <= STRETCHES_MAX);
        assert!(timeline.stretches.len() > STRETCHES_MAX / 4);
        let responses: u64 = timeline.stretches.iter().map(|s| s.responses).sum();
        assert_eq!(responses, 3_600);
        let most = timeline.stretches.iter().map(|s| s.most_ns).max();
        assert_eq!(most, Some(4_599));
    }

    #[test]
    fn threads_with_different_stretches_are_added_by_time() {
        let (mut short, mut long) = (Timeline::new(), Timeline::new());
        for tenth in 0..600u64 {
            long.record(tenth * WIDTH_MIN_NS, 1_000);
        }
        for tenth in 0..100u64 {
            short.record(tenth * WIDTH_MIN_NS, 1_000);
        }
        let mut sums = [short.clone(), long.clone()];
        sums[0].add(&long);
        sums[1].add(&short);
        for sum in sums {
            let points = sum.points(60 * SECOND);
            let rates = |from: f64, to: f64| {
                let within = points.iter().filter(|p| p.at_s > from && p.at_s < to);
                within.map(|point| point.rate).collect::<Vec<_>>()
            };
            assert!(rates(0.0, 9.0).iter().all(|rate| (rate - 20.0).abs() < 0.1));
            assert!(
                rates(11.0, 59.0)
                    .iter()
                    .all(|rate| (rate - 10.0).abs() < 0.1)
            );
        }
    }

    #[test]
    fn the_last_stretch_is_as_long_as_the_run_was() {
        let mut timeline = Timeline::new();
        for _ in 0..10 {
            timeline.record(WIDTH_MIN_NS + 1, 5);
        }
        let points = timeline.points(WIDTH_MIN_NS + WIDTH_MIN_NS / 2);
        assert_eq!((points[0].rate, points[0].p50_ns), (0.0, None));
        assert_eq!(points[1].rate, 200.0);
    }
}
