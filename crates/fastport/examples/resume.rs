//! A session that outlives its connections: a server that counts, and a client that is cut off
//! three times and misses nothing.
//!
//! `cargo run --release --example resume`

use fastport::{
    ClientState, CloseReason, Conversation, Packet, PacketId, ReconnectConfig, Resumable,
    ResumeConfig, ResumeHandler, ResumingClient, Server,
};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Of the range that is free for applications.
const COUNT: PacketId = PacketId::new(0x0200);

/// Answers each number with the next.
struct Counter;

impl ResumeHandler for Counter {
    fn on_packet(&self, conversation: &Conversation, packet: Packet<'_>) {
        let Ok(number) = packet.payload().try_into().map(u32::from_be_bytes) else {
            return conversation.kick(1000, "four bytes were expected");
        };
        // Refused only when the client has too much to handle, or the conversation is over.
        let _ = conversation.send_bytes(COUNT, &number.wrapping_add(1).to_be_bytes());
    }

    fn on_ended(&self, _conversation: &Conversation, reason: CloseReason) {
        println!("server: over, {reason}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .handler(Resumable::new(ResumeConfig::default(), Counter)?)
        .start()?;
    let (numbers, number) = channel();
    let numbers = Mutex::new(numbers);
    let config = ReconnectConfig {
        pause_first: Duration::from_millis(20),
        ..ReconnectConfig::default()
    };
    let client = ResumingClient::start(
        server.local_address().to_string(),
        config,
        move |_, packet| {
            let numbers = numbers.lock().unwrap_or_else(|poison| poison.into_inner());
            // The example may have ended.
            let _ = numbers.send(packet.payload().to_vec());
        },
        |state| {
            if let ClientState::Connected { resumed: true } = state {
                println!("client: resumed");
            }
        },
    )?;
    let mut next = 0u32;
    for round in 1..=4 {
        while next < round * 5 {
            client.send_bytes(COUNT, &next.to_be_bytes())?;
            let answer = number.recv_timeout(Duration::from_secs(10))?;
            next = u32::from_be_bytes(answer.as_slice().try_into()?);
        }
        println!("client: {next}");
        if round < 4 {
            // The network fails: a reset, as far as the client can see.
            server
                .service()
                .for_each_session(|session| session.disconnect_with(CloseReason::WriteStalled));
        }
    }
    client.close();
    server.stop(Duration::from_secs(2));
    Ok(())
}
