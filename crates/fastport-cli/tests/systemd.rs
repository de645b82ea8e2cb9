//! The server under systemd: the unit, and the notify protocol against a socket that the test owns.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// More than any message here takes.
const LIMIT: Duration = Duration::from_secs(60);

fn fastport(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastport"));
    command.args(arguments).env_remove("FASTPORT_LOG");
    command
}

fn unit(more: &[&str]) -> String {
    let fixed = [
        "service",
        "install",
        "--print",
        "--program",
        "/usr/local/bin/fastport",
    ];
    let output = fastport(&[&fixed, more].concat())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A manager: a socket, and a server that was told of it.
struct Manager {
    socket: UnixDatagram,
    child: Child,
}

impl Manager {
    fn start(name: &str, watchdog: Option<Duration>, arguments: &[&str]) -> Self {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(name),
        };
        let socket = UnixDatagram::bind_addr(&address.expect("an address")).expect("a socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        let fixed = [
            "service",
            "run",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "2",
        ];
        let mut command = fastport(&[&fixed, arguments].concat());
        command
            .env("NOTIFY_SOCKET", name)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        let child = command.spawn().expect("the program starts");
        Self { socket, child }
    }

    fn message(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    }

    fn signal(&self, signal: i32) {
        let process = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a signal to a child that was not waited for touches no memory of ours.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has(message: &str, line: &str) -> bool {
    message.lines().any(|it| it == line)
}

#[test]
fn the_manager_is_told_of_start_life_and_end() {
    let process = std::process::id();
    let file = std::env::temp_dir().join(format!("fastport-notify-{process}"));
    let names = [
        format!("@fastport-notify-{process}"),
        file.display().to_string(),
    ];
    for name in &names {
        let mut manager = Manager::start(name, Some(Duration::from_millis(200)), &[]);
        let ready = manager.message();
        assert!(has(&ready, "READY=1"), "{ready}");
        assert!(ready.contains("STATUS=listening on 127.0.0.1:"), "{ready}");
        for _ in 0..3 {
            let alive = manager.message();
            assert!(
                has(&alive, "WATCHDOG=1") && has(&alive, "STATUS=0 sessions"),
                "{alive}"
            );
        }
        manager.signal(libc::SIGTERM);
        // Pings may have been on their way.
        let stopping = loop {
            let message = manager.message();
            if has(&message, "STOPPING=1") {
                break message;
            }
            assert!(has(&message, "WATCHDOG=1"), "{message}");
        };
        assert!(stopping.contains("EXTEND_TIMEOUT_USEC="), "{stopping}");
        assert_eq!(manager.child.wait().expect("a status").code(), Some(0));
    }
    std::fs::remove_file(file).expect("the socket");
}

#[test]
fn without_a_watchdog_nothing_is_told_between_start_and_end() {
    let name = format!("@fastport-quiet-{}", std::process::id());
    let mut manager = Manager::start(&name, None, &[]);
    assert!(has(&manager.message(), "READY=1"));
    manager
        .socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a limit");
    let quiet = manager.socket.recv(&mut [0; 64]).expect_err("no message");
    assert_eq!(quiet.kind(), ErrorKind::WouldBlock);
    manager
        .socket
        .set_read_timeout(Some(LIMIT))
        .expect("a limit");
    manager.signal(libc::SIGTERM);
    assert!(has(&manager.message(), "STOPPING=1"));
    assert_eq!(manager.child.wait().expect("a status").code(), Some(0));
}

#[test]
fn a_server_that_can_not_listen_is_never_ready() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let name = format!("@fastport-taken-{}", std::process::id());
    let fixed = ["service", "run", "--listen", &address];
    let socket = SocketAddr::from_abstract_name(&name[1..]).expect("an address");
    let socket = UnixDatagram::bind_addr(&socket).expect("a socket");
    let output = fastport(&fixed)
        .env("NOTIFY_SOCKET", &name)
        .output()
        .expect("a start");
    assert_eq!(output.status.code(), Some(1));
    socket.set_nonblocking(true).expect("a socket");
    assert!(socket.recv(&mut [0; 64]).is_err());
}

#[test]
fn the_committed_unit_is_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/fastport.service");
    assert_eq!(std::fs::read_to_string(path).expect("the unit"), unit(&[]));
}

#[test]
fn systemd_understands_the_units() {
    let folder = std::env::temp_dir().join(format!("fastport-units-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = env!("CARGO_BIN_EXE_fastport");
    let awkward = [
        "--config",
        "/etc/fast port/100% $HOME.toml",
        "--",
        "--listen",
        "[::1]:0",
    ];
    for (scope, more) in [
        ("--system", &[][..]),
        ("--user", &["--user"]),
        ("--system", &awkward),
    ] {
        // It looks whether the program is there.
        let text = unit(more).replace("/usr/local/bin/fastport", program);
        let path = folder.join("fastport.service");
        std::fs::write(&path, text).expect("a unit");
        let output = match Command::new("systemd-analyze")
            .env("XDG_RUNTIME_DIR", &folder)
            .arg("verify")
            .arg(scope)
            .arg(&path)
            .output()
        {
            Ok(output) => output,
            Err(error) => {
                eprintln!("SKIPPED: systemd-analyze does not start: {error}");
                break;
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<_> = said
            .lines()
            .filter(|line| line.contains("fastport.service"))
            .collect();
        assert!(
            output.status.success() && ours.is_empty(),
            "{scope} {more:?}: {said}"
        );
    }
    std::fs::remove_dir_all(folder).expect("the folder");
}

/// The calls of a group as systemd names them, and those of the groups in it.
fn system_calls(group: &str) -> Option<BTreeSet<String>> {
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", group])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().skip(1).map(str::trim);
    let mut calls = BTreeSet::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('@') {
            calls.extend(system_calls(line)?);
        } else {
            calls.insert(line.to_owned());
        }
    }
    Some(calls)
}

/// A filter that lacked one of them would take an engine away, or what a start needs.
#[test]
fn the_filter_of_the_unit_permits_both_engines() {
    let unit = unit(&[]);
    let mut permitted = BTreeSet::new();
    for filter in unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        let (is_denied, groups) = match filter.strip_prefix('~') {
            Some(groups) => (true, groups),
            None => (false, filter),
        };
        for group in groups.split(' ') {
            let Some(calls) = system_calls(group) else {
                eprintln!("SKIPPED: systemd-analyze does not start");
                return;
            };
            assert!(!calls.is_empty(), "{group} is no group of this systemd");
            if is_denied {
                permitted = permitted.difference(&calls).cloned().collect();
            } else {
                permitted.extend(calls);
            }
        }
    }
    for needed in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_wait",
        "eventfd2",
        "accept4",
        "sendmsg",
        "recvfrom",
        "prlimit64",
        "clone3",
        "sched_getaffinity",
    ] {
        assert!(permitted.contains(needed), "{needed}");
    }
    assert!(!permitted.contains("mount") && !permitted.contains("setuid"));
}

/// What systemd makes of the hardening: below 2.0 of 10 is what its own services have.
#[test]
fn the_unit_exposes_little() {
    let folder = std::env::temp_dir().join(format!("fastport-exposure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("fastport.service");
    let text = unit(&[]).replace("/usr/local/bin/fastport", env!("CARGO_BIN_EXE_fastport"));
    std::fs::write(&path, text).expect("a unit");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&path)
        .output();
    std::fs::remove_dir_all(folder).expect("the folder");
    match output {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => eprintln!("SKIPPED: systemd-analyze does not start: {error}"),
    }
}

#[test]
fn wrong_settings_are_told_when_the_service_is_installed() {
    let path = std::env::temp_dir().join(format!("fastport-wrong-{}.toml", std::process::id()));
    std::fs::write(&path, "[server]\nworkres = 2\n").expect("a file");
    let config = path.to_str().expect("a path");
    let output = fastport(&["service", "install", "--user", "--config", config])
        .output()
        .expect("the program starts");
    std::fs::remove_file(&path).expect("the file");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("workres"), "{text}");
}
