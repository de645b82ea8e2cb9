//! Which connections have steady traffic. For those a receive with a buffer is posted at once,
//! without a wait before it: a call and, where they are not skipped, a packet less per message.
//!
//! What the kernel pins for them is bounded by their number, and one whose bytes stop coming gives
//! its buffer back within two ticks: an idle connection holds none.
//!
//! ```text
//!   waits without a buffer --- receives in a row ---> steady: a receive is posted
//!        ^                                                     |
//!        +--- silent for two ticks, or a page was filled ------+
//! ```

use super::buffers::PAGE_BYTES;
use super::slots::Slot;
use super::{IocpEngine, winsock};
use crate::Key;
use std::time::{Duration, Instant};

/// Receives in a row, none later than the tick after the one before, that make traffic steady.
const STREAK: u8 = 4;
const TICK: Duration = Duration::from_millis(100);

/// How steadily bytes come for one connection.
#[derive(Copy, Clone, Default, Debug)]
pub(super) struct Pace {
    /// The tick of the last receive.
    tick: u32,
    streak: u8,
    /// Whether the list of steady connections names this one.
    listed: bool,
}

impl Pace {
    /// Whether a receive may be posted instead of a wait.
    pub(super) const fn is_steady(self) -> bool {
        self.listed && self.streak == STREAK
    }

    /// Makes the connection wait without a buffer from now on.
    pub(super) const fn forget(&mut self) {
        self.streak = 0;
    }
}

/// The steady connections of a worker.
pub(super) struct Steady {
    since: Instant,
    tick: u32,
    keys: Vec<Key>,
    keys_max: usize,
}

impl Steady {
    /// For at most so many connections; ticks are counted from `since` on.
    pub(super) fn new(keys_max: u16, since: Instant) -> Self {
        Self {
            since,
            tick: 0,
            keys: Vec::with_capacity(keys_max.into()),
            keys_max: keys_max.into(),
        }
    }

    /// When the connections are to be looked at.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.keys.is_empty()).then(|| self.since + TICK * (self.tick + 1))
    }

    /// Notes that bytes came for a connection.
    #[inline]
    pub(super) fn note(&mut self, key: Key, slot: &mut Slot, bytes: usize) {
        if self.keys_max == 0 {
            return;
        }
        let pace = &mut slot.pace;
        let soon = self.tick - pace.tick <= 1;
        pace.tick = self.tick;
        // What fills a page is better read into a large buffer at once.
        if !soon || bytes >= PAGE_BYTES {
            pace.streak = 0;
        } else if pace.streak < STREAK {
            pace.streak += 1;
        } else if !pace.listed && self.keys.len() < self.keys_max {
            pace.listed = true;
            self.keys.push(key);
        }
    }
}

impl IocpEngine {
    /// Notes the time of a turn, and takes the buffers of those connections whose bytes no longer
    /// come.
    pub(super) fn look_at_steady(&mut self) {
        let ticks = (self.now - self.steady.since).as_millis() / TICK.as_millis();
        // It would take 13 years to count further.
        let tick = u32::try_from(ticks).unwrap_or(u32::MAX);
        if tick == self.steady.tick {
            return;
        }
        self.steady.tick = tick;
        let parts = &mut *self.memory;
        self.steady.keys.retain(|key| {
            let slot = parts.slots.find(*key);
            let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
                return false;
            };
            if tick - slot.pace.tick <= 1 && slot.pace.streak == STREAK {
                return true;
            }
            slot.pace.listed = false;
            if let (Some(_), Some(socket)) = (slot.filling, &slot.socket) {
                // Its packet leads back to the wait. Should this fail, the next bytes do.
                let operation = &parts.operations.of(key.index()).receive;
                let _ = winsock::cancel(socket, operation.address());
            }
            false
        });
    }
}
