//! Chunks are lent: what is kept is not overwritten, and what comes back is used again.

use crate::driver::{Driver, PATIENCE, key_of, name, now, pattern};
use crate::receiving::write_behind;
use fastport_buffer::Chunk;
use fastport_engine::{Engine, Event, Key};
use std::collections::HashMap;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Keeps every chunk until there are no more. The bytes of them, in order.
fn hoard<E: Engine>(driver: &mut Driver<E>, key: Key) -> Vec<Chunk> {
    let mut kept = Vec::new();
    while let Some(event) = driver.poll(Duration::from_millis(200)) {
        match event {
            Event::Received { key: of, chunk } if of == key => kept.push(chunk),
            other => panic!("{}", name(&other)),
        }
    }
    kept
}

pub(crate) fn receiving_waits_while_every_chunk_is_kept<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    assert!(!driver.engine.is_chunk_scarce());
    let bytes = pattern(MIB);
    let writer = write_behind(client, bytes.clone());
    let kept = hoard(&mut driver, key);
    assert_eq!(kept.len(), 16, "buffers that exist");
    assert!(driver.engine.is_chunk_scarce());
    let mut got: Vec<u8> = kept.iter().flat_map(Chunk::as_slice).copied().collect();
    for chunk in kept {
        driver.engine.recycle(chunk);
    }
    got.extend(driver.receive_exactly(key, MIB - got.len()));
    assert!(got == bytes);
    writer.join().unwrap();
    driver.finish();
}

pub(crate) fn chunks_dropped_by_another_thread_are_used_again<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    let bytes = pattern(2 * MIB);
    let writer = write_behind(client, bytes.clone());
    let (hand, chunks) = mpsc::channel::<Chunk>();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        for chunk in chunks {
            got.extend_from_slice(chunk.as_slice());
        }
        got
    });
    let mut count = 0;
    while count < bytes.len() {
        let chunk = driver.received(key);
        count += chunk.len();
        hand.send(chunk).unwrap();
    }
    drop(hand);
    assert!(reader.join().unwrap() == bytes);
    writer.join().unwrap();
    driver.finish();
}

/// Nobody wakes the worker for a chunk that another thread drops, so it has to look by itself.
pub(crate) fn a_starved_worker_finds_what_another_thread_gave_back<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    let writer = write_behind(client, pattern(MIB));
    let kept = hoard(&mut driver, key);
    let mut count: usize = kept.iter().map(Chunk::len).sum();
    let (hand, chunks) = mpsc::channel::<Vec<Chunk>>();
    let dropper = std::thread::spawn(move || drop(chunks.recv()));
    hand.send(kept).unwrap();
    while count < MIB {
        count += driver.received(key).len();
    }
    dropper.join().unwrap();
    writer.join().unwrap();
    driver.finish();
}

pub(crate) fn a_starved_connection_can_be_paused_and_closed<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (hog, mut client) = driver.session();
    driver.engine.arm_recv(hog);
    client.write_all(&pattern(60_000)).unwrap();
    let mut kept = Vec::new();
    while kept.len() < 14 {
        kept.push(driver.received(hog));
    }
    let (starved, mut other) = driver.session();
    driver.engine.arm_recv(starved);
    client.write_all(&pattern(60_000)).unwrap();
    other.write_all(&pattern(60_000)).unwrap();
    while let Some(event) = driver.poll(Duration::from_millis(200)) {
        match event {
            Event::Received { chunk, .. } => kept.push(chunk),
            event => panic!("{}", name(&event)),
        }
    }
    driver.engine.pause_recv(starved);
    driver.paused(starved);
    driver.engine.arm_recv(starved);
    driver.quiet();
    driver.close(starved);
    driver.close(hog);
    drop(kept);
    // Their buffers serve others now.
    let (next, mut client) = driver.session();
    driver.engine.arm_recv(next);
    client.write_all(b"next").unwrap();
    assert_eq!(driver.receive_exactly(next, 4), b"next");
    driver.finish();
}

pub(crate) fn a_chunk_outlives_its_connection_and_the_engine<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    client.write_all(b"keepsake").unwrap();
    let chunk = driver.received(key);
    let part = chunk.split(4..8);
    driver.close(key);
    driver.finish();
    assert_eq!(chunk.as_slice(), b"keepsake");
    drop(chunk);
    let there = std::thread::spawn(move || part.as_slice().to_vec());
    assert_eq!(there.join().unwrap(), b"sake");
}

pub(crate) fn many_connections_share_few_chunks<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let sessions = driver.sessions(60);
    let mut got: HashMap<Key, Vec<u8>> = HashMap::new();
    let writers: Vec<_> = sessions
        .into_iter()
        .map(|(key, client)| {
            driver.engine.arm_recv(key);
            got.insert(key, Vec::new());
            write_behind(client, pattern(20_000))
        })
        .collect();
    let mut kept = Vec::new();
    let deadline = now() + PATIENCE;
    while got.values().any(|bytes| bytes.len() < 20_000) {
        assert!(now() < deadline, "bytes are missing");
        let event = driver.event();
        let key = key_of(&event).unwrap();
        let Event::Received { chunk, .. } = event else {
            panic!("{}", name(&event))
        };
        got.entry(key).or_default().extend(chunk.as_slice());
        kept.push(chunk);
        if kept.len() == 12 {
            kept.clear();
        }
    }
    assert!(got.values().all(|bytes| *bytes == pattern(20_000)));
    for writer in writers {
        writer.join().unwrap();
    }
    driver.finish();
}
