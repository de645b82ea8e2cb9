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
fn the_server_asks_back_before_it_answers() {
    let output = started(|| example("request_response").output());
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert_eq!(said, "answered: hello, a friend\n");
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

/// As the example's messages are; a test that shared them would not see a changed number.
#[derive(Clone, PartialEq, prost::Message)]
struct Snapshot {
    #[prost(uint64, tag = "1")]
    tick: u64,
    #[prost(message, repeated, tag = "2")]
    players: Vec<Position>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Position {
    #[prost(uint64, tag = "1")]
    player: u64,
    #[prost(sint64, tag = "2")]
    x: i64,
    #[prost(sint64, tag = "3")]
    y: i64,
}

/// The next snapshot that a player sees.
fn snapshot(stream: &mut TcpStream) -> Snapshot {
    let mut header = [0; 4];
    stream.read_exact(&mut header).expect("a header");
    assert_eq!(header[2..], [0x03, 0x02]);
    let size = usize::from(u16::from_be_bytes([header[0], header[1]]));
    let mut payload = vec![0; size - 4];
    stream.read_exact(&mut payload).expect("a payload");
    prost::Message::decode(&payload[..]).expect("a snapshot")
}

#[test]
fn players_of_an_arena_see_each_other_move_and_leave() {
    let mut arena = example("arena");
    arena.arg("127.0.0.1:0");
    let server = Running::start(arena);
    let connect = || {
        let stream = TcpStream::connect(&server.address).expect("a connection");
        let limit = Some(Duration::from_secs(10));
        stream.set_read_timeout(limit).expect("a time limit");
        stream
    };
    let mut players: Vec<TcpStream> = (0..9).map(|_| connect()).collect();
    // Eight have a place in the first arena; who came ninth plays alone.
    let mut alone = None;
    for (index, player) in players.iter_mut().enumerate() {
        let seen = loop {
            let seen = snapshot(player).players.len();
            if seen == 8 {
                break 8;
            }
            // The other arena has one only when the first is full.
            if seen == 1 && (0..20).all(|_| snapshot(player).players.len() == 1) {
                break 1;
            }
        };
        if seen == 1 {
            assert_eq!(alone.replace(index), None, "one is alone");
        }
    }
    let alone = alone.expect("the ninth");
    let moved = usize::from(alone == 0);
    // 0x0301, {right: 3, up: -2}, twice.
    let step = [0, 8, 3, 1, 0x08, 6, 0x10, 3];
    players[moved]
        .write_all(&[step, step].concat())
        .expect("a write");
    let watcher = (0..9).find(|index| ![alone, moved].contains(index));
    let watcher = watcher.expect("seven others");
    let is_there = |position: &Position| (position.x, position.y) == (6, -4);
    let mut tick = 0;
    loop {
        let seen = snapshot(&mut players[watcher]);
        assert!(seen.tick > tick, "snapshots come in order");
        tick = seen.tick;
        if seen.players.iter().any(is_there) {
            break;
        }
    }
    players[moved]
        .shutdown(std::net::Shutdown::Both)
        .expect("an end");
    while snapshot(&mut players[watcher]).players.iter().any(is_there) {}
}

#[test]
fn the_resuming_client_misses_nothing() {
    let output = example("resume").output().expect("the example starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for expected in [
        "client: 5\n",
        "client: 10\n",
        "client: 15\n",
        "client: 20\n",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(said.matches("client: resumed").count(), 3, "{said}");
}

#[cfg(feature = "tls-ring")]
#[test]
fn both_sides_of_the_tls_example_show_who_they_are() {
    let output = started(|| example("tls").output());
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for line in ["hello from", "hello again from", "still here from"] {
        let wanted = format!("{line} a client with 1 certificate");
        assert!(told.contains(&wanted), "{told}");
    }
}
