//! Sending: one batch per connection in the kernel, as one entry, until all of it is gone.
//!
//! MSG_WAITALL lets the kernel go on by itself after a partial send. It still ends short when the
//! connection breaks half-way or a batch has more pieces than one message takes; the rest is sent
//! then, and its error, if any, is the batch's.

use super::ops;
use super::send_scratch::PIECES_MAX;
use super::slots::Slot;
use super::{Parts, UringEngine};
use crate::{Event, Key, Op, SendFailure};
use fastport_buffer::SendBatch;
use std::io;
use std::os::fd::OwnedFd;

impl UringEngine {
    /// See [`Engine::send`](crate::Engine::send).
    pub(super) fn start_send(&mut self, key: Key, batch: SendBatch) {
        debug_assert!(!batch.is_empty(), "an empty batch");
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        if !slot.in_flight.is_open() {
            return;
        }
        debug_assert!(slot.sending.is_empty(), "two sends of one key");
        if slot.sending.is_empty() {
            slot.sending = batch;
            self.push_send(key);
        }
    }

    /// Queues what is left of the batch in the slot, or the first pieces of it.
    fn push_send(&mut self, key: Key) {
        let Parts { slots, scratch, .. } = &mut *self.memory;
        let Some(slot) = slots.find(key) else { return };
        let Some(socket) = slot.socket(key) else {
            return;
        };
        let Slot {
            in_flight, sending, ..
        } = slot;
        let (pieces, skip) = sending.rest(PIECES_MAX);
        let entry = match pieces {
            [piece] => ops::send(socket, key, &piece.as_slice()[skip..]),
            _ => {
                let slices = pieces
                    .iter()
                    .zip(std::iter::once(skip).chain(std::iter::repeat(0)));
                let slices = slices.map(|(piece, skip)| &piece.as_slice()[skip..]);
                ops::send_message(socket, key, scratch.message(pieces.len(), slices))
            }
        };
        in_flight.begin(Op::Send);
        self.operations += 1;
        // SAFETY: the pieces' bytes do not move and stay in the slot until the final completion;
        // the message lies in the scratch, which is reset only when everything is submitted.
        unsafe { self.ring.push(entry) };
    }

    /// The completion of a send.
    pub(super) fn on_sent(&mut self, partial: Key, result: i32) -> Option<Event<OwnedFd>> {
        let key = self.memory.slots.whole(partial);
        debug_assert!(key.is_some(), "a send completed for a slot that was freed");
        let key = key?;
        self.finish(key, Op::Send);
        let slot = self.memory.slots.find(key)?;
        if !slot.in_flight.is_open() {
            slot.sending = SendBatch::default();
            return None;
        }
        let again = match usize::try_from(result) {
            Ok(bytes) => {
                slot.sending.advance(bytes);
                bytes > 0 && !slot.sending.is_sent()
            }
            Err(_) => matches!(-result, libc::EINTR | libc::EAGAIN),
        };
        if again {
            self.push_send(key);
            return None;
        }
        let batch = std::mem::take(&mut slot.sending);
        let sent = batch.sent();
        let result = if batch.is_sent() {
            Ok(())
        } else if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            Err(SendFailure { sent, error })
        } else {
            let error = io::ErrorKind::WriteZero.into();
            Err(SendFailure { sent, error })
        };
        Some(Event::Sent { key, batch, result })
    }
}
