//! A chat: what one says is encoded once and shared by reference among all others' send queues.
//!
//! `cargo run --release --example chat -- 127.0.0.1:7001`

use fastport::protocol::tests::EchoRequest;
use fastport::{Handler, Packet, PacketId, Room, Server, Session};

/// Everybody who connects is a member, and leaves by itself.
#[derive(Default)]
struct Chat {
    room: Room,
}

/// The application's packet id for a line of chat, of the range that is free for applications.
const SAY: PacketId = PacketId::new(0x0100);

impl Handler for Chat {
    fn on_accepted(&self, session: &Session) {
        // Refused only when the session has ended already.
        let _ = self.room.join(session);
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if packet.id() != SAY {
            return session.note_unhandled(packet.id());
        }
        let Ok(said) = packet.message::<EchoRequest>() else {
            return session.reject_undecodable(packet.id());
        };
        // A member that does not keep up is closed by its own limits; the others do not wait.
        if let Err(error) = self.room.broadcast_except(session, SAY, &said) {
            eprintln!("a line of {session:?} was lost: {error}");
        }
    }
}

fn main() -> Result<(), fastport::Error> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7001".into());
    let server = Server::builder()
        .listen(address)
        .handler(Chat::default())
        .start()?;
    println!("listening on {}", server.local_address());
    server.wait()
}
