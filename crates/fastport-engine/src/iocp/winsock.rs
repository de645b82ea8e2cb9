//! The overlapped calls of Winsock, each in a function of its own, and what they answer.
//!
//! Nothing here decides anything. Functions that hand memory to the kernel are unsafe and say what
//! must stay in place.

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawSocket, OwnedSocket};
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{
    ERROR_IO_PENDING, ERROR_NOT_FOUND, ERROR_OPERATION_ABORTED, HANDLE,
};
use windows_sys::Win32::Networking::WinSock::{
    LPFN_ACCEPTEX, LPFN_CONNECTEX, SIO_GET_EXTENSION_FUNCTION_POINTER, SOCKET, WSABUF, WSAENOBUFS,
    WSAGetOverlappedResult, WSAID_ACCEPTEX, WSAID_CONNECTEX, WSAIoctl, WSARecv, WSASend,
};
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};
use windows_sys::core::GUID;

/// Room that AcceptEx wants for each address: 16 bytes more than the largest of them.
pub(super) const ADDRESS_ROOM: usize = 128 + 16;

/// How a call that begins an operation went.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Begun {
    /// It is done already. A packet comes all the same, unless the socket skips them.
    Done,
    /// A packet will come.
    Pending,
}

/// What the return of an overlapped call means. An error means that no packet comes.
fn begun(succeeded: bool) -> io::Result<Begun> {
    if succeeded {
        return Ok(Begun::Done);
    }
    let error = io::Error::last_os_error();
    // WSA_IO_PENDING is the same number.
    if error.raw_os_error() == Some(ERROR_IO_PENDING as i32) {
        return Ok(Begun::Pending);
    }
    Err(error)
}

pub(super) fn check(succeeded: bool) -> io::Result<()> {
    if succeeded {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

pub(super) fn raw(socket: &OwnedSocket) -> SOCKET {
    socket.as_raw_socket() as SOCKET
}

pub(super) fn handle(socket: &OwnedSocket) -> HANDLE {
    socket.as_raw_socket() as HANDLE
}

/// Waits for bytes, the end of the stream, or a failure, without taking any bytes.
///
/// # Safety
/// `overlapped` must stay in place, and not be used otherwise, until the operation has ended.
pub(super) unsafe fn wait_for_bytes(
    socket: &OwnedSocket,
    overlapped: *mut OVERLAPPED,
) -> io::Result<Begun> {
    let nothing = WSABUF {
        len: 0,
        buf: null_mut(),
    };
    // SAFETY: the caller's promise; no buffer is involved.
    unsafe { receive(socket, &nothing, overlapped) }
}

/// Receives into `bytes` bytes at `buffer`.
///
/// # Safety
/// As [`wait_for_bytes`], and the same for the buffer.
pub(super) unsafe fn receive_into(
    socket: &OwnedSocket,
    buffer: *mut u8,
    bytes: usize,
    overlapped: *mut OVERLAPPED,
) -> io::Result<Begun> {
    let buffer = WSABUF {
        len: u32::try_from(bytes).unwrap_or(u32::MAX),
        buf: buffer,
    };
    // SAFETY: the caller's promise.
    unsafe { receive(socket, &buffer, overlapped) }
}

/// # Safety
/// As [`receive_into`]. The `WSABUF` itself is copied by the call.
unsafe fn receive(
    socket: &OwnedSocket,
    buffer: &WSABUF,
    overlapped: *mut OVERLAPPED,
) -> io::Result<Begun> {
    let mut flags = 0;
    // No count is asked for, as Microsoft's page on WSARecv advises for overlapped calls.
    // SAFETY: the caller's promise.
    let outcome = unsafe {
        WSARecv(
            raw(socket),
            buffer,
            1,
            null_mut(),
            &raw mut flags,
            overlapped,
            None,
        )
    };
    begun(outcome == 0)
}

/// Sends what the buffers point to, in order.
///
/// # Safety
/// As [`receive_into`], for every buffer. The list itself is copied by the call.
pub(super) unsafe fn send(
    socket: &OwnedSocket,
    buffers: &[WSABUF],
    overlapped: *mut OVERLAPPED,
) -> io::Result<Begun> {
    // SAFETY: the caller's promise.
    let outcome = unsafe {
        WSASend(
            raw(socket),
            buffers.as_ptr(),
            buffers.len() as u32,
            null_mut(),
            0,
            overlapped,
            None,
        )
    };
    begun(outcome == 0)
}

/// Sends as much of what the buffers point to as the kernel takes at once; the socket must not
/// wait. WSAEWOULDBLOCK is that it takes nothing.
///
/// # Safety
/// The buffers must be there until the call returns.
pub(super) unsafe fn send_now(socket: &OwnedSocket, buffers: &[WSABUF]) -> io::Result<usize> {
    let mut sent = 0;
    // SAFETY: the caller's promise.
    let outcome = unsafe {
        WSASend(
            raw(socket),
            buffers.as_ptr(),
            buffers.len() as u32,
            &raw mut sent,
            0,
            null_mut(),
            None,
        )
    };
    check(outcome == 0).map(|()| sent as usize)
}

/// The two functions that a network provider does not export by name.
#[derive(Copy, Clone)]
pub(super) struct Extensions {
    accept: LPFN_ACCEPTEX,
    connect: LPFN_CONNECTEX,
}

impl Extensions {
    /// Asks the provider of this socket.
    pub(super) fn of(socket: &OwnedSocket) -> io::Result<Self> {
        let accept = extension(socket, WSAID_ACCEPTEX)?;
        let connect = extension(socket, WSAID_CONNECTEX)?;
        Ok(Self {
            // SAFETY: the provider gives the function of this id, which has this type.
            accept: unsafe { std::mem::transmute::<usize, LPFN_ACCEPTEX>(accept) },
            // SAFETY: as above.
            connect: unsafe { std::mem::transmute::<usize, LPFN_CONNECTEX>(connect) },
        })
    }

    /// Accepts the next connection of `listener` as `socket`, which is new. No data is waited for:
    /// a client that says nothing would hold the accept for ever.
    ///
    /// # Safety
    /// As [`receive_into`], for `addresses`, which has twice [`ADDRESS_ROOM`] bytes.
    pub(super) unsafe fn accept(
        self,
        listener: &OwnedSocket,
        socket: &OwnedSocket,
        addresses: *mut u8,
        overlapped: *mut OVERLAPPED,
    ) -> io::Result<Begun> {
        let call = self.accept.ok_or(io::ErrorKind::Unsupported)?;
        let mut received = 0;
        // SAFETY: the caller's promise.
        let succeeded = unsafe {
            call(
                raw(listener),
                raw(socket),
                addresses.cast(),
                0,
                ADDRESS_ROOM as u32,
                ADDRESS_ROOM as u32,
                &raw mut received,
                overlapped,
            )
        };
        begun(succeeded != 0)
    }

    /// Connects `socket`, which is bound.
    ///
    /// # Safety
    /// As [`wait_for_bytes`], and the same for the address.
    pub(super) unsafe fn connect(
        self,
        socket: &OwnedSocket,
        to: &socket2::SockAddr,
        overlapped: *mut OVERLAPPED,
    ) -> io::Result<Begun> {
        let call = self.connect.ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: the caller's promise.
        let succeeded = unsafe {
            call(
                raw(socket),
                to.as_ptr().cast(),
                to.len(),
                null(),
                0,
                null_mut(),
                overlapped,
            )
        };
        begun(succeeded != 0)
    }
}

/// The address of a provider's function.
fn extension(socket: &OwnedSocket, id: GUID) -> io::Result<usize> {
    let mut function = 0usize;
    let output: *mut usize = &raw mut function;
    let mut written = 0;
    // SAFETY: the id is read and the address written before the call returns.
    let outcome = unsafe {
        WSAIoctl(
            raw(socket),
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const id).cast(),
            size_of::<GUID>() as u32,
            output.cast(),
            size_of::<usize>() as u32,
            &raw mut written,
            null_mut(),
            None,
        )
    };
    check(outcome == 0)?;
    Ok(function)
}

/// Asks for the end of everything that is outstanding on a socket. Each operation's packet still
/// comes, and tells what became of it.
pub(super) fn cancel_all(socket: &OwnedSocket) -> io::Result<()> {
    #[cfg(test)]
    if tests::misses_cancel() {
        return Ok(());
    }
    // SAFETY: no memory is named.
    cancelled(unsafe { CancelIoEx(handle(socket), null()) } != 0)
}

/// As [`cancel_all`], for one operation.
pub(super) fn cancel(socket: &OwnedSocket, overlapped: *const OVERLAPPED) -> io::Result<()> {
    // SAFETY: the address is compared, not read.
    cancelled(unsafe { CancelIoEx(handle(socket), overlapped) } != 0)
}

/// That nothing was found means that it ended meanwhile: its packet is on the way.
fn cancelled(succeeded: bool) -> io::Result<()> {
    match check(succeeded) {
        Err(error) if error.raw_os_error() == Some(ERROR_NOT_FOUND as i32) => Ok(()),
        outcome => outcome,
    }
}

/// Why an operation that has ended failed, as Winsock's own error: the status in the packet is that
/// of the kernel.
pub(super) fn failure(socket: &OwnedSocket, overlapped: *const OVERLAPPED) -> io::Error {
    let (mut bytes, mut flags) = (0, 0);
    // SAFETY: the operation has ended and lies where it was; nothing is waited for.
    let succeeded = unsafe {
        WSAGetOverlappedResult(raw(socket), overlapped, &raw mut bytes, 0, &raw mut flags)
    };
    if succeeded == 0 {
        io::Error::last_os_error()
    } else {
        io::Error::other("an operation that failed, and of which Winsock says that it did not")
    }
}

/// Whether the kernel had no memory just now: the connection is as good as before.
pub(super) fn is_out_of_memory(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAENOBUFS)
}

/// Whether an operation ended because it was asked to.
pub(super) fn is_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_OPERATION_ABORTED as i32)
}

#[cfg(test)]
pub(super) use tests::{miss_cancels, missed_cancels_left};

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Protocol, Socket, Type};
    use std::cell::Cell;

    thread_local! {
        static CANCELS_TO_MISS: Cell<u32> = const { Cell::new(0) };
    }

    /// The next so many cancels of this thread find nothing.
    pub(in super::super) fn miss_cancels(count: u32) {
        CANCELS_TO_MISS.set(count);
    }

    pub(in super::super) fn missed_cancels_left() -> u32 {
        CANCELS_TO_MISS.get()
    }

    pub(super) fn misses_cancel() -> bool {
        let left = CANCELS_TO_MISS.get();
        CANCELS_TO_MISS.set(left.saturating_sub(1));
        left > 0
    }

    fn socket() -> OwnedSocket {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
        socket.unwrap().into()
    }

    #[test]
    fn the_provider_has_both_extensions() {
        let extensions = Extensions::of(&socket()).unwrap();
        assert!(extensions.accept.is_some() && extensions.connect.is_some());
    }

    #[test]
    fn a_cancel_of_nothing_is_no_error() {
        cancel_all(&socket()).unwrap();
    }
}
