//! The examples run, as the program that a reader would start.

use fastport_testkit::programs::started;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Where cargo puts examples: beside the folder of the test programs.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("the test's own path");
    let folder: PathBuf = test
        .ancestors()
        .nth(2)
        .expect("deps has a parent")
        .join("examples");
    Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// A server of an example, its address, and its output, which stays open; killed at the end.
struct Running {
    child: Child,
    address: String,
    _output: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut child = started(|| command.spawn());
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        output.read_line(&mut line).expect("a ready line");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("an address")
            .to_owned();
        Self {
            child,
            address,
            _output: output,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_client_asks_the_echo_server() {
    let mut echo = example("echo");
    echo.arg("127.0.0.1:0");
    let server = Running::start(echo);
    let mut client = example("client");
    client.arg(&server.address);
    let output = started(|| client.output());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected = "answered: hello\nanswered: number 1\nanswered: number 2\nanswered: number 3\n";
    assert_eq!(said, expected);
}

#[test]
fn what_one_says_in_the_chat_reaches_the_others() {
    let mut chat = example("chat");
    chat.arg("127.0.0.1:0");
    let server = Running::start(chat);
    let connect = || {
        let stream = TcpStream::connect(&server.address).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time limit");
        stream
    };
    let (mut alice, mut bob, mut carol) = (connect(), connect(), connect());
    // 0x0100, {data_str: "hi"}
    let hi = [0, 8, 1, 0, 0x1a, 2, b'h', b'i'];
    let mut heard = [0; 8];
    // A member hears what is said after it was let in: repeat until all are.
    for member in [&mut bob, &mut carol] {
        member.set_nonblocking(true).expect("a non-blocking socket");
        loop {
            alice.write_all(&hi).expect("a write");
            match member.read(&mut heard) {
                Ok(bytes) => {
                    assert_eq!(bytes, 8);
                    break;
                }
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(heard, hi);
    }
}
