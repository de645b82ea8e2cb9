//! Bytes go out: whole batches, in order, each reported once, or as a failure.

use crate::driver::{Driver, PATIENCE, batch, name, pattern, reset, shared};
use fastport_buffer::{Block, Piece, SendBatch, SharedFrame};
use fastport_engine::{CloseMode, Engine, Event};
use std::io::{Read, Write};
use std::sync::Arc;

const MIB: usize = 1 << 20;

pub(crate) fn eight_mebibytes_reach_a_slow_reader_in_order<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    let bytes = pattern(8 * MIB);
    driver.engine.send(key, batch(&bytes));
    // The kernel's buffers take a part of it; the rest waits for the reader.
    driver.quiet();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        let mut small = [0; 1500];
        while got.len() < 8 * MIB {
            let count = client.read(&mut small).unwrap();
            assert!(count > 0, "the stream ended early");
            got.extend_from_slice(&small[..count]);
        }
        got
    });
    assert_eq!(driver.sent(key).bytes(), 8 * MIB);
    assert!(reader.join().unwrap() == bytes);
    driver.quiet();
    driver.finish();
}

pub(crate) fn sends_one_after_the_other_keep_their_order<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    for round in 0..100u8 {
        driver.engine.send(key, batch(&[round; 1000]));
        driver.sent(key);
    }
    driver.close(key);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    let expected: Vec<u8> = (0..100).flat_map(|round| [round; 1000]).collect();
    assert!(got == expected);
    driver.finish();
}

pub(crate) fn a_batch_of_three_thousand_pieces_arrives_in_order<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    let bytes = pattern(3000 * 700);
    let frame: SharedFrame = bytes.clone().into();
    let mut batch = SendBatch::default();
    for piece in 0..3000 {
        let range = piece * 700..(piece + 1) * 700;
        batch.push(Piece::Shared(frame.clone(), range));
    }
    driver.engine.send(key, batch);
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 3000 * 700];
        client.read_exact(&mut got).unwrap();
        got
    });
    let sent = driver.sent(key);
    assert_eq!(sent.pieces().len(), 3000);
    drop(sent);
    assert_eq!(Arc::strong_count(&frame), 1);
    assert!(reader.join().unwrap() == bytes);
    driver.finish();
}

pub(crate) fn blocks_shared_frames_and_chunks_go_in_one_batch<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    client.write_all(b"<forwarded>").unwrap();
    let chunk = driver.received(key);
    let mut block = Block::with_capacity(16);
    block.reserve(7).unwrap().copy_from_slice(b"[block]");
    block.commit(7);
    let frame: SharedFrame = b"--shared--"[..].into();
    let mut batch = SendBatch::default();
    batch.push(Piece::Forward(chunk.split(1..10)));
    batch.push(Piece::Block(block));
    batch.push(Piece::Shared(frame, 2..8));
    batch.push(Piece::Forward(chunk));
    driver.engine.send(key, batch);
    let mut sent = driver.sent(key);
    assert!(matches!(sent.pieces()[1], Piece::Block(_)));
    sent.empty(|piece| {
        if let Piece::Forward(chunk) = piece {
            driver.engine.recycle(chunk);
        }
    });
    let expected = b"forwarded[block]shared<forwarded>";
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
    driver.finish();
}

pub(crate) fn both_directions_are_full_at_once<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    let bytes = pattern(4 * MIB);
    let mut other = client.try_clone().unwrap();
    let (out, back) = (bytes.clone(), bytes.clone());
    let writer = std::thread::spawn(move || other.write_all(&out).unwrap());
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 4 * MIB];
        client.read_exact(&mut got).unwrap();
        assert!(got == back);
    });
    driver.engine.arm_recv(key);
    driver.engine.send(key, batch(&bytes));
    let mut got = Vec::new();
    let mut sent = false;
    driver.until(|engine, event| {
        match event {
            Event::Received { chunk, .. } => {
                got.extend_from_slice(chunk.as_slice());
                engine.recycle(chunk);
            }
            Event::Sent { result, .. } => {
                result.unwrap();
                sent = true;
            }
            other => panic!("{}", name(&other)),
        }
        sent && got.len() == bytes.len()
    });
    assert!(got == bytes);
    writer.join().unwrap();
    reader.join().unwrap();
    driver.finish();
}

pub(crate) fn a_reset_during_a_blocked_send_is_no_success<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    let frame: SharedFrame = vec![7; 32 * MIB].into();
    driver.engine.send(key, shared(&frame));
    driver.quiet();
    reset(client);
    // The send tells, and the receive may tell too, in either order.
    driver.until(|_, event| match event {
        Event::Sent { batch, result, .. } => {
            let failure = result.unwrap_err();
            assert!(failure.sent < batch.bytes());
            assert_eq!(batch.bytes(), 32 * MIB);
            true
        }
        Event::Failed { .. } | Event::PeerFinished { .. } => false,
        other => panic!("{}", name(&other)),
    });
    driver.engine.close(key, CloseMode::Orderly);
    driver.until(|_, event| match event {
        Event::Closed { .. } => true,
        other => panic!("{}", name(&other)),
    });
    assert_eq!(Arc::strong_count(&frame), 1);
    driver.finish();
}

pub(crate) fn a_send_to_a_connection_that_was_reset_fails<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, peer) = driver.unaccepted();
    driver.engine.arm_recv(key);
    drop(peer);
    // Wine reads the reset away, and then tells of an end.
    match driver.event() {
        Event::Failed { .. } => {}
        Event::PeerFinished { .. } if cfg!(windows) => {}
        other => panic!("{}", name(&other)),
    }
    // A SIGPIPE would end the test here.
    driver.engine.send(key, batch(b"anybody?"));
    match driver.event() {
        Event::Sent { batch, result, .. } => {
            assert_eq!(batch.bytes(), 8);
            assert_eq!(result.unwrap_err().sent, 0);
        }
        other => panic!("{}", name(&other)),
    }
    driver.finish();
}

pub(crate) fn an_abort_frees_a_blocked_send_and_drops_what_is_left<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    let frame: SharedFrame = vec![7; 32 * MIB].into();
    driver.engine.send(key, shared(&frame));
    driver.quiet();
    driver.engine.close(key, CloseMode::Abort);
    driver.closed(key);
    assert_eq!(Arc::strong_count(&frame), 1);
    let mut arrived = 0;
    let mut sink = vec![0; MIB];
    while let Ok(bytes @ 1..) = client.read(&mut sink) {
        arrived += bytes;
    }
    assert!(arrived < frame.len());
    driver.finish();
}

pub(crate) fn what_was_sent_is_read_after_an_orderly_close<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    let bytes = pattern(100_000);
    driver.engine.send(key, batch(&bytes));
    driver.sent(key);
    driver.close(key);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == bytes);
    driver.finish();
}

/// Closing with unread input resets and may cost the peer our last answer (RFC 1122 4.2.2.13); to
/// half-close and read on does not.
pub(crate) fn after_a_half_close_the_rest_is_still_received<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    driver.engine.send(key, batch(b"good bye"));
    driver.sent(key);
    driver.engine.shutdown_write(key);
    let peer = std::thread::spawn(move || {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(&pattern(MIB)).unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        got
    });
    assert!(driver.receive_exactly(key, MIB) == pattern(MIB));
    driver.peer_finished(key);
    driver.close(key);
    assert_eq!(peer.join().unwrap(), b"good bye");
    driver.finish();
}
