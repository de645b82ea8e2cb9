//! Starting the programs that a test talks to. Owns no process: what was started is the caller's.

use std::io;

/// Windows' ERROR_INTERNAL_ERROR. Wine 8 answers so now and then when a new process ends before its
/// loader has reported to Wine's server; nothing of the program has run then.
const INTERNAL_ERROR: i32 = 1359;

/// Tries before the system's error is the test's failure.
const TRIES_MAX: u32 = 5;

/// What `start` gives: a child, or the output of one that has ended. Blocks as `start` does.
///
/// On Windows a start that fails with an internal error of the system is tried again, since that
/// says nothing of the program. Any other error, and the fifth of that kind, is a failure.
///
/// # Panics
/// When the program can not be started.
#[track_caller]
pub fn started<T>(mut start: impl FnMut() -> io::Result<T>) -> T {
    let mut tries = 1;
    loop {
        match start() {
            Ok(started) => return started,
            Err(error) if is_passing(&error) && tries < TRIES_MAX => tries += 1,
            Err(error) => panic!("a program can not be started, try {tries}: {error}"),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error() == Some(INTERNAL_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// How often a start that always fails with what `error` makes is tried.
    fn tries(error: impl Fn() -> io::Error) -> u32 {
        let mut tries = 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            started::<()>(|| {
                tries += 1;
                Err(error())
            });
        }));
        assert!(outcome.is_err(), "it must not pass");
        tries
    }

    #[test]
    fn only_an_internal_error_of_windows_is_tried_again() {
        let internal = tries(|| io::Error::from_raw_os_error(INTERNAL_ERROR));
        assert_eq!(internal, if cfg!(windows) { TRIES_MAX } else { 1 });
        assert_eq!(tries(|| io::ErrorKind::NotFound.into()), 1);
        assert_eq!(started(|| Ok(7)), 7);
    }
}
