//! What is particular to completion ports: accepts posted in advance, what an idle connection
//! costs, and that every operation has exactly one notice.
//!
//! What every engine must do is in the conformance suite.
#![cfg(windows)]

#[path = "conformance/driver.rs"]
#[allow(dead_code, reason = "made for the conformance suite")]
mod driver;

use driver::{Driver, PATIENCE, batch, now, pattern, reset, small};
use fastport_engine::{
    CloseMode, Engine, EngineConfig, Event, IocpEngine, Key, ReceiveForm, SocketOptions, Wait,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// Each form of receiving, with and without packets for what succeeds at once.
fn every_setting() -> impl Iterator<Item = EngineConfig> {
    let forms = [
        ReceiveForm::Adaptive,
        ReceiveForm::Direct,
        ReceiveForm::Overlapped,
    ];
    forms.into_iter().flat_map(|receive_form| {
        [true, false].map(|skips| EngineConfig {
            receive_form,
            skip_completions: Some(skips),
            ..small()
        })
    })
}

#[test]
fn an_idle_connection_has_one_operation_and_no_buffer() {
    for config in every_setting() {
        let mut driver = Driver::<IocpEngine>::with(&config);
        let listening = driver.engine.in_flight();
        let mut sessions = driver.sessions(50);
        for (key, _) in &sessions {
            driver.engine.arm_recv(*key);
        }
        driver.quiet();
        assert_eq!(driver.engine.posted_buffers(), 0, "{config:?}");
        assert_eq!(driver.engine.in_flight(), listening + 50, "{config:?}");
        // The same after they were busy.
        for (key, client) in &mut sessions {
            client.write_all(b"ping").unwrap();
            assert_eq!(driver.receive_exactly(*key, 4), b"ping");
            driver.engine.send(*key, batch(b"pong"));
            driver.sent(*key);
            client.read_exact(&mut [0; 4]).unwrap();
        }
        driver.quiet();
        assert_eq!(driver.engine.posted_buffers(), 0, "{config:?}");
        assert_eq!(driver.engine.in_flight(), listening + 50, "{config:?}");
        driver.finish();
    }
}

/// A turn in which nothing happens but what the engine does for itself.
fn settle(driver: &mut Driver<IocpEngine>) {
    driver.engine.submit_and_wait(Wait::Poll).unwrap();
    let event = driver.engine.next_event();
    assert!(event.is_none(), "{:?}", event.as_ref().map(driver::name));
}

/// A connection for which a receive is posted in advance, since bytes kept coming.
fn steady(driver: &mut Driver<IocpEngine>) -> (Key, TcpStream) {
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    let posted = driver.engine.posted_buffers();
    for _ in 0..100 {
        client.write_all(b"ping").unwrap();
        assert_eq!(driver.receive_exactly(key, 4), b"ping");
        driver.engine.send(key, batch(b"pong"));
        driver.sent(key);
        client.read_exact(&mut [0; 4]).unwrap();
        settle(driver);
        if driver.engine.posted_buffers() > posted {
            return (key, client);
        }
    }
    panic!("no receive is posted");
}

#[test]
fn a_connection_whose_bytes_stop_coming_gives_its_buffer_back() {
    let mut driver = Driver::<IocpEngine>::new();
    let listening = driver.engine.in_flight();
    let (key, mut client) = steady(&mut driver);
    let start = now();
    while driver.engine.posted_buffers() > 0 {
        assert!(now() - start < PATIENCE, "the buffer stays posted");
        driver.quiet();
    }
    driver.quiet();
    // It waits without one, and is as good as before.
    assert_eq!(driver.engine.in_flight(), listening + 1);
    client.write_all(b"late").unwrap();
    assert_eq!(driver.receive_exactly(key, 4), b"late");
    client.shutdown(Shutdown::Write).unwrap();
    driver.peer_finished(key);
    driver.finish();
}

#[test]
fn no_more_receives_are_posted_than_allowed() {
    let mut driver = Driver::<IocpEngine>::with(&EngineConfig {
        posted_receives: 1,
        ..small()
    });
    let _first = steady(&mut driver);
    let (second, mut client) = driver.session();
    driver.engine.arm_recv(second);
    for _ in 0..20 {
        client.write_all(b"ping").unwrap();
        assert_eq!(driver.receive_exactly(second, 4), b"ping");
        settle(&mut driver);
        assert!(driver.engine.posted_buffers() <= 1);
    }
    driver.finish();
}

#[test]
fn a_posted_receive_takes_part_of_what_is_longer_than_its_buffer() {
    let mut driver = Driver::<IocpEngine>::new();
    let (key, mut client) = steady(&mut driver);
    let bytes = pattern(50_000);
    client.write_all(&bytes).unwrap();
    assert_eq!(driver.receive_exactly(key, bytes.len()), bytes);
    driver.finish();
}

/// The buffer is the kernel's until its packet has come, whatever happens to the connection.
#[test]
fn a_posted_buffer_comes_back_however_the_connection_ends() {
    let mut driver = Driver::<IocpEngine>::new();
    for mode in [CloseMode::Orderly, CloseMode::Abort] {
        let (key, _client) = steady(&mut driver);
        driver.engine.close(key, mode);
        driver.closed(key);
        assert_eq!(driver.engine.posted_buffers(), 0);
    }
    let (key, client) = steady(&mut driver);
    drop(client);
    driver.peer_finished(key);
    assert_eq!(driver.engine.posted_buffers(), 0);
    driver.close(key);

    let (key, mut client) = steady(&mut driver);
    driver.engine.pause_recv(key);
    driver.paused(key);
    assert_eq!(driver.engine.posted_buffers(), 0);
    client.write_all(b"kept").unwrap();
    driver.quiet();
    driver.engine.arm_recv(key);
    assert_eq!(driver.receive_exactly(key, 4), b"kept");

    // And with the engine's own end while it is posted.
    let _posted = steady(&mut driver);
    driver.finish();
}

#[test]
fn every_accept_is_posted_again_after_ten_thousand_connects_that_reset() {
    const CLIENTS: usize = 10_000;
    let mut driver = Driver::<IocpEngine>::new();
    let posted = driver.engine.posted_accepts(driver.listener);
    assert_eq!(posted, 256);
    let address = driver.address;
    let clients = std::thread::spawn(move || {
        for _ in 0..CLIENTS {
            reset(TcpStream::connect(address).unwrap());
        }
    });
    // Some are gone before they were accepted; those are not told of.
    while !clients.is_finished() {
        driver
            .engine
            .submit_and_wait(Wait::Until(now() + driver::QUIET))
            .unwrap();
        while let Some(event) = driver.engine.next_event() {
            assert!(
                matches!(event, Event::Accepted { .. }),
                "{}",
                driver::name(&event)
            );
        }
    }
    clients.join().unwrap();
    // And they work. The last of those that reset may still come.
    let clients: Vec<_> = (0..300)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"ping").unwrap();
            client
        })
        .collect();
    let mut pings = 0;
    driver.until(|engine, event| {
        match event {
            Event::Accepted { socket, .. } => {
                if let Ok(key) = engine.adopt(socket, &SocketOptions::default()) {
                    engine.arm_recv(key);
                }
            }
            Event::Received { chunk, .. } => {
                assert_eq!(chunk.as_slice(), b"ping");
                pings += 1;
                engine.recycle(chunk);
            }
            _ => {}
        }
        pings == clients.len()
    });
    assert_eq!(driver.engine.posted_accepts(driver.listener), posted);
    driver.finish();
}

#[test]
fn a_closed_listener_gives_every_accept_back() {
    let mut driver = Driver::<IocpEngine>::new();
    let listener = driver.listener;
    driver.engine.close(listener, CloseMode::Orderly);
    driver.closed(listener);
    assert_eq!(driver.engine.posted_accepts(listener), 0);
    assert_eq!(driver.engine.in_flight(), 0);
    driver.finish();
}

/// A notice too many would end an operation that goes on, one too few would leave it for ever.
#[test]
fn every_operation_has_one_notice() {
    for config in every_setting() {
        let mut driver = Driver::<IocpEngine>::with(&config);
        let listening = driver.engine.in_flight();
        let (key, mut client) = driver.session();
        driver.engine.arm_recv(key);
        for round in 0..500 {
            let bytes = pattern(1 + round * 7 % 9000);
            client.write_all(&bytes).unwrap();
            assert_eq!(driver.receive_exactly(key, bytes.len()), bytes);
            driver.engine.send(key, batch(&bytes));
            driver.sent(key);
            client.read_exact(&mut vec![0; bytes.len()]).unwrap();
        }
        driver.quiet();
        assert_eq!(driver.engine.in_flight(), listening + 1, "{config:?}");
        driver.close(key);
        assert_eq!(driver.engine.in_flight(), listening, "{config:?}");
        driver.finish();
    }
}

/// Without SO_UPDATE_ACCEPT_CONTEXT and SO_UPDATE_CONNECT_CONTEXT both fail on Windows.
#[test]
fn accepted_and_connected_sockets_know_their_peer_and_can_be_half_closed() {
    let mut driver = Driver::<IocpEngine>::new();
    let (accepted, mut client) = driver.session();
    let here = client.local_addr().unwrap();
    assert_eq!(driver.engine.peer_address(accepted).unwrap(), here);
    driver.engine.shutdown_write(accepted);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);

    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = far.local_addr().unwrap();
    let connected = driver
        .engine
        .connect(to, &SocketOptions::default())
        .unwrap();
    assert!(matches!(driver.event(), Event::Connected { key } if key == connected));
    assert_eq!(driver.engine.peer_address(connected).unwrap(), to);
    let (mut peer, _) = far.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    driver.engine.shutdown_write(connected);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    driver.finish();
}

/// The wait completes with no bytes for bytes, for the end and at once; only a receive tells.
#[test]
fn a_wait_that_ends_is_not_taken_for_the_end_of_the_stream() {
    for config in every_setting() {
        let mut driver = Driver::<IocpEngine>::with(&config);
        let (key, mut client) = driver.session();
        // Bytes that wait already, then some that come, then the end.
        client.write_all(b"early").unwrap();
        driver.engine.arm_recv(key);
        assert_eq!(driver.receive_exactly(key, 5), b"early");
        driver.quiet();
        client.write_all(b"late").unwrap();
        assert_eq!(driver.receive_exactly(key, 4), b"late");
        driver.quiet();
        client.shutdown(Shutdown::Write).unwrap();
        driver.peer_finished(key);
        driver.finish();
    }
}

#[test]
fn the_port_of_a_listener_is_nobody_elses() {
    let driver = Driver::<IocpEngine>::new();
    let thief = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    thief.set_reuse_address(true).unwrap();
    assert!(thief.bind(&driver.address.into()).is_err());
    driver.finish();
}
