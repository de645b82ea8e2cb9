//! Clients that break the rules. The server must end each of their sessions within its limits.

use super::{Client, PATIENCE, is_time_out};
use crate::clock::Clock;
use crate::message::{Exchange, frame};
use fastport_protocol::PacketId;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// More than the kernel's buffers on both sides and what the server queues take together.
const FLOOD_BYTES_MAX: usize = 48 << 20;

/// Breaks one rule a session.
pub(crate) fn run(mut client: Client<'_>) {
    while !client.halt.is_given() {
        if let Some(mut stream) = client.connect(None) {
            let (what, bytes) = provocation(&mut client);
            // It may be cut off while it is still sending.
            let _ = stream.write_all(&bytes);
            client.expect_end(&stream, what);
            client.ledger.did(what);
        }
        client.pause_ms(50, 400);
    }
}

/// Something after which the server has to end the session, and what it is.
fn provocation(client: &mut Client<'_>) -> (&'static str, Vec<u8>) {
    let mut before = Vec::new();
    for number in 0..client.random.between(0, 3) as u64 {
        before.extend(Exchange::small(client.key(), number).request);
    }
    let mut noise = vec![0; client.random.between(1, 3_000)];
    client.random.fill(&mut noise);
    let (what, bytes) = match client.random.between(0, 6) {
        0 => (
            "size below the header",
            vec![0, client.random.between(0, 3) as u8],
        ),
        1 => ("noise", noise),
        2 => (
            "a message that does not decode",
            frame(PacketId::ECHO, &[0xFF; 40]),
        ),
        3 => (
            "a frame that is never finished",
            vec![0x40, 0, 0, 2, 1, 2, 3],
        ),
        4 => ("half a header", vec![1]),
        5 => (
            "a message with groups to no end",
            frame(PacketId::ECHO, &[0x7B; 5_000]),
        ),
        _ => return ("silence", Vec::new()),
    };
    before.extend(bytes);
    (what, before)
}

/// Sends and never reads, until the server has had enough.
pub(crate) fn run_flood(mut client: Client<'_>) {
    while !client.halt.is_given() {
        if let Some(stream) = client.connect(Some(4096)) {
            flood(&mut client, &stream);
            client.ledger.did("floods that were never read");
        }
        client.pause_ms(500, 2_000);
    }
}

fn flood(client: &mut Client<'_>, mut stream: &TcpStream) {
    // Short, to look at the clock.
    let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
    let clock = Clock::start();
    let mut content = vec![0; 16 * 1024];
    client.random.fill(&mut content);
    let flood = frame(PacketId::RAW_ECHO, &content);
    let (mut at, mut sent) = (0, 0);
    while clock.elapsed() < PATIENCE && sent < FLOOD_BYTES_MAX && !client.halt.is_given() {
        match stream.write(&flood[at..]) {
            Ok(bytes) => {
                sent += bytes;
                at = (at + bytes) % flood.len();
            }
            Err(error) if is_time_out(&error) => {}
            Err(_) => return,
        }
    }
    if !client.halt.is_given() {
        let seconds = clock.elapsed().as_secs();
        let found = format!("a flood that is not read goes on: {sent} bytes in {seconds} s");
        client.ledger.find(found);
    }
}
