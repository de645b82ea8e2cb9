//! Connections whose TLS handshake is not finished.
//!
//! They are no sessions: no handler knows them, how long they take and how many there are is
//! bounded, and what they are told when they fail is all that they get. With the end of the
//! handshake they become sessions, as plain connections do at once.

use crate::protection::admission::Standing;
use crate::session::send_queue::{put_block, spare_batch, take_block};
use crate::session::slot::{ConnectDone, Connecting};
use crate::tls::connection::{Connection, Progress};
use crate::worker::Worker;
use crate::worker::connect::tell_failed;
use crate::worker::receive::note_panic;
use crate::worker::secure::{ClientTls, Secured, ServerTls};
use crate::{CloseReason, Handler, RejectReason, TlsFailure};
use fastport_buffer::{Chunk, Piece};
use fastport_engine::{CloseMode, Engine, Key, Moment};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a peer has to read why the handshake failed.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

/// A connection in its handshake.
pub(crate) struct Handshake {
    secured: Box<Secured>,
    peer: SocketAddr,
    handler: Arc<dyn Handler>,
    side: Side,
    deadline: Moment,
    /// Bytes that the engine has to send.
    sending: usize,
    /// It has failed, and the peer is being told.
    failed: bool,
}

/// Whose connection it is.
enum Side {
    /// It came to a listener.
    Inbound(Standing),
    /// It was asked for; told once how it went.
    Outbound(Option<ConnectDone>),
}

impl<E: Engine> Worker<E> {
    /// Begins the handshake of a connection that was admitted.
    pub(crate) fn begin_inbound(
        &mut self,
        key: Key,
        peer: SocketAddr,
        handler: Arc<dyn Handler>,
        standing: Standing,
        tls: &ServerTls,
    ) {
        let service = self.link.service.clone();
        let (_, most) = service.admission.handshake_limits();
        let before = service.handshakes.fetch_add(1, Ordering::Relaxed);
        let connection = if most > 0 && before >= most {
            Err(RejectReason::TlsBusy)
        } else {
            // It fails with a configuration that can not be used.
            Connection::server(tls).map_err(|error| {
                tracing::error!(%error, "TLS can not be used as it is configured");
                self.link.counters.count_tls_failed(TlsFailure::Local);
                RejectReason::TlsHandshake
            })
        };
        match connection {
            Ok(connection) => {
                let side = Side::Inbound(standing);
                self.begin_handshake(key, peer, handler, side, connection);
            }
            Err(reason) => {
                self.dismiss(peer, standing);
                self.refuse(key, peer, reason);
            }
        }
    }

    /// Begins the handshake of a connection that was made.
    pub(crate) fn begin_outbound(&mut self, key: Key, connecting: Connecting, tls: &ClientTls) {
        let Connecting {
            to, handler, done, ..
        } = connecting;
        match Connection::client(tls) {
            Ok(connection) => {
                let side = Side::Outbound(Some(done));
                self.begin_handshake(key, to, handler, side, connection);
                // The first word is ours.
                self.go_on(key, &[]);
            }
            Err(error) => {
                tracing::error!(%error, "TLS can not be used as it is configured");
                self.link.counters.count_tls_failed(TlsFailure::Local);
                self.link.counters.connect_failures.add(1);
                self.forget_one();
                self.close_unclaimed(key, CloseMode::Abort);
                tell_failed(done, CloseReason::Tls(TlsFailure::Local));
            }
        }
    }

    fn begin_handshake(
        &mut self,
        key: Key,
        peer: SocketAddr,
        handler: Arc<dyn Handler>,
        side: Side,
        connection: Connection,
    ) {
        let (limit, _) = self.link.service.admission.handshake_limits();
        let deadline = self.now() + limit;
        self.wheel.insert(deadline, key);
        let handshake = Handshake {
            secured: Box::new(Secured::new(connection)),
            peer,
            handler,
            side,
            deadline,
            sending: 0,
            failed: false,
        };
        self.secure.handshakes.insert(key, handshake);
        self.engine.arm_recv(key);
    }

    /// Bytes for a connection that is neither a session nor a proxy's.
    pub(crate) fn on_handshake_received(&mut self, key: Key, chunk: Chunk) {
        self.link.counters.bytes_in.add(chunk.len() as u64);
        self.go_on(key, chunk.as_slice());
        self.engine.recycle(chunk);
    }

    /// Goes on with a handshake; the connection becomes a session when it is done.
    fn go_on(&mut self, key: Key, came: &[u8]) {
        let Some(mut handshake) = self.secure.handshakes.remove(&key) else {
            return;
        };
        if handshake.failed {
            self.secure.handshakes.insert(key, handshake);
            return;
        }
        let mut ready = Vec::new();
        let secured = &mut handshake.secured;
        let progress = self.secure.decrypt(secured, came, &mut ready);
        if !secured.connection.is_handshaking() {
            self.establish(key, handshake, ready, &progress);
            return;
        }
        let peer_closed = progress.peer_closed.then_some(TlsFailure::Ended);
        let failure = progress.failure.or(peer_closed);
        self.secure.handshakes.insert(key, handshake);
        match failure {
            None => self.say(key),
            Some(failure) => self.fail_handshake(key, failure),
        }
    }

    /// Sends what TLS has to say, unless it is sending.
    fn say(&mut self, key: Key) {
        let Some(handshake) = self.secure.handshakes.get_mut(&key) else {
            return;
        };
        if handshake.sending > 0 || handshake.secured.own.is_empty() {
            return;
        }
        let words = std::mem::take(&mut handshake.secured.own);
        let mut block = take_block(words.len());
        let Some(memory) = block.reserve(words.len()) else {
            return put_block(block);
        };
        memory.copy_from_slice(&words);
        block.commit(words.len());
        handshake.sending = words.len();
        let mut batch = spare_batch();
        batch.push(Piece::Block(block));
        self.link.counters.sends.add(1);
        self.engine.send(key, batch);
    }

    /// A send for a connection that is no session has ended.
    pub(crate) fn on_handshake_sent(&mut self, key: Key, went_out: bool) {
        let Some(handshake) = self.secure.handshakes.get_mut(&key) else {
            return;
        };
        handshake.sending = 0;
        if !went_out {
            self.end_handshake(key, TlsFailure::Ended);
            return;
        }
        let has_more = !handshake.secured.own.is_empty();
        if has_more {
            self.say(key);
        } else if handshake.failed {
            // What the peer still sends is read on, so that it has our last words before its end.
            self.engine.shutdown_write(key);
        }
    }

    /// The handshake is done.
    fn establish(
        &mut self,
        key: Key,
        handshake: Handshake,
        mut ready: Vec<Chunk>,
        progress: &Progress,
    ) {
        let Handshake {
            secured,
            peer,
            handler,
            side,
            sending,
            ..
        } = handshake;
        self.link.counters.tls_handshakes.add(1);
        let inbound = matches!(side, Side::Inbound(_));
        let slot = self.make_slot(key, peer, handler, inbound);
        if let Some(info) = secured.connection.info() {
            self.link.counters.tls_resumed.add(u64::from(info.resumed));
            slot.session.shared().note_tls(info);
        }
        let standing = match side {
            Side::Inbound(standing) => {
                let service = &self.link.service;
                service.handshakes.fetch_sub(1, Ordering::Relaxed);
                if service.config.protection.authentication {
                    slot.session.shared().begin_unauthenticated();
                }
                self.link.counters.accepted.add(1);
                standing
            }
            Side::Outbound(done) => {
                self.link.counters.connected.add(1);
                self.tell_made(&slot, done);
                Standing::Trusted
            }
        };
        self.begin_secured_session(slot, secured, standing, sending);
        self.with_slot(key, |worker, slot| {
            worker.take_in_plain(slot, &mut ready, progress);
        });
    }

    /// A panic of the application's ends its session, not the worker.
    fn tell_made(&self, slot: &crate::session::slot::Slot, done: Option<ConnectDone>) {
        let Some(done) = done else { return };
        let told = catch_unwind(AssertUnwindSafe(|| done.call(Ok(slot.session.clone()))));
        if let Err(panic) = told {
            note_panic(&slot.session, panic);
        }
    }

    /// Tells the peer why the handshake failed, if there is something to tell, and at once whoever
    /// asked for the connection.
    fn fail_handshake(&mut self, key: Key, failure: TlsFailure) {
        let now = self.now();
        let Some(handshake) = self.secure.handshakes.get_mut(&key) else {
            return;
        };
        if handshake.secured.own.is_empty() && handshake.sending == 0 {
            self.end_handshake(key, failure);
            return;
        }
        handshake.failed = true;
        self.link.counters.count_tls_failed(failure);
        handshake.deadline = handshake.deadline.min(now + LAST_WORDS_LIMIT);
        self.wheel.insert(handshake.deadline, key);
        match &mut handshake.side {
            Side::Inbound(_) => {
                tracing::debug!(peer = %handshake.peer, %failure, "TLS handshake failed");
                let reason = reject_reason(failure);
                self.link.counters.count_rejected(reason);
            }
            Side::Outbound(done) => {
                if let Some(done) = done.take() {
                    self.link.counters.connect_failures.add(1);
                    tell_failed(done, CloseReason::Tls(failure));
                }
            }
        }
        self.say(key);
    }

    /// Ends a connection that has not become a session, if it is one.
    pub(crate) fn end_handshake(&mut self, key: Key, failure: TlsFailure) {
        self.end_handshake_as(key, reject_reason(failure), CloseReason::Tls(failure));
    }

    fn end_handshake_as(&mut self, key: Key, reject: RejectReason, reason: CloseReason) {
        let Some(handshake) = self.secure.handshakes.remove(&key) else {
            return;
        };
        let Handshake {
            peer, side, failed, ..
        } = handshake;
        if let (false, CloseReason::Tls(failure)) = (failed, reason) {
            self.link.counters.count_tls_failed(failure);
        }
        match side {
            Side::Inbound(standing) => {
                self.dismiss(peer, standing);
                if failed {
                    // Counted when it failed.
                    self.forget_one();
                    self.close_unclaimed(key, CloseMode::Orderly);
                } else {
                    self.refuse(key, peer, reject);
                }
            }
            Side::Outbound(done) => {
                self.forget_one();
                let mode = if failed {
                    CloseMode::Orderly
                } else {
                    CloseMode::Abort
                };
                self.close_unclaimed(key, mode);
                if let Some(done) = done {
                    self.link.counters.connect_failures.add(1);
                    tell_failed(done, reason);
                }
            }
        }
    }

    /// Takes back what was counted of a connection that was admitted and became no session.
    fn dismiss(&self, peer: SocketAddr, standing: Standing) {
        let service = &self.link.service;
        service.handshakes.fetch_sub(1, Ordering::Relaxed);
        service.admission.release(peer.ip(), standing);
        if service.config.protection.authentication {
            service.forget_unauthenticated();
        }
    }

    /// Closes a connection that is no session; the engine's `Closed` follows.
    fn close_unclaimed(&mut self, key: Key, mode: CloseMode) {
        self.abandoned.insert(key);
        self.engine.close(key, mode);
    }

    /// Ends all of them, since the worker ends.
    pub(crate) fn end_all_handshakes(&mut self, reason: CloseReason) {
        let keys: Vec<_> = self.secure.handshakes.keys().copied().collect();
        for key in keys {
            self.end_handshake_as(key, RejectReason::Stopping, reason);
        }
    }

    /// Ends a handshake whose time is over. Whether it was one.
    pub(crate) fn end_late_handshake(&mut self, key: Key, now: Moment) -> bool {
        let handshake = self.secure.handshakes.get(&key);
        let late = handshake.is_some_and(|handshake| handshake.deadline <= now);
        if late {
            self.end_handshake(key, TlsFailure::Timeout);
        }
        late
    }
}

const fn reject_reason(failure: TlsFailure) -> RejectReason {
    match failure {
        TlsFailure::Timeout => RejectReason::TlsTimeout,
        _ => RejectReason::TlsHandshake,
    }
}
