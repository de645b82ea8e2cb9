//! Settings of an I/O service and its sessions, their defaults and ranges.
//!
//! Nothing is checked while a setting is made; `validate` checks all of them when a service starts,
//! and names the first wrong one with its range.

mod protection;
mod validate;

pub use protection::{Profile, ProtectionConfig};

use crate::SendPolicy;
use fastport_engine::{EngineConfig, EngineKind, SocketOptions};
use std::fmt;
use std::time::Duration;

/// Limits and times of each session. Defaults are meant for a public server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    /// Largest frame that is taken, header included: 4 to 65,535 bytes.
    pub frame_bytes_max: usize,
    /// Above so many queued bytes `send` reports back-pressure and reading pauses.
    pub send_high_watermark: usize,
    /// Below so many queued bytes reading goes on and `on_writable` is called.
    pub send_low_watermark: usize,
    /// At so many queued bytes the session is closed.
    pub send_queue_max: usize,
    /// What happens when the queue is above the high watermark; a session can change it for itself
    /// with [`Session::set_send_policy`](crate::Session::set_send_policy).
    pub send_policy: SendPolicy,
    /// With [`SendPolicy::Disconnect`], how long a queue may stay full: from the high watermark
    /// until it is below the low one. More than 0.
    pub send_full_grace: Duration,
    /// Above so many bytes waiting for a pool handler reading pauses; it goes on below half.
    pub receive_high_watermark: usize,
    /// A session that receives nothing for so long is closed; zero turns it off.
    pub idle_timeout: Duration,
    /// A session from an address that is not [`ProtectionConfig::trusted`] whose first packet takes
    /// longer is closed, whatever it sends meanwhile; zero turns it off.
    pub first_packet_timeout: Duration,
    /// A frame that takes longer from its first byte closes the session; zero turns it off.
    pub frame_timeout: Duration,
    /// A session with queued bytes of which none is taken for so long is closed; zero turns it off.
    pub write_stall_timeout: Duration,
    /// Whether a peer is told why it is disconnected also when nobody called
    /// [`Session::kick`](crate::Session::kick): the code and the text of the [`CloseReason`], in a
    /// packet of the reserved range. Off by default: peers that know FastPort's wire alone would
    /// see a packet that they do not know.
    ///
    /// [`CloseReason`]: crate::CloseReason
    pub announce_close: bool,
    /// A peer from which nothing came for so long is asked whether it lives, again and again; zero,
    /// the default, turns it off. Peers must answer 0x8F02 with 0x8F03 and the same payload; those
    /// on FastPort do.
    pub heartbeat_interval: Duration,
    /// A peer from which nothing comes for so long is closed as unresponsive when heartbeats are
    /// on. Longer than the interval.
    pub heartbeat_timeout: Duration,
    /// How long a disconnect may take to flush what is queued.
    pub flush_timeout: Duration,
    /// How long a half-closed session waits for the peer's FIN.
    pub linger_timeout: Duration,
    /// How long an outgoing connection may take to be made.
    pub connect_timeout: Duration,
    /// What happens to a payload that does not decode.
    pub undecodable: Undecodable,
    /// Options of the sessions' sockets.
    pub socket: SocketOptions,
}

/// What happens to a payload that does not decode as its message.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Undecodable {
    /// The session is closed.
    #[default]
    Close,
    /// The packet is counted and dropped.
    CountAndDrop,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            frame_bytes_max: crate::net::framer::FRAME_BYTES_MAX,
            send_high_watermark: 256 * 1024,
            send_low_watermark: 128 * 1024,
            send_queue_max: 1024 * 1024,
            send_policy: SendPolicy::Report,
            send_full_grace: Duration::from_secs(5),
            receive_high_watermark: 256 * 1024,
            idle_timeout: Duration::from_secs(60),
            first_packet_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(20),
            write_stall_timeout: Duration::from_secs(10),
            announce_close: false,
            heartbeat_interval: Duration::ZERO,
            heartbeat_timeout: Duration::from_secs(30),
            flush_timeout: Duration::from_secs(2),
            linger_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            undecodable: Undecodable::Close,
            socket: SocketOptions::default(),
        }
    }
}

/// How handlers are run.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Dispatch {
    /// On the I/O worker: no hand-off; handlers must be short.
    Inline,
    /// On a pool of so many event workers, in order for each session; handlers may block.
    Pool {
        /// Threads; at least 1.
        workers: usize,
    },
}

/// How a worker waits when there is nothing to do.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum WaitStrategy {
    /// It sleeps until something comes.
    #[default]
    Block,
    /// It looks again for [`ServiceConfig::spin_limit`], then sleeps: less latency for a processor
    /// that is busy all that time.
    Spin,
    /// As `Spin` while work comes, on average, within the limit; otherwise as `Block`.
    Adaptive,
}

/// What happens to a service of which a worker died: a defect, in FastPort or below.
///
/// Either way the worker's sessions end with
/// [`CloseReason::WorkerFailed`](crate::CloseReason::WorkerFailed), the failure is logged, and
/// [`StopReport::failure`](crate::StopReport) has it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum WorkerFailure {
    /// [`IoService::wait`](crate::IoService::wait) returns the failure, so that the process ends
    /// and a supervisor starts it again.
    #[default]
    Stop,
    /// The other workers go on, and one of them listens where the dead one did. Nothing starts a
    /// worker in its place. When the last one dies, it is as `Stop`.
    GoOn,
}

/// Settings of an I/O service.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The engine, or `None` for the best that this machine permits.
    pub engine: Option<EngineKind>,
    /// I/O workers; at least 1.
    pub workers: usize,
    /// How handlers are run.
    pub dispatch: Dispatch,
    /// What happens when a worker dies.
    pub worker_failure: WorkerFailure,
    /// How an I/O worker waits when there is nothing to do.
    pub wait: WaitStrategy,
    /// For how long it looks again before it sleeps: 1 µs to 10 ms; not used by `Block`.
    pub spin_limit: Duration,
    /// Sessions over all workers; connections above it are closed at once.
    pub sessions_max: usize,
    /// Limits and times of each session.
    pub session: SessionConfig,
    /// What strangers may take of the service.
    pub protection: ProtectionConfig,
    /// Sizes of each worker's engine; `sessions_max` of it is derived.
    pub engine_config: EngineConfig,
    /// Connections that the kernel keeps before they are accepted.
    pub backlog: u32,
    /// Accepts posted in advance over all workers (IOCP).
    pub accepts_posted: u16,
    /// How long the kernel keeps a connection to itself until its first bytes come, at most a
    /// minute, in whole seconds, rounded up; zero has every connection accepted at once. For
    /// protocols whose client speaks first: a session begins with its first bytes, which spares a
    /// wake-up, and who never sends is no session until the time is over (Linux; others accept at
    /// once).
    pub defer_accept: Duration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            engine: None,
            workers: cores,
            dispatch: Dispatch::Pool { workers: cores },
            worker_failure: WorkerFailure::default(),
            wait: WaitStrategy::default(),
            spin_limit: Duration::from_micros(50),
            sessions_max: 10_000,
            session: SessionConfig::default(),
            protection: ProtectionConfig::default(),
            engine_config: EngineConfig::default(),
            backlog: 1024,
            accepts_posted: 256,
            defer_accept: Duration::ZERO,
        }
    }
}

/// A setting that is out of range, or that contradicts another.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key} = {value}: {expected}")]
pub struct ConfigError {
    /// The setting's key as in a configuration file.
    pub key: &'static str,
    /// What was given.
    pub value: String,
    /// What is allowed.
    pub expected: String,
}

impl ConfigError {
    /// An error for `key`.
    pub fn new(key: &'static str, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self {
            key,
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}
