//! What the process itself takes: memory, and processor time since the last look.

use cpu_time::ProcessTime;
use std::time::Instant;

/// Looks at the process. Belongs to the sampler.
pub(crate) struct Gauge {
    cores: f64,
    last: Option<(Instant, ProcessTime)>,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: cores as f64,
            last: None,
        }
    }

    /// Bytes of physical memory; 0 where the system does not tell.
    pub(crate) fn memory_bytes() -> u64 {
        memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem as u64)
    }

    /// Per cent of all cores since the last call, 0 to 100; 0 at first.
    pub(crate) fn cpu_percent(&mut self, now: Instant) -> f64 {
        let used = ProcessTime::now();
        let Some((then, before)) = self.last.replace((now, used)) else {
            return 0.0;
        };
        let wall = now.duration_since(then).as_secs_f64();
        let busy = used.duration_since(before).as_secs_f64();
        if wall > 0.0 {
            (busy / wall / self.cores * 100.0).clamp(0.0, 100.0)
        } else {
            0.0
        }
    }
}
