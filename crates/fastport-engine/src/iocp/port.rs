//! One worker's completion port: the sockets that it serves, the packets that come out of it, and
//! wake-ups from other threads.
//!
//! One thread takes packets, in batches (`GetQueuedCompletionStatusEx`). A packet is only an
//! address here; what it means is the engine's business.

use crate::Wake;
use std::io;
use std::os::windows::io::{AsRawHandle, AsRawSocket, FromRawHandle, OwnedHandle, OwnedSocket};
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::time::Duration;
use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE, WAIT_TIMEOUT};
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED, OVERLAPPED_ENTRY,
    PostQueuedCompletionStatus,
};

/// Packets of one call.
const PACKETS_MAX: usize = 256;

/// No wait is longer, so that a wake-up that the system had no memory for costs no more than this.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Wakes a worker that uses a completion port.
#[derive(Clone, Debug)]
pub struct IocpWaker {
    /// Kept open by every waker, so that a late one posts to a port that nobody reads and never to
    /// a handle that was given out again.
    port: Arc<OwnedHandle>,
}

impl Wake for IocpWaker {
    fn wake(&self) {
        // SAFETY: the handle is open; a packet without an OVERLAPPED names no memory.
        // It fails only when the kernel has no memory left; then `WAIT_MAX` ends the wait.
        unsafe { PostQueuedCompletionStatus(raw(&self.port), 0, 0, null()) };
    }
}

/// The port, and the packets that were taken out and not looked at.
pub(super) struct Port {
    handle: Arc<OwnedHandle>,
    packets: Box<[OVERLAPPED_ENTRY]>,
    taken: usize,
    next: usize,
}

impl Port {
    /// Makes the port, for one thread.
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let handle = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, 1) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the handle is open and nobody else's.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        Ok(Self {
            handle: Arc::new(handle),
            packets: vec![OVERLAPPED_ENTRY::default(); PACKETS_MAX].into(),
            taken: 0,
            next: 0,
        })
    }

    pub(super) fn waker(&self) -> IocpWaker {
        IocpWaker {
            port: self.handle.clone(),
        }
    }

    /// Makes packets of the socket's operations come to this port, for as long as it lives.
    pub(super) fn associate(&self, socket: &OwnedSocket) -> io::Result<()> {
        let file = socket.as_raw_socket() as HANDLE;
        // SAFETY: both handles are open; no memory is involved.
        let port = unsafe { CreateIoCompletionPort(file, raw(&self.handle), 0, 0) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Takes packets out, waiting for the first at most so long. Does nothing while there are some.
    pub(super) fn harvest(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.next < self.taken {
            return Ok(());
        }
        self.next = 0;
        self.taken = 0;
        let wait = timeout.map_or(WAIT_MAX, |timeout| timeout.min(WAIT_MAX));
        // Rounded up: a wait that ends early would turn until the time has come.
        let milliseconds = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let mut taken = 0;
        // SAFETY: the array has room for so many packets.
        let succeeded = unsafe {
            GetQueuedCompletionStatusEx(
                raw(&self.handle),
                self.packets.as_mut_ptr(),
                self.packets.len() as u32,
                &raw mut taken,
                milliseconds,
                0,
            )
        };
        if succeeded != 0 {
            self.taken = taken as usize;
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // Anything else concerns the port itself: a failed operation is a packet like any other.
        if error.raw_os_error() == Some(WAIT_TIMEOUT as i32) {
            return Ok(());
        }
        Err(error)
    }

    /// The next operation that has ended. Wake-ups have done their work by being there.
    #[inline]
    pub(super) fn next(&mut self) -> Option<NonNull<OVERLAPPED>> {
        while self.next < self.taken {
            let packet = &self.packets[self.next];
            self.next += 1;
            if let Some(overlapped) = NonNull::new(packet.lpOverlapped) {
                return Some(overlapped);
            }
        }
        None
    }
}

fn raw(handle: &OwnedHandle) -> HANDLE {
    handle.as_raw_handle()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_ends_a_wait_and_is_no_operation() {
        let mut port = Port::open().unwrap();
        port.waker().wake();
        port.harvest(None).unwrap();
        assert_eq!(port.taken, 1);
        assert!(port.next().is_none());
        port.harvest(Some(Duration::ZERO)).unwrap();
        assert_eq!(port.taken, 0);
    }

    #[test]
    fn a_waker_outlives_its_port() {
        let waker = Port::open().unwrap().waker();
        waker.wake();
    }
}
