//! From a received chunk to packets to handlers.
//!
//! Inline, frames are parsed and handled where the kernel put them. With a pool, the whole frames
//! of a chunk go to the session's strand as one piece of work. Either way parsing stops, and the
//! rest is held, while the send queue is above its high watermark: what a peer makes us send is
//! bounded by it.

use crate::dispatch::strand::Work;
use crate::net::framer::{Framing, PacketFramer};
use crate::session::handle::Session;
use crate::session::slot::Slot;
use crate::worker::Worker;
use crate::{CloseReason, Packet};
use fastport_buffer::Chunk;
use fastport_engine::Engine;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
        slot.last_received = self.engine.now();
        slot.session.shared().bytes_in.add(chunk.len() as u64);
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
        while slot.takes_input()
            && !slot.session.shared().is_above_high()
            && let Some(chunk) = slot.held.pop_front()
        {
            self.parse(slot, chunk);
        }
    }

    fn parse(&mut self, slot: &mut Slot, mut chunk: Chunk) {
        let before = slot.session.shared().packets_in.get();
        let parsed = if slot.strand.is_some() {
            slot.push_frames(&self.framer, &chunk, self.link.is_chunk_scarce())
        } else {
            slot.deliver_inline(&self.framer, &chunk)
        };
        let packets = slot.session.shared().packets_in.get() - before;
        self.link.counters.packets_in.add(packets);
        match parsed {
            Parsed::All | Parsed::Ended => self.engine.recycle(chunk),
            Parsed::Held { at } => {
                chunk.advance(at);
                let chunk = self.keepable(chunk);
                // The rest comes before whatever else is held.
                slot.held.push_front(chunk);
                slot.session.shared().attend();
            }
        }
        if slot.carry.is_empty() {
            slot.frame_started = None;
        } else if slot.frame_started.is_none() || packets > 0 {
            slot.frame_started = Some(self.engine.now());
            self.file_deadline(slot);
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
    fn deliver_inline(&mut self, framer: &PacketFramer, chunk: &Chunk) -> Parsed {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.parse_inline(framer, chunk)));
        outcome.unwrap_or_else(|panic| {
            self.carry.clear();
            note_panic(&self.session, panic);
            Parsed::Ended
        })
    }

    fn parse_inline(&mut self, framer: &PacketFramer, chunk: &Chunk) -> Parsed {
        let bytes = chunk.as_slice();
        let session = &self.session;
        let shared = session.shared();
        let handler = &*shared.handler;
        let mut at = 0;
        if !self.carry.is_empty() {
            match self.carry.fill(bytes, framer) {
                Ok((taken, true)) => {
                    at = taken;
                    shared.packets_in.add(1);
                    if let Some((id, frame)) = self.carry.frame() {
                        handler.on_packet(session, Packet::new(id, frame));
                    }
                    self.carry.clear();
                }
                Ok((_, false)) => return Parsed::All,
                Err(error) => return end(session, CloseReason::Protocol(error)),
            }
        }
        loop {
            if shared.is_disconnect_requested() {
                return Parsed::Ended;
            }
            if shared.is_above_high() {
                return if at < bytes.len() {
                    Parsed::Held { at }
                } else {
                    Parsed::All
                };
            }
            match framer.try_frame(&bytes[at..]) {
                Framing::Ok(frame) => {
                    let whole = &bytes[at..at + frame.bytes];
                    shared.packets_in.add(1);
                    handler.on_packet(session, Packet::in_chunk(frame.id, whole, chunk, at));
                    at += frame.bytes;
                }
                Framing::NeedMore => return self.carry_rest(framer, &bytes[at..]),
                Framing::Invalid(error) => return end(session, CloseReason::Protocol(error)),
            }
        }
    }

    /// Puts the whole frames of a chunk on the strand, as one piece of work.
    fn push_frames(&mut self, framer: &PacketFramer, chunk: &Chunk, scarce: bool) -> Parsed {
        let bytes = chunk.as_slice();
        let mut from = 0;
        if !self.carry.is_empty() {
            match self.carry.fill(bytes, framer) {
                Ok((taken, true)) => {
                    from = taken;
                    let whole = self.carry.frame().map(|(_, frame)| Chunk::copied(frame));
                    self.carry.clear();
                    self.session.shared().packets_in.add(1);
                    if let Some(whole) = whole {
                        self.push_work(Work::Frames(whole));
                    }
                }
                Ok((_, false)) => return Parsed::All,
                Err(error) => {
                    return self.end_after_work(CloseReason::Protocol(error));
                }
            }
        }
        let (mut to, mut packets) = (from, 0);
        let framing = loop {
            match framer.try_frame(&bytes[to..]) {
                Framing::Ok(frame) => {
                    to += frame.bytes;
                    packets += 1;
                }
                other => break other,
            }
        };
        if to > from {
            let whole = if scarce {
                Chunk::copied(&bytes[from..to])
            } else {
                chunk.split(from..to)
            };
            self.session.shared().packets_in.add(packets);
            self.push_work(Work::Frames(whole));
        }
        match framing {
            Framing::Invalid(error) => self.end_after_work(CloseReason::Protocol(error)),
            _ => self.carry_rest(framer, &bytes[to..]),
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
        let service = &self.session.shared().worker.service;
        if let (Some(strand), Some(pool)) = (&self.strand, &service.pool) {
            strand.push(work, pool.queue());
        }
    }

    fn carry_rest(&mut self, framer: &PacketFramer, rest: &[u8]) -> Parsed {
        if !rest.is_empty()
            && let Err(error) = self.carry.fill(rest, framer)
        {
            return end(&self.session, CloseReason::Protocol(error));
        }
        Parsed::All
    }
}

fn end(session: &Session, reason: CloseReason) -> Parsed {
    session.shared().request_disconnect(reason);
    Parsed::Ended
}

/// Ends the session of a handler that panicked. The payload is dropped under a guard of its own,
/// since its destructor may panic as well.
pub(crate) fn note_panic(session: &Session, panic: Box<dyn std::any::Any + Send>) {
    tracing::error!(session = %session.id(), "a handler panicked: {}", panic_text(&panic));
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // A destructor that panics with another such payload: leaked rather than let out.
        std::mem::forget(second);
    }
    session
        .shared()
        .request_disconnect(CloseReason::HandlerPanic);
}

/// What a panic said, if it was text.
pub(crate) fn panic_text(panic: &Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".into())
}
