//! The errors that an application meets.

use crate::config::ConfigError;
use fastport_engine::EngineError;
use fastport_protocol::PacketId;
use std::fmt;
use std::net::SocketAddr;

/// Why a packet was not queued. Nothing of it was.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session has ended, or its end was asked for.
    #[error("the session is disconnected")]
    Disconnected,
    /// The frame would not fit the wire's size field.
    #[error("packet {id}: a frame of {bytes} bytes is larger than 65535")]
    TooLarge {
        /// The packet's id.
        id: PacketId,
        /// Bytes of the frame.
        bytes: usize,
    },
    /// The send queue is at its hard limit; the session is being closed for it.
    #[error("the send queue holds {queued} bytes, its limit is {limit}")]
    Overflow {
        /// Bytes that are queued.
        queued: usize,
        /// The hard limit.
        limit: usize,
    },
    /// So many broadcasts wait for a worker that it takes no more: it does not take its turns.
    #[error("{limit} broadcasts wait for a worker: it takes no more; do its handlers block?")]
    TooManyBroadcasts {
        /// How many may wait.
        limit: u64,
    },
    /// Too many bytes wait for all peers together; the session, which has more than its share of
    /// them, is being closed for it.
    #[error("{queued} bytes are queued, more than a share of what the service may queue")]
    OverBudget {
        /// Bytes that are queued for this session.
        queued: usize,
    },
    /// The queue is full, and the session's [`SendPolicy`](crate::SendPolicy) drops what comes
    /// then. Told of requests alone, since [`SendStatus::Dropped`] tells of all others.
    #[error("the send queue is full, and its policy drops what comes")]
    Dropped,
    /// A message's encoder called `send`.
    #[error("send was called from inside an encoder")]
    InsideEncoder,
}

/// Whether the peer keeps up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use = "a sender that never looks at back-pressure runs into the hard limit"]
pub enum SendStatus {
    /// Queued.
    Queued,
    /// Queued, but the queue is above its high watermark: slow down until
    /// [`Handler::on_writable`](crate::Handler::on_writable).
    Backpressure,
    /// Not queued: the queue is full, and the session's [`SendPolicy`](crate::SendPolicy) drops
    /// what comes then. `on_writable` follows here too.
    Dropped,
}

/// What can go wrong when a server, a client or an I/O service is started or run.
///
/// `Debug` is its sentence as well: it is what a `main` that returns one prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine, a listener or a worker failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread could not be started.
    #[error("cannot start thread {name}: {source}")]
    Thread {
        /// The thread's name.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The service has stopped, or the worker has died.
    #[error("the I/O service is stopped")]
    Stopped,
    /// A worker thread panicked: a defect of FastPort.
    #[error("worker {index} died: {message}; please report this")]
    WorkerDied {
        /// Which worker.
        index: usize,
        /// What the panic said.
        message: String,
    },
    /// A name could not be resolved.
    #[error("cannot resolve {name}: {source}")]
    Resolve {
        /// What was asked for.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A connection could not be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: crate::CloseReason,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
