//! What operators write: `fastport status` and `fastport admin`.

use super::count;
use crate::quantity::parse_duration;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Which server is meant, for `fastport status` and `fastport admin`.
#[derive(Args, Debug)]
pub(crate) struct AdminTarget {
    /// Where the server listens for admin requests: an address, or unix:/path.
    #[arg(long, value_name = "ADDR", default_value = crate::administration::DEFAULT_ADDRESS)]
    pub(crate) admin: String,
    /// File that holds the token [default: FASTPORT_ADMIN_TOKEN is asked].
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Flags of `fastport status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) target: AdminTarget,
    /// Stay, and show it live on the whole terminal.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print JSON; with --watch a line a second.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `fastport admin` is to do.
#[derive(Args, Debug)]
pub(crate) struct AdminArguments {
    #[command(flatten)]
    pub(crate) target: AdminTarget,
    #[command(subcommand)]
    pub(crate) action: AdminAction,
}

#[derive(Subcommand, Debug)]
pub(crate) enum AdminAction {
    /// End a session.
    Kick {
        /// The session's id.
        id: u64,
    },
    /// Send text to a session, or to all.
    Message {
        /// Text to send.
        text: String,
        /// The session's id [default: all].
        #[arg(long, value_name = "ID")]
        session: Option<u64>,
    },
    /// Drain the sessions and stop the server.
    Drain,
    /// Log by another level or other directives.
    Log {
        /// A level, or directives like fastport=debug.
        directives: String,
    },
    /// Shut addresses out and end their sessions.
    Ban {
        /// An address, or a block like 192.0.2.0/24.
        block: String,
        /// For how long, as in 10m [default: until the server stops].
        #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
        duration: Option<Duration>,
    },
    /// Take a ban back.
    Unban {
        /// The block, as it was banned.
        block: String,
    },
    /// Show the bans that hold.
    Bans,
    /// Have the server read its settings again.
    Reload,
    /// Log each packet of a session, or stop to.
    Trace {
        /// The session's id.
        id: u64,
        /// Stop.
        #[arg(long)]
        off: bool,
    },
    /// List the sessions, by id.
    Sessions {
        /// How many at most.
        #[arg(long, value_name = "N", default_value = "100", value_parser = count(1, 1_000_000))]
        limit: usize,
    },
}
