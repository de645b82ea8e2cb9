//! Time limits: what the timer wheel is told of them, and what it tells.
//!
//! Owns when each place of a session is looked at next. Nothing is taken out of the wheel: a look
//! that comes too early files the next one, and one that was overtaken is stale.

use crate::session::slot::Slot;
use crate::worker::Worker;
use crate::{CloseReason, RejectReason};
use fastport_engine::{Engine, Key, Moment};

impl<E: Engine> Worker<E> {
    /// Makes sure that the wheel looks at the session no later than its next deadline.
    #[inline]
    pub(crate) fn file_deadline(&mut self, slot: &Slot) {
        let Some(deadline) = slot.next_deadline() else {
            return;
        };
        if self.looks_by(slot.key, deadline) {
            return;
        }
        let index = slot.key.index();
        if self.looks.len() <= index {
            self.looks.resize(index + 1, None);
        }
        self.looks[index] = Some(deadline);
        self.wheel.insert(deadline, slot.key);
    }

    /// Whether the wheel looks at the session by then: also for one that had the same place before,
    /// so that sessions which come and go leave nothing behind in the wheel.
    #[inline]
    pub(crate) fn looks_by(&self, key: Key, deadline: Moment) -> bool {
        let look = self.looks.get(key.index()).copied().flatten();
        look.is_some_and(|at| at <= deadline)
    }

    pub(crate) fn expire_deadlines(&mut self) {
        let now = self.now();
        if self.wheel.next_expiry().is_none_or(|next| next > now) {
            return;
        }
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(now, &mut due);
        for (filed, key) in due.drain(..) {
            if self
                .connecting
                .get(&key)
                .is_some_and(|connecting| connecting.deadline <= now)
            {
                self.abandon_connect(key, CloseReason::ConnectTimeout);
                continue;
            }
            if self.end_late_handshake(key, now) {
                continue;
            }
            if self.is_header_late(key, now) {
                self.refuse_proxied(key, RejectReason::ProxyHeader);
                continue;
            }
            self.look_at(key.index(), filed);
        }
        self.due = due;
    }

    /// Looks at the session that has the place now, unless an earlier entry has overtaken the one
    /// that is due.
    fn look_at(&mut self, index: usize, filed: Moment) {
        match self.looks.get_mut(index) {
            Some(look) if *look == Some(filed) => *look = None,
            _ => return,
        }
        let Some(Some(slot)) = self.slots.get(index) else {
            return;
        };
        self.with_slot(slot.key, |worker, slot| {
            worker.check_deadlines(slot);
            worker.file_deadline(slot);
        });
    }
}
