//! FastPort's completion engines behind one interface: io_uring, IOCP and a readiness fallback.
//!
//! An engine moves bytes between sockets and memory and tells what became of it. It knows nothing
//! of frames, packets or sessions. [`Engine`] is the contract; [`EngineKind::choose`] picks a
//! back-end by what this machine really permits.
//!
//! | module | owns |
//! |---|---|
//! | [`engine`] | the interface, its events, its configuration |
//! | [`key`] | the identity of a connection or listener, with a generation |
//! | [`in_flight`] | what is outstanding and when `Closed` is due, for all back-ends |
//! | [`mailbox`] | work for a worker from other threads, and the parking protocol |
//! | [`moment`] | points in time in eight bytes |
//! | [`timer_wheel`] | coarse deadlines, one entry per key |
//! | [`socket`] | socket options and creation, the same for all back-ends |
//! | [`choice`] | which engine `auto` takes, and why |
//! | [`error`] | what can go wrong with the engine itself |

mod budget;
pub mod choice;
pub mod engine;
pub mod error;
pub mod in_flight;
#[cfg(windows)]
pub mod iocp;
#[cfg(any(windows, target_os = "linux"))]
mod kernel_memory;
pub mod key;
pub mod mailbox;
pub mod moment;
#[cfg(unix)]
pub mod poll;
mod slab;
pub mod socket;
pub mod timer_wheel;
#[cfg(target_os = "linux")]
pub mod uring;

pub use choice::{Choice, EngineKind};
pub use engine::{
    CloseMode, Drained, Engine, EngineConfig, Event, ListenConfig, ReceiveForm, SendFailure, Wait,
    Wake,
};
pub use error::EngineError;
pub use in_flight::{InFlight, Op};
#[cfg(windows)]
pub use iocp::IocpEngine;
pub use key::Key;
pub use mailbox::{Mailbox, Parking};
pub use moment::{Clock, Moment};
#[cfg(unix)]
pub use poll::PollEngine;
pub use socket::{KeepAlive, SocketOptions};
pub use timer_wheel::TimerWheel;
#[cfg(target_os = "linux")]
pub use uring::UringEngine;
