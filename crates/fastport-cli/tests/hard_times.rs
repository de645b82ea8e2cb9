//! A server in hard times: signals in the middle of everything, a log that can not be written, and
//! the end of its own process, on each engine.
//!
//! Unix: it is stopped and continued by signals.
#![cfg(unix)]

#[path = "harness/server.rs"]
mod server;

use server::Server;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long anything may take before a case fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A frame that the server sends back: raw echo, 0x1002.
fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).expect("a frame");
    let id = fastport::PacketId::RAW_ECHO.number();
    [&size.to_be_bytes(), &id.to_be_bytes(), payload].concat()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
}

fn echo(stream: &mut TcpStream, payload: &[u8]) {
    let request = frame(payload);
    stream.write_all(&request).expect("a request");
    let mut answer = vec![0; request.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, request);
}

fn signal(server: &Server, signal: i32) {
    let process = i32::try_from(server.child.id()).expect("a process id");
    // SAFETY: a signal to a child that was not waited for touches no memory of ours.
    let outcome = unsafe { libc::kill(process, signal) };
    assert_eq!(outcome, 0);
}

/// Stopping and continuing a process interrupts the calls that it waits in (EINTR; signal(7)).
fn interrupted_calls_change_nothing(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut streams: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    for round in 0..200u32 {
        signal(&server, libc::SIGSTOP);
        signal(&server, libc::SIGCONT);
        let count = streams.len();
        echo(&mut streams[round as usize % count], &round.to_be_bytes());
    }
    for stream in &mut streams {
        echo(stream, b"unharmed");
    }
    drop(streams);
    assert_eq!(server.terminate().0, Some(0));
}

/// A process that was stopped for longer than its sessions may be idle does not blame them.
fn a_stopped_process_blames_nobody(engine: &str) {
    let server = Server::start(&["--engine", engine, "--idle-timeout", "1500ms"]);
    let mut streams: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        echo(stream, b"here");
    }
    signal(&server, libc::SIGSTOP);
    // Nothing comes from it: this ends with its time.
    let mut first = &streams[0];
    let time = Duration::from_secs(3);
    first.set_read_timeout(Some(time)).expect("a limit");
    assert!(first.read(&mut [0]).is_err(), "a stopped process speaks");
    first.set_read_timeout(Some(LIMIT)).expect("a limit");
    signal(&server, libc::SIGCONT);
    for stream in &mut streams {
        echo(stream, b"still here");
    }
}

/// Every request that was sent before SIGTERM is answered after it, on every session.
fn a_drain_answers_what_is_in_flight(engine: &str) {
    let mut server = Server::start(&["--engine", engine, "--drain-timeout", "20s"]);
    let mut streams: Vec<_> = (0..100).map(|_| connect(&server)).collect();
    let request = frame(b"in flight");
    for stream in &mut streams {
        let all = request.repeat(40);
        stream.write_all(&all).expect("requests");
    }
    server.ask_to_stop();
    let mut answered = 0;
    for mut stream in streams {
        let mut answers = Vec::new();
        stream
            .read_to_end(&mut answers)
            .expect("answers, then the end");
        assert_eq!(answers, request.repeat(40));
        answered += 40;
    }
    assert_eq!(answered, 4000);
    let status = server.child.wait().expect("a status");
    assert_eq!(status.code(), Some(0));
}

/// The same, when the server did not even get to accept before it.
fn a_drain_answers_who_waits_in_the_backlog(engine: &str) {
    let mut server = Server::start(&["--engine", engine, "--drain-timeout", "20s"]);
    signal(&server, libc::SIGSTOP);
    // The kernel completes them, within the backlog.
    let mut streams: Vec<_> = (0..100).map(|_| connect(&server)).collect();
    let request = frame(b"not seen yet");
    for stream in &mut streams {
        stream.write_all(&request).expect("a request");
    }
    server.ask_to_stop();
    signal(&server, libc::SIGCONT);
    for mut stream in streams {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert_eq!(answer, request);
    }
    let status = server.child.wait().expect("a status");
    assert_eq!(status.code(), Some(0));
}

/// A log that can not be written costs the log, not the service.
fn a_full_disk_costs_the_log_only(engine: &str) {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no /dev/full here");
        return;
    };
    let listen = "127.0.0.1:0";
    let mut child = Command::new(env!("CARGO_BIN_EXE_fastport"))
        .args([
            "--log", "trace", "server", "--listen", listen, "--engine", engine,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(full)
        .spawn()
        .expect("the program starts");
    let mut output = child.stdout.take().expect("a pipe");
    let mut ready = String::new();
    let mut byte = [0];
    while !ready.ends_with('\n') {
        output.read_exact(&mut byte).expect("a ready line");
        ready.push(char::from(byte[0]));
    }
    let address = ready.split_whitespace().nth(2).expect("an address");
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        echo(&mut stream, b"not logged");
    }
    let process = i32::try_from(child.id()).expect("a process id");
    // SAFETY: a signal to a child that was not waited for touches no memory of ours.
    assert_eq!(unsafe { libc::kill(process, libc::SIGTERM) }, 0);
    assert_eq!(child.wait().expect("a status").code(), Some(0));
}

/// A second order to stop ends a drain at once, under load as well.
fn a_second_signal_ends_a_loaded_drain(engine: &str) {
    let mut server = Server::start(&["--engine", engine, "--drain-timeout", "60s"]);
    let mut streams: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        // Its answers are not read.
        stream
            .write_all(&frame(&[7; 9000]).repeat(4))
            .expect("requests");
    }
    server.ask_to_stop();
    // The drain has begun when nobody is let in any more.
    while TcpStream::connect(server.address()).is_ok() {}
    server.ask_to_stop();
    let status = server.child.wait().expect("a status").code();
    // The drain may have been over already: what is unread fits the kernel's buffers.
    assert!(matches!(status, Some(130 | 0)), "{status:?}");
}

/// Makes a test of each case on one engine.
macro_rules! mount {
    ($module:ident, $engine:literal, $($case:ident),* $(,)?) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    super::$case($engine);
                }
            )*
        }
    };
}

macro_rules! mount_all {
    ($module:ident, $engine:literal) => {
        mount!(
            $module,
            $engine,
            interrupted_calls_change_nothing,
            a_stopped_process_blames_nobody,
            a_drain_answers_what_is_in_flight,
            a_drain_answers_who_waits_in_the_backlog,
            a_full_disk_costs_the_log_only,
            a_second_signal_ends_a_loaded_drain,
        );
    };
}

#[cfg(target_os = "linux")]
mount_all!(io_uring, "io_uring");
mount_all!(poll, "poll");
