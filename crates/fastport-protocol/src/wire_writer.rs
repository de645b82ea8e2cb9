//! Writes protobuf's wire format to a slice that is as long as the message.

use crate::varint;

/// The rest of the output. Whoever writes has made it as long as what is to be written: what does
/// not fit is left out here, and the caller sees it in [`WireWriter::written`].
pub(crate) struct WireWriter<'a> {
    out: &'a mut [u8],
    written: usize,
}

impl<'a> WireWriter<'a> {
    #[inline]
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, written: 0 }
    }

    /// Bytes written so far.
    #[inline]
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    #[inline]
    pub(crate) fn varint(&mut self, value: u64) {
        if value < 0x80
            && let Some(byte) = self.out.get_mut(self.written)
        {
            // Seven bits.
            *byte = value as u8;
            self.written += 1;
        } else {
            self.varint_of_many(value);
        }
    }

    fn varint_of_many(&mut self, value: u64) {
        let bytes = varint::len(value);
        let encoded = varint::spread(value, bytes);
        let room = self.out.get_mut(self.written..).unwrap_or_default();
        if let Some(room) = room.first_chunk_mut() {
            // What is beyond the number is part of the message, and written by what follows.
            *room = encoded;
            self.written += bytes;
        } else {
            self.bytes(&encoded[..bytes]);
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let to = self.written..self.written + bytes.len();
        if let Some(room) = self.out.get_mut(to) {
            room.copy_from_slice(bytes);
            self.written += bytes.len();
        }
    }
}
