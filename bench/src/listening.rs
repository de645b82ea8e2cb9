//! Listening sockets of the peers, which several threads may share an address with.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// A listening socket; several may share one address, and the kernel spreads connections over them.
/// Accepted connections inherit that small packets are not held back.
///
/// # Errors
/// What the system says about the address.
pub fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// As many connects as a load generator has under way at a time, and more.
const BACKLOG: i32 = 4096;
