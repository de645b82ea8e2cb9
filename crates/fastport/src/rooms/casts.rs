//! What a worker has to do for many of its sessions at once, in the order in which it was posted.
//!
//! Any thread posts; the owner applies. A number is waiting until it was applied to every session
//! that it concerns: whoever sees none waiting knows that its own are done.

use crate::lock::Mutex;
use crate::session::handle::{Session, SessionId};
use fastport_buffer::SharedFrame;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

/// A room's name inside the process.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RoomId(pub(crate) u64);

/// One entry: who hears what, or who hears it from now on.
#[derive(Debug)]
pub(crate) enum Cast {
    /// A session of the worker is a member from here on.
    Join(RoomId, Session),
    /// It is not any more.
    Leave(RoomId, SessionId),
    /// A frame for the members of a room, or for all sessions, but for one.
    Frame {
        to: Option<RoomId>,
        frame: SharedFrame,
        /// Of frames with the same key only the latest matters.
        key: Option<u64>,
        except: Option<SessionId>,
    },
}

/// The casts of one worker. See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Casts {
    queue: Mutex<Queue>,
    /// The number of the last one that was posted; casts are numbered from 1.
    posted: AtomicU64,
    /// The number of the last one that is done.
    applied: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    casts: VecDeque<Cast>,
    /// The worker has ended.
    closed: bool,
}

impl Casts {
    /// Posts a cast. The caller wakes the worker. Dropped when the worker has ended.
    pub(crate) fn post(&self, cast: Cast) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            queue.casts.push_back(cast);
            let number = self.posted.load(Ordering::Relaxed) + 1;
            self.posted.store(number, Ordering::Release);
        }
    }

    /// Whether any cast is not done.
    #[inline]
    pub(crate) fn are_waiting(&self) -> bool {
        self.applied.load(Ordering::Acquire) != self.posted.load(Ordering::Acquire)
    }

    /// How many are not done.
    pub(crate) fn waiting(&self) -> u64 {
        let applied = self.applied.load(Ordering::Acquire);
        self.posted.load(Ordering::Acquire).saturating_sub(applied)
    }

    /// The number behind which goes what this thread sends now: 0 when nothing waits.
    #[inline]
    pub(crate) fn to_wait_for(&self) -> u64 {
        let applied = self.applied.load(Ordering::Acquire);
        let posted = self.posted.load(Ordering::Acquire);
        if applied == posted { 0 } else { posted }
    }

    /// The number of the last one that was posted.
    pub(crate) fn posted(&self) -> u64 {
        self.posted.load(Ordering::Acquire)
    }

    /// The number of the last one that is done.
    #[inline]
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The next cast to apply. Owner only.
    pub(crate) fn take(&self) -> Option<Cast> {
        self.queue.lock().casts.pop_front()
    }

    /// The cast that was taken is done. Owner only.
    pub(crate) fn note_applied(&self) {
        let number = self.applied.load(Ordering::Relaxed) + 1;
        self.applied.store(number, Ordering::Release);
    }

    /// The worker ends: what waits is dropped, and so is what comes.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            self.applied
                .store(self.posted.load(Ordering::Relaxed), Ordering::Release);
            std::mem::take(&mut queue.casts)
        };
        // Outside the lock: sessions in there may be the last handles.
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Cast {
        Cast::Frame {
            to: None,
            frame: SharedFrame::from(&b"x"[..]),
            key: None,
            except: None,
        }
    }

    #[test]
    fn casts_wait_until_they_are_done_not_until_they_are_taken() {
        let casts = Casts::default();
        assert_eq!((casts.are_waiting(), casts.to_wait_for()), (false, 0));
        casts.post(frame());
        casts.post(Cast::Leave(RoomId(1), SessionId::new(1)));
        assert_eq!((casts.waiting(), casts.to_wait_for()), (2, 2));
        assert!(matches!(casts.take(), Some(Cast::Frame { .. })));
        assert_eq!((casts.applied(), casts.to_wait_for()), (0, 2));
        casts.note_applied();
        assert_eq!(casts.waiting(), 1);
        assert!(casts.take().is_some() && casts.take().is_none());
        casts.note_applied();
        assert!(!casts.are_waiting());
        assert_eq!(casts.to_wait_for(), 0);
    }

    #[test]
    fn nothing_waits_for_a_worker_that_has_ended() {
        let casts = Casts::default();
        casts.post(frame());
        casts.close();
        casts.post(frame());
        assert!(!casts.are_waiting() && casts.take().is_none());
    }
}
