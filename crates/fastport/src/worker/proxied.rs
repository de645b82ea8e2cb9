//! Connections from a proxy that have not said yet whom they are from.
//!
//! They are no sessions: no handler knows them, and what they may send and how long they may take
//! is bounded. With their header they become a session of the client's address, with the limits of
//! that address.

use crate::protection::proxy_header::{HEADER_BYTES_MAX, Parsed, parse};
use crate::worker::Worker;
use crate::worker::secure::ServerTls;
use crate::{Handler, RejectReason};
use fastport_buffer::Chunk;
use fastport_engine::{Engine, Key, Moment};
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection whose header is not complete.
pub(crate) struct Proxied {
    handler: Arc<dyn Handler>,
    tls: Option<ServerTls>,
    proxy: SocketAddr,
    deadline: Moment,
    /// What came of it.
    header: Vec<u8>,
}

impl<E: Engine> Worker<E> {
    /// Waits for the header of a connection from a proxy.
    pub(crate) fn await_header(
        &mut self,
        key: Key,
        proxy: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ServerTls>,
    ) {
        let deadline = self.now() + self.link.service.config.protection.proxy_timeout;
        self.wheel.insert(deadline, key);
        let header = Vec::new();
        self.proxied.insert(
            key,
            Proxied {
                handler,
                tls,
                proxy,
                deadline,
                header,
            },
        );
        self.engine.arm_recv(key);
    }

    /// Bytes for a connection that is no session: part of a header or of a handshake, or nobody's.
    pub(crate) fn on_unclaimed(&mut self, key: Key, mut chunk: Chunk) {
        let Some(proxied) = self.proxied.get_mut(&key) else {
            return self.on_handshake_received(key, chunk);
        };
        let before = proxied.header.len();
        let room = HEADER_BYTES_MAX - before;
        let part = &chunk.as_slice()[..chunk.len().min(room)];
        proxied.header.extend_from_slice(part);
        let header = match parse(&proxied.header) {
            Parsed::Header(header) => header,
            Parsed::NeedMore => return self.engine.recycle(chunk),
            Parsed::Invalid => {
                self.engine.recycle(chunk);
                return self.refuse_proxied(key, RejectReason::ProxyHeader);
            }
        };
        let Some(proxied) = self.proxied.remove(&key) else {
            return;
        };
        let client = header.client.unwrap_or(proxied.proxy);
        self.admit(key, client, proxied.handler, proxied.tls);
        // The header ends in this chunk: without it there was none.
        chunk.advance(header.bytes - before);
        if chunk.is_empty() || self.abandoned.contains(&key) {
            self.engine.recycle(chunk);
        } else {
            self.on_bytes(key, chunk);
        }
    }

    /// Ends a connection that has not become a session, if it is one.
    pub(crate) fn refuse_proxied(&mut self, key: Key, reason: RejectReason) {
        if let Some(proxied) = self.proxied.remove(&key) {
            self.refuse(key, proxied.proxy, reason);
        }
    }

    /// Ends all of them.
    pub(crate) fn refuse_all_proxied(&mut self, reason: RejectReason) {
        let keys: Vec<_> = self.proxied.keys().copied().collect();
        for key in keys {
            self.refuse_proxied(key, reason);
        }
    }

    /// Whether the time for the header of this connection is over.
    pub(crate) fn is_header_late(&self, key: Key, now: Moment) -> bool {
        let proxied = self.proxied.get(&key);
        proxied.is_some_and(|proxied| proxied.deadline <= now)
    }
}
