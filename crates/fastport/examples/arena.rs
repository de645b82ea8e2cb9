//! Rooms with a tick: players move when they like, and see their whole arena twenty times a second.
//!
//! `cargo run --release --example arena -- 127.0.0.1:6630`
//!
//! Who connects gets a place in the first arena that has one. A `Move` changes a player's position
//! and is answered by nothing: the next `Snapshot` of the arena shows it. A snapshot is encoded
//! once and shared by reference among the players' send queues; a player who does not read is
//! closed by its own limits and does not hold the tick.

use fastport::protocol::prost;
use fastport::{Handler, Identified, PacketId, Room, Router, Server, Session};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Twenty times a second.
const TICK: Duration = Duration::from_millis(50);
/// Players of an arena.
const PLAYERS_MAX: usize = 8;

/// A player wants to go so far.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "::fastport::protocol::prost")]
struct Move {
    #[prost(sint64, tag = "1")]
    right: i64,
    #[prost(sint64, tag = "2")]
    up: i64,
}

/// Where everybody in an arena is.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "::fastport::protocol::prost")]
struct Snapshot {
    #[prost(uint64, tag = "1")]
    tick: u64,
    #[prost(message, repeated, tag = "2")]
    players: Vec<Position>,
}

/// Where one player is.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "::fastport::protocol::prost")]
struct Position {
    #[prost(uint64, tag = "1")]
    player: u64,
    #[prost(sint64, tag = "2")]
    x: i64,
    #[prost(sint64, tag = "3")]
    y: i64,
}

impl Identified for Move {
    const ID: PacketId = PacketId::new(0x0301);
}

impl Identified for Snapshot {
    const ID: PacketId = PacketId::new(0x0302);
}

/// What is attached to a player's session. Handlers write it, the tick reads it.
#[derive(Default)]
struct Player {
    x: AtomicI64,
    y: AtomicI64,
}

/// All arenas; they are never removed, since the next player may need one.
#[derive(Clone, Default)]
struct Arenas(Arc<Mutex<Vec<Arc<Room>>>>);

impl Arenas {
    /// Lets a player into the first arena with a place, or into a new one.
    fn enter(&self, session: &Session) {
        // The position is there before the tick can look for it.
        let _ = session.attach(Player::default());
        let mut arenas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = arenas.iter().find(|arena| arena.len() < PLAYERS_MAX);
        let arena = free.cloned().unwrap_or_else(|| {
            arenas.push(Arc::new(Room::new()));
            arenas[arenas.len() - 1].clone()
        });
        // Refused only when the session has ended already.
        let _ = arena.join(session);
    }

    /// Shows every arena to its players.
    fn tick(&self, tick: u64) {
        // Cloned, so that nobody who enters waits for the encoding.
        let arenas = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for arena in arenas.iter().filter(|arena| !arena.is_empty()) {
            let members = arena.members();
            let players = members.iter().filter_map(|member| {
                let player = member.attached::<Player>()?;
                Some(Position {
                    player: member.id().value(),
                    x: player.x.load(Ordering::Relaxed),
                    y: player.y.load(Ordering::Relaxed),
                })
            });
            let snapshot = Snapshot {
                tick,
                players: players.collect(),
            };
            if let Err(error) = arena.broadcast(Snapshot::ID, &snapshot) {
                eprintln!("tick {tick}: {error}");
            }
        }
    }
}

/// A thread that ticks until its sender is dropped.
fn start_ticking(arenas: Arenas) -> (Sender<()>, JoinHandle<()>) {
    let (ending, ended) = channel();
    let thread = std::thread::spawn(move || {
        let mut tick = 0;
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            tick += 1;
            arenas.tick(tick);
        }
    });
    (ending, thread)
}

fn handler(arenas: Arenas) -> Result<impl Handler, fastport::ConfigError> {
    Router::new()
        .on_accepted(move |session| arenas.enter(session))
        .on(|session: &Session, moved: Move| {
            if let Some(player) = session.attached::<Player>() {
                player.x.fetch_add(moved.right, Ordering::Relaxed);
                player.y.fetch_add(moved.up, Ordering::Relaxed);
            }
        })
        .build()
}

fn main() -> Result<(), fastport::Error> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6630".into());
    let arenas = Arenas::default();
    let server = Server::builder()
        .listen(address)
        .handler(handler(arenas.clone())?)
        .start()?;
    println!("listening on {}", server.local_address());
    let (ending, thread) = start_ticking(arenas);
    let ended = server.wait();
    drop(ending);
    if thread.join().is_err() {
        eprintln!("the tick has panicked");
    }
    ended
}
