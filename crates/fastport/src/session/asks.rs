//! Requests to the peer that wait for their answers: who waits, for what, and until when.
//!
//! They lie in the session's remote half, under its lock. Whoever is told is taken out first, by
//! the answer, by the time limit or by the end of the session: so each is told once. None is added
//! after the end was asked for, which is looked at under the lock; the end takes all that are
//! there.
//!
//! Who waits is told in order with the session's packets: where they are delivered, or on its
//! strand.

use crate::session::flags::ASKS;
use crate::session::shared::SessionShared;
use crate::{CloseReason, Packet, PacketId, RequestError, SendError, Session};
use fastport_engine::Moment;
use fastport_protocol::commons::Header;
use prost::Message;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is done with an answer's payload, or told why there is none.
type Answered = Box<dyn FnOnce(&Session, Result<&[u8], RequestError>) + Send>;

/// The requests of a session that wait.
#[derive(Default)]
pub(crate) struct Asks {
    made: u64,
    waiting: BTreeMap<u64, Ask>,
    /// No time limit is over before.
    earliest: Option<Moment>,
}

struct Ask {
    /// The id of the packet that answers it; `None` when the answer is looked for elsewhere, and
    /// only the time limit is kept here.
    expects: Option<PacketId>,
    deadline: Moment,
    limit: Duration,
    answered: Answered,
}

/// Somebody who waited in vain, and is to be told why.
pub(crate) struct Unanswered {
    answered: Answered,
    error: RequestError,
}

impl Unanswered {
    /// Tells. On the session's order.
    pub(crate) fn tell(self, session: &Session) {
        (self.answered)(session, Err(self.error));
    }
}

impl Asks {
    fn add(&mut self, side: u64, ask: Ask) -> u64 {
        self.made += 1;
        let id = side | self.made;
        self.insert(id, ask);
        id
    }

    fn insert(&mut self, id: u64, ask: Ask) {
        self.earliest = self.earliest.into_iter().chain([ask.deadline]).min();
        self.waiting.insert(id, ask);
    }

    fn take(&mut self, id: u64, packet: PacketId) -> Option<Ask> {
        let expects = self.waiting.get(&id)?.expects;
        (expects == Some(packet)).then(|| self.waiting.remove(&id))?
    }

    /// Takes out those whose time is over.
    fn take_overdue(&mut self, now: Moment) -> Vec<Unanswered> {
        let overdue = self.waiting.iter().filter(|(_, ask)| ask.deadline <= now);
        let overdue: Vec<u64> = overdue.map(|(id, _)| *id).collect();
        let told = overdue.into_iter().filter_map(|id| {
            let ask = self.waiting.remove(&id)?;
            Some(Unanswered {
                error: RequestError::Timeout(ask.limit),
                answered: ask.answered,
            })
        });
        let told = told.collect();
        self.earliest = self.waiting.values().map(|ask| ask.deadline).min();
        told
    }

    /// Takes all out.
    fn take_all(&mut self, reason: CloseReason) -> Vec<Unanswered> {
        self.earliest = None;
        let all = std::mem::take(&mut self.waiting).into_values();
        let told = all.map(|ask| Unanswered {
            answered: ask.answered,
            error: RequestError::Closed(reason),
        });
        told.collect()
    }
}

impl SessionShared {
    /// Has `answered` wait for the answer, for at most `limit`. The id that the request must have.
    pub(crate) fn ask(
        self: &Arc<Self>,
        expects: PacketId,
        limit: Duration,
        answered: Answered,
    ) -> Result<u64, SendError> {
        let side = if self.context.inbound {
            ASKED_BY_ACCEPTOR
        } else {
            ASKED_BY_CONNECTOR
        };
        let ask = self.new_ask(Some(expects), limit, answered);
        self.add_ask(|asks| asks.add(side, ask))
    }

    /// Has `told` called when `limit` is over or the session has ended, unless request `id` is
    /// forgotten before. Its answer is found by whoever made it: a client, whose ids count from 1.
    pub(crate) fn limit_request(
        self: &Arc<Self>,
        id: u64,
        limit: Duration,
        told: Answered,
    ) -> Result<(), SendError> {
        let ask = self.new_ask(None, limit, told);
        self.add_ask(|asks| asks.insert(id, ask))
    }

    fn new_ask(&self, expects: Option<PacketId>, limit: Duration, answered: Answered) -> Ask {
        Ask {
            expects,
            deadline: Moment::after(self.context.worker.service.uptime_ns()) + limit,
            limit,
            answered,
        }
    }

    fn add_ask<R>(&self, add: impl FnOnce(&mut Asks) -> R) -> Result<R, SendError> {
        let mut remote = self.remote.lock();
        if self.is_disconnect_requested() {
            return Err(SendError::Disconnected);
        }
        let remote = remote.get_or_insert_default();
        let added = add(remote.asks.get_or_insert_default());
        self.flags.set(ASKS, true);
        Ok(added)
    }

    /// Runs `act` on the requests that wait, if there are any.
    fn with_asks<R: Default>(&self, act: impl FnOnce(&mut Asks) -> R) -> R {
        if !self.flags.has(ASKS) {
            return R::default();
        }
        let mut remote = self.remote.lock();
        let Some(asks) = remote.as_mut().and_then(|half| half.asks.as_mut()) else {
            return R::default();
        };
        let outcome = act(asks);
        if asks.waiting.is_empty() {
            self.flags.set(ASKS, false);
        }
        outcome
    }

    /// Forgets a request that was not sent. False when who waited was told something meanwhile.
    pub(crate) fn forget_ask(&self, id: u64) -> bool {
        let forgotten = self.with_asks(|asks| asks.waiting.remove(&id));
        // Dropped outside the lock: it may hold anything.
        forgotten.is_some()
    }

    /// Hands a packet to who waits for it. False when nobody does.
    pub(crate) fn answer(&self, session: &Session, packet: &Packet<'_>) -> bool {
        let Some(id) = request_id(packet.payload()) else {
            return false;
        };
        let ask = self.with_asks(|asks| asks.take(id, packet.id()));
        let Some(ask) = ask else { return false };
        (ask.answered)(session, Ok(packet.payload()));
        true
    }

    /// When a request's time may be over next.
    pub(crate) fn asks_due(&self) -> Option<Moment> {
        self.with_asks(|asks| asks.earliest)
    }

    /// Takes out the requests whose time is over. Owner only.
    pub(crate) fn overdue_asks(&self, now: Moment) -> Vec<Unanswered> {
        if self.asks_due().is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.with_asks(|asks| asks.take_overdue(now))
    }

    /// Moves the requests' time limits.
    pub(crate) fn shift_asks(&self, gap: Duration) {
        self.with_asks(|asks| {
            for ask in asks.waiting.values_mut() {
                ask.deadline += gap;
            }
            asks.earliest = asks.earliest.map(|at| at + gap);
        });
    }

    /// Takes out all requests: the session has ended. Owner only.
    pub(crate) fn cancel_asks(&self, reason: CloseReason) -> Vec<Unanswered> {
        self.with_asks(|asks| asks.take_all(reason))
    }
}

/// What all messages that carry a header have in common: it is field 1.
#[derive(Clone, PartialEq, prost::Message)]
struct HeaderOnly {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

/// The request that a payload says it answers. A payload that is broken behind its header still
/// does, so that who waits learns that the answer does not decode, instead of waiting on.
pub(crate) fn request_id(payload: &[u8]) -> Option<u64> {
    let header = match HeaderOnly::decode(payload) {
        Ok(message) => message.header?,
        Err(_) => Header::decode_length_delimited(payload.strip_prefix(&[HEADER_KEY])?).ok()?,
    };
    Some(header.request_id)
}

/// Field 1, with a length: how a message with a header begins.
pub(crate) const HEADER_KEY: u8 = 0x0A;

/// Added to the ids of requests by the side that accepted the connection, so that they are none of
/// the other side's, which counts from 1 as clients of the wire do.
const ASKED_BY_ACCEPTOR: u64 = 1 << 63;
/// The same for requests of a session that was connected, which are not its `Client`'s.
const ASKED_BY_CONNECTOR: u64 = 1 << 62;

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn ask(deadline: u64) -> Ask {
        Ask {
            expects: Some(PacketId::PING_RESPONSE),
            deadline: Moment::after(deadline),
            limit: Duration::from_nanos(deadline),
            answered: Box::new(|_, _| {}),
        }
    }

    #[test]
    fn each_is_taken_out_once() {
        let mut asks = Asks::default();
        let ids: Vec<u64> = [30, 10, 20]
            .map(|at| asks.add(ASKED_BY_ACCEPTOR, ask(at)))
            .into();
        assert_eq!(asks.earliest, Some(Moment::after(10)));
        assert!(
            asks.take(ids[0], PacketId::ECHO).is_none(),
            "another packet"
        );
        assert!(asks.take(ids[0], PacketId::PING_RESPONSE).is_some());
        assert!(
            asks.take(ids[0], PacketId::PING_RESPONSE).is_none(),
            "twice"
        );
        assert!(asks.take_overdue(Moment::after(9)).is_empty());
        let overdue = asks.take_overdue(Moment::after(10));
        assert!(matches!(
            overdue[..],
            [Unanswered {
                error: RequestError::Timeout(_),
                ..
            }]
        ));
        assert_eq!(asks.earliest, Some(Moment::after(20)));
        assert_eq!(asks.take_all(CloseReason::Idle).len(), 1);
        assert!(asks.take_all(CloseReason::Idle).is_empty());
    }
}
