//! What strangers may take of a service, and who is no stranger.

use crate::protection::address_set::AddressSet;
use crate::protection::machine_memory;
use crate::protection::meter::Rate;
use crate::protection::packet_rate::{PacketRate, RateAction};
use std::time::Duration;

/// Whether limits are enforced.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// They are: for a server that faces the internet.
    #[default]
    Public,
    /// Limits of rates and of sessions of an address are counted when they would act, and do not
    /// act: for a private network, a test of load, or to see what limits would do. All others act.
    Trusted,
}

impl Profile {
    /// Whether a limit acts, or is only counted.
    pub(crate) const fn enforces(self) -> bool {
        matches!(self, Self::Public)
    }
}

/// Limits for strangers. The defaults are meant for a server that faces the internet.
///
/// They do not hold for outgoing connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtectionConfig {
    /// Whether limits act. Default [`Profile::Public`].
    pub profile: Profile,
    /// Addresses that may connect; everyone if it is empty, which is the default.
    pub allow: AddressSet,
    /// Addresses that may not connect, even if they are in `allow`. Default none.
    pub deny: AddressSet,
    /// Addresses that no limit of rates, of sessions of an address and of the time to the first
    /// packet holds for. Default the loopback addresses: what comes from this machine, a proxy in
    /// front for example, is many clients behind one address.
    pub trusted: AddressSet,
    /// Addresses of proxies. What connects from one must begin with a PROXY header (version 1 or
    /// 2) within `proxy_timeout`; the session is of the address in it, with all limits of that
    /// address. From other addresses a header is not looked for. Default none.
    pub proxies: AddressSet,
    /// How long a proxy may take to send its header; more than 0. Default 5 s.
    pub proxy_timeout: Duration,
    /// How long a peer may take for its TLS handshake, also the server that is connected to; more
    /// than 0. Default 5 s.
    pub tls_handshake_timeout: Duration,
    /// TLS handshakes of connections that were accepted which may be in progress at once; further
    /// connections are closed. 0 is no limit. Default 1,024.
    pub tls_handshakes_max: usize,
    /// Sessions of one IPv4 address, or of one IPv6 /64; 0 is no limit. Default 64.
    pub address_sessions_max: u32,
    /// New sessions of one IPv4 address or one IPv6 /64. Default 20 a second, 40 at once.
    pub address_accept_rate: Rate,
    /// New sessions of all addresses. Default 2,000 a second, 4,000 at once.
    pub accept_rate: Rate,
    /// Addresses that are remembered, 16 to 16,777,216; further ones share what one may have.
    /// Default 65,536, which take about 4 MiB when all are there.
    pub addresses_max: usize,
    /// Packets that a session may send. Default 1,000 a second, 2,000 at once.
    pub packet_rate: Rate,
    /// Bytes of frames that a session may send. Default 1 MiB a second, 2 MiB at once.
    pub byte_rate: Rate,
    /// What happens to packets above either. Default [`RateAction::Delay`].
    pub rate_action: RateAction,
    /// Rates of single packet ids, each besides the rates of the session. Default none.
    pub packet_rates: Vec<PacketRate>,
    /// Whether a peer is a stranger until the application says otherwise with
    /// [`Session::set_authenticated`](crate::Session::set_authenticated): until then the next three
    /// limits hold for its session, and it hears nothing of what is for
    /// [`Everyone`](crate::Everyone). They hold for trusted addresses and with each profile. Off by
    /// default.
    pub authentication: bool,
    /// How long a peer may take until then, whatever it sends; more than 0. Default 5 s.
    pub authentication_timeout: Duration,
    /// Largest frame that is taken until then, header included: 4 to 65,535 bytes. Frames are
    /// looked at when they come: a peer must know that it is accepted before it sends a larger
    /// one. Default 1,024.
    pub unauthenticated_frame_bytes_max: usize,
    /// Sessions that may be so at a time, connections above it are closed at once; 0 is no limit.
    /// Default 256.
    pub unauthenticated_sessions_max: usize,
    /// Bytes that may wait for all peers together, from 1 MiB; 0 is no limit. By default, `None`,
    /// a quarter of the memory that the process may use, or 1 GiB where that is not known. Half
    /// of it is shared out: so much each of `sessions_max` sessions may always queue. A session
    /// that needs more when the other half is used up is closed. Holds for trusted addresses too.
    pub queued_bytes_max: Option<usize>,
}

impl ProtectionConfig {
    /// The limit of bytes that wait, 0 if there is none.
    pub(crate) fn queued_bytes_limit(&self) -> usize {
        let known = || machine_memory::available().map_or(1 << 30, |bytes| bytes / 4);
        self.queued_bytes_max.unwrap_or_else(known)
    }
}

impl Default for ProtectionConfig {
    fn default() -> Self {
        Self {
            profile: Profile::Public,
            allow: AddressSet::default(),
            deny: AddressSet::default(),
            trusted: AddressSet::loopback(),
            proxies: AddressSet::default(),
            proxy_timeout: Duration::from_secs(5),
            tls_handshake_timeout: Duration::from_secs(5),
            tls_handshakes_max: 1024,
            address_sessions_max: 64,
            address_accept_rate: Rate::new(20, 40),
            accept_rate: Rate::new(2000, 4000),
            addresses_max: 65_536,
            packet_rate: Rate::new(1000, 2000),
            byte_rate: Rate::new(1 << 20, 2 << 20),
            rate_action: RateAction::Delay,
            packet_rates: Vec::new(),
            authentication: false,
            authentication_timeout: Duration::from_secs(5),
            unauthenticated_frame_bytes_max: 1024,
            unauthenticated_sessions_max: 256,
            queued_bytes_max: None,
        }
    }
}
