//! Who may do what on the admin listener, and how much of it they may take.

use crate::{Rig, Steered, TOKEN, ask_wire, connect, echo, scratch};
use fastport::protocol::admin::{AdminStatusSummaryRequest, AdminStatusSummaryResponse};
use fastport::protocol::commons::ResultCode;
use fastport::protocol::prost::Message;
use fastport::{PacketId, Server};
use fastport_admin::model::Action;
use fastport_admin::{AdminConfig, AdminError, AdminServer, Token};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const READS: &str = "another-token-that-reads";

/// What tells something of the server.
const TOLD: [&str; 5] = [
    "/metrics",
    "/api/status",
    "/api/sessions",
    "/api/history",
    "/api/bans",
];

/// A page whose own name was made to lead here is not let in (DNS rebinding).
#[test]
fn a_host_name_that_is_not_ours_is_refused() {
    let rig = Rig::new(|config| config.hosts = vec!["game.example".into()]);
    for (host, expected) in [
        ("evil.example", 421),
        ("evil.example:6629", 421),
        ("127.0.0.1.evil.example", 421),
        ("game.example:6629", 200),
        ("localhost:6629", 200),
        ("[::1]:6629", 200),
    ] {
        let (status, ..) = rig.ask(&format!("GET /api/status HTTP/1.1\r\nHost: {host}\r\n"), "");
        assert_eq!(status, expected, "{host}");
    }
    assert_eq!(rig.ask("GET /api/status HTTP/1.0\r\n", "").0, 421);
}

#[test]
fn an_address_that_others_reach_does_not_start_without_a_token() {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .start()
        .expect("a server");
    let config = AdminConfig {
        listen: vec!["0.0.0.0:0".parse().expect("an address")],
        ..AdminConfig::default()
    };
    let monitor = server.service().monitor();
    let started = AdminServer::start(config, monitor, Arc::new(Steered::default()));
    assert!(matches!(started, Err(AdminError::TokenNeeded { .. })));
}

#[test]
fn a_token_that_was_given_is_needed_and_can_not_be_guessed_on() {
    let rig = Rig::new(|config| config.token = Some(Token::new(TOKEN).expect("a token")));
    let with = |path: &str, token: &str| {
        let host = rig.address();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n");
        rig.ask(&head, "").0
    };
    assert_eq!(with("/api/status", TOKEN), 200);
    for path in TOLD {
        assert_eq!(rig.get(path).0, 401, "{path}");
    }
    // The page itself says nothing, and asks for the token.
    assert_eq!((rig.get("/").0, rig.get("/healthz").0), (200, 200));
    for _ in 0..5 {
        assert_eq!(with("/api/status", "a-token-of-some-lengtx"), 401);
    }
    assert_eq!(with("/api/status", TOKEN), 429);
}

/// Connections that say nothing keep others waiting, and take no more than their places.
#[test]
fn so_many_connections_are_served_at_a_time() {
    let rig = Rig::new(|_| {});
    let mut silent: Vec<TcpStream> = (0..64).map(|_| connect(rig.address())).collect();
    let mut late = connect(rig.address());
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    late.write_all(request.as_bytes()).expect("a request");
    // No place is free for the seconds in which the others may be silent.
    let moment = Some(Duration::from_millis(300));
    late.set_read_timeout(moment).expect("a time limit");
    let nothing = late.read(&mut [0; 1]);
    assert!(nothing.is_err(), "{nothing:?}");
    silent.pop();
    let limit = Some(Duration::from_secs(20));
    late.set_read_timeout(limit).expect("a time limit");
    let mut answer = String::new();
    late.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_message_of_an_operator_has_a_length() {
    let rig = Rig::new(|_| {});
    let mut peer = rig.peer();
    echo(&mut peer);
    let say = |bytes: usize| {
        let text = "x".repeat(bytes);
        rig.act(&Action::Message { id: None, text })
    };
    assert_eq!(say(1025)["done"], false);
    assert_eq!(say(1024)["done"], true);
}

/// What a page of another origin can have a browser send changes nothing.
#[test]
fn actions_of_a_foreign_page_are_refused() {
    let rig = Rig::new(|_| {});
    let body = "{\"action\":\"drain\"}";
    let host = rig.address();
    let json = "Content-Type: application/json\r\n";
    for (headers, expected) in [
        ("Content-Type: text/plain\r\n".to_owned(), 403),
        (format!("{json}Origin: http://evil.example\r\n"), 403),
        (format!("{json}Origin: null\r\n"), 403),
        (format!("{json}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{json}Sec-Fetch-Site: same-site\r\n"), 403),
        (
            format!("{json}Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n"),
            200,
        ),
    ] {
        assert!(!rig.control.drained.load(Ordering::Acquire), "{headers}");
        let head = format!("POST /api/action HTTP/1.1\r\nHost: {host}\r\n{headers}");
        assert_eq!(rig.ask(&head, body).0, expected, "{headers}");
    }
    assert!(rig.control.drained.load(Ordering::Acquire));
    // A GET changes nothing either.
    assert_eq!(rig.get("/api/action").0, 404);
}

/// A viewer sees everything and changes nothing, and that one tried is in the audit log.
#[test]
fn a_viewer_reads_and_does_not_act() {
    let audit = scratch("roles");
    let rig = Rig::new(|config| {
        config.token = Some(Token::new(TOKEN).expect("a token"));
        config.viewer_token = Some(Token::new(READS).expect("a token"));
        config.audit_file = Some(audit.clone());
    });
    let mut peer = rig.peer();
    echo(&mut peer);
    let host = rig.address();
    let ask = |what: &str, token: &str, body: &str| {
        let head = format!(
            "{what} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n"
        );
        rig.ask(&head, body)
    };
    for path in TOLD {
        for token in [READS, TOKEN] {
            assert_eq!(ask(&format!("GET {path}"), token, "").0, 200, "{path}");
        }
    }
    let id = rig.server.service().monitor().page(None, 1).sessions[0].id();
    for action in [
        format!("{{\"action\":\"kick\",\"id\":{id}}}"),
        "{\"action\":\"drain\"}".into(),
        "{\"action\":\"reload\"}".into(),
        "{\"action\":\"ban\",\"block\":\"127.0.0.1\"}".into(),
        format!("{{\"action\":\"trace\",\"id\":{id},\"on\":true}}"),
    ] {
        let (status, _, said) = ask("POST /api/action", READS, &action);
        assert_eq!(status, 403, "{action}");
        assert!(said.contains("may only read"), "{said}");
    }
    assert!(!rig.control.drained.load(Ordering::Acquire));
    echo(&mut peer);
    let kick = format!("{{\"action\":\"kick\",\"id\":{id}}}");
    assert_eq!(ask("POST /api/action", TOKEN, &kick).0, 200);
    peer.read_to_end(&mut Vec::new()).expect("the end");
    let lines = std::fs::read_to_string(&audit).expect("the audit log");
    std::fs::remove_file(&audit).expect("the audit log");
    let said = |line: &str| -> [String; 3] {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        ["role", "action", "outcome"].map(|key| line[key].as_str().expect("a text").to_owned())
    };
    let lines: Vec<_> = lines.lines().map(said).collect();
    let actions = ["kick", "drain", "reload", "ban", "trace", "kick"];
    assert_eq!(lines.len(), actions.len());
    for (at, ([role, action, outcome], expected)) in lines.iter().zip(actions).enumerate() {
        let refused = at < 5;
        assert_eq!(role, if refused { "viewer" } else { "operator" });
        assert_eq!(action, expected);
        assert_eq!(outcome.starts_with("refused: "), refused, "{outcome}");
    }
}

#[test]
fn a_viewer_reads_by_the_wires_packets_as_well() {
    let rig = Rig::new(|config| config.viewer_token = Some(Token::new(READS).expect("a token")));
    let ask = |token: &str| {
        let mut admin = connect(rig.address());
        let request = AdminStatusSummaryRequest {
            auth_token: token.into(),
            ..AdminStatusSummaryRequest::default()
        };
        let asked = PacketId::ADMIN_STATUS_SUMMARY_REQUEST;
        let (_, payload) = ask_wire(&mut admin, asked, &request.encode_to_vec());
        let summary = AdminStatusSummaryResponse::decode(payload.as_slice());
        summary.expect("an answer").result()
    };
    assert_eq!(ask(READS), ResultCode::Ok);
    assert_eq!(ask(""), ResultCode::Error);
    assert_eq!(ask(TOKEN), ResultCode::Error);
}
