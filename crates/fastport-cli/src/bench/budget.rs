//! How many requests a phase may still send: so many, or for so long.
//!
//! All I/O threads take from the same budget.

use super::plan::Extent;
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests may still be sent.
pub(crate) struct Budget {
    taken: CachePadded<AtomicU64>,
    requests_max: u64,
    until_ns: AtomicU64,
}

impl Budget {
    /// A budget whose time has not begun.
    pub(crate) fn new(extent: Extent) -> Self {
        let requests_max = match extent {
            Extent::Requests(requests) => requests,
            Extent::Time(_) => u64::MAX,
        };
        let taken = CachePadded::new(AtomicU64::new(0));
        Self {
            taken,
            requests_max,
            until_ns: AtomicU64::new(u64::MAX),
        }
    }

    /// Lets its time begin, if time is what it counts.
    pub(crate) fn begin(&self, now_ns: u64, extent: Extent) {
        if let Extent::Time(time) = extent {
            let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.until_ns
                .store(now_ns.saturating_add(time_ns), Ordering::Release);
        }
    }

    /// Takes one request from the budget, if there is one.
    #[inline]
    pub(crate) fn take(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns.load(Ordering::Relaxed)
            && self.taken.fetch_add(1, Ordering::Relaxed) < self.requests_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_budget_of_requests_is_exact() {
        let budget = Budget::new(Extent::Requests(3));
        budget.begin(0, Extent::Requests(3));
        let taken = (0..10).filter(|now| budget.take(*now)).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_budget_of_time_ends_at_its_time() {
        let extent = Extent::Time(Duration::from_nanos(100));
        let budget = Budget::new(extent);
        budget.begin(50, extent);
        assert!(budget.take(149));
        assert!(!budget.take(150));
    }
}
