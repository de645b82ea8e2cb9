//! Test support for FastPort: what tests of several crates share. Never part of a release.

pub mod alloc_counter;
pub mod poison_alloc;
pub mod programs;
