//! Addresses that an operator has shut out, each for a time.
//!
//! Asked once for each connection; while there is no ban that is one look at a flag.

use crate::AddressBlock;
use crate::lock::RwLock;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A ban that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ban {
    /// Who is shut out.
    pub block: AddressBlock,
    /// For how much longer; `None` has no end.
    pub left: Option<Duration>,
}

/// Bans by block, with the end of each in nanoseconds since the service started.
#[derive(Default)]
pub(crate) struct Bans {
    any: AtomicBool,
    ends: RwLock<BTreeMap<AddressBlock, u64>>,
}

/// The end of a ban that has none.
const NEVER: u64 = u64::MAX;

impl Bans {
    /// Whether no connection from the address is to be taken at `now`.
    pub(crate) fn hold(&self, address: IpAddr, now: u64) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let ends = self.ends.read();
        ends.iter()
            .any(|(block, end)| now < *end && block.contains(address))
    }

    pub(crate) fn add(&self, block: AddressBlock, duration: Option<Duration>, now: u64) {
        let end = duration.map_or(NEVER, |duration| {
            let duration = u64::try_from(duration.as_nanos()).unwrap_or(NEVER);
            now.saturating_add(duration)
        });
        let mut ends = self.ends.write();
        // Those that are over make room here: a list is as long as what was banned since.
        ends.retain(|_, end| now < *end);
        ends.insert(block, end);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn remove(&self, block: AddressBlock) -> bool {
        let mut ends = self.ends.write();
        let was = ends.remove(&block).is_some();
        self.any.store(!ends.is_empty(), Ordering::Release);
        was
    }

    pub(crate) fn list(&self, now: u64) -> Vec<Ban> {
        let ends = self.ends.read();
        let held = ends.iter().filter(|(_, end)| now < **end);
        held.map(|(block, end)| Ban {
            block: *block,
            left: (*end != NEVER).then(|| Duration::from_nanos(end - now)),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> AddressBlock {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_ban_holds_for_its_block_until_its_end() {
        let bans = Bans::default();
        assert!(!bans.hold(ip("192.0.2.1"), 0));
        bans.add(block("192.0.2.0/24"), Some(Duration::from_nanos(10)), 5);
        bans.add(block("2001:db8::/32"), None, 5);
        assert!(bans.hold(ip("192.0.2.1"), 14) && bans.hold(ip("::ffff:192.0.2.9"), 14));
        assert!(!bans.hold(ip("192.0.3.1"), 14));
        assert!(!bans.hold(ip("192.0.2.1"), 15));
        assert!(bans.hold(ip("2001:db8::7"), u64::MAX - 1));
        assert_eq!(bans.list(6).len(), 2);
        assert_eq!(bans.list(6)[0].left, Some(Duration::from_nanos(9)));
        assert_eq!(bans.list(15).len(), 1);
    }

    #[test]
    fn a_ban_is_replaced_and_taken_back() {
        let bans = Bans::default();
        bans.add(block("192.0.2.1"), None, 0);
        bans.add(block("192.0.2.1"), Some(Duration::from_nanos(1)), 0);
        assert!(!bans.hold(ip("192.0.2.1"), 1));
        assert!(bans.remove(block("192.0.2.1")) && !bans.remove(block("192.0.2.1")));
        assert!(!bans.hold(ip("192.0.2.1"), 0));
    }
}
