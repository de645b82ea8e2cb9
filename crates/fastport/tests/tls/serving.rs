//! Sessions with TLS do what plain ones do.

use super::world::{NAME, TlsPeer, World, dial, echo, host, serve, try_dial, until};
use crate::harness::{
    Host, ID, LIMIT, Peer, Recorder, Seen, Setup, frame, pattern, resuming_client,
};
use fastport::tls::rustls::pki_types::ServerName;
use fastport::tls::rustls::{CipherSuite, ClientConnection, ProtocolVersion, version};
use fastport::{
    AddressSet, ClientState, CloseReason, Conversation, Packet, Resumable, ResumeConfig,
    ResumeHandler, Session,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) fn an_echo_comes_back_as_it_was(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    peer.send(b"from rustls");
    assert_eq!(peer.receive(), b"from rustls");
    let client = dial(setup, host.address(), &world.client());
    client.send(b"from here");
    assert_eq!(client.receive(), b"from here");
    let info = client.session.tls().expect("a session with TLS");
    assert_eq!(info.version, ProtocolVersion::TLSv1_3);
    assert_eq!(info.suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert!(!info.certificates.is_empty());
    let stats = host.server.stats();
    assert_eq!((stats.accepted, stats.tls_handshakes), (2, 2));
    assert_eq!(stats.tls_in_progress, 0);
}

pub(crate) fn many_are_in_flight(setup: Setup) {
    const COUNT: usize = 3000;
    let world = World::new();
    let host = echo(setup, &world.server());
    let client = dial(setup, host.address(), &world.client());
    let sender = client.session.clone();
    let sends = std::thread::spawn(move || {
        for number in 0..COUNT {
            let _ = sender
                .send_bytes(ID, &pattern(number, 1 + number % 200))
                .unwrap();
        }
    });
    for number in 0..COUNT {
        assert_eq!(
            client.receive(),
            pattern(number, 1 + number % 200),
            "{number}"
        );
    }
    sends.join().unwrap();
}

pub(crate) fn messages_of_all_sizes_are_whole(setup: Setup) {
    let sizes = [
        0, 1, 4, 4091, 4092, 4096, 16_379, 16_380, 16_384, 16_385, 32_768, 65_530, 65_531,
    ];
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    for bytes in sizes {
        peer.send(&pattern(bytes, bytes));
        assert_eq!(peer.receive(), pattern(bytes, bytes), "{bytes} bytes");
    }
    // All at once, by both clients' ways of putting records together.
    let client = dial(setup, host.address(), &world.client());
    for bytes in sizes {
        client.send(&pattern(bytes, bytes));
    }
    for bytes in sizes {
        assert_eq!(client.receive(), pattern(bytes, bytes), "{bytes} bytes");
    }
}

/// The handshake and the data come a byte at a time, in records as small as may be.
pub(crate) fn what_came_may_be_cut_at_every_byte(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut socket = TcpStream::connect(host.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let mut config = world.client_config();
    config.max_fragment_size = Some(32);
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    tls.writer().write_all(&frame(ID, b"in pieces")).unwrap();
    let mut answer = Vec::new();
    while answer.len() < 13 {
        let mut words = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut words).unwrap();
        }
        for byte in words {
            socket.write_all(&[byte]).unwrap();
        }
        if tls.wants_read() {
            let read = tls.read_tls(&mut socket).expect("the server goes on");
            assert!(read > 0, "the server ended it");
            tls.process_new_packets().unwrap();
        }
        let mut part = [0; 64];
        if let Ok(bytes) = tls.reader().read(&mut part) {
            answer.extend_from_slice(&part[..bytes]);
        }
    }
    assert_eq!(answer, frame(ID, b"in pieces"));
}

pub(crate) fn a_peer_that_does_not_read_is_waited_for(setup: Setup) {
    const PART: usize = 60_000;
    const PARTS: usize = 200;
    let world = World::new();
    let host = echo(setup, &world.server());
    let peer = world.peer(host.address());
    let TlsPeer { mut stream } = peer;
    // The handshake first, then both directions at once.
    stream.write_all(&frame(ID, b"")).unwrap();
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let (mut tls, socket) = stream.into_parts();
    let mut cipher = Vec::new();
    for number in 0..PARTS {
        tls.writer()
            .write_all(&frame(ID, &pattern(number, PART)))
            .unwrap();
        while tls.wants_write() {
            tls.write_tls(&mut cipher).unwrap();
        }
    }
    let mut sends = socket.try_clone().unwrap();
    let sender = std::thread::spawn(move || sends.write_all(&cipher).unwrap());
    // Until then more than the queues hold has been sent.
    until(|| host.server.stats().pauses > 0);
    let mut peer = TlsPeer {
        stream: fastport::tls::rustls::StreamOwned::new(tls, socket),
    };
    for number in 0..PARTS {
        assert_eq!(peer.receive(), pattern(number, PART), "{number}");
    }
    sender.join().unwrap();
}

pub(crate) fn tls_1_2_is_spoken_as_well(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = TlsPeer::with(world.client_config_of(&[&version::TLS12]), host.address());
    for bytes in [1, 60_000] {
        peer.send(&pattern(3, bytes));
        assert_eq!(peer.receive(), pattern(3, bytes));
    }
    let info = host.accepted().tls().unwrap();
    assert_eq!(info.version, ProtocolVersion::TLSv1_2);
    peer.end_tls();
    drop(peer);
    assert_eq!(host.reason(), CloseReason::PeerClosed);
}

pub(crate) fn keys_may_change(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    for round in 0..5 {
        peer.send(&pattern(round, 2000));
        assert_eq!(peer.receive(), pattern(round, 2000));
        peer.stream.conn.refresh_traffic_keys().unwrap();
    }
}

pub(crate) fn a_broadcast_reaches_plain_and_encrypted_sessions(setup: Setup) {
    const SESSIONS: usize = 3;
    let world = World::new();
    let host = echo(setup, &world.server());
    let service = host.server.service();
    let (seen, sees) = channel();
    let plain = Recorder {
        seen: Mutex::new(seen),
        act: Box::new(|session, packet| {
            let _ = session.forward(&packet);
        }),
    };
    let plain_address = service
        .listen(([127, 0, 0, 1], 0).into(), Arc::new(plain))
        .unwrap();
    let mut peers: Vec<_> = (0..SESSIONS).map(|_| world.peer(host.address())).collect();
    for peer in &mut peers {
        peer.send(b"here");
        assert_eq!(peer.receive(), b"here");
    }
    let mut other = Peer::connect(plain_address);
    other.send(b"here");
    assert_eq!(other.receive(), b"here");
    assert!(matches!(sees.recv_timeout(LIMIT), Ok(Seen::Accepted(_))));
    for bytes in [10, 5000, 60_000] {
        service
            .everyone()
            .broadcast_bytes(ID, &pattern(1, bytes))
            .unwrap();
        for peer in &mut peers {
            assert_eq!(peer.receive(), pattern(1, bytes));
        }
        assert_eq!(other.receive(), pattern(1, bytes));
    }
}

/// What each thread sends arrives in its order, and nothing is torn.
pub(crate) fn many_threads_send_to_one_session(setup: Setup) {
    const THREADS: usize = 4;
    const EACH: usize = 300;
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    peer.send(b"begin");
    assert_eq!(peer.receive(), b"begin");
    let session = host.accepted();
    let sends = |thread: usize| {
        let session: Session = session.clone();
        std::thread::spawn(move || {
            for number in 0..EACH {
                let mut payload = vec![thread as u8; 2 + number % 1500];
                payload[1] = (number % 256) as u8;
                while session.send_bytes(ID, &payload).is_ok_and(|status| {
                    status == fastport::SendStatus::Backpressure && session.queued_bytes() > 800_000
                }) {
                    std::thread::yield_now();
                }
            }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(sends).collect();
    let mut next = [0; THREADS];
    for _ in 0..THREADS * EACH {
        let payload = peer.receive();
        let thread = usize::from(payload[0]);
        assert_eq!(usize::from(payload[1]), next[thread] % 256);
        assert!(payload[2..].iter().all(|byte| usize::from(*byte) == thread));
        next[thread] += 1;
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

pub(crate) fn a_heartbeat_is_answered(setup: Setup) {
    let world = World::new();
    let beats = |config: &mut fastport::ServiceConfig| {
        config.session.heartbeat_interval = Duration::from_millis(60);
    };
    let host = host(setup, &world.server(), beats, |_, _| {});
    let client = dial(setup, host.address(), &world.client());
    let session = host.accepted();
    until(|| session.round_trip().is_some());
    assert!(client.session.is_connected());
}

struct EchoAll;

impl ResumeHandler for EchoAll {
    fn on_packet(&self, conversation: &Conversation, packet: Packet<'_>) {
        let _ = conversation.send_bytes(packet.id(), packet.payload());
    }
}

pub(crate) fn a_session_goes_on_with_its_next_connection(setup: Setup) {
    let world = World::new();
    let handler = Resumable::new(ResumeConfig::default(), EchoAll).unwrap();
    let server = serve(setup, &world.server(), |_| {}, handler);
    let (client, receives, stands) = resuming_client(setup, &server, |config| {
        config.tls = Some(world.client());
    });
    client.send_bytes(ID, b"first").unwrap();
    assert_eq!(receives.recv_timeout(LIMIT).unwrap(), b"first");
    // The connection breaks.
    server.service().for_each_session(|session| {
        session.disconnect_with(CloseReason::MemoryLimit);
    });
    client.send_bytes(ID, b"second").unwrap();
    assert_eq!(receives.recv_timeout(LIMIT).unwrap(), b"second");
    let resumed = |state: &ClientState| *state == ClientState::Connected { resumed: true };
    while !resumed(&stands.recv_timeout(LIMIT).expect("it did not come back")) {}
    client.close();
}

pub(crate) fn a_proxy_header_comes_before_tls(setup: Setup) {
    let world = World::new();
    let change = |config: &mut fastport::ServiceConfig| {
        config.protection.proxies = AddressSet::loopback();
    };
    let host: Host = host(setup, &world.server(), change, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut socket = TcpStream::connect(host.address()).unwrap();
    socket
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n")
        .unwrap();
    let mut peer = TlsPeer::over(world.client_config(), socket);
    peer.send(b"through");
    assert_eq!(peer.receive(), b"through");
    assert_eq!(
        host.accepted().peer_address(),
        "192.0.2.7:5000".parse().unwrap()
    );
    // TLS before the header is no header.
    assert_eq!(
        try_dial(setup, host.address(), &world.client(), |_| {}).err(),
        Some(CloseReason::Tls(fastport::TlsFailure::Ended))
    );
}
