//! Sessions that outlive their connections: nothing lost, nothing doubled, order kept.
//!
//! Each side counts the packets that its handler was given, and keeps what it sent until the other
//! has counted it. When a connection ends without a goodbye the server keeps the session for a
//! while; a client that comes back names it by a token, both tell their counts, and each sends
//! again what the other lacks. Packets carry no number: a connection keeps order, so counting is
//! enough, and what many sessions receive is still one frame. The format is in
//! `docs/session-control.md`.
//!
//! ```text
//!   client                                   server
//!     Hello {token, received: 7}   ------->    finds the session, detaches its old connection
//!     forgets its first 4          <-------  Welcome {received: 4}, forgets its first 7
//!     sends its 5th, 6th ...       <------>  sends its 8th, 9th ...
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`journal`] | what was sent and not yet counted by the peer |
//! | [`endpoint`] | the counts and the connection of one side, the same for both |
//! | [`token`] | the secret that names a session |
//! | [`host`] | the server's side: a handler above a handler |
//! | [`client`] | the client's side: reconnects with back-off and jitter |

pub(crate) mod client;
pub(crate) mod endpoint;
pub(crate) mod host;
pub(crate) mod journal;
pub(crate) mod token;
