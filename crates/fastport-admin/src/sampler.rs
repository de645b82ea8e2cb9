//! Looks at the service once a second, and keeps what it saw for everybody who asks.
//!
//! So a hundred dashboards cost the service as much as one. Runs on the admin thread.

use crate::clock;
use crate::gauge::Gauge;
use crate::model::{
    HandlerTimes, Point, Process, Queues, Rates, Status, TlsHandshakes, Totals, Worker,
};
use fastport::{CloseReason, Monitor, RejectReason, StatsSnapshot, TlsFailure};
use parking_lot::RwLock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the service is looked at.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// Seconds of the past that are kept.
const HISTORY: usize = 300;

/// The last sample and those before.
#[derive(Default)]
pub(crate) struct Board {
    latest: RwLock<Arc<Status>>,
    history: RwLock<VecDeque<Point>>,
}

impl Board {
    pub(crate) fn latest(&self) -> Arc<Status> {
        self.latest.read().clone()
    }

    pub(crate) fn history(&self) -> Vec<Point> {
        self.history.read().iter().cloned().collect()
    }
}

/// Makes samples.
pub(crate) struct Sampler {
    monitor: Monitor,
    gauge: Gauge,
    before: Option<(Instant, StatsSnapshot, Vec<u64>)>,
}

impl Sampler {
    pub(crate) fn new(monitor: Monitor) -> Self {
        Self {
            monitor,
            gauge: Gauge::new(),
            before: None,
        }
    }

    /// Looks, and puts what it saw on the board.
    pub(crate) fn sample(&mut self, board: &Board, draining: bool, log_lines_lost: u64) {
        let now = clock::now();
        let stats = self.monitor.stats();
        let workers = self.monitor.workers();
        let packets: Vec<u64> = workers.iter().map(|worker| worker.packets_in).collect();
        let (seconds, before, packets_before) = match self.before.take() {
            Some((then, before, packets)) => (now.duration_since(then), before, packets),
            None => (Duration::ZERO, stats.clone(), packets.clone()),
        };
        let per_second = |now: u64, then: u64| match seconds.as_secs_f64() {
            seconds if seconds > 0.0 => now.saturating_sub(then) as f64 / seconds,
            _ => 0.0,
        };
        let rates = Rates {
            accepted: per_second(stats.accepted, before.accepted),
            packets_in: per_second(stats.packets_in, before.packets_in),
            bytes_in: per_second(stats.bytes_in, before.bytes_in),
            bytes_out: per_second(stats.bytes_out, before.bytes_out),
        };
        let recent = stats.handler_times.since(&before.handler_times);
        let micros = |quantile| recent.quantile(quantile).as_nanos() as f64 / 1e3;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            engine: self.monitor.engine().name().into(),
            uptime_ms: millis(self.monitor.uptime()),
            unix_ms: millis(since),
            draining,
            sessions: stats.sessions,
            totals: totals(&stats, log_lines_lost),
            handler: HandlerTimes {
                p50_us: micros(0.5),
                p99_us: micros(0.99),
                samples: stats.handler_times.samples(),
            },
            queues: Queues {
                send_bytes: stats.queued_bytes,
                pool_sessions: self.monitor.waiting_for_pool() as u64,
                mailboxes: workers.iter().map(|worker| worker.mailbox as u64).sum(),
            },
            disconnects: named(&CloseReason::NAMES, &stats.closed),
            rejects: named(&RejectReason::NAMES, &stats.rejected),
            tls: tls_handshakes(&stats),
            workers: workers
                .iter()
                .zip(packets_before)
                .map(|(worker, before)| Worker {
                    index: worker.index,
                    sessions: worker.sessions,
                    mailbox: worker.mailbox,
                    packets_in: worker.packets_in,
                    bytes_in: worker.bytes_in,
                    bytes_out: worker.bytes_out,
                    turns: worker.turns,
                    packets_per_second: per_second(worker.packets_in, before),
                })
                .collect(),
            process: Process {
                memory_bytes: Gauge::memory_bytes(),
                cpu_percent: self.gauge.cpu_percent(now),
            },
            rates,
        };
        self.before = Some((now, stats, packets));
        board.show(status);
    }
}

impl Board {
    fn show(&self, status: Status) {
        let mut history = self.history.write();
        if history.len() >= HISTORY {
            history.pop_front();
        }
        history.push_back(Point {
            unix_ms: status.unix_ms,
            sessions: status.sessions,
            rates: status.rates.clone(),
            p99_us: status.handler.p99_us,
        });
        *self.latest.write() = Arc::new(status);
    }
}

fn totals(stats: &StatsSnapshot, log_lines_lost: u64) -> Totals {
    Totals {
        accepted: stats.accepted,
        ended: stats.closed_total(),
        rejected: stats.rejected_total(),
        packets_in: stats.packets_in,
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
        sends: stats.sends,
        pauses: stats.pauses,
        unhandled: stats.unhandled,
        undecodable: stats.undecodable,
        accept_failures: stats.accept_failures,
        log_lines_lost,
    }
}

fn tls_handshakes(stats: &StatsSnapshot) -> TlsHandshakes {
    TlsHandshakes {
        in_progress: stats.tls_in_progress,
        completed: stats.tls_handshakes,
        resumed: stats.tls_resumed,
        failed: named(&TlsFailure::NAMES, &stats.tls_failed),
    }
}

/// Counts by name, those that are not 0.
fn named(names: &[&str], counts: &[u64]) -> BTreeMap<String, u64> {
    let pairs = names.iter().zip(counts);
    let counted = pairs.filter(|(_, count)| **count > 0);
    counted
        .map(|(name, count)| ((*name).into(), *count))
        .collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
