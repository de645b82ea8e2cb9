//! The open loop: each request goes out at its time, whether or not answers come.
//!
//! One thread, which never sleeps: one that does would count its own waking, and two on one
//! processor would count each other's turns. A request is measured from when it was due, so that
//! what goes out late hides nothing. Every session must get every answer in order; of one in 16 the
//! bytes are compared as well.

use crate::load::{Done, now};
use crate::measurement::Latency;
use fastport_bench::frames::{RAW_ECHO, header};
use fastport_bench::idle_sessions::IdleSessions;
use rustix::event::{Timespec, epoll};
use std::io::{self, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Sessions that ask in turn.
pub(crate) struct OpenLoop {
    sessions: Vec<TcpStream>,
    /// Bytes that each session has got.
    received: Vec<usize>,
    frame: Vec<u8>,
    epoll: rustix::fd::OwnedFd,
    buffer: Vec<u8>,
    /// When each request is due after the one before.
    interval: Duration,
    sent: usize,
    answered: usize,
    /// From when it was due to its answer, of each request that is measured.
    latencies: Vec<Duration>,
}

impl OpenLoop {
    /// Opens the sessions; each has had one echo when this returns.
    pub(crate) fn open(
        server: SocketAddr,
        sessions: usize,
        payload: usize,
        per_second: u32,
    ) -> io::Result<Self> {
        let header = header(RAW_ECHO, payload).ok_or_else(|| Error::other("too large"))?;
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
            interval: Duration::from_secs(1) / per_second,
            sent: 0,
            answered: 0,
            latencies: Vec::new(),
        })
    }

    /// Asks for so long after `warmup` requests that are not measured, and waits for all answers.
    pub(crate) fn run(&mut self, warmup: usize, duration: Duration) -> io::Result<Done> {
        let requests = warmup + (duration.as_nanos() / self.interval.as_nanos()) as usize;
        self.latencies.reserve(requests);
        let start = now();
        let mut heard = start;
        while self.answered < requests {
            let time = now();
            if self.sent < requests && time - start >= self.interval * self.sent as u32 {
                self.send()?;
            }
            if self.receive(start, warmup)? {
                heard = time;
            } else if time - heard > PATIENCE {
                return Err(Error::other("nothing came for 10 s"));
            }
        }
        let took = start.elapsed();
        self.latencies.sort_unstable();
        let of = |part: f64| self.latencies[(part * (self.latencies.len() - 1) as f64) as usize];
        Ok(Done {
            per_second: requests as f64 / took.as_secs_f64(),
            latency: Some(Latency {
                p50: of(0.5),
                p99: of(0.99),
                max: of(1.0),
            }),
            count: requests as f64,
        })
    }

    fn send(&mut self) -> io::Result<()> {
        let session = self.sent % self.sessions.len();
        // A server that leaves so much unread that a small frame does not fit has failed.
        self.sessions[session].write_all(&self.frame)?;
        self.sent += 1;
        Ok(())
    }

    /// Takes what has come, without waiting. Whether anything had.
    fn receive(&mut self, start: Instant, warmup: usize) -> io::Result<bool> {
        let mut events = Vec::with_capacity(EVENTS);
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&self.epoll, spare, Some(&at_once))?;
        for event in &events {
            let session = event.data.u64() as usize;
            let read = self.sessions[session].read(&mut self.buffer)?;
            if read == 0 {
                return Err(Error::other("the server closed a session"));
            }
            self.take_in(session, read, start.elapsed(), warmup)?;
        }
        Ok(!events.is_empty())
    }

    /// Notes the answers that end in the `read` bytes which a session got so long after the start.
    fn take_in(
        &mut self,
        session: usize,
        read: usize,
        elapsed: Duration,
        warmup: usize,
    ) -> io::Result<()> {
        let before = self.received[session];
        let frame_bytes = self.frame.len();
        let mut expected = self.frame.iter().cycle().skip(before % frame_bytes);
        let bytes = &self.buffer[..read];
        if session.is_multiple_of(SAMPLE) && !bytes.iter().all(|byte| expected.next() == Some(byte))
        {
            return Err(Error::other("a session got other bytes"));
        }
        self.received[session] += read;
        for answer in before / frame_bytes..self.received[session] / frame_bytes {
            // Sessions ask in turn, and are answered in order.
            let request = answer * self.sessions.len() + session;
            if request >= self.sent {
                return Err(Error::other(
                    "a session got an answer that it did not ask for",
                ));
            }
            if request >= warmup {
                let due = self.interval * request as u32;
                self.latencies.push(elapsed.saturating_sub(due));
            }
            self.answered += 1;
        }
        Ok(())
    }
}

/// Bytes of every so many sessions are compared.
const SAMPLE: usize = 16;
const EVENTS: usize = 128;
const BUFFER_BYTES: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
