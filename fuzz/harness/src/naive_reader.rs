//! The frame format, read a byte at a time with as little thought as possible: what the framer and
//! whole sessions are held against.

use fastport::FrameError;

/// What was read so far.
#[derive(Debug)]
pub(crate) struct NaiveReader {
    bytes_max: u32,
    frame: Vec<u8>,
    found: Vec<(u16, Vec<u8>)>,
    error: Option<FrameError>,
}

impl NaiveReader {
    /// Reads frames of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            frame: Vec::new(),
            found: Vec::new(),
            error: None,
        }
    }

    /// Reads on. After an error nothing more is read.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.error.is_some() {
                return;
            }
            self.frame.push(*byte);
            let &[high, low, ref rest @ ..] = &self.frame[..] else {
                continue;
            };
            let size = 256 * u32::from(high) + u32::from(low);
            if size < 4 {
                self.error = Some(FrameError::TooSmall { bytes: size });
            } else if size > self.bytes_max {
                let bytes_max = self.bytes_max;
                self.error = Some(FrameError::TooLarge {
                    bytes: size,
                    bytes_max,
                });
            } else if size as usize == self.frame.len() {
                let id = 256 * u16::from(rest[0]) + u16::from(rest[1]);
                self.found.push((id, rest[2..].to_vec()));
                self.frame.clear();
            }
        }
    }

    /// The frames that were found since the last call: packet ids and payloads.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (u16, Vec<u8>)> + use<> {
        std::mem::take(&mut self.found).into_iter()
    }

    /// The beginning of a frame that is not there yet, or of none.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Why nothing more is read.
    pub(crate) fn error(&self) -> Option<FrameError> {
        self.error
    }
}
