//! Listeners, the choice of a worker for a connection, and its adoption there.

use crate::protection::admission::Standing;
use crate::session::context::SessionContext;
use crate::session::handle::Session;
use crate::session::shared::SessionShared;
use crate::session::slot::Slot;
use crate::worker::Worker;
use crate::worker::secure::ServerTls;
use crate::{Error, Handler, RejectReason};
use fastport_engine::{CloseMode, Engine, Key, ListenConfig};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// A listener on its worker.
pub(crate) struct ListenerState {
    pub(crate) address: SocketAddr,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) tls: Option<ServerTls>,
}

/// A connection on its way to the worker that will own it.
pub(crate) struct Adoption<E: Engine> {
    pub(crate) socket: E::Accepted,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) tls: Option<ServerTls>,
}

impl<E: Engine> Worker<E> {
    pub(crate) fn on_listen(
        &mut self,
        address: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ServerTls>,
    ) -> Result<SocketAddr, Error> {
        if self.stopping.is_some() {
            return Err(Error::Stopped);
        }
        let config = &self.link.service.config;
        let on = ListenConfig {
            address,
            backlog: config.backlog,
            accepts_posted: config.accepts_posted,
            defer_accept: config.defer_accept,
            socket: self.link.service.socket_options().clone(),
        };
        let (key, address) = self.engine.listen(&on)?;
        let state = ListenerState {
            address,
            handler,
            tls,
        };
        self.listeners.insert(key, state);
        let listeners = &self.link.service.listeners;
        listeners.fetch_add(1, Ordering::AcqRel);
        tracing::info!(%address, engine = E::NAME, worker = self.link.index, "listening");
        Ok(address)
    }

    /// A connection came in: it goes to the worker with the fewest sessions.
    pub(crate) fn on_accepted(&mut self, listener: Key, socket: E::Accepted) {
        let Some(state) = self.listeners.get(&listener) else {
            return;
        };
        let (handler, tls) = (state.handler.clone(), state.tls.clone());
        if self.lets_nobody_in() {
            self.link.counters.count_rejected(RejectReason::Stopping);
            return;
        }
        self.prolong_last_accepts();
        let service = &self.link.service;
        let before = service.sessions.fetch_add(1, Ordering::Relaxed);
        let max = service.sessions_max.load(Ordering::Relaxed);
        if before >= max {
            service.sessions.fetch_sub(1, Ordering::Relaxed);
            self.link.counters.count_rejected(RejectReason::Full);
            tracing::debug!(max, "connection refused: full");
            return;
        }
        let adoption = Adoption {
            socket,
            handler,
            tls,
        };
        let alive = self.peers.iter().filter(|peer| !peer.link.has_failed());
        let lightest = alive.min_by_key(|peer| peer.link.load.load(Ordering::Relaxed));
        let Some(peer) = lightest else {
            // Not while this worker lives.
            service.sessions.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        peer.link.load.fetch_add(1, Ordering::Relaxed);
        if peer.link.index == self.link.index {
            self.on_adoption(adoption);
        } else {
            peer.adoptions.push(adoption);
            peer.link.mailbox.wake();
            if peer.link.has_failed() {
                peer.abandon_adoptions();
            }
        }
    }

    /// Stops to listen, and tells where that was, for another worker that is to do so.
    pub(crate) fn take_listeners(&mut self) -> Vec<ListenerState> {
        let listeners = std::mem::take(&mut self.listeners);
        self.end_listeners(listeners.len());
        for key in listeners.keys() {
            self.abandoned.insert(*key);
            self.engine.close(*key, CloseMode::Abort);
        }
        listeners.into_values().collect()
    }

    pub(crate) fn on_accept_failed(&mut self, error: &std::io::Error) {
        self.link.counters.accept_failures.add(1);
        tracing::warn!(%error, "accepting failed; it goes on when the cause is gone");
    }

    /// Takes the connections that other workers accepted for this one.
    /// Whether there were any.
    pub(crate) fn take_adoptions(&mut self) -> bool {
        // A pop has a fence, and most looks find nothing.
        if self.peers[self.link.index].adoptions.is_empty() {
            return false;
        }
        while let Some(adoption) = self.peers[self.link.index].adoptions.pop() {
            self.on_adoption(adoption);
        }
        true
    }

    fn on_adoption(&mut self, adoption: Adoption<E>) {
        let Adoption {
            socket,
            handler,
            tls,
        } = adoption;
        if self.lets_nobody_in() {
            self.link.counters.count_rejected(RejectReason::Stopping);
            self.forget_one();
            return;
        }
        let options = self.link.service.socket_options();
        let key = match self.engine.adopt(socket, options) {
            Ok(key) => key,
            Err(error) => return self.lose_adoption(&error),
        };
        match self.engine.peer_address(key) {
            Ok(peer) if self.is_proxy(peer) => {
                self.await_header(key, peer, handler, tls);
            }
            Ok(peer) => self.admit(key, peer, handler, tls),
            Err(error) => {
                // The peer has gone already: nobody would see this session.
                self.drop_connection(key);
                self.lose_adoption(&error);
            }
        }
    }

    /// Whether the address is a proxy's, which says first for whom the connection is.
    fn is_proxy(&self, peer: SocketAddr) -> bool {
        let proxies = &self.link.service.config.protection.proxies;
        proxies.contains(peer.ip())
    }

    /// Makes a session of a connection from `peer`, if it may have one; with TLS that takes a
    /// handshake first.
    pub(crate) fn admit(
        &mut self,
        key: Key,
        peer: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ServerTls>,
    ) {
        let now = self.now().nanoseconds();
        let (service, counters) = (&self.link.service, &self.link.counters);
        if service.budget.is_nearly_spent() {
            return self.refuse(key, peer, RejectReason::Memory);
        }
        let authenticates = service.config.protection.authentication;
        if authenticates && let Err(reason) = service.count_unauthenticated() {
            return self.refuse(key, peer, reason);
        }
        let admitted = service.admission.admit(peer.ip(), now, |reason| {
            counters.count_observed(reason);
        });
        match (admitted, tls) {
            (Ok(standing), Some(tls)) => self.begin_inbound(key, peer, handler, standing, &tls),
            (Ok(standing), None) => {
                self.link.counters.accepted.add(1);
                let mut slot = self.make_slot(key, peer, handler, true);
                slot.standing = standing;
                if authenticates {
                    slot.session.shared().begin_unauthenticated();
                }
                self.begin_session(slot);
            }
            (Err(reason), _) => {
                if authenticates {
                    service.forget_unauthenticated();
                }
                self.refuse(key, peer, reason);
            }
        }
    }

    pub(crate) fn refuse(&mut self, key: Key, peer: SocketAddr, reason: RejectReason) {
        self.link.counters.count_rejected(reason);
        self.forget_one();
        self.drop_connection(key);
        tracing::debug!(%peer, %reason, "connection refused");
    }

    /// Closes a connection that became no session.
    fn drop_connection(&mut self, key: Key) {
        self.engine.close(key, CloseMode::Abort);
        self.abandoned.insert(key);
    }

    fn lose_adoption(&mut self, error: &dyn std::fmt::Display) {
        self.link.counters.adopt_failures.add(1);
        self.forget_one();
        tracing::debug!(%error, "an accepted connection was lost");
    }

    /// Takes back the count of a connection that became no session.
    pub(crate) fn forget_one(&self) {
        self.link.forget_one();
    }

    /// Makes a session of a connection. [`Worker::begin_session`] is next.
    pub(crate) fn make_slot(
        &mut self,
        key: Key,
        peer: SocketAddr,
        handler: Arc<dyn Handler>,
        inbound: bool,
    ) -> Box<Slot> {
        let context = self.context(handler, inbound);
        let service = &self.link.service;
        let id = service.next_session_id();
        let shared = Arc::new(SessionShared::new(id, key, peer, context));
        let session = Session::from_shared(shared);
        service.registry.insert(session.clone());
        Box::new(Slot::new(key, session, service.pool.is_some(), self.now()))
    }

    /// What a session with this handler has in common with others: that of one which began before,
    /// if nothing has changed since.
    fn context(&mut self, handler: Arc<dyn Handler>, inbound: bool) -> Arc<SessionContext> {
        let config = &self.session_config;
        let known = self.contexts.iter().filter_map(Weak::upgrade);
        let same = |known: &Arc<SessionContext>| {
            known.inbound == inbound
                && Arc::ptr_eq(&known.handler, &handler)
                && Arc::ptr_eq(&known.config, config)
        };
        if let Some(context) = known.into_iter().find(same) {
            return context;
        }
        let worker = self.link.clone();
        let context = SessionContext::new(worker, handler, config.clone(), inbound);
        let context = Arc::new(context);
        self.contexts.retain(|known| known.strong_count() > 0);
        self.contexts.push(Arc::downgrade(&context));
        context
    }

    /// Takes back what was counted of a session that has ended.
    pub(crate) fn release(&self, standing: Standing, peer: SocketAddr) {
        self.link.service.admission.release(peer.ip(), standing);
        self.forget_one();
    }

    /// Tells the handler that the session has begun, then starts to receive.
    pub(crate) fn begin_session(&mut self, slot: Box<Slot>) {
        let key = slot.key;
        // What was cast before is not for this session.
        self.link.apply_casts();
        self.link
            .audience
            .with(|audience| audience.enter(&slot.session));
        slot.announce_opened();
        self.engine.arm_recv(key);
        let context = &slot.session.shared().context;
        let first = self.now() + context.shortest_limit(slot.standing);
        if !self.looks_by(key, first) {
            self.file_deadline(&slot);
        }
        if self.slots.len() <= key.index() {
            self.slots.resize_with(key.index() + 1, || None);
        }
        self.slots[key.index()] = Some(slot);
    }
}
