//! Everything that the kernel may read or write while operations are in flight, freed in one place.
//!
//! It frees nothing unless it was told that the kernel holds nothing: neither dropping a ring
//! (liburing #329, #1572) nor closing a completion port waits for its operations, so what is not
//! proven free is leaked.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// Owns the parts; leaks them unless [`KernelMemory::release`] was called.
pub(crate) struct KernelMemory<P> {
    parts: ManuallyDrop<P>,
    released: bool,
}

impl<P> KernelMemory<P> {
    pub(crate) const fn new(parts: P) -> Self {
        Self {
            parts: ManuallyDrop::new(parts),
            released: false,
        }
    }

    /// The kernel holds none of it, so dropping may free it.
    pub(crate) const fn release(&mut self) {
        self.released = true;
    }
}

impl<P> Deref for KernelMemory<P> {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        &self.parts
    }
}

impl<P> DerefMut for KernelMemory<P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut P {
        &mut self.parts
    }
}

impl<P> Drop for KernelMemory<P> {
    fn drop(&mut self) {
        if self.released {
            // SAFETY: dropped here only, and never used again since `self` goes.
            unsafe { ManuallyDrop::drop(&mut self.parts) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Counts its drops. Owns no memory: a sanitizer that looks for leaks finds none here.
    struct Part<'a>(&'a Cell<u32>);

    impl Drop for Part<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn what_the_kernel_may_hold_is_leaked_and_the_rest_freed() {
        let drops = Cell::new(0);
        drop(KernelMemory::new(Part(&drops)));
        assert_eq!(drops.get(), 0);

        let mut memory = KernelMemory::new(Part(&drops));
        memory.release();
        drop(memory);
        assert_eq!(drops.get(), 1);
    }
}
