//! What is in place of `secure` and `handshake` in a build without TLS: nothing, and no branch.

use crate::protection::admission::Standing;
use crate::session::slot::{Connecting, Slot};
use crate::worker::Worker;
use crate::{CloseReason, Handler, TlsFailure};
use fastport_buffer::Chunk;
use fastport_engine::{Engine, Key, Moment};
use std::net::SocketAddr;
use std::sync::Arc;

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum ServerTls {}
/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum ClientTls {}

#[allow(clippy::unused_self, reason = "as with TLS")]
impl<E: Engine> Worker<E> {
    pub(crate) fn begin_inbound(
        &mut self,
        _key: Key,
        _peer: SocketAddr,
        _handler: Arc<dyn Handler>,
        _standing: Standing,
        tls: &ServerTls,
    ) {
        match *tls {}
    }

    pub(crate) fn begin_outbound(&mut self, _key: Key, _of: Connecting, tls: &ClientTls) {
        match *tls {}
    }

    pub(crate) fn on_handshake_received(&mut self, _key: Key, chunk: Chunk) {
        self.engine.recycle(chunk);
    }

    pub(crate) fn on_handshake_sent(&mut self, _key: Key, _went_out: bool) {}

    pub(crate) fn end_handshake(&mut self, _key: Key, _failure: TlsFailure) {}

    pub(crate) fn end_all_handshakes(&mut self, _reason: CloseReason) {}

    pub(crate) fn end_late_handshake(&mut self, _key: Key, _now: Moment) -> bool {
        false
    }

    pub(crate) fn on_cipher(&mut self, _slot: &mut Slot, chunk: Chunk) {
        self.engine.recycle(chunk);
    }

    pub(crate) fn flush_secured(&mut self, _slot: &mut Slot) {}

    pub(crate) fn ends_stream(&mut self, _slot: &mut Slot) -> bool {
        false
    }

    pub(crate) fn is_cut_off(&mut self, _slot: &Slot) -> bool {
        false
    }

    pub(crate) fn forget_secured(&mut self, _slot: &Slot) {}
}
