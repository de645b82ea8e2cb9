//! The identity of a connection or a listener inside one engine.

use crate::in_flight::Op;

/// Slab index and generation. A key that outlives its slot's use finds another generation, and what
/// is asked of it does nothing.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Makes a key. Engines do this; others only pass keys on.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot's index: dense, small, reused.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// How often the slot has been used before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// `operation 8 | generation 24 | index 32`, which travels through the kernel. 24 bits of the
    /// generation are enough, since a slot is not reused while anything of it is in flight.
    #[must_use]
    pub const fn user_data(self, op: Op) -> u64 {
        (op as u64) << 56 | ((self.generation & 0xff_ffff) as u64) << 32 | self.index as u64
    }

    /// The operation, and the index with 24 bits of generation, of [`Key::user_data`]. `None` when
    /// the operation is unknown.
    #[must_use]
    pub fn from_user_data(data: u64) -> Option<(Op, Self)> {
        let op = Op::from_u8((data >> 56) as u8)?;
        let key = Self::new((data & 0xffff_ffff) as u32, (data >> 32) as u32 & 0xff_ffff);
        Some((op, key))
    }

    /// Whether `other`, which may have lost the high bits of its generation, is this key.
    #[must_use]
    pub const fn matches(self, other: Self) -> bool {
        self.index == other.index && (self.generation ^ other.generation) & 0xff_ffff == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn user_data_round_trips(index: u32, generation: u32, op in 1u8..=9) {
            let (key, op) = (Key::new(index, generation), Op::from_u8(op).unwrap());
            let (back, found) = Key::from_user_data(key.user_data(op)).unwrap();
            prop_assert_eq!(back, op);
            prop_assert!(key.matches(found));
            prop_assert_eq!(found.generation(), generation & 0xff_ffff);
        }
    }

    #[test]
    fn unknown_operations_are_refused() {
        assert!(Key::from_user_data(0).is_none());
        assert!(Key::from_user_data(u64::MAX).is_none());
    }
}
