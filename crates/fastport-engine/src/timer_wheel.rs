//! Coarse deadlines: a hashed wheel with one lazily re-filed entry per key.
//!
//! There is no timer object per packet and nothing to cancel. A key is filed once; when its bucket
//! comes up the owner looks at what is due now, and files it again for what is due next. A deadline
//! further away than one lap of the wheel is looked at once a lap.

use std::time::{Duration, Instant};

const BUCKETS: usize = 256;

/// Deadlines of keys `T`, each seen at most one tick late and never early.
#[derive(Debug)]
pub struct TimerWheel<T> {
    start: Instant,
    tick: Duration,
    /// The number of the next tick to expire.
    next: u64,
    /// No tick before this one has an entry.
    first: u64,
    buckets: Vec<Vec<(u64, T)>>,
    entries: usize,
}

impl<T> TimerWheel<T> {
    /// Makes an empty wheel that starts now.
    ///
    /// # Panics
    /// When the tick is zero.
    #[must_use]
    pub fn new(now: Instant, tick: Duration) -> Self {
        assert!(!tick.is_zero(), "a tick must take time");
        let buckets = (0..BUCKETS).map(|_| Vec::new()).collect();
        Self {
            start: now,
            tick,
            next: 0,
            first: 0,
            buckets,
            entries: 0,
        }
    }

    /// Files `entry` for `deadline`; a deadline in the past is due at the next tick.
    pub fn insert(&mut self, deadline: Instant, entry: T) {
        let tick = self.tick_after(deadline).max(self.next);
        self.buckets[bucket(tick)].push((tick, entry));
        self.entries += 1;
        self.first = self.first.min(tick);
    }

    /// Calls `due` for each entry whose deadline has passed at `now`, and forgets it. Entries that
    /// `due` returns are filed again.
    pub fn expire(&mut self, now: Instant, mut due: impl FnMut(T) -> Option<(Instant, T)>) {
        let end = self.ticks_until(now);
        // After a long pause one lap visits every bucket.
        let visits = end.saturating_sub(self.next).min(BUCKETS as u64);
        let first = end - visits;
        let mut again = Vec::new();
        for tick in first..end {
            let entries = &mut self.buckets[bucket(tick)];
            let mut index = 0;
            while index < entries.len() {
                if entries[index].0 < end {
                    let (_, entry) = entries.swap_remove(index);
                    self.entries -= 1;
                    again.extend(due(entry));
                } else {
                    index += 1;
                }
            }
        }
        self.next = self.next.max(end);
        for (deadline, entry) in again {
            self.insert(deadline, entry);
        }
    }

    /// When [`TimerWheel::expire`] should be called next: the end of the first tick with an entry,
    /// at most a lap away. `None` when the wheel is empty.
    pub fn next_expiry(&mut self) -> Option<Instant> {
        if self.entries == 0 {
            return None;
        }
        let lap = self.next + BUCKETS as u64;
        let tick = (self.first.max(self.next)..lap)
            .find(|tick| {
                self.buckets[bucket(*tick)]
                    .iter()
                    .any(|entry| entry.0 <= *tick)
            })
            .unwrap_or(lap - 1);
        // Asked twice a turn, so it is not looked for twice.
        self.first = tick;
        Some(self.start + mul(self.tick, tick + 1))
    }

    /// Entries that are filed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nothing is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whole ticks that have passed at `now`: the entries of those are due.
    fn ticks_until(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.start).as_nanos() / self.tick.as_nanos();
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    /// The tick whose end is at or after the deadline.
    fn tick_after(&self, deadline: Instant) -> u64 {
        let until = deadline.saturating_duration_since(self.start).as_nanos();
        u64::try_from(until.div_ceil(self.tick.as_nanos()).saturating_sub(1)).unwrap_or(u64::MAX)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the remainder is below 256"
)]
fn bucket(tick: u64) -> usize {
    (tick % BUCKETS as u64) as usize
}

fn mul(tick: Duration, ticks: u64) -> Duration {
    let nanos = tick.as_nanos().saturating_mul(u128::from(ticks));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn an_entry_is_due_within_a_tick_and_never_early() {
        let start = Instant::now();
        let mut wheel = TimerWheel::new(start, TICK);
        wheel.insert(start + ms(25), 'a');
        let mut seen = Vec::new();
        wheel.expire(start + ms(24), |entry| {
            seen.push(entry);
            None
        });
        assert!(seen.is_empty());
        assert_eq!(wheel.next_expiry(), Some(start + ms(30)));
        wheel.expire(start + ms(30), |entry| {
            seen.push(entry);
            None
        });
        assert_eq!(seen, ['a']);
        assert_eq!(wheel.next_expiry(), None);
    }

    proptest! {
        /// Whatever the deadlines and the steps of the clock, each entry fires once, not early, and
        /// at most one tick after the first look that could have seen it.
        #[test]
        fn fires_once_in_time(
            deadlines in prop::collection::vec(0u64..20_000, 1..40),
            steps in prop::collection::vec(1u64..4_000, 1..60),
        ) {
            let start = Instant::now();
            let mut wheel = TimerWheel::new(start, TICK);
            for (index, deadline) in deadlines.iter().enumerate() {
                wheel.insert(start + ms(*deadline), index);
            }
            let mut fired = vec![0; deadlines.len()];
            let mut now = 0;
            for step in steps {
                now += step;
                wheel.expire(start + ms(now), |index| {
                    fired[index] += 1;
                    None
                });
                for (index, deadline) in deadlines.iter().enumerate() {
                    if fired[index] > 0 {
                        prop_assert!(*deadline <= now, "early");
                    } else {
                        prop_assert!(now < deadline + 10, "late: {deadline} at {now}");
                    }
                    prop_assert!(fired[index] <= 1);
                }
                // Who waits until then is in time for the next one.
                let next = deadlines.iter().zip(&fired).filter(|(_, fired)| **fired == 0);
                let next = next.map(|(deadline, _)| deadline.div_ceil(10) * 10).min();
                if let Some(next) = next {
                    let wait = wheel.next_expiry().unwrap() - start;
                    prop_assert!(wait <= ms(next.max(10)), "{wait:?} for {next}");
                }
            }
        }

        #[test]
        fn a_refiled_entry_comes_again(laps in 1u64..5) {
            let start = Instant::now();
            let mut wheel = TimerWheel::new(start, TICK);
            wheel.insert(start + ms(10), ());
            let mut count = 0;
            for turn in 1..=laps * 300 {
                let now = start + ms(turn * 10);
                wheel.expire(now, |()| { count += 1; Some((now + ms(100), ())) });
            }
            prop_assert_eq!(wheel.len(), 1);
            prop_assert!(count >= laps * 27);
        }
    }
}
