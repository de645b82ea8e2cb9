//! The header that a proxy puts before a connection's bytes: judged as it arrives byte by byte, and
//! against a reader that takes it apart by its positions.

use fastport::simulation::read_proxy_header;
use std::net::{IpAddr, SocketAddr};

/// No header is longer: what is taken of extensions is bounded.
const HEADER_BYTES_MAX: usize = 16 + 36 + 2000;

/// Input: the first bytes of a connection.
///
/// # Panics
/// When a beginning is judged otherwise than the whole, or the slow reader finds something else.
pub fn run(data: &[u8]) {
    match read_proxy_header(data) {
        None => {
            let longer = [data, b"\r\n\r\n"].concat();
            assert_eq!(read_proxy_header(&longer), None, "more bytes mended it");
            assert_eq!(slow(data), None, "a header was refused");
        }
        Some(None) => {
            assert!(data.len() < HEADER_BYTES_MAX, "it waits for ever");
            assert_eq!(slow(data), None, "a whole header was not seen");
            for end in ends(data.len()) {
                assert_eq!(read_proxy_header(&data[..end]), Some(None));
            }
        }
        Some(Some((bytes, client))) => {
            assert_eq!(slow(data), Some((bytes, client)));
            assert_eq!(
                read_proxy_header(&data[..bytes]),
                Some(Some((bytes, client)))
            );
            for end in ends(bytes) {
                assert_eq!(
                    read_proxy_header(&data[..end]),
                    Some(None),
                    "not whole at {end}"
                );
            }
        }
    }
}

/// Some places before the end.
fn ends(bytes: usize) -> impl Iterator<Item = usize> {
    let near = bytes.saturating_sub(3)..bytes;
    (0..bytes.min(20))
        .chain(near)
        .chain(std::iter::once(bytes / 2))
        .filter(move |end| *end < bytes)
}

/// The header at the front, if there is a whole one: its bytes, and the client.
fn slow(data: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    if data.starts_with(b"PROXY ") {
        slow_line(data)
    } else {
        slow_binary(data)
    }
}

fn slow_line(data: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    let bytes = 1 + data.iter().position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(&data[..bytes]).ok()?;
    let line = text.strip_suffix("\r\n")?;
    if bytes > 107 {
        return None;
    }
    if line == "PROXY UNKNOWN" || line.starts_with("PROXY UNKNOWN ") {
        return Some((bytes, None));
    }
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    let from: IpAddr = words.next()?.parse().ok()?;
    let to: IpAddr = words.next()?.parse().ok()?;
    let mut port = || {
        let word = words.next()?;
        let number: u16 = word.parse().ok()?;
        // As it would be written, and in no other way.
        (number.to_string() == word).then_some(number)
    };
    let (from_port, _to_port) = (port()?, port()?);
    let right = match family {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    (right && words.next().is_none()).then_some((bytes, Some(SocketAddr::new(from, from_port))))
}

fn slow_binary(data: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    let signature = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ];
    let number =
        |at: usize| Some(256 * usize::from(*data.get(at)?) + usize::from(*data.get(at + 1)?));
    let bytes = 16 + number(14)?;
    if data[..12] != signature || data.len() < bytes || bytes > HEADER_BYTES_MAX {
        return None;
    }
    let address_bytes = match (data[12], data[13]) {
        (0x20, _) | (0x21, 0) => return Some((bytes, None)),
        (0x21, 0x11) => 4,
        (0x21, 0x21) => 16,
        _ => return None,
    };
    let mut at = 16 + 2 * address_bytes;
    if at + 4 > bytes {
        return None;
    }
    let from = &data[16..16 + address_bytes];
    let from: IpAddr = match <[u8; 4]>::try_from(from) {
        Ok(four) => four.into(),
        Err(_) => <[u8; 16]>::try_from(from).ok()?.into(),
    };
    let from_port = u16::try_from(number(at)?).ok()?;
    at += 4;
    // Extensions: a kind, a length of two bytes, so many bytes.
    while at < bytes {
        if at + 3 > bytes {
            return None;
        }
        at += 3 + number(at + 1)?;
    }
    (at == bytes).then_some((bytes, Some(SocketAddr::new(from, from_port))))
}
