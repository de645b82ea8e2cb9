//! The one place of this crate that reads the clock.

use std::time::Instant;

/// The time now. It does not go back.
pub(crate) fn now() -> Instant {
    Instant::now()
}
