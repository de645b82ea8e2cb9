//! One message for many sessions: rooms, everybody, and how a message gets to all of them.
//!
//! A message is encoded once into a [`SharedFrame`](crate::SharedFrame), and every receiver's queue
//! refers to it. For each worker that has receivers, one *cast* is posted, however many receivers
//! there are; the worker applies it to its own sessions under its own ownership.
//!
//! ```text
//!   any thread                         each worker that has members
//!   Room::broadcast                    Casts: [join] [frame] [leave]   in the order of posting
//!     encode once --> frame              |  before it appends anything of its own
//!     room's lock: one post a worker     v
//!                                      Audience: its members --> a piece in each send queue
//! ```
//!
//! Casts are numbered a worker. What a thread sends to a session while casts wait is marked with
//! the last number (`session/remote_half.rs`), so it goes out behind the broadcasts of the same
//! thread; the owner applies what waits before it appends anything of its own. So a broadcast is
//! in the same order as direct sends are.

pub(crate) mod audience;
pub(crate) mod casts;
pub(crate) mod everyone;
pub(crate) mod room;
