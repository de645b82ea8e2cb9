//! A server on FastPort's library with what the command line's has not: a handler that blocks, and
//! a message to every session.
#![forbid(unsafe_code)]

use clap::Parser;
use fastport::{
    CloseReason, Dispatch, Handler, IoService, Packet, PacketId, ServiceConfig, Session,
};
use fastport_bench::descriptors;
use fastport_bench::frames::{BLOCKING, BROADCAST};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A server on FastPort's library: raw echo, an echo that blocks, a message to all.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:6628")]
    listen: SocketAddr,
    /// I/O workers.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Threads that handlers run on.
    #[arg(long, default_value_t = 2)]
    event_workers: usize,
}

struct Services;

impl Handler for Services {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        // What can not be sent concerns a session that has ended, or a peer that does not read.
        let _ = match packet.id() {
            PacketId::RAW_ECHO => session.forward(&packet).map(drop),
            BLOCKING_ID => {
                block();
                session.forward(&packet).map(drop)
            }
            BROADCAST_ID => session
                .everyone()
                .broadcast_bytes(BROADCAST_ID, packet.payload()),
            id => {
                session.note_unhandled(id);
                Ok(())
            }
        };
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        if !matches!(
            reason,
            CloseReason::PeerClosed | CloseReason::PeerReset { .. }
        ) {
            eprintln!("session {} closed: {reason}", session.id());
        }
    }
}

/// As a handler does that waits for a database: the thread is gone for a while, the core is not.
fn block() {
    let (_silent, answers) = channel::<()>();
    // Nobody answers; the time limit is what ends it.
    let _ = answers.recv_timeout(BLOCKED);
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    descriptors::raise_limit()?;
    let mut config = ServiceConfig {
        workers: arguments.workers,
        dispatch: Dispatch::Pool {
            workers: arguments.event_workers,
        },
        sessions_max: SESSIONS_MAX,
        ..ServiceConfig::default()
    };
    config.session.idle_timeout = Duration::ZERO;
    config.session.first_packet_timeout = Duration::ZERO;
    let service = IoService::start(config)?;
    let address = service.listen(arguments.listen, Arc::new(Services))?;
    println!("listening on {address} engine={}", service.engine());
    Ok(service.wait()?)
}

const BLOCKING_ID: PacketId = PacketId::new(BLOCKING);
const BROADCAST_ID: PacketId = PacketId::new(BROADCAST);
const BLOCKED: Duration = Duration::from_millis(1);
const SESSIONS_MAX: usize = 20_000;
