//! A chat: what one says is encoded once and shared by reference among all others' send queues.
//!
//! `cargo run --release --example chat -- 127.0.0.1:6629`

use fastport::protocol::tests::EchoRequest;
use fastport::{CloseReason, Handler, Packet, PacketId, Server, Session, shared_frame};
use std::collections::HashMap;
use std::sync::RwLock;

/// Members by session id.
#[derive(Default)]
struct Room {
    members: RwLock<HashMap<u64, Session>>,
}

/// The application's packet id for a line of chat, of the range that is free for applications.
const SAY: PacketId = PacketId::new(0x0100);

impl Handler for Room {
    fn on_accepted(&self, session: &Session) {
        let mut members = self
            .members
            .write()
            .unwrap_or_else(|poison| poison.into_inner());
        members.insert(session.id().value(), session.clone());
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if packet.id() != SAY {
            return session.note_unhandled(packet.id());
        }
        let Ok(said) = packet.message::<EchoRequest>() else {
            return session.reject_undecodable(packet.id());
        };
        let Ok(frame) = shared_frame(SAY, &said) else {
            return;
        };
        let members = self
            .members
            .read()
            .unwrap_or_else(|poison| poison.into_inner());
        for member in members.values().filter(|member| *member != session) {
            // A member that does not keep up is closed by its own limits; the others do not wait.
            let _ = member.send_shared(&frame);
        }
    }

    fn on_disconnected(&self, session: &Session, _reason: CloseReason) {
        let mut members = self
            .members
            .write()
            .unwrap_or_else(|poison| poison.into_inner());
        members.remove(&session.id().value());
    }
}

fn main() -> Result<(), fastport::Error> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6629".into());
    let server = Server::builder()
        .listen(address)
        .handler(Room::default())
        .start()?;
    println!("listening on {}", server.local_address());
    server.wait()
}
