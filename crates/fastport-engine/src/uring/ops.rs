//! The submission entries of every operation, in one place with their flags.
//!
//! Nothing here is submitted, so nothing here is unsafe; [`Ring::push`](super::ring::Ring::push)
//! says what must hold for the memory that an entry names.

use crate::{Key, Op};
use io_uring::{opcode, squeue, types};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The group id of the worker's only ring of provided buffers.
pub(super) const BUFFER_GROUP: u16 = 0;

/// `IORING_RECV_MULTISHOT` of `linux/io_uring.h`, for `ioprio`.
const MULTISHOT: u16 = 1 << 1;

/// What makes the close of a socket a reset. The kernel only reads it.
static RESET: libc::linger = libc::linger {
    l_onoff: 1,
    l_linger: 0,
};

/// How an entry names a socket.
#[derive(Copy, Clone)]
pub(super) enum Socket {
    /// By the process's descriptor.
    Number(RawFd),
    /// By its place in the ring's table.
    Place(u32),
}

impl From<&OwnedFd> for Socket {
    fn from(socket: &OwnedFd) -> Self {
        Self::Number(socket.as_raw_fd())
    }
}

/// The key of operations that belong to no slot: the wake-up's read, every cancel, and what tells
/// only of failures that nobody can do anything about.
const NOBODY: Key = Key::new(0, 0);

/// Accepts until cancelled or until it fails. No address is asked for: a multishot accept has room
/// for only one.
pub(super) fn accept(socket: Socket, key: Key) -> squeue::Entry {
    let (socket, flags) = descriptor(socket);
    opcode::AcceptMulti::new(socket)
        .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
        .build()
        .flags(flags)
        .user_data(key.user_data(Op::Accept))
}

/// Receives into provided buffers until cancelled, finished or out of buffers.
///
/// Without IORING_RECVSEND_POLL_FIRST: with it the kernel waits first and reads then, and a reset
/// that came behind data before the receive was armed is never told (seen on 6.18, always). Reading
/// first leaves it a window of less than a microsecond, for which there is [`look`]. The price is
/// that a receive which is armed while no buffer is left ends at once (liburing #1275), so it must
/// not be armed then.
pub(super) fn receive(socket: Socket, key: Key) -> squeue::Entry {
    receive_by(socket, key, MULTISHOT)
}

/// As [`receive`], with IORING_RECVSEND_POLL_FIRST.
#[cfg(test)]
pub(super) fn receive_after_a_wait(socket: Socket, key: Key) -> squeue::Entry {
    const POLL_FIRST: u16 = 1 << 0;
    receive_by(socket, key, MULTISHOT | POLL_FIRST)
}

fn receive_by(socket: Socket, key: Key, flags_of_receiving: u16) -> squeue::Entry {
    let (socket, flags) = descriptor(socket);
    opcode::Recv::new(socket, std::ptr::null_mut(), 0)
        .ioprio(flags_of_receiving)
        .buf_group(BUFFER_GROUP)
        .build()
        .flags(flags | squeue::Flags::BUFFER_SELECT)
        .user_data(key.user_data(Op::Recv))
}

/// Completes at once with whether there are data (1), their end (0), neither (EAGAIN) or an error,
/// and takes nothing but the error. May write to the byte.
pub(super) fn look(socket: Socket, key: Key, into: *mut u8) -> squeue::Entry {
    let (socket, flags) = descriptor(socket);
    opcode::Recv::new(socket, into, 1)
        .flags(libc::MSG_PEEK | libc::MSG_DONTWAIT)
        .build()
        .flags(flags)
        .user_data(key.user_data(Op::Look))
}

/// Sends all of `bytes`.
///
/// # Panics
/// When there are 4 GiB or more.
pub(super) fn send(socket: Socket, key: Key, bytes: &[u8]) -> squeue::Entry {
    let length = u32::try_from(bytes.len()).expect("a piece is below 4 GiB");
    let (socket, flags) = descriptor(socket);
    opcode::Send::new(socket, bytes.as_ptr(), length)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
        .build()
        .flags(flags)
        .user_data(key.user_data(Op::Send))
}

/// Sends all that the message's pieces point to.
pub(super) fn send_message(
    socket: Socket,
    key: Key,
    message: *const libc::msghdr,
) -> squeue::Entry {
    let (socket, flags) = descriptor(socket);
    opcode::SendMsg::new(socket, message)
        .flags((libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32)
        .build()
        .flags(flags)
        .user_data(key.user_data(Op::Send))
}

/// Connects to `address`.
pub(super) fn connect(socket: Socket, key: Key, address: &socket2::SockAddr) -> squeue::Entry {
    let (socket, flags) = descriptor(socket);
    opcode::Connect::new(socket, address.as_ptr().cast(), address.len())
        .build()
        .flags(flags)
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

/// Puts the descriptor that `number` points to into a place of the ring's table. What is queued
/// behind it may name the place: both are carried out in order, when they are submitted.
pub(super) fn install(number: *const RawFd, place: u32) -> squeue::Entry {
    let offset = i32::try_from(place).expect("a table has fewer than 2^31 places");
    silent(opcode::FilesUpdate::new(number, 1).offset(offset).build())
}

/// Closes one of the process's descriptors.
pub(super) fn close_number(number: RawFd) -> squeue::Entry {
    silent(opcode::Close::new(types::Fd(number)).build())
}

/// Empties the key's place in the ring's table: the socket is closed when no operation holds it.
pub(super) fn close_place(place: u32, key: Key) -> squeue::Entry {
    opcode::Close::new(types::Fixed(place))
        .build()
        .user_data(key.user_data(Op::Close))
}

/// Has the close of a socket reset its connection.
pub(super) fn reset_on_close(place: u32) -> squeue::Entry {
    let option = &raw const RESET;
    let length = size_of::<libc::linger>() as u32;
    silent(
        opcode::SetSockOpt::new(
            types::Fixed(place),
            libc::SOL_SOCKET.cast_unsigned(),
            libc::SO_LINGER.cast_unsigned(),
            option.cast(),
            length,
        )
        .build(),
    )
}

/// Half-closes. The kernel has a thread of its own do it, which looks for the place when it comes
/// to it.
pub(super) fn shutdown(place: u32, key: Key) -> squeue::Entry {
    opcode::Shutdown::new(types::Fixed(place), libc::SHUT_WR)
        .build()
        .user_data(key.user_data(Op::Shutdown))
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

/// Completes only when it failed, and as nobody's.
fn silent(entry: squeue::Entry) -> squeue::Entry {
    entry
        .flags(squeue::Flags::SKIP_SUCCESS)
        .user_data(NOBODY.user_data(Op::Cancel))
}

const fn descriptor(socket: Socket) -> (types::Fd, squeue::Flags) {
    match socket {
        Socket::Number(number) => (types::Fd(number), squeue::Flags::empty()),
        Socket::Place(place) => (types::Fd(place.cast_signed()), squeue::Flags::FIXED_FILE),
    }
}
