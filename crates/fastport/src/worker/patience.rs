//! How a worker waits when it has nothing to do: in the kernel at once, or first by looking again.
//!
//! Sleeping costs more than it looks: a halted processor has to be woken. Whoever pays for a
//! processor anyway gets that time back by looking again for a while ([`WaitStrategy::Spin`]), and
//! may leave it to the worker to see whether it pays ([`WaitStrategy::Adaptive`]): it does while
//! work comes, on average, before the limit.

use crate::config::WaitStrategy;
use std::time::{Duration, Instant};

/// A gap counts as so many limits at most, so that a long silence is soon forgotten.
const GAP_MAX: u32 = 4;
/// Of so many gaps the average is made; newer ones count more.
const GAPS: u32 = 8;

/// What a worker knows of its own pauses.
#[derive(Debug)]
pub(crate) struct Patience {
    strategy: WaitStrategy,
    limit: Duration,
    idle_since: Option<Instant>,
    average_gap: Duration,
}

impl Patience {
    pub(crate) const fn new(strategy: WaitStrategy, limit: Duration) -> Self {
        Self {
            strategy,
            limit,
            idle_since: None,
            average_gap: limit,
        }
    }

    /// Whether the worker looks again instead of sleeping. `now` is the time of its last turn.
    pub(crate) fn looks_again(&mut self, now: Instant) -> bool {
        let pays = match self.strategy {
            WaitStrategy::Block => return false,
            WaitStrategy::Spin => true,
            WaitStrategy::Adaptive => self.average_gap <= self.limit,
        };
        let since = *self.idle_since.get_or_insert(now);
        pays && now.saturating_duration_since(since) < self.limit
    }

    /// Notes that a turn which began at `now` had work.
    pub(crate) fn note_work(&mut self, now: Instant) {
        if let Some(since) = self.idle_since.take() {
            let gap = now.saturating_duration_since(since);
            let gap = gap.min(self.limit * GAP_MAX);
            self.average_gap = (self.average_gap * (GAPS - 1) + gap) / GAPS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);

    /// Where the time of a test begins; it does not matter when that is.
    fn start() -> Instant {
        Instant::now()
    }

    fn us(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    /// Work comes every `gap`; how many of the gaps ended while the worker was looking.
    fn caught(patience: &mut Patience, now: &mut Instant, gap: Duration, gaps: u32) -> u32 {
        let mut caught = 0;
        for _ in 0..gaps {
            let work = *now + gap;
            let mut looks = true;
            while looks && *now < work {
                looks = patience.looks_again(*now);
                *now += us(1);
            }
            caught += u32::from(looks);
            *now = work;
            patience.note_work(*now);
        }
        caught
    }

    #[test]
    fn block_never_looks_again_and_spin_does_until_its_limit() {
        let mut now = start();
        let mut block = Patience::new(WaitStrategy::Block, LIMIT);
        assert_eq!(caught(&mut block, &mut now, us(2), 100), 0);
        let mut spin = Patience::new(WaitStrategy::Spin, LIMIT);
        assert_eq!(caught(&mut spin, &mut now, us(40), 100), 100);
        assert_eq!(caught(&mut spin, &mut now, us(60), 100), 0);
    }

    #[test]
    fn adaptive_looks_again_while_it_pays_and_begins_anew_when_it_would() {
        let mut now = start();
        let mut adaptive = Patience::new(WaitStrategy::Adaptive, LIMIT);
        assert_eq!(caught(&mut adaptive, &mut now, us(30), 100), 100);
        caught(&mut adaptive, &mut now, us(10_000), 100);
        // It sleeps at once now.
        assert!(!adaptive.looks_again(now));
        let again = caught(&mut adaptive, &mut now, us(10), 100);
        assert!(again > 80, "{again} of 100");
    }
}
