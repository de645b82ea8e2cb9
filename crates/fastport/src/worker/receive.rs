//! From a received chunk to packets to handlers.
//!
//! Inline, frames are parsed and handled where the kernel put them. With a pool, the whole frames
//! of a chunk go to the session's strand as one piece of work. Either way parsing stops, and the
//! rest is held, while the send queue is above its high watermark: what a peer makes us send is
//! bounded by it.

use crate::dispatch::strand::Work;
use crate::net::framer::{FrameError, Framing, PacketFramer};
use crate::protection::admission::Standing;
use crate::protection::packet_rate::{SessionMeters, Verdict};
use crate::session::control::deliver;
use crate::session::flags::{ASKS, ENDS, PRESSED, TRACED};
use crate::session::handle::Session;
use crate::session::slot::Slot;
use crate::stats::handler_times::Sampler;
use crate::worker::Worker;
use crate::{CloseReason, Packet, PacketId};
use fastport_buffer::Chunk;
use fastport_engine::{Engine, Moment};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What keeps a packet from the short way to its handler.
const UNUSUAL: u16 = ENDS | PRESSED | TRACED | ASKS;

/// How far the parsing of a chunk came.
pub(crate) enum Parsed {
    /// To its end; an unfinished frame is in the carry.
    All,
    /// To here; the send queue is full.
    Held { at: usize },
    /// The session's end was asked for: the rest is nobody's.
    Ended,
}

impl<E: Engine> Worker<E> {
    pub(crate) fn on_received(&mut self, slot: &mut Slot, chunk: Chunk) {
        let scarce = self.engine.is_chunk_scarce();
        self.link.set_chunk_scarce(scarce);
        self.link.counters.receives.add(1);
        self.link.counters.bytes_in.add(chunk.len() as u64);
        slot.last_received = self.now();
        slot.pings = 0;
        slot.session.shared().bytes_in.add(chunk.len() as u64);
        let now = slot.last_received.nanoseconds();
        slot.session.shared().note_received(now);
        if slot.is_secured() && slot.ending.is_none() && slot.takes_input() {
            self.on_cipher(slot, chunk);
        } else {
            self.take_in(slot, chunk);
        }
    }

    /// Plain bytes for a session: parsed now, or held behind others.
    #[inline]
    pub(crate) fn take_in(&mut self, slot: &mut Slot, chunk: Chunk) {
        if slot.ending.is_some() || !slot.takes_input() {
            self.engine.recycle(chunk);
        } else if slot.held.is_empty() {
            self.parse(slot, chunk);
        } else {
            let chunk = self.keepable(chunk);
            slot.held.push_back(chunk);
        }
    }

    /// Parses what was held, as far as the send queue lets it.
    pub(crate) fn parse_held(&mut self, slot: &mut Slot) {
        let now = self.now();
        while slot.takes_input()
            && !slot.session.shared().is_above_high()
            && slot.held_until().is_none_or(|until| until <= now)
            && let Some(chunk) = slot.held.pop_front()
        {
            self.parse(slot, chunk);
        }
    }

    fn parse(&mut self, slot: &mut Slot, mut chunk: Chunk) {
        if slot.standing != Standing::Trusted {
            self.begin_meters(slot);
        }
        let before = slot.session.shared().packets_in.get();
        let mut began = None;
        let framer = if slot.session.shared().is_authenticated() {
            self.framer
        } else {
            self.first_framer
        };
        let parsed = if slot.strand.is_some() {
            slot.push_frames(&framer, &chunk, self.link.is_chunk_scarce())
        } else {
            began = self.sampler.begin();
            slot.deliver_inline(framer, self.framer, &chunk)
        };
        if slot.has_much_to_handle() {
            // Reading pauses.
            slot.session.shared().attend();
        }
        let packets = slot.session.shared().packets_in.get() - before;
        self.link.counters.packets_in.add(packets);
        match began {
            Some(began) if packets > 0 => {
                let times = &self.link.counters.handler_times;
                times.record(began.elapsed(), packets);
            }
            // A part of a frame is no sample: what comes next is timed in its place. Otherwise a
            // peer that sends each frame in two parts would never be timed.
            Some(_) => self.sampler = Sampler::default(),
            None => {}
        }
        match parsed {
            Parsed::All => self.engine.recycle(chunk),
            Parsed::Ended => {
                self.engine.recycle(chunk);
                for chunk in slot.held.take() {
                    self.engine.recycle(chunk);
                }
            }
            Parsed::Held { at } => {
                chunk.advance(at);
                let chunk = self.keepable(chunk);
                // The rest comes before whatever else is held.
                slot.held.push_front(chunk);
                slot.session.shared().attend();
                self.file_deadline(slot);
            }
        }
        if slot.carry.is_empty() {
            slot.frame_started = None;
        } else if slot.frame_started.is_none() || packets > 0 {
            slot.frame_started = Some(self.now());
            self.file_deadline(slot);
        }
    }

    /// The session's rates are to be kept: it gets what measures them, and the time.
    fn begin_meters(&mut self, slot: &mut Slot) {
        let service = &self.link.service;
        if service.rates.is_on() {
            let now = self.now().nanoseconds();
            let meters = slot
                .meters
                .get_or_insert_with(|| SessionMeters::new(&service.rates));
            meters.begin(now);
        }
    }

    /// The chunk, or a copy of it when too many are lent.
    fn keepable(&mut self, chunk: Chunk) -> Chunk {
        if !self.engine.is_chunk_scarce() {
            return chunk;
        }
        let copy = Chunk::copied(chunk.as_slice());
        self.engine.recycle(chunk);
        copy
    }
}

impl Slot {
    /// Parses and handles on this thread. A panic of the handler ends the session, not the worker.
    fn deliver_inline(
        &mut self,
        framer: PacketFramer,
        later: PacketFramer,
        chunk: &Chunk,
    ) -> Parsed {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.parse_inline(framer, later, chunk)));
        outcome.unwrap_or_else(|panic| {
            self.carry.clear();
            note_panic(&self.session, panic);
            Parsed::Ended
        })
    }

    /// From the moment when the session has authenticated frames are held to `later`.
    fn parse_inline(
        &mut self,
        mut framer: PacketFramer,
        later: PacketFramer,
        chunk: &Chunk,
    ) -> Parsed {
        let bytes = chunk.as_slice();
        let mut rest = match self.finish_carried(&framer, bytes) {
            Ok(taken) => &bytes[taken..],
            Err(parsed) => return parsed,
        };
        let session = &self.session;
        let shared = session.shared();
        let handler = &*shared.context.handler;
        loop {
            let at = bytes.len() - rest.len();
            let marks = shared.flags.among(UNUSUAL);
            if marks & ENDS != 0 {
                return Parsed::Ended;
            }
            if marks & PRESSED != 0 && shared.is_pressed_still() {
                return if rest.is_empty() {
                    Parsed::All
                } else {
                    Parsed::Held { at }
                };
            }
            match framer.try_frame(rest) {
                Framing::Ok(frame) => {
                    if marks & TRACED != 0 {
                        shared.trace_packet(frame.id, frame.bytes);
                    }
                    let (whole, after) = rest.split_at(frame.bytes);
                    match measure(&mut self.meters, session, frame.id, frame.bytes) {
                        Verdict::Hold(until) => return held(&mut self.meters, until, at),
                        Verdict::Disconnect => return end(session, CloseReason::RateLimited),
                        Verdict::Drop => shared.packets_in.add(1),
                        Verdict::Deliver => {
                            shared.packets_in.add(1);
                            let packet = Packet::in_chunk(frame.id, whole, chunk, at);
                            deliver(handler, session, packet, marks & ASKS != 0);
                        }
                    }
                    rest = after;
                }
                Framing::NeedMore => return self.carry_rest(&framer, rest),
                // A packet before it has authenticated the session.
                Framing::Invalid(_) if framer != later && shared.is_authenticated() => {
                    framer = later;
                }
                Framing::Invalid(error) => return end(session, violation(session, error)),
            }
        }
    }

    /// Delivers the frame that the carry has begun and `bytes` go on with. How many bytes of them
    /// belong to it, or why parsing ends with them.
    fn finish_carried(&mut self, framer: &PacketFramer, bytes: &[u8]) -> Result<usize, Parsed> {
        if self.carry.is_empty() {
            return Ok(0);
        }
        let session = &self.session;
        let taken = match self.carry.fill(bytes, framer) {
            Ok((taken, true)) => taken,
            Ok((_, false)) => return Err(Parsed::All),
            Err(error) => return Err(end(session, violation(session, error))),
        };
        let shared = session.shared();
        shared.packets_in.add(1);
        if let Some((id, frame)) = self.carry.frame() {
            match judge_carried(&mut self.meters, session, id, frame.len()) {
                Verdict::Disconnect => return Err(end(session, CloseReason::RateLimited)),
                Verdict::Drop => {}
                _ => {
                    let packet = Packet::new(id, frame);
                    let asks = shared.flags.has(ASKS);
                    deliver(&*shared.context.handler, session, packet, asks);
                }
            }
        }
        self.carry.clear();
        Ok(taken)
    }

    /// Puts the whole frames of a chunk on the strand, as one piece of work unless some between are
    /// dropped.
    fn push_frames(&mut self, framer: &PacketFramer, chunk: &Chunk, scarce: bool) -> Parsed {
        let bytes = chunk.as_slice();
        let mut from = 0;
        if !self.carry.is_empty() {
            match self.carry.fill(bytes, framer) {
                Ok((taken, true)) => {
                    from = taken;
                    if let Some(ended) = self.push_carried() {
                        return ended;
                    }
                }
                Ok((_, false)) => return Parsed::All,
                Err(error) => {
                    let reason = violation(&self.session, error);
                    return self.end_after_work(reason);
                }
            }
        }
        let (mut to, mut packets) = (from, 0);
        let parsed = loop {
            let frame = match framer.try_frame(&bytes[to..]) {
                Framing::Ok(frame) => frame,
                Framing::NeedMore => break Parsed::All,
                Framing::Invalid(error) => {
                    let reason = violation(&self.session, error);
                    break self.ends(reason);
                }
            };
            match judge(&mut self.meters, &self.session, frame.id, frame.bytes) {
                Verdict::Deliver => {}
                Verdict::Hold(until) => break held(&mut self.meters, until, to),
                Verdict::Disconnect => break self.ends(CloseReason::RateLimited),
                Verdict::Drop => {
                    self.push_range(chunk, from..to, packets + 1, scarce);
                    (from, packets) = (to + frame.bytes, 0);
                    to = from;
                    continue;
                }
            }
            to += frame.bytes;
            packets += 1;
        };
        self.push_range(chunk, from..to, packets, scarce);
        match (parsed, self.ending) {
            (Parsed::All, _) => self.carry_rest(framer, &bytes[to..]),
            (Parsed::Ended, Some(reason)) => self.end_after_work(reason),
            (parsed, _) => parsed,
        }
    }

    /// Notes how the session ends when what is before is on the strand.
    fn ends(&mut self, reason: CloseReason) -> Parsed {
        self.ending = Some(reason);
        Parsed::Ended
    }

    /// Puts the frame that the carry has completed on the strand.
    fn push_carried(&mut self) -> Option<Parsed> {
        self.session.shared().packets_in.add(1);
        let (id, frame) = self.carry.frame()?;
        let verdict = judge_carried(&mut self.meters, &self.session, id, frame.len());
        let whole = Chunk::copied(frame);
        self.carry.clear();
        match verdict {
            Verdict::Disconnect => return Some(self.end_after_work(CloseReason::RateLimited)),
            Verdict::Drop => {}
            _ => self.push_work(Work::Frames(whole)),
        }
        None
    }

    /// Puts whole frames on the strand; `packets` is how many there were.
    fn push_range(&self, chunk: &Chunk, range: Range<usize>, packets: u64, scarce: bool) {
        self.session.shared().packets_in.add(packets);
        if range.is_empty() {
            return;
        }
        let whole = if scarce {
            Chunk::copied(&chunk.as_slice()[range])
        } else {
            chunk.split(range)
        };
        self.push_work(Work::Frames(whole));
    }

    /// Forgets what was measured of a session that is silent.
    pub(crate) fn forget_idle_meters(&mut self, now: u64) {
        if self
            .meters
            .as_ref()
            .is_some_and(|meters| meters.is_idle(now))
        {
            self.meters = None;
        }
    }

    /// Ends the session when its strand has handled everything before.
    pub(crate) fn end_after_work(&mut self, reason: CloseReason) -> Parsed {
        self.ending = Some(reason);
        self.push_work(Work::End(reason));
        Parsed::Ended
    }

    /// Gives work to the session's strand; nothing when handlers run inline.
    pub(crate) fn push_work(&self, work: Work) {
        let service = &self.session.shared().context.worker.service;
        if let (Some(strand), Some(pool)) = (&self.strand, &service.pool) {
            strand.push(work, pool.queue());
        }
    }

    fn carry_rest(&mut self, framer: &PacketFramer, rest: &[u8]) -> Parsed {
        if !rest.is_empty()
            && let Err(error) = self.carry.fill(rest, framer)
        {
            return end(&self.session, violation(&self.session, error));
        }
        Parsed::All
    }
}

/// Whether a packet may be delivered now, and a line in the log if the session is traced.
fn judge(
    meters: &mut Option<Box<SessionMeters>>,
    session: &Session,
    id: PacketId,
    bytes: usize,
) -> Verdict {
    session.shared().trace_packet(id, bytes);
    measure(meters, session, id, bytes)
}

/// Whether a packet may be delivered now. One branch for a session that is not limited.
#[inline]
fn measure(
    meters: &mut Option<Box<SessionMeters>>,
    session: &Session,
    id: PacketId,
    bytes: usize,
) -> Verdict {
    let Some(meters) = meters else {
        return Verdict::Deliver;
    };
    let worker = &session.shared().context.worker;
    meters.judge(&worker.service.rates, id, bytes, &worker.counters)
}

/// As [`judge`], for a packet that was put together from pieces.
fn judge_carried(
    meters: &mut Option<Box<SessionMeters>>,
    session: &Session,
    id: PacketId,
    bytes: usize,
) -> Verdict {
    session.shared().trace_packet(id, bytes);
    let Some(meters) = meters else {
        return Verdict::Deliver;
    };
    let worker = &session.shared().context.worker;
    meters.judge_now(&worker.service.rates, id, bytes, &worker.counters)
}

/// Parsing stops before the packet at `at`, until a rate allows it.
fn held(meters: &mut Option<Box<SessionMeters>>, until: u64, at: usize) -> Parsed {
    if let Some(meters) = meters {
        meters.held_until = Some(Moment::after(until));
    }
    Parsed::Held { at }
}

/// How a session ends for a frame that is not allowed.
fn violation(session: &Session, error: FrameError) -> CloseReason {
    match error {
        FrameError::TooLarge { bytes, .. } if !session.is_authenticated() => {
            CloseReason::FrameBeforeAuthentication { bytes }
        }
        _ => CloseReason::Protocol(error),
    }
}

fn end(session: &Session, reason: CloseReason) -> Parsed {
    session.shared().request_disconnect(reason);
    Parsed::Ended
}

/// Ends the session of a handler that panicked.
pub(crate) fn note_panic(session: &Session, panic: Box<dyn std::any::Any + Send>) {
    drop_panic(
        &format!("a handler of session {} panicked", session.id()),
        panic,
    );
    session
        .shared()
        .request_disconnect(CloseReason::HandlerPanic);
}

/// Logs a panic. The payload is dropped under a guard of its own, since its destructor may panic as
/// well.
pub(crate) fn drop_panic(what: &str, panic: Box<dyn std::any::Any + Send>) {
    tracing::error!("{what}: {}", panic_text(&panic));
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // A destructor that panics with another such payload: leaked rather than let out.
        std::mem::forget(second);
    }
}

/// What a panic said, if it was text.
pub(crate) fn panic_text(panic: &Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".into())
}
