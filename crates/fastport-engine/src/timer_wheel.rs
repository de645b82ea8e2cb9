//! Coarse deadlines: a hashed wheel with one lazily re-filed entry per key.
//!
//! There is no timer object per packet and nothing to cancel. A key is filed once; when its bucket
//! comes up the owner looks at what is due now, and files it again for what is due next. A deadline
//! further away than one lap of the wheel is looked at once a lap. A bucket gives back the memory
//! of a burst, since a clump of keys moves from bucket to bucket.

use crate::Moment;
use std::time::Duration;

const BUCKETS: usize = 256;
/// Entries for which an emptied bucket keeps room.
const BUCKET_KEEPS: usize = 64;

/// Deadlines of keys `T`, each seen at most one tick late and never early.
#[derive(Debug)]
pub struct TimerWheel<T> {
    start: Moment,
    /// Nanoseconds of a tick.
    tick: u64,
    /// The number of the next tick to expire.
    next: u64,
    /// No tick before this one has an entry.
    first: u64,
    /// What was answered when [`TimerWheel::next_expiry`] was last asked, as long as it is so.
    expiry: Option<Moment>,
    buckets: Vec<Vec<(Moment, T)>>,
    entries: usize,
}

impl<T> TimerWheel<T> {
    /// Makes an empty wheel that starts now.
    ///
    /// # Panics
    /// When the tick is zero, or over 584 years.
    #[must_use]
    pub fn new(now: Moment, tick: Duration) -> Self {
        let tick = u64::try_from(tick.as_nanos()).unwrap_or(0);
        assert!(tick > 0, "a tick must take time, and not for ever");
        let buckets = (0..BUCKETS).map(|_| Vec::new()).collect();
        Self {
            start: now,
            tick,
            next: 0,
            first: 0,
            expiry: None,
            buckets,
            entries: 0,
        }
    }

    /// Files `entry` for `deadline`; a deadline in the past is due at the next tick.
    pub fn insert(&mut self, deadline: Moment, entry: T) {
        let tick = self.tick_after(deadline).max(self.next);
        self.buckets[bucket(tick)].push((deadline, entry));
        self.entries += 1;
        self.first = self.first.min(tick);
        if let Some(expiry) = self.expiry {
            self.expiry = Some(expiry.min(self.begin_of(tick.saturating_add(1))));
        }
    }

    /// Moves the entries whose deadline has passed at `now` to `due`, each with its deadline.
    pub fn expire(&mut self, now: Moment, due: &mut Vec<(Moment, T)>) {
        let end = self.ticks_until(now);
        let end_moment = self.begin_of(end);
        // After a long pause one lap visits every bucket.
        let visits = end.saturating_sub(self.next).min(BUCKETS as u64);
        let before = due.len();
        for tick in end - visits..end {
            let entries = &mut self.buckets[bucket(tick)];
            let mut index = 0;
            while let Some((deadline, _)) = entries.get(index) {
                if *deadline <= end_moment {
                    due.push(entries.swap_remove(index));
                } else {
                    index += 1;
                }
            }
            if entries.capacity() > BUCKET_KEEPS && entries.len() < entries.capacity() / 4 {
                entries.shrink_to(BUCKET_KEEPS);
            }
        }
        self.entries -= due.len() - before;
        self.next = self.next.max(end);
        self.expiry = None;
    }

    /// When [`TimerWheel::expire`] should be called next: the end of the first tick with an entry,
    /// at most a lap away. `None` when the wheel is empty.
    #[inline]
    pub fn next_expiry(&mut self) -> Option<Moment> {
        // Asked twice a turn, so it is not looked for twice.
        if self.expiry.is_none() {
            self.expiry = self.find_expiry();
        }
        self.expiry
    }

    fn find_expiry(&mut self) -> Option<Moment> {
        if self.entries == 0 {
            return None;
        }
        let lap = self.next + BUCKETS as u64;
        let tick = (self.first.max(self.next)..lap)
            .find(|tick| {
                let end = self.begin_of(tick + 1);
                let mut entries = self.buckets[bucket(*tick)].iter();
                entries.any(|(deadline, _)| *deadline <= end)
            })
            .unwrap_or(lap - 1);
        self.first = tick;
        Some(self.begin_of(tick + 1))
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
    fn ticks_until(&self, now: Moment) -> u64 {
        self.since_start(now) / self.tick
    }

    /// The tick whose end is at or after the deadline.
    fn tick_after(&self, deadline: Moment) -> u64 {
        self.since_start(deadline)
            .div_ceil(self.tick)
            .saturating_sub(1)
    }

    /// Nanoseconds.
    fn since_start(&self, at: Moment) -> u64 {
        at.nanoseconds().saturating_sub(self.start.nanoseconds())
    }

    /// When a tick begins, which is when the one before it ends.
    fn begin_of(&self, tick: u64) -> Moment {
        self.start + Duration::from_nanos(self.tick.saturating_mul(tick))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the remainder is below 256"
)]
fn bucket(tick: u64) -> usize {
    (tick % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn start() -> Moment {
        Moment::after(1_000_000)
    }

    #[test]
    fn an_entry_is_due_within_a_tick_and_never_early() {
        let start = start();
        let mut wheel = TimerWheel::new(start, TICK);
        wheel.insert(start + ms(25), 'a');
        let mut due = Vec::new();
        wheel.expire(start + ms(24), &mut due);
        assert!(due.is_empty());
        assert_eq!(wheel.next_expiry(), Some(start + ms(30)));
        wheel.expire(start + ms(30), &mut due);
        assert_eq!(due, [(start + ms(25), 'a')]);
        assert_eq!(wheel.next_expiry(), None);
    }

    #[test]
    fn an_earlier_entry_brings_the_next_expiry_forward() {
        let start = start();
        let mut wheel = TimerWheel::new(start, TICK);
        for (deadline, expiry) in [(995, 1000), (255, 260), (500, 260), (7, 10)] {
            wheel.insert(start + ms(deadline), deadline);
            assert_eq!(wheel.next_expiry(), Some(start + ms(expiry)));
        }
        wheel.expire(start + ms(10), &mut Vec::new());
        assert_eq!(wheel.next_expiry(), Some(start + ms(260)));
    }

    #[test]
    fn a_clump_that_moves_on_leaves_no_memory_behind() {
        let start = start();
        let mut wheel = TimerWheel::new(start, TICK);
        let mut due = Vec::new();
        for step in 1..=BUCKETS as u64 {
            for entry in 0..1000 {
                wheel.insert(start + ms(step * 10), entry);
            }
            due.clear();
            wheel.expire(start + ms(step * 10), &mut due);
            assert_eq!(due.len(), 1000);
        }
        let kept: usize = wheel.buckets.iter().map(Vec::capacity).sum();
        assert!(kept <= BUCKETS * BUCKET_KEEPS, "{kept}");
    }

    proptest! {
        /// Whatever the deadlines and the steps of the clock, each entry fires once, not early, and
        /// at most one tick after the first look that could have seen it.
        #[test]
        fn fires_once_in_time(
            deadlines in prop::collection::vec(0u64..20_000, 1..40),
            steps in prop::collection::vec(1u64..4_000, 1..60),
        ) {
            let start = start();
            let mut wheel = TimerWheel::new(start, TICK);
            for (index, deadline) in deadlines.iter().enumerate() {
                wheel.insert(start + ms(*deadline), index);
            }
            let mut fired = vec![0; deadlines.len()];
            let mut now = 0;
            for step in steps {
                now += step;
                let mut due = Vec::new();
                wheel.expire(start + ms(now), &mut due);
                for (deadline, index) in due {
                    prop_assert_eq!(deadline, start + ms(deadlines[index]));
                    fired[index] += 1;
                }
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
                    let wait = wheel.next_expiry().unwrap().saturating_since(start);
                    prop_assert!(wait <= ms(next.max(10)), "{wait:?} for {next}");
                }
            }
        }

        #[test]
        fn a_refiled_entry_comes_again(laps in 1u64..5) {
            let start = start();
            let mut wheel = TimerWheel::new(start, TICK);
            wheel.insert(start + ms(10), ());
            let mut count = 0;
            let mut due = Vec::new();
            for turn in 1..=laps * 300 {
                let now = start + ms(turn * 10);
                wheel.expire(now, &mut due);
                for (_, entry) in due.drain(..) {
                    count += 1;
                    wheel.insert(now + ms(100), entry);
                }
            }
            prop_assert_eq!(wheel.len(), 1);
            prop_assert!(count >= laps * 27);
        }
    }
}
