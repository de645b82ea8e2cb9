//! Signals: the first drains, the second ends the process at once.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A server that is killed when a test fails.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let settings = settings();
        let mut child = Command::new(env!("CARGO_BIN_EXE_fastport"))
            .args(["server", "--listen", "127.0.0.1:0", "--workers", "1"])
            .args(["--drain-timeout", "60s", "--config", &settings])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut ready = String::new();
        let output = child.stdout.as_mut().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut ready)
            .expect("a ready line");
        // The server has read it.
        std::fs::remove_file(&settings).expect("the file");
        let address = ready
            .split_whitespace()
            .nth(2)
            .expect("an address")
            .to_owned();
        Self { child, address }
    }

    fn signal(&self, signal: i32) {
        let process = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a signal to a child that was not waited for touches no memory of ours.
        let outcome = unsafe { libc::kill(process, signal) };
        assert_eq!(outcome, 0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that lets a session wait long for its peer, so that a drain does not end by itself.
fn settings() -> String {
    let name = format!("fastport-signals-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "[session]\nlinger_timeout = '60s'\n").expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        let mut server = Server::start();
        let mut peer = TcpStream::connect(&server.address).expect("a connection");
        server.signal(libc::SIGTERM);
        // The drain half-closes: it has begun, and waits for this side.
        assert_eq!(peer.read(&mut [0; 1]).expect("the end of the stream"), 0);
        assert_eq!(server.child.try_wait().expect("a status"), None);
        server.signal(second);
        assert_eq!(server.child.wait().expect("a status").code(), Some(130));
    }
}
