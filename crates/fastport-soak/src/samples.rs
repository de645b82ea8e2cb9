//! What `/proc` said of a server over time, and whether it stayed level.

use std::time::Duration;

/// One look.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Since the load began.
    pub(crate) at: Duration,
    /// Resident memory, KiB.
    pub(crate) resident_kib: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Processor time that was used since the process began.
    pub(crate) processor: Duration,
}

/// Memory may differ so much between two times of a run: what the allocator keeps depends on which
/// clients were there last.
const LEVEL_KIB: u64 = 8 * 1024;

/// What a run's samples say.
#[derive(Debug, Default)]
pub(crate) struct Trend {
    /// Medians of each fifth of the run.
    pub(crate) resident_kib: [u64; 5],
    pub(crate) resident_max_kib: u64,
    pub(crate) descriptors_max: u64,
    pub(crate) threads_min: u64,
    pub(crate) threads_max: u64,
    /// Of one processor, per cent.
    pub(crate) processor_percent: f64,
}

impl Trend {
    /// Sums samples up.
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            return Self::default();
        };
        let resident = |fifth: usize| {
            let part = &samples[samples.len() * fifth / 5..samples.len() * (fifth + 1) / 5];
            median(part.iter().map(|sample| sample.resident_kib).collect())
        };
        let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
        let wall = last.at.saturating_sub(first.at).as_secs_f64();
        let used = last.processor.saturating_sub(first.processor).as_secs_f64();
        Self {
            resident_kib: [0, 1, 2, 3, 4].map(resident),
            resident_max_kib: most(|sample| sample.resident_kib),
            descriptors_max: most(|sample| sample.descriptors),
            threads_min: samples
                .iter()
                .map(|sample| sample.threads)
                .min()
                .unwrap_or(0),
            threads_max: most(|sample| sample.threads),
            processor_percent: 100.0 * used / wall.max(0.001),
        }
    }

    /// Whether memory stayed level: the last fifth is no more than a twentieth, or 8 MiB, above
    /// the second one. The first is when the server meets each kind of client for the first time.
    pub(crate) fn is_memory_level(&self) -> bool {
        let [_, second, _, _, last] = self.resident_kib;
        last <= second + (second / 20).max(LEVEL_KIB)
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(resident_kib: impl Fn(u64) -> u64) -> Trend {
        let samples: Vec<_> = (0..100)
            .map(|second| Sample {
                at: Duration::from_secs(second),
                resident_kib: resident_kib(second),
                descriptors: 20 + second % 3,
                threads: 5,
                processor: Duration::from_millis(second * 250),
            })
            .collect();
        Trend::of(&samples)
    }

    #[test]
    fn peaks_are_level_and_growth_is_not() {
        let peaks = run(|second| 40_000 + 30_000 * u64::from(second % 10 == 0));
        assert!(peaks.is_memory_level());
        assert_eq!(
            (peaks.resident_max_kib, peaks.descriptors_max),
            (70_000, 22)
        );
        assert!(!run(|second| 40_000 + 200 * second).is_memory_level());
    }

    #[test]
    fn processor_time_is_a_share_of_the_run() {
        assert!((run(|_| 1).processor_percent - 25.0).abs() < 0.01);
        assert_eq!(Trend::of(&[]).threads_max, 0);
    }
}
