//! The command line with TLS: files and flags, both sides' certificates, a reload.
#![cfg(feature = "tls-ring")]

#[path = "harness/server.rs"]
mod server;

use fastport::tls::provider;
use fastport_testkit::certificates::Authority;
use server::Server;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the servers are called.
const NAME: &str = "server.test";

/// A folder of a test's own that goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(of: &str) -> Self {
        let name = format!("fastport-tls-{}-{of}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn authority() -> Authority {
    Authority::new("an authority", provider().expect("cryptography"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn fastport(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fastport"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn client(server: &Server, flags: &[&str]) -> Output {
    let address = server.address();
    let asks = ["client", "--connect", &address, "--count", "2"];
    fastport(&[&asks[..], flags].concat())
}

/// Flags of a client that trusts `ca` and knows what the server is called: tests have addresses of
/// their own, which are in no certificate.
fn trusting(ca: &Path) -> [&str; 4] {
    ["--tls-ca", text(ca), "--tls-name", NAME]
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn a_client_and_a_benchmark_talk_to_a_server_with_tls() {
    let folder = Folder::new("talk");
    let authority = authority();
    let ca = authority.write(&folder.0, "ca");
    let (certificate, key) = authority.issue(&[NAME]).write(&folder.0, "server");
    let server = Server::start(&["--tls-cert", text(&certificate), "--tls-key", text(&key)]);
    assert!(server.ready.contains(" tls=on"), "{}", server.ready);
    let output = client(&server, &trusting(&ca));
    assert!(output.status.success(), "{}", said(&output));
    let another = ["--tls-ca", text(&ca), "--tls-name", "other.test"];
    let output = client(&server, &another);
    assert!(said(&output).contains("another name"), "{}", said(&output));
    let output = client(&server, &["--timeout", "1s"]);
    assert!(!output.status.success(), "without TLS: {}", said(&output));
    let address = server.address();
    for scenario in ["steady", "churn"] {
        let output = fastport(&[
            "bench",
            "--connect",
            &address,
            "--sessions",
            "4",
            "--iterations",
            "400",
            "--warmup",
            "1",
            "--verify",
            "--scenario",
            scenario,
            "--tls-ca",
            text(&ca),
            "--tls-name",
            NAME,
        ]);
        assert!(output.status.success(), "{scenario}: {}", said(&output));
    }
    let (status, _) = server.terminate();
    assert_eq!(status, Some(0));
}

#[test]
fn a_server_may_want_certificates_of_its_clients() {
    let folder = Folder::new("mutual");
    let (authority, stranger) = (authority(), authority());
    let ca = authority.write(&folder.0, "ca");
    let (certificate, key) = authority.issue(&[NAME]).write(&folder.0, "server");
    let settings = folder.0.join("server.toml");
    let quoted = |path: &Path| format!("'{}'", text(path));
    let lines = format!(
        "[tls]\ncertificate_file = {}\nkey_file = {}\nclient_ca_file = {}\n",
        quoted(&certificate),
        quoted(&key),
        quoted(&ca)
    );
    std::fs::write(&settings, lines).expect("a file");
    let server = Server::start(&["--config", text(&settings)]);
    let shows = |identity: &(PathBuf, PathBuf)| {
        let (certificate, key) = (text(&identity.0), text(&identity.1));
        let flags = [
            "--tls-ca",
            text(&ca),
            "--tls-name",
            NAME,
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        client(&server, &flags)
    };
    let output = shows(&authority.issue(&["a client"]).write(&folder.0, "client"));
    assert!(output.status.success(), "{}", said(&output));
    let output = shows(&stranger.issue(&["a client"]).write(&folder.0, "stranger"));
    assert!(!output.status.success(), "{}", said(&output));
    let output = client(&server, &trusting(&ca));
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
fn what_is_wrong_with_files_and_flags_is_told() {
    let folder = Folder::new("wrong");
    let authority = authority();
    let (certificate, _) = authority.issue(&[NAME]).write(&folder.0, "server");
    let (_, other_key) = authority.issue(&[NAME]).write(&folder.0, "other");
    let (certificate, other_key) = (text(&certificate), text(&other_key));
    let missing = folder.0.join("missing.pem");
    for (arguments, wanted) in [
        (&["server", "--tls-cert", certificate][..], "tls.key_file"),
        (
            &[
                "server",
                "--tls-cert",
                text(&missing),
                "--tls-key",
                other_key,
            ],
            "missing.pem",
        ),
        (
            &["server", "--tls-cert", other_key, "--tls-key", other_key],
            "holds no certificate",
        ),
        (
            &["server", "--tls-cert", certificate, "--tls-key", other_key],
            "other.key",
        ),
        (&["client", "--tls"], "--tls-ca"),
        (&["bench", "--tls-name", NAME], "--tls-ca"),
    ] {
        let output = fastport(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
        assert!(
            said(&output).contains(wanted),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

/// SIGHUP: the file is the same, what is in it is not.
#[cfg(unix)]
#[test]
fn a_reload_reads_the_certificates_again() {
    let folder = Folder::new("reload");
    let (first, second) = (authority(), authority());
    let (first_ca, second_ca) = (
        first.write(&folder.0, "first"),
        second.write(&folder.0, "second"),
    );
    let (certificate, key) = first.issue(&[NAME]).write(&folder.0, "server");
    let server = Server::start(&["--tls-cert", text(&certificate), "--tls-key", text(&key)]);
    let output = client(&server, &trusting(&first_ca));
    assert!(output.status.success(), "{}", said(&output));
    let _ = second.issue(&[NAME]).write(&folder.0, "server");
    let pid = i32::try_from(server.child.id()).expect("a process id");
    // SAFETY: a signal to a child that this test has not waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
    let reloaded = (0..100).any(|_| {
        let output = client(&server, &trusting(&second_ca));
        output.status.success()
    });
    assert!(reloaded, "the new certificate was never shown");
    let output = client(&server, &trusting(&first_ca));
    assert!(said(&output).contains("certificate"), "{}", said(&output));
}
