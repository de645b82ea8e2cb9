//! The payloads that are sent: random, prepared before the first request.
//!
//! They are windows into one block of random bytes, so that the load generator's own memory traffic
//! stays small: what is measured is the server. No two begin at the same byte unless there are more
//! payloads than bytes.

/// Random bytes beyond the largest payload, for windows to differ in.
const SPREAD_BYTES: usize = 128 * 1024;

/// The prepared payloads.
#[derive(Debug)]
pub(crate) struct PayloadPool {
    bytes: Vec<u8>,
    windows: Vec<Window>,
}

#[derive(Copy, Clone, Debug)]
struct Window {
    at: usize,
    bytes: usize,
}

impl PayloadPool {
    /// `count` payloads of `least` to `most` bytes. The same arguments give the same payloads, so
    /// that runs can be compared.
    pub(crate) fn new(count: usize, least: usize, most: usize) -> Self {
        let mut random = Random::new(0x9E37_79B9_7F4A_7C15);
        let mut bytes = vec![0; most + SPREAD_BYTES];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&random.next().to_le_bytes()[..part.len()]);
        }
        let windows = (0..count.max(1))
            .map(|index| Window {
                // Odd, so that all places are taken before one is taken twice.
                at: index.wrapping_mul(7_919) % SPREAD_BYTES,
                bytes: least + random.below(most - least + 1),
            })
            .collect();
        Self { bytes, windows }
    }

    /// The payload with this number; numbers go round.
    #[inline]
    pub(crate) fn payload(&self, number: usize) -> &[u8] {
        let Window { at, bytes } = self.windows[number % self.windows.len()];
        &self.bytes[at..at + bytes]
    }

    /// Mean bytes of a payload, rounded.
    pub(crate) fn mean_bytes(&self) -> u64 {
        let sum: usize = self.windows.iter().map(|window| window.bytes).sum();
        ((sum + self.windows.len() / 2) / self.windows.len()) as u64
    }
}

/// SplitMix64: small, fast and even enough for payloads; not for secrets.
struct Random {
    state: u64,
}

impl Random {
    fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0 and small beside 2^64: the bias does not matter here.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn sizes_fill_their_range() {
        let pool = PayloadPool::new(1_024, 10, 20);
        let sizes: HashSet<_> = (0..1_024)
            .map(|number| pool.payload(number).len())
            .collect();
        assert_eq!(sizes, (10..=20).collect());
        assert!((14..=16).contains(&pool.mean_bytes()));
    }

    #[test]
    fn payloads_differ_and_go_round() {
        let pool = PayloadPool::new(1_024, 64, 64);
        let contents: HashSet<_> = (0..1_024).map(|number| pool.payload(number)).collect();
        assert_eq!(contents.len(), 1_024);
        assert_eq!(pool.payload(1_024 + 3), pool.payload(3));
    }

    #[test]
    fn bytes_are_spread_evenly() {
        let pool = PayloadPool::new(1, 65_531, 65_531);
        let mut counts = [0u32; 256];
        pool.payload(0)
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(
            counts.iter().all(|count| (150..370).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_extremes_are_possible() {
        assert_eq!(PayloadPool::new(1, 0, 0).payload(0), b"");
        assert_eq!(
            PayloadPool::new(200_000, 65_531, 65_531)
                .payload(199_999)
                .len(),
            65_531
        );
    }
}
