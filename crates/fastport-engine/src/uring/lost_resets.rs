//! Finds out about resets that the kernel did not tell of.
//!
//! Owns the list of connections whose silence is doubtful, and the look at each. It must not look
//! at one that goes on talking, since that would cost a message something.
//!
//! A multishot receive that finds nothing begins to wait. When data and a reset come after that
//! look and before the wait stands, one wake-up stands for both: the kernel reads the data, takes
//! that for all there was, and waits for a change that has happened already (seen on 6.18, once in
//! 10^5 connections that send and reset at once; data and a FIN are told, liburing #1549 is about
//! the same loop). So the first data after a receive was armed is doubtful unless more follows, and
//! after [`LOOK_AFTER`] the engine looks once with a receive that takes nothing and waits for
//! nothing. It is one more entry of a turn's batch, for each time that a receive was armed.

use super::slots::Receive;
use super::{UringEngine, ops};
use crate::{Event, Key, Op};
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a connection is left alone before it is looked at; it may take twice as long.
pub(super) const LOOK_AFTER: Duration = Duration::from_millis(100);
/// How many are looked at in one turn.
const LOOKS_PER_TURN: usize = 64;
/// Room that an empty list may keep.
const KEPT: usize = 1024;

/// Connections whose first data since arming has come.
pub(super) struct Doubts {
    /// Since the last change of lists.
    young: Vec<Key>,
    /// Older than that: to be looked at.
    old: Vec<Key>,
    /// When the lists change.
    due: Instant,
}

impl Doubts {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            young: Vec::new(),
            old: Vec::new(),
            due: now,
        }
    }

    #[inline]
    fn note(&mut self, key: Key, now: Instant) {
        if self.young.is_empty() {
            self.due = now + LOOK_AFTER;
        }
        self.young.push(key);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// How long the engine may sleep.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        if !self.old.is_empty() {
            return Some(Duration::ZERO);
        }
        (!self.young.is_empty()).then(|| self.due.saturating_duration_since(now))
    }

    /// The next to be looked at.
    fn pop(&mut self, now: Instant) -> Option<Key> {
        if self.old.is_empty() && now >= self.due {
            mem::swap(&mut self.young, &mut self.old);
        }
        let key = self.old.pop();
        if self.old.is_empty() && self.old.capacity() > KEPT {
            self.old = Vec::new();
        }
        key
    }
}

impl UringEngine {
    /// The first data since the receive was armed.
    #[cold]
    pub(super) fn doubt(&mut self, key: Key) {
        self.doubts.note(key, self.now);
    }

    /// Looks at those that have been silent for long enough.
    pub(super) fn look_at_doubtful(&mut self) {
        for _ in 0..LOOKS_PER_TURN {
            let Some(key) = self.doubts.pop(self.now) else {
                return;
            };
            self.look(key);
        }
    }

    fn look(&mut self, key: Key) {
        let parts = &mut *self.memory;
        let Some(slot) = parts.slots.find(key) else {
            return;
        };
        if !slot.end_doubt() || !slot.in_flight.is_open() || slot.receive != Receive::Armed {
            return;
        }
        let Some(socket) = slot.socket(key) else {
            return;
        };
        slot.in_flight.begin(Op::Look);
        self.operations += 1;
        let into = &raw mut parts.looked;
        // SAFETY: the byte stays in place while the ring exists, and is the kernel's alone: nobody
        // reads it, and what is written to it does not matter.
        unsafe { self.ring.push(ops::look(socket, key, into)) };
    }

    /// A completion of a look. It takes the socket's error away from the receive that waits, so it
    /// tells of it in that one's place.
    pub(super) fn on_looked(&mut self, partial: Key, result: i32) -> Option<Event<OwnedFd>> {
        let key = self.memory.slots.whole(partial);
        debug_assert!(key.is_some(), "a look completed for a slot that was freed");
        let key = key?;
        self.finish(key, Op::Look);
        let slot = self.memory.slots.find(key)?;
        // Data, and its end, wake up a receive that waits.
        let lost = result < 0 && !matches!(-result, libc::EAGAIN | libc::EINTR | libc::ECANCELED);
        if !lost || !slot.in_flight.is_open() || slot.receive == Receive::Ended {
            return None;
        }
        slot.receive = Receive::Ended;
        let error = io::Error::from_raw_os_error(-result);
        Some(Event::Failed { key, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseMode, Drained, Engine, EngineConfig, SocketOptions, Wait};
    use socket2::SockRef;
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    const PATIENCE: Duration = Duration::from_secs(60);

    struct Trial {
        engine: UringEngine,
        key: Key,
        /// `None` after it has reset the connection.
        peer: Option<TcpStream>,
    }

    impl Trial {
        fn new() -> Self {
            let mut engine = UringEngine::open(&EngineConfig::default()).unwrap();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, _) = listener.accept().unwrap();
            let key = engine.adopt(socket.into(), &SocketOptions::default());
            let key = key.unwrap();
            Self {
                engine,
                key,
                peer: Some(peer),
            }
        }

        /// Arms a receive that waits first, by which the kernel's window is as wide as one likes.
        fn arm_in_the_window(&mut self) {
            let slot = self.engine.memory.slots.find(self.key).unwrap();
            let entry = ops::receive_after_a_wait(slot.socket(self.key).unwrap(), self.key);
            self.engine.hand_over(self.key, entry);
        }

        fn event(&mut self) -> Event<OwnedFd> {
            let deadline = self.engine.now() + PATIENCE;
            loop {
                if let Some(event) = self.engine.next_event() {
                    return event;
                }
                assert!(self.engine.now() < deadline, "no event");
                self.engine.submit_and_wait(Wait::Until(deadline)).unwrap();
            }
        }

        fn say(&mut self, words: &[u8]) {
            self.peer.as_mut().unwrap().write_all(words).unwrap();
        }

        fn received(&mut self) -> Vec<u8> {
            let Event::Received { chunk, .. } = self.event() else {
                panic!("another event than data");
            };
            let bytes = chunk.as_slice().to_vec();
            self.engine.recycle(chunk);
            bytes
        }

        /// The peer's socket is closed with a reset.
        fn reset(&mut self) {
            let peer = self.peer.take().unwrap();
            SockRef::from(&peer)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }

        fn end(self) {
            let deadline = self.engine.now() + PATIENCE;
            assert_eq!(self.engine.drain(deadline), Drained::Clean);
        }
    }
    /// Data and a reset in the window, seen by the kernel as one wake-up.
    #[test]
    fn a_reset_that_the_kernel_swallows_is_told() {
        let mut trial = Trial::new();
        trial.say(b"last words");
        trial.reset();
        trial.arm_in_the_window();
        assert_eq!(trial.received(), b"last words");
        let Event::Failed { key, error } = trial.event() else {
            panic!("another event than a failure");
        };
        assert_eq!(key, trial.key);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        trial.end();
    }

    /// The receive that waits is the kernel's until its own end, and is heard of no more.
    #[test]
    fn who_is_only_silent_is_looked_at_once_and_goes_on() {
        let mut trial = Trial::new();
        trial.engine.arm_recv(trial.key);
        for message in [&b"one"[..], b"two"] {
            trial.say(message);
            assert_eq!(trial.received(), message);
            // Until the look is due, made and over.
            let engine = &mut trial.engine;
            loop {
                assert!(engine.next_event().is_none(), "an event of a look");
                if engine.doubts.is_empty() && engine.in_flight() == 1 {
                    break;
                }
                engine.submit_and_wait(Wait::Forever).unwrap();
            }
        }
        trial.end();
    }

    /// Closing while a look is due, or under way, is like any other close.
    #[test]
    fn a_look_at_a_connection_that_closes_leaves_nothing() {
        for looking in [false, true] {
            let mut trial = Trial::new();
            trial.engine.arm_recv(trial.key);
            trial.say(b"words");
            assert_eq!(trial.received(), b"words");
            if looking {
                trial.engine.look(trial.key);
                assert_eq!(trial.engine.in_flight(), 2);
            }
            trial.engine.close(trial.key, CloseMode::Abort);
            assert!(matches!(trial.event(), Event::Closed { .. }));
            assert_eq!(trial.engine.in_flight(), 0);
            trial.end();
        }
    }
}
