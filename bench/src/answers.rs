//! What every peer answers: raw echo with the received bytes themselves, echo with a message.

use crate::frames::{BENCHMARK, BENCHMARK_RESPONSE, ECHO, Frame, RAW_ECHO, first_frame, header};
use fastport_protocol::benchmark::{BenchmarkRequest, BenchmarkResponse};
use fastport_protocol::commons::ResultCode;
use fastport_protocol::prost::Message;
use fastport_protocol::tests::{EchoRequest, EchoResponse};
use std::io::{self, Error, ErrorKind};
use std::time::SystemTime;

/// Answers every whole frame of `input`. Returns how many bytes they are, and whether the answers
/// are those bytes themselves; otherwise they are in `answers`.
///
/// # Errors
/// A frame or a message that is none.
pub fn answer(input: &[u8], answers: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let mut used = 0;
    let mut same = true;
    while let Some(frame) = first_frame(&input[used..])
        .map_err(|_| Error::new(ErrorKind::InvalidData, "a frame smaller than its header"))?
    {
        if same && frame.id != RAW_ECHO {
            same = false;
            answers.extend_from_slice(&input[..used]);
        }
        used += frame.bytes.len();
        if frame.id != RAW_ECHO || !same {
            answer_frame(&frame, answers)?;
        }
    }
    Ok((used, same))
}

/// Tells of a session that its server closed because of what the peer sent; a peer that goes away
/// is nothing to tell of.
pub fn report(ended: &io::Result<()>) {
    if let Err(error) = ended
        && error.kind() == ErrorKind::InvalidData
    {
        eprintln!("session closed: {error}");
    }
}

/// Appends the answer to one frame.
///
/// # Errors
/// A message that is none.
pub fn answer_frame(frame: &Frame<'_>, answers: &mut Vec<u8>) -> io::Result<()> {
    match frame.id {
        RAW_ECHO => answers.extend_from_slice(frame.bytes),
        ECHO => answer_echo(frame.payload, answers)?,
        BENCHMARK => answer_benchmark(frame.payload, answers)?,
        // As FastPort does with an id that nothing handles.
        _ => {}
    }
    Ok(())
}

fn invalid(error: impl ToString) -> Error {
    Error::new(ErrorKind::InvalidData, error.to_string())
}

fn append(id: u16, response: &impl Message, answers: &mut Vec<u8>) -> io::Result<()> {
    let header = header(id, response.encoded_len())
        .ok_or_else(|| invalid("the answer is larger than a frame"))?;
    answers.extend_from_slice(&header);
    response.encode(answers).map_err(Error::other)
}

fn answer_benchmark(payload: &[u8], answers: &mut Vec<u8>) -> io::Result<()> {
    let received = unix_ns();
    let request = BenchmarkRequest::decode(payload).map_err(invalid)?;
    let response = BenchmarkResponse {
        header: request.header,
        result: ResultCode::Ok.into(),
        client_timestamp_ns: request.client_timestamp_ns,
        server_recv_timestamp_ns: received,
        server_send_timestamp_ns: unix_ns(),
        sequence: request.sequence,
        payload: request.payload,
    };
    append(BENCHMARK_RESPONSE, &response, answers)
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn answer_echo(payload: &[u8], answers: &mut Vec<u8>) -> io::Result<()> {
    let request = EchoRequest::decode(payload).map_err(invalid)?;
    let response = EchoResponse {
        header: request.header,
        result: ResultCode::Ok.into(),
        data: request.data,
        data_str: request.data_str,
    };
    append(ECHO, &response, answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"\x00\x16\x00\x01\x0a\x09\x08\x07\x10\x80\xd0\x95\xff\xbc\x31\x1a\x05hello";
    const RESPONSE: &[u8] =
        b"\x00\x18\x00\x01\x0a\x09\x08\x07\x10\x80\xd0\x95\xff\xbc\x31\x10\x01\x22\x05hello";
    const RAW: &[u8] = b"\x00\x06\x00\x02ab";

    fn answered(input: &[u8]) -> (usize, Vec<u8>) {
        let mut answers = Vec::new();
        let (used, same) = answer(input, &mut answers).unwrap();
        (
            used,
            if same {
                input[..used].to_vec()
            } else {
                answers
            },
        )
    }

    #[test]
    fn raw_frames_come_back_as_they_are_and_a_cut_one_waits() {
        let input = [RAW, RAW, &RAW[..5]].concat();
        assert_eq!(answered(&input), (12, [RAW, RAW].concat()));
    }

    #[test]
    fn answers_of_both_kinds_keep_their_order() {
        let input = [RAW, REQUEST, RAW].concat();
        assert_eq!(
            answered(&input),
            (input.len(), [RAW, RESPONSE, RAW].concat())
        );
    }

    #[test]
    fn an_id_that_nothing_handles_is_dropped() {
        let input = [RAW, b"\x00\x05\x00\x09x", RAW].concat();
        assert_eq!(answered(&input), (input.len(), [RAW, RAW].concat()));
    }

    #[test]
    fn a_bad_size_and_a_bad_message_are_errors() {
        assert!(answer(b"\x00\x03", &mut Vec::new()).is_err());
        assert!(answer(b"\x00\x05\x00\x01\x0a", &mut Vec::new()).is_err());
    }
}
