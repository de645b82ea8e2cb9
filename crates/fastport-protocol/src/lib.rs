//! The messages of FastPort's wire format, their packet ids, and views that read them in place.
//!
//! This crate knows what is inside a frame's payload. It does not know frames, sockets or sessions,
//! and it never panics on what a peer sent: a payload decodes, or the result says why not.
//!
//! | module | owns |
//! |---|---|
//! | [`commons`] | the header and the codes that all messages share |
//! | [`tests`] | ping, echo and error messages |
//! | [`benchmark`] | latency and throughput messages |
//! | [`admin`] | messages of the admin channel |
//! | [`session`] | what session layers say to each other |
//! | [`ids`] | which packet id belongs to which message |
//! | [`headed`] | the header of any message that has one |
//! | [`views`] | the hot messages, read and written without a copy or an allocation |
//!
//! There are two ways to read a message. The generated types own their content and do everything
//! that protobuf does; decoded from [`bytes::Bytes`] they share its memory. A view borrows the
//! payload for the length of a handler. Both accept and reject the same bytes and write the same
//! bytes.
//!
//! The generated types are committed, so that nobody who builds this builds a generator:
//! `tests/generated.rs` holds them against `proto/` and writes them anew.
//!
//! ```
//! use fastport_protocol::prost::Message;
//! use fastport_protocol::tests::EchoRequest;
//! use fastport_protocol::views::EchoRequestView;
//!
//! let payload = EchoRequest { data_str: "hello".into(), ..Default::default() }.encode_to_vec();
//! let view = EchoRequestView::decode(&payload)?;
//! assert_eq!(view.data_str, "hello");
//! # Ok::<(), fastport_protocol::views::ViewError>(())
//! ```
#![forbid(unsafe_code)]

pub use bytes;
pub use prost;

pub mod headed;
pub mod ids;
mod varint;
pub mod views;
mod wire_reader;
mod wire_writer;

pub use headed::Headed;
pub use ids::{Identified, PacketId};

/// The header and the codes that all messages share.
pub mod commons {
    include!("generated/commons.inc");
}

/// Ping, echo and error messages.
pub mod tests {
    include!("generated/tests.inc");
}

/// Latency and throughput messages.
pub mod benchmark {
    include!("generated/benchmark.inc");
}

/// What session layers say to each other, beside the application's packets.
pub mod session {
    include!("generated/session.inc");
}

/// Messages of the admin channel.
pub mod admin {
    include!("generated/admin.inc");
}
