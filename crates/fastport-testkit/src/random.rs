//! A seeded source of decisions: the same seed, the same decisions, on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and good enough to choose steps by.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The source that belongs to a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another source that depends on this one, for a part of a run that should not be disturbed by
    /// what the others draw.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.bits())
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to `below - 1`; 0 when `below` is 0.
    pub fn below(&mut self, below: usize) -> usize {
        // The high half of the product: no division, and a bias of less than 2^-32.
        ((u128::from(self.bits()) * below as u128) >> 64) as usize
    }

    /// A number from `from` to `to`, both included.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// True in so many of 1,000 cases.
    pub fn chance(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.below(1000) < usize::from(per_mille)
    }

    /// An index into `weights`, each as likely as its weight; 0 when all are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total = weights.iter().map(|weight| *weight as usize).sum();
        let mut at = self.below(total);
        for (index, weight) in weights.iter().enumerate() {
            match at.checked_sub(*weight as usize) {
                Some(rest) => at = rest,
                None => return index,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything_and_ranges_hold() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let number = one.between(3, 7);
            assert_eq!(number, two.between(3, 7));
            seen[number - 3] = true;
            assert_ne!(one.weighted(&[0, 1, 2]), 0);
            two.weighted(&[0, 1, 2]);
        }
        assert_eq!(seen, [true; 5]);
        assert!(!one.chance(0) && one.chance(1000));
        assert_eq!((one.below(0), one.below(1)), (0, 0));
    }
}
