//! One connection: what it still has to send, and what of a frame has come so far.

use super::buffers::Buffers;
use fastport_bench::frames::{RAW_ECHO, first_frame};

pub(super) struct Session {
    /// Received and not sent: the start of a cut frame, or all that came during a send.
    carry: Vec<u8>,
    output: Output,
    /// The kernel still holds the multishot receive.
    pub(super) receiving: bool,
    /// Nothing more will be received.
    pub(super) ended: bool,
}

/// What the kernel is sending.
enum Output {
    Nothing,
    /// Frames in the buffer that they were received in.
    Lent {
        id: u16,
        sent: usize,
        end: usize,
    },
    /// Frames that were carried. They stay where they are until all are sent.
    Owned {
        bytes: Vec<u8>,
        sent: usize,
    },
}

/// The session sent something that this server does not echo.
#[derive(Debug)]
pub(super) struct Violation;

impl Session {
    pub(super) const fn new() -> Self {
        Self {
            carry: Vec::new(),
            output: Output::Nothing,
            receiving: true,
            ended: false,
        }
    }

    /// Takes what came in a buffer: keeps the buffer as output if it can, gives it back otherwise.
    /// Returns whether a send must be posted.
    pub(super) fn received(
        &mut self,
        id: u16,
        length: usize,
        buffers: &mut Buffers,
    ) -> Result<bool, Violation> {
        // SAFETY: the completion has just named the buffer with this length, and `give` comes last.
        let bytes = unsafe { buffers.bytes(id, length) };
        if !self.is_idle() || !self.carry.is_empty() {
            self.carry.extend_from_slice(bytes);
            buffers.give(id);
            return self.next_output();
        }
        let end = match whole_frames(bytes) {
            Ok(end) => end,
            Err(violation) => {
                buffers.give(id);
                return Err(violation);
            }
        };
        self.carry.extend_from_slice(&bytes[end..]);
        if end == 0 {
            buffers.give(id);
            return Ok(false);
        }
        self.output = Output::Lent { id, sent: 0, end };
        Ok(true)
    }

    /// The kernel sent `count` bytes. Returns whether a send must be posted.
    pub(super) fn sent(&mut self, count: usize, buffers: &mut Buffers) -> Result<bool, Violation> {
        let left = match &mut self.output {
            Output::Nothing => 0,
            Output::Lent { sent, end, .. } => {
                *sent += count;
                *end - *sent
            }
            Output::Owned { bytes, sent } => {
                *sent += count;
                bytes.len() - *sent
            }
        };
        if left > 0 {
            return Ok(true);
        }
        self.drop_output(buffers);
        self.next_output()
    }

    /// The send failed: nothing more goes out.
    pub(super) fn abandon(&mut self, buffers: &mut Buffers) {
        self.drop_output(buffers);
        self.carry.clear();
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.output, Output::Nothing)
    }

    /// Address and length of what is to be sent. The memory stays in place until `sent` or
    /// `abandon`.
    pub(super) fn unsent(&self, buffers: &Buffers) -> (*const u8, u32) {
        let bytes = match &self.output {
            Output::Nothing => &[],
            Output::Lent { id, sent, end } => {
                // SAFETY: the buffer is held by this output, and `end` lies within what was
                // received.
                let bytes = unsafe { buffers.bytes(*id, *end) };
                &bytes[*sent..]
            }
            Output::Owned { bytes, sent } => &bytes[*sent..],
        };
        // A longer rest goes out with the next send.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        (bytes.as_ptr(), length)
    }

    fn drop_output(&mut self, buffers: &mut Buffers) {
        if let Output::Lent { id, .. } = std::mem::replace(&mut self.output, Output::Nothing) {
            buffers.give(id);
        }
    }

    /// Makes the carried whole frames the output, if nothing is being sent.
    fn next_output(&mut self) -> Result<bool, Violation> {
        if !self.is_idle() {
            return Ok(false);
        }
        let end = whole_frames(&self.carry)?;
        if end == 0 {
            return Ok(false);
        }
        let rest = self.carry.split_off(end);
        let bytes = std::mem::replace(&mut self.carry, rest);
        self.output = Output::Owned { bytes, sent: 0 };
        Ok(true)
    }
}

/// How many bytes at the start are whole raw echo frames.
fn whole_frames(bytes: &[u8]) -> Result<usize, Violation> {
    let mut end = 0;
    while let Some(frame) = first_frame(&bytes[end..]).map_err(|_| Violation)? {
        if frame.id != RAW_ECHO {
            return Err(Violation);
        }
        end += frame.bytes.len();
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_end_where_a_cut_one_begins() {
        let frame = b"\x00\x06\x00\x02ab";
        let bytes = [&frame[..], frame, &frame[..5]].concat();
        assert_eq!(whole_frames(&bytes).unwrap(), 12);
        assert_eq!(whole_frames(&bytes[..3]).unwrap(), 0);
    }

    #[test]
    fn another_id_and_a_bad_size_are_violations() {
        assert!(whole_frames(b"\x00\x04\x00\x01").is_err());
        assert!(whole_frames(b"\x00\x03").is_err());
    }
}
