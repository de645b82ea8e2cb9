//! Counters: per worker, written by one thread, summed when read.

pub(crate) mod counters;
pub(crate) mod handler_times;
pub(crate) mod snapshot;
