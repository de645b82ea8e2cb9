//! What one session of the load generator has sent and waits for.
//!
//! It is attached to the session. Its lock is all but uncontended: the session's I/O thread takes
//! it on each response, another thread only to start a phase, or in open loop to send.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// A request on its way.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    /// From when its latency counts.
    pub(crate) at_ns: u64,
    /// Number of its payload in the pool.
    pub(crate) payload: u32,
    /// Its number in the session.
    pub(crate) sequence: u32,
}

/// What the session is doing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Nothing, until the next phase begins.
    Idle,
    /// So many warm-up requests are left to send.
    Warmup {
        /// Requests; more are sent where warm sessions go on.
        left: u64,
    },
    /// Warm; a response brings the next request until all sessions are, and nothing is measured.
    Warm,
    /// Measured; a response brings the next request.
    Closed,
    /// Measured; the pacer sends.
    Open,
    /// Measured; the pacer has sent its last request.
    OpenEnding,
    /// The session has ended.
    Lost,
}

/// A session's state.
#[derive(Debug)]
pub(crate) struct Flow {
    /// What the session is doing.
    pub(crate) stage: Stage,
    /// What was sent and not answered, oldest first: a server answers in order.
    pub(crate) outstanding: VecDeque<Sent>,
    /// Warm-up requests that were sent.
    pub(crate) warmup_requests: u64,
    /// Measured requests that were sent.
    pub(crate) measured_requests: u64,
    /// So many of the oldest that are outstanding were sent before measuring began.
    unmeasured: usize,
    next_payload: u32,
    next_sequence: u32,
}

/// The value that is attached to a session.
#[derive(Debug)]
pub(crate) struct SessionLoad {
    /// The state.
    pub(crate) flow: Mutex<Flow>,
    /// Which recorder the session's I/O thread uses.
    pub(crate) recorder: usize,
}

impl SessionLoad {
    /// The state of a session that has sent nothing. `first_payload` spreads the sessions over the
    /// pool.
    pub(crate) fn new(recorder: usize, first_payload: u32) -> Self {
        let flow = Flow {
            stage: Stage::Idle,
            outstanding: VecDeque::new(),
            warmup_requests: 0,
            measured_requests: 0,
            unmeasured: 0,
            next_payload: first_payload,
            next_sequence: 1,
        };
        Self {
            flow: Mutex::new(flow),
            recorder,
        }
    }
}

impl Flow {
    /// Notes a request whose latency counts from `at_ns`. Call [`Flow::take_back`] if it can not be
    /// sent.
    #[inline]
    pub(crate) fn next(&mut self, at_ns: u64) -> Sent {
        let sent = Sent {
            at_ns,
            payload: self.next_payload,
            sequence: self.next_sequence,
        };
        self.next_payload = self.next_payload.wrapping_add(1);
        self.next_sequence = self.next_sequence.wrapping_add(1);
        match &mut self.stage {
            Stage::Warmup { left } => {
                *left = left.saturating_sub(1);
                self.warmup_requests += 1;
            }
            Stage::Warm => self.warmup_requests += 1,
            _ => self.measured_requests += 1,
        }
        self.outstanding.push_back(sent);
        sent
    }

    /// Forgets the last request: it was not sent.
    pub(crate) fn take_back(&mut self) {
        if self.outstanding.pop_back().is_some() {
            match self.stage {
                Stage::Warmup { .. } | Stage::Warm => self.warmup_requests -= 1,
                _ => self.measured_requests -= 1,
            }
        }
    }

    /// Whether so many warm-up requests were answered.
    #[inline]
    pub(crate) fn is_warm(&self, warmup: u64) -> bool {
        self.warmup_requests - self.outstanding.len() as u64 >= warmup
    }

    /// Takes the oldest request, which was answered, and tells whether it is measured.
    #[inline]
    pub(crate) fn answered(&mut self) -> Option<(Sent, bool)> {
        let sent = self.outstanding.pop_front()?;
        let is_warming = matches!(self.stage, Stage::Warmup { .. } | Stage::Warm);
        let is_measured = !is_warming && self.unmeasured == 0;
        self.unmeasured = self.unmeasured.saturating_sub(1);
        Some((sent, is_measured))
    }

    /// Enters a stage. What is on its way then is not measured.
    pub(crate) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.unmeasured = self.outstanding.len();
    }

    /// Whether the phase is over for this session, once nothing is outstanding.
    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.outstanding.is_empty() && !matches!(self.stage, Stage::Open | Stage::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_their_phase() {
        let load = SessionLoad::new(0, 5);
        let mut flow = load.flow.lock();
        flow.stage = Stage::Warmup { left: 2 };
        assert_eq!(
            flow.next(1),
            Sent {
                at_ns: 1,
                payload: 5,
                sequence: 1
            }
        );
        flow.next(2);
        assert_eq!(flow.stage, Stage::Warmup { left: 0 });
        flow.outstanding.clear();
        flow.stage = Stage::Closed;
        assert_eq!(
            flow.next(3),
            Sent {
                at_ns: 3,
                payload: 7,
                sequence: 3
            }
        );
        assert_eq!((flow.warmup_requests, flow.measured_requests), (2, 1));
    }

    #[test]
    fn a_flow_is_warm_when_its_warm_up_was_answered_not_when_it_was_sent() {
        let load = SessionLoad::new(0, 0);
        let mut flow = load.flow.lock();
        flow.enter(Stage::Warmup { left: 2 });
        for at_ns in 0..5 {
            flow.next(at_ns);
        }
        assert!(flow.answered().is_some() && !flow.is_warm(2));
        assert!(flow.answered().is_some() && flow.is_warm(2));
    }

    #[test]
    fn what_is_on_its_way_when_measuring_begins_is_not_measured() {
        let load = SessionLoad::new(0, 0);
        let mut flow = load.flow.lock();
        flow.enter(Stage::Warm);
        for at_ns in 0..3 {
            flow.next(at_ns);
        }
        assert_eq!(
            flow.answered().map(|(_, is_measured)| is_measured),
            Some(false)
        );
        flow.enter(Stage::Closed);
        flow.next(3);
        let measured: Vec<_> = std::iter::from_fn(|| flow.answered())
            .map(|(sent, is_measured)| (sent.at_ns, is_measured))
            .collect();
        assert_eq!(measured, [(1, false), (2, false), (3, true)]);
        assert_eq!((flow.warmup_requests, flow.measured_requests), (3, 1));
        assert_eq!(flow.answered(), None);
    }

    #[test]
    fn a_request_that_was_not_sent_does_not_count() {
        let load = SessionLoad::new(0, 0);
        let mut flow = load.flow.lock();
        flow.stage = Stage::Closed;
        flow.next(1);
        flow.take_back();
        assert_eq!((flow.measured_requests, flow.outstanding.len()), (0, 0));
        assert!(flow.is_exhausted());
    }

    #[test]
    fn an_open_flow_ends_only_when_the_pacer_has() {
        let load = SessionLoad::new(0, 0);
        let mut flow = load.flow.lock();
        flow.stage = Stage::Open;
        assert!(!flow.is_exhausted());
        flow.stage = Stage::OpenEnding;
        assert!(flow.is_exhausted());
        flow.next(1);
        assert!(!flow.is_exhausted());
    }
}
