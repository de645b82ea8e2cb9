//! A peer that is gone without a word, as when a cable is cut: no FIN, no RST.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// Closes the socket without a word to the peer, who goes on to believe that it is connected. Does
/// not block.
///
/// # Errors
/// When the process may not do that (it takes CAP_NET_ADMIN); the connection was then closed in the
/// usual way.
///
/// # Platform
/// Linux: a socket in repair mode (`TCP_REPAIR`, tcp(7)) is closed silently.
pub fn vanish(stream: TcpStream) -> io::Result<()> {
    let on: libc::c_int = 1;
    let bytes = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    // SAFETY: the descriptor is open as long as the stream lives, and the kernel reads `bytes`
    // bytes at an integer that lives until it returns.
    let outcome = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            bytes,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Duration;

    /// Fails when the peer sees an end or a reset; the time limit is what it sees instead.
    #[test]
    fn the_peer_sees_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        if let Err(error) = vanish(stream) {
            println!("skipped: {error}");
            return;
        }
        peer.set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let error = peer.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
