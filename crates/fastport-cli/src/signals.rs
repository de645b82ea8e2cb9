//! Signals and console events: the first asks for an orderly end, the second ends at once.
//!
//! On Unix they are SIGINT and SIGTERM; SIGHUP asks for the settings to be read again, but ends a
//! program whose terminal has gone, which is told by the same signal. On Windows they are Ctrl-C
//! and Ctrl-Break, and closing the console, logging off and shutting down, after which the system
//! leaves a process about 5 s.

use std::io;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The exit status of a process that a second signal ended.
const STATUS_INTERRUPTED: i32 = 130;

/// How long a drain may take when the system ends the process after about 5 s.
const FINAL_DRAIN: Duration = Duration::from_secs(3);

/// How much time there is for an orderly end.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Urgency {
    /// As much as the settings give.
    Orderly,
    /// The system is about to end the process.
    #[cfg_attr(
        not(any(windows, test)),
        expect(dead_code, reason = "Unix warns by the same signal")
    )]
    Final,
}

impl Urgency {
    /// How long a drain may take for which the settings give `drain_timeout`.
    pub(crate) fn limit(self, drain_timeout: Duration) -> Duration {
        match self {
            Self::Orderly => drain_timeout,
            Self::Final => drain_timeout.min(FINAL_DRAIN),
        }
    }
}

/// Calls `drain` on the first signal, on a thread of its own, and again when it becomes more
/// urgent; ends the process on the second signal. Calls `reload` on SIGHUP.
///
/// # Errors
/// When the system refuses, or it was called before.
#[cfg(unix)]
pub(crate) fn handle(
    drain: impl Fn(Urgency) + Send + Sync + 'static,
    reload: impl Fn() + Send + 'static,
) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let first = First::default();
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let terminal = Terminal::at_start();
    let forever = move || {
        for signal in signals.forever() {
            if signal == SIGHUP && !terminal.has_gone() {
                reload();
                continue;
            }
            first.or_exit();
            drain(Urgency::Orderly);
        }
    };
    let thread = std::thread::Builder::new().name("fastport-signals".into());
    thread.spawn(forever).map(drop)
}

/// Whether this process has a terminal that may hang up.
#[cfg(unix)]
struct Terminal(bool);

#[cfg(unix)]
impl Terminal {
    /// The name by which a process knows its own terminal; it opens only while there is one.
    const OWN: &str = "/dev/tty";

    fn at_start() -> Self {
        Self(std::fs::File::open(Self::OWN).is_ok())
    }

    fn has_gone(&self) -> bool {
        self.0 && std::fs::File::open(Self::OWN).is_err()
    }
}

/// Calls `drain` on the first event, on a thread of its own, and again when it becomes more
/// urgent; ends the process on the second one. No event asks for a reload.
///
/// # Errors
/// When the system refuses, or it was called before.
#[cfg(windows)]
pub(crate) fn handle(
    drain: impl Fn(Urgency) + Send + Sync + 'static,
    _reload: impl Fn() + Send + 'static,
) -> io::Result<()> {
    let first = First::default();
    fastport_system::console::on_event(move |event| {
        if event.is_final() {
            drain(Urgency::Final);
            // The system ends the process when this returns: the end of `main` comes first.
            loop {
                std::thread::park();
            }
        }
        first.or_exit();
        drain(Urgency::Orderly);
    })
}

/// Whether a signal has come.
#[derive(Default)]
struct First(AtomicBool);

impl First {
    /// Returns for the first signal only.
    fn or_exit(&self) {
        if self.0.swap(true, Ordering::AcqRel) {
            exit(STATUS_INTERRUPTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_drain_ends_before_the_system_ends_the_process() {
        let minute = Duration::from_secs(60);
        assert_eq!(Urgency::Orderly.limit(minute), minute);
        assert!(Urgency::Final.limit(minute) < Duration::from_secs(5));
        assert_eq!(Urgency::Final.limit(Duration::ZERO), Duration::ZERO);
    }
}
