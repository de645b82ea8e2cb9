//! Where an admin listener is: a Unix socket, or an address with a port.

use crate::AdminError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where an admin listener is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdminAddress {
    /// `unix:/path`: reachable by its owner only. Not on Windows.
    Unix(PathBuf),
    /// An IP address with a port.
    Tcp(SocketAddr),
}

impl AdminAddress {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

impl FromStr for AdminAddress {
    type Err = AdminError;

    /// Blocks while the system resolves a name.
    fn from_str(text: &str) -> Result<Self, AdminError> {
        let wrong = || AdminError::Address { text: text.into() };
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || !cfg!(unix) {
                return Err(wrong());
            }
            return Ok(Self::Unix(path.into()));
        }
        let mut addresses = text.to_socket_addrs().map_err(|_| wrong())?;
        addresses.next().map(Self::Tcp).ok_or_else(wrong)
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, local) in [
            ("127.0.0.1:6629", true),
            ("[::1]:6629", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:6629", false),
            ("[::]:6629", false),
            ("192.0.2.1:6629", false),
        ] {
            let address: AdminAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_local(), local, "{text}");
        }
        for text in ["", "6629", "127.0.0.1", "unix:", "127.0.0.1:x"] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_is_local() {
        let address: AdminAddress = "unix:/run/fastport.sock".parse().unwrap();
        assert!(address.is_local());
        assert_eq!(address.to_string(), "unix:/run/fastport.sock");
    }
}
