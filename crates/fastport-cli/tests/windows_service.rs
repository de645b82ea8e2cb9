//! The server as a Windows service: installed, started, talked to, stopped, removed.
#![cfg(windows)]

use fastport_testkit::programs::started;
use std::net::TcpListener;
use std::process::{Command, Output};

fn fastport(arguments: &[&str]) -> Output {
    started(|| {
        Command::new(env!("CARGO_BIN_EXE_fastport"))
            .args(arguments)
            .output()
    })
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(error)
}

/// Runs `service VERB --name NAME` and returns what it said.
#[track_caller]
fn service(verb: &str, name: &str) -> String {
    let output = fastport(&["service", verb, "--name", name]);
    assert!(output.status.success(), "{verb}: {}", said(&output));
    said(&output)
}

/// Removes the service when a test fails.
struct Installed(String);

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fastport(&["service", "uninstall", "--name", &self.0]);
    }
}

/// A port that was free a moment ago: a service can not tell the test which one it got.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn install(name: &str, address: &str, log: &str) -> Installed {
    let flags = ["--start", "manual", "--log-file", log, "--"];
    let server = ["--listen", address, "--workers", "1"];
    let all = [&["service", "install", "--name", name][..], &flags, &server].concat();
    let output = fastport(&all);
    assert!(output.status.success(), "{}", said(&output));
    Installed(name.into())
}

#[test]
fn a_service_lives_from_install_to_uninstall() {
    let name = format!("fastport-test-{}", std::process::id());
    let address = format!("127.0.0.1:{}", free_port());
    let log = std::env::temp_dir().join(format!("{name}.log"));
    let _installed = install(&name, &address, log.to_str().expect("a path"));
    assert!(service("status", &name).contains("stopped"));
    let started = service("start", &name);
    assert!(started.contains("running pid="), "{started}");
    let client = fastport(&["client", "--connect", &address, "--count", "2"]);
    assert!(client.status.success(), "{}", said(&client));
    let stopped = service("stop", &name);
    assert!(stopped.contains("stopped exit=0"), "{stopped}");
    service("uninstall", &name);
    let gone = fastport(&["service", "status", "--name", &name]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(said(&gone).contains("service install"), "{}", said(&gone));
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(
        text.contains("listening on") && text.contains("stopped after"),
        "{text}"
    );
    std::fs::remove_file(&log).expect("the log");
}

#[test]
fn a_service_that_can_not_listen_says_so_when_it_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let name = format!("fastport-taken-{}", std::process::id());
    let log = std::env::temp_dir().join(format!("{name}.log"));
    let _installed = install(&name, &address, log.to_str().expect("a path"));
    let output = fastport(&["service", "start", "--name", &name]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("the service has ended"), "{text}");
    assert!(text.contains("ServiceSpecific(1)"), "{text}");
    let log_text = std::fs::read_to_string(&log).expect("the log");
    assert!(log_text.contains("the service failed"), "{log_text}");
    std::fs::remove_file(&log).expect("the log");
}

/// A configuration file that the program refuses.
fn wrong_settings(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("{name}.toml"));
    std::fs::write(&path, "[server]\nworkres = 2\n").expect("a file");
    path
}

#[test]
fn wrong_settings_are_told_when_the_service_is_installed() {
    let name = format!("fastport-wrong-{}", std::process::id());
    let settings = wrong_settings(&name);
    let config = settings.to_str().expect("a path");
    let output = fastport(&["service", "install", "--name", &name, "--config", config]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("workres"), "{}", said(&output));
    std::fs::remove_file(&settings).expect("the file");
}

#[test]
fn settings_that_went_wrong_since_are_in_the_log_that_a_service_has_by_default() {
    let name = format!("fastport-since-{}", std::process::id());
    let settings = std::env::temp_dir().join(format!("{name}.toml"));
    std::fs::write(&settings, "[server]\nworkers = 1\n").expect("a file");
    let config = settings.to_str().expect("a path");
    let install = ["service", "install", "--name", &name, "--start", "manual"];
    let output = fastport(&[&install[..], &["--config", config]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let _installed = Installed(name.clone());
    wrong_settings(&name);
    let output = fastport(&["service", "start", "--name", &name]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("ServiceSpecific(2)"), "{text}");
    let folder = std::env::var_os("ProgramData").expect("a folder");
    let log = std::path::PathBuf::from(folder).join("fastport");
    let log = log.join(format!("{name}.log"));
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(text.contains("workres"), "{text}");
    std::fs::remove_file(&log).expect("the log");
    std::fs::remove_file(&settings).expect("the file");
}
