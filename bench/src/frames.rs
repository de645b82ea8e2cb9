//! The wire's frames, as little of them as an echo server needs.
//!
//! Size and packet id, 16 bits each, big-endian; the size counts the 4 bytes of the header too.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 4;
/// The largest frame.
pub const FRAME_BYTES_MAX: usize = 65_535;
/// The id of EchoRequest and EchoResponse.
pub const ECHO: u16 = 0x0001;
/// The id of frames that come back as they are.
pub const RAW_ECHO: u16 = 0x0002;
/// The id of frames that come back after a handler has blocked.
pub const BLOCKING: u16 = 0x7001;
/// The id of frames that go to every session.
pub const BROADCAST: u16 = 0x7002;
/// The id of BenchmarkRequest.
pub const BENCHMARK: u16 = 0x1001;
/// The id of BenchmarkResponse.
pub const BENCHMARK_RESPONSE: u16 = 0x1002;

/// One whole frame at the start of some bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// The packet id.
    pub id: u16,
    /// What follows the header.
    pub payload: &'a [u8],
    /// Header and payload.
    pub bytes: &'a [u8],
}

/// A size that no frame can have.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadSize;

/// The first frame of `bytes`, or `None` while it is not whole.
///
/// # Errors
/// When the size is smaller than the header, as soon as its two bytes are there.
#[inline]
pub fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, BadSize> {
    let &[high, low, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let size = usize::from(u16::from_be_bytes([high, low]));
    if size < HEADER_BYTES {
        return Err(BadSize);
    }
    let (Some(bytes), &[high, low, ..]) = (bytes.get(..size), rest) else {
        return Ok(None);
    };
    Ok(Some(Frame {
        id: u16::from_be_bytes([high, low]),
        payload: &bytes[HEADER_BYTES..],
        bytes,
    }))
}

/// The header of a frame, or `None` when the payload is too large for one.
#[must_use]
pub fn header(id: u16, payload_bytes: usize) -> Option<[u8; HEADER_BYTES]> {
    let size = u16::try_from(payload_bytes.checked_add(HEADER_BYTES)?).ok()?;
    let [a, b] = size.to_be_bytes();
    let [c, d] = id.to_be_bytes();
    Some([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_only_when_it_is_whole() {
        let bytes = [0, 6, 0, 2, 7, 8, 0];
        for cut in 0..6 {
            assert_eq!(first_frame(&bytes[..cut]), Ok(None), "{cut} bytes");
        }
        let frame = first_frame(&bytes).unwrap().unwrap();
        assert_eq!((frame.id, frame.payload), (RAW_ECHO, &[7, 8][..]));
        assert_eq!(frame.bytes, &bytes[..6]);
    }

    #[test]
    fn a_size_below_the_header_is_bad_after_two_bytes() {
        assert_eq!(first_frame(&[0, 3]), Err(BadSize));
        assert_eq!(first_frame(&[0, 4]), Ok(None));
    }

    #[test]
    fn the_largest_frame_has_a_header_and_one_more_byte_has_none() {
        let largest = FRAME_BYTES_MAX - HEADER_BYTES;
        assert_eq!(header(ECHO, largest), Some([0xff, 0xff, 0, 1]));
        assert_eq!(header(ECHO, largest + 1), None);
    }
}
