//! What keeps a stranger from taking more than a share: who may connect, how
//! many, how fast.
//!
//! ```text
//!   accepted -> bans, allow/deny -> trusted? -> address: sessions, rate -> rate of all -> session
//!                  |                              |                        |
//!                  +------------ closed, counted by its RejectReason ------+
//! ```
//!
//! What a session may send, and what may wait for all peers together, is limited here as well.
//!
//! Decisions are made on the worker that takes the connection over; what workers share is under one
//! lock that only the begin and the end of a session take.

pub(crate) mod address_set;
pub(crate) mod admission;
pub(crate) mod bans;
pub(crate) mod budget;
pub(crate) mod machine_memory;
pub(crate) mod meter;
pub(crate) mod packet_rate;
pub(crate) mod proxy_header;
pub(crate) mod reject;
