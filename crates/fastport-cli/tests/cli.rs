//! The program as a user runs it: ready line, client, bench, demo, signals, errors.

#[path = "harness/server.rs"]
mod server;

use fastport::protocol::commons::ResultCode;
use fastport::protocol::tests::{EchoRequest, EchoResponse};
use fastport::{Identified, Session};
use fastport_testkit::programs::started;
use server::Server;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// An engine that every machine of the system has.
const FALLBACK: &str = if cfg!(windows) { "iocp" } else { "poll" };

const CSV_HEADER: &str = "test_name,iterations,payload_size,avg_latency_ns,min_latency_ns,\
max_latency_ns,p50_latency_ns,p90_latency_ns,p95_latency_ns,p99_latency_ns,stddev_ns,\
packets_per_sec,mb_per_sec,requested_sessions,connected_sessions,connection_losses,\
warmup_requests,warmup_responses,measured_requests,measured_responses,payload_min_bytes,\
payload_max_bytes,payload_pool_size,connect_elapsed_ns,warmup_elapsed_ns,measured_elapsed_ns";

fn fastport(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastport"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    started(|| fastport(arguments).output())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_ready_line_says_what_runs() {
    let server = Server::start(&["--engine", FALLBACK, "--workers", "1", "--dispatch", "pool"]);
    let address = server.address();
    let expected = format!("listening on {address} engine={FALLBACK} workers=1 dispatch=pool\n");
    assert_eq!(server.ready, expected);
}

#[test]
fn a_client_gets_its_echoes_and_the_server_drains() {
    for arguments in [
        &["--engine", "auto"][..],
        &["--engine", FALLBACK, "--dispatch", "pool"],
    ] {
        let server = Server::start(arguments);
        let address = server.address();
        let client = [
            "client",
            "--connect",
            &address,
            "--count",
            "3",
            "--message",
            "hi there",
        ];
        let output = run(&client);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(
            text(&output.stdout).contains("hi there"),
            "{}",
            text(&output.stdout)
        );
        let (status, report) = server.terminate();
        assert_eq!(status, Some(0));
        assert!(report.contains("1 sessions served"), "{report}");
        assert_eq!(report.lines().count(), 1);
    }
}

/// The README's own server answers echoes and nothing else.
#[test]
fn a_client_is_content_with_a_server_that_only_echoes() {
    let server = fastport::Server::builder()
        .listen("127.0.0.1:0")
        .on(|session: &Session, request: EchoRequest| {
            let response = EchoResponse {
                header: request.header,
                result: ResultCode::Ok.into(),
                data_str: request.data_str,
                ..EchoResponse::default()
            };
            let _ = session.send(EchoRequest::ID, &response);
        })
        .start()
        .unwrap();
    let address = server.local_address().to_string();
    let asks = ["client", "--connect", &address, "--timeout", "1s"];
    let output = run(&[&asks[..], &["--count", "3"]].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no handler for PingRequest"), "{said}");
    assert!(said.contains("3 of 3 came back"), "{said}");
    server.stop(Duration::from_secs(10));
}

#[test]
fn a_client_without_a_server_fails_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = run(&["client", "--connect", &nobody, "--count", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&nobody),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_bench_loses_nothing_and_writes_its_table() {
    let server = Server::start(&["--workers", "1"]);
    let file = std::env::temp_dir().join(format!("fastport-cli-{}.csv", std::process::id()));
    let path = file.to_str().unwrap();
    let address = server.address();
    let load = "--sessions 50 --payload-min 10 --payload-max 5000 --iterations 3000 --warmup 5";
    for way in [
        "",
        "--raw",
        "--inflight 8",
        "--io-threads 2 --raw --inflight 4",
    ] {
        let mut arguments = vec!["bench", "--connect", &address, "--verify", "--output", path];
        arguments.extend(load.split_whitespace().chain(way.split_whitespace()));
        // The table is written anew or appended to; the last line is this run's.
        let output = run(&arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{way}: {out}{err}");
        for row in [
            "p99.9",
            "packets/s",
            "3,000 of 3,000",
            "50 connected of 50, 0 lost",
        ] {
            assert!(out.contains(row), "{way}: no {row} in {out}");
        }
        let table = std::fs::read_to_string(&file).unwrap();
        assert_eq!(table.lines().next(), Some(CSV_HEADER));
        let fields: Vec<_> = table.lines().last().unwrap().split(',').collect();
        assert_eq!(fields.len(), CSV_HEADER.split(',').count());
        assert_eq!(
            fields[13..20],
            ["50", "50", "0", "250", "250", "3000", "3000"]
        );
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_closed_loop_over_time_goes_on_from_warm_up_to_measuring_and_loses_nothing() {
    let server = Server::start(&["--workers", "1"]);
    let address = server.address();
    for in_flight in ["1", "16"] {
        let load = "--sessions 20 --duration 200ms --warmup 5 --verify --json --inflight";
        let mut arguments = vec!["bench", "--connect", &address];
        arguments.extend(load.split_whitespace().chain([in_flight]));
        let output = run(&arguments);
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{object}");
        let count = |name: &str| object[name].as_u64().unwrap();
        assert!(count("warmup_requests") >= 20 * 5, "{object}");
        assert_eq!(count("warmup_responses"), count("warmup_requests"));
        assert!(count("measured_responses") > 0, "{object}");
        assert_eq!(count("measured_responses"), count("measured_requests"));
        assert_eq!(count("connection_losses"), 0);
    }
}

#[test]
fn an_open_loop_and_several_runs_are_reported() {
    let server = Server::start(&["--workers", "1"]);
    let address = server.address();
    let load = "--sessions 10 --rate 2000 --iterations 400 --runs 3 --warmup 1";
    let mut arguments = vec!["bench", "--connect", &address];
    arguments.extend(load.split_whitespace());
    let output = run(&arguments);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    for word in ["best", "worst", "median"] {
        assert!(out.contains(word), "no {word} in {out}");
    }
}

#[test]
fn two_servers_are_compared_and_reported() {
    let servers = [
        Server::start(&["--workers", "1"]),
        Server::start(&["--workers", "1"]),
    ];
    let [first, second] = servers.each_ref().map(Server::address);
    let file = std::env::temp_dir().join(format!("fastport-report-{}.html", std::process::id()));
    let path = file.to_str().unwrap();
    let load = "--sessions 5 --iterations 200 --warmup 1 --runs 3 --json";
    let mut arguments = vec!["bench", "--compare", &first, &second, "--report", path];
    arguments.extend(load.split_whitespace());
    let output = run(&arguments);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    for part in [
        "\"second_is\"",
        "\"rounds\":3",
        "\"failed_runs\":0",
        &first,
        &second,
    ] {
        assert!(out.contains(part), "no {part} in {out}");
    }
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for part in [&first, &second, "--compare", "p99.9", "</html>"] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    arguments.extend(["--max-loss", "0", "--max-p99", "1ns"]);
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains(&first) && told.contains("--max-p99 is 1ns"),
        "{told}"
    );
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_report_that_can_not_be_written_is_told_before_the_load() {
    let server = Server::start(&["--workers", "1"]);
    let folder = std::env::temp_dir().join(format!("fastport-none-{}", std::process::id()));
    let file = folder.join("report.html");
    let address = server.address();
    let output = run(&[
        "bench",
        "--connect",
        &address,
        "--report",
        file.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write"), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_bench_whose_server_goes_away_is_a_failed_run() {
    let server = Server::start(&["--workers", "1"]);
    let address = server.address();
    let mut bench = fastport(&[
        "bench",
        "--connect",
        &address,
        "--duration",
        "20s",
        "--json",
    ]);
    bench.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut bench = started(|| bench.spawn());
    // The load has begun when the server has sessions that were asked for by the bench: kill it
    // once a connection of our own is served beside them.
    let client = [
        "client",
        "--connect",
        &address,
        "--count",
        "1",
        "--message",
        "x",
    ];
    assert!(run(&client).status.success());
    drop(server);
    assert_eq!(bench.wait().unwrap().code(), Some(1));
}

#[test]
fn the_demo_ends_with_a_table() {
    let output = run(&["demo"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    assert!(out.contains("p99.9") && out.contains("0 lost"), "{out}");
}

/// Runs a server that must not start. Returns its status and what it said.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["server"], arguments].concat());
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let (status, said) = refused(&["--listen", &taken]);
    assert_eq!(status, Some(1));
    assert!(
        said.contains(&taken) && said.contains("choose another port"),
        "{said}"
    );
}

#[test]
fn wrong_settings_name_file_line_key_and_range() {
    let folder = std::env::temp_dir().join(format!("fastport-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let missing = folder.join("missing.toml");
    let (status, said) = refused(&["--config", missing.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(said.contains("missing.toml"), "{said}");
    for (settings, words) in [
        (
            "[server]\nworkres = 2\n",
            ["wrong.toml:2", "server.workres", "workers"],
        ),
        (
            "[server]\nworkers = 0\n",
            ["wrong.toml:2", "server.workers", "1 to 1024"],
        ),
        (
            "[server]\n\nworkers = \"two\"\n",
            ["wrong.toml:3", "server.workers", "number"],
        ),
        (
            "[server]\nworkers = = 2\n",
            ["wrong.toml:2", "=", "expected"],
        ),
    ] {
        let file = folder.join("wrong.toml");
        std::fs::write(&file, settings).unwrap();
        let (status, said) = refused(&["--config", file.to_str().unwrap()]);
        assert_eq!(status, Some(2), "{settings}: {said}");
        for word in words {
            assert!(said.contains(word), "{settings}: no {word} in {said}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let (status, said) = refused(&["--workers", "0"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("1024"), "{said}");
    let (status, said) = refused(&["--engine", "kqueue"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("io_uring"), "{said}");
}
