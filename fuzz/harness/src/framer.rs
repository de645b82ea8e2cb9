//! Frames in a stream that arrives in pieces: whatever was found after each piece is what a reader
//! finds that takes a byte at a time and knows nothing but the format.

use crate::input::Input;
use fastport::net::framer::header;
use fastport::{FrameError, Framing, PacketFramer, PacketId};

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
    let mut naive = Naive::new(asked.clamp(4, 65_535));
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
        assert_eq!(end, naive.error);
        let declared = framer.declared_bytes(&arrived[at..]);
        assert_eq!(declared.err(), end);
        if end.is_some() {
            return;
        }
        // What is left is the beginning of one frame, no more.
        assert_eq!(&arrived[at..], naive.frame);
    }
    assert_eq!(
        header(PacketId::new(0), arrived.len()).is_some(),
        arrived.len() <= 65_531
    );
}

/// Reads a byte at a time.
struct Naive {
    bytes_max: usize,
    frame: Vec<u8>,
    found: Vec<(u16, Vec<u8>)>,
    error: Option<FrameError>,
}

impl Naive {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            frame: Vec::new(),
            found: Vec::new(),
            error: None,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.error.is_some() {
                return;
            }
            self.frame.push(*byte);
            let &[high, low, ref rest @ ..] = &self.frame[..] else {
                continue;
            };
            let size = 256 * usize::from(high) + usize::from(low);
            if size < 4 {
                self.error = Some(FrameError::TooSmall { bytes: size });
            } else if size > self.bytes_max {
                let bytes_max = self.bytes_max;
                self.error = Some(FrameError::TooLarge {
                    bytes: size,
                    bytes_max,
                });
            } else if size == self.frame.len() {
                let id = 256 * u16::from(rest[0]) + u16::from(rest[1]);
                self.found.push((id, rest[2..].to_vec()));
                self.frame.clear();
            }
        }
    }

    fn take(&mut self) -> impl Iterator<Item = (u16, Vec<u8>)> + use<> {
        std::mem::take(&mut self.found).into_iter()
    }
}
