//! The handler, and what it knows of each session: the rules of a session's life.

use super::client::{ECHO, NEWS, payload};
use fastport::{CloseReason, Handler, Packet, Room, Session, SessionId};
use fastport_testkit::check;
use fastport_testkit::verdict::Verdict;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// How long the next packet may take. Never waited for when all is well.
const LIMIT: Duration = Duration::from_secs(30);
/// Frames that a session of the service's own sends.
const OWN_FRAMES: u32 = 10;
/// The first of the numbers by which those are told from clients.
pub(crate) const OWN: u32 = 1 << 16;

/// A session, as its handler saw it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) peer: SocketAddr,
    pub(crate) inbound: bool,
    /// Who it is, from its first packet on.
    pub(crate) client: Option<u32>,
    /// Packets that were handled, in order, each as it was sent.
    pub(crate) handled: u32,
    /// Those of them that an echo was queued for: not after the end was asked for.
    pub(crate) answered: u32,
    pub(crate) ended: Option<CloseReason>,
}

/// Echoes, broadcasts, ends some of the sessions, and keeps the ledger.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) verdict: Verdict,
    room: Room,
    /// The number of the next broadcast. Held during it, so that numbers are in its order.
    news: Mutex<u64>,
    lives: Mutex<HashMap<SessionId, Life>>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Copy, Clone, Default)]
struct Progress {
    packets: usize,
    /// Clients that have ended.
    gone: u32,
}

impl Ledger {
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.lives.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn client_has_ended(&self) {
        self.progress.lock().unwrap().gone += 1;
        self.changed.notify_all();
    }

    /// Blocks until so many packets were handled, or that many clients have ended.
    pub(crate) fn wait_for(&self, packets: usize, clients: u32) {
        let progress = self.progress.lock().unwrap();
        let waits = |now: &mut Progress| now.packets < packets && now.gone < clients;
        let waited = self.changed.wait_timeout_while(progress, LIMIT, waits);
        assert!(!waited.unwrap().1.timed_out(), "nothing goes on");
    }

    fn begin(&self, session: &Session) {
        let life = Life {
            peer: session.peer_address(),
            inbound: session.is_inbound(),
            client: None,
            handled: 0,
            answered: 0,
            ended: None,
        };
        let before = self.lives.lock().unwrap().insert(session.id(), life);
        check!(self.verdict, before.is_none(), "a session began twice");
    }

    /// Changes what is known of a session that lives.
    fn with(&self, session: &Session, what: &str, act: impl FnOnce(&mut Life)) {
        let mut lives = self.lives.lock().unwrap();
        let life = lives.get_mut(&session.id());
        match life.filter(|life| life.ended.is_none()) {
            Some(life) => act(life),
            None => self
                .verdict
                .violate(format_args!("{what} outside of a session's life")),
        }
    }

    /// Notes a packet; which client's it is, and its number.
    fn note(&self, session: &Session, packet: &Packet<'_>) -> (u32, u32) {
        let bytes = packet.payload();
        let word = |at: usize| {
            bytes
                .get(at..at + 4)?
                .try_into()
                .ok()
                .map(u32::from_be_bytes)
        };
        let (client, number) = (word(0).unwrap_or(0), word(4).unwrap_or(0));
        self.with(session, "a packet", |life| {
            let known = *life.client.get_or_insert(client);
            check!(
                self.verdict,
                known == client && number == life.handled && payload(client, number) == bytes,
                "packet {number} of {client} where {} of {known} was due",
                life.handled
            );
            life.handled += 1;
        });
        self.progress.lock().unwrap().packets += 1;
        self.changed.notify_all();
        (client, number)
    }

    fn broadcast(&self) {
        let mut next = self.news.lock().unwrap();
        if self.room.broadcast_bytes(NEWS, &next.to_be_bytes()).is_ok() {
            *next += 1;
        }
    }

    /// The service's own side of a connection to itself.
    fn on_own_packet(&self, session: &Session, packet: &Packet<'_>) {
        if packet.id() == ECHO && self.note(session, packet).1 + 1 == OWN_FRAMES {
            session.disconnect();
        }
    }
}

impl Handler for Ledger {
    fn on_accepted(&self, session: &Session) {
        self.begin(session);
        // It may have ended before a pool has come to this.
        let _ = self.room.join(session);
    }

    fn on_connected(&self, session: &Session) {
        self.begin(session);
        let me = OWN + u32::from(session.id().value() as u16);
        for number in 0..OWN_FRAMES {
            let _ = session.send_bytes(ECHO, &payload(me, number));
        }
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if !session.is_inbound() {
            return self.on_own_packet(session, &packet);
        }
        let (client, number) = self.note(session, &packet);
        let echoed = session.forward(&packet);
        let answered = u32::from(echoed.is_ok());
        self.with(session, "an echo", |life| life.answered += answered);
        check!(
            self.verdict,
            echoed.is_ok() || !session.is_connected(),
            "an echo was refused: {echoed:?}"
        );
        match (client % 7, number) {
            (3, 20) => session.disconnect(),
            (5, 30) => session.kick(17, "enough"),
            (_, number) if number % 16 == 5 => self.broadcast(),
            _ => {}
        }
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        self.with(session, "an end", |life| life.ended = Some(reason));
    }
}
