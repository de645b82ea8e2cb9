//! Connections come about: accepted, handed over, asked for, refused.

use crate::driver::{Driver, PATIENCE, QUIET, batch, name, reset, small};
use fastport_engine::{
    CloseMode, Engine, EngineError, Event, ListenConfig, SocketOptions, Wait, Wake,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

fn options() -> SocketOptions {
    SocketOptions::default()
}

pub(crate) fn an_accepted_connection_echoes<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    assert_eq!(
        driver.engine.peer_address(key).unwrap(),
        client.local_addr().unwrap()
    );
    driver.engine.arm_recv(key);
    for message in [&b"hello"[..], b"again", b"and again"] {
        client.write_all(message).unwrap();
        let chunk = driver.received(key);
        assert_eq!(chunk.as_slice(), message);
        driver.engine.recycle(chunk);
        driver.engine.send(key, batch(message));
        let sent = driver.sent(key);
        assert_eq!((sent.bytes(), sent.pieces().len()), (message.len(), 1));
        let mut echo = vec![0; message.len()];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, message);
    }
    driver.close(key);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(driver.engine.open_keys(), 1);
    driver.finish();
}

pub(crate) fn nothing_is_received_before_it_is_armed<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    client.write_all(b"early").unwrap();
    driver.quiet();
    driver.engine.arm_recv(key);
    assert_eq!(driver.received(key).as_slice(), b"early");
    driver.finish();
}

pub(crate) fn a_deferred_connection_is_told_with_its_first_bytes<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let on = ListenConfig {
        defer_accept: Duration::from_secs(60),
        ..ListenConfig::new((Ipv4Addr::LOCALHOST, 0).into())
    };
    let (listener, address) = driver.engine.listen(&on).unwrap();
    driver.engine.close(driver.listener, CloseMode::Orderly);
    assert!(matches!(driver.event(), Event::Closed { key } if key == driver.listener));
    (driver.listener, driver.address) = (listener, address);
    let mut client = TcpStream::connect(address).unwrap();
    if cfg!(target_os = "linux") {
        driver.quiet();
    }
    client.write_all(b"hello").unwrap();
    let socket = driver.accepted();
    let key = driver.engine.adopt(socket, &options()).unwrap();
    driver.engine.arm_recv(key);
    assert_eq!(driver.received(key).as_slice(), b"hello");
    driver.finish();
}

pub(crate) fn a_connect_stands_and_carries_bytes<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    let key = driver.engine.connect(to, &options()).unwrap();
    // Armed before it stands: it counts from when it does.
    driver.engine.arm_recv(key);
    driver.engine.submit().unwrap();
    let (mut peer, _) = server.accept().unwrap();
    peer.write_all(b"welcome").unwrap();
    assert!(matches!(driver.event(), Event::Connected { key: of } if of == key));
    assert_eq!(driver.received(key).as_slice(), b"welcome");
    assert_eq!(driver.engine.peer_address(key).unwrap(), to);
    driver.engine.send(key, batch(b"thanks"));
    driver.sent(key);
    let mut bytes = [0; 6];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"thanks");
    driver.finish();
}

pub(crate) fn an_engine_connects_to_itself<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let near = driver.engine.connect(driver.address, &options()).unwrap();
    let socket = driver.accepted();
    let far = driver.engine.adopt(socket, &options()).unwrap();
    assert!(matches!(driver.event(), Event::Connected { key } if key == near));
    driver.engine.arm_recv(far);
    driver.engine.send(near, batch(b"loop"));
    let mut sent = false;
    driver.until(|_, event| match event {
        Event::Sent { key, result, .. } => {
            assert!(key == near && result.is_ok());
            sent = true;
            false
        }
        Event::Received { key, chunk } => {
            assert!(key == far && chunk.as_slice() == b"loop");
            true
        }
        other => panic!("{}", name(&other)),
    });
    if !sent {
        driver.sent(near);
    }
    driver.finish();
}

/// An address at which nobody listens, and that no other test is given meanwhile.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

pub(crate) fn a_refused_connect_fails_once<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (_reserved, to) = nobody();
    let key = driver.engine.connect(to, &options()).unwrap();
    driver.engine.arm_recv(key);
    match driver.event() {
        Event::Failed { key: of, error } => {
            assert_eq!(of, key);
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        other => panic!("{}", name(&other)),
    }
    driver.quiet();
    assert_eq!(driver.engine.open_keys(), 2);
    driver.close(key);
    driver.quiet();
    driver.finish();
}

pub(crate) fn a_connect_closed_at_once_only_closes<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    for mode in [CloseMode::Orderly, CloseMode::Abort] {
        let key = driver.engine.connect(to, &options()).unwrap();
        driver.engine.close(key, mode);
        driver.closed(key);
    }
    driver.quiet();
    driver.finish();
}

/// A listener whose queue is full answers no further attempt, on Linux; elsewhere it may refuse.
pub(crate) fn a_connect_without_an_answer_can_be_given_up<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (server, to) = nobody();
    server.listen(0).unwrap();
    let attempts: Vec<_> = (0..4)
        .map(|_| driver.engine.connect(to, &options()).unwrap())
        .collect();
    let mut answered = 0;
    while let Some(event) = driver.poll(5 * QUIET) {
        match event {
            Event::Connected { .. } => {}
            Event::Failed { .. } if !cfg!(target_os = "linux") => {}
            other => panic!("{}", name(&other)),
        }
        answered += 1;
    }
    if cfg!(target_os = "linux") {
        assert!(answered < attempts.len(), "every attempt was answered");
    }
    let before = driver.engine.in_flight();
    assert!(before >= attempts.len() - answered);
    for key in attempts {
        driver.close(key);
    }
    assert_eq!(driver.engine.open_keys(), 1);
    driver.quiet();
    driver.finish();
}

pub(crate) fn port_zero_becomes_an_address<E: Engine>() {
    let mut driver = Driver::<E>::new();
    assert_ne!(driver.address.port(), 0);
    let on = ListenConfig::new((Ipv4Addr::LOCALHOST, 0).into());
    let (second, address) = driver.engine.listen(&on).unwrap();
    assert_ne!(address, driver.address);
    assert_ne!(second, driver.listener);
    let _client = TcpStream::connect(address).unwrap();
    assert!(matches!(driver.event(), Event::Accepted { listener, .. } if listener == second));
    driver.finish();
}

pub(crate) fn a_port_in_use_is_an_error_that_names_it<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let error = driver.engine.listen(&ListenConfig::new(driver.address));
    let error = error.unwrap_err();
    let EngineError::Listen { address, source } = &error else {
        panic!("{error}")
    };
    assert_eq!(*address, driver.address);
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("another process has the port"));
    assert_eq!(driver.engine.open_keys(), 1);
    driver.session();
    driver.finish();
}

pub(crate) fn a_closed_listener_refuses<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    let waiting = TcpStream::connect(driver.address).unwrap();
    driver.engine.close(driver.listener, CloseMode::Orderly);
    driver.closed(driver.listener);
    let refused = TcpStream::connect(driver.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // What was accepted before stays.
    driver.engine.arm_recv(key);
    client.write_all(b"still here").unwrap();
    assert_eq!(driver.received(key).as_slice(), b"still here");
    driver.quiet();
    drop(waiting);
    driver.finish();
}

pub(crate) fn an_accepted_socket_that_is_dropped_is_closed<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let mut client = TcpStream::connect(driver.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(driver.accepted());
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(driver.engine.open_keys(), 1);
    driver.finish();
}

pub(crate) fn an_accepted_socket_may_go_to_another_worker<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (sockets, there) = mpsc::channel::<E::Accepted>();
    let (ready, wakers) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let mut driver = Driver::<E>::with(&small());
        ready.send(driver.engine.waker()).unwrap();
        driver.engine.submit_and_wait(Wait::Forever).unwrap();
        let socket = there.recv().unwrap();
        let key = driver.engine.adopt(socket, &options()).unwrap();
        driver.engine.arm_recv(key);
        let chunk = driver.received(key);
        driver.engine.send(key, batch(chunk.as_slice()));
        driver.sent(key);
        driver.close(key);
        driver.finish();
    });
    let waker = wakers.recv().unwrap();
    let mut client = TcpStream::connect(driver.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    sockets.send(driver.accepted()).ok().unwrap();
    waker.wake();
    client.write_all(b"over there").unwrap();
    let mut echo = Vec::new();
    // The session closed with nothing unread, so this ends with FIN.
    client.read_to_end(&mut echo).unwrap();
    assert_eq!(echo, b"over there");
    other.join().unwrap();
    driver.finish();
}

pub(crate) fn clients_that_reset_at_once_do_not_end_the_listener<E: Engine>() {
    let mut driver = Driver::<E>::new();
    for _ in 0..200 {
        reset(TcpStream::connect(driver.address).unwrap());
    }
    let mut client = TcpStream::connect(driver.address).unwrap();
    client.write_all(b"I stay").unwrap();
    let mut keys = Vec::new();
    driver.until(|engine, event| match event {
        Event::Accepted { socket, .. } => {
            // A socket that was reset meanwhile may be refused; it is closed then.
            if let Ok(key) = engine.adopt(socket, &options()) {
                engine.arm_recv(key);
                keys.push(key);
            }
            false
        }
        Event::Failed { .. } | Event::PeerFinished { .. } => false,
        Event::Received { chunk, .. } => chunk.as_slice() == b"I stay",
        other => panic!("{}", name(&other)),
    });
    driver.finish();
}
