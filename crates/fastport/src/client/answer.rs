//! Answers that somebody waits for, by request id.

use crate::lock::{Condvar, Mutex};
use crate::session::asks::request_id;
use crate::{CloseReason, RequestError};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The payload of an answer, or why there will be none.
pub(super) type Outcome = Result<Vec<u8>, NoAnswer>;

/// Why there will be no answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum NoAnswer {
    /// The session has ended.
    Closed(CloseReason),
    /// The request's own time is over.
    Late(Duration),
}

impl From<NoAnswer> for RequestError {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Closed(reason) => Self::Closed(reason),
            NoAnswer::Late(limit) => Self::Timeout(limit),
        }
    }
}

/// A place for one outcome, for one waiter: a task or a blocked thread.
#[derive(Debug, Default)]
pub(super) struct Answer {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Answer {
    /// Stores the outcome, the first one only, and wakes the waiter.
    pub(super) fn complete(&self, outcome: Outcome) {
        let waker = {
            let mut state = self.state.lock();
            state.outcome.get_or_insert(outcome);
            state.waker.take()
        };
        self.ready.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the outcome, or leaves the task's waker.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.state.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Blocks for the outcome until `deadline`, or without end.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Option<Outcome> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.state.lock();
        while state.outcome.is_none() {
            match deadline {
                Some(deadline) => {
                    if self.ready.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
                None => self.ready.wait(&mut state),
            }
        }
        state.outcome.take()
    }
}

/// The requests of one client that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: HashMap<u64, Arc<Answer>>,
    /// Set when the session has ended: later requests fail at once.
    closed: Option<CloseReason>,
}

impl Pending {
    /// Makes a place for the answer to request `id`.
    pub(super) fn expect(&self, id: u64) -> Arc<Answer> {
        let answer = Arc::new(Answer::default());
        let mut table = self.table.lock();
        match table.closed {
            Some(reason) => answer.complete(Err(NoAnswer::Closed(reason))),
            None => {
                table.waiting.insert(id, answer.clone());
            }
        }
        answer
    }

    /// Hands `payload` to the request that it answers. False when it answers none.
    pub(super) fn answer(&self, payload: &[u8]) -> bool {
        let Some(id) = request_id(payload) else {
            return false;
        };
        let answer = self.table.lock().waiting.remove(&id);
        let Some(answer) = answer else { return false };
        answer.complete(Ok(payload.to_vec()));
        true
    }

    /// Forgets a request that nobody waits for any more.
    pub(super) fn forget(&self, id: u64) {
        self.table.lock().waiting.remove(&id);
    }

    /// The session has ended: everybody who waits is told.
    pub(super) fn fail(&self, reason: CloseReason) {
        let waiting = {
            let mut table = self.table.lock();
            table.closed = Some(reason);
            std::mem::take(&mut table.waiting)
        };
        for answer in waiting.into_values() {
            answer.complete(Err(NoAnswer::Closed(reason)));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.lock().waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::asks::HEADER_KEY;
    use fastport_protocol::commons::Header;
    use fastport_protocol::tests::EchoResponse;
    use prost::Message;

    fn response(request_id: u64) -> Vec<u8> {
        let header = Some(Header {
            request_id,
            timestamp_ms: 0,
        });
        EchoResponse {
            header,
            data_str: "x".into(),
            ..Default::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn answers_find_their_requests_whatever_the_order() {
        let pending = Pending::default();
        let (first, second) = (pending.expect(1), pending.expect(2));
        assert!(pending.answer(&response(2)));
        assert!(
            !pending.answer(&response(2)),
            "a second answer to one request"
        );
        assert!(
            !pending.answer(&response(3)),
            "an answer that nobody asked for"
        );
        assert!(!pending.answer(b"\xff"), "no message at all");
        assert!(!pending.answer(&[HEADER_KEY, 9]), "half a header");
        assert_eq!(second.wait(None), Some(Ok(response(2))));
        assert_eq!(first.wait(Some(Duration::ZERO)), None);
        pending.forget(1);
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn an_answer_that_is_broken_behind_its_header_has_its_request() {
        let pending = Pending::default();
        let waiting = pending.expect(7);
        let broken = [&response(7)[..], &[0x1A, 0x7F]].concat();
        assert!(pending.answer(&broken));
        assert_eq!(waiting.wait(None), Some(Ok(broken)));
    }

    #[test]
    fn the_end_of_the_session_fails_what_waits_and_what_comes() {
        let pending = Pending::default();
        let waiting = pending.expect(1);
        pending.fail(CloseReason::Idle);
        let ended = Some(Err(NoAnswer::Closed(CloseReason::Idle)));
        assert_eq!(waiting.wait(None), ended);
        assert_eq!(pending.expect(2).wait(None), ended);
    }
}
