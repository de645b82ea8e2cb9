//! Frames in a stream that arrives in pieces: whatever was found after each piece is what a reader
//! finds that takes a byte at a time and knows nothing but the format.

use crate::input::Input;
use crate::naive_reader::NaiveReader;
use fastport::net::framer::header;
use fastport::{Framing, PacketFramer, PacketId};

/// The limits that are tried, which the framer clamps to 4 to 65,535.
const BYTES_MAX: [usize; 8] = [0, 4, 5, 6, 64, 1024, 65_535, 1 << 20];

/// Input: a limit, up to 15 sizes of pieces which repeat, the stream.
///
/// # Panics
/// When the framer and the naive reader differ.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let asked = BYTES_MAX[usize::from(choice >> 4) % BYTES_MAX.len()];
    let cuts = input.bytes(usize::from(choice & 15));
    let framer = PacketFramer::new(asked);
    let mut naive = NaiveReader::new(asked.clamp(4, 65_535));
    let mut stream = input.rest();
    let (mut arrived, mut at) = (Vec::new(), 0);
    let mut sizes = cuts.iter().cycle();
    while !stream.is_empty() {
        // No piece is empty, and without sizes there is one.
        let size = sizes.next().map_or(usize::MAX, |cut| usize::from(*cut) + 1);
        let (piece, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        arrived.extend_from_slice(piece);
        naive.read(piece);
        let mut found = naive.take();
        let end = loop {
            match framer.try_frame(&arrived[at..]) {
                Framing::Ok(frame) => {
                    let (id, payload) = found.next().expect("a frame that is none");
                    let whole = &arrived[at..at + frame.bytes];
                    assert_eq!((frame.id.number(), &whole[4..]), (id, &payload[..]));
                    assert_eq!(
                        header(frame.id, payload.len()).as_ref(),
                        whole.first_chunk()
                    );
                    at += frame.bytes;
                }
                Framing::NeedMore => break None,
                Framing::Invalid(error) => break Some(error),
            }
        };
        assert_eq!(found.next(), None, "a frame that was not found");
        drop(found);
        assert_eq!(end, naive.error());
        let declared = framer.declared_bytes(&arrived[at..]);
        assert_eq!(declared.err(), end);
        if end.is_some() {
            return;
        }
        // What is left is the beginning of one frame, no more.
        assert_eq!(&arrived[at..], naive.frame());
    }
    assert_eq!(
        header(PacketId::new(0), arrived.len()).is_some(),
        arrived.len() <= 65_531
    );
}
