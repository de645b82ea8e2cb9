//! What sends of one session have accepted, and what its peer has read of it.
//!
//! The peer must read whole frames, each one that was accepted and none twice, in their order. With
//! a policy that drops the oldest some may be missing; with one that keeps the latest of each key
//! the frames of a key may be, and are in order among themselves, since each takes the place of
//! an older one. When the peer sees our FIN, exactly those are missing that the session counts as
//! dropped.

use super::{ID, KEYED};
use fastport::protocol::prost::Message;
use fastport::protocol::tests::PingRequest;
use fastport::{Identified, PacketId, SendPolicy, Session};

/// Keys of messages.
const KEYS: usize = 3;

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// While it lives: it has this account attached.
    session: Option<Session>,
    /// Messages that the session counts as dropped, when it has ended.
    dropped: u64,
    accepted: Vec<Vec<u8>>,
    /// The first frame that the peer may read next, of those without a key and of each key.
    next: [usize; 1 + KEYS],
    /// The beginning of a frame.
    partial: Vec<u8>,
    frames_read: u64,
    bytes_read: usize,
    /// Messages that were dropped when they were sent.
    refused: u64,
}

impl Outgoing {
    pub(super) fn begin(&mut self, session: &Session) {
        self.session = Some(session.clone());
    }

    pub(super) fn end(&mut self, session: &Session) {
        self.dropped = session.dropped_messages();
        self.session = None;
    }

    pub(super) fn accept(&mut self, frame: Vec<u8>) {
        self.accepted.push(frame);
    }

    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    pub(super) fn bytes_read(&self) -> usize {
        self.bytes_read
    }

    pub(super) fn bytes_accepted(&self) -> usize {
        self.accepted.iter().map(Vec::len).sum()
    }

    /// The peer reads bytes; the requests that are among them.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        policy: SendPolicy,
    ) -> Result<Vec<PingRequest>, &'static str> {
        self.partial.extend_from_slice(bytes);
        self.bytes_read += bytes.len();
        let mut requests = Vec::new();
        let mut at = 0;
        while let Some(&[high, low]) = self.partial.get(at..at + 2).and_then(|b| b.first_chunk()) {
            let size = usize::from(u16::from_be_bytes([high, low]));
            let Some(frame) = self.partial.get(at..at + size.max(4)) else {
                break;
            };
            let frame = frame.to_vec();
            at += frame.len();
            self.take(&frame, policy)?;
            self.frames_read += 1;
            if id_of(&frame) == PingRequest::ID {
                let request = PingRequest::decode(&frame[4..]);
                requests.push(request.map_err(|_| "a request that does not decode")?);
            }
        }
        self.partial.drain(..at);
        self.check_partial(policy)?;
        Ok(requests)
    }

    /// Finds a frame among those that may come.
    fn take(&mut self, frame: &[u8], policy: SendPolicy) -> Result<(), &'static str> {
        let lane = lane_of(frame);
        let may_skip = policy == SendPolicy::DropOldest || lane > 0;
        let from = self.next[lane];
        let mut coming = self.accepted.iter().enumerate().skip(from);
        let mut coming = coming.by_ref().filter(|(_, other)| lane_of(other) == lane);
        let found = match may_skip {
            true => coming.find(|(_, other)| is_same(other, frame)),
            false => coming.next().filter(|(_, other)| is_same(other, frame)),
        };
        let (index, _) = found.ok_or("other bytes than were queued")?;
        self.next[lane] = index + 1;
        Ok(())
    }

    /// What came of an unfinished frame must be the beginning of the next one, where no other can
    /// come.
    fn check_partial(&self, policy: SendPolicy) -> Result<(), &'static str> {
        let sole = matches!(policy, SendPolicy::Report | SendPolicy::Disconnect);
        if !sole || self.partial.is_empty() {
            return Ok(());
        }
        let next = self.accepted.get(self.next[0]);
        let right = next.is_some_and(|next| match id_of(next) == PingRequest::ID {
            // What is in the header is not known here.
            true => next.len() >= self.partial.len(),
            false => next.starts_with(&self.partial),
        });
        right.then_some(()).ok_or("a part of something else")
    }

    /// The peer sees our FIN: it has everything that was not dropped.
    pub(super) fn check_all_read(&self) -> Result<(), String> {
        let session = self.session.as_ref();
        let dropped = session.map_or(self.dropped, Session::dropped_messages);
        let missing = self.accepted.len() as u64 - self.frames_read;
        if self.partial.is_empty() && missing + self.refused == dropped {
            return Ok(());
        }
        Err(format!(
            "{} of {} frames were read, {} bytes of another; {} were refused, {dropped} dropped",
            self.frames_read,
            self.accepted.len(),
            self.partial.len(),
            self.refused
        ))
    }
}

/// The key that a payload is sent with.
pub(super) fn key_of(policy: SendPolicy, payload: &[u8]) -> Option<u64> {
    let keyed = policy == SendPolicy::LatestByKey && payload.len().is_multiple_of(2);
    keyed.then_some((payload.len() % KEYS) as u64)
}

/// Frames of one lane are in order among themselves.
fn lane_of(frame: &[u8]) -> usize {
    match id_of(frame) == KEYED {
        true => 1 + (frame.len() - 4) % KEYS,
        false => 0,
    }
}

/// Whether a frame is the one that was accepted. What a request's header says is the session's.
fn is_same(accepted: &[u8], frame: &[u8]) -> bool {
    if id_of(accepted) != PingRequest::ID || id_of(frame) != PingRequest::ID {
        return accepted == frame;
    }
    let text = |frame: &[u8]| PingRequest::decode(&frame[4..]).map(|request| request.payload);
    text(accepted) == text(frame)
}

fn id_of(frame: &[u8]) -> PacketId {
    match frame {
        [_, _, high, low, ..] => PacketId::new(u16::from_be_bytes([*high, *low])),
        _ => ID,
    }
}
