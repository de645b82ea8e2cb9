//! Socket settings that only Windows has, and that no library sets.

use super::winsock::{check, handle, raw};
use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawSocket, BorrowedSocket, OwnedSocket};
use std::ptr::null_mut;
use windows_sys::Win32::Networking::WinSock::{
    SIO_TCP_INITIAL_RTO, SO_EXCLUSIVEADDRUSE, SO_PROTOCOL_INFOW, SO_UPDATE_ACCEPT_CONTEXT,
    SO_UPDATE_CONNECT_CONTEXT, SOCKET, SOL_SOCKET, TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS,
    TCP_INITIAL_RTO_PARAMETERS, WSAIoctl, WSAPROTOCOL_INFOW, XP1_IFS_HANDLES, getsockopt,
    setsockopt,
};
use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::WindowsProgramming::{
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE,
};

/// `TCP_INITIAL_RTO_UNSPECIFIED_RTT` of `mstcpip.h`.
const UNSPECIFIED_RTT: u16 = u16::MAX;

/// Gives an accepted socket the properties of its listener; without it getpeername and shutdown
/// fail (Microsoft's page on AcceptEx).
pub(super) fn update_accepted(socket: &OwnedSocket, listener: &OwnedSocket) -> io::Result<()> {
    set_option(
        socket,
        SO_UPDATE_ACCEPT_CONTEXT,
        &raw(listener).to_ne_bytes(),
    )
}

/// The same for a socket that ConnectEx has connected (Microsoft's page on ConnectEx).
pub(super) fn update_connected(socket: &OwnedSocket) -> io::Result<()> {
    set_option(socket, SO_UPDATE_CONNECT_CONTEXT, &[])
}

/// Makes the port that a socket will be bound to its own. SO_REUSEADDR, which elsewhere only
/// shortens a wait, would let another process take it (Microsoft's page "Using SO_REUSEADDR and
/// SO_EXCLUSIVEADDRUSE").
pub(crate) fn claim_address(socket: BorrowedSocket<'_>) -> io::Result<()> {
    let raw = socket.as_raw_socket() as SOCKET;
    set_raw_option(raw, SO_EXCLUSIVEADDRUSE, &1u32.to_ne_bytes())
}

fn set_option(socket: &OwnedSocket, option: i32, value: &[u8]) -> io::Result<()> {
    set_raw_option(raw(socket), option, value)
}

fn set_raw_option(socket: SOCKET, option: i32, value: &[u8]) -> io::Result<()> {
    let bytes = i32::try_from(value.len()).unwrap_or(i32::MAX);
    // SAFETY: the value is read before the call returns.
    let outcome = unsafe { setsockopt(socket, SOL_SOCKET, option, value.as_ptr(), bytes) };
    check(outcome == 0)
}

/// Lets a connect to this machine be refused at once: otherwise the SYN is repeated, which takes
/// 2 s. Older systems do not know it, and it is only faster.
pub(super) fn refuse_at_once(socket: &OwnedSocket) {
    let parameters = TCP_INITIAL_RTO_PARAMETERS {
        Rtt: UNSPECIFIED_RTT,
        MaxSynRetransmissions: TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS as u8,
    };
    let mut written = 0;
    // SAFETY: the parameters are read before the call returns.
    let _ = unsafe {
        WSAIoctl(
            raw(socket),
            SIO_TCP_INITIAL_RTO,
            (&raw const parameters).cast(),
            size_of::<TCP_INITIAL_RTO_PARAMETERS>() as u32,
            null_mut(),
            0,
            &raw mut written,
            null_mut(),
            None,
        )
    };
}

/// Turns packets of operations that succeed at once off, for good. False where the provider is not
/// one of the kernel's own, since a layered one may send them or not (Microsoft KB 2568167).
pub(super) fn skip_packets(socket: &OwnedSocket) -> bool {
    let mut protocol = WSAPROTOCOL_INFOW::default();
    let mut bytes = size_of::<WSAPROTOCOL_INFOW>() as i32;
    let output: *mut WSAPROTOCOL_INFOW = &raw mut protocol;
    // SAFETY: the structure has room for what is written.
    let outcome = unsafe {
        getsockopt(
            raw(socket),
            SOL_SOCKET,
            SO_PROTOCOL_INFOW,
            output.cast(),
            &raw mut bytes,
        )
    };
    if outcome != 0 || protocol.dwServiceFlags1 & XP1_IFS_HANDLES == 0 {
        return false;
    }
    let modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
    // SAFETY: no memory is involved.
    unsafe { SetFileCompletionNotificationModes(handle(socket), modes as u8) != 0 }
}

/// Whether Windows is Wine, by what its own library offers beyond Microsoft's.
pub(super) fn is_wine() -> bool {
    // SAFETY: the name ends with a zero; the library is in every process, for its whole life.
    let library = unsafe { GetModuleHandleA(c"ntdll.dll".as_ptr().cast()) };
    // SAFETY: as above; the function is looked for, not called.
    !library.is_null()
        && unsafe { GetProcAddress(library, c"wine_get_version".as_ptr().cast()) }.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Protocol, Socket, Type};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::os::windows::io::AsSocket;

    fn socket() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap()
    }

    #[test]
    fn a_claimed_port_is_nobody_elses() {
        let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let first = socket();
        claim_address(first.as_socket()).unwrap();
        first.bind(&any.into()).unwrap();
        first.listen(1).unwrap();
        let thief = socket();
        thief.set_reuse_address(true).unwrap();
        assert!(thief.bind(&first.local_addr().unwrap()).is_err());
    }

    #[test]
    fn a_socket_of_the_kernels_own_provider_skips_packets() {
        assert!(skip_packets(&socket().into()));
    }
}
