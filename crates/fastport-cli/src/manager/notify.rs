//! The notify protocol of systemd (`sd_notify(3)`): one datagram of `NAME=value` lines a message.
//!
//! Used on the thread that serves. Without a manager all of it does nothing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where to tell the manager, and how often it wants to hear.
pub(crate) struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that the environment names, or `None` when there is no manager that listens.
    ///
    /// # Errors
    /// An address that is none, or no socket.
    pub(crate) fn from_environment() -> io::Result<Option<Self>> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        let watchdog = watchdog(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        );
        Ok(Some(Self {
            socket: UnixDatagram::unbound()?,
            address: address(&name)?,
            watchdog,
        }))
    }

    /// How often to ping the watchdog: twice as often as it looks, as its manual advises.
    pub(crate) fn beat(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Sends one message. A manager that does not listen any more is logged: the service goes on.
    pub(crate) fn send(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            tracing::warn!(%error, message, "the service manager was not told");
        }
    }
}

/// A path, or `@` and a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "NOTIFY_SOCKET is neither a path nor @name",
        )),
    }
}

/// The watchdog's limit, if it watches this process.
fn watchdog(microseconds: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    if process.is_some_and(|process| process.parse() != Ok(own)) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|number| *number > 0)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), None, 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("8"), 7), None);
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(Some("soon"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn addresses_are_paths_or_abstract_names() {
        assert!(
            address(OsStr::new("/run/x"))
                .unwrap()
                .as_pathname()
                .is_some()
        );
        let name = address(OsStr::new("@x")).unwrap();
        assert_eq!(name.as_abstract_name(), Some(&b"x"[..]));
        assert!(address(OsStr::new("x")).is_err());
    }
}
