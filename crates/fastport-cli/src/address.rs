//! From `name:port` to an address.

use crate::failure::Failure;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};

/// The first address of a name or address with a port. Asks the resolver, which may block.
///
/// # Errors
/// [`Failure::Usage`] when it is no such text, [`Failure::Runtime`] when the name is not known.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, Failure> {
    let mut found = text.to_socket_addrs().map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => Failure::Usage(format!(
            "`{text}` is no address: write HOST:PORT, like 127.0.0.1:6628"
        )),
        _ => Failure::while_doing(format_args!("cannot resolve {text}"), error),
    })?;
    found
        .next()
        .ok_or_else(|| Failure::Runtime(format!("{text} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_they_are() {
        assert_eq!(resolve("127.0.0.1:6628").unwrap().port(), 6628);
        assert!(resolve("[::1]:1").unwrap().is_ipv6());
    }

    #[test]
    fn what_has_no_port_is_a_usage_error() {
        for text in ["127.0.0.1", "", "127.0.0.1:port", "127.0.0.1:70000"] {
            let failure = resolve(text).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)), "{text}: {failure}");
        }
    }
}
