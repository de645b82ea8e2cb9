//! Totals in the text format of Prometheus (version 0.0.4).
//!
//! Label values are names of this program's own, never what a peer sent.

use fastport::{CloseReason, Monitor, RejectReason, StatsSnapshot, TlsFailure};
use std::fmt::Write;

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything there is to scrape.
pub(crate) fn text(monitor: &Monitor, memory_bytes: u64, log_lines_lost: u64) -> String {
    let stats = monitor.stats();
    let mut page = Page(String::with_capacity(8 * 1024));
    page.head(
        "fastport_info",
        "gauge",
        "Version and engine of the server.",
    );
    let (version, engine) = (env!("CARGO_PKG_VERSION"), monitor.engine().name());
    page.line(format_args!(
        "fastport_info{{version=\"{version}\",engine=\"{engine}\"}} 1"
    ));
    page.one(
        "fastport_uptime_seconds",
        "gauge",
        "Time since the start.",
        monitor.uptime().as_secs(),
    );
    gauges(&mut page, monitor, &stats);
    page.one(
        "process_resident_memory_bytes",
        "gauge",
        "Physical memory.",
        memory_bytes,
    );
    totals(&mut page, &stats, log_lines_lost);
    page.each(
        "fastport_sessions_ended_total",
        "Ended sessions.",
        &CloseReason::NAMES,
        &stats.closed,
    );
    page.each(
        "fastport_connections_rejected_total",
        "Connections that became no session.",
        &RejectReason::NAMES,
        &stats.rejected,
    );
    tls_handshakes(&mut page, &stats);
    page.each(
        "fastport_messages_dropped_total",
        "Messages that full send queues did not send.",
        &["newest", "oldest", "replaced"],
        &[
            stats.sends_dropped_newest,
            stats.sends_dropped_oldest,
            stats.sends_replaced,
        ],
    );
    handler_times(&mut page, &stats.handler_times);
    workers(&mut page, monitor);
    page.0
}

fn gauges(page: &mut Page, monitor: &Monitor, stats: &StatsSnapshot) {
    page.one(
        "fastport_sessions",
        "gauge",
        "Sessions that there are.",
        stats.sessions,
    );
    page.one(
        "fastport_unauthenticated_sessions",
        "gauge",
        "Sessions that have to authenticate and have not.",
        stats.unauthenticated,
    );
    page.one(
        "fastport_send_queue_bytes",
        "gauge",
        "Bytes that wait for peers.",
        stats.queued_bytes,
    );
    page.one(
        "fastport_pool_waiting_sessions",
        "gauge",
        "Sessions whose handlers wait for a thread.",
        monitor.waiting_for_pool() as u64,
    );
}

fn tls_handshakes(page: &mut Page, stats: &StatsSnapshot) {
    page.one(
        "fastport_tls_handshakes_in_progress",
        "gauge",
        "TLS handshakes of accepted connections that are not finished.",
        stats.tls_in_progress,
    );
    page.one(
        "fastport_tls_handshakes_total",
        "counter",
        "TLS handshakes that were finished.",
        stats.tls_handshakes,
    );
    page.one(
        "fastport_tls_handshakes_resumed_total",
        "counter",
        "Those of them that went on with what an earlier one agreed on.",
        stats.tls_resumed,
    );
    page.each(
        "fastport_tls_handshakes_failed_total",
        "TLS handshakes that failed.",
        &TlsFailure::NAMES,
        &stats.tls_failed,
    );
}

fn totals(page: &mut Page, stats: &StatsSnapshot, log_lines_lost: u64) {
    let totals = [
        (
            "sessions_accepted",
            "Sessions that listeners accepted.",
            stats.accepted,
        ),
        (
            "sessions_connected",
            "Sessions that connectors made.",
            stats.connected,
        ),
        (
            "packets_received",
            "Whole frames received.",
            stats.packets_in,
        ),
        ("bytes_received", "Bytes received.", stats.bytes_in),
        ("bytes_sent", "Bytes that the kernel took.", stats.bytes_out),
        ("receives", "Receive completions with data.", stats.receives),
        ("sends", "Send operations.", stats.sends),
        ("turns", "Turns of the workers' loops.", stats.turns),
        (
            "read_pauses",
            "Pauses of reading by back-pressure.",
            stats.pauses,
        ),
        (
            "broadcasts",
            "Messages sent to many sessions.",
            stats.broadcasts,
        ),
        (
            "packets_unhandled",
            "Packets with an id that nothing handles.",
            stats.unhandled,
        ),
        (
            "packets_undecodable",
            "Payloads that did not decode.",
            stats.undecodable,
        ),
        (
            "accept_failures",
            "Times that accepting failed.",
            stats.accept_failures,
        ),
        (
            "connect_failures",
            "Outgoing connections not made.",
            stats.connect_failures,
        ),
        (
            "log_lines_lost",
            "Log lines that were lost.",
            log_lines_lost,
        ),
    ];
    for (name, help, value) in totals {
        page.one(&format!("fastport_{name}_total"), "counter", help, value);
    }
}

fn handler_times(page: &mut Page, times: &fastport::HandlerTimesSnapshot) {
    const NAME: &str = "fastport_handler_seconds";
    page.head(NAME, "histogram", "Time of handlers for a packet, sampled.");
    let samples = times.samples();
    for (bound, count) in times.cumulative() {
        let bound = bound.as_secs_f64();
        page.line(format_args!("{NAME}_bucket{{le=\"{bound}\"}} {count}"));
    }
    page.line(format_args!("{NAME}_bucket{{le=\"+Inf\"}} {samples}"));
    page.line(format_args!("{NAME}_sum {}", times.total().as_secs_f64()));
    page.line(format_args!("{NAME}_count {samples}"));
}

fn workers(page: &mut Page, monitor: &Monitor) {
    let workers = monitor.workers();
    type Get = fn(&fastport::WorkerStats) -> u64;
    let series: [(&str, &str, &str, Get); 3] = [
        ("sessions", "gauge", "Sessions on the worker.", |w| {
            w.sessions as u64
        }),
        ("mailbox", "gauge", "Commands not taken yet.", |w| {
            w.mailbox as u64
        }),
        (
            "packets_received_total",
            "counter",
            "Whole frames received.",
            |w| w.packets_in,
        ),
    ];
    for (name, kind, help, get) in series {
        let name = format!("fastport_worker_{name}");
        page.head(&name, kind, help);
        for worker in &workers {
            let (index, value) = (worker.index, get(worker));
            page.line(format_args!("{name}{{worker=\"{index}\"}} {value}"));
        }
    }
}

/// The text that grows.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn each(&mut self, name: &str, help: &str, reasons: &[&str], counts: &[u64]) {
        self.head(name, "counter", help);
        for (reason, count) in reasons.iter().zip(counts) {
            self.line(format_args!("{name}{{reason=\"{reason}\"}} {count}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}
