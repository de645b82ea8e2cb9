//! Strangers at the door: each limit of who may begin a session, met by someone who goes past it.

use super::harness::{Host, Peer, Setup};
use fastport::{AddressSet, Profile, ProtectionConfig, Rate, RejectReason};

/// An echo whose limits hold for the addresses of this machine as well.
fn strict(setup: Setup, change: impl FnOnce(&mut ProtectionConfig)) -> Host {
    setup.host(
        |config| {
            config.protection.trusted = AddressSet::default();
            change(&mut config.protection);
        },
        |session, packet| {
            let _ = session.forward(&packet);
        },
    )
}

/// A peer from 127.0.0.`host` that is served.
fn served(host: &Host, from: u8) -> Peer {
    let mut peer = Peer::connect_from(from, host.address());
    peer.send(b"hello");
    assert_eq!(peer.receive(), b"hello");
    peer
}

/// A peer from 127.0.0.`host` that is turned away without a byte.
fn refused(host: &Host, from: u8) {
    let mut peer = Peer::connect_from(from, host.address());
    assert_eq!(peer.drain().0, b"");
}

fn rejected(host: &Host, reason: RejectReason) -> u64 {
    host.server.stats().rejected_for(reason)
}

pub(crate) fn one_address_has_so_many_sessions(setup: Setup) {
    let host = strict(setup, |limits| limits.address_sessions_max = 2);
    let first = served(&host, 1);
    let _second = served(&host, 1);
    refused(&host, 1);
    let _other = served(&host, 2);
    assert_eq!(rejected(&host, RejectReason::AddressFull), 1);
    drop(first);
    host.reason();
    let _again = served(&host, 1);
    refused(&host, 1);
    let stats = host.server.stats();
    assert_eq!((stats.accepted, stats.rejected_total()), (4, 2));
}

pub(crate) fn a_storm_from_one_address_is_turned_away(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.address_sessions_max = 0;
        limits.address_accept_rate = Rate::new(1, 3);
    });
    let peers: Vec<_> = (0..40)
        .map(|_| Peer::connect_from(1, host.address()))
        .collect();
    let innocent = served(&host, 2);
    for mut peer in peers {
        peer.finish_if_there();
        assert_eq!(peer.drain().0, b"");
    }
    let turned_away = rejected(&host, RejectReason::AddressRate);
    // One a second is earned meanwhile.
    assert!((20..=37).contains(&turned_away), "{turned_away} of 40");
    drop(innocent);
}

pub(crate) fn a_storm_from_everywhere_is_slowed(setup: Setup) {
    let host = strict(setup, |limits| limits.accept_rate = Rate::new(1, 5));
    let peers: Vec<_> = (1..=40)
        .map(|from| Peer::connect_from(from, host.address()))
        .collect();
    for mut peer in peers {
        peer.finish_if_there();
        assert_eq!(peer.drain().0, b"");
    }
    let turned_away = rejected(&host, RejectReason::AcceptRate);
    // One a second is earned meanwhile.
    assert!((20..=35).contains(&turned_away), "{turned_away} of 40");
}

pub(crate) fn a_denied_address_is_turned_away(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.deny = ["127.0.0.66".parse().unwrap()].into_iter().collect();
    });
    refused(&host, 66);
    let _other = served(&host, 67);
    assert_eq!(rejected(&host, RejectReason::Denied), 1);
}

pub(crate) fn only_those_on_an_allow_list_come_in(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.allow = ["127.0.0.64/26".parse().unwrap()].into_iter().collect();
        limits.deny = ["127.0.0.65".parse().unwrap()].into_iter().collect();
    });
    refused(&host, 1);
    refused(&host, 65);
    let _member = served(&host, 64);
    assert_eq!(rejected(&host, RejectReason::Denied), 2);
}

/// The profile for private networks tells what the limits would have done.
pub(crate) fn the_trusted_profile_counts_and_lets_pass(setup: Setup) {
    let host = strict(setup, |limits| {
        limits.profile = Profile::Trusted;
        limits.address_sessions_max = 1;
    });
    let _peers = [served(&host, 1), served(&host, 1), served(&host, 1)];
    let stats = host.server.stats();
    assert_eq!(stats.observed_for(RejectReason::AddressFull), 2);
    assert_eq!(stats.rejected_total(), 0);
}

/// What comes from this machine, a proxy in front for example, is many clients behind one address.
pub(crate) fn the_trusted_are_not_counted(setup: Setup) {
    let host = setup.host(
        |config| config.protection.address_sessions_max = 1,
        |session, packet| {
            let _ = session.forward(&packet);
        },
    );
    let _peers = [served(&host, 1), served(&host, 1), served(&host, 1)];
    assert_eq!(host.server.stats().observed, [0; RejectReason::NAMES.len()]);
}
