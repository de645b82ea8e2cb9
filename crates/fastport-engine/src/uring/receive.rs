//! Receiving: one multishot receive per connection, from arming it to its last completion.
//!
//! ```text
//!   Idle --arm--> Armed --pause--> Pausing --final completion--> (RecvPaused) Idle
//!                 |  ^                |  ^
//!      no buffers |  | buffers     arm|  |pause
//!                 v  | came back      v  |
//!                Waiting           Resuming --final completion--> Armed
//! ```
//!
//! A completion without MORE is the last of its receive, with or without data. Data before the
//! final completion of a pause is delivered.

use super::UringEngine;
use super::ops;
use super::slots::Receive;
use crate::{Event, Key, Op};
use fastport_buffer::Chunk;
use io_uring::{cqueue, squeue};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How soon a starved worker looks again for chunks that other threads dropped, at first and at
/// most.
pub(super) const STARVED_WAIT_MIN: Duration = Duration::from_millis(1);
const STARVED_WAIT_MAX: Duration = Duration::from_millis(10);

impl UringEngine {
    /// See [`Engine::arm_recv`](crate::Engine::arm_recv).
    pub(super) fn want_receive(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        if !slot.in_flight.is_open() {
            return;
        }
        match slot.receive {
            Receive::Idle | Receive::Paused => self.arm(key),
            Receive::Pausing => slot.receive = Receive::Resuming,
            Receive::Armed | Receive::Waiting | Receive::Resuming | Receive::Ended => {}
        }
    }

    /// See [`Engine::pause_recv`](crate::Engine::pause_recv).
    pub(super) fn pause_receive(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        if !slot.in_flight.is_open() {
            return;
        }
        match slot.receive {
            Receive::Armed => {
                slot.receive = Receive::Pausing;
                // SAFETY: a cancel names no memory.
                unsafe { self.ring.push(ops::cancel(key.user_data(Op::Recv))) };
            }
            // Its cancel is on the way already.
            Receive::Resuming => slot.receive = Receive::Pausing,
            Receive::Waiting => {
                slot.receive = Receive::Paused;
                self.notices.push_back(key);
            }
            Receive::Idle | Receive::Pausing | Receive::Paused | Receive::Ended => {}
        }
    }

    /// Queues the receive, or puts the connection on the list of starved ones when no buffer is
    /// left: armed then, it would end at once, and arming it again would spin.
    pub(super) fn arm(&mut self, key: Key) {
        let parts = &mut *self.memory;
        let published = parts.buffers.published();
        let Some(slot) = parts.slots.find(key) else {
            return;
        };
        if slot.in_flight.has(Op::Connect) {
            slot.receive = Receive::Waiting;
            return;
        }
        if published == 0 {
            slot.receive = Receive::Waiting;
            if !slot.set_starved(true) {
                self.starved.push_back(key);
            }
            return;
        }
        if let Some(number) = slot.move_out() {
            let from = parts.table.stage(key, number);
            // SAFETY: the table's memory stays in place while the ring exists, and this entry of it
            // is written again only when the key's place is used again.
            unsafe { self.ring.push(ops::install(from, key.index() as u32)) };
            // SAFETY: it names no memory; the number is the ring's to close from here on.
            unsafe { self.ring.push(ops::close_number(number)) };
        }
        let Some(socket) = slot.socket(key) else {
            return;
        };
        self.hand_over(key, ops::receive(socket, key));
    }

    /// Gives the kernel a receive.
    pub(super) fn hand_over(&mut self, key: Key, receive: squeue::Entry) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        slot.receive = Receive::Armed;
        slot.set_fresh();
        slot.in_flight.begin(Op::Recv);
        self.operations += 1;
        // SAFETY: the receive names no memory of its own: the kernel takes published buffers, which
        // stay in place until the ring is gone.
        unsafe { self.ring.push(receive) };
    }

    /// Arms as many starved connections as there are buffers for, longest starved first.
    pub(super) fn arm_starved(&mut self) {
        let count = self.memory.buffers.published().min(self.starved.len());
        if count == 0 {
            self.starved_wait = (self.starved_wait * 2).min(STARVED_WAIT_MAX);
            return;
        }
        self.starved_wait = STARVED_WAIT_MIN;
        for _ in 0..count {
            let Some(key) = self.starved.pop_front() else {
                return;
            };
            let Some(slot) = self.memory.slots.find(key) else {
                continue;
            };
            slot.set_starved(false);
            if slot.in_flight.is_open() && slot.receive == Receive::Waiting {
                self.arm(key);
            }
        }
    }

    /// A completion of a receive.
    #[inline]
    pub(super) fn on_received(
        &mut self,
        partial: Key,
        result: i32,
        flags: u32,
    ) -> Option<Event<OwnedFd>> {
        let chunk = self.take_chunk(result, flags);
        let key = self.memory.slots.whole(partial);
        debug_assert!(
            key.is_some(),
            "a receive completed for a slot that was freed"
        );
        let key = key?;
        let more = cqueue::more(flags);
        if !more {
            self.finish(key, Op::Recv);
        }
        let slot = self.memory.slots.find(key)?;
        if !slot.in_flight.is_open() {
            if let Some(chunk) = chunk {
                self.memory.buffers.recycle(chunk);
            }
            return None;
        }
        let Some(chunk) = chunk else {
            return if more {
                None
            } else {
                self.receive_ended(key, result)
            };
        };
        if !more {
            self.receive_cut(key);
        } else if slot.becomes_doubtful() {
            self.doubt(key);
        }
        Some(Event::Received { key, chunk })
    }

    /// The buffer that a completion brings, if it holds data.
    fn take_chunk(&mut self, result: i32, flags: u32) -> Option<Chunk> {
        let id = cqueue::buffer_select(flags)?;
        match usize::try_from(result) {
            Ok(bytes) if bytes > 0 => Some(self.memory.buffers.lend(id, bytes)),
            _ => {
                self.memory.buffers.release(id);
                None
            }
        }
    }

    /// The receive ended with data, since the completion queue was full or by a cancel: go on as
    /// wanted.
    fn receive_cut(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        if slot.receive == Receive::Pausing {
            slot.receive = Receive::Paused;
            self.notices.push_back(key);
        } else {
            self.arm(key);
        }
    }

    /// The receive ended without data.
    fn receive_ended(&mut self, key: Key, result: i32) -> Option<Event<OwnedFd>> {
        let slot = self.memory.slots.find(key)?;
        if slot.receive == Receive::Ended {
            // A look has told of it.
            return None;
        }
        if result == 0 {
            slot.receive = Receive::Ended;
            return Some(Event::PeerFinished { key });
        }
        // Before 6.5 a cancelled multishot ended with ENOBUFS. None of these says that the
        // connection is broken, and data that waits in the socket stays there.
        if matches!(
            -result,
            libc::ECANCELED | libc::ENOBUFS | libc::EINTR | libc::EAGAIN
        ) {
            if slot.receive == Receive::Pausing {
                slot.receive = Receive::Idle;
                return Some(Event::RecvPaused { key });
            }
            self.arm(key);
            return None;
        }
        slot.receive = Receive::Ended;
        let error = io::Error::from_raw_os_error(-result);
        Some(Event::Failed { key, error })
    }
}
