//! Sending: one batch per connection in the kernel, as one entry, until all of it is gone.
//!
//! MSG_WAITALL lets the kernel go on by itself after a partial send. It still ends short when the
//! connection breaks half-way or a batch has more pieces than one message takes; the rest is sent
//! then, and its error, if any, is the batch's.

use super::ops;
use super::send_scratch::PIECES_MAX;
use super::slots::{Sending, Slot};
use super::{Parts, UringEngine};
use crate::{Event, Key, Op, SendFailure};
use fastport_buffer::{Piece, SendBatch};
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
        debug_assert!(slot.sending.is_none(), "two sends of one key");
        if slot.sending.is_none() {
            slot.sending = Some(Sending { batch, sent: 0 });
            self.push_send(key);
        }
    }

    /// Queues what is left of the batch in the slot, or the first pieces of it.
    fn push_send(&mut self, key: Key) {
        let Parts { slots, scratch, .. } = &mut *self.memory;
        let Some(Slot {
            in_flight,
            sending: Some(sending),
            socket: Some(socket),
            ..
        }) = slots.find(key)
        else {
            return;
        };
        let (pieces, skip) = unsent(sending.batch.pieces(), sending.sent);
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
            slot.sending = None;
            return None;
        }
        let sending = slot.sending.as_mut()?;
        let again = match usize::try_from(result) {
            Ok(bytes) => {
                sending.sent += bytes;
                bytes > 0 && sending.sent < sending.batch.bytes()
            }
            Err(_) => matches!(-result, libc::EINTR | libc::EAGAIN),
        };
        if again {
            self.push_send(key);
            return None;
        }
        let Sending { batch, sent } = slot.sending.take()?;
        let result = if sent == batch.bytes() {
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

/// The pieces that the next submission takes when `sent` bytes are gone, and how much of the first
/// one is gone too.
fn unsent(pieces: &[Piece], sent: usize) -> (&[Piece], usize) {
    let mut skip = sent;
    let mut first = 0;
    while let Some(piece) = pieces.get(first).filter(|piece| piece.len() <= skip) {
        skip -= piece.len();
        first += 1;
    }
    let rest = &pieces[first..];
    (&rest[..rest.len().min(PIECES_MAX)], skip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(lengths: &[usize]) -> Vec<Piece> {
        let mut next = 0u8;
        let mut piece = |length: &usize| {
            let bytes: Vec<u8> = (0..*length)
                .map(|_| {
                    next = next.wrapping_add(1);
                    next
                })
                .collect();
            Piece::Shared(bytes.into(), 0..*length)
        };
        lengths.iter().map(&mut piece).collect()
    }

    proptest! {
        /// Wherever a send is cut, what is left is the rest of the stream.
        #[test]
        fn the_rest_follows_what_was_sent(
            lengths in prop::collection::vec(1usize..20, 1..20),
            cut in 0.0..1.0f64,
        ) {
            let pieces = pieces(&lengths);
            let whole: Vec<u8> = pieces.iter().flat_map(|p| p.as_slice()).copied().collect();
            let sent = (whole.len() as f64 * cut) as usize;
            let (rest, skip) = unsent(&pieces, sent);
            let rest: Vec<u8> = rest.iter().flat_map(|p| p.as_slice()).copied().collect();
            prop_assert_eq!(&rest[skip..], &whole[sent..]);
        }
    }

    #[test]
    fn a_submission_takes_no_more_pieces_than_a_message_may_have() {
        let pieces = pieces(&[1; PIECES_MAX * 2 + 1]);
        assert_eq!(unsent(&pieces, 0).0.len(), PIECES_MAX);
        assert_eq!(unsent(&pieces, PIECES_MAX * 2).0.len(), 1);
    }
}
