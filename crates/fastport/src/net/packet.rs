//! One received packet, borrowed from the receive memory.

use fastport_buffer::Chunk;
use fastport_protocol::PacketId;
use std::fmt;

use crate::net::framer::HEADER_BYTES;

/// A packet: an id and a payload that lies where the kernel put it. Valid for the call that got it.
#[derive(Copy, Clone)]
pub struct Packet<'a> {
    id: PacketId,
    frame: &'a [u8],
    /// The chunk that holds the frame and where in it, when the bytes may be forwarded by
    /// reference.
    source: Option<(&'a Chunk, usize)>,
}

impl<'a> Packet<'a> {
    /// A packet from a whole frame. The framer has checked that it is one.
    pub(crate) fn new(id: PacketId, frame: &'a [u8]) -> Self {
        Self {
            id,
            frame,
            source: None,
        }
    }

    /// A packet whose frame begins at `at` in `chunk`.
    pub(crate) fn in_chunk(id: PacketId, frame: &'a [u8], chunk: &'a Chunk, at: usize) -> Self {
        Self {
            id,
            frame,
            source: Some((chunk, at)),
        }
    }

    /// The packet's id.
    #[must_use]
    pub fn id(&self) -> PacketId {
        self.id
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.frame[HEADER_BYTES..]
    }

    /// The whole frame, header included, as it was received.
    #[must_use]
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Decodes the payload. Copies what the message owns; the views of `fastport-protocol` do not.
    ///
    /// # Errors
    /// When the payload is not such a message.
    pub fn message<M: prost::Message + Default>(&self) -> Result<M, prost::DecodeError> {
        M::decode(self.payload())
    }

    pub(crate) fn source(&self) -> Option<(&'a Chunk, usize)> {
        self.source
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("id", &self.id)
            .field("bytes", &self.frame.len())
            .finish()
    }
}
