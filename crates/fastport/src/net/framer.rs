//! Finds frames in received bytes, in place.
//!
//! A frame is `size: u16 BE | packet id: u16 BE | payload`, where the size counts the whole frame.
//! The framer keeps nothing between calls and never copies: it looks at most at the four header
//! bytes.

use fastport_protocol::PacketId;
use std::fmt;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 4;

/// The largest frame that the size field can name, header included.
pub const FRAME_BYTES_MAX: usize = 65_535;

/// What the bytes at hand hold.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Framing {
    /// A whole frame is at the front.
    Ok(Frame),
    /// What is there is the beginning of a frame, or nothing.
    NeedMore,
    /// No frame begins like this; nothing after it may be parsed.
    Invalid(FrameError),
}

/// A whole frame at the front of some bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The packet id.
    pub id: PacketId,
    /// Bytes of the frame, header included.
    pub bytes: usize,
}

/// How a peer broke the frame format.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The size field is smaller than the header.
    TooSmall {
        /// The size that was named.
        bytes: u32,
    },
    /// The frame is larger than this server takes.
    TooLarge {
        /// The size that was named.
        bytes: u32,
        /// The largest that is taken.
        bytes_max: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { bytes } => {
                write!(f, "a frame of {bytes} bytes is smaller than its header")
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "a frame of {bytes} bytes is larger than {bytes_max}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Splits a stream of bytes into frames.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PacketFramer {
    bytes_max: usize,
}

impl PacketFramer {
    /// A framer that refuses frames above `bytes_max`, header included; clamped to 4 to 65,535.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        let bytes_max = if bytes_max > FRAME_BYTES_MAX {
            FRAME_BYTES_MAX
        } else {
            bytes_max
        };
        let bytes_max = if bytes_max < HEADER_BYTES {
            HEADER_BYTES
        } else {
            bytes_max
        };
        Self { bytes_max }
    }

    /// The size that the first two bytes name, as soon as they are there.
    ///
    /// # Errors
    /// When no frame of that size is allowed. Two bytes are enough to know.
    #[inline]
    pub fn declared_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let &[high, low, ..] = bytes else {
            return Ok(None);
        };
        let bytes = u16::from_be_bytes([high, low]);
        let declared = usize::from(bytes);
        let bytes = u32::from(bytes);
        if declared < HEADER_BYTES {
            return Err(FrameError::TooSmall { bytes });
        }
        if declared > self.bytes_max {
            // Clamped when it was set.
            let bytes_max = self.bytes_max as u32;
            return Err(FrameError::TooLarge { bytes, bytes_max });
        }
        Ok(Some(declared))
    }

    /// Looks for a frame at the front of `bytes`.
    #[inline]
    #[must_use]
    pub fn try_frame(&self, bytes: &[u8]) -> Framing {
        match self.declared_bytes(bytes) {
            Ok(Some(declared)) if bytes.len() >= declared => {
                let id = PacketId::new(u16::from_be_bytes([bytes[2], bytes[3]]));
                Framing::Ok(Frame {
                    id,
                    bytes: declared,
                })
            }
            Ok(_) => Framing::NeedMore,
            Err(error) => Framing::Invalid(error),
        }
    }
}

impl Default for PacketFramer {
    fn default() -> Self {
        Self::new(FRAME_BYTES_MAX)
    }
}

/// The header of a frame with this id and payload size, or `None` when it would be too large.
#[inline]
#[must_use]
pub fn header(id: PacketId, payload_bytes: usize) -> Option<[u8; HEADER_BYTES]> {
    let bytes = payload_bytes.checked_add(HEADER_BYTES)?;
    let size = u16::try_from(bytes).ok()?.to_be_bytes();
    let id = id.number().to_be_bytes();
    Some([size[0], size[1], id[0], id[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(id: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = header(PacketId::new(id), payload.len()).unwrap().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_size_below_the_header_is_known_after_two_bytes() {
        for size in 0u8..4 {
            let framing = PacketFramer::default().try_frame(&[0, size]);
            assert_eq!(
                framing,
                Framing::Invalid(FrameError::TooSmall { bytes: size.into() })
            );
        }
        assert_eq!(PacketFramer::default().try_frame(&[0]), Framing::NeedMore);
        assert_eq!(PacketFramer::default().try_frame(&[]), Framing::NeedMore);
    }

    #[test]
    fn a_frame_above_the_maximum_is_known_after_two_bytes() {
        let framing = PacketFramer::new(100).try_frame(&[0, 101]);
        let error = FrameError::TooLarge {
            bytes: 101,
            bytes_max: 100,
        };
        assert_eq!(framing, Framing::Invalid(error));
        assert_eq!(
            PacketFramer::new(100).try_frame(&[0, 100]),
            Framing::NeedMore
        );
    }

    #[test]
    fn the_largest_payload_is_65_531_bytes() {
        assert_eq!(
            header(PacketId::new(0x1234), 65_531),
            Some([0xff, 0xff, 0x12, 0x34])
        );
        assert_eq!(header(PacketId::new(1), 65_532), None);
        assert_eq!(header(PacketId::new(1), usize::MAX), None);
    }

    proptest! {
        /// However a stream is cut, the same frames come out of what has arrived.
        #[test]
        fn frames_do_not_depend_on_where_the_stream_is_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let stream: Vec<u8> =
                payloads.iter().enumerate().flat_map(|(id, p)| frame(id as u16, p)).collect();
            let cut = cut.index(stream.len() + 1);
            let framer = PacketFramer::default();
            let (mut at, mut found) = (0, 0);
            while let Framing::Ok(frame) = framer.try_frame(&stream[at..cut]) {
                prop_assert_eq!(frame.id, PacketId::new(found as u16));
                prop_assert_eq!(&stream[at + 4..at + frame.bytes], &payloads[found][..]);
                at += frame.bytes;
                found += 1;
            }
            prop_assert_eq!(framer.try_frame(&stream[at..cut]), Framing::NeedMore);
            // What follows is the rest of the same frame.
            prop_assert!(found == payloads.len() || cut < at + payloads[found].len() + 4);
        }
    }
}
