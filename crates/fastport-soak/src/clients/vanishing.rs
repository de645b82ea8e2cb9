//! Clients that are gone in the middle of something: by a reset, by an end inside a frame, or
//! without a word, as when a cable is cut. And storms of connections that nobody uses.

use super::honest::read_frame;
use super::{Client, reset};
use crate::message::Exchange;
use fastport_testkit::vanish::vanish;
use std::io::Write;
use std::net::TcpStream;

/// Sends some messages, reads some answers, and vanishes.
pub(crate) fn run(mut client: Client<'_>) {
    let mut number = 0;
    while !client.halt.is_given() {
        if let Some(mut stream) = client.connect(None) {
            let begun = client.random.between(0, 8) as u64;
            if !begin(&mut client, &mut stream, number..number + begun) {
                continue;
            }
            number += begun + 1;
            end(&mut client, stream);
        }
        client.pause_ms(20, 150);
    }
}

/// What comes before the end must be right, too, as far as it came.
fn begin(client: &mut Client<'_>, stream: &mut TcpStream, numbers: std::ops::Range<u64>) -> bool {
    let cut = Exchange::new(client.key(), numbers.end, &mut client.random);
    let mut requests = Vec::new();
    let mut answers = Vec::new();
    for number in numbers {
        let next = Exchange::small(client.key(), number);
        requests.extend(next.request);
        answers.push(next.answer);
    }
    // The last message is cut off anywhere, or whole.
    requests.extend(&cut.request[..client.random.between(0, cut.request.len())]);
    if stream.write_all(&requests).is_err() {
        client.ledger.note_lost(
            answers.len() as u64,
            "a vanishing client can not send".into(),
        );
        return false;
    }
    let read = client.random.between(0, answers.len());
    for answer in &answers[..read] {
        match read_frame(stream) {
            Ok(frame) if frame == *answer => client.ledger.note_checked(frame.len()),
            other => {
                let found = format!("a vanishing client was not answered: {other:?}");
                client.ledger.note_lost(1, found);
                return false;
            }
        }
    }
    true
}

fn end(client: &mut Client<'_>, stream: TcpStream) {
    match client.random.between(0, 9) {
        0..4 => {
            reset(stream);
            client.ledger.did("resets, anywhere in a message");
        }
        4..8 => {
            drop(stream);
            client.ledger.did("ends inside a message");
        }
        _ => match vanish(stream) {
            Ok(()) => client.ledger.did("peers gone without a word"),
            // It takes a privilege; the connection was closed then.
            Err(_) => client.ledger.did("ends inside a message"),
        },
    }
}

/// Many connections at once that end at once.
pub(crate) fn run_storm(mut client: Client<'_>) {
    while client.pause_ms(4_000, 12_000) {
        let mut streams = Vec::new();
        for _ in 0..client.random.between(50, 250) {
            streams.extend(client.connect(None));
        }
        for stream in streams {
            if client.random.one_in(2) {
                reset(stream);
            }
        }
        client.ledger.did("storms of 50 to 250 connections");
    }
}
