//! Sets of addresses, written as CIDR blocks.
//!
//! A look-up costs one hash look-up for each different prefix length in the set, however many
//! blocks there are, or less where they are few. Immutable once made; any thread.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address without a prefix.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AddressBlock {
    base: IpAddr,
    prefix: u8,
}

/// A text that is no CIDR block.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no address block: write 10.0.0.0/8, 2001:db8::/32 or one address")]
pub struct AddressBlockError {
    text: String,
}

impl AddressBlock {
    /// The block of the addresses that begin with the first `prefix` bits of `base`; further bits
    /// of `base` must be 0. `None` otherwise, or when `prefix` is longer than an address.
    #[must_use]
    pub fn new(base: IpAddr, prefix: u8) -> Option<Self> {
        let most = if base.is_ipv4() { 32 } else { 128 };
        (prefix <= most && masked(base, prefix) == base).then_some(Self { base, prefix })
    }

    /// Whether the address is in the block. An IPv4 address that is mapped into IPv6 counts as the
    /// IPv4 address.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let alike = match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(other)) => {
                (base.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(base), IpAddr::V6(other)) => {
                (base.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        alike >= self.prefix.into()
    }
}

impl FromStr for AddressBlock {
    type Err = AddressBlockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressBlockError { text: text.into() };
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => {
                // `u8::from_str` would take a sign.
                let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = prefix.parse().ok().filter(|_| digits);
                (base, Some(prefix.ok_or_else(error)?))
            }
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| error())?;
        let all = if base.is_ipv4() { 32 } else { 128 };
        Self::new(base, prefix.unwrap_or(all)).ok_or_else(error)
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// So many blocks are looked at one by one.
const FEW: usize = 4;

/// Blocks of addresses. An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct AddressSet {
    blocks: HashSet<AddressBlock>,
    /// The prefix lengths that occur, IPv4's and IPv6's.
    prefixes: [Vec<u8>; 2],
    /// All blocks when there are few, for which a look at each costs less than a hash.
    few: Vec<AddressBlock>,
}

impl AddressSet {
    /// The addresses of this machine itself: `127.0.0.0/8` and `::1`.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = AddressBlock::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        let v6 = AddressBlock::new(Ipv6Addr::LOCALHOST.into(), 128);
        v4.into_iter().chain(v6).collect()
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<AddressBlock> {
        let mut blocks: Vec<_> = self.blocks.iter().copied().collect();
        blocks.sort_unstable();
        blocks
    }

    /// Whether the address is in one of the blocks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.blocks.len() <= FEW {
            return self.few.iter().any(|block| block.contains(address));
        }
        let address = address.to_canonical();
        let mut prefixes = self.prefixes[usize::from(address.is_ipv6())].iter();
        prefixes.any(|prefix| {
            self.blocks.contains(&AddressBlock {
                base: masked(address, *prefix),
                prefix: *prefix,
            })
        })
    }
}

impl FromIterator<AddressBlock> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressBlock>>(blocks: I) -> Self {
        let mut set = Self {
            blocks: blocks.into_iter().collect(),
            ..Self::default()
        };
        for block in &set.blocks {
            let prefixes = &mut set.prefixes[usize::from(block.base.is_ipv6())];
            if !prefixes.contains(&block.prefix) {
                prefixes.push(block.prefix);
            }
        }
        for prefixes in &mut set.prefixes {
            prefixes.sort_unstable();
        }
        if set.blocks.len() <= FEW {
            // In order, or equal sets would differ.
            set.few = set.blocks();
        }
        set
    }
}

impl fmt::Debug for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blocks: Vec<_> = self.blocks.iter().map(ToString::to_string).collect();
        blocks.sort_unstable();
        f.debug_list().entries(blocks).finish()
    }
}

/// The address with all but its first `prefix` bits cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(blocks: &[&str]) -> AddressSet {
        blocks.iter().map(|block| block.parse().unwrap()).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_hold_what_they_say() {
        let set = set(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "::ffff:10.1.2.3",
            "192.0.2.7",
            "2001:db8:ffff::1",
            "::1",
        ] {
            assert!(set.contains(address(inside)), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "2001:db9::",
            "::2",
        ] {
            assert!(!set.contains(address(outside)), "{outside}");
        }
        assert!(!AddressSet::default().contains(address("127.0.0.1")));
        assert!(AddressSet::loopback().contains(address("127.9.9.9")));
    }

    #[test]
    fn everything_is_a_block_too() {
        let everyone = set(&["0.0.0.0/0", "::/0"]);
        assert!(everyone.contains(address("255.255.255.255")));
        assert!(everyone.contains(address("ffff::ffff")));
    }

    /// Whoever is mapped counts as IPv4, so nobody is in it.
    #[test]
    fn a_block_of_mapped_addresses_holds_nobody() {
        let mapped = set(&["::ffff:10.0.0.1", "::ffff:10.0.0.0/104"]);
        for asked in ["10.0.0.1", "::ffff:10.0.0.1", "::1"] {
            assert!(!mapped.contains(address(asked)), "{asked}");
        }
    }

    #[test]
    fn sets_of_the_same_blocks_are_equal() {
        let blocks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"];
        let backwards: Vec<_> = blocks.into_iter().rev().collect();
        // Each has an order of its own of what it hashes.
        assert!((0..20).all(|_| set(&blocks) == set(&backwards)));
        assert_ne!(set(&blocks), set(&blocks[1..]));
    }

    #[test]
    fn what_is_no_block_is_told() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "a/8",
            "1/8",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "10.0.0.0/256",
        ] {
            assert!(text.parse::<AddressBlock>().is_err(), "{text:?}");
        }
    }

    proptest! {
        /// A look-up finds what comparing with every block bit by bit finds.
        #[test]
        fn a_look_up_is_a_comparison_with_every_block(
            blocks in prop::collection::vec((any::<u32>(), 0u8..=32), 0..20),
            near in any::<prop::sample::Index>(),
            flipped in 0u32..32,
        ) {
            let blocks: Vec<_> = blocks
                .into_iter()
                .map(|(bits, prefix)| (masked(Ipv4Addr::from_bits(bits).into(), prefix), prefix))
                .collect();
            let set: AddressSet = blocks
                .iter()
                .filter_map(|(base, prefix)| AddressBlock::new(*base, *prefix))
                .collect();
            let base = match blocks.get(near.index(blocks.len().max(1))) {
                Some((IpAddr::V4(base), _)) => base.to_bits(),
                _ => 0,
            };
            let asked = IpAddr::from(Ipv4Addr::from_bits(base ^ (1 << flipped)));
            let expected = blocks.iter().any(|(base, prefix)| masked(asked, *prefix) == *base);
            prop_assert_eq!(set.contains(asked), expected);
        }

        /// As above for IPv6, in a set that is looked at block by block.
        #[test]
        fn a_look_at_few_blocks_is_a_comparison_with_each(
            blocks in prop::collection::vec((any::<u128>(), 0u8..=128), 1..=FEW),
            near in any::<prop::sample::Index>(),
            flipped in 0u32..128,
        ) {
            let whole = |bits| IpAddr::from(Ipv6Addr::from_bits(bits));
            let blocks: Vec<_> = blocks
                .into_iter()
                .filter_map(|(bits, prefix)| AddressBlock::new(masked(whole(bits), prefix), prefix))
                .collect();
            let set: AddressSet = blocks.iter().copied().collect();
            let IpAddr::V6(base) = near.get(&blocks).base else {
                panic!("a block of IPv6 has an address of IPv6");
            };
            let asked = whole(base.to_bits() ^ (1 << flipped));
            let expected = |block: &AddressBlock| masked(asked, block.prefix) == block.base;
            let expected = blocks.iter().any(expected);
            prop_assert_eq!(set.contains(asked), expected);
        }

        #[test]
        fn a_block_reads_back_as_it_is_written(bits in any::<u128>(), prefix in 0u8..=128) {
            let base = masked(Ipv6Addr::from_bits(bits).into(), prefix);
            let block = AddressBlock::new(base, prefix).unwrap();
            prop_assert_eq!(block.to_string().parse(), Ok(block));
        }
    }
}
