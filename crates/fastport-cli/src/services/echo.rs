//! Echo, raw echo and ping: what came goes back, encoded straight into the send queue.

use fastport::protocol::commons::{Header, ResultCode};
use fastport::protocol::tests::ErrorResponse;
use fastport::protocol::views::{
    EchoRequestView, EchoResponseView, PingRequestView, PingResponseView,
};
use fastport::{Packet, PacketId, SendError, SendStatus, Session};

/// The error code of an answer that would not fit a frame, in `ErrorResponse`.
const CODE_TOO_LARGE: i32 = 1;

/// Sends the frame back as it is.
pub(super) fn on_raw(session: &Session, packet: &Packet<'_>) {
    ignore_gone(session.forward(packet));
}

/// Answers an `EchoRequest`; its data is copied once, from the receive memory to the send queue.
pub(super) fn on_echo(session: &Session, packet: &Packet<'_>) {
    let Ok(request) = EchoRequestView::decode(packet.payload()) else {
        return session.reject_undecodable(packet.id());
    };
    let response = EchoResponseView {
        header: request.header,
        result: ResultCode::Ok as i32,
        data: request.data,
        data_str: request.data_str,
    };
    let sent = session.send_with(PacketId::ECHO, response.encoded_len(), |memory| {
        let encoded = response.encode_into(memory);
        debug_assert_eq!(encoded, Ok(memory.len()));
    });
    refuse_too_large(session, request.header, sent);
}

/// Answers a `PingRequest`.
pub(super) fn on_ping(session: &Session, packet: &Packet<'_>) {
    let Ok(request) = PingRequestView::decode(packet.payload()) else {
        return session.reject_undecodable(packet.id());
    };
    let response = PingResponseView {
        header: request.header,
        result: ResultCode::Ok as i32,
        payload: request.payload,
    };
    let sent = session.send_with(PacketId::PING_RESPONSE, response.encoded_len(), |memory| {
        let encoded = response.encode_into(memory);
        debug_assert_eq!(encoded, Ok(memory.len()));
    });
    refuse_too_large(session, request.header, sent);
}

/// A response has a result code more than its request: the largest requests have no response that
/// fits. The client is told, or it would wait for ever.
pub(super) fn refuse_too_large(
    session: &Session,
    header: Option<Header>,
    sent: Result<SendStatus, SendError>,
) {
    let Err(error @ SendError::TooLarge { .. }) = sent else {
        return ignore_gone(sent);
    };
    let refusal = ErrorResponse {
        header,
        result: ResultCode::Error as i32,
        message: error.to_string(),
        error_code: CODE_TOO_LARGE,
    };
    ignore_gone(session.send(PacketId::ERROR_RESPONSE, &refusal));
}

/// A peer that is gone needs no answer; one that reads too slowly is not read from by the
/// framework.
pub(super) fn ignore_gone(sent: Result<SendStatus, SendError>) {
    let _ = sent;
}
