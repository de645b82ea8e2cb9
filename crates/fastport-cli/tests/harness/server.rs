//! A `fastport server` that a test owns: started, asked to stop as the system's user would, killed
//! when the test fails.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running server; killed when a test fails.
pub(crate) struct Server {
    pub(crate) child: Child,
    output: BufReader<ChildStdout>,
    /// The line that tells that it listens.
    pub(crate) ready: String,
}

impl Server {
    /// Starts one on a port that the system chooses, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fastport"));
        command
            .args(["server", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        ask::prepare(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        output.read_line(&mut ready).expect("a ready line");
        Self {
            child,
            output,
            ready,
        }
    }

    pub(crate) fn address(&self) -> String {
        let address = self.ready.split_whitespace().nth(2);
        address.expect("an address").to_owned()
    }

    /// Asks it to stop: SIGTERM, or Ctrl-Break.
    pub(crate) fn ask_to_stop(&self) {
        ask::stop(self.child.id());
    }

    /// Asks it to stop and waits: the exit status and the rest of the output.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        self.ask_to_stop();
        let status = self.child.wait().expect("an exit status");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        (status.code(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asking by signal.
#[cfg(unix)]
mod ask {
    pub(super) fn prepare(_command: &mut std::process::Command) {}

    pub(super) fn stop(process: u32) {
        let process = i32::try_from(process).expect("a process id");
        // SAFETY: a signal to a child that was not waited for touches no memory of ours.
        let outcome = unsafe { libc::kill(process, libc::SIGTERM) };
        assert_eq!(outcome, 0);
    }
}

/// Asking by console event. It goes to a group of processes on the sender's console, so the server
/// gets a group of its own, and shares the console of the test.
#[cfg(windows)]
mod ask {
    use std::io::Error;
    use std::os::windows::process::CommandExt;
    use std::process::Command;
    use windows_sys::Win32::System::Console::{
        AllocConsole, CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent, GetConsoleCP,
    };
    use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

    pub(super) fn prepare(command: &mut Command) {
        // SAFETY: takes nothing; 0 when there is no console.
        if unsafe { GetConsoleCP() } == 0 {
            // SAFETY: takes nothing. Another test may have made one: then it fails, harmlessly.
            let _ = unsafe { AllocConsole() };
        }
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }

    pub(super) fn stop(process: u32) {
        // SAFETY: takes numbers.
        let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, process) };
        assert_ne!(sent, 0, "not sent: {}", Error::last_os_error());
    }
}
