//! How much of a rate is used up: eight bytes of state, whatever the rate and the burst are.
//!
//! The generic cell rate algorithm (ITU-T I.371): the state is the time at which everything that
//! was taken would have been earned. It has no timer; the thread that owns it says what time it is.

/// So many a second in the long run, and so many at once.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Rate {
    /// In the long run; 0 is no limit.
    pub per_second: u32,
    /// At once, after a pause; at least 1.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const OFF: Self = Self::new(0, 1);

    /// `per_second` in the long run, `burst` at once.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    /// Whether there is no limit.
    #[must_use]
    pub const fn is_off(self) -> bool {
        self.per_second == 0
    }

    /// How long `amount` takes to be earned, in nanoseconds.
    fn earned_in(self, amount: u32) -> u64 {
        // Below 2^62, since both factors are below 2^32 and 2^30.
        (u64::from(amount) * NANOSECONDS).div_ceil(u64::from(self.per_second.max(1)))
    }
}

/// What was taken of a rate.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Meter {
    /// When everything taken is earned; nanoseconds on its owner's clock.
    earned_at: u64,
}

impl Meter {
    /// Takes `amount`, if anything of the burst is left; what it is overdrawn by must be earned
    /// before more is given. Otherwise the time at which there is something.
    pub(crate) fn take(&mut self, rate: Rate, amount: u32, now: u64) -> Result<(), u64> {
        self.look(rate, now)?;
        self.charge(rate, amount, now);
        Ok(())
    }

    /// Whether anything of the burst is left, otherwise the time at which there is.
    pub(crate) fn look(&self, rate: Rate, now: u64) -> Result<(), u64> {
        let burst = rate.earned_in(rate.burst);
        if rate.is_off() || self.earned_at < now.saturating_add(burst) {
            return Ok(());
        }
        Err(self.earned_at - burst + 1)
    }

    /// Takes `amount` in any case.
    pub(crate) fn charge(&mut self, rate: Rate, amount: u32, now: u64) {
        if rate.is_off() {
            return;
        }
        let from = self.earned_at.max(now);
        self.earned_at = from.saturating_add(rate.earned_in(amount));
    }

    /// Whether nothing is taken: forgetting this meter changes nothing.
    pub(crate) fn is_full(self, now: u64) -> bool {
        self.earned_at <= now
    }
}

const NANOSECONDS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_then_the_rate() {
        let (rate, mut meter) = (Rate::new(10, 3), Meter::default());
        for _ in 0..3 {
            assert_eq!(meter.take(rate, 1, 0), Ok(()));
        }
        let Err(next) = meter.take(rate, 1, 0) else {
            panic!("a fourth at once")
        };
        assert_eq!(next, 1, "as soon as the burst is not used up");
        assert!(meter.take(rate, 1, next - 1).is_err());
        assert_eq!(meter.take(rate, 1, next), Ok(()));
        assert!(!meter.is_full(next));
        assert!(meter.is_full(next + NANOSECONDS));
    }

    #[test]
    fn an_amount_above_the_burst_is_given_and_must_be_earned() {
        let (rate, mut meter) = (Rate::new(100, 10), Meter::default());
        assert_eq!(meter.take(rate, 200, 0), Ok(()));
        assert!(meter.take(rate, 1, NANOSECONDS * 19 / 10).is_err());
        assert_eq!(meter.take(rate, 1, NANOSECONDS * 19 / 10 + 1), Ok(()));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut meter = Meter::default();
        assert!((0..1000).all(|_| meter.take(Rate::OFF, u32::MAX, 0).is_ok()));
    }

    proptest! {
        /// Whatever the pauses, no more is given in any span than burst and rate allow.
        #[test]
        fn no_span_has_more_than_burst_and_rate(
            per_second in 1u32..5000,
            burst in 1u32..100,
            pauses in prop::collection::vec(0u64..2_000_000_000, 1..300),
        ) {
            let (rate, mut meter) = (Rate::new(per_second, burst), Meter::default());
            let (mut now, mut given) = (0u64, Vec::new());
            for pause in pauses {
                now += pause;
                if meter.take(rate, 1, now).is_ok() {
                    given.push(now);
                }
            }
            for (first, begin) in given.iter().enumerate() {
                for (last, end) in given.iter().enumerate().skip(first) {
                    let taken = (last - first + 1) as u64;
                    let earned = (end - begin) * u64::from(per_second) / NANOSECONDS;
                    prop_assert!(taken <= u64::from(burst) + earned + 1);
                }
            }
        }

        /// Whoever comes at the time that he was told is served.
        #[test]
        fn the_time_that_is_told_is_right(
            per_second in 1u32..1_000_000,
            burst in 1u32..1000,
            amounts in prop::collection::vec(1u32..70_000, 1..100),
        ) {
            let (rate, mut meter, mut now) = (Rate::new(per_second, burst), Meter::default(), 7);
            for amount in amounts {
                if let Err(next) = meter.take(rate, amount, now) {
                    prop_assert!(next > now);
                    now = next;
                    prop_assert_eq!(meter.take(rate, amount, now), Ok(()));
                }
            }
        }
    }
}
