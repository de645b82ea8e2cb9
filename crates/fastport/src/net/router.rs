//! Closures by packet id: the handler that a builder makes.
//!
//! The table is two levels of arrays, so that finding a closure costs two loads and allocates
//! nothing.

use crate::{CloseReason, ConfigError, Handler, Identified, Packet, PacketId, Session};
use fastport_protocol::Headed;

type OnPacket = Box<dyn Fn(&Session, Packet<'_>) + Send + Sync>;
type OnSession = Box<dyn Fn(&Session) + Send + Sync>;
type OnDisconnected = Box<dyn Fn(&Session, CloseReason) + Send + Sync>;
type Page = [Option<OnPacket>; 256];

/// Routes packets to closures by their id. An id that nothing handles is counted and dropped.
#[derive(Default)]
pub struct Router {
    pages: Vec<Option<Box<Page>>>,
    accepted: Option<OnSession>,
    connected: Option<OnSession>,
    writable: Option<OnSession>,
    disconnected: Option<OnDisconnected>,
    mistake: Option<ConfigError>,
}

impl Router {
    /// A router that handles nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles a message by its type. It is decoded before; a payload that does not decode is
    /// rejected as [`SessionConfig::undecodable`](crate::SessionConfig) says.
    #[must_use]
    pub fn on<M: Identified + 'static>(
        self,
        handle: impl Fn(&Session, M) + Send + Sync + 'static,
    ) -> Self {
        self.on_packet(M::ID, move |session, packet| match packet.message::<M>() {
            Ok(message) => handle(session, message),
            Err(_) => session.reject_undecodable(packet.id()),
        })
    }

    /// Answers a request by its type: what `handle` returns is sent with the request's header, by
    /// which the peer knows what it answers.
    #[must_use]
    pub fn on_request<Req, Resp>(
        self,
        handle: impl Fn(&Session, &Req) -> Resp + Send + Sync + 'static,
    ) -> Self
    where
        Req: Identified + Headed + 'static,
        Resp: Identified + Headed,
    {
        self.on(move |session, request: Req| {
            // A session that ends has no use for it.
            let _ = session.answer(&request, handle(session, &request));
        })
    }

    /// Handles a packet id, undecoded.
    #[must_use]
    pub fn on_packet(
        mut self,
        id: PacketId,
        handle: impl Fn(&Session, Packet<'_>) + Send + Sync + 'static,
    ) -> Self {
        if id.is_reserved() {
            let expected = "an id outside 0x8000 to 0x8FFF, which the admin channel has";
            self.mistake
                .get_or_insert(ConfigError::new("packet id", id, expected));
            return self;
        }
        let [page, entry] = id.number().to_be_bytes().map(usize::from);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([const { None }; 256]));
        if page[entry].is_some() {
            let expected = "one handler for each id";
            self.mistake
                .get_or_insert(ConfigError::new("packet id", id, expected));
        }
        page[entry] = Some(Box::new(handle));
        self
    }

    /// Called first for each accepted session.
    #[must_use]
    pub fn on_accepted(mut self, handle: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.accepted = Some(Box::new(handle));
        self
    }

    /// Called first for each session that a connector made.
    #[must_use]
    pub fn on_connected(mut self, handle: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.connected = Some(Box::new(handle));
        self
    }

    /// Called when a session's send queue has room again.
    #[must_use]
    pub fn on_writable(mut self, handle: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.writable = Some(Box::new(handle));
        self
    }

    /// Called last for each session.
    #[must_use]
    pub fn on_disconnected(
        mut self,
        handle: impl Fn(&Session, CloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.disconnected = Some(Box::new(handle));
        self
    }

    /// Checks what was registered.
    ///
    /// # Errors
    /// A reserved id, or an id that was registered twice.
    pub fn build(mut self) -> Result<Self, ConfigError> {
        self.mistake.take().map_or(Ok(self), Err)
    }

    #[inline]
    fn find(&self, id: PacketId) -> Option<&OnPacket> {
        let [page, entry] = id.number().to_be_bytes().map(usize::from);
        self.pages.get(page)?.as_ref()?[entry].as_ref()
    }
}

impl Handler for Router {
    fn on_accepted(&self, session: &Session) {
        if let Some(handle) = &self.accepted {
            handle(session);
        }
    }

    fn on_connected(&self, session: &Session) {
        if let Some(handle) = &self.connected {
            handle(session);
        }
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        match self.find(packet.id()) {
            Some(handle) => handle(session, packet),
            None => session.note_unhandled(packet.id()),
        }
    }

    fn on_writable(&self, session: &Session) {
        if let Some(handle) = &self.writable {
            handle(session);
        }
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        if let Some(handle) = &self.disconnected {
            handle(session, reason);
        }
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let handled = self
            .pages
            .iter()
            .flatten()
            .flat_map(|page| page.iter())
            .flatten()
            .count();
        f.debug_struct("Router")
            .field("packet_ids", &handled)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_id_is_a_mistake() {
        let router = Router::new().on_packet(PacketId::new(0x8001), |_, _| {});
        assert!(router.build().unwrap_err().to_string().contains("0x8001"));
    }

    #[test]
    fn an_id_has_one_handler() {
        let router = Router::new().on_packet(PacketId::ECHO, |_, _| {});
        let router = router.on_packet(PacketId::ECHO, |_, _| {});
        assert!(router.build().is_err());
    }

    #[test]
    fn ids_find_their_closures() {
        let router = Router::new()
            .on_packet(PacketId::new(0xFFFF), |_, _| {})
            .build()
            .unwrap();
        assert!(router.find(PacketId::new(0xFFFF)).is_some());
        assert!(router.find(PacketId::new(0xFFFE)).is_none());
        assert!(router.find(PacketId::new(0)).is_none());
    }
}
