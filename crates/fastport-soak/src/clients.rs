//! The kinds of clients. Each is a function that runs on a thread of its own until the halt, and
//! writes what it saw into the ledger. All of them block on their sockets, with time limits.

pub(crate) mod honest;
pub(crate) mod hostile;
pub(crate) mod programs;
pub(crate) mod vanishing;

use crate::halt::Halt;
use crate::ledger::Ledger;
use crate::message::client_key;
use crate::random::Random;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any limit of the server, a stop of it, and a busy machine take together: what has
/// not come by then does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// What a client needs to know.
pub(crate) struct Client<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: &'a Ledger,
    pub(crate) halt: &'a Halt,
    pub(crate) random: Random,
    /// Of all clients of one server; never the same twice.
    pub(crate) number: u32,
}

impl Client<'_> {
    /// What its messages are named by.
    pub(crate) fn key(&self) -> u64 {
        client_key(self.number)
    }

    /// Waits for a time between the two; tells whether to go on.
    pub(crate) fn pause_ms(&mut self, least: usize, most: usize) -> bool {
        let time = self.random.between(least, most) as u64;
        self.halt.pause(Duration::from_millis(time))
    }

    /// Connects from an address of this machine that hardly anybody else uses: limits per address
    /// stay on, and no ports run out. A failure is a finding.
    pub(crate) fn connect(&mut self, receive_buffer: Option<usize>) -> Option<TcpStream> {
        let [.., high, low] = self.random.next().to_be_bytes();
        let own = Ipv4Addr::new(127, 2 + (self.number % 200) as u8, high, low.clamp(1, 254));
        match connect(own, self.address, receive_buffer) {
            Ok(stream) => {
                self.ledger.note_connection();
                Some(stream)
            }
            Err(error) => {
                let found = format!("client {}: no connection: {error}", self.number);
                self.ledger.find(found);
                self.halt.pause(Duration::from_secs(1));
                None
            }
        }
    }

    /// Reads until the peer ends the connection; a finding when it does not in time. What comes
    /// meanwhile is nobody's. `what` names what should have ended it.
    pub(crate) fn expect_end(&self, mut stream: &TcpStream, what: &str) {
        let mut bytes = [0; 4096];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_time_out(&error) => {
                    return self
                        .ledger
                        .find(format!("not closed in {PATIENCE:?}: {what}"));
                }
                Err(_) => return,
            }
        }
    }
}

fn connect(
    own: Ipv4Addr,
    address: SocketAddr,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Whether the time limit of a socket passed.
pub(crate) fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Ends a connection by a reset.
pub(crate) fn reset(stream: TcpStream) {
    // A socket that is gone already needs no reset.
    let _ = Socket::from(stream).set_linger(Some(Duration::ZERO));
}
