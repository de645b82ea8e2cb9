//! The whole frames that the wire's definition gives, encoded and decoded by every means of this
//! crate.
//!
//! They were made with another implementation of protobuf: a mistake shared by both sides of a
//! round trip, such as a swapped field number, is seen here alone.

use fastport_protocol::commons::{Header, ResultCode};
use fastport_protocol::prost::Message;
use fastport_protocol::views::{
    BenchmarkRequestView, BenchmarkResponseView, EchoRequestView, EchoResponseView,
};
use fastport_protocol::{Headed, Identified, PacketId, admin, benchmark, tests};

const HEADER: Header = Header {
    request_id: 7,
    timestamp_ms: 1_700_000_000_000,
};
const BENCHMARK_HEADER: Header = Header {
    request_id: 1,
    ..HEADER
};
const ADMIN_HEADER: Header = Header {
    request_id: 9,
    timestamp_ms: 0,
};
const PAYLOAD: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

const EMPTY: &str = "00040001";
const ECHO_REQUEST: &str = "001600010a0908071080d095ffbc311a0568656c6c6f";
const ECHO_RESPONSE: &str = "001800010a0908071080d095ffbc311001220568656c6c6f";
const BENCHMARK_REQUEST: &str = "002e10010a0908011080d095ffbc31109582a6efc79e84911118ac0222\
    10000102030405060708090a0b0c0d0e0f";
const BENCHMARK_RESPONSE: &str = "003410020a0908011080d095ffbc311001189582a6efc79e8491112005\
    280630ac023a10000102030405060708090a0b0c0d0e0f";
const STATUS_REQUEST: &str = "001080010a0208091206733363726574";
const STATUS_RESPONSE: &str = "003680020a020809100118e0d40320e8072880808080203080808080403803\
    400148959aef3a5100000000000029405880d095ffbc31";

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from((byte as char).to_digit(16).unwrap()).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

fn frame(id: PacketId, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(4 + payload.len()).unwrap();
    let header = [size.to_be_bytes(), id.number().to_be_bytes()].concat();
    [&header, payload].concat()
}

/// The generated type writes the vector and reads it back.
fn generated<M: Identified + PartialEq + std::fmt::Debug>(message: &M, vector: &str) {
    let vector = unhex(vector);
    assert_eq!(frame(M::ID, &message.encode_to_vec()), vector);
    assert_eq!(M::decode(&vector[4..]).as_ref(), Ok(message));
}

/// A view writes the vector and reads it back.
macro_rules! view {
    ($type:ident, $view:expr, $id:expr, $vector:expr) => {
        let (view, vector): ($type<'_>, _) = ($view, unhex($vector));
        let mut payload = vec![0; view.encoded_len()];
        assert_eq!(view.encode_into(&mut payload), Ok(payload.len()));
        assert_eq!(frame($id, &payload), vector);
        assert_eq!($type::decode(&vector[4..]), Ok(view));
    };
}

#[test]
fn an_empty_payload_is_the_default_message() {
    generated(&tests::EchoRequest::default(), EMPTY);
    view!(
        EchoRequestView,
        EchoRequestView::default(),
        PacketId::ECHO,
        EMPTY
    );
}

#[test]
fn echo() {
    let request = tests::EchoRequest {
        header: Some(HEADER),
        data_str: "hello".into(),
        ..Default::default()
    };
    generated(&request, ECHO_REQUEST);
    assert_eq!(request.header(), Some(&HEADER));
    let view = EchoRequestView {
        header: Some(HEADER),
        data_str: "hello",
        ..Default::default()
    };
    view!(EchoRequestView, view, PacketId::ECHO, ECHO_REQUEST);

    let mut response = tests::EchoResponse {
        result: ResultCode::Ok.into(),
        data_str: "hello".into(),
        ..Default::default()
    };
    response.set_header(HEADER);
    generated(&response, ECHO_RESPONSE);
    let view = EchoResponseView {
        header: Some(HEADER),
        result: ResultCode::Ok.into(),
        data_str: "hello",
        ..Default::default()
    };
    view!(EchoResponseView, view, PacketId::ECHO, ECHO_RESPONSE);
}

#[test]
fn benchmark_request() {
    let request = benchmark::BenchmarkRequest {
        header: Some(BENCHMARK_HEADER),
        client_timestamp_ns: 1_234_567_890_123_456_789,
        sequence: 300,
        payload: PAYLOAD.to_vec().into(),
    };
    generated(&request, BENCHMARK_REQUEST);
    let view = BenchmarkRequestView {
        header: Some(BENCHMARK_HEADER),
        client_timestamp_ns: 1_234_567_890_123_456_789,
        sequence: 300,
        payload: &PAYLOAD,
    };
    let id = PacketId::BENCHMARK_REQUEST;
    view!(BenchmarkRequestView, view, id, BENCHMARK_REQUEST);
}

#[test]
fn benchmark_response() {
    let response = benchmark::BenchmarkResponse {
        header: Some(BENCHMARK_HEADER),
        result: ResultCode::Ok.into(),
        client_timestamp_ns: 1_234_567_890_123_456_789,
        server_recv_timestamp_ns: 5,
        server_send_timestamp_ns: 6,
        sequence: 300,
        payload: PAYLOAD.to_vec().into(),
    };
    generated(&response, BENCHMARK_RESPONSE);
    let view = BenchmarkResponseView {
        header: Some(BENCHMARK_HEADER),
        result: ResultCode::Ok.into(),
        client_timestamp_ns: 1_234_567_890_123_456_789,
        server_recv_timestamp_ns: 5,
        server_send_timestamp_ns: 6,
        sequence: 300,
        payload: &PAYLOAD,
    };
    let id = PacketId::BENCHMARK_RESPONSE;
    view!(BenchmarkResponseView, view, id, BENCHMARK_RESPONSE);
}

#[test]
fn admin_status_summary() {
    let request = admin::AdminStatusSummaryRequest {
        header: Some(ADMIN_HEADER),
        auth_token: "s3cret".into(),
    };
    generated(&request, STATUS_REQUEST);
    let response = admin::AdminStatusSummaryResponse {
        header: Some(ADMIN_HEADER),
        result: ResultCode::Ok.into(),
        server_uptime_ms: 60_000,
        active_session_count: 1000,
        total_rx_bytes: 1 << 33,
        total_tx_bytes: 1 << 34,
        idle_disconnect_count: 3,
        server_mode: admin::ServerMode::Iocp.into(),
        process_memory_bytes: 123_456_789,
        process_cpu_percent: 12.5,
        server_timestamp_ms: 1_700_000_000_000,
    };
    generated(&response, STATUS_RESPONSE);
}

/// A payload decoded from `Bytes` is a part of that memory, not a copy of it.
#[test]
fn a_payload_shares_the_memory_it_was_decoded_from() {
    let frame = fastport_protocol::bytes::Bytes::from(unhex(BENCHMARK_REQUEST));
    let request = benchmark::BenchmarkRequest::decode(frame.slice(4..)).unwrap();
    assert!(frame.as_ptr_range().contains(&request.payload.as_ptr()));
}

/// The file from which clients in other languages take the vectors has these, and no others.
#[test]
fn the_file_for_other_languages_has_the_same_frames() {
    let file = include_str!("../vectors.json");
    let frames: Vec<&str> = file
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"frame\": \""))
        .filter_map(|rest| rest.strip_suffix('"'))
        .collect();
    let ours = [
        EMPTY,
        ECHO_REQUEST,
        ECHO_RESPONSE,
        BENCHMARK_REQUEST,
        BENCHMARK_RESPONSE,
        STATUS_REQUEST,
        STATUS_RESPONSE,
    ];
    assert_eq!(frames, ours);
}
