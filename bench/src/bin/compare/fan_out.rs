//! The receiving side of a fan-out: thousands of sessions on one thread, which counts what comes.
//!
//! One session asks for a message to all, and a few such messages are under way at a time. A
//! session costs one read a wake-up, whatever that brings. Every session must get every byte; of
//! one in 64 the bytes are compared as well.

use crate::load::{Done, now};
use crate::sockets::{READY_MAX, Sockets, session_of};
use fastport_bench::frames::BROADCAST;
use rustix::event::epoll;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Duration;

/// Sessions that receive, and the message.
pub(crate) struct Receivers {
    sockets: Sockets,
    ready: Vec<epoll::Event>,
    published: usize,
    total: usize,
}

impl Receivers {
    /// Opens the sessions; each has had one echo when this returns, so the server has all of them.
    pub(crate) fn open(server: SocketAddr, sessions: usize, payload: usize) -> io::Result<Self> {
        let mut receivers = Self {
            sockets: Sockets::open(server, sessions, (BROADCAST, payload), SAMPLE)?,
            ready: Vec::with_capacity(READY_MAX),
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
        let count = ((self.published - before) * self.sockets.count()) as f64;
        Ok(Done {
            per_second: count / start.elapsed().as_secs_f64(),
            latency: None,
            count,
        })
    }

    /// Messages that all sessions have got, if all are as far as each other.
    fn delivered(&self) -> usize {
        self.total / (self.sockets.count() * self.sockets.frame_bytes())
    }

    fn publish(&mut self) -> io::Result<()> {
        self.sockets.send(0)?;
        self.published += 1;
        Ok(())
    }

    /// Waits for bytes and takes what has come. Nothing for 10 s is an error.
    fn receive(&mut self) -> io::Result<()> {
        self.sockets.wait(PATIENCE_SECONDS, &mut self.ready)?;
        if self.ready.is_empty() {
            return Err(Error::other("nothing came for 10 s"));
        }
        for event in &self.ready {
            self.total += self.sockets.read(session_of(event))?.len();
        }
        Ok(())
    }

    /// Takes the rest of what was published; no session may get more or less than another.
    fn receive_rest(&mut self) -> io::Result<()> {
        let each = self.published * self.sockets.frame_bytes();
        while self.total < each * self.sockets.count() {
            self.receive()?;
        }
        if self.sockets.all_got(each) {
            Ok(())
        } else {
            Err(Error::other("a session got more than another"))
        }
    }
}

/// Messages under way at a time: enough that the server need not wait for the receivers.
const UNDER_WAY: usize = 4;
/// Bytes of every so many sessions are compared.
const SAMPLE: usize = 64;
const PATIENCE_SECONDS: i64 = 10;
