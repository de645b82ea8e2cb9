//! Points in time in eight bytes, for what is kept for each session.
//!
//! An [`Instant`] takes sixteen, and an `Option` of a [`Moment`] costs nothing
//! more. Moments of different clocks must not be compared; each worker has one clock.

use std::num::NonZeroU64;
use std::ops::{Add, AddAssign};
use std::time::{Duration, Instant};

/// A point in time of one [`Clock`], in nanoseconds; in range for 584 years.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(NonZeroU64);

impl Moment {
    /// The moment so many nanoseconds after the first of its clock.
    #[must_use]
    pub const fn after(nanoseconds: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanoseconds))
    }

    /// How long it is since the first moment of its clock, in nanoseconds.
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        self.0.get() - 1
    }

    /// How long it is since `earlier`; nothing when that is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The moment so much later, or the last one that there is.
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanos(later)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

/// What turns the system's time into moments and back.
#[derive(Copy, Clone, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose first moment is `start`.
    #[must_use]
    pub const fn new(start: Instant) -> Self {
        Self { start }
    }

    /// The moment of an instant; of one before the start the first moment.
    #[must_use]
    #[inline]
    pub fn moment(&self, at: Instant) -> Moment {
        Moment::after(nanos(at.saturating_duration_since(self.start)))
    }

    /// The instant of a moment.
    #[must_use]
    pub fn instant(&self, at: Moment) -> Instant {
        self.start + Duration::from_nanos(at.nanoseconds())
    }
}

fn nanos(duration: Duration) -> u64 {
    // Seconds and the rest apart: 128-bit arithmetic would cost more than the whole conversion.
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn an_instant() -> Instant {
        Instant::now()
    }

    #[test]
    fn moments_are_as_far_apart_as_their_instants() {
        let start = an_instant();
        let clock = Clock::new(start);
        for nanos in [0, 1, 999_999_999, 1_000_000_000, 61_000_000_001] {
            let after = Duration::from_nanos(nanos);
            let moment = clock.moment(start + after);
            assert_eq!(clock.instant(moment), start + after);
            assert_eq!(moment.saturating_since(clock.moment(start)), after);
            assert_eq!(clock.moment(start) + after, moment);
        }
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }

    #[test]
    fn the_far_future_is_the_last_moment_and_the_past_the_first() {
        let start = an_instant() + Duration::from_secs(1);
        let clock = Clock::new(start);
        let first = clock.moment(start);
        assert_eq!(clock.moment(start - Duration::from_secs(1)), first);
        let last = first + Duration::MAX;
        assert_eq!(last + Duration::from_nanos(1), last);
        assert!(first < last);
        assert_eq!(first.saturating_since(last), Duration::ZERO);
    }
}
