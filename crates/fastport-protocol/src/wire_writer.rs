//! Writes protobuf's wire format to a slice that is known to be long enough.

/// The rest of the output. Whoever writes has compared the encoded length with the room before:
/// what does not fit is left out here, and the caller sees it in [`WireWriter::written`].
pub(crate) struct WireWriter<'a> {
    out: &'a mut [u8],
    written: usize,
}

impl<'a> WireWriter<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, written: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut value: u64) {
        let mut encoded = [0; 10];
        let mut bytes = 0;
        for byte in &mut encoded {
            bytes += 1;
            if value < 0x80 {
                *byte = low_bits(value);
                break;
            }
            *byte = low_bits(value) | 0x80;
            value >>= 7;
        }
        self.bytes(&encoded[..bytes]);
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

/// Bytes of `value` as a varint, 1 to 10.
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    // Seven bits go into a byte; zero takes one as well.
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[inline]
fn low_bits(value: u64) -> u8 {
    (value & 0x7F) as u8
}
