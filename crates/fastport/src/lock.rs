//! The locks of this crate, all of them: the one place where they are made and taken.
//!
//! So they can be counted. With the feature `simulation`, which only the project's own tests have,
//! each taking of a lock is, and each that finds it taken: the steady state shows neither
//! (`tests/allocations.rs`). Without it a lock is parking_lot's and nothing more. `cargo xtask
//! tidy` keeps other locks out of the crate.

pub(crate) use parking_lot::{Condvar, MutexGuard};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

/// Lets one at a time in.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    /// Blocks while somebody else is inside.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        take(|| self.0.try_lock(), || self.0.lock())
    }
}

/// Lets readers in together, and a writer alone.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::RwLock::new(value))
    }

    /// Blocks while a writer is inside, or waits.
    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        take(|| self.0.try_read(), || self.0.read())
    }

    /// Blocks while anybody else is inside.
    #[inline]
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        take(|| self.0.try_write(), || self.0.write())
    }
}

#[cfg(not(feature = "simulation"))]
#[inline]
fn take<G>(_at_once: impl FnOnce() -> Option<G>, waiting: impl FnOnce() -> G) -> G {
    waiting()
}

#[cfg(feature = "simulation")]
fn take<G>(at_once: impl FnOnce() -> Option<G>, waiting: impl FnOnce() -> G) -> G {
    counts::TAKEN.fetch_add(1, counts::ORDER);
    at_once().unwrap_or_else(|| {
        // Before the wait: whoever holds the lock may wait for this to be seen.
        counts::CONTENDED.fetch_add(1, counts::ORDER);
        waiting()
    })
}

/// How often the locks of the process were taken.
#[cfg(feature = "simulation")]
pub(crate) mod counts {
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(crate) static TAKEN: AtomicU64 = AtomicU64::new(0);
    /// How often somebody else was inside.
    pub(crate) static CONTENDED: AtomicU64 = AtomicU64::new(0);
    pub(crate) const ORDER: Ordering = Ordering::SeqCst;
}
