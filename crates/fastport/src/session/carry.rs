//! The beginning of a frame that the end of a chunk cut off.
//!
//! Memory is taken only while a frame is unfinished, and only for that frame. Nothing is ever
//! scanned twice: each byte is copied once and the size is read once.

use crate::net::framer::{FrameError, HEADER_BYTES, PacketFramer};
use crate::session::send_queue::{put_block, take_block};
use fastport_buffer::Block;
use fastport_protocol::PacketId;

/// An unfinished frame, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    block: Option<Block>,
}

impl Carry {
    /// Whether no frame is unfinished.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.block.is_none()
    }

    /// Adds from the front of `bytes` what the frame lacks. Returns how many bytes were taken, and
    /// whether the frame is whole now.
    ///
    /// # Errors
    /// When the frame turns out to have a size that is not allowed.
    pub(crate) fn fill(
        &mut self,
        bytes: &[u8],
        framer: &PacketFramer,
    ) -> Result<(usize, bool), FrameError> {
        let mut taken = 0;
        loop {
            let held = self.block.as_ref().map_or(&[][..], Block::as_slice);
            let declared = framer.declared_bytes(held)?;
            let wanted = declared.unwrap_or(2);
            let missing = wanted - held.len();
            if missing == 0 {
                return Ok((taken, true));
            }
            let available = missing.min(bytes.len() - taken);
            if available == 0 {
                return Ok((taken, false));
            }
            self.append(&bytes[taken..taken + available], wanted);
            taken += available;
        }
    }

    /// The whole frame, after [`Carry::fill`] said so.
    pub(crate) fn frame(&self) -> Option<(PacketId, &[u8])> {
        let frame = self.block.as_ref()?.as_slice();
        let &[_, _, high, low, ..] = frame else {
            return None;
        };
        Some((PacketId::new(u16::from_be_bytes([high, low])), frame))
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        if let Some(block) = self.block.take() {
            put_block(block);
        }
    }

    fn append(&mut self, bytes: &[u8], wanted: usize) {
        let grown = match self.block.take() {
            Some(block) if block.capacity() >= wanted => block,
            Some(small) => {
                let mut block = take_block(wanted);
                write(&mut block, small.as_slice());
                put_block(small);
                block
            }
            None => take_block(wanted.max(HEADER_BYTES)),
        };
        let block = self.block.insert(grown);
        write(block, bytes);
    }
}

fn write(block: &mut Block, bytes: &[u8]) {
    if let Some(memory) = block.reserve(bytes.len()) {
        memory.copy_from_slice(bytes);
        block.commit(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::framer;

    #[test]
    fn a_frame_cut_at_every_byte_is_put_together() {
        let framer = PacketFramer::default();
        for payload in [0usize, 1, 5, 5000, 65_531] {
            let mut whole = framer::header(PacketId::new(9), payload).unwrap().to_vec();
            whole.extend((0..payload).map(|at| at as u8));
            let follower = [0, 4, 0, 1];
            for cut in (1..whole.len().min(40)).chain([whole.len() - 1]) {
                if cut >= whole.len() {
                    continue;
                }
                let mut carry = Carry::default();
                assert_eq!(carry.fill(&whole[..cut], &framer), Ok((cut, false)));
                let rest: Vec<u8> = whole[cut..].iter().chain(&follower).copied().collect();
                assert_eq!(carry.fill(&rest, &framer), Ok((whole.len() - cut, true)));
                assert_eq!(carry.frame(), Some((PacketId::new(9), &whole[..])));
                carry.clear();
                assert!(carry.is_empty());
            }
        }
    }

    #[test]
    fn byte_by_byte_a_bad_size_is_refused_at_the_second_byte() {
        let framer = PacketFramer::default();
        let mut carry = Carry::default();
        assert_eq!(carry.fill(&[0], &framer), Ok((1, false)));
        assert_eq!(
            carry.fill(&[3, 9, 9], &framer),
            Err(FrameError::TooSmall { bytes: 3 })
        );
    }
}
