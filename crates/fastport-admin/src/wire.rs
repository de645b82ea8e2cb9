//! The wire's admin packets: 0x8001 to 0x8004.
//!
//! Answered on the admin listener, and on the game port where that was allowed. There a session's
//! worker only puts the packet into a channel; the admin thread answers.

use crate::access::Origin;
use crate::clock;
use crate::server::Shared;
use crate::walk::Walk;
use fastport::PacketId;
use fastport::protocol::admin::{
    AdminSessionInfo, AdminSessionListRequest, AdminSessionListResponse, AdminStatusSummaryRequest,
    AdminStatusSummaryResponse, ServerMode,
};
use fastport::protocol::commons::ResultCode;
use fastport::protocol::prost::Message;
use fastport::{CloseReason, EngineKind, Packet, Session, SessionId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// A request on the admin listener has so many bytes at most.
const REQUEST_BYTES_MAX: usize = 4096;
/// Sessions on a page, as the wire says.
const PAGE_MAX: u32 = 1000;
/// How long a client may be silent, and how long it may take for a request or to take an answer.
const SILENCE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests from the game port that wait; further ones are dropped.
pub(crate) const IN_BAND_MAX: usize = 64;
/// Clients of the game port whose walks are remembered.
const WALKERS_MAX: usize = 8;

/// A request from the game port.
pub(crate) struct Asked {
    session: Session,
    id: PacketId,
    payload: Vec<u8>,
}

/// Takes admin packets of the game port. Cheap to clone; any thread.
#[derive(Clone, Debug)]
pub struct InBand(pub(crate) mpsc::Sender<Asked>);

impl InBand {
    /// Takes a packet of the reserved range. Does not block: while many wait it is dropped, as is
    /// whatever is no request.
    pub fn offer(&self, session: &Session, packet: &Packet<'_>) {
        if !is_request(packet.id()) || packet.payload().len() > REQUEST_BYTES_MAX {
            return session.note_unhandled(packet.id());
        }
        let asked = Asked {
            session: session.clone(),
            id: packet.id(),
            payload: packet.payload().to_vec(),
        };
        if self.0.try_send(asked).is_err() {
            session.note_unhandled(packet.id());
        }
    }
}

fn is_request(id: PacketId) -> bool {
    id == PacketId::ADMIN_STATUS_SUMMARY_REQUEST || id == PacketId::ADMIN_SESSION_LIST_REQUEST
}

/// Answers what comes from the game port.
pub(crate) async fn serve_in_band(shared: Arc<Shared>, mut asked: mpsc::Receiver<Asked>) {
    let mut walks: HashMap<SessionId, Walk> = HashMap::new();
    while let Some(Asked {
        session,
        id,
        payload,
    }) = asked.recv().await
    {
        if walks.len() >= WALKERS_MAX && !walks.contains_key(&session.id()) {
            walks.clear();
        }
        let walk = walks.entry(session.id()).or_default();
        let origin = Origin::InBand(session.peer_address().ip());
        match answer(&shared, origin, walk, id, &payload).await {
            Some((id, payload)) => drop(session.send_bytes(id, &payload)),
            None => session.reject_undecodable(id),
        }
    }
}

/// Speaks the wire with a client of the admin listener until it leaves or breaks the rules.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    origin: Origin,
    mut stream: S,
) -> std::io::Result<()> {
    let mut walk = Walk::default();
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    loop {
        let mut head = [0; 4];
        match tokio::time::timeout(SILENCE, stream.read_exact(&mut head)).await? {
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
        let [size_high, size_low, id_high, id_low] = head;
        let size = usize::from(u16::from_be_bytes([size_high, size_low]));
        let id = PacketId::new(u16::from_be_bytes([id_high, id_low]));
        let length = size.checked_sub(head.len()).ok_or_else(broken)?;
        if length > REQUEST_BYTES_MAX {
            return Err(broken());
        }
        let mut payload = vec![0; length];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut payload)).await??;
        let answered = answer(shared, origin, &mut walk, id, &payload).await;
        let (id, payload) = answered.ok_or_else(broken)?;
        let size = u16::try_from(payload.len() + head.len()).map_err(|_| broken())?;
        let mut frame = Vec::with_capacity(usize::from(size));
        frame.extend_from_slice(&size.to_be_bytes());
        frame.extend_from_slice(&id.number().to_be_bytes());
        frame.extend_from_slice(&payload);
        tokio::time::timeout(PATIENCE, stream.write_all(&frame)).await??;
    }
}

/// The answer to a request; `None` for what is none.
async fn answer(
    shared: &Shared,
    origin: Origin,
    walk: &mut Walk,
    id: PacketId,
    payload: &[u8],
) -> Option<(PacketId, Vec<u8>)> {
    match id {
        PacketId::ADMIN_STATUS_SUMMARY_REQUEST => {
            let request = AdminStatusSummaryRequest::decode(payload).ok()?;
            let may = may(shared, origin, &request.auth_token);
            let response = summary(shared, &request, may);
            let id = PacketId::ADMIN_STATUS_SUMMARY_RESPONSE;
            Some((id, response.encode_to_vec()))
        }
        PacketId::ADMIN_SESSION_LIST_REQUEST => {
            let request = AdminSessionListRequest::decode(payload).ok()?;
            let may = may(shared, origin, &request.auth_token);
            if may {
                shared.scans.wait().await;
            }
            let response = list(shared, walk, &request, may);
            let id = PacketId::ADMIN_SESSION_LIST_RESPONSE;
            Some((id, response.encode_to_vec()))
        }
        _ => None,
    }
}

fn may(shared: &Shared, origin: Origin, token: &str) -> bool {
    let guess = (!token.is_empty()).then_some(token.as_bytes());
    let checked = shared.access.check(origin, guess, clock::now());
    if checked.is_err() {
        shared.refused(origin, "admin packet");
    }
    checked.is_ok()
}

fn summary(
    shared: &Shared,
    request: &AdminStatusSummaryRequest,
    may: bool,
) -> AdminStatusSummaryResponse {
    if !may {
        return AdminStatusSummaryResponse {
            header: request.header,
            result: ResultCode::Error.into(),
            ..AdminStatusSummaryResponse::default()
        };
    }
    let status = shared.board.latest();
    let stats = shared.monitor.stats();
    let mode = match shared.monitor.engine() {
        EngineKind::IoUring => ServerMode::IoUring,
        EngineKind::Iocp => ServerMode::Iocp,
        EngineKind::Poll => ServerMode::Poll,
        _ => ServerMode::Unknown,
    };
    AdminStatusSummaryResponse {
        header: request.header,
        result: ResultCode::Ok.into(),
        server_uptime_ms: status.uptime_ms,
        active_session_count: u32::try_from(stats.sessions).unwrap_or(u32::MAX),
        total_rx_bytes: stats.bytes_in,
        total_tx_bytes: stats.bytes_out,
        idle_disconnect_count: stats.closed_for(CloseReason::Idle),
        server_mode: mode.into(),
        process_memory_bytes: status.process.memory_bytes,
        process_cpu_percent: status.process.cpu_percent,
        server_timestamp_ms: status.unix_ms,
    }
}

fn list(
    shared: &Shared,
    walk: &mut Walk,
    request: &AdminSessionListRequest,
    may: bool,
) -> AdminSessionListResponse {
    let mut response = AdminSessionListResponse {
        header: request.header,
        result: ResultCode::Error.into(),
        offset: request.offset,
        ..AdminSessionListResponse::default()
    };
    if !may {
        return response;
    }
    let limit = match request.limit {
        0 => PAGE_MAX,
        limit => limit.min(PAGE_MAX),
    };
    let page = walk.page(&shared.monitor, request.offset, limit as usize);
    response.result = ResultCode::Ok.into();
    response.total = u32::try_from(page.total).unwrap_or(u32::MAX);
    response.sessions = page.sessions.iter().map(info).collect();
    response
}

fn info(session: &Session) -> AdminSessionInfo {
    AdminSessionInfo {
        session_id: session.id().value(),
        last_recv_ms: i64::try_from(session.last_received_ms()).unwrap_or(i64::MAX),
        rx_bytes: session.received_bytes(),
        tx_bytes: session.sent_bytes(),
    }
}
