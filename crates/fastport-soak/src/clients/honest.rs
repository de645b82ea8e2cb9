//! Clients that keep the rules: they send, compare each byte of each answer, and leave in order.
//! Nothing is done to their connections, so that each answer must come, once, in order.

use super::Client;
use crate::message::{Exchange, Wrong, judge};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;

/// Messages that are under way at once, and their bytes: less than the server queues before it
/// stops to read, or each would wait for the other.
const WINDOW: usize = 32;
const WINDOW_BYTES: usize = 64 * 1024;

/// Sends windows of messages, at a bounded rate, session after session.
pub(crate) fn run(mut client: Client<'_>) {
    let mut number = 0;
    while !client.halt.is_given() {
        let Some(mut stream) = client.connect(None) else {
            continue;
        };
        let end = number + client.random.between(1, 3_000) as u64;
        let mut whole = true;
        while whole && number < end && !client.halt.is_given() {
            let window = next_window(&mut client, number, end);
            number += window.len() as u64;
            whole = exchange(
                &mut client,
                &mut stream,
                &window,
                number - window.len() as u64,
            );
            client.pause_ms(40, 90);
        }
        if whole {
            leave(&client, stream);
        }
    }
}

/// Sends and reads a few bytes at a time, with pauses.
pub(crate) fn run_slow(mut client: Client<'_>) {
    let mut number = 0;
    while !client.halt.is_given() {
        let Some(mut stream) = client.connect(Some(4096)) else {
            continue;
        };
        for _ in 0..client.random.between(1, 5) {
            let exchange = Exchange::small(client.key(), number);
            number += 1;
            if !exchange_slowly(&mut client, &mut stream, &exchange, number - 1) {
                break;
            }
        }
        client.ledger.did("slow sessions, a few bytes at a time");
        leave(&client, stream);
    }
}

fn next_window(client: &mut Client<'_>, first: u64, end: u64) -> Vec<Exchange> {
    let most = client.random.between(1, WINDOW) as u64;
    let mut window = Vec::new();
    let mut bytes = 0;
    for number in first..end.min(first + most) {
        let next = if client.random.one_in(2_000) {
            Exchange::largest(client.key(), number)
        } else {
            Exchange::new(client.key(), number, &mut client.random)
        };
        // The first goes whatever its size.
        if !window.is_empty() && bytes + next.answer.len() > WINDOW_BYTES {
            break;
        }
        bytes += next.answer.len();
        window.push(next);
    }
    window
}

/// Sends a window, cut anywhere, and compares what comes back. False when the session is at its end
/// or what came was wrong.
fn exchange(
    client: &mut Client<'_>,
    stream: &mut TcpStream,
    window: &[Exchange],
    first: u64,
) -> bool {
    let requests: Vec<u8> = window
        .iter()
        .flat_map(|next| &next.request)
        .copied()
        .collect();
    let cut = client.random.between(0, requests.len());
    let (front, back) = requests.split_at(cut);
    let sent = stream
        .write_all(front)
        .and_then(|()| stream.write_all(back));
    if let Err(error) = sent {
        let found = format!("client {}: sending failed: {error}", client.number);
        client.ledger.note_lost(window.len() as u64, found);
        return false;
    }
    let end = first + window.len() as u64;
    let mut numbered = (first..end).zip(window);
    numbered.all(|(number, next)| expect(client, stream, next, number..end))
}

/// Reads the answer to the first of the numbers that are awaited, and compares it.
fn expect(
    client: &Client<'_>,
    stream: &mut TcpStream,
    exchange: &Exchange,
    awaited: Range<u64>,
) -> bool {
    let number = awaited.start;
    match read_frame(stream) {
        Ok(frame) if frame == exchange.answer => {
            client.ledger.note_checked(frame.len());
            true
        }
        Ok(frame) => {
            let wrong = judge(client.key(), number, &frame);
            note_wrong(client, number, wrong);
            false
        }
        Err(error) => {
            let lost = awaited.end - number;
            let found = format!("client {}: no answer {number}: {error}", client.number);
            client.ledger.note_lost(lost, found);
            false
        }
    }
}

fn exchange_slowly(
    client: &mut Client<'_>,
    stream: &mut TcpStream,
    exchange: &Exchange,
    number: u64,
) -> bool {
    for part in exchange.request.chunks(client.random.between(1, 9)) {
        if let Err(error) = stream.write_all(part) {
            let found = format!("slow client {}: sending failed: {error}", client.number);
            client.ledger.note_lost(1, found);
            return false;
        }
        client.pause_ms(1, 20);
    }
    let mut answer = Vec::new();
    let mut part = [0; 16];
    while answer.len() < exchange.answer.len() {
        let most = part.len().min(exchange.answer.len() - answer.len());
        match stream.read(&mut part[..most]) {
            Ok(count) if count > 0 => answer.extend(&part[..count]),
            other => {
                let found = format!("slow client {}: no answer: {other:?}", client.number);
                client.ledger.note_lost(1, found);
                return false;
            }
        }
        client.pause_ms(1, 10);
    }
    if answer == exchange.answer {
        client.ledger.note_checked(answer.len());
        return true;
    }
    note_wrong(client, number, judge(client.key(), number, &answer));
    false
}

/// Half-closes and waits for the end. What still comes is an answer too many.
fn leave(client: &Client<'_>, mut stream: TcpStream) {
    // A session that was found wrong may be gone.
    let _ = stream.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    let outcome = Read::by_ref(&mut stream)
        .take(1 << 20)
        .read_to_end(&mut rest);
    if !rest.is_empty() {
        note_wrong(client, u64::MAX, judge(client.key(), u64::MAX, &rest));
    }
    if let Err(error) = outcome {
        client
            .ledger
            .find(format!("client {}: no orderly end: {error}", client.number));
    }
    client.ledger.did("orderly sessions");
}

fn note_wrong(client: &Client<'_>, number: u64, wrong: Wrong) {
    let found = format!(
        "client {}: {wrong:?} instead of answer {number}",
        client.number
    );
    client.ledger.note_wrong(wrong, found);
}

/// Reads a whole frame.
pub(crate) fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame)?;
    let bytes = usize::from(u16::from_be_bytes([frame[0], frame[1]]));
    frame.resize(bytes.max(4), 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}
