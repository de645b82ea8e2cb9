//! Echo, raw echo and ping for sessions that outlive their connections.
//!
//! A client that begins with a hello has a conversation; what it sends is answered over whichever
//! connection it has then. Everybody else is served by the plain services.

use super::Services;
use fastport::protocol::commons::ResultCode;
use fastport::protocol::tests::{EchoRequest, EchoResponse, PingRequest, PingResponse};
use fastport::{
    CloseReason, Conversation, Error, Handler, Packet, PacketId, Resumable, ResumeConfig,
    ResumeHandler, SendError, Session,
};

/// The code that a client is told whose payload does not decode.
const UNDECODABLE: u16 = 10;

/// Both kinds of sessions.
pub(crate) struct Resuming {
    plain: Services,
    resumable: Resumable,
}

impl Resuming {
    /// Serves those who say no hello by `plain`.
    ///
    /// # Errors
    /// A setting that is out of range; a thread that can not be started.
    pub(crate) fn new(config: ResumeConfig, plain: Services) -> Result<Self, Error> {
        let resumable = Resumable::new(config, Conversations)?;
        Ok(Self { plain, resumable })
    }
}

impl Handler for Resuming {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let resumes =
            packet.id() == PacketId::RESUME_HELLO || session.attached::<Conversation>().is_some();
        if resumes {
            self.resumable.on_packet(session, packet);
        } else {
            self.plain.on_packet(session, packet);
        }
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        self.resumable.on_disconnected(session, reason);
    }
}

/// What a conversation is served.
struct Conversations;

impl ResumeHandler for Conversations {
    fn on_packet(&self, conversation: &Conversation, packet: Packet<'_>) {
        let answered = match packet.id() {
            PacketId::RAW_ECHO => conversation.send_bytes(packet.id(), packet.payload()),
            PacketId::ECHO => packet.message::<EchoRequest>().map_or_else(
                |_| undecodable(conversation),
                |request| {
                    let response = EchoResponse {
                        header: request.header,
                        result: ResultCode::Ok.into(),
                        data: request.data,
                        data_str: request.data_str,
                    };
                    conversation.send(PacketId::ECHO, &response)
                },
            ),
            PacketId::PING_REQUEST => packet.message::<PingRequest>().map_or_else(
                |_| undecodable(conversation),
                |request| {
                    let response = PingResponse {
                        header: request.header,
                        result: ResultCode::Ok.into(),
                        payload: request.payload,
                    };
                    conversation.send(PacketId::PING_RESPONSE, &response)
                },
            ),
            // A measurement of a connection is not one of a conversation.
            _ => Ok(()),
        };
        // Nothing is owed to one that is over, and an answer that fits no frame has no way.
        if let Err(SendError::Overflow { .. }) = answered {
            conversation.kick(1000, "more answers wait than are kept");
        }
    }
}

fn undecodable(conversation: &Conversation) -> Result<(), SendError> {
    conversation.kick(UNDECODABLE, "the payload does not decode");
    Ok(())
}
