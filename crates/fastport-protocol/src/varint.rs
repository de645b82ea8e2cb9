//! The groups of seven bits that protobuf's numbers travel in, lowest first, several at a time.
//!
//! Byte by byte a number of 64 bits takes nine or ten branches that depend on each other; a time
//! stamp in nanoseconds is one of nine bytes, and a message has several.

/// The longest varint, which holds 64 bits.
pub(crate) const BYTES_MAX: usize = 10;

/// In each byte the bit that says that another follows.
const FOLLOWED: u64 = 0x8080_8080_8080_8080;

/// Bytes of `value` as a varint, 1 to 10.
#[inline]
pub(crate) const fn len(value: u64) -> usize {
    // Seven bits go into a byte; zero takes one as well. 9/64 is a little less than 1/7 and exact
    // enough for 64 bits.
    let bits = 64 - (value | 1).leading_zeros();
    ((bits * 9 + 64) / 64) as usize
}

/// The varint of `value`, which is `bytes` long; what is behind it is 0.
#[inline]
pub(crate) fn spread(value: u64, bytes: usize) -> [u8; BYTES_MAX] {
    // Seven bits of each byte of eight, by halves.
    let low = (value & 0x0000_0000_0FFF_FFFF) | (value & 0x00FF_FFFF_F000_0000) << 4;
    let low = (low & 0x0000_3FFF_0000_3FFF) | (low & 0x0FFF_C000_0FFF_C000) << 2;
    let low = (low & 0x007F_007F_007F_007F) | (low & 0x3F80_3F80_3F80_3F80) << 1;
    // All but the last byte are followed.
    let low = match bytes {
        0..=8 => low | FOLLOWED & !(u64::MAX << (8 * bytes.saturating_sub(1))),
        _ => low | FOLLOWED,
    };
    let ninth = ((value >> 56) & 0x7F) as u8 | if bytes > 9 { 0x80 } else { 0 };
    let tenth = (value >> 63) as u8;
    let [a, b, c, d, e, f, g, h] = low.to_le_bytes();
    [
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        ninth,
        if bytes > 9 { tenth } else { 0 },
    ]
}

/// The number that `from` begins with, and how many bytes of it that takes; `None` when it does not
/// end within them or has more than 64 bits.
#[inline]
pub(crate) fn gather(from: &[u8; BYTES_MAX]) -> Option<(u64, usize)> {
    let (low, [ninth, tenth]) = from.split_first_chunk::<8>().and_then(|(low, high)| {
        let high: &[u8; 2] = high.first_chunk()?;
        Some((low, *high))
    })?;
    let low = u64::from_le_bytes(*low);
    let last = !low & FOLLOWED;
    if last != 0 {
        let bytes = last.trailing_zeros() as usize / 8 + 1;
        return Some((pressed(low & (u64::MAX >> (64 - 8 * bytes))), bytes));
    }
    let low = pressed(low) | u64::from(ninth & 0x7F) << 56;
    match (ninth, tenth) {
        (0..0x80, _) => Some((low, 9)),
        // The tenth byte has room for the highest bit alone.
        (_, 0 | 1) => Some((low | u64::from(tenth) << 63, 10)),
        _ => None,
    }
}

/// The lower seven bits of each byte, next to each other.
#[inline]
fn pressed(bytes: u64) -> u64 {
    let bytes = bytes & !FOLLOWED;
    let bytes = (bytes & 0x007F_007F_007F_007F) | (bytes & 0x7F00_7F00_7F00_7F00) >> 1;
    let bytes = (bytes & 0x0000_3FFF_0000_3FFF) | (bytes & 0x3FFF_0000_3FFF_0000) >> 2;
    (bytes & 0x0FFF_FFFF) | (bytes & 0x0FFF_FFFF_0000_0000) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the format's definition says it, byte by byte.
    fn one_by_one(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn check(value: u64, behind: u8) {
        let expected = one_by_one(value);
        let bytes = len(value);
        assert_eq!(bytes, expected.len(), "{value:#x}");
        let spread = spread(value, bytes);
        assert_eq!(spread[..bytes], expected, "{value:#x}");
        assert!(spread[bytes..].iter().all(|byte| *byte == 0));
        let mut followed = [behind; BYTES_MAX];
        followed[..bytes].copy_from_slice(&expected);
        assert_eq!(gather(&followed), Some((value, bytes)), "{value:#x}");
    }

    #[test]
    fn every_length_begins_and_ends_where_it_must() {
        for bit in 0..64 {
            for value in [1 << bit, (1 << bit) - 1, u64::MAX >> bit] {
                check(value, 0);
                check(value, 0xFF);
            }
        }
    }

    #[test]
    fn what_has_no_end_or_too_many_bits_is_no_number() {
        assert_eq!(gather(&[0xFF; BYTES_MAX]), None);
        let mut longest = [0xFF; BYTES_MAX];
        longest[9] = 2;
        assert_eq!(gather(&longest), None);
        // Longer than it need be, which the format allows.
        let mut padded = [0x80; BYTES_MAX];
        padded[9] = 0;
        assert_eq!(gather(&padded), Some((0, 10)));
    }

    proptest! {
        #[test]
        fn a_number_comes_back(value in any::<u64>(), shift in 0..64, behind in any::<u8>()) {
            check(value >> shift, behind);
        }
    }
}
