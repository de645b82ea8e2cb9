//! Whether io_uring works on this machine: decided by doing what the engine does, not by versions
//! alone.
//!
//! Containers forbid the system calls, kernels lack flags or have them broken, and limits refuse
//! memory (moby #46762, liburing #1043, #1062). So a throw-away ring receives two messages and a
//! FIN with one multishot receive, accepts with a multishot accept, and cancels it.

use super::ops;
use super::provided_buffers::ProvidedBuffers;
use super::ring::Ring;
use crate::{Key, Op};
use io_uring::cqueue;
use std::ffi::CStr;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The oldest kernel whose multishot operations are trusted: major, minor.
const KERNEL_MIN: (u32, u32) = (6, 6);
/// How long one completion may take.
const PATIENCE: Duration = Duration::from_secs(1);
const CONNECTION: Key = Key::new(1, 0);
const LISTENER: Key = Key::new(2, 0);

/// Why io_uring can not be used here, as a sentence; `None` when it can. Takes about a millisecond.
#[must_use]
pub fn refusal() -> Option<String> {
    let kernel = match kernel_version() {
        Ok(version) if version < KERNEL_MIN => Some(version),
        _ => None,
    };
    match try_out() {
        Err(failure) => Some(failure.to_string()),
        Ok(()) => kernel.map(|(major, minor)| {
            let (need_major, need_minor) = KERNEL_MIN;
            format!(
                "kernel {major}.{minor} is older than {need_major}.{need_minor}, from where on \
                 io_uring's multishot operations are sound"
            )
        }),
    }
}

/// What did not work.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{}", setup_sentence(.0))]
    Setup(io::Error),
    #[error("io_uring's self-test failed: {step}: {source}")]
    Step {
        step: &'static str,
        source: io::Error,
    },
    #[error("io_uring's self-test failed: {step} gave {result} (flags {flags:#x})")]
    Unexpected {
        step: &'static str,
        result: i32,
        flags: u32,
    },
}

fn setup_sentence(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here (EPERM: container, seccomp \
                                             or kernel.io_uring_disabled)"
                .into()
        }
        Some(libc::ENOSYS) => "the kernel has no io_uring (ENOSYS)".into(),
        Some(libc::EINVAL) => {
            "the kernel's io_uring lacks what the engine needs (EINVAL: older than 6.1)".into()
        }
        Some(libc::ENOMEM) => {
            "io_uring got no memory (ENOMEM: locked memory is limited, see ulimit -l)".into()
        }
        _ => format!("io_uring can not be set up: {error}"),
    }
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |source| Refusal::Step { step, source }
}

fn try_out() -> Result<(), Refusal> {
    let ring = Ring::open(8, 64).map_err(Refusal::Setup)?;
    let buffers = ProvidedBuffers::new(4, 256).map_err(step("mapping a buffer ring"))?;
    // Declared in this order in the structure: the ring is dropped before the buffers.
    let mut trial = Trial { ring, buffers };
    // SAFETY: see above; and when the self-test fails half-way, the buffers are leaked below.
    unsafe { trial.buffers.register(&trial.ring) }.map_err(step("registering a buffer ring"))?;
    trial.buffers.publish();
    let outcome = trial.receive().and_then(|()| trial.accept());
    if outcome.is_err() {
        // An operation may be in flight.
        std::mem::forget(trial);
    }
    outcome
}

struct Trial {
    ring: Ring,
    buffers: ProvidedBuffers,
}

impl Trial {
    /// One multishot receive must bring two messages and the end.
    fn receive(&mut self) -> Result<(), Refusal> {
        let pair = UnixStream::pair().map_err(step("making a socket pair"))?;
        let (ours, mut theirs) = (OwnedFd::from(pair.0), pair.1);
        // SAFETY: the receive writes to published buffers only, which outlive the ring or are
        // leaked.
        unsafe { self.ring.push(ops::receive((&ours).into(), CONNECTION)) };
        for message in [&b"one"[..], b"three"] {
            theirs.write_all(message).map_err(step("writing"))?;
            let (result, flags) = self.completion("a multishot receive")?;
            let id = cqueue::buffer_select(flags);
            let bytes = usize::try_from(result).unwrap_or(0);
            let whole = id.is_some_and(|id| self.buffers.lend(id, bytes).as_slice() == message);
            if !whole || !cqueue::more(flags) {
                return Err(unexpected("a multishot receive", result, flags));
            }
        }
        drop(theirs);
        let (result, flags) = self.completion("the end of a stream")?;
        if result != 0 || cqueue::more(flags) {
            return Err(unexpected("the end of a stream", result, flags));
        }
        Ok(())
    }

    /// One multishot accept must bring two connections, and end when it is cancelled.
    fn accept(&mut self) -> Result<(), Refusal> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(step("listening on loopback"))?;
        let address = listener
            .local_addr()
            .map_err(step("listening on loopback"))?;
        let listener = OwnedFd::from(listener);
        // SAFETY: an accept without an address names no memory.
        unsafe { self.ring.push(ops::accept((&listener).into(), LISTENER)) };
        for _ in 0..2 {
            let _client = TcpStream::connect_timeout(&address, PATIENCE)
                .map_err(step("connecting over loopback"))?;
            let (result, flags) = self.completion("a multishot accept")?;
            if result < 0 || !cqueue::more(flags) {
                return Err(unexpected("a multishot accept", result, flags));
            }
            // SAFETY: the result is a new descriptor that only this completion names.
            let accepted = unsafe { OwnedFd::from_raw_fd(result) };
            // Some kernels before 6.8 handed out descriptors of nothing (liburing #1062).
            let peer = socket2::SockRef::from(&accepted.as_fd()).peer_addr();
            peer.map_err(step("asking an accepted socket for its peer"))?;
        }
        // SAFETY: a cancel names no memory.
        unsafe { self.ring.push(ops::cancel(LISTENER.user_data(Op::Accept))) };
        let (result, flags) = self.completion("a cancel")?;
        if result != -libc::ECANCELED || cqueue::more(flags) {
            return Err(unexpected("a cancel", result, flags));
        }
        Ok(())
    }

    /// The next completion's result and flags.
    fn completion(&mut self, what: &'static str) -> Result<(i32, u32), Refusal> {
        self.ring.wait(Some(PATIENCE)).map_err(step(what))?;
        let entry = self.ring.next();
        let entry = entry.ok_or_else(|| step(what)(io::ErrorKind::TimedOut.into()))?;
        Ok((entry.result(), entry.flags()))
    }
}

fn unexpected(step: &'static str, result: i32, flags: u32) -> Refusal {
    Refusal::Unexpected {
        step,
        result,
        flags,
    }
}

/// The kernel's version: major, minor.
pub(super) fn kernel_version() -> io::Result<(u32, u32)> {
    // SAFETY: all zeroes is a valid `utsname`: arrays of characters.
    let mut names = unsafe { std::mem::zeroed::<libc::utsname>() };
    // SAFETY: the call fills the structure that it is given.
    if unsafe { libc::uname(&raw mut names) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel ends the name with a zero byte, inside the array.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    parse_version(&release.to_string_lossy())
        .ok_or_else(|| io::Error::other("unknown form of the kernel's version"))
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_distributions_write() {
        assert_eq!(parse_version("6.18.44-fc-v782"), Some((6, 18)));
        assert_eq!(parse_version("6.6-rc1"), Some((6, 6)));
        assert_eq!(parse_version("5.15.0-1051-aws"), Some((5, 15)));
        assert_eq!(parse_version("linux"), None);
        assert!((6, 18) > KERNEL_MIN && (5, 19) < KERNEL_MIN && (6, 1) < KERNEL_MIN);
    }

    #[test]
    fn a_refused_setup_says_what_to_look_at() {
        let sentence = |code| setup_sentence(&io::Error::from_raw_os_error(code));
        assert!(sentence(libc::EPERM).contains("io_uring_disabled"));
        assert!(sentence(libc::ENOSYS).contains("ENOSYS"));
        assert!(sentence(libc::ENOMEM).contains("ulimit -l"));
    }
}
