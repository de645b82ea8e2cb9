//! Sessions: the handle that anyone may hold, and the state that only the owning worker touches.
//!
//! ```text
//!             any thread                                owning worker only
//!   Session = Arc<SessionShared>                  Slot { phase, carry, held, deadlines }
//!     remote half of the send queue  --splice-->    local half of the send queue (OwnerCell)
//!     disconnect flag with its reason               receive, framing, inline handlers
//! ```

pub(crate) mod asks;
pub(crate) mod carry;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod enqueue;
pub(crate) mod flags;
pub(crate) mod handle;
pub(crate) mod held;
pub(crate) mod peer_address;
pub(crate) mod registry;
pub(crate) mod remote_half;
pub(crate) mod requests;
pub(crate) mod send_policy;
pub(crate) mod send_queue;
pub(crate) mod shared;
pub(crate) mod slot;
