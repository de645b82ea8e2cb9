//! Who is believed.

use super::world::{NAME, TlsEnd, World, dial, echo, try_dial, until};
use crate::harness::Setup;
use fastport::{
    CertificateFault, CloseReason, RejectReason, TlsClient, TlsFailure, TlsServer, TlsServerFiles,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) fn both_sides_show_who_they_are(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.strict_server());
    let identity = world.authority.issue(&["a client"]);
    let shown = identity.chain.clone();
    let client = dial(setup, host.address(), &world.client_as(identity));
    client.send(b"it is me");
    assert_eq!(client.receive(), b"it is me");
    let info = host.accepted().tls().expect("TLS");
    assert_eq!(info.certificates, shown);
}

pub(crate) fn a_client_without_a_certificate_is_refused(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.strict_server());
    refused_late(setup, &host, &world.client(), 116);
    let mut peer = world.peer(host.address());
    peer.send(b"never handled");
    assert_eq!(peer.drain(), (Vec::new(), TlsEnd::Cut));
    assert_eq!(
        host.server.stats().rejected_for(RejectReason::TlsHandshake),
        2
    );
    assert_eq!(host.server.stats().accepted, 0);
}

pub(crate) fn a_client_of_another_authority_is_refused(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.strict_server());
    let identity = world.stranger.issue(&["a client"]);
    refused_late(setup, &host, &world.client_as(identity), 48);
    let stats = host.server.stats();
    assert_eq!(stats.rejected_for(RejectReason::TlsHandshake), 1);
    let stranger = TlsFailure::Certificate(CertificateFault::UnknownIssuer);
    assert_eq!(stats.tls_failed_for(stranger), 1);
    assert_eq!(stats.accepted, 0);
}

/// A client of TLS 1.3 is done before the server has looked at its certificate.
fn refused_late(setup: Setup, host: &crate::harness::Host, tls: &TlsClient, alert: u8) {
    let client = dial(setup, host.address(), tls);
    let refused = CloseReason::Tls(TlsFailure::Refused { alert });
    assert_eq!(client.reason(), refused);
}

pub(crate) fn a_server_that_nobody_vouches_for_is_refused(setup: Setup) {
    let world = World::new();
    let identity = world.stranger.issue(&[NAME]);
    let server = TlsServer::new(World::server_config(identity));
    refused_by_client(setup, &world, &server, CertificateFault::UnknownIssuer);
}

pub(crate) fn a_server_of_another_name_is_refused(setup: Setup) {
    let world = World::new();
    let identity = world.authority.issue(&["elsewhere.test"]);
    let server = TlsServer::new(World::server_config(identity));
    refused_by_client(setup, &world, &server, CertificateFault::WrongName);
}

pub(crate) fn a_certificate_that_has_expired_is_refused(setup: Setup) {
    let world = World::new();
    let identity = world.authority.issue_expired(&[NAME]);
    let server = TlsServer::new(World::server_config(identity));
    refused_by_client(setup, &world, &server, CertificateFault::Expired);
}

fn refused_by_client(setup: Setup, world: &World, server: &TlsServer, fault: CertificateFault) {
    let host = echo(setup, server);
    let outcome = try_dial(setup, host.address(), &world.client(), |_| {});
    let reason = CloseReason::Tls(TlsFailure::Certificate(fault));
    assert_eq!(outcome.err(), Some(reason));
    // The server hears of it.
    let rejected = || host.server.stats().rejected_for(RejectReason::TlsHandshake);
    until(|| rejected() > 0);
    assert_eq!(host.server.stats().accepted, 0);
}

pub(crate) fn a_new_certificate_is_for_new_sessions(setup: Setup) {
    let world = World::new();
    let (first, second) = (
        world.authority.issue(&[NAME]),
        world.authority.issue(&[NAME]),
    );
    let (first_shown, second_shown) = (first.chain.clone(), second.chain.clone());
    let tls = TlsServer::new(World::server_config(first));
    let host = echo(setup, &tls);
    let old = dial(setup, host.address(), &world.client());
    assert_eq!(old.session.tls().unwrap().certificates, first_shown);
    tls.replace(World::server_config(second));
    let new = dial(setup, host.address(), &world.client());
    assert_eq!(new.session.tls().unwrap().certificates, second_shown);
    for client in [&old, &new] {
        client.send(b"still here");
        assert_eq!(client.receive(), b"still here");
    }
}

/// As they are for a server from files: each client brings its own ticket, so there are no places
/// for them that run out. What was checked once counts until the files are read again.
pub(crate) fn one_that_comes_back_resumes_until_a_reload(setup: Setup) {
    let world = World::new();
    let folder = Folder::new();
    let (certificates, key) = world.authority.issue(&[NAME]).write(&folder.0, "server");
    let files = TlsServerFiles {
        certificates,
        key,
        client_ca: Some(world.authority.write(&folder.0, "ca")),
    };
    let tls = TlsServer::from_files(&files).unwrap();
    let host = echo(setup, &tls);
    let identity = world.authority.issue(&["a client"]);
    let shown = identity.chain.clone();
    let client = world.client_as(identity);
    let comes = |client: &TlsClient| {
        let dialled = dial(setup, host.address(), client);
        // With the answer the ticket has come as well.
        dialled.send(b"hello");
        assert_eq!(dialled.receive(), b"hello");
        let info = host.accepted().tls().expect("TLS");
        assert_eq!(info.certificates, shown, "who it is is known either way");
        let here = dialled.session.tls().expect("TLS");
        assert_eq!(info.resumed, here.resumed);
        info.resumed
    };
    let turns = [(); 3].map(|()| comes(&client));
    assert_eq!(turns, [false, true, true]);
    assert!(!comes(&client.without_resumption()));
    tls.reload(&files).unwrap();
    assert!(!comes(&client), "a ticket of before the reload");
    assert!(comes(&client));
    let stats = host.server.stats();
    assert_eq!((stats.tls_handshakes, stats.tls_resumed), (6, 3));
}

/// Removed when the case ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{number}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
