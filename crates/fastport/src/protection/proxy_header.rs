//! The header that a proxy in front puts before a connection's bytes: PROXY protocol 1 and 2.
//!
//! As in <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, and strict: what is not
//! exactly a header is an error, since whoever sends it decides which address limits hold for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProxyHeader {
    /// Bytes of the header; the connection's own follow.
    pub(crate) bytes: usize,
    /// The client that the proxy speaks for; `None` when it speaks for itself or does not know.
    pub(crate) client: Option<SocketAddr>,
}

/// What the first bytes are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Parsed {
    /// A whole header.
    Header(ProxyHeader),
    /// The beginning of one.
    NeedMore,
    /// None.
    Invalid,
}

/// The longest header that is taken: the addresses, and 2,000 bytes of extensions.
pub(crate) const HEADER_BYTES_MAX: usize = 16 + 36 + 2000;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2's signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// "The worst case": section 2.1, with its line end.
const LINE_BYTES_MAX: usize = 107;

/// Reads the header at the beginning of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let of_signature = bytes.len().min(SIGNATURE.len());
    if bytes[..of_signature] == SIGNATURE[..of_signature] {
        return match bytes.get(SIGNATURE.len()..) {
            Some(_) => parse_binary(bytes).unwrap_or(Parsed::Invalid),
            None => Parsed::NeedMore,
        };
    }
    let start = b"PROXY ";
    let of_start = bytes.len().min(start.len());
    if bytes[..of_start] != start[..of_start] {
        return Parsed::Invalid;
    }
    let line = bytes
        .iter()
        .take(LINE_BYTES_MAX)
        .position(|byte| *byte == b'\n');
    match line {
        Some(end) => parse_line(&bytes[..=end]).unwrap_or(Parsed::Invalid),
        None if bytes.len() >= LINE_BYTES_MAX => Parsed::Invalid,
        None => Parsed::NeedMore,
    }
}

/// Version 1: a line of text. `None` when it is none.
fn parse_line(line: &[u8]) -> Option<Parsed> {
    let bytes = line.len();
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let words: Vec<_> = line.split(' ').collect();
    let client = match words[..] {
        // Whatever follows is to be ignored.
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", from, to, from_port, to_port] => {
            to.parse::<Ipv4Addr>().ok()?;
            port(to_port)?;
            Some(SocketAddr::new(
                from.parse::<Ipv4Addr>().ok()?.into(),
                port(from_port)?,
            ))
        }
        ["PROXY", "TCP6", from, to, from_port, to_port] => {
            to.parse::<Ipv6Addr>().ok()?;
            port(to_port)?;
            Some(SocketAddr::new(
                from.parse::<Ipv6Addr>().ok()?.into(),
                port(from_port)?,
            ))
        }
        _ => return None,
    };
    Some(Parsed::Header(ProxyHeader { bytes, client }))
}

/// A port as version 1 writes it: digits, no sign, no zero in front.
fn port(text: &str) -> Option<u16> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Version 2, behind its signature. `None` when it is wrong.
fn parse_binary(bytes: &[u8]) -> Option<Parsed> {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else {
        let is_version_2 = bytes.get(12).is_none_or(|byte| byte >> 4 == 2);
        return is_version_2.then_some(Parsed::NeedMore);
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = FIXED_BYTES + length;
    if version_and_command >> 4 != 2 || whole > HEADER_BYTES_MAX {
        return None;
    }
    let Some(rest) = bytes.get(FIXED_BYTES..whole) else {
        return Some(Parsed::NeedMore);
    };
    let client = match (version_and_command & 0xf, family) {
        // LOCAL: the proxy speaks for itself, whatever the rest says.
        (0, _) => None,
        // PROXY without a family: it does not know.
        (1, 0x00) => None,
        (1, 0x11) => Some(client::<4>(rest)?),
        (1, 0x21) => Some(client::<16>(rest)?),
        _ => return None,
    };
    Some(Parsed::Header(ProxyHeader {
        bytes: whole,
        client,
    }))
}

/// Source and destination address, source and destination port, then extensions: type, length,
/// value each. `None` when the extensions do not end where the header does.
fn client<const N: usize>(rest: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = rest.split_first_chunk::<N>()?;
    let (_to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let (_to_port, mut extensions) = rest.split_first_chunk::<2>()?;
    while let Some((_kind, rest)) = extensions.split_first() {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        extensions = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
    }
    Some(SocketAddr::new(
        IpAddr::from(*from),
        u16::from_be_bytes(*from_port),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(bytes: usize, client: Option<&str>) -> Parsed {
        let client = client.map(|client| client.parse().unwrap());
        Parsed::Header(ProxyHeader { bytes, client })
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    /// 192.0.2.1:258 to 198.51.100.1:443.
    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 1, 2, 1, 187];

    #[test]
    fn lines_are_read() {
        for (line, client) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
                Some("192.0.2.1:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 0\r\n",
                Some("[2001:db8::1]:1"),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::ffff ffff::ffff 65535 65535\r\n", None),
        ] {
            assert_eq!(parse(line.as_bytes()), header(line.len(), client), "{line}");
            let more = format!("{line}more");
            assert_eq!(parse(more.as_bytes()), header(line.len(), client), "{line}");
        }
    }

    #[test]
    fn what_is_nearly_a_line_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 1 443\r\n",
            "PROXY TCP4 ::1 ::1 1 443\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.1 1 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Invalid, "{line}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(parse(endless.as_bytes()), Parsed::Invalid);
    }

    #[test]
    fn binary_headers_are_read() {
        let v4 = binary(0x21, 0x11, &V4);
        assert_eq!(parse(&v4), header(28, Some("192.0.2.1:258")));
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[33]) = (0xfe, 9, 7);
        let v6 = binary(0x21, 0x21, &v6);
        assert_eq!(parse(&v6), header(52, Some("[fe00::9]:7")));
        let extended = [&V4[..], &[4, 0, 3, 1, 2, 3, 5, 0, 0]].concat();
        let extended = binary(0x21, 0x11, &extended);
        assert_eq!(parse(&extended), header(37, Some("192.0.2.1:258")));
        assert_eq!(parse(&binary(0x20, 0x11, &V4)), header(28, None), "LOCAL");
        assert_eq!(parse(&binary(0x21, 0x00, &[])), header(16, None), "UNSPEC");
    }

    #[test]
    fn wrong_binary_headers_are_refused() {
        // One whole and right extension, of 2,100 bytes.
        let long = [&V4[..], &[4, 0x08, 0x34], &[0; 0x834]].concat();
        let long = binary(0x21, 0x11, &long);
        for (what, bytes) in [
            ("version 1", binary(0x11, 0x11, &V4)),
            ("version 3", binary(0x31, 0x11, &V4)),
            ("an unknown command", binary(0x22, 0x11, &V4)),
            ("datagrams", binary(0x21, 0x12, &V4)),
            ("a Unix socket", binary(0x21, 0x31, &[0; 216])),
            ("too short for its family", binary(0x21, 0x21, &V4)),
            (
                "an extension past the end",
                binary(0x21, 0x11, &[&V4[..], &[4, 0, 9, 1]].concat()),
            ),
            (
                "an extension without length",
                binary(0x21, 0x11, &[&V4[..], &[4, 0]].concat()),
            ),
            (
                "what says that it is longer than is taken",
                long[..16].to_vec(),
            ),
            ("longer than is taken", long),
        ] {
            assert_eq!(parse(&bytes), Parsed::Invalid, "{what}");
        }
    }

    proptest! {
        /// Whatever comes, each beginning of a header asks for more, and nothing panics.
        #[test]
        fn every_beginning_needs_more(
            is_line in any::<bool>(),
            from in any::<[u8; 4]>(),
            port in any::<u16>(),
            kind in any::<u8>(),
            value in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let client = SocketAddr::new(from.into(), port);
            let bytes = if is_line {
                format!("PROXY TCP4 {} 0.0.0.0 {port} 1\r\n", client.ip()).into_bytes()
            } else {
                let mut rest = from.to_vec();
                rest.extend_from_slice(&[0; 4]);
                rest.extend_from_slice(&port.to_be_bytes());
                rest.extend_from_slice(&[0, 1, kind, 0, value.len() as u8]);
                rest.extend_from_slice(&value);
                binary(0x21, 0x11, &rest)
            };
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end]), Parsed::NeedMore);
            }
            let whole = ProxyHeader { bytes: bytes.len(), client: Some(client) };
            prop_assert_eq!(parse(&bytes), Parsed::Header(whole));
        }

        #[test]
        fn any_bytes_are_judged(
            signed in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
        ) {
            let bytes = if signed { [&SIGNATURE[..], &bytes].concat() } else { bytes };
            match parse(&bytes) {
                Parsed::Header(header) => prop_assert!(header.bytes <= bytes.len()),
                Parsed::NeedMore => prop_assert!(bytes.len() < HEADER_BYTES_MAX),
                Parsed::Invalid => {}
            }
        }
    }
}
