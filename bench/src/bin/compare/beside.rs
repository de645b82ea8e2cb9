//! What goes on beside the load: sessions that are idle, or one whose handler blocks.

use crate::contestant::Beside;
use crate::server::Server;
use fastport_bench::frames::BLOCKING;
use fastport_bench::idle_sessions::{IdleSessions, exchange};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// It goes on until this is dropped.
pub(crate) enum Company {
    Nobody,
    /// They are only held.
    Idle(#[allow(dead_code, reason = "dropping it ends the sessions")] IdleSessions),
    Blocking(Blocking),
}

impl Company {
    /// Begins it; idle sessions have had their echo when this returns.
    pub(crate) fn begin(beside: Beside, server: &Server) -> io::Result<Self> {
        match beside {
            Beside::Nothing => Ok(Self::Nobody),
            Beside::Idle(sessions) => {
                let mut idle = IdleSessions::open(server.address, sessions, PAYLOAD)?;
                idle.echo_all(PAYLOAD)?;
                Ok(Self::Idle(idle))
            }
            Beside::Blocked => Blocking::begin(server).map(Self::Blocking),
        }
    }

    /// Ends it. A session that blocks must have been answered until now.
    pub(crate) fn end(self) -> Result<(), String> {
        match self {
            Self::Nobody | Self::Idle(_) => Ok(()),
            Self::Blocking(blocking) => blocking.end(),
        }
    }
}

/// A session that has one packet after the other handled by a handler that blocks.
pub(crate) struct Blocking {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Blocking {
    fn begin(server: &Server) -> io::Result<Self> {
        let mut session = TcpStream::connect(server.address)?;
        session.set_nodelay(true)?;
        exchange(&mut session, BLOCKING, PAYLOAD)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = is_over.clone();
        let thread = thread::spawn(move || {
            let mut answers = 0;
            while !told.load(Ordering::Acquire) {
                exchange(&mut session, BLOCKING, PAYLOAD)?;
                answers += 1;
            }
            Ok(answers)
        });
        Ok(Self { is_over, thread })
    }

    fn end(self) -> Result<(), String> {
        self.is_over.store(true, Ordering::Release);
        let answers = self.thread.join().map_err(|_| "a panic".to_owned())?;
        match answers {
            Ok(0) => Err("the session that blocks was never answered".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the session that blocks: {error}")),
        }
    }
}

const PAYLOAD: usize = 64;
