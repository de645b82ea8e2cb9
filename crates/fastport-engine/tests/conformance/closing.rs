//! Connections end: `Closed` comes once and last, whatever was going on, and nothing is left
//! behind.

use crate::driver::{Driver, PATIENCE, QUIET, batch, key_of, name, now, pattern, reset, shared};
use fastport_buffer::SharedFrame;
use fastport_engine::{CloseMode, Drained, Engine, Event, Key, SocketOptions, Wait};
use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

pub(crate) fn a_close_with_an_armed_receive_ends_the_stream<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    driver.quiet();
    driver.close(key);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    driver.quiet();
    driver.finish();
}

pub(crate) fn an_abort_resets<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    driver.engine.close(key, CloseMode::Abort);
    driver.closed(key);
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    driver.finish();
}

pub(crate) fn after_a_close_only_closed_comes<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    driver.engine.submit().unwrap();
    client.write_all(&pattern(40_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // Bytes and the end of the stream are there, and a pause and a send are under way.
    driver.engine.submit_and_wait(Wait::Poll).unwrap();
    driver.engine.send(key, batch(b"unsaid"));
    driver.engine.pause_recv(key);
    driver.engine.close(key, CloseMode::Orderly);
    driver.engine.close(key, CloseMode::Abort);
    driver.engine.arm_recv(key);
    driver.engine.pause_recv(key);
    driver.engine.shutdown_write(key);
    driver.closed(key);
    driver.engine.close(key, CloseMode::Orderly);
    driver.quiet();
    assert_eq!(driver.engine.open_keys(), 1);
    driver.finish();
}

pub(crate) fn a_stale_key_does_nothing<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (old, _gone) = driver.session();
    driver.close(old);
    let (new, mut client) = driver.session();
    assert_eq!(old.index(), new.index(), "the slot is used again");
    assert_ne!(old, new);
    driver.engine.arm_recv(new);
    for _ in 0..2 {
        driver.engine.pause_recv(old);
        driver.engine.shutdown_write(old);
        driver.engine.send(old, batch(b"wrong"));
        driver.engine.close(old, CloseMode::Abort);
        driver.engine.arm_recv(old);
        driver.quiet();
    }
    assert!(driver.engine.peer_address(old).is_err());
    client.write_all(b"alive").unwrap();
    assert_eq!(driver.receive_exactly(new, 5), b"alive");
    driver.engine.send(new, batch(b"right"));
    driver.sent(new);
    let mut got = [0; 5];
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"right");
    driver.finish();
}

/// Each connection's bytes say which it is; slots are used again and again, with bytes still under
/// way.
pub(crate) fn what_a_slot_had_under_way_does_not_reach_its_successor<E: Engine>() {
    const ROUNDS: u8 = 250;
    let mut driver = Driver::<E>::new();
    let mut indices = HashSet::new();
    for round in 0..ROUNDS {
        let (key, mut client) = driver.session();
        indices.insert(key.index());
        driver.engine.arm_recv(key);
        driver.engine.submit().unwrap();
        client.write_all(&[round; 9000]).unwrap();
        let chunk = driver.received(key);
        assert!(chunk.as_slice().iter().all(|byte| *byte == round));
        if round % 3 == 0 {
            driver.engine.send(key, batch(&[round; 500]));
        }
        if round % 5 == 0 {
            driver.engine.pause_recv(key);
        }
        let mode = match round % 2 {
            0 => CloseMode::Orderly,
            _ => CloseMode::Abort,
        };
        // Seven thousand bytes are unread, or about to be.
        driver.close(key);
        driver.engine.close(key, mode);
        drop(chunk);
    }
    assert!(indices.len() <= 2, "slots are not used again: {indices:?}");
    driver.quiet();
    driver.finish();
}

/// Small and good enough to choose what happens next (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005);
        self.0 = self.0.wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

/// What was heard of one connection.
#[derive(Default)]
struct Story {
    closing: bool,
    closed: bool,
    sending: bool,
}

/// Connections, each closed at a random point by either side.
struct Churn<E: Engine> {
    driver: Driver<E>,
    dice: Dice,
    stories: HashMap<Key, Story>,
    clients: Vec<TcpStream>,
    frame: SharedFrame,
}

impl<E: Engine> Churn<E> {
    fn on_event(&mut self, event: Event<E::Accepted>) {
        let Some(key) = key_of(&event) else {
            let Event::Accepted { socket, .. } = event else {
                panic!("{}", name(&event))
            };
            let key = self.driver.engine.adopt(socket, &SocketOptions::default());
            let key = key.unwrap();
            self.stories.insert(key, Story::default());
            return self.act(key);
        };
        let story = self.stories.get_mut(&key).unwrap();
        assert!(!story.closed, "{} after the close", name(&event));
        if story.closing {
            assert!(matches!(event, Event::Closed { .. }), "{}", name(&event));
        }
        match event {
            Event::Closed { .. } => {
                assert!(story.closing, "closed without being asked");
                story.closed = true;
                return;
            }
            Event::Failed { .. } => return self.close(key),
            Event::Sent { ref result, .. } => {
                story.sending = false;
                if result.is_err() {
                    return self.close(key);
                }
            }
            _ => {}
        }
        self.act(key);
    }

    fn act(&mut self, key: Key) {
        let engine = &mut self.driver.engine;
        match self.dice.roll(8) {
            0 => engine.pause_recv(key),
            1 => engine.shutdown_write(key),
            2 => self.close(key),
            3 if !self.clients.is_empty() => {
                let index = self.dice.roll(self.clients.len() as u64);
                let mut client = self.clients.swap_remove(usize::try_from(index).unwrap());
                match self.dice.roll(3) {
                    0 => reset(client),
                    1 => drop(client),
                    _ => _ = client.write(&self.frame[..20_000]),
                }
            }
            4 | 5 => {
                let story = self.stories.get_mut(&key).unwrap();
                if !story.sending && !story.closing {
                    story.sending = true;
                    engine.send(key, shared(&self.frame));
                }
            }
            _ => engine.arm_recv(key),
        }
    }

    fn close(&mut self, key: Key) {
        let mode = match self.dice.roll(2) {
            0 => CloseMode::Orderly,
            _ => CloseMode::Abort,
        };
        self.stories.get_mut(&key).unwrap().closing = true;
        self.driver.engine.close(key, mode);
    }
}

pub(crate) fn a_thousand_connections_close_once_and_last_wherever_they_are<E: Engine>() {
    let mut churn = Churn::<E> {
        driver: Driver::new(),
        dice: Dice(20_260_101),
        stories: HashMap::new(),
        clients: Vec::new(),
        frame: pattern(300_000).into(),
    };
    for _ in 0..1000 {
        let mut client = TcpStream::connect(churn.driver.address).unwrap();
        client.set_nonblocking(true).unwrap();
        // Fails where the peer is gone already.
        let _ = client.write(&churn.frame[..5000]);
        churn.clients.push(client);
        churn.driver.engine.submit_and_wait(Wait::Poll).unwrap();
        while let Some(event) = churn.driver.engine.next_event() {
            churn.on_event(event);
        }
    }
    while churn.stories.len() < 1000 {
        let event = churn.driver.event();
        churn.on_event(event);
    }
    let mut open: Vec<Key> = churn.stories.keys().copied().collect();
    open.retain(|key| !churn.stories[key].closing);
    for key in open {
        churn.close(key);
    }
    while churn.stories.values().any(|story| !story.closed) {
        let event = churn.driver.event();
        churn.on_event(event);
    }
    churn.driver.quiet();
    assert_eq!(churn.driver.engine.open_keys(), 1);
    churn.driver.finish();
}

pub(crate) fn nothing_stays_in_flight<E: Engine>() {
    let mut driver = Driver::<E>::new();
    driver.quiet();
    let idle = driver.engine.in_flight();
    let sessions = driver.sessions(20);
    for (key, _) in &sessions {
        driver.engine.arm_recv(*key);
        driver.engine.send(*key, batch(&vec![1; 8 << 20]));
    }
    driver.quiet();
    assert!(driver.engine.in_flight() >= idle + 20);
    assert_eq!(driver.engine.open_keys(), 21);
    for (key, _) in &sessions {
        driver.engine.close(*key, CloseMode::Orderly);
    }
    let mut open: HashSet<Key> = sessions.iter().map(|(key, _)| *key).collect();
    driver.until(|_, event| match event {
        Event::Closed { key } => {
            assert!(open.remove(&key), "closed twice");
            open.is_empty()
        }
        other => panic!("{}", name(&other)),
    });
    assert_eq!(driver.engine.in_flight(), idle);
    assert_eq!(driver.engine.open_keys(), 1);
    driver.finish();
}

pub(crate) fn a_drain_in_the_middle_of_everything_is_clean<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let mut clients = Vec::new();
    for (index, (key, client)) in driver.sessions(100).into_iter().enumerate() {
        driver.engine.arm_recv(key);
        if index % 10 == 0 {
            driver.engine.send(key, batch(&vec![1; 8 << 20]));
        }
        clients.push(client);
    }
    let far = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let to = far.local_addr().unwrap();
    for _ in 0..5 {
        let connect = driver.engine.connect(to, &SocketOptions::default());
        connect.unwrap();
    }
    clients.push(TcpStream::connect(driver.address).unwrap());
    clients[50].write_all(b"unread").unwrap();
    driver.engine.submit_and_wait(Wait::Poll).unwrap();
    let address = driver.address;
    let drained = driver.engine.drain(now() + PATIENCE);
    assert_eq!(drained, Drained::Clean);
    for (index, mut client) in clients.into_iter().enumerate() {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let outcome = client.read_to_end(&mut Vec::new());
        let timed_out = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        assert!(!outcome.as_ref().is_err_and(timed_out), "{index} is open");
    }
    assert!(TcpStream::connect(address).is_err());
}

pub(crate) fn an_engine_dropped_without_a_drain_closes_its_sockets<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let mut sessions = driver.sessions(10);
    for (key, _) in &sessions {
        driver.engine.arm_recv(*key);
    }
    assert!(driver.poll(QUIET).is_none());
    drop(driver.engine);
    for (_, client) in &mut sessions {
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
}
