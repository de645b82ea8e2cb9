//! FastPort's admin listener: what an operator sees of a running service and does to it.
//!
//! One listener serves Prometheus `/metrics`, `/healthz` and `/readyz`, a self-contained live page,
//! a JSON interface, and the wire's admin packets (0x8001 to 0x8004), told apart by their first
//! byte. Everything runs on one thread of its own; I/O workers are never waited for and never wait.
//!
//! ```text
//!   browser, curl, Prometheus --HTTP--+
//!   clients of the wire ----packets---+--> listener (thread fastport-admin) --> Monitor, Control
//!   game port (if allowed) --channel--+          |
//!                                                +--> audit log
//! ```
//!
//! # Who may
//! A Unix socket is its owner's (mode 0600). A loopback address needs no token unless one is given;
//! any other address does not start without one. Requests over TCP must name this machine in
//! `Host`, and what changes something must be JSON from the same origin, so that no page of a
//! browser's can reach in. A second token may be given for viewers, who read and do not act. Every
//! action, done or refused, is a line of the audit log, with the role of who asked for it.
#![forbid(unsafe_code)]

mod access;
mod actions;
mod address;
mod audit;
mod ban_file;
pub mod client;
mod clock;
mod error;
mod gauge;
mod http;
mod listener;
mod metrics;
pub mod model;
mod sampler;
mod server;
mod sniffed;
mod walk;
mod wire;

pub use access::{Role, Token};
pub use address::AdminAddress;
pub use error::AdminError;
pub use server::{AdminConfig, AdminServer, Control};
pub use wire::InBand;
