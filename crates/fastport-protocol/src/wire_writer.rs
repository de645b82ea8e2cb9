//! Writes protobuf's wire format to a slice that is known to be long enough.

use crate::varint;

/// The rest of the output. What does not fit is left out, and with it all that follows:
/// [`WireWriter::finish`] tells.
pub(crate) struct WireWriter<'a> {
    out: &'a mut [u8],
    written: usize,
    is_short: bool,
}

impl<'a> WireWriter<'a> {
    #[inline]
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            written: 0,
            is_short: false,
        }
    }

    /// Bytes written, or `None` when something did not fit.
    #[inline]
    pub(crate) fn finish(&self) -> Option<usize> {
        (!self.is_short).then_some(self.written)
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
        let room = self.out.get_mut(self.written..).unwrap_or_default();
        if let Some(room) = room.first_chunk_mut() {
            // What is beyond the number is written again by what follows it.
            *room = varint::spread(value, bytes);
        } else if let Some(room) = room.get_mut(..bytes) {
            room.copy_from_slice(&varint::spread(value, bytes)[..bytes]);
        } else {
            self.is_short = true;
            return;
        }
        self.written += bytes;
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let room = self.out.get_mut(self.written..).unwrap_or_default();
        match room.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.written += bytes.len();
            }
            None => self.is_short = true,
        }
    }
}
