//! What all engines of a simulated machine share: the clock, the network, the descriptors.

use super::wire::{Wire, id_of};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The simulated machine. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Net(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Instant,
    /// Connections that wait to be accepted; there is one listener.
    backlog: VecDeque<Wire>,
    listening: bool,
    /// What becomes of a connect, by the number in its address.
    attempts: BTreeMap<u32, Attempt>,
    descriptors: usize,
    descriptors_max: usize,
}

/// What becomes of an outgoing connection.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When there is an answer.
    pub at: Instant,
    /// Which one.
    pub answer: Answer,
}

/// The answer to an outgoing connection.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It stands.
    Accepted(Wire),
    /// It is refused, with this code of the system.
    Refused(i32),
    /// There is none.
    Never,
}

impl Net {
    /// A machine that may have so many connections open.
    #[must_use]
    pub fn new(descriptors_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            // Where virtual time begins does not matter; from here on it only goes on when told.
            now: Instant::now(),
            backlog: VecDeque::new(),
            listening: false,
            attempts: BTreeMap::new(),
            descriptors: 0,
            descriptors_max,
        })))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.lock().now
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.lock().now += by;
    }

    /// Somebody connects to the listener. False when nobody listens.
    #[must_use]
    pub fn dial(&self, wire: Wire) -> bool {
        let mut state = self.lock();
        if state.listening {
            state.backlog.push_back(wire);
        }
        state.listening
    }

    /// Says what will become of a connect to the address with this number.
    pub fn expect_connect(&self, id: u32, attempt: Attempt) {
        self.lock().attempts.insert(id, attempt);
    }

    /// Connections that wait to be accepted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().backlog.len()
    }

    /// Descriptors in use.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.lock().descriptors
    }

    /// When the next connect has its answer.
    #[must_use]
    pub fn next_answer(&self) -> Option<Instant> {
        let state = self.lock();
        let answers = state.attempts.values();
        answers
            .filter(|attempt| !matches!(attempt.answer, Answer::Never))
            .map(|attempt| attempt.at)
            .min()
    }

    /// The listener is there, or gone: then what waits is reset.
    pub(super) fn listen(&self, listening: bool) {
        let waiting = {
            let mut state = self.lock();
            state.listening = listening;
            if listening {
                VecDeque::new()
            } else {
                std::mem::take(&mut state.backlog)
            }
        };
        for wire in waiting {
            wire.host_close(true);
        }
    }

    pub(super) fn next_waiting(&self) -> Option<Wire> {
        self.lock().backlog.pop_front()
    }

    /// The answer to a connect that was begun, once it is there.
    pub(super) fn answer(&self, to: SocketAddr) -> Option<Answer> {
        let mut state = self.lock();
        let id = id_of(to);
        let now = state.now;
        let attempt = state.attempts.get(&id)?;
        if matches!(attempt.answer, Answer::Never) || attempt.at > now {
            return None;
        }
        state.attempts.remove(&id).map(|attempt| attempt.answer)
    }

    /// Nobody waits for the answer any more. A connection that would have stood is reset.
    pub(super) fn forget_attempt(&self, to: SocketAddr) {
        let attempt = self.lock().attempts.remove(&id_of(to));
        if let Some(Answer::Accepted(wire)) = attempt.map(|attempt| attempt.answer) {
            wire.host_close(true);
        }
    }

    /// Takes a descriptor, if there is one.
    pub(super) fn take_descriptor(&self) -> bool {
        let mut state = self.lock();
        let free = state.descriptors < state.descriptors_max;
        state.descriptors += usize::from(free);
        free
    }

    pub(super) fn give_descriptor(&self) {
        self.lock().descriptors -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
