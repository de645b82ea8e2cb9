//! Socket options and the making of sockets, the same for all back-ends.

use crate::ListenConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::time::Duration;

/// When the kernel probes a silent peer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without an answer before the connection is dropped; fixed at 10 on Windows.
    pub probes: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(5),
            probes: 3,
        }
    }
}

/// Options of a connection's socket. `None` leaves the system's setting alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// Send small segments at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Probe silent peers.
    pub keep_alive: Option<KeepAlive>,
    /// Unsent bytes that the kernel takes before a send waits (TCP_NOTSENT_LOWAT, Linux and macOS):
    /// bounds what a peer that never reads can pin in the kernel.
    pub notsent_bytes_max: Option<u32>,
    /// How long sent bytes may stay without acknowledgement (TCP_USER_TIMEOUT, Linux).
    pub user_timeout: Option<Duration>,
    /// The kernel's receive buffer in bytes (SO_RCVBUF).
    pub receive_buffer: Option<u32>,
    /// The kernel's send buffer in bytes (SO_SNDBUF).
    pub send_buffer: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keep_alive: Some(KeepAlive::default()),
            notsent_bytes_max: Some(128 * 1024),
            user_timeout: None,
            receive_buffer: None,
            send_buffer: None,
        }
    }
}

impl SocketOptions {
    /// Sets the options on a connected socket, or on a listening one where accepted sockets inherit
    /// them (Linux: `tcp(7)`).
    ///
    /// # Errors
    /// When the system refuses one.
    pub fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keep) = self.keep_alive {
            let probe = TcpKeepalive::new()
                .with_time(keep.idle)
                .with_interval(keep.interval);
            #[cfg(not(windows))]
            let probe = probe.with_retries(keep.probes);
            socket.set_tcp_keepalive(&probe)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes as usize)?;
        }
        self.apply_linux(socket)
    }

    #[cfg(target_os = "linux")]
    fn apply_linux(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.notsent_bytes_max {
            socket.set_tcp_notsent_lowat(bytes)?;
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(
        clippy::unnecessary_wraps,
        reason = "the same signature on every system"
    )]
    fn apply_linux(&self, _socket: &SockRef<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a bound, listening, non-blocking, close-on-exec socket. An IPv6 wildcard serves IPv4 as
/// well. The options of accepted sockets are not set.
///
/// With [`ListenConfig::defer_accept`] Linux tells of a connection when its first bytes are there
/// (TCP_DEFER_ACCEPT, `tcp(7)`): a wake-up less for each, and none for those that never send. What
/// is silent for so long is told of all the same, with the next segment of its client, which the
/// kernel provokes. Other systems tell at once.
///
/// # Errors
/// What the system says to `socket`, `bind` or `listen`, or to an option.
pub fn listening(on: &ListenConfig) -> io::Result<Socket> {
    let address = on.address;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // On Unix a restart must not wait for TIME_WAIT; on Windows the same option would let another
    // process take the port, so the opposite one is set there.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(windows)]
    crate::iocp::claim_address(std::os::windows::io::AsSocket::as_socket(&socket))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    #[cfg(target_os = "linux")]
    if !on.defer_accept.is_zero() {
        defer_accept(&socket, on.defer_accept)?;
    }
    socket.listen(i32::try_from(on.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn defer_accept(socket: &Socket, time: Duration) -> io::Result<()> {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let seconds = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    let value = (&raw const seconds).cast();
    // SAFETY: the descriptor is the socket's, and the call only reads `bytes` bytes of `seconds`.
    let outcome = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, bytes) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes a non-blocking, close-on-exec TCP socket for an outgoing connection, with the options set.
///
/// # Errors
/// What the system says.
pub fn connecting(to: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    options.apply(&SockRef::from(&socket))?;
    Ok(socket)
}

/// The address that a socket is bound to.
///
/// # Errors
/// When the system does not say, or it is no internet address.
pub fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?;
    address
        .as_socket()
        .ok_or_else(|| io::Error::other("not an internet address"))
}

/// Whether an accept error passes only when descriptors or memory come back (or is unknown):
/// waiting is right. Others concern the one connection: go on at once (`accept(2)`, "Error
/// handling").
#[must_use]
pub fn accept_must_wait(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TimedOut
    ) && !is_protocol_error(error)
}

#[cfg(unix)]
fn is_protocol_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPROTO | libc::ENOPROTOOPT | libc::EOPNOTSUPP)
    )
}

#[cfg(windows)]
fn is_protocol_error(error: &io::Error) -> bool {
    use windows_sys::Win32::Foundation::ERROR_NETNAME_DELETED;
    error.raw_os_error() == Some(ERROR_NETNAME_DELETED as i32)
}
