//! Opens thousands of idle sessions against a server and tells its resident memory for each.
//!
//! It is measured twice: after the connects alone, and after every session has had one raw echo,
//! since memory that a session takes once and keeps is idle memory too.
#![forbid(unsafe_code)]

use clap::Parser;
use fastport_bench::frames::{RAW_ECHO, header};
use fastport_bench::{descriptors, process};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Opens idle sessions and tells the server's memory for each.
#[derive(Parser)]
struct Arguments {
    /// The server's address.
    #[arg(long)]
    connect: SocketAddr,
    /// The server's process.
    #[arg(long)]
    pid: u32,
    /// Sessions to open.
    #[arg(long, default_value_t = 15_000)]
    sessions: usize,
    /// Payload of the echo that each session has before the second measurement.
    #[arg(long, default_value_t = 64)]
    payload: usize,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let limit = descriptors::raise_limit()?;
    if limit.is_some_and(|limit| limit < arguments.sessions as u64 + DESCRIPTORS_ELSE) {
        let sentence = format!("{limit:?} descriptors are too few: raise ulimit -Hn");
        return Err(Error::other(sentence));
    }
    let baseline = resident(&arguments)?;
    println!("baseline: {baseline} bytes resident");
    let mut sessions = Vec::with_capacity(arguments.sessions);
    for number in 0..arguments.sessions {
        sessions.push(connect(arguments.connect, number)?);
    }
    // Accepts come in order: when the last session answers, the server has all of them.
    if let Some(last) = sessions.last_mut() {
        echo(last, arguments.payload)?;
    }
    report("connected", &arguments, baseline)?;
    for session in &mut sessions {
        echo(session, arguments.payload)?;
    }
    report("after one echo each", &arguments, baseline)
}

fn report(what: &str, arguments: &Arguments, baseline: u64) -> io::Result<()> {
    let now = resident(arguments)?;
    let per_session = now.saturating_sub(baseline) as f64 / arguments.sessions.max(1) as f64;
    let sessions = arguments.sessions;
    println!("{what}: {sessions} sessions, {now} bytes resident, {per_session:.0} a session");
    Ok(())
}

fn resident(arguments: &Arguments) -> io::Result<u64> {
    Ok(process::memory(arguments.pid)?.resident_bytes)
}

/// On loopback a source address of this run's own, and another for each 20,000 sessions: the ports
/// of one address run out, and those of an earlier run stay taken for a minute.
fn connect(server: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if server.ip().is_loopback() && server.is_ipv4() {
        let host = u8::try_from(number / SESSIONS_PER_SOURCE + 1)
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "too many sessions"))?;
        let [.., run_high, run_low] = std::process::id().to_be_bytes();
        let source = Ipv4Addr::new(127, run_high, run_low, host);
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn echo(session: &mut TcpStream, payload: usize) -> io::Result<()> {
    let header = header(RAW_ECHO, payload)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the payload is too large"))?;
    let mut frame = header.to_vec();
    frame.resize(header.len() + payload, 0x5a);
    session.write_all(&frame)?;
    let mut answer = vec![0; frame.len()];
    session.read_exact(&mut answer)?;
    if answer == frame {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::InvalidData,
            "the answer is not what was sent",
        ))
    }
}

const SESSIONS_PER_SOURCE: usize = 20_000;
/// Descriptors for what is not a session.
const DESCRIPTORS_ELSE: u64 = 16;
const PATIENCE: Duration = Duration::from_secs(10);
