//! Lines on stdout.

use std::fmt::Display;
use std::io::{Write, stdout};

/// Writes a line. Whoever reads may be gone, which is no error of ours (`println!` would panic).
pub(crate) fn say(line: impl Display) {
    let mut stdout = stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
