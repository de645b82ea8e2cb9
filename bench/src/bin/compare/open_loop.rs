//! The open loop: each request goes out at its time, whether or not answers come.
//!
//! One thread, which never sleeps: one that does would count its own waking, and two on one
//! processor would count each other's turns. A request is measured from when it was due, so that
//! what goes out late hides nothing. Every session must get every answer in order; of one in 16 the
//! bytes are compared as well.

use crate::load::{Done, now};
use crate::measurement::Latency;
use crate::sockets::{READY_MAX, Sockets, session_of};
use fastport_bench::frames::RAW_ECHO;
use rustix::event::epoll;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Sessions that ask in turn.
pub(crate) struct OpenLoop {
    sockets: Sockets,
    ready: Vec<epoll::Event>,
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
        Ok(Self {
            sockets: Sockets::open(server, sessions, (RAW_ECHO, payload), SAMPLE)?,
            ready: Vec::with_capacity(READY_MAX),
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
                self.sockets.send(self.sent % self.sockets.count())?;
                self.sent += 1;
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

    /// Takes what has come, without waiting. Whether anything had.
    fn receive(&mut self, start: Instant, warmup: usize) -> io::Result<bool> {
        self.sockets.wait(0, &mut self.ready)?;
        for event in &self.ready {
            let session = session_of(event);
            let got = self.sockets.read(session)?;
            let elapsed = start.elapsed();
            let frame_bytes = self.sockets.frame_bytes();
            for answer in got.start / frame_bytes..got.end / frame_bytes {
                // Sessions ask in turn, and are answered in order.
                let request = answer * self.sockets.count() + session;
                if request >= self.sent {
                    let sentence = "a session got an answer that it did not ask for";
                    return Err(Error::other(sentence));
                }
                if request >= warmup {
                    let due = self.interval * request as u32;
                    self.latencies.push(elapsed.saturating_sub(due));
                }
                self.answered += 1;
            }
        }
        Ok(!self.ready.is_empty())
    }
}

/// Bytes of every so many sessions are compared.
const SAMPLE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
