//! Sessions that do nothing but live: blocking sockets, opened one after the other, each of which
//! can be asked whether it still echoes.

use crate::frames::{RAW_ECHO, header};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Idle sessions against one server. They end when this is dropped.
pub struct IdleSessions {
    sessions: Vec<TcpStream>,
}

impl IdleSessions {
    /// Connects so many sessions, and returns when the server has all of them: the last has had one
    /// raw echo of `payload` bytes, and accepts come in order. Blocks.
    ///
    /// # Errors
    /// A connect that fails or takes longer than 10 s, an echo that is none.
    pub fn open(server: SocketAddr, sessions: usize, payload: usize) -> io::Result<Self> {
        let connected = (0..sessions).map(|_| connect(server));
        let mut opened = Self {
            sessions: connected.collect::<io::Result<_>>()?,
        };
        if let Some(last) = opened.sessions.last_mut() {
            echo(last, payload)?;
        }
        Ok(opened)
    }

    /// One raw echo of `payload` bytes on each session, in turn. Blocks.
    ///
    /// # Errors
    /// The first session that does not answer within 10 s, or answers something else.
    pub fn echo_all(&mut self, payload: usize) -> io::Result<()> {
        let mut all = self.sessions.iter_mut();
        all.try_for_each(|session| echo(session, payload))
    }

    /// The sockets.
    #[must_use]
    pub fn into_sockets(self) -> Vec<TcpStream> {
        self.sessions
    }
}

/// Connects to a server. On loopback from addresses of this process's own, with ports that it
/// counts up itself: those of an earlier run stay taken for a minute, and the system looks for a
/// free one among them by trying, which takes minutes for some ten thousand.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if server.ip().is_loopback() && server.is_ipv4() {
        bind_to_own_address(&socket)?;
    }
    socket.connect_timeout(&server.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Binds to the next address and port that this process has not used.
fn bind_to_own_address(socket: &Socket) -> io::Result<()> {
    loop {
        let number = CONNECTED.fetch_add(1, Ordering::Relaxed);
        let host = u8::try_from(number / PORTS_PER_SOURCE + 1)
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "too many sessions"))?;
        let [.., run_high, run_low] = std::process::id().to_be_bytes();
        let source = Ipv4Addr::new(127, run_high, run_low, host);
        let port = PORT_FIRST + (number % PORTS_PER_SOURCE) as u16;
        match socket.bind(&SocketAddr::from((source, port)).into()) {
            // Somebody listens there on all addresses.
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
}

/// One raw echo.
fn echo(session: &mut TcpStream, payload: usize) -> io::Result<()> {
    exchange(session, RAW_ECHO, payload)
}

/// Sends a frame and reads its answer, which must be the same bytes. Blocks.
///
/// # Errors
/// No answer within the socket's time limit, or another.
pub fn exchange(session: &mut TcpStream, id: u16, payload: usize) -> io::Result<()> {
    let header = header(id, payload)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the payload is too large"))?;
    let mut frame = header.to_vec();
    frame.resize(header.len() + payload, 0x5a);
    session.write_all(&frame)?;
    let mut answer = vec![0; frame.len()];
    session.read_exact(&mut answer)?;
    if answer == frame {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::InvalidData,
            "the answer is not what was sent",
        ))
    }
}

/// Sessions that this process has opened so far, and ports that were taken.
static CONNECTED: AtomicUsize = AtomicUsize::new(0);
/// Below those that the system gives out, so that nobody lacks one because of these.
const PORT_FIRST: u16 = 10_000;
const PORTS_PER_SOURCE: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers every session's bytes one after the other, with `change` made to them.
    fn server(sessions: usize, change: u8) -> (SocketAddr, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let accepted = (0..sessions).map(|_| listener.accept().unwrap().0);
            let serve = |mut session: TcpStream| {
                thread::spawn(move || {
                    let mut bytes = [0; 8];
                    while session.read_exact(&mut bytes).is_ok() {
                        bytes[7] ^= change;
                        session.write_all(&bytes).unwrap();
                    }
                })
            };
            let running: Vec<_> = accepted.map(serve).collect();
            running
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        (address, serving)
    }

    #[test]
    fn sessions_that_answer_are_alive() {
        let (address, serving) = server(3, 0);
        let mut idle = IdleSessions::open(address, 3, 4).unwrap();
        idle.echo_all(4).unwrap();
        assert_eq!(idle.into_sockets().len(), 3);
        serving.join().unwrap();
    }

    #[test]
    fn another_answer_is_none() {
        let (address, serving) = server(1, 1);
        let opened = IdleSessions::open(address, 1, 4);
        assert_eq!(opened.err().unwrap().kind(), ErrorKind::InvalidData);
        serving.join().unwrap();
    }
}
