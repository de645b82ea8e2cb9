//! The sockets of a load that this program makes itself: nonblocking, watched together, each of
//! which gets one frame over and over. Of some of them the bytes are compared as well.

use fastport_bench::frames::header;
use fastport_bench::idle_sessions::IdleSessions;
use rustix::event::{Timespec, epoll};
use std::io::{self, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

/// Sessions with one server.
pub(crate) struct Sockets {
    sessions: Vec<TcpStream>,
    /// Bytes that each session has got.
    received: Vec<usize>,
    frame: Vec<u8>,
    epoll: rustix::fd::OwnedFd,
    buffer: Vec<u8>,
    /// Bytes of every so many sessions are compared.
    sample: usize,
}

impl Sockets {
    /// Opens so many; each has had one echo when this returns, so the server has all of them. They
    /// send and get frames with this id and payload.
    pub(crate) fn open(
        server: SocketAddr,
        sessions: usize,
        (id, payload): (u16, usize),
        sample: usize,
    ) -> io::Result<Self> {
        let header = header(id, payload).ok_or_else(|| Error::other("too large"))?;
        let mut idle = IdleSessions::open(server, sessions, payload)?;
        idle.echo_all(payload)?;
        let sessions = idle.into_sockets();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, session) in sessions.iter().enumerate() {
            session.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, session, data, epoll::EventFlags::IN)?;
        }
        let pattern = (0..payload).map(|at| at as u8);
        Ok(Self {
            received: vec![0; sessions.len()],
            frame: header.into_iter().chain(pattern).collect(),
            sessions,
            epoll,
            buffer: vec![0; BUFFER_BYTES],
            sample,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// Sends the frame. A small one fits into the socket's buffer, unless the server has failed.
    pub(crate) fn send(&mut self, session: usize) -> io::Result<()> {
        self.sessions[session].write_all(&self.frame)
    }

    /// Fills `ready` with the sessions that have got something, waiting for the first so long.
    pub(crate) fn wait(&self, seconds: i64, ready: &mut Vec<epoll::Event>) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        ready.clear();
        let spare = rustix::buffer::spare_capacity(ready);
        epoll::wait(&self.epoll, spare, Some(&timeout))?;
        Ok(())
    }

    /// Reads once what a session has got: which bytes of all that it got these are.
    pub(crate) fn read(&mut self, session: usize) -> io::Result<Range<usize>> {
        let read = self.sessions[session].read(&mut self.buffer)?;
        if read == 0 {
            return Err(Error::other("the server closed a session"));
        }
        let before = self.received[session];
        let at = before % self.frame.len();
        if session.is_multiple_of(self.sample) && !repeats(&self.frame, at, &self.buffer[..read]) {
            return Err(Error::other("a session got other bytes"));
        }
        self.received[session] += read;
        Ok(before..before + read)
    }

    /// Whether every session has got so many bytes.
    pub(crate) fn all_got(&self, bytes: usize) -> bool {
        self.received.iter().all(|received| *received == bytes)
    }
}

/// Whether `bytes` are the frame over and over, from its byte `at` on.
fn repeats(frame: &[u8], at: usize, bytes: &[u8]) -> bool {
    let expected = frame.iter().cycle().skip(at);
    bytes
        .iter()
        .zip(expected)
        .all(|(byte, expected)| byte == expected)
}

/// The session that an event is of.
pub(crate) fn session_of(event: &epoll::Event) -> usize {
    event.data.u64() as usize
}

/// Sessions that one look finds.
pub(crate) const READY_MAX: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::repeats;

    #[test]
    fn bytes_are_the_frame_over_and_over() {
        assert!(repeats(b"abc", 2, b"cabca"));
        assert!(!repeats(b"abc", 2, b"cabba"));
        assert!(!repeats(b"abc", 0, b"bc"));
        assert!(repeats(b"abc", 1, b""));
    }
}
