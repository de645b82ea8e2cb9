//! A peer's address in half the memory: few peers have one that needs 28 bytes.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address that is kept for each session.
#[derive(Debug)]
pub(crate) enum PeerAddress {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => Self::V6(Box::new(address)),
        }
    }
}

impl PeerAddress {
    pub(crate) fn get(&self) -> SocketAddr {
        match self {
            Self::V4(address) => (*address).into(),
            Self::V6(address) => (**address).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_comes_out() {
        for address in ["127.1.2.3:65535", "[fe80::1%7]:1"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(PeerAddress::from(address).get(), address);
        }
        assert_eq!(size_of::<PeerAddress>(), 16);
    }
}
