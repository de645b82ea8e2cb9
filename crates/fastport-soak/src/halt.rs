//! The order to stop, and the only way in which a thread of the soak waits for time: it is woken
//! when the order comes.

use crate::clock::Clock;
use parking_lot::{Condvar, Mutex};
use std::time::Duration;

/// Given once, seen by all.
#[derive(Debug, Default)]
pub(crate) struct Halt {
    given: Mutex<bool>,
    changed: Condvar,
}

impl Halt {
    /// Gives the order.
    pub(crate) fn give(&self) {
        *self.given.lock() = true;
        self.changed.notify_all();
    }

    /// Whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        *self.given.lock()
    }

    /// Waits so long, or until the order is given; tells whether to go on. Blocks.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let clock = Clock::start();
        let mut given = self.given.lock();
        while !*given {
            let Some(left) = time.checked_sub(clock.elapsed()) else {
                return true;
            };
            self.changed.wait_for(&mut given, left);
        }
        false
    }
}
