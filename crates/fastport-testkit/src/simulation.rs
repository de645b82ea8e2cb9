//! The whole session layer on simulated engines: one seed, one run, the same each time.
//!
//! A run makes some hundred connections, inbound and outgoing, whose peers send, stall, end and
//! vanish as the seed decides, on engines that cut, delay and fail. After each step the rules of a
//! session's life are checked; see [`ledger`] for them. Workers sleep as real ones do: a worker
//! that is not woken takes no turn, so a lost wake-up shows.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`] | what a seed decides before the first step |
//! | [`run`](mod@run) | the steps, and the checks at the end |
//! | `machine` | workers that sleep or take turns, and the kernel's work for them |
//! | `interlude` | what others do while a handler runs |
//! | [`peer`], [`handler`] | both sides of the application |
//! | [`ledger`], [`directory`] | what should become of a connection, and what has |
//! | [`shrink`](mod@shrink) | a smaller run that still fails |

pub mod directory;
pub mod handler;
mod interlude;
pub mod ledger;
mod machine;
pub mod peer;
pub mod plan;
pub mod run;
pub mod shrink;

pub use plan::Plan;
pub use run::{Outcome, run};
pub use shrink::shrink;
