//! The receiving side of a fan-out: thousands of sessions on one thread, which counts what comes.
//!
//! One session asks for a message to all, and a few such messages are under way at a time. A
//! session costs one read a wake-up, whatever that brings. Every session must get every byte; of
//! one in 64 the bytes are compared as well.

use crate::load::{Done, now};
use fastport_bench::frames::{BROADCAST, header};
use fastport_bench::idle_sessions::IdleSessions;
use rustix::event::epoll;
use std::io::{self, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sessions that receive, and the message.
pub(crate) struct Receivers {
    sessions: Vec<TcpStream>,
    /// Bytes that each session has got.
    received: Vec<usize>,
    frame: Vec<u8>,
    epoll: rustix::fd::OwnedFd,
    buffer: Vec<u8>,
    published: usize,
    total: usize,
}

impl Receivers {
    /// Opens the sessions; each has had one echo when this returns, so the server has all of them.
    pub(crate) fn open(server: SocketAddr, sessions: usize, payload: usize) -> io::Result<Self> {
        let header = header(BROADCAST, payload).ok_or_else(|| Error::other("too large"))?;
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
        let mut receivers = Self {
            received: vec![0; sessions.len()],
            frame: header.into_iter().chain(pattern).collect(),
            sessions,
            epoll,
            buffer: vec![0; BUFFER_BYTES],
            published: 0,
            total: 0,
        };
        // The first message finds every path cold.
        receivers.publish()?;
        receivers.receive_rest()?;
        Ok(receivers)
    }

    /// Has messages sent to all for so long, and waits until every session has all of them.
    pub(crate) fn run(&mut self, duration: Duration) -> io::Result<Done> {
        let before = self.published;
        let start = now();
        while start.elapsed() < duration {
            while self.published < self.delivered() + UNDER_WAY {
                self.publish()?;
            }
            self.receive()?;
        }
        self.receive_rest()?;
        let count = ((self.published - before) * self.sessions.len()) as f64;
        Ok(Done {
            per_second: count / start.elapsed().as_secs_f64(),
            latency: None,
            count,
        })
    }

    /// Messages that all sessions have got, if all are as far as each other.
    fn delivered(&self) -> usize {
        self.total / (self.sessions.len() * self.frame.len())
    }

    fn publish(&mut self) -> io::Result<()> {
        // A few small frames always fit into the socket's buffer.
        self.sessions[0].write_all(&self.frame)?;
        self.published += 1;
        Ok(())
    }

    /// Waits for bytes and takes what has come. Nothing for 10 s is an error.
    fn receive(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let patience = rustix::event::Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.epoll, spare, Some(&patience))? == 0 {
            return Err(Error::other("nothing came for 10 s"));
        }
        for event in &events {
            let session = event.data.u64() as usize;
            let read = self.sessions[session].read(&mut self.buffer)?;
            if read == 0 {
                return Err(Error::other("the server closed a session"));
            }
            let at = self.received[session] % self.frame.len();
            if session.is_multiple_of(SAMPLE) && !repeats(&self.frame, at, &self.buffer[..read]) {
                return Err(Error::other("a session got other bytes"));
            }
            self.received[session] += read;
            self.total += read;
        }
        Ok(())
    }

    /// Takes the rest of what was published; no session may get more or less than another.
    fn receive_rest(&mut self) -> io::Result<()> {
        let each = self.published * self.frame.len();
        while self.total < each * self.sessions.len() {
            self.receive()?;
        }
        if self.received.iter().all(|received| *received == each) {
            Ok(())
        } else {
            Err(Error::other("a session got more than another"))
        }
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

/// Messages under way at a time: enough that the server need not wait for the receivers.
const UNDER_WAY: usize = 4;
/// Bytes of every so many sessions are compared.
const SAMPLE: usize = 64;
const EVENTS: usize = 1024;
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
