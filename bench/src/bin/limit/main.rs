//! The least that an io_uring echo server can do: how fast this machine could be.
//!
//! A ring a thread, raw echo (0x0002) only. Frames that arrive whole are sent back from the buffer
//! that the kernel put them in; the rest of a cut frame is carried. Connections are direct
//! descriptors: accepted by one multishot operation, closed in the batch of the turn, and not among
//! the process's descriptors. There are no sessions to hand out, no handlers, no timers, no limits:
//! what FastPort loses against this is what its features cost.

#[cfg(target_os = "linux")]
mod buffers;
#[cfg(target_os = "linux")]
mod echo;
#[cfg(target_os = "linux")]
mod session;

use clap::Parser;
use std::io;
use std::net::SocketAddr;

/// The least that an io_uring echo server can do.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:6628")]
    listen: SocketAddr,
    /// Threads, each with a ring and a listening socket of its own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[cfg(target_os = "linux")]
fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let limit = fastport_bench::descriptors::raise_limit()?;
    echo::run(arguments.listen, arguments.threads.max(1), limit)
}

#[cfg(not(target_os = "linux"))]
fn main() -> io::Result<()> {
    let Arguments { listen, .. } = Arguments::parse();
    let sentence = format!("can not serve {listen}: io_uring exists on Linux only");
    Err(io::Error::new(io::ErrorKind::Unsupported, sentence))
}
