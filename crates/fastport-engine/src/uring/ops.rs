//! The submission entries of every operation, in one place with their flags.
//!
//! Nothing here is submitted, so nothing here is unsafe; [`Ring::push`](super::ring::Ring::push)
//! says what must hold for the memory that an entry names.

use crate::{Key, Op};
use io_uring::{opcode, squeue, types};
use std::os::fd::{AsRawFd, OwnedFd};

/// The group id of the worker's only ring of provided buffers.
pub(super) const BUFFER_GROUP: u16 = 0;

/// `IORING_RECV_MULTISHOT` of `linux/io_uring.h`, for `ioprio`.
const MULTISHOT: u16 = 1 << 1;

/// The key of operations that belong to no slot: the wake-up's read and every cancel.
const NOBODY: Key = Key::new(0, 0);

/// Accepts until cancelled or until it fails. No address is asked for: a multishot accept has room
/// for only one.
pub(super) fn accept(socket: &OwnedFd, key: Key) -> squeue::Entry {
    opcode::AcceptMulti::new(descriptor(socket))
        .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
        .build()
        .user_data(key.user_data(Op::Accept))
}

/// Receives into provided buffers until cancelled, finished or out of buffers.
///
/// Without IORING_RECVSEND_POLL_FIRST: with it the kernel waits first and reads then, and a reset
/// that came behind data before the receive was armed is never told (seen on 6.18). Reading first,
/// it looks at the socket's state once more when it begins to wait. The price is that a receive
/// which is armed while no buffer is left ends at once (liburing #1275), so it must not be armed
/// then.
pub(super) fn receive(socket: &OwnedFd, key: Key) -> squeue::Entry {
    opcode::Recv::new(descriptor(socket), std::ptr::null_mut(), 0)
        .ioprio(MULTISHOT)
        .buf_group(BUFFER_GROUP)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT)
        .user_data(key.user_data(Op::Recv))
}

/// Sends all of `bytes`.
///
/// # Panics
/// When there are 4 GiB or more.
pub(super) fn send(socket: &OwnedFd, key: Key, bytes: &[u8]) -> squeue::Entry {
    let length = u32::try_from(bytes.len()).expect("a piece is below 4 GiB");
    opcode::Send::new(descriptor(socket), bytes.as_ptr(), length)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
        .build()
        .user_data(key.user_data(Op::Send))
}

/// Sends all that the message's pieces point to.
pub(super) fn send_message(
    socket: &OwnedFd,
    key: Key,
    message: *const libc::msghdr,
) -> squeue::Entry {
    opcode::SendMsg::new(descriptor(socket), message)
        .flags((libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32)
        .build()
        .user_data(key.user_data(Op::Send))
}

/// Connects to `address`.
pub(super) fn connect(socket: &OwnedFd, key: Key, address: &socket2::SockAddr) -> squeue::Entry {
    opcode::Connect::new(descriptor(socket), address.as_ptr().cast(), address.len())
        .build()
        .user_data(key.user_data(Op::Connect))
}

/// Asks for the end of one operation, named by its identity and never by its descriptor. It
/// completes only when there was nothing to cancel or it could not be done; the target's own final
/// completion is what counts.
pub(super) fn cancel(target: u64) -> squeue::Entry {
    opcode::AsyncCancel::new(target)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS)
        .user_data(NOBODY.user_data(Op::Cancel))
}

/// Reads the 8 bytes of the wake-up's eventfd.
pub(super) fn wake_read(event: &impl AsRawFd, counter: *mut u64) -> squeue::Entry {
    opcode::Read::new(types::Fd(event.as_raw_fd()), counter.cast(), 8)
        .build()
        .user_data(wake_identity())
}

/// The identity of the wake-up's read.
pub(super) const fn wake_identity() -> u64 {
    NOBODY.user_data(Op::Wake)
}

fn descriptor(socket: &OwnedFd) -> types::Fd {
    types::Fd(socket.as_raw_fd())
}
