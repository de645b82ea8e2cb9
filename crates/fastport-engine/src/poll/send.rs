//! Sending: at once, as far as the kernel takes it, and the rest on the edge that says it takes
//! more.

use super::slots::{Role, Slot};
use super::{Event, PollEngine};
use crate::progress::Progress;
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

/// A batch on its way.
#[derive(Default)]
pub(super) struct Sending {
    batch: SendBatch,
    progress: Progress,
    /// Set when it has ended.
    ended: Option<Result<(), SendFailure>>,
}

impl Sending {
    fn new(batch: SendBatch) -> Self {
        Self {
            batch,
            progress: Progress::default(),
            ended: None,
        }
    }

    /// Gives the kernel what it takes. True while it takes more later.
    fn push(&mut self, stream: &TcpStream) -> bool {
        while !self.progress.is_done(&self.batch) {
            match self.write(stream) {
                Ok(0) => return self.fail(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.progress.advance(&self.batch, bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(error),
            }
        }
        self.ended = Some(Ok(()));
        false
    }

    fn fail(&mut self, error: io::Error) -> bool {
        let sent = self.progress.sent();
        self.ended = Some(Err(SendFailure { sent, error }));
        false
    }

    /// One call with as many of the pieces that are left as it takes.
    fn write(&self, stream: &TcpStream) -> io::Result<usize> {
        let (left, skip) = self.progress.next(&self.batch, PIECES_MAX);
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
    result: Result<(), SendFailure>,
}

impl Slot {
    /// Goes on with a send of this key, if it can.
    fn push(&mut self, sending: &mut Sending) {
        match &self.role {
            Role::Stream(_) if self.in_flight.has(Op::Connect) || !self.writable => {}
            Role::Stream(stream) => self.writable = !sending.push(stream),
            _ => _ = sending.fail(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl PollEngine {
    /// See [`Engine::send`](crate::Engine::send).
    pub(super) fn start_send(&mut self, key: Key, batch: SendBatch) {
        let slot = self.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        debug_assert!(!batch.is_empty(), "an empty batch");
        debug_assert!(!slot.in_flight.has(Op::Send), "a send is outstanding");
        slot.in_flight.begin(Op::Send);
        self.operations += 1;
        let mut sending = Sending::new(batch);
        slot.push(&mut sending);
        match sending.ended.take() {
            // Nearly all of them.
            Some(result) => self.sent.push_back(Sent {
                key,
                batch: sending.batch,
                result,
            }),
            None => slot.sending = Some(self.sendings.fill(sending)),
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
    pub(super) fn continue_send(
        &mut self,
        key: Key,
    ) -> Option<(SendBatch, Result<(), SendFailure>)> {
        let slot = self.slots.find(key)?;
        let mut sending = slot.sending.take()?;
        slot.push(&mut sending);
        let Some(result) = sending.ended.take() else {
            slot.sending = Some(sending);
            return None;
        };
        let sending = self.sendings.empty(sending);
        let _ = slot.in_flight.finish(Op::Send);
        self.operations -= 1;
        Some((sending.batch, result))
    }
}
