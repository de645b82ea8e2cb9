//! What should become of one connection, and what has: every check of a session is made here.
//!
//! What the peer put on the wire is what packets must be made of, byte for byte, in order, each
//! once. What a send accepted is what the peer must read, in order, and all of it if the peer sees
//! our FIN, but for what the session's policy dropped; see `outgoing`. Each request has one
//! outcome, before the end. Nothing above a stranger's limit is delivered before it is let in.

mod asks;
mod outgoing;

use super::plan::{Admission, Ending, Plan};
use crate::check;
use crate::random::Random;
use crate::sim_engine::wire::{End, Wire};
use crate::verdict::Verdict;
use asks::Asks;
use fastport::{CloseReason, PacketId, SendError, SendPolicy, SendStatus, Session};
use outgoing::{Outgoing, key_of};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Payloads of so many bytes are encoded outside the lock of their session.
const LARGE: usize = 2049;

/// The packet id of all frames.
pub(super) const ID: PacketId = PacketId::new(0x1234);
/// That of frames of which only the latest with its key matters.
pub(super) const KEYED: PacketId = PacketId::new(0x1235);

/// One connection's account.
#[derive(Debug)]
pub struct Ledger {
    /// The connection's number.
    pub id: u32,
    /// Whether a listener accepts it.
    pub inbound: bool,
    /// What the handler does at first.
    pub greeting: u8,
    /// Whether it is closed when it sends too fast.
    pub is_rated: bool,
    /// What becomes of what its peer does not take.
    pub policy: SendPolicy,
    /// How it is let in, if it has to be.
    admission: Option<Admission>,
    /// Packets before it is.
    strange_packets: u32,
    asks: u16,
    ask_ms: usize,
    pub(super) wire: Wire,
    verdict: Verdict,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the peer put on the wire.
    received: Vec<u8>,
    /// How much of it was delivered, in whole frames.
    delivered: usize,
    /// What sends have accepted, and what of it the peer has read.
    outgoing: Outgoing,
    asks: Asks,
    /// The application lets it in, or has.
    let_in: bool,
    packets: u32,
    session: Option<Session>,
    begun: u32,
    ended: Option<CloseReason>,
    inside: bool,
    owed_writable: bool,
    /// What may end the session, besides time and peer.
    requested: bool,
    panicked: bool,
    overflowed: bool,
    over_budget: bool,
    garbage: bool,
    stopping: bool,
    connect_done: u32,
    connect_failed: bool,
}

impl Ledger {
    /// An account of a connection that is about to be made.
    #[must_use]
    pub fn new(
        wire: Wire,
        inbound: bool,
        greeting: u8,
        plan: &Plan,
        games: &mut Random,
        verdict: Verdict,
    ) -> Self {
        let policy = SendPolicy::ALL[games.weighted(&plan.games.policies)];
        Self {
            id: wire.id(),
            inbound,
            greeting,
            policy,
            admission: plan.games.admission.filter(|_| inbound),
            strange_packets: [0, 1, 3, u32::MAX][games.below(4)],
            asks: plan.games.asks,
            ask_ms: plan.games.ask_ms,
            is_rated: !plan.limits.rate_delays && plan.limits.packet_rate[0] > 0,
            wire,
            verdict,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handler is told of the session's begin.
    pub fn on_opened(&self, session: &Session) {
        let mut state = self.lock();
        self.verdict.trace(format_args!("  #{} opened", self.id));
        check!(self.verdict, state.begun == 0, "#{} begins twice", self.id);
        let right = session.is_inbound() == self.inbound;
        check!(self.verdict, right, "#{} begins on the wrong side", self.id);
        check!(
            self.verdict,
            !state.connect_failed,
            "#{} failed and begins",
            self.id
        );
        state.begun += 1;
        if state.session.is_none() {
            state.session = Some(session.clone());
        }
        state.outgoing.begin(session);
    }

    /// A handler method is entered: nothing else of the session runs, and it has begun and not
    /// ended. Packets and relief do not come after a disconnect request.
    pub fn enter(&self, session: &Session, what: &str, is_delivery: bool) {
        let mut state = self.lock();
        let id = self.id;
        self.verdict.trace(format_args!("  #{id} {what}"));
        check!(
            self.verdict,
            state.begun == 1,
            "#{id} {what} before its begin"
        );
        check!(
            self.verdict,
            state.ended.is_none(),
            "#{id} {what} after its end"
        );
        check!(
            self.verdict,
            !state.inside,
            "#{id} {what} inside another call"
        );
        if is_delivery {
            let connected = session.is_connected();
            check!(
                self.verdict,
                connected,
                "#{id} {what} after the disconnect request"
            );
        }
        state.inside = true;
    }

    /// The handler method returns, or is about to panic.
    pub fn leave(&self, panics: bool) {
        let mut state = self.lock();
        state.inside = false;
        state.panicked |= panics;
    }

    /// A packet is delivered: it must be the next one.
    pub fn on_packet(&self, frame: &[u8]) {
        let mut state = self.lock();
        let from = state.delivered;
        let next = state.received.get(from..from + frame.len());
        let right = next == Some(frame);
        check!(
            self.verdict,
            right,
            "#{} got a packet that is not the next one",
            self.id
        );
        state.delivered += frame.len();
        let strange = self.admission.filter(|_| !state.let_in);
        let short = strange.is_none_or(|limit| frame.len() <= limit.frame_bytes);
        check!(
            self.verdict,
            short,
            "#{} got {} bytes of a stranger",
            self.id,
            frame.len()
        );
    }

    /// The application lets the session in, when it has had as many packets as it wants first.
    /// `bytes` are those of the packet that it has just had, if any.
    pub fn let_in_if_due(&self, session: &Session, bytes: usize) {
        let Some(_) = self.admission else { return };
        {
            let mut state = self.lock();
            state.packets += u32::from(bytes > 0);
            if state.let_in || state.packets < self.strange_packets {
                return;
            }
            state.let_in = true;
        }
        session.set_authenticated();
    }

    /// The handler is told that the queue has room.
    pub fn on_writable(&self) {
        self.lock().owed_writable = false;
    }

    /// The handler is told of the session's end.
    pub fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let mut state = self.lock();
        let id = self.id;
        self.verdict
            .trace(format_args!("  #{id} ended: {reason:?}"));
        check!(self.verdict, state.begun == 1, "#{id} ends without a begin");
        check!(self.verdict, state.ended.is_none(), "#{id} ends twice");
        check!(
            self.verdict,
            !state.inside,
            "#{id} ends inside another call"
        );
        let agreed = session.close_reason() == Some(reason);
        check!(
            self.verdict,
            agreed,
            "#{id} ended {reason:?}, but says otherwise"
        );
        let waiting = state.asks.waiting();
        check!(
            self.verdict,
            waiting == 0,
            "#{id} ended, and {waiting} requests have no outcome"
        );
        state.outgoing.end(session);
        state.ended = Some(reason);
        state.session = None;
        drop(state);
        self.check_reason(reason);
        let refused = matches!(session.send_bytes(ID, b""), Err(SendError::Disconnected));
        check!(self.verdict, refused, "#{id} takes a send after its end");
    }

    /// A session ends for a reason that there is.
    fn check_reason(&self, reason: CloseReason) {
        let state = self.lock();
        let whole = whole_frames(&state.received);
        let plausible = match reason {
            // All that the peer sent before its FIN was delivered.
            CloseReason::PeerClosed => {
                self.wire.peer_end() == End::Finished
                    && state.delivered == whole
                    && whole == state.received.len()
            }
            CloseReason::PeerTruncated => {
                self.wire.peer_end() == End::Finished
                    && state.delivered == whole
                    && whole < state.received.len()
            }
            CloseReason::PeerReset { .. } => self.wire.may_be_reset(),
            CloseReason::Requested => state.requested,
            CloseReason::SendOverflow => state.overflowed,
            CloseReason::Protocol(_) => state.garbage,
            CloseReason::MemoryLimit => state.over_budget,
            CloseReason::RateLimited => self.is_rated && self.inbound,
            CloseReason::SendQueueFull => self.policy == SendPolicy::Disconnect,
            CloseReason::AuthenticationTimeout | CloseReason::FrameBeforeAuthentication { .. } => {
                self.admission.is_some()
            }
            CloseReason::HandlerPanic => state.panicked,
            CloseReason::Stopping => state.stopping,
            CloseReason::Idle
            | CloseReason::FirstPacketTimeout
            | CloseReason::FrameTimeout
            | CloseReason::WriteStalled => true,
            _ => false,
        };
        check!(
            self.verdict,
            plausible,
            "#{} ended {reason:?} with {} of {} bytes delivered, which can not be",
            self.id,
            state.delivered,
            state.received.len()
        );
    }

    /// Sends a payload and notes what the peer must read. False when it was refused.
    pub fn send(&self, session: &Session, payload: &[u8]) -> bool {
        match key_of(self.policy, payload) {
            Some(key) => self.account(session, frame_of(KEYED, payload), || {
                session.send_bytes_keyed(key, KEYED, payload)
            }),
            None => self.account(session, frame(payload), || session.send_bytes(ID, payload)),
        }
    }

    /// Sends a payload so large that it is encoded before any lock is taken, with `meanwhile` in
    /// the middle of it.
    pub fn send_slowly(&self, session: &Session, size: usize, meanwhile: impl FnOnce()) -> bool {
        let payload = vec![size as u8; LARGE + size];
        self.account(session, frame(&payload), || {
            session.send_with(ID, payload.len(), |memory| {
                memory.copy_from_slice(&payload);
                meanwhile();
            })
        })
    }

    /// Accounts for a send of `frame` that `send` does.
    pub fn account(
        &self,
        session: &Session,
        frame: Vec<u8>,
        send: impl FnOnce() -> Result<SendStatus, SendError>,
    ) -> bool {
        let open = session.is_connected();
        let outcome = send();
        let mut state = self.lock();
        let accepted = outcome.is_ok();
        check!(
            self.verdict,
            open || !accepted,
            "#{} sends after its end",
            self.id
        );
        match outcome {
            Ok(SendStatus::Dropped) => {
                // The oldest one can not be dropped when the kernel has all of it.
                let drops = [SendPolicy::DropNewest, SendPolicy::DropOldest];
                let may_be = drops.contains(&self.policy);
                check!(self.verdict, may_be, "#{} drops what is new", self.id);
                state.outgoing.refuse();
                state.owed_writable = true;
            }
            Ok(status) => {
                state.outgoing.accept(frame);
                state.owed_writable |= status == SendStatus::Backpressure;
            }
            Err(SendError::Overflow { .. }) => state.overflowed = true,
            Err(SendError::OverBudget { .. }) => state.over_budget = true,
            Err(SendError::Disconnected) => {
                // The end may have been asked for while it was encoded.
                let ended = !session.is_connected();
                check!(self.verdict, ended, "#{} is open and refuses", self.id);
            }
            Err(error) => self.verdict.violate(format_args!("#{} {error}", self.id)),
        }
        accepted
    }

    /// The application asks for the session's end.
    pub fn disconnect(&self, session: &Session) {
        self.lock().requested = true;
        session.disconnect();
    }

    /// The session, while it is there.
    pub fn session(&self) -> Option<Session> {
        self.lock().session.clone()
    }

    /// The peer puts bytes on the wire.
    pub fn note_received(&self, bytes: &[u8]) {
        self.lock().received.extend(bytes);
    }

    /// The peer sends what is no frame.
    pub fn note_garbage(&self) {
        self.lock().garbage = true;
    }

    /// The service is being stopped.
    pub fn note_stopping(&self) {
        self.lock().stopping = true;
    }

    /// The peer has read bytes: they must be what was sent, from where it was.
    pub fn note_read(&self, bytes: &[u8]) {
        let mut state = self.lock();
        let state = &mut *state;
        let read = state.outgoing.read(bytes, self.policy);
        let (id, at) = (self.id, state.outgoing.bytes_read());
        match read {
            Ok(requests) => state.asks.were_read(requests),
            Err(what) => self.verdict.violate(format_args!("#{id}: {what}, at {at}")),
        }
    }

    /// The peer sees our FIN: it has everything.
    pub fn note_fin(&self) {
        let state = self.lock();
        if let Err(what) = state.outgoing.check_all_read() {
            self.verdict
                .violate(format_args!("#{} FIN, and {what}", self.id));
        }
    }

    /// A connect has its outcome.
    pub fn on_connect_done(&self, outcome: &Result<Session, CloseReason>) {
        let mut state = self.lock();
        let id = self.id;
        self.verdict.trace(format_args!(
            "  #{id} connect: {:?}",
            outcome.as_ref().err()
        ));
        check!(
            self.verdict,
            state.connect_done == 0,
            "#{id} connect is done twice"
        );
        check!(
            self.verdict,
            state.begun == 0,
            "#{id} begins before its connect is done"
        );
        state.connect_done += 1;
        match outcome {
            Ok(session) => state.session = Some(session.clone()),
            Err(_) => state.connect_failed = true,
        }
    }

    /// Nothing runs and nothing waits: whoever was told of back-pressure was told of its end.
    pub fn check_at_rest(&self) {
        let state = self.lock();
        if let Some(session) = &state.session
            && session.is_connected()
            && session.queued_bytes() == 0
        {
            let id = self.id;
            check!(
                self.verdict,
                !state.owed_writable,
                "#{id} is owed an on_writable"
            );
        }
    }

    /// Whether nothing more can come: it ended, or never was a session and its socket is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.lock();
        state.ended.is_some()
            || state.connect_failed
            || state.begun == 0 && self.wire.seen_by_peer() != End::Open && self.inbound
    }

    /// Whether it was a session and has ended.
    #[must_use]
    pub fn was_session(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// The last look, when the service is gone.
    pub fn check_at_end(&self) {
        let state = self.lock();
        let id = self.id;
        let ended = state.begun == 0 || state.ended.is_some();
        check!(self.verdict, ended, "#{id} began and never ended");
        if !self.inbound {
            let done = state.connect_done == 1;
            check!(self.verdict, done, "#{id} connect was never done");
            let begun = state.connect_failed || state.begun == 1;
            check!(self.verdict, begun, "#{id} was connected and never began");
        }
    }

    /// In words, for a report of what remains.
    #[must_use]
    pub fn describe(&self) -> String {
        let state = self.lock();
        format!(
            "#{} inbound {} begun {} ended {:?} delivered {}/{} read {}/{} peer {:?} host {:?}",
            self.id,
            self.inbound,
            state.begun,
            state.ended,
            state.delivered,
            state.received.len(),
            state.outgoing.bytes_read(),
            state.outgoing.bytes_accepted(),
            self.wire.peer_end(),
            self.wire.seen_by_peer(),
        )
    }
}

/// A frame of this payload, as it stands on the wire.
#[must_use]
pub fn frame(payload: &[u8]) -> Vec<u8> {
    frame_of(ID, payload)
}

/// A frame with another packet id.
pub(super) fn frame_of(id: PacketId, payload: &[u8]) -> Vec<u8> {
    let bytes = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.extend(bytes.to_be_bytes());
    frame.extend(id.number().to_be_bytes());
    frame.extend(payload);
    frame
}

/// Bytes of the whole frames at the front of a stream.
fn whole_frames(stream: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&[high, low]) = stream.get(at..at + 2).and_then(|b| b.first_chunk()) {
        let bytes = usize::from(u16::from_be_bytes([high, low]));
        if bytes < 4 || at + bytes > stream.len() {
            break;
        }
        at += bytes;
    }
    at
}

/// Whether a peer that ends like this still reads.
#[must_use]
pub fn reads_on(ending: Ending) -> bool {
    !matches!(ending, Ending::Vanish | Ending::StopReading)
}
