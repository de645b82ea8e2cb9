//! Requests of one session to its peer: each has one outcome, in order with the packets, before the
//! session's end.

use super::{Ledger, frame_of};
use crate::check;
use crate::random::Random;
use fastport::protocol::prost::Message;
use fastport::protocol::tests::{PingRequest, PingResponse};
use fastport::{Identified, RequestError, SendError, Session};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The requests of a session.
#[derive(Debug, Default)]
pub(super) struct Asks {
    made: u32,
    waiting: BTreeSet<u32>,
    /// Requests that the peer has read and not answered.
    unanswered: VecDeque<PingRequest>,
}

impl Asks {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn were_read(&mut self, requests: Vec<PingRequest>) {
        self.unanswered.extend(requests);
    }
}

impl Ledger {
    /// Whether the handler asks the peer when it gets this.
    #[must_use]
    pub fn wants_to_ask(&self, payload: &[u8]) -> bool {
        let sum: u32 = payload.iter().map(|byte| u32::from(*byte)).sum();
        (sum * 37) % 1000 < u32::from(self.asks)
    }

    /// Asks the peer.
    pub fn ask(self: &Arc<Self>, session: &Session) {
        let number = {
            let mut state = self.lock();
            state.asks.made += 1;
            let number = state.asks.made;
            state.asks.waiting.insert(number);
            number
        };
        let request = PingRequest {
            payload: text_of(number),
            ..PingRequest::default()
        };
        // With a header as long as the one that the session makes.
        let mut sample = request.clone();
        sample.header = Some(fastport::protocol::commons::Header {
            request_id: u64::MAX,
            timestamp_ms: 1 << 40,
        });
        let (told, open) = (self.clone(), session.is_connected());
        let limit = Duration::from_millis(self.ask_ms as u64);
        let outcome = session.request(request, limit, move |session, answer| {
            told.on_outcome(session, number, answer);
        });
        let mut state = self.lock();
        let id = self.id;
        check!(
            self.verdict,
            open || outcome.is_err(),
            "#{id} asks after its end"
        );
        if outcome.is_err() {
            let waited = state.asks.waiting.remove(&number);
            check!(
                self.verdict,
                waited,
                "#{id} request {number} failed and has an outcome"
            );
        }
        match outcome {
            Ok(()) => {
                let frame = frame_of(PingRequest::ID, &sample.encode_to_vec());
                state.outgoing.accept(frame);
            }
            Err(SendError::Dropped) => {
                state.outgoing.refuse();
                state.owed_writable = true;
            }
            Err(SendError::Overflow { .. }) => state.overflowed = true,
            Err(SendError::OverBudget { .. }) => state.over_budget = true,
            Err(SendError::Disconnected) => {}
            Err(error) => self.verdict.violate(format_args!("#{id} {error}")),
        }
    }

    /// Who waits is told.
    fn on_outcome(
        &self,
        session: &Session,
        number: u32,
        answer: Result<PingResponse, RequestError>,
    ) {
        self.enter(session, "outcome", answer.is_ok());
        let waited = self.lock().asks.waiting.remove(&number);
        let id = self.id;
        check!(
            self.verdict,
            waited,
            "#{id} request {number} has a second outcome"
        );
        match answer {
            Ok(answer) => {
                let right = answer.payload == text_of(number);
                check!(
                    self.verdict,
                    right,
                    "#{id} request {number} has another's answer"
                );
                // In its place among the packets.
                self.on_packet(&frame_of(PingResponse::ID, &answer.encode_to_vec()));
            }
            Err(RequestError::Timeout(_)) => {}
            Err(RequestError::Closed(_)) => {
                let ends = !session.is_connected();
                check!(
                    self.verdict,
                    ends,
                    "#{id} request {number} was ended by nothing"
                );
            }
            Err(error) => self
                .verdict
                .violate(format_args!("#{id} request {number}: {error}")),
        }
        self.leave(false);
    }

    /// What the peer sends in answer to the next request that it has read: nothing, the answer,
    /// twice, or under another id. `None` when it was not asked.
    pub fn next_answers(&self, random: &mut Random) -> Option<Vec<u8>> {
        let request = self.lock().asks.unanswered.pop_front()?;
        let answer = PingResponse {
            header: request.header,
            payload: request.payload,
            ..PingResponse::default()
        };
        let answer = answer.encode_to_vec();
        let right = frame_of(PingResponse::ID, &answer);
        Some(match random.weighted(&[7, 1, 1, 1]) {
            0 => right,
            1 => right.repeat(2),
            2 => frame_of(PingRequest::ID, &answer),
            _ => Vec::new(),
        })
    }
}

fn text_of(number: u32) -> String {
    format!("request {number}")
}
