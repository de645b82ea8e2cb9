//! Takes whole messages out of a queue before they are sent, oldest first.
//!
//! A queue keeps no list of its messages: frames say their size, and each piece begins with one.

use super::{Pieces, Queued, put_block};
use fastport_buffer::Piece;

impl Pieces {
    /// Drops messages from the front until at most `bytes` bytes are left, or no message. Returns
    /// how many.
    pub(crate) fn drop_oldest(&mut self, bytes: usize) -> u64 {
        let mut dropped = 0;
        if let Some(queued) = &mut self.0 {
            while queued.bytes > bytes && queued.drop_first() {
                dropped += 1;
            }
            if queued.bytes == 0 {
                self.clear();
            }
        }
        dropped
    }

    /// As [`Pieces::drop_oldest`], but the newest message stays whatever its size.
    pub(crate) fn drop_all_but_newest(&mut self, bytes: usize) -> u64 {
        let mut dropped = 0;
        if let Some(queued) = &mut self.0 {
            while queued.bytes > bytes && queued.first_bytes() < queued.bytes && queued.drop_first()
            {
                dropped += 1;
            }
        }
        dropped
    }
}

impl Queued {
    /// Bytes of the oldest message; 0 when there is none.
    fn first_bytes(&self) -> usize {
        match self.sealed.front().or(self.open.as_ref()) {
            // Whatever it holds, it was sent as one.
            Some(Piece::Shared(_, range)) => range.len(),
            Some(piece) => frame_bytes(piece.as_slice()),
            None => 0,
        }
    }

    /// Drops the oldest message. False when there is none.
    fn drop_first(&mut self) -> bool {
        let bytes = self.first_bytes();
        match self.sealed.front_mut().or(self.open.as_mut()) {
            Some(Piece::Block(block)) => block.consume(bytes),
            Some(Piece::Shared(_, range)) => range.start = range.end,
            Some(Piece::Forward(chunk)) => chunk.advance(bytes),
            None => return false,
        }
        self.bytes -= bytes;
        if self.sealed.front().is_some_and(Piece::is_empty) {
            if let Some(Piece::Block(block)) = self.sealed.pop_front() {
                put_block(block);
            }
            if let Some(keys) = &mut self.keys {
                keys.pass(1);
            }
        } else if self.sealed.is_empty()
            && let Some(Piece::Block(empty)) = self.open.take_if(|piece| piece.is_empty())
        {
            put_block(empty);
        }
        bytes > 0
    }
}

/// Bytes of the frame that `bytes` begins with; all of them when it is no frame of ours.
fn frame_bytes(bytes: &[u8]) -> usize {
    let size = bytes.first_chunk().map(|size| u16::from_be_bytes(*size));
    let size = size.map_or(0, usize::from);
    if (crate::net::framer::HEADER_BYTES..=bytes.len()).contains(&size) {
        size
    } else {
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::net::framer;
    use crate::session::send_queue::{Pieces, reclaim};
    use fastport_buffer::{Chunk, ChunkStore, Piece, SharedFrame};
    use fastport_protocol::PacketId;
    use proptest::prelude::*;

    const ID: PacketId = PacketId::RAW_ECHO;

    /// A message as the oracle keeps it: its frame, and its key if it has one.
    type Message = (Vec<u8>, Option<u64>);

    fn frame(number: usize, payload_bytes: usize) -> Vec<u8> {
        let header = framer::header(ID, payload_bytes).unwrap();
        [&header[..], &vec![number as u8; payload_bytes]].concat()
    }

    /// What a queue is held to: the messages that wait, oldest first.
    #[derive(Default)]
    struct Oracle(Vec<Message>);

    impl Oracle {
        fn bytes(&self) -> usize {
            self.0.iter().map(|(frame, _)| frame.len()).sum()
        }

        /// Whether it replaced one.
        fn push(&mut self, (frame, key): Message) -> bool {
            let older = self
                .0
                .iter_mut()
                .find(|(_, other)| key.is_some() && *other == key);
            match older {
                Some((older, _)) => {
                    *older = frame;
                    true
                }
                None => {
                    self.0.push((frame, key));
                    false
                }
            }
        }

        fn drop_oldest(&mut self, bytes: usize, keep: usize) -> u64 {
            let before = self.0.len();
            while self.bytes() > bytes && self.0.len() > keep {
                self.0.remove(0);
            }
            (before - self.0.len()) as u64
        }

        /// What was sent is whole messages from the front.
        fn take(&mut self, mut sent: &[u8]) {
            while !sent.is_empty() {
                let (frame, _) = self.0.remove(0);
                assert!(sent.starts_with(&frame), "not the oldest message, or half");
                sent = &sent[frame.len()..];
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Encode {
            remote: bool,
            bytes: usize,
        },
        Share {
            count: usize,
            bytes: usize,
        },
        Forward {
            frames: usize,
        },
        Keyed {
            remote: bool,
            key: u64,
            bytes: usize,
        },
        Splice,
        TakeBatch,
        DropOldest {
            bytes: usize,
        },
        DropAllButNewest {
            bytes: usize,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![0usize..40, 0usize..3000, 30_000usize..65_000];
        let left = prop_oneof![Just(0usize), 0usize..8000, 0usize..200_000];
        prop_oneof![
            4 => (any::<bool>(), size.clone())
                .prop_map(|(remote, bytes)| Step::Encode { remote, bytes }),
            2 => size.clone().prop_map(|bytes| Step::Share { count: 1, bytes }),
            // More pieces than a batch takes.
            1 => (200usize..300).prop_map(|count| Step::Share { count, bytes: 5 }),
            1 => (1usize..20).prop_map(|frames| Step::Forward { frames }),
            4 => (any::<bool>(), 0u64..5, size)
                .prop_map(|(remote, key, bytes)| Step::Keyed { remote, key, bytes }),
            1 => Just(Step::Splice),
            1 => Just(Step::TakeBatch),
            2 => left.clone().prop_map(|bytes| Step::DropOldest { bytes }),
            1 => left.prop_map(|bytes| Step::DropAllButNewest { bytes }),
        ]
    }

    fn encode(pieces: &mut Pieces, frame: &[u8]) {
        pieces.append(frame.len(), |memory| memory.copy_from_slice(frame));
    }

    fn forward(
        pieces: &mut Pieces,
        oracle: &mut Oracle,
        chunk: &Chunk,
        frame: &[u8],
        count: usize,
    ) {
        for at in 0..count {
            let range = at * frame.len()..(at + 1) * frame.len();
            if !pieces.push_forward(chunk, range, true) {
                encode(pieces, frame);
            }
            oracle.push((frame.to_vec(), None));
        }
    }

    fn take_batch(pieces: &mut Pieces, oracle: &mut Oracle) {
        let batch = pieces.take_batch();
        let sent: Vec<u8> = batch
            .pieces()
            .iter()
            .flat_map(|piece| piece.as_slice().to_vec())
            .collect();
        reclaim(batch, drop);
        oracle.take(&sent);
    }

    /// A queue and its oracle.
    type Half = (Pieces, Oracle);

    fn splice(local: &mut Half, remote: &mut Half) {
        let replaced = local.0.splice(&mut remote.0);
        let behind = remote.1.0.drain(..);
        let expected = behind.map(|message| u64::from(local.1.push(message)));
        assert_eq!(replaced, expected.sum::<u64>());
    }

    fn apply(step: &Step, number: usize, (pieces, oracle): &mut Half, chunk: &Chunk) {
        match *step {
            Step::Encode { bytes, .. } => {
                encode(pieces, &frame(number, bytes));
                oracle.push((frame(number, bytes), None));
            }
            Step::Share { count, bytes } => {
                let shared = SharedFrame::from(frame(number, bytes));
                for _ in 0..count {
                    let all = 0..shared.len();
                    pieces.push(Piece::Shared(shared.clone(), all));
                    oracle.push((frame(number, bytes), None));
                }
            }
            Step::Forward { frames } => {
                forward(pieces, oracle, chunk, &forwarded(), frames);
            }
            Step::Keyed { key, bytes, .. } => {
                let message = frame(number, bytes);
                let older = oracle.0.iter().find(|(_, other)| *other == Some(key));
                assert_eq!(pieces.keyed_bytes(key), older.map(|(f, _)| f.len()));
                let replaced = pieces.push_keyed(key, message.clone().into());
                assert_eq!(replaced, oracle.push((message, Some(key))));
            }
            Step::Splice => {}
            Step::TakeBatch => take_batch(pieces, oracle),
            Step::DropOldest { bytes } => {
                assert_eq!(pieces.drop_oldest(bytes), oracle.drop_oldest(bytes, 0));
            }
            Step::DropAllButNewest { bytes } => {
                let dropped = pieces.drop_all_but_newest(bytes);
                assert_eq!(dropped, oracle.drop_oldest(bytes, 1));
            }
        }
    }

    /// One of the twenty frames that fill the chunk which is forwarded.
    fn forwarded() -> Vec<u8> {
        frame(255, 396)
    }

    proptest! {
        /// Whatever is queued, replaced, spliced, sent and dropped: what goes out is whole
        /// messages, and just those that the oracle has.
        #[test]
        fn a_queue_is_a_list_of_messages(steps in prop::collection::vec(step(), 1..80)) {
            let mut store = ChunkStore::new(1, 8192);
            let id = store.acquire().unwrap();
            for at in 0..20 {
                store.buffer_mut(id)[at * 400..(at + 1) * 400].copy_from_slice(&forwarded());
            }
            let chunk = store.lend(id, 8000);
            let (mut local, mut remote) = (Half::default(), Half::default());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Splice => splice(&mut local, &mut remote),
                    Step::Encode { remote: true, .. } | Step::Keyed { remote: true, .. } => {
                        apply(&step, number, &mut remote, &chunk);
                    }
                    _ => apply(&step, number, &mut local, &chunk),
                }
                prop_assert_eq!(local.0.bytes(), local.1.bytes());
                prop_assert_eq!(remote.0.bytes(), remote.1.bytes());
            }
            for (pieces, oracle) in [&mut local, &mut remote] {
                while pieces.bytes() > 0 {
                    take_batch(pieces, oracle);
                }
                prop_assert!(oracle.0.is_empty());
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_dropped_as_one() {
        let mut pieces = Pieces::default();
        encode(&mut pieces, b"\xff\xff no frame");
        assert_eq!(pieces.drop_oldest(5), 1);
        assert_eq!(pieces.bytes(), 0);
        encode(&mut pieces, &frame(1, 0));
        assert_eq!(pieces.drop_oldest(4), 0);
        assert_eq!(pieces.drop_oldest(3), 1);
    }
}
