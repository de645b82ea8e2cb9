//! Quantities on the command line: what is taken is written back as something that means the same.

use fastport_cli::fuzzing::{read_duration, write_duration};
use std::time::Duration;

/// Input: the text; and its first eight bytes as nanoseconds, to be written and read back.
///
/// # Panics
/// When a duration does not come back, or a refusal says nothing.
pub fn run(data: &[u8]) {
    if let Some(ns) = data.first_chunk() {
        comes_back(Duration::from_nanos(u64::from_be_bytes(*ns)));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match read_duration(text) {
        Ok(duration) => comes_back(duration),
        Err(message) => assert!(message.contains("not a duration"), "{message}"),
    }
}

fn comes_back(duration: Duration) {
    let shown = write_duration(duration);
    assert_eq!(read_duration(&shown), Ok(duration), "written as {shown}");
}
