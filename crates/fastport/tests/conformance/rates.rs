//! Sessions that send faster than they may, and peers that let more wait than there is memory for.

use super::harness::{End, Host, ID, Peer, Setup, frame};
use fastport::{
    AddressSet, CloseReason, PacketId, PacketRate, ProtectionConfig, Rate, RateAction,
    RejectReason, SendError, SendStatus,
};
use std::time::Duration;

/// An echo whose rates hold for the addresses of this machine as well.
fn strict(setup: Setup, change: impl FnOnce(&mut ProtectionConfig)) -> Host {
    setup.host(
        |config| {
            let limits = &mut config.protection;
            limits.trusted = AddressSet::default();
            (limits.packet_rate, limits.byte_rate) = (Rate::OFF, Rate::OFF);
            change(limits);
        },
        |session, packet| {
            let _ = session.forward(&packet);
        },
    )
}

/// Frames with the payloads `from..to`.
fn numbered(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let frames = numbers.map(|number| frame(ID, &number.to_be_bytes()));
    frames.flatten().collect()
}

fn receives(peer: &mut Peer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert_eq!(peer.receive(), number.to_be_bytes());
    }
}

/// A flood is slowed down to the rate, nothing of it is lost, and what comes after it is served.
pub(crate) fn a_flood_above_the_rate_waits(setup: Setup) {
    let host = strict(setup, |limits| limits.packet_rate = Rate::new(400, 100));
    let mut peer = host.connect();
    peer.write(&numbered(0..500));
    receives(&mut peer, 0..500);
    let stats = host.server.stats();
    // 400 packets above the burst are earned in a second, of 50 ms ticks.
    assert!(stats.packets_delayed >= 10, "{}", stats.packets_delayed);
    assert_eq!(stats.packets_dropped, 0);
    peer.write(&numbered(500..510));
    receives(&mut peer, 500..510);
}

/// What waits for its rate when the peer finishes is answered before the end.
pub(crate) fn what_waits_for_a_rate_is_answered_before_the_end(setup: Setup) {
    let host = strict(setup, |limits| limits.packet_rate = Rate::new(200, 20));
    let mut peer = host.connect();
    let mut sent = numbered(0..120);
    sent.extend_from_slice(&[0, 9, 1]);
    peer.write(&sent);
    peer.finish();
    let (came, end) = peer.drain();
    assert!(came == numbered(0..120), "{} bytes came", came.len());
    assert_eq!(end, End::Fin);
    assert_eq!(host.reason(), CloseReason::PeerTruncated);
}

pub(crate) fn frames_above_a_rate_of_bytes_wait(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.byte_rate = Rate::new(200_000, 50_000);
    });
    let mut peer = host.connect();
    let big = vec![7; 10_000];
    for _ in 0..20 {
        peer.send(&big);
    }
    for _ in 0..20 {
        assert_eq!(peer.receive(), big);
    }
    assert!(host.server.stats().packets_delayed > 0);
}

/// Frames that come in pieces are measured as well, also when none comes whole.
pub(crate) fn a_dribble_above_the_rate_waits(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.packet_rate = Rate::new(1, 3);
        limits.rate_action = RateAction::Disconnect;
    });
    let mut peer = host.connect();
    let session = host.accepted();
    let received = |bytes: u64| {
        while session.is_connected() && host.server.stats().bytes_in < bytes {
            std::thread::yield_now();
        }
    };
    for number in 0..50 {
        let frame = numbered(number..number + 1);
        let before = u64::from(number) * frame.len() as u64;
        use std::io::Write;
        // It ends in the middle of this.
        let _ = peer.stream.write_all(&frame[..5]);
        received(before + 5);
        let _ = peer.stream.write_all(&frame[5..]);
        received(before + frame.len() as u64);
        if number < 3 {
            receives(&mut peer, number..number + 1);
        }
    }
    assert_eq!(host.reason(), CloseReason::RateLimited);
}

pub(crate) fn packets_above_the_rate_are_dropped_if_so_set(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.packet_rate = Rate::new(1, 10);
        limits.rate_action = RateAction::Drop;
    });
    let mut peer = host.connect();
    peer.write(&numbered(0..100));
    peer.finish();
    let (came, _) = peer.drain();
    // One a second is earned meanwhile.
    assert!(came.starts_with(&numbered(0..10)));
    assert!(
        came.len() < numbered(0..40).len(),
        "{} bytes came",
        came.len()
    );
    let stats = host.server.stats();
    let delivered = came.len() as u64 / 8;
    assert_eq!(stats.packets_dropped, 100 - delivered);
    assert_eq!(stats.packets_in, 100);
}

pub(crate) fn a_session_above_the_rate_is_closed_if_so_set(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.packet_rate = Rate::new(1, 5);
        limits.rate_action = RateAction::Disconnect;
    });
    let mut peer = host.connect();
    peer.write(&numbered(0..60));
    let (came, _) = peer.drain();
    assert!(came.starts_with(&numbered(0..5)));
    assert!(
        came.len() < numbered(0..40).len(),
        "{} bytes came",
        came.len()
    );
    drop(peer);
    assert_eq!(host.reason(), CloseReason::RateLimited);
    let mut other = host.connect();
    other.send(b"unharmed");
    assert_eq!(other.receive(), b"unharmed");
}

pub(crate) fn packets_above_the_rate_are_only_counted_if_so_set(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.packet_rate = Rate::new(1, 5);
        limits.rate_action = RateAction::Count;
    });
    let mut peer = host.connect();
    peer.write(&numbered(0..60));
    receives(&mut peer, 0..60);
    // The counter is of the worker that answered.
    assert!((20..=55).contains(&host.server.stats().packets_over_rate));
}

pub(crate) fn one_packet_id_has_a_rate_of_its_own(setup: Setup) {
    let rare = PacketId::new(0x1777);
    let host = strict(setup, |limits| {
        limits.packet_rates = vec![PacketRate {
            id: rare,
            rate: Rate::new(1, 2),
            action: RateAction::Drop,
        }];
    });
    let mut peer = host.connect();
    for _ in 0..30 {
        peer.write(&frame(rare, b"r"));
        peer.write(&frame(ID, b"c"));
    }
    peer.finish();
    let (came, _) = peer.drain();
    let rare = came.chunks(5).filter(|frame| frame[4] == b'r').count();
    let common = came.chunks(5).filter(|frame| frame[4] == b'c').count();
    assert_eq!(common, 30);
    assert!((2..20).contains(&rare), "{rare} came");
}

/// What comes from this machine is not measured.
pub(crate) fn the_trusted_may_send_as_fast_as_they_can(setup: Setup) {
    let host = setup.host(
        |config| {
            config.protection.packet_rate = Rate::new(1, 1);
            config.protection.rate_action = RateAction::Disconnect;
        },
        |session, packet| {
            let _ = session.forward(&packet);
        },
    );
    let mut peer = host.connect();
    peer.write(&numbered(0..100));
    receives(&mut peer, 0..100);
}

/// The turn in which the first is answered may be the one in which bytes were queued or went; that
/// of the second is behind the one which counts them.
fn is_served_twice(peer: &mut Peer) {
    for _ in 0..2 {
        peer.send(b"served");
        assert_eq!(peer.receive(), b"served");
    }
}

/// Peers that do not read take no more memory than is there for all. Meanwhile one that reads is
/// served, and newcomers are turned away; when those peers are gone, newcomers are served.
pub(crate) fn what_waits_for_all_peers_has_a_bound(setup: Setup) {
    const BUDGET: usize = 4 << 20;
    const PART: usize = 32 * 1024;
    // Half of it is to be shared, and with nine tenths of that taken newcomers are turned away.
    const NEARLY_SPENT: u64 = (BUDGET / 2 - BUDGET / 20) as u64;
    let host = setup.host(
        |config| {
            config.sessions_max = 64;
            config.protection.queued_bytes_max = Some(BUDGET);
            config.session.send_high_watermark = 1 << 20;
            config.session.send_queue_max = 1 << 20;
            config.session.write_stall_timeout = Duration::ZERO;
            config.session.socket.send_buffer = Some(16 * 1024);
        },
        |session, packet| {
            let part = [0; PART];
            // Below what one session may queue, whatever the kernel takes.
            let parts = if packet.payload() == b"more" { 30 } else { 0 };
            let sent = (0..parts).map(|_| session.send_bytes(ID, &part));
            for outcome in sent {
                if let Err(error) = outcome {
                    assert!(matches!(error, SendError::OverBudget { .. }), "{error}");
                    return;
                }
            }
            let _ = session.forward(&packet);
        },
    );
    let filler = host.connect();
    let filling = host.accepted();
    let mut honest = host.connect();
    let mut stalled: Vec<_> = (0..12).map(|_| host.connect()).collect();
    // A connection that is accepted only when the memory is taken is a newcomer.
    for _ in 0..=stalled.len() {
        host.accepted();
    }
    for peer in &mut stalled {
        peer.send(b"more");
        honest.send(b"served");
        assert_eq!(honest.receive(), b"served");
        let queued = host.server.stats().queued_bytes;
        assert!(queued <= BUDGET as u64, "{queued} bytes wait");
    }
    // Eight of them or more did not fit.
    for _ in 0..8 {
        assert_eq!(host.reason(), CloseReason::MemoryLimit);
    }
    // What the kernel has taken of the others' differs.
    while host.server.stats().queued_bytes < NEARLY_SPENT {
        let status = filling.send_bytes(ID, &[0; PART]);
        assert_eq!(status, Ok(SendStatus::Queued));
        is_served_twice(&mut honest);
    }
    assert_eq!(host.connect().drain().0, b"");
    assert_eq!(host.server.stats().rejected_for(RejectReason::Memory), 1);
    let ended = host.server.stats().closed_total();
    drop((stalled, filler));
    for _ in ended..13 {
        host.reason();
    }
    is_served_twice(&mut honest);
    assert!(host.server.stats().queued_bytes < 1024);
    let mut newcomer = host.connect();
    newcomer.send(b"served");
    assert_eq!(newcomer.receive(), b"served");
}
