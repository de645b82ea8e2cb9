//! Bytes come in: whole, in order, until the end of the stream, and not while they are not wanted.

use crate::driver::{Driver, batch, name, pattern, small};
use fastport_engine::{CloseMode, Engine, EngineConfig, Event};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

const MIB: usize = 1 << 20;

/// Writes the bytes and gives the client back.
pub(crate) fn write_behind(mut client: TcpStream, bytes: Vec<u8>) -> JoinHandle<TcpStream> {
    std::thread::spawn(move || {
        client.write_all(&bytes).unwrap();
        client
    })
}

pub(crate) fn a_long_stream_arrives_in_order<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    let bytes = pattern(4 * MIB);
    let writer = write_behind(client, bytes.clone());
    assert!(driver.receive_exactly(key, bytes.len()) == bytes);
    writer.join().unwrap();
    driver.finish();
}

pub(crate) fn the_peers_end_comes_after_all_its_bytes<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    // Data and FIN are there together before anything is read.
    client.write_all(&pattern(10_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    driver.engine.arm_recv(key);
    assert_eq!(driver.receive_exactly(key, 10_000), pattern(10_000));
    driver.peer_finished(key);
    // Nothing follows, whatever is asked for.
    driver.engine.arm_recv(key);
    driver.engine.pause_recv(key);
    driver.quiet();
    // The other direction stands.
    driver.engine.send(key, batch(b"answer"));
    driver.sent(key);
    driver.close(key);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
    driver.finish();
}

pub(crate) fn an_end_without_bytes_is_told_once<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    driver.quiet();
    drop(client);
    driver.peer_finished(key);
    driver.quiet();
    driver.finish();
}

pub(crate) fn a_reset_fails_the_connection_once<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, peer) = driver.unaccepted();
    driver.engine.arm_recv(key);
    drop(peer);
    match driver.event() {
        Event::Failed { key: of, error } => {
            assert_eq!(of, key);
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        other => panic!("{}", name(&other)),
    }
    driver.quiet();
    // No error, and no event.
    driver.engine.shutdown_write(key);
    driver.engine.arm_recv(key);
    driver.quiet();
    driver.close(key);
    driver.finish();
}

pub(crate) fn a_pause_holds_a_mebibyte_back_and_needs_no_new_byte_to_go_on<E: Engine>() {
    let config = EngineConfig {
        receive_budget: 1,
        ..small()
    };
    let mut driver = Driver::<E>::with(&config);
    let (key, client) = driver.session();
    driver.engine.arm_recv(key);
    driver.engine.pause_recv(key);
    driver.paused(key);
    let bytes = pattern(MIB);
    let writer = write_behind(client, bytes.clone());
    driver.quiet();
    driver.engine.arm_recv(key);
    assert!(driver.receive_exactly(key, MIB) == bytes);
    writer.join().unwrap();
    driver.finish();
}

pub(crate) fn a_pause_amid_bytes_that_have_all_come_needs_no_new_byte_to_go_on<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    client.write_all(&pattern(60_000)).unwrap();
    let mut got = driver.received(key).as_slice().to_vec();
    driver.engine.pause_recv(key);
    driver.until(|_, event| match event {
        Event::Received { chunk, .. } => {
            got.extend_from_slice(chunk.as_slice());
            false
        }
        Event::RecvPaused { .. } => true,
        event => panic!("{}", name(&event)),
    });
    driver.engine.arm_recv(key);
    let rest = driver.receive_exactly(key, 60_000 - got.len());
    got.extend(rest);
    assert!(got == pattern(60_000));
    driver.finish();
}

pub(crate) fn pauses_and_arms_in_any_order_lose_nothing<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, client) = driver.session();
    let bytes = pattern(2 * MIB);
    let writer = write_behind(client, bytes.clone());
    driver.engine.arm_recv(key);
    let mut got = Vec::new();
    let mut is_paused = false;
    let mut round = 0usize;
    while got.len() < bytes.len() {
        match driver.event() {
            Event::Received { chunk, .. } => {
                assert!(!is_paused, "bytes between the pause and the arm");
                got.extend_from_slice(chunk.as_slice());
                driver.engine.recycle(chunk);
            }
            Event::RecvPaused { .. } => {
                assert!(!is_paused, "paused twice");
                is_paused = true;
            }
            other => panic!("{}", name(&other)),
        }
        round += 1;
        match round % 7 {
            0 | 3 if !is_paused => driver.engine.pause_recv(key),
            // May overtake the pause, which then never takes effect.
            1 if !is_paused => driver.engine.arm_recv(key),
            _ => {}
        }
        if is_paused {
            driver.engine.arm_recv(key);
            is_paused = false;
        }
    }
    assert!(got == bytes);
    writer.join().unwrap();
    driver.finish();
}

pub(crate) fn an_arm_cancels_the_pause_and_a_second_pause_is_nothing<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.pause_recv(key);
    driver.quiet();
    driver.engine.arm_recv(key);
    driver.engine.pause_recv(key);
    driver.engine.arm_recv(key);
    driver.engine.arm_recv(key);
    client.write_all(b"on").unwrap();
    assert_eq!(driver.receive_exactly(key, 2), b"on");
    driver.quiet();
    driver.engine.pause_recv(key);
    driver.engine.pause_recv(key);
    driver.paused(key);
    driver.engine.pause_recv(key);
    client.write_all(b"off").unwrap();
    driver.quiet();
    driver.finish();
}

pub(crate) fn a_peer_that_ends_during_a_pause_is_told_of_after_it<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    driver.engine.pause_recv(key);
    driver.paused(key);
    client.write_all(b"last words").unwrap();
    drop(client);
    driver.quiet();
    driver.engine.arm_recv(key);
    assert_eq!(driver.receive_exactly(key, 10), b"last words");
    driver.peer_finished(key);
    driver.finish();
}

/// Two hundred chunks wait on one connection, and one on the next.
pub(crate) fn a_connection_has_its_turn_before_another_is_read_to_the_end<E: Engine>() {
    let config = EngineConfig {
        chunk_bytes: 512,
        chunks: 64,
        ..small()
    };
    let mut driver = Driver::<E>::with(&config);
    let (full, mut filling) = driver.session();
    let (short, mut client) = driver.session();
    filling.write_all(&pattern(200 * 512)).unwrap();
    client.write_all(b"me too").unwrap();
    driver.engine.arm_recv(full);
    driver.engine.arm_recv(short);
    let mut before = 0;
    driver.until(|engine, event| match event {
        Event::Received { key, chunk } => {
            before += usize::from(key == full);
            engine.recycle(chunk);
            key == short
        }
        other => panic!("{}", name(&other)),
    });
    assert!(before <= 100, "{before} chunks went before");
    driver.receive_exactly(full, (200 - before) * 512);
    driver.finish();
}

const PINGS: usize = 50;
const PING: &[u8; 4] = b"ping";

/// Has each client ask and be answered so often, once the flood has begun.
fn ping_behind(
    mut clients: Vec<TcpStream>,
    is_flooding: mpsc::Receiver<()>,
) -> JoinHandle<Vec<TcpStream>> {
    std::thread::spawn(move || {
        is_flooding.recv().unwrap();
        for _ in 0..PINGS {
            for client in &mut clients {
                client.write_all(PING).unwrap();
            }
            for client in &mut clients {
                client.read_exact(&mut [0; PING.len()]).unwrap();
            }
        }
        // The last sends may be told only now, and must not meet the end of the connections.
        clients
    })
}

/// A connection that always has bytes to read must not keep others from theirs.
pub(crate) fn a_flood_does_not_starve_the_others<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (flood, mut flooder) = driver.session();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = std::thread::spawn(move || {
        let bytes = pattern(256 * 1024);
        while !stopped.load(Ordering::Relaxed) && flooder.write_all(&bytes).is_ok() {}
    });
    let sessions = driver.sessions(10);
    let (keys, clients): (Vec<_>, Vec<_>) = sessions.into_iter().unzip();
    let (flooding, is_flooding) = mpsc::channel::<()>();
    let pinger = ping_behind(clients, is_flooding);
    for key in keys.iter().chain([&flood]) {
        driver.engine.arm_recv(*key);
    }
    // A client may have the answer, and ask again, before it is told that the answer was sent. One
    // send of a connection may be under way.
    let mut waiting = HashMap::new();
    let mut answered = 0;
    let mut flooded = 0;
    driver.until(|engine, event| {
        match event {
            Event::Received { key, chunk } if key == flood => {
                flooded += chunk.len();
                engine.recycle(chunk);
                if flooded > MIB {
                    let _ = flooding.send(());
                }
            }
            Event::Received { key, chunk } => {
                match waiting.entry(key) {
                    Entry::Vacant(free) => {
                        free.insert(Vec::new());
                        engine.send(key, batch(chunk.as_slice()));
                    }
                    Entry::Occupied(mut sending) => {
                        sending.get_mut().extend_from_slice(chunk.as_slice());
                    }
                }
                engine.recycle(chunk);
            }
            Event::Sent {
                key,
                batch: sent,
                result,
            } => {
                result.unwrap();
                answered += sent.bytes() / PING.len();
                match waiting.remove(&key) {
                    Some(more) if !more.is_empty() => {
                        waiting.insert(key, Vec::new());
                        engine.send(key, batch(&more));
                    }
                    _ => {}
                }
            }
            event => panic!("{}", name(&event)),
        }
        answered == PINGS * keys.len()
    });
    let _clients = pinger.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    driver.engine.close(flood, CloseMode::Abort);
    driver.until(|_, event| matches!(event, Event::Closed { .. }));
    writer.join().unwrap();
    driver.finish();
}
