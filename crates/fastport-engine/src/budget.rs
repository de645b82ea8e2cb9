//! What one key may take of a turn before the others get theirs.

/// Calls that read or accept, for one key in one turn.
const CALLS_MAX: u32 = 32;

/// What a key took of the turn in which it was served last.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Budget {
    turn: u64,
    calls: u32,
    /// Saturates: calls end a turn long before.
    bytes: u32,
}

impl Budget {
    /// Whether the key may go on in this turn, having at most `bytes_max` bytes in it.
    pub(crate) fn allows(&mut self, turn: u64, bytes_max: usize) -> bool {
        if self.turn != turn {
            *self = Self {
                turn,
                calls: 0,
                bytes: 0,
            };
        }
        self.calls < CALLS_MAX && (self.bytes as usize) < bytes_max
    }

    /// Whether bytes were moved in this turn.
    #[cfg(windows)]
    pub(crate) fn has_moved(self, turn: u64) -> bool {
        self.turn == turn && self.bytes > 0
    }

    /// Notes a call, and the bytes that it moved.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.calls += 1;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_by_calls_or_by_bytes_and_the_next_starts_anew() {
        let mut budget = Budget::default();
        for _ in 0..CALLS_MAX {
            assert!(budget.allows(1, 100));
            budget.spend(0);
        }
        assert!(!budget.allows(1, 100));
        assert!(budget.allows(2, 100));
        budget.spend(100);
        assert!(!budget.allows(2, 100));
        assert!(budget.allows(3, 100));
    }
}
