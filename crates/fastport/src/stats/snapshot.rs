//! What a service has done so far, summed over its workers at one moment.

use crate::stats::counters::WorkerCounters;
use crate::stats::handler_times::HandlerTimesSnapshot;
use crate::worker::link::{ServiceShared, WorkerLink};
use crate::{CloseReason, RejectReason, TlsFailure};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Totals since the service started. They never fall; sums over workers are not one instant's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Sessions that exist now.
    pub sessions: u64,
    /// Sessions that have to authenticate and have not.
    pub unauthenticated: u64,
    /// Sessions that listeners accepted.
    pub accepted: u64,
    /// Sessions that connectors made.
    pub connected: u64,
    /// TLS handshakes that were finished: each made one of those sessions.
    pub tls_handshakes: u64,
    /// Those of them that went on with what an earlier connection agreed on.
    pub tls_resumed: u64,
    /// TLS handshakes that failed, of accepted and of made connections, by [`TlsFailure::code`];
    /// the names are [`TlsFailure::NAMES`]. What was refused for want of room is in `rejected`.
    pub tls_failed: [u64; TlsFailure::NAMES.len()],
    /// TLS handshakes of accepted connections that are in progress now.
    pub tls_in_progress: u64,
    /// Connections closed before they became sessions, by [`RejectReason::code`]; the names are
    /// [`RejectReason::NAMES`].
    pub rejected: [u64; RejectReason::NAMES.len()],
    /// Connections that [`Profile::Trusted`](crate::Profile) let pass and [`Profile::Public`]
    /// would have closed, likewise.
    ///
    /// [`Profile::Public`]: crate::Profile::Public
    pub observed: [u64; RejectReason::NAMES.len()],
    /// Pauses of a listener for want of descriptors or memory, and connections that failed at
    /// accept.
    pub accept_failures: u64,
    /// Outgoing connections that were not made.
    pub connect_failures: u64,
    /// Accepted sockets that could not be taken over.
    pub adopt_failures: u64,
    /// Whole frames received.
    pub packets_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the kernel took.
    pub bytes_out: u64,
    /// Receive completions with data.
    pub receives: u64,
    /// Send operations; `packets_in / sends` tells how well answers coalesce.
    pub sends: u64,
    /// Turns of the workers' loops: at most one system call each on io_uring.
    pub turns: u64,
    /// Times that work was handed to the kernel in the middle of a turn: one more call each.
    pub submits: u64,
    /// Times that reading from a session was paused by back-pressure.
    pub pauses: u64,
    /// Messages that were sent to a room or to everyone: each was encoded once.
    pub broadcasts: u64,
    /// Frames of those that were queued: one for each receiver.
    pub shared_queued: u64,
    /// Bytes that wait for peers now, as of each worker's last turn.
    pub queued_bytes: u64,
    /// Packets above a rate that were delivered all the same: its action is to count, or the
    /// profile only observes.
    pub packets_over_rate: u64,
    /// Packets that waited until a rate allowed them.
    pub packets_delayed: u64,
    /// Packets above a rate that were dropped.
    pub packets_dropped: u64,
    /// Messages that were not queued, since the queue was full and the session's
    /// [`SendPolicy`](crate::SendPolicy) drops the newest.
    pub sends_dropped_newest: u64,
    /// Messages that were taken out of a full queue unsent, since the policy drops the oldest.
    pub sends_dropped_oldest: u64,
    /// Messages in whose place a later one with the same key was queued.
    pub sends_replaced: u64,
    /// Packets with an id that nothing handles.
    pub unhandled: u64,
    /// Payloads that did not decode.
    pub undecodable: u64,
    /// How long handlers took for a packet, in samples.
    pub handler_times: HandlerTimesSnapshot,
    /// Ended sessions by [`CloseReason::code`]; the names are [`CloseReason::NAMES`].
    pub closed: [u64; CloseReason::NAMES.len()],
}

impl StatsSnapshot {
    pub(crate) fn of(service: &ServiceShared, workers: &[Arc<WorkerLink>]) -> Self {
        let mut sum = Self {
            sessions: service.sessions.load(Ordering::Relaxed) as u64,
            unauthenticated: service.unauthenticated.load(Ordering::Relaxed) as u64,
            #[cfg(feature = "tls")]
            tls_in_progress: service.handshakes.load(Ordering::Relaxed) as u64,
            broadcasts: service.broadcasts.get(),
            queued_bytes: service.budget.queued() as u64,
            unhandled: service.unhandled.get(),
            undecodable: service.undecodable.get(),
            ..Self::default()
        };
        for worker in workers {
            sum.add(&worker.counters);
        }
        if let Some(pool) = &service.pool {
            pool.add_times_to(&mut sum.handler_times);
        }
        sum
    }

    pub(crate) fn add(&mut self, worker: &WorkerCounters) {
        self.accepted += worker.accepted.get();
        self.connected += worker.connected.get();
        self.tls_handshakes += worker.tls_handshakes.get();
        self.tls_resumed += worker.tls_resumed.get();
        self.accept_failures += worker.accept_failures.get();
        self.connect_failures += worker.connect_failures.get();
        self.adopt_failures += worker.adopt_failures.get();
        self.packets_in += worker.packets_in.get();
        self.bytes_in += worker.bytes_in.get();
        self.bytes_out += worker.bytes_out.get();
        self.receives += worker.receives.get();
        self.sends += worker.sends.get();
        self.turns += worker.turns.get();
        self.submits += worker.submits.get();
        self.pauses += worker.pauses.get();
        worker.handler_times.add_to(&mut self.handler_times);
        self.shared_queued += worker.shared_queued.get();
        self.packets_over_rate += worker.packets_over_rate.get();
        self.packets_delayed += worker.packets_delayed.get();
        self.packets_dropped += worker.packets_dropped.get();
        self.sends_dropped_newest += worker.sends_dropped_newest.get();
        self.sends_dropped_oldest += worker.sends_dropped_oldest.get();
        self.sends_replaced += worker.sends_replaced.get();
        add_each(&mut self.tls_failed, worker.tls_failed());
        add_each(&mut self.closed, worker.closed());
        add_each(&mut self.rejected, worker.rejected());
        add_each(&mut self.observed, worker.observed());
    }

    /// Connections closed before they became sessions.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// Connections closed for this reason before they became sessions.
    #[must_use]
    pub fn rejected_for(&self, reason: RejectReason) -> u64 {
        self.rejected[usize::from(reason.code())]
    }

    /// Connections that would have been closed for this reason, had the profile enforced it.
    #[must_use]
    pub fn observed_for(&self, reason: RejectReason) -> u64 {
        self.observed[usize::from(reason.code())]
    }

    /// TLS handshakes that failed in this way; certificates and alerts are told apart by kind.
    #[must_use]
    pub fn tls_failed_for(&self, failure: TlsFailure) -> u64 {
        self.tls_failed[usize::from(failure.code())]
    }

    /// Ended sessions in all.
    #[must_use]
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Ended sessions with this reason's code.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[usize::from(reason.code())]
    }
}

fn add_each(sums: &mut [u64], counts: impl Iterator<Item = u64>) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}
