//! The load generator: FastPort's own outbound sessions under a plan.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`] | what is to be done |
//! | [`payloads`] | the payloads, prepared up front |
//! | [`wire`] | requests and the check of responses |
//! | [`flow`] | what one session has outstanding |
//! | [`load`] | what happens on a response; runs on the I/O threads |
//! | [`pacer`] | the open loop's send times |
//! | [`runner`] | a run from connect to report |
//! | [`report`] | what was measured |

mod flow;
mod load;
mod pacer;
pub(crate) mod payloads;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod runner;
mod wire;
