//! SIGINT and SIGTERM, or Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status of a process that a second signal ended.
const STATUS_INTERRUPTED: i32 = 130;

/// Calls `drain` on the first signal, on a thread of its own; ends the process on the second.
///
/// # Errors
/// When the system refuses, or it was called before.
pub(crate) fn on_first(drain: impl Fn() + Send + 'static) -> Result<(), ctrlc::Error> {
    let was_asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if was_asked.swap(true, Ordering::AcqRel) {
            exit(STATUS_INTERRUPTED);
        }
        drain();
    })
}
