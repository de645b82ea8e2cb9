//! TLS of the sessions that have it: between what the engine received and the framer, and between
//! the send queue and the engine.
//!
//! State is in a table beside the slots, so that a session without TLS carries nothing of it. Data
//! is encrypted when it is flushed, by the owner, whoever sent it: until then queues hold plain
//! bytes, shared ones by reference. What TLS itself has to say goes before the data of the flush.
//!
//! Decides nothing of how a session ends; [`super::close`] does.

use crate::protection::admission::Standing;
use crate::session::send_queue::reclaim;
use crate::session::slot::{Phase, Slot};
use crate::tls::connection::{Connection, Progress};
use crate::tls::sinks::{CipherSink, PlainMemory};
use crate::worker::Worker;
use crate::worker::handshake::Handshake;
use crate::worker::receive::drop_panic;
use crate::{CloseReason, TlsFailure};
use fastport_buffer::{Chunk, SendBatch};
use fastport_engine::{Engine, Key};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use crate::tls::{TlsClient as ClientTls, TlsServer as ServerTls};

/// Pieces of at least so many bytes are encrypted where they are; smaller ones are put together
/// first, since each record costs some bytes and a pass.
const ALONE_BYTES_MIN: usize = 4096;
/// So much is put together: what a record holds.
const TOGETHER_BYTES_MAX: usize = 16 * 1024;
/// More capacity than this is not kept for the next connection.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// A connection that has TLS.
pub(crate) struct Secured {
    pub(super) connection: Connection,
    /// The beginning of a record whose end has not come.
    unfinished: Box<[u8]>,
    /// What TLS itself has to say to the peer.
    pub(super) own: Vec<u8>,
    /// The peer has said that it sends no more.
    pub(super) peer_closed: bool,
    /// This side has said so.
    closed: bool,
    /// Nothing can be encrypted any more.
    pub(super) failed: bool,
}

impl Secured {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            unfinished: Box::default(),
            own: Vec::new(),
            peer_closed: false,
            closed: false,
            failed: false,
        }
    }
}

/// What a worker has for TLS; nothing on the heap before the first connection that has it.
#[derive(Default)]
pub(crate) struct Secure {
    /// By the index of their engine key, like the slots.
    sessions: Vec<Option<Box<Secured>>>,
    pub(super) handshakes: BTreeMap<Key, Handshake>,
    plain: PlainMemory,
    /// What came of a connection, where it is decrypted.
    came: Vec<u8>,
    /// Where small pieces are put together.
    together: Vec<u8>,
    /// Used again for what was decrypted.
    ready: Vec<Chunk>,
}

impl Secure {
    pub(super) fn insert(&mut self, key: Key, secured: Box<Secured>) {
        if self.sessions.len() <= key.index() {
            self.sessions.resize_with(key.index() + 1, || None);
        }
        self.sessions[key.index()] = Some(secured);
    }

    fn take(&mut self, key: Key) -> Option<Box<Secured>> {
        self.sessions.get_mut(key.index())?.take()
    }

    fn get(&mut self, key: Key) -> Option<&mut Secured> {
        self.sessions.get_mut(key.index())?.as_deref_mut()
    }

    /// Decrypts what came of a connection; the plain bytes go behind `ready`.
    pub(super) fn decrypt(
        &mut self,
        secured: &mut Secured,
        came: &[u8],
        ready: &mut Vec<Chunk>,
    ) -> Progress {
        self.came.clear();
        self.came.extend_from_slice(&secured.unfinished);
        self.came.extend_from_slice(came);
        let (connection, own) = (&mut secured.connection, &mut secured.own);
        let progress = guarded(|| {
            let mut plain = self.plain.sink(ready);
            Ok(connection.receive(&mut self.came, own, &mut plain))
        });
        let progress = progress.unwrap_or_else(|failure| Progress {
            used: self.came.len(),
            peer_closed: false,
            failure: Some(failure),
        });
        // An idle connection holds no buffer.
        secured.unfinished = self.came[progress.used..].into();
        secured.peer_closed |= progress.peer_closed;
        secured.failed |= progress.failure.is_some();
        if self.came.capacity() > SPARE_BYTES_MAX {
            self.came = Vec::new();
        }
        progress
    }

    /// What goes to the engine for a batch of the send queue: TLS' own words, then the data. The
    /// batch's memory is reclaimed by the caller.
    fn encrypt(
        &mut self,
        secured: &mut Secured,
        batch: &SendBatch,
    ) -> Result<SendBatch, TlsFailure> {
        let mut cipher = CipherSink::new();
        cipher.push(&std::mem::take(&mut secured.own));
        let together = &mut self.together;
        together.clear();
        let mut left = batch.bytes();
        let mut encrypt = |data: &[u8]| {
            let (connection, unfinished) = (&mut secured.connection, &mut secured.unfinished);
            left -= data.len();
            connection.encrypt(data, left + data.len(), unfinished, &mut cipher)
        };
        guarded(|| {
            for (index, piece) in batch.pieces().iter().enumerate() {
                let mut piece = piece.as_slice();
                let alone = piece.len() >= ALONE_BYTES_MIN || index + 1 == batch.pieces().len();
                while !piece.is_empty() {
                    if alone && together.is_empty() {
                        encrypt(piece)?;
                        break;
                    }
                    let taken = piece.len().min(TOGETHER_BYTES_MAX - together.len());
                    together.extend_from_slice(&piece[..taken]);
                    piece = &piece[taken..];
                    if together.len() == TOGETHER_BYTES_MAX {
                        encrypt(together)?;
                        together.clear();
                    }
                }
            }
            encrypt(together)
        })?;
        Ok(cipher.finish())
    }
}

/// Does something with a connection's TLS. What peers send goes through code that is not ours: a
/// panic in it ends that connection, not the worker.
fn guarded<R>(act: impl FnOnce() -> Result<R, TlsFailure>) -> Result<R, TlsFailure> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        drop_panic("TLS of a connection panicked", panic);
        Err(TlsFailure::Local)
    })
}

impl<E: Engine> Worker<E> {
    /// Bytes of a session that has TLS.
    pub(crate) fn on_cipher(&mut self, slot: &mut Slot, chunk: Chunk) {
        let Some(mut secured) = self.secure.take(slot.key) else {
            return self.engine.recycle(chunk);
        };
        let mut ready = std::mem::take(&mut self.secure.ready);
        let progress = self
            .secure
            .decrypt(&mut secured, chunk.as_slice(), &mut ready);
        self.engine.recycle(chunk);
        self.secure.insert(slot.key, secured);
        self.take_in_plain(slot, &mut ready, &progress);
        self.secure.ready = ready;
    }

    /// What was decrypted for a session, then what TLS says of its stream.
    pub(super) fn take_in_plain(
        &mut self,
        slot: &mut Slot,
        ready: &mut Vec<Chunk>,
        progress: &Progress,
    ) {
        for chunk in ready.drain(..) {
            self.take_in(slot, chunk);
        }
        let Some(secured) = self.secure.get(slot.key) else {
            return;
        };
        let in_record = !secured.unfinished.is_empty();
        if !secured.own.is_empty() {
            slot.session.shared().attend();
        }
        // A record has as long as a frame.
        if in_record && slot.frame_started.is_none() {
            slot.frame_started = Some(self.now());
            self.file_deadline(slot);
        } else if !in_record && slot.carry.is_empty() {
            slot.frame_started = None;
        }
        if slot.phase != Phase::Open {
            return;
        }
        if let Some(failure) = progress.failure {
            self.end_when_handled(slot, CloseReason::Tls(failure));
        } else if progress.peer_closed {
            let reason = slot.end_of_stream();
            self.end_when_handled(slot, reason);
        }
    }

    /// Gives the engine the next batch of a session that has TLS.
    pub(crate) fn flush_secured(&mut self, slot: &mut Slot) {
        let Some(mut secured) = self.secure.take(slot.key) else {
            return;
        };
        let shared = slot.session.shared();
        if secured.failed {
            shared.clear_queues();
        }
        let batch = shared.local.with(|queue| queue.pieces.take_batch());
        let batch = batch.unwrap_or_default();
        if batch.is_empty() && secured.own.is_empty() {
            self.secure.insert(slot.key, secured);
            return;
        }
        let outcome = self.secure.encrypt(&mut secured, &batch);
        let engine = &mut self.engine;
        reclaim(batch, |chunk| engine.recycle(chunk));
        let batch = outcome.unwrap_or_else(|failure| {
            secured.failed = true;
            shared.clear_queues();
            shared.request_disconnect(CloseReason::Tls(failure));
            SendBatch::default()
        });
        self.secure.insert(slot.key, secured);
        shared.local.with(|queue| {
            queue.in_flight += batch.bytes();
            shared.publish_local(queue.bytes());
        });
        if !batch.is_empty() {
            self.hand_over(slot, batch);
        }
    }

    /// A session of which everything is sent tells its peer that no more follows. Whether it had
    /// that to say, and so has something to send again.
    pub(crate) fn ends_stream(&mut self, slot: &mut Slot) -> bool {
        let Some(secured) = self.secure.get(slot.key) else {
            return false;
        };
        if !secured.closed && !secured.failed {
            secured.closed = true;
            let (unfinished, own) = (&mut secured.unfinished, &mut secured.own);
            secured.connection.close(unfinished, own);
        }
        let has_more = !secured.own.is_empty();
        if has_more {
            self.flush_secured(slot);
        }
        has_more
    }

    /// Whether the end of a session's stream is the connection's alone: TLS was not ended before.
    pub(crate) fn is_cut_off(&mut self, slot: &Slot) -> bool {
        let secured = self.secure.get(slot.key);
        secured.is_some_and(|secured| !secured.peer_closed)
    }

    /// A session that has TLS is gone.
    pub(crate) fn forget_secured(&mut self, slot: &Slot) {
        if slot.is_secured() {
            self.secure.take(slot.key);
        }
    }

    /// Makes a session of a connection whose handshake is done, and gives it what came with it.
    pub(super) fn begin_secured_session(
        &mut self,
        mut slot: Box<Slot>,
        secured: Box<Secured>,
        standing: Standing,
        sending: usize,
    ) {
        slot.secured = true;
        slot.standing = standing;
        slot.send_in_flight = sending > 0;
        let shared = slot.session.shared();
        shared.local.with(|queue| {
            queue.in_flight = sending;
            shared.publish_local(queue.bytes());
        });
        let has_own = !secured.own.is_empty();
        self.secure.insert(slot.key, secured);
        if has_own {
            shared.attend();
        }
        self.begin_session(slot);
    }
}
