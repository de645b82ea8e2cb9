//! Frames whose every byte follows from who sends and the number: what comes back is compared byte
//! by byte, and what is wrong tells what happened.

use crate::random::Random;
use fastport_protocol::PacketId;
use fastport_protocol::commons::{Header, ResultCode};
use fastport_protocol::prost::Message as _;
use fastport_protocol::tests::{EchoRequest, EchoResponse};

/// The largest frame.
pub(crate) const FRAME_BYTES_MAX: usize = 65_535;
/// Bytes of a content that name its client and its number.
const NAME_BYTES: usize = 16;

/// A request, and the frame that must answer it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// What is sent.
    pub(crate) request: Vec<u8>,
    /// What must come back.
    pub(crate) answer: Vec<u8>,
}

impl Exchange {
    /// The exchange with this number of a client.
    pub(crate) fn new(client: u64, number: u64, random: &mut Random) -> Self {
        let raw = !random.one_in(4);
        let bytes = match random.between(0, 99) {
            0..60 => random.between(NAME_BYTES, 256),
            60..90 => random.between(256, 2_048),
            90..99 => random.between(2_048, 16_384),
            _ => random.between(16_384, FRAME_BYTES_MAX - 100),
        };
        Self::of(raw, &content(client, number, bytes), number)
    }

    /// The largest exchange that there is.
    pub(crate) fn largest(client: u64, number: u64) -> Self {
        Self::of(true, &content(client, number, FRAME_BYTES_MAX - 4), number)
    }

    /// A small one.
    pub(crate) fn small(client: u64, number: u64) -> Self {
        Self::of(true, &content(client, number, 120), number)
    }

    /// Raw, which comes back as it is, or as a message, which comes back in another.
    fn of(raw: bool, content: &[u8], number: u64) -> Self {
        if raw {
            let request = frame(PacketId::RAW_ECHO, content);
            return Self {
                answer: request.clone(),
                request,
            };
        }
        let header = Some(Header {
            request_id: number,
            timestamp_ms: number ^ 0xFFFF,
        });
        let data_str = format!("number {number}");
        let request = EchoRequest {
            header,
            data: content.to_vec().into(),
            data_str: data_str.clone(),
        };
        let answer = EchoResponse {
            header,
            result: ResultCode::Ok.into(),
            data: request.data.clone(),
            data_str,
        };
        Self {
            request: frame(PacketId::ECHO, &request.encode_to_vec()),
            answer: frame(PacketId::ECHO, &answer.encode_to_vec()),
        }
    }
}

/// A frame; the payload is at most 65,531 bytes.
pub(crate) fn frame(id: PacketId, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).expect("a payload that fits a frame");
    let mut frame = Vec::with_capacity(usize::from(size));
    frame.extend(size.to_be_bytes());
    frame.extend(id.number().to_be_bytes());
    frame.extend(payload);
    frame
}

/// The content of a message: its name, and bytes that follow from it.
fn content(client: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    let (name, rest) = content.split_at_mut(NAME_BYTES);
    name[..8].copy_from_slice(&client.to_be_bytes());
    name[8..].copy_from_slice(&number.to_be_bytes());
    Random::new(client ^ number.rotate_left(32)).fill(rest);
    content
}

/// What a frame is that is not the expected one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// It came before already.
    Doubled,
    /// It is one that was to come later.
    Early,
    /// It belongs to another client.
    Foreign,
    /// It is like none.
    Damaged,
}

/// Judges a frame that came instead of the one with this number.
pub(crate) fn judge(client: u64, number: u64, frame: &[u8]) -> Wrong {
    // A raw echo shows its name at once; a message somewhere near its front.
    let named = frame
        .windows(8)
        .take(64)
        .position(|part| part == client.to_be_bytes());
    let Some(at) = named else {
        let soak_client = frame
            .get(4..8)
            .is_some_and(|part| part == CLIENT_MARK.to_be_bytes());
        return if soak_client {
            Wrong::Foreign
        } else {
            Wrong::Damaged
        };
    };
    let told = frame
        .get(at + 8..at + NAME_BYTES)
        .and_then(|part| part.try_into().ok());
    match told.map(u64::from_be_bytes) {
        Some(told) if told < number => Wrong::Doubled,
        Some(told) if told > number => Wrong::Early,
        _ => Wrong::Damaged,
    }
}

/// The upper half of every client's key.
const CLIENT_MARK: u32 = 0x5EED_F00D;

/// The key of the client with this number.
pub(crate) fn client_key(number: u32) -> u64 {
    (u64::from(CLIENT_MARK) << 32) | u64::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_instead_is_named() {
        let (mine, other) = (client_key(1), client_key(2));
        let frame = |client, number| Exchange::small(client, number).answer;
        assert_eq!(judge(mine, 5, &frame(mine, 4)), Wrong::Doubled);
        assert_eq!(judge(mine, 5, &frame(mine, 6)), Wrong::Early);
        assert_eq!(judge(mine, 5, &frame(other, 5)), Wrong::Foreign);
        assert_eq!(judge(mine, 5, &[0; 100]), Wrong::Damaged);
        let mut flipped = frame(mine, 5);
        flipped[50] ^= 1;
        assert_eq!(judge(mine, 5, &flipped), Wrong::Damaged);
    }

    #[test]
    fn no_two_messages_are_the_same() {
        let mut random = Random::new(7);
        let one = Exchange::new(client_key(1), 1, &mut random);
        let two = Exchange::new(client_key(1), 2, &mut random);
        assert_ne!(one.request, two.request);
        assert_eq!(Exchange::largest(1, 1).request.len(), FRAME_BYTES_MAX);
    }
}
