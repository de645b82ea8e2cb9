//! Thousands of kicks under traffic: clients that live learn the code and the text.
//!
//! `cargo test --release --test kicks -- --nocapture` shows the figures.

use fastport::{
    CloseReason, Dispatch, Farewell, Handler, IoService, Packet, PacketId, Server, ServiceConfig,
    Session,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Fewer under Wine, which is slow at making connections: no engine has a part in this.
const WAVES: usize = if cfg!(windows) { 3 } else { 10 };
const SESSIONS: usize = 1000;
const LIMIT: Duration = Duration::from_secs(60);
const ID: PacketId = PacketId::RAW_ECHO;
const CODE: u16 = 1234;
const TEXT: &str = "the match is over";

/// Hands its sessions over, answers every packet, and does not care how they end.
struct Host {
    accepted: Mutex<Sender<Session>>,
}

impl Handler for Host {
    fn on_accepted(&self, session: &Session) {
        // The test may have ended.
        let _ = self.accepted.lock().unwrap().send(session.clone());
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let _ = session.forward(&packet);
    }
}

/// A client that sends back what it receives, up to a point, and tells how it ended. It still sends
/// when it is kicked: bytes that nobody reads any more must not cost it the goodbye.
struct Player {
    ended: Mutex<Sender<(CloseReason, Option<Farewell>)>>,
}

impl Handler for Player {
    fn on_connected(&self, session: &Session) {
        let _ = session.send_bytes(ID, &[1; 100]);
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if session.received_packets() < 10 {
            let _ = session.forward(&packet);
        }
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let _ = self
            .ended
            .lock()
            .unwrap()
            .send((reason, session.farewell()));
    }
}

/// Connects, lets traffic flow, kicks everybody from two threads. How many clients were told.
fn wave(
    server: &Server,
    accepted: &Receiver<Session>,
    clients: &IoService,
    player: &Arc<Player>,
    ended: &Receiver<(CloseReason, Option<Farewell>)>,
) -> usize {
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        clients
            .connect(server.local_address(), player.clone(), |outcome| {
                outcome.expect("a connection");
            })
            .unwrap();
        // One at a time: a backlog that overflows is not what is tested.
        sessions.push(accepted.recv_timeout(LIMIT).expect("a session"));
    }
    let (first, second) = sessions.split_at(SESSIONS / 2);
    std::thread::scope(|scope| {
        for half in [first, second] {
            scope.spawn(move || {
                for session in half {
                    let _ = session.send_bytes(ID, &[2; 5000]);
                    session.kick(CODE, TEXT);
                }
            });
        }
    });
    let said = Farewell {
        code: CODE,
        text: TEXT.into(),
    };
    let ends = (0..SESSIONS).map(|_| ended.recv_timeout(LIMIT).expect("an end"));
    ends.filter(|(reason, farewell)| {
        *reason == CloseReason::ClosedByPeer { code: CODE } && farewell.as_ref() == Some(&said)
    })
    .count()
}

#[test]
fn who_is_kicked_learns_why() {
    let (accepts, accepted) = channel();
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .handler(Host {
            accepted: Mutex::new(accepts),
        })
        .start()
        .unwrap();
    let clients = IoService::start(ServiceConfig {
        workers: 1,
        dispatch: Dispatch::Inline,
        ..ServiceConfig::default()
    })
    .unwrap();
    let (ends, ended) = channel();
    let player = Arc::new(Player {
        ended: Mutex::new(ends),
    });
    let told: usize = (0..WAVES)
        .map(|_| wave(&server, &accepted, &clients, &player, &ended))
        .sum();
    let kicked = WAVES * SESSIONS;
    let stats = server.stop(LIMIT).stats;
    println!("{told} of {kicked} clients learned code and text of their kick");
    assert!(told * 1000 >= kicked * 999, "{told} of {kicked}");
    let counted = stats.closed_for(CloseReason::Kicked { code: CODE });
    assert_eq!(counted, kicked as u64);
    clients.stop(LIMIT);
}
