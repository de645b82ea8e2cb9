//! The loop: one system call a turn submits all that the last one led to and waits for more.

use super::buffers::{Buffers, GROUP};
use super::session::{Session, Violation};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt::set_tcp_nodelay};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Serves until the process is ended.
pub(super) fn run(address: SocketAddr) -> io::Result<()> {
    let mut echo = Echo::new(TcpListener::bind(address)?)?;
    println!("listening on {}", echo.listener.local_addr()?);
    loop {
        echo.turn()?;
    }
}

struct Echo {
    listener: TcpListener,
    ring: IoUring,
    buffers: Buffers,
    /// By slot; a slot is free when the kernel holds neither a receive nor a send of it.
    sessions: Vec<Option<Session>>,
    free: Vec<u32>,
    /// Sessions whose receive ended for want of buffers.
    starved: Vec<u32>,
    /// The completions of this turn.
    completions: Vec<(u64, i32, u32)>,
}

impl Echo {
    fn new(listener: TcpListener) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::register(&ring.submitter())?;
        let mut echo = Self {
            listener,
            ring,
            buffers,
            sessions: Vec::new(),
            free: Vec::new(),
            starved: Vec::new(),
            completions: Vec::new(),
        };
        echo.accept();
        Ok(echo)
    }

    fn turn(&mut self) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let mut completions = std::mem::take(&mut self.completions);
        let ready = self.ring.completion();
        completions.extend(ready.map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        for (identity, result, flags) in completions.drain(..) {
            let slot = identity as u32;
            match identity >> 32 {
                ACCEPT => self.on_accepted(result, flags)?,
                RECEIVE => self.on_received(slot, result, flags),
                _ => self.on_sent(slot, result),
            }
        }
        self.completions = completions;
        self.buffers.publish();
        if self.buffers.any_left() {
            while let Some(slot) = self.starved.pop() {
                self.receive(slot);
            }
        }
        Ok(())
    }

    fn on_accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        // SAFETY: the completion hands over a new descriptor that nothing else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(result) };
        // A peer that is gone already shows at the first receive.
        let _ = set_tcp_nodelay(&socket, true);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            (self.sessions.len() - 1) as u32
        });
        self.sessions[slot as usize] = Some(Session::new(socket));
        self.receive(slot);
        if !cqueue::more(flags) {
            self.accept();
        }
        Ok(())
    }

    fn on_received(&mut self, slot: u32, result: i32, flags: u32) {
        let Some(session) = self.sessions[slot as usize].as_mut() else {
            return;
        };
        session.receiving = cqueue::more(flags);
        let mut post = Ok(false);
        match usize::try_from(result) {
            Ok(length) if length > 0 => {
                let id = cqueue::buffer_select(flags).expect("data comes in a buffer");
                self.buffers.take();
                post = session.received(id, length, &mut self.buffers);
            }
            Err(_) if result == -Errno::NOBUFS.raw_os_error() && !session.ended => {
                self.starved.push(slot);
                session.receiving = true;
            }
            Ok(_) | Err(_) => session.ended = true,
        }
        if !session.receiving && !session.ended {
            self.receive(slot);
        }
        self.proceed(slot, post);
    }

    fn on_sent(&mut self, slot: u32, result: i32) {
        let Some(session) = self.sessions[slot as usize].as_mut() else {
            return;
        };
        let post = match usize::try_from(result) {
            Ok(count) => session.sent(count, &mut self.buffers),
            Err(_) => Err(Violation),
        };
        if result < 0 {
            session.abandon(&mut self.buffers);
        }
        self.proceed(slot, post);
    }

    /// Posts the send that is due, ends a session that broke the rules, frees one that is done.
    fn proceed(&mut self, slot: u32, post: Result<bool, Violation>) {
        let Some(session) = self.sessions[slot as usize].as_mut() else {
            return;
        };
        match post {
            Ok(true) => self.send(slot),
            Ok(false) => {}
            // The receive ends with this, and its completion frees the slot.
            Err(Violation) => {
                let _ = shutdown(&session.socket, Shutdown::Both);
            }
        }
        let done = |session: &Session| session.ended && !session.receiving && session.is_idle();
        if self.sessions[slot as usize].as_ref().is_some_and(done) {
            self.sessions[slot as usize] = None;
            self.free.push(slot);
        }
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener.as_raw_fd())).build();
        self.push(entry.user_data(ACCEPT << 32));
    }

    fn receive(&mut self, slot: u32) {
        let Some(session) = self.sessions[slot as usize].as_mut() else {
            return;
        };
        session.receiving = true;
        let socket = types::Fd(session.socket.as_raw_fd());
        let entry = opcode::RecvMulti::new(socket, GROUP).build();
        self.push(entry.user_data(RECEIVE << 32 | u64::from(slot)));
    }

    fn send(&mut self, slot: u32) {
        let Some(session) = self.sessions[slot as usize].as_ref() else {
            return;
        };
        let (start, length) = session.unsent(&self.buffers);
        let socket = types::Fd(session.socket.as_raw_fd());
        let entry = opcode::Send::new(socket, start, length).build();
        self.push(entry.user_data(SEND << 32 | u64::from(slot)));
    }

    fn push(&mut self, entry: squeue::Entry) {
        loop {
            // SAFETY: what a send names stays in place until its completion (`Session::unsent`),
            // the receive buffers for ever; the socket is closed only when no operation is left.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
            // Full: what is there goes to the kernel now. A failure leaves it full, and is tried
            // again.
            let _ = self.ring.submit();
        }
    }
}

const SUBMISSIONS: u32 = 4096;
const COMPLETIONS: u32 = 16_384;
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
