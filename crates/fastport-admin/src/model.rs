//! What the JSON interface says: shared by the listener, the page and the terminal dashboard.
//!
//! Totals never fall while the server runs. Fields may be added; none changes its meaning.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole server at one moment, sampled once a second.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// The engine that runs: `io_uring`, `poll` or `iocp`.
    pub engine: String,
    /// Milliseconds since the service started.
    pub uptime_ms: u64,
    /// The time of day of the sample, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The server is stopping.
    pub draining: bool,
    /// Sessions that there are.
    pub sessions: u64,
    /// Totals since the start.
    pub totals: Totals,
    /// Per second, over the last sample.
    pub rates: Rates,
    /// How long handlers took for a packet.
    pub handler: HandlerTimes,
    /// What waits.
    pub queues: Queues,
    /// Ended sessions by reason; reasons that never were are left out.
    pub disconnects: BTreeMap<String, u64>,
    /// Connections that became no session, likewise.
    pub rejects: BTreeMap<String, u64>,
    /// TLS handshakes.
    #[serde(default)]
    pub tls: TlsHandshakes,
    /// Each worker.
    pub workers: Vec<Worker>,
    /// What the process takes.
    pub process: Process,
}

/// Totals since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Sessions that listeners accepted.
    pub accepted: u64,
    /// Sessions that have ended.
    pub ended: u64,
    /// Connections closed before they became sessions.
    pub rejected: u64,
    /// Whole frames received.
    pub packets_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the kernel took.
    pub bytes_out: u64,
    /// Send operations.
    pub sends: u64,
    /// Times that reading from a session was paused by back-pressure.
    pub pauses: u64,
    /// Packets with an id that nothing handles.
    pub unhandled: u64,
    /// Payloads that did not decode.
    pub undecodable: u64,
    /// Times that accepting failed.
    pub accept_failures: u64,
    /// Log lines that were lost.
    pub log_lines_lost: u64,
}

/// Per second.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Rates {
    /// New sessions.
    pub accepted: f64,
    /// Whole frames received.
    pub packets_in: f64,
    /// Bytes received.
    pub bytes_in: f64,
    /// Bytes sent.
    pub bytes_out: f64,
}

/// How long handlers took for a packet in the last sample, in microseconds; 0 without packets.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HandlerTimes {
    /// The median.
    pub p50_us: f64,
    /// 1 in 100 took longer.
    pub p99_us: f64,
    /// Samples since the start.
    pub samples: u64,
}

/// What waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Queues {
    /// Bytes that wait for peers to take them.
    pub send_bytes: u64,
    /// Sessions whose handlers wait for a thread of the pool.
    pub pool_sessions: u64,
    /// Commands that workers have not taken yet.
    pub mailboxes: u64,
}

/// TLS handshakes since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TlsHandshakes {
    /// Of accepted connections, not finished yet.
    pub in_progress: u64,
    /// Finished: each made a session.
    pub completed: u64,
    /// Those of them that went on with what an earlier one agreed on.
    pub resumed: u64,
    /// Failed, by reason; reasons that never were are left out.
    pub failed: BTreeMap<String, u64>,
}

/// One worker.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub index: usize,
    /// Sessions on it.
    pub sessions: usize,
    /// Commands that it has not taken yet.
    pub mailbox: usize,
    /// Whole frames received.
    pub packets_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Turns of its loop.
    pub turns: u64,
    /// Whole frames received a second, over the last sample.
    pub packets_per_second: f64,
}

/// What the process takes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Process {
    /// Physical memory.
    pub memory_bytes: u64,
    /// Processor time in per cent of all cores, 0 to 100.
    pub cpu_percent: f64,
}

/// One second of the past.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// The time of day, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Sessions that there were.
    pub sessions: u64,
    /// Rates of that second.
    pub rates: Rates,
    /// 1 handler call in 100 took longer, in microseconds.
    pub p99_us: f64,
}

/// One session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its id.
    pub id: u64,
    /// The peer's address.
    pub peer: String,
    /// Whole frames received.
    pub packets_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes that wait for the peer to take them.
    pub queued_bytes: u64,
    /// Milliseconds since bytes last came; `None` when none ever did.
    pub silent_ms: Option<u64>,
    /// Whether its packets are logged.
    pub traced: bool,
}

/// Some sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SessionList {
    /// Sessions in all.
    pub total: usize,
    /// In the order of their ids: pass it as `after` for those that follow.
    pub next: Option<u64>,
    /// The sessions.
    pub sessions: Vec<SessionRow>,
}

/// A ban that holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BanRow {
    /// Who is shut out, as a CIDR block.
    pub block: String,
    /// For how much longer; `None` has no end.
    pub seconds_left: Option<u64>,
}

/// What an operator does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Ends a session.
    Kick {
        /// Its id.
        id: u64,
    },
    /// Sends text to a session, or to all.
    Message {
        /// The session's id; all without one.
        id: Option<u64>,
        /// The text, 1,024 bytes at most.
        text: String,
    },
    /// Stops the server: sessions are drained.
    Drain,
    /// Logs by other directives.
    LogLevel {
        /// A level, or directives like `fastport=debug`.
        directives: String,
    },
    /// Shuts addresses out and ends their sessions.
    Ban {
        /// A CIDR block, or one address.
        block: String,
        /// For how long; without it there is no end.
        seconds: Option<u64>,
    },
    /// Takes a ban back.
    Unban {
        /// The block, as it was banned.
        block: String,
    },
    /// Reads the settings again.
    Reload,
    /// Logs each packet of a session, or stops to.
    Trace {
        /// The session's id.
        id: u64,
        /// Whether to log.
        on: bool,
    },
}

/// What came of an action.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether it was done.
    pub done: bool,
    /// What was done, or why not.
    pub message: String,
    /// Lines that say more.
    #[serde(default)]
    pub details: Vec<String>,
}
