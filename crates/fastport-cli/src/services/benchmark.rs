//! Benchmark packets: timed echoes, and the beginning and end of a run.

use super::Measurements;
use super::echo::{ignore_gone, refuse_too_large};
use crate::clock::{Clock, batch_unix_ns};
use fastport::protocol::benchmark::{
    BenchmarkEndRequest, BenchmarkEndResponse, BenchmarkStartRequest, BenchmarkStartResponse,
};
use fastport::protocol::commons::ResultCode;
use fastport::protocol::views::{BenchmarkRequestView, BenchmarkResponseView};
use fastport::{Packet, PacketId, Session};

/// A session's benchmark run.
#[derive(Debug, Default)]
pub(super) struct Run {
    clock: Option<Clock>,
    runs: u32,
    received: u32,
}

/// Answers a `BenchmarkRequest` with its payload and the server's times; the payload is copied
/// once.
pub(super) fn on_request(session: &Session, packet: &Packet<'_>) {
    // Both times are the batch's, to which reading and answering it belong.
    let now = batch_unix_ns(session);
    let Ok(request) = BenchmarkRequestView::decode(packet.payload()) else {
        return session.reject_undecodable(packet.id());
    };
    if let Some(measurements) = session.attached::<Measurements>() {
        let mut run = measurements.benchmark.lock();
        run.received = run.received.saturating_add(1);
    }
    let response = BenchmarkResponseView {
        header: request.header,
        result: ResultCode::Ok as i32,
        client_timestamp_ns: request.client_timestamp_ns,
        server_recv_timestamp_ns: now,
        server_send_timestamp_ns: now,
        sequence: request.sequence,
        payload: request.payload,
    };
    let sent = session.send_with(
        PacketId::BENCHMARK_RESPONSE,
        response.encoded_len(),
        |memory| {
            let encoded = response.encode_into(memory);
            debug_assert_eq!(encoded, Ok(memory.len()));
        },
    );
    refuse_too_large(session, request.header, sent);
}

/// Begins to count a run.
pub(super) fn on_start(session: &Session, packet: &Packet<'_>) {
    let Ok(request) = packet.message::<BenchmarkStartRequest>() else {
        return session.reject_undecodable(packet.id());
    };
    let Some(measurements) = Measurements::of(session) else {
        return;
    };
    let mut run = measurements.benchmark.lock();
    *run = Run {
        clock: Some(Clock::start()),
        runs: run.runs.wrapping_add(1),
        received: 0,
    };
    let response = BenchmarkStartResponse {
        header: request.header,
        result: ResultCode::Ok as i32,
        session_id: run.name(session),
    };
    drop(run);
    ignore_gone(session.send(PacketId::BENCHMARK_START_RESPONSE, &response));
}

/// Ends a run and tells what came. A run that was not begun is answered with an error.
pub(super) fn on_end(session: &Session, packet: &Packet<'_>) {
    let Ok(request) = packet.message::<BenchmarkEndRequest>() else {
        return session.reject_undecodable(packet.id());
    };
    let mut response = BenchmarkEndResponse {
        header: request.header,
        result: ResultCode::Error as i32,
        ..BenchmarkEndResponse::default()
    };
    if let Some(measurements) = session.attached::<Measurements>() {
        let mut run = measurements.benchmark.lock();
        if run.name(session) == request.session_id
            && let Some(clock) = run.clock.take()
        {
            response.result = ResultCode::Ok as i32;
            response.total_received = run.received;
            response.server_elapsed_ns = clock.now_ns();
        }
    }
    ignore_gone(session.send(PacketId::BENCHMARK_END_RESPONSE, &response));
}

impl Run {
    fn name(&self, session: &Session) -> String {
        format!("{}-{}", session.id(), self.runs)
    }
}
