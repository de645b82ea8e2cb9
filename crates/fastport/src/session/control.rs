//! The packets that session layers exchange by themselves: goodbyes and heartbeats.
//!
//! They are looked for before a packet is handed to the handler, on the thread that would run it,
//! so they are in order with the packets around them. `docs/session-control.md` has their format.

use crate::net::framer;
use crate::session::shared::SessionShared;
use crate::{CloseReason, Handler, Packet, Session};
use fastport_protocol::PacketId;
use fastport_protocol::session::Close;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// Why a peer ended the session, in its own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Farewell {
    /// Below 1000 the [`CloseReason::code`] of one of FastPort's own reasons, from 1000 the
    /// application's.
    pub code: u16,
    /// For a person to read; may be empty. At most 1,024 bytes; what a peer says in excess is cut.
    /// It is the peer's: escape it where it is shown.
    pub text: String,
}

impl Farewell {
    /// Bytes of a text at most.
    pub const TEXT_BYTES_MAX: usize = 1024;

    pub(crate) fn new(code: u16, text: &str) -> Self {
        let mut cut = text.len().min(Self::TEXT_BYTES_MAX);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        Self {
            code,
            text: text[..cut].to_owned(),
        }
    }

    /// The whole frame that says so.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let message = Close {
            code: self.code.into(),
            text: self.text.clone(),
        };
        let payload = message.encode_to_vec();
        let header = framer::header(PacketId::SESSION_CLOSE, payload.len());
        // A text is far below what a frame holds.
        header.map_or_else(Vec::new, |header| [&header[..], &payload].concat())
    }
}

/// Hands a packet to the handler, unless it is for the session layer; `asks` tells whether it may
/// be an answer.
#[inline]
pub(crate) fn deliver(handler: &dyn Handler, session: &Session, packet: Packet<'_>, asks: bool) {
    if packet.id().is_session_control() || asks {
        deliver_unless_ours(handler, session, packet);
    } else {
        handler.on_packet(session, packet);
    }
}

/// As [`deliver`], of a packet that may be the session layer's. Apart, so that the way of all
/// others is short, and by value: a packet that is pointed to is put together in memory and copied
/// from there, which the processor must wait for.
#[cold]
fn deliver_unless_ours(handler: &dyn Handler, session: &Session, packet: Packet<'_>) {
    let shared = session.shared();
    if packet.id().is_session_control() {
        shared.on_control(packet);
    } else if !shared.answer(session, &packet) {
        handler.on_packet(session, packet);
    }
}

impl SessionShared {
    fn on_control(self: &Arc<Self>, packet: Packet<'_>) {
        match packet.id() {
            PacketId::SESSION_CLOSE => match packet.message::<Close>() {
                Ok(close) => {
                    let code = u16::try_from(close.code).unwrap_or(u16::MAX);
                    self.note_farewell(Farewell::new(code, &close.text));
                }
                Err(_) => self.reject_undecodable(packet.id()),
            },
            PacketId::SESSION_PING => {
                let payload = packet.payload();
                let echoed = &payload[..payload.len().min(PING_BYTES_MAX)];
                // A session that ends has no use for it.
                let _ =
                    Session::from_shared(self.clone()).send_bytes(PacketId::SESSION_PONG, echoed);
            }
            PacketId::SESSION_PONG => {
                let sent = packet.payload().try_into().map(u64::from_be_bytes);
                let now = self.context.worker.service.uptime_ns();
                // What we did not send says nothing.
                if let Ok(Some(round_trip)) = sent.map(|sent| now.checked_sub(sent)) {
                    self.note_round_trip(Duration::from_nanos(round_trip));
                }
            }
            other => self.note_unhandled(other),
        }
    }

    /// Asks the peer to show that it lives.
    pub(crate) fn ping(self: &Arc<Self>) {
        let now = self.context.worker.service.uptime_ns().to_be_bytes();
        let session = Session::from_shared(self.clone());
        // A queue that is full says that the peer does not read, which has limits of its own.
        let _ = session.send_bytes(PacketId::SESSION_PING, &now);
    }

    /// Asks for the end, and keeps what the peer is told if this is the first to ask.
    pub(crate) fn kick(self: &Arc<Self>, farewell: Farewell) {
        {
            let mut remote = self.remote.lock();
            let own = &mut remote.get_or_insert_default().own_farewell;
            if own.is_none() {
                *own = Some(farewell.text.into_boxed_str());
            }
        }
        let code = farewell.code;
        self.request_disconnect(CloseReason::Kicked { code });
    }

    /// What a kick wants the peer to be told; once.
    pub(crate) fn take_own_farewell(&self) -> Option<String> {
        let mut remote = self.remote.lock();
        let own = remote.as_mut()?.own_farewell.take();
        own.map(String::from)
    }

    /// The end of a peer's stream is what the peer said it is.
    pub(super) fn as_the_peer_said(&self, reason: CloseReason) -> CloseReason {
        match reason {
            CloseReason::PeerClosed
            | CloseReason::PeerTruncated
            | CloseReason::TlsTruncated
            | CloseReason::PeerReset { .. } => {
                self.farewell()
                    .map_or(reason, |farewell| CloseReason::ClosedByPeer {
                        code: farewell.code,
                    })
            }
            _ => reason,
        }
    }

    /// The peer says why it ends the session. The first word counts.
    pub(crate) fn note_farewell(&self, farewell: Farewell) {
        let mut remote = self.remote.lock();
        let said = &mut remote.get_or_insert_default().farewell;
        if said.is_none() {
            *said = Some(Box::new(farewell));
        }
    }

    /// Why the peer ends the session, if it said so.
    pub(crate) fn farewell(&self) -> Option<Farewell> {
        let remote = self.remote.lock();
        remote.as_ref()?.farewell.as_deref().cloned()
    }

    pub(crate) fn note_round_trip(&self, round_trip: Duration) {
        self.remote.lock().get_or_insert_default().round_trip = Some(round_trip);
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.remote.lock().as_ref()?.round_trip
    }

    /// What to tell the peer before the session is closed for `reason`, if anything.
    pub(crate) fn farewell_for(&self, reason: CloseReason) -> Option<Farewell> {
        let said = self.take_own_farewell();
        match reason {
            CloseReason::Kicked { code } => Some(Farewell {
                code,
                text: said.unwrap_or_default(),
            }),
            // It has said goodbye itself.
            CloseReason::PeerClosed
            | CloseReason::PeerTruncated
            | CloseReason::ClosedByPeer { .. } => None,
            _ if self.context.config.announce_close => {
                Some(Farewell::new(reason.code().into(), &reason.to_string()))
            }
            _ => None,
        }
    }
}

/// Of a ping so much comes back.
const PING_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_is_the_wires() {
        let frame = Farewell::new(1001, "kicked").frame();
        let bytes = b"\x00\x0f\x8f\x01\x08\xe9\x07\x12\x06kicked";
        assert_eq!(frame, bytes);
        assert_eq!(Farewell::new(0, "").frame(), b"\x00\x04\x8f\x01");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "한".repeat(1000);
        let farewell = Farewell::new(1, &long);
        assert_eq!(farewell.text.len(), 1023);
        assert!(long.starts_with(&farewell.text));
    }
}
