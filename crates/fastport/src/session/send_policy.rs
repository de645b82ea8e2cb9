//! What becomes of a message for a session whose send queue is full: the way on past the high
//! watermark, for own appends, other threads' and casts alike.
//!
//! Nothing here runs while a queue is below its high watermark, but for messages with a key.

use crate::session::flags::{FULL, Flags};
use crate::session::remote_half::RemoteHalf;
use crate::session::send_queue::LocalQueue;
use crate::session::shared::SessionShared;
use crate::worker::attention;
use crate::{SendError, SendStatus};
use fastport_buffer::SharedFrame;
use fastport_engine::Moment;
use std::sync::Arc;
use std::time::Duration;

/// What happens when a session's send queue is full: above
/// [`SessionConfig::send_high_watermark`](crate::SessionConfig). A message for a queue that is
/// empty is always taken.
///
/// Messages are dropped whole, and only ones of which the kernel was given nothing. While they are,
/// what the peer sends is handled all the same. Whatever the policy, the session is closed at
/// [`SessionConfig::send_queue_max`](crate::SessionConfig), and when all peers together are over
/// the service's budget.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum SendPolicy {
    /// The message is queued, and the sender told: [`SendStatus::Backpressure`].
    #[default]
    Report,
    /// The message is not queued: [`SendStatus::Dropped`]. `on_writable` follows as for
    /// back-pressure.
    DropNewest,
    /// The oldest messages that wait are dropped until there is room for this one. What other
    /// threads send makes room among what other threads sent first, so for a moment the queue may
    /// be twice as large.
    DropOldest,
    /// Of messages that are sent with the same key, by
    /// [`Session::send_keyed`](crate::Session::send_keyed), only the latest waits, full or not: it
    /// takes the place of the older one. All others are as with `Report`.
    LatestByKey,
    /// As `Report`, and a session whose queue stays full for
    /// [`SessionConfig::send_full_grace`](crate::SessionConfig), or for what
    /// [`Session::set_send_full_grace`](crate::Session::set_send_full_grace) says of it, is closed
    /// with [`CloseReason::SendQueueFull`](crate::CloseReason): it never fell below the low
    /// watermark meanwhile.
    Disconnect,
}

impl SendPolicy {
    /// All policies.
    pub const ALL: [Self; 5] = [
        Self::Report,
        Self::DropNewest,
        Self::DropOldest,
        Self::LatestByKey,
        Self::Disconnect,
    ];

    /// The policies' names in a configuration file, in the order of [`SendPolicy::ALL`].
    pub const NAMES: [&'static str; 5] = [
        "report",
        "drop_newest",
        "drop_oldest",
        "latest_by_key",
        "disconnect",
    ];

    /// The policy's name in [`SendPolicy::NAMES`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.code() as usize]
    }

    /// The policy with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// The policy's place in [`SendPolicy::ALL`].
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_code(code: u8) -> Self {
        let policy = Self::ALL.get(usize::from(code));
        policy.copied().unwrap_or_default()
    }
}

/// What a policy decided on a message that would bring its queue above the high watermark.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// It is queued all the same.
    None,
    /// There is room now.
    Made,
    /// It is not queued.
    Refused,
}

impl SessionShared {
    pub(crate) fn send_policy(&self) -> crate::SendPolicy {
        self.flags.send_policy()
    }

    /// Takes effect for what is sent from now on. The owner looks at a queue that is full already.
    pub(crate) fn set_send_policy(self: &Arc<Self>, policy: SendPolicy) {
        self.flags.set_send_policy(policy);
        self.attend();
    }

    /// Whether the peer's input waits while the queue is full: not when messages are dropped, since
    /// answers to it do not make the queue grow.
    #[cold]
    pub(crate) fn holds_input_when_full(&self) -> bool {
        !matches!(
            self.send_policy(),
            SendPolicy::DropNewest | SendPolicy::DropOldest
        )
    }

    /// Deals with `bytes` more for a queue that is full with them. Owner only.
    #[cold]
    pub(crate) fn make_room(&self, queue: &mut LocalQueue, bytes: usize) -> Room {
        let config = &self.context.config;
        match self.send_policy() {
            SendPolicy::DropNewest if queue.bytes() > 0 => {
                queue.above_high = true;
                self.refuse_newest();
                Room::Refused
            }
            SendPolicy::DropOldest => {
                let room = config.send_high_watermark.saturating_sub(bytes);
                let room = room.saturating_sub(queue.in_flight);
                let dropped = queue.pieces.drop_oldest(room);
                self.note_dropped_oldest(dropped, None);
                if queue.bytes() + bytes <= config.send_high_watermark {
                    Room::Made
                } else if queue.in_flight > 0 && queue.bytes() + bytes > config.send_queue_max {
                    // No end of the session for what is the kernel's already.
                    queue.above_high = true;
                    self.refuse_newest();
                    Room::Refused
                } else {
                    Room::None
                }
            }
            _ => Room::None,
        }
    }

    /// As [`SessionShared::make_room`], on another thread, of which `before` bytes are queued in
    /// both halves.
    #[cold]
    pub(crate) fn make_remote_room(
        &self,
        remote: &mut RemoteHalf,
        before: usize,
        bytes: usize,
    ) -> Room {
        match self.send_policy() {
            SendPolicy::DropNewest if before > 0 => {
                remote.dropped += 1;
                let counters = &self.context.worker.counters;
                counters.sends_dropped_newest.add_shared(1);
                Room::Refused
            }
            // The owner drops what is older when it splices.
            SendPolicy::DropOldest => {
                let high = self.context.config.send_high_watermark;
                let dropped = remote.drop_oldest(high.saturating_sub(bytes));
                self.note_dropped_oldest(dropped, Some(remote));
                Room::Made
            }
            _ => Room::None,
        }
    }

    /// Drops what is too much after a splice, but the newest message. Owner only. Whether the queue
    /// is above its high watermark still.
    #[cold]
    pub(crate) fn trim(&self, queue: &mut LocalQueue) -> bool {
        let high = self.context.config.send_high_watermark;
        if self.send_policy() == SendPolicy::DropOldest && !self.is_disconnect_requested() {
            let room = high.saturating_sub(queue.in_flight);
            let dropped = queue.pieces.drop_all_but_newest(room);
            self.note_dropped_oldest(dropped, None);
        }
        queue.bytes() > high
    }

    /// Queues a frame of which only the latest with this key is to wait.
    pub(crate) fn enqueue_keyed(
        self: &Arc<Self>,
        key: u64,
        frame: &SharedFrame,
    ) -> Result<SendStatus, SendError> {
        if self.is_disconnect_requested() {
            return Err(SendError::Disconnected);
        }
        self.settle_casts();
        let bytes = frame.len();
        let local = self.local.with(|queue| {
            self.splice(queue);
            self.push_keyed(queue, key, frame)
        });
        local.unwrap_or_else(|| {
            self.enqueue_elsewhere(false, |remote, after| {
                // Each half has the latest alone, so each has the limit for itself.
                let older = remote.keyed_bytes(key).unwrap_or(0);
                let queued = self.admit(remote.bytes() - older, bytes)?;
                let replaced = remote.append_keyed(after, key, frame.clone());
                self.note_replaced(u64::from(replaced), remote);
                Ok(Some(queued))
            })
        })
    }

    /// Queues such a frame in the owner's half.
    pub(crate) fn push_keyed(
        self: &Arc<Self>,
        queue: &mut LocalQueue,
        key: u64,
        frame: &SharedFrame,
    ) -> Result<SendStatus, SendError> {
        let bytes = frame.len();
        let older = queue.pieces.keyed_bytes(key);
        let queued = self.admit(queue.bytes() - older.unwrap_or(0), bytes)?;
        if queue.pieces.push_keyed(key, frame.clone()) {
            let mut remote = self.remote.lock();
            self.note_replaced(1, remote.get_or_insert_default());
        }
        self.context.worker.service.budget.note(queued, bytes);
        let above = queued > self.context.config.send_high_watermark;
        self.note_above(queue, above);
        if !queue.attention {
            queue.attention = true;
            attention::list(self.key);
        }
        Ok(SendStatus::of(above))
    }

    /// Messages that were dropped or replaced.
    pub(crate) fn dropped(&self) -> u64 {
        self.remote.lock().as_ref().map_or(0, |half| half.dropped)
    }

    /// Counts messages whose key came again.
    pub(crate) fn note_replaced(&self, messages: u64, remote: &mut RemoteHalf) {
        if messages > 0 {
            remote.dropped += messages;
            let counters = &self.context.worker.counters;
            counters.sends_replaced.add_shared(messages);
        }
    }

    fn refuse_newest(&self) {
        self.remote.lock().get_or_insert_default().dropped += 1;
        let counters = &self.context.worker.counters;
        counters.sends_dropped_newest.add_shared(1);
    }

    fn note_dropped_oldest(&self, messages: u64, remote: Option<&mut RemoteHalf>) {
        if messages == 0 {
            return;
        }
        match remote {
            Some(remote) => remote.dropped += messages,
            None => self.remote.lock().get_or_insert_default().dropped += messages,
        }
        let counters = &self.context.worker.counters;
        counters.sends_dropped_oldest.add_shared(messages);
    }

    /// Since when the queue is full and how long it may be, if the policy is to disconnect for
    /// that.
    pub(crate) fn full_since(&self) -> Option<(Moment, Duration)> {
        if !self.flags.has(FULL) || self.send_policy() != SendPolicy::Disconnect {
            return None;
        }
        let remote = self.remote.lock();
        let remote = remote.as_ref()?;
        let grace = remote.full_grace;
        let grace = grace.unwrap_or(self.context.config.send_full_grace);
        Some((remote.full_since?, grace))
    }

    /// How long the queue may stay full from now on. The owner looks at a queue that is full
    /// already.
    pub(crate) fn set_full_grace(self: &Arc<Self>, grace: Duration) {
        self.remote.lock().get_or_insert_default().full_grace = Some(grace);
        self.attend();
    }

    /// Notes whether the queue is full at `now`. Owner only.
    pub(crate) fn note_full(&self, full: bool, now: Moment) {
        if !full && !self.flags.has(FULL) {
            return;
        }
        self.flags.set(FULL, full);
        let mut remote = self.remote.lock();
        let since = &mut remote.get_or_insert_default().full_since;
        *since = full.then(|| since.unwrap_or(now));
    }

    /// Moves the time since which the queue is full.
    pub(crate) fn shift_full_since(&self, gap: Duration) {
        if let Some(remote) = &mut *self.remote.lock() {
            remote.full_since = remote.full_since.map(|at| at + gap);
        }
    }
}

impl SendStatus {
    #[inline]
    pub(crate) const fn of(above_high: bool) -> Self {
        if above_high {
            Self::Backpressure
        } else {
            Self::Queued
        }
    }
}

/// Three bits hold a policy; see [`Flags`].
const _: () = assert!(SendPolicy::ALL.len() <= 8 && size_of::<Flags>() == 2);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn policies_have_codes_and_names() {
        for (code, policy) in SendPolicy::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(policy.code()), code);
            assert_eq!(SendPolicy::of_code(policy.code()), policy);
            assert_eq!(SendPolicy::named(policy.name()), Some(policy));
        }
        assert_eq!(SendPolicy::named("often"), None);
    }
}
