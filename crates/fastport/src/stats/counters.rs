//! A worker's counters. Only their worker writes them; any thread may read.

use crate::stats::handler_times::HandlerTimes;
use crate::{CloseReason, RejectReason, TlsFailure};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread adds to and any thread reads: no read-modify-write on the hot path.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds on the one thread that writes.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Adds from any thread.
    pub(crate) fn add_shared(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The value now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker has done. `accepted` counts on the worker that got the session.
#[derive(Debug, Default)]
pub(crate) struct WorkerCounters {
    pub(crate) accepted: Counter,
    pub(crate) connected: Counter,
    pub(crate) tls_handshakes: Counter,
    pub(crate) tls_resumed: Counter,
    pub(crate) accept_failures: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) adopt_failures: Counter,
    pub(crate) packets_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) receives: Counter,
    pub(crate) sends: Counter,
    pub(crate) turns: Counter,
    pub(crate) submits: Counter,
    pub(crate) pauses: Counter,
    pub(crate) handler_times: HandlerTimes,
    pub(crate) shared_queued: Counter,
    pub(crate) packets_over_rate: Counter,
    pub(crate) packets_delayed: Counter,
    pub(crate) packets_dropped: Counter,
    // Any thread counts these three.
    pub(crate) sends_dropped_newest: Counter,
    pub(crate) sends_dropped_oldest: Counter,
    pub(crate) sends_replaced: Counter,
    tls_failed: [Counter; TlsFailure::NAMES.len()],
    closed: [Counter; CloseReason::NAMES.len()],
    rejected: [Counter; RejectReason::NAMES.len()],
    /// Rejects that the profile let pass.
    observed: [Counter; RejectReason::NAMES.len()],
}

impl WorkerCounters {
    pub(crate) fn count_closed(&self, reason: CloseReason) {
        self.closed[usize::from(reason.code())].add(1);
    }

    pub(crate) fn count_rejected(&self, reason: RejectReason) {
        self.rejected[usize::from(reason.code())].add(1);
    }

    pub(crate) fn count_observed(&self, reason: RejectReason) {
        self.observed[usize::from(reason.code())].add(1);
    }

    /// A handshake failed.
    #[cfg(feature = "tls")]
    pub(crate) fn count_tls_failed(&self, failure: TlsFailure) {
        self.tls_failed[usize::from(failure.code())].add(1);
    }

    pub(crate) fn tls_failed(&self) -> impl Iterator<Item = u64> + '_ {
        self.tls_failed.iter().map(Counter::get)
    }

    pub(crate) fn rejected(&self) -> impl Iterator<Item = u64> + '_ {
        self.rejected.iter().map(Counter::get)
    }

    pub(crate) fn observed(&self) -> impl Iterator<Item = u64> + '_ {
        self.observed.iter().map(Counter::get)
    }

    pub(crate) fn closed(&self) -> impl Iterator<Item = u64> + '_ {
        self.closed.iter().map(Counter::get)
    }
}
