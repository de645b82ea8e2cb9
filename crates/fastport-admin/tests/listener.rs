//! The admin listener of a real service, spoken to on plain sockets.

mod listener {
    mod who_may;
}

use fastport::protocol::admin::{
    AdminSessionListRequest, AdminSessionListResponse, AdminStatusSummaryRequest,
    AdminStatusSummaryResponse,
};
use fastport::protocol::commons::ResultCode;
use fastport::protocol::prost::Message;
use fastport::{Handler, Packet, PacketId, Server, Session};
use fastport_admin::model::{Action, SessionList};
use fastport_admin::{AdminAddress, AdminConfig, AdminServer, Control, InBand, Token};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const TOKEN: &str = "a-token-of-some-length";

/// Echoes, and hands admin packets on where a test allows it.
#[derive(Clone, Default)]
struct Echo(Arc<OnceLock<InBand>>);

impl Handler for Echo {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        match self.0.get() {
            Some(in_band) if packet.id().is_reserved() => in_band.offer(session, &packet),
            _ if packet.id().is_reserved() => session.note_unhandled(packet.id()),
            _ => drop(session.forward(&packet)),
        }
    }
}

/// What a test steers.
#[derive(Default)]
struct Steered {
    drained: AtomicBool,
    levels: AtomicU32,
}

impl Control for Steered {
    fn drain(&self) {
        self.drained.store(true, Ordering::Release);
    }

    fn reload(&self) -> Result<Vec<String>, String> {
        Err("the file is wrong".into())
    }

    fn set_log_level(&self, directives: &str) -> Result<(), String> {
        self.levels.fetch_add(1, Ordering::AcqRel);
        (directives == "debug")
            .then_some(())
            .ok_or_else(|| "no level".into())
    }

    fn log_lines_lost(&self) -> u64 {
        3
    }
}

/// A server with an admin listener.
struct Rig {
    admin: AdminServer,
    server: Server,
    control: Arc<Steered>,
    echo: Echo,
}

impl Rig {
    fn new(change: impl FnOnce(&mut AdminConfig)) -> Self {
        let echo = Echo::default();
        let server = Server::builder().listen("127.0.0.1:0").workers(2);
        let server = server.handler(echo.clone()).start().expect("a server");
        let control = Arc::new(Steered::default());
        let mut config = AdminConfig {
            listen: vec!["127.0.0.1:0".parse().expect("an address")],
            ..AdminConfig::default()
        };
        change(&mut config);
        let monitor = server.service().monitor();
        let admin = AdminServer::start(config, monitor, control.clone()).expect("a listener");
        Self {
            admin,
            server,
            control,
            echo,
        }
    }

    fn address(&self) -> SocketAddr {
        match &self.admin.addresses()[0] {
            AdminAddress::Tcp(address) => *address,
            AdminAddress::Unix(path) => panic!("{} is no address", path.display()),
        }
    }

    fn peer(&self) -> TcpStream {
        connect(self.server.local_address())
    }

    /// The answer's status, head and body.
    fn ask(&self, head: &str, body: &str) -> (u16, String, String) {
        let mut stream = connect(self.address());
        exchange(&mut stream, head, body)
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.ask(
            &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address()),
            "",
        )
    }

    fn act(&self, action: &Action) -> serde_json::Value {
        let body = serde_json::to_string(action).expect("JSON");
        let head = format!(
            "POST /api/action HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
            self.address()
        );
        let (status, _, body) = self.ask(&head, &body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn sessions(&self) -> SessionList {
        let (status, _, body) = self.get("/api/sessions?limit=1000");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a connection");
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).expect("a time limit");
    stream
}

fn exchange(stream: &mut (impl Read + Write), head: &str, body: &str) -> (u16, String, String) {
    let length = body.len();
    let request = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (
        status.expect("a status"),
        head.to_ascii_lowercase(),
        body.into(),
    )
}

/// Sends a frame and receives one.
fn ask_wire(stream: &mut TcpStream, id: PacketId, payload: &[u8]) -> (PacketId, Vec<u8>) {
    send_wire(stream, id, payload);
    let mut head = [0; 4];
    stream.read_exact(&mut head).expect("an answer");
    let size = u16::from_be_bytes([head[0], head[1]]);
    let mut payload = vec![0; usize::from(size) - head.len()];
    stream.read_exact(&mut payload).expect("an answer");
    (
        PacketId::new(u16::from_be_bytes([head[2], head[3]])),
        payload,
    )
}

fn send_wire(stream: &mut TcpStream, id: PacketId, payload: &[u8]) {
    let size = u16::try_from(payload.len() + 4).expect("a short frame");
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend(id.number().to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).expect("a write");
}

fn echo(stream: &mut TcpStream) {
    assert_eq!(ask_wire(stream, PacketId::RAW_ECHO, b"here").1, b"here");
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fastport-admin-{}-{name}", std::process::id()))
}

#[test]
fn page_metrics_and_health_are_served_with_strict_headers() {
    let rig = Rig::new(|_| {});
    let mut peer = rig.peer();
    echo(&mut peer);
    for (path, expected) in [
        ("/", "<title>FastPort</title>"),
        ("/page.js", "\"use strict\";"),
        ("/page.css", "color-scheme"),
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "fastport_packets_received_total 1\n"),
        ("/api/status", "\"engine\""),
        ("/api/history", "["),
    ] {
        let (status, head, body) = rig.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.contains(expected), "{path}: {body}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{path}: no {header} in {head}");
        }
    }
    assert_eq!(rig.get("/nothing").0, 404);
    // Nothing of the page is from elsewhere.
    let page = rig.get("/").2 + &rig.get("/page.js").2 + &rig.get("/page.css").2;
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for elsewhere in ["http:", "https:", "url(", "@import", "=\"//", "import("] {
        assert!(!page.contains(elsewhere), "{elsewhere} in the page");
    }
}

/// Each line is a comment, or a name with labels and a number.
#[test]
fn the_metrics_are_what_prometheus_reads() {
    let rig = Rig::new(|_| {});
    echo(&mut rig.peer());
    let (_, head, text) = rig.get("/metrics");
    assert!(head.contains("content-type: text/plain; version=0.0.4"));
    let mut typed = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed = rest.split(' ').next().unwrap_or_default().to_owned();
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with(&typed), "{series} under {typed}");
    }
    assert!(text.contains("fastport_log_lines_lost_total 3\n"));
    assert!(text.contains("fastport_connections_rejected_total{reason=\"banned\"} 0\n"));
    assert!(text.contains("fastport_tls_handshakes_in_progress 0\n"));
    assert!(text.contains("fastport_tls_handshakes_resumed_total 0\n"));
    assert!(text.contains("fastport_tls_handshakes_failed_total{reason=\"timeout\"} 0\n"));
    assert!(text.contains("fastport_messages_dropped_total{reason=\"oldest\"} 0\n"));
    assert!(text.contains("fastport_handler_seconds_bucket{le=\"+Inf\"} "));
}

/// A panel that asks for what nobody tells stays empty.
#[test]
fn the_dashboard_of_grafana_asks_for_what_there_is() {
    let rig = Rig::new(|_| {});
    let (.., text) = rig.get("/metrics");
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/grafana-fastport.json"
    );
    let dashboard = std::fs::read_to_string(file).expect("the dashboard");
    let mut asked = 0;
    for query in dashboard.split("\"expr\": \"").skip(1) {
        let name = query
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .find(|word| word.starts_with("fastport_") || word.starts_with("process_"));
        let name = name.expect("a query names a metric");
        assert!(text.contains(&format!("\n{name}")), "there is no {name}");
        asked += 1;
    }
    assert!(asked > 12, "{asked} queries were found");
}

#[test]
fn a_draining_server_is_healthy_and_not_ready() {
    let rig = Rig::new(|_| {});
    rig.admin.set_draining();
    assert_eq!(rig.get("/readyz").0, 503);
    assert_eq!(rig.get("/healthz").0, 200);
    rig.server.stop(Duration::ZERO);
    assert_eq!(rig.get("/healthz").0, 503);
}

#[test]
fn actions_are_done_and_each_is_in_the_audit_log() {
    let audit = scratch("audit");
    let rig = Rig::new(|config| config.audit_file = Some(audit.clone()));
    let (mut kicked, mut stays) = (rig.peer(), rig.peer());
    echo(&mut kicked);
    echo(&mut stays);
    let id = rig.sessions().sessions[0].id;
    let outcome = rig.act(&Action::Kick { id });
    assert_eq!(outcome["done"], true, "{outcome}");
    let mut told = Vec::new();
    kicked.read_to_end(&mut told).expect("the end");
    assert_eq!(&told[2..4], [0x8F, 0x01], "{told:?}");
    assert!(told.windows(5).any(|word| word == b"ended"), "{told:?}");
    echo(&mut stays);
    assert_eq!(rig.act(&Action::Kick { id: 999_999_999 })["done"], false);
    let text = "restart in 5 minutes".to_owned();
    let outcome = rig.act(&Action::Message { id: None, text });
    assert_eq!(outcome["done"], true, "{outcome}");
    let mut notice = [0; 26];
    stays.read_exact(&mut notice).expect("the message");
    assert_eq!(&notice[..4], [0, 26, 0x80, 0x10]);
    assert!(notice.ends_with(b"restart in 5 minutes"));
    let directives = "debug".to_owned();
    assert_eq!(rig.act(&Action::LogLevel { directives })["done"], true);
    assert_eq!(rig.act(&Action::Reload)["message"], "the file is wrong");
    let lines = std::fs::read_to_string(&audit).expect("the audit log");
    std::fs::remove_file(&audit).expect("the audit log");
    let actions: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let names: Vec<_> = actions
        .iter()
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["kick", "kick", "message", "log_level", "reload"]);
    assert_eq!(actions[0]["target"], id.to_string());
    assert!(
        actions[1]["outcome"]
            .as_str()
            .unwrap()
            .starts_with("failed: ")
    );
    assert_eq!(actions[0]["from"], "127.0.0.1");
    assert_eq!(actions[0]["role"], "operator");
}

#[test]
fn a_ban_ends_sessions_and_keeps_new_ones_out() {
    let rig = Rig::new(|_| {});
    let mut peer = rig.peer();
    echo(&mut peer);
    let block = "127.0.0.1".to_owned();
    let outcome = rig.act(&Action::Ban {
        block: block.clone(),
        seconds: Some(600),
    });
    assert_eq!(outcome["done"], true, "{outcome}");
    let mut told = Vec::new();
    peer.read_to_end(&mut told).expect("the end");
    assert!(told.windows(6).any(|word| word == b"banned"), "{told:?}");
    assert!(matches!(rig.peer().read(&mut [0; 8]), Ok(0) | Err(_)));
    assert!(rig.get("/api/bans").2.contains("127.0.0.1/32"));
    assert_eq!(rig.act(&Action::Unban { block })["done"], true);
    echo(&mut rig.peer());
}

#[test]
fn a_ban_holds_after_a_restart_when_there_is_a_file() {
    let file = scratch("bans");
    let block = "127.0.0.1".to_owned();
    let rig = Rig::new(|config| config.bans_file = Some(file.clone()));
    echo(&mut rig.peer());
    let outcome = rig.act(&Action::Ban {
        block: block.clone(),
        seconds: Some(600),
    });
    assert_eq!(outcome["done"], true, "{outcome}");
    drop(rig);
    let rig = Rig::new(|config| config.bans_file = Some(file.clone()));
    assert!(matches!(rig.peer().read(&mut [0; 8]), Ok(0) | Err(_)));
    assert_eq!(rig.act(&Action::Unban { block })["done"], true);
    drop(rig);
    let rig = Rig::new(|config| config.bans_file = Some(file.clone()));
    echo(&mut rig.peer());
    // What can not be written is told; the ban holds all the same.
    let gone = file.with_extension("new-place");
    std::fs::rename(&file, &gone).expect("the file of bans");
    std::fs::create_dir(&file).expect("a directory in its place");
    std::fs::write(file.join("occupied"), "").expect("something in it");
    let block = "127.0.0.0/8".to_owned();
    let outcome = rig.act(&Action::Ban {
        block,
        seconds: None,
    });
    assert_eq!(outcome["done"], true, "{outcome}");
    let message = outcome["message"].as_str().expect("a message");
    assert!(message.contains("not be known"), "{message}");
    assert!(matches!(rig.peer().read(&mut [0; 8]), Ok(0) | Err(_)));
    std::fs::remove_dir_all(&file).expect("the directory");
    std::fs::remove_file(&gone).expect("the file of bans");
    // The half that was written has nothing to be renamed to.
    let _ = std::fs::remove_file(format!("{}.new", file.display()));
}

/// Numbers in the answers, the echo of the header, and pages by number that neither repeat nor skip
/// a session which lives, while others come and go.
#[test]
fn the_wire_tells_totals_and_pages() {
    let rig = Rig::new(|_| {});
    let mut steady: Vec<TcpStream> = (0..20).map(|_| rig.peer()).collect();
    steady.iter_mut().for_each(echo);
    let ids: Vec<u64> = rig.sessions().sessions.iter().map(|row| row.id).collect();
    let mut admin = connect(rig.address());
    let request = AdminStatusSummaryRequest::default().encode_to_vec();
    let asked = PacketId::ADMIN_STATUS_SUMMARY_REQUEST;
    let (id, payload) = ask_wire(&mut admin, asked, &request);
    assert_eq!(id, PacketId::ADMIN_STATUS_SUMMARY_RESPONSE);
    let summary = AdminStatusSummaryResponse::decode(payload.as_slice()).expect("an answer");
    assert_eq!(summary.result(), ResultCode::Ok);
    assert_eq!(
        (summary.active_session_count, summary.total_rx_bytes),
        (20, 20 * 8)
    );
    let mut met = Vec::new();
    let mut offset = 0;
    loop {
        // One in front ends and one begins: an offset alone would skip one.
        if offset == 6 {
            let mut gone = steady.remove(0);
            rig.act(&Action::Kick { id: ids[0] });
            gone.read_to_end(&mut Vec::new()).expect("the end");
            while rig.sessions().total != 19 {}
            steady.push(rig.peer());
            steady.iter_mut().for_each(echo);
        }
        let request = AdminSessionListRequest {
            offset,
            limit: 3,
            ..AdminSessionListRequest::default()
        };
        let asked = PacketId::ADMIN_SESSION_LIST_REQUEST;
        let (_, payload) = ask_wire(&mut admin, asked, &request.encode_to_vec());
        let page = AdminSessionListResponse::decode(payload.as_slice()).expect("an answer");
        assert_eq!((page.result(), page.offset), (ResultCode::Ok, offset));
        assert!(
            page.sessions
                .iter()
                .all(|row| row.last_recv_ms > 0 && row.rx_bytes >= 8)
        );
        met.extend(page.sessions.iter().map(|row| row.session_id));
        if page.sessions.is_empty() {
            break;
        }
        offset += 3;
    }
    assert!(met.is_sorted_by(|one, next| one < next), "{met:?}");
    assert!(
        ids[1..].iter().all(|id| met.contains(id)),
        "{ids:?} {met:?}"
    );
    // What is no request ends the connection.
    send_wire(&mut admin, PacketId::ECHO, b"");
    assert_eq!(admin.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn the_game_port_answers_admin_packets_only_where_allowed_and_with_the_token() {
    let rig = Rig::new(|config| config.token = Some(Token::new(TOKEN).expect("a token")));
    let ask = |token: &str| AdminStatusSummaryRequest {
        auth_token: token.into(),
        ..AdminStatusSummaryRequest::default()
    };
    let id = PacketId::ADMIN_STATUS_SUMMARY_REQUEST;
    let mut peer = rig.peer();
    // Not allowed: no answer, so the next one is the echo's.
    send_wire(&mut peer, id, &ask(TOKEN).encode_to_vec());
    echo(&mut peer);
    assert_eq!(rig.server.stats().unhandled, 1);
    assert!(rig.echo.0.set(rig.admin.in_band()).is_ok());
    for (token, result) in [
        ("", ResultCode::Error),
        ("wrong", ResultCode::Error),
        (TOKEN, ResultCode::Ok),
    ] {
        let (answer, payload) = ask_wire(&mut peer, id, &ask(token).encode_to_vec());
        assert_eq!(answer, PacketId::ADMIN_STATUS_SUMMARY_RESPONSE);
        let summary = AdminStatusSummaryResponse::decode(payload.as_slice()).expect("an answer");
        assert_eq!(summary.result(), result, "{token:?}");
        assert_eq!(summary.total_rx_bytes > 0, result == ResultCode::Ok);
    }
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_its_owners_and_goes_with_the_listener() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let path = scratch("socket");
    let rig = Rig::new(|config| {
        config.listen = vec![AdminAddress::Unix(path.clone())];
        // The owner needs none.
        config.token = Some(Token::new(TOKEN).expect("a token"));
    });
    let mode = std::fs::metadata(&path)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).expect("a connection");
    let head = "GET /api/status HTTP/1.1\r\nHost: any\r\n";
    let (status, _, body) = exchange(&mut stream, head, "");
    assert_eq!(status, 200, "{body}");
    assert!(serde_json::from_str::<fastport_admin::model::Status>(&body).is_ok());
    let address = AdminAddress::Unix(path.clone());
    let client = fastport_admin::client::AdminClient::new(address, None).expect("a client");
    assert_eq!(client.status().expect("a status").sessions, 0);
    drop(rig);
    assert!(!path.exists());
}
