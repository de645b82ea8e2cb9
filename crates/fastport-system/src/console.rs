//! Console control events: Ctrl-C, Ctrl-Break, and the system's word that the process is to end.
//!
//! The system calls the handler on a thread that it makes for each event. For the three events
//! after which it ends the process it does so as soon as the handler returns, or about 5 s after
//! the call (`HandlerRoutine` in Microsoft's reference); so who wants to end in order must not
//! return before that is done.

use std::io;
use std::sync::OnceLock;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
    SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

/// What the console or the system asks of the process.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConsoleEvent {
    /// Ctrl-C was typed, or sent by another process.
    Interrupt,
    /// Ctrl-Break was typed, or sent by another process.
    Break,
    /// The console's window is closed. The process ends when the handler returns.
    Close,
    /// The user logs off. The process ends when the handler returns.
    LogOff,
    /// The system shuts down. The process ends when the handler returns.
    Shutdown,
}

impl ConsoleEvent {
    /// Whether the system ends the process as soon as the handler returns.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Close | Self::LogOff | Self::Shutdown)
    }

    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            CTRL_C_EVENT => Self::Interrupt,
            CTRL_BREAK_EVENT => Self::Break,
            CTRL_CLOSE_EVENT => Self::Close,
            CTRL_LOGOFF_EVENT => Self::LogOff,
            CTRL_SHUTDOWN_EVENT => Self::Shutdown,
            _ => return None,
        })
    }
}

/// Calls `handler` for each event from now on, on threads of the system's; two events may run it
/// twice at a time. It may block. It must not panic: that would end the process.
///
/// # Errors
/// When it was called before (`AlreadyExists`), or the system refuses.
pub fn on_event(handler: impl Fn(ConsoleEvent) + Send + Sync + 'static) -> io::Result<()> {
    HANDLER
        .set(Box::new(handler))
        .map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
    // SAFETY: `on_control` has the signature that the system calls, lives as long as the program,
    // and does not unwind: a panic ends the process at its `extern` boundary. Held by the tests of
    // signals in the command line, which stop a server this way.
    if unsafe { SetConsoleCtrlHandler(Some(on_control), 1) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The handler of the process. Never taken away: an event may come at any time.
static HANDLER: OnceLock<Box<dyn Fn(ConsoleEvent) + Send + Sync>> = OnceLock::new();

/// What the system calls. 1: the event was handled, no other handler is asked.
extern "system" fn on_control(number: u32) -> BOOL {
    match (ConsoleEvent::from_number(number), HANDLER.get()) {
        (Some(event), Some(handler)) => {
            handler(event);
            1
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_number() {
        assert_eq!(ConsoleEvent::from_number(0), Some(ConsoleEvent::Interrupt));
        assert_eq!(ConsoleEvent::from_number(6), Some(ConsoleEvent::Shutdown));
        // 3 and 4 are reserved by the system.
        assert_eq!(ConsoleEvent::from_number(3), None);
    }

    #[test]
    fn a_second_handler_is_refused() {
        on_event(|_| {}).unwrap();
        let error = on_event(|_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
