//! The loop: one system call a turn submits all that the last one led to and waits for more.

use super::buffers::{Buffers, GROUP};
use super::session::{Session, Violation};
use fastport_bench::listening::listener;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::io::Errno;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::thread;

/// Serves until the process is ended. A ring may hold as many connections as the process may have
/// descriptors.
pub(super) fn run(address: SocketAddr, threads: usize, limit: Option<u64>) -> io::Result<()> {
    let files = limit.map_or(FILES_MAX, |limit| limit.min(FILES_MAX.into()) as u32);
    let first = listener(address)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads {
        listeners.push(listener(address)?);
    }
    println!("listening on {address} threads={threads}");
    let serve = move |listener| {
        let mut echo = Echo::new(listener, files)?;
        loop {
            echo.turn()?;
        }
    };
    let spawn = |listener| thread::Builder::new().spawn(move || serve(listener));
    let running: Vec<_> = listeners.into_iter().map(spawn).collect::<Result<_, _>>()?;
    running.into_iter().try_for_each(|thread| {
        let ended: io::Result<()> = thread.join().map_err(|_| io::Error::other("a panic"))?;
        ended
    })
}

struct Echo {
    listener: TcpListener,
    ring: IoUring,
    buffers: Buffers,
    /// By slot, which is the place in the ring's table of files; closed and free for the next when
    /// the kernel holds neither a receive nor a send of it.
    sessions: Vec<Option<Session>>,
    /// Accepting ended because the table of files is full.
    full: bool,
    /// Sessions whose receive ended for want of buffers.
    starved: Vec<u32>,
    /// The completions of this turn.
    completions: Vec<(u64, i32, u32)>,
}

impl Echo {
    fn new(listener: TcpListener, files: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(files)?;
        let buffers = Buffers::register(&ring.submitter())?;
        let mut echo = Self {
            listener,
            ring,
            buffers,
            sessions: Vec::new(),
            full: false,
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
                SEND => self.on_sent(slot, result),
                // A shutdown or close that failed: the connection is gone already.
                _ => {}
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
        let Ok(slot) = u32::try_from(result) else {
            if result != -Errno::NFILE.raw_os_error() {
                return Err(io::Error::from_raw_os_error(-result));
            }
            self.full = true;
            return Ok(());
        };
        let at = slot as usize;
        if self.sessions.len() <= at {
            self.sessions.resize_with(at + 1, || None);
        }
        self.sessions[at] = Some(Session::new());
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
        if self.sessions[slot as usize].is_none() {
            return;
        }
        match post {
            Ok(true) => self.send(slot),
            Ok(false) => {}
            // The receive ends with this, and its completion frees the slot.
            Err(Violation) => {
                let entry = opcode::Shutdown::new(types::Fixed(slot), SHUTDOWN_BOTH).build();
                self.push_silent(entry);
            }
        }
        let done = |session: &Session| session.ended && !session.receiving && session.is_idle();
        if self.sessions[slot as usize].as_ref().is_some_and(done) {
            self.sessions[slot as usize] = None;
            self.push_silent(opcode::Close::new(types::Fixed(slot)).build());
            if std::mem::take(&mut self.full) {
                self.accept();
            }
        }
    }

    /// Pushes what tells only of failures: its place may have its next connection by then.
    fn push_silent(&mut self, entry: squeue::Entry) {
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry.user_data(SILENT << 32));
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener.as_raw_fd()))
            .allocate_file_index(true)
            .build();
        self.push(entry.user_data(ACCEPT << 32));
    }

    fn receive(&mut self, slot: u32) {
        let Some(session) = self.sessions[slot as usize].as_mut() else {
            return;
        };
        session.receiving = true;
        let entry = opcode::RecvMulti::new(types::Fixed(slot), GROUP).build();
        self.push(entry.user_data(RECEIVE << 32 | u64::from(slot)));
    }

    fn send(&mut self, slot: u32) {
        let Some(session) = self.sessions[slot as usize].as_ref() else {
            return;
        };
        let (start, length) = session.unsent(&self.buffers);
        let entry = opcode::Send::new(types::Fixed(slot), start, length).build();
        self.push(entry.user_data(SEND << 32 | u64::from(slot)));
    }

    fn push(&mut self, entry: squeue::Entry) {
        loop {
            // SAFETY: what a send names stays in place until its completion (`Session::unsent`),
            // the receive buffers for ever; the connection is closed when no operation is left.
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
const SILENT: u64 = 3;
const SHUTDOWN_BOTH: i32 = 2;
/// Connections of a ring, where the process may have so many descriptors.
const FILES_MAX: u32 = 65_536;
