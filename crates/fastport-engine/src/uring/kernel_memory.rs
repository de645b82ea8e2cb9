//! Everything that the kernel may read or write while operations are in flight, freed in one place.
//!
//! It is declared after the ring, so it is dropped later. It frees nothing unless it was told that
//! the kernel holds nothing: dropping a ring does not wait for its operations (liburing #329,
//! #1572), so what is not proven free is leaked.

use super::provided_buffers::ProvidedBuffers;
use super::send_scratch::SendScratch;
use super::slots::Slots;
use super::waker::WakeRead;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// The parts.
pub(super) struct Parts {
    pub(super) slots: Slots,
    pub(super) buffers: ProvidedBuffers,
    pub(super) scratch: SendScratch,
    pub(super) wake_read: WakeRead,
}

/// Owns the parts; leaks them unless [`KernelMemory::release`] was called.
pub(super) struct KernelMemory {
    parts: ManuallyDrop<Parts>,
    released: bool,
}

impl KernelMemory {
    pub(super) const fn new(parts: Parts) -> Self {
        Self {
            parts: ManuallyDrop::new(parts),
            released: false,
        }
    }

    /// The kernel holds none of it, so dropping may free it.
    pub(super) const fn release(&mut self) {
        self.released = true;
    }
}

impl Deref for KernelMemory {
    type Target = Parts;

    #[inline]
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DerefMut for KernelMemory {
    #[inline]
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

impl Drop for KernelMemory {
    fn drop(&mut self) {
        if self.released {
            // SAFETY: dropped here only, and never used again since `self` goes.
            unsafe { ManuallyDrop::drop(&mut self.parts) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::{Role, Sending};
    use super::super::waker::UringWaker;
    use super::*;
    use fastport_buffer::{Piece, SendBatch, SharedFrame};
    use std::sync::Arc;

    /// Memory with a send of `frame` in flight.
    fn sending(frame: &SharedFrame) -> KernelMemory {
        let mut batch = SendBatch::default();
        batch.push(Piece::Shared(frame.clone(), 0..frame.len()));
        let mut slots = Slots::default();
        let socket = std::fs::File::open("/dev/null").unwrap().into();
        let key = slots.insert(socket, Role::Session);
        slots.find(key).unwrap().sending = Some(Sending { batch, sent: 0 });
        KernelMemory::new(Parts {
            slots,
            buffers: ProvidedBuffers::new(2, 64).unwrap(),
            scratch: SendScratch::default(),
            wake_read: WakeRead::new(UringWaker::open().unwrap()),
        })
    }

    #[test]
    fn what_the_kernel_may_hold_is_leaked_and_the_rest_freed() {
        let frame: SharedFrame = vec![1; 10].into();
        drop(sending(&frame));
        assert_eq!(Arc::strong_count(&frame), 2);

        let frame: SharedFrame = vec![1; 10].into();
        let mut memory = sending(&frame);
        memory.release();
        drop(memory);
        assert_eq!(Arc::strong_count(&frame), 1);
    }
}
