//! The system's readiness queue: epoll or kqueue, by way of mio.
//!
//! Edge-triggered: an edge is told once, so whoever hears of it must note it until a call finds the
//! socket empty or full. A socket is registered once, for both directions, until it is closed.

use crate::{Key, Wake};
use mio::event::Source;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Sockets of which one wait tells; more are told of by the next.
const EVENTS_MAX: usize = 1024;

/// Not an index of a slot, since there are fewer than 2^32 and this is told of by its own token.
const WAKE: Token = Token(usize::MAX);

/// What became possible on the socket of a slot.
#[derive(Copy, Clone, Debug)]
pub(super) struct Edge {
    /// The slot's index.
    pub(super) index: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// No further edge for reading may come.
    pub(super) read_to_end: bool,
}

/// Wakes a worker of the readiness engine.
#[derive(Clone, Debug)]
pub struct PollWaker(Arc<Waker>);

impl Wake for PollWaker {
    fn wake(&self) {
        // It fails only when the kernel has no memory left or the engine is gone; neither is ours
        // to mend.
        let _ = self.0.wake();
    }
}

/// One worker's readiness queue.
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    waker: PollWaker,
}

impl Poller {
    pub(super) fn open() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            waker: PollWaker(Arc::new(waker)),
        })
    }

    pub(super) fn waker(&self) -> PollWaker {
        self.waker.clone()
    }

    /// Asks for the edges of a socket from now on. What is possible already counts as an edge.
    pub(super) fn register(&self, key: Key, source: &mut dyn Source) -> io::Result<()> {
        let both = Interest::READABLE.add(Interest::WRITABLE);
        self.poll
            .registry()
            .register(source, Token(key.index()), both)
    }

    /// Ends that.
    pub(super) fn deregister(&self, source: &mut dyn Source) {
        // A socket that is not registered is what was wanted.
        let _ = self.poll.registry().deregister(source);
    }

    /// Waits for an edge or a wake-up; a signal ends it early.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The edges that the last wait found.
    pub(super) fn edges(&self) -> impl Iterator<Item = Edge> {
        let ours = self.events.iter().filter(|event| event.token() != WAKE);
        ours.map(|event| {
            let read_to_end = event.is_read_closed() || event.is_error();
            Edge {
                index: event.token().0,
                readable: event.is_readable() || read_to_end,
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                read_to_end,
            }
        })
    }
}
