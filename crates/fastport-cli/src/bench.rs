//! The load generator: FastPort's own outbound sessions under a plan.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`] | what is to be done |
//! | [`payloads`] | the payloads, prepared up front |
//! | [`wire`] | requests and the check of responses |
//! | [`flow`] | what one session has outstanding |
//! | [`budget`] | how much a phase may still send |
//! | [`phase`] | when a phase has ended |
//! | [`load`] | what happens on a response; runs on the I/O threads |
//! | [`pacer`] | the open loop's send times |
//! | [`churn`] | connections that end after one answer |
//! | [`runner`] | a run from connect to report |
//! | [`report`] | what was measured |
//! | [`timeline`] | how it went over the time of the run |
//! | [`compare`] | two servers beside each other |
//! | [`limits`] | what makes the command fail |

mod budget;
mod churn;
pub(crate) mod compare;
mod flow;
pub(crate) mod limits;
mod load;
mod pacer;
pub(crate) mod payloads;
mod phase;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod runner;
pub(crate) mod timeline;
mod wire;
