//! Sending: one batch per connection, by as many calls as it takes, one after the other.

use super::operation::Operation;
use super::slots::Slot;
use super::winsock::{self, Begun};
use super::{Event, IocpEngine, Parts};
use crate::{Key, Op, SendFailure};
use fastport_buffer::SendBatch;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use std::ptr::null_mut;
use std::time::Duration;
use windows_sys::Win32::Networking::WinSock::WSABUF;

/// Pieces of one call; their list lies on the stack.
const PIECES_MAX: usize = 64;
/// Bytes of one call: the kernel keeps the pages of all of them in memory until it ends.
const BYTES_MAX: usize = 1 << 20;

/// The kernel had no memory for the call (WSAENOBUFS), which passes: how long is waited before it
/// is tried again, at first, and how often.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(5);
const RETRIES_MAX: u32 = 8;

/// A batch on its way.
pub(super) struct Sending {
    batch: SendBatch,
    /// Calls in a row for which the kernel had no memory.
    refusals: u32,
    /// Set when there is nothing more to do but to report it.
    ended: Option<Result<(), io::Error>>,
}

/// How far a send came.
enum Pushed {
    /// A packet will tell.
    Pending,
    /// It is to be tried again after so long.
    Retry(Duration),
    /// It has ended, and is to be reported.
    Ended,
}

impl Sending {
    fn new(batch: SendBatch) -> Self {
        Self {
            batch,
            refusals: 0,
            ended: None,
        }
    }

    /// Fills `list` with what the next call takes; how many entries that makes.
    fn next_buffers(&self, list: &mut [WSABUF; PIECES_MAX]) -> usize {
        let (pieces, mut skip) = self.batch.rest(PIECES_MAX);
        let (mut count, mut room) = (0, BYTES_MAX);
        for (entry, piece) in list.iter_mut().zip(pieces) {
            let bytes = &piece.as_slice()[skip..];
            let bytes = &bytes[..bytes.len().min(room)];
            if bytes.is_empty() {
                break;
            }
            // The kernel only reads; the type serves receives as well.
            entry.buf = bytes.as_ptr().cast_mut();
            entry.len = bytes.len() as u32;
            (count, room, skip) = (count + 1, room - bytes.len(), 0);
        }
        count
    }

    /// Notes that so many bytes went.
    fn advance(&mut self, bytes: usize) {
        self.batch.advance(bytes);
        self.refusals = 0;
    }

    fn end(&mut self, outcome: io::Result<()>) -> Pushed {
        self.ended = Some(outcome);
        Pushed::Ended
    }
}

impl Slot {
    /// Hands over what is left of the batch, until a call is pending or all is gone.
    fn push_send(&mut self, operation: &Operation) -> Pushed {
        let (Some(sending), Some(socket)) = (&mut self.sending, &self.socket) else {
            return Pushed::Ended;
        };
        let mut list = [WSABUF {
            len: 0,
            buf: null_mut(),
        }; PIECES_MAX];
        loop {
            if sending.batch.is_sent() {
                return sending.end(Ok(()));
            }
            let count = sending.next_buffers(&mut list);
            if !self.skips {
                // What goes without waiting needs no packet.
                // SAFETY: the pieces are in the slot until the call returns.
                let sent = unsafe { winsock::send_now(socket, &list[..count]) };
                if let Ok(bytes @ 1..) = sent {
                    sending.advance(bytes);
                    continue;
                }
            }
            // SAFETY: the pieces' bytes do not move and stay in the slot until `Op::Send` is
            // finished, and so does the OVERLAPPED (`KernelMemory`).
            let begun = unsafe { winsock::send(socket, &list[..count], operation.begin()) };
            match begun {
                Ok(Begun::Done) if self.skips => match operation.bytes() {
                    0 => return sending.end(Err(io::ErrorKind::WriteZero.into())),
                    bytes => sending.advance(bytes),
                },
                Ok(_) => {
                    self.in_flight.begin(Op::Send);
                    return Pushed::Pending;
                }
                Err(error)
                    if winsock::is_out_of_memory(&error) && sending.refusals < RETRIES_MAX =>
                {
                    sending.refusals += 1;
                    return Pushed::Retry(RETRY_WAIT_MIN * (1 << (sending.refusals - 1)));
                }
                Err(error) => return sending.end(Err(error)),
            }
        }
    }
}

impl IocpEngine {
    /// See [`Engine::send`](crate::Engine::send).
    pub(super) fn start_send(&mut self, key: Key, batch: SendBatch) {
        let slot = self.memory.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        debug_assert!(!batch.is_empty(), "an empty batch");
        debug_assert!(slot.sending.is_none(), "a send is outstanding");
        if slot.sending.is_none() {
            slot.sending = Some(Sending::new(batch));
            self.push_send(key);
        }
    }

    /// Goes on with the send of a key, and sees to it that its end is reported.
    pub(super) fn push_send(&mut self, key: Key) {
        let Parts {
            slots, operations, ..
        } = &mut *self.memory;
        let Some(slot) = slots.find(key) else { return };
        match slot.push_send(&operations.of(key.index()).send) {
            Pushed::Pending => self.operations += 1,
            Pushed::Retry(wait) => self.retries.push((self.now + wait, key)),
            Pushed::Ended => self.enqueue(key),
        }
    }

    /// The packet of a send.
    pub(super) fn on_send_ended(&mut self, key: Key) -> Option<Event> {
        let Parts {
            slots, operations, ..
        } = &mut *self.memory;
        let slot = slots.find(key)?;
        let operation = &operations.of(key.index()).send;
        let failure = slot.failure_of(operation);
        let bytes = operation.bytes();
        let open = slot.in_flight.is_open();
        if let (true, Some(sending)) = (open, &mut slot.sending) {
            sending.advance(bytes);
            match failure {
                Some(error) => _ = sending.end(Err(error)),
                None if bytes == 0 => _ = sending.end(Err(io::ErrorKind::WriteZero.into())),
                None => {}
            }
        }
        self.finish(key, Op::Send);
        if !open {
            return None;
        }
        let sending = self.memory.slots.find(key)?.sending.as_ref()?;
        if sending.ended.is_none() {
            self.push_send(key);
            return None;
        }
        self.take_sent(key)
    }

    /// The end of a key's send, if it has ended.
    pub(super) fn take_sent(&mut self, key: Key) -> Option<Event> {
        let slot = self.memory.slots.find(key)?;
        let outcome = slot.sending.as_mut()?.ended.take()?;
        let sending = slot.sending.take()?;
        let sent = sending.batch.sent();
        let result = outcome.map_err(|error| SendFailure { sent, error });
        let batch = sending.batch;
        Some(Event::Sent { key, batch, result })
    }

    /// See [`Engine::shutdown_write`](crate::Engine::shutdown_write).
    pub(super) fn half_close(&mut self, key: Key) {
        let slot = self.memory.slots.find(key);
        let open = slot.filter(|slot| slot.in_flight.is_open());
        if let Some(socket) = open.and_then(|slot| slot.socket.as_ref()) {
            // WSAENOTCONN after a reset is no error here: the receive tells of the reset.
            let _ = SockRef::from(socket).shutdown(Shutdown::Write);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use fastport_buffer::Piece;
    use proptest::prelude::*;

    /// A batch of pieces of these lengths, each byte another than its neighbours.
    pub(in super::super) fn batch(lengths: &[usize]) -> SendBatch {
        let mut batch = SendBatch::default();
        let mut next = (0..=u8::MAX).cycle();
        for length in lengths {
            let piece: Vec<u8> = next.by_ref().take(*length).collect();
            batch.push(Piece::Shared(piece.into(), 0..*length));
        }
        batch
    }

    proptest! {
        /// Whatever part of each call the kernel takes, the calls make the stream.
        #[test]
        fn calls_follow_each_other_without_gap_or_repetition(
            lengths in prop::collection::vec(1usize..200, 1..200),
            takes in prop::collection::vec(1usize..4000, 1..20),
        ) {
            let mut sending = Sending::new(batch(&lengths));
            let pieces = sending.batch.pieces().iter();
            let whole: Vec<u8> = pieces.flat_map(Piece::as_slice).copied().collect();
            let mut takes = takes.iter().cycle();
            let mut stream = Vec::new();
            loop {
                let empty = WSABUF { len: 0, buf: null_mut() };
                let mut list = [empty; PIECES_MAX];
                let count = sending.next_buffers(&mut list);
                if count == 0 {
                    break;
                }
                let mut call = Vec::new();
                for entry in &list[..count] {
                    let length = entry.len as usize;
                    // SAFETY: the entry names a part of a piece, which the batch keeps.
                    let bytes = unsafe { std::slice::from_raw_parts(entry.buf, length) };
                    call.extend_from_slice(bytes);
                }
                call.truncate(*takes.next().unwrap());
                sending.advance(call.len());
                stream.append(&mut call);
            }
            prop_assert_eq!(&stream, &whole);
            prop_assert_eq!(sending.batch.sent(), whole.len());
        }
    }

    #[test]
    fn a_call_takes_no_more_than_the_kernel_should_keep() {
        let sending = Sending::new(batch(&[BYTES_MAX - 1, 5, 5]));
        let mut list = [WSABUF {
            len: 0,
            buf: null_mut(),
        }; PIECES_MAX];
        assert_eq!(sending.next_buffers(&mut list), 2);
        assert_eq!(list[1].len, 1);
    }
}
