//! The memory of overlapped operations: what the kernel writes to from the call that begins one
//! until its packet has been taken out of the port.
//!
//! It is reused by every operation of its connection, one at a time, and never moves: pages are
//! made when the slab of slots grows, and freed with the engine once the kernel holds nothing.

use crate::Op;
use std::cell::UnsafeCell;
use std::ops::Deref;
use std::ptr::NonNull;
use windows_sys::Win32::System::IO::OVERLAPPED;

/// Operations of one page.
const PAGE: usize = 256;

/// One OVERLAPPED, and what it is for. The kernel returns the address of its first field, so that
/// must be the first.
#[repr(C)]
pub(super) struct Operation {
    overlapped: UnsafeCell<OVERLAPPED>,
    /// The index of the slot that it belongs to.
    owner: u32,
    /// Which of the owner's accepts it is.
    position: u16,
    kind: Op,
}

impl Operation {
    pub(super) fn new(kind: Op, owner: u32, position: u16) -> Self {
        Self {
            overlapped: UnsafeCell::new(OVERLAPPED::default()),
            owner,
            position,
            kind,
        }
    }

    /// Clears it for the next call, and the address to hand over.
    pub(super) fn begin(&self) -> *mut OVERLAPPED {
        let overlapped = self.overlapped.get();
        // SAFETY: nothing of it is outstanding, which the owner's `InFlight` keeps, so the kernel
        // does not write; and only this thread does otherwise.
        unsafe { overlapped.write(OVERLAPPED::default()) };
        overlapped
    }

    /// The address, to cancel or to ask what became of it.
    pub(super) const fn address(&self) -> *mut OVERLAPPED {
        self.overlapped.get()
    }

    /// The bytes that it moved. Only after it has ended.
    pub(super) fn bytes(&self) -> usize {
        // SAFETY: it has ended, so the kernel does not write.
        unsafe { (*self.overlapped.get()).InternalHigh }
    }

    /// Whether it ended well. Only after it has ended.
    pub(super) fn succeeded(&self) -> bool {
        // SAFETY: as above.
        let status = unsafe { (*self.overlapped.get()).Internal };
        // An NTSTATUS; those of errors and warnings have the highest bit set (MS-ERREF 2.3).
        status as u32 as i32 >= 0
    }
}

/// Which operation a packet of the port tells of.
#[derive(Copy, Clone, Debug)]
pub(super) struct Ended {
    pub(super) kind: Op,
    pub(super) owner: usize,
    pub(super) position: u16,
}

impl Ended {
    /// What the address in a packet stands for.
    ///
    /// # Safety
    /// It must be one that [`Operation::begin`] returned, of an operation that was not freed since.
    pub(super) unsafe fn of(overlapped: NonNull<OVERLAPPED>) -> Self {
        // SAFETY: the caller's promise; the OVERLAPPED is the first field. These fields are written
        // once, before any call.
        let operation = unsafe { overlapped.cast::<Operation>().as_ref() };
        Self {
            kind: operation.kind,
            owner: operation.owner as usize,
            position: operation.position,
        }
    }
}

/// A boxed slice whose values are named by address elsewhere. A `Box` would promise that nobody
/// else has the address.
pub(super) struct Fixed<T>(NonNull<[T]>);

impl<T> Fixed<T> {
    pub(super) fn new(values: impl Iterator<Item = T>) -> Self {
        let values: Box<[T]> = values.collect();
        Self(NonNull::from(Box::leak(values)))
    }
}

impl<T> Deref for Fixed<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the slice is alive as long as `self`, and never borrowed for writing.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: the address came from a box, and nobody frees it but this.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The operations of one connection: each can be outstanding once.
pub(super) struct Pair {
    pub(super) receive: Operation,
    /// Of a send, and before that of the connect.
    pub(super) send: Operation,
}

/// The operations of all slots, by the slot's index.
#[derive(Default)]
pub(super) struct Operations {
    pages: Vec<Fixed<Pair>>,
}

impl Operations {
    /// Makes sure that the slots of this many places have theirs.
    pub(super) fn cover(&mut self, places: usize) {
        while self.pages.len() * PAGE < places {
            let first = u32::try_from(self.pages.len() * PAGE).expect("fewer than 2^32 slots");
            let pair = |owner| Pair {
                receive: Operation::new(Op::Recv, owner, 0),
                send: Operation::new(Op::Send, owner, 0),
            };
            self.pages
                .push(Fixed::new((first..first + PAGE as u32).map(pair)));
        }
    }

    /// The operations of a slot.
    #[inline]
    pub(super) fn of(&self, index: usize) -> &Pair {
        &self.pages[index / PAGE][index % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_back_to_its_operation_while_more_are_made() {
        let mut operations = Operations::default();
        operations.cover(1);
        let address = operations.of(7).send.begin();
        operations.cover(10 * PAGE);
        // SAFETY: the operation lives as long as `operations`.
        let ended = unsafe { Ended::of(NonNull::new(address).unwrap()) };
        assert_eq!((ended.kind, ended.owner), (Op::Send, 7));
        assert_eq!(operations.of(7).send.address(), address);
        assert_eq!(operations.of(5 * PAGE + 1).receive.bytes(), 0);
    }

    /// What the kernel does with an OVERLAPPED, done by a thread.
    #[test]
    fn another_may_write_while_its_neighbours_are_used() {
        let mut operations = Operations::default();
        operations.cover(2);
        let address = operations.of(0).receive.begin() as usize;
        let kernel = std::thread::spawn(move || {
            let overlapped = address as *mut OVERLAPPED;
            // SAFETY: the main thread does not look at it before the join.
            unsafe { (*overlapped).InternalHigh = 42 };
        });
        operations.of(0).send.begin();
        operations.of(1).receive.begin();
        kernel.join().unwrap();
        assert_eq!(operations.of(0).receive.bytes(), 42);
        assert!(operations.of(0).receive.succeeded());
    }
}
