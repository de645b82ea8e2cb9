//! What can go wrong with an engine itself, as opposed to one of its connections.

use std::io;
use std::net::SocketAddr;

/// An error of the engine or of a socket that it was asked to set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The back-end can not be used on this machine.
    #[error("engine {engine} is not available: {reason}; use --engine auto or poll")]
    Unavailable {
        /// The back-end's name.
        engine: &'static str,
        /// What was tried and what the system said.
        reason: String,
    },
    /// Making the completion queue, or a part of it, failed.
    #[error("cannot {action}: {source}")]
    Setup {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A listening socket could not be made.
    #[error("cannot listen on {address}: {source}{}", listen_hint(.source))]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket for an outgoing connection could not be made.
    #[error("cannot open a socket to connect to {address}: {source}")]
    Connect {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A connected socket could not be taken over by a worker.
    #[error("cannot take over an accepted socket: {source}")]
    Adopt {
        /// What the system said.
        source: io::Error,
    },
    /// The worker's completion queue is lost; its connections are gone.
    #[error("the completion queue failed: {source}")]
    Queue {
        /// What the system said.
        source: io::Error,
    },
}

fn listen_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has the port: stop it or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has the address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    }
}
