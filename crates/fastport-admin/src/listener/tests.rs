//! Peers of the admin listener that take their time, or too much room. Time is simulated: it goes
//! on when everybody waits, so each of these takes milliseconds.

use super::{FIRST_BYTE, LIFETIME, serve};
use crate::access::Origin;
use crate::server::Shared;
use crate::{AdminConfig, Control};
use fastport::protocol::admin::AdminStatusSummaryRequest;
use fastport::protocol::prost::Message;
use fastport::{PacketId, Server};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// Far more than any limit: time does not stand still without one.
const NEVER: Duration = Duration::from_secs(24 * 3600);

struct Nothing;

impl Control for Nothing {
    fn drain(&self) {}

    fn reload(&self) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn set_log_level(&self, _directives: &str) -> Result<(), String> {
        Ok(())
    }

    fn log_lines_lost(&self) -> u64 {
        0
    }
}

/// One connection to a listener.
struct Rig {
    reads: ReadHalf<DuplexStream>,
    writes: WriteHalf<DuplexStream>,
    served: JoinHandle<()>,
    /// In simulated time.
    began: Instant,
    _server: Server,
}

impl Rig {
    /// Of which each side takes `room` bytes that the other has not read.
    fn new(room: usize) -> Self {
        let server = Server::builder().listen("127.0.0.1:0").workers(1);
        let server = server.start().expect("a server");
        let monitor = server.service().monitor();
        let shared = Shared::new(&AdminConfig::default(), monitor, Arc::new(Nothing));
        let shared = Arc::new(shared.expect("no files"));
        let (near, far) = tokio::io::duplex(room);
        let origin = Origin::Peer([127, 0, 0, 1].into());
        let served = tokio::spawn(async move { serve(&shared, origin, far).await });
        let (reads, writes) = tokio::io::split(near);
        let began = sleep(Duration::ZERO).deadline();
        Self {
            reads,
            writes,
            served,
            began,
            _server: server,
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.writes.write_all(bytes).await.expect("a write");
    }

    /// Goes on with a byte a second for as long as the connection takes one.
    async fn dribble(mut writes: WriteHalf<DuplexStream>) {
        while writes.write_all(b"a").await.is_ok() {
            sleep(SECOND).await;
        }
    }

    /// Reads to the end of the connection, which must be there `limit` after the beginning, and
    /// not before.
    async fn ends_after(mut self, limit: Duration) -> String {
        let mut came = Vec::new();
        let dribbling = tokio::spawn(Self::dribble(self.writes));
        let end = timeout(NEVER, self.reads.read_to_end(&mut came)).await;
        assert!(end.is_ok(), "it never ended");
        let took = self.began.elapsed();
        assert!(
            took + SECOND / 2 > limit && took < limit + 2 * SECOND,
            "{took:?} instead of {limit:?}"
        );
        dribbling.abort();
        String::from_utf8_lossy(&came).into_owned()
    }
}

fn frame(id: PacketId, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).expect("a short frame");
    [&size.to_be_bytes(), &id.number().to_be_bytes(), payload].concat()
}

fn question() -> Vec<u8> {
    let request = AdminStatusSummaryRequest::default().encode_to_vec();
    frame(PacketId::ADMIN_STATUS_SUMMARY_REQUEST, &request)
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_closed() {
    let Rig {
        mut reads,
        writes: _silent,
        began,
        ..
    } = Rig::new(1024);
    let end = timeout(NEVER, reads.read(&mut [0])).await;
    assert!(matches!(end, Ok(Ok(0))), "{end:?}");
    assert!(began.elapsed() < FIRST_BYTE + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_is_given_up() {
    let mut rig = Rig::new(1024);
    rig.write(b"GET / HTTP/1.1\r\nX-Slow: ").await;
    rig.ends_after(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dribbles_is_given_up() {
    let mut rig = Rig::new(1024);
    let head = "POST /api/action HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
    rig.write(head.as_bytes()).await;
    let answer = rig.ends_after(Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_is_refused() {
    let mut rig = Rig::new(64 * 1024);
    let message = "x".repeat(8 * 1024);
    let body = format!("{{\"action\":\"unban\",\"block\":\"{message}\"}}");
    let head = format!(
        "POST /api/action HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    rig.write(head.as_bytes()).await;
    let answer = rig.ends_after(Duration::ZERO).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_the_wire_that_falls_silent_is_closed() {
    let Rig {
        mut reads,
        mut writes,
        began,
        ..
    } = Rig::new(1024);
    writes.write_all(&question()).await.expect("a request");
    let mut answer = [0; 4];
    reads.read_exact(&mut answer).await.expect("an answer");
    let end = timeout(NEVER, reads.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "it never ended");
    assert!(began.elapsed() < Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_wire_that_dribbles_is_given_up() {
    let mut rig = Rig::new(1024);
    rig.write(&frame(PacketId::ADMIN_STATUS_SUMMARY_REQUEST, &[0; 500])[..4])
        .await;
    rig.ends_after(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_wire_that_is_too_long_ends_the_connection() {
    let mut rig = Rig::new(1024);
    rig.write(&frame(PacketId::ADMIN_STATUS_SUMMARY_REQUEST, &[0; 5000])[..4])
        .await;
    rig.ends_after(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_the_answers_is_given_up() {
    let Rig {
        reads: _unread,
        mut writes,
        served,
        began,
        ..
    } = Rig::new(32);
    let asking = tokio::spawn(async move { while writes.write_all(&question()).await.is_ok() {} });
    assert!(timeout(NEVER, served).await.is_ok(), "it never ended");
    assert!(began.elapsed() < Duration::from_secs(6));
    asking.abort();
}

#[tokio::test(start_paused = true)]
async fn nobody_stays_for_ever() {
    let Rig {
        mut reads,
        mut writes,
        began,
        ..
    } = Rig::new(1024);
    let asking = tokio::spawn(async move {
        while writes.write_all(&question()).await.is_ok() {
            sleep(20 * SECOND).await;
        }
    });
    let mut answers = Vec::new();
    let end = timeout(NEVER, reads.read_to_end(&mut answers)).await;
    assert!(end.is_ok(), "it never ended");
    let stayed = began.elapsed();
    assert!(
        stayed >= LIFETIME && stayed < LIFETIME + SECOND,
        "{stayed:?}"
    );
    asking.abort();
}
