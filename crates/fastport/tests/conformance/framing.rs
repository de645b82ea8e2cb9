//! Frames: cut, packed, large, wrong, unknown.

use super::harness::{ID, Random, Setup, frame, pattern};
use fastport::protocol::tests::EchoRequest;
use fastport::{CloseReason, FrameError, PacketId, Router, Server, Undecodable};

pub(crate) fn frames_may_be_cut_at_every_byte(setup: Setup) {
    let host = setup.echo();
    let payloads = [b"".to_vec(), b"x".to_vec(), pattern(3, 20), pattern(4, 7)];
    let stream: Vec<u8> = payloads
        .iter()
        .flat_map(|payload| frame(ID, payload))
        .collect();
    let mut peer = host.connect();
    for cut in 0..=stream.len() {
        peer.write(&stream[..cut]);
        // The first part is parsed on its own when its last whole frame has come back.
        let whole = (0..=payloads.len())
            .rev()
            .find(|count| {
                payloads[..*count]
                    .iter()
                    .map(|p| p.len() + 4)
                    .sum::<usize>()
                    <= cut
            })
            .unwrap();
        for payload in &payloads[..whole] {
            assert_eq!(&peer.receive(), payload, "cut at {cut}");
        }
        peer.write(&stream[cut..]);
        for payload in &payloads[whole..] {
            assert_eq!(&peer.receive(), payload, "cut at {cut}");
        }
    }
}

pub(crate) fn a_thousand_pipelined_frames_are_answered_in_order(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let payloads: Vec<_> = (0..1000)
        .map(|number| pattern(number, number % 97))
        .collect();
    let stream: Vec<u8> = payloads
        .iter()
        .flat_map(|payload| frame(ID, payload))
        .collect();
    peer.write(&stream);
    for payload in &payloads {
        assert_eq!(&peer.receive(), payload);
    }
    assert_eq!(host.server.stats().packets_in, 1000);
}

pub(crate) fn frames_of_every_size_class_come_back(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let mut random = Random(42);
    for round in 0..150 {
        let bytes = random.below([16, 300, 5000, 40_000][round % 4]);
        let payload = pattern(round, bytes);
        peer.send(&payload);
        assert!(peer.receive() == payload, "{bytes} bytes");
    }
}

pub(crate) fn the_largest_frames_come_back(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    for round in 0..20 {
        let payload = pattern(round, 65_531);
        peer.send(&payload);
        assert!(peer.receive() == payload, "round {round}");
    }
}

pub(crate) fn a_frame_below_the_header_ends_the_session_after_two_bytes(setup: Setup) {
    let host = setup.echo();
    for size in 0..4 {
        let mut peer = host.connect();
        peer.write(&[0, size]);
        let error = FrameError::TooSmall { bytes: size.into() };
        assert_eq!(host.reason(), CloseReason::Protocol(error));
        assert_eq!(peer.drain().0, b"");
    }
}

pub(crate) fn a_frame_above_the_configured_maximum_ends_the_session(setup: Setup) {
    let host = setup.host(|config| config.session.frame_bytes_max = 100, |_, _| {});
    let mut peer = host.connect();
    peer.write(&[0, 101]);
    let error = FrameError::TooLarge {
        bytes: 101,
        bytes_max: 100,
    };
    assert_eq!(host.reason(), CloseReason::Protocol(error));
}

pub(crate) fn frames_before_a_violation_are_delivered(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let mut stream = [frame(ID, b"one"), frame(ID, b"two"), vec![0, 3]].concat();
    stream.extend(frame(ID, b"never"));
    peer.write(&stream);
    let (reason, packets) = host.ended();
    assert_eq!(
        reason,
        CloseReason::Protocol(FrameError::TooSmall { bytes: 3 })
    );
    assert_eq!(packets, [b"one", b"two"]);
    assert_eq!(
        peer.drain().0,
        [frame(ID, b"one"), frame(ID, b"two")].concat()
    );
}

fn typed(setup: Setup, undecodable: Undecodable) -> Server {
    let router = Router::new()
        .on(|session, request: EchoRequest| {
            let _ = session.send_bytes(PacketId::ECHO, request.data_str.as_bytes());
        })
        .build()
        .unwrap();
    setup.serve(|config| config.session.undecodable = undecodable, router)
}

pub(crate) fn an_unknown_id_is_counted_and_dropped(setup: Setup) {
    let server = typed(setup, Undecodable::Close);
    let mut peer = super::harness::Peer::connect(server.local_address());
    peer.write(&frame(PacketId::new(0x0ABC), b"what"));
    // {data_str: "hi"}
    peer.write(&frame(PacketId::ECHO, &[0x1a, 2, b'h', b'i']));
    assert_eq!(peer.receive(), b"hi");
    assert_eq!(server.stats().unhandled, 1);
}

pub(crate) fn a_payload_that_does_not_decode_ends_the_session(setup: Setup) {
    let server = typed(setup, Undecodable::Close);
    let mut peer = super::harness::Peer::connect(server.local_address());
    peer.write(&frame(PacketId::ECHO, &[0x1a, 200]));
    assert_eq!(peer.drain().0, b"");
    let stats = server.stop(super::harness::LIMIT).stats;
    let reason = CloseReason::Undecodable { id: PacketId::ECHO };
    assert_eq!((stats.undecodable, stats.closed_for(reason)), (1, 1));
}

pub(crate) fn a_payload_that_does_not_decode_may_be_dropped(setup: Setup) {
    let server = typed(setup, Undecodable::CountAndDrop);
    let mut peer = super::harness::Peer::connect(server.local_address());
    peer.write(&frame(PacketId::ECHO, &[0x1a, 200]));
    peer.write(&frame(PacketId::ECHO, &[0x1a, 1, b'y']));
    assert_eq!(peer.receive(), b"y");
    assert_eq!(server.stats().undecodable, 1);
}
