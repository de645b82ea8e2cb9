//! The one place of the command line that reads the clock.

use fastport::{Session, SessionId};
use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A point from which nanoseconds are counted: one clock read tells both a latency and a time of
/// day.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    epoch_unix_ms: u64,
}

impl Clock {
    /// Starts to count.
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
            epoch_unix_ms: unix_ns() / 1_000_000,
        }
    }

    /// Nanoseconds since the start. Does not go back.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time of day, in milliseconds since 1970, at `now_ns`; a change of the system's time
    /// after the start does not show.
    #[inline]
    pub(crate) fn unix_ms(&self, now_ns: u64) -> u64 {
        self.epoch_unix_ms + now_ns / 1_000_000
    }
}

/// As [`unix_ns`], read once for all that a session gets in one turn of its worker: with many small
/// messages the clock would cost more than the answers.
pub(crate) fn batch_unix_ns(session: &Session) -> u64 {
    thread_local! {
        static LAST: Cell<Option<(SessionId, Instant, u64)>> = const { Cell::new(None) };
    }
    let (id, turn) = (session.id(), session.turn_time());
    if let Some((last, of_turn, now)) = LAST.get()
        && last == id
        && of_turn == turn
    {
        return now;
    }
    let now = unix_ns();
    LAST.set(Some((id, turn, now)));
    now
}

/// Nanoseconds since 1970 by the system's clock; 0 before that.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_advances_with_the_count() {
        let clock = Clock::start();
        assert_eq!(clock.unix_ms(5_000_000) - clock.unix_ms(0), 5);
        assert!(clock.now_ns() <= clock.now_ns());
        assert!(clock.unix_ms(0).abs_diff(unix_ns() / 1_000_000) < 60_000);
    }
}
