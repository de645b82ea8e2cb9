//! Who may begin a session: lists, sessions and rate of each address, rate of all.
//!
//! Shared by the workers; the begin and the end of a session take its lock, packets do not.
//!
//! Invariant: an address's count is the number of living sessions that were admitted with
//! [`Standing::Limited`] from it, that of the others those with [`Standing::LimitedAmongOthers`].
//! Memory is bounded by `addresses_max`: entries that say nothing any more make room first; while
//! there is none, further addresses share one entry, so a flood of new addresses can not wipe out
//! what is known of those that were here.

use crate::config::ProtectionConfig;
use crate::lock::{Mutex, RwLock};
use crate::protection::address_set::AddressBlock;
use crate::protection::bans::{Ban, Bans};
use crate::protection::meter::Meter;
use crate::protection::reject::RejectReason;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What an admitted address is to the limits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// On the trusted list: not counted, not limited.
    Trusted,
    /// Counted; [`Admission::release`] when the session ends.
    Limited,
    /// As `Limited`, with all for whom there was no room in the table.
    LimitedAmongOthers,
}

/// Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, which is what one
/// subscriber has (RFC 6177).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
enum Origin {
    V4(u32),
    V6(u64),
    /// All for whom there is no room.
    Others,
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[derive(Copy, Clone, Default)]
struct Entry {
    sessions: u32,
    accepts: Meter,
}

#[derive(Default)]
struct Table {
    /// The map hashes with random keys: peers choose what is in it.
    origins: HashMap<Origin, Entry>,
    accepts: Meter,
    /// No look for entries to forget before this time: one look costs the whole table.
    swept_until: u64,
}

/// The decision, and what it remembers.
pub(crate) struct Admission {
    config: RwLock<Arc<ProtectionConfig>>,
    bans: Bans,
    table: Mutex<Table>,
}

impl Admission {
    pub(crate) fn new(config: ProtectionConfig) -> Self {
        Self {
            config: RwLock::new(Arc::new(config)),
            bans: Bans::default(),
            table: Mutex::default(),
        }
    }

    /// Lets no address of `block` in for `duration`, or for good. `now` is in nanoseconds.
    pub(crate) fn ban(&self, block: AddressBlock, duration: Option<Duration>, now: u64) {
        self.bans.add(block, duration, now);
    }

    /// Takes a ban back. Whether there was one.
    pub(crate) fn unban(&self, block: AddressBlock) -> bool {
        self.bans.remove(block)
    }

    /// The bans that hold at `now`.
    pub(crate) fn bans(&self, now: u64) -> Vec<Ban> {
        self.bans.list(now)
    }

    /// Connections from now on are held to these limits; sessions that there are stay.
    pub(crate) fn reload(&self, config: ProtectionConfig) {
        *self.config.write() = Arc::new(config);
    }

    /// How long a TLS handshake may take, and how many there may be; 0 is no limit.
    #[cfg(feature = "tls")]
    pub(crate) fn handshake_limits(&self) -> (Duration, usize) {
        let config = self.config.read();
        (config.tls_handshake_timeout, config.tls_handshakes_max)
    }

    /// Whether a connection from `address` may become a session. `now` is in nanoseconds. A limit
    /// that is only observed goes to `observe`.
    pub(crate) fn admit(
        &self,
        address: IpAddr,
        now: u64,
        mut observe: impl FnMut(RejectReason),
    ) -> Result<Standing, RejectReason> {
        if self.bans.hold(address, now) {
            return Err(RejectReason::Banned);
        }
        let config = &**self.config.read();
        if config.deny.contains(address)
            || !config.allow.is_empty() && !config.allow.contains(address)
        {
            return Err(RejectReason::Denied);
        }
        if config.trusted.contains(address) {
            return Ok(Standing::Trusted);
        }
        let mut table = self.table.lock();
        if let Err(reason) = table.check(address.into(), config, now) {
            if config.profile.enforces() {
                return Err(reason);
            }
            observe(reason);
        }
        let origin = table.place(address.into(), config.addresses_max, now);
        table.origins.entry(origin).or_default().sessions += 1;
        Ok(match origin {
            Origin::Others => Standing::LimitedAmongOthers,
            Origin::V4(_) | Origin::V6(_) => Standing::Limited,
        })
    }

    /// Sessions that are counted.
    #[cfg(feature = "simulation")]
    pub(crate) fn living(&self) -> usize {
        let table = self.table.lock();
        table
            .origins
            .values()
            .map(|entry| entry.sessions as usize)
            .sum()
    }

    /// A session that was admitted so has ended.
    pub(crate) fn release(&self, address: IpAddr, standing: Standing) {
        let origin = match standing {
            Standing::Trusted => return,
            Standing::Limited => Origin::from(address),
            Standing::LimitedAmongOthers => Origin::Others,
        };
        if let Some(entry) = self.table.lock().origins.get_mut(&origin) {
            entry.sessions = entry.sessions.saturating_sub(1);
        }
    }
}

impl Table {
    /// Whether the limits allow one more from `origin`, and takes it of the rates if so.
    fn check(
        &mut self,
        origin: Origin,
        config: &ProtectionConfig,
        now: u64,
    ) -> Result<(), RejectReason> {
        let origin = self.place(origin, config.addresses_max, now);
        let entry = self.origins.entry(origin).or_default();
        let most = config.address_sessions_max;
        if most > 0 && entry.sessions >= most {
            return Err(RejectReason::AddressFull);
        }
        let rate = config.address_accept_rate;
        let took = entry.accepts.take(rate, 1, now);
        took.map_err(|_| RejectReason::AddressRate)?;
        // Last: one address can not use up what is there for all.
        let took = self.accepts.take(config.accept_rate, 1, now);
        took.map_err(|_| RejectReason::AcceptRate)
    }

    /// Where `origin` is counted.
    fn place(&mut self, origin: Origin, most: usize, now: u64) -> Origin {
        if self.origins.contains_key(&origin) {
            return origin;
        }
        if self.origins.len() >= most && now >= self.swept_until {
            self.origins
                .retain(|_, entry| entry.sessions > 0 || !entry.accepts.is_full(now));
            self.swept_until = now.saturating_add(SWEEP_PAUSE);
        }
        if self.origins.len() < most {
            origin
        } else {
            Origin::Others
        }
    }
}

/// Nanoseconds between two looks for entries to forget: 0.1 s.
const SWEEP_PAUSE: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use crate::protection::meter::Rate;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const SECOND: u64 = 1_000_000_000;

    fn admission(change: impl FnOnce(&mut ProtectionConfig)) -> Admission {
        let mut config = ProtectionConfig::default();
        change(&mut config);
        Admission::new(config)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admit(admission: &Admission, address: IpAddr, now: u64) -> Result<Standing, RejectReason> {
        admission.admit(address, now, |reason| panic!("{reason} was observed"))
    }

    #[test]
    fn an_address_has_so_many_sessions_until_one_ends() {
        let admission = admission(|config| {
            config.address_sessions_max = 2;
            config.address_accept_rate = Rate::OFF;
        });
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert_eq!(admit(&admission, one, 0), Ok(Standing::Limited));
        assert_eq!(admit(&admission, one, 0), Ok(Standing::Limited));
        assert_eq!(admit(&admission, one, 0), Err(RejectReason::AddressFull));
        assert_eq!(admit(&admission, other, 0), Ok(Standing::Limited));
        admission.release(one, Standing::Limited);
        assert_eq!(admit(&admission, one, 0), Ok(Standing::Limited));
    }

    #[test]
    fn a_subscribers_ipv6_addresses_are_one() {
        let admission = admission(|config| config.address_sessions_max = 1);
        let first = admit(&admission, ip("2001:db8:0:1::1"), 0);
        assert_eq!(first, Ok(Standing::Limited));
        let same = admit(&admission, ip("2001:db8:0:1:ffff::2"), 0);
        assert_eq!(same, Err(RejectReason::AddressFull));
        let next = admit(&admission, ip("2001:db8:0:2::1"), 0);
        assert_eq!(next, Ok(Standing::Limited));
        let mapped = ip("::ffff:192.0.2.1");
        assert_eq!(admit(&admission, mapped, 0), Ok(Standing::Limited));
        let same = admit(&admission, ip("192.0.2.1"), 0);
        assert_eq!(same, Err(RejectReason::AddressFull));
    }

    #[test]
    fn one_address_does_not_use_up_what_is_there_for_all() {
        let admission = admission(|config| {
            config.address_sessions_max = 0;
            config.address_accept_rate = Rate::new(1, 2);
            config.accept_rate = Rate::new(1, 4);
        });
        let flooding = ip("192.0.2.1");
        let outcomes: Vec<_> = (0..5).map(|_| admit(&admission, flooding, 0)).collect();
        assert!(outcomes[..2].iter().all(Result::is_ok));
        assert!(
            outcomes[2..]
                .iter()
                .all(|o| *o == Err(RejectReason::AddressRate))
        );
        assert!(admit(&admission, ip("192.0.2.2"), 0).is_ok());
        assert!(admit(&admission, ip("192.0.2.3"), 0).is_ok());
        let last = admit(&admission, ip("192.0.2.4"), 0);
        assert_eq!(last, Err(RejectReason::AcceptRate));
        assert!(admit(&admission, ip("192.0.2.5"), SECOND + 1).is_ok());
    }

    #[test]
    fn lists_come_first_and_the_trusted_are_not_limited() {
        let admission = admission(|config| {
            config.address_sessions_max = 1;
            config.deny = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
        });
        assert_eq!(
            admit(&admission, ip("192.0.2.9"), 0),
            Err(RejectReason::Denied)
        );
        let here = ip("127.0.0.1");
        assert!((0..100).all(|_| admit(&admission, here, 0) == Ok(Standing::Trusted)));
    }

    #[test]
    fn an_allow_list_shuts_the_others_out() {
        let admission = admission(|config| {
            config.allow = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
        });
        assert!(admit(&admission, ip("10.1.1.1"), 0).is_ok());
        assert_eq!(
            admit(&admission, ip("11.1.1.1"), 0),
            Err(RejectReason::Denied)
        );
    }

    #[test]
    fn the_trusted_profile_only_observes() {
        let admission = admission(|config| {
            config.profile = Profile::Trusted;
            config.address_sessions_max = 1;
        });
        let mut observed = Vec::new();
        for _ in 0..3 {
            let admitted = admission.admit(ip("192.0.2.1"), 0, |reason| observed.push(reason));
            assert_eq!(admitted, Ok(Standing::Limited));
        }
        assert_eq!(observed, [RejectReason::AddressFull; 2]);
    }

    /// A flood of addresses neither grows the table nor wipes out what is known.
    #[test]
    fn the_table_has_a_bound_and_forgets_nobody_who_is_here() {
        let admission = admission(|config| {
            config.addresses_max = 100;
            config.address_sessions_max = 1;
            config.accept_rate = Rate::OFF;
        });
        let here = ip("192.0.2.1");
        assert!(admit(&admission, here, 0).is_ok());
        for number in 0..10_000u32 {
            let address = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
            if admit(&admission, address, 0).is_ok() && number >= 99 {
                // The first of those for whom there is no room.
                assert_eq!(number, 99);
            }
        }
        assert!(admission.table.lock().origins.len() <= 101);
        assert_eq!(admit(&admission, here, 0), Err(RejectReason::AddressFull));
        for number in 0..100u32 {
            let standing = if number < 99 {
                Standing::Limited
            } else {
                Standing::LimitedAmongOthers
            };
            admission.release(Ipv4Addr::from_bits(0x0a00_0000 + number).into(), standing);
        }
        let later = 10 * SECOND;
        let new = IpAddr::from(Ipv6Addr::from_bits(1 << 100));
        assert!(admit(&admission, new, later).is_ok());
        assert!(admission.table.lock().origins.len() <= 3);
        assert_eq!(
            admit(&admission, here, later),
            Err(RejectReason::AddressFull)
        );
    }
}
