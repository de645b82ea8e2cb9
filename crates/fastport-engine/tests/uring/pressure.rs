//! Queues and buffers that are too small for what comes in.

use super::*;

/// Two buffers, a hundred connections, and a holder that keeps what it got: nobody's bytes are
/// lost, and the worker does not spin while it starves.
#[test]
fn connections_starve_quietly_and_recover() {
    let mut rig = Rig::new(&EngineConfig {
        chunks: 2,
        ..small()
    });
    let mut sessions = rig.sessions(100);
    for (index, (key, client)) in sessions.iter_mut().enumerate() {
        rig.engine.arm_recv(*key);
        client.write_all(&[index as u8; 3]).unwrap();
    }
    let mut seen: HashMap<Key, Vec<u8>> = HashMap::new();
    let mut held = Vec::new();
    let enters = rig.engine.enters();
    while let Some(event) = rig.poll(Duration::from_millis(100)) {
        let Event::Received { key, chunk } = event else {
            panic!("{event:?}")
        };
        seen.entry(key).or_default().extend(chunk.as_slice());
        held.push(chunk);
    }
    assert_eq!(held.len(), 2);
    assert!(rig.engine.is_chunk_scarce());
    let spent = rig.engine.enters() - enters;
    assert!(spent < 50, "{spent} system calls while starving");
    // Given back on another thread, without a wake-up.
    std::thread::spawn(move || drop(held)).join().unwrap();
    while seen.values().map(Vec::len).sum::<usize>() < 300 {
        let Event::Received { key, chunk } = rig.event() else {
            panic!("not bytes")
        };
        seen.entry(key).or_default().extend(chunk.as_slice());
        rig.engine.recycle(chunk);
    }
    for (index, (key, _)) in sessions.iter().enumerate() {
        assert_eq!(seen[key], [index as u8; 3]);
    }
    rig.engine.close(sessions[0].0, CloseMode::Orderly);
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_starved_connection_can_be_paused_and_closed() {
    let mut rig = Rig::new(&EngineConfig {
        chunks: 2,
        ..small()
    });
    let mut sessions = rig.sessions(4);
    for (key, client) in &mut sessions {
        rig.engine.arm_recv(*key);
        client.write_all(b"x").unwrap();
    }
    let mut held = Vec::new();
    while let Some(Event::Received { key, chunk }) = rig.poll(Duration::from_millis(30)) {
        held.push((key, chunk));
    }
    assert_eq!(held.len(), 2);
    let starved: Vec<Key> = (sessions.iter().map(|(key, _)| *key))
        .filter(|key| held.iter().all(|(of, _)| of != key))
        .collect();
    rig.engine.pause_recv(starved[0]);
    assert!(matches!(rig.event(), Event::RecvPaused { key } if key == starved[0]));
    rig.close(starved[1]);
    for (_, chunk) in held {
        rig.engine.recycle(chunk);
    }
    assert!(rig.poll(Duration::from_millis(30)).is_none());
    rig.engine.arm_recv(starved[0]);
    assert_eq!(rig.received(starved[0]).as_slice(), b"x");
}

/// A completion queue of 8 entries overflows and cuts every multishot; no byte and no end is lost,
/// and the end comes last.
#[test]
fn a_tiny_completion_queue_loses_nothing() {
    const BYTES: usize = 64 * 1024;
    let mut rig = Rig::new(&EngineConfig {
        completion_entries: Some(8),
        submission_entries: 8,
        chunk_bytes: 256,
        chunks: 64,
        ..small()
    });
    let mut clients = Vec::new();
    let mut seen: HashMap<Key, usize> = HashMap::new();
    for (key, client) in rig.sessions(64) {
        rig.engine.arm_recv(key);
        seen.insert(key, 0);
        clients.push(client);
    }
    let writer = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
        for client in &mut clients {
            client.write_all(&bytes).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        clients
    });
    let mut finished = 0;
    while finished < 64 {
        match rig.event() {
            Event::Received { key, chunk } => {
                let at = seen.get_mut(&key).unwrap();
                for byte in chunk.as_slice() {
                    assert_eq!(usize::from(*byte), *at % 253);
                    *at += 1;
                }
                rig.engine.recycle(chunk);
            }
            Event::PeerFinished { key } => {
                assert_eq!(seen[&key], BYTES);
                finished += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let overflows = rig.engine.overflows();
    assert!(overflows > 0, "the test did not overflow the queue");
    drop(writer.join().unwrap());
    assert_eq!(rig.drain(), Drained::Clean);
}

/// Pauses and resumes at random while more comes in than the queues and buffers hold.
#[test]
fn random_pauses_under_pressure_lose_and_reorder_nothing() {
    const BYTES: usize = 128 * 1024;
    const SESSIONS: usize = 16;
    let mut rig = Rig::new(&EngineConfig {
        completion_entries: Some(8),
        submission_entries: 4,
        chunk_bytes: 512,
        chunks: 8,
        ..small()
    });
    let (keys, clients): (Vec<_>, Vec<_>) = rig.sessions(SESSIONS).into_iter().unzip();
    for key in &keys {
        rig.engine.arm_recv(*key);
    }
    let writers = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            let bytes: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
            client.write_all(&bytes).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            client
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut seen: HashMap<Key, usize> = keys.iter().map(|key| (*key, 0)).collect();
    let (mut random, mut pauses, mut finished) = (12_345u32, 0, 0);
    while finished < SESSIONS {
        match rig.event() {
            Event::Received { key, chunk } => {
                let at = seen.get_mut(&key).unwrap();
                for byte in chunk.as_slice() {
                    assert_eq!(usize::from(*byte), *at % 253);
                    *at += 1;
                }
                rig.engine.recycle(chunk);
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match random >> 29 {
                    0 | 1 => rig.engine.pause_recv(key),
                    2 => {
                        rig.engine.pause_recv(key);
                        rig.engine.arm_recv(key);
                    }
                    3 => {
                        rig.engine.pause_recv(key);
                        rig.engine.arm_recv(key);
                        rig.engine.pause_recv(key);
                    }
                    _ => {}
                }
            }
            Event::RecvPaused { key } => {
                pauses += 1;
                rig.engine.arm_recv(key);
            }
            Event::PeerFinished { key } => {
                assert_eq!(seen[&key], BYTES);
                finished += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pauses > SESSIONS, "only {pauses} pauses took effect");
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(kernel_workers(), 0);
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_submission_queue_of_four_takes_any_number_of_operations() {
    let mut rig = Rig::new(&EngineConfig {
        submission_entries: 4,
        completion_entries: Some(16),
        ..small()
    });
    let mut sessions = rig.sessions(200);
    for (index, (key, _)) in sessions.iter().enumerate() {
        rig.engine.arm_recv(*key);
        let mut batch = batch(&[index as u8; 10]);
        batch.push(Piece::Shared(vec![1, 2, 3].into(), 0..3));
        rig.engine.send(*key, batch);
    }
    for _ in 0..200 {
        assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
    }
    for (index, (_, client)) in sessions.iter_mut().enumerate() {
        let mut bytes = [0; 13];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..10], [index as u8; 10]);
        assert_eq!(bytes[10..], [1, 2, 3]);
    }
    for (key, _) in &sessions {
        rig.engine.close(*key, CloseMode::Orderly);
    }
    for _ in 0..200 {
        assert!(matches!(rig.event(), Event::Closed { .. }));
    }
    assert_eq!(rig.engine.open_keys(), 1);
}
