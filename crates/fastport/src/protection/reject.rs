//! Why a connection became no session: one list, as it is counted.

use std::fmt;

/// Why an accepted connection was closed before it became a session. No handler is told.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RejectReason {
    /// The service has its most sessions.
    Full,
    /// The service is stopping.
    Stopping,
    /// The address is on the deny list, or not on an allow list.
    Denied,
    /// The address has its most sessions.
    AddressFull,
    /// The address connects too fast.
    AddressRate,
    /// All addresses together connect too fast.
    AcceptRate,
    /// Too many bytes are queued in the whole service.
    Memory,
    /// The PROXY header was wrong, or did not come in time.
    ProxyHeader,
    /// An operator has shut the address out.
    Banned,
    /// There are as many sessions as there may be that have not authenticated.
    Unauthenticated,
    /// The TLS handshake failed, or the peer went away during it.
    TlsHandshake,
    /// The TLS handshake was not finished in time.
    TlsTimeout,
    /// Too many TLS handshakes are in progress.
    TlsBusy,
}

impl RejectReason {
    /// The names of the codes, in their order, as metrics show them.
    pub const NAMES: [&'static str; 13] = [
        "full",
        "stopping",
        "denied",
        "address_full",
        "address_rate",
        "accept_rate",
        "memory",
        "proxy_header",
        "banned",
        "unauthenticated",
        "tls_handshake",
        "tls_timeout",
        "tls_busy",
    ];

    /// The reason's number: stable, dense, the index of its counter.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::Stopping => 1,
            Self::Denied => 2,
            Self::AddressFull => 3,
            Self::AddressRate => 4,
            Self::AcceptRate => 5,
            Self::Memory => 6,
            Self::ProxyHeader => 7,
            Self::Banned => 8,
            Self::Unauthenticated => 9,
            Self::TlsHandshake => 10,
            Self::TlsTimeout => 11,
            Self::TlsBusy => 12,
        }
    }

    /// The reason's name in [`RejectReason::NAMES`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.code() as usize]
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the service has its most sessions",
            Self::Stopping => "the service is stopping",
            Self::Denied => "the address is denied",
            Self::AddressFull => "the address has its most sessions",
            Self::AddressRate => "the address connects too fast",
            Self::AcceptRate => "too many connect at once",
            Self::Memory => "too many bytes are queued",
            Self::Banned => "the address is banned",
            Self::Unauthenticated => "too many have not authenticated",
            Self::TlsHandshake => "the TLS handshake failed",
            Self::TlsTimeout => "the TLS handshake was not finished in time",
            Self::TlsBusy => "too many TLS handshakes are in progress",
            Self::ProxyHeader => "the PROXY header is wrong or late",
        })
    }
}
