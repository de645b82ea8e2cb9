//! What can go wrong with the admin listener, and for its client.

use std::io;

/// An error of the admin listener or of its client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// An address that is none.
    #[error("{text:?} is no admin address: write 127.0.0.1:6629, [::1]:6629 or unix:/path")]
    Address {
        /// What was given.
        text: String,
    },
    /// An address that others reach, without a token.
    #[error(
        "admin listener {address}: others can reach this address, so it needs a token: name a file \
         with admin.token_file, or set FASTPORT_ADMIN_TOKEN"
    )]
    TokenNeeded {
        /// The address.
        address: String,
    },
    /// A token that is too short to be a secret.
    #[error("the admin token has {length} characters; at least {least} are needed")]
    TokenShort {
        /// Its length.
        length: usize,
        /// What is needed.
        least: usize,
    },
    /// One token for two roles.
    #[error("the admin tokens of operators and of viewers are the same: each needs its own")]
    TokensAlike,
    /// A file that can not be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What it was wanted for.
        what: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Listening failed.
    #[error("cannot listen for admin requests on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The thread or its runtime could not be started.
    #[error("cannot start the admin thread: {0}")]
    Thread(#[source] io::Error),
    /// The client did not reach a server, or the server broke off.
    #[error("no answer from {address}: {problem}; does the server run with --admin there?")]
    Unreachable {
        /// The address.
        address: String,
        /// What happened.
        problem: String,
    },
    /// The server answered with an error.
    #[error("{address} refused: {message} (status {status})")]
    Refused {
        /// The address.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
}
