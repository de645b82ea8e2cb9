//! Signals and console events: the first drains, the second ends the process at once.
//!
//! Closing the console, logging off and shutting down can not be brought about by a program: their
//! way through the drain is the same as that of Ctrl-Break, and its time limit has a unit test.

#[path = "harness/server.rs"]
mod server;

use server::Server;
use std::io::Read;
use std::net::TcpStream;

/// A file that lets a session wait long for its peer, so that a drain does not end by itself.
fn settings() -> String {
    let name = format!(
        "fastport-signals-{}-{:?}.toml",
        std::process::id(),
        std::thread::current().id()
    );
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "[session]\nlinger_timeout = '60s'\n").expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_first_signal_drains() {
    let (status, rest) = Server::start(&["--workers", "1"]).terminate();
    assert_eq!(status, Some(0), "{rest}");
    assert!(rest.contains("stopped after"), "{rest}");
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let settings = settings();
    let patient = [
        "--workers",
        "1",
        "--drain-timeout",
        "60s",
        "--config",
        &settings,
    ];
    let mut server = Server::start(&patient);
    // The server has read it.
    std::fs::remove_file(&settings).expect("the file");
    let mut peer = TcpStream::connect(server.address()).expect("a connection");
    server.ask_to_stop();
    // The drain half-closes: it has begun, and waits for this side.
    assert_eq!(peer.read(&mut [0; 1]).expect("the end of the stream"), 0);
    assert_eq!(server.child.try_wait().expect("a status"), None);
    server.ask_to_stop();
    assert_eq!(server.child.wait().expect("a status").code(), Some(130));
}

/// Whether the server lets one more session in. It closes those that are too many at once.
#[cfg(unix)]
fn lets_in(address: &str) -> bool {
    use std::io::Write;
    const RAW_ECHO: [u8; 5] = [0, 5, 0, 2, b'x'];
    let mut peer = TcpStream::connect(address).expect("a connection");
    let mut answer = [0; 5];
    peer.write_all(&RAW_ECHO).is_ok() && peer.read_exact(&mut answer).is_ok()
}

/// A reload does not undo what a flag says, and tells so.
#[cfg(unix)]
#[test]
fn a_reload_leaves_the_log_to_its_flag() {
    let path = settings();
    std::fs::write(&path, "[log]\nlevel = \"info\"\n").expect("the file");
    let admin = format!("unix:{path}.socket");
    let listening = format!("--admin={admin}");
    let server = Server::start(&["--log", "warn", "--config", &path, &listening]);
    std::fs::write(&path, "[log]\nlevel = \"trace\"\n").expect("the file");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fastport"))
        .args(["admin", "--admin", &admin, "reload"])
        .output()
        .expect("the program runs");
    std::fs::remove_file(&path).expect("the file");
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert!(told.contains("--log counts before it"), "{told}");
    assert_eq!(server.terminate().0, Some(0));
}

/// The settings are read again, what is wrong with them changes nothing, and the server stays.
#[cfg(unix)]
#[test]
fn a_hang_up_reloads_the_settings() {
    let path = settings();
    let write = |text: &str| std::fs::write(&path, text).expect("the file");
    write("[server]\nmax_sessions = 1\n");
    let server = Server::start(&["--workers", "1", "--config", &path]);
    let hang_up = || {
        let process = server.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &process])
            .status();
        assert!(sent.expect("kill").success());
    };
    let _first = TcpStream::connect(server.address()).expect("a connection");
    assert!(!lets_in(&server.address()));
    write("[server]\nmax_sessions = 0\n");
    hang_up();
    assert!(!lets_in(&server.address()));
    write("[server]\nmax_sessions = 2\n");
    hang_up();
    let mut tries = 0;
    while !lets_in(&server.address()) {
        tries += 1;
        assert!(tries < 100_000, "not reloaded");
    }
    std::fs::remove_file(&path).expect("the file");
    let (status, rest) = server.terminate();
    assert_eq!(status, Some(0), "{rest}");
}
