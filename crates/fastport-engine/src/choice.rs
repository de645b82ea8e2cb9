//! Which engine runs: what was asked for, or the best that this machine permits.

use crate::EngineError;
use std::fmt;
use std::str::FromStr;

/// The back-ends by name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EngineKind {
    /// io_uring, Linux.
    IoUring,
    /// I/O completion ports, Windows.
    Iocp,
    /// Readiness (epoll, kqueue), emulated completions.
    Poll,
}

/// A kind, and why it was taken.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The engine to run.
    pub kind: EngineKind,
    /// One sentence for the log.
    pub reason: String,
}

impl EngineKind {
    /// The name as in `--engine`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Iocp => "iocp",
            Self::Poll => "poll",
        }
    }

    /// Decides which engine runs. `None` means `auto`: the best one that passes its self-test, and
    /// the readiness fallback otherwise, but on Windows. Makes and drops a queue; call it once,
    /// before workers start.
    ///
    /// # Errors
    /// When an engine was asked for by name and can not run here.
    pub fn choose(asked: Option<Self>) -> Result<Choice, EngineError> {
        let Some(kind) = asked else {
            return Ok(Self::best());
        };
        match kind.refusal() {
            None => Ok(Choice {
                kind,
                reason: "asked for".into(),
            }),
            Some(reason) => Err(EngineError::Unavailable {
                engine: kind.name(),
                reason,
            }),
        }
    }

    /// The system's own engine, or the readiness fallback where there is one.
    fn best() -> Choice {
        let native = if cfg!(windows) {
            Self::Iocp
        } else {
            Self::IoUring
        };
        match native.refusal() {
            Some(reason) if cfg!(not(windows)) => Choice {
                kind: Self::Poll,
                reason,
            },
            // Windows has nothing to fall back to: opening it says what is wrong.
            _ => Choice {
                kind: native,
                reason: "its self-test passed".into(),
            },
        }
    }

    /// Why this engine can not run here, if so.
    fn refusal(self) -> Option<String> {
        match self {
            Self::IoUring => uring_refusal(),
            Self::Iocp => iocp_refusal(),
            Self::Poll => poll_refusal(),
        }
    }
}

/// Why io_uring can not be used, if so. The test ring has a thread of its own: what the kernel
/// still has to do for a dropped ring interrupts the thread that made it, and the caller's next
/// blocking call with a time limit would fail with EINTR.
#[cfg(target_os = "linux")]
fn uring_refusal() -> Option<String> {
    let probe = std::thread::spawn(crate::uring::probe::refusal);
    probe
        .join()
        .unwrap_or_else(|_| Some("its self-test panicked".into()))
}

#[cfg(not(target_os = "linux"))]
#[allow(
    clippy::unnecessary_wraps,
    reason = "the same signature on every system"
)]
fn uring_refusal() -> Option<String> {
    Some("io_uring exists on Linux only".into())
}

/// Why completion ports can not be used, if so: each Windows has them, so making one is the test.
#[cfg(windows)]
fn iocp_refusal() -> Option<String> {
    use crate::{Engine, EngineConfig, IocpEngine};
    let small = EngineConfig {
        chunks: 2,
        ..EngineConfig::default()
    };
    IocpEngine::open(&small)
        .err()
        .map(|error| error.to_string())
}

#[cfg(not(windows))]
#[allow(
    clippy::unnecessary_wraps,
    reason = "the same signature on every system"
)]
fn iocp_refusal() -> Option<String> {
    Some("it exists on Windows only".into())
}

/// Why the fallback can not be used, if so. Windows needs none, and has no documented readiness.
fn poll_refusal() -> Option<String> {
    cfg!(windows).then(|| "it exists on Unix only".into())
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::IoUring, Self::Iocp, Self::Poll]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("unknown engine {name:?}: auto, io_uring, iocp or poll"))
    }
}
