//! A request as bytes, and whether a response answers it.

use super::flow::Sent;
use super::plan::Kind;
use fastport::protocol::commons::{Header, ResultCode};
use fastport::protocol::views::{BenchmarkRequestView, BenchmarkResponseView};
use fastport::{Packet, PacketId, SendError, SendStatus, Session};
use std::fmt;

/// What was wrong with a response.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// Another packet id.
    Id(PacketId),
    /// Nothing had been asked.
    Unasked,
    /// The payload is no `BenchmarkResponse`.
    Undecodable,
    /// It answers another request, or refuses this one.
    Header,
    /// The payload's size.
    Size,
    /// The payload's content.
    Content,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "a response had packet id {id}"),
            Self::Unasked => f.write_str("a response came without a request"),
            Self::Undecodable => f.write_str("a response does not decode"),
            Self::Header => f.write_str("a response answers another request"),
            Self::Size => f.write_str("a response's payload has another size"),
            Self::Content => f.write_str("a response's payload has other content"),
        }
    }
}

/// Encodes a request straight into the send queue.
#[inline]
pub(crate) fn send(
    session: &Session,
    kind: Kind,
    sent: Sent,
    unix_ms: u64,
    payload: &[u8],
) -> Result<SendStatus, SendError> {
    if kind == Kind::Raw {
        return session.send_bytes(PacketId::RAW_ECHO, payload);
    }
    let request = BenchmarkRequestView {
        header: Some(Header {
            request_id: sent.sequence.into(),
            timestamp_ms: unix_ms,
        }),
        client_timestamp_ns: sent.at_ns,
        sequence: sent.sequence,
        payload,
    };
    session.send_with(
        PacketId::BENCHMARK_REQUEST,
        request.encoded_len(),
        |memory| {
            let encoded = request.encode_into(memory);
            debug_assert_eq!(encoded, Ok(memory.len()));
        },
    )
}

/// Checks a response. Its size always counts; its content with `verify`.
#[inline]
pub(crate) fn check(
    packet: &Packet<'_>,
    kind: Kind,
    sent: Sent,
    payload: &[u8],
    verify: bool,
) -> Result<(), Wrong> {
    let echoed = match kind {
        Kind::Raw if packet.id() == PacketId::RAW_ECHO => packet.payload(),
        Kind::Message if packet.id() == PacketId::BENCHMARK_RESPONSE => {
            message_payload(packet.payload(), sent)?
        }
        _ => return Err(Wrong::Id(packet.id())),
    };
    if echoed.len() != payload.len() {
        return Err(Wrong::Size);
    }
    if verify && echoed != payload {
        return Err(Wrong::Content);
    }
    Ok(())
}

#[inline]
fn message_payload(bytes: &[u8], sent: Sent) -> Result<&[u8], Wrong> {
    let response = BenchmarkResponseView::decode(bytes).map_err(|_| Wrong::Undecodable)?;
    let request_id = response.header.map_or(0, |header| header.request_id);
    if response.result != ResultCode::Ok as i32
        || request_id != u64::from(sent.sequence)
        || response.sequence != sent.sequence
        || response.client_timestamp_ns != sent.at_ns
    {
        return Err(Wrong::Header);
    }
    Ok(response.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent = Sent {
        at_ns: 99,
        payload: 0,
        sequence: 7,
    };

    fn response(change: impl FnOnce(&mut BenchmarkResponseView<'_>)) -> Vec<u8> {
        let mut view = BenchmarkResponseView {
            header: Some(Header {
                request_id: 7,
                timestamp_ms: 1,
            }),
            result: ResultCode::Ok as i32,
            client_timestamp_ns: 99,
            sequence: 7,
            payload: b"abc",
            ..BenchmarkResponseView::default()
        };
        change(&mut view);
        let mut bytes = vec![0; view.encoded_len()];
        view.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_answer_to_the_request_is_taken() {
        assert_eq!(message_payload(&response(|_| ()), SENT), Ok(&b"abc"[..]));
    }

    #[test]
    fn the_answer_to_another_request_is_not() {
        for bytes in [
            response(|view| view.sequence = 8),
            response(|view| view.header = None),
            response(|view| view.client_timestamp_ns = 98),
            response(|view| view.result = ResultCode::Error as i32),
        ] {
            assert_eq!(message_payload(&bytes, SENT), Err(Wrong::Header));
        }
        assert_eq!(message_payload(&[0xff], SENT), Err(Wrong::Undecodable));
    }
}
