//! Sending: at once, as far as the kernel takes it, and the rest on the edge that says it takes
//! more.

use super::slots::{Role, Slot};
use super::{Event, PollEngine};
use crate::{Key, Op, SendFailure};
use fastport_buffer::{Piece, SendBatch};
use mio::net::TcpStream;
use socket2::SockRef;
use std::io::{self, IoSlice};

/// Pieces that one call takes; `UIO_MAXIOV` on Linux, and no system takes fewer.
const PIECES_MAX: usize = 1024;
/// Pieces for which there is room on the stack.
const PIECES_FEW: usize = 16;

/// A library must not count on the program to ignore SIGPIPE. Where the flag does not exist it is
/// an option of the socket (Apple).
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: i32 = 0;

/// How a send ended.
type Outcome = Result<(), SendFailure>;

/// Gives the kernel what it takes of a batch. `None` while it takes more later.
fn push(batch: &mut SendBatch, stream: &TcpStream) -> Option<Outcome> {
    while !batch.is_sent() {
        match write(batch, stream) {
            Ok(0) => return Some(failure(batch, io::ErrorKind::WriteZero.into())),
            Ok(bytes) => batch.advance(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(failure(batch, error)),
        }
    }
    Some(Ok(()))
}

fn failure(batch: &SendBatch, error: io::Error) -> Outcome {
    let sent = batch.sent();
    Err(SendFailure { sent, error })
}

/// One call with as many of the pieces that are left as it takes.
fn write(batch: &SendBatch, stream: &TcpStream) -> io::Result<usize> {
    let (left, skip) = batch.rest(PIECES_MAX);
    if let [only] = left {
        // A list of pieces costs the kernel a copy of the list and of its header.
        let bytes = &only.as_slice()[skip..];
        return SockRef::from(stream).send_with_flags(bytes, NO_SIGNAL);
    }
    if left.len() > PIECES_FEW {
        let mut slices = vec![IoSlice::new(&[]); left.len()];
        return write_from(stream, left, skip, &mut slices);
    }
    let mut slices = [IoSlice::new(&[]); PIECES_FEW];
    write_from(stream, left, skip, &mut slices[..left.len()])
}

/// One call with these pieces, but the first `skip` bytes of them. `slices` is as long as `pieces`.
fn write_from<'a>(
    stream: &TcpStream,
    pieces: &'a [Piece],
    skip: usize,
    slices: &mut [IoSlice<'a>],
) -> io::Result<usize> {
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece.as_slice());
    }
    if let Some(first) = slices.first_mut() {
        first.advance(skip);
    }
    SockRef::from(stream).send_vectored_with_flags(slices, NO_SIGNAL)
}

/// A send that ended in the call that began it, and is not told yet.
pub(super) struct Sent {
    pub(super) key: Key,
    batch: SendBatch,
    result: Outcome,
}

impl Slot {
    /// Goes on with a send of this key, if it can. How it ended, if it did.
    fn push(&mut self, batch: &mut SendBatch) -> Option<Outcome> {
        match &self.role {
            Role::Stream(_) if self.in_flight.has(Op::Connect) || !self.writable => None,
            Role::Stream(stream) => {
                let outcome = push(batch, stream);
                self.writable = outcome.is_some();
                outcome
            }
            _ => Some(failure(batch, io::ErrorKind::NotConnected.into())),
        }
    }
}

impl PollEngine {
    /// See [`Engine::send`](crate::Engine::send).
    pub(super) fn start_send(&mut self, key: Key, mut batch: SendBatch) {
        let slot = self.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        debug_assert!(!batch.is_empty(), "an empty batch");
        debug_assert!(!slot.in_flight.has(Op::Send), "a send is outstanding");
        slot.in_flight.begin(Op::Send);
        self.operations += 1;
        match slot.push(&mut batch) {
            // Nearly all of them.
            Some(result) => self.sent.push_back(Sent { key, batch, result }),
            None => slot.sending = batch,
        }
    }

    /// The next send that ended in the call that began it. Those of keys that were closed since are
    /// nobody's.
    #[inline]
    pub(super) fn next_sent(&mut self) -> Option<Event> {
        loop {
            let Sent { key, batch, result } = self.sent.pop_front()?;
            if let Some(slot) = self.slots.find(key)
                && slot.in_flight.has(Op::Send)
            {
                let _ = slot.in_flight.finish(Op::Send);
                self.operations -= 1;
                return Some(Event::Sent { key, batch, result });
            }
        }
    }

    /// Goes on with the send of a key that stands. Its batch and result, when it ended.
    pub(super) fn continue_send(&mut self, key: Key) -> Option<(SendBatch, Outcome)> {
        let slot = self.slots.find(key)?;
        let mut batch = std::mem::take(&mut slot.sending);
        let Some(result) = slot.push(&mut batch) else {
            slot.sending = batch;
            return None;
        };
        let _ = slot.in_flight.finish(Op::Send);
        self.operations -= 1;
        Some((batch, result))
    }
}
