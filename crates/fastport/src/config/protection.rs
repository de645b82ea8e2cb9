//! What strangers may take of a service, and who is no stranger.

use crate::protection::address_set::AddressSet;
use crate::protection::meter::Rate;

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
    /// Sessions of one IPv4 address, or of one IPv6 /64; 0 is no limit. Default 64.
    pub address_sessions_max: u32,
    /// New sessions of one IPv4 address or one IPv6 /64. Default 20 a second, 40 at once.
    pub address_accept_rate: Rate,
    /// New sessions of all addresses. Default 2,000 a second, 4,000 at once.
    pub accept_rate: Rate,
    /// Addresses that are remembered, 16 to 16,777,216; further ones share what one may have.
    /// Default 65,536, which take about 4 MiB when all are there.
    pub addresses_max: usize,
}

impl Default for ProtectionConfig {
    fn default() -> Self {
        Self {
            profile: Profile::Public,
            allow: AddressSet::default(),
            deny: AddressSet::default(),
            trusted: AddressSet::loopback(),
            address_sessions_max: 64,
            address_accept_rate: Rate::new(20, 40),
            accept_rate: Rate::new(2000, 4000),
            addresses_max: 65_536,
        }
    }
}
