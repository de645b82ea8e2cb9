//! Test support for FastPort: what tests of several crates share. Never part of a release.
//!
//! | module | owns |
//! |---|---|
//! | [`alloc_counter`], [`poison_alloc`] | allocators that count and that poison |
//! | [`live_alloc`] | an allocator that knows how much lives |
//! | `certificates` | authorities and certificates, made on the spot (feature `certificates`) |
//! | [`faulty_engine`] | any engine with faults above it |
//! | [`sim_engine`] | an engine without a kernel: seeded, virtual time, faults |
//! | `simulation` | the whole session layer on it (feature `simulation`) |
//! | `vanish` | a peer that is gone without a word (Linux) |
//! | [`random`], [`verdict`] | decisions from a seed; the first violation and the trace |

pub mod alloc_counter;
#[cfg(feature = "certificates")]
pub mod certificates;
pub mod faulty_engine;
pub mod live_alloc;
pub mod poison_alloc;
pub mod programs;
pub mod random;
pub mod sim_engine;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(target_os = "linux")]
pub mod vanish;
pub mod verdict;

pub use faulty_engine::FaultyEngine;
