//! Sessions that outlive their connections: nothing lost, nothing doubled, and nobody else's.

use super::harness::{ID, LIMIT, Peer, Random, Setup, frame, resuming_client};
use fastport::protocol::prost::Message;
use fastport::protocol::session::{Hello, Welcome};
use fastport::{
    ClientState, CloseReason, Conversation, IoService, Packet, PacketId, RESUME_REFUSED, Resumable,
    ResumeConfig, ResumeHandler, ResumingClient, Room, SendError, Server,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

#[derive(Debug)]
enum Event {
    Opened(Conversation),
    Packet(Vec<u8>),
    Suspended,
    Resumed,
    Ended(CloseReason),
}

/// Tells the case what it sees.
struct Recorder(Mutex<Sender<Event>>);

impl Recorder {
    fn note(&self, event: Event) {
        // The case may have ended.
        let _ = self.0.lock().unwrap().send(event);
    }
}

impl ResumeHandler for Recorder {
    fn on_opened(&self, conversation: &Conversation) {
        self.note(Event::Opened(conversation.clone()));
    }

    fn on_packet(&self, _conversation: &Conversation, packet: Packet<'_>) {
        self.note(Event::Packet(packet.payload().to_vec()));
    }

    fn on_suspended(&self, _conversation: &Conversation, _reason: CloseReason) {
        self.note(Event::Suspended);
    }

    fn on_resumed(&self, _conversation: &Conversation) {
        self.note(Event::Resumed);
    }

    fn on_ended(&self, _conversation: &Conversation, reason: CloseReason) {
        self.note(Event::Ended(reason));
    }
}

fn host(setup: Setup, config: ResumeConfig) -> (Server, Receiver<Event>) {
    let (seen, sees) = channel();
    let handler = Resumable::new(config, Recorder(Mutex::new(seen))).unwrap();
    (setup.serve(|config| config.workers = 2, handler), sees)
}

fn next(sees: &Receiver<Event>) -> Event {
    sees.recv_timeout(LIMIT)
        .expect("the handler saw nothing more")
}

fn opened(sees: &Receiver<Event>) -> Conversation {
    match next(sees) {
        Event::Opened(conversation) => conversation,
        other => panic!("{other:?}"),
    }
}

fn await_state(states: &Receiver<ClientState>, mut wanted: impl FnMut(&ClientState) -> bool) {
    while !wanted(&states.recv_timeout(LIMIT).expect("the client's state")) {}
}

fn is_connected(state: &ClientState) -> bool {
    matches!(state, ClientState::Connected { .. })
}

/// Ends every connection of a service at once: by a reset that drops what is queued, or in order.
fn cut(service: &IoService, orderly: bool) {
    let reason = if orderly {
        CloseReason::PeerClosed
    } else {
        CloseReason::WriteStalled
    };
    service.for_each_session(|session| session.disconnect_with(reason));
}

/// Sends numbers until told to stop. How many went.
fn send_numbers(stop: &AtomicBool, send: impl Fn(&[u8]) -> Result<(), SendError>) -> u64 {
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + (number as usize * 37) % 600, 7);
        match send(&payload) {
            Ok(()) => number += 1,
            Err(SendError::Overflow { .. }) => std::thread::yield_now(),
            Err(error) => panic!("after {number}: {error}"),
        }
    }
    number
}

/// Stops the senders, also when the case panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// That the next number comes, whole.
fn check_number(payload: &[u8], expected: u64) {
    let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
    assert_eq!(number, expected, "lost, doubled or out of order");
    assert_eq!(payload.len(), 8 + (number as usize * 37) % 600);
}

/// Two hundred and fifty on each engine and dispatch: a thousand on a system with two engines.
pub(crate) fn nothing_is_lost_or_doubled_over_forced_disconnects(setup: Setup) {
    const CUTS: usize = 250;
    let (server, sees) = host(setup, ResumeConfig::default());
    let (client, receives, states) = resuming_client(setup, &server, |_| {});
    let conversation = opened(&sees);
    await_state(&states, is_connected);
    let stop = AtomicBool::new(false);
    let mut random = Random(7);
    let (mut at_server, mut resumed) = (0u64, 0u64);
    let at_client = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // A case that fails ends as well.
        let _stop = StopAtEnd(&stop);
        let up = scope.spawn(|| send_numbers(&stop, |bytes| client.send_bytes(ID, bytes)));
        let down = scope.spawn(|| send_numbers(&stop, |bytes| conversation.send_bytes(ID, bytes)));
        let counted = &at_client;
        let checker = scope.spawn(move || {
            while let Ok(payload) = receives.recv_timeout(LIMIT) {
                if payload == b"end" {
                    break;
                }
                check_number(&payload, counted.fetch_add(1, Ordering::Relaxed));
            }
        });
        let mut take = |at_server: &mut u64| match next(&sees) {
            Event::Packet(payload) => {
                check_number(&payload, *at_server);
                *at_server += 1;
            }
            Event::Resumed => resumed += 1,
            Event::Suspended => {}
            other => panic!("{other:?}"),
        };
        for number in 0..CUTS {
            let until = at_server + random.below(40) as u64;
            while at_server < until {
                take(&mut at_server);
            }
            match number % 3 {
                0 => cut(server.service(), false),
                1 => cut(client.service(), false),
                _ => cut(server.service(), true),
            }
            await_state(&states, is_connected);
        }
        stop.store(true, Ordering::Relaxed);
        let (sent_up, sent_down) = (up.join().unwrap(), down.join().unwrap());
        while at_server < sent_up {
            take(&mut at_server);
        }
        conversation.send_bytes(ID, b"end").unwrap();
        checker.join().unwrap();
        let down_received = at_client.load(Ordering::Relaxed);
        assert_eq!((at_server, down_received), (sent_up, sent_down));
        println!(
            "{CUTS} disconnects, {resumed} resumed: {at_server} of {sent_up} packets up, \
             {down_received} of {sent_down} down, each once and in order"
        );
    });
    close_for_good(&client, &sees);
    assert_eq!(
        conversation.send_bytes(ID, b"x"),
        Err(SendError::Disconnected)
    );
}

/// Closes the client, of which the server is told.
fn close_for_good(client: &ResumingClient, sees: &Receiver<Event>) {
    client.close();
    assert_eq!(client.state(), ClientState::Closed);
    loop {
        match next(sees) {
            Event::Ended(reason) => {
                let code = CloseReason::Requested.code().into();
                assert_eq!(reason, CloseReason::ClosedByPeer { code });
                break;
            }
            Event::Resumed | Event::Suspended => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Says hello on a plain socket; the answer, if it is a welcome.
fn hello(peer: &mut Peer, token: &[u8], received: u64) -> Option<Welcome> {
    let hello = Hello {
        token: token.to_vec().into(),
        received,
    };
    peer.write(&frame(PacketId::RESUME_HELLO, &hello.encode_to_vec()));
    let header = peer.read(4);
    let payload = peer.read(usize::from(u16::from_be_bytes([header[0], header[1]])) - 4);
    match PacketId::new(u16::from_be_bytes([header[2], header[3]])) {
        PacketId::RESUME_WELCOME => Some(Welcome::decode(&payload[..]).unwrap()),
        PacketId::SESSION_CLOSE => {
            let close = fastport::protocol::session::Close::decode(&payload[..]).unwrap();
            assert_eq!(close.code, u32::from(RESUME_REFUSED));
            None
        }
        other => panic!("{other}"),
    }
}

pub(crate) fn a_forged_token_is_refused(setup: Setup) {
    let (server, sees) = host(setup, ResumeConfig::default());
    let connect = || Peer::connect(server.local_address());
    let mut first = connect();
    let welcome = hello(&mut first, b"", 0).expect("a welcome");
    assert!(!welcome.resumed && welcome.token.len() == 32);
    drop(opened(&sees));
    for at in [0, 15, 16, 31] {
        let mut forged = welcome.token.to_vec();
        forged[at] ^= 0x80;
        assert_eq!(hello(&mut connect(), &forged, 0), None);
    }
    assert_eq!(hello(&mut connect(), &welcome.token[..31], 0), None);
    assert_eq!(
        hello(&mut connect(), &welcome.token, 1),
        None,
        "it sent nothing"
    );
    // The session has seen nothing of it.
    first.write(&frame(ID, b"still here"));
    assert!(matches!(next(&sees), Event::Packet(payload) if payload == b"still here"));
    // Whoever has the token takes over, also from a connection that seems to live.
    let mut second = connect();
    let again = hello(&mut second, &welcome.token, 0).expect("a welcome");
    assert!(again.resumed && again.received == 1);
    assert!(matches!(next(&sees), Event::Resumed));
    drop(first.drain());
    second.write(&frame(ID, b"moved"));
    assert!(matches!(next(&sees), Event::Packet(payload) if payload == b"moved"));
    // Without a hello there is nothing.
    let mut silent = connect();
    silent.write(&frame(ID, b"no hello"));
    let (told, _) = silent.drain();
    assert_eq!(told[2..4], [0x8F, 0x01]);
}

pub(crate) fn an_expired_session_is_refused(setup: Setup) {
    let config = ResumeConfig {
        keep: Duration::from_millis(300),
        ..ResumeConfig::default()
    };
    let (server, sees) = host(setup, config);
    let mut peer = Peer::connect(server.local_address());
    let welcome = hello(&mut peer, b"", 0).expect("a welcome");
    let conversation = opened(&sees);
    drop(peer);
    assert!(matches!(next(&sees), Event::Suspended));
    conversation.send_bytes(ID, b"kept").unwrap();
    assert!(matches!(next(&sees), Event::Ended(CloseReason::PeerClosed)));
    assert_eq!(
        conversation.send_bytes(ID, b"late"),
        Err(SendError::Disconnected)
    );
    let mut late = Peer::connect(server.local_address());
    assert_eq!(hello(&mut late, &welcome.token, 0), None);
}

pub(crate) fn a_client_that_is_refused_is_lost_and_one_that_is_kicked_knows_why(setup: Setup) {
    let (server, sees) = host(setup, ResumeConfig::default());
    let (lost, _, states) = resuming_client(setup, &server, |_| {});
    let conversation = opened(&sees);
    await_state(&states, is_connected);
    conversation.kick(2000, "banned");
    let kicked = CloseReason::ClosedByPeer { code: 2000 };
    await_state(&states, |state| {
        *state == ClientState::Lost { reason: kicked }
    });
    assert!(matches!(
        next(&sees),
        Event::Ended(CloseReason::Kicked { code: 2000 })
    ));
    assert_eq!(lost.send_bytes(ID, b"x"), Err(SendError::Disconnected));
    // Kicked while it is away: it is refused when it comes back.
    let (away, _, states) = resuming_client(setup, &server, |_| {});
    let conversation = opened(&sees);
    await_state(&states, is_connected);
    cut(server.service(), false);
    while !matches!(next(&sees), Event::Suspended) {}
    conversation.kick(2001, "while away");
    let back = states
        .iter()
        .find(|state| matches!(state, ClientState::Lost { .. }) || is_connected(state));
    match back {
        // It was quicker than the kick.
        Some(ClientState::Connected { .. }) => {}
        Some(ClientState::Lost { reason }) => {
            assert_eq!(
                reason,
                CloseReason::ClosedByPeer {
                    code: RESUME_REFUSED
                }
            );
        }
        other => panic!("{other:?}"),
    }
    away.close();
}

pub(crate) fn what_is_kept_is_bounded(setup: Setup) {
    let config = ResumeConfig {
        replay_bytes_max: 10_000,
        ..ResumeConfig::default()
    };
    let (server, sees) = host(setup, config);
    let mut peer = Peer::connect(server.local_address());
    let welcome = hello(&mut peer, b"", 0).expect("a welcome");
    let conversation = opened(&sees);
    drop(peer);
    assert!(matches!(next(&sees), Event::Suspended));
    for _ in 0..9 {
        conversation.send_bytes(ID, &[1; 1000]).unwrap();
    }
    let refused = conversation.send_bytes(ID, &[1; 1000]);
    assert!(matches!(
        refused,
        Err(SendError::Overflow { limit: 10_000, .. })
    ));
    let mut again = Peer::connect(server.local_address());
    assert!(
        hello(&mut again, &welcome.token, 0)
            .expect("a welcome")
            .resumed
    );
    for _ in 0..9 {
        assert_eq!(again.receive(), [1; 1000]);
    }
}

/// Who opens sessions and leaves them has the server keep so many of them, and no more.
pub(crate) fn so_many_sessions_are_kept(setup: Setup) {
    let config = ResumeConfig {
        pauses_max: 1,
        ..ResumeConfig::default()
    };
    let (server, sees) = host(setup, config);
    let left = || {
        let mut peer = Peer::connect(server.local_address());
        let welcome = hello(&mut peer, b"", 0).expect("a welcome");
        drop(opened(&sees));
        drop(peer);
        (welcome, next(&sees))
    };
    let (first, seen) = left();
    assert!(matches!(seen, Event::Suspended), "{seen:?}");
    let (second, seen) = left();
    assert!(
        matches!(seen, Event::Ended(CloseReason::PeerClosed)),
        "{seen:?}"
    );
    let again = |welcome: &Welcome| {
        let mut peer = Peer::connect(server.local_address());
        hello(&mut peer, &welcome.token, 0)
    };
    assert_eq!(again(&second), None);
    assert!(again(&first).expect("a welcome").resumed);
}

pub(crate) fn a_client_gives_up_after_its_attempts(setup: Setup) {
    let (server, sees) = host(setup, ResumeConfig::default());
    let (client, _receives, states) =
        resuming_client(setup, &server, |config| config.attempts_max = Some(3));
    drop(opened(&sees));
    await_state(&states, is_connected);
    server.stop(LIMIT);
    let mut attempts = Vec::new();
    await_state(&states, |state| {
        if let ClientState::Connecting { attempt } = state {
            attempts.push(*attempt);
            assert!(attempts.len() <= 3, "it goes on: {attempts:?}");
        }
        matches!(state, ClientState::Lost { .. })
    });
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(client.send_bytes(ID, b"x"), Err(SendError::Disconnected));
}

pub(crate) fn rooms_are_kept_and_heard_afterwards(setup: Setup) {
    let (server, sees) = host(setup, ResumeConfig::default());
    let room = Room::new();
    let mut peer = Peer::connect(server.local_address());
    let welcome = hello(&mut peer, b"", 0).expect("a welcome");
    let conversation = opened(&sees);
    assert!(room.join_conversation(&conversation));
    assert!(!room.join_conversation(&conversation), "twice");
    assert_eq!(room.broadcast_bytes(ID, b"first"), Ok(1));
    assert_eq!(peer.receive(), b"first");
    drop(peer);
    assert!(matches!(next(&sees), Event::Suspended));
    assert_eq!(room.broadcast_bytes(ID, b"second"), Ok(1));
    let mut again = Peer::connect(server.local_address());
    assert!(
        hello(&mut again, &welcome.token, 1)
            .expect("a welcome")
            .resumed
    );
    assert_eq!(again.receive(), b"second");
    assert_eq!(room.broadcast_bytes(ID, b"third"), Ok(1));
    assert_eq!(again.receive(), b"third");
    assert!(matches!(next(&sees), Event::Resumed));
    conversation.kick(1000, "over");
    assert!(matches!(next(&sees), Event::Ended(_)));
    assert_eq!(room.len(), 0, "who has ended has left");
    assert!(!room.join_conversation(&conversation));
}
